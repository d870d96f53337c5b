// Fields of the key that are no inputs are computed once per key, by a launch before.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s

// A normalised key: the key itself is the operand, the norm a scalar per key in f32.
// CHECK-LABEL: tile.program @norms
// CHECK-DAG: %[[K:.*]] = tile.tensor "k" "input" ["S", "D"] : <?x64xbf16>
// CHECK-DAG: %[[W:.*]] = tile.workspace "k_prepared" ["S"] : <?xf32>
// CHECK: tile.launch "prepare_k_prepared" ["S"]
// CHECK: %[[ROWS:.*]] = tile.load %[[K]]
// CHECK: %[[WIDE:.*]] = arith.extf %[[ROWS]]
// CHECK: %[[SQUARE:.*]] = arith.mulf %[[WIDE]], %[[WIDE]]
// CHECK: %[[SUM:.*]] = tile.reduce "add" %[[SQUARE]] dim 1
// CHECK: %[[NORM:.*]] = math.rsqrt %[[SUM]]
// CHECK: tile.store %[[NORM]], %[[W]]
// CHECK: tile.launch "norms" ["T"]
// CHECK: %[[Q:.*]] = tile.load
// The query's own norm is a scalar per row.
// CHECK: %[[QNORM:.*]] = math.rsqrt
// CHECK: tile.fold {{.*}} scale
// CHECK: %[[KT:.*]] = tile.load %[[K]]
// CHECK: %[[DOT:.*]] = tile.dot %[[Q]], %[[KT]]
// CHECK-DAG: %[[KNORM:.*]] = tile.load %[[W]][{{.*}}] dims [0]
// CHECK-DAG: %[[BQ:.*]] = tile.broadcast %[[QNORM]] dims [0]
// CHECK-DAG: %[[BK:.*]] = tile.broadcast %[[KNORM]] dims [1]
// CHECK: %[[BOTH:.*]] = arith.mulf %[[BQ]], %[[BK]]
// CHECK: %[[SCORE:.*]] = arith.mulf %[[DOT]], %[[BOTH]]
// CHECK: tile.fold_yield %[[SCORE]]
attn.attention @norms none axes [T, D : 64, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %v = attn.input "v" [S, D] : real [S, D]
  %qq = attn.dot %q, %q over [D] : real [T, D], real [T, D]
  %qr = attn.rsqrt %qq : real [T]
  %qn = attn.mul %q, %qr : real [T, D], real [T]
  %kk = attn.dot %k, %k over [D] : real [S, D], real [S, D]
  %kr = attn.rsqrt %kk : real [S]
  %kn = attn.mul %k, %kr : real [S, D], real [S]
  %kj = attn.rename %kn S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, D]
  %s = attn.dot %qn, %kj over [D] : real [T, D], real [j, D]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// Maps of keys and values of the same tokens and batch: one launch prepares both, in the operands' type. The map of the
// query stays in the launch.
// CHECK-LABEL: tile.program @maps
// CHECK-DAG: %[[KW:.*]] = tile.workspace "k_prepared" ["B", "S", "D"] : <?x?x32xbf16>
// CHECK-DAG: %[[VW:.*]] = tile.workspace "v_prepared" ["B", "S", "D"] : <?x?x32xbf16>
// CHECK: tile.launch "prepare_k_prepared" ["B", "S"]
// CHECK: math.sin
// CHECK: arith.truncf {{.*}} to tensor<64x32xbf16>
// CHECK: tile.store %{{.*}}, %[[KW]]
// CHECK: math.tanh
// CHECK: arith.truncf {{.*}} to tensor<64x32xbf16>
// CHECK: tile.store %{{.*}}, %[[VW]]
// CHECK-NOT: tile.launch
// CHECK: tile.launch "maps" ["B", "T"]
// CHECK: math.cos
// CHECK: %[[Q:.*]] = arith.truncf {{.*}} to tensor<64x32xbf16>
// CHECK: tile.fold
// CHECK-NOT: math
// CHECK: %[[K:.*]] = tile.load %[[KW]]
// CHECK: tile.dot %[[Q]], %[[K]]
// CHECK: %[[V:.*]] = tile.load %[[VW]]
// CHECK: tile.fold_yield {{.*}} values(%[[V]] :
attn.attention @maps none axes [B, T, D : 32, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, D] : real [B, T, D]
  %k = attn.input "k" [B, S, D] : real [B, S, D]
  %v = attn.input "v" [B, S, D] : real [B, S, D]
  %vm = attn.tanh %v : real [B, S, D]
  %qm = attn.cos %q : real [B, T, D]
  %km = attn.sin %k : real [B, S, D]
  %kj = attn.rename %km S to j : real [B, S, D]
  %vj = attn.rename %vm S to j : real [B, S, D]
  %s = attn.dot %qm, %kj over [D] : real [B, T, D], real [B, j, D]
  %p = attn.weights over j from T score %s : real [B, T, j]
  %o = attn.expect %p, %vj : [B, T] over j from T, real [B, j, D]
  attn.output "o" %o [B, T, D] : real [B, T, D]
}

// -----

// One workspace for two dots with the same map; in self-attention the walk and the queries are one axis.
// CHECK-LABEL: tile.program @shared
// CHECK-COUNT-1: tile.workspace
// CHECK-NOT: tile.workspace
// CHECK: tile.launch "prepare_x_prepared" ["T"]
// CHECK: tile.launch "shared" ["T"]
// CHECK: tile.fold
// CHECK: %[[K:.*]] = tile.load
// CHECK: tile.dot %{{.*}}, %[[K]]
// CHECK: tile.dot %{{.*}}, %[[K]]
attn.attention @shared none axes [T, D : 64, j walk T from T] {
  %x = attn.input "x" [T, D] : real [T, D]
  %y = attn.input "y" [T, D] : real [T, D]
  %m = attn.tanh %x : real [T, D]
  %mj = attn.rename %m T to j : real [T, D]
  %yj = attn.rename %y T to j : real [T, D]
  %a = attn.dot %x, %mj over [D] : real [T, D], real [j, D]
  %b = attn.dot %y, %mj over [D] : real [T, D], real [j, D]
  %s = attn.max %a, %b : real [T, j], real [T, j]
  %p = attn.weights over j from T score %s : real [T, j]
  %o = attn.expect %p, %yj : [T] over j from T, real [j, D]
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

// Fields of the key that vary with the head and fields that do not have a launch each, in front of all others.
// CHECK-LABEL: tile.program @batches
// CHECK: tile.launch "prepare_k_prepared" ["B", "H", "S"]
// CHECK: math.sin
// CHECK-NOT: math.tanh
// CHECK: tile.launch "prepare_v_prepared" ["B", "S"]
// CHECK: math.tanh
// CHECK: tile.launch "batches" ["B", "H", "T"]
attn.attention @batches none axes [B, T, H, D : 32, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, S, H, D] : real [B, S, H, D]
  %v = attn.input "v" [B, S, D] : real [B, S, D]
  %vm = attn.tanh %v : real [B, S, D]
  %km = attn.sin %k : real [B, S, H, D]
  %kj = attn.rename %km S to j : real [B, S, H, D]
  %vj = attn.rename %vm S to j : real [B, S, D]
  %s = attn.dot %q, %kj over [D] : real [B, T, H, D], real [B, j, H, D]
  %p = attn.weights over j from T score %s : real [B, T, H, j]
  %o = attn.expect %p, %vj : [B, T, H] over j from T, real [B, j, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, H, D]
}
