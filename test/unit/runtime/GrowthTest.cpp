// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A process that launches for ever: 10,000 launches, and plans that come and go, leave no memory behind.
#include "fovea/emulator.h"
#include "fovea/fovea.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <malloc.h>

namespace {

size_t bytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

fovea::Device open(bool emulator) {
  fovea_device *device = nullptr;
  if (emulator) {
    EXPECT_EQ(fovea_emulator_open(nullptr, &device), FOVEA_OK) << fovea_last_error();
  } else {
    fovea_device_options options = {};
    options.struct_size = sizeof options;
    options.kind = FOVEA_DEVICE_NULL;
    EXPECT_EQ(fovea_device_open(&options, &device), FOVEA_OK) << fovea_last_error();
  }
  return fovea::Device(device);
}

class Growth : public testing::TestWithParam<bool> {};

TEST_P(Growth, TenThousandLaunches) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer has an allocator of its own";
#endif
  auto plan = fovea::Plan::load(FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json");
  ASSERT_TRUE(plan) << plan.failure().text;
  fovea::Device device = open(GetParam());
  auto kernel = plan->prepare(device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  auto call = kernel->bind({"x", "h", "y"});
  ASSERT_TRUE(call) << call.failure().text;
  std::vector<fovea::Tensor> tensors;
  for (int i = 0; i < 3; ++i) {
    auto memory = device.allocate(64 * 4);
    ASSERT_TRUE(memory);
    const std::vector<float> zeros(64);
    ASSERT_TRUE(device.upload(*memory, zeros.data(), 64 * 4));
    tensors.push_back({*memory, FOVEA_F32, {64}});
  }
  auto launch = [&](int count) {
    for (int n = 0; n < count; ++n)
      if (auto done = call->launch(nullptr, tensors); !done)
        FAIL() << done.text();
  };
  launch(1000);
  const size_t before = bytesInUse();
  launch(10000);
  const size_t after = bytesInUse();
  std::printf("in use before %zu bytes, after 10000 launches %zu bytes\n", before, after);
  EXPECT_LE(after, before + 4096);
}

TEST_P(Growth, PlansThatComeAndGo) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer has an allocator of its own";
#endif
  fovea::Device device = open(GetParam());
  auto once = [&] {
    auto plan = fovea::Plan::load(FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json");
    ASSERT_TRUE(plan);
    auto kernel = plan->prepare(device);
    ASSERT_TRUE(kernel);
    auto call = kernel->bind({"x", "h", "y"});
    ASSERT_TRUE(call);
    ASSERT_TRUE(call->reserve(4096));
    // A refused launch says why, which takes memory.
    ASSERT_FALSE(call->launch(nullptr, {}));
  };
  for (int n = 0; n < 20; ++n)
    once();
  const size_t before = bytesInUse();
  for (int n = 0; n < 500; ++n)
    once();
  const size_t after = bytesInUse();
  std::printf("in use before %zu bytes, after 500 plans %zu bytes\n", before, after);
  EXPECT_LE(after, before + 16384);
}

INSTANTIATE_TEST_SUITE_P(Devices, Growth, testing::Bool(),
                         [](const auto &info) { return info.param ? "Emulator" : "Null"; });

} // namespace
