// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A class for sequences that lie one behind the other, run on the emulator: offsets are one tensor more, the most
// tokens of a sequence are said once.
#include "emitted_packed.hpp"

#include "fovea/emulator.h"

#include <gtest/gtest.h>

namespace {

TEST(EmittedCpp, RunsSequencesOfDifferentLengths) {
  fovea_device *raw = nullptr;
  ASSERT_EQ(fovea_emulator_open(nullptr, &raw), FOVEA_OK) << fovea_last_error();
  fovea::Device device(raw);
  auto kernels = fovea_kernels::CausalSoftmax::prepare(device, /*T=*/64, /*S=*/64);
  ASSERT_TRUE(kernels) << kernels.failure().text;
  fovea_kernels::CausalSoftmax::Sizes sizes;
  sizes.total = sizes.total_S = 5;
  sizes.B_plus_1 = 4;
  auto bytes = kernels->workspaceSize(sizes);
  ASSERT_TRUE(bytes) << bytes.failure().text;

  auto give = [&](const auto &host) {
    using Element = typename std::decay_t<decltype(host)>::value_type;
    auto memory = device.allocate(host.size() * sizeof(Element));
    EXPECT_TRUE(memory);
    EXPECT_TRUE(device.upload(*memory, host.data(), host.size() * sizeof(Element)));
    return static_cast<Element *>(*memory);
  };
  constexpr size_t features = 16;
  std::vector<float> values;
  for (size_t row = 0; row < 5; ++row)
    values.insert(values.end(), features, row < 2 ? 2.f : 7.f);
  fovea_kernels::CausalSoftmax::Tensors tensors;
  tensors.q = give(std::vector<float>(5 * features, 0.5f));
  tensors.k = give(std::vector<float>(5 * features, 0.25f));
  tensors.v = give(values);
  // Two tokens, none, three.
  tensors.offsets = tensors.starts = give(std::vector<std::int32_t>{0, 2, 2, 5});
  tensors.o = give(std::vector<float>(5 * features, -1.f));
  tensors.lse = give(std::vector<float>(5, -1.f));
  auto workspace = device.allocate(*bytes + 256);
  ASSERT_TRUE(workspace);
  auto launched = kernels->launch(nullptr, sizes, tensors, {*workspace, *bytes});
  ASSERT_TRUE(launched) << launched.text();
  std::vector<float> o(values.size());
  ASSERT_TRUE(device.download(o.data(), tensors.o, o.size() * sizeof(float)));
  for (size_t i = 0; i < o.size(); ++i)
    EXPECT_NEAR(o[i], values[i], 1e-5) << i; // of each sequence its own values alone
}

} // namespace
