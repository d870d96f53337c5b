// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Element access by type; allocation that answers an error where memory does not suffice.
#include "runtime/host/Array.h"

#include "runtime/host/Types.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

namespace fovea::runtime {

namespace {

static_assert(std::endian::native == std::endian::little, "files are read into memory as they are");

constexpr int64_t kMaxElements = int64_t{1} << 62;
/// More than any host here: keeps a hostile shape from reaching the allocator.
constexpr int64_t kMaxBytes = int64_t{1} << 40;

template <typename T> T load(const std::byte *from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T> void store(std::byte *to, T value) { std::memcpy(to, &value, sizeof value); }

} // namespace

Result<int64_t> elementCount(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool empty = false;
  for (int64_t size : shape) {
    if (size < 0)
      return Error{ErrorCode::InvalidArgument, "shape " + shapeText(shape) + " has a negative size"};
    empty = empty || size == 0;
    if (size != 0 && (__builtin_mul_overflow(count, size, &count) || count > kMaxElements))
      return Error{ErrorCode::InvalidArgument, "shape " + shapeText(shape) + " overflows 64 bits"};
  }
  return empty ? int64_t{0} : count;
}

std::vector<int64_t> contiguousStrides(std::span<const int64_t> shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= std::max<int64_t>(shape[d], 1);
  }
  return strides;
}

std::string shapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t d = 0; d < shape.size(); ++d)
    text += (d ? ", " : "") + std::to_string(shape[d]);
  return text + "]";
}

Result<Array> Array::create(StorageType type, std::vector<int64_t> shape) {
  Result<int64_t> count = elementCount(shape);
  if (!count)
    return count.takeError();
  std::vector<int64_t> strides = contiguousStrides(shape);
  return createStrided(type, std::move(shape), std::move(strides));
}

Result<Array> Array::createStrided(StorageType type, std::vector<int64_t> shape, std::vector<int64_t> strides) {
  Result<int64_t> count = elementCount(shape);
  if (!count)
    return count.takeError();
  if (strides.size() != shape.size())
    return Error{ErrorCode::InvalidArgument, std::to_string(strides.size()) + " strides for the " +
                                                 std::to_string(shape.size()) + " dimensions of shape " +
                                                 shapeText(shape)};
  int64_t last = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    int64_t extent;
    if (strides[d] < 0)
      return Error{ErrorCode::InvalidArgument, "a negative stride: " + shapeText(strides)};
    if (__builtin_mul_overflow(strides[d], std::max<int64_t>(shape[d] - 1, 0), &extent) ||
        __builtin_add_overflow(last, extent, &last))
      return Error{ErrorCode::InvalidArgument,
                   "shape " + shapeText(shape) + " with strides " + shapeText(strides) + " overflows 64 bits"};
  }
  int64_t span = *count == 0 ? 0 : last + 1;
  if (span > kMaxBytes / byteSize(type))
    return Error{ErrorCode::OutOfMemory,
                 "shape " + shapeText(shape) + " of " + typeName(type) + " needs too much memory for a host array"};
  Array array;
  array.type_ = type;
  array.elements_ = *count;
  array.shape_ = std::move(shape);
  array.strides_ = std::move(strides);
  // std::vector has no way to fail without exceptions; ask first.
  size_t bytes = static_cast<size_t>(span * byteSize(type));
  void *probe = ::operator new(bytes, std::nothrow);
  if (!probe)
    return Error{ErrorCode::OutOfMemory, "no memory for " + std::to_string(bytes) + " bytes"};
  ::operator delete(probe);
  array.bytes_.resize(bytes);
  return array;
}

Result<Array> Array::fromDoubles(StorageType type, std::vector<int64_t> shape, std::span<const double> values) {
  Result<Array> array = create(type, std::move(shape));
  if (!array)
    return array;
  if (array->elements_ != static_cast<int64_t>(values.size()))
    return Error{ErrorCode::InvalidArgument,
                 std::to_string(values.size()) + " values for shape " + shapeText(array->shape_)};
  for (int64_t i = 0; i < array->elements_; ++i) {
    double value = values[static_cast<size_t>(i)];
    if (type == StorageType::I32 && (!(std::abs(value) <= 0x1p31) || value == 0x1p31 || value != std::trunc(value)))
      return Error{ErrorCode::InvalidArgument,
                   "value " + std::to_string(value) + " at index " + std::to_string(i) + " is no 32-bit integer"};
    array->setValueAt(i, value);
  }
  return array;
}

bool Array::contiguous() const {
  int64_t expected = 1;
  for (size_t d = shape_.size(); d-- > 0;) {
    if (shape_[d] != 1 && strides_[d] != expected)
      return false;
    expected *= std::max<int64_t>(shape_[d], 1);
  }
  return true;
}

int64_t Array::position(int64_t index) const {
  int64_t position = 0;
  for (size_t d = shape_.size(); d-- > 0;) {
    position += index % shape_[d] * strides_[d];
    index /= shape_[d];
  }
  return position;
}

double Array::valueAt(int64_t position) const {
  const std::byte *at = bytes_.data() + position * byteSize(type_);
  switch (type_) {
  case StorageType::F32:
    return static_cast<double>(load<float>(at));
  case StorageType::F16:
    return static_cast<double>(f16ToF32(load<uint16_t>(at)));
  case StorageType::BF16:
    return static_cast<double>(bf16ToF32(load<uint16_t>(at)));
  case StorageType::I32:
    return load<int32_t>(at);
  }
  return 0;
}

void Array::setValueAt(int64_t position, double value) {
  std::byte *at = bytes_.data() + position * byteSize(type_);
  switch (type_) {
  case StorageType::F32:
    return store(at, f64ToF32(value));
  case StorageType::F16:
    return store(at, f64ToF16(value));
  case StorageType::BF16:
    return store(at, f64ToBf16(value));
  case StorageType::I32:
    return store(at, static_cast<int32_t>(std::isnan(value) ? 0 : std::clamp(value, -0x1p31, 0x1p31 - 1)));
  }
}

std::vector<double> Array::toDoubles() const {
  std::vector<double> values(static_cast<size_t>(elements_));
  bool plain = contiguous();
  for (int64_t i = 0; i < elements_; ++i)
    values[static_cast<size_t>(i)] = valueAt(plain ? i : position(i));
  return values;
}

Result<Array> Array::converted(StorageType type) const {
  if (type == type_ && contiguous())
    return *this;
  Result<Array> result = create(type, shape_);
  if (!result)
    return result;
  for (int64_t i = 0; i < elements_; ++i)
    result->setValueAt(i, value(i));
  return result;
}

Result<Array> Array::restrided(std::vector<int64_t> strides, double gap) const {
  Result<Array> result = createStrided(type_, shape_, std::move(strides));
  if (!result)
    return result;
  int64_t span = static_cast<int64_t>(result->bytes_.size()) / byteSize(type_);
  for (int64_t i = 0; i < span; ++i)
    result->setValueAt(i, gap);
  for (int64_t i = 0; i < elements_; ++i)
    result->setValue(i, value(i));
  return result;
}

int64_t byteSize(FileType type) {
  switch (type) {
  case FileType::F16:
  case FileType::BF16:
    return 2;
  case FileType::F32:
  case FileType::I32:
    return 4;
  case FileType::F64:
  case FileType::I64:
    return 8;
  }
  return 0;
}

Result<Array> decodeElements(FileType from, std::string_view bytes, std::vector<int64_t> shape,
                             std::optional<StorageType> as) {
  Result<int64_t> count = elementCount(shape);
  if (!count)
    return count.takeError();
  if (*count > kMaxBytes || *count * byteSize(from) != static_cast<int64_t>(bytes.size()))
    return Error{ErrorCode::Corrupt, "shape " + shapeText(shape) + " needs " + std::to_string(*count) +
                                         " elements of " + std::to_string(byteSize(from)) + " bytes, the data has " +
                                         std::to_string(bytes.size()) + " bytes"};
  bool integers = from == FileType::I32 || from == FileType::I64;
  StorageType own = integers                 ? StorageType::I32
                    : from == FileType::F16  ? StorageType::F16
                    : from == FileType::BF16 ? StorageType::BF16
                                             : StorageType::F32;
  StorageType to = as.value_or(own);
  if (integers != (to == StorageType::I32))
    return Error{ErrorCode::InvalidArgument, std::string("the data are ") + (integers ? "integers" : "floating point") +
                                                 " where " + typeName(to) + " is expected"};
  Result<Array> array = Array::create(to, std::move(shape));
  if (!array)
    return array;
  const auto *data = reinterpret_cast<const std::byte *>(bytes.data());
  if (to == own && byteSize(from) == byteSize(own)) {
    if (!bytes.empty())
      std::memcpy(array->bytes().data(), data, bytes.size());
    return array;
  }
  for (int64_t i = 0; i < *count; ++i) {
    const std::byte *at = data + i * byteSize(from);
    double value = 0;
    switch (from) {
    case FileType::F16:
      value = static_cast<double>(f16ToF32(load<uint16_t>(at)));
      break;
    case FileType::BF16:
      value = static_cast<double>(bf16ToF32(load<uint16_t>(at)));
      break;
    case FileType::F32:
      value = static_cast<double>(load<float>(at));
      break;
    case FileType::F64:
      value = load<double>(at);
      break;
    case FileType::I32:
      value = load<int32_t>(at);
      break;
    case FileType::I64: {
      int64_t wide = load<int64_t>(at);
      if (wide != static_cast<int32_t>(wide))
        return Error{ErrorCode::InvalidArgument,
                     std::to_string(wide) + " at index " + std::to_string(i) + " does not fit 32 bits"};
      value = static_cast<double>(wide);
      break;
    }
    }
    array->setValueAt(i, value);
  }
  return array;
}

} // namespace fovea::runtime
