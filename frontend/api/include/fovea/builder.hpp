// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A variant of attention made in C++ in place of a .attn file: C++ expressions that give the text of a specification.
// Header only, C++17, needs no library; the text goes to fovea_compile_text, `fovea compile` or a file, and everything
// is checked there, with positions in the text. docs/language.md explains the constructs.
//
//   using namespace fovea::spec;
//   Attention a("gated", Claim::Causal);
//   a.axes({"B", "T", "H", "D", "V"}).axis("S keys T").statics({"D", "V"});
//   Expr q = a.input("q", {"B", "T", "H", "D"}), k = a.input("k", {"B", "S", "H", "D"});
//   Expr v = a.input("v", {"B", "S", "H", "V"}), z = a.input("z", {"B", "T", "H"});
//   Expr i = a.row(), j = a.key();
//   Expr p = a.weights("p", "S", {{"score", dot({"D"}, q[i], k[j]) * pow(size("D"), -0.5)}, {"where", j <= i}});
//   a.output("o", p(v) * sigmoid(z));
//   std::string text = a.text();
#ifndef FOVEA_BUILDER_HPP
#define FOVEA_BUILDER_HPP

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fovea::spec {

/// An expression of the language. Copies are cheap enough: it is its text, and whether that needs parentheses.
class Expr {
public:
  /// A number: integers as they are, others with as many digits as they need.
  template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>> Expr(Number value) {
    if constexpr (std::is_same_v<Number, bool>) {
      text_ = value ? "0 == 0" : "0 == 1";
      atom_ = false;
    } else if constexpr (std::is_integral_v<Number>) {
      text_ = std::to_string(value);
      atom_ = value >= 0;
    } else {
      char buffer[40];
      std::snprintf(buffer, sizeof buffer, "%.17g", static_cast<double>(value));
      text_ = buffer;
      atom_ = value >= 0;
    }
  }
  /// A piece of text in the language, as "q" or "pos[T]"; in parentheses wherever another operator meets it, unless it
  /// is an `atom`.
  explicit Expr(std::string text, bool atom = false) : text_(std::move(text)), atom_(atom) {}

  const std::string &text() const { return text_; }
  std::string operand() const { return atom_ ? text_ : "(" + text_ + ")"; }

  /// x[i]: a tensor at the query's or the key's position, or at any other place of a walk.
  Expr operator[](const Expr &index) const { return Expr(operand() + "[" + index.text() + "]", true); }
  /// x[A: e], and the view x[R] of a part of a concatenation.
  Expr at(const std::string &axis, const Expr &index) const {
    return Expr(operand() + "[" + axis + ": " + index.text() + "]", true);
  }
  Expr view(const std::string &part) const { return Expr(operand() + "[" + part + "]", true); }
  /// x as [K: K2].
  Expr as(const std::string &axis, const std::string &name) const {
    return Expr(operand() + " as [" + axis + ": " + name + "]");
  }
  /// p(e): the expectation under weights; or a map applied to arguments.
  template <typename... More> Expr operator()(const Expr &first, const More &...more) const {
    std::string list = first.text();
    ((list += ", " + Expr(more).text()), ...);
    return Expr(operand() + "(" + list + ")", true);
  }
  /// p.lse, p.max, p.mass, p.count, p.where.
  Expr stat(const std::string &name) const { return Expr(operand() + "." + name, true); }

private:
  std::string text_;
  bool atom_ = false;
};

#define FOVEA_BUILDER_BINARY(op, word)                                                                                 \
  inline Expr operator op(const Expr &a, const Expr &b) { return Expr(a.operand() + " " word " " + b.operand()); }
FOVEA_BUILDER_BINARY(+, "+")
FOVEA_BUILDER_BINARY(-, "-")
FOVEA_BUILDER_BINARY(*, "*")
FOVEA_BUILDER_BINARY(/, "/")
FOVEA_BUILDER_BINARY(%, "%")
FOVEA_BUILDER_BINARY(<, "<")
FOVEA_BUILDER_BINARY(<=, "<=")
FOVEA_BUILDER_BINARY(>, ">")
FOVEA_BUILDER_BINARY(>=, ">=")
FOVEA_BUILDER_BINARY(==, "==")
FOVEA_BUILDER_BINARY(!=, "!=")
FOVEA_BUILDER_BINARY(&&, "and")
FOVEA_BUILDER_BINARY(||, "or")
#undef FOVEA_BUILDER_BINARY
inline Expr operator-(const Expr &a) { return Expr("-" + a.operand()); }
inline Expr operator!(const Expr &a) { return Expr("not " + a.operand()); }
inline Expr pow(const Expr &a, const Expr &b) { return Expr(a.operand() + "^" + b.operand()); }
/// a // b, the floor of the quotient of integers.
inline Expr floordiv(const Expr &a, const Expr &b) { return Expr(a.operand() + " // " + b.operand()); }
inline Expr select(const Expr &condition, const Expr &yes, const Expr &no) {
  return Expr("if " + condition.operand() + " then " + yes.operand() + " else " + no.operand());
}

/// A function of the language by name: call("log_sigmoid", {x}), call("sum", {"T"}, {x}), call("rope", {"D"}, {q, p}).
inline Expr call(const std::string &name, const std::vector<std::string> &axes, const std::vector<Expr> &arguments) {
  std::string text = name;
  for (size_t n = 0; n < axes.size(); ++n)
    text += (n ? ", " : "[") + axes[n] + (n + 1 == axes.size() ? "]" : "");
  text += "(";
  for (size_t n = 0; n < arguments.size(); ++n)
    text += (n ? ", " : "") + arguments[n].text();
  return Expr(text + ")", true);
}
inline Expr call(const std::string &name, const std::vector<Expr> &arguments) { return call(name, {}, arguments); }

#define FOVEA_BUILDER_UNARY(name)                                                                                      \
  inline Expr name(const Expr &x) { return call(#name, {x}); }
FOVEA_BUILDER_UNARY(abs)
FOVEA_BUILDER_UNARY(exp)
FOVEA_BUILDER_UNARY(exp2)
FOVEA_BUILDER_UNARY(log)
FOVEA_BUILDER_UNARY(sqrt)
FOVEA_BUILDER_UNARY(rsqrt)
FOVEA_BUILDER_UNARY(tanh)
FOVEA_BUILDER_UNARY(sigmoid)
FOVEA_BUILDER_UNARY(log_sigmoid)
FOVEA_BUILDER_UNARY(silu)
FOVEA_BUILDER_UNARY(softplus)
FOVEA_BUILDER_UNARY(relu)
FOVEA_BUILDER_UNARY(elu)
FOVEA_BUILDER_UNARY(gelu)
#undef FOVEA_BUILDER_UNARY
inline Expr min(const Expr &a, const Expr &b) { return call("min", {a, b}); }
inline Expr max(const Expr &a, const Expr &b) { return call("max", {a, b}); }
inline Expr dot(const std::vector<std::string> &axes, const Expr &a, const Expr &b) {
  return call("dot", axes, {a, b});
}
inline Expr sum(const std::vector<std::string> &axes, const Expr &x) { return call("sum", axes, {x}); }
inline Expr mean(const std::vector<std::string> &axes, const Expr &x) { return call("mean", axes, {x}); }
inline Expr softmax(const std::vector<std::string> &axes, const Expr &x) { return call("softmax", axes, {x}); }
inline Expr l2norm(const std::vector<std::string> &axes, const Expr &x) { return call("l2norm", axes, {x}); }
inline Expr rmsnorm(const std::vector<std::string> &axes, const Expr &x) { return call("rmsnorm", axes, {x}); }
/// The size of an axis as a number; positions along one; a state's reads.
inline Expr size(const std::string &axis) { return Expr(axis, true); }
inline Expr index(const std::string &axis) { return Expr("index[" + axis + "]", true); }
inline Expr position(const std::string &axis) { return Expr("pos[" + axis + "]", true); }
inline Expr read(const Expr &state, const Expr &query) { return call("read", {state, query}); }
inline Expr decayed(const Expr &state) { return call("decayed", {state}); }
inline Expr prev(const Expr &state) { return call("prev", {state}); }
inline Expr last(const Expr &state) { return call("last", {state}); }

enum class Claim { None, Causal, Set };

/// One field of a weights or a recurrence: its name and its value.
using Field = std::pair<std::string, Expr>;

/// An attention under construction, in the order of the calls.
class Attention {
public:
  explicit Attention(const std::string &name, Claim claim = Claim::None)
      : head_("attention " + name +
              (claim == Claim::Causal ? " causal"
               : claim == Claim::Set  ? " set"
                                      : "") +
              " {\n") {}

  /// Plain axes; one axis with its relation, as "S keys T" or "H = Hk * G"; axes whose sizes specialise the kernel.
  Attention &axes(const std::vector<std::string> &names) { return item("axis " + join(names)); }
  Attention &axis(const std::string &declaration) { return item("axis " + declaration); }
  Attention &statics(const std::vector<std::string> &names) { return item("static " + join(names)); }
  Attention &constant(const std::string &name, const Expr &value) {
    return item("const " + name + " = " + value.text());
  }

  /// `type`: "", "f32", "i32", ..; `contract`: "", "<= 0", "in [0, 1)".
  Expr input(const std::string &name, const std::vector<std::string> &axes, const std::string &type = "",
             const std::string &contract = "", bool optional = false) {
    return tensor("input", name, axes, type, contract, optional);
  }
  Expr param(const std::string &name, const std::vector<std::string> &axes, const std::string &type = "",
             const std::string &contract = "") {
    return tensor("param", name, axes, type, contract, false);
  }
  Expr carry(const std::string &name, const std::vector<std::string> &axes, const std::string &type = "f32",
             bool optional = true) {
    return tensor("carry", name, axes, type, "", optional);
  }

  /// Names an expression, which is then computed once.
  Expr let(const std::string &name, const Expr &value) {
    item("let " + name + " = " + value.text());
    return Expr(name, true);
  }
  /// let NAME = weights over AXIS { fields }; the fields of docs/language.md: score, where, weight, divide, sink, mass.
  Expr weights(const std::string &name, const std::string &over, const std::vector<Field> &fields) {
    item("let " + name + " = weights over " + over + " " + braces(fields));
    return Expr(name, true);
  }
  /// state NAME[KEY, VALUE] = recur over AXIS { fields }: key, value, decay, erase, where, initial, ..
  Expr state(const std::string &name, const std::string &key, const std::string &value, const std::string &over,
             const std::vector<Field> &fields, bool reverse = false) {
    item("state " + name + "[" + key + ", " + value + "] = recur over " + over + (reverse ? " reverse " : " ") +
         braces(fields));
    return Expr(name, true);
  }
  /// The positions of the query and of the key inside weights.
  Expr row() const { return Expr("i", true); }
  Expr key() const { return Expr("j", true); }

  Attention &output(const std::string &name, const Expr &value) {
    return item("output " + name + " = " + value.text());
  }
  /// Any other item of the language, as it is written there.
  Attention &item(const std::string &text) {
    body_ += "  " + text + "\n";
    return *this;
  }

  /// The specification: one file with this attention.
  std::string text() const { return "fovea 1\n\n" + head_ + body_ + "}\n"; }

private:
  static std::string join(const std::vector<std::string> &names) {
    std::string list;
    for (const std::string &name : names)
      list += (list.empty() ? "" : ", ") + name;
    return list;
  }
  static std::string braces(const std::vector<Field> &fields) {
    std::string text = "{\n";
    for (const Field &field : fields)
      text += "    " + field.first + ": " + field.second.text() + "\n";
    return text + "  }";
  }
  Expr tensor(const char *role, const std::string &name, const std::vector<std::string> &axes, const std::string &type,
              const std::string &contract, bool optional) {
    item(std::string(role) + " " + name + " : " + type + (type.empty() ? "" : " ") + "[" + join(axes) + "]" +
         (contract.empty() ? "" : " " + contract) + (optional ? " optional" : ""));
    return Expr(name, true);
  }

  std::string head_, body_;
};

} // namespace fovea::spec

#endif
