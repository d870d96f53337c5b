// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks, weights and expectations.
#include "frontend/sema/Analyzer.h"

#include <algorithm>

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
  if (a.relation == AxisRelation::Factor) {
    notYet(over.span, "a walk over a factor axis");
    return std::nullopt;
  }
  Walk walk;
  walk.raw = *raw;
  walk.query = a.relation == AxisRelation::Keys ? a.query : *raw;
  if (attention_.axes[walk.query].relation == AxisRelation::Factor) {
    notYet(over.span, "queries on a factor axis");
    return std::nullopt;
  }
  if (as) {
    walk.j = as.text;
    if (as.text == "i") {
      error(as.span, "'i' is the query's position", "choose another name for the key's");
      return std::nullopt;
    }
  }
  Axis fresh;
  fresh.name = uniqueWalkName(walk.j);
  fresh.relation = AxisRelation::Walk;
  fresh.raw = walk.raw;
  fresh.query = walk.query;
  fresh.span = span;
  walk.walk = makeAxis(std::move(fresh));
  walkNames_[walk.walk] = walk.j;
  return walk;
}

/// With `query` and `key`: the fields of an `attend`, whose dot product is named `score`.
Value Analyzer::weights(const Expr &e, const Context &context, NodeId *query, NodeId *key, Walk &walk,
                        std::vector<AxisId> contracted) {
  const Core &c = *e.core;
  bool sugar = query != nullptr;
  if (!sugar) {
    std::optional<Walk> opened = openWalk(c.over, c.as, c.over.span, context);
    if (!opened)
      return std::nullopt;
    walk = *opened;
  }
  if (c.reverse) {
    error(e.span, "'reverse' belongs to 'recur'", "weights have no direction");
    return std::nullopt;
  }
  std::map<std::string, const Field *> fields;
  static const std::vector<std::string> known = {"score", "where", "weight", "divide", "sink", "mass"};
  bool good = true;
  for (const Field &f : c.fields) {
    bool isScale = sugar && f.name.text == "scale";
    if (!isScale && std::find(known.begin(), known.end(), f.name.text) == known.end()) {
      if (f.name.text == "at" || f.name.text == "align") {
        notYet(f.name.span, "positions given by '" + f.name.text + "'");
      } else {
        std::vector<std::string> names = known;
        if (sugar)
          names.push_back("scale");
        error(f.name.span, "unknown field " + quoted(f.name.text),
              sugar ? "expected scale, score, where, weight, divide or sink"
                    : "expected score, where, weight, divide, sink or mass",
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
  auto value = [&](const char *name) -> const Expr * {
    auto it = fields.find(name);
    return it == fields.end() ? nullptr : it->second->values[0].get();
  };
  if (const Expr *w = value("weight"))
    if (bare(*w).kind != ExprKind::Name || bare(*w).text != "exp") {
      notYet(w->span, "weights other than exp", "works now: 'weight: exp', which is the default");
      good = false;
    }
  if (const Expr *d = value("divide"))
    if (bare(*d).kind != ExprKind::Name || bare(*d).text != "sum") {
      notYet(d->span, "divisors other than sum", "works now: 'divide: sum', which is the default");
      good = false;
    }
  if (const Expr *m = value("mass")) {
    notYet(m->span, "mass");
    good = false;
  }
  Context inner = context;
  inner.walk = &walk;
  inner.inMap = false;
  const Expr *scoreText = value("score");
  Value score;
  Span scoreSpan = e.span;
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
    score = scaled;
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
      score = evalNumber(*scoreText, with);
      scoreSpan = scoreText->span;
    }
  } else if (scoreText) {
    score = evalNumber(*scoreText, inner);
    scoreSpan = scoreText->span;
  } else if (good) {
    error(c.keyword.span, "these weights have no score", "expected 'score: ..'");
  }
  good &= score.has_value();
  Value where;
  bool hasWhere = false;
  Span whereSpan = e.span;
  if (const Expr *w = value("where")) {
    whereSpan = w->span;
    where = eval(*w, inner);
    good &= where.has_value();
    if (where && graph_[*where].kind != Kind::Bool) {
      error(w->span, "'where' is a condition",
            "this is " + describe(*where) + "; expected a comparison, such as j <= i");
      good = false;
    } else if (where) {
      hasWhere = !(graph_.isConstant(*where) && graph_[*where].integer);
    }
  }
  std::vector<NodeId> sinks;
  if (auto it = fields.find("sink"); it != fields.end())
    for (const ExprPtr &s : it->second->values) {
      Value v = evalNumber(*s, inner);
      good &= v.has_value();
      if (v && graph_.has(*v, walk.walk)) {
        error(s->span, "a sink belongs to no key", "this depends on " + walk.j);
        good = false;
      } else if (v) {
        sinks.push_back(*v);
      }
    }
  if (!good)
    return std::nullopt;
  if (!graph_.has(*score, walk.walk) && !(hasWhere && graph_.has(*where, walk.walk)) && !graph_.isConstant(*score)) {
    error(scoreSpan, "the score does not depend on the key", "no tensor here has the subscript [" + walk.j + "]");
    return std::nullopt;
  }
  graph_.here = e.span;
  NodeId where0 = hasWhere ? *where : 0;
  NodeId handle = graph_.weights(walk.walk, walk.query, *score, hasWhere ? &where0 : nullptr, sinks);
  walks_[handle] = walk;
  scoreSpans_[handle] = scoreSpan;
  whereSpans_[handle] = hasWhere || fields.count("where") ? whereSpan : c.keyword.span;
  return handle;
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
  if (!good || !walk)
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
      graph_[nodes[0]].axes.back() != graph_[nodes[1]].axes.back() || graph_[nodes[0]].axes.back() == walk->query) {
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
  Distribution d = distribute(graph_, *p, nodes[2]);
  if (!d.ok) {
    error(parts[2]->span, "the value is no accumulator", d.reason);
    return std::nullopt;
  }
  return d.result;
}

Value Analyzer::expectation(const Symbol &p, const Expr &e, const Context &context) {
  if (e.children.size() != 2 || e.children[1]->kind == ExprKind::Labelled) {
    error(e.span, quoted(p.name) + " takes one argument", "the value whose expectation it is: " + p.name + "(v)");
    return std::nullopt;
  }
  return expectationOf(p.node, *e.children[1], context, e.span);
}

Value Analyzer::expectationOf(NodeId p, const Expr &argument, const Context &context, Span whole) {
  auto it = walks_.find(p);
  if (it == walks_.end())
    return std::nullopt;
  const Walk walk = it->second;
  if (context.walk && !context.inMap) {
    error(whole, "an expectation inside a walk needs a subscript", "expected '..[i]' behind it");
    return std::nullopt;
  }
  Context inner = context;
  inner.walk = &walk;
  inner.inMap = false;
  const Expr &lone = bare(argument);
  Value v;
  Symbol *s = lone.kind == ExprKind::Name && lone.text != "i" && lone.text != walk.j ? lookup(context.scope, lone.text)
                                                                                     : nullptr;
  if (s && s->kind == Symbol::Kind::Field && tokenAxisOf(s->node, walk)) {
    s->used = true;
    v = walked(s->node, false, walk, lone.span, lone.text);
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
                  "p(e) takes a sum of terms a[i] * c(i, " + walk.j + ") * y[" + walk.j + "], where c has no features");
    return std::nullopt;
  }
  return d.result;
}

} // namespace fovea::sema::internal
