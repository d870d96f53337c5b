// Keys that data decide: extremes of each side over tiles of tokens, then intervals compared, then ranges read.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// Causal and within one document: both range and run of whole tiles come from data and from positions.
// CHECK-LABEL: tile.program @documents
// CHECK: tile.launch "extremes" ["B", "T"]
// CHECK: scf.for
// CHECK: tile.gather
// CHECK: arith.minsi
// CHECK: arith.maxsi
// CHECK: tile.store {{.*}} : tensor<16xi32>
// CHECK: tile.launch "bounds" ["B", "T"]
// CHECK: scf.for
// CHECK: arith.cmpi sle
// CHECK: arith.cmpi eq
// CHECK: tile.reduce "max"
// CHECK: tile.launch "documents" ["B", "T"]
// CHECK-COUNT-4: tile.load_scalar
// CHECK: %[[DOMAIN:.*]] = tile.domain ranges(%{{[^,]*}} to %{{[^,]*}}) full(%{{[^,]*}} to %{{[^,]*}}) limit
attn.attention @documents causal axes [B, T, D : 64, j walk T from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %doc = attn.input "doc" i32 [B, T] : int [B, T]
  %kj = attn.rename %q T to j : real [B, T, D]
  %dj = attn.rename %doc T to j : int [B, T]
  %s = attn.dot %q, %kj over [D] : real [B, T, D], real [B, j, D]
  %i = attn.index T
  %n = attn.index j
  %before = attn.le %n, %i : int [j], int [T]
  %same = attn.eq %doc, %dj : int [B, T], int [B, j]
  %seen = attn.and %before, %same : bool [j, T], bool [B, T, j]
  %p = attn.weights over j from T score %s : real [B, T, j] where %seen : bool [j, T, B]
  %o = attn.expect %p, %kj : [B, T] over j from T, real [B, j, D]
  attn.output "o" %o [B, T, D] : real [B, T, D]
}

// -----

// Two alternatives give two ranges, each with bounds of its own.
// CHECK-LABEL: tile.program @shared
// CHECK: tile.launch "bounds"
// CHECK: tile.launch "bounds_2"
// CHECK: tile.launch "shared"
// CHECK: tile.domain ranges(%{{[^,]*}}, %{{[^,]*}} to %{{[^,]*}}, %{{[^,]*}}) full
attn.attention @shared none axes [T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %doc = attn.input "doc" i32 [T] : int [T]
  %kj = attn.rename %q T to j : real [T, D]
  %dj = attn.rename %doc T to j : int [T]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %zero = attn.constant int 0
  %i = attn.index T
  %n = attn.index j
  %before = attn.le %n, %i : int [j], int [T]
  %same = attn.eq %doc, %dj : int [T], int [j]
  %own = attn.and %before, %same : bool [j, T], bool [T, j]
  %some = attn.ne %doc, %zero : int [T], int []
  %question = attn.eq %dj, %zero : int [j], int []
  %other = attn.and %some, %question : bool [T], bool [j]
  %seen = attn.or %own, %other : bool [j, T], bool [T, j]
  %p = attn.weights over j from T score %s : real [T, j] where %seen : bool [j, T]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// What no interval bounds (a gather of pairs) leaves the range of positions, with masks everywhere.
// CHECK-LABEL: tile.program @opaque
// CHECK-NOT: tile.launch "bounds"
// CHECK: %[[C0:.*]] = arith.constant 0 : index
// CHECK: tile.domain ranges(%[[C0]] to %{{.*}}) full(%[[C0]] to %[[C0]])
attn.attention @opaque none axes [N, T, D : 64, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %table = attn.input "table" i32 [N] : int [N]
  %kj = attn.rename %q T to j : real [T, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %i = attn.index T
  %n = attn.index j
  %d = attn.sub %i, %n : int [T], int [j]
  %x = attn.gather %table N at %d : int [N], int [T, j]
  %zero = attn.constant int 0
  %seen = attn.gt %x, %zero : int [T, j], int []
  %p = attn.weights over j from T score %s : real [T, j] where %seen : bool [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}
