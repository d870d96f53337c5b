// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a predicate implies about i - j, by interval arithmetic over linear forms in i and j. Where blocks are walked, j
// stands for the last position of a block.
#include "frontend/sema/Graph.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace fovea::sema {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr unsigned kMaxDepth = 300;

/// i * coefficient + j * coefficient + something in [low, high].
struct Form {
  double i = 0, j = 0;
  double low = -kInfinity, high = kInfinity;
  bool isConstant() const { return i == 0 && j == 0; }
};

double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

class Prover {
public:
  Prover(const Graph &graph, const Walk &walk) : graph_(graph), walk_(walk) {
    const Axis &raw = graph.attention().axes[walk.raw];
    if (raw.relation == AxisRelation::Blocks || raw.relation == AxisRelation::Windows) {
      step_ = static_cast<double>(raw.step);
      extent_ = static_cast<double>(raw.extent);
    }
  }

  /// Greatest known lower bound of i - j where `n` (negated: not n) holds.
  double lag(NodeId n, bool negated);

  Form form(NodeId n);

private:
  Form compute(NodeId n);
  double compareLag(Op op, NodeId a, NodeId b);
  /// Lower bound of i - j from b - a >= 0, strictly if `strict`.
  double ordered(NodeId a, NodeId b, bool strict, unsigned depth);
  bool isLastPosition(NodeId n) const; // of the axis that positions count
  NodeId plain(NodeId n) const { return graph_[n].op == Op::ToReal ? graph_[n].operands[0] : n; }

  const Graph &graph_;
  const Walk &walk_;
  double step_ = 1, extent_ = 1; // of the blocks walked
  std::map<NodeId, Form> forms_;
  std::map<std::pair<NodeId, bool>, double> lags_;
};

Form add(const Form &a, const Form &b, double sign) {
  Form r;
  r.i = a.i + sign * b.i;
  r.j = a.j + sign * b.j;
  r.low = a.low + (sign > 0 ? b.low : -b.high);
  r.high = a.high + (sign > 0 ? b.high : -b.low);
  return r;
}

Form scale(const Form &a, double c) {
  Form r;
  r.i = a.i * c;
  r.j = a.j * c;
  r.low = times(c >= 0 ? a.low : a.high, c);
  r.high = times(c >= 0 ? a.high : a.low, c);
  return r;
}

Form Prover::form(NodeId n) {
  if (graph_.depth(n) > kMaxDepth)
    return {};
  auto it = forms_.find(n);
  if (it != forms_.end())
    return it->second;
  Form f = compute(n);
  // Coefficients and bounds that left the range of exact arithmetic prove nothing.
  bool bad = std::isnan(f.low) || std::isnan(f.high) || !std::isfinite(f.i) || !std::isfinite(f.j) ||
             std::fabs(f.i) > 1e9 || std::fabs(f.j) > 1e9;
  if (bad)
    f = {};
  forms_[n] = f;
  return f;
}

Form Prover::compute(NodeId n) {
  const Node &node = graph_[n];
  auto interval = [](double low, double high) {
    Form f;
    f.low = low;
    f.high = high;
    return f;
  };
  auto token = [](double i, double j) {
    Form f;
    f.i = i;
    f.j = j;
    f.low = f.high = 0;
    return f;
  };
  if (n == walk_.i)
    return token(1, 0);
  if (n == walk_.j) { // t = j * step + extent - 1
    Form f = token(0, 1 / step_);
    f.low = f.high = -(extent_ - 1) / step_;
    return f;
  }
  switch (node.op) {
  case Op::Constant:
    return interval(graph_.number(n), graph_.number(n));
  case Op::QueryPosition: {
    bool same = node.attrAxes[0] == walk_.query && node.attrAxes[1] == walk_.base;
    return same && !walk_.given && !walk_.alignStart ? token(1, 0) : interval(0, kInfinity);
  }
  case Op::Index: {
    AxisId axis = node.attrAxes[0];
    if (axis == walk_.query && walk_.query == walk_.base && !walk_.given)
      return token(1, 0);
    const Axis &a = graph_.attention().axes[axis];
    return interval(0, a.size ? static_cast<double>(*a.size - 1) : kInfinity);
  }
  case Op::Size: {
    const Axis &a = graph_.attention().axes[node.attrAxes[0]];
    return a.size ? interval(static_cast<double>(*a.size), static_cast<double>(*a.size)) : interval(1, kInfinity);
  }
  case Op::Input: {
    const Declaration &d = graph_.attention().declarations[node.declaration];
    Form f;
    if (d.contract && d.contract->lower && d.contract->lower->value)
      f.low = *d.contract->lower->value;
    if (d.contract && d.contract->upper && d.contract->upper->value)
      f.high = *d.contract->upper->value;
    return f;
  }
  case Op::Rename: {
    Form f = form(node.operands[0]);
    return f.isConstant() ? f : Form();
  }
  case Op::RowAt: { // 0 where there is no such row
    Form f = form(node.operands[0]);
    return f.isConstant() ? interval(std::min(f.low, 0.0), std::max(f.high, 0.0)) : Form();
  }
  case Op::ToReal:
    return form(node.operands[0]);
  case Op::Neg:
    return scale(form(node.operands[0]), -1);
  case Op::Add:
    return add(form(node.operands[0]), form(node.operands[1]), 1);
  case Op::Sub:
    return add(form(node.operands[0]), form(node.operands[1]), -1);
  case Op::Mul: {
    Form a = form(node.operands[0]), b = form(node.operands[1]);
    if (a.isConstant() && a.low == a.high && std::isfinite(a.low))
      return scale(b, a.low);
    if (b.isConstant() && b.low == b.high && std::isfinite(b.low))
      return scale(a, b.low);
    if (a.isConstant() && b.isConstant()) {
      double p[] = {times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)};
      return interval(*std::min_element(p, p + 4), *std::max_element(p, p + 4));
    }
    return {};
  }
  case Op::Div:
  case Op::FloorDiv: {
    Form a = form(node.operands[0]), b = form(node.operands[1]);
    if (!b.isConstant() || b.low != b.high || !(b.low > 0) || !std::isfinite(b.low))
      return {};
    Form f = scale(a, 1 / b.low);
    if (node.op == Op::FloorDiv)
      f.low -= (b.low - 1) / b.low; // x // c = (x - r) / c with r from 0 to c - 1
    return f;
  }
  case Op::Mod: {
    Form b = form(node.operands[1]);
    if (b.isConstant() && b.low > 0)
      return interval(0, b.high - 1);
    return {};
  }
  case Op::Abs: {
    Form a = form(node.operands[0]);
    if (!a.isConstant())
      return interval(0, kInfinity);
    double low = std::max({a.low, -a.high, 0.0});
    return interval(low, std::max(std::fabs(a.low), std::fabs(a.high)));
  }
  case Op::Relu: {
    Form a = form(node.operands[0]);
    if (!a.isConstant())
      return interval(0, kInfinity);
    return interval(std::max(a.low, 0.0), std::max(a.high, 0.0));
  }
  case Op::Exp:
  case Op::Exp2:
  case Op::Sigmoid:
  case Op::Softplus:
    return interval(0, kInfinity);
  case Op::Min:
  case Op::Max: {
    Form a = form(node.operands[0]), b = form(node.operands[1]);
    if (a.i != b.i || a.j != b.j)
      return {};
    Form f = a;
    f.low = node.op == Op::Min ? std::min(a.low, b.low) : std::max(a.low, b.low);
    f.high = node.op == Op::Min ? std::min(a.high, b.high) : std::max(a.high, b.high);
    return f;
  }
  case Op::Select: {
    Form a = form(node.operands[1]), b = form(node.operands[2]);
    if (a.i != b.i || a.j != b.j)
      return {};
    a.low = std::min(a.low, b.low);
    a.high = std::max(a.high, b.high);
    return a;
  }
  default:
    return {};
  }
}

bool Prover::isLastPosition(NodeId n) const {
  const Node &node = graph_[n];
  if (node.op != Op::Sub || !graph_.isConstant(node.operands[1]) || graph_.number(node.operands[1]) != 1)
    return false;
  const Node &size = graph_[node.operands[0]];
  return size.op == Op::Size && size.attrAxes[0] == walk_.base;
}

double Prover::ordered(NodeId a, NodeId b, bool strict, unsigned depth) {
  const bool wasStrict = strict;
  Form f = add(form(b), form(a), -1);
  // Of integers, a < b is a + 1 <= b.
  if (strict && graph_[plain(a)].kind == Kind::Int && graph_[plain(b)].kind == Kind::Int) {
    f.low -= 1;
    f.high -= 1;
    strict = false;
  }
  double best = -kInfinity;
  if (f.i > 0 && std::fabs(f.j + f.i) <= 4e-16 * f.i && f.high < kInfinity) {
    double bound = -f.high / f.i;
    // i - j is an integer. Quotients are rounded towards "less is known".
    double slack = 1e-9 * (1 + std::fabs(bound));
    if (std::fabs(bound - std::nearbyint(bound)) < slack)
      bound = std::nearbyint(bound);
    best = strict ? std::floor(bound) + 1 : std::ceil(bound);
  } else if (f.isConstant() && (strict ? f.high <= 0 : f.high < 0)) {
    return kInfinity; // never true
  }
  if (depth > 16)
    return best;
  // No position is after the last one: size - 1 <= i holds for i = size - 1 only.
  if (isLastPosition(plain(a)) && plain(b) == walk_.i && !walk_.given)
    best = std::max(best, 0.0);
  const Node &left = graph_[plain(a)], &right = graph_[plain(b)];
  // Blocks: a // c < b // c only where a < b.
  if (wasStrict && left.op == Op::FloorDiv && right.op == Op::FloorDiv && left.operands[1] == right.operands[1]) {
    Form c = form(left.operands[1]);
    if (c.isConstant() && c.low > 0)
      best = std::max(best, ordered(left.operands[0], right.operands[0], true, depth + 1));
  }
  if (right.op == Op::Min)
    best = std::max({best, ordered(a, right.operands[0], wasStrict, depth + 1),
                     ordered(a, right.operands[1], wasStrict, depth + 1)});
  if (right.op == Op::Max)
    best = std::max(best, std::min(ordered(a, right.operands[0], wasStrict, depth + 1),
                                   ordered(a, right.operands[1], wasStrict, depth + 1)));
  if (left.op == Op::Max)
    best = std::max(
        {best, ordered(left.operands[0], b, wasStrict, depth + 1), ordered(left.operands[1], b, wasStrict, depth + 1)});
  if (left.op == Op::Min)
    best = std::max(best, std::min(ordered(left.operands[0], b, wasStrict, depth + 1),
                                   ordered(left.operands[1], b, wasStrict, depth + 1)));
  return best;
}

double Prover::compareLag(Op op, NodeId a, NodeId b) {
  switch (op) {
  case Op::Le:
    return ordered(a, b, false, 0);
  case Op::Lt:
    return ordered(a, b, true, 0);
  case Op::Ge:
    return ordered(b, a, false, 0);
  case Op::Gt:
    return ordered(b, a, true, 0);
  case Op::Eq:
    return std::max(ordered(a, b, false, 0), ordered(b, a, false, 0));
  default:
    return -kInfinity;
  }
}

double Prover::lag(NodeId n, bool negated) {
  if (graph_.depth(n) > kMaxDepth)
    return -kInfinity;
  auto key = std::make_pair(n, negated);
  auto it = lags_.find(key);
  if (it != lags_.end())
    return it->second;
  const Node &node = graph_[n];
  double result = -kInfinity;
  switch (node.op) {
  case Op::Constant:
    result = (node.integer != 0) == negated ? kInfinity : -kInfinity;
    break;
  case Op::Not:
    result = lag(node.operands[0], !negated);
    break;
  case Op::And:
  case Op::Or: {
    double a = lag(node.operands[0], negated), b = lag(node.operands[1], negated);
    result = (node.op == Op::And) != negated ? std::max(a, b) : std::min(a, b);
    break;
  }
  case Op::Select: {
    // (c and a) or (not c and b)
    double a = std::max(lag(node.operands[0], false), lag(node.operands[1], negated));
    double b = std::max(lag(node.operands[0], true), lag(node.operands[2], negated));
    result = std::min(a, b);
    break;
  }
  case Op::Le:
    result = compareLag(negated ? Op::Gt : Op::Le, node.operands[0], node.operands[1]);
    break;
  case Op::Lt:
    result = compareLag(negated ? Op::Ge : Op::Lt, node.operands[0], node.operands[1]);
    break;
  case Op::Ge:
    result = compareLag(negated ? Op::Lt : Op::Ge, node.operands[0], node.operands[1]);
    break;
  case Op::Gt:
    result = compareLag(negated ? Op::Le : Op::Gt, node.operands[0], node.operands[1]);
    break;
  case Op::Eq:
    result = compareLag(negated ? Op::Ne : Op::Eq, node.operands[0], node.operands[1]);
    break;
  case Op::Ne:
    result = compareLag(negated ? Op::Eq : Op::Ne, node.operands[0], node.operands[1]);
    break;
  default:
    break;
  }
  lags_[key] = result;
  return result;
}

} // namespace

double impliedLag(const Graph &graph, NodeId where, const Walk &walk) { return Prover(graph, walk).lag(where, false); }

namespace {

/// step * x + extent - 1 <= i: the greatest lower bound of the difference, through min and max.
double lagBelow(const Graph &graph, Prover &prover, NodeId x, int64_t step, int64_t extent, const Walk &walk,
                bool ofKey, unsigned depth) {
  const Node &node = graph[x];
  if ((node.op == Op::Max || node.op == Op::Min) && depth < 16) {
    double a = lagBelow(graph, prover, node.operands[0], step, extent, walk, ofKey, depth + 1);
    double b = lagBelow(graph, prover, node.operands[1], step, extent, walk, ofKey, depth + 1);
    return node.op == Op::Max ? std::min(a, b) : std::max(a, b);
  }
  Form last = scale(prover.form(x), static_cast<double>(step));
  double low = -(last.high + static_cast<double>(extent - 1));
  double i = (ofKey ? 0 : 1) - last.i, j = (ofKey ? 1 : 0) - last.j;
  bool cancels = std::fabs(i) <= 4e-16 && std::fabs(j) <= 4e-16;
  // A position is never negative: what is left of it only adds.
  bool grows = i > 0 && std::fabs(j) <= 4e-16 && !walk.given;
  if (!cancels && !grows)
    return -kInfinity;
  return std::ceil(low - 1e-9 * (1 + std::fabs(low)));
}

} // namespace

double lagOf(const Graph &graph, NodeId x, int64_t step, int64_t extent, const Walk &walk, bool ofKey) {
  Prover prover(graph, walk);
  return lagBelow(graph, prover, x, step, extent, walk, ofKey, 0);
}

} // namespace fovea::sema
