// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How many tiles of keys a predicate on data visits, counted as the program runs.
#include "frontend/driver/Compiler.h"
#include "reference/tile/TileInterpreter.h"

#include "gtest/gtest.h"

using namespace fovea;
using namespace fovea::driver;

namespace {

constexpr int64_t kTokens = 512, kFeatures = 32;

struct Visits {
  int64_t all = 0, whole = 0;
};

/// The tiles that attention under a predicate visits, given the document of each token.
Visits visits(const std::string &where, const std::vector<double> &documents) {
  SourceText source{"documents.attn", "fovea 1\n"
                                      "attention documents causal {\n"
                                      "  axis T, D\n"
                                      "  static D\n"
                                      "  input q, k, v : [T, D]\n"
                                      "  input doc : i32 [T]\n"
                                      "  let p = weights over T {\n"
                                      "    score: dot[D](q[i], k[j]) * D^-0.5\n"
                                      "    where: " +
                                          where +
                                          "\n"
                                          "  }\n"
                                          "  output o = p(v)\n"
                                          "}\n"};
  Compiler compiler;
  CompileOptions options;
  options.sets = {{"D", std::to_string(kFeatures)}};
  options.last = Stage::Tile;
  options.schedule = *parseSchedule("query_tile=64,key_tile=64");
  auto result = compiler.compile(source, options);
  EXPECT_TRUE(result->ok()) << result->diagnostics().render();
  if (!result->ok())
    return {};
  std::map<std::string, tile::Tensor> tensors;
  for (const char *name : {"q", "k", "v"})
    tensors[name] = {{kTokens, kFeatures}, std::vector<double>(kTokens * kFeatures, 0.5)};
  tensors["doc"] = {{kTokens}, documents};
  Visits count;
  tile::RunOptions run;
  run.dump = [&](const tile::DumpEvent &event) {
    if (event.op->getName().getStringRef() == "tile.domain_tile")
      (event.result == 0 ? count.all : count.whole) += event.result == 0 ? 1 : int64_t(event.values[0]);
  };
  llvm::Error error = tile::runTileProgram(result->expanded(), {{"T", kTokens}, {"D", kFeatures}}, tensors, run);
  bool failed = bool(error);
  EXPECT_FALSE(failed) << llvm::toString(std::move(error));
  return count;
}

std::vector<double> sorted(int64_t length) {
  std::vector<double> documents;
  for (int64_t t = 0; t < kTokens; ++t)
    documents.push_back(double(t / length));
  return documents;
}

TEST(TilesVisited, DocumentsSkipWholeTiles) {
  // 8 x 8 tiles: the lower triangle is visited, and what lies below the diagonal is whole.
  Visits causal = visits("j <= i", sorted(64));
  EXPECT_EQ(causal.all, 36);
  EXPECT_EQ(causal.whole, 28);
  // A document of one tile: the diagonal alone.
  Visits own = visits("j <= i and doc[i] == doc[j]", sorted(64));
  EXPECT_EQ(own.all, 8);
  EXPECT_EQ(own.whole, 0);
  // Documents of four tiles: two triangles of ten, with the tiles below the diagonal whole.
  Visits longer = visits("j <= i and doc[i] == doc[j]", sorted(256));
  EXPECT_EQ(longer.all, 20);
  EXPECT_EQ(longer.whole, 12);
  // Documents that end within tiles cost a tile more.
  Visits uneven = visits("j <= i and doc[i] == doc[j]", sorted(96));
  EXPECT_LE(uneven.all, 18);
}

TEST(TilesVisited, AnyOrderOfDocumentsIsSeen) {
  // Every tile holds both documents: all that causality leaves is visited, nothing is whole.
  std::vector<double> mixed;
  for (int64_t t = 0; t < kTokens; ++t)
    mixed.push_back(double(t % 2));
  Visits both = visits("j <= i and doc[i] == doc[j]", mixed);
  EXPECT_EQ(both.all, 36);
  EXPECT_EQ(both.whole, 0);
}

TEST(TilesVisited, AlternativesAreRangesOfTheirOwn) {
  // A shared question of one tile, document 0, and answers of two tiles each: the question and the own document.
  std::vector<double> documents(kTokens);
  for (int64_t t = 0; t < kTokens; ++t)
    documents[t] = t < 64 ? 0 : double(1 + (t - 64) / 128);
  Visits shared = visits("j <= i and (doc[i] == doc[j] or (doc[i] != 0 and doc[j] == 0))", documents);
  // The question sees itself; the first tile of an answer itself and the question, the second one more.
  EXPECT_EQ(shared.all, 1 + 4 * 2 + 3 * 3);
  EXPECT_GE(shared.whole, 7 + 3);
}

} // namespace
