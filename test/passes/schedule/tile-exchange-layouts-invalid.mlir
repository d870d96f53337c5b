// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule{warps=4},tile-assign-layouts,tile-exchange-layouts))' --verify-diagnostics

tile.program @bits {
  %x = tile.tensor "x" "input" ["64", "64"] : !tile.view<64x64xf32>
  %y = tile.tensor "y" "output" ["64"] : !tile.view<64xf32>
  tile.launch "v" [] () {
    %c0 = arith.constant 0 : index
    %a = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<64x64xf32> -> tensor<64x64xf32>
    // expected-error@+1 {{moves elements of type 'i1' between threads, which is not in this version}}
    %m = arith.cmpf ogt, %a, %a : tensor<64x64xf32>
    %t = tile.transpose %m : tensor<64x64xi1> -> tensor<64x64xi1>
    %z = arith.subf %a, %a : tensor<64x64xf32>
    %s = arith.select %t, %a, %z : tensor<64x64xi1>, tensor<64x64xf32>
    %r = tile.reduce "add" %s dim 1 : tensor<64x64xf32> -> tensor<64xf32>
    tile.store %r, %y[%c0] dims [0] : tensor<64xf32>, !tile.view<64xf32>
  }
}
