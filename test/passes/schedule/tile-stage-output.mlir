// A 16-bit result passes through shared memory so that threads store 16 bytes of one row each; statistics do not.
// RUN: fovea-opt %S/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule,tile-assign-layouts,tile-stage-output))' | FileCheck %s

// CHECK-DAG: #[[ROWS:.*]] = #tile.layout<reg = {{\[\[}}0, 1], [0, 2], [0, 4]], lane = {{\[\[}}0, 8], [0, 16], [0, 32], [1, 0], [2, 0]], warp = {{\[\[}}4, 0], [8, 0]], rep = [4 x [16, 0]]>
// CHECK: tile.smem_alloc : !tile.smem<1x64x64xbf16, 128>
// CHECK: tile.barrier
// CHECK-NEXT: tile.smem_write %[[O:[^ ]*]] to
// CHECK-NEXT: tile.barrier
// CHECK-NEXT: %[[R:.*]] = tile.smem_read {{.*}} of tile %[[O]]
// CHECK-NEXT: tile.store %[[R]], {{.*}} : tensor<64x64xbf16, #[[ROWS]]>
// CHECK-NOT: tile.smem_write
// CHECK: tile.store {{.*}} : tensor<64xf32,
