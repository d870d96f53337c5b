// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bound calls decide as resolveCall does, on thousands of right and wrong calls; overlaps; bounds of workspaces.
#include "runtime/host/BoundCall.h"
#include "HostDevice.h"
#include "TestPlan.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

using namespace fovea;
using namespace fovea::runtime;
using namespace fovea::runtime::test;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

/// smallPlan with everything that a plan can have: an optional input, a carry, a derived axis, preferences.
Plan richPlan() {
  Plan plan = smallPlan();
  plan.tensors[2].optional = true;
  plan.axes.push_back({"Tb", {}, "", expr("ceildiv(T, 4)")});
  plan.tensors.push_back(
      {"state", TensorRole::Carry, StorageType::F32, {{"B", {"B"}}, {"blocks", {"Tb"}}, {"D", {"D"}}}, true});
  plan.entries[0].guard = expr("align(q) >= 16 && stride(q, D) == 1 && present(w) && present(state)");
  plan.entries[0].prefer = expr("T < device.sms");
  plan.entries[1].launches.push_back(plan.entries[1].launches[0]);
  plan.entries[1].guard = expr("stride(q, D) == 1");
  plan.entries[1].workspaces.push_back({"more", expr("Tb * 1000 - T"), WorkspaceInit::None});
  for (PlanLaunch &launch : plan.entries[1].launches)
    for (PlanArg &arg : launch.args)
      if (arg.name == "w")
        arg = PlanArg::pointer("more");
  return plan;
}

struct RandomCall {
  std::vector<std::vector<int64_t>> shapes, strides;
  std::vector<CallTensor> tensors;
  std::vector<TensorView> views;
  std::string text;

  RandomCall(const Plan &plan, std::mt19937 &random) {
    auto pick = [&](int64_t least, int64_t most) {
      return std::uniform_int_distribution<int64_t>(least, most)(random);
    };
    AxisSizes axes{{"B", pick(1, 3)}, {"T", pick(1, 9)}, {"S", pick(1, 9)}, {"Hk", pick(1, 3)}, {"G", pick(1, 2)}};
    axes["D"] = 8;
    axes["Tb"] = (axes["T"] + 3) / 4;
    DeviceAddress next = 1 << 20;
    for (const PlanTensor &tensor : plan.tensors) {
      TensorView view;
      view.type = tensor.type;
      view.shape = *tensorShape(plan, tensor, axes);
      view.strides = contiguousStrides(view.shape);
      view.address = next;
      next += 1 << 16;
      view.present = !tensor.optional || pick(0, 2) > 0;
      views.push_back(std::move(view));
    }
    // Half of the calls have a fault, or something that looks like one.
    if (pick(0, 1) == 0) {
      TensorView &view = views[static_cast<size_t>(pick(0, static_cast<int64_t>(views.size()) - 1))];
      size_t d = static_cast<size_t>(pick(0, static_cast<int64_t>(view.shape.size()) - 1));
      switch (pick(0, 8)) {
      case 0:
        view.shape[d] = pick(-1, 9);
        break;
      case 1:
        view.strides[d] = pick(-1, 20);
        break;
      case 2:
        view.address += static_cast<DeviceAddress>(pick(1, 16));
        break;
      case 3:
        view.type = StorageType::I32;
        break;
      case 4:
        view.present = false;
        break;
      case 5:
        view.shape[d] = int64_t{1} << pick(20, 62);
        break;
      case 6:
        view.strides[d] = int64_t{1} << pick(20, 62);
        break;
      case 7:
        view.shape.push_back(1);
        view.strides.push_back(1);
        break;
      default:
        view.address = views[0].address + 16;
        break;
      }
    }
    for (const TensorView &view : views) {
      shapes.push_back(view.shape);
      strides.push_back(view.strides);
    }
    for (size_t i = 0; i < views.size(); ++i) {
      tensors.push_back({views[i].type, views[i].present, static_cast<uint32_t>(shapes[i].size()), shapes[i].data(),
                         strides[i].data(), views[i].address});
      text += plan.tensors[i].name + (views[i].present ? " " : " absent ") + shapeText(shapes[i]) + " / " +
              shapeText(strides[i]) + " at " + std::to_string(views[i].address) + "\n";
    }
  }
};

CallTensor tensorAt(DeviceAddress address, const std::vector<int64_t> &shape, const std::vector<int64_t> &strides) {
  return {StorageType::F32, true, static_cast<uint32_t>(shape.size()), shape.data(), strides.data(), address};
}

} // namespace

TEST(BoundCall, DecidesAsResolveCallDoes) {
  Plan plan = richPlan();
  ASSERT_TRUE(validatePlan(plan).ok()) << validatePlan(plan).error().message;
  HostDevice device;
  std::vector<std::vector<std::byte>> started;
  std::vector<LaunchShape> shapes;
  auto kernel = [&](const LaunchShape &shape, std::span<const std::byte> args) -> Status {
    started.emplace_back(args.begin(), args.end());
    shapes.push_back(shape);
    return Status::success();
  };
  device.kernels = {{"small_fast", kernel}, {"small_slow", kernel}};
  Result<LoadedPlan> loaded = LoadedPlan::load(plan, device);
  Result<BoundCall> bound = BoundCall::bind(plan, device.facts());
  ASSERT_TRUE(loaded.ok() && bound.ok());
  Result<std::vector<KernelHandle>> kernels = bound->prepare(*loaded);
  ASSERT_TRUE(kernels.ok());
  DeviceAddress memory = *device.allocate(1 << 20);
  std::mt19937 random(3);
  std::map<size_t, int> ran;
  int refusals = 0;
  for (int i = 0; i < 20000; ++i) {
    RandomCall call(plan, random);
    Result<ResolvedCall> expected = resolveCall(plan, call.views, device.facts());
    bool apart = !expected.ok() || checkOverlaps(plan, call.tensors).ok();
    CallChoice choice;
    bool good = bound->resolve(call.tensors.data(), choice);
    if (!good) {
      ASSERT_TRUE(!expected.ok() || !apart) << call.text;
      ++refusals;
      continue;
    }
    bool refused = false;
    started.clear();
    shapes.clear();
    Status status = bound->launch(device, nullptr, *kernels, call.tensors.data(), choice, memory, refused);
    ASSERT_EQ(!refused, expected.ok()) << call.text << (expected ? "" : expected.error().message);
    ASSERT_TRUE(apart) << call.text;
    refusals += refused;
    if (refused)
      continue;
    ASSERT_TRUE(status.ok());
    ASSERT_EQ(choice.entry, expected->entry) << call.text;
    ++ran[choice.entry];
    // The same arguments as the slow way packs, with the same addresses.
    std::vector<DeviceAddress> addresses, workspaces;
    for (const TensorView &view : call.views)
      addresses.push_back(view.address);
    for (size_t w = 0; w < expected->workspaces.size(); ++w) {
      ASSERT_EQ(choice.bytes[w], expected->workspaces[w].bytes);
      ASSERT_EQ(choice.offsets[w] % kWorkspaceAlignment, 0);
      workspaces.push_back(memory + static_cast<DeviceAddress>(choice.offsets[w]));
    }
    ASSERT_GE(choice.workspaceBytes,
              choice.offsets[expected->workspaces.size() - 1] + choice.bytes[expected->workspaces.size() - 1]);
    auto mine = std::move(started);
    auto myShapes = std::move(shapes);
    started.clear();
    shapes.clear();
    ASSERT_TRUE(loaded->launch(*expected, addresses, workspaces).ok());
    ASSERT_EQ(mine, started) << call.text;
    for (size_t l = 0; l < shapes.size(); ++l) {
      ASSERT_EQ(myShapes[l].grid, shapes[l].grid);
      ASSERT_EQ(myShapes[l].block, shapes[l].block);
      ASSERT_EQ(myShapes[l].sharedBytes, shapes[l].sharedBytes);
    }
  }
  EXPECT_GT(ran[0], 500);
  EXPECT_GT(ran[1], 500);
  EXPECT_GT(refusals, 2000);
  (void)device.free(memory);
}

TEST(BoundCall, WorkspacesAreZeroedWhereThePlanAsks) {
  Plan plan = smallPlan();
  HostDevice device;
  int checked = 0;
  DeviceAddress memory = *device.allocate(4096);
  device.kernels["small_fast"] = device.kernels["small_slow"] = [&](const LaunchShape &, auto) -> Status {
    for (int i = 0; i < 2 * 5 * 4; ++i)
      checked += reinterpret_cast<const unsigned char *>(memory)[i] == 0;
    return Status::success();
  };
  Result<LoadedPlan> loaded = LoadedPlan::load(plan, device);
  Result<BoundCall> bound = BoundCall::bind(plan, device.facts());
  std::vector<int64_t> q{2, 5, 2, 8}, k{2, 3, 1, 8}, w{8};
  auto strides = [](const std::vector<int64_t> &shape) { return contiguousStrides(shape); };
  std::vector<int64_t> sq = strides(q), sk = strides(k), sw = strides(w);
  std::vector<CallTensor> tensors = {tensorAt(4096, q, sq), tensorAt(1 << 16, k, sk), tensorAt(1 << 18, w, sw),
                                     tensorAt(1 << 20, q, sq)};
  tensors[0].type = tensors[1].type = StorageType::BF16;
  CallChoice choice;
  ASSERT_TRUE(bound->resolve(tensors.data(), choice));
  bool refused = false;
  ASSERT_TRUE(bound->launch(device, nullptr, *bound->prepare(*loaded), tensors.data(), choice, memory, refused).ok());
  EXPECT_FALSE(refused);
  EXPECT_EQ(checked, 40);
}

TEST(BoundCall, GivenAxes) {
  Plan plan = richPlan();
  DeviceFacts facts;
  auto error = [&](const AxisSizes &given) {
    Result<BoundCall> bound = BoundCall::bind(plan, facts, given);
    return bound ? std::string("no error") : bound.error().message;
  };
  EXPECT_EQ(error({{"T", 5}, {"D", 8}}), "no error");
  EXPECT_CONTAINS(error({{"Z", 5}}), "there is no such axis in small");
  EXPECT_CONTAINS(error({{"T", 0}}), "a size is at least 1");
  EXPECT_CONTAINS(error({{"Tb", 1}}), "its size follows from other axes");
  EXPECT_CONTAINS(error({{"D", 16}}), "axis D is 8 by the plan, which was compiled for it, but 16 by the caller");
}

TEST(BoundCall, Overlaps) {
  std::vector<int64_t> row{4, 8}, dense{8, 1}, wide{16, 1}, column{8, 4}, transposed{1, 8}, empty{0, 8}, one{1};
  auto overlap = [](const CallTensor &a, const CallTensor &b) {
    EXPECT_EQ(mayOverlap(a, b), mayOverlap(b, a));
    return mayOverlap(a, b);
  };
  CallTensor a = tensorAt(4096, row, dense); // 128 bytes
  EXPECT_TRUE(overlap(a, a));
  EXPECT_FALSE(overlap(a, tensorAt(4096 + 128, row, dense)));
  EXPECT_TRUE(overlap(a, tensorAt(4096 + 124, row, dense)));
  EXPECT_TRUE(overlap(a, tensorAt(4096 - 124, row, dense)));
  EXPECT_FALSE(overlap(a, tensorAt(4096 - 128, row, dense)));
  EXPECT_FALSE(overlap(a, tensorAt(4096, empty, dense)));
  EXPECT_TRUE(overlap(a, tensorAt(4096 + 64, {}, {})));
  // Halves of the rows of one buffer.
  CallTensor left = tensorAt(4096, row, wide), right = tensorAt(4096 + 32, row, wide);
  EXPECT_FALSE(overlap(left, right));
  EXPECT_FALSE(overlap(left, tensorAt(4096 + 32 + 64, row, wide)));
  EXPECT_FALSE(overlap(left, tensorAt(4096 + 32 - 64, row, wide)));
  EXPECT_TRUE(overlap(left, tensorAt(4096 + 28, row, wide)));
  EXPECT_TRUE(overlap(left, tensorAt(4096 + 36, row, wide)));
  EXPECT_TRUE(overlap(left, tensorAt(4096 + 64, row, wide)));
  EXPECT_FALSE(overlap(tensorAt(4096, column, wide), tensorAt(4096 + 16, column, wide)));
  EXPECT_TRUE(overlap(a, tensorAt(4096, row, transposed)));
}

TEST(BoundCall, OverlapsAgreeWithEveryByte) {
  std::mt19937 random(5);
  auto pick = [&](int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(random); };
  int apart = 0, together = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<int64_t> shapes[2], strides[2];
    CallTensor tensors[2];
    std::set<DeviceAddress> bytes[2];
    for (int t = 0; t < 2; ++t) {
      for (int d = 0; d < 2; ++d) {
        shapes[t].push_back(pick(1, 3));
        strides[t].push_back(d == 0 ? 4 * pick(1, 3) : pick(1, 2));
      }
      tensors[t] = tensorAt(static_cast<DeviceAddress>(1000 + 4 * pick(0, 12)), shapes[t], strides[t]);
      for (int64_t x = 0; x < shapes[t][0]; ++x)
        for (int64_t y = 0; y < shapes[t][1]; ++y)
          for (int64_t byte = 0; byte < 4; ++byte)
            bytes[t].insert(tensors[t].address +
                            static_cast<DeviceAddress>((x * strides[t][0] + y * strides[t][1]) * 4 + byte));
    }
    bool common =
        std::any_of(bytes[0].begin(), bytes[0].end(), [&](DeviceAddress byte) { return bytes[1].count(byte) > 0; });
    bool may = mayOverlap(tensors[0], tensors[1]);
    ASSERT_TRUE(may || !common) << shapeText(shapes[0]) << shapeText(strides[0]) << tensors[0].address << " "
                                << shapeText(shapes[1]) << shapeText(strides[1]) << tensors[1].address;
    apart += !may;
    together += common;
  }
  EXPECT_GT(apart, 1000);
  EXPECT_GT(together, 1000);
}

TEST(BoundCall, WorkspaceBoundsHoldForAllSmallerCalls) {
  // The shape of what the compiler writes for keys in parts: more of them where rows are few.
  Plan plan = smallPlan();
  const char *parts = "max(min(min(ceildiv(S, 16), 8), device.sms * 2 / (ceildiv(T, 16) * B * Hk)), 1)";
  plan.entries[0].guard = expr("align(q) >= 16");
  plan.entries[0].prefer = expr("min(device.sms * 2 / (Hk * B * ceildiv(T, 16)), ceildiv(S, 16)) >= 2");
  plan.entries[0].workspaces[0].bytes = expr("4 * B * Hk * " + std::string(parts) + " * T * 64");
  plan.entries[1].guard = expr("1");
  plan.entries[1].workspaces[0].bytes = expr("B * T");
  DeviceFacts facts;
  facts.sms = 4;
  Result<BoundCall> bound = BoundCall::bind(plan, facts);
  ASSERT_TRUE(bound.ok());
  std::vector<bool> present(plan.tensors.size(), true);
  auto most = [&](int64_t b, int64_t t, int64_t s, int64_t h, bool single) {
    std::vector<ExprRange> axes;
    for (const PlanAxis &axis : plan.axes) {
      int64_t size = axis.name == "B" ? b : axis.name == "T" ? t : axis.name == "S" ? s : axis.name == "Hk" ? h : 1;
      axes.push_back({single ? size : 1, size});
    }
    Result<int64_t> bytes = bound->workspaceBound(axes, present);
    EXPECT_TRUE(bytes.ok());
    return bytes ? *bytes : -1;
  };
  int64_t needed = 0;
  for (int64_t b = 1; b <= 3; ++b)
    for (int64_t t = 1; t <= 100; ++t)
      for (int64_t s = 1; s <= 200; s += 7) {
        std::vector<int64_t> q{b, t, 1, 8}, k{b, s, 1, 8}, w{8};
        std::vector<int64_t> sq = contiguousStrides(q), sk = contiguousStrides(k), sw{1};
        std::vector<CallTensor> tensors = {tensorAt(1 << 20, q, sq), tensorAt(1 << 22, k, sk), tensorAt(1 << 24, w, sw),
                                           tensorAt(1 << 26, q, sq)};
        tensors[0].type = tensors[1].type = StorageType::BF16;
        CallChoice choice;
        ASSERT_TRUE(bound->resolve(tensors.data(), choice));
        EXPECT_LE(choice.workspaceBytes, most(b, t, s, 1, true));
        needed = std::max(needed, choice.workspaceBytes);
      }
  int64_t whole = most(3, 100, 200, 1, false);
  EXPECT_GE(whole, needed);
  EXPECT_LE(whole, needed + needed / 8) << "the bound is loose";
  // Sizes whose bytes overflow have none.
  std::vector<ExprRange> axes(plan.axes.size(), {1, int64_t{1} << 40});
  Result<int64_t> huge = bound->workspaceBound(axes, present);
  ASSERT_FALSE(huge.ok());
  EXPECT_CONTAINS(huge.error().message, "the workspace of small has no bound for such sizes");
}
