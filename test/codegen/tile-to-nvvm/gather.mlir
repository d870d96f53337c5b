// Elements at indices: a predicate and a load for each, from a place that exists.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' -o %t.mlir
// RUN: fovea-translate %t.mlir --kernels | FileCheck %s

// CHECK: kernel rows threads 128
// CHECK: .entry rows
// CHECK-COUNT-32: ld.global{{.*}}b32
// CHECK: st.global
tile.program @rows {
  %n = tile.axis "N"
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xf32>
  %i = tile.tensor "i" "input" ["T"] : !tile.view<?xi32>
  %y = tile.tensor "y" "output" ["T", "D"] : !tile.view<?x64xf32>
  tile.launch "rows" ["N"] (%t = %n) {
    %t0 = arith.muli %t, %c64 : index
    %index = tile.load %i[%t0] dims [0] pad 0 : i32 : !tile.view<?xi32> -> tensor<64xi32>
    %r = tile.gather %x[%c0, %c0] by [0] (%index : tensor<64xi32>) dims [-1, 1] : !tile.view<?x64xf32> -> tensor<64x64xf32>
    tile.store %r, %y[%t0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x64xf32>
  }
}
