// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The runtime of Fovea for C++17: handles that close themselves and results that carry their error, over fovea.h, which
// has the rules of ownership and threads. Throws nothing itself.
#ifndef FOVEA_FOVEA_HPP
#define FOVEA_FOVEA_HPP

#include "fovea/fovea.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fovea {

/// What went wrong.
struct Failure {
  fovea_status status = FOVEA_INTERNAL;
  std::string text;
};

/// A value, or why there is none. Ask with `if (x)`; `*x` only then, `x.failure()` only else.
template <typename T> class [[nodiscard]] Expected {
public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Expected(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}
  explicit operator bool() const { return state_.index() == 0; }
  T &operator*() { return *std::get_if<0>(&state_); }
  const T &operator*() const { return *std::get_if<0>(&state_); }
  T *operator->() { return std::get_if<0>(&state_); }
  const T *operator->() const { return std::get_if<0>(&state_); }
  const Failure &failure() const { return *std::get_if<1>(&state_); }

private:
  std::variant<T, Failure> state_;
};

/// What a function without a value gives: `if (!done) report(done.text())`.
class [[nodiscard]] Outcome {
public:
  Outcome() = default;
  Outcome(fovea_status status) : status_(status) {}
  explicit operator bool() const { return status_ == FOVEA_OK; }
  fovea_status status() const { return status_; }
  /// Valid until the next function of the library in this thread.
  const char *text() const { return status_ == FOVEA_OK ? "" : fovea_last_error(); }

private:
  fovea_status status_ = FOVEA_OK;
};

namespace detail {

/// A handle that is closed with its owner.
template <typename H, void (*Close)(H *)> class Handle {
public:
  Handle() = default;
  explicit Handle(H *handle) : handle_(handle) {}
  Handle(Handle &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle &operator=(Handle &&other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Handle() { Close(handle_); }
  H *get() const { return handle_; }

private:
  H *handle_ = nullptr;
};

inline Failure failure(fovea_status status) { return {status, fovea_last_error()}; }

} // namespace detail

/// A tensor of a launch with its shape. One without a type is left out.
struct Tensor {
  void *data = nullptr;
  fovea_type type = FOVEA_ABSENT;
  int32_t rank = 0;
  std::array<int64_t, FOVEA_MAX_RANK> shape{}, strides{};
  bool strided = false;

  Tensor() = default;
  /// Without gaps. Dimensions beyond FOVEA_MAX_RANK make a tensor that every launch refuses.
  Tensor(void *data, fovea_type type, std::initializer_list<int64_t> sizes)
      : data(data), type(type), rank(static_cast<int32_t>(sizes.size())) {
    std::copy_n(sizes.begin(), std::min<std::size_t>(sizes.size(), FOVEA_MAX_RANK), shape.begin());
  }
  /// Strides in elements, one for each size.
  Tensor(void *data, fovea_type type, std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> steps)
      : Tensor(data, type, sizes) {
    strided = true;
    if (steps.size() != sizes.size())
      rank = -1;
    else
      std::copy_n(steps.begin(), std::min<std::size_t>(steps.size(), FOVEA_MAX_RANK), strides.begin());
  }
  /// Borrows the shape of this object.
  fovea_tensor raw() const { return {data, type, rank, shape.data(), strided ? strides.data() : nullptr}; }
};

struct Workspace {
  void *data = nullptr;
  std::size_t bytes = 0;
};

class Device {
public:
  static Expected<Device> open(const fovea_device_options &options) {
    fovea_device *made = nullptr;
    fovea_status status = fovea_device_open(&options, &made);
    return status == FOVEA_OK ? Expected<Device>(Device(made)) : detail::failure(status);
  }
  /// A CUDA device.
  static Expected<Device> cuda(int ordinal = 0) {
    fovea_device_options options{};
    options.struct_size = sizeof options;
    options.ordinal = ordinal;
    return open(options);
  }
  /// Takes a handle, as fovea_emulator_open gives one.
  explicit Device(fovea_device *handle) : handle_(handle) {}

  fovea_device *get() const { return handle_.get(); }
  Expected<void *> allocate(std::size_t bytes) const {
    void *data = nullptr;
    fovea_status status = fovea_device_allocate(get(), bytes, &data);
    return status == FOVEA_OK ? Expected<void *>(data) : detail::failure(status);
  }
  Outcome free(void *data) const { return fovea_device_free(get(), data); }
  Outcome upload(void *to, const void *from, std::size_t bytes) const {
    return fovea_device_upload(get(), to, from, bytes);
  }
  Outcome download(void *to, const void *from, std::size_t bytes) const {
    return fovea_device_download(get(), to, from, bytes);
  }
  Outcome synchronize() const { return fovea_device_synchronize(get()); }

private:
  detail::Handle<fovea_device, fovea_device_close> handle_;
};

/// A plan with an order of arguments, on a device.
class Call {
public:
  explicit Call(fovea_call *handle) : handle_(handle) {}
  fovea_call *get() const { return handle_.get(); }

  /// Tensor i is the one that the i-th name of `bind` names. Allocates nothing.
  Outcome launch(void *stream, const Tensor *tensors, std::size_t count, Workspace workspace = {}) const {
    constexpr std::size_t kMost = 128; // of a plan
    std::array<fovea_tensor, kMost> raw;
    for (std::size_t i = 0; i < std::min(count, kMost); ++i)
      raw[i] = tensors[i].raw();
    return fovea_launch(get(), stream, raw.data(), count, workspace.data, workspace.bytes);
  }
  Outcome launch(void *stream, std::initializer_list<Tensor> tensors, Workspace workspace = {}) const {
    return launch(stream, tensors.begin(), tensors.size(), workspace);
  }
  Outcome launch(void *stream, const std::vector<Tensor> &tensors, Workspace workspace = {}) const {
    return launch(stream, tensors.data(), tensors.size(), workspace);
  }

  /// Bytes that serve every call with sizes up to these.
  Expected<std::size_t> workspaceSize(const std::vector<Tensor> &most) const {
    std::vector<fovea_tensor> raw;
    for (const Tensor &tensor : most)
      raw.push_back(tensor.raw());
    std::size_t bytes = 0;
    fovea_status status = fovea_workspace_size(get(), raw.data(), nullptr, raw.size(), &bytes);
    return status == FOVEA_OK ? Expected<std::size_t>(bytes) : detail::failure(status);
  }
  Outcome reserve(std::size_t bytes) const { return fovea_call_reserve(get(), bytes); }
  Outcome setAxis(const char *axis, int64_t size) const { return fovea_call_set_axis(get(), axis, size); }

private:
  detail::Handle<fovea_call, fovea_call_close> handle_;
};

/// A plan whose modules are loaded on a device.
class Kernel {
public:
  explicit Kernel(fovea_kernel *handle) : handle_(handle) {}
  fovea_kernel *get() const { return handle_.get(); }
  Expected<Call> bind(const std::vector<const char *> &names) const {
    fovea_call *made = nullptr;
    fovea_status status = fovea_bind(get(), names.data(), names.size(), &made);
    return status == FOVEA_OK ? Expected<Call>(Call(made)) : detail::failure(status);
  }

private:
  detail::Handle<fovea_kernel, fovea_kernel_close> handle_;
};

/// As fovea_prepare_options: what is left as it is follows the environment.
struct PrepareOptions {
  fovea_switch cache = FOVEA_AS_SET, selfTest = FOVEA_AS_SET;
  std::string cacheFolder;
  fovea_switch checked = FOVEA_AS_SET; // launches look at offsets and contracts first
};

class Plan {
public:
  static Expected<Plan> load(const std::string &path) {
    fovea_plan *made = nullptr;
    fovea_status status = fovea_plan_load(path.c_str(), &made);
    return give(status, made);
  }
  static Expected<Plan> parse(std::string_view json) {
    fovea_plan *made = nullptr;
    fovea_status status = fovea_plan_parse(json.data(), json.size(), &made);
    return give(status, made);
  }
  explicit Plan(fovea_plan *handle) : handle_(handle) {}

  fovea_plan *get() const { return handle_.get(); }
  const char *name() const { return fovea_plan_name(get()); }
  const char *target() const { return fovea_plan_target(get()); }
  const char *signature() const { return fovea_plan_signature(get()); }
  std::vector<fovea_tensor_info> tensors() const {
    std::vector<fovea_tensor_info> list(fovea_plan_tensor_count(get()));
    for (std::size_t i = 0; i < list.size(); ++i) {
      list[i].struct_size = sizeof list[i];
      (void)fovea_plan_tensor_info(get(), i, &list[i]);
    }
    return list;
  }
  Expected<Kernel> prepare(const Device &device, const PrepareOptions &options = {}) const {
    fovea_kernel *made = nullptr;
    fovea_prepare_options with = {};
    with.struct_size = sizeof with;
    with.cache = options.cache;
    with.self_test = options.selfTest;
    with.checked = options.checked;
    with.cache_folder = options.cacheFolder.empty() ? nullptr : options.cacheFolder.c_str();
    fovea_status status = fovea_prepare_with(get(), device.get(), &with, &made);
    return status == FOVEA_OK ? Expected<Kernel>(Kernel(made)) : detail::failure(status);
  }

private:
  static Expected<Plan> give(fovea_status status, fovea_plan *made) {
    return status == FOVEA_OK ? Expected<Plan>(Plan(made)) : detail::failure(status);
  }
  detail::Handle<fovea_plan, fovea_plan_close> handle_;
};

} // namespace fovea

#endif
