// Tiles of one view that lie a few rows off, as the taps of a convolution do, share one copy with some more rows; vectors that are
// loaded in front of a loop over chunks wait in shared memory; a matrix that two products take is copied once, before the loop.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-assign-layouts,tile-stage-operands))' | FileCheck %s
// RUN: fovea-opt %s --pass-pipeline='builtin.module(fovea-schedule)' -o %t.mlir
// RUN: fovea-tile-run %t.mlir --program taps --compare %s --compare-program taps --axes N=40 --tolerance 0
// RUN: fovea-translate %t.mlir --emit=ptx | FileCheck %s --check-prefix=PTX

// CHECK: tile.smem_alloc : !tile.smem<1x19x64xbf16, 128>
// CHECK: tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
// CHECK: tile.smem_alloc : !tile.smem<1x1x64xbf16, 0>
// CHECK: %[[W:[^ ]+]] = tile.load {{.*}} -> tensor<64xbf16
// CHECK: tile.smem_write %[[W]]
// CHECK: tile.copy_start
// CHECK: tile.barrier
// CHECK: scf.for %[[N:[^ ]+]] =
// CHECK: %[[START:[^ ]+]] = arith.muli %[[N]]
// CHECK: %[[BEFORE:[^ ]+]] = arith.addi %[[START]], %c-3
// CHECK: tile.copy_start %{{.*}}[%[[BEFORE]], %c0]
// CHECK-NOT: tile.copy_start
// CHECK-DAG: tile.smem_read {{.*}} of view %{{.*}}[%[[BEFORE]], %c0] dims [0, 1] :
// CHECK-DAG: tile.smem_read {{.*}} of view %{{.*}}[%[[START]], %c0] dims [0, 1] {{.*}} {row = 3 : i64}
// CHECK-DAG: tile.smem_read {{.*}} of tile %[[W]]

// PTX: cp.async
tile.program @taps {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c-3 = arith.constant -3 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xbf16>
  %w = tile.tensor "w" "param" ["D"] : !tile.view<64xbf16>
  %m = tile.tensor "m" "param" ["D", "D"] : !tile.view<64x64xbf16>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x64xf32>
  %s = tile.tensor "s" "output" ["16", "D"] : !tile.view<16x64xf32>
  tile.launch "taps" [] () schedule {query = "shared", stages = 1 : i64, warps = 2 : i64} {
    %zero = arith.constant dense<0.0> : tensor<16x64xf32>
    %v = tile.load %w[%c0] dims [0] pad 0.0 : bf16 : !tile.view<64xbf16> -> tensor<64xbf16>
    %map = tile.load %m[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<64x64xbf16> -> tensor<64x64xbf16>
    %count = arith.ceildivui %n, %c16 : index
    %end = scf.for %i = %c0 to %count step %c1 iter_args(%state = %zero) -> (tensor<16x64xf32>) {
      %start = arith.muli %i, %c16 : index
      %before = arith.addi %start, %c-3 : index
      %a = tile.load %x[%before, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<16x64xbf16>
      %b = tile.load %x[%start, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<16x64xbf16>
      %af = arith.extf %a : tensor<16x64xbf16> to tensor<16x64xf32>
      %bf = arith.extf %b : tensor<16x64xbf16> to tensor<16x64xf32>
      %vf = arith.extf %v : tensor<64xbf16> to tensor<64xf32>
      %tap = tile.broadcast %vf dims [1] : tensor<64xf32> -> tensor<16x64xf32>
      %conv = math.fma %af, %tap, %bf : tensor<16x64xf32>
      %left = arith.truncf %conv : tensor<16x64xf32> to tensor<16x64xbf16>
      %p = tile.dot %left, %map, %state contract [1, 1] : tensor<16x64xbf16>, tensor<64x64xbf16> -> tensor<16x64xf32>
      %again = arith.truncf %p : tensor<16x64xf32> to tensor<16x64xbf16>
      %q = tile.dot %again, %map, %zero contract [1, 1] : tensor<16x64xbf16>, tensor<64x64xbf16> -> tensor<16x64xf32>
      tile.store %q, %y[%start, %c0] dims [0, 1] : tensor<16x64xf32>, !tile.view<?x64xf32>
      scf.yield %p : tensor<16x64xf32>
    }
    tile.store %end, %s[%c0, %c0] dims [0, 1] : tensor<16x64xf32>, !tile.view<16x64xf32>
  }
}
