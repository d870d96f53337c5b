// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Addresses of the device that does nothing.
#include "runtime/host/NullDevice.h"

#include <cstring>

namespace fovea::runtime {

NullDevice::NullDevice(int smVersion, int sms) : next_(DeviceAddress{1} << 40) {
  facts_.name = "null device";
  facts_.emulated = true;
  facts_.smVersion = smVersion;
  facts_.sms = sms;
  facts_.maxSharedBytesPerBlock = 227 << 10;
  facts_.totalMemoryBytes = int64_t{1} << 40;
}

Result<DeviceAddress> NullDevice::allocate(size_t bytes) {
  if (bytes > static_cast<size_t>(facts_.totalMemoryBytes))
    return Error{ErrorCode::OutOfMemory, "the null device has no " + std::to_string(bytes) + " bytes"};
  return next_.fetch_add((bytes + 511) / 256 * 256);
}

Status NullDevice::download(void *to, DeviceAddress, size_t bytes) {
  if (bytes > 0)
    std::memset(to, 0, bytes);
  return Status::success();
}

} // namespace fovea::runtime
