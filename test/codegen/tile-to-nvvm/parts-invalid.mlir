// A slice and a running sum that would need an exchange between threads or warps.
// RUN: split-file %s %t
// RUN: fovea-opt %t/slice.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' -o %t/slice-scheduled.mlir
// RUN: not fovea-translate %t/slice-scheduled.mlir 2>&1 | FileCheck %s --check-prefix=SLICE
// RUN: fovea-opt %t/scan.mlir --pass-pipeline='builtin.module(fovea-schedule)' -o %t/scan-scheduled.mlir
// RUN: not fovea-translate %t/scan-scheduled.mlir 2>&1 | FileCheck %s --check-prefix=SCAN

//--- slice.mlir
// SLICE: error: 'tile.slice' op would move elements between threads; parts begin at multiples of 8 features
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x64xf32>
  tile.launch "x" ["N"] (%i = %n) {
    %a = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<64x64xf32>
    %p = tile.slice %a dim 1 offset 4 : tensor<64x64xf32> -> tensor<64x8xf32>
    tile.store %p, %y[%i, %c0] dims [0, 1] : tensor<64x8xf32>, !tile.view<?x64xf32>
  }
}
//--- scan.mlir
// SCAN: error: 'tile.scan' op would cross warps; give the launch one warp
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x64xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 4, stages = 2, query = "registers"} {
    %a = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<64x64xf32>
    %s, %total = tile.scan %a dim 0 : tensor<64x64xf32> -> tensor<64x64xf32>, tensor<64xf32>
    tile.store %s, %y[%i, %c0] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x64xf32>
  }
}
