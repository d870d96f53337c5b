// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Promises of callers, element by element: see Promises.h.
#include "runtime/host/Promises.h"

#include "runtime/host/Array.h"
#include "runtime/host/Compare.h"

#include <cmath>
#include <cstdio>

namespace fovea::runtime {

std::string numberText(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

std::string placeText(int64_t index, std::span<const int64_t> shape, const std::vector<std::string> &dims) {
  std::string text;
  const std::vector<int64_t> at = coordinates(index, shape);
  for (size_t i = 0; i < at.size(); ++i)
    text += (i ? ", " : "") + dims[i] + "=" + std::to_string(at[i]);
  return "[" + text + "]";
}

bool ElementRange::holds(double value) const {
  return !std::isnan(value) && (!least || (above ? value > *least : value >= *least)) &&
         (!most || (below ? value < *most : value <= *most));
}

std::string ElementRange::text() const {
  std::string text;
  if (least)
    text = std::string(above ? "above " : "at least ") + numberText(*least);
  if (most)
    text += std::string(least ? " and " : "") + (below ? "below " : "at most ") + numberText(*most);
  return text;
}

Status checkRange(const std::string &name, const ElementRange &range, std::span<const int64_t> shape,
                  const std::vector<std::string> &dims, const ElementReader &element) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  for (int64_t i = 0; i < count; ++i)
    if (double value = element(i); !range.holds(value))
      return Error{ErrorCode::InvalidArgument, "'" + name + "' breaks its contract at " + placeText(i, shape, dims) +
                                                   ": it is " + numberText(value) + ", and is to be " + range.text()};
  return {};
}

Result<std::vector<int64_t>> readOffsets(const OffsetsRule &rule, int64_t count, const ElementReader &element) {
  const std::string quoted = "'" + rule.name + "'", rows = std::to_string(rule.total) + " rows on '" + rule.rows + "'";
  std::vector<int64_t> offsets;
  int64_t last = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto offset = static_cast<int64_t>(element(i));
    const std::string where = quoted + "[" + std::to_string(i) + "] is " + std::to_string(offset);
    if (i == 0 && offset != 0)
      return Error{ErrorCode::InvalidArgument, where + "; the first sequence begins at 0"};
    if (offset < last)
      return Error{ErrorCode::InvalidArgument, where + ", before " + quoted + "[" + std::to_string(i - 1) +
                                                   "], which is " + std::to_string(last) + ": offsets never fall"};
    if (rule.total >= 0 && offset > rule.total)
      return Error{ErrorCode::InvalidArgument, where + ", past the end: there are " + rows};
    if (rule.longestIs >= 0 && offset - last > rule.longestIs)
      return Error{ErrorCode::InvalidArgument, where + ": sequence " + std::to_string(i - 1) + " has " +
                                                   std::to_string(offset - last) + " tokens; '" + rule.longest +
                                                   "' allows " + std::to_string(rule.longestIs)};
    offsets.push_back(last = offset);
  }
  if (offsets.size() < 2)
    return Error{ErrorCode::InvalidArgument,
                 quoted + " has " + std::to_string(offsets.size()) + " offsets; one sequence has two"};
  if (rule.total >= 0 && last != rule.total)
    return Error{ErrorCode::InvalidArgument, quoted + " ends at " + std::to_string(last) + "; there are " + rows};
  return offsets;
}

/// The elements that the device has for a tensor of a call.
static Result<Array> download(const CallTensor &tensor, Device &device) {
  const std::vector<int64_t> shape(tensor.shape, tensor.shape + tensor.rank),
      strides(tensor.strides, tensor.strides + tensor.rank);
  Result<Array> array = Array::createStrided(tensor.type, shape, strides);
  if (!array || array->elements() == 0)
    return array;
  if (Status status = device.download(array->bytes().data(), tensor.address, static_cast<size_t>(spanBytes(tensor)));
      !status)
    return status.error();
  return array;
}

Status checkPromises(const Plan &plan, const CallTensor *tensors, std::span<const int64_t> axes, Device &device) {
  auto sizeOf = [&](const std::string &name) {
    return axes[static_cast<size_t>(plan.findAxis(name) - plan.axes.data())];
  };
  for (const PlanPromise &promise : plan.promises) {
    const PlanTensor &declared = *plan.findTensor(promise.tensor);
    const CallTensor &tensor = tensors[&declared - plan.tensors.data()];
    if (!tensor.present)
      continue;
    Result<Array> array = download(tensor, device);
    if (!array)
      return array.error();
    auto element = [&](int64_t i) { return array->value(i); };
    Status status;
    if (promise.rows.empty()) {
      std::vector<std::string> dims;
      for (const PlanDim &dim : declared.dims)
        dims.push_back(dim.display);
      status = checkRange(promise.tensor, {promise.least, promise.most, promise.above, promise.below}, array->shape(),
                          dims, element);
    } else {
      const OffsetsRule rule{promise.tensor, promise.rows, promise.longest, sizeOf(promise.rows),
                             sizeOf(promise.longest)};
      if (Result<std::vector<int64_t>> offsets = readOffsets(rule, array->elements(), element); !offsets)
        status = offsets.error();
    }
    if (!status)
      return status;
  }
  return {};
}

} // namespace fovea::runtime
