// Recurrences shared out along tokens: chunks and segments side by side compute what one token after the other does.
// RUN: rm -rf %t && mkdir %t
// RUN: fovea-opt %s --attn-to-tile="state=chunk chunk=32" --canonicalize --cse -o %t/chunk.mlir
// RUN: fovea-opt %s --attn-to-tile="state=chunk chunk=16 state-tile=16" -o %t/parts.mlir
// RUN: fovea-opt %s --attn-to-tile="state=fused chunk=32" -o %t/fused.mlir
// RUN: fovea-opt %s --attn-to-tile="state=step" -o %t/step.mlir
// RUN: FileCheck %s --input-file %t/chunk.mlir

// RUN: fovea-tile-run %t/chunk.mlir --program delta --compare %t/step.mlir --compare-program delta --axes B=2,H=2,T=100
// RUN: fovea-tile-run %t/parts.mlir --program delta --compare %t/step.mlir --compare-program delta --axes B=1,H=2,T=1
// RUN: fovea-tile-run %t/parts.mlir --program delta --compare %t/fused.mlir --compare-program delta --axes B=1,H=2,T=47
// RUN: fovea-tile-run %t/chunk.mlir --program channels --compare %t/step.mlir --compare-program channels --axes B=1,H=1,T=70
// RUN: fovea-tile-run %t/parts.mlir --program channels --compare %t/fused.mlir --compare-program channels --axes B=1,H=1,T=70
// RUN: fovea-tile-run %t/chunk.mlir --program blocks --compare %t/step.mlir --compare-program blocks --axes B=1,H=1,T=150,Tb=3
// RUN: fovea-tile-run %t/parts.mlir --program blocks --compare %t/fused.mlir --compare-program blocks --axes B=1,H=1,T=64,Tb=1
// RUN: fovea-tile-run %t/parts.mlir --program snapshots --compare %t/step.mlir --compare-program snapshots --axes B=1,H=1,T=150,Tb=3
// RUN: fovea-tile-run %t/chunk.mlir --program sums --compare %t/step.mlir --compare-program sums --axes B=1,H=2,T=150,Tb=3
// RUN: fovea-tile-run %t/parts.mlir --program backwards --compare %t/step.mlir --compare-program backwards --axes B=1,H=1,T=100

// Chunks are computed with both factors of what they write; two products a chunk are left for the pass.
// CHECK-LABEL: tile.program @delta
// CHECK-DAG: tile.workspace "delta_written" ["B", "H", "ceildiv(T, 32)", "32", "32"] : <?x?x?x32x32xf32>
// CHECK-DAG: tile.workspace "delta_before" {{.*}} : <?x?x?x32x48xbf16>
// CHECK-DAG: tile.workspace "delta_rest" {{.*}} : <?x?x?x32x32xbf16>
// CHECK-DAG: tile.workspace "delta_erased" {{.*}} : <?x?x?x32x48xbf16>
// CHECK-DAG: tile.workspace "delta_keys" {{.*}} : <?x?x?x32x48xbf16>
// CHECK: tile.launch "delta_chunks" ["B", "H", "T"]
// CHECK: tile.unit_tril_inverse
// CHECK-NOT: tile.recurrence
// CHECK: tile.launch "delta_pass" ["B", "H"]
// CHECK: tile.recurrence
// CHECK-COUNT-2: tile.dot
// CHECK-NOT: tile.dot
// CHECK: tile.recurrence_yield
// CHECK: tile.launch "delta" ["B", "H", "T"]
// CHECK-NOT: tile.unit_tril_inverse
// CHECK: tile.store
attn.attention @delta causal axes [B, T, H, K : 48, V : 32] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %b = attn.input "b" f32 [B, T, H] : real [B, T, H]
  %beta = attn.sigmoid %b : real [B, T, H]
  %e = attn.mul %key, %beta : real [B, T, H, K], real [B, T, H]
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] erase %e : real [B, T, H, K] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}

// A decay per key; tokens that take no part.
attn.attention @channels causal axes [B, T, H, K : 32, V : 32] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H, K] : real [B, T, H, K]
  %p = attn.softplus %a : real [B, T, H, K]
  %g = attn.neg %p : real [B, T, H, K]
  %b = attn.input "b" f32 [B, T, H] : real [B, T, H]
  %beta = attn.sigmoid %b : real [B, T, H]
  %e = attn.mul %key, %beta : real [B, T, H, K], real [B, T, H]
  %zero = attn.constant real 0.0
  %w = attn.input "w" f32 [B, T] : real [B, T]
  %where = attn.gt %w, %zero : real [B, T], real []
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H, K] erase %e : real [B, T, H, K] where %where : bool [B, T] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}

// Blocks that are taken back are decided in the pass, as are snapshots.
attn.attention @blocks causal axes [B, T, H, K : 32, V : 32, Tb = T / 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %b = attn.input "b" f32 [B, T, H] : real [B, T, H]
  %beta = attn.sigmoid %b : real [B, T, H]
  %e = attn.mul %key, %beta : real [B, T, H, K], real [B, T, H]
  %zero = attn.constant real 0.0
  %c = attn.input "c" f32 [B, H, Tb] : real [B, H, Tb]
  %commit = attn.gt %c, %zero : real [B, H, Tb], real []
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] erase %e : real [B, T, H, K] commit %commit per Tb : bool [B, H, Tb] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}

attn.attention @snapshots causal axes [B, T, H, K : 32, V : 32, Tb = T / 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %b = attn.input "b" f32 [B, T, H] : real [B, T, H]
  %beta = attn.sigmoid %b : real [B, T, H]
  %e = attn.mul %key, %beta : real [B, T, H, K], real [B, T, H]
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] erase %e : real [B, T, H, K] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
  %y = attn.every %s at Tb : [B, H] K x V along T
  attn.output "y" %y f32 [B, Tb, H, K, V] : real [B, H, Tb, K, V]
}

attn.attention @sums causal axes [B, T, H, K : 32, V : 32, Tb = T / 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %zero = attn.constant real 0.0
  %c = attn.input "c" f32 [B, H, Tb] : real [B, H, Tb]
  %commit = attn.gt %c, %zero : real [B, H, Tb], real []
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] commit %commit per Tb : bool [B, H, Tb] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}

attn.attention @backwards none axes [B, T, H, K : 32, V : 32] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %b = attn.input "b" f32 [B, T, H] : real [B, T, H]
  %beta = attn.sigmoid %b : real [B, T, H]
  %e = attn.mul %key, %beta : real [B, T, H, K], real [B, T, H]
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T reverse key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] erase %e : real [B, T, H, K] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}
