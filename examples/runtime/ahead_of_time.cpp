// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels compiled ahead of time: ahead_of_time PLAN.json [--emulator]. The plan of this example adds what it is given
// to a state that stays on the device: h[i] += x[i], y[i] = h[i]. No compiler is linked.
#include <fovea/emulator.h>
#include <fovea/fovea.hpp>

#include <cstdio>
#include <cstring>
#include <numeric>
#include <vector>

namespace {

int complain(const char *what, const std::string &why) {
  std::fprintf(stderr, "%s: %s\n", what, why.c_str());
  return 1;
}

/// A GPU, or the emulator where the user asks for it.
fovea::Expected<fovea::Device> openDevice(bool emulator) {
  if (!emulator)
    return fovea::Device::cuda();
  fovea_device *device = nullptr;
  fovea_status status = fovea_emulator_open(nullptr, &device);
  if (status != FOVEA_OK)
    return fovea::Failure{status, fovea_last_error()};
  return fovea::Device(device);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2)
    return complain("usage", "ahead_of_time PLAN.json [--emulator]");
  auto plan = fovea::Plan::load(argv[1]);
  if (!plan)
    return complain("plan", plan.failure().text);
  auto device = openDevice(argc > 2 && std::strcmp(argv[2], "--emulator") == 0);
  if (!device)
    return complain("device", device.failure().text);
  auto kernel = plan->prepare(*device); // loads and assembles; once
  if (!kernel)
    return complain("prepare", kernel.failure().text);
  auto call = kernel->bind({"x", "h", "y"}); // this order of arguments; once
  if (!call)
    return complain("bind", call.failure().text);

  constexpr std::size_t kCount = 1000, kBytes = kCount * sizeof(float);
  std::vector<float> x(kCount), zero(kCount), y(kCount);
  std::iota(x.begin(), x.end(), 0.f);
  auto dx = device->allocate(kBytes), dh = device->allocate(kBytes), dy = device->allocate(kBytes);
  if (!dx || !dh || !dy)
    return complain("memory", fovea_last_error());
  if (!device->upload(*dx, x.data(), kBytes) || !device->upload(*dh, zero.data(), kBytes))
    return complain("upload", fovea_last_error());
  for (int token = 0; token < 3; ++token) {
    auto done =
        call->launch(nullptr, {{*dx, FOVEA_F32, {kCount}}, {*dh, FOVEA_F32, {kCount}}, {*dy, FOVEA_F32, {kCount}}});
    if (!done)
      return complain("launch", done.text());
  }
  if (!device->download(y.data(), *dy, kBytes)) // waits
    return complain("download", fovea_last_error());
  for (std::size_t i = 0; i < kCount; ++i)
    if (y[i] != 3 * x[i])
      return complain("result", "y[" + std::to_string(i) + "] is " + std::to_string(y[i]));
  for (void *data : {*dx, *dh, *dy})
    (void)device->free(data);
  std::printf("%s: three tokens, state kept on the device: good\n", plan->name());
  return 0;
}
