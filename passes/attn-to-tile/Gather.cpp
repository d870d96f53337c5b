// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fields at computed indices. An axis that is read at a tile of indices is one more kind of place: what is computed
// from loads there is computed as anywhere, and only the loads become gathers.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

FailureOr<TileValue> LaunchEmitter::whereInside(const TileValue &value, const TileValue &index, StringAttr axis,
                                                Operation *at) {
  Location loc = at->getLoc();
  OpBuilder builder = builderFor(index.dims);
  Type type = index.value.getType();
  Value size = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), derivation.sizeOf(axis));
  if (!index.dims.empty())
    size = tile::SplatOp::create(builder, loc, type, size);
  Value zero = emitConstant(builder, loc, type, 0);
  Value low = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, index.value, zero);
  Value high = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index.value, size);
  TileValue inside{arith::AndIOp::create(builder, loc, low, high), index.dims};
  FailureOr<Dimensions> dims = unite({value, inside}, at);
  if (failed(dims))
    return failure();
  builder = builderFor(*dims);
  Value x = dims->empty() ? value.value : spread(builder, loc, value, *dims);
  Value condition = dims->empty() ? inside.value : spread(builder, loc, inside, *dims);
  return TileValue{arith::SelectOp::create(builder, loc, condition, x, emitConstant(builder, loc, x.getType(), 0)),
                   *dims};
}

FailureOr<TileValue> LaunchEmitter::atIndex(Value field, StringAttr axis, const TileValue &index,
                                            const Environment &env, Operation *at) {
  const Coordinate *&place = places[{index.value.getAsOpaquePointer(), axis.getAsOpaquePointer()}];
  StringAttr raw = derivation.rawOf(axis);
  if (!place && index.dims.empty()) {
    // One index: a place of the batch, kept within the axis.
    OpBuilder builder = builderFor({});
    Location loc = at->getLoc();
    Value first = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), index.value);
    Value last = arith::SubIOp::create(builder, loc, derivation.sizeOf(axis), derivation.indexConstant(1));
    first = arith::MaxSIOp::create(builder, loc, arith::MinSIOp::create(builder, loc, first, last), zeroIndex());
    place = derivation.newCoordinate({Where::Batch, raw, first});
  } else if (!place) {
    place = derivation.newGathered(raw, index);
  }
  Environment inner = env.with(axis, place);
  FailureOr<TileValue> value = evaluate(field, inner);
  if (failed(value))
    return failure();
  // A gather of an array that stands for itself has zeros outside.
  strip(field, inner);
  if (field.getDefiningOp<InputOp>() && !index.dims.empty())
    return value;
  return whereInside(*value, index, axis, at);
}

std::optional<FailureOr<TileValue>> LaunchEmitter::movedRows(GatherOp op, const Environment &env) {
  int64_t by = 0;
  Operation *index = op.getIndex().getDefiningOp();
  if (auto sum = dyn_cast_or_null<AddOp>(index)) {
    Value place = sum.getLhs(), offset = sum.getRhs();
    if (place.getDefiningOp<ConstantOp>())
      std::swap(place, offset);
    auto constant = offset.getDefiningOp<ConstantOp>();
    auto number = constant ? dyn_cast<IntegerAttr>(constant.getValue()) : IntegerAttr();
    if (!number)
      return std::nullopt;
    by = number.getValue().getSExtValue();
    index = place.getDefiningOp();
  }
  auto along = dyn_cast_or_null<IndexOp>(index);
  const Coordinate *at = along ? env.lookup(along.getAxisAttr()) : nullptr;
  if (!at || at->kind != Where::Row || at->whole || at->shares[0])
    return std::nullopt;
  // Rows outside an array are loaded as 0.
  Coordinate *&moved = moves[{at, by}];
  if (!moved) {
    OpBuilder builder = builderFor({});
    Value base = arith::AddIOp::create(builder, op.getLoc(), at->base, derivation.indexConstant(by));
    moved = derivation.newCoordinate({at->kind, at->axis, base, at->extent});
  }
  Environment inner = env.with(op.getAxisAttr(), moved);
  Value field = op.getOperand();
  strip(field, inner);
  if (!field.getDefiningOp<InputOp>())
    return std::nullopt;
  return evaluate(op.getOperand(), env.with(op.getAxisAttr(), moved));
}

FailureOr<TileValue> LaunchEmitter::gather(GatherOp op, const Environment &env) {
  if (std::optional<FailureOr<TileValue>> moved = movedRows(op, env))
    return *moved;
  FailureOr<TileValue> index = evaluate(op.getIndex(), env);
  if (failed(index))
    return failure();
  return atIndex(op.getOperand(), op.getAxisAttr(), *index, env, op);
}

/// The row at the position of a query that is itself read at an index.
FailureOr<TileValue> LaunchEmitter::rowAtIndex(RowAtOp op, const Environment &env) {
  FailureOr<TileValue> index =
      position(op, op.getQueryAttr(), derivation.shiftOf(op.getKeysAttr(), op.getQueryAttr()), env);
  if (failed(index))
    return failure();
  return atIndex(op.getOperand(), op.getKeysAttr(), *index, env, op);
}

FailureOr<TileValue> LaunchEmitter::gatherTile(Location loc, Operation *at, Value view, SmallVector<Value> indices,
                                               ArrayRef<int64_t> dims, const Dimensions &spanned,
                                               ArrayRef<std::pair<int64_t, const Coordinate *>> gathered) {
  SmallVector<TileValue> which;
  SmallVector<int64_t> by;
  for (auto [dim, coordinate] : gathered) {
    which.push_back(*coordinate->index);
    by.push_back(dim);
  }
  FailureOr<Dimensions> indexDims = unite(which, at);
  if (failed(indexDims))
    return failure();
  Dimensions all = *indexDims;
  SmallVector<std::pair<Dimension, int64_t>> others;
  for (auto [dimension, dim] : llvm::zip(spanned, dims)) {
    if (llvm::is_contained(*indexDims, dimension)) {
      // The tile's own rows, at each row's indices.
      Dimensions own{dimension};
      OpBuilder builder = builderFor(own);
      which.push_back({tile::IotaOp::create(builder, loc, typeOf(own, builder.getI32Type()), indices[dim]), own});
      by.push_back(dim);
      indices[dim] = zeroIndex();
      continue;
    }
    others.emplace_back(dimension, dim);
    all.push_back(dimension);
  }
  if (failed(unite(TileValue{{}, all}, at)))
    return failure();
  llvm::sort(all);
  SmallVector<int64_t> places;
  for (const Dimension &d : all) {
    auto other = llvm::find_if(others, [&](const auto &entry) { return entry.first == d; });
    places.push_back(other == others.end() ? -1 : other->second);
  }
  OpBuilder builder = builderFor(*indexDims);
  SmallVector<Value> tiles;
  for (const TileValue &index : which)
    tiles.push_back(spread(builder, loc, index, *indexDims));
  builder = builderFor(all);
  Type type = typeOf(all, cast<tile::ViewType>(view.getType()).getElementType());
  return TileValue{tile::GatherOp::create(builder, loc, type, view, indices, by, tiles, places), all};
}
