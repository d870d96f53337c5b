// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// p(e) as a sum of accumulators: e is distributed into terms a(i) * c(i, j) * y(j). c has only the axes of p and the
// walked one; a leaves the expectation; y has the features.
#include "frontend/sema/Graph.h"

#include <algorithm>

namespace fovea::sema {
namespace {

constexpr size_t kMaxTerms = 64;
constexpr unsigned kMaxSteps = 4000, kMaxDepth = 200;

struct Term {
  std::vector<NodeId> row, pair, key;
  bool negative = false;
  std::vector<AxisId> contracted; // summed after the expectation
};

class Distributor {
public:
  Distributor(Graph &graph, NodeId p)
      : graph_(graph), p_(p), walk_(graph[p].attrAxes[0]), query_(graph[p].attrAxes[1]) {}

  bool terms(NodeId n, std::vector<Term> &into, unsigned depth);
  NodeId emit(const Term &term);
  NodeId culprit = 0;
  std::string reason;

private:
  bool refuse(NodeId n, std::string why) {
    culprit = n;
    reason = std::move(why);
    return false;
  }
  bool isPair(NodeId n) const {
    for (AxisId a : graph_[n].axes)
      if (a != walk_ && !graph_.has(p_, a))
        return false;
    return true;
  }
  bool product(NodeId n, const std::vector<Term> &a, const std::vector<Term> &b, std::vector<Term> &into);

  Graph &graph_;
  NodeId p_;
  AxisId walk_, query_;
  unsigned steps_ = 0;
};

bool Distributor::product(NodeId n, const std::vector<Term> &a, const std::vector<Term> &b, std::vector<Term> &into) {
  if (a.size() * b.size() > kMaxTerms)
    return refuse(n, "it distributes into more than " + std::to_string(kMaxTerms) + " terms");
  auto mentions = [&](const Term &t, AxisId axis) {
    for (const auto *list : {&t.row, &t.pair, &t.key})
      for (NodeId x : *list)
        if (graph_.has(x, axis))
          return true;
    return std::find(t.contracted.begin(), t.contracted.end(), axis) != t.contracted.end();
  };
  for (const Term &x : a)
    for (const Term &y : b) {
      for (AxisId c : x.contracted)
        if (mentions(y, c))
          return refuse(n, "its sum over '" + graph_.attention().axes[c].name + "' cannot leave the expectation");
      for (AxisId c : y.contracted)
        if (mentions(x, c))
          return refuse(n, "its sum over '" + graph_.attention().axes[c].name + "' cannot leave the expectation");
      Term t = x;
      t.row.insert(t.row.end(), y.row.begin(), y.row.end());
      t.pair.insert(t.pair.end(), y.pair.begin(), y.pair.end());
      t.key.insert(t.key.end(), y.key.begin(), y.key.end());
      t.contracted.insert(t.contracted.end(), y.contracted.begin(), y.contracted.end());
      t.negative = x.negative != y.negative;
      into.push_back(std::move(t));
    }
  return true;
}

bool Distributor::terms(NodeId n, std::vector<Term> &into, unsigned depth) {
  if (++steps_ > kMaxSteps || depth > kMaxDepth || into.size() > kMaxTerms)
    return refuse(n, "it distributes into too many terms");
  if (!graph_.has(n, walk_)) {
    into.push_back({{n}, {}, {}, false, {}});
    return true;
  }
  if (isPair(n)) {
    into.push_back({{}, {n}, {}, false, {}});
    return true;
  }
  Node node = graph_[n]; // a copy: the recursion adds nodes
  // The rename of a sum is the sum of renames, so that its terms meet the caller's tensors.
  if (node.op == Op::Rename) {
    Node inner = graph_[node.operands[0]];
    AxisId from = node.attrAxes[0], to = node.attrAxes[1];
    switch (inner.op) {
    case Op::Add:
    case Op::Sub:
    case Op::Mul:
    case Op::Div:
      node = inner;
      for (NodeId &o : node.operands)
        o = graph_.rename(from, to, o);
      break;
    case Op::Neg:
      node = inner;
      node.operands[0] = graph_.rename(from, to, node.operands[0]);
      break;
    default:
      break;
    }
  }
  bool mixed = graph_.hasAny(n, query_);
  auto atom = [&]() {
    if (mixed)
      return refuse(n, "it depends on i and j and has features");
    into.push_back({{}, {}, {n}, false, {}});
    return true;
  };
  switch (node.op) {
  case Op::Neg: {
    size_t first = into.size();
    if (!terms(node.operands[0], into, depth + 1))
      return false;
    for (size_t k = first; k < into.size(); ++k)
      into[k].negative = !into[k].negative;
    return true;
  }
  case Op::Add:
  case Op::Sub: {
    if (!terms(node.operands[0], into, depth + 1))
      return false;
    size_t first = into.size();
    if (!terms(node.operands[1], into, depth + 1))
      return false;
    if (node.op == Op::Sub)
      for (size_t k = first; k < into.size(); ++k)
        into[k].negative = !into[k].negative;
    return true;
  }
  case Op::Mul: {
    std::vector<Term> a, b;
    return terms(node.operands[0], a, depth + 1) && terms(node.operands[1], b, depth + 1) && product(n, a, b, into);
  }
  case Op::Div: {
    NodeId divisor = node.operands[1];
    if (graph_.has(divisor, walk_) && !isPair(divisor) && graph_.hasAny(divisor, query_))
      return refuse(divisor, "it depends on i and j and has features");
    std::vector<Term> a, b;
    if (!terms(node.operands[0], a, depth + 1))
      return false;
    NodeId inverse = graph_.binary(Op::Div, graph_.real(1), divisor);
    Term t;
    (!graph_.has(divisor, walk_) ? t.row : isPair(divisor) ? t.pair : t.key).push_back(inverse);
    b.push_back(std::move(t));
    return product(n, a, b, into);
  }
  case Op::Select: {
    NodeId condition = node.operands[0];
    if (!isPair(condition))
      return atom();
    for (int side = 0; side < 2; ++side) {
      std::vector<Term> a, b;
      if (!terms(node.operands[1 + side], a, depth + 1))
        return false;
      if (a.size() == 1 && a[0].row.size() == 1 && a[0].pair.empty() && a[0].key.empty() &&
          graph_.isConstant(a[0].row[0]) && graph_.number(a[0].row[0]) == 0)
        continue;
      NodeId indicator = graph_.select(condition, graph_.real(side == 0), graph_.real(side == 1));
      Term t;
      (graph_.has(indicator, walk_) ? t.pair : t.row).push_back(indicator);
      b.push_back(std::move(t));
      if (!product(n, a, b, into))
        return false;
    }
    return true;
  }
  case Op::Dot:
  case Op::Reduce: {
    if (!mixed)
      return atom();
    if (node.op == Op::Reduce && node.reduce != ReduceKind::Sum)
      return atom();
    for (AxisId a : node.attrAxes)
      if (graph_.has(p_, a))
        return refuse(n, "its sum over '" + graph_.attention().axes[a].name + "' cannot leave the expectation");
    std::vector<Term> a, b, both;
    if (!terms(node.operands[0], a, depth + 1))
      return false;
    if (node.op == Op::Dot) {
      if (!terms(node.operands[1], b, depth + 1) || !product(n, a, b, both))
        return false;
    } else {
      both = std::move(a);
    }
    for (Term &t : both) {
      t.contracted.insert(t.contracted.end(), node.attrAxes.begin(), node.attrAxes.end());
      into.push_back(std::move(t));
    }
    return true;
  }
  default:
    return atom();
  }
}

NodeId Distributor::emit(const Term &term) {
  auto multiply = [&](std::vector<NodeId> list) {
    std::sort(list.begin(), list.end()); // equal factors in another order are the same accumulator
    NodeId result = graph_.toReal(list[0]);
    for (size_t k = 1; k < list.size(); ++k)
      result = graph_.binary(Op::Mul, result, graph_.toReal(list[k]));
    return result;
  };
  NodeId result;
  if (!term.key.empty() && !term.pair.empty()) {
    NodeId coefficient = multiply(term.pair);
    result = graph_.expect(p_, multiply(term.key), &coefficient);
  } else if (!term.key.empty()) {
    result = graph_.expect(p_, multiply(term.key), nullptr);
  } else if (!term.pair.empty()) {
    NodeId coefficient = multiply(term.pair);
    result = graph_.hasAny(coefficient, query_) ? graph_.expect(p_, graph_.real(1), &coefficient)
                                                : graph_.expect(p_, coefficient, nullptr);
  } else {
    result = graph_.expect(p_, graph_.real(1), nullptr);
  }
  NodeId row = 0;
  bool hasRow = !term.row.empty();
  if (hasRow)
    row = multiply(term.row);
  std::vector<AxisId> both, one;
  for (AxisId a : term.contracted)
    (hasRow && graph_.has(row, a) && graph_.has(result, a) ? both : one).push_back(a);
  if (!both.empty() && one.empty()) {
    result = graph_.dot(both, row, result);
  } else {
    if (hasRow)
      result = graph_.binary(Op::Mul, row, result);
    if (!term.contracted.empty())
      result = graph_.reduce(ReduceKind::Sum, term.contracted, result);
  }
  return result;
}

} // namespace

Distribution distribute(Graph &graph, NodeId p, NodeId e) {
  Distributor distributor(graph, p);
  std::vector<Term> terms;
  if (!distributor.terms(e, terms, 0))
    return {false, 0, distributor.culprit, distributor.reason};
  NodeId result = 0;
  for (size_t k = 0; k < terms.size(); ++k) {
    NodeId t = distributor.emit(terms[k]);
    if (k == 0)
      result = terms[k].negative ? graph.unary(Op::Neg, t) : t;
    else
      result = graph.binary(terms[k].negative ? Op::Sub : Op::Add, result, t);
  }
  return {true, result, 0, {}};
}

} // namespace fovea::sema
