// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Whether two predicates exclude each other. Their conjunction is brought to a union of conjunctions; each of these
// must contradict itself: a condition beside its negation, or a linear form of terms whose interval is empty.
#include "frontend/sema/Graph.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace fovea::sema {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr size_t kMaxCases = 512;
constexpr unsigned kMaxDepth = 100;

struct Literal {
  NodeId node = 0;
  bool negated = false;
};
using Case = std::vector<Literal>; // all hold

/// sum of coefficient * term, beside a constant.
struct Linear {
  std::map<NodeId, double> terms;
  double constant = 0;
};

struct Interval {
  double low = -kInfinity, high = kInfinity;
};

class Refuter {
public:
  explicit Refuter(const Graph &graph) : graph_(graph) {}
  /// The cases of n (negated: of not n), joined to each of `cases`. False where there are too many.
  bool add(NodeId n, bool negated, std::vector<Case> &cases, unsigned depth);
  bool contradicts(const Case &all) const;

private:
  bool linear(NodeId n, double scale, Linear &into, unsigned depth) const;

  const Graph &graph_;
};

bool Refuter::add(NodeId n, bool negated, std::vector<Case> &cases, unsigned depth) {
  if (depth > kMaxDepth)
    return false;
  const Node &node = graph_[n];
  auto either = [&](const std::vector<std::pair<NodeId, bool>> &first,
                    const std::vector<std::pair<NodeId, bool>> &second) {
    std::vector<Case> a = cases, b = cases;
    for (const auto &[x, no] : first)
      if (!add(x, no, a, depth + 1))
        return false;
    for (const auto &[x, no] : second)
      if (!add(x, no, b, depth + 1))
        return false;
    if (a.size() + b.size() > kMaxCases)
      return false;
    cases = std::move(a);
    cases.insert(cases.end(), b.begin(), b.end());
    return true;
  };
  switch (node.op) {
  case Op::Not:
    return add(node.operands[0], !negated, cases, depth + 1);
  case Op::And:
  case Op::Or:
    if ((node.op == Op::And) != negated)
      return add(node.operands[0], negated, cases, depth + 1) && add(node.operands[1], negated, cases, depth + 1);
    return either({{node.operands[0], negated}}, {{node.operands[1], negated}});
  case Op::Select:
    return either({{node.operands[0], false}, {node.operands[1], negated}},
                  {{node.operands[0], true}, {node.operands[2], negated}});
  default:
    break;
  }
  for (Case &c : cases)
    c.push_back({n, negated});
  return true;
}

bool Refuter::linear(NodeId n, double scale, Linear &into, unsigned depth) const {
  const Node &node = graph_[n];
  if (depth < kMaxDepth)
    switch (node.op) {
    case Op::Constant:
      into.constant += scale * graph_.number(n);
      return std::isfinite(into.constant);
    case Op::ToReal:
      return linear(node.operands[0], scale, into, depth + 1);
    case Op::Neg:
      return linear(node.operands[0], -scale, into, depth + 1);
    case Op::Add:
    case Op::Sub:
      return linear(node.operands[0], scale, into, depth + 1) &&
             linear(node.operands[1], node.op == Op::Add ? scale : -scale, into, depth + 1);
    case Op::Mul:
      for (int k = 0; k < 2; ++k)
        if (graph_.isConstant(node.operands[k]))
          return linear(node.operands[1 - k], scale * graph_.number(node.operands[k]), into, depth + 1);
      break;
    default:
      break;
    }
  double &c = into.terms[n];
  c += scale;
  if (c == 0)
    into.terms.erase(n);
  return std::isfinite(c) && into.terms.size() <= 64;
}

bool Refuter::contradicts(const Case &all) const {
  std::map<NodeId, bool> said; // conditions that are no comparisons
  std::map<std::vector<std::pair<NodeId, double>>, Interval> intervals;
  std::map<std::vector<std::pair<NodeId, double>>, std::vector<double>> excluded;
  for (const Literal &l : all) {
    const Node &node = graph_[l.node];
    if (auto [it, fresh] = said.emplace(l.node, l.negated); !fresh && it->second != l.negated)
      return true;
    if (node.op == Op::Constant) {
      if ((node.integer != 0) == l.negated)
        return true;
      continue;
    }
    if (node.op < Op::Eq || node.op > Op::Ge)
      continue;
    // a op b as sum op bound, its first coefficient 1.
    Linear f;
    if (!linear(node.operands[0], 1, f, 0) || !linear(node.operands[1], -1, f, 0))
      continue;
    Op op = node.op;
    if (l.negated)
      op = op == Op::Eq   ? Op::Ne
           : op == Op::Ne ? Op::Eq
           : op == Op::Lt ? Op::Ge
           : op == Op::Le ? Op::Gt
           : op == Op::Gt ? Op::Le
                          : Op::Lt;
    bool integers = graph_[node.operands[0]].kind == Kind::Int;
    if (op == Op::Lt || op == Op::Gt) {
      // Of integers, a < b is a <= b - 1; of others the closed interval is taken, which proves less.
      if (integers)
        f.constant += op == Op::Lt ? 1 : -1;
      op = op == Op::Lt ? Op::Le : Op::Ge;
    }
    double first = f.terms.empty() ? 1 : f.terms.begin()->second;
    if (first < 0)
      op = op == Op::Le ? Op::Ge : op == Op::Ge ? Op::Le : op;
    std::vector<std::pair<NodeId, double>> key;
    for (const auto &[term, c] : f.terms)
      key.emplace_back(term, c / first);
    double bound = -f.constant / first;
    Interval &x = intervals[key];
    if (key.empty())
      x.low = std::max(x.low, 0.0), x.high = std::min(x.high, 0.0);
    if (op == Op::Le || op == Op::Eq)
      x.high = std::min(x.high, bound);
    if (op == Op::Ge || op == Op::Eq)
      x.low = std::max(x.low, bound);
    if (op == Op::Ne)
      excluded[key].push_back(bound);
    if (x.low > x.high)
      return true;
  }
  for (const auto &[key, values] : excluded)
    for (double v : values)
      if (intervals[key].low == v && intervals[key].high == v)
        return true;
  return false;
}

} // namespace

bool areDisjoint(Graph &graph, NodeId a, AxisId walkA, NodeId b, AxisId walkB) {
  b = graph.substituteWalk(b, walkB, walkA); // equal conditions are then one node
  Refuter refuter(graph);
  std::vector<Case> cases{{}};
  if (!refuter.add(a, false, cases, 0) || !refuter.add(b, false, cases, 0))
    return false;
  return std::all_of(cases.begin(), cases.end(), [&](const Case &c) { return refuter.contradicts(c); });
}

} // namespace fovea::sema
