// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The attn dialect in C++: include this and nothing else of the folder.
#pragma once

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <optional>
#include <vector>

#include "dialect/attn/AttnEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/attn/AttnAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialect/attn/AttnTypes.h.inc"

#include "dialect/attn/AttnDialect.h.inc"

namespace fovea::attn {
class InputOp;
class OutputOp;

/// The ordered union: the axes of `axes`, then those of `more` that it lacks.
void uniteAxes(llvm::SmallVectorImpl<mlir::StringAttr> &axes, llvm::ArrayRef<mlir::StringAttr> more);

/// The axis names of an axis list attribute.
llvm::SmallVector<mlir::StringAttr> toAxes(mlir::ArrayAttr axes);
} // namespace fovea::attn

#include "dialect/attn/AttnInterfaces.h.inc"

#define GET_OP_CLASSES
#include "dialect/attn/AttnOps.h.inc"
