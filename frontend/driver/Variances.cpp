// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the rounding of operands of products does to results: variances, propagated to first order. A rounding to
// nearest moves x by at most u |x|, evenly distributed, so its variance is at most u^2 x^2 / 3. A product of rounded
// operands sums many of them; in a score their sum moves a weight by the slope of the score times it, which no sum over
// keys averages out where a row sees one key.
#include "frontend/driver/ErrorFields.h"

#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fovea::driver {

namespace {

/// Adds, to a copy of an attention, the variances of its outputs.
class VarianceBuilder : FieldBuilder {
public:
  VarianceBuilder(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes)
      : FieldBuilder(attention, arithmetic, sizes) {}

  /// False where no output has any.
  bool run() {
    bool any = false;
    for (attn::OutputOp output : attention.getOutputs()) {
      builder.setInsertionPoint(output);
      Value x = output.getValue();
      if (!isRealField(x))
        continue;
      Value e = variance(x);
      any |= e != nullptr;
      output.getValueMutable().assign(sum(e, mul(constant(0.0), x)));
      output.removeStorageAttr();
    }
    return any;
  }

private:
  Value square(Value x) { return mul(x, x); }
  /// slope^2 * e, null where e is.
  Value moved2(Value e, Value slope) { return e ? mul(e, square(slope)) : e; }
  Value reduced(attn::ReduceKind kind, Value x, ArrayRef<StringAttr> axes) {
    llvm::SmallVector<Attribute> all;
    for (StringAttr axis : axes) {
      x = spread(x, axis);
      all.push_back(axis);
    }
    return attn::ReduceOp::create(builder, loc, kind, x, builder.getArrayAttr(all));
  }

  /// The variance of the error of a real, null for none. Ints are taken as exact: a bound holds what a step moves.
  Value variance(Value x) {
    if (!isRealField(x))
      return {};
    auto known = variances.find(x);
    if (known != variances.end())
      return known->second;
    Value e = compute(x.getDefiningOp());
    variances[x] = e;
    return e;
  }

  Value compute(Operation *op) {
    auto of = [&](unsigned i) { return variance(op->getOperand(i)); };
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<attn::AddOp, attn::SubOp>([&](auto) { return sum(of(0), of(1)); })
        .Case([&](attn::MulOp op) { return sum(moved2(of(0), op.getRhs()), moved2(of(1), op.getLhs())); })
        .Case([&](attn::DivOp op) {
          Value e = sum(of(0), moved2(of(1), op.getResult()));
          return e ? div(e, square(op.getRhs())) : e;
        })
        .Case<attn::NegOp, attn::AbsOp>([&](auto) { return of(0); })
        .Case(
            [&](attn::SelectOp op) { return chosen(op.getCondition(), variance(op.getLhs()), variance(op.getRhs())); })
        .Case<attn::MaxOp, attn::MinOp>([&](auto) {
          if (!of(0) && !of(1))
            return Value();
          Value isFirst = attn::EqOp::create(builder, loc, op->getResult(0), op->getOperand(0));
          return chosen(isFirst, of(0), of(1));
        })
        .Case<attn::LogOp, attn::Log2Op, attn::Log1pOp, attn::SqrtOp, attn::RsqrtOp, attn::PowOp, attn::ExpOp,
              attn::Exp2Op, attn::Expm1Op, attn::TanhOp, attn::SigmoidOp, attn::SiluOp, attn::SoftplusOp,
              attn::LogSigmoidOp, attn::EluOp, attn::GeluOp, attn::SinOp, attn::CosOp, attn::ReluOp, attn::LogAddExpOp>(
            [&](auto) { return ofFunction(op); })
        .Case<attn::RenameOp, attn::SliceOp, attn::RowAtOp, attn::FlattenOp, attn::GatherOp>(
            [&](auto) { return atPlaces(op, of(0)); })
        .Case([&](attn::ConcatOp concat) -> Value {
          llvm::SmallVector<Value> parts = llvm::map_to_vector(op->getOperands(), [&](Value x) { return variance(x); });
          return llvm::all_of(parts, [](Value e) { return !e; }) ? Value() : concatenated(concat, std::move(parts));
        })
        .Case([&](attn::ScanOp scan) -> Value {
          Value e = of(0);
          return e ? attn::ScanOp::create(builder, loc, spread(e, scan.getAxisAttr()), scan.getAxisAttr()).getResult()
                   : e;
        })
        .Case([&](attn::ReduceOp reduce) -> Value {
          if (Value e = of(0))
            return reduced(kindOf(reduce.getKind()), e, attn::toAxes(reduce.getAxes()));
          return {};
        })
        .Case([&](attn::BlockReduceOp reduce) -> Value {
          if (Value e = of(0))
            return attn::BlockReduceOp::create(builder, loc, kindOf(reduce.getKind()), spread(e, reduce.getFromAttr()),
                                               reduce.getFromAttr(), reduce.getToAttr());
          return {};
        })
        .Case([&](attn::DotOp dot) { return ofDot(dot); })
        .Case([&](attn::ExpectOp expect) { return ofExpect(expect); })
        .Case([&](attn::StatOp stat) { return ofStat(stat); })
        .Default([](Operation *) { return Value(); });
  }

  /// Of a mean and of what one element decides: at most the greatest.
  static attn::ReduceKind kindOf(attn::ReduceKind kind) {
    return kind == attn::ReduceKind::Sum ? attn::ReduceKind::Sum : attn::ReduceKind::Max;
  }

  Value chosen(Value condition, Value a, Value b) {
    if (!a && !b)
      return {};
    return attn::SelectOp::create(builder, loc, condition, a ? a : constant(0.0), b ? b : constant(0.0));
  }

  /// Slopes are central differences; 0 at a place where there is none.
  Value ofFunction(Operation *op) {
    Value total;
    for (OpOperand &operand : op->getOpOperands()) {
      Value e = variance(operand.get()), x = operand.get();
      if (!e)
        continue;
      Value step = add(mul(constant(1e-6), magnitude(x)), constant(1e-12));
      auto at = [&](Value place) {
        Operation *copy = builder.clone(*op);
        copy->setOperand(operand.getOperandNumber(), place);
        return copy->getResult(0);
      };
      Value rise = attn::SubOp::create(builder, loc, at(add(x, step)), at(attn::SubOp::create(builder, loc, x, step)));
      Value slope = div(rise, mul(constant(2.0), step));
      Value isNumber = attn::LtOp::create(builder, loc, magnitude(slope), constant(HUGE_VAL));
      total = sum(total, moved2(e, chosen(isNumber, slope, {})));
    }
    return total;
  }

  Value ofDot(attn::DotOp dot) {
    Value a = dot.getLhs(), b = dot.getRhs();
    auto rounded = [&](Value x, double u) {
      Value e = variance(x);
      return u > 0 ? sum(e, mul(constant(u * u / 3), square(x))) : e;
    };
    auto product = [&](Value e, Value x, Value of) -> Value {
      if (!e)
        return e;
      for (StringAttr axis : attn::toAxes(dot.getAxes()))
        if (hasAxis(of, axis))
          e = spread(e, axis);
      return attn::DotOp::create(builder, loc, e, square(x), dot.getAxes());
    };
    return sum(product(rounded(a, operandRoundoff(a, b, arithmetic)), b, a),
               product(rounded(b, operandRoundoff(b, a, arithmetic)), a, b));
  }

  /// Squares of what a row gives to its keys, undivided sums of which are variances, and of what it gives to sinks.
  struct Shares {
    Value keys;
    llvm::SmallVector<Value> sinks;
  };
  Shares sharesOf(attn::WeightsOp weights, bool withSinks) {
    if (weights.isFree())
      return {square(weights.getScore()), {}};
    Value greatest = attn::StatOp::create(builder, loc, attn::StatKind::Max, weights);
    Value whole = attn::StatOp::create(builder, loc, attn::StatKind::Mass, weights);
    auto relative = [&](Value score) -> Value {
      return attn::ExpOp::create(builder, loc, attn::SubOp::create(builder, loc, score, greatest));
    };
    Shares result;
    if (withSinks)
      for (Value sink : weights.getSinks()) {
        result.sinks.push_back(relative(sink));
        whole = add(whole, result.sinks.back());
      }
    for (Value &share : result.sinks)
      share = square(div(share, whole));
    Value weight = relative(weights.getScore());
    if (weights.getMass())
      weight = mul(weight, weights.getMass());
    result.keys = square(div(weight, whole));
    return result;
  }
  /// Over the keys that rows of `weights` see, the sum of factor * coefficient * value.
  Value summed(attn::WeightsOp weights, Value factor, Value value, Value coefficient) {
    auto free = attn::WeightsOp::create(
        builder, loc, weights.getOverAttr(), weights.getQueryAttr(), weights.getQueryPartsAttr(),
        spread(factor, weights.getOverAttr()), weights.getWhere(), Value(), ValueRange(),
        attn::WeightFunctionAttr::get(builder.getContext(), attn::WeightFunction::Free));
    return weighted(free, value, coefficient);
  }
  /// The variances of scores, and of masses relative to them: that of the logarithm of a weight.
  Value logVariance(attn::WeightsOp weights) {
    Value mass = weights.getMass(), e = variance(weights.getScore()), ofMass = mass ? variance(mass) : Value();
    return sum(e, ofMass ? div(ofMass, max(square(mass), constant(1e-200))) : ofMass);
  }

  /// sum_j w_j c_j v_j has the slopes c_j v_j along w_j; divided, w_j (c_j v_j - o) along the logarithm of w_j, and
  /// -w o along a sink.
  Value ofExpect(attn::ExpectOp expect) {
    auto weights = expect.getWeights().getDefiningOp<attn::WeightsOp>();
    Value v = expect.getValue(), c = expect.getCoefficient(), o = expect.getResult();
    Value vv = square(v), cc = c ? square(c) : c;
    Value ofValue = variance(v), ofCoefficient = c ? variance(c) : c;
    Value ofWeight = weights.isFree() ? variance(weights.getScore()) : logVariance(weights);
    bool sinks = llvm::any_of(weights.getSinks(), [&](Value sink) { return variance(sink) != nullptr; });
    if (!ofValue && !ofCoefficient && !ofWeight && !sinks)
      return {};
    Shares shares = sharesOf(weights, true);
    Value total = ofValue ? summed(weights, shares.keys, ofValue, cc) : Value();
    if (ofCoefficient)
      total = sum(total, summed(weights, shares.keys, vv, ofCoefficient));
    if (ofWeight && weights.isFree()) {
      total = sum(total, summed(weights, ofWeight, vv, cc));
    } else if (ofWeight) {
      Value factor = mul(shares.keys, ofWeight), two = constant(2.0);
      Value squares = add(summed(weights, factor, vv, cc), mul(square(o), summed(weights, factor, constant(1.0), {})));
      Value mixed = mul(mul(two, o), summed(weights, factor, v, c));
      total = sum(total, max(attn::SubOp::create(builder, loc, squares, mixed), constant(0.0)));
    }
    if (sinks)
      for (auto [share, sink] : llvm::zip(shares.sinks, weights.getSinks()))
        if (Value e = variance(sink))
          total = sum(total, mul(mul(share, e), square(o)));
    return total;
  }

  Value ofStat(attn::StatOp stat) {
    auto weights = stat.getWeights().getDefiningOp<attn::WeightsOp>();
    Value e = weights.isFree() ? variance(weights.getScore()) : logVariance(weights), one = constant(1.0);
    if (!e)
      return e;
    if (weights.isFree())
      return summed(weights, e, one, {});
    Value ofLse = summed(weights, mul(sharesOf(weights, false).keys, e), one, {});
    if (stat.getKind() == attn::StatKind::Lse)
      return ofLse;
    // The greatest over the keys that a row sees is a statistic of weights with these scores.
    Value zero = mul(constant(0.0), weights.getScore());
    auto scored = attn::WeightsOp::create(
        builder, loc, weights.getOverAttr(), weights.getQueryAttr(), weights.getQueryPartsAttr(),
        spread(add(e, zero), weights.getOverAttr()), weights.getWhere(), Value(), ValueRange(),
        attn::WeightFunctionAttr::get(builder.getContext(), attn::WeightFunction::Exp));
    Value ofMax = attn::StatOp::create(builder, loc, attn::StatKind::Max, scored);
    return stat.getKind() == attn::StatKind::Max ? ofMax : mul(add(ofLse, ofMax), square(stat.getResult()));
  }

  llvm::DenseMap<Value, Value> variances;
};

/// How many elements are rounded, of the operands of products that `value` depends on.
double roundedElements(Value value, const Arithmetic &arithmetic, const reference::AxisSizes &sizes) {
  llvm::SetVector<Operation *> slice;
  llvm::SmallVector<Value> work{value};
  while (!work.empty())
    if (Operation *op = work.pop_back_val().getDefiningOp(); op && slice.insert(op))
      llvm::append_range(work, op->getOperands());
  llvm::SetVector<Value> rounded;
  for (Operation *op : slice)
    if (auto dot = llvm::dyn_cast<attn::DotOp>(op))
      for (auto [x, other] : {std::pair(dot.getLhs(), dot.getRhs()), std::pair(dot.getRhs(), dot.getLhs())})
        if (operandRoundoff(x, other, arithmetic) > 0)
          rounded.insert(x);
  double count = 0;
  for (Value x : rounded) {
    double elements = 1;
    for (StringAttr axis : llvm::cast<attn::FieldType>(x.getType()).getAxes())
      if (auto found = sizes.find(axis.getValue().str()); found != sizes.end())
        elements *= static_cast<double>(found->second);
    count += elements;
  }
  return count;
}

} // namespace

llvm::Error addProductErrors(Tolerance &tolerance, attn::AttentionOp attention, const Arithmetic &arithmetic,
                             const reference::AxisSizes &sizes, const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  if (!VarianceBuilder(*copy, arithmetic, sizes).run())
    return llvm::Error::success();
  llvm::Expected<reference::Tensors> variances = reference::evaluate(*copy, sizes, inputs);
  if (!variances)
    return variances.takeError();

  llvm::DenseSet<StringAttr> rows;
  for (auto weights : attention.getBody().getOps<attn::WeightsOp>())
    rows.insert_range(weights.getWeightsType().getRows());
  attn::AxisTableAttr table = attention.getAxes();
  for (attn::OutputOp output : attention.getOutputs()) {
    auto found = variances->find(output.getName().str());
    if (found == variances->end() || !isRealField(output.getValue()))
      continue;
    const reference::Tensor &tensor = found->second;
    // The errors of one row have one cause: they are taken as one variable.
    llvm::SmallVector<bool> isRow = llvm::map_to_vector(attn::toAxes(output.getDeclared()), [&](StringAttr axis) {
      return llvm::any_of(table.expand({axis}), [&](StringAttr part) { return rows.contains(part); });
    });
    std::map<int64_t, double> ofRow;
    double greatest = 0;
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      if (!std::isfinite(tensor.data[i]))
        continue;
      int64_t row = 0, rest = static_cast<int64_t>(i), stride = 1;
      for (size_t d = tensor.shape.size(); d-- > 0;) {
        if (isRow[d]) {
          row += rest % tensor.shape[d] * stride;
          stride *= tensor.shape[d];
        }
        rest /= tensor.shape[d];
      }
      ofRow[row] += tensor.data[i];
      greatest = std::max(greatest, tensor.data[i]);
    }
    double total = 0, squares = 0, most = 0;
    for (auto [row, e] : ofRow) {
      total += e;
      squares += e * e;
      most = std::max(most, e);
    }
    // There are no more independent errors than rounded elements.
    double elements = std::max(1.0, roundedElements(output.getValue(), arithmetic, sizes));
    squares = std::max(squares, total * total / elements);
    most = std::max(most, total / elements);
    OutputTolerance &entry = tolerance.outputs[output.getName().str()];
    constexpr double kTail = 7; // e^-7: one of a thousand
    auto tail = [](double sum, double squares, double most) {
      return std::sqrt(sum + 2 * std::sqrt(squares * kTail) + 2 * most * kTail);
    };
    entry.fromProducts = entry.isStatistic ? tail(greatest, greatest * greatest, greatest) : tail(total, squares, most);
  }
  return llvm::Error::success();
}

double OutputTolerance::allowed(const std::vector<double> &magnitudes, const std::vector<double> &reference) const {
  double condition = conditionOf(magnitudes, reference), squares = 0, size = 0;
  for (double r : reference)
    size += std::isfinite(r) ? r * r : 0;
  for (const ToleranceTerm &term : terms)
    squares += term.value * term.value;
  if (fromProducts == 0 || size == 0)
    return limit * condition;
  squares = std::max(0.0, squares - ofProducts * ofProducts);
  return std::max(limit * condition, std::sqrt(squares * condition * condition + fromProducts * fromProducts / size));
}

} // namespace fovea::driver
