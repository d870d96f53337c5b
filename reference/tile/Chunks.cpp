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

Step machine::runUnitTrilInverse(Thread &thread, const Instr &instr) {
  bool reverse = cast<UnitTrilInverseOp>(instr.op).getReverse();
  int64_t size = instr.shape[0];
  const Cell *in = thread.get(instr, 0);
  std::vector<double> x(size * size, 0.0);
  // Row by row: X[r] = e_r - sum of L[r, c] X[c] over the rows c that come before r.
  for (int64_t n = 0; n < size; ++n) {
    int64_t r = reverse ? size - 1 - n : n;
    double *row = &x[r * size];
    row[r] = 1;
    for (int64_t m = 0; m < n; ++m) {
      int64_t c = reverse ? size - 1 - m : m;
      double factor = in[r * size + c].f;
      const double *before = &x[c * size];
      for (int64_t q = 0; q <= m; ++q) { // the triangle alone, whatever the factor is
        int64_t k = reverse ? size - 1 - q : q;
        row[k] -= factor * before[k];
      }
    }
  }
  bool rounds = thread.machine.rounds();
  Cell *out = thread.result(instr);
  for (int64_t k = 0; k < size * size; ++k)
    out[k].f = rounds ? double(float(x[k])) : x[k];
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
