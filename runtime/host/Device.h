// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A device as the runtime sees it: memory, modules, launches, events. Implemented over the CUDA driver
// (runtime/cuda/CudaDevice.h) and over the emulator (runtime/emulator_device/EmulatorDevice.h).
#pragma once

#include "runtime/abi/Result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fovea::runtime {

struct DeviceFacts {
  std::string name;      // for people
  bool emulated = false; // runs on this CPU: times mean nothing
  int smVersion = 0;     // compute capability times ten: 80, 86, 90
  int sms = 0;           // multiprocessors
  int driverVersion = 0; // 1000 * major + 10 * minor of the newest CUDA that the driver serves; 0 if none
  int64_t maxSharedBytesPerBlock = 48 << 10; // with opt-in
  int64_t maxThreadsPerBlock = 1024;
  int64_t totalMemoryBytes = 0;
  std::string driver; // tells the build of the driver, and of its assembler, from others; empty: nothing is known
};

/// An address in the device's memory; 0 is null.
using DeviceAddress = uint64_t;

/// Opaque handles, valid for the device that gave them; 0 is none.
enum class ModuleHandle : uint64_t {};
enum class KernelHandle : uint64_t {};
enum class EventHandle : uint64_t {};

/// A queue of work of a device: over CUDA a CUstream, null the default stream. Other devices have one queue.
using DeviceStream = void *;

struct LaunchShape {
  std::array<uint32_t, 3> grid = {1, 1, 1};  // x up to 2^31-1, y and z up to 65535
  std::array<uint32_t, 3> block = {1, 1, 1}; // threads
  uint32_t sharedBytes = 0;                  // dynamic shared memory
  std::array<uint32_t, 3> cluster = {1, 1, 1};
};

/// All work of a device is ordered: each call takes effect after those before it. Launches may return before they ran;
/// their faults are then reported by the next call that waits. Not for use by several threads at once, but for
/// `launchOn` and `fillZeroOn` where `launchesFromThreads` says so.
class Device {
public:
  virtual ~Device() = default;
  virtual const DeviceFacts &facts() const = 0;

  /// Uninitialised memory, aligned to 256 bytes at least. 0 bytes gives a valid address that must not be read.
  virtual Result<DeviceAddress> allocate(size_t bytes) = 0;
  virtual Status free(DeviceAddress address) = 0;
  virtual Status upload(DeviceAddress to, const void *from, size_t bytes) = 0;
  /// Waits for the work before it.
  virtual Status download(void *to, DeviceAddress from, size_t bytes) = 0;
  virtual Status fillZero(DeviceAddress address, size_t bytes) = 0;

  /// `image` is the text of a module or its machine code; the error carries the assembler's or parser's log. `name` is
  /// for messages.
  virtual Result<ModuleHandle> loadModule(std::string_view image, std::string_view name) = 0;
  virtual Status unloadModule(ModuleHandle module) = 0;
  /// Machine code of this device for `loadModule`, by the driver's assembler. Unsupported where it gives none away;
  /// other errors carry its log.
  virtual Result<std::string> assemble(std::string_view ptx, std::string_view name) {
    return Error{ErrorCode::Unsupported, "this device gives no machine code away"};
  }
  virtual Result<KernelHandle> findKernel(ModuleHandle module, const std::string &name) = 0;

  /// `args` holds the parameters packed as the kernel declares them.
  virtual Status launch(KernelHandle kernel, const LaunchShape &shape, std::span<const std::byte> args) = 0;
  virtual Status synchronize() = 0;

  /// What `launch` does for a kernel beforehand, so that `launchOn` is one call of the driver.
  virtual Status prepareKernel(KernelHandle kernel, const LaunchShape &shape) { return Status::success(); }
  /// Launch and fill in a queue of the caller, allocating nothing; the kernel was prepared.
  virtual Status launchOn(DeviceStream, KernelHandle kernel, const LaunchShape &shape,
                          std::span<const std::byte> args) {
    return launch(kernel, shape, args);
  }
  virtual Status fillZeroOn(DeviceStream, DeviceAddress address, size_t bytes) { return fillZero(address, bytes); }
  virtual bool launchesFromThreads() const { return false; }

  virtual Result<EventHandle> createEvent() = 0;
  virtual Status destroyEvent(EventHandle event) = 0;
  /// Marks this point of the work.
  virtual Status recordEvent(EventHandle event) = 0;
  /// Milliseconds from one recorded point to another; waits for the second.
  virtual Result<double> elapsedMilliseconds(EventHandle from, EventHandle to) = 0;
};

/// Memory of a device, freed when the owner goes.
class DeviceBuffer {
public:
  DeviceBuffer() = default;
  static Result<DeviceBuffer> allocate(Device &device, size_t bytes) {
    Result<DeviceAddress> address = device.allocate(bytes);
    if (!address)
      return address.takeError();
    return DeviceBuffer(device, *address, bytes);
  }
  DeviceBuffer(DeviceBuffer &&other) noexcept { *this = std::move(other); }
  DeviceBuffer &operator=(DeviceBuffer &&other) noexcept {
    std::swap(device_, other.device_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer() {
    if (device_)
      (void)device_->free(address_);
  }
  DeviceAddress address() const { return address_; }
  size_t bytes() const { return bytes_; }

private:
  DeviceBuffer(Device &device, DeviceAddress address, size_t bytes)
      : device_(&device), address_(address), bytes_(bytes) {}
  Device *device_ = nullptr;
  DeviceAddress address_ = 0;
  size_t bytes_ = 0;
};

} // namespace fovea::runtime
