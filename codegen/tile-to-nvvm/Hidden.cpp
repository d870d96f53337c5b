// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products whose zero weights hide NaN and infinity. Tensor cores multiply
// zeros by what they meet, so the product runs over the finite elements, and two more products with elements -1, 0 and
// 1 tell which sums a visible infinity or NaN reaches.
#include "codegen/tile-to-nvvm/Emitter.h"

#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

namespace {
/// Bits of the elements in a register: one f32, or a pair of 16-bit floats.
struct Bits {
  uint32_t sign, exponent, exponentUnit, mantissa, one;
  int64_t mantissaBits;
  bool pair;

  static Bits of(Type element) {
    if (element.isBF16())
      return {0x80008000, 0x7f807f80, 0x00800080, 0x007f007f, 0x3f803f80, 7, true};
    if (element.isF16())
      return {0x80008000, 0x7c007c00, 0x04000400, 0x03ff03ff, 0x3c003c00, 10, true};
    return {0x80000000, 0x7f800000, 0x00800000, 0x007fffff, 0x3f800000, 23, false};
  }
};
} // namespace

bool Emitter::isReadWithin(tile::SmemReadOp op) {
  if (!op.getTile().hasOneUse() || op.getSmem().getType().getElementType().getIntOrFloatBitWidth() != 16)
    return false;
  OpOperand &use = *op.getTile().use_begin();
  auto dot = dyn_cast<tile::DotOp>(use.getOwner());
  return dot && dot.getHides() && use.getOperandNumber() == 1 && dot.getContract()[1] == 0;
}

Value Emitter::someNonfinite(Type element, ArrayRef<SmallVector<Value>> fragments) {
  Bits bits = Bits::of(element);
  // An exponent of ones overflows into the sign.
  Value some;
  for (const SmallVector<Value> &fragment : fragments)
    for (Value x : fragment) {
      Value exponent = LLVM::AndOp::create(b, loc, bitcast(x, b.getI32Type()), i32(int32_t(bits.exponent)));
      Value carried = add(exponent, i32(int32_t(bits.exponentUnit)));
      some = some ? LLVM::OrOp::create(b, loc, some, carried).getResult() : carried;
    }
  Value mine = icmp(LLVM::ICmpPredicate::ne, LLVM::AndOp::create(b, loc, some, i32(int32_t(bits.sign))), i32(0));
  return NVVM::VoteSyncOp::create(b, loc, b.getI1Type(), i32(-1), mine, NVVM::VoteSyncKind::any);
}

void Emitter::emitHidingDot(Type element, MultiplyBlock multiply, ArrayRef<SmallVector<Value>> left,
                            ArrayRef<SmallVector<Value>> right, SmallVectorImpl<Value> &sums) {
  Bits bits = Bits::of(element);
  auto constant = [&](uint32_t v) { return i32(int32_t(v)); };
  auto both = [&](Value x, Value y) { return LLVM::AndOp::create(b, loc, x, y).getResult(); };
  auto either = [&](Value x, Value y) { return LLVM::OrOp::create(b, loc, x, y).getResult(); };
  auto inverse = [&](Value x) { return LLVM::XOrOp::create(b, loc, x, i32(-1)).getResult(); };
  // Ones all over the elements whose bit `from` is set.
  auto spread = [&](Value x, uint32_t from, int64_t shift) {
    Value unit = LLVM::LShrOp::create(b, loc, both(x, constant(from)), i32(shift));
    return bits.pair ? mul(unit, i32(0xffff)) : sub(i32(0), unit);
  };
  int64_t signBit = bits.pair ? 15 : 31;
  Type i32Type = b.getI32Type();
  auto step = [&](SmallVectorImpl<Value> &into, ArrayRef<Value> x, ArrayRef<Value> y) {
    Value d = multiply(x, y, into);
    for (size_t i = 0; i < into.size(); ++i)
      into[i] = LLVM::ExtractValueOp::create(b, loc, d, i);
  };
  auto isBad = [&](Value x) {
    return spread(add(both(x, constant(bits.exponent)), constant(bits.exponentUnit)), bits.sign, signBit);
  };
  Value zero = LLVM::ConstantOp::create(b, loc, b.getF32Type(), b.getF32FloatAttr(0)), one = constant(bits.one);
  SmallVector<Value> signed_(sums.size(), zero), count(sums.size(), zero);
  for (auto [k, fragment] : llvm::enumerate(right)) {
    SmallVector<Value> signs, positive, finite, infinite, any;
    for (Value weight : left[k]) {
      Value x = bitcast(weight, i32Type), magnitude = both(x, constant(~bits.sign));
      Value isSome = spread(add(magnitude, constant(~bits.sign)), bits.sign, signBit);
      Value sign = both(either(one, both(x, constant(bits.sign))), isSome);
      signs.push_back(bitcast(sign, weight.getType()));
      positive.push_back(bitcast(both(sign, constant(~bits.sign)), weight.getType()));
    }
    for (Value value : fragment) {
      Value x = bitcast(value, i32Type), bad = isBad(x);
      Value mantissa = add(both(x, constant(bits.mantissa)), constant(bits.mantissa));
      uint32_t carry = bits.pair ? (0x00010001u << bits.mantissaBits) : (1u << bits.mantissaBits);
      Value isInfinite = both(bad, inverse(spread(mantissa, carry, bits.mantissaBits)));
      finite.push_back(bitcast(both(x, inverse(bad)), value.getType()));
      infinite.push_back(bitcast(both(either(one, both(x, constant(bits.sign))), isInfinite), value.getType()));
      any.push_back(bitcast(both(one, bad), value.getType()));
    }
    step(sums, left[k], finite);
    step(signed_, signs, infinite);
    step(count, positive, any);
  }
  auto number = [&](double x) {
    return LLVM::ConstantOp::create(b, loc, b.getF32Type(), b.getF32FloatAttr(x)).getResult();
  };
  double infinity = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < sums.size(); ++i) {
    // All visible infinities of one sign: that infinity. Else some is NaN, or two cancel.
    auto equal = [&](Value x, Value y) {
      return LLVM::FCmpOp::create(b, loc, LLVM::FCmpPredicate::oeq, x, y).getResult();
    };
    Value up = equal(signed_[i], count[i]), down = equal(LLVM::FNegOp::create(b, loc, signed_[i]), count[i]);
    Value reached =
        select(up, number(infinity), select(down, number(-infinity), number(std::numeric_limits<double>::quiet_NaN())));
    Value more = select(equal(count[i], zero), zero, reached);
    sums[i] = LLVM::FAddOp::create(b, loc, sums[i], more);
  }
}
