// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Names of operations, the list of what a compilation still needs, and the dump of an attention.
#include "frontend/sema/Program.h"

#include <cmath>
#include <cstdio>

namespace fovea::sema {

std::string_view toString(Kind kind) {
  static constexpr std::string_view kNames[] = {"real", "int", "bool", "weights", "state"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view toString(Op op) {
  static constexpr std::string_view kNames[] = {
      "input",   "constant", "size",    "index", "position",     "query_position",
      "neg",     "abs",      "sign",    "exp",   "exp2",         "expm1",
      "log",     "log2",     "log1p",   "sqrt",  "rsqrt",        "sin",
      "cos",     "tanh",     "sigmoid", "silu",  "softplus",     "log_sigmoid",
      "relu",    "elu",      "gelu",    "floor", "round",        "not",
      "to_real", "add",      "sub",     "mul",   "div",          "floordiv",
      "mod",     "pow",      "min",     "max",   "logaddexp",    "and",
      "or",      "eq",       "ne",      "lt",    "le",           "gt",
      "ge",      "select",   "reduce",  "dot",   "rename",       "row_at",
      "slice",   "concat",   "gather",  "scan",  "block_reduce", "flatten",
      "weights", "expect",   "stat",    "state", "read",         "last",
      "every",   "conv",     "output"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<size_t>(Op::Output) + 1);
  return kNames[static_cast<size_t>(op)];
}

std::string_view toString(ReduceKind kind) {
  static constexpr std::string_view kNames[] = {"sum", "mean", "max", "min", "logsumexp"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view toString(StatKind kind) {
  static constexpr std::string_view kNames[] = {"lse", "max", "mass"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view toString(ReadPoint point) {
  static constexpr std::string_view kNames[] = {"after", "decayed", "prev"};
  return kNames[static_cast<size_t>(point)];
}

std::string_view toString(StorageType type) {
  static constexpr std::string_view kNames[] = {"", "bf16", "f16", "f32", "i32"};
  return kNames[static_cast<size_t>(type)];
}

std::string_view toString(Claim claim) {
  static constexpr std::string_view kNames[] = {"", "causal", "set"};
  return kNames[static_cast<size_t>(claim)];
}

std::vector<Missing> missing(const Attention &attention) {
  std::vector<Missing> result;
  for (const Axis &a : attention.axes) {
    bool given = a.relation == AxisRelation::Plain || a.relation == AxisRelation::Keys;
    if (a.size || !given)
      continue;
    if (a.needsSize)
      result.push_back(
          {a.name, a.needSpan,
           "axis '" + a.name + "' is contracted or a feature here: it needs a size, as in --set " + a.name + "=64"});
    else if (a.isStatic)
      result.push_back(
          {a.name, a.span, "axis '" + a.name + "' is static: it needs a size, as in --set " + a.name + "=64"});
  }
  for (const Declaration &d : attention.declarations)
    if (d.role == Role::Const)
      result.push_back({d.name, d.span, "const '" + d.name + "' has no value: give it with --set " + d.name + "=.."});
  return result;
}

namespace {

std::string axisList(const Attention &attention, const std::vector<AxisId> &axes) {
  std::string out = "[";
  for (size_t k = 0; k < axes.size(); ++k)
    out += (k ? ", " : "") + attention.axes[axes[k]].name;
  return out + "]";
}

std::string number(double value) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return buffer;
}

std::string bound(const Bound &b) {
  return (b.value ? number(*b.value) : "%" + std::to_string(b.node)) + std::string(b.open ? " open" : "");
}

std::string stateOperand(const Node &n, size_t operand) {
  std::vector<std::string> names = {"key", "value"};
  if (n.hasDecay)
    names.push_back("decay");
  if (n.hasErase)
    names.push_back("erase");
  if (n.hasWhere)
    names.push_back("where");
  if (n.hasCommit)
    names.push_back("commit");
  if (n.hasInitial)
    names.push_back("initial");
  return operand < names.size() ? names[operand] : "?";
}

} // namespace

std::string print(const Attention &attention) {
  std::string out = "attention " + attention.name;
  if (attention.claim != Claim::None)
    out += " " + std::string(toString(attention.claim));
  out += "\n";
  for (const Axis &a : attention.axes) {
    out += "  axis " + a.name;
    if (a.relation == AxisRelation::Factor)
      out += " = " + axisList(attention, a.factors);
    if (a.relation == AxisRelation::Keys)
      out += " keys " + attention.axes[a.query].name;
    if (a.relation == AxisRelation::Walk)
      out += " walks " + attention.axes[a.raw].name + " for " + attention.axes[a.query].name;
    if (a.relation == AxisRelation::Blocks)
      out += " = " + attention.axes[a.raw].name + " / " + std::to_string(a.extent);
    if (a.relation == AxisRelation::Windows)
      out += " = windows " + attention.axes[a.raw].name + " of " + std::to_string(a.extent) + " step " +
             std::to_string(a.step);
    if (a.relation == AxisRelation::Concat)
      for (size_t k = 0; k < a.parts.size(); ++k)
        out += (k ? " + " : " = ") + attention.axes[a.parts[k]].name;
    if (a.relation == AxisRelation::Outer)
      out += " = " + attention.axes[a.parts[0]].name + " outer " + attention.axes[a.parts[1]].name;
    if (a.relation == AxisRelation::Share)
      out += " = " + attention.axes[a.raw].name + " share " + std::to_string(a.divisor);
    if (a.size)
      out += " size " + std::to_string(*a.size);
    if (a.isStatic)
      out += " static";
    if (a.needsSize)
      out += " needed";
    out += "\n";
  }
  for (const Storage &storage : attention.storages)
    for (const Ragged &ragged : storage.ragged)
      out += "  storage " + storage.name + " " + attention.axes[ragged.batch].name + ", " +
             attention.axes[ragged.token].name + " ragged " + ragged.offsets + " max " +
             attention.axes[ragged.most].name + " rows " + ragged.total + "\n";
  static constexpr const char *kRoles[] = {"input", "param", "const", "output", "carry"};
  for (const Declaration &d : attention.declarations) {
    out += "  " + std::string(kRoles[static_cast<size_t>(d.role)]) + " " + d.name + " : ";
    if (d.type != StorageType::Default)
      out += std::string(toString(d.type)) + " ";
    out += axisList(attention, d.declaredAxes) + " " + std::string(toString(d.kind));
    if (d.contract && d.contract->lower)
      out += " from " + bound(*d.contract->lower);
    if (d.contract && d.contract->upper)
      out += " to " + bound(*d.contract->upper);
    if (d.optional)
      out += " optional";
    if (d.finalNode)
      out += " final %" + std::to_string(*d.finalNode);
    if (d.defaultNode)
      out += " default %" + std::to_string(*d.defaultNode);
    if (d.defaultValue)
      out += " (" + number(*d.defaultValue) + ")";
    out += "\n";
  }
  for (size_t k = 0; k < attention.nodes.size(); ++k) {
    const Node &n = attention.nodes[k];
    out += "  %" + std::to_string(k) + " = " + std::string(toString(n.op));
    if (n.op == Op::Weights && n.weight == WeightKind::Free)
      out += " free";
    if (n.op == Op::Reduce || n.op == Op::BlockReduce)
      out += " " + std::string(toString(n.reduce));
    if (n.op == Op::Stat)
      out += " " + std::string(toString(n.stat));
    if (n.op == Op::Read)
      out += " " + std::string(toString(n.read));
    if (n.reverse)
      out += " reverse";
    if (n.same)
      out += " same";
    if (n.op == Op::Input || n.op == Op::Output)
      out += " " + attention.declarations[n.declaration].name;
    if (n.op == Op::Constant)
      out += " " + (n.kind == Kind::Real  ? number(n.real)
                    : n.kind == Kind::Int ? std::to_string(n.integer)
                                          : std::string(n.integer ? "true" : "false"));
    if (!n.attrAxes.empty())
      out += " " + axisList(attention, n.attrAxes);
    for (size_t o = 0; o < n.operands.size(); ++o) {
      if (n.op == Op::Weights && o > 0)
        out += n.hasWhere && o == 1 ? " where" : n.hasMass && o == 1u + n.hasWhere ? " mass" : " sink";
      if (n.op == Op::State)
        out += " " + stateOperand(n, o);
      out += " %" + std::to_string(n.operands[o]);
    }
    out += " : " + axisList(attention, n.axes) + " " + std::string(toString(n.kind)) + "\n";
  }
  return out;
}

} // namespace fovea::sema
