// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A driver library for tests: exports the entry points of libcuda, keeps memory on the host, and writes each call into
// a log that the test reads through fakeCudaLog. fakeCudaFail(name, code) makes one entry point fail.
#include "runtime/cuda/CudaTypes.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

using namespace fovea::runtime::cuda;

namespace {

std::string calls;
std::map<std::string, CUresult> failures;
int deviceCount = 1;

/// Logs a call; the result that the test asked for.
CUresult logged(const char *name, const std::string &details = "") {
  calls += std::string(name) + (details.empty() ? "" : " " + details) + "\n";
  auto it = failures.find(name);
  return it == failures.end() ? kSuccess : it->second;
}

template <typename T> T handle(uintptr_t value) { return reinterpret_cast<T>(value); }

std::string numbers(std::initializer_list<uint64_t> values) {
  std::string text;
  for (uint64_t value : values)
    text += (text.empty() ? "" : ",") + std::to_string(value);
  return text;
}

/// Parameters of a launch from its `extra` list, as hexadecimal digits.
std::string packedArgs(void **extra) {
  const unsigned char *buffer = nullptr;
  size_t size = 0;
  for (; extra && *extra != kLaunchParamEnd; extra += 2) {
    if (extra[0] == kLaunchParamBufferPointer)
      buffer = static_cast<const unsigned char *>(extra[1]);
    if (extra[0] == kLaunchParamBufferSize)
      size = *static_cast<size_t *>(extra[1]);
  }
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", buffer[i]);
    text += digits;
  }
  return text.empty() ? "no arguments" : text;
}

} // namespace

#define FAKE extern "C" __attribute__((visibility("default")))

FAKE const char *fakeCudaLog() { return calls.c_str(); }
FAKE void fakeCudaReset(int devices) {
  calls.clear();
  failures.clear();
  deviceCount = devices;
}
FAKE void fakeCudaFail(const char *name, int code) { failures[name] = code; }

FAKE CUresult cuGetErrorName(CUresult result, const char **name) {
  *name = result == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : result == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : nullptr;
  return *name ? kSuccess : 1;
}
FAKE CUresult cuGetErrorString(CUresult result, const char **text) {
  *text = result == 700 ? "an illegal memory access" : nullptr;
  return *text ? kSuccess : 1;
}
FAKE CUresult cuInit(unsigned) { return logged("cuInit"); }
FAKE CUresult cuDriverGetVersion(int *version) {
  *version = 12040;
  return logged("cuDriverGetVersion");
}
FAKE CUresult cuDeviceGetCount(int *count) {
  *count = deviceCount;
  return logged("cuDeviceGetCount");
}
FAKE CUresult cuDeviceGet(CUdevice *device, int index) {
  *device = index + 10;
  return logged("cuDeviceGet", std::to_string(index));
}
FAKE CUresult cuDeviceGetName(char *name, int size, CUdevice) {
  std::snprintf(name, static_cast<size_t>(size), "Fake GPU");
  return logged("cuDeviceGetName");
}
FAKE CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice) {
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : attribute == 97 ? 232448 : 1024;
  return logged("cuDeviceGetAttribute", std::to_string(attribute));
}
FAKE CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) {
  *bytes = size_t{1} << 30;
  return logged("cuDeviceTotalMem_v2");
}
FAKE CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  *context = handle<CUcontext>(0x1000);
  return logged("cuDevicePrimaryCtxRetain", std::to_string(device));
}
FAKE CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return logged("cuDevicePrimaryCtxRelease_v2", std::to_string(device));
}
FAKE CUresult cuCtxPushCurrent_v2(CUcontext context) {
  return logged("cuCtxPushCurrent_v2", numbers({reinterpret_cast<uintptr_t>(context)}));
}
FAKE CUresult cuCtxPopCurrent_v2(CUcontext *) { return logged("cuCtxPopCurrent_v2"); }
FAKE CUresult cuCtxSynchronize() { return logged("cuCtxSynchronize"); }
FAKE CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes) {
  CUresult result = logged("cuMemAlloc_v2", std::to_string(bytes));
  if (result == kSuccess)
    *pointer = reinterpret_cast<CUdeviceptr>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  return result;
}
FAKE CUresult cuMemFree_v2(CUdeviceptr pointer) {
  std::free(reinterpret_cast<void *>(pointer));
  return logged("cuMemFree_v2");
}
FAKE CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  std::memcpy(reinterpret_cast<void *>(to), from, bytes);
  return logged("cuMemcpyHtoD_v2", std::to_string(bytes));
}
FAKE CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  std::memcpy(to, reinterpret_cast<void *>(from), bytes);
  return logged("cuMemcpyDtoH_v2", std::to_string(bytes));
}
FAKE CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
  std::memset(reinterpret_cast<void *>(to), value, bytes);
  return logged("cuMemsetD8_v2", numbers({value, bytes}));
}
FAKE CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  std::memset(reinterpret_cast<void *>(to), value, bytes);
  return logged("cuMemsetD8Async", numbers({value, bytes, reinterpret_cast<uintptr_t>(stream)}));
}
FAKE CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options, void **values) {
  CUresult result = logged("cuModuleLoadDataEx", static_cast<const char *>(image));
  *module = handle<CUmodule>(0x2000);
  for (unsigned i = 0; i < count; ++i)
    if (result != kSuccess && options[i] == kJitErrorLogBuffer)
      std::strcpy(static_cast<char *>(values[i]), "ptxas: line 3: syntax error");
  return result;
}
FAKE CUresult cuModuleUnload(CUmodule) { return logged("cuModuleUnload"); }
FAKE CUresult cuModuleGetFunction(CUfunction *function, CUmodule, const char *name) {
  *function = handle<CUfunction>(0x3000);
  return logged("cuModuleGetFunction", name);
}
FAKE CUresult cuFuncSetAttribute(CUfunction, int attribute, int value) {
  return logged("cuFuncSetAttribute", numbers({static_cast<uint64_t>(attribute), static_cast<uint64_t>(value)}));
}
FAKE CUresult cuLaunchKernel(CUfunction, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                             unsigned shared, CUstream stream, void **, void **extra) {
  std::string queue = stream ? " stream " + std::to_string(reinterpret_cast<uintptr_t>(stream)) : "";
  return logged("cuLaunchKernel", numbers({gx, gy, gz, bx, by, bz, shared}) + " " + packedArgs(extra) + queue);
}
#ifndef FAKE_CUDA_IS_OLD
FAKE CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction, void **, void **extra) {
  const CUlaunchAttribute &attribute = config->attrs[0];
  return logged(
      "cuLaunchKernelEx",
      numbers({config->gridDimX, config->gridDimY, config->gridDimZ, config->blockDimX, config->blockDimY,
               config->blockDimZ, config->sharedMemBytes, config->numAttrs, static_cast<uint64_t>(attribute.id),
               attribute.value.clusterDim.x, attribute.value.clusterDim.y, attribute.value.clusterDim.z}) +
          " " + packedArgs(extra));
}
#endif
FAKE CUresult cuEventCreate(CUevent *event, unsigned) {
  static uintptr_t next = 0x4000;
  *event = handle<CUevent>(next++);
  return logged("cuEventCreate");
}
#ifndef FAKE_CUDA_IS_BROKEN
FAKE CUresult cuEventDestroy_v2(CUevent) { return logged("cuEventDestroy_v2"); }
#endif
FAKE CUresult cuEventRecord(CUevent, CUstream) { return logged("cuEventRecord"); }
FAKE CUresult cuEventSynchronize(CUevent) { return logged("cuEventSynchronize"); }
FAKE CUresult cuEventElapsedTime(float *milliseconds, CUevent, CUevent) {
  *milliseconds = 1.5f;
  return logged("cuEventElapsedTime");
}
