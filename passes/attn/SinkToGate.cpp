// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-sink-to-gate: see Passes.td.
#include "passes/attn/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <limits>

namespace fovea::attn {
#define GEN_PASS_DEF_ATTNSINKTOGATEPASS
#include "passes/attn/Passes.h.inc"
} // namespace fovea::attn

using namespace mlir;
using namespace fovea::attn;

namespace {

struct SinkToGate : OpRewritePattern<WeightsOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(WeightsOp op, PatternRewriter &rewriter) const override {
    if (op.getSinks().empty())
      return rewriter.notifyMatchFailure(op, "no sinks");
    Location loc = op.getLoc();
    auto plain = WeightsOp::create(rewriter, loc, op.getOverAttr(), op.getQueryAttr(), op.getQueryPartsAttr(),
                                   op.getScore(), op.getWhere(), op.getMass(), ValueRange(), op.getWeightAttr());
    bool sameRows = plain.getWeightsType() == op.getWeightsType();
    bool readsStat = llvm::any_of(op->getUsers(), [](Operation *user) { return isa<StatOp>(user); });
    if (!sameRows && readsStat) {
      rewriter.eraseOp(plain);
      return rewriter.notifyMatchFailure(op, "a sink brings in a row axis and a statistic is read");
    }

    Value sink = op.getSinks().front();
    for (Value next : op.getSinks().drop_front())
      sink = LogAddExpOp::create(rewriter, loc, sink, next);
    Value lse = StatOp::create(rewriter, loc, StatKind::Lse, plain);
    // -inf - -inf is NaN: rows without keys are told apart before it can matter.
    Value none = ConstantOp::create(rewriter, loc, -std::numeric_limits<double>::infinity());
    Value zero = ConstantOp::create(rewriter, loc, 0.0);
    Value empty = EqOp::create(rewriter, loc, lse, none);
    Value difference = SubOp::create(rewriter, loc, lse, sink);
    Value sigmoid = SigmoidOp::create(rewriter, loc, difference);
    Value gate = SelectOp::create(rewriter, loc, empty, zero, sigmoid);

    for (Operation *user : llvm::make_early_inc_range(op->getUsers())) {
      rewriter.setInsertionPoint(user);
      if (auto expect = dyn_cast<ExpectOp>(user)) {
        Value value = ExpectOp::create(rewriter, user->getLoc(), plain, expect.getValue(), expect.getCoefficient());
        // The gate stands first: its axes are the row axes in their old order, those of the sinks included.
        rewriter.replaceOpWithNewOp<MulOp>(user, gate, value);
      } else {
        rewriter.modifyOpInPlace(user, [&] { cast<StatOp>(user).getWeightsMutable().assign(plain.getResult()); });
      }
    }
    rewriter.eraseOp(op);
    return success();
  }
};

struct SinkToGatePass : fovea::attn::impl::AttnSinkToGatePassBase<SinkToGatePass> {
  using AttnSinkToGatePassBase::AttnSinkToGatePassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<SinkToGate>(&getContext());
    // Only this rewrite: canonicalisation is a pass of its own.
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      signalPassFailure();
  }
};

} // namespace
