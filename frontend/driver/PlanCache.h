// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compilation to a plan through the cache on disk. What is looked up is the meaning: the attn program after its passes,
// the options, and the identity of this compiler.
#pragma once

#include "frontend/driver/Compiler.h"

#include "runtime/cache/Recent.h"

#include <functional>
#include <memory>
#include <string>

namespace fovea::driver {

/// A plan that was checked, with its text as files hold it.
struct KnownPlan {
  std::string text;
  runtime::Plan plan;
};

/// Plans that a process has at hand, by their meaning.
class PlanMemory {
public:
  std::shared_ptr<const KnownPlan> find(std::string_view key) { return plans_.find(key); }
  void keep(std::string key, std::shared_ptr<const KnownPlan> plan) {
    size_t bytes = 2 * plan->text.size();
    plans_.keep(std::move(key), std::move(plan), bytes);
  }

private:
  runtime::Recent<KnownPlan> plans_{size_t{128} << 20};
};

struct CachedCompilation {
  /// Of the whole compilation, or up to Stage::Attn with the plan and its PTX where `found`. Never null.
  std::unique_ptr<Compilation> compilation;
  bool found = false;
  /// Where there was a memory to look in or to keep it in, and a plan came of it; then a `compilation` that was found
  /// has none of its own.
  std::shared_ptr<const KnownPlan> known;
};

/// All that is asked of a compilation beside the text: equal texts ask for the same.
std::string askedText(const CompileOptions &options, const std::string &schedule);

/// `schedule` is the text of options.schedule; a schedule without one is not cached, nor is a compilation that warns
/// after Stage::Attn, since a second one must say the same. Warnings of the cache itself go to `warn`. `memory` is
/// asked before the disk.
CachedCompilation compilePlan(Compiler &compiler, const SourceText &source, const CompileOptions &options,
                              const std::string &schedule, const std::function<void(const std::string &)> &warn,
                              PlanMemory *memory = nullptr);

} // namespace fovea::driver
