// Sums over all tokens: launches of their own, in parts, before their users.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile="type=f16" --canonicalize --cse --split-input-file | FileCheck %s --check-prefix=F16

// CHECK-LABEL: tile.program @mixer
// CHECK-DAG: %[[WHOLE:.*]] = tile.workspace "k_whole" ["B", "H", "D", "V"] : <?x?x64x128xbf16>
// CHECK-DAG: %[[COUNT:.*]] = tile.computed_axis "parts"
// CHECK-DAG: %[[PARTS:.*]] = tile.workspace "k_parts" ["B", "H", "parts", "64", "128"] : <?x?x?x64x128xf32>
// 512 tokens and 64 of the features per work item; tokens that do not exist are 0.
// CHECK: tile.launch "sum_k" ["B", "H", "V", "T"] (%{{.*}}, %{{.*}}, %{{.*}} = %c2, %[[N:.*]] = %[[COUNT]])
// CHECK: scf.for
// CHECK: %[[K:.*]] = arith.truncf
// CHECK: %[[KT:.*]] = tile.transpose %[[K]]
// CHECK: tile.dot %[[KT]], %{{.*}}, %{{.*}} contract [1, 0]
// CHECK: tile.store %{{.*}}, %[[PARTS]][%{{.*}}, %{{.*}}, %[[N]], %c0, %{{.*}}] dims [3, 4]
// The parts are added in order.
// CHECK: tile.launch "prepare_k_whole" ["B", "H", "D"]
// CHECK: scf.for %[[P:.*]] = %c0 to %[[COUNT]] step %c1
// CHECK: tile.load %[[PARTS]][%{{.*}}, %{{.*}}, %[[P]], %{{.*}}, %c0]
// CHECK: tile.store %{{.*}}, %[[WHOLE]]
// Wide results are shared out to work items.
// CHECK: tile.launch "mixer" ["B", "H", "V", "T"]
// CHECK: %[[S:.*]] = tile.load %[[WHOLE]]
// CHECK: tile.dot %{{.*}}, %[[S]], %{{.*}} contract [1, 0] : tensor<64x64xbf16>, tensor<64x64xbf16>

// In f16 sums have the range of f32.
// F16-LABEL: tile.program @mixer
// F16: tile.dot {{.*}} precision "tf32" : tensor<64x64xf32>, tensor<64x64xf32>
// F16: tile.launch "mixer"
// F16: tile.dot {{.*}} precision "tf32"
attn.attention @mixer set axes [B, T, H, D : 64, V : 128] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, T, H, D] : real [B, T, H, D]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %kf = attn.relu %k : real [B, T, H, D]
  %s = attn.dot %kf, %v over [T] : real [B, T, H, D], real [B, T, H, V]
  %n = attn.size T
  %r = attn.to_real %n : int []
  %m = attn.div %s, %r : real [B, H, D, V], real []
  %o = attn.dot %q, %m over [D] : real [B, T, H, D], real [B, H, D, V]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// A softmax over tokens: maxima and sums per part, merged where they are added. Scalars are 16 equal elements there.
// CHECK-LABEL: tile.program @shares
// CHECK-DAG: %[[MAX:.*]] = tile.workspace "x_parts" ["B", "H", "parts", "16"] : <?x?x?x16xf32>
// CHECK-DAG: %[[SUM:.*]] = tile.workspace "x_part_sums" ["B", "H", "parts", "16"] : <?x?x?x16xf32>
// CHECK: tile.launch "sum_x"
// CHECK: scf.for {{.*}} -> (tensor<32xf32>, tensor<32xf32>)
// CHECK: %[[M:.*]] = tile.reduce "max" %{{.*}} dim 0
// CHECK: %[[A:.*]] = tile.reduce "add" %{{.*}} dim 0
// CHECK: tile.store %[[M]], %[[MAX]]
// CHECK: tile.store %[[A]], %[[SUM]]
// CHECK: tile.launch "prepare_x_whole" ["B", "H"]
// CHECK: math.log
// CHECK: tile.launch "sum_v"
// CHECK: tile.launch "prepare_v_whole"
// CHECK: arith.divf
// CHECK: tile.launch "shares"
// CHECK: tile.load_scalar
attn.attention @shares set axes [B, T, H, D : 64, V : 64] {
  %x = attn.input "x" f32 [B, T, H] : real [B, T, H]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %l = attn.reduce logsumexp %x over [T] : real [B, T, H]
  %d = attn.sub %x, %l : real [B, T, H], real [B, H]
  %p = attn.exp %d : real [B, T, H]
  %m = attn.reduce mean %v over [T] : real [B, T, H, V]
  %o = attn.mul %p, %m : real [B, T, H], real [B, H, V]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// The side that is stored stays as it is, and the tokens of a grid are rows together.
// CHECK-LABEL: tile.program @sides
// CHECK-DAG: %[[V:.*]] = tile.tensor "v"
// CHECK-DAG: tile.workspace "k_parts" ["B", "parts", "64", "32"]
// CHECK-DAG: %[[GRID:.*]] = tile.merge_dims %[[V]] dims [-1, 1]
// CHECK: tile.launch "sum_k" ["B", "X"]
// CHECK: %[[B:.*]] = tile.load %[[GRID]]
// CHECK: %[[A:.*]] = tile.transpose %{{.*}} : tensor<64x64xbf16>
// CHECK: tile.dot %[[A]], %[[B]]
// CHECK: tile.launch "sides" ["B", "T"]
attn.attention @sides set axes [B, V : 32, Y, X, D : 64, T = Y * X] {
  %k = attn.input "k" [B, T, D] : real [B, Y, X, D]
  %v = attn.input "v" [B, T, V] : real [B, Y, X, V]
  %kf = attn.relu %k : real [B, Y, X, D]
  %s = attn.dot %kf, %v over [Y, X] : real [B, Y, X, D], real [B, Y, X, V]
  %o = attn.dot %k, %s over [D] : real [B, Y, X, D], real [B, D, V]
  attn.output "o" %o [B, T, V] : real [B, Y, X, V]
}

// -----

// Over heads and features: per head first.
// CHECK-LABEL: tile.program @norm
// CHECK: %[[HEADS:.*]] = tile.axis "H"
// CHECK: %[[EACH:.*]] = tile.workspace "v_prepared" ["B", "T", "H"]
// CHECK: tile.launch "prepare_v_prepared"
// CHECK: tile.reduce "add"
// CHECK: tile.store %{{.*}}, %[[EACH]]
// CHECK: tile.launch "norm"
// CHECK: scf.for %[[H:.*]] = %c0 to %[[HEADS]]
// CHECK: tile.load_scalar %[[EACH]][%{{.*}}, %{{.*}}, %[[H]]]
attn.attention @norm none axes [B, T, H, V : 64] {
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %m = attn.reduce mean %v over [H, V] : real [B, T, H, V]
  %o = attn.sub %v, %m : real [B, T, H, V], real [B, T]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
