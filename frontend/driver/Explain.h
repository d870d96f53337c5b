// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the compiler decided for a specification and why, and what the result costs by the facts of the target.
#pragma once

#include "frontend/driver/Compiler.h"
#include "runtime/host/Execute.h"

#include <string>

namespace fovea::driver {

/// The size of every axis: those that the compilation knows, and for the others a usual one (4096 tokens, 1 batch, 16
/// heads or what else). `assumed` lists the latter, as NAME=VALUE.
runtime::AxisSizes usualSizes(const sema::Attention &attention, std::string &assumed);

/// Work of one execution. Counts are exact for the key ranges that were derived, with scalars of data taken as 0.
struct Work {
  double pairs = 0;    // of a query and a key, in the tiles visited
  double allPairs = 0; // without skipping any
  double flops = 0;    // of products, two per multiply-add
  double exponentials = 0;
  double bytes = 0;    // of all tensors once
  double keyBytes = 0; // of keys and values once per visited tile
  bool assumedScalars = false;
  // Milliseconds at the target's peak rates.
  double computeMs = 0, exponentialMs = 0, memoryMs = 0;
};
Work workOf(Compilation &compilation, const runtime::AxisSizes &sizes);

/// The whole text: algorithm, schedule and candidates, work, resources, bound. `compilation` went as far as Plan.
std::string explain(Compilation &compilation);

} // namespace fovea::driver
