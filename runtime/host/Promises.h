// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What callers promise of the elements of their tensors and no kernel looks at: ranges, and offsets of packed
// sequences. The command line checks them before every run, the library where a checked run is asked for.
#pragma once

#include "runtime/abi/Plan.h"
#include "runtime/host/BoundCall.h"
#include "runtime/host/Device.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fovea::runtime {

/// Element i in row-major order.
using ElementReader = std::function<double(int64_t)>;

/// "[b=1, t=20]": an element of a tensor of this shape, by the names of its dimensions.
std::string placeText(int64_t index, std::span<const int64_t> shape, const std::vector<std::string> &dims);

/// "%.6g"
std::string numberText(double value);

struct ElementRange {
  std::optional<double> least, most;
  bool above = false, below = false; // the bound itself is outside
  bool holds(double value) const;    // NaN is outside
  std::string text() const;          // "at least 0 and below 1"
};

/// An error names the first element outside.
Status checkRange(const std::string &name, const ElementRange &range, std::span<const int64_t> shape,
                  const std::vector<std::string> &dims, const ElementReader &element);

/// Offsets of sequences that lie one behind the other, as a storage declares them.
struct OffsetsRule {
  std::string name, rows, longest;    // of the tensor, and of two axes
  int64_t total = -1, longestIs = -1; // sizes of the axes; -1 where they are not known
};

/// All of them. An error names the first that is wrong: they begin at 0, never fall, stay within the rows and end with
/// them, and no sequence is too long.
Result<std::vector<int64_t>> readOffsets(const OffsetsRule &rule, int64_t count, const ElementReader &element);

/// The promises of a plan, of a call that it serves. Copies what they are about from the device, after the work
/// before. `axes` are sizes, of Plan::axes in order.
Status checkPromises(const Plan &plan, const CallTensor *tensors, std::span<const int64_t> axes, Device &device);

} // namespace fovea::runtime
