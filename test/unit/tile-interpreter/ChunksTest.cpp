// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recurrences, and what their chunk form is made of, in the tile interpreter.
#include "test/unit/tile-interpreter/Program.h"

#include <cmath>
#include <tuple>

using namespace fovea::tile;

namespace {

using Data = std::vector<double>;

/// A launch over `body`, which reads %x, [rows, columns] in f32, and stores into %r of `shape`.
std::string program(int64_t rows, int64_t columns, std::vector<int64_t> shape, const std::string &body) {
  auto view = [](std::vector<int64_t> sizes, std::string &names) {
    std::string type = "!tile.view<";
    for (size_t k = 0; k < sizes.size(); ++k) {
      names += (k ? ", \"" : "\"") + std::to_string(sizes[k]) + '"';
      type += std::to_string(sizes[k]) + 'x';
    }
    return type + "f32>";
  };
  std::string xNames, rNames, x = view({rows, columns}, xNames), r = view(shape, rNames);
  return "tile.program @p {\n%c0 = arith.constant 0 : index\n%x = tile.tensor \"x\" \"input\" [" + xNames + "] : " + x +
         "\n%r = tile.tensor \"r\" \"output\" [" + rNames + "] : " + r + "\ntile.launch \"a\" [] () {\n" + body +
         "\n}\n}\n";
}

Data run(const std::string &text, Tensor x, Precision precision = Precision::Exact) {
  Program program(text);
  std::map<std::string, Tensor> tensors = {{"x", std::move(x)}};
  RunOptions options;
  options.precision = precision;
  EXPECT_EQ(program.run({}, tensors, options), "") << text;
  return tensors["r"].data;
}

std::string type(int64_t rows, int64_t columns) {
  return "tensor<" + std::to_string(rows) + "x" + std::to_string(columns) + "xf32>";
}
std::string load(int64_t rows, int64_t columns) {
  return "%t = tile.load %x[%c0, %c0] dims [0, 1] pad 0.0 : f32 : !tile.view<" + std::to_string(rows) + "x" +
         std::to_string(columns) + "xf32> -> " + type(rows, columns) + "\n";
}
std::string store(int64_t rows, int64_t columns) {
  return "\ntile.store %y, %r[%c0, %c0] dims [0, 1] : " + type(rows, columns) + ", !tile.view<" + std::to_string(rows) +
         "x" + std::to_string(columns) + "xf32>";
}

TEST(Chunks, Transpose) {
  Data y = run(
      program(2, 3, {3, 2}, load(2, 3) + "%y = tile.transpose %t : " + type(2, 3) + " -> " + type(3, 2) + store(3, 2)),
      {{2, 3}, {1, 2, 3, 4, 5, 6}});
  EXPECT_EQ(y, (Data{1, 4, 2, 5, 3, 6}));
}

TEST(Chunks, ScanFromTheEnd) {
  Data y = run(program(2, 3, {2, 3},
                       load(2, 3) + "%y, %s = tile.scan %t dim 1 reverse : " + type(2, 3) + " -> " + type(2, 3) +
                           ", tensor<2xf32>" + store(2, 3)),
               {{2, 3}, {1, 2, 3, 10, 20, 30}});
  EXPECT_EQ(y, (Data{6, 5, 3, 60, 50, 30}));
}

TEST(Chunks, InverseOfAUnitTriangle) {
  constexpr int64_t n = 5;
  double nan = std::nan("");
  for (bool reverse : {false, true}) {
    Tensor l{{n, n}, Data(n * n, nan)}; // what is not read may be NaN
    for (int64_t r = 0; r < n; ++r)
      for (int64_t c = 0; c < n; ++c)
        if (reverse ? c > r : c < r)
          l.data[r * n + c] = 0.25 * double(r * 3 + c * 5 % 7) - 1;
    Data x = run(program(n, n, {n, n},
                         load(n, n) + "%y = tile.unit_tril_inverse %t " + (reverse ? "reverse" : "") + " : " +
                             type(n, n) + store(n, n)),
                 l);
    // (I + L) X is the identity.
    for (int64_t r = 0; r < n; ++r)
      for (int64_t c = 0; c < n; ++c) {
        double sum = x[r * n + c];
        for (int64_t k = 0; k < n; ++k)
          if (reverse ? k > r : k < r)
            sum += l.data[r * n + k] * x[k * n + c];
        EXPECT_NEAR(sum, r == c, 1e-12) << r << ", " << c;
        if (reverse ? c < r : c > r) {
          EXPECT_EQ(x[r * n + c], 0);
        }
      }
  }
}

TEST(Chunks, InverseRoundsItsResult) {
  // 1/3 is no float; the inverse's one element is its negative.
  std::string text = program(2, 2, {2, 2}, load(2, 2) + "%y = tile.unit_tril_inverse %t : " + type(2, 2) + store(2, 2));
  EXPECT_EQ(run(text, {{2, 2}, {0, 0, 1.0 / 3, 0}})[2], -1.0 / 3);
  EXPECT_EQ(run(text, {{2, 2}, {0, 0, 1.0 / 3, 0}}, Precision::F32)[2], -double(float(1.0 / 3)));
}

TEST(Chunks, InverseMergesBlocksInTf32) {
  // One element below the diagonal's blocks of 16, beside the ones of those: X = I - L, with L in 11 significant bits.
  constexpr int64_t n = 48;
  for (bool reverse : {false, true}) {
    std::string flags = reverse ? "reverse " : "";
    std::string text = program(n, n, {n, n},
                               load(n, n) + "%y = tile.unit_tril_inverse %t " + flags +
                                   "precision \"tf32\" : " + type(n, n) + store(n, n));
    for (auto [r, c, rounded] : {std::tuple(40, 3, true), std::tuple(20, 2, true), std::tuple(40, 33, false)}) {
      int64_t at = reverse ? n * n - 1 - (r * n + c) : r * n + c;
      Tensor l{{n, n}, Data(n * n, 0.0)};
      l.data[at] = 1 + 0x1p-11 + 0x1p-12;
      EXPECT_EQ(run(text, l, Precision::F32)[at], rounded ? -(1 + 0x1p-10) : -l.data[at]) << r << ", " << c;
      EXPECT_EQ(run(text, l)[at], -l.data[at]) << r << ", " << c; // exact: nothing is rounded
    }
  }
}

/// r[i, j] by its definition; g are running sums.
double decayed(const Data &a, const Data &g, int64_t features, int64_t i, int64_t from, int64_t j) {
  double sum = 0;
  for (int64_t d = 0; d < features; ++d)
    sum += a[i * features + d] * a[j * features + d] * std::exp2(g[from * features + d] - g[j * features + d]);
  return sum;
}

TEST(Chunks, ProductsWithDecay) {
  constexpr int64_t rows = 4, features = 3;
  Data a(rows * features), g(rows * features);
  for (int64_t k = 0; k < rows * features; ++k) {
    a[k] = double(k % 5) - 1.5;
    g[k] = -double((k * 7) % 4);
  }
  for (auto [reverse, bounded] : {std::pair(false, false), {false, true}, {true, false}, {true, true}}) {
    Data sums = g;
    for (int64_t n = 1; n < rows; ++n)
      for (int64_t d = 0; d < features; ++d) {
        int64_t r = reverse ? rows - 1 - n : n, before = reverse ? r + 1 : r - 1;
        sums[r * features + d] += sums[before * features + d];
      }
    for (std::string mode : {"", "strict", "exclusive"}) {
      Tensor x{{2 * rows, features}, a};
      x.data.insert(x.data.end(), sums.begin(), sums.end());
      std::string body = load(2 * rows, features) + "%a = tile.slice %t dim 0 offset 0 : " + type(2 * rows, features) +
                         " -> " + type(rows, features) + "\n%g = tile.slice %t dim 0 offset " + std::to_string(rows) +
                         " : " + type(2 * rows, features) + " -> " + type(rows, features) +
                         "\n%y = tile.decayed_dot %a, %a, %g " + mode + (reverse ? " reverse" : "") +
                         (bounded ? " bounded : " : " : ") + type(rows, features) + ", " + type(rows, features) + ", " +
                         type(rows, features) + " -> " + type(rows, rows) + store(rows, rows);
      Data y = run(program(2 * rows, features, {rows, rows}, body), x);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < rows; ++j) {
          bool counts = reverse ? j > i : j < i;
          int64_t from = mode == "exclusive" ? (reverse ? i + 1 : i - 1) : i;
          double expected = counts || (i == j && mode.empty()) ? decayed(a, sums, features, i, from, j) : 0;
          EXPECT_NEAR(y[i * rows + j], expected, 1e-12) << mode << reverse << ": " << i << ", " << j;
        }
    }
  }
}

/// To the bits of a bf16.
double nearest(double x) {
  int exponent;
  double fraction = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

TEST(Chunks, BoundedProductsAreRoundedAtTheMiddle) {
  constexpr int64_t rows = 32;
  Tensor x{{2 * rows, 1}, Data(rows, 1)};
  for (int64_t r = 0; r < rows; ++r)
    x.data.push_back(double(float(-0.3 * double(r + 1))));
  auto g = [&](int64_t r) { return x.data[rows + r]; };
  std::string half = "tensor<32x1xbf16>", slice = "= tile.slice %t dim 0 offset ";
  for (bool bounded : {false, true}) {
    std::string body = load(2 * rows, 1) + "%w " + slice + "0 : " + type(2 * rows, 1) + " -> " + type(rows, 1) +
                       "\n%g " + slice + "32 : " + type(2 * rows, 1) + " -> " + type(rows, 1) +
                       "\n%a = arith.truncf %w : " + type(rows, 1) + " to " + half +
                       "\n%y = tile.decayed_dot %a, %a, %g " + (bounded ? "bounded : " : ": ") + half + ", " + half +
                       ", " + type(rows, 1) + " -> " + type(rows, rows) + store(rows, rows);
    Data y = run(program(2 * rows, 1, {rows, rows}, body), x, Precision::Rounded);
    auto at = [&](int64_t i, int64_t j, int64_t anchor) {
      return double(float(nearest(std::exp2(g(i) - g(anchor))) * nearest(std::exp2(g(anchor) - g(j)))));
    };
    EXPECT_EQ(y[0], bounded ? at(0, 0, 8) : 1);
    EXPECT_EQ(y[5 * rows + 2], bounded ? at(5, 2, 8) : double(float(std::exp2(g(5) - g(2)))));
    EXPECT_EQ(y[14 * rows + 1], at(14, 1, 8));
    EXPECT_EQ(y[30 * rows + 3], at(30, 3, bounded ? 24 : 16));
  }
  EXPECT_NE(nearest(std::exp2(g(0) - g(8))) * nearest(std::exp2(g(8) - g(0))), 1);
}

/// The states s = 2 s + first token, beginning with 1, over chunks of 2 tokens from `lo` to `hi`.
std::string recurrence(int64_t lo, int64_t hi, bool reverse) {
  return program(1, 1, {1},
                 "%lo = arith.constant " + std::to_string(lo) + " : index\n%hi = arith.constant " + std::to_string(hi) +
                     R"( : index
  %one = arith.constant 1.0 : f32
  %two = arith.constant 2.0 : f32
  %y, %last = tile.recurrence from %lo to %hi step 2 )" +
                     (reverse ? "reverse " : "") + R"(init (%one, %one : f32, f32) {
  ^bb0(%start: index, %s: f32, %before: f32):
    %n = arith.index_cast %start : index to i32
    %f = arith.sitofp %n : i32 to f32
    %m = arith.mulf %s, %two : f32
    %next = arith.addf %m, %f : f32
    tile.recurrence_yield %next, %s : f32, f32
  }
  tile.store_scalar %y, %r[%c0] : f32, !tile.view<1xf32>)");
}

TEST(Chunks, RecurrenceInOrder) {
  Tensor x{{1, 1}, {0}};
  EXPECT_EQ(run(recurrence(0, 5, false), x), (Data{((1 * 2 + 0) * 2 + 2) * 2 + 4}));
  EXPECT_EQ(run(recurrence(0, 5, true), x), (Data{((1 * 2 + 4) * 2 + 2) * 2 + 0}));
  EXPECT_EQ(run(recurrence(3, 7, false), x), (Data{(1 * 2 + 3) * 2 + 5}));
  EXPECT_EQ(run(recurrence(3, 7, true), x), (Data{(1 * 2 + 5) * 2 + 3}));
  EXPECT_EQ(run(recurrence(0, 2, true), x), (Data{2}));
}

TEST(Chunks, RecurrenceWithoutTokensGivesWhatItBeginsWith) {
  Tensor x{{1, 1}, {0}};
  EXPECT_EQ(run(recurrence(4, 4, false), x), (Data{1}));
  EXPECT_EQ(run(recurrence(4, 1, true), x), (Data{1}));
}

TEST(Chunks, CarriedMemoryIsReadAndWritten) {
  const char *text = R"(tile.program @p {
    %c0 = arith.constant 0 : index
    %h = tile.tensor "h" "carry" ["4"] : !tile.view<4xf32>
    tile.launch "a" [] () {
      %t = tile.load %h[%c0] dims [0] pad 0.0 : f32 : !tile.view<4xf32> -> tensor<2xf32>
      %d = arith.addf %t, %t : tensor<2xf32>
      tile.store %d, %h[%c0] dims [0] : tensor<2xf32>, !tile.view<4xf32>
    }
  })";
  std::map<std::string, Tensor> tensors = {{"h", {{4}, {1, 2, 3, 4}}}};
  EXPECT_EQ(Program(text).run({}, tensors), "");
  EXPECT_EQ(tensors["h"].data, (Data{2, 4, 3, 4}));
  tensors.clear();
  EXPECT_NE(Program(text).run({}, tensors).find("is an input that is not given: 'h'"), std::string::npos);
}

} // namespace
