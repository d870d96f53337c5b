// ptxas takes the kernels and spills nothing.
// REQUIRES: ptxas
// RUN: fovea-opt %source/test/passes/schedule/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-set-schedule),fovea-schedule)' -o %t.mlir
// RUN: fovea-translate %t.mlir --emit=resources | FileCheck %s
// RUN: fovea-translate %t.mlir --emit=resources --target sm_90 | FileCheck %s
// CHECK: causal: {{[0-9]+}} registers, 0 bytes of spill stores, 0 of spill loads
