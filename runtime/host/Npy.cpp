// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Strict reader of the header, which is a Python dictionary literal with three known keys.
#include "runtime/host/Npy.h"

#include "runtime/abi/Files.h"

#include <cstring>

namespace fovea::runtime {

namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 36;
constexpr size_t kMaxHeader = 65536;
constexpr size_t kMaxRank = 32; // NumPy's own limit when this format was defined

Error corrupt(const std::string &message) { return {ErrorCode::Corrupt, "npy: " + message}; }

class HeaderParser {
public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  std::string type;
  bool fortran = false;
  std::vector<int64_t> shape;

  Status run() {
    bool good = accept('{');
    bool sawType = false, sawOrder = false, sawShape = false;
    while (good && !accept('}')) {
      std::string key;
      good = string(key) && accept(':');
      if (good && key == "descr" && !sawType) {
        sawType = true;
        skipBlanks();
        if (at_ < text_.size() && text_[at_] == '[')
          return Error{ErrorCode::Unsupported, "npy: records are not read; save a plain array"};
        good = string(type);
      } else if (good && key == "fortran_order" && !sawOrder) {
        sawOrder = true;
        good = boolean(fortran);
      } else if (good && key == "shape" && !sawShape) {
        sawShape = true;
        good = tuple();
      } else {
        good = false;
      }
      if (good && !accept(',')) {
        good = accept('}');
        break;
      }
    }
    skipBlanks();
    if (!good || at_ != text_.size() || !sawType || !sawOrder || !sawShape)
      return corrupt("the header is not a dictionary of descr, fortran_order and shape");
    return Status::success();
  }

private:
  void skipBlanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }
  bool accept(char c) {
    skipBlanks();
    if (at_ >= text_.size() || text_[at_] != c)
      return false;
    ++at_;
    return true;
  }
  bool string(std::string &out) {
    skipBlanks();
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"'))
      return false;
    size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos || end - at_ > 64)
      return false;
    out = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return true;
  }
  bool boolean(bool &out) {
    skipBlanks();
    for (bool value : {false, true}) {
      std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        out = value;
        return true;
      }
    }
    return false;
  }
  bool tuple() {
    if (!accept('('))
      return false;
    while (!accept(')')) {
      skipBlanks();
      int64_t size = 0;
      size_t start = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
        if (__builtin_mul_overflow(size, int64_t{10}, &size) ||
            __builtin_add_overflow(size, int64_t{text_[at_] - '0'}, &size))
          return false;
      if (at_ == start || shape.size() == kMaxRank)
        return false;
      shape.push_back(size);
      if (!accept(',')) {
        if (!accept(')'))
          return false;
        break;
      }
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

Result<FileType> fileType(const std::string &name) {
  if (name.size() == 3 && name[0] == '>')
    return Error{ErrorCode::Unsupported, "npy: type " + name + " is big endian; save it as <" + name.substr(1)};
  if (name == "<f2")
    return FileType::F16;
  if (name == "<f4")
    return FileType::F32;
  if (name == "<f8")
    return FileType::F64;
  if (name == "<i4")
    return FileType::I32;
  if (name == "<i8")
    return FileType::I64;
  std::string message = "npy: type " + name + " is not read; there are <f2, <f4, <f8, <i4 and <i8";
  if (name.find("V2") != std::string::npos)
    message += " (NumPy has no bf16: save f4, which is rounded on entry, or .safetensors)";
  return Error{ErrorCode::Unsupported, message};
}

std::string headerText(const char *type, std::span<const int64_t> shape) {
  std::string header = std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': (";
  for (int64_t size : shape)
    header += std::to_string(size) + (shape.size() == 1 ? "," : ", ");
  if (shape.size() > 1)
    header.resize(header.size() - 2);
  header += "), }";
  // Data begin at a multiple of 64 bytes, as NumPy writes them.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(header.size() & 255);
  text += static_cast<char>(header.size() >> 8);
  return text + header;
}

} // namespace

Result<Array> parseNpy(std::string_view content, std::optional<StorageType> as) {
  if (content.size() < 10 || content.substr(0, 6) != "\x93NUMPY")
    return corrupt("this is no .npy file");
  int major = static_cast<unsigned char>(content[6]), minor = static_cast<unsigned char>(content[7]);
  if (major < 1 || major > 3 || minor != 0)
    return Error{ErrorCode::Unsupported, "npy: format version " + std::to_string(major) + "." + std::to_string(minor) +
                                             " is not read; 1.0 to 3.0 are"};
  size_t lengthBytes = major == 1 ? 2 : 4, start = 8 + lengthBytes, length = 0;
  if (content.size() < start)
    return corrupt("the file ends inside its header");
  for (size_t i = 0; i < lengthBytes; ++i)
    length |= static_cast<size_t>(static_cast<unsigned char>(content[8 + i])) << (8 * i);
  if (length > kMaxHeader)
    return corrupt("a header of " + std::to_string(length) + " bytes");
  if (content.size() - start < length)
    return corrupt("the file ends inside its header");
  HeaderParser header(content.substr(start, length));
  if (Status status = header.run(); !status)
    return status.error();
  Result<FileType> type = fileType(header.type);
  if (!type)
    return type.takeError();
  if (header.fortran && header.shape.size() > 1)
    return Error{ErrorCode::Unsupported, "npy: the array is in Fortran order; save numpy.ascontiguousarray(a)"};
  Result<Array> array = decodeElements(*type, content.substr(start + length), std::move(header.shape), as);
  if (!array)
    return Error{array.error().code, "npy: " + array.error().message};
  return array;
}

Result<Array> readNpy(const std::string &path, std::optional<StorageType> as) {
  Result<std::string> content = readFile(path, kMaxFileBytes);
  if (!content)
    return content.takeError();
  Result<Array> array = parseNpy(*content, as);
  if (!array)
    return Error{array.error().code, path + ": " + array.error().message};
  return array;
}

Result<std::string> npyText(const Array &array) {
  StorageType type = array.type() == StorageType::BF16 ? StorageType::F32 : array.type();
  Result<Array> plain = array.converted(type);
  if (!plain)
    return plain.takeError();
  std::string text = headerText(type == StorageType::F16   ? "<f2"
                                : type == StorageType::I32 ? "<i4"
                                                           : "<f4",
                                array.shape());
  text.append(reinterpret_cast<const char *>(plain->bytes().data()), plain->bytes().size());
  return text;
}

Status writeNpy(const std::string &path, const Array &array) {
  Result<std::string> text = npyText(array);
  return text ? writeFileAtomically(path, *text) : Status(text.error());
}

Status writeNpy(const std::string &path, std::span<const int64_t> shape, std::span<const double> values) {
  Result<int64_t> count = elementCount(shape);
  if (!count)
    return count.takeError();
  if (*count != static_cast<int64_t>(values.size()))
    return Error{ErrorCode::InvalidArgument, std::to_string(values.size()) + " values for shape " + shapeText(shape)};
  std::string text = headerText("<f8", shape);
  text.append(reinterpret_cast<const char *>(values.data()), values.size_bytes());
  return writeFileAtomically(path, text);
}

} // namespace fovea::runtime
