// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The walk from a field to the operations that it is computed from.
#include "passes/attn-to-tile/Producers.h"

#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;

Operation *fovea::derivation::walkProducers(Value field, llvm::function_ref<WalkResult(Operation *)> visit) {
  SmallVector<Operation *> todo{field.getDefiningOp()};
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!todo.empty()) {
    Operation *op = todo.pop_back_val();
    if (!op || !seen.insert(op).second)
      continue;
    WalkResult result = visit(op);
    if (result.wasInterrupted())
      return op;
    if (result.wasSkipped())
      continue;
    for (Value operand : op->getOperands())
      todo.push_back(operand.getDefiningOp());
  }
  return nullptr;
}

Operation *fovea::derivation::findProducer(Value field, llvm::function_ref<bool(Operation *)> holds) {
  return walkProducers(field,
                       [&](Operation *op) { return holds(op) ? WalkResult::interrupt() : WalkResult::advance(); });
}
