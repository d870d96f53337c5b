// Tiles are wider than features that are no multiple of 16. Loads have 0 there and stores drop it; what is computed is
// masked before something sums over it.
// RUN: fovea-opt %s --attn-to-tile | FileCheck %s

// CHECK-LABEL: tile.program @loads
// CHECK: tile.tensor "q" "input" ["T", "D"] : <?x40xbf16>
// CHECK: tile.load {{.*}} -> tensor<64x48xbf16>
// CHECK: tile.load {{.*}} -> tensor<64x48xbf16>
// CHECK-NOT: arith.select
// CHECK: tile.dot {{.*}} tensor<64x48xbf16>
// CHECK: tile.store {{.*}} : tensor<64x16xbf16>, !tile.view<?x8xbf16>
attn.attention @loads none axes [T, S keys T, D : 40, V : 8, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %v = attn.input "v" [S, V] : real [S, V]
  %kj = attn.rename %k S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, V]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}

// exp(0) is 1: neither the sum nor the greatest element may see it.
// CHECK-LABEL: tile.program @reductions
// CHECK: %[[EXP:.*]] = math.exp
// CHECK: %[[EXISTS:.*]] = arith.cmpi slt, {{.*}} : tensor<32xi32>
// CHECK: %[[ALL:.*]] = tile.broadcast %[[EXISTS]] dims [1]
// CHECK: %[[KEPT:.*]] = arith.select %[[ALL]], %[[EXP]], %{{.*}}
// CHECK: tile.reduce "add" %[[KEPT]]
// CHECK: dense<0xFF800000>
// CHECK: %[[KEPT:.*]] = arith.select %{{.*}}, %[[EXP]], %{{.*}}
// CHECK: tile.reduce "max" %[[KEPT]]
attn.attention @reductions none axes [T, D : 24, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  %e = attn.exp %x : real [T, D]
  %sum = attn.reduce sum %e over [D] : real [T, D]
  %max = attn.reduce max %e over [D] : real [T, D]
  %both = attn.add %sum, %max : real [T], real [T]
  attn.output "y" %both f32 [T] : real [T]
}

// A computed operand of a product.
// CHECK-LABEL: tile.program @operand
// CHECK: %[[EXP:.*]] = math.exp
// CHECK: %[[KEPT:.*]] = arith.select %{{.*}}, %[[EXP]], %{{.*}}
// CHECK: %[[NARROW:.*]] = arith.truncf %[[KEPT]]
// CHECK: tile.dot %[[NARROW]]
attn.attention @operand none axes [T, S keys T, D : 24, V : 16, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %v = attn.input "v" [S, V] : real [S, V]
  %e = attn.exp %q : real [T, D]
  %kj = attn.rename %k S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, V]
  %s = attn.dot %e, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}

