// Fields on tiles: where they are computed, and how often.
// RUN: fovea-opt %s --attn-to-tile=sizes=D=32 --canonicalize --cse --split-input-file | FileCheck %s

// Positive constants go behind the maximum, wherever they stand; others stay.
// CHECK-LABEL: tile.program @scale
// CHECK: %[[SCALE:.*]] = arith.constant 1.500000e+00 : f32
// CHECK: tile.fold %{{.*}} scale %[[SCALE]]
// CHECK: %[[DOT:.*]] = tile.dot
// CHECK: tile.fold_yield %[[DOT]] coefficients
attn.attention @scale none axes [T, D, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %c3 = attn.constant real 3.0
  %c4 = attn.constant real 4.0
  %c8 = attn.constant real 8.0
  %kj = attn.rename %q T to j : real [T, D]
  %k3 = attn.mul %kj, %c3 : real [j, D], real []
  %q4 = attn.div %q, %c4 : real [T, D], real []
  %dot = attn.dot %q4, %k3 over [D] : real [T, D], real [j, D]
  %s2 = attn.mul %c8, %dot : real [], real [T, j]
  %s = attn.div %s2, %c4 : real [T, j], real []
  %p = attn.weights over j from T score %s : real [T, j]
  %one = attn.constant real 1.0
  %o = attn.expect %p, %one coefficient %dot : real [T, j] : [T] over j from T, real []
  attn.output "o" %o [T] : real [T]
}

// -----

// CHECK-LABEL: tile.program @negative
// CHECK-DAG: %[[SCALE:.*]] = arith.constant 1.000000e+00 : f32
// CHECK-DAG: %[[MINUS:.*]] = arith.constant dense<-1.000000e+00> : tensor<64x64xf32>
// CHECK: tile.fold %{{.*}} scale %[[SCALE]]
// CHECK: %[[DOT:.*]] = tile.dot
// CHECK: %[[S:.*]] = arith.mulf %[[DOT]], %[[MINUS]]
// CHECK: tile.fold_yield %[[S]]
attn.attention @negative none axes [T, D, j walk T from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %kj = attn.rename %q T to j : real [T, D]
  %n = attn.neg %q : real [T, D]
  %s = attn.dot %n, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// Scalars and fields of the query are computed before the fold, positions by iota, sizes as numbers.
// CHECK-LABEL: tile.program @places
// CHECK: %[[H:.*]] = tile.axis "H"
// CHECK: tile.launch "places" ["H", "T"] (%[[h:.*]] = %[[H]], %{{.*}} = %{{.*}})
// CHECK-DAG: %[[HI:.*]] = arith.index_cast %[[h]] : index to i32
// CHECK-DAG: math.exp2 %{{.*}} : f32
// CHECK-DAG: %[[T:.*]] = arith.sitofp %{{.*}} : tensor<64xi32> to tensor<64xf32>
// CHECK: tile.fold
// CHECK: tile.iota
// CHECK: arith.subf
// CHECK: arith.mulf
// CHECK: tile.fold_yield
attn.attention @places none axes [T, H, D, j walk T from T] {
  %q = attn.input "q" [T, H, D] : real [T, H, D]
  %kj = attn.rename %q T to j : real [T, H, D]
  %h = attn.index H
  %hr = attn.to_real %h : int [H]
  %c2 = attn.constant real 2.0
  %slope = attn.pow %c2, %hr : real [], real [H]
  %i = attn.position T
  %j = attn.index j
  %ir = attn.to_real %i : int [T]
  %jr = attn.to_real %j : int [j]
  %d = attn.sub %ir, %jr : real [T], real [j]
  %s = attn.mul %d, %slope : real [T, j], real [H]
  %p = attn.weights over j from T score %s : real [T, j, H]
  %o = attn.expect %p, %kj : [T, H] over j from T, real [j, H, D]
  attn.output "o" %o [T, H, D] : real [T, H, D]
}

// -----

// The row of a key-side input at the query's position: a load that starts elsewhere. Of a map: zero outside.
// CHECK-LABEL: tile.program @row_at
// CHECK-DAG: %[[S:.*]] = tile.axis "S"
// CHECK-DAG: %[[T:.*]] = tile.axis "T"
// CHECK-DAG: %[[SHIFT:.*]] = arith.subi %[[S]], %[[T]]
// CHECK: %[[ROW:.*]] = arith.muli
// CHECK: %[[AT:.*]] = arith.addi %[[ROW]], %[[SHIFT]]
// CHECK: %[[X:.*]] = tile.load %{{.*}}[%[[AT]], %{{.*}}] dims [0, 1]
// CHECK: %[[E:.*]] = math.cos
// CHECK: %[[N:.*]] = tile.iota %[[AT]]
// CHECK-DAG: arith.cmpi sge, %[[N]]
// CHECK-DAG: arith.cmpi slt, %[[N]]
// CHECK: arith.andi
// CHECK: arith.select {{.*}}, %[[E]]
attn.attention @row_at none axes [T, D, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %x = attn.row_at %k S at T : real [S, D]
  %c = attn.cos %k : real [S, D]
  %y = attn.row_at %c S at T : real [S, D]
  %a = attn.mul %q, %x : real [T, D], real [T, D]
  %o = attn.add %a, %y : real [T, D], real [T, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// A projection of the query is a product of tiles.
// CHECK-LABEL: tile.program @projection
// CHECK: %[[X:.*]] = tile.load %{{.*}} : !tile.view<?x32xbf16> -> tensor<64x32xbf16>
// CHECK: %[[W:.*]] = tile.load %{{.*}} : !tile.view<32x16xbf16> -> tensor<32x16xbf16>
// CHECK: %[[Y:.*]] = tile.dot %[[X]], %[[W]], %{{.*}} contract [1, 0]
// CHECK: math.exp %[[Y]] : tensor<64x16xf32>
attn.attention @projection none axes [T, D, E : 16, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  %w = attn.input "w" param [D, E] : real [D, E]
  %y = attn.dot %x, %w over [D] : real [T, D], real [D, E]
  %z = attn.exp %y : real [T, E]
  %n = attn.reduce sum %z over [E] : real [T, E]
  %o = attn.div %z, %n : real [T, E], real [T]
  attn.output "o" %o [T, E] : real [T, E]
}

// -----

// Reductions over features; that of a vector alone is done once per row.
// CHECK-LABEL: tile.program @reductions
// CHECK: tile.reduce "max"
// CHECK: math.exp
// CHECK: tile.reduce "add"
// CHECK: math.log
attn.attention @reductions none axes [T, D, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  %w = attn.input "w" param f32 [D] : real [D]
  %a = attn.reduce logsumexp %x over [D] : real [T, D]
  %b = attn.reduce mean %x over [D] : real [T, D]
  %c = attn.reduce min %x over [D] : real [T, D]
  %d = attn.reduce max %w over [D] : real [D]
  %e = attn.add %a, %b : real [T], real [T]
  %f = attn.add %c, %d : real [T], real []
  %o = attn.add %e, %f : real [T], real [T]
  attn.output "o" %o f32 [T] : real [T]
}

// -----

// Distances are converted per row and per key, and a score that is a sum of products takes an fma.
// CHECK-LABEL: tile.program @distance
// CHECK: %[[I:.*]] = arith.sitofp %{{.*}} : tensor<64xi32> to tensor<64xf32>
// CHECK: tile.fold
// CHECK: %[[DOT:.*]] = tile.dot
// CHECK: %[[X:.*]] = arith.mulf %[[DOT]]
// CHECK: %[[J:.*]] = arith.sitofp %{{.*}} : tensor<64xi32> to tensor<64xf32>
// CHECK-DAG: %[[BI:.*]] = tile.broadcast %[[I]] dims [0]
// CHECK-DAG: %[[BJ:.*]] = tile.broadcast %[[J]] dims [1]
// CHECK: %[[D:.*]] = arith.subf %[[BI]], %[[BJ]]
// CHECK: %[[SLOPE:.*]] = tile.splat
// CHECK: %[[S:.*]] = math.fma %[[SLOPE]], %[[D]], %[[X]]
// CHECK-NEXT: tile.load
// CHECK-NEXT: tile.fold_yield %[[S]]
attn.attention @distance none axes [T, H, D, S keys T, j walk S from T] {
  %q = attn.input "q" [T, H, D] : real [T, H, D]
  %k = attn.input "k" [S, H, D] : real [S, H, D]
  %v = attn.input "v" [S, H, D] : real [S, H, D]
  %m = attn.input "m" param f32 [H] : real [H]
  %kj = attn.rename %k S to j : real [S, H, D]
  %vj = attn.rename %v S to j : real [S, H, D]
  %dot = attn.dot %q, %kj over [D] : real [T, H, D], real [j, H, D]
  %c = attn.constant real 0.125
  %x = attn.mul %dot, %c : real [T, H, j], real []
  %i = attn.query_position T over S
  %j = attn.index j
  %d = attn.sub %i, %j : int [T], int [j]
  %r = attn.to_real %d : int [T, j]
  %b = attn.mul %m, %r : real [H], real [T, j]
  %s = attn.sub %x, %b : real [T, H, j], real [H, T, j]
  %p = attn.weights over j from T score %s : real [T, H, j]
  %o = attn.expect %p, %vj : [T, H] over j from T, real [j, H, D]
  attn.output "o" %o [T, H, D] : real [T, H, D]
}
