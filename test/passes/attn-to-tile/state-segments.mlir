// Segments of tokens side by side: each walks through its chunks from a state of 0, states are passed along, and each walks
// again with all that reads. Their number follows from the device, or from the number of tokens alone.
// RUN: rm -rf %t && mkdir %t
// RUN: fovea-opt %s --attn-to-tile="state=split chunk=16" --canonicalize --cse -o %t/device.mlir
// RUN: fovea-opt %s --attn-to-tile="state=split chunk=16 state-tile=16 batch-invariant" --canonicalize --cse -o %t/lengths.mlir
// RUN: fovea-opt %s --attn-to-tile="state=step" -o %t/step.mlir
// RUN: FileCheck %s --input-file %t/device.mlir
// RUN: FileCheck %s --check-prefix=LENGTHS --input-file %t/lengths.mlir

// RUN: fovea-tile-run %t/lengths.mlir --program tokens --compare %t/step.mlir --compare-program tokens --axes B=1,H=2,T=300
// RUN: fovea-tile-run %t/device.mlir --program tokens --compare %t/step.mlir --compare-program tokens --axes B=1,H=1,T=1
// RUN: fovea-tile-run %t/lengths.mlir --program channels --compare %t/step.mlir --compare-program channels --axes B=1,H=1,T=260
// RUN: fovea-tile-run %t/lengths.mlir --program blocks --compare %t/step.mlir --compare-program blocks --axes B=1,H=1,T=410,Tb=5
// RUN: fovea-tile-run %t/lengths.mlir --program snapshots --compare %t/step.mlir --compare-program snapshots --axes B=1,H=1,T=300,Tb=7
// RUN: fovea-tile-run %t/lengths.mlir --program backwards --compare %t/step.mlir --compare-program backwards --axes B=1,H=1,T=300

// CHECK-LABEL: tile.program @tokens
// CHECK-DAG: %[[SMS:.*]] = tile.device_sms
// CHECK-DAG: %[[COUNT:.*]] = tile.computed_axis "segments"
// CHECK-DAG: tile.workspace "tokens_added" ["B", "H", "segments", "32", "32"]
// CHECK-DAG: tile.workspace "tokens_totals" ["B", "H", "segments"]
// CHECK: tile.launch "tokens_segments" ["B", "H", "segments"]
// CHECK: tile.recurrence from
// CHECK: tile.launch "tokens_pass" ["B", "H"]
// CHECK: tile.recurrence from %c0 to %[[COUNT]] step 1
// CHECK: tile.launch "tokens" ["B", "H", "segments"]
// CHECK: tile.recurrence from
// LENGTHS-LABEL: tile.program @tokens
// LENGTHS-NOT: tile.device_sms
attn.attention @tokens causal axes [B, T, H, K : 32, V : 32] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}

// Sums of decays per key; tokens that take no part.
attn.attention @channels causal axes [B, T, H, K : 32, V : 32] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H, K] : real [B, T, H, K]
  %p = attn.softplus %a : real [B, T, H, K]
  %g = attn.neg %p : real [B, T, H, K]
  %zero = attn.constant real 0.0
  %w = attn.input "w" f32 [B, T] : real [B, T]
  %where = attn.gt %w, %zero : real [B, T], real []
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H, K] where %where : bool [B, T] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}

// Segments end where blocks do.
attn.attention @blocks causal axes [B, T, H, K : 32, V : 32, Tb = T / 96] {
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

attn.attention @snapshots causal axes [B, T, H, K : 32, V : 32, Tb = T / 48] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %a = attn.input "a" f32 [B, T, H] : real [B, T, H]
  %p = attn.softplus %a : real [B, T, H]
  %g = attn.neg %p : real [B, T, H]
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] decay %g : real [B, T, H] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
  %y = attn.every %s at Tb : [B, H] K x V along T
  attn.output "y" %y f32 [B, Tb, H, K, V] : real [B, H, Tb, K, V]
}

attn.attention @backwards none axes [B, T, H, K : 32, V : 32] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %tenth = attn.constant real 0.1
  %key = attn.mul %k, %tenth : real [B, T, H, K], real []
  %h = attn.input "h" carry f32 [B, H, K, V] : real [B, H, K, V]
  %s = attn.state along T reverse key %key over K : real [B, T, H, K] value %v over V : real [B, T, H, V] initial %h : real [B, H, K, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %l = attn.last %s : [B, H] K x V along T
  attn.output "h" carry %l f32 [B, H, K, V] : real [B, H, K, V]
}
