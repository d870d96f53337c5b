// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Promises of callers, element by element: see Promises.h.
#include "frontend/driver/Promises.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OwningOpRef.h"
#include "runtime/host/Promises.h"

#include <set>

using namespace mlir;

namespace fovea::driver {

using Sizes = std::map<std::string, int64_t, std::less<>>;

/// Bounds that are not known, as those by a scalar param without a default, do not count.
static runtime::ElementRange rangeOf(const sema::Attention &attention, const sema::Contract &contract,
                                     const Sizes &sizes) {
  auto valueIn = [&](const std::optional<sema::Bound> &bound) -> std::optional<double> {
    if (!bound)
      return std::nullopt;
    return bound->value ? bound->value : valueOf(attention, bound->node, sizes);
  };
  return {valueIn(contract.lower), valueIn(contract.upper), contract.lower && contract.lower->open,
          contract.upper && contract.upper->open};
}

static Status checkContract(const sema::Attention &attention, const sema::Declaration &declaration, const Sizes &sizes,
                            const reference::Tensor &array) {
  std::vector<std::string> axes;
  for (sema::AxisId axis : declaration.declaredAxes)
    axes.push_back(attention.axes[axis].name);
  return runtime::checkRange(declaration.name, rangeOf(attention, *declaration.contract, sizes), array.shape, axes,
                             [&](int64_t i) { return array.data[static_cast<size_t>(i)]; });
}

static Status checkDecays(attn::AttentionOp op, const reference::AxisSizes &sizes, const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(op->clone());
  llvm::SmallVector<attn::StateOp> states;
  for (auto state : copy->getBody().getOps<attn::StateOp>())
    if (state.getDecay())
      states.push_back(state);
  if (states.empty())
    return {};
  for (attn::OutputOp output : copy->getOutputs())
    output.erase();
  OpBuilder builder = OpBuilder::atBlockEnd(&copy->getBody().front());
  for (auto [n, state] : llvm::enumerate(states)) {
    Value decay = state.getDecay();
    if (Value takesPart = state.getWhere())
      decay = attn::SelectOp::create(builder, state.getLoc(), takesPart, decay,
                                     attn::ConstantOp::create(builder, state.getLoc(), 0.0));
    llvm::SmallVector<StringRef> axes;
    for (StringAttr axis : llvm::cast<attn::FieldType>(decay.getType()).getAxes())
      axes.push_back(axis);
    attn::OutputOp::create(builder, state.getLoc(), "decay" + std::to_string(n), decay, axes);
  }
  llvm::Expected<reference::Tensors> decays = reference::evaluate(*copy, sizes, inputs);
  if (!decays)
    return Error{ErrorCode::Internal, llvm::toString(decays.takeError())};
  for (auto output : copy->getBody().getOps<attn::OutputOp>()) {
    const reference::Tensor &decay = (*decays)[output.getName().str()];
    std::vector<std::string> axes;
    for (StringAttr axis : llvm::cast<attn::FieldType>(output.getValue().getType()).getAxes())
      axes.push_back(axis.getValue().str());
    for (size_t i = 0; i < decay.data.size(); ++i) {
      if (decay.data[i] <= 1e-9) // an expression that is 0 may be a rounding above
        continue;
      std::string where = "?";
      output.getLoc()->walk([&](Location inner) {
        auto place = llvm::dyn_cast<FileLineColLoc>(inner);
        if (!place)
          return WalkResult::advance();
        where =
            place.getFilename().str() + ":" + std::to_string(place.getLine()) + ":" + std::to_string(place.getColumn());
        return WalkResult::interrupt();
      });
      return Error{ErrorCode::InvalidArgument, "a decay is " + runtime::numberText(decay.data[i]) + " at " +
                                                   runtime::placeText(static_cast<int64_t>(i), decay.shape, axes) +
                                                   ", of the recurrence at " + where +
                                                   "; decays are logarithms, at most 0"};
    }
  }
  return {};
}

/// Inputs that are decays as they stand, of recurrences in which every token takes part.
static std::set<sema::NodeId> decayInputs(const sema::Attention &attention) {
  std::set<sema::NodeId> inputs;
  for (const sema::Node &node : attention.nodes) {
    if (node.op != sema::Op::State || !node.hasDecay || node.hasWhere)
      continue;
    sema::NodeId decay = node.operands[2];
    while (attention.nodes[decay].op == sema::Op::Rename)
      decay = attention.nodes[decay].operands[0];
    if (attention.nodes[decay].op == sema::Op::Input)
      inputs.insert(decay);
  }
  return inputs;
}

Status checkPromises(const sema::Attention &attention, attn::AttentionOp op, const reference::AxisSizes &sizes,
                     const reference::Tensors &inputs) {
  const Sizes known(sizes.begin(), sizes.end());
  for (const sema::Declaration &declaration : attention.declarations) {
    auto array = inputs.find(declaration.name);
    if (declaration.contract && array != inputs.end())
      if (Status status = checkContract(attention, declaration, known, array->second); !status)
        return status;
  }
  return checkDecays(op, sizes, inputs);
}

std::vector<runtime::PlanPromise> promisesOf(const sema::Attention &attention, const sema::Storage *layout,
                                             const runtime::Plan &interface) {
  std::vector<runtime::PlanPromise> promises;
  std::set<std::string> known;
  if (layout)
    for (const sema::Ragged &ragged : layout->ragged)
      if (known.insert(ragged.offsets).second)
        promises.push_back({ragged.offsets, ragged.total, attention.axes[ragged.most].name, {}, {}});
  Sizes sizes;
  for (const sema::Axis &axis : attention.axes)
    if (axis.size)
      sizes[axis.name] = *axis.size;
  std::set<sema::NodeId> decays = decayInputs(attention);
  for (const sema::Declaration &declaration : attention.declarations) {
    const runtime::PlanTensor *tensor = interface.findTensor(declaration.name);
    if (!tensor || !runtime::isRead(tensor->role))
      continue;
    runtime::ElementRange range;
    if (declaration.contract)
      range = rangeOf(attention, *declaration.contract, sizes);
    if (decays.count(declaration.node) && !range.most)
      range.most = 0, range.below = false;
    if (range.least || range.most)
      promises.push_back({declaration.name, {}, {}, range.least, range.most, range.above, range.below});
  }
  return promises;
}

} // namespace fovea::driver
