// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Inputs, params, consts, options, lets and outputs.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace fovea::sema::internal {

bool Analyzer::elementType(const syntax::Type &type, StorageType &storage, Kind &kind) {
  static const std::map<std::string, StorageType> table = {
      {"bf16", StorageType::BF16}, {"f16", StorageType::F16}, {"f32", StorageType::F32}, {"i32", StorageType::I32}};
  if (!type.element)
    return true;
  auto it = table.find(type.element.text);
  if (it == table.end()) {
    bool isAxis = lookup(&scope_, type.element.text) != nullptr;
    error(type.element.span, "unknown element type " + quoted(type.element.text),
          isAxis ? "axes stand in brackets: [" + type.element.text + "]" : "expected bf16, f16, f32 or i32",
          isAxis ? "" : syntax::closest(type.element.text, {"bf16", "f16", "f32", "i32"}));
    return false;
  }
  storage = it->second;
  if (storage == StorageType::I32)
    kind = Kind::Int;
  return true;
}

std::optional<Contract> Analyzer::contract(const Item &item) {
  if (item.contract.empty())
    return std::nullopt;
  Contract result;
  result.span = item.contract[0].span;
  Context context{&scope_, nullptr, false};
  for (const syntax::ContractBound &b : item.contract) {
    Value v = evalNumber(*b.value, context);
    if (!v)
      continue;
    if (!graph_[*v].axes.empty()) {
      error(b.value->span, "the bound of a contract must be a single number",
            "this is " + describe(*v) + "; expected a constant, a size or a scalar param");
      continue;
    }
    Bound bound;
    bound.node = *v;
    bound.value = graph_.evaluate(*v);
    bound.open = b.op == "<" || b.op == ">";
    bool upper = b.op == "<" || b.op == "<=";
    std::optional<Bound> &slot = upper ? result.upper : result.lower;
    if (slot) {
      error(b.span, "two bounds on the same side");
      continue;
    }
    slot = bound;
    result.span = result.span.to(b.span);
  }
  if (result.lower && result.upper && result.lower->value && result.upper->value &&
      (*result.lower->value > *result.upper->value ||
       (*result.lower->value == *result.upper->value && (result.lower->open || result.upper->open))))
    error(result.span, "no value can satisfy this contract");
  return result;
}

void Analyzer::inputItem(const Item &item, Role role) {
  StorageType storage = StorageType::Default;
  Kind kind = Kind::Real;
  std::vector<AxisId> declared, expanded;
  Context context{&scope_, nullptr, false};
  bool good = item.hasType && elementType(item.type, storage, kind);
  const std::string noName, &owner = item.names.empty() ? noName : item.names[0].text;
  AxisId firstOwn = static_cast<AxisId>(attention_.axes.size()); // axes made here, from numbers
  if (item.hasType && item.type.hasAxes)
    good &= axisList(item.type.axes, 0, context, declared, expanded, &owner);
  if (role == Role::Carry && kind == Kind::Int) {
    error(item.type.span, "carried memory holds real numbers", "expected bf16, f16 or f32");
    good = false;
  }
  if (role == Role::Carry && !item.contract.empty()) {
    error(item.contract[0].span, "carried memory has no contract", "what a state becomes follows from its fields");
    good = false;
  }
  if (role == Role::Carry && attention_.claim == Claim::Set) {
    error(item.keyword, "a set has no order in which something is carried",
          "drop 'set', or make this an input: a set is not decoded step by step");
    good = false;
  }
  if (item.isOptional && role == Role::Param) {
    error(item.keyword, "only inputs and carried memory are optional",
          "a param without axes may have a default: 'param scale : f32 = 1'");
    good = false;
  }
  std::optional<Contract> c = contract(item);
  std::optional<NodeId> defaultNode;
  std::optional<double> defaultValue;
  if (!item.values.empty()) {
    const Expr &e = *item.values[0];
    if (role != Role::Param) {
      error(e.span, role == Role::Carry ? "carried memory has no default" : "an input has no default",
            "only a scalar 'param' has one");
      good = false;
    } else if (item.type.hasAxes && !item.type.axes.empty()) {
      notYet(e.span, "defaults of params that have axes");
      good = false;
    } else if (Value v = evalNumber(e, context)) {
      if (kind == Kind::Int && graph_[*v].kind == Kind::Real) {
        // `window : i32 = inf` is the largest number there is.
        if (graph_.isConstant(*v) && graph_[*v].real == std::numeric_limits<double>::infinity()) {
          v = graph_.integer(kMaxSize);
        } else {
          error(e.span, "the default of an i32 must be a whole number", "this is real");
          good = false;
        }
      }
      if (kind == Kind::Real)
        v = graph_.toReal(*v);
      if (!graph_[*v].axes.empty()) {
        error(e.span, "the default must be a single number", "this is " + describe(*v));
        good = false;
      }
      std::vector<NodeId> stack{*v};
      for (size_t k = 0; k < stack.size() && k < kMaxNodes && good; ++k) {
        if (graph_[stack[k]].op == Op::Input) {
          error(e.span, "a default is made of constants and sizes",
                quoted(attention_.declarations[graph_[stack[k]].declaration].name) + " is known only at run time");
          good = false;
        }
        for (NodeId o : graph_[stack[k]].operands)
          stack.push_back(o);
      }
      defaultNode = v;
      defaultValue = graph_.evaluate(*v);
    } else {
      good = false;
    }
  }
  for (const Identifier &name : item.names) {
    Symbol s;
    s.what = role == Role::Param ? "param" : role == Role::Carry ? "carry" : "input";
    s.kind = !good ? Symbol::Kind::Poison : role == Role::Carry ? Symbol::Kind::Carry : Symbol::Kind::Field;
    s.used = role == Role::Carry; // what becomes of it is checked at the end
    std::vector<AxisId> own = declared, ownParts = expanded;
    if (good && &name != &item.names[0]) // each array has anonymous axes of its own
      for (size_t k = 0; k < declared.size(); ++k)
        if (declared[k] >= firstOwn) {
          Axis copy = attention_.axes[declared[k]];
          copy.name = uniqueWalkName(name.text + "_" + std::to_string(k));
          own[k] = makeAxis(std::move(copy));
          std::replace(ownParts.begin(), ownParts.end(), declared[k], own[k]);
        }
    if (good) {
      Declaration d;
      d.name = name.text;
      d.role = role;
      d.declaredAxes = own;
      d.axes = ownParts;
      d.type = storage;
      d.kind = kind;
      d.contract = c;
      d.optional = item.isOptional;
      d.defaultNode = defaultNode;
      d.defaultValue = defaultValue;
      d.span = name.span;
      if (!scope_.own(name.text)) {
        attention_.declarations.push_back(std::move(d));
        DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
        graph_.here = name.span;
        s.node = graph_.input(id, ownParts, kind);
        attention_.declarations[id].node = s.node;
      }
    }
    if (name)
      session_.otherNames[name.text] = s.what;
    declare(scope_, name, std::move(s));
  }
}

void Analyzer::constItem(const Item &item) {
  std::optional<Kind> kind;
  bool good = true;
  if (item.hasType) {
    if (item.type.hasAxes || !item.type.element ||
        (item.type.element.text != "int" && item.type.element.text != "real")) {
      error(item.type.span, "a const is a single number", "expected 'int' or 'real'",
            item.type.element ? syntax::closest(item.type.element.text, {"int", "real"}) : "");
      good = false;
    } else {
      kind = item.type.element.text == "int" ? Kind::Int : Kind::Real;
    }
  }
  if (item.values.size() > 1 && item.values.size() != item.names.size()) {
    error(item.span,
          std::to_string(item.names.size()) + " names, but " + std::to_string(item.values.size()) + " values");
    good = false;
  }
  Context context{&scope_, nullptr, false};
  for (size_t k = 0; k < item.names.size(); ++k) {
    const Identifier &name = item.names[k];
    Symbol s;
    s.what = "const";
    s.used = extents_.count(name.text) != 0;
    Value v;
    bool hasValue = false;
    auto set = session_.options.sets.find(name.text);
    const Expr *e = item.values.empty() ? nullptr : item.values[std::min(k, item.values.size() - 1)].get();
    // The default is checked even where --set replaces it.
    if (e) {
      hasValue = true;
      v = evalNumber(*e, context);
      if (v && !graph_[*v].axes.empty()) {
        error(e->span, "a const is a single number", "this is " + describe(*v));
        v = std::nullopt;
      }
      std::vector<NodeId> stack;
      if (v)
        stack.push_back(*v);
      for (size_t at = 0; at < stack.size() && at < kMaxNodes; ++at) {
        const Node &node = graph_[stack[at]];
        if (node.op == Op::Input && attention_.declarations[node.declaration].role != Role::Const) {
          error(e->span, "a const is known at compile time",
                quoted(attention_.declarations[node.declaration].name) + " is not; use 'let'");
          v = std::nullopt;
          break;
        }
        stack.insert(stack.end(), node.operands.begin(), node.operands.end());
      }
      if (v && kind == Kind::Int && graph_[*v].kind == Kind::Real) {
        if (graph_.isConstant(*v) && graph_[*v].real == std::numeric_limits<double>::infinity()) {
          v = graph_.integer(kMaxSize);
        } else {
          error(e->span, "the value of an int must be a whole number", "this is real");
          v = std::nullopt;
        }
      }
      if (v && kind == Kind::Real)
        v = graph_.toReal(*v);
    }
    if (set != session_.options.sets.end() && good) {
      session_.knownSets.insert(name.text);
      const std::string &text = set->second;
      char *end = nullptr;
      errno = 0;
      Kind wanted = kind ? *kind : v ? graph_[*v].kind : Kind::Real;
      hasValue = true;
      if (wanted == Kind::Int) {
        long long value = std::strtoll(text.c_str(), &end, 10);
        bool bad = text.empty() || *end || errno == ERANGE;
        if (bad)
          error(name.span, "const " + quoted(name.text) + " cannot be '" + text + "'",
                "--set " + name.text + "=.. takes a whole number");
        v = bad ? Value() : Value(graph_.integer(value));
      } else {
        double value = std::strtod(text.c_str(), &end);
        bool bad = text.empty() || *end || std::isnan(value);
        if (bad)
          error(name.span, "const " + quoted(name.text) + " cannot be '" + text + "'",
                "--set " + name.text + "=.. takes a number");
        v = bad ? Value() : Value(graph_.real(value));
      }
    }
    if (!hasValue && good) {
      if (!kind) {
        error(name.span, "const " + quoted(name.text) + " has neither a type nor a value",
              "expected ': int', ': real' or '= ..'");
      } else if (!scope_.own(name.text)) {
        Declaration d;
        d.name = name.text;
        d.role = Role::Const;
        d.kind = *kind;
        d.span = name.span;
        attention_.declarations.push_back(std::move(d));
        DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
        graph_.here = name.span;
        v = graph_.input(id, {}, *kind);
        attention_.declarations[id].node = *v;
      }
    }
    s.kind = good && v ? Symbol::Kind::Field : Symbol::Kind::Poison;
    if (v)
      s.node = *v;
    declare(scope_, name, std::move(s));
  }
}

void Analyzer::optionItem(const Item &item) {
  std::set<std::string> distinct;
  std::vector<std::string> choices;
  for (const Identifier &c : item.list) {
    if (!distinct.insert(c.text).second)
      error(c.span, "choice " + quoted(c.text) + " stands twice");
    else
      choices.push_back(c.text);
  }
  for (const Identifier &name : item.names) {
    Symbol s;
    s.kind = choices.empty() ? Symbol::Kind::Poison : Symbol::Kind::Option;
    s.what = "option";
    s.choices = choices;
    if (!choices.empty())
      s.chosen = choices[0];
    auto set = session_.options.sets.find(name.text);
    if (set != session_.options.sets.end()) {
      session_.knownSets.insert(name.text);
      if (distinct.count(set->second)) {
        s.chosen = set->second;
      } else {
        std::string list;
        for (const std::string &c : choices)
          list += (list.empty() ? "" : ", ") + c;
        error(name.span, "option " + quoted(name.text) + " has no choice '" + set->second + "'", "choices: " + list,
              syntax::closest(set->second, choices));
      }
    }
    declare(scope_, name, std::move(s));
  }
}

void Analyzer::letItem(const Item &item, Scope &scope, const Context &context) {
  if (item.names.empty())
    return;
  const Identifier &name = item.names[0];
  Symbol s;
  s.what = "let";
  s.ofWalk = context.walk != nullptr;
  if (!item.list.empty()) {
    bool good = item.list.size() == 2 && item.list[0].text == "i" && item.list[1].text == "j";
    if (!good)
      error(item.list[0].span.to(item.list.back().span), "a pair function has the indices (i, j)",
            "expected '" + name.text + "(i, j)'");
    s.kind = good ? Symbol::Kind::Pair : Symbol::Kind::Poison;
    s.what = "pair function";
    s.item = &item;
    s.scope = &scope;
    declare(scope, name, std::move(s));
    return;
  }
  Value v = item.values.empty() ? Value() : eval(*item.values[0], context);
  if (v) {
    s.kind = symbolKind(graph_[*v].kind);
    s.node = *v;
    if (isHandle(*v) && handleOf(*v).branches.empty())
      v = handleOf(*v).node; // what lower levels see
    else if (isState(*v))
      v = recurrenceOf(*v).node;
    Node &node = attention_.nodes[*v];
    if (node.name.empty() && node.op != Op::Constant)
      node.name = name.text;
  } else {
    failed_ = true;
  }
  declare(scope, name, std::move(s));
}

void Analyzer::outputItem(const Item &item) {
  Context context{&scope_, nullptr, false};
  if (item.names.size() > 1) {
    error(item.names[1].span, "one value cannot be two outputs", "write a second 'output'");
    return;
  }
  StorageType storage = StorageType::Default;
  Kind ignored = Kind::Real;
  std::vector<AxisId> declared, expanded;
  bool good = true;
  if (item.hasType) {
    good = elementType(item.type, storage, ignored);
    if (item.type.hasAxes)
      good &= axisList(item.type.axes, 0, context, declared, expanded);
  }
  Value v = item.values.empty() ? Value() : eval(*item.values[0], context);
  Symbol s;
  s.what = "output";
  s.used = true;
  if (v && good) {
    const Expr &e = *item.values[0];
    if (graph_[*v].kind == Kind::Weights) {
      error(e.span, "weights have no place in memory",
            "apply them to values: p(v); also max[S in Sb](p), p.score[i in idx]");
      good = false;
    } else if (isState(*v)) {
      error(e.span, "a state has no place in memory",
            "read it, as in read(S, q); also last(S), every(S, 256), and 'carry' for what goes on");
      good = false;
    } else if (graph_[*v].kind == Kind::Bool) {
      error(e.span, "an output is a number", "this is " + describe(*v) + "; use 'if .. then 1 else 0'");
      good = false;
    } else if (storage == StorageType::I32 && graph_[*v].kind == Kind::Real) {
      error(item.type.span, "a real value cannot be an i32 output");
      good = false;
    }
  }
  if (v && good) {
    std::vector<AxisId> axes = graph_[*v].axes;
    if (item.hasType && item.type.hasAxes) {
      for (AxisId a : axes)
        if (std::find(expanded.begin(), expanded.end(), a) == expanded.end()) {
          error(item.type.span, "the value has the axis " + quoted(axisName(a)) + ", which the output lacks",
                "the value is " + describe(*v));
          good = false;
        }
    } else {
      outputOrder(axes);
      expanded = axes;
      regroup(axes, declared);
    }
  }
  if (v && good) {
    if (!item.hasType || !item.type.element) {
      if (graph_[*v].kind == Kind::Int)
        storage = StorageType::I32;
      else if (graph_[*v].op == Op::Stat)
        storage = StorageType::F32;
    }
    s.node = *v;
    s.kind = Symbol::Kind::Field;
    if (!item.names.empty() && item.names[0] && !scope_.own(item.names[0].text)) {
      Declaration d;
      d.name = item.names[0].text;
      d.role = Role::Output;
      d.declaredAxes = declared;
      d.axes = expanded;
      d.type = storage;
      d.kind = graph_[*v].kind;
      d.span = item.names[0].span;
      attention_.declarations.push_back(std::move(d));
      DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
      graph_.here = item.values[0]->span;
      NodeId out = graph_.output(id, expanded, *v);
      attention_.declarations[id].node = out;
      if (attention_.nodes[*v].name.empty() && attention_.nodes[*v].op != Op::Constant)
        attention_.nodes[*v].name = item.names[0].text;
    }
  } else {
    failed_ = true;
  }
  if (!item.names.empty())
    declare(scope_, item.names[0], std::move(s));
}

void Analyzer::declareItem(const Item &item) {
  Context context{&scope_, nullptr, false};
  switch (item.kind) {
  case ItemKind::Axis:
  case ItemKind::Option:
    break; // before the other items
  case ItemKind::Static:
    for (const Identifier &name : item.names) {
      if (!name)
        continue;
      Expr e;
      e.kind = ExprKind::Name;
      e.text = name.text;
      e.span = name.span;
      bool wasUsed = false;
      if (Symbol *s = scope_.own(name.text))
        wasUsed = s->used;
      if (std::optional<AxisId> id = axis(e, context)) {
        scope_.own(name.text)->used = wasUsed;
        std::vector<AxisId> parts;
        expand(*id, parts);
        attention_.axes[*id].isStatic = true;
        for (AxisId p : parts)
          attention_.axes[p].isStatic = true;
      }
    }
    break;
  case ItemKind::Input:
    inputItem(item, Role::Input);
    break;
  case ItemKind::Param:
    inputItem(item, Role::Param);
    break;
  case ItemKind::Const:
    constItem(item);
    break;
  case ItemKind::Let:
    letItem(item, scope_, context);
    break;
  case ItemKind::Output:
    outputItem(item);
    break;
  case ItemKind::Carry:
    inputItem(item, Role::Carry);
    break;
  case ItemKind::State:
    stateItem(item);
    break;
  case ItemKind::Map: {
    if (item.names.empty())
      break;
    Symbol s;
    s.kind = Symbol::Kind::Map;
    s.what = "map";
    s.item = &item;
    s.scope = &scope_;
    declare(scope_, item.names[0], std::move(s));
    break;
  }
  case ItemKind::Schedule:
    notYet(item.keyword, "schedule");
    break;
  case ItemKind::Storage: // once all axes are known
    break;
  default:
    break;
  }
}

} // namespace fovea::sema::internal
