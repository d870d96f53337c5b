// Sums along tokens: within tiles, of the tiles' totals, and together.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// CHECK-LABEL: tile.program @gates
// CHECK-DAG: %[[SUMS:.*]] = tile.workspace "f_sums" ["B", "H", "S"] : <?x?x?xf32>
// CHECK-DAG: %[[WITHIN:.*]] = tile.workspace "f_within" ["B", "H", "S"] : <?x?x?xf32>
// CHECK-DAG: %[[TOTALS:.*]] = tile.workspace "f_totals" ["B", "H", "ceildiv(S, 128)"] : <?x?x?xf32>
// CHECK-DAG: %[[BEFORE:.*]] = tile.workspace "f_before" ["B", "H", "ceildiv(S, 128)"] : <?x?x?xf32>
// CHECK: tile.launch "scan_f" ["B", "H", "S"] (%{{.*}}, %{{.*}}, %[[N:.*]] = %{{.*}})
// CHECK: %[[SCAN:.*]], %[[TOTAL:.*]] = tile.scan %{{.*}} dim 0 : tensor<128xf32> -> tensor<128xf32>, f32
// CHECK: tile.store %[[SCAN]], %[[WITHIN]]
// CHECK: tile.store_scalar %[[TOTAL]], %[[TOTALS]][{{.*}}, %[[N]]]
// CHECK: tile.launch "scan_totals_f" ["B", "H"]
// Rows are read one place early, so that each tile gets what lies before it.
// CHECK: scf.for {{.*}} iter_args(%[[CARRY:.*]] = %{{.*}}) -> (f32)
// CHECK: %[[EARLY:.*]] = arith.subi %{{.*}}, %c1
// CHECK: %[[T:.*]] = tile.load %[[TOTALS]][{{.*}}, %[[EARLY]]]
// CHECK: %[[P:.*]], %[[ALL:.*]] = tile.scan %[[T]] dim 0
// CHECK: tile.splat %[[CARRY]]
// CHECK: tile.store %{{.*}}, %[[BEFORE]]
// CHECK: arith.addf %[[CARRY]], %[[ALL]] : f32
// CHECK: tile.launch "scan_add_f" ["B", "H", "S"]
// CHECK: tile.load_scalar %[[BEFORE]]
// CHECK: tile.load %[[WITHIN]]
// CHECK: tile.store %{{.*}}, %[[SUMS]]
// CHECK: tile.launch "gates" ["B", "H", "T"]
// The sums at queries stand before the fold; those at keys are read as they are.
// CHECK: tile.load %[[SUMS]]
// CHECK: tile.fold
// CHECK: tile.load %[[SUMS]]
attn.attention @gates none axes [B, T, H, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, S, H, D] : real [B, S, H, D]
  %v = attn.input "v" [B, S, H, D] : real [B, S, H, D]
  %f = attn.input "f" f32 [B, S, H] : real [B, S, H]
  %l = attn.log_sigmoid %f : real [B, S, H]
  %c = attn.scan %l along S : real [B, S, H]
  %kj = attn.rename %k S to j : real [B, S, H, D]
  %vj = attn.rename %v S to j : real [B, S, H, D]
  %cj = attn.rename %c S to j : real [B, S, H]
  %ci = attn.row_at %c S at T : real [B, S, H]
  %d = attn.dot %q, %kj over [D] : real [B, T, H, D], real [B, j, H, D]
  %more = attn.add %d, %ci : real [B, T, H, j], real [B, T, H]
  %s = attn.sub %more, %cj : real [B, T, H, j], real [B, j, H]
  %p = attn.weights over j from T score %s : real [B, T, H, j]
  %o = attn.expect %p, %vj : [B, T, H] over j from T, real [B, j, H, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, H, D]
}

// -----

// With features a tile is 32 rows, or 16, so that one warp holds it; totals are vectors.
// CHECK-LABEL: tile.program @means
// CHECK: tile.launch "scan_v"
// CHECK: tile.scan %{{.*}} dim 0 : tensor<32x64xf32> -> tensor<32x64xf32>, tensor<64xf32>
// CHECK: tile.launch "scan_totals_v"
// CHECK: iter_args({{.*}}) -> (tensor<64xf32>)
// CHECK: tile.launch "scan_add_v"
// CHECK: tile.launch "means"
attn.attention @means none axes [B, T, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %k = attn.input "k" [B, S, D] : real [B, S, D]
  %v = attn.input "v" [B, S, D] : real [B, S, D]
  %c = attn.scan %v along S : real [B, S, D]
  %kj = attn.rename %k S to j : real [B, S, D]
  %cj = attn.rename %c S to j : real [B, S, D]
  %s = attn.dot %q, %kj over [D] : real [B, T, D], real [B, j, D]
  %p = attn.weights over j from T score %s : real [B, T, j]
  %o = attn.expect %p, %cj : [B, T] over j from T, real [B, j, D]
  attn.output "o" %o [B, T, D] : real [B, T, D]
}
