// A mass that cannot be negative moves into the exponent.
// RUN: fovea-opt %s --attn-mass-to-score | FileCheck %s

// CHECK-LABEL: @softplus
attn.attention @softplus none axes [T, S keys T, j walk S from T] {
  %s = attn.input "s" [T, S] : real [T, S]
  %b = attn.input "b" [S] : real [S]
  %v = attn.input "v" [S] : real [S]
  %sj = attn.rename %s S to j : real [T, S]
  %bj = attn.rename %b S to j : real [S]
  %vj = attn.rename %v S to j : real [S]
  // CHECK: %[[M:.*]] = attn.softplus
  %m = attn.softplus %bj : real [j]
  // CHECK: %[[L:.*]] = attn.log %[[M]]
  // CHECK: %[[C:.*]] = attn.lt
  // CHECK: %[[X:.*]] = attn.select %[[C]], %{{.*}}, %[[L]]
  // CHECK: %[[S:.*]] = attn.add %{{.*}}, %[[X]]
  // CHECK: attn.weights over j from T score %[[S]] : real [T, j]
  // CHECK-NOT: mass
  %p = attn.weights over j from T score %sj : real [T, j] mass %m : real [j]
  // CHECK: attn.stat lse
  %l = attn.stat lse %p : [T] over j from T
  %o = attn.expect %p, %vj : [T] over j from T, real [j]
  attn.output "o" %o [T] : real [T]
  attn.output "l" %l [T] : real [T]
}

// By the contract of an input.
// CHECK-LABEL: @contract
attn.attention @contract none axes [T, S keys T, j walk S from T] {
  %s = attn.input "s" [T, S] : real [T, S]
  %b = attn.input "b" [S] within <from 0.0> : real [S]
  %sj = attn.rename %s S to j : real [T, S]
  %bj = attn.rename %b S to j : real [S]
  // CHECK: attn.log
  // CHECK-NOT: mass
  %p = attn.weights over j from T score %sj : real [T, j] mass %bj : real [j]
  %l = attn.stat lse %p : [T] over j from T
  attn.output "l" %l [T] : real [T]
}

// Of any sign, or told apart by a statistic: left alone.
// CHECK-LABEL: @stays
attn.attention @stays none axes [T, S keys T, j walk S from T] {
  %s = attn.input "s" [T, S] : real [T, S]
  %b = attn.input "b" [S] : real [S]
  %sj = attn.rename %s S to j : real [T, S]
  %bj = attn.rename %b S to j : real [S]
  // CHECK-NOT: attn.log
  // CHECK: mass
  %p = attn.weights over j from T score %sj : real [T, j] mass %bj : real [j]
  %l = attn.stat lse %p : [T] over j from T
  %m = attn.exp %bj : real [j]
  // CHECK: mass
  %r = attn.weights over j from T score %sj : real [T, j] mass %m : real [j]
  %x = attn.stat max %r : [T] over j from T
  attn.output "l" %l [T] : real [T]
  attn.output "x" %x [T] : real [T]
}

// The weights of blocks of keys.
// CHECK-LABEL: @blocks
attn.attention @blocks none axes [T, S keys T, Sb = S / 64, j walk S from T] {
  %s = attn.input "s" [T, S] : real [T, S]
  %b = attn.input "b" [S] : real [S]
  %sj = attn.rename %s S to j : real [T, S]
  // CHECK: %[[B:.*]] = attn.rename %{{.*}} S to j : real [S]
  %bj = attn.rename %b S to j : real [S]
  %m = attn.sigmoid %bj : real [j]
  %e = attn.exp %sj : real [T, j]
  // CHECK: %[[L:.*]] = attn.log_sigmoid %[[B]]
  // CHECK: %[[X:.*]] = attn.add %{{.*}}, %[[L]]
  // CHECK: attn.exp %[[X]]
  // CHECK-NOT: attn.mul
  %w = attn.mul %e, %m : real [T, j], real [j]
  %r = attn.block_reduce max %w over j to Sb : real [T, j]
  attn.output "r" %r [T, Sb] : real [T, Sb]
}
