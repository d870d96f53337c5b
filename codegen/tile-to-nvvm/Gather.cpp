// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Elements of views by tiles of indices: each thread reads what it holds, where the index is inside.
#include "codegen/tile-to-nvvm/Emitter.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

LogicalResult Emitter::emitGather(tile::GatherOp op) {
  const Layout *to = layout(op.getTile());
  if (!to)
    return op.emitOpError("works on a tile without layout");
  const ViewValue &view = views[op.getView()];
  auto type = tensorType(op.getTile());
  Type element = type.getElementType();
  ArrayRef<int64_t> by = op.getBy(), dims = op.getDims();

  // The threads of an index hold the rows (or columns) that they need.
  Layout expected = *to;
  for (unsigned d = to->rank(); d-- > 0;)
    if (dims[d] >= 0)
      expected = expected.slice(d);
  SmallVector<SmallVector<Value>> indices;
  std::map<Layout::Vector, int64_t> registerOf;
  for (Value which : op.getWhich()) {
    const Layout *from = layout(which);
    if (!from || from->lane != expected.lane || from->warp != expected.warp)
      return op.emitOpError("has indices in other threads than its result needs");
    if (indices.empty())
      for (int64_t r = 0; r < from->registers(); ++r)
        registerOf[from->registerOffset(r)] = r;
    indices.push_back(elements(which));
  }

  SmallVector<Value> fixed;
  for (auto [d, index] : llvm::enumerate(op.getIndices())) {
    bool varies = llvm::is_contained(by, int64_t(d)) || llvm::is_contained(dims, int64_t(d));
    fixed.push_back(varies ? Value() : scalar(index));
  }
  Value base = gep(view.base, element, elementOffset(view, fixed));
  Value zero = LLVM::ConstantOp::create(b, loc, element, b.getZeroAttr(element));
  struct Part {
    Value offset, valid;
  };
  auto partOf = [&](unsigned d, Value index) {
    if (Value first = scalar(op.getIndices()[d]))
      index = add(first, index);
    Value valid = icmp(LLVM::ICmpPredicate::ult, index, view.sizes[d]);
    Value offset = distance(view, d, select(valid, index, i32(0))); // a place that is always there
    return Part{offset, valid};
  };
  std::map<std::pair<unsigned, int64_t>, Part> spanned;
  std::map<int64_t, Part> gathered; // by register of the index

  TileValue result;
  for (int64_t r = 0; r < to->registers(); ++r) {
    Layout::Vector constants = to->registerOffset(r), kept;
    Value offset, valid;
    auto take = [&](const Part &part) {
      offset = offset ? add(offset, part.offset) : part.offset;
      valid = valid ? LLVM::AndOp::create(b, loc, valid, part.valid).getResult() : part.valid;
    };
    for (auto [d, dim] : llvm::enumerate(dims)) {
      if (dim < 0) {
        kept.push_back(constants[d]);
        continue;
      }
      auto [it, isNew] = spanned.try_emplace({d, constants[d]});
      if (isNew)
        it->second = partOf(dim, addConstant(threadOffset(*to, d), constants[d]));
      take(it->second);
    }
    auto found = registerOf.find(kept);
    if (found == registerOf.end())
      return op.emitOpError("has indices in other registers than its result needs");
    auto [it, isNew] = gathered.try_emplace(found->second);
    if (isNew)
      for (auto [n, dim] : llvm::enumerate(by)) {
        Part part = partOf(dim, indices[n][found->second]);
        it->second.offset = n ? add(it->second.offset, part.offset) : part.offset;
        it->second.valid = n ? LLVM::AndOp::create(b, loc, it->second.valid, part.valid).getResult() : part.valid;
      }
    take(it->second);
    Value pointer = gep(base, element, offset);
    Value value = LLVM::LoadOp::create(b, loc, element, pointer, element.getIntOrFloatBitWidth() / 8);
    result.registers.push_back(select(valid, value, zero));
  }
  tiles[op.getTile()] = result;
  return success();
}
