// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Philox and quantiles, in operations that IEEE 754 defines exactly. This file is compiled without contraction.
#include "runtime/host/Random.h"

#include <cmath>
#include <limits>

namespace fovea::runtime {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

namespace {

/// log(x) for 0 < x < 1 by the series of atanh; libraries differ in the last bit, and draws must not.
double naturalLog(double x) {
  int exponent;
  double m = std::frexp(x, &exponent); // [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  double s = (m - 1) / (m + 1), square = s * s, sum = 0;
  for (int k = 27; k >= 1; k -= 2) // |s| < 0.1716: the rest is below 1e-22
    sum = sum * square + 1.0 / k;
  return 2 * s * sum + exponent * 0.69314718055994531;
}

template <size_t N> double polynomial(const double (&coefficients)[N], double x) {
  double sum = coefficients[N - 1];
  for (size_t i = N - 1; i-- > 0;)
    sum = sum * x + coefficients[i];
  return sum;
}

} // namespace

double normalQuantile(double p) {
  // Coefficients of PPND16.
  static constexpr double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                 1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                 3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static constexpr double b[] = {1.0,
                                 4.2313330701600911252e+1,
                                 6.8718700749205790830e+2,
                                 5.3941960214247511077e+3,
                                 2.1213794301586595867e+4,
                                 3.9307895800092710610e+4,
                                 2.8729085735721942674e+4,
                                 5.2264952788528545610e+3};
  static constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                 3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double d[] = {1.0,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
  static constexpr double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                                 2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double f[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
  double q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) {
    double r = 0.180625 - q * q;
    return q * polynomial(a, r) / polynomial(b, r);
  }
  double r = std::sqrt(-naturalLog(q < 0 ? p : 1 - p));
  double tail = r <= 5 ? polynomial(c, r - 1.6) / polynomial(d, r - 1.6) : polynomial(e, r - 5) / polynomial(f, r - 5);
  return q < 0 ? -tail : tail;
}

RandomStream::RandomStream(uint64_t seed, std::string_view name)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}, stream_(0xcbf29ce484222325) {
  for (char c : name) // FNV-1a
    stream_ = (stream_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
}

uint64_t RandomStream::bits(uint64_t index) const {
  std::array<uint32_t, 4> block = philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                                          static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                                         key_);
  return block[0] | static_cast<uint64_t>(block[1]) << 32;
}

double RandomStream::uniform(uint64_t index) const { return (static_cast<double>(bits(index) >> 12) + 0.5) * 0x1p-52; }

int64_t RandomStream::integer(uint64_t index, int64_t least, int64_t most) const {
  uint64_t range = static_cast<uint64_t>(most) - static_cast<uint64_t>(least) + 1;
  uint64_t draw = bits(index);
  // The modulus favours small values by at most range / 2^64.
  return static_cast<int64_t>(static_cast<uint64_t>(least) + (range == 0 ? draw : draw % range));
}

const char *patternName(InputPattern pattern) {
  switch (pattern) {
  case InputPattern::Normal:
    return "normal";
  case InputPattern::Uniform:
    return "uniform";
  case InputPattern::Zeros:
    return "zeros";
  case InputPattern::Constant:
    return "constant";
  case InputPattern::LargeLogits:
    return "large-logits";
  case InputPattern::Peaked:
    return "peaked";
  case InputPattern::Rising:
    return "rising";
  case InputPattern::Alternating:
    return "alternating";
  case InputPattern::Tiny:
    return "tiny";
  case InputPattern::Integers:
    return "integers";
  }
  return "?";
}

void fillPattern(Array &array, InputPattern pattern, const RandomStream &stream) {
  const std::vector<int64_t> &shape = array.shape();
  int64_t inner = shape.empty() ? 1 : shape.back();
  int64_t rows = shape.size() < 2 ? 1 : shape[shape.size() - 2];
  double smallest = array.type() == StorageType::F16 ? 0x1p-14 : 0x1p-126;
  for (int64_t i = 0; i < array.elements(); ++i) {
    uint64_t index = static_cast<uint64_t>(i);
    int64_t row = i / inner;
    double value = 0;
    if (array.type() == StorageType::I32) {
      value = pattern == InputPattern::Zeros      ? 0
              : pattern == InputPattern::Constant ? 1
                                                  : static_cast<double>(stream.integer(index, 0, 7));
      array.setValue(i, value);
      continue;
    }
    switch (pattern) {
    case InputPattern::Normal:
      value = stream.normal(index);
      break;
    case InputPattern::Uniform:
      value = 2 * stream.uniform(index) - 1;
      break;
    case InputPattern::Zeros:
      break;
    case InputPattern::Constant:
      value = 0.5;
      break;
    case InputPattern::LargeLogits:
      value = 30 * stream.normal(index);
      break;
    case InputPattern::Peaked:
      value = (row % 8 == 3 ? 20 : 0.1) * stream.normal(index);
      break;
    case InputPattern::Rising:
      value = 0.25 * stream.normal(index) + 4.0 * static_cast<double>(row % rows + 1) / static_cast<double>(rows);
      break;
    case InputPattern::Alternating:
      value = (i % inner % 2 ? -1 : 1) * stream.normal(static_cast<uint64_t>(row));
      break;
    case InputPattern::Tiny:
      value = smallest * stream.normal(index);
      break;
    case InputPattern::Integers:
      value = static_cast<double>(stream.integer(index, -3, 3));
      break;
    }
    array.setValue(i, value);
  }
}

Result<Array> withNanPadding(const Array &array, int64_t pad) {
  std::vector<int64_t> strides(array.shape().size());
  int64_t stride = 1;
  for (size_t d = strides.size(); d-- > 0;) {
    strides[d] = stride;
    int64_t extent;
    if (__builtin_add_overflow(array.shape()[d], pad, &extent) || pad < 0 ||
        __builtin_mul_overflow(stride, extent, &stride))
      return Error{ErrorCode::InvalidArgument, "padding of " + std::to_string(pad) + " overflows 64 bits"};
  }
  double gap = array.type() == StorageType::I32 ? -0x1p31 : std::numeric_limits<double>::quiet_NaN();
  return array.restrided(std::move(strides), gap);
}

} // namespace fovea::runtime
