// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Patterns over named axes; the draws themselves are those of runtime/host/Random.h.
#include "frontend/driver/Inputs.h"

#include "runtime/host/Random.h"

#include <algorithm>
#include <cmath>

namespace fovea::driver {

const char *patternName(Pattern pattern) {
  switch (pattern) {
  case Pattern::Normal:
    return "normal";
  case Pattern::Constant:
    return "constant";
  case Pattern::LargeLogits:
    return "large-logits";
  case Pattern::Early:
    return "early";
  case Pattern::Late:
    return "late";
  case Pattern::Rising:
    return "rising";
  case Pattern::Alternating:
    return "alternating";
  case Pattern::Tiny:
    return "tiny";
  case Pattern::Zeros:
    return "zeros";
  }
  return "?";
}

static const sema::Declaration *find(const sema::Attention &attention, std::string_view name) {
  for (const sema::Declaration &declaration : attention.declarations)
    if (declaration.name == name && declaration.role != sema::Role::Const)
      return &declaration;
  return nullptr;
}

std::optional<double> defaultOf(const sema::Attention &attention, std::string_view name) {
  const sema::Declaration *declaration = find(attention, name);
  return declaration && declaration->defaultNode ? declaration->defaultValue : std::nullopt;
}

/// The first dimension that is a token axis, keys and queries alike; -1 if none.
static int tokenDim(const sema::Attention &attention, const sema::Declaration &declaration) {
  for (size_t i = 0; i < declaration.declaredAxes.size(); ++i) {
    AxisUse use = useOf(attention, declaration.declaredAxes[i]);
    if (use == AxisUse::Queries || use == AxisUse::Keys)
      return static_cast<int>(i);
  }
  return -1;
}

/// Moves values into the contract: by their distance to the one bound, or by a fold into the interval.
static double keepContract(double x, const sema::Contract &contract) {
  std::optional<double> lower, upper;
  if (contract.lower)
    lower = contract.lower->value;
  if (contract.upper)
    upper = contract.upper->value;
  if (lower && upper) {
    double width = *upper - *lower;
    // Away from the ends, so that rounding to a storage type does not reach an open one.
    return *lower + width * (0.02 + 0.96 / (1 + std::exp(-x)));
  }
  if (lower)
    return *lower + std::abs(x) + (contract.lower->open ? 0.01 : 0);
  if (upper)
    return *upper - std::abs(x) - (contract.upper->open ? 0.01 : 0);
  return x;
}

Result<runtime::Array> drawInput(const sema::Attention &attention, const runtime::Plan &interface,
                                 const std::string &name, const runtime::AxisSizes &sizes, Pattern pattern,
                                 uint64_t seed) {
  const sema::Declaration *declaration = find(attention, name);
  const runtime::PlanTensor *tensor = interface.findTensor(name);
  if (!declaration || !tensor)
    return Error{ErrorCode::NotFound, "there is no input '" + name + "'"};
  Result<std::vector<int64_t>> shape = runtime::tensorShape(interface, *tensor, sizes);
  if (!shape)
    return shape.takeError();
  Result<runtime::Array> array = runtime::Array::create(tensor->type, *shape);
  if (!array)
    return array;
  runtime::RandomStream stream(seed, name);
  bool isParam = tensor->role == runtime::TensorRole::Param;
  if (isParam)
    pattern = Pattern::Normal;

  int64_t inner = 1; // elements below the token dimension
  int dim = tokenDim(attention, *declaration);
  int64_t tokens = dim < 0 ? 1 : (*shape)[static_cast<size_t>(dim)];
  for (size_t i = static_cast<size_t>(dim + 1); i < shape->size(); ++i)
    inner *= (*shape)[i];
  bool isInt = tensor->type == runtime::StorageType::I32;
  double smallest = tensor->type == runtime::StorageType::F16 ? 0x1p-14 : 0x1p-126;
  int64_t last = shape->empty() ? 1 : shape->back();
  for (int64_t i = 0; i < array->elements(); ++i) {
    int64_t token = dim < 0 ? 0 : i / inner % tokens;
    double x = isInt ? static_cast<double>(stream.integer(static_cast<uint64_t>(i), 0, 7))
                     : stream.normal(static_cast<uint64_t>(i));
    if (!isInt)
      switch (pattern) {
      case Pattern::Normal:
        // Learned scales stay near 1.
        if (isParam)
          x = 1 + 0.25 * x;
        break;
      case Pattern::Constant:
        x = 0.5;
        break;
      case Pattern::LargeLogits:
        x *= 30;
        break;
      case Pattern::Early:
        x *= token == 0 ? 25 : 1;
        break;
      case Pattern::Late:
        x *= token == tokens - 1 ? 25 : 1;
        break;
      case Pattern::Rising:
        x = (1 + 0.1 * x) * (0.25 + 4.0 * static_cast<double>(token) / static_cast<double>(tokens));
        break;
      case Pattern::Alternating:
        x = (i % last % 2 ? -1 : 1) * (1 + 0.01 * x);
        break;
      case Pattern::Tiny:
        x *= 2 * smallest;
        break;
      case Pattern::Zeros:
        x = 0;
        break;
      }
    if (declaration->contract)
      x = keepContract(x, *declaration->contract);
    array->setValue(i, isInt ? std::floor(x) : x);
  }
  return array;
}

Result<Arrays> drawInputs(const sema::Attention &attention, const runtime::Plan &interface,
                          const runtime::AxisSizes &sizes, Pattern pattern, uint64_t seed) {
  Arrays arrays;
  for (const runtime::PlanTensor &tensor : interface.tensors) {
    if (tensor.role == runtime::TensorRole::Output)
      continue;
    Result<runtime::Array> array = drawInput(attention, interface, tensor.name, sizes, pattern, seed);
    if (!array)
      return array.takeError();
    arrays.emplace(tensor.name, std::move(*array));
  }
  return arrays;
}

reference::Tensors toTensors(const Arrays &arrays) {
  reference::Tensors tensors;
  for (const auto &[name, array] : arrays)
    tensors[name] = {array.shape(), array.toDoubles()};
  return tensors;
}

} // namespace fovea::driver
