// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each construct of weights, axes and indices: the operations it becomes, and the message of each misuse.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"

#include <gtest/gtest.h>

#include <cctype>

using namespace fovea;

namespace {

struct Result {
  std::string messages; // line:column: message | label, as they come; without names that are never used
  std::string program;  // printed, numbers of nodes left out
  bool has(const std::string &line) const { return program.find(line) != std::string::npos; }
};

Result analyzeText(const std::string &text, std::map<std::string, std::string> sets = {}) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("t.attn", text, diagnostics);
  sema::Options options;
  options.sets = std::move(sets);
  std::optional<sema::Program> program = sema::analyze(file, options, diagnostics);
  EXPECT_EQ(program.has_value(), !diagnostics.hasErrors());
  Result result;
  for (const syntax::Diagnostic &d : diagnostics.diagnostics()) {
    if (d.message.find("is never used") != std::string::npos)
      continue;
    if (d.span.valid()) {
      syntax::Position p = diagnostics.sources.position(d.span);
      result.messages += std::to_string(p.line) + ":" + std::to_string(p.column) + ": ";
    }
    result.messages += std::string(d.severity == syntax::Severity::Warning ? "warning: " : "") + d.message;
    if (!d.label.empty())
      result.messages += " | " + d.label;
    if (!d.suggestion.empty())
      result.messages += " | " + d.suggestion + "?";
    result.messages += "\n";
  }
  if (program && !program->attentions.empty()) {
    std::string printed = print(program->attentions[0]);
    for (size_t k = 0; k < printed.size(); ++k) {
      result.program += printed[k];
      if (printed[k] == '%')
        while (k + 1 < printed.size() && std::isdigit(static_cast<unsigned char>(printed[k + 1])))
          ++k;
    }
  }
  return result;
}

/// The body starts at line 11.
Result in(const std::string &body, const std::string &claim = "", const std::string &axes = "",
          std::map<std::string, std::string> sets = {}) {
  return analyzeText("fovea 1\nattention a " + claim + " {\n  axis B, T, H, D, V, N\n  axis S keys T\n  " + axes +
                         "\n  input q : [B, T, H, D]\n  input k : [B, S, H, D]\n  input v : [B, S, H, V]\n"
                         "  input doc : i32 [B, S]; f : f32 [B, S, H]; table : f32 [H, N]\n"
                         "  let all(i, j) = dot[D](q[i], k[j]) + f[j] * 0 + doc[j] * 0 + table[N: 0] * 0\n" +
                         body + "\n}\n",
                     std::move(sets));
}

std::string says(const std::string &body, const std::string &claim = "", const std::string &axes = "",
                 std::map<std::string, std::string> sets = {}) {
  return in(body, claim, axes, std::move(sets)).messages;
}

/// weights with these fields, and `use` as the output.
std::string w(const std::string &fields, const std::string &use = "p(v)") {
  return "  let p = weights over S { " + fields + " }\n  output o = " + use;
}

TEST(Weights, FormsOfTheWeight) {
  Result r = in(w("score: all; weight: sigmoid; divide: none"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("% = sigmoid % : [B, T, H, j] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = weights free [j, T] % : [B, T, H] weights\n")) << r.program;
  EXPECT_FALSE(r.has("stat")) << r.program;
  EXPECT_TRUE(in(w("score: all; where: j <= i; weight: relu; divide: none")).has("weights free [j, T] % where % :"));
  r = in(w("score: all; weight: relu(score)^2; divide: none"));
  EXPECT_TRUE(r.has("= relu") && r.has("= pow") && r.has("weights free")) << r.program;
  // Without a score: any expression.
  r = in(w("weight: dot[D](exp(q)[i], exp(k)[j]) * exp(all)"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("weights free [j, T] % :")) << r.program;
  EXPECT_TRUE(in(w("score: all; weight: exp")).has("= weights [j, T] % :"));
  // A name of the file goes before the function's.
  EXPECT_TRUE(
      in("  let sigmoid(i, j) = 2 * all\n" + w("score: all; weight: sigmoid; divide: none")).has("weights free"));
  EXPECT_FALSE(in("  let sigmoid(i, j) = 2 * all\n" + w("score: all; weight: sigmoid; divide: none")).has("= sigmoid"));
}

TEST(Weights, MisusedWeights) {
  EXPECT_EQ(says(w("weight: sigmoid")),
            "11:36: these weights have no score | expected 'score: ..', of which 'sigmoid' is taken\n");
  EXPECT_EQ(says(w("weight: exp")), "11:11: these weights have no score | expected 'score: ..'\n");
  EXPECT_EQ(says(w("score: all; weight: sigmod")), "11:48: unknown name 'sigmod'\n");
  EXPECT_EQ(says(w("score: all; weight: all > 0")), "11:48: expected a number | this is bool on [B, T, H, j]\n");
  EXPECT_EQ(says(w("weight: f[i] * all")),
            "11:36: warning: these weights may be negative, so that their sum may vanish | "
            "write 'divide: none', or weights that are never negative, such as relu(..)\n");
  EXPECT_EQ(says(w("score: all; weight: relu; sink: 1")),
            "11:54: a sink is a logit of exp weights | of these weights, 'divide: sum + c' adds to the divisor\n");
  EXPECT_EQ(says("  output z = sum[D](q) * f as [S: T]\n" + w("weight: exp(f[i])", "p(all * v[j])"))
                .find("12:36: the weight does not depend on the key"),
            0u);
}

TEST(Weights, Divisors) {
  // exp: an eps is a sink; the others correct the divided result by the log of the divisor.
  Result r = in(w("score: all; divide: sum + 0.5"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("constant -0.693147181")) << r.program;
  EXPECT_TRUE(r.has("= weights [j, T] % sink % :")) << r.program;
  r = in(w("score: all; sink: 1; divide: max(sum, 2)"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("stat lse") && r.has("= logaddexp") && r.has("= min")) << r.program;
  EXPECT_TRUE(in(w("score: all; divide: none")).has("stat lse"));
  r = in(w("score: all; where: j <= i; divide: count"));
  EXPECT_TRUE(r.has("weights free [j, T] % where % : [T] weights") && r.has("stat mass")) << r.program;
  // Free: by the sum of the weights; 0 where it is 0.
  r = in(w("score: all; weight: relu"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("= eq") && r.has("= select") && r.has("= div")) << r.program;
  EXPECT_TRUE(in(w("score: all; weight: relu; divide: sum + f[i]")).has("= add"));
  EXPECT_EQ(says(w("score: all; divide: 1 + sum + f[i]")), "");
  EXPECT_EQ(says(w("score: all; divide: sum + sum")),
            "11:48: unknown divisor | expected sum, sum + eps, max(sum, c), count or none\n");
  EXPECT_TRUE(in(w("score: all; weight: relu; divide: max(1, sum)")).has("= max"));
  r = in(w("score: all; weight: relu; divide: count"));
  EXPECT_TRUE(r.has("size [S]")) << r.program; // no predicate: all keys
  EXPECT_FALSE(r.has("stat")) << r.program;
}

TEST(Weights, MisusedDivisors) {
  EXPECT_EQ(says(w("score: all; divide: sun")),
            "11:48: unknown divisor | expected sum, sum + eps, max(sum, c), count or none | sum?\n");
  EXPECT_EQ(says(w("score: all; divide: 2 + 3")),
            "11:48: unknown divisor | expected sum, sum + eps, max(sum, c), count or none\n");
  EXPECT_EQ(says(w("score: all; divide: sum + 0")), "11:54: a divisor of exp weights is positive | this is 0\n");
  EXPECT_EQ(says(w("score: all; divide: sum + f[j]")), "11:54: a divisor belongs to no key | this depends on j\n");
}

TEST(Weights, Mass) {
  Result r = in(w("score: all; where: j <= i; mass: exp(f[j])"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("= weights [j, T] % where % mass % : [B, T, H] weights")) << r.program;
  EXPECT_TRUE(in(w("score: all; mass: exp(f[j]); sink: 1")).has("= weights [j, T] % mass % sink % :"));
  // Of free weights it is a factor.
  r = in(w("score: all; weight: relu; mass: exp(f[j]); divide: none"));
  EXPECT_TRUE(r.has("weights free [j, T] % : ")) << r.program;
  EXPECT_EQ(says(w("score: all; mass: 2")), "11:46: warning: this mass cancels | all weights of a row have it, and are "
                                            "divided by their sum; it matters with a sink or in 'merge'\n");
  EXPECT_EQ(says(w("score: all; mass: 2", "p.lse")), "");
  EXPECT_EQ(says(w("score: all; mass: j > i")), "11:46: expected a number | this is bool on [j, T]\n");
}

TEST(Weights, Statistics) {
  EXPECT_TRUE(in(w("score: all; where: j <= i", "p.count")).has("stat mass % : [T] real"));
  EXPECT_TRUE(in(w("score: all; weight: sigmoid; divide: none", "p.mass")).has("stat mass"));
  // The greatest score, of exp weights of the same score.
  Result r = in(w("score: all; weight: sigmoid; where: j <= i; divide: none", "p.max"));
  EXPECT_TRUE(r.has("= weights [j, T] % where %") && r.has("stat max")) << r.program;
  EXPECT_EQ(says(w("score: all; weight: sigmoid; divide: none", "p.lse")),
            "12:16: 'lse' belongs to exp weights | these have a sum: '.mass'\n");
  EXPECT_EQ(says(w("weight: exp(all); divide: none", "p.max")),
            "12:16: weights without a score have no 'max' | expected 'score: ..' and a 'weight' made of it\n");
}

std::string branches(const std::string &near, const std::string &far, const std::string &use = "merge(near, far)(v)") {
  return "  let near = weights over S { " + near + " }\n  let far = weights over S { " + far +
         " }\n  output o = " + use;
}

TEST(Merge, OneSoftmaxOfBranches) {
  Result r =
      in(branches("score: all; where: 0 <= i - j < 64; sink: 1", "score: 2 * all; where: j <= i and not near.where"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("= weights [j, T] % where % : [B, T, H]")) << r.program; // its sink is in the common divisor
  EXPECT_TRUE(r.has("= weights [j_2, T] % where % : [B, T, H]")) << r.program;
  EXPECT_FALSE(r.has(" sink ")) << r.program;
  EXPECT_TRUE(r.has("stat lse") && r.has("logaddexp")) << r.program;
  for (const char *part : {"lse", "max", "mass", "count"})
    EXPECT_EQ(says(branches("score: all; where: i == j", "score: all; where: i != j",
                            "merge(near, far)." + std::string(part))),
              "")
        << part;
}

TEST(Merge, DisjointnessIsProved) {
  for (auto [near, far] : std::initializer_list<std::pair<const char *, const char *>>{
           {"0 <= i - j < 64", "j <= i and not near.where"},
           {"0 <= i - j < 64", "i - j >= 64"},
           {"i - j < N", "j <= i - N"},
           {"j > i", "j <= i"},
           {"j % 2 == 0", "j % 2 == 1"},
           {"doc[i] == doc[j]", "doc[i] != doc[j]"},
           {"doc[j] == 0", "doc[j] > 0 and j <= i"},
           {"block[Sb](j) >= block[Sb](i) - 1", "block[Sb](j) < block[Sb](i) - 1"},
           {"block[Sb](j) == block[Sb](i)", "block[Sb](j) < block[Sb](i)"},
           {"if doc[i] == 0 then j < i else j == i", "if doc[i] == 0 then j >= i else j != i"},
           {"2 * j < 6", "j >= 3"},
           {"false", "j <= i"}})
    EXPECT_EQ(says(branches("score: all; where: " + std::string(near), "score: all; where: " + std::string(far)), "",
                   "axis Sb = S / 64")
                  .find("may share"),
              std::string::npos)
        << near << " | " << far;
}

TEST(Merge, SharedKeysAreRefused) {
  for (auto [near, far] :
       std::initializer_list<std::pair<const char *, const char *>>{{"0 <= i - j < 64", "j <= i"},
                                                                    {"0 <= i - j < 64", "i - j >= 63"},
                                                                    {"j % 2 == 0", "j % 3 == 1"},
                                                                    {"doc[i] == doc[j]", "doc[j] == 0"},
                                                                    {"2 * j <= 6", "j >= 3"},
                                                                    {"not (j > i)", "j <= i"}})
    EXPECT_EQ(says(branches("score: all; where: " + std::string(near), "score: all; where: " + std::string(far))),
              "13:26: 'near' and 'far' may share keys | add 'and not near.where' to one 'where', or count shared keys "
              "twice: 'merge(.., multiset)'\n")
        << near << " | " << far;
  EXPECT_EQ(says(branches("score: all", "score: all; where: j <= i", "merge(near, far, multiset)(v)")), "");
}

TEST(Merge, Misused) {
  EXPECT_EQ(says(branches("score: all; where: j < i", "score: all; where: j >= i; weight: relu")),
            "13:26: 'merge' joins exp weights | outputs of other weights are added: p1(v) + p2(v)\n");
  EXPECT_EQ(says(branches("score: all; where: j < i", "score: all; where: j >= i; divide: none")),
            "13:26: 'merge' joins weights of 'divide: sum' | outputs of other weights are added: p1(v) + p2(v)\n");
  EXPECT_EQ(says(branches("score: all", "score: all", "merge(near)(v) + far(v)")),
            "13:14: 'merge' joins two or more weights | expected 'merge(near, far)'\n");
  EXPECT_EQ(says(branches("score: all", "score: all", "merge(near, v)(v) + far(v)")),
            "13:26: 'merge' joins weights | this is real on [B, S, H, V]\n");
  EXPECT_EQ(says(branches("score: all", "score: all", "merge(near of v, far of v)"))
                .find("13:20: not in this version: values of their own in 'merge'"),
            0u);
}

TEST(Merge, IsBounded) {
  std::string lets = "  let p0 = weights over S { score: all; where: j == i }\n", names = "p0";
  for (int k = 1; k <= 16; ++k) {
    lets +=
        "  let p" + std::to_string(k) + " = weights over S { score: all; where: j == i - " + std::to_string(k) + " }\n";
    names += ", p" + std::to_string(k);
  }
  EXPECT_EQ(says(lets + "  output o = merge(" + names + ")(v)"),
            "28:14: 'merge' joins at most 16 weights | here are 17\n");
  EXPECT_EQ(says(lets + "  output o = merge(" + names.substr(4) + ")(v) + p0(v)"), "");
}

TEST(Weights, PredicateAndScoreOfAnotherBranch) {
  Result r = in(
      branches("score: all; where: doc[j] == 1", "score: near.score * 2; where: not near.where", "near(v) + far(v)"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("rename [S, j_2] % : [B, j_2] int")) << r.program;
  EXPECT_EQ(
      says(w("score: all", "p.where")).find("12:14: '.where' is a value for each query and key | use it in the fields"),
      0u);
  EXPECT_EQ(
      says(w("score: all", "p.score")),
      "12:14: '.score' is a value for each query and key | use it in another walk, or name rows: 'p.score[i in ..]'\n");
  EXPECT_EQ(says(w("score: all") + "\n  let r = weights over T { score: 1; where: p.where }\n  output u = r(q)"),
            "13:45: 'p.where' is of a walk over 'S' | this one walks 'T'\n");
  EXPECT_EQ(says(branches("weight: exp(all); divide: none", "score: near.score", "near(v) + far(v)")),
            "12:37: these weights have no score | their 'weight' is an expression of its own\n");
}

TEST(Weights, RowsOfScores) {
  std::string input = "  input at : i32 [B, N]\n";
  Result r = in(input + w("score: all + f[i] * (i - j); where: j <= i", "p.score[i in at]"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("gather [T] % % : [B, H, D, N] real")) << r.program;
  EXPECT_TRUE(r.has("gather [S] % % : [B, H, N] real")) << r.program; // f[i], keys at the position
  EXPECT_TRUE(r.has("constant -inf") && r.has("rename [j, S]")) << r.program;
  EXPECT_FALSE(r.has("query_position")) << r.program;
  EXPECT_TRUE(r.has("output o : [B, H, N, S]") || r.has("output o : [B, S, H, N]")) << r.program;
  EXPECT_EQ(says(input + w("score: all", "p.score[j in at]")),
            "13:22: expected 'i', the query's position | as in '.score[i in idx]'\n");
  EXPECT_EQ(says(w("score: all", "p.score[i in f]")),
            "12:27: the rows are integers on an axis of their own | this is real on [B, S, H]; expected such as 'input "
            "idx : i32 [B, N]'\n");
  EXPECT_EQ(says(input + w("score: 2; where: j <= i", "p.score[i in at]")), "");
  EXPECT_EQ(says(input + w("score: 2", "p.score[i in at]")), "13:14: this score does not depend on the key\n");
}

TEST(Weights, ReductionsOverBlocks) {
  Result r = in(w("score: all; where: j <= i", "max[S in Sb](p)"), "causal", "axis Sb = S / 64");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("block_reduce max [j, Sb] % :") && r.has("stat lse")) << r.program;
  EXPECT_TRUE(in(w("score: all; weight: relu", "sum[S in Sb](p)"), "", "axis Sb = windows(S, 32, step: 16)")
                  .has("block_reduce sum [j, Sb]"));
  r = in(branches("score: all; where: j < i", "score: all; where: j >= i", "sum[S in Sb](merge(near, far))"), "",
         "axis Sb = S / 64");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("block_reduce sum [j, Sb]") && r.has("block_reduce sum [j_2, Sb]")) << r.program;
  EXPECT_EQ(says(w("score: all", "sum[S](p)")),
            "12:14: weights are reduced over blocks of their keys | expected such as "
            "'sum[S in Sb](p)'; the sum of all is p(1)\n");
  EXPECT_EQ(says(w("score: all", "sum[S in N](p)")),
            "12:23: 'N' is no axis of blocks of 'S' | expected 'axis N = S / 64'\n");
  EXPECT_EQ(says(w("score: all", "sum[T in Tb](p)"), "", "axis Tb = T / 64"),
            "12:18: these weights walk 'S' | expected 'S in ..'\n");
  EXPECT_EQ(says(w("score: all", "min[S in Sb](merge(p, p, multiset))"), "", "axis Sb = S / 64"),
            "12:14: not in this version: this reduction of merged weights | works now: sum and max\n");
  EXPECT_EQ(says(w("score: all", "p")), "12:14: weights have no place in memory | apply them to values: p(v); also "
                                        "max[S in Sb](p), p.score[i in idx]\n");
}

TEST(Walks, PositionsGiven) {
  std::string input = "  input pos_q : i32 [B, T]\n  input pos_k : i32 [B, S]\n";
  Result r = in(input + w("score: all; at: (i: pos_q, j: pos_k); where: j <= i"), "causal");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("le % % : [B, j, T] bool")) << r.program;
  EXPECT_FALSE(r.has("query_position")) << r.program;
  EXPECT_TRUE(in("  param shift : i32\n" + w("score: all; at: (i: i + shift); where: j <= i")).has("query_position"));
  EXPECT_EQ(says(input + w("score: all; at: (i: f[j]); where: j <= i")).substr(0, 42),
            "13:48: a position is an integer | this is ");
  EXPECT_EQ(says(input + w("score: all; at: (j: pos_q[i]); where: j <= i")),
            "13:48: the key's position depends on the query | this is int on [B, T]\n");
  EXPECT_EQ(says(input + w("score: all; at: (i: pos_k[j]); where: j <= i")),
            "13:48: the query's position depends on the key | this is int on [B, j]\n");
  EXPECT_EQ(says(input + w("score: all; at: (m: 1); where: j <= i")),
            "13:45: unknown position | expected 'at: (i: .., j: ..)'\n");
  EXPECT_EQ(says(input + w("score: all; at: (i: 1); at: (i: 2)")), "13:52: field 'at' stands twice\n");
  EXPECT_EQ(says(input + w("score: all + f[i]; at: (i: pos_q, j: pos_k)")),
            "13:41: 'f' has no row at a given position | it is on [B, S, H]; with 'at', [i] takes arrays on 'T'\n");
  EXPECT_EQ(says(w("score: all; align: 1")),
            "11:40: 'align' belongs to the axis of the keys | expected 'axis S keys T align start'\n");
}

TEST(Walks, AlignedAtTheStart) {
  Result r = in("  input x : [B, L]\n  let p = weights over L { score: sum[D](q[i]) * x[j] + x[i]; where: j <= i }\n"
                "  output o = p(x) + pos[T] * 0\n  output u = all2\n",
                "", "axis L keys T align start");
  EXPECT_NE(r.messages.find("unknown name 'all2'"), std::string::npos);
  r = analyzeText("fovea 1\nattention a causal {\n  axis B, T, D\n  axis L keys T align start\n  input q : [B, T, D]\n"
                  "  input x : [B, L]\n  let p = weights over L { score: sum[D](q[i]) * x[j] + x[i]; where: j <= i }\n"
                  "  output o = p(x) + pos[T] * 0\n}\n");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("gather [L] % % : [B, T] real")) << r.program; // x[i] is x[L: index[T]]
  EXPECT_FALSE(r.has("query_position")) << r.program;
  EXPECT_EQ(says("  output o = q", "", "axis L keys T align stat")
                .find("5:23: unknown alignment 'stat' | expected 'start' or 'end' | start?"),
            0u);
}

TEST(Walks, BlocksAsKeys) {
  std::string walk = "  let kb = mean[S in Sb](k)\n  let vb = mean[S in Sb](v)\n"
                     "  let p = weights over Sb as c { score: dot[D](q[i], kb[c]) + f[i]; where: ";
  std::string end = " }\n  output o = p(vb)\n  output u = all1\n";
  end = " }\n  output o = p(vb)";
  for (const char *axes :
       {"axis Sb = S / 64", "axis Sb = windows(S, 32, step: 16)", "axis Sb = windows(S, 48, step: 48)"}) {
    Result r = in(walk + "last[Sb](c) <= i" + end, "causal", axes);
    EXPECT_EQ(r.messages, "") << axes;
    EXPECT_TRUE(r.has("axis c walks Sb for T") && r.has("query_position [T, S]") && r.has("row_at [S, T]"))
        << r.program;
    EXPECT_TRUE(r.has("block_reduce mean [S, Sb] % : [B, Sb, H, D] real")) << r.program;
    EXPECT_EQ(says(walk + "start[Sb](c) <= i" + end, "causal", axes)
                  .find("13:76: this 'where' does not imply last[Sb](c) <= i"),
              0u)
        << axes;
  }
  EXPECT_EQ(says(walk + "c < block[Sb](i)" + end, "causal", "axis Sb = S / 64"), "");
  EXPECT_EQ(says(walk + "c < i // 64" + end, "causal", "axis Sb = S / 64"), "");
  EXPECT_EQ(says(walk + "64 * c + 63 <= i" + end, "causal", "axis Sb = S / 64"), "");
  EXPECT_NE(says(walk + "c <= block[Sb](i)" + end, "causal", "axis Sb = S / 64")
                .find("it allows keys up to 63 after the query"),
            std::string::npos);
  EXPECT_NE(says(walk + "c <= i" + end, "causal", "axis Sb = S / 64").find("does not imply"), std::string::npos);
  EXPECT_NE(says("  let kb = mean[S in Sb](k)\n  let p = weights over Sb as c { score: dot[D](q[i], kb[c]) }\n  output "
                 "o = p(kb)",
                 "causal", "axis Sb = S / 64")
                .find("a causal attention needs 'where: last[Sb](c) <= i'"),
            std::string::npos);
}

TEST(Walks, OverAFactorAxis) {
  std::string head = "fovea 1\nattention a set {\n  axis B, D\n  axis Y = Wy * M\n  axis X = Wx * N\n  axis P = M * N\n"
                     "  input q, k : [B, Y, X, D]\n  input line : [M]\n";
  Result r =
      analyzeText(head + "  let p = weights over P { score: dot[D](q[i], k[j]) + line[i] - line[j]; where: i != j }\n"
                         "  output o = p(k)\n}\n");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis j walks P for P")) << r.program;
  EXPECT_TRUE(r.has("flatten [M, N, j] % : [B, Wy, j, Wx, D] real")) << r.program;
  EXPECT_TRUE(r.has("weights [j, P] % where % : [B, Wy, M, Wx, N] weights")) << r.program;
  EXPECT_TRUE(r.has("gather [M] % % : [j] real")) << r.program; // an array on some of the factors
  EXPECT_FALSE(r.has("query_position")) << r.program;
  // One axis of a grid with the others as batch, and a result as the value of the next pass.
  r = analyzeText(head + "  let row = weights over N { score: dot[D](q[i], k[j]) - abs(i - j) }\n"
                         "  let column = weights over M { score: dot[D](q[i], k[j]) + line[j] }\n"
                         "  output o = column(row(k)) + 0 * size(P)\n}\n");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("weights [j, N] % : [B, Wy, M, Wx, N] weights")) << r.program;
  EXPECT_TRUE(r.has("rename [M, j_2] % : [B, Wy, j_2, Wx, N, D] real")) << r.program;
}

TEST(Axes, BlocksAndWindows) {
  Result r = in("  output o = max[S in Sb](f) + start[Sb] + last[Sb] + block[Sb](index[S]) as [S: S2]", "",
                "axis Sb = S / 64");
  EXPECT_NE(r.messages.find("unknown axis 'S2'"), std::string::npos);
  r = in("  output o = max[S in Sb](f) + start[Sb] * last[Sb]\n  output u = kd\n  let kd = 1", "", "axis Sb = S / 64",
         {{"S", "130"}});
  r = in("  output o = max[S in Sb](f) + start[Sb] * last[Sb]\n  output u = block[Sb](index[S]) + start[Sb](3)", "",
         "axis Sb = S / 64", {{"S", "130"}});
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis Sb = S / 64 size 3")) << r.program;
  EXPECT_TRUE(r.has("block_reduce max [S, Sb] % : [B, Sb, H] real") && r.has("floordiv")) << r.program;
  r = in("  output o = sum[S in Sc](f) + last[Sc]", "", "axis Sc = windows(S, 32, step: 16)", {{"S", "130"}});
  EXPECT_TRUE(r.has("axis Sc = windows S of 32 step 16 size 7")) << r.program;
  EXPECT_TRUE(
      in("  output o = sum[S in Sc](f)", "", "axis Sc = windows(S, 32, step: 16)", {{"S", "31"}}).has("size 0"));
  EXPECT_TRUE(in("  output o = sum[S in Sc](f)", "", "axis Sc = windows(S, 32)").has("of 32 step 32"));
  // A const gives the extent.
  EXPECT_TRUE(in("  const n : int = 16\n  output o = sum[S in Sb](f)", "", "axis Sb = S / n").has("axis Sb = S / 16"));
  EXPECT_TRUE(in("  const n : int = 16\n  output o = sum[S in Sb](f)", "", "axis Sb = S / n", {{"n", "8"}})
                  .has("axis Sb = S / 8"));
}

TEST(Axes, MisusedBlocks) {
  EXPECT_EQ(says("  output o = q", "", "axis Sb = S / 0"),
            "5:17: expected a whole number from 1 to 2147483647 | a number, or a const that has one by its text\n");
  EXPECT_EQ(says("  output o = q", "", "axis Sb = S / x").find("5:17: expected a whole number"), 0u);
  EXPECT_EQ(says("  output o = q", "", "axis Sb = Q / 64"), "5:13: unknown axis 'Q' | declare it with 'axis Q'\n");
  EXPECT_EQ(says("  output o = q", "", "axis Sb = Sb / 64"), "5:13: axis 'Sb' is made of itself\n");
  EXPECT_EQ(says("  output o = q", "", "axis Sb = 2 / 64"), "5:13: expected the name of the axis that has blocks\n");
  EXPECT_EQ(says("  output o = q", "", "axis Sb = window(S, 64)"),
            "5:13: unknown relation of axes | expected such as 'windows(S, 32, step: 16)'\n");
  EXPECT_EQ(says("  output o = q", "", "axis Sa = Sb / 2, Sb = Sa / 2"), "5:8: axis 'Sa' is made of itself\n");
  EXPECT_EQ(says("  output o = max[S in Sb](f)", "", "axis Sb = S / 64", {{"S", "64"}, {"Sb", "2"}}),
            "5:8: axis 'Sb' has the size 2, but its relation gives 1\n");
  EXPECT_EQ(says("  output o = max[S in N](f)"),
            "11:23: 'N' is no axis of blocks of 'S' | expected 'axis N = S / 64'\n");
  EXPECT_EQ(says("  output o = start[N]"), "11:20: 'N' is no axis of blocks | expected such as 'axis N = S / 64'\n");
  EXPECT_EQ(says("  output o = block[Sc](1) + sum[S in Sc](f)", "", "axis Sc = windows(S, 32, step: 16)"),
            "11:20: 'Sc' has windows, which may share elements | 'block' takes blocks, such as 'axis Sb = S / 64'\n");
  EXPECT_EQ(says("  output o = block[Sb](0.5)", "", "axis Sb = S / 64"),
            "11:24: 'block' takes an integer | this is real on []\n");
  EXPECT_EQ(says("  output o = block[Sb](1, 2)", "", "axis Sb = S / 64"), "11:14: 'block' takes 1 argument\n");
  EXPECT_EQ(says("  output o = start[S, T]"), "11:14: 'start' takes one axis | expected 'start[Sb]'\n");
  EXPECT_EQ(says("  output o = cumsum(f)"), "11:14: 'cumsum' works on one axis | expected 'cumsum[T](x)'\n");
}

TEST(Axes, ConcatenationAndViews) {
  std::string axes = "axis E = R + P\n  axis L = lo: F + hi: F\n  static R, P, F";
  std::string inputs = "  input e : [B, S, E]; l : [B, L]; r : [B, R]; g : [B, F]\n";
  Result r = in(inputs + "  output o1 = sum[R](e[R]) + sum[P](e[P])\n  output o2 = l[lo] * l[hi] + g\n"
                         "  output o3 = cat[E](r, e[P])\n  output o4 = cat[L](g, 2 * g)\n  output o5 = sum[lo](l[hi])",
                "", axes, {{"R", "8"}, {"P", "4"}, {"F", "3"}});
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis E = R + P size 12")) << r.program;
  EXPECT_TRUE(r.has("axis L = F + F size 6")) << r.program;
  EXPECT_TRUE(r.has("slice [E, R] % : [B, S, R] real") && r.has("slice [E, P, R] % : [B, S, P] real")) << r.program;
  EXPECT_TRUE(r.has("slice [L, F, F] % : [B, F] real")) << r.program;
  EXPECT_TRUE(r.has("concat [E, R, P] % % : [B, E, S] real")) << r.program;
  EXPECT_TRUE(r.has("concat [L, F, F] % % : [B, L] real")) << r.program;
  // In a walk: a view of a whole array, and of its row.
  r = in(inputs + "  let p = weights over S { score: all + sum[P](e[P][j]) + sum[R](e[j][R]) }\n  output o = p(e[R])\n"
                  "  output u = l * sum[F](g) + r[R: 0]",
         "", axes);
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("expect [j, T] % % : [B, T, H, R] real")) << r.program;
  // The size of the whole, or of a part, gives the rest.
  EXPECT_TRUE(in(inputs + "  output o = e * sum[R](r) * sum[F](g) * sum[L](l)", "", axes, {{"E", "12"}, {"P", "4"}})
                  .has("axis R size 8"));
}

TEST(Axes, MisusedConcatenation) {
  std::string axes = "axis E = R + P\n  axis L = F + F";
  std::string inputs = "  input e : [B, E]; l : [B, L]; r : [B, R]; g : [B, F]\n";
  auto error = [&](const std::string &value) { return says(inputs + "  output o = " + value, "", axes); };
  EXPECT_EQ(error("e[F]"),
            "13:16: 'e' has no axis that 'F' is a part of | it is on [B, E]; expected such as 'axis E = F + P'\n");
  EXPECT_EQ(error("l[F]"), "13:16: 'F' stands in 'L' more than once | name the parts: 'axis L = lo: F + hi: F'\n");
  EXPECT_EQ(error("(e * r)[R]"), "13:14: this view would have the axis 'R' twice | '(e * r)' is on [B, E, R]\n");
  EXPECT_EQ(error("cat[E](r)"), "13:14: 'E' has 2 parts | here are 1 arguments\n");
  EXPECT_EQ(error("cat[E](r, r)"), "13:24: part 2 of 'E' is 'P' | this is real on [B, R]\n");
  EXPECT_EQ(error("cat[D](r, r)"), "13:18: 'D' has no parts | expected such as 'axis D = R + P'\n");
  EXPECT_EQ(error("cat[E](r, P: r)"), "13:24: 'cat' has no named arguments | its arguments are the parts in order\n");
  EXPECT_EQ(error("cat(r, r)"), "13:14: 'cat' works on one axis | expected 'cat[E](a, b)'\n");
  EXPECT_EQ(says("  input x : [B, K2, K3]\n  output o = x[R]", "", "axis K2 = R + P, K3 = R + Q").substr(0, 54),
            "12:14: 'R' is a part of several axes here | 'x' is on ");
  EXPECT_EQ(says(inputs + "  output o = e", "", axes, {{"E", "4"}, {"P", "4"}}),
            "5:8: axis 'E' has the size 4, which leaves nothing for 'R'\n");
}

TEST(Axes, ProductsOfFeatures) {
  std::string axes = "axis F = 1 + R + R * P, G = R * P + 1";
  std::string inputs = "  input x : [B, R]; y : [B, P]\n  param a : [F]\n  param c : [G]\n";
  Result r = in(inputs + "  output o = sum[F](a * cat[F](1, x, outer[R, P](x, y)))\n"
                         "  output u = sum[G](c * cat[G](outer[R, P](x, y), 2))",
                "", axes, {{"R", "3"}, {"P", "4"}});
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis F = of_1 + R + R_P size 16")) << r.program;
  EXPECT_TRUE(r.has("axis R_P = R outer P size 12")) << r.program;
  EXPECT_TRUE(r.has("axis G = R_P + of_1 size 13")) << r.program;
  // One axis with itself.
  r = in("  input x : [B, R]\n  output o = outer[R](x, x)", "", "axis F = R * R + R", {{"R", "3"}});
  EXPECT_TRUE(r.has("axis R_R = R outer R size 9")) << r.program;
  EXPECT_TRUE(r.has("axis R_again = R share 1")) << r.program;
}

TEST(Axes, MisusedProductsOfFeatures) {
  std::string inputs = "  input x : [B, R]; y : [B, P]; z : [B, R, P]\n";
  auto error = [&](const std::string &value) { return says(inputs + "  output o = " + value, "", "axis R, P"); };
  EXPECT_EQ(error("outer(x, y)"),
            "12:14: 'outer' multiplies all elements of one array along an axis with all of another | "
            "expected 'outer[D](a, b)' or 'outer[D, E](a, b)'\n");
  EXPECT_EQ(error("outer[R, P](y, x)"),
            "12:26: 'outer' takes an array along 'R', not along 'P' | this is real on [B, P]\n");
  EXPECT_EQ(error("outer[R](x, y)"), "12:26: 'outer' takes an array along 'R' | this is real on [B, P]\n");
  EXPECT_EQ(error("outer[R, P](x, z)"),
            "12:29: 'outer' takes an array along 'P', not along 'R' | this is real on [B, R, P]\n");
  EXPECT_EQ(says("  output o = v", "", "axis R\n  axis M = R + 0").substr(0, 4), "6:16");
}

TEST(Indices, Gathers) {
  Result r = in(w("score: all + table[N: clamp(j - i, 0, N - 1)]"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("gather [N] % % : [H, j, T] real")) << r.program;
  EXPECT_TRUE(in("  output o = table[N: 0] + table[N: floor(f * 3)]").has("gather [N] % % : [H, B, S] real"));
  EXPECT_TRUE(
      in("  input idx : i32 [B, N]\n  output o = k[S: idx] + doc[S: idx]").has("gather [S] % % : [B, H, D, N] real"));
  EXPECT_TRUE(in("  output o = table[N: 1, H: 0]").has("gather [H] % % : [] real"));
  EXPECT_EQ(says(w("score: all + f[S: doc[j]]")), ""); // the array whole
  EXPECT_EQ(says("  output o = table[D: 0]"), "11:20: 'table' has no axis 'D' | it is on [H, N]\n");
  EXPECT_EQ(says("  output o = table[N: 0.5]"),
            "11:23: an index is an integer | this is real on []; floor(..) makes one\n");
  EXPECT_EQ(says(w("score: all + f[H: 0]")),
            "11:41: 'f' has the walked axis 'S' and needs a subscript here | expected 'f[j]' before this one\n");
  EXPECT_EQ(
      says("  output o = table[N: 0, 1]").find("11:14: not in this version: this subscript | works now: one kind"), 0u);
}

TEST(Indices, FloorAndRoundAreIntegers) {
  Result r = in("  output o = floor(f) // 2 + round(f) % 3");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("floor % : [B, S, H] int") && r.has("round % : [B, S, H] int")) << r.program;
  EXPECT_TRUE(r.has("output o : i32")) << r.program;
  EXPECT_TRUE(in("  output o = floor(f) * 0.5").has("to_real"));
  // Constants as on the machine: half to even, saturated.
  EXPECT_TRUE(in("  output o = index[N] + round(2.5)").has("constant 2 : [] int"));
  EXPECT_TRUE(in("  output o = index[N] + floor(-1e20)").has("constant -2147483648 : [] int"));
  EXPECT_TRUE(in("  output o = floor(index[N])").has("output o % : [N] int"));
}

TEST(Indices, PrefixSums) {
  Result r = in("  output o = cumsum[S](f) + cummean[S](f)", "causal");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("scan [S] % : [B, S, H] real") && r.has("index [S]") && r.has("= div")) << r.program;
  EXPECT_TRUE(in("  output o = cumsum[S](doc)").has("scan [S] % : [B, S] int"));
  EXPECT_EQ(says("  output o = cumsum[T](f)"), "11:24: 'f' has no axis 'T' | it is on [B, S, H]\n");
}

TEST(Indices, Rope) {
  Result r = in("  output o = rope(q, pos[T]) + rope[D](q, pos[T], base: 100)", "causal", "", {{"D", "64"}});
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis D_half = D share 2 size 32")) << r.program;
  EXPECT_TRUE(r.has("slice [D, D_half] %") && r.has("slice [D, D_half, D_half] %")) << r.program;
  EXPECT_TRUE(r.has("concat [D, D_half, D_half] % % : [B, T, H, D] real")) << r.program;
  EXPECT_TRUE(r.has("cos") && r.has("sin") && r.has("query_position [T, S]")) << r.program;
  EXPECT_EQ(says("  output o = rope(q)"),
            "11:14: 'rope' takes an array and its positions | expected 'rope(x, pos[T])'\n");
  EXPECT_EQ(says("  output o = rope(q, pos[S])"),
            "11:22: these positions are on 'S', which 'q' has not | it is on [B, T, H, D]\n");
  EXPECT_EQ(says("  output o = rope[N](q, pos[T])"),
            "11:22: 'q' has no axis 'N' | it is on [B, T, H, D], the positions on [T]\n");
  EXPECT_EQ(says("  output o = rope[T](q, pos[T])"), "11:22: axis 'T' of 'q' is no axis of features that 'rope' can "
                                                     "turn | it is on [B, T, H, D], the positions on [T]\n");
  EXPECT_EQ(says("  output o = rope(q, pos[T], bse: 1)"),
            "11:30: 'rope' has no argument 'bse' | expected 'base' | base?\n");
  EXPECT_EQ(says("  output o = rope(q, pos[T], base: table)"),
            "11:36: 'base' is a single number | this is real on [H, N]\n");
  EXPECT_EQ(says("  output o = rope(q, pos[T])", "", "", {{"D", "63"}}),
            "11:14: axis 'D' has the size 63, which has no 2 equal shares\n");
  EXPECT_EQ(says("  input x : [B, T, E]\n  output o = rope(x, pos[T])", "", "axis E = R + P"),
            "12:14: not in this version: equal shares of an axis that is made of others | 'E' is a sum of axes\n");
  EXPECT_TRUE(in("  input x : [B, T, E]\n  output o = rope(x, pos[T])", "", "axis E = R + R").has("slice [E, R, R]"));
  EXPECT_EQ(says("  output o = pos[T] * q", "", "axis M keys T"),
            "11:14: 'T' has several axes of keys, so its positions are ambiguous "
            "| write "
            "index[T] + S - T\n");
}

TEST(Indices, Renaming) {
  Result r = in("  output o = sum[S](k * (k as [D: D2]))", "", "axis D2", {{"D", "64"}});
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis D2 size 64") && r.has("rename [D, D2] % : [B, S, H, D2] real")) << r.program;
  EXPECT_EQ(says("  output o = k as [T: D2]", "", "axis D2"), "11:20: 'k' has no axis 'T' | it is on [B, S, H, D]\n");
  EXPECT_EQ(says("  output o = k as [D: H]"), "11:20: 'k' has the axis 'H' already | it is on [B, S, H, D]\n");
  EXPECT_EQ(says("  output o = k as [D: D2]", "", "axis D2", {{"D", "64"}, {"D2", "32"}}),
            "11:20: 'D' has the size 64, 'D2' has 32\n");
}

TEST(Declarations, OptionalInputs) {
  Result r = in("  input bias : f32 [H, T, S] optional\n" + w("score: all + bias[i, j]"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("input bias : f32 [H, T, S] real optional\n")) << r.program;
  EXPECT_EQ(says("  param bias : f32 [H] optional\n  output o = bias"),
            "11:3: only inputs and carried memory are optional | a param without axes may have a default: 'param scale "
            ": f32 = 1'\n");
}

} // namespace
