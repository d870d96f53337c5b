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
