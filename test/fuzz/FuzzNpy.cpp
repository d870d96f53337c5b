// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fuzz target of the .npy reader: as the file's own type and as each other type.
#include "runtime/host/Npy.h"

using namespace fovea::runtime;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string_view content(reinterpret_cast<const char *>(data), size);
  (void)parseNpy(content);
  for (StorageType type : {StorageType::F32, StorageType::F16, StorageType::BF16, StorageType::I32})
    if (fovea::Result<Array> array = parseNpy(content, type))
      (void)array->toDoubles();
  return 0;
}
