// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CUDA adaptor over a fake driver: which calls it makes, with what, and how failures come back.
#include "runtime/cuda/CudaDevice.h"
#include "FakeDriver.h"
#include "TestPlan.h"
#include "runtime/host/Execute.h"

#include <cstring>
#include <dlfcn.h>
#include <gtest/gtest.h>

using namespace fovea;
using namespace fovea::runtime;
using namespace fovea::runtime::test;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

class CudaDevice : public testing::Test {
protected:
  void SetUp() override { use(FAKE_CUDA); }

  void use(const char *library) {
    options_.library = library;
    ASSERT_TRUE(driver_.open(library)) << dlerror();
    log_ = driver_.log;
    reset_ = driver_.reset;
    fail_ = driver_.fail;
    reset_(1);
  }

  std::unique_ptr<Device> open() {
    Result<std::unique_ptr<Device>> device = openCudaDevice(options_);
    EXPECT_TRUE(device.ok()) << (device ? "" : device.error().message);
    return device ? std::move(*device) : nullptr;
  }

  Error openError() {
    Result<std::unique_ptr<Device>> device = openCudaDevice(options_);
    return device ? Error{ErrorCode::Ok, "no error"} : device.error();
  }

  int count(const std::string &line) const { return driver_.count(line); }

  CudaOptions options_;
  FakeDriver driver_;
  const char *(*log_)() = nullptr;
  void (*reset_)(int) = nullptr;
  void (*fail_)(const char *, int) = nullptr;
};

} // namespace

TEST_F(CudaDevice, Facts) {
  {
    std::unique_ptr<Device> device = open();
    ASSERT_TRUE(device);
    const DeviceFacts &facts = device->facts();
    EXPECT_EQ(facts.name, "Fake GPU");
    EXPECT_FALSE(facts.emulated);
    EXPECT_EQ(facts.smVersion, 90);
    EXPECT_EQ(facts.sms, 132);
    EXPECT_EQ(facts.driverVersion, 12040);
    EXPECT_EQ(facts.maxSharedBytesPerBlock, 232448);
    EXPECT_EQ(facts.maxThreadsPerBlock, 1024);
    EXPECT_EQ(facts.totalMemoryBytes, 1 << 30);
    EXPECT_CONTAINS(log_(), "cuDevicePrimaryCtxRetain 10");
  }
  EXPECT_CONTAINS(log_(), "cuDevicePrimaryCtxRelease_v2 10");
}

TEST_F(CudaDevice, NoGpuIsSaid) {
  options_.library = "/nonexistent/libcuda.so.1";
  EXPECT_EQ(openError().code, ErrorCode::NoDevice);
  EXPECT_CONTAINS(openError().message, "no GPU: the CUDA driver cannot be loaded");
  options_.library = FAKE_CUDA;
  reset_(0);
  EXPECT_EQ(openError().code, ErrorCode::NoDevice);
  EXPECT_CONTAINS(openError().message, "no GPU: device 0 of 0 does not exist");
  reset_(1);
  options_.index = 1;
  EXPECT_CONTAINS(openError().message, "device 1 of 1 does not exist");
  options_.index = -1;
  EXPECT_CONTAINS(openError().message, "device -1 of 1 does not exist");
  options_.index = 0;
  fail_("cuInit", 999);
  EXPECT_EQ(openError().code, ErrorCode::NoDevice);
  EXPECT_CONTAINS(openError().message, "no GPU: unknown error (999: no description) from init at runtime/cuda/");
  use(FAKE_CUDA_BROKEN);
  EXPECT_EQ(openError().code, ErrorCode::NoDevice);
  EXPECT_CONTAINS(openError().message, "has no cuEventDestroy_v2; the driver is too old");
}

TEST_F(CudaDevice, Memory) {
  std::unique_ptr<Device> device = open();
  Result<DeviceAddress> address = device->allocate(64);
  ASSERT_TRUE(address.ok());
  char in[64], out[64];
  std::memset(in, 7, sizeof in);
  EXPECT_TRUE(device->upload(*address, in, 64).ok());
  EXPECT_TRUE(device->download(out, *address, 64).ok());
  EXPECT_EQ(std::memcmp(in, out, 64), 0);
  EXPECT_TRUE(device->fillZero(*address, 8).ok());
  EXPECT_TRUE(device->download(out, *address, 64).ok());
  EXPECT_EQ(out[7], 0);
  EXPECT_EQ(out[8], 7);
  EXPECT_TRUE(device->free(*address).ok());
  Result<DeviceAddress> empty = device->allocate(0);
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(count("cuMemAlloc_v2 1\n"), 1) << "the driver refuses 0 bytes";
  EXPECT_TRUE(device->upload(*empty, nullptr, 0).ok());
  EXPECT_TRUE(device->download(nullptr, *empty, 0).ok());
  EXPECT_TRUE(device->fillZero(*empty, 0).ok());
  EXPECT_TRUE(device->free(*empty).ok());
  fail_("cuMemAlloc_v2", 2);
  EXPECT_EQ(device->allocate(1).error().code, ErrorCode::OutOfMemory);
  EXPECT_CONTAINS(device->allocate(1).error().message, "CUDA_ERROR_OUT_OF_MEMORY");
  EXPECT_EQ(count("cuCtxPushCurrent_v2"), count("cuCtxPopCurrent_v2"));
}

TEST_F(CudaDevice, AssemblesToCodeThatItTakesBack) {
  std::unique_ptr<Device> device = open();
  EXPECT_CONTAINS(device->facts().driver, "CUDA 12.4, libFakeCuda.so, ");
  Result<std::string> code = device->assemble("the text", "main");
  ASSERT_TRUE(code.ok()) << code.error().message;
  EXPECT_EQ(*code, "\x7f"
                   "ELF of driver 12040\nthe text");
  EXPECT_EQ(count("cuLinkAddData_v2 1 main\n"), 1) << log_();
  EXPECT_EQ(count("cuLinkCreate_v2"), count("cuLinkDestroy"));
  EXPECT_TRUE(device->loadModule(*code, "main").ok());
  driver_.version(12050);
  EXPECT_CONTAINS(device->loadModule(*code, "main").error().message, "CUDA_ERROR_NO_BINARY_FOR_GPU");
  EXPECT_CONTAINS(open()->facts().driver, "CUDA 12.5");
  for (const char *call : {"cuLinkCreate_v2", "cuLinkAddData_v2", "cuLinkComplete"}) {
    reset_(1);
    fail_(call, 218);
    code = device->assemble("the text", "main");
    ASSERT_FALSE(code.ok()) << call;
    EXPECT_CONTAINS(code.error().message, "unknown error (218: no description) from link");
    EXPECT_EQ(count("cuLinkDestroy"), std::string(call) == "cuLinkCreate_v2" ? 0 : 1);
    EXPECT_EQ(count("cuCtxPushCurrent_v2"), count("cuCtxPopCurrent_v2"));
  }
  use(FAKE_CUDA_OLD);
  EXPECT_EQ(open()->assemble("the text", "main").error().code, ErrorCode::Unsupported);
}

TEST_F(CudaDevice, Launches) {
  std::unique_ptr<Device> device = open();
  Result<ModuleHandle> module = device->loadModule("the text", "main");
  ASSERT_TRUE(module.ok());
  EXPECT_EQ(count("cuModuleLoadDataEx the text\n"), 1);
  Result<KernelHandle> kernel = device->findKernel(*module, "k");
  ASSERT_TRUE(kernel.ok());
  uint32_t args[] = {0x01020304, 0xff};
  LaunchShape shape{{4, 5, 6}, {32, 2, 1}, 1000, {1, 1, 1}};
  EXPECT_TRUE(device->launch(*kernel, shape, std::as_bytes(std::span(args))).ok());
  EXPECT_EQ(count("cuLaunchKernel 4,5,6,32,2,1,1000 04030201ff000000\n"), 1) << log_();
  EXPECT_TRUE(device->launch(*kernel, shape, {}).ok());
  EXPECT_EQ(count("cuLaunchKernel 4,5,6,32,2,1,1000 no arguments\n"), 1);
  EXPECT_EQ(count("cuFuncSetAttribute"), 0);
  shape.sharedBytes = 100000;
  EXPECT_TRUE(device->launch(*kernel, shape, {}).ok());
  EXPECT_TRUE(device->launch(*kernel, shape, {}).ok());
  EXPECT_EQ(count("cuFuncSetAttribute 8,100000\n"), 1) << "asked for once";
  shape.sharedBytes = 120000;
  EXPECT_TRUE(device->launch(*kernel, shape, {}).ok());
  EXPECT_EQ(count("cuFuncSetAttribute 8,120000\n"), 1);
  shape = {{8, 4, 1}, {128, 1, 1}, 0, {2, 2, 1}};
  EXPECT_TRUE(device->launch(*kernel, shape, std::as_bytes(std::span(args, 1))).ok());
  EXPECT_EQ(count("cuLaunchKernelEx 8,4,1,128,1,1,0,1,4,2,2,1 04030201\n"), 1) << log_();
  EXPECT_EQ(count("cuFuncSetAttribute 14,1\n"), 0);
  shape.cluster = {4, 4, 1};
  EXPECT_TRUE(device->launch(*kernel, shape, {}).ok());
  EXPECT_EQ(count("cuFuncSetAttribute 14,1\n"), 1) << "more than 8 blocks must be allowed";
  EXPECT_TRUE(device->unloadModule(*module).ok());
  EXPECT_EQ(count("cuModuleUnload"), 1);
}

TEST_F(CudaDevice, LaunchesInQueuesOfTheCaller) {
  std::unique_ptr<Device> device = open();
  EXPECT_TRUE(device->launchesFromThreads());
  Result<KernelHandle> kernel = device->findKernel(*device->loadModule("the text", "main"), "k");
  ASSERT_TRUE(kernel.ok());
  LaunchShape shape{{4, 1, 1}, {32, 1, 1}, 100000, {1, 1, 1}};
  EXPECT_TRUE(device->prepareKernel(*kernel, shape).ok());
  EXPECT_TRUE(device->prepareKernel(*kernel, shape).ok());
  EXPECT_EQ(count("cuFuncSetAttribute 8,100000\n"), 1) << "asked for once";
  auto *stream = reinterpret_cast<DeviceStream>(0x77);
  uint32_t args[] = {0x01020304};
  EXPECT_TRUE(device->launchOn(stream, *kernel, shape, std::as_bytes(std::span(args))).ok());
  EXPECT_EQ(count("cuLaunchKernel 4,1,1,32,1,1,100000 04030201 stream 119\n"), 1) << log_();
  EXPECT_EQ(count("cuFuncSetAttribute"), 1) << "a launch asks for nothing";
  DeviceAddress address = *device->allocate(64);
  EXPECT_TRUE(device->fillZeroOn(stream, address, 64).ok());
  EXPECT_EQ(count("cuMemsetD8Async 0,64,119\n"), 1) << log_();
  EXPECT_TRUE(device->fillZeroOn(stream, address, 0).ok());
  EXPECT_EQ(count("cuMemsetD8Async"), 1);
  EXPECT_TRUE(device->free(address).ok());
  fail_("cuLaunchKernel", 700);
  EXPECT_EQ(device->launchOn(stream, *kernel, shape, {}).error().code, ErrorCode::LaunchFailed);
  EXPECT_EQ(count("cuCtxPushCurrent_v2"), count("cuCtxPopCurrent_v2"));
}

TEST_F(CudaDevice, AContextOfTheCaller) {
  options_.context = reinterpret_cast<void *>(0x55);
  {
    std::unique_ptr<Device> device = open();
    ASSERT_TRUE(device);
    EXPECT_TRUE(device->synchronize().ok());
    EXPECT_EQ(count("cuCtxPushCurrent_v2 85\n"), 1) << log_();
  }
  EXPECT_EQ(count("cuDevicePrimaryCtx"), 0) << "the context stays the caller's";
}

TEST_F(CudaDevice, ClustersOnAnOldDriver) {
  use(FAKE_CUDA_OLD);
  std::unique_ptr<Device> device = open();
  Status status = device->launch(KernelHandle{1}, {{2, 1, 1}, {32, 1, 1}, 0, {2, 1, 1}}, {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::Unsupported);
  EXPECT_CONTAINS(status.error().message, "clusters need a driver of CUDA 11.8");
  EXPECT_TRUE(device->launch(KernelHandle{1}, {}, {}).ok());
}

TEST_F(CudaDevice, FailuresNameCallAndPlace) {
  std::unique_ptr<Device> device = open();
  for (const char *name :
       {"cuCtxSynchronize", "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuMemsetD8_v2", "cuModuleUnload", "cuLaunchKernel",
        "cuFuncSetAttribute", "cuEventCreate", "cuEventRecord", "cuCtxPushCurrent_v2", "cuEventElapsedTime",
        "cuEventDestroy_v2", "cuLaunchKernelEx", "cuMemFree_v2"}) {
    reset_(1);
    fail_(name, 700);
    char byte = 0, from = 0;
    auto here = reinterpret_cast<DeviceAddress>(&byte);
    std::string is = name;
    Status status = is == "cuMemcpyHtoD_v2"      ? device->upload(here, &from, 1)
                    : is == "cuMemcpyDtoH_v2"    ? device->download(&from, here, 1)
                    : is == "cuMemsetD8_v2"      ? device->fillZero(here, 1)
                    : is == "cuMemFree_v2"       ? device->free(0)
                    : is == "cuModuleUnload"     ? device->unloadModule({})
                    : is == "cuLaunchKernel"     ? device->launch({}, {}, {})
                    : is == "cuFuncSetAttribute" ? device->launch({}, {{1, 1, 1}, {1, 1, 1}, 99999, {1, 1, 1}}, {})
                    : is == "cuLaunchKernelEx"   ? device->launch({}, {{2, 1, 1}, {1, 1, 1}, 0, {2, 1, 1}}, {})
                    : is == "cuEventCreate"      ? Status(device->createEvent().error())
                    : is == "cuEventRecord"      ? device->recordEvent({})
                    : is == "cuEventDestroy_v2"  ? device->destroyEvent({})
                    : is == "cuEventElapsedTime" ? Status(device->elapsedMilliseconds({}, {}).error())
                                                 : device->synchronize();
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().code, ErrorCode::LaunchFailed);
    EXPECT_CONTAINS(status.error().message, "CUDA_ERROR_ILLEGAL_ADDRESS (700: an illegal memory access) from ");
    EXPECT_CONTAINS(status.error().message, " at runtime/cuda/CudaDevice.cpp:");
    if (is != "cuCtxPushCurrent_v2") {
      EXPECT_EQ(count("cuCtxPushCurrent_v2"), count("cuCtxPopCurrent_v2")) << name;
    }
  }
  reset_(1);
  fail_("cuModuleLoadDataEx", 218);
  EXPECT_CONTAINS(device->loadModule("x", "main").error().message, "module main cannot be loaded: unknown error (218");
  EXPECT_CONTAINS(device->loadModule("x", "main").error().message, "\nptxas: line 3: syntax error");
  fail_("cuModuleGetFunction", 500);
  EXPECT_EQ(device->findKernel({}, "k").error().code, ErrorCode::NotFound);
  EXPECT_CONTAINS(device->findKernel({}, "k").error().message, "kernel k: ");
}

TEST_F(CudaDevice, EventsMeasure) {
  std::unique_ptr<Device> device = open();
  EventHandle a = *device->createEvent(), b = *device->createEvent();
  EXPECT_TRUE(device->recordEvent(a).ok() && device->recordEvent(b).ok());
  EXPECT_EQ(*device->elapsedMilliseconds(a, b), 1.5);
  EXPECT_EQ(count("cuEventSynchronize"), 1);
  EXPECT_TRUE(device->destroyEvent(a).ok() && device->destroyEvent(b).ok());
}

TEST_F(CudaDevice, RunsAPlan) {
  std::unique_ptr<Device> device = open();
  Plan plan = smallPlan();
  Array q = *Array::create(StorageType::BF16, {2, 5, 6, 8}), k = *Array::create(StorageType::BF16, {2, 9, 3, 8}),
        w = *Array::create(StorageType::F32, {8});
  ExecuteRequest request;
  request.inputs = {{"q", &q}, {"k", &k}, {"w", &w}};
  Result<ExecuteResult> result = execute(plan, *device, request);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(count("cuLaunchKernel 1,6,2,128,1,1,1024 "), 1) << log_();
  EXPECT_EQ(result->milliseconds, std::vector<double>{1.5});
  EXPECT_EQ(count("cuMemAlloc_v2"), count("cuMemFree_v2"));
  EXPECT_EQ(count("cuEventCreate"), count("cuEventDestroy_v2"));
}
