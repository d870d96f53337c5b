// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What is read of weights: expectations, statistics, reductions over blocks, rows of scores, and merged branches.
#include "frontend/sema/Analyzer.h"

#include <limits>

namespace fovea::sema::internal {

NodeId Analyzer::divisorLog(const Handle &h) {
  if (!h.branches.empty()) {
    std::optional<NodeId> all;
    for (int64_t b : h.branches) {
      NodeId one = divisorLog(handles_[static_cast<size_t>(b)]);
      all = all ? graph_.binary(Op::LogAddExp, *all, one) : one;
    }
    return *all;
  }
  NodeId result = graph_.stat(StatKind::Lse, h.node);
  for (NodeId s : h.sinks)
    result = graph_.binary(Op::LogAddExp, result, s);
  if (h.divide == Handle::Divide::SumPlus)
    result = graph_.binary(Op::LogAddExp, result, graph_.unary(Op::Log, h.divisor));
  return result;
}

/// The number of keys where `where` holds, as a real.
NodeId Analyzer::countOf(const Handle &h) {
  if (!h.where)
    return graph_.toReal(graph_.sizeOf(h.walk.raw));
  NodeId ones = graph_.weights(WeightKind::Free, h.walk.walk, h.walk.query, graph_.real(1), &*h.where, nullptr, {});
  for (size_t k = 0; k < handles_.size(); ++k)
    if (handles_[k].node == h.node && handles_[k].branches.empty()) {
      weightsNodes_.emplace(ones, k);
      break;
    }
  return graph_.stat(StatKind::Mass, ones);
}

NodeId Analyzer::divided(const Handle &h, NodeId e) {
  using Divide = Handle::Divide;
  auto atLeastOne = [&](NodeId count) { return graph_.binary(Op::Max, count, graph_.real(1)); };
  if (h.kind == WeightKind::Exp)
    switch (h.divide) {
    case Divide::Sum:
    case Divide::SumPlus: // a sink
      return e;
    case Divide::AtLeast: { // e / Z * Z / max(Z, c)
      NodeId ratio = graph_.binary(Op::Sub, divisorLog(h), graph_.unary(Op::Log, h.divisor));
      return graph_.binary(Op::Mul, e, graph_.binary(Op::Min, graph_.real(1), graph_.unary(Op::Exp, ratio)));
    }
    case Divide::Count: // a row without keys has e = 0, whatever it is divided by
      return graph_.binary(
          Op::Mul, e,
          graph_.unary(Op::Exp, graph_.binary(Op::Sub, divisorLog(h), graph_.unary(Op::Log, atLeastOne(countOf(h))))));
    case Divide::None:
      return graph_.binary(Op::Mul, e, graph_.unary(Op::Exp, divisorLog(h)));
    }
  switch (h.divide) {
  case Divide::Sum: {
    NodeId sum = graph_.stat(StatKind::Mass, h.node);
    return graph_.select(graph_.binary(Op::Eq, sum, graph_.real(0)), graph_.real(0), graph_.binary(Op::Div, e, sum));
  }
  case Divide::SumPlus:
    return graph_.binary(Op::Div, e, graph_.binary(Op::Add, graph_.stat(StatKind::Mass, h.node), h.divisor));
  case Divide::AtLeast:
    return graph_.binary(Op::Div, e, graph_.binary(Op::Max, graph_.stat(StatKind::Mass, h.node), h.divisor));
  case Divide::Count:
    return graph_.binary(Op::Div, e, atLeastOne(countOf(h)));
  case Divide::None:
    break;
  }
  return e;
}

NodeId Analyzer::pairWeight(const Handle &h, const NodeId *ofAll) {
  NodeId zero = graph_.real(0);
  NodeId w = h.weight;
  if (h.kind == WeightKind::Exp) {
    NodeId z = ofAll ? *ofAll : divisorLog(h);
    // Rows whose weights are all 0 subtract 0: exp(-inf - 0) is 0, exp(-inf + inf) is no number.
    NodeId some = graph_.binary(Op::Gt, z, graph_.real(-std::numeric_limits<double>::infinity()));
    w = graph_.unary(Op::Exp, graph_.binary(Op::Sub, graph_.toReal(*h.score), graph_.select(some, z, zero)));
  }
  if (h.mass)
    w = graph_.binary(Op::Mul, graph_.toReal(*h.mass), w);
  if (h.where)
    w = graph_.select(*h.where, w, zero);
  return ofAll ? w : divided(h, w);
}

Value Analyzer::statistic(Handle &h, const std::string &name, const Expr &e) {
  graph_.here = e.span;
  if (!h.branches.empty()) {
    std::optional<NodeId> all;
    std::vector<NodeId> maxima, masses;
    for (int64_t b : h.branches) {
      Handle &branch = handles_[static_cast<size_t>(b)];
      Value one = statistic(branch, name == "mass" ? "max" : name, e);
      if (!one)
        return one;
      Op join = name == "lse" ? Op::LogAddExp : name == "count" ? Op::Add : Op::Max;
      all = all ? graph_.binary(join, *all, *one) : *one;
      maxima.push_back(*one);
    }
    if (name != "mass")
      return all;
    std::optional<NodeId> sum; // relative to the greatest score of all
    for (size_t k = 0; k < h.branches.size(); ++k) {
      Handle &branch = handles_[static_cast<size_t>(h.branches[k])];
      NodeId empty = graph_.real(-std::numeric_limits<double>::infinity());
      NodeId share = graph_.binary(Op::Mul, graph_.stat(StatKind::Mass, branch.node),
                                   graph_.unary(Op::Exp, graph_.binary(Op::Sub, maxima[k], *all)));
      share = graph_.select(graph_.binary(Op::Gt, maxima[k], empty), share, graph_.real(0));
      sum = sum ? graph_.binary(Op::Add, *sum, share) : share;
    }
    return sum;
  }
  if (name == "count")
    return countOf(h);
  h.massMatters |= name != "max";
  if (name == "mass")
    return graph_.stat(StatKind::Mass, h.node);
  if (h.kind == WeightKind::Exp)
    return graph_.stat(name == "max" ? StatKind::Max : StatKind::Lse, h.node);
  if (name == "max" && h.score) {
    NodeId scores = weightsNode(h, WeightKind::Exp, *h.score, false, {});
    weightsNodes_.emplace(scores, weightsNodes_.at(h.node));
    return graph_.stat(StatKind::Max, scores);
  }
  if (name == "max")
    error(e.nameSpan, "weights without a score have no 'max'", "expected 'score: ..' and a 'weight' made of it");
  else
    error(e.nameSpan, "'lse' belongs to exp weights", "these have a sum: '.mass'");
  return std::nullopt;
}

/// max[S in Sb](p)
Value Analyzer::reducedWeights(ReduceKind kind, NodeId p, const Expr &in, const Expr &e, const Context &context) {
  std::optional<AxisId> from = axis(*in.children[0], context), to = axis(*in.children[1], context);
  if (!from || !to)
    return std::nullopt;
  const Axis &blocks = attention_.axes[*to];
  bool isBlocks = blocks.relation == AxisRelation::Blocks || blocks.relation == AxisRelation::Windows;
  if (!isBlocks || blocks.raw != *from) {
    error(in.children[1]->span, quoted(axisName(*to)) + " is no axis of blocks of " + quoted(axisName(*from)),
          "expected 'axis " + axisName(*to) + " = " + axisName(*from) + " / 64'");
    return std::nullopt;
  }
  Handle &h = handleOf(p);
  std::vector<const Handle *> branches;
  if (h.branches.empty())
    branches.push_back(&h);
  for (int64_t b : h.branches)
    branches.push_back(&handles_[static_cast<size_t>(b)]);
  if (branches.size() > 1 && kind != ReduceKind::Sum && kind != ReduceKind::Max)
    return notYet(e.span, "this reduction of merged weights", "works now: sum and max");
  graph_.here = e.span;
  NodeId z = branches.size() > 1 ? divisorLog(h) : 0;
  std::optional<NodeId> result;
  for (const Handle *b : branches) {
    if (b->walk.raw != *from) {
      error(in.children[0]->span, "these weights walk " + quoted(axisName(b->walk.raw)),
            "expected '" + axisName(b->walk.raw) + " in ..'");
      return std::nullopt;
    }
    NodeId one = graph_.blockReduce(kind, b->walk.walk, *to, pairWeight(*b, branches.size() > 1 ? &z : nullptr));
    result = result ? graph_.binary(kind == ReduceKind::Sum ? Op::Add : Op::Max, *result, one) : one;
  }
  return result;
}

/// near.where and near.score in another walk of the same axis.
Value Analyzer::pairOfBranch(const Handle &h, const std::string &name, const Expr &e, const Context &context) {
  if (!context.walk || context.inMap) {
    error(e.span, "'." + name + "' is a value for each query and key",
          name == "score" ? "use it in another walk, or name rows: '" + text(e) + "[i in ..]'"
                          : "use it in the fields of other 'weights': 'where: j <= i and not " + text(e) + "'");
    return std::nullopt;
  }
  if (!h.branches.empty()) {
    if (name == "score")
      return notYet(e.span, "the score of merged weights");
    std::optional<NodeId> any;
    for (int64_t b : h.branches) {
      Value one = pairOfBranch(handles_[static_cast<size_t>(b)], name, e, context);
      if (!one)
        return one;
      any = any ? graph_.binary(Op::Or, *any, *one) : *one;
    }
    return any;
  }
  const Walk &w = *context.walk;
  if (h.walk.raw != w.raw || h.walk.query != w.query) {
    error(e.span, quoted(text(e)) + " is of a walk over " + quoted(axisName(h.walk.raw)),
          "this one walks " + quoted(axisName(w.raw)));
    return std::nullopt;
  }
  graph_.here = e.span;
  if (name == "where")
    return h.where ? graph_.substituteWalk(*h.where, h.walk.walk, w.walk) : graph_.boolean(true);
  if (!h.score) {
    error(e.span, "these weights have no score", "their 'weight' is an expression of its own");
    return std::nullopt;
  }
  return graph_.substituteWalk(*h.score, h.walk.walk, w.walk);
}

/// p.score[i in idx]: rows of scores, of the queries at the positions idx; -inf where the predicate excludes the key.
Value Analyzer::scoreRows(const Expr &e, const Expr &rows, const Context &context) {
  const Expr &base = *e.children[0];
  Context outside = context;
  outside.walk = nullptr;
  Value p = eval(*base.children[0], outside);
  if (!p)
    return p;
  if (!isHandle(*p)) {
    error(base.nameSpan, "there is no part " + quoted(base.text), "only weights have parts");
    return std::nullopt;
  }
  const Handle &h = handleOf(*p);
  if (!h.branches.empty())
    return notYet(e.span, "the score of merged weights");
  if (!h.score) {
    error(e.span, "these weights have no score", "their 'weight' is an expression of its own");
    return std::nullopt;
  }
  const Walk &w = h.walk;
  if (attention_.axes[w.raw].relation == AxisRelation::Factor || w.given)
    return notYet(e.span, "rows of scores of a walk over a factor axis or with given positions");
  if (rows.children[0]->kind != ExprKind::Name || rows.children[0]->text != "i") {
    error(rows.children[0]->span, "expected 'i', the query's position", "as in '.score[i in idx]'");
    return std::nullopt;
  }
  Value idx = evalNumber(*rows.children[1], outside);
  if (!idx)
    return idx;
  if (graph_[*idx].kind != Kind::Int || graph_.has(*idx, w.query) || graph_.has(*idx, w.raw)) {
    error(rows.children[1]->span, "the rows are integers on an axis of their own",
          "this is " + describe(*idx) + "; expected such as 'input idx : i32 [B, N]'");
    return std::nullopt;
  }
  graph_.here = e.span;
  auto offset = [&](NodeId position, AxisId axis) { // a position on the keys as the index on `axis`
    if (axis == w.base || w.alignStart)
      return position;
    return graph_.binary(Op::Add, position, graph_.binary(Op::Sub, graph_.sizeOf(axis), graph_.sizeOf(w.base)));
  };
  auto replace = [&](NodeId n) -> std::optional<NodeId> {
    const Node node = graph_[n];
    if (n == w.i)
      return *idx;
    if (node.op == Op::RowAt && node.attrAxes[1] == w.query)
      return graph_.gather(node.attrAxes[0], node.operands[0], offset(*idx, node.attrAxes[0]));
    if (!graph_.has(n, w.query))
      return n;
    if (node.op == Op::Index || node.op == Op::Position)
      return offset(*idx, w.query);
    if (node.op == Op::QueryPosition)
      return offset(*idx, node.attrAxes[1]);
    bool through = (node.op >= Op::Neg && node.op <= Op::Dot) || node.op == Op::Slice || node.op == Op::Concat ||
                   node.op == Op::Gather || (node.op == Op::Rename && node.attrAxes[1] != w.query);
    if (through && !node.operands.empty())
      return std::nullopt;
    return graph_.gather(w.query, n, offset(*idx, w.query));
  };
  NodeId result = graph_.transform(graph_.toReal(*h.score), replace);
  if (h.where)
    result = graph_.select(graph_.transform(*h.where, replace), result,
                           graph_.real(-std::numeric_limits<double>::infinity()));
  if (!graph_.has(result, w.walk)) {
    error(e.span, "this score does not depend on the key");
    return std::nullopt;
  }
  return graph_.rename(w.walk, w.raw, result);
}

Value Analyzer::expectation(const Symbol &p, const Expr &e, const Context &context) {
  if (e.children.size() != 2 || e.children[1]->kind == ExprKind::Labelled) {
    error(e.span, quoted(p.name) + " takes one argument", "the value whose expectation it is: " + p.name + "(v)");
    return std::nullopt;
  }
  return expectationOf(p.node, *e.children[1], context, e.span);
}

Value Analyzer::expectationOf(NodeId p, const Expr &argument, const Context &context, Span whole) {
  if (context.walk && !context.inMap) {
    error(whole, "an expectation inside a walk needs a subscript", "expected '..[i]' behind it");
    return std::nullopt;
  }
  const Handle &h = handleOf(p);
  if (h.branches.empty()) {
    Value v = branchExpectation(h, h.node, argument, context, whole);
    graph_.here = whole;
    return v ? Value(divided(h, *v)) : v;
  }
  // One softmax of all branches: each one's own, times its share of the common divisor.
  graph_.here = whole;
  NodeId all = divisorLog(h);
  std::optional<NodeId> sum;
  for (int64_t b : h.branches) {
    const Handle &branch = handles_[static_cast<size_t>(b)];
    graph_.here = whole;
    Value v = branchExpectation(branch, branch.node, argument, context, whole);
    if (!v)
      return v;
    graph_.here = whole;
    NodeId own = graph_.stat(StatKind::Lse, branch.node);
    NodeId share = graph_.select(graph_.binary(Op::Gt, own, graph_.real(-std::numeric_limits<double>::infinity())),
                                 graph_.unary(Op::Exp, graph_.binary(Op::Sub, own, all)), graph_.real(0));
    NodeId term = graph_.binary(Op::Mul, share, *v);
    sum = sum ? graph_.binary(Op::Add, *sum, term) : term;
  }
  return sum;
}

/// The expectation of `argument` under the weights `node` of h.
Value Analyzer::branchExpectation(const Handle &h, NodeId p, const Expr &argument, const Context &context, Span whole) {
  const Walk &walk = h.walk;
  Context inner = context;
  inner.walk = &walk;
  inner.inMap = false;
  Context outside = context;
  outside.walk = nullptr;
  const Expr &lone = bare(argument);
  Value v;
  Symbol *s = nullptr;
  if (lone.kind == ExprKind::Name && lone.text != "i" && lone.text != walk.name)
    s = lookup(context.scope, lone.text);
  // A lone array needs no subscript: a name, a view of one, or the result of other weights.
  bool isView = false, isResult = false;
  if (lone.kind == ExprKind::Subscript && lone.children.size() == 2 && lone.children[0]->kind == ExprKind::Name &&
      lone.children[1]->kind == ExprKind::Name)
    if (Symbol *part = lookup(context.scope, lone.children[1]->text))
      isView = part->kind == Symbol::Kind::Axis || part->kind == Symbol::Kind::Part;
  if (lone.kind == ExprKind::Call && lone.children[0]->kind == ExprKind::Name)
    if (Symbol *callee = lookup(context.scope, lone.children[0]->text))
      isResult = callee->kind == Symbol::Kind::Weights;
  if (s && s->kind == Symbol::Kind::Field && tokenAxisOf(s->node, walk)) {
    s->used = true;
    v = walked(s->node, false, walk, lone.span, lone.text);
  } else if (isView || isResult) {
    v = evalNumber(lone, outside);
    if (v && tokenAxisOf(*v, walk))
      v = walked(*v, false, walk, lone.span, text(lone));
  } else {
    v = evalNumber(argument, inner);
  }
  if (!v)
    return v;
  if (!isNumber(*v)) {
    error(argument.span, "expected a number", "this is " + describe(*v));
    return std::nullopt;
  }
  graph_.here = whole;
  Distribution d = distribute(graph_, p, *v);
  if (!d.ok) {
    Span span = graph_[d.culprit].span;
    std::string term = sourceText(span);
    std::vector<AxisId> features;
    for (AxisId a : graph_[d.culprit].axes)
      if (a != walk.walk && !graph_.has(p, a))
        features.push_back(a);
    errorWithNote(span.valid() ? span : whole, "the term '" + term + "' is no accumulator",
                  d.reason + (features.empty() ? "" : ": " + axesText(features)), whole,
                  "p(e) takes a sum of terms a[i] * c(i, " + walk.name + ") * y[" + walk.name +
                      "], where c has no features");
    return std::nullopt;
  }
  return d.result;
}

/// joint(p1 of v1, p2 of v2, .., reference: rowmax): the sum of all weights times values over the sum of all weights.
/// Exp weights count relative to the greatest score of the row, or by `reference: true` as they are.
Value Analyzer::joint(const Expr &e, const Context &context) {
  if (context.walk && !context.inMap) {
    error(e.span, "an expectation inside a walk needs a subscript", "name it with 'let' before and use its value");
    return std::nullopt;
  }
  bool asTheyAre = false, good = true;
  const Expr *divide = nullptr;
  std::vector<const Expr *> branches;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &a = *e.children[k];
    if (a.kind == ExprKind::Binary && a.text == "of") {
      branches.push_back(&a);
      continue;
    }
    static const std::vector<std::string> labels = {"reference", "divide"};
    bool labelled = a.kind == ExprKind::Labelled && a.children[0]->kind == ExprKind::Name;
    std::string label = labelled ? a.children[0]->text : "";
    if (label == "divide") {
      divide = a.children[1].get();
    } else if (label == "reference") {
      const Expr &choice = bare(*a.children[1]);
      static const std::vector<std::string> choices = {"rowmax", "true"};
      if (choice.kind != ExprKind::Name || std::find(choices.begin(), choices.end(), choice.text) == choices.end()) {
        error(a.children[1]->span, "unknown reference", "expected rowmax or true",
              choice.kind == ExprKind::Name ? syntax::closest(choice.text, choices) : "");
        good = false;
      }
      asTheyAre = choice.text == "true";
    } else if (label == "max") {
      notYet(a.span, "'max' of 'joint'", "it concerns gradients");
      good = false;
    } else {
      error(a.span, "unknown argument of 'joint'", "expected 'p of v', 'reference: ..' or 'divide: ..'",
            labelled ? syntax::closest(label, labels) : "");
      good = false;
    }
  }
  if (good && (branches.size() < 2 || branches.size() > kMaxBranches)) {
    error(e.span, "'joint' joins two to " + std::to_string(kMaxBranches) + " weights",
          "expected 'joint(near of v, far of v)'");
    good = false;
  }
  struct Branch {
    NodeId node = 0, sum = 0; // weights; what they make of the values
    bool isExp = false;
  };
  std::vector<Branch> parts;
  Handle shared; // what is divided by
  shared.kind = WeightKind::Free;
  for (const Expr *b : branches) {
    Value p = eval(*b->children[0], context);
    if (!p) {
      good = false;
      continue;
    }
    if (!isHandle(*p) || !handleOf(*p).branches.empty()) {
      error(b->children[0]->span, "'joint' joins weights",
            isHandle(*p) ? "these are merged" : "this is " + describe(*p));
      good = false;
      continue;
    }
    Handle &h = handleOf(*p);
    h.massMatters = true;
    if (h.divide != Handle::Divide::Sum && h.divide != Handle::Divide::None) {
      error(b->children[0]->span, "'joint' has one divisor for all",
            "these weights have one of their own; 'divide:' "
            "can stand in 'joint(..)'");
      good = false;
      continue;
    }
    if (!h.sinks.empty()) {
      notYet(b->children[0]->span, "sinks in 'joint'");
      good = false;
      continue;
    }
    shared.walk = h.walk;
    Branch part;
    part.node = h.node;
    part.isExp = h.kind == WeightKind::Exp;
    Value v = branchExpectation(h, h.node, *b->children[1], context, b->span);
    good &= v.has_value();
    part.sum = v ? *v : 0;
    parts.push_back(part);
  }
  if (!good)
    return std::nullopt;
  // The greatest score m of the row; of `true`, at least 0, so that no factor exceeds 1.
  graph_.here = e.span;
  NodeId none = graph_.real(-std::numeric_limits<double>::infinity()), zero = graph_.real(0);
  std::optional<NodeId> greatest;
  unsigned exps = 0;
  for (const Branch &p : parts)
    if (p.isExp) {
      NodeId own = graph_.stat(StatKind::Max, p.node);
      greatest = greatest ? graph_.binary(Op::Max, *greatest, own) : own;
      ++exps;
    }
  bool shifts = greatest && asTheyAre;
  if (shifts)
    greatest = graph_.binary(Op::Max, *greatest, zero);
  NodeId scale = shifts ? graph_.unary(Op::Exp, graph_.unary(Op::Neg, *greatest)) : graph_.real(1);
  std::optional<NodeId> above, below;
  for (const Branch &p : parts) {
    NodeId mass = graph_.stat(StatKind::Mass, p.node), term = p.sum, factor = scale;
    if (p.isExp) {
      // The expectation is divided by the mass already.
      term = graph_.binary(Op::Mul, term, mass);
      NodeId own = graph_.stat(StatKind::Max, p.node);
      factor = shifts || exps > 1 ? graph_.select(graph_.binary(Op::Gt, own, none),
                                                  graph_.unary(Op::Exp, graph_.binary(Op::Sub, own, *greatest)), zero)
                                  : graph_.real(1);
    }
    term = graph_.binary(Op::Mul, factor, term);
    mass = graph_.binary(Op::Mul, factor, mass);
    above = above ? graph_.binary(Op::Add, *above, term) : term;
    below = below ? graph_.binary(Op::Add, *below, mass) : mass;
  }
  if (divide && !divideField(*divide, shared, context))
    return std::nullopt;
  graph_.here = e.span;
  NodeId limit = shifts ? graph_.binary(Op::Mul, scale, shared.divisor) : shared.divisor;
  switch (shared.divide) {
  case Handle::Divide::Sum:
    break;
  case Handle::Divide::SumPlus:
    return graph_.binary(Op::Div, *above, graph_.binary(Op::Add, *below, limit));
  case Handle::Divide::AtLeast:
    return graph_.binary(Op::Div, *above, graph_.binary(Op::Max, *below, limit));
  case Handle::Divide::Count:
  case Handle::Divide::None:
    error(divide->span, "'joint' divides by the sum of all weights", "expected sum, sum + eps or max(sum, c)");
    return std::nullopt;
  }
  return graph_.select(graph_.binary(Op::Ne, *below, zero), graph_.binary(Op::Div, *above, *below), zero);
}

/// merge(p1, p2, ..): one softmax over the keys of all.
Value Analyzer::merge(const Expr &e, const Context &context) {
  Handle joined;
  joined.span = e.span;
  bool multiset = false, good = true;
  std::vector<const Expr *> texts;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &a = *e.children[k];
    if (a.kind == ExprKind::Name && a.text == "multiset" && !lookup(context.scope, a.text)) {
      multiset = true;
      continue;
    }
    if (a.kind == ExprKind::Binary && a.text == "of")
      return notYet(a.span, "values of their own in 'merge'");
    Value v = eval(a, context);
    if (!v) {
      good = false;
      continue;
    }
    if (!isHandle(*v)) {
      error(a.span, "'merge' joins weights", "this is " + describe(*v));
      good = false;
      continue;
    }
    Handle &h = handleOf(*v);
    std::vector<int64_t> numbers = h.branches;
    if (numbers.empty())
      numbers.push_back(graph_[*v].integer);
    for (int64_t n : numbers) {
      joined.branches.push_back(n);
      texts.push_back(&a);
    }
  }
  if (!good)
    return std::nullopt;
  if (joined.branches.size() < 2) {
    error(e.span, "'merge' joins two or more weights", "expected 'merge(near, far)'");
    return std::nullopt;
  }
  if (joined.branches.size() > kMaxBranches) { // each pair of them is proved disjoint
    error(e.span, "'merge' joins at most " + std::to_string(kMaxBranches) + " weights",
          "here are " + std::to_string(joined.branches.size()));
    return std::nullopt;
  }
  for (size_t k = 0; k < joined.branches.size(); ++k) {
    Handle &h = handles_[static_cast<size_t>(joined.branches[k])];
    h.massMatters = true;
    bool sums = h.divide == Handle::Divide::Sum || h.divide == Handle::Divide::SumPlus;
    if (h.kind == WeightKind::Free || !sums) {
      error(texts[k]->span,
            h.kind == WeightKind::Free ? "'merge' joins exp weights" : "'merge' joins weights of 'divide: sum'",
            "outputs of other weights are added: p1(v) + p2(v)");
      return std::nullopt;
    }
    if (h.walk.query != handles_[static_cast<size_t>(joined.branches[0])].walk.query) {
      error(texts[k]->span, "merged weights have the same queries",
            "this has queries on " + quoted(axisName(h.walk.query)));
      return std::nullopt;
    }
    for (size_t other = 0; other < k && !multiset; ++other) {
      const Handle &g = handles_[static_cast<size_t>(joined.branches[other])];
      if (g.walk.raw != h.walk.raw)
        continue; // other keys
      bool apart = g.where && h.where && areDisjoint(graph_, *g.where, g.walk.walk, *h.where, h.walk.walk);
      if (apart)
        continue;
      errorWithNote(texts[k]->span, quoted(text(*texts[other])) + " and " + quoted(text(*texts[k])) + " may share keys",
                    "add 'and not " + text(*texts[other]) +
                        ".where' to one 'where', or count shared keys twice: "
                        "'merge(.., multiset)'",
                    h.whereSpan, "this 'where' does not exclude those keys");
      return std::nullopt;
    }
  }
  // Their sinks are in the common divisor.
  for (int64_t &number : joined.branches) {
    Handle alone = handles_[static_cast<size_t>(number)];
    graph_.here = alone.span;
    alone.node = weightsNode(alone, WeightKind::Exp, *alone.score, true, {});
    number = static_cast<int64_t>(handles_.size());
    weightsNodes_.emplace(alone.node, handles_.size());
    handles_.push_back(std::move(alone));
  }
  return finishHandle(std::move(joined));
}

} // namespace fovea::sema::internal
