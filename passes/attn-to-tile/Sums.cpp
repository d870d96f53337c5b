// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sums, means and maxima over all tokens, and products contracted over them: a launch of its own goes through parts of
// the tokens, and whoever needs the whole adds the parts, in order. What follows from such sums alone is computed once,
// in a launch without tokens. Statistics over heads and features together are made per head first.
#include "passes/attn-to-tile/Derivation.h"
#include "passes/attn-to-tile/Producers.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

namespace {
// Tokens of a work item. Its result is as large as the part of a product's operands that 100 tokens have.
constexpr int64_t kProductTokens = 512, kReductionTokens = 256;
constexpr double kNone = -std::numeric_limits<double>::infinity();
} // namespace

static SmallVector<Value> fieldsUnder(Operation *op) {
  SmallVector<Value> fields;
  for (Value operand : op->getOperands())
    if (isa<FieldType>(operand.getType()))
      fields.push_back(operand);
  return fields;
}

/// The axes that an operation sums or reduces over; none for others.
static SmallVector<StringAttr> reducedAxesOf(Operation *op) {
  if (auto dot = dyn_cast<DotOp>(op))
    return toAxes(dot.getAxes());
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return toAxes(reduce.getAxes());
  return {};
}

//===--- which reductions run over tokens, which over heads ---===//

/// Of any number of elements, and not the last axis of each input that has it: tokens, or heads.
bool Derivation::isOpen(StringAttr axis) const {
  if (isToken(axis))
    return true;
  AxisAttr entry = table.lookup(axis);
  if (!entry || entry.getRelation() != Relation::Plain || staticSize(axis))
    return false;
  AttentionOp inside = attention;
  return llvm::any_of(inside.getBody().front().getOps<InputOp>(), [&](InputOp input) {
    ArrayRef<StringAttr> axes = input.getField().getAxes();
    return input.getRole() == Role::Input && llvm::is_contained(axes, axis) && axes.back() != axis;
  });
}

bool Derivation::isTokenSum(Operation *op) const {
  SmallVector<StringAttr> over = reducedAxesOf(op);
  return !over.empty() && llvm::all_of(over, [&](StringAttr axis) { return isOpen(axis) && !heads.contains(axis); });
}

/// A reduction over heads and features becomes one over features, then one over each axis of heads.
void Derivation::splitReductions() {
  SmallVector<ReduceOp> reductions(attention.getBody().front().getOps<ReduceOp>());
  for (ReduceOp op : reductions) {
    SmallVector<StringAttr> over = toAxes(op.getAxes());
    if (over.size() < 2 || llvm::all_of(over, [&](StringAttr axis) { return isOpen(axis); }))
      continue;
    // The feature is the last axis of the field.
    StringAttr feature;
    for (StringAttr axis : cast<FieldType>(op.getOperand().getType()).getAxes())
      if (llvm::is_contained(over, axis) && !isOpen(axis))
        feature = axis;
    llvm::erase(over, feature);
    OpBuilder builder(op);
    Value reduced = op.getOperand();
    over.push_back(feature);
    for (StringAttr axis : llvm::reverse(over)) {
      reduced = ReduceOp::create(builder, op.getLoc(), op.getKindAttr(), reduced,
                                 builder.getArrayAttr(ArrayRef<Attribute>{axis}));
      if (axis != feature)
        heads.insert(axis);
    }
    op.getResult().replaceAllUsesWith(reduced);
    op.erase();
  }
}

StringAttr Derivation::factorOf(ArrayRef<StringAttr> parts) const {
  for (AxisAttr axis : table.getAxes())
    if (axis.isFactor()) {
      SmallVector<StringAttr> of = table.expand(axis.getName());
      if (of.size() == parts.size() &&
          llvm::all_of(of, [&](StringAttr part) { return llvm::is_contained(parts, part); }))
        return axis.getName();
    }
  return {};
}

void Derivation::classifySums() {
  SmallVector<StringAttr> summed;
  for (Operation &op : attention.getBody().front())
    if (isTokenSum(&op)) {
      SmallVector<StringAttr> over = reducedAxesOf(&op);
      summed.append(over);
      if (StringAttr whole = over.size() > 1 ? factorOf(over) : StringAttr()) {
        summed.push_back(whole);
        grids.insert(whole);
      }
    }
  tokens.insert(summed.begin(), summed.end());
}

/// Where all that is done with a query is one product, wide results are shared out to work items: what is added to them
/// fills registers too.
void Derivation::splitValues() {
  constexpr int64_t kWidth = 64;
  Block &body = attention.getBody().front();
  if (choices.valueTile || llvm::none_of(body, [&](Operation &op) { return isTokenSum(&op); }) ||
      llvm::any_of(body, [](Operation &op) { return isa<WeightsOp, StateOp>(op); }))
    return;
  int64_t widest = 0;
  for (OutputOp output : attention.getOutputs())
    for (StringAttr axis : table.expand(toAxes(output.getDeclared())))
      if (isFeature(axis))
        widest = std::max(widest, staticSize(axis).value_or(0));
  if (widest > kWidth)
    choices.valueTile = llvm::alignTo(llvm::divideCeil(widest, llvm::divideCeil(widest, kWidth)), 16);
}

bool Derivation::containsSum(Value field) {
  auto [it, isNew] = sumsInside.try_emplace(field, false);
  if (!isNew)
    return it->second;
  Operation *op = field.getDefiningOp();
  bool result = isTokenSum(op) || llvm::any_of(op->getOperands(), [&](Value operand) { return containsSum(operand); });
  return sumsInside[field] = result;
}

bool Derivation::isWithoutTokens(StringAttr rows) const {
  AxisAttr entry = table.lookup(rows);
  return !isToken(rows) && !(entry && (entry.isPieces() || entry.isWalk()));
}

/// True for an input, perhaps times what lacks the feature axis.
static bool isStoredSide(Value field, StringAttr axis) {
  while (Operation *op = field.getDefiningOp()) {
    if (isa<InputOp>(op))
      return true;
    auto mul = dyn_cast<MulOp>(op);
    if (!mul)
      return false;
    bool left = cast<FieldType>(mul.getLhs().getType()).hasAxis(axis);
    if (left && cast<FieldType>(mul.getRhs().getType()).hasAxis(axis))
      return false;
    field = left ? mul.getLhs() : mul.getRhs();
  }
  return false;
}

/// The features of a product over tokens: first that of the side which is transposed in registers, then that of the
/// side which is read as it is stored, if one is.
SmallVector<StringAttr> Derivation::sidesOf(Operation *op) const {
  SmallVector<StringAttr> features;
  for (StringAttr axis : cast<FieldType>(op->getResult(0).getType()).getAxes())
    if (isFeature(axis))
      features.push_back(axis);
  llvm::sort(features, [&](StringAttr a, StringAttr b) { return orderOf(a) < orderOf(b); });
  if (features.size() != 2 || !isa<DotOp>(op))
    return features;
  auto isStored = [&](StringAttr axis) {
    Value side = op->getOperand(cast<FieldType>(op->getOperand(0).getType()).hasAxis(axis) ? 0 : 1);
    return isStoredSide(side, axis);
  };
  if (!isStored(features[1]) && isStored(features[0]))
    std::swap(features[0], features[1]);
  return features;
}

/// Sums over tokens and what they are made of may lie outside f16 where their quotients do not. As tf32 they have as
/// many bits and the range of f32; while they are small enough for shared memory.
bool Derivation::needsRange(Type type, ArrayRef<StringAttr> features) const {
  constexpr int64_t kMost = 128 * 128;
  int64_t elements = 1;
  for (StringAttr axis : features)
    elements *= staticSize(axis).value_or(kMost);
  return type.isF16() && elements <= kMost;
}

Operation *Derivation::productUnder(Value field) {
  return walkProducers(field, [&](Operation *op) {
    if (!isTokenSum(op))
      return WalkResult::advance();
    return isa<DotOp>(op) && sidesOf(op).size() == 2 ? WalkResult::interrupt() : WalkResult::skip();
  });
}

//===--- what follows from sums alone ---===//

StringAttr Derivation::rowsWithoutTokens(Value field, ArrayRef<StringAttr> others,
                                         SmallVectorImpl<StringAttr> &inside) {
  // Of two features the one whose side of the product is transposed, else the last of the other axes.
  if (inside.size() == 2)
    if (Operation *product = productUnder(field))
      if (SmallVector<StringAttr> sides = sidesOf(product); sides.front() == inside[1] && sides.back() == inside[0])
        std::swap(inside[0], inside[1]);
  if (inside.size() == 2)
    return inside.front();
  for (StringAttr axis : llvm::reverse(others))
    if (isWithoutTokens(axis))
      return axis;
  return inside.empty() ? StringAttr() : inside.front();
}

FailureOr<Prepared> Derivation::prepareGlobal(Value field, Type element, Operation *at) {
  auto key =
      std::make_tuple(field.getAsOpaquePointer(), static_cast<const void *>(nullptr), element.getAsOpaquePointer());
  if (auto found = prepared.find(key); found != prepared.end())
    return found->second;
  if (open.size() > 16)
    return at->emitError("sums over tokens are nested too deeply; at most 16 launches may wait for one another");
  Prepared result;
  result.elementType = element;
  SmallVector<StringAttr> inside;
  for (StringAttr axis : cast<FieldType>(field.getType()).getAxes())
    (isFeature(axis) ? inside : result.axes).push_back(axis);
  llvm::sort(inside, [&](StringAttr a, StringAttr b) { return orderOf(a) < orderOf(b); });
  if (inside.size() > 2)
    return at->emitError("a sum over tokens has the feature axes '")
           << inside[0].getValue() << "', '" << inside[1].getValue() << "' and '" << inside[2].getValue()
           << "'; a tile holds two";
  StringAttr rows = rowsWithoutTokens(field, result.axes, inside);
  if (!rows)
    return at->emitError("is one number for all tokens and batches; in this version it has a batch axis");
  SmallVector<StringAttr> batch;
  for (StringAttr axis : result.axes)
    if (axis != rows)
      batch.push_back(axis);
  result.axes.append(inside);
  std::string name = uniqueName(workspaceName(field) + "_whole");
  SmallVector<std::string> dims;
  Type type = viewType(result.axes, element, dims);
  SmallVector<Attribute> texts;
  for (StringAttr axis : result.axes)
    texts.push_back(StringAttr::get(context, sizeText(axis)));
  OpBuilder builder = head();
  result.view = tile::WorkspaceOp::create(builder, field.getLoc(), type, builder.getStringAttr(name),
                                          builder.getArrayAttr(texts));
  Store store{field, result.view, result.axes, element, at};
  if (failed(emitLaunch(kernelName(uniqueName("prepare_" + name)), rows, batch, inside.size() == 2 ? 64 : 16, store,
                        open.back())))
    return failure();
  return prepared[key] = result;
}

/// True for a real field that follows from sums over tokens and does not vary with those of this launch.
bool LaunchEmitter::isGlobal(Value field, const Environment &env) {
  auto type = dyn_cast<FieldType>(field.getType());
  return type && type.isReal() && derivation.containsSum(field) && !runsAlong(field, env, Where::Row) &&
         !runsAlong(field, env, Where::Key);
}

FailureOr<TileValue> LaunchEmitter::loadGlobal(Value field, const Environment &env, Type elementType, Operation *at) {
  FailureOr<Prepared> workspace = derivation.prepareGlobal(field, elementType, at);
  if (failed(workspace))
    return failure();
  return loadWorkspace(*workspace, env, at);
}

//===--- sums in parts ---===//

/// The number of parts, as a size that workspaces can have.
Value Derivation::countParts(Value size, int64_t tokens) {
  Value &count = parts[{size, tokens}];
  if (count)
    return count;
  std::string name = "parts";
  for (int n = 2; table.lookup(StringRef(name)) || !names.insert(name).second; ++n)
    name = "parts_" + std::to_string(n);
  Value each = indexConstant(tokens);
  OpBuilder builder = head();
  Value number = arith::CeilDivUIOp::create(builder, attention.getLoc(), size, each);
  return count = tile::ComputedAxisOp::create(builder, attention.getLoc(), builder.getIndexType(),
                                              builder.getStringAttr(name), number);
}

static std::string partsName(Value count) { return count.getDefiningOp<tile::ComputedAxisOp>().getName().str(); }

FailureOr<const Summed *> Derivation::sum(Operation *op) {
  if (auto found = sums.find(op); found != sums.end())
    return &found->second;
  if (open.size() > 16)
    return op->emitError("sums over tokens are nested too deeply; at most 16 launches may wait for one another");
  Summed result;
  result.op = op;
  result.over = reducedAxesOf(op);
  if (result.over.size() > 2)
    return op->emitError("sums over ") << result.over.size() << " axes of tokens at once; in this version at most two";
  if (StringAttr whole = result.over.size() == 2 ? factorOf(result.over) : StringAttr())
    result.over = table.expand(whole);
  SmallVector<Value> fields = fieldsUnder(op);
  SmallVector<StringAttr> batch;
  for (StringAttr axis : cast<FieldType>(op->getResult(0).getType()).getAxes())
    if (!isFeature(axis))
      batch.push_back(axis);
  result.features = sidesOf(op);
  for (StringAttr axis : result.features)
    if (failed(featureSize(axis, op)))
      return failure();
  if (result.features.size() > 2)
    return op->emitError("a sum over tokens has ") << result.features.size() << " feature axes; a tile holds two";
  // A product of matrices: each factor has one of the two features.
  result.isProduct = isa<DotOp>(op) && result.features.size() == 2;
  if (result.isProduct)
    for (Value field : fields)
      if (llvm::count_if(result.features,
                         [&](StringAttr axis) { return cast<FieldType>(field.getType()).hasAxis(axis); }) != 1)
        return op->emitError("sums over tokens a product of which one factor has both feature axes, '")
               << result.features[0].getValue() << "' and '" << result.features[1].getValue() << "'";
  if (!result.isProduct && result.features.size() > 1)
    return op->emitError("reduces over tokens a field with two feature axes, '")
           << result.features[0].getValue() << "' and '" << result.features[1].getValue()
           << "', that is no product of one of each";

  // Rows of a step: one warp holds what is reduced, 64 registers of a thread.
  int64_t widest = 0;
  for (StringAttr axis : features)
    widest = std::max(widest, staticSize(axis).value_or(0));
  result.rows = result.isProduct ? 64 : widest <= 64 ? 32 : 16;
  result.tokens = result.isProduct ? kProductTokens : kReductionTokens;

  // The parts.
  Location loc = op->getLoc();
  bool isPair = result.over.size() == 2;
  result.size = isPair ? productOf(result.over[0], result.over[1]) : sizeOf(result.over[0]);
  result.count = countParts(result.size, result.tokens);
  result.part = StringAttr::get(context, "#part");
  result.axes = batch;
  result.axes.push_back(result.part);
  result.axes.append(result.features);
  if (result.features.empty()) {
    result.one = StringAttr::get(context, "#one");
    result.axes.push_back(result.one);
  }
  SmallVector<Attribute> dims;
  SmallVector<int64_t> shape;
  for (StringAttr axis : result.axes) {
    std::optional<int64_t> size = axis == result.one ? 16 : axis == result.part ? std::nullopt : staticSize(axis);
    shape.push_back(size.value_or(ShapedType::kDynamic));
    dims.push_back(StringAttr::get(context, size                  ? std::to_string(*size)
                                            : axis == result.part ? partsName(result.count)
                                                                  : sizeText(axis)));
  }
  std::string name = workspaceName(op->getResult(0));
  auto workspace = [&](StringRef suffix) -> Value {
    OpBuilder b = head();
    return tile::WorkspaceOp::create(b, loc, tile::ViewType::get(context, shape, b.getF32Type()),
                                     b.getStringAttr(uniqueName(name + suffix.str())), b.getArrayAttr(dims));
  };
  auto reduce = dyn_cast<ReduceOp>(op);
  result.kind = reduce ? reduce.getKind() : ReduceKind::Sum;
  result.view = workspace("_parts");
  if (result.kind == ReduceKind::LogSumExp)
    result.second = workspace("_part_sums");

  // The launch.
  StringAttr split;
  if (result.isProduct) {
    int64_t depth = *staticSize(result.features[0]), width = *staticSize(result.features[1]);
    int64_t part = depth > 128 ? 32 : 64;
    if (width > part) {
      split = result.features[1];
      result.width = part;
    }
  }
  SmallVector<Value> extents;
  SmallVector<Attribute> names;
  for (StringAttr axis : batch) {
    extents.push_back(sizeOf(axis));
    names.push_back(axis);
  }
  if (split) {
    extents.push_back(indexConstant(llvm::divideCeil(*staticSize(split), result.width)));
    names.push_back(split);
  }
  extents.push_back(result.count);
  names.push_back(rawOf(result.over.back()));
  OpBuilder builder(open.back());
  auto launch = tile::LaunchOp::create(builder, loc, builder.getStringAttr(kernelName(uniqueName("sum_" + name))),
                                       builder.getArrayAttr(names), extents, DictionaryAttr());
  Block *block = new Block;
  launch.getBody().push_back(block);
  for (size_t n = 0; n < extents.size(); ++n)
    block->addArgument(builder.getIndexType(), loc);
  Environment env;
  for (auto [n, axis] : llvm::enumerate(batch))
    env.set(axis, newCoordinate({Where::Batch, axis, block->getArgument(n)}));
  builder.setInsertionPointToEnd(block);
  const Coordinate *part = nullptr;
  if (split) {
    Value from = arith::MulIOp::create(builder, loc, block->getArgument(batch.size()), indexConstant(result.width));
    part = newCoordinate({Where::Feature, split, from, result.width});
  }
  for (StringAttr axis : result.features)
    env.set(axis, axis == split ? part : feature(axis, *staticSize(axis)));
  env.set(result.part, newCoordinate({Where::Batch, result.part, block->getArguments().back()}));
  enter(launch);
  LogicalResult emitted = LaunchEmitter(*this, launch, env, nullptr, part).emitSum(result);
  leave();
  if (failed(emitted))
    return failure();
  return &(sums[op] = result);
}

/// One factor of a product over tokens, rounded: 0 where there is no token.
FailureOr<TileValue> LaunchEmitter::summand(const Summed &sum, TileValue tile, Value exists, double none,
                                            Operation *at) {
  Dimensions rows{dimensionOf(row)};
  FailureOr<Dimensions> dims = unite({tile, TileValue{{}, rows}}, at);
  if (failed(dims))
    return failure();
  OpBuilder builder = builderFor(*dims);
  Location loc = at->getLoc();
  Value x = spread(builder, loc, tile, *dims);
  if (!getElementTypeOrSelf(x).isF32())
    return at->emitError("reduces integers over '")
           << sum.over.front().getValue() << "'; in this version tiles reduce reals only";
  Value empty = emitConstant(builder, loc, x.getType(), none);
  return TileValue{arith::SelectOp::create(builder, loc, spread(builder, loc, {exists, rows}, *dims), x, empty), *dims};
}

LogicalResult LaunchEmitter::emitSum(const Summed &sum) {
  Operation *op = sum.op;
  Location loc = op->getLoc();
  Block *launchBlock = &launch.getBody().front();
  OpBuilder outer(op->getContext());
  outer.setInsertionPointToEnd(launchBlock);
  Value first =
      arith::MulIOp::create(outer, loc, launchBlock->getArguments().back(), derivation.indexConstant(sum.tokens));
  Value rest = arith::SubIOp::create(outer, loc, sum.size, first);
  rest = arith::MinUIOp::create(outer, loc, rest, derivation.indexConstant(sum.tokens));
  Value steps = arith::CeilDivUIOp::create(outer, loc, rest, derivation.indexConstant(sum.rows));

  // The body of the loop over tiles of tokens: all values are made in it.
  Region region;
  Block *body = new Block;
  region.push_back(body);
  OpBuilder builder(op->getContext());
  Value number = body->addArgument(builder.getIndexType(), loc);
  builder.setInsertionPointToEnd(body);
  Value base = arith::MulIOp::create(builder, loc, number, derivation.indexConstant(sum.rows));
  base = arith::AddIOp::create(builder, loc, first, base);
  const Coordinate *place;
  if (sum.over.size() == 2) {
    StringAttr whole = derivation.factorOf(sum.over);
    place = derivation.newComposite(Where::Row, whole ? whole : sum.over[1], base, sum.rows, sum.over[0], sum.over[1]);
    for (const Coordinate *share : place->shares)
      env.set(share->axis, share);
    if (whole)
      env.set(whole, place);
  } else {
    place = derivation.newCoordinate({Where::Row, derivation.rawOf(sum.over[0]), base, sum.rows});
    env.set(sum.over[0], place);
  }
  row = place;
  innermost = body;
  Dimensions rows{dimensionOf(row)};
  RankedTensorType indices = typeOf(rows, builder.getI32Type());
  Value index = tile::IotaOp::create(builder, loc, indices, base);
  Value limit = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), sum.size);
  Value exists = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index,
                                       tile::SplatOp::create(builder, loc, indices, limit));

  // What is added to what, per step.
  SmallVector<Value> init, next;
  SmallVector<Type> types;
  auto carry = [&](Type type, double value) {
    init.push_back(emitConstant(outer, loc, type, value));
    return body->addArgument(type, loc);
  };
  Dimensions dims;
  if (sum.isProduct) {
    Value left = op->getOperand(0), right = op->getOperand(1);
    if (!fieldType(left).hasAxis(sum.features[0]))
      std::swap(left, right);
    // Factors of the right side without its feature go with the left side, so that it may be what is stored.
    Product product = decompose(right, env, sum.features[1]);
    bool isStored = plainType(product.core, product.coreEnv).has_value();
    if (!isStored)
      product = Product{1, {}, right, env};
    std::optional<Type> storedLeft =
        product.factors.empty() && product.constant == 1 ? plainType(left, env) : std::nullopt;
    Type type = operandType(plainType(product.core, product.coreEnv), storedLeft, derivation.elementType);
    bool isWide = !storedLeft && derivation.needsRange(type, sum.features);
    if (isWide)
      type = builder.getF32Type();
    FailureOr<TileValue> b =
        isStored ? operand(product.core, product.coreEnv, type, op) : loadPrepared(right, env, type, op);
    if (failed(b))
      return failure();
    TileValue a;
    if (storedLeft == type) {
      FailureOr<TileValue> stored = operand(left, env, type, op);
      if (failed(stored))
        return failure();
      a = *stored;
    } else {
      FailureOr<TileValue> value = evaluate(left, env);
      if (failed(value))
        return failure();
      FailureOr<std::optional<TileValue>> factor = multiply(product.factors, op);
      if (failed(factor))
        return failure();
      if (*factor)
        value = binary("mul", *value, **factor, op);
      if (failed(value))
        return failure();
      value = summand(sum, times(*value, product.constant, loc), exists, 0, op);
      if (failed(value))
        return failure();
      a = maskPadding(*value, 0, loc);
      if (!type.isF32()) {
        OpBuilder inside = builderFor(a.dims);
        a.value = arith::TruncFOp::create(inside, loc, typeOf(a.dims, type), a.value);
      }
    }
    if (a.dims.size() != 2 || b->dims.size() != 2 || !(a.dims[0] == rows[0]) || !(b->dims[0] == rows[0]))
      return op->emitError("sums over tokens a product whose factors do not both vary with the token and a feature");
    dims = {a.dims[1], b->dims[1]};
    OpBuilder inside = builderFor(dims);
    RankedTensorType across = typeOf({a.dims[1], a.dims[0]}, getElementTypeOrSelf(a.value));
    Value transposed = tile::TransposeOp::create(inside, loc, across, a.value);
    Value acc = carry(typeOf(dims, inside.getF32Type()), 0);
    auto dot = tile::DotOp::create(inside, loc, acc.getType(), transposed, b->value, acc, ArrayRef<int64_t>{1, 0});
    if (type.isF32())
      dot.setPrecision(isWide ? "tf32" : StringRef(derivation.choices.precision));
    next.push_back(dot.getTile());
  } else {
    FailureOr<TileValue> value = failure();
    if (isa<DotOp>(op)) {
      FailureOr<TileValue> x = evaluate(op->getOperand(0), env), y = evaluate(op->getOperand(1), env);
      if (failed(x) || failed(y))
        return failure();
      value = binary("mul", *x, *y, op);
    } else {
      value = evaluate(op->getOperand(0), env);
    }
    if (failed(value))
      return failure();
    bool isSum = sum.kind == ReduceKind::Sum || sum.kind == ReduceKind::Mean;
    if (sum.kind == ReduceKind::Min) {
      OpBuilder inside = builderFor(value->dims);
      value->value = arith::NegFOp::create(inside, loc, value->value);
    }
    value = summand(sum, *value, exists, isSum ? 0 : kNone, op);
    if (failed(value))
      return failure();
    dims = value->dims;
    OpBuilder inside = builderFor(dims);
    Type type = value->value.getType();
    if (isSum) {
      next.push_back(arith::AddFOp::create(inside, loc, carry(type, 0), value->value));
    } else {
      Value before = carry(type, kNone);
      Value max = arith::MaxNumFOp::create(inside, loc, before, value->value);
      next.push_back(max);
      if (sum.kind == ReduceKind::LogSumExp)
        next.push_back(addExponentials(inside, loc, max, {{before, carry(type, 0)}, {value->value, Value()}}));
    }
  }
  OpBuilder end(op->getContext());
  end.setInsertionPointToEnd(body);
  scf::YieldOp::create(end, loc, next);
  innermost = nullptr;

  auto loop = scf::ForOp::create(outer, loc, zeroIndex(), steps, derivation.indexConstant(1), init);
  loop.getRegion().takeBody(region);
  hoistInvariants(loop);
  SmallVector<Value> results(loop.getResults());
  // One tile or vector per part.
  if (!sum.isProduct) {
    Dimensions both = dims;
    if (both.size() == 1) // as many equal columns as a fragment has
      both.push_back({Where::Feature, sum.one, 16, 0});
    Type column = typeOf({both[1]}, outer.getF32Type());
    for (Value &x : results)
      x = spread(outer, loc, {x, dims}, both);
    auto reduced = [&](StringRef kind, Value x) -> Value {
      return tile::ReduceOp::create(outer, loc, column, outer.getStringAttr(kind), x, outer.getI64IntegerAttr(0));
    };
    if (sum.kind == ReduceKind::Sum || sum.kind == ReduceKind::Mean) {
      results[0] = reduced("add", results[0]);
    } else {
      Value max = reduced("max", results[0]);
      if (sum.kind == ReduceKind::LogSumExp) {
        Value wide = spread(outer, loc, {max, {both[1]}}, both);
        results[1] = reduced("add", addExponentials(outer, loc, wide, {{results[0], results[1]}}));
      }
      results[0] = max;
    }
    dims = {both[1]};
  }
  SmallVector<Value> places;
  SmallVector<int64_t> spanned;
  for (auto [n, axis] : llvm::enumerate(sum.axes)) {
    const Coordinate *at = env.lookup(axis);
    places.push_back(at && at->base ? at->base : zeroIndex());
    if (axis == sum.one || (at && at->kind == Where::Feature))
      spanned.push_back(n);
  }
  const Value views[] = {sum.view, sum.second};
  for (auto [n, result] : llvm::enumerate(results))
    tile::StoreOp::create(outer, loc, result, views[n], places, spanned);
  return success();
}

Value LaunchEmitter::addExponentials(OpBuilder &builder, Location loc, Value max,
                                     ArrayRef<std::pair<Value, Value>> terms) {
  Type type = max.getType();
  auto constant = [&](double value) { return emitConstant(builder, loc, type, value); };
  Value isEmpty = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, max, constant(kNone));
  Value shift = arith::SelectOp::create(builder, loc, isEmpty, constant(0), max); // -inf - -inf would be NaN
  Value sum;
  for (auto [x, factor] : terms) {
    Value e = math::ExpOp::create(builder, loc, arith::SubFOp::create(builder, loc, x, shift));
    if (factor)
      e = arith::MulFOp::create(builder, loc, e, factor);
    sum = sum ? arith::AddFOp::create(builder, loc, sum, e).getResult() : e;
  }
  return sum;
}

FailureOr<TileValue> LaunchEmitter::loadSum(Operation *op, const Environment &env) {
  FailureOr<const Summed *> found = derivation.sum(op);
  if (failed(found))
    return failure();
  const Summed &sum = **found;
  Location loc = op->getLoc();
  OpBuilder outer = builderFor({});
  Region region;
  Block *body = new Block;
  region.push_back(body);
  Value number = body->addArgument(outer.getIndexType(), loc);
  Block *around = innermost;
  innermost = body;
  Environment inner = env.with(sum.part, derivation.newCoordinate({Where::Batch, sum.part, number}));
  if (sum.one)
    inner.set(sum.one, derivation.newCoordinate({Where::Batch, sum.one, zeroIndex()}));
  SmallVector<TileValue> parts;
  for (Value view : {sum.view, sum.second})
    if (view) {
      FailureOr<TileValue> part = load(loc, op, view, sum.axes, inner);
      if (failed(part)) {
        innermost = around;
        return failure();
      }
      parts.push_back(*part);
    }
  innermost = around;
  OpBuilder builder(op->getContext());
  builder.setInsertionPointToEnd(body);
  bool isSum = sum.kind == ReduceKind::Sum || sum.kind == ReduceKind::Mean;
  Type type = parts[0].value.getType();
  SmallVector<Value> init, next;
  Value before = body->addArgument(type, loc);
  init.push_back(emitConstant(outer, loc, type, isSum ? 0 : kNone));
  if (isSum) {
    next.push_back(arith::AddFOp::create(builder, loc, before, parts[0].value));
  } else {
    Value max = arith::MaxNumFOp::create(builder, loc, before, parts[0].value);
    next.push_back(max);
    if (sum.kind == ReduceKind::LogSumExp) {
      init.push_back(emitConstant(outer, loc, type, 0));
      Value all = body->addArgument(type, loc);
      next.push_back(addExponentials(builder, loc, max, {{before, all}, {parts[0].value, parts[1].value}}));
    }
  }
  scf::YieldOp::create(builder, loc, next);
  auto loop = scf::ForOp::create(outer, loc, zeroIndex(), sum.count, derivation.indexConstant(1), init);
  loop.getRegion().takeBody(region);
  Value result = loop.getResult(0);
  if (sum.kind == ReduceKind::LogSumExp)
    result = arith::AddFOp::create(outer, loc, result, math::LogOp::create(outer, loc, loop.getResult(1)));
  if (sum.kind == ReduceKind::Min)
    result = arith::NegFOp::create(outer, loc, result);
  if (sum.kind == ReduceKind::Mean) {
    Value count = arith::IndexCastOp::create(outer, loc, outer.getI32Type(), sum.size);
    Value divisor = arith::SIToFPOp::create(outer, loc, outer.getF32Type(), count);
    divisor = spread(outer, loc, {divisor, {}}, parts[0].dims);
    result = arith::DivFOp::create(outer, loc, result, divisor);
  }
  return TileValue{result, parts[0].dims};
}

//===--- heads ---===//

FailureOr<TileValue> LaunchEmitter::reduceHeads(ReduceOp op, const Environment &env) {
  StringAttr heads = toAxes(op.getAxes()).front();
  Location loc = op.getLoc();
  if (op.getKind() == ReduceKind::LogSumExp)
    return op.emitError("not in this version: the logsumexp over heads; max, min, sum and mean are");
  OpBuilder outer = builderFor({});
  Region region;
  Block *body = new Block;
  region.push_back(body);
  Value number = body->addArgument(outer.getIndexType(), loc);
  Environment inner = env.with(heads, derivation.newCoordinate({Where::Batch, heads, number}));
  Block *around = innermost;
  innermost = body;
  FailureOr<TileValue> each = isGlobal(op.getOperand(), inner)
                                  ? loadGlobal(op.getOperand(), inner, outer.getF32Type(), op)
                                  : loadPrepared(op.getOperand(), inner, outer.getF32Type(), op);
  innermost = around;
  if (failed(each))
    return failure();
  OpBuilder builder(op.getContext());
  builder.setInsertionPointToEnd(body);
  bool isSum = op.getKind() == ReduceKind::Sum || op.getKind() == ReduceKind::Mean;
  bool isMin = op.getKind() == ReduceKind::Min;
  Type type = each->value.getType();
  Value before = body->addArgument(type, loc), init = emitConstant(outer, loc, type,
                                                                   isSum   ? 0
                                                                   : isMin ? -kNone
                                                                           : kNone);
  Value next = isSum   ? arith::AddFOp::create(builder, loc, before, each->value).getResult()
               : isMin ? arith::MinNumFOp::create(builder, loc, before, each->value).getResult()
                       : arith::MaxNumFOp::create(builder, loc, before, each->value).getResult();
  scf::YieldOp::create(builder, loc, next);
  Value count = derivation.sizeOf(heads);
  auto loop = scf::ForOp::create(outer, loc, zeroIndex(), count, derivation.indexConstant(1), init);
  loop.getRegion().takeBody(region);
  Value result = loop.getResult(0);
  if (op.getKind() == ReduceKind::Mean) {
    Value divisor = arith::IndexCastOp::create(outer, loc, outer.getI32Type(), count);
    divisor = arith::SIToFPOp::create(outer, loc, outer.getF32Type(), divisor);
    result = arith::DivFOp::create(outer, loc, result, spread(outer, loc, {divisor, {}}, each->dims));
  }
  return TileValue{result, each->dims};
}
