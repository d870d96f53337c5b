// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The cache under every fault that a folder can have: each gives the right content, at most made again, and a warning.
#include "runtime/cache/Cache.h"
#include "test/unit/common/Processes.h"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

using namespace fovea;
using namespace fovea::runtime;
using fovea::test::spawn;
using fovea::test::wait;
namespace fs = std::filesystem;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

constexpr uid_t kNobody = 65534;

class CacheTest : public testing::Test {
protected:
  CacheTest() {
    std::string pattern = fs::temp_directory_path() / "fovea-cache-XXXXXX";
    root_ = mkdtemp(pattern.data());
    options_.folder = root_ + "/a/cache";
    options_.warn = [this](const std::string &text) { warnings_ += text + "\n"; };
  }
  ~CacheTest() override {
    chmod(options_.folder.c_str(), 0700);
    fs::remove_all(root_);
  }
  Cache cache() const { return Cache(options_); }

  /// Asks for `key`; what is made is "made KEY".
  std::string ask(const std::string &key) {
    Result<std::string> content = cache().findOrMake(key, [&]() -> Result<std::string> {
      ++made_;
      return "made " + key;
    });
    return content ? *content : "error: " + content.error().message;
  }

  std::string fileOf(const std::string &key) {
    for (const Cache::Entry &entry : entries())
      if (entry.key == key)
        return options_.folder + "/" + entry.file;
    return {};
  }

  std::vector<Cache::Entry> entries() const {
    Result<std::vector<Cache::Entry>> entries = cache().list();
    EXPECT_TRUE(entries.ok());
    return entries ? *entries : std::vector<Cache::Entry>();
  }

  std::string root_;
  CacheOptions options_;
  std::string warnings_;
  int made_ = 0;
};

std::string slurp(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_F(CacheTest, FindsWhatWasMade) {
  EXPECT_EQ(cache().find("k"), std::nullopt);
  EXPECT_FALSE(fs::exists(options_.folder)) << "asking makes no folder";
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(cache().find("k"), "made k");
  EXPECT_EQ(cache().find("K"), std::nullopt);
  std::string binary("\0\n\xff key", 7), content("\n\0 content\n", 11);
  EXPECT_TRUE(cache().store(binary, content));
  EXPECT_EQ(cache().find(binary), content);
  EXPECT_TRUE(cache().store(binary, ""));
  EXPECT_EQ(cache().find(binary), "");
  EXPECT_TRUE(cache().store("", "x"));
  EXPECT_EQ(cache().find(""), "x");
  struct stat info;
  ASSERT_EQ(stat(options_.folder.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(warnings_, "");
}

TEST_F(CacheTest, AnErrorIsNotStored) {
  Result<std::string> failed = cache().findOrMake("k", []() -> Result<std::string> {
    return Error{ErrorCode::Unsupported, "no"};
  });
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::Unsupported);
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(warnings_, "");
}

TEST_F(CacheTest, EveryDamageIsFoundAndMended) {
  ask("k");
  std::string file = fileOf("k"), good = slurp(file);
  auto damaged = [&](const std::string &bytes, const char *why) {
    std::ofstream(file, std::ios::binary) << bytes;
    warnings_.clear();
    made_ = 0;
    ASSERT_EQ(ask("k"), "made k");
    ASSERT_EQ(made_, 1);
    ASSERT_NE(warnings_.find(why), std::string::npos) << warnings_;
    ASSERT_EQ(slurp(file), good) << "the entry was not mended";
  };
  for (size_t length = 0; length < good.size(); ++length)
    damaged(good.substr(0, length), "is not used: it is ");
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    damaged(bad, "is not used: it is ");
  }
  damaged(good + "x", "it is damaged");
  damaged("something else", "it is no cache entry");
  // A good entry of another key under this name.
  cache().store("other", "foreign");
  damaged(slurp(fileOf("other")), "it is the entry of another key");
}

TEST_F(CacheTest, WhatIsNoFileIsLeftAlone) {
  ask("k");
  std::string file = fileOf("k");
  fs::remove(file);
  fs::create_directories(file + "/inside");
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_CONTAINS(warnings_, "it is no file of yours");
  EXPECT_CONTAINS(warnings_, "an entry is not kept");
  fs::remove_all(file);
  // A link could lead anywhere; a pipe would wait for ever.
  std::ofstream(root_ + "/target") << "target";
  fs::create_symlink(root_ + "/target", file);
  warnings_.clear();
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_CONTAINS(warnings_, "it is no file of yours");
  EXPECT_EQ(slurp(root_ + "/target"), "target");
  EXPECT_EQ(cache().find("k"), "made k") << "the link was replaced";
  fs::remove(file);
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(cache().find("k"), "made k");
}

TEST_F(CacheTest, AFolderThatCannotBeMade) {
  std::ofstream(root_ + "/a") << "a file";
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(made_, 2);
  EXPECT_CONTAINS(warnings_, "cannot be made");
  EXPECT_CONTAINS(warnings_, "set FOVEA_CACHE to another, or to off");
  EXPECT_FALSE(cache().list().ok());
}

TEST_F(CacheTest, WhetherItIsUsable) {
  EXPECT_TRUE(cache().usable()) << "it would be made";
  EXPECT_FALSE(fs::exists(options_.folder)) << "asking makes no folder";
  ask("k");
  EXPECT_TRUE(cache().usable());
  EXPECT_EQ(warnings_, "");
  chmod(options_.folder.c_str(), 0777);
  EXPECT_FALSE(cache().usable());
  EXPECT_CONTAINS(warnings_, "can be written by other users, so it is not used");
  options_.folder = root_ + "/file/cache";
  std::ofstream(root_ + "/file") << "a file";
  EXPECT_FALSE(cache().usable());
  EXPECT_CONTAINS(warnings_, "/file is not a folder that this user can write");
  options_.folder = "/proc/none/cache";
  EXPECT_FALSE(cache().usable() && geteuid() != 0);
  options_.folder = root_ + "/a/cache";
}

TEST_F(CacheTest, AFolderThatOthersCanWrite) {
  ask("k");
  chmod(options_.folder.c_str(), 0777);
  EXPECT_EQ(cache().find("k"), std::nullopt);
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(made_, 2);
  EXPECT_CONTAINS(warnings_, "can be written by other users, so it is not used");
}

TEST_F(CacheTest, AReadOnlyFolderStillServes) {
  ask("k");
  made_ = 0;
  chmod(root_.c_str(), 0755);
  chmod((root_ + "/a").c_str(), 0755);
  for (const fs::path &path : {fs::path(options_.folder), fs::path(fileOf("k"))})
    if (geteuid() == 0) { // permissions do not bind root
      ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
    }
  chmod(options_.folder.c_str(), 0500);
  EXPECT_EQ(wait(spawn([&] {
              if (geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0))
                return 10;
              if (ask("k") != "made k" || made_ != 0)
                return 1;
              if (!warnings_.empty())
                return 2;
              if (ask("new") != "made new" || made_ != 1)
                return 3;
              return warnings_.find("an entry is not kept") != std::string::npos ? 0 : 4;
            })),
            0);
}

TEST_F(CacheTest, AFullDisk) {
  ask("k");
  made_ = 0;
  EXPECT_EQ(wait(spawn([&] {
              // A limit on file size is what a full disk looks like to write().
              signal(SIGXFSZ, SIG_IGN);
              rlimit limit{20, 20};
              setrlimit(RLIMIT_FSIZE, &limit);
              if (ask("k") != "made k" || made_ != 0)
                return 1;
              if (ask("new") != "made new" || made_ != 1)
                return 2;
              return warnings_.find("an entry is not kept") != std::string::npos ? 0 : 3;
            })),
            0);
  EXPECT_EQ(cache().find("k"), "made k");
  EXPECT_EQ(cache().find("new"), std::nullopt);
  EXPECT_EQ(cache().list()->size(), 1u) << "a part of an entry was left";
}

TEST_F(CacheTest, AFileSystemWithoutRoom) {
  // A memory file system of a few pages, in name spaces of a child, where the system allows that.
  int status = wait(spawn([&] {
    std::string mount = root_ + "/full";
    if (mkdir(mount.c_str(), 0700) != 0 || (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) ||
        unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", mount.c_str(), "tmpfs", 0, "size=16384,nr_inodes=8") != 0)
      return 77;
    options_.folder = mount + "/cache";
    if (ask("k") != "made k" || !cache().find("k"))
      return 1;
    std::string large(100000, 'x');
    if (cache().store("large", large) || warnings_.find("No space left on device") == std::string::npos)
      return 2;
    if (cache().find("k") != "made k" || cache().list()->size() != 1)
      return 3;
    std::ofstream(mount + "/filler") << large; // until nothing is left
    warnings_.clear();
    made_ = 0;
    for (int i = 0; i < 10; ++i) // of bytes, then of inodes
      if (std::string key = "new" + std::to_string(i); ask(key) != "made " + key)
        return 4;
    return made_ == 10 && warnings_.find("an entry is not kept") != std::string::npos && ask("k") == "made k" ? 0 : 5;
  }));
  if (status == 77)
    GTEST_SKIP() << "no file system can be mounted here";
  EXPECT_EQ(status, 0);
}

TEST_F(CacheTest, SixteenProcessesMakeOnce) {
  // The file grows by one byte for each time that the content is made.
  std::string counter = root_ + "/counter";
  std::vector<pid_t> children;
  for (int i = 0; i < 16; ++i)
    children.push_back(spawn([&] {
      Result<std::string> content = cache().findOrMake("k", [&]() -> Result<std::string> {
        std::ofstream(counter, std::ios::app) << "x";
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return std::string("content");
      });
      return content && *content == "content" && warnings_.empty() ? 0 : 1;
    }));
  for (pid_t child : children)
    EXPECT_EQ(wait(child), 0);
  EXPECT_EQ(slurp(counter), "x");
}

TEST_F(CacheTest, EightThreadsMakeOnce) {
  std::atomic<int> made{0}, wrong{0};
  options_.warn = {};
  Cache shared = cache();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int key = 0; key < 20; ++key) {
        std::string name = std::to_string(key);
        Result<std::string> content = shared.findOrMake(name, [&]() -> Result<std::string> {
          ++made;
          return "made " + name;
        });
        wrong += !content || *content != "made " + name;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(made, 20);
  EXPECT_EQ(wrong, 0);
}

TEST_F(CacheTest, AProcessThatHangsIsNotWaitedForForEver) {
  options_.waitMilliseconds = 100;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  pid_t child = spawn([&] {
    (void)cache().findOrMake("k", [&]() -> Result<std::string> {
      (void)!write(ready[1], "x", 1);
      pause();
      return std::string("never");
    });
    return 0;
  });
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_CONTAINS(warnings_, "another process has been making an entry for 100 ms; this one makes it too");
  // The lock goes with its process, however that ends.
  ASSERT_EQ(fs::remove(fileOf("k")), true);
  kill(child, SIGKILL);
  EXPECT_EQ(wait(child), -1);
  warnings_.clear();
  EXPECT_EQ(ask("k"), "made k");
  EXPECT_EQ(warnings_, "");
  close(ready[0]);
  close(ready[1]);
}

TEST_F(CacheTest, KilledAtAnyMomentNothingIsLost) {
  cache().store("kept", "kept content");
  std::string content(200000, 'c');
  std::mt19937 random(7);
  int cut = 0;
  for (int i = 0; i < 40; ++i) {
    pid_t child = spawn([&] {
      for (int n = 0;; ++n)
        cache().store(std::to_string(n % 5), content + std::to_string(n % 5));
      return 0;
    });
    std::this_thread::sleep_for(std::chrono::microseconds(2000 + random() % 8000));
    kill(child, SIGKILL);
    wait(child);
    for (const Cache::Entry &entry : entries())
      EXPECT_EQ(entry.problem, "");
    for (int n = 0; n < 5; ++n)
      if (std::optional<std::string> found = cache().find(std::to_string(n))) {
        EXPECT_EQ(*found, content + std::to_string(n));
      }
    for (const auto &file : fs::directory_iterator(options_.folder))
      cut += file.path().string().find(".tmp") != std::string::npos;
  }
  EXPECT_EQ(cache().find("kept"), "kept content");
  EXPECT_EQ(warnings_, "");
  EXPECT_GT(cut, 0) << "no process was killed while it wrote";
  // What it left goes when it is old.
  for (const auto &file : fs::directory_iterator(options_.folder))
    if (file.path().string().find(".tmp") != std::string::npos)
      fs::last_write_time(file.path(), fs::file_time_type::clock::now() - std::chrono::hours(2));
  cache().store("x", "x");
  for (const auto &file : fs::directory_iterator(options_.folder))
    EXPECT_EQ(file.path().string().find(".tmp"), std::string::npos);
}

TEST_F(CacheTest, TheLeastRecentlyUsedGoFirst) {
  options_.capBytes = 10000;
  auto age = [&](const std::string &key, int seconds) {
    fs::last_write_time(fileOf(key), fs::file_time_type::clock::now() - std::chrono::seconds(seconds));
  };
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(cache().store(std::to_string(i), std::string(1000, 'x')));
    age(std::to_string(i), 100 - i);
  }
  EXPECT_TRUE(cache().find("0")); // used again
  ASSERT_TRUE(cache().store("new", std::string(1000, 'x')));
  EXPECT_TRUE(cache().find("0"));
  EXPECT_TRUE(cache().find("new"));
  EXPECT_FALSE(cache().find("1"));
  EXPECT_FALSE(cache().find("2"));
  EXPECT_TRUE(cache().find("8"));
  int64_t total = 0;
  for (const Cache::Entry &entry : entries())
    total += entry.bytes;
  EXPECT_LE(total, 10000);
  EXPECT_GE(total, 7000);
  EXPECT_EQ(warnings_, "");
  EXPECT_FALSE(cache().store("large", std::string(20000, 'x')));
  EXPECT_CONTAINS(warnings_, "is not kept: it is larger than the cache may be");
}

TEST_F(CacheTest, ListsAndClears) {
  EXPECT_TRUE(cache().list()->empty());
  EXPECT_EQ(*cache().clear(), 0u);
  ask("a");
  ask("b");
  std::string bad = fileOf("b");
  std::ofstream(bad, std::ios::app) << "x";
  std::ofstream(options_.folder + "/mine.txt") << "mine";
  std::ofstream(bad + ".tmp12.0") << "left";
  Result<std::vector<Cache::Entry>> entries = cache().list();
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 2u);
  const Cache::Entry &good = (*entries)[(*entries)[0].key == "a" ? 0 : 1],
                     &other = (*entries)[&good == entries->data()];
  EXPECT_EQ(good.key, "a");
  EXPECT_EQ(good.problem, "");
  EXPECT_GT(good.used, 0);
  EXPECT_EQ(other.problem, "it is damaged");
  entries = cache().list([](const std::string &key, std::string_view content) {
    return key == "a" && content == "made a" ? "not liked" : "other";
  });
  ASSERT_TRUE(entries.ok());
  EXPECT_EQ((*entries)[(*entries)[0].key == "a" ? 0 : 1].problem, "not liked");
  EXPECT_EQ((*entries)[(*entries)[0].key == "a" ? 1 : 0].problem, "it is damaged");
  EXPECT_EQ(*cache().clear(), 2u);
  EXPECT_TRUE(cache().list()->empty());
  EXPECT_EQ(slurp(options_.folder + "/mine.txt"), "mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(options_.folder), {}), 1);
}

TEST(CacheFolder, FollowsTheEnvironment) {
  auto folder = [](const char *cache, const char *shared, const char *home) {
    auto set = [](const char *name, const char *value) { value ? setenv(name, value, 1) : unsetenv(name); };
    set("FOVEA_CACHE", cache);
    set("XDG_CACHE_HOME", shared);
    set("HOME", home);
    return cacheFolder();
  };
  EXPECT_EQ(folder("off", "/x", "/h"), std::nullopt);
  EXPECT_EQ(folder("/c/d", "/x", "/h"), "/c/d");
  EXPECT_EQ(folder("", "/x", "/h"), "/x/fovea");
  EXPECT_EQ(folder(nullptr, "/x", "/h"), "/x/fovea");
  EXPECT_EQ(folder(nullptr, "relative", "/h"), "/h/.cache/fovea");
  EXPECT_EQ(folder(nullptr, nullptr, "/h"), "/h/.cache/fovea");
  EXPECT_EQ(folder(nullptr, nullptr, nullptr), std::nullopt);
}

TEST(ProgramIdentity, IsTheSameInOneRunAndNotEmpty) {
  std::string identity = programIdentity({"libstdc++"});
  EXPECT_GE(identity.size(), 8u);
  EXPECT_EQ(identity, programIdentity({"libstdc++"}));
}
