// Rows of a sequence: offsets from memory, clamped to the rows that there are; work items beyond them end.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' -o %t.mlir
// RUN: fovea-translate %t.mlir --kernels | FileCheck %s

// CHECK: .entry rows
// CHECK: ld.global.b32 %[[FROM:r[0-9]+]]
// CHECK: ld.global.b32 %[[TO:r[0-9]+]]
// CHECK: max.s32 %{{.*}}, %[[FROM]], 0
// CHECK: min.s32
// CHECK: setp.ge.u32
// CHECK: bra
// CHECK: st.global
tile.program @rows {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %B = tile.axis "B"
  %T = tile.axis "T"
  %N = tile.axis "total"
  %o = tile.tensor "o" "input" ["C"] : <?xi32>
  %x = tile.tensor "x" "input" ["total", "16"] : <?x16xf32>
  %y = tile.tensor "y" "output" ["total", "16"] : <?x16xf32>
  tile.launch "rows" ["B", "T"] (%b = %B, %t = %T) {
    %start, %length = tile.sequence %o[%b] of %N most %T : !tile.view<?xi32>
    %t0 = arith.muli %t, %c64 : index
    %end = arith.cmpi uge, %t0, %length : index
    tile.end_if %end
    %from = tile.narrow %x dim 0 from %start size %length : !tile.view<?x16xf32> -> !tile.view<?x16xf32>
    %to = tile.narrow %y dim 0 from %start size %length : !tile.view<?x16xf32> -> !tile.view<?x16xf32>
    %v = tile.load %from[%t0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x16xf32> -> tensor<64x16xf32>
    tile.store %v, %to[%t0, %c0] dims [0, 1] : tensor<64x16xf32>, !tile.view<?x16xf32>
  }
}
