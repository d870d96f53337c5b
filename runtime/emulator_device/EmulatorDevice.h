// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The PTX emulator as a device: the same plans on any CPU, with every access checked.
#pragma once

#include "runtime/emulator/Emulator.h"
#include "runtime/host/Device.h"

#include <memory>
#include <string>
#include <vector>

namespace fovea::runtime {

struct EmulatorDeviceOptions {
  emulator::Options emulator; // checks, completion of asynchronous copies, seed, counters
  /// Findings make the launch an Error of code LaunchFailed; otherwise they only stand in the reports. A kernel that
  /// did not come to its end is an error in any case.
  bool failOnFindings = true;
  bool keepReports = true; // else that of the last launch alone
  int sms = 108;           // what `device.sms` gives
  int64_t maxSharedBytesPerBlock = 227 << 10;
  int64_t memoryBytes = int64_t{8} << 30; // allocations beyond it are refused
};

class EmulatorDevice : public Device {
public:
  struct Report {
    std::string kernel;
    LaunchShape shape;
    emulator::LaunchReport report;
  };

  /// An error where this processor cannot run the emulator.
  static Result<std::unique_ptr<EmulatorDevice>> create(const EmulatorDeviceOptions &options = {});
  ~EmulatorDevice() override;

  /// Of every launch since the last clearReports() (or of the last alone), also of those that failed.
  virtual const std::vector<Report> &reports() const = 0;
  virtual void clearReports() = 0;
  /// For launches from now on.
  virtual EmulatorDeviceOptions &options() = 0;
};

} // namespace fovea::runtime
