// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Eight threads share plan, device, kernel and call, as the header allows. Built with the library's sources under the
// thread sanitizer where the toolchain has it. A device that is not safe by itself stands for the emulator.
#include "runtime/api/Handles.h"
#include "test/unit/host/HostDevice.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

using namespace fovea;
using namespace fovea::runtime;

namespace {

constexpr int kThreads = 8, kLaunches = 300;
std::atomic<int> failures{0};

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      std::fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, fovea_last_error());                             \
      ++failures;                                                                                                      \
    }                                                                                                                  \
  } while (false)

/// Threads that load one plan at once over a driver, with one cache: each gets the code, whoever assembled it.
void prepareAtOnce(const fovea_plan *plan, fovea_device *device, const char *folder) {
  for (int i = 0; i < 20; ++i) {
    fovea_prepare_options options = {};
    options.struct_size = sizeof options;
    options.cache = FOVEA_ON;
    options.cache_folder = folder;
    fovea_kernel *kernel = nullptr;
    fovea_call *call = nullptr;
    const char *names[] = {"x", "h", "y"};
    CHECK(fovea_prepare_with(plan, device, &options, &kernel) == FOVEA_OK);
    CHECK(fovea_bind(kernel, names, 3, &call) == FOVEA_OK);
    std::vector<float> x(64, 1.f), h(64), y(64);
    constexpr int64_t shape[] = {64};
    fovea_tensor tensors[] = {{x.data(), FOVEA_F32, 1, shape, nullptr},
                              {h.data(), FOVEA_F32, 1, shape, nullptr},
                              {y.data(), FOVEA_F32, 1, shape, nullptr}};
    CHECK(fovea_launch(call, reinterpret_cast<void *>(&x), tensors, 3, nullptr, 0) == FOVEA_OK);
    CHECK(y[63] == 1.f);
    fovea_call_close(call);
    fovea_kernel_close(kernel);
  }
}

void testPreparations() {
  std::string pattern = std::filesystem::temp_directory_path() / "fovea-threads-XXXXXX";
  std::string root = mkdtemp(pattern.data()), folder = root + "/cache";
  fovea_plan *plan = nullptr;
  CHECK(fovea_plan_load(FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json", &plan) == FOVEA_OK);
  // Four devices, two threads each: the lock of a device and the lock of the cache.
  std::vector<fovea_device *> devices(kThreads / 2);
  for (fovea_device *&device : devices) {
    fovea_device_options options = {};
    options.struct_size = sizeof options;
    options.library = FAKE_CUDA;
    CHECK(fovea_device_open(&options, &device) == FOVEA_OK);
  }
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i)
    threads.emplace_back(prepareAtOnce, plan, devices[i / 2], folder.c_str());
  for (std::thread &thread : threads)
    thread.join();
  for (fovea_device *device : devices)
    fovea_device_close(device);
  fovea_plan_close(plan);
  size_t entries = 0;
  for (const auto &file : std::filesystem::directory_iterator(folder))
    entries += file.path().string().ends_with(".entry");
  CHECK(entries == 1);
  std::filesystem::remove_all(root);
}

/// The kernel of the plan, on the host: h[i] += x[i]; y[i] = h[i].
Status accumulate(const LaunchShape &, std::span<const std::byte> args) {
  struct {
    const float *x;
    float *h, *y;
    uint32_t n;
  } params;
  std::memcpy(&params, args.data(), std::min(args.size(), sizeof params));
  for (uint32_t i = 0; i < params.n; ++i)
    params.y[i] = params.h[i] += params.x[i];
  return Status::success();
}

fovea_device *makeDevice(bool unsafe) {
  fovea_device *device = nullptr;
  if (unsafe) {
    auto host = std::make_unique<test::HostDevice>();
    host->kernels["accumulate"] = accumulate;
    CHECK(fovea_internal_adopt_device_1(host.release(), &device) == FOVEA_OK);
  } else {
    fovea_device_options options = {};
    options.struct_size = sizeof options;
    options.kind = FOVEA_DEVICE_NULL;
    CHECK(fovea_device_open(&options, &device) == FOVEA_OK);
  }
  return device;
}

void work(int number, bool unsafe, const fovea_plan *plan, fovea_device *device, const fovea_kernel *shared,
          const fovea_call *call) {
  constexpr int64_t shape[] = {64};
  std::vector<float> ones(64, 1.f), got(64);
  fovea_tensor tensors[3];
  for (fovea_tensor &tensor : tensors) {
    tensor = {nullptr, FOVEA_F32, 1, shape, nullptr};
    CHECK(fovea_device_allocate(device, 256, &tensor.data) == FOVEA_OK);
    std::vector<float> zero(64);
    CHECK(fovea_device_upload(device, tensor.data, &tensor == tensors ? ones.data() : zero.data(), 256) == FOVEA_OK);
  }
  for (int i = 0; i < kLaunches; ++i) {
    CHECK(fovea_launch(call, nullptr, tensors, 3, nullptr, 0) == FOVEA_OK);
    // Each thread has errors of its own.
    if (i % 50 == number) {
      CHECK(fovea_launch(call, nullptr, tensors, static_cast<size_t>(number), nullptr, 0) == FOVEA_INVALID_ARGUMENT ||
            number == 3);
      std::string expected = std::to_string(number) + " tensors for 3 names";
      CHECK(number == 3 || std::string(fovea_last_error()) == expected);
    }
    if (i % 100 == 99) {
      fovea_kernel *kernel = nullptr;
      fovea_call *own = nullptr;
      const char *names[] = {"x", "h", "y"};
      CHECK(fovea_prepare(plan, device, &kernel) == FOVEA_OK);
      CHECK(fovea_bind(i % 200 == 99 ? kernel : shared, names, 3, &own) == FOVEA_OK);
      fovea_kernel_close(kernel);
      CHECK(fovea_call_reserve(own, 1024) == FOVEA_OK);
      fovea_support answer = {};
      answer.struct_size = sizeof answer;
      CHECK(fovea_supports(plan, names, tensors, 3, nullptr, &answer) == FOVEA_OK && answer.supported);
      fovea_call_close(own);
    }
  }
  if (unsafe) {
    CHECK(fovea_device_download(device, got.data(), tensors[2].data, 256) == FOVEA_OK);
    CHECK(got == std::vector<float>(64, static_cast<float>(kLaunches + (number == 3 ? kLaunches / 50 : 0))));
  }
  for (fovea_tensor &tensor : tensors)
    CHECK(fovea_device_free(device, tensor.data) == FOVEA_OK);
}

} // namespace

int main() {
  std::atomic<int> said{0};
  fovea_set_log([](fovea_log_level, const char *, void *user) { ++*static_cast<std::atomic<int> *>(user); }, &said);
  for (bool unsafe : {false, true}) {
    fovea_plan *plan = nullptr;
    fovea_kernel *kernel = nullptr;
    fovea_call *call = nullptr;
    const char *names[] = {"x", "h", "y"};
    fovea_device *device = makeDevice(unsafe);
    CHECK(fovea_plan_load(FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json", &plan) == FOVEA_OK);
    CHECK(fovea_prepare(plan, device, &kernel) == FOVEA_OK);
    CHECK(fovea_bind(kernel, names, 3, &call) == FOVEA_OK);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
      threads.emplace_back(work, i, unsafe, plan, device, kernel, call);
    for (std::thread &thread : threads)
      thread.join();
    fovea_call_close(call);
    fovea_kernel_close(kernel);
    fovea_device_close(device);
    fovea_plan_close(plan);
  }
  testPreparations();
  fovea_set_log(nullptr, nullptr);
  if (said == 0)
    ++failures;
  if (failures == 0)
    std::printf("%d threads, %d launches each: good\n", kThreads, kLaunches);
  return failures == 0 ? 0 : 1;
}
