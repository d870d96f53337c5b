// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds the nodes of one attention: infers axes and kinds, folds constants, and keeps equal nodes once.
#pragma once

#include "frontend/sema/Program.h"

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace fovea::sema {

class Graph {
public:
  explicit Graph(Attention &attention) : attention_(attention) {}

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
  NodeId weights(AxisId walk, AxisId query, NodeId score, const NodeId *where, const std::vector<NodeId> &sinks);
  /// `coefficient` may be null.
  NodeId expect(NodeId p, NodeId value, const NodeId *coefficient);
  NodeId stat(StatKind kind, NodeId p);
  NodeId output(DeclId declaration, const std::vector<AxisId> &axes, NodeId x);

  bool isConstant(NodeId n) const { return (*this)[n].op == Op::Constant; }
  /// The number of a constant of kind Real or Int.
  double number(NodeId n) const;
  /// The value of a scalar of constants and known sizes.
  std::optional<double> evaluate(NodeId n) const;

private:
  NodeId add(Node node);

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

/// A lower bound of i - j that `where` implies, or minus infinity.
double impliedLag(const Graph &graph, NodeId where, AxisId walk, AxisId query, AxisId raw);

} // namespace fovea::sema
