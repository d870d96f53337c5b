// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A CUDA device through the driver, which is found at run time. Nothing here needs CUDA at build time.
#pragma once

#include "runtime/host/Device.h"

#include <memory>
#include <string>

namespace fovea::runtime {

struct CudaOptions {
  int index = 0;                        // of the device, as the driver counts
  std::string library = "libcuda.so.1"; // name or path of the driver
  void *context = nullptr;              // a CUcontext of the caller, which outlives the device; null: the primary one
};

/// Opens a device in its primary context. No driver, no device, or a driver that does not start is an Error of code
/// NoDevice whose sentence says which.
Result<std::unique_ptr<Device>> openCudaDevice(const CudaOptions &options = {});

} // namespace fovea::runtime
