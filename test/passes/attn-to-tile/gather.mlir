// Fields at computed indices: loads become gathers, everything else stays.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// A table by distance: one gather per pair of tiles, zeros outside.
// CHECK-LABEL: tile.program @table
// CHECK: %[[TABLE:.*]] = tile.tensor "table" "param" ["H", "N"]
// CHECK: tile.launch "table" ["H", "T"] (%[[H:[a-z0-9]+]] = 
// CHECK: tile.fold
// CHECK: %[[D:.*]] = arith.subi {{.*}} : tensor<64x64xi32>
// CHECK: tile.gather %[[TABLE]][%[[H]], %{{.*}}] by [1](%[[D]] : tensor<64x64xi32>) dims [-1, -1] : !tile.view<?x?xf32> -> tensor<64x64xf32>
// CHECK-NOT: arith.select
// CHECK: tile.fold_yield
attn.attention @table none axes [H, N, T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, H, D] : real [T, H, D]
  %table = attn.input "table" param f32 [H, N] : real [H, N]
  %kj = attn.rename %q T to j : real [T, H, D]
  %s = attn.dot %q, %kj over [D] : real [T, H, D], real [j, H, D]
  %i = attn.index T
  %n = attn.index j
  %d = attn.sub %i, %n : int [T], int [j]
  %b = attn.gather %table N at %d : real [H, N], int [T, j]
  %score = attn.add %s, %b : real [T, H, j], real [H, T, j]
  %p = attn.weights over j from T score %score : real [T, H, j]
  %o = attn.expect %p, %kj : [T, H] over j from T, real [j, H, D]
  attn.output "o" %o [T, H, D] : real [T, H, D]
}

// -----

// A function of a table: gathered below the function, masked where the index is outside, since f(0) is not 0.
// CHECK-LABEL: tile.program @function
// CHECK: %[[I:.*]] = tile.load {{.*}} -> tensor<64xi32>
// CHECK: %[[X:.*]] = tile.gather %{{.*}} by [0](%[[I]] : tensor<64xi32>) dims [-1]
// CHECK: %[[E:.*]] = math.exp %[[X]]
// CHECK: %[[LOW:.*]] = arith.cmpi sge, %[[I]]
// CHECK: %[[HIGH:.*]] = arith.cmpi slt, %[[I]]
// CHECK: %[[IN:.*]] = arith.andi %[[LOW]], %[[HIGH]]
// CHECK: arith.select %[[IN]], %[[E]]
attn.attention @function none axes [N, T, j walk T from T] {
  %table = attn.input "table" f32 [N] : real [N]
  %index = attn.input "index" i32 [T] : int [T]
  %e = attn.exp %table : real [N]
  %x = attn.gather %e N at %index : real [N], int [T]
  attn.output "x" %x f32 [T] : real [T]
}

// -----

// Rows by an index of each row, and one row by an index of the work item, which is kept within the axis.
// CHECK-LABEL: tile.program @rows
// CHECK: tile.gather %{{.*}}[%{{.*}}, %{{.*}}] by [0](%{{.*}} : tensor<64xi32>) dims [-1, 1] : !tile.view<?x64xbf16> -> tensor<64x64xbf16>
// CHECK: %[[N:.*]] = tile.load_scalar
// CHECK: %[[A:.*]] = arith.index_cast %[[N]]
// CHECK: %[[B:.*]] = arith.minsi %[[A]]
// CHECK: %[[C:.*]] = arith.maxsi %[[B]]
// CHECK: tile.load %{{.*}}[%[[C]], %{{.*}}] dims [1]
attn.attention @rows none axes [B, S, T, D : 64, j walk T from T] {
  %x = attn.input "x" [S, D] : real [S, D]
  %which = attn.input "which" i32 [T] : int [T]
  %one = attn.input "one" i32 [B] : int [B]
  %a = attn.gather %x S at %which : real [S, D], int [T]
  %b = attn.gather %x S at %one : real [S, D], int [B]
  %y = attn.add %a, %b : real [D, T], real [D, B]
  attn.output "y" %y [B, T, D] : real [D, T, B]
}
