// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tolerances and error bounds: see Tolerance.h for the formulas.
#include "frontend/driver/Tolerance.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <cstdio>

using namespace mlir;

namespace fovea::driver {

double unitRoundoff(runtime::StorageType type) {
  switch (type) {
  case runtime::StorageType::BF16:
    return 0x1p-8;
  case runtime::StorageType::F16:
    return 0x1p-11;
  case runtime::StorageType::F32:
    return 0x1p-24;
  case runtime::StorageType::I32:
    return 0;
  }
  return 0;
}

static runtime::StorageType storageOf(std::optional<attn::Storage> storage, runtime::StorageType standard) {
  if (!storage)
    return standard;
  switch (*storage) {
  case attn::Storage::BF16:
    return runtime::StorageType::BF16;
  case attn::Storage::F16:
    return runtime::StorageType::F16;
  case attn::Storage::F32:
    return runtime::StorageType::F32;
  case attn::Storage::I32:
    return runtime::StorageType::I32;
  }
  return standard;
}

/// The type in which an operand is stored; none for one that is computed.
static std::optional<runtime::StorageType> storedAs(Value value, runtime::StorageType standard) {
  while (Operation *op = value.getDefiningOp()) {
    if (llvm::isa<attn::RenameOp, attn::SliceOp, attn::FlattenOp>(op)) // the same elements
      value = op->getOperand(0);
    else if (auto input = llvm::dyn_cast<attn::InputOp>(op))
      return storageOf(input.getStorage(), standard);
    else
      return std::nullopt;
  }
  return std::nullopt;
}

/// What a product of f32 loses of each operand.
static double productRoundoff(const Arithmetic &arithmetic) {
  return arithmetic.precision == "tf32" ? 0x1p-11 : arithmetic.precision == "3xtf32" ? 0x1p-22 : 0;
}

/// How far an operand is rounded for its product with another: the type of both is that of what is stored, f32 where
/// two stored types differ.
static double operandRoundoff(Value operand, Value other, const Arithmetic &arithmetic) {
  using runtime::StorageType;
  std::optional<StorageType> own = storedAs(operand, arithmetic.type), its = storedAs(other, arithmetic.type);
  StorageType product = own && its && *own != *its ? StorageType::F32 : own.value_or(its.value_or(arithmetic.type));
  if (product != StorageType::F32)
    return own ? 0 : unitRoundoff(product);
  return own && *own != StorageType::F32 ? 0 : productRoundoff(arithmetic); // 16 bits are tf32 as they are
}

/// How far a value is rounded for its product with weights.
static double valueRoundoff(Value value, const Arithmetic &arithmetic) {
  using runtime::StorageType;
  std::optional<StorageType> own = storedAs(value, arithmetic.type);
  if (own.value_or(arithmetic.type) == StorageType::F32)
    return productRoundoff(arithmetic);
  return own ? 0 : unitRoundoff(arithmetic.type);
}

/// How far the weights are rounded for their product with a value.
static double weightRoundoff(Value value, const Arithmetic &arithmetic) {
  runtime::StorageType type = storedAs(value, arithmetic.type).value_or(arithmetic.type);
  return type == runtime::StorageType::F32 ? std::max(0x1p-24, productRoundoff(arithmetic)) : unitRoundoff(type);
}

static bool isRealField(Value value) {
  auto field = llvm::dyn_cast<attn::FieldType>(value.getType());
  return field && field.isReal();
}

//===--- ordinary inputs ---===//

std::string OutputTolerance::format() const {
  char buffer[96];
  if (isStatistic) {
    std::snprintf(buffer, sizeof buffer, "|a - r| <= %.3g + %.3g |r|", absolute, relative);
    return buffer;
  }
  std::snprintf(buffer, sizeof buffer, "%.3g", relative2);
  std::string text = buffer;
  text += " = ";
  if (relative2 == limit)
    text += "limit, below ";
  text += "sqrt of the sum of squares of:";
  for (const ToleranceTerm &term : terms) {
    std::snprintf(buffer, sizeof buffer, " %.2g ", term.value);
    text += (&term == &terms.front() ? "" : ",") + std::string(buffer) + term.what;
  }
  return text;
}

/// True for a number that the compilation knows, of constants and sizes alone.
static bool isFixed(Value x) {
  Operation *op = x.getDefiningOp();
  return !llvm::isa<attn::InputOp, attn::IndexOp, attn::PositionOp, attn::QueryPositionOp>(op) &&
         llvm::isa<attn::FieldType>(x.getType()) && llvm::cast<attn::FieldType>(x.getType()).getAxes().empty() &&
         llvm::all_of(op->getOperands(), isFixed);
}

/// True for what the hardware approximates.
static bool isApproximate(Operation *op) {
  return llvm::isa<attn::ExpOp, attn::Exp2Op, attn::Expm1Op, attn::LogOp, attn::Log2Op, attn::Log1pOp, attn::SqrtOp,
                   attn::RsqrtOp, attn::SinOp, attn::CosOp, attn::TanhOp, attn::SigmoidOp, attn::SiluOp,
                   attn::SoftplusOp, attn::LogSigmoidOp, attn::EluOp, attn::GeluOp, attn::PowOp, attn::LogAddExpOp>(
             op) &&
         !isFixed(op->getResult(0));
}

Tolerance toleranceFor(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes) {
  Tolerance result;
  runtime::StorageType type = arithmetic.type;
  double coarsestOfAll = 0, least = 1e-6;
  for (attn::OutputOp output : attention.getOutputs()) {
    OutputTolerance &entry = result.outputs[output.getName().str()];
    runtime::StorageType stored = storageOf(output.getStorage(), type);
    if (llvm::isa_and_nonnull<attn::StatOp>(output.getValue().getDefiningOp())) {
      entry.isStatistic = true;
      entry.absolute = 1e-3;
      // In f32 the statistic has two ulps; in a type of 16 bits its own rounding dominates.
      entry.relative = std::max(0x1p-22, stored == runtime::StorageType::F32 ? 0 : 2 * unitRoundoff(stored));
      continue;
    }
    // Every operation that the output depends on, once.
    llvm::SetVector<Operation *> slice;
    llvm::SmallVector<Value> work{output.getValue()};
    while (!work.empty()) {
      Operation *op = work.pop_back_val().getDefiningOp();
      if (op && slice.insert(op))
        llvm::append_range(work, op->getOperands());
    }
    int64_t longest = 1;
    llvm::MapVector<Value, double> rounded;
    double weights = 0;
    int64_t running = 0;
    auto round = [&](Value operand, double u) {
      if (u > 0)
        rounded[operand] = std::max(rounded[operand], u);
    };
    for (Operation *op : slice) {
      if (auto expect = llvm::dyn_cast<attn::ExpectOp>(op)) {
        auto size = sizes.find(expect.getWeights().getType().getWalk().getValue().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
        weights = std::max(weights, weightRoundoff(expect.getValue(), arithmetic));
        if (!llvm::isa_and_nonnull<attn::ConstantOp>(expect.getValue().getDefiningOp()))
          round(expect.getValue(), valueRoundoff(expect.getValue(), arithmetic));
      } else if (auto scan = llvm::dyn_cast<attn::ScanOp>(op)) {
        auto size = sizes.find(scan.getAxis().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
        running = std::max(running, longest);
      } else if (auto stat = llvm::dyn_cast<attn::StatOp>(op)) {
        auto size = sizes.find(stat.getWeights().getType().getWalk().getValue().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
      } else if (auto dot = llvm::dyn_cast<attn::DotOp>(op)) {
        round(dot.getLhs(), operandRoundoff(dot.getLhs(), dot.getRhs(), arithmetic));
        round(dot.getRhs(), operandRoundoff(dot.getRhs(), dot.getLhs(), arithmetic));
      }
    }
    double coarsest = std::max({type == runtime::StorageType::F32 ? 0 : unitRoundoff(type), weights,
                                stored == runtime::StorageType::F32 ? 0 : unitRoundoff(stored)});
    if (weights > 0)
      entry.terms.push_back({"weights", weights / std::sqrt(3.0)});
    double roundings = 0;
    for (auto [operand, u] : rounded) {
      roundings += u * u / 3;
      coarsest = std::max(coarsest, u);
    }
    if (!rounded.empty())
      entry.terms.push_back({"operands rounded (" + std::to_string(rounded.size()) + ")", std::sqrt(roundings)});
    if (unitRoundoff(stored) > 0)
      entry.terms.push_back({"result", unitRoundoff(stored) / std::sqrt(3.0)});
    entry.terms.push_back(
        {"sums of " + std::to_string(longest), 0x1p-22 * (1 + std::sqrt(static_cast<double>(longest)))});
    // Differences of running sums have the errors of the sums, which are as large as they are long.
    double functions =
        0x1p-18 * static_cast<double>(llvm::count_if(slice, isApproximate)) + 0x1p-23 * static_cast<double>(running);
    if (functions > 0)
      entry.terms.push_back({running ? "functions and running sums" : "functions", functions});
    double squares = 0;
    for (const ToleranceTerm &term : entry.terms)
      squares += term.value * term.value;
    least = std::max(least, 1e-6 + functions);
    entry.limit = std::max(1e-6 + functions, 5e-3 * coarsest / unitRoundoff(runtime::StorageType::BF16));
    coarsestOfAll = std::max(coarsestOfAll, coarsest);
    entry.relative2 = std::min(std::sqrt(squares), entry.limit);
  }
  // Where nothing is rounded to fewer bits than f32 has, both sides differ by the last bits of functions and sums
  // alone.
  if (type == runtime::StorageType::F32)
    result.sameRoundings = std::max(least, std::min(1.0, coarsestOfAll / 0x1p-8) * result.sameRoundings);
  return result;
}

//===--- any inputs ---===//

namespace {

/// Adds, to a copy of an attention, fields that bound the error of its fields.
class BoundBuilder {
public:
  BoundBuilder(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes)
      : attention(attention), builder(attention.getContext()), loc(attention.getLoc()), arithmetic(arithmetic),
        type(arithmetic.type), sizes(sizes) {}

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

  Value constant(double value) { return attn::ConstantOp::create(builder, loc, value); }
  Value constant(int64_t value) { return attn::ConstantOp::create(builder, loc, value); }
  Value add(Value a, Value b) { return attn::AddOp::create(builder, loc, a, b); }
  Value mul(Value a, Value b) { return attn::MulOp::create(builder, loc, a, b); }
  Value div(Value a, Value b) { return attn::DivOp::create(builder, loc, a, b); }
  Value max(Value a, Value b) { return attn::MaxOp::create(builder, loc, a, b); }
  Value expm1(Value a) { return attn::Expm1Op::create(builder, loc, a); }
  Value magnitude(Value x) {
    Value &known = magnitudes[x];
    if (!known)
      known = attn::AbsOp::create(builder, loc, x);
    return known;
  }
  /// Null is zero.
  Value sum(Value a, Value b) { return !a ? b : !b ? a : add(a, b); }
  Value scale(Value a, Value b) { return !a || !b ? Value() : mul(a, b); }
  /// 0 where x is infinite: an infinity is right or wrong, and has no error.
  Value finite(Value x, Value e) {
    Value huge = attn::GeOp::create(builder, loc, magnitude(x), constant(HUGE_VAL));
    return attn::SelectOp::create(builder, loc, huge, constant(0.0), e);
  }
  int64_t sizeOf(StringAttr axis) const {
    auto found = sizes.find(axis.getValue().str());
    return found == sizes.end() ? 1 : found->second;
  }
  double sumError(int64_t terms) const { return (static_cast<double>(terms) / 8 + 64) * kSingle; }
  /// With the rounding, by `u`, of an operand of a product.
  Value roundedBound(Value x, double u) {
    Value e = bound(x);
    return u == 0 ? e : sum(e, mul(constant(u), magnitude(x)));
  }
  Value weighted(attn::WeightsOp weights, Value value, Value coefficient) {
    return attn::ExpectOp::create(builder, loc, weights, value, coefficient);
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
  attn::WeightsType weightsType(attn::WeightsOp weights) {
    llvm::SmallVector<Type> types;
    (void)attn::WeightsOp::inferReturnTypes(builder.getContext(), loc, weights->getOperands(),
                                            weights->getDiscardableAttrDictionary(), weights->getPropertiesStorage(),
                                            weights->getRegions(), types);
    return llvm::cast<attn::WeightsType>(types.front());
  }

  static bool hasAxis(Value x, StringAttr axis) { return llvm::cast<attn::FieldType>(x.getType()).hasAxis(axis); }
  /// A bound that may lack an axis, with it.
  Value spread(Value e, StringAttr axis) {
    if (hasAxis(e, axis))
      return e;
    Value index = attn::IndexOp::create(builder, loc, axis);
    return add(e, attn::ToRealOp::create(builder, loc, mul(index, constant(int64_t(0)))));
  }
  /// The same places of a bound as an operation takes of its one operand, whose axes `of` are replaced.
  Value moved(Operation *op, Value e, llvm::ArrayRef<StringAttr> of) {
    if (!e || llvm::none_of(of, [&](StringAttr axis) { return hasAxis(e, axis); }))
      return e;
    for (StringAttr axis : of)
      e = spread(e, axis);
    OperationState state(loc, op->getName());
    state.addOperands(e);
    state.addAttributes(op->getAttrs());
    state.propertiesAttr = op->getPropertiesAsAttribute();
    llvm::SmallVector<Type> types;
    auto infer = op->getName().getInterface<InferTypeOpInterface>();
    (void)infer->inferReturnTypes(builder.getContext(), loc, e, op->getAttrDictionary(), op->getPropertiesStorage(),
                                  op->getRegions(), types);
    state.addTypes(types);
    return builder.create(state)->getResult(0);
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
    Value e = bound(op->getOperand(0));
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<attn::RenameOp, attn::SliceOp>([&](auto op) { return moved(op, e, op.getFromAttr()); })
        .Case([&](attn::RowAtOp op) { return moved(op, e, op.getKeysAttr()); })
        .Case([&](attn::FlattenOp op) { return moved(op, e, attn::toAxes(op.getFrom())); })
        .Case([&](attn::GatherOp op) {
          Value x = op.getOperand(), index = bound(op.getIndex());
          if (e && hasAxis(e, op.getAxisAttr()))
            e = attn::GatherOp::create(builder, loc, e, op.getAxisAttr(), op.getIndex());
          if (!index)
            return e;
          // Another element, where the index may be off.
          Value size = llvm::cast<attn::FieldType>(x.getType()).isReal()
                           ? magnitude(x)
                           : Value(attn::ToRealOp::create(builder, loc, magnitude(x)));
          Value most =
              attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, size, builder.getArrayAttr(op.getAxisAttr()));
          Value off = attn::GtOp::create(builder, loc, index, constant(0.0));
          return sum(e, attn::SelectOp::create(builder, loc, off, mul(constant(2.0), most), constant(0.0)));
        })
        .DefaultUnreachable("an operation of the cases above");
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
        .Case<attn::MaxOp, attn::MinOp>([&](auto) {
          Value a = bound(one()), b = bound(two()); // an infinite one of the two may be the one that is left
          return sum(sum(a ? finite(one(), a) : a, b ? finite(two(), b) : b), own());
        })
        .Case([&](attn::LogAddExpOp) { return sum(sum(bound(one()), bound(two())), own()); })
        .Case([&](attn::SelectOp select) { return ofSelect(select); })
        .Case<attn::ExpOp, attn::Exp2Op, attn::Expm1Op>([&](auto) {
          Value e = bound(one());
          Value grown = e ? mul(add(magnitude(x), constant(1.0)), expm1(e)) : Value();
          return sum(grown, mul(constant(kFunction), add(magnitude(x), magnitude(one()))));
        })
        .Case<attn::LogOp, attn::Log2Op, attn::Log1pOp>([&](auto) {
          Value e = bound(one());
          Value moved = e ? div(mul(constant(2.0), e), magnitude(one())) : Value();
          return sum(moved, mul(constant(kFunction), add(magnitude(x), constant(1.0))));
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
          for (auto [e, part] : llvm::zip(parts, attn::toAxes(concat.getParts())))
            e = spread(e ? e : constant(0.0), part);
          return attn::ConcatOp::create(builder, loc, parts, concat.getAlongAttr(), concat.getParts());
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
        .Default([&](Operation *) { return own(); });
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

  attn::AttentionOp attention;
  OpBuilder builder;
  Location loc;
  const Arithmetic &arithmetic;
  runtime::StorageType type;
  const reference::AxisSizes &sizes;
  llvm::DenseMap<Value, Value> bounds, magnitudes;
  llvm::DenseMap<Operation *, Value> scoreBounds;
};

/// Adds, to a copy of an attention, the sum of squares of the terms of each output.
struct MagnitudeBuilder {
  OpBuilder builder;
  Location loc;

  Value squares(Value x) {
    Operation *op = x.getDefiningOp();
    auto of = [&](unsigned i) { return squares(op->getOperand(i)); };
    if (llvm::isa<attn::AddOp, attn::SubOp>(op))
      return attn::AddOp::create(builder, loc, of(0), of(1));
    if (llvm::isa<attn::MulOp>(op))
      return attn::MulOp::create(builder, loc, of(0), of(1));
    if (llvm::isa<attn::NegOp>(op))
      return of(0);
    return attn::MulOp::create(builder, loc, x, x);
  }
};

} // namespace

llvm::Expected<reference::Tensors> magnitudes(attn::AttentionOp attention, const reference::AxisSizes &sizes,
                                              const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  for (attn::OutputOp output : copy->getOutputs()) {
    MagnitudeBuilder magnitude{OpBuilder(output), output.getLoc()};
    if (isRealField(output.getValue()))
      output.getValueMutable().assign(
          attn::SqrtOp::create(magnitude.builder, output.getLoc(), magnitude.squares(output.getValue())));
    output.removeStorageAttr();
  }
  return reference::evaluate(*copy, sizes, inputs);
}

llvm::Expected<bool> weightsOverflow(attn::AttentionOp attention, const Arithmetic &arithmetic,
                                     const reference::AxisSizes &sizes, const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  OpBuilder builder(copy->getContext());
  Location loc = copy->getLoc();
  llvm::SmallVector<attn::ExpectOp> wide;
  for (auto expect : copy->getBody().getOps<attn::ExpectOp>()) {
    auto weights = expect.getWeights().getDefiningOp<attn::WeightsOp>();
    runtime::StorageType type = storedAs(expect.getValue(), arithmetic.type).value_or(arithmetic.type);
    if (weights.isFree() && type == runtime::StorageType::F16)
      wide.push_back(expect);
  }
  if (wide.empty())
    return false;
  for (attn::OutputOp output : copy->getOutputs())
    output.erase();
  for (auto [n, expect] : llvm::enumerate(wide)) {
    // The greatest magnitude among the keys that a row sees is a statistic of weights with these scores.
    auto weights = expect.getWeights().getDefiningOp<attn::WeightsOp>();
    builder.setInsertionPointAfter(expect);
    Value size = attn::AbsOp::create(builder, loc, weights.getScore());
    if (expect.getCoefficient())
      size = attn::MulOp::create(builder, loc, size, attn::AbsOp::create(builder, loc, expect.getCoefficient()));
    auto scored =
        attn::WeightsOp::create(builder, loc, weights.getOverAttr(), weights.getQueryAttr(),
                                weights.getQueryPartsAttr(), size, weights.getWhere(), Value(), ValueRange(),
                                attn::WeightFunctionAttr::get(builder.getContext(), attn::WeightFunction::Exp));
    Value most = attn::StatOp::create(builder, loc, attn::StatKind::Max, scored);
    llvm::SmallVector<Attribute> rows(scored.getWeightsType().getRows().begin(),
                                      scored.getWeightsType().getRows().end());
    most = attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, most, builder.getArrayAttr(rows));
    attn::OutputOp::create(builder, loc, "most" + std::to_string(n), most, {});
  }
  llvm::Expected<reference::Tensors> results = reference::evaluate(*copy, sizes, inputs);
  if (!results)
    return results.takeError();
  for (const auto &[name, tensor] : *results)
    if (tensor.data[0] >= 65504)
      return true;
  return false;
}

double conditionOf(const std::vector<double> &magnitudes, const std::vector<double> &reference) {
  double m = 0, r = 0;
  for (size_t i = 0; i < magnitudes.size() && i < reference.size(); ++i)
    if (std::isfinite(magnitudes[i]) && std::isfinite(reference[i])) {
      m += magnitudes[i] * magnitudes[i];
      r += reference[i] * reference[i];
    }
  return r > 0 ? std::max(1.0, std::sqrt(m / r)) : 1;
}

llvm::Expected<reference::Tensors> boundErrors(attn::AttentionOp attention, const Arithmetic &arithmetic,
                                               const reference::AxisSizes &sizes, const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  BoundBuilder(*copy, arithmetic, sizes).run();
  return reference::evaluate(*copy, sizes, inputs);
}

} // namespace fovea::driver
