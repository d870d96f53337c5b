// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Self-tests: they pass on what was compiled, and find kernels that somebody compiled to something else. Machine code:
// what is refused.
#include "frontend/driver/AheadOfTime.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/SelfTest.h"
#include "test/unit/driver/Spec.h"

#include "gtest/gtest.h"

#include <cstdlib>

using namespace fovea;
using namespace fovea::driver;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

/// How a load with a self-test ends.
std::string load(const runtime::Plan &plan) {
  auto emulator = *runtime::EmulatorDevice::create();
  runtime::LoadOptions options;
  options.selfTest = true;
  Result<runtime::LoadedPlan> loaded = runtime::LoadedPlan::load(plan, *emulator, options);
  return loaded ? "passed"
                : (loaded.error().code == ErrorCode::SelfTestFailed ? "failed: " : "error: ") + loaded.error().message;
}

/// Replaces all occurrences; false where there is none.
bool replace(std::string &text, const std::string &from, const std::string &to) {
  bool found = false;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
    found = true;
  }
  return found;
}

} // namespace

TEST(SelfTest, PassesOnWhatWasCompiledAndFindsWhatWasMiscompiled) {
  Compiler compiler;
  auto compilation = compiler.compile(test::causal(), test::sized());
  ASSERT_TRUE(compilation->ok());
  runtime::Plan plan = *compilation->plan;
  Result<runtime::PlanSelfTest> made = makeSelfTest(*compilation, plan);
  ASSERT_TRUE(made.ok()) << made.error().message;
  plan.selfTest = *made;
  EXPECT_EQ(load(plan), "passed");
  Result<std::string> text = runtime::planToText(plan);
  ASSERT_TRUE(text.ok()) << text.error().message;
  Result<runtime::Plan> again = runtime::parsePlan(*text, nullptr);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(load(*again), "passed") << "numbers survive the file";
  // Drawn by the rule, so that the plan needs no numbers for them.
  ASSERT_EQ(made->inputs.size(), 3u);
  for (const runtime::PlanTestInput &input : made->inputs)
    EXPECT_TRUE(input.values.empty()) << input.tensor;
  EXPECT_EQ(made->outputs.size(), 2u);

  // What a defect of an assembler could look like, one kind of instruction at a time.
  for (auto [right, wrong] : {std::pair("ex2.approx.ftz.f32", "lg2.approx.ftz.f32"),
                              {"mul.rn.f32", "add.rn.f32"},
                              {"sub.rn.f32", "add.rn.f32"},
                              {"lg2.approx.f32", "ex2.approx.ftz.f32"},
                              {"setp.le.s32", "setp.lt.s32"},
                              {"shfl.sync.bfly.b32", "shfl.sync.down.b32"},
                              {"ldmatrix.sync.aligned.m8n8.x4.trans.shared", "ldmatrix.sync.aligned.m8n8.x4.shared"}}) {
    runtime::Plan bad = plan;
    ASSERT_TRUE(replace(bad.modules[0].ptx, right, wrong)) << right;
    EXPECT_TRUE(load(bad).starts_with("failed: the self-test of causal failed on PTX emulator in entry "))
        << right << ": " << load(bad);
  }
}

TEST(SelfTest, OtherSeedsAreOtherTests) {
  Compiler compiler;
  auto compilation = compiler.compile(test::scaledKeys(), test::sized());
  ASSERT_TRUE(compilation->ok());
  Result<runtime::PlanSelfTest> one = makeSelfTest(*compilation, *compilation->plan, 1),
                                two = makeSelfTest(*compilation, *compilation->plan, 2);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one->outputs[0].values, two->outputs[0].values);
  runtime::Plan plan = *compilation->plan;
  plan.selfTest = *one;
  plan.selfTest->seed = 2;
  EXPECT_TRUE(load(plan).starts_with("failed: "));
}

TEST(MachineCode, Refusals) {
  Compiler compiler;
  auto compilation = compiler.compile(test::causal(), test::sized());
  ASSERT_TRUE(compilation->ok());
  runtime::Plan plan = *compilation->plan;
  auto refused = [&](const char *arch) {
    Status status = addCubins(plan, {arch}, {});
    return status ? "no error" : status.error().message;
  };
  EXPECT_CONTAINS(refused("sm_70"), "unknown target 'sm_70'; known: sm_80");
  plan.target = "sm_90";
  EXPECT_CONTAINS(refused("sm_80"), "PTX for sm_90 gives no machine code for sm_80; compile with --target sm_80");
  plan.target = "sm_80";
  setenv("FOVEA_PTXAS", "/nonexistent/ptxas", 1);
  EXPECT_CONTAINS(refused("sm_80"), "ptxas was not found, so there is no machine code");
  EXPECT_EQ(ptxasVersion("/nonexistent/ptxas"), "");
  EXPECT_EQ(ptxasVersion("/bin/it's"), "");
  unsetenv("FOVEA_PTXAS");
  EXPECT_TRUE(plan.modules[0].cubins.empty());
}
