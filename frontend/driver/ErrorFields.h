// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a compilation rounds and how far, and what builds fields beside those of an attention: running analyses of
// errors are attentions of their own, which the reference evaluates.
#pragma once

#include "frontend/driver/Tolerance.h"

#include "mlir/IR/Builders.h"

#include <cmath>

namespace fovea::driver {

runtime::StorageType storageOf(std::optional<attn::Storage> storage, runtime::StorageType standard);
/// The type in which an operand is stored; none for one that is computed.
std::optional<runtime::StorageType> storedAs(mlir::Value value, runtime::StorageType standard);
/// How far an operand is rounded for its product with another: the type of both is that of what is stored, f32 where
/// two stored types differ.
double operandRoundoff(mlir::Value operand, mlir::Value other, const Arithmetic &arithmetic);
/// How far a value is rounded for its product with weights.
double valueRoundoff(mlir::Value value, const Arithmetic &arithmetic);
/// How far the weights are rounded for their product with a value.
double weightRoundoff(mlir::Value value, const Arithmetic &arithmetic);
bool isRealField(mlir::Value value);

/// Adds fields to a copy of an attention. A null value is a field of zeros.
class FieldBuilder {
protected:
  using Value = mlir::Value;
  using StringAttr = mlir::StringAttr;

  FieldBuilder(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes)
      : attention(attention), builder(attention.getContext()), loc(attention.getLoc()), arithmetic(arithmetic),
        sizes(sizes) {}

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
  int64_t sizeOf(StringAttr axis) const {
    auto found = sizes.find(axis.getValue().str());
    return found == sizes.end() ? 1 : found->second;
  }
  static bool hasAxis(Value x, StringAttr axis) { return llvm::cast<attn::FieldType>(x.getType()).hasAxis(axis); }
  /// A field that may lack an axis, with it.
  Value spread(Value e, StringAttr axis);
  /// The same places of a field as an operation takes of its one operand, whose axes `of` are replaced.
  Value moved(mlir::Operation *op, Value e, llvm::ArrayRef<StringAttr> of);
  /// The same for all operations that take elements of one field at other places, their index taken as exact.
  Value atPlaces(mlir::Operation *op, Value e);
  /// The parts of a concatenation, of which at least one is not null.
  Value concatenated(attn::ConcatOp concat, llvm::SmallVector<Value> parts);
  Value weighted(attn::WeightsOp weights, Value value, Value coefficient) {
    return attn::ExpectOp::create(builder, loc, weights, value, coefficient);
  }
  attn::WeightsType weightsType(attn::WeightsOp weights);

  attn::AttentionOp attention;
  mlir::OpBuilder builder;
  mlir::Location loc;
  const Arithmetic &arithmetic;
  const reference::AxisSizes &sizes;

private:
  llvm::DenseMap<Value, Value> magnitudes;
};

} // namespace fovea::driver
