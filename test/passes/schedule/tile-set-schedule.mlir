// The record goes onto launches that have none, and onto no other.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=8 stages=3 query=shared}))' | FileCheck %s
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=1}))' | FileCheck %s --check-prefix=ONE
// RUN: not fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{query=nowhere}))' 2>&1 | FileCheck %s --check-prefix=BAD

// BAD: error: query must be registers or shared
// CHECK-LABEL: tile.program @records
tile.program @records {
  %T = tile.axis "T"
  // CHECK: tile.launch "none" ["T"] (%{{.*}} = %{{.*}}) schedule {query = "shared", stages = 3 : i64, warps = 8 : i64}
  tile.launch "none" ["T"] (%t = %T) {
  }
  // CHECK: tile.launch "some" ["T"] (%{{.*}} = %{{.*}}) schedule {query = "registers", stages = 1 : i64, warps = 4 : i64}
  tile.launch "some" ["T"] (%t = %T) schedule {query = "registers", stages = 1 : i64, warps = 4 : i64} {
  }
  // A chunk of its own: warps that its rows leave over take columns.
  // CHECK: tile.launch "chunk" {{.*}}warps = 8 : i64}
  %x = tile.tensor "x" "input" ["64", "128"] : !tile.view<64x128xbf16>
  %y = tile.tensor "y" "output" ["64", "64"] : !tile.view<64x64xf32>
  tile.launch "chunk" [] () {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<64x128xbf16> -> tensor<64x128xbf16>
    %p = tile.dot %a, %a, %zero contract [1, 1] : tensor<64x128xbf16>, tensor<64x128xbf16> -> tensor<64x64xf32>
    tile.store %p, %y[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
  }
  // Products of f32 keep whole rows.
  // CHECK: tile.launch "single" {{.*}}warps = 4 : i64}
  tile.launch "single" [] () {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %a = tile.load %y[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x64xf32> -> tensor<64x64xf32>
    %p = tile.dot %a, %a, %zero contract [1, 1] : tensor<64x64xf32>, tensor<64x64xf32> -> tensor<64x64xf32>
    tile.store %p, %y[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
  }
  // What neither loops nor multiplies has warps for its elements: 32 of a tile for a thread.
  // CHECK: tile.launch "wide" {{.*}}warps = 8 : i64}
  // ONE: tile.launch "wide" {{.*}}warps = 8 : i64}
  tile.launch "wide" [] () {
    %c0 = arith.constant 0 : index
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<64x128xbf16> -> tensor<64x128xbf16>
    %b = arith.negf %a : tensor<64x128xbf16>
    tile.store %b, %x[%c0, %c0] dims [0, 1] : tensor<64x128xbf16>, !tile.view<64x128xbf16>
  }
}
