// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reading and atomic writing over POSIX calls, whose errors can be named.
#include "runtime/abi/Files.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace fovea::runtime {

namespace {

Error fileError(const std::string &path, const char *doing, int number) {
  ErrorCode code = number == ENOENT ? ErrorCode::NotFound : ErrorCode::Io;
  return {code, path + ": " + doing + ": " + std::strerror(number)};
}

struct Descriptor {
  int value = -1;
  ~Descriptor() {
    if (value >= 0)
      ::close(value);
  }
};

} // namespace

Result<std::string> readFile(const std::string &path, size_t maxBytes) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.value < 0)
    return fileError(path, "cannot open", errno);
  struct stat info;
  if (::fstat(file.value, &info) != 0)
    return fileError(path, "cannot read", errno);
  if (!S_ISREG(info.st_mode))
    return Error{ErrorCode::Io, path + ": not a regular file"};
  if (static_cast<uint64_t>(info.st_size) > maxBytes)
    return Error{ErrorCode::InvalidArgument, path + ": " + std::to_string(info.st_size) + " bytes; at most " +
                                                 std::to_string(maxBytes) + " are read"};
  std::string content(static_cast<size_t>(info.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    ssize_t got = ::read(file.value, content.data() + done, content.size() - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fileError(path, "cannot read", errno);
    if (got == 0)
      break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

Result<PendingFile> PendingFile::write(const std::string &path, std::string_view content) {
  static std::atomic<unsigned> counter{0};
  PendingFile pending;
  std::string temporary = path + ".tmp" + std::to_string(::getpid()) + "." + std::to_string(counter++);
  Descriptor file{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (file.value < 0)
    return fileError(path, "cannot write", errno);
  pending.temporary_ = temporary;
  pending.path_ = path;
  size_t done = 0;
  while (done < content.size()) {
    ssize_t put = ::write(file.value, content.data() + done, content.size() - done);
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      return fileError(path, "cannot write", errno);
    done += static_cast<size_t>(put);
  }
  // The rename must not become durable before the content.
  if (::fsync(file.value) != 0 && errno != EINVAL && errno != ENOTSUP)
    return fileError(path, "cannot write", errno);
  int descriptor = std::exchange(file.value, -1);
  if (::close(descriptor) != 0)
    return fileError(path, "cannot write", errno);
  return pending;
}

PendingFile::PendingFile(PendingFile &&other) noexcept { *this = std::move(other); }

PendingFile &PendingFile::operator=(PendingFile &&other) noexcept {
  std::swap(temporary_, other.temporary_);
  std::swap(path_, other.path_);
  return *this;
}

PendingFile::~PendingFile() {
  if (!temporary_.empty())
    ::unlink(temporary_.c_str());
}

Status PendingFile::commit() {
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return fileError(path_, "cannot write", errno);
  temporary_.clear();
  return Status::success();
}

Status writeFileAtomically(const std::string &path, std::string_view content) {
  Result<PendingFile> pending = PendingFile::write(path, content);
  if (!pending)
    return pending.takeError();
  return pending->commit();
}

} // namespace fovea::runtime
