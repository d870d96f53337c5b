// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fuzz target of the .npz reader: the directory, then each array.
#include "runtime/npz/Npz.h"

using namespace fovea::runtime;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fovea::Result<Npz> file = Npz::parse(std::string(reinterpret_cast<const char *>(data), size));
  if (!file)
    return 0;
  size_t count = 0;
  for (const std::string &name : file->names()) {
    // Members may overlap, so that few bytes make many.
    if (++count > 16)
      break;
    (void)file->get(name);
  }
  return 0;
}
