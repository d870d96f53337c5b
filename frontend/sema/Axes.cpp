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
      notYet(spec.alignment.span, "align start");
      symbol->kind = Symbol::Kind::Poison;
      continue;
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
      std::string what = r.kind == ExprKind::Binary && r.text == "/"   ? "axes of blocks"
                         : r.kind == ExprKind::Binary && r.text == "+" ? "concatenation axes"
                         : r.kind == ExprKind::Call                    ? "axes of windows"
                                                                       : "this relation of axes";
      notYet(r.span, what, "works now: a number, or factors as in H = Hk * G");
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
  if (e.kind == ExprKind::Labelled)
    poisonNames(*e.children[1]);
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
  for (bool changed = true; changed;) {
    changed = false;
    for (Axis &a : attention_.axes) {
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
    if (e.kind == ExprKind::Binary && (e.text == "in" || e.text == "overlap"))
      notYet(e.span, "reductions over the blocks of an axis");
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
  if (s->kind != Symbol::Kind::Axis) {
    errorWithNote(e.span, quoted(e.text) + " is no axis", "expected an axis", s->span, "it is " + s->what + " here");
    return std::nullopt;
  }
  return s->axis;
}

bool Analyzer::axisList(const std::vector<ExprPtr> &list, size_t from, const Context &context,
                        std::vector<AxisId> &axes, std::vector<AxisId> &expanded) {
  bool good = true;
  for (size_t k = from; k < list.size(); ++k) {
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
