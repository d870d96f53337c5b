// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What stands behind the handles of the C interface, and the doors through which libraries that are built with this one
// bring devices of their own. Not installed.
#pragma once

#include "fovea/fovea.h"
#include "runtime/host/BoundCall.h"
#include "runtime/host/Device.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace fovea::runtime::api {

/// A device and, where it is not safe by itself, the lock around it.
struct DeviceState {
  std::unique_ptr<Device> device;
  std::mutex mutex;
  bool isCuda = false;
  int ordinal = 0;
  bool safe = false; // launchesFromThreads
};

/// Holds the device's lock; for launches only where the device needs it.
class DeviceLock {
public:
  explicit DeviceLock(DeviceState &state, bool always = true) : lock_(state.mutex, std::defer_lock) {
    if (always || !state.safe)
      lock_.lock();
  }

private:
  std::unique_lock<std::mutex> lock_;
};

/// A plan on a device. The modules go before the device does.
struct KernelState {
  KernelState(std::shared_ptr<const Plan> plan, std::shared_ptr<DeviceState> device, LoadedPlan loaded)
      : plan(std::move(plan)), device(std::move(device)), loaded(std::move(loaded)) {}
  ~KernelState();
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<DeviceState> device;
  std::optional<LoadedPlan> loaded;
  std::vector<KernelHandle> kernels;
  bool checked = false; // each launch looks at the plan's promises first
};

} // namespace fovea::runtime::api

struct fovea_plan {
  std::shared_ptr<const fovea::runtime::Plan> plan;
  std::string signature;
};

struct fovea_device {
  std::shared_ptr<fovea::runtime::api::DeviceState> state;
};

struct fovea_kernel {
  std::shared_ptr<fovea::runtime::api::KernelState> state;
};

struct fovea_call {
  std::shared_ptr<fovea::runtime::api::KernelState> kernel;
  std::vector<uint32_t> slots; // of each argument: the tensor of the plan
  fovea::runtime::AxisSizes given;
  fovea::runtime::BoundCall bound;
  fovea::runtime::DeviceAddress reserve = 0;
  size_t reserveBytes = 0;
};

extern "C" {
/// `device` is a fovea::runtime::Device of a library built from the same sources; it is owned from now on.
FOVEA_API fovea_status fovea_internal_adopt_device_1(fovea::runtime::Device *device, fovea_device **handle);
/// A handle of a copy of a plan, which was checked, of a library built from the same sources.
FOVEA_API fovea_status fovea_internal_copy_plan_1(const fovea::runtime::Plan *plan, fovea_plan **handle);
/// Makes `text` the last error of this thread; gives `status` back.
FOVEA_API fovea_status fovea_internal_fail_1(fovea_status status, const char *text);
}
