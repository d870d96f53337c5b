// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The device interface over the driver's entry points. Work goes to the null stream, so that copies, launches and
// events are ordered among themselves.
#include "runtime/cuda/CudaDevice.h"

#include "runtime/cuda/CudaTypes.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <sys/stat.h>
#include <vector>

namespace fovea::runtime {

namespace {

using namespace cuda;

/// The library is never closed: the driver keeps threads and state of its own until the process ends.
struct Driver {
  void *library = nullptr;
#define FOVEA_CUDA_REQUIRED(member, symbol, parameters) CUresult(*member) parameters = nullptr;
#define FOVEA_CUDA_OPTIONAL(member, symbol, parameters) CUresult(*member) parameters = nullptr;
#include "runtime/cuda/DriverTable.h"
#undef FOVEA_CUDA_REQUIRED
#undef FOVEA_CUDA_OPTIONAL

  Status load(const std::string &name) {
    library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char *reason = ::dlerror();
      return Error{ErrorCode::NoDevice,
                   "no GPU: the CUDA driver cannot be loaded (" + std::string(reason ? reason : name.c_str()) + ")"};
    }
    const char *missing = nullptr;
#define FOVEA_CUDA_OPTIONAL(member, symbol, parameters)                                                                \
  member = reinterpret_cast<CUresult(*) parameters>(::dlsym(library, #symbol));
#define FOVEA_CUDA_REQUIRED(member, symbol, parameters)                                                                \
  FOVEA_CUDA_OPTIONAL(member, symbol, parameters)                                                                      \
  if (!member && !missing)                                                                                             \
    missing = #symbol;
#include "runtime/cuda/DriverTable.h"
#undef FOVEA_CUDA_REQUIRED
#undef FOVEA_CUDA_OPTIONAL
    if (missing)
      return Error{ErrorCode::NoDevice, "no GPU: " + name + " has no " + missing + "; the driver is too old"};
    return Status::success();
  }

  /// The newest CUDA that it serves tells releases of one branch not apart, so also its file: the name behind all
  /// links, which holds the release on most systems, with size and time.
  std::string identity(int version) const {
    std::string text = "CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
    Dl_info info;
    if (::dladdr(reinterpret_cast<void *>(driverGetVersion), &info) == 0 || !info.dli_fname)
      return text;
    char *path = ::realpath(info.dli_fname, nullptr);
    if (!path)
      return text;
    std::string_view name = path;
    text += ", " + std::string(name.substr(name.rfind('/') + 1));
    if (struct stat file; ::stat(path, &file) == 0)
      text += ", " + std::to_string(file.st_size) + " bytes of " + std::to_string(file.st_mtim.tv_sec);
    std::free(path);
    return text;
  }

  Error error(CUresult result, const char *call, const char *file, int line) const {
    const char *name = nullptr, *sentence = nullptr;
    if (getErrorName(result, &name) != kSuccess || !name)
      name = "unknown error";
    if (getErrorString(result, &sentence) != kSuccess || !sentence)
      sentence = "no description";
    std::string_view path = file;
    if (size_t runtime = path.rfind("runtime/"); runtime != std::string_view::npos)
      path.remove_prefix(runtime);
    ErrorCode code = result == kErrorOutOfMemory ? ErrorCode::OutOfMemory
                     : result == kErrorNoDevice  ? ErrorCode::NoDevice
                                                 : ErrorCode::LaunchFailed;
    return {code, std::string(name) + " (" + std::to_string(result) + ": " + sentence + ") from " + call + " at " +
                      std::string(path) + ":" + std::to_string(line)};
  }
};

/// Calls an entry point of `driver_`; on failure returns the error with its name and this place.
#define FOVEA_CUDA_TRY(member, ...)                                                                                    \
  do {                                                                                                                 \
    if (CUresult result_ = driver_->member(__VA_ARGS__); result_ != kSuccess)                                          \
      return driver_->error(result_, #member, __FILE__, __LINE__);                                                     \
  } while (false)

/// What the driver's assembler says of errors.
class JitLog {
public:
  unsigned count() const { return static_cast<unsigned>(options_.size()); }
  int *options() { return options_.data(); }
  void **values() { return values_.data(); }
  Error explain(Error error, std::string_view module) {
    text_.back() = '\0';
    error.message = "module " + std::string(module) + " cannot be loaded: " + error.message;
    if (text_[0])
      error.message += "\n" + std::string(text_.data());
    return error;
  }

private:
  std::vector<char> text_ = std::vector<char>(16384, '\0');
  std::array<int, 2> options_ = {kJitErrorLogBuffer, kJitErrorLogBufferSizeBytes};
  std::array<void *, 2> values_ = {text_.data(), reinterpret_cast<void *>(text_.size() - 1)};
};

class CudaDevice : public Device {
public:
  explicit CudaDevice(std::unique_ptr<Driver> driver) : driver_(std::move(driver)) {}

  ~CudaDevice() override {
    if (context_ && !borrowed_)
      (void)driver_->primaryContextRelease(device_);
  }

  Status open(int index, void *context) {
    context_ = static_cast<CUcontext>(context);
    borrowed_ = context != nullptr;
    // Until the device is there, whatever fails means that there is none.
    Status status = find(index);
    if (!status)
      return Error{ErrorCode::NoDevice, "no GPU: " + status.error().message};
    return status;
  }

  const DeviceFacts &facts() const override { return facts_; }

  Result<DeviceAddress> allocate(size_t bytes) override {
    Current current(*this);
    if (!current.status())
      return current.status().error();
    CUdeviceptr pointer = 0;
    FOVEA_CUDA_TRY(memAlloc, &pointer, std::max<size_t>(bytes, 1)); // the driver refuses 0
    return DeviceAddress{pointer};
  }

  Status free(DeviceAddress address) override {
    return call([&]() -> Status {
      FOVEA_CUDA_TRY(memFree, address);
      return {};
    });
  }

  Status upload(DeviceAddress to, const void *from, size_t bytes) override {
    return call([&]() -> Status {
      if (bytes > 0)
        FOVEA_CUDA_TRY(copyHostToDevice, to, from, bytes);
      return {};
    });
  }

  Status download(void *to, DeviceAddress from, size_t bytes) override {
    return call([&]() -> Status {
      FOVEA_CUDA_TRY(contextSynchronize);
      if (bytes > 0)
        FOVEA_CUDA_TRY(copyDeviceToHost, to, from, bytes);
      return {};
    });
  }

  Status fillZero(DeviceAddress address, size_t bytes) override {
    return call([&]() -> Status {
      if (bytes > 0)
        FOVEA_CUDA_TRY(memsetBytes, address, 0, bytes);
      return {};
    });
  }

  Result<ModuleHandle> loadModule(std::string_view image, std::string_view name) override {
    Current current(*this);
    if (!current.status())
      return current.status().error();
    std::string text(image); // the driver wants a null at the end
    JitLog log;
    CUmodule module = nullptr;
    CUresult result = driver_->moduleLoad(&module, text.data(), log.count(), log.options(), log.values());
    if (result != kSuccess)
      return log.explain(driver_->error(result, "moduleLoad", __FILE__, __LINE__), name);
    return ModuleHandle{reinterpret_cast<uint64_t>(module)};
  }

  Result<std::string> assemble(std::string_view ptx, std::string_view name) override {
    if (!driver_->linkCreate || !driver_->linkAddData || !driver_->linkComplete || !driver_->linkDestroy)
      return Error{ErrorCode::Unsupported, "the driver has no cuLinkCreate_v2 and gives no machine code away"};
    Current current(*this);
    if (!current.status())
      return current.status().error();
    std::string text(ptx);
    JitLog log;
    CUlinkState state = nullptr;
    FOVEA_CUDA_TRY(linkCreate, log.count(), log.options(), log.values(), &state);
    // The code belongs to the state.
    void *code = nullptr;
    size_t bytes = 0;
    const char *call = "linkAddData";
    CUresult result = driver_->linkAddData(state, kJitInputPtx, text.data(), text.size() + 1, std::string(name).c_str(),
                                           0, nullptr, nullptr);
    if (result == kSuccess) {
      call = "linkComplete";
      result = driver_->linkComplete(state, &code, &bytes);
    }
    std::string copy = result == kSuccess && code ? std::string(static_cast<const char *>(code), bytes) : std::string();
    (void)driver_->linkDestroy(state);
    if (result != kSuccess)
      return log.explain(driver_->error(result, call, __FILE__, __LINE__), name);
    return copy;
  }

  Status unloadModule(ModuleHandle module) override {
    return call([&]() -> Status {
      std::lock_guard lock(mutex_);
      sharedAllowed_.clear(); // the driver may give a function of another module the same handle
      FOVEA_CUDA_TRY(moduleUnload, reinterpret_cast<CUmodule>(module));
      return {};
    });
  }

  Result<KernelHandle> findKernel(ModuleHandle module, const std::string &name) override {
    Current current(*this);
    if (!current.status())
      return current.status().error();
    CUfunction function = nullptr;
    CUresult result = driver_->moduleGetFunction(&function, reinterpret_cast<CUmodule>(module), name.c_str());
    if (result != kSuccess) {
      Error error = driver_->error(result, "moduleGetFunction", __FILE__, __LINE__);
      return Error{ErrorCode::NotFound, "kernel " + name + ": " + error.message};
    }
    return KernelHandle{reinterpret_cast<uint64_t>(function)};
  }

  Status launch(KernelHandle kernel, const LaunchShape &shape, std::span<const std::byte> args) override {
    if (Status status = prepareKernel(kernel, shape); !status)
      return status;
    return launchOn(nullptr, kernel, shape, args);
  }

  /// More than 48 KiB of dynamic shared memory and large clusters must be asked for, once per kernel.
  Status prepareKernel(KernelHandle kernel, const LaunchShape &shape) override {
    uint32_t clusterSize = shape.cluster[0] * shape.cluster[1] * shape.cluster[2];
    if (shape.sharedBytes <= 48 << 10 && clusterSize <= 8)
      return {};
    return call([&]() -> Status {
      auto function = reinterpret_cast<CUfunction>(kernel);
      std::lock_guard lock(mutex_);
      uint32_t &allowed = sharedAllowed_[kernel];
      if (shape.sharedBytes > 48 << 10 && shape.sharedBytes > allowed) {
        FOVEA_CUDA_TRY(functionSetAttribute, function, kFunctionMaxDynamicSharedSizeBytes,
                       static_cast<int>(shape.sharedBytes));
        allowed = shape.sharedBytes;
      }
      if (clusterSize > 8)
        FOVEA_CUDA_TRY(functionSetAttribute, function, kFunctionNonPortableClusterSizeAllowed, 1);
      return {};
    });
  }

  Status launchOn(DeviceStream queue, KernelHandle kernel, const LaunchShape &shape,
                  std::span<const std::byte> args) override {
    return call([&]() -> Status {
      auto function = reinterpret_cast<CUfunction>(kernel);
      auto stream = static_cast<CUstream>(queue);
      uint32_t clusterSize = shape.cluster[0] * shape.cluster[1] * shape.cluster[2];
      size_t size = args.size();
      void *extra[] = {kLaunchParamBufferPointer, const_cast<std::byte *>(args.data()), kLaunchParamBufferSize, &size,
                       kLaunchParamEnd};
      void **packed = size > 0 ? extra : nullptr;
      if (clusterSize == 1) {
        FOVEA_CUDA_TRY(launchKernel, function, shape.grid[0], shape.grid[1], shape.grid[2], shape.block[0],
                       shape.block[1], shape.block[2], shape.sharedBytes, stream, nullptr, packed);
        return {};
      }
      if (!driver_->launchKernelEx)
        return Error{ErrorCode::Unsupported, "clusters need a driver of CUDA 11.8 or later"};
      CUlaunchAttribute attribute = {};
      attribute.id = kLaunchAttributeClusterDimension;
      attribute.value.clusterDim = {shape.cluster[0], shape.cluster[1], shape.cluster[2]};
      CUlaunchConfig config = {shape.grid[0],  shape.grid[1],     shape.grid[2], shape.block[0], shape.block[1],
                               shape.block[2], shape.sharedBytes, stream,        &attribute,     1};
      FOVEA_CUDA_TRY(launchKernelEx, &config, function, nullptr, packed);
      return {};
    });
  }

  Status fillZeroOn(DeviceStream stream, DeviceAddress address, size_t bytes) override {
    return call([&]() -> Status {
      if (bytes > 0)
        FOVEA_CUDA_TRY(memsetBytesAsync, address, 0, bytes, static_cast<CUstream>(stream));
      return {};
    });
  }

  bool launchesFromThreads() const override { return true; }

  Status synchronize() override {
    return call([&]() -> Status {
      FOVEA_CUDA_TRY(contextSynchronize);
      return {};
    });
  }

  Result<EventHandle> createEvent() override {
    Current current(*this);
    if (!current.status())
      return current.status().error();
    CUevent event = nullptr;
    FOVEA_CUDA_TRY(eventCreate, &event, 0);
    return EventHandle{reinterpret_cast<uint64_t>(event)};
  }

  Status destroyEvent(EventHandle event) override {
    return call([&]() -> Status {
      FOVEA_CUDA_TRY(eventDestroy, reinterpret_cast<CUevent>(event));
      return {};
    });
  }

  Status recordEvent(EventHandle event) override {
    return call([&]() -> Status {
      FOVEA_CUDA_TRY(eventRecord, reinterpret_cast<CUevent>(event), nullptr);
      return {};
    });
  }

  Result<double> elapsedMilliseconds(EventHandle from, EventHandle to) override {
    Current current(*this);
    if (!current.status())
      return current.status().error();
    FOVEA_CUDA_TRY(eventSynchronize, reinterpret_cast<CUevent>(to));
    float milliseconds = 0;
    FOVEA_CUDA_TRY(eventElapsed, &milliseconds, reinterpret_cast<CUevent>(from), reinterpret_cast<CUevent>(to));
    return static_cast<double>(milliseconds);
  }

private:
  /// Makes the context current in this thread for as long as it lives; the caller's context comes back after it.
  class Current {
  public:
    explicit Current(CudaDevice &device) : device_(device) {
      if (CUresult result = device.driver_->contextPush(device.context_); result != kSuccess)
        status_ = device.driver_->error(result, "contextPush", __FILE__, __LINE__);
    }
    ~Current() {
      CUcontext ignored;
      if (status_)
        (void)device_.driver_->contextPop(&ignored);
    }
    const Status &status() const { return status_; }

  private:
    CudaDevice &device_;
    Status status_;
  };

  template <typename F> Status call(F body) {
    Current current(*this);
    if (!current.status())
      return current.status();
    return body();
  }

  Status find(int index) {
    FOVEA_CUDA_TRY(init, 0);
    int count = 0;
    FOVEA_CUDA_TRY(deviceGetCount, &count);
    if (index < 0 || index >= count)
      return Error{ErrorCode::NoDevice,
                   "device " + std::to_string(index) + " of " + std::to_string(count) + " does not exist"};
    FOVEA_CUDA_TRY(deviceGet, &device_, index);
    FOVEA_CUDA_TRY(driverGetVersion, &facts_.driverVersion);
    facts_.driver = driver_->identity(facts_.driverVersion);
    char name[256] = {};
    FOVEA_CUDA_TRY(deviceGetName, name, sizeof name - 1, device_);
    facts_.name = name;
    int major = 0, minor = 0, shared = 0, threads = 0;
    FOVEA_CUDA_TRY(deviceGetAttribute, &major, kAttributeComputeCapabilityMajor, device_);
    FOVEA_CUDA_TRY(deviceGetAttribute, &minor, kAttributeComputeCapabilityMinor, device_);
    FOVEA_CUDA_TRY(deviceGetAttribute, &facts_.sms, kAttributeMultiprocessorCount, device_);
    FOVEA_CUDA_TRY(deviceGetAttribute, &shared, kAttributeMaxSharedMemoryPerBlockOptin, device_);
    FOVEA_CUDA_TRY(deviceGetAttribute, &threads, kAttributeMaxThreadsPerBlock, device_);
    size_t memory = 0;
    FOVEA_CUDA_TRY(deviceTotalMem, &memory, device_);
    facts_.smVersion = major * 10 + minor;
    facts_.maxSharedBytesPerBlock = shared;
    facts_.maxThreadsPerBlock = threads;
    facts_.totalMemoryBytes = static_cast<int64_t>(memory);
    if (!borrowed_)
      FOVEA_CUDA_TRY(primaryContextRetain, &context_, device_);
    return {};
  }

  std::unique_ptr<Driver> driver_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  bool borrowed_ = false; // the context is the caller's
  DeviceFacts facts_;
  std::mutex mutex_;
  std::map<KernelHandle, uint32_t> sharedAllowed_; // under the mutex
};

} // namespace

Result<std::unique_ptr<Device>> openCudaDevice(const CudaOptions &options) {
  auto driver = std::make_unique<Driver>();
  if (Status status = driver->load(options.library); !status)
    return status.error();
  auto device = std::make_unique<CudaDevice>(std::move(driver));
  if (Status status = device->open(options.index, options.context); !status)
    return status.error();
  return std::unique_ptr<Device>(std::move(device));
}

} // namespace fovea::runtime
