// Slices are other places to load from; concatenations join tiles in registers.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// Rotary embeddings: keys are rotated once, by a launch before; queries where they are used. Each half is loaded apart.
// CHECK-LABEL: tile.program @rope
// CHECK-DAG: %[[K:.*]] = tile.tensor "k"
// CHECK-DAG: %[[W:.*]] = tile.workspace "k_prepared" ["B", "Hk", "S", "D"] : <?x?x?x64xbf16>
// CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
// CHECK-DAG: %[[C32:.*]] = arith.constant 32 : index
// CHECK: tile.launch "prepare_k_prepared" ["B", "Hk", "S"]
// CHECK: tile.load %[[K]][{{.*}}, %[[C0]]] dims [1, 3] {{.*}} -> tensor<64x32xbf16>
// CHECK: math.powf {{.*}} : tensor<32xf32>
// CHECK: math.cos {{.*}} : tensor<64x32xf32>
// CHECK: tile.load %[[K]][{{.*}}, %[[C32]]] dims [1, 3] {{.*}} -> tensor<64x32xbf16>
// CHECK: %[[FIRST:.*]] = arith.subf
// CHECK: %[[SECOND:.*]] = arith.addf
// CHECK: %[[BOTH:.*]] = tile.concat %[[FIRST]], %[[SECOND]] dim 1 : tensor<64x32xf32>, tensor<64x32xf32> -> tensor<64x64xf32>
// CHECK: %[[NARROW:.*]] = arith.truncf %[[BOTH]]
// CHECK: tile.store %[[NARROW]], %[[W]]
// CHECK: tile.launch "rope"
// CHECK: %[[Q:.*]] = tile.concat
// CHECK: %[[QN:.*]] = arith.truncf %[[Q]] : tensor<64x64xf32> to tensor<64x64xbf16>
// CHECK: tile.fold
// CHECK-NOT: math
// CHECK: %[[KR:.*]] = tile.load %[[W]]
// CHECK: tile.dot %[[QN]], %[[KR]]
attn.attention @rope causal axes [B, T, Hk, G, D : 64, F = D share 2, H = Hk * G, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
  %k = attn.input "k" [B, S, Hk, D] : real [B, S, Hk, D]
  %v = attn.input "v" [B, S, Hk, D] : real [B, S, Hk, D]
  %f = attn.index F
  %fr = attn.to_real %f : int [F]
  %c = attn.constant real -0.03125
  %e = attn.mul %fr, %c : real [F], real []
  %base = attn.constant real 10000.0
  %freq = attn.pow %base, %e : real [], real [F]
  %i = attn.query_position T over S
  %ir = attn.to_real %i : int [T]
  %ai = attn.mul %ir, %freq : real [T], real [F]
  %ci = attn.cos %ai : real [T, F]
  %si = attn.sin %ai : real [T, F]
  %q1 = attn.slice %q D to F after [] : real [B, T, Hk, G, D]
  %q2 = attn.slice %q D to F after [F] : real [B, T, Hk, G, D]
  %a = attn.mul %q1, %ci : real [B, T, Hk, G, F], real [T, F]
  %b = attn.mul %q2, %si : real [B, T, Hk, G, F], real [T, F]
  %x = attn.sub %a, %b : real [B, T, Hk, G, F], real [B, T, Hk, G, F]
  %a2 = attn.mul %q2, %ci : real [B, T, Hk, G, F], real [T, F]
  %b2 = attn.mul %q1, %si : real [B, T, Hk, G, F], real [T, F]
  %y = attn.add %a2, %b2 : real [B, T, Hk, G, F], real [B, T, Hk, G, F]
  %qr = attn.concat %x, %y along D from [F, F] : real [B, T, Hk, G, F], real [B, T, Hk, G, F]
  %n = attn.index S
  %jr = attn.to_real %n : int [S]
  %aj = attn.mul %jr, %freq : real [S], real [F]
  %cj = attn.cos %aj : real [S, F]
  %sj = attn.sin %aj : real [S, F]
  %k1 = attn.slice %k D to F after [] : real [B, S, Hk, D]
  %k2 = attn.slice %k D to F after [F] : real [B, S, Hk, D]
  %ka = attn.mul %k1, %cj : real [B, S, Hk, F], real [S, F]
  %kb = attn.mul %k2, %sj : real [B, S, Hk, F], real [S, F]
  %kx = attn.sub %ka, %kb : real [B, S, Hk, F], real [B, S, Hk, F]
  %ka2 = attn.mul %k2, %cj : real [B, S, Hk, F], real [S, F]
  %kb2 = attn.mul %k1, %sj : real [B, S, Hk, F], real [S, F]
  %ky = attn.add %ka2, %kb2 : real [B, S, Hk, F], real [B, S, Hk, F]
  %kr = attn.concat %kx, %ky along D from [F, F] : real [B, S, Hk, F], real [B, S, Hk, F]
  %kj = attn.rename %kr S to j : real [B, S, Hk, D]
  %vj = attn.rename %v S to j : real [B, S, Hk, D]
  %score = attn.dot %qr, %kj over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
  %m = attn.index j
  %seen = attn.le %m, %i : int [j], int [T]
  %p = attn.weights over j from T score %score : real [B, T, Hk, G, j] where %seen : bool [j, T]
  %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, Hk, G, D]
}

// -----

// A view of the first part of a key as the value: it is read where it lies, and nothing is prepared.
// CHECK-LABEL: tile.program @view
// CHECK-NOT: tile.workspace
// CHECK: %[[K:.*]] = tile.tensor "k" "input" ["S", "E"] : <?x96xbf16>
// CHECK-NOT: tile.workspace
// CHECK: tile.fold
// CHECK: tile.load %[[K]]{{.*}} -> tensor<64x96xbf16>
// CHECK: %[[V:.*]] = tile.load %[[K]][%{{.*}}, %c0] {{.*}} -> tensor<64x64xbf16>
// CHECK: tile.fold_yield {{.*}} values(%[[V]] :
attn.attention @view none axes [T, C : 64, P : 32, E = C + P, S keys T, j walk S from T] {
  %q = attn.input "q" [T, E] : real [T, E]
  %k = attn.input "k" [S, E] : real [S, E]
  %kj = attn.rename %k S to j : real [S, E]
  %vj = attn.slice %kj E to C after [] : real [j, E]
  %s = attn.dot %q, %kj over [E] : real [T, E], real [j, E]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, C]
  attn.output "o" %o [T, C] : real [T, C]
}

// -----

// A slice of an expectation is cut from its accumulator; parts that begin at a multiple of 8 need no exchange. The part
// of 24 elements is padded to the width of fragments.
// CHECK-LABEL: tile.program @cut
// CHECK: %[[U:.*]] = arith.mulf {{.*}} : tensor<64x64xf32>
// CHECK-DAG: %[[A:.*]] = tile.slice %[[U]] dim 1 offset 0 : tensor<64x64xf32> -> tensor<64x40xf32>
// CHECK-DAG: %[[B:.*]] = tile.slice %[[U]] dim 1 offset 40 : tensor<64x64xf32> -> tensor<64x24xf32>
// CHECK: tile.concat {{.*}} dim 1 : tensor<64x24xf32>, tensor<64x40xf32> -> tensor<64x64xf32>
attn.attention @cut none axes [T, D : 64, P : 40, R : 24, E = P + R, F = R + P, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %v = attn.input "v" [S, E] : real [S, E]
  %kj = attn.rename %k S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, E]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %u = attn.expect %p, %vj : [T] over j from T, real [j, E]
  %a = attn.slice %u E to P after [] : real [T, E]
  %b = attn.slice %u E to R after [P] : real [T, E]
  %o = attn.concat %b, %a along F from [R, P] : real [T, R], real [T, P]
  attn.output "o" %o [T, F] : real [T, F]
}

// -----

// A dot with a concatenation of stored keys is a sum of dots in one accumulator: no workspace, and the part that all heads
// share is loaded as it is. The query is cut where it lies.
// CHECK-LABEL: tile.program @joined
// CHECK-NOT: tile.workspace
// CHECK: %[[Q1:.*]] = tile.load {{.*}} -> tensor<64x64xbf16>
// CHECK: %[[Q2:.*]] = tile.load {{.*}} -> tensor<64x32xbf16>
// CHECK: tile.fold
// CHECK: %[[K1:.*]] = tile.load {{.*}} : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
// CHECK: %[[FIRST:.*]] = tile.dot %[[Q1]], %[[K1]], %{{.*}} contract [1, 1]
// CHECK: %[[K2:.*]] = tile.load {{.*}} : !tile.view<?x32xbf16> -> tensor<64x32xbf16>
// CHECK: %[[BOTH:.*]] = tile.dot %[[Q2]], %[[K2]], %[[FIRST]] contract [1, 1]
// CHECK: tile.fold_yield %[[BOTH]]
attn.attention @joined none axes [T, H, C : 64, P : 32, E = C + P, S keys T, j walk S from T] {
  %q = attn.input "q" [T, H, E] : real [T, H, E]
  %a = attn.input "a" [S, H, C] : real [S, H, C]
  %b = attn.input "b" [S, P] : real [S, P]
  %v = attn.input "v" [S, H, C] : real [S, H, C]
  %k = attn.concat %a, %b along E from [C, P] : real [S, H, C], real [S, P]
  %kj = attn.rename %k S to j : real [S, H, E]
  %vj = attn.rename %v S to j : real [S, H, C]
  %s = attn.dot %q, %kj over [E] : real [T, H, E], real [j, H, E]
  %p = attn.weights over j from T score %s : real [T, H, j]
  %o = attn.expect %p, %vj : [T, H] over j from T, real [j, H, C]
  attn.output "o" %o [T, H, C] : real [T, H, C]
}

// -----

// So is a sum of two dots that nothing else needs.
// CHECK-LABEL: tile.program @sum
// CHECK: tile.fold
// CHECK: %[[FIRST:.*]] = tile.dot
// CHECK: %[[BOTH:.*]] = tile.dot %{{.*}}, %{{.*}}, %[[FIRST]] contract
// CHECK-NOT: arith.addf
// CHECK: tile.fold_yield %[[BOTH]]
attn.attention @sum none axes [T, C : 64, P : 32, S keys T, j walk S from T] {
  %q = attn.input "q" [T, C] : real [T, C]
  %r = attn.input "r" [T, P] : real [T, P]
  %a = attn.input "a" [S, C] : real [S, C]
  %b = attn.input "b" [S, P] : real [S, P]
  %aj = attn.rename %a S to j : real [S, C]
  %bj = attn.rename %b S to j : real [S, P]
  %s = attn.dot %q, %aj over [C] : real [T, C], real [j, C]
  %t = attn.dot %r, %bj over [P] : real [T, P], real [j, P]
  %u = attn.add %s, %t : real [T, j], real [T, j]
  %p = attn.weights over j from T score %u : real [T, j]
  %o = attn.expect %p, %aj : [T] over j from T, real [j, C]
  attn.output "o" %o [T, C] : real [T, C]
}
