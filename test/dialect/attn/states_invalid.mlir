// What states, reads, convolutions and carried memory refuse.
// RUN: fovea-opt %s --split-input-file --verify-diagnostics

attn.attention @negative_state_key_lacks_key_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.state': the key lacks axis K}}
  %S = attn.state along T key %y over K : real [T, V] value %x over V : real [T, K]
}

// -----

attn.attention @negative_state_key_has_value_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.input "z" [T, K, V] : real [T, K, V]
  // expected-error @+1 {{'attn.state': the key has axis V}}
  %S = attn.state along T key %z over K : real [T, K, V] value %y over V : real [T, V]
}

// -----

attn.attention @negative_state_value_has_key_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.input "z" [T, K, V] : real [T, K, V]
  // expected-error @+1 {{'attn.state': the value has axis K}}
  %S = attn.state along T key %x over K : real [T, K] value %z over V : real [T, K, V]
}

// -----

attn.attention @negative_state_value_lacks_value_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.input "z" [T] : real [T]
  // expected-error @+1 {{'attn.state': the value lacks axis V}}
  %S = attn.state along T key %x over K : real [T, K] value %z over V : real [T]
}

// -----

attn.attention @negative_state_axes none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.state': names axis K twice}}
  %S = attn.state along T key %x over K : real [T, K] value %y over K : real [T, V]
}

// -----

attn.attention @negative_state_decay_has_value_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.state': the decay has axis V}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] decay %y : real [T, V]
}

// -----

attn.attention @negative_state_decay_kind none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %n = attn.index T
  // expected-error @+1 {{'attn.state': the decay is int; it should be real}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] decay %n : int [T]
}

// -----

attn.attention @negative_state_erase_has_value_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.state': the erase vector has axis V}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] erase %y : real [T, V]
}

// -----

attn.attention @negative_state_where_has_key_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %w = attn.lt %x, %x : real [T, K], real [T, K]
  // expected-error @+1 {{'attn.state': the predicate has axis K}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] where %w : bool [T, K]
}

// -----

attn.attention @negative_state_commit_has_token_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %w = attn.constant bool true
  %n = attn.index T
  %c = attn.eq %n, %n : int [T], int [T]
  // expected-error @+1 {{'attn.state': the commit has axis T}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] commit %c per Tb : bool [T]
}

// -----

attn.attention @negative_state_commit_blocks none axes [T, K, V, S, Sb = S / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %c = attn.constant bool true
  // expected-error @+1 {{'attn.state' op axis Sb has no blocks of the tokens T}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] commit %c per Sb : bool []
}

// -----

attn.attention @negative_state_initial_lacks_value_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %h = attn.input "h" [K] : real [K]
  // expected-error @+1 {{'attn.state': the initial state lacks axis V}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] initial %h : real [K]
}

// -----

attn.attention @negative_state_initial_has_token_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %h = attn.input "h" [T, K, V] : real [T, K, V]
  // expected-error @+1 {{'attn.state': the initial state has axis T}}
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V] initial %h : real [T, K, V]
}

// -----

attn.attention @negative_state_along_walk none axes [T, K, V, j walk T from T] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.rename %x T to j : real [T, K]
  // expected-error @+1 {{'attn.state' op axis j of the tokens is a walk axis}}
  %S = attn.state along j key %z over K : real [j, K] value %y over V : real [T, V]
}

// -----

attn.attention @negative_state_blocks_without_commit none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.state' op has an axis of blocks without a commit}}
  %S = "attn.state"(%x, %y) <{keyAxis = "K", valueAxis = "V", token = "T", blocks = "Tb", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0>}> : (!attn.field<real [T, K]>, !attn.field<real [T, V]>) -> !attn.state<[] K x V along T>
}

// -----

attn.attention @negative_state_commit_without_blocks none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %c = attn.constant bool true
  // expected-error @+1 {{'attn.state' op has a commit without an axis of blocks}}
  %S = "attn.state"(%x, %y, %c) <{keyAxis = "K", valueAxis = "V", token = "T", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 1, 0>}> : (!attn.field<real [T, K]>, !attn.field<real [T, V]>, !attn.field<bool []>) -> !attn.state<[] K x V along T>
}

// -----

attn.attention @negative_read_lacks_key_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V]
  // expected-error @+1 {{'attn.read': the query lacks the key axis K}}
  %o = attn.read after %S, %y : [] K x V along T, real [T, V]
}

// -----

attn.attention @negative_read_has_value_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.input "z" [T, K, V] : real [T, K, V]
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V]
  // expected-error @+1 {{'attn.read': the query has the value axis V}}
  %o = attn.read after %S, %z : [] K x V along T, real [T, K, V]
}

// -----

attn.attention @negative_read_kind none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %n = attn.index K
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V]
  // expected-error @+1 {{'attn.read': the query is int; it should be real}}
  %o = attn.read after %S, %n : [] K x V along T, int [K]
}

// -----

attn.attention @negative_read_word none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V]
  // expected-error @+1 {{unknown word 'before'}}
  %o = attn.read before %S, %x : [] K x V along T, real [T, K]
}

// -----

attn.attention @negative_every_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V]
  // expected-error @+1 {{'attn.every': axis K is one of the state itself}}
  %o = attn.every %S at K : [] K x V along T
}

// -----

attn.attention @negative_every_blocks none axes [T, K, V, S, Sb = S / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %S = attn.state along T key %x over K : real [T, K] value %y over V : real [T, V]
  // expected-error @+1 {{'attn.every' op axis Sb has no blocks of the tokens T}}
  %o = attn.every %S at Sb : [] K x V along T
}

// -----

attn.attention @negative_conv_axis none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.conv': an operand lacks axis V}}
  %z = attn.conv %x, %y along [V] taps [V] : real [T, K], real [T, V]
}

// -----

attn.attention @negative_conv_taps none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.conv': an operand lacks axis K}}
  %z = attn.conv %x, %y along [T] taps [K] : real [T, K], real [T, V]
}

// -----

attn.attention @negative_conv_taps_of_field none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.conv': the operand has the axis K of the taps}}
  %z = attn.conv %x, %x along [T] taps [K] : real [T, K], real [T, K]
}

// -----

attn.attention @negative_conv_count none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'attn.conv': is along 2 axes with 1 axes of taps; it should be one or two of each}}
  %z = attn.conv %x, %y along [T, K] taps [V] : real [T, K], real [T, V]
}

// -----

attn.attention @negative_conv_kind none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %n = attn.index V
  // expected-error @+1 {{'attn.conv': takes reals}}
  %z = attn.conv %x, %n along [T] taps [V] : real [T, K], int [V]
}

// -----

attn.attention @negative_carry_fallback none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %c = attn.constant real 1.0
  // expected-error @+1 {{'z' is carried, and has a fallback}}
  %z = attn.input "z" carry [K] fallback %c : real [] : real [K]
}

// -----

attn.attention @negative_carry_unknown none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'z' is the name of no carried input}}
  attn.output "z" carry %x [T, K] : real [T, K]
}

// -----

attn.attention @negative_carry_of_input none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  // expected-error @+1 {{'x' is the name of no carried input}}
  attn.output "x" carry %x [T, K] : real [T, K]
}

// -----

attn.attention @negative_carry_other_array none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.input "z" carry f32 [K] : real [K]
  // expected-error @+1 {{'z' is another array than the carried input of this name}}
  attn.output "z" carry %z bf16 [K] : real [K]
}

// -----

attn.attention @negative_carry_twice none axes [T, K, V, Tb = T / 4] {
  %x = attn.input "x" [T, K] : real [T, K]
  %y = attn.input "y" [T, V] : real [T, V]
  %z = attn.input "z" carry f32 [K] : real [K]
  attn.output "z" carry %z f32 [K] : real [K]
  // expected-error @+1 {{'z' is written twice}}
  attn.output "z" carry %z f32 [K] : real [K]
}
