// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-exchange-layouts: tiles whose elements change threads go through shared memory.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"
#include "passes/schedule/ScheduleUtils.h"

#include "mlir/IR/Builders.h"

namespace fovea::tile {
#define GEN_PASS_DEF_EXCHANGELAYOUTSPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

namespace {

bool crossesThreads(ConvertLayoutOp op) {
  LayoutAttr from = layoutOf(op.getSource().getType()), to = layoutOf(op.getTile().getType());
  return from && to && !from.getLayout().permutationTo(to.getLayout());
}

/// The write, which all threads may not be ready for; null if it cannot be made.
SmemWriteOp exchange(LaunchOp launch, Value source, MutableArrayRef<ConvertLayoutOp> converts) {
  auto type = cast<RankedTensorType>(source.getType());
  unsigned bits = type.getElementTypeBitWidth();
  Location loc = source.getLoc();
  if ((bits != 16 && bits != 32) || type.getRank() > 2) {
    converts.front().emitOpError("moves elements of type ")
        << type.getElementType() << " between threads, which is not in this version";
    return {};
  }
  // Where the first reader stands, in the block of the tile.
  Block *block = source.getParentBlock();
  Operation *firstReader = nullptr;
  for (ConvertLayoutOp convert : converts) {
    Operation *here = block->findAncestorOpInBlock(*convert);
    if (!firstReader || here->isBeforeInBlock(firstReader))
      firstReader = here;
  }
  // Written as soon as it is there, so that what follows hides the way; a state, where it is first wanted.
  OpBuilder b(firstReader);
  if (Operation *def = source.getDefiningOp())
    b.setInsertionPointAfter(def);
  SmemAllocOp ring = makeRing(launch, loc, type);
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  auto write = SmemWriteOp::create(b, loc, source, ring, zero);
  for (ConvertLayoutOp convert : converts) {
    // One barrier in front of the reads that stand together.
    Operation *at = block->findAncestorOpInBlock(*convert);
    bool met = false;
    for (Operation *op = at->getPrevNode(); op != write; op = op->getPrevNode())
      met |= isa<BarrierOp>(op);
    if (!met) {
      while (at->getPrevNode() != write && isa<SmemReadOp, ConvertLayoutOp, arith::ConstantOp>(at->getPrevNode()))
        at = at->getPrevNode();
      b.setInsertionPoint(at);
      BarrierOp::create(b, loc);
    }
    b.setInsertionPoint(convert);
    Value stage = arith::ConstantIndexOp::create(b, loc, 0);
    Value read = SmemReadOp::create(b, loc, convert.getTile().getType(), ring, stage, Value(), ValueRange(), source,
                                    DenseI64ArrayAttr());
    convert.getTile().replaceAllUsesWith(read);
    convert.erase();
  }
  return write;
}

/// Copies and writes that follow an exchange, before a loop say, may share its bytes: all have read them before.
void separate(SmemWriteOp write) {
  Operation *last = write;
  for (Operation *user : write.getSmem().getUsers())
    if (user->getBlock() == write->getBlock() && last->isBeforeInBlock(user))
      last = user;
  for (Operation *op = last->getNextNode(); op && !isa<BarrierOp>(op); op = op->getNextNode()) {
    auto writes = [](Operation *inner) {
      return isa<CopyStartOp, SmemWriteOp>(inner) ? WalkResult::interrupt() : WalkResult::advance();
    };
    if (!op->walk(writes).wasInterrupted())
      continue;
    OpBuilder b(op);
    BarrierOp::create(b, op->getLoc());
    return;
  }
}

struct ExchangeLayouts : tile::impl::ExchangeLayoutsPassBase<ExchangeLayouts> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      llvm::MapVector<Value, SmallVector<ConvertLayoutOp>> bySource;
      launch.walk([&](ConvertLayoutOp op) {
        if (crossesThreads(op))
          bySource[op.getSource()].push_back(op);
      });
      SmallVector<SmemWriteOp> writes;
      for (auto &[source, converts] : bySource) {
        writes.push_back(exchange(launch, source, converts));
        if (!writes.back())
          return signalPassFailure();
      }
      // Now that all reads and barriers are there.
      for (SmemWriteOp write : writes)
        if (needsBarrierToWrite(write, write.getSmem())) {
          OpBuilder b(write);
          BarrierOp::create(b, write.getLoc());
        }
      for (SmemWriteOp write : writes)
        if (!write->getParentOfType<scf::ForOp>())
          separate(write);
    }
  }
};

} // namespace
