// The kernel of causal attention: what its loop consists of, and nothing besides.
// RUN: fovea-opt %source/test/passes/schedule/Inputs/causal-loop.mlir --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-set-schedule),fovea-schedule)' -o %t.mlir
// RUN: fovea-translate %t.mlir --emit=nvvm | FileCheck %s --check-prefix=NVVM
// RUN: fovea-translate %t.mlir --emit=llvm | FileCheck %s --check-prefix=LLVM
// RUN: fovea-translate %t.mlir --kernels | FileCheck %s --check-prefix=PTX
// RUN: fovea-translate %t.mlir --target sm_90 | FileCheck %s --check-prefix=SM90

// NVVM: llvm.func @causal({{.*}}) attributes {{.*}}nvvm.kernel{{.*}}nvvm.reqntid = array<i32: 128, 1, 1>
// NVVM: nvvm.cp.async.shared.global
// NVVM: nvvm.ldmatrix
// NVVM: nvvm.mma.sync
// LLVM: define ptx_kernel void @causal(
// LLVM: call {{.*}} @llvm.nvvm.mma.m16n8k16.row.col.bf16

// PTX: // kernel causal threads 128 shared 40960 grid B * H * ceildiv(T, 64)
// PTX: .version 7.0
// PTX-NEXT: .target sm_80
// PTX: .reqntid 128
// PTX: .minnctapersm 1
// No multiplication or addition that ptxas could fuse on its own, no 64-bit shared address, no local memory.
// PTX-NOT: add.f32
// PTX-NOT: mul.f32
// PTX-NOT: ld.local
// PTX-NOT: atom.
// PTX: ex2.approx.ftz.f32
// PTX: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32

// SM90: .version 7.8
// SM90-NEXT: .target sm_90
