// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// libFuzzer target of the emulator: parses the input as PTX and runs what parses, on a tiny grid with a small budget.
#include "runtime/emulator/Emulator.h"

#include <cstring>
#include <string>

using namespace fovea::emulator;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  auto module = parse(text);
  if (!module)
    return 0;
  for (const KernelInfo &kernel : module->kernels()) {
    Memory memory;
    BufferOptions options;
    options.initialised = size & 1;
    auto buffer = memory.allocate(4096, options);
    auto sparse = memory.addSparse(uint64_t(1) << 36);
    if (!buffer || !sparse)
      return 0;
    std::string params(kernel.paramBytes, '\0');
    for (const ParamInfo &p : kernel.params)
      if (p.size == 8)
        std::memcpy(params.data() + p.offset, p.offset & 8 ? &*sparse : &*buffer, 8);
      else if (p.size == 4)
        params[p.offset] = 40;
    Dim3 block{40, 1, 1};
    if (kernel.reqntid)
      block = *kernel.reqntid;
    Options run;
    run.policy = AsyncPolicy(size % 3);
    run.counters = size & 4;
    run.accumulate = size & 8 ? Accumulate::Exact : Accumulate::Fma;
    run.threads = size & 16 ? 2 : 1;
    run.lenient = size & 32;
    run.instructionBudget = 2000;
    run.memoryLimit = 64u << 20;
    auto report = launch(*module, kernel.name, {2, 1, 1}, block, 256, params, memory, run);
    if (report)
      (void)report->toJson();
  }
  return 0;
}
