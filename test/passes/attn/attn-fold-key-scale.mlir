// Factors of keys that all keys share move to the queries.
// RUN: fovea-opt %s --attn-fold-key-scale | FileCheck %s

// CHECK-LABEL: @behind_a_rename
attn.attention @behind_a_rename none axes [B, T, H, D : 8, S keys T, j walk S from T] {
  // CHECK-DAG: %[[Q:.*]] = attn.input "q"
  // CHECK-DAG: %[[K:.*]] = attn.input "k"
  // CHECK-DAG: %[[W:.*]] = attn.input "w"
  // CHECK-DAG: %[[G:.*]] = attn.input "g"
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, S, D] : real [B, S, D]
  %r = attn.input "r" [B, S] : real [B, S]
  %w = attn.input "w" [D] : real [D]
  %g = attn.input "g" [H, D] : real [H, D]
  // CHECK: %[[N:.*]] = attn.mul %[[K]], %{{.*}} : real [B, S, D], real [B, S]
  %n = attn.mul %k, %r : real [B, S, D], real [B, S]
  %m = attn.mul %n, %w : real [B, S, D], real [D]
  %mj = attn.rename %m S to j : real [B, S, D]
  %h = attn.mul %mj, %g : real [B, j, D], real [H, D]
  // CHECK: %[[QW:.*]] = attn.mul %[[Q]], %[[W]]
  // CHECK: %[[QWG:.*]] = attn.mul %[[QW]], %[[G]]
  // CHECK: %[[J:.*]] = attn.rename %[[N]] S to j
  // CHECK: attn.dot %[[QWG]], %[[J]] over [D] : real [B, T, H, D], real [B, j, D]
  %s = attn.dot %q, %h over [D] : real [B, T, H, D], real [B, j, D, H]
  %p = attn.weights over j from T score %s : real [B, T, H, j]
  %l = attn.stat lse %p : [B, T, H] over j from T
  attn.output "l" %l [B, T, H] : real [B, T, H]
}

// Keys on the left, and a factor on the left of its product.
// CHECK-LABEL: @keys_on_the_left
attn.attention @keys_on_the_left none axes [T, D : 8, j walk T from T] {
  // CHECK-DAG: %[[Q:.*]] = attn.input "q"
  // CHECK-DAG: %[[W:.*]] = attn.input "w"
  %q = attn.input "q" [T, D] : real [T, D]
  %w = attn.input "w" [D] : real [D]
  %kj = attn.rename %q T to j : real [T, D]
  %n = attn.mul %kj, %w : real [j, D], real [D]
  // CHECK-DAG: %[[KJ:.*]] = attn.rename %[[Q]] T to j
  // CHECK-DAG: %[[QW:.*]] = attn.mul %[[Q]], %[[W]]
  // CHECK: attn.dot %[[KJ]], %[[QW]] over [D]
  %s = attn.dot %n, %q over [D] : real [j, D], real [T, D]
  %p = attn.weights over j from T score %s : real [j, T]
  %l = attn.stat lse %p : [T] over j from T
  attn.output "l" %l [T] : real [T]
}

// What stays: a factor per key, one with an axis that the queries lack, the only factor with the contracted axis, a
// factor of the values, one that lacks the contracted axis, and one that would change the order of axes.
// CHECK-LABEL: @stays
attn.attention @stays none axes [T, D : 8, G, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" [S, D] : real [S, D]
  %w = attn.input "w" [D] : real [D]
  %g = attn.input "g" [G, D] : real [G, D]
  %r = attn.input "r" [S, D] : real [S, D]
  %x = attn.input "x" [S] : real [S]
  // CHECK: attn.dot %{{.*}}, %{{.*}} over [D] : real [T, D], real [S, D]
  %kr = attn.mul %k, %r : real [S, D], real [S, D]
  %plain = attn.dot %q, %kr over [D] : real [T, D], real [S, D]
  %krj = attn.rename %kr S to j : real [S, D]
  // CHECK: %[[KRJ:.*]] = attn.rename
  // CHECK: attn.dot %{{.*}}, %[[KRJ]] over [D]
  %a = attn.dot %q, %krj over [D] : real [T, D], real [j, D]
  // CHECK: %[[KG:.*]] = attn.mul %[[KRJ]], %{{.*}} : real [j, D], real [G, D]
  // CHECK: attn.dot %{{.*}}, %[[KG]] over [D]
  %kg = attn.mul %krj, %g : real [j, D], real [G, D]
  %b = attn.dot %q, %kg over [D] : real [T, D], real [j, D, G]
  // CHECK: %[[XW:.*]] = attn.mul %{{.*}}, %{{.*}} : real [j], real [D]
  // CHECK: attn.dot %{{.*}}, %[[XW]] over [D]
  %xj = attn.rename %x S to j : real [S]
  %xw = attn.mul %xj, %w : real [j], real [D]
  %c = attn.dot %q, %xw over [D] : real [T, D], real [j, D]
  %score = attn.add %a, %c : real [T, j], real [T, j]
  %more = attn.add %score, %b : real [T, j], real [T, j, G]
  %p = attn.weights over j from T score %more : real [T, j, G]
  %l = attn.stat lse %p : [T, G] over j from T
  attn.output "l" %l [T, G] : real [T, G]
  attn.output "plain" %plain [T, S] : real [T, S]
}
