// RUN: fovea-opt %s --attn-to-tile=state=split --verify-diagnostics

attn.attention @taylor causal axes [B, T, H, V : 32, D : 16, F = of_1 + D + D_D, of_1 : 1, D_D = D outer D, D_again = D share 1] {
  %0 = attn.constant real 1.000000e+00
  %1 = attn.constant int 0
  %q = attn.input "q" [B, T, H, D] : real [B, T, H, D]
  %k = attn.input "k" [B, T, H, D] : real [B, T, H, D]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  %h = attn.input "h" carry f32 [B, H, F, V] : real [B, H, F, V]
  %2 = attn.index of_1
  %3 = attn.mul %2, %1 : int [of_1], int []
  %4 = attn.to_real %3 : int [of_1]
  %5 = attn.add %4, %0 : real [of_1], real []
  %6 = attn.rename %k D to D_again : real [B, T, H, D]
  %7 = attn.mul %k, %6 : real [B, T, H, D], real [B, T, H, D_again]
  %8 = attn.flatten %7 [D, D_again] to D_D : real [B, T, H, D, D_again]
  %9 = attn.concat %5, %k, %8 along F from [of_1, D, D_D] : real [of_1], real [B, T, H, D], real [B, T, H, D_D]
  // expected-error @+1 {{has products of features as keys, whose state is too large to be kept for each chunk or segment; take fused or step}}
  %S = attn.state along T key %9 over F : real [F, B, T, H] value %v over V : real [B, T, H, V] initial %h : real [B, H, F, V]
  %10 = attn.last %S : [B, H] F x V along T
  attn.output "h" carry %10 f32 [B, H, F, V] : real [B, H, F, V]
  %11 = attn.rename %q D to D_again : real [B, T, H, D]
  %12 = attn.mul %q, %11 : real [B, T, H, D], real [B, T, H, D_again]
  %13 = attn.flatten %12 [D, D_again] to D_D : real [B, T, H, D, D_again]
  %14 = attn.concat %5, %q, %13 along F from [of_1, D, D_D] : real [of_1], real [B, T, H, D], real [B, T, H, D_D]
  %o = attn.read after %S, %14 : [B, H] F x V along T, real [F, B, T, H]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
