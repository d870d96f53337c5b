// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compilation to a plan through the cache on disk. What is looked up is the meaning: the attn program after its passes,
// the options, and the identity of this compiler.
#pragma once

#include "frontend/driver/Compiler.h"

#include <functional>
#include <memory>
#include <string>

namespace fovea::driver {

struct CachedCompilation {
  /// Of the whole compilation, or up to Stage::Attn with the plan and its PTX where `found`. Never null.
  std::unique_ptr<Compilation> compilation;
  bool found = false;
};

/// `schedule` is the text of options.schedule; a schedule without one is not cached, nor is a compilation that warns
/// after Stage::Attn, since a second one must say the same. Warnings of the cache itself go to `warn`.
CachedCompilation compilePlan(Compiler &compiler, const SourceText &source, const CompileOptions &options,
                              const std::string &schedule, const std::function<void(const std::string &)> &warn);

} // namespace fovea::driver
