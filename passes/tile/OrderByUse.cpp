// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A canonical order of operations, so that programs can be compared as text.
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "passes/tile/Passes.h"

namespace fovea::tile {
#define GEN_PASS_DEF_ORDERBYUSEPASS
#include "passes/tile/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea::tile;

namespace {

class OrderByUse : public fovea::tile::impl::OrderByUsePassBase<OrderByUse> {
  void runOnOperation() override {
    Block &body = getOperation().getBody().front();
    for (auto launch : body.getOps<LaunchOp>()) {
      written.clear();
      launch.walk([&](StoreOp store) { written.insert(store.getView()); });
      launch.walk([&](StoreScalarOp store) { written.insert(store.getView()); });
      order(launch.getBody().front());
    }
  }

  /// True where an operation may stand anywhere between its operands and its uses.
  bool floats(Operation *op) {
    if (op->getNumRegions())
      return false;
    if (auto load = dyn_cast<LoadOp>(op))
      return !written.contains(load.getView());
    if (auto load = dyn_cast<LoadScalarOp>(op))
      return !written.contains(load.getView());
    return isMemoryEffectFree(op) && !op->hasTrait<OpTrait::IsTerminator>();
  }

  /// Moves what `op` uses, itself or within its regions, to just before `fixed`, operands first.
  void pull(Operation *op, Operation *fixed, llvm::DenseSet<Operation *> &placed) {
    auto place = [&](Value value) {
      Operation *def = value.getDefiningOp();
      if (!def || def->getBlock() != fixed->getBlock() || !floats(def) || !placed.insert(def).second)
        return;
      pull(def, fixed, placed);
      def->moveBefore(fixed);
    };
    op->walk<WalkOrder::PreOrder>([&](Operation *user) {
      for (Value operand : user->getOperands())
        place(operand);
    });
  }

  void order(Block &block) {
    // Inner blocks first: their order decides that of what they use.
    SmallVector<Operation *> fixed;
    for (Operation &op : block) {
      for (Region &region : op.getRegions())
        for (Block &inner : region)
          order(inner);
      if (!floats(&op))
        fixed.push_back(&op);
    }
    llvm::DenseSet<Operation *> placed;
    for (Operation *op : fixed)
      pull(op, op, placed);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (floats(&op) && op.use_empty())
        op.erase();
  }

  llvm::DenseSet<Value> written;
};

} // namespace
