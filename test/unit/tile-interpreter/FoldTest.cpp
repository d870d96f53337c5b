// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile.fold and its domain against attention written out row by row, without tiles and without a running maximum.
#include "runtime/host/Random.h"
#include "test/unit/tile-interpreter/Program.h"

#include <cmath>
#include <limits>

using namespace fovea;
using namespace fovea::tile;

namespace {

// Window attention over keys [i + S - T - 20, i + S - T], with three terms: the weights times v, the weights times a
// coefficient times v, and the coefficient alone. Nothing is divided.
const char *text = R"(
tile.program @fold {
  %T = tile.axis "T"
  %S = tile.axis "S"
  %q = tile.tensor "q" "input" ["T", "D"] : !tile.view<?x8xbf16>
  %k = tile.tensor "k" "input" ["S", "D"] : !tile.view<?x8xbf16>
  %v = tile.tensor "v" "input" ["S", "V"] : !tile.view<?x4xbf16>
  %m = tile.tensor "m" "output" ["T"] : !tile.view<?xf32>
  %l = tile.tensor "l" "output" ["T"] : !tile.view<?xf32>
  %u = tile.tensor "u" "output" ["T", "V"] : !tile.view<?x4xf32>
  %cu = tile.tensor "cu" "output" ["T", "V"] : !tile.view<?x4xf32>
  %cs = tile.tensor "cs" "output" ["T"] : !tile.view<?xf32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %c20 = arith.constant 20 : index
  %nt = arith.ceildivui %T, %c16 : index
  %shift = arith.subi %S, %T : index
  tile.launch "fold" ["T"] (%t = %nt) {
    %scale = arith.constant 0.5 : f32
    %zero = arith.constant dense<0.0> : tensor<16x8xf32>
    %i0 = arith.muli %t, %c16 : index
    %first = arith.addi %i0, %shift : index
    %lo = arith.subi %first, %c20 : index
    %hi = arith.addi %first, %c16 : index
    // Full for all queries: from the last query's first key to the first query's last.
    %flo = arith.subi %hi, %c20 : index
    %fhi = arith.addi %first, %c1 : index
    %qt = tile.load %q[%i0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x8xbf16> -> tensor<16x8xbf16>
    %dom = tile.domain ranges (%lo to %hi) full (%flo to %fhi) limit %S step 8
    %fm, %fl, %fu, %fcu, %fcs = tile.fold %dom scale %scale (%j0) {
      %kt = tile.load %k[%j0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x8xbf16> -> tensor<8x8xbf16>
      %vt = tile.load %v[%j0, %c0] dims [0, 1] pad 0.0 : bf16 : !tile.view<?x4xbf16> -> tensor<8x4xbf16>
      %s = tile.dot %qt, %kt, %zero contract [1, 1] : tensor<16x8xbf16>, tensor<8x8xbf16> -> tensor<16x8xf32>
      %c = math.sin %s : tensor<16x8xf32>
      tile.fold_yield %s coefficients (%c : tensor<16x8xf32>) values (%vt : tensor<8x4xbf16>) terms [-1, 0, 0] * [0, 0, -1] : tensor<16x8xf32>
    } mask (%j0) {
      %i = tile.iota %first : tensor<16xi32>
      %j = tile.iota %j0 : tensor<8xi32>
      %bi = tile.broadcast %i dims [0] : tensor<16xi32> -> tensor<16x8xi32>
      %bj = tile.broadcast %j dims [1] : tensor<8xi32> -> tensor<16x8xi32>
      %n = arith.index_cast %S : index to i32
      %bn = tile.splat %n : i32 -> tensor<16x8xi32>
      %w = arith.constant dense<20> : tensor<16x8xi32>
      %bl = arith.subi %bi, %w : tensor<16x8xi32>
      %before = arith.cmpi sle, %bj, %bi : tensor<16x8xi32>
      %after = arith.cmpi sge, %bj, %bl : tensor<16x8xi32>
      %inside = arith.cmpi slt, %bj, %bn : tensor<16x8xi32>
      %both = arith.andi %before, %inside : tensor<16x8xi1>
      %all = arith.andi %both, %after : tensor<16x8xi1>
      tile.mask_yield %all : tensor<16x8xi1>
    } : tensor<16xf32>, tensor<16xf32>, tensor<16x4xf32>, tensor<16x4xf32>, tensor<16xf32>
    tile.store %fm, %m[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
    tile.store %fl, %l[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
    tile.store %fu, %u[%i0, %c0] dims [0, 1] : tensor<16x4xf32>, !tile.view<?x4xf32>
    tile.store %fcu, %cu[%i0, %c0] dims [0, 1] : tensor<16x4xf32>, !tile.view<?x4xf32>
    tile.store %fcs, %cs[%i0] dims [0] : tensor<16xf32>, !tile.view<?xf32>
  }
}
)";

Tensor draw(const std::vector<int64_t> &shape, const char *name) {
  Tensor tensor{shape, {}};
  runtime::RandomStream stream(7, name);
  for (int64_t i = 0; i < shape[0] * shape[1]; ++i)
    // Multiples of 1/64: exact in bf16.
    tensor.data.push_back(std::round(stream.normal(i) * 16) / 64 * 4);
  return tensor;
}

class Fold : public testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(Fold, EqualsItsDefinition) {
  auto [T, S] = GetParam();
  std::map<std::string, Tensor> tensors = {
      {"q", draw({T, 8}, "q")}, {"k", draw({S, 8}, "k")}, {"v", draw({S, 4}, "v")}};
  Program program(text);
  ASSERT_EQ(program.run({{"T", T}, {"S", S}}, tensors), "");
  const double infinity = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < T; ++i) {
    std::vector<double> scores;
    std::vector<int64_t> keys;
    double max = -infinity;
    for (int64_t j = std::max<int64_t>(0, i + S - T - 20); j <= std::min(S - 1, i + S - T); ++j) {
      double s = 0;
      for (int64_t d = 0; d < 8; ++d)
        s += tensors["q"].data[i * 8 + d] * tensors["k"].data[j * 8 + d];
      scores.push_back(s);
      keys.push_back(j);
      max = std::max(max, s);
    }
    double sum = 0, coefficients = 0, values[4] = {}, weighed[4] = {};
    for (size_t n = 0; n < keys.size(); ++n) {
      double w = std::exp(0.5 * (scores[n] - max)), c = std::sin(scores[n]);
      sum += w;
      coefficients += w * c;
      for (int64_t d = 0; d < 4; ++d) {
        values[d] += w * tensors["v"].data[keys[n] * 4 + d];
        weighed[d] += w * c * tensors["v"].data[keys[n] * 4 + d];
      }
    }
    EXPECT_EQ(tensors["m"].data[i], max);
    EXPECT_NEAR(tensors["l"].data[i], sum, 1e-12 * sum);
    EXPECT_NEAR(tensors["cs"].data[i], coefficients, 1e-12 * (1 + sum));
    for (int64_t d = 0; d < 4; ++d) {
      EXPECT_NEAR(tensors["u"].data[i * 4 + d], values[d], 1e-11 * (1 + sum));
      EXPECT_NEAR(tensors["cu"].data[i * 4 + d], weighed[d], 1e-11 * (1 + sum));
    }
  }
}

// One query, tails, T != S in both directions: with T > S the first rows have no keys.
INSTANTIATE_TEST_SUITE_P(Sizes, Fold,
                         testing::Values(std::pair{1, 1}, std::pair{64, 64}, std::pair{37, 37}, std::pair{5, 90},
                                         std::pair{70, 33}, std::pair{16, 8}));

TEST(Fold, RowsWithoutKeysHaveTheEmptyState) {
  std::map<std::string, Tensor> tensors = {
      {"q", draw({40, 8}, "q")}, {"k", draw({3, 8}, "k")}, {"v", draw({3, 4}, "v")}};
  Program program(text);
  ASSERT_EQ(program.run({{"T", 40}, {"S", 3}}, tensors), "");
  EXPECT_EQ(tensors["m"].data[0], -std::numeric_limits<double>::infinity());
  EXPECT_EQ(tensors["l"].data[0], 0);
  EXPECT_EQ(tensors["u"].data[0], 0);
  EXPECT_EQ(tensors["cs"].data[0], 0);
  EXPECT_GT(tensors["l"].data[39], 0);
}

// f32 arithmetic stays within f32's error of the exact run, and is not the exact run.
TEST(Fold, PrecisionsDifferByTheirRounding) {
  std::map<std::string, Tensor> exact = {
      {"q", draw({64, 8}, "q")}, {"k", draw({64, 8}, "k")}, {"v", draw({64, 4}, "v")}};
  auto single = exact, rounded = exact;
  Program program(text);
  RunOptions options;
  ASSERT_EQ(program.run({{"T", 64}, {"S", 64}}, exact), "");
  options.precision = Precision::F32;
  ASSERT_EQ(program.run({{"T", 64}, {"S", 64}}, single, options), "");
  options.precision = Precision::Rounded;
  ASSERT_EQ(program.run({{"T", 64}, {"S", 64}}, rounded, options), "");
  double worst = 0, worstRounded = 0, size = 0;
  for (size_t i = 0; i < exact["u"].data.size(); ++i) {
    size = std::max(size, std::fabs(exact["u"].data[i]));
    worst = std::max(worst, std::fabs(single["u"].data[i] - exact["u"].data[i]));
    worstRounded = std::max(worstRounded, std::fabs(rounded["u"].data[i] - exact["u"].data[i]));
    EXPECT_EQ(double(float(single["u"].data[i])), single["u"].data[i]);
  }
  EXPECT_GT(worst, 0);
  EXPECT_LT(worst, 1e-5 * size);
  // Weights are rounded to the type of the values before the product.
  EXPECT_GT(worstRounded, 1e-5 * size);
  EXPECT_LT(worstRounded, 1e-2 * size);
}

} // namespace
