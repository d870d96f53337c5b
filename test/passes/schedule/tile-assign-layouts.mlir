// Accumulator layouts for tiles, operand layouts for loads that feed products alone, rows and columns for vectors.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule,tile-assign-layouts))' | FileCheck %s

// CHECK-DAG: #[[$ROW:.*]] = #tile.layout<reg = {{\[\[}}8]], lane = {{\[\[}}0], [0], [1], [2], [4]], warp = {{\[\[}}16], [32]], rep = []>
// CHECK-DAG: #[[$COLUMN:.*]] = #tile.layout<reg = {{\[\[}}1]], lane = {{\[\[}}2], [4], [0], [0], [0]], warp = {{\[\[}}0], [0]], rep = [4 x [8]]>
// CHECK-DAG: #[[$ACC:.*]] = #tile.layout<reg = {{\[\[}}0, 1], [8, 0]], lane = {{\[\[}}0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = {{\[\[}}16, 0], [32, 0]], rep = [4 x [0, 8]]>
// CHECK-DAG: #[[$LEFT:.*]] = #tile.layout<reg = {{\[\[}}0, 1], [8, 0], [0, 8]], lane = {{\[\[}}0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = {{\[\[}}16, 0], [32, 0]], rep = []>
// CHECK-DAG: #[[$RIGHT:.*]] = #tile.layout<reg = {{\[\[}}0, 1], [0, 8]], lane = {{\[\[}}0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = {{\[\[}}0, 0], [0, 0]], rep = [4 x [8, 0]]>

// CHECK-LABEL: tile.program @product
tile.program @product {
  %T = tile.axis "T"
  %q = tile.tensor "q" "input" ["T", "D"] : !tile.view<?x16xbf16>
  %k = tile.tensor "k" "input" ["T", "D"] : !tile.view<?x16xbf16>
  %o = tile.tensor "o" "output" ["T", "T"] : !tile.view<?x?xf32>
  tile.launch "product" ["T"] (%t = %T) {
    %c0 = arith.constant 0 : index
    %zero = arith.constant dense<0.0> : tensor<64x32xf32>
    // CHECK: tile.load %{{.*}} -> tensor<64x16xbf16, #[[$LEFT]]>
    %a = tile.load %q[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<64x16xbf16>
    // CHECK: tile.load %{{.*}} -> tensor<32x16xbf16, #[[$RIGHT]]>
    %b = tile.load %k[%c0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x16xbf16> -> tensor<32x16xbf16>
    // CHECK: tile.dot {{.*}} -> tensor<64x32xf32, #[[$ACC]]>
    %s = tile.dot %a, %b, %zero contract [1, 1] : tensor<64x16xbf16>, tensor<32x16xbf16> -> tensor<64x32xf32>
    // One iota for rows and one for columns: a cheap vector that both ask for is computed twice.
    // CHECK-DAG: tile.iota {{.*}} : tensor<32xi32, #[[$COLUMN]]>
    %i = tile.iota %c0 : tensor<32xi32>
    %j = tile.broadcast %i dims [1] : tensor<32xi32> -> tensor<64x32xi32>
    // CHECK: tile.reduce "add" {{.*}} -> tensor<64xf32, #[[$ROW]]>
    %r = tile.reduce "add" %s dim 1 : tensor<64x32xf32> -> tensor<64xf32>
    %br = tile.broadcast %r dims [0] : tensor<64xf32> -> tensor<64x32xf32>
    %jf = arith.sitofp %j : tensor<64x32xi32> to tensor<64x32xf32>
    %x = arith.addf %br, %jf : tensor<64x32xf32>
    tile.store %x, %o[%c0, %c0] dims [0, 1] : tensor<64x32xf32>, !tile.view<?x?xf32>
  }
}
