// RUN: fovea-opt %s --attn-to-tile="state=split" --verify-diagnostics --split-input-file

attn.attention @erased causal axes [B, T, H, K : 32, V : 64] {
  %q = attn.input "q" [B, T, H, K] : real [B, T, H, K]
  %k = attn.input "k" [B, T, H, K] : real [B, T, H, K]
  %v = attn.input "v" [B, T, H, V] : real [B, T, H, V]
  // expected-error @+1 {{segments of tokens cannot run side by side where something is erased, since a segment changes the state before it by a matrix of all keys; take chunk or fused}}
  %s = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V] erase %k : real [B, T, H, K]
  %o = attn.read after %s, %q : [B, H] K x V along T, real [B, T, H, K]
  attn.output "o" %o [B, T, H, V] : real [B, T, H, V]
}
