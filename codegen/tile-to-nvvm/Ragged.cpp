// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sequences that lie one behind the other: their rows from offsets, views of a part of a dimension, and work items that
// end early.
#include "codegen/tile-to-nvvm/Emitter.h"

#include "mlir/IR/Matchers.h"

#include <numeric>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

LogicalResult Emitter::emitSequence(tile::SequenceOp op) {
  const ViewValue &offsets = views[op.getOffsets()];
  Value index = scalar(op.getIndex()), total = scalar(op.getTotal());
  auto at = [&](Value place) {
    Value pointer = gep(offsets.base, b.getI32Type(), elementOffset(offsets, place));
    return LLVM::LoadOp::create(b, loc, b.getI32Type(), pointer, 4).getResult();
  };
  Value begin = at(index), end = at(addConstant(index, 1));
  begin = LLVM::SMinOp::create(b, loc, LLVM::SMaxOp::create(b, loc, begin, i32(0)), total);
  // Before the difference: it cannot overflow then.
  end = LLVM::SMaxOp::create(b, loc, LLVM::SMinOp::create(b, loc, end, total), begin);
  scalars[op.getLength()] = LLVM::SMinOp::create(b, loc, sub(end, begin), scalar(op.getMost()));
  // In place of elements outside a view the nearest ones are read: of no rows, the last of all.
  scalars[op.getStart()] = LLVM::SMinOp::create(b, loc, begin, addConstant(total, -1));
  return success();
}

LogicalResult Emitter::emitNarrow(tile::NarrowOp op) {
  ViewValue view = views[op.getView()];
  unsigned d = op.getDim();
  if (view.merged.count(d))
    return op.emitOpError("narrows a merged dimension");
  Type element = op.getView().getType().getElementType();
  view.base = gep(view.base, element, distance(view, d, scalar(op.getStart())));
  if (!view.strides[d]) { // a part of the rows, which need not begin where the rows do
    APInt start;
    int64_t bytes = std::max(1u, element.getIntOrFloatBitWidth() / 8), begin = 1;
    if (matchPattern(op.getStart(), m_ConstantInt(&start)))
      begin = start.getSExtValue();
    view.alignment = std::gcd(view.alignment, begin * bytes);
    int64_t size = view.staticSizes[d];
    if (!ShapedType::isDynamic(size))
      view.alignment = std::gcd(view.alignment, size * bytes);
  }
  view.sizes[d] = scalar(op.getSize());
  view.staticSizes[d] = ShapedType::kDynamic;
  views[op.getPart()] = view;
  return success();
}

LogicalResult Emitter::emitEndIf(tile::EndIfOp op) {
  Region &region = function.getBody();
  Block *before = b.getInsertionBlock();
  Block *end = b.createBlock(&region, region.end());
  LLVM::ReturnOp::create(b, loc, ValueRange{});
  Block *rest = b.createBlock(&region, region.end());
  b.setInsertionPointToEnd(before);
  LLVM::CondBrOp::create(b, loc, scalar(op.getCondition()), end, ValueRange{}, rest, ValueRange{});
  b.setInsertionPointToEnd(rest);
  return success();
}
