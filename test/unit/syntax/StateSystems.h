// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Published systems made of states and of sums over all tokens, as their users would write them: no message at all.
#pragma once

namespace fovea::test {

inline constexpr const char *kStateSystems[] = {
    R"(fovea 1
attention gated_deltanet causal {
  axis B, T, K, V
  axis H = Hk * G
  static K, V, G
  input q, k : [B, T, Hk, K]
  input v    : [B, T, H, V]
  input g    : f32 [B, T, H] <= 0
  input beta : f32 [B, T, H]
  carry h0   : f32 [B, H, K, V] optional
  let qn = l2norm[K](q) * K^-0.5
  let kn = l2norm[K](k)
  state S[K, V] = recur over T { key: kn; value: beta * v; decay: g; erase: beta * kn; initial: h0 }
  output o = read(S, qn)
}
attention gdn2 causal {
  axis B, T, H, K, V
  input q, k : [B, T, H, K];  v : [B, T, H, V];  f : [B, T, H, K];  b : [B, T, H, K];  w : [B, T, H, V]
  param A : f32 [H];  dt : f32 [H, K]
  let kn = l2norm[K](k)
  state S = recur over T { key: kn; value: sigmoid(w) * v; decay: -exp(A) * softplus(f + dt); erase: sigmoid(b) * kn }
  output o = read(S, l2norm[K](q) * K^-0.5)
  output h = last(S)
  output hs = every(S, 256)
}
)",
    R"(fovea 1
import "features" (hedgehog)
attention hedgehog_attention causal {
  axis B, T, H, D, E, V
  input q, k : [B, T, H, D];  v : [B, T, H, V];  param wq, wk : [H, D, E]
  output o = recur over T (query: hedgehog(q, wq), key: hedgehog(k, wk), value: v) { divide: sum }
}
)",
    R"(fovea 1
attention inline_attention set {
  axis B, H, D, V;  axis T = Y * X
  input q, k : [B, T, H, D];  v : [B, T, H, V];  taps : [B, H, V, 3, 3]
  const c = D^-0.5
  let km = mean[T](k);  vm = mean[T](v)
  output o = dot[D](q, sum[T](k * v)) * c / T + (1 - c * dot[D](q, km)) * vm + conv[Y, X](v, taps)
}
)",
    R"(fovea 1
attention kda causal {
  axis B, T, K, V, W;  axis H = Hk * G;  static K, V, G, W
  option gate = softplus | bounded
  const  gmin : real = -5
  input  q, k : [B, T, Hk, K];  v, z : [B, T, H, V]
  input  f : [B, T, H, K];      b : [B, T, H]
  param  A : f32 [H];  dt : f32 [H, K];  wq, wk : [Hk, K, W];  wv : [H, V, W];  gamma : [V]
  carry  h0 : f32 [B, H, K, V] optional
  let qn = l2norm[K](silu(conv[T](q, wq)), eps: 1e-6) * K^-0.5
  let kn = l2norm[K](silu(conv[T](k, wk)), eps: 1e-6)
  let vc = silu(conv[T](v, wv))
  let g  = match gate { softplus: -exp(A) * softplus(f + dt);  bounded: gmin * sigmoid(exp(A) * (f + dt)) }
  let beta = sigmoid(b)
  state S[K, V] = recur over T { key: kn; value: beta * vc; decay: g; erase: beta * kn; initial: h0 }
  output o = rmsnorm[V](read(S, qn)) * gamma * sigmoid(z)
}
)",
    R"(fovea 1
import "features" (hedgehog)
attention lawcat causal {
  axis B, T, D, E, V;  axis H = Hk * G;  axis F = lo: E + hi: E
  input q : [B, T, H, D];  k : [B, T, Hk, D];  v : [B, T, Hk, V];  gate : [B, T, Hk, F]
  param cq : [H, D, 4];  ck : [Hk, D, 4];  wq : [H, D, E];  wk : [Hk, D, E]
  carry h0 : f32 [B, Hk, F, V] optional;  n0 : f32 [B, Hk, F] optional
  state S[F, V] = recur over T {
    key: hedgehog(conv[T](k, ck), wk); value: v; decay: log_sigmoid(gate) / 16
    divide: sum + 1e-10
    initial: h0, n0
  }
  output o = read(S, hedgehog(conv[T](q, cq), wq))
}
)",
    R"(fovea 1
attention liger causal {
  axis B, T, H, D, V
  input q, k, v : [B, T, H, D]
  let rq = rope(q, pos[T]);  rk = rope(k, pos[T]);  u = v as [D: V]
  let near = weights over T { score: dot[D](rq[i], rk[j]) * D^-0.5; where: 0 <= i - j < 64 }
  state S[D, V] = recur over T { key: softmax[D](k); value: u; decay: log_sigmoid(k) / 16 }
  output o = 0.5 * near(u) + 0.5 * read(S, softmax[D](q))
}
)",
    R"(fovea 1
attention mala set {
  axis B, H, D, V;  axis T = Y * X
  input q, k : [B, T, H, D];  v, z : [B, T, H, V];  param w5 : [H, V, 5, 5]
  let qf = elu(q) + 1;  kf = elu(k) + 1
  let t = dot[D](qf, mean[T](kf)) * D^-0.5
  let beta = 1 + 1 / (t + 1e-6)
  output o = (beta * dot[D](qf, sum[T](kf * v) / T) * D^-0.5 - t * mean[T](v) + conv[Y, X](v, w5)) * z
}
attention lina set {
  axis B, T, H, D, V, N
  option normaliser = mean | subtract
  input q, k : [B, T, H, D];  v : [B, T, H, V];  param a, b : [H, N];  n : [N]
  let qf = relu(q) + 1e-6;  kf = (relu(k) + 1e-6)
  let kv = sum[T](kf * T^-0.5 * v * T^-0.5)
  output o = match normaliser { mean: dot[D](qf, kv) / (dot[D](qf, mean[T](kf)) + 1e-6); subtract: dot[D](qf, kv) - dot[D](qf, mean[T](kf)) * mean[T](v) } + sum[N](a * b * n)
}
attention ela causal {
  axis B, T, H, D, V
  input q, k : [B, T, H, D];  v : [B, T, H, V]
  output o = recur over T (query: exp(q), key: exp(k), value: v) { divide: max(sum, 1e-8) }
}
attention vig set {
  axis B, T, H, K, V
  input q, k, gf, gb : [B, T, H, K];  v, z, local : [B, T, H, V]
  state f[K, V] = recur over T         { key: k; value: v; decay: log_sigmoid(gf) }
  state r[K, V] = recur over T reverse { key: k; value: v; decay: log_sigmoid(gb) }
  let o = (read(f, q) + read(r, q)) * 0.5 * K^-0.5
  output y = sigmoid(z) * rmsnorm[V](o) + (1 - sigmoid(z)) * rmsnorm[V](local)
}
attention nats causal {
  axis B, T, H, K, V;  axis Tb = T / 64
  input q, k : [B, T, H, K];  v : [B, T, H, V];  g : [B, T, H] <= 0;  x : [B, T, H]
  state S[K, V] = recur over T { key: k; value: v; decay: g; erase: k; commit: mean[T in Tb](x) > 0 per Tb; where: x != 0 }
  output o = read(decayed(S), q) - read(prev(S), q)
}
)",
    R"(fovea 1
attention nalaformer set {
  axis B, H, D, V;  axis T = Y * X;  axis F = lo: D + hi: D
  input q, k : [B, T, H, D];  v, z : [B, T, H, V];  param w5 : [H, V, 5, 5];  ln : [H, V]
  let kc = k^3
  let n  = norm[D](q, eps: 0)
  let d  = q / n
  let e  = 3 * (0.5 + tanh(n))
  let qf = cat[F](relu(d)^e, relu(-d)^e)
  let kf = cat[F](relu(kc), relu(-kc))
  let num = dot[F](qf, sum[T](kf * v) / T)
  let den = dot[F](qf, mean[T](kf)) + 1e-6
  output o = layernorm[H, V](num / den + conv[Y, X](v, w5)) * ln * silu(z)
}
)",
    R"(fovea 1
attention rala set {
  axis B, H, D, V;  axis T = Y * X
  input q, k : [B, T, H, D];  v, z : [B, T, H, V];  param w5 : [H, V, 5, 5]
  let qf = elu(q) + 1;  kf = elu(k) + 1
  let a  = softmax[T](D^-0.5 * dot[D](mean[T](qf), kf))
  let kt = T * a * kf
  output o = (dot[D](qf, sum[T](kt * v) / T) / (dot[D](qf, mean[T](kt)) + 1e-6) + conv[Y, X](v, w5)) * z
}
)",
    R"(fovea 1
attention tnl causal {
  axis B, T, H, K, V;  axis F = lo: K + hi: K
  const  layer, layers : int;  heads : int = H;  h0 : int = 0
  option slopes = alibi | fla
  input  q, k : [B, T, H, K];  v, u : [B, T, H, V];  param theta : f32 [H, K]
  let n  = index[H, origin: h0]
  let g  = match slopes { alibi: -2^(-8 * (n + 1) / heads) * (1 - layer / (layers - 1) + 1e-5)
                          fla:   -(8 / heads) * (1 - layer / layers) * n }
  let ph = pos[T] * theta
  map phi(x : [K]) -> [F] { cat[F](silu(x) * cos(ph), silu(x) * sin(ph)) }
  state S[F, V] = recur over T { key: phi(k); value: v; decay: g }
  output o = u * rmsnorm[H, V](read(S, phi(q)))
}
)",
    R"(fovea 1
attention mamba2 causal {
  axis B, T, P, N;  axis H = Q * M
  const  dt_lo, dt_hi : real = 0, inf
  input  x, z : [B, T, H, P];  bm, cm : [B, T, Q, N];  dt : [B, T, H]
  param  a, dt0, skip : f32 [H];  gamma : [H, P]
  let step = clamp(softplus(dt + dt0), dt_lo, dt_hi)
  state S = recur over T { key: bm; value: step * x; decay: -exp(a) * step }
  output o = rmsnorm[M, P]((read(S, cm) + skip * x) * silu(z)) * gamma
}
attention hgrn2 causal {
  axis B, T, H, K, V
  input q, f : [B, T, H, K];  v : [B, T, H, V];  param lb : f32 [H, K] in [0, 1);  gamma : [H, V]
  let g = logaddexp(log(lb), log1p(-lb) + log_sigmoid(f))
  state S = recur over T { key: -expm1(g); value: v; decay: g }
  output o = rmsnorm[H, V](read(S, silu(q))) * gamma
}
attention hgrn2_plain causal {
  axis B, T, H, K, V
  input q, f : [B, T, H, K];  v : [B, T, H, V];  param lb : f32 [H, K] in [0, 1)
  let a = lb + (1 - lb) * sigmoid(f)
  output o = recur over T (query: q, key: 1 - a, value: v) { decay: log(a); divide: none }
}
attention rwkv6 causal {
  axis B, T, H, K, V
  input r, k, w : [B, T, H, K];  v, z : [B, T, H, V];  param u : f32 [H, K];  gn : [H, V]
  state S[K, V] = recur over T { key: k; value: v; decay: -exp(w) }
  let o = read(prev(S), r) + dot[K](r, u * k) * v
  output y = layernorm[V](o) * gn * silu(z)
}
attention retnet causal {
  axis B, T, H, K, V
  input q, k : [B, T, H, K];  v : [B, T, H, V]
  output o = recur over T (query: q, key: k, value: v) { decay: log(1 - 2^(-5 - index[H])) }
}
)",
    R"(fovea 1
import "features" (hedgehog)
attention lolcats causal {
  axis B, T, H, D, E, V;  axis Tb = T / 64;  axis F = lo: E + hi: E
  option window = sliding | terrace
  input q, k : [B, T, H, D];  v : [B, T, H, V];  param wq, wk : [H, D, E];  mix : f32 [H]
  let qr = rope(q, pos[T]);  kr = rope(k, pos[T])
  let qf = hedgehog(qr, wq);  kf = hedgehog(kr, wk)
  let near = weights over T {
    score: dot[D](qr[i], kr[j]) * D^-0.5
    where: match window { sliding: 0 <= i - j < 64;  terrace: j <= i and block[Tb](j) >= block[Tb](i) - 1 }
    mass: sigmoid(mix)
  }
  let far = weights over T { weight: dot[F](qf[i], kf[j]); where: j <= i and not near.where }
  output o = joint(near of v, far of v, reference: rowmax)
}
attention lizard causal {
  axis B, T, H, D, E, V, M
  input q, k : [B, T, H, D];  v : [B, T, H, V];  gate : [B, T]
  param wq, wk : [H, D, E];  meta : f32 [M];  alpha : f32
  let near = weights over T { score: dot[D](q[i], k[j]) * D^-0.5; where: 0 <= i - j < 128; sink: logsumexp[M](meta) }
  output o = recur over T (query: hedgehog(q, wq), key: hedgehog(k, wk), value: v) { decay: log_sigmoid(gate); divide: sum } +
    alpha * near(v)
}
attention hydra causal {
  axis B, T, H, D, R, E, V
  input q, k : [B, T, H, D];  v : [B, T, H, V];  g : f32 [B, T, R] <= 0;  c : [B, T, R]
  param w : [R, D, E]
  let qf = exp(dot[D](q, w));  kf = exp(dot[D](k, w));  share = softmax[R](c)
  state S[E, V] = recur over T { key: kf; value: v; decay: g }
  state N[E] = recur over T { key: kf; value: 1; decay: g }
  output o = sum[R](share * read(S, qf)) / sum[R](share * read(N, qf))
}
attention based causal {
  axis B, T, H, D, D2, V
  input q, k : [B, T, H, D];  v : [B, T, H, V]
  let a = q * D^-0.25;  b = k * D^-0.25
  let a2 = a as [D: D2];  b2 = b as [D: D2]
  state S0[D, V] = recur over T { key: b; value: v };  N0[D] = recur over T { key: b; value: 1 }
  state S1[D, V] = recur over T { key: b; value: b2 * v };  N1[D] = recur over T { key: b; value: b2 }
  let num = cumsum[T](v) + read(S0, a) + sum[D2](a2 * read(S1, a)) / 2
  let den = cumsum[T](1 + 0 * sum[D](a)) + read(N0, a) + dot[D2](a2, read(N1, a)) / 2
  output o = num / (den + 1e-12)
}
)",
};

} // namespace fovea::test
