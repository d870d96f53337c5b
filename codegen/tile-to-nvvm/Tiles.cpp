// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations that only rearrange or combine registers, and the arithmetic of domains.
#include "codegen/tile-to-nvvm/Emitter.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

static LogicalResult needLayout(Operation *op) { return op->emitOpError("works on a tile without layout"); }

LogicalResult Emitter::emitSplat(tile::SplatOp op) {
  if (!layout(op.getTile()))
    return needLayout(op);
  tiles[op.getTile()] = {SmallVector<Value>(layout(op.getTile())->registers(), scalar(op.getValue())), false};
  return success();
}

LogicalResult Emitter::emitBroadcast(tile::BroadcastOp op) {
  const Layout *from = layout(op.getSource()), *to = layout(op.getTile());
  if (!from || !to)
    return needLayout(op);
  Layout expected = *to;
  for (unsigned d = to->rank(); d-- > 0;)
    if (!llvm::is_contained(op.getDims(), int64_t(d)))
      expected = expected.slice(d);
  if (expected.lane != from->lane || expected.warp != from->warp)
    return op.emitOpError("repeats a tile whose threads hold other elements than the result needs");
  std::map<Layout::Vector, int64_t> registerOf;
  for (int64_t r = 0; r < from->registers(); ++r)
    registerOf[from->registerOffset(r)] = r;
  SmallVector<Value> source = elements(op.getSource());
  TileValue result;
  for (int64_t r = 0; r < to->registers(); ++r) {
    Layout::Vector offset = to->registerOffset(r), kept;
    for (int64_t d : op.getDims())
      kept.push_back(offset[d]);
    auto found = registerOf.find(kept);
    if (found == registerOf.end())
      return op.emitOpError("repeats a tile whose registers hold other elements than the result needs");
    result.registers.push_back(source[found->second]);
  }
  tiles[op.getTile()] = result;
  return success();
}

LogicalResult Emitter::emitIota(tile::IotaOp op) {
  const Layout *to = layout(op.getTile());
  if (!to)
    return needLayout(op);
  Value first = add(scalar(op.getStart()), threadOffset(*to, 0));
  TileValue result;
  for (int64_t r = 0; r < to->registers(); ++r)
    result.registers.push_back(addConstant(first, to->registerOffset(r)[0]));
  tiles[op.getTile()] = result;
  return success();
}

LogicalResult Emitter::emitReduce(tile::ReduceOp op) {
  const Layout *from = layout(op.getSource()), *to = layout(op.getTile());
  if (!from || !to)
    return needLayout(op);
  unsigned dim = op.getDim();
  if (from->slice(dim) != *to)
    return op.emitOpError("has a result whose layout is not that of its source without dimension ") << dim;
  bool isMax = op.getKind() == "max";
  auto combine = [&](Value x, Value y) -> Value {
    if (isMax)
      return LLVM::MaxNumOp::create(b, loc, x, y);
    return LLVM::FAddOp::create(b, loc, x, y);
  };
  SmallVector<Value> source = elements(op.getSource());
  // Registers of one result element, combined as a balanced tree: short chains, and better rounding than a running sum.
  std::map<Layout::Vector, SmallVector<Value>> groups;
  for (int64_t r = 0; r < from->registers(); ++r) {
    Layout::Vector offset = from->registerOffset(r);
    offset.erase(offset.begin() + dim);
    groups[offset].push_back(source[r]);
  }
  TileValue result;
  for (int64_t r = 0; r < to->registers(); ++r) {
    SmallVector<Value> &group = groups[to->registerOffset(r)];
    while (group.size() > 1) {
      SmallVector<Value> half;
      for (size_t k = 0; k + 1 < group.size(); k += 2)
        half.push_back(combine(group[k], group[k + 1]));
      if (group.size() % 2)
        half.push_back(group.back());
      group = half;
    }
    result.registers.push_back(group.front());
  }
  for (unsigned bit : from->laneBitsAlong(dim))
    for (Value &value : result.registers)
      value = combine(value, shflXor(value, int64_t(1) << bit));
  if (from->warpsAlong(dim))
    reduceAcrossWarps(*from, dim, tensorType(op.getTile()).getDimSize(0), result.registers, combine);
  tiles[op.getTile()] = result;
  return success();
}

void Emitter::reduceAcrossWarps(const Layout &from, unsigned dim, int64_t size, SmallVectorImpl<Value> &registers,
                                function_ref<Value(Value, Value)> combine) {
  // Which part of the dimension is this warp's, and which threads write it: lanes with the same value store it
  // together, of warps with the same elements one does.
  Layout parts = from, once = from, to = from.slice(dim);
  for (Layout::Vector &v : parts.lane)
    v[dim] = 0;
  for (Layout::Vector &v : once.lane)
    v.assign(v.size(), 1);
  int64_t count = 1;
  for (Layout::Vector &v : parts.warp)
    if (v[dim]) {
      v[dim] = count;
      count *= 2;
    }
  Value base = scratch(count * size * 4);
  Value place = add(base, inEntry([&] { return mulConstant(threadOffset(to, 0), 4); }));
  Value own = add(place, inEntry([&] { return mulConstant(threadOffset(parts, dim), size * 4); }));
  NVVM::Barrier0Op::create(b, loc);
  Block *after = beginWhere(writesOnce(once));
  for (auto [r, value] : llvm::enumerate(registers))
    LLVM::StoreOp::create(b, loc, value, sharedPointer(addConstant(own, to.registerOffset(r)[0] * 4)), 4);
  endWhere(after);
  NVVM::Barrier0Op::create(b, loc);
  for (auto [r, value] : llvm::enumerate(registers)) {
    value = {};
    for (int64_t n = 0; n < count; ++n) {
      Value pointer = sharedPointer(addConstant(place, (n * size + to.registerOffset(r)[0]) * 4));
      Value part = LLVM::LoadOp::create(b, loc, b.getF32Type(), pointer, 4);
      value = value ? combine(value, part) : part;
    }
  }
}

LogicalResult Emitter::emitConvertLayout(tile::ConvertLayoutOp op) {
  const Layout *from = layout(op.getSource()), *to = layout(op.getTile());
  if (!from || !to)
    return needLayout(op);
  auto permutation = from->permutationTo(*to);
  if (!permutation)
    return op.emitOpError("would move elements between threads; a schedule does that through shared memory");
  // Pairs stay pairs where the permutation keeps neighbours together.
  bool keepsPairs = true;
  for (size_t r = 0; r + 1 < permutation->size(); r += 2)
    keepsPairs &= (*permutation)[r] % 2 == 0 && (*permutation)[r + 1] == (*permutation)[r] + 1;
  TileValue result;
  if (tiles[op.getSource()].packed && keepsPairs && permutation->size() % 2 == 0) {
    SmallVector<Value> source = pairs(op.getSource());
    result.packed = true;
    for (size_t r = 0; r < permutation->size(); r += 2)
      result.registers.push_back(source[(*permutation)[r] / 2]);
  } else {
    SmallVector<Value> source = elements(op.getSource());
    for (int64_t r : *permutation)
      result.registers.push_back(source[r]);
  }
  tiles[op.getTile()] = result;
  return success();
}

LogicalResult Emitter::emitTranspose(tile::TransposeOp op) {
  const Layout *from = layout(op.getSource()), *to = layout(op.getTile());
  if (!from || !to)
    return needLayout(op);
  if (from->transposed() != *to)
    return op.emitOpError("would move elements between threads; a schedule does that through shared memory");
  TileValue same = tiles[op.getSource()]; // a copy: the table may grow
  tiles[op.getTile()] = same;
  return success();
}

//===--- domains ---===//

LogicalResult Emitter::emitDomain(tile::DomainOp op) {
  int64_t step = op.getStep();
  Value limit = scalar(op.getLimit()), zero = i32(0), stepValue = i32(step);
  auto clip = [&](Value x) {
    return LLVM::SMinOp::create(b, loc, LLVM::SMaxOp::create(b, loc, x, zero), limit).getResult();
  };
  struct Range {
    Value begin, end; // in tiles
  };
  SmallVector<Range> ranges;
  for (auto [lo, hi] : llvm::zip(op.getLo(), op.getHi())) {
    Value from = clip(scalar(lo)), to = clip(scalar(hi));
    Value empty = icmp(LLVM::ICmpPredicate::sge, from, to);
    Value begin = LLVM::UDivOp::create(b, loc, from, stepValue);
    Value end = LLVM::UDivOp::create(b, loc, addConstant(to, step - 1), stepValue);
    // An empty range sits at 0 so that sorting and merging need no case for it.
    ranges.push_back({select(empty, zero, begin), select(empty, zero, end)});
  }
  // Sort by beginning (at most four ranges: exchange neighbours), then let each range begin where the ones before it
  // end.
  for (size_t pass = 0; pass + 1 < ranges.size(); ++pass)
    for (size_t k = 0; k + 1 < ranges.size() - pass; ++k) {
      Value swap = icmp(LLVM::ICmpPredicate::sgt, ranges[k].begin, ranges[k + 1].begin);
      Range x = ranges[k], y = ranges[k + 1];
      ranges[k] = {select(swap, y.begin, x.begin), select(swap, y.end, x.end)};
      ranges[k + 1] = {select(swap, x.begin, y.begin), select(swap, x.end, y.end)};
    }
  DomainValue domain;
  domain.step = step;
  Value count = zero, previous;
  for (Range &range : ranges) {
    Value begin = range.begin;
    if (previous)
      begin = LLVM::SMaxOp::create(b, loc, begin, previous);
    Value end = LLVM::SMaxOp::create(b, loc, begin, range.end);
    previous = end;
    domain.first.push_back(begin);
    domain.before.push_back(count);
    count = domain.before.size() == 1 ? sub(end, begin) : add(count, sub(end, begin));
  }
  domain.count = count;
  for (auto [lo, hi] : llvm::zip(op.getFullLo(), op.getFullHi())) {
    domain.fullLo.push_back(scalar(lo));
    domain.fullHi.push_back(LLVM::SMinOp::create(b, loc, scalar(hi), limit));
  }
  domains[op.getDomain()] = domain;
  return success();
}

LogicalResult Emitter::emitDomainSlice(tile::DomainSliceOp op) {
  DomainValue slice = domains[op.getDomain()];
  Value first = scalar(op.getFirst()), rest = sub(slice.count, first);
  rest = LLVM::SMaxOp::create(b, loc, rest, i32(0));
  slice.count = LLVM::SMinOp::create(b, loc, scalar(op.getCount()), rest);
  slice.skip = slice.skip ? add(slice.skip, first) : first;
  domains[op.getSlice()] = slice;
  return success();
}

LogicalResult Emitter::emitDomainTile(tile::DomainTileOp op) {
  DomainValue &domain = domains[op.getDomain()];
  Value n = scalar(op.getN());
  if (domain.skip)
    n = add(n, domain.skip);
  Value tile = add(domain.first[0], n);
  for (size_t k = 1; k < domain.first.size(); ++k) {
    Value inside = icmp(LLVM::ICmpPredicate::sge, n, domain.before[k]);
    tile = select(inside, add(domain.first[k], sub(n, domain.before[k])), tile);
  }
  Value start = mulConstant(tile, domain.step), end = addConstant(start, domain.step);
  Value full;
  for (auto [lo, hi] : llvm::zip(domain.fullLo, domain.fullHi)) {
    Value inside =
        LLVM::AndOp::create(b, loc, icmp(LLVM::ICmpPredicate::sge, start, lo), icmp(LLVM::ICmpPredicate::sle, end, hi));
    full = full ? LLVM::OrOp::create(b, loc, full, inside).getResult() : inside;
  }
  scalars[op.getStart()] = start;
  scalars[op.getFull()] = full;
  return success();
}
