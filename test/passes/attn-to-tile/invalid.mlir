// What is refused, and the words for it.
// RUN: fovea-opt %s --attn-to-tile --split-input-file --verify-diagnostics

attn.attention @unknown_size none axes [T, D, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  // expected-error@+1 {{the size of the axis 'D' must be known here, since it lies whole inside a tile: declare it static or set it, as in D=64}}
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @head_dim none axes [T, D : 100, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  // expected-error@+1 {{the axis 'D' has 100 elements; supported are multiples of 8 up to 256, since it is summed over; the nearest is 104}}
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @value_dim none axes [T, D : 64, V : 520, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %v = attn.input "v" [T, V] : real [T, V]
  %kj = attn.rename %q T to j : real [T, D]
  %vj = attn.rename %v T to j : real [T, V]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  // expected-error@+1 {{the axis 'V' has 520 elements; supported are multiples of 8 up to 512; the nearest is 512}}
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}

// -----

attn.attention @sinks none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %c = attn.constant real 1.0
  // expected-error@+1 {{has sinks; they must have become gates before (attn-sink-to-gate)}}
  %p = attn.weights over j from T score %s : real [T, j] sinks(%c : real [])
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @pair_with_features none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  %d = attn.sub %q, %kj : real [T, D], real [j, D]
  // expected-error@+1 {{one factor varies with the query, the key and 'D' at once; a dot contracts a field of the query with one of the key}}
  %s = attn.dot %d, %kj over [D] : real [T, D, j], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @pair_sum none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  // expected-error@+1 {{varies with the query and the key and 'D' at once; a tile has at most two such axes, so contract one of them first}}
  %d = attn.sub %q, %kj : real [T, D], real [j, D]
  %a = attn.abs %d : real [T, D, j]
  %s = attn.reduce sum %a over [D] : real [T, D, j]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @two_axes none axes [T, D : 64, E : 16, j walk T from T] {
  %q = attn.input "q" [T, D, E] : real [T, D, E]
  // expected-error@+1 {{contracts 2 axes at once; in this version one, that of the features}}
  %s = attn.dot %q, %q over [D, E] : real [T, D, E], real [T, D, E]
  attn.output "o" %s [T] : real [T]
}

// -----

attn.attention @row_axis_sum none axes [T, H : 16, D : 64, j walk T from T] {
  %q = attn.input "q" [T, H, D] : real [T, H, D]
  %kj = attn.rename %q T to j : real [T, H, D]
  %s = attn.dot %q, %kj over [D] : real [T, H, D], real [j, H, D]
  // expected-error@+1 {{the axis 'H' is an axis of these weights and is also summed over or a feature axis of a value}}
  %p = attn.weights over j from T score %s : real [T, H, j]
  %o = attn.expect %p, %kj : [T, H] over j from T, real [j, H, D]
  %sum = attn.reduce sum %o over [H] : real [T, H, D]
  attn.output "o" %sum [T, D] : real [T, D]
}

// -----

attn.attention @three_tokens none axes [T, S keys T, U keys T, j walk S from T, n walk U from T] {
  %a = attn.index T
  %b = attn.index S
  %c = attn.add %a, %b : int [T], int [S]
  %u = attn.index U
  %d = attn.add %c, %u : int [T, S], int [U]
  // expected-error@+1 {{the output 'd' has the token axes 'T', 'S' and 'U'; in this version it has at most two}}
  attn.output "d" %d [T, S, U] : int [T, S, U]
}

// -----

attn.attention @logsumexp_of_blocks none axes [B, T, Tb = T / 64, j walk T from T] {
  %x = attn.input "x" f32 [B, T] : real [B, T]
  // expected-error@+1 {{not in this version: the logsumexp over blocks; max, min, sum and mean are}}
  %m = attn.block_reduce logsumexp %x over T to Tb : real [B, T]
  attn.output "m" %m f32 [B, Tb] : real [B, Tb]
}

// -----

attn.attention @ints_of_pairs none axes [T, S keys T, Sb = S / 64, j walk S from T] {
  %i = attn.index T
  %j = attn.index j
  %d = attn.sub %i, %j : int [T], int [j]
  // expected-error@+1 {{not in this version: reductions of integers of pairs over blocks}}
  %m = attn.block_reduce max %d over j to Sb : int [T, j]
  attn.output "m" %m [T, Sb] : int [T, Sb]
}

// -----

attn.attention @no_token none axes [H, T, j walk T from T] {
  %a = attn.index H
  // expected-error@+1 {{the output 'a' has no token axis; in this version each output has one, as in [B, T, H]}}
  attn.output "a" %a [H] : int [H]
}

// -----

attn.attention @wide_integer none axes [T, j walk T from T] {
  %a = attn.index T
  // expected-error@+1 {{the integer 4294967296 does not fit 32 bits, in which tiles compute}}
  %c = attn.constant int 4294967296
  %b = attn.add %a, %c : int [T], int []
  attn.output "b" %b [T] : int [T]
}

// -----

attn.attention @features_first none axes [T, D : 64, j walk T from T] {
  // expected-error@+1 {{the input 'x' has its features before its tokens; declare it with the tokens first}}
  %x = attn.input "x" [D, T] : real [D, T]
  %y = attn.exp %x : real [D, T]
  attn.output "y" %y [T, D] : real [D, T]
}

// -----

attn.attention @value_features_first none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %v = attn.input "v" [D, T] : real [D, T]
  %kj = attn.rename %q T to j : real [T, D]
  %vj = attn.rename %v T to j : real [D, T]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  // expected-error@+1 {{the value has its features before its tokens; declare it with the tokens first}}
  %o = attn.expect %p, %vj : [T] over j from T, real [D, j]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @split_axis none axes [T, A : 16, D : 16, H = A * D, j walk T from T] {
  // expected-error@+1 {{the axis 'A' is a part of 'H' and would lie inside a tile; in this version only whole axes can}}
  %x = attn.input "x" [T, H] : real [T, A, D]
  %y = attn.reduce sum %x over [A] : real [T, A, D]
  attn.output "y" %y [T, D] : real [T, D]
}

// -----

attn.attention @rows_of_windows set axes [D : 64, Y = Wy * M, X = Wx * N, P = M * N, T = Wy * M * Wx * N, Wy, M, Wx, N, j walk P from P] {
  %q = attn.input "q" [Y, X, D] : real [Wy, M, Wx, N, D]
  %k = attn.flatten %q [M, N] to j : real [Wy, M, Wx, N, D]
  %s = attn.dot %q, %k over [D] : real [Wy, M, Wx, N, D], real [Wy, j, Wx, D]
  %p = attn.weights over j from P as [M, N] score %s : real [Wy, M, Wx, N, j]
  %o = attn.expect %p, %k : [Wy, M, Wx, N] over j from P, real [Wy, j, Wx, D]
  // expected-error@+1 {{the axis 'Wx' is an inner part of 'T', whose outer parts lie inside a tile; declare the factors of 'T' as axes in its place, which is the same memory}}
  attn.output "o" %o [T, D] : real [Wy, M, Wx, N, D]
}
