// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Folding: constants, identities of one operation, static sizes. Exact in real arithmetic.
#include "dialect/attn/Detail.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace fovea::attn;

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

OpFoldResult SizeOp::fold(FoldAdaptor) {
  auto attention = dyn_cast_or_null<AttentionOp>((*this)->getParentOp());
  if (!attention)
    return {};
  std::optional<int64_t> size = attention.getAxes().getStaticSize(getAxisAttr());
  return size ? OpFoldResult(Builder(getContext()).getI64IntegerAttr(*size)) : OpFoldResult();
}

/// A part of a concatenation is what was put there, where it has all axes.
OpFoldResult SliceOp::fold(FoldAdaptor) {
  auto concat = getOperand().getDefiningOp<ConcatOp>();
  if (!concat || concat.getAlongAttr() != getFromAttr())
    return {};
  SmallVector<StringAttr> parts = toAxes(concat.getParts()), after = toAxes(getAfter());
  size_t n = after.size();
  if (n >= parts.size() || parts[n] != getToAttr() || ArrayRef(parts).take_front(n) != ArrayRef(after))
    return {};
  Value part = concat.getOperands()[n];
  return part.getType() == getType() ? OpFoldResult(part) : OpFoldResult();
}

/// The number in a constant's attribute; bools are 0 and 1.
static std::optional<double> toNumber(Attribute attribute) {
  if (auto number = dyn_cast_or_null<FloatAttr>(attribute))
    return number.getValueAsDouble();
  if (auto truth = dyn_cast_or_null<BoolAttr>(attribute))
    return truth.getValue();
  if (auto number = dyn_cast_or_null<IntegerAttr>(attribute))
    return static_cast<double>(number.getInt());
  return std::nullopt;
}

/// Ints beyond this are not exact as doubles.
static constexpr double kExactInt = 9007199254740992.0;

static OpFoldResult foldConstants(Operation *op, ArrayRef<Attribute> operands, double (*evaluate)(ArrayRef<double>)) {
  SmallVector<double, 3> values;
  for (Attribute operand : operands) {
    std::optional<double> value = toNumber(operand);
    if (!value || (isa<IntegerAttr>(operand) && std::fabs(*value) >= kExactInt))
      return {};
    values.push_back(*value);
  }
  // Left to whoever runs the program: the fold would hide it.
  if (isa<FloorDivOp, ModOp>(op) && values[1] == 0)
    return {};
  double result = evaluate(values);
  Builder builder(op->getContext());
  switch (cast<FieldType>(op->getResult(0).getType()).getKind()) {
  case Kind::Real:
    return std::isnan(result) ? OpFoldResult() : builder.getF64FloatAttr(result);
  case Kind::Int:
    return std::fabs(result) >= kExactInt ? OpFoldResult() : builder.getI64IntegerAttr(static_cast<int64_t>(result));
  case Kind::Bool:
    return builder.getBoolAttr(result != 0);
  }
  return {};
}

OpFoldResult fovea::attn::foldPointwise(Operation *op, ArrayRef<Attribute> operands,
                                        double (*evaluate)(ArrayRef<double>)) {
  if (OpFoldResult result = foldConstants(op, operands, evaluate))
    return result;

  Type type = op->getResult(0).getType();
  // An identity holds where it changes no axes either: a constant has none, a general operand may.
  auto keep = [&](Value value) { return value.getType() == type ? OpFoldResult(value) : OpFoldResult(); };
  auto is = [&](unsigned n, double value) { return toNumber(operands[n]) == value; };
  auto isTruth = [&](unsigned n, bool value) {
    auto truth = dyn_cast_or_null<BoolAttr>(operands[n]);
    return truth && truth.getValue() == value;
  };
  auto sameOperands = [&] { return op->getOperand(0) == op->getOperand(1) ? keep(op->getOperand(0)) : OpFoldResult(); };
  auto isInfinite = [&](unsigned n, bool positive) {
    std::optional<double> value = toNumber(operands[n]);
    return value && std::isinf(*value) && (*value > 0) == positive;
  };

  return TypeSwitch<Operation *, OpFoldResult>(op)
      .Case<NegOp, NotOp>([&](auto self) -> OpFoldResult {
        auto inner = self.getOperand().template getDefiningOp<decltype(self)>();
        return inner ? keep(inner.getOperand()) : OpFoldResult();
      })
      .Case<AddOp>([&](auto) { return is(1, 0) ? keep(op->getOperand(0)) : OpFoldResult(); })
      .Case<SubOp>([&](auto) { return is(1, 0) ? keep(op->getOperand(0)) : OpFoldResult(); })
      .Case<MulOp, DivOp, PowOp>([&](auto) { return is(1, 1) ? keep(op->getOperand(0)) : OpFoldResult(); })
      .Case<FloorDivOp>([&](auto) { return is(1, 1) ? keep(op->getOperand(0)) : OpFoldResult(); })
      .Case<MinOp>([&](auto) { return isInfinite(1, true) ? keep(op->getOperand(0)) : sameOperands(); })
      .Case<MaxOp>([&](auto) { return isInfinite(1, false) ? keep(op->getOperand(0)) : sameOperands(); })
      .Case<LogAddExpOp>([&](auto) { return isInfinite(1, false) ? keep(op->getOperand(0)) : OpFoldResult(); })
      .Case<AndOp>([&](auto) { return isTruth(1, true) ? keep(op->getOperand(0)) : sameOperands(); })
      .Case<OrOp>([&](auto) { return isTruth(1, false) ? keep(op->getOperand(0)) : sameOperands(); })
      .Case<SelectOp>([&](SelectOp select) -> OpFoldResult {
        if (isTruth(0, true) || select.getLhs() == select.getRhs())
          return keep(select.getLhs());
        return isTruth(0, false) ? keep(select.getRhs()) : OpFoldResult();
      })
      .Default([](Operation *) { return OpFoldResult(); });
}
