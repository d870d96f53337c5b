// Causal weights that are a dot product become recurrences.
// RUN: fovea-opt %s --attn-weights-to-state --canonicalize --cse --split-input-file | FileCheck %s

// Factors of the query follow the read, those of the key go into the value; value 1 for the mass.
// CHECK-LABEL: @causal
attn.attention @causal causal axes [B, T, Hk, G, K, V, H = Hk * G, j walk T from T] {
  // CHECK-DAG: %[[Q:.*]] = attn.input "q"
  %q = attn.input "q" [B, T, H, K] : real [B, T, Hk, G, K]
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [B, T, Hk, K] : real [B, T, Hk, K]
  // CHECK-DAG: %[[V:.*]] = attn.input "v"
  %v = attn.input "v" [B, T, Hk, V] : real [B, T, Hk, V]
  // CHECK-DAG: %[[A:.*]] = attn.input "a"
  %a = attn.input "a" [T] : real [T]
  // CHECK-DAG: %[[C:.*]] = attn.input "c"
  %c = attn.input "c" [T] : real [T]
  %kj = attn.rename %k T to j : real [B, T, Hk, K]
  %vj = attn.rename %v T to j : real [B, T, Hk, V]
  %cj = attn.rename %c T to j : real [T]
  %d = attn.dot %q, %kj over [K] : real [B, T, Hk, G, K], real [B, j, Hk, K]
  %e = attn.mul %d, %a : real [B, T, Hk, G, j], real [T]
  %w = attn.mul %cj, %e : real [j], real [B, T, Hk, G, j]
  %i = attn.query_position T over T
  %n = attn.index j
  %seen = attn.ge %i, %n : int [T], int [j]
  // CHECK-NOT: attn.weights
  %p = attn.weights over j from T weight %w : real [j, B, T, Hk, G] where %seen : bool [T, j]
  // CHECK-DAG: %[[CV:.*]] = attn.mul %[[C]], %[[V]] : real [T], real [B, T, Hk, V]
  // CHECK-DAG: %[[S:.*]] = attn.state along T key %[[K]] over K : real [B, T, Hk, K] value %[[CV]] over V : real [T, B, Hk, V]
  // CHECK-DAG: %[[R:.*]] = attn.read after %[[S]], %[[Q]]
  // CHECK-DAG: %[[O:.*]] = attn.mul %[[R]], %[[A]]
  %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, V]
  // CHECK-DAG: %[[N:.*]] = attn.state along T key %[[K]] over K : real [B, T, Hk, K] value %[[C]] : real [T]
  // CHECK-DAG: %[[RN:.*]] = attn.read after %[[N]], %[[Q]]
  // CHECK-DAG: %[[M:.*]] = attn.mul %[[RN]], %[[A]]
  %m = attn.stat mass %p : [B, T, Hk, G] over j from T
  // CHECK: attn.output "o" %[[O]] [B, T, H, V] : real [B, T, Hk, G, V]
  attn.output "o" %o [B, T, H, V] : real [B, T, Hk, G, V]
  // CHECK: attn.output "m" %[[M]]
  attn.output "m" %m [B, T, H] : real [B, T, Hk, G]
}

// -----

// A lag of one reads before the write.
// CHECK-LABEL: @lag_one
attn.attention @lag_one causal axes [T, K, V, j walk T from T] {
  %q = attn.input "q" [T, K] : real [T, K]
  %v = attn.input "v" [T, V] : real [T, V]
  %kj = attn.rename %q T to j : real [T, K]
  %vj = attn.rename %v T to j : real [T, V]
  %w = attn.dot %kj, %q over [K] : real [j, K], real [T, K]
  %i = attn.index T
  %n = attn.index j
  %seen = attn.lt %n, %i : int [j], int [T]
  %p = attn.weights over j from T weight %w : real [j, T] where %seen : bool [j, T]
  // CHECK-NOT: attn.gather
  // CHECK: attn.read prev
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}

// -----

// What a window of 3 leaves of the past: keys and values come 3 tokens later.
// CHECK-LABEL: @complement_of_a_window
attn.attention @complement_of_a_window causal axes [T, K, V, j walk T from T] {
  // CHECK-DAG: %[[Q:.*]] = attn.input "q"
  %q = attn.input "q" [T, K] : real [T, K]
  // CHECK-DAG: %[[V:.*]] = attn.input "v"
  %v = attn.input "v" [T, V] : real [T, V]
  %kj = attn.rename %q T to j : real [T, K]
  %vj = attn.rename %v T to j : real [T, V]
  %w = attn.dot %q, %kj over [K] : real [T, K], real [j, K]
  %i = attn.index T
  %n = attn.index j
  %d = attn.sub %i, %n : int [T], int [j]
  %zero = attn.constant int 0
  %three = attn.constant int 3
  %past = attn.le %zero, %d : int [], int [T, j]
  %close = attn.lt %d, %three : int [T, j], int []
  %window = attn.and %past, %close : bool [T, j], bool [T, j]
  %far = attn.not %window : bool [T, j]
  %seen = attn.and %past, %far : bool [T, j], bool [T, j]
  %p = attn.weights over j from T weight %w : real [T, j] where %seen : bool [T, j]
  // CHECK: %[[D:.*]] = attn.sub %{{.*}}, %{{.*}} : int [T], int []
  // CHECK: %[[KL:.*]] = attn.gather %[[Q]] T at %[[D]]
  // CHECK: %[[VL:.*]] = attn.gather %[[V]] T at %[[D]]
  // CHECK: attn.state along T key %[[KL]] over K : real [K, T] value %[[VL]] over V : real [V, T]
  // CHECK-NOT: where
  // CHECK: attn.read after
  %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
  attn.output "o" %o [T, V] : real [T, V]
}

// -----

// Values on the axis of the keys: the keys get an axis of their own. Keys and values of no token: nothing is written
// before the lag.
// CHECK-LABEL: attn.attention @names causal axes [T, K : 8, K_2 : 3, j walk T from T, K_3 : 8]
attn.attention @names causal axes [T, K : 8, K_2 : 3, j walk T from T] {
  %q = attn.input "q" [T, K] : real [T, K]
  %c = attn.input "c" [K] : real [K]
  %qj = attn.rename %q T to j : real [T, K]
  %i = attn.index T
  %n = attn.index j
  %two = attn.constant int 2
  %late = attn.add %n, %two : int [j], int []
  %seen = attn.le %late, %i : int [j], int [T]
  %w = attn.dot %q, %qj over [K] : real [T, K], real [j, K]
  %p = attn.weights over j from T weight %w : real [T, j] where %seen : bool [j, T]
  // CHECK: attn.state along T key %{{.*}} over K_3 : real [K_3, T] value %{{.*}} over K : real [K, T]
  %o = attn.expect %p, %qj : [T] over j from T, real [j, K]
  attn.output "o" %o [T, K] : real [T, K]
}

// -----

// Weights that stay: keys of another length, an exponential, two dots, windows, later keys, predicates of data, and none.
// CHECK-LABEL: @stays
attn.attention @stays none axes [T, K, V, S keys T, j walk T from T, s walk S from T] {
  %q = attn.input "q" [T, K] : real [T, K]
  %k = attn.input "k" [S, K] : real [S, K]
  %n = attn.input "n" i32 [T] : int [T]
  %qj = attn.rename %q T to j : real [T, K]
  %ks = attn.rename %k S to s : real [S, K]
  %ws = attn.dot %q, %ks over [K] : real [T, K], real [s, K]
  %is = attn.query_position T over S
  %js = attn.index s
  %seens = attn.le %js, %is : int [s], int [T]
  // CHECK: attn.weights over s
  %ps = attn.weights over s from T weight %ws : real [T, s] where %seens : bool [s, T]
  %ms = attn.stat mass %ps : [T] over s from T
  %w = attn.dot %q, %qj over [K] : real [T, K], real [j, K]
  %i = attn.index T
  %j = attn.index j
  %seen = attn.le %j, %i : int [j], int [T]
  // CHECK: attn.weights over j
  %pe = attn.weights over j from T score %w : real [T, j] where %seen : bool [j, T]
  %me = attn.stat lse %pe : [T] over j from T
  %ww = attn.mul %w, %w : real [T, j], real [T, j]
  // CHECK: attn.weights over j
  %p2 = attn.weights over j from T weight %ww : real [T, j] where %seen : bool [j, T]
  %m2 = attn.stat mass %p2 : [T] over j from T
  %d = attn.sub %i, %j : int [T], int [j]
  %four = attn.constant int 4
  %close = attn.lt %d, %four : int [T, j], int []
  %window = attn.and %seen, %close : bool [j, T], bool [T, j]
  // CHECK: attn.weights over j
  %pw = attn.weights over j from T weight %w : real [T, j] where %window : bool [j, T]
  %mw = attn.stat mass %pw : [T] over j from T
  // CHECK: attn.weights over j
  %pl = attn.weights over j from T weight %w : real [T, j] where %close : bool [T, j]
  %ml = attn.stat mass %pl : [T] over j from T
  %data = attn.le %j, %n : int [j], int [T]
  // CHECK: attn.weights over j
  %pd = attn.weights over j from T weight %w : real [T, j] where %data : bool [j, T]
  %md = attn.stat mass %pd : [T] over j from T
  // CHECK: attn.weights over j
  %pa = attn.weights over j from T weight %w : real [T, j]
  %ma = attn.stat mass %pa : [T] over j from T
  // CHECK-NOT: attn.state
  attn.output "ms" %ms [T] : real [T]
  attn.output "me" %me [T] : real [T]
  attn.output "m2" %m2 [T] : real [T]
  attn.output "mw" %mw [T] : real [T]
  attn.output "ml" %ml [T] : real [T]
  attn.output "md" %md [T] : real [T]
  attn.output "ma" %ma [T] : real [T]
}
