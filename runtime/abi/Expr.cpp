// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parser and evaluator of plan expressions.
#include "runtime/abi/Expr.h"

#include <algorithm>
#include <limits>

namespace fovea::runtime {

namespace {

bool isLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool isDigit(char c) { return c >= '0' && c <= '9'; }

template <typename T> uint32_t intern(std::vector<T> &names, T name) {
  auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end())
    it = names.insert(names.end(), std::move(name));
  return static_cast<uint32_t>(it - names.begin());
}

} // namespace

class ExprParser {
public:
  explicit ExprParser(std::string_view text) : text_(text) {}

  Result<Expr> run() {
    if (text_.size() > Expr::kMaxText)
      return Error{ErrorCode::InvalidArgument, "expression of " + std::to_string(text_.size()) +
                                                   " characters; at most " + std::to_string(Expr::kMaxText)};
    uint32_t root = parseOr();
    if (error_.empty()) {
      skipBlanks();
      if (at_ != text_.size())
        fail("expected an operator or the end");
    }
    if (!error_.empty())
      return Error{ErrorCode::InvalidArgument, error_};
    expr_.root_ = root;
    expr_.text_ = std::string(text_);
    return std::move(expr_);
  }

private:
  using Op = Expr::Op;

  uint32_t fail(const std::string &what) {
    if (error_.empty()) {
      error_ = "in `" + std::string(text_.substr(0, 80)) + (text_.size() > 80 ? "..." : "") + "`, column " +
               std::to_string(at_ + 1) + ": " + what;
      if (at_ < text_.size() && text_[at_] > ' ' && text_[at_] < 0x7f)
        error_ += std::string(", not `") + text_[at_] + "`";
    }
    return 0;
  }

  uint32_t add(Op op, uint32_t left = 0, uint32_t right = 0, int64_t value = 0) {
    if (!error_.empty())
      return 0;
    if (expr_.nodes_.size() >= Expr::kMaxNodes)
      return fail("more than " + std::to_string(Expr::kMaxNodes) + " operands and operators");
    expr_.nodes_.push_back({op, left, right, value});
    return static_cast<uint32_t>(expr_.nodes_.size() - 1);
  }

  void skipBlanks() {
    while (at_ < text_.size() && text_[at_] == ' ')
      ++at_;
  }

  bool accept(std::string_view token) {
    skipBlanks();
    if (text_.substr(at_, token.size()) != token)
      return false;
    at_ += token.size();
    return true;
  }

  bool expect(std::string_view token) {
    if (accept(token))
      return true;
    fail("expected `" + std::string(token) + "`");
    return false;
  }

  /// A name with dots inside it, as tensors have; empty if there is none.
  std::string_view name() {
    skipBlanks();
    size_t start = at_;
    if (at_ < text_.size() && isLetter(text_[at_]))
      while (at_ < text_.size() && (isLetter(text_[at_]) || isDigit(text_[at_]) || text_[at_] == '.'))
        ++at_;
    return text_.substr(start, at_ - start);
  }

  uint32_t parseOr() {
    uint32_t left = parseAnd();
    while (error_.empty() && accept("||"))
      left = add(Op::Or, left, parseAnd());
    return left;
  }

  uint32_t parseAnd() {
    uint32_t left = parseComparison();
    while (error_.empty() && accept("&&"))
      left = add(Op::And, left, parseComparison());
    return left;
  }

  bool acceptComparison(Op &op) {
    static constexpr std::pair<std::string_view, Op> kTokens[] = {{"<=", Op::LessEqual}, {">=", Op::GreaterEqual},
                                                                  {"==", Op::Equal},     {"!=", Op::NotEqual},
                                                                  {"<", Op::Less},       {">", Op::Greater}};
    for (auto [token, candidate] : kTokens)
      if (accept(token)) {
        op = candidate;
        return true;
      }
    return false;
  }

  uint32_t parseComparison() {
    uint32_t left = parseSum();
    Op op;
    if (!error_.empty() || !acceptComparison(op))
      return left;
    left = add(op, left, parseSum());
    // `a < b < c` would compare a truth value with c.
    size_t before = at_;
    if (error_.empty() && acceptComparison(op)) {
      at_ = before;
      return fail("comparisons do not chain; join them with `&&`");
    }
    return left;
  }

  uint32_t parseSum() {
    uint32_t left = parseProduct();
    while (error_.empty()) {
      if (accept("+"))
        left = add(Op::Add, left, parseProduct());
      else if (accept("-"))
        left = add(Op::Sub, left, parseProduct());
      else
        break;
    }
    return left;
  }

  uint32_t parseProduct() {
    uint32_t left = parseUnary();
    while (error_.empty()) {
      if (accept("*"))
        left = add(Op::Mul, left, parseUnary());
      else if (accept("/"))
        left = add(Op::Div, left, parseUnary());
      else if (accept("%"))
        left = add(Op::Mod, left, parseUnary());
      else
        break;
    }
    return left;
  }

  uint32_t parseUnary() {
    if (++depth_ > Expr::kMaxDepth) {
      --depth_;
      return fail("nested more than " + std::to_string(Expr::kMaxDepth) + " deep");
    }
    uint32_t node;
    if (accept("-"))
      node = add(Op::Negate, parseUnary());
    else if (accept("!"))
      node = add(Op::Not, parseUnary());
    else
      node = parsePrimary();
    --depth_;
    return node;
  }

  uint32_t parsePrimary() {
    if (accept("(")) {
      uint32_t node = parseOr();
      if (error_.empty())
        expect(")");
      return node;
    }
    skipBlanks();
    if (at_ < text_.size() && isDigit(text_[at_]))
      return parseInteger();
    size_t start = at_;
    std::string_view word = name();
    if (word.empty())
      return fail(at_ == text_.size() ? "the expression ends where a value is expected" : "expected a value");
    if (word == "device.sms")
      return add(Op::Sms);
    if (accept("("))
      return parseCall(word, start);
    if (word.find('.') != std::string_view::npos) {
      at_ = start;
      return fail("`" + std::string(word) + "` is no axis; the only fact of the device is `device.sms`");
    }
    return add(Op::Axis, intern(expr_.axes_, std::string(word)));
  }

  uint32_t parseInteger() {
    int64_t value = 0;
    for (; at_ < text_.size() && isDigit(text_[at_]); ++at_)
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{text_[at_] - '0'}, &value))
        return fail("the number does not fit 64 bits");
    if (at_ < text_.size() && (isLetter(text_[at_]) || text_[at_] == '.'))
      return fail("only whole decimal numbers are known");
    return add(Op::Constant, 0, 0, value);
  }

  uint32_t parseCall(std::string_view function, size_t start) {
    if (function == "stride") {
      std::string tensor(name());
      if (tensor.empty())
        return fail("expected the name of a tensor");
      if (!expect(","))
        return 0;
      std::string dim(name());
      if (dim.empty())
        return fail("expected the name of a dimension");
      if (!expect(")"))
        return 0;
      return add(Op::Stride, intern(expr_.strides_, std::pair(std::move(tensor), std::move(dim))));
    }
    if (function == "align" || function == "present") {
      std::string tensor(name());
      if (tensor.empty())
        return fail("expected the name of a tensor");
      if (!expect(")"))
        return 0;
      if (function == "align")
        return add(Op::Align, intern(expr_.alignments_, std::move(tensor)));
      return add(Op::Present, intern(expr_.presences_, std::move(tensor)));
    }
    Op op;
    if (function == "min")
      op = Op::Min;
    else if (function == "max")
      op = Op::Max;
    else if (function == "ceildiv")
      op = Op::CeilDiv;
    else {
      at_ = start;
      return fail("`" + std::string(function) +
                  "` is no function; there are stride, align, present, min, max and ceildiv");
    }
    uint32_t left = parseOr();
    if (!error_.empty() || !expect(","))
      return 0;
    uint32_t right = parseOr();
    if (!error_.empty() || !expect(")"))
      return 0;
    return add(op, left, right);
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  std::string error_;
  Expr expr_;
};

Expr::Expr() = default;

Result<Expr> Expr::parse(std::string_view text) { return ExprParser(text).run(); }

Expr Expr::constant(int64_t value) {
  Expr expr;
  expr.text_ = std::to_string(value);
  expr.nodes_.push_back({Op::Constant, 0, 0, value});
  return expr;
}

bool Expr::isConstant(int64_t *value) const {
  if (!nodes_.empty() && nodes_[root_].op != Op::Constant)
    return false;
  if (value)
    *value = nodes_.empty() ? 0 : nodes_[root_].value;
  return true;
}

bool Expr::asksDevice() const {
  return std::any_of(nodes_.begin(), nodes_.end(), [](const Node &node) { return node.op == Op::Sms; });
}

Result<int64_t> Expr::evaluate(const ExprScope &scope) const {
  if (nodes_.empty())
    return int64_t{0};
  return evaluateNode(root_, scope);
}

Result<int64_t> Expr::evaluateNode(uint32_t index, const ExprScope &scope) const {
  const Node &node = nodes_[index];
  auto problem = [&](const char *what) {
    return Error{ErrorCode::InvalidArgument, std::string(what) + " in `" + text_ + "`"};
  };
  switch (node.op) {
  case Op::Constant:
    return node.value;
  case Op::Axis:
    return scope.axis(axes_[node.left]);
  case Op::Stride:
    return scope.stride(strides_[node.left].first, strides_[node.left].second);
  case Op::Align:
    return scope.align(alignments_[node.left]);
  case Op::Present:
    return scope.present(presences_[node.left]);
  case Op::Sms:
    return scope.deviceSms();
  default:
    break;
  }

  Result<int64_t> left = evaluateNode(node.left, scope);
  if (!left)
    return left;
  int64_t a = *left;
  switch (node.op) {
  case Op::Negate: {
    int64_t result;
    if (__builtin_sub_overflow(int64_t{0}, a, &result))
      return problem("overflow of 64 bits");
    return result;
  }
  case Op::Not:
    return int64_t{a == 0};
  case Op::And:
    if (a == 0)
      return int64_t{0};
    break;
  case Op::Or:
    if (a != 0)
      return int64_t{1};
    break;
  default:
    break;
  }

  Result<int64_t> right = evaluateNode(node.right, scope);
  if (!right)
    return right;
  int64_t b = *right;
  int64_t result = 0;
  switch (node.op) {
  case Op::Add:
    if (__builtin_add_overflow(a, b, &result))
      return problem("overflow of 64 bits");
    return result;
  case Op::Sub:
    if (__builtin_sub_overflow(a, b, &result))
      return problem("overflow of 64 bits");
    return result;
  case Op::Mul:
    if (__builtin_mul_overflow(a, b, &result))
      return problem("overflow of 64 bits");
    return result;
  case Op::Div:
  case Op::Mod:
  case Op::CeilDiv: {
    if (b == 0)
      return problem("division by zero");
    if (a == std::numeric_limits<int64_t>::min() && b == -1) {
      if (node.op == Op::Mod)
        return int64_t{0};
      return problem("overflow of 64 bits");
    }
    int64_t quotient = a / b, remainder = a % b;
    bool inexact = remainder != 0, negative = (a < 0) != (b < 0);
    if (node.op == Op::Div)
      return quotient - (inexact && negative);
    if (node.op == Op::CeilDiv)
      return quotient + (inexact && !negative);
    return inexact && negative ? remainder + b : remainder;
  }
  case Op::Min:
    return std::min(a, b);
  case Op::Max:
    return std::max(a, b);
  case Op::Less:
    return int64_t{a < b};
  case Op::LessEqual:
    return int64_t{a <= b};
  case Op::Greater:
    return int64_t{a > b};
  case Op::GreaterEqual:
    return int64_t{a >= b};
  case Op::Equal:
    return int64_t{a == b};
  case Op::NotEqual:
    return int64_t{a != b};
  case Op::And:
  case Op::Or:
    return int64_t{b != 0};
  default:
    return problem("an unknown operator");
  }
}

} // namespace fovea::runtime
