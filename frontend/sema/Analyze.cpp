// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From the syntax tree to programs: one Analyzer per attention walks its items in order and builds nodes.
#include "frontend/sema/Analyze.h"

#include "frontend/sema/Graph.h"
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <set>

namespace fovea::sema {
namespace {

using syntax::Core;
using syntax::DiagnosticEngine;
using syntax::Expr;
using syntax::ExprKind;
using syntax::ExprPtr;
using syntax::Field;
using syntax::File;
using syntax::Identifier;
using syntax::Item;
using syntax::ItemKind;
using syntax::Severity;
using syntax::Span;

constexpr unsigned kMaxSteps = 200000; // evaluations of expressions, maps inlined
constexpr unsigned kMaxDepth = 250;    // of expressions within each other, through maps
constexpr size_t kMaxNodes = 20000;
constexpr size_t kMaxImports = 64;
constexpr int64_t kMaxSize = (int64_t(1) << 31) - 1;

/// Keeps the temporaries of messages out of the frames of the recursion over expressions.
#define FOVEA_NOINLINE __attribute__((noinline))

using Value = std::optional<NodeId>; // nothing: an error was reported

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// The declaration behind a name.
struct Symbol {
  enum class Kind { Axis, Field, Weights, Option, Map, Pair, Poison, Import };
  Kind kind = Kind::Poison;
  std::string name;
  Span span;
  std::string what;  // "input", "axis": for messages
  bool used = false; // read somewhere
  bool imported = false;
  bool ofWalk = false; // a value of the walk already: needs no subscript
  AxisId axis = 0;
  NodeId node = 0;
  const Item *item = nullptr;       // Map, Pair
  struct Scope *scope = nullptr;    // Map, Pair: where its body is read
  std::vector<std::string> choices; // Option
  std::string chosen;               // Option
};

struct Scope {
  Scope *parent = nullptr;
  std::map<std::string, Symbol> symbols;
  Symbol *own(const std::string &name) {
    auto it = symbols.find(name);
    return it == symbols.end() ? nullptr : &it->second;
  }
};

/// The walk of one `weights`.
struct Walk {
  AxisId walk = 0, raw = 0, query = 0;
  std::string j = "j";
};

struct Context {
  Scope *scope = nullptr;
  const Walk *walk = nullptr; // set: tensors with token axes must be subscripted
  bool inMap = false;         // in the body of a map, where i and j have no meaning
};

/// Files, their top-level names, and what all attentions share.
struct Session {
  const Options &options;
  DiagnosticEngine &diagnostics;
  std::vector<std::unique_ptr<File>> files;
  struct Unit {
    const File *file = nullptr;
    Scope scope;
    std::vector<const Item *> importedAttentions;
  };
  std::map<std::string, std::unique_ptr<Unit>> units; // by path
  std::set<std::string> knownSets;
  std::map<std::string, std::string> otherNames; // name -> what it is, for --set
  bool poisoned = false;                         // the parser lost names
  unsigned steps = 0;                            // of all attentions and maps together
  bool exhausted = false;                        // a limit was reached and reported

  Unit *load(const File &file, const std::string &path);
  Unit *import(const std::string &from, const Item &item);
};

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

/// Functions of the language that this version only reads.
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

const Expr &bare(const Expr &e) {
  const Expr *x = &e;
  while (x->kind == ExprKind::Paren)
    x = x->children[0].get();
  return *x;
}

class Analyzer {
public:
  Analyzer(Session &session, Session::Unit &unit) : session_(session), unit_(unit), graph_(attention_) {
    scope_.parent = &unit.scope;
  }
  /// An attention, or nothing where an error was reported.
  std::optional<Attention> run(const Item &item);
  /// Checks a map on its own: its parameters are inputs on its own axes.
  void checkMap(const Item &item);

private:
  // Diagnostics.
  void error(Span span, std::string message, std::string label = {}, std::string suggestion = {}) {
    session_.diagnostics.error(span, std::move(message), std::move(label), std::move(suggestion));
    failed_ = true;
  }
  void errorWithNote(Span span, std::string message, std::string label, Span noteSpan, std::string note) {
    session_.diagnostics.report(
        {Severity::Error, span, std::move(message), std::move(label), {{noteSpan, std::move(note)}}, {}});
    failed_ = true;
  }
  Value notYet(Span span, const std::string &construct, std::string label = {}) {
    error(span, "not in this version: " + construct, std::move(label));
    return std::nullopt;
  }

  // Names.
  Symbol *declare(Scope &scope, const Identifier &name, Symbol symbol);
  Symbol *lookup(Scope *scope, const std::string &name) {
    for (Scope *s = scope; s; s = s->parent)
      if (Symbol *symbol = s->own(name))
        return symbol;
    return nullptr;
  }
  Value unknown(const Expr &e, const Context &context, bool called);
  std::string nearName(const std::string &name, const Context &context, bool called);
  const Item *laterDeclaration(const std::string &name) const;

  // Axes.
  AxisId makeAxis(Axis axis);
  void declareAxes(const Item &item);
  void relateAxes(const Item &item);
  void poisonNames(const Expr &e);
  void deriveSizes();
  std::optional<AxisId> axis(const Expr &e, const Context &context);
  bool axisList(const std::vector<ExprPtr> &list, size_t from, const Context &context, std::vector<AxisId> &axes,
                std::vector<AxisId> &expanded);
  void expand(AxisId axis, std::vector<AxisId> &into) const {
    const Axis &a = attention_.axes[axis];
    if (a.relation == AxisRelation::Factor)
      into.insert(into.end(), a.factors.begin(), a.factors.end());
    else
      into.push_back(axis);
  }
  /// A walk goes by the name of its index in messages, unique or not.
  std::string axisName(AxisId axis) const {
    auto it = walkNames_.find(axis);
    return it == walkNames_.end() ? attention_.axes[axis].name : it->second;
  }
  std::string axesText(const std::vector<AxisId> &axes) const;
  std::string uniqueWalkName(const std::string &wanted);
  std::optional<int64_t> sizeFromText(const std::string &text, const std::string &name);

  // Items.
  void declareItem(const Item &item);
  bool elementType(const syntax::Type &type, StorageType &storage, Kind &kind);
  void inputItem(const Item &item, Role role);
  void constItem(const Item &item);
  void optionItem(const Item &item);
  void letItem(const Item &item, Scope &scope, const Context &context);
  void outputItem(const Item &item);
  std::optional<Contract> contract(const Item &item);

  // Expressions.
  Value eval(const Expr &e, const Context &context);
  Value evalNumber(const Expr &e, const Context &context); // no handle, no Bool
  Value evalBool(const Expr &e, const Context &context);
  Value evalNode(const Expr &e, const Context &context);
  Value refuseSize(const Expr &e, bool deep);
  Value refuseOverflow(const Expr &e);
  Value refuseForm(const Expr &e);
  Value refuseOperator(const Expr &e);
  Value refuseHandle(const Expr &e);
  Value expectKind(const Expr &e, NodeId n, bool number);
  Value conditional(const Expr &e, const Context &context);
  Value selectChecked(const Expr &e, NodeId c, NodeId a, NodeId b);
  Context letScope(const Expr &e, const Context &context, Value v);
  bool pairAllowed(const Expr &e, const Symbol &s, const Context &context);
  Value plainName(const Expr &e, const Context &context);
  Value arithmetic(const Expr &e, Value a, Value b);
  Value nameValue(const Expr &e, const Context &context);
  Value number(const Expr &e);
  Value unary(const Expr &e, const Context &context);
  Value binary(const Expr &e, const Context &context);
  Value compare(const Expr &e, const Context &context);
  Value match(const Expr &e, const Context &context);
  Value subscript(const Expr &e, const Context &context);
  Value walked(NodeId x, bool atQuery, const Walk &walk, Span span, const std::string &text);
  Value call(const Expr &e, const Context &context);
  Value builtin(const std::string &name, const Expr &e, const Expr *brackets, const Context &context);
  Value reduction(const std::string &name, const Expr &e, const Expr &brackets, const Context &context);
  Value member(const Expr &e, const Context &context);
  Value core(const Expr &e, const Context &context);
  Value weights(const Expr &e, const Context &context, NodeId *query, NodeId *key, Walk &walk,
                std::vector<AxisId> contracted);
  Value attend(const Expr &e, const Context &context);
  Value expectation(const Symbol &p, const Expr &e, const Context &context);
  Value expectationOf(NodeId p, const Expr &argument, const Context &context, Span whole);
  Value inlineMap(const Symbol &map, const Expr &e, const Expr *brackets, const Context &context);
  std::optional<Walk> openWalk(const Identifier &over, const Identifier &as, Span span, const Context &context);
  bool isNumber(NodeId n) const { return graph_[n].kind == Kind::Real || graph_[n].kind == Kind::Int; }
  bool tokenAxisOf(NodeId n, const Walk &walk) const { return graph_.has(n, walk.query) || graph_.has(n, walk.raw); }
  std::string text(const Expr &e) const {
    std::string t = syntax::format(e);
    return t.size() > 60 ? t.substr(0, 57) + "..." : t;
  }
  std::string sourceText(Span span) const;
  std::string describe(NodeId n) const {
    return std::string(toString(graph_[n].kind)) + " on " + axesText(graph_[n].axes);
  }

  // After the items.
  void checkLeftoverFeatures();
  void checkCausality();
  void checkSizes();
  void warnUnused();
  void outputOrder(std::vector<AxisId> &axes) const;
  void regroup(const std::vector<AxisId> &axes, std::vector<AxisId> &declared) const;
  void finish();
  std::vector<bool> reachable() const;

  Session &session_;
  Session::Unit &unit_;
  Attention attention_;
  Graph graph_;
  Scope scope_;
  std::vector<std::unique_ptr<Scope>> scopes_;
  const Item *item_ = nullptr;
  bool failed_ = false;
  unsigned depth_ = 0;
  std::map<NodeId, Walk> walks_; // by handle
  std::map<AxisId, std::string> walkNames_;
  std::map<NodeId, Span> scoreSpans_, whereSpans_;
  std::vector<const Item *> inlining_;
};

//===------------------------------------------------------------------------------------------------------------===//
// Names
//===------------------------------------------------------------------------------------------------------------===//

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

//===------------------------------------------------------------------------------------------------------------===//
// Axes
//===------------------------------------------------------------------------------------------------------------===//

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

//===------------------------------------------------------------------------------------------------------------===//
// Declarations
//===------------------------------------------------------------------------------------------------------------===//

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
  if (item.hasType && item.type.hasAxes)
    good &= axisList(item.type.axes, 0, context, declared, expanded);
  if (item.isOptional) {
    notYet(item.span, "optional inputs");
    good = false;
  }
  std::optional<Contract> c = contract(item);
  std::optional<NodeId> defaultNode;
  std::optional<double> defaultValue;
  if (!item.values.empty()) {
    const Expr &e = *item.values[0];
    if (role != Role::Param) {
      error(e.span, "an input has no default", "only a scalar 'param' has one");
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
    s.what = role == Role::Param ? "param" : "input";
    s.kind = good ? Symbol::Kind::Field : Symbol::Kind::Poison;
    if (good) {
      Declaration d;
      d.name = name.text;
      d.role = role;
      d.declaredAxes = declared;
      d.axes = expanded;
      d.type = storage;
      d.kind = kind;
      d.contract = c;
      d.defaultNode = defaultNode;
      d.defaultValue = defaultValue;
      d.span = name.span;
      if (!scope_.own(name.text)) {
        attention_.declarations.push_back(std::move(d));
        DeclId id = static_cast<DeclId>(attention_.declarations.size() - 1);
        graph_.here = name.span;
        s.node = graph_.input(id, expanded, kind);
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
    s.kind = graph_[*v].kind == Kind::Weights ? Symbol::Kind::Weights : Symbol::Kind::Field;
    s.node = *v;
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
      notYet(e.span, "weights as an output", "apply them to values: p(v)");
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
  // An item that the parser could not read: its names are known, its value is not.
  auto poison = [&](const char *what) {
    for (const Identifier &name : item.names) {
      Symbol s;
      s.what = what;
      s.used = true;
      declare(scope_, name, std::move(s));
    }
  };
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
    notYet(item.keyword, "carried memory");
    poison("carry");
    break;
  case ItemKind::State:
    notYet(item.keyword, "state");
    poison("state");
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
  case ItemKind::Storage:
    notYet(item.keyword, "storage");
    break;
  default:
    break;
  }
}

//===------------------------------------------------------------------------------------------------------------===//
// Expressions
//===------------------------------------------------------------------------------------------------------------===//

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

//===------------------------------------------------------------------------------------------------------------===//
// Calls
//===------------------------------------------------------------------------------------------------------------===//

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

//===------------------------------------------------------------------------------------------------------------===//
// Weights
//===------------------------------------------------------------------------------------------------------------===//

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

//===------------------------------------------------------------------------------------------------------------===//
// Maps
//===------------------------------------------------------------------------------------------------------------===//

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

//===------------------------------------------------------------------------------------------------------------===//
// Checks of the whole
//===------------------------------------------------------------------------------------------------------------===//

std::vector<bool> Analyzer::reachable() const {
  std::vector<bool> live(attention_.nodes.size(), false);
  auto mark = [&](NodeId n) { live[n] = true; };
  for (const Declaration &d : attention_.declarations) {
    mark(d.node);
    if (d.defaultNode)
      mark(*d.defaultNode);
    if (d.contract && d.contract->lower)
      mark(d.contract->lower->node);
    if (d.contract && d.contract->upper)
      mark(d.contract->upper->node);
  }
  for (size_t k = live.size(); k-- > 0;)
    if (live[k])
      for (NodeId o : attention_.nodes[k].operands)
        live[o] = true;
  return live;
}

/// An axis of features that a score still has: contracted elsewhere or the last axis of all token tensors that have
/// it, and on the keys' side of this score.
void Analyzer::checkLeftoverFeatures() {
  std::set<AxisId> factors, tokens, contracted;
  for (const Axis &a : attention_.axes) {
    factors.insert(a.factors.begin(), a.factors.end());
    if (a.relation == AxisRelation::Walk || a.relation == AxisRelation::Keys) {
      tokens.insert(a.query);
      if (a.relation == AxisRelation::Walk)
        tokens.insert(a.raw);
    }
  }
  for (const Node &n : attention_.nodes)
    if (n.op == Op::Dot)
      contracted.insert(n.attrAxes.begin(), n.attrAxes.end());
  auto isFeature = [&](AxisId axis) {
    if (factors.count(axis) || tokens.count(axis) || attention_.axes[axis].relation == AxisRelation::Walk)
      return false;
    if (contracted.count(axis))
      return true;
    bool seen = false;
    for (const Declaration &d : attention_.declarations) {
      if (d.role == Role::Output)
        continue;
      bool hasToken = false;
      for (AxisId a : d.axes)
        hasToken |= tokens.count(a) != 0;
      auto at = std::find(d.axes.begin(), d.axes.end(), axis);
      if (!hasToken || at == d.axes.end())
        continue;
      if (at + 1 != d.axes.end() || d.axes.size() < 3)
        return false;
      seen = true;
    }
    return seen;
  };
  for (const auto &[handle, walk] : walks_) {
    NodeId score = graph_[handle].operands[0];
    for (AxisId a : graph_[score].axes) {
      if (a == walk.walk || a == walk.query || !isFeature(a))
        continue;
      // On the keys' side: some tensor with the walk axis and without the query's brings it.
      bool onKeys = false;
      std::vector<NodeId> stack{score};
      std::set<NodeId> seen;
      while (!stack.empty() && !onKeys) {
        NodeId n = stack.back();
        stack.pop_back();
        if (!seen.insert(n).second || !graph_.has(n, a))
          continue;
        onKeys = graph_.has(n, walk.walk) && !graph_.has(n, walk.query);
        for (NodeId o : graph_[n].operands)
          stack.push_back(o);
      }
      if (onKeys)
        error(scoreSpans_[handle], "the score still has the feature axis " + quoted(axisName(a)),
              "expected one number per pair; contract it with dot[" + axisName(a) + "](..) or sum[" + axisName(a) +
                  "](..)");
    }
  }
}

void Analyzer::checkCausality() {
  std::set<AxisId> tokens;
  for (const Axis &a : attention_.axes) {
    if (a.relation == AxisRelation::Walk) {
      tokens.insert(a.raw);
      tokens.insert(a.query);
    }
    if (a.relation == AxisRelation::Keys)
      tokens.insert(a.query);
  }
  for (AxisId k = 0; k < attention_.axes.size(); ++k)
    if (attention_.axes[k].relation == AxisRelation::Keys)
      tokens.insert(k);
  for (const Declaration &d : attention_.declarations)
    if (d.role == Role::Param)
      for (AxisId a : d.axes)
        if (tokens.count(a))
          error(d.span, "a param has no token axis", quoted(axisName(a)) + " is one; declare it as an input");
  if (attention_.claim != Claim::Causal)
    return;
  std::vector<bool> live = reachable();
  for (NodeId k = 0; k < attention_.nodes.size(); ++k) {
    if (!live[k])
      continue;
    const Node &n = attention_.nodes[k];
    if (n.op == Op::Reduce || n.op == Op::Dot)
      for (AxisId a : n.attrAxes)
        if (tokens.count(a))
          error(n.span, "a causal attention cannot reduce over the token axis " + quoted(axisName(a)),
                "an earlier output would depend on later tokens; drop 'causal' or use 'weights over " + axisName(a) +
                    "'");
    if (n.op != Op::Weights)
      continue;
    auto it = walks_.find(k);
    if (it == walks_.end())
      continue;
    const Walk &w = it->second;
    if (!n.hasWhere) {
      error(whereSpans_[k], "these weights read all keys, later ones too",
            "a causal attention needs 'where: " + w.j + " <= i'; or drop 'causal'");
      continue;
    }
    double lag = impliedLag(graph_, n.operands[1], w.walk, w.query, w.raw);
    if (!(lag >= 0))
      error(whereSpans_[k], "this 'where' does not imply " + w.j + " <= i",
            std::isfinite(lag)
                ? "it allows keys up to " + std::to_string(static_cast<long long>(-lag)) + " after the query; add '" +
                      w.j + " <= i and ..' or drop 'causal'"
                : "keys after the query are not excluded; add '" + w.j + " <= i and ..' or drop 'causal'");
  }
}

void Analyzer::checkSizes() {
  for (const Declaration &d : attention_.declarations) {
    int64_t elements = 1;
    for (AxisId a : d.axes) {
      std::optional<int64_t> size = attention_.axes[a].size;
      if (size && (__builtin_mul_overflow(elements, *size, &elements) || elements > (int64_t(1) << 60))) {
        error(d.span, quoted(d.name) + " has more than 2^60 elements with these sizes");
        break;
      }
    }
  }
}

void Analyzer::warnUnused() {
  if (failed_ || session_.diagnostics.hasErrors())
    return;
  for (const auto &[name, s] : scope_.symbols) {
    if (s.used)
      continue;
    if (s.kind == Symbol::Kind::Option)
      session_.diagnostics.warning(s.span, "no match reads option " + quoted(name));
    else
      session_.diagnostics.warning(s.span, s.what + " " + quoted(name) + " is never used");
  }
}

/// The order in which the inputs have the axes; what no input has follows in its own order.
void Analyzer::outputOrder(std::vector<AxisId> &axes) const {
  std::vector<AxisId> order;
  for (const Declaration &d : attention_.declarations) {
    if (d.role == Role::Output)
      continue;
    for (size_t k = d.axes.size(); k-- > 0;) {
      if (std::find(order.begin(), order.end(), d.axes[k]) != order.end())
        continue;
      // Before the next axis of this input that has a place already.
      auto at = order.end();
      for (size_t later = k + 1; later < d.axes.size() && at == order.end(); ++later)
        at = std::find(order.begin(), order.end(), d.axes[later]);
      order.insert(at, d.axes[k]);
    }
  }
  auto rank = [&](AxisId a) { return std::find(order.begin(), order.end(), a) - order.begin(); };
  std::stable_sort(axes.begin(), axes.end(), [&](AxisId a, AxisId b) { return rank(a) < rank(b); });
}

/// Runs of factors become the factor axis again, the longest first.
void Analyzer::regroup(const std::vector<AxisId> &axes, std::vector<AxisId> &declared) const {
  for (size_t k = 0; k < axes.size();) {
    AxisId best = axes[k];
    size_t length = 1;
    for (AxisId f = 0; f < attention_.axes.size(); ++f) {
      const std::vector<AxisId> &factors = attention_.axes[f].factors;
      if (factors.size() > length && k + factors.size() <= axes.size() &&
          std::equal(factors.begin(), factors.end(), axes.begin() + static_cast<ptrdiff_t>(k))) {
        best = f;
        length = factors.size();
      }
    }
    declared.push_back(best);
    k += length;
  }
}

/// Drops what no output needs and renumbers.
void Analyzer::finish() {
  std::vector<bool> live = reachable();
  std::vector<bool> liveAxis(attention_.axes.size(), false);
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    liveAxis[a] = attention_.axes[a].relation != AxisRelation::Walk;
  for (size_t k = 0; k < live.size(); ++k)
    if (live[k])
      for (const auto *list : {&attention_.nodes[k].axes, &attention_.nodes[k].attrAxes})
        for (AxisId a : *list)
          liveAxis[a] = true;
  std::vector<AxisId> axisMap(attention_.axes.size());
  std::vector<Axis> axes;
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (liveAxis[a]) {
      axisMap[a] = static_cast<AxisId>(axes.size());
      axes.push_back(attention_.axes[a]);
    }
  for (Axis &a : axes) {
    for (AxisId &f : a.factors)
      f = axisMap[f];
    a.raw = axisMap[a.raw];
    a.query = axisMap[a.query];
  }
  std::vector<NodeId> nodeMap(live.size());
  std::vector<Node> nodes;
  for (size_t k = 0; k < live.size(); ++k)
    if (live[k]) {
      nodeMap[k] = static_cast<NodeId>(nodes.size());
      nodes.push_back(attention_.nodes[k]);
    }
  for (Node &n : nodes) {
    for (NodeId &o : n.operands)
      o = nodeMap[o];
    for (auto *list : {&n.axes, &n.attrAxes})
      for (AxisId &a : *list)
        a = axisMap[a];
  }
  // Outputs stand behind the inputs, in both lists by order of the text.
  std::vector<DeclId> order;
  for (int pass = 0; pass < 2; ++pass)
    for (DeclId d = 0; d < attention_.declarations.size(); ++d)
      if ((attention_.declarations[d].role == Role::Output) == (pass == 1))
        order.push_back(d);
  std::vector<Declaration> declarations;
  std::vector<DeclId> declMap(order.size());
  for (DeclId d : order) {
    declMap[d] = static_cast<DeclId>(declarations.size());
    declarations.push_back(attention_.declarations[d]);
  }
  for (Declaration &d : declarations) {
    d.node = nodeMap[d.node];
    if (d.defaultNode)
      d.defaultNode = nodeMap[*d.defaultNode];
    for (auto *list : {&d.declaredAxes, &d.axes})
      for (AxisId &a : *list)
        a = axisMap[a];
    if (d.contract && d.contract->lower)
      d.contract->lower->node = nodeMap[d.contract->lower->node];
    if (d.contract && d.contract->upper)
      d.contract->upper->node = nodeMap[d.contract->upper->node];
  }
  for (Node &n : nodes)
    if (n.op == Op::Input || n.op == Op::Output)
      n.declaration = declMap[n.declaration];
  // What a compilation must know: contracted axes and the features of values; tokens stay free.
  std::set<AxisId> tokens;
  for (AxisId a = 0; a < axes.size(); ++a)
    if (axes[a].relation == AxisRelation::Walk || axes[a].relation == AxisRelation::Keys) {
      tokens.insert(axes[a].query);
      tokens.insert(axes[a].relation == AxisRelation::Walk ? axes[a].raw : a);
      tokens.insert(a);
    }
  auto need = [&](AxisId a, Span span) {
    if (tokens.count(a) || axes[a].needsSize)
      return;
    axes[a].needsSize = true;
    axes[a].needSpan = span;
  };
  for (const Node &n : nodes) {
    if (n.op == Op::Dot || n.op == Op::Reduce)
      for (AxisId a : n.attrAxes)
        need(a, n.span);
    if (n.op == Op::Expect)
      for (AxisId a : n.axes) {
        const std::vector<AxisId> &rows = nodes[n.operands[0]].axes;
        if (std::find(rows.begin(), rows.end(), a) == rows.end())
          need(a, n.span);
      }
  }
  attention_.axes = std::move(axes);
  attention_.nodes = std::move(nodes);
  attention_.declarations = std::move(declarations);
}

std::optional<Attention> Analyzer::run(const Item &item) {
  item_ = &item;
  attention_.span = item.span;
  if (!item.names.empty())
    attention_.name = item.names[0].text;
  attention_.claim = item.claim.text == "causal" ? Claim::Causal : item.claim.text == "set" ? Claim::Set : Claim::None;
  for (const Item &part : item.body)
    if (part.kind == ItemKind::Axis)
      declareAxes(part);
  for (const Item &part : item.body)
    if (part.kind == ItemKind::Axis)
      relateAxes(part);
  deriveSizes();
  for (const Item &part : item.body)
    if (part.kind == ItemKind::Option)
      optionItem(part);
  bool hasOutput = false;
  for (const Item &part : item.body) {
    hasOutput |= part.kind == ItemKind::Output || part.kind == ItemKind::Error;
    declareItem(part);
  }
  if (!hasOutput && !session_.poisoned)
    error(item.names.empty() ? item.keyword : item.names[0].span,
          "attention " + quoted(attention_.name) + " has no output", "expected 'output o = ..'");
  checkLeftoverFeatures();
  if (!session_.exhausted)
    checkCausality();
  checkSizes();
  if (failed_)
    return std::nullopt;
  warnUnused();
  finish();
  return std::move(attention_);
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

//===------------------------------------------------------------------------------------------------------------===//
// Files
//===------------------------------------------------------------------------------------------------------------===//

Session::Unit *Session::import(const std::string &from, const Item &item) {
  if (item.path.empty()) {
    diagnostics.error(item.pathSpan, "an import needs the name of a file");
    return nullptr;
  }
  if (!options.readFile) {
    diagnostics.error(item.pathSpan, "files cannot be imported here");
    return nullptr;
  }
  size_t slash = from.rfind('/');
  std::string folder = slash == std::string::npos ? "" : from.substr(0, slash + 1);
  std::string name = item.path;
  if (name.size() < 5 || name.substr(name.size() - 5) != ".attn")
    name += ".attn";
  std::vector<std::string> candidates;
  if (name[0] == '/')
    candidates = {name};
  else
    candidates = {folder + name, folder + "maps/" + name};
  if (name[0] != '/' && !folder.empty())
    candidates.push_back("maps/" + name);
  std::string tried;
  for (const std::string &path : candidates) {
    if (auto it = units.find(path); it != units.end())
      return it->second.get();
    if (units.size() > kMaxImports) {
      diagnostics.error(item.pathSpan, "more than " + std::to_string(kMaxImports) + " files are imported");
      return nullptr;
    }
    Result<std::string> text = options.readFile(path);
    if (!text) {
      tried += (tried.empty() ? "" : ", ") + path;
      continue;
    }
    files.push_back(std::make_unique<File>(syntax::parse(path, std::move(*text), diagnostics)));
    poisoned |= files.back()->lostNames;
    return load(*files.back(), path);
  }
  diagnostics.error(item.pathSpan, "file '" + item.path + "' cannot be read", "tried " + tried);
  return nullptr;
}

Session::Unit *Session::load(const File &file, const std::string &path) {
  auto &slot = units[path];
  slot = std::make_unique<Unit>();
  Unit &unit = *slot;
  unit.file = &file;
  auto declare = [&](const Identifier &name, Symbol s) {
    if (!name)
      return;
    s.name = name.text;
    s.span = name.span;
    auto [it, inserted] = unit.scope.symbols.emplace(name.text, s);
    if (!inserted)
      diagnostics.report({Severity::Error,
                          name.span,
                          quoted(name.text) + " is declared twice",
                          "",
                          {{it->second.span, "it is declared here"}},
                          {}});
  };
  // Own names first: files may import each other.
  for (const Item &item : file.items) {
    if ((item.kind != ItemKind::Map && item.kind != ItemKind::Attention) || item.names.empty())
      continue;
    Symbol s;
    s.kind = item.kind == ItemKind::Map ? Symbol::Kind::Map : Symbol::Kind::Import;
    s.what = item.kind == ItemKind::Map ? "map" : "attention";
    s.item = &item;
    s.scope = &unit.scope;
    s.used = true;
    declare(item.names[0], std::move(s));
  }
  for (const Item &item : file.items) {
    if (item.kind == ItemKind::Schedule || item.kind == ItemKind::Storage)
      diagnostics.error(item.keyword, std::string("not in this version: ") +
                                          (item.kind == ItemKind::Schedule ? "schedule" : "storage"));
    if (item.kind != ItemKind::Import || item.path.empty())
      continue;
    Unit *other = import(path, item);
    auto poison = [&]() {
      for (const Identifier &name : item.list) {
        Symbol s;
        s.used = true;
        s.what = "import";
        declare(name, std::move(s));
      }
      if (item.list.empty())
        poisoned = true;
    };
    if (!other) {
      poison();
      continue;
    }
    auto take = [&](const Symbol &found, const Identifier &name) {
      Symbol s = found;
      s.used = item.list.empty();
      s.imported = true;
      if (found.what == "attention") {
        unit.importedAttentions.push_back(found.item);
        s.used = true;
      }
      declare(name, std::move(s));
    };
    if (item.list.empty())
      for (const auto &[name, found] : other->scope.symbols) {
        if (found.item && !found.imported)
          take(found, {name, item.pathSpan});
      }
    for (const Identifier &name : item.list) {
      Symbol *found = other->scope.own(name.text);
      if (!found || found->imported) {
        std::vector<std::string> names;
        for (const auto &[n, s] : other->scope.symbols)
          names.push_back(n);
        if (!other->file->lostNames)
          diagnostics.error(name.span, "'" + item.path + "' has no " + quoted(name.text), "",
                            syntax::closest(name.text, names));
        Symbol s;
        s.used = true;
        s.what = "import";
        declare(name, std::move(s));
        continue;
      }
      take(*found, name);
    }
  }
  return &unit;
}

} // namespace

std::optional<Program> analyze(const File &file, const Options &options, DiagnosticEngine &diagnostics) {
  Session session{options, diagnostics, {}, {}, {}, {}, false, 0, false};
  session.poisoned = file.lostNames;
  size_t before = diagnostics.errorCount();
  std::string path = file.id < diagnostics.sources.size() ? diagnostics.sources.name(file.id) : "";
  Session::Unit *unit = session.load(file, path);
  Program program;
  std::set<std::string> names;
  bool any = false, whole = true;
  auto add = [&](const Item &item, Session::Unit &from) {
    any = true;
    Analyzer analyzer(session, from);
    std::optional<Attention> attention = analyzer.run(item);
    if (attention)
      program.attentions.push_back(std::move(*attention));
    else
      whole = false;
  };
  for (const Item &item : file.items)
    if (item.kind == ItemKind::Attention)
      add(item, *unit);
  for (const Item *item : unit->importedAttentions)
    for (auto &[key, other] : session.units)
      if (other->file->id == item->span.file)
        add(*item, *other);
  for (const Item &item : file.items)
    if (item.kind == ItemKind::Map && !item.names.empty() && item.names[0]) {
      any = true;
      size_t errors = diagnostics.errorCount();
      Analyzer(session, *unit).checkMap(item);
      whole &= diagnostics.errorCount() == errors;
    }
  for (const auto &[name, symbol] : unit->scope.symbols)
    if (!symbol.used && !diagnostics.hasErrors())
      diagnostics.warning(symbol.span, "import " + quoted(name) + " is never used");
  if (!any && !file.hasErrors)
    diagnostics.error({file.id, file.edition.begin, file.edition.end}, "the file has neither an attention nor a map");
  for (const auto &[name, value] : options.sets)
    if (!session.knownSets.count(name) && !file.hasErrors && any) {
      auto other = session.otherNames.find(name);
      if (other != session.otherNames.end()) {
        diagnostics.error({}, "--set " + name + "=" + value + ": " + quoted(name) + " is " +
                                  (other->second == "input" ? "an input" : "a param") + ", which is given at run time");
        continue;
      }
      std::vector<std::string> known;
      for (const Item &item : file.items)
        for (const Item &part : item.body) {
          for (const syntax::AxisSpec &a : part.axes)
            known.push_back(a.name.text);
          if (part.kind == ItemKind::Const || part.kind == ItemKind::Option)
            for (const Identifier &n : part.names)
              known.push_back(n.text);
        }
      diagnostics.error({}, "--set " + name + "=" + value + ": no axis, const or option is named " + quoted(name), "",
                        syntax::closest(name, known));
    }
  diagnostics.sort();
  if (!whole || file.hasErrors || diagnostics.errorCount() != before)
    return std::nullopt;
  return program;
}

} // namespace fovea::sema
