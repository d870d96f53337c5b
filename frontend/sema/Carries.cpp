// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What convolutions and prefix sums continue from one call to the next, and states that are read whole: all of it made
// of reads at computed places.
#include "frontend/sema/Analyzer.h"

#include <algorithm>

namespace fovea::sema::internal {

/// The axis of blocks of so many tokens.
AxisId Analyzer::blocksOf(AxisId time, int64_t extent, Span span) {
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (attention_.axes[a].relation == AxisRelation::Blocks && attention_.axes[a].raw == time &&
        attention_.axes[a].extent == extent)
      return a;
  Axis blocks;
  blocks.name = uniqueWalkName(axisName(time) + "_" + std::to_string(extent));
  blocks.relation = AxisRelation::Blocks;
  blocks.raw = time;
  blocks.extent = blocks.step = extent;
  blocks.span = span;
  if (attention_.axes[time].size)
    blocks.size = (*attention_.axes[time].size + extent - 1) / extent;
  return makeAxis(std::move(blocks));
}

/// A state without values at one point of each token: its snapshots after blocks of one token, or those of the token
/// before, with what the token decays.
NodeId Analyzer::vectorsAt(NodeId state, ReadPoint point, Span span) {
  const Node node = graph_[state];
  const AxisId time = node.attrAxes[0];
  const AxisId each = blocksOf(time, 1, span);
  NodeId after = graph_.rename(each, time, graph_.every(state, each));
  if (point == ReadPoint::After)
    return after;
  NodeId index = graph_.index(time), one = graph_.integer(1);
  NodeId result = graph_.gather(time, after, graph_.binary(node.reverse ? Op::Add : Op::Sub, index, one));
  if (node.hasInitial) {
    NodeId first = node.reverse ? graph_.binary(Op::Sub, graph_.sizeOf(time), one) : graph_.integer(0);
    NodeId isFirst = graph_.binary(Op::Eq, index, first);
    result = graph_.select(isFirst, node.operands.back(), result);
  }
  if (point == ReadPoint::Prev || !node.hasDecay)
    return result;
  NodeId kept = graph_.unary(Op::Exp, node.operands[2]);
  if (node.hasWhere)
    kept = graph_.select(node.operands[3 + node.hasErase], kept, graph_.real(1));
  return graph_.binary(Op::Mul, kept, result);
}

/// read(S): a state without values, whole.
Value Analyzer::vectors(const Recurrence &r, const Expr &e) {
  const Node node = graph_[r.node];
  if (node.attrAxes.size() > 2u + node.hasCommit) {
    error(e.span, "this state is a matrix per token, which has no place in memory",
          "read it with a query, 'read(S, q)', or take snapshots, 'every(S, 256)'");
    return std::nullopt;
  }
  if (node.hasCommit)
    return notYet(e.span, "a state that is read whole, with 'commit'",
                  "works now: with a query, 'read(S, q)'; 'every(S, 1)' is what blocks leave behind");
  graph_.here = e.span;
  NodeId result = vectorsAt(r.node, r.point, e.span);
  return r.divisor ? divided(r, result, vectorsAt(*r.divisor, r.point, e.span)) : result;
}

/// What a call begins with: carried memory, which then is written too, or any other array.
std::optional<Analyzer::Past> Analyzer::pastOf(const Expr &e, const Context &context) {
  const Expr &lone = bare(e);
  Symbol *s = lone.kind == ExprKind::Name ? lookup(context.scope, lone.text) : nullptr;
  if (!s || s->kind != Symbol::Kind::Carry) {
    Value v = evalNumber(e, context);
    return v ? std::optional<Past>({graph_.toReal(*v), std::nullopt}) : std::nullopt;
  }
  DeclId id = graph_[s->node].declaration;
  if (attention_.declarations[id].finalNode) {
    error(e.span, "carried memory " + quoted(s->name) + " is written already", "each is carried once");
    return std::nullopt;
  }
  return Past{graph_.toReal(s->node), id};
}

void Analyzer::writeCarry(const Past &past, NodeId end) {
  if (!past.carried)
    return;
  std::vector<AxisId> axes = attention_.declarations[*past.carried].axes;
  NodeId out = graph_.output(*past.carried, axes, end);
  attention_.declarations[*past.carried].finalNode = out;
}

/// x at a place that the end of the call decides: not of one token, as the state after all tokens is not.
NodeId Analyzer::atEnd(AxisId time, NodeId x, NodeId index) {
  NodeId read = graph_.gather(time, x, index);
  ends_.insert(read);
  return read;
}

/// conv[T](x, w, past): what the taps read of the inputs before the first token. With P of them, tap u of token t reads
/// past[t + u] where that exists.
Value Analyzer::convolutionOfPast(AxisId time, AxisId taps, NodeId x, NodeId w, const Expr &e, const Context &context) {
  std::optional<Past> past = pastOf(e, context);
  if (!past)
    return std::nullopt;
  std::vector<AxisId> own;
  bool fits = !graph_.has(past->begin, time);
  for (AxisId a : graph_[past->begin].axes)
    if (!graph_.has(x, a))
      own.push_back(a);
  for (AxisId a : graph_[x].axes)
    fits &= a == time || !past->carried || graph_.has(past->begin, a);
  if (!fits || own.size() != 1) {
    std::vector<AxisId> expected = graph_[x].axes;
    std::string text = axesText(expected);
    error(e.span, "this is not what a convolution begins with",
          "it is on " + axesText(graph_[past->begin].axes) + ", the array on " + text +
              "; expected its last inputs, one less than taps, in place of " + quoted(axisName(time)));
    return std::nullopt;
  }
  AxisId places = own[0];
  std::optional<int64_t> count = attention_.axes[places].size, width = attention_.axes[taps].size;
  for (AxisId a : {places, taps})
    if (!attention_.axes[a].size && !attention_.axes[a].needsSize) {
      attention_.axes[a].needsSize = true;
      attention_.axes[a].needSpan = e.span;
    }
  if (count && width && *count != *width - 1) {
    error(e.span,
          "a convolution of " + std::to_string(*width) + " taps begins with " + std::to_string(*width - 1) + " inputs",
          "this has " + std::to_string(*count));
    return std::nullopt;
  }
  constexpr int64_t kMaxPast = 64;
  if (count.value_or(0) > kMaxPast)
    return notYet(e.span, "a convolution that carries more than " + std::to_string(kMaxPast) + " inputs");
  graph_.here = e.span;
  std::optional<NodeId> sum;
  for (int64_t u = 0; u < count.value_or(0); ++u) {
    NodeId tap = graph_.gather(taps, graph_.toReal(w), graph_.integer(u));
    NodeId at = graph_.binary(Op::Add, graph_.index(time), graph_.integer(u));
    NodeId term = graph_.binary(Op::Mul, tap, graph_.gather(places, past->begin, at));
    sum = sum ? graph_.binary(Op::Add, *sum, term) : term;
  }
  // The last inputs of this call, and of those before where it has fewer.
  NodeId length = graph_.sizeOf(time), place = graph_.index(places);
  NodeId from = graph_.binary(Op::Sub, graph_.binary(Op::Add, place, length), graph_.sizeOf(places));
  NodeId older = graph_.gather(places, past->begin, graph_.binary(Op::Add, place, length));
  writeCarry(*past, graph_.binary(Op::Add, atEnd(time, graph_.toReal(x), from), older));
  return sum ? *sum : graph_.real(0);
}

/// cumsum[T](x, past): what is added to all sums.
Value Analyzer::sumOfPast(AxisId time, NodeId sum, const Expr &e, const Context &context) {
  std::optional<Past> past = pastOf(e, context);
  if (!past)
    return std::nullopt;
  bool fits = !graph_.has(past->begin, time);
  for (AxisId a : graph_[past->begin].axes)
    fits &= graph_.has(sum, a);
  for (AxisId a : graph_[sum].axes)
    fits &= a == time || !past->carried || graph_.has(past->begin, a);
  if (!fits) {
    error(e.span, "this is not what a sum begins with",
          "it is on " + axesText(graph_[past->begin].axes) + ", the sum on " + axesText(graph_[sum].axes) +
              "; expected the same without " + quoted(axisName(time)));
    return std::nullopt;
  }
  graph_.here = e.span;
  NodeId all = graph_.binary(Op::Add, graph_.toReal(sum), past->begin);
  NodeId last = graph_.binary(Op::Sub, graph_.sizeOf(time), graph_.integer(1));
  writeCarry(*past, atEnd(time, all, last));
  return all;
}

} // namespace fovea::sema::internal
