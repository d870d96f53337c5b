// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every message of sema, with its position, by a text that provokes it.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

std::string check(const std::string &text, std::map<std::string, std::string> sets = {}) {
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("t.attn", text, diagnostics);
  sema::Options options;
  options.sets = std::move(sets);
  options.readFile = [](std::string path) -> Result<std::string> {
    if (path == "maps/lib.attn")
      return std::string("fovea 1\nmap scaled(x : [D]) {\n  x\n}\n");
    return Error{ErrorCode::NotFound, path};
  };
  std::optional<sema::Program> program = sema::analyze(file, options, diagnostics);
  EXPECT_EQ(program.has_value(), !diagnostics.hasErrors());
  std::string out;
  for (const syntax::Diagnostic &d : diagnostics.diagnostics()) {
    if (d.span.valid()) {
      syntax::Position p = diagnostics.sources.position(d.span);
      out += std::to_string(p.line) + ":" + std::to_string(p.column) + ": ";
    }
    out += std::string(d.severity == syntax::Severity::Warning ? "warning: " : "") + d.message;
    if (!d.label.empty())
      out += " | " + d.label;
    if (!d.suggestion.empty())
      out += " | " + d.suggestion + "?";
    out += "\n";
  }
  return out;
}

/// The body starts at line 9.
std::string in(const std::string &body, std::map<std::string, std::string> sets = {}) {
  return check(
      "fovea 1\nattention a {\n  axis B, T, H, D\n  axis S keys T\n  input q : [B, T, H, D]\n  input k : [B, S, H, D]\n"
      "  let p = weights over S { score: dot[D](q[i], k[j]) }\n  output o = p(k)\n" +
          body + "\n}\n",
      std::move(sets));
}

TEST(Check, Base) { EXPECT_EQ(in(""), ""); }

TEST(Check, Names) {
  EXPECT_EQ(in("  output a = qq + 1"), "9:14: unknown name 'qq'\n");
  EXPECT_EQ(in("  input query : [B]\n  output a = qeury"), "10:14: unknown name 'qeury' | query?\n");
  EXPECT_EQ(in("  output a = softmx[D](q)"), "9:14: unknown function 'softmx' | softmax?\n");
  EXPECT_EQ(in("  output a = exp"), "9:14: 'exp' is a function | expected its arguments\n");
  EXPECT_EQ(in("  output a = b\n  let b = 1"), "9:14: 'b' is used before its definition\n");
  EXPECT_EQ(in("  input q : [B]"),
            "9:9: 'q' is declared twice | axes, tensors, options and maps share one namespace\n");
  EXPECT_EQ(in("  let T = 1"), "9:7: 'T' is declared twice | axes, tensors, options and maps share one namespace\n");
  EXPECT_EQ(in("  output a = q(1)"), "9:14: 'q' cannot be called | expected a function, a map or weights\n");
  EXPECT_EQ(in("  output a = q.lse"), "9:16: 'q' has no part 'lse' | only weights have parts\n");
  EXPECT_EQ(in("  output a = p.les"),
            "9:16: weights have no part 'les' | expected lse, max, mass, count, where or score "
            "| lse?\n");
}

TEST(Check, Axes) {
  EXPECT_EQ(in("  input a : [B, Q]\n  output b = a"), "9:17: unknown axis 'Q' | declare it with 'axis Q'\n");
  EXPECT_EQ(in("  input a : [B, q]\n  output b = a"), "9:17: 'q' is no axis | expected an axis\n");
  EXPECT_EQ(in("  input a : [B, B]\n  output b = a"), "9:17: axis 'B' stands twice\n");
  EXPECT_EQ(in("  axis N = M * M"), "9:16: axis 'M' is a factor twice\n");
  EXPECT_EQ(in("  axis N = N * M"), "9:12: axis 'N' is a factor of itself\n");
  EXPECT_EQ(in("  axis N = M * L\n  axis M = N * P"), "9:8: the factors of axis 'N' repeat\n");
  EXPECT_EQ(in("  axis N = 0"),
            "9:12: an axis cannot have the size 0 | expected a whole number from 1 to 2147483647\n");
  EXPECT_EQ(in("  axis N keys M"), "9:15: unknown axis 'M' | expected the axis of the queries\n");
  EXPECT_EQ(in("  axis N keys N"),
            "9:15: an axis cannot hold the keys of itself | self-attention walks the axis itself\n");
  EXPECT_EQ(in("  output a = sum[S](q)"), "9:21: 'q' has no axis 'S' | it is on [B, T, H, D]\n");
  EXPECT_EQ(in("  output a = dot[D](q, 1)"), "9:24: '1' has no axis 'D' | it is on []\n");
  EXPECT_EQ(in("  output a = dot(q, q)"), "9:14: 'dot' needs the axes that it works on | expected 'dot[..](..)'\n");
  EXPECT_EQ(in("  output a = norm[D]((q): 1)"),
            "9:22: the label of an argument is a name | expected such as 'eps: 1e-5'\n");
  EXPECT_EQ(in("  output a = exp[D](q)"), "9:14: 'exp' takes no axes | expected 'exp(..)'\n");
}

TEST(Check, Sizes) {
  EXPECT_EQ(in("", {{"T", "0"}}),
            "3:11: axis 'T' cannot have the size '0' | --set T=.. takes a whole number from 1 to 2147483647\n");
  EXPECT_EQ(
      in("", {{"T", "4294967296"}}),
      "3:11: axis 'T' cannot have the size '4294967296' | --set T=.. takes a whole number from 1 to 2147483647\n");
  EXPECT_EQ(in("", {{"Z", "1"}}), "--set Z=1: no axis, const or option is named 'Z'\n");
  EXPECT_EQ(in("", {{"q", "1"}}), "--set q=1: 'q' is an input, which is given at run time\n");
  EXPECT_EQ(in("  axis N = M * L\n  input x : [N]\n  output a = x", {{"N", "7"}, {"M", "2"}}),
            "9:8: the size 7 of axis 'N' is no multiple of its other factors, 2\n");
  EXPECT_EQ(in("  axis N = M * L\n  input x : [N]\n  output a = x", {{"N", "7"}, {"M", "2"}, {"L", "3"}}),
            "9:8: axis 'N' has the size 7, but the product of its factors is 6\n");
  EXPECT_EQ(in("  axis N = 4\n  input x : [N]\n  output a = x", {{"N", "5"}}),
            "9:8: axis 'N' has the size 4 here | --set gives 5\n");
  EXPECT_EQ(in("", {{"B", "2147483647"}, {"T", "2147483647"}, {"H", "4"}, {"D", "64"}}),
            "5:9: 'q' has more than 2^60 elements with these sizes\n8:10: 'o' has more than 2^60 elements with these "
            "sizes\n");
}

TEST(Check, Kinds) {
  EXPECT_EQ(in("  output a = q + (1 < 2)"), "9:18: expected a number | this is bool on []\n");
  EXPECT_EQ(in("  output a = if q then 1 else 2"),
            "9:17: expected a condition | this is real on [B, T, H, D]; write a comparison\n");
  EXPECT_EQ(in("  output a = q // 2"), "9:14: '//' takes integers | this is real on [B, T, H, D]\n");
  EXPECT_EQ(in("  output a = 1 // 0"), "9:19: division by zero\n");
  EXPECT_EQ(in("  output a = q > 0"),
            "9:14: an output is a number | this is bool on [B, T, H, D]; use 'if .. then 1 else 0'\n");
  EXPECT_EQ(in("  output a : i32 = q"), "9:14: a real value cannot be an i32 output\n");
  EXPECT_EQ(in("  output a = p + 1"),
            "9:14: 'p' is a distribution over keys, not a number | apply it to values: p(v)\n");
  EXPECT_EQ(in("  output a = 9999999999999999999"),
            "9:14: this integer does not fit in 64 bits | write it as a real number: 1e30\n");
  EXPECT_EQ(in("  output a = 9223372036854775807 + 1"),
            "9:14: integer overflow in a constant | integers have 64 bits\n");
  EXPECT_EQ(in("  output a = 1e999"), "9:14: this number is too large | infinity is written 'inf'\n");
  EXPECT_EQ(
      in("  output a = if q > 0 then q else 1 > 0"),
      "9:35: the two values of 'if' are of different kinds | this is bool on [], the other real on [B, T, H, D]\n");
  EXPECT_EQ(in("  output a : [B] = q").substr(0, 59), "9:14: the value has the axis 'T', which the output lacks | ");
  EXPECT_EQ(in("  let a = (q = 1)").substr(0, 5), "9:14:");
}

TEST(Check, Walks) {
  EXPECT_EQ(in("  output a = i + 1"),
            "9:14: 'i' has a meaning only in a walk | the query's position: in the fields of 'weights', in "
            "p(..), or in 'let name(i, j) = ..'\n");
  EXPECT_EQ(in("  output a = k[j]").substr(0, 41), "9:16: 'j' has a meaning only in a walk | ");
  EXPECT_EQ(in("  let w = weights over S { score: dot[D](q, k[j]) }\n  output a = w(k)"),
            "9:42: 'q' has the walked axis 'T' and needs a subscript here | expected 'q[i]'\n");
  EXPECT_EQ(in("  let w = weights over S { score: dot[D](q[i], k) }\n  output a = w(k)"),
            "9:48: 'k' has the walked axis 'S' and needs a subscript here | expected 'k[j]' (or 'k[i]')\n");
  EXPECT_EQ(in("  output a = p(2 * k)"),
            "9:20: 'k' has the walked axis 'S' and needs a subscript here | expected 'k[j]' (or 'k[i]')\n");
  EXPECT_EQ(in("  output a = p(q)"), "9:16: 'q' has no axis 'S' | it is on [B, T, H, D]; expected 'q[i]'\n");
  EXPECT_EQ(in("  let w = weights over S { score: dot[D](q[i], q[j]) }\n  output a = w(k)"),
            "9:48: 'q' has no axis 'S' | it is on [B, T, H, D]; expected 'q[i]'\n");
  EXPECT_EQ(in("  let w = weights over S { score: q[i] * k[j] }\n  output a = w(k)"),
            "9:35: the score still has the feature axis 'D' | expected one number per pair; contract it with "
            "dot[D](..) or sum[D](..)\n");
  EXPECT_EQ(in("  let w = weights over S { score: dot[D](q[i], k[j]); where: i - j }\n  output a = w(k)"),
            "9:62: 'where' is a condition | this is int on [T, j]; expected a comparison, such as j <= i\n");
  EXPECT_EQ(in("  let w = weights over S { scor: 1 }\n  output a = w(k)"),
            "9:28: unknown field 'scor' | expected score, where, weight, divide, sink, mass or at | score?\n");
  EXPECT_EQ(in("  let w = weights over S { where: j <= i }\n  output a = w(k)"),
            "9:11: these weights have no score | expected 'score: ..'\n");
  EXPECT_EQ(in("  let w = weights over S { score: sum[D](q[i]) }\n  output a = w(k)"),
            "9:35: the score does not depend on the key | no tensor here has the subscript [j]\n");
  EXPECT_EQ(in("  let w = weights over S { score: dot[D](q[i], k[j]); sink: sum[D](k[j]) }\n  output a = w(k)"),
            "9:61: a sink belongs to no key | this depends on j\n");
  EXPECT_EQ(in("  let w = weights over S { score: dot[D](q[i], k[j]); score: 1 }\n  output a = w(k)"),
            "9:55: field 'score' stands twice\n");
  EXPECT_EQ(in("  let t(i, j) = q[i]\n  output a = t"),
            "10:14: pair function 't' has a value only in a walk | use it in the fields of 'weights' or in p(..)\n");
  EXPECT_EQ(in("  let t(a, b) = 1\n  output c = p(t)"),
            "9:9: a pair function has the indices (i, j) | expected 't(i, j)'\n");
  EXPECT_EQ(in("  let t(i, j) = t + 1\n  output c = p(t)"), "9:17: pair function 't' uses itself\n");
  EXPECT_EQ(in("  output a = p(k, k)"), "9:14: 'p' takes one argument | the value whose expectation it is: p(v)\n");
  EXPECT_EQ(in("  let w = weights over S as i { score: dot[D](q[i], k[j]) }").substr(0, 39),
            "9:29: 'i' is the query's position | cho");
}

TEST(Check, Accumulators) {
  EXPECT_EQ(in("  output a = p(exp(q[i] * k[j]))"),
            "9:16: the term 'exp(q[i] * k[j])' is no accumulator | it depends on i and j and has features: [D]\n");
  EXPECT_EQ(in("  output a = p(k[j] + 2 * tanh(q[i] - k[j]))"),
            "9:27: the term 'tanh(q[i] - k[j])' is no accumulator | it depends on i and j and has features: [D]\n");
  EXPECT_EQ(in("  output a = p(q[i] * k[j])"), "");
}

TEST(Check, Attend) {
  EXPECT_EQ(in("  output a = attend over S (query: q, key: k)"),
            "9:14: 'attend' lacks its value | expected 'value: ..'\n");
  EXPECT_EQ(in("  output a = attend over S (query: q, kye: k, value: k)"),
            "9:39: unknown argument of 'attend' | expected 'query: ..', 'key: ..' and 'value: ..' | key?\n");
  EXPECT_EQ(in("  input f : [B, S, H]\n  output a = attend over S (query: q, key: f, value: k)").substr(0, 65),
            "10:44: query and key do not end with the same feature axis | quer");
}

TEST(Check, Declarations) {
  EXPECT_EQ(in("  input a : f23 [B]\n  output b = a"),
            "9:13: unknown element type 'f23' | expected bf16, f16, f32 or i32 | f32?\n");
  EXPECT_EQ(in("  input a : B\n  output b = a"), "9:13: unknown element type 'B' | axes stand in brackets: [B]\n");
  EXPECT_EQ(in("  input a : f32 = 1\n  output b = a"),
            "9:19: an input has no default | only a scalar 'param' has one\n");
  EXPECT_EQ(in("  param a : i32 = 1.5\n  output b = a"),
            "9:19: the default of an i32 must be a whole number | this is real\n");
  EXPECT_EQ(in("  param a : f32 = sum[B, T, H, D](q)\n  output b = a"),
            "9:19: a default is made of constants and sizes | 'q' is known only at run time\n");
  EXPECT_EQ(in("  param a : f32 [D] <= q\n  output b = a"),
            "9:24: the bound of a contract must be a single number | this is real on [B, T, H, D]; expected a "
            "constant, a size or a scalar param\n");
  EXPECT_EQ(in("  param a : f32 > 1 < 1\n  output b = a"), "9:17: no value can satisfy this contract\n");
  EXPECT_EQ(in("  param a : f32 > 1 > 2\n  output b = a"), "9:21: two bounds on the same side\n");
  EXPECT_EQ(in("  param a : [T]\n  output b = a"),
            "9:9: a param has no token axis | 'T' is one; declare it as an input\n");
  EXPECT_EQ(in("  const a\n  output b = a"),
            "9:9: const 'a' has neither a type nor a value | expected ': int', ': real' or '= ..'\n");
  EXPECT_EQ(in("  const a : itn = 1\n  output b = a"),
            "9:13: a const is a single number | expected 'int' or 'real' | int?\n");
  EXPECT_EQ(in("  const a : int = 1.5\n  output b = a"),
            "9:19: the value of an int must be a whole number | this is real\n");
  EXPECT_EQ(in("  const a = sum[B, T, H, D](q)\n  output b = a"),
            "9:13: a const is known at compile time | 'q' is not; use 'let'\n");
  EXPECT_EQ(in("  const a : int = 1\n  output b = a", {{"a", "x"}}),
            "9:9: const 'a' cannot be 'x' | --set a=.. takes a whole number\n");
  EXPECT_EQ(in("  option m = x | y\n  output b = match m { x: 1; y: 2 }", {{"m", "z"}}),
            "9:10: option 'm' has no choice 'z' | choices: x, y\n");
  EXPECT_EQ(in("  option m = x | y\n  output b = match m { x: 1 }"),
            "10:20: this match lacks the choice 'y' | expected 'y: ..'\n");
  EXPECT_EQ(in("  option m = xa | y\n  output b = match m { xa: 1; y: 2; xaa: 3 }"),
            "10:37: option 'm' has no choice 'xaa' | xa?\n");
  EXPECT_EQ(in("  option m = x | y\n  output b = match n { x: 1; y: 2 }"),
            "10:20: unknown option 'n' | declare it with 'option n = a | b'\n");
  EXPECT_EQ(in("  option m = x | y\n  output b = m"),
            "10:14: option 'm' has no value of its own | write 'match m { .. }'\n");
  EXPECT_EQ(check("fovea 1\nattention a {\n  axis T\n}\n"),
            "2:11: attention 'a' has no output | expected 'output o = ..'\n");
  EXPECT_EQ(check("fovea 1\n"), "1:1: the file has neither an attention nor a map\n");
}

TEST(Check, Unused) {
  EXPECT_EQ(in("  axis N\n  input a : [B]\n  let b = 1\n  option m = x | y\n  const c = 1\n  param d : f32"),
            "9:8: warning: axis 'N' is never used\n10:9: warning: input 'a' is never used\n11:7: warning: let 'b' is "
            "never used\n"
            "12:10: warning: no match reads option 'm'\n13:9: warning: const 'c' is never used\n14:9: warning: param "
            "'d' is never used\n");
  EXPECT_EQ(check("fovea 1\nimport \"lib\" (scaled)\nattention a {\n  axis T\n  input x : [T]\n  output o = x\n}\n"),
            "2:15: warning: import 'scaled' is never used\n");
}

TEST(Check, MapsAndImports) {
  std::string tail = "attention a {\n  axis T, D\n  input x : [T, D]\n  input s : f32\n  output o = ";
  auto map = [&](const std::string &body, const std::string &call) {
    return check("fovea 1\n" + body + tail + call + " + 0 * s\n}\n");
  };
  EXPECT_EQ(check("fovea 1\nimport \"nowhere\" (f)\n" + tail + "f(x) + s\n}\n"),
            "2:8: file 'nowhere' cannot be read | tried nowhere.attn, maps/nowhere.attn\n");
  EXPECT_EQ(check("fovea 1\nimport \"lib\" (scald)\n" + tail + "scald(x) + s\n}\n"),
            "2:15: 'lib' has no 'scald' | scaled?\n");
  EXPECT_EQ(map("map f(x : [D]) {\n  f(x)\n}\n", "f(x)"), "3:3: map 'f' uses itself\n");
  EXPECT_EQ(map("map f(x : [D]) {\n  let y = x\n}\n", "f(x)"),
            "2:5: map 'f' has no value | its last line must be an expression\n");
  EXPECT_EQ(map("map f(x : [D]) {\n  x\n  x\n}\n", "f(x)"), "4:3: a map has one value | a second expression\n");
  EXPECT_EQ(map("map f(x : [D], y : [D]) {\n  x + y\n}\n", "f(x)"), "9:14: map 'f' needs the argument 'y'\n");
  EXPECT_EQ(map("map f(x : [D]) {\n  x\n}\n", "f(x, x)"), "9:19: map 'f' has no parameter for this argument\n");
  EXPECT_EQ(map("map f(xs : [D]) {\n  xs\n}\n", "f(xz: x)"), "9:16: map 'f' has no parameter 'xz'\n");
  EXPECT_EQ(map("map f(x : [E]) {\n  x * E\n}\n", "f(s)"), "9:16: 's' has too few axes for map 'f' | it is on []\n");
  EXPECT_EQ(map("map f(x : [E], y : [E]) {\n  x * y * E\n}\n", "f(x, s)"),
            "9:19: 's' has no axis 'D' | it is on []; axis 'E' of map 'f' is 'D' here\n");
  EXPECT_EQ(map("map f(x : [D]) -> [D] {\n  sum[D](x)\n}\n", "f(x)"),
            "2:20: the value of map 'f' has no axis 'D' | it is on [T]\n");
}

TEST(Check, NotInThisVersion) {
  auto says = [](const std::string &body, const std::string &what, const std::string &at) {
    std::string text = in(body);
    EXPECT_EQ(text.substr(0, at.size()), at) << body << "\n" << text;
    EXPECT_NE(text.find("not in this version: " + what), std::string::npos) << body << "\n" << text;
  };
  says("  axis N = 1 + D^2", "this part of an axis", "9:16");
  says("  axis M = H * B, N = M * D + D", "a product of axes as a part, where 'M' is made of others", "9:23");
  says("  axis N = S / 64, M = N / 2", "blocks of an axis that is made of others", "9:20");
  says("  axis L = M * K2, N = L + D", "a factor axis as a part of 'N'", "9:20");
  says("  output a = solve x : [B] { x = q } by cg(2)", "solve", "9:14");
  for (const char *name : {"topk[S](q, 1)", "stop(q)", "any[D](q)", "rank[T](q)", "project(q)"})
    says("  output a = " + std::string(name),
         "'" + std::string(name).substr(0, std::string(name).find_first_of("([")) + "'", "9:14");
  says("  output a = norm[S in S](k)", "'norm' over the blocks of an axis", "9:19");
  says("  output a = max[S in S, D](k)", "reductions over blocks and other axes together", "9:18");
  says("  output a = sum[S overlap S](p)", "reductions over overlapping blocks", "9:18");
  says("  output a = p[D]", "views of weights", "9:14");
  says("  output a = round(q, bf16)", "rounding to a type", "9:14");
  says("  output a = softmax[D](q, where: q > 0)", "'where' in a reduction", "9:28");
  says("  output a = q as [D]", "regrouping axes by 'as'", "9:20");
  says("  axis N = 4, M = N * L\n  output a = q as [D: M]", "renaming to or from an axis that is made of others",
       "10:20");
  says("  axis M = H * B\n  output a = q[M: 1]", "gathering on a factor axis", "10:16");
  says("  axis M = H * B\n  output a = cumsum[M](q)", "prefix sums along a factor axis", "10:21");
  says("  axis M = H * B\n  output a = pos[M] * q", "positions on a factor axis", "10:14");
  says("  axis M = T * L\n  axis N keys M\n  input y : [N, D]\n  let w = weights over N { score: sum[D](y[j]) }",
       "queries on a factor axis that have keys of their own", "12:24");
  says("  output a = p.lse(base: 2)", "arguments of a statistic", "9:14");
  says("  let w = weights over S { score: dot[D](q[i], k[j - 1]) }", "this subscript", "9:48");
  says("  let w = weights over S { score: 1 * j; where: j in q }", "index sets", "9:49");
  says("  param a : [D] = 1", "defaults of params that have axes", "9:19");
  EXPECT_EQ(check("fovea 1\nattention a {\n  axis T\n  input x : [T]\n  output o = x\n}\nschedule o { chunk: 1 }\n"),
            "7:1: not in this version: schedule\n");
}

TEST(Check, ErrorsDoNotCascade) {
  // Parts of axes that were refused.
  EXPECT_EQ(
      in("  axis M = lo: D + D^2\n  output a = lo * q[lo]"),
      "9:20: not in this version: this part of an axis | works now: names of axes, numbers and products of two axes, "
      "as in E = R + P and F = 1 + D + D * D\n");
  EXPECT_EQ(in("  axis N = H * B, M = lo: N + hi: N\n  output a = lo * q[hi]"),
            "9:19: not in this version: a factor axis as a part of 'M'\n");
  EXPECT_EQ(in("  let a = qq\n  let b = a + 1\n  output c = b * a"), "9:11: unknown name 'qq'\n");
  EXPECT_EQ(in("  inptu x : [B]\n  output c = x").substr(0, 23), "9:3: unexpected 'inptu'");
  EXPECT_EQ(in("  inptu x : [B]\n  output c = x").find("unknown name"), std::string::npos);
  EXPECT_EQ(in("  let a = (1\n  output c = a"), "10:3: unexpected 'output' | expected ',' or ')'\n");
}

TEST(Check, ProgramsAreBounded) {
  // Each map calls the one before twice: 2^40 inlined calls.
  std::string text = "fovea 1\nmap f0(x : [D]) {\n  x\n}\n";
  for (int k = 1; k <= 40; ++k)
    text += "map f" + std::to_string(k) + "(x : [D]) {\n  f" + std::to_string(k - 1) + "(x) + f" +
            std::to_string(k - 1) + "(x)\n}\n";
  EXPECT_NE(check(text).find("the program is too large"), std::string::npos);
  // (a + b)^k distributes into 2^k terms.
  std::string product = "(k[j] + q[i])";
  for (int k = 0; k < 20; ++k)
    product += " * (k[j] + q[i])";
  EXPECT_NE(in("  output a = p(" + product + ")").find("distributes into"), std::string::npos);
  // Long chains of names stay within the stack.
  std::string chain = "  let x0 = sum[D](q)\n";
  for (int k = 1; k < 3000; ++k)
    chain += "  let x" + std::to_string(k) + " = x" + std::to_string(k - 1) + " + x" + std::to_string(k - 1) + "\n";
  EXPECT_EQ(
      in(chain + "  let w = weights over S { score: dot[D](q[i], k[j]); where: j < x2999[i] }\n  output a = w(k)"), "");
  std::string pairs = "  let t0(i, j) = i - j\n";
  for (int k = 1; k < 3000; ++k)
    pairs += "  let t" + std::to_string(k) + "(i, j) = t" + std::to_string(k - 1) + " + 1\n";
  EXPECT_NE(in(pairs + "  output a = p(t2999)").find("nested too deeply"), std::string::npos);
}

} // namespace
