// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bounds of the errors of results, element by element: see Tolerance.h for the formulas.
#include "frontend/driver/ErrorFields.h"

#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fovea::driver {

namespace {

/// Adds, to a copy of an attention, fields that bound the error of its fields.
class BoundBuilder : FieldBuilder {
public:
  BoundBuilder(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes)
      : FieldBuilder(attention, arithmetic, sizes), type(arithmetic.type) {}

  void run() {
    for (attn::OutputOp output : attention.getOutputs()) {
      builder.setInsertionPoint(output);
      Value x = output.getValue();
      runtime::StorageType stored = storageOf(output.getStorage(), type);
      double rounding = unitRoundoff(stored);
      if (!isRealField(x)) {
        Value none = attn::ToRealOp::create(builder, loc, mul(constant(int64_t(0)), x));
        output.getValueMutable().assign(sum(bound(x), none));
      } else {
        Value own = finite(x, mul(constant(rounding), magnitude(x)));
        // Half of the smallest number that the type tells from 0.
        double least = stored == runtime::StorageType::F16    ? 0x1p-25
                       : stored == runtime::StorageType::BF16 ? 0x1p-127
                                                              : 0x1p-126;
        output.getValueMutable().assign(sum(sum(bound(x), own), constant(least)));
      }
      output.removeStorageAttr();
    }
  }

private:
  static constexpr double kOp = 0x1p-23, kFunction = 0x1p-18, kSingle = 0x1p-24;

  /// 0 where x is infinite: an infinity is right or wrong, and has no error.
  Value finite(Value x, Value e) {
    Value huge = attn::GeOp::create(builder, loc, magnitude(x), constant(HUGE_VAL));
    return attn::SelectOp::create(builder, loc, huge, constant(0.0), e);
  }
  double sumError(int64_t terms) const { return (static_cast<double>(terms) / 8 + 64) * kSingle; }
  /// With the rounding, by `u`, of an operand of a product.
  Value roundedBound(Value x, double u) {
    Value e = bound(x);
    return u == 0 ? e : sum(e, mul(constant(u), magnitude(x)));
  }

  /// A bound on the error of the scores that a row sees, in absolute terms.
  Value scoreBound(attn::WeightsOp weights) {
    Value &known = scoreBounds[weights];
    if (known)
      return known;
    Value score = weights.getScore();
    Value e = sum(bound(score), mul(constant(0x1p-21), magnitude(score)));
    // The greatest over the keys that the row sees is a statistic of weights with these scores.
    auto copy = llvm::cast<attn::WeightsOp>(builder.clone(*weights));
    copy.getScoreMutable().assign(e);
    copy.getSinksMutable().clear();
    copy.getResult().setType(weightsType(copy));
    Value greatest = attn::StatOp::create(builder, loc, attn::StatKind::Max, copy);
    greatest = max(greatest, constant(0.0));
    for (Value sink : weights.getSinks())
      greatest = max(greatest, sum(bound(sink), mul(constant(0x1p-21), magnitude(sink))));
    return known = greatest;
  }
  /// The weights with another score, free weight or mass; null keeps the one that they have.
  attn::WeightsOp reweighted(attn::WeightsOp weights, Value score, Value mass) {
    auto copy = llvm::cast<attn::WeightsOp>(builder.clone(*weights));
    if (score) // with all axes, so that the rows stay
      copy.getScoreMutable().assign(add(score, mul(constant(0.0), magnitude(weights.getScore()))));
    if (mass)
      copy.getMassMutable().assign(mass);
    copy.getResult().setType(weightsType(copy));
    return copy;
  }

  /// A bound on the error of a field of reals or ints, a real; null is none.
  Value bound(Value x) {
    auto field = llvm::dyn_cast<attn::FieldType>(x.getType());
    if (!field || field.isBool())
      return {};
    auto known = bounds.find(x);
    if (known != bounds.end())
      return known->second;
    Value e = field.isReal() ? compute(x) : computeInt(x);
    bounds[x] = e;
    return e;
  }

  /// Ints are exact, but for what is rounded from reals with an error.
  Value computeInt(Value x) {
    Operation *op = x.getDefiningOp();
    auto one = [&] { return bound(op->getOperand(0)); };
    auto two = [&] { return bound(op->getOperand(1)); };
    auto real = [&](Value value) { return attn::ToRealOp::create(builder, loc, magnitude(value)); };
    auto rounded = [&](auto rounding) -> Value {
      Value e = one(), y = op->getOperand(0);
      if (!e)
        return {};
      using Op = decltype(rounding);
      Value least = Op::create(builder, loc, attn::SubOp::create(builder, loc, y, e));
      Value most = Op::create(builder, loc, add(y, e));
      return attn::ToRealOp::create(builder, loc, attn::SubOp::create(builder, loc, most, least));
    };
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<attn::FloorOp, attn::RoundOp>([&](auto rounding) { return rounded(rounding); })
        .Case<attn::NegOp, attn::AbsOp, attn::ReluOp>([&](auto) { return one(); })
        .Case<attn::AddOp, attn::SubOp, attn::MinOp, attn::MaxOp>([&](auto) { return sum(one(), two()); })
        .Case([&](attn::MulOp mul) { return sum(scale(one(), real(mul.getRhs())), scale(two(), real(mul.getLhs()))); })
        .Case([&](attn::FloorDivOp) {
          Value e = sum(one(), scale(two(), real(x)));
          return e ? add(e, constant(1.0)) : e;
        })
        .Case([&](attn::ModOp mod) { return one() || two() ? Value(real(mod.getRhs())) : Value(); })
        .Case([&](attn::SelectOp select) { return ofSelect(select); })
        .Case<attn::RenameOp, attn::SliceOp, attn::RowAtOp, attn::FlattenOp, attn::GatherOp>(
            [&](auto) { return ofPlaces(op); })
        .Default([](Operation *) { return Value(); });
  }

  Value ofSelect(attn::SelectOp select) {
    Value a = bound(select.getLhs()), b = bound(select.getRhs());
    if (!a && !b)
      return {};
    a = a ? a : constant(0.0);
    b = b ? b : constant(0.0);
    return attn::SelectOp::create(builder, loc, select.getCondition(), a, b);
  }

  /// Of operations that take elements of one field at other places.
  Value ofPlaces(Operation *op) {
    Value e = atPlaces(op, bound(op->getOperand(0)));
    auto gather = llvm::dyn_cast<attn::GatherOp>(op);
    Value index = gather ? bound(gather.getIndex()) : Value();
    if (!index)
      return e;
    // Another element, where the index may be off.
    Value x = gather.getOperand();
    Value size = isRealField(x) ? magnitude(x) : Value(attn::ToRealOp::create(builder, loc, magnitude(x)));
    Value most =
        attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, size, builder.getArrayAttr(gather.getAxisAttr()));
    Value off = attn::GtOp::create(builder, loc, index, constant(0.0));
    return sum(e, attn::SelectOp::create(builder, loc, off, mul(constant(2.0), most), constant(0.0)));
  }

  /// slope * E(x) + kFunction |f(x)|
  Value function(Operation *op, double slope) {
    Value e = bound(op->getOperand(0));
    return sum(e ? mul(constant(slope), e) : Value(), mul(constant(kFunction), magnitude(op->getResult(0))));
  }

  Value compute(Value x) {
    Operation *op = x.getDefiningOp();
    auto one = [&] { return op->getOperand(0); };
    auto two = [&] { return op->getOperand(1); };
    auto own = [&] { return mul(constant(kOp), magnitude(x)); };
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<attn::InputOp, attn::ConstantOp>([&](auto) { return Value(); })
        .Case([&](attn::ToRealOp real) {
          return llvm::cast<attn::FieldType>(real.getOperand().getType()).isInt() ? bound(one()) : Value();
        })
        .Case<attn::AddOp, attn::SubOp>([&](auto) { return sum(sum(bound(one()), bound(two())), own()); })
        .Case([&](attn::MulOp) {
          Value a = scale(bound(one()), magnitude(two())), b = scale(bound(two()), magnitude(one()));
          return sum(sum(a, b), own());
        })
        .Case([&](attn::DivOp) {
          Value a = bound(one()), b = bound(two());
          Value e = sum(a, scale(b, magnitude(x)));
          if (!e)
            return own();
          if (!b)
            return sum(div(e, magnitude(two())), own());
          // Of a divisor that may be 0 as well nothing is said.
          Value least = attn::SubOp::create(builder, loc, magnitude(two()), b);
          Value unknown = attn::LeOp::create(builder, loc, least, b);
          Value quotient = attn::SelectOp::create(builder, loc, unknown, constant(1e30), div(e, least));
          return sum(quotient, own());
        })
        .Case<attn::NegOp, attn::AbsOp, attn::ReluOp>([&](auto) { return bound(one()); })
        .Case([&](attn::EluOp) { return sum(bound(one()), own()); })
        .Case<attn::MaxOp, attn::MinOp>([&](auto of) { return ofExtreme(of); })
        .Case([&](attn::LogAddExpOp) { return sum(sum(bound(one()), bound(two())), own()); })
        .Case([&](attn::SelectOp select) { return ofSelect(select); })
        .Case<attn::ExpOp, attn::Exp2Op, attn::Expm1Op>([&](auto) {
          Value e = bound(one());
          Value grown = e ? mul(add(magnitude(x), constant(1.0)), expm1(e)) : Value();
          return sum(grown, mul(constant(kFunction), add(magnitude(x), magnitude(one()))));
        })
        .Case<attn::LogOp, attn::Log2Op, attn::Log1pOp>([&](auto) {
          Value e = bound(one());
          Value own = mul(constant(kFunction), add(magnitude(x), constant(1.0)));
          if (!e)
            return own;
          // An argument below the normal numbers may be 0 as well, but no more than that: its logarithm at most -86.
          Value moved = div(mul(constant(2.0), e), max(magnitude(one()), constant(0x1p-126)));
          Value isTiny = attn::LtOp::create(builder, loc, magnitude(one()), constant(0x1p-124));
          Value lost = max(attn::SubOp::create(builder, loc, magnitude(x), constant(86.0)), constant(1.0));
          return finite(x, add(own, attn::SelectOp::create(builder, loc, isTiny, lost, moved)));
        })
        .Case([&](attn::SqrtOp) {
          Value e = bound(one());
          return sum(e ? div(e, max(magnitude(x), constant(1e-30))) : Value(), own());
        })
        .Case([&](attn::RsqrtOp) {
          Value e = bound(one());
          return sum(e ? div(mul(e, magnitude(x)), magnitude(one())) : Value(), mul(constant(kFunction), magnitude(x)));
        })
        .Case([&](attn::SigmoidOp) { return function(op, 0.25); })
        .Case<attn::TanhOp, attn::SoftplusOp, attn::LogSigmoidOp>([&](auto) { return function(op, 1.0); })
        .Case<attn::SiluOp, attn::GeluOp>([&](auto) { return function(op, 1.13); })
        .Case<attn::SinOp, attn::CosOp>([&](auto) {
          return sum(function(op, 1.0), mul(constant(kFunction), add(magnitude(one()), constant(1.0))));
        })
        .Case([&](attn::PowOp) {
          // d(a^b) = a^b (b da / a + log a db); away from a = 0, where a power may well be 0 and its logarithm is not.
          Value a = bound(one()), b = bound(two());
          Value base = max(magnitude(one()), constant(1e-30));
          Value reach = attn::PowOp::create(builder, loc, a ? add(base, a) : base, two());
          Value relative = a ? div(mul(a, magnitude(two())), base) : Value();
          Value log = attn::LogOp::create(builder, loc, base);
          relative = sum(relative, b ? mul(b, magnitude(log)) : Value());
          Value argument = add(mul(magnitude(log), magnitude(two())), constant(1.0));
          return mul(max(magnitude(reach), magnitude(x)), sum(relative, mul(constant(kFunction), argument)));
        })
        // A step: an error of the argument can move the result by one.
        .Case([&](attn::SignOp) { return bound(one()) ? Value(constant(2.0)) : Value(); })
        .Case([&](attn::ReduceOp reduce) { return ofReduce(reduce); })
        .Case([&](attn::DotOp dot) { return ofDot(dot); })
        .Case<attn::RenameOp, attn::SliceOp, attn::RowAtOp, attn::FlattenOp, attn::GatherOp>(
            [&](auto) { return ofPlaces(op); })
        .Case([&](attn::ConcatOp concat) -> Value {
          llvm::SmallVector<Value> parts;
          bool any = false;
          for (Value operand : concat.getOperands()) {
            parts.push_back(bound(operand));
            any |= parts.back() != nullptr;
          }
          if (!any)
            return {};
          return concatenated(concat, std::move(parts));
        })
        .Case([&](attn::ScanOp scan) {
          Value e = bound(one());
          auto sums = [&](Value y) { return attn::ScanOp::create(builder, loc, y, scan.getAxisAttr()); };
          Value order = mul(constant(sumError(sizeOf(scan.getAxisAttr()))), sums(magnitude(one())));
          return sum(e ? Value(sums(spread(e, scan.getAxisAttr()))) : Value(), order);
        })
        .Case([&](attn::BlockReduceOp reduce) { return ofBlocks(reduce); })
        .Case([&](attn::ExpectOp expect) { return ofExpect(expect); })
        .Case([&](attn::StatOp stat) { return ofStat(stat); })
        .Case([&](attn::ReadOp read) { return ofState(read, read.getState().getDefiningOp<attn::StateOp>()); })
        .Case([&](attn::LastOp last) { return ofState(last, last.getState().getDefiningOp<attn::StateOp>()); })
        .Case([&](attn::EveryOp every) { return ofState(every, every.getState().getDefiningOp<attn::StateOp>()); })
        .Case([&](attn::ConvOp conv) { return ofConv(conv); })
        .Default([&](Operation *) { return own(); });
  }

  /// How far the extreme of two moves where both move: by nothing that stays behind the other.
  template <typename Extreme> Value ofExtreme(Extreme op) {
    Value x = op->getResult(0), a = op->getOperand(0), b = op->getOperand(1), ea = bound(a), eb = bound(b);
    Value own = mul(constant(kOp), magnitude(x));
    if (!ea && !eb)
      return own;
    auto by = [&](Value field, Value e, bool up) -> Value {
      if (!e)
        return field;
      e = finite(field, e);
      return up ? add(field, e) : Value(attn::SubOp::create(builder, loc, field, e));
    };
    auto moved = [&](bool up) -> Value { return Extreme::create(builder, loc, by(a, ea, up), by(b, eb, up)); };
    Value above = attn::SubOp::create(builder, loc, moved(true), x);
    Value below = attn::SubOp::create(builder, loc, x, moved(false));
    return sum(finite(x, max(above, below)), own);
  }

  /// True where each axis of a is one of b.
  static bool isWithin(Value a, Value b) {
    return llvm::all_of(llvm::cast<attn::FieldType>(a.getType()).getAxes(),
                        [&](StringAttr axis) { return llvm::cast<attn::FieldType>(b.getType()).hasAxis(axis); });
  }

  Value ofReduce(attn::ReduceOp reduce) {
    Value x = reduce.getOperand();
    Value e = bound(x);
    int64_t terms = 1;
    for (StringAttr axis : attn::toAxes(reduce.getAxes()))
      terms *= sizeOf(axis);
    auto all = [&](attn::ReduceKind kind, Value value) {
      auto field = llvm::cast<attn::FieldType>(value.getType());
      llvm::SmallVector<Attribute> axes;
      int64_t missing = 1;
      for (StringAttr axis : attn::toAxes(reduce.getAxes())) {
        if (field.hasAxis(axis))
          axes.push_back(axis);
        else
          missing *= sizeOf(axis);
      }
      if (!axes.empty())
        value = attn::ReduceOp::create(builder, loc, kind, value, builder.getArrayAttr(axes));
      return kind == attn::ReduceKind::Sum && missing > 1 ? mul(value, constant(static_cast<double>(missing))) : value;
    };
    switch (reduce.getKind()) {
    case attn::ReduceKind::Sum:
    case attn::ReduceKind::Mean: {
      Value total = mul(constant(sumError(terms)), all(attn::ReduceKind::Sum, magnitude(x)));
      total = sum(total, e ? all(attn::ReduceKind::Sum, e) : Value());
      // A product of fields of different axes is computed as a dot, whose operands are rounded.
      if (auto outer = x.getDefiningOp<attn::MulOp>();
          outer && !isWithin(outer.getLhs(), outer.getRhs()) && !isWithin(outer.getRhs(), outer.getLhs()))
        if (double u = operandRoundoff(outer.getLhs(), outer.getRhs(), arithmetic) +
                       operandRoundoff(outer.getRhs(), outer.getLhs(), arithmetic);
            u > 0)
          total = add(total, mul(constant(u), all(attn::ReduceKind::Sum, magnitude(x))));
      return reduce.getKind() == attn::ReduceKind::Sum ? total : mul(total, constant(1.0 / static_cast<double>(terms)));
    }
    case attn::ReduceKind::Max:
    case attn::ReduceKind::Min:
      return e ? all(attn::ReduceKind::Max, e) : Value();
    case attn::ReduceKind::LogSumExp:
      return sum(e ? all(attn::ReduceKind::Max, e) : Value(),
                 add(constant(sumError(terms)), mul(constant(kFunction), magnitude(reduce.getResult()))));
    }
    return {};
  }

  Value ofBlocks(attn::BlockReduceOp reduce) {
    using attn::ReduceKind;
    Value x = reduce.getOperand(), e = bound(x);
    if (e)
      e = spread(e, reduce.getFromAttr());
    attn::AxisAttr blocks = attention.getAxes().lookup(reduce.getToAttr());
    auto all = [&](ReduceKind kind, Value value) -> Value {
      return attn::BlockReduceOp::create(builder, loc, kind, value, reduce.getFromAttr(), reduce.getToAttr());
    };
    double order = sumError(blocks.getExtent());
    switch (reduce.getKind()) {
    case ReduceKind::Sum:
    case ReduceKind::Mean:
      return sum(e ? all(reduce.getKind(), e) : Value(), mul(constant(order), all(reduce.getKind(), magnitude(x))));
    case ReduceKind::Max:
    case ReduceKind::Min:
      return e ? all(ReduceKind::Max, e) : Value();
    case ReduceKind::LogSumExp:
      return sum(e ? all(ReduceKind::Max, e) : Value(),
                 add(constant(order), mul(constant(kFunction), magnitude(reduce.getResult()))));
    }
    return {};
  }

  Value ofDot(attn::DotOp dot) {
    Value a = dot.getLhs(), b = dot.getRhs();
    int64_t depth = 1;
    for (StringAttr axis : attn::toAxes(dot.getAxes()))
      depth *= sizeOf(axis);
    auto product = [&](Value x, Value y) -> Value {
      if (!x || !y)
        return {};
      // A bound may lack a contracted axis: spread it by a product with the magnitude of the factor, which has it.
      llvm::SmallVector<Attribute> axes;
      double missing = 1;
      for (StringAttr axis : attn::toAxes(dot.getAxes())) {
        bool left = llvm::cast<attn::FieldType>(x.getType()).hasAxis(axis);
        bool right = llvm::cast<attn::FieldType>(y.getType()).hasAxis(axis);
        if (left || right)
          axes.push_back(axis);
        else
          missing *= static_cast<double>(sizeOf(axis));
        if (left && !right)
          y = add(y, mul(constant(0.0), x));
        if (right && !left)
          x = add(x, mul(constant(0.0), y));
      }
      Value value =
          axes.empty() ? mul(x, y) : Value(attn::DotOp::create(builder, loc, x, y, builder.getArrayAttr(axes)));
      return missing > 1 ? mul(value, constant(missing)) : value;
    };
    Value boundA = roundedBound(a, operandRoundoff(a, b, arithmetic));
    Value boundB = roundedBound(b, operandRoundoff(b, a, arithmetic));
    Value moved = sum(product(magnitude(a), boundB), product(boundA, magnitude(b)));
    double order = (static_cast<double>(depth) / 8 + 4) * kSingle;
    Value own = mul(constant(order), product(magnitude(a), magnitude(b)));
    // Products below the normal numbers of f32 are lost.
    return sum(moved, add(own, constant(0x1p-126 * static_cast<double>(depth))));
  }

  /// Free weights: their own error is that of a sum of which they are a factor.
  Value ofFree(attn::ExpectOp expect, attn::WeightsOp weights) {
    Value value = expect.getValue(), coefficient = expect.getCoefficient(), e = bound(weights.getScore());
    Value size = coefficient ? magnitude(coefficient) : Value();
    attn::WeightsOp plain = reweighted(weights, magnitude(weights.getScore()), {});
    int64_t keys = sizeOf(weights.getOverAttr());
    Value total =
        mul(constant(2 * weightRoundoff(value, arithmetic) + sumError(keys)), weighted(plain, magnitude(value), size));
    if (e)
      total = add(total, weighted(reweighted(weights, e, {}), magnitude(value), size));
    if (storedAs(value, type).value_or(type) == runtime::StorageType::F16) // weights that underflow
      total = add(total, weighted(reweighted(weights, constant(0x1p-25), {}), magnitude(value), size));
    if (Value moved = roundedBound(value, valueRoundoff(value, arithmetic)))
      total = add(total, weighted(plain, moved, size));
    if (Value moved = coefficient ? bound(coefficient) : Value())
      total = add(total, weighted(plain, magnitude(value), moved));
    return total;
  }

  /// What the error of a mass does to a row: relative, without and with the value that it weighs. A sum of masses of
  /// both signs is known the worse the more of it cancels.
  struct MassBound {
    attn::WeightsOp weights; // with the magnitudes of the masses
    Value relative;          // per key; null where masses are exact
    Value cancels;           // at least 1
  };
  MassBound massBound(attn::WeightsOp weights) {
    MassBound result;
    Value mass = weights.getMass();
    result.weights = reweighted(weights, {}, magnitude(mass));
    if (Value e = bound(mass))
      result.relative = div(e, max(magnitude(mass), constant(1e-30)));
    Value whole = attn::StatOp::create(builder, loc, attn::StatKind::Mass, result.weights);
    Value signedSum = attn::StatOp::create(builder, loc, attn::StatKind::Mass, weights);
    result.cancels = max(div(whole, max(magnitude(signedSum), constant(1e-30))), constant(1.0));
    return result;
  }

  Value ofExpect(attn::ExpectOp expect) {
    auto weights = expect.getWeights().getDefiningOp<attn::WeightsOp>();
    if (weights.isFree())
      return ofFree(expect, weights);
    MassBound masses;
    if (weights.getMass()) {
      masses = massBound(weights);
      weights = masses.weights;
    }
    Value d = scoreBound(weights);
    int64_t keys = sizeOf(weights.getOverAttr());
    Value value = expect.getValue(), coefficient = expect.getCoefficient();
    Value size = weighted(weights, magnitude(value), coefficient ? magnitude(coefficient) : Value());
    Value factor = add(constant(2 * weightRoundoff(value, arithmetic) + sumError(keys)),
                       mul(constant(2.0), expm1(mul(constant(2.0), d))));
    Value total = mul(size, factor);
    if (storedAs(value, type).value_or(type) == runtime::StorageType::F16) {
      auto greatest = [&](Value x) {
        llvm::SmallVector<Attribute> axes{weights.getOverAttr()};
        bool walks = llvm::cast<attn::FieldType>(x.getType()).hasAxis(weights.getOverAttr());
        Value m = magnitude(x);
        return walks ? Value(attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, m, builder.getArrayAttr(axes)))
                     : m;
      };
      Value most = coefficient ? mul(greatest(value), greatest(coefficient)) : greatest(value);
      Value lost = mul(constant(0x1p-25 * static_cast<double>(keys)), most);
      // Without masses the weights of a row, relative to the greatest, sum to 1 or more.
      if (masses.weights) {
        Value whole = attn::StatOp::create(builder, loc, attn::StatKind::Mass, weights);
        Value least = attn::MinOp::create(builder, loc, whole, constant(1.0));
        lost = div(lost, max(least, constant(1e-30)));
      }
      total = add(total, lost);
    }
    if (Value e = roundedBound(value, valueRoundoff(value, arithmetic)))
      total = add(total, weighted(weights, e, coefficient ? magnitude(coefficient) : Value()));
    if (Value e = coefficient ? bound(coefficient) : Value())
      total = add(total, weighted(weights, magnitude(value), e));
    if (masses.relative) {
      Value both = coefficient ? mul(magnitude(coefficient), masses.relative) : masses.relative;
      total = add(total, mul(constant(2.0), weighted(weights, magnitude(value), both)));
      total = add(total, mul(size, weighted(weights, constant(1.0), masses.relative)));
    }
    return masses.cancels ? mul(masses.cancels, total) : total;
  }

  Value ofStat(attn::StatOp stat) {
    auto weights = stat.getWeights().getDefiningOp<attn::WeightsOp>();
    Value x = stat.getResult();
    double order = sumError(sizeOf(weights.getOverAttr()));
    auto massOf = [&](attn::WeightsOp of) -> Value {
      return attn::StatOp::create(builder, loc, attn::StatKind::Mass, of);
    };
    if (weights.isFree()) {
      Value own = mul(constant(order), massOf(reweighted(weights, magnitude(weights.getScore()), {})));
      Value e = bound(weights.getScore());
      return sum(own, e ? massOf(reweighted(weights, e, {})) : Value());
    }
    Value d = scoreBound(weights), relative = constant(order);
    if (weights.getMass() && stat.getKind() != attn::StatKind::Max) {
      MassBound masses = massBound(weights);
      if (masses.relative)
        relative = add(relative, weighted(masses.weights, constant(1.0), masses.relative));
      relative = mul(masses.cancels, relative);
      d = mul(masses.cancels, d);
    }
    switch (stat.getKind()) {
    case attn::StatKind::Lse:
      return finite(x, add(add(d, relative), mul(constant(4 * kSingle), magnitude(x))));
    case attn::StatKind::Max:
      return finite(x, add(d, mul(constant(4 * kSingle), magnitude(x))));
    case attn::StatKind::Mass:
      return mul(magnitude(x), add(expm1(mul(constant(2.0), d)), relative));
    }
    return {};
  }

  /// The same on the axes of another field too.
  Value onAxesOf(Value field, Value e) {
    Value finite = attn::MinOp::create(builder, loc, magnitude(field), constant(1e30)); // 0 * inf is no number
    return add(mul(constant(0.0), finite), e);
  }

  /// What is read of a state with these operands in place of its own, null keeping the magnitude of the one that it
  /// has. Every term of a sum without erasing then counts by its magnitude.
  Value readOf(Operation *op, attn::StateOp state, Value key, Value value, Value decay, Value initial, Value query) {
    auto read = llvm::dyn_cast<attn::ReadOp>(op);
    auto chosen = [&](Value own, Value other) { return other ? onAxesOf(own, other) : magnitude(own); };
    key = chosen(state.getKey(), key);
    value = chosen(state.getValue(), value);
    decay = decay ? onAxesOf(state.getDecay(), decay) : Value();
    initial = state.getInitial() ? chosen(state.getInitial(), initial) : Value();
    query = read ? chosen(read.getQuery(), query) : Value();
    // Operands first: a copy stands behind them.
    auto copy = llvm::cast<attn::StateOp>(builder.clone(*state));
    copy.getKeyMutable().assign(key);
    copy.getValueMutable().assign(value);
    if (decay)
      copy.getDecayMutable().assign(decay);
    if (initial)
      copy.getInitialMutable().assign(initial);
    Operation *of = builder.clone(*op);
    of->setOperand(0, copy.getResult());
    if (read)
      llvm::cast<attn::ReadOp>(of).getQueryMutable().assign(query);
    return of->getResult(0);
  }

  /// A state is a sum of products, so its error is the sum of the errors of the factors, and that of what is rounded to
  /// the type of products: keys, queries and values with their decays, the state, weights of pairs of tokens. Erasing
  /// subtracts what is there, which magnitudes cannot follow: the 2-norm judges it.
  Value ofState(Operation *op, attn::StateOp state) {
    if (state.getErase())
      return constant(1e30);
    auto read = llvm::dyn_cast<attn::ReadOp>(op);
    Value whole = readOf(op, state, {}, {}, {}, {}, {});
    double u = type == runtime::StorageType::F32 ? 0 : unitRoundoff(type);
    int64_t tokens = sizeOf(state.getTokenAttr());
    // Sums of decays lose bits of what they sum over a chunk, where a step counts up to what underflows.
    double order = 6 * u + sumError(tokens) + (state.getDecay() ? 0x1p-10 * 0x1p-6 : 0) + kFunction;
    Value total = mul(constant(order), whole);
    if (Value e = bound(state.getKey()))
      total = add(total, readOf(op, state, e, {}, {}, constant(0.0), {}));
    if (Value e = bound(state.getValue()))
      total = add(total, readOf(op, state, {}, e, {}, constant(0.0), {}));
    if (Value e = state.getInitial() ? bound(state.getInitial()) : Value())
      total = add(total, readOf(op, state, constant(0.0), constant(0.0), {}, e, {}));
    if (Value e = read ? bound(read.getQuery()) : Value())
      total = add(total, readOf(op, state, {}, {}, {}, {}, e));
    // A decay that is off by e grows what it leaves.
    if (Value e = state.getDecay() ? bound(state.getDecay()) : Value()) {
      // No decay grows, whatever it is computed from.
      Value most = add(max(state.getDecay(), constant(0.0)), constant(1e-3));
      Value least = attn::MinOp::create(builder, loc, add(state.getDecay(), e), most);
      Value grown = readOf(op, state, {}, {}, least, {}, {});
      total = add(total, attn::SubOp::create(builder, loc, grown, whole));
    }
    return add(total, underflow(op, state));
  }

  /// What is lost below the smallest numbers: of operands, which are rounded with their decay, of the state, and of the
  /// weights of pairs of tokens.
  Value underflow(Operation *op, attn::StateOp state) {
    bool isNarrow = type == runtime::StorageType::F16;
    double least = isNarrow ? 0x1p-24 : 0x1p-126;
    auto tokens = static_cast<double>(sizeOf(state.getTokenAttr()));
    auto keys = static_cast<double>(sizeOf(state.getKeyAxisAttr()));
    Value lost = constant(least), none = constant(0.0);
    Value still = state.getDecay() ? Value(mul(none, max(state.getDecay(), constant(-1e30)))) : Value();
    Value total = readOf(op, state, lost, {}, still, lost, {});
    total = add(total, readOf(op, state, {}, lost, still, none, {}));
    auto read = llvm::dyn_cast<attn::ReadOp>(op);
    if (!read)
      return add(total, constant(least * tokens));
    total = add(total, readOf(op, state, {}, {}, still, {}, lost));
    Value ofState = attn::ReduceOp::create(builder, loc, attn::ReduceKind::Sum, magnitude(read.getQuery()),
                                           builder.getArrayAttr(state.getKeyAxisAttr()));
    total = add(total, mul(ofState, constant(least * tokens)));
    Value pair = constant(isNarrow ? least / keys : least);
    return add(total, readOf(op, state, pair, {}, still, none, constant(1.0)));
  }

  Value ofConv(attn::ConvOp conv) {
    auto of = [&](Value x, Value w) -> Value {
      x = onAxesOf(conv->getOperand(0), x);
      w = onAxesOf(conv->getOperand(1), w);
      auto copy = llvm::cast<attn::ConvOp>(builder.clone(*conv));
      copy->setOperand(0, x);
      copy->setOperand(1, w);
      return copy->getResult(0);
    };
    Value x = conv->getOperand(0), w = conv->getOperand(1), a = bound(x), b = bound(w);
    Value own = mul(constant(16 * kOp), of(magnitude(x), magnitude(w)));
    return sum(own, sum(a ? of(a, magnitude(w)) : a, b ? of(magnitude(x), b) : b));
  }

  runtime::StorageType type;
  llvm::DenseMap<Value, Value> bounds;
  llvm::DenseMap<Operation *, Value> scoreBounds;
};

} // namespace

llvm::Expected<reference::Tensors> boundErrors(attn::AttentionOp attention, const Arithmetic &arithmetic,
                                               const reference::AxisSizes &sizes, const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  BoundBuilder(*copy, arithmetic, sizes).run();
  return reference::evaluate(*copy, sizes, inputs);
}

} // namespace fovea::driver
