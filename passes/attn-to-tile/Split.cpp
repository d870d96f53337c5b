// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Keys in parts, for few queries and many keys (Dao et al., "Flash-Decoding for long-context inference", 2023): a
// launch folds each part on its own and keeps the row states in workspaces of f32, a second launch merges them in
// order, so that results do not depend on which part is done first, and computes all that follows from a state. A part
// without keys has the state of a row without keys.
#include "passes/attn-to-tile/Fold.h"

#include <numbers>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

namespace {
// A part has at least this many tiles of keys: else merging costs more than it brings.
constexpr int64_t kLeastTiles = 4;
constexpr int64_t kMostSplits = 64;
// Where the number may depend on lengths alone.
constexpr int64_t kInvariantTiles = 8, kMostInvariantSplits = 16;
} // namespace

//===--- the program ---===//

LogicalResult Derivation::emitSplit(const LaunchAxes &axes, ArrayRef<Store> stores) {
  if (axes.keys)
    return attention.emitError("has outputs of pairs, whose keys are not folded and cannot be split");
  StringAttr keys;
  for (auto weights : attention.getBody().front().getOps<WeightsOp>())
    keys = keys ? keys : rawOf(weights.getOverAttr());
  if (!keys)
    return attention.emitError("has no weights whose keys could be split");
  if (!splitsName.empty())
    return attention.emitError("has outputs on different axes; in this version one launch is split");
  splitsName = "splits";
  while (table.lookup(StringRef(splitsName)))
    splitsName += "_";

  // How many parts, as a value and as text for the plan.
  Location loc = attention.getLoc();
  auto at = [&](auto make) -> Value {
    OpBuilder builder = head();
    return make(builder);
  };
  auto text = [&](StringAttr axis) {
    if (std::optional<int64_t> size = staticSize(axis))
      return std::to_string(*size);
    SmallVector<StringAttr> factors = table.expand(rawOf(axis));
    std::string product =
        llvm::join(llvm::map_range(factors, [&](StringAttr factor) { return sizeText(factor); }), " * ");
    return factors.size() > 1 ? "(" + product + ")" : product;
  };
  auto ceilDiv = [&](Value x, int64_t y) {
    Value step = indexConstant(y);
    return at([&](OpBuilder &b) { return arith::CeilDivUIOp::create(b, loc, x, step).getResult(); });
  };
  auto least = [&](Value x, Value y) {
    return at([&](OpBuilder &b) { return arith::MinUIOp::create(b, loc, x, y).getResult(); });
  };
  Value rows = axes.packed ? productOf(axes.row, axes.packed) : sizeOf(axes.row);
  std::string rowText = text(axes.row) + (axes.packed ? " * " + text(axes.packed) : "");
  std::string rowTiles = "ceildiv(" + rowText + ", " + std::to_string(axes.tile) + ")";
  int64_t partTiles = choices.batchInvariant ? kInvariantTiles : kLeastTiles;
  int64_t partKeys = partTiles * choices.keyTile;
  std::string possible = "ceildiv(" + text(keys) + ", " + std::to_string(partKeys) + ")";
  Value number = ceilDiv(sizeOf(keys), partKeys);
  number = least(number, indexConstant(choices.batchInvariant ? kMostInvariantSplits : kMostSplits));
  if (choices.batchInvariant) {
    prefer(possible + " >= 2 * " + rowTiles + " && " + possible + " >= 2",
           "keys in parts, since there are many of them for few queries");
  } else {
    Value items = ceilDiv(rows, axes.tile);
    std::string itemText = rowTiles;
    for (StringAttr axis : axes.batch) {
      Value size = sizeOf(axis);
      items = at([&](OpBuilder &b) { return arith::MulIOp::create(b, loc, items, size).getResult(); });
      itemText = text(axis) + " * " + itemText;
    }
    if (StringAttr features = splitAxis(stores)) {
      int64_t count = llvm::divideCeil(*staticSize(features), choices.valueTile);
      Value size = indexConstant(count);
      items = at([&](OpBuilder &b) { return arith::MulIOp::create(b, loc, items, size).getResult(); });
      itemText = std::to_string(count) + " * " + itemText;
    }
    Value each = indexConstant(choices.itemsPerSm);
    Value slots = at([&](OpBuilder &b) { return tile::DeviceSmsOp::create(b, loc, b.getIndexType()).getResult(); });
    slots = at([&](OpBuilder &b) { return arith::MulIOp::create(b, loc, slots, each).getResult(); });
    Value free = at([&](OpBuilder &b) { return arith::DivUIOp::create(b, loc, slots, items).getResult(); });
    number = least(number, free);
    prefer("min(device.sms * " + std::to_string(choices.itemsPerSm) + " / (" + itemText + "), " + possible + ") >= 2",
           "keys in parts, since there are too few work items for the device otherwise");
  }
  Value one = indexConstant(1);
  number = at([&](OpBuilder &b) { return arith::MaxUIOp::create(b, loc, number, one).getResult(); });
  Value splits = at([&](OpBuilder &b) {
    return tile::ComputedAxisOp::create(b, loc, b.getIndexType(), b.getStringAttr(splitsName), number).getResult();
  });

  std::string name = kernelName(attention.getSymName());
  FailureOr<OpenLaunch> parts = openLaunch(uniqueName(name + "_parts"), axes.row, axes.batch, axes.tile, stores,
                                           nullptr, {}, axes.packed, splits);
  FailureOr<OpenLaunch> merge =
      openLaunch(uniqueName(name), axes.row, axes.batch, axes.tile, stores, nullptr, {}, axes.packed);
  if (failed(parts) || failed(merge))
    return failure();
  LaunchEmitter folding(*this, *parts), merging(*this, *merge);
  folding.foldPart(splits, stores);
  merging.mergeParts(folding, splits);
  enter(merge->op);
  LogicalResult result = merging.emit(stores);
  leave();
  if (succeeded(result) && !merging.hasFolds())
    return attention.emitError("has an output without weights, whose keys cannot be split");
  return result;
}

Value Derivation::stateOf(tile::LaunchOp launch, const Coordinate *row, int64_t width, StringRef name) {
  SmallVector<Attribute> dims;
  SmallVector<int64_t> shape;
  auto add = [&](const std::string &text, std::optional<int64_t> size) {
    dims.push_back(StringAttr::get(context, size ? std::to_string(*size) : text));
    shape.push_back(size.value_or(ShapedType::kDynamic));
  };
  auto axes = launch.getAxes().getAsRange<StringAttr>();
  SmallVector<StringAttr> names(axes.begin(), axes.end());
  for (auto [axis, extent] : llvm::zip(ArrayRef(names).drop_back(), launch.getExtents())) {
    APInt size;
    bool known = matchPattern(extent, m_ConstantInt(&size));
    add(axis == splitsName ? splitsName : sizeText(axis), known ? std::optional(size.getSExtValue()) : std::nullopt);
  }
  std::string rows;
  std::optional<int64_t> count = 1;
  SmallVector<StringAttr> parts;
  if (row->shares[0])
    parts = {row->shares[0]->axis, row->shares[1]->axis};
  else
    parts = {row->axis};
  for (StringAttr axis : parts) {
    std::optional<int64_t> size = staticSize(axis);
    rows += (rows.empty() ? "" : "*") + (size ? std::to_string(*size) : sizeText(axis));
    count = count && size ? std::optional(*count * *size) : std::nullopt;
  }
  add(rows, count);
  if (width)
    add("", width);
  OpBuilder builder = head();
  return tile::WorkspaceOp::create(builder, attention.getLoc(),
                                   tile::ViewType::get(context, shape, builder.getF32Type()),
                                   builder.getStringAttr(uniqueName(name.str())), builder.getArrayAttr(dims));
}

//===--- the launches ---===//

Value LaunchEmitter::sliceOf(Value domain, Location loc) {
  OpBuilder builder = builderFor({});
  Value count = tile::DomainCountOp::create(builder, loc, builder.getIndexType(), domain);
  Value each = arith::CeilDivUIOp::create(builder, loc, count, splits);
  Value first = arith::MulIOp::create(builder, loc, split, each);
  return tile::DomainSliceOp::create(builder, loc, domain.getType(), domain, first, each);
}

FailureOr<Environment> LaunchEmitter::translate(const Environment &other, Operation *at) {
  Environment result;
  for (auto [axis, coordinate] : other.all()) {
    const Coordinate *here = nullptr;
    for (auto [name, from] : partial->env.all())
      if (from == coordinate)
        here = env.lookup(name);
    if (!here && coordinate->kind == Coordinate::Kind::Feature && !coordinate->base)
      here = coordinate;
    if (!here && coordinate == partial->row)
      here = row;
    if (!here)
      return at->emitError("has a factor at a place of '")
             << axis.getValue() << "' that the launch which merges parts does not know";
    result.set(axis, here);
  }
  return result;
}

FailureOr<LaunchEmitter::Fold *> LaunchEmitter::mergeFold(WeightsOp op) {
  derivation.enter(partial->launch);
  FailureOr<Fold *> folded = partial->fold(op, partial->env);
  derivation.leave();
  if (failed(folded))
    return failure();
  auto result = std::make_shared<Fold>(**folded);
  result->inverse = {};
  result->rows = {dimensionOf(row)};
  for (auto &entry : result->terms)
    for (Product::Factor &factor : entry.second.factors) {
      FailureOr<Environment> here = translate(factor.env, entry.first);
      if (failed(here))
        return failure();
      factor.env = *here;
    }

  // The states of the parts. A sum without maximum needs none.
  Location loc = op.getLoc();
  SmallVector<Value> states;
  if (!result->isFree)
    states.push_back((*folded)->max);
  states.push_back((*folded)->sum);
  states.append((*folded)->accumulators);
  SmallVector<Value> views;
  OpBuilder inner = partial->builderFor({});
  for (auto [n, state] : llvm::enumerate(states)) {
    auto type = cast<RankedTensorType>(state.getType());
    size_t first = result->isFree ? 1 : 2;
    std::string name = !result->isFree && n == 0 ? "max" : n + 1 == first ? "sum" : "accumulator";
    Value view =
        derivation.stateOf(partial->launch, partial->row, type.getRank() == 2 ? type.getDimSize(1) : 0, "part_" + name);
    SmallVector<Value> indices(partial->items);
    SmallVector<int64_t> dims{int64_t(indices.size())};
    indices.push_back(partial->row->base);
    if (type.getRank() == 2) {
      dims.push_back(indices.size());
      indices.push_back(zeroIndex());
    }
    tile::StoreOp::create(inner, loc, state, view, indices, dims);
    views.push_back(view);
  }

  OpBuilder builder = builderFor({});
  auto constant = [&](Type type, double value) { return emitConstant(builder, loc, type, value); };
  double none = -std::numeric_limits<double>::infinity();
  SmallVector<Value> init;
  for (auto [n, state] : llvm::enumerate(states))
    init.push_back(constant(state.getType(), !result->isFree && n == 0 ? none : 0));
  // The sum over keys of base-2 exponentials, as in the fold.
  Type rowType = init[0].getType();
  Value exponent = constant(rowType, float(result->scale * std::numbers::log2e));
  Value zero = constant(rowType, 0), empty = constant(rowType, none);
  auto loop = scf::ForOp::create(builder, loc, zeroIndex(), partCount, derivation.indexConstant(1), init);
  builder.setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> part;
  size_t splitPlace = llvm::find(partial->items, partial->split) - partial->items.begin();
  for (auto [view, state] : llvm::zip(views, states)) {
    auto type = cast<RankedTensorType>(state.getType());
    SmallVector<Value> indices(items);
    indices.insert(indices.begin() + splitPlace, loop.getInductionVar());
    SmallVector<int64_t> dims{int64_t(indices.size())};
    indices.push_back(row->base);
    if (type.getRank() == 2) {
      dims.push_back(indices.size());
      indices.push_back(zeroIndex());
    }
    part.push_back(tile::LoadOp::create(builder, loc, type, view, indices, Value(), dims,
                                        cast<TypedAttr>(builder.getZeroAttr(builder.getF32Type()))));
  }
  ValueRange old = loop.getRegionIterArgs();
  SmallVector<Value> next;
  if (result->isFree) {
    for (auto [x, y] : llvm::zip(old, part))
      next.push_back(arith::AddFOp::create(builder, loc, x, y));
  } else {
    Value max = arith::MaxNumFOp::create(builder, loc, old[0], part[0]);
    Value isEmpty = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OEQ, max, empty);
    Value base = arith::SelectOp::create(builder, loc, isEmpty, zero, max); // -inf - -inf would be NaN
    auto decay = [&](Value from) -> Value {
      Value difference = arith::SubFOp::create(builder, loc, from, base);
      return math::Exp2Op::create(builder, loc, arith::MulFOp::create(builder, loc, difference, exponent));
    };
    Value keep = decay(old[0]), add = decay(part[0]);
    next.push_back(max);
    for (size_t n = 1; n < states.size(); ++n) {
      auto type = cast<RankedTensorType>(states[n].getType());
      Value kept = keep, added = add;
      if (type.getRank() == 2) {
        kept = tile::BroadcastOp::create(builder, loc, type, keep, ArrayRef<int64_t>{0});
        added = tile::BroadcastOp::create(builder, loc, type, add, ArrayRef<int64_t>{0});
      }
      Value scaled = arith::MulFOp::create(builder, loc, part[n], added);
      next.push_back(math::FmaOp::create(builder, loc, old[n], kept, scaled));
    }
  }
  scf::YieldOp::create(builder, loc, next);

  ValueRange merged = loop.getResults();
  if (result->isFree) {
    OpBuilder after = builderFor({});
    result->max = emitConstant(after, loc, rowType, 0);
  } else {
    result->max = merged[0];
    merged = merged.drop_front();
  }
  result->sum = merged[0];
  result->accumulators.assign(merged.begin() + 1, merged.end());
  return (folds[op] = result).get();
}
