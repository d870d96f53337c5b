// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea doctor: what was found on this machine, what each target needs, and what is missing for it.
#include "frontend/driver/AheadOfTime.h"
#include "frontend/tools/fovea/Tool.h"

#include "runtime/cache/Cache.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Execute.h"

#include "FoveaVersion.h"
#include "llvm/Config/llvm-config.h"

#include <cstdio>
#include <cstdlib>
#include <map>

namespace fovea::tool {

namespace {

/// Whether the driver takes a module of this target and version: its own answer.
std::string loads(runtime::Device &device, const Target &target) {
  std::string ptx = ".version " + std::string(target.ptxVersion) + "\n.target " + std::string(target.name) +
                    "\n.address_size 64\n.visible .entry nothing()\n{\n  ret;\n}\n";
  Result<runtime::ModuleHandle> module = device.loadModule(ptx, "doctor");
  if (!module)
    return module.error().message;
  (void)device.unloadModule(*module);
  return "";
}

/// What is kept, and for whom.
void printCache() {
  std::optional<std::string> folder = runtime::cacheFolder();
  if (!folder) {
    std::printf("cache: none; FOVEA_CACHE is off, or no home folder is known\n");
    return;
  }
  std::string problem;
  runtime::CacheOptions options;
  options.folder = *folder;
  options.warn = [&](const std::string &text) { problem = text; };
  runtime::Cache cache(options);
  Result<std::vector<runtime::Cache::Entry>> entries = cache.list();
  int64_t bytes = 0, bad = 0;
  std::map<std::string, int> kinds;
  if (entries)
    for (const runtime::Cache::Entry &entry : *entries) {
      bytes += entry.bytes;
      bad += !entry.problem.empty();
      ++kinds[entry.key.substr(0, entry.key.find(' '))];
    }
  std::printf("cache: %s, %s of %s: %d plans, %d cubins, %d passed self-tests%s%s\n", folder->c_str(),
              bytesText(double(bytes)).c_str(), bytesText(double(options.capBytes)).c_str(), kinds["plan"],
              kinds["cubin"], kinds["self-test"], bad ? (", " + std::to_string(bad) + " bad").c_str() : "",
              entries ? "" : (", which cannot be read: " + entries.error().message).c_str());
  if (!cache.usable())
    std::printf("  %s\n", problem.c_str());
}

void printSelfTests() {
  const char *test = std::getenv("FOVEA_SELF_TEST");
  std::printf("self-tests of plans: %s\n",
              runtime::LoadOptions::fromEnvironment({}).selfTest
                  ? (std::string("when they are loaded, since FOVEA_SELF_TEST is ") + test).c_str()
                  : "not run; FOVEA_SELF_TEST=1 runs them when plans are loaded");
}

int runDoctor() {
  std::printf("fovea %s, LLVM %s\n", FOVEA_RELEASE, LLVM_VERSION_STRING);
  Result<std::unique_ptr<runtime::Device>> gpu = runtime::openCudaDevice();
  if (gpu) {
    const runtime::DeviceFacts &facts = (*gpu)->facts();
    std::printf("GPU: %s, compute capability %d.%d, %d multiprocessors, %s; the driver serves CUDA up to %d.%d\n",
                facts.name.c_str(), facts.smVersion / 10, facts.smVersion % 10, facts.sms,
                bytesText(double(facts.totalMemoryBytes)).c_str(), facts.driverVersion / 1000,
                facts.driverVersion % 1000 / 10);
    std::printf("driver: %s; the cache keeps its machine code under this name\n", facts.driver.c_str());
  } else {
    std::printf("GPU: %s\n", gpu.error().message.c_str());
    std::printf("  `fovea run` and `fovea check` use the PTX emulator in its place\n");
  }
  if (std::optional<std::string> ptxas = codegen::findPtxas()) {
    std::string version = driver::ptxasVersion(*ptxas);
    std::printf("ptxas: %s%s\n", ptxas->c_str(), version.empty() ? "" : (", " + version).c_str());
  } else {
    std::printf("ptxas: none; FOVEA_PTXAS or PATH may name one. Without it `--emit=cubin` is refused and `fovea "
                "explain` shows estimated registers; kernels run all the same, since the driver assembles them\n");
  }
  printCache();
  printSelfTests();
  Table table;
  table.row({"target", "PTX", "first driver", "here"});
  for (const Target &target : Target::all()) {
    std::string here = "compiles";
    if (gpu) {
      int sm = 0;
      bool older = !llvm::StringRef(target.name).drop_front(3).getAsInteger(10, sm) && sm <= (*gpu)->facts().smVersion;
      std::string reason = older ? loads(**gpu, target) : "";
      here += !older ? "; this GPU is older" : reason.empty() ? "; runs" : "; the driver refuses it: " + reason;
    }
    table.row({std::string(target.name), std::string(target.ptxVersion), std::string(target.minimumDriver), here});
  }
  std::fputs(table.text().c_str(), stdout);
  return 0;
}

} // namespace

void addDoctor(CLI::App &app, int &status) {
  CLI::App *sub = app.add_subcommand("doctor", "Say what was found on this machine and what is missing");
  sub->callback([&status] { status = runDoctor(); });
}

} // namespace fovea::tool
