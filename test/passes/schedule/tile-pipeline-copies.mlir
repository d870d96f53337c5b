// Copies begin stages - 1 iterations ahead; the waits count groups; one stage leaves the loop as it was.
// RUN: fovea-opt %S/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule{stages=3},tile-assign-layouts,tile-stage-operands,tile-pipeline-copies))' | FileCheck %s
// RUN: fovea-opt %S/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule{stages=1},tile-assign-layouts,tile-stage-operands,tile-pipeline-copies))' | FileCheck %s --check-prefix=ONE

// CHECK-DAG: tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
// CHECK-DAG: tile.smem_alloc : !tile.smem<3x64x64xbf16, 128>
// The query's group, then two groups of the first iterations, all before the wait for the query.
// CHECK: tile.copy_start
// CHECK: tile.copy_commit
// CHECK: tile.copy_start {{.*}} if
// CHECK: tile.copy_start {{.*}} if
// CHECK: tile.copy_commit
// CHECK: tile.copy_start {{.*}} if
// CHECK: tile.copy_start {{.*}} if
// CHECK: tile.copy_commit
// CHECK: tile.copy_wait 2
// CHECK: scf.for
// CHECK: arith.remui
// CHECK: tile.copy_wait 1
// CHECK: tile.barrier
// CHECK: tile.copy_start {{.*}} if
// CHECK: tile.copy_start {{.*}} if
// CHECK: tile.copy_commit
// CHECK-NOT: tile.copy_wait
// CHECK-NOT: tile.barrier
// CHECK: scf.yield %{{.*}}, %{{.*}}, %{{.*}}

// ONE: scf.for
// ONE: tile.barrier
// ONE: tile.copy_wait 0
// ONE-NOT: arith.remui
