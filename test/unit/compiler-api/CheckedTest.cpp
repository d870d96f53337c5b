// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checked calls: offsets, contracts and decays that are inputs are read before anything is launched, and the first
// element that is wrong is named. Unchecked ones of the same tensors run, within their arrays.
#include "fovea/compiler.hpp"
#include "fovea/emulator.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <optional>

namespace {

constexpr const char *kText = R"(fovea 1
attention gated causal {
  axis B, T, H, K, V
  static K, V
  input q, k : [B, T, H, K]
  input v : [B, T, H, V]
  input g : [B, T, H]
  input w : [B, T, H] in [0, 1)
  carry h : f32 [B, H, K, V]
  state S[K, V] = recur over T { key: k; value: w * v; decay: g; initial: h }
  output o = read(S, q)
}
storage packed { B, T : ragged(offsets: i32 [B + 1], max: T) }
)";

class Checked : public testing::Test {
protected:
  static constexpr int64_t kTokens = 40, kHeads = 2, kKeys = 16, kValues = 16, kSequences = 3;

  void SetUp() override {
    fovea::CompileOptions options;
    options.sets = {"K=16", "V=16"};
    options.type = "f32";
    options.storage = "packed";
    auto compiled = fovea::compile_text(kText, "gated.attn", options);
    ASSERT_TRUE(compiled) << compiled.failure().text;
    fovea_device *raw = nullptr;
    ASSERT_EQ(fovea_emulator_open(nullptr, &raw), FOVEA_OK) << fovea_last_error();
    plan.emplace(std::move(compiled->plan));
    device.emplace(raw);
    offsets = {0, 17, 17, int32_t(kTokens)};
    g.assign(kTokens * kHeads, -0.25f);
    w.assign(kTokens * kHeads, 0.5f);
  }

  template <typename T> void *give(const std::vector<T> &host) {
    auto memory = device->allocate(host.size() * sizeof(T));
    EXPECT_TRUE(memory);
    EXPECT_TRUE(device->upload(*memory, host.data(), host.size() * sizeof(T)));
    return *memory;
  }

  /// What a launch says; "" where it starts. Arrays of heads have rows of `pitch` heads.
  std::string launch(const fovea::PrepareOptions &options, int64_t pitch = kHeads) {
    auto kernel = plan->prepare(*device, options);
    EXPECT_TRUE(kernel) << kernel.failure().text;
    auto call = kernel->bind({"q", "k", "v", "g", "w", "h", "offsets", "o"});
    EXPECT_TRUE(call) << call.failure().text;
    EXPECT_TRUE(call->setAxis("T", 30));
    const std::vector<float> rows(kTokens * kHeads * kKeys, 0.5f), states(kSequences * kHeads * kKeys * kValues);
    const fovea::Tensor row(give(rows), FOVEA_F32, {kTokens, kHeads, kKeys});
    const std::vector<fovea::Tensor> tensors = {
        row,
        row,
        row,
        fovea::Tensor(give(g), FOVEA_F32, {kTokens, kHeads}, {pitch, 1}),
        fovea::Tensor(give(w), FOVEA_F32, {kTokens, kHeads}),
        fovea::Tensor(give(states), FOVEA_F32, {kSequences, kHeads, kKeys, kValues}),
        fovea::Tensor(give(offsets), FOVEA_I32, {kSequences + 1}),
        fovea::Tensor(give(rows), FOVEA_F32, {kTokens, kHeads, kValues})};
    auto bytes = call->workspaceSize(tensors);
    EXPECT_TRUE(bytes) << bytes.failure().text;
    EXPECT_TRUE(call->reserve(*bytes));
    auto launched = call->launch(nullptr, tensors);
    EXPECT_TRUE(launched || launched.status() == FOVEA_INVALID_ARGUMENT);
    return launched ? "" : launched.text();
  }

  std::string checked(int64_t pitch = kHeads) {
    fovea::PrepareOptions options;
    options.checked = FOVEA_ON;
    return launch(options, pitch);
  }

  std::optional<fovea::Plan> plan;
  std::optional<fovea::Device> device;
  std::vector<int32_t> offsets;
  std::vector<float> g, w;
};

TEST_F(Checked, WhatIsRightRuns) { EXPECT_EQ(checked(), ""); }

TEST_F(Checked, OffsetsAreNamed) {
  offsets = {0, 17, 12, 40};
  EXPECT_EQ(checked(), "'offsets'[2] is 12, before 'offsets'[1], which is 17: offsets never fall");
  offsets = {0, 17, 41, 40};
  EXPECT_EQ(checked(), "'offsets'[2] is 41, past the end: there are 40 rows on 'total'");
  offsets = {1, 17, 20, 40};
  EXPECT_EQ(checked(), "'offsets'[0] is 1; the first sequence begins at 0");
  offsets = {0, 3, 35, 40};
  EXPECT_EQ(checked(), "'offsets'[2] is 35: sequence 1 has 32 tokens; 'T' allows 30");
  offsets = {0, 17, 20, 39};
  EXPECT_EQ(checked(), "'offsets' ends at 39; there are 40 rows on 'total'");
  EXPECT_EQ(launch({}), "") << "unchecked, they are clamped";
}

TEST_F(Checked, ContractsAndDecaysAreNamed) {
  w[5] = 1;
  EXPECT_EQ(checked(), "'w' breaks its contract at [total=2, H=1]: it is 1, and is to be at least 0 and below 1");
  g[30] = 0.125f;
  EXPECT_EQ(checked(), "'g' breaks its contract at [total=15, H=0]: it is 0.125, and is to be at most 0");
  g[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(checked(), "'g' breaks its contract at [total=3, H=1]: it is nan, and is to be at most 0");
  EXPECT_EQ(launch({}), "");
}

TEST_F(Checked, GapsBetweenElementsAreNotLookedAt) {
  g.assign(kTokens * 5, 1.f);
  for (int64_t t = 0; t < kTokens; ++t)
    g[t * 5] = g[t * 5 + 1] = -1;
  EXPECT_EQ(checked(5), "");
  g[11 * 5 + 1] = 2;
  EXPECT_EQ(checked(5), "'g' breaks its contract at [total=11, H=1]: it is 2, and is to be at most 0");
}

TEST_F(Checked, TheEnvironmentAsksToo) {
  w[0] = -1;
  setenv("FOVEA_CHECKED", "1", 1);
  EXPECT_NE(launch({}), "");
  fovea::PrepareOptions off;
  off.checked = FOVEA_OFF;
  EXPECT_EQ(launch(off), "");
  setenv("FOVEA_CHECKED", "off", 1);
  EXPECT_EQ(launch({}), "");
  unsetenv("FOVEA_CHECKED");
}

TEST_F(Checked, StructuresOfOlderProgramsAreRead) {
  fovea_prepare_options old = {};
  old.struct_size = offsetof(fovea_prepare_options, checked);
  old.checked = fovea_switch(77); // behind its end
  fovea_kernel *kernel = nullptr;
  ASSERT_EQ(fovea_prepare_with(plan->get(), device->get(), &old, &kernel), FOVEA_OK) << fovea_last_error();
  fovea_kernel_close(kernel);
  old.struct_size = sizeof old;
  EXPECT_EQ(fovea_prepare_with(plan->get(), device->get(), &old, &kernel), FOVEA_INVALID_ARGUMENT);
}

} // namespace
