// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks of the whole attention, and what remains of it.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace fovea::sema::internal {

std::vector<bool> Analyzer::reachable() const {
  std::vector<bool> live(attention_.nodes.size(), false);
  auto mark = [&](NodeId n) { live[n] = true; };
  for (const Declaration &d : attention_.declarations) {
    mark(d.node);
    if (d.finalNode)
      mark(*d.finalNode);
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
    else if (n.op == Op::State && !n.attrAxes.empty())
      contracted.insert(n.attrAxes[1]);
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
  for (const auto &[node, number] : weightsNodes_) {
    const Walk &walk = handles_[number].walk;
    if (graph_[node].operands[0] != handles_[number].score)
      continue;
    NodeId score = graph_[node].operands[0];
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
        onKeys = graph_.has(n, walk.walk) && !graph_.hasAny(n, walk.query);
        for (NodeId o : graph_[n].operands)
          stack.push_back(o);
      }
      if (onKeys)
        error(handles_[number].scoreSpan, "the score still has the feature axis " + quoted(axisName(a)),
              "expected one number per pair; contract it with dot[" + axisName(a) + "](..) or sum[" + axisName(a) +
                  "](..)");
    }
  }
}

/// A set mixer has no walk. Its tokens are on what it reduces over that no weight has, and that some input has before
/// its last axis.
void Analyzer::addReduced(std::set<AxisId> &tokens) const {
  std::set<AxisId> ofParams, before;
  for (const Declaration &d : attention_.declarations) {
    if (d.role == Role::Param)
      ofParams.insert(d.axes.begin(), d.axes.end());
    if (d.role == Role::Input && !d.axes.empty())
      before.insert(d.axes.begin(), d.axes.end() - 1);
  }
  for (const Node &n : attention_.nodes)
    if (n.op == Op::Reduce || n.op == Op::Dot)
      for (AxisId a : n.attrAxes)
        if (before.count(a) && !ofParams.count(a) && !attention_.axes[a].isStatic)
          tokens.insert(a);
}

/// Axes of tokens: walked, keys and queries, of recurrences and convolutions, and blocks with what they block.
std::set<AxisId> Analyzer::tokenAxes() const {
  std::set<AxisId> tokens;
  auto add = [&](AxisId a) {
    for (AxisId p : graph_.parts(a))
      tokens.insert(p);
  };
  for (AxisId k = 0; k < attention_.axes.size(); ++k) {
    const Axis &a = attention_.axes[k];
    switch (a.relation) {
    case AxisRelation::Walk:
      add(a.raw);
      add(a.query);
      break;
    case AxisRelation::Keys:
      add(a.query);
      add(k);
      break;
    case AxisRelation::Blocks:
    case AxisRelation::Windows:
      add(a.raw);
      add(k);
      break;
    default:
      break;
    }
  }
  for (const Node &n : attention_.nodes) {
    if (n.op == Op::Scan || (n.op == Op::State && !n.attrAxes.empty()))
      add(n.attrAxes[0]);
    if (n.op == Op::Conv)
      for (size_t k = 0; k < n.attrAxes.size() / 2; ++k)
        add(n.attrAxes[k]);
  }
  if (attention_.claim == Claim::Set)
    addReduced(tokens);
  return tokens;
}

void Analyzer::checkCausality() {
  std::set<AxisId> tokens = tokenAxes();
  for (const Declaration &d : attention_.declarations)
    if (d.role == Role::Param)
      for (AxisId a : d.axes)
        if (tokens.count(a))
          error(d.span, "a param has no token axis", quoted(axisName(a)) + " is one; declare it as an input");
  if (attention_.claim == Claim::Causal)
    checkHorizons(reachable(), tokens);
}

namespace {

/// What a field may depend on, at each of its indices: tokens up to the greatest of the positions that its indices on
/// `axes` have. On an axis of blocks that is the last position of a block. `all`: of any token.
struct Horizon {
  std::set<AxisId> axes;
  bool all = false;
  std::optional<NodeId> last; // Op::Last: of all tokens, which matters where the result has a token axis
  void unite(const Horizon &other) {
    axes.insert(other.axes.begin(), other.axes.end());
    all |= other.all;
    if (!last)
      last = other.last;
  }
};

} // namespace

/// Follows from the inputs what each value depends on. Each way to a later token is an error where it opens.
void Analyzer::checkHorizons(const std::vector<bool> &live, const std::set<AxisId> &tokens) {
  std::vector<Horizon> horizons(attention_.nodes.size());
  std::map<NodeId, std::map<AxisId, bool>> proved;
  std::set<size_t> reported;
  // `where` allows no key after the query, for the walk of this axis.
  auto excludesLater = [&](NodeId where, AxisId walk) {
    auto it = walks_.find(walk);
    if (it == walks_.end())
      return false;
    auto [known, fresh] = proved[where].emplace(walk, false);
    if (fresh)
      known->second = impliedLag(graph_, where, it->second) >= 0;
    return known->second;
  };
  for (NodeId k = 0; k < live.size(); ++k) { // proofs may add nodes
    if (!live[k])
      continue;
    const Node n = attention_.nodes[k];
    Horizon h;
    for (NodeId o : n.operands)
      h.unite(horizons[o]);
    auto move = [&](AxisId from, AxisId to) {
      if (h.axes.erase(from))
        h.axes.insert(to);
    };
    switch (n.op) {
    case Op::Input:
      for (AxisId a : n.axes)
        if (tokens.count(a))
          h.axes.insert(a);
      break;
    case Op::Reduce:
    case Op::Dot:
      for (AxisId a : n.attrAxes)
        if (h.axes.erase(a)) {
          error(n.span, "a causal attention cannot reduce over the token axis " + quoted(axisName(a)),
                "an earlier output would depend on later tokens; drop 'causal' or use 'weights over " + axisName(a) +
                    "'");
          h.all = true;
        }
      break;
    case Op::Rename:
    case Op::RowAt:
      move(n.attrAxes[0], n.attrAxes[1]);
      break;
    case Op::Flatten: {
      bool any = false;
      for (size_t f = 0; f + 1 < n.attrAxes.size(); ++f)
        any |= h.axes.erase(n.attrAxes[f]) != 0;
      if (any)
        h.axes.insert(n.attrAxes.back());
      break;
    }
    case Op::BlockReduce:
      move(n.attrAxes[0], n.attrAxes[1]);
      break;
    case Op::Slice:
    case Op::Concat:
      for (size_t part = 1; part < n.attrAxes.size(); ++part)
        if (n.op == Op::Slice ? h.axes.erase(n.attrAxes[0]) != 0 : h.axes.erase(n.attrAxes[part]) != 0)
          h.axes.insert(n.op == Op::Slice ? n.attrAxes[1] : n.attrAxes[0]);
      break;
    case Op::Gather: {
      AxisId axis = n.attrAxes[0];
      h = horizons[n.operands[0]];
      bool dependent = h.axes.erase(axis) != 0;
      h.unite(horizons[n.operands[1]]);
      if (dependent && ends_.count(k)) {
        h.last = k;
        break;
      }
      if (!dependent)
        break;
      // The row read must not be later than some index of the result.
      const Axis &a = attention_.axes[axis];
      bool blocks = a.relation == AxisRelation::Blocks || a.relation == AxisRelation::Windows;
      AxisId base = blocks ? a.raw : axis;
      int64_t step = blocks ? a.step : 1, extent = blocks ? a.extent : 1;
      NodeId index = n.operands[1];
      // The first token is before no other.
      bool good = graph_.isConstant(index) &&
                  graph_.number(index) * static_cast<double>(step) + static_cast<double>(extent - 1) <= 0;
      for (AxisId t : graph_[index].axes) {
        if (good || !(tokens.count(t) || attention_.axes[t].relation == AxisRelation::Walk))
          continue;
        Walk at;
        const Axis &own = attention_.axes[t];
        if (own.relation == AxisRelation::Walk) {
          auto it = walks_.find(t);
          if (it == walks_.end() || it->second.base != base)
            continue;
          at = it->second;
          good = lagOf(graph_, index, step, extent, at, true) >= 0;
        } else {
          at.query = t;
          at.base = at.raw = at.walk = base;
          bool queries = attention_.axes[base].relation == AxisRelation::Keys && attention_.axes[base].query == t;
          if (t != base && !queries)
            continue;
          at.alignStart = alignStart_.count(base) != 0;
          Span saved = graph_.here;
          at.i = queries && !at.alignStart ? graph_.queryPosition(t, base) : graph_.index(t);
          graph_.here = saved;
          at.j = at.i;
          good = lagOf(graph_, index, step, extent, at, false) >= 0;
        }
        if (good)
          h.axes.insert(t);
      }
      if (!good) {
        error(n.span, "this may read tokens after its own",
              "the index on " + quoted(axisName(axis)) + " is not proved to be" +
                  (blocks ? " of a block that ends" : "") +
                  " at most its own position; drop 'causal' or bound it with min(..)");
        h.all = true;
      }
      break;
    }
    case Op::Select: {
      // Where the condition excludes later keys, what it guards is not read for them.
      std::set<AxisId> walked;
      for (AxisId a : h.axes)
        if (attention_.axes[a].relation == AxisRelation::Walk && excludesLater(n.operands[0], a) &&
            !horizons[n.operands[2]].axes.count(a))
          walked.insert(a);
      for (AxisId a : walked) {
        h.axes.erase(a);
        for (AxisId q : graph_.parts(walks_[a].query))
          h.axes.insert(q);
      }
      break;
    }
    case Op::Weights: {
      auto it = weightsNodes_.find(k);
      if (it == weightsNodes_.end())
        break;
      const Handle &handle = handles_[it->second];
      const Walk &w = handle.walk;
      bool good = n.hasWhere && excludesLater(n.operands[1], w.walk);
      h.axes.erase(w.walk);
      for (AxisId q : graph_.parts(w.query))
        h.axes.insert(q);
      if (good || !reported.insert(it->second).second)
        break;
      const Axis &raw = attention_.axes[w.raw];
      bool blocks = raw.relation == AxisRelation::Blocks || raw.relation == AxisRelation::Windows;
      std::string bound = blocks ? "last[" + axisName(w.raw) + "](" + w.name + ") <= i" : w.name + " <= i";
      if (!n.hasWhere) {
        error(handle.whereSpan, "these weights read all keys, later ones too",
              "a causal attention needs 'where: " + bound + "'; or drop 'causal'");
        break;
      }
      double lag = impliedLag(graph_, n.operands[1], w);
      error(handle.whereSpan, "this 'where' does not imply " + bound,
            std::isfinite(lag) ? "it allows keys up to " + std::to_string(static_cast<long long>(-lag)) +
                                     " after the query; add '" + bound + " and ..' or drop 'causal'"
                               : "keys after the query are not excluded; add '" + bound + " and ..' or drop 'causal'");
      break;
    }
    case Op::Expect:
      h.axes.erase(n.attrAxes[0]);
      for (AxisId q : graph_.parts(n.attrAxes[1]))
        h.axes.insert(q);
      break;
    case Op::State: {
      AxisId time = n.attrAxes[0];
      h = {};
      size_t commit = 2u + n.hasDecay + n.hasErase + n.hasWhere;
      for (size_t o = 0; o < n.operands.size(); ++o) {
        Horizon own = horizons[n.operands[o]];
        // It acts from the end of its block on.
        if (n.hasCommit && o == commit && own.axes.erase(n.attrAxes.back()))
          own.axes.insert(time);
        h.unite(own);
      }
      break;
    }
    case Op::Last:
      if (h.axes.erase(attention_.nodes[n.operands[0]].attrAxes[0]))
        h.last = k;
      break;
    case Op::Every:
      move(attention_.nodes[n.operands[0]].attrAxes[0], n.attrAxes[0]);
      break;
    case Op::Conv:
      for (size_t a = 0; a < n.attrAxes.size() / 2 && n.same; ++a)
        if (h.axes.count(n.attrAxes[a])) {
          error(n.span, "a causal attention cannot look around along " + quoted(axisName(n.attrAxes[a])),
                "a convolution of two axes has taps after its own place; drop 'causal', or use conv[T](x, w)");
          h.all = true;
        }
      break;
    case Op::Output:
      for (AxisId a : n.axes)
        if (h.last && tokens.count(a)) {
          error(attention_.nodes[*h.last].span, "the state after all tokens is of later tokens too",
                "an output on the token axis " + quoted(axisName(a)) + " would depend on them; use read(S, q)");
          break;
        }
      break;
    default: // what is left of a pair field at an output is the column of its own key
      break;
    }
    horizons[k] = std::move(h);
  }
}

void Analyzer::checkCarries() {
  if (failed_)
    return;
  for (const Declaration &d : attention_.declarations)
    if (d.role == Role::Carry && !d.finalNode)
      error(d.span, "carried memory " + quoted(d.name) + " is never written",
            "expected 'initial: " + d.name +
                "' in a 'recur', or the past of a 'conv' or 'cumsum'; what is only read "
                "is an 'input'");
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
  for (const Handle &h : handles_)
    if (h.mass && !h.massMatters && h.divide == Handle::Divide::Sum && h.sinks.empty() &&
        !graph_.has(*h.mass, h.walk.walk))
      session_.diagnostics.warning(h.massSpan, "this mass cancels",
                                   "all weights of a row have it, and are divided by "
                                   "their sum; it matters with a sink or in 'merge'");
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

/// Runs of factors become the factor axis again, the longest first; an axis that nothing names is none that is meant.
void Analyzer::regroup(const std::vector<AxisId> &axes, std::vector<AxisId> &declared) const {
  for (size_t k = 0; k < axes.size();) {
    AxisId best = axes[k];
    size_t length = 1;
    for (AxisId f = 0; f < attention_.axes.size(); ++f) {
      const std::vector<AxisId> &factors = attention_.axes[f].factors;
      auto named = scope_.symbols.find(attention_.axes[f].name);
      if (named != scope_.symbols.end() && !named->second.used)
        continue;
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
    liveAxis[a] =
        attention_.axes[a].relation != AxisRelation::Walk && attention_.axes[a].relation != AxisRelation::Share;
  for (size_t k = 0; k < live.size(); ++k)
    if (live[k])
      for (const auto *list : {&attention_.nodes[k].axes, &attention_.nodes[k].attrAxes})
        for (AxisId a : *list)
          liveAxis[a] = true;
  for (AxisId a = static_cast<AxisId>(attention_.axes.size()); a-- > 0;) // made of earlier ones
    if (liveAxis[a] && attention_.axes[a].relation == AxisRelation::Share)
      liveAxis[attention_.axes[a].raw] = true;
  std::vector<AxisId> axisMap(attention_.axes.size());
  std::vector<Axis> axes;
  for (AxisId a = 0; a < attention_.axes.size(); ++a)
    if (liveAxis[a]) {
      axisMap[a] = static_cast<AxisId>(axes.size());
      axes.push_back(attention_.axes[a]);
    }
  for (Axis &a : axes) {
    for (auto *list : {&a.factors, &a.parts})
      for (AxisId &f : *list)
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
    if (d.finalNode)
      d.finalNode = nodeMap[*d.finalNode];
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
  for (Storage &storage : attention_.storages)
    for (Ragged &ragged : storage.ragged)
      for (AxisId *a : {&ragged.batch, &ragged.token, &ragged.most})
        *a = axisMap[*a];
  // What a compilation must know: contracted axes and the features of values; tokens stay free.
  attention_.axes = axes;
  attention_.nodes = nodes;
  const std::set<AxisId> tokens = tokenAxes();
  // A size is asked for where it is given: of what a derived axis is made of.
  std::function<void(AxisId, Span)> need = [&](AxisId a, Span span) {
    if (axes[a].relation == AxisRelation::Walk || tokens.count(a) || axes[a].needsSize)
      return;
    axes[a].needsSize = true;
    axes[a].needSpan = span;
    for (AxisId p : axes[a].parts)
      need(p, span);
    if (axes[a].relation == AxisRelation::Share)
      need(axes[a].raw, span);
  };
  // What inputs have last lies inside tiles. Tokens of a set may be summed over, whatever their number, and heads
  // together with their features.
  auto isFeature = [&](AxisId a) {
    if (axes[a].isStatic || axes[a].relation != AxisRelation::Plain)
      return true;
    return std::all_of(declarations.begin(), declarations.end(), [&](const Declaration &d) {
      auto found = std::find(d.axes.begin(), d.axes.end(), a);
      return d.role != Role::Input || found == d.axes.end() || found + 1 == d.axes.end();
    });
  };
  auto isOpen = [&](const Node &n, AxisId a) {
    bool hasFeature = std::any_of(n.attrAxes.begin(), n.attrAxes.end(), isFeature);
    return !isFeature(a) && (hasFeature ? n.op == Op::Reduce : attention_.claim == Claim::Set);
  };
  for (const Node &n : nodes) {
    bool sums = n.op == Op::Dot || n.op == Op::Reduce;
    if (sums || n.op == Op::Slice || n.op == Op::Concat)
      for (AxisId a : n.attrAxes)
        if (!sums || !isOpen(n, a))
          need(a, n.span);
    // The features of what tokens are summed of.
    if (sums && std::all_of(n.attrAxes.begin(), n.attrAxes.end(), [&](AxisId a) { return isOpen(n, a); }))
      for (NodeId operand : n.operands)
        for (AxisId a : nodes[operand].axes)
          if (axes[a].isStatic)
            need(a, n.span);
    if (n.op == Op::State)
      for (size_t k = 1; k < n.attrAxes.size() - n.hasCommit; ++k)
        need(n.attrAxes[k], n.span);
    if (n.op == Op::Conv)
      for (size_t k = n.attrAxes.size() / 2; k < n.attrAxes.size(); ++k)
        need(n.attrAxes[k], n.span);
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
  checkCarries();
  if (!session_.exhausted)
    checkCausality();
  checkSizes();
  if (!failed_)
    storages(item);
  if (failed_)
    return std::nullopt;
  warnUnused();
  finish();
  checkStorageSizes();
  if (failed_)
    return std::nullopt;
  return std::move(attention_);
}

} // namespace fovea::sema::internal
