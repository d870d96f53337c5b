// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Narrowing of a double to the small formats.
#include "runtime/emulator/Half.h"

namespace fovea::emulator {

uint64_t narrowMagnitude(double value, int fraction, int emin, Round mode) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const bool negative = bits >> 63;
  int exponent = int((bits >> 52) & 0x7ff) - 1023;
  uint64_t significand = bits & ((1ull << 52) - 1);
  if (exponent == -1023)
    exponent = -1022; // zero or a subnormal double: far below every target
  else
    significand |= 1ull << 52;
  // Bits below the last place of the target.
  int drop = 52 - fraction;
  if (exponent < emin)
    drop += emin - exponent;
  if (drop > 62)
    drop = 62;
  uint64_t kept = significand >> drop;
  const uint64_t rest = significand & ((1ull << drop) - 1), half = 1ull << (drop - 1);
  bool up = false;
  switch (mode) {
  case Round::Nearest:
    up = rest > half || (rest == half && (kept & 1));
    break;
  case Round::NearestAway:
    up = rest >= half;
    break;
  case Round::Zero:
    break;
  case Round::Down:
    up = negative && rest;
    break;
  case Round::Up:
    up = !negative && rest;
    break;
  }
  kept += up;
  // A carry into the exponent gives the next binade by itself.
  return exponent < emin ? kept : kept + (uint64_t(exponent - emin) << fraction);
}

uint32_t narrow(double value, int fraction, int emin, int emax, Round mode) {
  const bool negative = std::signbit(value);
  const int exponentBits = emax == 15 ? 5 : 8;
  const uint32_t sign = uint32_t(negative) << (fraction + exponentBits);
  const uint32_t infinity = ((1u << exponentBits) - 1) << fraction;
  if (std::isinf(value))
    return sign | infinity;
  const uint64_t code = narrowMagnitude(value, fraction, emin, mode);
  if (code < infinity)
    return sign | uint32_t(code);
  const bool toLargest = mode == Round::Zero || (mode == Round::Down && !negative) || (mode == Round::Up && negative);
  return sign | (toLargest ? infinity - 1 : infinity);
}

uint8_t doubleToFp8(double value, bool e5m2) {
  if (std::isnan(value))
    return 0x7f;
  const uint8_t sign = std::signbit(value) ? 0x80 : 0, largest = e5m2 ? 0x7b : 0x7e;
  if (std::isinf(value))
    return sign | largest;
  const uint64_t code =
      e5m2 ? narrowMagnitude(value, 2, -14, Round::Nearest) : narrowMagnitude(value, 3, -6, Round::Nearest);
  return sign | (code > largest ? largest : uint8_t(code));
}

double fp8ToDouble(uint8_t code, bool e5m2) {
  if (e5m2)
    return f16ToFloat(uint16_t(code << 8));
  const int exponent = (code >> 3) & 15, fraction = code & 7;
  double v = exponent == 0 ? fraction * 0x1p-9 : (8 + fraction) * std::ldexp(1.0, exponent - 10);
  if ((code & 0x7f) == 0x7f)
    v = std::nan("");
  return code & 0x80 ? -v : v;
}

} // namespace fovea::emulator
