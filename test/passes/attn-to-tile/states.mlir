// Recurrences: over chunks with the state held transposed, token by token with values as rows, and in workspaces.
// RUN: fovea-opt %s --attn-to-tile=chunk=64 --canonicalize --cse --split-input-file | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile="state=step state-tile=32" --canonicalize --cse --split-input-file | FileCheck %s --check-prefix=STEP

// Without decay: products, a mask, and no exponential. Values are split over work items where one steps.
// CHECK-LABEL: tile.program @plain
// CHECK: tile.launch "plain" ["B", "H"]
// CHECK: tile.recurrence from %{{.*}} to %[[T:.*]] step 64 init(%{{.*}} : tensor<64x32xf32>)
// CHECK: ^bb0(%[[START:.*]]: index, %[[S:.*]]: tensor<64x32xf32>):
// CHECK-DAG: %[[K:.*]] = tile.load {{.*}} -> tensor<64x32xbf16>
// CHECK-DAG: %[[Q:.*]] = tile.load {{.*}} -> tensor<64x32xbf16>
// CHECK: %[[P:.*]] = tile.dot %[[Q]], %[[K]], %{{.*}} contract [1, 1]
// CHECK: %[[SEES:.*]] = arith.cmpi sge
// CHECK: %[[A:.*]] = arith.select %[[SEES]], %[[P]]
// CHECK: %[[R:.*]] = tile.transpose
// CHECK: %[[NARROW:.*]] = arith.truncf %[[S]]
// CHECK: %[[HELD:.*]] = tile.dot %[[NARROW]], %[[Q]], %{{.*}} contract [1, 1]
// CHECK: %[[WEIGHTS:.*]] = arith.truncf %[[A]]
// CHECK: %[[O:.*]] = tile.dot %[[R]], %[[WEIGHTS]], %[[HELD]] contract [1, 1]
// CHECK: tile.transpose %[[O]]
// CHECK: tile.store
// CHECK: %[[NEXT:.*]] = tile.dot %[[R]], %[[K]], %[[S]] contract [1, 0]
// CHECK: tile.recurrence_yield %[[NEXT]]
// CHECK-NOT: math.exp2

// STEP-LABEL: tile.program @plain
// STEP: tile.launch "plain" ["B", "H", "V"]
// STEP: tile.recurrence {{.*}} step 1 init(%{{.*}} : tensor<32x32xf32>)
// STEP: ^bb0(%[[T:.*]]: index, %[[S:.*]]: tensor<32x32xf32>):
// STEP: %[[NEXT:.*]] = math.fma %{{.*}}, %{{.*}}, %[[S]] : tensor<32x32xf32>
// STEP: %[[PRODUCT:.*]] = arith.mulf %[[NEXT]]
// STEP: tile.reduce "add" %[[PRODUCT]] dim 1
// STEP: tile.store
// STEP: tile.recurrence_yield %[[NEXT]]
attn.attention @plain causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// A constant decay: differences of positions times the step, which no sum rounds. A read before the write sees the
// tokens before, one before the decay one step less.
// CHECK-LABEL: tile.program @constant
// CHECK: arith.maximumf %{{.*}}, %cst{{.*}} : f32
// CHECK: tile.recurrence
// CHECK-NOT: tile.scan
// CHECK: arith.maxsi %{{.*}} : tensor<64x64xi32>
// CHECK: arith.sitofp %{{.*}} : tensor<64x64xi32> to tensor<64x64xf32>
// CHECK: math.exp2 %{{.*}} : tensor<64x64xf32>
// CHECK: arith.cmpi sgt
attn.attention @constant causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %g = attn.input "g" f32 [H] : real [H]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [H]
  %o = attn.read prev %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// A decay per token, in the other direction: sums from the last row on. With the delta rule an inverse.
// CHECK-LABEL: tile.program @delta
// CHECK: tile.recurrence {{.*}} reverse
// CHECK: tile.scan %{{.*}} dim 0 reverse : tensor<64xf32> -> tensor<64xf32>, f32
// CHECK: tile.unit_tril_inverse %{{.*}} reverse : tensor<64x64xf32>
// STEP-LABEL: tile.program @delta
// STEP: tile.recurrence {{.*}} reverse
// STEP: arith.subf %{{.*}} : tensor<32xf32>
attn.attention @delta set axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %e = attn.input "e" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %g = attn.input "g" f32 [B, T, H] : real [B, T, H]
  %s = attn.state along T reverse key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
         decay %g : real [B, T, H] erase %e : real [B, T, H, K]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// A decay per key: products that decay, whose exponents are never positive. What is carried is read before the loop and
// written behind it, in the order of its array; snapshots at the ends of blocks.
// CHECK-LABEL: tile.program @channels
// CHECK: %[[H:.*]] = tile.tensor "h" "carry" ["B", "H", "V", "K"]
// CHECK: tile.launch
// CHECK: %[[FIRST:.*]] = tile.load %[[H]]
// CHECK: tile.recurrence {{.*}} init(%[[FIRST]]
// CHECK: tile.scan %{{.*}} dim 0 : tensor<64x32xf32> -> tensor<64x32xf32>, tensor<32xf32>
// Operands that are computed come first.
// CHECK-COUNT-2: arith.truncf {{.*}} : tensor<64x32xf32>
// CHECK-NOT: arith.truncf
// CHECK: tile.decayed_dot
// CHECK-NOT: math.exp2 {{.*}} : tensor<64x32xf32>
// CHECK: arith.remui
// CHECK: scf.if
// CHECK: tile.store
// CHECK: tile.recurrence_yield
// CHECK: tile.store %{{.*}}, %[[H]]
attn.attention @channels causal axes [B, T, H, K : 32, V : 64, Tb = T / 128] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %g = attn.input "g" f32 [B, T, H, K] : real [B, T, H, K]
  %h = attn.input "h" carry f32 [B, H, V, K] : real [B, H, V, K]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
         decay %g : real [B, T, H, K] initial %h : real [B, H, V, K]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %e = attn.every %s at Tb : [B, H] K x V along T
  attn.output "e" %e f32 [B, Tb, H, K, V] : real [B, H, Tb, K, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, V, K] : real [B, H, K, V]
}

// -----

// The normaliser shares keys, weights and the loop; it is a vector of keys.
// CHECK-LABEL: tile.program @normalised
// CHECK-COUNT-1: tile.launch
// CHECK: tile.recurrence {{.*}} init(%{{.*}}, %{{.*}} : tensor<64x32xf32>, tensor<32xf32>)
// CHECK: arith.divf
// CHECK-NOT: tile.launch
attn.attention @normalised causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %one = attn.constant real 1.0
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %n = attn.state along T key %k over K : real [B, T, H, K] value %one : real []
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  %d = attn.read after %n, %q : [B, H] K x 1 along T, real [B, T, H, K]
  %r = attn.div %o, %d : real [B, T, H, V], real [B, T, H]
  attn.output "o" %r [B, T, H, V] : real [B, T, H, V]
}

// -----

// A norm over all values needs all of them in one work item: over chunks it is computed there, and where values are split
// the read stands in a workspace. Of two directions one is read from a workspace.
// CHECK-LABEL: tile.program @both
// CHECK: %[[READ:.*]] = tile.workspace "k_read" ["B", "H", "T", "V"]
// CHECK: tile.launch "state_k" ["B", "H"]
// CHECK: tile.recurrence
// CHECK-NOT: reverse
// CHECK: tile.store %{{.*}}, %[[READ]]
// CHECK: tile.launch "both" ["B", "H"]
// CHECK: tile.recurrence {{.*}} reverse
// CHECK: tile.load %[[READ]]
// CHECK: tile.reduce "add"
// STEP-LABEL: tile.program @both
// STEP-COUNT-2: tile.recurrence
// STEP: tile.launch "both" ["B", "H", "T"]
// STEP-NOT: tile.recurrence
// STEP: tile.reduce "add"
attn.attention @both set axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %f = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %b = attn.state along T reverse key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %x = attn.read after %f, %q : [B, H] K x V along T, real [B, T, H, K]
  %y = attn.read after %b, %q : [B, H] K x V along T, real [B, T, H, K]
  %s = attn.add %x, %y : real [B, T, H, V], real [B, T, H, V]
  %z = attn.mul %s, %s : real [B, T, H, V], real [B, T, H, V]
  %m = attn.reduce mean %z over [V] : real [B, T, H, V]
  %i = attn.rsqrt %m : real [B, T, H]
  %o = attn.mul %s, %i : real [B, T, H, V], real [B, T, H]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
