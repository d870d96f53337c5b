// Which launch writes which output, and what a fold carries.
// RUN: fovea-opt %s --attn-to-tile=type=f16 --canonicalize --cse --split-input-file | FileCheck %s

// Everything under one distribution shares its fold: equal terms once, features or not.
// CHECK-LABEL: tile.program @terms
// CHECK-COUNT-1: tile.launch
// CHECK: %[[MAX:.*]], %[[SUM:.*]], %[[ACC:.*]]:3 = tile.fold
// CHECK: tile.fold_yield %{{.*}} coefficients(%{{.*}} : tensor<64x64xf32>) values(%{{.*}} : tensor<64x64xf16>) terms [-1, 0, 0] * [0, 0, -1]
// CHECK: arith.cmpf une, %[[SUM]]
// CHECK-COUNT-1: arith.divf
// CHECK-NOT: arith.divf
// CHECK-NOT: tile.launch
attn.attention @terms none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %c = attn.input "c" f32 [T] : real [T]
  %kj = attn.rename %q T to j : real [T, D]
  %cj = attn.rename %c T to j : real [T]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %a = attn.expect %p, %kj : [T] over j from T, real [j, D]
  %two = attn.constant real 2.0
  %k2 = attn.mul %kj, %two : real [j, D], real []
  %b = attn.expect %p, %k2 : [T] over j from T, real [j, D]
  %e = attn.expect %p, %kj coefficient %s : real [T, j] : [T] over j from T, real [j, D]
  %f = attn.expect %p, %two coefficient %s : real [T, j] : [T] over j from T, real []
  %one = attn.expect %p, %two : [T] over j from T, real []
  %x = attn.add %a, %b : real [T, D], real [T, D]
  %y = attn.mul %e, %f : real [T, D], real [T]
  %z = attn.add %x, %y : real [T, D], real [T, D]
  %o = attn.mul %z, %one : real [T, D], real [T]
  %mass = attn.stat mass %p : [T] over j from T
  %max = attn.stat max %p : [T] over j from T
  attn.output "o" %o [T, D] : real [T, D]
  attn.output "mass" %mass f32 [T] : real [T]
  attn.output "max" %max f32 [T] : real [T]
}

// -----

// Outputs on other batch axes have a launch of their own. An output is repeated over axes that its value lacks.
// CHECK-LABEL: tile.program @groups
// CHECK: tile.launch "groups" ["B", "H", "T"]
// CHECK: tile.store {{.*}} dims [1, 3]
// CHECK: tile.store {{.*}} dims [1]
// CHECK: tile.launch "groups_2" ["B", "T"]
// CHECK: tile.store {{.*}} : tensor<64xi32>, !tile.view<?x?xi32>
// CHECK: tile.launch "groups_3" ["S"]
// CHECK: tile.store {{.*}} dims [0, 1]
attn.attention @groups none axes [B, T, H, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %n = attn.input "n" i32 [B] : int [B]
  %t = attn.index T
  %r = attn.reduce sum %q over [D] : real [B, T, H, D]
  %i = attn.add %t, %n : int [T], int [B]
  %m = attn.exp %k : real [S, D]
  %ti = attn.to_real %t : int [T]
  attn.output "o" %q [B, T, H, D] : real [B, T, H, D]
  attn.output "r" %ti [B, T, H] : real [T]
  attn.output "i" %i [B, T] : int [T, B]
  attn.output "m" %m [S, D] : real [S, D]
}

// -----

// Two distributions in one launch, one of which needs the other.
// CHECK-LABEL: tile.program @two
// CHECK-COUNT-1: tile.launch
// CHECK: %[[M1:.*]], %[[L1:.*]], %{{.*}} = tile.fold
// CHECK: tile.fold
// CHECK: tile.store
// CHECK-NOT: tile.launch
attn.attention @two none axes [T, D : 64, S keys T, j walk S from T, n walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %kj = attn.rename %k S to j : real [S, D]
  %kn = attn.rename %k S to n : real [S, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %a = attn.expect %p, %kj : [T] over j from T, real [j, D]
  %r = attn.dot %a, %kn over [D] : real [T, D], real [n, D]
  %w = attn.weights over n from T score %r : real [T, n]
  %o = attn.expect %w, %kn : [T] over n from T, real [n, D]
  attn.output "o" %o [T, D] : real [T, D]
}
