// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fields inside one launch. Each is computed once per place: what does not vary with the key stands before the folds.
#include "passes/attn-to-tile/Derivation.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

static bool is16Bit(Type type) { return type.isBF16() || type.isF16(); }

//===--- tiles and places ---===//

Dimension LaunchEmitter::dimensionOf(const Coordinate *coordinate) const {
  bool feature = coordinate->kind == Where::Feature;
  return {coordinate->kind, feature ? coordinate->axis : StringAttr(), coordinate->extent,
          feature ? derivation.orderOf(coordinate->axis) : 0, coordinate->size};
}

static bool hasKind(const Dimensions &dims, Where kind) {
  return llvm::any_of(dims, [&](const Dimension &d) { return d.kind == kind; });
}

OpBuilder LaunchEmitter::builderFor(const Dimensions &dims) {
  // Not OpBuilder::atBlockEnd: the regions of a fold have no parent yet.
  OpBuilder builder(derivation.context);
  builder.setInsertionPointToEnd(innermost                   ? innermost
                                 : hasKind(dims, Where::Key) ? keyBlock
                                                             : &launch.getBody().front());
  return builder;
}

RankedTensorType LaunchEmitter::typeOf(const Dimensions &dims, Type elementType) {
  SmallVector<int64_t> shape;
  for (const Dimension &d : dims)
    shape.push_back(d.extent);
  return RankedTensorType::get(shape, elementType);
}

Value LaunchEmitter::spread(OpBuilder &builder, Location loc, const TileValue &value, const Dimensions &dims) {
  if (value.dims == dims)
    return value.value;
  Type type = typeOf(dims, getElementTypeOrSelf(value.value));
  if (value.dims.empty()) {
    Attribute constant;
    if (matchPattern(value.value, m_Constant(&constant)))
      return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(cast<ShapedType>(type), constant));
    return tile::SplatOp::create(builder, loc, type, value.value);
  }
  SmallVector<int64_t> places;
  for (const Dimension &d : value.dims)
    places.push_back(llvm::find(dims, d) - dims.begin());
  return tile::BroadcastOp::create(builder, loc, type, value.value, places);
}

FailureOr<Dimensions> LaunchEmitter::unite(ArrayRef<TileValue> values, Operation *at) {
  Dimensions dims;
  for (const TileValue &value : values)
    for (const Dimension &d : value.dims)
      if (!llvm::is_contained(dims, d))
        dims.push_back(d);
  llvm::sort(dims);
  if (dims.size() <= 2)
    return dims;
  auto name = [](const Dimension &d) {
    return d.kind == Where::Row   ? std::string("the query")
           : d.kind == Where::Key ? std::string("the key")
                                  : "'" + d.feature.str() + "'";
  };
  auto error = at->emitError("varies with ") << name(dims[0]);
  for (const Dimension &d : ArrayRef(dims).drop_front())
    error << " and " << name(d);
  return error << " at once; a tile has at most two such axes, so contract one of them first";
}

LaunchEmitter::Key LaunchEmitter::keyOf(Value field, const Environment &env) {
  Key key{field.getAsOpaquePointer(), {}};
  for (StringAttr axis : fieldType(field).getAxes())
    key.second.push_back(env.lookup(axis));
  return key;
}

bool LaunchEmitter::runsAlong(Value field, const Environment &env, Where kind) {
  return llvm::any_of(fieldType(field).getAxes(), [&](StringAttr axis) {
    const Coordinate *coordinate = env.lookup(axis);
    if (coordinate && coordinate->kind == Where::Gathered)
      return hasKind(coordinate->index->dims, kind);
    return coordinate && coordinate->kind == kind;
  });
}

void LaunchEmitter::strip(Value &field, Environment &env) {
  for (;;) {
    if (auto rename = field.getDefiningOp<RenameOp>()) {
      env.set(rename.getFromAttr(), env.lookup(rename.getToAttr()));
      field = rename.getOperand();
      continue;
    }
    if (auto flatten = field.getDefiningOp<FlattenOp>(); flatten && flattened(flatten, env)) {
      env = *flattened(flatten, env);
      field = flatten.getOperand();
      continue;
    }
    auto slice = field.getDefiningOp<SliceOp>();
    if (!slice || isPaddedSlice(slice, env))
      return;
    FailureOr<Environment> inner = sliced(slice, env);
    if (failed(inner))
      return;
    env = *inner;
    field = slice.getOperand();
  }
}

//===--- fields ---===//

FailureOr<TileValue> LaunchEmitter::evaluate(Value field, const Environment &env) {
  for (StringAttr axis : fieldType(field).getAxes())
    if (!env.lookup(axis))
      return field.getDefiningOp()->emitError("varies along the axis '")
             << axis.getValue() << "', which neither the output that needs it nor a reduction has";
  Key key = keyOf(field, env);
  if (auto found = values.find(key); found != values.end())
    return found->second;
  FailureOr<TileValue> result = compute(field, env);
  if (succeeded(result))
    values[key] = *result;
  return result;
}

FailureOr<TileValue> LaunchEmitter::compute(Value field, const Environment &env) {
  Operation *op = field.getDefiningOp();
  Location loc = op->getLoc();
  FieldType type = fieldType(field);
  OpBuilder outer = builderFor({});
  if (type.getAxes().empty())
    if (std::optional<double> constant = derivation.constantOf(field)) {
      Type element = type.isReal()  ? Type(outer.getF32Type())
                     : type.isInt() ? Type(outer.getI32Type())
                                    : outer.getI1Type();
      if (type.isInt() && std::abs(*constant) > std::numeric_limits<int32_t>::max())
        return op->emitError("the integer ") << int64_t(*constant) << " does not fit 32 bits, in which tiles compute";
      return TileValue{emitConstant(outer, loc, element, *constant), {}};
    }
  // A scalar per key that sums over features is computed once per key, not once per query tile.
  if (!type.isBool() && runsAlong(field, env, Where::Key) && !runsAlong(field, env, Where::Row) &&
      !runsAlong(field, env, Where::Feature) && derivation.containsReduction(field))
    return loadPrepared(field, env, type.isReal() ? Type(outer.getF32Type()) : outer.getI32Type(), op);

  if (hasTokens() && isGlobal(field, env))
    return loadGlobal(field, env, outer.getF32Type(), op);

  if (isRecomputed(field, env))
    return loadPrepared(field, env, outer.getF32Type(), op);

  if (auto sum = dyn_cast<AddOp>(op))
    if (std::optional<FailureOr<TileValue>> guarded = addPast(sum, env))
      return *guarded;
  return TypeSwitch<Operation *, FailureOr<TileValue>>(op)
      .Case<GatherOp>([&](GatherOp g) { return gather(g, env); })
      .Case<BlockReduceOp>([&](BlockReduceOp r) { return blockReduce(r, env); })
      .Case<InputOp>([&](InputOp input) -> FailureOr<TileValue> {
        FailureOr<TileValue> stored = loadInput(input, env);
        if (succeeded(stored) && !llvm::is_sorted(stored->dims))
          return op->emitError("the input '")
                 << input.getName() << "' has its features before its tokens; declare it with the tokens first";
        if (failed(stored) || !is16Bit(getElementTypeOrSelf(stored->value)))
          return stored;
        OpBuilder builder = builderFor(stored->dims);
        Type wide = builder.getF32Type();
        if (!stored->dims.empty())
          wide = typeOf(stored->dims, wide);
        return TileValue{arith::ExtFOp::create(builder, loc, wide, stored->value), stored->dims};
      })
      .Case<SizeOp>([&](SizeOp size) -> FailureOr<TileValue> {
        Value index = derivation.sizeOf(size.getAxisAttr());
        if (AxisAttr entry = derivation.table.lookup(size.getAxisAttr()); entry && entry.isFactor()) {
          index = {};
          for (StringAttr part : derivation.table.expand(size.getAxisAttr())) {
            Value factor = derivation.sizeOf(part);
            index = index ? arith::MulIOp::create(outer, loc, index, factor).getResult() : factor;
          }
        }
        return TileValue{arith::IndexCastOp::create(outer, loc, outer.getI32Type(), index), {}};
      })
      .Case<IndexOp, PositionOp>([&](auto index) { return position(op, index.getAxisAttr(), {}, env); })
      .Case<QueryPositionOp>([&](QueryPositionOp query) {
        return position(op, query.getQueryAttr(), derivation.shiftOf(query.getKeysAttr(), query.getQueryAttr()), env);
      })
      .Case<RenameOp>([&](RenameOp rename) {
        return evaluate(rename.getOperand(), env.with(rename.getFromAttr(), env.lookup(rename.getToAttr())));
      })
      .Case<FlattenOp>([&](FlattenOp flatten) -> FailureOr<TileValue> {
        std::optional<Environment> inner = flattened(flatten, env);
        if (!inner)
          return pairs(flatten, env);
        return evaluate(flatten.getOperand(), *inner);
      })
      .Case<ToRealOp>([&](ToRealOp real) { return toReal(real, env); })
      .Case<RowAtOp>([&](RowAtOp at) { return rowAt(at, env); })
      .Case<ReduceOp>([&](ReduceOp r) { return reduce(r, env); })
      .Case<DotOp>([&](DotOp d) { return dot(d, env); })
      .Case<ExpectOp>([&](ExpectOp e) { return expectPart(e, env); })
      .Case<SliceOp>([&](SliceOp s) { return slice(s, env); })
      .Case<ConcatOp>([&](ConcatOp c) { return concat(c, env); })
      .Case<ScanOp>([&](ScanOp s) { return loadScan(s, env); })
      .Case<StatOp>([&](StatOp s) { return stat(s, env); })
      .Case<ReadOp, LastOp, EveryOp>([&](auto field) { return stateField(field, env); })
      .Case<ConvOp>([&](ConvOp c) { return conv(c, env); })
      .Default([&](Operation *) -> FailureOr<TileValue> {
        if (isa<PointwiseOpInterface>(op))
          return pointwise(op, env);
        return op->emitError("cannot be computed on tiles in this version");
      });
}

/// -x where that costs nothing per element; null elsewhere.
static Value cheapNegative(OpBuilder &builder, Location loc, Value x) {
  Operation *op = x.getDefiningOp();
  Attribute constant;
  if (op && matchPattern(x, m_Constant(&constant)))
    if (auto tile = dyn_cast<DenseFPElementsAttr>(constant); tile && tile.isSplat())
      return emitConstant(builder, loc, x.getType(), -tile.getSplatValue<APFloat>().convertToDouble());
  if (auto splat = dyn_cast_or_null<tile::SplatOp>(op))
    return tile::SplatOp::create(builder, loc, x.getType(), arith::NegFOp::create(builder, loc, splat.getValue()));
  if (auto broadcast = dyn_cast_or_null<tile::BroadcastOp>(op))
    return tile::BroadcastOp::create(builder, loc, x.getType(),
                                     arith::NegFOp::create(builder, loc, broadcast.getSource()), broadcast.getDims());
  return {};
}

/// A sum or difference one of whose sides was just multiplied, in one operation per element.
static Value fusedSum(OpBuilder &builder, Location loc, Operation *op, Value x, Value y) {
  bool difference = isa<SubOp>(op);
  if ((!isa<AddOp>(op) && !difference) || !getElementTypeOrSelf(x).isF32())
    return {};
  auto productOf = [](Value value) {
    auto product = value.getDefiningOp<arith::MulFOp>();
    return product && product->use_empty() ? product : arith::MulFOp();
  };
  if (auto product = productOf(y)) {
    Value a = product.getLhs(), b = product.getRhs();
    if (!difference)
      return math::FmaOp::create(builder, loc, a, b, x);
    if (Value negative = cheapNegative(builder, loc, a))
      return math::FmaOp::create(builder, loc, negative, b, x);
    if (Value negative = cheapNegative(builder, loc, b))
      return math::FmaOp::create(builder, loc, a, negative, x);
  }
  if (auto product = productOf(x)) {
    Value added = difference ? cheapNegative(builder, loc, y) : y;
    if (added)
      return math::FmaOp::create(builder, loc, product.getLhs(), product.getRhs(), added);
  }
  return {};
}

FailureOr<TileValue> LaunchEmitter::pointwise(Operation *op, const Environment &env) {
  SmallVector<TileValue> operands;
  for (Value operand : op->getOperands()) {
    FailureOr<TileValue> value = evaluate(operand, env);
    if (failed(value))
      return failure();
    operands.push_back(*value);
  }
  FailureOr<Dimensions> dims = unite(operands, op);
  if (failed(dims))
    return failure();
  OpBuilder builder = builderFor(*dims);
  SmallVector<Value> values;
  for (const TileValue &operand : operands)
    values.push_back(spread(builder, op->getLoc(), operand, *dims));
  Value result;
  if (dims->size() == 2 && hasKind(*dims, Where::Key)) { // once per key and query
    result = sumInto(op, values[0], values.back());
    if (!result)
      result = fusedSum(builder, op->getLoc(), op, values[0], values.back());
  }
  if (!result)
    result = emitPointwise(builder, op->getLoc(), op, values);
  if (!result)
    return op->emitError("has no form on tiles in this version");
  return TileValue{result, *dims};
}

FailureOr<TileValue> LaunchEmitter::position(Operation *op, StringAttr axis, Value shift, const Environment &env) {
  const Coordinate *coordinate = env.lookup(axis);
  Location loc = op->getLoc();
  if (coordinate->kind == Where::Gathered) {
    TileValue index = *coordinate->index;
    if (!shift || shift == zeroIndex())
      return index;
    OpBuilder builder = builderFor(index.dims);
    Value by = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), shift);
    by = tile::SplatOp::create(builder, loc, index.value.getType(), by);
    return TileValue{arith::AddIOp::create(builder, loc, index.value, by), index.dims};
  }
  Dimensions dims;
  if (coordinate->kind != Where::Batch)
    dims.push_back(dimensionOf(coordinate));
  OpBuilder builder = builderFor(dims);
  Value first = coordinate->base ? coordinate->base : zeroIndex();
  if (shift && shift != zeroIndex())
    first = arith::AddIOp::create(builder, loc, first, shift);
  if (coordinate->kind == Where::Batch)
    return TileValue{arith::IndexCastOp::create(builder, loc, builder.getI32Type(), first), {}};
  if (!coordinate->whole)
    return TileValue{tile::IotaOp::create(builder, loc, typeOf(dims, builder.getI32Type()), first), dims};
  // One axis of two: the shift is its own.
  Value index = tile::IotaOp::create(builder, loc, typeOf(dims, builder.getI32Type()), coordinate->base);
  index = shareOf(builder, loc, coordinate, index);
  if (shift && shift != zeroIndex()) {
    OpBuilder before = builderFor({});
    Value by = arith::IndexCastOp::create(before, loc, before.getI32Type(), shift);
    index = arith::AddIOp::create(builder, loc, index, tile::SplatOp::create(builder, loc, index.getType(), by));
  }
  return TileValue{index, dims};
}

/// A distance between positions becomes a difference of reals: one conversion per row and per key, none per element.
/// Exact for positions below 2^24.
FailureOr<TileValue> LaunchEmitter::toReal(ToRealOp op, const Environment &env) {
  Operation *sum = op.getOperand().getDefiningOp();
  auto isPosition = [](Value x) {
    while (auto rename = x.getDefiningOp<RenameOp>())
      x = rename.getOperand();
    return x.getDefiningOp() && isa<IndexOp, PositionOp, QueryPositionOp>(x.getDefiningOp());
  };
  if (!isa_and_nonnull<AddOp, SubOp>(sum) || !llvm::all_of(sum->getOperands(), isPosition) ||
      !runsAlong(op.getOperand(), env, Where::Row) || !runsAlong(op.getOperand(), env, Where::Key))
    return pointwise(op, env);
  SmallVector<TileValue> sides;
  for (Value operand : sum->getOperands()) {
    FailureOr<TileValue> side = evaluate(operand, env);
    if (failed(side))
      return failure();
    OpBuilder builder = builderFor(side->dims);
    Type type = typeOf(side->dims, builder.getF32Type());
    sides.push_back({arith::SIToFPOp::create(builder, op.getLoc(), type, side->value), side->dims});
  }
  FailureOr<Dimensions> dims = unite(sides, op);
  if (failed(dims))
    return failure();
  OpBuilder builder = builderFor(*dims);
  Value x = spread(builder, op.getLoc(), sides[0], *dims), y = spread(builder, op.getLoc(), sides[1], *dims);
  return TileValue{emitPointwise(builder, op.getLoc(), sum, {x, y}), *dims};
}

FailureOr<TileValue> LaunchEmitter::rowAt(RowAtOp op, const Environment &env) {
  const Coordinate *at = env.lookup(op.getQueryAttr());
  if (at->kind == Where::Gathered || at->kind == Where::Batch)
    return rowAtIndex(op, env);
  if (at->kind != Where::Row)
    return op.emitError(
        "reads the row at the position of a query that is itself a key; in this version only queries have one");
  Location loc = op.getLoc();
  OpBuilder builder = builderFor({});
  if (at->whole)
    return rowAtShare(op, env);
  Coordinate *&moved = shifted[{at, op.getKeysAttr().getAsOpaquePointer(), op.getQueryAttr().getAsOpaquePointer()}];
  if (!moved) {
    Value first =
        arith::AddIOp::create(builder, loc, at->base, derivation.shiftOf(op.getKeysAttr(), op.getQueryAttr()));
    moved = derivation.newCoordinate({Where::Row, derivation.rawOf(op.getKeysAttr()), first, at->extent});
  }
  Environment inner = env.with(op.getKeysAttr(), moved);
  FailureOr<TileValue> rows = evaluate(op.getOperand(), inner);
  if (failed(rows))
    return failure();
  Value source = op.getOperand();
  strip(source, inner);
  if (source.getDefiningOp<InputOp>())
    return rows; // rows outside the view are loaded as 0
  Dimensions rowOnly{dimensionOf(moved)};
  FailureOr<Dimensions> dims = unite({*rows, TileValue{{}, rowOnly}}, op);
  if (failed(dims))
    return failure();
  builder = builderFor(*dims);
  Type indices = typeOf(rowOnly, builder.getI32Type());
  Value index = tile::IotaOp::create(builder, loc, indices, moved->base);
  Value size = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), derivation.sizeOf(op.getKeysAttr()));
  Value limit = tile::SplatOp::create(builder, loc, indices, size);
  Value low =
      arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, index, emitConstant(builder, loc, indices, 0));
  Value high = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index, limit);
  TileValue inside{arith::AndIOp::create(builder, loc, low, high), rowOnly};
  Value value = spread(builder, loc, *rows, *dims);
  Value zero = emitConstant(builder, loc, value.getType(), 0);
  return TileValue{arith::SelectOp::create(builder, loc, spread(builder, loc, inside, *dims), value, zero), *dims};
}

FailureOr<TileValue> LaunchEmitter::reduce(ReduceOp op, const Environment &env) {
  if (derivation.isTokenSum(op))
    return loadSum(op, env);
  StringAttr axis = toAxes(op.getAxes()).front();
  if (derivation.isReducedHead(axis))
    return reduceHeads(op, env);
  FailureOr<int64_t> size = derivation.featureSize(axis, op);
  if (failed(size))
    return failure();
  if (*size <= Derivation::kWidest)
    return reduceAt(op, env, derivation.feature(axis, *size), *size);
  std::optional<TileValue> all;
  ReduceKind kind = op.getKind();
  for (const Coordinate *part : partsOf(axis, *size)) {
    FailureOr<TileValue> some = reduceAt(op, env, part, *size);
    if (failed(some))
      return failure();
    if (!all) {
      all = *some;
      continue;
    }
    OpBuilder builder = builderFor(some->dims);
    Value x = all->value, y = some->value;
    Location loc = op.getLoc();
    all->value = kind == ReduceKind::Max   ? arith::MaxNumFOp::create(builder, loc, x, y).getResult()
                 : kind == ReduceKind::Min ? arith::MinNumFOp::create(builder, loc, x, y).getResult()
                                           : arith::AddFOp::create(builder, loc, x, y).getResult();
  }
  return *all;
}

SmallVector<const Coordinate *> LaunchEmitter::partsOf(StringAttr axis, int64_t size) {
  SmallVector<const Coordinate *> result;
  int64_t count = llvm::divideCeil(size, Derivation::kWidest / 2);
  int64_t extent = llvm::alignTo(llvm::divideCeil(size, count), 16);
  const Coordinate *whole = derivation.feature(axis, size);
  for (int64_t offset = 0; offset < size; offset += extent) {
    int64_t exist = std::min(size - offset, extent);
    result.push_back(partOf(whole, axis, offset, extent, exist < extent ? exist : 0));
  }
  return result;
}

/// Over the whole axis, or what a part adds to that; `size` is that of the axis.
FailureOr<TileValue> LaunchEmitter::reduceAt(ReduceOp op, const Environment &env, const Coordinate *feature,
                                             int64_t size) {
  StringAttr axis = toAxes(op.getAxes()).front();
  FailureOr<TileValue> operand = evaluate(op.getOperand(), env.with(axis, feature));
  if (failed(operand))
    return failure();
  Location loc = op.getLoc();
  // Reductions take tiles of two dimensions: what has features alone is repeated along the rows.
  Dimensions dims = operand->dims;
  if (!llvm::is_contained(dims, dimensionOf(feature)))
    dims.push_back(dimensionOf(feature));
  if (dims.size() == 1)
    dims.push_back(dimensionOf(row));
  llvm::sort(dims);
  if (failed(unite(TileValue{{}, dims}, op)))
    return failure();
  OpBuilder builder = builderFor(dims);
  if (!getElementTypeOrSelf(operand->value).isF32())
    return op.emitError("reduces integers over '") << axis.getValue() << "'; in this version tiles reduce reals only";
  ReduceKind kind = op.getKind();
  double identity = kind == ReduceKind::Sum || kind == ReduceKind::Mean ? 0
                    : kind == ReduceKind::Min                           ? HUGE_VAL
                                                                        : -HUGE_VAL;
  Value x = maskPadding({spread(builder, loc, *operand, dims), dims}, identity, loc).value;
  int64_t dim = llvm::find(dims, dimensionOf(feature)) - dims.begin();
  Dimensions rest = dims;
  rest.erase(rest.begin() + dim);
  Type type = typeOf(rest, builder.getF32Type());
  auto reduced = [&](StringRef kind, Value from) -> Value {
    return tile::ReduceOp::create(builder, loc, type, builder.getStringAttr(kind), from,
                                  builder.getI64IntegerAttr(dim));
  };
  switch (op.getKind()) {
  case ReduceKind::Sum:
    return TileValue{reduced("add", x), rest};
  case ReduceKind::Mean: {
    Value sum = reduced("add", x);
    return TileValue{arith::MulFOp::create(builder, loc, sum, emitConstant(builder, loc, type, 1.0 / double(size))),
                     rest};
  }
  case ReduceKind::Max:
    return TileValue{reduced("max", x), rest};
  case ReduceKind::Min: {
    Value least = reduced("max", arith::NegFOp::create(builder, loc, x));
    return TileValue{arith::NegFOp::create(builder, loc, least), rest};
  }
  case ReduceKind::LogSumExp: {
    Value greatest = reduced("max", x);
    Value none = emitConstant(builder, loc, type, -std::numeric_limits<double>::infinity());
    Value empty = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, greatest, none);
    Value safe = arith::SelectOp::create(builder, loc, empty, emitConstant(builder, loc, type, 0), greatest);
    Value shifted = arith::SubFOp::create(builder, loc, x, spread(builder, loc, {safe, rest}, dims));
    Value sum = reduced("add", math::ExpOp::create(builder, loc, shifted));
    return TileValue{arith::AddFOp::create(builder, loc, safe, math::LogOp::create(builder, loc, sum)), rest};
  }
  }
  return failure();
}

//===--- products ---===//

Product LaunchEmitter::decompose(Value field, Environment env, StringAttr axis) {
  Product product;
  for (;;) {
    Operation *op = field.getDefiningOp();
    auto lacks = [&](Value x) { return !fieldType(x).hasAxis(axis); };
    auto factor = [&](Value x, bool inverse) {
      std::optional<double> constant = fieldType(x).getAxes().empty() ? derivation.constantOf(x) : std::nullopt;
      if (constant)
        product.constant *= inverse ? 1 / *constant : *constant;
      else
        product.factors.push_back({x, env, inverse});
    };
    if (auto rename = dyn_cast<RenameOp>(op)) {
      // The feature axis itself may have been renamed.
      if (rename.getToAttr() == axis)
        axis = rename.getFromAttr();
      env.set(rename.getFromAttr(), env.lookup(rename.getToAttr()));
      field = rename.getOperand();
    } else if (auto slice = dyn_cast<SliceOp>(op); slice && !isPaddedSlice(slice, env)) {
      FailureOr<Environment> inner = sliced(slice, env);
      if (failed(inner))
        break;
      if (slice.getToAttr() == axis)
        axis = slice.getFromAttr();
      env = *inner;
      field = slice.getOperand();
    } else if (auto mul = dyn_cast<MulOp>(op); mul && lacks(mul.getLhs())) {
      factor(mul.getLhs(), false);
      field = mul.getRhs();
    } else if (mul && lacks(mul.getRhs())) {
      factor(mul.getRhs(), false);
      field = mul.getLhs();
    } else if (auto div = dyn_cast<DivOp>(op); div && lacks(div.getRhs())) {
      factor(div.getRhs(), true);
      field = div.getLhs();
    } else if (auto neg = dyn_cast<NegOp>(op)) {
      product.constant = -product.constant;
      field = neg.getOperand();
    } else {
      break;
    }
  }
  product.core = field;
  product.coreEnv = env;
  return product;
}

/// The floating-point type of an input that stands for itself; nothing for anything else.
std::optional<Type> LaunchEmitter::plainType(Value field, Environment env) {
  strip(field, env);
  auto input = field.getDefiningOp<InputOp>();
  if (!input)
    return std::nullopt;
  Type type = derivation.storageType(input.getStorage());
  return isa<FloatType>(type) ? std::optional(type) : std::nullopt;
}

FailureOr<TileValue> LaunchEmitter::binary(StringRef name, TileValue a, TileValue b, Operation *at) {
  FailureOr<Dimensions> dims = unite({a, b}, at);
  if (failed(dims))
    return failure();
  OpBuilder builder = builderFor(*dims);
  Value x = a.value, y = b.value;
  if (!dims->empty()) {
    x = spread(builder, at->getLoc(), a, *dims);
    y = spread(builder, at->getLoc(), b, *dims);
  }
  if (name == "div")
    return TileValue{arith::DivFOp::create(builder, at->getLoc(), x, y), *dims};
  return TileValue{arith::MulFOp::create(builder, at->getLoc(), x, y), *dims};
}

TileValue LaunchEmitter::times(TileValue a, double constant, Location loc) {
  if (constant == 1)
    return a;
  OpBuilder builder = builderFor(a.dims);
  Value factor = emitConstant(builder, loc, a.value.getType(), constant);
  return {arith::MulFOp::create(builder, loc, a.value, factor), a.dims};
}

FailureOr<std::optional<TileValue>> LaunchEmitter::multiply(ArrayRef<Product::Factor> factors, Operation *at) {
  // Factors of fewer dimensions first, so that wide tiles are multiplied once.
  SmallVector<std::pair<TileValue, bool>> values;
  for (const Product::Factor &factor : factors) {
    FailureOr<TileValue> value = evaluate(factor.field, factor.env);
    if (failed(value))
      return failure();
    values.emplace_back(*value, factor.inverse);
  }
  llvm::stable_sort(values, [](auto &a, auto &b) {
    return std::pair(a.first.dims.size(), hasKind(a.first.dims, Where::Key)) <
           std::pair(b.first.dims.size(), hasKind(b.first.dims, Where::Key));
  });
  std::optional<TileValue> result;
  for (auto &[value, inverse] : values) {
    if (!result && !inverse) {
      result = value;
      continue;
    }
    OpBuilder builder = builderFor({});
    TileValue one{emitConstant(builder, at->getLoc(), builder.getF32Type(), 1), {}};
    FailureOr<TileValue> next = binary(inverse ? "div" : "mul", result.value_or(one), value, at);
    if (failed(next))
      return failure();
    result = *next;
  }
  return result;
}

FailureOr<TileValue> LaunchEmitter::operand(Value field, const Environment &outer, Type elementType, Operation *at) {
  Environment env = outer;
  strip(field, env);
  if (auto input = field.getDefiningOp<InputOp>()) {
    Type stored = derivation.storageType(input.getStorage());
    FailureOr<TileValue> tile = failure();
    if (stored == elementType || (is16Bit(stored) && elementType.isF32())) {
      tile = loadInput(input, env);
      return succeeded(tile) && stored != elementType ? widen(*tile, at->getLoc()) : tile;
    }
  }
  if (runsAlong(field, env, Where::Key))
    return loadPrepared(field, env, elementType, at);
  if (hasTokens() && isGlobal(field, env))
    return loadGlobal(field, env, elementType, at);
  FailureOr<TileValue> value = evaluate(field, env);
  if (failed(value))
    return failure();
  value = maskPadding(*value, 0, at->getLoc());
  if (elementType.isF32())
    return value;
  OpBuilder builder = builderFor(value->dims);
  return TileValue{arith::TruncFOp::create(builder, at->getLoc(), typeOf(value->dims, elementType), value->value),
                   value->dims};
}

FailureOr<TileValue> LaunchEmitter::dot(DotOp op, const Environment &env) {
  if (derivation.isTokenSum(op))
    return loadSum(op, env);
  auto bare = dotWithoutConstant(op, env);
  if (failed(bare))
    return failure();
  return times(bare->first, bare->second, op.getLoc());
}

FailureOr<std::pair<TileValue, double>> LaunchEmitter::dotWithoutConstant(DotOp op, const Environment &outer) {
  Key key = keyOf(op.getResult(), outer);
  if (auto found = dots.find(key); found != dots.end())
    return found->second;
  StringAttr axis = toAxes(op.getAxes()).front();
  FailureOr<int64_t> size = derivation.featureSize(axis, op);
  if (failed(size))
    return failure();
  Environment env = outer.with(axis, derivation.feature(axis, *size));
  Value rowSide = op.getLhs(), keySide = op.getRhs();
  bool pair = runsAlong(op.getResult(), env, Where::Row) && runsAlong(op.getResult(), env, Where::Key);
  std::pair<TileValue, double> result;
  if (pair) {
    if (runsAlong(keySide, env, Where::Row))
      std::swap(rowSide, keySide);
    for (Value side : {rowSide, keySide})
      if (runsAlong(side, env, Where::Row) && runsAlong(side, env, Where::Key))
        return op.emitError("one factor varies with the query, the key and '")
               << axis.getValue() << "' at once; a dot contracts a field of the query with one of the key";
    if (!runsAlong(rowSide, env, Where::Row) || !runsAlong(keySide, env, Where::Key))
      return op.emitError("contracts fields that are not one of the query and one of the key");
    // An input that stands for itself is an operand as it is stored, and its other factors multiply the result.
    // Anything else is rounded to the operands' type anyway: then its factors go in with it.
    auto factored = [&](Value side) {
      Product product = decompose(side, env, axis);
      return plainType(product.core, product.coreEnv) ? product : Product{1, {}, side, env};
    };
    FailureOr<std::optional<std::pair<TileValue, double>>> parts = dotOfParts(op, rowSide, keySide, axis, env);
    if (failed(parts))
      return failure();
    if (*parts)
      return dots[key] = **parts;
    Product a = factored(rowSide), b = factored(keySide);
    result.second = a.constant * b.constant;
    FailureOr<TileValue> tile = product(op, a, b, axis);
    if (failed(tile))
      return failure();
    result.first = *tile;
  } else if (runsAlong(op.getResult(), env, Where::Feature)) {
    FailureOr<TileValue> tile = projection(op, env, axis);
    if (failed(tile))
      return failure();
    result = {*tile, 1};
  } else {
    FailureOr<TileValue> a = evaluate(rowSide, env), b = evaluate(keySide, env);
    if (failed(a) || failed(b))
      return failure();
    FailureOr<TileValue> both = binary("mul", *a, *b, op);
    if (failed(both))
      return failure();
    Dimensions dims = both->dims;
    if (dims.size() == 1)
      dims.insert(dims.begin(), dimensionOf(row));
    if (dims.size() != 2)
      return op.emitError("contracts scalars over '") << axis.getValue() << "'";
    OpBuilder builder = builderFor(dims);
    Value x = maskPadding({spread(builder, op.getLoc(), *both, dims), dims}, 0, op.getLoc()).value;
    Dimensions rest{dims[0]};
    Value sum = tile::ReduceOp::create(builder, op.getLoc(), typeOf(rest, builder.getF32Type()),
                                       builder.getStringAttr("add"), x, builder.getI64IntegerAttr(1));
    result = {TileValue{sum, rest}, 1};
  }
  dots[key] = result;
  return result;
}

/// Which dimension of a tile runs along a feature axis.
static int64_t placeOf(const Dimensions &dims, StringAttr feature) {
  for (auto [n, d] : llvm::enumerate(dims))
    if (d.kind == Where::Feature && d.feature == feature)
      return n;
  return -1;
}

/// The type of both operands: what the stored ones have; f32, which holds both, where these differ.
Type LaunchEmitter::operandType(std::optional<Type> first, std::optional<Type> second, Type otherwise) {
  if (first && second && *first != *second)
    return Float32Type::get(otherwise.getContext());
  return first ? *first : second ? *second : otherwise;
}

FailureOr<TileValue> LaunchEmitter::product(DotOp op, const Product &rowSide, const Product &keySide, StringAttr axis) {
  Type elementType = operandType(plainType(keySide.core, keySide.coreEnv), plainType(rowSide.core, rowSide.coreEnv),
                                 derivation.elementType);
  FailureOr<TileValue> a = operand(rowSide.core, rowSide.coreEnv, elementType, op);
  FailureOr<TileValue> b = operand(keySide.core, keySide.coreEnv, elementType, op);
  if (failed(a) || failed(b))
    return failure();
  FailureOr<TileValue> tile = contract(op, *a, *b, axis);
  if (failed(tile))
    return failure();
  SmallVector<Product::Factor> factors(rowSide.factors);
  factors.append(keySide.factors.begin(), keySide.factors.end());
  FailureOr<std::optional<TileValue>> factor = multiply(factors, op);
  if (failed(factor))
    return failure();
  return *factor ? binary("mul", *tile, **factor, op) : tile;
}

FailureOr<TileValue> LaunchEmitter::contract(Operation *op, const TileValue &a, const TileValue &b, StringAttr axis,
                                             Value acc) {
  int64_t left = placeOf(a.dims, axis), right = placeOf(b.dims, axis);
  if (a.dims.size() != 2 || b.dims.size() != 2 || left < 0 || right < 0)
    return op->emitError("contracts over '") << axis.getValue() << "' a tile that has no other axis";
  Dimensions dims{a.dims[1 - left], b.dims[1 - right]};
  OpBuilder builder = builderFor(dims);
  RankedTensorType type = typeOf(dims, builder.getF32Type());
  if (!acc)
    acc = emitConstant(builder, op->getLoc(), type, 0);
  auto tile = tile::DotOp::create(builder, op->getLoc(), type, a.value, b.value, acc, ArrayRef<int64_t>{left, right});
  // Numbers that were 16 bits wide are tf32 as they are.
  auto wasNarrow = [](Value x) { return x.getDefiningOp<arith::ExtFOp>() != nullptr; };
  if (getElementTypeOrSelf(a.value).isF32())
    tile.setPrecision(wasNarrow(a.value) && wasNarrow(b.value) ? "tf32" : StringRef(derivation.choices.precision));
  return TileValue{tile.getTile(), dims};
}

/// x[.., D] against W[D, E].
FailureOr<TileValue> LaunchEmitter::projection(DotOp op, const Environment &env, StringAttr axis) {
  Value left = op.getLhs(), right = op.getRhs();
  auto hasTokens = [&](Value x) { return runsAlong(x, env, Where::Row) || runsAlong(x, env, Where::Key); };
  // One token alone is no row of a product of matrices: all are multiplied beforehand.
  if (states && !hasTokens(left) && !hasTokens(right))
    return loadPrepared(op.getResult(), env, Float32Type::get(op.getContext()), op);
  if (hasTokens(right))
    std::swap(left, right);
  if (!hasTokens(left) || hasTokens(right))
    return op.emitError("a projection contracts a field of tokens with one that has none");
  Type elementType = operandType(plainType(left, env), plainType(right, env), derivation.elementType);
  SmallVector<StringAttr> features;
  for (StringAttr name : fieldType(right).getAxes())
    if (derivation.isFeature(name))
      features.push_back(name);
  bool isWide = isGlobal(right, env) && derivation.needsRange(elementType, features);
  if (isWide)
    elementType = Float32Type::get(op.getContext());
  FailureOr<TileValue> a = operand(left, env, elementType, op), b = operand(right, env, elementType, op);
  if (failed(a) || failed(b))
    return failure();
  FailureOr<TileValue> result = contract(op, *a, *b, axis);
  if (isWide && succeeded(result))
    result->value.getDefiningOp<tile::DotOp>().setPrecision("tf32");
  return result;
}

//===--- memory ---===//

FailureOr<SmallVector<Value>>
LaunchEmitter::indicesOf(Operation *at, ArrayRef<StringAttr> declared, const Environment &env,
                         SmallVectorImpl<int64_t> &dims, Dimensions &spanned, Value &view,
                         SmallVectorImpl<std::pair<int64_t, const Coordinate *>> *gathered) {
  SmallVector<Value> indices;
  SmallVector<TokenShare> shares;
  for (auto [n, axis] : llvm::enumerate(declared)) {
    Value index;
    SmallVector<StringAttr> parts = derivation.table.expand(axis);
    for (StringAttr part : parts) {
      const Coordinate *coordinate = env.lookup(part);
      if (!coordinate)
        return at->emitError("varies along the axis '")
               << part.getValue() << "', which neither the output that needs it nor a reduction has";
      if (coordinate->kind == Where::Gathered) {
        if (parts.size() > 1 || !gathered)
          return at->emitError("the axis '")
                 << part.getValue() << "' is read at computed indices; in this version it must be an axis of its own";
        gathered->emplace_back(n, coordinate);
        index = zeroIndex();
        continue;
      }
      bool isToken = coordinate->kind == Where::Row || coordinate->kind == Where::Key;
      if (isToken && (coordinate->whole || parts.size() > 1)) {
        shares.push_back({n, coordinate});
        if (index)
          index = scaledBy(index, part, at);
        continue;
      }
      if (!shares.empty() && shares.back().declared == n)
        return at->emitError("the axis '") << part.getValue() << "' is an inner part of '" << axis.getValue()
                                           << "', whose outer parts lie inside a tile; declare the factors of '"
                                           << axis.getValue() << "' as axes in its place, which is the same memory";
      if (coordinate->kind != Where::Batch) {
        if (parts.size() > 1)
          return at->emitError("the axis '") << part.getValue() << "' is a part of '" << axis.getValue()
                                             << "' and would lie inside a tile; in this version only whole axes can";
        dims.push_back(n);
        spanned.push_back(dimensionOf(coordinate));
        index = coordinate->base ? coordinate->base : zeroIndex();
        continue;
      }
      if (!index) {
        index = coordinate->base;
        continue;
      }
      Value scaled = scaledBy(index, part, at);
      OpBuilder builder = builderFor({});
      index = arith::AddIOp::create(builder, at->getLoc(), scaled, coordinate->base);
    }
    indices.push_back(index ? index : zeroIndex());
  }
  if (!shares.empty()) {
    if (gathered && !gathered->empty())
      return at->emitError(
          "is read at computed indices and at tokens of two axes at once; that is not in this version");
    if (failed(mergeTokens(at, shares, declared, view, indices, dims, spanned)))
      return failure();
  }
  if (spanned.size() > 2)
    return failure(succeeded(unite(TileValue{{}, spanned}, at)));
  return indices;
}

FailureOr<TileValue> LaunchEmitter::load(Location loc, Operation *at, Value view, ArrayRef<StringAttr> declared,
                                         const Environment &env) {
  SmallVector<int64_t> dims;
  Dimensions spanned;
  SmallVector<std::pair<int64_t, const Coordinate *>> gathered;
  FailureOr<SmallVector<Value>> indices = indicesOf(at, declared, env, dims, spanned, view, &gathered);
  if (failed(indices))
    return failure();
  if (!gathered.empty())
    return gatherTile(loc, at, view, *indices, dims, spanned, gathered);
  Type element = cast<tile::ViewType>(view.getType()).getElementType();
  OpBuilder builder = builderFor(spanned);
  if (spanned.empty())
    return TileValue{tile::LoadScalarOp::create(builder, loc, element, view, *indices), {}};
  Value tile = tile::LoadOp::create(builder, loc, typeOf(spanned, element), view, *indices, Value(), dims,
                                    cast<TypedAttr>(builder.getZeroAttr(element)));
  return TileValue{tile, spanned};
}

FailureOr<TileValue> LaunchEmitter::loadInput(InputOp op, const Environment &env) {
  SmallVector<StringAttr> declared = toAxes(op.getDeclared());
  for (StringAttr axis : derivation.table.expand(declared))
    if (const Coordinate *c = env.lookup(axis);
        c && c->kind == Where::Feature && failed(derivation.featureSize(axis, op)))
      return failure();
  Key key = keyOf(op.getResult(), env);
  if (auto found = raw.find(key); found != raw.end())
    return found->second;
  FailureOr<TileValue> tile = load(op.getLoc(), op, derivation.viewOf(op), declared, env);
  if (succeeded(tile))
    raw[key] = *tile;
  return tile;
}

FailureOr<TileValue> LaunchEmitter::loadPrepared(Value field, const Environment &outer, Type elementType,
                                                 Operation *at) {
  Environment env = outer;
  strip(field, env);
  StringAttr token;
  for (StringAttr axis : fieldType(field).getAxes())
    if (const Coordinate *c = env.lookup(axis); c && c->kind == Where::Key) {
      if (token)
        return at->emitError("a field of the key has the axes '")
               << token.getValue() << "' and '" << axis.getValue() << "', both of keys";
      token = axis;
    }
  // Without keys: the rows, or an axis of tokens or pieces that has one index here, or computed ones.
  for (auto isFit : {+[](const Coordinate *c) { return c->kind == Where::Row; },
                     +[](const Coordinate *c) { return c->kind == Where::Gathered || c->kind == Where::Batch; }})
    for (StringAttr axis : fieldType(field).getAxes()) {
      AxisAttr entry = derivation.table.lookup(axis);
      const Coordinate *c = env.lookup(axis);
      if (!token && isFit(c) && (derivation.isToken(axis) || (entry && entry.isPieces()))) {
        AxisAttr grid = c->whole ? derivation.table.lookup(c->whole->axis) : AxisAttr();
        token = grid && grid.isFactor() ? c->whole->axis : axis;
      }
    }
  if (!token)
    return at->emitError("has no axis of tokens along which it could be computed beforehand");
  FailureOr<Prepared> workspace = derivation.prepare(field, token, elementType, at);
  if (failed(workspace))
    return failure();
  return loadWorkspace(*workspace, env, at);
}

FailureOr<TileValue> LaunchEmitter::loadWorkspace(const Prepared &workspace, const Environment &env, Operation *at) {
  Key key{workspace.view.getAsOpaquePointer(), {}};
  for (StringAttr axis : workspace.axes)
    key.second.push_back(env.lookup(axis));
  if (auto found = raw.find(key); found != raw.end())
    return found->second;
  FailureOr<TileValue> tile = load(at->getLoc(), at, workspace.view, workspace.axes, env);
  if (succeeded(tile))
    raw[key] = *tile;
  return tile;
}

LogicalResult LaunchEmitter::store(const Store &store) {
  Environment env = this->env;
  StringAttr wide;
  for (StringAttr axis : derivation.table.expand(store.declared))
    if (derivation.isFeature(axis)) {
      FailureOr<int64_t> size = derivation.featureSize(axis, store.at);
      if (failed(size))
        return failure();
      if (env.lookup(axis)) // the launch has a part of it
        continue;
      env.set(axis, derivation.feature(axis, *size));
      if (*size > Derivation::kWidest && !states && !store.totals && derivation.reducesWide(store.field, axis))
        wide = axis;
    }
  if (!wide)
    return storeAt(store, env);
  for (const Coordinate *part : partsOf(wide, *derivation.staticSize(wide)))
    if (failed(storeAt(store, env.with(wide, part))))
      return failure();
  return success();
}

LogicalResult LaunchEmitter::storeAt(const Store &store, const Environment &env) {
  SmallVector<int64_t> dims;
  Dimensions spanned;
  Value view = store.view;
  FailureOr<SmallVector<Value>> indices = indicesOf(store.at, store.declared, env, dims, spanned, view);
  if (failed(indices))
    return failure();
  if (!llvm::is_sorted(spanned))
    return store.at->emitError("has its features before its tokens; declare it with the tokens first");
  FailureOr<TileValue> value = evaluate(store.field, env);
  if (failed(value))
    return failure();
  for (const Dimension &d : value->dims)
    if (!llvm::is_contained(spanned, d)) {
      if (!states || d != dimensionOf(row))
        return store.at->emitError("the value varies along an axis that the output lacks");
      if (failed(repeatRows(store.at, view, *indices, dims, spanned)))
        return failure();
    }
  Location loc = store.at->getLoc();
  OpBuilder builder = builderFor({});
  Value tile = spread(builder, loc, *value, spanned);
  if (getElementTypeOrSelf(tile) != store.elementType) {
    if (!getElementTypeOrSelf(tile).isF32() || !is16Bit(store.elementType))
      return store.at->emitError("cannot store elements of type ")
             << getElementTypeOrSelf(tile) << " as " << store.elementType;
    tile = arith::TruncFOp::create(builder, loc, typeOf(spanned, store.elementType), tile);
  }
  if (store.totals)
    return storeScanned(store, tile, *indices, dims);
  // What has no part of the split axis is the same in each part: the first stores it.
  if (part && !states && llvm::none_of(spanned, [&](const Dimension &d) { return d.feature == part->axis; })) {
    Value isFirst = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, part->base, zeroIndex());
    auto first = scf::IfOp::create(builder, loc, isFirst);
    builder.setInsertionPointToStart(first.thenBlock());
  }
  if (states)
    builder = onlyWhere(onlyFirst(store, {}), loc);
  if (spanned.empty())
    tile::StoreScalarOp::create(builder, loc, tile, view, *indices);
  else
    tile::StoreOp::create(builder, loc, tile, view, *indices, dims);
  return success();
}

void LaunchEmitter::collectLive(Value field) {
  SmallVector<Operation *> todo{field.getDefiningOp()};
  while (!todo.empty()) {
    Operation *op = todo.pop_back_val();
    if (!live.insert(op).second)
      continue;
    for (Value operand : op->getOperands())
      todo.push_back(operand.getDefiningOp());
  }
}

LogicalResult LaunchEmitter::emit(ArrayRef<Store> stores) {
  for (const Store &s : stores)
    collectLive(s.field);
  for (const Store &s : stores)
    if (failed(store(s)))
      return failure();
  return success();
}
