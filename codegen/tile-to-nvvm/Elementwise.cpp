// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// arith and math, on scalars and on every register of a tile alike.
#include "codegen/tile-to-nvvm/Emitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

bool Emitter::isElementwise(Operation *op) {
  return isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) && op->getNumResults() == 1;
}

Value Emitter::callIntrinsic(StringRef name, Type result, ArrayRef<Value> operands) {
  return LLVM::CallIntrinsicOp::create(b, loc, result, b.getStringAttr(name), operands).getResult(0);
}

Value Emitter::exp2(Value x) {
  // Results below 2^-126 become 0; everything the caller adds them to is at least 2^-24 of the row's largest.
  return callIntrinsic("llvm.nvvm.ex2.approx.ftz.f32", b.getF32Type(), {x});
}

LogicalResult Emitter::emitConstant(arith::ConstantOp op) {
  auto make = [&](Attribute value, Type type) -> Value {
    if (auto integer = dyn_cast<IntegerAttr>(value))
      return LLVM::ConstantOp::create(b, loc, llvmType(type),
                                      b.getIntegerAttr(llvmType(type), integer.getValue().getSExtValue()));
    return LLVM::ConstantOp::create(b, loc, type, value);
  };
  auto tensor = dyn_cast<RankedTensorType>(op.getType());
  if (!tensor) {
    scalars[op] = make(op.getValue(), op.getType());
    return success();
  }
  auto dense = dyn_cast<SplatElementsAttr>(op.getValue());
  if (!dense)
    return op.emitOpError("is a constant that is not a splat");
  if (!layout(op))
    return op.emitOpError("has no layout");
  Value one = make(dense.getSplatValue<Attribute>(), tensor.getElementType());
  tiles[op] = {SmallVector<Value>(layout(op)->registers(), one), false};
  return success();
}

LogicalResult Emitter::emitElementwise(Operation *op) {
  Value result = op->getResult(0);
  auto tensor = dyn_cast<RankedTensorType>(result.getType());
  if (!tensor) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(scalar(operand));
    FailureOr<Value> value = emitScalar(op, operands, llvmType(result.getType()));
    if (failed(value))
      return failure();
    scalars[result] = *value;
    return success();
  }
  const Layout *to = layout(result);
  if (!to)
    return op->emitOpError("has no layout");
  if (auto read = op->getOperand(0).getDefiningOp<tile::SmemReadOp>();
      read && isa<arith::ExtFOp>(op) && isReadByProducts(read))
    return success();
  int64_t count = to->registers();
  SmallVector<SmallVector<Value>> operands;
  for (Value operand : op->getOperands()) {
    if (!isa<RankedTensorType>(operand.getType())) {
      operands.push_back(SmallVector<Value>(count, scalar(operand)));
      continue;
    }
    if (!layout(operand) || *layout(operand) != *to)
      return op->emitOpError("mixes layouts");
    operands.push_back(elements(operand));
  }
  // Two f32 become one pair of 16-bit values in a single conversion.
  Type element = tensor.getElementType();
  if (isa<arith::TruncFOp>(op) && count % 2 == 0 && (element.isBF16() || element.isF16()) &&
      tensorType(op->getOperand(0)).getElementType().isF32()) {
    TileValue value{{}, true};
    StringRef name = element.isBF16() ? "llvm.nvvm.ff2bf16x2.rn" : "llvm.nvvm.ff2f16x2.rn";
    for (int64_t r = 0; r < count; r += 2)
      value.registers.push_back(bitcast(
          callIntrinsic(name, VectorType::get(2, element), {operands[0][r + 1], operands[0][r]}), b.getI32Type()));
    tiles[result] = value;
    return success();
  }
  TileValue value;
  for (int64_t r = 0; r < count; ++r) {
    SmallVector<Value> at;
    for (auto &registers : operands)
      at.push_back(registers[r]);
    FailureOr<Value> one = emitScalar(op, at, element);
    if (failed(one))
      return failure();
    value.registers.push_back(*one);
  }
  tiles[result] = value;
  return success();
}

static LLVM::ICmpPredicate predicateOf(arith::CmpIPredicate p) { return static_cast<LLVM::ICmpPredicate>(p); }

static LLVM::FCmpPredicate predicateOf(arith::CmpFPredicate p) {
  using A = arith::CmpFPredicate;
  using L = LLVM::FCmpPredicate;
  switch (p) {
  case A::AlwaysFalse:
    return L::_false;
  case A::OEQ:
    return L::oeq;
  case A::OGT:
    return L::ogt;
  case A::OGE:
    return L::oge;
  case A::OLT:
    return L::olt;
  case A::OLE:
    return L::ole;
  case A::ONE:
    return L::one;
  case A::ORD:
    return L::ord;
  case A::UEQ:
    return L::ueq;
  case A::UGT:
    return L::ugt;
  case A::UGE:
    return L::uge;
  case A::ULT:
    return L::ult;
  case A::ULE:
    return L::ule;
  case A::UNE:
    return L::une;
  case A::UNO:
    return L::uno;
  case A::AlwaysTrue:
    return L::_true;
  }
  return L::_false;
}

FailureOr<Value> Emitter::emitScalar(Operation *op, ArrayRef<Value> x, Type type) {
  using R = FailureOr<Value>;
  Type f32 = b.getF32Type();
  auto binary = [&]<typename Op>() -> R { return Op::create(b, loc, x[0], x[1]).getResult(); };
  // Approximations exist for f32 only.
  auto approximate = [&](StringRef name) -> R {
    if (type != f32)
      return op->emitOpError("is computed in f32 only"), failure();
    return callIntrinsic(name, type, x);
  };
  return TypeSwitch<Operation *, R>(op)
      .Case<arith::AddFOp>([&](auto) { return binary.template operator()<LLVM::FAddOp>(); })
      .Case<arith::SubFOp>([&](auto) { return binary.template operator()<LLVM::FSubOp>(); })
      .Case<arith::MulFOp>([&](auto) { return binary.template operator()<LLVM::FMulOp>(); })
      .Case<arith::DivFOp>([&](auto) { return approximate("llvm.nvvm.div.full"); })
      .Case<arith::NegFOp>([&](auto) -> R { return LLVM::FNegOp::create(b, loc, x[0]).getResult(); })
      .Case<arith::MaxNumFOp>([&](auto) -> R { return LLVM::MaxNumOp::create(b, loc, x[0], x[1]).getResult(); })
      .Case<arith::MinNumFOp>([&](auto) -> R { return LLVM::MinNumOp::create(b, loc, x[0], x[1]).getResult(); })
      .Case<arith::MaximumFOp>([&](auto) -> R { return LLVM::MaximumOp::create(b, loc, x[0], x[1]).getResult(); })
      .Case<arith::MinimumFOp>([&](auto) -> R { return LLVM::MinimumOp::create(b, loc, x[0], x[1]).getResult(); })
      .Case<arith::AddIOp>([&](auto) { return binary.template operator()<LLVM::AddOp>(); })
      .Case<arith::SubIOp>([&](auto) { return binary.template operator()<LLVM::SubOp>(); })
      .Case<arith::MulIOp>([&](auto) { return binary.template operator()<LLVM::MulOp>(); })
      .Case<arith::AndIOp>([&](auto) { return binary.template operator()<LLVM::AndOp>(); })
      .Case<arith::OrIOp>([&](auto) { return binary.template operator()<LLVM::OrOp>(); })
      .Case<arith::XOrIOp>([&](auto) { return binary.template operator()<LLVM::XOrOp>(); })
      .Case<arith::DivSIOp>([&](auto) { return binary.template operator()<LLVM::SDivOp>(); })
      .Case<arith::DivUIOp>([&](auto) { return binary.template operator()<LLVM::UDivOp>(); })
      .Case<arith::RemSIOp>([&](auto) { return binary.template operator()<LLVM::SRemOp>(); })
      .Case<arith::RemUIOp>([&](auto) { return binary.template operator()<LLVM::URemOp>(); })
      .Case<arith::ShLIOp>([&](auto) { return binary.template operator()<LLVM::ShlOp>(); })
      .Case<arith::ShRSIOp>([&](auto) { return binary.template operator()<LLVM::AShrOp>(); })
      .Case<arith::ShRUIOp>([&](auto) { return binary.template operator()<LLVM::LShrOp>(); })
      .Case<arith::MaxSIOp>([&](auto) { return binary.template operator()<LLVM::SMaxOp>(); })
      .Case<arith::MinSIOp>([&](auto) { return binary.template operator()<LLVM::SMinOp>(); })
      .Case<arith::MaxUIOp>([&](auto) { return binary.template operator()<LLVM::UMaxOp>(); })
      .Case<arith::MinUIOp>([&](auto) { return binary.template operator()<LLVM::UMinOp>(); })
      .Case<arith::CeilDivUIOp>([&](auto) -> R {
        // (a + b - 1) / b would wrap near the top; sizes stay far below.
        return LLVM::UDivOp::create(b, loc, add(x[0], addConstant(x[1], -1)), x[1]).getResult();
      })
      .Case<arith::FloorDivSIOp, arith::CeilDivSIOp>([&](Operation *o) -> R {
        Value quotient = LLVM::SDivOp::create(b, loc, x[0], x[1]);
        Value rest = LLVM::SRemOp::create(b, loc, x[0], x[1]);
        Value zero = LLVM::ConstantOp::create(b, loc, type, b.getIntegerAttr(type, 0));
        Value one = LLVM::ConstantOp::create(b, loc, type, b.getIntegerAttr(type, 1));
        Value inexact = icmp(LLVM::ICmpPredicate::ne, rest, zero);
        Value differ = icmp(LLVM::ICmpPredicate::slt, LLVM::XOrOp::create(b, loc, x[0], x[1]), zero);
        if (isa<arith::FloorDivSIOp>(o))
          return select(LLVM::AndOp::create(b, loc, inexact, differ), sub(quotient, one), quotient);
        Value same = icmp(LLVM::ICmpPredicate::sge, LLVM::XOrOp::create(b, loc, x[0], x[1]), zero);
        return select(LLVM::AndOp::create(b, loc, inexact, same), add(quotient, one), quotient);
      })
      .Case<arith::CmpIOp>([&](auto o) -> R { return icmp(predicateOf(o.getPredicate()), x[0], x[1]); })
      .Case<arith::CmpFOp>([&](auto o) -> R {
        return LLVM::FCmpOp::create(b, loc, predicateOf(o.getPredicate()), x[0], x[1]).getResult();
      })
      .Case<arith::SelectOp>([&](auto) -> R { return select(x[0], x[1], x[2]); })
      .Case<arith::ExtFOp>([&](auto) -> R { return LLVM::FPExtOp::create(b, loc, type, x[0]).getResult(); })
      .Case<arith::TruncFOp>([&](auto) -> R { return LLVM::FPTruncOp::create(b, loc, type, x[0]).getResult(); })
      .Case<arith::SIToFPOp>([&](auto) -> R { return LLVM::SIToFPOp::create(b, loc, type, x[0]).getResult(); })
      .Case<arith::UIToFPOp>([&](auto) -> R { return LLVM::UIToFPOp::create(b, loc, type, x[0]).getResult(); })
      .Case<arith::FPToSIOp>([&](auto) -> R { return LLVM::FPToSIOp::create(b, loc, type, x[0]).getResult(); })
      .Case<arith::BitcastOp>([&](auto) -> R { return bitcast(x[0], type); })
      .Case<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp>(
          [&](Operation *o) -> R {
            unsigned from = x[0].getType().getIntOrFloatBitWidth(), to = type.getIntOrFloatBitWidth();
            if (from == to)
              return x[0];
            if (from > to)
              return LLVM::TruncOp::create(b, loc, type, x[0]).getResult();
            if (isa<arith::ExtUIOp, arith::IndexCastUIOp>(o))
              return LLVM::ZExtOp::create(b, loc, type, x[0]).getResult();
            return LLVM::SExtOp::create(b, loc, type, x[0]).getResult();
          })
      .Case<math::FmaOp>([&](auto) -> R { return LLVM::FMAOp::create(b, loc, x[0], x[1], x[2]).getResult(); })
      .Case<math::Exp2Op>([&](auto) -> R {
        if (type != f32)
          return op->emitOpError("is computed in f32 only"), failure();
        return exp2(x[0]);
      })
      .Case<math::Log2Op>([&](auto) { return approximate("llvm.nvvm.lg2.approx.f"); })
      .Case<math::SqrtOp>([&](auto) { return approximate("llvm.nvvm.sqrt.approx.f"); })
      .Case<math::RsqrtOp>([&](auto) { return approximate("llvm.nvvm.rsqrt.approx.f"); })
      .Case<math::AbsFOp>([&](auto) -> R { return LLVM::FAbsOp::create(b, loc, x[0]).getResult(); })
      .Case<math::FloorOp>([&](auto) -> R { return LLVM::FFloorOp::create(b, loc, x[0]).getResult(); })
      .Case<math::CeilOp>([&](auto) -> R { return LLVM::FCeilOp::create(b, loc, x[0]).getResult(); })
      .Case<math::RoundEvenOp>([&](auto) -> R { return LLVM::RoundEvenOp::create(b, loc, x[0]).getResult(); })
      .Case<math::SinOp, math::CosOp>([&](Operation *o) -> R {
        // The hardware functions are good on [-pi, pi] only: take off whole turns in two steps (Cody and Waite) first.
        auto constant = [&](double v) {
          return LLVM::ConstantOp::create(b, loc, f32, b.getF32FloatAttr(v)).getResult();
        };
        Value turns =
            LLVM::RoundEvenOp::create(b, loc, LLVM::FMulOp::create(b, loc, x[0], constant(0.15915494309189535)));
        Value reduced = LLVM::FMAOp::create(b, loc, turns, constant(-6.28125), x[0]);
        reduced = LLVM::FMAOp::create(b, loc, turns, constant(-0.0019353071795864769), reduced);
        return callIntrinsic(isa<math::SinOp>(o) ? "llvm.nvvm.sin.approx.f" : "llvm.nvvm.cos.approx.f", f32, {reduced});
      })
      .Default([&](Operation *o) -> R {
        return o->emitOpError("has no PTX lowering: expand it with tile-expand-math first"), failure();
      });
}
