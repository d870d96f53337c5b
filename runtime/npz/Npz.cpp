// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// minizip over memory. It trusts sizes of the directory, so they are compared here with what the file can hold.
#include "runtime/npz/Npz.h"

#include "runtime/abi/Files.h"
#include "runtime/host/Npy.h"

#include <algorithm>
#include <cstring>
#include <minizip/unzip.h>
#include <minizip/zip.h>
#include <set>

namespace fovea::runtime {

namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 36;
constexpr size_t kMaxMembers = 100000;
constexpr uint64_t kAlwaysRead = uint64_t{1} << 30;
constexpr uint64_t kUsualRatio = 64;
constexpr uint64_t kMaxRatio = 1032; // of deflate
constexpr size_t kPiece = size_t{1} << 20;
constexpr std::string_view kSuffix = ".npy";

Error corrupt(const std::string &message) { return {ErrorCode::Corrupt, "npz: " + message}; }

/// A file in memory, as minizip's functions see it. Without `written` it is read-only.
struct Stream {
  std::string_view content;
  std::string *written = nullptr;
  uint64_t at = 0;

  uint64_t size() const { return written ? written->size() : content.size(); }

  static voidpf open(voidpf opaque, const void *, int) {
    static_cast<Stream *>(opaque)->at = 0;
    return opaque;
  }
  static uLong read(voidpf opaque, voidpf, void *to, uLong count) {
    auto *self = static_cast<Stream *>(opaque);
    std::string_view all = self->written ? std::string_view(*self->written) : self->content;
    std::string_view part = all.substr(std::min<uint64_t>(self->at, all.size()), count);
    std::memcpy(to, part.data(), part.size());
    self->at += part.size();
    return part.size();
  }
  static uLong write(voidpf opaque, voidpf, const void *from, uLong count) {
    auto *self = static_cast<Stream *>(opaque);
    if (!self->written || self->at > self->written->size())
      return 0;
    size_t over = std::min<uint64_t>(count, self->written->size() - self->at);
    const char *bytes = static_cast<const char *>(from);
    self->written->replace(self->at, over, bytes, over);
    self->written->append(bytes + over, count - over);
    self->at += count;
    return count;
  }
  static ZPOS64_T tell(voidpf opaque, voidpf) { return static_cast<Stream *>(opaque)->at; }
  static long seek(voidpf opaque, voidpf, ZPOS64_T offset, int origin) {
    auto *self = static_cast<Stream *>(opaque);
    uint64_t base = origin == ZLIB_FILEFUNC_SEEK_CUR ? self->at : origin == ZLIB_FILEFUNC_SEEK_END ? self->size() : 0;
    uint64_t to = 0;
    if (__builtin_add_overflow(base, uint64_t{offset}, &to) || to > self->size())
      return -1;
    self->at = to;
    return 0;
  }
  static int done(voidpf, voidpf) { return 0; }

  zlib_filefunc64_def functions() { return {open, read, write, tell, seek, done, done, this}; }
};

} // namespace

struct Npz::Archive {
  struct Member {
    std::string name; // without ".npy"
    uint64_t packed = 0, bytes = 0;
    unz64_file_pos place{};
  };
  std::string content;
  Stream stream;
  unzFile file = nullptr;
  std::vector<Member> members;

  ~Archive() {
    if (file)
      unzClose(file);
  }

  Status readDirectory() {
    stream.content = content;
    zlib_filefunc64_def functions = stream.functions();
    file = unzOpen2_64("", &functions);
    if (!file)
      return corrupt("this is no .npz file with an array in it");
    unz_global_info64 global{};
    if (unzGetGlobalInfo64(file, &global) != UNZ_OK || global.number_entry > kMaxMembers)
      return corrupt("a directory of " + std::to_string(global.number_entry) + " members; at most " +
                     std::to_string(kMaxMembers));
    std::set<std::string> seen;
    int status = global.number_entry ? unzGoToFirstFile(file) : UNZ_END_OF_LIST_OF_FILE;
    for (; status == UNZ_OK; status = unzGoToNextFile(file)) {
      Result<Member> member = readMember();
      if (!member)
        return member.error();
      if (!member->name.ends_with(kSuffix))
        continue;
      member->name.resize(member->name.size() - kSuffix.size());
      if (!seen.insert(member->name).second)
        return corrupt("the array `" + member->name + "` occurs twice");
      members.push_back(std::move(*member));
    }
    return status == UNZ_END_OF_LIST_OF_FILE ? Status::success() : corrupt("the directory is damaged");
  }

  Result<Member> readMember() {
    unz_file_info64 info{};
    char name[1024];
    Member member;
    if (unzGetCurrentFileInfo64(file, &info, name, sizeof name, nullptr, 0, nullptr, 0) != UNZ_OK ||
        unzGetFilePos64(file, &member.place) != UNZ_OK)
      return corrupt("the directory is damaged");
    if (info.size_filename > sizeof name)
      return corrupt("a name of " + std::to_string(info.size_filename) + " bytes");
    member.name.assign(name, info.size_filename);
    member.packed = info.compressed_size;
    member.bytes = info.uncompressed_size;
    if (!member.name.ends_with(kSuffix))
      return member;
    auto refuse = [&](const std::string &why) { return corrupt("`" + member.name.substr(0, 60) + "` " + why); };
    if (info.flag & 1)
      return refuse("is encrypted");
    if (info.compression_method != 0 && info.compression_method != Z_DEFLATED)
      return refuse("is packed by method " + std::to_string(info.compression_method) + "; 0 and 8 (deflate) are read");
    if (member.packed > content.size() || (info.compression_method == 0 && member.packed != member.bytes) ||
        member.bytes / kMaxRatio > member.packed)
      return refuse("says that it has " + std::to_string(member.bytes) + " bytes, packed into " +
                    std::to_string(member.packed) + ", which cannot be");
    return member;
  }

  Result<std::string> unpack(const Member &member) {
    uint64_t most = std::max(kAlwaysRead, kUsualRatio * member.packed);
    if (member.bytes > most)
      return Error{ErrorCode::InvalidArgument, std::to_string(member.bytes) + " bytes from " +
                                                   std::to_string(member.packed) + "; at most " + std::to_string(most) +
                                                   " are read"};
    if (unzGoToFilePos64(file, &member.place) != UNZ_OK || unzOpenCurrentFile(file) != UNZ_OK)
      return corrupt("its head is damaged");
    // Grows by what is really there, whatever the directory says.
    std::string bytes;
    int got = 1;
    while (got > 0 && bytes.size() <= member.bytes) {
      size_t before = bytes.size();
      bytes.resize(before + kPiece);
      got = unzReadCurrentFile(file, bytes.data() + before, kPiece);
      bytes.resize(before + static_cast<size_t>(std::max(got, 0)));
    }
    // Compares the checksum.
    if (int closed = unzCloseCurrentFile(file); got < 0 || closed != UNZ_OK || bytes.size() != member.bytes)
      return corrupt("its data are damaged or cut off");
    return bytes;
  }
};

Npz::Npz() : archive_(std::make_unique<Archive>()) {}
Npz::Npz(Npz &&other) noexcept = default;
Npz &Npz::operator=(Npz &&other) noexcept = default;
Npz::~Npz() = default;

Result<Npz> Npz::open(const std::string &path) {
  Result<std::string> content = readFile(path, kMaxFileBytes);
  if (!content)
    return content.takeError();
  Result<Npz> file = parse(std::move(*content));
  if (!file)
    return Error{file.error().code, path + ": " + file.error().message};
  return file;
}

Result<Npz> Npz::parse(std::string content) {
  Npz file;
  file.archive_->content = std::move(content);
  if (Status status = file.archive_->readDirectory(); !status)
    return status.error();
  return file;
}

std::vector<std::string> Npz::names() const {
  std::vector<std::string> names;
  for (const Archive::Member &member : archive_->members)
    names.push_back(member.name);
  return names;
}

Result<Array> Npz::get(std::string_view name, std::optional<StorageType> as) const {
  const std::vector<Archive::Member> &members = archive_->members;
  auto found = std::find_if(members.begin(), members.end(), [&](const auto &member) { return member.name == name; });
  if (found == members.end()) {
    std::string list;
    for (const Archive::Member &member : members) {
      if (list.size() > 500) {
        list += ", ..";
        break;
      }
      list += (list.empty() ? "" : ", ") + member.name;
    }
    return Error{ErrorCode::NotFound, "npz: no array `" + std::string(name) + "`; there are: " + list};
  }
  auto in = [&](const Error &error) { return Error{error.code, "array `" + found->name + "`: " + error.message}; };
  Result<std::string> bytes = archive_->unpack(*found);
  if (!bytes)
    return in(bytes.error());
  Result<Array> array = parseNpy(*bytes, as);
  return array ? std::move(array) : in(array.error());
}

Status writeNpz(const std::string &path, const std::vector<std::pair<std::string, const Array *>> &arrays) {
  std::string content;
  Stream stream;
  stream.written = &content;
  zlib_filefunc64_def functions = stream.functions();
  zipFile file = zipOpen2_64("", APPEND_STATUS_CREATE, nullptr, &functions);
  Status status = file ? Status::success() : Status(Error{ErrorCode::OutOfMemory, "npz: no memory for the archive"});
  std::set<std::string_view> seen;
  constexpr uLong kUtf8 = 1 << 11;
  constexpr uLong kFirstOfJanuary1980 = 0x210000;
  for (const auto &[name, array] : arrays) {
    if (!status)
      break;
    if (!seen.insert(name).second) {
      status = Error{ErrorCode::InvalidArgument, "npz: the array `" + name + "` occurs twice"};
      break;
    }
    Result<std::string> bytes = npyText(*array);
    if (!bytes) {
      status = bytes.error();
      break;
    }
    zip_fileinfo info{};
    info.dosDate = kFirstOfJanuary1980;
    int large = bytes->size() >= 0xffffffff;
    bool good = zipOpenNewFileInZip4_64(file, (name + std::string(kSuffix)).c_str(), &info, nullptr, 0, nullptr, 0,
                                        nullptr, /*method=*/0, 0, 0, -MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY,
                                        nullptr, 0, /*versionMadeBy=*/large ? 45 : 20, kUtf8, large) == ZIP_OK;
    for (std::string_view rest = *bytes; good && !rest.empty(); rest.remove_prefix(std::min(kPiece, rest.size())))
      good = zipWriteInFileInZip(file, rest.data(), static_cast<unsigned>(std::min(kPiece, rest.size()))) == ZIP_OK;
    if (!good || zipCloseFileInZip(file) != ZIP_OK)
      status = Error{ErrorCode::Io, "npz: `" + name + "` cannot be packed"};
  }
  if (file && zipClose(file, nullptr) != ZIP_OK && status)
    status = Error{ErrorCode::Io, "npz: the archive cannot be finished"};
  if (!status)
    return Error{status.error().code, path + ": " + status.error().message};
  return writeFileAtomically(path, content);
}

} // namespace fovea::runtime
