// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of f32: on tensor cores in tf32, once or three times, or by multiply-adds.
#include "codegen/tile-to-nvvm/Emitter.h"

#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

using Registers = std::map<Layout::Vector, int64_t>;

static Registers indexOf(const Layout &layout) {
  Registers at;
  for (int64_t r = 0; r < layout.registers(); ++r)
    at[layout.registerOffset(r)] = r;
  return at;
}

/// True for numbers that tf32 holds exactly: those that were 16 bits wide.
static bool isExactInTf32(Value value) {
  while (auto convert = value.getDefiningOp<tile::ConvertLayoutOp>())
    value = convert.getSource();
  return value.getDefiningOp<arith::ExtFOp>() != nullptr;
}

namespace {
/// The parts of one operand's registers, each made when it is first needed.
struct Split {
  SmallVector<Value> whole, high, low;
  bool exact;
  bool hidden = false; // what is not finite takes no part
};
} // namespace

/// Moves what was emitted after `first` and up to `last`, in one block, to where it is first used, as far as it only
/// computes or reads shared memory. Nothing that writes may stand between.
static void sinkToUses(Operation *first, Operation *last) {
  for (Operation *op = last; op && op != first;) {
    Operation *next = op->getPrevNode(), *user = nullptr;
    bool reads = isa<NVVM::LdMatrixOp>(op);
    if (auto load = dyn_cast<LLVM::LoadOp>(op))
      reads = cast<LLVM::LLVMPointerType>(load.getAddr().getType()).getAddressSpace() == 3;
    bool movable = reads || isMemoryEffectFree(op);
    for (Operation *each : op->getUsers()) {
      movable &= each->getBlock() == op->getBlock();
      if (movable && (!user || each->isBeforeInBlock(user)))
        user = each;
    }
    if (user && movable)
      op->moveBefore(user);
    op = next;
  }
}

Value Emitter::isNonfinite(Value x) {
  return LLVM::FCmpOp::create(b, loc, LLVM::FCmpPredicate::uge, callIntrinsic("llvm.fabs.f32", b.getF32Type(), {x}),
                              f32(std::numeric_limits<float>::infinity()));
}

LogicalResult Emitter::emitTf32Dot(tile::DotOp op) {
  auto a = tensorType(op.getA()), c = tensorType(op.getTile());
  bool rightRows = op.getContract()[1] == 1; // b is [n, k]
  int64_t rows = c.getDimSize(0), columns = c.getDimSize(1), depth = a.getDimSize(1);
  auto accumulator = Layout::mmaAccumulator(rows, columns, warps);
  auto is = [&](Value value, const std::optional<Layout> &expected) {
    return layout(value) && expected && *layout(value) == *expected;
  };
  auto oriented = [&](std::optional<Layout> right) {
    return right && !rightRows ? std::optional(right->transposed()) : right;
  };
  // Which two elements of the depth are one thread's: four apart as ldmatrix gives them, or neighbours as the
  // accumulator has them.
  int64_t apart = 0;
  std::optional<Layout> left, right;
  for (int64_t distance : {4, 1}) {
    left = distance == 4 ? Layout::mmaLeftSingle(rows, depth, warps) : Layout::mmaAccumulator(rows, depth, warps);
    right = oriented(distance == 4 ? Layout::mmaRightSingle(columns, depth, warps)
                                   : Layout::mmaRightPaired(columns, depth, warps));
    if (is(op.getA(), left) && is(op.getB(), right)) {
      apart = distance;
      break;
    }
  }
  if (!apart || !is(op.getTile(), accumulator))
    return op.emitOpError("has operands that are not in the layouts of mma.m16n8k8");

  bool thrice = op.getPrecision() == "3xtf32";
  auto prepare = [&](Value operand) {
    Split split{elements(operand), {}, {}, isExactInTf32(operand)};
    split.high.resize(split.whole.size());
    split.low.resize(split.whole.size());
    return split;
  };
  Type i32Type = b.getI32Type(), f32 = b.getF32Type();
  auto round = [&](Value x) { return callIntrinsic("llvm.nvvm.f2tf32.rna", i32Type, {x}); };
  Value zero = LLVM::ConstantOp::create(b, loc, f32, b.getF32FloatAttr(0)), some;
  auto high = [&](Split &split, int64_t r) {
    if (split.high[r])
      return split.high[r];
    Value &x = split.whole[r];
    if (split.hidden) {
      Value bad = isNonfinite(x);
      x = select(bad, zero, x);
      some = some ? LLVM::OrOp::create(b, loc, some, bad).getResult() : bad;
    }
    return split.high[r] = split.exact ? bitcast(x, i32Type) : round(x);
  };
  auto low = [&](Split &split, int64_t r) {
    if (!split.low[r])
      split.low[r] = round(LLVM::FSubOp::create(b, loc, split.whole[r], bitcast(high(split, r), f32)));
    return split.low[r];
  };
  Registers aAt = indexOf(*left), bAt = indexOf(*right), cAt = indexOf(*accumulator);
  auto resultType = LLVM::LLVMStructType::getLiteral(b.getContext(), {f32, f32, f32, f32});
  std::array<NVVM::MMATypes, 2> types{NVVM::MMATypes::tf32, NVVM::MMATypes::tf32};
  std::array<NVVM::MMALayout, 2> layouts{NVVM::MMALayout::row, NVVM::MMALayout::col};
  auto multiply = [&](ArrayRef<Value> x, ArrayRef<Value> y, ArrayRef<Value> z) {
    Value d = NVVM::MmaOp::create(b, loc, resultType, x, y, z, ArrayRef<int64_t>{16, 8, 8}, std::nullopt, std::nullopt,
                                  types, layouts);
    SmallVector<Value> result;
    for (int64_t k = 0; k < 4; ++k)
      result.push_back(LLVM::ExtractValueOp::create(b, loc, d, k));
    return result;
  };
  // sum + a b for registers at these places of the operands.
  auto multiplyParts = [&](Split &as, ArrayRef<int64_t> aPlaces, Split &bs, ArrayRef<int64_t> bPlaces,
                           SmallVector<Value> sum) {
    SmallVector<Value> aHigh, bHigh, aLow, bLow;
    for (int64_t place : aPlaces)
      aHigh.push_back(high(as, place));
    for (int64_t place : bPlaces)
      bHigh.push_back(high(bs, place));
    if (!thrice || (as.exact && bs.exact))
      return multiply(aHigh, bHigh, sum);
    // Tensor cores add with truncation: a long chain of sums in one accumulator would drift. Each step begins at 0, its
    // small products first, and is added with rounding.
    SmallVector<Value> step(4, zero);
    if (!as.exact) {
      for (int64_t place : aPlaces)
        aLow.push_back(low(as, place));
      step = multiply(aLow, bHigh, step);
    }
    if (!bs.exact) {
      for (int64_t place : bPlaces)
        bLow.push_back(low(bs, place));
      step = multiply(aHigh, bLow, step);
    }
    // Of an infinity the low part is inf - inf, and 0 times it no number: the great product alone says what it gives.
    for (Value &x : step)
      x = select(isNonfinite(x), zero, x);
    step = multiply(aHigh, bHigh, step);
    for (int64_t e = 0; e < 4; ++e)
      sum[e] = LLVM::FAddOp::create(b, loc, sum[e], step[e]);
    return sum;
  };
  auto aPlacesAt = [&](int64_t m, int64_t k) {
    SmallVector<int64_t, 4> places;
    for (int64_t q : {int64_t(0), apart})
      for (int64_t r : {0, 8})
        places.push_back(aAt[{m + r, k + q}]);
    return places;
  };
  auto bPlacesAt = [&](int64_t n, int64_t k) {
    SmallVector<int64_t, 2> places;
    for (int64_t q : {int64_t(0), apart})
      places.push_back(bAt[rightRows ? Layout::Vector{n, k + q} : Layout::Vector{k + q, n}]);
    return places;
  };
  Operation *last = b.getInsertionBlock()->empty() ? nullptr : &b.getInsertionBlock()->back();
  SmallVector<Value> sums = elements(op.getAcc());
  Split as = prepare(op.getA()), bs = prepare(op.getB());
  bs.hidden = op.getHides();
  SmallVector<SignBits> signs;
  if (op.getHides()) {
    if (apart != 1 || depth > 128)
      return op.emitOpError("hides by weights that are read from shared memory, or by more than 128");
    for (int64_t m = 0; m < rows; m += 16 * warps)
      for (int64_t r : {0, 8}) {
        SignBits row{i32(0), i32(0)};
        for (int64_t k = 0, bit = 0; k < depth; k += 8)
          for (int64_t q : {0, 1}) {
            Value x = as.whole[aAt[{m + r, k + q}]];
            Value isSome = LLVM::FCmpOp::create(b, loc, LLVM::FCmpPredicate::une, x, zero);
            row.some = LLVM::OrOp::create(b, loc, row.some, select(isSome, i32(int32_t(1u << bit)), i32(0)));
            Value sign = LLVM::LShrOp::create(b, loc, bitcast(x, i32Type), i32(31));
            row.negative = LLVM::OrOp::create(b, loc, row.negative, LLVM::ShlOp::create(b, loc, sign, i32(bit++)));
          }
        // Made here, so that the weights themselves need not wait in registers.
        signs.push_back({again(row.some), again(row.negative)});
      }
  }
  for (int64_t k = 0; k < depth; k += 8) {
    // Three products an element leave few registers for fragments that wait. ptxas would read far ahead; it does not
    // move reads of shared memory across this.
    for (int64_t n = 0; n < columns; n += 8) { // rows inside: the parts of a right operand are soon done with
      if (thrice && n % 32 == 0 && (k || n))
        NVVM::SyncWarpOp::create(b, loc, i32(-1));
      for (int64_t m = 0; m < rows; m += 16 * warps) {
        SmallVector<int64_t, 4> places;
        for (int64_t r : {0, 8})
          for (int64_t q : {0, 1})
            places.push_back(cAt[{m + r, n + q}]);
        SmallVector<Value> sum;
        for (int64_t place : places)
          sum.push_back(sums[place]);
        sum = multiplyParts(as, aPlacesAt(m, k), bs, bPlacesAt(n, k), sum);
        for (auto [place, value] : llvm::zip(places, sum))
          sums[place] = value;
      }
    }
  }
  Operation *first = thrice || op.getHides() ? firstReadFor(op) : nullptr;
  if (first && last && first->getBlock() == last->getBlock() && last->getBlock() == b.getInsertionBlock())
    sinkToUses(first, last);
  if (some) {
    Value any = NVVM::VoteSyncOp::create(b, loc, b.getI1Type(), i32(-1), some, NVVM::VoteSyncKind::any);
    bool isRead = true;
    sums = branch(
        any,
        [&] {
          SmallVector<Value> more(sums);
          isRead = succeeded(addNonfinite(op, *accumulator, signs, more));
          return more;
        },
        [&] { return sums; });
    if (!isRead)
      return op.emitOpError("hides values that are not in shared memory");
  }
  tiles[op.getTile()] = {sums, false};
  return success();
}

/// The read of shared memory that an operand is, perhaps widened; null for one that is in registers.
static tile::SmemReadOp readOf(Value operand) {
  if (auto wide = operand.getDefiningOp<arith::ExtFOp>())
    operand = wide.getIn();
  return operand.getDefiningOp<tile::SmemReadOp>();
}

/// What is not finite is rare: it is looked for in a loop, and each one found is added by itself, so that this needs
/// few registers and little code. Of the weights only their signs are kept for it.
LogicalResult Emitter::addNonfinite(tile::DotOp op, const Layout &accumulator, ArrayRef<SignBits> signs,
                                    SmallVectorImpl<Value> &sums) {
  tile::SmemReadOp read = readOf(op.getB());
  if (!read || read->getBlock() != op->getBlock())
    return failure();
  for (Operation *between = read; between != op; between = between->getNextNode())
    if (isa<tile::BarrierOp, tile::CopyStartOp, tile::SmemWriteOp>(between))
      return failure();
  bool rightRows = op.getContract()[1] == 1;
  auto a = tensorType(op.getA()), c = tensorType(op.getTile());
  int64_t rows = c.getDimSize(0), columns = c.getDimSize(1), depth = a.getDimSize(1);
  Registers cAt = indexOf(accumulator);
  auto type = read.getSmem().getType();
  Type element = type.getElementType(), single = b.getF32Type();
  Value stage = stageBase(read.getSmem(), read.getStage());
  auto both = [&](Value x, Value y) { return LLVM::AndOp::create(b, loc, x, y).getResult(); };
  auto right = [&](Value x, Value by) { return LLVM::LShrOp::create(b, loc, x, by).getResult(); };
  auto equal = [&](Value x, Value y) { return icmp(LLVM::ICmpPredicate::eq, x, y); };
  auto from = [&](Value x, Value source) -> Value {
    return NVVM::ShflOp::create(b, loc, x.getType(), i32(-1), x, source, i32(31), NVVM::ShflKind::idx, UnitAttr());
  };
  // Adds `x` at step k and column n, the same in all threads of the warp. Of eight columns each thread of a row holds
  // two neighbours.
  auto addOne = [&](Value x, Value k, Value n, ArrayRef<Value> old) {
    SmallVector<Value> next(old);
    auto holder = [&](Value at) { return right(both(at, i32(7)), i32(1)); };
    Value source = LLVM::OrOp::create(b, loc, both(lane, i32(28)), holder(k));
    Value bit = add(mulConstant(right(k, i32(3)), 2), both(k, i32(1)));
    Value column = sub(n, mulConstant(holder(n), 2)), mine = equal(both(lane, i32(3)), holder(n));
    for (int64_t m = 0, row = 0; m < rows; m += 16 * warps)
      for (int64_t r : {0, 8}) {
        auto bitOf = [&](Value word) { return both(right(from(word, source), bit), i32(1)); };
        Value counts = both(mine, equal(bitOf(signs[row].some), i32(1)));
        Value isNegative = equal(bitOf(signs[row].negative), i32(1));
        Value share = select(isNegative, LLVM::FNegOp::create(b, loc, x), x);
        for (int64_t d = 0; d < columns; d += 8)
          for (int64_t q : {0, 1}) {
            Value &sum = next[cAt[{m + r, d + q}]];
            Value here = both(counts, equal(column, i32(d + q)));
            sum = select(here, LLVM::FAddOp::create(b, loc, sum, share), sum);
          }
        ++row;
      }
    return next;
  };
  auto same = [](ArrayRef<Value> values) { return [=] { return SmallVector<Value>(values); }; };
  sums = countedLoop(depth * columns, 32, sums, [&](Value begin, ArrayRef<Value> old) {
    auto placeOf = [&](Value index) {
      Value k = LLVM::UDivOp::create(b, loc, index, i32(columns));
      return std::pair(k, sub(index, mulConstant(k, columns)));
    };
    auto [k, n] = placeOf(add(begin, lane));
    Value address = elementAddress(type, stage, rightRows ? n : k, rightRows ? k : n, 0, 0);
    Value x = LLVM::LoadOp::create(b, loc, element, sharedPointer(address));
    if (!element.isF32())
      x = LLVM::FPExtOp::create(b, loc, single, x);
    Value any = NVVM::VoteSyncOp::create(b, loc, b.getI1Type(), i32(-1), isNonfinite(x), NVVM::VoteSyncKind::any);
    auto each = [&] {
      return countedLoop(32, 1, old, [&](Value thread, ArrayRef<Value> old) {
        Value one = from(x, thread);
        auto [k, n] = placeOf(add(begin, thread));
        return branch(
            isNonfinite(one), [&, k = k, n = n] { return addOne(one, k, n, old); }, same(old));
      });
    };
    return branch(any, each, same(old));
  });
  return success();
}

//===--- multiply-adds ---===//

Operation *Emitter::firstReadFor(tile::DotOp op) {
  Operation *first = nullptr;
  for (Value operand : {op.getA(), op.getB()})
    if (tile::SmemReadOp read = readOf(operand); read && read->getBlock() == op->getBlock()) {
      for (Operation *between = read; between != op; between = between->getNextNode())
        if (isa<tile::BarrierOp, tile::CopyStartOp, tile::CopyWaitOp, tile::SmemWriteOp, tile::StoreOp>(between) ||
            between->getNumRegions())
          return nullptr;
      Operation *before = beforeRead.lookup(read);
      if (!before)
        return nullptr;
      if (!first || (before->getBlock() == first->getBlock() && before->isBeforeInBlock(first)))
        first = before;
    }
  return first;
}

bool Emitter::isReadByProducts(tile::SmemReadOp op) {
  auto isFma = [](OpOperand &use) {
    auto dot = dyn_cast<tile::DotOp>(use.getOwner());
    return dot && use.getOperandNumber() < 2 && cast<RankedTensorType>(dot.getA().getType()).getElementType().isF32() &&
           dot.getPrecision().value_or("fma") == "fma" && readOf(use.get());
  };
  auto onlyFma = [&](Value value) { return llvm::all_of(value.getUses(), isFma); };
  for (OpOperand &use : op.getTile().getUses())
    if (auto wide = dyn_cast<arith::ExtFOp>(use.getOwner()); wide ? !onlyFma(wide.getResult()) : !isFma(use))
      return false;
  const Layout *to = layout(op.getTile());
  auto type = tensorType(op.getTile());
  int64_t rows = type.getDimSize(0), columns = type.getDimSize(1);
  auto left = Layout::fmaLeft(rows, columns, warps), right = Layout::fmaRight(rows, columns, warps),
       across = Layout::fmaRight(columns, rows, warps);
  return (left && *to == *left) || (right && *to == *right) || (across && *to == across->transposed());
}

LogicalResult Emitter::emitFmaDot(tile::DotOp op) {
  auto a = tensorType(op.getA()), c = tensorType(op.getTile());
  bool rightRows = op.getContract()[1] == 1;
  int64_t rows = c.getDimSize(0), columns = c.getDimSize(1), depth = a.getDimSize(1);
  auto accumulator = Layout::mmaAccumulator(rows, columns, warps);
  auto right = Layout::fmaRight(columns, depth, warps);
  if (right && !rightRows)
    right = right->transposed();
  auto is = [&](Value value, const std::optional<Layout> &expected) {
    return layout(value) && expected && *layout(value) == *expected;
  };
  tile::SmemReadOp aRead = readOf(op.getA()), bRead = readOf(op.getB());
  if (aRead && !is(op.getA(), Layout::fmaLeft(rows, depth, warps)))
    aRead = {};
  if ((!aRead && !is(op.getA(), Layout::mmaAccumulator(rows, depth, warps))) || !bRead || !is(op.getB(), right) ||
      !is(op.getTile(), accumulator))
    return op.emitOpError("has operands that are not in the layouts of multiply-adds over shared memory");
  // The elements are read here: nothing may change them between where the read stands and here.
  for (tile::SmemReadOp read : {aRead, bRead})
    if (read) {
      if (read->getBlock() != op->getBlock())
        return op.emitOpError("multiplies tiles that are read in another block");
      for (Operation *between = read; between != op; between = between->getNextNode())
        if (isa<tile::BarrierOp, tile::CopyStartOp, tile::SmemWriteOp>(between))
          return op.emitOpError("multiplies tiles that are read before a barrier or a copy");
    }

  Type f32 = b.getF32Type();
  // `count` neighbours in a row of a stage.
  auto loadRow = [&](tile::SmemReadOp read, Value row, Value column, int64_t rowConstant, int64_t columnConstant,
                     int64_t count) {
    auto type = read.getSmem().getType();
    Type element = type.getElementType();
    int64_t bytes = element.getIntOrFloatBitWidth() / 8;
    Value address =
        elementAddress(type, stageBase(read.getSmem(), read.getStage()), row, column, rowConstant, columnConstant);
    Value loaded = LLVM::LoadOp::create(b, loc, VectorType::get(count, element), sharedPointer(address), bytes * count);
    SmallVector<Value> result;
    for (int64_t k = 0; k < count; ++k) {
      Value one = LLVM::ExtractElementOp::create(b, loc, loaded, i32(k));
      result.push_back(element.isF32() ? one : LLVM::FPExtOp::create(b, loc, f32, one).getResult());
    }
    return result;
  };

  Value group = inEntry([&] { return LLVM::LShrOp::create(b, loc, lane, i32(2)).getResult(); });
  Value pair = inEntry([&] { return mulConstant(LLVM::AndOp::create(b, loc, lane, i32(3)), 2); });
  Value firstRow = inEntry([&] { return add(group, mulConstant(warpOfRows(rows), 16)); });
  Value zero = i32(0);
  Registers cAt = indexOf(*accumulator), aAt;
  SmallVector<Value> sums = elements(op.getAcc()), aRegisters;
  if (!aRead) {
    aRegisters = elements(op.getA());
    aAt = indexOf(*Layout::mmaAccumulator(rows, depth, warps));
  }
  constexpr int64_t kStep = 4; // elements of the depth at a time
  Value none = LLVM::ConstantOp::create(b, loc, f32, b.getF32FloatAttr(0));
  for (int64_t k = 0; k < depth; k += kStep) {
    // Of each row of this thread, four elements.
    std::map<int64_t, SmallVector<Value>> left;
    for (int64_t m = 0; m < rows; m += 16 * warps)
      for (int64_t r : {0, 8}) {
        SmallVector<Value> &values = left[m + r];
        if (aRead) {
          values = loadRow(aRead, firstRow, zero, m + r, k, kStep);
          continue;
        }
        // They are in the four threads of the row: two each.
        for (int64_t e = k; e < k + kStep; ++e) {
          Value from = inEntry([&] {
            return LLVM::OrOp::create(b, loc, LLVM::AndOp::create(b, loc, lane, i32(28)), i32(e % 8 / 2)).getResult();
          });
          values.push_back(NVVM::ShflOp::create(b, loc, f32, i32(-1), aRegisters[aAt[{m + r, e - e % 8 + e % 2}]], from,
                                                i32(31), NVVM::ShflKind::idx, UnitAttr()));
        }
      }
    // With hides: which of them are not 0.
    std::map<int64_t, SmallVector<Value>> counts;
    if (op.getHides())
      for (auto &[row, values] : left)
        for (Value value : values)
          counts[row].push_back(LLVM::FCmpOp::create(b, loc, LLVM::FCmpPredicate::une, value, none));
    for (int64_t n = 0; n < columns; n += 8) {
      // right[e][q]: element k + e of column n + q.
      SmallVector<SmallVector<Value>> across(kStep);
      if (rightRows) {
        for (int64_t q : {0, 1}) {
          SmallVector<Value> column = loadRow(bRead, pair, zero, n + q, k, kStep);
          for (int64_t e = 0; e < kStep; ++e)
            across[e].push_back(column[e]);
        }
      } else {
        for (int64_t e = 0; e < kStep; ++e)
          across[e] = loadRow(bRead, zero, pair, k + e, n, 2);
      }
      for (int64_t e = 0; e < kStep; ++e)
        for (auto &[row, values] : left)
          for (int64_t q : {0, 1}) {
            Value &sum = sums[cAt[{row, n + q}]];
            Value next = LLVM::FMAOp::create(b, loc, values[e], across[e][q], sum);
            sum = op.getHides() ? select(counts[row][e], next, sum) : next; // a predicate of the multiply-add
          }
    }
  }
  tiles[op.getTile()] = {sums, false};
  return success();
}
