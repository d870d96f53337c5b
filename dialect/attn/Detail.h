// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the generated code of the operations calls: kind rules, folding and the assembly of axes. Of this folder only.
#pragma once

#include "dialect/attn/Attn.h"

namespace fovea::attn {

/// How the kinds of the operands of a pointwise operation give the kind of its result.
enum class KindRule {
  Real,      // reals to real
  Int,       // ints to int
  Number,    // reals to real, ints to int
  Bool,      // bools to bool
  Compare,   // two numbers of one kind to bool
  Equal,     // two of one kind to bool
  ToReal,    // int or bool to real
  RealToInt, // real to int
  Select,    // bool and two of one kind to that kind
};

llvm::LogicalResult inferPointwise(mlir::MLIRContext *context, std::optional<mlir::Location> location,
                                   llvm::StringRef name, KindRule rule, mlir::ValueRange operands,
                                   llvm::SmallVectorImpl<mlir::Type> &types);

/// Folds constants by `evaluate`, and the identities of the operation.
mlir::OpFoldResult foldPointwise(mlir::Operation *op, llvm::ArrayRef<mlir::Attribute> operands,
                                 double (*evaluate)(llvm::ArrayRef<double>));

// Assembly. An axis: T. Axes: [B, T]. A field's type: real [B, T]. Weights: [B, T] over j from T. A
// state: [B, H] K x V along T.
template <typename Parser> llvm::ParseResult parseAxisName(Parser &parser, mlir::StringAttr &axis) {
  std::string name;
  if (parser.parseKeywordOrString(&name))
    return mlir::failure();
  axis = mlir::StringAttr::get(parser.getContext(), name);
  return mlir::success();
}
llvm::ParseResult parseAxisNames(mlir::AsmParser &parser, llvm::SmallVectorImpl<mlir::StringAttr> &axes);
void printAxisNames(mlir::AsmPrinter &printer, llvm::ArrayRef<mlir::StringAttr> axes);
llvm::ParseResult parseFieldType(mlir::AsmParser &parser, mlir::Type &type);
void printFieldType(mlir::AsmPrinter &printer, FieldType type);
llvm::ParseResult parseWeightsType(mlir::AsmParser &parser, mlir::Type &type);
void printWeightsType(mlir::AsmPrinter &printer, WeightsType type);
llvm::ParseResult parseStateType(mlir::AsmParser &parser, mlir::Type &type);
void printStateType(mlir::AsmPrinter &printer, StateType type);
llvm::ParseResult parseTable(mlir::AsmParser &parser, AxisTableAttr &table);
void printTable(mlir::AsmPrinter &printer, AxisTableAttr table);

} // namespace fovea::attn
