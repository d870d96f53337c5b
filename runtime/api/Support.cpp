// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A refused call is mended step by step: target, tensors that are missing, types, sizes, and at last strides and
// alignment. What was changed until the plan takes it is the nearest legal call.
#include "runtime/api/Support.h"

#include "runtime/host/Array.h"

#include <algorithm>

namespace fovea::runtime::api {

namespace {

using Shapes = std::map<std::string, std::vector<int64_t>, std::less<>>;

std::string describe(const PlanTensor &tensor, const TensorView &view) {
  return "`" + tensor.name + "`: " + typeName(view.type) + " " + shapeText(view.shape);
}

/// Shapes that agree with each other and with the plan, as near to those given as the order of the tensors allows.
std::optional<AxisSizes> agreeingSizes(const Plan &plan, const std::vector<TensorView> &views) {
  Shapes accepted;
  for (size_t i = 0; i < views.size(); ++i) {
    const PlanTensor &tensor = plan.tensors[i];
    if (!views[i].present || views[i].shape.size() != tensor.dims.size())
      continue;
    std::vector<int64_t> shape = views[i].shape;
    for (size_t d = 0; d < shape.size(); ++d)
      if (tensor.dims[d].factors.size() == 1)
        if (const PlanAxis *axis = plan.findAxis(tensor.dims[d].factors[0]); axis && axis->staticSize)
          shape[d] = *axis->staticSize;
    accepted[tensor.name] = shape;
    if (!inferAxes(plan, accepted))
      accepted.erase(tensor.name);
  }
  Result<AxisSizes> axes = inferAxes(plan, accepted);
  return axes ? std::optional(std::move(*axes)) : std::nullopt;
}

} // namespace

Support supports(const Plan &plan, const std::vector<TensorView> &views, const DeviceFacts &facts) {
  Support answer;
  Result<ResolvedCall> call = resolveCall(plan, views, facts);
  if (call) {
    answer.entry = call->entry;
    answer.reason = plan.entries[call->entry].reason;
    return answer;
  }
  answer.reason = call.error().message;

  std::vector<std::string> changes;
  DeviceFacts mendedFacts = facts;
  if (!checkTarget(plan, facts)) {
    mendedFacts.smVersion = 0;
    std::string here = "sm_" + std::to_string(facts.smVersion);
    bool exact = plan.target.ends_with("a");
    changes.push_back(targetFits(plan, facts) ? "a plan with PTX or with machine code for " + here
                                              : "a device of " + plan.target + (exact ? "" : " or later") +
                                                    ", or a plan that is compiled for " + here);
  }
  std::vector<TensorView> mended = views;
  std::optional<AxisSizes> axes = agreeingSizes(plan, views);
  if (!axes)
    return answer;
  std::vector<size_t> changed;
  for (size_t i = 0; i < mended.size(); ++i) {
    const PlanTensor &tensor = plan.tensors[i];
    TensorView &view = mended[i];
    if (!view.present && tensor.optional)
      continue;
    Result<std::vector<int64_t>> shape = tensorShape(plan, tensor, *axes);
    if (!shape)
      return answer;
    if (view.present && view.type == tensor.type && view.shape == *shape && view.strides.size() == shape->size())
      continue;
    view = {tensor.type, *shape, contiguousStrides(*shape), 0, true};
    changed.push_back(i);
  }
  for (size_t i : changed)
    changes.push_back(describe(plan.tensors[i], mended[i]));
  call = resolveCall(plan, mended, mendedFacts);
  for (size_t i = 0; !call && i < mended.size(); ++i) {
    TensorView &view = mended[i];
    if (!view.present)
      continue;
    std::vector<int64_t> strides = contiguousStrides(view.shape);
    if (view.strides == strides && view.address % 256 == 0)
      continue;
    changes.push_back("`" + plan.tensors[i].name + "`: " + (view.strides == strides ? "" : "without gaps, ") +
                      "at an address that is a multiple of 256");
    view.strides = std::move(strides);
    view.address = 0;
    call = resolveCall(plan, mended, mendedFacts);
  }
  if (!call || changes.empty())
    return answer;
  for (const std::string &change : changes)
    answer.nearest += (answer.nearest.empty() ? "" : "; ") + change;
  return answer;
}

} // namespace fovea::runtime::api
