// The chunk form of linear attention from level 2 to level 3: every schedule computes what the program means, in one
// warp and in four, with copies that begin ahead and without; and what a schedule added can be taken out.
// RUN: rm -rf %t && mkdir %t
// RUN: fovea-opt %S/Inputs/chunks.mlir --pass-pipeline='builtin.module(fovea-program)' -o %t/program.mlir
// RUN: fovea-opt %t/program.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=4 stages=2}),fovea-schedule)' -o %t/four.mlir
// RUN: fovea-opt %t/program.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=1 stages=1}),fovea-schedule)' -o %t/one.mlir
// RUN: FileCheck %s --input-file %t/four.mlir
// RUN: FileCheck %s --check-prefix=ONE --input-file %t/one.mlir

// RUN: fovea-tile-run %t/program.mlir --program additive --compare %S/Inputs/chunks.mlir --compare-program additive --axes B=2,T=150
// RUN: fovea-tile-run %t/four.mlir --program additive --compare %S/Inputs/chunks.mlir --compare-program additive --axes B=2,T=150
// RUN: fovea-tile-run %t/four.mlir --program additive --compare %S/Inputs/chunks.mlir --compare-program additive --axes B=1,T=1
// RUN: fovea-tile-run %t/one.mlir --program additive --compare %S/Inputs/chunks.mlir --compare-program additive --axes B=2,T=150
// RUN: fovea-tile-run %t/four.mlir --program delta --compare %S/Inputs/chunks.mlir --compare-program delta --axes B=2,T=150
// RUN: fovea-tile-run %t/one.mlir --program delta --compare %S/Inputs/chunks.mlir --compare-program delta --axes B=2,T=150
// RUN: fovea-tile-run %t/four.mlir --program channels --compare %S/Inputs/chunks.mlir --compare-program channels --axes B=2,T=150
// RUN: fovea-tile-run %t/one.mlir --program channels --compare %S/Inputs/chunks.mlir --compare-program channels --axes B=2,T=150

// RUN: fovea-opt %t/program.mlir --pass-pipeline='builtin.module(tile.program(canonicalize,cse,tile-order-by-use))' -o %t/before.mlir
// RUN: fovea-opt %t/four.mlir --pass-pipeline='builtin.module(tile.program(tile-strip-schedule,canonicalize,cse,tile-order-by-use))' -o %t/after.mlir
// RUN: diff %t/before.mlir %t/after.mlir

// Tokens of the chunk after the next are on their way while one is computed.
// CHECK-LABEL: tile.program @additive
// CHECK: tile.launch {{.*}}warps = 4
// CHECK: tile.copy_commit
// CHECK: scf.for
// CHECK: tile.copy_wait 0
// CHECK-NEXT: tile.barrier
// CHECK: tile.copy_commit
// The sums are scanned in every warp, and exchanged once, for rows.
// CHECK: %[[SUMS:.*]], %{{.*}} = tile.scan %{{.*}} dim 0
// CHECK-NEXT: tile.smem_write %[[SUMS]] to %[[VECTOR:.*]][%c0]
// CHECK: tile.smem_read %[[Q:.*]][%{{.*}}] of view
// CHECK: tile.smem_read %[[K:.*]][%{{.*}}] of view
// CHECK-NEXT: %[[P:.*]] = tile.dot
// CHECK-NEXT: tile.barrier
// CHECK-NEXT: tile.smem_read %[[VECTOR]][%c0] of tile %[[SUMS]]
// Scores are the right operand of a product, queries of another: a load has one ring, whoever reads it.
// CHECK: %[[A:.*]] = arith.truncf
// CHECK-NEXT: tile.smem_write %[[A]] to %[[SCORES:.*]][%c0]
// CHECK: tile.smem_read %[[Q]][
// CHECK-NEXT: tile.dot {{.*}} contract [1, 1]
// CHECK: tile.barrier
// CHECK: tile.smem_read %[[SCORES]][%c0] of tile %[[A]]
// A transposed operand is read such that its transpose moves nothing.
// CHECK: %[[V:.*]] = tile.smem_read %[[VALUES:.*]][%{{.*}}] of view {{.*}} -> tensor<64x64xbf16, #[[LEFT:.*]]>
// CHECK: tile.transpose %[[V]] : tensor<64x64xbf16, #[[LEFT]]>
// CHECK: tile.dot
// The result is stored from the threads that have it.
// CHECK: %[[O:.*]] = tile.transpose
// CHECK-NEXT: tile.smem_write %[[O]] to %[[STAGED:.*]][%c0]
// CHECK-NEXT: tile.barrier
// CHECK-NEXT: %[[ROWS:.*]] = tile.smem_read %[[STAGED]]
// CHECK-NEXT: tile.store %[[ROWS]]
// CHECK: tile.smem_read %[[K]][
// CHECK: tile.dot {{.*}} contract [1, 0]
// CHECK-NEXT: scf.yield

// A right operand that two products share is written once; the inverse goes to its product.
// CHECK-LABEL: tile.program @delta
// CHECK: %[[E:.*]] = arith.truncf
// CHECK-NEXT: tile.smem_write %[[E]] to %[[ERING:.*]][
// CHECK: tile.unit_tril_inverse
// CHECK: tile.smem_read %[[ERING]][%c0] of tile %[[E]]
// A gate is read as the transposed result lies that it multiplies.
// CHECK: %[[OT:.*]] = tile.transpose {{.*}} -> tensor<64x64xf32, #[[T:.*]]>
// CHECK-NEXT: %[[GATE:.*]] = tile.smem_read {{.*}} of view {{.*}} -> tensor<64x64xbf16, #[[T]]>
// CHECK: arith.mulf %[[OT]], %{{.*}} : tensor<64x64xf32, #[[T]]>

// Products with decay read their operands in shared memory.
// CHECK-LABEL: tile.program @channels
// CHECK: tile.barrier
// CHECK: tile.smem_read
// CHECK-NEXT: tile.smem_read
// CHECK-NEXT: tile.smem_read
// CHECK-NEXT: tile.decayed_dot

// Without stages ahead: barrier, copies, wait, barrier.
// ONE-LABEL: tile.program @additive
// ONE: tile.launch {{.*}}warps = 1
// ONE: scf.for
// ONE: tile.barrier
// ONE: tile.copy_start
// ONE: tile.copy_commit
// ONE-NEXT: tile.copy_wait 0
// ONE-NEXT: tile.barrier
