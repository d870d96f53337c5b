// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Trees of the parser: precedence, newlines, continued declarations; hostile texts.
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"
#include "test/unit/syntax/TestTexts.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

/// The tree of an expression, as the value of a map.
std::string tree(const std::string &expression) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("t", "fovea 1\nmap f(x : [D]) {\n" + expression + "\n}\n", diagnostics);
  if (file.hasErrors)
    return diagnostics.render();
  std::string text = syntax::dump(file);
  size_t at = text.find("(result ");
  return text.substr(at + 8, text.size() - at - 11);
}

TEST(Parser, Precedence) {
  EXPECT_EQ(tree("-a^b"), "(- (^ a b))");
  EXPECT_EQ(tree("D^-0.5"), "(^ D (- 0.5))");
  EXPECT_EQ(tree("a^b^c"), "(^ a (^ b c))");
  EXPECT_EQ(tree("a - b - c * d // e % f"), "(- (- a b) (% (// (* c d) e) f))");
  EXPECT_EQ(tree("a or b and not c == d"), "(or a (and b (not (compare == c d))))");
  EXPECT_EQ(tree("0 <= i - j < 64"), "(compare <= < 0 (- i j) 64)");
  EXPECT_EQ(tree("x[i].lse(a: 1)"), "(call (member lse (subscript x i)) (labelled a 1))");
  EXPECT_EQ(tree("let t = a in t + 1"), "(let t a (+ t 1))");
  EXPECT_EQ(tree("if a then b else c + 1"), "(if a b (+ c 1))");
  EXPECT_EQ(tree("block[Sb](j) in sel"), "(in (call (subscript block Sb) j) sel)");
  EXPECT_EQ(tree("max(a, b)(c) as [K: K2]"), "(as (call (call max a b) c) (labelled K K2))");
}

TEST(Parser, NewlinesEndItemsOutsideBrackets) {
  EXPECT_EQ(tree("a +\n b"), "(+ a b)");
  EXPECT_EQ(tree("(a\n + b)"), "(paren (+ a b))");
  EXPECT_EQ(tree("f(a,\n b)"), "(call f a b)");
  EXPECT_EQ(tree("if a\n then b\n else c"), "(if a b c)");
  EXPECT_NE(tree("a\n + b").find("the line above has ended"), std::string::npos) << tree("a\n + b");
}

TEST(Parser, ContinuedDeclarations) {
  auto dumped = [](const std::string &body) {
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse("t", "fovea 1\nattention a {\n" + body + "\n}\n", diagnostics);
    return file.hasErrors ? diagnostics.render() : syntax::dump(file);
  };
  EXPECT_EQ(dumped("input q : [B]; k, v : [C]"), dumped("input q : [B]\ninput k, v : [C]"));
  EXPECT_EQ(dumped("axis Y = A * M; X = C * N; S keys T"), dumped("axis Y = A * M\naxis X = C * N\naxis S keys T"));
  EXPECT_EQ(dumped("let a = 1; b = 2"), dumped("let a = 1\nlet b = 2"));
  // Not over a line.
  EXPECT_NE(dumped("let a = 1;\nb = 2").find("unexpected 'b'"), std::string::npos);
}

TEST(Parser, WordsOfTheLanguageAreNamesElsewhere) {
  syntax::DiagnosticEngine diagnostics;
  syntax::parse("t",
                "fovea 1\nattention set {\n  option map = weights | state\n  input axis, input : [over]\n"
                "  let recur = map + state\n  output output = weights\n}\n",
                diagnostics);
  EXPECT_FALSE(diagnostics.hasErrors()) << diagnostics.render();
}

TEST(Parser, NestingIsBounded) {
  for (const std::string &open :
       {std::string("("), std::string("f("), std::string("["), std::string("{"), std::string("-"), std::string("not "),
        std::string("x^"), std::string("x["), std::string("if a then b else "), std::string("let a = 1 in "),
        std::string("match m { a: "), std::string("weights over T { score: ")}) {
    std::string text;
    for (int k = 0; k < 20000; ++k)
      text += open;
    syntax::DiagnosticEngine diagnostics;
    syntax::parse("t", "fovea 1\nmap f(x : [D]) {\n" + text + "1\n}\n", diagnostics);
    ASSERT_TRUE(diagnostics.hasErrors()) << open;
    EXPECT_NE(diagnostics.render().find("nested too deeply"), std::string::npos) << open;
    // A tree with errors still has every operand: messages print its expressions.
    const syntax::File file = syntax::parse("t", "fovea 1\nmap f(x : int = " + text + "1) { x }\n", diagnostics);
    for (const syntax::Item &item : file.items)
      for (const syntax::MapParam &parameter : item.params)
        EXPECT_FALSE(parameter.defaultValue && syntax::format(*parameter.defaultValue).empty()) << open;
  }
  for (const std::string &link :
       {std::string("+1"), std::string("*x"), std::string(" and x"), std::string("[i]"), std::string(".lse"),
        std::string("(x)"), std::string(" or x"), std::string(" as [A: C]")}) {
    std::string text = "x";
    for (int k = 0; k < 20000; ++k)
      text += link;
    syntax::DiagnosticEngine diagnostics;
    syntax::parse("t", "fovea 1\nmap f(x : [D]) {\n" + text + "\n}\n", diagnostics);
    EXPECT_NE(diagnostics.render().find("nested too deeply"), std::string::npos) << link;
  }
}

TEST(Parser, TruncatedTextsGiveErrors) {
  std::string text = test::readText(std::string(FOVEA_SOURCE_DIR) + "/test/unit/syntax/corpus/storage.attn");
  ASSERT_GT(text.size(), 1000u);
  for (size_t length = 0; length < text.size(); length += 7) {
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse("t", text.substr(0, length), diagnostics);
    EXPECT_EQ(file.hasErrors, diagnostics.hasErrors());
  }
  syntax::DiagnosticEngine diagnostics;
  EXPECT_TRUE(syntax::parse("t", "", diagnostics).hasErrors);
}

TEST(Parser, LargeFilesAreRefused) {
  syntax::DiagnosticEngine diagnostics;
  EXPECT_TRUE(syntax::parse("t", std::string(syntax::kMaxFileSize + 1, '\n'), diagnostics).hasErrors);
  EXPECT_NE(diagnostics.render().find("larger than 4 MiB"), std::string::npos);
}

} // namespace
