// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C interface over a driver: launches in streams and captured graphs, which calls of the driver each makes, and the
// options of fovea_prepare_with.
#include "fovea/fovea.h"
#include "fovea/fovea.hpp"
#include "runtime/abi/Plan.h"
#include "test/unit/host/FakeDriver.h"
#include "test/unit/runtime/Testing.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <vector>

namespace {

// h[i] += x[i]; y[i] = h[i]; without h, y = x through a workspace that the launch sets to zero.
constexpr const char *kAccumulate = FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json";

class Driver : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "fovea-driver-XXXXXX";
    root_ = mkdtemp(pattern.data());
    setenv("FOVEA_CACHE", "off", 1);
    unsetenv("FOVEA_SELF_TEST");
    ASSERT_TRUE(driver_.open(FAKE_CUDA)) << dlerror();
    driver_.reset(1);
    fovea_device_options options = {};
    options.struct_size = sizeof options;
    options.library = FAKE_CUDA;
    ASSERT_EQ(fovea_device_open(&options, &device_), FOVEA_OK) << fovea_last_error();
    ASSERT_EQ(fovea_plan_load(kAccumulate, &plan_), FOVEA_OK) << fovea_last_error();
    ASSERT_EQ(fovea_prepare(plan_, device_, &kernel_), FOVEA_OK) << fovea_last_error();
    const char *names[] = {"x", "h", "y"};
    ASSERT_EQ(fovea_bind(kernel_, names, 3, &call_), FOVEA_OK) << fovea_last_error();
    x_.assign(kCount, 2.f);
    h_.assign(kCount, 0.f);
    y_.assign(kCount, 0.f);
    workspace_ = std::aligned_alloc(256, kCount * 4);
  }
  void TearDown() override {
    fovea_call_close(call_);
    fovea_kernel_close(kernel_);
    fovea_plan_close(plan_);
    fovea_device_close(device_);
    fovea_set_log(nullptr, nullptr);
    std::free(workspace_);
    std::filesystem::remove_all(root_);
    unsetenv("FOVEA_CACHE");
  }

  fovea_status launch(void *stream, bool carried) {
    fovea_tensor tensors[] = {tensor(x_), carried ? tensor(h_) : fovea_tensor{}, tensor(y_)};
    return fovea_launch(call_, stream, tensors, 3, workspace_, kCount * 4);
  }
  fovea_tensor tensor(std::vector<float> &data) const { return {data.data(), FOVEA_F32, 1, &shape_, nullptr}; }

  static constexpr size_t kCount = 128;
  static inline const int64_t shape_ = kCount;
  static inline void *const kStream = reinterpret_cast<void *>(0x77);
  std::string root_;
  fovea::runtime::test::FakeDriver driver_;
  fovea_device *device_ = nullptr;
  fovea_plan *plan_ = nullptr;
  fovea_kernel *kernel_ = nullptr;
  fovea_call *call_ = nullptr;
  std::vector<float> x_, h_, y_;
  void *workspace_ = nullptr;
};

/// Names of the calls in the driver's log, each once.
std::vector<std::string> callsOf(const std::string &log) {
  std::vector<std::string> names;
  for (size_t at = 0; at < log.size(); at = log.find('\n', at) + 1) {
    std::string name = log.substr(at, log.find_first_of(" \n", at) - at);
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  }
  return names;
}

} // namespace

TEST_F(Driver, ModulesAreLoadedBeforeLaunchesAndLaunchesLoadNothing) {
  EXPECT_EQ(driver_.count("cuModuleLoadDataEx"), 1);
  EXPECT_EQ(driver_.count("cuModuleGetFunction accumulate"), 1);
  driver_.reset(1);
  ASSERT_EQ(launch(kStream, true), FOVEA_OK) << fovea_last_error();
  ASSERT_EQ(launch(kStream, false), FOVEA_OK) << fovea_last_error();
  EXPECT_EQ(callsOf(driver_.log()), (std::vector<std::string>{"cuCtxPushCurrent_v2", "cuLaunchKernel",
                                                              "cuCtxPopCurrent_v2", "cuMemsetD8Async"}));
  EXPECT_EQ(driver_.count("cuCtxPushCurrent_v2"), driver_.count("cuCtxPopCurrent_v2"));
  EXPECT_EQ(driver_.count(" stream 119\n"), 2) << "both kernels in the caller's stream";
  EXPECT_EQ(driver_.count("cuMemsetD8Async 0,512,119\n"), 1) << driver_.log();
  EXPECT_EQ(y_[5], 2.f);
}

TEST_F(Driver, ACapturedGraphHoldsTheLaunchesAndCanBeReplayed) {
  driver_.reset(1);
  driver_.capture(kStream);
  ASSERT_EQ(launch(kStream, true), FOVEA_OK) << fovea_last_error();
  ASSERT_EQ(launch(kStream, false), FOVEA_OK) << fovea_last_error();
  driver_.capture(nullptr);
  EXPECT_EQ(h_[0], 0.f) << "captured, not run";
  std::memset(workspace_, 0x3f, kCount * 4);
  EXPECT_EQ(driver_.replay(), 3) << "two kernels and one fill";
  EXPECT_EQ(h_, std::vector<float>(kCount, 2.f));
  EXPECT_EQ(y_, std::vector<float>(kCount, 2.f)) << "the workspace was set to zero in the graph";
  EXPECT_EQ(driver_.replay(), 3);
  EXPECT_EQ(h_, std::vector<float>(kCount, 4.f));
}

TEST_F(Driver, WhatACaptureForbidsIsAnError) {
  driver_.capture(kStream);
  EXPECT_FAILS(launch(nullptr, true), FOVEA_LAUNCH_FAILED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900");
  fovea_kernel *other = nullptr;
  EXPECT_FAILS(fovea_prepare(plan_, device_, &other), FOVEA_LAUNCH_FAILED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
  EXPECT_EQ(other, nullptr);
  EXPECT_FAILS(fovea_call_reserve(call_, 1024), FOVEA_LAUNCH_FAILED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
  EXPECT_FAILS(fovea_device_synchronize(device_), FOVEA_LAUNCH_FAILED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
  EXPECT_EQ(launch(kStream, true), FOVEA_OK) << "the capture goes on";
  driver_.capture(nullptr);
  EXPECT_EQ(driver_.replay(), 1);
}

TEST_F(Driver, ALaunchAllocatesNothing) {
  driver_.keepCalls(0);
  ASSERT_EQ(launch(kStream, true), FOVEA_OK);
  ASSERT_EQ(launch(kStream, false), FOVEA_OK);
  long before = allocations;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(launch(kStream, true), FOVEA_OK);
    ASSERT_EQ(launch(kStream, false), FOVEA_OK);
  }
  EXPECT_EQ(allocations - before, 0);
}

TEST_F(Driver, FaultsOfTheDriverNameCallAndPlace) {
  driver_.fail("cuLaunchKernel", 700);
  EXPECT_FAILS(launch(kStream, true), FOVEA_LAUNCH_FAILED,
               "CUDA_ERROR_ILLEGAL_ADDRESS (700: an illegal memory access) from launchKernel at runtime/cuda/");
  driver_.reset(1);
  driver_.fail("cuMemsetD8Async", 700);
  EXPECT_FAILS(launch(kStream, false), FOVEA_LAUNCH_FAILED, "CUDA_ERROR_ILLEGAL_ADDRESS");
  driver_.reset(1);
  EXPECT_EQ(launch(kStream, false), FOVEA_OK);
}

TEST_F(Driver, PrepareOptions) {
  fovea_kernel *kernel = nullptr;
  fovea_prepare_options options = {};
  auto prepare = [&] { return fovea_prepare_with(plan_, device_, &options, &kernel); };
  EXPECT_FAILS(prepare(), FOVEA_INVALID_ARGUMENT,
               "fovea_prepare_options: struct_size is 0; set it to sizeof(fovea_prepare_options)");
  options.struct_size = sizeof options;
  options.cache = static_cast<fovea_switch>(7);
  EXPECT_FAILS(prepare(), FOVEA_INVALID_ARGUMENT, "fovea_prepare_options: cache is 7, which is no fovea_switch");
  options.cache = FOVEA_ON;
  EXPECT_FAILS(prepare(), FOVEA_INVALID_ARGUMENT, "its folder is not known: FOVEA_CACHE is off");
  options.self_test = static_cast<fovea_switch>(3);
  EXPECT_FAILS(prepare(), FOVEA_INVALID_ARGUMENT, "self_test is 3, which is no fovea_switch");
  options.self_test = FOVEA_AS_SET;
  EXPECT_FAILS(fovea_prepare_with(nullptr, device_, &options, &kernel), FOVEA_INVALID_ARGUMENT, "is NULL");

  std::string said, folder = root_ + "/cache";
  fovea_set_log([](fovea_log_level level, const char *text,
                   void *user) { *static_cast<std::string *>(user) += std::to_string(level) + text + "\n"; },
                &said);
  options.cache_folder = folder.c_str();
  ASSERT_EQ(prepare(), FOVEA_OK) << fovea_last_error();
  fovea_kernel_close(kernel);
  EXPECT_CONTAINS(said, "0module main of accumulate: assembled by the driver and kept in the cache");
  ASSERT_EQ(prepare(), FOVEA_OK) << fovea_last_error();
  fovea_kernel_close(kernel);
  EXPECT_CONTAINS(said, "0module main of accumulate: machine code of the cache");
  // Off, whatever the environment says; on, by the environment.
  setenv("FOVEA_CACHE", folder.c_str(), 1);
  std::filesystem::remove_all(folder);
  options.cache_folder = nullptr;
  options.cache = FOVEA_OFF;
  ASSERT_EQ(prepare(), FOVEA_OK);
  fovea_kernel_close(kernel);
  EXPECT_FALSE(std::filesystem::exists(folder));
  ASSERT_EQ(fovea_prepare(plan_, device_, &kernel), FOVEA_OK);
  fovea_kernel_close(kernel);
  EXPECT_TRUE(std::filesystem::exists(folder));
  // Warnings are said, and nothing fails.
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    if (entry.path().string().ends_with(".entry"))
      std::filesystem::resize_file(entry.path(), 100);
  said.clear();
  ASSERT_EQ(fovea_prepare(plan_, device_, &kernel), FOVEA_OK);
  fovea_kernel_close(kernel);
  EXPECT_CONTAINS(said, "1cache: ");
}

TEST_F(Driver, SelfTests) {
  using namespace fovea::runtime;
  fovea::runtime::Plan plan = *readPlan(kAccumulate);
  PlanSelfTest test;
  test.axes = {{"N", 4}};
  test.inputs = {{"x", {1, 2, 3, 4}}, {"h", {0, 0, 0, 0}}};
  test.outputs = {{"y", {1, 2, 3, 4}, 1e-6, 0, 0}};
  plan.selfTest = test;
  std::string text = *planToText(plan);
  auto loaded = fovea::Plan::parse(text);
  ASSERT_TRUE(loaded) << loaded.failure().text;
  fovea::PrepareOptions options;
  options.selfTest = FOVEA_ON;
  fovea_device_options with = {};
  with.struct_size = sizeof with;
  with.library = FAKE_CUDA;
  fovea_device *handle = nullptr;
  ASSERT_EQ(fovea_device_open(&with, &handle), FOVEA_OK);
  fovea::Device device(handle);
  ASSERT_TRUE(loaded->prepare(device, options));
  driver_.assemblesWrong(1);
  EXPECT_TRUE(loaded->prepare(device)) << "not asked for";
  auto failed = loaded->prepare(device, options);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.failure().status, FOVEA_SELF_TEST_FAILED);
  EXPECT_STREQ(fovea_status_name(failed.failure().status), "FOVEA_SELF_TEST_FAILED");
  EXPECT_CONTAINS(failed.failure().text, "the self-test of accumulate failed on Fake GPU");
  setenv("FOVEA_SELF_TEST", "1", 1);
  EXPECT_FALSE(loaded->prepare(device));
  options.selfTest = FOVEA_OFF;
  EXPECT_TRUE(loaded->prepare(device, options)) << "the program decides over the environment";
  unsetenv("FOVEA_SELF_TEST");
}
