// Messages of types, attributes and the axis table.
// RUN: fovea-opt %s --split-input-file --verify-diagnostics

attn.attention @negative_repeated_axis none axes [T] {
  // expected-error @+1 {{axis T occurs twice}}
  %x = attn.input "x" [T, T] : real [T, T]
}

// -----

// expected-error @+1 {{an axis has an empty name}}
attn.attention @negative_empty_name none axes [""] {}

// -----

attn.attention @negative_empty_name_in_type none axes [T] {
  // expected-error @+1 {{an axis has an empty name}}
  %x = attn.input "x" [""] : real [""]
}

// -----

attn.attention @negative_kind none axes [T] {
  // expected-error @+1 {{a field is real, int or bool, not 'complex'}}
  %x = attn.input "x" [T] : complex [T]
}

// -----

attn.attention @negative_walk_is_row none axes [T, j walk T from T] {
  // expected-error @+1 {{the walk axis j is among the row axes}}
  %lse = attn.stat lse %p : [T, j] over j from T
}

// -----

attn.attention @negative_empty_query none axes [B, T, j walk T from T] {
  // expected-error @+1 {{the query axis has an empty name}}
  %lse = attn.stat lse %p : [B] over j from ""
}

// -----

// expected-error @+1 {{a size is at least 1}}
attn.attention @negative_size none axes [T : 0] {}

// -----

// expected-error @+1 {{factor axis H has a size of its own; its parts give it}}
attn.attention @negative_factor_size none axes [A, C, H = A * C : 4] {}

// -----

// expected-error @+1 {{axis H, a factor axis, refers to 1 axes; it should be 2 or more}}
attn.attention @negative_factor_of_one none axes [A, H = A] {}

// -----

// expected-error @+1 {{axis T is declared twice}}
attn.attention @negative_declared_twice none axes [T, T] {}

// -----

// expected-error @+1 {{axis S refers to T, which is not declared}}
attn.attention @negative_undeclared none axes [S keys T] {}

// -----

// expected-error @+1 {{axis E refers to the factor axis H}}
attn.attention @negative_factor_of_factor none axes [A, C, H = A * C, E = H * A] {}

// -----

// expected-error @+1 {{axis U has keys for S, itself an axis of keys}}
attn.attention @negative_keys_of_keys none axes [T, S keys T, U keys S] {}

// -----

// expected-error @+1 {{axis A occurs twice}}
attn.attention @negative_factor_repeats none axes [A, H = A * A] {}

// -----

attn.attention @negative_interval_without_bound none axes [T] {
  // expected-error @+1 {{an interval has a bound}}
  %x = attn.input "x" [T] within <> : real [T]
}

// -----

attn.attention @negative_interval_of_nan none axes [T] {
  // expected-error @+1 {{a bound of an interval is a number of type f64}}
  %x = attn.input "x" [T] within <from 0x7FF8000000000000> : real [T]
}

// -----

attn.attention @negative_empty_interval none axes [T] {
  // expected-error @+1 {{the interval is empty}}
  %x = attn.input "x" [T] within <from 1.0 below 1.0> : real [T]
}

// -----

// expected-error @+1 {{blocks axis Tb has a size of its own; its axis gives it}}
attn.attention @negative_blocks_size none axes [T, Tb = T / 64 : 4] {}

// -----

// expected-error @+1 {{outer axis P has a size of its own; its parts give it}}
attn.attention @negative_outer_size none axes [A, C, P = A outer C : 4] {}

// -----

// expected-error @+1 {{axis P refers to the factor axis H}}
attn.attention @negative_outer_of_factor none axes [A, C, H = A * C, P = A outer H] {}

// -----

// expected-error @+1 {{concat axis E has a size of its own; its parts give it}}
attn.attention @negative_concat_size none axes [A, C, E = A + C : 4] {}

// -----

// expected-error @+1 {{axis Tb has extent 0 and step 0; both are from 1 to 2147483647}}
attn.attention @negative_blocks_of_none none axes [T, Tb = T / 0] {}

// -----

// expected-error @+1 {{axis Tc has extent 8 and step -1; both are from 1 to 2147483647}}
attn.attention @negative_window_step none axes [T, Tc = windows T of 8 step -1] {}

// -----

// expected-error @+1 {{axis Tc has extent 4294967296 and step 1; both are from 1 to 2147483647}}
attn.attention @negative_window_extent none axes [T, Tc = windows T of 4294967296 step 1] {}

// -----

// expected-error @+1 {{axis F has the divisor 0; it is from 1 to 2147483647}}
attn.attention @negative_share_of_none none axes [D, F = D share 0] {}

// -----

// expected-error @+1 {{axis D has size 9, which 2 does not divide; axis F is that share of it}}
attn.attention @negative_share none axes [D : 9, F = D share 2] {}

// -----

// expected-error @+1 {{expected valid keyword or string}}
attn.attention @negative_concat_of_one none axes [A, E = A + ] {}

// -----

// expected-error @+1 {{axis Tb refers to the factor axis H}}
attn.attention @negative_blocks_of_factor none axes [A, C, H = A * C, Tb = H / 64] {}

// -----

// expected-error @+1 {{axis k refers to the walk axis j}}
attn.attention @negative_walk_of_walk none axes [T, j walk T from T, k walk j from T] {}

// -----

// expected-error @+1 {{axis j walks P from T; keys and queries of the factor axis P should be the same}}
attn.attention @negative_walk_of_factor none axes [T, M, N, P = M * N, j walk P from T] {}

// -----

// expected-error @+1 {{the size of axis A follows from itself}}
attn.attention @negative_cycle none axes [A = C + D, C = A / 4, D] {}

// -----

// expected-error @+1 {{the size of axis A follows from itself}}
attn.attention @negative_own_blocks none axes [A = A / 4] {}

// -----

// expected-error @+1 {{axis K occurs twice}}
%0 = builtin.unrealized_conversion_cast to !attn.state<[B, K] K x V along T>

// -----

// expected-error @+1 {{expected a value axis, or 1 where there is none}}
%0 = builtin.unrealized_conversion_cast to !attn.state<[B] K x 2 along T>
