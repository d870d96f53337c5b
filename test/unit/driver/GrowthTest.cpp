// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A process that compiles for ever: memory in use does not grow, though every specification is another one and a
// context of MLIR keeps each constant and type it has seen.
#include "test/unit/driver/Spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <malloc.h>

namespace fovea::driver::test {
namespace {

size_t bytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(Growth, CompilationsLeaveNothing) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer has an allocator of its own";
#endif
  Compiler compiler;
  CompileOptions options = sized();
  options.sets = {{"D", "16"}};
  options.alternatives = false;
  int number = 0;
  // Contexts are replaced after some compilations, so the least of a window that is longer than their life counts.
  auto leastOf = [&](int count) {
    size_t least = SIZE_MAX;
    for (int n = 0; n < count; ++n) {
      std::unique_ptr<Compilation> made =
          compiler.compile(causal("p(v) * " + std::to_string(++number) + ".5"), options);
      EXPECT_TRUE(made->ok() && made->plan) << number;
      made.reset();
      least = std::min(least, bytesInUse());
    }
    return least;
  };
  const size_t first = leastOf(80), second = leastOf(70);
  std::printf("in use after 80 compilations %zu KiB, after 150 %zu KiB\n", first >> 10, second >> 10);
  EXPECT_LE(second, first + (size_t{512} << 10));
}

} // namespace
} // namespace fovea::driver::test
