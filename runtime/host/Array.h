// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A tensor in host memory: type, shape, strides, bytes.
#pragma once

#include "runtime/abi/Result.h"
#include "runtime/abi/StorageType.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::runtime {

/// Product of the sizes, each at least 0; overflow of 2^62 and negative sizes are errors.
Result<int64_t> elementCount(std::span<const int64_t> shape);

/// Strides in elements of a tensor without gaps, the last dimension innermost.
std::vector<int64_t> contiguousStrides(std::span<const int64_t> shape);

/// "[1, 8, 128]"
std::string shapeText(std::span<const int64_t> shape);

class Array {
public:
  Array() = default;
  /// Zeros without gaps. A size that cannot be allocated is an error.
  static Result<Array> create(StorageType type, std::vector<int64_t> shape);
  /// Zeros with the given strides, in elements and at least 0; the memory ends after the last element.
  static Result<Array> createStrided(StorageType type, std::vector<int64_t> shape, std::vector<int64_t> strides);
  /// Each value rounded once to `type`; for i32, out of range or fractional values are errors.
  static Result<Array> fromDoubles(StorageType type, std::vector<int64_t> shape, std::span<const double> values);

  StorageType type() const { return type_; }
  const std::vector<int64_t> &shape() const { return shape_; }
  const std::vector<int64_t> &strides() const { return strides_; }
  int64_t elements() const { return elements_; }
  bool contiguous() const;
  std::span<std::byte> bytes() { return bytes_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  /// Place of an element in the memory, in elements, by its index in row-major order.
  int64_t position(int64_t index) const;
  /// Value at a place as `position` gives it.
  double valueAt(int64_t position) const;
  /// Rounded once to the type; an i32 is clamped.
  void setValueAt(int64_t position, double value);
  double value(int64_t index) const { return valueAt(position(index)); }
  void setValue(int64_t index, double value) { setValueAt(position(index), value); }

  /// All values in row-major order.
  std::vector<double> toDoubles() const;
  /// Without gaps, each value rounded once.
  Result<Array> converted(StorageType type) const;
  /// The same values in new memory with these strides; `gap` is put where no element lies.
  Result<Array> restrided(std::vector<int64_t> strides, double gap) const;

private:
  StorageType type_ = StorageType::F32;
  std::vector<int64_t> shape_, strides_;
  int64_t elements_ = 0;
  std::vector<std::byte> bytes_;
};

/// The types that files hold; those without a StorageType are converted on reading.
enum class FileType { F16, F32, F64, BF16, I32, I64 };
int64_t byteSize(FileType type);

/// Elements without gaps, little endian, as they stand in a file. `as` is the type to convert to by one rounding;
/// without it F64 becomes f32 and I64 i32. Integers become no floating-point numbers, nor the other way round.
Result<Array> decodeElements(FileType from, std::string_view bytes, std::vector<int64_t> shape,
                             std::optional<StorageType> as);

} // namespace fovea::runtime
