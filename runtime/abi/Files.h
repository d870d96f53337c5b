// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Whole files, read with a limit and written so that a failure leaves the old file as it was.
#pragma once

#include "runtime/abi/Result.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace fovea::runtime {

/// The content of a regular file of at most `maxBytes`; a longer one is an error, not a cut.
Result<std::string> readFile(const std::string &path, size_t maxBytes);

/// A file under a temporary name beside its destination. `commit` renames it; without it the destructor removes it.
class PendingFile {
public:
  static Result<PendingFile> write(const std::string &path, std::string_view content);
  PendingFile(PendingFile &&other) noexcept;
  PendingFile &operator=(PendingFile &&other) noexcept;
  ~PendingFile();
  Status commit();

private:
  PendingFile() = default;
  std::string temporary_, path_;
};

/// Writes under a temporary name, then renames.
Status writeFileAtomically(const std::string &path, std::string_view content);

} // namespace fovea::runtime
