// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Maps and laws as attentions of their own, and axes of maps that have parts.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"
#include "test/unit/syntax/TestTexts.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

struct Maps {
  std::vector<sema::MapAttention> maps;
  std::string messages;
};

Maps mapsOf(const std::string &path, const std::string &text, std::map<std::string, std::string> sets = {}) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse(path, text, diagnostics);
  sema::Options options;
  options.sets = std::move(sets);
  options.readFile = [](std::string name) -> Result<std::string> {
    if (!std::filesystem::is_regular_file(name))
      return Error{ErrorCode::NotFound, name};
    return test::readText(name);
  };
  Maps result;
  result.maps = sema::mapAttentions(file, options, diagnostics);
  for (const syntax::Diagnostic &d : diagnostics.diagnostics()) {
    syntax::Position p = diagnostics.sources.position(d.span);
    result.messages += std::to_string(p.line) + ":" + std::to_string(p.column) + ": " + d.message +
                       (d.label.empty() ? "" : " | " + d.label) + "\n";
  }
  return result;
}

TEST(Maps, BecomeAttentions) {
  Maps m = mapsOf("t.attn", "fovea 1\nmap scaled(x : [D], w : [D], n : int, by : real = 2, option how = up | down) {\n"
                            "  match how { up: x * w * by + n; down: x / w }\n}\n");
  EXPECT_EQ(m.messages, "");
  ASSERT_EQ(m.maps.size(), 2u);
  EXPECT_EQ(m.maps[0].name, "scaled(how: up)");
  EXPECT_EQ(m.maps[1].name, "scaled(how: down)");
  EXPECT_FALSE(m.maps[0].isLaw);
  std::string text = print(m.maps[0].attention);
  EXPECT_NE(text.find("input x : [B, T, D] real\n"), std::string::npos) << text;
  EXPECT_NE(text.find("input n : i32 [B, T] int\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("input by"), std::string::npos) << text; // its default
  EXPECT_NE(text.find("output value : [B, T, D] real\n"), std::string::npos) << text;
}

TEST(Maps, LawsHaveTwoSides) {
  Maps m = mapsOf("t.attn",
                  "fovea 1\nmap twice(x : [T], y : [T]) -> [T] {\n  2 * x\n"
                  "  law sum[T](twice(u + v, y)) = sum[T](let w = u + v in 2 * w)\n}\n",
                  {{"T", "16"}});
  EXPECT_EQ(m.messages, "");
  ASSERT_EQ(m.maps.size(), 2u);
  EXPECT_TRUE(m.maps[1].isLaw);
  std::string text = print(m.maps[1].attention);
  // Batch axes have names that the map does not use; inputs are what the law reads.
  EXPECT_NE(text.find("input u : [B, T_, T] real\n"), std::string::npos) << text;
  EXPECT_NE(text.find("input v : [B, T_, T] real\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("input x"), std::string::npos) << text;
  EXPECT_NE(text.find("axis T size 16"), std::string::npos) << text;
  EXPECT_NE(text.find("output left : [B, T_] real\n"), std::string::npos) << text;
  EXPECT_NE(text.find("output right : [B, T_] real\n"), std::string::npos) << text;
}

TEST(Maps, LibraryIsComplete) {
  std::map<std::string, size_t> laws = {{"features", 1}, {"lrpe", 1}, {"rope", 1}, {"rope2d", 1}};
  for (const std::string &path : test::specs("examples/maps")) {
    Maps m = mapsOf(path, test::readText(path));
    EXPECT_EQ(m.messages, "") << path;
    EXPECT_FALSE(m.maps.empty()) << path;
    size_t found = 0;
    for (const sema::MapAttention &map : m.maps) {
      found += map.isLaw;
      EXPECT_EQ(map.attention.declarations.back().role, sema::Role::Output) << path;
    }
    EXPECT_EQ(found, laws[std::filesystem::path(path).stem().string()]) << path;
  }
}

TEST(Maps, AxesWithParts) {
  std::string map = "fovea 1\nmap swap(x : [D = lo: E + hi: E]) -> [D] {\n  cat[D](x[hi], x[lo] * size(lo))\n}\n"
                    "map both(x : [K]) -> [F = K + K] {\n  cat[F](x, -x)\n}\n";
  auto program = [&](const std::string &body) {
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse("t.attn", map + "attention a {\n" + body + "}\n", diagnostics);
    std::optional<sema::Program> p = sema::analyze(file, {}, diagnostics);
    return p ? print(p->attentions[0]) : diagnostics.render();
  };
  // Equal shares of an axis, or the parts that it is declared with.
  std::string text = program("  axis B, D\n  input x : [B, D]\n  output o = swap(x)\n");
  EXPECT_NE(text.find("axis D_half = D share 2"), std::string::npos) << text;
  EXPECT_NE(text.find("concat [D, D_half, D_half]"), std::string::npos) << text;
  text = program("  axis B\n  axis D = M + M\n  input x : [B, D]\n  output o = swap(x)\n");
  EXPECT_EQ(text.find("share"), std::string::npos) << text;
  EXPECT_NE(text.find("slice [D, M, M]"), std::string::npos) << text;
  // The result's axis is the caller's of the same parts, or a new one.
  text = program("  axis B, K\n  axis L = K + K\n  input x : [B, K]\n  input y : [B, L]\n  output o = both(x) * y\n");
  EXPECT_NE(text.find("concat [L, K, K]"), std::string::npos) << text;
  EXPECT_EQ(text.find("axis F"), std::string::npos) << text;
  text = program("  axis B, K\n  input x : [B, K]\n  output o = both(x) + both(2 * x)\n");
  EXPECT_NE(text.find("axis F = K + K"), std::string::npos) << text;
  EXPECT_EQ(text.find("F_2"), std::string::npos) << text;
}

TEST(Maps, MisusedPartsAndLaws) {
  EXPECT_EQ(mapsOf("t.attn", "fovea 1\nmap f(x : [D = E + 1]) {\n  x\n}\n").messages,
            "2:12: not in this version: this relation of a parameter's axis | works now: D = lo: F + hi: F\n");
  EXPECT_EQ(
      mapsOf("t.attn", "fovea 1\nmap f(x : [D]) -> [F = D^2] {\n  x\n}\n").messages,
      "2:24: not in this version: this part of a result's axis | works now: names of axes, numbers and products of two "
      "axes, as in F = 1 + D + D * D\n");
  EXPECT_EQ(mapsOf("t.attn", "fovea 1\nmap f(x : [D]) -> [F = D * D] {\n  outer[D](x, x)\n}\n").messages, "");
  EXPECT_EQ(mapsOf("t.attn", "fovea 1\nmap f(x : [D]) {\n  x\n  law f(a) = sum[E](a)\n}\n").messages,
            "4:18: unknown axis 'E' | declare it with 'axis E'\n");
  EXPECT_EQ(mapsOf("t.attn", "fovea 1\nmap f(x : [D = lo: E + hi: G]) {\n  x[lo] * sum[G](x[hi])\n}\n").messages, "");
  EXPECT_EQ(mapsOf("t.attn", "fovea 1\nmap f(x : [D = lo: E + hi: G]) {\n  x[lo] * sum[G](x[hi])\n}\n"
                             "map g(x : [D]) {\n  f(x)\n}\n")
                .messages,
            "2:12: axis 'D' of the caller has not these parts | expected an axis declared as their sum\n");
  EXPECT_EQ(mapsOf("t.attn", "fovea 1\nmap f(x : [D = lo: E + hi: E]) {\n  x[lo] * x[hi]\n}\n", {{"D", "3"}}).messages,
            "2:12: axis 'D' has the size 3, which has no 2 equal shares\n");
}

} // namespace
