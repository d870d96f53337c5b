// What a call reads of the call before, and leaves for the next: only the first tiles of tokens add what a convolution
// reads of its past, and memory is written by launches behind all others, from rows that lie some places on.
// RUN: fovea-opt %s --attn-to-tile --canonicalize --cse --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-LABEL: tile.program @tail
// CHECK: %[[TAIL:.*]] = tile.tensor "tail" "carry"
// CHECK: tile.launch "tail"
// CHECK: tile.recurrence
// CHECK: %[[FIRST:.*]] = arith.cmpi slt, %{{.*}}, %c3 : index
// CHECK: scf.if %[[FIRST]]
// CHECK-COUNT-3: tile.load %[[TAIL]]
// CHECK-NOT: scf.if
// CHECK: scf.yield
// CHECK: tile.launch "carry_tail" ["B", "P"]
// CHECK: arith.subi %{{.*}}, %c3 : index
// CHECK: tile.load %[[TAIL]]
// CHECK: tile.store %{{.*}}, %[[TAIL]]
attn.attention @tail causal axes [B, T, K : 64, V : 64, P : 3, W : 4] {
  %c3 = attn.constant int 3
  %c2 = attn.constant int 2
  %c1 = attn.constant int 1
  %c0 = attn.constant int 0
  %k = attn.input "k" [B, T, K] : real [B, T, K]
  %v = attn.input "v" [B, T, V] : real [B, T, V]
  %w = attn.input "w" param [K, W] : real [K, W]
  %tail = attn.input "tail" carry [B, P, K] : real [B, P, K]
  %own = attn.conv %k, %w along [T] taps [W] : real [B, T, K], real [K, W]
  %t = attn.index T
  %w0 = attn.gather %w W at %c0 : real [K, W], int []
  %x0 = attn.gather %tail P at %t : real [B, P, K], int [T]
  %p0 = attn.mul %w0, %x0 : real [K], real [B, K, T]
  %w1 = attn.gather %w W at %c1 : real [K, W], int []
  %t1 = attn.add %t, %c1 : int [T], int []
  %x1 = attn.gather %tail P at %t1 : real [B, P, K], int [T]
  %p1 = attn.mul %w1, %x1 : real [K], real [B, K, T]
  %s1 = attn.add %p0, %p1 : real [K, B, T], real [K, B, T]
  %w2 = attn.gather %w W at %c2 : real [K, W], int []
  %t2 = attn.add %t, %c2 : int [T], int []
  %x2 = attn.gather %tail P at %t2 : real [B, P, K], int [T]
  %p2 = attn.mul %w2, %x2 : real [K], real [B, K, T]
  %s2 = attn.add %s1, %p2 : real [K, B, T], real [K, B, T]
  %key = attn.add %own, %s2 : real [B, T, K], real [K, B, T]
  %S = attn.state along T key %key over K : real [B, T, K] value %v over V : real [B, T, V]
  %o = attn.read after %S, %k : [B] K x V along T, real [B, T, K]
  %size = attn.size T
  %p = attn.index P
  %later = attn.add %p, %size : int [P], int []
  %place = attn.sub %later, %c3 : int [P], int []
  %old = attn.gather %tail P at %later : real [B, P, K], int [P]
  %new = attn.gather %k T at %place : real [B, T, K], int [P]
  %end = attn.add %new, %old : real [B, K, P], real [B, K, P]
  attn.output "tail" carry %end [B, P, K] : real [B, K, P]
  attn.output "o" %o [B, T, V] : real [B, T, V]
}

// -----

attn.attention @features causal axes [T, D : 64] {
  %x = attn.input "x" [T, D] : real [T, D]
  %past = attn.input "past" carry [D] : real [D]
  %c1 = attn.constant int 1
  %sum = attn.scan %x along T : real [T, D]
  %all = attn.add %sum, %past : real [T, D], real [D]
  %size = attn.size T
  %last = attn.sub %size, %c1 : int [], int []
  %end = attn.gather %all T at %last : real [T, D], int []
  // expected-error@+1 {{the carried memory 'past' has no axis but features; that is not in this version}}
  attn.output "past" carry %end [D] : real [D]
  attn.output "y" %all [T, D] : real [T, D]
}
