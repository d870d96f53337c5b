// Rings that live together have places of their own; the staged result reuses bytes of the loop's rings.
// RUN: fovea-opt %S/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule,tile-assign-layouts,tile-stage-operands,tile-pipeline-copies,tile-stage-output,tile-allocate-smem))' | FileCheck %s

// CHECK-DAG: tile.smem_alloc at 0 : !tile.smem<2x64x64xbf16, 128>
// CHECK-DAG: tile.smem_alloc at 16384 : !tile.smem<2x64x64xbf16, 128>
// CHECK-DAG: tile.smem_alloc at 32768 : !tile.smem<1x64x64xbf16, 128>
// CHECK-DAG: tile.smem_alloc at 0 : !tile.smem<1x64x64xbf16, 128>
