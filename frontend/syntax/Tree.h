// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The syntax tree of a .attn file: what was written, nothing resolved. Comments are kept beside it, for the printer.
#pragma once

#include "frontend/syntax/Diagnostic.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fovea::syntax {

struct Identifier {
  std::string text; // empty: absent
  Span span;
  explicit operator bool() const { return !text.empty(); }
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

/// An axis list with an optional element type: `f32 [B, T]`, `[B, T]`, `int`.
struct Type {
  Identifier element;
  bool hasAxes = false;
  std::vector<ExprPtr> axes; // names; in a map's result also `F = E + E`, in a storage also sizes
  Span span;
};

/// `name: value, value per axis` inside the braces of a core, schedule or storage.
struct Field {
  Identifier name; // absent in the equation of a `solve`
  std::vector<ExprPtr> values;
  Identifier per;
  std::vector<Identifier> targets; // storage: further names before the colon
  Identifier on;                   // storage
  Span span;
};

/// weights, attend, recur and solve: expressions with fields in braces.
struct Core {
  Identifier keyword;
  Identifier over; // the axis walked
  Identifier as;   // the name of its index
  bool reverse = false;
  bool hasArguments = false, hasFields = false;
  std::vector<ExprPtr> arguments;
  std::vector<Field> fields;
  Identifier unknown; // solve
  Type type;          // solve
  ExprPtr by;         // solve
};

enum class ExprKind : uint8_t {
  Error,     // was reported by the parser; analysis keeps silent about it
  Number,    // text
  Name,      // text
  Paren,     // (a)
  Unary,     // text: - not, and in an argument < <= > >=
  Binary,    // text: + - * / // % ^ and or in of overlap =
  Compare,   // a op b op c ..; ops
  If,        // condition, then, else
  Match,     // text: the option; children Labelled(name, value)
  Tuple,     // (a, b)
  List,      // [a, b]
  Set,       // {a, b}
  Subscript, // base, items
  Call,      // callee, arguments
  Member,    // base; text
  As,        // base, items
  LetIn,     // text: name; value, body
  Labelled,  // label, value
  Core,      // core
};

struct Expr {
  ExprKind kind = ExprKind::Error;
  Span span;
  Span nameSpan; // of `text`
  std::string text;
  std::vector<std::string> ops; // Compare
  std::vector<Span> opSpans;    // Compare
  std::vector<ExprPtr> children;
  std::unique_ptr<Core> core;
  Span braces; // Match, Core with fields: from { to }
  /// For the printer: a line break stood at the operator (Binary, bit 0; Compare, bit n of operator n), after
  /// the comma before child n (bit n), or inside the braces or after the opening bracket (bit 0).
  std::vector<bool> breaks;
  unsigned height = 0; // of the subtree; bounded by kMaxNesting
};

/// Deepest nesting of a tree that the parser accepts.
inline constexpr unsigned kMaxNesting = 200;

enum class ItemKind : uint8_t {
  File, // the level outside all items; no item has it
  Import,
  Attention,
  Map,
  Schedule,
  Storage,
  Axis,
  Static,
  Input,
  Param,
  Const,
  Option,
  Carry,
  Let,
  State,
  Output,
  Law,
  Result, // the value of a map: an expression that stands alone
  Error,  // reported by the parser
};

struct AxisSpec {
  Identifier name;
  ExprPtr relation;
  Identifier keys;
  Identifier alignment; // keys T align start
};

struct ContractBound {
  std::string op; // <= < >= >
  ExprPtr value;
  Span span;
  bool interval = false; // one of the two bounds of `in [a, b)`
};

struct MapParam {
  bool isOption = false;
  Identifier name;
  Type type;
  ExprPtr defaultValue;
  std::vector<Identifier> alternatives;
};

struct Item {
  ItemKind kind = ItemKind::Error;
  Span span;
  Span keyword;
  bool continued = false; // follows `;` and leaves out the keyword of the item before
  std::vector<Identifier> names;
  std::vector<Identifier> list; // state: axes; let: parameters; option: alternatives; import: names
  std::vector<AxisSpec> axes;
  bool hasType = false;
  Type type; // also a map's result
  std::vector<ContractBound> contract;
  std::vector<ExprPtr> values; // the value or default; law: left and right
  bool isOptional = false;
  Identifier claim; // attention
  Identifier on;    // schedule
  std::string path; // import
  Span pathSpan;
  std::vector<MapParam> params;
  std::vector<Item> body;
  std::vector<Field> fields; // schedule, storage
  Span braces;               // from { to }, of an item that has them
};

struct Comment {
  Span span; // from # to the end of the line, without trailing blanks
  bool ownLine = false;
};

struct File {
  uint32_t id = 0; // in DiagnosticEngine::sources
  Span edition;    // the line `fovea 1`
  std::vector<Item> items;
  std::vector<Comment> comments;
  bool hasErrors = false;
  bool lostNames = false; // an item was lost before its names were known: unknown names may be due to that
};

/// The structure as indented text, without positions and comments.
std::string dump(const File &file);

} // namespace fovea::syntax
