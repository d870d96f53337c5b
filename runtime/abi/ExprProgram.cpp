// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluation of numbered expressions, of one value and of ranges.
#include "runtime/abi/ExprProgram.h"

#include <algorithm>
#include <limits>

namespace fovea::runtime {

namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMaxAlign = 1024;

/// Quotient towards minus infinity (up: plus infinity); b is not 0, and not -1 for the least a.
int64_t floorDiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
int64_t ceilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0 && (a < 0) == (b < 0)); }

} // namespace

Result<ExprProgram> ExprProgram::compile(const Expr &expr, const Names &names) {
  ExprProgram program;
  program.root_ = expr.root_;
  auto unknown = [&] { return Error{ErrorCode::Internal, "`" + expr.text() + "` has an unknown name"}; };
  for (const Expr::Node &from : expr.nodes_) {
    Node node{from.op, from.left, from.right, from.value};
    std::optional<uint32_t> number = 0, dim = 0;
    switch (from.op) {
    case Op::Axis:
      number = names.axis(expr.axes_[from.left]);
      break;
    case Op::Stride:
      number = names.tensor(expr.strides_[from.left].first);
      dim = number ? names.dim(*number, expr.strides_[from.left].second) : std::nullopt;
      break;
    case Op::Align:
      number = names.tensor(expr.alignments_[from.left]);
      break;
    case Op::Present:
      number = names.tensor(expr.presences_[from.left]);
      break;
    default:
      program.nodes_.push_back(node);
      continue;
    }
    if (!number || !dim)
      return unknown();
    node.left = *number;
    node.right = *dim;
    program.nodes_.push_back(node);
  }
  return program;
}

bool ExprProgram::evaluate(const ExprValues &values, int64_t &result) const {
  result = 0;
  return nodes_.empty() || evaluateNode(root_, values, result);
}

bool ExprProgram::evaluateNode(uint32_t index, const ExprValues &values, int64_t &result) const {
  const Node &node = nodes_[index];
  switch (node.op) {
  case Op::Constant:
    result = node.value;
    return true;
  case Op::Axis:
    result = values.axes[node.left];
    return result >= 0;
  case Op::Stride:
    if (!values.strides[node.left])
      return false;
    result = values.strides[node.left][node.right];
    return true;
  case Op::Align:
    result = values.aligns[node.left];
    return values.strides[node.left] != nullptr;
  case Op::Present:
    result = values.strides[node.left] != nullptr;
    return true;
  case Op::Sms:
    result = values.sms;
    return true;
  default:
    break;
  }
  int64_t a, b;
  if (!evaluateNode(node.left, values, a))
    return false;
  switch (node.op) {
  case Op::Negate:
    return !__builtin_sub_overflow(int64_t{0}, a, &result);
  case Op::Not:
    result = a == 0;
    return true;
  case Op::And:
  case Op::Or:
    if ((a != 0) == (node.op == Op::Or)) {
      result = a != 0;
      return true;
    }
    break;
  default:
    break;
  }
  if (!evaluateNode(node.right, values, b))
    return false;
  switch (node.op) {
  case Op::Add:
    return !__builtin_add_overflow(a, b, &result);
  case Op::Sub:
    return !__builtin_sub_overflow(a, b, &result);
  case Op::Mul:
    return !__builtin_mul_overflow(a, b, &result);
  case Op::Div:
  case Op::CeilDiv:
    if (b == 0 || (a == kMin && b == -1))
      return false;
    result = node.op == Op::Div ? floorDiv(a, b) : ceilDiv(a, b);
    return true;
  case Op::Mod:
    if (b == 0)
      return false;
    result = b == -1 ? 0 : a % b;
    if (result != 0 && (result < 0) != (b < 0))
      result += b;
    return true;
  case Op::Min:
    result = std::min(a, b);
    return true;
  case Op::Max:
    result = std::max(a, b);
    return true;
  case Op::Less:
    result = a < b;
    return true;
  case Op::LessEqual:
    result = a <= b;
    return true;
  case Op::Greater:
    result = a > b;
    return true;
  case Op::GreaterEqual:
    result = a >= b;
    return true;
  case Op::Equal:
    result = a == b;
    return true;
  case Op::NotEqual:
    result = a != b;
    return true;
  case Op::And:
  case Op::Or:
    result = b != 0;
    return true;
  default:
    return false;
  }
}

bool ExprProgram::range(const ExprRanges &ranges, ExprRange &result) const {
  result = {0, 0};
  return nodes_.empty() || rangeOf(root_, ranges, result);
}

bool ExprProgram::rangeOf(uint32_t index, const ExprRanges &ranges, ExprRange &result) const {
  const Node &node = nodes_[index];
  auto truth = [&](bool never, bool always) {
    result = {always, !never};
    return true;
  };
  switch (node.op) {
  case Op::Constant:
    result = {node.value, node.value};
    return true;
  case Op::Axis:
    result = ranges.axes[node.left];
    return result.least >= 0;
  case Op::Stride:
    return false;
  case Op::Align:
    result = {1, kMaxAlign};
    return ranges.present[node.left];
  case Op::Present:
    return truth(!ranges.present[node.left], ranges.present[node.left]);
  case Op::Sms:
    result = {ranges.sms, ranges.sms};
    return true;
  default:
    break;
  }
  ExprRange a, b;
  if (!rangeOf(node.left, ranges, a))
    return false;
  bool aNever = a.least == 0 && a.most == 0, aAlways = a.least > 0 || a.most < 0;
  switch (node.op) {
  case Op::Negate:
    return !__builtin_sub_overflow(int64_t{0}, a.most, &result.least) &&
           !__builtin_sub_overflow(int64_t{0}, a.least, &result.most);
  case Op::Not:
    return truth(aAlways, aNever);
  case Op::And:
    if (aNever)
      return truth(true, false);
    break;
  case Op::Or:
    if (aAlways)
      return truth(false, true);
    break;
  default:
    break;
  }
  if (!rangeOf(node.right, ranges, b))
    return false;
  bool bNever = b.least == 0 && b.most == 0, bAlways = b.least > 0 || b.most < 0;
  // The extremes of these operators lie at the corners; a divisor must not reach 0.
  auto corners = [&](auto apply) {
    bool first = true;
    for (int64_t x : {a.least, a.most})
      for (int64_t y : {b.least, b.most}) {
        int64_t value;
        if (!apply(x, y, value))
          return false;
        result =
            first ? ExprRange{value, value} : ExprRange{std::min(result.least, value), std::max(result.most, value)};
        first = false;
      }
    return true;
  };
  switch (node.op) {
  case Op::Add:
    return !__builtin_add_overflow(a.least, b.least, &result.least) &&
           !__builtin_add_overflow(a.most, b.most, &result.most);
  case Op::Sub:
    return !__builtin_sub_overflow(a.least, b.most, &result.least) &&
           !__builtin_sub_overflow(a.most, b.least, &result.most);
  case Op::Mul:
    return corners([](int64_t x, int64_t y, int64_t &value) { return !__builtin_mul_overflow(x, y, &value); });
  case Op::Div:
  case Op::CeilDiv:
    if (!bAlways || (a.least == kMin && b.least <= -1))
      return false;
    return corners([&](int64_t x, int64_t y, int64_t &value) {
      value = node.op == Op::Div ? floorDiv(x, y) : ceilDiv(x, y);
      return true;
    });
  case Op::Mod:
    if (b.least < 1)
      return false;
    if (a.least >= 0 && a.most < b.least)
      result = a;
    else
      result = {0, a.least >= 0 ? std::min(a.most, b.most - 1) : b.most - 1};
    return true;
  case Op::Min:
    result = {std::min(a.least, b.least), std::min(a.most, b.most)};
    return true;
  case Op::Max:
    result = {std::max(a.least, b.least), std::max(a.most, b.most)};
    return true;
  case Op::Less:
    return truth(a.least >= b.most, a.most < b.least);
  case Op::LessEqual:
    return truth(a.least > b.most, a.most <= b.least);
  case Op::Greater:
    return truth(a.most <= b.least, a.least > b.most);
  case Op::GreaterEqual:
    return truth(a.most < b.least, a.least >= b.most);
  case Op::Equal:
    return truth(a.most < b.least || b.most < a.least, a.least == a.most && b.least == b.most && a.least == b.least);
  case Op::NotEqual:
    return truth(a.least == a.most && b.least == b.most && a.least == b.least, a.most < b.least || b.most < a.least);
  case Op::And:
    return truth(bNever, aAlways && bAlways);
  case Op::Or:
    return truth(aNever && bNever, bAlways);
  default:
    return false;
  }
}

} // namespace fovea::runtime
