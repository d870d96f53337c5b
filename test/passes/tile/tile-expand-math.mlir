// Functions in terms of those that a GPU has. Their errors are measured by a unit test.
// RUN: fovea-opt %s --tile-expand-math | FileCheck %s

// Nothing of these is left, on scalars and on tiles.
// CHECK-NOT: math.{{exp |expm1|log |log1p|tanh|erf|powf|sin|cos}}
// CHECK-NOT: minimumf
// CHECK-NOT: floordivsi
tile.program @functions {
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["16", "16"] : !tile.view<16x16xf32>
  %y = tile.tensor "y" "output" ["16", "16"] : !tile.view<16x16xf32>
  tile.launch "functions" ["N"] (%i = %n) {
    %c0 = arith.constant 0 : index
    %c = arith.constant dense<0.5> : tensor<16x16xf32>
    %t = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<16x16xf32> -> tensor<16x16xf32>
    // CHECK: %[[X:.*]] = tile.load
    // CHECK: %[[LOG2E:.*]] = arith.constant dense<1.44269502> : tensor<16x16xf32>
    // CHECK: %[[SCALED:.*]] = arith.mulf %[[X]], %[[LOG2E]]
    // CHECK: %[[E:.*]] = math.exp2 %[[SCALED]]
    %e = math.exp %t : tensor<16x16xf32>
    // A multiple of x is multiplied once.
    // CHECK: %[[M:.*]] = arith.mulf %[[E]]
    // CHECK: %[[TWICE:.*]] = arith.constant dense<1.44269502> : tensor<16x16xf32>
    // CHECK: arith.mulf %[[E]], %[[TWICE]]
    // CHECK: math.exp2
    // CHECK: arith.divf
    // CHECK: arith.subf
    %h = arith.mulf %e, %c : tensor<16x16xf32>
    %a = math.tanh %h : tensor<16x16xf32>
    // CHECK: math.log2
    %b = math.log %a : tensor<16x16xf32>
    %d = math.expm1 %b : tensor<16x16xf32>
    %f = math.log1p %d : tensor<16x16xf32>
    %g = math.erf %f : tensor<16x16xf32>
    %p = math.powf %g, %t : tensor<16x16xf32>
    %m = arith.minimumf %p, %t : tensor<16x16xf32>
    // Quarter turns are taken off in three steps.
    // CHECK: %[[K:.*]] = math.roundeven
    // CHECK: %[[PI2:.*]] = arith.constant dense<-1.57079625> : tensor<16x16xf32>
    // CHECK: math.fma %[[K]], %[[PI2]]
    // CHECK: math.fma %[[K]]
    // CHECK: math.fma %[[K]]
    %s = math.sin %m : tensor<16x16xf32>
    // Of a product, what its rounding lost is given back.
    // CHECK: %[[ANGLE:.*]] = arith.mulf %[[S:.*]], %[[X]]
    // CHECK: %[[LESS:.*]] = arith.negf %[[ANGLE]]
    // CHECK: math.fma %[[S]], %[[X]], %[[LESS]]
    %angle = arith.mulf %s, %t : tensor<16x16xf32>
    %cosine = math.cos %angle : tensor<16x16xf32>
    // These stay.
    // CHECK: math.rsqrt
    // CHECK: math.roundeven
    %r = math.rsqrt %cosine : tensor<16x16xf32>
    %o = math.roundeven %r : tensor<16x16xf32>
    // CHECK: tile.load_scalar
    // CHECK: arith.constant 1.44269502 : f32
    // CHECK: math.exp2 %{{.*}} : f32
    %z = tile.load_scalar %x[%c0, %c0] : !tile.view<16x16xf32> -> f32
    %ze = math.exp %z : f32
    // A constant base, of few elements: the exponent's bits are made, not approximated.
    // CHECK: arith.shli
    // CHECK: arith.bitcast
    // CHECK: arith.shli
    // CHECK: arith.bitcast
    %base = arith.constant 10000.0 : f32
    %zp = math.powf %base, %ze : f32
    // By a positive constant only a remainder below 0 matters.
    // CHECK: %[[I:.*]] = arith.fptosi
    // CHECK: %[[QUOTIENT:.*]] = arith.divsi %[[I]], %[[FOUR:.*]] : i32
    // CHECK: %[[REST:.*]] = arith.remsi %[[I]], %[[FOUR]] : i32
    // CHECK: %[[BELOW:.*]] = arith.cmpi slt, %[[REST]]
    // CHECK: %[[LESS:.*]] = arith.subi %[[QUOTIENT]]
    // CHECK: arith.select %[[BELOW]], %[[LESS]], %[[QUOTIENT]]
    %zi = arith.fptosi %ze : f32 to i32
    %four = arith.constant 4 : i32
    %q = arith.floordivsi %zi, %four : i32
    %qf = arith.sitofp %q : i32 to f32
    %qs = tile.splat %qf : f32 -> tensor<16x16xf32>
    %w = arith.addf %o, %qs : tensor<16x16xf32>
    tile.store %w, %y[%c0, %c0] dims [0, 1] : tensor<16x16xf32>, !tile.view<16x16xf32>
  }
}
