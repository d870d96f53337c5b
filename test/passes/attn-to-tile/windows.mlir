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
