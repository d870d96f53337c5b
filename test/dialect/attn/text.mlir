// The printed text is the one that people write: compared literally, spaces included.
// RUN: fovea-opt %s | FileCheck %s --match-full-lines --strict-whitespace

//      CHECK:  attn.attention @text causal axes [T, D : 8, S keys T, j walk S from T] {
// CHECK-NEXT:    %0 = attn.input "q" [T, D] : real [T, D]
// CHECK-NEXT:    %1 = attn.input "k" param bf16 [S, D] within <from 0.000000e+00> : real [S, D]
// CHECK-NEXT:    %2 = attn.rename %1 S to j : real [S, D]
// CHECK-NEXT:    %3 = attn.dot %0, %2 over [D] : real [T, D], real [j, D]
// CHECK-NEXT:    %4 = attn.reduce max %0 over [D] : real [T, D]
// CHECK-NEXT:    %5 = attn.weights over j from T score %3 : real [T, j] sinks(%4 : real [T])
// CHECK-NEXT:    %6 = attn.expect %5, %2 : [T] over j from T, real [j, D]
// CHECK-NEXT:    %7 = attn.stat lse %5 : [T] over j from T
// CHECK-NEXT:    attn.output "o" %6 [T, D] : real [T, D]
// CHECK-NEXT:    attn.output "lse" %7 f32 [T] : real [T]
// CHECK-NEXT:  }
attn.attention @text causal axes [T, D : 8, S keys T, j walk S from T] {
  %q = attn.input "q" [T, D] : real [T, D]
  %k = attn.input "k" param bf16 [S, D] within <from 0.0> : real [S, D]
  %kj = attn.rename %k S to j : real [S, D]
  %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
  %m = attn.reduce max %q over [D] : real [T, D]
  %p = attn.weights over j from T score %s : real [T, j] sinks(%m : real [T])
  %o = attn.expect %p, %kj : [T] over j from T, real [j, D]
  %lse = attn.stat lse %p : [T] over j from T
  attn.output "o" %o [T, D] : real [T, D]
  attn.output "lse" %lse f32 [T] : real [T]
}
