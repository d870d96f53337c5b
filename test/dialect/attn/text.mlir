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

//      CHECK:  attn.attention @primitives none axes [T, D : 8, E = D + D, F = D share 2, Tb = T / 64, Tc = windows T of 8 step 4, j walk T from T] {
// CHECK-NEXT:    %0 = attn.input "x" optional [T, E] : real [T, E]
// CHECK-NEXT:    %1 = attn.slice %0 E to D after [D] : real [T, E]
// CHECK-NEXT:    %2 = attn.concat %1, %1 along E from [D, D] : real [T, D], real [T, D]
// CHECK-NEXT:    %3 = attn.index j
// CHECK-NEXT:    %4 = attn.gather %1 T at %3 : real [T, D], int [j]
// CHECK-NEXT:    %5 = attn.scan %1 along T : real [T, D]
// CHECK-NEXT:    %6 = attn.block_reduce mean %5 over T to Tb : real [T, D]
// CHECK-NEXT:    %7 = attn.weights over j from T score %4 : real [D, j] mass %4 : real [D, j]
// CHECK-NEXT:    %8 = attn.weights over j from T weight %4 : real [D, j]
// CHECK-NEXT:    attn.output "o" %2 [T, E] : real [T, E]
// CHECK-NEXT:  }
attn.attention @primitives none axes [T, D : 8, E = D + D, F = D share 2, Tb = T / 64, Tc = windows T of 8 step 4,
                                      j walk T from T] {
  %x = attn.input "x" optional [T, E] : real [T, E]
  %d = attn.slice %x E to D after [D] : real [T, E]
  %e = attn.concat %d, %d along E from [D, D] : real [T, D], real [T, D]
  %i = attn.index j
  %g = attn.gather %d T at %i : real [T, D], int [j]
  %s = attn.scan %d along T : real [T, D]
  %m = attn.block_reduce mean %s over T to Tb : real [T, D]
  %p = attn.weights over j from T score %g : real [D, j] mass %g : real [D, j]
  %f = attn.weights over j from T weight %g : real [D, j]
  attn.output "o" %e [T, E] : real [T, E]
}
