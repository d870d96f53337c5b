// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a plan to loaded modules: whose machine code is taken, what is kept of it, and the self-test. Whatever is wrong
// with code that somebody made before, the text is there to make it again.
#include "runtime/host/Execute.h"

#include "runtime/abi/Hash.h"
#include "runtime/host/SelfTest.h"

#include <chrono>
#include <cstdlib>
#include <utility>

namespace fovea::runtime {

namespace {

using Source = LoadReport::Source;

class Stopwatch {
public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
  }

private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

bool isElf(std::string_view bytes) {
  return bytes.starts_with("\x7f"
                           "ELF");
}

/// The best of a module's machine code for a device: of the newest architecture that runs there.
const PlanCubin *fittingCubin(const PlanModule &module, const DeviceFacts &facts) {
  const PlanCubin *best = nullptr;
  for (const PlanCubin &cubin : module.cubins)
    if (cubinRunsOn(cubin.arch, facts.smVersion) &&
        (!best || std::pair(archNumber(cubin.arch), cubin.arch) > std::pair(archNumber(best->arch), best->arch)))
      best = &cubin;
  return best;
}

} // namespace

/// One load of a plan.
class Loader {
public:
  Loader(const Plan &plan, Device &device, const LoadOptions &options)
      : plan_(plan), device_(device), options_(options) {}

  Result<LoadedPlan> run(LoadReport &report) {
    Result<LoadedPlan> loaded = loadModules(report, /*fresh=*/false);
    if (!loaded || !options_.selfTest)
      return loaded;
    if (!plan_.selfTest) {
      report.selfTest = LoadReport::SelfTest::NoneInPlan;
      warn("the plan of " + plan_.spec + " has no self-test; `fovea compile --self-test` gives it one");
      return loaded;
    }
    Stopwatch watch;
    Status status = test(*loaded, report);
    bool made = false; // before, by somebody
    for (const LoadReport::Module &module : report.modules)
      made |= module.source == Source::PlanCode || module.source == Source::CachedCode;
    bool text = true;
    for (const PlanModule &module : plan_.modules)
      text &= !module.ptx.empty();
    if (!status && status.error().code == ErrorCode::SelfTestFailed && made && text) {
      warn(status.error().message + "; the machine code is made again from the PTX");
      Result<LoadedPlan> again = loadModules(report, /*fresh=*/true);
      if (!again) // a fault may leave a device without use
        return status.error();
      loaded = std::move(again);
      status = test(*loaded, report);
    }
    report.selfTestMilliseconds = watch.milliseconds();
    if (!status)
      return status.error();
    return loaded;
  }

private:
  void warn(const std::string &text) const {
    if (options_.warn)
      options_.warn(text);
  }
  void inform(const std::string &text) const {
    if (options_.inform)
      options_.inform(text);
  }

  /// `fresh`: by the driver from the text, whatever the plan and the cache have.
  Result<LoadedPlan> loadModules(LoadReport &report, bool fresh) {
    LoadedPlan loaded;
    loaded.plan_ = &plan_;
    loaded.device_ = &device_;
    report.modules.clear();
    images_.clear();
    for (const PlanModule &module : plan_.modules) {
      Stopwatch watch;
      LoadReport::Module how{module.name, Source::Text, {}, 0};
      Result<ModuleHandle> handle = loadModule(module, fresh, how);
      if (!handle)
        return handle.takeError();
      loaded.modules_.push_back(*handle);
      how.milliseconds = watch.milliseconds();
      inform("module " + module.name + " of " + plan_.spec + ": " + LoadReport::describe(how));
      report.modules.push_back(std::move(how));
    }
    for (const PlanEntry &entry : plan_.entries)
      for (const PlanLaunch &launch : entry.launches) {
        auto [it, first] = loaded.kernels_.try_emplace({launch.module, launch.kernel});
        if (!first)
          continue;
        if (launch.module >= loaded.modules_.size())
          return Error{ErrorCode::InvalidArgument, "module " + std::to_string(launch.module) + " does not exist"};
        Result<KernelHandle> kernel = device_.findKernel(loaded.modules_[launch.module], launch.kernel);
        if (!kernel)
          return kernel.takeError();
        it->second = *kernel;
      }
    return loaded;
  }

  Result<ModuleHandle> load(std::string_view image, const PlanModule &module) {
    Result<ModuleHandle> handle = device_.loadModule(image, module.name);
    if (handle)
      images_ += hashText(image) + "\n";
    return handle;
  }

  Result<ModuleHandle> loadModule(const PlanModule &module, bool fresh, LoadReport::Module &how) {
    const DeviceFacts &facts = device_.facts();
    if (facts.emulated) // runs text alone, and says so
      return load(module.ptx.empty() ? module.cubins[0].bytes : module.ptx, module);
    const PlanCubin *cubin = fresh ? nullptr : fittingCubin(module, facts);
    if (cubin) {
      Result<ModuleHandle> handle = load(cubin->bytes, module);
      if (handle || module.ptx.empty()) {
        how.source = Source::PlanCode;
        how.arch = cubin->arch;
        return handle;
      }
      warn("the machine code for " + cubin->arch + " in the plan of " + plan_.spec +
           " is not used: " + handle.error().message);
    }
    if (options_.cache && !facts.driver.empty())
      if (std::optional<Result<ModuleHandle>> handle = loadThroughCache(*options_.cache, module, fresh, how))
        return std::move(*handle);
    return load(module.ptx, module);
  }

  /// Nothing where the driver gives no code away, or none that it takes back.
  std::optional<Result<ModuleHandle>> loadThroughCache(const Cache &cache, const PlanModule &module, bool fresh,
                                                       LoadReport::Module &how) {
    const std::string key = keyOf(module);
    bool made = false;
    auto make = [&]() -> Result<std::string> {
      made = true;
      Result<std::string> code = device_.assemble(module.ptx, module.name);
      if (code && !isElf(*code))
        return Error{ErrorCode::Unsupported, "the driver gives something else than machine code"};
      return code;
    };
    Result<std::string> code = Error{};
    if (!fresh)
      code = cache.findOrMake(key, make);
    if (code && !made) {
      Result<ModuleHandle> handle =
          isElf(*code) ? load(*code, module) : Result<ModuleHandle>(Error{ErrorCode::Corrupt, "it is no machine code"});
      if (handle) {
        how.source = Source::CachedCode;
        return handle;
      }
      warn("cache: machine code of " + plan_.spec + " is not used and is made again: " + handle.error().message);
      fresh = true;
    }
    if (fresh) {
      code = make();
      if (code)
        (void)cache.store(key, *code);
    }
    if (!code)
      return std::nullopt; // the text gives the error, if it is one of the text
    Result<ModuleHandle> handle = load(*code, module);
    if (!handle)
      return std::nullopt;
    how.source = Source::AssembledAndKept;
    return handle;
  }

  /// What the driver's machine code depends on.
  std::string keyOf(const PlanModule &module) const {
    return "cubin 1\nname " + plan_.spec + "\nmodule " + module.name + "\ntarget sm_" +
           std::to_string(device_.facts().smVersion) + "\nptx " + hashText(module.ptx) + "\ndriver " +
           device_.facts().driver + "\n";
  }

  Status test(LoadedPlan &loaded, LoadReport &report) {
    std::string key;
    if (options_.cache && !device_.facts().driver.empty()) {
      Plan plan = plan_;
      for (PlanModule &module : plan.modules) {
        if (module.ptx.empty())
          module.ptx = module.cubins[0].arch; // the code counts by `images_`
        module.cubins.clear();
      }
      Result<std::string> text = planToText(plan);
      if (!text)
        return text.takeError();
      key = "self-test 1\nname " + plan_.spec + "\ntarget sm_" + std::to_string(device_.facts().smVersion) + "\nplan " +
            hashText(*text) + "\ndevice " + device_.facts().name + "\ndriver " + device_.facts().driver + "\n" +
            images_;
      if (options_.cache->find(key) == kPassed) {
        report.selfTest = LoadReport::SelfTest::Remembered;
        return Status::success();
      }
    }
    if (Status status = runSelfTest(loaded); !status)
      return status;
    report.selfTest = LoadReport::SelfTest::Passed;
    inform("the self-test of " + plan_.spec + " passed on " + device_.facts().name);
    if (!key.empty())
      (void)options_.cache->store(key, kPassed);
    return Status::success();
  }

  static constexpr const char *kPassed = "passed";
  const Plan &plan_;
  Device &device_;
  const LoadOptions &options_;
  std::string images_; // hashes of what was loaded
};

LoadOptions LoadOptions::fromEnvironment(std::function<void(const std::string &)> warn) {
  LoadOptions options;
  if (std::optional<std::string> folder = cacheFolder()) {
    CacheOptions how;
    how.folder = std::move(*folder);
    how.warn = warn;
    options.cache.emplace(std::move(how));
  }
  auto isOn = [](const char *variable) {
    const char *set = std::getenv(variable);
    const std::string_view value = set ? set : "";
    return !value.empty() && value != "off" && value != "0";
  };
  options.selfTest = isOn("FOVEA_SELF_TEST");
  options.checked = isOn("FOVEA_CHECKED");
  options.warn = std::move(warn);
  return options;
}

std::string LoadReport::describe(const Module &module) {
  char time[32];
  std::snprintf(time, sizeof time, "%.1f ms", module.milliseconds);
  switch (module.source) {
  case Source::PlanCode:
    return "machine code for " + module.arch + " of the plan, loaded in " + time;
  case Source::CachedCode:
    return std::string("machine code of the cache, loaded in ") + time;
  case Source::AssembledAndKept:
    return std::string("assembled by the driver and kept in the cache, in ") + time;
  case Source::Text:
    return std::string("loaded from PTX in ") + time;
  }
  return {};
}

Result<LoadedPlan> LoadedPlan::load(const Plan &plan, Device &device, const LoadOptions &options, LoadReport *report) {
  if (Status status = checkTarget(plan, device.facts()); !status)
    return status.error();
  LoadReport unread;
  return Loader(plan, device, options).run(report ? *report : unread);
}

LoadedPlan::LoadedPlan(LoadedPlan &&other) noexcept { *this = std::move(other); }

LoadedPlan &LoadedPlan::operator=(LoadedPlan &&other) noexcept {
  std::swap(plan_, other.plan_);
  std::swap(device_, other.device_);
  std::swap(modules_, other.modules_);
  std::swap(kernels_, other.kernels_);
  return *this;
}

LoadedPlan::~LoadedPlan() {
  for (ModuleHandle module : modules_)
    (void)device_->unloadModule(module);
}

Result<KernelHandle> LoadedPlan::kernel(uint32_t module, const std::string &name) const {
  auto it = kernels_.find({module, name});
  if (it == kernels_.end())
    return Error{ErrorCode::InvalidArgument, "kernel " + name + " is not part of this plan"};
  return it->second;
}

} // namespace fovea::runtime
