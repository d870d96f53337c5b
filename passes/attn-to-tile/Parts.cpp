// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Slices and concatenations of features. A slice is another place to load from: it is pushed down to what is stored. A
// concatenation joins tiles in registers.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

/// The first index of a coordinate's tile, where it is known.
static std::optional<int64_t> beginOf(const Coordinate *coordinate) {
  APInt constant;
  if (!coordinate->base)
    return 0;
  if (matchPattern(coordinate->base, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

const Coordinate *LaunchEmitter::partOf(const Coordinate *whole, StringAttr identity, int64_t offset, int64_t extent,
                                        int64_t size) {
  bool isAll = whole->kind == Where::Feature && !offset && extent == whole->extent && identity == whole->axis;
  if (isAll && (size == whole->size || (!size && whole->size == extent)))
    return whole;
  const Coordinate *&known = parts[{whole, identity.getAsOpaquePointer(), offset, extent}];
  if (known)
    return known;
  Coordinate part = *whole;
  if (std::optional<int64_t> begin = beginOf(whole); begin && whole->kind == Where::Feature) {
    part.base = *begin + offset ? derivation.indexConstant(*begin + offset) : Value();
  } else {
    OpBuilder builder = builderFor({});
    part.base = arith::AddIOp::create(builder, launch.getLoc(), whole->base, derivation.indexConstant(offset));
  }
  part.axis = identity;
  part.extent = extent;
  part.size = size;
  return known = derivation.newCoordinate(part);
}

FailureOr<Environment> LaunchEmitter::sliced(SliceOp op, const Environment &env) {
  int64_t offset = 0;
  for (Attribute before : op.getAfter()) {
    FailureOr<int64_t> size = derivation.featureSize(cast<StringAttr>(before), op);
    if (failed(size))
      return failure();
    offset += *size;
  }
  const Coordinate *part = env.lookup(op.getToAttr());
  return env.with(op.getFromAttr(), partOf(part, part->axis, offset, part->extent, part->size));
}

bool LaunchEmitter::isPaddedSlice(SliceOp op, const Environment &env) {
  const Coordinate *part = env.lookup(op.getToAttr());
  return !part || (part->size && part->size < part->extent);
}

FailureOr<TileValue> LaunchEmitter::slice(SliceOp op, const Environment &env) {
  FailureOr<Environment> inner = sliced(op, env);
  if (failed(inner))
    return failure();
  return evaluate(op.getOperand(), *inner);
}

FailureOr<TileValue> LaunchEmitter::concat(ConcatOp op, const Environment &env) {
  const Coordinate *whole = env.lookup(op.getAlongAttr());
  std::optional<int64_t> begin = beginOf(whole);
  if (whole->kind != Where::Feature || !begin)
    return op.emitError("the concatenation '")
           << op.getAlong() << "' is computed one element or one run-time part at a time here, which is not supported";
  int64_t end = *begin + (whole->size ? whole->size : whole->extent), offset = 0;

  struct Piece {
    TileValue value;
    Dimension part;
  };
  SmallVector<Piece> pieces;
  Dimension joined = dimensionOf(whole);
  Dimensions rest; // what varies beside the features that are joined
  for (auto [operand, axis] : llvm::zip(op.getOperands(), toAxes(op.getParts()))) {
    FailureOr<int64_t> size = derivation.featureSize(axis, op);
    if (failed(size))
      return failure();
    int64_t first = std::max(offset, *begin), last = std::min(offset + *size, end);
    if (first == *begin && last == end && (last - first) % 8) { // all of it, padded
      const Coordinate *part =
          partOf(derivation.feature(axis, *size), axis, first - offset, whole->extent, whole->size);
      FailureOr<TileValue> value = evaluate(operand, env.with(axis, part));
      if (succeeded(value))
        for (Dimension &d : value->dims)
          if (d == dimensionOf(part))
            d = joined;
      return value;
    }
    if (first < last) {
      if ((first - *begin) % 8 || (last - first) % 8)
        return op.emitError("joins parts of '")
               << axis.getValue() << "' at element " << first - *begin << "; parts are multiples of 8 elements";
      const Coordinate *part = partOf(derivation.feature(axis, *size), axis, first - offset, last - first, 0);
      FailureOr<TileValue> value = evaluate(operand, env.with(axis, part));
      if (failed(value))
        return failure();
      pieces.push_back({*value, dimensionOf(part)});
      for (const Dimension &d : value->dims)
        if (d != pieces.back().part && !llvm::is_contained(rest, d))
          rest.push_back(d);
    }
    offset += *size;
  }
  Dimensions dims = rest;
  dims.push_back(joined);
  FailureOr<Dimensions> all = unite(TileValue{{}, dims}, op);
  if (failed(all))
    return failure();
  dims = *all;
  int64_t place = llvm::find(dims, joined) - dims.begin();
  Location loc = op.getLoc();
  OpBuilder builder = builderFor(dims);
  SmallVector<Value> tiles;
  int64_t filled = 0;
  for (const Piece &piece : pieces) {
    Dimensions own = dims;
    own[place] = piece.part;
    // A broadcast keeps the order of dimensions.
    if (piece.value.dims.size() == 2 && !(piece.value.dims == own))
      return op.emitError("joins features across a tile of two feature axes in another order than they are declared");
    tiles.push_back(spread(builder, loc, piece.value, own));
    filled += piece.part.extent;
  }
  Type element = getElementTypeOrSelf(tiles.front());
  if (filled < joined.extent) {
    Dimensions padding = dims;
    padding[place].extent = joined.extent - filled;
    tiles.push_back(emitConstant(builder, loc, typeOf(padding, element), 0));
  }
  if (tiles.size() == 1)
    return TileValue{tiles.front(), dims};
  return TileValue{tile::ConcatOp::create(builder, loc, typeOf(dims, element), tiles, place), dims};
}

/// The part of a tile at `part` of the features that its dimension `whole` has.
FailureOr<TileValue> LaunchEmitter::cut(const TileValue &tile, StringAttr whole, const Coordinate *part,
                                        Operation *at) {
  Dimensions dims = tile.dims;
  auto place = llvm::find_if(dims, [&](const Dimension &d) { return d.kind == Where::Feature && d.feature == whole; });
  if (place == dims.end())
    return tile;
  std::optional<int64_t> begin = beginOf(part);
  if (!begin || *begin % 8)
    return at->emitError("a part of '") << whole.getValue() << "' is taken at no multiple of 8 elements";
  int64_t n = place - dims.begin(), kept = std::min(part->extent, place->extent - *begin);
  bool all = kept == place->extent;
  *place = dimensionOf(part);
  OpBuilder builder = builderFor(dims);
  Value value = tile.value;
  Type element = getElementTypeOrSelf(value);
  Dimensions piece = dims;
  piece[n].extent = kept;
  if (!all)
    value = tile::SliceOp::create(builder, at->getLoc(), typeOf(piece, element), value, n, *begin);
  if (kept < part->extent) { // padding
    piece[n].extent = part->extent - kept;
    Value zero = emitConstant(builder, at->getLoc(), typeOf(piece, element), 0);
    value = tile::ConcatOp::create(builder, at->getLoc(), typeOf(dims, element), ValueRange{value, zero}, n);
  }
  return TileValue{value, dims};
}

FailureOr<TileValue> LaunchEmitter::expectPart(ExpectOp op, const Environment &env) {
  // A fold has accumulators of all features (or of the launch's part of them); a slice is taken from its result.
  for (StringAttr axis : cast<FieldType>(op.getResult().getType()).getAxes()) {
    const Coordinate *c = env.lookup(axis);
    if (c->kind != Where::Feature || c == part || !derivation.isFeature(axis))
      continue;
    FailureOr<int64_t> size = derivation.featureSize(axis, op);
    if (failed(size))
      return failure();
    const Coordinate *whole = derivation.feature(axis, *size);
    if (c == whole)
      continue;
    if (part && part->axis == axis)
      return op.emitError("a part of '") << axis.getValue()
                                         << "' is needed whole, but work items compute a share of it each";
    FailureOr<TileValue> all = evaluate(op.getResult(), env.with(axis, whole));
    if (failed(all))
      return failure();
    return cut(*all, axis, c, op);
  }
  return expect(op, env);
}

//===--- products ---===//

FailureOr<std::optional<std::pair<TileValue, double>>>
LaunchEmitter::dotOfParts(DotOp op, Value rowSide, Value keySide, StringAttr axis, const Environment &env) {
  using Result = std::optional<std::pair<TileValue, double>>;
  const Coordinate *whole = env.lookup(axis);
  Product key = decompose(keySide, env, axis);
  auto joined = key.core.getDefiningOp<ConcatOp>();
  if (!joined || key.coreEnv.lookup(joined.getAlongAttr()) != whole)
    return Result();
  SmallVector<StringAttr> axes = toAxes(joined.getParts());
  SmallVector<int64_t> sizes;
  bool isStored = false;
  for (auto [operand, part] : llvm::zip(joined.getOperands(), axes)) {
    FailureOr<int64_t> size = derivation.featureSize(part, op);
    if (failed(size))
      return failure();
    Environment partEnv = key.coreEnv.with(part, derivation.feature(part, *size));
    // Products come in steps of 16: other parts would be padded each.
    if (*size % 16 || !runsAlong(operand, partEnv, Where::Key))
      return Result();
    sizes.push_back(*size);
    isStored |= plainType(operand, partEnv).has_value();
  }
  if (!isStored)
    return Result();

  // The other side in the same parts: as it was joined, or cut.
  Product other = decompose(rowSide, env, axis);
  auto otherJoined = other.core.getDefiningOp<ConcatOp>();
  bool matches = otherJoined && other.coreEnv.lookup(otherJoined.getAlongAttr()) == whole &&
                 otherJoined.getParts() == joined.getParts();
  if (!matches && !plainType(other.core, other.coreEnv))
    other = Product{1, {}, rowSide, env};
  StringAttr otherAxis; // the name that the whole has on that side
  for (StringAttr name : cast<FieldType>(other.core.getType()).getAxes())
    if (other.coreEnv.lookup(name) == whole)
      otherAxis = name;
  if (!matches && !otherAxis)
    return Result();

  std::optional<TileValue> sum;
  int64_t offset = 0;
  for (auto [n, part, size] : llvm::enumerate(axes, sizes)) {
    const Coordinate *own = derivation.feature(part, size);
    Value keyPart = joined.getOperands()[n], rowPart = matches ? otherJoined.getOperands()[n] : other.core;
    Environment keyEnv = key.coreEnv.with(part, own);
    Environment rowEnv = matches ? other.coreEnv.with(part, own)
                                 : other.coreEnv.with(otherAxis, partOf(whole, part, offset, size, size));
    Type elementType = operandType(plainType(keyPart, keyEnv), plainType(rowPart, rowEnv), derivation.elementType);
    FailureOr<TileValue> a = operand(rowPart, rowEnv, elementType, op), b = operand(keyPart, keyEnv, elementType, op);
    if (failed(a) || failed(b))
      return failure();
    FailureOr<TileValue> tile = contract(op, *a, *b, part, sum ? sum->value : Value());
    if (failed(tile))
      return failure();
    sum = *tile;
    offset += size;
  }
  SmallVector<Product::Factor> factors(other.factors);
  factors.append(key.factors.begin(), key.factors.end());
  FailureOr<std::optional<TileValue>> factor = multiply(factors, op);
  if (failed(factor))
    return failure();
  FailureOr<TileValue> result = *factor ? binary("mul", *sum, **factor, op) : FailureOr<TileValue>(*sum);
  if (failed(result))
    return failure();
  return Result({*result, key.constant * other.constant});
}

Value LaunchEmitter::sumInto(Operation *op, Value x, Value y) {
  if (!isa<AddOp>(op) || x == y)
    return {};
  for (auto [n, added, product] : {std::tuple(1, x, y), std::tuple(0, y, x)}) {
    auto dot = product.getDefiningOp<tile::DotOp>();
    Operation *def = added.getDefiningOp();
    // Nothing else may see the product by itself, now or later.
    if (!dot || !dot->use_empty() || !op->getOperand(n).hasOneUse() || !op->getOperand(n).getDefiningOp<DotOp>() ||
        !matchPattern(dot.getAcc(), m_AnyZeroFloat()))
      continue;
    if (!def || def->getBlock() != dot->getBlock() || !isa<tile::DotOp, arith::MulFOp>(def))
      continue;
    if (!def->isBeforeInBlock(dot))
      dot->moveAfter(def);
    dot.getAccMutable().assign(added);
    return dot.getTile();
  }
  return {};
}
