// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ranges of fields: one rule per operation, applied in the order of the body, so that depth costs no stack.
#include "passes/analysis/DecayRange.h"

#include "dialect/attn/Pointwise.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::analysis;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kInt32 = 2147483648.0;

/// One end of a range.
struct End {
  double value;
  bool open;
};
End lowerOf(const FieldRange &x) { return {x.lower, x.lowerOpen}; }
End upperOf(const FieldRange &x) { return {x.upper, x.upperOpen}; }
FieldRange make(End lower, End upper) {
  if (std::isnan(lower.value) || std::isnan(upper.value))
    return {};
  return {lower.value, upper.value, lower.open, upper.open};
}
FieldRange closed(double lower, double upper) { return {lower, upper, false, false}; }

End least(End a, End b) {
  if (a.value != b.value)
    return a.value < b.value ? a : b;
  return {a.value, a.open && b.open};
}
End greatest(End a, End b) {
  if (a.value != b.value)
    return a.value > b.value ? a : b;
  return {a.value, a.open && b.open};
}

FieldRange unite(const FieldRange &a, const FieldRange &b) {
  return make(least(lowerOf(a), lowerOf(b)), greatest(upperOf(a), upperOf(b)));
}
FieldRange negate(const FieldRange &x) { return {-x.upper, -x.lower, x.upperOpen, x.lowerOpen}; }

FieldRange add(const FieldRange &a, const FieldRange &b) {
  return make({a.lower + b.lower, a.lowerOpen || b.lowerOpen}, {a.upper + b.upper, a.upperOpen || b.upperOpen});
}

/// A product of two ends; 0 times an end at infinity is 0, as no element but 0 is 0 there.
End times(End a, End b) {
  if (a.value == 0 || b.value == 0) // reached if one side reaches 0
    return {0, (a.value != 0 || a.open) && (b.value != 0 || b.open)};
  return {a.value * b.value, a.open || b.open};
}
FieldRange multiply(const FieldRange &a, const FieldRange &b) {
  End lower{kInfinity, true}, upper{-kInfinity, true};
  for (End x : {lowerOf(a), upperOf(a)})
    for (End y : {lowerOf(b), upperOf(b)}) {
      lower = least(lower, times(x, y));
      upper = greatest(upper, times(x, y));
    }
  // An interior 0 reaches 0 although no end does.
  return make(lower, upper);
}
FieldRange square(const FieldRange &x) {
  double most = std::max(x.lower * x.lower, x.upper * x.upper);
  if (x.isPositive() || negate(x).isPositive()) {
    double magnitude = std::min(std::fabs(x.lower), std::fabs(x.upper));
    return make({magnitude * magnitude, magnitude == 0}, {most, false});
  }
  return closed(0, most);
}
FieldRange reciprocal(const FieldRange &x) {
  if (x.isPositive())
    return make({1 / x.upper, x.upperOpen}, {x.lower == 0 ? kInfinity : 1 / x.lower, x.lowerOpen});
  if (negate(x).isPositive())
    return negate(reciprocal(negate(x)));
  return {};
}

/// A function that does not fall; `open`: the values at the ends of the real line are never reached.
FieldRange rising(const FieldRange &x, double (*f)(double), bool open = true) {
  auto at = [&](End end) -> End { return {f(end.value), end.open || (open && std::isinf(end.value))}; };
  return make(at(lowerOf(x)), at(upperOf(x)));
}

/// A sum of at least one and at most `count` terms of a range, or, where `exact`, of just so many.
FieldRange repeat(const FieldRange &x, double count, bool exact) {
  double few = exact ? count : 1;
  return make({x.lower * (x.lower < 0 ? count : few), x.lowerOpen},
              {x.upper * (x.upper > 0 ? count : few), x.upperOpen});
}

FieldRange withZero(const FieldRange &x) { return unite(x, closed(0, 0)); }

/// Ranges of the fields that a value follows from.
class Ranges {
public:
  explicit Ranges(AxisTableAttr table) : table(table) {}

  FieldRange derive(Value value) {
    SmallVector<Operation *> program, pending{value.getDefiningOp()};
    llvm::SmallPtrSet<Operation *, 32> reached{pending.front()};
    while (!pending.empty()) {
      program.push_back(pending.pop_back_val());
      for (Value operand : program.back()->getOperands())
        if (reached.insert(operand.getDefiningOp()).second)
          pending.push_back(operand.getDefiningOp());
    }
    llvm::sort(program, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    for (Operation *op : program)
      if (op->getNumResults() == 1 && isa<FieldType>(op->getResult(0).getType()))
        ranges[op->getResult(0)] = compute(op);
    return get(value);
  }

private:
  AxisTableAttr table;
  llvm::DenseMap<Value, FieldRange> ranges;

  FieldRange get(Value value) const { return ranges.lookup(value); }

  /// How many elements the axes have together, and whether that is known now.
  std::pair<double, bool> count(ArrayRef<StringAttr> axes) const {
    double total = 1;
    bool exact = true;
    for (StringAttr axis : axes) {
      std::optional<int64_t> size = table.getStaticSize(axis);
      exact &= size.has_value();
      total *= size ? static_cast<double>(*size) : kInfinity;
    }
    return {total, exact};
  }

  FieldRange size(StringAttr axis) const {
    std::optional<int64_t> known = table.getStaticSize(axis);
    return known ? closed(double(*known), double(*known)) : closed(0, kInt32 - 1);
  }

  /// Only windows may be none at all.
  bool mayBeEmpty(ArrayRef<StringAttr> axes) const {
    return llvm::any_of(axes, [&](StringAttr axis) {
      AxisAttr entry = table.lookup(axis);
      if (entry.isWalk())
        entry = table.lookup(entry.getRaw());
      return entry.getRelation() == Relation::Windows && table.getStaticSize(axis).value_or(0) == 0;
    });
  }

  FieldRange reduce(ReduceKind kind, const FieldRange &x, std::pair<double, bool> n) const {
    switch (kind) {
    case ReduceKind::Sum:
      return repeat(x, n.first, n.second);
    case ReduceKind::LogSumExp:
      return make({x.lower + (n.second ? std::log(n.first) : 0), x.lowerOpen}, {x.upper + std::log(n.first), false});
    case ReduceKind::Mean:
    case ReduceKind::Max:
    case ReduceKind::Min:
      return x;
    }
    return {};
  }

  /// A state of columns: keys times values, summed over tokens with factors from 0 on.
  FieldRange read(ReadOp op) const {
    auto state = op.getState().getDefiningOp<StateOp>();
    if (!state || state.getErase())
      return {};
    FieldRange term = multiply(multiply(get(state.getKey()), get(op.getQuery())), get(state.getValue()));
    FieldRange first = state.getInitial() ? multiply(get(state.getInitial()), get(op.getQuery())) : closed(0, 0);
    bool writes = op.getPoint() == ReadPoint::After && !state.getWhere();
    if (first.isNonNegative() && term.isNonNegative())
      return make({0, writes && term.isPositive()}, {kInfinity, false});
    if (first.isNonPositive() && term.isNonPositive())
      return make({-kInfinity, false}, {0, writes && negate(term).isPositive()});
    return {};
  }

  FieldRange input(InputOp op) const {
    FieldRange range = op.getField().isInt() ? closed(-kInt32, kInt32 - 1) : FieldRange();
    if (IntervalAttr contract = op.getContractAttr()) {
      if (FloatAttr lower = contract.getLower(); lower && lower.getValueAsDouble() >= range.lower)
        range = make({lower.getValueAsDouble(), contract.getLowerOpen()}, upperOf(range));
      if (FloatAttr upper = contract.getUpper(); upper && upper.getValueAsDouble() <= range.upper)
        range = make(lowerOf(range), {upper.getValueAsDouble(), contract.getUpperOpen()});
    }
    if (op.getFallback())
      range = unite(range, get(op.getFallback()));
    return op.getOptional() ? withZero(range) : range;
  }

  FieldRange power(const FieldRange &base, const FieldRange &exponent) const {
    if (!base.isNonNegative())
      return {};
    if (exponent.lower == exponent.upper && std::isfinite(exponent.lower)) {
      double e = exponent.lower;
      auto at = [&](End end) -> End { return {std::pow(end.value, e), end.open}; };
      if (e == 0)
        return closed(1, 1);
      return e > 0 ? make(at(lowerOf(base)), at(upperOf(base))) : make(at(upperOf(base)), at(lowerOf(base)));
    }
    // Of a base that is not 0 a power is neither, however small.
    return make({0, base.isPositive()}, {base.upper <= 1 && exponent.isNonNegative() ? 1 : kInfinity, false});
  }

  FieldRange compute(Operation *op) const {
    auto x = [&](unsigned n) { return get(op->getOperand(n)); };
    namespace f = pointwise;
    return llvm::TypeSwitch<Operation *, FieldRange>(op)
        .Case([&](InputOp op) { return input(op); })
        .Case([&](ConstantOp op) {
          double value = 0;
          if (auto number = dyn_cast<FloatAttr>(op.getValue()))
            value = number.getValueAsDouble();
          else if (auto truth = dyn_cast<BoolAttr>(op.getValue()))
            value = truth.getValue();
          else
            value = static_cast<double>(cast<IntegerAttr>(op.getValue()).getInt());
          return std::isnan(value) ? FieldRange() : closed(value, value);
        })
        .Case([&](SizeOp op) { return size(op.getAxisAttr()); })
        .Case([&](IndexOp op) { return closed(0, std::max(0.0, size(op.getAxisAttr()).upper - 1)); })
        .Case([&](PositionOp) { return closed(0, kInt32 - 1); })
        .Case([&](QueryPositionOp) { return closed(-kInt32, kInt32 - 1); })
        .Case([&](NegOp) { return negate(x(0)); })
        .Case([&](AbsOp) {
          FieldRange range = x(0);
          if (range.isNonNegative())
            return range;
          if (range.isNonPositive())
            return negate(range);
          return make({0, false}, greatest(upperOf(range), upperOf(negate(range))));
        })
        .Case([&](SignOp) { return rising(x(0), f::sign_, false); })
        .Case([&](ExpOp) { return rising(x(0), f::exp_); })
        .Case([&](Exp2Op) { return rising(x(0), f::exp2_); })
        .Case([&](Expm1Op) { return rising(x(0), f::expm1_); })
        .Case<LogOp, Log2Op>([&](auto op) {
          auto log = std::is_same_v<decltype(op), LogOp> ? f::log_ : f::log2_;
          FieldRange range = x(0);
          if (range.isNonNegative())
            return rising(range, log, false);
          return make({-kInfinity, false}, {range.upper > 0 ? log(range.upper) : kInfinity, range.upperOpen});
        })
        .Case([&](Log1pOp) { return x(0).lower >= -1 ? rising(x(0), f::log1p_, false) : FieldRange(); })
        .Case([&](SqrtOp) { return x(0).isNonNegative() ? rising(x(0), f::sqrt_, false) : closed(0, kInfinity); })
        .Case([&](RsqrtOp) {
          FieldRange range = x(0);
          if (!range.isPositive()) // of a 0 that was rounded from below it is -inf
            return FieldRange();
          return make({1 / std::sqrt(range.upper), range.upperOpen},
                      {range.lower == 0 ? kInfinity : 1 / std::sqrt(range.lower), range.lowerOpen});
        })
        .Case<SinOp, CosOp>([&](auto) { return closed(-1, 1); })
        .Case([&](TanhOp) { return rising(x(0), f::tanh_); })
        .Case([&](SigmoidOp) { return rising(x(0), f::sigmoid_); })
        .Case([&](SoftplusOp) { return rising(x(0), f::softplus_); })
        .Case([&](LogSigmoidOp) { return rising(x(0), f::log_sigmoid_); })
        .Case([&](ReluOp) { return rising(x(0), f::relu_, false); })
        .Case([&](EluOp) { return rising(x(0), f::elu_); })
        // Neither rises everywhere: least values -0.2785 and -0.1700.
        .Case<SiluOp, GeluOp>([&](auto op) {
          FieldRange range = x(0);
          if (range.isNonNegative())
            return rising(range, std::is_same_v<decltype(op), SiluOp> ? f::silu_ : f::gelu_, false);
          return closed(std::is_same_v<decltype(op), SiluOp> ? -0.2785 : -0.1701, std::max(0.0, range.upper));
        })
        .Case([&](FloorOp) { return rising(x(0), f::floor_, false); })
        .Case([&](RoundOp) { return rising(x(0), f::round_, false); })
        .Case([&](ToRealOp) { return x(0); })
        .Case([&](AddOp) { return add(x(0), x(1)); })
        .Case([&](SubOp) { return add(x(0), negate(x(1))); })
        .Case([&](MulOp op) { return op.getLhs() == op.getRhs() ? square(x(0)) : multiply(x(0), x(1)); })
        .Case([&](DivOp) { return multiply(x(0), reciprocal(x(1))); })
        .Case([&](PowOp) { return power(x(0), x(1)); })
        .Case([&](MinOp) { return make(least(lowerOf(x(0)), lowerOf(x(1))), least(upperOf(x(0)), upperOf(x(1)))); })
        .Case(
            [&](MaxOp) { return make(greatest(lowerOf(x(0)), lowerOf(x(1))), greatest(upperOf(x(0)), upperOf(x(1)))); })
        .Case([&](LogAddExpOp) {
          return closed(f::logaddexp_(x(0).lower, x(1).lower), f::logaddexp_(x(0).upper, x(1).upper));
        })
        .Case<NotOp, AndOp, OrOp, EqOp, NeOp, LtOp, LeOp, GtOp, GeOp>([&](auto) { return closed(0, 1); })
        .Case([&](SelectOp) { return unite(x(1), x(2)); })
        .Case([&](ReduceOp op) {
          SmallVector<StringAttr> axes = toAxes(op.getAxes());
          if (mayBeEmpty(axes))
            return op.getKind() == ReduceKind::Sum ? withZero(reduce(op.getKind(), x(0), count(axes))) : FieldRange();
          return reduce(op.getKind(), x(0), count(axes));
        })
        .Case([&](BlockReduceOp op) {
          // A block may have fewer elements than its extent, but one.
          double extent = static_cast<double>(table.lookup(op.getToAttr()).getExtent());
          return op.getKind() == ReduceKind::LogSumExp ? make(lowerOf(x(0)), {x(0).upper + std::log(extent), false})
                                                       : reduce(op.getKind(), x(0), {extent, false});
        })
        .Case([&](DotOp op) {
          SmallVector<StringAttr> axes = toAxes(op.getAxes());
          auto [n, exact] = count(axes);
          FieldRange sum = repeat(op.getLhs() == op.getRhs() ? square(x(0)) : multiply(x(0), x(1)), n, exact);
          return mayBeEmpty(axes) ? withZero(sum) : sum;
        })
        .Case([&](ScanOp op) { return repeat(x(0), count({op.getAxisAttr()}).first, false); })
        .Case<RenameOp, SliceOp, FlattenOp>([&](auto) { return x(0); })
        .Case<RowAtOp>([&](auto) { return withZero(x(0)); })
        .Case([&](GatherOp op) { return gather(op, x(0), x(1)); })
        .Case([&](ConcatOp op) {
          FieldRange range = x(0);
          for (unsigned n = 1; n < op->getNumOperands(); ++n)
            range = unite(range, x(n));
          return range;
        })
        // Taps beyond the ends of the field count as 0.
        .Case(
            [&](ConvOp op) { return repeat(withZero(multiply(x(0), x(1))), count(toAxes(op.getTaps())).first, false); })
        .Case([&](ReadOp op) { return read(op); })
        .Default([](Operation *) { return FieldRange(); });
  }

  /// A table at indices that are all inside has no zero.
  FieldRange gather(GatherOp op, const FieldRange &x, const FieldRange &index) const {
    std::optional<int64_t> size = table.getStaticSize(op.getAxisAttr());
    bool inside = size && index.lower >= 0 && index.upper <= static_cast<double>(*size - 1);
    return inside ? x : withZero(x);
  }
};

} // namespace

FieldRange fovea::analysis::deriveRange(Value field) {
  auto attention = cast<AttentionOp>(field.getDefiningOp()->getParentOp());
  return Ranges(attention.getAxes()).derive(field);
}

FieldRange fovea::analysis::decayRange(StateOp state) {
  return state.getDecay() ? deriveRange(state.getDecay()) : closed(0, 0);
}

bool fovea::analysis::mayAnchorInMiddle(const FieldRange &decay, int64_t rows) {
  constexpr double kNats = 40;
  return decay.isNonPositive() && static_cast<double>((rows + 1) / 2) * -decay.lower <= kNats;
}

std::string fovea::analysis::toString(const FieldRange &range) {
  auto end = [](double value) {
    if (std::isinf(value))
      return std::string(value < 0 ? "-inf" : "inf");
    std::string text;
    llvm::raw_string_ostream(text) << llvm::format("%.6g", value == 0 ? 0.0 : value); // not -0
    return text;
  };
  return ((range.lowerOpen || std::isinf(range.lower)) ? "(" : "[") + end(range.lower) + ", " + end(range.upper) +
         ((range.upperOpen || std::isinf(range.upper)) ? ")" : "]");
}
