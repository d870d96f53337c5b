// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fuzz target of the .safetensors reader: opens, then reads every tensor.
#include "runtime/host/Safetensors.h"

using namespace fovea::runtime;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fovea::Result<Safetensors> file = Safetensors::parse(std::string(reinterpret_cast<const char *>(data), size));
  if (!file)
    return 0;
  for (const Safetensors::Entry &entry : file->entries())
    if (fovea::Result<Array> array = file->get(entry.name, StorageType::F32))
      (void)array->toDoubles();
  return 0;
}
