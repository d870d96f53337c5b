// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the chunk form of a recurrence is made of: transposes, inverses of unit triangles, products with decay.
#include "reference/tile/Machine.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

Step machine::runTranspose(Thread &thread, const Instr &instr) {
  int64_t rows = instr.shape[0], columns = instr.shape[1]; // of the result
  const Cell *in = thread.get(instr, 0);
  Cell *out = thread.result(instr);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      out[r * columns + c] = in[c * rows + r];
  return Step::Next;
}

namespace {
/// A lower triangle, [size, size], that becomes its unit inverse.
struct Triangle {
  int64_t size;
  std::vector<double> x;
  double &at(int64_t r, int64_t c) { return x[r * size + c]; }

  /// Row by row of a block on the diagonal: X[r] = e_r - sum of L[r, c] X[c] over the rows c that come before r.
  void substitute(int64_t start, int64_t rows) {
    std::vector<double> factors(rows);
    for (int64_t r = start; r < start + rows; ++r) {
      for (int64_t c = start; c < r; ++c) {
        factors[c - start] = at(r, c);
        at(r, c) = 0;
      }
      at(r, r) = 1;
      for (int64_t c = start; c < r; ++c)
        for (int64_t k = start; k <= c; ++k) // the triangle alone, whatever the factor is
          at(r, k) -= factors[c - start] * at(c, k);
    }
  }

  /// -D^-1 B A^-1 in the place of B, whose corner is (start + width, start), by products in tf32 with sums in f32.
  void merge(int64_t start, int64_t width, int64_t rows) {
    auto product = [&](int64_t i, int64_t j, int64_t left, int64_t right, int64_t depth) {
      double sum = 0;
      for (int64_t k = 0; k < depth; ++k)
        sum += toTf32(at(i, left + k)) * toTf32(at(right + k, j));
      return double(float(sum));
    };
    int64_t lower = start + width;
    std::vector<double> made(rows * width);
    for (bool second : {false, true}) {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < width; ++j)
          made[i * width + j] = second ? -product(lower + i, start + j, lower, lower, rows)
                                       : product(lower + i, start + j, start, start, width);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < width; ++j)
          at(lower + i, start + j) = made[i * width + j];
    }
  }
};
} // namespace

Step machine::runUnitTrilInverse(Thread &thread, const Instr &instr) {
  auto op = cast<UnitTrilInverseOp>(instr.op);
  int64_t size = instr.shape[0];
  bool rounds = thread.machine.rounds(), inBlocks = rounds && op.getPrecision() == "tf32";
  const Cell *in = thread.get(instr, 0);
  // With rows and columns turned round an upper triangle is a lower one.
  auto place = [&](int64_t k) { return op.getReverse() ? size * size - 1 - k : k; };
  Triangle triangle{size, std::vector<double>(size * size, 0.0)};
  for (int64_t r = 0; r < size; ++r)
    for (int64_t c = 0; c < r; ++c)
      triangle.at(r, c) = in[place(r * size + c)].f;
  int64_t block = inBlocks ? 16 : size;
  for (int64_t start = 0; start < size; start += block)
    triangle.substitute(start, std::min(block, size - start));
  if (rounds)
    for (double &x : triangle.x)
      x = float(x);
  for (int64_t width = block; width < size; width *= 2)
    for (int64_t start = 0; start + width < size; start += 2 * width)
      triangle.merge(start, width, std::min(width, size - start - width));
  Cell *out = thread.result(instr);
  for (int64_t k = 0; k < size * size; ++k)
    out[place(k)].f = triangle.x[k];
  return Step::Next;
}

Step machine::runDecayedDot(Thread &thread, const Instr &instr) {
  auto op = cast<DecayedDotOp>(instr.op);
  bool exclusive = op.getExclusive(), strict = op.getStrict() || exclusive, reverse = op.getReverse();
  bool bounded = op.getBounded();
  int64_t rows = instr.shape[0], features = cast<RankedTensorType>(op.getA().getType()).getDimSize(1);
  const Cell *a = thread.get(instr, 0), *b = thread.get(instr, 1), *g = thread.get(instr, 2);
  Type type = cast<RankedTensorType>(op.getA().getType()).getElementType();
  bool rounds = thread.machine.rounds();
  bool storage = thread.machine.options.precision == Precision::Rounded && type.getIntOrFloatBitWidth() == 16;
  constexpr int64_t kRows = 16;
  Cell *out = thread.result(instr);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < rows; ++j) {
      int64_t before = reverse ? j - i : i - j; // how many rows j comes before i
      double sum = 0;
      if (before > 0 || (before == 0 && !strict)) {
        int64_t from = exclusive ? (reverse ? i + 1 : i - 1) : i;
        // Tensor cores take rows of other blocks, of 16 or the halves of one, scaled to a row between them and rounded;
        // of bounded ones all rows, scaled to the middle of the left 16.
        int64_t block = i / kRows == j / kRows ? kRows / 2 : kRows, first = i - i % block;
        int64_t anchor = bounded   ? i - i % kRows + (reverse != exclusive ? 7 : 8)
                         : reverse ? first + block - (exclusive ? 0 : 1)
                                   : first - (exclusive ? 1 : 0);
        anchor = std::min(anchor, rows - 1);
        for (int64_t d = 0; d < features; ++d) {
          double left = a[i * features + d].f, right = b[j * features + d].f;
          double mine = g[from * features + d].f, other = g[j * features + d].f;
          if (storage && (bounded || first != j - j % block)) {
            double between = g[anchor * features + d].f;
            sum += roundToStorage(left * std::exp2(mine - between), type) *
                   roundToStorage(right * std::exp2(between - other), type);
          } else {
            sum += left * right * std::exp2(mine - other);
          }
        }
      }
      out[i * rows + j].f = rounds ? double(float(sum)) : sum;
    }
  return Step::Next;
}
