// Every operation in its custom form, its generic form and its bytecode.
// RUN: fovea-opt %s --verify-roundtrip | FileCheck %s
// RUN: fovea-opt %s --mlir-print-op-generic | fovea-opt | FileCheck %s
// RUN: fovea-opt %s --emit-bytecode | fovea-opt | FileCheck %s

// CHECK-LABEL: attn.attention @plain causal axes [B, T, Hk, G, D : 64, H = Hk * G, S keys T, j walk S from T] {
attn.attention @plain causal axes [B, T, Hk, G, D : 64, H = Hk * G, S keys T, j walk S from T] {
  // CHECK: %[[Q:.*]] = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
  %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
  %k = attn.input "k" [B, S, Hk, D] : real [B, S, Hk, D]
  %v = attn.input "v" bf16 [B, S, Hk, D] : real [B, S, Hk, D]
  // CHECK: attn.input "s" param f32 [H] within <from -8.000000e+00 below 8.000000e+00> : real [Hk, G]
  %s = attn.input "s" param f32 [H] within <from -8.0 below 8.0> : real [Hk, G]
  // CHECK: %[[EIGHTH:.*]] = attn.constant real 1.250000e-01
  %eighth = attn.constant real 0.125
  // CHECK: attn.input "scale" param [] fallback %[[EIGHTH]] : real [] : real []
  %scale = attn.input "scale" param [] fallback %eighth : real [] : real []
  // CHECK: %[[KJ:.*]] = attn.rename %{{.*}} S to j : real [B, S, Hk, D]
  %kj = attn.rename %k S to j : real [B, S, Hk, D]
  %vj = attn.rename %v S to j : real [B, S, Hk, D]
  // CHECK: attn.dot %[[Q]], %[[KJ]] over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
  %dot = attn.dot %q, %kj over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
  // CHECK: %[[SCORE:.*]] = attn.mul %{{.*}}, %{{.*}} : real [B, T, Hk, G, j], real []
  %score = attn.mul %dot, %scale : real [B, T, Hk, G, j], real []
  // CHECK: %[[I:.*]] = attn.query_position T over S
  %i = attn.query_position T over S
  // CHECK: %[[N:.*]] = attn.index j
  %n = attn.index j
  // CHECK: %[[SEEN:.*]] = attn.le %[[N]], %[[I]] : int [j], int [T]
  %seen = attn.le %n, %i : int [j], int [T]
  // CHECK: %[[P:.*]] = attn.weights over j from T score %[[SCORE]] : real [B, T, Hk, G, j] where %[[SEEN]] : bool [j, T] sinks(%{{.*}}, %{{.*}} : real [Hk, G], real [])
  %p = attn.weights over j from T score %score : real [B, T, Hk, G, j] where %seen : bool [j, T] sinks(%s, %eighth : real [Hk, G], real [])
  // CHECK: %[[O:.*]] = attn.expect %[[P]], %{{.*}} : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
  %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
  // CHECK: attn.expect %[[P]], %{{.*}} coefficient %[[SCORE]] : real [B, T, Hk, G, j] : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
  %t = attn.expect %p, %vj coefficient %score : real [B, T, Hk, G, j] : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
  // CHECK: attn.stat lse %[[P]] : [B, T, Hk, G] over j from T
  %lse = attn.stat lse %p : [B, T, Hk, G] over j from T
  // CHECK: attn.stat max
  %max = attn.stat max %p : [B, T, Hk, G] over j from T
  // CHECK: attn.stat mass
  %mass = attn.stat mass %p : [B, T, Hk, G] over j from T
  // CHECK: attn.output "o" %[[O]] [B, T, H, D] : real [B, T, Hk, G, D]
  attn.output "o" %o [B, T, H, D] : real [B, T, Hk, G, D]
  // CHECK: attn.output "lse" %{{.*}} f32 [B, H, T] : real [B, T, Hk, G]
  attn.output "lse" %lse f32 [B, H, T] : real [B, T, Hk, G]
}

// CHECK-LABEL: attn.attention @weights_without_predicate none axes [T, "a b", j walk T from T] {
attn.attention @weights_without_predicate none axes [T, "a b", j walk T from T] {
  %x = attn.input "x" [T, "a b"] : real [T, "a b"]
  // CHECK: %[[ROW:.*]] = attn.reduce sum %{{.*}} over ["a b"] : real [T, "a b"]
  %row = attn.reduce sum %x over ["a b"] : real [T, "a b"]
  %j = attn.rename %row T to j : real [T]
  // CHECK: %[[P:.*]] = attn.weights over j from T score %{{.*}} : real [j]
  %p = attn.weights over j from T score %j : real [j]
  // CHECK: attn.expect %[[P]], %{{.*}} : [T] over j from T, real [j]
  %o = attn.expect %p, %j : [T] over j from T, real [j]
  attn.output "o" %o [T] : real [T]
}

// CHECK-LABEL: attn.attention @axes set
attn.attention @axes set axes [T, S keys T : 7, D, E] {
  %x = attn.input "x" [S, D] : real [S, D]
  // CHECK: attn.row_at %{{.*}} S at T : real [S, D]
  %at = attn.row_at %x S at T : real [S, D]
  // CHECK: attn.rename %{{.*}} D to E : real [T, D]
  %as = attn.rename %at D to E : real [T, D]
  // CHECK: attn.size D
  %size = attn.size D
  // CHECK: attn.position T
  %pos = attn.position T
  // CHECK: attn.reduce mean %{{.*}} over [E] : real [T, E]
  %mean = attn.reduce mean %as over [E] : real [T, E]
  // CHECK: attn.reduce max
  %max = attn.reduce max %as over [E] : real [T, E]
  // CHECK: attn.reduce min
  %min = attn.reduce min %as over [E] : real [T, E]
  // CHECK: attn.reduce logsumexp %{{.*}} over [T, E]
  %lse = attn.reduce logsumexp %as over [T, E] : real [T, E]
  // CHECK: attn.output "o" %{{.*}} i32 [T] : int [T]
  attn.output "o" %pos i32 [T] : int [T]
  // A field is broadcast over the axes that it lacks.
  // CHECK: attn.output "mean" %{{.*}} [T, D] : real [T]
  attn.output "mean" %mean [T, D] : real [T]
}

// CHECK-LABEL: attn.attention @pointwise
attn.attention @pointwise none axes [A, C] {
  %x = attn.input "x" [A] : real [A]
  %y = attn.input "y" [C] : real [C]
  %m = attn.input "m" i32 [A] : int [A]
  %n = attn.input "n" i32 [C] : int [C]
  // CHECK: attn.constant bool true
  %true = attn.constant bool true
  // CHECK: attn.constant int -3
  %three = attn.constant int -3
  // CHECK: attn.constant real 0xFFF0000000000000
  %inf = attn.constant real 0xFFF0000000000000
  // CHECK: attn.neg %{{.*}} : real [A]
  %u0 = attn.neg %x : real [A]
  // CHECK: attn.abs
  %u1 = attn.abs %m : int [A]
  // CHECK: attn.sign
  %u2 = attn.sign %x : real [A]
  // CHECK: attn.exp %
  %u3 = attn.exp %x : real [A]
  // CHECK: attn.exp2
  %u4 = attn.exp2 %x : real [A]
  // CHECK: attn.expm1
  %u5 = attn.expm1 %x : real [A]
  // CHECK: attn.log %
  %u6 = attn.log %x : real [A]
  // CHECK: attn.log2
  %u7 = attn.log2 %x : real [A]
  // CHECK: attn.log1p
  %u8 = attn.log1p %x : real [A]
  // CHECK: attn.sqrt
  %u9 = attn.sqrt %x : real [A]
  // CHECK: attn.rsqrt
  %u10 = attn.rsqrt %x : real [A]
  // CHECK: attn.sin
  %u11 = attn.sin %x : real [A]
  // CHECK: attn.cos
  %u12 = attn.cos %x : real [A]
  // CHECK: attn.tanh
  %u13 = attn.tanh %x : real [A]
  // CHECK: attn.sigmoid
  %u14 = attn.sigmoid %x : real [A]
  // CHECK: attn.silu
  %u15 = attn.silu %x : real [A]
  // CHECK: attn.softplus
  %u16 = attn.softplus %x : real [A]
  // CHECK: attn.log_sigmoid
  %u17 = attn.log_sigmoid %x : real [A]
  // CHECK: attn.relu
  %u18 = attn.relu %m : int [A]
  // CHECK: attn.elu
  %u19 = attn.elu %x : real [A]
  // CHECK: attn.gelu
  %u20 = attn.gelu %x : real [A]
  // CHECK: attn.floor %
  %u21 = attn.floor %x : real [A]
  // CHECK: attn.round
  %u22 = attn.round %x : real [A]
  // CHECK: attn.to_real %{{.*}} : int [A]
  %u23 = attn.to_real %m : int [A]
  // CHECK: attn.add %{{.*}}, %{{.*}} : real [A], real [C]
  %b0 = attn.add %x, %y : real [A], real [C]
  // CHECK: attn.sub
  %b1 = attn.sub %m, %n : int [A], int [C]
  // CHECK: attn.mul
  %b2 = attn.mul %m, %three : int [A], int []
  // CHECK: attn.div
  %b3 = attn.div %x, %y : real [A], real [C]
  // CHECK: attn.floordiv
  %b4 = attn.floordiv %m, %n : int [A], int [C]
  // CHECK: attn.mod
  %b5 = attn.mod %m, %n : int [A], int [C]
  // CHECK: attn.pow
  %b6 = attn.pow %x, %inf : real [A], real []
  // CHECK: attn.min
  %b7 = attn.min %x, %y : real [A], real [C]
  // CHECK: attn.max
  %b8 = attn.max %x, %y : real [A], real [C]
  // CHECK: attn.logaddexp
  %b9 = attn.logaddexp %x, %y : real [A], real [C]
  // CHECK: attn.eq
  %c0 = attn.eq %true, %true : bool [], bool []
  // CHECK: attn.ne
  %c1 = attn.ne %m, %n : int [A], int [C]
  // CHECK: attn.lt
  %c2 = attn.lt %x, %y : real [A], real [C]
  // CHECK: attn.le
  %c3 = attn.le %x, %y : real [A], real [C]
  // CHECK: attn.gt
  %c4 = attn.gt %x, %y : real [A], real [C]
  // CHECK: attn.ge
  %c5 = attn.ge %x, %y : real [A], real [C]
  // CHECK: attn.and %{{.*}}, %{{.*}} : bool [A, C], bool []
  %c6 = attn.and %c5, %true : bool [A, C], bool []
  // CHECK: attn.or
  %c7 = attn.or %c6, %c4 : bool [A, C], bool [A, C]
  // CHECK: attn.not
  %c8 = attn.not %c7 : bool [A, C]
  // CHECK: attn.select %{{.*}}, %{{.*}}, %{{.*}} : bool [A, C], real [A], real [C]
  %select = attn.select %c8, %x, %y : bool [A, C], real [A], real [C]
  attn.output "o" %select [C, A] : real [A, C]
}

// CHECK-LABEL: attn.attention @intervals
attn.attention @intervals none axes [A] {
  // CHECK: within <to 0.000000e+00>
  %a = attn.input "a" [A] within <to 0.0> : real [A]
  // CHECK: within <above 1.000000e+00>
  %b = attn.input "b" [A] within <above 1.0> : real [A]
  // CHECK: within <from 0.000000e+00 below 1.000000e+00>
  %c = attn.input "c" [A] within <from 0.0 below 1.0> : real [A]
  attn.output "o" %a [A] : real [A]
}

// CHECK-LABEL: attn.attention @relations none axes [T, S keys T, D : 8, R : 4, H = R * D, Sb = S / 64, Sc = windows S of 32 step 16, E = R + R + D, F = D share 2, b walk Sb from T]
attn.attention @relations none axes [T, S keys T, D : 8, R : 4, H = R * D, Sb = S / 64, Sc = windows S of 32 step 16,
                                     E = R + R + D, F = D share 2, b walk Sb from T] {
  // CHECK: attn.input "x" optional param f32 [T, E] : real [T, E]
  %x = attn.input "x" optional param f32 [T, E] : real [T, E]
  // CHECK: attn.input "k" optional [S, D] : real [S, D]
  %k = attn.input "k" optional [S, D] : real [S, D]
  %doc = attn.input "doc" i32 [S] : int [S]
  // CHECK: attn.slice %{{.*}} E to R after [R] : real [T, E]
  %r = attn.slice %x E to R after [R] : real [T, E]
  // CHECK: attn.slice %{{.*}} E to D after [R, R] : real [T, E]
  %d = attn.slice %x E to D after [R, R] : real [T, E]
  // CHECK: attn.slice %{{.*}} D to F after [F] : real [T, D]
  %f = attn.slice %d D to F after [F] : real [T, D]
  // CHECK: attn.concat %{{.*}}, %{{.*}}, %{{.*}} along E from [R, R, D] : real [T, R], real [T, R], real [S, D]
  %e = attn.concat %r, %r, %k along E from [R, R, D] : real [T, R], real [T, R], real [S, D]
  // CHECK: attn.concat %{{.*}} along D from [F, F] : real [T, F], real [T, F]
  %dd = attn.concat %f, %f along D from [F, F] : real [T, F], real [T, F]
  // CHECK: attn.gather %{{.*}} S at %{{.*}} : real [S, D], int [S]
  %g = attn.gather %k S at %doc : real [S, D], int [S]
  // CHECK: attn.scan %{{.*}} along S : int [S]
  %scan = attn.scan %doc along S : int [S]
  // CHECK: attn.block_reduce max %{{.*}} over S to Sb : real [S, D]
  %m = attn.block_reduce max %k over S to Sb : real [S, D]
  // CHECK: attn.block_reduce sum %{{.*}} over S to Sc : int [S]
  %n = attn.block_reduce sum %doc over S to Sc : int [S]
  // CHECK: attn.rename %{{.*}} Sb to b : real [Sb, D]
  %mb = attn.rename %m Sb to b : real [Sb, D]
  %w = attn.dot %dd, %mb over [D] : real [T, D], real [b, D]
  // CHECK: attn.weights over b from T score %{{.*}} : real [T, b] mass %{{.*}} : real [b, D]
  %p = attn.weights over b from T score %w : real [T, b] mass %mb : real [b, D]
  // CHECK: attn.rename %{{.*}} b to Sb : real [T, b]
  %pair = attn.rename %w b to Sb : real [T, b]
  attn.output "pair" %pair [T, Sb] : real [T, Sb]
  attn.output "e" %e [T, S, E] : real [T, E, S]
  attn.output "g" %g [S, D] : real [D, S]
  attn.output "scan" %scan i32 [S] : int [S]
  attn.output "n" %n i32 [Sc] : int [Sc]
}

// CHECK-LABEL: attn.attention @pairs none axes [T, D : 4, E : 8, again = D share 1, P = D outer E, Q = D outer D, F = D + Q]
attn.attention @pairs none axes [T, D : 4, E : 8, again = D share 1, P = D outer E, Q = D outer D, F = D + Q] {
  %x = attn.input "x" [T, D, E] : real [T, D, E]
  %y = attn.input "y" [T, D] : real [T, D]
  // CHECK: attn.flatten %{{.*}} [D, E] to P : real [T, D, E]
  %p = attn.flatten %x [D, E] to P : real [T, D, E]
  %z = attn.rename %y D to again : real [T, D]
  %yz = attn.mul %y, %z : real [T, D], real [T, again]
  // CHECK: attn.flatten %{{.*}} [D, again] to Q : real [T, D, again]
  %q = attn.flatten %yz [D, again] to Q : real [T, D, again]
  // CHECK: attn.concat %{{.*}}, %{{.*}} along F from [D, Q] : real [T, D], real [T, Q]
  %f = attn.concat %y, %q along F from [D, Q] : real [T, D], real [T, Q]
  attn.output "p" %p [T, P] : real [T, P]
  attn.output "f" %f [T, F] : real [T, F]
}

// CHECK-LABEL: attn.attention @grid none axes [M, N, D, P = M * N, j walk P from P]
attn.attention @grid none axes [M, N, D, P = M * N, j walk P from P] {
  %q = attn.input "q" [P, D] : real [M, N, D]
  %k = attn.input "k" [N, D, M] : real [N, D, M]
  // CHECK: %[[KJ:.*]] = attn.flatten %{{.*}} [M, N] to j : real [N, D, M]
  %kj = attn.flatten %k [M, N] to j : real [N, D, M]
  // CHECK: attn.dot %{{.*}}, %[[KJ]] over [D] : real [M, N, D], real [j, D]
  %s = attn.dot %q, %kj over [D] : real [M, N, D], real [j, D]
  %i = attn.index M
  %j = attn.index j
  %m = attn.le %i, %j : int [M], int [j]
  // CHECK: %[[W:.*]] = attn.weights over j from P as [M, N] weight %{{.*}} : real [M, N, j] where %{{.*}} : bool [M, j]
  %p = attn.weights over j from P as [M, N] weight %s : real [M, N, j] where %m : bool [M, j]
  // CHECK: attn.expect %[[W]], %[[KJ]] : [M, N] over j from P, real [j, D]
  %o = attn.expect %p, %kj : [M, N] over j from P, real [j, D]
  // CHECK: attn.stat mass %[[W]] : [M, N] over j from P
  %mass = attn.stat mass %p : [M, N] over j from P
  // The parts become row axes where no operand has them.
  %c = attn.constant real 1.0
  // CHECK: attn.weights over j from P as [M, N] score %{{.*}} : real []
  %u = attn.weights over j from P as [M, N] score %c : real []
  // CHECK: attn.stat lse %{{.*}} : [M, N] over j from P
  %lse = attn.stat lse %u : [M, N] over j from P
  attn.output "o" %o [P, D] : real [M, N, D]
}

// An axis named as a word of the table is quoted where it would be read as one.
// CHECK-LABEL: attn.attention @words none axes [windows, H = "windows" + share, share]
attn.attention @words none axes [windows, H = "windows" + share, share] {
  %x = attn.input "x" [H] : real [H]
  attn.output "o" %x [H] : real [H]
}

// CHECK-LABEL: attn.attention @states causal axes
attn.attention @states causal axes [B, T, Hk, G, K : 64, V : 32, H = Hk * G, Tb = T / 64, W : 4] {
  %q = attn.input "q" [B, T, Hk, K] : real [B, T, Hk, K]
  %k = attn.input "k" [B, T, Hk, K] : real [B, T, Hk, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, Hk, G, V]
  %g = attn.input "g" f32 [B, T, H] within <to 0.0> : real [B, T, Hk, G]
  %m = attn.input "m" i32 [T] : int [T]
  %mb = attn.input "mb" i32 [Tb] : int [Tb]
  // CHECK: %[[H:.*]] = attn.input "h0" optional carry f32 [B, H, K, V] : real [B, Hk, G, K, V]
  %h = attn.input "h0" optional carry f32 [B, H, K, V] : real [B, Hk, G, K, V]
  %w = attn.input "w" param [Hk, K, W] : real [Hk, K, W]
  // CHECK: %[[C:.*]] = attn.conv %{{.*}}, %{{.*}} along [T] taps [W] : real [B, T, Hk, K], real [Hk, K, W]
  %c = attn.conv %k, %w along [T] taps [W] : real [B, T, Hk, K], real [Hk, K, W]
  // CHECK: attn.conv %{{.*}}, %{{.*}} along [T] taps [W] same : real [B, T, Hk, K], real [Hk, K, W]
  %c2 = attn.conv %q, %w along [T] taps [W] same : real [B, T, Hk, K], real [Hk, K, W]
  // CHECK: attn.state along T key %[[C]] over K : real [B, T, Hk, K] value %{{.*}} over V : real [B, T, Hk, G, V]
  // CHECK-NOT: decay
  %a = attn.state along T key %c over K : real [B, T, Hk, K] value %v over V : real [B, T, Hk, G, V]
  %zero = attn.constant int 0
  %s = attn.ne %m, %zero : int [T], int []
  %sb = attn.ne %mb, %zero : int [Tb], int []
  // CHECK: %[[S:.*]] = attn.state along T reverse key %{{.*}} over K : real [B, T, Hk, K] value %{{.*}} over V : real [B, T, Hk, G, V] decay %{{.*}} : real [B, T, Hk, G] erase %[[C]] : real [B, T, Hk, K] where %{{.*}} : bool [T] commit %{{.*}} per Tb : bool [Tb] initial %[[H]] : real [B, Hk, G, K, V]
  %S = attn.state along T reverse key %k over K : real [B, T, Hk, K] value %v over V : real [B, T, Hk, G, V] decay %g : real [B, T, Hk, G] erase %c : real [B, T, Hk, K] where %s : bool [T] commit %sb per Tb : bool [Tb] initial %h : real [B, Hk, G, K, V]
  // CHECK: attn.read after %[[S]], %{{.*}} : [B, Hk, G] K x V along T, real [B, T, Hk, K]
  %o = attn.read after %S, %q : [B, Hk, G] K x V along T, real [B, T, Hk, K]
  // CHECK: attn.read decayed
  %o1 = attn.read decayed %S, %q : [B, Hk, G] K x V along T, real [B, T, Hk, K]
  // CHECK: attn.read prev
  %o2 = attn.read prev %S, %q : [B, Hk, G] K x V along T, real [B, T, Hk, K]
  // CHECK: %[[L:.*]] = attn.last %[[S]] : [B, Hk, G] K x V along T
  %l = attn.last %S : [B, Hk, G] K x V along T
  // CHECK: %[[E:.*]] = attn.every %{{.*}} at Tb : [B, Hk, G] K x V along T
  %e = attn.every %a at Tb : [B, Hk, G] K x V along T
  %one = attn.constant real 1.0
  // CHECK: %[[N:.*]] = attn.state along T key %{{.*}} over K : real [B, T, Hk, K] value %{{.*}} : real []
  %n = attn.state along T key %k over K : real [B, T, Hk, K] value %one : real []
  // CHECK: attn.read after %[[N]], %{{.*}} : [B, Hk] K x 1 along T, real [B, T, Hk, K]
  %d = attn.read after %n, %q : [B, Hk] K x 1 along T, real [B, T, Hk, K]
  // The axes of a read: those of the query, then of the state.
  // CHECK: attn.output "o" %{{.*}} [B, T, H, V] : real [B, T, Hk, G, V]
  attn.output "o" %o [B, T, H, V] : real [B, T, Hk, G, V]
  attn.output "d" %d [B, T, Hk] : real [B, T, Hk]
  // CHECK: attn.output "e" %[[E]] [B, H, Tb, K, V] : real [B, Hk, G, Tb, K, V]
  attn.output "e" %e [B, H, Tb, K, V] : real [B, Hk, G, Tb, K, V]
  // CHECK: attn.output "h0" carry %[[L]] f32 [B, H, K, V] : real [B, Hk, G, K, V]
  attn.output "h0" carry %l f32 [B, H, K, V] : real [B, Hk, G, K, V]
}
