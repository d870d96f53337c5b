// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Key ranges of a predicate: comparisons become `sign * j + factor * i + rest <= 0` with rest an interval, and a
// disjunction of conjunctions of these is read off as ranges.
#include "passes/analysis/KeyRange.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::analysis;

namespace {

constexpr double kMaxMagnitude = 0x1p61;
constexpr double kInt32 = 0x1p31;
constexpr size_t kMaxRanges = 4;
constexpr size_t kMaxConjunctions = 32;
constexpr unsigned kMaxDepth = 512;
constexpr unsigned kMaxSteps = 20000; // a graph that shares nodes has exponentially many paths

using Form = BoundExpr::Kind;

//===--- expressions; null where a value could leave 64 bits ---===//

Bound make(BoundExpr expr) {
  if (!(expr.magnitude < kMaxMagnitude))
    return {};
  return std::make_shared<const BoundExpr>(std::move(expr));
}

Bound constant(int64_t value) {
  BoundExpr expr{Form::Constant};
  expr.constant = value;
  expr.magnitude = std::abs(double(value));
  return make(expr);
}

Bound leaf(Form kind, StringAttr axis = {}, Value scalar = {}) {
  BoundExpr expr{kind};
  expr.axis = axis;
  expr.scalar = scalar;
  expr.magnitude = kInt32;
  return make(expr);
}

bool isConstant(const Bound &x, int64_t value) { return x->kind == Form::Constant && x->constant == value; }

Bound add(const Bound &a, const Bound &b) {
  if (!a || !b)
    return {};
  if (isConstant(a, 0))
    return b;
  if (isConstant(b, 0))
    return a;
  if (a->kind == Form::Constant && b->kind == Form::Constant)
    return constant(a->constant + b->constant);
  if (a->kind == Form::Constant)
    return add(b, a);
  if (a->kind == Form::Add && a->rhs->kind == Form::Constant && b->kind == Form::Constant)
    return add(a->lhs, add(a->rhs, b));
  if (a->kind == Form::Add && a->rhs->kind == Form::Constant)
    return add(add(a->lhs, b), a->rhs); // constants last
  // x + -1 * x: sizes cancel so often that plain bounds would not look plain without this.
  auto isNegated = [](const Bound &x, const Bound &y) {
    return y->kind == Form::Scale && y->constant == -1 &&
           (y->lhs == x || (y->lhs->kind == Form::AxisSize && x->kind == Form::AxisSize && y->lhs->axis == x->axis));
  };
  if (isNegated(a, b) || isNegated(b, a))
    return constant(0);
  if (a->kind == Form::Add) {
    if (isNegated(a->lhs, b) || isNegated(b, a->lhs))
      return a->rhs;
    if (isNegated(a->rhs, b) || isNegated(b, a->rhs))
      return a->lhs;
  }
  if (b->kind == Form::Add)
    return add(add(a, b->lhs), b->rhs);
  BoundExpr expr{Form::Add};
  expr.lhs = a;
  expr.rhs = b;
  expr.magnitude = a->magnitude + b->magnitude;
  return make(expr);
}

Bound scale(const Bound &a, int64_t factor) {
  if (!a)
    return {};
  if (factor == 1)
    return a;
  if (factor == 0)
    return constant(0);
  double magnitude = a->magnitude * std::abs(double(factor));
  if (!(magnitude < kMaxMagnitude))
    return {};
  if (a->kind == Form::Constant)
    return constant(a->constant * factor);
  if (a->kind == Form::Scale)
    return scale(a->lhs, a->constant * factor);
  if (a->kind == Form::Add)
    return add(scale(a->lhs, factor), scale(a->rhs, factor));
  BoundExpr expr{Form::Scale};
  expr.lhs = a;
  expr.constant = factor;
  expr.magnitude = magnitude;
  return make(expr);
}

Bound extreme(Form kind, const Bound &a, const Bound &b) {
  if (!a || !b)
    return {};
  if (a == b)
    return a;
  if (a->kind == Form::Constant && b->kind == Form::Constant)
    return kind == Form::Min ? (a->constant < b->constant ? a : b) : (a->constant > b->constant ? a : b);
  BoundExpr expr{kind};
  expr.lhs = a;
  expr.rhs = b;
  expr.magnitude = std::max(a->magnitude, b->magnitude);
  return make(expr);
}
Bound minOf(const Bound &a, const Bound &b) { return extreme(Form::Min, a, b); }
Bound maxOf(const Bound &a, const Bound &b) { return extreme(Form::Max, a, b); }

int64_t floorDiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0); }

Bound floorDiv(const Bound &a, int64_t by) {
  if (!a)
    return {};
  if (by == 1)
    return a;
  if (a->kind == Form::Constant)
    return constant(floorDiv(a->constant, by));
  BoundExpr expr{Form::FloorDiv};
  expr.lhs = a;
  expr.constant = by;
  expr.magnitude = a->magnitude / double(by) + 1;
  return make(expr);
}

//===--- terms ---===//

/// keyFactor * j + queryFactor * i + [lo, hi].
struct Term {
  int64_t keyFactor = 0, queryFactor = 0;
  Bound lo, hi;
};

/// The atom `term <= 0`, or one that was not understood.
struct Atom {
  Term term;
  bool known = false;
  std::optional<DataPart> data = std::nullopt; // of one that was not understood, where data decide it
};
using Conjunction = std::vector<Atom>;
/// No conjunction: false. A conjunction without atoms: true.
using Disjunction = std::vector<Conjunction>;

/// Where a name of an axis stands for another: what `rename` does on the way down.
using AxisMap = std::vector<std::pair<StringAttr, StringAttr>>;

class Reader {
public:
  explicit Reader(const KeyWalk &walk) : walk(walk) {}

  Disjunction read(Value predicate, const AxisMap &map, bool negated, unsigned depth);

private:
  StringAttr resolve(StringAttr axis, const AxisMap &map) const {
    for (auto &[from, to] : llvm::reverse(map))
      if (from == axis)
        return to;
    return axis;
  }
  StringAttr positions() const { return walk.positions ? walk.positions : walk.keys; }
  Bound sizeOf(StringAttr axis) const {
    if (std::optional<int64_t> size = walk.staticSize(axis))
      return constant(*size);
    return leaf(Form::AxisSize, axis);
  }

  std::optional<Term> term(Value value, const AxisMap &map, unsigned depth) const;
  std::optional<Term> structuralTerm(Value value, const AxisMap &map, unsigned depth) const;
  std::optional<std::pair<Bound, Bound>> interval(const Term &term) const;
  Bound queryExtreme(int64_t factor, bool greatest) const {
    return scale(leaf((factor > 0) == greatest ? Form::LastQuery : Form::FirstQuery), factor);
  }

  Disjunction compare(Operation *op, Value a, Value b, const AxisMap &map, bool negated, unsigned depth) const;
  Disjunction lessEqual(const std::optional<Term> &a, const std::optional<Term> &b, int64_t offset) const;

  static Disjunction unknown() { return {Conjunction{Atom{}}}; }
  /// What was read of a predicate, or that data decide it where not all of it was understood.
  Disjunction orData(Disjunction read, Value predicate, const AxisMap &map, bool negated) const {
    bool known = llvm::all_of(
        read, [](const Conjunction &c) { return llvm::all_of(c, [](const Atom &atom) { return atom.known; }); });
    DataPart part{predicate, map, negated};
    if (known || !walk.isData || !walk.isData(part))
      return read;
    Atom atom;
    atom.data = part;
    return {Conjunction{atom}};
  }
  static Disjunction conjoin(const Disjunction &a, const Disjunction &b);
  static Disjunction disjoin(Disjunction a, const Disjunction &b);

public:
  std::optional<KeyRange> range(const Conjunction &conjunction) const;

private:
  const KeyWalk &walk;
  mutable unsigned steps = 0;
};

std::optional<Term> sum(const std::optional<Term> &a, const std::optional<Term> &b) {
  if (!a || !b)
    return std::nullopt;
  Term result{a->keyFactor + b->keyFactor, a->queryFactor + b->queryFactor, add(a->lo, b->lo), add(a->hi, b->hi)};
  if (!result.lo || !result.hi)
    return std::nullopt;
  return result;
}

std::optional<Term> times(const std::optional<Term> &a, int64_t factor) {
  if (!a)
    return std::nullopt;
  double largest = std::max(std::abs(double(a->keyFactor)), std::abs(double(a->queryFactor)));
  if (largest * std::abs(double(factor)) > kInt32)
    return std::nullopt;
  Term result{a->keyFactor * factor, a->queryFactor * factor, scale(factor < 0 ? a->hi : a->lo, factor),
              scale(factor < 0 ? a->lo : a->hi, factor)};
  if (!result.lo || !result.hi)
    return std::nullopt;
  return result;
}

std::optional<Term> point(const Bound &value) {
  if (!value)
    return std::nullopt;
  return Term{0, 0, value, value};
}

std::optional<int64_t> constantOf(const std::optional<Term> &term) {
  if (!term || term->keyFactor || term->queryFactor || term->lo->kind != Form::Constant ||
      term->hi->kind != Form::Constant || term->lo->constant != term->hi->constant)
    return std::nullopt;
  return term->lo->constant;
}

/// The values of a term without j over the queries of the tile.
std::optional<std::pair<Bound, Bound>> Reader::interval(const Term &term) const {
  if (term.keyFactor)
    return std::nullopt;
  Bound lo = term.lo, hi = term.hi;
  if (term.queryFactor) {
    lo = add(queryExtreme(term.queryFactor, false), lo);
    hi = add(queryExtreme(term.queryFactor, true), hi);
  }
  if (!lo || !hi)
    return std::nullopt;
  return std::make_pair(lo, hi);
}

std::optional<Term> Reader::term(Value value, const AxisMap &map, unsigned depth) const {
  auto type = dyn_cast<FieldType>(value.getType());
  if (!type || !type.isInt() || depth > kMaxDepth || ++steps > kMaxSteps)
    return std::nullopt;
  if (std::optional<Term> known = structuralTerm(value, map, depth))
    return known;
  // Whatever else it is, it is one number for the whole tile. Sums that were not understood are beyond 64 bits.
  Operation *op = value.getDefiningOp();
  bool scaled = isa<MulOp>(op) && llvm::any_of(op->getOperands(), [&](Value operand) {
                  return constantOf(term(operand, map, depth + 1)).has_value();
                });
  if (isa<ConstantOp, AddOp, SubOp, NegOp, MinOp, MaxOp>(op) || scaled)
    return std::nullopt;
  if (map.empty() && llvm::all_of(type.getAxes(), walk.isBatch))
    return point(leaf(Form::Scalar, {}, value));
  return std::nullopt;
}

std::optional<Term> Reader::structuralTerm(Value value, const AxisMap &map, unsigned depth) const {
  Operation *op = value.getDefiningOp();
  auto operand = [&](unsigned n) { return term(op->getOperand(n), map, depth + 1); };
  auto position = [&](StringAttr axis) -> std::optional<Term> {
    StringAttr at = resolve(axis, map);
    if (at == walk.walk)
      return Term{1, 0, constant(0), constant(0)};
    if (at == walk.query) // the index is the position less the shift
      return sum(Term{0, 1, constant(0), constant(0)}, point(add(sizeOf(walk.query), scale(sizeOf(positions()), -1))));
    return std::nullopt;
  };
  auto extremes = [&](bool least) -> std::optional<Term> {
    std::optional<Term> a = operand(0), b = operand(1);
    std::optional<std::pair<Bound, Bound>> x, y;
    if (!a || !b || !(x = interval(*a)) || !(y = interval(*b)))
      return std::nullopt;
    Term result{0, 0, least ? minOf(x->first, y->first) : maxOf(x->first, y->first),
                least ? minOf(x->second, y->second) : maxOf(x->second, y->second)};
    return result.lo && result.hi ? std::optional(result) : std::nullopt;
  };
  return TypeSwitch<Operation *, std::optional<Term>>(op)
      .Case<ConstantOp>([&](ConstantOp c) -> std::optional<Term> {
        auto number = dyn_cast<IntegerAttr>(c.getValue());
        return number ? point(constant(number.getInt())) : std::nullopt;
      })
      .Case<SizeOp>([&](SizeOp s) { return point(sizeOf(s.getAxisAttr())); })
      .Case<IndexOp>([&](IndexOp i) { return position(i.getAxisAttr()); })
      .Case<PositionOp>([&](PositionOp i) { return position(i.getAxisAttr()); })
      .Case<QueryPositionOp>([&](QueryPositionOp i) -> std::optional<Term> {
        if (resolve(i.getQueryAttr(), map) != walk.query || i.getQueryAttr() != walk.query ||
            i.getKeysAttr() != positions())
          return std::nullopt;
        return Term{0, 1, constant(0), constant(0)};
      })
      .Case<RenameOp>([&](RenameOp r) {
        AxisMap inner = map;
        inner.emplace_back(r.getFromAttr(), resolve(r.getToAttr(), map));
        return term(r.getOperand(), inner, depth + 1);
      })
      .Case<NegOp>([&](NegOp) { return times(operand(0), -1); })
      .Case<AddOp>([&](AddOp) { return sum(operand(0), operand(1)); })
      .Case<SubOp>([&](SubOp) { return sum(operand(0), times(operand(1), -1)); })
      .Case<MulOp>([&](MulOp) -> std::optional<Term> {
        std::optional<Term> a = operand(0), b = operand(1);
        if (std::optional<int64_t> c = constantOf(b))
          return times(a, *c);
        if (std::optional<int64_t> c = constantOf(a))
          return times(b, *c);
        return std::nullopt;
      })
      .Case<FloorDivOp>([&](FloorDivOp) -> std::optional<Term> {
        std::optional<Term> a = operand(0);
        std::optional<int64_t> by = constantOf(operand(1));
        std::optional<std::pair<Bound, Bound>> range;
        if (!a || !by || *by <= 0 || !(range = interval(*a)))
          return std::nullopt;
        Term result{0, 0, floorDiv(range->first, *by), floorDiv(range->second, *by)};
        return result.lo && result.hi ? std::optional(result) : std::nullopt;
      })
      .Case<ModOp>([&](ModOp) -> std::optional<Term> {
        std::optional<int64_t> by = constantOf(operand(1));
        if (!by || *by <= 0)
          return std::nullopt;
        return Term{0, 0, constant(0), constant(*by - 1)};
      })
      .Case<MinOp>([&](MinOp) { return extremes(true); })
      .Case<MaxOp>([&](MaxOp) { return extremes(false); })
      .Case<SelectOp>([&](SelectOp) -> std::optional<Term> {
        std::optional<Term> a = operand(1), b = operand(2);
        std::optional<std::pair<Bound, Bound>> x, y;
        if (!a || !b || !(x = interval(*a)) || !(y = interval(*b)))
          return std::nullopt;
        Term result{0, 0, minOf(x->first, y->first), maxOf(x->second, y->second)};
        return result.lo && result.hi ? std::optional(result) : std::nullopt;
      })
      .Default([](Operation *) { return std::nullopt; });
}

//===--- predicates ---===//

Disjunction Reader::conjoin(const Disjunction &a, const Disjunction &b) {
  if (a.size() * b.size() > kMaxConjunctions) // keep the side that says more about fewer cases
    return conjoin(a.size() <= b.size() ? a : b, unknown());
  Disjunction result;
  for (const Conjunction &x : a)
    for (const Conjunction &y : b) {
      result.push_back(x);
      llvm::append_range(result.back(), y);
    }
  return result;
}

Disjunction Reader::disjoin(Disjunction a, const Disjunction &b) {
  if (a.size() + b.size() > kMaxConjunctions)
    return unknown();
  llvm::append_range(a, b);
  return a;
}

/// a + offset <= b.
Disjunction Reader::lessEqual(const std::optional<Term> &a, const std::optional<Term> &b, int64_t offset) const {
  std::optional<Term> difference = sum(sum(a, times(b, -1)), point(constant(offset)));
  if (!difference)
    return unknown();
  return {Conjunction{Atom{*difference, true, std::nullopt}}};
}

Disjunction Reader::compare(Operation *op, Value a, Value b, const AxisMap &map, bool negated, unsigned depth) const {
  if (!cast<FieldType>(a.getType()).isInt())
    return unknown();
  enum class Relation { Le, Lt, Ge, Gt, Eq, Ne };
  Relation relation = TypeSwitch<Operation *, Relation>(op)
                          .Case<LeOp>([](auto) { return Relation::Le; })
                          .Case<LtOp>([](auto) { return Relation::Lt; })
                          .Case<GeOp>([](auto) { return Relation::Ge; })
                          .Case<GtOp>([](auto) { return Relation::Gt; })
                          .Case<EqOp>([](auto) { return Relation::Eq; })
                          .Default([](auto) { return Relation::Ne; });
  static constexpr Relation opposite[] = {Relation::Gt, Relation::Ge, Relation::Lt,
                                          Relation::Le, Relation::Ne, Relation::Eq};
  if (negated)
    relation = opposite[int(relation)];
  static constexpr Relation mirrored[] = {Relation::Ge, Relation::Gt, Relation::Le,
                                          Relation::Lt, Relation::Eq, Relation::Ne};

  auto ordered = [&](const std::optional<Term> &x, const std::optional<Term> &y) {
    switch (relation) {
    case Relation::Le:
      return lessEqual(x, y, 0);
    case Relation::Lt:
      return lessEqual(x, y, 1);
    case Relation::Ge:
      return lessEqual(y, x, 0);
    case Relation::Gt:
      return lessEqual(y, x, 1);
    case Relation::Eq:
      return conjoin(lessEqual(x, y, 0), lessEqual(y, x, 0));
    case Relation::Ne:
      return disjoin(lessEqual(x, y, 1), lessEqual(y, x, 1));
    }
    return unknown();
  };

  // The smaller or greater of two against y: two comparisons.
  auto isExtreme = [](Value v) { return v.getDefiningOp<MinOp>() || v.getDefiningOp<MaxOp>(); };
  if (isExtreme(b) && !term(b, map, depth + 1)) {
    std::swap(a, b);
    relation = mirrored[int(relation)];
  }
  if (isExtreme(a) && !term(a, map, depth + 1) && relation != Relation::Eq && relation != Relation::Ne) {
    std::optional<Term> y = term(b, map, depth + 1);
    auto against = [&](Value side) {
      std::optional<Term> x = term(side, map, depth + 1);
      return ordered(x, y);
    };
    Disjunction first = against(a.getDefiningOp()->getOperand(0)), second = against(a.getDefiningOp()->getOperand(1));
    bool below = relation == Relation::Le || relation == Relation::Lt;
    return below == bool(a.getDefiningOp<MinOp>()) ? disjoin(std::move(first), second) : conjoin(first, second);
  }

  // |x| against y, and a quotient that holds j against y: the function to the left.
  auto isSpecial = [](Value v) { return v.getDefiningOp<AbsOp>() || v.getDefiningOp<FloorDivOp>(); };
  if (isSpecial(b) && !isSpecial(a)) {
    std::swap(a, b);
    relation = mirrored[int(relation)];
  }
  std::optional<Term> y = term(b, map, depth + 1);
  if (auto abs = a.getDefiningOp<AbsOp>()) {
    std::optional<Term> x = term(abs.getOperand(), map, depth + 1), negative = times(x, -1);
    auto below = [&](int64_t offset) { return conjoin(lessEqual(x, y, offset), lessEqual(negative, y, offset)); };
    auto above = [&](int64_t offset) { return disjoin(lessEqual(y, x, offset), lessEqual(y, negative, offset)); };
    switch (relation) {
    case Relation::Le:
      return below(0);
    case Relation::Lt:
      return below(1);
    case Relation::Ge:
      return above(0);
    case Relation::Gt:
      return above(1);
    case Relation::Eq:
      return conjoin(below(0), above(0));
    case Relation::Ne:
      return disjoin(below(1), above(1));
    }
  }
  std::optional<Term> x = term(a, map, depth + 1);
  auto quotient = [&](Value value, const std::optional<Term> &known) -> std::optional<std::pair<Term, int64_t>> {
    auto division = value.getDefiningOp<FloorDivOp>();
    if (!division || known)
      return std::nullopt;
    std::optional<Term> inner = term(division.getLhs(), map, depth + 1);
    std::optional<int64_t> by = constantOf(term(division.getRhs(), map, depth + 1));
    if (!inner || !by || *by <= 0 || std::abs(inner->keyFactor) != 1)
      return std::nullopt;
    return std::make_pair(*inner, *by);
  };
  if (!x || !y) {
    bool swapped = false;
    auto split = quotient(a, x);
    if (!split) {
      split = quotient(b, y);
      swapped = split.has_value();
    }
    std::optional<std::pair<Bound, Bound>> other;
    const std::optional<Term> &side = swapped ? x : y;
    if (!split || !side || !(other = interval(*side)))
      return unknown();
    if (swapped)
      relation = mirrored[int(relation)];
    // n // c <= t is n <= c t + c - 1; n // c >= t is n >= c t.
    std::optional<Term> n = split->first, ct = times(side, split->second);
    int64_t c = split->second;
    auto atMost = [&](int64_t offset) { return lessEqual(n, ct, offset * c - (c - 1)); };
    auto atLeast = [&](int64_t offset) { return lessEqual(ct, n, offset * c); };
    switch (relation) {
    case Relation::Le:
      return atMost(0);
    case Relation::Lt:
      return atMost(1);
    case Relation::Ge:
      return atLeast(0);
    case Relation::Gt:
      return atLeast(1);
    case Relation::Eq:
      return conjoin(atMost(0), atLeast(0));
    case Relation::Ne:
      return disjoin(atMost(1), atLeast(1));
    }
  }
  return ordered(x, y);
}

Disjunction Reader::read(Value predicate, const AxisMap &map, bool negated, unsigned depth) {
  Operation *op = predicate.getDefiningOp();
  if (depth > kMaxDepth || ++steps > kMaxSteps)
    return unknown();
  auto both = [&](Value a, bool negateA, Value b, bool negateB) {
    return conjoin(read(a, map, negateA, depth + 1), read(b, map, negateB, depth + 1));
  };
  return TypeSwitch<Operation *, Disjunction>(op)
      .Case<ConstantOp>([&](ConstantOp c) -> Disjunction {
        auto truth = dyn_cast<IntegerAttr>(c.getValue());
        if (!truth)
          return unknown();
        return truth.getValue().isZero() == negated ? Disjunction{Conjunction{}} : Disjunction{};
      })
      .Case<NotOp>([&](NotOp n) { return read(n.getOperand(), map, !negated, depth + 1); })
      .Case<AndOp, OrOp>([&](auto o) {
        Disjunction a = read(o.getLhs(), map, negated, depth + 1), b = read(o.getRhs(), map, negated, depth + 1);
        bool conjunctive = std::is_same_v<decltype(o), AndOp> != negated;
        return conjunctive ? conjoin(a, b) : disjoin(std::move(a), b);
      })
      .Case<SelectOp>([&](SelectOp s) {
        return disjoin(both(s.getCondition(), false, s.getLhs(), negated),
                       both(s.getCondition(), true, s.getRhs(), negated));
      })
      .Case<RenameOp>([&](RenameOp r) {
        AxisMap inner = map;
        inner.emplace_back(r.getFromAttr(), resolve(r.getToAttr(), map));
        return read(r.getOperand(), inner, negated, depth + 1);
      })
      .Case<LeOp, LtOp, GeOp, GtOp, EqOp, NeOp>([&](auto o) {
        return orData(compare(op, o.getLhs(), o.getRhs(), map, negated, depth + 1), predicate, map, negated);
      })
      .Default([&](Operation *) { return orData(unknown(), predicate, map, negated); });
}

/// Nothing where a constant says that no key is ever seen.
std::optional<KeyRange> Reader::range(const Conjunction &conjunction) const {
  KeyRange range;
  Bound size = sizeOf(walk.keys);
  range.lo = range.fullLo = constant(0);
  range.hi = range.fullHi = size;
  bool above = false, below = false; // whether a bound other than the keys themselves stands
  for (const Atom &atom : conjunction) {
    Term rest = atom.term;
    rest.keyFactor = 0;
    std::optional<std::pair<Bound, Bound>> values;
    if (!atom.known || !(values = interval(rest))) {
      range.partial = true;
      if (atom.data)
        range.data.push_back(*atom.data);
      else
        range.opaque = true;
      continue;
    }
    auto &[least, greatest] = *values;
    Bound one = constant(1);
    int64_t factor = std::abs(atom.term.keyFactor);
    switch (atom.term.keyFactor < 0 ? -1 : atom.term.keyFactor > 0) {
    case 1: { // j <= -rest / factor
      Bound any = add(floorDiv(scale(least, -1), factor), one), all = add(floorDiv(scale(greatest, -1), factor), one);
      range.hi = below ? minOf(range.hi, any) : any;
      range.fullHi = below ? minOf(range.fullHi, all) : all;
      below = true;
      break;
    }
    case -1: { // j >= rest / factor
      Bound rounded = constant(factor - 1);
      Bound any = floorDiv(add(least, rounded), factor), all = floorDiv(add(greatest, rounded), factor);
      range.lo = above ? maxOf(range.lo, any) : any;
      range.fullLo = above ? maxOf(range.fullLo, all) : all;
      above = true;
      break;
    }
    default:
      if (least->kind == Form::Constant && least->constant > 0)
        return std::nullopt;
      if (least->kind != Form::Constant)
        range.never.push_back(least);
      if (greatest->kind != Form::Constant || greatest->constant > 0)
        range.notFull.push_back(greatest);
    }
    if (!range.lo || !range.hi || !range.fullLo || !range.fullHi) { // beyond 64 bits
      range = KeyRange();
      range.lo = range.fullLo = constant(0);
      range.hi = size;
      range.fullHi = constant(0);
      range.partial = range.opaque = true;
      return range;
    }
  }
  return range;
}

} // namespace

SmallVector<KeyRange> analysis::deriveKeyRanges(Value predicate, const KeyWalk &walk) {
  Reader reader(walk);
  Disjunction read = predicate ? reader.read(predicate, {}, false, 0) : Disjunction{Conjunction{}};
  SmallVector<KeyRange> ranges;
  for (const Conjunction &conjunction : read) {
    std::optional<KeyRange> range = reader.range(conjunction);
    if (!range)
      continue;
    if (ranges.size() < kMaxRanges) {
      ranges.push_back(*range);
      continue;
    }
    // The hull of the rest. The full part of the one that is there stays right.
    KeyRange &last = ranges.back();
    last.lo = minOf(last.lo, range->lo);
    last.hi = maxOf(last.hi, range->hi);
    if (!last.never.empty()) { // the hull may be seen although one part is not
      llvm::append_range(last.notFull, last.never);
      last.never.clear();
    }
    if (!last.data.empty()) {
      last.data.clear();
      last.opaque = true;
    }
  }
  return ranges;
}

bool analysis::isAtMostKeys(const Bound &bound, const KeyWalk &walk) {
  bool ofKeys = !walk.positions || walk.positions == walk.keys;
  auto isPosition = [&](const Bound &x) {
    return ofKeys && (x->kind == Form::FirstQuery || x->kind == Form::LastQuery);
  };
  switch (bound->kind) {
  case Form::Constant:
    return bound->constant <= 0;
  case Form::AxisSize:
    return bound->axis == walk.keys;
  case Form::FirstQuery:
  case Form::LastQuery:
    return ofKeys;
  case Form::Add: // positions are below the number of keys
    return bound->rhs->kind == Form::Constant && ((isPosition(bound->lhs) && bound->rhs->constant <= 1) ||
                                                  (bound->rhs->constant <= 0 && isAtMostKeys(bound->lhs, walk)));
  case Form::Min:
    return isAtMostKeys(bound->lhs, walk) || isAtMostKeys(bound->rhs, walk);
  case Form::Max:
    return isAtMostKeys(bound->lhs, walk) && isAtMostKeys(bound->rhs, walk);
  default:
    return false;
  }
}

int64_t analysis::evaluate(const Bound &bound, llvm::function_ref<int64_t(const BoundExpr &)> leaf) {
  switch (bound->kind) {
  case Form::Constant:
    return bound->constant;
  case Form::Add:
    return evaluate(bound->lhs, leaf) + evaluate(bound->rhs, leaf);
  case Form::Scale:
    return evaluate(bound->lhs, leaf) * bound->constant;
  case Form::Min:
    return std::min(evaluate(bound->lhs, leaf), evaluate(bound->rhs, leaf));
  case Form::Max:
    return std::max(evaluate(bound->lhs, leaf), evaluate(bound->rhs, leaf));
  case Form::FloorDiv:
    return floorDiv(evaluate(bound->lhs, leaf), bound->constant);
  default:
    return leaf(*bound);
  }
}

std::string analysis::toString(const Bound &bound) {
  auto two = [&](const char *name) { return name + ("(" + toString(bound->lhs)) + ", " + toString(bound->rhs) + ")"; };
  switch (bound->kind) {
  case Form::Constant:
    return std::to_string(bound->constant);
  case Form::AxisSize:
    return "|" + bound->axis.str() + "|";
  case Form::FirstQuery:
    return "first";
  case Form::LastQuery:
    return "last";
  case Form::Scalar:
    return "scalar";
  case Form::Add:
    if (bound->rhs->kind == Form::Constant && bound->rhs->constant < 0)
      return toString(bound->lhs) + " - " + std::to_string(-bound->rhs->constant);
    return toString(bound->lhs) + " + " + toString(bound->rhs);
  case Form::Scale:
    return std::to_string(bound->constant) + " * (" + toString(bound->lhs) + ")";
  case Form::Min:
    return two("min");
  case Form::Max:
    return two("max");
  case Form::FloorDiv:
    return "(" + toString(bound->lhs) + ") // " + std::to_string(bound->constant);
  }
  return "";
}
