// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the tests of the C interface share.
#pragma once

#include "fovea/fovea.h"

#include <atomic>
#include <gtest/gtest.h>
#include <string>

/// Of this program and of the libraries it loads, by Allocations.cpp.
extern std::atomic<long> allocations;

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)
#define EXPECT_FAILS(call, status, part)                                                                               \
  do {                                                                                                                 \
    EXPECT_EQ(call, status);                                                                                           \
    EXPECT_CONTAINS(fovea_last_error(), part);                                                                         \
  } while (false)
