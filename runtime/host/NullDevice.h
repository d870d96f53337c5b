// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A device that does nothing and takes no time: what is left is the cost of the host.
#pragma once

#include "runtime/host/Device.h"

#include <atomic>

namespace fovea::runtime {

/// Addresses are handed out and never reused; what is downloaded is zeros.
class NullDevice : public Device {
public:
  /// `smVersion` 0 takes every plan.
  explicit NullDevice(int smVersion = 0, int sms = 108);

  const DeviceFacts &facts() const override { return facts_; }
  Result<DeviceAddress> allocate(size_t bytes) override;
  Status free(DeviceAddress) override { return Status::success(); }
  Status upload(DeviceAddress, const void *, size_t) override { return Status::success(); }
  Status download(void *to, DeviceAddress from, size_t bytes) override;
  Status fillZero(DeviceAddress, size_t) override { return Status::success(); }
  Result<ModuleHandle> loadModule(std::string_view, std::string_view) override { return ModuleHandle{1}; }
  Status unloadModule(ModuleHandle) override { return Status::success(); }
  Result<KernelHandle> findKernel(ModuleHandle, const std::string &) override { return KernelHandle{1}; }
  Status launch(KernelHandle, const LaunchShape &, std::span<const std::byte>) override { return Status::success(); }
  Status synchronize() override { return Status::success(); }
  bool launchesFromThreads() const override { return true; }
  Result<EventHandle> createEvent() override { return EventHandle{1}; }
  Status destroyEvent(EventHandle) override { return Status::success(); }
  Status recordEvent(EventHandle) override { return Status::success(); }
  Result<double> elapsedMilliseconds(EventHandle, EventHandle) override { return 0.0; }

private:
  DeviceFacts facts_;
  std::atomic<DeviceAddress> next_;
};

} // namespace fovea::runtime
