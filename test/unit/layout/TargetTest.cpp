// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The table of targets against the CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
#include "dialect/common/Target.h"

#include <gtest/gtest.h>

using fovea::Target;

namespace {

TEST(Target, NamesAreFoundAndOthersAreNot) {
  for (const Target &target : Target::all())
    EXPECT_EQ(Target::find(target.name), &target);
  EXPECT_EQ(Target::find("sm_81"), nullptr);
  EXPECT_EQ(Target::find("SM_80"), nullptr);
  EXPECT_EQ(Target::find(""), nullptr);
  EXPECT_EQ(Target::names(), "sm_80, sm_86, sm_89, sm_90, sm_120");
}

TEST(Target, LimitsAreThoseOfTheProgrammingGuide) {
  struct Row {
    const char *name;
    int64_t blockKiB, smKiB, threads, blocks;
  };
  for (Row row : {Row{"sm_80", 163, 164, 2048, 32}, Row{"sm_86", 99, 100, 1536, 16}, Row{"sm_89", 99, 100, 1536, 24},
                  Row{"sm_90", 227, 228, 2048, 32}, Row{"sm_120", 99, 100, 1536, 24}}) {
    const Target *target = Target::find(row.name);
    ASSERT_NE(target, nullptr);
    EXPECT_EQ(target->sharedPerBlock, row.blockKiB * 1024) << row.name;
    EXPECT_EQ(target->sharedPerSm, row.smKiB * 1024) << row.name;
    EXPECT_EQ(target->maxThreadsPerSm, row.threads) << row.name;
    EXPECT_EQ(target->maxBlocksPerSm, row.blocks) << row.name;
    EXPECT_EQ(target->registersPerSm, 65536);
    EXPECT_EQ(target->maxRegistersPerThread, 255);
    EXPECT_TRUE(target->asyncCopy && target->bf16);
  }
}

TEST(Target, TheTwoFormsOfThePtxVersionAgree) {
  for (const Target &target : Target::all()) {
    std::string digits(target.ptxVersion);
    digits.erase(digits.find('.'), 1);
    EXPECT_EQ(std::string(target.ptxFeature), "+ptx" + digits);
  }
}

} // namespace
