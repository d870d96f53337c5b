// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks, weights and expectations.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <limits>

namespace fovea::sema::internal {

Value Analyzer::core(const Expr &e, const Context &context) {
  const Core &c = *e.core;
  if (c.keyword.text == "recur")
    return notYet(c.keyword.span, "recur");
  if (c.keyword.text == "solve")
    return notYet(c.keyword.span, "solve");
  if (context.walk && !context.inMap) {
    error(e.span, "a walk inside a walk", "name it with 'let' before and use its value, such as p(v)[i]");
    return std::nullopt;
  }
  if (context.inMap && context.walk)
    return notYet(e.span, "weights in a map that a walk uses");
  if (c.keyword.text == "attend")
    return attend(e, context);
  Walk walk;
  return weights(e, context, nullptr, nullptr, walk, {});
}

std::optional<Walk> Analyzer::openWalk(const Identifier &over, const Identifier &as, Span span,
                                       const Context &context) {
  Expr name;
  name.kind = ExprKind::Name;
  name.text = over.text;
  name.span = over.span;
  std::optional<AxisId> raw = axis(name, context);
  if (!raw)
    return std::nullopt;
  const Axis a = attention_.axes[*raw];
  Walk walk;
  walk.raw = walk.base = *raw;
  if (a.relation == AxisRelation::Blocks || a.relation == AxisRelation::Windows)
    walk.base = a.raw;
  const Axis base = attention_.axes[walk.base];
  walk.query = base.relation == AxisRelation::Keys ? base.query : walk.base;
  walk.alignStart = alignStart_.count(walk.base) != 0;
  if (attention_.axes[walk.query].relation == AxisRelation::Factor && walk.query != walk.raw) {
    notYet(over.span, "queries on a factor axis that have keys of their own",
           "works now: 'weights over " + axisName(walk.query) + "', where queries and keys are on its factors");
    return std::nullopt;
  }
  if (as) {
    walk.name = as.text;
    if (as.text == "i") {
      error(as.span, "'i' is the query's position", "choose another name for the key's");
      return std::nullopt;
    }
  }
  Axis fresh;
  fresh.name = uniqueWalkName(walk.name);
  fresh.relation = AxisRelation::Walk;
  fresh.raw = walk.raw;
  fresh.query = walk.query;
  fresh.span = span;
  walk.walk = makeAxis(std::move(fresh));
  walkNames_[walk.walk] = walk.name;
  graph_.here = span;
  bool grid = attention_.axes[walk.query].relation == AxisRelation::Factor;
  walk.i = grid || walk.alignStart ? graph_.index(walk.query) : graph_.queryPosition(walk.query, walk.base);
  walk.j = graph_.index(walk.walk);
  walks_[walk.walk] = walk;
  return walk;
}

/// `at: (i: .., j: ..)` gives positions in place of the indices.
bool Analyzer::positions(const Core &c, Walk &walk, const Context &context) {
  const Field *at = nullptr;
  for (const Field &f : c.fields)
    if (f.name.text == "at") {
      if (at) {
        error(f.name.span, "field 'at' stands twice");
        return false;
      }
      at = &f;
    }
  if (!at)
    return true;
  const Expr &value = *at->values[0];
  std::vector<const Expr *> items;
  if (value.kind == ExprKind::Tuple || value.kind == ExprKind::Paren)
    for (const ExprPtr &x : value.children)
      items.push_back(x.get());
  else
    items.push_back(&value);
  Context inner = context;
  inner.walk = &walk;
  inner.inMap = false;
  Value given[2];
  for (const Expr *item : items) {
    bool labelled = item->kind == ExprKind::Labelled && item->children[0]->kind == ExprKind::Name;
    bool isQuery = labelled && item->children[0]->text == "i";
    if (!isQuery && !(labelled && item->children[0]->text == walk.name)) {
      error(item->span, "unknown position", "expected 'at: (i: .., " + walk.name + ": ..)'");
      return false;
    }
    const Expr &e = *item->children[1];
    const Expr &lone = bare(e);
    Symbol *s = lone.kind == ExprKind::Name ? lookup(context.scope, lone.text) : nullptr;
    Value v;
    if (s && s->kind == Symbol::Kind::Field && tokenAxisOf(s->node, walk)) {
      s->used = true;
      v = walked(s->node, isQuery, walk, lone.span, lone.text);
    } else {
      v = evalNumber(e, inner);
    }
    if (!v)
      return false;
    if (graph_[*v].kind != Kind::Int) {
      error(e.span, "a position is an integer", "this is " + describe(*v) + "; floor(..) makes one");
      return false;
    }
    bool onKeys = graph_.has(*v, walk.walk), onQueries = graph_.hasAny(*v, walk.query);
    if (isQuery ? onKeys : onQueries) {
      error(e.span, isQuery ? "the query's position depends on the key" : "the key's position depends on the query",
            "this is " + describe(*v));
      return false;
    }
    given[isQuery ? 0 : 1] = v;
  }
  for (int k = 0; k < 2; ++k)
    if (given[k])
      (k ? walk.j : walk.i) = *given[k];
  walk.given = true;
  walks_[walk.walk] = walk;
  return true;
}

bool Analyzer::readFields(const Core &c, bool sugar, std::map<std::string, const Field *> &fields) {
  static const std::vector<std::string> known = {"score", "where", "weight", "divide", "sink", "mass", "at"};
  bool good = true;
  for (const Field &f : c.fields) {
    bool isScale = sugar && f.name.text == "scale";
    if (!isScale && std::find(known.begin(), known.end(), f.name.text) == known.end()) {
      if (f.name.text == "align") {
        error(f.name.span, "'align' belongs to the axis of the keys", "expected 'axis S keys T align start'");
      } else {
        std::vector<std::string> names = known;
        if (sugar)
          names.push_back("scale");
        error(f.name.span, "unknown field " + quoted(f.name.text),
              sugar ? "expected scale, score, where, weight, divide, sink, mass or at"
                    : "expected score, where, weight, divide, sink, mass or at",
              syntax::closest(f.name.text, names));
      }
      good = false;
      continue;
    }
    if (!f.targets.empty() || f.on || f.per) {
      error(f.span, "expected '" + f.name.text + ": ..'");
      good = false;
    }
    if (!fields.emplace(f.name.text, &f).second) {
      error(f.name.span, "field " + quoted(f.name.text) + " stands twice");
      good = false;
    }
    if (f.values.size() > 1 && f.name.text != "sink") {
      error(f.values[1]->span, "field " + quoted(f.name.text) + " has one value");
      good = false;
    }
  }
  return good;
}

/// A number for each query.
bool Analyzer::rowValue(const Expr &e, const char *what, const Handle &h, const Context &context, NodeId &into) {
  Value v = evalNumber(e, context);
  if (!v)
    return false;
  if (graph_.has(*v, h.walk.walk)) {
    error(e.span, std::string(what) + " belongs to no key", "this depends on " + h.walk.name);
    return false;
  }
  into = graph_.toReal(*v);
  return true;
}

/// `weight: sigmoid`, a function of the score, or `weight: ..`, an expression that may name it `score`.
bool Analyzer::weightField(const Expr &w, Handle &h, const Context &context) {
  const Expr &name = bare(w);
  bool isName = name.kind == ExprKind::Name && !lookup(context.scope, name.text);
  auto function = isName ? unaryFunctions().find(name.text) : unaryFunctions().end();
  if (isName && name.text == "exp")
    return true;
  h.kind = WeightKind::Free;
  if (function != unaryFunctions().end()) {
    if (!h.score) {
      error(w.span, "these weights have no score", "expected 'score: ..', of which " + quoted(name.text) + " is taken");
      return false;
    }
    graph_.here = w.span;
    h.weight = graph_.toReal(graph_.unary(function->second, *h.score));
    return true;
  }
  Context with = context;
  if (h.score) {
    scopes_.push_back(std::make_unique<Scope>());
    Scope *named = scopes_.back().get();
    named->parent = context.scope;
    Symbol s;
    s.what = "score";
    s.used = s.ofWalk = true;
    s.kind = Symbol::Kind::Field;
    s.node = *h.score;
    declare(*named, {"score", w.span}, std::move(s));
    with.scope = named;
  }
  Value v = evalNumber(w, with);
  if (!v)
    return false;
  h.weight = graph_.toReal(*v);
  h.scoreSpan = w.span;
  return true;
}

/// sum, sum + eps, max(sum, c), count or none.
bool Analyzer::divideField(const Expr &d, Handle &h, const Context &context) {
  const Expr &e = bare(d);
  auto isSum = [](const Expr &x) { return bare(x).kind == ExprKind::Name && bare(x).text == "sum"; };
  if (isSum(e))
    return true;
  if (e.kind == ExprKind::Name && (e.text == "count" || e.text == "none")) {
    h.divide = e.text == "count" ? Handle::Divide::Count : Handle::Divide::None;
    return true;
  }
  const Expr *number = nullptr;
  if (e.kind == ExprKind::Binary && e.text == "+" && isSum(*e.children[0]) != isSum(*e.children[1])) {
    h.divide = Handle::Divide::SumPlus;
    number = e.children[isSum(*e.children[0]) ? 1 : 0].get();
  } else if (e.kind == ExprKind::Call && e.children.size() == 3 && e.children[0]->kind == ExprKind::Name &&
             e.children[0]->text == "max" && isSum(*e.children[1]) != isSum(*e.children[2])) {
    h.divide = Handle::Divide::AtLeast;
    number = e.children[isSum(*e.children[1]) ? 2 : 1].get();
  } else {
    error(d.span, "unknown divisor", "expected sum, sum + eps, max(sum, c), count or none",
          e.kind == ExprKind::Name ? syntax::closest(e.text, {"sum", "count", "none"}) : "");
    return false;
  }
  if (!rowValue(*number, "a divisor", h, context, h.divisor))
    return false;
  // Of exp weights its logarithm is taken.
  if (graph_.isConstant(h.divisor) && h.kind == WeightKind::Exp && !(graph_.number(h.divisor) > 0)) {
    error(number->span, "a divisor of exp weights is positive", "this is " + text(*number));
    return false;
  }
  return true;
}

NodeId Analyzer::weightsNode(const Handle &h, WeightKind kind, NodeId score, bool withMass,
                             const std::vector<NodeId> &sinks) {
  bool massOperand = withMass && h.mass && kind == WeightKind::Exp;
  if (withMass && h.mass && kind == WeightKind::Free)
    score = graph_.binary(Op::Mul, graph_.toReal(*h.mass), graph_.toReal(score));
  return graph_.weights(kind, h.walk.walk, h.walk.query, score, h.where ? &*h.where : nullptr,
                        massOperand ? &*h.mass : nullptr, sinks);
}

/// Makes the node of the weights and the handle that the text names.
Value Analyzer::finishHandle(Handle h) {
  graph_.here = h.span;
  NodeId number = 0;
  std::vector<AxisId> rows;
  if (h.branches.empty()) {
    std::vector<NodeId> sinks = h.sinks;
    if (h.kind == WeightKind::Exp && h.divide == Handle::Divide::SumPlus)
      sinks.push_back(graph_.unary(Op::Log, h.divisor)); // eps = exp(log eps): a sink
    h.node = weightsNode(h, h.kind, h.kind == WeightKind::Exp ? *h.score : h.weight, true, sinks);
    rows = graph_[h.node].axes;
  } else {
    for (int64_t b : h.branches)
      Graph::unite(rows, graph_[handles_[static_cast<size_t>(b)].node].axes);
  }
  number = static_cast<NodeId>(handles_.size());
  if (h.branches.empty())
    weightsNodes_.emplace(h.node, number);
  handles_.push_back(std::move(h));
  return graph_.handle(number, rows);
}

/// With `query` and `key`: the fields of an `attend`, whose dot product is named `score`.
Value Analyzer::weights(const Expr &e, const Context &context, NodeId *query, NodeId *key, Walk &walk,
                        std::vector<AxisId> contracted) {
  const Core &c = *e.core;
  bool sugar = query != nullptr;
  if (!sugar) {
    std::optional<Walk> opened = openWalk(c.over, c.as, c.over.span, context);
    if (!opened || !positions(c, *opened, context))
      return std::nullopt;
    walk = *opened;
  }
  if (c.reverse) {
    error(e.span, "'reverse' belongs to 'recur'", "weights have no direction");
    return std::nullopt;
  }
  std::map<std::string, const Field *> fields;
  bool good = readFields(c, sugar, fields);
  auto value = [&](const char *name) -> const Expr * {
    auto it = fields.find(name);
    return it == fields.end() ? nullptr : it->second->values[0].get();
  };
  Context inner = context;
  inner.walk = &walk;
  inner.inMap = false;
  Handle h;
  h.walk = walk;
  h.span = h.scoreSpan = e.span;
  const Expr *scoreText = value("score");
  if (sugar) {
    graph_.here = e.span;
    Value scaled = graph_.dot(contracted, *query, *key);
    Value factor;
    if (const Expr *s = value("scale")) {
      factor = evalNumber(*s, inner);
      good &= factor.has_value();
    } else {
      NodeId product = graph_.sizeOf(contracted[0]);
      for (size_t k = 1; k < contracted.size(); ++k)
        product = graph_.binary(Op::Mul, product, graph_.sizeOf(contracted[k]));
      factor = graph_.binary(Op::Pow, product, graph_.real(-0.5));
    }
    if (factor) {
      graph_.here = e.span;
      scaled = graph_.binary(Op::Mul, *scaled, *factor);
    }
    h.score = scaled;
    if (scoreText) {
      scopes_.push_back(std::make_unique<Scope>());
      Scope *named = scopes_.back().get();
      named->parent = context.scope;
      Symbol s;
      s.what = "score";
      s.used = s.ofWalk = true;
      s.kind = Symbol::Kind::Field;
      s.node = *scaled;
      declare(*named, {"score", scoreText->span}, std::move(s));
      Context with = inner;
      with.scope = named;
      h.score = evalNumber(*scoreText, with);
      h.scoreSpan = scoreText->span;
      good &= h.score.has_value();
    }
  } else if (scoreText) {
    h.score = evalNumber(*scoreText, inner);
    h.scoreSpan = scoreText->span;
    good &= h.score.has_value();
  }
  bool scoreFailed = scoreText && !h.score;
  if (const Expr *w = value("weight"); w && !scoreFailed)
    good &= weightField(*w, h, inner);
  if (good && h.kind == WeightKind::Exp && !h.score) {
    error(c.keyword.span, "these weights have no score", "expected 'score: ..'");
    good = false;
  }
  if (const Expr *d = value("divide"))
    good &= divideField(*d, h, inner);
  h.whereSpan = fields.count("where") ? fields["where"]->values[0]->span : c.keyword.span;
  if (const Expr *w = value("where")) {
    Value where = eval(*w, inner);
    good &= where.has_value();
    if (where && graph_[*where].kind != Kind::Bool) {
      error(w->span, "'where' is a condition",
            "this is " + describe(*where) + "; expected a comparison, such as j <= i");
      good = false;
    } else if (where && !(graph_.isConstant(*where) && graph_[*where].integer)) {
      h.where = where;
    }
  }
  if (const Expr *m = value("mass")) {
    h.mass = evalNumber(*m, inner);
    h.massSpan = m->span;
    good &= h.mass.has_value();
  }
  if (auto it = fields.find("sink"); it != fields.end()) {
    if (h.kind == WeightKind::Free) {
      error(it->second->name.span, "a sink is a logit of exp weights",
            "of these weights, 'divide: sum + c' adds to the divisor");
      good = false;
    }
    for (const ExprPtr &s : it->second->values) {
      NodeId sink = 0;
      if (rowValue(*s, "a sink", h, inner, sink))
        h.sinks.push_back(sink);
      else
        good = false;
    }
  }
  if (!good)
    return std::nullopt;
  NodeId measure = h.kind == WeightKind::Exp ? *h.score : h.weight;
  if (!graph_.has(measure, walk.walk) && !(h.where && graph_.has(*h.where, walk.walk)) && !graph_.isConstant(measure)) {
    error(h.scoreSpan,
          std::string("the ") + (h.kind == WeightKind::Exp ? "score" : "weight") + " does not depend on the key",
          "no tensor here has the subscript [" + walk.name + "]");
    return std::nullopt;
  }
  bool sums = h.divide == Handle::Divide::Sum || h.divide == Handle::Divide::SumPlus;
  if (h.kind == WeightKind::Free && sums && !isNonNegative(graph_, h.weight)) {
    const Expr *at = value("divide") ? value("divide") : value("weight");
    session_.diagnostics.warning(at ? at->span : e.span, "these weights may be negative, so that their sum may vanish",
                                 "write 'divide: none', or weights that are never negative, such as relu(..)");
  }
  return finishHandle(std::move(h));
}

//===------------------------------------------------------------------------------------------------------------===//
// Divisors and statistics
//===------------------------------------------------------------------------------------------------------------===//

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

Value Analyzer::attend(const Expr &e, const Context &context) {
  const Core &c = *e.core;
  if (!c.over) {
    error(c.keyword.span, "'attend' walks an axis", "expected 'attend over S (query: q, key: k, value: v)'");
    return std::nullopt;
  }
  const Expr *parts[3] = {nullptr, nullptr, nullptr};
  static const std::vector<std::string> labels = {"query", "key", "value"};
  bool good = true;
  for (const ExprPtr &a : c.arguments) {
    size_t which = 3;
    if (a->kind == ExprKind::Labelled && a->children[0]->kind == ExprKind::Name)
      which = static_cast<size_t>(std::find(labels.begin(), labels.end(), a->children[0]->text) - labels.begin());
    if (which == 3) {
      error(a->span, "unknown argument of 'attend'", "expected 'query: ..', 'key: ..' and 'value: ..'",
            a->kind == ExprKind::Labelled ? syntax::closest(a->children[0]->text, labels) : "");
      good = false;
    } else if (parts[which]) {
      error(a->span, "argument " + quoted(labels[which]) + " stands twice");
      good = false;
    } else {
      parts[which] = a->children[1].get();
    }
  }
  for (size_t k = 0; k < 3 && good; ++k)
    if (!parts[k]) {
      error(c.keyword.span, "'attend' lacks its " + labels[k], "expected '" + labels[k] + ": ..'");
      good = false;
    }
  std::optional<Walk> walk = openWalk(c.over, c.as, c.over.span, context);
  if (!good || !walk || !positions(c, *walk, context))
    return std::nullopt;
  NodeId nodes[3];
  for (size_t k = 0; k < 3; ++k) {
    Value v = evalNumber(*parts[k], context);
    if (!v)
      good = false;
    else if (Value w = walked(*v, k == 0, *walk, parts[k]->span, text(*parts[k])))
      nodes[k] = *w;
    else
      good = false;
  }
  if (!good)
    return std::nullopt;
  // The features of query and key are their last axis.
  if (graph_[nodes[0]].axes.empty() || graph_[nodes[1]].axes.empty() ||
      graph_[nodes[0]].axes.back() != graph_[nodes[1]].axes.back() || graph_[nodes[0]].axes.back() == walk->query ||
      graph_[nodes[0]].axes.back() == walk->walk) {
    error(parts[1]->span, "query and key do not end with the same feature axis",
          "query is " + describe(nodes[0]) + ", key " + describe(nodes[1]) + "; write 'weights' and 'dot[..]' in full");
    return std::nullopt;
  }
  std::vector<AxisId> contracted{graph_[nodes[0]].axes.back()};
  Walk w = *walk;
  Value p = weights(e, context, &nodes[0], &nodes[1], w, contracted);
  if (!p)
    return std::nullopt;
  graph_.here = e.span;
  const Handle &h = handleOf(*p);
  Distribution d = distribute(graph_, h.node, nodes[2]);
  if (!d.ok) {
    error(parts[2]->span, "the value is no accumulator", d.reason);
    return std::nullopt;
  }
  return divided(h, d.result);
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
