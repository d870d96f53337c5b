// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Storages: what they say of an attention, and the message of each misuse.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

struct Result {
  std::string messages; // line:column: message | label; without names that are never used
  std::string program;
};

Result analyzeText(const std::string &text) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("t.attn", "fovea 1\n" + text, diagnostics);
  std::optional<sema::Program> program = sema::analyze(file, {}, diagnostics);
  Result result;
  for (const syntax::Diagnostic &d : diagnostics.diagnostics()) {
    if (d.message.find("is never used") != std::string::npos)
      continue;
    syntax::Position p = diagnostics.sources.position(d.span);
    result.messages += std::to_string(p.line) + ":" + std::to_string(p.column) + ": " + d.message;
    if (!d.label.empty())
      result.messages += " | " + d.label;
    result.messages += "\n";
  }
  if (program)
    for (const sema::Attention &attention : program->attentions)
      result.program += print(attention);
  return result;
}

/// Line 14 is the storage.
std::string with(const std::string &storage) {
  return "attention a causal {\n"
         "  axis B, T, H, D\n"
         "  axis P = X * Y\n"
         "  axis S keys T\n"
         "  static D, Y\n"
         "  input q : [B, T, H, D]\n"
         "  input k, v : [B, S, H, D]\n"
         "  input c : [H, X]\n"
         "  let p = weights over S { score: dot[D](q[i], k[j]) * sum[X](c); where: j <= i }\n"
         "  output o = p(v)\n"
         "}\n"
         "\n" +
         storage + "\n";
}

std::string messages(const std::string &storage) { return analyzeText(with(storage)).messages; }

TEST(Storage, NamesSequencesAndTheirOffsets) {
  Result result = analyzeText(with("storage packed { B, T : ragged(offsets: i32 [B + 1], max: T)\n"
                                   "  B, S : ragged(starts: i32 [B + 1], max: S) }\n"
                                   "storage shared { B, T : ragged(offsets: i32 [B + 1], max: T)\n"
                                   "  B, S : ragged(offsets, max: T) }\n"
                                   "storage keys { B, S : ragged(offsets: i32 [B + 1], max: S) }"));
  EXPECT_EQ(result.messages, "");
  for (const char *line :
       {"storage packed B, T ragged offsets max T rows total\n",
        "storage packed B, S ragged starts max S rows total_S\n",
        "storage shared B, S ragged offsets max T rows total\n", "storage keys B, S ragged offsets max S rows total\n"})
    EXPECT_NE(result.program.find(line), std::string::npos) << line << result.program;
}

TEST(Storage, StandsInsideAnAttentionToo) {
  std::string text = with("");
  text.insert(text.find("  output"), "  storage packed { B, T : ragged(offsets: i32 [B + 1], max: T) }\n");
  Result result = analyzeText(text);
  EXPECT_EQ(result.messages, "");
  EXPECT_NE(result.program.find("storage packed B, T ragged"), std::string::npos);
}

TEST(Storage, OfAFileIsForTheAttentionsThatHaveItsAxes) {
  Result result = analyzeText(with("storage packed { B, T : ragged(offsets: i32 [B + 1], max: T) }\n"
                                   "attention b { axis N, M\n  input x : [N, M]\n  output y = x + 1 }"));
  EXPECT_EQ(result.messages, "");
  EXPECT_NE(result.program.find("storage packed B, T ragged"), std::string::npos);
}

TEST(Storage, EveryMisuseIsAnswered) {
  const std::string type = "offsets: i32 [B + 1]";
  auto entry = [&](const std::string &text) { return messages("storage s { " + text + " }"); };
  EXPECT_EQ(
      messages("storage s { B, T : ragged(" + type + ", max: T) }\nstorage s { B, T : ragged(" + type + ", max: T) }"),
      "15:9: storage 's' is declared twice\n");
  EXPECT_EQ(messages("storage s { }"),
            "14:9: storage 's' says nothing | expected 'B, T : ragged(offsets: i32 [B + 1], max: T)'\n");
  EXPECT_EQ(entry("B, T : pages(size: 16)"), "14:20: not in this version: storage by pages | works now: ragged(..)\n");
  EXPECT_EQ(entry("B, T : rows(2)"), "14:20: this is no storage | expected 'ragged(offsets: i32 [B + 1], max: T)'\n");
  EXPECT_EQ(entry("B : ragged(" + type + ", max: T)"),
            "14:13: a ragged entry names the axis of the batches and that of their tokens | expected 'B, T : "
            "ragged(..)'\n");
  EXPECT_EQ(entry("B, N : ragged(" + type + ", max: T)"), "14:16: no axis is named 'N' in attention 'a'\n");
  EXPECT_EQ(entry("S, T : ragged(offsets: i32 [S + 1], max: T)"),
            "14:13: 'S' cannot number sequences | expected an axis of its own, without a relation and not static\n");
  EXPECT_EQ(entry("B, P : ragged(" + type + ", max: T)"),
            "14:16: not in this version: tokens whose number follows from other axes | 'P' is made of others\n");
  EXPECT_EQ(entry("B, D : ragged(" + type + ", max: D)"),
            "14:16: the length of 'D' differs from sequence to sequence | it cannot be static\n");
  EXPECT_EQ(entry("H, X : ragged(offsets: i32 [H + 1], max: X)"),
            "14:13: a compilation needs the size of 'X', so it cannot be ragged\n");
  EXPECT_EQ(entry("B, T : ragged(" + type + ", max: T); B, T : ragged(o: i32 [B + 1], max: T)"),
            "14:61: 'T' has two entries\n");
  EXPECT_EQ(entry("B, T : ragged(" + type + ", max: 7)"),
            "14:54: the most tokens of a sequence is the size of an axis | expected 'max: T'\n");
  EXPECT_EQ(
      entry("B, T : ragged(offsets: i32 [B], max: T)"),
      "14:27: this is no argument of 'ragged' | expected 'offsets: i32 [B + 1]', or the name of offsets above, and "
      "'max: T'\n");
  EXPECT_EQ(entry("B, T : ragged(" + type + ")"),
            "14:20: 'ragged' lacks its bound | expected 'ragged(offsets: i32 [B + 1], max: T)'\n");
  EXPECT_EQ(entry("B, T : ragged(max: T)"),
            "14:20: 'ragged' lacks its offsets | expected 'ragged(offsets: i32 [B + 1], max: T)'\n");
  EXPECT_EQ(entry("B, T : ragged(offsets, max: T)"),
            "14:27: no entry above has offsets 'offsets' of 'B' | state their type: 'offsets: i32 [B + 1]'\n");
  EXPECT_EQ(entry("B, T : ragged(" + type + ", max: T); B, S : ragged(" + type + ", max: S)"),
            "14:72: 'offsets' is declared twice | without a type the offsets are those above\n");
  EXPECT_EQ(
      entry("B, T : ragged(" + type + ", max: S)"),
      "14:20: the bound of 'T' is the size of 'T' | expected 'max: T', or the bound of the entry whose offsets it "
      "shares\n");
  EXPECT_EQ(entry("B, T : ragged(q: i32 [B + 1], max: T)"),
            "14:27: the storage needs the name 'q', which the attention uses\n");
  EXPECT_EQ(entry("H, T : ragged(offsets: i32 [H + 1], max: T); B, X : ragged(n: i32 [B + 1], max: X)"),
            "14:58: no array of 'a' has both 'B' and 'X'\n");
}

TEST(Storage, ArraysThatCannotLieSo) {
  EXPECT_EQ(analyzeText("attention a set {\n"
                        "  axis B, T, S\n"
                        "  input x : [B, T, S]\n"
                        "  output y = x + 1\n"
                        "}\n"
                        "storage s { B, T : ragged(o: i32 [B + 1], max: T); B, S : ragged(n: i32 [B + 1], max: S) }\n")
                .messages,
            "7:52: not in this version: 'x' has two ragged axes, 'T' and 'S'\n");
  EXPECT_EQ(
      analyzeText("attention a set {\n"
                  "  axis B, T\n"
                  "  axis Tw = windows(T, 16, step: 8)\n"
                  "  input x : [B, T]\n"
                  "  output y = max[T in Tw](x)\n"
                  "}\n"
                  "storage s { B, T : ragged(o: i32 [B + 1], max: T) }\n")
          .messages,
      "8:13: not in this version: 'y' on 'Tw' of sequences of different lengths | 'Tw' is made of 'T'; works now: "
      "one axis of an array, 'T' itself or blocks of it, or the array without 'B'\n");
  // Blocks lie one behind the other too.
  Result blocks = analyzeText("attention a set {\n"
                              "  axis B, T\n"
                              "  axis Tb = T / 16\n"
                              "  input x : [B, T]\n"
                              "  output y = max[T in Tb](x)\n"
                              "}\n"
                              "storage s { B, T : ragged(o: i32 [B + 1], max: T) }\n");
  EXPECT_EQ(blocks.messages, "");
}

} // namespace
