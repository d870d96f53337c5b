// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The key of a plan, and what is found under it.
#include "frontend/driver/PlanCache.h"

#include "runtime/cache/Cache.h"

namespace fovea::driver {

std::string askedText(const CompileOptions &options, const std::string &schedule) {
  std::string key = "attention " + options.attention + "\ntarget " + options.target + "\ntype " + options.type +
                    "\nprecision " + options.precision + "\nschedule " + schedule + "\nalternatives " +
                    std::to_string(options.alternatives) + "\nbatch invariant " +
                    std::to_string(options.batchInvariant) + "\n";
  key += "storage " + options.storage + "\n";
  for (const auto &[name, value] : options.sets)
    key += "set " + name + "=" + value + "\n";
  return key;
}

namespace {

std::string keyOf(const std::string &meaning, const Compilation &front, const std::string &schedule) {
  // Of the process, so it is asked for once.
  static const std::string identity = runtime::programIdentity({"LLVM", "MLIR"});
  std::string key = "plan " + std::to_string(runtime::kPlanVersion) + "\ncompiler " + identity + "\n";
  CompileOptions options = front.options;
  options.attention.clear(); // by its meaning
  key += askedText(options, schedule);
  // Names that the program does not hold, but callers see.
  key += "interface " + runtime::planSignature(front.interface) + "\n";
  for (const runtime::PlanAxis &axis : front.interface.axes)
    key += "axis " + axis.name + " " + axis.relation + "\n";
  return key + meaning;
}

Error keptByNobody() { return Error{}; }

} // namespace

CachedCompilation compilePlan(Compiler &compiler, const SourceText &source, const CompileOptions &asked,
                              const std::string &schedule, const std::function<void(const std::string &)> &warn,
                              PlanMemory *memory) {
  CompileOptions options = asked;
  options.last = Stage::Plan;
  std::optional<std::string> folder = runtime::cacheFolder();
  if (runtime::cacheIsOff() || (!folder && !memory) || schedule.empty() != options.schedule.empty())
    return {compiler.compile(source, options), false, nullptr};
  options.last = Stage::Attn;
  std::unique_ptr<Compilation> front = compiler.compile(source, options), whole;
  options.last = Stage::Plan;
  Result<std::string> meaning = front->text(Stage::Attn);
  if (!front->ok() || !meaning)
    return {std::move(front), false, nullptr};
  std::string key = keyOf(*meaning, *front, schedule);
  if (std::shared_ptr<const KnownPlan> known = memory ? memory->find(key) : nullptr)
    return {std::move(front), true, std::move(known)};

  auto make = [&]() -> Result<std::string> {
    whole = compiler.compile(source, options);
    if (!whole->ok() || whole->diagnostics().warningCount() != front->diagnostics().warningCount())
      return keptByNobody();
    return runtime::planToText(*whole->plan);
  };
  runtime::CacheOptions how;
  how.folder = folder.value_or("");
  how.warn = warn;
  Result<std::string> text = folder ? runtime::Cache(how).findOrMake(key, make) : make();
  CachedCompilation result;
  auto keep = [&](runtime::Plan plan) {
    if (!memory)
      return;
    result.known = std::make_shared<const KnownPlan>(KnownPlan{std::move(*text), std::move(plan)});
    memory->keep(std::move(key), result.known);
  };
  if (whole) {
    if (text)
      keep(*whole->plan);
    result.compilation = std::move(whole);
    return result;
  }
  Result<runtime::Plan> plan = text ? runtime::parsePlan(*text, nullptr) : Result<runtime::Plan>(text.takeError());
  if (!plan) {
    warn("cache: a plan is not used: " + plan.error().message);
    return {compiler.compile(source, options), false, nullptr};
  }
  result.found = true;
  if (memory) {
    keep(std::move(*plan));
  } else {
    front->ptx = plan->modules.front().ptx;
    front->plan = std::move(*plan);
  }
  result.compilation = std::move(front);
  return result;
}

} // namespace fovea::driver
