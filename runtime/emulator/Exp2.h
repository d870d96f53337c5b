// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// 2^x for a warp: computed in double and rounded once, so that the result is the same on every host and within
// 2^-24 relative of the true value.
#pragma once

#include "runtime/emulator/Half.h"

#include <bit>
#include <cstdint>

namespace fovea::emulator {

/// 2^x in double for x clamped to [-160, 140]; relative error below 2^-40. NaN gives an unspecified value.
[[gnu::always_inline]] inline double exp2Double(double x) {
  x = x < -160.0 ? -160.0 : x;
  x = x > 140.0 ? 140.0 : x;
  // Adding 1.5*2^52 leaves the nearest integer in the low bits.
  const double shifted = x + 0x1.8p52;
  const double f = (x - (shifted - 0x1.8p52)) * 0x1.62e42fefa39efp-1; // times ln 2, |f| <= 0.3466
  // Taylor series of e^f to f^10: the next term is below 2^-41.
  double p = 1.0 / 3628800;
  p = p * f + 1.0 / 362880;
  p = p * f + 1.0 / 40320;
  p = p * f + 1.0 / 5040;
  p = p * f + 1.0 / 720;
  p = p * f + 1.0 / 120;
  p = p * f + 1.0 / 24;
  p = p * f + 1.0 / 6;
  p = p * f + 0.5;
  p = p * f + 1.0;
  p = p * f + 1.0;
  const uint64_t scale = (std::bit_cast<uint64_t>(shifted) << 52);
  return std::bit_cast<double>(std::bit_cast<uint64_t>(p) + scale);
}

} // namespace fovea::emulator
