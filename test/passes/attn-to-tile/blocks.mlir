// Blocks and windows: means of tokens beforehand, blocks of pairs in the work item, walks over windows, pair outputs.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// The maximum of the weights of each block: the statistic of the rows comes from a launch before, a block larger than a
// tile is a loop.
// CHECK-LABEL: tile.program @weights
// CHECK: %[[LSE:.*]] = tile.workspace {{.*}} ["T"]
// CHECK: tile.launch "prepare_
// CHECK: tile.fold
// CHECK: tile.launch "weights" ["Sb", "T"] (%[[BLOCK:.*]] = {{.*}}, %[[ROW:.*]] = {{.*}})
// CHECK-NOT: tile.fold
// CHECK: tile.load %[[LSE]]
// CHECK: %[[LOOP:.*]] = scf.for {{.*}} iter_args(%[[BEFORE:.*]] = %{{.*}}) -> (tensor<64xf32>)
// CHECK: %[[MAX:.*]] = tile.reduce "max" %{{.*}} dim 1
// CHECK: arith.maxnumf %[[BEFORE]], %[[MAX]]
// CHECK: tile.store %[[LOOP]], %{{.*}}[%{{.*}}, %[[BLOCK]]] dims [0]
attn.attention @weights none axes [T, D : 64, S keys T, Sb = S / 128, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %kj = attn.rename %k S to j : real [S, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %lse = attn.stat lse %p : [T] over j from T
  %d = attn.sub %s, %lse : real [T, j], real [T]
  %w = attn.exp %d : real [T, j]
  %m = attn.block_reduce max %w over j to Sb : real [T, j]
  attn.output "m" %m f32 [T, Sb] : real [T, Sb]
}

// -----

// Means of windows are computed before the walk over them, their elements one after the other.
// CHECK-LABEL: tile.program @windows
// CHECK: %[[MEANS:.*]] = tile.workspace "k_prepared" ["(max(0, S - 16) / 16)", "D"]
// CHECK: tile.launch "prepare_
// CHECK: scf.for
// CHECK: tile.gather %{{.*}} by [0](%{{.*}} : tensor<16xi32>) dims [-1, 1]
// CHECK: arith.addf
// CHECK: arith.divf
// CHECK: tile.launch "windows" ["T"]
// CHECK: tile.domain
// CHECK: tile.fold
// CHECK: tile.load %[[MEANS]]
attn.attention @windows none axes [T, D : 64, S keys T, Sc = windows S of 32 step 16, c walk Sc from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %mean = attn.block_reduce mean %k over S to Sc : real [S, D]
  %kc = attn.rename %mean Sc to c : real [Sc, D]
  %s = attn.dot %q, %kc over [D] : real [T, D], real [c, D]
  %i = attn.query_position T over S
  %c = attn.index c
  %step = attn.constant int 16
  %first = attn.mul %c, %step : int [c], int []
  %extent = attn.constant int 31
  %last = attn.add %first, %extent : int [c], int []
  %seen = attn.le %last, %i : int [c], int [T]
  %p = attn.weights over c from T score %s : real [T, c] where %seen : bool [c, T]
  %o = attn.expect %p, %kc : [T] over c from T, real [c, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// A pair output: one work item for each pair of tiles.
// CHECK-LABEL: tile.program @scores
// CHECK: tile.launch "scores" ["T", "S"] (%[[I:.*]] = {{.*}}, %[[J:.*]] = {{.*}})
// CHECK: tile.dot
// CHECK: tile.store %{{.*}}, %{{.*}}[%{{.*}}, %{{.*}}] dims [0, 1] : tensor<64x64xf32>, !tile.view<?x?xf32>
attn.attention @scores none axes [T, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %kj = attn.rename %k S to j : real [S, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %r = attn.rename %s j to S : real [T, j]
  attn.output "r" %r f32 [T, S] : real [T, S]
}
