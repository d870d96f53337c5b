// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C interface as a program uses it, on the emulator and on the null device: launches, questions, every refusal.
#include "fovea/emulator.h"
#include "fovea/fovea.h"
#include "fovea/fovea.hpp"
#include "test/unit/runtime/Testing.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <malloc.h>
#include <numeric>

namespace {

// h[i] += x[i]; y[i] = h[i]; without h, y = x through a workspace.
constexpr const char *kAccumulate = FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json";
constexpr const char *kCausal = FOVEA_SOURCE_DIR "/bench/plans/causal.json";

std::string slurp(const char *path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Api : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(fovea_plan_load(kAccumulate, &plan_), FOVEA_OK) << fovea_last_error();
    ASSERT_EQ(fovea_emulator_open(nullptr, &device_), FOVEA_OK) << fovea_last_error();
    ASSERT_EQ(fovea_prepare(plan_, device_, &kernel_), FOVEA_OK) << fovea_last_error();
    const char *names[] = {"x", "h", "y"};
    ASSERT_EQ(fovea_bind(kernel_, names, 3, &call_), FOVEA_OK) << fovea_last_error();
    for (void **data : {&x_, &h_, &y_})
      ASSERT_EQ(fovea_device_allocate(device_, kBytes, data), FOVEA_OK);
    std::vector<float> ramp(kCount);
    std::iota(ramp.begin(), ramp.end(), 0.f);
    ASSERT_EQ(fovea_device_upload(device_, x_, ramp.data(), kBytes), FOVEA_OK);
    std::vector<float> zero(kCount);
    ASSERT_EQ(fovea_device_upload(device_, h_, zero.data(), kBytes), FOVEA_OK);
    tensors_ = {tensor(x_), tensor(h_), tensor(y_)};
  }
  void TearDown() override {
    for (void *data : {x_, h_, y_})
      EXPECT_EQ(fovea_device_free(device_, data), FOVEA_OK);
    fovea_call_close(call_);
    fovea_kernel_close(kernel_);
    fovea_device_close(device_);
    fovea_plan_close(plan_);
  }

  fovea_tensor tensor(void *data) const { return {data, FOVEA_F32, 1, &shape_, nullptr}; }
  fovea_status launch(void *workspace = nullptr, size_t bytes = 0) {
    return fovea_launch(call_, nullptr, tensors_.data(), tensors_.size(), workspace, bytes);
  }
  std::vector<float> read(void *data) {
    std::vector<float> values(kCount);
    EXPECT_EQ(fovea_device_download(device_, values.data(), data, kBytes), FOVEA_OK);
    return values;
  }

  static constexpr size_t kCount = 100, kBytes = kCount * 4;
  fovea_plan *plan_ = nullptr;
  fovea_device *device_ = nullptr;
  fovea_kernel *kernel_ = nullptr;
  fovea_call *call_ = nullptr;
  void *x_ = nullptr, *h_ = nullptr, *y_ = nullptr;
  int64_t shape_ = kCount;
  std::vector<fovea_tensor> tensors_;
};

} // namespace

TEST_F(Api, ACarryContinuesFromLaunchToLaunch) {
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(launch(), FOVEA_OK) << fovea_last_error();
    std::vector<float> y = read(y_), h = read(h_);
    for (size_t e = 0; e < kCount; ++e) {
      ASSERT_EQ(y[e], static_cast<float>(e) * static_cast<float>(i));
      ASSERT_EQ(h[e], y[e]);
    }
  }
}

TEST_F(Api, WorkspaceOfTheCallerOrOfTheCall) {
  tensors_[1] = {}; // absent
  size_t bytes = 0;
  ASSERT_EQ(fovea_workspace_size(call_, tensors_.data(), nullptr, 3, &bytes), FOVEA_OK) << fovea_last_error();
  EXPECT_EQ(bytes, 512u);
  EXPECT_FAILS(launch(), FOVEA_INVALID_ARGUMENT,
               "accumulate needs a workspace of 512 bytes for these shapes, 0 are given");
  void *workspace = nullptr;
  ASSERT_EQ(fovea_device_allocate(device_, bytes + 256, &workspace), FOVEA_OK);
  EXPECT_FAILS(launch(workspace, 511), FOVEA_INVALID_ARGUMENT, "511 are given");
  EXPECT_FAILS(launch(static_cast<char *>(workspace) + 4, 512), FOVEA_INVALID_ARGUMENT,
               "the workspace must start at a multiple of 256 bytes");
  EXPECT_FAILS(launch(x_, 512), FOVEA_INVALID_ARGUMENT, "the workspace shares memory with `x`");
  // Whatever it held: the plan asks for zeros.
  std::vector<float> junk(bytes / 4, 3.f);
  ASSERT_EQ(fovea_device_upload(device_, workspace, junk.data(), bytes), FOVEA_OK);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(launch(workspace, bytes), FOVEA_OK) << fovea_last_error();
    EXPECT_EQ(read(y_)[99], 99.f);
  }
  EXPECT_EQ(fovea_device_free(device_, workspace), FOVEA_OK);
  ASSERT_EQ(fovea_call_reserve(call_, bytes), FOVEA_OK);
  ASSERT_EQ(launch(), FOVEA_OK) << fovea_last_error();
  ASSERT_EQ(fovea_call_reserve(call_, 4), FOVEA_OK);
  EXPECT_FAILS(launch(), FOVEA_INVALID_ARGUMENT, "4 are given");
  ASSERT_EQ(fovea_call_reserve(call_, 0), FOVEA_OK);
  EXPECT_FAILS(launch(), FOVEA_INVALID_ARGUMENT, "0 are given");
}

TEST_F(Api, WorkspaceForRangesOfSizes) {
  tensors_[1] = {};
  int64_t small = 10;
  std::vector<fovea_tensor> least = tensors_;
  least[0].shape = least[2].shape = &small;
  size_t bytes = 0;
  ASSERT_EQ(fovea_workspace_size(call_, least.data(), least.data(), 3, &bytes), FOVEA_OK);
  EXPECT_EQ(bytes, 256u);
  ASSERT_EQ(fovea_workspace_size(call_, tensors_.data(), least.data(), 3, &bytes), FOVEA_OK);
  EXPECT_EQ(bytes, 512u);
  EXPECT_FAILS(fovea_workspace_size(call_, least.data(), tensors_.data(), 3, &bytes), FOVEA_INVALID_ARGUMENT,
               "axis N is 100 in the smallest call, but 10 in the largest");
  least[1] = tensor(h_);
  EXPECT_FAILS(fovea_workspace_size(call_, tensors_.data(), least.data(), 3, &bytes), FOVEA_INVALID_ARGUMENT,
               "`h` is given in one of the two calls only");
  tensors_[0] = {};
  EXPECT_FAILS(fovea_workspace_size(call_, tensors_.data(), nullptr, 3, &bytes), FOVEA_INVALID_ARGUMENT,
               "`x` of accumulate is not given and not optional");
  EXPECT_EQ(fovea_workspace_size(call_, tensors_.data(), nullptr, 3, nullptr), FOVEA_INVALID_ARGUMENT);
}

TEST_F(Api, RefusalsOfTensors) {
  auto refused = [&](size_t index, const fovea_tensor &bad, const char *part) {
    fovea_tensor good = tensors_[index];
    tensors_[index] = bad;
    EXPECT_FAILS(launch(), FOVEA_INVALID_ARGUMENT, part);
    tensors_[index] = good;
    EXPECT_EQ(launch(), FOVEA_OK) << fovea_last_error();
  };
  int64_t ninety = 90, zero = 0, negative = -1, huge = INT64_MAX;
  int64_t pair[] = {10, 10}, wide[] = {INT64_MAX, INT64_MAX};
  refused(2, {y_, FOVEA_F32, 1, &ninety, nullptr}, "axis N is 100 by dimension N of `x`, but 90 by dimension N of `y`");
  refused(0, {x_, FOVEA_F32, 2, pair, nullptr}, "`x` has shape [10, 10], but 1 dimensions: [N]");
  refused(0, {x_, FOVEA_BF16, 1, &shape_, nullptr}, "`x` has type bf16, the plan takes f32");
  refused(0, {x_, 99, 1, &shape_, nullptr}, "`x`: type 99 is no fovea_type");
  refused(0, {x_, FOVEA_F32, 17, &shape_, nullptr}, "`x`: rank 17; it must be 0 to 16");
  refused(0, {x_, FOVEA_F32, -1, &shape_, nullptr}, "`x`: rank -1");
  refused(0, {x_, FOVEA_F32, 1, nullptr, nullptr}, "`x`: its shape is NULL");
  refused(0, {x_, FOVEA_F32, 2, wide, nullptr}, "`x`: its shape is larger than an address space");
  refused(0, {x_, FOVEA_F32, 1, &zero, nullptr}, "it must be at least 1");
  refused(0, {x_, FOVEA_F32, 1, &huge, nullptr}, "axis N is 9223372036854775807 by dimension N of `x`, but 100");
  refused(0, {x_, FOVEA_F32, 1, &shape_, &negative}, "negative stride -1");
  refused(2, {y_, FOVEA_F32, 1, &shape_, &zero}, "put several elements at one place");
  refused(0, {static_cast<char *>(x_) + 2, FOVEA_F32, 1, &shape_, nullptr}, "no multiple of the 4 bytes");
  refused(0, {}, "`x` of accumulate is not given and not optional");
  refused(2, {x_, FOVEA_F32, 1, &shape_, nullptr}, "`y` is written, but shares memory with the input `x`");
  refused(2, {h_, FOVEA_F32, 1, &shape_, nullptr}, "`h` is written, but shares memory with `y`");
  refused(1, {x_, FOVEA_F32, 1, &shape_, nullptr}, "give it memory of its own (only a carry is read and written");
  EXPECT_FAILS(fovea_launch(call_, nullptr, tensors_.data(), 2, nullptr, 0), FOVEA_INVALID_ARGUMENT,
               "2 tensors for 3 names");
  EXPECT_FAILS(fovea_launch(call_, nullptr, nullptr, 3, nullptr, 0), FOVEA_INVALID_ARGUMENT, "tensors is NULL");
  EXPECT_FAILS(fovea_launch(nullptr, nullptr, nullptr, 0, nullptr, 0), FOVEA_INVALID_ARGUMENT, "the call is NULL");
}

TEST_F(Api, FaultsOfTheDeviceAreErrors) {
  // The emulator checks: memory that nobody allocated.
  tensors_[0].data = reinterpret_cast<void *>(0x7777770000);
  EXPECT_FAILS(launch(), FOVEA_LAUNCH_FAILED, "accumulate");
  tensors_[0].data = x_;
  EXPECT_EQ(launch(), FOVEA_OK) << fovea_last_error();
  EXPECT_FAILS(fovea_device_free(device_, static_cast<char *>(x_) + 4), FOVEA_INVALID_ARGUMENT, "was not allocated");
  EXPECT_EQ(fovea_device_free(device_, nullptr), FOVEA_OK);
  void *data = nullptr;
  EXPECT_FAILS(fovea_device_allocate(device_, SIZE_MAX / 2, &data), FOVEA_OUT_OF_MEMORY, "no memory for");
  EXPECT_EQ(data, nullptr) << "out parameters are written on success only";
  EXPECT_EQ(fovea_device_synchronize(device_), FOVEA_OK);
}

TEST_F(Api, Bindings) {
  fovea_call *call = nullptr;
  auto bind = [&](std::vector<const char *> names) { return fovea_bind(kernel_, names.data(), names.size(), &call); };
  EXPECT_FAILS(bind({"x", "y", "z"}), FOVEA_NOT_FOUND, "accumulate has no tensor `z`; there are: x, h, y");
  EXPECT_FAILS(bind({"x", "y", "x"}), FOVEA_INVALID_ARGUMENT, "`x` is named twice");
  EXPECT_FAILS(bind({"x", "h"}), FOVEA_INVALID_ARGUMENT, "`y` of accumulate is not named and not optional");
  EXPECT_FAILS(bind({"x", nullptr}), FOVEA_INVALID_ARGUMENT, "names[1] is NULL");
  EXPECT_FAILS(fovea_bind(kernel_, nullptr, 1, &call), FOVEA_INVALID_ARGUMENT, "names is NULL");
  EXPECT_EQ(call, nullptr);
  // In another order, and without the optional one.
  ASSERT_EQ(bind({"y", "x"}), FOVEA_OK) << fovea_last_error();
  ASSERT_EQ(fovea_call_reserve(call, 512), FOVEA_OK);
  fovea_tensor tensors[] = {tensors_[2], tensors_[0]};
  ASSERT_EQ(fovea_launch(call, nullptr, tensors, 2, nullptr, 0), FOVEA_OK) << fovea_last_error();
  EXPECT_EQ(read(y_)[7], 7.f);
  EXPECT_FAILS(fovea_call_set_axis(call, "Z", 3), FOVEA_INVALID_ARGUMENT, "there is no such axis");
  ASSERT_EQ(fovea_call_set_axis(call, "N", 99), FOVEA_OK);
  EXPECT_FAILS(fovea_launch(call, nullptr, tensors, 2, nullptr, 0), FOVEA_INVALID_ARGUMENT, "99 by the caller");
  ASSERT_EQ(fovea_call_set_axis(call, "N", 100), FOVEA_OK);
  EXPECT_EQ(fovea_launch(call, nullptr, tensors, 2, nullptr, 0), FOVEA_OK) << fovea_last_error();
  fovea_call_close(call);
}

TEST_F(Api, HandlesLiveAsLongAsTheyAreNeeded) {
  fovea_plan *plan = nullptr;
  fovea_device *device = nullptr;
  fovea_kernel *kernel = nullptr;
  fovea_call *call = nullptr;
  void *x = nullptr, *h = nullptr, *y = nullptr;
  ASSERT_EQ(fovea_plan_load(kAccumulate, &plan), FOVEA_OK);
  ASSERT_EQ(fovea_emulator_open(nullptr, &device), FOVEA_OK);
  for (void **data : {&x, &h, &y}) {
    ASSERT_EQ(fovea_device_allocate(device, kBytes, data), FOVEA_OK);
    std::vector<float> zero(kCount);
    ASSERT_EQ(fovea_device_upload(device, *data, zero.data(), kBytes), FOVEA_OK);
  }
  ASSERT_EQ(fovea_prepare(plan, device, &kernel), FOVEA_OK);
  fovea_plan_close(plan);
  const char *names[] = {"x", "h", "y"};
  ASSERT_EQ(fovea_bind(kernel, names, 3, &call), FOVEA_OK);
  fovea_kernel_close(kernel);
  fovea_device_close(device);
  fovea_tensor tensors[] = {tensor(x), tensor(h), tensor(y)};
  EXPECT_EQ(fovea_launch(call, nullptr, tensors, 3, nullptr, 0), FOVEA_OK) << fovea_last_error();
  fovea_call_close(call);
  fovea_plan_close(nullptr);
  fovea_device_close(nullptr);
  fovea_kernel_close(nullptr);
  fovea_call_close(nullptr);
}

TEST_F(Api, TellsWhatAPlanIs) {
  EXPECT_STREQ(fovea_plan_name(plan_), "accumulate");
  EXPECT_STREQ(fovea_plan_target(plan_), "sm_80");
  EXPECT_EQ(std::strlen(fovea_plan_signature(plan_)), 32u);
  ASSERT_EQ(fovea_plan_tensor_count(plan_), 3u);
  fovea_tensor_info info = {};
  EXPECT_FAILS(fovea_plan_tensor_info(plan_, 1, &info), FOVEA_INVALID_ARGUMENT,
               "set struct_size to sizeof(fovea_tensor_info)");
  info.struct_size = sizeof info;
  ASSERT_EQ(fovea_plan_tensor_info(plan_, 1, &info), FOVEA_OK);
  EXPECT_STREQ(info.name, "h");
  EXPECT_EQ(info.role, FOVEA_CARRY);
  EXPECT_EQ(info.type, FOVEA_F32);
  EXPECT_EQ(info.rank, 1);
  EXPECT_EQ(info.optional, 1);
  EXPECT_STREQ(info.dims[0], "N");
  EXPECT_EQ(info.static_sizes[0], 0);
  EXPECT_FAILS(fovea_plan_tensor_info(plan_, 3, &info), FOVEA_INVALID_ARGUMENT, "tensor 3 of 3");
  // A caller that knows a newer structure gets what there is.
  struct {
    fovea_tensor_info info;
    int64_t more;
  } newer = {{}, 7};
  newer.info.struct_size = sizeof newer;
  ASSERT_EQ(fovea_plan_tensor_info(plan_, 0, &newer.info), FOVEA_OK);
  EXPECT_STREQ(newer.info.name, "x");
  EXPECT_EQ(newer.more, 7);
  fovea_device_info device = {};
  device.struct_size = sizeof device;
  ASSERT_EQ(fovea_device_get_info(device_, &device), FOVEA_OK);
  EXPECT_STREQ(device.name, "PTX emulator");
  EXPECT_EQ(device.emulated, 1);
  EXPECT_EQ(device.multiprocessors, 108);
  EXPECT_EQ(fovea_api_version(), FOVEA_API_VERSION);
  EXPECT_STREQ(fovea_status_name(FOVEA_NO_DEVICE), "FOVEA_NO_DEVICE");
  EXPECT_STREQ(fovea_status_name(static_cast<fovea_status>(77)), "?");
}

TEST_F(Api, PlansFromMemory) {
  std::string text = slurp(kAccumulate);
  fovea_plan *plan = nullptr;
  ASSERT_EQ(fovea_plan_parse(text.data(), text.size(), &plan), FOVEA_OK) << fovea_last_error();
  EXPECT_STREQ(fovea_plan_signature(plan), fovea_plan_signature(plan_));
  fovea_plan_close(plan);
  plan = nullptr;
  EXPECT_FAILS(fovea_plan_parse(text.data(), text.size() / 2, &plan), FOVEA_CORRUPT, "plan");
  text[text.find("present")] = 'P';
  EXPECT_FAILS(fovea_plan_parse(text.data(), text.size(), &plan), FOVEA_CORRUPT, "content hash does not match");
  EXPECT_FAILS(fovea_plan_load("/nonexistent.json", &plan), FOVEA_NOT_FOUND, "/nonexistent.json");
  EXPECT_FAILS(fovea_plan_load(nullptr, &plan), FOVEA_INVALID_ARGUMENT, "NULL");
  EXPECT_EQ(plan, nullptr);
}

TEST_F(Api, Supports) {
  const char *names[] = {"x", "h", "y"};
  fovea_support answer = {};
  answer.struct_size = sizeof answer;
  auto ask = [&](const fovea_target *target = nullptr) {
    EXPECT_EQ(fovea_supports(plan_, names, tensors_.data(), 3, target, &answer), FOVEA_OK) << fovea_last_error();
    return answer.supported;
  };
  EXPECT_EQ(ask(), 1);
  EXPECT_EQ(answer.entry, 0);
  EXPECT_STREQ(answer.reason, "continues from h");
  tensors_[1] = {};
  EXPECT_EQ(ask(), 1);
  EXPECT_EQ(answer.entry, 1);
  // The nearest legal call.
  int64_t ninety = 90;
  tensors_[2] = {nullptr, FOVEA_BF16, 1, &ninety, nullptr};
  EXPECT_EQ(ask(), 0);
  EXPECT_EQ(answer.entry, -1);
  EXPECT_CONTAINS(answer.reason, "axis N is 100 by dimension N of `x`, but 90 by dimension N of `y`");
  EXPECT_STREQ(answer.nearest, "`y`: f32 [100]");
  tensors_[2] = {};
  EXPECT_EQ(ask(), 0);
  EXPECT_STREQ(answer.nearest, "`y`: f32 [100]");
  tensors_[2] = tensor(x_);
  EXPECT_EQ(ask(), 0);
  EXPECT_CONTAINS(answer.reason, "`y` is written, but shares memory with the input `x`");
  tensors_[2] = tensor(nullptr);
  EXPECT_EQ(ask(), 1);
  int64_t two = 2;
  tensors_[2].strides = &two;
  EXPECT_EQ(ask(), 1) << "the plan has no guard against it";
  fovea_target target = {};
  EXPECT_FAILS(fovea_supports(plan_, names, tensors_.data(), 3, &target, &answer), FOVEA_INVALID_ARGUMENT,
               "fovea_target: struct_size is 0; set it to sizeof(fovea_target)");
  target.struct_size = sizeof target;
  target.sm_version = 75;
  EXPECT_EQ(ask(&target), 0);
  EXPECT_CONTAINS(answer.reason, "the plan of accumulate is for sm_80; the target is sm_75");
  EXPECT_STREQ(answer.nearest, "a device of sm_80 or later, or a plan that is compiled for sm_75");
}

TEST_F(Api, SupportsNamesGapsAndStaticSizes) {
  fovea_plan *plan = nullptr;
  ASSERT_EQ(fovea_plan_load(kCausal, &plan), FOVEA_OK) << fovea_last_error();
  const char *names[] = {"q", "k", "v", "o", "lse"};
  int64_t head[] = {2, 128, 4, 96}, rows[] = {2, 128, 4}, right[] = {2, 128, 4, 64};
  fovea_tensor tensors[] = {{nullptr, FOVEA_BF16, 4, head, nullptr},
                            {nullptr, FOVEA_BF16, 4, right, nullptr},
                            {nullptr, FOVEA_BF16, 4, right, nullptr},
                            {nullptr, FOVEA_BF16, 4, right, nullptr},
                            {nullptr, FOVEA_F32, 3, rows, nullptr}};
  fovea_support answer = {};
  answer.struct_size = sizeof answer;
  ASSERT_EQ(fovea_supports(plan, names, tensors, 5, nullptr, &answer), FOVEA_OK);
  EXPECT_EQ(answer.supported, 0);
  EXPECT_CONTAINS(answer.reason, "axis D is 64 by the plan, which was compiled for it, but 96 by");
  EXPECT_STREQ(answer.nearest, "`q`: bf16 [2, 128, 4, 64]");
  tensors[0].shape = right;
  ASSERT_EQ(fovea_supports(plan, names, tensors, 5, nullptr, &answer), FOVEA_OK);
  EXPECT_EQ(answer.supported, 1);
  // Strides that no entry serves: the nearest call has none of them.
  int64_t gaps[] = {128 * 4 * 128, 4 * 128, 128, 2};
  tensors[1].strides = gaps;
  ASSERT_EQ(fovea_supports(plan, names, tensors, 5, nullptr, &answer), FOVEA_OK);
  EXPECT_EQ(answer.supported, 0);
  EXPECT_CONTAINS(answer.reason, "was not compiled for these shapes, strides and addresses; it needs one of\n  `");
  EXPECT_CONTAINS(answer.nearest, "`k`: without gaps, at an address that is a multiple of 256");
  tensors[1].strides = nullptr;
  // Several faults at once; a block that the target cannot hold.
  tensors[2].type = FOVEA_F16;
  fovea_target target = {};
  target.struct_size = sizeof target;
  target.sm_version = 75;
  ASSERT_EQ(fovea_supports(plan, names, tensors, 5, &target, &answer), FOVEA_OK);
  EXPECT_CONTAINS(answer.nearest,
                  "a device of sm_80 or later, or a plan that is compiled for sm_75; `v`: bf16 [2, 128");
  tensors[2].type = FOVEA_BF16;
  target.sm_version = 80;
  target.shared_bytes = 1;
  ASSERT_EQ(fovea_supports(plan, names, tensors, 5, &target, &answer), FOVEA_OK);
  EXPECT_EQ(answer.supported, 0);
  EXPECT_CONTAINS(answer.reason, " bytes of shared memory; the target has 1 for a block");
  EXPECT_STREQ(answer.nearest, "");
  fovea_plan_close(plan);
}

TEST_F(Api, DlPack) {
  struct {
    void *data;
    int32_t deviceType, deviceId, rank;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byteOffset;
  } dl = {static_cast<char *>(x_) - 8, 12, 0, 1, 2, 32, 1, &shape_, nullptr, 8};
  fovea_tensor tensor = {};
  ASSERT_EQ(fovea_tensor_from_dlpack(device_, &dl, &tensor), FOVEA_OK) << fovea_last_error();
  EXPECT_EQ(tensor.data, x_);
  tensors_[0] = tensor;
  EXPECT_EQ(launch(), FOVEA_OK) << fovea_last_error();
  auto type = [&](uint8_t code, uint8_t bits) {
    dl.code = code;
    dl.bits = bits;
    return fovea_tensor_from_dlpack(device_, &dl, &tensor) == FOVEA_OK ? tensor.type : -1;
  };
  EXPECT_EQ(type(0, 32), FOVEA_I32);
  EXPECT_EQ(type(2, 16), FOVEA_F16);
  EXPECT_EQ(type(4, 16), FOVEA_BF16);
  EXPECT_EQ(type(2, 64), -1);
  EXPECT_CONTAINS(fovea_last_error(), "64 bits, 1 lanes; there are f32, f16, bf16 and i32");
  EXPECT_EQ(type(0, 64), -1);
  dl.code = 2;
  dl.bits = 32;
  dl.deviceType = 1;
  EXPECT_FAILS(fovea_tensor_from_dlpack(device_, &dl, &tensor), FOVEA_INVALID_ARGUMENT, "copy it there");
  dl.deviceType = 12;
  dl.rank = 17;
  EXPECT_FAILS(fovea_tensor_from_dlpack(device_, &dl, &tensor), FOVEA_INVALID_ARGUMENT, "17 dimensions; at most 16");
  EXPECT_EQ(fovea_tensor_from_dlpack(device_, nullptr, &tensor), FOVEA_INVALID_ARGUMENT);
}

TEST_F(Api, Log) {
  std::string said;
  fovea_set_log([](fovea_log_level, const char *text, void *user) { *static_cast<std::string *>(user) += text; },
                &said);
  fovea_device_options options = {};
  options.struct_size = sizeof options;
  options.kind = FOVEA_DEVICE_NULL;
  fovea_device *device = nullptr;
  ASSERT_EQ(fovea_device_open(&options, &device), FOVEA_OK);
  fovea_kernel *kernel = nullptr;
  ASSERT_EQ(fovea_prepare(plan_, device, &kernel), FOVEA_OK);
  fovea_set_log(nullptr, nullptr);
  EXPECT_CONTAINS(said, "device opened: null devicemodule main of accumulate: loaded from PTX in ");
  EXPECT_CONTAINS(said, " msprepared accumulate for null device");
  fovea_kernel_close(kernel);
  fovea_device_close(device);
}

TEST(Devices, OnlyWhatWasAskedFor) {
  fovea_device *device = nullptr;
  fovea_device_options options = {};
  EXPECT_FAILS(fovea_device_open(&options, &device), FOVEA_INVALID_ARGUMENT,
               "fovea_device_options: struct_size is 0; set it to sizeof(fovea_device_options)");
  options.struct_size = sizeof options;
  options.library = "/nonexistent/libcuda.so.1";
  EXPECT_FAILS(fovea_device_open(&options, &device), FOVEA_NO_DEVICE, "no GPU: the CUDA driver cannot be loaded");
  options.kind = static_cast<fovea_device_kind>(9);
  EXPECT_FAILS(fovea_device_open(&options, &device), FOVEA_INVALID_ARGUMENT, "kind 9 is no fovea_device_kind");
  options.kind = FOVEA_DEVICE_NULL;
  options.multiprocessors = -1;
  EXPECT_FAILS(fovea_device_open(&options, &device), FOVEA_INVALID_ARGUMENT, "a negative number");
  // A field of a newer header that this library does not know must not be ignored.
  struct {
    fovea_device_options options;
    int64_t more;
  } newer = {{}, 0};
  newer.options.struct_size = sizeof newer;
  newer.options.kind = FOVEA_DEVICE_NULL;
  EXPECT_EQ(fovea_device_open(&newer.options, &device), FOVEA_OK) << fovea_last_error();
  fovea_device_close(device);
  device = nullptr;
  newer.more = 1;
  EXPECT_FAILS(fovea_device_open(&newer.options, &device), FOVEA_UNSUPPORTED,
               "has fields that this library does not know");
  fovea_emulator_options emulator = {};
  EXPECT_FAILS(fovea_emulator_open(&emulator, &device), FOVEA_INVALID_ARGUMENT, "set struct_size");
  emulator.struct_size = sizeof emulator;
  emulator.memory_bytes = -1;
  EXPECT_FAILS(fovea_emulator_open(&emulator, &device), FOVEA_INVALID_ARGUMENT, "a negative number");
  emulator.memory_bytes = 1000;
  ASSERT_EQ(fovea_emulator_open(&emulator, &device), FOVEA_OK) << fovea_last_error();
  void *data = nullptr;
  EXPECT_EQ(fovea_device_allocate(device, 2000, &data), FOVEA_OUT_OF_MEMORY);
  fovea_device_close(device);
}

TEST(Devices, APlanForAnotherTargetIsNotPrepared) {
  fovea_plan *plan = nullptr;
  ASSERT_EQ(fovea_plan_load(kAccumulate, &plan), FOVEA_OK);
  fovea_device_options options = {};
  options.struct_size = sizeof options;
  options.kind = FOVEA_DEVICE_NULL;
  options.sm_version = 75;
  fovea_device *device = nullptr;
  fovea_kernel *kernel = nullptr;
  ASSERT_EQ(fovea_device_open(&options, &device), FOVEA_OK);
  EXPECT_FAILS(fovea_prepare(plan, device, &kernel), FOVEA_UNSUPPORTED, "is for sm_80; null device is sm_75");
  EXPECT_EQ(fovea_prepare(nullptr, device, &kernel), FOVEA_INVALID_ARGUMENT);
  fovea_device_close(device);
  fovea_plan_close(plan);
}

TEST_F(Api, TenThousandLaunchesDoNotGrow) {
  // On the emulator, launches take memory of its own, which it gives back.
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(launch(), FOVEA_OK) << fovea_last_error();
  size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 10000; ++i)
    ASSERT_EQ(launch(), FOVEA_OK) << fovea_last_error();
  EXPECT_LE(mallinfo2().uordblks, before + 65536);

  // On the null device nothing is allocated at all, and neither by C++'s tensors.
  fovea_device_options options = {};
  options.struct_size = sizeof options;
  options.kind = FOVEA_DEVICE_NULL;
  fovea::Expected<fovea::Device> device = fovea::Device::open(options);
  fovea::Expected<fovea::Plan> plan = fovea::Plan::load(kCausal);
  ASSERT_TRUE(device && plan);
  fovea::Expected<fovea::Kernel> kernel = plan->prepare(*device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  fovea::Expected<fovea::Call> call = kernel->bind({"q", "k", "v", "o", "lse"});
  ASSERT_TRUE(call) << call.failure().text;
  std::vector<fovea::Tensor> tensors;
  for (int i = 0; i < 4; ++i)
    tensors.push_back({*device->allocate(1 << 20), FOVEA_BF16, {1, 64, 4, 64}});
  tensors.push_back({*device->allocate(1 << 20), FOVEA_F32, {1, 64, 4}});
  fovea::Expected<size_t> bytes = call->workspaceSize(tensors);
  ASSERT_TRUE(bytes) << bytes.failure().text;
  fovea::Workspace workspace = {*device->allocate(*bytes), *bytes};
  ASSERT_TRUE(call->launch(nullptr, tensors, workspace)) << fovea_last_error();
  long count = allocations;
  for (int i = 0; i < 10000; ++i)
    if (!call->launch(nullptr, tensors, workspace))
      break;
  EXPECT_EQ(allocations - count, 0);
#ifndef __SANITIZE_ADDRESS__
  EXPECT_GT(count, 0) << "allocations are not counted";
#endif
}

TEST_F(Api, AThousandPreparationsDoNotGrow) {
  const char *names[] = {"x", "h", "y"};
  auto once = [&] {
    fovea_kernel *kernel = nullptr;
    fovea_call *call = nullptr;
    ASSERT_EQ(fovea_prepare(plan_, device_, &kernel), FOVEA_OK) << fovea_last_error();
    ASSERT_EQ(fovea_bind(kernel, names, 3, &call), FOVEA_OK) << fovea_last_error();
    ASSERT_EQ(fovea_call_reserve(call, 1024), FOVEA_OK) << fovea_last_error();
    fovea_kernel_close(kernel);
    fovea_call_close(call);
  };
  for (int i = 0; i < 50; ++i)
    once();
  size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 1000; ++i)
    once();
  EXPECT_LE(mallinfo2().uordblks, before + 16384);
}

TEST(Cpp, ErrorsCarryTheirText) {
  fovea::Expected<fovea::Plan> plan = fovea::Plan::load("/nonexistent.json");
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.failure().status, FOVEA_NOT_FOUND);
  EXPECT_CONTAINS(plan.failure().text, "/nonexistent.json");
  plan = fovea::Plan::parse(slurp(kAccumulate));
  ASSERT_TRUE(plan) << plan.failure().text;
  std::vector<fovea_tensor_info> tensors = plan->tensors();
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_STREQ(tensors[2].name, "y");
  fovea_device *raw = nullptr;
  ASSERT_EQ(fovea_emulator_open(nullptr, &raw), FOVEA_OK);
  fovea::Device device(raw);
  fovea::Expected<fovea::Kernel> kernel = plan->prepare(device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  EXPECT_FALSE(kernel->bind({"x"}));
  fovea::Expected<fovea::Call> call = kernel->bind({"x", "h", "y"});
  ASSERT_TRUE(call) << call.failure().text;
  void *x = *device.allocate(64), *h = *device.allocate(64), *y = *device.allocate(64);
  std::vector<float> ones(16, 1.f), got(16);
  ASSERT_TRUE(device.upload(x, ones.data(), 64));
  ASSERT_TRUE(device.upload(h, ones.data(), 64));
  ASSERT_TRUE(call->launch(nullptr, {{x, FOVEA_F32, {16}}, {h, FOVEA_F32, {16}}, {y, FOVEA_F32, {16}}}))
      << fovea_last_error();
  ASSERT_TRUE(device.synchronize());
  ASSERT_TRUE(device.download(got.data(), y, 64));
  EXPECT_EQ(got, std::vector<float>(16, 2.f));
  fovea::Outcome wrong = call->launch(nullptr, {{x, FOVEA_F32, {16}, {1, 1}}, {}, {y, FOVEA_F32, {16}}});
  EXPECT_FALSE(wrong);
  EXPECT_EQ(wrong.status(), FOVEA_INVALID_ARGUMENT);
  EXPECT_CONTAINS(wrong.text(), "rank -1");
  for (void *data : {x, h, y})
    EXPECT_TRUE(device.free(data));
}
