// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What explain says is what the program does: masks, timelines and counts, also of programs that were made wrong.
#include "frontend/driver/Explain.h"

#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

using namespace fovea;
using namespace fovea::driver;

namespace {

SourceText spec(const std::string &where, const std::string &more = "") {
  return {"test.attn", "fovea 1\n\nattention test {\n  axis B, T, H, D, V\n  axis S keys T\n  static D, V\n"
                       "  input q : [B, T, H, D]\n  input k : [B, S, H, D]\n  input v : [B, S, H, V]\n" +
                           more + "  let p = weights over S {\n    score: dot[D](q[i], k[j])\n    where: " + where +
                           "\n  }\n  output o = p(v)\n}\n"};
}

std::unique_ptr<Compilation> compile(const SourceText &source, Sets sets = {}) {
  static Compiler compiler;
  CompileOptions options;
  options.sets = {{"D", "64"}, {"V", "32"}};
  for (const auto &[name, value] : sets)
    options.sets[name] = value;
  auto result = compiler.compile(source, options);
  EXPECT_TRUE(result->ok()) << result->diagnostics().render();
  return result;
}

MaskMap mapOf(Compilation &compilation) {
  std::vector<MaskMap> maps = maskMaps(compilation);
  EXPECT_EQ(maps.size(), 1u);
  EXPECT_EQ(maps.front().problem, "");
  return maps.front();
}

TEST(ExplainMask, CountsTilesOfACausalMask) {
  auto compilation = compile(spec("j <= i"));
  MaskMap map = mapOf(*compilation);
  EXPECT_EQ(map.queries, 2048);
  EXPECT_EQ(map.keys, 2048);
  EXPECT_EQ(map.seenPairs, 2048.0 * 2049 / 2);
  ASSERT_EQ(static_cast<int64_t>(map.seen.size()), 2048 / map.queryTile);
  for (size_t m = 0; m < map.seen.size(); ++m)
    for (size_t n = 0; n < map.seen[m].size(); ++n) {
      int64_t first = static_cast<int64_t>(m) * map.queryTile, last = first + map.queryTile - 1;
      int64_t from = static_cast<int64_t>(n) * map.keyTile, to = from + map.keyTile - 1;
      char expected = from > last ? '.' : to <= first ? '#' : '/';
      EXPECT_EQ(map.seen[m][n], expected) << m << ", " << n;
      EXPECT_EQ(map.visited[m][n], expected == '.' ? '.' : expected == '#' ? 'f' : 'm') << m << ", " << n;
    }
  EXPECT_EQ(map.lost + map.wrong + map.needless + map.maskedNeedless, 0);
}

TEST(ExplainMask, SizesThatAreGivenAreDrawn) {
  auto compilation = compile(spec("0 <= i - j < 100"), {{"T", "200"}, {"S", "1000"}});
  MaskMap map = mapOf(*compilation);
  EXPECT_EQ(map.queries, 200);
  EXPECT_EQ(map.keys, 1000);
  EXPECT_EQ(map.seenPairs, 200.0 * 100);
  EXPECT_EQ(map.lost + map.wrong, 0);
}

TEST(ExplainMask, ReadsDataAndNamesTheHead) {
  auto compilation = compile(spec("j <= i and i - j < reach", "  input reach : i32 [B, H] in [1, 700]\n"));
  MaskMap map = mapOf(*compilation);
  std::vector<std::pair<std::string, int64_t>> at = {{"B", 0}, {"H", 0}};
  std::sort(map.at.begin(), map.at.end());
  EXPECT_EQ(map.at, at);
  EXPECT_GT(map.empty(), 0);
  EXPECT_GT(map.partial(), 0);
  EXPECT_EQ(map.lost + map.wrong, 0);
}

TEST(ExplainMask, FindsTilesThatAreLostOrNotMasked) {
  auto compilation = compile(spec("j <= i"));
  // All visited tiles are called full.
  compilation->program().walk([](tile::DomainOp domain) { domain.getFullHiMutable().assign(domain.getHi()); });
  MaskMap map = mapOf(*compilation);
  EXPECT_EQ(map.lost, 0);
  EXPECT_EQ(map.wrong, map.partial());
  // None is visited.
  compilation->program().walk([](tile::DomainOp domain) { domain.getHiMutable().assign(domain.getLo()); });
  map = mapOf(*compilation);
  EXPECT_EQ(map.lost, map.partial() + map.full());
  EXPECT_EQ(map.wrong, 0);
}

TEST(ExplainTimeline, BooksWhatTheProgramSays) {
  auto compilation = compile(spec("j <= i"));
  std::vector<Timeline> timelines = timelinesOf(compilation->scheduled(), *compilation->target);
  ASSERT_EQ(timelines.size(), 1u);
  const Timeline &timeline = timelines.front();
  double products = 0, exponentials = 0;
  std::map<std::string, double> ends;
  for (const TimelineItem &item : timeline.items) {
    EXPECT_GE(item.start, 0);
    EXPECT_LE(item.start + item.cycles, timeline.cycles);
    EXPECT_NE(std::find(timeline.units.begin(), timeline.units.end(), item.unit), timeline.units.end());
    EXPECT_NE(std::find(timeline.phases.begin(), timeline.phases.end(), item.phase), timeline.phases.end());
    // A unit does one thing at a time; copies are in flight together.
    if (item.unit != "copies") {
      EXPECT_GE(item.start, ends[item.unit] - 1e-9) << item.label;
      ends[item.unit] = item.start + item.cycles;
    }
    if (item.phase == "a step between" && item.unit == "tensor cores")
      products += item.cycles;
    if (item.phase == "a step between" && item.unit == "exponentials")
      exponentials += item.cycles;
  }
  double pairs = static_cast<double>(compilation->chosen.queryTile * compilation->chosen.keyTile);
  EXPECT_DOUBLE_EQ(products, pairs * (64 + 32) / compilation->target->halfProductsPerSmPerCycle);
  // One for each pair, and one for each row.
  EXPECT_DOUBLE_EQ(exponentials, (pairs + static_cast<double>(compilation->chosen.queryTile)) /
                                     compilation->target->exponentialsPerSmPerCycle);
}

TEST(Explain, WorkOfFullAttention) {
  auto compilation = compile(spec("j >= 0"), {{"B", "2"}, {"H", "4"}, {"T", "1024"}, {"S", "2048"}});
  std::string assumed;
  Work work = workOf(*compilation, usualSizes(*compilation->attention, assumed));
  EXPECT_EQ(assumed, "");
  EXPECT_EQ(work.pairs, 2.0 * 4 * 1024 * 2048);
  EXPECT_EQ(work.allPairs, work.pairs);
  EXPECT_EQ(work.flops, 2 * work.pairs * (64 + 32));
  EXPECT_EQ(work.bytes, 2.0 * 2 * 4 * (1024 * (64 + 32) + 2048 * (64 + 32)));
}

TEST(Explain, DataAndPageHoldTheSame) {
  auto compilation = compile(spec("0 <= i - j < 128"));
  Explanation explanation = explain(*compilation);
  auto json = nlohmann::json::parse(toJson(explanation), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["variant"]["name"], "test");
  EXPECT_EQ(json["masks"][0]["kernel"]["lost"], 0);
  EXPECT_EQ(json["measured"]["problem"], "");
  ASSERT_FALSE(json["measured"]["kernels"].empty());
  const auto &kernel = json["measured"]["kernels"][0];
  EXPECT_EQ(kernel["conflicts"], 0);
  EXPECT_GT(kernel["sectors"], 0);
  ASSERT_FALSE(kernel["lines"].empty());
  for (const auto &line : kernel["lines"])
    EXPECT_NE(line["text"], "");
  std::vector<std::string> arrays;
  for (const auto &buffer : kernel["buffers"])
    arrays.push_back(buffer["name"]);
  EXPECT_EQ(arrays, (std::vector<std::string>{"q", "k", "v", "o"}));
  // The page's data are the same, with no '<' left that a script element could take for a tag.
  std::string page = toHtml(explanation);
  size_t begin = page.find("<script type=\"application/json\" id=\"data\">");
  ASSERT_NE(begin, std::string::npos);
  begin = page.find('>', begin) + 1;
  std::string data = page.substr(begin, page.find("</script>", begin) - begin);
  EXPECT_EQ(data.find('<'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(data, nullptr, false), json);
}

} // namespace
