// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A class that `fovea compile --emit=cpp` made, run on the emulator.
#include "emitted_gated.hpp"

#include "fovea/emulator.h"

#include <gtest/gtest.h>

namespace {

TEST(EmittedCpp, Runs) {
  fovea_device *raw = nullptr;
  ASSERT_EQ(fovea_emulator_open(nullptr, &raw), FOVEA_OK) << fovea_last_error();
  fovea::Device device(raw);
  auto kernels = fovea_kernels::Gated::prepare(device);
  ASSERT_TRUE(kernels) << kernels.failure().text;
  fovea_kernels::Gated::Sizes sizes;
  sizes.T = sizes.S = 3;
  auto bytes = kernels->workspaceSize(sizes);
  ASSERT_TRUE(bytes) << bytes.failure().text;

  constexpr size_t count = 3 * 16; // B = H = 1, D = V = 16
  auto give = [&](float value, size_t elements) {
    std::vector<float> host(elements, value);
    auto memory = device.allocate(elements * 4);
    EXPECT_TRUE(memory);
    EXPECT_TRUE(device.upload(*memory, host.data(), elements * 4));
    return static_cast<float *>(*memory);
  };
  fovea_kernels::Gated::Tensors tensors;
  tensors.q = give(0.5f, count);
  tensors.k = give(0.25f, count);
  tensors.v = give(2, count);
  tensors.z = give(0, count); // a gate of 1/2
  tensors.o = give(-1, count);
  auto workspace = device.allocate(*bytes);
  ASSERT_TRUE(workspace);
  auto launched = kernels->launch(nullptr, sizes, tensors, {*workspace, *bytes});
  ASSERT_TRUE(launched) << launched.text();
  std::vector<float> o(count);
  ASSERT_TRUE(device.download(o.data(), tensors.o, count * 4));
  for (float value : o)
    EXPECT_NEAR(value, 1, 1e-5);

  // A tensor that must be there and is not.
  tensors.k = nullptr;
  EXPECT_FALSE(kernels->launch(nullptr, sizes, tensors, {*workspace, *bytes}));
}

} // namespace
