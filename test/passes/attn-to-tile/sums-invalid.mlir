// What sums over tokens and heads cannot be in this version.
// RUN: fovea-opt %s --attn-to-tile --split-input-file --verify-diagnostics

attn.attention @three set axes [B, Z, Y, X, D : 64] {
  %k = attn.input "k" [B, Z, Y, X, D] : real [B, Z, Y, X, D]
  // expected-error @+1 {{sums over 3 axes of tokens at once; in this version at most two}}
  %m = attn.reduce mean %k over [Z, Y, X] : real [B, Z, Y, X, D]
  %o = attn.mul %k, %m : real [B, Z, Y, X, D], real [B, D]
  attn.output "o" %o [B, Z, Y, X, D] : real [B, Z, Y, X, D]
}

// -----

attn.attention @outer set axes [B, T, D : 64, V : 64] {
  %k = attn.input "k" [B, T, D] : real [B, T, D]
  %v = attn.input "v" [B, T, V] : real [B, T, V]
  %x = attn.mul %k, %v : real [B, T, D], real [B, T, V]
  %e = attn.exp %x : real [B, T, D, V]
  // expected-error @+1 {{reduces over tokens a field with two feature axes, 'D' and 'V', that is no product of one of each}}
  %m = attn.reduce sum %e over [T] : real [B, T, D, V]
  %o = attn.dot %k, %m over [D] : real [B, T, D], real [B, D, V]
  attn.output "o" %o [B, T, V] : real [B, T, V]
}

// -----

attn.attention @alone set axes [T, H, D : 64] {
  %k = attn.input "k" [T, D] : real [T, D]
  %n = attn.reduce sum %k over [D] : real [T, D]
  // expected-error @+1 {{is one number for all tokens and batches; in this version it has a batch axis}}
  %m = attn.reduce max %n over [T] : real [T]
  %o = attn.mul %k, %m : real [T, D], real []
  attn.output "o" %o [T, D] : real [T, D]
}

// -----

attn.attention @heads none axes [B, T, H, V : 64] {
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  // expected-error @+1 {{not in this version: the logsumexp over heads; max, min, sum and mean are}}
  %m = attn.reduce logsumexp %v over [H, V] : real [B, T, H, V]
  %o = attn.sub %v, %m : real [B, T, H, V], real [B, T]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}

// -----

attn.attention @integers set axes [B, T, D : 64] {
  %k = attn.input "k" [B, T, D] : real [B, T, D]
  %n = attn.input "n" i32 [B, T, D] : int [B, T, D]
  // expected-error @+1 {{reduces integers over 'T'; in this version tiles reduce reals only}}
  %m = attn.reduce max %n over [T] : int [B, T, D]
  %r = attn.to_real %m : int [B, D]
  %o = attn.mul %k, %r : real [B, T, D], real [B, D]
  attn.output "o" %o [B, T, D] : real [B, T, D]
}
