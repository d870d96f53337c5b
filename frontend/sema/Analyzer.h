// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The analysis of one attention, in parts by subject: names and axes, declarations, expressions, calls, weights, maps,
// checks of the whole. Private to this folder.
#pragma once

#include "frontend/sema/Analyze.h"
#include "frontend/sema/Graph.h"
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace fovea::sema::internal {

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
constexpr size_t kMaxBranches = 16; // of a merge
constexpr int64_t kMaxSize = (int64_t(1) << 31) - 1;

/// Keeps the temporaries of messages out of the frames of the recursion over expressions.
#define FOVEA_NOINLINE __attribute__((noinline))

using Value = std::optional<NodeId>; // nothing: an error was reported

inline std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// The declaration behind a name.
struct Symbol {
  enum class Kind { Axis, Part, Field, Weights, State, Carry, Option, Map, Pair, Poison, Import };
  Kind kind = Kind::Poison;
  std::string name;
  Span span;
  std::string what;  // "input", "axis": for messages
  bool used = false; // read somewhere
  bool imported = false;
  bool ofWalk = false;          // a value of the walk already: needs no subscript
  AxisId axis = 0;              // Part: the axis whose part it is
  size_t part = 0;              // Part: its place
  std::vector<AxisId> partAxes; // Part of an axis that a map has split: all parts
  NodeId node = 0;
  const Item *item = nullptr;       // Map, Pair
  struct Scope *scope = nullptr;    // Map, Pair: where its body is read
  std::vector<std::string> choices; // Option
  std::string chosen;               // Option
};

/// Of a note: "it is an axis here".
inline std::string declaredAs(const Symbol &symbol) {
  bool vowel = std::string_view("aeiou").find(symbol.what.substr(0, 1)) != std::string_view::npos;
  return std::string("it is ") + (vowel ? "an " : "a ") + symbol.what + " here";
}

struct Scope {
  Scope *parent = nullptr;
  std::map<std::string, Symbol> symbols;
  Symbol *own(const std::string &name) {
    auto it = symbols.find(name);
    return it == symbols.end() ? nullptr : &it->second;
  }
};

/// What a name of Kind::Weights stands for: one `weights`, or several merged.
struct Handle {
  enum class Divide : uint8_t { Sum, SumPlus, AtLeast, Count, None };
  std::vector<int64_t> branches; // of a merge: numbers of handles, and nothing of the following
  Walk walk;
  WeightKind kind = WeightKind::Exp;
  std::optional<NodeId> score; // Exp; Free if the weight is a function of one
  NodeId weight = 0;           // Free
  std::optional<NodeId> where, mass;
  std::vector<NodeId> sinks; // as written
  Divide divide = Divide::Sum;
  NodeId divisor = 0; // what is added to the sum, or its least value
  NodeId node = 0;    // Op::Weights
  Span span, scoreSpan, whereSpan, massSpan;
  bool massMatters = false; // read by a statistic or a merge
};

/// What a name of Kind::State stands for: a state, read at one point.
struct Recurrence {
  NodeId node = 0;               // Op::State
  std::optional<NodeId> divisor; // Op::State of the value 1, which divides what is read
  Handle::Divide divide = Handle::Divide::None;
  NodeId divideBy = 0; // what is added to the divisor, or its least value
  ReadPoint point = ReadPoint::After;
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

const std::map<std::string, Op> &unaryFunctions();
const std::set<std::string> &reductions();
/// Functions of the language that this version only reads.
const std::set<std::string> &reservedFunctions();
std::vector<std::string> functionNames();
bool isFunction(const std::string &name);

inline const Expr &bare(const Expr &e) {
  const Expr *x = &e;
  while (x->kind == ExprKind::Paren)
    x = x->children[0].get();
  return *x;
}

/// The names of `D * E`; none for anything else.
inline std::optional<std::pair<const Expr *, const Expr *>> pairOf(const Expr &e) {
  if (e.kind != ExprKind::Binary || e.text != "*")
    return std::nullopt;
  const Expr &first = bare(*e.children[0]), &second = bare(*e.children[1]);
  if (first.kind != ExprKind::Name || second.kind != ExprKind::Name)
    return std::nullopt;
  return std::pair(&first, &second);
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
  /// The map's value, or both sides of its law, for inputs of the map's types with batch axes in front.
  std::optional<Attention> mapAttention(const Item &item, const Item *law,
                                        const std::map<std::string, std::string> &chosen);

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
  /// The parts of the axis that a Symbol of kind Part belongs to.
  const std::vector<AxisId> &partsOf(const Symbol &s) const {
    return s.partAxes.empty() ? attention_.axes[s.axis].parts : s.partAxes;
  }
  Symbol *lookup(Scope *scope, const std::string &name) {
    for (Scope *s = scope; s; s = s->parent)
      if (Symbol *symbol = s->own(name)) {
        // The axis was refused, and has no parts.
        if (symbol->kind == Symbol::Kind::Part && symbol->part >= partsOf(*symbol).size())
          symbol->kind = Symbol::Kind::Poison;
        return symbol;
      }
    return nullptr;
  }
  Value unknown(const Expr &e, const Context &context, bool called);
  std::string nearName(const std::string &name, const Context &context, bool called);
  const Item *laterDeclaration(const std::string &name) const;

  // Axes.
  AxisId makeAxis(Axis axis);
  void declareAxes(const Item &item);
  bool relateBlocks(AxisId id, const Expr &r);
  bool relateConcat(AxisId id, const Expr &r);
  std::optional<AxisId> relatedAxis(const Expr &e, AxisId of, bool declares);
  std::optional<int64_t> extentOf(const Expr &e);
  std::optional<AxisId> concatAxis(const std::string &name, const std::vector<AxisId> &parts, Span span);
  /// One part of a sum of axes: a number or a product of two axes is an axis without a name of the file's.
  AxisId numberAxis(int64_t size, Span span);
  std::optional<AxisId> outerAxis(AxisId first, AxisId second, Span span);
  std::optional<AxisId> shareAxis(AxisId raw, int64_t divisor, Span span);
  void relateAxes(const Item &item);
  void poisonNames(const Expr &e);
  void deriveSizes();
  std::optional<AxisId> axis(const Expr &e, const Context &context);
  /// With `owner`, a number is an axis of that size and without a name, `owner_place`.
  bool axisList(const std::vector<ExprPtr> &list, size_t from, const Context &context, std::vector<AxisId> &axes,
                std::vector<AxisId> &expanded, const std::string *owner = nullptr);
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
  void stateItem(const Item &item);
  /// Those of the attention and of its file.
  void storages(const Item &item);
  void storageItem(const Item &item);
  void raggedEntry(const Field &field, const Expr &call, Storage &storage);
  void checkRagged(Storage &storage);
  bool addBlocks(Ragged &ragged, AxisId axis);
  /// Which axes need a size is known at the end.
  void checkStorageSizes();
  std::optional<AxisId> storageAxis(const Identifier &name);
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
  Value blockFunction(const std::string &name, const Expr &brackets, const Expr *argument, Span span,
                      const Context &context);
  Value prefix(const std::string &name, const Expr &e, const Expr &brackets, const Context &context);
  Value concatenation(const Expr &e, const Expr &brackets, const Context &context);
  Value outerProduct(const Expr &e, const Expr *brackets, const Context &context);
  Value rope(const Expr &e, const Expr *brackets, const Context &context);
  Value index(const std::string &name, const Expr &e, const Context &context);
  Value walkedSubscript(const Expr &e, const std::vector<const Expr *> &items, bool query, const Context &context);
  /// The array of e whole, without the walk's subscript: for gathers and views.
  Value wholeBase(const Expr &e, const Context &context, bool &whole);
  Value gathered(const Expr &e, const Context &context);
  Value view(const Expr &e, const Symbol &part, const Context &context);
  Value renamed(const Expr &e, const Context &context);
  Value member(const Expr &e, const Context &context);
  Value scoreRows(const Expr &e, const Expr &rows, const Context &context);

  // Weights.
  Value core(const Expr &e, const Context &context);
  std::optional<Walk> openWalk(const Identifier &over, const Identifier &as, Span span, const Context &context);
  bool positions(const Core &c, Walk &walk, const Context &context);
  bool readFields(const Core &c, bool sugar, std::map<std::string, const Field *> &fields);
  Value weights(const Expr &e, const Context &context, NodeId *query, NodeId *key, Walk &walk,
                std::vector<AxisId> contracted);
  bool weightField(const Expr &w, Handle &h, const Context &context);
  bool divideField(const Expr &d, Handle &h, const Context &context);
  bool rowValue(const Expr &e, const char *what, const Handle &h, const Context &context, NodeId &into);
  Value finishHandle(Handle h);
  Value attend(const Expr &e, const Context &context);
  Value merge(const Expr &e, const Context &context);
  Value joint(const Expr &e, const Context &context);
  /// The context in which `score` names this node.
  Context scoreScope(const Context &context, NodeId score, Span span);
  Value expectation(const Symbol &p, const Expr &e, const Context &context);
  Value expectationOf(NodeId p, const Expr &argument, const Context &context, Span whole);
  Value branchExpectation(const Handle &h, NodeId node, const Expr &argument, const Context &context, Span whole);
  NodeId weightsNode(const Handle &h, WeightKind kind, NodeId score, bool withMass, const std::vector<NodeId> &sinks);
  /// log of the divisor of exp weights: of the sum of weights and sinks.
  NodeId divisorLog(const Handle &h);
  NodeId countOf(const Handle &h);
  /// e with the division applied that the node of the weights does not do.
  NodeId divided(const Handle &h, NodeId e);
  /// The divided weight of each query and key.
  NodeId pairWeight(const Handle &h, const NodeId *divisorLog);
  Value statistic(Handle &h, const std::string &name, const Expr &e);
  Value reducedWeights(ReduceKind kind, NodeId p, const Expr &in, const Expr &e, const Context &context);
  Value pairOfBranch(const Handle &h, const std::string &name, const Expr &e, const Context &context);
  Handle &handleOf(NodeId p) { return handles_[static_cast<size_t>(graph_[p].integer)]; }
  bool isHandle(NodeId n) const { return graph_[n].kind == Kind::Weights; }

  // States.
  /// `brackets`: the axes of key and value, or nothing.
  Value recurrence(const Expr &e, const Context &context, const std::vector<Identifier> *brackets);
  bool stateFields(const Core &c, std::map<std::string, const Field *> &fields);
  std::optional<AxisId> timeAxis(const Core &c, const std::vector<NodeId> &operands, const Context &context);
  bool stateAxes(const Core &c, const std::vector<Identifier> *brackets, const std::optional<NodeId> &query,
                 Graph::StateParts &parts, const Context &context);
  bool checkStateAxes(const Graph::StateParts &parts, const std::map<std::string, const Expr *> &texts);
  bool initialState(const Field &f, bool divides, const Context &context, Graph::StateParts &parts,
                    Graph::StateParts &ones, std::vector<DeclId> &carried);
  bool initialValue(const Expr &e, const Context &context, Graph::StateParts &parts, std::optional<DeclId> &carried);
  void checkDecay(NodeId decay, const Expr &text);
  void warnSign(NodeId x, const char *what, Span span);
  std::string unsignedPart(NodeId x) const;
  Value stateOf(const Expr &e, const char *reader, const Context &context);
  Value stateFunction(const std::string &name, const Expr &e, const Context &context);
  AxisId blocksOf(AxisId time, int64_t extent, Span span);
  Value vectors(const Recurrence &r, const Expr &e);
  NodeId vectorsAt(NodeId state, ReadPoint point, Span span);
  struct Past {
    NodeId begin = 0;
    std::optional<DeclId> carried;
  };
  std::optional<Past> pastOf(const Expr &e, const Context &context);
  void writeCarry(const Past &past, NodeId end);
  NodeId atEnd(AxisId time, NodeId x, NodeId index);
  Value convolutionOfPast(AxisId time, AxisId taps, NodeId x, NodeId w, const Expr &e, const Context &context);
  Value sumOfPast(AxisId time, NodeId sum, const Expr &e, const Context &context);
  /// What is read, by what divides it.
  NodeId divided(const Recurrence &r, NodeId result, NodeId sum);
  Value readOf(const Recurrence &r, NodeId query, const Expr &text, Span span);
  Value convolution(const Expr &e, const Expr &brackets, const Context &context);
  bool isState(NodeId n) const { return graph_[n].kind == Kind::State; }
  Recurrence &recurrenceOf(NodeId s) { return recurrences_[static_cast<size_t>(graph_[s].integer)]; }
  NodeId finishState(Recurrence r);
  static Symbol::Kind symbolKind(Kind kind) {
    return kind == Kind::Weights ? Symbol::Kind::Weights
           : kind == Kind::State ? Symbol::Kind::State
                                 : Symbol::Kind::Field;
  }

  // Maps.
  Value inlineMap(const Symbol &map, const Expr &e, const Expr *brackets, const Context &context);
  bool splitAxis(const Expr &relation, std::map<std::string, AxisId> &bound, Scope &scope);
  bool joinedAxis(const Expr &relation, std::map<std::string, AxisId> &bound, const Context &context);
  bool declareParameters(const Item &item, const std::vector<AxisId> &batch);
  bool declareParameter(const syntax::MapParam &p, const Identifier &name, const std::vector<AxisId> &batch);
  Value ownValue(const Item &item, const std::map<std::string, std::string> &chosen);
  void addOutput(const std::string &name, NodeId v, Span span);
  void freeNames(const Expr &e, Scope &scope, std::vector<Identifier> &into);
  void dropDeclaration(DeclId dropped);
  std::vector<bool> reachableFromOutputs() const;
  bool isNumber(NodeId n) const { return graph_[n].kind == Kind::Real || graph_[n].kind == Kind::Int; }
  bool tokenAxisOf(NodeId n, const Walk &walk) const {
    return graph_.hasAny(n, walk.query) || graph_.hasAny(n, walk.raw) || graph_.has(n, walk.base);
  }
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
  void checkCarries();
  void checkCausality();
  std::set<AxisId> tokenAxes() const;
  void addReduced(std::set<AxisId> &tokens) const;
  void checkHorizons(const std::vector<bool> &live, const std::set<AxisId> &tokens);
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
  std::deque<Handle> handles_;            // references stay valid
  std::deque<Recurrence> recurrences_;    // likewise
  std::map<NodeId, size_t> weightsNodes_; // Op::Weights -> its handle
  std::map<AxisId, std::string> walkNames_;
  std::map<AxisId, Walk> walks_;  // by walk axis
  std::set<AxisId> alignStart_;   // axes of keys
  std::set<NodeId> ends_;         // reads at the end of a call, for carries alone
  std::set<std::string> extents_; // consts that relations of axes read
  std::vector<const Item *> inlining_;
  std::vector<ExprPtr> calls_; // made here, not in the text
};

} // namespace fovea::sema::internal
