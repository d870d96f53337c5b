// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pointwise operations of the attn dialect as arith and math operations in f32 and i32. Functions that math has are
// left whole (tile-expand-math takes them apart); the others are put together here so that no intermediate overflows.
#include "passes/attn-to-tile/Derivation.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <numbers>

using namespace mlir;
using namespace fovea;

Value derivation::emitConstant(OpBuilder &builder, Location loc, Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr = isa<FloatType>(element)
                       ? TypedAttr(builder.getFloatAttr(element, value))
                       : TypedAttr(IntegerAttr::get(element, APInt(element.getIntOrFloatBitWidth(), int64_t(value),
                                                                   /*isSigned=*/true, /*implicitTrunc=*/true)));
  if (auto tile = dyn_cast<RankedTensorType>(type))
    attr = DenseElementsAttr::get(tile, ArrayRef<Attribute>(attr));
  return arith::ConstantOp::create(builder, loc, attr);
}

namespace {

struct Emitter {
  OpBuilder &b;
  Location loc;

  Value constant(Value like, double value) const {
    return fovea::derivation::emitConstant(b, loc, like.getType(), value);
  }
  Value add(Value x, Value y) const { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) const { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) const { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) const { return arith::DivFOp::create(b, loc, x, y); }
  Value neg(Value x) const { return arith::NegFOp::create(b, loc, x); }
  Value abs(Value x) const { return math::AbsFOp::create(b, loc, x); }
  Value exp(Value x) const { return math::ExpOp::create(b, loc, x); }
  Value log1p(Value x) const { return math::Log1pOp::create(b, loc, x); }
  Value greater(Value x, Value y) const { return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OGT, x, y); }
  Value equal(Value x, Value y) const { return arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, x, y); }
  Value select(Value c, Value x, Value y) const { return arith::SelectOp::create(b, loc, c, x, y); }
  Value atLeast(Value x, double bound) const { return arith::MaximumFOp::create(b, loc, x, constant(x, bound)); }

  Value sigmoid(Value x) const {
    Value one = constant(x, 1);
    return div(one, add(one, exp(neg(x)))); // exp may be inf: 1 / inf is 0
  }
  // max(x, 0) + log(1 + e^-|x|): the exponential is at most 1.
  Value softplus(Value x) const { return add(atLeast(x, 0), log1p(exp(neg(abs(x))))); }

  Value compare(Value x, Value y, arith::CmpFPredicate reals, arith::CmpIPredicate ints) const {
    if (isa<FloatType>(getElementTypeOrSelf(x)))
      return arith::CmpFOp::create(b, loc, reals, x, y);
    return arith::CmpIOp::create(b, loc, ints, x, y);
  }
  template <typename RealOp, typename IntOp> Value either(Value x, Value y) const {
    if (isa<FloatType>(getElementTypeOrSelf(x)))
      return RealOp::create(b, loc, x, y);
    return IntOp::create(b, loc, x, y);
  }
  bool isReal(Value x) const { return isa<FloatType>(getElementTypeOrSelf(x)); }

  Value floorDiv(Value x, Value y) const {
    APInt divisor;
    if (matchPattern(y, m_ConstantInt(&divisor)) && !divisor.isZero())
      return arith::FloorDivSIOp::create(b, loc, x, y);
    // By 0 the quotient is 0; no bad operand stops a computation.
    Value zero = constant(y, 0);
    Value bad = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, y, zero);
    Value quotient = arith::FloorDivSIOp::create(b, loc, x, select(bad, constant(y, 1), y));
    return select(bad, zero, quotient);
  }
  Value mod(Value x, Value y) const {
    Value rest = arith::SubIOp::create(b, loc, x, arith::MulIOp::create(b, loc, floorDiv(x, y), y));
    APInt divisor;
    if (matchPattern(y, m_ConstantInt(&divisor)) && !divisor.isZero())
      return rest;
    Value zero = constant(y, 0);
    return select(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, y, zero), zero, rest);
  }
  /// A whole number as an int: saturated at 32 bits, 0 for NaN.
  Value toInt(Value x) const {
    Type type = b.getI32Type();
    if (auto tile = dyn_cast<RankedTensorType>(x.getType()))
      type = tile.clone(type);
    // The greatest f32 below 2^31; beyond, the conversion is undefined.
    Value most = constant(x, 2147483520.0), least = constant(x, -2147483648.0);
    Value within = arith::MaxNumFOp::create(b, loc, arith::MinNumFOp::create(b, loc, x, most), least);
    Value whole = arith::FPToSIOp::create(b, loc, type, within);
    whole = select(greater(x, most), fovea::derivation::emitConstant(b, loc, type, 2147483647), whole);
    return select(equal(x, x), whole, fovea::derivation::emitConstant(b, loc, type, 0));
  }
  static std::optional<double> constantOf(Value x) {
    Attribute value;
    if (!matchPattern(x, m_Constant(&value)))
      return std::nullopt;
    if (auto tile = dyn_cast<DenseElementsAttr>(value); tile && tile.isSplat())
      value = tile.getSplatValue<Attribute>();
    auto number = dyn_cast<FloatAttr>(value);
    return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
  }
  Value pow(Value x, Value y) const {
    std::optional<double> base = constantOf(x), exponent = constantOf(y);
    if (base == 2)
      return math::Exp2Op::create(b, loc, y);
    auto tile = dyn_cast<RankedTensorType>(y.getType());
    if (base && *base > 0 && std::isfinite(*base) && tile && tile.getRank() == 2) // else there is time for all digits
      return math::Exp2Op::create(b, loc, mul(y, constant(y, std::log2(*base))));
    if (exponent == 2)
      return mul(x, x);
    if (exponent == 3)
      return mul(mul(x, x), x);
    if (exponent == 4)
      return mul(mul(x, x), mul(x, x));
    if (exponent == 1)
      return x;
    if (exponent == 0.5)
      return math::SqrtOp::create(b, loc, x);
    if (exponent == -0.5)
      return math::RsqrtOp::create(b, loc, x);
    if (exponent == -1)
      return div(constant(x, 1), x);
    return math::PowFOp::create(b, loc, x, y);
  }
};

} // namespace

Value derivation::emitPointwise(OpBuilder &b, Location loc, Operation *op, ArrayRef<Value> x) {
  Emitter e{b, loc};
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  return TypeSwitch<Operation *, Value>(op)
      .Case<attn::NegOp>([&](auto) -> Value {
        if (e.isReal(x[0]))
          return e.neg(x[0]);
        return arith::SubIOp::create(b, loc, e.constant(x[0], 0), x[0]);
      })
      .Case<attn::AbsOp>([&](auto) -> Value {
        if (e.isReal(x[0]))
          return e.abs(x[0]);
        Value negative = arith::SubIOp::create(b, loc, e.constant(x[0], 0), x[0]);
        return arith::MaxSIOp::create(b, loc, x[0], negative);
      })
      .Case<attn::SignOp>([&](auto) -> Value {
        Value zero = e.constant(x[0], 0);
        Value below = e.compare(x[0], zero, F::OLT, I::slt), above = e.compare(x[0], zero, F::OGT, I::sgt);
        return e.select(above, e.constant(x[0], 1), e.select(below, e.constant(x[0], -1), x[0])); // NaN stays
      })
      .Case<attn::ExpOp>([&](auto) { return e.exp(x[0]); })
      .Case<attn::Exp2Op>([&](auto) -> Value { return math::Exp2Op::create(b, loc, x[0]); })
      .Case<attn::Expm1Op>([&](auto) -> Value { return math::ExpM1Op::create(b, loc, x[0]); })
      .Case<attn::LogOp>([&](auto) -> Value { return math::LogOp::create(b, loc, x[0]); })
      .Case<attn::Log2Op>([&](auto) -> Value { return math::Log2Op::create(b, loc, x[0]); })
      .Case<attn::Log1pOp>([&](auto) { return e.log1p(x[0]); })
      .Case<attn::SqrtOp>([&](auto) -> Value { return math::SqrtOp::create(b, loc, x[0]); })
      .Case<attn::RsqrtOp>([&](auto) -> Value { return math::RsqrtOp::create(b, loc, x[0]); })
      .Case<attn::SinOp>([&](auto) -> Value { return math::SinOp::create(b, loc, x[0]); })
      .Case<attn::CosOp>([&](auto) -> Value { return math::CosOp::create(b, loc, x[0]); })
      .Case<attn::TanhOp>([&](auto) -> Value { return math::TanhOp::create(b, loc, x[0]); })
      .Case<attn::SigmoidOp>([&](auto) { return e.sigmoid(x[0]); })
      .Case<attn::SiluOp>([&](auto) {
        Value y = e.atLeast(x[0], -150); // -inf * 0 would be NaN; below -104 the value is 0 in f32
        return e.mul(y, e.sigmoid(y));
      })
      .Case<attn::SoftplusOp>([&](auto) { return e.softplus(x[0]); })
      .Case<attn::LogSigmoidOp>([&](auto) { return e.neg(e.softplus(e.neg(x[0]))); })
      .Case<attn::ReluOp>(
          [&](auto) -> Value { return e.either<arith::MaximumFOp, arith::MaxSIOp>(x[0], e.constant(x[0], 0)); })
      .Case<attn::EluOp>([&](auto) -> Value {
        return e.select(e.greater(x[0], e.constant(x[0], 0)), x[0], math::ExpM1Op::create(b, loc, x[0]));
      })
      .Case<attn::GeluOp>([&](auto) {
        Value y = e.atLeast(x[0], -20); // below, the value is 0 in f32
        Value erf = math::ErfOp::create(b, loc, e.mul(y, e.constant(y, 1 / std::numbers::sqrt2)));
        return e.mul(e.mul(y, e.constant(y, 0.5)), e.add(e.constant(y, 1), erf));
      })
      .Case<attn::FloorOp>([&](auto) { return e.toInt(math::FloorOp::create(b, loc, x[0])); })
      .Case<attn::RoundOp>([&](auto) { return e.toInt(math::RoundEvenOp::create(b, loc, x[0])); })
      .Case<attn::NotOp>([&](auto) -> Value { return arith::XOrIOp::create(b, loc, x[0], e.constant(x[0], 1)); })
      .Case<attn::ToRealOp>([&](auto) -> Value {
        Type type = b.getF32Type();
        if (auto tile = dyn_cast<RankedTensorType>(x[0].getType()))
          type = tile.clone(type);
        if (getElementTypeOrSelf(x[0]).isInteger(1))
          return e.select(x[0], emitConstant(b, loc, type, 1), emitConstant(b, loc, type, 0));
        return arith::SIToFPOp::create(b, loc, type, x[0]);
      })
      .Case<attn::AddOp>([&](auto) { return e.either<arith::AddFOp, arith::AddIOp>(x[0], x[1]); })
      .Case<attn::SubOp>([&](auto) { return e.either<arith::SubFOp, arith::SubIOp>(x[0], x[1]); })
      .Case<attn::MulOp>([&](auto) { return e.either<arith::MulFOp, arith::MulIOp>(x[0], x[1]); })
      .Case<attn::DivOp>([&](auto) { return e.div(x[0], x[1]); })
      .Case<attn::FloorDivOp>([&](auto) { return e.floorDiv(x[0], x[1]); })
      .Case<attn::ModOp>([&](auto) { return e.mod(x[0], x[1]); })
      .Case<attn::PowOp>([&](auto) { return e.pow(x[0], x[1]); })
      .Case<attn::MinOp>([&](auto) { return e.either<arith::MinimumFOp, arith::MinSIOp>(x[0], x[1]); })
      .Case<attn::MaxOp>([&](auto) { return e.either<arith::MaximumFOp, arith::MaxSIOp>(x[0], x[1]); })
      .Case<attn::LogAddExpOp>([&](auto) {
        Value greatest = arith::MaximumFOp::create(b, loc, x[0], x[1]);
        Value sum = e.add(greatest, e.log1p(e.exp(e.neg(e.abs(e.sub(x[0], x[1]))))));
        // Two infinities have no difference.
        Value same = e.add(x[0], e.constant(x[0], std::numbers::ln2));
        return e.select(e.equal(x[0], x[1]), same, sum);
      })
      .Case<attn::AndOp>([&](auto) -> Value { return arith::AndIOp::create(b, loc, x[0], x[1]); })
      .Case<attn::OrOp>([&](auto) -> Value { return arith::OrIOp::create(b, loc, x[0], x[1]); })
      .Case<attn::EqOp>([&](auto) { return e.compare(x[0], x[1], F::OEQ, I::eq); })
      .Case<attn::NeOp>([&](auto) { return e.compare(x[0], x[1], F::UNE, I::ne); })
      .Case<attn::LtOp>([&](auto) { return e.compare(x[0], x[1], F::OLT, I::slt); })
      .Case<attn::LeOp>([&](auto) { return e.compare(x[0], x[1], F::OLE, I::sle); })
      .Case<attn::GtOp>([&](auto) { return e.compare(x[0], x[1], F::OGT, I::sgt); })
      .Case<attn::GeOp>([&](auto) { return e.compare(x[0], x[1], F::OGE, I::sge); })
      .Case<attn::SelectOp>([&](auto) { return e.select(x[0], x[1], x[2]); })
      .Default([](Operation *) { return Value(); });
}
