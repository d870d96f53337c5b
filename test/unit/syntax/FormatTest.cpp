// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The formatter: stable, keeps the tree and every comment, and one golden text of its style.
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"
#include "test/unit/syntax/TestTexts.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

std::string formatText(const std::string &text, std::string *tree = nullptr, size_t *comments = nullptr) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("test.attn", text, diagnostics);
  EXPECT_FALSE(file.hasErrors) << diagnostics.render() << text;
  if (file.hasErrors)
    return {};
  if (tree)
    *tree = syntax::dump(file);
  if (comments)
    *comments = file.comments.size();
  return syntax::format(file, diagnostics.sources);
}

TEST(Format, StableOnAllSpecs) {
  std::vector<std::string> paths = test::allSpecs();
  ASSERT_GT(paths.size(), 40u);
  for (const std::string &path : paths) {
    std::string treeBefore, treeAfter;
    size_t commentsBefore = 0, commentsAfter = 0;
    std::string once = formatText(test::readText(path), &treeBefore, &commentsBefore);
    std::string twice = formatText(once, &treeAfter, &commentsAfter);
    EXPECT_EQ(once, twice) << path;
    EXPECT_EQ(treeBefore, treeAfter) << path;
    EXPECT_EQ(commentsBefore, commentsAfter) << path;
  }
}

TEST(Format, ExamplesAreFormatted) {
  for (const char *folder : {"examples", "examples/maps"})
    for (const std::string &path : test::specs(folder))
      EXPECT_EQ(formatText(test::readText(path)), test::readText(path)) << path;
}

TEST(Format, Style) {
  EXPECT_EQ(formatText("# head\nfovea   1\n\n\n\nattention  a causal{  # claim\n axis B,T ,D # names\n\n\n"
                       "   input q:[B,T,D];k : f32[B,T,D]<=0\n"
                       "let p=weights over T{score:dot[D]( q[i],k[j] )*D^ -0.5\n where : j<=i # past\n}\n"
                       "  output o=p(k)+\n q # end\n # last\n}\n"),
            "# head\nfovea 1\n\nattention a causal {  # claim\n  axis B, T, D  # names\n\n"
            "  input q : [B, T, D]; k : f32 [B, T, D] <= 0\n"
            "  let p = weights over T {\n    score: dot[D](q[i], k[j]) * D^-0.5\n    where: j <= i  # past\n  }\n"
            "  output o = p(k) +\n      q  # end\n  # last\n}\n");
}

TEST(Format, CommentsInsideAnExpressionMoveBeforeIt) {
  EXPECT_EQ(formatText("fovea 1\nmap f(x : [D]) -> [D] {\n  max(x, # first\n      0)\n}\n"),
            "fovea 1\nmap f(x : [D]) -> [D] {\n  # first\n  max(x,\n      0)\n}\n");
}

TEST(Format, OneExpression) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse(
      "t", "fovea 1\nmap f(x : [D]) {\n  if x>0 then match m {\n a: 1\n b: {2} } else -x^2\n}\n", diagnostics);
  ASSERT_FALSE(file.hasErrors) << diagnostics.render();
  EXPECT_EQ(syntax::format(*file.items[0].body[0].values[0]), "if x > 0 then match m { a: 1; b: {2} } else -x^2");
}

} // namespace
