// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Child processes of tests: what is shared between processes is tested with real ones.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fovea::test {
/// A child process; `body` gives its exit status.
template <typename F> pid_t spawn(F body) {
  pid_t child = fork();
  if (child == 0)
    _exit(body());
  return child;
}

/// The exit status of a child; -1 of one that a signal ended.
inline int wait(pid_t child) {
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
} // namespace fovea::test
