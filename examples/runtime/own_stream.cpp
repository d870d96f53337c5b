// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The program's own memory, workspace, stream and captured graph: own_stream PLAN.json [--emulator]. Tensors are slices
// of one allocation. On a GPU the launch is captured in a CUDA graph, which is then replayed; the driver's functions
// are found at run time here, a program that links CUDA calls them by name. On the emulator it is launched as often.
#include <fovea/emulator.h>
#include <fovea/fovea.hpp>

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <numeric>
#include <vector>

namespace {

constexpr int64_t kCount = 512;
constexpr int kReplays = 5;

int complain(const char *what, const std::string &why) {
  std::fprintf(stderr, "%s: %s\n", what, why.c_str());
  return 1;
}

/// What of CUDA's driver this program calls.
struct Cuda {
  void *library = dlopen("libcuda.so.1", RTLD_NOW);
  template <typename... Args> int operator()(const char *name, Args... args) const {
    auto function = reinterpret_cast<int (*)(Args...)>(library ? dlsym(library, name) : nullptr);
    return function ? function(args...) : -1;
  }
};

/// Captures one launch and replays it; the first call that fails is named.
const char *replay(const Cuda &cuda, const fovea::Call &call, const std::vector<fovea::Tensor> &tensors,
                   fovea::Workspace workspace) {
  void *stream = nullptr, *graph = nullptr, *runnable = nullptr, *context = nullptr;
  int device = 0;
  if (cuda("cuDeviceGet", &device, 0) || cuda("cuDevicePrimaryCtxRetain", &context, device) ||
      cuda("cuCtxPushCurrent_v2", context))
    return "context";
  if (cuda("cuStreamCreate", &stream, 1u)) // does not wait for the default stream
    return "cuStreamCreate";
  constexpr int kThreadLocal = 1;
  if (cuda("cuStreamBeginCapture_v2", stream, kThreadLocal))
    return "cuStreamBeginCapture";
  if (!call.launch(stream, tensors, workspace))
    return fovea_last_error();
  if (cuda("cuStreamEndCapture", stream, &graph))
    return "cuStreamEndCapture";
  if (cuda("cuGraphInstantiateWithFlags", &runnable, graph, 0ull))
    return "cuGraphInstantiate";
  for (int i = 0; i < kReplays; ++i)
    if (cuda("cuGraphLaunch", runnable, stream))
      return "cuGraphLaunch";
  if (cuda("cuStreamSynchronize", stream))
    return "cuStreamSynchronize";
  cuda("cuGraphExecDestroy", runnable);
  cuda("cuGraphDestroy", graph);
  cuda("cuStreamDestroy_v2", stream);
  cuda("cuCtxPopCurrent_v2", &context);
  cuda("cuDevicePrimaryCtxRelease_v2", device);
  return nullptr;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2)
    return complain("usage", "own_stream PLAN.json [--emulator]");
  bool emulator = argc > 2 && std::strcmp(argv[2], "--emulator") == 0;
  auto plan = fovea::Plan::load(argv[1]);
  if (!plan)
    return complain("plan", plan.failure().text);
  fovea_device *raw = nullptr;
  if ((emulator ? fovea_emulator_open(nullptr, &raw) : fovea_device_open(nullptr, &raw)) != FOVEA_OK)
    return complain("device", fovea_last_error());
  fovea::Device device(raw);
  auto kernel = plan->prepare(device); // before the capture: modules are loaded here
  if (!kernel)
    return complain("prepare", kernel.failure().text);
  auto call = kernel->bind({"x", "h", "y"});
  if (!call)
    return complain("bind", call.failure().text);

  // One allocation: x, y, h, then the workspace.
  constexpr std::size_t kPair = kCount * 2 * sizeof(float), kState = kCount * sizeof(float);
  fovea::Tensor x(nullptr, FOVEA_F32, {kCount}), h(nullptr, FOVEA_F32, {kCount}), y(nullptr, FOVEA_F32, {kCount});
  auto bytes = call->workspaceSize({x, h, y});
  if (!bytes)
    return complain("workspace", bytes.failure().text);
  auto memory = device.allocate(kPair + kState + *bytes);
  if (!memory)
    return complain("memory", memory.failure().text);
  auto *base = static_cast<char *>(*memory);
  x.data = base;
  y.data = base + kState;
  h.data = base + kPair;
  fovea::Workspace workspace{base + kPair + kState, *bytes};

  std::vector<float> values(kCount), zero(kCount), got(kCount);
  std::iota(values.begin(), values.end(), 0.f);
  if (!device.upload(x.data, values.data(), kState) || !device.upload(h.data, zero.data(), kState))
    return complain("upload", fovea_last_error());
  std::vector<fovea::Tensor> tensors = {x, h, y};
  if (emulator) {
    for (int i = 0; i < kReplays; ++i)
      if (!call->launch(nullptr, tensors, workspace))
        return complain("launch", fovea_last_error());
  } else if (const char *failed = replay(Cuda(), *call, tensors, workspace)) {
    return complain("graph", failed);
  }
  if (!device.download(got.data(), y.data, kState))
    return complain("download", fovea_last_error());
  for (int64_t i = 0; i < kCount; ++i)
    if (got[static_cast<std::size_t>(i)] != static_cast<float>(kReplays * i))
      return complain("result", "y[" + std::to_string(i) + "] is " + std::to_string(got[static_cast<std::size_t>(i)]));
  (void)device.free(*memory);
  std::printf("%s %d times on memory of the program: good\n", emulator ? "launched" : "graph replayed", kReplays);
  return 0;
}
