// Keys in parts where weights are not divided, have a mass, or are several: what is merged is a sum, or one state each.
// RUN: split-file %s %t
// RUN: fovea-opt %t/free.mlir --attn-to-tile -o %t.plain.mlir
// RUN: fovea-opt %t/free.mlir --attn-to-tile=split -o %t.split.mlir
// RUN: FileCheck %s --check-prefix=FREE --input-file %t.split.mlir
// RUN: fovea-tile-run %t.split.mlir --axes B=1,T=3,S=900,H=1 --compare %t.plain.mlir --tolerance 1e-7
// RUN: fovea-tile-run %t.split.mlir --axes B=2,T=70,S=9,H=2 --compare %t.plain.mlir --tolerance 1e-7
// FREE-NOT: part_max
// FREE: tile.workspace "part_sum"
// FREE: scf.for
// FREE-NOT: math.exp2

// RUN: fovea-opt %t/two.mlir --attn-to-tile -o %t.plain.mlir
// RUN: fovea-opt %t/two.mlir --attn-to-tile=split -o %t.split.mlir
// RUN: FileCheck %s --check-prefix=TWO --input-file %t.split.mlir
// RUN: fovea-tile-run %t.split.mlir --axes B=1,T=3,S=900,H=2 --compare %t.plain.mlir --tolerance 1e-7
// RUN: fovea-tile-run %t.split.mlir --axes B=1,T=300,S=600,H=1 --compare %t.plain.mlir --tolerance 1e-7
// TWO: tile.launch "two_parts"
// TWO-COUNT-2: tile.domain_slice
// TWO: tile.launch "two"
// TWO-COUNT-2: scf.for

// RUN: not fovea-opt %t/pairs.mlir --attn-to-tile=split 2>&1 | FileCheck %s --check-prefix=PAIRS
// PAIRS: error: {{.*}}has no weights whose keys could be split
// RUN: not fovea-opt %t/free.mlir --attn-to-tile=pack 2>&1 | FileCheck %s --check-prefix=PACK
// PACK: error: {{.*}}has no heads that share their keys

//--- free.mlir
attn.attention @free causal axes [B, T, H, D : 32, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, S, H, D] : real [B, S, H, D]
  %v = attn.input "v" [B, S, H, D] : real [B, S, H, D]
  %kj = attn.rename %k S to j : real [B, S, H, D]
  %vj = attn.rename %v S to j : real [B, S, H, D]
  %dot = attn.dot %q, %kj over [D] : real [B, T, H, D], real [B, j, H, D]
  %w = attn.sigmoid %dot : real [B, T, H, j]
  %i = attn.query_position T over S
  %n = attn.index j
  %seen = attn.le %n, %i : int [j], int [T]
  %p = attn.weights over j from T weight %w : real [B, T, H, j] where %seen : bool [j, T]
  %o = attn.expect %p, %vj : [B, T, H] over j from T, real [B, j, H, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, H, D]
}

//--- two.mlir
attn.attention @two causal axes [B, T, H, D : 32, S keys T, j walk S from T, l walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, S, H, D] : real [B, S, H, D]
  %v = attn.input "v" [B, S, H, D] : real [B, S, H, D]
  %kj = attn.rename %k S to j : real [B, S, H, D]
  %vj = attn.rename %v S to j : real [B, S, H, D]
  %kl = attn.rename %k S to l : real [B, S, H, D]
  %vl = attn.rename %v S to l : real [B, S, H, D]
  %one = attn.dot %q, %kj over [D] : real [B, T, H, D], real [B, j, H, D]
  %two = attn.dot %q, %kl over [D] : real [B, T, H, D], real [B, l, H, D]
  %c = attn.constant real 0.25
  %small = attn.mul %two, %c : real [B, T, H, l], real []
  %i = attn.query_position T over S
  %n = attn.index j
  %seen = attn.le %n, %i : int [j], int [T]
  %p = attn.weights over j from T score %one : real [B, T, H, j] where %seen : bool [j, T]
  %r = attn.weights over l from T score %small : real [B, T, H, l]
  %a = attn.expect %p, %vj : [B, T, H] over j from T, real [B, j, H, D]
  %b = attn.expect %r, %vl : [B, T, H] over l from T, real [B, l, H, D]
  %o = attn.sub %a, %b : real [B, T, H, D], real [B, T, H, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, H, D]
}

//--- pairs.mlir
attn.attention @pairs set axes [B, T, H, D : 32, S keys T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %o = attn.neg %q : real [B, T, H, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, H, D]
}
