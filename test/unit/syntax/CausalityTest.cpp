// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which predicates prove that no key is later than its query.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

std::string analyzeText(const std::string &text) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("t.attn", text, diagnostics);
  sema::analyze(file, {}, diagnostics);
  return diagnostics.render();
}

std::string withWhere(const std::string &where, const std::string &axes = "axis S keys T", const char *key = "S") {
  return analyzeText("fovea 1\nattention a causal {\n  axis B, T, D\n  " + axes +
                     "\n  const n : int = 4\n  const u : int\n  param w : i32 >= 0\n  param f : i32\n"
                     "  input q : [B, T, D]\n  input k : [B, " +
                     key + ", D]\n  input doc : i32 [B, " + key +
                     "]\n"
                     "  let unused = n + u + w + f + sum[D](q) * 0\n  let p = weights over " +
                     key + " {\n    score: dot[D](q[i], k[j]) + doc[j] * 0\n    where: " + where +
                     "\n  }\n  output o = p(k) + unused\n}\n");
}

TEST(Causality, Proved) {
  for (const char *where : {"j <= i",
                            "i >= j",
                            "j < i",
                            "not (j > i)",
                            "0 <= i - j < 64",
                            "i - j >= n",
                            "j + 3 <= i",
                            "j == i",
                            "j <= i and i - j < u",
                            "j <= i and doc[i] == doc[j]",
                            "j <= i and (doc[i] == doc[j] or doc[j] == 0)",
                            "j < i - 1 or j == i",
                            "j <= i - w",
                            "2 * j <= 2 * i",
                            "j // 64 <= i // 64 - 1",
                            "j // 100 < i // 100",
                            "j <= min(i, f)",
                            "max(j, f) <= i",
                            "if doc[i] == 0 then j == i else j <= i",
                            "not (j > i or doc[j] == 1)",
                            "abs(i - j) < 4 and j <= i",
                            "j - i <= 0",
                            "i - j > -1",
                            "j * 1.0 <= i",
                            "false"})
    EXPECT_EQ(withWhere(where), "") << where;
  EXPECT_EQ(withWhere("j <= i", "axis M", "T").find("error"), std::string::npos);
}

TEST(Causality, Refused) {
  for (const char *where : {"i - j < 64", "j <= i + 1", "j <= i or doc[j] == 0", "abs(i - j) < 4", "j >= i",
                            "not (j <= i)", "i - j >= -n", "j <= i + w", "j <= i - f", "j // 64 <= i // 64",
                            "j <= max(i, f)", "doc[i] == doc[j]", "j != i", "2 * j <= i + 3", "j <= 2 * i",
                            "i - j > -2", "true", "if doc[i] == 0 then j <= i else j <= i + 1", "i - j >= u"}) {
    std::string text = withWhere(where);
    bool said = text.find("does not imply j <= i") != std::string::npos ||
                text.find("these weights read all keys") != std::string::npos;
    EXPECT_TRUE(said) << where << text;
    EXPECT_NE(text.find("t.attn:15:12"), std::string::npos) << where << text;
  }
}

TEST(Causality, MessageNamesTheReach) {
  EXPECT_NE(withWhere("j <= i + 3").find("it allows keys up to 3 after the query"), std::string::npos);
}

TEST(Causality, MissingWhere) {
  std::string text = analyzeText("fovea 1\nattention a causal {\n  axis T, D\n  input q : [T, D]\n"
                                 "  let p = weights over T { score: dot[D](q[i], q[j]) }\n  output o = p(q)\n}\n");
  EXPECT_NE(text.find("these weights read all keys"), std::string::npos) << text;
}

TEST(Causality, ReductionsOverTokens) {
  std::string body =
      "  axis T, D\n  input q : [T, D]\n  let m = mean[T](q)\n"
      "  let p = weights over T { score: dot[D](q[i], q[j]); where: j <= i }\n  output o = p(q) - m\n}\n";
  std::string text = analyzeText("fovea 1\nattention a causal {\n" + body);
  EXPECT_NE(text.find("cannot reduce over the token axis 'T'"), std::string::npos) << text;
  EXPECT_EQ(analyzeText("fovea 1\nattention a set {\n" + body), "");
}

/// A causal attention whose output is `value`; `extra` stands before.
std::string withOutput(const std::string &value, const std::string &extra = "") {
  std::string text = analyzeText(
      "fovea 1\nattention a causal {\n  axis B, T, D, N\n  axis S keys T\n  axis Sb = S / 64\n  axis Tb = T / 32\n"
      "  input q : [B, T, D]\n  input k : [B, S, D]\n  input idx : i32 [B, T] >= 0\n  input table : [N]\n"
      "  input at : i32 [B, N]\n  input word : i32 [B, T]\n  let p = weights over S { score: dot[D](q[i], k[j]); "
      "where: j <= i }\n" +
      extra + "  output o = " + value + "\n}\n");
  size_t error = text.find("error: ");
  return error == std::string::npos ? "" : text.substr(error + 7, text.find('\n', error) - error - 7);
}

TEST(Causality, PathsToEarlierTokens) {
  for (const char *value : {"cumsum[S](k)",
                            "cummean[T](q)",
                            "k[S: index[S] - 1]",
                            "k[S: index[S] // 2]",
                            "k[S: max(index[S] - 4, 0)]",
                            "k[S: min(index[S], 8)]",

                            "k[S: 0] * q",

                            "k[S: pos[T] // 64 * 64] * q",
                            "q[T: index[T] - 1]",
                            "table[N: word] * q",
                            "table[N: word % N]",
                            "max[S in Sb](k)",
                            "mean[S in Sb](k)[Sb: index[S] // 64 - 1] + k",
                            "max[S in Sb](p)",
                            "p(k) * sum[S in Sb](p)",
                            "mean[T in Tb](q)[Tb: block[Tb](index[T]) - 1]",
                            "p(k[S: index[S] - 1])",
                            "p(table[N: word[i] + j])",
                            "p(k[S: j - 1])",

                            "k * size(S)",
                            "sum[N](table) * q"})
    EXPECT_EQ(withOutput(value), "") << value;
  // A pair field that the predicate guards does not read later keys.
  EXPECT_EQ(withOutput("u(q[i] * k[j])",
                       "  let u = weights over S { score: dot[D](q[i], k[j]); where: j <= i and p.score > 0 }\n"),
            "");
}

TEST(Causality, PathsToLaterTokens) {
  for (const char *value :
       {"k[S: index[S] + 1]", "k[S: index[S] * 2]", "k[S: at]", "k[S: S - 1] * q", "k[S: idx]", "q[T: idx]",
        "k[S: 8 - index[S]]", "mean[S in Sb](k)[Sb: index[S] // 64]", "mean[S in Sb](k)[Sb: block[Sb](pos[T])] * q",
        "mean[T in Tb](q)[Tb: index[T]]", "p(k[S: j + 1])", "p.score[i in at]", "q[T: pos[T]]", "k[S: 5]"})
    EXPECT_EQ(withOutput(value), "this may read tokens after its own") << value;
  EXPECT_EQ(withOutput("sum[Sb](max[S in Sb](k)) * q"), "a causal attention cannot reduce over the token axis 'Sb'");
  EXPECT_EQ(withOutput("dot[T](q, q)"), "a causal attention cannot reduce over the token axis 'T'");
  // A later key's data must not choose among the keys of an earlier query either.
  EXPECT_EQ(
      withOutput(
          "u(k)",
          "  let last_key = k[S: S - 1]\n  let u = weights over S { score: sum[D](last_key) * j; where: j <= i }\n"),
      "this may read tokens after its own");
  // Free weights and the branches of a merge are read like any other.
  EXPECT_EQ(withOutput("u(k)", "  let u = weights over S { weight: exp(dot[D](q[i], k[j])) }\n"),
            "these weights read all keys, later ones too");
  EXPECT_EQ(withOutput("merge(p, u)(k)", "  let u = weights over S { score: dot[D](q[i], k[j]); where: j > i }\n"),
            "this 'where' does not imply j <= i");
}

} // namespace
