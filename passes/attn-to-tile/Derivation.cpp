// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What belongs to a whole program: axes, tensors, workspaces, and which launch writes which outputs.
#include "passes/attn-to-tile/Derivation.h"
#include "passes/attn-to-tile/Producers.h"

#include "dialect/attn/Pointwise.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

FailureOr<tile::ProgramOp> fovea::deriveTileProgram(AttentionOp attention, const TileChoices &choices) {
  return Derivation(attention, choices).run();
}

//===--- sizes ---===//

std::optional<int64_t> Derivation::staticSize(StringAttr axis) const {
  if (std::optional<int64_t> size = table.getStaticSize(axis))
    return size;
  auto chosen = choices.sizes.find(rawOf(axis).str());
  if (chosen != choices.sizes.end())
    return chosen->second;
  AxisAttr entry = table.lookup(axis);
  if (entry && entry.isShare()) {
    std::optional<int64_t> raw = staticSize(entry.getRaw());
    return raw && *raw % entry.getDivisor() == 0 ? std::optional(*raw / entry.getDivisor()) : std::nullopt;
  }
  if (entry && entry.isPieces()) {
    std::optional<int64_t> size = staticSize(entry.getRaw());
    return size ? std::optional(entry.countPieces(*size)) : std::nullopt;
  }
  if (entry && entry.isOuter()) {
    std::optional<int64_t> rows = staticSize(entry.getOf()[0]), columns = staticSize(entry.getOf()[1]);
    return rows && columns ? std::optional(*rows * *columns) : std::nullopt;
  }
  if (entry && entry.isConcat()) {
    int64_t sum = 0;
    for (StringAttr part : entry.getOf()) {
      std::optional<int64_t> size = staticSize(part);
      if (!size)
        return std::nullopt;
      sum += *size;
    }
    return sum;
  }
  if (!entry || !entry.isFactor())
    return std::nullopt;
  int64_t product = 1;
  for (StringAttr part : entry.getOf()) {
    std::optional<int64_t> size = staticSize(part);
    if (!size || *size > std::numeric_limits<int32_t>::max() || product > std::numeric_limits<int32_t>::max())
      return std::nullopt;
    product *= *size;
  }
  return product;
}

StringAttr Derivation::rawOf(StringAttr axis) const {
  AxisAttr entry = table.lookup(axis);
  return entry && entry.isWalk() ? entry.getRaw() : axis;
}

unsigned Derivation::orderOf(StringAttr axis) const {
  for (auto [n, entry] : llvm::enumerate(table.getAxes()))
    if (entry.getName() == axis)
      return n;
  return table.getAxes().size();
}

OpBuilder Derivation::head() {
  for (Operation &op : program.getBody().front())
    if (isa<tile::LaunchOp>(op))
      return OpBuilder(&op);
  return OpBuilder::atBlockEnd(&program.getBody().front());
}

Value Derivation::sizeOf(StringAttr axis) {
  axis = rawOf(axis);
  Value &size = sizes[axis];
  if (size)
    return size;
  OpBuilder builder = head();
  if (std::optional<int64_t> known = staticSize(axis))
    return size = arith::ConstantIndexOp::create(builder, attention.getLoc(), *known);
  if (AxisAttr entry = table.lookup(axis); entry && entry.isFactor()) {
    Value product;
    for (StringAttr part : table.expand(axis)) {
      Value factor = sizeOf(part);
      OpBuilder inside = head();
      product = product ? arith::MulIOp::create(inside, attention.getLoc(), product, factor).getResult() : factor;
    }
    return sizes[axis] = product;
  }
  if (AxisAttr entry = table.lookup(axis);
      entry && (entry.isPieces() || entry.isConcat() || entry.isShare() || entry.isOuter())) {
    Value computed = computedSize(entry);
    return sizes[axis] = computed;
  }
  return size = tile::AxisOp::create(builder, attention.getLoc(), builder.getIndexType(), axis);
}

/// The size of an axis that follows from others.
Value Derivation::computedSize(AxisAttr axis) {
  Location loc = attention.getLoc();
  if (axis.isConcat()) {
    Value sum;
    for (StringAttr part : axis.getOf()) {
      Value size = sizeOf(part);
      OpBuilder builder = head();
      sum = sum ? arith::AddIOp::create(builder, loc, sum, size).getResult() : size;
    }
    return sum;
  }
  Value raw = sizeOf(axis.getRaw());
  if (axis.isOuter()) {
    Value other = sizeOf(axis.getOf()[1]);
    OpBuilder builder = head();
    return arith::MulIOp::create(builder, loc, raw, other);
  }
  if (axis.isShare()) {
    Value divisor = indexConstant(axis.getDivisor());
    OpBuilder builder = head();
    return arith::DivUIOp::create(builder, loc, raw, divisor);
  }
  Value step = indexConstant(axis.getStep()), overlap = indexConstant(axis.getExtent() - axis.getStep());
  Value zero = indexConstant(0);
  OpBuilder builder = head();
  if (axis.getRelation() == Relation::Blocks)
    return arith::CeilDivUIOp::create(builder, loc, raw, step);
  // None where the axis is shorter than one window.
  Value rest = arith::MaxSIOp::create(builder, loc, arith::SubIOp::create(builder, loc, raw, overlap), zero);
  return arith::DivUIOp::create(builder, loc, rest, step);
}

std::string Derivation::sizeText(StringAttr name) {
  name = rawOf(name);
  AxisAttr axis = table.lookup(name);
  if (std::optional<int64_t> size = staticSize(name))
    if (axis && (axis.isPieces() || axis.isConcat() || axis.isShare() || axis.isOuter()))
      return std::to_string(*size);
  if (!axis)
    return name.str();
  if (axis.isConcat())
    return "(" + llvm::join(llvm::map_range(axis.getOf(), [&](StringAttr part) { return sizeText(part); }), " + ") +
           ")";
  if (axis.isFactor() || axis.isOuter())
    return llvm::join(llvm::map_range(axis.getOf(), [&](StringAttr part) { return sizeText(part); }), " * ");
  if (axis.isShare())
    return "(" + sizeText(axis.getRaw()) + " / " + std::to_string(axis.getDivisor()) + ")";
  if (axis.getRelation() == Relation::Blocks)
    return "ceildiv(" + sizeText(axis.getRaw()) + ", " + std::to_string(axis.getStep()) + ")";
  if (axis.getRelation() == Relation::Windows)
    return "(max(0, " + sizeText(axis.getRaw()) + " - " + std::to_string(axis.getExtent() - axis.getStep()) + ") / " +
           std::to_string(axis.getStep()) + ")";
  return name.str();
}

Value Derivation::indexConstant(int64_t value) {
  Value &constant = sizes[StringAttr::get(context, "#" + Twine(value))];
  if (!constant) {
    OpBuilder builder = head();
    constant = arith::ConstantIndexOp::create(builder, attention.getLoc(), value);
  }
  return constant;
}

Value Derivation::shiftOf(StringAttr keys, StringAttr query) {
  keys = rawOf(keys);
  query = rawOf(query);
  if (keys == query)
    return indexConstant(0);
  Value &shift = sizes[StringAttr::get(context, "#" + keys.getValue() + "-" + query.getValue())];
  if (!shift) {
    Value a = sizeOf(keys), b = sizeOf(query);
    OpBuilder builder = head();
    shift = arith::SubIOp::create(builder, attention.getLoc(), a, b);
  }
  return shift;
}

/// Whether results of weights are part of a field, other than by a state, whose reads are kept in memory.
static bool isOfWeights(Value field) {
  SmallVector<Operation *> todo{field.getDefiningOp()};
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!todo.empty()) {
    Operation *op = todo.pop_back_val();
    if (!op || !seen.insert(op).second || isa<ReadOp, LastOp, EveryOp>(op))
      continue;
    if (isa<ExpectOp>(op))
      return true;
    for (Value operand : op->getOperands())
      todo.push_back(operand.getDefiningOp());
  }
  return false;
}

FailureOr<int64_t> Derivation::featureSize(StringAttr axis, Operation *op) {
  std::optional<int64_t> size = staticSize(axis);
  if (!size)
    return op->emitError("the size of the axis '")
           << axis.getValue()
           << "' must be known here, since it lies whole inside a tile: declare it static or set it, as in "
           << axis.getValue() << "=64";
  // What is summed over lies whole in a tile; other features can be shared out to work items.
  if (pieced.contains(axis))
    return *size;
  int64_t limit = isContracted(axis) ? kWidest : 512;
  if (*size % 8 == 0 && *size <= limit)
    return *size;
  int64_t nearest = std::clamp<int64_t>((*size + 4) / 8 * 8, 8, limit);
  bool ofWeights = llvm::any_of(attention.getBody().front().getOps<ReduceOp>(), [&](ReduceOp reduce) {
    return llvm::is_contained(toAxes(reduce.getAxes()), axis) && isOfWeights(reduce.getOperand());
  });
  return op->emitError("the axis '") << axis.getValue() << "' has " << *size
                                     << " elements; supported are multiples of 8 up to " << limit
                                     << (limit != kWidest ? ""
                                         : ofWeights ? ", since results of weights that are summed over lie whole in "
                                                       "a work item (those of states need not)"
                                                     : ", since it is summed over")
                                     << "; the nearest is " << nearest;
}

bool Derivation::reducesWide(Value field, StringAttr axis) {
  return findProducer(field, [&](Operation *op) {
    auto reduce = dyn_cast<ReduceOp>(op);
    return reduce && llvm::is_contained(toAxes(reduce.getAxes()), axis);
  });
}

//===--- fields ---===//

std::optional<double> Derivation::constantOf(Value field) {
  auto [it, isNew] = constants.try_emplace(field, std::nullopt);
  if (!isNew)
    return it->second;
  std::optional<double> result;
  Operation *op = field.getDefiningOp();
  if (auto constant = dyn_cast<ConstantOp>(op)) {
    if (auto real = dyn_cast<FloatAttr>(constant.getValue()))
      result = real.getValueAsDouble();
    else
      result = double(cast<IntegerAttr>(constant.getValue()).getValue().isZero() ? 0
                      : cast<FieldType>(field.getType()).isBool()                ? 1
                                                                  : cast<IntegerAttr>(constant.getValue()).getInt());
  } else if (auto size = dyn_cast<SizeOp>(op)) {
    if (std::optional<int64_t> known = staticSize(size.getAxisAttr()))
      result = double(*known);
  } else if (auto pointwise = dyn_cast<PointwiseOpInterface>(op)) {
    SmallVector<double> operands;
    for (Value operand : op->getOperands()) {
      std::optional<double> value = constantOf(operand);
      if (!value)
        return std::nullopt;
      operands.push_back(*value);
    }
    result = pointwise.evaluateAt(operands);
  }
  return constants[field] = result;
}

bool Derivation::containsReduction(Value field) {
  auto [it, isNew] = reductions.try_emplace(field, false);
  if (!isNew)
    return it->second;
  Operation *op = field.getDefiningOp();
  // A sum along tokens is an array already.
  bool result =
      isa<ReduceOp, DotOp, ExpectOp, StatOp, BlockReduceOp, ReadOp, LastOp, EveryOp>(op) ||
      (!isa<ScanOp>(op) && llvm::any_of(op->getOperands(), [&](Value operand) { return containsReduction(operand); }));
  return reductions[field] = result;
}

//===--- tensors ---===//

Type Derivation::storageType(std::optional<Storage> storage) const {
  Builder builder(context);
  if (!storage)
    return elementType;
  switch (*storage) {
  case Storage::BF16:
    return builder.getBF16Type();
  case Storage::F16:
    return builder.getF16Type();
  case Storage::F32:
    return builder.getF32Type();
  case Storage::I32:
    return builder.getI32Type();
  }
  return elementType;
}

tile::ViewType Derivation::viewType(ArrayRef<StringAttr> declared, Type element, SmallVectorImpl<std::string> &dims) {
  SmallVector<int64_t> shape;
  for (StringAttr axis : declared) {
    SmallVector<StringAttr> parts = table.expand(axis);
    dims.push_back(llvm::join(llvm::map_range(parts, [&](StringAttr part) { return rawOf(part).str(); }), "*"));
    shape.push_back(staticSize(axis).value_or(ShapedType::kDynamic));
  }
  return tile::ViewType::get(context, shape, element);
}

static ArrayAttr strings(MLIRContext *context, ArrayRef<std::string> texts) {
  SmallVector<Attribute> attrs;
  for (const std::string &text : texts)
    attrs.push_back(StringAttr::get(context, text));
  return ArrayAttr::get(context, attrs);
}

Value Derivation::tensor(StringRef name, StringRef role, ArrayRef<StringAttr> declared, Type element) {
  SmallVector<std::string> dims;
  Type type = viewType(declared, element, dims);
  OpBuilder builder = head();
  auto result = tile::TensorOp::create(builder, attention.getLoc(), type, builder.getStringAttr(name),
                                       builder.getStringAttr(role), strings(context, dims), IntegerAttr());
  if (choices.alignment < 16)
    result.setAlignment(std::max<int64_t>(choices.alignment, element.getIntOrFloatBitWidth() / 8));
  return result;
}

Value Derivation::viewOf(InputOp input) {
  Value &view = inputs[input];
  if (!view)
    view = tensor(input.getName(), stringifyRole(input.getRole()), toAxes(input.getDeclared()),
                  storageType(input.getStorage()));
  return view;
}

const Coordinate *Derivation::feature(StringAttr axis, int64_t size) {
  const Coordinate *&coordinate = featureCoordinates[axis];
  if (!coordinate)
    coordinate =
        newCoordinate({Coordinate::Kind::Feature, axis, {}, static_cast<int64_t>(llvm::alignTo(size, 16)), size});
  return coordinate;
}

std::string Derivation::kernelName(const Twine &name) const {
  return (choices.entry.empty() ? name : name + "_" + choices.entry).str();
}

std::string Derivation::uniqueName(std::string name) {
  std::string candidate = name;
  for (int n = 2; !names.insert(candidate).second; ++n)
    candidate = name + "_" + std::to_string(n);
  return candidate;
}

//===--- launches ---===//

/// The axes that an operation sums or reduces over; null for others.
static ArrayAttr reducedAxes(Operation &op) {
  if (auto dot = dyn_cast<DotOp>(op))
    return dot.getAxes();
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return reduce.getAxes();
  return {};
}

StringAttr Derivation::splitAxis(ArrayRef<Store> stores) {
  if (!choices.valueTile)
    return {};
  StringAttr split;
  for (const Store &store : stores)
    for (StringAttr axis : table.expand(store.declared)) {
      std::optional<int64_t> size = staticSize(axis);
      if (!isFeature(axis) || !size || *size <= choices.valueTile)
        continue;
      if (split && split != axis)
        return {};
      split = axis;
    }
  // A reduction over the results needs all of them in one work item.
  if (split)
    for (Operation &op : attention.getBody().front()) {
      ArrayAttr reduced = reducedAxes(op);
      if (!reduced || !llvm::is_contained(toAxes(reduced), split))
        continue;
      if (findProducer(op.getResult(0), [](Operation *from) { return isa<ExpectOp>(from); }))
        return {};
    }
  return split;
}

LogicalResult Derivation::emitLaunch(StringRef name, StringAttr rowAxis, ArrayRef<StringAttr> batch, int64_t tileSize,
                                     ArrayRef<Store> stores, Operation *before, StringAttr keysAxis,
                                     StringAttr packed) {
  FailureOr<OpenLaunch> opened = openLaunch(name, rowAxis, batch, tileSize, stores, before, keysAxis, packed);
  if (failed(opened))
    return failure();
  enter(opened->op);
  LogicalResult result = LaunchEmitter(*this, *opened).emit(stores);
  leave();
  return result;
}

FailureOr<OpenLaunch> Derivation::openLaunch(StringRef name, StringAttr rowAxis, ArrayRef<StringAttr> batch,
                                             int64_t tileSize, ArrayRef<Store> stores, Operation *before,
                                             StringAttr keysAxis, StringAttr packed, Value splits) {
  Location loc = attention.getLoc();
  SmallVector<Value> extents;
  SmallVector<Attribute> axes;
  for (StringAttr axis : batch) {
    extents.push_back(sizeOf(axis));
    axes.push_back(axis);
  }
  if (splits) {
    extents.push_back(splits);
    axes.push_back(StringAttr::get(context, splitsName));
  }
  StringAttr split = before ? StringAttr() : splitAxis(stores);
  if (split == rowAxis)
    split = {};
  if (split) {
    extents.push_back(indexConstant(llvm::divideCeil(*staticSize(split), choices.valueTile)));
    axes.push_back(split);
  }
  Value rows = packed ? productOf(rowAxis, packed) : sizeOf(rowAxis), step = indexConstant(tileSize);
  OpBuilder headBuilder = head();
  extents.push_back(arith::CeilDivUIOp::create(headBuilder, loc, rows, step));
  axes.push_back(rawOf(rowAxis));
  if (keysAxis) {
    Value keys = sizeOf(keysAxis), keyStep = indexConstant(choices.keyTile);
    OpBuilder keyBuilder = head();
    extents.push_back(arith::CeilDivUIOp::create(keyBuilder, loc, keys, keyStep));
    axes.push_back(rawOf(keysAxis));
  }

  OpBuilder builder(context);
  if (before)
    builder.setInsertionPoint(before);
  else
    builder.setInsertionPointToEnd(&program.getBody().front());
  auto launch = tile::LaunchOp::create(builder, loc, builder.getStringAttr(name), builder.getArrayAttr(axes), extents,
                                       DictionaryAttr());
  Block *block = new Block;
  launch.getBody().push_back(block);
  for (size_t n = 0; n < extents.size(); ++n)
    block->addArgument(builder.getIndexType(), loc);

  Environment env;
  for (auto [n, axis] : llvm::enumerate(batch))
    env.set(axis, newCoordinate({Coordinate::Kind::Batch, axis, block->getArgument(n)}));
  builder.setInsertionPointToEnd(block);
  unsigned others = batch.size() + (splits ? 1 : 0) + (split ? 1 : 0);
  Value first = arith::MulIOp::create(builder, loc, block->getArgument(others), step);
  FailureOr<Coordinate *> tokens =
      packed ? newComposite(Coordinate::Kind::Row, rawOf(rowAxis), first, tileSize, rowAxis, packed)
             : newTokens(Coordinate::Kind::Row, rowAxis, first, tileSize, attention);
  if (failed(tokens))
    return failure();
  const Coordinate *row = *tokens;
  if (!packed)
    env.set(rowAxis, row);
  if (packed || rawOf(rowAxis) == rowAxis)
    for (const Coordinate *share : row->shares)
      if (share)
        env.set(share->axis, share);
  const Coordinate *part = nullptr;
  if (split) {
    Value from = arith::MulIOp::create(builder, loc, block->getArgument(others - 1), indexConstant(choices.valueTile));
    part = newCoordinate({Coordinate::Kind::Feature, split, from, choices.valueTile});
    env.set(split, part);
  }

  const Coordinate *keys = nullptr;
  if (keysAxis) {
    Value from = arith::MulIOp::create(builder, loc, block->getArguments().back(), indexConstant(choices.keyTile));
    keys = newCoordinate({Coordinate::Kind::Key, rawOf(keysAxis), from, choices.keyTile});
    env.set(keysAxis, keys);
  }

  OpenLaunch result{launch, env, row, part, keys, {}, {}};
  if (splits)
    result.split = block->getArgument(batch.size());
  result.items.append(block->args_begin(), block->args_begin() + others);
  return result;
}

std::string Derivation::workspaceName(Value field) {
  for (Value walk = field; walk && walk.getDefiningOp();) {
    Operation *op = walk.getDefiningOp();
    if (auto input = dyn_cast<InputOp>(op))
      return input.getName().str();
    walk = op->getNumOperands() ? op->getOperand(0) : Value();
  }
  return "field";
}

/// Where weights inside a field of one axis of tokens have another one of its axes as their queries: the rows of the
/// launch that computes it. Null elsewhere.
StringAttr Derivation::rowsInside(Value field, StringAttr token) {
  Operation *inside = findProducer(field, [&](Operation *op) {
    auto weights = dyn_cast<WeightsOp>(op);
    return weights && weights.getQueryAttr() != rawOf(token) &&
           cast<FieldType>(field.getType()).hasAxis(weights.getQueryAttr());
  });
  return inside ? cast<WeightsOp>(inside).getQueryAttr() : StringAttr();
}

FailureOr<Prepared> Derivation::layOut(Value field, StringAttr token, Type element, Operation *at) {
  Prepared result;
  result.elementType = element;
  StringAttr feature;
  SmallVector<StringAttr> parts = table.expand(rawOf(token));
  for (StringAttr axis : cast<FieldType>(field.getType()).getAxes()) {
    if (axis != token && llvm::is_contained(parts, axis)) // of a grid
      continue;
    if (axis != token && isToken(axis) && axis != rowsInside(field, token))
      return at->emitError("a field of the key also varies along '")
             << axis.getValue() << "'; a map of keys may depend on one token axis only";
    if (axis != token && isFeature(axis)) {
      if (feature)
        return at->emitError("a field of the key has two feature axes, '")
               << feature.getValue() << "' and '" << axis.getValue() << "'; a tile holds one";
      feature = axis;
    } else if (axis != token) {
      result.axes.push_back(axis);
    }
  }
  result.axes.push_back(token);
  if (feature)
    result.axes.push_back(feature);
  std::string name = uniqueName(workspaceName(field) + (isa<ScanOp>(field.getDefiningOp()) ? "_sums" : "_prepared"));
  SmallVector<std::string> dims;
  Type type = viewType(result.axes, element, dims);
  for (auto [text, axis] : llvm::zip(dims, result.axes))
    if (table.expand(axis).size() == 1) // else the product of its parts
      text = sizeText(axis);
  OpBuilder builder = head();
  result.view =
      tile::WorkspaceOp::create(builder, field.getLoc(), type, builder.getStringAttr(name), strings(context, dims));
  return result;
}

bool Derivation::standsAlone(Value field) {
  auto [it, isNew] = alone.try_emplace(field, false);
  if (!isNew)
    return it->second;
  Operation *op = field.getDefiningOp();
  bool result = !isTokenSum(op) && !(isa<ReduceOp>(op) && isReducedHead(toAxes(reducedAxes(*op)).front())) &&
                (isa<InputOp, ConstantOp, SizeOp, IndexOp, PositionOp, QueryPositionOp, RenameOp, RowAtOp, ReduceOp,
                     DotOp, SliceOp, ConcatOp, ConvOp>(op) ||
                 isa<PointwiseOpInterface>(op)) &&
                llvm::all_of(op->getOperands(), [&](Value operand) { return standsAlone(operand); });
  return alone[field] = result;
}

FailureOr<Prepared> Derivation::prepare(Value field, StringAttr token, Type element, Operation *at) {
  auto key = std::make_tuple(field.getAsOpaquePointer(), token.getAsOpaquePointer(), element.getAsOpaquePointer());
  if (auto found = prepared.find(key); found != prepared.end())
    return found->second;
  if (open.size() > 16)
    return at->emitError("maps of keys are nested too deeply; at most 16 launches may wait for one another");

  FailureOr<Prepared> result = layOut(field, token, element, at);
  if (failed(result))
    return failure();
  StringAttr inside = rowsInside(field, token), rows = inside ? inside : token;
  SmallVector<StringAttr> batch;
  for (StringAttr axis : result->axes)
    if (axis != rows && !isFeature(axis))
      batch.push_back(axis);
  std::string name = "prepare_" + cast<tile::WorkspaceOp>(result->view.getDefiningOp()).getName().str();
  Store store{field, result->view, result->axes, element, at};
  if (standsAlone(field)) {
    auto group = llvm::find_if(together, [&](const Together &g) { return g.token == token && g.batch == batch; });
    if (group == together.end()) {
      together.push_back({token, batch, name, {}});
      group = std::prev(together.end());
    }
    group->stores.push_back(store);
  } else if (failed(emitLaunch(uniqueName(kernelName(name)), rows, batch, inside ? choices.queryTile : rowTile(token),
                               store, open.back()))) {
    return failure();
  }
  return prepared[key] = *result;
}

LogicalResult Derivation::emitPrepared() {
  Operation *first = *program.getBody().front().getOps<tile::LaunchOp>().begin();
  for (const Together &group : together)
    if (failed(emitLaunch(uniqueName(kernelName(group.name)), group.token, group.batch, 64, group.stores, first)))
      return failure();
  return success();
}

//===--- the program ---===//

LogicalResult Derivation::checkChoices() {
  for (auto [what, size] : {std::pair("queries", choices.queryTile), std::pair("keys", choices.keyTile)})
    if (size < 16 || size > 256 || size % 16)
      return attention.emitError("a tile of ")
             << size << " " << what << " is not possible; take a multiple of 16 from 16 to 256";
  if (choices.valueTile && (choices.valueTile < 16 || choices.valueTile > 256 || choices.valueTile % 16))
    return attention.emitError("parts of ")
           << choices.valueTile << " features are not possible; take a multiple of 16 from 16 to 256, or 0 for all";
  Builder builder(context);
  if (choices.elementType == "bf16")
    elementType = builder.getBF16Type();
  else if (choices.elementType == "f16")
    elementType = builder.getF16Type();
  else if (choices.elementType == "f32")
    elementType = builder.getF32Type();
  else
    return attention.emitError("the element type '")
           << choices.elementType << "' is not supported; take bf16, f16 or f32";
  if (choices.precision != "tf32" && choices.precision != "3xtf32" && choices.precision != "fma")
    return attention.emitError("the precision '") << choices.precision << "' is not one of tf32, 3xtf32 and fma";
  if (choices.alignment != 1 && choices.alignment != 16)
    return attention.emitError("an alignment of ")
           << choices.alignment << " bytes is not possible; take 16, or 1 for that of an element";
  for (auto &[name, size] : choices.sizes) {
    AxisAttr axis = table.lookup(StringRef(name));
    if (!axis)
      return attention.emitError("a size is given for '") << name << "', which is no axis of this attention";
    std::optional<int64_t> known = table.getStaticSize(axis.getName());
    if (known && *known != size)
      return attention.emitError("the size ")
             << size << " is given for the axis '" << name << "', whose size is " << *known;
    if (axis.isFactor() || axis.isWalk())
      return attention.emitError("the size of the axis '") << name << "' follows from other axes; give those";
  }
  return success();
}

/// The derivation recurses from results to operands.
LogicalResult Derivation::checkDepth() {
  constexpr unsigned maxDepth = 1000;
  llvm::DenseMap<Operation *, unsigned> depths;
  for (Operation &op : attention.getBody().front()) {
    unsigned depth = 0;
    for (Value operand : op.getOperands())
      depth = std::max(depth, depths.lookup(operand.getDefiningOp()) + 1);
    if (depth > maxDepth)
      return op.emitError("stands at the end of a chain of more than ")
             << maxDepth << " operations, which is not supported; split the attention";
    depths[&op] = depth;
  }
  return success();
}

LogicalResult Derivation::classifyAxes() {
  for (AxisAttr axis : table.getAxes()) {
    if (axis.isWalk()) {
      tokens.insert(axis.getName());
      tokens.insert(axis.getRaw());
      tokens.insert(axis.getQuery());
      if (AxisAttr raw = table.lookup(axis.getRaw()); raw && raw.isPieces())
        tokens.insert(raw.getRaw());
    } else if (axis.isKeys()) {
      tokens.insert(axis.getName());
      tokens.insert(axis.getQuery());
    }
  }
  findPieced();
  classifySums();
  // A reduction goes through wide features part by part; results of weights have all of them at once.
  auto inParts = [&](Operation &op) {
    auto reduce = dyn_cast<ReduceOp>(op);
    return reduce && reduce.getKind() != ReduceKind::LogSumExp && !isOfWeights(reduce.getOperand());
  };
  for (Operation &op : attention.getBody().front())
    if (ArrayAttr reduced = reducedAxes(op); reduced && !isTokenSum(&op) && !inParts(op))
      contracted.insert_range(toAxes(reduced));
  auto inside = [&](Operation *op, StringAttr axis) -> LogicalResult {
    if (isToken(axis))
      return op->emitError("reduces over the token axis '")
             << axis.getValue() << "'; in this version only weights reduce over tokens";
    features.insert(axis);
    return featureSize(axis, op);
  };
  for (Operation &op : attention.getBody().front()) {
    ArrayAttr reduced = reducedAxes(op);
    if (reduced && !isTokenSum(&op) && !isReducedHead(toAxes(reduced).front())) {
      if (reduced.size() != 1)
        return op.emitError("contracts ")
               << reduced.size() << " axes at once; in this version one, that of the features";
      if (failed(inside(&op, toAxes(reduced).front())))
        return failure();
    }
    if (auto expect = dyn_cast<ExpectOp>(op)) {
      auto weights = cast<WeightsType>(expect.getWeights().getType());
      auto value = cast<FieldType>(expect.getValue().getType());
      // The last of the axes that only the value has lies inside the tile; others are batch axes.
      for (StringAttr axis : llvm::reverse(value.getAxes()))
        if (axis != weights.getWalk() && !llvm::is_contained(weights.getRows(), axis)) {
          if (failed(inside(&op, axis)))
            return failure();
          break;
        }
    }
  }
  for (Operation &op : attention.getBody().front())
    if (auto scan = dyn_cast<ScanOp>(op))
      if (!isFeature(scan.getAxisAttr()))
        tokens.insert(scan.getAxisAttr());
  for (auto state : attention.getBody().front().getOps<StateOp>()) {
    contracted.insert(state.getKeyAxisAttr());
    tokens.insert(state.getTokenAttr());
    if (isFeature(state.getTokenAttr()))
      return state.emitError("runs along '")
             << state.getToken() << "', which is also summed over or an axis of features";
    for (StringAttr axis : {state.getKeyAxisAttr(), state.getValueAxisAttr()})
      if (axis && failed(inside(state, axis)))
        return failure();
  }
  // An output's last axis lies inside tiles too where it can: elements of one row are stored together.
  llvm::DenseSet<StringAttr> rows;
  for (auto weights : attention.getBody().front().getOps<WeightsOp>())
    rows.insert_range(weights.getWeightsType().getRows());
  for (OutputOp output : attention.getOutputs()) {
    SmallVector<StringAttr> declared = toAxes(output.getDeclared());
    SmallVector<StringAttr> expanded = table.expand(declared);
    if (expanded.size() < 2 || output.getCarry() || table.expand(declared.back()).size() > 1 ||
        llvm::any_of(expanded, [&](StringAttr axis) { return isFeature(axis); }))
      continue;
    StringAttr last = declared.back();
    std::optional<int64_t> size = staticSize(last);
    if (AxisAttr entry = table.lookup(last); entry && entry.isPieces())
      continue;
    if (!isToken(last) && !rows.contains(last) && size && *size % 8 == 0 && *size <= 256)
      features.insert(last);
  }
  // Without weights and running sums the rows of tiles are along the last axis of an output that lies outside.
  if (tokens.empty())
    for (OutputOp output : attention.getOutputs())
      for (StringAttr axis : llvm::reverse(table.expand(toAxes(output.getDeclared()))))
        if (!isFeature(axis)) {
          tokens.insert(axis);
          break;
        }
  // What is cut or joined lies inside tiles with its parts.
  for (bool more = true; more;) {
    more = false;
    auto together = [&](Operation &op, StringAttr whole, ArrayRef<StringAttr> parts) -> LogicalResult {
      bool any = isFeature(whole) || llvm::any_of(parts, [&](StringAttr part) { return isFeature(part); });
      if (!any)
        return success();
      more |= features.insert(whole);
      for (StringAttr part : parts) {
        if (features.insert(part))
          more = true;
        if (failed(featureSize(part, &op)))
          return failure();
      }
      return featureSize(whole, &op);
    };
    for (Operation &op : attention.getBody().front()) {
      if (auto slice = dyn_cast<SliceOp>(op)) {
        if (failed(together(op, slice.getFromAttr(), slice.getToAttr())))
          return failure();
      } else if (auto concat = dyn_cast<ConcatOp>(op)) {
        if (failed(together(op, concat.getAlongAttr(), toAxes(concat.getParts()))))
          return failure();
      }
    }
  }
  for (auto weights : attention.getBody().front().getOps<WeightsOp>())
    for (StringAttr axis : weights.getWeightsType().getRows())
      if (isFeature(axis))
        return weights.emitError("the axis '")
               << axis.getValue()
               << "' is an axis of these weights and is also summed over or a feature axis of a value";
  return success();
}

/// True where some operand of a product is f32: stated so, or by the type of arrays that state none.
bool Derivation::hasF32Products() {
  if (elementType.isF32())
    return true;
  return llvm::any_of(attention.getInputs(), [&](InputOp input) {
    return storageType(input.getStorage()).isF32() &&
           llvm::any_of(toAxes(input.getDeclared()), [&](StringAttr axis) { return isFeature(axis); });
  });
}

/// True where a field holds blocks of pairs: their axis then has one index per work item.
static bool reducesPairs(Value field, StringAttr pieces) {
  return findProducer(field, [&](Operation *op) {
    auto reduce = dyn_cast<BlockReduceOp>(op);
    return reduce && reduce.getToAttr() == pieces;
  });
}

int64_t Derivation::rowTile(StringAttr axis) const {
  AxisAttr entry = table.lookup(rawOf(axis));
  return entry && entry.isPieces() ? 16 : 64; // pieces are few, and each takes long
}

/// The queries of the weights that a field reads without others between; null where it reads none, or several.
static StringAttr outermostQuery(Value field) {
  StringAttr query;
  Operation *second = walkProducers(field, [&](Operation *op) -> WalkResult {
    Value weights;
    if (auto expect = dyn_cast<ExpectOp>(op))
      weights = expect.getWeights();
    else if (auto stat = dyn_cast<StatOp>(op))
      weights = stat.getWeights();
    if (!weights)
      return WalkResult::advance();
    StringAttr found = weights.getDefiningOp<WeightsOp>().getQueryAttr();
    if (query && query != found)
      return WalkResult::interrupt();
    query = found;
    return WalkResult::skip();
  });
  return second ? StringAttr() : query;
}

FailureOr<LaunchAxes> Derivation::axesOf(OutputOp output) {
  LaunchAxes axes;
  SmallVector<StringAttr> candidates, pieces;
  SmallVector<StringAttr> expanded = table.expand(toAxes(output.getDeclared()));
  // A grid whose tokens are pairs: the walked product is the axis of rows, and its parts are none of the batch.
  SmallVector<StringAttr> products(grids.begin(), grids.end());
  for (AxisAttr walk : table.getAxes())
    if (AxisAttr raw = walk.isWalk() ? table.lookup(walk.getRaw()) : AxisAttr(); raw && raw.isFactor())
      products.push_back(walk.getRaw());
  for (StringAttr product : products) {
    SmallVector<StringAttr> parts = table.expand(product);
    if (!llvm::all_of(parts, [&](StringAttr part) { return llvm::is_contained(expanded, part); }) ||
        llvm::is_contained(candidates, product))
      continue;
    candidates.push_back(product);
    llvm::erase_if(expanded, [&](StringAttr axis) { return llvm::is_contained(parts, axis); });
  }
  for (StringAttr axis : expanded) {
    AxisAttr entry = table.lookup(axis);
    if (entry && entry.isPieces() && (!isToken(axis) || reducesPairs(output.getValue(), axis)))
      pieces.push_back(axis);
    else if (isToken(axis))
      candidates.push_back(axis);
  }
  if (candidates.empty() && !pieces.empty())
    candidates.push_back(pieces.front());
  if (candidates.empty() && containsSum(output.getValue())) {
    SmallVector<StringAttr> inside, others;
    for (StringAttr axis : expanded)
      (isFeature(axis) ? inside : others).push_back(axis);
    if ((axes.row = rowsWithoutTokens(output.getValue(), others, inside))) {
      for (StringAttr axis : others)
        if (axis != axes.row)
          axes.batch.push_back(axis);
      axes.tile = inside.size() == 2 ? 64 : 16;
      return axes;
    }
  }
  if (candidates.empty())
    return output.emitError("the output '")
           << output.getName() << "' has no token axis; in this version each output has one, as in [B, T, H]";
  // Axes that are summed over, and that nothing walks: the rows are along the last.
  if (candidates.size() > 1 && llvm::none_of(table.getAxes(), [&](AxisAttr axis) {
        return (axis.isWalk() || axis.isKeys() || axis.isPieces()) &&
               llvm::any_of(axis.getOf(), [&](StringAttr of) { return llvm::is_contained(candidates, of); });
      }))
    candidates = {candidates.back()};
  if (candidates.size() > 2)
    return output.emitError("the output '") << output.getName() << "' has the token axes '" << candidates[0].getValue()
                                            << "', '" << candidates[1].getValue() << "' and '"
                                            << candidates[2].getValue() << "'; in this version it has at most two";
  // Two axes of tokens are pairs where one holds the keys of the other's queries. Else the rows are the queries of the
  // weights that the output reads first, and the other axis has one index per work item: windows one axis at a time.
  bool isPair =
      candidates.size() == 2 && llvm::none_of(table.getAxes(), [&](AxisAttr walk) {
        return walk.isWalk() && walk.getRaw() == walk.getQuery() && llvm::is_contained(candidates, walk.getRaw());
      });
  if (candidates.size() == 2 && !isPair)
    if (StringAttr query = outermostQuery(output.getValue()); llvm::is_contained(candidates, query))
      candidates = {query};
  axes.row = candidates.front();
  if (candidates.size() == 2)
    axes.keys = candidates.back();
  for (StringAttr axis : expanded)
    if (!llvm::is_contained(candidates, axis) && !isFeature(axis))
      axes.batch.push_back(axis);
  AxisAttr entry = table.lookup(axes.row);
  axes.tile = entry && entry.isPieces() ? rowTile(axes.row) : choices.queryTile;
  return axes;
}

LogicalResult Derivation::emitOutputs() {
  std::vector<std::pair<LaunchAxes, SmallVector<Store>>> groups;
  for (OutputOp output : attention.getOutputs()) {
    if (isCarriedAside(output))
      continue;
    Store store = storeOf(output);
    if (auto host = hosts.find(output); host != hosts.end()) {
      loops[host->second].stores.push_back(store);
      continue;
    }
    FailureOr<LaunchAxes> axes = axesOf(output);
    if (failed(axes))
      return failure();
    if (choices.pack)
      if ((axes->packed = packedAxis(*axes))) {
        llvm::erase(axes->batch, axes->packed);
        packed = {axes->row, axes->packed};
      }
    auto group = llvm::find_if(groups, [&](const auto &g) { return g.first == *axes; });
    if (group == groups.end()) {
      groups.emplace_back(*axes, SmallVector<Store>());
      group = std::prev(groups.end());
    }
    group->second.push_back(store);
  }
  for (auto &[axes, stores] : groups)
    if (choices.split) {
      if (failed(emitSplit(axes, stores)))
        return failure();
    } else if (failed(emitLaunch(uniqueName(kernelName(attention.getSymName())), axes.row, axes.batch, axes.tile,
                                 stores, nullptr, axes.keys, axes.packed)))
      return failure();
  return emitLoops();
}

Store Derivation::storeOf(OutputOp output) {
  Store store{output.getValue(), {}, toAxes(output.getDeclared()), storageType(output.getStorage()), output, {}};
  if (cast<FieldType>(output.getValue().getType()).isInt())
    store.elementType = IntegerType::get(context, 32);
  if (output.getCarry())
    for (InputOp input : attention.getInputs())
      if (input.getName() == output.getName())
        store.view = viewOf(input);
  if (!store.view)
    store.view = tensor(output.getName(), "output", store.declared, store.elementType);
  return store;
}

LogicalResult Derivation::statePreference() {
  preferShared();
  if (!choices.pack)
    return success();
  if (!packed.second)
    return attention.emitError("has no heads that share their keys");
  std::string tokens = sizeText(packed.first), heads = sizeText(packed.second);
  if (std::optional<int64_t> size = staticSize(packed.second))
    heads = std::to_string(*size);
  std::string tile = std::to_string(choices.queryTile);
  // Addresses of rows cost more: a tenth of the tiles must be saved.
  prefer("10 * ceildiv(" + tokens + " * " + heads + ", " + tile + ") <= 9 * " + heads + " * ceildiv(" + tokens + ", " +
             tile + ")",
         "heads that share their keys share tiles, since that takes fewer");
  return success();
}

void Derivation::prefer(const std::string &expression, const std::string &reason) {
  NamedAttrList with(program.getChoicesAttr());
  auto append = [&](StringRef key, const std::string &text, const std::string &joint, bool parentheses) {
    auto old = dyn_cast_or_null<StringAttr>(with.get(key));
    std::string all = old ? (parentheses ? "(" + old.str() + ")" : old.str()) + joint + text : text;
    with.set(key, StringAttr::get(context, all));
  };
  append("prefer", expression, " && ", true);
  append("reason", reason, "; ", false);
  program.setChoicesAttr(with.getDictionary(context));
}

FailureOr<tile::ProgramOp> Derivation::run() {
  if (failed(checkChoices()) || failed(checkDepth()))
    return failure();
  splitReductions();
  if (failed(classifyAxes()))
    return failure();
  splitValues();
  OpBuilder builder(context);
  builder.setInsertionPointAfter(attention);
  DictionaryAttr chosen =
      builder.getDictionaryAttr({builder.getNamedAttr("query_tile", builder.getI64IntegerAttr(choices.queryTile)),
                                 builder.getNamedAttr("key_tile", builder.getI64IntegerAttr(choices.keyTile))});
  if (choices.valueTile) {
    NamedAttrList with(chosen);
    with.append("value_tile", builder.getI64IntegerAttr(choices.valueTile));
    chosen = with.getDictionary(context);
  }
  // What the expansion of folds must know: products of f32 values are made there.
  std::string precision = hasF32Products() ? choices.precision : "";
  for (auto [key, text] :
       {std::pair("precision", &std::as_const(precision)), std::pair("entry", &std::as_const(choices.entry)),
        std::pair("guard", &std::as_const(choices.guard)), std::pair("prefer", &std::as_const(choices.prefer)),
        std::pair("reason", &std::as_const(choices.reason))})
    if (!text->empty()) {
      NamedAttrList with(chosen);
      with.append(key, builder.getStringAttr(*text));
      chosen = with.getDictionary(context);
    }
  program = tile::ProgramOp::create(builder, attention.getLoc(), attention.getSymNameAttr(), chosen);
  program.getBody().push_back(new Block);

  // Sizes and inputs first, in the order of the text, so that the interface reads like the specification.
  for (AxisAttr axis : table.getAxes())
    if ((axis.getRelation() == Relation::Plain || axis.isKeys()) && !staticSize(axis.getName()))
      (void)sizeOf(axis.getName());
  for (InputOp input : attention.getInputs())
    (void)viewOf(input);
  if (failed(planStates()) || failed(emitOutputs()) || failed(emitPrepared()) || failed(emitKept()) ||
      failed(emitCarried()) || failed(statePreference())) {
    program.erase();
    return failure();
  }
  return program;
}
