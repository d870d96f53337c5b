// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matrix products of one mma.sync tile.
#include "runtime/emulator/TensorCore.h"

#include <bit>
#include <cmath>
#include <cstdlib>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

namespace fovea::emulator {

void multiplyFma(const float *a, const float *b, float *d, int k) {
#if defined(__AVX2__) && defined(__FMA__)
  for (int half = 0; half < 2; ++half) {
    const float *ah = a + half * 8 * k;
    float *dh = d + half * 64;
    __m256 acc[8];
    for (int r = 0; r < 8; ++r)
      acc[r] = _mm256_load_ps(dh + r * 8);
    for (int n = 0; n < k; ++n) {
      const __m256 bn = _mm256_load_ps(b + n * 8);
      for (int r = 0; r < 8; ++r)
        acc[r] = _mm256_fmadd_ps(_mm256_broadcast_ss(ah + r * k + n), bn, acc[r]);
    }
    for (int r = 0; r < 8; ++r)
      _mm256_store_ps(dh + r * 8, acc[r]);
  }
#else
  for (int r = 0; r < 16; ++r)
    for (int n = 0; n < k; ++n)
      for (int c = 0; c < 8; ++c)
        d[r * 8 + c] = std::fma(a[r * k + n], b[n * 8 + c], d[r * 8 + c]);
#endif
}

namespace {

/// significand * 2^(exponent - fraction), significand signed; exponent of subnormals is the least normal one.
struct Term {
  int32_t significand;
  int32_t exponent;
};

Term split(float v, int fraction) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  int32_t s = int32_t(bits & 0x7fffff);
  int32_t e = int32_t(bits >> 23 & 255);
  if (e)
    s |= 1 << 23;
  else
    e = 1;
  s >>= 23 - fraction;
  return {bits >> 31 ? -s : s, e - 127};
}

/// Truncates sum * 2^(exponent - fraction) to f32.
float truncate(int64_t sum, int exponent, int fraction) {
  if (sum == 0)
    return 0.0f;
  uint64_t magnitude = uint64_t(std::llabs(sum));
  int top = 63 - std::countl_zero(magnitude);
  int e = exponent - fraction + top; // of the leading bit
  if (e > 127)
    return sum < 0 ? -INFINITY : INFINITY;
  int keep = 23; // fraction bits kept
  if (e < -126)
    keep = 23 - (-126 - e);
  if (keep < 0)
    return sum < 0 ? -0.0f : 0.0f;
  if (top > keep)
    magnitude = magnitude >> (top - keep) << (top - keep);
  const double v = std::ldexp(double(magnitude), exponent - fraction);
  return float(sum < 0 ? -v : v);
}

float exactElement(const float *a, const float *b, float c, int k, int operandFraction, ExactModel model) {
  float acc = c;
  for (int first = 0; first < k; first += model.step) {
    Term terms[64];
    bool special = !std::isfinite(acc);
    int highest = INT32_MIN;
    const int count = model.step < k - first ? model.step : k - first;
    for (int n = 0; n < count; ++n) {
      const float x = a[first + n], y = b[(first + n) * 8];
      special |= !std::isfinite(x) || !std::isfinite(y);
      const Term p = split(x, operandFraction), q = split(y, operandFraction);
      terms[n] = {p.significand * q.significand, p.exponent + q.exponent};
      if (terms[n].significand && terms[n].exponent > highest)
        highest = terms[n].exponent;
    }
    if (special) {
      float sum = acc;
      for (int n = 0; n < count; ++n)
        sum = sum + a[first + n] * b[(first + n) * 8];
      acc = sum != sum ? std::bit_cast<float>(0x7fffffffu) : sum;
      continue;
    }
    const Term own = split(acc, 23);
    if (own.significand && own.exponent > highest)
      highest = own.exponent;
    if (highest == INT32_MIN) {
      acc = 0.0f;
      continue;
    }
    int64_t sum = 0;
    auto add = [&](Term t, int fraction) {
      // Truncation is toward zero, so it acts on the magnitude.
      const int shift = model.fraction - fraction - (highest - t.exponent);
      const int64_t magnitude = std::abs(int64_t(t.significand));
      const int64_t aligned = shift >= 0 ? magnitude << shift : shift > -63 ? magnitude >> -shift : 0;
      sum += t.significand < 0 ? -aligned : aligned;
    };
    for (int n = 0; n < count; ++n)
      if (terms[n].significand)
        add(terms[n], 2 * operandFraction);
    if (own.significand)
      add(own, 23);
    acc = truncate(sum, highest, model.fraction);
  }
  return acc;
}

} // namespace

void multiplyExact(const float *a, const float *b, float *d, int k, int operandFraction, ExactModel model) {
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 8; ++c)
      d[r * 8 + c] = exactElement(a + r * k, b + c, d[r * 8 + c], k, operandFraction, model);
}

} // namespace fovea::emulator
