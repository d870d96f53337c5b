// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NumPy's .npz files: zip archives whose members NAME.npy are arrays, stored or deflated.
#pragma once

#include "runtime/host/Array.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::runtime {

/// An archive in memory. Untrusted: its directory is checked when it is opened, a member when it is read.
class Npz {
public:
  static Result<Npz> open(const std::string &path);
  static Result<Npz> parse(std::string content);
  Npz(Npz &&other) noexcept;
  Npz &operator=(Npz &&other) noexcept;
  ~Npz();

  /// Of its arrays, without ".npy", in the order of the directory. Other members do not count.
  std::vector<std::string> names() const;
  /// `as` as in readNpy. An unknown name is an error that lists the names. Of a member, at most 1 GiB is read, or 64
  /// times what it takes in the file.
  Result<Array> get(std::string_view name, std::optional<StorageType> as = {}) const;

private:
  struct Archive;
  Npz();
  std::unique_ptr<Archive> archive_;
};

/// Stored, not deflated, as by numpy.savez; types as in writeNpy. Names occur once. The old file stays when writing
/// fails. Equal arrays make equal files.
Status writeNpz(const std::string &path, const std::vector<std::pair<std::string, const Array *>> &arrays);

} // namespace fovea::runtime
