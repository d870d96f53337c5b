// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reductions over blocks and windows. Of a field of tokens the pieces are the rows of a launch, which goes through
// their elements one after the other; of pairs a piece belongs to the work item, which goes through its keys tile by
// tile.
#include "passes/attn-to-tile/Derivation.h"

#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

bool LaunchEmitter::isRecomputed(Value field, const Environment &env) {
  Operation *op = field.getDefiningOp();
  if (!isa<ExpectOp, StatOp>(op))
    return false;
  if (innermost)
    return true;
  FieldType type = cast<FieldType>(field.getType());
  bool again = false;
  for (AxisAttr axis : derivation.table.getAxes()) {
    const Coordinate *coordinate = this->env.lookup(axis.getName());
    if (!coordinate || type.hasAxis(axis.getName()))
      continue;
    again |= coordinate == keys || (coordinate->kind == Where::Batch && axis.isPieces());
  }
  return again;
}

FailureOr<TileValue> LaunchEmitter::blockReduce(BlockReduceOp op, const Environment &env) {
  if (op.getKind() == ReduceKind::LogSumExp)
    return op.emitError("not in this version: the logsumexp over blocks; max, min, sum and mean are");
  const Coordinate *at = env.lookup(op.getToAttr());
  Environment rest = env.with(op.getFromAttr(), nullptr);
  if (at->kind == Where::Batch && runsAlong(op.getOperand(), rest, Where::Row))
    return reducePairs(op, env);
  if (at->kind == Where::Row && !innermost)
    return reduceRows(op, env);
  Builder builder(op.getContext());
  return loadPrepared(op.getResult(), env,
                      fieldType(op).isReal() ? Type(builder.getF32Type()) : Type(builder.getI32Type()), op);
}

/// What a maximum or minimum of nothing is.
static double identityOf(ReduceKind kind, bool isReal) {
  if (kind != ReduceKind::Max && kind != ReduceKind::Min)
    return 0;
  double most = isReal ? std::numeric_limits<double>::infinity() : double(std::numeric_limits<int32_t>::max());
  double least = isReal ? -most : double(std::numeric_limits<int32_t>::min());
  return kind == ReduceKind::Max ? least : most;
}

static Value combine(OpBuilder &builder, Location loc, ReduceKind kind, Value a, Value b) {
  bool isReal = isa<FloatType>(getElementTypeOrSelf(a.getType()));
  switch (kind) {
  case ReduceKind::Max:
    return isReal ? arith::MaxNumFOp::create(builder, loc, a, b).getResult()
                  : arith::MaxSIOp::create(builder, loc, a, b).getResult();
  case ReduceKind::Min:
    return isReal ? arith::MinNumFOp::create(builder, loc, a, b).getResult()
                  : arith::MinSIOp::create(builder, loc, a, b).getResult();
  default:
    return isReal ? arith::AddFOp::create(builder, loc, a, b).getResult()
                  : arith::AddIOp::create(builder, loc, a, b).getResult();
  }
}

//===--- blocks of pairs ---===//

FailureOr<TileValue> LaunchEmitter::reducePairs(BlockReduceOp op, const Environment &env) {
  Location loc = op.getLoc();
  AxisAttr pieces = derivation.table.lookup(op.getToAttr());
  const Coordinate *at = env.lookup(op.getToAttr());
  if (!fieldType(op).isReal())
    return op.emitError("not in this version: reductions of integers of pairs over blocks");
  StringAttr raw = derivation.rawOf(op.getFromAttr());
  int64_t extent = pieces.getExtent();
  int64_t size = std::min<int64_t>(llvm::alignTo(extent, 16), derivation.choices.keyTile);
  int64_t count = llvm::divideCeil(extent, size);

  OpBuilder builder = builderFor({});
  Value begin = arith::MulIOp::create(builder, loc, at->base, derivation.indexConstant(pieces.getStep()));
  Value end = arith::AddIOp::create(builder, loc, begin, derivation.indexConstant(extent));
  end = arith::MinSIOp::create(builder, loc, end, derivation.sizeOf(raw));

  Region region;
  Block *outerKeyBlock = keyBlock;
  Value start = begin;
  if (count > 1) {
    Block *body = new Block;
    region.push_back(body);
    keyBlock = body;
    Value number = body->addArgument(builder.getIndexType(), loc);
    builder.setInsertionPointToEnd(body);
    Value past = arith::MulIOp::create(builder, loc, number, derivation.indexConstant(size));
    start = arith::AddIOp::create(builder, loc, begin, past);
  } else {
    keyBlock = &launch.getBody().front();
  }
  struct Restore {
    LaunchEmitter &emitter;
    Block *block;
    ~Restore() { emitter.keyBlock = block; }
  } restore{*this, outerKeyBlock};

  const Coordinate *key = derivation.newCoordinate({Where::Key, raw, start, size});
  FailureOr<TileValue> value = evaluate(op.getOperand(), env.with(op.getFromAttr(), key));
  if (failed(value))
    return failure();
  Dimensions both{dimensionOf(row), dimensionOf(key)}, rows{dimensionOf(row)}, keyOnly{dimensionOf(key)};
  if (failed(unite({*value, TileValue{{}, both}}, op)))
    return failure();
  builder = builderFor(both);
  RankedTensorType indices = typeOf(keyOnly, builder.getI32Type());
  Value last = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), end);
  Value exists =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, tile::IotaOp::create(builder, loc, indices, start),
                            tile::SplatOp::create(builder, loc, indices, last));
  RankedTensorType type = typeOf(both, builder.getF32Type()), rowType = typeOf(rows, builder.getF32Type());
  Value x = arith::SelectOp::create(builder, loc, spread(builder, loc, {exists, keyOnly}, both),
                                    spread(builder, loc, *value, both),
                                    emitConstant(builder, loc, type, identityOf(op.getKind(), true)));
  auto reduced = [&](StringRef kind, Value from) -> Value {
    return tile::ReduceOp::create(builder, loc, rowType, builder.getStringAttr(kind), from,
                                  builder.getI64IntegerAttr(1));
  };
  Value result;
  if (op.getKind() == ReduceKind::Max)
    result = reduced("max", x);
  else if (op.getKind() == ReduceKind::Min)
    result = arith::NegFOp::create(builder, loc, reduced("max", arith::NegFOp::create(builder, loc, x)));
  else
    result = reduced("add", x);

  OpBuilder outer(op.getContext());
  outer.setInsertionPointToEnd(&launch.getBody().front());
  if (count > 1) {
    Block *body = &region.front();
    Value before = body->addArgument(rowType, loc);
    scf::YieldOp::create(builder, loc, combine(builder, loc, op.getKind(), before, result));
    Value none = emitConstant(outer, loc, rowType, identityOf(op.getKind(), true));
    auto loop =
        scf::ForOp::create(outer, loc, zeroIndex(), derivation.indexConstant(count), derivation.indexConstant(1), none);
    loop.getRegion().takeBody(region);
    result = loop.getResult(0);
  }
  if (op.getKind() == ReduceKind::Mean) {
    Value elements =
        arith::IndexCastOp::create(outer, loc, outer.getI32Type(), arith::SubIOp::create(outer, loc, end, begin));
    Value divisor = arith::SIToFPOp::create(outer, loc, outer.getF32Type(), elements);
    result = arith::DivFOp::create(outer, loc, result, tile::SplatOp::create(outer, loc, rowType, divisor));
  }
  return TileValue{result, rows};
}

//===--- blocks of tokens ---===//

FailureOr<TileValue> LaunchEmitter::reduceRows(BlockReduceOp op, const Environment &env) {
  AxisAttr pieces = derivation.table.lookup(op.getToAttr());
  Piece piece{op.getFromAttr(), env.lookup(op.getToAttr()), pieces.getExtent(), pieces.getStep(), op.getKind()};
  FailureOr<TileValue> sum = reduceGathered(piece, op.getOperand(), env, op);
  if (failed(sum) || op.getKind() != ReduceKind::Mean)
    return sum;
  // The last block may have fewer.
  Location loc = op.getLoc();
  Dimensions rows{dimensionOf(piece.rows)};
  OpBuilder builder = builderFor(rows);
  Type indices = typeOf(rows, builder.getI32Type());
  auto constant = [&](int64_t value) { return emitConstant(builder, loc, indices, double(value)); };
  Value first = arith::MulIOp::create(builder, loc, tile::IotaOp::create(builder, loc, indices, piece.rows->base),
                                      constant(piece.step));
  Value size = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), derivation.sizeOf(piece.axis));
  Value left = arith::SubIOp::create(builder, loc, tile::SplatOp::create(builder, loc, indices, size), first);
  Value count = arith::MinSIOp::create(builder, loc, left, constant(piece.extent));
  count = arith::MaxSIOp::create(builder, loc, count, constant(1)); // of rows that do not exist
  Value divisor = arith::SIToFPOp::create(builder, loc, typeOf(rows, builder.getF32Type()), count);
  return binary("div", *sum, {divisor, rows}, op);
}

FailureOr<TileValue> LaunchEmitter::reduceGathered(const Piece &piece, Value field, const Environment &env,
                                                   Operation *at) {
  Location loc = at->getLoc();
  Region region;
  Block *body = new Block;
  region.push_back(body);
  // Whatever is computed in the loop stays in it.
  auto knownValues = values, knownRaw = raw;
  auto knownDots = dots;
  auto knownShifted = shifted;
  auto knownPlaces = places;
  innermost = body;
  OpBuilder builder(at->getContext());
  Value number = body->addArgument(builder.getIndexType(), loc);
  builder.setInsertionPointToEnd(body);
  Dimensions rows{dimensionOf(piece.rows)};
  Type indices = typeOf(rows, builder.getI32Type());
  Value first = arith::MulIOp::create(builder, loc, tile::IotaOp::create(builder, loc, indices, piece.rows->base),
                                      emitConstant(builder, loc, indices, double(piece.step)));
  Value step = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), number);
  TileValue index{arith::AddIOp::create(builder, loc, first, tile::SplatOp::create(builder, loc, indices, step)), rows};
  FailureOr<TileValue> value =
      evaluate(field, env.with(piece.axis, derivation.newGathered(derivation.rawOf(piece.axis), index)));
  innermost = nullptr;
  values = std::move(knownValues);
  raw = std::move(knownRaw);
  dots = std::move(knownDots);
  shifted = std::move(knownShifted);
  places = std::move(knownPlaces);
  if (failed(value))
    return failure();
  builder.setInsertionPointToEnd(body);
  FailureOr<Dimensions> dims = unite({*value, TileValue{{}, rows}}, at);
  if (failed(dims))
    return failure();
  bool isReal = fieldType(field).isReal(), isBool = fieldType(field).isBool();
  Value x = spread(builder, loc, *value, *dims);
  if (isBool) // as 0 and 1
    x = arith::ExtUIOp::create(builder, loc, typeOf(*dims, builder.getI32Type()), x);
  Type type = x.getType();
  Value size = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), derivation.sizeOf(piece.axis));
  Value exists = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index.value,
                                       tile::SplatOp::create(builder, loc, indices, size));
  // The elements of a piece, and no more, even where pieces overlap.
  Value none = emitConstant(builder, loc, type, identityOf(piece.kind, isReal));
  x = arith::SelectOp::create(builder, loc, spread(builder, loc, {exists, rows}, *dims), x, none);
  Value before = body->addArgument(type, loc);
  scf::YieldOp::create(builder, loc, combine(builder, loc, piece.kind, before, x));

  OpBuilder outer(at->getContext());
  outer.setInsertionPointToEnd(&launch.getBody().front());
  Value initial = emitConstant(outer, loc, type, identityOf(piece.kind, isReal));
  auto loop = scf::ForOp::create(outer, loc, zeroIndex(), derivation.indexConstant(piece.extent),
                                 derivation.indexConstant(1), initial);
  loop.getRegion().takeBody(region);
  return TileValue{loop.getResult(0), *dims};
}
