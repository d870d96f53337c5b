// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// bf16 and f16 as bit patterns: exact widening, and narrowing by one rounding to nearest, ties to even.
#pragma once

#include "runtime/abi/StorageType.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace fovea::runtime {

namespace detail {

/// A double as a 16-bit float with the given fields: denormals kept, overflow to infinity, NaN quiet with the top bits
/// of its payload.
template <int ExponentBits, int MantissaBits> inline uint16_t narrow(double value) {
  constexpr int bias = (1 << (ExponentBits - 1)) - 1;
  constexpr uint16_t infinity = ((1 << ExponentBits) - 1) << MantissaBits;
  uint64_t bits = std::bit_cast<uint64_t>(value);
  uint16_t sign = static_cast<uint16_t>(bits >> 63) << 15;
  int exponent = static_cast<int>((bits >> 52) & 0x7ff);
  uint64_t mantissa = bits & ((uint64_t{1} << 52) - 1);
  if (exponent == 0x7ff) {
    if (mantissa == 0)
      return sign | infinity;
    uint16_t payload = static_cast<uint16_t>(mantissa >> (52 - MantissaBits));
    return sign | infinity | (1 << (MantissaBits - 1)) | payload;
  }
  if (exponent == 0) // at most 2^-1022, far below half of the smallest denormal
    return sign;
  exponent -= 1023;
  mantissa |= uint64_t{1} << 52;
  constexpr int smallest = 1 - bias; // exponent of the smallest normal number
  int shift = 52 - MantissaBits + (exponent < smallest ? smallest - exponent : 0);
  if (shift > 53)
    return sign;
  uint64_t quotient = mantissa >> shift;
  uint64_t rest = mantissa & ((uint64_t{1} << shift) - 1), half = uint64_t{1} << (shift - 1);
  if (rest > half || (rest == half && (quotient & 1)))
    ++quotient;
  // A carry out of the mantissa raises the exponent by itself.
  int64_t result = static_cast<int64_t>(quotient);
  if (exponent >= smallest)
    result += static_cast<int64_t>(exponent + bias - 1) << MantissaBits;
  return sign | (result >= infinity ? infinity : static_cast<uint16_t>(result));
}

} // namespace detail

/// C++ leaves the conversion of a finite double beyond the range undefined.
inline float f64ToF32(double value) {
  if (std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()) && !std::isinf(value)) {
    float magnitude =
        std::abs(value) < 0x1.ffffffp127 ? std::numeric_limits<float>::max() : std::numeric_limits<float>::infinity();
    return value < 0 ? -magnitude : magnitude;
  }
  return static_cast<float>(value);
}

inline float bf16ToF32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

inline uint16_t f32ToBf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline uint16_t f64ToBf16(double value) { return detail::narrow<8, 7>(value); }

inline float f16ToF32(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  uint32_t exponent = (bits >> 10) & 31, mantissa = bits & 0x3ff;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
  if (exponent == 0) {
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

inline uint16_t f32ToF16(float value) { return detail::narrow<5, 10>(value); }
inline uint16_t f64ToF16(double value) { return detail::narrow<5, 10>(value); }

} // namespace fovea::runtime
