// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a plan can have beside its PTX: machine code of several architectures, and a self-test.
#pragma once

#include "frontend/driver/Compiler.h"
#include "runtime/abi/Plan.h"

#include <functional>
#include <string>
#include <vector>

namespace fovea::driver {

/// "release 13.0, V13.0.48" of a ptxas; empty where it does not say.
std::string ptxasVersion(const std::string &program);

/// Has ptxas assemble each module for each architecture. The results are kept in the cache by the version of ptxas,
/// where there is a cache and `times` is null. Errors: an unknown architecture, or one that does not run the plan's
/// target; no ptxas; what ptxas says.
Status addCubins(runtime::Plan &plan, const std::vector<std::string> &archs,
                 const std::function<void(const std::string &)> &warn, std::vector<StageTime> *times = nullptr);

/// Tests of at most this many tokens, and of fewer where the results would have more than some thousand numbers.
inline constexpr int64_t kSelfTestTokens = 70;

/// A self-test of the plan of a compilation: drawn inputs, results by the float64 reference, the tolerance of `fovea
/// check`. It passes on the emulator. Needs the attention as written and the plan. Errors say why there is none.
Result<runtime::PlanSelfTest> makeSelfTest(Compilation &compilation, const runtime::Plan &plan, uint64_t seed = 1);

} // namespace fovea::driver
