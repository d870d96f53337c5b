// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-expand-recurrence: see Passes.td.
#include "passes/tile/Passes.h"

namespace fovea::tile {
#define GEN_PASS_DEF_TILEEXPANDRECURRENCEPASS
#include "passes/tile/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea::tile;

namespace {

Value memoryOf(Value view) {
  for (;;) {
    if (auto merged = view.getDefiningOp<MergeDimsOp>())
      view = merged.getView();
    else if (auto part = view.getDefiningOp<NarrowOp>())
      view = part.getView();
    else
      return view;
  }
}

/// Moves scalars in front of a loop, with what they are computed from; false if that is not to be had there.
bool moveBefore(scf::ForOp loop, ValueRange scalars) {
  for (Value scalar : scalars) {
    if (loop.isDefinedOutsideOfLoop(scalar))
      continue;
    Operation *def = scalar.getDefiningOp();
    if (!def || !isPure(def) || def->getNumRegions() || !moveBefore(loop, def->getOperands()))
      return false;
    def->moveBefore(loop);
  }
  return true;
}

/// What each chunk would load again is loaded in front of them: vectors, those of branches too, and matrices that
/// products take.
void hoistLoads(scf::ForOp loop) {
  auto launch = loop->getParentOfType<LaunchOp>();
  DenseSet<Value> written;
  launch.walk([&](StoreOp store) { written.insert(memoryOf(store.getView())); });
  launch.walk([&](StoreScalarOp store) { written.insert(memoryOf(store.getView())); });
  SmallVector<LoadOp> loads;
  loop.getBody()->walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (auto load = dyn_cast<LoadOp>(op))
      loads.push_back(load);
    return isa<LoopLikeOpInterface>(op) ? WalkResult::skip() : WalkResult::advance();
  });
  for (LoadOp load : loads) {
    bool isVector = cast<RankedTensorType>(load.getTile().getType()).getRank() == 1;
    bool isOperand = llvm::all_of(load.getTile().getUsers(), [](Operation *user) { return isa<DotOp>(user); });
    if (written.contains(memoryOf(load.getView())) || !(isVector || (isOperand && load->getParentOp() == loop)))
      continue;
    if (moveBefore(loop, load->getOperands()))
      load->moveBefore(loop);
  }
}

void expand(RecurrenceOp op, IRRewriter &rewriter) {
  Location loc = op.getLoc();
  bool overChunks = op.getStep() > 1;
  rewriter.setInsertionPoint(op);
  auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(rewriter, loc, value); };
  Value zero = constant(0), one = constant(1), step = constant(int64_t(op.getStep()));
  APInt lo;
  bool fromZero = matchPattern(op.getLo(), m_ConstantInt(&lo)) && lo.isZero();
  // Sizes are divided unsigned, so an end in front of the beginning is the beginning. Axes have at least one token.
  Value end = op.getHi();
  if (!fromZero || !end.getDefiningOp<AxisOp>())
    end = arith::MaxSIOp::create(rewriter, loc, end, op.getLo());
  Value tokens = fromZero ? end : arith::SubIOp::create(rewriter, loc, end, op.getLo()).getResult();
  Value count = arith::CeilDivUIOp::create(rewriter, loc, tokens, step);
  Value last = op.getReverse() ? arith::SubIOp::create(rewriter, loc, count, one).getResult() : Value();
  auto loop = scf::ForOp::create(rewriter, loc, zero, count, one, op.getInit());
  // A loop without states has a terminator already.
  Block *body = loop.getBody();
  if (!body->empty())
    rewriter.eraseOp(body->getTerminator());
  rewriter.setInsertionPointToEnd(body);
  Value chunk = loop.getInductionVar();
  if (last)
    chunk = arith::SubIOp::create(rewriter, loc, last, chunk);
  Value start = arith::MulIOp::create(rewriter, loc, chunk, step);
  if (!fromZero)
    start = arith::AddIOp::create(rewriter, loc, op.getLo(), start);
  SmallVector<Value> arguments{start};
  llvm::append_range(arguments, loop.getRegionIterArgs());
  rewriter.inlineBlockBefore(&op.getBody().front(), body, body->end(), arguments);
  auto yield = cast<RecurrenceYieldOp>(body->getTerminator());
  rewriter.setInsertionPoint(yield);
  rewriter.replaceOpWithNewOp<scf::YieldOp>(yield, yield.getStates());
  rewriter.replaceOp(op, loop.getResults());
  if (overChunks)
    hoistLoads(loop);
}

struct ExpandRecurrence : fovea::tile::impl::TileExpandRecurrencePassBase<ExpandRecurrence> {
  using TileExpandRecurrencePassBase::TileExpandRecurrencePassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<RecurrenceOp> ops;
    getOperation().walk([&](RecurrenceOp op) { ops.push_back(op); });
    for (RecurrenceOp op : ops)
      expand(op, rewriter);
  }
};

} // namespace
