// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Running sums along a dimension of a tile: within registers, across lanes, and across warps through shared memory.
#include "codegen/tile-to-nvvm/Emitter.h"

#include <set>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

// Coordinates along the dimension are sums of digits: bits of the register, lane and warp number, and repetitions. From
// the digit of the smallest step up, blocks of consecutive elements double (or multiply): within each block a thread
// knows the running sum at its own elements and the block's total, so that one exchange per lane bit is enough. From
// the first digit that is of warps, all further digits are exchanged at once.
LogicalResult Emitter::emitScan(tile::ScanOp op) {
  const Layout *at = layout(op.getTile()), *from = layout(op.getSource());
  auto total = dyn_cast<RankedTensorType>(op.getTotal().getType());
  const Layout *rest = total ? layout(op.getTotal()) : nullptr;
  if (!at || !from || (total && !rest))
    return op.emitOpError("works on a tile without layout");
  unsigned dim = op.getDim();
  if (*at != *from || (total && at->slice(dim) != *rest))
    return op.emitOpError("has results whose layouts are not that of its source");

  struct Digit {
    int64_t step, count;
    enum { Lane, Warp, Register } kind = Register;
    int64_t bit = 0;              // which lane bit
    int64_t stride = 0, size = 1; // register number = low + stride * (digit + size * high)
  };
  SmallVector<Digit> digits;
  for (auto [k, v] : llvm::enumerate(at->lane))
    if (v[dim])
      digits.push_back({v[dim], 2, Digit::Lane, int64_t(k)});
  for (const Layout::Vector &v : at->warp)
    if (v[dim])
      digits.push_back({v[dim], 2, Digit::Warp});
  int64_t stride = 1;
  for (const Layout::Vector &v : at->reg) {
    if (v[dim])
      digits.push_back({v[dim], 2, Digit::Register, 0, stride, 2});
    stride *= 2;
  }
  for (const Layout::Repeat &repeat : at->rep) {
    if (repeat.step[dim])
      digits.push_back({repeat.step[dim], repeat.count, Digit::Register, 0, stride, repeat.count});
    stride *= repeat.count;
  }
  llvm::sort(digits, [](const Digit &x, const Digit &y) { return x.step < y.step; });
  int64_t block = 1, blockOfWarp = 0;
  for (const Digit &digit : digits) {
    if (digit.step != block || (blockOfWarp && digit.kind == Digit::Lane))
      return op.emitOpError("runs along a dimension whose elements lie in no order of threads and registers");
    if (digit.kind == Digit::Warp && !blockOfWarp)
      blockOfWarp = block;
    block *= digit.count;
  }

  bool reverse = op.getReverse();
  auto plus = [&](Value x, Value y) -> Value { return LLVM::FAddOp::create(b, loc, x, y); };
  SmallVector<Value> sums = elements(op.getSource()), totals = sums;
  for (const Digit &digit : digits) {
    if (blockOfWarp && digit.step >= blockOfWarp)
      break;
    if (digit.kind == Digit::Lane) {
      Value upper = inEntry([&] {
        Value bit = LLVM::AndOp::create(b, loc, lane, i32(int64_t(1) << digit.bit));
        return icmp(LLVM::ICmpPredicate::ne, bit, i32(0));
      });
      std::map<void *, Value> exchanged, both;
      for (size_t r = 0; r < sums.size(); ++r) {
        Value &other = exchanged[totals[r].getAsOpaquePointer()]; // registers of one block have one total
        if (!other)
          other = shflXor(totals[r], int64_t(1) << digit.bit);
        Value more = plus(sums[r], other);
        sums[r] = reverse ? select(upper, sums[r], more) : select(upper, more, sums[r]);
      }
      for (Value &value : totals) {
        Value &sum = both[value.getAsOpaquePointer()];
        if (!sum)
          sum = plus(value, exchanged[value.getAsOpaquePointer()]);
        value = sum;
      }
      continue;
    }
    for (int64_t r = 0; r < int64_t(sums.size()); ++r) {
      if (r / digit.stride % digit.size)
        continue;
      auto place = [&](int64_t n) { return r + (reverse ? digit.count - 1 - n : n) * digit.stride; };
      Value before = totals[place(0)];
      for (int64_t n = 1; n < digit.count; ++n) {
        sums[place(n)] = plus(sums[place(n)], before);
        before = plus(before, totals[place(n)]);
      }
      for (int64_t n = 0; n < digit.count; ++n)
        totals[place(n)] = before;
    }
  }
  if (blockOfWarp && failed(scanAcrossWarps(op, *at, blockOfWarp, sums, totals)))
    return failure();
  tiles[op.getTile()] = {sums, false};
  if (!total) {
    scalars[op.getTotal()] = totals.front();
    return success();
  }
  std::map<Layout::Vector, Value> totalOf;
  for (int64_t r = 0; r < at->registers(); ++r) {
    Layout::Vector offset = at->registerOffset(r);
    offset.erase(offset.begin() + dim);
    totalOf[offset] = totals[r];
  }
  TileValue value;
  for (int64_t r = 0; r < rest->registers(); ++r)
    value.registers.push_back(totalOf[rest->registerOffset(r)]);
  tiles[op.getTotal()] = value;
  return success();
}

LogicalResult Emitter::scanAcrossWarps(tile::ScanOp op, const Layout &at, int64_t block, SmallVectorImpl<Value> &sums,
                                       SmallVectorImpl<Value> &totals) {
  unsigned dim = op.getDim();
  auto type = tensorType(op.getTile());
  int64_t width = type.getRank() == 2 ? type.getDimSize(1 - dim) : 1, blocks = type.getDimSize(dim) / block;
  // Which block, of those at a multiple of the warps' reach, is this warp's.
  Layout ofWarps = at;
  for (Layout::Vector &v : ofWarps.lane)
    v[dim] = 0;
  std::set<int64_t> reached;
  for (Layout::Vector &v : ofWarps.warp)
    v[dim] /= block;
  for (int64_t w = 0; w < ofWarps.warps(); ++w)
    reached.insert(ofWarps.warpOffset(w)[dim]);
  Value first = threadOffset(ofWarps, dim),
        across = type.getRank() == 2 ? threadOffset(at, 1 - dim) : inEntry([&] { return i32(0); });

  Value base = scratch(blocks * width * 4);
  Value place = inEntry([&] { return mulConstant(across, 4); });
  Value own = add(base, add(place, mulConstant(first, width * 4)));
  auto coordinates = [&](int64_t r) { // (block, across)
    Layout::Vector offset = at.registerOffset(r);
    return std::pair(offset[dim] / block, offset.size() == 2 ? offset[1 - dim] : 0);
  };
  // Pairs of neighbours across go in one access.
  bool paired = type.getRank() == 2 && !at.reg.empty() && at.reg.front()[1 - dim] == 1 && at.reg.front()[dim] == 0;
  int64_t step = paired ? 2 : 1;
  Type pair = VectorType::get(2, b.getF32Type());

  NVVM::Barrier0Op::create(b, loc);
  // Lanes with the same total store it together; of warps with the same rows one does.
  Layout once = at;
  for (Layout::Vector &v : once.lane)
    v.assign(v.size(), 1);
  Block *after = beginWhere(writesOnce(once));
  std::set<std::pair<int64_t, int64_t>> written;
  for (int64_t r = 0; r < int64_t(sums.size()); r += step) {
    auto [number, column] = coordinates(r);
    if (!written.insert({number, column}).second)
      continue;
    Value pointer = sharedPointer(addConstant(own, (number * width + column) * 4));
    Value value = totals[r];
    if (paired) {
      value = LLVM::UndefOp::create(b, loc, pair);
      for (int64_t k : {0, 1})
        value = LLVM::InsertElementOp::create(b, loc, value, totals[r + k], i32(k));
    }
    LLVM::StoreOp::create(b, loc, value, pointer, 4 * step);
  }
  endWhere(after);
  NVVM::Barrier0Op::create(b, loc);

  bool reverse = op.getReverse();
  std::map<int64_t, SmallVector<Value>> before; // by column: the sum of the blocks before each block, and of all
  Value start = add(base, place);
  for (int64_t r = 0; r < int64_t(sums.size()); r += step) {
    int64_t column = coordinates(r).second;
    if (before.count(column))
      continue;
    for (int64_t k = 0; k < step; ++k)
      before[column + k] = {f32(0)};
    for (int64_t n = 0; n < blocks; ++n) {
      int64_t number = reverse ? blocks - 1 - n : n;
      Value pointer = sharedPointer(addConstant(start, (number * width + column) * 4));
      Value loaded = LLVM::LoadOp::create(b, loc, paired ? pair : Type(b.getF32Type()), pointer, 4 * step);
      for (int64_t k = 0; k < step; ++k) {
        Value one = paired ? LLVM::ExtractElementOp::create(b, loc, loaded, i32(k)).getResult() : loaded;
        SmallVector<Value> &list = before[column + k];
        list.push_back(n ? LLVM::FAddOp::create(b, loc, list.back(), one).getResult() : one);
      }
    }
  }
  std::map<int64_t, Value> isFirst;
  for (int64_t n : reached)
    isFirst[n] = icmp(LLVM::ICmpPredicate::eq, first, i32(n));
  std::map<std::pair<int64_t, int64_t>, Value> offsets;
  for (int64_t r = 0; r < int64_t(sums.size()); ++r) {
    auto [number, column] = coordinates(r);
    Value &offset = offsets[{number, column}];
    if (!offset)
      for (int64_t n : reached) {
        int64_t mine = number + n;
        Value sum = before[column][reverse ? blocks - 1 - mine : mine];
        offset = offset ? select(isFirst[n], sum, offset) : sum;
      }
    sums[r] = LLVM::FAddOp::create(b, loc, sums[r], offset);
    totals[r] = before[column].back();
  }
  return success();
}
