// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Promises of callers, element by element: see Promises.h.
#include "frontend/driver/Promises.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OwningOpRef.h"
#include "runtime/host/Compare.h"
#include "runtime/host/Execute.h"

#include <cmath>
#include <cstdio>

using namespace mlir;

namespace fovea::driver {

using Sizes = std::map<std::string, int64_t, std::less<>>;

static std::string number(double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", x);
  return buffer;
}

static std::string placeOf(int64_t index, const std::vector<int64_t> &shape, const std::vector<std::string> &axes) {
  std::string text;
  std::vector<int64_t> at = runtime::coordinates(index, shape);
  for (size_t i = 0; i < at.size(); ++i)
    text += (i ? ", " : "") + axes[i] + "=" + std::to_string(at[i]);
  return "[" + text + "]";
}

static Status checkContract(const sema::Attention &attention, const sema::Declaration &declaration, const Sizes &sizes,
                            const reference::Tensor &array) {
  auto valueIn = [&](const std::optional<sema::Bound> &bound) -> std::optional<double> {
    if (!bound)
      return std::nullopt;
    return bound->value ? bound->value : valueOf(attention, bound->node, sizes);
  };
  const std::optional<sema::Bound> &least = declaration.contract->lower, &most = declaration.contract->upper;
  std::optional<double> lower = valueIn(least), upper = valueIn(most);
  std::string range;
  if (lower)
    range = std::string(least->open ? "above " : "at least ") + number(*lower);
  if (upper)
    range += (lower ? " and " : "") + std::string(most->open ? "below " : "at most ") + number(*upper);
  std::vector<std::string> axes;
  for (sema::AxisId axis : declaration.declaredAxes)
    axes.push_back(attention.axes[axis].name);
  for (size_t i = 0; i < array.data.size(); ++i) {
    double x = array.data[i];
    bool holds = !std::isnan(x) && (!lower || (least->open ? x > *lower : x >= *lower)) &&
                 (!upper || (most->open ? x < *upper : x <= *upper));
    if (!holds && (lower || upper))
      return Error{ErrorCode::InvalidArgument, "'" + declaration.name + "' breaks its contract at " +
                                                   placeOf(static_cast<int64_t>(i), array.shape, axes) + ": it is " +
                                                   number(x) + ", and is to be " + range};
  }
  return {};
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
      return Error{ErrorCode::InvalidArgument, "a decay is " + number(decay.data[i]) + " at " +
                                                   placeOf(static_cast<int64_t>(i), decay.shape, axes) +
                                                   ", of the recurrence at " + where +
                                                   "; decays are logarithms, at most 0"};
    }
  }
  return {};
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

} // namespace fovea::driver
