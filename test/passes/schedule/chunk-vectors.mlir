// Vectors of a loop over chunks: each element is loaded by one thread, on its way to shared memory.
// RUN: rm -rf %t && mkdir %t
// RUN: fovea-opt %s --pass-pipeline='builtin.module(fovea-program)' -o %t/program.mlir
// RUN: fovea-opt %t/program.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=4 stages=2}),fovea-schedule)' -o %t/scheduled.mlir
// RUN: FileCheck %s --check-prefix=PROGRAM --input-file %t/program.mlir
// RUN: FileCheck %s --input-file %t/scheduled.mlir
// RUN: fovea-tile-run %t/program.mlir --program gates --compare %s --compare-program gates --axes T=150
// RUN: fovea-tile-run %t/scheduled.mlir --program gates --compare %s --compare-program gates --axes T=150
// RUN: fovea-tile-run %t/scheduled.mlir --program gates --compare %s --compare-program gates --axes T=1
// RUN: fovea-opt %t/program.mlir --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-order-by-use))' -o %t/before.mlir
// RUN: fovea-opt %t/scheduled.mlir --pass-pipeline='builtin.module(tile.program(tile-strip-schedule,canonicalize,cse,tile-order-by-use))' -o %t/after.mlir
// RUN: diff %t/before.mlir %t/after.mlir

// What a branch would load in each chunk again is loaded in front of the loop.
// PROGRAM: %[[V:.*]] = tile.tensor "v"
// PROGRAM: tile.load %[[V]][%c0] dims [0]
// PROGRAM: scf.for
// PROGRAM: scf.if
// PROGRAM-NOT: tile.load
// PROGRAM: } else {

// CHECK-DAG: #[[ONCE:.*]] = #tile.layout<reg = [], lane = {{\[\[}}1], [2], [4], [8], [16]], warp = {{\[\[}}32], [0]], rep = []>
// CHECK-DAG: %[[VIEW:.*]] = tile.tensor "v"
// CHECK: %[[V:.*]] = tile.load %[[VIEW]]{{.*}} -> tensor<64xbf16, #[[ONCE]]>
// CHECK-NEXT: tile.smem_write %[[V]] to %[[KEPT:.*]][%c0]
// CHECK: tile.barrier
// CHECK: scf.for
// A gate along rows and along columns: one load.
// CHECK: %[[G:.*]] = tile.load {{.*}} -> tensor<64xf32, #[[ONCE]]>
// CHECK-NEXT: tile.smem_write %[[G]] to %[[GATE:.*]][%c0]
// CHECK-NOT: tile.load
// CHECK: scf.if
// CHECK-NEXT: tile.smem_read %[[KEPT]][%c0] of tile %[[V]]
// CHECK: } else {
// CHECK: tile.barrier
// CHECK-NEXT: tile.smem_read %[[GATE]][%c0] of tile %[[G]]
// CHECK-NEXT: tile.smem_read %[[GATE]][%c0] of tile %[[G]]
// A tile that is written in front of the first product and used behind the last is read there.
// CHECK: tile.smem_write %[[A:.*]] to %[[RING:.*]][%c0] : tensor<64x64xf32
// CHECK: tile.dot
// CHECK: tile.dot
// CHECK-NOT: tile.dot
// CHECK: tile.smem_read %[[RING]][%c0] of tile %[[A]]
// CHECK-NEXT: tile.transpose
// CHECK-NEXT: arith.addf
tile.program @gates {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "64"] : !tile.view<?x64xbf16>
  %g = tile.tensor "g" "input" ["T"] : !tile.view<?xf32>
  %w = tile.tensor "w" "param" ["64"] : !tile.view<64xbf16>
  %v = tile.tensor "v" "param" ["64"] : !tile.view<64xbf16>
  %o = tile.tensor "o" "output" ["T", "64"] : !tile.view<?x64xf32>
  %s = tile.tensor "s" "output" ["64", "64"] : !tile.view<64x64xf32>
  tile.launch "a" [] () {
    %c0 = arith.constant 0 : index
    %c64 = arith.constant 64 : index
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %small = arith.constant dense<0.001> : tensor<64x64xf32>
    %end = tile.recurrence from %c0 to %T step 64 init (%zero : tensor<64x64xf32>) {
    ^bb0(%start: index, %state: tensor<64x64xf32>):
      %t = tile.load %x[%start, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
      %tap = tile.load %w[%c0] dims [0] pad 0.0 : bf16 : !tile.view<64xbf16> -> tensor<64xbf16>
      %tapWide = arith.extf %tap : tensor<64xbf16> to tensor<64xf32>
      %taps = tile.broadcast %tapWide dims [1] : tensor<64xf32> -> tensor<64x64xf32>
      %wide = arith.extf %t : tensor<64x64xbf16> to tensor<64x64xf32>
      %weighted = arith.mulf %wide, %taps : tensor<64x64xf32>
      %begins = arith.cmpi slt, %start, %c64 : index
      %more = scf.if %begins -> (tensor<64x64xf32>) {
        %again = tile.load %v[%c0] dims [0] pad 0.0 : bf16 : !tile.view<64xbf16> -> tensor<64xbf16>
        %againWide = arith.extf %again : tensor<64xbf16> to tensor<64xf32>
        %added = tile.broadcast %againWide dims [1] : tensor<64xf32> -> tensor<64x64xf32>
        %sum = arith.addf %weighted, %added : tensor<64x64xf32>
        scf.yield %sum : tensor<64x64xf32>
      } else {
        scf.yield %weighted : tensor<64x64xf32>
      }
      %gate = tile.load %g[%start] dims [0] pad 0.0 : f32 : !tile.view<?xf32> -> tensor<64xf32>
      %rows = tile.broadcast %gate dims [0] : tensor<64xf32> -> tensor<64x64xf32>
      %columns = tile.broadcast %gate dims [1] : tensor<64xf32> -> tensor<64x64xf32>
      %gated = arith.mulf %more, %rows : tensor<64x64xf32>
      %back = tile.transpose %gated : tensor<64x64xf32> -> tensor<64x64xf32>
      %narrow = arith.truncf %gated : tensor<64x64xf32> to tensor<64x64xbf16>
      %products = tile.dot %narrow, %narrow, %zero contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %p = arith.mulf %products, %columns : tensor<64x64xf32>
      %held = arith.truncf %state : tensor<64x64xf32> to tensor<64x64xbf16>
      %q = tile.dot %held, %narrow, %p contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %r = arith.addf %q, %back : tensor<64x64xf32>
      %next = arith.mulf %r, %small : tensor<64x64xf32>
      tile.store %next, %o[%start, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x64xf32>
      tile.recurrence_yield %next : tensor<64x64xf32>
    }
    tile.store %end, %s[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
  }
}
