// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Slices and concatenations of tiles, within the registers of a thread; single elements.
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

LogicalResult Emitter::emitStoreScalar(tile::StoreScalarOp op) {
  Type type = op.getValue().getType();
  Value pointer = elementPointer(op.getView(), op.getIndices(), type);
  Block *after = beginWhere(icmp(LLVM::ICmpPredicate::eq, threadId, i32(0)));
  LLVM::StoreOp::create(b, loc, scalar(op.getValue()), pointer, type.getIntOrFloatBitWidth() / 8);
  endWhere(after);
  return success();
}
