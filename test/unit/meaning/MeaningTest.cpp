// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the text means, from the text to numbers: pairs of outputs that mathematics says are equal, laws of maps, and
// published formulas written out.
#include "frontend/lowering/Lowering.h"

#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"
#include "reference/attn/Reference.h"
#include "test/unit/syntax/TestTexts.h"

#include "gtest/gtest.h"

#include <cmath>
#include <random>

using namespace fovea;
using reference::AxisSizes;
using reference::Tensor;
using reference::Tensors;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Evaluates with normal reals, and integers from 0 to 5 unless `given`.
Tensors run(const sema::Attention &attention, const syntax::SourceMap &sources, const AxisSizes &sizes,
            Tensors given = {}) {
  mlir::MLIRContext context;
  sema::Program program;
  program.attentions.push_back(attention);
  mlir::OwningOpRef<mlir::ModuleOp> module = lower(program, sources, context);
  if (!module) {
    ADD_FAILURE() << "not lowered: " << print(attention);
    return {};
  }
  auto op = *module->getOps<attn::AttentionOp>().begin();
  AxisSizes known;
  for (const sema::Axis &a : attention.axes)
    if (auto it = sizes.find(a.name); it != sizes.end() && !a.size)
      known[a.name] = it->second;
  llvm::Expected<AxisSizes> all = reference::inferSizes(op, {}, known);
  if (!all) {
    ADD_FAILURE() << llvm::toString(all.takeError());
    return {};
  }
  std::mt19937 engine(1);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> integer(0, 5);
  for (const sema::Declaration &d : attention.declarations) {
    if (d.role == sema::Role::Output || given.count(d.name))
      continue;
    Tensor t;
    int64_t elements = 1;
    for (sema::AxisId a : d.declaredAxes) {
      t.shape.push_back((*all)[attention.axes[a].name]);
      elements *= t.shape.back();
    }
    for (int64_t k = 0; k < elements; ++k)
      t.data.push_back(d.kind == sema::Kind::Int ? integer(engine) : normal(engine));
    given[d.name] = std::move(t);
  }
  llvm::Expected<Tensors> outputs = reference::evaluate(op, *all, given);
  if (!outputs) {
    ADD_FAILURE() << llvm::toString(outputs.takeError());
    return {};
  }
  return std::move(*outputs);
}

Tensors runText(const std::string &text, const AxisSizes &sizes, Tensors given = {}) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse(std::string(FOVEA_SOURCE_DIR) + "/examples/t.attn", text, diagnostics);
  std::optional<sema::Program> program = sema::analyze(file, test::reading(), diagnostics);
  if (!program) {
    ADD_FAILURE() << diagnostics.render() << text;
    return {};
  }
  return run(program->attentions[0], diagnostics.sources, sizes, std::move(given));
}

void expectEqual(const Tensor &a, const Tensor &b, const std::string &what, double tolerance = 1e-11) {
  ASSERT_EQ(a.data.size(), b.data.size()) << what;
  ASSERT_FALSE(a.data.empty()) << what;
  for (size_t k = 0; k < a.data.size(); ++k) {
    if (std::isinf(b.data[k])) {
      EXPECT_EQ(a.data[k], b.data[k]) << what << ", element " << k;
      continue;
    }
    ASSERT_NEAR(a.data[k], b.data[k], tolerance * (1 + std::fabs(b.data[k]))) << what << ", element " << k;
  }
}

const AxisSizes kSizes = {{"B", 2}, {"T", 7}, {"S", 11}, {"H", 3}, {"D", 4}, {"V", 3}, {"N", 5}, {"R", 4}, {"P", 2}};

/// Both sides have the same value, for T below, at and above S.
void same(const std::string &left, const std::string &right, const std::string &lets = "",
          const std::string &axes = "") {
  for (int64_t queries : {7, 11, 13}) {
    AxisSizes sizes = kSizes;
    sizes["T"] = queries;
    std::string text = "fovea 1\nattention a {\n  axis B, T, H, D, V, N\n  axis S keys T\n  " + axes +
                       "\n  input q : [B, T, H, D]\n  input k : [B, S, H, D]\n  input v : [B, S, H, V]\n"
                       "  input f : f32 [B, S, H]; g : f32 [B, T, H]; word : i32 [B, S]; at : i32 [B, N]\n"
                       "  let s(i, j) = dot[D](q[i], k[j]) * 0.5\n  let used = f + word + 0 * at * g * q\n" +
                       lets + "\n  output left : f32 [B, T, H, V] = " + left +
                       "\n  output right : f32 [B, T, H, V] = " + right + "\n  output rest = used\n}\n";
    Tensors outputs = runText(text, sizes);
    expectEqual(outputs["left"], outputs["right"],
                left + " = " + right + " with " + std::to_string(queries) + " queries");
  }
}

std::string let(const std::string &name, const std::string &fields) {
  return "  let " + name + " = weights over S { " + fields + " }\n";
}

TEST(Meaning, DivisorsOfSoftmaxAndOfExponentials) {
  // The same weights by two ways: relative to the greatest score, and as they are.
  for (const char *divide :
       {"sum", "sum + 0.25", "sum + exp(g[i])", "max(sum, 2)", "max(sum, exp(g[i]))", "count", "none"})
    for (const char *where : {"j <= i", "j < i and word[j] > 2", "i - j < 3 and word[i] == word[j]", "true"}) {
      std::string end = "; where: " + std::string(where) + "; divide: " + divide;
      same("p(v)", "u(v)", let("p", "score: s" + end) + let("u", "weight: exp(s)" + end));
      same("p(s * v[j]) - 2 * p(v)", "u(s * v[j] - 2 * v[j])",
           let("p", "score: s" + end) + let("u", "weight: exp(s)" + end));
    }
}

TEST(Meaning, SinksAndMasses) {
  same("p(v)", "u(v)",
       let("p", "score: s; where: j <= i; sink: g[i], 0.5") +
           let("u", "weight: exp(s); where: j <= i; divide: sum + exp(g[i]) + exp(0.5)"));
  same("p(v)", "u(v)",
       let("p", "score: s; where: j <= i; mass: exp(f[j]); sink: 0") +
           let("u", "score: s + f[j]; where: j <= i; sink: 0"));
  same("p(v) + p.lse", "u(v) + u.lse",
       let("p", "score: s; where: j <= i; mass: exp(f[j])") + let("u", "score: s + f[j]; where: j <= i"));
  same("p(v)", "u(v)", let("p", "score: s; mass: exp(g[i]); divide: none") + let("u", "score: s + g[i]; divide: none"));
  same("p(v)", "u(v)",
       let("p", "weight: exp(s); mass: f[j]; divide: none") + let("u", "weight: f[j] * exp(s); divide: none"));
  // What is not divided by its sum does not feel a sink.
  for (const char *divide : {"none", "count"})
    same("p(v)", "u(v)",
         let("p", "score: s; where: j <= i; sink: g[i]; divide: " + std::string(divide)) +
             let("u", "score: s; where: j <= i; divide: " + std::string(divide)));
  same("p(v)", "u(v) / max(u.mass + exp(g), 3)",
       let("p", "score: s; where: j <= i; sink: g[i]; divide: max(sum, 3)") +
           let("u", "weight: exp(s); where: j <= i; divide: none"));
}

TEST(Meaning, WeightsByOtherFunctions) {
  same("p(v)", "u(v)",
       let("p", "score: s; where: j <= i; weight: sigmoid; divide: none") +
           let("u", "weight: 1 / (1 + exp(-s)); where: j <= i; divide: none"));
  same("p(v)", "u(v)",
       let("p", "score: s; where: j < i; weight: relu") +
           let("u", "weight: s; where: j < i and s > 0; divide: max(sum, 1e-30)"));
  same("p(v)", "u(v)",
       let("p", "score: s; where: j <= i; weight: relu(score)^2; divide: count") +
           let("u", "weight: if s > 0 then s * s else 0; where: j <= i; divide: count"));
  // Linear weights: the products of features summed before or after the values.
  same("p(v)", "dot[D](exp(q), cumsum[S](exp(k) * v)[S: pos[T]])",
       let("p", "weight: dot[D](exp(q)[i], exp(k)[j]); where: j <= i; divide: none"));
  same("p(v)", "dot[D](exp(q), sum[S](exp(k) * v)) / dot[D](exp(q), sum[S](exp(k)))",
       let("p", "weight: dot[D](exp(q)[i], exp(k)[j])"));
}

TEST(Meaning, Statistics) {
  std::string p = let("p", "score: s; where: j <= i and word[j] > 1; sink: 1") + "  let o = 0 * p(v)\n";
  same("o + p.lse", "o + log(u.mass)", p + let("u", "weight: exp(s); where: j <= i and word[j] > 1; divide: none"));
  same("o + p.mass * exp(p.max)", "o + (if p.count > 0 then exp(p.lse) else p.mass * exp(p.max))", p + "");
  same("o + p.max", "o + u.max",
       p + let("u", "score: s; weight: sigmoid; where: j <= i and word[j] > 1; divide: none"));
  same("o + p.count", "o + u(1)", p + let("u", "weight: 1; where: j <= i and word[j] > 1; divide: none"));
  same("0 * p(v) + p.count", "0 * p(v) + S", let("p", "score: s"));
}

TEST(Meaning, MergedBranchesAreOneSoftmax) {
  std::string lets = let("near", "score: s; where: 0 <= i - j < 3") +
                     let("far", "score: s; where: j <= i and not near.where") + let("p", "score: s; where: j <= i");
  same("merge(near, far)(v)", "p(v)", lets);
  same("0 * p(v) + merge(near, far).lse", "0 * p(v) + p.lse", lets);
  same("0 * p(v) + merge(near, far).max", "0 * p(v) + p.max", lets);
  same("0 * p(v) + merge(near, far).count", "0 * p(v) + p.count", lets);
  same("0 * p(v) + merge(near, far).mass", "0 * p(v) + p.mass", lets);
  same("merge(near, far)(s * v[j] - f[j])", "p(s * v[j] - f[j])", lets);
  // Scores of their own, sinks of both, an eps, masses.
  same("merge(near, far)(v)", "p(v)",
       let("near", "score: 2 * s; where: word[j] == 1; sink: 1; divide: sum + 0.5") +
           let("far", "score: s + f[j]; where: word[j] != 1 and j <= i; sink: g[i]; mass: exp(f[j])") +
           let("p",
               "score: if word[j] == 1 then 2 * s else s + 2 * f[j]; where: word[j] == 1 or j <= i; sink: 1, g[i]; "
               "divide: sum + 0.5"));
  // Shared keys count once for each branch.
  same("merge(a, b, multiset)(v)", "p(v)",
       let("a", "score: s; where: j <= i") + let("b", "score: s; where: j < i") +
           let("p", "score: s; where: j <= i; mass: if j < i then 2 else 1"));
  // Other weights by addition.
  same("a(v) + b(v)", "p(v)",
       let("a", "score: s; where: j < i; weight: sigmoid; divide: none") +
           let("b", "score: s; where: j == i; weight: sigmoid; divide: none") +
           let("p", "score: s; where: j <= i; weight: sigmoid; divide: none"));
}

TEST(Meaning, ReductionsOfWeights) {
  for (const char *fields :
       {"score: s; where: j <= i", "score: s; where: j < i; sink: g[i]", "score: s; where: j <= i; divide: max(sum, 3)",
        "score: s; where: j <= i; weight: sigmoid; divide: count", "score: s; mass: exp(f[j]); where: j <= i"}) {
    std::string lets = let("p", fields) + "  let o = 0 * p(v)\n";
    same("o + sum[Sb](sum[S in Sb](p))", "o + p(1)", lets, "axis Sb = S / 4");
    same("o + sum[Sb](sum[S in Sb](p) * start[Sb])", "o + p(j // 4 * 4)", lets, "axis Sb = S / 4");
  }
  std::string lets = let("p", "score: s; where: j <= i") + "  let o = 0 * p(v)\n";
  same("o + max[Sb](max[S in Sb](p))", "o + (if p.count > 0 then exp(p.max - p.lse) else 0)", lets, "axis Sb = S / 4");
  same("o + sum[Sc](sum[S in Sc](p))", "o + p(if j == 0 or j == 10 then 1 else 2)", lets,
       "axis Sc = windows(S, 2, step: 1)");
  lets +=
      let("near", "score: s; where: i - j < 2 and j <= i") + let("far", "score: s; where: j <= i and not near.where");
  same("o + sum[Sb](index[Sb] * sum[S in Sb](merge(near, far)))", "o + p(j // 4)", lets, "axis Sb = S / 4");
  same("o + max[Sb](max[S in Sb](merge(near, far)))", "o + max[Sb](max[S in Sb](p))", lets, "axis Sb = S / 4");
}

TEST(Meaning, RowsOfScores) {
  std::string lets = let("p", "score: s + g[i] * f[j] + f[i] - 0.1 * (i - j); where: j <= i and word[i] >= word[j]") +
                     "  let o = 0 * p(v)\n";
  // The positions `at` are of keys 0 to 5, some of which have no query.
  same("o + sum[N](exp(logsumexp[S](p.score[i in at])) * (if at >= S - T then 1 else 0))",
       "o + sum[N](if at >= S - T then exp(p.lse[T: at - (S - T)]) else 0)", lets);
}

TEST(Meaning, PrefixSumsAndGathers) {
  same("p(f) + 0 * g * sum[D](q) + 0 * p(v)", "cumsum[S](f)[S: pos[T]] + 0 * p(v)",
       let("p", "weight: 1; where: j <= i; divide: none"));
  same("p(v)", "cummean[S](v)[S: pos[T]] * (if pos[T] < 0 then 0 else 1)", let("p", "score: 0; where: j <= i"));
  same("p(f[i] * v[j])", "p(f[S: i] * v[j])", let("p", "score: s"));
  same("p(v)", "u(v)",
       let("p", "score: s; where: word[i] == word[j]") + let("u", "score: s; where: word[S: i] == word[S: j]"));
  same("p(v[S: j - 1])", "p(if j > 0 then v[S: j - 1] else 0)", let("p", "score: s"));
}

TEST(Meaning, Positions) {
  same("p(v)", "u(v)",
       let("p", "score: s - 0.1 * (i - j); where: j <= i") +
           let("u", "at: (i: i + 5, j: j + 5); score: s - 0.1 * (i - j); where: j <= i"));
  // A position from data.
  same("p(v)", "u(v)",
       let("p", "score: s; where: word[j] <= i; sink: 0") +
           let("u", "at: (j: word); score: s; where: j <= i; sink: 0"));
}

TEST(Meaning, WalksOverBlocks) {
  // Blocks of one are the keys themselves.
  for (const char *axes : {"axis Sb = S / 1", "axis Sb = windows(S, 1, step: 1)"})
    same("p(v)", "u(vb)",
         let("p", "score: s + f[i]; where: j <= i") +
             "  let kb = mean[S in Sb](k)\n  let vb = max[S in Sb](v)\n  let u = weights over Sb as c { score: "
             "dot[D](q[i], kb[c]) * 0.5 + f[i]; "
             "where: last[Sb](c) <= i }\n",
         axes);
  // Means of blocks: a sum over keys with the weight of the block.
  same("u(vb)", "w(v)",
       "  let kb = mean[S in Sb](k)\n  let vb = mean[S in Sb](v)\n  let n = sum[S in Sb](1 + 0 * f)\n"
       "  let u = weights over Sb as c { score: dot[D](q[i], kb[c]); where: last[Sb](c) <= i }\n"
       "  let back = kb[Sb: block[Sb](index[S])]\n"
       "  let w = weights over S { score: dot[D](q[i], back[j]); where: last[Sb](block[Sb](j)) <= i; mass: 1 / n[Sb: "
       "block[Sb](j)] }\n",
       "axis Sb = S / 4");
}

TEST(Meaning, PartsAndRotation) {
  std::string head =
      "fovea 1\nimport \"maps/rope2d\"\nattention a {\n  axis B, T, D\n  axis E = R + P\n  axis M = lo: R + hi: R\n"
      "  input x, y : [B, T, E]; u, w : [B, T, M]; z : [B, T, D]; m, n : i32 [B, T]\n"
      "  let used = x + y + u + w + z + m + n\n";
  auto both = [&](const std::string &left, const std::string &right) {
    Tensors outputs = runText(
        head + "  output left = " + left + "\n  output right = " + right + "\n  output rest = 0 * used\n}\n", kSizes);
    expectEqual(outputs["left"], outputs["right"], left + " = " + right);
  };
  both("cat[E](x[R], x[P])", "x");
  both("dot[E](x, y)", "dot[R](x[R], y[R]) + dot[P](x[P], y[P])");
  both("cat[M](u[hi], u[lo])[lo]", "u[hi]");
  both("dot[M](u, cat[M](w[lo], 2 * w[hi]))", "dot[R](u[lo], w[lo]) + 2 * dot[R](u[hi], w[hi])");
  both("dot[D](rope(z, m), rope(z, m))", "dot[D](z, z)");
  both("dot[M](rope(u, m), rope(w, n))", "dot[M](rope(u, m + 7), rope(w, n + 7))");
  both("rope(rope(u, m), n)", "rope(u, m + n)");
  // Plane f has the features f and f + R.
  both("rope(u, m)[lo]", "u[lo] * cos(m * 1e4^(-index[R] / R)) - u[hi] * sin(m * 1e4^(-index[R] / R))");
  both("rope2d(u, m, n, base: 50)[lo]", "rope(u[lo], m, base: 50)");
  both("rope2d(z, m, n)[D: 3]", "rope2d(z, 0, n)[D: 3]");
}

TEST(Meaning, WalksOverGrids) {
  std::string head =
      "fovea 1\nattention a set {\n  axis B, D\n  axis P = M * N\n  input q, k, v : [B, M, N, D]\n  input line : [M]\n";
  AxisSizes sizes = {{"B", 2}, {"D", 4}, {"M", 3}, {"N", 5}};
  auto both = [&](const std::string &lets, const std::string &left, const std::string &right, int64_t rows) {
    sizes["M"] = rows;
    Tensors outputs = runText(head + lets + "  output left = " + left + "\n  output right = " + right + "\n}\n", sizes);
    expectEqual(outputs["left"], outputs["right"], left + " = " + right);
  };
  // A grid of one row is a line.
  both("  let p = weights over P { score: dot[D](q[i], k[j]) + line[j] - 0.1 * (i - j); where: j <= i }\n"
       "  let u = weights over N { score: dot[D](q[i], k[j]) + line - 0.1 * (i - j); where: j <= i }\n",
       "p(v)", "u(v)", 1);
  // A product of weights along rows and columns is the weight on the grid.
  both("  let p = weights over P { score: -abs(i // N - j // N) - 0.5 * abs(i % N - j % N) + line[j]; where: true }\n"
       "  let row = weights over N { score: -0.5 * abs(i - j) }\n  let column = weights over M { score: line[j] - "
       "abs(i - j) }\n"
       "  let used = 0 * dot[D](q, k)\n",
       "p(v) + used", "column(row(v)) + used", 3);
}

/// Both sides have the same value, of states with two heads for each of keys.
void sameState(const std::string &lets, const std::string &left, const std::string &right) {
  std::string text =
      "fovea 1\nattention a {\n  axis B, T, K, K2, V, W\n  axis H = Hk * G\n  axis Tb = T / 4\n"
      "  input q, k : [B, T, Hk, K]\n  input v : [B, T, H, V]\n  input b : [B, T, H]; c : [B, T, Hk, K]\n"
      "  input h0 : [B, H, K, V]; n0 : [B, H, K]; w : [Hk, K, W]\n"
      "  let used = 0 * (sum[K](q * k * c * h0) + v + b + sum[K](n0) + sum[K, W](w))\n"
      "  let g = -exp(b); gc = -exp(c); F = cumsum[T](g); Fc = cumsum[T](gc)\n" +
      lets + "  output left = " + left + "\n  output right = " + right + "\n  output rest = used\n}\n";
  for (int64_t tokens : {1, 4, 10}) {
    Tensors outputs = runText(text, {{"B", 2}, {"T", tokens}, {"Hk", 2}, {"G", 2}, {"K", 3}, {"V", 2}, {"W", 3}}, {});
    expectEqual(outputs["left"], outputs["right"], left + " = " + right + "\n" + lets, 1e-10);
  }
}

std::string state(const std::string &name, const std::string &fields, const std::string &axes = "[K, V]") {
  return "  state " + name + axes + " = recur over T { " + fields + " }\n";
}

std::string free(const std::string &name, const std::string &fields, const std::string &rest = "; divide: none") {
  return "  let " + name + " = weights over T { " + fields + rest + " }\n";
}

TEST(Meaning, AdditiveStatesAreLinearWeights) {
  sameState(state("S", "key: k; value: v") + free("p", "weight: dot[K](q[i], k[j]); where: j <= i"), "read(S, q)",
            "p(v)");
  sameState(state("S", "key: k; value: v; decay: g") +
                free("p", "weight: dot[K](q[i], k[j]) * exp(F[i] - F[j]); where: j <= i"),
            "read(S, q)", "p(v)");
  sameState(state("S", "key: k; value: v; decay: gc") +
                free("p", "weight: sum[K](q[i] * k[j] * exp(Fc[i] - Fc[j])); where: j <= i"),
            "read(S, q)", "p(v)");
  // Points of reading.
  sameState(state("S", "key: k; value: v; decay: g") +
                free("p", "weight: dot[K](q[i], k[j]) * exp(F[i] - F[j]); where: j < i"),
            "read(decayed(S), q)", "p(v)");
  sameState(state("S", "key: k; value: v; decay: g"), "read(decayed(S), q)", "exp(g) * read(prev(S), q)");
  sameState(state("S", "key: k; value: v; decay: g"), "read(S, q)", "read(decayed(S), q) + dot[K](q, k) * v");
  // The other direction.
  sameState("  state S[K, V] = recur over T reverse { key: k; value: v; decay: g }\n" +
                free("p", "weight: dot[K](q[i], k[j]) * exp((F - g)[j] - (F - g)[i]); where: j >= i"),
            "read(S, q)", "p(v)");
  // A single number, and a condition.
  sameState(state("S", "key: k; value: b", "[K]") + free("p", "weight: dot[K](q[i], k[j]); where: j <= i"),
            "read(S, q) + 0 * v", "p(b) + 0 * v");
  sameState(state("S", "key: k; value: v; decay: g; where: b > 0") + state("R",
                                                                           "key: if b > 0 then k else 0; value: v; "
                                                                           "decay: if b > 0 then g else 0"),
            "read(S, q)", "read(R, q)");
}

TEST(Meaning, StatesWithoutValues) {
  sameState(state("S", "key: k; decay: gc", "[K]"), "read(S)", "exp(Fc) * cumsum[T](k * exp(-Fc))");
  sameState(state("S", "key: k; decay: g; initial: n0", "[K]"), "read(S)", "exp(F) * (cumsum[T](k * exp(-F)) + n0)");
}

TEST(Meaning, WhatACallBeginsWith) {
  // Two inputs before the first; where there is one token, the taps read both.
  sameState("  axis P = 2\n  input p : [B, P, Hk, K]\n", "conv[T](k, w, p)",
            "w[W: 2] * k + w[W: 1] * (k[T: index[T] - 1] + (if index[T] == 0 then p[P: 1] else 0)) + w[W: 0] * "
            "(k[T: index[T] - 2] + (if index[T] < 2 then p[P: index[T]] else 0))");
  sameState("  input p : [B, Hk, K]\n", "cumsum[T](k, p)", "cumsum[T](k) + p");
}

TEST(Meaning, DivisorsOfStates) {
  std::string p = "weight: dot[K](exp(q)[i], exp(k)[j]) * exp(F[i] - F[j]); where: j <= i";
  for (const char *divide : {"sum", "sum + 0.5", "max(sum, 3)"})
    sameState(state("S", "key: exp(k); value: v; decay: g; divide: " + std::string(divide)) +
                  free("p", p, "; divide: " + std::string(divide)),
              "read(S, exp(q))", "p(v)");
  // Before the first token the divisor is 0.
  sameState(state("S", "key: exp(k); value: v; divide: sum") +
                free("p", "weight: dot[K](exp(q)[i], exp(k)[j]); where: j < i", ""),
            "read(prev(S), exp(q))", "p(v)");
  sameState(state("S", "key: exp(k); value: v; decay: g; divide: sum; initial: h0, exp(n0)") +
                state("A", "key: exp(k); value: v; decay: g; initial: h0") +
                state("N", "key: exp(k); value: 1; decay: g; initial: exp(n0)", "[K]"),
            "read(S, exp(q))", "read(A, exp(q)) / read(N, exp(q))");
}

TEST(Meaning, SecondOrderFeaturesOfStates) {
  // 1 + t + t^2 / 2 of the product t: a state for each order, the second with an axis of keys more.
  sameState("  let k2 = k as [K: K2]; q2 = q as [K: K2]\n" + state("S", "key: k; value: v") +
                state("R", "key: k; value: k2 * v") +
                free("p", "weight: let t = dot[K](q[i], k[j]) in 1 + t + t^2 / 2; where: j <= i"),
            "cumsum[T](v) + read(S, q) + sum[K2](q2 * read(R, q)) / 2", "p(v)");
}

TEST(Meaning, ErasingStates) {
  // Nothing to erase; and what a write in place of the old value does.
  sameState(state("S", "key: k; value: v; decay: g; erase: 0 * k") + state("R", "key: k; value: v; decay: g"),
            "read(S, q)", "read(R, q)");
  sameState("  let kn = k / norm[K](k, eps: 0)\n" + state("S", "key: kn; value: v; decay: g; erase: kn"), "read(S, kn)",
            "v");
  // An initial state decays and is read beside what is written.
  sameState(state("S", "key: k; value: v; decay: gc; initial: h0") + state("R", "key: k; value: v; decay: gc"),
            "read(S, q)", "read(R, q) + dot[K](q * exp(Fc), h0)");
}

TEST(Meaning, EndsAndSnapshotsOfStates) {
  sameState(state("S", "key: k; value: v"), "last(S) + 0 * h0", "sum[T](k * v) + 0 * h0");
  sameState(state("S", "key: k; value: v"), "every(S, 4)", "cumsum[T](k * v)[T: last[Tb]]");
  sameState("  state S[K, V] = recur over T reverse { key: k; value: v }\n", "last(S)", "sum[T](k * v)");
  // Blocks that commit nothing begin with what was there, decayed.
  std::string block = "block[Tb](j) == block[Tb](i)";
  sameState(state("S", "key: k; value: v; decay: g; commit: true per Tb") + state("R", "key: k; value: v; decay: g"),
            "read(S, q)", "read(R, q)");
  sameState(state("S", "key: k; value: v; decay: g; commit: false per Tb") +
                free("p", "weight: dot[K](q[i], k[j]) * exp(F[i] - F[j]); where: j <= i and " + block),
            "read(S, q)", "p(v)");
  sameState(
      "  let c0 = mean[T in Tb](b) > 0\n  let here = c0[Tb: block[Tb](index[T])]\n" +
          state("S", "key: k; value: v; decay: g; commit: c0 per Tb") +
          free("p", "weight: dot[K](q[i], k[j]) * exp(F[i] - F[j]); where: j <= i and (here[j] or " + block + ")"),
      "read(S, q)", "p(v)");
}

TEST(Meaning, Convolutions) {
  sameState("", "conv[T](k, w)", "w[W: 2] * k + w[W: 1] * k[T: index[T] - 1] + w[W: 0] * k[T: index[T] - 2]");
  // The sum over the taps, one by one.
  std::string sum;
  for (int y = 0; y < 3; ++y)
    for (int x = 0; x < 2; ++x)
      sum += (sum.empty() ? "" : " + ") + std::string("u[I: ") + std::to_string(y) + ", J: " + std::to_string(x) +
             "] * x[Y: index[Y] + " + std::to_string(y - 1) + "][X: index[X] + " + std::to_string(x) + "]";
  Tensors outputs =
      runText("fovea 1\nattention a set {\n  axis B, Y, X, D, I, J\n  input x : [B, Y, X, D]\n  input u : "
              "[D, I, J]\n  output left = conv[Y, X](x, u)\n  output right = " +
                  sum + "\n}\n",
              {{"B", 2}, {"Y", 4}, {"X", 5}, {"D", 3}, {"I", 3}, {"J", 2}});
  expectEqual(outputs["left"], outputs["right"], "taps around each place");
}

TEST(Meaning, JointBranches) {
  std::string lets = let("near", "score: s; where: i - j < 3; mass: exp(f[j])") +
                     let("far", "weight: exp(0.3 * s); where: i - j >= 3") +
                     let("a", "weight: exp(s + f[j]); where: i - j < 3; divide: none") +
                     let("b", "weight: exp(0.3 * s); where: i - j >= 3; divide: none") +
                     "  let c = if near.max > -1e30 then exp(-near.max) else 0\n";
  same("joint(near of v, far of v, reference: true)", "(a(v) + b(v)) / (a(1) + b(1))", lets);
  same("joint(near of v, far of v)", "(c * a(v) + b(v)) / (c * a(1) + b(1))", lets);
  same("joint(near of v, far of g[i] * v[j], divide: sum + 0.5)", "(c * a(v) + g * b(v)) / (c * a(1) + b(1) + 0.5)",
       lets);
  same("joint(near of v, far of v, reference: true, divide: max(sum, 5))", "(a(v) + b(v)) / max(a(1) + b(1), 5)", lets);
  // Two of exponentials are one softmax, whatever their greatest scores.
  std::string two = let("low", "score: s - 3; where: word[j] > 2 and j <= i") +
                    let("high", "score: 2 * s + f[j]; where: word[j] <= 2 and j <= i");
  same("joint(low of v, high of v)", "merge(low, high)(v)", two);
  same("joint(low of v, high of v, reference: true)", "merge(low, high)(v)", two);
  // Scores whose exponentials do not fit.
  same("joint(p of v, u of v, reference: true)", "p(v)",
       let("p", "score: 3000 + s; where: j <= i") + let("u", "weight: exp(s); where: j <= i"));
}

TEST(Meaning, OptionalInputIsZero) {
  std::string text =
      "fovea 1\nattention a {\n  axis T, D\n  axis S keys T\n  input q : [T, D]; k : [S, D]\n  input bias : [T, S] "
      "optional\n"
      "  let p = weights over S { score: dot[D](q[i], k[j]) + bias[i, j] }\n"
      "  let u = weights over S { score: dot[D](q[i], k[j]) }\n  output left = p(k)\n  output right = u(k)\n}\n";
  Tensors outputs = runText(text, {{"T", 3}, {"S", 4}, {"D", 2}}, {{"bias", {{3, 4}, std::vector<double>(12, 0)}}});
  expectEqual(outputs["left"], outputs["right"], "a bias of 0");
}

/// All laws of the library, and both sides for all sizes alike.
TEST(Meaning, LawsOfTheLibraryHold) {
  size_t laws = 0;
  for (const std::string &path : test::specs("examples/maps")) {
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse(path, test::readText(path), diagnostics);
    for (const sema::MapAttention &map : sema::mapAttentions(file, test::reading(), diagnostics)) {
      AxisSizes sizes;
      for (const sema::Axis &a : map.attention.axes)
        if (a.relation == sema::AxisRelation::Plain)
          sizes[a.name] = 8;
      Tensors outputs = run(map.attention, diagnostics.sources, sizes);
      if (!map.isLaw)
        continue;
      ++laws;
      expectEqual(outputs["left"], outputs["right"], map.name);
    }
    EXPECT_EQ(diagnostics.render(), "") << path;
  }
  EXPECT_GE(laws, 3u);
}

/// The map `name` of a file of the library, as an attention.
Tensors runMap(const std::string &path, const std::string &name, const AxisSizes &sizes, Tensors given) {
  syntax::DiagnosticEngine diagnostics;
  std::string full = std::string(FOVEA_SOURCE_DIR) + "/examples/maps/" + path;
  syntax::File file = syntax::parse(full, test::readText(full), diagnostics);
  for (const sema::MapAttention &map : sema::mapAttentions(file, test::reading(), diagnostics))
    if (map.name == name && !map.isLaw)
      return run(map.attention, diagnostics.sources, sizes, std::move(given));
  ADD_FAILURE() << name << diagnostics.render();
  return {};
}

Tensor row(std::vector<double> data) { return {{1, static_cast<int64_t>(data.size())}, std::move(data)}; }

TEST(Meaning, T5Buckets) {
  // As the authors define them: exact below half, then as many buckets as logarithms of distances up to 128 give.
  auto bucket = [](int distance, bool both) {
    int buckets = 32, offset = 0, d = both ? std::abs(distance) : std::max(-distance, 0);
    if (both) {
      buckets /= 2;
      offset = distance > 0 ? buckets : 0;
    }
    int exact = buckets / 2, n = d;
    if (d >= exact) {
      n = exact;
      // d >= exact * (128 / exact)^(k / (buckets - exact)), in integers.
      while (n + 1 < buckets &&
             std::log2(d / double(exact)) * (buckets - exact) >= std::log2(128.0 / exact) * (n + 1 - exact) - 1e-9)
        ++n;
    }
    return offset + n;
  };
  std::vector<double> distances, buckets, far;
  for (int d = -300; d <= 300; ++d) {
    distances.push_back(d);
    buckets.push_back(32);
    far.push_back(128);
  }
  for (bool both : {true, false}) {
    Tensors outputs =
        runMap("t5.attn", both ? "t5_bucket(direction: both)" : "t5_bucket(direction: past)", {{"B", 1}, {"T", 601}},
               {{"distance", row(distances)}, {"buckets", row(buckets)}, {"far", row(far)}});
    for (size_t k = 0; k < distances.size(); ++k)
      EXPECT_EQ(outputs["value"].data[k], bucket(static_cast<int>(distances[k]), both)) << distances[k] << both;
  }
  EXPECT_EQ(bucket(-16, true), 10); // and as their code answers
  EXPECT_EQ(bucket(64, true), 30);
  EXPECT_EQ(bucket(-127, true), 15);
  EXPECT_EQ(bucket(-20, false), 17);
}

TEST(Meaning, AlibiSlopes) {
  std::vector<double> expected8, expected12 = {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625};
  for (int h = 1; h <= 8; ++h)
    expected8.push_back(std::exp2(-h));
  for (int h = 0; h < 4; ++h) // every other slope of 16 heads
    expected12.push_back(std::exp2(-0.5 * (2 * h + 1)));
  for (const auto &expected : {expected8, expected12}) {
    std::vector<double> heads, count(expected.size(), static_cast<double>(expected.size()));
    for (size_t h = 0; h < expected.size(); ++h)
      heads.push_back(static_cast<double>(h));
    Tensors outputs = runMap("alibi.attn", "alibi_slope", {{"B", 1}, {"T", static_cast<int64_t>(expected.size())}},
                             {{"head", row(heads)}, {"heads", row(count)}});
    expectEqual(outputs["value"], row(expected), "slopes of " + std::to_string(expected.size()) + " heads", 1e-14);
  }
}

} // namespace
