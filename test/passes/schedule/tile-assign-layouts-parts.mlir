// Slices, concatenations and running sums keep the layout of their sources; a total along rows is a vector of columns.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-set-schedule,tile-assign-layouts))' | FileCheck %s

// CHECK-DAG: #[[WIDE:.*]] = #tile.layout<reg = {{\[}}[0, 1], [8, 0]], lane = {{\[}}[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = {{\[}}[16, 0]], rep = [8 x [0, 8]]>
// CHECK-DAG: #[[NARROW:.*]] = #tile.layout<reg = {{\[}}[0, 1], [8, 0]], lane = {{\[}}[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = {{\[}}[16, 0]], rep = [3 x [0, 8]]>
// CHECK-DAG: #[[ROWS:.*]] = #tile.layout<reg = {{\[}}[8]], lane = {{\[}}[0], [0], [1], [2], [4]], warp = {{\[}}[16]], rep = []>
// CHECK-DAG: #[[COLUMNS:.*]] = #tile.layout<reg = {{\[}}[1]], lane = {{\[}}[2], [4], [0], [0], [0]], warp = {{\[}}[0]], rep = [8 x [8]]>
// CHECK-DAG: #[[PART:.*]] = #tile.layout<reg = {{\[}}[1]], lane = {{\[}}[2], [4], [0], [0], [0]], warp = {{\[}}[0]], rep = [3 x [8]]>
tile.program @parts {
  %c0 = arith.constant 0 : index
  %n = tile.axis "N"
  %x = tile.tensor "x" "input" ["N", "D"] : !tile.view<?x64xf32>
  %y = tile.tensor "y" "output" ["N", "D"] : !tile.view<?x64xf32>
  %w = tile.tensor "w" "input" ["D"] : !tile.view<64xf32>
  // Two warps of 16 rows each.
  // CHECK: tile.launch "parts" {{.*}} schedule {{.*}}warps = 2
  tile.launch "parts" ["N"] (%i = %n) {
    %a = tile.load %x[%i, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<?x64xf32> -> tensor<32x64xf32>
    // CHECK: tile.scan {{.*}} -> tensor<32x64xf32, #[[WIDE]]>, tensor<64xf32, #[[COLUMNS]]>
    %s, %columns = tile.scan %a dim 0 : tensor<32x64xf32> -> tensor<32x64xf32>, tensor<64xf32>
    // CHECK: tile.scan {{.*}} -> tensor<32x64xf32, #[[WIDE]]>, tensor<32xf32, #[[ROWS]]>
    %t, %rows = tile.scan %s dim 1 : tensor<32x64xf32> -> tensor<32x64xf32>, tensor<32xf32>
    // CHECK: tile.slice {{.*}} -> tensor<32x24xf32, #[[NARROW]]>
    %p = tile.slice %t dim 1 offset 8 : tensor<32x64xf32> -> tensor<32x24xf32>
    // The vector is used along features, and so are its parts.
    // CHECK: tile.load {{.*}} -> tensor<64xf32, #[[COLUMNS]]>
    // CHECK: tile.slice {{.*}} -> tensor<24xf32, #[[PART]]>
    %v = tile.load %w[%c0] dims [0] pad 0.0 : f32 : !tile.view<64xf32> -> tensor<64xf32>
    %q = tile.slice %v dim 0 offset 40 : tensor<64xf32> -> tensor<24xf32>
    %wide = tile.broadcast %q dims [1] : tensor<24xf32> -> tensor<32x24xf32>
    %o = arith.mulf %p, %wide : tensor<32x24xf32>
    tile.store %o, %y[%i, %c0] dims [0, 1] : tensor<32x24xf32>, !tile.view<?x64xf32>
  }
}
