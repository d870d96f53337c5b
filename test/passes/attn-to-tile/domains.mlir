// The keys that a tile of queries visits, from the predicate.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// Without a predicate all keys are visited and only the last tile can be partial.
// CHECK-LABEL: tile.program @all
// CHECK: %[[C0:.*]] = arith.constant 0 : index
// CHECK: %[[S:.*]] = tile.axis "S"
// CHECK: tile.domain ranges(%[[C0]] to %[[S]]) full(%[[C0]] to %[[S]]) limit %[[S]] step 64
// CHECK: mask (%[[J:.*]]) {
// CHECK: %[[N:.*]] = tile.iota %[[J]]
// CHECK: %[[IN:.*]] = arith.cmpi slt, %[[N]]
// CHECK: %[[M:.*]] = tile.broadcast %[[IN]] dims [1]
// CHECK: tile.mask_yield %[[M]]
attn.attention @all none axes [T, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %kj = attn.rename %k S to j : real [S, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// No key is ever seen.
// CHECK-LABEL: tile.program @nothing
// CHECK: %[[C0:.*]] = arith.constant 0 : index
// CHECK: tile.domain ranges(%[[C0]] to %[[C0]]) full(%[[C0]] to %[[C0]])
attn.attention @nothing none axes [T, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %kj = attn.rename %k S to j : real [S, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %no = attn.constant bool false
  %p = attn.weights over j from T score %s : real [T, j] where %no : bool []
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// Two ranges; the length of the prefix is data, clipped so that the tail stays partial.
// CHECK-LABEL: tile.program @prefix
// CHECK: %[[C0:.*]] = arith.constant 0 : index
// CHECK: %[[T:.*]] = tile.axis "T"
// CHECK: tile.launch "prefix" ["B", "T"] (%[[B:.*]] = {{.*}}, %[[ROW:.*]] = {{.*}})
// CHECK: %[[FIRST:.*]] = arith.muli %[[ROW]]
// CHECK: %[[END:.*]] = arith.addi %[[FIRST]]
// CHECK: %[[HI:.*]] = arith.minsi %[[END]], %[[T]]
// CHECK: %[[FULL:.*]] = arith.addi %[[FIRST]]
// CHECK: %[[N:.*]] = tile.load_scalar %{{.*}}[%[[B]]]
// CHECK: %[[PREFIX:.*]] = arith.index_cast %[[N]] : i32 to index
// CHECK: %[[CLIPPED:.*]] = arith.minsi %[[PREFIX]], %[[T]]
// CHECK: tile.domain ranges(%[[C0]], %[[C0]] to %[[HI]], %[[PREFIX]]) full(%[[C0]], %[[C0]] to %[[FULL]], %[[CLIPPED]]) limit %[[T]] step 64
attn.attention @prefix none axes [B, T, D : 64, j walk T from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %n = attn.input "n" i32 [B] : int [B]
  %kj = attn.rename %q T to j : real [B, T, D]
  %s = attn.dot %q, %kj over [D] : real [B, T, D], real [B, j, D]
  %i = attn.index T
  %j = attn.index j
  %past = attn.le %j, %i : int [j], int [T]
  %in = attn.lt %j, %n : int [j], int [B]
  %seen = attn.or %past, %in : bool [j, T], bool [j, B]
  %p = attn.weights over j from T score %s : real [B, T, j] where %seen : bool [j, T, B]
  %o = attn.expect %p, %kj : [B, T] over j from T, real [B, j, D]
  attn.output "o" %o [B, T, D] : real [B, T, D]
}

// -----

// A condition on the query alone can empty the whole tile.
// CHECK-LABEL: tile.program @rows
// CHECK: %[[LIMIT:.*]] = tile.load_scalar
// CHECK: %[[NONE:.*]] = arith.cmpi sgt
// CHECK: %[[HI:.*]] = arith.select %[[NONE]]
// CHECK: %[[PART:.*]] = arith.cmpi sgt
// CHECK: %[[FULL:.*]] = arith.select %[[PART]]
// CHECK: tile.domain ranges(%{{.*}} to %[[HI]]) full(%{{.*}} to %[[FULL]])
attn.attention @rows none axes [B, T, D : 64, j walk T from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %n = attn.input "n" i32 [B] : int [B]
  %kj = attn.rename %q T to j : real [B, T, D]
  %s = attn.dot %q, %kj over [D] : real [B, T, D], real [B, j, D]
  %i = attn.index T
  %valid = attn.lt %i, %n : int [T], int [B]
  %p = attn.weights over j from T score %s : real [B, T, j] where %valid : bool [T, B]
  %o = attn.expect %p, %kj : [B, T] over j from T, real [B, j, D]
  attn.output "o" %o [B, T, D] : real [B, T, D]
}

// -----

// Segments are data: the tiles that may be seen, and those that are seen whole, come from a launch before.
// CHECK-LABEL: tile.program @segments
// CHECK: %[[T:.*]] = tile.axis "T"
// CHECK: %[[BOUNDS:.*]] = tile.workspace "tile_bounds" ["4", "ceildiv(T, 64)"]
// CHECK: tile.launch "segments"
// CHECK: %[[LO:.*]] = tile.load_scalar %[[BOUNDS]]
// CHECK: %[[LOI:.*]] = arith.index_cast %[[LO]]
// CHECK: %[[LOK:.*]] = arith.muli %[[LOI]]
// CHECK: tile.domain ranges
// CHECK: mask
// CHECK: %[[J:.*]] = tile.load {{.*}} : !tile.view<?xi32> -> tensor<64xi32>
// CHECK: arith.cmpi eq
attn.attention @segments none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %g = attn.input "g" i32 [T] : int [T]
  %kj = attn.rename %q T to j : real [T, D]
  %gj = attn.rename %g T to j : int [T]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %same = attn.eq %g, %gj : int [T], int [j]
  %p = attn.weights over j from T score %s : real [T, j] where %same : bool [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}
