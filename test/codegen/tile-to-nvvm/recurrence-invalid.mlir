// What the operations of recurrences cannot be given.
// RUN: split-file %s %t
// RUN: not fovea-translate %t/transpose.mlir 2>&1 | FileCheck %s --check-prefix=TRANSPOSE
// RUN: not fovea-translate %t/size.mlir 2>&1 | FileCheck %s --check-prefix=SIZE
// RUN: not fovea-translate %t/operand.mlir 2>&1 | FileCheck %s --check-prefix=OPERAND
// RUN: not fovea-translate %t/shared.mlir 2>&1 | FileCheck %s --check-prefix=SHARED
// RUN: not fovea-translate %t/barrier.mlir 2>&1 | FileCheck %s --check-prefix=BARRIER
// RUN: not fovea-translate %t/result.mlir 2>&1 | FileCheck %s --check-prefix=RESULT

//--- transpose.mlir
// TRANSPOSE: error: 'tile.transpose' op would move elements between threads; a schedule does that through shared memory
#a = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = [4 x [0, 8], 2 x [16, 0]]>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x32xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x32xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 1} {
    %v = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x32xf32> -> tensor<32x32xf32, #a>
    %r = tile.transpose %v : tensor<32x32xf32, #a> -> tensor<32x32xf32, #a>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<32x32xf32, #a>, !tile.view<?x32xf32>
  }
}
//--- size.mlir
// SIZE: error: 'tile.unit_tril_inverse' op inverts 8 rows, which are no multiple of 16
#e = #tile.layout<reg = [[0, 1]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = []>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x32xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x32xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 1} {
    %v = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x32xf32> -> tensor<8x8xf32, #e>
    %r = tile.unit_tril_inverse %v : tensor<8x8xf32, #e>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<8x8xf32, #e>, !tile.view<?x32xf32>
  }
}
//--- operand.mlir
// OPERAND: error: 'tile.decayed_dot' op has an operand that is not read from shared memory for such products alone
#a = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = [4 x [0, 8], 2 x [16, 0]]>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x32xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x32xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 1} {
    %v = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x32xf32> -> tensor<32x32xf32, #a>
    %r = tile.decayed_dot %v, %v, %v : tensor<32x32xf32, #a>, tensor<32x32xf32, #a>, tensor<32x32xf32, #a> -> tensor<32x32xf32, #a>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<32x32xf32, #a>, !tile.view<?x32xf32>
  }
}
//--- shared.mlir
// SHARED: error: 'tile.decayed_dot' op has an operand that is not read from shared memory for such products alone
#a = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = [4 x [0, 8], 2 x [16, 0]]>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x32xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x32xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 1} {
    %v = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x32xf32> -> tensor<32x32xf32, #a>
    %s = tile.smem_alloc at 0 : !tile.smem<1x32x32xf32, 128>
    tile.smem_write %v to %s[%c0] : tensor<32x32xf32, #a> -> !tile.smem<1x32x32xf32, 128>
    tile.barrier
    %w = tile.smem_read %s[%c0] of tile %v : tensor<32x32xf32, #a> : !tile.smem<1x32x32xf32, 128> -> tensor<32x32xf32, #a>
    %q = tile.decayed_dot %w, %w, %w : tensor<32x32xf32, #a>, tensor<32x32xf32, #a>, tensor<32x32xf32, #a> -> tensor<32x32xf32, #a>
    %r = arith.addf %q, %w : tensor<32x32xf32, #a>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<32x32xf32, #a>, !tile.view<?x32xf32>
  }
}
//--- barrier.mlir
// BARRIER: error: 'tile.decayed_dot' op has an operand that is read before a barrier, a copy or a write
#a = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = [4 x [0, 8], 2 x [16, 0]]>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x32xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x32xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 1} {
    %v = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x32xf32> -> tensor<32x32xf32, #a>
    %s = tile.smem_alloc at 0 : !tile.smem<1x32x32xf32, 128>
    tile.smem_write %v to %s[%c0] : tensor<32x32xf32, #a> -> !tile.smem<1x32x32xf32, 128>
    tile.barrier
    %w = tile.smem_read %s[%c0] of tile %v : tensor<32x32xf32, #a> : !tile.smem<1x32x32xf32, 128> -> tensor<32x32xf32, #a>
    tile.barrier
    %r = tile.decayed_dot %w, %w, %w : tensor<32x32xf32, #a>, tensor<32x32xf32, #a>, tensor<32x32xf32, #a> -> tensor<32x32xf32, #a>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<32x32xf32, #a>, !tile.view<?x32xf32>
  }
}
//--- result.mlir
// RESULT: error: 'tile.decayed_dot' op has a result that is not in the layout of an accumulator over all warps
#a = #tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [], rep = [4 x [0, 8], 2 x [16, 0]]>
#b = #tile.layout<reg = [[1, 0], [0, 8]], lane = [[2, 0], [4, 0], [0, 1], [0, 2], [0, 4]], warp = [], rep = [4 x [8, 0], 2 x [0, 16]]>
tile.program @x {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x32xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x32xf32>
  tile.launch "x" ["N"] (%i = %n) schedule {warps = 1} {
    %v = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x32xf32> -> tensor<32x32xf32, #a>
    %s = tile.smem_alloc at 0 : !tile.smem<1x32x32xf32, 128>
    tile.smem_write %v to %s[%c0] : tensor<32x32xf32, #a> -> !tile.smem<1x32x32xf32, 128>
    tile.barrier
    %w = tile.smem_read %s[%c0] of tile %v : tensor<32x32xf32, #a> : !tile.smem<1x32x32xf32, 128> -> tensor<32x32xf32, #a>
    %r = tile.decayed_dot %w, %w, %w : tensor<32x32xf32, #a>, tensor<32x32xf32, #a>, tensor<32x32xf32, #a> -> tensor<32x32xf32, #b>
    tile.store %r, %y[%i, %c0] dims [0, 1] : tensor<32x32xf32, #b>, !tile.view<?x32xf32>
  }
}
