// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which keys can a tile of queries see, and which do all its queries see? Interval arithmetic on the predicate of a
// `weights`. The answer is a union of ranges whose bounds are integer expressions over sizes, scalars and the first and
// last query position of the tile: nothing here makes code.
#pragma once

#include "dialect/attn/Attn.h"

#include <functional>
#include <memory>
#include <vector>

namespace fovea::analysis {

struct BoundExpr;
using Bound = std::shared_ptr<const BoundExpr>;

/// An integer expression, exact in 64 bits: `magnitude` bounds its absolute value and stays below 2^61.
struct BoundExpr {
  enum class Kind {
    Constant,   // constant
    AxisSize,   // the size of `axis`
    FirstQuery, // the position of the first query of the tile
    LastQuery,  // the position of its last valid query; at least FirstQuery
    Scalar,     // the value of `scalar`, an int field on batch axes
    Add,        // lhs + rhs
    Scale,      // lhs * constant
    Min,
    Max,
    FloorDiv, // lhs // constant, the constant positive
  };
  explicit BoundExpr(Kind kind) : kind(kind) {}
  Kind kind;
  int64_t constant = 0;
  mlir::StringAttr axis;
  mlir::Value scalar;
  Bound lhs, rhs;
  double magnitude = 0;
};

/// A part of a predicate that token data decide: what arithmetic on positions does not understand.
struct DataPart {
  mlir::Value predicate;                                              // a bool field
  std::vector<std::pair<mlir::StringAttr, mlir::StringAttr>> renamed; // axes, each under its name in the walk
  bool negated = false;
};

/// One conjunction of the predicate. Bounds may be negative, beyond the keys, or cross: such a range is empty.
struct KeyRange {
  /// Keys [lo, hi) are all that any query of the tile can see by this conjunction ...
  Bound lo, hi;
  /// ... unless one of these is positive: then no query sees a key.
  std::vector<Bound> never;
  /// Keys [fullLo, fullHi) are seen by every query of the tile ...
  Bound fullLo, fullHi;
  /// ... unless one of these is positive: then nothing is known about any key.
  std::vector<Bound> notFull;
  /// Part of the conjunction was not understood: no key is known to be seen by all.
  bool partial = false;
  /// What of that part `KeyWalk::isData` accepted: all of these hold too. With `opaque`, there is more.
  std::vector<DataPart> data;
  bool opaque = false;
};

/// The walk whose predicate is read.
struct KeyWalk {
  mlir::StringAttr walk;      // the axis of j
  mlir::StringAttr keys;      // the raw axis: j is below its size
  mlir::StringAttr query;     // the axis of i; the position is the index plus |positions| - |query|
  mlir::StringAttr positions; // the axis of positions, where it is not that of keys: keys may be blocks of it
  /// The size of an axis where it is known now.
  std::function<std::optional<int64_t>(mlir::StringAttr)> staticSize;
  /// True for axes that have one index in the whole tile: a field on these alone is a scalar.
  std::function<bool(mlir::StringAttr)> isBatch;
  /// True for a bool field that the caller can bound from data; absent: none.
  std::function<bool(const DataPart &)> isData;
};

/// At most four ranges whose union holds every key that any query sees; none if no query sees any. A null predicate is
/// true. What is not understood (data on tokens, comparison of reals) widens the ranges and makes them partial.
llvm::SmallVector<KeyRange> deriveKeyRanges(mlir::Value predicate, const KeyWalk &walk);

/// True if the bound is at most the number of keys whatever the sizes are, given that positions are below it.
bool isAtMostKeys(const Bound &bound, const KeyWalk &walk);

/// The value of a bound; `leaf` gives that of AxisSize, FirstQuery, LastQuery and Scalar.
int64_t evaluate(const Bound &bound, llvm::function_ref<int64_t(const BoundExpr &)> leaf);

/// As text, for tests and explanations: `min(last + 1, |S|)`.
std::string toString(const Bound &bound);

} // namespace fovea::analysis
