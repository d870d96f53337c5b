// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thousand compilations in one process, of specifications that all differ, with and without a cache: memory in use
// does not grow, and what the process keeps of plans stays below its cap.
#include "fovea/compiler.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <malloc.h>

namespace {

size_t bytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::string text(int number) {
  return "fovea 1\n"
         "attention causal causal {\n"
         "  axis B, T, H, D\n"
         "  axis S keys T\n"
         "  static D\n"
         "  input q : [B, T, H, D]\n"
         "  input k, v : [B, S, H, D]\n"
         "  let p = weights over S {\n"
         "    score: dot[D](q[i], k[j]) * D^-0.5\n"
         "    where: j <= i and i - j < " +
         std::to_string(number) +
         "\n  }\n"
         "  output o = p(v)\n"
         "}\n";
}

/// The least number of bytes in use after each of `count` compilations, from number `from`.
size_t leastOf(const fovea::Compiler &compiler, int from, int count) {
  fovea::CompileOptions options;
  options.sets = {"D=16"};
  size_t least = SIZE_MAX;
  for (int n = from; n < from + count; ++n) {
    {
      auto compiled = compiler.text(text(n + 2), "growth.attn", options);
      EXPECT_TRUE(compiled) << (compiled ? "" : compiled.failure().text);
    }
    least = std::min(least, bytesInUse());
  }
  return least;
}

TEST(Growth, AThousandCompilations) {
  ASSERT_EQ(setenv("FOVEA_CACHE", "off", 1), 0);
  auto compiler = fovea::Compiler::open();
  ASSERT_TRUE(compiler);
  const size_t first = leastOf(*compiler, 0, 100);
  (void)leastOf(*compiler, 100, 800);
  const size_t last = leastOf(*compiler, 900, 100);
  std::printf("in use after 100 compilations %zu KiB, after 1000 %zu KiB\n", first >> 10, last >> 10);
  EXPECT_LE(last, first + (size_t{1} << 20));
}

TEST(Growth, PlansThatAreKeptHaveACap) {
  std::string folder = ::testing::TempDir() + "fovea-growth-" + std::to_string(::getpid());
  ASSERT_EQ(setenv("FOVEA_CACHE", folder.c_str(), 1), 0);
  auto compiler = fovea::Compiler::open();
  ASSERT_TRUE(compiler);
  const size_t before = leastOf(*compiler, 0, 1);
  (void)leastOf(*compiler, 1, 499);
  const size_t after = leastOf(*compiler, 400, 100); // found
  std::printf("in use after 1 compilation %zu KiB, after 500 %zu KiB\n", before >> 10, after >> 10);
  EXPECT_LE(after, before + (size_t{300} << 20));
  std::filesystem::remove_all(folder);
}

} // namespace
