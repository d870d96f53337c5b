// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A plan on the emulator: numbers, findings, reports and refusals.
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Execute.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

using namespace fovea;
using namespace fovea::runtime;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

/// y[i] = x[i] * scale for i < n, one thread each; the bound is an argument, so that a wrong one can be given. The
/// mixed widths of the parameters test their packing.
constexpr const char *kScale = R"(.version 7.0
.target sm_80
.address_size 64

.visible .entry scale(
  .param .u64 x,
  .param .u32 n,
  .param .f32 factor,
  .param .u64 y,
  .param .u32 bound
)
{
  .reg .pred %p<2>;
  .reg .b32 %r<8>;
  .reg .f32 %f<4>;
  .reg .b64 %rd<6>;
  ld.param.u64 %rd1, [x];
  ld.param.u64 %rd2, [y];
  ld.param.u32 %r1, [bound];
  ld.param.f32 %f1, [factor];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra DONE;
  mul.wide.u32 %rd3, %r5, 4;
  add.s64 %rd4, %rd1, %rd3;
  ld.global.f32 %f2, [%rd4];
  mul.rn.f32 %f3, %f2, %f1;
  add.s64 %rd5, %rd2, %rd3;
  st.global.f32 [%rd5], %f3;
DONE:
  ret;
}
)";

Plan scalePlan(const char *bound) {
  Plan plan;
  plan.producer = "test";
  plan.spec = "scale";
  plan.target = "sm_80";
  plan.ptxVersion = "7.0";
  plan.axes = {{"N", {}, ""}};
  plan.tensors = {{"x", TensorRole::Input, StorageType::F32, {{"N", {"N"}}}},
                  {"y", TensorRole::Output, StorageType::F32, {{"N", {"N"}}}}};
  PlanLaunch launch;
  launch.kernel = "scale";
  launch.grid[0] = *Expr::parse("ceildiv(N, 64)");
  launch.block = {64, 1, 1};
  launch.args = {PlanArg::pointer("x"), PlanArg::i32(*Expr::parse("N")), PlanArg::f32(0.5f), PlanArg::pointer("y"),
                 PlanArg::i32(*Expr::parse(bound))};
  PlanEntry entry;
  entry.launches = {launch};
  plan.entries = {entry};
  plan.modules = {{"main", kScale, {}}};
  return plan;
}

std::unique_ptr<EmulatorDevice> make(const EmulatorDeviceOptions &options = {}) {
  Result<std::unique_ptr<EmulatorDevice>> device = EmulatorDevice::create(options);
  EXPECT_TRUE(device.ok()) << (device ? "" : device.error().message);
  return device ? std::move(*device) : nullptr;
}

/// One thread for each element: h[i] += x[i]; y[i] = h[i].
constexpr const char *kAccumulate = R"(.version 7.0
.target sm_80
.address_size 64

.visible .entry accumulate(
  .param .u64 x,
  .param .u64 h,
  .param .u64 y,
  .param .u32 n
)
{
  .reg .pred %p<2>;
  .reg .b32 %r<8>;
  .reg .f32 %f<4>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [x];
  ld.param.u64 %rd2, [h];
  ld.param.u64 %rd3, [y];
  ld.param.u32 %r1, [n];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra DONE;
  mul.wide.u32 %rd4, %r5, 4;
  add.s64 %rd5, %rd1, %rd4;
  add.s64 %rd6, %rd2, %rd4;
  add.s64 %rd7, %rd3, %rd4;
  ld.global.f32 %f1, [%rd5];
  ld.global.f32 %f2, [%rd6];
  add.rn.f32 %f3, %f1, %f2;
  st.global.f32 [%rd6], %f3;
  st.global.f32 [%rd7], %f3;
DONE:
  ret;
}
)";

Array ramp(int64_t n) {
  Array array = *Array::create(StorageType::F32, {n});
  for (int64_t i = 0; i < n; ++i)
    array.setValue(i, static_cast<double>(i));
  return array;
}

} // namespace

TEST(EmulatorDevice, RunsAPlan) {
  EmulatorDeviceOptions options;
  options.emulator.counters = true;
  std::unique_ptr<EmulatorDevice> device = make(options);
  ASSERT_TRUE(device);
  EXPECT_TRUE(device->facts().emulated);
  Plan plan = scalePlan("N");
  Array x = ramp(150);
  ExecuteRequest request;
  request.inputs = {{"x", &x}};
  request.repeats = 2;
  Result<ExecuteResult> result = execute(plan, *device, request);
  ASSERT_TRUE(result.ok()) << result.error().message;
  const Array &y = result->outputs.at("y");
  for (int64_t i = 0; i < 150; ++i)
    ASSERT_EQ(y.value(i), static_cast<double>(i) * 0.5);
  ASSERT_EQ(device->reports().size(), 2u);
  EXPECT_EQ(device->reports()[0].kernel, "scale");
  EXPECT_EQ(device->reports()[0].shape.grid[0], 3u);
  EXPECT_TRUE(device->reports()[1].report.clean());
  EXPECT_EQ(device->reports()[0].report.counters.globalStoreBytes, 600u);
  EXPECT_GE(result->milliseconds[0], 0);
  device->clearReports();
  EXPECT_TRUE(device->reports().empty());
}

TEST(EmulatorDevice, ACarryContinuesFromCallToCall) {
  Plan plan = scalePlan("N");
  plan.modules[0].ptx = kAccumulate;
  plan.tensors.push_back({"h", TensorRole::Carry, StorageType::F32, {{"N", {"N"}}}});
  PlanLaunch &launch = plan.entries[0].launches[0];
  launch.kernel = "accumulate";
  launch.args = {PlanArg::pointer("x"), PlanArg::pointer("h"), PlanArg::pointer("y"), PlanArg::i32(*Expr::parse("N"))};
  ASSERT_TRUE(validatePlan(plan).ok());
  auto device = make();
  Array x = ramp(100), h = *Array::create(StorageType::F32, {100});
  ExecuteRequest request;
  request.inputs["x"] = &x;
  request.outputs["h"] = &h;
  for (int call = 1; call <= 3; ++call) {
    Result<ExecuteResult> result = execute(plan, *device, request);
    ASSERT_TRUE(result.ok()) << result.error().message;
    for (int64_t i = 0; i < 100; ++i) {
      ASSERT_EQ(result->outputs.at("y").value(i), static_cast<double>(call * i));
      ASSERT_EQ(h.value(i), static_cast<double>(call * i));
    }
  }
}

TEST(EmulatorDevice, WhatTheKernelLeavesOutIsNan) {
  std::unique_ptr<EmulatorDevice> device = make();
  Plan plan = scalePlan("N - 1");
  Array x = ramp(10);
  ExecuteRequest request;
  request.inputs = {{"x", &x}};
  Result<ExecuteResult> result = execute(plan, *device, request);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->outputs.at("y").value(8), 4);
  EXPECT_TRUE(std::isnan(result->outputs.at("y").value(9)));
}

TEST(EmulatorDevice, FindingsFailTheLaunch) {
  std::unique_ptr<EmulatorDevice> device = make();
  Plan plan = scalePlan("N + 1");
  Array x = ramp(10);
  ExecuteRequest request;
  request.inputs = {{"x", &x}};
  Result<ExecuteResult> result = execute(plan, *device, request);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::LaunchFailed);
  EXPECT_CONTAINS(result.error().message, "kernel scale: ");
  EXPECT_CONTAINS(result.error().message, "ld.global.f32");
  ASSERT_EQ(device->reports().size(), 1u);
  EXPECT_EQ(device->reports()[0].report.findings[0].kind, emulator::FindingKind::OutOfBounds);
  // The same as a report only, where the kernel can go on.
  device->options().failOnFindings = false;
  result = execute(plan, *device, request);
  EXPECT_EQ(result.ok(), device->reports().back().report.completed);
  EXPECT_GT(device->reports().back().report.findingCount, 0u);
}

TEST(EmulatorDevice, Refusals) {
  EmulatorDeviceOptions options;
  options.memoryBytes = 1 << 20;
  std::unique_ptr<EmulatorDevice> device = make(options);
  EXPECT_EQ(device->allocate((1 << 20) + 1).error().code, ErrorCode::OutOfMemory);
  Result<DeviceAddress> most = device->allocate(1 << 20);
  ASSERT_TRUE(most.ok());
  EXPECT_EQ(*most % 256, 0u);
  EXPECT_CONTAINS(device->allocate(1).error().message, "no memory for 1 bytes; 1048576 of 1048576 are taken");
  EXPECT_TRUE(device->free(*most).ok());
  EXPECT_FALSE(device->free(*most).ok());
  Result<DeviceAddress> empty = device->allocate(0);
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(device->upload(*empty, nullptr, 0).ok() && device->download(nullptr, *empty, 0).ok() &&
              device->fillZero(*empty, 0).ok());
  EXPECT_FALSE(device->upload(*empty + 4096, "x", 1).ok());
  EXPECT_TRUE(device->free(*empty).ok());

  EXPECT_CONTAINS(device->loadModule("no ptx", "main").error().message, "module main: ");
  Result<ModuleHandle> module = device->loadModule(kScale, "main");
  ASSERT_TRUE(module.ok()) << module.error().message;
  EXPECT_CONTAINS(device->findKernel(*module, "z").error().message, "kernel z is not in the module; there are: scale");
  EXPECT_FALSE(device->findKernel(ModuleHandle{99}, "scale").ok());
  Result<KernelHandle> kernel = device->findKernel(*module, "scale");
  ASSERT_TRUE(kernel.ok());
  LaunchShape shape;
  shape.cluster = {2, 1, 1};
  EXPECT_CONTAINS(device->launch(*kernel, shape, {}).error().message, "not in this version: clusters");
  shape = {};
  shape.sharedBytes = 1 << 30;
  EXPECT_CONTAINS(device->launch(*kernel, shape, {}).error().message, "bytes of dynamic shared memory; at most");
  EXPECT_CONTAINS(device->launch(*kernel, {}, {}).error().message, "kernel scale: ") << "too few parameters";
  EXPECT_FALSE(device->launch(KernelHandle{0}, {}, {}).ok());
  EXPECT_FALSE(device->launch(KernelHandle{99}, {}, {}).ok());
  EXPECT_TRUE(device->unloadModule(*module).ok());
  EXPECT_FALSE(device->unloadModule(*module).ok());
  EXPECT_CONTAINS(device->launch(*kernel, {}, {}).error().message, "its module was unloaded");
  EventHandle event = *device->createEvent();
  EXPECT_FALSE(device->elapsedMilliseconds(event, event).ok()) << "not recorded yet";
  EXPECT_FALSE(device->recordEvent(EventHandle{99}).ok());
  EXPECT_TRUE(device->recordEvent(event).ok());
  EXPECT_EQ(*device->elapsedMilliseconds(event, event), 0);
  EXPECT_TRUE(device->destroyEvent(event).ok());
  EXPECT_TRUE(device->synchronize().ok());
}
