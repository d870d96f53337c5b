// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One file for each entry, named by the hash of its key and renamed into place; locks of the kernel, which end with
// their process.
#include "runtime/cache/Cache.h"

#include "runtime/abi/Files.h"
#include "runtime/abi/Hash.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace fovea::runtime {

namespace {

constexpr std::string_view kMagic = "fovea cache 1\n";
constexpr std::string_view kSuffix = ".entry";
constexpr size_t kNameLength = 32; // of a hash
constexpr int64_t kMaxEntry = int64_t{256} << 20;
constexpr int64_t kStaleSeconds = 3600; // then a temporary file belongs to nobody

std::string numberText(uint64_t value) {
  std::string digits = std::to_string(value);
  return std::string(20 - digits.size(), '0') + digits;
}

/// magic, hash of what follows, length of the key, key, content.
std::string encode(std::string_view key, std::string_view content) {
  std::string body = numberText(key.size()) + "\n";
  body.append(key).append("\n").append(content);
  std::string text(kMagic);
  return text.append(hashText(body)).append("\n").append(body);
}

struct Decoded {
  std::string_view key, content;
  const char *problem = nullptr;
};

Decoded decode(std::string_view text) {
  if (!text.starts_with(kMagic))
    return {{}, {}, "it is no cache entry, or one of another version"};
  text.remove_prefix(kMagic.size());
  if (text.size() < 33 + 21)
    return {{}, {}, "it is cut off"};
  std::string_view hash = text.substr(0, 32), body = text.substr(33);
  if (text[32] != '\n' || hashText(body) != hash)
    return {{}, {}, "it is damaged"};
  uint64_t length = 0;
  for (char c : body.substr(0, 20)) {
    if (c < '0' || c > '9' || length > UINT64_MAX / 100)
      return {{}, {}, "its length is no number"};
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  body.remove_prefix(21);
  if (body.empty() || length > body.size() - 1)
    return {{}, {}, "its key is longer than itself"};
  return {body.substr(0, length), body.substr(length + 1), nullptr};
}

bool isEntryName(std::string_view name) {
  return name.size() == kNameLength + kSuffix.size() && name.ends_with(kSuffix) &&
         std::all_of(name.begin(), name.begin() + kNameLength,
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// NAME.entry.tmpPID.N, as PendingFile calls it.
bool isTemporaryName(std::string_view name) {
  size_t at = name.find(".tmp");
  return at != std::string_view::npos && isEntryName(name.substr(0, at));
}

bool isLockName(std::string_view name) { return name.size() == 7 && name.starts_with("lock-"); }

struct Found {
  std::string name;
  int64_t bytes = 0;
  timespec used = {};
};

/// Files of the folder whose names `wanted` takes.
template <typename F> Result<std::vector<Found>> scan(const std::string &folder, F wanted) {
  std::vector<Found> files;
  DIR *open = ::opendir(folder.c_str());
  if (!open) {
    if (errno == ENOENT)
      return files;
    return Error{ErrorCode::Io, folder + ": " + std::strerror(errno)};
  }
  while (const dirent *item = ::readdir(open)) {
    struct stat info;
    if (wanted(item->d_name) && ::fstatat(::dirfd(open), item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0)
      files.push_back({item->d_name, info.st_size, info.st_mtim});
  }
  ::closedir(open);
  return files;
}

/// An exclusive lock on a file, given back by the kernel however the process ends.
class FileLock {
public:
  FileLock(const std::string &path, int64_t waitMilliseconds) {
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file_ < 0)
      file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file_ < 0)
      return;
    auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(waitMilliseconds);
    auto pause = std::chrono::milliseconds(1);
    while (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
      if ((errno != EWOULDBLOCK && errno != EINTR) || std::chrono::steady_clock::now() >= end) {
        timedOut_ = errno == EWOULDBLOCK;
        return;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::milliseconds(20));
    }
  }
  ~FileLock() {
    if (file_ >= 0)
      ::close(file_);
  }
  FileLock(const FileLock &) = delete;
  FileLock &operator=(const FileLock &) = delete;
  bool timedOut() const { return timedOut_; }

private:
  int file_ = -1;
  bool timedOut_ = false;
};

bool before(const timespec &a, const timespec &b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/// A folder with those above it, for the owner alone.
bool makeFolders(const std::string &path) {
  for (size_t at = 1; at <= path.size(); ++at)
    if ((at == path.size() || path[at] == '/') && ::mkdir(path.substr(0, at).c_str(), 0700) != 0 && errno != EEXIST &&
        errno != EROFS && errno != EACCES)
      return false;
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

} // namespace

bool cacheIsOff() {
  const char *value = std::getenv("FOVEA_CACHE");
  return value && std::string_view(value) == "off";
}

std::optional<std::string> cacheFolder() {
  auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return std::string(value ? value : "");
  };
  std::string set = variable("FOVEA_CACHE"), shared = variable("XDG_CACHE_HOME"), home = variable("HOME");
  if (cacheIsOff())
    return std::nullopt;
  if (!set.empty())
    return set;
  if (shared.starts_with("/"))
    return shared + "/fovea";
  if (home.starts_with("/"))
    return home + "/.cache/fovea";
  return std::nullopt;
}

Cache::Cache(CacheOptions options) : options_(std::move(options)) {}

void Cache::warn(const std::string &text) const {
  if (options_.warn)
    options_.warn("cache: " + text);
}

std::string Cache::pathOf(std::string_view key) const {
  return options_.folder + "/" + hashText(key) + std::string(kSuffix);
}

bool Cache::prepare() const {
  if (!makeFolders(options_.folder)) {
    warn("the folder " + options_.folder + " cannot be made (" + std::strerror(errno) +
         "); set FOVEA_CACHE to another, or to off");
    return false;
  }
  return isSafe();
}

bool Cache::usable() const {
  struct stat info;
  std::string path = options_.folder;
  // The nearest folder that is there is where it would be made.
  while (::stat(path.c_str(), &info) != 0 && path.rfind('/') != std::string::npos && path.size() > 1)
    path.resize(std::max<size_t>(path.rfind('/'), 1));
  if (!S_ISDIR(info.st_mode) || ::access(path.c_str(), W_OK | X_OK) != 0) {
    warn("nothing can be kept in " + options_.folder + ": " + path + " is not a folder that this user can write");
    return false;
  }
  return path != options_.folder || isSafe();
}

bool Cache::isSafe() const {
  struct stat info;
  if (::stat(options_.folder.c_str(), &info) != 0)
    return false;
  // Entries are programs: nobody else may put them there.
  if ((info.st_uid != ::geteuid() && info.st_uid != 0) || (info.st_mode & S_IWOTH)) {
    warn("the folder " + options_.folder +
         " can be written by other users, so it is not used; set FOVEA_CACHE to a "
         "folder of your own, or to off");
    return false;
  }
  return true;
}

std::optional<std::string> Cache::find(std::string_view key) const {
  std::string path = pathOf(key);
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !prepare())
    return std::nullopt;
  if (!S_ISREG(info.st_mode) || (info.st_uid != ::geteuid() && info.st_uid != 0)) {
    warn(path + " is not used: it is no file of yours");
    return std::nullopt;
  }
  Result<std::string> text = readFile(path, static_cast<size_t>(kMaxEntry));
  if (!text) {
    if (text.error().code != ErrorCode::NotFound) // removed just now
      warn(path + " is not used: " + text.error().message);
    return std::nullopt;
  }
  Decoded entry = decode(*text);
  if (entry.problem || entry.key != key) {
    warn(path + " is not used: " + (entry.problem ? entry.problem : "it is the entry of another key"));
    return std::nullopt;
  }
  (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); // where it cannot be marked it is evicted sooner
  return std::string(entry.content);
}

bool Cache::store(std::string_view key, std::string_view content) const {
  std::string text = encode(key, content);
  auto size = static_cast<int64_t>(text.size());
  if (size > std::min(kMaxEntry, options_.capBytes)) {
    warn("an entry of " + std::to_string(size) + " bytes is not kept: it is larger than the cache may be");
    return false;
  }
  if (!prepare())
    return false;
  if (Status status = writeFileAtomically(pathOf(key), text); !status) {
    warn("an entry is not kept: " + status.error().message);
    return false;
  }
  evict();
  return true;
}

Result<std::string> Cache::findOrMake(std::string_view key, const std::function<Result<std::string>()> &make) const {
  if (std::optional<std::string> found = find(key))
    return std::move(*found);
  std::optional<FileLock> lock;
  if (makeFolders(options_.folder)) {
    // Few locks for all keys, so that none of them needs to be removed.
    lock.emplace(options_.folder + "/lock-" + hashText(key).substr(0, 2), options_.waitMilliseconds);
    if (lock->timedOut())
      warn("another process has been making an entry for " + std::to_string(options_.waitMilliseconds) +
           " ms; this one makes it too");
    struct stat info;
    if (::lstat(pathOf(key).c_str(), &info) == 0) // made meanwhile, or bad
      if (std::optional<std::string> found = Cache({options_.folder, 0, 0, {}}).find(key))
        return std::move(*found);
  }
  Result<std::string> made = make();
  if (made)
    (void)store(key, *made);
  return made;
}

void Cache::evict() const {
  Result<std::vector<Found>> files = scan(options_.folder, isEntryName);
  if (!files)
    return;
  int64_t total = 0;
  for (const Found &file : *files)
    total += file.bytes;
  if (total > options_.capBytes) {
    std::sort(files->begin(), files->end(), [](const Found &a, const Found &b) { return before(a.used, b.used); });
    // A little more than needed, so that this does not happen at every entry; never the newest.
    for (size_t i = 0; i + 1 < files->size() && total > options_.capBytes / 10 * 9; ++i) {
      if (::unlink((options_.folder + "/" + (*files)[i].name).c_str()) == 0 || errno == ENOENT)
        total -= (*files)[i].bytes;
    }
  }
  // What processes left that were killed while they wrote.
  if (Result<std::vector<Found>> left = scan(options_.folder, isTemporaryName))
    for (const Found &file : *left)
      if (file.used.tv_sec < ::time(nullptr) - kStaleSeconds)
        (void)::unlink((options_.folder + "/" + file.name).c_str());
}

Result<std::vector<Cache::Entry>> Cache::list(const Inspect &inspect) const {
  Result<std::vector<Found>> files = scan(options_.folder, isEntryName);
  if (!files)
    return files.takeError();
  std::sort(files->begin(), files->end(), [](const Found &a, const Found &b) { return before(b.used, a.used); });
  std::vector<Entry> entries;
  for (const Found &file : *files) {
    Entry entry{file.name, {}, file.bytes, file.used.tv_sec, {}};
    Result<std::string> text = readFile(options_.folder + "/" + file.name, static_cast<size_t>(kMaxEntry));
    if (!text) {
      if (text.error().code == ErrorCode::NotFound)
        continue;
      entry.problem = text.error().message;
    } else {
      Decoded decoded = decode(*text);
      if (decoded.problem)
        entry.problem = decoded.problem;
      else if (hashText(decoded.key) + std::string(kSuffix) != file.name)
        entry.problem = "it is the entry of another key";
      else
        entry.key = decoded.key;
      if (inspect && entry.problem.empty())
        entry.problem = inspect(entry.key, decoded.content);
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<size_t> Cache::clear() const {
  size_t removed = 0;
  Result<std::vector<Found>> files = scan(options_.folder, [](std::string_view name) {
    return isEntryName(name) || isTemporaryName(name) || isLockName(name);
  });
  if (!files)
    return files.takeError();
  for (const Found &file : *files) {
    std::string path = options_.folder + "/" + file.name;
    // A lock that is removed while it is held would let two processes make the same, which does no harm.
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return Error{ErrorCode::Io, path + ": cannot be removed: " + std::strerror(errno)};
    removed += isEntryName(file.name);
  }
  return removed;
}

std::string programIdentity(const std::vector<std::string> &parts) {
  struct Search {
    const std::vector<std::string> *parts;
    std::string text;
    bool program = false;
  } search{&parts, {}, false};
  ::dl_iterate_phdr(
      [](dl_phdr_info *info, size_t, void *data) {
        auto &search = *static_cast<Search *>(data);
        std::string_view name = info->dlpi_name ? info->dlpi_name : "";
        // Of which this code is part: a program that was not linked anew may find a newer library.
        auto here = reinterpret_cast<ElfW(Addr)>(&programIdentity) - info->dlpi_addr;
        bool isProgram = std::any_of(info->dlpi_phdr, info->dlpi_phdr + info->dlpi_phnum, [&](const ElfW(Phdr) & part) {
          return part.p_type == PT_LOAD && here >= part.p_vaddr && here - part.p_vaddr < part.p_memsz;
        });
        if (!isProgram && std::none_of(search.parts->begin(), search.parts->end(), [&](const std::string &part) {
              return name.find(part) != std::string_view::npos;
            }))
          return 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type != PT_NOTE)
            continue;
          const auto *at = reinterpret_cast<const unsigned char *>(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
          const unsigned char *end = at + info->dlpi_phdr[i].p_memsz;
          while (end - at > static_cast<std::ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
            ElfW(Nhdr) note;
            std::memcpy(&note, at, sizeof note);
            const unsigned char *owner = at + sizeof note, *bytes = owner + (note.n_namesz + 3) / 4 * 4;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(owner, "GNU", 4) == 0) {
              for (uint32_t b = 0; b < note.n_descsz; ++b) {
                search.text += "0123456789abcdef"[bytes[b] >> 4];
                search.text += "0123456789abcdef"[bytes[b] & 15];
              }
              search.text += " ";
              search.program |= isProgram;
            }
            at = bytes + (note.n_descsz + 3) / 4 * 4;
          }
        }
        return 0;
      },
      &search);
  struct stat info;
  if (!search.program && ::stat("/proc/self/exe", &info) == 0)
    search.text += std::to_string(info.st_size) + "/" + std::to_string(info.st_mtim.tv_sec) + "." +
                   std::to_string(info.st_mtim.tv_nsec);
  return search.text;
}

} // namespace fovea::runtime
