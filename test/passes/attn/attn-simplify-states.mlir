// Recurrences in their simplest form.
// RUN: fovea-opt %s --attn-simplify-states --canonicalize --cse --split-input-file | FileCheck %s

// A decay per channel that is the same for all channels, made of an index times 0, is one per token: a recurrence with
// decay per channel becomes one with scalar decay.
// CHECK-LABEL: @tied_channels
attn.attention @tied_channels causal axes [B, T, K : 8, V, X] {
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [B, T, K] : real [B, T, K]
  %v = attn.input "v" [B, T, V] : real [B, T, V]
  // CHECK-DAG: %[[G:.*]] = attn.input "g"
  %g = attn.input "g" [B, X] : real [B, X]
  %b = attn.input "b" [B, T] : real [B, T]
  %zero = attn.constant int 0
  %i = attn.index K
  %n = attn.mul %i, %zero : int [K], int []
  %r = attn.to_real %n : int [K]
  // CHECK: %[[GT:.*]] = attn.rename %[[G]] X to T : real [B, X]
  %s = attn.add %g, %r : real [B, X], real [K]
  %d = attn.rename %s X to T : real [B, X, K]
  %e = attn.mul %k, %b : real [B, T, K], real [B, T]
  // CHECK: attn.state along T {{.*}} decay %{{.*}} : real [B, T] erase
  %S = attn.state along T key %k over K : real [B, T, K] value %v over V : real [B, T, V] decay %d : real [B, T, K] erase %e : real [B, T, K]
  %o = attn.read after %S, %k : [B] K x V along T, real [B, T, K]
  attn.output "o" %o [B, T, V] : real [B, T, V]
}

// -----

// A decay that varies stays, also where 0 times a real hides it.
// CHECK-LABEL: @channels
attn.attention @channels causal axes [T, K : 8, V] {
  %k = attn.input "k" [T, K] : real [T, K]
  %v = attn.input "v" [T, V] : real [T, V]
  %g = attn.input "g" [T] : real [T]
  %w = attn.input "w" [K] : real [K]
  %zero = attn.constant real 0.0
  %n = attn.mul %w, %zero : real [K], real []
  %d = attn.add %g, %n : real [T], real [K]
  // CHECK: attn.state {{.*}} decay %{{.*}} : real [T, K]
  %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V] decay %d : real [T, K]
  %o = attn.read after %S, %k : [] K x V along T, real [T, K]
  attn.output "o" %o [T, V] : real [T, V]
}

// -----

// Erase and write gates that are one: KDA, and with one decay for all channels gated DeltaNet, and without decay
// DeltaNet, all of them one operation. Equal states are one.
// CHECK-LABEL: @tied_gates
attn.attention @tied_gates causal axes [T, K : 8, V] {
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [T, K] : real [T, K]
  %v = attn.input "v" [T, V] : real [T, V]
  // CHECK-DAG: %[[B:.*]] = attn.input "beta"
  %b = attn.input "beta" [T] : real [T]
  %none = attn.constant real 0.0
  // CHECK: %[[E:.*]] = attn.mul %[[K]], %[[B]]
  %e = attn.mul %k, %b : real [T, K], real [T]
  %w = attn.mul %v, %b : real [T, V], real [T]
  // CHECK: %[[S:.*]] = attn.state along T {{.*}} erase %[[E]] : real [T, K]
  // CHECK-NOT: attn.state
  %S = attn.state along T key %k over K : real [T, K] value %w over V : real [T, V] decay %none : real [] erase %e : real [T, K]
  %e2 = attn.mul %k, %b : real [T, K], real [T]
  %U = attn.state along T key %k over K : real [T, K] value %w over V : real [T, V] erase %e2 : real [T, K]
  // CHECK: %[[O:.*]] = attn.read after %[[S]]
  // CHECK-NOT: attn.read
  %o = attn.read after %S, %k : [] K x V along T, real [T, K]
  %p = attn.read after %U, %k : [] K x V along T, real [T, K]
  // CHECK: attn.output "o" %[[O]]
  attn.output "o" %o [T, V] : real [T, V]
  // CHECK: attn.output "p" %[[O]]
  attn.output "p" %p [T, V] : real [T, V]
}

// -----

// An erase vector of 0 and a predicate that always holds have no effect.
// CHECK-LABEL: @neutral
attn.attention @neutral causal axes [T, K, V, Tb = T / 4] {
  %k = attn.input "k" [T, K] : real [T, K]
  %v = attn.input "v" [T, V] : real [T, V]
  %none = attn.constant real 0.0
  %all = attn.constant bool true
  // CHECK: attn.state along T key %{{.*}} over K : real [T, K] value %{{.*}} over V : real [T, V]{{$}}
  %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V] decay %none : real [] erase %none : real [] where %all : bool [] commit %all per Tb : bool []
  %o = attn.read after %S, %k : [] K x V along T, real [T, K]
  attn.output "o" %o [T, V] : real [T, V]
}

// -----

// The scale of a query follows the read.
// CHECK-LABEL: @scaled_query
attn.attention @scaled_query causal axes [T, K, V] {
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [T, K] : real [T, K]
  %v = attn.input "v" [T, V] : real [T, V]
  // CHECK-DAG: %[[C:.*]] = attn.constant real 1.250000e-01
  %c = attn.constant real 0.125
  %q = attn.mul %k, %c : real [T, K], real []
  %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
  // CHECK: %[[R:.*]] = attn.read after %{{.*}}, %[[K]]
  // CHECK: attn.mul %[[R]], %[[C]] : real [T, V], real []
  %o = attn.read after %S, %q : [] K x V along T, real [T, K]
  attn.output "o" %o [T, V] : real [T, V]
}

// -----

// Features that stand twice among the keys meet the sum of the query's.
// CHECK-LABEL: @equal_features
attn.attention @equal_features causal axes [T, E, V, F = E + E] {
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [T, E] : real [T, E]
  // CHECK-DAG: %[[A:.*]] = attn.input "a"
  %a = attn.input "a" [T, E] : real [T, E]
  // CHECK-DAG: %[[B:.*]] = attn.input "b"
  %b = attn.input "b" [T, E] : real [T, E]
  // CHECK-DAG: %[[V:.*]] = attn.input "v"
  %v = attn.input "v" [T, V] : real [T, V]
  %g = attn.input "g" [T] : real [T]
  // CHECK-NOT: attn.concat
  %kk = attn.concat %k, %k along F from [E, E] : real [T, E], real [T, E]
  %q = attn.concat %a, %b along F from [E, E] : real [T, E], real [T, E]
  // CHECK: %[[S:.*]] = attn.state along T key %[[K]] over E : real [T, E] value %[[V]] over V : real [T, V] decay
  %S = attn.state along T key %kk over F : real [T, F] value %v over V : real [T, V] decay %g : real [T]
  // CHECK: %[[Q:.*]] = attn.add %[[A]], %[[B]] : real [T, E], real [T, E]
  // CHECK: attn.read after %[[S]], %[[Q]] : [] E x V along T, real [T, E]
  %o = attn.read after %S, %q : [] F x V along T, real [T, F]
  // CHECK: attn.dot %[[Q]], %[[K]] over [E] : real [T, E], real [T, E]
  %d = attn.dot %q, %kk over [F] : real [T, F], real [T, F]
  attn.output "o" %o [T, V] : real [T, V]
  attn.output "d" %d [T] : real [T]
}

// -----

// Features stay where the state itself is read, where the recurrence erases, and where they differ.
// CHECK-LABEL: @features_stay
attn.attention @features_stay causal axes [T, E, V, F = E + E] {
  %k = attn.input "k" [T, E] : real [T, E]
  %a = attn.input "a" [T, E] : real [T, E]
  %v = attn.input "v" [T, V] : real [T, V]
  %kk = attn.concat %k, %k along F from [E, E] : real [T, E], real [T, E]
  %ka = attn.concat %k, %a along F from [E, E] : real [T, E], real [T, E]
  // CHECK: attn.state {{.*}} over F
  %S = attn.state along T key %kk over F : real [T, F] value %v over V : real [T, V]
  %l = attn.last %S : [] F x V along T
  // CHECK: attn.state {{.*}} over F
  %U = attn.state along T key %kk over F : real [T, F] value %v over V : real [T, V] erase %kk : real [T, F]
  %u = attn.read after %U, %kk : [] F x V along T, real [T, F]
  // CHECK: attn.state {{.*}} over F
  %W = attn.state along T key %ka over F : real [T, F] value %v over V : real [T, V]
  %w = attn.read after %W, %kk : [] F x V along T, real [T, F]
  attn.output "l" %l [F, V] : real [F, V]
  attn.output "u" %u [T, V] : real [T, V]
  attn.output "w" %w [T, V] : real [T, V]
}

// -----

// Before a norm without an epsilon a positive gate, normaliser and scale of the query cannot be observed.
// CHECK-LABEL: @row_scale
attn.attention @row_scale causal axes [B, T, K, V : 4] {
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [T, K] : real [T, K]
  %v = attn.input "v" [B, T, V] : real [B, T, V]
  %z = attn.input "z" [B, T] : real [B, T]
  %n = attn.input "n" [T] within <above 0.0> : real [T]
  %c = attn.constant real 0.125
  // CHECK-NOT: attn.sigmoid
  %s = attn.sigmoid %z : real [B, T]
  %q = attn.mul %k, %c : real [T, K], real []
  %S = attn.state along T key %k over K : real [T, K] value %v over V : real [B, T, V]
  // CHECK: %[[R:.*]] = attn.read after %{{.*}}, %[[K]]
  %r = attn.read after %S, %q : [B] K x V along T, real [T, K]
  // CHECK-NOT: attn.div
  %d = attn.div %r, %n : real [T, B, V], real [T]
  %x = attn.mul %s, %d : real [B, T], real [T, B, V]
  // CHECK: %[[Q:.*]] = attn.mul %[[R]], %[[R]] : real [T, B, V], real [T, B, V]
  // CHECK: %[[M:.*]] = attn.reduce mean %[[Q]] over [V]
  // CHECK: %[[I:.*]] = attn.rsqrt %[[M]]
  // CHECK: attn.mul %[[R]], %[[I]]
  %xx = attn.mul %x, %x : real [B, T, V], real [B, T, V]
  %m = attn.reduce mean %xx over [V] : real [B, T, V]
  %i = attn.rsqrt %m : real [B, T]
  %y = attn.mul %x, %i : real [B, T, V], real [B, T]
  attn.output "y" %y [B, T, V] : real [B, T, V]
}

// -----

// It stays where an epsilon is added, where it may be negative or 0, and where it varies along the normed axis.
// CHECK-LABEL: @row_scale_stays
attn.attention @row_scale_stays causal axes [T, V : 4] {
  %v = attn.input "v" [T, V] : real [T, V]
  %z = attn.input "z" [T] : real [T]
  %w = attn.input "w" [V] within <above 0.0> : real [V]
  %eps = attn.constant real 1.0e-6
  // CHECK: attn.exp
  %s = attn.exp %z : real [T]
  %x = attn.mul %v, %s : real [T, V], real [T]
  %xx = attn.dot %x, %x over [V] : real [T, V], real [T, V]
  // CHECK: attn.add
  %e = attn.add %xx, %eps : real [T], real []
  %i = attn.rsqrt %e : real [T]
  %y = attn.mul %x, %i : real [T, V], real [T]
  // CHECK: attn.relu
  %p = attn.relu %z : real [T]
  // CHECK: %[[X2:.*]] = attn.mul %{{.*}}, %{{.*}} : real [T, V], real [T]
  %x2 = attn.mul %v, %p : real [T, V], real [T]
  // CHECK: attn.dot %[[X2]], %[[X2]]
  %xx2 = attn.dot %x2, %x2 over [V] : real [T, V], real [T, V]
  %i2 = attn.rsqrt %xx2 : real [T]
  %y2 = attn.mul %x2, %i2 : real [T, V], real [T]
  // CHECK: %[[X3:.*]] = attn.mul %{{.*}}, %{{.*}} : real [T, V], real [V]
  %x3 = attn.mul %v, %w : real [T, V], real [V]
  // CHECK: attn.dot %[[X3]], %[[X3]]
  %xx3 = attn.dot %x3, %x3 over [V] : real [T, V], real [T, V]
  %i3 = attn.rsqrt %xx3 : real [T]
  %y3 = attn.mul %x3, %i3 : real [T, V], real [T]
  attn.output "y" %y [T, V] : real [T, V]
  attn.output "y2" %y2 [T, V] : real [T, V]
  attn.output "y3" %y3 [T, V] : real [T, V]
}

// -----

// Between decay and write: as before both, decayed behind the product, of the tokens that take part. Not where channels
// decay each by itself.
// CHECK-LABEL: @decayed_behind
attn.attention @decayed_behind causal axes [T, K : 8, V : 8] {
  // CHECK-DAG: %[[G:.*]] = attn.input "g"
  // CHECK-DAG: %[[ZERO:.*]] = attn.constant real 0.0
  // CHECK-DAG: %[[W:.*]] = attn.ne
  %k = attn.input "k" [T, K] : real [T, K]
  %v = attn.input "v" [T, V] : real [T, V]
  %q = attn.input "q" [T, K] : real [T, K]
  %g = attn.input "g" [T] : real [T]
  %c = attn.input "c" [T, K] : real [T, K]
  %n = attn.input "n" i32 [T] : int [T]
  %zero = attn.constant int 0
  %w = attn.ne %n, %zero : int [T], int []
  // CHECK: %[[S:.*]] = attn.state along T
  %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V] decay %g : real [T] where %w : bool [T]
  // CHECK: %[[PREV:.*]] = attn.read prev %[[S]]
  // CHECK: %[[OWN:.*]] = attn.select %[[W]], %[[G]], %[[ZERO]]
  // CHECK: %[[E:.*]] = attn.exp %[[OWN]]
  // CHECK: attn.mul %[[PREV]], %[[E]]
  %o = attn.read decayed %S, %q : [] K x V along T, real [T, K]
  attn.output "o" %o [T, V] : real [T, V]
  // CHECK: %[[R:.*]] = attn.state along T
  %R = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V] decay %c : real [T, K]
  // CHECK: attn.read decayed %[[R]]
  %p = attn.read decayed %R, %q : [] K x V along T, real [T, K]
  attn.output "p" %p [T, V] : real [T, V]
}
