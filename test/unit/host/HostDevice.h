// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A device whose memory is the host's and whose kernels are C++ functions found by name: records what it is asked to
// do.
#pragma once

#include "runtime/host/Device.h"

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace fovea::runtime::test {

class HostDevice : public Device {
public:
  using Kernel = std::function<Status(const LaunchShape &, std::span<const std::byte>)>;
  std::map<std::string, Kernel> kernels;
  std::vector<std::string> launched;
  std::vector<std::string> modules; // images given to loadModule, those loaded and those refused
  std::string refusedImage;         // loadModule refuses this one
  DeviceFacts deviceFacts;
  size_t failAllocation = 0; // the n-th allocation fails, from 1
  std::set<uint64_t> liveModules, liveEvents;
  std::map<DeviceAddress, std::unique_ptr<std::byte[]>> memory;

  HostDevice() {
    deviceFacts.name = "host";
    deviceFacts.smVersion = 80;
    deviceFacts.sms = 4;
    deviceFacts.maxSharedBytesPerBlock = 100000;
  }

  const DeviceFacts &facts() const override { return deviceFacts; }
  Result<DeviceAddress> allocate(size_t bytes) override {
    if (++allocations_ == failAllocation)
      return Error{ErrorCode::OutOfMemory, "no memory left"};
    auto block = std::make_unique<std::byte[]>(bytes + 256);
    auto address = (reinterpret_cast<DeviceAddress>(block.get()) + 255) / 256 * 256;
    std::memset(reinterpret_cast<void *>(address), 0x5a, bytes);
    memory[address] = std::move(block);
    return address;
  }
  Status free(DeviceAddress address) override {
    return memory.erase(address) ? Status() : Error{ErrorCode::InvalidArgument, "free"};
  }
  Status upload(DeviceAddress to, const void *from, size_t bytes) override {
    if (bytes)
      std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return {};
  }
  Status download(void *to, DeviceAddress from, size_t bytes) override {
    if (bytes)
      std::memcpy(to, reinterpret_cast<void *>(from), bytes);
    return {};
  }
  Status fillZero(DeviceAddress address, size_t bytes) override {
    std::memset(reinterpret_cast<void *>(address), 0, bytes);
    return {};
  }
  Result<ModuleHandle> loadModule(std::string_view image, std::string_view) override {
    modules.emplace_back(image);
    if (image == refusedImage)
      return Error{ErrorCode::LaunchFailed, "image refused"};
    liveModules.insert(modules.size());
    return ModuleHandle{modules.size()};
  }
  Status unloadModule(ModuleHandle module) override {
    return liveModules.erase(static_cast<uint64_t>(module)) ? Status() : Error{};
  }
  Result<KernelHandle> findKernel(ModuleHandle, const std::string &name) override {
    auto it = kernels.find(name);
    if (it == kernels.end())
      return Error{ErrorCode::NotFound, "no kernel " + name};
    return KernelHandle{static_cast<uint64_t>(std::distance(kernels.begin(), it)) + 1};
  }
  Status launch(KernelHandle kernel, const LaunchShape &shape, std::span<const std::byte> args) override {
    auto it = std::next(kernels.begin(), static_cast<std::ptrdiff_t>(static_cast<uint64_t>(kernel) - 1));
    launched.push_back(it->first);
    return it->second(shape, args);
  }
  Status synchronize() override { return {}; }
  Result<EventHandle> createEvent() override {
    liveEvents.insert(++events_);
    return EventHandle{events_};
  }
  Status destroyEvent(EventHandle event) override {
    return liveEvents.erase(static_cast<uint64_t>(event)) ? Status() : Error{};
  }
  Status recordEvent(EventHandle) override { return {}; }
  Result<double> elapsedMilliseconds(EventHandle, EventHandle) override { return 0.25; }

private:
  size_t allocations_ = 0;
  uint64_t events_ = 0;
};

} // namespace fovea::runtime::test
