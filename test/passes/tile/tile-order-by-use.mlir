// RUN: fovea-opt %s --tile-order-by-use | FileCheck %s

// Two spellings of one program.
// CHECK-LABEL: tile.program @a
// CHECK: tile.launch
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0 : index
// CHECK-NEXT: %[[X:.*]] = tile.load
// CHECK-NEXT: %[[ONE:.*]] = arith.constant dense<1.000000e+00>
// CHECK-NEXT: %[[SUM:.*]] = scf.for {{.*}} iter_args(%[[ACC:.*]] = %[[X]])
// CHECK-NEXT: %[[NEXT:.*]] = arith.addf %[[ACC]], %[[ONE]]
// CHECK-NEXT: scf.yield %[[NEXT]]
// CHECK: tile.store %[[SUM]], %{{.*}}[%[[ZERO]]]
// CHECK-LABEL: tile.program @b
// CHECK: tile.launch
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0 : index
// CHECK-NEXT: %[[X:.*]] = tile.load
// CHECK-NEXT: %[[ONE:.*]] = arith.constant dense<1.000000e+00>
// CHECK-NEXT: %[[SUM:.*]] = scf.for {{.*}} iter_args(%[[ACC:.*]] = %[[X]])
// CHECK-NEXT: %[[NEXT:.*]] = arith.addf %[[ACC]], %[[ONE]]
// CHECK-NEXT: scf.yield %[[NEXT]]
// CHECK: tile.store %[[SUM]], %{{.*}}[%[[ZERO]]]
tile.program @a {
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["4"] : !tile.view<4xf32>
  %r = tile.tensor "r" "output" ["4"] : !tile.view<4xf32>
  tile.launch "p" ["n"] (%i = %n) {
    %zero = arith.constant 0 : index
    %t = tile.load %x[%zero] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<4xf32>
    %one = arith.constant dense<1.0> : tensor<4xf32>
    %unused = arith.addf %t, %one : tensor<4xf32>
    %s = scf.for %j = %i to %n step %n iter_args(%a = %t) -> (tensor<4xf32>) {
      %b = arith.addf %a, %one : tensor<4xf32>
      scf.yield %b : tensor<4xf32>
    }
    tile.store %s, %r[%zero] dims [0] : tensor<4xf32>, !tile.view<4xf32>
  }
}
tile.program @b {
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["4"] : !tile.view<4xf32>
  %r = tile.tensor "r" "output" ["4"] : !tile.view<4xf32>
  tile.launch "p" ["n"] (%i = %n) {
    %one = arith.constant dense<1.0> : tensor<4xf32>
    %zero = arith.constant 0 : index
    %t = tile.load %x[%zero] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<4xf32>
    %s = scf.for %j = %i to %n step %n iter_args(%a = %t) -> (tensor<4xf32>) {
      %b = arith.addf %a, %one : tensor<4xf32>
      scf.yield %b : tensor<4xf32>
    }
    tile.store %s, %r[%zero] dims [0] : tensor<4xf32>, !tile.view<4xf32>
  }
}

// A load of what the launch writes stays between its stores.
// CHECK-LABEL: tile.program @no_move
// CHECK: tile.store
// CHECK-NEXT: %[[T:.*]] = tile.load
// CHECK: tile.store
// CHECK: tile.store %[[T]]
tile.program @no_move {
  %r = tile.tensor "r" "output" ["4"] : !tile.view<4xf32>
  tile.launch "p" [] () {
    %zero = arith.constant 0 : index
    %a = arith.constant dense<1.0> : tensor<4xf32>
    %b = arith.constant dense<2.0> : tensor<4xf32>
    tile.store %a, %r[%zero] dims [0] : tensor<4xf32>, !tile.view<4xf32>
    %t = tile.load %r[%zero] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<4xf32>
    tile.store %b, %r[%zero] dims [0] : tensor<4xf32>, !tile.view<4xf32>
    tile.store %t, %r[%zero] dims [0] : tensor<4xf32>, !tile.view<4xf32>
  }
}
