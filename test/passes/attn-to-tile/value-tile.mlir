// A wide result in parts: one more parallel axis; what has no part of it is stored once. A reduction over the result keeps it whole.
// RUN: fovea-opt %s --attn-to-tile='value-tile=32' | FileCheck %s

// CHECK-LABEL: tile.program @parts
// CHECK: tile.launch "parts" ["B", "V", "T"] (%[[B:.*]] = %{{.*}}, %[[P:.*]] = %{{.*}}, %[[T:.*]] = %{{.*}})
// CHECK: %[[FROM:.*]] = arith.muli %[[P]],
// CHECK: tile.load %{{.*}}[%[[B]], %{{.*}}, %[[FROM]]] dims [1, 2] {{.*}} -> tensor<64x32xbf16>
// CHECK: tile.store {{.*}}[%[[B]], %{{.*}}, %[[FROM]]] dims [1, 2] : tensor<64x32xbf16>
// CHECK: arith.cmpi eq, %[[FROM]],
// CHECK: scf.if
// CHECK: tile.store {{.*}} : tensor<64xf32>
attn.attention @parts none axes [B, T, S keys T, D : 16, V : 64, j walk S from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %k = attn.input "k" [B, S, D] : real [B, S, D]
  %v = attn.input "v" [B, S, V] : real [B, S, V]
  %kj = attn.rename %k S to j : real [B, S, D]
  %vj = attn.rename %v S to j : real [B, S, V]
  %s = attn.dot %q, %kj over [D] : real [B, T, D], real [B, j, D]
  %p = attn.weights over j from T score %s : real [B, T, j]
  %o = attn.expect %p, %vj : [B, T] over j from T, real [B, j, V]
  %lse = attn.stat lse %p : [B, T] over j from T
  attn.output "o" %o [B, T, V] : real [B, T, V]
  attn.output "lse" %lse f32 [B, T] : real [B, T]
}

// CHECK-LABEL: tile.program @whole
// CHECK: tile.launch "whole" ["B", "T"]
// CHECK: tensor<64x64xbf16>
attn.attention @whole none axes [B, T, S keys T, D : 16, V : 64, j walk S from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %k = attn.input "k" [B, S, D] : real [B, S, D]
  %v = attn.input "v" [B, S, V] : real [B, S, V]
  %kj = attn.rename %k S to j : real [B, S, D]
  %vj = attn.rename %v S to j : real [B, S, V]
  %s = attn.dot %q, %kj over [D] : real [B, T, D], real [B, j, D]
  %p = attn.weights over j from T score %s : real [B, T, j]
  %o = attn.expect %p, %vj : [B, T] over j from T, real [B, j, V]
  %m = attn.reduce max %o over [V] : real [B, T, V]
  %n = attn.sub %o, %m : real [B, T, V], real [B, T]
  attn.output "n" %n [B, T, V] : real [B, T, V]
}
