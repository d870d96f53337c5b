// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The self-test of a plan: a small call whose results the compiler knew, against a driver or an assembler that
// compiles its kernels to something else.
#pragma once

#include "runtime/host/Execute.h"

namespace fovea::runtime {

/// The inputs of the test, by name. Errors of code Corrupt: numbers of values that do not fit the shapes, or shapes too
/// large.
Result<std::map<std::string, Array, std::less<>>> selfTestInputs(const Plan &plan);

/// Runs the test on each entry whose guard holds. SelfTestFailed where one gives other numbers than expected, or a
/// fault; success where the plan has no self-test.
Status runSelfTest(LoadedPlan &loaded);

} // namespace fovea::runtime
