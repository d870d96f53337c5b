// Products of features that decay by at most 5 nats per token may have an anchor in the middle of 16 rows.
// RUN: fovea-opt %s --attn-to-tile=chunk=64 --canonicalize --cse --split-input-file | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile="chunk=64 state=chunk" --canonicalize --cse --split-input-file | FileCheck %s
// RUN: fovea-opt %s --attn-to-tile="chunk=64 type=f16" --canonicalize --cse --split-input-file | FileCheck %s --check-prefix=HALF

// Operands of f16 have no room for it.
// HALF-COUNT-5: tile.decayed_dot {{.*}}{{[^d]}} : tensor<64x32xf16>

// A contract; tokens that take no part do not decay.
// CHECK-LABEL: tile.program @contract
// CHECK: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} bounded : tensor<64x32xbf16>
attn.attention @contract causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %n = attn.input "n" i32 [B, T] : int [B, T]
  %zero = attn.constant int 0
  %m = attn.gt %n, %zero : int [B, T], int []
  %g = attn.input "g" f32 [B, T, H, K] within <from -5.0 to 0.0> : real [B, T, H, K]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
         decay %g : real [B, T, H, K] where %m : bool [B, T]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// The gate of an expression, from the last token to the first; what is replaced, and a read before the token.
// CHECK-LABEL: tile.program @gate
// CHECK-DAG: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} strict reverse bounded : tensor<64x32xbf16>
// CHECK-DAG: tile.decayed_dot %{{.*}}, %{{.*}}, %{{.*}} exclusive reverse bounded : tensor<64x32xbf16>
attn.attention @gate set axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %e = attn.input "e" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %f = attn.input "f" [B, T, H, K] : real [B, T, H, K]
  %c = attn.constant real -5.0
  %y = attn.sigmoid %f : real [B, T, H, K]
  %g = attn.mul %c, %y : real [], real [B, T, H, K]
  %s = attn.state along T reverse key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
         decay %g : real [B, T, H, K] erase %e : real [B, T, H, K]
  %o = attn.read prev %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// No bound below.
// CHECK-LABEL: tile.program @open
// CHECK: tile.decayed_dot
// CHECK-NOT: bounded
attn.attention @open causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %f = attn.input "f" [B, T, H, K] : real [B, T, H, K]
  %g = attn.log_sigmoid %f : real [B, T, H, K]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H, K]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

// A bound that eight rows exceed.
// CHECK-LABEL: tile.program @far
// CHECK: tile.decayed_dot
// CHECK-NOT: bounded
attn.attention @far causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %g = attn.input "g" f32 [B, T, H, K] within <from -5.1 to 0.0> : real [B, T, H, K]
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H, K]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
