// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// JSON from untrusted text: bounded nesting, no repeated keys, errors instead of exceptions.
#pragma once

#include "runtime/abi/Result.h"

#include <nlohmann/json.hpp>
#include <string_view>

namespace fovea::runtime {

/// `maxDepth` counts nested lists and objects. The error says what is wrong, without naming the file.
Result<nlohmann::json> parseStrictJson(std::string_view text, int maxDepth);

} // namespace fovea::runtime
