// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NumPy's .npy files: versions 1 to 3, little endian, C order, types f2 f4 f8 i4 i8.
#pragma once

#include "runtime/host/Array.h"

#include <optional>
#include <string>
#include <string_view>

namespace fovea::runtime {

/// Reads a file; `as` is the type wanted, reached by one rounding (f8 to bf16 does not pass through f32). Without it
/// the file's type, f8 as f32 and i8 as i32.
Result<Array> readNpy(const std::string &path, std::optional<StorageType> as = {});
/// The same from memory. Untrusted: anything but a whole valid file is an error.
Result<Array> parseNpy(std::string_view content, std::optional<StorageType> as = {});

/// The content of a file: f32, f16 and i32 as they are; bf16, which NumPy lacks, as f4 (exact).
Result<std::string> npyText(const Array &array);
/// The old file stays when writing fails.
Status writeNpy(const std::string &path, const Array &array);
/// 64-bit values, as f8.
Status writeNpy(const std::string &path, std::span<const int64_t> shape, std::span<const double> values);

} // namespace fovea::runtime
