// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reader and writer of the safetensors container.
#include "runtime/host/Safetensors.h"

#include "runtime/abi/Files.h"
#include "runtime/abi/StrictJson.h"

#include <algorithm>
#include <set>

namespace fovea::runtime {

namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 38;
constexpr size_t kMaxHeader = size_t{16} << 20;
constexpr size_t kMaxTensors = 100000;
constexpr size_t kMaxRank = 32;

Error corrupt(const std::string &message) { return {ErrorCode::Corrupt, "safetensors: " + message}; }

/// Bytes per element of every type that the format knows; 0: unknown.
int64_t elementBytes(std::string_view type) {
  static constexpr std::pair<std::string_view, int64_t> kTypes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2},
      {"BF16", 2}, {"I32", 4}, {"U32", 4}, {"F32", 4},     {"F64", 8},     {"I64", 8}, {"U64", 8}};
  for (auto [name, bytes] : kTypes)
    if (name == type)
      return bytes;
  return 0;
}

std::optional<FileType> fileType(std::string_view type) {
  static constexpr std::pair<std::string_view, FileType> kTypes[] = {{"F16", FileType::F16}, {"BF16", FileType::BF16},
                                                                     {"F32", FileType::F32}, {"F64", FileType::F64},
                                                                     {"I32", FileType::I32}, {"I64", FileType::I64}};
  for (auto [name, known] : kTypes)
    if (name == type)
      return known;
  return std::nullopt;
}

bool natural(const nlohmann::json &json, int64_t &out) {
  if (!json.is_number_unsigned())
    return false;
  uint64_t value = *json.get_ptr<const uint64_t *>();
  out = static_cast<int64_t>(value);
  return value < (uint64_t{1} << 62);
}

} // namespace

Result<Safetensors> Safetensors::open(const std::string &path) {
  Result<std::string> content = readFile(path, kMaxFileBytes);
  if (!content)
    return content.takeError();
  Result<Safetensors> file = parse(std::move(*content));
  if (!file)
    return Error{file.error().code, path + ": " + file.error().message};
  return file;
}

Result<Safetensors> Safetensors::parse(std::string content) {
  if (content.size() < 8)
    return corrupt("shorter than 8 bytes");
  uint64_t length = 0;
  for (int i = 0; i < 8; ++i)
    length |= static_cast<uint64_t>(static_cast<unsigned char>(content[static_cast<size_t>(i)])) << (8 * i);
  if (length > kMaxHeader)
    return corrupt("a header of " + std::to_string(length) + " bytes; at most " + std::to_string(kMaxHeader));
  if (length > content.size() - 8)
    return corrupt("the file ends inside its header");
  Result<nlohmann::json> root = parseStrictJson(std::string_view(content).substr(8, length), 4);
  if (!root)
    return corrupt("header: " + root.error().message);
  if (!root->is_object() || root->size() > kMaxTensors)
    return corrupt("the header is no object, or too large");

  Safetensors file;
  file.dataStart_ = 8 + length;
  for (auto it = root->begin(); it != root->end(); ++it) {
    if (it.key() == "__metadata__")
      continue;
    std::string where = "tensor `" + it.key().substr(0, 60) + "`";
    const nlohmann::json &item = it.value();
    if (!item.is_object() || item.size() != 3 || !item.contains("dtype") || !item.contains("shape") ||
        !item.contains("data_offsets"))
      return corrupt(where + ": expected dtype, shape and data_offsets");
    Entry entry;
    entry.name = it.key();
    const auto *type = item.find("dtype")->get_ptr<const std::string *>();
    if (!type || elementBytes(*type) == 0)
      return corrupt(where + ": unknown dtype" + (type ? " " + type->substr(0, 20) : ""));
    entry.type = *type;
    const nlohmann::json &shape = *item.find("shape");
    if (!shape.is_array() || shape.size() > kMaxRank)
      return corrupt(where + ": the shape is no list of at most " + std::to_string(kMaxRank) + " sizes");
    for (const nlohmann::json &size : shape) {
      int64_t value;
      if (!natural(size, value))
        return corrupt(where + ": a size is no natural number");
      entry.shape.push_back(value);
    }
    const nlohmann::json &offsets = *item.find("data_offsets");
    int64_t begin, end;
    if (!offsets.is_array() || offsets.size() != 2 || !natural(offsets[0], begin) || !natural(offsets[1], end) ||
        begin > end || static_cast<uint64_t>(end) > content.size() - file.dataStart_)
      return corrupt(where + ": its data do not lie in the file");
    entry.begin = static_cast<size_t>(begin);
    entry.end = static_cast<size_t>(end);
    Result<int64_t> count = elementCount(entry.shape);
    int64_t bytes;
    if (!count || __builtin_mul_overflow(*count, elementBytes(entry.type), &bytes) || bytes != end - begin)
      return corrupt(where + ": " + std::to_string(end - begin) + " bytes do not make shape " + shapeText(entry.shape) +
                     " of " + entry.type);
    file.entries_.push_back(std::move(entry));
  }
  std::sort(file.entries_.begin(), file.entries_.end(),
            [](const Entry &a, const Entry &b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  size_t at = 0;
  for (const Entry &entry : file.entries_) {
    if (entry.begin != at)
      return corrupt("tensor `" + entry.name.substr(0, 60) + "`: its data overlap others or leave a gap");
    at = entry.end;
  }
  if (at != content.size() - file.dataStart_)
    return corrupt(std::to_string(content.size() - file.dataStart_ - at) + " bytes at the end belong to no tensor");
  file.content_ = std::move(content);
  return file;
}

Result<Array> Safetensors::get(std::string_view name, std::optional<StorageType> as) const {
  auto it = std::find_if(entries_.begin(), entries_.end(), [&](const Entry &entry) { return entry.name == name; });
  if (it == entries_.end()) {
    std::string names;
    for (size_t i = 0; i < entries_.size() && i < 20; ++i)
      names += (i ? ", " : "") + entries_[i].name;
    return Error{ErrorCode::NotFound, "safetensors: no tensor `" + std::string(name) + "`; there are: " + names};
  }
  std::optional<FileType> type = fileType(it->type);
  if (!type)
    return Error{ErrorCode::Unsupported, "safetensors: tensor `" + it->name + "` has type " + it->type +
                                             "; read are F16, BF16, F32, F64, I32 and I64"};
  Result<Array> array = decodeElements(
      *type, std::string_view(content_).substr(dataStart_ + it->begin, it->end - it->begin), it->shape, as);
  if (!array)
    return Error{array.error().code, "safetensors: tensor `" + it->name + "`: " + array.error().message};
  return array;
}

Status writeSafetensors(const std::string &path, const std::vector<std::pair<std::string, const Array *>> &tensors) {
  static constexpr const char *kNames[] = {"F32", "F16", "BF16", "I32"};
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::string data;
  std::set<std::string> seen;
  for (const auto &[name, array] : tensors) {
    if (!seen.insert(name).second || name == "__metadata__")
      return Error{ErrorCode::InvalidArgument, "safetensors: the name `" + name + "` occurs twice or is reserved"};
    Result<Array> plain = array->converted(array->type());
    if (!plain)
      return plain.takeError();
    size_t begin = data.size();
    data.append(reinterpret_cast<const char *>(plain->bytes().data()), plain->bytes().size());
    header[name] = {{"dtype", kNames[static_cast<int>(array->type())]},
                    {"shape", array->shape()},
                    {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string file;
  for (int i = 0; i < 8; ++i)
    file += static_cast<char>((text.size() >> (8 * i)) & 255);
  return writeFileAtomically(path, file + text + data);
}

} // namespace fovea::runtime
