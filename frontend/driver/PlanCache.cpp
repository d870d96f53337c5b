// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The key of a plan, and what is found under it.
#include "frontend/driver/PlanCache.h"

#include "runtime/cache/Cache.h"

namespace fovea::driver {

namespace {

std::string keyOf(const std::string &meaning, const Compilation &front, const std::string &schedule) {
  const CompileOptions &options = front.options;
  std::string key = "plan " + std::to_string(runtime::kPlanVersion) + "\n";
  key += "compiler " + runtime::programIdentity({"LLVM", "MLIR"}) + "\n";
  key += "target " + options.target + "\ntype " + options.type + "\nprecision " + options.precision + "\nschedule " +
         schedule + "\nalternatives " + std::to_string(options.alternatives) + "\nbatch invariant " +
         std::to_string(options.batchInvariant) + "\n";
  for (const auto &[name, value] : options.sets)
    key += "set " + name + "=" + value + "\n";
  // Names that the program does not hold, but callers see.
  key += "interface " + runtime::planSignature(front.interface) + "\n";
  for (const runtime::PlanAxis &axis : front.interface.axes)
    key += "axis " + axis.name + " " + axis.relation + "\n";
  return key + meaning;
}

} // namespace

CachedCompilation compilePlan(Compiler &compiler, const SourceText &source, const CompileOptions &asked,
                              const std::string &schedule, const std::function<void(const std::string &)> &warn) {
  CompileOptions options = asked;
  options.last = Stage::Plan;
  std::optional<std::string> folder = runtime::cacheFolder();
  if (!folder || schedule.empty() != options.schedule.empty())
    return {compiler.compile(source, options), false};
  options.last = Stage::Attn;
  std::unique_ptr<Compilation> front = compiler.compile(source, options), whole;
  options.last = Stage::Plan;
  Result<std::string> meaning = front->text(Stage::Attn);
  if (!front->ok() || !meaning)
    return {std::move(front), false};

  runtime::CacheOptions how;
  how.folder = *folder;
  how.warn = warn;
  Result<std::string> text =
      runtime::Cache(how).findOrMake(keyOf(*meaning, *front, schedule), [&]() -> Result<std::string> {
        whole = compiler.compile(source, options);
        if (!whole->ok() || whole->diagnostics().warningCount() != front->diagnostics().warningCount())
          return Error{}; // kept by nobody
        return runtime::planToText(*whole->plan);
      });
  if (whole)
    return {std::move(whole), false};
  Result<runtime::Plan> plan = text ? runtime::parsePlan(*text, nullptr) : Result<runtime::Plan>(text.takeError());
  if (!plan) {
    warn("cache: a plan is not used: " + plan.error().message);
    return {compiler.compile(source, options), false};
  }
  front->ptx = plan->modules.front().ptx;
  front->plan = std::move(*plan);
  return {std::move(front), true};
}

} // namespace fovea::driver
