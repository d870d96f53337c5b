// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A folder of things that are slow to make, shared by processes: what was made for a key is found again by the whole
// key. Nothing that happens to the folder makes a result wrong or a call fail: what cannot be read is made again, what
// cannot be written is not kept, and a warning says so.
#pragma once

#include "runtime/abi/Result.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::runtime {

struct CacheOptions {
  std::string folder;                    // made when it is needed, readable by its owner alone
  int64_t capBytes = int64_t{512} << 20; // of all entries; the least recently used go first
  int64_t waitMilliseconds = 60000;      // for another process that makes the same, before this one makes it too
  std::function<void(const std::string &)> warn; // may be empty; from the thread that calls
};

/// Where the cache lies by the environment: FOVEA_CACHE=off means nowhere, another value is the folder; otherwise
/// $XDG_CACHE_HOME/fovea or $HOME/.cache/fovea. Nothing also where none of these is set.
std::optional<std::string> cacheFolder();
/// FOVEA_CACHE=off: what is asked for is made, whatever was made before.
bool cacheIsOff();

/// May be used by several threads and processes at once.
class Cache {
public:
  explicit Cache(CacheOptions options);

  const std::string &folder() const { return options_.folder; }

  /// Whether entries can be read and kept there; makes no folder that is not there. Else a warning says why not.
  bool usable() const;

  /// The content that was stored for exactly this key; makes it the most recently used.
  std::optional<std::string> find(std::string_view key) const;

  /// Stores a content for later. False, after a warning, where that does not work; what was stored before stays.
  bool store(std::string_view key, std::string_view content) const;

  /// The stored content, else that of `make`, which is stored. Of several processes and threads that ask for a key at
  /// once, one makes and the others wait. An error of `make` is passed on and nothing stored.
  Result<std::string> findOrMake(std::string_view key, const std::function<Result<std::string>()> &make) const;

  struct Entry {
    std::string file;    // in the folder
    std::string key;     // of good entries
    int64_t bytes = 0;   // of the file
    int64_t used = 0;    // last use, in seconds since 1970
    std::string problem; // empty: it is good
  };
  /// What is wrong with a content, empty for nothing.
  using Inspect = std::function<std::string(const std::string &key, std::string_view content)>;
  /// All entries, the most recently used first, each read and checked; good ones by `inspect` too, if that is given.
  Result<std::vector<Entry>> list(const Inspect &inspect = {}) const;
  /// Removes all entries and what interrupted processes left; gives the number of removed entries. Other files stay.
  Result<size_t> clear() const;

private:
  void warn(const std::string &text) const;
  std::string pathOf(std::string_view key) const;
  /// Makes the folder; false, after a warning, where it cannot be used safely.
  bool prepare() const;
  /// Whether nobody else can put entries there; else a warning.
  bool isSafe() const;
  void evict() const;

  CacheOptions options_;
};

/// Tells this build of the code from others: the identity that the linker gave to the program or library that this
/// function is part of, and to the libraries whose name has one of `parts`; else size and time of the program's file.
std::string programIdentity(const std::vector<std::string> &parts);

} // namespace fovea::runtime
