// Work items begin with those that have most keys, along the axes where their number grows.
// RUN: fovea-opt %s --pass-pipeline='builtin.module(tile.program(tile-order-work))' | FileCheck %s

tile.program @p {
  %H = tile.axis "H"
  %T = tile.axis "T"
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %window = arith.constant 256 : index
  %bounds = tile.tensor "bounds" "input" ["T"] : !tile.view<?xi32>
  %n = arith.ceildivui %T, %c64 : index

  // Later queries of a causal attention see more keys.
  // CHECK: tile.launch "causal" ["H", "T"] {{.*}} schedule {descending = ["T"], warps = 4 : i64}
  tile.launch "causal" ["H", "T"] (%h = %H, %t = %n) schedule {warps = 4} {
    %first = arith.muli %t, %c64 : index
    %hi = arith.addi %first, %c64 : index
    %d = tile.domain ranges (%c0 to %hi) full (%c0 to %first) limit %T step 64
  }
  // All see all.
  // CHECK: tile.launch "full" {{.*}} schedule {warps = 4 : i64}
  tile.launch "full" ["H", "T"] (%h = %H, %t = %n) schedule {warps = 4} {
    %d = tile.domain ranges (%c0 to %T) full (%c0 to %T) limit %T step 64
  }
  // Earlier queries see more: they are first as it is.
  // CHECK: tile.launch "anticausal" {{.*}} schedule {warps = 4 : i64}
  tile.launch "anticausal" ["H", "T"] (%h = %H, %t = %n) schedule {warps = 4} {
    %first = arith.muli %t, %c64 : index
    %d = tile.domain ranges (%first to %T) full (%c0 to %c0) limit %T step 64
  }
  // A window's first queries see fewer keys.
  // CHECK: tile.launch "window" {{.*}} schedule {descending = ["T"], warps = 4 : i64}
  tile.launch "window" ["H", "T"] (%h = %H, %t = %n) schedule {warps = 4} {
    %first = arith.muli %t, %c64 : index
    %hi = arith.addi %first, %c64 : index
    %lo = arith.subi %first, %window : index
    %d = tile.domain ranges (%lo to %hi) full (%c0 to %c0) limit %T step 64
  }
  // What is known in memory alone is not known here.
  // CHECK: tile.launch "unknown" {{.*}} schedule {warps = 4 : i64}
  tile.launch "unknown" ["H", "T"] (%h = %H, %t = %n) schedule {warps = 4} {
    %bound = tile.load_scalar %bounds[%t] : !tile.view<?xi32> -> i32
    %hi = arith.index_cast %bound : i32 to index
    %d = tile.domain ranges (%c0 to %hi) full (%c0 to %c0) limit %T step 64
  }
  // An order that is given stays.
  // CHECK: tile.launch "given" {{.*}} schedule {descending = [], warps = 4 : i64}
  tile.launch "given" ["H", "T"] (%h = %H, %t = %n) schedule {descending = [], warps = 4} {
    %first = arith.muli %t, %c64 : index
    %hi = arith.addi %first, %c64 : index
    %d = tile.domain ranges (%c0 to %hi) full (%c0 to %first) limit %T step 64
  }
}
