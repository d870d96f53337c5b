// A slice that would need an exchange between threads, and a running sum whose first elements are those of different warps.
// RUN: split-file %s %t
// RUN: fovea-opt %t/slice.mlir --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' -o %t/slice-scheduled.mlir
// RUN: not fovea-translate %t/slice-scheduled.mlir 2>&1 | FileCheck %s --check-prefix=SLICE
// RUN: not fovea-translate %t/scan.mlir 2>&1 | FileCheck %s --check-prefix=SCAN

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
// SCAN: error: 'tile.scan' op runs along a dimension whose elements lie in no order of threads and registers
#interleaved = #tile.layout<reg = [[32]], lane = [[2], [4], [8], [16], [0]], warp = [[1]], rep = []>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N"] : !tile.view<?xf32>
  %y = tile.tensor "y" "output" ["N"] : !tile.view<?xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 2} {
    %a = tile.load %x[%i] dims [0] pad 0.0 : f32 : !tile.view<?xf32> -> tensor<64xf32, #interleaved>
    %s, %total = tile.scan %a dim 0 : tensor<64xf32, #interleaved> -> tensor<64xf32, #interleaved>, f32
    tile.store %s, %y[%i] dims [0] : tensor<64xf32, #interleaved>, !tile.view<?xf32>
  }
}
