// Windows of a grid: all tokens of a window are its queries and keys, read and written through merged views.
// RUN: fovea-opt %s --attn-to-tile -o %t.mlir
// RUN: FileCheck %s --input-file %t.mlir
// RUN: fovea-opt %s --attn-to-tile=split -o %t.split.mlir
// RUN: fovea-tile-run %t.split.mlir --axes B=1,Wy=2,M=21,Wx=1,N=17,H=2 --compare %t.mlir --tolerance 1e-7
// CHECK: tile.merge_dims %{{.*}} dims [1, 2] sizes(%[[M:.*]], %[[N:.*]]) : !tile.view<?x?x?x?x32xbf16> -> !tile.view<?x?x?x?x?x32xbf16>
// CHECK: tile.launch "windows" ["B", "Wy", "Wx", "H", "P"]
// CHECK: tile.domain
// CHECK: tile.load %{{.*}} dims [3, 5]
// CHECK: tile.fold
// CHECK: tile.load %{{.*}} dims [3, 5]
// CHECK: tile.store %{{.*}} dims [3, 5]
attn.attention @windows set axes [B, H, D : 32, Y = Wy * M, X = Wx * N, P = M * N, Wy, M, Wx, N, j walk P from P] {
  %q = attn.input "q" [B, Y, X, H, D] : real [B, Wy, M, Wx, N, H, D]
  %k = attn.input "k" [B, Y, X, H, D] : real [B, Wy, M, Wx, N, H, D]
  %v = attn.input "v" [B, Y, X, H, D] : real [B, Wy, M, Wx, N, H, D]
  %kj = attn.flatten %k [M, N] to j : real [B, Wy, M, Wx, N, H, D]
  %dot = attn.dot %q, %kj over [D] : real [B, Wy, M, Wx, N, H, D], real [B, Wy, j, Wx, H, D]
  %p = attn.weights over j from P as [M, N] score %dot : real [B, Wy, M, Wx, N, H, j]
  %vj = attn.flatten %v [M, N] to j : real [B, Wy, M, Wx, N, H, D]
  %o = attn.expect %p, %vj : [B, Wy, M, Wx, N, H] over j from P, real [B, Wy, j, Wx, H, D]
  attn.output "o" %o [B, Y, X, H, D] : real [B, Wy, M, Wx, N, H, D]
}

// Along one axis and then along the other: the inner weights have rows of their own, in a launch before.
// RUN: FileCheck %s --check-prefix=AXIAL --input-file %t.mlir
// RUN: fovea-tile-run %t.mlir --program axial --axes B=1,W=2,M=70,N=33,H=1
// AXIAL: tile.program @axial
// AXIAL: tile.workspace "q_prepared" ["B", "W", "N", "H", "M", "D"]
// AXIAL: tile.launch "prepare_q_prepared" ["B", "W", "H", "M", "N"]
// AXIAL: tile.fold
// AXIAL: tile.launch "axial" ["B", "W", "N", "H", "M"]
// AXIAL: tile.fold
attn.attention @axial set axes [B, H, D : 32, Y = W * M, W, M, N, j walk N from N, l walk M from M] {
  %q = attn.input "q" [B, Y, N, H, D] : real [B, W, M, N, H, D]
  %k = attn.input "k" [B, Y, N, H, D] : real [B, W, M, N, H, D]
  %v = attn.input "v" [B, Y, N, H, D] : real [B, W, M, N, H, D]
  %kj = attn.rename %k N to j : real [B, W, M, N, H, D]
  %along = attn.dot %q, %kj over [D] : real [B, W, M, N, H, D], real [B, W, M, j, H, D]
  %row = attn.weights over j from N score %along : real [B, W, M, N, H, j]
  %vj = attn.rename %v N to j : real [B, W, M, N, H, D]
  %inner = attn.expect %row, %vj : [B, W, M, N, H] over j from N, real [B, W, M, j, H, D]
  %kl = attn.rename %k M to l : real [B, W, M, N, H, D]
  %across = attn.dot %q, %kl over [D] : real [B, W, M, N, H, D], real [B, W, l, N, H, D]
  %column = attn.weights over l from M score %across : real [B, W, M, N, H, l]
  %innerl = attn.rename %inner M to l : real [B, W, M, N, H, D]
  %o = attn.expect %column, %innerl : [B, W, M, N, H] over l from M, real [B, W, l, N, H, D]
  attn.output "o" %o [B, Y, N, H, D] : real [B, W, M, N, H, D]
}
