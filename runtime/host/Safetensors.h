// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// .safetensors files: a JSON header, then the elements of named tensors, among them bf16.
#pragma once

#include "runtime/host/Array.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::runtime {

/// A file in memory. Its header is checked as a whole when it is opened: ranges in bounds, without gaps or overlap, and
/// of the size that shape and type ask for.
class Safetensors {
public:
  struct Entry {
    std::string name;
    std::string type; // as in the file: "BF16"
    std::vector<int64_t> shape;
    size_t begin = 0, end = 0; // bytes after the header
  };

  static Result<Safetensors> open(const std::string &path);
  static Result<Safetensors> parse(std::string content);

  /// In the order of the data.
  const std::vector<Entry> &entries() const { return entries_; }
  /// Types F16, F32, F64, BF16, I32, I64; `as` as in readNpy. An unknown name is an error that lists the names.
  Result<Array> get(std::string_view name, std::optional<StorageType> as = {}) const;

private:
  std::string content_;
  size_t dataStart_ = 0;
  std::vector<Entry> entries_;
};

/// The old file stays when writing fails.
Status writeSafetensors(const std::string &path, const std::vector<std::pair<std::string, const Array *>> &tensors);

} // namespace fovea::runtime
