// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Slices, concatenations and running sums of tiles: within the registers of a thread, and for sums across lanes.
#include "codegen/tile-to-nvvm/Emitter.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

//===--- slices and concatenations ---===//

LogicalResult Emitter::emitParts(Operation *op, ArrayRef<TilePart> parts, unsigned dim) {
  Value result = op->getResult(0);
  const Layout *to = layout(result);
  // Each register of the result is one register of one source, in the same thread.
  std::map<Layout::Vector, std::pair<unsigned, int64_t>> registerOf;
  for (auto [n, part] : llvm::enumerate(parts)) {
    const Layout *from = layout(part.source);
    if (!to || !from)
      return op->emitOpError("works on a tile without layout");
    if (from->lane != to->lane || from->warp != to->warp)
      return op->emitOpError("would move elements between threads; parts begin at multiples of 8 features");
    for (int64_t r = 0; r < from->registers(); ++r) {
      Layout::Vector offset = from->registerOffset(r);
      offset[dim] += part.place;
      registerOf[offset] = {unsigned(n), r};
    }
  }
  SmallVector<std::pair<unsigned, int64_t>> sources;
  for (int64_t r = 0; r < to->registers(); ++r) {
    auto found = registerOf.find(to->registerOffset(r));
    if (found == registerOf.end())
      return op->emitOpError("would move elements between threads; parts begin at multiples of 8 features");
    sources.push_back(found->second);
  }
  // Pairs stay pairs where neighbours come from neighbours.
  bool packed = sources.size() % 2 == 0;
  for (size_t r = 0; packed && r < sources.size(); r += 2)
    packed = tiles[parts[sources[r].first].source].packed && sources[r].second % 2 == 0 &&
             sources[r + 1] == std::pair(sources[r].first, sources[r].second + 1);
  SmallVector<SmallVector<Value>> registers;
  for (const TilePart &part : parts)
    registers.push_back(packed ? pairs(part.source) : elements(part.source));
  TileValue value;
  value.packed = packed;
  for (size_t r = 0; r < sources.size(); r += packed ? 2 : 1)
    value.registers.push_back(registers[sources[r].first][packed ? sources[r].second / 2 : sources[r].second]);
  tiles[result] = value;
  return success();
}

LogicalResult Emitter::emitSlice(tile::SliceOp op) {
  return emitParts(op, {{op.getSource(), -int64_t(op.getOffset())}}, op.getDim());
}

LogicalResult Emitter::emitConcat(tile::ConcatOp op) {
  SmallVector<TilePart> parts;
  int64_t place = 0;
  for (Value source : op.getSources()) {
    parts.push_back({source, place});
    place += tensorType(source).getDimSize(op.getDim());
  }
  return emitParts(op, parts, op.getDim());
}

//===--- running sums ---===//

// Coordinates along the dimension are sums of digits: bits of the register and lane number, and repetitions. From the
// digit of the smallest step up, blocks of consecutive elements double (or multiply): within each block a thread knows
// the running sum at its own elements and the block's total, so that one exchange per lane bit is enough.
LogicalResult Emitter::emitScan(tile::ScanOp op) {
  const Layout *at = layout(op.getTile()), *from = layout(op.getSource());
  auto total = dyn_cast<RankedTensorType>(op.getTotal().getType());
  const Layout *rest = total ? layout(op.getTotal()) : nullptr;
  if (!at || !from || (total && !rest))
    return op.emitOpError("works on a tile without layout");
  unsigned dim = op.getDim();
  if (*at != *from || (total && at->slice(dim) != *rest))
    return op.emitOpError("has results whose layouts are not that of its source");
  if (at->warpsAlong(dim))
    return op.emitOpError("would cross warps; give the launch one warp");

  struct Digit {
    int64_t step, count;
    int64_t lane = -1;            // which lane bit; else of registers:
    int64_t stride = 0, size = 1; // register number = low + stride * (digit + size * high)
  };
  SmallVector<Digit> digits;
  for (auto [k, v] : llvm::enumerate(at->lane))
    if (v[dim])
      digits.push_back({v[dim], 2, int64_t(k)});
  int64_t stride = 1;
  for (const Layout::Vector &v : at->reg) {
    if (v[dim])
      digits.push_back({v[dim], 2, -1, stride, 2});
    stride *= 2;
  }
  for (const Layout::Repeat &repeat : at->rep) {
    if (repeat.step[dim])
      digits.push_back({repeat.step[dim], repeat.count, -1, stride, repeat.count});
    stride *= repeat.count;
  }
  llvm::sort(digits, [](const Digit &x, const Digit &y) { return x.step < y.step; });
  int64_t block = 1;
  for (const Digit &digit : digits) {
    if (digit.step != block)
      return op.emitOpError("runs along a dimension whose elements lie in no order of threads and registers");
    block *= digit.count;
  }

  auto plus = [&](Value x, Value y) -> Value { return LLVM::FAddOp::create(b, loc, x, y); };
  SmallVector<Value> sums = elements(op.getSource()), totals = sums;
  for (const Digit &digit : digits) {
    if (digit.lane >= 0) {
      Value upper = inEntry([&] {
        Value bit = LLVM::AndOp::create(b, loc, lane, i32(int64_t(1) << digit.lane));
        return icmp(LLVM::ICmpPredicate::ne, bit, i32(0));
      });
      std::map<Value, Value, bool (*)(Value, Value)> exchanged(
          [](Value x, Value y) { return x.getAsOpaquePointer() < y.getAsOpaquePointer(); });
      for (size_t r = 0; r < sums.size(); ++r) {
        Value &other = exchanged[totals[r]]; // registers of one block have one total
        if (!other)
          other = shflXor(totals[r], int64_t(1) << digit.lane);
        sums[r] = select(upper, plus(sums[r], other), sums[r]);
      }
      std::map<void *, Value> both;
      for (Value &value : totals) {
        Value &sum = both[value.getAsOpaquePointer()];
        if (!sum)
          sum = plus(value, exchanged[value]);
        value = sum;
      }
      continue;
    }
    for (int64_t r = 0; r < int64_t(sums.size()); ++r) {
      if (r / digit.stride % digit.size)
        continue;
      Value before = totals[r];
      for (int64_t n = 1; n < digit.count; ++n) {
        int64_t place = r + n * digit.stride;
        sums[place] = plus(sums[place], before);
        before = plus(before, totals[place]);
      }
      for (int64_t n = 0; n < digit.count; ++n)
        totals[r + n * digit.stride] = before;
    }
  }
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

LogicalResult Emitter::emitStoreScalar(tile::StoreScalarOp op) {
  Type type = op.getValue().getType();
  Value pointer = elementPointer(op.getView(), op.getIndices(), type);
  Block *after = beginWhere(icmp(LLVM::ICmpPredicate::eq, threadId, i32(0)));
  LLVM::StoreOp::create(b, loc, scalar(op.getValue()), pointer, type.getIntOrFloatBitWidth() / 8);
  endWhere(after);
  return success();
}
