// Parts that begin anywhere: what lies next to each other is read and written together as far as its first element allows.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' -o %t.mlir
// RUN: fovea-translate %t.mlir --kernels | FileCheck %s

// CHECK-LABEL: .entry from_17
// CHECK-NOT: ld.global.v
// CHECK-NOT: st.global.v
// CHECK: ret
// CHECK-LABEL: .entry from_18
// CHECK: ld.global.v2
// CHECK-LABEL: .entry narrow
// CHECK-NOT: ld.global.v
// CHECK: ret
// CHECK-LABEL: .entry odd_rows
// CHECK-NOT: ld.global.v
// CHECK: ret
tile.program @unaligned {
  %c0 = arith.constant 0 : index
  %c17 = arith.constant 17 : index
  %c18 = arith.constant 18 : index
  %c16 = arith.constant 16 : index
  %B = tile.axis "B"
  %x = tile.tensor "x" "input" ["B", "64"] : <?x64xf32>
  %y = tile.tensor "y" "output" ["B", "64"] : <?x64xf32>
  %z = tile.tensor "z" "input" ["B", "33"] : <?x33xf32>
  tile.launch "from_17" ["B"] (%b = %B) {
    %v = tile.load %x[%c0, %c17] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x16xf32>
    tile.store %v, %y[%c0, %c17] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x64xf32>
  }
  tile.launch "from_18" ["B"] (%b = %B) {
    %v = tile.load %x[%c0, %c18] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<16x16xf32>
    tile.store %v, %y[%c0, %c18] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x64xf32>
  }
  tile.launch "narrow" ["B"] (%b = %B) {
    %part = tile.narrow %x dim 1 from %c17 size %c16 : !tile.view<?x64xf32> -> !tile.view<?x?xf32>
    %v = tile.load %part[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x?xf32> -> tensor<16x16xf32>
    tile.store %v, %y[%c0, %c17] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x64xf32>
  }
  tile.launch "odd_rows" ["B"] (%b = %B) {
    %v = tile.load %z[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x33xf32> -> tensor<16x16xf32>
    tile.store %v, %y[%c0, %c17] dims [0, 1] : tensor<16x16xf32>, !tile.view<?x64xf32>
  }
}
