// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A driver library for tests: exports the entry points of libcuda, keeps memory on the host, and writes each call into
// a log that the test reads through fakeCudaLog. fakeCudaFail(name, code) makes one entry point fail.
// Its assembler gives machine code that only the same version of the driver takes back, and appends a byte to the file
// that the variable FAKE_CUDA_COUNTER names. It runs one kernel, `accumulate`: h[i] += x[i], y[i] = h[i], over 64
// elements for each block; code that holds the word "wrong", as its assembler makes where it is told to, gives y = -1.
// While a stream is captured, calls that a capture forbids fail and launches are kept for fakeCudaReplay.
#include "runtime/cuda/CudaTypes.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>
#include <vector>

using namespace fovea::runtime::cuda;

namespace {

std::recursive_mutex mutex; // of all that follows
std::string calls;
std::map<std::string, CUresult> failures;
int deviceCount = 1, driverVersion = 12040;
bool assemblesWrong = false, keepsCalls = true;
std::map<uintptr_t, bool> modules;                                // by handle: whether its code is wrong
std::map<uintptr_t, std::string> linked;                          // text, then code, of links
std::map<uintptr_t, std::pair<uintptr_t, std::string>> functions; // module and name
uintptr_t nextModule = 0x2000, nextFunction = 0x3000;
[[maybe_unused]] uintptr_t nextLink = 0x5000;
uintptr_t captured = 0; // the stream
std::vector<std::function<void()>> graph;

constexpr CUresult kNoBinary = 209, kCaptureForbids = 900;

std::string elf() {
  return std::string("\x7f"
                     "ELF");
}

/// Logs a call; the result that the test asked for.
CUresult logged(const char *name, const std::string &details = "") {
  std::lock_guard lock(mutex);
  if (keepsCalls)
    calls += std::string(name) + (details.empty() ? "" : " " + details) + "\n";
  static const char *const kForbidden[] = {
      "cuMemAlloc_v2",      "cuMemFree_v2",   "cuMemcpyHtoD_v2",  "cuMemcpyDtoH_v2", "cuMemsetD8_v2",
      "cuModuleLoadDataEx", "cuModuleUnload", "cuCtxSynchronize", "cuLinkComplete",  "cuEventSynchronize"};
  for (const char *forbidden : kForbidden)
    if (captured && std::strcmp(name, forbidden) == 0)
      return kCaptureForbids;
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

/// What a launch of a function does; nothing for those that are unknown.
std::function<void()> kernelOf(CUfunction function, void **extra) {
  std::lock_guard lock(mutex);
  auto found = functions.find(reinterpret_cast<uintptr_t>(function));
  if (found == functions.end() || found->second.second != "accumulate" || !extra)
    return {};
  struct {
    const float *x;
    float *h, *y;
    uint32_t n;
  } args;
  if (*static_cast<size_t *>(extra[3]) < 28)
    return {};
  std::memcpy(&args, extra[1], 28);
  bool wrong = modules[found->second.first];
  return [args, wrong] {
    for (uint32_t i = 0; i < args.n; ++i)
      args.y[i] = wrong ? -1.f : args.h[i] += args.x[i];
  };
}

/// Runs work of a stream, or keeps it for a replay.
CUresult started(CUstream stream, std::function<void()> run) {
  std::lock_guard lock(mutex);
  if (captured && !stream)
    return kCaptureForbids; // the default stream waits for all others
  if (captured == reinterpret_cast<uintptr_t>(stream) && captured)
    graph.push_back(std::move(run));
  else
    run();
  return kSuccess;
}

} // namespace

#define FAKE extern "C" __attribute__((visibility("default")))

FAKE const char *fakeCudaLog() { return calls.c_str(); }
FAKE void fakeCudaReset(int devices) {
  calls.clear();
  failures.clear();
  deviceCount = devices;
  driverVersion = 12040;
  assemblesWrong = false;
  keepsCalls = true;
  captured = 0;
}
FAKE void fakeCudaFail(const char *name, int code) { failures[name] = code; }
FAKE void fakeCudaVersion(int version) { driverVersion = version; }
FAKE void fakeCudaAssemblesWrong(int wrong) { assemblesWrong = wrong; }
FAKE void fakeCudaKeepCalls(int keep) { keepsCalls = keep; }
/// Null ends the capture.
FAKE void fakeCudaCapture(void *stream) {
  if (stream)
    graph.clear();
  captured = reinterpret_cast<uintptr_t>(stream);
}
/// Number of nodes that ran.
FAKE int fakeCudaReplay() {
  for (const auto &node : graph)
    node();
  return static_cast<int>(graph.size());
}

FAKE CUresult cuGetErrorName(CUresult result, const char **name) {
  *name = result == 700               ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : result == 2               ? "CUDA_ERROR_OUT_OF_MEMORY"
          : result == kNoBinary       ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
          : result == kCaptureForbids ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
                                      : nullptr;
  return *name ? kSuccess : 1;
}
FAKE CUresult cuGetErrorString(CUresult result, const char **text) {
  *text = result == 700 ? "an illegal memory access" : nullptr;
  return *text ? kSuccess : 1;
}
FAKE CUresult cuInit(unsigned) { return logged("cuInit"); }
FAKE CUresult cuDriverGetVersion(int *version) {
  *version = driverVersion;
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
  if (!keepsCalls)
    return kSuccess;
  return logged("cuCtxPushCurrent_v2", numbers({reinterpret_cast<uintptr_t>(context)}));
}
FAKE CUresult cuCtxPopCurrent_v2(CUcontext *) { return keepsCalls ? logged("cuCtxPopCurrent_v2") : kSuccess; }
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
  if (!keepsCalls && !captured)
    return kSuccess;
  auto run = [=] { std::memset(reinterpret_cast<void *>(to), value, bytes); };
  if (CUresult result = started(stream, run); result != kSuccess)
    return result;
  return logged("cuMemsetD8Async", numbers({value, bytes, reinterpret_cast<uintptr_t>(stream)}));
}
FAKE CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options, void **values) {
  std::lock_guard lock(mutex);
  std::string text = static_cast<const char *>(image);
  bool code = text.starts_with(elf());
  CUresult result = logged("cuModuleLoadDataEx", code ? "code" : text);
  bool ours = text.starts_with(elf() + " of driver " + std::to_string(driverVersion) + "\n");
  if (result == kSuccess && code && text.starts_with(elf() + " of driver") && !ours)
    result = kNoBinary;
  if (result == kSuccess && code && text.find("refused") != std::string::npos)
    result = kNoBinary;
  if (result == kSuccess) {
    modules[nextModule] = text.find("wrong") != std::string::npos || (!code && assemblesWrong);
    *module = handle<CUmodule>(nextModule++);
  }
  for (unsigned i = 0; i < count; ++i)
    if (result != kSuccess && !code && options[i] == kJitErrorLogBuffer)
      std::strcpy(static_cast<char *>(values[i]), "ptxas: line 3: syntax error");
  return result;
}
FAKE CUresult cuModuleUnload(CUmodule module) {
  std::lock_guard lock(mutex);
  modules.erase(reinterpret_cast<uintptr_t>(module));
  return logged("cuModuleUnload");
}
FAKE CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  std::lock_guard lock(mutex);
  functions[nextFunction] = {reinterpret_cast<uintptr_t>(module), name};
  *function = handle<CUfunction>(nextFunction++);
  return logged("cuModuleGetFunction", name);
}
#ifndef FAKE_CUDA_IS_OLD
FAKE CUresult cuLinkCreate_v2(unsigned, int *, void **, CUlinkState *state) {
  std::lock_guard lock(mutex);
  linked[nextLink] = {};
  *state = handle<CUlinkState>(nextLink++);
  return logged("cuLinkCreate_v2");
}
FAKE CUresult cuLinkAddData_v2(CUlinkState state, int type, void *data, size_t size, const char *name, unsigned, int *,
                               void **) {
  std::lock_guard lock(mutex);
  linked[reinterpret_cast<uintptr_t>(state)] += std::string(static_cast<const char *>(data), size - 1);
  return logged("cuLinkAddData_v2", numbers({static_cast<uint64_t>(type)}) + " " + name);
}
FAKE CUresult cuLinkComplete(CUlinkState state, void **code, size_t *bytes) {
  std::lock_guard lock(mutex);
  CUresult result = logged("cuLinkComplete");
  if (const char *counter = std::getenv("FAKE_CUDA_COUNTER")) {
    int file = ::open(counter, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)!::write(file, "x", 1);
    ::close(file);
  }
  if (const char *sleep = std::getenv("FAKE_CUDA_SLEEP"))
    ::usleep(static_cast<useconds_t>(std::atoi(sleep)) * 1000);
  std::string &text = linked[reinterpret_cast<uintptr_t>(state)];
  text = elf() + " of driver " + std::to_string(driverVersion) + "\n" + (assemblesWrong ? "wrong\n" : "") + text;
  *code = text.data();
  *bytes = text.size();
  return result;
}
FAKE CUresult cuLinkDestroy(CUlinkState state) {
  std::lock_guard lock(mutex);
  linked.erase(reinterpret_cast<uintptr_t>(state));
  return logged("cuLinkDestroy");
}
#endif
FAKE CUresult cuFuncSetAttribute(CUfunction, int attribute, int value) {
  return logged("cuFuncSetAttribute", numbers({static_cast<uint64_t>(attribute), static_cast<uint64_t>(value)}));
}
FAKE CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                             unsigned bz, unsigned shared, CUstream stream, void **, void **extra) {
  if (!keepsCalls && !captured) // nothing that allocates
    return kSuccess;
  if (std::function<void()> run = kernelOf(function, extra))
    if (CUresult result = started(stream, run); result != kSuccess)
      return result;
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
