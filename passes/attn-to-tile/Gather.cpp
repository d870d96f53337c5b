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

/// Rows along the index of an axis, where tiles of tokens are no grid.
static const Coordinate *rowsOf(Operation *index, const Environment &env) {
  auto along = dyn_cast_or_null<IndexOp>(index);
  const Coordinate *at = along ? env.lookup(along.getAxisAttr()) : nullptr;
  return at && at->kind == Where::Row && !at->whole && !at->shares[0] ? at : nullptr;
}

std::optional<FailureOr<TileValue>> LaunchEmitter::movedRows(GatherOp op, const Environment &env) {
  // The index is that of the rows, and numbers that are the same for all of them.
  SmallVector<std::pair<Value, bool>> terms; // with whether it is subtracted
  auto isNumber = [](Value field) { return fieldType(field).getAxes().empty(); };
  Value index = op.getIndex();
  for (;;) {
    if (auto sum = index.getDefiningOp<AddOp>(); sum && isNumber(sum.getRhs())) {
      terms.emplace_back(sum.getRhs(), false);
      index = sum.getLhs();
    } else if (sum && isNumber(sum.getLhs())) {
      terms.emplace_back(sum.getLhs(), false);
      index = sum.getRhs();
    } else if (auto difference = index.getDefiningOp<SubOp>(); difference && isNumber(difference.getRhs())) {
      terms.emplace_back(difference.getRhs(), true);
      index = difference.getLhs();
    } else {
      break;
    }
  }
  const Coordinate *at = rowsOf(index.getDefiningOp(), env);
  if (!at)
    return std::nullopt;
  // Rows outside an array are loaded as 0.
  Environment inner = env.with(op.getAxisAttr(), at);
  Value field = op.getOperand();
  strip(field, inner);
  if (!field.getDefiningOp<InputOp>())
    return std::nullopt;
  const Coordinate *&moved = places[{at, op.getIndex().getAsOpaquePointer()}];
  if (!moved) {
    Value base = at->base;
    for (auto [term, isSubtracted] : terms) {
      FailureOr<TileValue> number = evaluate(term, env);
      if (failed(number))
        return FailureOr<TileValue>(failure());
      OpBuilder builder = builderFor({});
      Value by = arith::IndexCastOp::create(builder, op.getLoc(), builder.getIndexType(), number->value);
      base = isSubtracted ? arith::SubIOp::create(builder, op.getLoc(), base, by).getResult()
                          : arith::AddIOp::create(builder, op.getLoc(), base, by).getResult();
    }
    moved = derivation.newCoordinate({at->kind, at->axis, base, at->extent});
  }
  return evaluate(op.getOperand(), env.with(op.getAxisAttr(), moved));
}

/// Where a field is 0 for all rows from some place on, the axis of that size: an array at places that are no less than
/// the row's, times anything, or a sum of such terms. Null for others.
static StringAttr pastOf(Value field, const Environment &env, const Coordinate *&at) {
  Operation *op = field.getDefiningOp();
  StringAttr sum;
  while (auto add = dyn_cast_or_null<AddOp>(op)) { // terms stand on the right
    if (add.getRhs().getDefiningOp<AddOp>())
      return {};
    StringAttr term = pastOf(add.getRhs(), env, at);
    if (!term || (sum && sum != term))
      return {};
    sum = term;
    op = add.getLhs().getDefiningOp();
  }
  auto gather = dyn_cast_or_null<GatherOp>(op);
  if (auto product = dyn_cast_or_null<MulOp>(op))
    for (Value factor : product->getOperands())
      if (auto found = factor.getDefiningOp<GatherOp>(); found && !fieldType(found.getIndex()).getAxes().empty())
        gather = found;
  if (!gather || (sum && sum != gather.getAxisAttr()))
    return {};
  Value index = gather.getIndex();
  if (auto moved = index.getDefiningOp<AddOp>()) {
    auto constant = moved.getRhs().getDefiningOp<ConstantOp>();
    auto number = constant ? dyn_cast<IntegerAttr>(constant.getValue()) : IntegerAttr();
    if (!number || number.getValue().isNegative())
      return {};
    index = moved.getLhs();
  }
  const Coordinate *rows = rowsOf(index.getDefiningOp(), env);
  if (!rows || (at && at != rows))
    return {};
  at = rows;
  return gather.getAxisAttr();
}

std::optional<FailureOr<TileValue>> LaunchEmitter::addPast(AddOp op, const Environment &env) {
  for (auto [own, past] : {std::pair(op.getLhs(), op.getRhs()), std::pair(op.getRhs(), op.getLhs())}) {
    const Coordinate *at = nullptr, *ofOwn = nullptr;
    StringAttr places = pastOf(past, env, at);
    FieldType type = fieldType(own);
    if (!places || pastOf(own, env, ofOwn) ||
        !llvm::all_of(fieldType(past).getAxes(), [&](StringAttr axis) { return type.hasAxis(axis); }))
      continue;
    FailureOr<TileValue> result = evaluate(own, env);
    if (failed(result))
      return FailureOr<TileValue>(failure());
    Location loc = op.getLoc();
    OpBuilder builder = builderFor(result->dims);
    Value begins = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, at->base, derivation.sizeOf(places));
    auto branch = scf::IfOp::create(builder, loc, TypeRange{result->value.getType()}, begins, /*withElseRegion=*/true);
    // What is made in there is not there outside.
    auto known = std::tuple(values, raw, dots, shifted, this->places, moves, parts, bounds);
    Block *outside = std::exchange(innermost, branch.thenBlock());
    FailureOr<TileValue> added = evaluate(past, env);
    if (succeeded(added)) {
      OpBuilder inside = builderFor({});
      Value sum = arith::AddFOp::create(inside, loc, result->value, spread(inside, loc, *added, result->dims));
      scf::YieldOp::create(inside, loc, sum);
    }
    innermost = outside;
    std::tie(values, raw, dots, shifted, this->places, moves, parts, bounds) = std::move(known);
    if (failed(added))
      return FailureOr<TileValue>(failure());
    OpBuilder otherwise = OpBuilder::atBlockEnd(branch.elseBlock());
    scf::YieldOp::create(otherwise, loc, result->value);
    return FailureOr<TileValue>(TileValue{branch.getResult(0), result->dims});
  }
  return std::nullopt;
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
