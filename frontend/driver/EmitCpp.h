// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A plan as C++: a header with a typed class and a source that holds the plan, for programs that have the runtime and
// no compiler. And what has changed between the interfaces of two plans.
#pragma once

#include "runtime/abi/Plan.h"

#include <string>
#include <vector>

namespace fovea::driver {

struct CppFiles {
  std::string header, source;
};

/// C++17 over fovea/fovea.hpp. `header` is the name by which the source includes the header.
Result<CppFiles> emitCpp(const runtime::Plan &plan, const std::string &header);

/// One difference of a plan's interface from an older one's.
struct InterfaceChange {
  bool breaking = false; // callers of the older plan must change
  std::string text;      // a sentence
};
/// Differences in order of the tensors, then of static sizes; none where both have one signature.
std::vector<InterfaceChange> compareInterfaces(const runtime::Plan &before, const runtime::Plan &now);

} // namespace fovea::driver
