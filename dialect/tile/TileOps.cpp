// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers and custom assembly of the tile operations.
#include "dialect/tile/TileDialect.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

#define GET_OP_CLASSES
#include "dialect/tile/TileOps.cpp.inc"

static RankedTensorType tensorOf(Value value) { return cast<RankedTensorType>(value.getType()); }

//===--- programs and launches ---===//

static LogicalResult verifyDims(Operation *op, ViewType view, ArrayAttr dims) {
  if (view.getShape().size() != dims.size())
    return op->emitOpError("names ") << dims.size() << " dimensions for a view of rank " << view.getShape().size();
  return success();
}

LogicalResult TensorOp::verify() {
  if (getRole() != "input" && getRole() != "param" && getRole() != "output" && getRole() != "carry")
    return emitOpError("has the role '") << getRole() << "'; expected input, param, output or carry";
  if (std::optional<uint64_t> bytes = getAlignment()) {
    unsigned element = std::max(1u, getView().getType().getElementType().getIntOrFloatBitWidth() / 8);
    if (!llvm::isPowerOf2_64(*bytes) || *bytes > 16 || *bytes < element)
      return emitOpError("is aligned to ") << *bytes << " bytes; expected a power of two from " << element << " to 16";
  }
  return verifyDims(*this, getView().getType(), getDims());
}

LogicalResult WorkspaceOp::verify() { return verifyDims(*this, getView().getType(), getDims()); }

LogicalResult MergeDimsOp::verify() {
  auto from = getView().getType(), to = getMerged().getType();
  int64_t rank = from.getShape().size();
  if (getDims().size() != 2 || getDims()[0] == getDims()[1])
    return emitOpError("merges two different dimensions, the outer and the inner one");
  for (int64_t d : getDims())
    if (d < -1 || d >= rank)
      return emitOpError("merges dimension ") << d << ", which the view does not have";
  SmallVector<int64_t> shape(from.getShape());
  APInt outer, inner;
  int64_t size = ShapedType::kDynamic;
  if (matchPattern(getOuter(), m_ConstantInt(&outer)) && matchPattern(getInner(), m_ConstantInt(&inner)))
    size = outer.getSExtValue() * inner.getSExtValue();
  shape.insert(shape.begin() + getPlace(), size);
  if (to.getShape() != ArrayRef<int64_t>(shape) || to.getElementType() != from.getElementType())
    return emitOpError("has another type than the view with the new dimension behind both: ")
           << ViewType::get(getContext(), shape, from.getElementType());
  return success();
}

LogicalResult SequenceOp::verify() {
  ViewType type = getOffsets().getType();
  if (type.getShape().size() != 1 || !type.getElementType().isInteger(32))
    return emitOpError("reads offsets that are no rank-1 view of i32");
  return success();
}

LogicalResult NarrowOp::verify() {
  ViewType from = getView().getType();
  if (getDim() >= from.getShape().size())
    return emitOpError("narrows dimension ") << getDim() << ", which the view does not have";
  SmallVector<int64_t> shape(from.getShape());
  shape[getDim()] = ShapedType::kDynamic;
  ViewType to = ViewType::get(getContext(), shape, from.getElementType());
  if (getPart().getType() != to)
    return emitOpError("has another type than the view with that dimension dynamic: ") << to;
  return success();
}

LogicalResult LaunchOp::verify() {
  Block &block = getBody().front();
  if (getAxes().size() != getExtents().size() || block.getNumArguments() != getExtents().size())
    return emitOpError("needs one extent and one index for each of its ") << getAxes().size() << " axes";
  for (BlockArgument argument : block.getArguments())
    if (!argument.getType().isIndex())
      return emitOpError("has an axis whose index is not of type index");
  if (!isa<ProgramOp>((*this)->getParentOp()))
    return emitOpError("belongs directly in a tile.program");
  return success();
}

// tile.launch "fwd" ["B", "H"] (%b = %B, %h = %H) schedule {...} { ... }
ParseResult LaunchOp::parse(OpAsmParser &parser, OperationState &result) {
  StringAttr name;
  ArrayAttr axes;
  SmallVector<OpAsmParser::Argument> indices;
  SmallVector<OpAsmParser::UnresolvedOperand> extents;
  Type index = parser.getBuilder().getIndexType();
  if (parser.parseAttribute(name, "name", result.attributes) ||
      parser.parseAttribute(axes, "axes", result.attributes) ||
      parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren,
                                     [&]() -> ParseResult {
                                       indices.emplace_back().type = index;
                                       return failure(parser.parseArgument(indices.back()) || parser.parseEqual() ||
                                                      parser.parseOperand(extents.emplace_back()));
                                     }) ||
      parser.resolveOperands(extents, index, result.operands))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("schedule"))) {
    DictionaryAttr schedule;
    if (parser.parseAttribute(schedule, "schedule", result.attributes))
      return failure();
  }
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  Region *body = result.addRegion();
  if (parser.parseRegion(*body, indices))
    return failure();
  if (body->empty())
    body->emplaceBlock();
  return success();
}

void LaunchOp::print(OpAsmPrinter &printer) {
  printer << ' ' << getNameAttr() << ' ' << getAxes() << " (";
  llvm::interleaveComma(llvm::zip(getBody().getArguments(), getExtents()), printer,
                        [&](auto pair) { printer << std::get<0>(pair) << " = " << std::get<1>(pair); });
  printer << ')';
  if (auto schedule = getScheduleAttr())
    printer << " schedule " << schedule;
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"name", "axes", "schedule"});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

//===--- memory ---===//

static LogicalResult verifyAccess(Operation *op, ViewType view, size_t indices, ArrayRef<int64_t> dims,
                                  ArrayRef<int64_t> tile, Type element) {
  if (indices != view.getShape().size())
    return op->emitOpError("has ") << indices << " indices for a view of rank " << view.getShape().size();
  if (dims.size() != tile.size())
    return op->emitOpError("spans ") << dims.size() << " dimensions with a tile of rank " << tile.size();
  for (size_t k = 0; k < dims.size(); ++k) {
    if (dims[k] < 0 || dims[k] >= int64_t(view.getShape().size()))
      return op->emitOpError("spans dimension ") << dims[k] << ", which the view does not have";
    if (k && dims[k] <= dims[k - 1])
      return op->emitOpError("has dims that do not ascend");
  }
  if (element != view.getElementType())
    return op->emitOpError("moves elements of type ") << element << " where the view holds " << view.getElementType();
  return success();
}

LogicalResult LoadOp::verify() {
  auto type = tensorOf(getTile());
  if (getPad().getType() != type.getElementType())
    return emitOpError("pads with a value of type ") << getPad().getType();
  return verifyAccess(*this, getView().getType(), getIndices().size(), getDims(), type.getShape(),
                      type.getElementType());
}

LogicalResult GatherOp::verify() {
  auto view = getView().getType();
  auto type = tensorOf(getTile());
  int64_t rank = view.getShape().size();
  if (getBy().empty() || getBy().size() != getWhich().size())
    return emitOpError("has ") << getWhich().size() << " tiles of indices for " << getBy().size() << " dimensions";
  auto index = tensorOf(getWhich().front());
  for (Value which : getWhich())
    if (tensorOf(which).getShape() != index.getShape() || !tensorOf(which).getElementType().isInteger(32))
      return emitOpError("has indices that are not tiles of i32 of one shape");
  SmallVector<int64_t> spanned, shape;
  int64_t next = 0;
  if (int64_t(getDims().size()) != type.getRank())
    return emitOpError("describes ") << getDims().size() << " dimensions of a tile of rank " << type.getRank();
  for (auto [n, d] : llvm::enumerate(getDims())) {
    if (d >= 0) {
      spanned.push_back(d);
      shape.push_back(type.getDimSize(n));
      continue;
    }
    if (d != -1 || next == index.getRank() || index.getDimSize(next) != type.getDimSize(n))
      return emitOpError("has a result whose shape is not that of the indices along dimension ") << n;
    ++next;
  }
  if (next != index.getRank())
    return emitOpError("has a result that lacks a dimension of the indices");
  llvm::SmallDenseSet<int64_t> by;
  for (int64_t d : getBy())
    if (d < 0 || d >= rank || llvm::is_contained(spanned, d) || !by.insert(d).second)
      return emitOpError("takes dimension ") << d << " by index, which the view lacks or which is taken already";
  return verifyAccess(*this, view, getIndices().size(), spanned, shape, type.getElementType());
}

LogicalResult LoadScalarOp::verify() {
  return verifyAccess(*this, getView().getType(), getIndices().size(), {}, {}, getValue().getType());
}

LogicalResult StoreOp::verify() {
  auto type = tensorOf(getTile());
  return verifyAccess(*this, getView().getType(), getIndices().size(), getDims(), type.getShape(),
                      type.getElementType());
}

LogicalResult StoreScalarOp::verify() {
  return verifyAccess(*this, getView().getType(), getIndices().size(), {}, {}, getValue().getType());
}

//===--- tiles ---===//

LogicalResult SplatOp::verify() {
  if (tensorOf(getTile()).getElementType() != getValue().getType())
    return emitOpError("changes the element type");
  return success();
}

LogicalResult BroadcastOp::verify() {
  auto from = tensorOf(getSource()), to = tensorOf(getTile());
  if (from.getElementType() != to.getElementType())
    return emitOpError("changes the element type");
  if (int64_t(getDims().size()) != from.getRank())
    return emitOpError("places ") << getDims().size() << " dimensions of a tile of rank " << from.getRank();
  for (size_t k = 0; k < getDims().size(); ++k) {
    int64_t d = getDims()[k];
    if (d < 0 || d >= to.getRank() || (k && d <= getDims()[k - 1]))
      return emitOpError("has dims that do not ascend within the result");
    if (from.getDimSize(k) != to.getDimSize(d))
      return emitOpError("changes the size of dimension ") << d;
  }
  return success();
}

LogicalResult IotaOp::verify() {
  auto type = tensorOf(getTile());
  if (type.getRank() != 1 || !type.getElementType().isInteger(32))
    return emitOpError("gives a rank-1 tile of i32");
  return success();
}

static LogicalResult verifyDot(Operation *op, RankedTensorType a, RankedTensorType b, RankedTensorType acc,
                               ArrayRef<int64_t> contract) {
  if (a.getRank() != 2 || b.getRank() != 2 || acc.getRank() != 2 || contract.size() != 2)
    return op->emitOpError("contracts one dimension of two rank-2 tiles");
  int64_t ca = contract[0], cb = contract[1];
  if (ca < 0 || ca > 1 || cb < 0 || cb > 1)
    return op->emitOpError("contracts a dimension that is neither 0 nor 1");
  if (a.getElementType() != b.getElementType())
    return op->emitOpError("has operands of types ") << a.getElementType() << " and " << b.getElementType();
  if (!acc.getElementType().isF32())
    return op->emitOpError("accumulates in f32, not in ") << acc.getElementType();
  if (a.getDimSize(ca) != b.getDimSize(cb))
    return op->emitOpError("contracts ") << a.getDimSize(ca) << " elements with " << b.getDimSize(cb);
  if (acc.getDimSize(0) != a.getDimSize(1 - ca) || acc.getDimSize(1) != b.getDimSize(1 - cb))
    return op->emitOpError("has a result of the wrong shape");
  return success();
}

LogicalResult DotOp::verify() {
  std::optional<StringRef> precision = getPrecision();
  if (precision && !tensorOf(getA()).getElementType().isF32())
    return emitOpError("has a precision, which only products of f32 have");
  if (precision && *precision != "tf32" && *precision != "3xtf32" && *precision != "fma")
    return emitOpError("has the precision '") << *precision << "'; expected tf32, 3xtf32 or fma";
  return verifyDot(*this, tensorOf(getA()), tensorOf(getB()), tensorOf(getAcc()), getContract());
}

LogicalResult ReduceOp::verify() {
  auto from = tensorOf(getSource()), to = tensorOf(getTile());
  if (getKind() != "add" && getKind() != "max")
    return emitOpError("has the kind '") << getKind() << "'; expected add or max";
  int64_t dim = getDim();
  if (from.getRank() != 2 || to.getRank() != 1 || dim < 0 || dim > 1 || from.getDimSize(1 - dim) != to.getDimSize(0))
    return emitOpError("reduces one dimension of a rank-2 tile");
  if (!from.getElementType().isF32() || !to.getElementType().isF32())
    return emitOpError("reduces f32");
  return success();
}

LogicalResult ScanOp::verify() {
  auto type = tensorOf(getSource());
  int64_t rank = type.getRank(), dim = getDim();
  if (!type.getElementType().isF32() || getTile().getType() != type)
    return emitOpError("sums f32 and keeps the type of its source");
  if (rank < 1 || rank > 2 || dim < 0 || dim >= rank)
    return emitOpError("runs along one dimension of a tile of rank 1 or 2");
  bool scalar = getTotal().getType().isF32();
  auto total = dyn_cast<RankedTensorType>(getTotal().getType());
  if (rank == 1 ? !scalar
                : !total || total.getRank() != 1 || !total.getElementType().isF32() ||
                      total.getDimSize(0) != type.getDimSize(1 - dim))
    return emitOpError("has a total that is not the source without dimension ") << dim;
  return success();
}

LogicalResult SliceOp::verify() {
  auto from = tensorOf(getSource()), to = tensorOf(getTile());
  int64_t dim = getDim(), offset = getOffset();
  if (from.getElementType() != to.getElementType())
    return emitOpError("changes the element type");
  if (from.getRank() != to.getRank() || dim < 0 || dim >= from.getRank())
    return emitOpError("cuts one dimension of a tile and keeps its rank");
  for (int64_t d = 0; d < from.getRank(); ++d)
    if (d != dim && from.getDimSize(d) != to.getDimSize(d))
      return emitOpError("changes the size of dimension ") << d;
  if (offset < 0 || offset > from.getDimSize(dim) || to.getDimSize(dim) > from.getDimSize(dim) - offset)
    return emitOpError("keeps ") << to.getDimSize(dim) << " indices from " << offset << " of " << from.getDimSize(dim);
  return success();
}

LogicalResult ConcatOp::verify() {
  auto to = tensorOf(getTile());
  int64_t dim = getDim(), sum = 0;
  if (getSources().empty() || dim < 0 || dim >= to.getRank())
    return emitOpError("joins at least one tile along one of its dimensions");
  for (Value source : getSources()) {
    auto from = tensorOf(source);
    if (from.getElementType() != to.getElementType())
      return emitOpError("changes the element type");
    if (from.getRank() != to.getRank())
      return emitOpError("changes the rank");
    for (int64_t d = 0; d < to.getRank(); ++d)
      if (d != dim && from.getDimSize(d) != to.getDimSize(d))
        return emitOpError("changes the size of dimension ") << d;
    sum += from.getDimSize(dim);
  }
  if (sum != to.getDimSize(dim))
    return emitOpError("joins ") << sum << " indices in a tile of " << to.getDimSize(dim);
  return success();
}

LogicalResult TransposeOp::verify() {
  auto from = tensorOf(getSource()), to = tensorOf(getTile());
  if (from.getElementType() != to.getElementType())
    return emitOpError("changes the element type");
  if (from.getRank() != 2 || to.getRank() != 2 || from.getDimSize(0) != to.getDimSize(1) ||
      from.getDimSize(1) != to.getDimSize(0))
    return emitOpError("exchanges the dimensions of a rank-2 tile");
  return success();
}

LogicalResult UnitTrilInverseOp::verify() {
  auto type = tensorOf(getSource());
  if (type.getRank() != 2 || type.getDimSize(0) != type.getDimSize(1) || !type.getElementType().isF32())
    return emitOpError("inverts a square tile of f32, not ") << type;
  if (std::optional<StringRef> precision = getPrecision(); precision && *precision != "f32" && *precision != "tf32")
    return emitOpError("has the precision '") << *precision << "'; expected f32 or tf32";
  return success();
}

LogicalResult DecayedDotOp::verify() {
  auto a = tensorOf(getA()), b = tensorOf(getB()), g = tensorOf(getG()), to = tensorOf(getTile());
  if (a.getRank() != 2 || a.getShape() != b.getShape() || a.getElementType() != b.getElementType())
    return emitOpError("multiplies rows of two rank-2 tiles of one shape and element type");
  if (g.getShape() != a.getShape() || !g.getElementType().isF32())
    return emitOpError("has exponents that are not f32 in the shape of its operands");
  int64_t rows = a.getDimSize(0);
  if (to.getShape() != ArrayRef<int64_t>{rows, rows} || !to.getElementType().isF32())
    return emitOpError("gives a tile of f32 with a row and a column for each of ") << rows << " rows";
  if (getBounded() && a.getElementType().isF16())
    return emitOpError("is bounded with operands of f16, whose range its factors may leave");
  return success();
}

//===--- recurrences ---===//

LogicalResult RecurrenceOp::inferReturnTypes(MLIRContext *, std::optional<Location>, ValueRange operands,
                                             DictionaryAttr, OpaqueProperties, RegionRange,
                                             SmallVectorImpl<Type> &types) {
  // Behind the bounds, the states.
  if (operands.size() < 2)
    return failure();
  llvm::append_range(types, operands.drop_front(2).getTypes());
  return success();
}

LogicalResult RecurrenceOp::verify() {
  if (int64_t(getStep()) < 1)
    return emitOpError("has a step below 1");
  return success();
}

LogicalResult RecurrenceOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getNumArguments() != 1 + getInit().size() || !block.getArgument(0).getType().isIndex() ||
      ValueRange(block.getArguments().drop_front()).getTypes() != getInit().getTypes())
    return emitOpError("has a body whose arguments are not the first token of a chunk and the states");
  auto yield = dyn_cast<RecurrenceYieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError("ends its body with tile.recurrence_yield");
  if (yield.getStates().getTypes() != getInit().getTypes())
    return yield.emitOpError("yields states of other types than the recurrence begins with");
  return success();
}

//===--- domains and folds ---===//

LogicalResult DomainOp::verify() {
  size_t n = getLo().size();
  if (n == 0 || n > 4 || getHi().size() != n || getFullLo().size() != n || getFullHi().size() != n)
    return emitOpError("has one to four ranges, each with a beginning and an end, and as many full ranges");
  if (getStep() < 1)
    return emitOpError("has a step below 1");
  return success();
}

LogicalResult FoldOp::verify() {
  auto rank1 = [](Value v) { return tensorOf(v).getRank() == 1 && tensorOf(v).getElementType().isF32(); };
  APFloat scale(0.0f);
  if (getAdditive() && matchPattern(getScale(), m_ConstantFloat(&scale)) && !scale.isExactlyValue(1))
    return emitOpError("is additive, and so has the scale 1");
  if (!rank1(getMax()) || !rank1(getSum()) || tensorOf(getMax()) != tensorOf(getSum()))
    return emitOpError("has a maximum and a sum of one rank-1 type of f32");
  return success();
}

LogicalResult FoldOp::verifyRegions() {
  for (Region *region : {&getBody(), &getMask()})
    if (region->front().getNumArguments() != 1 || !region->front().getArgument(0).getType().isIndex())
      return emitOpError("has regions of one argument, the first key of a tile");
  auto yield = dyn_cast<FoldYieldOp>(getBody().front().getTerminator());
  auto mask = dyn_cast<MaskYieldOp>(getMask().front().getTerminator());
  if (!yield || !mask)
    return emitOpError("ends its body with tile.fold_yield and its mask with tile.mask_yield");
  auto score = tensorOf(yield.getScore()), maskType = tensorOf(mask.getMask());
  if (score.getShape() != maskType.getShape() || !maskType.getElementType().isInteger(1))
    return emitOpError("has a mask that is not an i1 tile of the shape of the scores");
  if (score.getDimSize(0) != tensorOf(getMax()).getDimSize(0))
    return emitOpError("has scores for another number of queries than its results");
  if (yield.getCoefficientOf().size() != getAccumulators().size())
    return emitOpError("has ") << getAccumulators().size() << " accumulators for " << yield.getCoefficientOf().size()
                               << " terms";
  for (auto [result, value] : llvm::zip(getAccumulators(), yield.getValueOf())) {
    auto type = tensorOf(result);
    SmallVector<int64_t> shape{score.getDimSize(0)};
    if (value >= 0)
      shape.push_back(tensorOf(yield.getValues()[value]).getDimSize(1));
    if (type.getShape() != ArrayRef<int64_t>(shape) || !type.getElementType().isF32())
      return emitOpError("has an accumulator of the wrong shape: ") << type;
  }
  return success();
}

// %m, %l, %u = tile.fold %dom scale %c (%j) { ... } mask (%j) { ... } : types
ParseResult FoldOp::parse(OpAsmParser &parser, OperationState &result) {
  OpAsmParser::UnresolvedOperand domain, scale;
  OpAsmParser::Argument bodyKey, maskKey;
  bodyKey.type = maskKey.type = parser.getBuilder().getIndexType();
  Region *body = result.addRegion(), *mask = result.addRegion();
  SmallVector<Type> types;
  if (parser.parseOperand(domain) || parser.parseKeyword("scale") || parser.parseOperand(scale) ||
      parser.parseLParen() || parser.parseArgument(bodyKey) || parser.parseRParen() ||
      parser.parseRegion(*body, bodyKey) || parser.parseKeyword("mask") || parser.parseLParen() ||
      parser.parseArgument(maskKey) || parser.parseRParen() || parser.parseRegion(*mask, maskKey) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes) || parser.parseColonTypeList(types) ||
      parser.resolveOperand(domain, DomainType::get(parser.getContext()), result.operands) ||
      parser.resolveOperand(scale, parser.getBuilder().getF32Type(), result.operands))
    return failure();
  result.addTypes(types);
  return success();
}

void FoldOp::print(OpAsmPrinter &printer) {
  printer << ' ' << getDomain() << " scale " << getScale();
  printer << " (" << getBody().getArgument(0) << ") ";
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
  printer << " mask (" << getMask().getArgument(0) << ") ";
  printer.printRegion(getMask(), /*printEntryBlockArgs=*/false);
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs());
  printer << " : ";
  llvm::interleaveComma(getResultTypes(), printer);
}

LogicalResult FoldYieldOp::verify() {
  auto score = tensorOf(getScore());
  if (score.getRank() != 2 || !score.getElementType().isF32())
    return emitOpError("yields scores that are not a rank-2 tile of f32");
  if (getCoefficientOf().size() != getValueOf().size())
    return emitOpError("has terms with a coefficient list and a value list of different lengths");
  for (Value c : getCoefficients())
    if (tensorOf(c) != score)
      return emitOpError("has a coefficient that is not of the scores' type");
  for (Value v : getValues())
    if (tensorOf(v).getRank() != 2 || tensorOf(v).getDimSize(0) != score.getDimSize(1))
      return emitOpError("has a value that is not [keys, features]");
  for (auto [c, v] : llvm::zip(getCoefficientOf(), getValueOf())) {
    if (c < -1 || c >= int64_t(getCoefficients().size()) || v < -1 || v >= int64_t(getValues().size()))
      return emitOpError("has a term that names a coefficient or value which is not there");
    if (c < 0 && v < 0)
      return emitOpError("has a term with neither coefficient nor value: that is the sum of the weights");
  }
  return success();
}

//===--- schedules ---===//

LogicalResult ConvertLayoutOp::verify() {
  auto from = tensorOf(getSource()), to = tensorOf(getTile());
  if (from.getShape() != to.getShape() || from.getElementType() != to.getElementType())
    return emitOpError("changes more than the layout");
  return success();
}

static LogicalResult verifyRing(Operation *op, SmemType smem, ArrayRef<int64_t> tile, Type element) {
  if (smem.getElementType() != element)
    return op->emitOpError("moves elements of type ") << element << " through a ring of " << smem.getElementType();
  int64_t rows = tile.size() == 2 ? tile[0] : 1; // a vector is one row
  if (tile.empty() || tile.size() > 2 || rows != smem.getRows() || tile.back() != smem.getColumns())
    return op->emitOpError("moves a tile whose shape is not that of the ring's stages");
  return success();
}

LogicalResult CopyStartOp::verify() {
  auto view = getView().getType();
  auto smem = getSmem().getType();
  return verifyAccess(*this, view, getIndices().size(), getDims(), {smem.getRows(), smem.getColumns()},
                      smem.getElementType());
}

LogicalResult SmemReadOp::verify() {
  if (bool(getView()) == bool(getWritten()))
    return emitOpError("says what it holds: either a tile of a view or a tile that was written");
  auto type = tensorOf(getTile());
  if (getView()) {
    if (!getDims())
      return emitOpError("names a view without dims");
    if (failed(verifyAccess(*this, cast<ViewType>(getView().getType()), getIndices().size(), *getDims(),
                            type.getShape(), type.getElementType())))
      return failure();
    // Some of the rows that were copied.
    SmemType smem = getSmem().getType();
    int64_t row = getRow();
    if (type.getRank() == 2 && type.getDimSize(1) == smem.getColumns() && row >= 0 &&
        row <= smem.getRows() - type.getDimSize(0))
      return verifyRing(*this, smem, {smem.getRows(), smem.getColumns()}, type.getElementType());
  } else if (tensorOf(getWritten()).getShape() != type.getShape()) {
    return emitOpError("reads another shape than was written");
  }
  if (getRow())
    return emitOpError("begins at row ") << int64_t(getRow())
                                         << ", from which on the ring's stages do not hold the tile";
  return verifyRing(*this, getSmem().getType(), type.getShape(), type.getElementType());
}

LogicalResult SmemWriteOp::verify() {
  return verifyRing(*this, getSmem().getType(), tensorOf(getTile()).getShape(), tensorOf(getTile()).getElementType());
}

//===--- warp roles ---===//

LogicalResult RolesOp::verifyRegions() {
  llvm::StringSet<> names;
  for (Operation &op : getBody().front()) {
    auto role = dyn_cast<RoleOp>(op);
    if (!role)
      return emitOpError("holds tile.role operations alone, not ") << op.getName();
    if (!names.insert(role.getName()).second)
      return role.emitOpError("has a name that another role has: '") << role.getName() << "'";
  }
  return success();
}

LogicalResult RoleOp::verify() {
  if (getCount() < 1 || getWarps() < 1)
    return emitOpError("needs at least one instance of at least one warp");
  if (getRegisters() < 24 || getRegisters() > 240 || getRegisters() % 8)
    return emitOpError("has ") << getRegisters() << " registers; expected a multiple of 8 from 24 to 240";
  Block &block = getBody().front();
  if (block.getNumArguments() > 1 || (block.getNumArguments() == 1 && !block.getArgument(0).getType().isIndex()))
    return emitOpError("has at most one argument, the number of the instance");
  return success();
}

LogicalResult RoleOp::verifyRegions() {
  Operation *outside = nullptr;
  getBody().walk([&](Operation *op) {
    for (Value operand : op->getOperands())
      if (isa<SmemType, TokenType>(operand.getType()) && !getBody().isAncestor(operand.getParentRegion())) {
        outside = op;
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  if (outside)
    return outside->emitOpError("uses a ring or a product of another role: only channels and orders cross");
  return success();
}

// tile.role "consumer" count 2 warps 4 registers 240 (%id) { ... }
ParseResult RoleOp::parse(OpAsmParser &parser, OperationState &result) {
  StringAttr name;
  Builder &builder = parser.getBuilder();
  auto number = [&](StringRef attribute) -> ParseResult {
    int64_t value;
    if (parser.parseInteger(value))
      return failure();
    result.addAttribute(attribute, builder.getI64IntegerAttr(value));
    return success();
  };
  if (parser.parseAttribute(name, "name", result.attributes))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("count")) && number("count"))
    return failure();
  if (parser.parseKeyword("warps") || number("warps") || parser.parseKeyword("registers") || number("registers"))
    return failure();
  SmallVector<OpAsmParser::Argument> arguments;
  if (succeeded(parser.parseOptionalLParen())) {
    arguments.emplace_back().type = builder.getIndexType();
    if (parser.parseArgument(arguments.back()) || parser.parseRParen())
      return failure();
  }
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes) || parser.parseRegion(*result.addRegion(), arguments))
    return failure();
  if (result.regions.back()->empty())
    result.regions.back()->emplaceBlock();
  return success();
}

void RoleOp::print(OpAsmPrinter &printer) {
  printer << ' ' << getNameAttr();
  if (getCount() != 1)
    printer << " count " << getCount();
  printer << " warps " << getWarps() << " registers " << getRegisters();
  if (getBody().getNumArguments() == 1)
    printer << " (" << getBody().getArgument(0) << ')';
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"name", "count", "warps", "registers"});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult ChannelOp::verify() {
  if (getReaders() < 1)
    return emitOpError("needs at least one reader");
  return success();
}

LogicalResult PutOp::verify() {
  auto channel = getChannel().getType();
  return verifyAccess(*this, getView().getType(), getIndices().size(), getDims(),
                      {channel.getRows(), channel.getColumns()}, channel.getElementType());
}

LogicalResult TakeOp::verify() {
  auto type = tensorOf(getTile());
  auto channel = getChannel().getType();
  if (type.getElementType() != channel.getElementType() ||
      type.getShape() != ArrayRef<int64_t>{channel.getRows(), channel.getColumns()})
    return emitOpError("takes ") << type << " from " << channel;
  return verifyAccess(*this, getView().getType(), getIndices().size(), getDims(), type.getShape(),
                      type.getElementType());
}

LogicalResult OrderOp::verify() {
  if (getCount() < 2)
    return emitOpError("needs at least two instances that take turns");
  return success();
}

LogicalResult DotStartOp::verify() {
  if (failed(verifyDot(*this, tensorOf(getA()), tensorOf(getB()), tensorOf(getAcc()), getContract())))
    return failure();
  if (!getToken().hasOneUse())
    return emitOpError("is waited for ") << llvm::range_size(getToken().getUses()) << " times; expected once";
  auto wait = dyn_cast<DotWaitOp>(*getToken().user_begin());
  if (!wait || wait->getBlock() != (*this)->getBlock())
    return emitOpError("has a token that leaves its block; expected a tile.dot_wait in the same block");
  if (wait.getTile().getType() != getAcc().getType())
    return emitOpError("accumulates in ") << getAcc().getType() << " but its wait gives " << wait.getTile().getType();
  return success();
}
