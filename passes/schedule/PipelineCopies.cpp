// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-pipeline-copies: the copies of a loop begin some iterations ahead of their use.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"
#include "passes/schedule/ScheduleUtils.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace fovea::tile {
#define GEN_PASS_DEF_PIPELINECOPIESPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

namespace {

/// Copies the computation of `value` that stands in `body`, with the induction variable replaced by the map.
Value cloneSlice(Value value, Block *body, IRMapping &map, OpBuilder &b) {
  if (Value known = map.lookupOrNull(value))
    return known;
  Operation *def = value.getDefiningOp();
  if (!def || def->getBlock() != body)
    return value;
  for (Value operand : def->getOperands())
    cloneSlice(operand, body, map, b);
  b.clone(*def, map);
  return map.lookup(value);
}

LogicalResult pipeline(scf::ForOp loop, int64_t stages) {
  Block *body = loop.getBody();
  SmallVector<CopyStartOp> copies(body->getOps<CopyStartOp>());
  if (copies.empty() || stages < 2)
    return success();
  // What tile-stage-operands wrote: barrier, copies, commit, wait, barrier.
  CopyCommitOp commit;
  CopyWaitOp wait;
  BarrierOp before, after;
  for (Operation &op : *body) {
    if (auto barrier = dyn_cast<BarrierOp>(op))
      (commit ? after : before) = after ? after : barrier;
    else if (auto c = dyn_cast<CopyCommitOp>(op))
      commit = c;
    else if (auto w = dyn_cast<CopyWaitOp>(op))
      wait = w;
  }
  if (!before || !commit || !wait || !after)
    return loop.emitOpError(
        "copies in a form that tile-pipeline-copies does not know: barrier, copies, commit, wait, barrier expected");
  APInt lower, step;
  if (!matchPattern(loop.getLowerBound(), m_ConstantInt(&lower)) ||
      !matchPattern(loop.getStep(), m_ConstantInt(&step)) || lower != 0 || step != 1)
    return loop.emitOpError("copies in a loop that does not count from 0 by 1");

  Location loc = loop.getLoc();
  SmallVector<SmemAllocOp> rings;
  for (CopyStartOp copy : copies) {
    auto ring = copy.getSmem().getDefiningOp<SmemAllocOp>();
    auto type = ring.getSmem().getType();
    ring.getSmem().setType(SmemType::get(loop.getContext(), {stages, type.getRows(), type.getColumns()},
                                         type.getElementType(), type.getSwizzle()));
    rings.push_back(ring);
  }
  auto start = [&](OpBuilder &b, Value iteration, Value stage, Value predicate) {
    IRMapping map;
    map.map(loop.getInductionVar(), iteration);
    for (CopyStartOp copy : copies) {
      SmallVector<Value> indices;
      for (Value index : copy.getIndices())
        indices.push_back(cloneSlice(index, body, map, b));
      CopyStartOp::create(b, copy.getLoc(), copy.getView(), indices, copy.getDims(), copy.getSmem(), stage, predicate);
    }
    CopyCommitOp::create(b, loc);
  };

  // Groups begun before the loop go in front of a wait for earlier operands, so that all of them are under way
  // together.
  Operation *prologue = loop;
  CopyWaitOp earlier;
  for (Operation *op = loop->getPrevNode(); op; op = op->getPrevNode()) {
    if (auto w = dyn_cast<CopyWaitOp>(op)) {
      earlier = w;
      break;
    }
    if (isa<scf::ForOp, CopyStartOp>(op))
      break;
  }
  if (earlier) {
    prologue = earlier;
    hoistSlice(loop.getUpperBound(), prologue);
    // What the copies' places are computed from outside the loop.
    for (CopyStartOp copy : copies) {
      SmallVector<Value> work(copy.getIndices());
      DenseSet<Value> seen;
      while (!work.empty()) {
        Value value = work.pop_back_val();
        Operation *def = value.getDefiningOp();
        if (!seen.insert(value).second || !def)
          continue;
        if (def->getBlock() == body)
          llvm::append_range(work, def->getOperands());
        else
          hoistSlice(value, prologue);
      }
    }
    earlier.setPending(earlier.getPending() + stages - 1);
  }
  OpBuilder b(prologue);
  if (readsWithoutBarrier(
          prologue)) // rings of an earlier loop may share bytes with these, and slower warps still read them
    BarrierOp::create(b, loc);
  for (int64_t s = 0; s + 1 < stages; ++s) {
    Value number = arith::ConstantIndexOp::create(b, loc, s);
    Value inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, number, loop.getUpperBound());
    start(b, number, number, inside);
  }

  b.setInsertionPoint(before);
  Value n = loop.getInductionVar();
  Value count = arith::ConstantIndexOp::create(b, loc, stages);
  Value stage = arith::RemUIOp::create(b, loc, n, count);
  CopyWaitOp::create(b, loc, stages - 2);
  BarrierOp::create(
      b, loc); // this iteration's tiles are there for all; the stage that is filled next has been read by all
  Value next = arith::AddIOp::create(b, loc, n, arith::ConstantIndexOp::create(b, loc, stages - 1));
  Value nextStage = arith::RemUIOp::create(b, loc, next, count);
  Value inside = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, next, loop.getUpperBound());
  start(b, next, nextStage, inside);
  for (SmemAllocOp ring : rings)
    for (Operation *user : ring->getUsers())
      if (auto read = dyn_cast<SmemReadOp>(user); read && loop->isProperAncestor(read))
        read.getStageMutable().assign(stage);
  for (CopyStartOp copy : copies)
    copy.erase();
  for (Operation *op : SmallVector<Operation *>{before, commit, wait, after})
    op->erase();
  return success();
}

struct PipelineCopies : tile::impl::PipelineCopiesPassBase<PipelineCopies> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      auto stages = launch.getScheduleAttr() ? launch.getScheduleAttr().getAs<IntegerAttr>("stages") : IntegerAttr();
      SmallVector<scf::ForOp> loops;
      launch.walk([&](scf::ForOp loop) { loops.push_back(loop); });
      for (scf::ForOp loop : loops)
        if (failed(pipeline(loop, stages ? stages.getInt() : 1)))
          return signalPassFailure();
    }
  }
};

} // namespace
