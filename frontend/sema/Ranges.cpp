// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Intervals of what a field can be: the sign of decays, and of what a sum is divided by.
#include "frontend/sema/Graph.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace fovea::sema {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr unsigned kMaxDepth = 300;
constexpr size_t kMaxTerms = 32; // of a sum or product that a pattern looks into

double times(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Range closed(double low, double high) { return {low, high, false, false}; }

Range negated(const Range &a) { return {-a.high, -a.low, a.openHigh, a.openLow}; }

Range unite(const Range &a, const Range &b) {
  Range r;
  r.low = std::min(a.low, b.low);
  r.high = std::max(a.high, b.high);
  r.openLow = (a.low > r.low || a.openLow) && (b.low > r.low || b.openLow);
  r.openHigh = (a.high < r.high || a.openHigh) && (b.high < r.high || b.openHigh);
  return r;
}

Range sum(const Range &a, const Range &b) {
  Range r{a.low + b.low, a.high + b.high, a.openLow || b.openLow, a.openHigh || b.openHigh};
  if (std::isnan(r.low))
    r.low = -kInfinity;
  if (std::isnan(r.high))
    r.high = kInfinity;
  return r;
}

Range product(const Range &a, const Range &b) {
  double p[] = {times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)};
  Range r = closed(*std::min_element(p, p + 4), *std::max_element(p, p + 4));
  Range na = negated(a), nb = negated(b);
  bool positive = (a.isPositive() && b.isPositive()) || (na.isPositive() && nb.isPositive());
  bool negative = (a.isPositive() && nb.isPositive()) || (na.isPositive() && b.isPositive());
  r.openLow = r.low == 0 && positive;
  r.openHigh = r.high == 0 && negative;
  return r;
}

/// Of a function that grows; ends at infinity are not reached.
template <typename F> Range growing(const Range &x, F f) {
  return {f(x.low), f(x.high), x.openLow || x.low == -kInfinity, x.openHigh || x.high == kInfinity};
}

/// The sum of `count` such values, of one or more where it is unknown.
Range repeated(const Range &x, std::optional<double> count) {
  if (count && *count >= 1)
    return {times(x.low, *count), times(x.high, *count), x.openLow, x.openHigh};
  if (count) // none
    return unite(x, closed(0, 0));
  Range r = x;
  if (r.low < 0)
    r.low = -kInfinity;
  if (r.high > 0)
    r.high = kInfinity;
  return r;
}

double softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

class Ranges {
public:
  explicit Ranges(const Graph &graph) : graph_(graph) {}

  Range of(NodeId n) {
    if (graph_.depth(n) > kMaxDepth)
      return {};
    auto it = known_.find(n);
    if (it != known_.end())
      return it->second;
    Range r = compute(n);
    if (std::isnan(r.low))
      r.low = -kInfinity;
    if (std::isnan(r.high))
      r.high = kInfinity;
    known_[n] = r;
    return r;
  }

private:
  Range compute(NodeId n);
  Range power(NodeId base, NodeId exponent);
  std::optional<double> count(const std::vector<AxisId> &axes) const;
  void flatten(Op op, NodeId n, std::vector<NodeId> &into) const;
  bool isRest(NodeId n, NodeId x) const;
  bool sharesOne(NodeId a, NodeId b);
  bool isLogOfShares(NodeId a, NodeId b);

  const Graph &graph_;
  std::unordered_map<NodeId, Range> known_;
};

std::optional<double> Ranges::count(const std::vector<AxisId> &axes) const {
  double product = 1;
  for (AxisId a : axes) {
    const std::optional<int64_t> &size = graph_.attention().axes[a].size;
    if (!size)
      return std::nullopt;
    product *= static_cast<double>(*size);
  }
  return product;
}

/// The terms of a sum or the factors of a product.
void Ranges::flatten(Op op, NodeId n, std::vector<NodeId> &into) const {
  if (graph_[n].op != op || into.size() > kMaxTerms) {
    into.push_back(n);
    return;
  }
  for (NodeId o : graph_[n].operands)
    flatten(op, o, into);
}

/// n = 1 - x
bool Ranges::isRest(NodeId n, NodeId x) const {
  const Node &node = graph_[n];
  return node.op == Op::Sub && node.operands[1] == x && graph_.isConstant(node.operands[0]) &&
         graph_.number(node.operands[0]) == 1;
}

/// a + b = x * y + (1 - x) * z with x, y and z from 0 to 1: so is the sum.
bool Ranges::sharesOne(NodeId a, NodeId b) {
  std::vector<NodeId> left, right;
  flatten(Op::Mul, a, left);
  flatten(Op::Mul, b, right);
  auto isShare = [&](NodeId n) {
    Range r = of(n);
    return r.low >= 0 && r.high <= 1;
  };
  for (NodeId x : left)
    for (NodeId rest : right) {
      if (!isRest(rest, x))
        continue;
      bool good = true;
      for (NodeId n : left)
        good &= isShare(n);
      for (NodeId n : right)
        good &= n == rest || isShare(n);
      if (good)
        return true;
    }
  return false;
}

/// a = log(x) + .., b = log(1 - x) + .., where x is from 0 to 1 and the rest at most 0: exp(a) + exp(b) <= 1.
bool Ranges::isLogOfShares(NodeId a, NodeId b) {
  std::vector<NodeId> left, right;
  flatten(Op::Add, a, left);
  flatten(Op::Add, b, right);
  for (NodeId l : left) {
    if (graph_[l].op != Op::Log)
      continue;
    NodeId x = graph_[l].operands[0];
    Range share = of(x);
    if (!(share.low >= 0 && share.high <= 1))
      continue;
    for (NodeId r : right) {
      const Node &node = graph_[r];
      bool isLog1p =
          node.op == Op::Log1p && graph_[node.operands[0]].op == Op::Neg && graph_[node.operands[0]].operands[0] == x;
      bool isLog = node.op == Op::Log && isRest(node.operands[0], x);
      bool good = isLog1p || isLog;
      for (NodeId n : left)
        good = good && (n == l || of(n).high <= 0);
      for (NodeId n : right)
        good = good && (n == r || of(n).high <= 0);
      if (good)
        return true;
    }
  }
  return false;
}

Range Ranges::power(NodeId base, NodeId exponent) {
  Range b = of(base), e = of(exponent);
  if (graph_.isConstant(exponent)) {
    double p = graph_.number(exponent);
    bool whole = std::isfinite(p) && p == std::floor(p);
    if (whole && std::fmod(p, 2) == 0 && b.low < 0)
      b = b.high > 0 ? closed(0, std::max(-b.low, b.high)) : negated(b);
    else if (whole && p > 0 && b.low < 0) // odd
      return growing(b, [&](double x) { return std::pow(x, p); });
    if (b.low < 0)
      return {};
    auto f = [&](double x) { return std::pow(x, p); };
    if (p >= 0)
      return growing(b, f);
    Range r = growing(negated(b), [&](double x) { return f(-x); });
    r.openLow |= b.high == kInfinity;
    return r;
  }
  if (b.low < 0)
    return {};
  double p[] = {std::pow(b.low, e.low), std::pow(b.low, e.high), std::pow(b.high, e.low), std::pow(b.high, e.high)};
  Range r = closed(0, kInfinity);
  r.openLow = b.isPositive();
  bool finite = true;
  for (double v : p)
    finite &= !std::isnan(v);
  if (finite && b.low > 0) {
    r.low = *std::min_element(p, p + 4);
    r.high = *std::max_element(p, p + 4);
    r.openLow = r.low == 0;
  }
  return r;
}

Range Ranges::compute(NodeId n) {
  const Node &node = graph_[n];
  const Attention &attention = graph_.attention();
  auto operand = [&](size_t k) { return of(node.operands[k]); };
  auto isReduced = [&](NodeId y, ReduceKind kind, NodeId x) {
    return graph_[y].op == Op::Reduce && graph_[y].reduce == kind && graph_[y].operands[0] == x;
  };
  switch (node.op) {
  case Op::Constant:
    return node.kind == Kind::Bool ? closed(0, 1) : closed(graph_.number(n), graph_.number(n));
  case Op::Size: {
    const Axis &a = attention.axes[node.attrAxes[0]];
    double size = a.size ? static_cast<double>(*a.size) : kInfinity;
    return closed(a.size ? size : a.relation == AxisRelation::Windows ? 0 : 1, size);
  }
  case Op::Index: {
    const Axis &a = attention.axes[node.attrAxes[0]];
    return closed(0, a.size ? static_cast<double>(std::max<int64_t>(*a.size - 1, 0)) : kInfinity);
  }
  case Op::Position:
  case Op::QueryPosition:
    return closed(0, kInfinity);
  case Op::Input: {
    const Declaration &d = attention.declarations[node.declaration];
    Range r;
    if (d.contract && d.contract->lower && d.contract->lower->value) {
      r.low = *d.contract->lower->value;
      r.openLow = d.contract->lower->open;
    }
    if (d.contract && d.contract->upper && d.contract->upper->value) {
      r.high = *d.contract->upper->value;
      r.openHigh = d.contract->upper->open;
    }
    return d.optional ? unite(r, closed(0, 0)) : r;
  }
  case Op::Neg:
    return negated(operand(0));
  case Op::Abs: {
    Range a = operand(0);
    return a.low >= 0 ? a : a.high <= 0 ? negated(a) : closed(0, std::max(-a.low, a.high));
  }
  case Op::Sign: {
    Range a = operand(0);
    return closed(a.isPositive() ? 1 : a.low >= 0 ? 0 : -1, negated(a).isPositive() ? -1 : a.high <= 0 ? 0 : 1);
  }
  case Op::Exp:
    return growing(operand(0), [](double x) { return std::exp(x); });
  case Op::Exp2:
    return growing(operand(0), [](double x) { return std::exp2(x); });
  case Op::Expm1:
    return growing(operand(0), [](double x) { return std::expm1(x); });
  case Op::Log:
  case Op::Log2:
    return growing(operand(0), [&](double x) {
      return x <= 0 ? -kInfinity : node.op == Op::Log ? std::log(x) : std::log2(x);
    });
  case Op::Log1p:
    return growing(operand(0), [](double x) { return x <= -1 ? -kInfinity : std::log1p(x); });
  case Op::Sqrt:
    return growing(operand(0), [](double x) { return std::sqrt(std::max(x, 0.0)); });
  case Op::Rsqrt: {
    Range a = operand(0);
    return {1 / std::sqrt(std::max(a.high, 0.0)), 1 / std::sqrt(std::max(a.low, 0.0)), true, true};
  }
  case Op::Sin:
  case Op::Cos:
    return closed(-1, 1);
  case Op::Tanh:
    return growing(operand(0), [](double x) { return std::tanh(x); });
  case Op::Sigmoid:
    return growing(operand(0), [](double x) { return 1 / (1 + std::exp(-x)); });
  case Op::Softplus:
    return growing(operand(0), softplus);
  case Op::LogSigmoid:
    return growing(operand(0), [](double x) { return -softplus(-x); });
  case Op::Silu:
  case Op::Gelu: {
    Range a = operand(0);
    double least = node.op == Op::Silu ? -0.2784645427610739 : -0.1699712074; // at -1.2785 and at -0.7518
    return closed(a.low >= 0 ? 0 : least, std::max(a.high, 0.0));
  }
  case Op::Relu:
    return closed(std::max(operand(0).low, 0.0), std::max(operand(0).high, 0.0));
  case Op::Elu:
    return growing(operand(0), [](double x) { return x > 0 ? x : std::expm1(x); });
  case Op::Floor:
    return closed(std::floor(operand(0).low), std::floor(operand(0).high));
  case Op::Round:
    return closed(std::nearbyint(operand(0).low), std::nearbyint(operand(0).high));
  case Op::ToReal:
  case Op::Rename:
  case Op::Flatten:
  case Op::Slice:
  case Op::Output:
    return operand(0);
  case Op::Add: {
    Range r = sum(operand(0), operand(1));
    if (sharesOne(node.operands[0], node.operands[1]) || sharesOne(node.operands[1], node.operands[0])) {
      r.low = std::max(r.low, 0.0);
      r.high = std::min(r.high, 1.0);
      r.openLow = r.openHigh = false;
    }
    return r;
  }
  case Op::Sub: {
    NodeId x = node.operands[0], y = node.operands[1];
    Range r = sum(operand(0), negated(operand(1)));
    if (isReduced(y, ReduceKind::LogSumExp, x) || isReduced(y, ReduceKind::Max, x))
      r = {r.low, std::min(r.high, 0.0), r.openLow, false};
    if (isReduced(y, ReduceKind::Min, x))
      r = {std::max(r.low, 0.0), r.high, false, r.openHigh};
    return r;
  }
  case Op::Mul:
  case Op::Dot: {
    Range a = operand(0), r = product(a, operand(1));
    if (node.operands[0] == node.operands[1]) {
      Range size = a.low >= 0 ? a : a.high <= 0 ? negated(a) : closed(0, std::max(-a.low, a.high));
      r = product(size, size);
    }
    return node.op == Op::Mul ? r : repeated(r, count(node.attrAxes));
  }
  case Op::Div: {
    Range b = operand(1);
    bool flip = b.low < 0;
    if (flip)
      b = negated(b);
    if (b.low < 0)
      return {};
    Range inverse{1 / b.high, 1 / b.low, true, true};
    if (b.low == 0)
      inverse.high = kInfinity;
    if (inverse.low != 0)
      inverse.openLow = b.openHigh;
    Range r = product(operand(0), inverse);
    return flip ? negated(r) : r;
  }
  case Op::FloorDiv: {
    Range a = operand(0), b = operand(1);
    if (b.low < 0)
      return {};
    return closed(a.low >= 0 ? 0 : a.low, a.high <= 0 ? 0 : a.high);
  }
  case Op::Mod: {
    Range b = operand(1);
    return b.low >= 0 ? closed(0, b.high) : Range();
  }
  case Op::Pow:
    return power(node.operands[0], node.operands[1]);
  case Op::Min:
  case Op::Max: {
    bool isMax = node.op == Op::Max;
    Range a = operand(0), b = operand(1);
    if (!isMax) {
      a = negated(a);
      b = negated(b);
    }
    Range r{std::max(a.low, b.low), std::max(a.high, b.high), false, false};
    r.openLow = (a.low == r.low && a.openLow) || (b.low == r.low && b.openLow);
    r.openHigh = (a.high < r.high || a.openHigh) && (b.high < r.high || b.openHigh);
    return isMax ? r : negated(r);
  }
  case Op::LogAddExp: {
    Range a = operand(0), b = operand(1);
    double high = std::max(a.high, b.high);
    if (std::isfinite(high))
      high += std::log1p(std::exp(std::min(a.high, b.high) - high));
    if (isLogOfShares(node.operands[0], node.operands[1]) || isLogOfShares(node.operands[1], node.operands[0]))
      high = std::min(high, 0.0);
    return closed(std::max(a.low, b.low), high);
  }
  case Op::Select:
    return unite(operand(1), operand(2));
  case Op::Reduce:
    if (node.reduce == ReduceKind::Sum)
      return repeated(operand(0), count(node.attrAxes));
    if (node.reduce == ReduceKind::LogSumExp)
      return closed(operand(0).low, kInfinity);
    return operand(0);
  case Op::BlockReduce:
    if (node.reduce == ReduceKind::Sum)
      return repeated(operand(0), std::nullopt);
    if (node.reduce == ReduceKind::LogSumExp)
      return closed(operand(0).low, kInfinity);
    return operand(0);
  case Op::Scan:
    return repeated(operand(0), std::nullopt);
  case Op::RowAt:
  case Op::Gather:
    return unite(operand(0), closed(0, 0));
  case Op::Concat: {
    Range r = operand(0);
    for (size_t k = 1; k < node.operands.size(); ++k)
      r = unite(r, operand(k));
    return r;
  }
  case Op::Conv:
    return operand(0).low >= 0 && operand(1).low >= 0 ? closed(0, kInfinity) : Range();
  case Op::Expect: {
    const Node &p = graph_[node.operands[0]];
    Range value = operand(1);
    if (node.operands.size() > 2)
      value = product(value, operand(2));
    if (p.weight == WeightKind::Exp) // their sum is 1, or less with sinks
      return p.hasMass && of(p.operands[1u + p.hasWhere]).low < 0 ? Range() : unite(value, closed(0, 0));
    return value.low >= 0 && of(p.operands[0]).low >= 0 ? closed(0, kInfinity) : Range();
  }
  case Op::Read: {
    const Node &s = graph_[node.operands[0]];
    bool good = !s.hasErase && operand(1).low >= 0 && of(s.operands[0]).low >= 0 && of(s.operands[1]).low >= 0 &&
                (!s.hasInitial || of(s.operands.back()).low >= 0);
    return good ? closed(0, kInfinity) : Range();
  }
  default:
    return node.kind == Kind::Bool ? closed(0, 1) : Range();
  }
}

} // namespace

Range rangeOf(const Graph &graph, NodeId x) { return Ranges(graph).of(x); }

Range rangeOf(const Attention &attention, NodeId x) {
  Attention copy = attention;
  return rangeOf(Graph(copy), x);
}

bool isNonNegative(const Graph &graph, NodeId x) {
  Kind kind = graph[x].kind;
  return (kind == Kind::Real || kind == Kind::Int) && rangeOf(graph, x).low >= 0;
}

} // namespace fovea::sema
