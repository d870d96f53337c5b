// RUN: fovea-opt %s --attn-sink-to-gate | FileCheck %s

// CHECK-LABEL: @one_sink
attn.attention @one_sink none axes [T, D, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %v = attn.input "v" [T, D] : real [T, D]
  // CHECK: %[[S:.*]] = attn.input "s"
  %s = attn.input "s" param [] : real []
  %y = attn.rename %x T to j : real [T]
  // CHECK: %[[VJ:.*]] = attn.rename %{{.*}} T to j : real [T, D]
  %vj = attn.rename %v T to j : real [T, D]
  // CHECK: %[[SCORE:.*]] = attn.mul
  %score = attn.mul %x, %y : real [T], real [j]
  // CHECK: %[[P:.*]] = attn.weights over j from T score %[[SCORE]] : real [T, j]{{$}}
  // CHECK: %[[L:.*]] = attn.stat lse %[[P]]
  // CHECK: %[[NONE:.*]] = attn.constant real 0xFFF0000000000000
  // CHECK: %[[ZERO:.*]] = attn.constant real 0.000000e+00
  // CHECK: %[[EMPTY:.*]] = attn.eq %[[L]], %[[NONE]] : real [T], real []
  // CHECK: %[[D:.*]] = attn.sub %[[L]], %[[S]] : real [T], real []
  // CHECK: %[[SIGMOID:.*]] = attn.sigmoid %[[D]]
  // CHECK: %[[GATE:.*]] = attn.select %[[EMPTY]], %[[ZERO]], %[[SIGMOID]] : bool [T], real [], real [T]
  %p = attn.weights over j from T score %score : real [T, j] sinks(%s : real [])
  // CHECK: %[[E:.*]] = attn.expect %[[P]], %[[VJ]]
  // CHECK: %[[O:.*]] = attn.mul %[[GATE]], %[[E]] : real [T], real [T, D]
  %o = attn.expect %p, %vj : [T] over j from T, real [j, D]
  // CHECK: %[[LSE:.*]] = attn.stat lse %[[P]]
  %lse = attn.stat lse %p : [T] over j from T
  // CHECK: attn.output "o" %[[O]]
  attn.output "o" %o [T, D] : real [T, D]
  // CHECK: attn.output "lse" %[[LSE]]
  attn.output "lse" %lse [T] : real [T]
}

// Several sinks are one; the axes of the result keep their order.
// CHECK-LABEL: @sink_with_an_axis_of_its_own
attn.attention @sink_with_an_axis_of_its_own none axes [T, H, D, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %v = attn.input "v" [T, D] : real [T, D]
  // CHECK: %[[A:.*]] = attn.input "a"
  %a = attn.input "a" param [H] : real [H]
  // CHECK: %[[B:.*]] = attn.input "b"
  %b = attn.input "b" param [] : real []
  %y = attn.rename %x T to j : real [T]
  %vj = attn.rename %v T to j : real [T, D]
  %score = attn.mul %x, %y : real [T], real [j]
  // CHECK: attn.logaddexp %[[A]], %[[B]] : real [H], real []
  %p = attn.weights over j from T score %score : real [T, j] sinks(%a, %b : real [H], real [])
  // CHECK: attn.expect %{{.*}}, %{{.*}} : [T] over j from T, real [j, D]
  // CHECK: attn.mul %{{.*}}, %{{.*}} : real [T, H], real [T, D]
  %o = attn.expect %p, %vj : [T, H] over j from T, real [j, D]
  attn.output "o" %o [T, H, D] : real [T, H, D]
}

// CHECK-LABEL: @no_gate_without_sinks
attn.attention @no_gate_without_sinks none axes [T, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  // CHECK: attn.weights
  // CHECK-NOT: attn.sigmoid
  %p = attn.weights over j from T score %x : real [T]
  %lse = attn.stat lse %p : [T] over j from T
  // CHECK: attn.output
  attn.output "lse" %lse [T] : real [T]
}

// CHECK-LABEL: @no_gate_where_a_statistic_would_lose_an_axis
attn.attention @no_gate_where_a_statistic_would_lose_an_axis none axes [T, H, j walk T from T] {
  %x = attn.input "x" [T] : real [T]
  %a = attn.input "a" param [H] : real [H]
  // CHECK: attn.weights {{.*}} sinks(
  %p = attn.weights over j from T score %x : real [T] sinks(%a : real [H])
  // CHECK: attn.stat lse %{{.*}} : [T, H] over j from T
  %lse = attn.stat lse %p : [T, H] over j from T
  attn.output "lse" %lse [T, H] : real [T, H]
}
