// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Registration of the attn dialect.
#include "dialect/attn/Attn.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea::attn;

#include "dialect/attn/AttnDialect.cpp.inc"

void AttnDialect::initialize() {
  registerMembers();
  addOperations<
#define GET_OP_LIST
#include "dialect/attn/AttnOps.cpp.inc"
      >();
}

Operation *AttnDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  auto field = dyn_cast<FieldType>(type);
  if (!field || !field.getAxes().empty())
    return nullptr;
  switch (field.getKind()) {
  case Kind::Real:
    if (auto number = dyn_cast<FloatAttr>(value))
      return ConstantOp::create(builder, loc, number.getValueAsDouble());
    return nullptr;
  case Kind::Int:
    if (auto number = dyn_cast<IntegerAttr>(value))
      return ConstantOp::create(builder, loc, number.getInt());
    return nullptr;
  case Kind::Bool:
    if (auto truth = dyn_cast<BoolAttr>(value))
      return ConstantOp::create(builder, loc, truth.getValue());
    return nullptr;
  }
  return nullptr;
}
