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
  static const std::set<std::string> names = {"project", "topk", "threshold", "argmax",  "rank",
                                              "stop",    "ste",  "any",       "windows", "multiset"};
  return names;
}

/// Functions of the language with axes in brackets that are read by themselves.
const std::set<std::string> &axisFunctions() {
  static const std::set<std::string> names = {"cumsum", "cummean", "cat",  "rope",    "block", "start", "last", "merge",
                                              "joint",  "conv",    "read", "decayed", "prev",  "every", "outer"};
  return names;
}

std::vector<std::string> functionNames() {
  std::vector<std::string> names;
  for (const auto &entry : unaryFunctions())
    names.push_back(entry.first);
  for (const auto *set : {&reductions(), &reservedFunctions(), &axisFunctions()})
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
  } else if (callee.kind == ExprKind::Member && callee.text != "score" && callee.text != "where") {
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
                     e.children[2]->text == (context.walk ? context.walk->name : "j");
      if (!indices)
        return notYet(e.span, "pair functions at other indices than (i, j)");
      return nameValue(*name, context);
    }
    default:
      // A tensor may have the name of a function: `norm`, `exp`.
      if (!isFunction(name->text)) {
        errorWithNote(name->span, quoted(name->text) + " cannot be called",
                      s->what == "state" ? "a state is read: read(" + name->text + ", ..)"
                                         : "expected a function, a map or weights",
                      s->span, declaredAs(*s));
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
  bool ofState = name == "read" || name == "decayed" || name == "prev" || name == "every";
  if (ofState || (name == "last" && !brackets)) {
    if (!brackets)
      return stateFunction(name, e, context);
    error(brackets->span, quoted(name) + " takes no axes",
          "expected '" + name + "(S" + (name == "read" ? ", q)'" : ")'"));
    return std::nullopt;
  }
  if (name == "conv") {
    if (brackets)
      return convolution(e, *brackets, context);
    error(e.children[0]->span, "'conv' needs the axes along which it runs",
          "expected 'conv[T](x, w)' or 'conv[Y, X](x, w)'");
    return std::nullopt;
  }
  if ((name == "merge" || name == "joint") && !brackets)
    return name == "merge" ? merge(e, context) : joint(e, context);
  if (name == "rope")
    return rope(e, brackets, context);
  if (name == "outer")
    return outerProduct(e, brackets, context);
  if (axisFunctions().count(name) && name != "merge" && name != "joint") {
    if (!brackets || brackets->children.size() != 2) {
      error(brackets ? brackets->span : e.children[0]->span, quoted(name) + " works on one axis",
            "expected '" + name +
                (name == "cat"     ? "[E](a, b)'"
                 : name == "block" ? "[Sb](j)'"
                                   : "[T](x)'"));
      return std::nullopt;
    }
    if (name == "cat")
      return concatenation(e, *brackets, context);
    bool hasPast = name == "cumsum" && e.children.size() == 3 && e.children[2]->kind != ExprKind::Labelled;
    if ((e.children.size() != 2 && !hasPast) || e.children[1]->kind == ExprKind::Labelled) {
      error(e.span, quoted(name) + " takes 1 argument",
            name == "cumsum"    ? "cumsum[T](x, past) continues a call"
            : name == "cummean" ? "cumsum[T](x, past) / (pos[T] + first + 1) continues a call"
                                : "");
      return std::nullopt;
    }
    if (name == "cumsum" || name == "cummean")
      return prefix(name, e, *brackets, context);
    return blockFunction(name, *brackets, e.children[1].get(), e.span, context);
  }
  std::vector<const Expr *> positional;
  std::map<std::string, const Expr *> labelled;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &a = *e.children[k];
    if (a.kind == ExprKind::Labelled && a.children[0]->kind != ExprKind::Name) {
      error(a.children[0]->span, "the label of an argument is a name", "expected such as 'eps: 1e-5'");
      return std::nullopt;
    }
    if (a.kind == ExprKind::Labelled)
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
  static const std::map<std::string, ReduceKind> plain = {{"sum", ReduceKind::Sum},
                                                          {"mean", ReduceKind::Mean},
                                                          {"max", ReduceKind::Max},
                                                          {"min", ReduceKind::Min},
                                                          {"logsumexp", ReduceKind::LogSumExp}};
  const Expr &first = *brackets.children[1];
  bool overBlocks = first.kind == ExprKind::Binary && first.text == "in";
  if (overBlocks && (brackets.children.size() > 2 || !plain.count(name) || eps))
    return notYet(first.span,
                  plain.count(name) ? "reductions over blocks and other axes together"
                                    : quoted(name) + " over the blocks of an axis",
                  "works now: sum, mean, max, min and logsumexp, as in max[S in Sb](x)");
  bool good = overBlocks || axisList(brackets.children, 1, context, axes, expanded);
  Value v = eval(*argument, context);
  if (!good)
    return std::nullopt;
  if (v && isHandle(*v)) {
    if (overBlocks && name != "logsumexp")
      return reducedWeights(plain.at(name), *v, first, e, context);
    error(e.span, "weights are reduced over blocks of their keys",
          overBlocks ? "expected sum, mean, max or min"
                     : "expected such as '" + name + "[S in Sb](" + text(*argument) + ")'; the sum of all is " +
                           text(*argument) + "(1)");
    return std::nullopt;
  }
  if (v && isState(*v))
    return expectKind(*argument, *v, true);
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
  NodeId x = *v;
  if (overBlocks) {
    std::optional<AxisId> from = axis(*first.children[0], context), to = axis(*first.children[1], context);
    if (!from || !to)
      return std::nullopt;
    const Axis &blocks = attention_.axes[*to];
    bool isBlocks = blocks.relation == AxisRelation::Blocks || blocks.relation == AxisRelation::Windows;
    if (!isBlocks || blocks.raw != *from) {
      error(first.children[1]->span, quoted(axisName(*to)) + " is no axis of blocks of " + quoted(axisName(*from)),
            "expected 'axis " + axisName(*to) + " = " + axisName(*from) + " / 64'");
      return std::nullopt;
    }
    expanded = {*from};
  }
  for (AxisId a : expanded)
    if (!graph_.has(x, a)) {
      error(argument->span, quoted(text(*argument)) + " has no axis " + quoted(axisName(a)),
            "it is on " + axesText(graph_[x].axes));
      return std::nullopt;
    }
  graph_.here = e.span;
  if (overBlocks)
    return graph_.blockReduce(plain.at(name), expanded[0], *axis(*first.children[1], context), x);
  if (!eps)
    epsilon = graph_.real(1e-6);
  if (plain.count(name))
    return graph_.reduce(plain.at(name), expanded, x);
  x = graph_.toReal(x);
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

/// block[Sb](x): the block of an index on S. start[Sb], last[Sb]: the first and the last index of a block, of each
/// block or of block x.
FOVEA_NOINLINE Value Analyzer::blockFunction(const std::string &name, const Expr &brackets, const Expr *argument,
                                             Span span, const Context &context) {
  if (brackets.children.size() != 2) {
    error(span, quoted(name) + " takes one axis", "expected '" + name + "[Sb]'");
    return std::nullopt;
  }
  std::optional<AxisId> id = axis(*brackets.children[1], context);
  if (!id)
    return std::nullopt;
  const Axis a = attention_.axes[*id];
  if (a.relation != AxisRelation::Blocks && (a.relation != AxisRelation::Windows || name == "block")) {
    error(brackets.children[1]->span,
          quoted(axisName(*id)) + (a.relation == AxisRelation::Windows ? " has windows, which may share elements"
                                                                       : " is no axis of blocks"),
          a.relation == AxisRelation::Windows ? "'block' takes blocks, such as 'axis Sb = S / 64'"
                                              : "expected such as 'axis " + axisName(*id) + " = S / 64'");
    return std::nullopt;
  }
  Value x;
  if (argument) {
    x = evalNumber(*argument, context);
    if (x && graph_[*x].kind != Kind::Int) {
      error(argument->span, quoted(name) + " takes an integer", "this is " + describe(*x));
      return std::nullopt;
    }
    if (!x)
      return x;
  }
  graph_.here = span;
  if (name == "block")
    return graph_.binary(Op::FloorDiv, *x, graph_.integer(a.extent));
  NodeId first = graph_.binary(Op::Mul, x ? *x : graph_.index(*id), graph_.integer(a.step));
  if (name == "start")
    return first;
  NodeId last = graph_.binary(Op::Add, first, graph_.integer(a.extent - 1));
  if (a.relation == AxisRelation::Windows) // complete ones only
    return last;
  return graph_.binary(Op::Min, last, graph_.binary(Op::Sub, graph_.sizeOf(a.raw), graph_.integer(1)));
}

/// cumsum[T](x), cummean[T](x)
FOVEA_NOINLINE Value Analyzer::prefix(const std::string &name, const Expr &e, const Expr &brackets,
                                      const Context &context) {
  std::optional<AxisId> id = axis(*brackets.children[1], context);
  Value x = evalNumber(*e.children[1], context);
  if (!id || !x)
    return std::nullopt;
  if (attention_.axes[*id].relation == AxisRelation::Factor)
    return notYet(brackets.children[1]->span, "prefix sums along a factor axis");
  if (!graph_.has(*x, *id)) {
    error(e.children[1]->span, quoted(text(*e.children[1])) + " has no axis " + quoted(axisName(*id)),
          "it is on " + axesText(graph_[*x].axes));
    return std::nullopt;
  }
  graph_.here = e.span;
  if (name == "cumsum" && e.children.size() == 3)
    return sumOfPast(*id, graph_.scan(*id, *x), *e.children[2], context);
  if (name == "cumsum")
    return graph_.scan(*id, *x);
  NodeId count = graph_.toReal(graph_.binary(Op::Add, graph_.index(*id), graph_.integer(1)));
  return graph_.binary(Op::Div, graph_.scan(*id, graph_.toReal(*x)), count);
}

/// cat[E](a, b)
FOVEA_NOINLINE Value Analyzer::concatenation(const Expr &e, const Expr &brackets, const Context &context) {
  std::optional<AxisId> id = axis(*brackets.children[1], context);
  if (!id)
    return std::nullopt;
  const Axis whole = attention_.axes[*id];
  std::vector<AxisId> parts = whole.parts;
  if (whole.relation != AxisRelation::Concat) {
    // In a map, an axis may have been split into equal shares.
    parts.clear();
    for (AxisId a = 0; a < attention_.axes.size() && parts.empty(); ++a)
      if (attention_.axes[a].relation == AxisRelation::Share && attention_.axes[a].raw == *id &&
          static_cast<size_t>(attention_.axes[a].divisor) == e.children.size() - 1)
        parts.assign(e.children.size() - 1, a);
  }
  if (parts.empty()) {
    error(brackets.children[1]->span, quoted(axisName(*id)) + " has no parts",
          "expected such as 'axis " + axisName(*id) + " = R + P'");
    return std::nullopt;
  }
  if (parts.size() != e.children.size() - 1) {
    error(e.span, quoted(axisName(*id)) + " has " + std::to_string(parts.size()) + " parts",
          "here are " + std::to_string(e.children.size() - 1) + " arguments");
    return std::nullopt;
  }
  std::vector<NodeId> operands;
  for (size_t k = 0; k < parts.size(); ++k) {
    const Expr &a = *e.children[k + 1];
    if (a.kind == ExprKind::Labelled) {
      error(a.span, "'cat' has no named arguments", "its arguments are the parts in order");
      return std::nullopt;
    }
    Value v = evalNumber(a, context);
    if (!v)
      return v;
    if (graph_[*v].axes.empty()) { // a scalar is the same along its part
      NodeId nothing = graph_.binary(Op::Mul, graph_.index(parts[k]), graph_.integer(0));
      v = graph_.binary(Op::Add, graph_.toReal(*v), graph_.toReal(nothing));
    }
    if (!graph_.has(*v, parts[k]) || graph_.has(*v, *id)) {
      error(a.span,
            "part " + std::to_string(k + 1) + " of " + quoted(axisName(*id)) + " is " + quoted(axisName(parts[k])),
            "this is " + describe(*v));
      return std::nullopt;
    }
    operands.push_back(*v);
  }
  graph_.here = e.span;
  return graph_.concat(*id, parts, operands);
}

/// outer[D, E](a, b): the products of all elements of a along D with all of b along E; outer[D](a, b) of one axis.
FOVEA_NOINLINE Value Analyzer::outerProduct(const Expr &e, const Expr *brackets, const Context &context) {
  size_t axes = brackets ? brackets->children.size() - 1 : 0;
  if (axes < 1 || axes > 2 || e.children.size() != 3 || e.children[1]->kind == ExprKind::Labelled ||
      e.children[2]->kind == ExprKind::Labelled) {
    error(e.span, "'outer' multiplies all elements of one array along an axis with all of another",
          "expected 'outer[D](a, b)' or 'outer[D, E](a, b)'");
    return std::nullopt;
  }
  std::optional<AxisId> first = axis(*brackets->children[1], context), second = first;
  if (axes == 2)
    second = axis(*brackets->children[2], context);
  Value a = evalNumber(*e.children[1], context), b = evalNumber(*e.children[2], context);
  if (!first || !second || !a || !b)
    return std::nullopt;
  std::optional<AxisId> all = outerAxis(*first, *second, e.span);
  if (!all)
    return std::nullopt;
  for (auto [n, x, own, other] : {std::tuple(1, *a, *first, *second), std::tuple(2, *b, *second, *first)})
    if (!graph_.has(x, own) || (own != other && graph_.has(x, other)) || graph_.has(x, *all)) {
      error(e.children[n]->span,
            "'outer' takes an array along " + quoted(axisName(own)) +
                (own == other ? "" : ", not along " + quoted(axisName(other))),
            "this is " + describe(x));
      return std::nullopt;
    }
  graph_.here = e.span;
  NodeId right = graph_.toReal(*b);
  if (first == second) { // under another name
    std::optional<AxisId> again = shareAxis(*second, 1, e.span);
    if (!again)
      return std::nullopt;
    right = graph_.rename(*second, *again, right);
    second = again;
  }
  return graph_.pairs({*first, *second}, *all, graph_.binary(Op::Mul, graph_.toReal(*a), right));
}

/// rope(x, position, base: 1e4): the halves of the last axis of x, or of the one in brackets, as the two coordinates of
/// planes; plane f turns by position * base^(-f / planes).
FOVEA_NOINLINE Value Analyzer::rope(const Expr &e, const Expr *brackets, const Context &context) {
  const Expr *given[2] = {nullptr, nullptr}, *baseText = nullptr;
  size_t count = 0;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr &a = *e.children[k];
    if (a.kind == ExprKind::Labelled) {
      std::string label = a.children[0]->text;
      if (label != "base") {
        error(a.children[0]->span, "'rope' has no argument " + quoted(label), "expected 'base'",
              syntax::closest(label, {"base"}));
        return std::nullopt;
      }
      baseText = a.children[1].get();
    } else if (count < 2) {
      given[count++] = &a;
    } else {
      ++count;
    }
  }
  if (count != 2) {
    error(e.span, "'rope' takes an array and its positions", "expected 'rope(x, pos[T])'");
    return std::nullopt;
  }
  Value x = evalNumber(*given[0], context), position = evalNumber(*given[1], context);
  Value base = baseText ? evalNumber(*baseText, context) : Value(graph_.real(1e4));
  if (!x || !position || !base)
    return std::nullopt;
  std::optional<AxisId> feature;
  if (brackets) {
    if (brackets->children.size() != 2) {
      error(brackets->span, "'rope' turns one axis", "expected 'rope[D](x, pos[T])'");
      return std::nullopt;
    }
    feature = axis(*brackets->children[1], context);
    if (!feature)
      return std::nullopt;
  } else if (!graph_[*x].axes.empty()) {
    feature = graph_[*x].axes.back();
  }
  bool isFeature = feature && graph_.has(*x, *feature) && !graph_.has(*position, *feature) &&
                   attention_.axes[*feature].relation != AxisRelation::Walk;
  if (!isFeature) {
    error(given[0]->span,
          feature && graph_.has(*x, *feature)
              ? "axis " + quoted(axisName(*feature)) + " of " + quoted(text(*given[0])) +
                    " is no axis of features that 'rope' can turn"
              : quoted(text(*given[0])) + " has no axis" +
                    (feature ? " " + quoted(axisName(*feature)) : std::string(" to turn")),
          "it is on " + axesText(graph_[*x].axes) + ", the positions on " + axesText(graph_[*position].axes));
    return std::nullopt;
  }
  for (AxisId a : graph_[*position].axes)
    if (!graph_.has(*x, a)) {
      error(given[1]->span,
            "these positions are on " + quoted(axisName(a)) + ", which " + quoted(text(*given[0])) + " has not",
            "it is on " + axesText(graph_[*x].axes));
      return std::nullopt;
    }
  for (AxisId a : graph_[*base].axes)
    if (!graph_.has(*x, a) || a == *feature) {
      error(baseText->span, "'base' is a single number", "this is " + describe(*base));
      return std::nullopt;
    }
  std::optional<AxisId> half = shareAxis(*feature, 2, e.span);
  if (!half)
    return std::nullopt;
  graph_.here = e.span;
  NodeId turn = graph_.unary(Op::Neg, graph_.binary(Op::Div, graph_.index(*half), graph_.sizeOf(*half)));
  NodeId angle = graph_.binary(Op::Mul, graph_.toReal(*position), graph_.binary(Op::Pow, *base, turn));
  NodeId cosine = graph_.unary(Op::Cos, angle), sine = graph_.unary(Op::Sin, angle);
  NodeId array = graph_.toReal(*x);
  NodeId a = graph_.slice(*feature, *half, {}, array), b = graph_.slice(*feature, *half, {*half}, array);
  auto times = [&](NodeId p, NodeId q) { return graph_.binary(Op::Mul, p, q); };
  NodeId first = graph_.binary(Op::Sub, times(a, cosine), times(b, sine));
  NodeId second = graph_.binary(Op::Add, times(b, cosine), times(a, sine));
  return graph_.concat(*feature, {*half, *half}, {first, second});
}

Value Analyzer::member(const Expr &e, const Context &context) {
  const Expr &base = *e.children[0];
  Context outside = context;
  outside.walk = nullptr;
  if (base.kind == ExprKind::Name)
    if (Symbol *s = lookup(context.scope, base.text); s && s->kind == Symbol::Kind::Field) {
      s->used = true;
      errorWithNote(e.nameSpan, quoted(base.text) + " has no part " + quoted(e.text), "only weights have parts",
                    s->span, declaredAs(*s));
      return std::nullopt;
    }
  Value p = eval(base, outside);
  if (!p)
    return p;
  if (!isHandle(*p)) {
    error(e.nameSpan, "there is no part " + quoted(e.text), "only weights have parts");
    return std::nullopt;
  }
  static const std::vector<std::string> names = {"lse", "max", "mass", "count", "where", "score"};
  if (std::find(names.begin(), names.end(), e.text) == names.end()) {
    error(e.nameSpan, "weights have no part " + quoted(e.text), "expected lse, max, mass, count, where or score",
          syntax::closest(e.text, names));
    return std::nullopt;
  }
  if (e.text == "where" || e.text == "score")
    return pairOfBranch(handleOf(*p), e.text, e, context);
  Value s = statistic(handleOf(*p), e.text, e);
  if (s && context.walk && !context.inMap && tokenAxisOf(*s, *context.walk)) {
    error(e.span, quoted(text(e)) + " has the walked axis and needs a subscript here", "expected '" + text(e) + "[i]'");
    return std::nullopt;
  }
  return s;
}

} // namespace fovea::sema::internal
