// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The walk from a field to the operations that it is computed from.
#pragma once

#include "mlir/IR/Operation.h"
#include "mlir/Support/WalkResult.h"

namespace fovea::derivation {
/// Visits the operations that `field` is computed from, the field's own first and each once. `visit` answers skip to
/// leave the operands of an operation out, and interrupt to end the walk: the result is the operation where it ended,
/// null where it did not.
mlir::Operation *walkProducers(mlir::Value field, llvm::function_ref<mlir::WalkResult(mlir::Operation *)> visit);

/// The first operation among those that `field` is computed from which `holds` is true of; null where there is none.
mlir::Operation *findProducer(mlir::Value field, llvm::function_ref<bool(mlir::Operation *)> holds);
} // namespace fovea::derivation
