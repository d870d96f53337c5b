// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Maps: inlined at their calls, and checked on their own.
#include "frontend/sema/Analyzer.h"

#include <algorithm>

namespace fovea::sema::internal {

Value Analyzer::inlineMap(const Symbol &map, const Expr &e, const Expr *brackets, const Context &context) {
  const Item &item = *map.item;
  if (std::find(inlining_.begin(), inlining_.end(), &item) != inlining_.end()) {
    error(e.span, "map " + quoted(map.name) + " uses itself");
    return std::nullopt;
  }
  for (const ExprPtr &a : item.type.axes)
    if (a->kind == ExprKind::Binary)
      return notYet(a->span, "result axes with a relation");
  scopes_.push_back(std::make_unique<Scope>());
  Scope *scope = scopes_.back().get();
  scope->parent = map.scope;
  bool good = true;

  // Arguments to parameters.
  std::vector<const Expr *> given(item.params.size(), nullptr);
  size_t next = 0;
  for (size_t k = 1; k < e.children.size(); ++k) {
    const Expr *a = e.children[k].get();
    if (a->kind == ExprKind::Labelled && a->children[0]->kind == ExprKind::Name) {
      size_t which = 0;
      while (which < item.params.size() && item.params[which].name.text != a->children[0]->text)
        ++which;
      if (which == item.params.size()) {
        std::vector<std::string> names;
        for (const syntax::MapParam &p : item.params)
          names.push_back(p.name.text);
        error(a->children[0]->span, "map " + quoted(map.name) + " has no parameter " + quoted(a->children[0]->text), "",
              syntax::closest(a->children[0]->text, names));
        good = false;
        continue;
      }
      if (given[which]) {
        error(a->span, "parameter " + quoted(item.params[which].name.text) + " is given twice");
        good = false;
      }
      given[which] = a->children[1].get();
      continue;
    }
    while (next < item.params.size() && (item.params[next].isOption || given[next]))
      ++next;
    if (next == item.params.size()) {
      errorWithNote(a->span, "map " + quoted(map.name) + " has no parameter for this argument", "", item.span,
                    "it is declared here");
      good = false;
      break;
    }
    given[next++] = a;
  }

  // `f[D: K](x)` binds axes by hand.
  std::map<std::string, AxisId> bound;
  if (brackets)
    for (size_t k = 1; k < brackets->children.size(); ++k) {
      const Expr &b = *brackets->children[k];
      if (b.kind != ExprKind::Labelled || b.children[0]->kind != ExprKind::Name) {
        error(b.span, "expected 'axis of the map: axis', such as [D: K]");
        good = false;
        continue;
      }
      if (std::optional<AxisId> id = axis(*b.children[1], context))
        bound[b.children[0]->text] = *id;
      else
        good = false;
    }
  std::vector<Value> values(item.params.size());
  for (size_t k = 0; k < item.params.size(); ++k) {
    const syntax::MapParam &p = item.params[k];
    if (p.isOption) {
      Symbol s;
      s.kind = Symbol::Kind::Option;
      s.what = "option";
      s.used = true;
      for (const Identifier &c : p.alternatives)
        s.choices.push_back(c.text);
      s.chosen = s.choices.empty() ? "" : s.choices[0];
      if (given[k]) {
        bool isChoice = given[k]->kind == ExprKind::Name &&
                        std::find(s.choices.begin(), s.choices.end(), given[k]->text) != s.choices.end();
        if (!isChoice) {
          error(given[k]->span, "option " + quoted(p.name.text) + " has no choice " + quoted(text(*given[k])), "",
                given[k]->kind == ExprKind::Name ? syntax::closest(given[k]->text, s.choices) : "");
          good = false;
        } else {
          s.chosen = given[k]->text;
        }
      }
      declare(*scope, p.name, std::move(s));
      continue;
    }
    if (given[k]) {
      values[k] = evalNumber(*given[k], context);
      good &= values[k].has_value();
    } else if (!p.defaultValue && good) {
      errorWithNote(e.span, "map " + quoted(map.name) + " needs the argument " + quoted(p.name.text), "", p.name.span,
                    "it is declared here");
      good = false;
    }
  }
  if (!good)
    return std::nullopt;

  // Axes of the parameters: by name where the argument has an axis of that name, else its last free axes, in order.
  auto nameOf = [&](const Expr &a) { return a.kind == ExprKind::Name ? a.text : std::string(); };
  auto onArgument = [&](NodeId n, AxisId id) {
    std::vector<AxisId> parts;
    expand(id, parts);
    for (AxisId p : parts)
      if (!graph_.has(n, p))
        return false;
    return true;
  };
  for (size_t k = 0; k < item.params.size(); ++k) {
    const syntax::MapParam &p = item.params[k];
    if (p.isOption || !values[k])
      continue;
    NodeId n = *values[k];
    std::vector<std::string> open;
    std::set<AxisId> taken;
    auto take = [&](AxisId id) {
      std::vector<AxisId> parts;
      expand(id, parts);
      taken.insert(parts.begin(), parts.end());
    };
    for (const ExprPtr &a : p.type.axes) {
      std::string axisText = nameOf(*a);
      if (axisText.empty()) {
        notYet(a->span, "this axis of a parameter");
        return std::nullopt;
      }
      auto it = bound.find(axisText);
      if (it == bound.end()) {
        Symbol *own = lookup(context.scope, axisText);
        if (own && own->kind == Symbol::Kind::Axis && onArgument(n, own->axis)) {
          own->used = true;
          it = bound.emplace(axisText, own->axis).first;
        }
      }
      if (it == bound.end()) {
        open.push_back(axisText);
        continue;
      }
      if (!onArgument(n, it->second)) {
        errorWithNote(given[k]->span, quoted(text(*given[k])) + " has no axis " + quoted(axisName(it->second)),
                      "it is on " + axesText(graph_[n].axes) + "; axis " + quoted(axisText) + " of map " +
                          quoted(map.name) + " is " + quoted(axisName(it->second)) + " here",
                      p.name.span, "the parameter");
        return std::nullopt;
      }
      take(it->second);
    }
    std::vector<AxisId> free;
    std::vector<AxisId> grouped;
    regroup(graph_[n].axes, grouped);
    for (AxisId a : grouped) {
      std::vector<AxisId> parts;
      expand(a, parts);
      bool isTaken = attention_.axes[a].relation == AxisRelation::Walk;
      for (AxisId q : parts)
        isTaken |= taken.count(q) != 0;
      if (!isTaken)
        free.push_back(a);
    }
    if (free.size() < open.size()) {
      errorWithNote(given[k]->span, quoted(text(*given[k])) + " has too few axes for map " + quoted(map.name),
                    "it is on " + axesText(graph_[n].axes), p.name.span, "the parameter");
      return std::nullopt;
    }
    for (size_t o = 0; o < open.size(); ++o)
      bound[open[o]] = free[free.size() - open.size() + o];
  }
  for (const auto &[axisText, id] : bound) {
    Symbol s;
    s.kind = Symbol::Kind::Axis;
    s.what = "axis";
    s.axis = id;
    s.used = true;
    scope->symbols.emplace(axisText, s).first->second.name = axisText;
  }
  Context body{scope, context.walk, true};
  inlining_.push_back(&item);
  for (size_t k = 0; k < item.params.size() && good; ++k) {
    const syntax::MapParam &p = item.params[k];
    if (p.isOption)
      continue;
    if (!values[k]) {
      values[k] = evalNumber(*p.defaultValue, body);
      good &= values[k].has_value();
    }
    Symbol s;
    s.what = "parameter";
    s.used = true;
    s.ofWalk = context.walk != nullptr;
    s.kind = values[k] ? Symbol::Kind::Field : Symbol::Kind::Poison;
    if (values[k])
      s.node = *values[k];
    declare(*scope, p.name, std::move(s));
  }
  Value result;
  bool hasResult = false;
  for (const Item &part : item.body) {
    if (!good)
      break;
    if (part.kind == ItemKind::Let) {
      if (!part.list.empty()) {
        notYet(part.span, "pair functions in a map");
        good = false;
        break;
      }
      letItem(part, *scope, body);
    } else if (part.kind == ItemKind::Const) {
      for (size_t k = 0; k < part.names.size(); ++k) {
        Symbol s;
        s.what = "const";
        s.used = true;
        s.ofWalk = context.walk != nullptr;
        Value v = part.values.empty() ? Value() : evalNumber(*part.values[std::min(k, part.values.size() - 1)], body);
        if (part.values.empty())
          error(part.span, "a const of a map needs a value");
        s.kind = v ? Symbol::Kind::Field : Symbol::Kind::Poison;
        if (v)
          s.node = *v;
        declare(*scope, part.names[k], std::move(s));
      }
    } else if (part.kind == ItemKind::Law) {
      notYet(part.keyword, "laws");
      good = false;
    } else if (part.kind == ItemKind::Result) {
      if (hasResult) {
        error(part.span, "a map has one value", "a second expression");
        good = false;
      }
      hasResult = true;
      result = evalNumber(*part.values[0], body);
    } else if (part.kind == ItemKind::Error) {
      good = false;
    }
  }
  inlining_.pop_back();
  if (good && !hasResult && !item.body.empty() && item.body.back().kind == ItemKind::Error)
    return std::nullopt;
  if (good && !hasResult) {
    error(item.names[0].span, "map " + quoted(map.name) + " has no value", "its last line must be an expression");
    return std::nullopt;
  }
  if (!good || !result)
    return std::nullopt;
  if (item.hasType && item.type.hasAxes)
    for (const ExprPtr &a : item.type.axes) {
      std::optional<AxisId> id;
      if (auto it = bound.find(nameOf(*a)); it != bound.end())
        id = it->second;
      else
        id = axis(*a, context);
      if (!id)
        return std::nullopt;
      if (!onArgument(*result, *id)) {
        error(a->span, "the value of map " + quoted(map.name) + " has no axis " + quoted(nameOf(*a)),
              "it is on " + axesText(graph_[*result].axes));
        return std::nullopt;
      }
    }
  return result;
}

void Analyzer::checkMap(const Item &item) {
  item_ = nullptr;
  scope_.parent = &unit_.scope;
  for (const syntax::MapParam &p : item.params)
    for (const ExprPtr &a : p.type.axes)
      if (a->kind == ExprKind::Name && !scope_.own(a->text)) {
        Axis axis;
        axis.name = a->text;
        axis.span = a->span;
        Symbol s;
        s.kind = Symbol::Kind::Axis;
        s.what = "axis";
        if (Symbol *declared = declare(scope_, {a->text, a->span}, std::move(s)))
          declared->axis = makeAxis(std::move(axis));
      }
  Expr call;
  call.kind = ExprKind::Call;
  call.span = item.span;
  auto name = std::make_unique<Expr>();
  name->kind = ExprKind::Name;
  name->text = item.names[0].text;
  name->span = item.names[0].span;
  call.children.push_back(std::move(name));
  for (const syntax::MapParam &p : item.params) {
    if (p.isOption)
      continue;
    StorageType storage = StorageType::Default;
    Kind kind = Kind::Real;
    if (p.type.element && p.type.element.text == "int")
      kind = Kind::Int;
    else if (p.type.element && p.type.element.text != "real")
      elementType(p.type, storage, kind);
    std::vector<AxisId> declared, expanded;
    Context context{&scope_, nullptr, false};
    if (!axisList(p.type.axes, 0, context, declared, expanded))
      return;
    Declaration d;
    d.name = p.name.text;
    attention_.declarations.push_back(std::move(d));
    DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
    graph_.here = p.name.span;
    Symbol s;
    s.kind = Symbol::Kind::Field;
    s.what = "parameter";
    s.node = graph_.input(id, expanded, kind);
    if (!declare(scope_, p.name, std::move(s)))
      return;
    auto argument = std::make_unique<Expr>();
    argument->kind = ExprKind::Name;
    argument->text = p.name.text;
    argument->span = p.name.span;
    auto labelled = std::make_unique<Expr>();
    labelled->kind = ExprKind::Labelled;
    labelled->span = p.name.span;
    auto label = std::make_unique<Expr>();
    label->kind = ExprKind::Name;
    label->text = p.name.text;
    label->span = p.name.span;
    labelled->children.push_back(std::move(label));
    labelled->children.push_back(std::move(argument));
    call.children.push_back(std::move(labelled));
  }
  if (failed_)
    return;
  Symbol map;
  map.kind = Symbol::Kind::Map;
  map.name = item.names[0].text;
  map.item = &item;
  map.scope = &unit_.scope;
  Context context{&scope_, nullptr, false};
  inlineMap(map, call, nullptr, context);
}

} // namespace fovea::sema::internal
