// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The emulator for callers of the C interface.
#include "fovea/emulator.h"
#include "runtime/api/Handles.h"
#include "runtime/emulator_device/EmulatorDevice.h"

#include <cstring>

using namespace fovea;
using namespace fovea::runtime;

extern "C" fovea_status fovea_emulator_open(const fovea_emulator_options *options, fovea_device **device) {
  fovea_emulator_options read = {};
  if (!device)
    return fovea_internal_fail_1(FOVEA_INVALID_ARGUMENT, "fovea_emulator_open: an argument is NULL");
  if (options) {
    if (options->struct_size != sizeof read) // of the first version
      return fovea_internal_fail_1(FOVEA_INVALID_ARGUMENT,
                                   "fovea_emulator_options: set struct_size to sizeof(fovea_emulator_options)");
    read = *options;
  }
  if (read.multiprocessors < 0 || read.memory_bytes < 0)
    return fovea_internal_fail_1(FOVEA_INVALID_ARGUMENT, "fovea_emulator_options: a negative number");
  EmulatorDeviceOptions made;
  made.keepReports = false;
  if (read.multiprocessors)
    made.sms = read.multiprocessors;
  if (read.memory_bytes)
    made.memoryBytes = read.memory_bytes;
  if (read.unchecked)
    made.emulator.checks = emulator::Checks::none();
  Result<std::unique_ptr<EmulatorDevice>> opened = EmulatorDevice::create(made);
  if (!opened)
    return fovea_internal_fail_1(static_cast<fovea_status>(opened.error().code), opened.error().message.c_str());
  return fovea_internal_adopt_device_1(opened->release(), device);
}
