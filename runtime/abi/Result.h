// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Result<T>: a value or an Error, for the parts that include neither LLVM nor exceptions.
#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace fovea {

/// What kind of thing went wrong; the same numbers cross the C interface.
enum class ErrorCode {
  Ok = 0,
  InvalidArgument = 1, // a value, shape, type or option that cannot be used
  NotFound = 2,        // a file, name or symbol that does not exist
  Io = 3,              // reading or writing failed
  Corrupt = 4,         // data that is truncated, edited or not of the expected kind
  Unsupported = 5,     // legal, but not in this version or not on this device
  NoDevice = 6,        // no usable device
  OutOfMemory = 7,     // a size that cannot be allocated
  LaunchFailed = 8,    // the device or the emulator reported a fault
  Internal = 9,
  SelfTestFailed = 10, // a device gives wrong numbers for a plan
};

/// A code and a sentence for people: what is wrong, where, and what would be right.
struct Error {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
};

template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T &operator*() & { return std::get<0>(state_); }
  const T &operator*() const & { return std::get<0>(state_); }
  T &&operator*() && { return std::get<0>(std::move(state_)); }
  T *operator->() { return &std::get<0>(state_); }
  const T *operator->() const { return &std::get<0>(state_); }
  const Error &error() const { return std::get<1>(state_); }
  Error takeError() { return std::get<1>(std::move(state_)); }

private:
  std::variant<T, Error> state_;
};

/// Success or an Error.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}
  static Status success() { return {}; }
  bool ok() const { return error_.code == ErrorCode::Ok; }
  explicit operator bool() const { return ok(); }
  const Error &error() const { return error_; }

private:
  Error error_{ErrorCode::Ok, {}};
};

} // namespace fovea
