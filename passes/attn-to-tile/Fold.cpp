// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Weights as folds: one per `weights`, shared by its expectations and statistics.
#include "passes/attn-to-tile/Fold.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

//===--- which keys ---===//

Value LaunchEmitter::queryBound(const Environment &env, StringAttr keys, StringAttr query, bool last) {
  OpBuilder builder = builderFor({});
  Location loc = launch.getLoc();
  Value position = row->base;
  if (last) { // of the rows that exist
    bool isPacked = row->shares[0] && row->shares[0]->axis == query;
    Value end = arith::AddIOp::create(builder, loc, position, derivation.indexConstant(row->extent));
    end = arith::MinSIOp::create(
        builder, loc, end, isPacked ? derivation.productOf(query, row->shares[1]->axis) : derivation.sizeOf(query));
    position = arith::SubIOp::create(builder, loc, end, derivation.indexConstant(1));
  }
  if (row->shares[0] && row->shares[0]->axis == query)
    position = arith::DivUIOp::create(builder, loc, position, derivation.sizeOf(row->shares[1]->axis));
  Value shift = derivation.shiftOf(keys, query);
  if (shift == zeroIndex())
    return position;
  return arith::AddIOp::create(builder, loc, position, shift);
}

FailureOr<Value> LaunchEmitter::domain(WeightsOp op, const Environment &env) {
  using analysis::Bound;
  using Form = analysis::BoundExpr::Kind;
  Location loc = op.getLoc();
  analysis::KeyWalk walk;
  walk.walk = op.getOverAttr();
  walk.keys = derivation.rawOf(op.getOverAttr());
  walk.query = op.getQueryAttr();
  walk.staticSize = [&](StringAttr axis) { return derivation.staticSize(axis); };
  walk.isBatch = [&](StringAttr axis) {
    const Coordinate *coordinate = env.lookup(axis);
    return coordinate && coordinate->kind == Where::Batch;
  };
  if (AxisAttr keys = derivation.table.lookup(walk.keys); keys && keys.isPieces())
    walk.positions = keys.getRaw();
  StringAttr positions = walk.positions ? walk.positions : walk.keys;
  // What data decide is bounded by a launch before.
  Coordinate anyKey{Where::Key, walk.keys, {}};
  Environment pair = env.with(walk.walk, &anyKey);
  walk.isData = [&](const analysis::DataPart &part) {
    if (row->shares[0]) // its launches have rows of one axis
      return false;
    Environment at = pair;
    for (auto [from, to] : part.renamed)
      at.set(from, at.lookup(to));
    return isBounded(part.predicate, at);
  };
  SmallVector<analysis::KeyRange> ranges = analysis::deriveKeyRanges(op.getWhere(), walk);

  OpBuilder builder = builderFor({});
  Value size = derivation.sizeOf(walk.keys), zero = zeroIndex();
  Value first, last;
  // Bounds share subexpressions by pointer; those that are equal otherwise are left to CSE.
  std::map<const analysis::BoundExpr *, Value> made;
  std::function<FailureOr<Value>(const Bound &)> emit = [&](const Bound &bound) -> FailureOr<Value> {
    if (auto found = made.find(bound.get()); found != made.end())
      return found->second;
    Value lhs, rhs;
    for (auto [operand, value] : {std::pair(&bound->lhs, &lhs), std::pair(&bound->rhs, &rhs)}) {
      if (!*operand)
        continue;
      FailureOr<Value> result = emit(*operand);
      if (failed(result))
        return failure();
      *value = *result;
    }
    Value value;
    switch (bound->kind) {
    case Form::Constant:
      value = derivation.indexConstant(bound->constant);
      break;
    case Form::AxisSize:
      value = derivation.sizeOf(bound->axis);
      break;
    case Form::FirstQuery:
      value = first = first ? first : queryBound(env, positions, walk.query, false);
      break;
    case Form::LastQuery:
      value = last = last ? last : queryBound(env, positions, walk.query, true);
      break;
    case Form::Scalar: {
      FailureOr<TileValue> scalar = evaluate(bound->scalar, env);
      if (failed(scalar))
        return failure();
      value = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), scalar->value);
      break;
    }
    case Form::Add:
      value = arith::AddIOp::create(builder, loc, lhs, rhs);
      break;
    case Form::Scale:
      if (bound->constant == -1)
        value = arith::SubIOp::create(builder, loc, zero, lhs);
      else
        value = arith::MulIOp::create(builder, loc, lhs, derivation.indexConstant(bound->constant));
      break;
    case Form::Min:
      value = arith::MinSIOp::create(builder, loc, lhs, rhs);
      break;
    case Form::Max:
      value = arith::MaxSIOp::create(builder, loc, lhs, rhs);
      break;
    case Form::FloorDiv:
      value = arith::FloorDivSIOp::create(builder, loc, lhs, derivation.indexConstant(bound->constant));
      break;
    }
    made[bound.get()] = value;
    return value;
  };

  // Where one of the bounds is positive, `otherwise`.
  auto unlessPositive = [&](ArrayRef<Bound> conditions, Value value, Value otherwise) -> FailureOr<Value> {
    for (const Bound &condition : conditions) {
      FailureOr<Value> bound = emit(condition);
      if (failed(bound))
        return failure();
      Value positive = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sgt, *bound, zero);
      value = arith::SelectOp::create(builder, loc, positive, otherwise, value);
    }
    return value;
  };

  SmallVector<Value> lo, hi, fullLo, fullHi;
  for (auto [number, range] : llvm::enumerate(ranges)) {
    FailureOr<Value> from = emit(range.lo), to = emit(range.hi);
    if (failed(from) || failed(to))
      return failure();
    to = unlessPositive(range.never, *to, *from);
    FailureOr<Value> fullFrom = zero, fullTo = zero;
    if (!range.opaque) {
      fullFrom = emit(range.fullLo);
      fullTo = emit(range.fullHi);
      if (succeeded(fullTo) && !analysis::isAtMostKeys(range.fullHi, walk))
        fullTo = Value(arith::MinSIOp::create(builder, loc, *fullTo, size));
      if (succeeded(fullFrom) && succeeded(fullTo))
        fullTo = unlessPositive(range.notFull, *fullTo, *fullFrom);
    }
    if (failed(to) || failed(fullFrom) || failed(fullTo))
      return failure();
    if (!range.data.empty()) {
      FailureOr<SmallVector<Value>> seen = dataBounds(op, range, number, env);
      if (failed(seen))
        return failure();
      from = Value(arith::MaxSIOp::create(builder, loc, *from, (*seen)[0]));
      to = Value(arith::MinSIOp::create(builder, loc, *to, (*seen)[1]));
      if (!range.opaque) {
        fullFrom = Value(arith::MaxSIOp::create(builder, loc, *fullFrom, (*seen)[2]));
        fullTo = Value(arith::MinSIOp::create(builder, loc, *fullTo, (*seen)[3]));
      }
    }
    lo.push_back(*from);
    hi.push_back(*to);
    fullLo.push_back(*fullFrom);
    fullHi.push_back(*fullTo);
  }
  if (ranges.empty()) // no key is ever seen
    for (auto *list : {&lo, &hi, &fullLo, &fullHi})
      list->push_back(zero);
  return Value(tile::DomainOp::create(builder, loc, tile::DomainType::get(builder.getContext()), lo, hi, fullLo, fullHi,
                                      size, builder.getI64IntegerAttr(derivation.choices.keyTile)));
}

//===--- the fold ---===//

FailureOr<LaunchEmitter::Fold *> LaunchEmitter::fold(WeightsOp op, const Environment &outer) {
  // The rows of the fold are those of the launch.
  Environment rowEnv;
  for (StringAttr axis : op.getWeightsType().getRows()) {
    const Coordinate *coordinate = outer.lookup(axis);
    if (axis == op.getQueryAttr() ? coordinate != row && (!coordinate || coordinate->whole != row)
                                  : coordinate != env.lookup(axis))
      return op.emitError("is read at another place than its own row along '")
             << axis.getValue() << "'; in this version expectations are used where their query is";
    if (!coordinate)
      return op.emitError("varies along '") << axis.getValue() << "', which no output that needs it has";
    if (coordinate->kind == Where::Feature)
      return op.emitError("has the row axis '") << axis.getValue() << "', which is also an axis of features";
    rowEnv.set(axis, coordinate);
  }
  if (auto found = folds.find(op); found != folds.end())
    return found->second.get();
  if (partial)
    return mergeFold(op);
  if (llvm::is_contained(folding, op))
    return op.emitError("depends on itself");
  if (!op.getSinks().empty())
    return op.emitError("has sinks; they must have become gates before (attn-sink-to-gate)");

  folding.push_back(op);
  Block *outerKeyBlock = keyBlock;
  struct Restore {
    LaunchEmitter &emitter;
    Block *block;
    ~Restore() {
      emitter.keyBlock = block;
      emitter.folding.pop_back();
    }
  } restore{*this, outerKeyBlock};

  Location loc = op.getLoc();
  auto result = std::make_shared<Fold>();
  result->isFree = op.isFree();
  FailureOr<Value> keys = domain(op, env);
  if (failed(keys))
    return failure();
  if (splits)
    keys = sliceOf(*keys, loc);
  // Whether the keys can be tokens of two axes.
  if (failed(derivation.newTokens(Where::Key, op.getOverAttr(), {}, 1, op)))
    return failure();

  // Regions are made before the operation that will hold them, since its results depend on them.
  OpBuilder builder(op.getContext());
  Region body, mask;
  StringAttr raw = derivation.rawOf(op.getOverAttr());
  auto enter = [&](Region &region) {
    Block *block = new Block;
    region.push_back(block);
    keyBlock = block;
    Value start = block->addArgument(builder.getIndexType(), loc);
    return *derivation.newTokens(Where::Key, raw, start, derivation.choices.keyTile, op);
  };

  const Coordinate *key = enter(body);
  Environment pair = rowEnv.with(op.getOverAttr(), key);
  Dimensions both{dimensionOf(row), dimensionOf(key)};

  // The score: positive constant factors go behind the maximum.
  Value score = op.getScore();
  while (!op.isFree()) {
    Operation *top = score.getDefiningOp();
    auto positive = [&](Value x) -> std::optional<double> {
      std::optional<double> c =
          cast<FieldType>(x.getType()).getAxes().empty() ? derivation.constantOf(x) : std::nullopt;
      return c && *c > 0 && std::isfinite(*c) ? c : std::nullopt;
    };
    if (auto mul = dyn_cast<MulOp>(top)) {
      if (auto c = positive(mul.getRhs())) {
        result->scale *= *c;
        score = mul.getLhs();
        continue;
      }
      if (auto c = positive(mul.getLhs())) {
        result->scale *= *c;
        score = mul.getRhs();
        continue;
      }
    } else if (auto div = dyn_cast<DivOp>(top)) {
      if (auto c = positive(div.getRhs())) {
        result->scale /= *c;
        score = div.getLhs();
        continue;
      }
    }
    break;
  }
  FailureOr<TileValue> scores = failure();
  if (auto dot = score.getDefiningOp<DotOp>(); dot && !op.isFree()) {
    auto bare = dotWithoutConstant(dot, pair);
    if (failed(bare))
      return failure();
    if (bare->second > 0 && std::isfinite(bare->second)) {
      result->scale *= bare->second;
      scores = bare->first;
    } else {
      scores = times(bare->first, bare->second, loc);
    }
  } else {
    scores = evaluate(score, pair);
  }
  if (failed(scores))
    return failure();
  if (!(result->scale > 0x1p-120 && result->scale < 0x1p120))
    return op.emitError("the constant factor ") << result->scale << " of the score is beyond the range of f32";

  // Terms.
  SmallVector<Value> coefficients, values;
  SmallVector<std::pair<int64_t, int64_t>> terms;
  SmallVector<Type> accumulators;
  auto indexOf = [](SmallVectorImpl<Value> &list, Value value) -> int64_t {
    auto found = llvm::find(list, value);
    if (found == list.end()) {
      list.push_back(value);
      return list.size() - 1;
    }
    return found - list.begin();
  };
  SmallVector<ExpectOp> expects; // in the order of the text
  for (Operation *user : op->getUsers())
    if (auto expect = dyn_cast<ExpectOp>(user); expect && live.contains(expect) && !llvm::is_contained(expects, expect))
      expects.push_back(expect);
  llvm::sort(expects, [](ExpectOp a, ExpectOp b) { return a->isBeforeInBlock(b); });
  // The accumulator of a coefficient and a value, shared by the terms that have the same.
  auto accumulatorOf = [&](int64_t coefficient, int64_t value) -> int64_t {
    auto found = llvm::find(terms, std::pair(coefficient, value));
    int64_t place = found - terms.begin();
    if (found == terms.end()) {
      terms.emplace_back(coefficient, value);
      SmallVector<int64_t> shape{row->extent};
      if (value >= 0)
        shape.push_back(cast<RankedTensorType>(values[value].getType()).getDimSize(1));
      accumulators.push_back(RankedTensorType::get(shape, builder.getF32Type()));
    }
    return place;
  };
  // Factors that vary with the key, as one tile.
  auto coefficientOf = [&](ArrayRef<Product::Factor> perKey, Operation *at) -> FailureOr<int64_t> {
    FailureOr<std::optional<TileValue>> coefficient = multiply(perKey, at);
    if (failed(coefficient))
      return failure();
    for (const Dimension &d : (**coefficient).dims)
      if (d.kind == Where::Feature)
        return at->emitError("the coefficient has features; only the value may");
    OpBuilder inside = builderFor(both);
    // The same tile serves all terms that share it.
    Value spreadCoefficient = (**coefficient).value;
    if ((**coefficient).dims != both) {
      for (Value known : coefficients)
        if (auto broadcast = known.getDefiningOp<tile::BroadcastOp>();
            broadcast && broadcast.getSource() == spreadCoefficient)
          spreadCoefficient = known;
      if (spreadCoefficient == (**coefficient).value)
        spreadCoefficient = spread(inside, at->getLoc(), **coefficient, both);
    }
    return indexOf(coefficients, spreadCoefficient);
  };
  if (op.getMass()) {
    FailureOr<int64_t> mass = coefficientOf(Product::Factor{op.getMass(), pair, false}, op);
    if (failed(mass))
      return failure();
    result->mass = accumulatorOf(*mass, -1);
  }
  for (ExpectOp expect : expects) {
    Fold::Term term;
    Environment termEnv = pair;
    StringAttr feature;
    auto valueType = cast<FieldType>(expect.getValue().getType());
    for (StringAttr axis : valueType.getAxes()) {
      if (termEnv.lookup(axis))
        continue;
      if (!derivation.isFeature(axis)) {
        const Coordinate *coordinate = env.lookup(axis);
        if (!coordinate)
          return expect.emitError("the value varies along '")
                 << axis.getValue() << "', which no output that needs it has";
        termEnv.set(axis, coordinate);
        continue;
      }
      if (feature)
        return expect.emitError("the value has two feature axes, '")
               << feature.getValue() << "' and '" << axis.getValue() << "'; in this version it has one";
      feature = axis;
      FailureOr<int64_t> size = derivation.featureSize(axis, expect);
      if (failed(size))
        return failure();
      termEnv.set(axis, part && part->axis == axis ? part : derivation.feature(axis, *size));
    }
    if (runsAlong(expect.getValue(), termEnv, Where::Row))
      return expect.emitError("the value varies with the query; pull such factors out of the expectation");

    Product product = feature ? decompose(expect.getValue(), termEnv, feature)
                              : Product{1, {{expect.getValue(), termEnv, false}}, Value(), termEnv};
    bool weighs = product.core && runsAlong(product.core, product.coreEnv, Where::Key);
    if (weighs && !plainType(product.core, product.coreEnv)) // rounded anyway: its factors go in with it
      product = Product{1, {}, expect.getValue(), termEnv};
    term.constant = product.constant;
    SmallVector<Product::Factor> perKey;
    if (op.getMass())
      perKey.push_back({op.getMass(), pair, false});
    if (expect.getCoefficient())
      perKey.push_back({expect.getCoefficient(), pair, false});
    for (const Product::Factor &factor : product.factors)
      (runsAlong(factor.field, factor.env, Where::Key) ? perKey : term.factors).push_back(factor);
    if (product.core && !weighs)
      term.factors.push_back({product.core, product.coreEnv, false});

    int64_t coefficientIndex = -1, valueIndex = -1;
    if (!perKey.empty()) {
      FailureOr<int64_t> coefficient = coefficientOf(perKey, expect);
      if (failed(coefficient))
        return failure();
      coefficientIndex = *coefficient;
    }
    if (weighs) {
      Type elementType = plainType(product.core, product.coreEnv).value_or(derivation.elementType);
      FailureOr<TileValue> value = operand(product.core, product.coreEnv, elementType, expect);
      if (failed(value))
        return failure();
      if (value->dims.size() != 2 || value->dims[0].kind != Where::Key)
        return expect.emitError("the value has its features before its tokens; declare it with the tokens first");
      valueIndex = indexOf(values, value->value);
    }
    if (coefficientIndex >= 0 || valueIndex >= 0)
      term.accumulator = accumulatorOf(coefficientIndex, valueIndex);
    result->terms[expect] = term;
  }
  SmallVector<int64_t> coefficientNumbers, valueNumbers;
  for (auto [c, v] : terms) {
    coefficientNumbers.push_back(c);
    valueNumbers.push_back(v);
  }
  builder = builderFor(both);
  Value scoreTile = spread(builder, loc, *scores, both);
  tile::FoldYieldOp::create(builder, loc, scoreTile, coefficients, values, coefficientNumbers, valueNumbers);

  // The mask: the predicate, and that the key exists.
  const Coordinate *maskKey = enter(mask);
  Environment maskEnv = rowEnv.with(op.getOverAttr(), maskKey);
  builder = builderFor(both);
  Dimensions keyOnly{dimensionOf(maskKey)};
  RankedTensorType indices = typeOf(keyOnly, builder.getI32Type());
  Value index = tile::IotaOp::create(builder, loc, indices, maskKey->base);
  OpBuilder before = builderFor({});
  Value size = arith::IndexCastOp::create(before, loc, before.getI32Type(), derivation.sizeOf(raw));
  Value limit = tile::SplatOp::create(builder, loc, indices, size);
  TileValue inside{arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index, limit), keyOnly};
  Value seen = spread(builder, loc, inside, both);
  if (op.getWhere()) {
    FailureOr<TileValue> where = evaluate(op.getWhere(), maskEnv);
    if (failed(where))
      return failure();
    for (const Dimension &d : where->dims)
      if (d.kind == Where::Feature)
        return op.emitError("the predicate varies along '") << d.feature.getValue() << "', an axis inside tiles";
    builder = builderFor(both);
    seen = arith::AndIOp::create(builder, loc, spread(builder, loc, *where, both), seen);
  }
  tile::MaskYieldOp::create(builder, loc, seen);

  builder = builderFor({});
  result->rows = {dimensionOf(row)};
  Type rowType = typeOf(result->rows, builder.getF32Type());
  Value scale = emitConstant(builder, loc, builder.getF32Type(), result->scale);
  SmallVector<Type> types{rowType, rowType};
  types.append(accumulators);
  auto fold = tile::FoldOp::create(builder, loc, types, *keys, scale, /*additive=*/op.isFree());
  fold.getBody().takeBody(body);
  fold.getMask().takeBody(mask);
  result->max = fold.getMax();
  result->sum = fold.getSum();
  result->accumulators = fold.getAccumulators();
  return (folds[op] = result).get();
}

//===--- what is read off it ---===//

FailureOr<TileValue> LaunchEmitter::expect(ExpectOp op, const Environment &env) {
  FailureOr<Fold *> fold = this->fold(op.getWeights().getDefiningOp<WeightsOp>(), env);
  if (failed(fold))
    return failure();
  Location loc = op.getLoc();
  OpBuilder builder = builderFor({});
  Value sum = (*fold)->normaliser();
  if (!(*fold)->isFree && !(*fold)->inverse) {
    Value zero = emitConstant(builder, loc, sum.getType(), 0), one = emitConstant(builder, loc, sum.getType(), 1);
    // Unordered, so that a NaN in a row is seen in its result.
    Value some = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNE, sum, zero);
    Value inverse = arith::DivFOp::create(builder, loc, one, sum);
    (*fold)->inverse = arith::SelectOp::create(builder, loc, some, inverse, zero);
  }
  const Fold::Term &term = (*fold)->terms.find(op)->second;
  TileValue numerator{sum, (*fold)->rows};
  if (term.accumulator >= 0) {
    numerator.value = (*fold)->accumulators[term.accumulator];
    if (cast<RankedTensorType>(numerator.value.getType()).getRank() == 2) {
      auto type = cast<FieldType>(op.getResult().getType());
      for (StringAttr axis : type.getAxes())
        if (const Coordinate *c = env.lookup(axis); c && c->kind == Where::Feature)
          numerator.dims.push_back(dimensionOf(c));
    }
  }
  FailureOr<TileValue> result = numerator;
  if (!(*fold)->isFree)
    result = binary("mul", numerator, {(*fold)->inverse, (*fold)->rows}, op);
  if (failed(result))
    return failure();
  SmallVector<Product::Factor> factors(term.factors);
  // Factors see the features under the names of this place.
  for (Product::Factor &factor : factors)
    for (StringAttr axis : cast<FieldType>(factor.field.getType()).getAxes())
      if (const Coordinate *c = env.lookup(axis); c && !factor.env.lookup(axis))
        factor.env.set(axis, c);
  FailureOr<std::optional<TileValue>> factor = multiply(factors, op);
  if (failed(factor))
    return failure();
  if (*factor)
    result = binary("mul", *result, **factor, op);
  if (failed(result))
    return failure();
  return times(*result, term.constant, loc);
}

FailureOr<TileValue> LaunchEmitter::stat(StatOp op, const Environment &env) {
  FailureOr<Fold *> fold = this->fold(op.getWeights().getDefiningOp<WeightsOp>(), env);
  if (failed(fold))
    return failure();
  Location loc = op.getLoc();
  OpBuilder builder = builderFor({});
  Value max = (*fold)->max, sum = (*fold)->normaliser();
  const Dimensions &rows = (*fold)->rows;
  TileValue greatest = times({max, rows}, (*fold)->scale, loc);
  switch (op.getKind()) {
  case StatKind::Max:
    return greatest;
  case StatKind::Mass:
    return TileValue{sum, rows};
  case StatKind::Lse: {
    Value log = math::LogOp::create(builder, loc, sum);
    Value lse = arith::AddFOp::create(builder, loc, greatest.value, log);
    Value zero = emitConstant(builder, loc, sum.getType(), 0);
    Value none = emitConstant(builder, loc, sum.getType(), -std::numeric_limits<double>::infinity());
    Value some = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNE, sum, zero);
    return TileValue{arith::SelectOp::create(builder, loc, some, lse, none), rows};
  }
  }
  return op.emitError("an unknown statistic");
}
