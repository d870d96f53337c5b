// Optional inputs that are not passed.
// RUN: fovea-opt %s --split-input-file --pass-pipeline='builtin.module(attn.attention(attn-drop-absent{inputs=b,c,n},canonicalize))' | FileCheck %s

// Sums lose the term, products vanish, and rows lose the axes that only an absent input had.
// CHECK-LABEL: @terms
// CHECK-NOT: attn.input "{{[bcn]}}"
attn.attention @terms none axes [T, H, D, E, F, S keys T, j walk S from T, E2] {
  %q = attn.input "q" [T, D] : real [T, D]
  %v = attn.input "v" [S, E] : real [S, E]
  %b = attn.input "b" optional [H, T, S] : real [H, T, S]
  %c = attn.input "c" optional [S, D] : real [S, D]
  %n = attn.input "n" optional i32 [S] : int [S]
  %bj = attn.rename %b S to j : real [H, T, S]
  %cj = attn.rename %c S to j : real [S, D]
  %vj = attn.rename %v S to j : real [S, E]
  %i = attn.index j
  %x = attn.to_real %i : int [j]
  %dot = attn.dot %q, %cj over [D] : real [T, D], real [j, D]
  %s = attn.add %x, %dot : real [j], real [T, j]
  %score = attn.add %s, %bj : real [j, T], real [H, T, j]
  %nj = attn.rename %n S to j : int [S]
  // CHECK-DAG: %[[X:.*]] = attn.to_real
  // CHECK-DAG: %[[ZERO:.*]] = attn.constant int 0
  // CHECK: %[[M:.*]] = attn.le %[[ZERO]], %{{.*}} : int [], int [j]
  %m = attn.le %nj, %i : int [j], int [j]
  // CHECK: attn.weights over j from T score %[[X]] : real [j] where %[[M]]
  %p = attn.weights over j from T score %score : real [j, T, H] where %m : bool [j]
  %o = attn.expect %p, %vj : [T, H] over j from T, real [j, E]
  // CHECK: attn.output "o" %{{.*}} [T, H, E] : real [T, E]
  attn.output "o" %o [T, H, E] : real [T, H, E]
}

// -----

// Operations that need the axis get it back, or its size.
// CHECK-LABEL: @axes
attn.attention @axes none axes [T : 4, D : 8, R : 3, N, E = D + R, Tb = T / 2] {
  %a = attn.input "a" [T] : real [T]
  %x = attn.input "x" [T, D] : real [T, D]
  %y = attn.input "y" [R] : real [R]
  %i = attn.input "i" i32 [T] : int [T]
  %b = attn.input "b" optional [T, D] : real [T, D]
  %c = attn.input "c" optional [N] : real [N]
  %n = attn.input "n" optional i32 [T] : int [T]
  %one = attn.constant real 1.0
  // 1 everywhere, without an axis
  %u = attn.add %b, %one : real [T, D], real []
  // CHECK-DAG: %[[S:.*]] = attn.reduce sum %{{.*}} over [D] : real [T, D]
  %dot = attn.dot %x, %u over [D] : real [T, D], real [T, D]
  // CHECK: attn.output "dot" %[[S]]
  attn.output "dot" %dot [T] : real [T]
  // 1 * 1 * |T| * |D|
  %both = attn.dot %u, %u over [T, D] : real [T, D], real [T, D]
  // CHECK: attn.output "both" %[[N32:.*]] [] : real []
  attn.output "both" %both [] : real []
  %sum = attn.reduce sum %u over [T, D] : real [T, D]
  // CHECK: attn.output "sum" %[[N32]] [] : real []
  attn.output "sum" %sum [] : real []
  %mean = attn.reduce mean %u over [D] : real [T, D]
  // CHECK: attn.output "mean" %[[ONE:.*]] [T] : real []
  attn.output "mean" %mean [T] : real [T]
  %lse = attn.reduce logsumexp %u over [D] : real [T, D]
  // CHECK: attn.output "lse" %[[L:.*]] [T] : real []
  attn.output "lse" %lse [T] : real [T]
  %scan = attn.scan %u along T : real [T, D]
  // CHECK: attn.output "scan" %{{.*}} [T, D] : real [T]
  attn.output "scan" %scan [T, D] : real [T, D]
  %m = attn.block_reduce sum %u over T to Tb : real [T, D]
  // CHECK: attn.output "blocks" %{{.*}} [Tb, D] : real [Tb]
  attn.output "blocks" %m [Tb, D] : real [Tb, D]
  %e = attn.concat %u, %y along E from [D, R] : real [T, D], real [R]
  // CHECK: attn.output "concat" %{{.*}} [T, E] : real [E]
  attn.output "concat" %e [T, E] : real [T, E]
  %g = attn.gather %c N at %i : real [N], int [T]
  // CHECK: attn.output "gather" %[[ZERO:.*]] [T] : real []
  attn.output "gather" %g [T] : real [T]
  %g1 = attn.add %c, %one : real [N], real []
  %g2 = attn.gather %g1 N at %n : real [N], int [T]
  // CHECK: attn.output "gather1" %{{.*}} [T] : real []
  attn.output "gather1" %g2 [T] : real [T]
}

// -----

// A recurrence without what is absent; memory that is not passed is not written.
// CHECK-LABEL: @state
attn.attention @state none axes [T, K, V, W] {
  // CHECK-DAG: %[[Q:.*]] = attn.input "q"
  %q = attn.input "q" [T, K] : real [T, K]
  // CHECK-DAG: %[[V:.*]] = attn.input "v"
  %v = attn.input "v" [T, V] : real [T, V]
  %b = attn.input "b" optional carry f32 [K, V] : real [K, V]
  %c = attn.input "c" optional [T, K] : real [T, K]
  %n = attn.input "n" optional i32 [T] : int [T]
  %w = attn.input "w" [W] : real [W]
  %y = attn.conv %c, %w along [T] taps [W] : real [T, K], real [W]
  // CHECK: %[[S:.*]] = attn.state along T key %[[Q]] over K : real [T, K] value %[[V]] over V : real [T, V]
  // CHECK-NOT: initial
  %S = attn.state along T key %q over K : real [T, K] value %v over V : real [T, V] decay %c : real [T, K] erase %y : real [T, K] initial %b : real [K, V]
  // CHECK: %[[O:.*]] = attn.read after %[[S]], %[[Q]] : [] K x V along T, real [T, K]
  %o = attn.read after %S, %q : [] K x V along T, real [T, K]
  %l = attn.last %S : [] K x V along T
  // CHECK: attn.output "o" %[[O]]
  attn.output "o" %o [T, V] : real [T, V]
  // CHECK-NOT: attn.output "b"
  attn.output "b" carry %l f32 [K, V] : real [K, V]
}

// -----

// What a recurrence names it keeps: a key and a query of ones.
// CHECK-LABEL: @state_axes
attn.attention @state_axes none axes [T, K : 4, V] {
  %v = attn.input "v" [T, V] : real [T, V]
  %b = attn.input "b" optional [T, K] : real [T, K]
  %c = attn.input "c" optional [K] : real [K]
  %n = attn.input "n" optional i32 [T] : int [T]
  %one = attn.constant real 1.0
  %k = attn.add %b, %one : real [T, K], real []
  // CHECK: %[[S:.*]] = attn.state along T key %{{.*}} over K : real [K] value %{{.*}} over V : real [T, V]
  %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
  // CHECK: attn.read after %[[S]], %{{.*}} : [] K x V along T, real [K]
  %o = attn.read after %S, %k : [] K x V along T, real [T, K]
  attn.output "o" %o [T, V] : real [T, V]
}
