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

#if defined(__AVX2__) && defined(__FMA__)

/// An exponent below every other, of terms that are zero.
constexpr int32_t noExponent = -100000;

/// Exponents and significands (at `fraction`) of finite values; nothing but zeros at zero.
void splitAll(const float *v, int count, int fraction, int32_t *significands, int32_t *exponents, uint32_t &special) {
  for (int n = 0; n < count; ++n) {
    const uint32_t bits = std::bit_cast<uint32_t>(v[n]);
    const int32_t e = int32_t(bits >> 23 & 255);
    special |= uint32_t(e == 255);
    const int32_t magnitude = (int32_t(bits & 0x7fffff) | (e ? 1 << 23 : 0)) >> (23 - fraction);
    significands[n] = bits >> 31 ? -magnitude : magnitude;
    exponents[n] = magnitude ? (e ? e : 1) - 127 : noExponent;
  }
}

/// Eight columns of one row at a time. False if an operand is not finite or a sum is out of the normal range: then the
/// general way decides.
bool exactRow(const int32_t *aSignificand, const int32_t *aExponent, const int32_t *bSignificand,
              const int32_t *bExponent, float *d, int k, int operandFraction, ExactModel model) {
  const __m128i lift = _mm_cvtsi32_si128(model.fraction - 2 * operandFraction);
  const __m128i ownLift = _mm_cvtsi32_si128(model.fraction - 23);
  const __m256i low16 = _mm256_set1_epi32(0xffff);
  __m256 acc = _mm256_load_ps(d);
  for (int first = 0; first < k; first += model.step) {
    const int count = model.step < k - first ? model.step : k - first;
    const __m256i bits = _mm256_castps_si256(acc);
    const __m256i field = _mm256_and_si256(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(255));
    const __m256i normal = _mm256_cmpgt_epi32(field, _mm256_setzero_si256());
    const __m256i own = _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)),
                                        _mm256_and_si256(normal, _mm256_set1_epi32(1 << 23)));
    __m256i ownExponent = _mm256_sub_epi32(_mm256_max_epi32(field, _mm256_set1_epi32(1)), _mm256_set1_epi32(127));
    const __m256i zero = _mm256_cmpeq_epi32(own, _mm256_setzero_si256());
    ownExponent = _mm256_blendv_epi8(ownExponent, _mm256_set1_epi32(noExponent), zero);
    __m256i highest = ownExponent;
    __m256i exponents[32];
    for (int n = 0; n < count; ++n) {
      const __m256i e =
          _mm256_add_epi32(_mm256_set1_epi32(aExponent[first + n]),
                           _mm256_load_si256(reinterpret_cast<const __m256i *>(bExponent + (first + n) * 8)));
      exponents[n] = e;
      highest = _mm256_max_epi32(highest, e);
    }
    // Truncation is toward zero, so it acts on the magnitudes. Eight terms stay below 2^31.
    __m256i ownAligned = _mm256_srlv_epi32(_mm256_sll_epi32(own, ownLift), _mm256_sub_epi32(highest, ownExponent));
    __m256i part = _mm256_sign_epi32(ownAligned, _mm256_or_si256(bits, _mm256_set1_epi32(1)));
    __m256d sumLow = _mm256_setzero_pd(), sumHigh = _mm256_setzero_pd();
    for (int n = 0; n < count; ++n) {
      const __m256i p =
          _mm256_madd_epi16(_mm256_and_si256(_mm256_set1_epi32(aSignificand[first + n]), low16),
                            _mm256_load_si256(reinterpret_cast<const __m256i *>(bSignificand + (first + n) * 8)));
      const __m256i magnitude =
          _mm256_srlv_epi32(_mm256_sll_epi32(_mm256_abs_epi32(p), lift), _mm256_sub_epi32(highest, exponents[n]));
      part = _mm256_add_epi32(part, _mm256_sign_epi32(magnitude, p));
      if (n % 8 == 7 || n == count - 1) {
        sumLow = _mm256_add_pd(sumLow, _mm256_cvtepi32_pd(_mm256_castsi256_si128(part)));
        sumHigh = _mm256_add_pd(sumHigh, _mm256_cvtepi32_pd(_mm256_extracti128_si256(part, 1)));
        part = _mm256_setzero_si256();
      }
    }
    // To 24 significant bits, then the scale.
    const __m256d keep = _mm256_castsi256_pd(_mm256_set1_epi64x(int64_t(0xffffffffe0000000ull)));
    const __m256i scale =
        _mm256_add_epi32(_mm256_max_epi32(highest, _mm256_set1_epi32(-500)), _mm256_set1_epi32(1023 - model.fraction));
    const __m256d least = _mm256_set1_pd(0x1p-126), most = _mm256_set1_pd(0x1p128);
    const __m256d sign = _mm256_set1_pd(-0.0);
    int bad = 0;
    auto finish = [&](__m256d sum, __m128i e) {
      const __m256d factor = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_cvtepi32_epi64(e), 52));
      const __m256d v = _mm256_mul_pd(_mm256_and_pd(sum, keep), factor);
      const __m256d magnitude = _mm256_andnot_pd(sign, v);
      const __m256d fine = _mm256_or_pd(
          _mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_EQ_OQ),
          _mm256_and_pd(_mm256_cmp_pd(magnitude, least, _CMP_GE_OQ), _mm256_cmp_pd(magnitude, most, _CMP_LT_OQ)));
      bad |= ~_mm256_movemask_pd(fine) & 15;
      return _mm256_cvtpd_ps(v);
    };
    const __m128 lowHalf = finish(sumLow, _mm256_castsi256_si128(scale));
    const __m128 highHalf = finish(sumHigh, _mm256_extracti128_si256(scale, 1));
    if (bad)
      return false;
    acc = _mm256_set_m128(highHalf, lowHalf);
  }
  _mm256_store_ps(d, acc);
  return true;
}

#endif

} // namespace

void multiplyExactGeneral(const float *a, const float *b, float *d, int k, int operandFraction, ExactModel model) {
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 8; ++c)
      d[r * 8 + c] = exactElement(a + r * k, b + c, d[r * 8 + c], k, operandFraction, model);
}

void multiplyExact(const float *a, const float *b, float *d, int k, int operandFraction, ExactModel model) {
#if defined(__AVX2__) && defined(__FMA__)
  alignas(32) int32_t aSignificand[16 * 32], aExponent[16 * 32], bSignificand[32 * 8], bExponent[32 * 8];
  uint32_t special = 0;
  splitAll(a, 16 * k, operandFraction, aSignificand, aExponent, special);
  splitAll(b, 8 * k, operandFraction, bSignificand, bExponent, special);
  for (int n = 0; n < 128; ++n)
    special |= uint32_t((std::bit_cast<uint32_t>(d[n]) & 0x7f800000) == 0x7f800000);
  if (!special) {
    // The low halves hold the numbers, the high halves nothing.
    for (int n = 0; n < 8 * k; ++n)
      bSignificand[n] &= 0xffff;
    for (int r = 0; r < 16; ++r)
      if (!exactRow(aSignificand + r * k, aExponent + r * k, bSignificand, bExponent, d + r * 8, k, operandFraction,
                    model))
        for (int c = 0; c < 8; ++c)
          d[r * 8 + c] = exactElement(a + r * k, b + c, d[r * 8 + c], k, operandFraction, model);
    return;
  }
#endif
  multiplyExactGeneral(a, b, d, k, operandFraction, model);
}

} // namespace fovea::emulator
