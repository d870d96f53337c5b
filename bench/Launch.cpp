// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a bound launch costs the host, in time of a core: on the null device, so that only our part is measured. Prints
// JSON.
//   fovea-bench-launch PLAN.json [AXIS=SIZE ...] [--limit-ns N]
// With a limit, more than it is a failure.
#include "fovea/fovea.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

namespace {

int complain(const char *what) {
  std::fprintf(stderr, "error: %s: %s\n", what, fovea_last_error());
  return 1;
}

/// Time of this thread on a core, not that of others between.
double cpuNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fovea-bench-launch PLAN.json [AXIS=SIZE ...] [--limit-ns N]\n");
    return 2;
  }
  std::map<std::string, int64_t> sizes;
  double limit = 0;
  for (int i = 2; i < argc; ++i) {
    const char *equals = std::strchr(argv[i], '=');
    if (std::strcmp(argv[i], "--limit-ns") == 0 && i + 1 < argc)
      limit = std::atof(argv[++i]);
    else if (equals)
      sizes[std::string(argv[i], static_cast<size_t>(equals - argv[i]))] = std::atoll(equals + 1);
  }
  fovea_plan *plan = nullptr;
  if (fovea_plan_load(argv[1], &plan) != FOVEA_OK)
    return complain(argv[1]);
  fovea_device_options options = {};
  options.struct_size = sizeof options;
  options.kind = FOVEA_DEVICE_NULL;
  fovea_device *device = nullptr;
  fovea_kernel *kernel = nullptr;
  fovea_call *call = nullptr;
  if (fovea_device_open(&options, &device) != FOVEA_OK || fovea_prepare(plan, device, &kernel) != FOVEA_OK)
    return complain("the null device");

  std::vector<const char *> names;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<fovea_tensor> tensors;
  for (size_t i = 0; i < fovea_plan_tensor_count(plan); ++i) {
    fovea_tensor_info info = {};
    info.struct_size = sizeof info;
    if (fovea_plan_tensor_info(plan, i, &info) != FOVEA_OK)
      return complain("tensor");
    std::vector<int64_t> shape;
    size_t bytes = 4;
    for (int d = 0; d < info.rank; ++d) {
      auto given = sizes.find(info.dims[d]);
      shape.push_back(info.static_sizes[d] ? info.static_sizes[d] : given != sizes.end() ? given->second : 8);
      bytes *= static_cast<size_t>(shape.back());
    }
    names.push_back(info.name);
    shapes.push_back(std::move(shape));
    fovea_tensor tensor = {nullptr, info.type, info.rank, nullptr, nullptr};
    if (fovea_device_allocate(device, bytes, &tensor.data) != FOVEA_OK)
      return complain("memory");
    tensors.push_back(tensor);
  }
  for (size_t i = 0; i < tensors.size(); ++i)
    tensors[i].shape = shapes[i].data();
  size_t workspace = 0;
  if (fovea_bind(kernel, names.data(), names.size(), &call) != FOVEA_OK ||
      fovea_workspace_size(call, tensors.data(), tensors.data(), tensors.size(), &workspace) != FOVEA_OK ||
      fovea_call_reserve(call, workspace) != FOVEA_OK)
    return complain("bind");

  constexpr int kRounds = 401, kLaunches = 1000;
  std::vector<double> nanoseconds;
  for (int round = 0; round < kRounds; ++round) {
    double start = cpuNanoseconds();
    for (int i = 0; i < kLaunches; ++i)
      if (fovea_launch(call, nullptr, tensors.data(), tensors.size(), nullptr, 0) != FOVEA_OK)
        return complain("launch");
    nanoseconds.push_back((cpuNanoseconds() - start) / kLaunches);
  }
  std::sort(nanoseconds.begin(), nanoseconds.end());
  std::printf("{\"plan\": \"%s\", \"launch_ns_median\": %.0f, \"launch_ns_least\": %.0f, \"launches\": %d}\n",
              fovea_plan_name(plan), nanoseconds[kRounds / 2], nanoseconds[0], kRounds * kLaunches);
  fovea_call_close(call);
  fovea_kernel_close(kernel);
  fovea_device_close(device);
  fovea_plan_close(plan);
  // The least of the rounds: other work of the machine empties the caches.
  if (limit > 0 && nanoseconds[0] > limit) {
    std::fprintf(stderr, "error: a launch takes %.0f ns on the host; at most %.0f are allowed\n", nanoseconds[0],
                 limit);
    return 1;
  }
  return 0;
}
