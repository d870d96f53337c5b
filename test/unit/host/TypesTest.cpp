// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Conversions between the 16-bit types and f32, f64: every 16-bit pattern, every midpoint, and what lies beside it.
#include "runtime/host/Types.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace fovea::runtime;

namespace {

/// Value of a pattern by the definition, without bit tricks.
double valueByDefinition(uint16_t bits, int exponentBits, int mantissaBits) {
  int bias = (1 << (exponentBits - 1)) - 1, top = (1 << exponentBits) - 1;
  int exponent = (bits >> mantissaBits) & top, mantissa = bits & ((1 << mantissaBits) - 1);
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == top)
    return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0)
    return sign * std::ldexp(mantissa, 1 - bias - mantissaBits);
  return sign * std::ldexp(mantissa + (1 << mantissaBits), exponent - bias - mantissaBits);
}

/// Checks one format: `infinity` is its pattern of +infinity.
template <typename Widen, typename Narrow32, typename Narrow64>
void checkFormat(int exponentBits, int mantissaBits, uint16_t infinity, Widen widen, Narrow32 narrow32,
                 Narrow64 narrow64) {
  for (uint32_t pattern = 0; pattern < 0x10000; ++pattern) {
    uint16_t bits = static_cast<uint16_t>(pattern);
    double expected = valueByDefinition(bits, exponentBits, mantissaBits);
    float wide = widen(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << pattern;
      uint16_t quiet = static_cast<uint16_t>(bits | 1 << (mantissaBits - 1));
      ASSERT_EQ(narrow32(wide), quiet) << pattern; // sign and payload stay
      ASSERT_TRUE(std::isnan(widen(narrow64(static_cast<double>(wide))))) << pattern;
      continue;
    }
    ASSERT_EQ(static_cast<double>(wide), expected) << pattern;
    ASSERT_EQ(std::signbit(wide), std::signbit(expected)) << pattern;
    ASSERT_EQ(narrow32(wide), bits) << pattern;
    ASSERT_EQ(narrow64(expected), bits) << pattern;
    if ((bits & 0x7fff) >= infinity)
      continue;
    // Midpoint to the next larger magnitude: above the largest number it is where overflow begins.
    uint16_t next = static_cast<uint16_t>(bits + 1);
    double step = (next & 0x7fff) == infinity
                      ? std::ldexp(1, (1 << (exponentBits - 1)) - 1 - mantissaBits)
                      : std::abs(valueByDefinition(next, exponentBits, mantissaBits) - expected);
    double sign = bits >> 15 ? -1 : 1, midpoint = expected + sign * step / 2;
    uint16_t even = bits & 1 ? next : bits;
    ASSERT_EQ(narrow64(midpoint), even) << pattern;
    ASSERT_EQ(narrow64(std::nextafter(midpoint, sign * 1e300)), next) << pattern;
    ASSERT_EQ(narrow64(std::nextafter(midpoint, 0)), bits) << pattern;
    float midpoint32 = static_cast<float>(midpoint);
    if (static_cast<double>(midpoint32) == midpoint) {
      ASSERT_EQ(narrow32(midpoint32), even) << pattern;
      float up = std::nextafter(midpoint32, static_cast<float>(sign) * std::numeric_limits<float>::infinity());
      ASSERT_EQ(narrow32(up), next) << pattern;
      ASSERT_EQ(narrow32(std::nextafter(midpoint32, 0.0f)), bits) << pattern;
    }
  }
  for (double huge : {1e39, 1e300, std::numeric_limits<double>::max(), std::numeric_limits<double>::infinity()}) {
    ASSERT_EQ(narrow64(huge), infinity);
    ASSERT_EQ(narrow64(-huge), infinity | 0x8000);
  }
  for (double tiny : {std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::min(), 1e-60}) {
    ASSERT_EQ(narrow64(tiny), 0);
    ASSERT_EQ(narrow64(-tiny), 0x8000);
  }
}

} // namespace

TEST(Types, Bf16) { checkFormat(8, 7, 0x7f80, bf16ToF32, f32ToBf16, f64ToBf16); }
TEST(Types, F16) { checkFormat(5, 10, 0x7c00, f16ToF32, f32ToF16, f64ToF16); }

TEST(Types, BothPathsToBf16AgreeOnEveryUpperHalf) {
  // The f32 path is separate code; all exponents and signs with some patterns of the lower half.
  for (uint32_t upper = 0; upper < 0x10000; ++upper)
    for (uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      float value = std::bit_cast<float>(upper << 16 | lower);
      if (!std::isnan(value)) {
        ASSERT_EQ(f32ToBf16(value), f64ToBf16(static_cast<double>(value))) << upper << " " << lower;
      } else {
        ASSERT_TRUE(std::isnan(bf16ToF32(f32ToBf16(value))));
      }
    }
}

TEST(Types, OneRoundingNotTwo) {
  // 1 + 2^-8 + 2^-40 is above the midpoint of bf16; by way of f32 it would become the midpoint and go to even.
  double value = 1 + 0x1p-8 + 0x1p-40;
  EXPECT_EQ(f64ToBf16(value), 0x3f81);
  EXPECT_EQ(f32ToBf16(static_cast<float>(value)), 0x3f80);
}

TEST(Types, F64ToF32AtTheEdgeOfTheRange) {
  double largest = static_cast<double>(std::numeric_limits<float>::max());
  EXPECT_EQ(f64ToF32(largest), std::numeric_limits<float>::max());
  EXPECT_EQ(f64ToF32(0x1.fffffefp127), std::numeric_limits<float>::max());
  EXPECT_EQ(f64ToF32(-0x1.fffffefp127), -std::numeric_limits<float>::max());
  EXPECT_EQ(f64ToF32(0x1.ffffffp127), std::numeric_limits<float>::infinity());
  EXPECT_EQ(f64ToF32(-1e300), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(f64ToF32(-std::numeric_limits<double>::infinity()), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(f64ToF32(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_EQ(f64ToF32(0x1p-149), 0x1p-149f);
}
