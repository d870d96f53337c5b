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
  // `F = R + P`, as an axis of a parameter or of the result, is named F.
  auto nameOf = [&](const Expr &a) {
    const Expr &x = a.kind == ExprKind::Binary && a.text == "=" ? *a.children[0] : a;
    return x.kind == ExprKind::Name ? x.text : std::string();
  };
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
  std::vector<const Expr *> relations;
  for (const syntax::MapParam &p : item.params)
    for (const ExprPtr &a : p.type.axes)
      if (a->kind == ExprKind::Binary && a->text == "=")
        relations.push_back(a.get());
  for (const Expr *relation : relations)
    if (!splitAxis(*relation, bound, *scope))
      return std::nullopt;
  for (const ExprPtr &a : item.type.axes)
    if (a->kind == ExprKind::Binary && a->text == "=" && !joinedAxis(*a, bound, context))
      return std::nullopt;
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
      continue; // checked by itself
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

namespace {

/// The terms of R + P; `label` of `lo: F`.
std::vector<std::pair<const Expr *, const Expr *>> termsOf(const Expr &sum) {
  std::vector<std::pair<const Expr *, const Expr *>> terms;
  const Expr *rest = &sum;
  auto add = [&](const Expr *t) {
    bool labelled = t->kind == ExprKind::Labelled;
    terms.insert(terms.begin(), {labelled ? t->children[0].get() : nullptr, labelled ? t->children[1].get() : t});
  };
  while (rest->kind == ExprKind::Binary && rest->text == "+") {
    add(rest->children[1].get());
    rest = rest->children[0].get();
  }
  add(rest);
  return terms;
}

} // namespace

/// `D = lo: F + hi: F` of a parameter: the parts of the caller's axis, or equal shares of it.
bool Analyzer::splitAxis(const Expr &relation, std::map<std::string, AxisId> &bound, Scope &scope) {
  const Expr &name = *relation.children[0];
  auto whole = bound.find(name.text);
  if (whole == bound.end())
    return true; // an option or default has it
  auto terms = termsOf(*relation.children[1]);
  bool equal = true;
  for (const auto &[label, term] : terms) {
    if (term->kind != ExprKind::Name || terms.size() < 2) {
      notYet(relation.span, "this relation of a parameter's axis", "works now: D = lo: F + hi: F");
      return false;
    }
    equal &= term->text == terms[0].second->text;
  }
  AxisId id = whole->second;
  std::vector<AxisId> parts = attention_.axes[id].parts;
  bool fits = attention_.axes[id].relation == AxisRelation::Concat && parts.size() == terms.size();
  std::map<std::string, AxisId> found;
  for (size_t k = 0; k < terms.size() && fits; ++k) {
    auto known = bound.find(terms[k].second->text);
    fits = found.emplace(terms[k].second->text, parts[k]).first->second == parts[k] &&
           (known == bound.end() || known->second == parts[k]);
  }
  if (!fits && !equal) {
    error(relation.span, "axis " + quoted(axisName(id)) + " of the caller has not these parts",
          "expected an axis declared as their sum");
    return false;
  }
  if (!fits) {
    std::optional<AxisId> share = shareAxis(id, static_cast<int64_t>(terms.size()), relation.span);
    if (!share)
      return false;
    found = {{terms[0].second->text, *share}};
    parts.assign(terms.size(), *share);
  }
  for (const auto &[text, part] : found)
    bound.emplace(text, part);
  for (size_t k = 0; k < terms.size(); ++k)
    if (terms[k].first) {
      Symbol s;
      s.kind = Symbol::Kind::Part;
      s.what = "part";
      s.used = true;
      s.axis = id;
      s.part = k;
      s.partAxes = parts;
      declare(scope, {terms[k].first->text, terms[k].first->span}, std::move(s));
    }
  return true;
}

/// `F = E + E` of a result: the caller's axis of these parts, or a new one.
bool Analyzer::joinedAxis(const Expr &relation, std::map<std::string, AxisId> &bound, const Context &context) {
  const Expr &name = *relation.children[0];
  std::vector<AxisId> parts;
  for (const auto &[label, term] : termsOf(*relation.children[1])) {
    auto of = [&](const Expr &e) {
      auto it = bound.find(e.text);
      return it != bound.end() ? std::optional(it->second) : axis(e, context);
    };
    const Expr &value = bare(*term);
    std::optional<AxisId> part;
    if (auto pair = pairOf(value)) {
      std::optional<AxisId> first = of(*pair->first), second = of(*pair->second);
      part = first && second ? outerAxis(*first, *second, value.span) : std::nullopt;
    } else if (std::optional<int64_t> size = sizeFromText(value.text, ""); size && value.kind == ExprKind::Number) {
      part = numberAxis(*size, value.span);
    } else if (value.kind == ExprKind::Name) {
      part = of(value);
    } else {
      notYet(term->span, "this part of a result's axis",
             "works now: names of axes, numbers and products of two axes, as in F = 1 + D + D * D");
      return false;
    }
    if (!part)
      return false;
    if (attention_.axes[*part].relation == AxisRelation::Factor) {
      notYet(term->span, "a factor axis as a part");
      return false;
    }
    parts.push_back(*part);
  }
  if (bound.count(name.text))
    return true;
  if (parts.size() == 1) {
    bound.emplace(name.text, parts[0]);
    return true;
  }
  std::optional<AxisId> whole = concatAxis(name.text, parts, relation.span);
  if (whole)
    bound.emplace(name.text, *whole);
  return whole.has_value();
}

/// Declares the parameters as inputs on their own axes, with `batch` axes in front.
bool Analyzer::declareParameters(const Item &item, const std::vector<AxisId> &batch) {
  for (const syntax::MapParam &p : item.params)
    for (const ExprPtr &a : p.type.axes) {
      const Expr &name = a->kind == ExprKind::Binary && a->text == "=" ? *a->children[0] : *a;
      if (name.kind != ExprKind::Name || scope_.own(name.text))
        continue;
      Axis axis;
      axis.name = name.text;
      axis.span = name.span;
      Symbol s;
      s.kind = Symbol::Kind::Axis;
      s.what = "axis";
      s.used = true;
      Symbol *declared = declare(scope_, {name.text, name.span}, std::move(s));
      if (!declared)
        continue;
      AxisId id = makeAxis(std::move(axis));
      declared->axis = id;
      // Different parts are axes of their own; equal ones are shares, made where the map is read.
      if (&name == a.get())
        continue;
      auto terms = termsOf(*a->children[1]);
      bool equal = true;
      for (const auto &[label, term] : terms)
        equal &= term->kind == ExprKind::Name && term->text == terms[0].second->text;
      for (const auto &[label, term] : terms)
        if (!equal && term->kind == ExprKind::Name) {
          std::optional<AxisId> part = relatedAxis(*term, id, true);
          if (!part)
            return false;
          attention_.axes[id].parts.push_back(*part);
        }
      if (attention_.axes[id].parts.size() == terms.size())
        attention_.axes[id].relation = AxisRelation::Concat;
      else
        attention_.axes[id].parts.clear();
    }
  deriveSizes();
  std::map<std::string, AxisId> own;
  for (const auto &[text, s] : scope_.symbols)
    if (s.kind == Symbol::Kind::Axis)
      own[text] = s.axis;
  for (const ExprPtr &a : item.type.axes)
    if (a->kind == ExprKind::Binary && a->text == "=" && a->children[0]->kind == ExprKind::Name) {
      const Expr &name = *a->children[0];
      if (!joinedAxis(*a, own, {&scope_, nullptr, false}))
        return false;
      Symbol s;
      s.kind = Symbol::Kind::Axis;
      s.what = "axis";
      s.used = true;
      if (Symbol *declared = declare(scope_, {name.text, name.span}, std::move(s)))
        declared->axis = own.at(name.text);
    }
  for (const syntax::MapParam &p : item.params)
    if (!p.isOption && !(p.defaultValue && !batch.empty()) && !declareParameter(p, p.name, batch))
      return false;
  return !failed_;
}

bool Analyzer::declareParameter(const syntax::MapParam &p, const Identifier &name, const std::vector<AxisId> &batch) {
  Declaration d;
  if (p.type.element && p.type.element.text == "int") {
    d.kind = Kind::Int;
    d.type = StorageType::I32;
  } else if (p.type.element && p.type.element.text != "real" && !elementType(p.type, d.type, d.kind)) {
    return false;
  }
  Context context{&scope_, nullptr, false};
  d.declaredAxes = d.axes = batch;
  for (const ExprPtr &a : p.type.axes) {
    const Expr &axisText = a->kind == ExprKind::Binary && a->text == "=" ? *a->children[0] : *a;
    std::optional<AxisId> id = axis(axisText, context);
    if (!id)
      return false;
    d.declaredAxes.push_back(*id);
    d.axes.push_back(*id);
  }
  d.name = name.text;
  d.span = name.span;
  std::vector<AxisId> axes = d.axes;
  Kind kind = d.kind;
  attention_.declarations.push_back(std::move(d));
  DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
  graph_.here = name.span;
  Symbol s;
  s.kind = Symbol::Kind::Field;
  s.what = "parameter";
  s.used = true;
  s.node = graph_.input(id, axes, kind);
  attention_.declarations[id].node = s.node;
  return declare(scope_, name, std::move(s)) != nullptr;
}

/// The map's value for its own parameters; options as chosen.
Value Analyzer::ownValue(const Item &item, const std::map<std::string, std::string> &chosen) {
  auto named = [](const Identifier &name, const std::string &text) {
    auto e = std::make_unique<Expr>();
    e->kind = ExprKind::Name;
    e->text = text;
    e->span = e->nameSpan = name.span;
    return e;
  };
  auto call = std::make_unique<Expr>();
  call->kind = ExprKind::Call;
  call->span = item.names[0].span;
  call->children.push_back(named(item.names[0], item.names[0].text));
  for (const syntax::MapParam &p : item.params) {
    auto choice = chosen.find(p.name.text);
    if (p.isOption ? choice == chosen.end() : !scope_.own(p.name.text))
      continue;
    auto labelled = std::make_unique<Expr>();
    labelled->kind = ExprKind::Labelled;
    labelled->span = p.name.span;
    labelled->children.push_back(named(p.name, p.name.text));
    labelled->children.push_back(named(p.name, p.isOption ? choice->second : p.name.text));
    call->children.push_back(std::move(labelled));
  }
  Symbol map;
  map.kind = Symbol::Kind::Map;
  map.name = item.names[0].text;
  map.item = &item;
  map.scope = &unit_.scope;
  Context context{&scope_, nullptr, false};
  Value v = inlineMap(map, *call, nullptr, context);
  calls_.push_back(std::move(call)); // messages may name its parts
  return v;
}

void Analyzer::checkMap(const Item &item) {
  item_ = nullptr;
  scope_.parent = &unit_.scope;
  if (declareParameters(item, {}))
    ownValue(item, {});
}

void Analyzer::addOutput(const std::string &name, NodeId v, Span span) {
  Declaration d;
  d.name = name;
  d.role = Role::Output;
  d.axes = graph_[v].axes;
  outputOrder(d.axes);
  d.declaredAxes = d.axes;
  d.kind = graph_[v].kind;
  d.type = d.kind == Kind::Int ? StorageType::I32 : StorageType::Default;
  d.span = span;
  std::vector<AxisId> axes = d.axes;
  attention_.declarations.push_back(std::move(d));
  DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
  graph_.here = span;
  attention_.declarations[id].node = graph_.output(id, axes, v);
}

/// Names of an expression that mean nothing here.
void Analyzer::freeNames(const Expr &e, Scope &scope, std::vector<Identifier> &into) {
  if (e.kind == ExprKind::Name && !lookup(&scope, e.text) && !isFunction(e.text) && e.text != "inf" &&
      e.text != "true" && e.text != "false") {
    for (const Identifier &known : into)
      if (known.text == e.text)
        return;
    into.push_back({e.text, e.span});
    return;
  }
  size_t first = e.kind == ExprKind::Labelled ? 1 : 0;
  if (e.kind == ExprKind::Call && e.children[0]->kind == ExprKind::Subscript)
    first = 1; // the brackets of a function hold axes
  if (e.kind == ExprKind::LetIn) {
    freeNames(*e.children[0], scope, into);
    std::vector<Identifier> inside;
    freeNames(*e.children[1], scope, inside);
    for (const Identifier &name : inside) {
      bool known = name.text == e.text;
      for (const Identifier &other : into)
        known |= other.text == name.text;
      if (!known)
        into.push_back(name);
    }
    return;
  }
  for (size_t k = first; k < e.children.size(); ++k)
    freeNames(*e.children[k], scope, into);
}

std::optional<Attention> Analyzer::mapAttention(const Item &item, const Item *law,
                                                const std::map<std::string, std::string> &chosen) {
  item_ = nullptr;
  attention_.name = item.names[0].text;
  attention_.span = law ? law->span : item.span;
  scope_.parent = &unit_.scope;
  // The batch axes get names that the map does not use.
  std::set<std::string> names;
  for (const syntax::MapParam &p : item.params) {
    names.insert(p.name.text);
    for (const ExprPtr &a : p.type.axes)
      if (a->kind == ExprKind::Name)
        names.insert(a->text);
  }
  std::vector<AxisId> batch;
  for (std::string name : {"B", "T"}) {
    while (names.count(name))
      name += "_";
    Axis axis;
    axis.name = name;
    axis.span = item.names[0].span;
    batch.push_back(makeAxis(std::move(axis)));
  }
  if (!declareParameters(item, batch))
    return std::nullopt;
  if (!law) {
    Value v = ownValue(item, chosen);
    if (!v)
      return std::nullopt;
    addOutput("value", *v, item.names[0].span);
  } else {
    // Other names of a law are arrays like the first parameter.
    std::vector<Identifier> free;
    for (const ExprPtr &side : law->values)
      freeNames(*side, scope_, free);
    const syntax::MapParam *like = nullptr;
    for (const syntax::MapParam &p : item.params)
      if (!p.isOption && !like)
        like = &p;
    for (const Identifier &name : free)
      if (!like || !declareParameter(*like, name, batch))
        return std::nullopt;
    Context context{&scope_, nullptr, false};
    const char *sides[] = {"left", "right"};
    for (size_t k = 0; k < 2; ++k) {
      Value v = evalNumber(*law->values[k], context);
      if (!v)
        return std::nullopt;
      addOutput(sides[k], *v, law->values[k]->span);
    }
    // A law need not use every parameter.
    std::vector<bool> live = reachableFromOutputs();
    for (size_t d = attention_.declarations.size(); d-- > 0;)
      if (attention_.declarations[d].role != Role::Output && !live[attention_.declarations[d].node])
        dropDeclaration(static_cast<DeclId>(d));
  }
  if (failed_)
    return std::nullopt;
  finish();
  return std::move(attention_);
}

/// Removes a declaration that no output reads.
void Analyzer::dropDeclaration(DeclId dropped) {
  attention_.declarations.erase(attention_.declarations.begin() + dropped);
  for (Node &n : attention_.nodes)
    if ((n.op == Op::Input || n.op == Op::Output) && n.declaration > dropped)
      --n.declaration;
}

std::vector<bool> Analyzer::reachableFromOutputs() const {
  std::vector<bool> live(attention_.nodes.size(), false);
  for (const Declaration &d : attention_.declarations)
    if (d.role == Role::Output)
      live[d.node] = true;
  for (size_t k = live.size(); k-- > 0;)
    if (live[k])
      for (NodeId o : attention_.nodes[k].operands)
        live[o] = true;
  return live;
}

} // namespace fovea::sema::internal
