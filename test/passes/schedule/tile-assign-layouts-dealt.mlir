// Warps that the rows of a tile leave over have other columns of it, and of right operands those columns; what is cut out of step with
// that repeats its rows in them. One thread loads an element of a vector.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-assign-layouts))' | FileCheck %s

// CHECK-DAG: #[[ROWS:.*]] = #tile.layout<reg = {{\[}}[8]], lane = {{\[}}[0], [0], [1], [2], [4]], warp = {{\[}}[16], [0], [0]], rep = []>
// CHECK-DAG: #[[LEFT:.*]] = #tile.layout<reg = {{.*}}[0, 8]], lane = {{.*}}, warp = {{\[}}[16, 0], [0, 0], [0, 0]], rep = [4 x [0, 16]]>
// CHECK-DAG: #[[RIGHT:.*]] = #tile.layout<reg = {{.*}}, warp = {{\[}}[0, 0], [16, 0], [32, 0]], rep = [4 x [0, 16], 2 x [8, 0], 2 x [64, 0]]>
// CHECK-DAG: #[[DEALT:.*]] = #tile.layout<reg = {{.*}}, warp = {{\[}}[16, 0], [0, 16], [0, 32]], rep = [2 x [0, 8], 2 x [0, 64]]>
// CHECK-DAG: #[[COLUMNS:.*]] = #tile.layout<reg = {{\[}}[1]], lane = {{\[}}[2], [4], [0], [0], [0]], warp = {{\[}}[0], [16], [32]], rep = [2 x [8], 2 x [64]]>
// CHECK-DAG: #[[SAME:.*]] = #tile.layout<reg = {{.*}}, warp = {{\[}}[16, 0], [0, 0], [0, 0]], rep = [16 x [0, 8]]>
// CHECK-DAG: #[[ONCE:.*]] = #tile.layout<reg = [], lane = {{\[}}[1], [2], [4], [8], [16]], warp = {{\[}}[32], [64], [0]], rep = []>
tile.program @dealt {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xbf16>
  %w = tile.tensor "w" "input" ["D"] : !tile.view<128xf32>
  %m = tile.tensor "m" "input" ["N", "D"] : !tile.view<?x128xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x128xf32>
  tile.launch "dealt" ["N"] (%i = %n) schedule {query = "registers", stages = 1 : i64, warps = 8 : i64} {
    %zero = arith.constant dense<0.0> : tensor<32x128xf32>
    // CHECK: %[[V:.*]] = tile.load {{.*}} -> tensor<128xf32, #[[ONCE]]>
    // CHECK: tile.load {{.*}} -> tensor<32x64xbf16, #[[LEFT]]>
    %a = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<32x64xbf16>
    // CHECK: tile.load {{.*}} -> tensor<128x64xbf16, #[[RIGHT]]>
    %b = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x64xbf16> -> tensor<128x64xbf16>
    // CHECK: tile.dot {{.*}} -> tensor<32x128xf32, #[[DEALT]]>
    %p = tile.dot %a, %b, %zero contract [1, 1] : tensor<32x64xbf16>, tensor<128x64xbf16> -> tensor<32x128xf32>
    // CHECK: tile.reduce {{.*}} -> tensor<32xf32, #[[ROWS]]>
    %sum = tile.reduce "add" %p dim 1 : tensor<32x128xf32> -> tensor<32xf32>
    %rows = tile.broadcast %sum dims [0] : tensor<32xf32> -> tensor<32x128xf32>
    // CHECK: tile.convert_layout %[[V]] : {{.*}} -> tensor<128xf32, #[[COLUMNS]]>
    %v = tile.load %w[%c0] dims [0] pad 0.0 : f32 : !tile.view<128xf32> -> tensor<128xf32>
    %columns = tile.broadcast %v dims [1] : tensor<128xf32> -> tensor<32x128xf32>
    %s = arith.mulf %p, %columns : tensor<32x128xf32>
    %o = arith.addf %s, %rows : tensor<32x128xf32>
    tile.store %o, %y[%i, %c0] dims [0, 1] : tensor<32x128xf32>, !tile.view<?x128xf32>
    // CHECK: tile.load {{.*}} -> tensor<32x128xf32, #[[DEALT]]>
    %halves = tile.load %m[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x128xf32> -> tensor<32x128xf32>
    %half = tile.slice %halves dim 1 offset 64 : tensor<32x128xf32> -> tensor<32x64xf32>
    tile.store %half, %y[%i, %c0] dims [0, 1] : tensor<32x64xf32>, !tile.view<?x128xf32>
    // CHECK: tile.load {{.*}} -> tensor<32x128xf32, #[[SAME]]>
    %whole = tile.load %m[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x128xf32> -> tensor<32x128xf32>
    %part = tile.slice %whole dim 1 offset 16 : tensor<32x128xf32> -> tensor<32x64xf32>
    tile.store %part, %y[%i, %c0] dims [0, 1] : tensor<32x64xf32>, !tile.view<?x128xf32>
  }
}
