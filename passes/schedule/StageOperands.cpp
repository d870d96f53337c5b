// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-stage-operands and tile-stage-output: tiles through shared memory.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"
#include "passes/schedule/ScheduleUtils.h"

#include "mlir/IR/Builders.h"

namespace fovea::tile {
#define GEN_PASS_DEF_SETSCHEDULEPASS
#define GEN_PASS_DEF_STAGEOPERANDSPASS
#define GEN_PASS_DEF_STAGEOUTPUTPASS
#define GEN_PASS_DEF_ALLOCATESMEMPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

void tile::hoistSlice(ValueRange values, Operation *before) {
  for (Value value : values) {
    Operation *def = value.getDefiningOp();
    if (!def || def->getBlock() != before->getBlock() || def->isBeforeInBlock(before))
      continue;
    hoistSlice(def->getOperands(), before);
    def->moveBefore(before);
  }
}

bool tile::readsWithoutBarrier(Operation *before) {
  for (Operation *op = before->getPrevNode(); op; op = op->getPrevNode()) {
    if (isa<BarrierOp>(op))
      return false;
    if (op->walk([](SmemReadOp) { return WalkResult::interrupt(); }).wasInterrupted())
      return true;
  }
  return false;
}

int64_t tile::swizzleSpan(int64_t rowBytes) {
  for (int64_t span : {128, 64, 32})
    if (rowBytes % span == 0)
      return span;
  return 0;
}

OpOperand *tile::productOperandOf(OpOperand &use) {
  if (isa<DotOp>(use.getOwner()))
    return use.getOperandNumber() < 2 ? &use : nullptr;
  auto wide = dyn_cast<arith::ExtFOp>(use.getOwner());
  return wide && wide->hasOneUse() ? productOperandOf(*wide->use_begin()) : nullptr;
}

bool tile::feedsProductsOnly(LoadOp load) {
  auto type = cast<RankedTensorType>(load.getTile().getType());
  return type.getRank() == 2 && !load.getTile().use_empty() &&
         llvm::all_of(load.getTile().getUses(), [](OpOperand &use) { return productOperandOf(use) != nullptr; });
}

OpOperand *tile::firstProductOperandOf(Value value) {
  for (OpOperand &use : value.getUses())
    if (OpOperand *operand = productOperandOf(use))
      return operand;
  return nullptr;
}

namespace {

/// The most warps that the launch's tiles can be dealt to: each takes 16 rows at a time.
int64_t warpsFor(LaunchOp launch, int64_t wanted) {
  auto has = [&](int64_t rank) {
    return launch
        .walk([&](Operation *op) {
          return llvm::any_of(op->getResultTypes(),
                              [&](Type type) {
                                auto tile = dyn_cast<RankedTensorType>(type);
                                return tile && tile.getRank() == rank;
                              })
                     ? WalkResult::interrupt()
                     : WalkResult::advance();
        })
        .wasInterrupted();
  };
  // Where there are vectors alone, they are rows.
  int64_t rank = has(2) ? 2 : 1;
  launch.walk([&](Operation *op) {
    if (auto load = dyn_cast<LoadOp>(op); load && feedsProductsOnly(load))
      return;
    // Rows are dealt to warps; what runs along them stays in one.
    auto scan = dyn_cast<ScanOp>(op);
    auto reduce = dyn_cast<ReduceOp>(op);
    if ((scan && scan.getDim() == 0) || (reduce && reduce.getDim() == 0))
      wanted = 1;
    for (Value result : op->getResults())
      if (auto type = dyn_cast<RankedTensorType>(result.getType()); type && type.getRank() == rank)
        while (wanted > 1 && type.getDimSize(0) % (16 * wanted))
          wanted /= 2;
  });
  return wanted;
}

struct SetSchedule : tile::impl::SetSchedulePassBase<SetSchedule> {
  using SetSchedulePassBase<SetSchedule>::SetSchedulePassBase;
  void runOnOperation() override {
    OpBuilder b(&getContext());
    if (query != "registers" && query != "shared") {
      getOperation().emitError("query must be registers or shared");
      return signalPassFailure();
    }
    for (auto launch : getOperation().getBody().getOps<LaunchOp>())
      if (!launch.getScheduleAttr())
        launch.setScheduleAttr(b.getDictionaryAttr(
            {b.getNamedAttr("query", b.getStringAttr(query)), b.getNamedAttr("stages", b.getI64IntegerAttr(stages)),
             b.getNamedAttr("warps", b.getI64IntegerAttr(warpsFor(launch, warps)))}));
  }
};

/// A ring at the beginning of the launch, and the number 0 there.
SmemAllocOp makeRing(LaunchOp launch, Location loc, RankedTensorType tile) {
  OpBuilder b = OpBuilder::atBlockBegin(&launch.getBody().front());
  int64_t rowBytes = tile.getDimSize(1) * tile.getElementTypeBitWidth() / 8;
  auto type = SmemType::get(b.getContext(), {1, tile.getDimSize(0), tile.getDimSize(1)}, tile.getElementType(),
                            swizzleSpan(rowBytes));
  return SmemAllocOp::create(b, loc, type, IntegerAttr());
}

struct StageOperands : tile::impl::StageOperandsPassBase<StageOperands> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>())
      if (failed(stage(launch)))
        return signalPassFailure();
  }

  LogicalResult stage(LaunchOp launch) {
    llvm::MapVector<Block *, SmallVector<LoadOp>> groups;
    launch.walk([&](LoadOp load) {
      if (feedsProductsOnly(load))
        groups[load->getBlock()].push_back(load);
    });
    auto query = launch.getScheduleAttr() ? launch.getScheduleAttr().getAs<StringAttr>("query") : StringAttr();
    bool reload = query && query.getValue() == "shared";
    for (auto &[block, loads] : groups) {
      LoadOp first = loads.front();
      bool inLoop = isa<scf::ForOp>(block->getParentOp());
      OpBuilder b(first);
      Location loc = first.getLoc();
      if (inLoop || readsWithoutBarrier(first)) // the bytes may still be read by slower warps
        BarrierOp::create(b, loc);
      SmallVector<std::pair<LoadOp, SmemAllocOp>> staged;
      Value zero = arith::ConstantIndexOp::create(b, loc, 0);
      for (LoadOp load : loads) {
        auto type = cast<RankedTensorType>(load.getTile().getType());
        if (load.getLimit())
          return load.emitOpError("has a limit, which asynchronous copies do not know");
        hoistSlice(load.getIndices(), zero.getDefiningOp());
        SmemAllocOp ring = makeRing(launch, load.getLoc(), type);
        CopyStartOp::create(b, load.getLoc(), load.getView(), load.getIndices(), load.getDims(), ring, zero, Value());
        staged.push_back({load, ring});
      }
      CopyCommitOp::create(b, loc);
      CopyWaitOp::create(b, loc, 0);
      BarrierOp::create(b, loc);
      for (auto [load, ring] : staged) {
        // Fragments are read next to the product that takes them: between the two they would only fill registers.
        // Operands loaded before a loop are read before it and stay, unless the schedule says that they are read again
        // each time.
        auto read = [&](Operation *before) {
          OpBuilder at(before);
          Value stage = arith::ConstantIndexOp::create(at, load.getLoc(), 0);
          return SmemReadOp::create(at, load.getLoc(), load.getTile().getType(), ring, stage, load.getView(),
                                    load.getIndices(), Value(), load.getDimsAttr());
        };
        SmallVector<OpOperand *> uses;
        bool plain = false; // multiply-adds read their operands as they go, which no register could hold
        for (OpOperand &use : load.getTile().getUses()) {
          uses.push_back(&use);
          if (OpOperand *operand = productOperandOf(use))
            plain |= tile::multipliesPlainly(cast<DotOp>(operand->getOwner()));
        }
        if (inLoop || reload || plain) {
          for (OpOperand *use : uses) {
            if (auto wide = dyn_cast<arith::ExtFOp>(use->getOwner()))
              wide->moveBefore(productOperandOf(*use)->getOwner());
            use->set(read(use->getOwner()).getTile());
          }
        } else {
          load.getTile().replaceAllUsesWith(read(load).getTile());
        }
        load.erase();
      }
    }
    return success();
  }
};

struct StageOutput : tile::impl::StageOutputPassBase<StageOutput> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      int64_t warps = launch.getScheduleAttr().getAs<IntegerAttr>("warps").getInt();
      SmallVector<StoreOp> stores;
      launch.walk([&](StoreOp store) { stores.push_back(store); });
      for (StoreOp store : stores) {
        auto type = cast<RankedTensorType>(store.getTile().getType());
        if (type.getRank() != 2 || type.getElementTypeBitWidth() != 16 || type.getDimSize(1) % 8)
          continue;
        // Rows must be contiguous for whole vectors, and always inside.
        auto view = store.getView().getType();
        if (store.getDims()[1] != int64_t(view.getShape().size()) - 1 || ShapedType::isDynamic(view.getShape().back()))
          continue;
        auto layout = Layout::rowMajor(type.getDimSize(0), type.getDimSize(1), 8, warps);
        if (!layout)
          continue;
        OpBuilder b(store);
        Location loc = store.getLoc();
        SmemAllocOp ring = makeRing(launch, loc, type);
        Value zero = arith::ConstantIndexOp::create(b, loc, 0);
        BarrierOp::create(b, loc); // whatever else uses these bytes has been read
        SmemWriteOp::create(b, loc, store.getTile(), ring, zero);
        BarrierOp::create(b, loc);
        auto rows =
            RankedTensorType::get(type.getShape(), type.getElementType(), LayoutAttr::get(b.getContext(), *layout));
        Value read =
            SmemReadOp::create(b, loc, rows, ring, zero, Value(), ValueRange(), store.getTile(), DenseI64ArrayAttr());
        store.getTileMutable().assign(read);
      }
    }
  }
};

struct AllocateSmem : tile::impl::AllocateSmemPassBase<AllocateSmem> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      Block &block = launch.getBody().front();
      DenseMap<Operation *, int64_t> place;
      int64_t count = 0;
      for (Operation &op : block)
        place[&op] = count++;
      struct Ring {
        SmemAllocOp op;
        int64_t from, to, offset;
      };
      SmallVector<Ring> rings;
      launch.walk([&](SmemAllocOp op) {
        Ring ring{op, count, -1, 0};
        for (Operation *user : op->getUsers()) {
          int64_t at = place[block.findAncestorOpInBlock(*user)];
          ring.from = std::min(ring.from, at);
          ring.to = std::max(ring.to, at);
        }
        rings.push_back(ring);
      });
      // First fit in order of size; the swizzle needs places at multiples of its period, 1024 bytes.
      auto bytes = [](Ring ring) { return ring.op.getSmem().getType().getBytes(); };
      llvm::stable_sort(rings, [&](const Ring &x, const Ring &y) { return bytes(x) > bytes(y); });
      for (size_t n = 0; n < rings.size(); ++n) {
        Ring &ring = rings[n];
        auto meets = [&](const Ring &other) { return ring.from <= other.to && other.from <= ring.to; };
        for (bool moved = true; moved;) {
          moved = false;
          for (Ring &other : MutableArrayRef(rings).take_front(n)) {
            int64_t end = other.offset + other.op.getSmem().getType().getBytes();
            if (meets(other) && ring.offset < end &&
                other.offset < ring.offset + ring.op.getSmem().getType().getBytes()) {
              ring.offset = llvm::alignTo(end, 1024);
              moved = true;
            }
          }
        }
        ring.op.setOffset(ring.offset);
      }
    }
  }
};

} // namespace
