// Folds and rewrites of one operation and of neighbours.
// RUN: fovea-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: @constants
attn.attention @constants none axes [D : 64, G : 2, H = D * G, T] {
  // CHECK-DAG: %[[SCALE:.*]] = attn.constant real 1.250000e-01
  // CHECK-DAG: %[[SIZE:.*]] = attn.constant int 128
  // CHECK-DAG: %[[MOD:.*]] = attn.constant int 1
  %d = attn.size D
  %r = attn.to_real %d : int []
  %half = attn.constant real -0.5
  %scale = attn.pow %r, %half : real [], real []
  %h = attn.size H
  %minus = attn.constant int -7
  %two = attn.constant int 2
  %mod = attn.mod %minus, %two : int [], int []
  // CHECK: attn.output "scale" %[[SCALE]]
  attn.output "scale" %scale [] : real []
  // CHECK: attn.output "h" %[[SIZE]]
  attn.output "h" %h [] : int []
  // CHECK: attn.output "mod" %[[MOD]]
  attn.output "mod" %mod [] : int []
}

// CHECK-LABEL: @no_constants
attn.attention @no_constants none axes [T] {
  // CHECK-DAG: attn.size T
  %t = attn.size T
  %one = attn.constant int 1
  %zero = attn.constant int 0
  // CHECK-DAG: attn.floordiv
  %div = attn.floordiv %one, %zero : int [], int []
  %inf = attn.constant real 0x7FF0000000000000
  // CHECK-DAG: attn.add
  %nan = attn.sub %inf, %inf : real [], real []
  attn.output "t" %t [] : int []
  attn.output "div" %div [] : int []
  attn.output "nan" %nan [] : real []
}

// CHECK-LABEL: @identities
attn.attention @identities none axes [T] {
  // CHECK: %[[X:.*]] = attn.input "x"
  %x = attn.input "x" [T] : real [T]
  %y = attn.input "y" [T] : real [T]
  %zero = attn.constant real 0.0
  %one = attn.constant real 1.0
  %none = attn.constant real 0xFFF0000000000000
  %all = attn.constant real 0x7FF0000000000000
  %true = attn.constant bool true
  %false = attn.constant bool false
  %a = attn.add %zero, %x : real [], real [T]
  %b = attn.sub %a, %zero : real [T], real []
  %c = attn.mul %one, %b : real [], real [T]
  %d = attn.div %c, %one : real [T], real []
  %e = attn.pow %d, %one : real [T], real []
  %f = attn.neg %e : real [T]
  %g = attn.neg %f : real [T]
  %h = attn.max %g, %none : real [T], real []
  %i = attn.min %h, %all : real [T], real []
  %j = attn.logaddexp %none, %i : real [], real [T]
  %k = attn.max %j, %j : real [T], real [T]
  %l = attn.select %true, %k, %y : bool [], real [T], real [T]
  %m = attn.select %false, %y, %l : bool [], real [T], real [T]
  %n = attn.lt %x, %y : real [T], real [T]
  %o = attn.and %n, %true : bool [T], bool []
  %p = attn.or %false, %o : bool [], bool [T]
  %q = attn.not %p : bool [T]
  %r = attn.not %q : bool [T]
  %s = attn.select %r, %m, %m : bool [T], real [T], real [T]
  // CHECK-NEXT: attn.output "o" %[[X]]
  attn.output "o" %s [T] : real [T]
}

// An identity that would change the axes stays.
// CHECK-LABEL: @no_identities
attn.attention @no_identities none axes [T, D] {
  %x = attn.input "x" [T] : real [T]
  %c = attn.input "c" i32 [D] : int [D]
  %zero = attn.constant int 0
  // CHECK: %[[LT:.*]] = attn.lt
  %lt = attn.lt %c, %zero : int [D], int []
  // CHECK: %[[SELECT:.*]] = attn.select %[[LT]]
  %s = attn.select %lt, %x, %x : bool [D], real [T], real [T]
  // CHECK: attn.output "o" %[[SELECT]]
  attn.output "o" %s [T, D] : real [D, T]
}

// All scalar factors of the score meet in one, a constant where they are constants.
// CHECK-LABEL: @scale_of_score
attn.attention @scale_of_score none axes [T, D, j walk T from T] {
  // CHECK: %[[C:.*]] = attn.constant real -6.250000e-02
  // CHECK: %[[Q:.*]] = attn.input "q"
  %q = attn.input "q" [T, D] : real [T, D]
  // CHECK: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [T, D] : real [T, D]
  %half = attn.constant real 0.5
  %quarter = attn.constant real 0.25
  %two = attn.constant real 2.0
  %qs = attn.mul %q, %half : real [T, D], real []
  %ks = attn.mul %quarter, %k : real [], real [T, D]
  // CHECK: %[[KJ:.*]] = attn.rename %[[K]] T to j
  %kj = attn.rename %ks T to j : real [T, D]
  // CHECK: %[[DOT:.*]] = attn.dot %[[Q]], %[[KJ]] over [D]
  %dot = attn.dot %qs, %kj over [D] : real [T, D], real [j, D]
  %div = attn.div %dot, %two : real [T, j], real []
  // CHECK: %[[SCORE:.*]] = attn.mul %[[DOT]], %[[C]] : real [T, j], real []
  %score = attn.neg %div : real [T, j]
  %true = attn.constant bool true
  // CHECK: attn.weights over j from T score %[[SCORE]] : real [T, j]{{$}}
  %p = attn.weights over j from T score %score : real [T, j] where %true : bool []
  %lse = attn.stat lse %p : [T] over j from T
  attn.output "lse" %lse [T] : real [T]
}

// CHECK-LABEL: @scalars_at_run_time
attn.attention @scalars_at_run_time none axes [T, D] {
  %x = attn.input "x" [T, D] : real [T, D]
  %y = attn.input "y" [T, D] : real [T, D]
  // CHECK: %[[A:.*]] = attn.input "a"
  %a = attn.input "a" param [] : real []
  // CHECK: %[[B:.*]] = attn.input "b"
  %b = attn.input "b" param [] : real []
  %xa = attn.mul %x, %a : real [T, D], real []
  // CHECK: %[[XY:.*]] = attn.mul %{{.*}}, %{{.*}} : real [T, D], real [T, D]
  %xy = attn.mul %xa, %y : real [T, D], real [T, D]
  // CHECK: %[[SUM:.*]] = attn.reduce sum %[[XY]] over [D]
  %sum = attn.reduce sum %xy over [D] : real [T, D]
  // CHECK: %[[AB:.*]] = attn.mul %[[A]], %[[B]] : real [], real []
  // CHECK: attn.mul %[[SUM]], %[[AB]] : real [T], real []
  %o = attn.mul %b, %sum : real [], real [T]
  // CHECK: %[[MAX:.*]] = attn.reduce max %{{.*}} over [D] : real [T, D]
  // CHECK: attn.output "max" %[[MAX]]
  %max = attn.reduce max %xa over [D] : real [T, D]
  attn.output "o" %o [T] : real [T]
  attn.output "max" %max [T] : real [T]
}

// CHECK-LABEL: @scale_of_expectation
attn.attention @scale_of_expectation none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %a = attn.input "a" param [] : real []
  %y = attn.rename %x T to j : real [T]
  %s = attn.mul %x, %y : real [T], real [j]
  %p = attn.weights over j from T score %s : real [T, j]
  %ya = attn.mul %y, %a : real [j], real []
  // CHECK: %[[E1:.*]] = attn.expect %{{.*}}, %{{.*}} : [T] over j from T, real [j]
  // CHECK: %[[M1:.*]] = attn.mul %[[E1]], %{{.*}} : real [T], real []
  %o1 = attn.expect %p, %ya : [T] over j from T, real [j]
  // CHECK: %[[E2:.*]] = attn.expect %{{.*}}, %{{.*}} : [T] over j from T, real [j]
  %o2 = attn.expect %p, %y coefficient %a : real [] : [T] over j from T, real [j]
  // CHECK: attn.expect %{{.*}}, %{{.*}} coefficient %{{.*}} : real [T, j] : [T] over j from T, real [j]
  %sa = attn.mul %s, %a : real [T, j], real []
  %o3 = attn.expect %p, %y coefficient %sa : real [T, j] : [T] over j from T, real [j]
  attn.output "o1" %o1 [T] : real [T]
  attn.output "o2" %o2 [T] : real [T]
  attn.output "o3" %o3 [T] : real [T]
}

// x - c and x + c meet in one form.
// CHECK-LABEL: @subtracted_constant
attn.attention @subtracted_constant none axes [T] {
  // CHECK: %[[C:.*]] = attn.constant real -3.000000e+00
  %x = attn.input "x" [T] : real [T]
  %three = attn.constant real 3.0
  // CHECK: attn.add %{{.*}}, %[[C]] : real [T], real []
  %y = attn.sub %x, %three : real [T], real []
  attn.output "o" %y [T] : real [T]
}

// CHECK-LABEL: @powers
attn.attention @powers none axes [T] {
  // CHECK: %[[X:.*]] = attn.input "x"
  %x = attn.input "x" [T] : real [T]
  %two = attn.constant real 2.0
  %three = attn.constant real 3.0
  // CHECK: attn.exp2 %[[X]] : real [T]
  %a = attn.pow %two, %x : real [], real [T]
  // CHECK: attn.mul %[[X]], %[[X]] : real [T], real [T]
  %b = attn.pow %x, %two : real [T], real []
  // CHECK: attn.pow %[[X]], %{{.*}} : real [T], real []
  %c = attn.pow %x, %three : real [T], real []
  attn.output "a" %a [T] : real [T]
  attn.output "b" %b [T] : real [T]
  attn.output "c" %c [T] : real [T]
}

// A part of a concatenation is what was put there, unless that lacks an axis of the whole.
// CHECK-LABEL: @parts
attn.attention @parts none axes [T, A : 4, C : 8, E = A + C] {
  // CHECK-DAG: %[[X:.*]] = attn.input "x"
  // CHECK-DAG: %[[Y:.*]] = attn.input "y"
  %x = attn.input "x" [T, A] : real [T, A]
  %y = attn.input "y" [C] : real [C]
  %e = attn.concat %x, %y along E from [A, C] : real [T, A], real [C]
  %a = attn.slice %e E to A after [] : real [T, E]
  // CHECK: %[[B:.*]] = attn.slice %{{.*}} E to C after [A]
  %b = attn.slice %e E to C after [A] : real [T, E]
  // CHECK: attn.output "a" %[[X]]
  attn.output "a" %a [T, A] : real [T, A]
  // CHECK: attn.output "b" %[[B]]
  attn.output "b" %b [T, C] : real [T, C]
}

// CHECK-LABEL: @renames
attn.attention @renames none axes [T, S keys T, j walk S from T, k walk S from T] {
  // CHECK: %[[X:.*]] = attn.input "x"
  %x = attn.input "x" [S] : real [S]
  %a = attn.rename %x S to j : real [S]
  %b = attn.rename %a j to S : real [j]
  %c = attn.rename %b S to j : real [S]
  %d = attn.rename %c j to k : real [j]
  // CHECK: %[[K:.*]] = attn.rename %[[X]] S to k
  // CHECK: attn.weights over k from T score %[[K]]
  %p = attn.weights over k from T score %d : real [k]
  %l = attn.stat lse %p : [T] over k from T
  attn.output "l" %l [T] : real [T]
  // CHECK: attn.output "b" %[[X]]
  attn.output "b" %b [S] : real [S]
}

// CHECK-LABEL: @unit_mass
attn.attention @unit_mass none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %one = attn.constant real 1.0
  %two = attn.constant real 2.0
  // CHECK: attn.weights over j from T score %{{[^ ]*}} : real [T]{{$}}
  %p = attn.weights over j from T score %x : real [T] mass %one : real []
  // CHECK: attn.weights over j from T score %{{[^ ]*}} : real [T] mass
  %q = attn.weights over j from T score %x : real [T] mass %two : real []
  %a = attn.stat lse %p : [T] over j from T
  %b = attn.stat lse %q : [T] over j from T
  attn.output "a" %a [T] : real [T]
  attn.output "b" %b [T] : real [T]
}

// Scalars move out of linear functions; a maximum is none.
// CHECK-LABEL: @linear
attn.attention @linear none axes [M, N, P = M * N, j walk P from P, Mb = M / 4] {
  // CHECK-DAG: %[[X:.*]] = attn.input "x"
  // CHECK-DAG: %[[C:.*]] = attn.constant real 3.0
  %x = attn.input "x" [P] : real [M, N]
  %i = attn.index M
  %c = attn.constant real 3.0
  %y = attn.mul %x, %c : real [M, N], real []
  // CHECK: %[[Y:.*]] = attn.mul %[[X]], %[[C]]
  // CHECK: %[[SCAN:.*]] = attn.scan %[[X]] along M
  // CHECK: attn.mul %[[SCAN]], %[[C]]
  %scan = attn.scan %y along M : real [M, N]
  // CHECK: %[[SUM:.*]] = attn.block_reduce sum %[[X]] over M to Mb
  // CHECK: attn.mul %[[SUM]], %[[C]]
  %sum = attn.block_reduce sum %y over M to Mb : real [M, N]
  // CHECK: attn.block_reduce max %[[Y]] over M to Mb
  %max = attn.block_reduce max %y over M to Mb : real [M, N]
  // CHECK: %[[G:.*]] = attn.gather %[[X]] N at
  // CHECK: attn.mul %[[G]], %[[C]]
  %g = attn.gather %y N at %i : real [M, N], int [M]
  // CHECK: %[[F:.*]] = attn.flatten %[[X]] [M, N] to j
  // CHECK: attn.weights over j from P as [M, N] score %[[F]]
  %f = attn.flatten %y [M, N] to j : real [M, N]
  %third = attn.constant real 0x3FD5555555555555
  %z = attn.mul %f, %third : real [j], real []
  %p = attn.weights over j from P as [M, N] score %z : real [j]
  %l = attn.stat lse %p : [M, N] over j from P
  attn.output "scan" %scan [P] : real [M, N]
  attn.output "sum" %sum [Mb, N] : real [Mb, N]
  attn.output "max" %max [Mb, N] : real [Mb, N]
  attn.output "g" %g [M] : real [M]
  attn.output "l" %l [P] : real [M, N]
}

// Rounding gives an int, with the range of 32 bits; as a real it stays a real of that int.
// CHECK-LABEL: @rounding
attn.attention @rounding none axes [T] {
  // CHECK-DAG: %[[X:.*]] = attn.input "x"
  %x = attn.input "x" [T] : real [T]
  // CHECK-DAG: %[[A:.*]] = attn.constant int -4
  %a = attn.constant real -3.5
  %fa = attn.floor %a : real []
  // CHECK-DAG: %[[B:.*]] = attn.constant int 2147483647
  %b = attn.constant real 1.0e300
  %fb = attn.round %b : real []
  // CHECK-DAG: %[[C:.*]] = attn.constant int 0
  %c = attn.constant real 0x7FF8000000000000
  %fc = attn.floor %c : real []
  // CHECK: %[[F:.*]] = attn.floor %[[X]]
  %fx = attn.floor %x : real [T]
  // CHECK: attn.to_real %[[F]]
  %r = attn.to_real %fx : int [T]
  // CHECK: attn.output "a" %[[A]]
  attn.output "a" %fa [] : int []
  // CHECK: attn.output "b" %[[B]]
  attn.output "b" %fb [] : int []
  // CHECK: attn.output "c" %[[C]]
  attn.output "c" %fc [] : int []
  attn.output "r" %r [T] : real [T]
}

// A sum of a product of fields of different axes is a dot, so that nothing has all of them. What has fewer axes than one of the two
// goes with that one; a sum whose factors share all their axes stays.
// CHECK-LABEL: @outer_product
attn.attention @outer_product set axes [B, T, D, V] {
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  %k = attn.input "k" [B, T, D] : real [B, T, D]
  // CHECK-DAG: %[[V:.*]] = attn.input "v"
  %v = attn.input "v" [B, T, V] : real [B, T, V]
  // CHECK-DAG: %[[W:.*]] = attn.input "w"
  %w = attn.input "w" [B, T] : real [B, T]
  // CHECK-DAG: %[[KW:.*]] = attn.mul %[[K]], %[[W]]
  // CHECK-DAG: %[[LEFT:.*]] = attn.mul %[[K]], %[[W]]
  %kw = attn.mul %k, %w : real [B, T, D], real [B, T]
  %x = attn.mul %kw, %v : real [B, T, D], real [B, T, V]
  // CHECK: %[[DOT:.*]] = attn.dot %[[LEFT]], %[[V]] over [T]
  %s = attn.reduce sum %x over [T] : real [B, T, D, V]
  // CHECK: attn.reduce sum %[[KW]] over [T]
  %n = attn.reduce sum %kw over [T] : real [B, T, D]
  // CHECK: attn.output "s" %[[DOT]]
  attn.output "s" %s [B, D, V] : real [B, D, V]
  attn.output "n" %n [B, D] : real [B, D]
  // CHECK: %[[MEAN:.*]] = attn.div %{{.*}}, %{{.*}} : real [B, D, V], real []
  %m = attn.mul %k, %v : real [B, T, D], real [B, T, V]
  %mean = attn.reduce mean %m over [T] : real [B, T, D, V]
  // CHECK: attn.output "m" %[[MEAN]]
  attn.output "m" %mean [B, D, V] : real [B, D, V]
}
