// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which keys a tile of queries can see where data decide it, as documents do: a launch before finds the least and the
// greatest value of each side of a comparison over each tile of tokens, another one compares the intervals of all pairs
// of tiles and writes, for each tile of queries, which tiles of keys are seen at all and which are seen whole. It errs
// on the safe side: what the intervals leave open is visited, with a mask.
#include "passes/attn-to-tile/Derivation.h"
#include "passes/attn-to-tile/Producers.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

namespace {
constexpr int64_t kRowTiles = 16; // of a work item that compares
constexpr int64_t kKeyTiles = 64; // compared at once
// Sums of a few numbers below this do not leave 32 bits.
constexpr int64_t kModest = int64_t(1) << 28;
constexpr unsigned kMaxSums = 7;
} // namespace

//===--- what can be bounded ---===//

/// True for a field that varies with one side at most and stands alone: its least and greatest value can be found.
bool LaunchEmitter::isBoundedLeaf(Value field, const Environment &env) {
  if (runsAlong(field, env, Where::Row) && runsAlong(field, env, Where::Key))
    return false;
  for (StringAttr axis : fieldType(field).getAxes()) {
    const Coordinate *coordinate = env.lookup(axis);
    if (!coordinate || coordinate->kind == Where::Feature || coordinate->kind == Where::Gathered)
      return false;
  }
  return !findProducer(field, [](Operation *op) { return isa<ExpectOp, StatOp, DotOp, ScanOp, BlockReduceOp>(op); });
}

bool LaunchEmitter::isBoundedInt(Value field, const Environment &env, unsigned &sums) {
  if (!fieldType(field).isInt())
    return false;
  if (isBoundedLeaf(field, env))
    return true;
  Operation *op = field.getDefiningOp();
  if (auto rename = dyn_cast<RenameOp>(op))
    return isBoundedInt(rename.getOperand(), env.with(rename.getFromAttr(), env.lookup(rename.getToAttr())), sums);
  if (!isa<AddOp, SubOp, NegOp, MinOp, MaxOp>(op) || ++sums > kMaxSums)
    return false;
  return llvm::all_of(op->getOperands(), [&](Value operand) { return isBoundedInt(operand, env, sums); });
}

bool LaunchEmitter::isBounded(Value predicate, Environment env) {
  strip(predicate, env);
  if (isBoundedLeaf(predicate, env))
    return true;
  Operation *op = predicate.getDefiningOp();
  if (auto negation = dyn_cast<NotOp>(op))
    return isBounded(negation.getOperand(), env);
  unsigned sums = 0;
  return isa<EqOp, NeOp, LtOp, LeOp, GtOp, GeOp>(op) &&
         llvm::all_of(op->getOperands(), [&](Value operand) { return isBoundedInt(operand, env, sums); });
}

//===--- extremes of tiles ---===//

Value Derivation::makeWorkspace(std::string name, Location loc, ArrayRef<StringAttr> batch, int64_t rows,
                                StringAttr token, int64_t tile) {
  SmallVector<std::string> dims;
  SmallVector<int64_t> shape;
  for (StringAttr axis : batch) {
    dims.push_back(sizeText(axis));
    shape.push_back(staticSize(axis).value_or(ShapedType::kDynamic));
  }
  dims.push_back(std::to_string(rows));
  shape.push_back(rows);
  std::optional<int64_t> size = staticSize(token);
  int64_t tiles = size ? llvm::divideCeil(*size, tile) : ShapedType::kDynamic;
  dims.push_back(size ? std::to_string(tiles) : "ceildiv(" + sizeText(token) + ", " + std::to_string(tile) + ")");
  shape.push_back(tiles);
  SmallVector<Attribute> texts;
  for (const std::string &text : dims)
    texts.push_back(StringAttr::get(context, text));
  OpBuilder builder = head();
  return tile::WorkspaceOp::create(builder, loc, tile::ViewType::get(context, shape, builder.getI32Type()),
                                   builder.getStringAttr(uniqueName(name)), builder.getArrayAttr(texts));
}

Value Derivation::countTiles(StringAttr axis, int64_t tile) {
  Value size = sizeOf(axis), step = indexConstant(tile);
  OpBuilder builder = head();
  return arith::CeilDivUIOp::create(builder, attention.getLoc(), size, step);
}

LogicalResult Derivation::emitBefore(std::string name, ArrayRef<StringAttr> batch, StringAttr last, Value items,
                                     function_ref<LogicalResult(tile::LaunchOp, Environment)> body) {
  SmallVector<Value> extents;
  SmallVector<Attribute> axes;
  for (StringAttr axis : batch) {
    extents.push_back(sizeOf(axis));
    axes.push_back(axis);
  }
  extents.push_back(items);
  axes.push_back(last);
  OpBuilder builder(open.back());
  auto launch = tile::LaunchOp::create(builder, attention.getLoc(), builder.getStringAttr(uniqueName(kernelName(name))),
                                       builder.getArrayAttr(axes), extents, DictionaryAttr());
  Block *block = new Block;
  launch.getBody().push_back(block);
  Environment env;
  for (size_t n = 0; n < extents.size(); ++n)
    block->addArgument(builder.getIndexType(), attention.getLoc());
  for (auto [n, axis] : llvm::enumerate(batch))
    env.set(axis, newCoordinate({Coordinate::Kind::Batch, axis, block->getArgument(n)}));
  open.push_back(launch);
  LogicalResult result = body(launch, env);
  open.pop_back();
  return result;
}

/// [batch, {least, greatest}, tiles] of a field that varies along one token axis.
FailureOr<Prepared> LaunchEmitter::tileExtremes(Value field, StringAttr token, int64_t size, const Environment &outer,
                                                Operation *at) {
  Prepared &known = derivation.extremes[{field.getAsOpaquePointer(), token.getAsOpaquePointer(), size}];
  if (known.view)
    return known;
  Location loc = at->getLoc();
  Prepared result;
  for (StringAttr axis : fieldType(field).getAxes())
    if (axis != token)
      result.axes.push_back(axis);
  StringAttr raw = derivation.rawOf(token);
  result.view = derivation.makeWorkspace("tile_extremes", loc, result.axes, 2, raw, size);
  Value items = derivation.countTiles(raw, size * kRowTiles);
  LogicalResult emitted = derivation.emitBefore(
      "extremes", result.axes, raw, items, [&](tile::LaunchOp launch, Environment env) -> LogicalResult {
        OpBuilder builder(launch.getContext());
        builder.setInsertionPointToEnd(&launch.getBody().front());
        Value first = arith::MulIOp::create(builder, loc, launch.getBody().getArguments().back(),
                                            derivation.indexConstant(kRowTiles));
        const Coordinate *rows = derivation.newCoordinate({Where::Row, raw, first, kRowTiles});
        LaunchEmitter emitter(derivation, launch, env, rows, nullptr);
        for (auto [n, kind] : {std::pair(0, ReduceKind::Min), std::pair(1, ReduceKind::Max)}) {
          Piece piece{token, rows, size, size, kind};
          FailureOr<TileValue> extreme = emitter.reduceGathered(piece, field, env, at);
          if (failed(extreme))
            return failure();
          SmallVector<Value> indices;
          for (StringAttr axis : result.axes)
            indices.push_back(env.lookup(axis)->base);
          indices.push_back(derivation.indexConstant(n));
          indices.push_back(first);
          builder.setInsertionPointToEnd(&launch.getBody().front());
          tile::StoreOp::create(builder, loc, extreme->value, result.view, indices,
                                ArrayRef<int64_t>{int64_t(indices.size()) - 1});
        }
        return success();
      });
  if (failed(emitted))
    return failure();
  return derivation.extremes[{field.getAsOpaquePointer(), token.getAsOpaquePointer(), size}] = result;
}

//===--- intervals ---===//

/// Compares the intervals of a group of tiles: all values are tiles [kRowTiles, kKeyTiles].
struct LaunchEmitter::Intervals {
  LaunchEmitter &emitter;
  OpBuilder &b;
  Location loc;
  Operation *at;
  const Coordinate *rows, *keys; // tiles of queries, tiles of keys
  StringAttr query, walk;
  int64_t rowSize, keySize;
  Value wild; // somewhere a sum could leave 32 bits

  struct Interval {
    Value lo, hi;
  };
  struct Truth {
    Value may, must;
  };
  using I = arith::CmpIPredicate;

  Type type(Type element) const { return RankedTensorType::get({kRowTiles, kKeyTiles}, element); }
  Type ints() const { return type(b.getI32Type()); }
  Value compare(I predicate, Value x, Value y) const { return arith::CmpIOp::create(b, loc, predicate, x, y); }
  Value both(Value x, Value y) const { return arith::AndIOp::create(b, loc, x, y); }
  Value either(Value x, Value y) const { return arith::OrIOp::create(b, loc, x, y); }
  Value negate(Value x) const { return arith::XOrIOp::create(b, loc, x, emitConstant(b, loc, type(b.getI1Type()), 1)); }
  Value integer(int64_t value) const { return emitConstant(b, loc, ints(), double(value)); }
  Value truth(bool value) const { return emitConstant(b, loc, type(b.getI1Type()), value); }

  FailureOr<Interval> leaf(Value field, Environment env) {
    LaunchEmitter &e = emitter;
    bool isRow = e.runsAlong(field, env, Where::Row), isKey = e.runsAlong(field, env, Where::Key);
    if (!isRow && !isKey) {
      FailureOr<TileValue> scalar = e.evaluate(field, env);
      if (failed(scalar))
        return failure();
      Value x = scalar->value;
      if (fieldType(field).isBool())
        x = arith::ExtUIOp::create(b, loc, b.getI32Type(), x);
      x = tile::SplatOp::create(b, loc, ints(), x);
      return Interval{x, x};
    }
    e.strip(field, env);
    // The axis under its name in the field.
    StringAttr token;
    for (StringAttr axis : fieldType(field).getAxes())
      if (env.lookup(axis) == (isRow ? rows : keys))
        token = axis;
    FailureOr<Prepared> extremes = e.tileExtremes(field, token, isRow ? rowSize : keySize, env, at);
    if (failed(extremes))
      return failure();
    int64_t extent = isRow ? kRowTiles : kKeyTiles;
    auto load = [&](int64_t which) -> Value {
      SmallVector<Value> indices;
      for (StringAttr axis : extremes->axes)
        indices.push_back(env.lookup(axis)->base);
      indices.push_back(e.derivation.indexConstant(which));
      indices.push_back((isRow ? rows : keys)->base);
      Value vector = tile::LoadOp::create(b, loc, RankedTensorType::get({extent}, b.getI32Type()), extremes->view,
                                          indices, Value(), ArrayRef<int64_t>{int64_t(indices.size()) - 1},
                                          cast<TypedAttr>(b.getI32IntegerAttr(0)));
      return tile::BroadcastOp::create(b, loc, ints(), vector, ArrayRef<int64_t>{isRow ? 0 : 1});
    };
    Value lo = load(0);
    return Interval{lo, load(1)};
  }

  FailureOr<Interval> interval(Value field, const Environment &env) {
    if (emitter.isBoundedLeaf(field, env))
      return leaf(field, env);
    Operation *op = field.getDefiningOp();
    if (auto rename = dyn_cast<RenameOp>(op))
      return interval(rename.getOperand(), env.with(rename.getFromAttr(), env.lookup(rename.getToAttr())));
    SmallVector<Interval, 2> x;
    for (Value operand : op->getOperands()) {
      FailureOr<Interval> one = interval(operand, env);
      if (failed(one))
        return failure();
      if (emitter.isBoundedLeaf(operand, env)) {
        Value far = either(compare(I::slt, one->lo, integer(-kModest)), compare(I::sgt, one->hi, integer(kModest)));
        wild = wild ? either(wild, far) : far;
      }
      x.push_back(*one);
    }
    auto add = [&](Value p, Value q) -> Value { return arith::AddIOp::create(b, loc, p, q); };
    auto sub = [&](Value p, Value q) -> Value { return arith::SubIOp::create(b, loc, p, q); };
    auto min = [&](Value p, Value q) -> Value { return arith::MinSIOp::create(b, loc, p, q); };
    auto max = [&](Value p, Value q) -> Value { return arith::MaxSIOp::create(b, loc, p, q); };
    return llvm::TypeSwitch<Operation *, Interval>(op)
        .Case<AddOp>([&](auto) {
          return Interval{add(x[0].lo, x[1].lo), add(x[0].hi, x[1].hi)};
        })
        .Case<SubOp>([&](auto) {
          return Interval{sub(x[0].lo, x[1].hi), sub(x[0].hi, x[1].lo)};
        })
        .Case<NegOp>([&](auto) {
          return Interval{sub(integer(0), x[0].hi), sub(integer(0), x[0].lo)};
        })
        .Case<MinOp>([&](auto) {
          return Interval{min(x[0].lo, x[1].lo), min(x[0].hi, x[1].hi)};
        })
        .Default([&](auto) {
          return Interval{max(x[0].lo, x[1].lo), max(x[0].hi, x[1].hi)};
        });
  }

  FailureOr<Truth> read(Value predicate, Environment env) {
    emitter.strip(predicate, env);
    Operation *op = predicate.getDefiningOp();
    if (emitter.isBoundedLeaf(predicate, env)) {
      FailureOr<Interval> x = leaf(predicate, env);
      if (failed(x))
        return failure();
      return Truth{compare(I::eq, x->hi, integer(1)), compare(I::eq, x->lo, integer(1))};
    }
    if (auto negation = dyn_cast<NotOp>(op)) {
      FailureOr<Truth> x = read(negation.getOperand(), env);
      if (failed(x))
        return failure();
      return Truth{negate(x->must), negate(x->may)};
    }
    wild = {};
    FailureOr<Interval> x = interval(op->getOperand(0), env), y = interval(op->getOperand(1), env);
    if (failed(x) || failed(y))
      return failure();
    auto order = [&](I predicate, const Interval &least, const Interval &greatest) {
      return Truth{compare(predicate, least.lo, greatest.hi), compare(predicate, least.hi, greatest.lo)};
    };
    Truth equal{both(compare(I::sle, x->lo, y->hi), compare(I::sle, y->lo, x->hi)),
                both(compare(I::eq, x->lo, y->hi), compare(I::eq, x->hi, y->lo))};
    Truth result = llvm::TypeSwitch<Operation *, Truth>(op)
                       .Case<EqOp>([&](auto) { return equal; })
                       .Case<NeOp>([&](auto) {
                         return Truth{negate(equal.must), negate(equal.may)};
                       })
                       .Case<LtOp>([&](auto) { return order(I::slt, *x, *y); })
                       .Case<LeOp>([&](auto) { return order(I::sle, *x, *y); })
                       .Case<GtOp>([&](auto) { return order(I::slt, *y, *x); })
                       .Default([&](auto) { return order(I::sle, *y, *x); });
    if (wild)
      result = {either(result.may, wild), both(result.must, negate(wild))};
    return result;
  }
};

FailureOr<SmallVector<Value>> LaunchEmitter::dataBounds(WeightsOp op, const analysis::KeyRange &range, size_t number,
                                                        const Environment &env) {
  Location loc = op.getLoc();
  StringAttr raw = derivation.rawOf(op.getOverAttr()), query = op.getQueryAttr();
  int64_t rowSize = row->extent, keySize = derivation.choices.keyTile;
  Prepared &known = derivation.tileBounds[{op.getOperation(), number, rowSize}];
  if (!known.view) {
    Prepared result;
    for (StringAttr axis : op.getWeightsType().getRows())
      if (const Coordinate *c = env.lookup(axis);
          c && c->kind == Where::Batch && llvm::any_of(range.data, [&](const analysis::DataPart &part) {
            return fieldType(part.predicate).hasAxis(axis);
          }))
        result.axes.push_back(axis);
    result.view = derivation.makeWorkspace("tile_bounds", loc, result.axes, 4, query, rowSize);
    Value items = derivation.countTiles(query, rowSize * kRowTiles), tiles = derivation.countTiles(raw, keySize);
    Value groups = derivation.countTiles(raw, keySize * kKeyTiles);
    LogicalResult emitted = derivation.emitBefore(
        "bounds", result.axes, query, items, [&](tile::LaunchOp launch, Environment inner) -> LogicalResult {
          Block &block = launch.getBody().front();
          OpBuilder b(launch.getContext());
          b.setInsertionPointToEnd(&block);
          Value first = arith::MulIOp::create(b, loc, block.getArguments().back(), derivation.indexConstant(kRowTiles));
          const Coordinate *rows = derivation.newCoordinate({Where::Row, query, first, kRowTiles});
          LaunchEmitter emitter(derivation, launch, inner, rows, nullptr);
          Type f32 = b.getF32Type();
          auto rowType = RankedTensorType::get({kRowTiles}, f32);
          auto both = RankedTensorType::get({kRowTiles, kKeyTiles}, f32);
          auto columns = RankedTensorType::get({kKeyTiles}, b.getI32Type());
          Value count = arith::IndexCastOp::create(b, loc, b.getI32Type(), tiles);
          Value end = arith::SIToFPOp::create(b, loc, f32, count);
          Value rowEnd = tile::SplatOp::create(b, loc, rowType, end), none = emitConstant(b, loc, rowType, 0);
          // Of each row: the first tile seen, the one behind the last, and the first run of tiles that are seen whole.
          auto loop = scf::ForOp::create(b, loc, zeroIndex(), groups, derivation.indexConstant(1),
                                         ValueRange{rowEnd, none, rowEnd, rowEnd});
          b.setInsertionPointToEnd(loop.getBody());
          emitter.innermost = loop.getBody();
          Value column = arith::MulIOp::create(b, loc, loop.getInductionVar(), derivation.indexConstant(kKeyTiles));
          const Coordinate *keys = derivation.newCoordinate({Where::Key, raw, column, kKeyTiles});
          Environment pair = inner.with(query, rows).with(op.getOverAttr(), keys);
          Intervals intervals{emitter, b, loc, op, rows, keys, query, op.getOverAttr(), rowSize, keySize, {}};
          Value numbers = tile::IotaOp::create(b, loc, columns, column);
          Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, numbers,
                                               tile::SplatOp::create(b, loc, columns, count));
          auto across = [&](Value vector, int64_t dim, Type element) -> Value {
            return tile::BroadcastOp::create(b, loc, RankedTensorType::get({kRowTiles, kKeyTiles}, element), vector,
                                             ArrayRef<int64_t>{dim});
          };
          Value may = across(exists, 1, b.getI1Type()), must = may;
          for (const analysis::DataPart &part : range.data) {
            Environment at = pair;
            for (auto [from, to] : part.renamed)
              at.set(from, at.lookup(to));
            FailureOr<Intervals::Truth> truth = intervals.read(part.predicate, at);
            if (failed(truth))
              return failure();
            if (part.negated)
              truth = Intervals::Truth{intervals.negate(truth->must), intervals.negate(truth->may)};
            may = intervals.both(may, truth->may);
            must = intervals.both(must, truth->must);
          }
          Value number = arith::SIToFPOp::create(b, loc, both, across(numbers, 1, b.getI32Type()));
          Value past = arith::AddFOp::create(b, loc, number, emitConstant(b, loc, both, 1));
          Value endTile = tile::SplatOp::create(b, loc, both, end), zeroTile = emitConstant(b, loc, both, 0);
          auto greatest = [&](Value condition, Value x, Value otherwise) -> Value {
            return tile::ReduceOp::create(b, loc, rowType, b.getStringAttr("max"),
                                          arith::SelectOp::create(b, loc, condition, x, otherwise),
                                          b.getI64IntegerAttr(1));
          };
          auto least = [&](Value condition) -> Value {
            Value minus = arith::NegFOp::create(b, loc, number), away = arith::NegFOp::create(b, loc, endTile);
            return arith::NegFOp::create(b, loc, greatest(condition, minus, away));
          };
          auto smaller = [&](Value x, Value y) -> Value { return arith::MinNumFOp::create(b, loc, x, y); };
          Value lo = smaller(loop.getRegionIterArg(0), least(may));
          Value hi = arith::MaxNumFOp::create(b, loc, loop.getRegionIterArg(1), greatest(may, past, zeroTile));
          Value from = smaller(loop.getRegionIterArg(2), least(must));
          Value behind = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, number, across(from, 0, f32));
          Value to = smaller(loop.getRegionIterArg(3), least(intervals.both(intervals.negate(must), behind)));
          scf::YieldOp::create(b, loc, ValueRange{lo, hi, from, to});
          b.setInsertionPointToEnd(&block);
          SmallVector<Value> indices;
          for (StringAttr axis : result.axes)
            indices.push_back(inner.lookup(axis)->base);
          indices.append({Value(), first});
          for (auto [n, value] : llvm::enumerate(loop.getResults())) {
            indices[indices.size() - 2] = derivation.indexConstant(n);
            Value whole = arith::FPToSIOp::create(b, loc, RankedTensorType::get({kRowTiles}, b.getI32Type()), value);
            tile::StoreOp::create(b, loc, whole, result.view, indices, ArrayRef<int64_t>{int64_t(indices.size()) - 1});
          }
          return success();
        });
    if (failed(emitted))
      return failure();
    derivation.tileBounds[{op.getOperation(), number, rowSize}] = result;
  }
  const Prepared &bounds = derivation.tileBounds[{op.getOperation(), number, rowSize}];
  OpBuilder builder = builderFor({});
  Value tile = arith::DivUIOp::create(builder, loc, row->base, derivation.indexConstant(rowSize));
  SmallVector<Value> indices;
  for (StringAttr axis : bounds.axes)
    indices.push_back(env.lookup(axis)->base);
  indices.append({Value(), tile});
  SmallVector<Value> result;
  for (int64_t n = 0; n < 4; ++n) {
    indices[indices.size() - 2] = derivation.indexConstant(n);
    Value bound = tile::LoadScalarOp::create(builder, loc, builder.getI32Type(), bounds.view, indices);
    bound = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), bound);
    result.push_back(arith::MulIOp::create(builder, loc, bound, derivation.indexConstant(keySize)));
  }
  return result;
}
