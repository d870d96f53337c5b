// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Whether a plan serves some tensors, and if not, which call near by it would serve.
#pragma once

#include "runtime/host/Execute.h"

#include <optional>
#include <string>
#include <vector>

namespace fovea::runtime::api {

struct Support {
  std::optional<size_t> entry; // none: refused
  std::string reason;
  std::string nearest; // of a refusal; empty: none was found
};

/// `views` in the order of Plan::tensors, of any shapes and types. Does not look at overlaps.
Support supports(const Plan &plan, const std::vector<TensorView> &views, const DeviceFacts &facts);

} // namespace fovea::runtime::api
