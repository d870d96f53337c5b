// RUN: fovea-opt %s --attn-to-tile="state=fused" --verify-diagnostics --split-input-file

attn.attention @blocks causal axes [B, T, H, K : 32, V : 64, Tb = T / 24] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  // expected-error @+1 {{cannot run over chunks of tokens here: its blocks, its form or its type do not allow it}}
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
  %e = attn.every %s at Tb : [B, H] K x V along T
  attn.output "e" %e f32 [B, Tb, H, K, V] : real [B, H, Tb, K, V]
}

// -----

attn.attention @taps causal axes [B, T, D : 64, W : 64] {
  %x = attn.input "x" [B, T, D] : real [B, T, D]
  %w = attn.input "w" param [D, W] : real [D, W]
  // expected-error @+1 {{has more than 32 taps; that is not in this version}}
  %y = attn.conv %x, %w along [T] taps [W] : real [B, T, D], real [D, W]
  attn.output "y" %y [B, T, D] : real [B, T, D]
}

// -----

attn.attention @unknown causal axes [B, T, H, K, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  // expected-error @+1 {{the size of the axis 'K' must be known here, since it lies whole inside a tile: declare it static or set it, as in K=64}}
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
