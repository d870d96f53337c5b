// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recurrences: their fields and axes, what they carry, how they are read; and convolutions along tokens.
#include "frontend/sema/Analyzer.h"

#include <algorithm>
#include <cmath>

namespace fovea::sema::internal {

void Analyzer::stateItem(const Item &item) {
  Context context{&scope_, nullptr, false};
  Symbol s;
  s.what = "state";
  Value v;
  const Expr *e = item.values.empty() ? nullptr : &bare(*item.values[0]);
  bool isRecurrence = e && e->kind == ExprKind::Core && e->core->keyword.text == "recur";
  if (isRecurrence && e->core->hasArguments)
    error(e->span, "a state has no query of its own", "expected 'recur over T { .. }'; it is read by read(S, q)");
  else if (isRecurrence)
    v = recurrence(*e, context, item.list.empty() ? nullptr : &item.list);
  else if (e && e->kind != ExprKind::Error)
    error(e->span, "a state is a recurrence", "expected 'recur over T { key: ..; value: .. }'");
  if (v) {
    s.kind = Symbol::Kind::State;
    s.node = *v;
    const Node &made = graph_[recurrenceOf(*v).node]; // one that is carried has a use
    if (made.hasInitial && graph_[made.operands.back()].op == Op::Input)
      s.used = attention_.declarations[graph_[made.operands.back()].declaration].role == Role::Carry;
    Node &node = attention_.nodes[recurrenceOf(*v).node];
    if (node.name.empty() && !item.names.empty())
      node.name = item.names[0].text;
  } else {
    failed_ = true;
  }
  if (!item.names.empty())
    declare(scope_, item.names[0], std::move(s));
}

bool Analyzer::stateFields(const Core &c, std::map<std::string, const Field *> &fields) {
  static const std::vector<std::string> known = {"key",    "value", "decay",   "erase",
                                                 "commit", "where", "initial", "divide"};
  bool good = true;
  for (const Field &f : c.fields) {
    const std::string &name = f.name.text;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      static const std::vector<std::string> ways = {"chunk", "kind", "values", "warps", "stages", "inverse"};
      bool isWay = std::find(ways.begin(), ways.end(), name) != ways.end();
      error(f.name.span, "unknown field " + quoted(name),
            isWay ? "how a recurrence is run is no part of its meaning: --schedule " + name + "=.."
                  : "expected key, value, decay, erase, commit, where, initial or divide",
            syntax::closest(name, known));
      good = false;
      continue;
    }
    if (!f.targets.empty() || f.on || (f.per && name != "commit")) {
      error(f.span, "expected '" + name + ": ..'");
      good = false;
    }
    if (!fields.emplace(name, &f).second) {
      error(f.name.span, "field " + quoted(name) + " stands twice");
      good = false;
    }
    if (f.values.size() > (name == "initial" ? 2u : 1u)) {
      error(f.values.back()->span, "field " + quoted(name) + " has one value");
      good = false;
    }
  }
  return good;
}

/// The axis along which it recurs. Without `over`: the only token axis that the operands share, else the one named T.
std::optional<AxisId> Analyzer::timeAxis(const Core &c, const std::vector<NodeId> &operands, const Context &context) {
  std::optional<AxisId> time;
  Span span = c.keyword.span;
  if (c.over) {
    Expr name;
    name.kind = ExprKind::Name;
    name.text = c.over.text;
    name.span = span = c.over.span;
    time = axis(name, context);
    if (!time)
      return std::nullopt;
  } else {
    std::vector<AxisId> shared;
    const std::set<AxisId> tokens = tokenAxes();
    Symbol *conventional = lookup(context.scope, "T");
    for (AxisId a : graph_[operands[0]].axes) {
      bool all = true;
      for (NodeId o : operands)
        all &= graph_.has(o, a);
      if (all && tokens.count(a))
        shared.push_back(a);
      if (all && conventional && conventional->kind == Symbol::Kind::Axis && conventional->axis == a)
        time = a;
    }
    if (shared.size() == 1)
      time = shared[0];
    if (!time) {
      error(span, "it is not clear along which axis this recurs", "expected 'recur over T (query: .., ..)'");
      return std::nullopt;
    }
  }
  if (attention_.axes[*time].relation == AxisRelation::Keys) {
    const std::string tokens = quoted(axisName(attention_.axes[*time].query));
    notYet(span, "a recurrence along keys that have an axis of their own",
           "works now: all over " + tokens + "; weights walk " + tokens + " itself too");
    return std::nullopt;
  }
  if (attention_.axes[*time].relation != AxisRelation::Plain) {
    notYet(span, "a recurrence along an axis that is made of others", "works now: a plain axis, as in 'axis T'");
    return std::nullopt;
  }
  return time;
}

/// Key and value axis: from the brackets, or what key and value have alone.
bool Analyzer::stateAxes(const Core &c, const std::vector<Identifier> *brackets, const std::optional<NodeId> &query,
                         Graph::StateParts &parts, const Context &context) {
  if (brackets) {
    std::vector<AxisId> ids;
    for (const Identifier &b : *brackets) {
      Expr name;
      name.kind = ExprKind::Name;
      name.text = b.text;
      name.span = b.span;
      std::optional<AxisId> id = axis(name, context);
      if (!id)
        return false;
      if (attention_.axes[*id].relation == AxisRelation::Factor) {
        notYet(b.span, "a factor axis as key or value axis of a state");
        return false;
      }
      if (*id == parts.time) {
        error(b.span, "the state has no axis " + quoted(b.text), "it recurs along it; expected its key and value axis");
        return false;
      }
      if (!ids.empty() && ids[0] == *id) {
        error(b.span, "the key axis and the value axis of a state differ",
              "rename the value's: " + std::string("v as [") + b.text + ": " + b.text + "2]");
        return false;
      }
      ids.push_back(*id);
    }
    if (ids.size() > 2) {
      error((*brackets)[2].span, "a state has a key axis and a value axis", "all other axes are batch");
      return false;
    }
    parts.key = ids[0];
    if (ids.size() > 1)
      parts.features = ids[1];
    return true;
  }
  std::set<AxisId> factors;
  for (const Axis &a : attention_.axes)
    factors.insert(a.factors.begin(), a.factors.end());
  // Axes that x has and the others have not; the last one of x where there are several.
  auto alone = [&](NodeId x, const std::vector<std::optional<NodeId>> &others) {
    std::vector<AxisId> found;
    for (AxisId a : graph_[x].axes) {
      bool shared = a == parts.time || factors.count(a);
      for (const std::optional<NodeId> &o : others)
        shared |= o && graph_.has(*o, a);
      if (!shared)
        found.push_back(a);
    }
    if (found.size() > 1 && found.back() == graph_[x].axes.back())
      found = {found.back()};
    return found;
  };
  std::vector<AxisId> keys = alone(parts.keys, {parts.values});
  if (query)
    keys.erase(std::remove_if(keys.begin(), keys.end(), [&](AxisId a) { return !graph_.has(*query, a); }), keys.end());
  std::vector<AxisId> features = alone(parts.values, {parts.keys, query, parts.decay, parts.erase});
  if (keys.size() != 1 || features.size() > 1) {
    error(c.keyword.span, "it is not clear what the " + std::string(keys.size() != 1 ? "key" : "value") + " axis is",
          "key is " + describe(parts.keys) + ", value " + describe(parts.values) +
              "; expected 'state S[K, V] = recur over T { .. }'");
    return false;
  }
  parts.key = keys[0];
  if (!features.empty())
    parts.features = features[0];
  return true;
}

bool Analyzer::checkStateAxes(const Graph::StateParts &parts, const std::map<std::string, const Expr *> &texts) {
  bool good = true;
  auto check = [&](const char *name, const std::optional<NodeId> &x, bool needsKey, bool hasKey, bool hasFeatures) {
    if (!x)
      return;
    Span span = texts.at(name)->span;
    std::string on = "it is on " + axesText(graph_[*x].axes);
    auto lacks = [&](AxisId a) {
      if (graph_.has(*x, a))
        return;
      error(span, "the " + std::string(name) + " has no axis " + quoted(axisName(a)), on);
      good = false;
    };
    auto refuses = [&](AxisId a, const char *whose) {
      if (!graph_.has(*x, a))
        return;
      error(span, "the " + std::string(name) + " has the " + whose + " axis " + quoted(axisName(a)) + " of the state",
            on + "; 'x as [" + axisName(a) + ": " + axisName(a) + "2]' renames it");
      good = false;
    };
    if (needsKey)
      lacks(parts.key);
    if (!hasKey)
      refuses(parts.key, "key");
    if (parts.features && hasFeatures)
      lacks(*parts.features);
    if (parts.features && !hasFeatures)
      refuses(*parts.features, "value");
    if (parts.commit && x != parts.commit && graph_.has(*x, *parts.blocks)) {
      error(span, "the " + std::string(name) + " is on the blocks of 'commit'", on);
      good = false;
    }
  };
  check("key", parts.keys, true, true, false);
  check("value", parts.values, false, false, true);
  check("decay", parts.decay, false, true, false);
  check("erase", parts.erase, true, true, false);
  check("where", parts.where, false, false, false);
  check("commit", parts.commit, false, false, false);
  if (parts.commit && graph_.has(*parts.commit, parts.time)) {
    error(texts.at("commit")->span, "'commit' is one condition per block",
          "this is " + describe(*parts.commit) + "; expected one on " + quoted(axisName(*parts.blocks)));
    good = false;
  }
  return good;
}

/// The state before the first token. A bare name of carried memory is also what it ends in.
bool Analyzer::initialValue(const Expr &e, const Context &context, Graph::StateParts &parts,
                            std::optional<DeclId> &carried) {
  const Expr &lone = bare(e);
  Symbol *s = lone.kind == ExprKind::Name ? lookup(context.scope, lone.text) : nullptr;
  if (s && s->kind == Symbol::Kind::Carry) {
    DeclId id = graph_[s->node].declaration;
    const Declaration &d = attention_.declarations[id];
    if (d.finalNode) {
      error(e.span, "carried memory " + quoted(d.name) + " is written already", "each is carried once");
      return false;
    }
    Span saved = graph_.here;
    graph_.here = e.span;
    std::vector<AxisId> expected = graph_[graph_.last(graph_.state(parts))].axes;
    graph_.here = saved;
    if (std::set<AxisId>(expected.begin(), expected.end()) != std::set<AxisId>(d.axes.begin(), d.axes.end())) {
      errorWithNote(e.span, "carried memory " + quoted(d.name) + " has other axes than its state",
                    "it is on " + axesText(d.axes) + ", the state on " + axesText(expected), d.span,
                    "expected 'carry " + d.name + " : f32 " + axesText(expected) + "'");
      return false;
    }
    parts.initial = s->node;
    carried = id;
    return true;
  }
  Value v = evalNumber(e, context);
  if (!v)
    return false;
  bool whole = graph_.has(*v, parts.key) && (!parts.features || graph_.has(*v, *parts.features));
  if (!whole || graph_.has(*v, parts.time)) {
    error(e.span, "the initial state is no state",
          "it is on " + axesText(graph_[*v].axes) + "; expected " + quoted(axisName(parts.key)) +
              (parts.features ? " and " + quoted(axisName(*parts.features)) : "") + ", and no " +
              quoted(axisName(parts.time)));
    return false;
  }
  parts.initial = graph_.toReal(*v);
  return true;
}

/// The part of x that may be negative, as it is written.
std::string Analyzer::unsignedPart(NodeId x) const {
  for (unsigned round = 0; round < 64; ++round) {
    const Node &n = graph_[x];
    bool follows = n.op == Op::Add || n.op == Op::Mul || n.op == Op::Div || n.op == Op::Min || n.op == Op::Concat ||
                   n.op == Op::Dot || n.op == Op::Reduce || n.op == Op::Rename || n.op == Op::Slice ||
                   n.op == Op::ToReal || n.op == Op::Select || n.op == Op::Gather || n.op == Op::Flatten;
    std::optional<NodeId> next;
    for (size_t k = n.op == Op::Select; k < n.operands.size() && follows && !next; ++k)
      if (isNumber(n.operands[k]) && !isNonNegative(graph_, n.operands[k]))
        next = n.operands[k];
    if (!next)
      break;
    x = *next;
  }
  const Node &n = graph_[x];
  return n.op == Op::Input ? n.name : sourceText(n.span);
}

void Analyzer::warnSign(NodeId x, const char *what, Span span) {
  if (isNonNegative(graph_, x))
    return;
  session_.diagnostics.warning(
      span, "this " + std::string(what) + " may be negative, so that the divisor may vanish",
      quoted(unsignedPart(x)) +
          " has no sign; take a map that is never negative, such as exp, relu or softmax, or drop 'divide'");
}

/// Decays are logarithms: at most 0.
void Analyzer::checkDecay(NodeId decay, const Expr &e) {
  Range r = rangeOf(graph_, decay);
  if (r.isPositive()) {
    error(e.span, "this decay is positive", "a decay is a logarithm, at most 0, such as -exp(..) or log_sigmoid(..)");
    return;
  }
  if (r.high <= 0)
    return;
  // Open consts become known when a kernel is compiled.
  std::vector<NodeId> stack{decay};
  std::set<NodeId> seen{decay};
  std::vector<std::string> inputs;
  while (!stack.empty()) {
    const Node &n = graph_[stack.back()];
    stack.pop_back();
    if (n.op == Op::Input && attention_.declarations[n.declaration].role == Role::Const)
      return;
    if (n.op == Op::Input)
      inputs.push_back(n.name);
    for (NodeId o : n.operands)
      if (seen.insert(o).second)
        stack.push_back(o);
  }
  const Node *n = &graph_[decay];
  while (n->op == Op::Rename || n->op == Op::ToReal || n->op == Op::Slice)
    n = &graph_[n->operands[0]];
  // A contract says how great it can be, not only what is known of it.
  if (n->op == Op::Input && (std::isfinite(r.high) || r.low >= 0)) {
    error(e.span, "this decay can be positive",
          "the contract of '" + n->name + "' allows it; state '<= 0', or take a logarithm such as -exp(..)");
    return;
  }
  session_.diagnostics.warning(
      e.span, "this decay is not known to be at most 0",
      n->op == Op::Input ? "state it as a contract, which is checked: '" + n->name + " : .. <= 0'"
                         : "a decay is a logarithm, such as -exp(..) or log_sigmoid(..); contracts of inputs, "
                           "'<= 0', are used in the proof");
}

NodeId Analyzer::finishState(Recurrence r) {
  int64_t id = static_cast<int64_t>(recurrences_.size());
  std::vector<AxisId> batch = graph_[r.node].axes;
  recurrences_.push_back(r);
  return graph_.stateHandle(id, batch);
}

/// recur over T { .. }: a state. recur (query: .., key: .., value: ..) { .. }: what is read from one.
Value Analyzer::recurrence(const Expr &e, const Context &context, const std::vector<Identifier> *brackets) {
  const Core &c = *e.core;
  if (context.walk && !context.inMap) {
    error(e.span, "a recurrence inside a walk", "name what is read by 'let' before, and use its value, such as o[i]");
    return std::nullopt;
  }
  if (context.walk)
    return notYet(e.span, "states in a map that a walk uses");
  if (c.as) {
    error(c.as.span, "a recurrence has no index", "arrays on its axis need no subscript");
    return std::nullopt;
  }
  std::map<std::string, const Field *> fields;
  bool good = stateFields(c, fields);
  std::map<std::string, const Expr *> texts;
  for (const auto &[name, f] : fields)
    if (!f->values.empty())
      texts[name] = f->values[0].get();
  static const std::vector<std::string> labels = {"query", "key", "value"};
  for (const ExprPtr &a : c.arguments) {
    bool labelled = a->kind == ExprKind::Labelled && a->children[0]->kind == ExprKind::Name;
    std::string label = labelled ? a->children[0]->text : "";
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) {
      error(a->span, "unknown argument of 'recur'", "expected 'query: ..', 'key: ..' and 'value: ..'",
            labelled ? syntax::closest(label, labels) : "");
      good = false;
    } else if (!texts.emplace(label, a->children[1].get()).second) {
      error(a->span, "argument " + quoted(label) + " stands twice");
      good = false;
    }
  }
  // With a key axis alone the value is one number, which may as well be in the key.
  bool isVector = brackets && brackets->size() == 1;
  for (const std::string &label : labels)
    if (good && (label != "query" || c.hasArguments) && (label != "value" || !isVector) && !texts.count(label)) {
      error(c.keyword.span, "'recur' lacks its " + label, "expected '" + label + ": ..'");
      good = false;
    }
  if (good && texts.count("divide") && texts.count("erase")) {
    errorWithNote(fields["divide"]->span, "a state with 'erase' has no divisor",
                  "its reads are no sums of weights times values; norm what is read instead", fields["erase"]->span,
                  "what it erases");
    good = false;
  }
  if (good && c.reverse && attention_.claim == Claim::Causal) {
    error(e.span, "a causal attention has no reverse recurrence",
          "each state would be of later tokens; drop 'reverse' or 'causal'");
    good = false;
  }
  // Fields, and what they may be.
  std::map<std::string, NodeId> values;
  for (const char *name : {"query", "key", "value", "decay", "erase", "where", "commit"}) {
    if (!texts.count(name))
      continue;
    const Expr &x = *texts[name];
    bool isCondition = std::string(name) == "where" || std::string(name) == "commit";
    Value v = isCondition ? evalBool(x, context) : evalNumber(x, context);
    good &= v.has_value();
    if (v)
      values[name] = *v;
  }
  if (!good)
    return std::nullopt;
  auto value = [&](const char *name) {
    auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional<NodeId>(it->second);
  };
  graph_.here = e.span;
  Graph::StateParts parts;
  parts.keys = values["key"];
  parts.values = texts.count("value") ? values["value"] : graph_.real(1);
  parts.decay = value("decay");
  parts.erase = value("erase");
  parts.where = value("where");
  parts.commit = value("commit");
  parts.reverse = c.reverse;
  if (parts.where && graph_.isConstant(*parts.where) && graph_[*parts.where].integer)
    parts.where = std::nullopt;
  std::vector<NodeId> operands = {parts.keys, parts.values};
  if (value("query"))
    operands.push_back(values["query"]);
  std::optional<AxisId> time = timeAxis(c, operands, context);
  if (!time)
    return std::nullopt;
  parts.time = *time;
  if (!stateAxes(c, brackets, value("query"), parts, context))
    return std::nullopt;
  if (parts.commit) {
    const Field &f = *fields["commit"];
    std::optional<AxisId> blocks;
    if (!f.per) {
      error(f.span, "'commit' is one condition per block",
            "expected 'commit: c per Tb', with 'axis Tb = " + axisName(*time) + " / 64'");
      return std::nullopt;
    }
    Expr name;
    name.kind = ExprKind::Name;
    name.text = f.per.text;
    name.span = f.per.span;
    blocks = axis(name, context);
    if (!blocks)
      return std::nullopt;
    if (attention_.axes[*blocks].relation != AxisRelation::Blocks || attention_.axes[*blocks].raw != *time) {
      error(f.per.span, quoted(f.per.text) + " is no axis of blocks of " + quoted(axisName(*time)),
            "expected 'axis " + f.per.text + " = " + axisName(*time) + " / 64'");
      return std::nullopt;
    }
    parts.blocks = blocks;
  }
  texts.emplace("value", texts["key"]); // where it is left out
  if (!checkStateAxes(parts, texts))
    return std::nullopt;
  if (parts.decay)
    checkDecay(*parts.decay, *texts["decay"]);

  // What divides the reads: the same recurrence of the value 1.
  Recurrence r;
  Graph::StateParts ones = parts;
  if (const Field *f = texts.count("divide") ? fields["divide"] : nullptr) {
    Handle h;
    h.kind = WeightKind::Free;
    h.walk.walk = parts.key;
    h.walk.name = axisName(parts.key);
    if (!divideField(*f->values[0], h, context))
      return std::nullopt;
    if (h.divide == Handle::Divide::Count) {
      error(f->values[0]->span, "a state counts no keys", "expected sum, sum + eps, max(sum, c) or none");
      return std::nullopt;
    }
    r.divide = h.divide;
    r.divideBy = h.divisor;
    bool hasNumber = h.divide == Handle::Divide::SumPlus || h.divide == Handle::Divide::AtLeast;
    if (hasNumber && parts.features && graph_.has(h.divisor, *parts.features)) {
      error(f->values[0]->span, "the divisor has the value axis " + quoted(axisName(*parts.features)) + " of the state",
            "it divides all values alike");
      return std::nullopt;
    }
    ones.values = graph_.real(1);
    ones.features = std::nullopt;
  }
  bool divides = r.divide != Handle::Divide::None;
  std::optional<DeclId> carried, carriedOnes;
  if (texts.count("initial")) {
    const Field &f = *fields["initial"];
    if (divides && f.values.size() == 1) {
      error(f.span, "the divisor has an initial value too", "expected 'initial: h0, n0'; n0 has no value axis");
      return std::nullopt;
    }
    if (!divides && f.values.size() == 2) {
      error(f.values[1]->span, "a second initial value is that of a divisor", "this state has no 'divide'");
      return std::nullopt;
    }
    if (!initialValue(*f.values[0], context, parts, carried))
      return std::nullopt;
    if (carried) // so that it is refused for the divisor
      attention_.declarations[*carried].finalNode = 0;
    if (divides && !initialValue(*f.values[1], context, ones, carriedOnes))
      return std::nullopt;
  }
  graph_.here = e.span;
  r.node = graph_.state(parts);
  if (divides)
    r.divisor = graph_.state(ones);
  auto carry = [&](DeclId id, NodeId state) {
    std::vector<AxisId> axes = attention_.declarations[id].axes;
    NodeId out = graph_.output(id, axes, graph_.last(state));
    attention_.declarations[id].finalNode = out;
  };
  if (carried)
    carry(*carried, r.node);
  if (carriedOnes)
    carry(*carriedOnes, *r.divisor);
  bool sums = r.divide == Handle::Divide::Sum || r.divide == Handle::Divide::SumPlus;
  if (sums)
    warnSign(parts.keys, "key", texts["key"]->span);
  if (failed_)
    return std::nullopt;
  if (c.hasArguments)
    return readOf(r, values["query"], *texts["query"], e.span);
  return finishState(r);
}

Value Analyzer::readOf(const Recurrence &r, NodeId query, const Expr &e, Span span) {
  const Node s = graph_[r.node];
  AxisId key = s.attrAxes[1];
  bool hasFeatures = s.attrAxes.size() > 2u + s.hasCommit;
  if (!graph_.has(query, key)) {
    error(e.span, "the query has no axis " + quoted(axisName(key)),
          "it is on " + axesText(graph_[query].axes) + "; it is contracted with the key axis of the state");
    return std::nullopt;
  }
  if (hasFeatures && graph_.has(query, s.attrAxes[2])) {
    std::string name = axisName(s.attrAxes[2]);
    error(e.span, "the query has the value axis " + quoted(name) + " of the state",
          "it is on " + axesText(graph_[query].axes) + "; 'x as [" + name + ": " + name + "2]' renames it");
    return std::nullopt;
  }
  bool sums = r.divide == Handle::Divide::Sum || r.divide == Handle::Divide::SumPlus;
  if (sums)
    warnSign(query, "query", e.span);
  graph_.here = span;
  NodeId result = graph_.read(r.point, r.node, query);
  if (!r.divisor)
    return result;
  return divided(r, result, graph_.read(r.point, *r.divisor, query));
}

NodeId Analyzer::divided(const Recurrence &r, NodeId result, NodeId sum) {
  if (r.divide == Handle::Divide::SumPlus)
    sum = graph_.binary(Op::Add, sum, r.divideBy);
  if (r.divide == Handle::Divide::AtLeast)
    sum = graph_.binary(Op::Max, sum, r.divideBy);
  NodeId quotient = graph_.binary(Op::Div, result, sum);
  if (r.divide != Handle::Divide::Sum)
    return quotient;
  return graph_.select(graph_.binary(Op::Ne, sum, graph_.real(0)), quotient, graph_.real(0));
}

Value Analyzer::stateOf(const Expr &e, const char *reader, const Context &context) {
  Value v = eval(e, context);
  if (!v || isState(*v))
    return v;
  error(e.span, quoted(reader) + " takes a state", "this is " + describe(*v));
  return std::nullopt;
}

/// read(S, q), read(S), decayed(S), prev(S), last(S), every(S, 256)
Value Analyzer::stateFunction(const std::string &name, const Expr &e, const Context &context) {
  if (context.walk && !context.inMap) {
    error(e.span, "a state is read outside of walks", "name its value by 'let' before, and use that, such as o[i]");
    return std::nullopt;
  }
  if (context.walk)
    return notYet(e.span, "states in a map that a walk uses");
  size_t count = name == "read" || name == "every" ? 2 : 1;
  bool isWhole = name == "read" && e.children.size() == 2; // without a query
  bool plain = isWhole || e.children.size() == count + 1;
  for (const ExprPtr &a : e.children)
    plain &= a->kind != ExprKind::Labelled;
  if (!plain) {
    error(e.span, quoted(name) + " takes " + std::to_string(count) + (count == 1 ? " argument" : " arguments"),
          name == "read"    ? "expected 'read(S, q)', or 'read(S)' of a state without values"
          : name == "every" ? "expected 'every(S, 256)'"
                            : "expected '" + name + "(S)'");
    return std::nullopt;
  }
  Value s = stateOf(*e.children[1], name.c_str(), context);
  if (isWhole)
    return s ? vectors(recurrenceOf(*s), e) : s;
  if (name == "read") {
    Value q = evalNumber(*e.children[2], context);
    return s && q ? readOf(recurrenceOf(*s), *q, *e.children[2], e.span) : std::nullopt;
  }
  if (!s)
    return s;
  Recurrence r = recurrenceOf(*s);
  if (r.point != ReadPoint::After) {
    error(e.children[1]->span, quoted(name) + " takes the state itself",
          "this is the state at another point, for 'read' alone");
    return std::nullopt;
  }
  graph_.here = e.span;
  if (name == "last")
    return graph_.last(r.node);
  if (name != "every") {
    r.point = name == "prev" ? ReadPoint::Prev : ReadPoint::Decayed;
    return finishState(r);
  }
  const Node node = graph_[r.node];
  AxisId time = node.attrAxes[0];
  const Expr &length = *e.children[2];
  Symbol *known = length.kind == ExprKind::Name ? lookup(context.scope, length.text) : nullptr;
  if (known && known->kind == Symbol::Kind::Axis) {
    known->used = true;
    const Axis &a = attention_.axes[known->axis];
    if (a.relation != AxisRelation::Blocks || a.raw != time) {
      error(length.span, quoted(length.text) + " is no axis of blocks of " + quoted(axisName(time)),
            "expected a number of tokens, or 'axis " + length.text + " = " + axisName(time) + " / 256'");
      return std::nullopt;
    }
    return graph_.every(r.node, known->axis);
  }
  std::optional<int64_t> extent = extentOf(length);
  if (!extent)
    return std::nullopt;
  return graph_.every(r.node, blocksOf(time, *extent, e.span));
}

/// conv[T](x, w): causal. conv[Y, X](x, w): around each place. The taps are the last axes of w.
FOVEA_NOINLINE Value Analyzer::convolution(const Expr &e, const Expr &brackets, const Context &context) {
  std::vector<AxisId> axes, expanded;
  size_t count = brackets.children.size() - 1;
  if (count < 1 || count > 2) {
    error(brackets.span, "'conv' runs along one or two axes", "expected 'conv[T](x, w)' or 'conv[Y, X](x, w)'");
    return std::nullopt;
  }
  bool good = axisList(brackets.children, 1, context, axes, expanded);
  bool hasPast = e.children.size() == 4;
  bool plain = hasPast || e.children.size() == 3;
  for (const ExprPtr &a : e.children)
    plain &= a->kind != ExprKind::Labelled;
  if (!plain) {
    error(e.span, "'conv' takes 2 or 3 arguments",
          "expected 'conv[T](x, w)': an array and its taps; conv[T](x, w, past) continues a call");
    return std::nullopt;
  }
  if (hasPast && count == 2) {
    error(e.children[3]->span, "a convolution around each place has no past", "expected 'conv[T](x, w, past)'");
    return std::nullopt;
  }
  Value x = evalNumber(*e.children[1], context), w = evalNumber(*e.children[2], context);
  if (!good || !x || !w)
    return std::nullopt;
  for (size_t k = 0; k < count; ++k) {
    if (attention_.axes[axes[k]].relation != AxisRelation::Plain &&
        attention_.axes[axes[k]].relation != AxisRelation::Keys)
      return notYet(brackets.children[k + 1]->span, "a convolution along an axis that is made of others",
                    "its factors can be named: conv[Y, X](x, w)");
    if (!graph_.has(*x, axes[k])) {
      error(e.children[1]->span, quoted(text(*e.children[1])) + " has no axis " + quoted(axisName(axes[k])),
            "it is on " + axesText(graph_[*x].axes));
      return std::nullopt;
    }
  }
  const std::vector<AxisId> of = graph_[*w].axes;
  std::vector<AxisId> taps;
  if (of.size() >= count)
    taps.assign(of.end() - static_cast<ptrdiff_t>(count), of.end());
  for (AxisId t : taps)
    if (graph_.has(*x, t))
      good = false;
  if (taps.empty() || !good) {
    error(e.children[2]->span, "the taps are on no " + std::string(count == 1 ? "axis" : "axes") + " of their own",
          "this is on " + axesText(of) + "; its last " + (count == 1 ? "axis is" : "two axes are") +
              " the taps, as in 'param w : [H, K, " + (count == 1 ? "4" : "5, 5") + "]'");
    return std::nullopt;
  }
  graph_.here = e.span;
  NodeId own = graph_.conv(axes, taps, count == 2, *x, *w);
  if (!hasPast)
    return own;
  Value past = convolutionOfPast(axes[0], taps[0], *x, *w, *e.children[3], context);
  return past ? Value(graph_.binary(Op::Add, own, *past)) : past;
}

} // namespace fovea::sema::internal
