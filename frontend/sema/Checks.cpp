// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks of the whole attention, and what remains of it.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <cmath>

namespace fovea::sema::internal {

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

} // namespace fovea::sema::internal
