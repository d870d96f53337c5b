// What cannot be cut, joined or summed on tiles, with its reason.
// RUN: fovea-opt %s --attn-to-tile --split-input-file --verify-diagnostics

attn.attention @integers none axes [T, D : 64, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  %n = attn.input "n" i32 [T] : int [T]
  // expected-error@+1 {{sums integers along 'T'; in this version tiles sum reals}}
  %c = attn.scan %n along T : int [T]
  %r = attn.to_real %c : int [T]
  %xj = attn.rename %x T to j : real [T, D]
  %s = attn.dot %x, %xj over [D] : real [T, D], real [j, D]
  %s2 = attn.add %s, %r : real [T, j], real [T]
  %p = attn.weights over j from T score %s2 : real [T, j]
  %o = attn.expect %p, %xj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @features none axes [T, D : 64, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  // expected-error@+1 {{sums along 'D', an axis inside tiles; in this version sums run along tokens}}
  %c = attn.scan %x along D : real [T, D]
  %xj = attn.rename %x T to j : real [T, D]
  %s = attn.dot %c, %xj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %xj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @walk none axes [T, D : 64, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  %y = attn.input "y" [T] : real [T]
  %yj = attn.rename %y T to j : real [T]
  // expected-error@+1 {{sums along the walk 'j'; sum along the key axis instead}}
  %c = attn.scan %yj along j : real [j]
  %xj = attn.rename %x T to j : real [T, D]
  %s = attn.dot %x, %xj over [D] : real [T, D], real [j, D]
  %s2 = attn.add %s, %c : real [T, j], real [j]
  %p = attn.weights over j from T score %s2 : real [T, j]
  %o = attn.expect %p, %xj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// A part of 20 elements cannot be cut without an exchange between threads.
attn.attention @odd none axes [T, D : 40, F = D share 2, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  // expected-error@+1 {{the axis 'F' has 20 elements; supported are multiples of 8}}
  %a = attn.slice %x D to F after [] : real [T, D]
  %b = attn.slice %x D to F after [F] : real [T, D]
  %y = attn.concat %b, %a along D from [F, F] : real [T, F], real [T, F]
  %xj = attn.rename %x T to j : real [T, D]
  %s = attn.dot %y, %xj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %xj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}
