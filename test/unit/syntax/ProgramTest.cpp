// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The programs that sema makes: nodes, axes, sharing, maps, options, sizes.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

struct Analyzed {
  std::optional<sema::Program> program;
  std::string messages;
  const sema::Attention &attention() const { return program->attentions.at(0); }
  size_t count(sema::Op op) const {
    size_t n = 0;
    for (const sema::Node &node : attention().nodes)
      n += node.op == op;
    return n;
  }
  const sema::Axis *axis(const std::string &name) const {
    for (const sema::Axis &a : attention().axes)
      if (a.name == name)
        return &a;
    return nullptr;
  }
  const sema::Declaration *declaration(const std::string &name) const {
    for (const sema::Declaration &d : attention().declarations)
      if (d.name == name)
        return &d;
    return nullptr;
  }
};

Analyzed analyzeText(const std::string &text, std::map<std::string, std::string> sets = {},
                     std::map<std::string, std::string> files = {}) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("dir/t.attn", text, diagnostics);
  sema::Options options;
  options.sets = std::move(sets);
  options.readFile = [files](std::string path) -> Result<std::string> {
    auto it = files.find(path);
    if (it == files.end())
      return Error{ErrorCode::NotFound, path};
    return it->second;
  };
  Analyzed result;
  result.program = sema::analyze(file, options, diagnostics);
  result.messages = diagnostics.render();
  return result;
}

std::string program(const std::string &body, const std::string &head = "attention a") {
  return "fovea 1\n" + head +
         " {\n  axis B, T, D, V\n  axis H = Hk * G\n  axis S keys T\n  input q, r : [B, T, H, D]\n"
         "  input k : [B, S, Hk, D]\n  input v : [B, S, Hk, V]\n  input z : [B, T, H]\n  input c : [B, S, Hk]\n"
         "  let used = 0 * (sum[D](r) + z) + V * D * S\n  let used2 = 0 * c\n"
         "  let p = weights over S { score: dot[D](q[i], k[j]) * D^-0.5 }\n" +
         body + "\n  output o9 = p(v) + used\n  output c9 = used2\n}\n";
}

TEST(Program, GroupedHeadsExpandAndComeBackInOutputs) {
  Analyzed a = analyzeText(program("  output o = p(v)"));
  ASSERT_TRUE(a.program) << a.messages;
  std::string text = print(a.attention());
  EXPECT_NE(text.find("input q : [B, T, H, D] real"), std::string::npos) << text;
  EXPECT_NE(text.find("input q : [B, T, Hk, G, D] real"), std::string::npos) << text;
  EXPECT_NE(text.find("output o : [B, T, H, V] real"), std::string::npos) << text;
  EXPECT_NE(text.find(" : [B, T, Hk, G, V] real"), std::string::npos) << text;
  EXPECT_NE(text.find("axis j walks S for T"), std::string::npos) << text;
}

TEST(Program, AccumulatorsAreShared) {
  Analyzed a =
      analyzeText(program("  let t(i, j) = dot[D](r[i], k[j])\n  output o = p(v) - (p(t * v[j]) - p(t) * p(v))"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::Expect), 3u);
  EXPECT_EQ(a.count(sema::Op::Weights), 1u);
}

TEST(Program, SumsAndProductsAreDistributed) {
  // (2 v - z v c + r . k) gives the accumulators (1, v), (c, v), (r . k, 1).
  Analyzed a = analyzeText(program("  output o = p(2 * v[j] - z[i] * v[j] * c[j] + dot[D](r[i], k[j]))"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::Expect), 3u) << print(a.attention());
  for (const sema::Node &n : a.attention().nodes)
    if (n.op == sema::Op::Expect) {
      const sema::Node &value = a.attention().nodes[n.operands[1]];
      EXPECT_TRUE(value.op == sema::Op::Rename || value.op == sema::Op::Constant) << print(a.attention());
    }
}

TEST(Program, NamedSumsOfKeyTensorsAreDistributedToo) {
  Analyzed a = analyzeText(program("  let w = v * 2 - v * c\n  output o = p(w)"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::Expect), 2u) << print(a.attention());
}

TEST(Program, ContractionLeavesTheExpectation) {
  // sum over D of r[i] * (k[j] v[j]), a feature-valued value: E[k v] contracted with r afterwards.
  Analyzed a = analyzeText(program("  output o = p(sum[D](r[i] * k[j] * v[j]))"));
  ASSERT_TRUE(a.program) << a.messages;
  std::string text = print(a.attention());
  EXPECT_NE(text.find("dot [D]"), std::string::npos) << text;
  EXPECT_NE(text.find("expect [j, T]"), std::string::npos) << text;
}

TEST(Program, SelectionByThePairIsACoefficient) {
  Analyzed a = analyzeText(program("  output o = p(if i - j < 4 then v[j] else 0)"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::Select), 1u);
}

TEST(Program, Statistics) {
  Analyzed a =
      analyzeText(program("  output a1 = p.lse\n  output a2 = p.max\n  output a3 = p.mass\n  output a4 = p.count"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::Stat), 3u); // without a predicate, the count is the size of S
  EXPECT_EQ(a.declaration("a1")->type, sema::StorageType::F32);
  EXPECT_EQ(a.declaration("o9")->type, sema::StorageType::Default);
}

TEST(Program, RowOfAKeyTensorAtTheQuery) {
  Analyzed a =
      analyzeText(program("  let w = weights over S { score: dot[D](q[i], k[j]) + c[i] - c[j]; where: i - j < 9 }\n"
                          "  output o = w(v)"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::RowAt), 1u);
  EXPECT_NE(a.axis("j_2"), nullptr);
}

TEST(Program, WalkNamesAndAttend) {
  Analyzed a = analyzeText(program("  output o = attend over S as m (query: q, key: k, value: v) {\n"
                                   "    score: 30 * tanh(score / 30)\n    where: m <= i\n  }"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_NE(a.axis("m"), nullptr);
  EXPECT_EQ(a.count(sema::Op::Tanh), 1u);
  EXPECT_EQ(a.count(sema::Op::Weights), 2u);
}

TEST(Program, DenseBiasOnQueriesAndKeys) {
  Analyzed a =
      analyzeText(program("  input bias : [H, T, S]\n"
                          "  let w = weights over S { score: dot[D](q[i], k[j]) + bias[i, j] }\n  output o = w(v)"));
  ASSERT_TRUE(a.program) << a.messages;
}

TEST(Program, DeadCodeIsDropped) {
  Analyzed a = analyzeText(program("  let w = weights over S { score: dot[D](q[i], k[j]) * 3 }\n"
                                   "  let unused = w(v)\n  output o = z"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.count(sema::Op::Weights), 1u);
  EXPECT_EQ(a.axis("j_2"), nullptr);
  EXPECT_NE(a.messages.find("warning: let 'unused' is never used"), std::string::npos);
  for (size_t k = 0; k < a.attention().nodes.size(); ++k)
    for (sema::NodeId o : a.attention().nodes[k].operands)
      EXPECT_LT(o, k);
}

TEST(Program, Sizes) {
  Analyzed a = analyzeText(program("  output o = p(v)"), {{"D", "64"}, {"H", "8"}, {"G", "4"}});
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.axis("Hk")->size, 2);
  std::vector<sema::Missing> missing = sema::missing(a.attention());
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0].name, "V");
  EXPECT_TRUE(a.axis("D")->needsSize);
  EXPECT_FALSE(a.axis("T")->needsSize);
  EXPECT_FALSE(a.axis("S")->needsSize);
}

TEST(Program, ParamsContractsAndConsts) {
  Analyzed a =
      analyzeText(program("  param scale : f32 = D^-0.5\n  param window : i32 = inf\n  param s : f32 [H] in [0, 1)\n"
                          "  input g : [B, T, H] <= D\n  const n : int\n  const m : real = 2\n"
                          "  output o = z * scale + window + s + g + n * m"),
                  {{"D", "64"}, {"m", "2.5"}});
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_DOUBLE_EQ(*a.declaration("scale")->defaultValue, 0.125);
  EXPECT_EQ(*a.declaration("window")->defaultValue, 2147483647.0);
  EXPECT_TRUE(a.declaration("s")->contract->upper->open);
  EXPECT_FALSE(a.declaration("s")->contract->lower->open);
  EXPECT_EQ(*a.declaration("g")->contract->upper->value, 64.0);
  EXPECT_EQ(a.declaration("n")->role, sema::Role::Const);
  EXPECT_EQ(a.declaration("m"), nullptr);
  bool missesN = false;
  for (const sema::Missing &m : sema::missing(a.attention()))
    missesN |= m.name == "n";
  EXPECT_TRUE(missesN);
  EXPECT_NE(print(a.attention()).find("constant 2.5"), std::string::npos);
}

TEST(Program, Options) {
  std::string text =
      program("  option reading = code | paper\n  output o = match reading { code: exp(z); paper: tanh(z) }");
  EXPECT_EQ(analyzeText(text).count(sema::Op::Exp), 1u);
  EXPECT_EQ(analyzeText(text, {{"reading", "paper"}}).count(sema::Op::Tanh), 1u);
  EXPECT_EQ(analyzeText(text, {{"reading", "paper"}}).count(sema::Op::Exp), 0u);
}

TEST(Program, MapsBindAxesByNameThenFromTheEnd) {
  std::map<std::string, std::string> files = {
      {"dir/maps/lib.attn", "fovea 1\nmap scaled(x : [E], w : [E], by : real = 2) -> [E] {\n  let n = l2norm[E](x)\n"
                            "  n * w * by * E\n}\nmap mix(x : [D], w : [D, F]) -> [F] {\n  dot[D](x, w)\n}\n"}};
  Analyzed a = analyzeText("fovea 1\nimport \"lib\" (scaled, mix)\n" +
                               program("  axis F2\n  param w : [D]\n  param m : [H, D, F2]\n"
                                       "  let kn = scaled(k, w, by: 3)\n"
                                       "  let pp = weights over S { score: dot[D](scaled(q[i], w), kn[j]) }\n"
                                       "  output o = pp(v)\n  output u = mix(q, m)\n  output n = scaled[E: D](q, w)")
                                   .substr(8),
                           {}, files);
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.messages, "");
  std::string text = print(a.attention());
  EXPECT_NE(text.find("output u : [B, T, H, F2]"), std::string::npos) << text;
}

TEST(Program, FilesMayImportEachOther) {
  std::map<std::string, std::string> files = {
      {"dir/a.attn", "fovea 1\nimport \"b\" (g)\nmap f(x : [D]) {\n  g(x) * 2\n}\n"},
      {"dir/b.attn", "fovea 1\nimport \"a\" (f)\nmap g(x : [D]) {\n  x + 1\n}\nmap h(x : [D]) {\n  f(x)\n}\n"}};
  Analyzed a =
      analyzeText("fovea 1\nimport \"a\"\nattention t {\n  axis T\n  input x : [T]\n  output o = f(x)\n}\n", {}, files);
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.messages, "");
}

TEST(Program, CompositesAndIndices) {
  Analyzed a = analyzeText(program("  output o1 = softmax[G](z) + logsumexp[G](z) + norm[H](z, eps: 0)\n"
                                   "  output o2 = rmsnorm[H](z) + layernorm[G](z) + index[H, origin: 3] + pos[T]\n"
                                   "  output o3 = clamp(z, -1, 1) + min(z, 1, 2) + logaddexp(z, 0) + gelu(z)\n"
                                   "  output o4 : i32 [T] = (pos[T] // 2) % 3\n  output o5 = if z > 0 then z else 0"));
  ASSERT_TRUE(a.program) << a.messages;
  EXPECT_EQ(a.declaration("o4")->type, sema::StorageType::I32);
  // Queries are the last tokens of their keys.
  EXPECT_EQ(a.count(sema::Op::Position), 0u);
  EXPECT_NE(print(a.attention()).find("query_position [T, S]"), std::string::npos);
}

} // namespace
