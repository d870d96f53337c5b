// Causal attention with grouped heads, from the declarative program to launches and a fold.
// RUN: fovea-opt %s --attn-to-tile=sizes=G=2 --canonicalize --cse | FileCheck %s
// Other tiles and types: the shapes follow.
// RUN: fovea-opt %s --attn-to-tile='query-tile=128 key-tile=32 type=f16 sizes=G=2' | FileCheck %s --check-prefix=OTHER

// OTHER: tile.program @causal choices {key_tile = 32 : i64, query_tile = 128 : i64}
// OTHER: tile.domain {{.*}} step 32
// OTHER: tile.dot {{.*}} tensor<128x64xf16>, tensor<32x64xf16> -> tensor<128x32xf32>

// CHECK-NOT: attn.
// CHECK-LABEL: tile.program @causal choices {key_tile = 64 : i64, query_tile = 64 : i64}
// CHECK-DAG: %[[C0:.*]] = arith.constant 0 : index
// CHECK-DAG: %[[C1:.*]] = arith.constant 1 : index
// CHECK-DAG: %[[C2:.*]] = arith.constant 2 : index
// CHECK-DAG: %[[C64:.*]] = arith.constant 64 : index
// CHECK-DAG: %[[B:.*]] = tile.axis "B"
// CHECK-DAG: %[[T:.*]] = tile.axis "T"
// CHECK-DAG: %[[HK:.*]] = tile.axis "Hk"
// CHECK-DAG: %[[S:.*]] = tile.axis "S"
// CHECK-DAG: %[[Q:.*]] = tile.tensor "q" "input" ["B", "T", "Hk*G", "D"] : <?x?x?x64xbf16>
// CHECK-DAG: %[[K:.*]] = tile.tensor "k" "input" ["B", "S", "Hk", "D"] : <?x?x?x64xbf16>
// CHECK-DAG: %[[V:.*]] = tile.tensor "v" "input" ["B", "S", "Hk", "V"] : <?x?x?x32xbf16>
// CHECK-DAG: %[[O:.*]] = tile.tensor "o" "output" ["B", "T", "Hk*G", "V"] : <?x?x?x32xbf16>
// CHECK-DAG: %[[LSE:.*]] = tile.tensor "lse" "output" ["B", "T", "Hk*G"] : <?x?x?xf32>
// CHECK-DAG: %[[NT:.*]] = arith.ceildivui %[[T]], %[[C64]]
// CHECK-DAG: %[[SHIFT:.*]] = arith.subi %[[S]], %[[T]]
// CHECK: tile.launch "causal" ["B", "Hk", "G", "T"] (%[[b:.*]] = %[[B]], %[[hk:.*]] = %[[HK]], %[[g:.*]] = %[[C2]], %[[t:.*]] = %[[NT]])
// CHECK-DAG: %[[SCALE:.*]] = arith.constant 1.250000e-01 : f32
// CHECK-DAG: %[[I0:.*]] = arith.muli %[[t]], %[[C64]]
// CHECK-DAG: %[[GROUP:.*]] = arith.muli %[[hk]], %[[C2]]
// CHECK-DAG: %[[H:.*]] = arith.addi %[[GROUP]], %[[g]]
// The last query that exists sees keys up to itself; the first one's keys are seen by all.
// CHECK: %[[END:.*]] = arith.addi %[[I0]], %[[C64]]
// CHECK: %[[CLIPPED:.*]] = arith.minsi %[[END]], %[[T]]
// CHECK: %[[LAST:.*]] = arith.subi %[[CLIPPED]], %[[C1]]
// CHECK: %[[LASTPOS:.*]] = arith.addi %[[LAST]], %[[SHIFT]]
// CHECK: %[[HI:.*]] = arith.addi %[[LASTPOS]], %[[C1]]
// CHECK: %[[FIRST:.*]] = arith.addi %[[I0]], %[[SHIFT]]
// CHECK: %[[FULL:.*]] = arith.addi %[[FIRST]], %[[C1]]
// CHECK: %[[DOMAIN:.*]] = tile.domain ranges(%[[C0]] to %[[HI]]) full(%[[C0]] to %[[FULL]]) limit %[[S]] step 64
// CHECK: %[[QT:.*]] = tile.load %[[Q]][%[[b]], %[[I0]], %[[H]], %[[C0]]] dims [1, 3] pad 0.000000e+00 : bf16
// CHECK: %[[I:.*]] = tile.iota %[[FIRST]]
// CHECK: %[[MAX:.*]], %[[SUM:.*]], %[[ACC:.*]] = tile.fold %[[DOMAIN]] scale %[[SCALE]] (%[[J:.*]]) {
// CHECK: %[[KT:.*]] = tile.load %[[K]][%[[b]], %[[J]], %[[hk]], %[[C0]]] dims [1, 3]
// CHECK: %[[SCORE:.*]] = tile.dot %[[QT]], %[[KT]], %{{.*}} contract [1, 1]
// CHECK: %[[VT:.*]] = tile.load %[[V]][%[[b]], %[[J]], %[[hk]], %[[C0]]] dims [1, 3]
// CHECK: tile.fold_yield %[[SCORE]] values(%[[VT]] : tensor<64x32xbf16>) terms [-1] * [0]
// CHECK: } mask (%[[MJ:.*]]) {
// CHECK: %[[N:.*]] = tile.iota %[[MJ]]
// CHECK: %[[EXISTS:.*]] = arith.cmpi slt, %[[N]]
// CHECK-DAG: %[[ALL:.*]] = tile.broadcast %[[EXISTS]] dims [1]
// CHECK-DAG: %[[BJ:.*]] = tile.broadcast %[[N]] dims [1]
// CHECK-DAG: %[[BI:.*]] = tile.broadcast %[[I]] dims [0]
// CHECK: %[[PAST:.*]] = arith.cmpi sle, %[[BJ]], %[[BI]]
// CHECK: %[[MASK:.*]] = arith.andi %[[PAST]], %[[ALL]]
// CHECK: tile.mask_yield %[[MASK]]
// A row without keys divides by nothing; a NaN stays.
// CHECK: %[[SOME:.*]] = arith.cmpf une, %[[SUM]]
// CHECK: %[[INVERSE:.*]] = arith.divf %{{.*}}, %[[SUM]]
// CHECK: %[[SAFE:.*]] = arith.select %[[SOME]], %[[INVERSE]]
// CHECK: %[[ROWS:.*]] = tile.broadcast %[[SAFE]] dims [0]
// CHECK: %[[OUT:.*]] = arith.mulf %[[ACC]], %[[ROWS]]
// CHECK: %[[ROUNDED:.*]] = arith.truncf %[[OUT]]
// CHECK: tile.store %[[ROUNDED]], %[[O]][%[[b]], %[[I0]], %[[H]], %[[C0]]] dims [1, 3]
// CHECK: %[[SCALED:.*]] = arith.mulf %[[MAX]]
// CHECK: %[[LOG:.*]] = math.log %[[SUM]]
// CHECK: %[[L:.*]] = arith.addf %[[SCALED]], %[[LOG]]
// CHECK: %[[OR:.*]] = arith.select %[[SOME]], %[[L]]
// CHECK: tile.store %[[OR]], %[[LSE]][%[[b]], %[[I0]], %[[H]]] dims [1]
attn.attention @causal causal axes [B, T, Hk, G, D : 64, V : 32, H = Hk * G, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
  %k = attn.input "k" [B, S, Hk, D] : real [B, S, Hk, D]
  %v = attn.input "v" [B, S, Hk, V] : real [B, S, Hk, V]
  %kj = attn.rename %k S to j : real [B, S, Hk, D]
  %vj = attn.rename %v S to j : real [B, S, Hk, V]
  %dot = attn.dot %q, %kj over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
  %c = attn.constant real 0.125
  %score = attn.mul %dot, %c : real [B, T, Hk, G, j], real []
  %i = attn.query_position T over S
  %n = attn.index j
  %seen = attn.le %n, %i : int [j], int [T]
  %p = attn.weights over j from T score %score : real [B, T, Hk, G, j] where %seen : bool [j, T]
  %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, V]
  %lse = attn.stat lse %p : [B, T, Hk, G] over j from T
  attn.output "o" %o [B, T, H, V] : real [B, T, Hk, G, V]
  attn.output "lse" %lse f32 [B, T, H] : real [B, T, Hk, G]
}
