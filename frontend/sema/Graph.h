// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds the nodes of one attention: infers axes and kinds, folds constants, and keeps equal nodes once.
#pragma once

#include "frontend/sema/Program.h"

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace fovea::sema {

class Graph {
public:
  explicit Graph(Attention &attention);

  /// The place given to the nodes made from now on.
  syntax::Span here;

  const Node &operator[](NodeId n) const { return attention_.nodes[n]; }
  Attention &attention() { return attention_; }
  const Attention &attention() const { return attention_; }
  size_t size() const { return attention_.nodes.size(); }
  /// Length of the longest path to a node without operands: bounds recursions over the graph.
  unsigned depth(NodeId n) const { return depth_[n]; }
  bool overflowed() const { return overflowed_; }
  void clearOverflow() { overflowed_ = false; }

  bool has(NodeId n, AxisId axis) const;
  /// The axis, or the factors of a Factor axis.
  std::vector<AxisId> parts(AxisId axis) const;
  /// All parts of the axis, or some part of it, are axes of n.
  bool hasAll(NodeId n, AxisId axis) const;
  bool hasAny(NodeId n, AxisId axis) const;
  static void unite(std::vector<AxisId> &into, const std::vector<AxisId> &axes);

  NodeId real(double value);
  NodeId integer(int64_t value);
  NodeId boolean(bool value);
  NodeId input(DeclId declaration, const std::vector<AxisId> &axes, Kind kind);
  NodeId sizeOf(AxisId axis);
  NodeId index(AxisId axis);
  NodeId position(AxisId axis);
  NodeId queryPosition(AxisId query, AxisId raw);
  NodeId toReal(NodeId x);
  /// Pointwise operations insert ToReal where kinds mix. Operands must be of kinds that the operation takes: Bool for
  /// And, Or, Not and the condition of Select, Int for FloorDiv and Mod, else numbers.
  NodeId unary(Op op, NodeId x);
  NodeId binary(Op op, NodeId a, NodeId b);
  NodeId select(NodeId condition, NodeId a, NodeId b);
  NodeId reduce(ReduceKind kind, const std::vector<AxisId> &axes, NodeId x);
  NodeId dot(const std::vector<AxisId> &axes, NodeId a, NodeId b);
  NodeId rename(AxisId from, AxisId to, NodeId x);
  NodeId rowAt(AxisId raw, AxisId query, NodeId x);
  /// `before` are the parts of `whole` that stand before `part`.
  NodeId slice(AxisId whole, AxisId part, const std::vector<AxisId> &before, NodeId x);
  NodeId concat(AxisId whole, const std::vector<AxisId> &parts, const std::vector<NodeId> &operands);
  NodeId gather(AxisId axis, NodeId x, NodeId index);
  NodeId scan(AxisId axis, NodeId x);
  NodeId blockReduce(ReduceKind kind, AxisId axis, AxisId blocks, NodeId x);
  /// `factor`, of which x has all parts, becomes the walk axis.
  NodeId flatten(AxisId factor, AxisId walk, NodeId x);
  /// All pairs of two axes as one axis, the first varies slowest.
  NodeId pairs(const std::vector<AxisId> &parts, AxisId to, NodeId x);
  /// Of kind Free, `score` is the weight. `where` and `mass` may be null.
  NodeId weights(WeightKind kind, AxisId walk, AxisId query, NodeId score, const NodeId *where, const NodeId *mass,
                 const std::vector<NodeId> &sinks);
  /// Stands for a distribution while the text is read; no output reaches it. `id` makes it unique.
  NodeId handle(int64_t id, const std::vector<AxisId> &rows);
  /// `coefficient` may be null.
  NodeId expect(NodeId p, NodeId value, const NodeId *coefficient);
  NodeId stat(StatKind kind, NodeId p);
  /// What a recurrence is made of; `value` has the axis `features` if there is one.
  struct StateParts {
    AxisId time = 0, key = 0;
    std::optional<AxisId> features, blocks;
    NodeId keys = 0, values = 0;
    std::optional<NodeId> decay, erase, where, commit, initial;
    bool reverse = false;
  };
  NodeId state(const StateParts &parts);
  /// Stands for a state while the text is read, as `handle` does for weights.
  NodeId stateHandle(int64_t id, const std::vector<AxisId> &batch);
  NodeId read(ReadPoint point, NodeId state, NodeId query);
  NodeId last(NodeId state);
  NodeId every(NodeId state, AxisId blocks);
  NodeId conv(const std::vector<AxisId> &axes, const std::vector<AxisId> &taps, bool same, NodeId x, NodeId w);
  NodeId output(DeclId declaration, const std::vector<AxisId> &axes, NodeId x);

  bool isConstant(NodeId n) const { return (*this)[n].op == Op::Constant; }
  /// The number of a constant of kind Real or Int.
  double number(NodeId n) const;
  /// The value of a scalar of constants and known sizes.
  std::optional<double> evaluate(NodeId n) const;

  /// n with the nodes replaced that `replace` answers for; all others are made anew from their operands. Nodes that
  /// hold weights are kept as they are.
  NodeId transform(NodeId n, const std::function<std::optional<NodeId>(NodeId)> &replace);

  /// n with the walk axis `to` in place of `from`; both walk the same axis.
  NodeId substituteWalk(NodeId n, AxisId from, AxisId to);

private:
  NodeId add(Node node);
  NodeId remake(NodeId n, const std::vector<NodeId> &operands);

  Attention &attention_;
  std::unordered_map<std::string, NodeId> known_;
  std::vector<unsigned> depth_;
  bool overflowed_ = false;
};

/// The sum of accumulators that `p(e)` stands for. `e` is a field with the walk axis of p, or without.
struct Distribution {
  bool ok = false;
  NodeId result = 0;
  NodeId culprit = 0; // the node that is no accumulator
  std::string reason; // of the refusal
};
Distribution distribute(Graph &graph, NodeId p, NodeId e);

/// The walk of one `weights`.
struct Walk {
  AxisId walk = 0; // the axis of the keys
  AxisId raw = 0;  // the axis walked
  AxisId base = 0; // the axis that `raw` blocks or windows, else `raw`: the one that positions count
  AxisId query = 0;
  NodeId i = 0, j = 0;     // the positions, Int; j is the index of the block where blocks are walked
  bool given = false;      // positions were given by `at`
  bool alignStart = false; // of `base` and `query`
  std::string name = "j";  // of the index
};

/// A lower bound of i - t that `where` implies, or minus infinity; t is j, or the last position of block j.
double impliedLag(const Graph &graph, NodeId where, const Walk &walk);
/// A lower bound of i - (x * step + extent - 1), or minus infinity; `ofKey`: of t in place of i.
double lagOf(const Graph &graph, NodeId x, int64_t step, int64_t extent, const Walk &walk, bool ofKey);
/// All values that x can have are in it; an open end is none of them. Of a Bool, 0 and 1.
struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool openLow = false, openHigh = false;
  bool isPositive() const { return low > 0 || (low == 0 && openLow); }
};
/// By intervals, from contracts, constants and sizes; what it does not see through has no bounds.
Range rangeOf(const Graph &graph, NodeId x);
/// The same of a finished attention, such as of the decay of a state.
Range rangeOf(const Attention &attention, NodeId x);
/// x >= 0 for all values of the inputs.
bool isNonNegative(const Graph &graph, NodeId x);
/// No pair satisfies both: proved, not assumed. The walk axes stand for the same keys.
bool areDisjoint(Graph &graph, NodeId a, AxisId walkA, NodeId b, AxisId walkB);

} // namespace fovea::sema
