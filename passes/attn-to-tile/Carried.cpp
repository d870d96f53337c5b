// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Carried memory that is no state: the last inputs of a convolution, the last of running sums. It is written by
// launches behind all others, which may begin with it. What it held is read again where a call is shorter than what is
// carried: then all places that are read at others lie in one work item.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

bool Derivation::isCarriedAside(OutputOp output) {
  return output.getCarry() && !output.getValue().getDefiningOp<LastOp>();
}

/// The axis along which carried memory is read at other places than it is written; null where there is none.
static StringAttr movedAxis(OutputOp output) {
  SmallVector<Operation *> todo{output.getValue().getDefiningOp()};
  llvm::SmallPtrSet<Operation *, 8> seen;
  while (!todo.empty()) {
    Operation *op = todo.pop_back_val();
    if (!op || !seen.insert(op).second)
      continue;
    if (auto gather = dyn_cast<GatherOp>(op))
      if (auto input = gather.getOperand().getDefiningOp<InputOp>(); input && input.getName() == output.getName())
        return gather.getAxisAttr();
    for (Value operand : op->getOperands())
      todo.push_back(operand.getDefiningOp());
  }
  return {};
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
