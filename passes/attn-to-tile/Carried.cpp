// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Carried memory that is written by launches behind all others, which may begin with it: the last inputs of a
// convolution, the last of running sums, and states that several work items of a launch begin with. What a
// convolution's held is read again where a call is shorter than what is carried: then all places that are read at
// others lie in one work item.
#include "passes/attn-to-tile/Derivation.h"
#include "passes/attn-to-tile/Producers.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

bool Derivation::isCarriedAside(OutputOp output) {
  return output.getCarry() && !output.getValue().getDefiningOp<LastOp>();
}

/// The axis along which carried memory is read at other places than it is written; null where there is none.
static StringAttr movedAxis(OutputOp output) {
  Operation *moved = findProducer(output.getValue(), [&](Operation *op) {
    auto gather = dyn_cast<GatherOp>(op);
    auto input = gather ? gather.getOperand().getDefiningOp<InputOp>() : InputOp();
    return input && input.getName() == output.getName();
  });
  return moved ? cast<GatherOp>(moved).getAxisAttr() : StringAttr();
}

LogicalResult Derivation::emitCarried() {
  constexpr int64_t kRows = 16;
  std::vector<std::pair<LaunchAxes, SmallVector<Store>>> groups;
  for (OutputOp output : attention.getOutputs()) {
    if (!isCarriedAside(output))
      continue;
    LaunchAxes axes;
    axes.tile = kRows;
    SmallVector<StringAttr> outside;
    for (StringAttr axis : table.expand(toAxes(output.getDeclared())))
      if (!isFeature(axis))
        outside.push_back(axis);
    axes.row = movedAxis(output);
    if (axes.row) {
      std::optional<int64_t> size = staticSize(axes.row);
      if (!size || isFeature(axes.row))
        return output.emitError("carries along '")
               << axes.row.getValue() << "', which must be an axis of its own of known size";
      axes.tile = llvm::alignTo(*size, kRows);
    } else if (!outside.empty()) {
      axes.row = outside.back();
    } else {
      return output.emitError("the carried memory '")
             << output.getName() << "' has no axis but features; that is not in this version";
    }
    for (StringAttr axis : outside)
      if (axis != axes.row)
        axes.batch.push_back(axis);
    auto group = llvm::find_if(groups, [&](const auto &g) { return g.first == axes; });
    if (group == groups.end()) {
      groups.emplace_back(axes, SmallVector<Store>());
      group = std::prev(groups.end());
    }
    group->second.push_back(storeOf(output));
  }
  for (auto &[axes, stores] : groups) {
    std::string name = "carry_" + cast<OutputOp>(stores.front().at).getName().str();
    if (failed(emitLaunch(uniqueName(kernelName(name)), axes.row, axes.batch, axes.tile, stores, nullptr)))
      return failure();
  }
  return success();
}

/// Carried memory that several work items begin with must not change before all have read it: its last value is kept
/// in a workspace, from where a launch at the end copies it.
void Derivation::keepAside(Store &store) {
  SmallVector<std::string> dims;
  Type type = viewType(store.declared, store.elementType, dims);
  SmallVector<Attribute> names;
  for (StringAttr axis : store.declared)
    names.push_back(StringAttr::get(context, sizeText(axis)));
  OpBuilder builder = head();
  Value aside =
      tile::WorkspaceOp::create(builder, store.at->getLoc(), type,
                                builder.getStringAttr(uniqueName(cast<OutputOp>(store.at).getName().str() + "_next")),
                                builder.getArrayAttr(names));
  kept.push_back({aside, store});
  store.view = aside;
}

LogicalResult Derivation::emitKept() {
  constexpr int64_t kRows = 16; // of the first axis inside tiles, where there are two
  for (auto &[from, store] : kept) {
    Location loc = store.at->getLoc();
    auto state = store.field.getDefiningOp<LastOp>().getState().getDefiningOp<StateOp>();
    SmallVector<Value> extents;
    SmallVector<Attribute> axes;
    SmallVector<int64_t> dims, shape, itemOf; // itemOf: by dimension, the index of the work item, or -1
    auto addItem = [&](Value extent, StringAttr axis) {
      itemOf.push_back(extents.size());
      extents.push_back(extent);
      axes.push_back(axis);
    };
    unsigned inside = state.getValueAxisAttr() ? 2 : 1;
    for (auto [n, axis] : llvm::enumerate(store.declared)) {
      if (axis != state.getKeyAxisAttr() && axis != state.getValueAxisAttr()) {
        addItem(sizeOf(axis), axis);
        continue;
      }
      int64_t size = *staticSize(axis);
      dims.push_back(n);
      bool inRows = inside == 2 && dims.size() == 1;
      shape.push_back(inRows ? kRows : llvm::alignTo(size, 16));
      if (inRows)
        addItem(indexConstant(llvm::divideCeil(size, kRows)), axis);
      else
        itemOf.push_back(-1);
    }
    if (extents.empty()) {
      extents.push_back(indexConstant(1));
      axes.push_back(StringAttr::get(context, "one"));
    }
    OpBuilder builder(context);
    builder.setInsertionPointToEnd(&program.getBody().front());
    auto launch = tile::LaunchOp::create(
        builder, loc, builder.getStringAttr(uniqueName(kernelName("keep_" + cast<OutputOp>(store.at).getName()))),
        builder.getArrayAttr(axes), extents, DictionaryAttr());
    Block *block = new Block;
    launch.getBody().push_back(block);
    for (size_t n = 0; n < extents.size(); ++n)
      block->addArgument(builder.getIndexType(), loc);
    SmallVector<Value> indices;
    builder.setInsertionPointToEnd(block);
    for (auto [n, item] : llvm::enumerate(itemOf)) {
      if (item < 0) {
        indices.push_back(indexConstant(0));
        continue;
      }
      Value index = block->getArgument(item);
      if (llvm::is_contained(dims, int64_t(n)))
        index = arith::MulIOp::create(builder, loc, index, indexConstant(kRows));
      indices.push_back(index);
    }
    Type type = RankedTensorType::get(shape, store.elementType);
    Value tile = tile::LoadOp::create(builder, loc, type, from, indices, Value(), dims,
                                      cast<TypedAttr>(builder.getZeroAttr(store.elementType)));
    tile::StoreOp::create(builder, loc, tile, store.view, indices, dims);
  }
  return success();
}
