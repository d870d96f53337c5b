// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea doctor: what was found on this machine, what each target needs, and what is missing for it.
#include "frontend/tools/fovea/Tool.h"

#include "runtime/cuda/CudaDevice.h"
#include "runtime/emulator_device/EmulatorDevice.h"

#include "llvm/Config/llvm-config.h"

#include <cstdio>

namespace fovea::tool {

namespace {

/// First line of what `ptxas --version` says last: "Cuda compilation tools, release 13.0, V13.0.48".
std::string versionOf(const std::string &program) {
  std::string text, quoted = "'" + program + "' --version 2>/dev/null";
  if (program.find('\'') != std::string::npos)
    return text;
  FILE *pipe = popen(quoted.c_str(), "r");
  if (!pipe)
    return text;
  char buffer[256];
  while (size_t got = fread(buffer, 1, sizeof buffer, pipe))
    text.append(buffer, got);
  pclose(pipe);
  size_t at = text.find("release ");
  return at == std::string::npos ? "" : text.substr(at, text.find_first_of(",\n", at) - at);
}

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

int runDoctor() {
  std::printf("fovea 0.1.0, LLVM %s\n", LLVM_VERSION_STRING);
  Result<std::unique_ptr<runtime::Device>> gpu = runtime::openCudaDevice();
  if (gpu) {
    const runtime::DeviceFacts &facts = (*gpu)->facts();
    std::printf("GPU: %s, compute capability %d.%d, %d multiprocessors, %s; the driver serves CUDA up to %d.%d\n",
                facts.name.c_str(), facts.smVersion / 10, facts.smVersion % 10, facts.sms,
                bytesText(double(facts.totalMemoryBytes)).c_str(), facts.driverVersion / 1000,
                facts.driverVersion % 1000 / 10);
  } else {
    std::printf("GPU: %s\n", gpu.error().message.c_str());
    std::printf("  `fovea run` and `fovea check` use the PTX emulator in its place\n");
  }
  if (std::optional<std::string> ptxas = codegen::findPtxas()) {
    std::string version = versionOf(*ptxas);
    std::printf("ptxas: %s%s\n", ptxas->c_str(), version.empty() ? "" : (", " + version).c_str());
  } else {
    std::printf("ptxas: none; FOVEA_PTXAS or PATH may name one. Without it `--emit=cubin` is refused and `fovea "
                "explain` shows estimated registers; kernels run all the same, since the driver assembles them\n");
  }
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
