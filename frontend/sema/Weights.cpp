// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks, and the fields of weights.
#include "frontend/sema/Analyzer.h"

#include <algorithm>

namespace fovea::sema::internal {

Value Analyzer::core(const Expr &e, const Context &context) {
  const Core &c = *e.core;
  if (c.keyword.text == "recur")
    return recurrence(e, context, nullptr);
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

Context Analyzer::scoreScope(const Context &context, NodeId score, Span span) {
  scopes_.push_back(std::make_unique<Scope>());
  Scope *named = scopes_.back().get();
  named->parent = context.scope;
  Symbol s;
  s.what = "score";
  s.used = s.ofWalk = true;
  s.kind = Symbol::Kind::Field;
  s.node = score;
  declare(*named, {"score", span}, std::move(s));
  Context with = context;
  with.scope = named;
  return with;
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
  Context with = h.score ? scoreScope(context, *h.score, w.span) : context;
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
  std::vector<const Expr *> terms; // of a + b + ..
  const Expr *rest = &e;
  for (; rest->kind == ExprKind::Binary && rest->text == "+"; rest = rest->children[0].get())
    terms.push_back(rest->children[1].get());
  terms.push_back(rest);
  auto sums = std::count_if(terms.begin(), terms.end(), [&](const Expr *t) { return isSum(*t); });
  if (terms.size() > 1 && sums == 1) {
    h.divide = Handle::Divide::SumPlus;
    std::optional<NodeId> all;
    for (size_t k = terms.size(); k-- > 0;) {
      NodeId one = 0;
      if (isSum(*terms[k]))
        continue;
      if (!rowValue(*terms[k], "a divisor", h, context, one))
        return false;
      number = terms[k];
      graph_.here = d.span;
      all = all ? graph_.binary(Op::Add, *all, one) : one;
    }
    h.divisor = *all;
  } else if (e.kind == ExprKind::Call && e.children.size() == 3 && e.children[0]->kind == ExprKind::Name &&
             e.children[0]->text == "max" && isSum(*e.children[1]) != isSum(*e.children[2])) {
    h.divide = Handle::Divide::AtLeast;
    number = e.children[isSum(*e.children[1]) ? 2 : 1].get();
  } else {
    error(d.span, "unknown divisor", "expected sum, sum + eps, max(sum, c), count or none",
          e.kind == ExprKind::Name ? syntax::closest(e.text, {"sum", "count", "none"}) : "");
    return false;
  }
  if (h.divide == Handle::Divide::AtLeast && !rowValue(*number, "a divisor", h, context, h.divisor))
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
      h.score = evalNumber(*scoreText, scoreScope(inner, *scaled, scoreText->span));
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

} // namespace fovea::sema::internal
