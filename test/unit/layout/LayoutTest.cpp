// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The layout algebra against the formulas of the PTX ISA, and against its own definition.
#include "dialect/common/Layout.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

using fovea::Layout;
using Vector = Layout::Vector;

namespace {

/// Calls f(register, lane, warp) for every place of a layout.
template <typename F> void forEachPlace(const Layout &layout, F f) {
  for (int64_t w = 0; w < layout.warps(); ++w)
    for (int64_t l = 0; l < layout.lanes(); ++l)
      for (int64_t r = 0; r < layout.registers(); ++r)
        f(r, l, w);
}

int64_t places(const Layout &layout) { return layout.registers() * layout.lanes() * layout.warps(); }

// PTX ISA, "Matrix Fragments for mma.m16n8k16": the floating-point accumulator c0..c3.
TEST(Layout, AccumulatorFragmentsAreThoseOfThePtxIsa) {
  auto layout = Layout::mmaAccumulator(64, 72, 4);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->registers(), 4 * 9);
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, c = r % 4, n = r / 4;
    EXPECT_EQ(layout->coords(r, l, w), (Vector{16 * w + g + 8 * (c >> 1), 8 * n + 2 * t + (c & 1)}));
  });
}

TEST(Layout, WarpsBeyondTheRowsRepeatThem) {
  auto layout = Layout::mmaAccumulator(32, 16, 8);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->warp, (std::vector<Layout::Vector>{{16, 0}, {0, 0}, {0, 0}}));
  EXPECT_TRUE(layout->covers({32, 16}));
  EXPECT_EQ(Layout::mmaLeft(32, 16, 8)->warp, layout->warp);
  EXPECT_EQ(Layout::mmaLeftSingle(32, 16, 8)->warp, layout->warp);
  EXPECT_EQ(Layout::fmaLeft(32, 16, 8)->warp, layout->warp);
  EXPECT_FALSE(Layout::mmaAccumulator(48, 16, 4));
  EXPECT_FALSE(Layout::mmaAccumulator(8, 16, 4));
}

TEST(Layout, WarpsBeyondTheRowsHaveOtherColumns) {
  auto layout = Layout::mmaAccumulator(32, 128, 8, /*deal=*/true);
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->warp, (std::vector<Layout::Vector>{{16, 0}, {0, 16}, {0, 32}}));
  EXPECT_EQ(layout->registers(), 16);
  EXPECT_TRUE(layout->covers({32, 128}));
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, c = r % 4, n = r / 4 % 2, m = r / 8;
    EXPECT_EQ(layout->coords(r, l, w),
              (Vector{16 * (w & 1) + g + 8 * (c >> 1), 64 * m + 16 * (w >> 1) + 8 * n + 2 * t + (c & 1)}));
  });
  // The right operand's columns are the same in each warp.
  auto right = Layout::mmaRight(128, 48, 8, 32);
  ASSERT_TRUE(right);
  EXPECT_EQ(right->warp, (std::vector<Layout::Vector>{{0, 0}, {16, 0}, {32, 0}}));
  EXPECT_TRUE(right->covers({128, 48}));
  EXPECT_EQ(right->registers(), 32 * 48 / 32);
  // As far as there are columns for all: the others repeat.
  EXPECT_EQ(Layout::mmaAccumulator(16, 48, 8, true)->warp, Layout::mmaAccumulator(16, 48, 8)->warp);
  EXPECT_EQ(Layout::mmaAccumulator(16, 96, 8, true)->warp, (std::vector<Layout::Vector>{{0, 16}, {0, 0}, {0, 0}}));
  EXPECT_EQ(Layout::warpsOfColumns(16, 32, 8), 2);
  EXPECT_EQ(Layout::warpsOfColumns(128, 32, 8), 1);
  EXPECT_EQ(Layout::mmaAccumulator(128, 32, 8, true), Layout::mmaAccumulator(128, 32, 8));
  EXPECT_EQ(Layout::mmaRight(32, 32, 8, 128), Layout::mmaRight(32, 32, 8));
}

TEST(Layout, AccumulatorRepeatsOverRowsLast) {
  auto layout = Layout::mmaAccumulator(64, 16, 2);
  ASSERT_TRUE(layout);
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, c = r % 4, n = r / 4 % 2, m = r / 8;
    EXPECT_EQ(layout->coords(r, l, w), (Vector{32 * m + 16 * w + g + 8 * (c >> 1), 8 * n + 2 * t + (c & 1)}));
  });
}

// The A operand a0..a7: row g for a0, a1, a4, a5, else g + 8; column 2t + (i & 1), plus 8 from a4 on.
TEST(Layout, LeftFragmentsAreThoseOfThePtxIsa) {
  auto layout = Layout::mmaLeft(32, 48, 2);
  ASSERT_TRUE(layout);
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, i = r % 8, k = r / 8;
    bool upper = i % 4 < 2;
    EXPECT_EQ(layout->coords(r, l, w),
              (Vector{16 * w + g + (upper ? 0 : 8), 16 * k + 2 * t + (i & 1) + (i >= 4 ? 8 : 0)}));
  });
}

// The B operand b0..b3: row (depth) 2t + (i & 1), plus 8 for b2 and b3; column g. Held as [columns, depth].
TEST(Layout, RightFragmentsAreThoseOfThePtxIsa) {
  auto layout = Layout::mmaRight(24, 32, 4);
  ASSERT_TRUE(layout);
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, i = r % 4, k = r / 4 % 2, n = r / 8;
    EXPECT_EQ(layout->coords(r, l, w), (Vector{8 * n + g, 16 * k + 2 * t + (i & 1) + (i >= 2 ? 8 : 0)}));
  });
}

// PTX ISA, "Matrix Fragments for mma.m16n8k8", .tf32: a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4).
TEST(Layout, LeftFragmentsOfTf32AreThoseOfThePtxIsa) {
  auto layout = Layout::mmaLeftSingle(64, 24, 2);
  ASSERT_TRUE(layout);
  EXPECT_TRUE(layout->covers({64, 24}));
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, i = r % 4, k = r / 4 % 3, m = r / 12;
    EXPECT_EQ(layout->coords(r, l, w), (Vector{32 * m + 16 * w + g + 8 * (i & 1), 8 * k + t + 4 * (i >> 1)}));
  });
}

// b0 (t, g), b1 (t + 4, g) as (depth, column). Held as [columns, depth].
TEST(Layout, RightFragmentsOfTf32AreThoseOfThePtxIsa) {
  auto layout = Layout::mmaRightSingle(24, 40, 4);
  ASSERT_TRUE(layout);
  EXPECT_TRUE(layout->covers({24, 40}));
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    int64_t g = l >> 2, t = l & 3, i = r % 2, k = r / 2 % 5, n = r / 10;
    EXPECT_EQ(layout->coords(r, l, w), (Vector{8 * n + g, 8 * k + t + 4 * i}));
  });
}

// What the instruction takes for depth t and t + 4 are the accumulator's columns 2t and 2t + 1, on both sides.
TEST(Layout, PairedFragmentsMeetTheAccumulatorsColumns) {
  auto left = Layout::mmaAccumulator(16, 16, 1);
  auto right = Layout::mmaRightPaired(8, 16, 1);
  ASSERT_TRUE(left && right);
  EXPECT_TRUE(right->covers({8, 16}));
  for (int64_t step : {0, 1})
    for (int64_t l = 0; l < 32; ++l)
      for (int64_t half : {0, 1})
        EXPECT_EQ(left->coords(4 * step + half, l, 0)[1], right->coords(2 * step + half, l, 0)[1]);
}

// Each thread has all that its elements of the accumulator are sums over.
TEST(Layout, FmaOperandsHoldWholeRowsAndColumnsOfTheAccumulator) {
  auto accumulator = Layout::mmaAccumulator(64, 24, 2);
  auto left = Layout::fmaLeft(64, 8, 2), right = Layout::fmaRight(24, 8, 2);
  ASSERT_TRUE(accumulator && left && right);
  EXPECT_TRUE(left->covers({64, 8}));
  EXPECT_TRUE(right->covers({24, 8}));
  for (int64_t w = 0; w < 2; ++w)
    for (int64_t l = 0; l < 32; ++l) {
      std::set<Vector> rows, columns;
      for (int64_t r = 0; r < left->registers(); ++r)
        rows.insert(left->coords(r, l, w));
      for (int64_t r = 0; r < right->registers(); ++r)
        columns.insert(right->coords(r, l, w));
      for (int64_t r = 0; r < accumulator->registers(); ++r)
        for (int64_t k = 0; k < 8; ++k) {
          Vector at = accumulator->coords(r, l, w);
          EXPECT_TRUE(rows.count({at[0], k}) && columns.count({at[1], k}));
        }
    }
}

TEST(Layout, FragmentsThatDoNotFitAreRefused) {
  EXPECT_FALSE(Layout::mmaLeftSingle(64, 12, 4));
  EXPECT_FALSE(Layout::mmaLeftSingle(48, 8, 4));
  EXPECT_FALSE(Layout::mmaRightSingle(12, 8, 4));
  EXPECT_FALSE(Layout::mmaRightPaired(8, 4, 4));
  EXPECT_FALSE(Layout::fmaLeft(16, 8, 3));
  EXPECT_FALSE(Layout::fmaRight(8, 0, 1));
  EXPECT_FALSE(Layout::mmaAccumulator(64, 12, 4));
  EXPECT_FALSE(Layout::mmaAccumulator(48, 16, 2));
  EXPECT_FALSE(Layout::mmaAccumulator(48, 16, 3));
  EXPECT_FALSE(Layout::mmaAccumulator(0, 16, 1));
  EXPECT_FALSE(Layout::mmaLeft(64, 24, 4));
  EXPECT_FALSE(Layout::mmaRight(12, 16, 4));
  EXPECT_FALSE(Layout::mmaRight(16, 8, 4));
  EXPECT_FALSE(Layout::rowMajor(64, 20, 8, 4));
  EXPECT_FALSE(Layout::rowMajor(64, 24, 3, 4));
  EXPECT_FALSE(Layout::rowMajor(64, 64, 8, 3));
}

TEST(Layout, FragmentsCoverTheirTilesAndNoOthers) {
  for (int64_t columns : {8, 64, 72, 96, 192})
    for (int64_t warps : {1, 2, 4}) {
      auto layout = Layout::mmaAccumulator(64, columns, warps);
      ASSERT_TRUE(layout);
      EXPECT_TRUE(layout->covers({64, columns}));
      EXPECT_FALSE(layout->covers({64, columns + 8}));
      EXPECT_FALSE(layout->covers({32, columns}));
      EXPECT_FALSE(layout->covers({64}));
      // Nothing is held twice.
      EXPECT_EQ(places(*layout), 64 * columns);
    }
  auto right = Layout::mmaRight(72, 96, 4);
  ASSERT_TRUE(right);
  EXPECT_TRUE(right->covers({72, 96}));
  EXPECT_EQ(places(*right), 4 * 72 * 96) << "each warp holds the whole operand";
}

TEST(Layout, WeightsGoFromAccumulatorToOperandWithoutMoving) {
  for (int64_t keys : {16, 64, 96, 128}) {
    auto from = Layout::mmaAccumulator(64, keys, 4), to = Layout::mmaLeft(64, keys, 4);
    ASSERT_TRUE(from && to);
    auto permutation = from->permutationTo(*to);
    ASSERT_TRUE(permutation);
    for (size_t r = 0; r < permutation->size(); ++r)
      EXPECT_EQ((*permutation)[r], int64_t(r));
  }
}

TEST(Layout, APermutationNamesTheRegisterOfTheSameElement) {
  Layout from = *Layout::mmaAccumulator(64, 32, 2), to = from;
  std::reverse(to.rep.begin(), to.rep.end());
  std::swap(to.reg[0], to.reg[1]);
  auto permutation = from.permutationTo(to);
  ASSERT_TRUE(permutation);
  std::set<int64_t> used(permutation->begin(), permutation->end());
  EXPECT_EQ(int64_t(used.size()), from.registers());
  bool moved = false;
  for (int64_t r = 0; r < to.registers(); ++r) {
    moved |= (*permutation)[r] != r;
    EXPECT_EQ(from.coords((*permutation)[r], 13, 1), to.coords(r, 13, 1));
  }
  EXPECT_TRUE(moved);
}

TEST(Layout, NoPermutationWhereElementsWouldCrossThreads) {
  auto accumulator = Layout::mmaAccumulator(64, 64, 4);
  EXPECT_FALSE(accumulator->permutationTo(*Layout::rowMajor(64, 64, 8, 4)));
  EXPECT_FALSE(accumulator->permutationTo(*Layout::mmaAccumulator(64, 64, 2)));
  // The same threads, but registers that the source does not have.
  EXPECT_FALSE(accumulator->permutationTo(*Layout::mmaAccumulator(64, 72, 4)));
}

// Row statistics: of the four lanes that share a row, each holds it; 2 rows per 16.
TEST(Layout, ASliceIsTheLayoutOfARowStatistic) {
  Layout rows = Layout::mmaAccumulator(64, 64, 4)->slice(1);
  EXPECT_EQ(rows.rank(), 1u);
  EXPECT_EQ(rows.registers(), 2);
  forEachPlace(rows, [&](int64_t r, int64_t l, int64_t w) {
    EXPECT_EQ(rows.coords(r, l, w), (Vector{16 * w + (l >> 2) + 8 * r}));
  });
  EXPECT_TRUE(rows.covers({64}));
  Layout columns = Layout::mmaAccumulator(64, 24, 4)->slice(0);
  EXPECT_EQ(columns.registers(), 2 * 3);
  forEachPlace(columns, [&](int64_t r, int64_t l, int64_t) {
    EXPECT_EQ(columns.coords(r, l, 0), (Vector{8 * (r / 2) + 2 * (l & 3) + (r & 1)}));
  });
  EXPECT_TRUE(columns.covers({24}));
}

TEST(Layout, ReductionsKnowWhichThreadsTheyCross) {
  auto layout = Layout::mmaAccumulator(64, 64, 4);
  EXPECT_EQ(layout->laneBitsAlong(1), (std::vector<unsigned>{0, 1}));
  EXPECT_EQ(layout->laneBitsAlong(0), (std::vector<unsigned>{2, 3, 4}));
  EXPECT_TRUE(layout->warpsAlong(0));
  EXPECT_FALSE(layout->warpsAlong(1));
}

TEST(Layout, RowMajorDealsVectorsOfAnyWidth) {
  for (int64_t columns : {8, 16, 64, 72, 96, 128, 192, 256})
    for (int64_t rows : {1, 16, 64, 72})
      for (int64_t warps : {1, 4}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << columns << ", " << warps << " warps");
        auto layout = Layout::rowMajor(rows, columns, 8, warps);
        ASSERT_TRUE(layout);
        EXPECT_EQ(layout->lane.size(), 5u);
        EXPECT_EQ(layout->warps(), warps);
        EXPECT_TRUE(layout->covers({rows, columns}));
        forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
          Vector at = layout->coords(r, l, w), first = layout->coords(r / 8 * 8, l, w);
          EXPECT_EQ(at[0], first[0]);
          EXPECT_EQ(at[1], first[1] + r % 8);
          EXPECT_EQ(first[1] % 8, 0);
        });
      }
}

TEST(Layout, RowMajorReplicatesOnlyWhereRowsAreTooFew) {
  EXPECT_EQ(places(*Layout::rowMajor(64, 64, 8, 4)), 64 * 64);
  EXPECT_EQ(places(*Layout::rowMajor(1, 8, 8, 1)), 32 * 8);
}

TEST(Layout, RegistersAreFoundByTheirOffset) {
  auto layout = Layout::mmaLeft(64, 96, 2);
  ASSERT_TRUE(layout);
  for (int64_t r = 0; r < layout->registers(); ++r)
    EXPECT_EQ(layout->registerAt(layout->registerOffset(r)), r);
  EXPECT_EQ(layout->registerAt({1, 0}), std::nullopt);
}

TEST(Layout, CoordinatesAreTheSumOfTheirParts) {
  auto layout = Layout::rowMajor(64, 96, 4, 2);
  ASSERT_TRUE(layout);
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    Vector a = layout->registerOffset(r), b = layout->laneOffset(l), c = layout->warpOffset(w);
    EXPECT_EQ(layout->coords(r, l, w), (Vector{a[0] + b[0] + c[0], a[1] + b[1] + c[1]}));
  });
}

TEST(Layout, TransposedExchangesCoordinates) {
  auto layout = Layout::mmaAccumulator(32, 24, 2);
  ASSERT_TRUE(layout);
  Layout turned = layout->transposed();
  EXPECT_TRUE(turned.covers({24, 32}));
  forEachPlace(*layout, [&](int64_t r, int64_t l, int64_t w) {
    Vector at = layout->coords(r, l, w);
    EXPECT_EQ(turned.coords(r, l, w), (Vector{at[1], at[0]}));
  });
  EXPECT_EQ(turned.transposed(), *layout);
}

TEST(Layout, TextNamesEveryVector) {
  EXPECT_EQ(Layout::mmaAccumulator(64, 64, 4)->str(),
            "reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [[16, 0], [32, 0]], "
            "rep = [8 x [0, 8]]");
  EXPECT_EQ(Layout().rank(), 0u);
}

} // namespace
