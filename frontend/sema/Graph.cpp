// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Construction of nodes: types, folding and sharing.
#include "frontend/sema/Graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

namespace fovea::sema {
namespace {

template <typename T> void append(std::string &key, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  key.append(bytes, sizeof(T));
}

bool isComparison(Op op) { return op >= Op::Eq && op <= Op::Ge; }

/// Saturated at 32 bits; NaN gives 0.
double roundToInt(Op op, double x) {
  if (std::isnan(x))
    return 0;
  double v = op == Op::Floor ? std::floor(x) : std::nearbyint(x);
  return std::min(std::max(v, -2147483648.0), 2147483647.0);
}

double foldUnary(Op op, double x) {
  switch (op) {
  case Op::Neg:
    return -x;
  case Op::Abs:
    return std::fabs(x);
  case Op::Sign:
    return x > 0 ? 1 : x < 0 ? -1 : x;
  case Op::Exp:
    return std::exp(x);
  case Op::Exp2:
    return std::exp2(x);
  case Op::Expm1:
    return std::expm1(x);
  case Op::Log:
    return std::log(x);
  case Op::Log2:
    return std::log2(x);
  case Op::Log1p:
    return std::log1p(x);
  case Op::Sqrt:
    return std::sqrt(x);
  case Op::Rsqrt:
    return 1 / std::sqrt(x);
  case Op::Floor:
  case Op::Round:
    return roundToInt(op, x);
  case Op::Relu:
    return x > 0 ? x : 0;
  default:
    return std::numeric_limits<double>::quiet_NaN();
  }
}

bool foldable(Op op) {
  return op == Op::Neg || op == Op::Abs || op == Op::Sign || (op >= Op::Exp && op <= Op::Rsqrt) || op == Op::Floor ||
         op == Op::Round || op == Op::Relu;
}

bool foldBinary(Op op, double a, double b, double &out) {
  switch (op) {
  case Op::Add:
    out = a + b;
    return true;
  case Op::Sub:
    out = a - b;
    return true;
  case Op::Mul:
    out = a * b;
    return true;
  case Op::Div:
    out = a / b;
    return true;
  case Op::Pow:
    out = std::pow(a, b);
    return true;
  case Op::Min:
    out = std::min(a, b);
    return true;
  case Op::Max:
    out = std::max(a, b);
    return true;
  default:
    return false;
  }
}

bool compare(Op op, double a, double b) {
  switch (op) {
  case Op::Eq:
    return a == b;
  case Op::Ne:
    return a != b;
  case Op::Lt:
    return a < b;
  case Op::Le:
    return a <= b;
  case Op::Gt:
    return a > b;
  default:
    return a >= b;
  }
}

} // namespace

Graph::Graph(Attention &attention) : attention_(attention) {
  for (const Node &node : attention.nodes) { // of an attention that is finished
    unsigned depth = 0;
    for (NodeId n : node.operands)
      depth = std::max(depth, depth_[n] + 1);
    depth_.push_back(depth);
  }
}

bool Graph::has(NodeId n, AxisId axis) const {
  const std::vector<AxisId> &axes = (*this)[n].axes;
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

std::vector<AxisId> Graph::parts(AxisId axis) const {
  const Axis &a = attention_.axes[axis];
  return a.relation == AxisRelation::Factor ? a.factors : std::vector<AxisId>{axis};
}

bool Graph::hasAll(NodeId n, AxisId axis) const {
  for (AxisId p : parts(axis))
    if (!has(n, p))
      return false;
  return true;
}

bool Graph::hasAny(NodeId n, AxisId axis) const {
  for (AxisId p : parts(axis))
    if (has(n, p))
      return true;
  return false;
}

void Graph::unite(std::vector<AxisId> &into, const std::vector<AxisId> &axes) {
  for (AxisId a : axes)
    if (std::find(into.begin(), into.end(), a) == into.end())
      into.push_back(a);
}

NodeId Graph::add(Node node) {
  std::string key;
  key += static_cast<char>(node.op);
  key += static_cast<char>(node.kind);
  key += static_cast<char>(node.reduce);
  key += static_cast<char>(node.stat);
  key += static_cast<char>(node.weight);
  key += static_cast<char>(node.hasWhere);
  key += static_cast<char>(node.hasMass);
  key += static_cast<char>(node.read);
  key += static_cast<char>(node.hasDecay | node.hasErase << 1 | node.hasCommit << 2 | node.hasInitial << 3 |
                           node.reverse << 4 | node.same << 5);
  append(key, node.declaration);
  append(key, node.real);
  append(key, node.integer);
  append(key, static_cast<uint32_t>(node.operands.size()));
  for (NodeId n : node.operands)
    append(key, n);
  append(key, static_cast<uint32_t>(node.axes.size()));
  for (AxisId a : node.axes)
    append(key, a);
  for (AxisId a : node.attrAxes)
    append(key, a);
  auto [it, inserted] = known_.emplace(std::move(key), static_cast<NodeId>(size()));
  if (!inserted)
    return it->second;
  node.span = here;
  unsigned depth = 0;
  for (NodeId n : node.operands)
    depth = std::max(depth, depth_[n] + 1);
  depth_.push_back(depth);
  attention_.nodes.push_back(std::move(node));
  return it->second;
}

NodeId Graph::real(double value) {
  Node n;
  n.op = Op::Constant;
  n.kind = Kind::Real;
  n.real = value == 0 ? 0 : value;
  return add(std::move(n));
}

NodeId Graph::integer(int64_t value) {
  Node n;
  n.op = Op::Constant;
  n.kind = Kind::Int;
  n.integer = value;
  return add(std::move(n));
}

NodeId Graph::boolean(bool value) {
  Node n;
  n.op = Op::Constant;
  n.kind = Kind::Bool;
  n.integer = value;
  return add(std::move(n));
}

NodeId Graph::input(DeclId declaration, const std::vector<AxisId> &axes, Kind kind) {
  Node n;
  n.op = Op::Input;
  n.kind = kind;
  n.axes = axes;
  n.declaration = declaration;
  n.name = attention_.declarations[declaration].name;
  return add(std::move(n));
}

NodeId Graph::sizeOf(AxisId axis) {
  const Axis &a = attention_.axes[axis];
  if (a.relation == AxisRelation::Factor) {
    NodeId result = sizeOf(a.factors[0]);
    for (size_t k = 1; k < a.factors.size(); ++k)
      result = binary(Op::Mul, result, sizeOf(a.factors[k]));
    return result;
  }
  Node n;
  n.op = Op::Size;
  n.kind = Kind::Int;
  n.attrAxes = {axis};
  return add(std::move(n));
}

NodeId Graph::index(AxisId axis) {
  const Axis &a = attention_.axes[axis];
  if (a.relation == AxisRelation::Factor) {
    NodeId result = index(a.factors[0]);
    for (size_t k = 1; k < a.factors.size(); ++k)
      result = binary(Op::Add, binary(Op::Mul, result, sizeOf(a.factors[k])), index(a.factors[k]));
    return result;
  }
  Node n;
  n.op = Op::Index;
  n.kind = Kind::Int;
  n.axes = n.attrAxes = {axis};
  return add(std::move(n));
}

NodeId Graph::position(AxisId axis) {
  Node n;
  n.op = Op::Position;
  n.kind = Kind::Int;
  n.axes = n.attrAxes = {axis};
  return add(std::move(n));
}

NodeId Graph::queryPosition(AxisId query, AxisId raw) {
  Node n;
  n.op = Op::QueryPosition;
  n.kind = Kind::Int;
  n.axes = {query};
  n.attrAxes = {query, raw};
  return add(std::move(n));
}

NodeId Graph::toReal(NodeId x) {
  if ((*this)[x].kind != Kind::Int)
    return x;
  if (isConstant(x))
    return real(static_cast<double>((*this)[x].integer));
  Node n;
  n.op = Op::ToReal;
  n.kind = Kind::Real;
  n.operands = {x};
  n.axes = (*this)[x].axes;
  return add(std::move(n));
}

double Graph::number(NodeId n) const {
  const Node &node = (*this)[n];
  return node.kind == Kind::Real ? node.real : static_cast<double>(node.integer);
}

NodeId Graph::unary(Op op, NodeId x) {
  Kind kind = (*this)[x].kind;
  bool keepsInt = op == Op::Neg || op == Op::Abs || op == Op::Sign || op == Op::Relu;
  bool rounds = op == Op::Floor || op == Op::Round;
  if (rounds && kind == Kind::Int)
    return x;
  if (kind == Kind::Int && !keepsInt) {
    x = toReal(x);
    kind = Kind::Real;
  }
  if (op == Op::Not && isConstant(x))
    return boolean(!(*this)[x].integer);
  if (op == Op::Not && (*this)[x].op == Op::Not)
    return (*this)[x].operands[0];
  if (isConstant(x) && kind == Kind::Int) {
    int64_t v = (*this)[x].integer;
    if (v != std::numeric_limits<int64_t>::min())
      return integer(op == Op::Neg    ? -v
                     : op == Op::Abs  ? std::abs(v)
                     : op == Op::Sign ? (v > 0) - (v < 0)
                                      : std::max<int64_t>(v, 0));
    overflowed_ = true;
    return x;
  }
  if (isConstant(x) && kind == Kind::Real && rounds)
    return integer(static_cast<int64_t>(roundToInt(op, (*this)[x].real)));
  if (isConstant(x) && kind == Kind::Real && foldable(op)) {
    double v = foldUnary(op, (*this)[x].real);
    if (!std::isnan(v))
      return real(v);
  }
  Node n;
  n.op = op;
  n.kind = rounds ? Kind::Int : kind;
  n.operands = {x};
  n.axes = (*this)[x].axes;
  return add(std::move(n));
}

NodeId Graph::binary(Op op, NodeId a, NodeId b) {
  bool logical = op == Op::And || op == Op::Or;
  bool onlyReal = op == Op::Div || op == Op::Pow || op == Op::LogAddExp;
  if (onlyReal || (!logical && (*this)[a].kind != (*this)[b].kind)) {
    a = toReal(a);
    b = toReal(b);
  }
  Kind kind = (*this)[a].kind;
  if (logical) {
    for (int k = 0; k < 2; ++k) {
      NodeId x = k ? b : a, other = k ? a : b;
      // A constant operand decides or falls away.
      if (isConstant(x))
        return ((*this)[x].integer != 0) == (op == Op::And) ? other : x;
    }
    if (a == b)
      return a;
  } else if (isConstant(a) && isConstant(b)) {
    if (isComparison(op)) {
      if (kind == Kind::Int) {
        int64_t x = (*this)[a].integer, y = (*this)[b].integer;
        return boolean(op == Op::Eq   ? x == y
                       : op == Op::Ne ? x != y
                       : op == Op::Lt ? x < y
                       : op == Op::Le ? x <= y
                       : op == Op::Gt ? x > y
                                      : x >= y);
      }
      return boolean(compare(op, (*this)[a].real, (*this)[b].real));
    }
    if (kind == Kind::Int) {
      int64_t x = (*this)[a].integer, y = (*this)[b].integer, r = 0;
      bool over = false, folded = true;
      switch (op) {
      case Op::Add:
        over = __builtin_add_overflow(x, y, &r);
        break;
      case Op::Sub:
        over = __builtin_sub_overflow(x, y, &r);
        break;
      case Op::Mul:
        over = __builtin_mul_overflow(x, y, &r);
        break;
      case Op::Min:
        r = std::min(x, y);
        break;
      case Op::Max:
        r = std::max(x, y);
        break;
      case Op::FloorDiv:
      case Op::Mod: {
        folded = y != 0;
        over = y == -1 && x == std::numeric_limits<int64_t>::min();
        if (!folded || over)
          break;
        int64_t q = x / y, m = x % y;
        if (m != 0 && (m < 0) != (y < 0)) {
          --q;
          m += y;
        }
        r = op == Op::FloorDiv ? q : m;
        break;
      }
      default:
        folded = false;
      }
      if (over)
        overflowed_ = true;
      else if (folded)
        return integer(r);
    } else {
      double r = 0;
      if (foldBinary(op, (*this)[a].real, (*this)[b].real, r) && !std::isnan(r))
        return real(r);
    }
  }
  // Neutral elements: they come from conventions, such as a coefficient of one.
  auto isNumber = [&](NodeId x, double v) { return isConstant(x) && (*this)[x].kind != Kind::Bool && number(x) == v; };
  if (op == Op::Mul && isNumber(a, 1))
    return b;
  if (op == Op::Mul && isNumber(b, 1))
    return a;
  Node n;
  n.op = op;
  n.kind = isComparison(op) ? Kind::Bool : kind;
  n.operands = {a, b};
  n.axes = (*this)[a].axes;
  unite(n.axes, (*this)[b].axes);
  return add(std::move(n));
}

NodeId Graph::select(NodeId condition, NodeId a, NodeId b) {
  if ((*this)[a].kind != (*this)[b].kind) {
    a = toReal(a);
    b = toReal(b);
  }
  if (isConstant(condition)) {
    NodeId chosen = (*this)[condition].integer ? a : b;
    NodeId other = chosen == a ? b : a;
    bool covers = true;
    for (AxisId axis : (*this)[other].axes)
      covers &= has(chosen, axis);
    if (covers)
      return chosen;
  }
  Node n;
  n.op = Op::Select;
  n.kind = (*this)[a].kind;
  n.operands = {condition, a, b};
  n.axes = (*this)[condition].axes;
  unite(n.axes, (*this)[a].axes);
  unite(n.axes, (*this)[b].axes);
  return add(std::move(n));
}

NodeId Graph::reduce(ReduceKind kind, const std::vector<AxisId> &axes, NodeId x) {
  if (kind == ReduceKind::Mean || kind == ReduceKind::LogSumExp)
    x = toReal(x);
  Node n;
  n.op = Op::Reduce;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.reduce = kind;
  n.attrAxes = axes;
  for (AxisId a : (*this)[x].axes)
    if (std::find(axes.begin(), axes.end(), a) == axes.end())
      n.axes.push_back(a);
  return add(std::move(n));
}

NodeId Graph::dot(const std::vector<AxisId> &axes, NodeId a, NodeId b) {
  a = toReal(a);
  b = toReal(b);
  Node n;
  n.op = Op::Dot;
  n.operands = {a, b};
  n.attrAxes = axes;
  std::vector<AxisId> all = (*this)[a].axes;
  unite(all, (*this)[b].axes);
  for (AxisId x : all)
    if (std::find(axes.begin(), axes.end(), x) == axes.end())
      n.axes.push_back(x);
  return add(std::move(n));
}

NodeId Graph::rename(AxisId from, AxisId to, NodeId x) {
  if (!has(x, from))
    return x;
  if ((*this)[x].op == Op::Index)
    return index(to);
  Node n;
  n.op = Op::Rename;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.attrAxes = {from, to};
  n.axes = (*this)[x].axes;
  std::replace(n.axes.begin(), n.axes.end(), from, to);
  return add(std::move(n));
}

NodeId Graph::rowAt(AxisId raw, AxisId query, NodeId x) {
  Node n;
  n.op = Op::RowAt;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.attrAxes = {raw, query};
  n.axes = (*this)[x].axes;
  std::replace(n.axes.begin(), n.axes.end(), raw, query);
  return add(std::move(n));
}

NodeId Graph::slice(AxisId whole, AxisId part, const std::vector<AxisId> &before, NodeId x) {
  Node n;
  n.op = Op::Slice;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.attrAxes = {whole, part};
  n.attrAxes.insert(n.attrAxes.end(), before.begin(), before.end());
  n.axes = (*this)[x].axes;
  std::replace(n.axes.begin(), n.axes.end(), whole, part);
  return add(std::move(n));
}

NodeId Graph::concat(AxisId whole, const std::vector<AxisId> &parts, const std::vector<NodeId> &operands) {
  Node n;
  n.op = Op::Concat;
  n.operands = operands;
  bool anyReal = false;
  for (NodeId x : operands)
    anyReal |= (*this)[x].kind == Kind::Real;
  n.attrAxes = {whole};
  n.attrAxes.insert(n.attrAxes.end(), parts.begin(), parts.end());
  for (size_t k = 0; k < operands.size(); ++k) {
    if (anyReal)
      n.operands[k] = toReal(n.operands[k]);
    std::vector<AxisId> axes = (*this)[n.operands[k]].axes;
    std::replace(axes.begin(), axes.end(), parts[k], whole);
    unite(n.axes, axes);
  }
  n.kind = (*this)[n.operands[0]].kind;
  return add(std::move(n));
}

NodeId Graph::gather(AxisId axis, NodeId x, NodeId index) {
  Node n;
  n.op = Op::Gather;
  n.kind = (*this)[x].kind;
  n.operands = {x, index};
  n.attrAxes = {axis};
  for (AxisId a : (*this)[x].axes)
    if (a != axis)
      n.axes.push_back(a);
  unite(n.axes, (*this)[index].axes);
  return add(std::move(n));
}

NodeId Graph::scan(AxisId axis, NodeId x) {
  Node n;
  n.op = Op::Scan;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.attrAxes = {axis};
  n.axes = (*this)[x].axes;
  return add(std::move(n));
}

NodeId Graph::blockReduce(ReduceKind kind, AxisId axis, AxisId blocks, NodeId x) {
  if (kind == ReduceKind::Mean || kind == ReduceKind::LogSumExp)
    x = toReal(x);
  Node n;
  n.op = Op::BlockReduce;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.reduce = kind;
  n.attrAxes = {axis, blocks};
  n.axes = (*this)[x].axes;
  std::replace(n.axes.begin(), n.axes.end(), axis, blocks);
  return add(std::move(n));
}

NodeId Graph::flatten(AxisId factor, AxisId walk, NodeId x) { return pairs(parts(factor), walk, x); }

NodeId Graph::pairs(const std::vector<AxisId> &factors, AxisId walk, NodeId x) {
  Node n;
  n.op = Op::Flatten;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.attrAxes = factors;
  n.attrAxes.push_back(walk);
  bool placed = false;
  for (AxisId a : (*this)[x].axes) {
    if (std::find(factors.begin(), factors.end(), a) == factors.end())
      n.axes.push_back(a);
    else if (!placed)
      n.axes.push_back(walk);
    placed |= n.axes.back() == walk;
  }
  return add(std::move(n));
}

NodeId Graph::weights(WeightKind kind, AxisId walk, AxisId query, NodeId score, const NodeId *where, const NodeId *mass,
                      const std::vector<NodeId> &sinks) {
  Node n;
  n.op = Op::Weights;
  n.kind = Kind::Weights;
  n.weight = kind;
  n.operands.push_back(toReal(score));
  n.hasWhere = where != nullptr;
  n.hasMass = mass != nullptr;
  if (where)
    n.operands.push_back(*where);
  if (mass)
    n.operands.push_back(toReal(*mass));
  for (NodeId s : sinks)
    n.operands.push_back(toReal(s));
  n.attrAxes = {walk, query};
  std::vector<AxisId> all;
  for (NodeId x : n.operands)
    unite(all, (*this)[x].axes);
  unite(all, parts(query));
  for (AxisId a : all)
    if (a != walk)
      n.axes.push_back(a);
  return add(std::move(n));
}

NodeId Graph::handle(int64_t id, const std::vector<AxisId> &rows) {
  Node n;
  n.op = Op::Weights;
  n.kind = Kind::Weights;
  n.integer = id;
  n.axes = rows;
  return add(std::move(n));
}

NodeId Graph::expect(NodeId p, NodeId value, const NodeId *coefficient) {
  Node n;
  n.op = Op::Expect;
  n.operands = {p, toReal(value)};
  if (coefficient)
    n.operands.push_back(toReal(*coefficient));
  n.attrAxes = (*this)[p].attrAxes;
  std::vector<AxisId> all = (*this)[p].axes;
  unite(all, (*this)[value].axes);
  for (AxisId a : all)
    if (a != n.attrAxes[0])
      n.axes.push_back(a);
  return add(std::move(n));
}

NodeId Graph::stat(StatKind kind, NodeId p) {
  Node n;
  n.op = Op::Stat;
  n.operands = {p};
  n.stat = kind;
  n.axes = (*this)[p].axes;
  return add(std::move(n));
}

NodeId Graph::state(const StateParts &parts) {
  Node n;
  n.op = Op::State;
  n.kind = Kind::State;
  n.operands = {toReal(parts.keys), toReal(parts.values)};
  auto add = [&](const std::optional<NodeId> &x, bool &flag) {
    flag = x.has_value();
    if (x)
      n.operands.push_back((*this)[*x].kind == Kind::Int ? toReal(*x) : *x);
  };
  add(parts.decay, n.hasDecay);
  add(parts.erase, n.hasErase);
  add(parts.where, n.hasWhere);
  add(parts.commit, n.hasCommit);
  add(parts.initial, n.hasInitial);
  n.reverse = parts.reverse;
  n.attrAxes = {parts.time, parts.key};
  if (parts.features)
    n.attrAxes.push_back(*parts.features);
  if (parts.commit)
    n.attrAxes.push_back(*parts.blocks);
  std::vector<AxisId> all;
  for (NodeId x : n.operands)
    unite(all, (*this)[x].axes);
  for (AxisId a : all)
    if (std::find(n.attrAxes.begin(), n.attrAxes.end(), a) == n.attrAxes.end())
      n.axes.push_back(a);
  return this->add(std::move(n));
}

NodeId Graph::stateHandle(int64_t id, const std::vector<AxisId> &batch) {
  Node n;
  n.op = Op::State;
  n.kind = Kind::State;
  n.integer = id;
  n.axes = batch;
  return add(std::move(n));
}

NodeId Graph::read(ReadPoint point, NodeId state, NodeId query) {
  Node n;
  n.op = Op::Read;
  n.read = point;
  n.operands = {state, toReal(query)};
  const Node &s = (*this)[state];
  for (AxisId a : (*this)[query].axes)
    if (a != s.attrAxes[1])
      n.axes.push_back(a);
  unite(n.axes, s.axes);
  unite(n.axes, {s.attrAxes[0]});
  if (s.attrAxes.size() > 2u + s.hasCommit)
    n.axes.push_back(s.attrAxes[2]);
  return add(std::move(n));
}

NodeId Graph::last(NodeId state) {
  const Node &s = (*this)[state];
  Node n;
  n.op = Op::Last;
  n.operands = {state};
  n.axes = s.axes;
  n.axes.insert(n.axes.end(), s.attrAxes.begin() + 1, s.attrAxes.end() - s.hasCommit);
  return add(std::move(n));
}

NodeId Graph::every(NodeId state, AxisId blocks) {
  const Node &s = (*this)[state];
  Node n;
  n.op = Op::Every;
  n.operands = {state};
  n.attrAxes = {blocks};
  n.axes = s.axes;
  n.axes.push_back(blocks);
  n.axes.insert(n.axes.end(), s.attrAxes.begin() + 1, s.attrAxes.end() - s.hasCommit);
  return add(std::move(n));
}

NodeId Graph::conv(const std::vector<AxisId> &axes, const std::vector<AxisId> &taps, bool same, NodeId x, NodeId w) {
  Node n;
  n.op = Op::Conv;
  n.same = same;
  n.operands = {toReal(x), toReal(w)};
  n.attrAxes = axes;
  n.attrAxes.insert(n.attrAxes.end(), taps.begin(), taps.end());
  n.axes = (*this)[x].axes;
  for (AxisId a : (*this)[w].axes)
    if (std::find(taps.begin(), taps.end(), a) == taps.end())
      unite(n.axes, {a});
  return add(std::move(n));
}

NodeId Graph::output(DeclId declaration, const std::vector<AxisId> &axes, NodeId x) {
  Node n;
  n.op = Op::Output;
  n.kind = (*this)[x].kind;
  n.operands = {x};
  n.declaration = declaration;
  n.axes = axes;
  n.name = attention_.declarations[declaration].name;
  return add(std::move(n));
}

NodeId Graph::remake(NodeId id, const std::vector<NodeId> &operands) {
  const Node node = (*this)[id]; // a copy: the calls add nodes
  if (operands == node.operands)
    return id;
  switch (node.op) {
  case Op::Select:
    return select(operands[0], operands[1], operands[2]);
  case Op::Reduce:
    return reduce(node.reduce, node.attrAxes, operands[0]);
  case Op::Dot:
    return dot(node.attrAxes, operands[0], operands[1]);
  case Op::Rename:
    return rename(node.attrAxes[0], node.attrAxes[1], operands[0]);
  case Op::RowAt:
    return rowAt(node.attrAxes[0], node.attrAxes[1], operands[0]);
  case Op::Slice:
    return slice(node.attrAxes[0], node.attrAxes[1], {node.attrAxes.begin() + 2, node.attrAxes.end()}, operands[0]);
  case Op::Concat:
    return concat(node.attrAxes[0], {node.attrAxes.begin() + 1, node.attrAxes.end()}, operands);
  case Op::Gather:
    return gather(node.attrAxes[0], operands[0], operands[1]);
  case Op::Scan:
    return scan(node.attrAxes[0], operands[0]);
  case Op::BlockReduce:
    return blockReduce(node.reduce, node.attrAxes[0], node.attrAxes[1], operands[0]);
  case Op::ToReal:
    return toReal(operands[0]);
  default:
    break;
  }
  if (operands.size() == 1 && node.op >= Op::Neg && node.op <= Op::Not)
    return unary(node.op, operands[0]);
  if (operands.size() == 2 && node.op >= Op::Add && node.op <= Op::Ge)
    return binary(node.op, operands[0], operands[1]);
  return id;
}

NodeId Graph::transform(NodeId root, const std::function<std::optional<NodeId>(NodeId)> &replace) {
  std::map<NodeId, NodeId> done;
  std::vector<NodeId> needed;
  std::vector<NodeId> stack{root};
  std::set<NodeId> seen{root};
  while (!stack.empty()) {
    NodeId n = stack.back();
    stack.pop_back();
    if (std::optional<NodeId> other = replace(n)) {
      done[n] = *other;
      continue;
    }
    needed.push_back(n);
    for (NodeId o : (*this)[n].operands)
      if (seen.insert(o).second)
        stack.push_back(o);
  }
  std::sort(needed.begin(), needed.end()); // operands have smaller numbers
  for (NodeId n : needed) {
    std::vector<NodeId> operands = (*this)[n].operands;
    for (NodeId &o : operands)
      o = done.at(o);
    done[n] = remake(n, operands);
  }
  return done.at(root);
}

NodeId Graph::substituteWalk(NodeId n, AxisId from, AxisId to) {
  if (from == to)
    return n;
  return transform(n, [&](NodeId x) -> std::optional<NodeId> {
    if (!has(x, from))
      return x;
    const Node node = (*this)[x];
    if (node.op == Op::Index)
      return index(to);
    if (node.op == Op::Rename && node.attrAxes[1] == from)
      return rename(node.attrAxes[0], to, node.operands[0]);
    if (node.op == Op::Flatten) {
      Node other = node;
      other.attrAxes.back() = to;
      std::replace(other.axes.begin(), other.axes.end(), from, to);
      return add(std::move(other));
    }
    return std::nullopt;
  });
}

std::optional<double> Graph::evaluate(NodeId n) const {
  if (depth(n) > 200)
    return std::nullopt;
  std::map<NodeId, double> values;
  // Operands have smaller numbers, so one pass upwards over what n needs is enough.
  std::vector<NodeId> needed{n};
  std::map<NodeId, bool> seen;
  for (size_t k = 0; k < needed.size(); ++k)
    for (NodeId o : (*this)[needed[k]].operands)
      if (!seen[o]) {
        seen[o] = true;
        needed.push_back(o);
      }
  std::sort(needed.begin(), needed.end());
  for (NodeId k : needed) {
    const Node &node = (*this)[k];
    double v = 0;
    auto operand = [&](size_t i) { return values[node.operands[i]]; };
    if (node.op == Op::Constant) {
      v = number(k);
    } else if (node.op == Op::Size) {
      const Axis &axis = attention_.axes[node.attrAxes[0]];
      if (!axis.size)
        return std::nullopt;
      v = static_cast<double>(*axis.size);
    } else if (node.op == Op::ToReal) {
      v = operand(0);
    } else if (node.op == Op::FloorDiv) {
      v = std::floor(operand(0) / operand(1));
    } else if (node.op == Op::Mod) {
      v = operand(0) - std::floor(operand(0) / operand(1)) * operand(1);
    } else if (node.op == Op::Select) {
      v = operand(0) != 0 ? operand(1) : operand(2);
    } else if (isComparison(node.op)) {
      v = compare(node.op, operand(0), operand(1));
    } else if (node.operands.size() == 1 && foldable(node.op)) {
      v = foldUnary(node.op, operand(0));
    } else if (node.operands.size() != 2 || !foldBinary(node.op, operand(0), operand(1), v)) {
      return std::nullopt;
    }
    if (std::isnan(v))
      return std::nullopt;
    values[k] = v;
  }
  return values[n];
}

} // namespace fovea::sema
