// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From scheduled level back to program level.
#include "mlir/IR/AttrTypeSubElements.h"
#include "passes/tile/Passes.h"

namespace fovea::tile {
#define GEN_PASS_DEF_STRIPSCHEDULEPASS
#include "passes/tile/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea::tile;

namespace {

RankedTensorType withoutLayout(RankedTensorType type) {
  return RankedTensorType::get(type.getShape(), type.getElementType());
}

/// What a read of shared memory claims to be.
Value loadOf(OpBuilder &builder, Location loc, Value view, ValueRange indices, ArrayRef<int64_t> dims, Value tile) {
  auto type = withoutLayout(cast<RankedTensorType>(tile.getType()));
  auto zero = cast<TypedAttr>(builder.getZeroAttr(type.getElementType()));
  return LoadOp::create(builder, loc, type, view, indices, /*limit=*/Value(), builder.getDenseI64ArrayAttr(dims), zero);
}

/// Where a tile that is read within branches was loaded: in front of them, since loads stand as far out as they can.
Operation *inFrontOfBranches(Operation *op, ValueRange operands) {
  for (Operation *parent = op->getParentOp(); isa<scf::IfOp>(parent); parent = parent->getParentOp()) {
    bool available = llvm::all_of(
        operands, [&](Value operand) { return !parent->isAncestor(operand.getParentBlock()->getParentOp()); });
    if (!available)
      break;
    op = parent;
  }
  return op;
}

/// Where a tile that is read several times was loaded: as early as can be, unless its view is written meanwhile.
void setAtLoad(OpBuilder &builder, SmemReadOp read, const DenseSet<Value> &written) {
  Operation *at = inFrontOfBranches(read, read->getOperands());
  builder.setInsertionPoint(at);
  if (written.contains(read.getView()))
    return;
  // Work items without work have ended.
  auto ends = llvm::find_if(llvm::reverse(*at->getBlock()), [](Operation &op) { return isa<EndIfOp>(op); });
  Operation *last = ends == at->getBlock()->rend() ? nullptr : &*ends;
  SmallVector<Value> operands(read.getIndices());
  operands.push_back(read.getView());
  for (Value operand : operands)
    if (Operation *def = operand.getDefiningOp();
        def && def->getBlock() == at->getBlock() && (!last || last->isBeforeInBlock(def)))
      last = def;
  if (last)
    builder.setInsertionPointAfter(last);
  else
    builder.setInsertionPointToStart(at->getBlock());
}

void replaceReads(ProgramOp program) {
  DenseSet<Value> written;
  program.walk([&](StoreOp store) { written.insert(store.getView()); });
  program.walk([&](StoreScalarOp store) { written.insert(store.getView()); });
  program.walk([&](Operation *op) {
    OpBuilder builder(op);
    if (auto of = dyn_cast<SmemReadOp>(op); of && of.getView())
      setAtLoad(builder, of, written);
    Value value;
    if (auto read = dyn_cast<SmemReadOp>(op))
      value = read.getWritten()
                  ? Value(read.getWritten())
                  : loadOf(builder, op->getLoc(), read.getView(), read.getIndices(), *read.getDims(), read.getTile());
    else if (auto take = dyn_cast<TakeOp>(op))
      value = loadOf(builder, op->getLoc(), take.getView(), take.getIndices(), take.getDims(), take.getTile());
    else if (auto convert = dyn_cast<ConvertLayoutOp>(op))
      value = convert.getSource();
    else
      return;
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  });
}

void replaceProducts(ProgramOp program) {
  program.walk([](DotWaitOp wait) {
    // The verifier of dot_start sees to it that both are there, in one block.
    auto start = wait.getToken().getDefiningOp<DotStartOp>();
    OpBuilder builder(start);
    Value dot = DotOp::create(builder, start.getLoc(), wait.getTile().getType(), start.getA(), start.getB(),
                              start.getAcc(), start.getContract());
    wait.getTile().replaceAllUsesWith(dot);
    wait.erase();
    start.erase();
  });
}

void eraseMovement(ProgramOp program) {
  SmallVector<Operation *> users, owners;
  program.walk([&](Operation *op) {
    if (isa<CopyStartOp, CopyCommitOp, CopyWaitOp, BarrierOp, SmemWriteOp, PutOp, ReleaseOp, OrderWaitOp,
            OrderSignalOp>(op))
      users.push_back(op);
    else if (isa<SmemAllocOp, ChannelOp, OrderOp>(op))
      owners.push_back(op);
  });
  for (Operation *op : users)
    op->erase();
  for (Operation *op : owners)
    op->erase();
}

bool stores(Operation *op) {
  return op->walk([](StoreOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

void inlineRoles(ProgramOp program) {
  program.walk([](RolesOp roles) {
    OpBuilder builder(roles);
    for (RoleOp role : roles.getBody().getOps<RoleOp>()) {
      // What is left of a role that only moved data has no effect.
      if (!stores(role))
        continue;
      Location loc = role.getLoc();
      Block &body = role.getBody().front();
      Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
      Block *target = roles->getBlock();
      Block::iterator place(roles);
      Value id = zero;
      if (role.getCount() > 1) {
        Value count = arith::ConstantIndexOp::create(builder, loc, int64_t(role.getCount()));
        Value one = arith::ConstantIndexOp::create(builder, loc, 1);
        auto loop = scf::ForOp::create(builder, loc, zero, count, one);
        id = loop.getInductionVar();
        target = loop.getBody();
        place = target->getTerminator()->getIterator();
      }
      for (BlockArgument argument : body.getArguments())
        argument.replaceAllUsesWith(id);
      target->getOperations().splice(place, body.getOperations());
    }
    roles.erase();
  });
}

void eraseLayouts(ProgramOp program) {
  AttrTypeReplacer replacer;
  replacer.addReplacement([](RankedTensorType type) -> std::pair<Type, WalkResult> {
    return {withoutLayout(type), WalkResult::skip()};
  });
  replacer.addReplacement([](DenseElementsAttr value) -> std::optional<std::pair<Attribute, WalkResult>> {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return std::nullopt;
    return std::pair<Attribute, WalkResult>{value.reshape(withoutLayout(type)), WalkResult::skip()};
  });
  replacer.recursivelyReplaceElementsIn(program, /*replaceAttrs=*/true, /*replaceLocs=*/false, /*replaceTypes=*/true);
}

class StripSchedule : public fovea::tile::impl::StripSchedulePassBase<StripSchedule> {
  void runOnOperation() override {
    ProgramOp program = getOperation();
    replaceReads(program);
    replaceProducts(program);
    eraseMovement(program);
    inlineRoles(program);
    eraseLayouts(program);
    program.walk([](LaunchOp launch) { launch.removeScheduleAttr(); });
  }
};

} // namespace
