// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-expand-math: see Passes.td.
#include "passes/tile/Passes.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace fovea::tile {
#define GEN_PASS_DEF_TILEEXPANDMATHPASS
#include "passes/tile/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;

namespace {

/// Arithmetic on one type, a scalar or a tile.
struct Math {
  OpBuilder &b;
  Location loc;
  Type type;
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;

  Value attribute(Attribute element) const {
    if (auto tile = dyn_cast<RankedTensorType>(type))
      return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(tile, element));
    return arith::ConstantOp::create(b, loc, cast<TypedAttr>(element));
  }
  Value c(double value) const { return attribute(b.getFloatAttr(getElementTypeOrSelf(type), value)); }
  Value i(int64_t value) const { return attribute(b.getIntegerAttr(getElementTypeOrSelf(type), value)); }
  Value add(Value x, Value y) const { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) const { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) const { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) const { return arith::DivFOp::create(b, loc, x, y); }
  Value neg(Value x) const { return arith::NegFOp::create(b, loc, x); }
  Value abs(Value x) const { return math::AbsFOp::create(b, loc, x); }
  Value floor(Value x) const { return math::FloorOp::create(b, loc, x); }
  Value fma(Value x, Value y, Value z) const { return math::FmaOp::create(b, loc, x, y, z); }
  Value exp2(Value x) const { return math::Exp2Op::create(b, loc, x); }
  Value log2(Value x) const { return math::Log2Op::create(b, loc, x); }
  Value is(F predicate, Value x, Value y) const { return arith::CmpFOp::create(b, loc, predicate, x, y); }
  Value both(Value x, Value y) const { return arith::AndIOp::create(b, loc, x, y); }
  Value select(Value s, Value x, Value y) const { return arith::SelectOp::create(b, loc, s, x, y); }

  /// c[0] + x (c[1] + x (c[2] + ..)).
  Value polynomial(Value x, ArrayRef<double> coefficients) const {
    Value result = c(coefficients.back());
    for (double coefficient : llvm::reverse(coefficients.drop_back()))
      result = fma(result, x, c(coefficient));
    return result;
  }

  /// x * factor, in one multiplication and one rounding where x is itself a multiple of something.
  Value scaled(Value x, double factor) const {
    if (auto product = x.getDefiningOp<arith::MulFOp>(); product && product->hasOneUse())
      for (auto [value, other] :
           {std::pair(product.getLhs(), product.getRhs()), std::pair(product.getRhs(), product.getLhs())}) {
        Attribute constant;
        if (!matchPattern(value, m_Constant(&constant)))
          continue;
        if (auto tile = dyn_cast<DenseElementsAttr>(constant); tile && tile.isSplat())
          constant = tile.getSplatValue<Attribute>();
        auto number = dyn_cast<FloatAttr>(constant);
        double both = number ? number.getValueAsDouble() * factor : 0;
        if (std::fabs(both) > 0x1p-120 && std::fabs(both) < 0x1p120)
          return mul(other, c(both));
      }
    return mul(x, c(factor));
  }

  Value exp(Value x) const { return exp2(scaled(x, std::numbers::log2e)); }
  Value log(Value x) const { return mul(log2(x), c(std::numbers::ln2)); }

  // Near 0 the series of (e^x - 1) / x, whose first omitted term is below u for |x| < 0.35.
  Value expm1(Value x) const {
    Value series = mul(x, polynomial(x, {1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040}));
    return select(is(F::OLT, abs(x), c(0.35)), series, sub(exp(x), c(1)));
  }

  // With s = x / (2 + x), log(1 + x) = 2 (s + s^3 / 3 + s^5 / 5 + ..), and |s| <= 1/3 on [-1/2, 1].
  Value log1p(Value x) const {
    Value s = div(x, add(x, c(2)));
    Value s2 = mul(s, s);
    Value series = mul(mul(s, c(2)), polynomial(s2, {1, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13}));
    Value near = both(is(F::OGE, x, c(-0.5)), is(F::OLE, x, c(1)));
    return select(near, series, log(add(x, c(1))));
  }

  // 1 - 2 / (1 + e^2x): saturates on both sides without overflow to NaN.
  Value tanh(Value x) const {
    Value e = exp2(scaled(x, 2 * std::numbers::log2e));
    return sub(c(1), div(c(2), add(e, c(1))));
  }

  // Abramowitz and Stegun 7.1.26.
  Value erf(Value x) const {
    Value a = abs(x);
    Value t = div(c(1), fma(a, c(0.3275911), c(1)));
    Value sum = mul(t, polynomial(t, {0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429}));
    Value y = sub(c(1), mul(sum, exp(neg(mul(a, a)))));
    return select(is(F::OLT, x, c(0)), neg(y), y);
  }

  Value pow(Value x, Value y) const {
    // Of few elements only: it takes some thirty operations.
    auto tile = dyn_cast<RankedTensorType>(type);
    Attribute constant;
    if ((!tile || tile.getRank() < 2) && matchPattern(x, m_Constant(&constant))) {
      if (auto dense = dyn_cast<DenseElementsAttr>(constant); dense && dense.isSplat())
        constant = dense.getSplatValue<Attribute>();
      if (auto base = dyn_cast<FloatAttr>(constant); base && base.getValueAsDouble() > 0 && base.getValue().isFinite())
        return powerOf(base.getValueAsDouble(), y);
    }
    Value zero = c(0), one = c(1);
    Value magnitude = exp2(mul(y, log2(abs(x))));
    // A negative base has a power only for integers: odd ones keep the sign.
    Value integer = is(F::OEQ, floor(y), y);
    Value half = mul(y, c(0.5));
    Value even = is(F::OEQ, floor(half), half);
    Value negative =
        select(integer, select(even, magnitude, neg(magnitude)), c(std::numeric_limits<double>::quiet_NaN()));
    Value result = select(is(F::OLT, x, zero), negative, magnitude);
    result = select(is(F::OEQ, y, zero), one, result); // 0 * log 0
    return select(is(F::OEQ, x, one), one, result);
  }

  /// Sums of f32 constants that are a number to more than 48 bits.
  static std::pair<double, double> split(double number) {
    double high = float(number);
    return {high, float(number - high)};
  }

  /// base^y for a constant base > 0, to about an ulp of the result. With y log2(base) = n + f, n whole and |f| <= 1/2,
  /// 2^f is a polynomial and 2^n the bits of its exponent. The product is kept in two parts: at 2^13 its rounding
  /// alone would cost ten bits of f.
  Value powerOf(double base, Value y) const {
    double log = std::log2(base);
    auto [high, low] = split(log);
    if (std::fabs(high) < 0x1p-100) // 1
      return select(is(F::UNO, y, y), y, c(1));
    // Beyond these the result is infinite or 0, and y of infinity would give NaN on the way.
    double above = 250 / std::fabs(log);
    Value bounded = neg(arith::MaximumFOp::create(b, loc, neg(y), c(-above)));
    bounded = arith::MaximumFOp::create(b, loc, bounded, c(-above));
    Value product = mul(bounded, c(high));
    Value rest = fma(bounded, c(low), fma(bounded, c(high), neg(product)));
    Value n = math::RoundEvenOp::create(b, loc, product);
    Value f = add(sub(product, n), rest);
    SmallVector<double> series{1};
    for (int k = 1; k <= 8; ++k) // the ninth term is below 2^-32
      series.push_back(series.back() * std::numbers::ln2 / k);
    Value result = polynomial(f, series);
    // In two factors, since each must be a normal number.
    Value half = floor(mul(n, c(0.5)));
    for (Value part : {half, sub(n, half)})
      result = mul(result, exponent(part));
    return result;
  }

  /// 2^n for a whole n in [-126, 127].
  Value exponent(Value n) const {
    Type integers = b.getI32Type();
    if (auto tile = dyn_cast<RankedTensorType>(type))
      integers = tile.clone(integers);
    Math i32{b, loc, integers};
    Value biased = arith::AddIOp::create(b, loc, arith::FPToSIOp::create(b, loc, integers, n), i32.i(127));
    return arith::BitcastOp::create(b, loc, type, arith::ShLIOp::create(b, loc, biased, i32.i(23)));
  }

  /// sin(x), or cos(x). x = k pi/2 + r with k the nearest whole number; pi/2 is three constants, the first two steps
  /// exact in fma (Cody and Waite). Within about 2^-23 of the true value for |x| up to 10^6, where k and k pi/2 have
  /// room in f32; from there on r is off by up to |x| 2^-24, and beyond 10^7 the result only keeps within [-1.1, 1.1].
  /// Of a product, such as position and frequency, the reduced argument gets back what rounding the product lost: at
  /// 4,096 turns that is 2^-13, more than all else together.
  Value sinCos(Value x, bool cosine) const {
    Value k = math::RoundEvenOp::create(b, loc, mul(x, c(2 * std::numbers::inv_pi)));
    double first = 0x1.921fb4p+0, second = 0x1.4442d0p-24, third = 0x1.84698ap-48;
    Value r = fma(k, c(-third), fma(k, c(-second), fma(k, c(-first), x)));
    if (auto product = x.getDefiningOp<arith::MulFOp>())
      r = add(r, fma(product.getLhs(), product.getRhs(), neg(x)));
    r = arith::MaximumFOp::create(b, loc, r, c(-1.6));
    r = neg(arith::MaximumFOp::create(b, loc, neg(r), c(-1.6)));
    // Taylor's series: at pi/4 the first terms left out are below 2^-28; they serve up to 1.2 too.
    Value r2 = mul(r, r);
    Value odd = polynomial(r2, {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880});
    odd = fma(mul(odd, r2), r, r);
    Value even = polynomial(r2, {1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800});
    // Quarter turns: which series, and its sign.
    auto isOdd = [&](Value whole) {
      Value half = mul(whole, c(0.5));
      return is(F::UNE, floor(half), half);
    };
    Value swapped = isOdd(k);
    Value turns = floor(mul(cosine ? add(k, c(1)) : k, c(0.5)));
    Value value = cosine ? select(swapped, odd, even) : select(swapped, even, odd);
    return select(isOdd(turns), neg(value), value);
  }

  Value floorDiv(Value x, Value y) const {
    auto compare = [&](I predicate, Value p, Value q) -> Value {
      return arith::CmpIOp::create(b, loc, predicate, p, q);
    };
    Value zero = i(0);
    Value quotient = arith::DivSIOp::create(b, loc, x, y), rest = arith::RemSIOp::create(b, loc, x, y);
    Value below = compare(I::slt, rest, zero), wrong;
    APInt divisor;
    if (matchPattern(y, m_ConstantInt(&divisor)) && divisor.isStrictlyPositive()) {
      wrong = below;
    } else {
      Value differ = arith::XOrIOp::create(b, loc, below, compare(I::slt, y, zero));
      wrong = both(compare(I::ne, rest, zero), differ);
    }
    return select(wrong, arith::SubIOp::create(b, loc, quotient, i(1)), quotient);
  }
};

Value expand(Operation *op) {
  OpBuilder builder(op);
  if (op->getNumResults() != 1)
    return {};
  Math m{builder, op->getLoc(), op->getResult(0).getType()};
  auto x = [&](unsigned n) { return op->getOperand(n); };
  if (getElementTypeOrSelf(m.type).isF32())
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case<math::ExpOp>([&](auto) { return m.exp(x(0)); })
        .Case<math::ExpM1Op>([&](auto) { return m.expm1(x(0)); })
        .Case<math::LogOp>([&](auto) { return m.log(x(0)); })
        .Case<math::Log1pOp>([&](auto) { return m.log1p(x(0)); })
        .Case<math::SinOp>([&](auto) { return m.sinCos(x(0), /*cosine=*/false); })
        .Case<math::CosOp>([&](auto) { return m.sinCos(x(0), /*cosine=*/true); })
        .Case<math::TanhOp>([&](auto) { return m.tanh(x(0)); })
        .Case<math::ErfOp>([&](auto) { return m.erf(x(0)); })
        .Case<math::PowFOp>([&](auto) { return m.pow(x(0), x(1)); })
        .Case<arith::MinimumFOp>([&](auto) -> Value {
          return m.neg(arith::MaximumFOp::create(builder, op->getLoc(), m.neg(x(0)), m.neg(x(1))));
        })
        .Default([](Operation *) { return Value(); });
  if (isa<arith::FloorDivSIOp>(op))
    return m.floorDiv(x(0), x(1));
  return {};
}

struct ExpandMath : fovea::tile::impl::TileExpandMathPassBase<ExpandMath> {
  using TileExpandMathPassBase::TileExpandMathPassBase;

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      if (Value value = expand(op)) {
        op->getResult(0).replaceAllUsesWith(value);
        op->erase();
      }
  }
};

} // namespace
