// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Names and axes: declarations, relations, sizes.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <cstdlib>

namespace fovea::sema::internal {

Symbol *Analyzer::declare(Scope &scope, const Identifier &name, Symbol symbol) {
  if (!name)
    return nullptr;
  if (Symbol *old = scope.own(name.text)) {
    errorWithNote(name.span, quoted(name.text) + " is declared twice",
                  "axes, tensors, options and maps share one namespace", old->span,
                  "it is " + std::string(old->what.find_first_of("aeiou") == 0 ? "an " : "a ") + old->what +
                      " already");
    return nullptr;
  }
  symbol.name = name.text;
  symbol.span = name.span;
  return &scope.symbols.emplace(name.text, std::move(symbol)).first->second;
}

std::string Analyzer::nearName(const std::string &name, const Context &context, bool called) {
  std::vector<std::string> names;
  for (Scope *s = context.scope; s; s = s->parent)
    for (const auto &[n, symbol] : s->symbols)
      names.push_back(n);
  if (called) {
    std::vector<std::string> functions = functionNames();
    names.insert(names.end(), functions.begin(), functions.end());
  }
  return syntax::closest(name, names);
}

const Item *Analyzer::laterDeclaration(const std::string &name) const {
  if (item_)
    for (const Item &item : item_->body)
      for (const Identifier &n : item.names)
        if (n.text == name)
          return &item;
  return nullptr;
}

Value Analyzer::unknown(const Expr &e, const Context &context, bool called) {
  failed_ = true;
  if ((e.text == "i" || e.text == "j") && !called) {
    error(e.span, quoted(e.text) + " has a meaning only in a walk",
          std::string(e.text == "i" ? "the query's" : "the key's") +
              " position: in the fields of 'weights', in p(..), or in 'let name(i, j) = ..'");
    return std::nullopt;
  }
  if (session_.poisoned)
    return std::nullopt;
  if (const Item *later = laterDeclaration(e.text)) {
    errorWithNote(e.span, quoted(e.text) + " is used before its definition", "", later->span, "defined here");
    return std::nullopt;
  }
  if (!called && isFunction(e.text)) {
    error(e.span, quoted(e.text) + " is a function", "expected its arguments");
    return std::nullopt;
  }
  error(e.span, std::string(called ? "unknown function " : "unknown name ") + quoted(e.text), "",
        nearName(e.text, context, called));
  return std::nullopt;
}

std::string Analyzer::sourceText(Span span) const {
  if (!span.valid())
    return "";
  std::string_view all = session_.diagnostics.sources.text(span.file);
  std::string t;
  for (char c : all.substr(span.begin, span.end - span.begin)) {
    bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!blank)
      t += c;
    else if (!t.empty() && t.back() != ' ')
      t += ' ';
  }
  return t.size() > 60 ? t.substr(0, 57) + "..." : t;
}

AxisId Analyzer::makeAxis(Axis axis) {
  attention_.axes.push_back(std::move(axis));
  return static_cast<AxisId>(attention_.axes.size() - 1);
}

std::string Analyzer::axesText(const std::vector<AxisId> &axes) const {
  std::vector<AxisId> grouped;
  regroup(axes, grouped);
  std::string out = "[";
  for (size_t k = 0; k < grouped.size(); ++k)
    out += (k ? ", " : "") + axisName(grouped[k]);
  return out + "]";
}

void Analyzer::declareAxes(const Item &item) {
  for (const syntax::AxisSpec &spec : item.axes) {
    Axis a;
    a.name = spec.name.text;
    a.span = spec.name.span;
    Symbol s;
    s.kind = Symbol::Kind::Axis;
    s.what = "axis";
    if (Symbol *declared = declare(scope_, spec.name, std::move(s)))
      declared->axis = makeAxis(std::move(a));
  }
}

void Analyzer::relateAxes(const Item &item) {
  for (const syntax::AxisSpec &spec : item.axes) {
    Symbol *symbol = scope_.own(spec.name.text);
    if (!symbol || symbol->kind != Symbol::Kind::Axis || !(symbol->span == spec.name.span))
      continue;
    AxisId id = symbol->axis;
    if (spec.alignment) {
      if (spec.alignment.text != "start" && spec.alignment.text != "end")
        error(spec.alignment.span, "unknown alignment " + quoted(spec.alignment.text), "expected 'start' or 'end'",
              syntax::closest(spec.alignment.text, {"start", "end"}));
      else if (spec.alignment.text == "start")
        alignStart_.insert(id);
    }
    if (spec.keys) {
      Symbol *query = lookup(&scope_, spec.keys.text);
      if (!query || query->kind != Symbol::Kind::Axis) {
        if (query && query->kind == Symbol::Kind::Poison)
          continue;
        std::vector<std::string> names;
        for (const auto &[n, s] : scope_.symbols)
          if (s.kind == Symbol::Kind::Axis)
            names.push_back(n);
        error(spec.keys.span, "unknown axis " + quoted(spec.keys.text), "expected the axis of the queries",
              syntax::closest(spec.keys.text, names));
        continue;
      }
      if (query->axis == id) {
        error(spec.keys.span, "an axis cannot hold the keys of itself", "self-attention walks the axis itself");
        continue;
      }
      query->used = true;
      attention_.axes[id].relation = AxisRelation::Keys;
      attention_.axes[id].query = query->axis;
      continue;
    }
    if (!spec.relation)
      continue;
    const Expr &r = bare(*spec.relation);
    if (r.kind == ExprKind::Error)
      continue;
    if (r.kind == ExprKind::Number) {
      std::optional<int64_t> size = sizeFromText(r.text, spec.name.text);
      if (!size) {
        error(r.span, "an axis cannot have the size " + r.text, "expected a whole number from 1 to 2147483647");
        continue;
      }
      attention_.axes[id].size = size;
      attention_.axes[id].isStatic = true;
      continue;
    }
    if ((r.kind == ExprKind::Binary && r.text == "/") || r.kind == ExprKind::Call) {
      if (!relateBlocks(id, r)) {
        symbol->kind = Symbol::Kind::Poison;
        poisonNames(r);
      }
      continue;
    }
    if (r.kind == ExprKind::Binary && r.text == "+") {
      if (!relateConcat(id, r)) {
        symbol->kind = Symbol::Kind::Poison;
        poisonNames(r);
      }
      continue;
    }
    // H = Hk * G
    std::vector<const Expr *> factors;
    const Expr *rest = &r;
    bool product = true;
    while (rest->kind == ExprKind::Binary && rest->text == "*") {
      factors.insert(factors.begin(), rest->children[1].get());
      rest = rest->children[0].get();
    }
    factors.insert(factors.begin(), rest);
    for (const Expr *f : factors)
      product &= f->kind == ExprKind::Name;
    if (!product || factors.size() < 2) {
      notYet(r.span, "this relation of axes",
             "works now: a number, H = Hk * G, E = R + P, Sb = S / 64, Sc = windows(S, 32, step: 16)");
      symbol->kind = Symbol::Kind::Poison;
      poisonNames(r);
      continue;
    }
    std::vector<AxisId> ids;
    bool good = true;
    for (const Expr *f : factors) {
      Symbol *known = lookup(&scope_, f->text);
      if (!known) {
        Axis a;
        a.name = f->text;
        a.span = f->span;
        Symbol s;
        s.kind = Symbol::Kind::Axis;
        s.what = "axis";
        s.used = true;
        known = declare(scope_, {f->text, f->span}, std::move(s));
        known->axis = makeAxis(std::move(a));
      }
      if (known->kind != Symbol::Kind::Axis) {
        errorWithNote(f->span, quoted(f->text) + " is no axis", "", known->span, "it is declared here");
        good = false;
        break;
      }
      if (known->axis == id || std::find(ids.begin(), ids.end(), known->axis) != ids.end()) {
        error(f->span,
              "axis " + quoted(f->text) + (known->axis == id ? " is a factor of itself" : " is a factor twice"));
        good = false;
        break;
      }
      known->used = true;
      ids.push_back(known->axis);
    }
    if (!good)
      continue;
    attention_.axes[id].relation = AxisRelation::Factor;
    attention_.axes[id].factors = std::move(ids);
  }
}

/// The axis that a relation names. `declares`: a new name is a new axis.
std::optional<AxisId> Analyzer::relatedAxis(const Expr &e, AxisId of, bool declares) {
  Symbol *known = lookup(&scope_, e.text);
  if (!known && declares) {
    Axis a;
    a.name = e.text;
    a.span = e.span;
    Symbol s;
    s.kind = Symbol::Kind::Axis;
    s.what = "axis";
    s.used = true;
    known = declare(scope_, {e.text, e.span}, std::move(s));
    known->axis = makeAxis(std::move(a));
  }
  if (!known) {
    std::vector<std::string> names;
    for (const auto &[n, s] : scope_.symbols)
      if (s.kind == Symbol::Kind::Axis)
        names.push_back(n);
    error(e.span, "unknown axis " + quoted(e.text), "declare it with 'axis " + e.text + "'",
          syntax::closest(e.text, names));
    return std::nullopt;
  }
  if (known->kind == Symbol::Kind::Poison)
    return std::nullopt;
  if (known->kind != Symbol::Kind::Axis) {
    errorWithNote(e.span, quoted(e.text) + " is no axis", "", known->span, "it is declared here");
    return std::nullopt;
  }
  if (known->axis == of) {
    error(e.span, "axis " + quoted(e.text) + " is made of itself");
    return std::nullopt;
  }
  known->used = true;
  return known->axis;
}

/// A number, or a const of the attention that has one.
std::optional<int64_t> Analyzer::extentOf(const Expr &e) {
  std::string value = e.text;
  if (e.kind == ExprKind::Name && item_) {
    auto set = session_.options.sets.find(e.text);
    value.clear();
    for (const Item &item : item_->body)
      for (size_t k = 0; k < item.names.size() && item.kind == ItemKind::Const; ++k)
        if (item.names[k].text == e.text && !item.values.empty()) {
          const Expr &given = *item.values[std::min(k, item.values.size() - 1)];
          extents_.insert(e.text);
          value = set != session_.options.sets.end() ? set->second : given.kind == ExprKind::Number ? given.text : "";
        }
  } else if (e.kind != ExprKind::Number) {
    value.clear();
  }
  std::optional<int64_t> size = sizeFromText(value, e.text);
  if (!size)
    error(e.span, "expected a whole number from 1 to 2147483647", "a number, or a const that has one by its text");
  return size;
}

/// S / 64, windows(S, 32, step: 16)
bool Analyzer::relateBlocks(AxisId id, const Expr &r) {
  const Expr *raw = nullptr, *extent = nullptr, *step = nullptr;
  bool windows = r.kind == ExprKind::Call;
  if (!windows) {
    raw = r.children[0].get();
    extent = r.children[1].get();
  } else {
    bool good = r.children[0]->kind == ExprKind::Name && r.children[0]->text == "windows";
    for (size_t k = 1; k < r.children.size(); ++k) {
      const Expr &a = *r.children[k];
      if (a.kind == ExprKind::Labelled && a.children[0]->text == "step" && !step)
        step = a.children[1].get();
      else if (a.kind == ExprKind::Labelled || extent)
        good = false;
      else
        (raw ? extent : raw) = &a;
    }
    if (!good || !extent) {
      error(r.span, "unknown relation of axes", "expected such as 'windows(S, 32, step: 16)'");
      return false;
    }
  }
  if (raw->kind != ExprKind::Name) {
    error(raw->span, "expected the name of the axis that has " + std::string(windows ? "windows" : "blocks"));
    return false;
  }
  std::optional<AxisId> of = relatedAxis(*raw, id, false);
  std::optional<int64_t> length = extentOf(*extent), stride = step ? extentOf(*step) : length;
  if (!of || !length || !stride)
    return false;
  Axis &a = attention_.axes[id];
  a.relation = windows ? AxisRelation::Windows : AxisRelation::Blocks;
  a.raw = *of;
  a.extent = *length;
  a.step = *stride;
  return true;
}

/// R + P, lo: F + hi: F
bool Analyzer::relateConcat(AxisId id, const Expr &r) {
  std::vector<const Expr *> terms;
  const Expr *rest = &r;
  while (rest->kind == ExprKind::Binary && rest->text == "+") {
    terms.insert(terms.begin(), rest->children[1].get());
    rest = rest->children[0].get();
  }
  terms.insert(terms.begin(), rest);
  std::vector<AxisId> parts;
  for (size_t k = 0; k < terms.size(); ++k) {
    const Expr &t = *terms[k];
    const Expr &value = bare(t.kind == ExprKind::Labelled ? *t.children[1] : t);
    if (value.kind == ExprKind::Number) {
      std::optional<int64_t> size = sizeFromText(value.text, "");
      if (!size) {
        error(value.span, "an axis cannot have the size " + value.text, "expected a whole number from 1 to 2147483647");
        return false;
      }
      parts.push_back(numberAxis(*size, value.span));
      continue;
    }
    if (auto pair = pairOf(value)) {
      std::optional<AxisId> first = relatedAxis(*pair->first, id, true), second = relatedAxis(*pair->second, id, true);
      std::optional<AxisId> part = first && second ? outerAxis(*first, *second, value.span) : std::nullopt;
      if (!part)
        return false;
      parts.push_back(*part);
      continue;
    }
    if (value.kind != ExprKind::Name) {
      notYet(value.span, "this part of an axis",
             "works now: names of axes, numbers and products of two axes, as in E = R + P and F = 1 + D + D * D");
      return false;
    }
    std::optional<AxisId> part = relatedAxis(value, id, true);
    if (!part)
      return false;
    parts.push_back(*part);
  }
  attention_.axes[id].relation = AxisRelation::Concat;
  attention_.axes[id].parts = std::move(parts);
  for (size_t k = 0; k < terms.size(); ++k)
    if (terms[k]->kind == ExprKind::Labelled) {
      Symbol s;
      s.kind = Symbol::Kind::Part;
      s.what = "part";
      s.axis = id;
      s.part = k;
      s.used = true;
      declare(scope_, {terms[k]->children[0]->text, terms[k]->children[0]->span}, std::move(s));
    }
  return true;
}

AxisId Analyzer::numberAxis(int64_t size, Span span) {
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (attention_.axes[a].name == "of_" + std::to_string(size) && attention_.axes[a].size == size)
      return a;
  Axis fresh;
  fresh.name = uniqueWalkName("of_" + std::to_string(size));
  fresh.size = size;
  fresh.isStatic = true;
  fresh.span = span;
  return makeAxis(std::move(fresh));
}

std::optional<AxisId> Analyzer::outerAxis(AxisId first, AxisId second, Span span) {
  for (AxisId of : {first, second})
    if (AxisRelation relation = attention_.axes[of].relation;
        relation != AxisRelation::Plain && relation != AxisRelation::Share) {
      notYet(span, "a product of axes as a part, where " + quoted(axisName(of)) + " is made of others");
      return std::nullopt;
    }
  const std::vector<AxisId> parts{first, second};
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (attention_.axes[a].relation == AxisRelation::Outer && attention_.axes[a].parts == parts)
      return a;
  Axis fresh;
  fresh.name = uniqueWalkName(attention_.axes[first].name + "_" + attention_.axes[second].name);
  fresh.relation = AxisRelation::Outer;
  fresh.parts = parts;
  fresh.span = span;
  std::optional<int64_t> rows = attention_.axes[first].size, columns = attention_.axes[second].size;
  if (rows && columns) {
    if (*rows > kMaxSize / *columns) {
      error(span, "the size of axis " + quoted(fresh.name) + " is larger than 2147483647");
      return std::nullopt;
    }
    fresh.size = *rows * *columns;
  }
  return makeAxis(std::move(fresh));
}

/// The axis of these parts: a declared one, or a new one.
std::optional<AxisId> Analyzer::concatAxis(const std::string &name, const std::vector<AxisId> &parts, Span span) {
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (attention_.axes[a].relation == AxisRelation::Concat && attention_.axes[a].parts == parts)
      return a;
  Axis fresh;
  fresh.name = uniqueWalkName(name);
  fresh.relation = AxisRelation::Concat;
  fresh.parts = parts;
  fresh.span = span;
  int64_t sum = 0;
  for (AxisId p : parts) {
    if (!attention_.axes[p].size)
      sum = -1;
    else if (sum >= 0)
      sum += *attention_.axes[p].size;
  }
  if (sum > kMaxSize) {
    error(span, "the size of axis " + quoted(fresh.name) + " is larger than 2147483647");
    return std::nullopt;
  }
  if (sum > 0)
    fresh.size = sum;
  return makeAxis(std::move(fresh));
}

/// An equal share of an axis; with divisor 1 the axis again, under another name.
std::optional<AxisId> Analyzer::shareAxis(AxisId raw, int64_t divisor, Span span) {
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (attention_.axes[a].relation == AxisRelation::Share && attention_.axes[a].raw == raw &&
        attention_.axes[a].divisor == divisor)
      return a;
  const std::vector<AxisId> &parts = attention_.axes[raw].parts;
  if (!parts.empty()) {
    bool equal = static_cast<int64_t>(parts.size()) == divisor;
    for (AxisId p : parts)
      equal &= p == parts[0];
    if (equal)
      return parts[0];
    notYet(span, "equal shares of an axis that is made of others", quoted(axisName(raw)) + " is a sum of axes");
    return std::nullopt;
  }
  std::optional<int64_t> size = attention_.axes[raw].size;
  if (size && *size % divisor != 0) {
    error(span, "axis " + quoted(axisName(raw)) + " has the size " + std::to_string(*size) + ", which has no " +
                    std::to_string(divisor) + " equal shares");
    return std::nullopt;
  }
  Axis fresh;
  const char *suffix = divisor == 1 ? "_again" : divisor == 2 ? "_half" : "_share";
  fresh.name = uniqueWalkName(attention_.axes[raw].name + suffix);
  fresh.relation = AxisRelation::Share;
  fresh.raw = raw;
  fresh.divisor = divisor;
  fresh.span = span;
  if (size)
    fresh.size = *size / divisor;
  return makeAxis(std::move(fresh));
}

/// The names in a relation that is not read here: axes that it would declare.
void Analyzer::poisonNames(const Expr &e) {
  if (e.kind == ExprKind::Name && !lookup(&scope_, e.text)) {
    Symbol s;
    s.what = "axis";
    s.used = true;
    declare(scope_, {e.text, e.span}, std::move(s));
  }
  if (e.kind == ExprKind::Binary || e.kind == ExprKind::Paren)
    for (const ExprPtr &c : e.children)
      poisonNames(*c);
  if (e.kind == ExprKind::Labelled) {
    poisonNames(*e.children[0]);
    poisonNames(*e.children[1]);
  }
}

std::optional<int64_t> Analyzer::sizeFromText(const std::string &text, const std::string &) {
  if (text.empty() || text.size() > 10 || text.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  int64_t value = std::strtoll(text.c_str(), nullptr, 10);
  if (value < 1 || value > kMaxSize)
    return std::nullopt;
  return value;
}

void Analyzer::deriveSizes() {
  // Factors of factors, outermost first; a cycle is an error.
  for (AxisId id = 0; id < attention_.axes.size(); ++id) {
    for (unsigned round = 0; attention_.axes[id].relation == AxisRelation::Factor; ++round) {
      std::vector<AxisId> flat;
      bool changed = false;
      for (AxisId f : attention_.axes[id].factors) {
        const Axis &a = attention_.axes[f];
        if (a.relation == AxisRelation::Factor) {
          changed = true;
          flat.insert(flat.end(), a.factors.begin(), a.factors.end());
        } else {
          flat.push_back(f);
        }
      }
      std::set<AxisId> distinct(flat.begin(), flat.end());
      if (distinct.size() != flat.size() || distinct.count(id) || round > 64 || flat.size() > 64) {
        error(attention_.axes[id].span, "the factors of axis " + quoted(axisName(id)) + " repeat");
        attention_.axes[id].relation = AxisRelation::Plain;
        attention_.axes[id].factors.clear();
        break;
      }
      attention_.axes[id].factors = std::move(flat);
      if (!changed)
        break;
    }
  }
  for (Axis &a : attention_.axes) {
    auto it = session_.options.sets.find(a.name);
    if (it == session_.options.sets.end())
      continue;
    session_.knownSets.insert(a.name);
    std::optional<int64_t> size = sizeFromText(it->second, a.name);
    if (!size) {
      error(a.span, "axis " + quoted(a.name) + " cannot have the size '" + it->second + "'",
            "--set " + a.name + "=.. takes a whole number from 1 to 2147483647");
      continue;
    }
    if (a.size && *a.size != *size) {
      error(a.span, "axis " + quoted(a.name) + " has the size " + std::to_string(*a.size) + " here",
            "--set gives " + std::to_string(*size));
      continue;
    }
    a.size = size;
  }
  // Axes that are made of each other have no size.
  for (AxisId id = 0; id < attention_.axes.size(); ++id) {
    std::set<AxisId> seen;
    std::vector<AxisId> stack{id};
    while (!stack.empty()) {
      const Axis &a = attention_.axes[stack.back()];
      stack.pop_back();
      std::vector<AxisId> from = a.parts.empty() ? a.factors : a.parts;
      if (a.relation == AxisRelation::Blocks || a.relation == AxisRelation::Windows)
        from = {a.raw};
      for (AxisId f : from)
        if (f == id) {
          error(attention_.axes[id].span, "axis " + quoted(axisName(id)) + " is made of itself");
          attention_.axes[id].relation = AxisRelation::Plain;
          attention_.axes[id].parts.clear();
          return;
        } else if (seen.insert(f).second) {
          stack.push_back(f);
        }
    }
  }
  for (Axis &a : attention_.axes) {
    bool ofAxis = a.relation == AxisRelation::Blocks || a.relation == AxisRelation::Windows;
    AxisRelation of = ofAxis ? attention_.axes[a.raw].relation : AxisRelation::Plain;
    if (of != AxisRelation::Plain && of != AxisRelation::Keys) {
      notYet(a.span, "blocks of an axis that is made of others");
      a.relation = AxisRelation::Plain;
    }
    if (a.relation == AxisRelation::Concat)
      for (AxisId p : a.parts)
        if (attention_.axes[p].relation == AxisRelation::Factor) {
          notYet(a.span, "a factor axis as a part of " + quoted(a.name));
          a.relation = AxisRelation::Plain;
          a.parts.clear();
          break;
        }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (Axis &a : attention_.axes) {
      std::optional<int64_t> derived;
      std::optional<int64_t> raw = attention_.axes[a.raw].size;
      if (a.relation == AxisRelation::Blocks && raw)
        derived = (*raw + a.extent - 1) / a.extent;
      if (a.relation == AxisRelation::Windows && raw)
        derived = *raw < a.extent ? 0 : (*raw - a.extent) / a.step + 1;
      if (a.relation == AxisRelation::Outer && attention_.axes[a.parts[0]].size && attention_.axes[a.parts[1]].size) {
        int64_t rows = *attention_.axes[a.parts[0]].size, columns = *attention_.axes[a.parts[1]].size;
        if (rows > kMaxSize / columns) {
          error(a.span, "the size of axis " + quoted(a.name) + " is larger than 2147483647");
          return;
        }
        derived = rows * columns;
      }
      if (a.relation == AxisRelation::Concat) {
        int64_t sum = 0;
        Axis *open = nullptr;
        bool many = false;
        for (AxisId p : a.parts) {
          Axis &part = attention_.axes[p];
          if (!part.size) {
            many |= open != nullptr;
            open = &part;
          } else {
            sum += *part.size;
          }
        }
        if (!open) {
          derived = sum;
        } else if (a.size && !many && *a.size > sum) {
          open->size = *a.size - sum;
          changed = true;
        } else if (a.size && !many) {
          error(a.span, "axis " + quoted(a.name) + " has the size " + std::to_string(*a.size) +
                            ", which leaves nothing for " + quoted(open->name));
          return;
        }
        if (derived && *derived > kMaxSize) {
          error(a.span, "the size of axis " + quoted(a.name) + " is larger than 2147483647");
          return;
        }
      }
      if (derived && a.size && *a.size != *derived) {
        error(a.span, "axis " + quoted(a.name) + " has the size " + std::to_string(*a.size) +
                          ", but its relation gives " + std::to_string(*derived));
        return;
      }
      if (derived && !a.size) {
        a.size = derived;
        changed = true;
      }
      if (a.relation != AxisRelation::Factor)
        continue;
      int64_t product = 1;
      Axis *open = nullptr;
      bool many = false;
      for (AxisId f : a.factors) {
        Axis &factor = attention_.axes[f];
        if (!factor.size) {
          many |= open != nullptr;
          open = &factor;
        } else if (__builtin_mul_overflow(product, *factor.size, &product) || product > kMaxSize) {
          error(a.span, "the size of axis " + quoted(a.name) + " is larger than 2147483647");
          return;
        }
      }
      if (!open && !a.size) {
        a.size = product;
        changed = true;
      } else if (!open && *a.size != product) {
        error(a.span, "axis " + quoted(a.name) + " has the size " + std::to_string(*a.size) +
                          ", but the product of its factors is " + std::to_string(product));
        return;
      } else if (open && !many && a.size) {
        if (*a.size % product != 0) {
          error(a.span, "the size " + std::to_string(*a.size) + " of axis " + quoted(a.name) +
                            " is no multiple of its other factors, " + std::to_string(product));
          return;
        }
        open->size = *a.size / product;
        changed = true;
      }
    }
  }
}

std::optional<AxisId> Analyzer::axis(const Expr &e, const Context &context) {
  if (e.kind == ExprKind::Error)
    return std::nullopt;
  if (e.kind != ExprKind::Name) {
    if (e.kind == ExprKind::Binary && e.text == "overlap")
      notYet(e.span, "reductions over overlapping blocks");
    else if (e.kind == ExprKind::Binary && e.text == "in")
      notYet(e.span, "blocks of an axis here", "works now: max[S in Sb](x), alone in its brackets");
    else
      error(e.span, "expected the name of an axis");
    failed_ = true;
    return std::nullopt;
  }
  Symbol *s = lookup(context.scope, e.text);
  if (!s) {
    failed_ = true;
    if (!session_.poisoned) {
      std::vector<std::string> names;
      for (Scope *scope = context.scope; scope; scope = scope->parent)
        for (const auto &[n, symbol] : scope->symbols)
          if (symbol.kind == Symbol::Kind::Axis)
            names.push_back(n);
      error(e.span, "unknown axis " + quoted(e.text), "declare it with 'axis " + e.text + "'",
            syntax::closest(e.text, names));
    }
    return std::nullopt;
  }
  s->used = true;
  if (s->kind == Symbol::Kind::Poison) {
    failed_ = true;
    return std::nullopt;
  }
  if (s->kind == Symbol::Kind::Part) // lo of D = lo: F + hi: F
    return partsOf(*s)[s->part];
  if (s->kind != Symbol::Kind::Axis) {
    errorWithNote(e.span, quoted(e.text) + " is no axis", "expected an axis", s->span, "it is " + s->what + " here");
    return std::nullopt;
  }
  return s->axis;
}

bool Analyzer::axisList(const std::vector<ExprPtr> &list, size_t from, const Context &context,
                        std::vector<AxisId> &axes, std::vector<AxisId> &expanded, const std::string *owner) {
  bool good = true;
  for (size_t k = from; k < list.size(); ++k) {
    if (owner && bare(*list[k]).kind == ExprKind::Number) {
      const Expr &number = bare(*list[k]);
      Axis fixed;
      fixed.size = sizeFromText(number.text, "");
      if (!fixed.size) {
        error(number.span, "an axis cannot have the size " + number.text,
              "expected a whole number from 1 to 2147483647");
        good = false;
        continue;
      }
      fixed.name = uniqueWalkName(*owner + "_" + std::to_string(k));
      fixed.isStatic = true;
      fixed.span = number.span;
      AxisId id = makeAxis(std::move(fixed));
      axes.push_back(id);
      expanded.push_back(id);
      continue;
    }
    std::optional<AxisId> id = axis(*list[k], context);
    if (!id) {
      good = false;
      continue;
    }
    axes.push_back(*id);
    std::vector<AxisId> parts;
    expand(*id, parts);
    for (AxisId p : parts) {
      if (std::find(expanded.begin(), expanded.end(), p) != expanded.end()) {
        error(list[k]->span, "axis " + quoted(axisName(p)) + " stands twice",
              p == *id ? "" : quoted(axisName(*id)) + " is " + axesText(attention_.axes[*id].factors));
        good = false;
      } else {
        expanded.push_back(p);
      }
    }
  }
  return good;
}

std::string Analyzer::uniqueWalkName(const std::string &wanted) {
  auto taken = [&](const std::string &name) {
    for (const Axis &a : attention_.axes)
      if (a.name == name)
        return true;
    return false;
  };
  std::string name = wanted;
  for (unsigned k = 2; taken(name); ++k)
    name = wanted + "_" + std::to_string(k);
  return name;
}

} // namespace fovea::sema::internal
