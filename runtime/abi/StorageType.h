// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The element types in which tensors are stored, and their sizes and names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fovea::runtime {

enum class StorageType : uint8_t { F32, F16, BF16, I32 };

/// Bytes of one element: 2 or 4.
inline constexpr int64_t byteSize(StorageType type) {
  return type == StorageType::F16 || type == StorageType::BF16 ? 2 : 4;
}

/// `f32`, `f16`, `bf16` or `i32`.
inline constexpr const char *typeName(StorageType type) {
  switch (type) {
  case StorageType::F32:
    return "f32";
  case StorageType::F16:
    return "f16";
  case StorageType::BF16:
    return "bf16";
  case StorageType::I32:
    return "i32";
  }
  return "?";
}

inline std::optional<StorageType> parseStorageType(std::string_view name) {
  for (StorageType type : {StorageType::F32, StorageType::F16, StorageType::BF16, StorageType::I32})
    if (name == typeName(type))
      return type;
  return std::nullopt;
}

} // namespace fovea::runtime
