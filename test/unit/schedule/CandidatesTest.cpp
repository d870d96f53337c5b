// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules are enumerated completely, rejected with reasons, ranked.
#include "passes/schedule/Candidates.h"
#include "dialect/common/Target.h"

#include <gtest/gtest.h>
#include <set>

#include <algorithm>

using namespace fovea;
using namespace fovea::tile;

static Problem attention(int64_t d, int64_t v) {
  Problem problem;
  problem.scoreDims = {d};
  problem.accumulatorDims = {v};
  return problem;
}

TEST(Candidates, EveryCommonHeadFitsEveryTarget) {
  for (const Target &target : Target::all())
    for (int64_t d : {32, 64, 96, 128, 256})
      for (int64_t v : {32, 64, 96, 128, 256}) {
        Candidate best = enumerateSchedules(attention(d, v), target).front();
        EXPECT_EQ(best.rejected, "") << target.name << " D=" << d << " V=" << v;
        EXPECT_LE(best.sharedBytes, target.sharedPerBlock);
        EXPECT_LT(best.registers, target.maxRegistersPerThread);
        EXPECT_EQ(best.queryTile % (16 * best.warps), 0);
      }
}

TEST(Candidates, F32FitsEveryTargetInEveryPrecision) {
  for (const Target &target : Target::all())
    for (const char *precision : {"tf32", "3xtf32", "fma"})
      for (int64_t d : {8, 64, 72, 128, 256}) {
        Problem problem = attention(d, std::min<int64_t>(d, 64));
        problem.elementBytes = 4;
        problem.epilogueBytes = 0;
        problem.precision = precision;
        Candidate best = enumerateSchedules(problem, target).front();
        EXPECT_EQ(best.rejected, "") << target.name << " " << precision << " D=" << d;
        EXPECT_TRUE(problem.precision != "fma" || best.query == "shared");
      }
}

TEST(Candidates, SplitProductsTakeMoreRegistersAndTime) {
  Problem once = attention(64, 64), thrice;
  once.elementBytes = 4;
  once.precision = "tf32";
  thrice = once;
  thrice.precision = "3xtf32";
  Candidate cheap = enumerateSchedules(once, *Target::find("sm_80")).front();
  for (const Candidate &candidate : enumerateSchedules(thrice, *Target::find("sm_80")))
    if (candidate.str() == cheap.str()) {
      EXPECT_GT(candidate.registers, cheap.registers);
      EXPECT_TRUE(!candidate.rejected.empty() || candidate.cost > cheap.cost);
      return;
    }
  ADD_FAILURE() << "no candidate " << cheap.str();
}

TEST(Candidates, MoreThan256FeaturesAreForParts) {
  Candidate first = enumerateSchedules(attention(64, 264), *Target::find("sm_90")).front();
  EXPECT_EQ(first.rejected, "accumulates 272 features at once; the most is 256");
}

TEST(Candidates, UsableFirstAndCheapestFirst) {
  auto all = enumerateSchedules(attention(128, 128), *Target::find("sm_80"));
  bool rejected = false;
  double cost = 0;
  for (const Candidate &candidate : all) {
    if (!candidate.rejected.empty()) {
      rejected = true;
      continue;
    }
    EXPECT_FALSE(rejected) << "a usable candidate after a rejected one: " << candidate.str();
    EXPECT_GE(candidate.cost, cost);
    EXPECT_GE(candidate.workItemsPerSm, 1);
    cost = candidate.cost;
  }
  EXPECT_TRUE(rejected);
}

TEST(Candidates, ReasonsNameWhatIsShort) {
  bool shared = false, registers = false;
  for (const Candidate &candidate : enumerateSchedules(attention(256, 256), *Target::find("sm_86"))) {
    shared |= candidate.rejected.find("bytes of shared memory; sm_86 gives a block 101376") != std::string::npos;
    registers |= candidate.rejected.find("registers a thread; there are 255") != std::string::npos;
  }
  EXPECT_TRUE(shared);
  EXPECT_TRUE(registers);
}

TEST(Candidates, SameInputSameAnswer) {
  auto first = enumerateSchedules(attention(64, 64), *Target::find("sm_90")),
       second = enumerateSchedules(attention(64, 64), *Target::find("sm_90"));
  ASSERT_EQ(first.size(), second.size());
  for (size_t n = 0; n < first.size(); ++n)
    EXPECT_EQ(first[n].str(), second[n].str());
}

TEST(Candidates, MoreSharedMemoryNeverTurnsAwayACandidate) {
  auto small = enumerateSchedules(attention(128, 128), *Target::find("sm_86"));
  auto large = enumerateSchedules(attention(128, 128), *Target::find("sm_90"));
  for (const Candidate &candidate : small) {
    if (!candidate.rejected.empty())
      continue;
    bool found = std::any_of(large.begin(), large.end(), [&](const Candidate &other) {
      return other.rejected.empty() && other.str() == candidate.str();
    });
    EXPECT_TRUE(found) << candidate.str();
  }
}

static Recurrence recurrence(int64_t keys, int64_t values) {
  Recurrence problem;
  problem.keys = keys;
  problem.values = values;
  return problem;
}

TEST(Candidates, EveryRecurrenceFitsEveryTarget) {
  for (const char *target : {"sm_80", "sm_86", "sm_90"})
    for (int64_t keys : {16, 72, 128, 256})
      for (int64_t values : {0, 16, 40, 128, 256, 512})
        for (bool channels : {false, true})
          for (int64_t bytes : {2, 4}) {
            Recurrence problem = recurrence(keys, values);
            problem.channels = problem.decays = channels;
            problem.erases = values > 0;
            problem.elementBytes = bytes;
            problem.chunks = bytes == 2;
            std::vector<Candidate> all = enumerateSchedules(problem, *Target::find(target));
            ASSERT_FALSE(all.empty());
            EXPECT_TRUE(all.front().rejected.empty()) << target << " " << keys << "x" << values << all.front().rejected;
          }
}

TEST(Candidates, RecurrencesRunOverChunksWhereTheyCan) {
  const Target &target = *Target::find("sm_80");
  EXPECT_EQ(enumerateSchedules(recurrence(128, 128), target).front().kind, "fused");
  Recurrence single = recurrence(128, 128);
  single.elementBytes = 4;
  single.chunks = false;
  for (const Candidate &candidate : enumerateSchedules(single, target))
    EXPECT_EQ(candidate.kind, "step");
  Recurrence blocks = recurrence(64, 64);
  blocks.blocks = 48;
  for (const Candidate &candidate : enumerateSchedules(blocks, target))
    EXPECT_TRUE(candidate.kind == "step" || candidate.chunk == 16) << candidate.str();
  // What a segment erases changes the state before it by a matrix.
  Recurrence delta = recurrence(64, 64);
  delta.erases = true;
  for (const Candidate &candidate : enumerateSchedules(delta, target))
    EXPECT_NE(candidate.kind, "split");
}

TEST(Candidates, StatesOfManyFeatures) {
  const Target &target = *Target::find("sm_80");
  Recurrence problem = recurrence(273, 64);
  problem.products = problem.computes = problem.normalises = true;
  std::vector<Candidate> all = enumerateSchedules(problem, target);
  EXPECT_EQ(all.front().kind, "fused") << all.front().rejected;
  for (const Candidate &candidate : all) // they would be kept for each chunk
    EXPECT_TRUE(candidate.kind == "fused" || candidate.kind == "step") << candidate.str();
  // What no thread can hold is refused with the reason.
  problem.keys = 4161;
  all = enumerateSchedules(problem, target);
  EXPECT_NE(all.front().rejected.find("registers a thread"), std::string::npos) << all.front().rejected;
}

TEST(Candidates, RecurrencesThatAreSharedOutComeLast) {
  for (bool erases : {false, true}) {
    Recurrence problem = recurrence(128, 128);
    problem.erases = erases;
    bool isShared = false;
    for (const Candidate &candidate : enumerateSchedules(problem, *Target::find("sm_80"))) {
      if (!candidate.rejected.empty())
        continue;
      isShared |= candidate.kind == "chunk" || candidate.kind == "split";
      EXPECT_FALSE(isShared && candidate.kind == "fused") << candidate.str();
      EXPECT_GT(candidate.alone, 0) << candidate.str();
      EXPECT_GT(candidate.busy, 0) << candidate.str();
    }
    EXPECT_TRUE(isShared);
  }
}

TEST(Candidates, NoTwoRecurrencesReadAlike) {
  std::set<std::string> seen;
  for (const Candidate &candidate : enumerateSchedules(recurrence(128, 128), *Target::find("sm_80")))
    EXPECT_TRUE(seen.insert(candidate.str()).second) << candidate.str();
}

TEST(Candidates, PartsOfValuesHaveOneSize) {
  for (int64_t values : {96, 128, 512})
    for (const Candidate &candidate : enumerateSchedules(recurrence(64, values), *Target::find("sm_80")))
      EXPECT_EQ(values % candidate.values, 0) << candidate.str();
}
