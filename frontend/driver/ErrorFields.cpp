// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The roundings of a compilation, and fields at other places: see ErrorFields.h.
#include "frontend/driver/ErrorFields.h"

#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fovea::driver {

runtime::StorageType storageOf(std::optional<attn::Storage> storage, runtime::StorageType standard) {
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

std::optional<runtime::StorageType> storedAs(Value value, runtime::StorageType standard) {
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

double operandRoundoff(Value operand, Value other, const Arithmetic &arithmetic) {
  using runtime::StorageType;
  std::optional<StorageType> own = storedAs(operand, arithmetic.type), its = storedAs(other, arithmetic.type);
  StorageType product = own && its && *own != *its ? StorageType::F32 : own.value_or(its.value_or(arithmetic.type));
  if (product != StorageType::F32)
    return own ? 0 : unitRoundoff(product);
  return own && *own != StorageType::F32 ? 0 : productRoundoff(arithmetic); // 16 bits are tf32 as they are
}

double valueRoundoff(Value value, const Arithmetic &arithmetic) {
  using runtime::StorageType;
  std::optional<StorageType> own = storedAs(value, arithmetic.type);
  if (own.value_or(arithmetic.type) == StorageType::F32)
    return productRoundoff(arithmetic);
  return own ? 0 : unitRoundoff(arithmetic.type);
}

double weightRoundoff(Value value, const Arithmetic &arithmetic) {
  runtime::StorageType type = storedAs(value, arithmetic.type).value_or(arithmetic.type);
  return type == runtime::StorageType::F32 ? std::max(0x1p-24, productRoundoff(arithmetic)) : unitRoundoff(type);
}

bool isRealField(Value value) {
  auto field = llvm::dyn_cast<attn::FieldType>(value.getType());
  return field && field.isReal();
}
Value FieldBuilder::spread(Value e, StringAttr axis) {
  if (hasAxis(e, axis))
    return e;
  Value index = attn::IndexOp::create(builder, loc, axis);
  return add(e, attn::ToRealOp::create(builder, loc, mul(index, constant(int64_t(0)))));
}

Value FieldBuilder::moved(Operation *op, Value e, ArrayRef<StringAttr> of) {
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

attn::WeightsType FieldBuilder::weightsType(attn::WeightsOp weights) {
  llvm::SmallVector<Type> types;
  (void)attn::WeightsOp::inferReturnTypes(builder.getContext(), loc, weights->getOperands(),
                                          weights->getDiscardableAttrDictionary(), weights->getPropertiesStorage(),
                                          weights->getRegions(), types);
  return llvm::cast<attn::WeightsType>(types.front());
}

Value FieldBuilder::atPlaces(Operation *op, Value e) {
  if (!e)
    return e;
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<attn::RenameOp, attn::SliceOp>([&](auto op) { return moved(op, e, op.getFromAttr()); })
      .Case([&](attn::RowAtOp op) { return moved(op, e, op.getKeysAttr()); })
      .Case([&](attn::FlattenOp op) { return moved(op, e, attn::toAxes(op.getFrom())); })
      .Case([&](attn::GatherOp op) -> Value {
        if (!hasAxis(e, op.getAxisAttr()))
          return e;
        return attn::GatherOp::create(builder, loc, e, op.getAxisAttr(), op.getIndex());
      })
      .DefaultUnreachable("an operation of the cases above");
}

Value FieldBuilder::concatenated(attn::ConcatOp concat, llvm::SmallVector<Value> parts) {
  for (auto [e, part] : llvm::zip(parts, attn::toAxes(concat.getParts())))
    e = spread(e ? e : constant(0.0), part);
  return attn::ConcatOp::create(builder, loc, parts, concat.getAlongAttr(), concat.getParts());
}

} // namespace fovea::driver
