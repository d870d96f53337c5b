// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// f16 and bf16 as bits: exact widening, narrowing with every rounding mode, single-rounding fused multiply-add.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace fovea::emulator {

enum class Round : uint8_t { Nearest, Zero, Down, Up, NearestAway };

constexpr uint32_t canonicalNan = 0x7fffffff; // f32
constexpr uint16_t canonicalNan16 = 0x7fff;   // f16 and bf16

inline float bf16ToFloat(uint16_t h) { return std::bit_cast<float>(uint32_t(h) << 16); }

inline float f16ToFloat(uint16_t h) {
  // Exponent moved by a multiplication, which also normalises subnormals; infinity and NaN get the top exponent.
  const uint32_t magnitude = uint32_t(h & 0x7fff) << 13;
  uint32_t bits = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  bits = (h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : bits;
  return std::bit_cast<float>(bits | uint32_t(h & 0x8000) << 16);
}

/// Vectorisable round to nearest even.
inline uint16_t floatToBf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? uint32_t(canonicalNan16) : rounded);
}

inline uint16_t floatToF16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint32_t magnitude = bits & 0x7fffffff;
  // Normal results: rebias and round in integers. Subnormal results: an addition rounds at the right place.
  const uint32_t normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t small = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  uint32_t r = magnitude < 0x38800000 ? small : normal;
  r = magnitude >= 0x47800000 ? 0x7c00u : (r > 0x7c00u ? 0x7c00u : r);
  r |= (bits >> 16) & 0x8000;
  return uint16_t(magnitude > 0x7f800000 ? uint32_t(canonicalNan16) : r);
}

/// A double as a float rounded to odd: a later narrowing to fewer than 22 bits then rounds as if from the double.
inline float oddFloat(double v) {
  const float f = float(v);
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const double back = double(f);
  const bool adjust = back != v && v == v && !(bits & 1);
  const bool up = (v < 0 ? -v : v) > (back < 0 ? -back : back);
  return std::bit_cast<float>(adjust ? (up ? bits + 1 : bits - 1) : bits);
}

/// General narrowing of a double to a format with `fraction` stored bits and least normal exponent `emin`, by integers.
/// Overflow gives infinity or the largest finite number as the mode demands. Result: sign, exponent, fraction packed.
uint32_t narrow(double value, int fraction, int emin, int emax, Round mode);
/// The magnitude's code (exponent and fraction, no sign) without any upper limit, for finite values.
uint64_t narrowMagnitude(double value, int fraction, int emin, Round mode);
/// f32 to fp8 with saturation to the largest finite value; NaN stays NaN. `e5m2` else e4m3.
uint8_t doubleToFp8(double value, bool e5m2);
double fp8ToDouble(uint8_t code, bool e5m2);

inline uint16_t doubleToF16(double v, Round mode) {
  return std::isnan(v) ? canonicalNan16 : uint16_t(narrow(v, 10, -14, 15, mode));
}
inline uint16_t doubleToBf16(double v, Round mode) {
  return std::isnan(v) ? canonicalNan16 : uint16_t(narrow(v, 7, -126, 127, mode));
}
inline uint32_t doubleToF32(double v, Round mode) {
  return std::isnan(v) ? canonicalNan : narrow(v, 23, -126, 127, mode);
}

/// a*b + c with the sum rounded to odd in double, so that a later narrowing rounds once. a and b have at most 24 bits.
inline double fmaToOdd(double a, double b, double c) {
  const double p = a * b; // exact
  const double s = p + c;
  if (!std::isfinite(s))
    return s;
  const double bb = s - p;
  const double err = (p - (s - bb)) + (c - bb);
  if (err == 0)
    return s;
  uint64_t bits = std::bit_cast<uint64_t>(s);
  if (bits & 1)
    return s;
  // s was rounded to an even neighbour: take the odd one on the error's side.
  const bool awayFromZero = (err > 0) == (s > 0);
  return std::bit_cast<double>(awayFromZero ? bits + 1 : bits - 1);
}

} // namespace fovea::emulator
