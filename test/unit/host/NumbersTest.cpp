// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random draws, input patterns and comparison.
#include "runtime/host/Compare.h"
#include "runtime/host/Random.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <set>

using namespace fovea;
using namespace fovea::runtime;

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();
} // namespace

TEST(Random, PhiloxKnownAnswers) {
  // From the authors' test vectors (Random123, kat_vectors).
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, QuantileInvertsTheDistribution) {
  for (double p = 1e-300; p < 0.5; p *= 1.5) {
    double x = normalQuantile(p);
    EXPECT_NEAR(0.5 * std::erfc(-x / std::sqrt(2)) / p, 1, 1e-12) << p;
    if (p > 1e-3) {
      EXPECT_NEAR(normalQuantile(1 - p), -x, 1e-12);
    }
  }
  EXPECT_EQ(normalQuantile(0.5), 0);
  EXPECT_NEAR(normalQuantile(0.975), 1.959963984540054, 1e-14);
}

TEST(Random, DrawsAreFixedForEver) {
  // Stored results name seeds: these bits must never change.
  RandomStream q(7, "q");
  EXPECT_EQ(q.bits(0), 0x57beef2bec26a113ull);
  EXPECT_EQ(q.bits(1ull << 40), 0x457d7a2edf2e6d1full);
  EXPECT_EQ(q.normal(3), 0x1.20921e6f659eep+1);
}

TEST(Random, StreamsAndSeedsDiffer) {
  std::set<uint64_t> seen;
  for (uint64_t seed : {0ull, 1ull, 1ull << 32})
    for (const char *name : {"", "q", "k", "v"})
      for (uint64_t index = 0; index < 100; ++index)
        EXPECT_TRUE(seen.insert(RandomStream(seed, name).bits(index)).second);
}

TEST(Random, Moments) {
  RandomStream stream(1, "x");
  double mean = 0, square = 0, fourth = 0, uniform = 0;
  constexpr int n = 200000;
  for (int i = 0; i < n; ++i) {
    double x = stream.normal(static_cast<uint64_t>(i)), u = stream.uniform(static_cast<uint64_t>(i));
    ASSERT_TRUE(u > 0 && u < 1);
    mean += x;
    square += x * x;
    fourth += x * x * x * x;
    uniform += u;
    int64_t k = stream.integer(static_cast<uint64_t>(i), -2, 2);
    ASSERT_TRUE(k >= -2 && k <= 2);
  }
  EXPECT_NEAR(mean / n, 0, 0.01);
  EXPECT_NEAR(square / n, 1, 0.015);
  EXPECT_NEAR(fourth / n, 3, 0.1);
  EXPECT_NEAR(uniform / n, 0.5, 0.003);
}

TEST(Patterns, AreFiniteDistinctAndReproducible) {
  std::set<std::vector<double>> seen;
  std::set<std::string> names;
  for (InputPattern pattern : kAllPatterns) {
    Result<Array> a = Array::create(StorageType::BF16, {2, 16, 8}), b = Array::create(StorageType::BF16, {2, 16, 8});
    fillPattern(*a, pattern, RandomStream(3, "q"));
    fillPattern(*b, pattern, RandomStream(3, "q"));
    std::vector<double> values = a->toDoubles();
    EXPECT_EQ(values, b->toDoubles());
    for (double value : values)
      EXPECT_TRUE(std::isfinite(value));
    EXPECT_TRUE(seen.insert(values).second) << patternName(pattern);
    EXPECT_TRUE(names.insert(patternName(pattern)).second);
    Result<Array> integers = Array::create(StorageType::I32, {16});
    fillPattern(*integers, pattern, RandomStream(3, "q"));
    for (double value : integers->toDoubles())
      EXPECT_TRUE(value >= 0 && value <= 7);
  }
  auto largest = [](InputPattern pattern) {
    Result<Array> a = Array::create(StorageType::F16, {64, 8});
    fillPattern(*a, pattern, RandomStream(3, "q"));
    double most = 0;
    for (double value : a->toDoubles())
      most = std::max(most, std::abs(value));
    return most;
  };
  EXPECT_GT(largest(InputPattern::LargeLogits), 60);
  EXPECT_EQ(largest(InputPattern::Zeros), 0);
  EXPECT_LT(largest(InputPattern::Tiny), 0x1p-10);
  EXPECT_GT(largest(InputPattern::Tiny), 0);
}

TEST(Patterns, PaddingIsNan) {
  Result<Array> array = Array::create(StorageType::BF16, {2, 3, 4});
  fillPattern(*array, InputPattern::Normal, RandomStream(1, "q"));
  Result<Array> padded = withNanPadding(*array, 8);
  ASSERT_TRUE(padded.ok());
  EXPECT_EQ(padded->strides(), (std::vector<int64_t>{12 * 11, 12, 1}));
  EXPECT_EQ(padded->toDoubles(), array->toDoubles());
  int64_t span = static_cast<int64_t>(padded->bytes().size()) / 2, nans = 0;
  for (int64_t i = 0; i < span; ++i)
    nans += std::isnan(padded->valueAt(i));
  EXPECT_EQ(nans, span - 24);
  EXPECT_GT(nans, 0);
  EXPECT_FALSE(withNanPadding(*array, -1).ok());
  EXPECT_FALSE(withNanPadding(*array, INT64_MAX).ok());
  Result<Array> integers = withNanPadding(*Array::create(StorageType::I32, {2, 2}), 1);
  EXPECT_EQ(integers->valueAt(2), -0x1p31);
}

TEST(Compare, Numbers) {
  std::vector<double> reference = {3, 4, 0, -1}, result = {3, 4.5, 0, -1};
  CompareOptions options;
  Comparison c = *compare(result, reference, options);
  EXPECT_FALSE(c.passed);
  EXPECT_NEAR(c.relative2, 0.5 / std::sqrt(26), 1e-15);
  EXPECT_EQ(c.maxAbsolute, 0.5);
  EXPECT_EQ(c.maxIndex, 1);
  EXPECT_EQ(c.firstOffending, 1);
  EXPECT_EQ(c.offending, 1);
  options.absolute = 0.5;
  EXPECT_TRUE(compare(result, reference, options)->passed);
  options = {};
  options.relative = 0.124;
  EXPECT_FALSE(compare(result, reference, options)->passed);
  options.relative = 0.125;
  EXPECT_TRUE(compare(result, reference, options)->passed);
  options = {};
  options.relative2 = 0.1;
  EXPECT_TRUE(compare(result, reference, options)->passed);
  options.relative2 = 0.09;
  EXPECT_FALSE(compare(result, reference, options)->passed);
  std::vector<double> condition = {1, 10, 0, 1};
  options = {};
  options.condition = condition;
  options.conditioned = 0.05;
  c = *compare(result, reference, options);
  EXPECT_TRUE(c.passed);
  EXPECT_NEAR(c.maxConditioned, 0.05, 1e-15);
  result[2] = 1e-9;
  c = *compare(result, reference, options);
  EXPECT_FALSE(c.passed);
  EXPECT_EQ(c.maxConditioned, kInfinity);
  EXPECT_EQ(c.firstOffending, 2);
  EXPECT_FALSE(compare(result, std::vector<double>{1}).ok());
  options.condition = std::span<const double>(condition).first(2);
  EXPECT_FALSE(compare(result, reference, options).ok());
  EXPECT_TRUE(compare({}, {})->passed);
}

TEST(Compare, NansAndInfinities) {
  CompareOptions loose;
  loose.absolute = 1e9;
  std::vector<double> reference = {1, -kInfinity, kInfinity, 2, kNan};
  EXPECT_TRUE(compare(std::vector<double>{1, -kInfinity}, std::span(reference).first(2), loose)->passed);
  Comparison c = *compare(std::vector<double>{1, kInfinity, 5, kNan, kNan}, reference, loose);
  EXPECT_FALSE(c.passed);
  EXPECT_EQ(c.infinityMismatches, 2);
  EXPECT_EQ(c.nanCount, 2);
  EXPECT_EQ(c.referenceNanCount, 1);
  EXPECT_EQ(c.firstOffending, 1);
  EXPECT_EQ(c.relative2, 0);
  std::string line = c.format(std::vector<int64_t>{5, 1});
  EXPECT_NE(line.find("2 NaN, 1 NaN in the reference, 2 infinities that do not agree"), std::string::npos) << line;
  EXPECT_NE(line.find("4 of 5 out of tolerance, first at [1, 0]: inf instead of -inf"), std::string::npos) << line;
  // A 2-norm that would pass does not hide a NaN.
  CompareOptions norm;
  norm.relative2 = 1;
  EXPECT_FALSE(compare(std::vector<double>{1, kNan}, std::vector<double>{1, 1}, norm)->passed);
  EXPECT_FALSE(compare(std::vector<double>{1, kInfinity}, std::vector<double>{1, 1}, norm)->passed);
}

TEST(Compare, AMagnitudeThatIsNanAllowsNothing) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> reference{1, 2}, condition{nan, nan};
  CompareOptions options;
  options.conditioned = 1;
  options.condition = condition;
  EXPECT_TRUE(compare(reference, reference, options)->passed);
  EXPECT_EQ(compare(std::vector<double>{1, 2.5}, reference, options)->offending, 1);
}

TEST(Compare, NormsNeitherOverflowNorUnderflow) {
  EXPECT_NEAR(compare(std::vector<double>{1.5e300, 1e300}, std::vector<double>{1e300, 1e300})->relative2,
              0.5 / std::sqrt(2), 1e-12);
  EXPECT_NEAR(compare(std::vector<double>{2e-300}, std::vector<double>{1e-300})->relative2, 1, 1e-12);
}
