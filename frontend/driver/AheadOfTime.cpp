// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Machine code by ptxas, and numbers by the reference.
#include "frontend/driver/AheadOfTime.h"

#include "frontend/driver/Inputs.h"
#include "frontend/driver/Tolerance.h"
#include "runtime/abi/Hash.h"
#include "runtime/cache/Cache.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Random.h"
#include "runtime/host/SelfTest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace fovea::driver {

using runtime::Array;
using runtime::Plan;
using runtime::PlanSelfTest;
using runtime::PlanTensor;

//===--- machine code ---===//

std::string ptxasVersion(const std::string &program) {
  std::string text, quoted = "'" + program + "' --version 2>/dev/null";
  if (program.find('\'') != std::string::npos)
    return text;
  FILE *pipe = popen(quoted.c_str(), "r");
  if (!pipe)
    return text;
  char buffer[256];
  while (size_t got = fread(buffer, 1, sizeof buffer, pipe))
    text.append(buffer, got);
  pclose(pipe);
  size_t at = text.find("release ");
  return at == std::string::npos ? "" : text.substr(at, text.find('\n', at) - at);
}

namespace {

/// Whether ptxas takes text of `target` for `arch`: any later one, or with a suffix the very same.
bool takesText(const std::string &target, const std::string &arch) {
  bool exact = target.ends_with('a') || target.ends_with('f');
  return exact ? target == arch : runtime::archNumber(arch) >= runtime::archNumber(target);
}

Error noPtxas() {
  return {ErrorCode::NotFound,
          "ptxas was not found, so there is no machine code; install the CUDA toolkit, or name the "
          "program by --ptxas or in FOVEA_PTXAS. The PTX runs without it"};
}

} // namespace

Status addCubins(Plan &plan, const std::vector<std::string> &archs,
                 const std::function<void(const std::string &)> &warn, std::vector<StageTime> *times) {
  for (const std::string &arch : archs) {
    if (!Target::find(arch))
      return Error{ErrorCode::InvalidArgument, "unknown target '" + arch + "'; known: " + Target::names()};
    if (!takesText(plan.target, arch))
      return Error{ErrorCode::InvalidArgument,
                   "PTX for " + plan.target + " gives no machine code for " + arch + "; compile with --target " + arch};
  }
  std::optional<std::string> ptxas = codegen::findPtxas();
  if (!ptxas)
    return noPtxas();
  std::optional<std::string> folder = times ? std::nullopt : runtime::cacheFolder();
  std::string version = ptxasVersion(*ptxas);
  runtime::CacheOptions how;
  how.folder = folder.value_or("");
  how.warn = warn;
  for (runtime::PlanModule &module : plan.modules)
    for (const std::string &arch : archs) {
      if (std::any_of(module.cubins.begin(), module.cubins.end(),
                      [&](const runtime::PlanCubin &cubin) { return cubin.arch == arch; }))
        continue;
      auto make = [&]() -> Result<std::string> {
        llvm::Expected<codegen::Assembled> assembled = codegen::assemble(module.ptx, *Target::find(arch));
        if (!assembled)
          return Error{ErrorCode::Unsupported, arch + ": " + llvm::toString(assembled.takeError())};
        return std::move(assembled->cubin);
      };
      auto begin = std::chrono::steady_clock::now();
      Result<std::string> code =
          folder && !version.empty()
              ? runtime::Cache(how).findOrMake("cubin 1\nname " + plan.spec + "\nmodule " + module.name + "\ntarget " +
                                                   arch + "\nptx " + runtime::hashText(module.ptx) + "\nptxas " +
                                                   version + "\n",
                                               make)
              : make();
      if (!code)
        return code.takeError();
      std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
      if (times)
        times->push_back({"ptxas for " + arch, spent.count()});
      module.cubins.push_back({arch, std::move(*code)});
    }
  return Status::success();
}

//===--- the self-test ---===//

namespace {

constexpr size_t kMaxValues = 16384;      // in a plan, where fewer tokens are possible
constexpr int64_t kMaxElements = 1 << 19; // of the inputs, likewise; a reader takes 2^20 of all tensors

/// As few digits as tell f32 numbers apart.
double rounded(double value) {
  if (!std::isfinite(value))
    return value;
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  return std::strtod(digits, nullptr);
}

/// Sizes of the axes that a caller chooses: tokens that fill no tile, few of all others.
runtime::AxisSizes chooseSizes(const sema::Attention &attention, const Plan &interface, int64_t tokens) {
  std::vector<bool> inGrid(attention.axes.size());
  for (const sema::Axis &walk : attention.axes)
    if (walk.relation == sema::AxisRelation::Walk)
      for (sema::AxisId part : attention.axes[walk.raw].factors)
        inGrid[part] = true;
  runtime::AxisSizes sizes;
  std::string lastBatch;
  for (sema::AxisId id = 0; id < attention.axes.size(); ++id) {
    const sema::Axis &axis = attention.axes[id];
    const runtime::PlanAxis *known = interface.findAxis(axis.name);
    if (isDerived(axis) || !known || known->staticSize || known->derived)
      continue;
    switch (useOf(attention, id)) {
    case AxisUse::Batch:
      sizes[axis.name] = 1;
      lastBatch = axis.name;
      break;
    case AxisUse::Queries:
      sizes[axis.name] = inGrid[id] ? std::max<int64_t>(tokens / 10, 2) : tokens;
      break;
    case AxisUse::Keys:
      sizes[axis.name] = 2 * tokens + 7;
      break;
    case AxisUse::Feature:
      sizes[axis.name] = 8;
      break;
    }
  }
  if (!lastBatch.empty())
    sizes[lastBatch] = 2;
  return sizes;
}

/// Draws the inputs and writes them down: by the rule where that gives them, else as numbers.
Result<Arrays> chooseInputs(const sema::Attention &attention, const Plan &interface, const runtime::AxisSizes &sizes,
                            PlanSelfTest &test) {
  Arrays inputs;
  for (const PlanTensor &tensor : interface.tensors) {
    if (!runtime::isRead(tensor.role))
      continue;
    Result<Array> array = drawInput(attention, interface, tensor.name, sizes, Pattern::Normal, test.seed);
    if (!array)
      return array.takeError();
    runtime::PlanTestInput input;
    input.tensor = tensor.name;
    Array byRule = *Array::create(array->type(), array->shape());
    runtime::fillPattern(byRule, runtime::InputPattern::Normal, runtime::RandomStream(test.seed, tensor.name));
    if (!std::equal(byRule.bytes().begin(), byRule.bytes().end(), array->bytes().begin(), array->bytes().end()))
      for (double value : array->toDoubles())
        input.values.push_back(rounded(value));
    test.inputs.push_back(std::move(input));
    inputs.emplace(tensor.name, std::move(*array));
  }
  return inputs;
}

/// What the reference gives, with what `fovea check` allows.
Status expect(Compilation &compilation, const runtime::AxisSizes &sizes, const Arrays &inputs, PlanSelfTest &test) {
  auto failed = [](llvm::Error error) {
    return Error{ErrorCode::Unsupported, "reference: " + llvm::toString(std::move(error))};
  };
  reference::Tensors values = toTensors(inputs);
  reference::Shapes shapes;
  for (const auto &[name, tensor] : values)
    shapes[name] = tensor.shape;
  auto all = reference::inferSizes(compilation.attn(), shapes, {sizes.begin(), sizes.end()});
  if (!all)
    return failed(all.takeError());
  auto expected = reference::evaluate(compilation.attn(), *all, values);
  if (!expected)
    return failed(expected.takeError());
  Tolerance tolerance = toleranceFor(compilation.attn(), compilation.arithmetic(), *all);
  if (llvm::Error error = addProductErrors(tolerance, compilation.attn(), compilation.arithmetic(), *all, values))
    return failed(std::move(error));
  auto scale = magnitudes(compilation.attn(), *all, values);
  if (!scale)
    return failed(scale.takeError());
  for (const PlanTensor &tensor : compilation.interface.tensors) {
    auto found = expected->find(tensor.name);
    if (!runtime::isWritten(tensor.role) || found == expected->end())
      continue;
    runtime::PlanTestOutput output;
    output.tensor = tensor.name;
    for (double value : found->second.data) {
      if (std::isnan(value) || (std::isfinite(value) && std::abs(value) > 3e38))
        return Error{ErrorCode::Unsupported, "the reference gives no number for '" + tensor.name + "'"};
      output.values.push_back(rounded(value));
    }
    const OutputTolerance &allowed = tolerance.outputs[tensor.name];
    if (allowed.isStatistic) {
      output.absolute = std::hypot(allowed.absolute, allowed.fromProducts);
      output.relative = allowed.relative;
    } else {
      output.relative2 = allowed.allowed((*scale)[tensor.name].data, found->second.data);
    }
    test.outputs.push_back(std::move(output));
  }
  return Status::success();
}

size_t countValues(const PlanSelfTest &test) {
  size_t count = 0;
  for (const runtime::PlanTestInput &input : test.inputs)
    count += input.values.size();
  for (const runtime::PlanTestOutput &output : test.outputs)
    count += output.values.size();
  return count;
}

} // namespace

Result<PlanSelfTest> makeSelfTest(Compilation &compilation, const Plan &plan, uint64_t seed) {
  if (!compilation.options.storage.empty())
    return Error{ErrorCode::Unsupported, "not in this version: a self-test of packed arrays"};
  PlanSelfTest test;
  for (int64_t tokens = kSelfTestTokens; tokens >= 4; tokens /= 2) {
    runtime::AxisSizes chosen = chooseSizes(*compilation.attention, compilation.interface, tokens);
    Result<runtime::AxisSizes> sizes = runtime::inferAxes(compilation.interface, {}, chosen);
    if (!sizes)
      return Error{sizes.error().code, "no self-test: " + sizes.error().message};
    test = {};
    test.seed = seed;
    test.axes.assign(chosen.begin(), chosen.end());
    Result<Arrays> inputs = chooseInputs(*compilation.attention, compilation.interface, *sizes, test);
    if (!inputs)
      return Error{inputs.error().code, "no self-test: " + inputs.error().message};
    if (Status status = expect(compilation, *sizes, *inputs, test); !status)
      return Error{status.error().code, "no self-test: " + status.error().message};
    int64_t elements = 0;
    for (const auto &[name, array] : *inputs)
      elements += array.elements();
    if (countValues(test) <= kMaxValues && elements <= kMaxElements)
      break;
  }
  // It must hold where nothing is miscompiled.
  Plan tested = plan;
  tested.selfTest = test;
  if (Status status = runtime::validatePlan(tested); !status)
    return Error{ErrorCode::Unsupported, "no self-test: " + status.error().message};
  Result<std::unique_ptr<runtime::EmulatorDevice>> emulator = runtime::EmulatorDevice::create();
  if (!emulator)
    return emulator.takeError();
  Result<runtime::LoadedPlan> loaded = runtime::LoadedPlan::load(tested, **emulator);
  if (!loaded)
    return loaded.takeError();
  if (Status status = runtime::runSelfTest(*loaded); !status)
    return status.error();
  return test;
}

} // namespace fovea::driver
