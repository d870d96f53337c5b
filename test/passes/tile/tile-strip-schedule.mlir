// RUN: fovea-opt %s --tile-strip-schedule --canonicalize --cse | FileCheck %s
// RUN: fovea-opt %s --tile-strip-schedule --canonicalize --cse -o %t.mlir
// RUN: fovea-tile-run %t.mlir --program double_buffer --axes S=200 --compare %s --compare-program double_buffer --tolerance 0
// RUN: fovea-tile-run %s --program double_buffer --axes S=1 --compare %t.mlir --compare-program double_buffer --tolerance 0

// Scheduling a program and stripping the schedule gives the program back, up to the order of pure operations.
// RUN: fovea-opt %S/../../dialect/tile/causal-program.mlir --tile-expand-fold --canonicalize --cse --tile-order-by-use -o %t.program.mlir
// RUN: fovea-opt %t.program.mlir --tile-set-schedule --tile-assign-layouts --tile-stage-operands --tile-pipeline-copies --tile-stage-output --tile-allocate-smem -o %t.scheduled.mlir
// RUN: fovea-opt %t.scheduled.mlir --tile-strip-schedule --canonicalize --cse --tile-order-by-use -o %t.stripped.mlir
// RUN: diff %t.program.mlir %t.stripped.mlir
// RUN: not diff %t.program.mlir %t.scheduled.mlir
// RUN: fovea-tile-run %t.scheduled.mlir --axes B=1,T=100,S=130,H=2 --compare %t.program.mlir --tolerance 0

#layout = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = [2 x [0, 8]]>

// Two stages, copies one iteration ahead, the result through shared memory.
// CHECK-LABEL: tile.program @double_buffer
// CHECK-NOT: layout
// CHECK: tile.launch "sum" [] () {
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : tensor<16x16xf32>
// CHECK-NEXT: %[[SUM:.*]] = scf.for %[[J:.*]] = %{{.*}} to %{{.*}} step %{{.*}} iter_args(%[[ACC:.*]] = %[[ZERO]]) -> (tensor<16x16xf32>) {
// CHECK-NEXT: %[[ROW:.*]] = arith.muli %[[J]]
// CHECK-NEXT: %[[TILE:.*]] = tile.load %{{.*}}[%[[ROW]], %{{.*}}] dims [0, 1] pad 0.000000e+00 : bf16 : !tile.view<?x16xbf16> -> tensor<16x16xbf16>
// CHECK-NEXT: %[[WIDE:.*]] = arith.extf %[[TILE]] : tensor<16x16xbf16> to tensor<16x16xf32>
// CHECK-NEXT: %[[NEXT:.*]] = arith.addf %[[ACC]], %[[WIDE]] : tensor<16x16xf32>
// CHECK-NEXT: scf.yield %[[NEXT]]
// CHECK-NEXT: }
// CHECK-NEXT: tile.store %[[SUM]], %{{.*}} dims [0, 1] : tensor<16x16xf32>, !tile.view<16x16xf32>
// CHECK-NEXT: }
tile.program @double_buffer {
  %S = tile.axis "S"
  %x = tile.tensor "x" "input" ["S", "16"] : !tile.view<?x16xbf16>
  %r = tile.tensor "r" "output" ["16", "16"] : !tile.view<16x16xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c16 = arith.constant 16 : index
  %n = arith.ceildivui %S, %c16 : index
  tile.launch "sum" [] () schedule {stages = 2, warps = 1} {
    %zero = arith.constant dense<0.0> : tensor<16x16xf32, #layout>
    %ring = tile.smem_alloc at 0 : !tile.smem<2x16x16xbf16, 32>
    %out = tile.smem_alloc at 0 : !tile.smem<1x16x16xf32, 0>
    tile.copy_start %x[%c0, %c0] dims [0, 1] to %ring[%c0] : !tile.view<?x16xbf16> -> !tile.smem<2x16x16xbf16, 32>
    tile.copy_commit
    %sum = scf.for %j = %c0 to %n step %c1 iter_args(%acc = %zero) -> (tensor<16x16xf32, #layout>) {
      tile.copy_wait 0
      tile.barrier
      %ahead = arith.addi %j, %c1 : index
      %more = arith.cmpi slt, %ahead, %n : index
      %other = arith.remui %ahead, %c2 : index
      %later = arith.muli %ahead, %c16 : index
      tile.copy_start %x[%later, %c0] dims [0, 1] to %ring[%other] if %more : !tile.view<?x16xbf16> -> !tile.smem<2x16x16xbf16, 32>
      tile.copy_commit
      %stage = arith.remui %j, %c2 : index
      %row = arith.muli %j, %c16 : index
      %tile = tile.smem_read %ring[%stage] of view %x[%row, %c0] dims [0, 1] : !tile.view<?x16xbf16> : !tile.smem<2x16x16xbf16, 32> -> tensor<16x16xbf16, #layout>
      %wide = arith.extf %tile : tensor<16x16xbf16, #layout> to tensor<16x16xf32, #layout>
      %next = arith.addf %acc, %wide : tensor<16x16xf32, #layout>
      scf.yield %next : tensor<16x16xf32, #layout>
    }
    tile.barrier
    tile.smem_write %sum to %out[%c0] : tensor<16x16xf32, #layout> -> !tile.smem<1x16x16xf32, 0>
    tile.barrier
    %staged = tile.smem_read %out[%c0] of tile %sum : tensor<16x16xf32, #layout> : !tile.smem<1x16x16xf32, 0> -> tensor<16x16xf32>
    tile.store %staged, %r[%c0, %c0] dims [0, 1] : tensor<16x16xf32>, !tile.view<16x16xf32>
  }
}

// The producer goes, the consumers become a loop, products in flight become products.
// CHECK-LABEL: tile.program @roles
// CHECK: tile.launch "roles" [] () {
// CHECK-NOT: tile.role
// CHECK: scf.for %[[ID:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[K:.*]] = tile.load %{{.*}}[%{{.*}}, %{{.*}}] dims [0, 1] pad 0.000000e+00 : bf16
// CHECK: %[[DOT:.*]] = tile.dot %[[K]], %[[K]], %{{.*}} contract [1, 1]
// CHECK: %[[TWICE:.*]] = arith.addf %[[DOT]], %[[DOT]]
// CHECK: tile.store %[[TWICE]]
tile.program @roles {
  %x = tile.tensor "x" "input" ["16", "16"] : !tile.view<16x16xbf16>
  %r = tile.tensor "r" "output" ["32", "16"] : !tile.view<32x16xf32>
  %c0 = arith.constant 0 : index
  %c16 = arith.constant 16 : index
  tile.launch "roles" [] () schedule {warps = 1} {
    %c = tile.channel readers 2 : !tile.channel<1x16x16xbf16, 32>
    tile.roles {
      tile.role "producer" warps 1 registers 24 {
        tile.put %x[%c0, %c0] dims [0, 1] to %c : !tile.view<16x16xbf16> -> !tile.channel<1x16x16xbf16, 32>
      }
      tile.role "consumer" count 2 warps 1 registers 240 (%id) {
        %zero = arith.constant dense<0.0> : tensor<16x16xf32, #layout>
        %k = tile.take %c of view %x[%c0, %c0] dims [0, 1] : !tile.channel<1x16x16xbf16, 32>, !tile.view<16x16xbf16> -> tensor<16x16xbf16>
        %t = tile.dot_start %k, %k, %zero contract [1, 1] : tensor<16x16xbf16>, tensor<16x16xbf16> -> tensor<16x16xf32, #layout>
        %d = tile.dot_wait %t : tensor<16x16xf32, #layout>
        tile.release %c : !tile.channel<1x16x16xbf16, 32>
        %s = arith.addf %d, %d : tensor<16x16xf32, #layout>
        %row = arith.muli %id, %c16 : index
        tile.store %s, %r[%row, %c0] dims [0, 1] : tensor<16x16xf32, #layout>, !tile.view<32x16xf32>
      }
    }
  }
}
