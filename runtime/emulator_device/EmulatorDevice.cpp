// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The device interface over emulator::Memory and emulator::launch. Launches run at once, so there is nothing to wait
// for.
#include "runtime/emulator_device/EmulatorDevice.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

namespace fovea::runtime {

namespace {

class EmulatorDeviceImpl : public EmulatorDevice {
public:
  explicit EmulatorDeviceImpl(const EmulatorDeviceOptions &options) : options_(options) {
    facts_.name = "PTX emulator";
    facts_.emulated = true;
    facts_.sms = options.sms;
    facts_.maxSharedBytesPerBlock = options.maxSharedBytesPerBlock;
    facts_.totalMemoryBytes = options.memoryBytes;
  }

  const DeviceFacts &facts() const override { return facts_; }

  Result<DeviceAddress> allocate(size_t bytes) override {
    if (bytes > static_cast<uint64_t>(options_.memoryBytes) - used_)
      return Error{ErrorCode::OutOfMemory, "the emulator has no memory for " + std::to_string(bytes) + " bytes; " +
                                               std::to_string(used_) + " of " + std::to_string(options_.memoryBytes) +
                                               " are taken"};
    emulator::BufferOptions buffer;
    buffer.name = "buffer " + std::to_string(++allocations_);
    buffer.initialised = false;
    // A buffer of 0 bytes would have no address of its own.
    Result<uint64_t> address = memory_.allocate(std::max<size_t>(bytes, 1), buffer);
    if (!address)
      return address;
    used_ += bytes;
    sizes_[*address] = bytes;
    return *address;
  }

  Status free(DeviceAddress address) override {
    auto it = sizes_.find(address);
    if (it == sizes_.end())
      return Error{ErrorCode::InvalidArgument, "the freed address was not allocated"};
    used_ -= it->second;
    sizes_.erase(it);
    return memory_.remove(address);
  }

  Status upload(DeviceAddress to, const void *from, size_t bytes) override {
    return bytes == 0 ? Status::success() : memory_.write(to, from, bytes);
  }
  Status download(void *to, DeviceAddress from, size_t bytes) override {
    return bytes == 0 ? Status::success() : memory_.read(from, to, bytes);
  }
  Status fillZero(DeviceAddress address, size_t bytes) override {
    return bytes == 0 ? Status::success() : memory_.fill(address, 0, bytes);
  }

  Result<ModuleHandle> loadModule(std::string_view ptx, std::string_view name) override {
    if (ptx.starts_with("\x7f"
                        "ELF"))
      return Error{ErrorCode::Unsupported,
                   "module " + std::string(name) + " is machine code without PTX, which the emulator cannot run"};
    Result<emulator::Module> module = emulator::parse(ptx);
    if (!module)
      return Error{module.error().code, "module " + std::string(name) + ": " + module.error().message};
    uint64_t handle = ++lastModule_;
    modules_.emplace(handle, std::move(*module));
    return ModuleHandle{handle};
  }

  Status unloadModule(ModuleHandle module) override {
    if (modules_.erase(static_cast<uint64_t>(module)) == 0)
      return Error{ErrorCode::InvalidArgument, "no such module"};
    std::erase_if(kernels_, [&](const auto &kernel) { return kernel.second.first == static_cast<uint64_t>(module); });
    return Status::success();
  }

  Result<KernelHandle> findKernel(ModuleHandle module, const std::string &name) override {
    auto it = modules_.find(static_cast<uint64_t>(module));
    if (it == modules_.end())
      return Error{ErrorCode::InvalidArgument, "no such module"};
    if (!it->second.find(name)) {
      std::string names;
      for (const emulator::KernelInfo &kernel : it->second.kernels())
        names += (names.empty() ? "" : ", ") + kernel.name;
      return Error{ErrorCode::NotFound, "kernel " + name + " is not in the module; there are: " + names};
    }
    kernels_[++lastKernel_] = {static_cast<uint64_t>(module), name};
    return KernelHandle{lastKernel_};
  }

  Status launch(KernelHandle kernel, const LaunchShape &shape, std::span<const std::byte> args) override {
    auto found = kernels_.find(static_cast<uint64_t>(kernel));
    if (found == kernels_.end())
      return Error{ErrorCode::InvalidArgument, "no such kernel, or its module was unloaded"};
    auto module = modules_.find(found->second.first);
    const std::string &name = found->second.second;
    if (shape.cluster != std::array<uint32_t, 3>{1, 1, 1})
      return Error{ErrorCode::Unsupported, "kernel " + name + ": not in this version: clusters in the emulator"};
    if (shape.sharedBytes > facts_.maxSharedBytesPerBlock)
      return Error{ErrorCode::InvalidArgument, "kernel " + name + ": " + std::to_string(shape.sharedBytes) +
                                                   " bytes of dynamic shared memory; at most " +
                                                   std::to_string(facts_.maxSharedBytesPerBlock)};
    std::string_view params(reinterpret_cast<const char *>(args.data()), args.size());
    Result<emulator::LaunchReport> report = emulator::launch(
        module->second, name, {shape.grid[0], shape.grid[1], shape.grid[2]},
        {shape.block[0], shape.block[1], shape.block[2]}, shape.sharedBytes, params, memory_, options_.emulator);
    if (!report)
      return Error{report.error().code, "kernel " + name + ": " + report.error().message};
    if (!options_.keepReports)
      reports_.clear();
    reports_.push_back({name, shape, std::move(*report)});
    const emulator::LaunchReport &done = reports_.back().report;
    if (done.completed && (!options_.failOnFindings || done.clean()))
      return Status::success();
    std::string message = "kernel " + name + ": " + std::to_string(done.findingCount) + " finding(s) by the emulator";
    for (size_t i = 0; i < done.findings.size() && i < 5; ++i)
      message += "\n" + done.findings[i].format();
    return Error{ErrorCode::LaunchFailed, message};
  }

  Status synchronize() override { return Status::success(); }

  Result<EventHandle> createEvent() override {
    events_[++lastEvent_];
    return EventHandle{lastEvent_};
  }
  Status destroyEvent(EventHandle event) override {
    events_.erase(static_cast<uint64_t>(event));
    return Status::success();
  }
  Status recordEvent(EventHandle event) override {
    auto it = events_.find(static_cast<uint64_t>(event));
    if (it == events_.end())
      return Error{ErrorCode::InvalidArgument, "no such event"};
    it->second = {Clock::now(), true};
    return Status::success();
  }
  Result<double> elapsedMilliseconds(EventHandle from, EventHandle to) override {
    auto a = events_.find(static_cast<uint64_t>(from)), b = events_.find(static_cast<uint64_t>(to));
    if (a == events_.end() || b == events_.end() || !a->second.recorded || !b->second.recorded)
      return Error{ErrorCode::InvalidArgument, "an event that was not recorded"};
    return std::chrono::duration<double, std::milli>(b->second.time - a->second.time).count();
  }

  const std::vector<Report> &reports() const override { return reports_; }
  void clearReports() override { reports_.clear(); }
  EmulatorDeviceOptions &options() override { return options_; }

private:
  using Clock = std::chrono::steady_clock;
  struct Event {
    Clock::time_point time;
    bool recorded = false;
  };

  EmulatorDeviceOptions options_;
  DeviceFacts facts_;
  emulator::Memory memory_;
  uint64_t used_ = 0, allocations_ = 0, lastModule_ = 0, lastEvent_ = 0;
  std::map<DeviceAddress, size_t> sizes_;
  std::map<uint64_t, emulator::Module> modules_;
  std::map<uint64_t, std::pair<uint64_t, std::string>> kernels_; // module, name
  uint64_t lastKernel_ = 0;
  std::map<uint64_t, Event> events_;
  std::vector<Report> reports_;
};

} // namespace

EmulatorDevice::~EmulatorDevice() = default;

Result<std::unique_ptr<EmulatorDevice>> EmulatorDevice::create(const EmulatorDeviceOptions &options) {
  if (Status status = emulator::checkHost(); !status)
    return status.error();
  return std::unique_ptr<EmulatorDevice>(std::make_unique<EmulatorDeviceImpl>(options));
}

} // namespace fovea::runtime
