// Messages of the operations.
// RUN: fovea-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{'attn.attention' op has no output}}
attn.attention @negative_no_output none axes [T] {
}

// -----

attn.attention @negative_foreign_op none axes [T] {
  // expected-error @+1 {{'builtin.module' op is not an operation of an attention}}
  builtin.module {}
  %x = attn.input "x" [T] : real [T]
  attn.output "o" %x [T] : real [T]
}

// -----

// expected-error @+1 {{'attn.index' op expects parent op 'attn.attention'}}
%i = attn.index T

// -----

attn.attention @negative_repeated_name none axes [T] {
  // expected-note @+1 {{the other array}}
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.output' op 'x' is the name of another array}}
  attn.output "x" %x [T] : real [T]
}

// -----

attn.attention @negative_unknown_axis none axes [T] {
  // expected-error @+1 {{'attn.index' op axis U is not in the axis table}}
  %i = attn.index U
}

// -----

attn.attention @negative_unknown_size none axes [T] {
  // expected-error @+1 {{'attn.size' op axis U is not in the axis table}}
  %i = attn.size U
}

// -----

attn.attention @negative_unexpanded_factor none axes [A, C, H = A * C] {
  // expected-error @+1 {{'attn.index' op factor axis H should be expanded to its parts}}
  %i = attn.index H
}

// -----

attn.attention @negative_unknown_keys none axes [T] {
  // expected-error @+1 {{'attn.query_position' op axis S is not in the axis table}}
  %i = attn.query_position T over S
}

// -----

attn.attention @negative_input_kind none axes [T] {
  // expected-error @+1 {{'attn.input' op 'x' is int; stored as a float type it is real}}
  %x = attn.input "x" f32 [T] : int [T]
}

// -----

attn.attention @negative_input_kind_of_i32 none axes [T] {
  // expected-error @+1 {{'attn.input' op 'x' is real; stored as i32 it is int}}
  %x = attn.input "x" i32 [T] : real [T]
}

// -----

attn.attention @negative_fallback_kind none axes [T] {
  %c = attn.constant int 1
  // expected-error @+1 {{'attn.input' op 'x' is real but its fallback is int}}
  %x = attn.input "x" [T] fallback %c : int [] : real [T]
}

// -----

attn.attention @negative_fallback_axis none axes [T, D] {
  %y = attn.input "y" [D] : real [D]
  // expected-error @+1 {{'attn.input' op 'x' lacks axis D of its fallback}}
  %x = attn.input "x" [T] fallback %y : real [D] : real [T]
}

// -----

attn.attention @negative_declared_unknown none axes [T] {
  // expected-error @+1 {{'attn.input' op axis U is not in the axis table}}
  %x = attn.input "x" [U] : real [T]
}

// -----

attn.attention @negative_declared_twice none axes [A, C, H = A * C] {
  // expected-error @+1 {{'attn.input' op 'x' is declared twice on axis A}}
  %x = attn.input "x" [H, A] : real [A, C]
}

// -----

attn.attention @negative_declared_on_walk none axes [T, j walk T from T] {
  // expected-error @+1 {{'attn.input' op 'x' is declared on the walk axis j}}
  %x = attn.input "x" [j] : real [j]
}

// -----

attn.attention @negative_declared_otherwise none axes [T, D] {
  // expected-error @+1 {{'attn.input' op 'x' is declared on other axes than those of its type}}
  %x = attn.input "x" [T, D] : real [D, T]
}

// -----

attn.attention @negative_output_without_axis none axes [T, D] {
  %x = attn.input "x" [T, D] : real [T, D]
  // expected-error @+1 {{'attn.output' op 'o' is declared without axis D of its value}}
  attn.output "o" %x [T] : real [T, D]
}

// -----

attn.attention @negative_output_of_bool none axes [T] {
  %c = attn.constant bool true
  // expected-error @+1 {{'attn.output' op 'o' is a bool; an array holds numbers}}
  attn.output "o" %c [] : bool []
}

// -----

// expected-error @+1 {{unknown word 'acausal'}}
attn.attention @negative_claim acausal axes [T] {}

// -----

attn.attention @negative_constant_kind none axes [T] {
  // expected-error @+1 {{a constant is real, int or bool, not 'f32'}}
  %c = attn.constant f32 1.0
}

// -----

attn.attention @negative_real none axes [T] {
  %i = attn.index T
  // expected-error @+1 {{'attn.exp': takes reals, not int}}
  %x = attn.exp %i : int [T]
}

// -----

attn.attention @negative_ints none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.mod': takes ints, not real and real}}
  %y = attn.mod %x, %x : real [T], real [T]
}

// -----

attn.attention @negative_number none axes [T] {
  %x = attn.input "x" [T] : real [T]
  %i = attn.index T
  // expected-error @+1 {{'attn.add': takes numbers of one kind, not real and int}}
  %y = attn.add %x, %i : real [T], int [T]
}

// -----

attn.attention @negative_bools none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.not': takes bools, not real}}
  %y = attn.not %x : real [T]
}

// -----

attn.attention @negative_compare none axes [T] {
  %c = attn.constant bool true
  // expected-error @+1 {{'attn.lt': takes two numbers of one kind, not bool and bool}}
  %y = attn.lt %c, %c : bool [], bool []
}

// -----

attn.attention @negative_equal none axes [T] {
  %c = attn.constant bool true
  %i = attn.index T
  // expected-error @+1 {{'attn.eq': takes two values of one kind, not bool and int}}
  %y = attn.eq %c, %i : bool [], int [T]
}

// -----

attn.attention @negative_to_real none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.to_real': takes an int or a bool, not real}}
  %y = attn.to_real %x : real [T]
}

// -----

attn.attention @negative_select none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.select': takes a bool and two values of one kind, not real and real and real}}
  %y = attn.select %x, %x, %x : real [T], real [T], real [T]
}

// -----

attn.attention @negative_wrong_result none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+2 {{'attn.exp' op failed to infer returned types}}
  // expected-error @+1 {{inferred type(s) '!attn.field<real [T]>' are incompatible with return type(s) of operation '!attn.field<real []>'}}
  %y = "attn.exp"(%x) : (!attn.field<real [T]>) -> !attn.field<real []>
}

// -----

attn.attention @negative_reduce_of_no_axis none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.reduce': names no axis}}
  %y = attn.reduce sum %x over [] : real [T]
}

// -----

attn.attention @negative_reduce_of_missing_axis none axes [T, D] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.reduce': an operand lacks axis D}}
  %y = attn.reduce sum %x over [D] : real [T]
}

// -----

attn.attention @negative_reduce_twice none axes [T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.reduce': names axis T twice}}
  %y = attn.reduce sum %x over [T, T] : real [T]
}

// -----

attn.attention @negative_mean_of_ints none axes [T] {
  %i = attn.index T
  // expected-error @+1 {{'attn.reduce': cannot take the mean of ints}}
  %y = attn.reduce mean %i over [T] : int [T]
}

// -----

attn.attention @negative_dot_of_ints none axes [T] {
  %i = attn.index T
  // expected-error @+1 {{'attn.dot': takes reals}}
  %y = attn.dot %i, %i over [T] : int [T], int [T]
}

// -----

attn.attention @negative_rename_missing none axes [T, D, E] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.rename': the operand lacks axis D}}
  %y = attn.rename %x D to E : real [T]
}

// -----

attn.attention @negative_rename_taken none axes [T, D] {
  %x = attn.input "x" [T, D] : real [T, D]
  // expected-error @+1 {{'attn.rename': the operand already has axis D}}
  %y = attn.rename %x T to D : real [T, D]
}

// -----

attn.attention @negative_rename_to_other_walk none axes [T, S, D, j walk S from T] {
  %x = attn.input "x" [D] : real [D]
  // expected-error @+1 {{'attn.rename' op walk axis j renames S, not D}}
  %y = attn.rename %x D to j : real [D]
}

// -----

attn.attention @negative_rename_sizes none axes [D : 4, E : 8] {
  %x = attn.input "x" [D] : real [D]
  // expected-error @+1 {{'attn.rename' op axis D has size 4, axis E size 8}}
  %y = attn.rename %x D to E : real [D]
}

// -----

attn.attention @negative_walk_is_query none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.weights': the walk axis and the query axis are both T}}
  %p = attn.weights over T from T score %x : real [T]
}

// -----

attn.attention @negative_score none axes [T, j walk T from T] {
  %i = attn.index j
  // expected-error @+1 {{'attn.weights': the score is int; it should be real}}
  %p = attn.weights over j from T score %i : int [j]
}

// -----

attn.attention @negative_predicate none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.weights': the predicate is real; it should be bool}}
  %p = attn.weights over j from T score %x : real [T] where %x : real [T]
}

// -----

attn.attention @negative_sink_kind none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %i = attn.index T
  // expected-error @+1 {{'attn.weights': a sink is int; it should be real}}
  %p = attn.weights over j from T score %x : real [T] sinks(%i : int [T])
}

// -----

attn.attention @negative_sink_on_walk none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %y = attn.rename %x T to j : real [T]
  // expected-error @+1 {{'attn.weights': a sink has the walk axis j}}
  %p = attn.weights over j from T score %x : real [T] sinks(%y : real [j])
}

// -----

attn.attention @negative_over_no_walk none axes [T, S] {
  %x = attn.input "x" [T, S] : real [T, S]
  // expected-error @+1 {{'attn.weights' op axis S is not a walk axis}}
  %p = attn.weights over S from T score %x : real [T, S]
}

// -----

attn.attention @negative_other_queries none axes [T, U, j walk T from T] {
  %x = attn.input "x" [U] : real [U]
  // expected-error @+1 {{'attn.weights' op walk axis j has the queries of T, not of U}}
  %p = attn.weights over j from U score %x : real [U]
}

// -----

attn.attention @negative_value_kind none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %i = attn.index j
  %p = attn.weights over j from T score %x : real [T]
  // expected-error @+1 {{'attn.expect': the value is int; it should be real}}
  %o = attn.expect %p, %i : [T] over j from T, int [j]
}

// -----

attn.attention @negative_value_on_query none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %p = attn.weights over j from T score %x : real [T]
  // expected-error @+1 {{'attn.expect': the value has the query axis T}}
  %o = attn.expect %p, %x : [T] over j from T, real [T]
}

// -----

attn.attention @negative_coefficient_kind none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %y = attn.rename %x T to j : real [T]
  %i = attn.index j
  %p = attn.weights over j from T score %x : real [T]
  // expected-error @+1 {{'attn.expect': the coefficient is int; it should be real}}
  %o = attn.expect %p, %y coefficient %i : int [j] : [T] over j from T, real [j]
}

// -----

attn.attention @negative_coefficient_on_feature none axes [T, D, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %f = attn.input "f" [D] : real [D]
  %y = attn.rename %x T to j : real [T]
  %p = attn.weights over j from T score %x : real [T]
  // expected-error @+1 {{'attn.expect': the coefficient has axis D, which is neither a row axis nor the walk axis}}
  %o = attn.expect %p, %y coefficient %f : real [D] : [T] over j from T, real [j]
}

// -----

attn.attention @negative_row_at_missing none axes [T, S keys T, D] {
  %x = attn.input "x" [D] : real [D]
  // expected-error @+1 {{'attn.row_at': the operand lacks axis S}}
  %y = attn.row_at %x S at T : real [D]
}

// -----

attn.attention @negative_floor_of_int none axes [T] {
  %i = attn.index T
  // expected-error @+1 {{'attn.floor': takes reals, not int}}
  %y = attn.floor %i : int [T]
}

// -----

attn.attention @negative_optional_with_fallback none axes [T] {
  %c = attn.constant real 1.0
  // expected-error @+1 {{'attn.input' op 'x' is optional, that is 0 where absent, and has a fallback}}
  %x = attn.input "x" optional [T] fallback %c : real [] : real [T]
}

// -----

attn.attention @negative_slice_missing none axes [T, A : 4, C : 4, E = A + C] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.slice': the operand lacks axis E}}
  %y = attn.slice %x E to A after [] : real [T]
}

// -----

attn.attention @negative_slice_order none axes [A, C, E = A + C] {
  %x = attn.input "x" [E] : real [E]
  // expected-error @+1 {{'attn.slice' op axis E does not consist of these parts in this order}}
  %y = attn.slice %x E to C after [] : real [E]
}

// -----

attn.attention @negative_slice_unknown none axes [A, C, E = A + C] {
  %x = attn.input "x" [E] : real [E]
  // expected-error @+1 {{'attn.slice' op axis Z is not in the axis table}}
  %y = attn.slice %x E to C after [Z] : real [E]
}

// -----

attn.attention @negative_slice_beyond none axes [D : 8, A : 5] {
  %x = attn.input "x" [D] : real [D]
  // expected-error @+1 {{'attn.slice' op axis D has size 8, its parts 10}}
  %y = attn.slice %x D to A after [A] : real [D]
}

// -----

attn.attention @negative_concat_count none axes [A, C, E = A + C] {
  %x = attn.input "x" [A] : real [A]
  // expected-error @+1 {{'attn.concat': has 1 operands for 2 parts}}
  %y = attn.concat %x along E from [A, C] : real [A]
}

// -----

attn.attention @negative_concat_kinds none axes [A, C, E = A + C] {
  %x = attn.input "x" [A] : real [A]
  %i = attn.index C
  // expected-error @+1 {{'attn.concat': takes values of one kind, not real and int}}
  %y = attn.concat %x, %i along E from [A, C] : real [A], int [C]
}

// -----

attn.attention @negative_concat_missing none axes [A, C, E = A + C] {
  %x = attn.input "x" [A] : real [A]
  // expected-error @+1 {{'attn.concat': an operand lacks the axis C of its part}}
  %y = attn.concat %x, %x along E from [A, C] : real [A], real [A]
}

// -----

attn.attention @negative_concat_taken none axes [A, C, E = A + C] {
  %x = attn.input "x" [A] : real [A]
  %z = attn.input "z" [C, E] : real [C, E]
  // expected-error @+1 {{'attn.concat': an operand already has axis E}}
  %y = attn.concat %x, %z along E from [A, C] : real [A], real [C, E]
}

// -----

attn.attention @negative_concat_ambiguous none axes [A, C, E = A + C] {
  %x = attn.input "x" [A, C] : real [A, C]
  %z = attn.input "z" [C] : real [C]
  // expected-error @+1 {{'attn.concat': the operand of part A has the axis C of another}}
  %y = attn.concat %x, %z along E from [A, C] : real [A, C], real [C]
}

// -----

attn.attention @negative_concat_order none axes [A, C, E = A + C] {
  %x = attn.input "x" [A] : real [A]
  %z = attn.input "z" [C] : real [C]
  // expected-error @+1 {{'attn.concat' op axis E does not consist of these parts in this order}}
  %y = attn.concat %z, %x along E from [C, A] : real [C], real [A]
}

// -----

attn.attention @negative_concat_sizes none axes [A : 3, D : 8] {
  %x = attn.input "x" [A] : real [A]
  // expected-error @+1 {{'attn.concat' op axis D has size 8, its parts 6}}
  %y = attn.concat %x, %x along D from [A, A] : real [A], real [A]
}

// -----

attn.attention @negative_gather_index none axes [T, N] {
  %x = attn.input "x" [N] : real [N]
  %y = attn.input "y" [T] : real [T]
  // expected-error @+1 {{'attn.gather': the index is real; it should be int}}
  %z = attn.gather %x N at %y : real [N], real [T]
}

// -----

attn.attention @negative_gather_missing none axes [T, N] {
  %x = attn.input "x" [T] : real [T]
  %i = attn.index T
  // expected-error @+1 {{'attn.gather': the operand lacks axis N}}
  %z = attn.gather %x N at %i : real [T], int [T]
}

// -----

attn.attention @negative_scan_of_bools none axes [T] {
  %i = attn.index T
  %b = attn.eq %i, %i : int [T], int [T]
  // expected-error @+1 {{'attn.scan': takes numbers, not bools}}
  %z = attn.scan %b along T : bool [T]
}

// -----

attn.attention @negative_scan_missing none axes [T, D] {
  %i = attn.index T
  // expected-error @+1 {{'attn.scan': the operand lacks axis D}}
  %z = attn.scan %i along D : int [T]
}

// -----

attn.attention @negative_block_mean_of_ints none axes [T, Tb = T / 4] {
  %i = attn.index T
  // expected-error @+1 {{'attn.block_reduce': cannot take the mean of ints}}
  %z = attn.block_reduce mean %i over T to Tb : int [T]
}

// -----

attn.attention @negative_block_reduce_to_plain none axes [T, U] {
  %i = attn.index T
  // expected-error @+1 {{'attn.block_reduce' op axis U is neither of blocks nor of windows}}
  %z = attn.block_reduce sum %i over T to U : int [T]
}

// -----

attn.attention @negative_block_reduce_of_other none axes [T, U, Ub = U / 4, j walk T from T] {
  %i = attn.index j
  // expected-error @+1 {{'attn.block_reduce' op axis Ub has the blocks of U, not of T}}
  %z = attn.block_reduce sum %i over j to Ub : int [j]
}

// -----

attn.attention @negative_flatten_missing none axes [M, N, P = M * N, j walk P from P] {
  %x = attn.input "x" [M] : real [M]
  // expected-error @+1 {{'attn.flatten': an operand lacks axis N}}
  %z = attn.flatten %x [M, N] to j : real [M]
}

// -----

attn.attention @negative_flatten_taken none axes [M, N, P = M * N, j walk P from P] {
  %x = attn.input "x" [P] : real [M, N]
  %i = attn.index j
  %r = attn.to_real %i : int [j]
  %y = attn.mul %x, %r : real [M, N], real [j]
  // expected-error @+1 {{'attn.flatten': the operand already has axis j}}
  %z = attn.flatten %y [M, N] to j : real [M, N, j]
}

// -----

attn.attention @negative_flatten_pairs none axes [M, N, again = M share 1, P = M outer M] {
  %x = attn.input "x" [M, N] : real [M, N]
  // expected-error @+1 {{'attn.flatten' op axis P is not of the pairs of these axes}}
  %p = attn.flatten %x [M, N] to P : real [M, N]
  attn.output "p" %p [P] : real [P]
}

// -----

attn.attention @negative_flatten_order none axes [M, N, P = M * N, j walk P from P] {
  %x = attn.input "x" [P] : real [M, N]
  // expected-error @+1 {{'attn.flatten' op axis j is no walk over the product of these axes}}
  %z = attn.flatten %x [N, M] to j : real [M, N]
}

// -----

attn.attention @negative_rename_to_other_axis none axes [T, S, D, j walk S from T] {
  %i = attn.index j
  // expected-error @+1 {{'attn.rename' op walk axis j is the axis S outside its walk, not D}}
  %y = attn.rename %i j to D : int [j]
}

// -----

attn.attention @negative_weight_word none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{expected 'score' or 'weight', not 'weigh'}}
  %p = attn.weights over j from T weigh %x : real [T]
}

// -----

attn.attention @negative_mass_kind none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %i = attn.index j
  // expected-error @+1 {{'attn.weights': the mass is int; it should be real}}
  %p = attn.weights over j from T score %x : real [T] mass %i : int [j]
}

// -----

attn.attention @negative_weight_kind none axes [T, j walk T from T] {
  %i = attn.index j
  // expected-error @+1 {{'attn.weights': the weight is int; it should be real}}
  %p = attn.weights over j from T weight %i : int [j]
}

// -----

attn.attention @negative_free_mass none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.weights' op free weights have no mass: multiply the weight by it}}
  %p = attn.weights over j from T weight %x : real [T] mass %x : real [T]
}

// -----

attn.attention @negative_free_sink none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.weights' op free weights have no sinks: nothing is divided}}
  %p = attn.weights over j from T weight %x : real [T] sinks(%x : real [T])
}

// -----

attn.attention @negative_free_lse none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %p = attn.weights over j from T weight %x : real [T]
  // expected-error @+1 {{'attn.stat' op free weights have no lse, only a mass}}
  %l = attn.stat lse %p : [T] over j from T
}

// -----

attn.attention @negative_stat_word none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %p = attn.weights over j from T score %x : real [T]
  // expected-error @+1 {{unknown word 'count'}}
  %l = attn.stat count %p : [T] over j from T
}

// -----

attn.attention @negative_query_parts_missing none axes [M, N, P = M * N, j walk P from P] {
  %x = attn.input "x" [P] : real [M, N]
  // expected-error @+1 {{'attn.weights' op query axis P is a factor axis: its parts should follow 'as'}}
  %p = attn.weights over j from P as [N, M] score %x : real [M, N]
}

// -----

attn.attention @negative_query_parts none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // expected-error @+1 {{'attn.weights' op query axis T is no factor axis: nothing should follow 'as'}}
  %p = attn.weights over j from T as [T] score %x : real [T]
}

// -----

attn.attention @negative_value_on_query_part none axes [M, N, P = M * N, j walk P from P] {
  %x = attn.input "x" [P] : real [M, N]
  %p = attn.weights over j from P as [M, N] score %x : real [M, N]
  // expected-error @+1 {{'attn.expect' op the value has the query axis M}}
  %o = attn.expect %p, %x : [M, N] over j from P, real [M, N]
}
