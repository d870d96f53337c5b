// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions of the language and statistics of weights.
#include "frontend/sema/Analyzer.h"

#include <algorithm>

namespace fovea::sema::internal {

const std::map<std::string, Op> &unaryFunctions() {
  static const std::map<std::string, Op> table = {{"abs", Op::Abs},
                                                  {"sign", Op::Sign},
                                                  {"exp", Op::Exp},
                                                  {"exp2", Op::Exp2},
                                                  {"expm1", Op::Expm1},
                                                  {"log", Op::Log},
                                                  {"log2", Op::Log2},
                                                  {"log1p", Op::Log1p},
                                                  {"sqrt", Op::Sqrt},
                                                  {"rsqrt", Op::Rsqrt},
                                                  {"sin", Op::Sin},
                                                  {"cos", Op::Cos},
                                                  {"tanh", Op::Tanh},
                                                  {"sigmoid", Op::Sigmoid},
                                                  {"silu", Op::Silu},
                                                  {"softplus", Op::Softplus},
                                                  {"log_sigmoid", Op::LogSigmoid},
                                                  {"relu", Op::Relu},
                                                  {"elu", Op::Elu},
                                                  {"gelu", Op::Gelu},
                                                  {"floor", Op::Floor},
                                                  {"round", Op::Round}};
  return table;
}

const std::set<std::string> &reductions() {
  static const std::set<std::string> names = {"sum",       "mean", "max",    "min",     "softmax",
                                              "logsumexp", "norm", "l2norm", "rmsnorm", "layernorm"};
  return names;
}

const std::set<std::string> &reservedFunctions() {
  static const std::set<std::string> names = {
      "cumsum", "cummean",  "outer", "cat",     "project", "conv",  "rope",  "topk", "threshold",
      "argmax", "multiset", "rank",  "stop",    "ste",     "merge", "joint", "read", "last",
      "every",  "decayed",  "prev",  "windows", "block",   "start", "any"};
  return names;
}

std::vector<std::string> functionNames() {
  std::vector<std::string> names;
  for (const auto &entry : unaryFunctions())
    names.push_back(entry.first);
  for (const auto *set : {&reductions(), &reservedFunctions()})
    names.insert(names.end(), set->begin(), set->end());
  for (const char *more : {"clamp", "logaddexp", "dot", "index", "pos", "size"})
    names.emplace_back(more);
  return names;
}

bool isFunction(const std::string &name) {
  static const std::vector<std::string> names = functionNames();
  return std::find(names.begin(), names.end(), name) != names.end();
}

Value Analyzer::call(const Expr &e, const Context &context) {
  const Expr &callee = *e.children[0];
  const Expr *name = nullptr, *brackets = nullptr;
  if (callee.kind == ExprKind::Name) {
    name = &callee;
  } else if (callee.kind == ExprKind::Subscript && callee.children[0]->kind == ExprKind::Name) {
    name = callee.children[0].get();
    brackets = &callee;
  } else if (callee.kind == ExprKind::Member) {
    return notYet(e.span, "arguments of a statistic", "works now: p.lse");
  } else {
    Value p = eval(callee, context);
    if (!p)
      return p;
    if (graph_[*p].kind == Kind::Weights && e.children.size() == 2)
      return expectationOf(*p, *e.children[1], context, e.span);
    error(callee.span, "this cannot be called", "it is " + describe(*p));
    return std::nullopt;
  }
  if (Symbol *s = lookup(context.scope, name->text)) {
    s->used = true;
    switch (s->kind) {
    case Symbol::Kind::Poison:
      return std::nullopt;
    case Symbol::Kind::Weights:
      if (brackets)
        return notYet(e.span, "views of weights");
      return expectation(*s, e, context);
    case Symbol::Kind::Map:
      return inlineMap(*s, e, brackets, context);
    case Symbol::Kind::Pair: {
      bool indices = !brackets && e.children.size() == 3 && e.children[1]->kind == ExprKind::Name &&
                     e.children[2]->kind == ExprKind::Name && e.children[1]->text == "i" &&
                     e.children[2]->text == (context.walk ? context.walk->j : "j");
      if (!indices)
        return notYet(e.span, "pair functions at other indices than (i, j)");
      return nameValue(*name, context);
    }
    default:
      // A tensor may have the name of a function: `norm`, `exp`.
      if (!isFunction(name->text)) {
        errorWithNote(name->span, quoted(name->text) + " cannot be called", "expected a function, a map or weights",
                      s->span, "it is " + s->what + " here");
        return std::nullopt;
      }
    }
  }
  if (!isFunction(name->text))
    return unknown(*name, context, true);
  return builtin(name->text, e, brackets, context);
}

Value Analyzer::builtin(const std::string &name, const Expr &e, const Expr *brackets, const Context &context) {
  if (reservedFunctions().count(name))
    return notYet(e.span, quoted(name));
  std::vector<const Expr *> positional;
  std::map<std::string, const Expr *> labelled;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &a = *e.children[k];
    if (a.kind == ExprKind::Labelled && a.children[0]->kind == ExprKind::Name)
      labelled[a.children[0]->text] = &a;
    else
      positional.push_back(&a);
  }
  bool isNorm = name == "norm" || name == "l2norm" || name == "rmsnorm" || name == "layernorm";
  for (const auto &[label, a] : labelled) {
    if (label == "eps" && isNorm)
      continue;
    if (label == "where" && reductions().count(name)) {
      notYet(a->span, "'where' in a reduction");
      return std::nullopt;
    }
    error(a->children[0]->span, quoted(name) + " has no argument " + quoted(label), isNorm ? "expected 'eps'" : "",
          isNorm ? syntax::closest(label, {"eps"}) : "");
    return std::nullopt;
  }
  auto takes = [&](size_t count) {
    if (positional.size() == count)
      return true;
    error(e.span, quoted(name) + " takes " + std::to_string(count) + (count == 1 ? " argument" : " arguments"),
          "here are " + std::to_string(positional.size()));
    return false;
  };
  if (name == "index" || name == "pos") {
    error(e.span, quoted(name) + " takes an axis in brackets", "expected '" + name + "[..]'");
    return std::nullopt;
  }
  if (name == "size") {
    if (brackets || !takes(1))
      return std::nullopt;
    std::optional<AxisId> id = axis(*positional[0], context);
    graph_.here = e.span;
    return id ? Value(graph_.sizeOf(*id)) : std::nullopt;
  }
  if (brackets && (reductions().count(name) || name == "dot")) {
    if (name == "dot") {
      std::vector<AxisId> axes, expanded;
      if (brackets->children.size() < 2) {
        error(brackets->span, "'dot' needs the axis that it contracts", "expected 'dot[D](..)'");
        return std::nullopt;
      }
      bool good = axisList(brackets->children, 1, context, axes, expanded) && takes(2);
      if (positional.size() != 2)
        return std::nullopt;
      Value a = evalNumber(*positional[0], context), b = evalNumber(*positional[1], context);
      if (!good || !a || !b)
        return std::nullopt;
      for (AxisId x : expanded)
        for (int k = 0; k < 2; ++k)
          if (!graph_.has(k ? *b : *a, x)) {
            error(positional[k]->span, quoted(text(*positional[k])) + " has no axis " + quoted(axisName(x)),
                  "it is on " + axesText(graph_[k ? *b : *a].axes));
            return std::nullopt;
          }
      graph_.here = e.span;
      return graph_.dot(expanded, *a, *b);
    }
    if (!takes(1))
      return std::nullopt;
    return reduction(name, e, *brackets, context);
  }
  if (brackets) {
    error(brackets->span, quoted(name) + " takes no axes", "expected '" + name + "(..)'");
    return std::nullopt;
  }
  if (name == "dot" || (reductions().count(name) && name != "min" && name != "max")) {
    error(e.children[0]->span, quoted(name) + " needs the axes that it works on", "expected '" + name + "[..](..)'");
    return std::nullopt;
  }
  if ((name == "min" || name == "max") && positional.size() < 2) {
    error(e.span, quoted(name) + " takes two or more arguments, or axes in brackets",
          "expected '" + name + "(a, b)' or '" + name + "[D](a)'");
    return std::nullopt;
  }
  if (name == "round" && positional.size() == 2)
    return notYet(e.span, "rounding to a type");
  auto unaryOp = unaryFunctions().find(name);
  if (unaryOp != unaryFunctions().end() ? !takes(1)
      : name == "clamp"                 ? !takes(3)
      : name == "logaddexp"             ? !takes(2)
                                        : false)
    return std::nullopt;
  std::vector<NodeId> arguments;
  bool good = true;
  for (const Expr *a : positional) {
    Value v = evalNumber(*a, context);
    good &= v.has_value();
    if (v)
      arguments.push_back(*v);
  }
  if (!good)
    return std::nullopt;
  graph_.here = e.span;
  if (unaryOp != unaryFunctions().end())
    return graph_.unary(unaryOp->second, arguments[0]);
  if (name == "clamp")
    return graph_.binary(Op::Min, graph_.binary(Op::Max, arguments[0], arguments[1]), arguments[2]);
  if (name == "logaddexp")
    return graph_.binary(Op::LogAddExp, arguments[0], arguments[1]);
  NodeId result = arguments[0];
  for (size_t k = 1; k < arguments.size(); ++k)
    result = graph_.binary(name == "min" ? Op::Min : Op::Max, result, arguments[k]);
  return result;
}

Value Analyzer::reduction(const std::string &name, const Expr &e, const Expr &brackets, const Context &context) {
  const Expr *argument = nullptr, *eps = nullptr;
  for (size_t k = 1; k < e.children.size(); ++k)
    (e.children[k]->kind == ExprKind::Labelled ? eps : argument) = e.children[k].get();
  std::vector<AxisId> axes, expanded;
  if (brackets.children.size() < 2) {
    error(brackets.span, quoted(name) + " needs the axes that it works on", "expected '" + name + "[D](..)'");
    return std::nullopt;
  }
  for (size_t k = 1; k < brackets.children.size(); ++k)
    if (brackets.children[k]->kind == ExprKind::Labelled)
      return notYet(brackets.children[k]->span, "reductions over an index");
  bool good = axisList(brackets.children, 1, context, axes, expanded);
  Value v = eval(*argument, context);
  if (v && graph_[*v].kind == Kind::Weights)
    return notYet(e.span, "reductions of weights");
  if (v && graph_[*v].kind == Kind::Bool) {
    error(argument->span, "expected a number", "this is " + describe(*v));
    return std::nullopt;
  }
  NodeId epsilon = 0;
  if (eps) {
    Value given = evalNumber(*eps->children[1], context);
    if (given && !graph_[*given].axes.empty()) {
      error(eps->children[1]->span, "'eps' is a single number", "this is " + describe(*given));
      given = std::nullopt;
    }
    if (!given)
      return std::nullopt;
    epsilon = graph_.toReal(*given);
  }
  if (!v || !good)
    return std::nullopt;
  for (AxisId a : expanded)
    if (!graph_.has(*v, a)) {
      error(argument->span, quoted(text(*argument)) + " has no axis " + quoted(axisName(a)),
            "it is on " + axesText(graph_[*v].axes));
      return std::nullopt;
    }
  graph_.here = e.span;
  NodeId x = *v;
  if (!eps)
    epsilon = graph_.real(1e-6);
  if (name == "sum")
    return graph_.reduce(ReduceKind::Sum, expanded, x);
  if (name == "mean")
    return graph_.reduce(ReduceKind::Mean, expanded, x);
  if (name == "max")
    return graph_.reduce(ReduceKind::Max, expanded, x);
  if (name == "min")
    return graph_.reduce(ReduceKind::Min, expanded, x);
  x = graph_.toReal(x);
  if (name == "logsumexp")
    return graph_.reduce(ReduceKind::LogSumExp, expanded, x);
  if (name == "softmax")
    return graph_.unary(Op::Exp, graph_.binary(Op::Sub, x, graph_.reduce(ReduceKind::LogSumExp, expanded, x)));
  if (name == "layernorm")
    x = graph_.binary(Op::Sub, x, graph_.reduce(ReduceKind::Mean, expanded, x));
  bool isMean = name == "rmsnorm" || name == "layernorm";
  NodeId squares = graph_.reduce(isMean ? ReduceKind::Mean : ReduceKind::Sum, expanded, graph_.binary(Op::Mul, x, x));
  NodeId inside = graph_.binary(Op::Add, squares, epsilon);
  if (name == "norm")
    return graph_.unary(Op::Sqrt, inside);
  return graph_.binary(Op::Mul, x, graph_.unary(Op::Rsqrt, inside));
}

Value Analyzer::member(const Expr &e, const Context &context) {
  const Expr &base = *e.children[0];
  Context outside = context;
  outside.walk = nullptr;
  if (base.kind == ExprKind::Name)
    if (Symbol *s = lookup(context.scope, base.text); s && s->kind == Symbol::Kind::Field) {
      s->used = true;
      errorWithNote(e.nameSpan, quoted(base.text) + " has no part " + quoted(e.text), "only weights have parts",
                    s->span, "it is " + s->what + " here");
      return std::nullopt;
    }
  Value p = eval(base, outside);
  if (!p)
    return p;
  if (graph_[*p].kind != Kind::Weights) {
    error(e.nameSpan, "there is no part " + quoted(e.text), "only weights have parts");
    return std::nullopt;
  }
  static const std::map<std::string, StatKind> table = {
      {"lse", StatKind::Lse}, {"max", StatKind::Max}, {"mass", StatKind::Mass}};
  auto it = table.find(e.text);
  if (it == table.end()) {
    if (e.text == "where" || e.text == "score" || e.text == "count")
      return notYet(e.span, quoted("." + e.text));
    error(e.nameSpan, "weights have no part " + quoted(e.text), "expected lse, max, mass or count",
          syntax::closest(e.text, {"lse", "max", "mass", "count"}));
    return std::nullopt;
  }
  graph_.here = e.span;
  NodeId s = graph_.stat(it->second, *p);
  if (context.walk && !context.inMap && tokenAxisOf(s, *context.walk)) {
    error(e.span, quoted(text(e)) + " has the walked axis and needs a subscript here", "expected '" + text(e) + "[i]'");
    return std::nullopt;
  }
  return s;
}

} // namespace fovea::sema::internal
