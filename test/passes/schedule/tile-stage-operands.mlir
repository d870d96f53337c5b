// Operands of products go through shared memory; what a loop loads waits for slower warps first.
// RUN: fovea-opt %S/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule,tile-assign-layouts,tile-stage-operands))' | FileCheck %s
// RUN: fovea-opt %S/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule{query=shared},tile-assign-layouts,tile-stage-operands))' | FileCheck %s --check-prefix=SHARED

// CHECK-COUNT-3: tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
// CHECK: tile.copy_start
// CHECK-NEXT: tile.copy_commit
// CHECK-NEXT: tile.copy_wait 0
// CHECK-NEXT: tile.barrier
// CHECK: tile.smem_read
// CHECK: scf.for
// CHECK: tile.barrier
// CHECK: tile.copy_start
// CHECK: tile.copy_start
// CHECK-NEXT: tile.copy_commit
// CHECK-NEXT: tile.copy_wait 0
// CHECK-NEXT: tile.barrier
// CHECK: tile.smem_read {{.*}} of view
// CHECK: tile.dot
// CHECK: scf.if
// CHECK: arith.truncf
// CHECK: tile.smem_read {{.*}} of view
// CHECK: tile.dot

// With the query in shared memory, the loop reads it too.
// SHARED: scf.for
// SHARED: tile.smem_read
// SHARED: tile.smem_read
// SHARED: tile.dot
// SHARED: tile.smem_read
// SHARED: tile.dot
