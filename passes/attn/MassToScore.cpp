// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-mass-to-score: see Passes.td.
#include "passes/attn/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/TypeSwitch.h"

namespace fovea::attn {
#define GEN_PASS_DEF_ATTNMASSTOSCOREPASS
#include "passes/attn/Passes.h.inc"
} // namespace fovea::attn

using namespace mlir;
using namespace fovea::attn;

namespace {

/// True where no value of the field can be below 0, NaN left aside.
bool isNonNegative(Value field, unsigned depth = 0) {
  Operation *op = field.getDefiningOp();
  if (!op || depth > 16)
    return false;
  auto all = [&](ValueRange values) {
    return llvm::all_of(values, [&](Value value) { return isNonNegative(value, depth + 1); });
  };
  return TypeSwitch<Operation *, bool>(op)
      .Case<ExpOp, Exp2Op, SigmoidOp, SoftplusOp, ReluOp, AbsOp, SqrtOp, SizeOp>([](auto) { return true; })
      .Case<ConstantOp>([](ConstantOp constant) {
        if (auto real = dyn_cast<FloatAttr>(constant.getValue()))
          return !real.getValue().isNegative();
        auto integer = dyn_cast<IntegerAttr>(constant.getValue());
        return integer && !integer.getValue().isNegative();
      })
      .Case<InputOp>([](InputOp input) {
        IntervalAttr contract = input.getContractAttr();
        return contract && contract.getLower() && contract.getLower().getValueAsDouble() >= 0;
      })
      .Case<AddOp, MulOp, DivOp, MinOp>([&](auto binary) { return all(binary->getOperands()); })
      .Case<MaxOp>(
          [&](MaxOp max) { return isNonNegative(max.getLhs(), depth + 1) || isNonNegative(max.getRhs(), depth + 1); })
      .Case<SelectOp>([&](SelectOp select) {
        return all({select.getLhs(), select.getRhs()});
      })
      .Case<PowOp>([&](PowOp power) { return isNonNegative(power.getLhs(), depth + 1); })
      .Case<RenameOp, RowAtOp, SliceOp, ToRealOp>(
          [&](auto moved) { return isNonNegative(moved.getOperand(), depth + 1); })
      .Default([](Operation *) { return false; });
}

/// log m, without leaving the range of f32 on the way where m is made by an operation whose logarithm is known.
Value logOf(OpBuilder &b, Location loc, Value mass) {
  if (auto exp = mass.getDefiningOp<ExpOp>())
    return exp.getOperand();
  if (auto sigmoid = mass.getDefiningOp<SigmoidOp>())
    return LogSigmoidOp::create(b, loc, sigmoid.getOperand());
  if (auto product = mass.getDefiningOp<MulOp>();
      product && isNonNegative(product.getLhs()) && isNonNegative(product.getRhs()))
    return AddOp::create(b, loc, logOf(b, loc, product.getLhs()), logOf(b, loc, product.getRhs()));
  Value log = LogOp::create(b, loc, mass);
  auto softplus = mass.getDefiningOp<SoftplusOp>();
  if (!softplus)
    return log;
  // log log(1 + e^x) = x - e^x / 2 + ..: x alone, to doubles, from here on down, and long before e^x is 0 in f32.
  Value x = softplus.getOperand(), border = ConstantOp::create(b, loc, -37.0);
  return SelectOp::create(b, loc, LtOp::create(b, loc, x, border), x, log);
}

struct WeightsMass : OpRewritePattern<WeightsOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(WeightsOp op, PatternRewriter &rewriter) const override {
    if (!op.getMass() || !isNonNegative(op.getMass()))
      return rewriter.notifyMatchFailure(op, "no mass that is known to be at least 0");
    // These two are relative to the scores without the mass.
    for (Operation *user : op->getUsers())
      if (auto stat = dyn_cast<StatOp>(user); stat && stat.getKind() != StatKind::Lse)
        return rewriter.notifyMatchFailure(op, "a statistic tells the score from the mass");
    Value log = logOf(rewriter, op.getLoc(), op.getMass());
    Value score = AddOp::create(rewriter, op.getLoc(), op.getScore(), log);
    auto plain = WeightsOp::create(rewriter, op.getLoc(), op.getOverAttr(), op.getQueryAttr(), op.getQueryPartsAttr(),
                                   score, op.getWhere(), Value(), op.getSinks(), op.getWeightAttr());
    if (plain.getWeightsType() != op.getWeightsType()) {
      rewriter.eraseOp(plain); // what it read has no other use and goes with canonicalisation
      return rewriter.notifyMatchFailure(op, "the row axes would come in another order");
    }
    rewriter.replaceOp(op, plain.getResult());
    return success();
  }
};

/// The weights themselves, where blocks of keys are reduced.
struct BlockMass : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MulOp op, PatternRewriter &rewriter) const override {
    auto exponential = op.getLhs().getDefiningOp<ExpOp>();
    Value mass = op.getRhs();
    if (!exponential) {
      exponential = op.getRhs().getDefiningOp<ExpOp>();
      mass = op.getLhs();
    }
    auto isReduced = [](Operation *user) {
      return isa<BlockReduceOp>(user) ||
             (isa<SelectOp>(user) && llvm::any_of(user->getUsers(), llvm::IsaPred<BlockReduceOp>));
    };
    if (!exponential || !isNonNegative(mass) || llvm::none_of(op->getUsers(), isReduced))
      return rewriter.notifyMatchFailure(op, "no weight of a block of keys");
    bool massFirst = op.getLhs() == mass;
    Value log = logOf(rewriter, op.getLoc(), mass), power = exponential.getOperand();
    Value sum = AddOp::create(rewriter, op.getLoc(), massFirst ? log : power, massFirst ? power : log);
    rewriter.replaceOpWithNewOp<ExpOp>(op, sum);
    return success();
  }
};

struct MassToScorePass : fovea::attn::impl::AttnMassToScorePassBase<MassToScorePass> {
  using AttnMassToScorePassBase::AttnMassToScorePassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<WeightsMass, BlockMass>(&getContext());
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      signalPassFailure();
  }
};

} // namespace
