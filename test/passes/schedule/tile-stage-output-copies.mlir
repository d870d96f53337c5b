// Copies behind a result that went through shared memory wait until slower warps have read it: they may get its bytes.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule),fovea-schedule)' | FileCheck %s

// CHECK: tile.smem_write
// CHECK: tile.smem_read {{.*}} of tile
// CHECK-NEXT: tile.store
// CHECK-NEXT: tile.barrier
// CHECK-NEXT: tile.copy_start
// CHECK: tile.smem_write
tile.program @twice {
  %T = tile.axis "T"
  %x = tile.tensor "x" "input" ["T", "64"] : !tile.view<?x64xbf16>
  %w = tile.tensor "w" "param" ["64", "64"] : !tile.view<64x64xf32>
  %y = tile.tensor "y" "output" ["T", "64"] : !tile.view<?x64xbf16>
  %z = tile.tensor "z" "output" ["T", "64"] : !tile.view<?x64xbf16>
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %tiles = arith.ceildivui %T, %c64 : index
  tile.launch "twice" ["T"] (%n = %tiles) {
    %row = arith.muli %n, %c64 : index
    %a = tile.load %x[%row, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
    %b = arith.addf %a, %a : tensor<64x64xbf16>
    %wide = arith.extf %b : tensor<64x64xbf16> to tensor<64x64xf32>
    tile.store %b, %y[%row, %c0] dims [0, 1] : tensor<64x64xbf16>, !tile.view<?x64xbf16>
    %r = tile.load %w[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x64xf32> -> tensor<64x64xf32>
    %zero = arith.constant dense<0.0> : tensor<64x64xf32>
    %p = tile.dot %wide, %r, %zero contract [1, 0] : tensor<64x64xf32>, tensor<64x64xf32> -> tensor<64x64xf32>
    %q = arith.truncf %p : tensor<64x64xf32> to tensor<64x64xbf16>
    tile.store %q, %z[%row, %c0] dims [0, 1] : tensor<64x64xbf16>, !tile.view<?x64xbf16>
  }
}
