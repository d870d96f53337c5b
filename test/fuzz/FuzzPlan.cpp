// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fuzz target of the plan reader. An input goes in as it is and once more with its content hash mended, since otherwise
// the hash would stop every change. What is read as a plan must be written again, and be resolved or refused.
#include "runtime/abi/Hash.h"
#include "runtime/abi/Plan.h"
#include "runtime/abi/StrictJson.h"
#include "runtime/host/BoundCall.h"
#include "runtime/host/Execute.h"
#include "runtime/host/SelfTest.h"

#include <cstdio>
#include <cstdlib>

using namespace fovea;
using namespace fovea::runtime;

namespace {

void use(const Plan &plan) {
  Result<std::string> text = planToText(plan);
  Result<Plan> again = text ? parsePlan(*text, nullptr) : Result<Plan>(text.error());
  if (!again || *planToText(*again) != *text) {
    std::fprintf(stderr, "a plan does not survive writing and reading\n");
    std::abort();
  }
  AxisSizes axes;
  int64_t size = 1;
  for (const PlanAxis &axis : plan.axes)
    axes[axis.name] = axis.staticSize.value_or(size++);
  std::vector<TensorView> views;
  DeviceAddress next = 256;
  for (const PlanTensor &tensor : plan.tensors) {
    Result<std::vector<int64_t>> shape = tensorShape(plan, tensor, axes);
    if (!shape)
      return;
    std::vector<int64_t> strides = contiguousStrides(*shape);
    views.push_back({tensor.type, std::move(*shape), std::move(strides), next});
    next += DeviceAddress{1} << 48; // beyond any tensor
  }
  DeviceFacts facts;
  facts.sms = 108;
  // A bound call decides as the slow way does, and its bounds hold for the sizes at hand.
  auto bound = BoundCall::bind(plan, facts);
  auto compare = [&] {
    if (!bound)
      return;
    std::vector<CallTensor> tensors;
    for (const TensorView &view : views)
      tensors.push_back({view.type, view.present, static_cast<uint32_t>(view.shape.size()), view.shape.data(),
                         view.strides.data(), view.address});
    CallChoice choice;
    bool resolved = bound->resolve(tensors.data(), choice);
    Result<ResolvedCall> slow = resolveCall(plan, views, facts);
    if (slow && checkOverlaps(plan, tensors) && (!resolved || choice.entry != slow->entry)) {
      std::fprintf(stderr, "a bound call decides differently\n");
      std::abort();
    }
    if (!slow)
      return;
    std::vector<ExprRange> ranges;
    std::vector<bool> present;
    for (const PlanAxis &axis : plan.axes) {
      auto it = slow->axes.find(axis.name);
      ranges.push_back(it == slow->axes.end() ? ExprRange{-1, -1} : ExprRange{it->second, it->second});
    }
    for (const TensorView &view : views)
      present.push_back(view.present);
    Result<int64_t> most = bound->workspaceBound(ranges, present);
    if (resolved && most && *most < choice.workspaceBytes) {
      std::fprintf(stderr, "a bound of a workspace does not hold\n");
      std::abort();
    }
  };
  compare();
  for (size_t e = 0; e <= plan.entries.size() && e < 4; ++e)
    (void)resolveCall(plan, views, facts, {}, e);
  for (size_t i = 0; i < views.size(); ++i)
    if (plan.tensors[i].optional)
      views[i] = {plan.tensors[i].type, {}, {}, 0, false};
  compare();
  (void)resolveCall(plan, views, facts, axes);
  // Made only where it is small.
  (void)selfTestInputs(plan);
  for (int sm : {80, 86, 90, 120}) {
    facts.smVersion = sm;
    (void)checkTarget(plan, facts);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view text(reinterpret_cast<const char *>(data), size);
  if (Result<Plan> plan = parsePlan(text, nullptr))
    use(*plan);
  Result<nlohmann::json> json = parseStrictJson(text, 16);
  if (!json || !json->is_object())
    return 0;
  json->erase("content_hash");
  (*json)["content_hash"] = hashText(json->dump());
  if (Result<Plan> plan = parsePlan(json->dump(), nullptr))
    use(*plan);
  return 0;
}
