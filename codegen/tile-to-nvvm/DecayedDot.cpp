// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of rows whose features decay between the two, sum_d a[i, d] b[j, d] 2^(g[i, d] - g[j, d]), without a
// positive exponent. A warp has 16 rows at a time, and of them 16 columns:
//
//   - before the diagonal both operands are scaled to the first of the 16 rows, 2^(g[i] - g[first]) and 2^(g[first] -
//     g[j]), rounded to their type and multiplied by tensor cores; in the diagonal's block the last eight rows and
//     first eight columns alike, scaled to the first of these rows;
//   - in the two triangles that are left, and everywhere for f32, b[j] runs down the rows of its column: each row
//     multiplies it by its own step 2^(g[i] - g[i - 1]) and adds its product with a[i].
//
// In reverse the order of rows is turned round: "first" is the last. With `exclusive` a left row has the decay of the
// row before it: the tensor cores' anchor moves there too, and columns run down after the product and not before it.
//
// What is `bounded`, and not f32, is scaled to the middle of the 16 rows everywhere, and tensor cores compute the
// diagonal's block like the others. The half of it that is not asked for may be infinite, and is replaced.
#include "codegen/tile-to-nvvm/Emitter.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

bool Emitter::isReadByDecayedDot(tile::SmemReadOp op) {
  return !op.getTile().use_empty() &&
         llvm::all_of(op.getTile().getUsers(), [](Operation *user) { return isa<tile::DecayedDotOp>(user); });
}

namespace {
constexpr int64_t kRows = 16;

/// The stage of a ring that holds an operand.
struct Stage {
  tile::SmemType type;
  Value base;
  int64_t bytes, span;
};
} // namespace

LogicalResult Emitter::emitDecayedDot(tile::DecayedDotOp op) {
  auto type = tensorType(op.getA());
  int64_t size = type.getDimSize(0), depth = type.getDimSize(1);
  Type element = type.getElementType(), single = b.getF32Type();
  bool halves = element.isBF16() || element.isF16();
  auto accumulator = Layout::mmaAccumulator(size, size, warps);
  auto dealt = Layout::mmaAccumulator(size, size, warps, /*deal=*/true);
  const Layout *to = layout(op.getTile());
  if (!to || !accumulator || (*to != *accumulator && *to != *dealt))
    return op.emitOpError("has a result that is not in the layout of an accumulator over all warps");
  if (depth % 16)
    return op.emitOpError("has rows of ") << depth << " features, no multiple of 16";
  std::array<Stage, 3> stages;
  for (auto [operand, stage] : llvm::zip(op->getOperands(), stages)) {
    auto read = operand.getDefiningOp<tile::SmemReadOp>();
    if (!read || read->getBlock() != op->getBlock() || !isReadByDecayedDot(read))
      return op.emitOpError("has an operand that is not read from shared memory for such products alone");
    for (Operation *between = read; between != op; between = between->getNextNode())
      if (isa<tile::BarrierOp, tile::CopyStartOp, tile::SmemWriteOp>(between))
        return op.emitOpError("has an operand that is read before a barrier, a copy or a write");
    stage.type = read.getSmem().getType();
    stage.base = stageBase(read.getSmem(), read.getStage());
    stage.bytes = stage.type.getElementType().getIntOrFloatBitWidth() / 8;
    stage.span = stage.type.getSwizzle() ? stage.type.getSwizzle() : stage.type.getColumns() * stage.bytes;
  }
  const Stage &a = stages[0], &right = stages[1], &g = stages[2];
  bool reverse = op.getReverse(), exclusive = op.getExclusive();
  // Warps with the same rows share the features, as far as each has 16 at a time.
  int64_t blocks = size / kRows, rowWarps = std::min(warps, blocks), parts = warps / rowWarps;
  while (depth % (16 * parts))
    parts /= 2;
  Value rowWarp = warpOfRows(size), firstFeature = i32(0), part;
  if (rowWarps < warps) {
    part = LLVM::LShrOp::create(b, loc, warp, i32(llvm::Log2_64(rowWarps)));
    firstFeature = mulConstant(LLVM::AndOp::create(b, loc, part, i32(parts - 1)), depth / parts);
  }
  Value group = inEntry([&] { return LLVM::LShrOp::create(b, loc, lane, i32(2)).getResult(); });
  Value quad = inEntry([&] { return LLVM::AndOp::create(b, loc, lane, i32(3)).getResult(); });
  Value zero = f32(0);

  auto halvesOf = [&](Value pair) {
    Value vector = bitcast(pair, VectorType::get(2, element));
    SmallVector<Value> result;
    for (int64_t k : {0, 1})
      result.push_back(
          LLVM::FPExtOp::create(b, loc, single, LLVM::ExtractElementOp::create(b, loc, vector, i32(k))).getResult());
    return result;
  };
  auto loadPair = [&](const Stage &stage, Value address) {
    if (stage.bytes == 2)
      return halvesOf(LLVM::LoadOp::create(b, loc, b.getI32Type(), sharedPointer(address), 4));
    Value pair = LLVM::LoadOp::create(b, loc, VectorType::get(2, single), sharedPointer(address), 8);
    SmallVector<Value> result;
    for (int64_t k : {0, 1})
      result.push_back(LLVM::ExtractElementOp::create(b, loc, pair, i32(k)));
    return result;
  };
  // Two elements at (a multiple of 8 + phase, column), without the multiple: `column` varies by lane, the phase is
  // known.
  auto placeOf = [&](const Stage &stage, int64_t phase, Value column) {
    return elementAddress(stage.type, i32(0), i32(phase), column, 0, 0);
  };

  // The row whose decay the first row of a block begins with, with `exclusive`.
  auto previous = [&](Value firstRow) { return addConstant(firstRow, reverse ? kRows : -1); };

  // The products of 16 rows from `firstRow` and 16 columns from `firstColumn`, both multiples of 16, element by
  // element, in the accumulator's order: rows group and group + 8, columns 2 quad, + 1, + 8, + 9. A group of lanes has
  // two of each 16 features; columns of different quads are two apart, in different banks.
  auto rowOf = [&](int64_t k) { return reverse ? kRows - 1 - k : k; }; // in order of the decay
  auto columnOf = [](int64_t m) { return m % 2 + 8 * (m / 2); };       // and 2 quad
  auto elementBlock = [&](Value firstRow, Value firstColumn, bool diagonal) {
    // From which row on a column takes part, at the earliest and at the latest over quads.
    auto earliest = [&](int64_t m) {
      return !diagonal ? int64_t(0) : reverse ? kRows - 1 - columnOf(m) - 6 : columnOf(m);
    };
    SmallVector<std::pair<int64_t, int64_t>> held; // (order, column) of each sum
    for (int64_t k = 0; k < kRows; ++k)
      for (int64_t m = 0; m < 4; ++m)
        if (k >= earliest(m))
          held.push_back({k, m});
    auto sums =
        countedLoop(depth / parts, 16, SmallVector<Value>(held.size(), zero), [&](Value d, ArrayRef<Value> before) {
          SmallVector<Value> values(before);
          Value column = add(add(d, firstFeature), mulConstant(group, 2));
          std::map<std::pair<const Stage *, int64_t>, Value> places;
          auto rowPair = [&](const Stage &stage, int64_t row) {
            Value &place = places[{&stage, row % 8}];
            if (!place)
              place = add(add(placeOf(stage, row % 8, column), stage.base), mulConstant(firstRow, stage.span));
            return loadPair(stage, addConstant(place, (row - row % 8) * stage.span));
          };
          // What runs down the rows.
          SmallVector<SmallVector<Value>> running;
          auto columnPair = [&](const Stage &stage, int64_t m) {
            Value row = add(firstColumn, addConstant(mulConstant(quad, 2), columnOf(m)));
            return loadPair(stage, elementAddress(stage.type, stage.base, row, column, 0, 0));
          };
          // The decay that the columns come with: that of the first row, or with `exclusive` of the row before it.
          SmallVector<Value> last = exclusive && !diagonal
                                        ? loadPair(g, elementAddress(g.type, g.base, previous(firstRow), column, 0, 0))
                                        : rowPair(g, rowOf(0));
          for (int64_t m = 0; m < 4; ++m) {
            running.push_back(columnPair(right, m));
            if (diagonal)
              continue;
            SmallVector<Value> decay = columnPair(g, m);
            for (int64_t e : {0, 1})
              running[m][e] =
                  LLVM::FMulOp::create(b, loc, running[m][e], exp2(LLVM::FSubOp::create(b, loc, last[e], decay[e])));
          }
          size_t at = 0;
          for (int64_t k = 0; k < kRows; ++k) {
            SmallVector<Value> mine = rowPair(a, rowOf(k)), step;
            if (k || (exclusive && !diagonal)) {
              SmallVector<Value> now = rowPair(g, rowOf(k));
              for (int64_t e : {0, 1})
                step.push_back(exp2(LLVM::FSubOp::create(b, loc, now[e], last[e])));
              last = now;
            }
            for (int64_t m = 0; m < 4; ++m) {
              if (k < earliest(m))
                continue;
              auto decay = [&] {
                if (step.empty() || (diagonal && k == earliest(m)))
                  return;
                // Up to its own row a column does not decay.
                Value begun;
                if (diagonal && k <= earliest(m) + 6) {
                  Value own = addConstant(mulConstant(quad, 2), columnOf(m));
                  begun = reverse ? icmp(LLVM::ICmpPredicate::slt, i32(rowOf(k)), own)
                                  : icmp(LLVM::ICmpPredicate::sgt, i32(rowOf(k)), own);
                }
                for (int64_t e : {0, 1}) {
                  Value decayed = LLVM::FMulOp::create(b, loc, running[m][e], step[e]);
                  running[m][e] = begun ? select(begun, decayed, running[m][e]) : decayed;
                }
              };
              if (!exclusive)
                decay();
              for (int64_t e : {0, 1})
                values[at] = LLVM::FMAOp::create(b, loc, mine[e], running[m][e], values[at]);
              ++at;
              if (exclusive)
                decay();
            }
          }
          return values;
        });
    // Add up over the groups: with each exchange half of the rows stay, until a lane has its own two. What no lane
    // needs is null.
    SmallVector<SmallVector<Value>> rows(kRows, SmallVector<Value>(4));
    for (auto [place, value] : llvm::zip(held, sums))
      rows[rowOf(place.first)][place.second] = value;
    for (int64_t bit : {2, 1, 0}) {
      int64_t count = int64_t(1) << bit;
      Value upper = inEntry(
          [&] { return icmp(LLVM::ICmpPredicate::ne, LLVM::AndOp::create(b, loc, lane, i32(4 * count)), i32(0)); });
      // Rows are numbered by the bits that are left: bit 3 above, the lower ones below.
      SmallVector<SmallVector<Value>> fewer;
      for (size_t base = 0; base < rows.size(); base += 2 * count)
        for (int64_t k = 0; k < count; ++k) {
          SmallVector<Value> kept(4);
          for (int64_t m = 0; m < 4; ++m) {
            Value low = rows[base + k][m], high = rows[base + k + count][m];
            Value keep = low && high ? select(upper, high, low) : low ? low : high;
            Value send = low && high ? select(upper, low, high) : keep;
            if (keep)
              kept[m] = LLVM::FAddOp::create(b, loc, keep, shflXor(send, 4 * count));
          }
          fewer.push_back(kept);
        }
      rows = fewer;
    }
    // [row group, row group + 8][columns]
    SmallVector<Value> result;
    for (int64_t r : {0, 1})
      for (int64_t m = 0; m < 4; ++m)
        result.push_back(rows[r][m] ? rows[r][m] : zero);
    return result;
  };

  // A triangle on the diagonal: eight rows from `first` (a multiple of 8) with the columns of the same numbers, in the
  // accumulator's order: row `group`, columns 2 quad and the next. Each lane has features of its own.
  int64_t ownDepth = depth / parts, width = ownDepth % 64 ? 1 : 2;
  bool strict = op.getStrict() || exclusive;
  auto triangle = [&](Value first) {
    auto orderOf = [&](int64_t k) { return reverse ? 7 - k : k; };
    SmallVector<std::pair<int64_t, int64_t>> held;
    for (int64_t i = 0; i < 8; ++i)
      for (int64_t j = 0; j < i + !strict; ++j)
        held.push_back({i, j});
    SmallVector<Value> initial(held.size(), zero);
    auto sums = countedLoop(ownDepth, 32 * width, initial, [&](Value index, ArrayRef<Value> before) {
      SmallVector<Value> values(before);
      Value feature = add(index, mulConstant(lane, width)), inside;
      if (ownDepth % (32 * width)) { // some lanes have none
        inside = icmp(LLVM::ICmpPredicate::slt, feature, i32(ownDepth));
        feature = select(inside, feature, i32(0));
      }
      Value column = add(feature, firstFeature);
      auto rowsOf = [&](const Stage &stage) {
        Value place = add(add(placeOf(stage, 0, column), stage.base), mulConstant(first, stage.span));
        int64_t shift = stage.span == 128 ? 0 : stage.span == 64 ? 1 : 2;
        SmallVector<SmallVector<Value>> rows;
        for (int64_t k = 0; k < 8; ++k) {
          int64_t row = orderOf(k), flip = stage.type.getSwizzle() ? (row >> shift & (stage.span / 16 - 1)) * 16 : 0;
          Value address = addConstant(flipBits(place, flip), row * stage.span);
          if (width == 2) {
            rows.push_back(loadPair(stage, address));
            continue;
          }
          Type type = stage.type.getElementType();
          Value one = LLVM::LoadOp::create(b, loc, type, sharedPointer(address), stage.bytes);
          rows.push_back({type.isF32() ? one : LLVM::FPExtOp::create(b, loc, single, one).getResult()});
        }
        return rows;
      };
      SmallVector<SmallVector<Value>> mine = rowsOf(a), decay = rowsOf(g), running = rowsOf(right);
      for (int64_t e = 0; e < width; ++e) {
        for (SmallVector<Value> &row : running)
          if (inside)
            row[e] = select(inside, row[e], zero);
        size_t at = 0;
        for (int64_t i = 0; i < 8; ++i) {
          Value step = i ? exp2(LLVM::FSubOp::create(b, loc, decay[i][e], decay[i - 1][e])) : Value();
          auto run = [&] {
            for (int64_t j = 0; j < i; ++j)
              running[j][e] = LLVM::FMulOp::create(b, loc, running[j][e], step);
          };
          if (!exclusive)
            run();
          for (; at < held.size() && held[at].first == i; ++at)
            values[at] = LLVM::FMAOp::create(b, loc, mine[i][e], running[held[at].second][e], values[at]);
          if (exclusive)
            run();
        }
      }
      return values;
    });
    // Add up over the lanes: with each exchange half of the elements stay, until a lane has its own two. What no lane
    // needs is null.
    SmallVector<Value> elements(64);
    for (auto [place, value] : llvm::zip(held, sums))
      elements[orderOf(place.first) * 8 + orderOf(place.second)] = value;
    for (int64_t bit = 5; bit > 0; --bit) {
      int64_t count = int64_t(1) << bit, mask = count / 2;
      Value upper =
          inEntry([&] { return icmp(LLVM::ICmpPredicate::ne, LLVM::AndOp::create(b, loc, lane, i32(mask)), i32(0)); });
      SmallVector<Value> fewer(count);
      for (int64_t k = 0; k < count; ++k) {
        Value low = elements[k], high = elements[k + count];
        Value keep = low && high ? select(upper, high, low) : low ? low : high;
        Value send = low && high ? select(upper, low, high) : keep;
        if (keep)
          fewer[k] = LLVM::FAddOp::create(b, loc, keep, shflXor(send, mask));
      }
      elements = fewer;
    }
    return elements;
  };

  std::map<Layout::Vector, int64_t> cAt;
  for (int64_t r = 0; r < accumulator->registers(); ++r)
    cAt[accumulator->registerOffset(r)] = r;
  SmallVector<Value> sums(accumulator->registers(), zero);
  // Register of (row group + 8 r, column m) of the 16 by 16 block at (16 rowWarps n, 16 j).
  auto placeAt = [&](int64_t n, int64_t j, int64_t r, int64_t m) {
    return cAt[{kRows * rowWarps * n + 8 * r, kRows * j + columnOf(m)}];
  };

  for (int64_t n = 0; n < blocks / rowWarps; ++n) {
    Value firstRow = addConstant(mulConstant(rowWarp, kRows), kRows * rowWarps * n);
    Value own = addConstant(rowWarp, rowWarps * n); // number of the block of rows
    // Blocks of columns before the diagonal's: of all warps, or of some.
    SmallVector<int64_t> before;
    for (int64_t j = 0; j < blocks; ++j)
      if (reverse ? j > rowWarps * n : j < rowWarps * (n + 1) - 1)
        before.push_back(j);
    auto isBefore = [&](int64_t j) -> Value {
      if (reverse ? j >= rowWarps * (n + 1) : j < rowWarps * n)
        return {};
      return icmp(reverse ? LLVM::ICmpPredicate::slt : LLVM::ICmpPredicate::sgt, own, i32(j));
    };
    auto where = [&](Value condition, ArrayRef<Value> otherwise, function_ref<SmallVector<Value>()> compute) {
      if (!condition)
        return compute();
      return branch(condition, compute, [&] { return SmallVector<Value>(otherwise); });
    };
    if (!halves) {
      for (int64_t j : before) {
        SmallVector<Value> zeros(8, zero);
        SmallVector<Value> block =
            where(isBefore(j), zeros, [&] { return elementBlock(firstRow, i32(kRows * j), /*diagonal=*/false); });
        for (int64_t r : {0, 1})
          for (int64_t m = 0; m < 4; ++m)
            sums[placeAt(n, j, r, m)] = block[4 * r + m];
      }
    }
    // The part of the diagonal's block that tensor cores compute: four sums for each of eight columns, of which there
    // are the earlier ones or, with an anchor in the middle, all.
    bool whole = op.getBounded() && halves;
    SmallVector<Value> corner(whole ? 8 : 4, zero);
    if (halves) {
      Type fragment = element.isBF16() ? Type(b.getI32Type()) : Type(VectorType::get(2, element));
      StringRef pack = element.isBF16() ? "llvm.nvvm.ff2bf16x2.rn" : "llvm.nvvm.ff2f16x2.rn";
      Value low = LLVM::AndOp::create(b, loc, lane, i32(7));
      Value bit3 = LLVM::AndOp::create(b, loc, LLVM::LShrOp::create(b, loc, lane, i32(3)), i32(1));
      Value bit4 = LLVM::LShrOp::create(b, loc, lane, i32(4));
      Value swapped = icmp(LLVM::ICmpPredicate::ne, LLVM::AndOp::create(b, loc, lane, i32(2)), i32(0));
      auto struct4 = LLVM::LLVMStructType::getLiteral(b.getContext(),
                                                      {b.getI32Type(), b.getI32Type(), b.getI32Type(), b.getI32Type()});
      auto loadMatrices = [&](Value address) {
        Value loaded =
            NVVM::LdMatrixOp::create(b, loc, struct4, sharedPointer(address), b.getI32IntegerAttr(4),
                                     NVVM::MMALayoutAttr::get(b.getContext(), NVVM::MMALayout::row),
                                     NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
                                     NVVM::LdStMatrixEltTypeAttr::get(b.getContext(), NVVM::LdStMatrixEltType::B16));
        SmallVector<Value> result;
        for (int64_t k = 0; k < 4; ++k)
          result.push_back(LLVM::ExtractValueOp::create(b, loc, loaded, k));
        return result;
      };
      Value anchorRow = exclusive ? previous(firstRow) : reverse ? addConstant(firstRow, kRows - 1) : firstRow;
      auto clamped = [&](Value row) -> Value { // the first block has no row before it, and no use for it
        return reverse ? LLVM::SMinOp::create(b, loc, row, i32(size - 1)).getResult()
                       : LLVM::SMaxOp::create(b, loc, row, i32(0)).getResult();
      };
      // Of the diagonal's block: the row between its halves.
      Value middleRow = addConstant(firstRow, reverse != exclusive ? 7 : 8);
      if (whole)
        anchorRow = middleRow;
      else if (exclusive)
        anchorRow = clamped(anchorRow);
      SmallVector<Value> initial(8 * before.size() + corner.size(), zero);
      SmallVector<Value> products = countedLoop(depth / parts, 16, initial, [&](Value index, ArrayRef<Value> values) {
        Value d = add(index, firstFeature);
        SmallVector<Value> block(values);
        // Columns 2 quad + 8 q of these 16, in rows `group` of a block.
        Value chunk = LLVM::LShrOp::create(b, loc, d, i32(3));
        std::array<Value, 2> firstWord;
        SmallVector<SmallVector<Value>> anchor, middle;
        for (int64_t q : {0, 1}) {
          Value column = addConstant(add(d, mulConstant(quad, 2)), 8 * q);
          Value place = add(g.base, elementAddress(g.type, i32(0), group, column, 0, 0));
          // Lanes of the upper half of a quad take their second word first: rows next to each other change the places
          // of their chunks, and would else ask for the same banks.
          firstWord[q] = select(swapped, addConstant(place, 4), place);
          anchor.push_back(loadPair(g, elementAddress(g.type, g.base, anchorRow, column, 0, 0)));
          if (!whole)
            middle.push_back(loadPair(g, elementAddress(g.type, g.base, middleRow, column, 0, 0)));
        }
        auto inTurn = [&](Value base) {
          Value other = LLVM::XOrOp::create(b, loc, base, i32(4));
          Value first = LLVM::LoadOp::create(b, loc, single, sharedPointer(base), 4);
          Value then = LLVM::LoadOp::create(b, loc, single, sharedPointer(other), 4);
          return SmallVector<Value>{select(swapped, then, first), select(swapped, first, then)};
        };
        auto decayAt = [&](int64_t q, Value rowBytes, int64_t constant) {
          return inTurn(addConstant(rowBytes ? add(firstWord[q], rowBytes) : firstWord[q], constant));
        };
        auto scale = [&](Value pair, ArrayRef<Value> exponents) {
          SmallVector<Value> x = halvesOf(pair);
          for (int64_t e : {0, 1})
            x[e] = LLVM::FMulOp::create(b, loc, x[e], exp2(exponents[e]));
          return bitcast(callIntrinsic(pack, VectorType::get(2, element), {x[1], x[0]}), fragment);
        };
        // 2^g of the left rows, and with `exclusive` of the rows before them.
        Value rowBytes = mulConstant(firstRow, g.span);
        auto leftDecay = [&](int64_t q, int64_t row) {
          if (!exclusive)
            return decayAt(q, rowBytes, row * g.span);
          Value at = clamped(addConstant(add(firstRow, group), row + (reverse ? 1 : -1)));
          Value place = elementAddress(g.type, g.base, at, addConstant(add(d, mulConstant(quad, 2)), 8 * q), 0, 0);
          return inTurn(select(swapped, addConstant(place, 4), place));
        };
        int64_t ignored;
        Value aPlace = swizzled(a.type, add(firstRow, add(low, mulConstant(bit3, 8))), add(chunk, bit4), 0, 0, ignored);
        SmallVector<Value> av = loadMatrices(add(a.base, aPlace)); // (row, feature) 0 0, 8 0, 0 8, 8 8
        auto difference = [&](ArrayRef<Value> x, ArrayRef<Value> y) {
          return SmallVector<Value>{LLVM::FSubOp::create(b, loc, x[0], y[0]), LLVM::FSubOp::create(b, loc, x[1], y[1])};
        };
        SmallVector<Value> cornerLeft(4, bitcast(i32(0), fragment)), cornerRight;
        for (int64_t r = 0; r < 4; ++r) {
          SmallVector<Value> decay = leftDecay(r / 2, r % 2 * 8);
          if (!whole && r % 2 != reverse) // the later eight rows
            cornerLeft[r] = scale(av[r], difference(decay, middle[r / 2]));
          av[r] = scale(av[r], difference(decay, anchor[r / 2]));
        }
        Value bPlace = swizzled(right.type, add(low, mulConstant(bit4, 8)), add(chunk, bit3), 0, 0, ignored);
        bPlace = add(right.base, bPlace);
        // Adds the products with 16 columns from 16 j on, or from the own rows' numbers on.
        auto multiplyBlock = [&](std::optional<int64_t> j, ArrayRef<Value> mine) {
          // (row, feature) 0 0, 0 8, 8 0, 8 8
          SmallVector<Value> bv = loadMatrices(j ? addConstant(bPlace, *j * kRows * right.span)
                                                 : add(bPlace, mulConstant(firstRow, right.span)));
          for (int64_t r = 0; r < 4; ++r) {
            SmallVector<Value> decay =
                decayAt(r % 2, j ? Value() : rowBytes, (j.value_or(0) * kRows + r / 2 * 8) * g.span);
            bv[r] = scale(bv[r], difference(anchor[r % 2], decay));
          }
          SmallVector<Value> result;
          for (int64_t c : {0, 1}) {
            Value d = multiplyHalves(element, av, ArrayRef<Value>(bv).slice(2 * c, 2), mine.slice(4 * c, 4));
            for (int64_t k = 0; k < 4; ++k)
              result.push_back(LLVM::ExtractValueOp::create(b, loc, d, k));
          }
          return result;
        };
        for (auto [number, j] : llvm::enumerate(before)) {
          MutableArrayRef<Value> mine = MutableArrayRef<Value>(block).slice(8 * number, 8);
          SmallVector<Value> after = where(isBefore(j), mine, [&, j = j] { return multiplyBlock(j, mine); });
          llvm::copy(after, mine.begin());
        }
        if (whole) {
          MutableArrayRef<Value> mine = MutableArrayRef<Value>(block).take_back(8);
          llvm::copy(multiplyBlock({}, mine), mine.begin());
          return block;
        }
        SmallVector<Value> bv = loadMatrices(add(bPlace, mulConstant(firstRow, right.span)));
        for (int64_t q : {0, 1}) // the earlier eight columns
          cornerRight.push_back(
              scale(bv[2 * reverse + q], difference(middle[q], decayAt(q, rowBytes, reverse * 8 * g.span))));
        MutableArrayRef<Value> mine = MutableArrayRef<Value>(block).take_back(4);
        Value products = multiplyHalves(element, cornerLeft, cornerRight, mine);
        for (int64_t k = 0; k < 4; ++k)
          mine[k] = LLVM::ExtractValueOp::create(b, loc, products, k);
        return block;
      });
      llvm::copy(ArrayRef<Value>(products).take_back(corner.size()), corner.begin());
      // Of eight columns: rows group and group + 8, each two columns.
      for (auto [number, j] : llvm::enumerate(before))
        for (int64_t r : {0, 1})
          for (int64_t m = 0; m < 4; ++m)
            sums[placeAt(n, j, r, m)] = products[8 * number + m / 2 * 4 + 2 * r + m % 2];
    }
    SmallVector<Value> diagonal(8, zero);
    if (whole) {
      for (int64_t r : {0, 1})
        for (int64_t m = 0; m < 4; ++m)
          diagonal[4 * r + m] = corner[m / 2 * 4 + 2 * r + m % 2];
    } else if (halves) {
      SmallVector<Value> upper = triangle(firstRow), lower = triangle(addConstant(firstRow, 8));
      for (int64_t e : {0, 1}) {
        diagonal[e] = upper[e] ? upper[e] : zero;
        diagonal[6 + e] = lower[e] ? lower[e] : zero;
        diagonal[(reverse ? 2 : 4) + e] = corner[(reverse ? 0 : 2) + e];
      }
    } else {
      diagonal = elementBlock(firstRow, firstRow, /*diagonal=*/true);
    }
    for (int64_t r : {0, 1})
      for (int64_t m = 0; m < 4; ++m) {
        Value row = addConstant(group, 8 * r), column = addConstant(mulConstant(quad, 2), columnOf(m));
        using P = LLVM::ICmpPredicate;
        P kept = reverse ? (strict ? P::slt : P::sle) : (strict ? P::sgt : P::sge);
        Value value = select(icmp(kept, row, column), diagonal[4 * r + m], zero);
        for (int64_t w = 0; w < rowWarps; ++w) {
          Value &sum = sums[placeAt(n, rowWarps * n + w, r, m)];
          sum = rowWarps == 1 ? value : select(icmp(LLVM::ICmpPredicate::eq, rowWarp, i32(w)), value, sum);
        }
      }
  }
  if (parts > 1 || *to != *accumulator)
    addParts(rowWarp, part, rowWarps, parts, *to, sums);
  tiles[op.getTile()] = {sums, false};
  return success();
}

void Emitter::addParts(Value rowWarp, Value part, int64_t rowWarps, int64_t parts, const Layout &to,
                       SmallVectorImpl<Value> &sums) {
  // Four registers of a thread, those of eight columns, lie together, those of a warp's threads behind each other.
  int64_t ofEight = 32 * 16, ofWarp = sums.size() / 4 * ofEight, ofPart = ofWarp * rowWarps;
  Value base = add(scratch(ofPart * parts), add(mulConstant(rowWarp, ofWarp), mulConstant(lane, 16)));
  Type vector = VectorType::get(4, b.getF32Type());
  NVVM::Barrier0Op::create(b, loc);
  // Warps beyond the parts have computed one of them again.
  Block *after = rowWarps * parts < warps ? beginWhere(icmp(LLVM::ICmpPredicate::slt, part, i32(parts))) : nullptr;
  Value own = add(base, mulConstant(part, ofPart));
  for (size_t r = 0; r < sums.size(); r += 4) {
    Value four = LLVM::UndefOp::create(b, loc, vector);
    for (int64_t k = 0; k < 4; ++k)
      four = LLVM::InsertElementOp::create(b, loc, four, sums[r + k], i32(k));
    LLVM::StoreOp::create(b, loc, four, sharedPointer(addConstant(own, r * 128)), 16);
  }
  endWhere(after);
  NVVM::Barrier0Op::create(b, loc);
  // Each thread takes what it has of the result.
  sums.resize(to.registers());
  Layout ofWarps = to;
  for (Layout::Vector &v : ofWarps.lane)
    v = {0, 0};
  if (to.warpsAlong(1))
    base = add(base, inEntry([&] { return mulConstant(threadOffset(ofWarps, 1), ofEight / 8); }));
  for (size_t r = 0; r < sums.size(); r += 4)
    for (int64_t n = 0; n < parts; ++n) {
      int64_t place = n * ofPart + to.registerOffset(r)[1] / 8 * ofEight;
      Value four = LLVM::LoadOp::create(b, loc, vector, sharedPointer(addConstant(base, place)), 16);
      for (int64_t k = 0; k < 4; ++k) {
        Value one = LLVM::ExtractElementOp::create(b, loc, four, i32(k));
        sums[r + k] = n ? LLVM::FAddOp::create(b, loc, sums[r + k], one).getResult() : one;
      }
    }
}
