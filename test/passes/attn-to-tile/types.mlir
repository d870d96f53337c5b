// Operands of a product have one type: the one that holds both exactly. Products of f32 say how they are multiplied.
// RUN: fovea-opt %s --attn-to-tile | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile='type=f32 precision=fma' | FileCheck %s --check-prefix=FMA
// RUN: fovea-opt %s --attn-to-tile='alignment=1' | FileCheck %s --check-prefix=NARROW
// RUN: fovea-opt %s --pass-pipeline='builtin.module(attn-to-tile{type=f32 precision=tf32},tile.program(tile-expand-fold))' | FileCheck %s --check-prefix=EXPANDED

// CHECK-LABEL: tile.program @mixed choices {{.*}}precision = "3xtf32"
// CHECK: %[[Q:.*]] = tile.load {{.*}} -> tensor<64x64xbf16>
// CHECK: %[[WIDE:.*]] = arith.extf %[[Q]] : tensor<64x64xbf16> to tensor<64x64xf32>
// CHECK: %[[K:.*]] = tile.load {{.*}} -> tensor<64x64xf32>
// CHECK: tile.dot %[[WIDE]], %[[K]], {{.*}} precision "3xtf32" : tensor<64x64xf32>
// FMA-LABEL: tile.program @mixed choices {{.*}}precision = "fma"
// FMA: tile.dot {{.*}} precision "fma"
// NARROW-LABEL: tile.program @mixed
// NARROW: tile.tensor "q" "input" ["T", "D"] {alignment = 2 : i64} : <?x64xbf16>
// NARROW: tile.tensor "k" "input" ["S", "D"] {alignment = 4 : i64} : <?x64xf32>
// NARROW: tile.tensor "o" "output" ["T", "V"] {alignment = 2 : i64}
// EXPANDED-LABEL: tile.program @mixed
// EXPANDED: tile.dot {{.*}} contract [1, 1] precision "tf32"
// EXPANDED: tile.dot {{.*}} contract [1, 0] precision "tf32"
attn.attention @mixed none axes [T, S keys T, D : 64, V : 32, j walk S from T] {
  %q = attn.input "q" bf16 [T, D] : real [T, D]
  %k = attn.input "k" f32 [S, D] : real [S, D]
  %v = attn.input "v" [S, V] : real [S, V]
  %kj = attn.rename %k S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, V]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}

// Both are narrow, and tf32 holds them: one product is exact.
// CHECK-LABEL: tile.program @two_narrow
// CHECK: tile.dot {{.*}} precision "tf32" : tensor<64x64xf32>
attn.attention @two_narrow none axes [T, S keys T, D : 64, V : 32, j walk S from T] {
  %q = attn.input "q" bf16 [T, D] : real [T, D]
  %k = attn.input "k" f16 [S, D] : real [S, D]
  %v = attn.input "v" bf16 [S, V] : real [S, V]
  %kj = attn.rename %k S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, V]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}
