// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Inputs by the rule of the plan, a run of each entry, and the comparison.
#include "runtime/host/SelfTest.h"

#include "runtime/host/Compare.h"
#include "runtime/host/Random.h"

namespace fovea::runtime {

namespace {

constexpr int64_t kMaxElements = 1 << 20; // of all tensors together

AxisSizes axesOf(const PlanSelfTest &test) { return {test.axes.begin(), test.axes.end()}; }

Error corrupt(const Plan &plan, const std::string &message) {
  return {ErrorCode::Corrupt, "the self-test of " + plan.spec + ": " + message};
}

/// "wrong numbers in `o`: ..."; empty: right.
Result<std::string> judge(const Plan &plan, const PlanTestOutput &expected, const ExecuteResult &ran) {
  auto found = ran.outputs.find(expected.tensor);
  if (found == ran.outputs.end())
    return corrupt(plan, "`" + expected.tensor + "` is expected, but not given");
  CompareOptions how;
  if (expected.relative2 >= 0) {
    how.relative2 = expected.relative2;
  } else {
    how.absolute = expected.absolute;
    how.relative = expected.relative;
  }
  std::vector<double> values = found->second.toDoubles();
  if (values.size() != expected.values.size())
    return corrupt(plan, std::to_string(expected.values.size()) + " values are expected of the " +
                             std::to_string(values.size()) + " of `" + expected.tensor + "`");
  Result<Comparison> comparison = compare(values, expected.values, how);
  if (!comparison)
    return comparison.takeError();
  if (comparison->passed)
    return std::string();
  return "wrong numbers in `" + expected.tensor + "`: " + comparison->format(found->second.shape());
}

} // namespace

Result<std::map<std::string, Array, std::less<>>> selfTestInputs(const Plan &plan) {
  std::map<std::string, Array, std::less<>> inputs;
  if (!plan.selfTest)
    return inputs;
  Result<AxisSizes> axes = inferAxes(plan, {}, axesOf(*plan.selfTest));
  if (!axes)
    return corrupt(plan, axes.error().message);
  // All tensors, since those that are not given are made too.
  int64_t elements = 0;
  for (const PlanTensor &tensor : plan.tensors) {
    Result<std::vector<int64_t>> shape = tensorShape(plan, tensor, *axes);
    Result<int64_t> count = shape ? elementCount(*shape) : Result<int64_t>(shape.error());
    if (!count)
      return corrupt(plan, count.error().message);
    if (*count > kMaxElements - elements)
      return corrupt(plan, "with `" + tensor.name + "` of shape " + shapeText(*shape) + " its tensors have more than " +
                               std::to_string(kMaxElements) + " elements");
    elements += *count;
  }
  for (const PlanTestInput &input : plan.selfTest->inputs) {
    const PlanTensor &tensor = *plan.findTensor(input.tensor);
    Result<Array> array = Array::create(tensor.type, *tensorShape(plan, tensor, *axes));
    if (!array)
      return array.takeError();
    if (input.values.empty()) {
      fillPattern(*array, InputPattern::Normal, RandomStream(plan.selfTest->seed, tensor.name));
    } else {
      if (static_cast<int64_t>(input.values.size()) != array->elements())
        return corrupt(plan, std::to_string(input.values.size()) + " values for `" + tensor.name + "` of shape " +
                                 shapeText(array->shape()));
      array = Array::fromDoubles(tensor.type, array->shape(), input.values);
      if (!array)
        return corrupt(plan, "`" + tensor.name + "`: " + array.error().message);
    }
    inputs.emplace(tensor.name, std::move(*array));
  }
  return inputs;
}

Status runSelfTest(LoadedPlan &loaded) {
  const Plan &plan = loaded.plan();
  if (!plan.selfTest)
    return Status::success();
  Result<std::map<std::string, Array, std::less<>>> inputs = selfTestInputs(plan);
  if (!inputs)
    return inputs.takeError();
  ExecuteRequest request;
  request.axes = axesOf(*plan.selfTest);
  for (const auto &[name, array] : *inputs)
    request.inputs.emplace(name, &array);
  const DeviceFacts &facts = loaded.device().facts();
  Result<std::vector<size_t>> entries = reachableEntries(plan, facts, request);
  if (!entries)
    return entries.takeError();
  if (entries->empty())
    return corrupt(plan, "no entry serves its shapes");
  for (size_t entry : *entries) {
    request.entry = entry;
    Result<ExecuteResult> ran = execute(loaded, request);
    std::string wrong;
    if (!ran) {
      if (ran.error().code != ErrorCode::LaunchFailed)
        return ran.takeError();
      wrong = ran.error().message;
    }
    for (const PlanTestOutput &expected : plan.selfTest->outputs) {
      if (!wrong.empty())
        break;
      Result<std::string> judged = judge(plan, expected, *ran);
      if (!judged)
        return judged.takeError();
      wrong = *judged;
    }
    if (!wrong.empty())
      return Error{ErrorCode::SelfTestFailed,
                   "the self-test of " + plan.spec + " failed on " + facts.name +
                       (facts.driver.empty() ? "" : " (driver: " + facts.driver + ")") + " in entry " +
                       std::to_string(entry) + ": " + wrong +
                       ". The machine code computes something else than the plan says: try another driver or ptxas"};
  }
  return Status::success();
}

} // namespace fovea::runtime
