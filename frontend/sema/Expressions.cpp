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
  else if (number && kind == Kind::State)
    error(e.span, quoted(text(e)) + " is a state, not a number", "read it: read(" + text(e) + ", q)");
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
    } else if (isState(k == 1 ? a : b)) {
      error(e.children[k]->span, "a state cannot be chosen by 'if'", "choose between what is read: read(S, q)");
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
    s.kind = symbolKind(graph_[*v].kind);
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
    return renamed(e, context);
  case ExprKind::Tuple:
  case ExprKind::List:
  case ExprKind::Set:
  case ExprKind::Labelled:
    return refuseForm(e);
  }
  return std::nullopt;
}

FOVEA_NOINLINE Value Analyzer::refuseForm(const Expr &e) {
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
  error(e.span, "a pair function is a value for each i and j", "this is a distribution over keys or a state");
  return std::nullopt;
}

Value Analyzer::nameValue(const Expr &e, const Context &context) {
  if (!(context.walk && !context.inMap && (e.text == "i" || e.text == context.walk->name)))
    if (Symbol *s = lookup(context.scope, e.text); s && s->kind == Symbol::Kind::Pair) {
      s->used = true;
      if (!pairAllowed(e, *s, context))
        return std::nullopt;
      const Expr &value = *s->item->values[0];
      inlining_.push_back(s->item);
      Context body{s->scope, context.walk, false};
      Value v = eval(value, body);
      inlining_.pop_back();
      return v && (isHandle(*v) || isState(*v)) ? refuseHandle(value) : v;
    }
  return plainName(e, context);
}

FOVEA_NOINLINE Value Analyzer::plainName(const Expr &e, const Context &context) {
  if (context.walk && !context.inMap) {
    if (e.text == "i")
      return context.walk->i;
    if (e.text == context.walk->name)
      return context.walk->j;
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
  case Symbol::Kind::State:
    return s->node;
  case Symbol::Kind::Carry:
    errorWithNote(e.span,
                  "carried memory is the bare 'initial:' of one state, or the bare past of a 'conv' or 'cumsum'",
                  "it is read as the beginning and overwritten by the end; what is only read is an 'input'", s->span,
                  quoted(e.text) + " is declared here");
    return std::nullopt;
  case Symbol::Kind::Option:
    error(e.span, "option " + quoted(e.text) + " has no value of its own", "write 'match " + e.text + " { .. }'");
    return std::nullopt;
  case Symbol::Kind::Import:
  case Symbol::Kind::Map:
    error(e.span, quoted(e.text) + " is a map", "expected its arguments");
    return std::nullopt;
  case Symbol::Kind::Part:
    return graph_.sizeOf(partsOf(*s)[s->part]);
  case Symbol::Kind::Pair:
  case Symbol::Kind::Field:
    break;
  }
  if (context.walk && !s->ofWalk && tokenAxisOf(s->node, *context.walk)) {
    const Walk &w = *context.walk;
    bool onKeys = graph_.hasAny(s->node, w.raw), onQueries = graph_.hasAny(s->node, w.query);
    std::string asKey = e.text + "[" + w.name + "]", asQuery = e.text + "[i]";
    std::string label = onKeys && onQueries && w.raw != w.query ? "expected '" + e.text + "[i, " + w.name + "]'"
                        : w.raw == w.query                      ? "expected '" + asQuery + "' or '" + asKey + "'"
                        : onKeys && !w.given && w.raw == w.base ? "expected '" + asKey + "' (or '" + asQuery + "')"
                        : onKeys                                ? "expected '" + asKey + "'"
                                                                : "expected '" + asQuery + "'";
    error(e.span,
          quoted(e.text) + " has the walked axis " +
              quoted(axisName(onKeys      ? w.raw
                              : onQueries ? w.query
                                          : w.base)) +
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
                  declaredAs(*s));
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
  bool onQuery = graph_.hasAny(x, walk.query), onRaw = graph_.hasAny(x, walk.raw);
  bool onBase = graph_.hasAny(x, walk.base);
  graph_.here = span;
  if (onQuery && onRaw && walk.query != walk.raw) {
    error(span, quoted(what) + " is on queries and keys", "expected '" + what + "[i, " + walk.name + "]'");
    return std::nullopt;
  }
  if (atQuery) {
    if (onQuery)
      return x;
    if (onBase && walk.given) {
      error(span, quoted(what) + " has no row at a given position",
            "it is on " + axesText(graph_[x].axes) + "; with 'at', [i] takes arrays on " +
                quoted(axisName(walk.query)));
      return std::nullopt;
    }
    if (onBase)
      return walk.alignStart ? graph_.gather(walk.base, x, walk.i) : graph_.rowAt(walk.base, walk.query, x);
  } else if (onRaw) {
    if (attention_.axes[walk.raw].relation != AxisRelation::Factor)
      return graph_.rename(walk.raw, walk.walk, x);
    if (graph_.hasAll(x, walk.raw))
      return graph_.flatten(walk.raw, walk.walk, x);
    // Some factors only: the key's place on each of them.
    const std::vector<AxisId> factors = attention_.axes[walk.raw].factors;
    NodeId rest = graph_.index(walk.walk);
    for (size_t k = factors.size(); k-- > 0;) {
      NodeId size = graph_.sizeOf(factors[k]);
      if (graph_.has(x, factors[k]))
        x = graph_.gather(factors[k], x, k == 0 ? rest : graph_.binary(Op::Mod, rest, size));
      if (k > 0)
        rest = graph_.binary(Op::FloorDiv, rest, size);
    }
    return x;
  }
  std::string wanted = atQuery && walk.base != walk.query
                           ? "neither the axis " + quoted(axisName(walk.query)) + " nor " + quoted(axisName(walk.base))
                           : "no axis " + quoted(axisName(atQuery ? walk.query : walk.raw));
  std::string label = "it is on " + axesText(graph_[x].axes);
  if (!atQuery && onQuery)
    label += "; expected '" + what + "[i]'";
  else if (!tokenAxisOf(x, walk))
    label += atQuery && walk.query == walk.base
                 ? "; keys of queries on another axis are declared by 'axis " + axisName(walk.raw) + " keys ..'"
                 : "; it needs no subscript";
  error(span, quoted(what) + " has " + wanted, label);
  return std::nullopt;
}

/// index[H], pos[T]
Value Analyzer::index(const std::string &name, const Expr &e, const Context &context) {
  NodeId origin = 0;
  bool hasOrigin = false, good = true;
  std::optional<AxisId> id;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &item = *e.children[k];
    if (item.kind == ExprKind::Labelled && item.children[0]->text == "origin" && name == "index") {
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
      error(item.span, quoted(name) + " takes one axis");
      good = false;
    }
  }
  if (!good || !id) {
    if (good)
      error(e.span, quoted(name) + " takes one axis");
    return std::nullopt;
  }
  graph_.here = e.span;
  if (name == "pos") {
    if (attention_.axes[*id].relation == AxisRelation::Factor)
      return notYet(e.span, "positions on a factor axis");
    // Queries are the last tokens of their keys: in a step of decoding, index 0 has the last position.
    std::optional<AxisId> keys;
    for (AxisId a = 0; a < attention_.axes.size(); ++a)
      if (attention_.axes[a].relation == AxisRelation::Keys && attention_.axes[a].query == *id) {
        if (keys) {
          error(e.span, quoted(axisName(*id)) + " has several axes of keys, so its positions are ambiguous",
                "write index[" + axisName(*id) + "] + " + axisName(*keys) + " - " + axisName(*id));
          return std::nullopt;
        }
        keys = a;
      }
    if (keys && alignStart_.count(*keys))
      return graph_.index(*id);
    return keys ? graph_.queryPosition(*id, *keys) : graph_.position(*id);
  }
  NodeId n = graph_.index(*id);
  return hasOrigin ? graph_.binary(Op::Add, n, origin) : n;
}

/// x[i], x[j], x[i, j]
Value Analyzer::walkedSubscript(const Expr &e, const std::vector<const Expr *> &items, bool query,
                                const Context &context) {
  const Expr &base = *e.children[0];
  const Walk &w = *context.walk;
  Context outside = context;
  outside.walk = nullptr;
  if (items.size() == 2 && items[1]->kind == ExprKind::Name && items[1]->text == (query ? w.name : "i")) {
    Value v = evalNumber(base, outside);
    if (!v)
      return v;
    if (w.query == w.raw || !graph_.has(*v, w.query) || !graph_.has(*v, w.raw)) {
      error(e.span, quoted(text(base)) + " is not on queries and keys",
            "it is on " + axesText(graph_[*v].axes) +
                (w.query == w.raw ? "; keys need an axis of their own: 'axis S keys " + axisName(w.query) + "'" : ""));
      return std::nullopt;
    }
    graph_.here = e.span;
    return graph_.rename(w.raw, w.walk, *v);
  }
  if (items.size() != 1)
    return notYet(e.span, "this subscript", "works now: [i], [" + w.name + "] and [i, " + w.name + "]");
  Value v = eval(base, outside);
  if (!v)
    return v;
  if (isHandle(*v)) {
    error(e.span, quoted(text(base)) + " is a distribution over keys, not a tensor");
    return std::nullopt;
  }
  if (isState(*v))
    return expectKind(base, *v, true);
  return walked(*v, query, w, e.span, text(base));
}

Value Analyzer::wholeBase(const Expr &e, const Context &context, bool &whole) {
  whole = false;
  if (context.walk && !context.inMap && e.kind == ExprKind::Name)
    if (Symbol *s = lookup(context.scope, e.text);
        s && s->kind == Symbol::Kind::Field && !s->ofWalk && tokenAxisOf(s->node, *context.walk)) {
      s->used = true;
      whole = true;
      return s->node;
    }
  return eval(e, context);
}

/// x[N: e]: x at the index e on the axis N, 0 outside; also x[N: e, M: f].
Value Analyzer::gathered(const Expr &e, const Context &context) {
  const Expr &base = *e.children[0];
  bool whole = false;
  Value x = wholeBase(base, context, whole);
  if (!x)
    return x;
  if (isHandle(*x))
    return notYet(e.span, "views of weights");
  if (isState(*x))
    return expectKind(*e.children[0], *x, true);
  std::vector<AxisId> brought; // axes that an index adds
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &item = *e.children[k];
    if (item.kind != ExprKind::Labelled)
      return notYet(e.span, "this subscript", "works now: one kind of subscript at a time, x[j][N: e]");
    std::optional<AxisId> id = axis(*item.children[0], context);
    Value at = evalNumber(*item.children[1], context);
    if (!id || !at)
      return std::nullopt;
    if (attention_.axes[*id].relation == AxisRelation::Factor)
      return notYet(item.children[0]->span, "gathering on a factor axis", "its factors can be indexed one by one");
    if (!graph_.has(*x, *id)) {
      error(item.span, quoted(text(base)) + " has no axis " + quoted(axisName(*id)),
            "it is on " + axesText(graph_[*x].axes));
      return std::nullopt;
    }
    if (graph_[*at].kind != Kind::Int) {
      error(item.children[1]->span, "an index is an integer", "this is " + describe(*at) + "; floor(..) makes one");
      return std::nullopt;
    }
    Graph::unite(brought, graph_[*at].axes);
    graph_.here = e.span;
    x = graph_.gather(*id, *x, *at);
  }
  if (whole)
    for (AxisId a : graph_[*x].axes) {
      const Walk &w = *context.walk;
      std::vector<AxisId> tokens = graph_.parts(w.query), more = graph_.parts(w.raw);
      tokens.insert(tokens.end(), more.begin(), more.end());
      tokens.push_back(w.base);
      bool left = std::find(tokens.begin(), tokens.end(), a) != tokens.end() &&
                  std::find(brought.begin(), brought.end(), a) == brought.end();
      if (left) {
        error(e.span,
              quoted(text(base)) + " has the walked axis " + quoted(axisName(a)) + " and needs a subscript here",
              "expected " + quoted(text(base) + "[" + (a == w.query ? "i" : w.name) + "]") + " before this one");
        return std::nullopt;
      }
    }
  return x;
}

/// x[R] of x on E = R + P.
Value Analyzer::view(const Expr &e, const Symbol &part, const Context &context) {
  const Expr &base = *e.children[0];
  Value x = eval(base, context);
  if (!x)
    return x;
  if (isHandle(*x))
    return notYet(e.span, "views of weights");
  if (isState(*x))
    return expectKind(*e.children[0], *x, true);
  AxisId whole = part.axis;
  std::vector<size_t> places;
  if (part.kind == Symbol::Kind::Part) {
    places.push_back(part.part);
    if (!graph_.has(*x, whole)) {
      error(e.children[1]->span, quoted(part.name) + " is a part of " + quoted(axisName(whole)),
            quoted(text(base)) + " is on " + axesText(graph_[*x].axes));
      return std::nullopt;
    }
  } else {
    bool found = false;
    for (AxisId a : graph_[*x].axes) {
      const Axis &axis = attention_.axes[a];
      bool here = axis.relation == AxisRelation::Concat &&
                  std::find(axis.parts.begin(), axis.parts.end(), part.axis) != axis.parts.end();
      if (here && found) {
        error(e.span, quoted(part.name) + " is a part of several axes here",
              quoted(text(base)) + " is on " + axesText(graph_[*x].axes));
        return std::nullopt;
      }
      if (!here)
        continue;
      found = true;
      whole = a;
      for (size_t k = 0; k < axis.parts.size(); ++k)
        if (axis.parts[k] == part.axis)
          places.push_back(k);
    }
    if (!found) {
      error(e.children[1]->span, quoted(text(base)) + " has no axis that " + quoted(part.name) + " is a part of",
            "it is on " + axesText(graph_[*x].axes) + "; expected such as 'axis E = " + part.name + " + P'");
      return std::nullopt;
    }
    if (places.size() > 1) {
      error(e.children[1]->span, quoted(part.name) + " stands in " + quoted(axisName(whole)) + " more than once",
            "name the parts: 'axis " + axisName(whole) + " = lo: " + part.name + " + hi: " + part.name + "'");
      return std::nullopt;
    }
  }
  const std::vector<AxisId> parts = part.kind == Symbol::Kind::Part ? partsOf(part) : attention_.axes[whole].parts;
  AxisId result = parts[places[0]];
  if (graph_.has(*x, result)) {
    error(e.span, "this view would have the axis " + quoted(axisName(result)) + " twice",
          quoted(text(base)) + " is on " + axesText(graph_[*x].axes));
    return std::nullopt;
  }
  graph_.here = e.span;
  return graph_.slice(whole, result, {parts.begin(), parts.begin() + static_cast<ptrdiff_t>(places[0])}, *x);
}

/// x as [K: K2]
Value Analyzer::renamed(const Expr &e, const Context &context) {
  Value x = eval(*e.children[0], context);
  if (!x)
    return x;
  if (isHandle(*x))
    return notYet(e.span, "views of weights");
  if (isState(*x))
    return expectKind(*e.children[0], *x, true);
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &item = *e.children[k];
    if (item.kind != ExprKind::Labelled)
      return notYet(item.span, "regrouping axes by 'as'", "works now: 'x as [K: K2]'");
    std::optional<AxisId> from = axis(*item.children[0], context), to = axis(*item.children[1], context);
    if (!from || !to)
      return std::nullopt;
    if (!graph_.has(*x, *from) || graph_.has(*x, *to)) {
      error(item.span,
            quoted(text(*e.children[0])) + (graph_.has(*x, *from)
                                                ? " has the axis " + quoted(axisName(*to)) + " already"
                                                : " has no axis " + quoted(axisName(*from))),
            "it is on " + axesText(graph_[*x].axes));
      return std::nullopt;
    }
    Axis &a = attention_.axes[*from], &b = attention_.axes[*to];
    if (a.relation == AxisRelation::Factor || b.relation != AxisRelation::Plain)
      return notYet(item.span, "renaming to or from an axis that is made of others");
    if (a.size && b.size && *a.size != *b.size) {
      error(item.span, quoted(a.name) + " has the size " + std::to_string(*a.size) + ", " + quoted(b.name) + " has " +
                           std::to_string(*b.size));
      return std::nullopt;
    }
    if (a.size && !b.size)
      b.size = a.size;
    graph_.here = e.span;
    x = graph_.rename(*from, *to, *x);
  }
  return x;
}

Value Analyzer::subscript(const Expr &e, const Context &context) {
  const Expr &base = *e.children[0];
  bool isFree = base.kind == ExprKind::Name && !lookup(context.scope, base.text);
  if (isFree && (base.text == "index" || base.text == "pos"))
    return index(base.text, e, context);
  if (isFree && (base.text == "start" || base.text == "last"))
    return blockFunction(base.text, e, nullptr, e.span, context);
  std::vector<const Expr *> items;
  for (size_t k = 1; k < e.children.size(); ++k)
    items.push_back(e.children[k].get());
  if (items.empty()) {
    error(e.span, "nothing between the brackets", "expected a subscript, such as [i]");
    return std::nullopt;
  }
  if (base.kind == ExprKind::Member && items.size() == 1 && items[0]->kind == ExprKind::Binary &&
      items[0]->text == "in" && base.text == "score")
    return scoreRows(e, *items[0], context);
  std::string j = context.walk ? context.walk->name : "j";
  bool isIndex = items[0]->kind == ExprKind::Name && (items[0]->text == "i" || items[0]->text == j);
  if (isIndex && (!context.walk || context.inMap) && !lookup(context.scope, items[0]->text))
    return unknown(*items[0], context, false);
  if (isIndex && context.walk && !context.inMap)
    return walkedSubscript(e, items, items[0]->text == "i", context);
  for (const Expr *item : items)
    if (item->kind == ExprKind::Labelled)
      return gathered(e, context);
  if (isFree && isFunction(base.text)) {
    error(e.span, quoted(base.text) + " is a function", "expected its arguments after the axes: " + text(e) + "(..)");
    return std::nullopt;
  }
  if (isFree)
    return unknown(base, context, false);
  if (Symbol *s = items[0]->kind == ExprKind::Name ? lookup(context.scope, items[0]->text) : nullptr; s) {
    s->used = true;
    if (s->kind == Symbol::Kind::Poison)
      return std::nullopt;
    if (items.size() == 1 && (s->kind == Symbol::Kind::Axis || s->kind == Symbol::Kind::Part))
      return view(e, *s, context);
  }
  return notYet(e.span, "this subscript",
                context.walk && !context.inMap ? "works now: [i], [" + j + "], [N: e] and views [R]"
                                               : "works now: [N: e] and views [R]");
}

} // namespace fovea::sema::internal
