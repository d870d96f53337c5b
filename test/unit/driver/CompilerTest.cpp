// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Stages, names, sets, and several threads at once.
#include "frontend/driver/Compiler.h"
#include "test/unit/driver/Spec.h"

#include "gtest/gtest.h"

#include <thread>

using namespace fovea;
using namespace fovea::driver;

namespace {

TEST(SpecName, SplitsAtTheLastColonBeforeAWord) {
  EXPECT_EQ(splitSpecName("a.attn").path, "a.attn");
  EXPECT_EQ(splitSpecName("a.attn").attention, "");
  EXPECT_EQ(splitSpecName("x:y/a.attn:full").path, "x:y/a.attn");
  EXPECT_EQ(splitSpecName("x:y/a.attn:full").attention, "full");
  EXPECT_EQ(splitSpecName("x:y/a.attn").path, "x:y/a.attn");
  EXPECT_EQ(splitSpecName(":a").path, ":a");
}

TEST(Sets, ReadsPairs) {
  Sets sets;
  EXPECT_TRUE(parseSets("D=64, G=4", sets));
  EXPECT_TRUE(parseSets("", sets));
  EXPECT_TRUE(parseSets("D=64", sets));
  EXPECT_EQ(sets, (Sets{{"D", "64"}, {"G", "4"}}));
  for (const char *bad : {"D", "=3", "D=", "D=32"})
    EXPECT_FALSE(parseSets(bad, sets)) << bad;
}

TEST(Schedule, ReadsAndRefuses) {
  Result<ScheduleOverride> all = parseSchedule("query_tile=128,key_tile=64,warps=8,stages=3,query=shared");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->queryTile, 128);
  EXPECT_EQ(all->query, "shared");
  for (const char *bad : {"warp=4", "warps=0", "warps=x", "query=memory", "warps"})
    EXPECT_FALSE(parseSchedule(bad)) << bad;
}

TEST(Compiler, MakesEveryLevelUpToTheLast) {
  Compiler compiler;
  for (Stage last : {Stage::Attn, Stage::Tile, Stage::Schedule, Stage::Nvvm, Stage::Ptx, Stage::Plan}) {
    auto result = compiler.compile(test::causal(), test::sized(last));
    ASSERT_TRUE(result->ok()) << result->diagnostics().render();
    for (Stage stage : kAllStages) {
      if (stage == Stage::Cubin || stage == Stage::Llvm)
        continue;
      EXPECT_EQ(result->text(stage).ok(), stage <= last) << stageName(stage) << " of " << stageName(last);
    }
  }
}

TEST(Compiler, ErrorsOfPassesStandAtTheirPlaceInTheText) {
  Compiler compiler;
  CompileOptions options = test::sized();
  options.sets["D"] = "63";
  auto result = compiler.compile(test::causal(), options);
  ASSERT_FALSE(result->ok());
  const syntax::Diagnostic &first = result->diagnostics().diagnostics().front();
  ASSERT_TRUE(first.span.valid()) << result->diagnostics().render();
  EXPECT_EQ(result->diagnostics().sources.position(first.span).line, 9u);
  EXPECT_NE(first.message.find("nearest is 64"), std::string::npos) << first.message;
}

TEST(Compiler, SameInputSameText) {
  Compiler compiler;
  std::string first = compiler.compile(test::causal(), test::sized())->ptx;
  ASSERT_FALSE(first.empty());
  // More often than a context is used.
  for (int i = 0; i < 70; ++i)
    compiler.compile(test::causal(), test::sized(Stage::Schedule));
  EXPECT_EQ(compiler.compile(test::causal(), test::sized())->ptx, first);
}

TEST(Compiler, ServesSeveralThreads) {
  Compiler compiler;
  std::string texts[4];
  std::vector<std::thread> threads;
  for (std::string &text : texts)
    threads.emplace_back([&compiler, &text] { text = compiler.compile(test::causal(), test::sized())->ptx; });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_FALSE(texts[0].empty());
  for (const std::string &text : texts)
    EXPECT_EQ(text, texts[0]);
}

TEST(Compiler, AResultOutlivesItsCompiler) {
  auto compiler = std::make_unique<Compiler>();
  auto result = compiler->compile(test::causal(), test::sized(Stage::Tile));
  compiler.reset();
  EXPECT_TRUE(result->text(Stage::Tile));
}

} // namespace
