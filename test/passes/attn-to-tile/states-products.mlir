// States whose keys are joined from parts of any size and from products of features: held in pieces, which are made between
// chunks only.
// RUN: fovea-opt %s --attn-to-tile=chunk=32 --canonicalize --cse | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile="state=step state-tile=32" --canonicalize --cse | FileCheck %s --check-prefix=STEP

// CHECK-LABEL: tile.program @taylor
// CHECK: %[[H:.*]] = tile.tensor "h" "carry"
// The one feature of degree 0 lies before others, which no load or store of its tile may touch.
// CHECK: %[[ONE:.*]] = tile.narrow %[[H]] dim 2 from %c0 size %c1
// CHECK: tile.load %[[ONE]]
// CHECK: tile.load %[[H]][%{{.*}}, %{{.*}}, %c17, %c0]
// CHECK: tile.recurrence from {{.*}} step 32 init({{.*}} : tensor<32x16xf32>, tensor<32x16xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>)
// Inside the chunk one product of 16 features, and its polynomial.
// CHECK: %[[T:.*]] = tile.dot %{{.*}}, %{{.*}}, %{{.*}} contract [1, 1] : tensor<32x16xbf16>, tensor<32x16xbf16> -> tensor<32x32xf32>
// CHECK: %[[LINEAR:.*]] = arith.addf %{{.*}}, %[[T]]
// CHECK: %[[SQUARE:.*]] = arith.mulf %[[T]], %[[T]]
// CHECK: arith.addf %[[LINEAR]], %[[SQUARE]]
// CHECK: arith.cmpi sge
// Between chunks features of the queries are made, four rows of products at a time.
// CHECK: tile.concat {{.*}} dim 1 : tensor<32x16xf32>, tensor<32x16xf32>, tensor<32x16xf32>, tensor<32x16xf32> -> tensor<32x64xf32>
// CHECK: tile.dot {{.*}} contract [1, 1] : tensor<32x64xbf16>, tensor<32x64xbf16> -> tensor<32x32xf32>
// CHECK: tile.store
// CHECK: tile.dot {{.*}} contract [1, 0] : tensor<32x32xbf16>, tensor<32x64xbf16> -> tensor<32x64xf32>
// CHECK: tile.recurrence_yield
// CHECK: tile.store %{{.*}}, %[[ONE]]

// STEP-LABEL: tile.program @taylor
// STEP: tile.recurrence {{.*}} step 1 init({{.*}} : tensor<32x16xf32>, tensor<32x16xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>)
// STEP-COUNT-6: tile.reduce "add"
// STEP: tile.store
attn.attention @taylor causal axes [B, T, H, V : 32, D : 16, F = of_1 + D + D_D, of_1 : 1, D_D = D outer D, D_again = D share 1] {
  %0 = attn.constant real 1.000000e+00
  %1 = attn.constant int 0
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, T, H, D] : real [B, T, H, D]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %h = attn.input "h" carry f32 [B, H, F, V] : real [B, H, F, V]
  %2 = attn.index of_1
  %3 = attn.mul %2, %1 : int [of_1], int []
  %4 = attn.to_real %3 : int [of_1]
  %5 = attn.add %4, %0 : real [of_1], real []
  %6 = attn.rename %k D to D_again : real [B, T, H, D]
  %7 = attn.mul %k, %6 : real [B, T, H, D], real [B, T, H, D_again]
  %8 = attn.flatten %7 [D, D_again] to D_D : real [B, T, H, D, D_again]
  %9 = attn.concat %5, %k, %8 along F from [of_1, D, D_D] : real [of_1], real [B, T, H, D], real [B, T, H, D_D]
  %S = attn.state along T key %9 over F : real [F, B, T, H] value %v over V : real [B, T, H, V] initial %h : real [B, H, F, V]
  %10 = attn.last %S : [B, H] F x V along T
  attn.output "h" carry %10 f32 [B, H, F, V] : real [B, H, F, V]
  %11 = attn.rename %q D to D_again : real [B, T, H, D]
  %12 = attn.mul %q, %11 : real [B, T, H, D], real [B, T, H, D_again]
  %13 = attn.flatten %12 [D, D_again] to D_D : real [B, T, H, D, D_again]
  %14 = attn.concat %5, %q, %13 along F from [of_1, D, D_D] : real [of_1], real [B, T, H, D], real [B, T, H, D_D]
  %o = attn.read after %S, %14 : [B, H] F x V along T, real [F, B, T, H]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
