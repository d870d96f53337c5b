// Rows of sequences, views of a part of a dimension, work items that end early.
// RUN: fovea-opt %s --verify-roundtrip -o /dev/null
// RUN: fovea-opt %s --mlir-print-op-generic | fovea-opt --verify-roundtrip -o /dev/null
// RUN: fovea-opt %s | FileCheck %s

// CHECK: %[[START:.*]], %[[LENGTH:.*]] = tile.sequence %{{.*}}[%{{.*}}] of %{{.*}} most %{{.*}} : !tile.view<?xi32>
// CHECK: tile.end_if
// CHECK: tile.narrow %{{.*}} dim 0 from %[[START]] size %[[LENGTH]] : !tile.view<?x16xf32> -> !tile.view<?x16xf32>
// CHECK: tile.merge_dims
tile.program @rows {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %B = tile.axis "B"
  %T = tile.axis "T"
  %N = tile.axis "N"
  %o = tile.tensor "o" "input" ["C"] : <?xi32>
  %x = tile.tensor "x" "input" ["N", "16"] : <?x16xf32>
  %y = tile.tensor "y" "output" ["N", "16"] : <?x16xf32>
  tile.launch "a" ["B", "T"] (%b = %B, %t = %T) {
    %start, %length = tile.sequence %o[%b] of %N most %T : !tile.view<?xi32>
    %end = arith.cmpi uge, %t, %length : index
    tile.end_if %end
    %from = tile.narrow %x dim 0 from %start size %length : !tile.view<?x16xf32> -> !tile.view<?x16xf32>
    %to = tile.narrow %y dim 0 from %start size %length : !tile.view<?x16xf32> -> !tile.view<?x16xf32>
    %m = tile.merge_dims %from dims [0, -1] sizes (%length, %c1) : !tile.view<?x16xf32> -> !tile.view<?x?x16xf32>
    %v = tile.load %m[%c0, %t, %c0] dims [2] pad 0.0 : f32 : !tile.view<?x?x16xf32> -> tensor<16xf32>
    tile.store %v, %to[%t, %c0] dims [1] : tensor<16xf32>, !tile.view<?x16xf32>
  }
}
