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
  // Written as soon as it is there, rounded first, so that what follows hides the way and keeps no register for it; a
  // state, where it is first wanted.
  OpBuilder b(firstReader);
  if (Operation *def = source.getDefiningOp()) {
    auto rounded = dyn_cast<arith::TruncFOp>(def);
    Operation *exact = rounded ? rounded.getIn().getDefiningOp() : nullptr;
    if (exact && exact->getBlock() == def->getBlock())
      def->moveAfter(exact);
    b.setInsertionPointAfter(def);
  }
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

/// What takes many registers of its own, or long.
bool isHeavy(Operation &op) { return isa<DotOp, DecayedDotOp, UnitTrilInverseOp>(op); }

/// A tile that was written and is used again behind a barrier and a product is read again: until then it needs no
/// registers.
void readAgain(SmemWriteOp write) {
  Value source = write.getTile(), read;
  if (cast<RankedTensorType>(source.getType()).getRank() != 2)
    return;
  Block *block = write->getBlock();
  DenseMap<Operation *, SmallVector<OpOperand *>> uses;
  for (OpOperand &use : source.getUses())
    if (use.getOwner()->getBlock() == block)
      uses[use.getOwner()].push_back(&use);
  bool met = false, heavy = false;
  for (Operation &op : llvm::make_range(std::next(write->getIterator()), block->end())) {
    met |= isa<BarrierOp>(op);
    if (auto found = uses.find(&op);
        found != uses.end() && met && (heavy || read) && !isa<SmemReadOp, SmemWriteOp>(op)) {
      if (heavy) {
        OpBuilder at(&op);
        read = SmemReadOp::create(at, write.getLoc(), source.getType(), write.getSmem(), write.getStage(), Value(),
                                  ValueRange(), source, DenseI64ArrayAttr());
      }
      for (OpOperand *use : found->second)
        use->set(read);
      heavy = false;
    }
    heavy |= isHeavy(op);
  }
}

/// A tile that comes back from shared memory is read in front of its first use, past products and barriers: until then
/// it needs no registers.
void readLate(SmemReadOp read) {
  SmallVector<Operation *> chain{read};
  while (chain.back()->hasOneUse() && isa<TransposeOp, arith::ExtFOp>(*chain.back()->user_begin()) &&
         (*chain.back()->user_begin())->getBlock() == read->getBlock())
    chain.push_back(*chain.back()->user_begin());
  Operation *first = nullptr;
  for (Operation *user : chain.back()->getUsers()) {
    Operation *here = read->getBlock()->findAncestorOpInBlock(*user);
    if (!first || here->isBeforeInBlock(first))
      first = here;
  }
  if (!first || std::none_of(std::next(read->getIterator()), first->getIterator(), isHeavy))
    return;
  for (Operation *op : chain)
    op->moveBefore(first);
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
        // What was converted before has another value by now.
        writes.push_back(exchange(launch, converts.front().getSource(), converts));
        if (!writes.back())
          return signalPassFailure();
      }
      for (SmemWriteOp write : writes)
        if (write->getParentOfType<scf::ForOp>())
          readAgain(write);
      for (SmemWriteOp write : writes)
        for (Operation *user : llvm::make_early_inc_range(write.getSmem().getUsers()))
          if (auto read = dyn_cast<SmemReadOp>(user); read && read->getBlock() == write->getBlock())
            readLate(read);
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
