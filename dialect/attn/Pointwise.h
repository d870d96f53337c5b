// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The pointwise functions of the attn dialect at one point, in float64: what folding and the reference compute.
#pragma once

#include <cmath>
#include <limits>

namespace fovea::attn::pointwise {

inline double neg_(double x) { return -x; }
inline double abs_(double x) { return std::fabs(x); }
inline double sign_(double x) { return x > 0 ? 1 : x < 0 ? -1 : x == 0 ? 0 : x; }
inline double exp_(double x) { return std::exp(x); }
inline double exp2_(double x) { return std::exp2(x); }
inline double expm1_(double x) { return std::expm1(x); }
inline double log_(double x) { return std::log(x); }
inline double log2_(double x) { return std::log2(x); }
inline double log1p_(double x) { return std::log1p(x); }
inline double sqrt_(double x) { return std::sqrt(x); }
inline double rsqrt_(double x) { return 1 / std::sqrt(x); }
inline double sin_(double x) { return std::sin(x); }
inline double cos_(double x) { return std::cos(x); }
inline double tanh_(double x) { return std::tanh(x); }
// Both branches take the exponential of a number that is not positive: it cannot overflow.
inline double sigmoid_(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
// x sigmoid(x) would be -inf * 0 at -inf; the limit is 0.
inline double silu_(double x) { return x == -std::numeric_limits<double>::infinity() ? 0 : x * sigmoid_(x); }
inline double softplus_(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
inline double log_sigmoid_(double x) { return -softplus_(-x); }
inline double relu_(double x) { return x < 0 ? 0 : x; }
inline double elu_(double x) { return x > 0 ? x : std::expm1(x); }
inline double gelu_(double x) {
  return x == -std::numeric_limits<double>::infinity() ? 0 : 0.5 * x * std::erfc(-x * 0.70710678118654752440);
}
/// As a conversion to an int of 32 bits.
inline double saturate32(double x) {
  return x != x ? 0 : x < -2147483648.0 ? -2147483648.0 : x > 2147483647.0 ? 2147483647.0 : x;
}
inline double floor_(double x) { return saturate32(std::floor(x)); }
inline double round_(double x) { return saturate32(std::nearbyint(x)); } // half to even: the default rounding mode
inline double not_(double x) { return x == 0; }
inline double to_real_(double x) { return x; }

inline double add_(double a, double b) { return a + b; }
inline double sub_(double a, double b) { return a - b; }
inline double mul_(double a, double b) { return a * b; }
inline double div_(double a, double b) { return a / b; }
// fmod is exact, a quotient need not be. The remainder has the sign of b. By 0 both are 0, so that no bad operand stops
// a computation.
inline double mod_(double a, double b) {
  if (b == 0)
    return 0;
  double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
inline double floordiv_(double a, double b) { return b == 0 ? 0 : (a - mod_(a, b)) / b; }
inline double pow_(double a, double b) { return std::pow(a, b); }
inline double min_(double a, double b) { return a < b || a != a ? a : b; }
inline double max_(double a, double b) { return a > b || a != a ? a : b; }
inline double logaddexp_(double a, double b) {
  if (a == b) // infinities included, whose difference is NaN
    return a + 0.69314718055994530942;
  double m = max_(a, b);
  return m + std::log1p(std::exp(-std::fabs(a - b)));
}
inline double and_(double a, double b) { return a != 0 && b != 0; }
inline double or_(double a, double b) { return a != 0 || b != 0; }
inline double eq_(double a, double b) { return a == b; }
inline double ne_(double a, double b) { return a != b; }
inline double lt_(double a, double b) { return a < b; }
inline double le_(double a, double b) { return a <= b; }
inline double gt_(double a, double b) { return a > b; }
inline double ge_(double a, double b) { return a >= b; }

inline double select_(double c, double a, double b) { return c != 0 ? a : b; }

} // namespace fovea::attn::pointwise
