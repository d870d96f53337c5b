// Layouts that change between threads go through shared memory: one write, one barrier where none stands there already,
// a read where the conversion stood.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=4},tile-assign-layouts,tile-stage-operands,tile-stage-output,tile-exchange-layouts,tile-allocate-smem))' | FileCheck %s
// What a schedule added can be run, and taken out.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=4}),fovea-schedule)' -o %t.scheduled.mlir
// RUN: fovea-tile-run %t.scheduled.mlir --program vectors --compare %s --compare-program vectors
// RUN: fovea-tile-run %t.scheduled.mlir --program cheap --compare %s --compare-program cheap
// RUN: fovea-tile-run %t.scheduled.mlir --program loop --compare %s --compare-program loop
// RUN: fovea-tile-run %t.scheduled.mlir --program transposes --compare %s --compare-program transposes
// RUN: fovea-tile-run %t.scheduled.mlir --program alone --compare %s --compare-program alone
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-order-by-use))' -o %t.before.mlir
// RUN: fovea-opt %t.scheduled.mlir --pass-pipeline='builtin.module(tile.program(tile-strip-schedule,canonicalize,cse,tile-order-by-use))' -o %t.after.mlir
// RUN: diff %t.before.mlir %t.after.mlir

// A vector that is a sum of rows, wanted along columns too: what is computed from it is computed for both.
// CHECK-LABEL: tile.program @vectors
// CHECK: %[[RING:.*]] = tile.smem_alloc at 0 : !tile.smem<1x1x64xf32, 0>
// CHECK: %[[SUM:.*]] = tile.reduce "add"
// CHECK-NEXT: %[[C0:.*]] = arith.constant 0
// CHECK-NEXT: tile.smem_write %[[SUM]] to %[[RING]]
// CHECK-NEXT: tile.barrier
// CHECK: %[[COLUMN:.*]] = tile.smem_read %[[RING]][%{{.*}}] of tile %[[SUM]] : tensor<64xf32, #[[ROW:.*]]> : {{.*}} -> tensor<64xf32, #[[COL:.*]]>
// CHECK-DAG: arith.negf %[[SUM]] : tensor<64xf32, #[[ROW]]>
// CHECK-DAG: arith.negf %[[COLUMN]] : tensor<64xf32, #[[COL]]>
// CHECK-NOT: tile.smem_write
tile.program @vectors {
  %x = tile.tensor "x" "input" ["64", "64"] : !tile.view<64x64xf32>
  %y = tile.tensor "y" "output" ["64", "64"] : !tile.view<64x64xf32>
  tile.launch "v" [] () {
    %c0 = arith.constant 0 : index
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x64xf32> -> tensor<64x64xf32>
    %s = tile.reduce "add" %a dim 1 : tensor<64x64xf32> -> tensor<64xf32>
    %n = arith.negf %s : tensor<64xf32>
    %r = tile.broadcast %n dims [0] : tensor<64xf32> -> tensor<64x64xf32>
    %c = tile.broadcast %n dims [1] : tensor<64xf32> -> tensor<64x64xf32>
    %o = arith.addf %r, %c : tensor<64x64xf32>
    tile.store %o, %y[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
  }
}

// Loaded vectors are loaded twice.
// CHECK-LABEL: tile.program @cheap
// CHECK-COUNT-2: tile.load
// CHECK-NOT: tile.smem_write
tile.program @cheap {
  %x = tile.tensor "x" "input" ["64"] : !tile.view<64xf32>
  %y = tile.tensor "y" "output" ["64", "64"] : !tile.view<64x64xf32>
  tile.launch "c" [] () {
    %c0 = arith.constant 0 : index
    %s = tile.load %x[%c0] dims [0] pad 0.0 : f32 : !tile.view<64xf32> -> tensor<64xf32>
    %n = arith.negf %s : tensor<64xf32>
    %r = tile.broadcast %n dims [0] : tensor<64xf32> -> tensor<64x64xf32>
    %c = tile.broadcast %n dims [1] : tensor<64xf32> -> tensor<64x64xf32>
    %o = arith.mulf %r, %c : tensor<64x64xf32>
    tile.store %o, %y[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
  }
}

// In a loop: all threads have read the ring before the next iteration writes it. A ring that is dead before another
// one is written shares its bytes where a barrier stands between, both ways round.
// CHECK-LABEL: tile.program @loop
// CHECK: %[[D:.*]] = tile.smem_alloc at 0 : !tile.smem<1x64x64xbf16, 128>
// CHECK-NEXT: %[[C:.*]] = tile.smem_alloc at 8192 : !tile.smem<1x64x64xbf16, 128>
// CHECK-NEXT: %[[B:.*]] = tile.smem_alloc at 0 : !tile.smem<1x64x64xbf16, 128>
// CHECK-NEXT: %[[A:.*]] = tile.smem_alloc at 8192 : !tile.smem<1x64x64xbf16, 128>
// CHECK: scf.for
// CHECK-NOT: tile.barrier
// CHECK: tile.smem_write {{.*}} to %[[A]]
// CHECK: tile.barrier
// CHECK: tile.smem_read %[[A]]
// CHECK-NOT: tile.barrier
// CHECK: tile.smem_write {{.*}} to %[[B]]
// CHECK: tile.barrier
// CHECK: tile.smem_read %[[B]]
// CHECK-NOT: tile.barrier
// CHECK: tile.smem_write {{.*}} to %[[C]]
// CHECK: tile.barrier
// CHECK: tile.smem_read %[[C]]
// CHECK-NOT: tile.barrier
// CHECK: tile.smem_write {{.*}} to %[[D]]
// CHECK: tile.barrier
// CHECK: tile.smem_read %[[D]]
// CHECK-NOT: tile.barrier
// CHECK: scf.yield
tile.program @loop {
  %x = tile.tensor "x" "input" ["64", "64"] : !tile.view<64x64xf32>
  %y = tile.tensor "y" "output" ["64", "64"] : !tile.view<64x64xf32>
  tile.launch "l" [] () {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c3 = arith.constant 3 : index
    %zeros = arith.constant dense<0.0> : tensor<64x64xf32>
    %small = arith.constant dense<0.01> : tensor<64x64xf32>
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x64xf32> -> tensor<64x64xf32>
    %end = scf.for %n = %c0 to %c3 step %c1 iter_args(%s = %a) -> (tensor<64x64xf32>) {
      %scaled = arith.mulf %s, %small : tensor<64x64xf32>
      %p0 = arith.truncf %scaled : tensor<64x64xf32> to tensor<64x64xbf16>
      %d0 = tile.dot %p0, %p0, %zeros contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %p1 = arith.truncf %d0 : tensor<64x64xf32> to tensor<64x64xbf16>
      %d1 = tile.dot %p1, %p1, %zeros contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %p2 = arith.truncf %d1 : tensor<64x64xf32> to tensor<64x64xbf16>
      %d2 = tile.dot %p2, %p2, %zeros contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      %p3 = arith.truncf %d2 : tensor<64x64xf32> to tensor<64x64xbf16>
      %d3 = tile.dot %p3, %p3, %s contract [1, 1] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      scf.yield %d3 : tensor<64x64xf32>
    }
    tile.store %end, %y[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
  }
}

// Without another barrier in the loop, the write waits for the readers of the iteration before; so does a staged store.
// CHECK-LABEL: tile.program @alone
// CHECK: scf.for
// CHECK: arith.truncf
// CHECK: tile.barrier
// CHECK-NEXT: tile.smem_write
// CHECK: tile.barrier
// CHECK: tile.smem_read
// CHECK: tile.dot
// CHECK-NOT: tile.barrier
// CHECK: scf.yield
// CHECK: scf.for
// CHECK: arith.truncf
// CHECK: tile.barrier
// CHECK-NEXT: tile.smem_write
// CHECK-NEXT: tile.barrier
// CHECK-NEXT: tile.smem_read
// CHECK-NEXT: tile.store
// CHECK-NOT: tile.barrier
tile.program @alone {
  %x = tile.tensor "x" "input" ["64", "64"] : !tile.view<64x64xf32>
  %y = tile.tensor "y" "output" ["64", "64"] : !tile.view<64x64xf32>
  %z = tile.tensor "z" "output" ["192", "64"] : !tile.view<192x64xbf16>
  tile.launch "l" [] () {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c3 = arith.constant 3 : index
    %c64 = arith.constant 64 : index
    %small = arith.constant dense<0.01> : tensor<64x64xf32>
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x64xf32> -> tensor<64x64xf32>
    %end = scf.for %n = %c0 to %c3 step %c1 iter_args(%s = %a) -> (tensor<64x64xf32>) {
      %scaled = arith.mulf %s, %small : tensor<64x64xf32>
      %p = arith.truncf %scaled : tensor<64x64xf32> to tensor<64x64xbf16>
      %d = tile.dot %p, %p, %s contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16> -> tensor<64x64xf32>
      scf.yield %d : tensor<64x64xf32>
    }
    tile.store %end, %y[%c0, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<64x64xf32>
    %last = scf.for %n = %c0 to %c3 step %c1 iter_args(%s = %a) -> (tensor<64x64xf32>) {
      %scaled = arith.mulf %s, %small : tensor<64x64xf32>
      %p = arith.truncf %scaled : tensor<64x64xf32> to tensor<64x64xbf16>
      %row = arith.muli %n, %c64 : index
      tile.store %p, %z[%row, %c0] dims [0, 1] : tensor<64x64xbf16>, !tile.view<192x64xbf16>
      scf.yield %scaled : tensor<64x64xf32>
    }
  }
}

// A transpose that is stored keeps its threads; one that meets other tiles is exchanged before.
// CHECK-LABEL: tile.program @transposes
// CHECK: %[[T:.*]] = tile.transpose %{{.*}} : tensor<64x128xf32, #[[L:.*]]> -> tensor<128x64xf32, #[[LT:.*]]>
// CHECK: %[[H:.*]] = math.absf %[[T]] : tensor<128x64xf32, #[[LT]]>
// CHECK: tile.store %[[H]]
// CHECK: %[[W:.*]] = tile.smem_read {{.*}} -> tensor<64x128xf32, #[[FROM:.*]]>
// CHECK: tile.transpose %[[W]] : tensor<64x128xf32, #[[FROM]]> -> tensor<128x64xf32, #[[ACC:.*]]>
// CHECK: tile.reduce "add" %{{.*}} dim 1 : tensor<128x64xf32, #[[ACC]]>
tile.program @transposes {
  %x = tile.tensor "x" "input" ["64", "128"] : !tile.view<64x128xf32>
  %y = tile.tensor "y" "output" ["128", "64"] : !tile.view<128x64xf32>
  %z = tile.tensor "z" "output" ["128"] : !tile.view<128xf32>
  tile.launch "t" [] () {
    %c0 = arith.constant 0 : index
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x128xf32> -> tensor<64x128xf32>
    %b = arith.mulf %a, %a : tensor<64x128xf32>
    %t = tile.transpose %b : tensor<64x128xf32> -> tensor<128x64xf32>
    %h = math.absf %t : tensor<128x64xf32>
    tile.store %h, %y[%c0, %c0] dims [0, 1] : tensor<128x64xf32>, !tile.view<128x64xf32>
    %c = arith.addf %a, %a : tensor<64x128xf32>
    %u = tile.transpose %c : tensor<64x128xf32> -> tensor<128x64xf32>
    %r = tile.reduce "add" %u dim 1 : tensor<128x64xf32> -> tensor<128xf32>
    tile.store %r, %z[%c0] dims [0] : tensor<128xf32>, !tile.view<128xf32>
  }
}
