// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// States, carried memory and convolutions: the operations they become, and the message of each misuse.
#include "test/unit/syntax/StateSystems.h"

#include "frontend/sema/Analyze.h"
#include "frontend/sema/Graph.h"
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"
#include "test/unit/syntax/TestTexts.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>

using namespace fovea;

namespace {

struct Result {
  std::string messages; // line:column: message | label; without names that are never used
  std::string program;  // printed, numbers of nodes left out
  std::optional<sema::Program> typed;
  bool has(const std::string &line) const { return program.find(line) != std::string::npos; }
};

Result analyzeText(const std::string &text, std::map<std::string, std::string> sets = {}) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse(std::string(FOVEA_SOURCE_DIR) + "/examples/t.attn", text, diagnostics);
  sema::Options options;
  options.readFile = [](std::string path) -> fovea::Result<std::string> {
    if (!std::filesystem::is_regular_file(path))
      return Error{ErrorCode::NotFound, path};
    return test::readText(path);
  };
  options.sets = std::move(sets);
  Result result;
  result.typed = sema::analyze(file, options, diagnostics);
  EXPECT_EQ(result.typed.has_value(), !diagnostics.hasErrors());
  for (const syntax::Diagnostic &d : diagnostics.diagnostics()) {
    if (d.message.find("is never used") != std::string::npos)
      continue;
    syntax::Position p = diagnostics.sources.position(d.span);
    result.messages += std::to_string(p.line) + ":" + std::to_string(p.column) + ": " +
                       (d.severity == syntax::Severity::Warning ? "warning: " : "") + d.message;
    if (!d.label.empty())
      result.messages += " | " + d.label;
    if (!d.suggestion.empty())
      result.messages += " | " + d.suggestion + "?";
    result.messages += "\n";
  }
  if (result.typed) {
    std::string printed;
    for (const sema::Attention &a : result.typed->attentions)
      printed += print(a);
    for (size_t k = 0; k < printed.size(); ++k) {
      result.program += printed[k];
      if (printed[k] == '%')
        while (k + 1 < printed.size() && std::isdigit(static_cast<unsigned char>(printed[k + 1])))
          ++k;
    }
  }
  return result;
}

/// The body starts at line 9.
Result in(const std::string &body, const std::string &claim = "causal", std::map<std::string, std::string> sets = {}) {
  return analyzeText("fovea 1\nattention a " + claim +
                         " {\n  axis B, T, H, K, V, N\n  axis Tb = T / 64\n  input q, k : [B, T, H, K]\n"
                         "  input v : [B, T, H, V]\n  input g : f32 [B, T, H] <= 0\n  input b, c : [B, T, H]\n" +
                         body + "\n}\n",
                     std::move(sets));
}

std::string says(const std::string &body, const std::string &claim = "causal") { return in(body, claim).messages; }

/// A state of these fields, read by q.
std::string s(const std::string &fields, const std::string &use = "read(S, q)") {
  return "  state S[K, V] = recur over T { " + fields + " }\n  output o = " + use;
}

TEST(State, Systems) {
  for (const char *text : test::kStateSystems) {
    Result r = analyzeText(text);
    EXPECT_EQ(r.messages, "") << text;
    // Formatting keeps the meaning.
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse("t.attn", text, diagnostics);
    EXPECT_EQ(analyzeText(syntax::format(file, diagnostics.sources)).program, r.program) << text;
  }
}

TEST(State, Fields) {
  Result r = in(s("key: k; value: v"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("% = state [T, K, V] key % value % : [B, H] state\n")) << r.program;
  EXPECT_TRUE(r.has("% = read after % % : [B, T, H, V] real\n")) << r.program;
  r = in(s("key: k; value: b * v; decay: g; erase: b * k; where: c > 0; commit: mean[T in Tb](c) > 0 per Tb; "
           "initial: sum[N](i0)",
           "read(S, q)\n  output l = last(S)"),
         "causal");
  EXPECT_NE(r.messages.find("unknown name 'i0'"), std::string::npos);
  r = in("  input i0 : [B, H, K, V, N]\n" +
         s("key: k; value: b * v; decay: g; erase: b * k; where: c > 0; commit: mean[T in Tb](c) > 0 per Tb; "
           "initial: sum[N](i0)",
           "read(S, q)\n  output l = last(S)"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(
      r.has("% = state [T, K, V, Tb] key % value % decay % erase % where % commit % initial % : [B, H] state\n"))
      << r.program;
  EXPECT_TRUE(r.has("% = last % : [B, H, K, V] real\n")) << r.program;
  // A condition that always holds is none.
  EXPECT_FALSE(in(s("key: k; value: v; where: true")).has(" where "));
  // Without brackets: the axes that key and value have alone.
  EXPECT_TRUE(in("  state S = recur over T { key: k; value: v }\n  output o = read(S, q)").has("state [T, K, V] "));
  EXPECT_TRUE(in("  output o = recur(query: q, key: k, value: v) { decay: g }").has("state [T, K, V] "));
  EXPECT_TRUE(in("  output o = read(recur over T reverse { key: k; value: v }, q)", "")
                  .has("state reverse [T, K, V] key % value % :"));
  // One number per token and state.
  r = in("  state S[K] = recur over T { key: k; value: b }\n  output o = read(S, q); l = last(S)");
  EXPECT_TRUE(r.has("% = state [T, K] key % value % : [B, H] state\n")) << r.messages << r.program;
  EXPECT_TRUE(r.has("% = read after % % : [B, T, H] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = last % : [B, H, K] real\n")) << r.program;
  // Groups of value heads; and queries of more heads than the state has.
  r = analyzeText("fovea 1\nattention a causal {\n  axis B, T, K, V\n  axis H = Hk * G\n  input q, k : [B, T, Hk, K]\n"
                  "  input v : [B, T, H, V]\n  output o = recur(query: q, key: k, value: v)\n}\n");
  EXPECT_TRUE(r.has("% = state [T, K, V] key % value % : [B, Hk, G] state\n")) << r.messages << r.program;
  EXPECT_TRUE(r.has("% = read after % % : [B, T, Hk, G, V] real\n")) << r.program;
  r = analyzeText("fovea 1\nattention a causal {\n  axis B, T, K, V\n  axis H = Hk * G\n  input q : [B, T, H, K]\n"
                  "  input k : [B, T, Hk, K]; v : [B, T, Hk, V]\n  output o = recur(query: q, key: k, value: v)\n}\n");
  EXPECT_TRUE(r.has("% = state [T, K, V] key % value % : [B, Hk] state\n")) << r.messages << r.program;
  EXPECT_TRUE(r.has("% = read after % % : [B, T, Hk, G, V] real\n")) << r.program;
  // What a compilation must know: features, not tokens.
  r = in(s("key: k; value: v"));
  EXPECT_TRUE(r.has("axis T\n") && r.has("axis K needed\n") && r.has("axis V needed\n")) << r.program;
}

TEST(State, ReadPointsAndSnapshots) {
  Result r = in(s("key: k; value: v; decay: g", "read(decayed(S), q) + read(prev(S), q) + read(S, q)"));
  EXPECT_EQ(r.messages, "");
  for (const char *point : {"after", "decayed", "prev"})
    EXPECT_TRUE(r.has("% = read " + std::string(point) + " % % :")) << r.program;
  r = in(s("key: k; value: v", "every(S, 256)\n  output p = every(S, 64); r = every(S, Tb)"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis T_256 = T / 256\n")) << r.program;
  EXPECT_TRUE(r.has("% = every [T_256] % : [B, H, T_256, K, V] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = every [Tb] % : [B, H, Tb, K, V] real\n")) << r.program;
  EXPECT_FALSE(r.has("T_64")) << r.program;
  // Names of functions remain free for arrays and states.
  EXPECT_EQ(says("  state read[K, V] = recur over T { key: k; value: v }\n  output o = read(read, q)"), "");
  EXPECT_EQ(says("  axis S keys T\n  input x : [B, S, H, K]\n  input y : [B, S, H, V]\n"
                 "  state M[K, V] = recur over S { key: x; value: y }\n  output o = read(M, q)"),
            "12:30: not in this version: a recurrence along keys that have an axis of their own | works now: all over "
            "'T'; weights walk 'T' itself too\n");
}

TEST(State, ReadWhole) {
  // A state without values is its snapshots after each token; the value 1 may be left out.
  Result r = in("  state S[K] = recur over T { key: k; decay: g }\n  output o = read(S) * q");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("% = every [T_1] % : [B, H, T_1, K] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = rename [T_1, T] % : [B, H, T, K] real\n")) << r.program;
  EXPECT_EQ(in("  state S[K] = recur over T { key: k; value: 1 }\n  output o = read(S)").program,
            in("  state S[K] = recur over T { key: k }\n  output o = read(S)").program);
  const std::string vector = "  state S[K] = recur over T { key: exp(k); divide: sum }\n  output o = ";
  // With a divisor, the same of the value 1.
  r = in(vector + "read(S)");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("= div % % : [B, H, T, K] real")) << r.program;
  // Before the token: that of the token before, and in the beginning the initial state.
  r = in("  input h : [B, H, K]\n  state S[K] = recur over T { key: k; decay: g; initial: h }\n"
         "  output o = read(prev(S)) - read(decayed(S))");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("= gather [T] % % : [B, H, K, T] real")) << r.program;
  EXPECT_TRUE(r.has("= select % % % : [T, B, H, K] real")) << r.program;
  EXPECT_TRUE(r.has("= exp % : ")) << r.program;
  // From the last token on too.
  EXPECT_EQ(says("  state S[K] = recur over T reverse { key: k }\n  output o = read(S)", ""), "");
  EXPECT_EQ(says("  state S[K] = recur over T { key: k; commit: true per Tb }\n  output o = read(S)"),
            "10:14: not in this version: a state that is read whole, with 'commit' | works now: with a query, "
            "'read(S, q)'; 'every(S, 1)' is what blocks leave behind\n");
  EXPECT_EQ(says("  state S[K, V] = recur over T { key: k }\n  output o = read(S, q)"),
            "9:19: 'recur' lacks its value | expected 'value: ..'\n");
}

TEST(State, Divide) {
  Result r = in("  let kp = exp(k); qp = relu(q)\n  output o = recur over T (query: qp, key: kp, value: v) "
                "{ decay: g; divide: sum }");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("% = state [T, K, V] key % value % decay % : [B, H] state\n")) << r.program;
  EXPECT_TRUE(r.has("% = state [T, K] key % value % decay % : [B, H] state\n")) << r.program;
  EXPECT_TRUE(r.has("% = ne % % : [B, T, H] bool\n") && r.has("% = select % % % : [B, T, H, V] real\n")) << r.program;
  EXPECT_TRUE(in("  output o = recur(query: exp(q), key: exp(k), value: v) { divide: sum + 1e-6 }").has("= add % %"));
  EXPECT_TRUE(
      in("  output o = recur(query: exp(q), key: exp(k), value: v) { divide: max(sum, 100) }").has("= max % %"));
  EXPECT_FALSE(in("  output o = recur(query: q, key: k, value: v) { divide: none }").has("state [T, K] "));
  // Both are carried.
  r = in("  carry h0 : f32 [B, H, K, V] optional; n0 : f32 [B, H, K] optional\n" +
         s("key: exp(k); value: v; divide: sum; initial: h0, n0", "read(prev(S), exp(q))"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("% = output n0 % : [B, H, K] real\n")) << r.program;
  // Maps that have no sign.
  auto warns = [&](const std::string &query, const std::string &key) {
    return says("  output o = recur over T (query: " + query + ", key: " + key + ", value: v) { divide: sum }");
  };
  EXPECT_EQ(warns("q", "silu(k)"),
            "9:35: warning: this query may be negative, so that the divisor may vanish | 'q' has no sign; take a map "
            "that is never negative, such as exp, relu or softmax, or drop 'divide'\n"
            "9:43: warning: this key may be negative, so that the divisor may vanish | 'silu(k)' has no sign; take a "
            "map that is never negative, such as exp, relu or softmax, or drop 'divide'\n");
  for (const char *map :
       {"exp(%)", "relu(%)", "softmax[K](%)", "sigmoid(%)", "%^2", "% * %", "elu(%) + 1", "abs(%)", "softplus(%)",
        "max(%, 1e-12)", "relu(%) * exp(%) + 1", "sqrt(exp(%))", "-expm1(-exp(%))", "if % > 0 then % * % else 0",
        "1 - sigmoid(%)", "relu(%)^sigmoid(b)", "exp(%) / (1 + exp(%))"}) {
    std::string q, k;
    for (const char *at = map; *at; ++at) {
      q += *at == '%' ? "q" : std::string(1, *at);
      k += *at == '%' ? "k" : std::string(1, *at);
    }
    EXPECT_EQ(warns(q, k), "") << map;
  }
  for (const char *map :
       {"q", "-exp(q)", "elu(q) + 0.5", "q^3", "exp(q) - 1", "cos(q)", "min(exp(q), b)", "log(exp(q))", "exp(q) * b"})
    EXPECT_NE(warns(map, "exp(k)").find("this query may be negative"), std::string::npos) << map;
}

TEST(State, SignOfTheDecay) {
  auto decay = [](const std::string &text, const std::string &before = "",
                  std::map<std::string, std::string> sets = {}) {
    return in(before + s("key: k; value: v; decay: " + text), "causal", std::move(sets)).messages;
  };
  for (const char *good : {"g",
                           "-exp(b)",
                           "log_sigmoid(k)",
                           "log_sigmoid(k) / 16",
                           "-5 * sigmoid(b)",
                           "-softplus(b) * exp(c)",
                           "0",
                           "-0.1",
                           "log(sigmoid(b))",
                           "log(1 - 2^(-5 - index[H]))",
                           "-2^(-8 * (index[H] + 1) / H)",
                           "g * exp(b)",
                           "max(g, -20)",
                           "min(b, 0)",
                           "if b > 0 then g else -1",
                           "-abs(b)",
                           "-(b^2)",
                           "log1p(-sigmoid(b))",
                           "-clamp(softplus(b), 0, inf)",
                           "log(0.5 + (1 - 0.5) * sigmoid(b))",
                           "b - logsumexp[H](b)",
                           "cumsum[T](g)",
                           "-relu(b) - softplus(c)"})
    EXPECT_EQ(decay(good), "") << good;
  EXPECT_EQ(decay("logaddexp(log(lb), log1p(-lb) + log_sigmoid(b))", "  param lb : f32 [H] in [0, 1)\n"), "");
  EXPECT_EQ(decay("logaddexp(log_sigmoid(b) + log(1 - lb), log(lb))", "  param lb : f32 [H] in [0, 1]\n"), "");
  EXPECT_EQ(decay("log(lb + (1 - lb) * sigmoid(b))", "  param lb : f32 [H] in [0, 1)\n"), "");
  for (const char *bad : {"0.1", "exp(b)", "softplus(b)", "sigmoid(b) * exp(c)", "2^index[H]", "-log_sigmoid(b)",
                          "log(1 + exp(b))", "1 + exp(b)", "index[H] + 1"})
    EXPECT_EQ(decay(bad), "9:59: this decay is positive | a decay is a logarithm, at most 0, such as -exp(..) or "
                          "log_sigmoid(..)\n")
        << bad;
  EXPECT_EQ(decay("b"), "9:59: warning: this decay is not known to be at most 0 | state it as a contract, which is "
                        "checked: 'b : .. <= 0'\n");
  for (const char *open : {"g + b", "-b", "log(exp(b))", "relu(b)", "index[H] * 0.1", "b * c", "-silu(b)", "cos(b)",
                           "abs(b) - 1", "g * b"})
    EXPECT_EQ(decay(open),
              "9:59: warning: this decay is not known to be at most 0 | a decay is a logarithm, such as -exp(..) or "
              "log_sigmoid(..); contracts of inputs, '<= 0', are used in the proof\n")
        << open;
  for (const char *contract : {"in [0, 1]", "in [-1, 1]", ">= 0", "<= 0.5", "< 1"})
    EXPECT_EQ(
        decay("p", "  input p : f32 [B, T, H] " + std::string(contract) + "\n"),
        "10:59: this decay can be positive | the contract of 'p' allows it; state '<= 0', or take a logarithm such "
        "as -exp(..)\n")
        << contract;
  EXPECT_EQ(decay("p", "  input p : f32 [B, T, H] < 0\n"), "");
  EXPECT_NE(decay("logaddexp(log(lb), log1p(-lb) + log_sigmoid(b))", "  param lb : f32 [H] in [0, 2)\n"), "");
  EXPECT_NE(decay("logaddexp(log(lb), log_sigmoid(b))", "  param lb : f32 [H] in [0, 1)\n"), "");
  EXPECT_NE(decay("log(lb + lb * sigmoid(b))", "  param lb : f32 [H] in [0, 1)\n"), "");
  // Open consts become known later.
  EXPECT_EQ(decay("-(1 - layer / layers)", "  const layer, layers : int\n"), "");
  EXPECT_NE(decay("-(1 - layer / layers)", "  const layer, layers : int\n", {{"layer", "3"}, {"layers", "2"}}), "");
  EXPECT_EQ(decay("-(1 - layer / layers)", "  const layer, layers : int\n", {{"layer", "1"}, {"layers", "2"}}), "");
}

TEST(State, RangeOfTheDecay) {
  auto range = [](const std::string &decay, const std::string &before = "") {
    Result r = in(before + s("key: k; value: v; decay: " + decay));
    EXPECT_EQ(r.messages, "") << decay;
    if (!r.typed)
      return sema::Range();
    const sema::Attention &a = r.typed->attentions[0];
    for (const sema::Node &n : a.nodes)
      if (n.op == sema::Op::State)
        return sema::rangeOf(a, n.operands[2]);
    return sema::Range();
  };
  sema::Range bounded = range("-5 * sigmoid(b)");
  EXPECT_EQ(bounded.low, -5);
  EXPECT_EQ(bounded.high, 0);
  EXPECT_EQ(range("log_sigmoid(k) / 16").low, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(range("-(b2)", "  input b2 : [B, T, H] in [0.5, 2]\n").low, -2);
  EXPECT_EQ(range("-(b2)", "  input b2 : [B, T, H] in [0.5, 2]\n").high, -0.5);
  EXPECT_EQ(range("max(g, -20)").low, -20);
  EXPECT_NEAR(range("log(1 - 2^(-5 - index[H]))").low, std::log(1 - 1.0 / 32), 1e-15);
}

TEST(State, MisusedFields) {
  EXPECT_EQ(says("  state S[K, V] = k\n  output o = k"),
            "9:19: a state is a recurrence | expected 'recur over T { key: ..; value: .. }'\n");
  EXPECT_EQ(says("  state S[K, V] = recur over T (query: q, key: k, value: v)\n  output o = k"),
            "9:19: a state has no query of its own | expected 'recur over T { .. }'; it is read by read(S, q)\n");
  EXPECT_EQ(says(s("value: v")), "9:19: 'recur' lacks its key | expected 'key: ..'\n");
  EXPECT_EQ(says(s("key: k")), "9:19: 'recur' lacks its value | expected 'value: ..'\n");
  EXPECT_EQ(says("  output o = recur over T (key: k, value: v)"),
            "9:14: 'recur' lacks its query | expected 'query: ..'\n");
  EXPECT_EQ(says("  output o = recur over T (query: q, kye: k, value: v)"),
            "9:38: unknown argument of 'recur' | expected 'query: ..', 'key: ..' and 'value: ..' | key?\n");
  EXPECT_EQ(says("  output o = recur over T (query: q, key: k, value: v) { key: k }"),
            "9:38: argument 'key' stands twice\n");
  EXPECT_EQ(says(s("key: k; value: v; dekay: g")),
            "9:52: unknown field 'dekay' | expected key, value, decay, erase, commit, where, initial or divide | "
            "decay?\n");
  EXPECT_EQ(says(s("key: k; value: v; chunk: 32")),
            "9:52: unknown field 'chunk' | how a recurrence is run is no part of its meaning: --schedule chunk=..\n");
  EXPECT_EQ(says("  state S = recur over T { key: k; value: v }\n  output o = S(q)"),
            "10:14: 'S' cannot be called | a state is read: read(S, ..)\n");
  EXPECT_EQ(says(s("key: k; value: v; key: k")), "9:52: field 'key' stands twice\n");
  EXPECT_EQ(says(s("key: k, k; value: v")), "9:42: field 'key' has one value\n");
  EXPECT_EQ(says(s("key: k per Tb; value: v")), "9:34: expected 'key: ..'\n");
  EXPECT_EQ(says("  output o = recur over T as t { key: k; value: v }"),
            "9:30: a recurrence has no index | arrays on its axis need no subscript\n");
  EXPECT_EQ(says(s("key: k; value: v; where: b")), "9:59: expected a condition | this is real on [B, T, H]; write a "
                                                   "comparison\n");
  // Axes.
  EXPECT_EQ(says("  state S[K, K] = recur over T { key: k; value: v }\n  output o = read(S, q)"),
            "9:14: the key axis and the value axis of a state differ | rename the value's: v as [K: K2]\n");
  EXPECT_EQ(says("  state S[K, V, H] = recur over T { key: k; value: v }\n  output o = read(S, q)"),
            "9:17: a state has a key axis and a value axis | all other axes are batch\n");
  EXPECT_EQ(says("  state S[T, V] = recur over T { key: k; value: v }\n  output o = read(S, q)"),
            "9:11: the state has no axis 'T' | it recurs along it; expected its key and value axis\n");
  EXPECT_EQ(says(s("key: b; value: v")), "9:39: the key has no axis 'K' | it is on [B, T, H]\n");
  EXPECT_EQ(says(s("key: k * sum[V](v) + sum[V](v * v); value: b")),
            "9:77: the value has no axis 'V' | it is on [B, T, H]\n");
  EXPECT_EQ(
      says(s("key: k * v; value: v")),
      "9:39: the key has the value axis 'V' of the state | it is on [B, T, H, K, V]; 'x as [V: V2]' renames it\n");
  EXPECT_EQ(
      says(s("key: k; value: v * k")),
      "9:49: the value has the key axis 'K' of the state | it is on [B, T, H, V, K]; 'x as [K: K2]' renames it\n");
  EXPECT_EQ(says(s("key: k; value: v; decay: -exp(v)")),
            "9:59: the decay has the value axis 'V' of the state | it is on [B, T, H, V]; 'x as [V: V2]' renames it\n");
  EXPECT_EQ(says(s("key: k; value: v; erase: b")), "9:59: the erase has no axis 'K' | it is on [B, T, H]\n");
  EXPECT_EQ(says(s("key: k; value: v; erase: k; where: k > 0")),
            "9:69: the where has the key axis 'K' of the state | it is on [B, T, H, K]; 'x as [K: K2]' renames it\n");
  EXPECT_EQ(says(s("key: k; value: v", "read(S, b)")),
            "10:22: the query has no axis 'K' | it is on [B, T, H]; it is contracted with the key axis of the state\n");
  EXPECT_EQ(says(s("key: k; value: v", "read(S, q * v)")),
            "10:22: the query has the value axis 'V' of the state | it is on [B, T, H, K, V]; 'x as [V: V2]' renames "
            "it\n");
  EXPECT_EQ(says("  output o = recur over T (query: q, key: k, value: k)"),
            "9:14: it is not clear what the key axis is | key is real on [B, T, H, K], value real on [B, T, H, K]; "
            "expected 'state S[K, V] = recur over T { .. }'\n");
  EXPECT_EQ(says("  input u : [B, T, N, V, H]\n  output o = recur over T (query: q, key: k, value: u)"),
            "10:14: it is not clear what the value axis is | key is real on [B, T, H, K], value real on [B, T, N, V, "
            "H]; expected 'state S[K, V] = recur over T { .. }'\n");
  EXPECT_EQ(analyzeText("fovea 1\nattention a causal {\n  axis B, L, H, K, V\n  input q, k : [B, L, H, K]\n"
                        "  input v : [B, L, H, V]\n  output o = recur(query: q, key: k, value: v)\n}\n")
                .messages,
            "6:14: it is not clear along which axis this recurs | expected 'recur over T (query: .., ..)'\n");
  EXPECT_EQ(says("  state S[K, V] = recur over Tb { key: k; value: v }\n  output o = read(S, q)"),
            "9:30: not in this version: a recurrence along an axis that is made of others | works now: a plain axis, "
            "as in 'axis T'\n");
  EXPECT_EQ(says("  axis P = K * N\n  state S[P, V] = recur over T { key: k; value: v }\n  output o = read(S, q)"),
            "10:11: not in this version: a factor axis as key or value axis of a state\n");
  // Blocks.
  EXPECT_EQ(says(s("key: k; value: v; commit: mean[T in Tb](b) > 0")),
            "9:52: 'commit' is one condition per block | expected 'commit: c per Tb', with 'axis Tb = T / 64'\n");
  EXPECT_EQ(says(s("key: k; value: v; commit: b > 0 per Tb")),
            "9:60: 'commit' is one condition per block | this is bool on [B, T, H]; expected one on 'Tb'\n");
  EXPECT_EQ(says(s("key: k; value: v; commit: true per N")),
            "9:69: 'N' is no axis of blocks of 'T' | expected 'axis N = T / 64'\n");
  EXPECT_EQ(says(s("key: k * mean[T in Tb](b); value: v; commit: true per Tb")),
            "9:39: the key is on the blocks of 'commit' | it is on [B, T, H, K, Tb]\n");
  // Divisors.
  EXPECT_EQ(says(s("key: exp(k); value: v; erase: k; divide: sum")),
            "9:67: a state with 'erase' has no divisor | its reads are no sums of weights times values; norm what is "
            "read instead\n");
  EXPECT_EQ(says(s("key: exp(k); value: v; divide: count")),
            "9:65: a state counts no keys | expected sum, sum + eps, max(sum, c) or none\n");
  EXPECT_EQ(says(s("key: exp(k); value: v; divide: som")),
            "9:65: unknown divisor | expected sum, sum + eps, max(sum, c), count or none | sum?\n");
  EXPECT_EQ(says(s("key: exp(k); value: v; divide: max(sum, exp(v))")),
            "9:65: the divisor has the value axis 'V' of the state | it divides all values alike\n");
}

TEST(State, CarriedMemory) {
  Result r = in("  carry h0 : bf16 [B, H, V, K]\n" + s("key: k; value: v; initial: (h0)"));
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("  carry h0 : bf16 [B, H, V, K] real final %\n")) << r.program;
  EXPECT_TRUE(r.has("% = output h0 % : [B, H, V, K] real\n")) << r.program;
  const sema::Attention &a = r.typed->attentions[0];
  for (size_t d = 0; d < a.declarations.size(); ++d)
    if (const sema::Declaration &h = a.declarations[d]; h.role == sema::Role::Carry) {
      ASSERT_TRUE(h.finalNode.has_value());
      const sema::Node &out = a.nodes[*h.finalNode];
      EXPECT_EQ(out.op, sema::Op::Output);
      EXPECT_EQ(out.declaration, d);
      EXPECT_EQ(a.nodes[out.operands[0]].op, sema::Op::Last);
      EXPECT_EQ(a.nodes[h.node].op, sema::Op::Input);
      EXPECT_EQ(a.nodes[h.node].declaration, d);
    }
  // The state lives as long as its memory, read or not.
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("t.attn",
                                    "fovea 1\nattention a {\n  axis T, K\n  input k : [T, K]\n  carry h : f32 [K]\n"
                                    "  state S[K] = recur over T { key: k; value: 1; initial: h }\n  output o = k\n}\n",
                                    diagnostics);
  EXPECT_TRUE(sema::analyze(file, {}, diagnostics).has_value());
  EXPECT_EQ(diagnostics.render(), "");
  EXPECT_TRUE(in("  carry h0 : f32 [B, H, K, V]\n" + s("key: k; value: v; initial: h0", "k")).has("= state"));
  EXPECT_EQ(
      says("  carry h0 : f32 [B, H, K]\n" + s("key: k; value: v; initial: h0")),
      "10:61: carried memory 'h0' has other axes than its state | it is on [B, H, K], the state on [B, H, K, V]\n");
  EXPECT_EQ(says("  carry h0 : f32 [B, H, K, V, N]\n" + s("key: k; value: v; initial: h0")),
            "10:61: carried memory 'h0' has other axes than its state | it is on [B, H, K, V, N], the state on [B, H, "
            "K, V]\n");
  EXPECT_EQ(
      says("  carry h0 : f32 [B, H, K, V]\n" + s("key: k; value: v; initial: h0 * 2")),
      "10:61: carried memory is the bare 'initial:' of one state, or the bare past of a 'conv' or 'cumsum' | it is "
      "read as the beginning and overwritten by the end; what is only read is an 'input'\n");
  EXPECT_EQ(says("  carry h0 : f32 [B, H, K, V]\n" + s("key: k; value: v; initial: h0") +
                 "\n  state R[K, V] = recur over T { key: k; value: b * v; initial: h0 }\n  output p = read(R, q)"),
            "12:65: carried memory 'h0' is written already | each is carried once\n");
  EXPECT_EQ(says("  carry h0 : f32 [B, H, K]\n  state S[K] = recur over T { key: exp(k); value: b; divide: sum; "
                 "initial: h0, h0 }\n  output o = read(S, exp(q))"),
            "10:80: carried memory 'h0' is written already | each is carried once\n");
  EXPECT_EQ(
      says("  carry h0 : f32 [B, H, K, V]\n  output o = k"),
      "9:9: carried memory 'h0' is never written | expected 'initial: h0' in a 'recur', or the past of a 'conv' or "
      "'cumsum'; what is only read is an 'input'\n");
  EXPECT_EQ(says("  carry h0 : i32 [B, H, K, V]\n  output o = k"),
            "9:14: carried memory holds real numbers | expected bf16, f16 or f32\n");
  EXPECT_EQ(says("  carry h0 : f32 [B] <= 0\n  output o = k"),
            "9:22: carried memory has no contract | what a state becomes follows from its fields\n");
  EXPECT_EQ(says("  carry h0 : f32 [B] = 1\n  output o = k"),
            "9:24: carried memory has no default | only a scalar 'param' has one\n");
  EXPECT_EQ(says("  carry h0 : f32 [B, H, K, V]\n" + s("key: k; value: v; initial: h0"), "set"),
            "9:3: a set has no order in which something is carried | drop 'set', or make this an input: a set is not "
            "decoded step by step\n");
  EXPECT_EQ(says("  param p : f32 [N] optional\n  output o = k").substr(0, 4), "9:3:");
  // Initial values that are only read.
  EXPECT_EQ(says("  input i0 : [H, K, V]\n" + s("key: k; value: v; initial: i0")), "");
  EXPECT_EQ(says(s("key: k; value: v; initial: 0")),
            "9:61: the initial state is no state | it is on []; expected 'K' and 'V', and no 'T'\n");
  EXPECT_EQ(says("  input i0 : [T, K, V]\n" + s("key: k; value: v; initial: i0")),
            "10:61: the initial state is no state | it is on [T, K, V]; expected 'K' and 'V', and no 'T'\n");
  EXPECT_EQ(says("  input i0 : [K, V]\n" + s("key: exp(k); value: v; divide: sum; initial: i0")),
            "10:70: the divisor has an initial value too | expected 'initial: h0, n0'; n0 has no value axis\n");
  EXPECT_EQ(says("  input i0 : [K, V]\n" + s("key: k; value: v; initial: i0, i0")),
            "10:65: a second initial value is that of a divisor | this state has no 'divide'\n");
}

TEST(State, MisusedStates) {
  std::string S = "  state S[K, V] = recur over T { key: k; value: v }\n";
  EXPECT_EQ(says(S + "  output o = S + 1"), "10:14: 'S' is a state, not a number | read it: read(S, q)\n");
  EXPECT_EQ(says(S + "  output o = S"), "10:14: a state has no place in memory | read it, as in read(S, q); also "
                                        "last(S), every(S, 256), and 'carry' for what goes on\n");
  EXPECT_EQ(says(S + "  output o = if true then S else S"),
            "10:27: a state cannot be chosen by 'if' | choose between what is read: read(S, q)\n");
  for (const char *use : {"sum[K](S)", "S[K: 0]", "S as [K: N]", "dot[K](S, q)", "exp(S)"})
    EXPECT_NE(says(S + "  output o = " + use).find("'S' is a state, not a number"), std::string::npos) << use;
  EXPECT_EQ(says(S + "  output o = read(q, q)"), "10:19: 'read' takes a state | this is real on [B, T, H, K]\n");
  EXPECT_EQ(says(S + "  output o = last(q)"), "10:19: 'last' takes a state | this is real on [B, T, H, K]\n");
  EXPECT_EQ(
      says(S + "  output o = read(S)"),
      "10:14: this state is a matrix per token, which has no place in memory | read it with a query, 'read(S, q)', "
      "or take snapshots, 'every(S, 256)'\n");
  EXPECT_EQ(says(S + "  output o = read(S, q: q)"),
            "10:14: 'read' takes 2 arguments | expected 'read(S, q)', or 'read(S)' of a state without values\n");
  EXPECT_EQ(says(S + "  output o = last(S, q)"), "10:14: 'last' takes 1 argument | expected 'last(S)'\n");
  EXPECT_EQ(says(S + "  output o = every(S)"), "10:14: 'every' takes 2 arguments | expected 'every(S, 256)'\n");
  EXPECT_EQ(says(S + "  output o = read[K](S, q)"), "10:14: 'read' takes no axes | expected 'read(S, q)'\n");
  EXPECT_EQ(says(S + "  output o = last(prev(S))"),
            "10:19: 'last' takes the state itself | this is the state at another point, for 'read' alone\n");
  EXPECT_EQ(says(S + "  output o = every(S, N)"),
            "10:23: 'N' is no axis of blocks of 'T' | expected a number of tokens, or 'axis N = T / 256'\n");
  EXPECT_EQ(says(S + "  output o = every(S, 0)"), "10:23: expected a whole number from 1 to 2147483647 | a number, or "
                                                  "a const that has one by its text\n");
  EXPECT_EQ(says("  output o = every(recur over T reverse { key: k; value: v }, 64)", ""), "");
  EXPECT_EQ(says(s("key: k; value: v; commit: true per Tb", "every(S, 64)")), "");
  // Walks.
  std::string w = "  let p = weights over T { score: dot[K](q[i], k[j]); where: j <= i }\n";
  EXPECT_EQ(says(S + w + "  output o = p(read(S, q))"),
            "11:16: a state is read outside of walks | name its value by 'let' before, and use that, such as o[i]\n");
  EXPECT_EQ(says(S + w + "  let r = read(S, q)\n  output o = p(r) + p(r[j])"), "");
  EXPECT_EQ(says(w + "  output o = p(recur over T { key: k; value: v })"),
            "10:16: a recurrence inside a walk | name what is read by 'let' before, and use its value, such as o[i]\n");
  EXPECT_NE(says(S + "  map m(x : [K]) { read(S, x) }\n"
                     "  output o = (weights over T { score: sum[V](m(q[j])); where: j <= i })(v)")
                .find("not in this version: states in a map that a walk uses"),
            std::string::npos);
  EXPECT_NE(says("  map m(x : [K], y : [V]) { read(recur over T { key: x; value: y }, x) }\n"
                 "  output o = (weights over T { score: sum[V](m(q[j], v[j])); where: j <= i })(v)")
                .find("not in this version: states in a map that a walk uses"),
            std::string::npos);
}

TEST(State, Causality) {
  std::string S = s("key: k; value: v");
  EXPECT_EQ(says("  output o = read(recur over T reverse { key: k; value: v }, q)"),
            "9:19: a causal attention has no reverse recurrence | each state would be of later tokens; drop 'reverse' "
            "or 'causal'\n");
  EXPECT_EQ(says(s("key: k; value: v", "last(S)\n  output e = every(S, 64)")), "");
  EXPECT_EQ(
      says(s("key: k; value: v", "read(S, q) * sum[K](last(S))")),
      "10:34: the state after all tokens is of later tokens too | an output on the token axis 'T' would depend on "
      "them; use read(S, q)\n");
  EXPECT_EQ(says(s("key: k; value: v", "read(S, q) * sum[K](last(S))"), "set"), "");
  // Reductions over tokens, also of what is read, and in fields of the state.
  for (const char *use : {"mean[T](read(S, q))", "read(S, softmax[T](q))", "rmsnorm[T](read(S, q))",
                          "norm[T, V](read(S, q))", "read(S, q - max[T](q))"})
    EXPECT_NE(says(s("key: k; value: v", use)).find("a causal attention cannot reduce over the token axis 'T'"),
              std::string::npos)
        << use;
  EXPECT_NE(says(s("key: k / sum[T](k * k); value: v")).find("cannot reduce over the token axis 'T'"),
            std::string::npos);
  for (const char *use : {"mean[T](read(S, q))", "read(S, softmax[T](q))"})
    EXPECT_EQ(says(s("key: k; value: v", use), "set"), "") << use;
  // A condition of a block acts from its end on; what is of the whole block otherwise is not.
  EXPECT_EQ(says(s("key: k; value: v; commit: mean[T in Tb](b) > 0 per Tb")), "");
  EXPECT_NE(says(s("key: k; value: mean[T in Tb](b)[Tb: block[Tb](index[T])] * v")).find("may read tokens after"),
            std::string::npos);
}

TEST(State, TokensOfSets) {
  // What a set mixer reduces over needs no size; features do.
  Result r =
      analyzeText("fovea 1\nattention a set {\n  axis B, H, D, V\n  axis T = Y * X\n  input q, k : [B, T, H, D]\n"
                  "  input v : [B, T, H, V]\n  param w : [H, V, 3, 5]\n"
                  "  output o = dot[D](q, sum[T](k * v)) / T + conv[Y, X](v, w)\n}\n");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis Y\n") && r.has("axis X\n") && r.has("axis D needed\n")) << r.program;
}

TEST(Conv, Forms) {
  Result r = in("  param w : [H, K, 4]; u : [N, 3]\n  output o = conv[T](q, w)\n  output p = conv[T](b, u)");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("axis w_2 size 4 static needed\n")) << r.program;
  EXPECT_TRUE(r.has("param w : [H, K, w_2] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = conv [T, w_2] % % : [B, T, H, K] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = conv [T, u_1] % % : [B, T, H, N] real\n")) << r.program;
  // Each array has axes of its own; taps can have any name.
  r = in("  axis W\n  param w, u : [H, K, 4]; x : [W]\n  output o = conv[T](q, w) + conv[T](k, u) + conv[T](q, x)");
  EXPECT_TRUE(r.has("axis u_2 size 4") && r.has("conv [T, u_2]") && r.has("conv [T, W]")) << r.messages << r.program;
  r = in("  param w : [H, K, 5, 3]\n  output o = conv[B, T](q, w)", "set");
  EXPECT_TRUE(r.has("% = conv same [B, T, w_2, w_3] % % : [B, T, H, K] real\n")) << r.messages << r.program;
  // Taps of each place.
  EXPECT_EQ(says("  input w : [B, T, H, 4]\n  output o = conv[T](q, w)"), "");
}

TEST(Conv, ContinuesACall) {
  const std::string w = "  param w : [H, K, 4]\n  carry tail : [B, 3, H, K] optional\n";
  Result r = in(w + "  output o = conv[T](q, w, tail)");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("carry tail : [B, tail_1, H, K] real optional final %\n")) << r.program;
  EXPECT_TRUE(r.has("% = output tail % : [B, tail_1, H, K] real\n")) << r.program;
  EXPECT_TRUE(r.has("% = gather [tail_1] % % : [B, H, K, T] real\n")) << r.program;
  // What is no carry is read alone.
  EXPECT_EQ(says("  param w : [H, K, 4]\n  input x0 : [B, 3, H, K]\n  output o = conv[T](q, w, x0)"), "");
  EXPECT_EQ(says("  param w : [H, K, 5]\n  input x0 : [B, 3, H, K]\n  output o = conv[T](q, w, x0)"),
            "11:28: a convolution of 5 taps begins with 4 inputs | this has 3\n");
  EXPECT_EQ(says("  param w : [H, K, 4]\n  carry t : [B, 3, H]\n  output o = conv[T](q, w, t)"),
            "11:28: this is not what a convolution begins with | it is on [B, t_1, H], the array on [B, T, H, K]; "
            "expected its last inputs, one less than taps, in place of 'T'\n");
  EXPECT_EQ(says(w + "  output o = conv[T](q, w, tail) + conv[T](k, w, tail)"),
            "11:50: carried memory 'tail' is written already | each is carried once\n");
  EXPECT_EQ(says("  param u : [H, K, 3, 3]\n  output o = conv[B, T](q, u, b)", "set"),
            "10:31: a convolution around each place has no past | expected 'conv[T](x, w, past)'\n");
  EXPECT_EQ(says("  param w : [H, K, 80]\n  carry t : [B, 79, H, K]\n  output o = conv[T](q, w, t)"),
            "11:28: not in this version: a convolution that carries more than 64 inputs\n");
}

TEST(Sum, ContinuesACall) {
  Result r = in("  carry past : f32 [B, H] optional\n  output o = cumsum[T](g, past)");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("% = output past % : [B, H] real\n")) << r.program;
  EXPECT_EQ(says("  carry past : f32 [B]\n  output o = cumsum[T](g, past)"),
            "10:27: this is not what a sum begins with | it is on [B], the sum on [B, T, H]; expected the same without "
            "'T'\n");
  EXPECT_EQ(says("  input past : f32 [B, H]\n  output o = cummean[T](g, past)"),
            "10:14: 'cummean' takes 1 argument | cumsum[T](x, past) / (pos[T] + first + 1) continues a call\n");
}

TEST(Conv, Misused) {
  std::string w = "  param w : [H, K, 4]; u : [H, K, 3, 3]\n";
  EXPECT_EQ(says("  output o = conv[T](q, k)"),
            "9:25: the taps are on no axis of their own | this is on [B, T, H, K]; its last axis is the taps, as in "
            "'param w : [H, K, 4]'\n");
  EXPECT_EQ(says(w + "  output o = conv[B, T](q, w)", "set"),
            "10:28: the taps are on no axes of their own | this is on [H, K, w_2]; its last two axes are the taps, as "
            "in 'param w : [H, K, 5, 5]'\n");
  EXPECT_EQ(says(w + "  output o = conv(q, w)"),
            "10:14: 'conv' needs the axes along which it runs | expected 'conv[T](x, w)' or 'conv[Y, X](x, w)'\n");
  EXPECT_EQ(says(w + "  output o = conv[B, T, H](q, w)"),
            "10:14: 'conv' runs along one or two axes | expected 'conv[T](x, w)' or 'conv[Y, X](x, w)'\n");
  EXPECT_EQ(
      says(w + "  output o = conv[T](q)"),
      "10:14: 'conv' takes 2 or 3 arguments | expected 'conv[T](x, w)': an array and its taps; conv[T](x, w, past) "
      "continues a call\n");
  EXPECT_EQ(says(w + "  output o = conv[N](q, w)"), "10:22: 'q' has no axis 'N' | it is on [B, T, H, K]\n");
  EXPECT_EQ(says(w + "  axis M = B * T\n  output o = conv[M](q, w)"),
            "11:19: not in this version: a convolution along an axis that is made of others | its factors can be "
            "named: conv[Y, X](x, w)\n");
  EXPECT_EQ(says(w + "  output o = conv[B, T](q, u)"),
            "10:14: a causal attention cannot look around along 'B' | a convolution of two axes has taps after its own "
            "place; drop 'causal', or use conv[T](x, w)\n"
            "10:14: a causal attention cannot look around along 'T' | a convolution of two axes has taps after its own "
            "place; drop 'causal', or use conv[T](x, w)\n");
  EXPECT_EQ(says("  param w : [H, 0]\n  output o = conv[T](b, w)"),
            "9:17: an axis cannot have the size 0 | expected a whole number from 1 to 2147483647\n");
  EXPECT_EQ(says("  param w : [T, 4]\n  output o = conv[T](b, w)"),
            "9:9: a param has no token axis | 'T' is one; declare it as an input\n");
}

/// Weights near the query, and a linear branch for the rest.
const std::string kBranches =
    "  let near = weights over T { score: dot[K](q[i], k[j]); where: 0 <= i - j < 64; mass: sigmoid(b)[i] }\n"
    "  let far = weights over T { weight: dot[K](exp(q)[i], exp(k)[j]); where: j <= i and not "
    "near.where }\n";

TEST(Joint, SharesADivisor) {
  Result r = in(kBranches + "  output o = joint(near of v, far of v)");
  EXPECT_EQ(r.messages, "");
  EXPECT_TRUE(r.has("= weights [j, T] % where % mass %") && r.has("= weights free [j_2, T] % where %")) << r.program;
  EXPECT_TRUE(r.has("= stat mass") && r.has("= select % % % : [B, T, H, V] real")) << r.program;
  EXPECT_FALSE(r.has("= stat max")) << r.program; // the mass is relative to it already
  EXPECT_EQ(r.program,
            in(kBranches + "  output o = joint(near of v, far of v, reference: rowmax, divide: sum)").program);
  EXPECT_TRUE(in(kBranches + "  output o = joint(near of v, far of v, reference: true)").has("= stat max"));
  EXPECT_EQ(says(kBranches + "  output o = joint(near of v, far of c[i] * v[j], divide: sum + 1e-6)"), "");
  EXPECT_EQ(says(kBranches + "  output o = joint(near of v, far of v, near of 2 * v[j], divide: max(sum, 1))"), "");
}

TEST(Joint, Misused) {
  auto joint = [](const std::string &arguments) {
    std::string text = says(kBranches + "  output o = joint(" + arguments + ")");
    return text.substr(text.find(": ") + 2);
  };
  EXPECT_EQ(says(kBranches + "  output o = joint(near of v)"),
            "11:14: 'joint' joins two to 16 weights | expected 'joint(near of v, far of v)'\n");
  EXPECT_EQ(joint("near, far"), "unknown argument of 'joint' | expected 'p of v', 'reference: ..' or 'divide: ..'\n"
                                "11:26: unknown argument of 'joint' | expected 'p of v', 'reference: ..' or 'divide: "
                                "..'\n");
  EXPECT_EQ(joint("near of v, far of v, refrence: true"),
            "unknown argument of 'joint' | expected 'p of v', 'reference: ..' or 'divide: ..' | reference?\n");
  EXPECT_EQ(joint("near of v, far of v, reference: rowmx"), "unknown reference | expected rowmax or true | rowmax?\n");
  EXPECT_EQ(joint("near of v, v of v"), "'joint' joins weights | this is real on [B, T, H, V]\n");
  EXPECT_EQ(joint("near of v, merge(near, near, multiset) of v"), "'joint' joins weights | these are merged\n");
  EXPECT_EQ(joint("near of v, (weights over T { weight: exp(i - j); where: j <= i; divide: count }) of v"),
            "'joint' has one divisor for all | these weights have one of their own; 'divide:' can stand in "
            "'joint(..)'\n");
  EXPECT_EQ(joint("near of v, (weights over T { score: i - j; where: j <= i; sink: 0 }) of v"),
            "not in this version: sinks in 'joint'\n");
  EXPECT_EQ(joint("near of v, far of v, max: stopped"),
            "not in this version: 'max' of 'joint' | it concerns gradients\n");
  EXPECT_EQ(joint("near of v, far of v, divide: count"),
            "'joint' divides by the sum of all weights | expected sum, sum + eps or max(sum, c)\n");
  EXPECT_NE(joint("near of v, far of tanh(q[i] - k[j])").find("is no accumulator"), std::string::npos);
  EXPECT_NE(says(kBranches + "  output o = near(joint(near of v, far of v))").find("inside a walk needs a subscript"),
            std::string::npos);
}

TEST(Outputs, KeepTheAxesThatTheTextNames) {
  // A factor axis that nothing names is not what an output is on.
  std::string text = "fovea 1\nattention a {\n  axis B, D\n  axis T = Y * X\n  input q : [B, Y, X, D]\n";
  EXPECT_TRUE(analyzeText(text + "  output o = q\n}\n").has("output o : [B, Y, X, D]"));
  EXPECT_TRUE(analyzeText(text + "  input z : [B, T]\n  output o = q * z\n}\n").has("output o : [B, T, D]"));
}

} // namespace
