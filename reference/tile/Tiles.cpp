// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations on whole tiles: products, reductions, broadcasts, domains and folds.
#include "reference/tile/Machine.h"
#include "llvm/ADT/bit.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

static constexpr double infinity = std::numeric_limits<double>::infinity();

Step machine::runBroadcast(Thread &thread, const Instr &instr) {
  auto source = cast<RankedTensorType>(instr.op->getOperand(0).getType());
  const Cell *in = thread.get(instr, 0);
  Cell *out = thread.result(instr);
  if (instr.shape.size() == 2 && source.getRank() == 1) {
    int64_t rows = instr.shape[0], columns = instr.shape[1];
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c)
        out[r * columns + c] = in[instr.dims[0] == 0 ? r : c];
    return Step::Next;
  }
  SmallVector<int64_t, 4> steps(instr.shape.size(), 0);
  int64_t stride = 1;
  for (int64_t k = source.getRank(); k-- > 0; stride *= source.getDimSize(k))
    steps[instr.dims[k]] = stride;
  for (int64_t i = 0; i < instr.elements; ++i) {
    int64_t rest = i, offset = 0;
    for (size_t d = instr.shape.size(); d-- > 0; rest /= instr.shape[d])
      offset += rest % instr.shape[d] * steps[d];
    out[i] = in[offset];
  }
  return Step::Next;
}

Step machine::runIota(Thread &thread, const Instr &instr) {
  int64_t start = thread.integer(instr, 0);
  Cell *out = thread.result(instr);
  for (int64_t i = 0; i < instr.elements; ++i)
    out[i].n = int32_t(uint32_t(uint64_t(start) + uint64_t(i)));
  return Step::Next;
}

/// out[m, n] = acc[m, n] + sum over k of a[m, k] b[k, n]; out may be acc. With `hides` a zero of a adds nothing.
static void multiply(const double *a, const double *b, double *out, int64_t rows, int64_t depth, int64_t columns,
                     bool hides = false) {
  for (int64_t m = 0; m < rows; ++m) {
    double *to = out + m * columns;
    for (int64_t k = 0; k < depth; ++k) {
      double x = a[m * depth + k];
      if (hides && x == 0)
        continue;
      const double *from = b + k * columns;
#pragma GCC ivdep
      for (int64_t n = 0; n < columns; ++n)
        to[n] += x * from[n];
    }
  }
}

/// A tile as doubles, transposed if so asked.
static std::vector<double> floats(const Cell *in, int64_t rows, int64_t columns, bool transposed) {
  std::vector<double> result(rows * columns);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      result[transposed ? c * rows + r : r * columns + c] = in[r * columns + c].f;
  return result;
}

double machine::toTf32(double x) {
  float single = float(x);
  if (!std::isfinite(single))
    return single;
  uint32_t bits = llvm::bit_cast<uint32_t>(single);
  return llvm::bit_cast<float>((bits + 0x1000u) & ~0x1fffu);
}

void machine::computeDot(const Cell *a, const Cell *b, const Cell *acc, Cell *out, const Instr &instr,
                         bool roundToF32) {
  auto typeA = cast<RankedTensorType>(instr.op->getOperand(0).getType());
  auto typeB = cast<RankedTensorType>(instr.op->getOperand(1).getType());
  int64_t rows = instr.shape[0], columns = instr.shape[1], depth = typeA.getDimSize(instr.dims[0]);
  std::vector<double> left = floats(a, typeA.getDimSize(0), typeA.getDimSize(1), instr.dims[0] == 0);
  std::vector<double> right = floats(b, typeB.getDimSize(0), typeB.getDimSize(1), instr.dims[1] == 1);
  if (roundToF32 && instr.immediate) // precision tf32; 3xtf32 errs by less than the order of sums
    for (std::vector<double> *operand : {&left, &right})
      for (double &x : *operand)
        x = toTf32(x);
  std::vector<double> sum = floats(acc, rows, columns, false);
  auto dot = dyn_cast<DotOp>(instr.op);
  multiply(left.data(), right.data(), sum.data(), rows, depth, columns, dot && dot.getHides());
  for (int64_t i = 0; i < rows * columns; ++i)
    out[i].f = roundToF32 ? float(sum[i]) : sum[i];
}

Step machine::runDot(Thread &thread, const Instr &instr) {
  const Cell *a = thread.get(instr, 0), *b = thread.get(instr, 1), *acc = thread.get(instr, 2);
  computeDot(a, b, acc, thread.result(instr), instr, thread.machine.rounds());
  return Step::Next;
}

Step machine::runReduce(Thread &thread, const Instr &instr) {
  auto op = cast<ReduceOp>(instr.op);
  auto source = cast<RankedTensorType>(op.getSource().getType());
  int64_t rows = source.getDimSize(0), columns = source.getDimSize(1);
  bool isMax = instr.immediate, along = op.getDim() == 1;
  const Cell *in = thread.get(instr, 0);
  Cell *out = thread.result(instr);
  for (int64_t i = 0; i < instr.elements; ++i)
    out[i].f = isMax ? -infinity : 0.0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      double &sum = out[along ? r : c].f, x = in[r * columns + c].f;
      // As max.f32 does, a maximum passes over NaN; the weights keep it.
      sum = isMax ? (x > sum ? x : sum) : sum + x;
    }
  if (thread.machine.rounds())
    for (int64_t i = 0; i < instr.elements; ++i)
      out[i].f = float(out[i].f);
  return Step::Next;
}

Step machine::runScan(Thread &thread, const Instr &instr) {
  int64_t dim = instr.immediate, length = instr.shape[dim], others = instr.elements / length;
  int64_t step = dim + 1 == int64_t(instr.shape.size()) ? 1 : instr.shape.back();
  int64_t next = step == 1 ? length : 1; // from one run of sums to its neighbour
  bool rounds = thread.machine.rounds(), reverse = cast<ScanOp>(instr.op).getReverse();
  const Cell *in = thread.get(instr, 0);
  Cell *out = thread.result(instr), *total = thread.put(instr.out[1], others);
  for (int64_t k = 0; k < others; ++k) {
    double sum = 0;
    for (int64_t m = 0; m < length; ++m) {
      int64_t n = reverse ? length - 1 - m : m;
      sum += in[k * next + n * step].f;
      out[k * next + n * step].f = rounds ? double(float(sum)) : sum;
    }
    total[k].f = rounds ? double(float(sum)) : sum;
  }
  return Step::Next;
}

/// How many elements lie within and beyond dimension `dim`: a tile is [outer, size of dim, inner].
static int64_t innerOf(RankedTensorType type, int64_t dim) {
  int64_t inner = 1;
  for (int64_t d = dim + 1; d < type.getRank(); ++d)
    inner *= type.getDimSize(d);
  return inner;
}

Step machine::runSlice(Thread &thread, const Instr &instr) {
  auto op = cast<SliceOp>(instr.op);
  auto from = cast<RankedTensorType>(op.getSource().getType());
  int64_t inner = innerOf(from, instr.immediate), size = from.getDimSize(instr.immediate) * inner;
  int64_t kept = instr.shape[instr.immediate] * inner, first = op.getOffset() * inner;
  const Cell *in = thread.get(instr, 0);
  Cell *out = thread.result(instr);
  for (int64_t k = 0; k < instr.elements; ++k)
    out[k] = in[k / kept * size + first + k % kept];
  return Step::Next;
}

Step machine::runConcat(Thread &thread, const Instr &instr) {
  auto to = cast<RankedTensorType>(instr.op->getResult(0).getType());
  int64_t inner = innerOf(to, instr.immediate), size = instr.shape[instr.immediate] * inner, first = 0;
  Cell *out = thread.result(instr);
  for (auto [n, source] : llvm::enumerate(instr.op->getOperands())) {
    auto from = cast<RankedTensorType>(source.getType());
    int64_t part = from.getDimSize(instr.immediate) * inner;
    const Cell *in = thread.get(instr, n);
    for (int64_t k = 0; k < from.getNumElements(); ++k)
      out[k / part * size + first + k % part] = in[k];
    first += part;
  }
  return Step::Next;
}

//===--- domains ---===//

Step machine::runDomain(Thread &thread, const Instr &instr) {
  auto op = cast<DomainOp>(instr.op);
  unsigned n = op.getLo().size();
  int64_t limit = thread.integer(instr, instr.in.size() - 1), step = instr.immediate;
  std::map<int64_t, bool> tiles; // first key -> full
  struct Range {
    int64_t lo, hi;
  };
  SmallVector<Range, 4> full;
  for (unsigned r = 0; r < n; ++r) {
    int64_t fullHi = std::min(thread.integer(instr, 3 * n + r), limit);
    full.push_back({thread.integer(instr, 2 * n + r), fullHi});
  }
  for (unsigned r = 0; r < n; ++r) {
    int64_t lo = std::max<int64_t>(0, thread.integer(instr, r));
    int64_t hi = std::min(limit, thread.integer(instr, n + r));
    if (lo >= hi)
      continue;
    if ((hi - lo) / step > (int64_t(1) << 26))
      return thread.fail(instr, "has more than 2^26 tiles: too large for the interpreter");
    for (int64_t start = lo / step * step; start < hi; start += step)
      tiles.emplace(start, llvm::any_of(full, [&](const Range &f) { return start >= f.lo && start + step <= f.hi; }));
  }
  Cell *out = thread.put(instr.out[0], 2 * int64_t(tiles.size()));
  for (auto [start, isFull] : tiles) {
    out++->n = start;
    out++->n = isFull;
  }
  return Step::Next;
}

Step machine::runDomainSlice(Thread &thread, const Instr &instr) {
  std::vector<Cell> tiles = thread.cells(instr.in[0]);
  int64_t all = int64_t(tiles.size() / 2), first = thread.integer(instr, 1), count = thread.integer(instr, 2);
  if (first < 0 || count < 0)
    return thread.fail(instr, "begins at tile " + llvm::Twine(first) + " and has " + llvm::Twine(count) + " tiles");
  first = std::min(first, all);
  count = std::min(count, all - first);
  Cell *out = thread.put(instr.out[0], 2 * count);
  std::copy_n(tiles.begin() + 2 * first, 2 * count, out);
  return Step::Next;
}

Step machine::runDomainCount(Thread &thread, const Instr &instr) {
  thread.setInteger(instr.out[0], int64_t(thread.cells(instr.in[0]).size() / 2));
  return Step::Next;
}

Step machine::runDomainTile(Thread &thread, const Instr &instr) {
  const std::vector<Cell> &tiles = thread.cells(instr.in[0]);
  int64_t n = thread.integer(instr, 1);
  if (n < 0 || n >= int64_t(tiles.size() / 2)) {
    // A copy that begins ahead computes the place of a tile that may not exist; its predicate keeps it from being read.
    thread.setInteger(instr.out[0], std::numeric_limits<int32_t>::max());
    thread.setInteger(instr.out[1], 0);
    return Step::Next;
  }
  int64_t start = tiles[2 * n].n, full = tiles[2 * n + 1].n;
  thread.setInteger(instr.out[0], start);
  thread.setInteger(instr.out[1], full);
  return Step::Next;
}

//===--- folds ---===//

static Step nextTile(Thread &thread, Frame &frame) {
  FoldState &fold = *frame.fold;
  const Instr &instr = *frame.owner;
  if (fold.next == fold.domain->cells.size() / 2) {
    auto emit = [&](int slot, const std::vector<double> &values) {
      Cell *out = thread.put(slot, int64_t(values.size()));
      for (size_t i = 0; i < values.size(); ++i)
        out[i].f = values[i];
    };
    emit(instr.out[0], fold.max);
    emit(instr.out[1], fold.sum);
    for (size_t t = 0; t < fold.accumulators.size(); ++t)
      emit(instr.out[2 + t], fold.accumulators[t]);
    return Step::Next;
  }
  fold.inMask = false;
  frame.block = &instr.blocks[0];
  frame.pc = 0;
  thread.setInteger(frame.block->args[0], fold.domain->cells[2 * fold.next].n);
  return Step::Entered;
}

Step machine::runFold(Thread &thread, const Instr &instr) {
  auto op = cast<FoldOp>(instr.op);
  auto fold = std::make_unique<FoldState>();
  fold->domainRef = thread.slots[instr.in[0]];
  fold->domain = fold->domainRef.get();
  fold->scale = thread.get(instr, 1)->f;
  if (!(fold->scale > 0))
    return thread.fail(instr, "has a scale that is not positive");
  int64_t rows = cast<RankedTensorType>(op.getMax().getType()).getDimSize(0);
  fold->max.assign(rows, op.getAdditive() ? 0.0 : -infinity);
  fold->sum.assign(rows, 0.0);
  for (Value accumulator : op.getAccumulators())
    fold->accumulators.emplace_back(cast<RankedTensorType>(accumulator.getType()).getNumElements(), 0.0);
  thread.enter(instr.blocks[0], &instr);
  thread.frames.back().fold = std::move(fold);
  Step step = nextTile(thread, thread.frames.back());
  if (step == Step::Next)
    thread.frames.pop_back();
  return step;
}

/// Merges the tile whose scores, terms and mask have been computed into the row state.
static void merge(Thread &thread, FoldState &fold, const Instr &instr) {
  auto op = cast<FoldOp>(instr.op);
  auto yield = cast<FoldYieldOp>(op.getBody().front().getTerminator());
  const std::vector<int> &body = instr.blocks[0].yields;
  auto type = cast<RankedTensorType>(yield.getScore().getType());
  int64_t rows = type.getDimSize(0), keys = type.getDimSize(1);
  const Cell *score = thread.cells(body[0]).data();
  const Cell *mask = fold.inMask ? thread.cells(instr.blocks[1].yields[0]).data() : nullptr;
  bool rounds = thread.machine.rounds(), storage = thread.machine.options.precision == Precision::Rounded;
  auto round = [&](double x) { return rounds ? double(float(x)) : x; };
  std::vector<double> weights(rows * keys, 0.0), correction(rows, 1.0);
  for (int64_t i = 0; i < rows && op.getAdditive(); ++i) {
    double sum = 0;
    for (int64_t j = 0; j < keys; ++j)
      if (!mask || mask[i * keys + j].n)
        sum += weights[i * keys + j] = score[i * keys + j].f;
    fold.sum[i] = round(fold.sum[i] + round(sum));
  }
  for (int64_t i = 0; i < rows && !op.getAdditive(); ++i) {
    double max = fold.max[i];
    for (int64_t j = 0; j < keys; ++j)
      if ((!mask || mask[i * keys + j].n) && score[i * keys + j].f > max)
        max = score[i * keys + j].f;
    // exp(scale (m_old - m)); a row without keys so far has nothing to correct.
    correction[i] = fold.max[i] == -infinity ? 0.0 : round(std::exp(fold.scale * (fold.max[i] - max)));
    fold.max[i] = max;
    double sum = 0;
    for (int64_t j = 0; j < keys; ++j) {
      double s = score[i * keys + j].f;
      // A score of -inf has no weight, even where all of the row's are.
      if ((mask && !mask[i * keys + j].n) || s == -infinity)
        continue;
      double w = round(std::exp(round(fold.scale * round(s - max))));
      weights[i * keys + j] = w;
      sum += w;
    }
    fold.sum[i] = round(round(fold.sum[i] * correction[i]) + round(sum));
  }
  for (auto [t, accumulator] : llvm::enumerate(fold.accumulators)) {
    int64_t c = yield.getCoefficientOf()[t], v = yield.getValueOf()[t];
    std::vector<double> p = weights;
    if (c >= 0) {
      const Cell *coefficient = thread.cells(body[1 + c]).data();
      for (size_t i = 0; i < p.size(); ++i)
        // An element that does not count may have any coefficient, NaN too.
        p[i] = p[i] == 0 ? 0.0 : round(p[i] * coefficient[i].f);
    }
    int64_t columns = int64_t(accumulator.size()) / rows;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t d = 0; d < columns; ++d)
        accumulator[i * columns + d] = round(accumulator[i * columns + d] * correction[i]);
    if (v < 0) {
      for (int64_t i = 0; i < rows; ++i) {
        double sum = 0;
        for (int64_t j = 0; j < keys; ++j)
          sum += p[i * keys + j];
        accumulator[i] = round(accumulator[i] + round(sum));
      }
      continue;
    }
    Value value = yield.getValues()[v];
    if (storage)
      for (double &x : p)
        x = roundToStorage(x, getElementTypeOrSelf(value.getType()));
    std::vector<double> values =
        floats(thread.cells(body[1 + yield.getCoefficients().size() + v]).data(), keys, columns, false);
    // What a mask hides has no influence, NaN included.
    multiply(p.data(), values.data(), accumulator.data(), rows, keys, columns, /*hides=*/mask != nullptr);
    if (rounds)
      for (double &x : accumulator)
        x = float(x);
  }
}

Step machine::finishFold(Thread &thread, Frame &frame) {
  FoldState &fold = *frame.fold;
  const Instr &instr = *frame.owner;
  bool full = fold.domain->cells[2 * fold.next + 1].n;
  if (!full && !fold.inMask) {
    fold.inMask = true;
    frame.block = &instr.blocks[1];
    frame.pc = 0;
    thread.setInteger(frame.block->args[0], fold.domain->cells[2 * fold.next].n);
    return Step::Entered;
  }
  merge(thread, fold, instr);
  ++fold.next;
  return nextTile(thread, frame);
}
