// Free weights are sums, divided by nothing; a mass is a coefficient, and its sum the divisor.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// CHECK-LABEL: tile.program @sigmoid
// CHECK: %[[MAX:.*]], %[[SUM:.*]], %[[ACC:.*]] = tile.fold
// CHECK: %[[W:.*]] = arith.divf
// CHECK: tile.fold_yield %[[W]] values
// CHECK: attributes {additive}
// CHECK-NOT: arith.divf
// CHECK: arith.truncf %[[ACC]]
// CHECK: tile.store %[[SUM]]
attn.attention @sigmoid none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %w = attn.sigmoid %s : real [T, j]
  %p = attn.weights over j from T weight %w : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  %mass = attn.stat mass %p : [T] over j from T
  attn.output "o" %o [T, D] : real [T, D]
  attn.output "mass" %mass f32 [T] : real [T]
}

// -----

// CHECK-LABEL: tile.program @mass
// CHECK: %{{.*}}, %{{.*}}, %[[ACC:.*]]:2 = tile.fold
// CHECK: tile.fold_yield %{{.*}} coefficients(%{{.*}} : tensor<64x64xf32>) values(%{{.*}}) terms [0, 0] * [-1, 0]
// CHECK: arith.divf %{{.*}}, %[[ACC]]#0
attn.attention @mass none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %c = attn.input "c" f32 [T] : real [T]
  %kj = attn.rename %q T to j : real [T, D]
  %cj = attn.rename %c T to j : real [T]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j] mass %cj : real [j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}
