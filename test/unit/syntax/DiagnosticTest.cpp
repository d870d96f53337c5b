// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the parser says about wrong texts: golden renderings, suggestions, recovery.
#include "frontend/syntax/Parser.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

std::string messages(const std::string &text, bool lines = true) {
  syntax::DiagnosticEngine diagnostics;
  syntax::parse("t.attn", text, diagnostics);
  if (!lines)
    return diagnostics.render();
  std::string out;
  for (const syntax::Diagnostic &d : diagnostics.diagnostics()) {
    syntax::Position p = diagnostics.sources.position(d.span);
    out += std::to_string(p.line) + ":" + std::to_string(p.column) + ": " + d.message;
    if (!d.label.empty())
      out += " | " + d.label;
    if (!d.suggestion.empty())
      out += " | " + d.suggestion + "?";
    out += "\n";
  }
  return out;
}

std::string inAttention(const std::string &body) { return messages("fovea 1\nattention a {\n" + body + "\n}\n"); }

TEST(Diagnostic, Rendering) {
  EXPECT_EQ(messages("fovea 1\nattention a {\n  inptu q : [B, T]\n}\n", false),
            "error: unexpected 'inptu'\n"
            " --> t.attn:3:3\n"
            "  |\n"
            "3 |   inptu q : [B, T]\n"
            "  |   ^^^^^ expected a declaration: axis, static, input, param, const, option, let, output ..\n"
            "  help: did you mean 'input'?\n\n");
}

TEST(Diagnostic, NotesColourAndLongLines) {
  syntax::DiagnosticEngine d;
  uint32_t file = d.sources.add("t", "a\n" + std::string(300, 'x') + "y" + std::string(300, 'x') + "\n\xC3\xA9\tz");
  d.report({syntax::Severity::Warning, {file, 302, 303}, "here", "", {{{file, 0, 1}, "there"}}, ""});
  std::string text = d.render();
  EXPECT_NE(text.find("warning: here\n --> t:2:301\n"), std::string::npos) << text;
  EXPECT_NE(text.find("2 | ..." + std::string(60, 'x') + "y"), std::string::npos) << text;
  EXPECT_NE(text.find("note: there\n --> t:1:1\n"), std::string::npos) << text;
  EXPECT_NE(d.render(true).find("\x1b["), std::string::npos);
  // Columns count characters.
  size_t z = d.sources.text(file).size() - 1;
  EXPECT_EQ(d.sources.position(file, static_cast<uint32_t>(z)), (syntax::Position{3, 3}));
}

TEST(Diagnostic, RepeatsAndNumberAreBounded) {
  syntax::DiagnosticEngine d(3);
  uint32_t file = d.sources.add("t", "abcdef");
  for (int round = 0; round < 2; ++round)
    for (uint32_t k = 0; k < 5; ++k)
      d.error({file, k, k + 1}, "wrong");
  EXPECT_EQ(d.diagnostics().size(), 3u);
  EXPECT_EQ(d.errorCount(), 5u);
  EXPECT_NE(d.render().find("... and 2 more"), std::string::npos);
}

TEST(Diagnostic, Closest) {
  std::vector<std::string> words = {"weights", "where", "weight", "dot", "D"};
  EXPECT_EQ(syntax::closest("wieghts", words), "weights");
  EXPECT_EQ(syntax::closest("wher", words), "where");
  EXPECT_EQ(syntax::closest("DOT", words), "dot");
  EXPECT_EQ(syntax::closest("E", words), "");
  EXPECT_EQ(syntax::closest("something", words), "");
}

TEST(Diagnostic, Edition) {
  EXPECT_EQ(messages("attention a {\n}\n"),
            "1:1: the edition of the language is missing | the first line must be 'fovea 1'\n");
  EXPECT_EQ(messages("fovae 1\n"), "1:1: unexpected 'fovae' | the first line must be 'fovea 1' | fovea?\n");
  EXPECT_EQ(messages("fovea 2\n"), "1:7: edition 2 of the language is not known here | this version reads 'fovea 1'\n");
  EXPECT_EQ(messages("fovea\n"), "1:6: the line ends too early | expected the edition of the language: 'fovea 1'\n");
}

TEST(Diagnostic, Lexical) {
  EXPECT_EQ(inAttention("  let a = 2x"),
            "3:11: '2x' is no number and no name | expected a number, or a name that begins with a letter\n");
  EXPECT_EQ(inAttention("  let a = b && c"), "3:13: '&&' is not part of the language | and?\n");
  EXPECT_EQ(messages("fovea 1\nimport \"x\n"), "2:8: this string has no end | expected '\"' on the same line\n");
  EXPECT_EQ(inAttention("  let \xCE\xB1 = 1"),
            "3:7: '\xCE\xB1' is not part of the language | names are of ASCII letters, digits and '_'\n");
}

TEST(Diagnostic, Items) {
  EXPECT_EQ(inAttention("  let a = "), "3:10: the line ends too early | expected an expression\n");
  EXPECT_EQ(inAttention("  let a = (1, 2\n  let b = 1"), "4:3: unexpected 'let' | expected ',' or ')'\n");
  EXPECT_EQ(inAttention("  input q [B]"), "3:11: unexpected '[' | expected ':' and a type\n");
  EXPECT_EQ(inAttention("  input if : [B]"),
            "3:9: 'if' is a word of the language and cannot be a name | expected a name\n");
  EXPECT_EQ(inAttention("  let a = 1 2"), "3:13: unexpected '2' | expected ';', a new line or '}'\n");
  EXPECT_EQ(inAttention("  option a ="), "3:13: the line ends too early | expected the name of a choice\n");
  EXPECT_EQ(inAttention("  let p = weigths over S { score: 1 }"),
            "3:11: 'weigths' cannot walk over an axis | expected 'weights', 'attend' or 'recur' | weights?\n");
  EXPECT_EQ(inAttention("  let p = weights over S { score 1 }"), "3:34: unexpected '1' | expected ':'\n");
  EXPECT_EQ(
      inAttention("  attention b {\n }"),
      "3:3: 'attention' cannot stand in an attention | it stands at the level of the file; is a '}' missing above?\n");
  EXPECT_EQ(messages("fovea 1\nattention a casual {\n}\n"),
            "2:13: unknown claim 'casual' | expected 'causal', 'set' or '{' | causal?\n");
  EXPECT_EQ(messages("fovea 1\naxis B\n"), "2:1: 'axis' cannot stand outside an attention | expected 'import', "
                                           "'attention', 'map', 'schedule' or 'storage'\n");
  EXPECT_EQ(messages("fovea 1\nattention a {\n  let b = 1\n"),
            "3:12: the line ends too early | expected '}' at the end of the attention\n");
  EXPECT_EQ(messages("fovea 1\n}\n"),
            "2:1: unexpected '}' | expected 'import', 'attention', 'map', 'schedule' or 'storage'\n");
}

TEST(Diagnostic, AllErrorsOfAFileInOneRun) {
  EXPECT_EQ(inAttention("  axis B,\n  let a = * 2\n  let b = 1\n  outptu c = b\n  let d = f(1"),
            "3:10: the line ends too early | expected the name of an axis\n"
            "4:11: unexpected '*' | expected an expression\n"
            "6:3: unexpected 'outptu' | expected a declaration: axis, static, input, param, const, option, let, output "
            ".. | output?\n"
            "8:1: unexpected '}' | expected ',' or ')'\n");
}

} // namespace
