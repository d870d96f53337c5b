// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows and keys that run over two axes at once: tokens and heads of a group, so that few tokens fill a tile, and the
// windows of a grid. Element r is r / inner of the outer axis and r % inner of the inner one. Memory is read and
// written through merged views, so that nothing is copied.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

//===--- coordinates ---===//

Value Derivation::productOf(StringAttr outer, StringAttr inner) {
  Value a = sizeOf(outer), b = sizeOf(inner);
  Value &product = sizes[StringAttr::get(context, "#" + outer.getValue() + "*" + inner.getValue())];
  if (!product) {
    OpBuilder builder = head();
    std::optional<int64_t> x = staticSize(outer), y = staticSize(inner);
    if (x && y)
      product = arith::ConstantIndexOp::create(builder, attention.getLoc(), *x * *y);
    else
      product = arith::MulIOp::create(builder, attention.getLoc(), a, b);
  }
  return product;
}

Coordinate *Derivation::newComposite(Where kind, StringAttr axis, Value base, int64_t extent, StringAttr outer,
                                     StringAttr inner) {
  Coordinate *whole = newCoordinate({kind, axis, base, extent});
  for (bool isInner : {false, true}) {
    Coordinate *share = newCoordinate({kind, isInner ? inner : outer, base, extent});
    share->whole = whole;
    whole->shares[isInner] = share;
  }
  return whole;
}

FailureOr<Coordinate *> Derivation::newTokens(Where kind, StringAttr axis, Value base, int64_t extent, Operation *at) {
  AxisAttr entry = table.lookup(rawOf(axis));
  if (!entry || !entry.isFactor())
    return newCoordinate({kind, rawOf(axis), base, extent});
  SmallVector<StringAttr> parts = table.expand(rawOf(axis));
  if (parts.size() != 2)
    return at->emitError("walks over '") << rawOf(axis).getValue() << "', a product of " << parts.size()
                                         << " axes; in this version it has two";
  return newComposite(kind, rawOf(axis), base, extent, parts[0], parts[1]);
}

//===--- packing ---===//

StringAttr Derivation::packedAxis(const LaunchAxes &axes) {
  if (axes.keys || table.lookup(rawOf(axes.row)).isFactor())
    return {};
  // What varies with a key, and not with a query too, must be the same for all heads that share a tile.
  llvm::DenseSet<StringAttr> walks;
  for (auto weights : attention.getBody().front().getOps<WeightsOp>()) {
    if (weights.getQueryAttr() != axes.row)
      return {};
    walks.insert(weights.getOverAttr());
    walks.insert(rawOf(weights.getOverAttr()));
  }
  if (walks.empty())
    return {};
  auto isShared = [&](StringAttr axis) {
    for (Operation &op : attention.getBody().front())
      for (Value result : op.getResults())
        if (auto field = dyn_cast<FieldType>(result.getType()))
          if (field.hasAxis(axis) && !field.hasAxis(axes.row) &&
              llvm::any_of(field.getAxes(), [&](StringAttr other) { return walks.contains(other); }))
            return false;
    return true;
  };
  for (StringAttr axis : llvm::reverse(axes.batch)) {
    AxisAttr entry = table.lookup(axis);
    bool isRow = llvm::all_of(attention.getBody().front().getOps<WeightsOp>(), [&](WeightsOp weights) {
      return llvm::is_contained(weights.getWeightsType().getRows(), axis);
    });
    if (isRow && !isToken(axis) && (!entry || entry.getRelation() == Relation::Plain) && isShared(axis))
      return axis;
  }
  return {};
}

//===--- merged views ---===//

Value Derivation::mergedView(Value view, int64_t outerDim, int64_t innerDim, Value outer, Value inner) {
  Value &merged = mergedViews[{view.getAsOpaquePointer(), outerDim, innerDim, outer.getAsOpaquePointer(),
                               inner.getAsOpaquePointer()}];
  if (merged)
    return merged;
  auto type = cast<tile::ViewType>(view.getType());
  SmallVector<int64_t> shape(type.getShape());
  APInt a, b;
  bool isStatic = matchPattern(outer, m_ConstantInt(&a)) && matchPattern(inner, m_ConstantInt(&b));
  shape.insert(shape.begin() + std::max(outerDim, innerDim) + 1,
               isStatic ? a.getSExtValue() * b.getSExtValue() : ShapedType::kDynamic);
  OpBuilder builder = head();
  if (auto part = view.getDefiningOp<tile::NarrowOp>())
    builder.setInsertionPointAfter(part);
  return merged = tile::MergeDimsOp::create(builder, attention.getLoc(),
                                            tile::ViewType::get(context, shape, type.getElementType()), view,
                                            builder.getDenseI64ArrayAttr({outerDim, innerDim}), outer, inner);
}

LogicalResult LaunchEmitter::mergeTokens(Operation *at, ArrayRef<TokenShare> shares, ArrayRef<StringAttr> declared,
                                         Value &view, SmallVectorImpl<Value> &indices, SmallVectorImpl<int64_t> &dims,
                                         Dimensions &spanned) {
  SmallVector<std::pair<int64_t, Dimension>> places;
  for (auto [d, dimension] : llvm::zip(dims, spanned))
    places.emplace_back(d, dimension);
  SmallVector<const Coordinate *> wholes;
  for (const TokenShare &share : shares) {
    const Coordinate *whole = share.coordinate->whole ? share.coordinate->whole : share.coordinate;
    if (!llvm::is_contained(wholes, whole))
      wholes.push_back(whole);
  }
  SmallVector<int64_t> placeOf(declared.size()); // of a declared dimension in the view so far
  for (auto [n, place] : llvm::enumerate(placeOf))
    place = n;
  for (const Coordinate *whole : wholes) {
    const TokenShare *outer = nullptr, *inner = nullptr;
    for (const TokenShare &share : shares) {
      bool isOfThis = share.coordinate == whole || share.coordinate->whole == whole;
      if (!isOfThis)
        continue;
      const TokenShare *&kept = share.coordinate == whole || share.coordinate == whole->shares[1] ? inner : outer;
      if (kept)
        return at->emitError("reads the same tokens along two of its axes");
      kept = &share;
    }
    int64_t outerDim = -1, innerDim = -1;
    Value outerSize = derivation.indexConstant(1), innerSize;
    if (!whole->shares[0]) { // one part of a longer axis
      innerDim = placeOf[inner->declared];
      innerSize = derivation.sizeOf(whole->axis);
    } else if (outer && inner && outer->declared == inner->declared) { // both, next to each other
      innerDim = placeOf[inner->declared];
      innerSize = derivation.productOf(whole->shares[0]->axis, whole->shares[1]->axis);
    } else {
      outerDim = outer ? placeOf[outer->declared] : -1;
      innerDim = inner ? placeOf[inner->declared] : -1;
      outerSize = derivation.sizeOf(whole->shares[0]->axis);
      innerSize = derivation.sizeOf(whole->shares[1]->axis);
    }
    view = derivation.mergedView(view, outerDim, innerDim, outerSize, innerSize);
    int64_t place = std::max(outerDim, innerDim) + 1;
    indices.insert(indices.begin() + place, whole->base);
    for (int64_t &d : placeOf)
      d += d >= place;
    for (auto &[d, dimension] : places)
      d += d >= place;
    places.emplace_back(place, dimensionOf(whole));
  }
  llvm::sort(places, [](const auto &a, const auto &b) { return a.first < b.first; });
  dims.clear();
  spanned.clear();
  for (auto &[d, dimension] : places) {
    dims.push_back(d);
    spanned.push_back(dimension);
  }
  return success();
}

Value LaunchEmitter::shareOf(OpBuilder &builder, Location loc, const Coordinate *share, Value index) {
  Value inner = derivation.sizeOf(share->whole->shares[1]->axis);
  OpBuilder before = builderFor({});
  Value size = arith::IndexCastOp::create(before, loc, before.getI32Type(), inner);
  Value divisor = tile::SplatOp::create(builder, loc, index.getType(), size);
  if (share->isInner())
    return arith::RemUIOp::create(builder, loc, index, divisor);
  return arith::DivUIOp::create(builder, loc, index, divisor);
}

Value LaunchEmitter::scaledBy(Value index, StringAttr axis, Operation *at) {
  OpBuilder builder = builderFor({});
  return arith::MulIOp::create(builder, at->getLoc(), index, derivation.sizeOf(axis));
}

std::optional<Environment> LaunchEmitter::flattened(FlattenOp op, const Environment &env) {
  const Coordinate *tokens = env.lookup(op.getToAttr());
  SmallVector<StringAttr> parts = toAxes(op.getFrom());
  if (!tokens || !tokens->shares[0] || parts.size() != 2 || parts[0] != tokens->shares[0]->axis ||
      parts[1] != tokens->shares[1]->axis)
    return std::nullopt;
  Environment inner = env;
  for (const Coordinate *share : tokens->shares)
    inner.set(share->axis, share);
  return inner;
}

/// The row at a position, where rows are tokens and heads: moving by whole tokens keeps the head.
FailureOr<TileValue> LaunchEmitter::rowAtShare(RowAtOp op, const Environment &env) {
  const Coordinate *at = env.lookup(op.getQueryAttr());
  const Coordinate *whole = at->whole;
  if (at->isInner())
    return op.emitError("reads the row at the position of a head; that is not in this version");
  Coordinate *&moved = shifted[{at, op.getKeysAttr().getAsOpaquePointer(), op.getQueryAttr().getAsOpaquePointer()}];
  if (!moved) {
    OpBuilder builder = builderFor({});
    Value by = scaledBy(derivation.shiftOf(op.getKeysAttr(), op.getQueryAttr()), whole->shares[1]->axis, op);
    Value first = arith::AddIOp::create(builder, op.getLoc(), whole->base, by);
    moved = derivation.newComposite(Where::Row, derivation.rawOf(op.getKeysAttr()), first, whole->extent,
                                    derivation.rawOf(op.getKeysAttr()), whole->shares[1]->axis);
  }
  Environment inner = env.with(op.getKeysAttr(), moved->shares[0]);
  inner.set(whole->shares[1]->axis, moved->shares[1]);
  Value source = op.getOperand();
  Environment ofSource = inner;
  strip(source, ofSource);
  if (!source.getDefiningOp<InputOp>())
    return op.emitError("reads computed rows at positions of tokens and heads together; that is not in this version");
  return evaluate(op.getOperand(), inner); // rows outside the view are loaded as 0
}
