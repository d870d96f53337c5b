// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plan execution on a device made of host functions: inference, guards, packing, outputs, and every refusal.
#include "runtime/host/Execute.h"
#include "HostDevice.h"
#include "TestPlan.h"

#include <cmath>
#include <gtest/gtest.h>

using namespace fovea;
using namespace fovea::runtime;
using namespace fovea::runtime::test;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

/// The parameters of the kernels of smallPlan(), as a compiler for the device lays them out.
struct Params {
  uint64_t q, k;
  int32_t T;
  uint64_t w;
  float scale;
  int64_t strideQH;
  uint64_t tmp;
  int32_t tail;
  uint64_t o;
  int64_t S;
  int32_t sms;
};

class Execute : public testing::Test {
protected:
  Execute() {
    q_ = *Array::create(StorageType::BF16, {2, 5, 6, 8});
    k_ = *Array::create(StorageType::BF16, {2, 9, 3, 8});
    w_ = *Array::create(StorageType::F32, {8});
    for (int64_t i = 0; i < q_.elements(); ++i)
      q_.setValue(i, static_cast<double>(i % 100));
    auto kernel = [this](const LaunchShape &shape, std::span<const std::byte> args) -> Status {
      shape_ = shape;
      argBytes_ = args.size();
      std::memcpy(&params_, args.data(), std::min(args.size(), sizeof params_));
      const auto *workspace = reinterpret_cast<const unsigned char *>(params_.tmp);
      for (int64_t i = 0; i < 2 * 5 * 4; ++i)
        workspaceIsZero_ = workspaceIsZero_ && workspace[i] == 0;
      // o = q * scale, through the strides that o has in the test that runs.
      for (int64_t i = 0; i < q_.elements(); ++i) {
        if (i == skip_)
          continue;
        float value = static_cast<float>(q_.value(i)) * params_.scale;
        std::memcpy(reinterpret_cast<float *>(params_.o) + (outputPlace_ ? outputPlace_(i) : i), &value, 4);
      }
      if (strayAt_ >= 0)
        reinterpret_cast<float *>(params_.o)[strayAt_] = 1;
      return result_;
    };
    device_.kernels = {{"small_fast", kernel}, {"small_slow", kernel}};
    request_.inputs = {{"q", &q_}, {"k", &k_}, {"w", &w_}};
  }
  ~Execute() override {
    EXPECT_TRUE(device_.memory.empty()) << "device memory was not freed";
    EXPECT_TRUE(device_.liveModules.empty()) << "modules were not unloaded";
    EXPECT_TRUE(device_.liveEvents.empty()) << "events were not destroyed";
  }

  std::string error() {
    Result<ExecuteResult> result = execute(plan_, device_, request_);
    return result ? "no error" : result.error().message;
  }

  Plan plan_ = smallPlan();
  HostDevice device_;
  Array q_, k_, w_;
  ExecuteRequest request_;
  LaunchShape shape_;
  size_t argBytes_ = 0;
  Params params_ = {};
  bool workspaceIsZero_ = true;
  int64_t skip_ = -1, strayAt_ = -1;
  std::function<int64_t(int64_t)> outputPlace_;
  Status result_;
};

} // namespace

TEST_F(Execute, PacksArgumentsAndRuns) {
  request_.repeats = 3;
  Result<ExecuteResult> result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->reason, "16-byte copies");
  EXPECT_EQ(result->call.entry, 0u);
  EXPECT_EQ(result->call.axes, (AxisSizes{{"B", 2}, {"T", 5}, {"S", 9}, {"Hk", 3}, {"G", 2}, {"D", 8}}));
  EXPECT_EQ(result->milliseconds, (std::vector<double>{0.25, 0.25, 0.25}));
  EXPECT_EQ(result->workspaceBytes, 40);
  EXPECT_TRUE(workspaceIsZero_);
  EXPECT_EQ(shape_.grid, (std::array<uint32_t, 3>{1, 6, 2}));
  EXPECT_EQ(shape_.block, (std::array<uint32_t, 3>{128, 1, 1}));
  EXPECT_EQ(shape_.sharedBytes, 1024u);
  EXPECT_EQ(argBytes_, offsetof(Params, sms) + 4);
  EXPECT_EQ(params_.T, 5);
  EXPECT_EQ(params_.scale, 0.125f);
  EXPECT_EQ(params_.strideQH, 8);
  EXPECT_EQ(params_.tail, 4);
  EXPECT_EQ(params_.S, 9);
  EXPECT_EQ(params_.sms, 4);
  EXPECT_EQ(params_.q % 256, 0u);
  const Array &o = result->outputs.at("o");
  EXPECT_EQ(o.shape(), q_.shape());
  for (int64_t i = 0; i < o.elements(); ++i)
    ASSERT_EQ(o.value(i), q_.value(i) * 0.125);
}

TEST_F(Execute, GuardsAreTriedInOrder) {
  request_.addressOffsets["q"] = 2;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_slow");
  EXPECT_EQ(params_.q % 256, 2u);
  request_.addressOffsets["q"] = 16;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_fast");
  request_.addressOffsets.clear();
  // Rows of 12 elements, 24 bytes: the stride decides, not the address.
  q_ = *q_.restrided({5 * 6 * 12, 6 * 12, 12, 1}, 0);
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_slow");
  EXPECT_EQ(params_.strideQH, 12);
  q_ = *q_.restrided({5 * 6 * 16, 6 * 16, 16, 2}, 0);
  std::string message = error();
  EXPECT_CONTAINS(message, "was not compiled for these shapes, strides and addresses; it needs one of");
  EXPECT_CONTAINS(message, "`stride(q, D) == 1`: any alignment");
}

TEST_F(Execute, PreferencesChooseAmongEntriesThatHold) {
  auto ran = [&] {
    Result<ExecuteResult> result = execute(plan_, device_, request_);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result ? static_cast<int>(result->call.entry) : -1;
  };
  EXPECT_EQ(ran(), 0);
  plan_.entries[0].prefer = expr("T >= 64");
  EXPECT_EQ(ran(), 1);
  plan_.entries[0].prefer = expr("T == 5 && device.sms == 4");
  EXPECT_EQ(ran(), 0);
  // Nothing is preferred: the first that holds.
  plan_.entries[0].prefer = plan_.entries[1].prefer = expr("0");
  EXPECT_EQ(ran(), 0);
  request_.addressOffsets["q"] = 2;
  EXPECT_EQ(ran(), 1);
  plan_.entries[1].prefer = expr("1 / (T - 5)");
  EXPECT_CONTAINS(error(), "preference of entry 1: division by zero");
}

TEST_F(Execute, AnEntryCanBeForced) {
  auto reachable = [&] {
    Result<std::vector<size_t>> entries = reachableEntries(plan_, device_.facts(), request_);
    EXPECT_TRUE(entries.ok()) << entries.error().message;
    return *entries;
  };
  request_.entry = 1;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_slow");
  EXPECT_EQ(reachable(), (std::vector<size_t>{0, 1}));
  plan_.entries[0].prefer = expr("0");
  request_.entry = 0;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_fast");
  EXPECT_EQ(reachable(), (std::vector<size_t>{0, 1}));
  request_.addressOffsets["q"] = 2;
  EXPECT_EQ(reachable(), std::vector<size_t>{1});
  EXPECT_CONTAINS(error(), "entry 0 cannot run here: its guard `align(q) >= 16 && stride(q, D) == 1` does not hold");
  request_.entry = 2;
  EXPECT_CONTAINS(error(), "there is no entry 2; the plan has 2, counted from 0");
  request_.inputs.erase("k");
  EXPECT_CONTAINS(reachableEntries(plan_, device_.facts(), request_).error().message,
                  "input `k` of small is not given");
}

TEST_F(Execute, DerivedAxesFollowFromOthers) {
  plan_.axes.push_back({"Tb", {}, "", expr("max(0, (T - 2) / 2)")});
  plan_.tensors.push_back({"blocks", TensorRole::Output, StorageType::F32, {{"B", {"B"}}, {"Tb", {"Tb"}}}});
  Result<ExecuteResult> result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->call.axes.at("Tb"), 1);
  EXPECT_EQ(result->outputs.at("blocks").shape(), (std::vector<int64_t>{2, 1}));
  // Before the axes that it needs, after, and with a caller who says it too.
  EXPECT_EQ(inferAxes(plan_, {{"q", {1, 9, 6, 8}}})->at("Tb"), 3);
  EXPECT_EQ(inferAxes(plan_, {}, {{"T", 6}, {"Tb", 2}})->at("Tb"), 2);
  EXPECT_EQ(inferAxes(plan_, {{"blocks", {1, 3}}})->count("Tb"), 0u);
  EXPECT_CONTAINS(inferAxes(plan_, {}, {{"T", 6}, {"Tb", 1}}).error().message,
                  "axis Tb is 2 by `max(0, (T - 2) / 2)`, but 1 by the caller");
  EXPECT_CONTAINS(inferAxes(plan_, {{"blocks", {1, 3}}}, {{"T", 4}}).error().message,
                  "dimension Tb of `blocks` has size 3, but Tb is 1");
  // None at all: an empty output, and nothing to launch where the grid is 0.
  plan_.entries[0].launches[0].grid = {expr("Tb"), expr("1"), expr("1")};
  plan_.axes.back().derived = expr("T - 5");
  device_.launched.clear();
  result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->outputs.at("blocks").shape(), (std::vector<int64_t>{2, 0}));
  EXPECT_TRUE(device_.launched.empty());
  plan_.axes.back().derived = expr("T - 6");
  EXPECT_CONTAINS(error(), "axis Tb is -1 by `T - 6`");
}

TEST_F(Execute, OptionalTensorsMayBeAbsent) {
  plan_.tensors[2].optional = true;
  plan_.entries[0].guard = expr("present(w)");
  plan_.entries[1].guard = expr("!present(w)");
  for (PlanArg &arg : plan_.entries[1].launches[0].args)
    if (arg.name == "w")
      arg = PlanArg::i64(expr("77"));
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_fast");
  EXPECT_EQ(params_.w % 256, 0u);
  request_.inputs.erase("w");
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_slow");
  EXPECT_EQ(params_.w, 77u);
  EXPECT_EQ(*reachableEntries(plan_, device_.facts(), request_), std::vector<size_t>{1});
  // Entries that use what is not there.
  plan_.entries[1].guard = expr("align(w) >= 4");
  EXPECT_CONTAINS(error(), "guard of entry 1: `w` is not given, so it has no strides and no alignment");
  plan_.entries[1].guard = expr("stride(w, D) == 1");
  EXPECT_CONTAINS(error(), "guard of entry 1: `w` is not given");
  plan_.entries[1].guard = expr("present(w) && stride(w, D) == 1");
  EXPECT_CONTAINS(error(), "was not compiled for these shapes");
  plan_.entries[1].guard = expr("1");
  plan_.entries[1].launches[0].args[3] = PlanArg::pointer("w");
  EXPECT_CONTAINS(error(), "kernel small_slow takes `w`, which is not given; the guard of its entry must ask for it");
  plan_.tensors[2].optional = false;
  EXPECT_CONTAINS(error(), "input `w` of small is not given");
  TensorView absent;
  absent.present = false;
  EXPECT_CONTAINS(resolveCall(plan_, {absent, absent, absent, absent}, device_.facts()).error().message,
                  "`q` of small is not given and not optional");
}

TEST_F(Execute, CarriesAreReadAndWrittenInPlace) {
  plan_.tensors[2].role = TensorRole::Carry;
  // w += 1 at each run, through the stride that w has.
  int64_t stride = 1;
  std::vector<float> seen;
  device_.kernels["small_fast"] = [&](const LaunchShape &, std::span<const std::byte> args) -> Status {
    std::memcpy(&params_, args.data(), std::min(args.size(), sizeof params_));
    auto *w = reinterpret_cast<float *>(params_.w);
    seen.push_back(w[0]);
    for (int64_t i = 0; i < 8; ++i)
      w[i * stride] += 1;
    if (strayAt_ >= 0)
      w[strayAt_] = 7;
    return Status::success();
  };
  for (int64_t i = 0; i < 8; ++i)
    w_.setValue(i, 10.0 * static_cast<double>(i));
  // Each timed run begins with the same values.
  request_.repeats = 3;
  Result<ExecuteResult> result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(seen, (std::vector<float>{0, 0, 0}));
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(result->outputs.at("w").value(i), 10.0 * static_cast<double>(i) + 1);
    EXPECT_EQ(w_.value(i), 10.0 * static_cast<double>(i)) << "the caller's beginning was changed";
  }
  // Given to be written, it changes in place: what one call leaves, the next one finds.
  request_.repeats = 1;
  EXPECT_CONTAINS((request_.outputs["w"] = &w_, error()), "carry `w` of small is given twice");
  request_.inputs.erase("w");
  seen.clear();
  for (int run = 0; run < 2; ++run) {
    result = execute(plan_, device_, request_);
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(result->outputs.count("w"), 0u);
  }
  EXPECT_EQ(seen, (std::vector<float>{0, 1}));
  EXPECT_EQ(w_.value(7), 72);
  // Gaps stay, and a write into one is found.
  w_ = *w_.restrided({2}, -3);
  stride = 2;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(w_.valueAt(1), -3);
  strayAt_ = 3;
  EXPECT_CONTAINS(error(), "the kernels wrote between the elements of `w`, at byte 1");
  strayAt_ = -1;
  w_ = *Array::createStrided(StorageType::F32, {8}, {0});
  EXPECT_CONTAINS(error(), "`w` is written, but strides [0] of shape [8] put several elements at one place");
  // Not given at all: zero, and its end is an output.
  request_.outputs.clear();
  stride = 1;
  seen.clear();
  result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(seen, std::vector<float>{0});
  EXPECT_EQ(result->outputs.at("w").value(7), 1);
}

TEST_F(Execute, OptionalCarriesMayBeAbsent) {
  plan_.tensors[2].role = TensorRole::Carry;
  plan_.tensors[2].optional = true;
  plan_.entries[0].guard = expr("present(w)");
  plan_.entries[1].guard = expr("!present(w)");
  for (PlanArg &arg : plan_.entries[1].launches[0].args)
    if (arg.name == "w")
      arg = PlanArg::i64(expr("77"));
  request_.inputs.erase("w");
  Result<ExecuteResult> result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(device_.launched.back(), "small_slow");
  EXPECT_EQ(result->outputs.count("w"), 0u);
  request_.outputs["w"] = &w_;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_fast");
  request_.outputs["k"] = &k_;
  request_.inputs.erase("k");
  EXPECT_CONTAINS(error(), "`k` is no output of small");
}

TEST_F(Execute, StridesOfSingleRowsDoNotCountForAlignment) {
  q_ = *Array::createStrided(StorageType::BF16, {2, 5, 1, 8}, {40, 8, 3, 1});
  k_ = *Array::create(StorageType::BF16, {2, 9, 1, 8});
  skip_ = -1;
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.launched.back(), "small_fast");
}

TEST_F(Execute, CallerBringsTheOutput) {
  Array o = *Array::create(StorageType::F32, {2, 5, 6, 8})->restrided({5 * 6 * 9, 6 * 9, 9, 1}, -3);
  outputPlace_ = [&](int64_t i) { return o.position(i); };
  request_.outputs["o"] = &o;
  Result<ExecuteResult> result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_TRUE(result->outputs.empty());
  for (int64_t i = 0; i < o.elements(); ++i)
    ASSERT_EQ(o.value(i), q_.value(i) * 0.125);
  EXPECT_EQ(o.valueAt(8), -3) << "the gap after the first row";
  strayAt_ = 8;
  EXPECT_CONTAINS(error(), "the kernels wrote between the elements of `o`, at byte ");
}

TEST_F(Execute, WhatNoKernelWroteIsNan) {
  skip_ = 17;
  Result<ExecuteResult> result = execute(plan_, device_, request_);
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(std::isnan(result->outputs.at("o").value(17)));
  EXPECT_FALSE(std::isnan(result->outputs.at("o").value(18)));
}

TEST_F(Execute, MachineCodeIsTriedFirstOnItsArchitecture) {
  plan_.modules[0].cubins = {{"sm_80", "cubin"}};
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.modules, std::vector<std::string>{"cubin"});
  device_.modules.clear();
  device_.refusedImage = "cubin";
  ASSERT_EQ(error(), "no error");
  EXPECT_EQ(device_.modules, (std::vector<std::string>{"cubin", plan_.modules[0].ptx}));
  device_.refusedImage.clear();
  auto loads = [&](int sm) {
    device_.modules.clear();
    device_.deviceFacts.smVersion = sm;
    EXPECT_EQ(error(), "no error");
    return device_.modules;
  };
  // It runs on later architectures of its generation, on others the text does.
  EXPECT_EQ(loads(86), std::vector<std::string>{"cubin"});
  EXPECT_EQ(loads(90), std::vector<std::string>{plan_.modules[0].ptx});
  plan_.modules[0].cubins = {{"sm_86", "code of 86"}, {"sm_80", "code of 80"}, {"sm_90", "code of 90"}};
  EXPECT_EQ(loads(80), std::vector<std::string>{"code of 80"});
  EXPECT_EQ(loads(86), std::vector<std::string>{"code of 86"});
  EXPECT_EQ(loads(89), std::vector<std::string>{"code of 86"});
  EXPECT_EQ(loads(90), std::vector<std::string>{"code of 90"});
  EXPECT_EQ(loads(120), std::vector<std::string>{plan_.modules[0].ptx});
  plan_.modules[0].ptx.clear();
  EXPECT_EQ(loads(89), std::vector<std::string>{"code of 86"});
  device_.deviceFacts.smVersion = 120;
  EXPECT_CONTAINS(error(), "has machine code for sm_86, sm_80, sm_90 and no PTX; host is sm_120");
}

TEST_F(Execute, Targets) {
  auto runs = [&](const char *target, int version) {
    plan_.target = target;
    device_.deviceFacts.smVersion = version;
    return checkTarget(plan_, device_.deviceFacts).ok();
  };
  EXPECT_TRUE(runs("sm_80", 80) && runs("sm_80", 90) && runs("sm_90a", 90) && runs("sm_100f", 103) &&
              runs("sm_90a", 0));
  EXPECT_FALSE(runs("sm_90", 80) || runs("sm_90a", 100) || runs("sm_100f", 110) || runs("sm_103f", 100));
  plan_.target = "sm_90";
  device_.deviceFacts.smVersion = 80;
  EXPECT_CONTAINS(error(), "the plan of small is for sm_90; host is sm_80");
}

TEST_F(Execute, RefusalsOfTensors) {
  request_.inputs.erase("k");
  EXPECT_CONTAINS(error(), "input `k` of small is not given");
  EXPECT_CONTAINS(tensorShape(plan_, plan_.tensors[1], {{"B", 2}, {"S", 9}}).error().message,
                  "the size of axis Hk is not known; it follows from the shape of k, or can be set");
  EXPECT_CONTAINS(tensorShape(plan_, plan_.tensors[0], {{"B", 2}, {"T", 9}, {"Hk", 1}}).error().message,
                  "the size of axis G is not known; it follows from no tensor alone: set it");
  request_.axes = {{"Z", 3}};
  EXPECT_CONTAINS(error(), "`Z` is no axis of small");
  request_.axes = {{"T", 4}};
  EXPECT_CONTAINS(error(), "axis T is 4 by the caller, but 5 by dimension T of `q`");
  request_.axes.clear();
  request_.inputs["k"] = &k_;
  request_.inputs["z"] = &k_;
  EXPECT_CONTAINS(error(), "`z` is no input of small");
  request_.inputs.erase("z");
  request_.inputs["o"] = &k_;
  EXPECT_CONTAINS(error(), "`o` is no input of small");
  request_.inputs.erase("o");
  Array o;
  request_.outputs["q"] = &o;
  EXPECT_CONTAINS(error(), "`q` is no output of small");
  request_.outputs.clear();
  request_.addressOffsets["z"] = 2;
  EXPECT_CONTAINS(error(), "an address offset of 2 for `z`");
  request_.addressOffsets = {{"q", 1}};
  EXPECT_CONTAINS(error(), "`q`: its address is no multiple of the 2 bytes of an element");
  request_.addressOffsets.clear();
  w_ = *Array::create(StorageType::F16, {8});
  EXPECT_CONTAINS(error(), "`w` has type f16, the plan takes f32");
  w_ = *Array::create(StorageType::F32, {5});
  EXPECT_CONTAINS(error(), "axis D is 8 by the plan, which was compiled for it, but 5 by dimension D of `w`");
}

TEST_F(Execute, RefusalsOfShapes) {
  k_ = *Array::create(StorageType::BF16, {2, 9, 4, 8});
  EXPECT_CONTAINS(error(), "dimension H of `q` has size 6, which is no multiple of 4 (Hk = 4 by dimension Hk of `k`)");
  k_ = *Array::create(StorageType::BF16, {3, 9, 3, 8});
  EXPECT_CONTAINS(error(), "axis B is 2 by dimension B of `q`, but 3 by dimension B of `k`");
  k_ = *Array::create(StorageType::BF16, {2, 0, 3, 8});
  EXPECT_CONTAINS(error(), "dimension S of `k` has size 0; it must be at least 1");
  k_ = *Array::create(StorageType::BF16, {2, 9, 4});
  EXPECT_CONTAINS(error(), "`k` has shape [2, 9, 4], but 4 dimensions: [B, S, Hk, D]");
  k_ = *Array::create(StorageType::BF16, {2, 9, 3, 8});
  Array o = *Array::create(StorageType::F32, {2, 5, 7, 8});
  request_.outputs["o"] = &o;
  request_.axes = {{"G", 2}};
  EXPECT_CONTAINS(error(),
                  "dimension H of `o` has size 7, but Hk*G is 6 (Hk = 3 by dimension Hk of `k`, G = 2 by the caller)");
  o = *Array::createStrided(StorageType::F32, {2, 5, 6, 8}, {0, 48, 8, 1});
  EXPECT_CONTAINS(error(), "`o` is written, but strides [0, 48, 8, 1]");
  request_.axes = {{"T", 0}};
  EXPECT_CONTAINS(error(), "axis T is 0 by the caller; it must be at least 1");
}

TEST_F(Execute, AProductOfOneNeedsNoOther) {
  std::map<std::string, std::vector<int64_t>, std::less<>> shapes = {{"q", {1, 1, 1, 8}}};
  Result<AxisSizes> axes = inferAxes(plan_, shapes);
  ASSERT_TRUE(axes.ok());
  EXPECT_EQ(axes->at("Hk"), 1);
  EXPECT_EQ(axes->at("G"), 1);
  EXPECT_EQ(axes->count("S"), 0u);
}

TEST_F(Execute, SizesThatOverflowAreRefused) {
  constexpr int64_t big = int64_t{1} << 31;
  TensorView q{StorageType::BF16, {big, big, 6, 8}, {0, 0, 0, 1}, 256},
      k{StorageType::BF16, {big, 9, 3, 8}, {0, 0, 0, 1}, 256}, w{StorageType::F32, {8}, {1}, 256},
      o{StorageType::F32, {big, big, 6, 8}, {0, 0, 0, 1}, 256};
  auto refusal = [&]() {
    Result<ResolvedCall> call = resolveCall(plan_, {q, k, w, o}, device_.facts());
    return call ? "no error" : call.error().message;
  };
  EXPECT_CONTAINS(refusal(), "is larger than an address space");
  EXPECT_CONTAINS(inferAxes(plan_, {{"z", {}}}).error().message, "`z` is no tensor of small");
  EXPECT_FALSE(inferAxes(plan_, {}, {{"Hk", INT64_MAX}, {"G", INT64_MAX}}).ok() &&
               tensorShape(plan_, plan_.tensors[0], *inferAxes(plan_, {}, {{"Hk", INT64_MAX}, {"G", INT64_MAX}})).ok());
  AxisSizes sizes = {{"B", 1}, {"T", 1}, {"Hk", INT64_MAX}, {"G", 2}, {"D", 8}};
  EXPECT_CONTAINS(tensorShape(plan_, plan_.tensors[0], sizes).error().message, "dimension H of `q` overflows 64 bits");
  EXPECT_CONTAINS(inferAxes(plan_, {{"q", {1, 1, 6, 8}}}, {{"Hk", INT64_MAX}, {"G", 2}}).error().message,
                  "the size of dimension H of `q` overflows 64 bits");
  q = {StorageType::BF16, {1, 1, 6, 8}, {0, 0, -1, 1}, 256};
  k = {StorageType::BF16, {1, 9, 3, 8}, {0, 0, 0, 1}, 256};
  o = {StorageType::F32, {1, 1, 6, 8}, {48, 48, 8, 1}, 256};
  EXPECT_CONTAINS(refusal(), "`q`: dimension H has the negative stride -1");
  q.strides = {0, 0, INT64_MAX / 2, 1};
  EXPECT_CONTAINS(refusal(), "`q` of shape [1, 1, 6, 8] and strides");
  q.strides = {1};
  EXPECT_CONTAINS(refusal(), "`q` has 1 strides for 4 dimensions");
  q.strides = {0, 0, 0, 1}; // a broadcast input is fine
  EXPECT_EQ(refusal(), "no error");
  EXPECT_CONTAINS(resolveCall(plan_, {q}, device_.facts()).error().message, "1 tensors for a plan with 4");
}

TEST_F(Execute, LimitsOfALaunch) {
  auto entry = [&]() -> PlanEntry & { return plan_.entries[0]; };
  auto launch = [&]() -> PlanLaunch & { return entry().launches[0]; };
  auto with = [&](const std::function<void()> &edit) {
    plan_ = smallPlan();
    edit();
    return error();
  };
  EXPECT_CONTAINS(with([&] { launch().grid[0] = expr("T - 6"); }),
                  "kernel small_fast: the grid has -1 blocks along x (`T - 6`); it must have 1 to 2147483647");
  EXPECT_CONTAINS(with([&] { launch().grid[1] = expr("T - 5"); }), "the grid has 0 blocks along y (`T - 5`)");
  EXPECT_CONTAINS(with([&] { launch().grid[0] = expr("2147483648 * T"); }), "must have 1 to 2147483647");
  EXPECT_CONTAINS(with([&] { launch().grid[1] = expr("65536"); }),
                  "65536 blocks along y (`65536`); it must have 1 to 65535");
  EXPECT_CONTAINS(with([&] { launch().grid[2] = expr("65536"); }), "along z");
  EXPECT_EQ(with([&] { launch().grid = {expr("2147483647"), expr("65535"), expr("65535")}; }), "no error");
  EXPECT_CONTAINS(with([&] { launch().grid[0] = expr("T / (T - 5)"); }), "division by zero in `T / (T - 5)`");
  EXPECT_CONTAINS(with([&] { launch().cluster[1] = 4; }), "6 blocks along y are no multiple of the cluster's 4");
  EXPECT_CONTAINS(with([&] { launch().sharedBytes = 100001; }), "needs 100001 bytes of shared memory; host has 100000");
  EXPECT_CONTAINS(with([&] { device_.deviceFacts.maxThreadsPerBlock = 64; }),
                  "needs 128 threads per block; host has 64");
  device_.deviceFacts.maxThreadsPerBlock = 1024;
  EXPECT_CONTAINS(with([&] { launch().args[2].expr = expr("T * 1000000000"); }),
                  "`T * 1000000000` is 5000000000, which does not fit the 32 bits");
  EXPECT_CONTAINS(with([&] { launch().args[2].expr = expr("1 / 0"); }), "kernel small_fast: division by zero");
  EXPECT_CONTAINS(with([&] { entry().workspaces[0].bytes = expr("-1"); }), "workspace `tmp` has -1 bytes");
  EXPECT_CONTAINS(with([&] { entry().workspaces[0].bytes = expr("1 / 0"); }), "workspace `tmp`: division by zero");
  EXPECT_CONTAINS(with([&] { entry().guard = expr("1 % 0"); }), "guard of entry 0: division by zero");
  EXPECT_CONTAINS(with([&] { launch().kernel = "absent"; }), "no kernel absent");
}

TEST_F(Execute, FaultsOfTheDeviceArePassedOn) {
  device_.failAllocation = 1;
  EXPECT_EQ(error(), "`q`: no memory left");
  HostDevice other;
  other.kernels = device_.kernels;
  other.failAllocation = 5;
  Result<ExecuteResult> result = execute(plan_, other, request_);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "workspace `tmp`: no memory left");
  EXPECT_TRUE(other.memory.empty() && other.liveModules.empty());
  result_ = Error{ErrorCode::LaunchFailed, "kernel fault"};
  EXPECT_EQ(error(), "kernel fault");
  device_.refusedImage = plan_.modules[0].ptx;
  EXPECT_EQ(error(), "image refused");
}

TEST_F(Execute, ALoadedPlanLaunchesWithoutAllocating) {
  Result<LoadedPlan> loaded = LoadedPlan::load(plan_, device_);
  ASSERT_TRUE(loaded.ok());
  Result<ExecuteResult> first = execute(*loaded, request_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(device_.modules.size(), 1u);
  EXPECT_FALSE(loaded->launch(first->call, {1, 2}, {}).ok());
  ResolvedCall foreign = first->call;
  foreign.launches[0].kernel = "absent";
  std::vector<std::byte> tmp(40);
  EXPECT_CONTAINS(loaded->launch(foreign, {0, 0, 0, 0}, {reinterpret_cast<DeviceAddress>(tmp.data())}).error().message,
                  "kernel absent is not part of this plan");
}
