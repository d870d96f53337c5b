// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operators, names, subscripts.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace fovea::sema::internal {

FOVEA_NOINLINE Value Analyzer::refuseSize(const Expr &e, bool deep) {
  session_.exhausted = true;
  if (deep) {
    error(e.span, "maps and pair functions are nested too deeply");
  } else {
    error(e.span, "the program is too large once its maps and pair functions are inlined",
          "at most " + std::to_string(kMaxNodes) + " operations");
  }
  return std::nullopt;
}

FOVEA_NOINLINE Value Analyzer::refuseOverflow(const Expr &e) {
  graph_.clearOverflow();
  error(e.span, "integer overflow in a constant", "integers have 64 bits");
  return std::nullopt;
}

Value Analyzer::eval(const Expr &e, const Context &context) {
  if (session_.exhausted) {
    failed_ = true;
    return std::nullopt;
  }
  if (++session_.steps > kMaxSteps || graph_.size() > kMaxNodes)
    return refuseSize(e, false);
  if (e.kind == ExprKind::Error) {
    failed_ = true;
    return std::nullopt;
  }
  if (depth_ > kMaxDepth)
    return refuseSize(e, true);
  ++depth_;
  Value v = evalNode(e, context);
  --depth_;
  if (graph_.overflowed())
    return refuseOverflow(e);
  if (!v)
    failed_ = true;
  return v;
}

FOVEA_NOINLINE Value Analyzer::expectKind(const Expr &e, NodeId n, bool number) {
  Kind kind = graph_[n].kind;
  if (number && kind == Kind::Weights)
    error(e.span, quoted(text(e)) + " is a distribution over keys, not a number",
          "apply it to values: " + text(e) + "(v)");
  else if (number)
    error(e.span, "expected a number", "this is " + describe(n));
  else
    error(e.span, "expected a condition",
          kind == Kind::Weights ? "this is a distribution over keys"
                                : "this is " + describe(n) + "; write a comparison");
  return std::nullopt;
}

Value Analyzer::evalNumber(const Expr &e, const Context &context) {
  Value v = eval(e, context);
  return !v || isNumber(*v) ? v : expectKind(e, *v, true);
}

Value Analyzer::evalBool(const Expr &e, const Context &context) {
  Value v = eval(e, context);
  return !v || graph_[*v].kind == Kind::Bool ? v : expectKind(e, *v, false);
}

Value Analyzer::conditional(const Expr &e, const Context &context) {
  Value c = evalBool(*e.children[0], context);
  Value a = eval(*e.children[1], context), b = eval(*e.children[2], context);
  return c && a && b ? selectChecked(e, *c, *a, *b) : std::nullopt;
}

FOVEA_NOINLINE Value Analyzer::selectChecked(const Expr &e, NodeId c, NodeId a, NodeId b) {
  for (int k = 1; k <= 2; ++k)
    if (graph_[k == 1 ? a : b].kind == Kind::Weights) {
      error(e.children[k]->span, "a distribution cannot be chosen by 'if'", "choose between p1(v) and p2(v)");
      return std::nullopt;
    }
  if ((graph_[a].kind == Kind::Bool) != (graph_[b].kind == Kind::Bool)) {
    error(e.children[2]->span, "the two values of 'if' are of different kinds",
          "this is " + describe(b) + ", the other " + describe(a));
    return std::nullopt;
  }
  graph_.here = e.span;
  return graph_.select(c, a, b);
}

/// Binds the name of a `let .. in`.
FOVEA_NOINLINE Context Analyzer::letScope(const Expr &e, const Context &context, Value v) {
  scopes_.push_back(std::make_unique<Scope>());
  Scope *inner = scopes_.back().get();
  inner->parent = context.scope;
  Symbol s;
  s.what = "let";
  s.used = true;
  s.ofWalk = context.walk != nullptr;
  if (v) {
    s.kind = graph_[*v].kind == Kind::Weights ? Symbol::Kind::Weights : Symbol::Kind::Field;
    s.node = *v;
  }
  declare(*inner, {e.text, e.nameSpan}, std::move(s));
  Context next = context;
  next.scope = inner;
  return next;
}

Value Analyzer::evalNode(const Expr &e, const Context &context) {
  graph_.here = e.span;
  switch (e.kind) {
  case ExprKind::Error:
    return std::nullopt;
  case ExprKind::Number:
    return number(e);
  case ExprKind::Name:
    return nameValue(e, context);
  case ExprKind::Paren:
    return eval(*e.children[0], context);
  case ExprKind::Unary:
    return unary(e, context);
  case ExprKind::Binary:
    return binary(e, context);
  case ExprKind::Compare:
    return compare(e, context);
  case ExprKind::If:
    return conditional(e, context);
  case ExprKind::Match:
    return match(e, context);
  case ExprKind::Subscript:
    return subscript(e, context);
  case ExprKind::Call:
    return call(e, context);
  case ExprKind::Member:
    return member(e, context);
  case ExprKind::LetIn: {
    Value v = eval(*e.children[0], context);
    return eval(*e.children[1], letScope(e, context, v));
  }
  case ExprKind::Core:
    return core(e, context);
  case ExprKind::As:
  case ExprKind::Tuple:
  case ExprKind::List:
  case ExprKind::Set:
  case ExprKind::Labelled:
    return refuseForm(e);
  }
  return std::nullopt;
}

FOVEA_NOINLINE Value Analyzer::refuseForm(const Expr &e) {
  if (e.kind == ExprKind::As)
    return notYet(e.span, "renaming axes by 'as'");
  if (e.kind == ExprKind::Tuple)
    return notYet(e.span, "tuples");
  if (e.kind == ExprKind::List)
    return notYet(e.span, "lists");
  if (e.kind == ExprKind::Set)
    return notYet(e.span, "index sets");
  error(e.span, "a label cannot stand here", "expected an expression");
  return std::nullopt;
}

FOVEA_NOINLINE Value Analyzer::number(const Expr &e) {
  bool isReal = e.text.find_first_of(".eE") != std::string::npos;
  errno = 0;
  if (!isReal) {
    long long v = std::strtoll(e.text.c_str(), nullptr, 10);
    if (errno == ERANGE) {
      error(e.span, "this integer does not fit in 64 bits", "write it as a real number: 1e30");
      return std::nullopt;
    }
    return graph_.integer(v);
  }
  double v = std::strtod(e.text.c_str(), nullptr);
  if (std::isinf(v)) {
    error(e.span, "this number is too large", "infinity is written 'inf'");
    return std::nullopt;
  }
  return graph_.real(v);
}

FOVEA_NOINLINE bool Analyzer::pairAllowed(const Expr &e, const Symbol &s, const Context &context) {
  if (!context.walk || context.inMap) {
    errorWithNote(e.span, "pair function " + quoted(e.text) + " has a value only in a walk",
                  "use it in the fields of 'weights' or in p(..)", s.span, "it depends on i and j");
    return false;
  }
  if (std::find(inlining_.begin(), inlining_.end(), s.item) != inlining_.end()) {
    error(e.span, "pair function " + quoted(e.text) + " uses itself");
    return false;
  }
  return !s.item->values.empty();
}

FOVEA_NOINLINE Value Analyzer::refuseHandle(const Expr &e) {
  error(e.span, "a pair function is a value for each i and j", "this is a distribution over keys");
  return std::nullopt;
}

Value Analyzer::nameValue(const Expr &e, const Context &context) {
  if (!(context.walk && !context.inMap && (e.text == "i" || e.text == context.walk->j)))
    if (Symbol *s = lookup(context.scope, e.text); s && s->kind == Symbol::Kind::Pair) {
      s->used = true;
      if (!pairAllowed(e, *s, context))
        return std::nullopt;
      const Expr &value = *s->item->values[0];
      inlining_.push_back(s->item);
      Context body{s->scope, context.walk, false};
      Value v = eval(value, body);
      inlining_.pop_back();
      return v && graph_[*v].kind == Kind::Weights ? refuseHandle(value) : v;
    }
  return plainName(e, context);
}

FOVEA_NOINLINE Value Analyzer::plainName(const Expr &e, const Context &context) {
  if (context.walk && !context.inMap) {
    if (e.text == "i")
      return graph_.queryPosition(context.walk->query, context.walk->raw);
    if (e.text == context.walk->j)
      return graph_.index(context.walk->walk);
  }
  Symbol *s = lookup(context.scope, e.text);
  if (!s) {
    if (e.text == "inf")
      return graph_.real(std::numeric_limits<double>::infinity());
    if (e.text == "true" || e.text == "false")
      return graph_.boolean(e.text == "true");
    return unknown(e, context, false);
  }
  s->used = true;
  switch (s->kind) {
  case Symbol::Kind::Poison:
    return std::nullopt;
  case Symbol::Kind::Axis:
    return graph_.sizeOf(s->axis);
  case Symbol::Kind::Weights:
    return s->node;
  case Symbol::Kind::Option:
    error(e.span, "option " + quoted(e.text) + " has no value of its own", "write 'match " + e.text + " { .. }'");
    return std::nullopt;
  case Symbol::Kind::Import:
  case Symbol::Kind::Map:
    error(e.span, quoted(e.text) + " is a map", "expected its arguments");
    return std::nullopt;
  case Symbol::Kind::Pair:
    break;
  case Symbol::Kind::Field:
    break;
  }
  if (context.walk && !s->ofWalk && tokenAxisOf(s->node, *context.walk)) {
    const Walk &w = *context.walk;
    bool onKeys = graph_.has(s->node, w.raw), onQueries = graph_.has(s->node, w.query);
    std::string asKey = e.text + "[" + w.j + "]", asQuery = e.text + "[i]";
    std::string label = onKeys && onQueries && w.raw != w.query ? "expected '" + e.text + "[i, " + w.j + "]'"
                        : w.raw == w.query                      ? "expected '" + asQuery + "' or '" + asKey + "'"
                        : onKeys                                ? "expected '" + asKey + "' (or '" + asQuery + "')"
                                                                : "expected '" + asQuery + "'";
    error(e.span,
          quoted(e.text) + " has the walked axis " + quoted(axisName(onKeys ? w.raw : w.query)) +
              " and needs a subscript here",
          label);
    return std::nullopt;
  }
  return s->node;
}

Value Analyzer::unary(const Expr &e, const Context &context) {
  if (e.text == "not") {
    Value v = evalBool(*e.children[0], context);
    graph_.here = e.span;
    return v ? Value(graph_.unary(Op::Not, *v)) : v;
  }
  if (e.text == "-") {
    Value v = evalNumber(*e.children[0], context);
    graph_.here = e.span;
    return v ? Value(graph_.unary(Op::Neg, *v)) : v;
  }
  return notYet(e.span, "comparisons as arguments");
}

FOVEA_NOINLINE Value Analyzer::refuseOperator(const Expr &e) {
  if (e.text == "in")
    return notYet(e.span, "index sets ('in')");
  if (e.text != "=")
    return notYet(e.span, quoted(e.text));
  error(e.nameSpan, "'=' is no comparison", "equality is written '=='", "==");
  return std::nullopt;
}

Value Analyzer::binary(const Expr &e, const Context &context) {
  if (e.text == "in" || e.text == "of" || e.text == "overlap" || e.text == "=")
    return refuseOperator(e);
  if (e.text == "and" || e.text == "or") {
    Value a = evalBool(*e.children[0], context), b = evalBool(*e.children[1], context);
    graph_.here = e.span;
    return a && b ? Value(graph_.binary(e.text == "and" ? Op::And : Op::Or, *a, *b)) : std::nullopt;
  }
  Value a = evalNumber(*e.children[0], context), b = evalNumber(*e.children[1], context);
  return a && b ? arithmetic(e, a, b) : std::nullopt;
}

FOVEA_NOINLINE Value Analyzer::arithmetic(const Expr &e, Value a, Value b) {
  graph_.here = e.span;
  if (e.text == "//" || e.text == "%") {
    for (int k = 0; k < 2; ++k)
      if (graph_[k ? *b : *a].kind != Kind::Int) {
        error(e.children[k]->span, quoted(e.text) + " takes integers", "this is " + describe(k ? *b : *a));
        return std::nullopt;
      }
    if (graph_.isConstant(*b) && graph_[*b].integer == 0) {
      error(e.children[1]->span, "division by zero");
      return std::nullopt;
    }
    return graph_.binary(e.text == "%" ? Op::Mod : Op::FloorDiv, *a, *b);
  }
  Op op = e.text == "+"   ? Op::Add
          : e.text == "-" ? Op::Sub
          : e.text == "*" ? Op::Mul
          : e.text == "/" ? Op::Div
                          : Op::Pow;
  if (op == Op::Div && graph_.isConstant(*b) && graph_.number(*b) == 0) {
    error(e.children[1]->span, "division by zero");
    return std::nullopt;
  }
  return graph_.binary(op, *a, *b);
}

Value Analyzer::compare(const Expr &e, const Context &context) {
  std::vector<Value> values;
  bool good = true;
  for (const ExprPtr &c : e.children) {
    values.push_back(evalNumber(*c, context));
    good &= values.back().has_value();
  }
  if (!good)
    return std::nullopt;
  graph_.here = e.span;
  static const std::map<std::string, Op> table = {{"==", Op::Eq}, {"!=", Op::Ne}, {"<", Op::Lt},
                                                  {"<=", Op::Le}, {">", Op::Gt},  {">=", Op::Ge}};
  NodeId result = 0;
  for (size_t k = 0; k < e.ops.size(); ++k) {
    NodeId c = graph_.binary(table.at(e.ops[k]), *values[k], *values[k + 1]);
    result = k == 0 ? c : graph_.binary(Op::And, result, c);
  }
  return result;
}

Value Analyzer::match(const Expr &e, const Context &context) {
  Symbol *s = lookup(context.scope, e.text);
  if (!s) {
    if (session_.poisoned)
      return std::nullopt;
    std::vector<std::string> names;
    for (Scope *scope = context.scope; scope; scope = scope->parent)
      for (const auto &[n, symbol] : scope->symbols)
        if (symbol.kind == Symbol::Kind::Option)
          names.push_back(n);
    error(e.nameSpan, "unknown option " + quoted(e.text), "declare it with 'option " + e.text + " = a | b'",
          syntax::closest(e.text, names));
    return std::nullopt;
  }
  s->used = true;
  if (s->kind == Symbol::Kind::Poison)
    return std::nullopt;
  if (s->kind != Symbol::Kind::Option) {
    errorWithNote(e.nameSpan, quoted(e.text) + " is no option", "'match' chooses by an option", s->span,
                  "it is " + s->what + " here");
    return std::nullopt;
  }
  Symbol option = *s;
  std::set<std::string> seen;
  Value result;
  bool good = true;
  for (const ExprPtr &arm : e.children) {
    const Expr &label = *arm->children[0];
    if (std::find(option.choices.begin(), option.choices.end(), label.text) == option.choices.end()) {
      error(label.span, "option " + quoted(e.text) + " has no choice " + quoted(label.text), "",
            syntax::closest(label.text, option.choices));
      good = false;
    } else if (!seen.insert(label.text).second) {
      error(label.span, "choice " + quoted(label.text) + " stands twice");
      good = false;
    }
    // All arms are checked; the choice is made here.
    Value v = eval(*arm->children[1], context);
    good &= v.has_value();
    if (label.text == option.chosen)
      result = v;
  }
  for (const std::string &c : option.choices)
    if (!seen.count(c)) {
      error(e.nameSpan, "this match lacks the choice " + quoted(c), "expected '" + c + ": ..'");
      good = false;
    }
  return good ? result : std::nullopt;
}

/// x[i] (atQuery) or x[j].
Value Analyzer::walked(NodeId x, bool atQuery, const Walk &walk, Span span, const std::string &what) {
  bool onQuery = graph_.has(x, walk.query), onRaw = graph_.has(x, walk.raw);
  graph_.here = span;
  if (onQuery && onRaw && walk.query != walk.raw) {
    error(span, quoted(what) + " is on queries and keys", "expected '" + what + "[i, " + walk.j + "]'");
    return std::nullopt;
  }
  if (atQuery) {
    if (onQuery)
      return x;
    if (onRaw)
      return graph_.rowAt(walk.raw, walk.query, x);
  } else if (onRaw) {
    return graph_.rename(walk.raw, walk.walk, x);
  }
  std::string wanted = atQuery && walk.raw != walk.query
                           ? "neither the axis " + quoted(axisName(walk.query)) + " nor " + quoted(axisName(walk.raw))
                           : "no axis " + quoted(axisName(atQuery ? walk.query : walk.raw));
  std::string label = "it is on " + axesText(graph_[x].axes);
  if (!atQuery && onQuery)
    label += "; expected '" + what + "[i]'";
  else if (!tokenAxisOf(x, walk))
    label += atQuery && walk.query == walk.raw
                 ? "; keys of queries on another axis are declared by 'axis " + axisName(walk.raw) + " keys ..'"
                 : "; it needs no subscript";
  error(span, quoted(what) + " has " + wanted, label);
  return std::nullopt;
}

Value Analyzer::subscript(const Expr &e, const Context &context) {
  const Expr &base = *e.children[0];
  // index[H], pos[T]
  if (base.kind == ExprKind::Name && (base.text == "index" || base.text == "pos") &&
      !lookup(context.scope, base.text)) {
    NodeId origin = 0;
    bool hasOrigin = false, good = true;
    std::optional<AxisId> id;
    for (size_t k = 1; k < e.children.size(); ++k) {
      const Expr &item = *e.children[k];
      if (item.kind == ExprKind::Labelled && item.children[0]->text == "origin" && base.text == "index") {
        Value v = evalNumber(*item.children[1], context);
        good &= v.has_value();
        if (v) {
          origin = *v;
          hasOrigin = true;
        }
        if (v && (graph_[*v].kind != Kind::Int || !graph_[*v].axes.empty())) {
          error(item.children[1]->span, "the origin is a single integer", "this is " + describe(*v));
          good = false;
        }
      } else if (!id && item.kind != ExprKind::Labelled) {
        id = axis(item, context);
        good &= id.has_value();
      } else {
        error(item.span, quoted(base.text) + " takes one axis");
        good = false;
      }
    }
    if (!good || !id) {
      if (good)
        error(e.span, quoted(base.text) + " takes one axis");
      return std::nullopt;
    }
    graph_.here = e.span;
    if (base.text == "pos") {
      if (attention_.axes[*id].relation == AxisRelation::Factor)
        return notYet(e.span, "positions on a factor axis");
      return graph_.position(*id);
    }
    NodeId n = graph_.index(*id);
    return hasOrigin ? graph_.binary(Op::Add, n, origin) : n;
  }
  auto isIndex = [&](const Expr &x, bool &query) {
    if (x.kind != ExprKind::Name)
      return false;
    std::string j = context.walk ? context.walk->j : "j";
    query = x.text == "i";
    return x.text == "i" || x.text == j;
  };
  std::vector<const Expr *> items;
  for (size_t k = 1; k < e.children.size(); ++k)
    items.push_back(e.children[k].get());
  if (items.empty()) {
    error(e.span, "nothing between the brackets", "expected a subscript, such as [i]");
    return std::nullopt;
  }
  bool query = false, second = false;
  bool walkedSubscript = isIndex(*items[0], query);
  if (walkedSubscript && (!context.walk || context.inMap) && !lookup(context.scope, items[0]->text))
    return unknown(*items[0], context, false);
  if (walkedSubscript && context.walk && !context.inMap) {
    Context outside = context;
    outside.walk = nullptr;
    if (items.size() == 2 && isIndex(*items[1], second) && query != second) {
      Value v = evalNumber(base, outside);
      if (!v)
        return v;
      const Walk &w = *context.walk;
      if (w.query == w.raw || !graph_.has(*v, w.query) || !graph_.has(*v, w.raw)) {
        error(
            e.span, quoted(text(base)) + " is not on queries and keys",
            "it is on " + axesText(graph_[*v].axes) +
                (w.query == w.raw ? "; keys need an axis of their own: 'axis S keys " + axisName(w.query) + "'" : ""));
        return std::nullopt;
      }
      graph_.here = e.span;
      return graph_.rename(w.raw, w.walk, *v);
    }
    if (items.size() != 1)
      return notYet(e.span, "this subscript",
                    "works now: [i], [" + context.walk->j + "] and [i, " + context.walk->j + "]");
    Value v = eval(base, outside);
    if (!v)
      return v;
    if (graph_[*v].kind == Kind::Weights) {
      error(e.span, quoted(text(base)) + " is a distribution over keys, not a tensor");
      return std::nullopt;
    }
    return walked(*v, query, *context.walk, e.span, text(base));
  }
  for (const Expr *item : items)
    if (item->kind == ExprKind::Labelled)
      return notYet(e.span, "gathering by an index (" + text(*item) + ")");
  if (base.kind == ExprKind::Name && !lookup(context.scope, base.text) && isFunction(base.text)) {
    error(e.span, quoted(base.text) + " is a function", "expected its arguments after the axes: " + text(e) + "(..)");
    return std::nullopt;
  }
  if (context.walk && !context.inMap)
    return notYet(e.span, "this subscript", "works now: [i] and [" + context.walk->j + "]");
  if (base.kind == ExprKind::Name && !lookup(context.scope, base.text))
    return unknown(base, context, false);
  if (Symbol *s = items[0]->kind == ExprKind::Name ? lookup(context.scope, items[0]->text) : nullptr;
      s && s->kind == Symbol::Kind::Axis)
    return notYet(e.span, "views of a concatenation axis");
  return notYet(e.span, "this subscript");
}

} // namespace fovea::sema::internal
