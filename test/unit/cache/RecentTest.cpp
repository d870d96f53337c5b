// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a process keeps: found by its key, the least recently used dropped first, never more than the cap.
#include "runtime/cache/Recent.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

using namespace fovea::runtime;

namespace {

TEST(Recent, DropsTheLeastRecentlyUsed) {
  Recent<int> recent(33); // three of 10 and their keys
  for (int n : {1, 2, 3})
    recent.keep(std::to_string(n), std::make_shared<const int>(n), 10);
  ASSERT_TRUE(recent.find("1"));
  std::shared_ptr<const int> held = recent.find("2");
  ASSERT_TRUE(recent.find("1"));
  ASSERT_TRUE(recent.find("3"));
  recent.keep("4", std::make_shared<const int>(4), 10);
  EXPECT_FALSE(recent.find("2")) << "used longest ago";
  EXPECT_EQ(*held, 2) << "who holds it keeps it";
  EXPECT_EQ(*recent.find("1"), 1);
  EXPECT_EQ(*recent.find("3"), 3);
  EXPECT_EQ(*recent.find("4"), 4);
}

TEST(Recent, ReplacesAndRefuses) {
  Recent<int> recent(20);
  recent.keep("a", std::make_shared<const int>(1), 10);
  recent.keep("a", std::make_shared<const int>(2), 15);
  EXPECT_EQ(*recent.find("a"), 2);
  recent.keep("b", std::make_shared<const int>(3), 100);
  EXPECT_FALSE(recent.find("b")) << "larger than all";
  EXPECT_TRUE(recent.find("a")) << "and nothing goes for it";
  recent.keep("a", std::make_shared<const int>(4), 100);
  EXPECT_FALSE(recent.find("a")) << "what was there is no longer right";
}

TEST(Recent, Threads) {
  Recent<int> recent(200);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int n = 0; n < 2000; ++n) {
        recent.keep(std::to_string(n % 50), std::make_shared<const int>(n % 50), 10);
        if (auto found = recent.find(std::to_string(n % 37)); found && *found != n % 37)
          ++wrong;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

} // namespace
