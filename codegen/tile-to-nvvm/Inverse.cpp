// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Inverses of unit triangular matrices, in shared memory and f32: forward substitution in blocks of 16 on the diagonal,
// then neighbours are merged, by multiply-adds or on tensor cores, until one is left:
//
//     ( A    )^-1   ( A^-1            )
//     ( B  D )    = ( -D^-1 B A^-1  D^-1 )
//
// An upper triangle is stored with the order of rows and columns turned round, which makes it a lower one.
#include "codegen/tile-to-nvvm/Emitter.h"
#include "dialect/tile/Scratch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

namespace {
constexpr int64_t kBlock = 16;
} // namespace

LogicalResult Emitter::emitUnitTrilInverse(tile::UnitTrilInverseOp op) {
  const Layout *at = layout(op.getTile());
  if (!at || !layout(op.getSource()))
    return op.emitOpError("works on a tile without layout");
  int64_t size = tensorType(op.getTile()).getDimSize(0), pitch = tile::inversePitch(size);
  if (size % kBlock)
    return op.emitOpError("inverts ") << size << " rows, which are no multiple of " << kBlock;
  if (*at != *layout(op.getSource()))
    return op.emitOpError("has a result whose layout is not that of its source");
  Value base = scratch(size * pitch * 4);
  bool reverse = op.getReverse();

  Value row = threadOffset(*at, 0), column = threadOffset(*at, 1);
  Value below = inEntry([&] { return sub(row, column); });
  Value thread = inEntry([&] {
    Value place = mulConstant(add(mulConstant(row, pitch), column), 4);
    return reverse ? sub(i32((size * pitch - pitch + size - 1) * 4), place) : place;
  });
  thread = add(base, thread);
  // Neighbours in a row go together, the other way round in reverse.
  bool paired = !at->reg.empty() && at->reg.front() == Layout::Vector{0, 1};
  int64_t step = paired ? 2 : 1;
  Type pair = VectorType::get(2, b.getF32Type());
  auto pointerOf = [&](int64_t r) {
    Layout::Vector offset = at->registerOffset(reverse ? r + step - 1 : r);
    int64_t constant = (offset[0] * pitch + offset[1]) * 4;
    return sharedPointer(addConstant(thread, reverse ? -constant : constant));
  };

  SmallVector<Value> source = elements(op.getSource());
  NVVM::Barrier0Op::create(b, loc);
  Block *after = beginWhere(writesOnce(*at));
  Value zero = f32(0), one = f32(1);
  auto elementOf = [&](int64_t r) {
    Layout::Vector offset = at->registerOffset(r);
    Value limit = i32(offset[1] - offset[0]); // row - column against 0
    Value inside = icmp(reverse ? LLVM::ICmpPredicate::slt : LLVM::ICmpPredicate::sgt, below, limit);
    return select(inside, source[r], select(icmp(LLVM::ICmpPredicate::eq, below, limit), one, zero));
  };
  for (int64_t r = 0; r < at->registers(); r += step) {
    Value value = elementOf(r);
    if (paired) {
      Value both = LLVM::UndefOp::create(b, loc, pair);
      both = LLVM::InsertElementOp::create(b, loc, both, value, i32(reverse));
      value = LLVM::InsertElementOp::create(b, loc, both, elementOf(r + 1), i32(!reverse));
    }
    LLVM::StoreOp::create(b, loc, value, pointerOf(r), 4 * step);
  }
  endWhere(after);
  NVVM::Barrier0Op::create(b, loc);

  invertDiagonal(base, size);
  NVVM::Barrier0Op::create(b, loc);
  bool onTensorCores = op.getPrecision() == "tf32";
  auto merge = [&](int64_t start, int64_t width, int64_t rows, int64_t pairs) {
    if (onTensorCores)
      multiplyInverses(base, size, start, width, rows, pairs);
    else
      mergeInverses(base, size, start, width, rows, pairs);
  };
  for (int64_t width = kBlock; width < size; width *= 2) {
    int64_t pairs = size / (2 * width), rest = size % (2 * width);
    if (pairs)
      merge(0, width, width, pairs);
    if (rest > width)
      merge(size - rest, width, rest - width, 1);
  }

  TileValue result;
  for (int64_t r = 0; r < at->registers(); r += step) {
    Value loaded = LLVM::LoadOp::create(b, loc, paired ? pair : Type(b.getF32Type()), pointerOf(r), 4 * step);
    for (int64_t k = 0; k < step; ++k)
      result.registers.push_back(
          paired ? LLVM::ExtractElementOp::create(b, loc, loaded, i32(reverse ? 1 - k : k)).getResult() : loaded);
  }
  tiles[op.getTile()] = result;
  return success();
}

void Emitter::invertDiagonal(Value base, int64_t size) {
  // A half warp has a block, a lane a column of its inverse. A warp's two blocks are neighbours, which lie in different
  // banks.
  int64_t pitch = tile::inversePitch(size), blocks = size / kBlock;
  Value column = inEntry([&] { return LLVM::AndOp::create(b, loc, lane, i32(kBlock - 1)).getResult(); });
  Value half = inEntry([&] { return LLVM::LShrOp::create(b, loc, lane, i32(4)).getResult(); });
  Type vector = VectorType::get(4, b.getF32Type());
  Value zero = f32(0), one = f32(1);
  for (int64_t first = 0; first < blocks; first += 2 * warps) {
    Value number = addConstant(mulConstant(warp, 2), first);
    Block *after = nullptr;
    if (first + 2 * warps > blocks)
      after = beginWhere(icmp(LLVM::ICmpPredicate::slt, number, i32(blocks)));
    number = add(number, half);
    if (blocks % 2) // the last warp's halves do the same
      number = LLVM::SMinOp::create(b, loc, number, i32(blocks - 1));
    Value origin = add(base, mulConstant(number, kBlock * (pitch + 1) * 4));
    SmallVector<Value> x;
    for (int64_t i = 0; i < kBlock; ++i) {
      Value sum;
      for (int64_t m = 0; m < i; m += 4) {
        Value loaded =
            LLVM::LoadOp::create(b, loc, vector, sharedPointer(addConstant(origin, (i * pitch + m) * 4)), 16);
        for (int64_t k = m; k < std::min(m + 4, i); ++k) {
          Value l = LLVM::ExtractElementOp::create(b, loc, loaded, i32(k - m));
          sum = sum ? LLVM::FMAOp::create(b, loc, l, x[k], sum).getResult()
                    : LLVM::FMulOp::create(b, loc, l, x[k]).getResult();
        }
      }
      Value unit = select(icmp(LLVM::ICmpPredicate::eq, column, i32(i)), one, zero);
      x.push_back(sum ? LLVM::FSubOp::create(b, loc, unit, sum).getResult() : unit);
    }
    NVVM::SyncWarpOp::create(b, loc, i32(-1)); // before what others read is replaced
    Value place = add(origin, mulConstant(column, 4));
    for (int64_t i = 0; i < kBlock; ++i)
      LLVM::StoreOp::create(b, loc, x[i], sharedPointer(addConstant(place, i * pitch * 4)), 4);
    endWhere(after);
  }
}

void Emitter::mergeInverses(Value base, int64_t size, int64_t start, int64_t width, int64_t rows, int64_t pairs) {
  int64_t pitch = tile::inversePitch(size), threads = 32 * warps;
  // A thread has a few rows of two columns.
  int64_t height = width > kBlock && pairs * rows * width >= 8 * threads ? 4 : 2;
  int64_t across = width / 2, groups = rows / height, items = pairs * groups * across;
  struct Item {
    Value leftRow, column, columns; // byte offsets: of the rows of B, of the columns in A's rows, of the columns
    Value exists;                   // null: always
  };
  SmallVector<Item> all;
  for (int64_t first = 0; first < items; first += threads) {
    Item item;
    Value number = addConstant(threadId, first);
    if (first + threads > items) {
      item.exists = icmp(LLVM::ICmpPredicate::slt, number, i32(items));
      number = LLVM::SMinOp::create(b, loc, number, i32(items - 1));
    }
    Value column = mulConstant(LLVM::AndOp::create(b, loc, number, i32(across - 1)), 2);
    Value group = LLVM::LShrOp::create(b, loc, number, i32(llvm::Log2_64(across))), pairStart = i32(start);
    if (pairs > 1) {
      Value pair = LLVM::UDivOp::create(b, loc, group, i32(groups));
      group = LLVM::URemOp::create(b, loc, group, i32(groups));
      pairStart = addConstant(mulConstant(pair, 2 * width), start);
    }
    // Rows and columns move by the same for each pair.
    item.leftRow = mulConstant(
        add(mulConstant(addConstant(add(pairStart, mulConstant(group, height)), width), pitch), pairStart), 4);
    item.column = mulConstant(add(mulConstant(pairStart, pitch), add(pairStart, column)), 4);
    item.columns = mulConstant(column, 4);
    all.push_back(item);
  }
  Type vector = VectorType::get(4, b.getF32Type()), pair = VectorType::get(2, b.getF32Type());
  Value zero = f32(0);
  // First B A^-1, then the inverse of D times that.
  for (bool second : {false, true}) {
    int64_t depth = second ? rows : width;
    SmallVector<SmallVector<Value>> results;
    for (const Item &item : all) {
      Value left = add(base, addConstant(item.leftRow, second ? width * 4 : 0));
      Value right = add(base, addConstant(item.column, second ? width * pitch * 4 : 0));
      SmallVector<Value> initial(2 * height, zero);
      results.push_back(countedLoop(depth, 4, initial, [&](Value k, ArrayRef<Value> values) {
        SmallVector<Value> sums(values);
        Value leftAt = add(left, mulConstant(k, 4)), rightAt = add(right, mulConstant(k, pitch * 4));
        SmallVector<Value> rightPairs, leftRows;
        for (int64_t e = 0; e < 4; ++e)
          rightPairs.push_back(
              LLVM::LoadOp::create(b, loc, pair, sharedPointer(addConstant(rightAt, e * pitch * 4)), 8));
        for (int64_t i = 0; i < height; ++i)
          leftRows.push_back(
              LLVM::LoadOp::create(b, loc, vector, sharedPointer(addConstant(leftAt, i * pitch * 4)), 16));
        for (int64_t e = 0; e < 4; ++e)
          for (int64_t i = 0; i < height; ++i)
            for (int64_t q : {0, 1}) {
              Value l = LLVM::ExtractElementOp::create(b, loc, leftRows[i], i32(e));
              Value r = LLVM::ExtractElementOp::create(b, loc, rightPairs[e], i32(q));
              sums[2 * i + q] = LLVM::FMAOp::create(b, loc, l, r, sums[2 * i + q]);
            }
        return sums;
      }));
    }
    NVVM::Barrier0Op::create(b, loc);
    for (auto [item, values] : llvm::zip(all, results)) {
      Block *after = beginWhere(item.exists);
      // The place of B: its rows, the columns of A.
      Value place = add(base, add(item.leftRow, item.columns));
      for (int64_t i = 0; i < height; ++i) {
        Value both = LLVM::UndefOp::create(b, loc, pair);
        for (int64_t q : {0, 1}) {
          Value value = values[2 * i + q];
          both =
              LLVM::InsertElementOp::create(b, loc, both, second ? LLVM::FNegOp::create(b, loc, value) : value, i32(q));
        }
        LLVM::StoreOp::create(b, loc, both, sharedPointer(addConstant(place, i * pitch * 4)), 8);
      }
      endWhere(after);
    }
    NVVM::Barrier0Op::create(b, loc);
  }
}

void Emitter::multiplyInverses(Value base, int64_t size, int64_t start, int64_t width, int64_t rows, int64_t pairs) {
  int64_t pitch = tile::inversePitch(size);
  // First B A^-1, then the inverse of D times that. A warp has 16 rows of the first and 16 columns of the second: what
  // it replaces no other warp reads.
  for (bool second : {false, true}) {
    int64_t strips = (second ? width : rows) / kBlock, items = pairs * strips;
    for (int64_t first = 0; first < items; first += warps) {
      Value number = addConstant(warp, first);
      Block *after = first + warps > items ? beginWhere(icmp(LLVM::ICmpPredicate::slt, number, i32(items))) : nullptr;
      Value strip = number, corner = i32(start); // the first row and column of A
      if (pairs > 1) {
        strip = LLVM::URemOp::create(b, loc, number, i32(strips));
        corner = addConstant(mulConstant(LLVM::UDivOp::create(b, loc, number, i32(strips)), 2 * width), start);
      }
      Value origin = add(base, mulConstant(corner, (pitch + 1) * 4));
      Value along = strips > 1 ? mulConstant(strip, kBlock * (second ? 1 : pitch) * 4) : i32(0);
      int64_t below = width * pitch * 4;
      if (second)
        multiplyStrip(addConstant(origin, below + width * 4), add(addConstant(origin, below), along), pitch, rows,
                      kBlock, rows, true);
      else
        multiplyStrip(add(addConstant(origin, below), along), origin, pitch, kBlock, width, width, false);
      endWhere(after);
    }
    if (!second && width == kBlock && rows == kBlock)
      NVVM::SyncWarpOp::create(b, loc, i32(-1)); // one strip either way, of the same warp
    else
      NVVM::Barrier0Op::create(b, loc);
  }
}

void Emitter::multiplyStrip(Value left, Value right, int64_t pitch, int64_t rows, int64_t columns, int64_t depth,
                            bool second) {
  Type single = b.getF32Type(), word = b.getI32Type(), pair = VectorType::get(2, single);
  Value group = inEntry([&] { return LLVM::LShrOp::create(b, loc, lane, i32(2)).getResult(); });
  Value quad = inEntry([&] { return LLVM::AndOp::create(b, loc, lane, i32(3)).getResult(); });
  // A thread has two neighbours of the depth. The upper half of each four takes them in the other order: so the rows of
  // the right operand that are read together lie in different banks.
  Value upper = inEntry([&] { return LLVM::LShrOp::create(b, loc, quad, i32(1)).getResult(); });
  Value turned = inEntry([&] { return icmp(LLVM::ICmpPredicate::ne, upper, i32(0)); });
  Value pairPlace = inEntry([&] { return mulConstant(add(mulConstant(group, pitch), mulConstant(quad, 2)), 4); });
  Value rightPlace =
      inEntry([&] { return mulConstant(add(mulConstant(add(mulConstant(quad, 2), upper), pitch), group), 4); });
  Value otherPlace = inEntry([&] { // 2 quad + 1 - upper
    Value row = sub(addConstant(mulConstant(quad, 2), 1), upper);
    return mulConstant(add(mulConstant(row, pitch), group), 4);
  });
  auto resultType = LLVM::LLVMStructType::getLiteral(b.getContext(), {single, single, single, single});
  std::array<NVVM::MMATypes, 2> types{NVVM::MMATypes::tf32, NVVM::MMATypes::tf32};
  std::array<NVVM::MMALayout, 2> layouts{NVVM::MMALayout::row, NVVM::MMALayout::col};
  auto round = [&](Value x) { return callIntrinsic("llvm.nvvm.f2tf32.rna", word, {x}); };

  Value leftBase = add(left, pairPlace), rightBase = add(right, rightPlace), otherBase = add(right, otherPlace);
  SmallVector<Value> initial(rows / 16 * (columns / 8) * 4, f32(0));
  SmallVector<Value> sums = countedLoop(depth, 8, initial, [&](Value k, ArrayRef<Value> values) {
    SmallVector<Value> next(values);
    Value leftAt = add(leftBase, mulConstant(k, 4)), down = mulConstant(k, pitch * 4);
    Value rightAt = add(rightBase, down), otherAt = add(otherBase, down);
    SmallVector<std::array<Value, 2>> rights;
    for (int64_t n = 0; n < columns; n += 8) {
      auto load = [&](Value at) {
        return round(LLVM::LoadOp::create(b, loc, single, sharedPointer(addConstant(at, n * 4)), 4));
      };
      rights.push_back({load(rightAt), load(otherAt)});
    }
    Value *sum = next.data();
    for (int64_t m = 0; m < rows; m += 16) {
      SmallVector<Value> lefts(4);
      for (int64_t half : {0, 1}) {
        Value both =
            LLVM::LoadOp::create(b, loc, pair, sharedPointer(addConstant(leftAt, (m + 8 * half) * pitch * 4)), 8);
        Value x = LLVM::ExtractElementOp::create(b, loc, both, i32(0));
        Value y = LLVM::ExtractElementOp::create(b, loc, both, i32(1));
        lefts[half] = round(select(turned, y, x));
        lefts[2 + half] = round(select(turned, x, y));
      }
      for (const std::array<Value, 2> &each : rights) {
        Value d = NVVM::MmaOp::create(b, loc, resultType, lefts, each, ArrayRef<Value>(sum, 4),
                                      ArrayRef<int64_t>{16, 8, 8}, std::nullopt, std::nullopt, types, layouts);
        for (int64_t e = 0; e < 4; ++e)
          *sum++ = LLVM::ExtractValueOp::create(b, loc, d, e);
      }
    }
    return next;
  });
  NVVM::SyncWarpOp::create(b, loc, i32(-1)); // before what other lanes read is replaced
  Value place = add(second ? right : left, pairPlace);
  const Value *sum = sums.data();
  for (int64_t m = 0; m < rows; m += 16)
    for (int64_t n = 0; n < columns; n += 8)
      for (int64_t half : {0, 1}) {
        Value both = LLVM::UndefOp::create(b, loc, pair);
        for (int64_t q : {0, 1}) {
          Value value = *sum++;
          both =
              LLVM::InsertElementOp::create(b, loc, both, second ? LLVM::FNegOp::create(b, loc, value) : value, i32(q));
        }
        LLVM::StoreOp::create(b, loc, both, sharedPointer(addConstant(place, ((m + 8 * half) * pitch + n) * 4)), 8);
      }
}
