// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-expand-fold: see Passes.td.
#include "passes/tile/Passes.h"

#include <limits>
#include <numbers>

namespace fovea::tile {
#define GEN_PASS_DEF_TILEEXPANDFOLDPASS
#include "passes/tile/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea::tile;

namespace {

RankedTensorType tensorType(Value value) { return cast<RankedTensorType>(value.getType()); }

Value constantTile(OpBuilder &builder, Location loc, RankedTensorType type, double value) {
  Attribute element = builder.getFloatAttr(type.getElementType(), value);
  return arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, element));
}

/// A tile of one scalar: a constant where the scalar is.
Value splat(OpBuilder &builder, Location loc, RankedTensorType type, Value scalar) {
  FloatAttr constant;
  if (matchPattern(scalar, m_Constant(&constant)))
    return constantTile(builder, loc, type, constant.getValueAsDouble());
  return SplatOp::create(builder, loc, type, scalar);
}

/// True where a mask says only that the key exists: the same in every row.
bool readsKeysAlone(Region &mask) {
  Value value = cast<MaskYieldOp>(mask.front().getTerminator()).getMask();
  auto broadcast = value.getDefiningOp<BroadcastOp>();
  if (!broadcast || broadcast.getDims() != ArrayRef<int64_t>{1})
    return false;
  auto compare = broadcast.getSource().getDefiningOp<arith::CmpIOp>();
  return compare && compare.getLhs().getDefiningOp<IotaOp>() && compare.getRhs().getDefiningOp<SplatOp>();
}

/// `precision` is that of products of f32.
void expand(FoldOp fold, StringRef precision, IRRewriter &rewriter) {
  Location loc = fold.getLoc();
  rewriter.setInsertionPoint(fold);
  auto yield = cast<FoldYieldOp>(fold.getBody().front().getTerminator());
  RankedTensorType scoreType = tensorType(yield.getScore()), rowType = tensorType(fold.getMax());
  SmallVector<int64_t> coefficientOf(yield.getCoefficientOf()), valueOf(yield.getValueOf());

  Value first = arith::ConstantIndexOp::create(rewriter, loc, 0),
        step = arith::ConstantIndexOp::create(rewriter, loc, 1);
  Value none = constantTile(rewriter, loc, rowType, -std::numeric_limits<double>::infinity());
  Value zero = constantTile(rewriter, loc, rowType, 0);
  Value log2e = arith::ConstantOp::create(rewriter, loc, rewriter.getF32FloatAttr(float(std::numbers::log2e)));
  Value exponent = fold.getScale();
  FloatAttr scale;
  if (matchPattern(exponent, m_Constant(&scale))) // one rounding
    exponent = arith::ConstantOp::create(
        rewriter, loc, rewriter.getF32FloatAttr(float(scale.getValueAsDouble() * std::numbers::log2e)));
  else
    exponent = arith::MulFOp::create(rewriter, loc, exponent, log2e);
  Value rowExponent = splat(rewriter, loc, rowType, exponent), tileExponent = splat(rewriter, loc, scoreType, exponent);
  SmallVector<Value> state{fold.getAdditive() ? zero : none, zero};
  for (Value accumulator : fold.getAccumulators())
    state.push_back(constantTile(rewriter, loc, tensorType(accumulator), 0));
  Value count = DomainCountOp::create(rewriter, loc, rewriter.getIndexType(), fold.getDomain());
  auto loop = scf::ForOp::create(rewriter, loc, first, count, step, state);

  Block *body = loop.getBody();
  rewriter.setInsertionPointToEnd(body);
  auto keys = DomainTileOp::create(rewriter, loc, rewriter.getIndexType(), rewriter.getI1Type(), fold.getDomain(),
                                   loop.getInductionVar());
  rewriter.inlineBlockBefore(&fold.getBody().front(), body, body->end(), keys.getStart());
  SmallVector<Value> raw{yield.getScore()}, values(yield.getValues());
  llvm::append_range(raw, yield.getCoefficients());
  rewriter.eraseOp(yield);

  // What hides a value must hide a NaN in it too, though 0 times NaN is NaN. Only a predicate can hide a value that
  // exists: keys beyond the last are 0 in their tiles.
  bool hides = !readsKeysAlone(fold.getMask());

  // Masks are a branch: full tiles compute none of this.
  rewriter.setInsertionPointToEnd(body);
  auto branch = scf::IfOp::create(rewriter, loc, ValueRange(raw).getTypes(), keys.getFull(), /*withElseRegion=*/true);
  rewriter.setInsertionPointToEnd(branch.thenBlock());
  scf::YieldOp::create(rewriter, loc, raw);
  Block *otherwise = branch.elseBlock();
  rewriter.inlineBlockBefore(&fold.getMask().front(), otherwise, otherwise->end(), keys.getStart());
  auto maskYield = cast<MaskYieldOp>(otherwise->getTerminator());
  Value mask = maskYield.getMask();
  rewriter.eraseOp(maskYield);
  rewriter.setInsertionPointToEnd(otherwise);
  SmallVector<Value> masked;
  for (auto [n, tile] : llvm::enumerate(raw)) {
    bool exponent = n == 0 && !fold.getAdditive();
    Value fill = constantTile(rewriter, loc, scoreType, exponent ? -std::numeric_limits<double>::infinity() : 0);
    masked.push_back(arith::SelectOp::create(rewriter, loc, mask, tile, fill));
  }
  scf::YieldOp::create(rewriter, loc, masked);

  rewriter.setInsertionPointToEnd(body);
  auto rowReduce = [&](StringRef kind, Value tile) -> Value {
    return ReduceOp::create(rewriter, loc, rowType, rewriter.getStringAttr(kind), tile, rewriter.getI64IntegerAttr(1));
  };
  auto acrossRows = [&](Value row, RankedTensorType type) -> Value {
    return BroadcastOp::create(rewriter, loc, type, row, ArrayRef<int64_t>{0});
  };
  auto product = [&](RankedTensorType type, Value weights, Value value, Value kept) -> Value {
    auto dot = [&](OpBuilder &builder) {
      return DotOp::create(builder, loc, type, weights, value, kept, ArrayRef<int64_t>{1, 0});
    };
    if (!hides)
      return dot(rewriter);
    // Multiply-adds leave out what meets a zero at no cost.
    if (tensorType(value).getElementType().isF32() && precision == "fma") {
      DotOp hiding = dot(rewriter);
      hiding.setHides(true);
      return hiding.getTile();
    }
    auto choose = scf::IfOp::create(rewriter, loc, type, keys.getFull(), /*withElseRegion=*/true);
    OpBuilder whole = choose.getThenBodyBuilder(), masked = choose.getElseBodyBuilder();
    scf::YieldOp::create(whole, loc, dot(whole).getTile());
    DotOp hiding = dot(masked);
    hiding.setHides(true);
    scf::YieldOp::create(masked, loc, hiding.getTile());
    return choose.getResult(0);
  };
  // Each accumulator: what it was, times `decay` where there is one, and the tile's share.
  auto accumulate = [&](SmallVectorImpl<Value> &next, Value weights, Value decay) {
    DenseMap<int64_t, Value> weighted;
    DenseMap<std::pair<int64_t, Type>, Value> rounded;
    for (auto [n, c, v] : llvm::enumerate(coefficientOf, valueOf)) {
      Value old = loop.getRegionIterArg(2 + n);
      Value tile = weights;
      if (c >= 0) {
        Value &known = weighted[c];
        if (!known)
          known = arith::MulFOp::create(rewriter, loc, weights, branch.getResult(1 + c));
        tile = known;
      }
      if (v < 0) {
        Value share = rowReduce("add", tile);
        next.push_back(decay ? math::FmaOp::create(rewriter, loc, old, decay, share).getResult()
                             : arith::AddFOp::create(rewriter, loc, old, share).getResult());
        continue;
      }
      Type element = tensorType(values[v]).getElementType();
      if (!element.isF32()) {
        Value &known = rounded[{c, element}];
        if (!known)
          known = arith::TruncFOp::create(rewriter, loc, scoreType.clone(element), tile);
        tile = known;
      }
      RankedTensorType type = tensorType(old);
      Value kept = decay ? arith::MulFOp::create(rewriter, loc, old, acrossRows(decay, type)).getResult() : old;
      next.push_back(product(type, tile, values[v], kept));
    }
  };
  Value max = loop.getRegionIterArg(0), sum = loop.getRegionIterArg(1);
  Value score = branch.getResult(0);
  if (fold.getAdditive()) {
    SmallVector<Value> next{max, arith::AddFOp::create(rewriter, loc, sum, rowReduce("add", score))};
    accumulate(next, score, Value());
    scf::YieldOp::create(rewriter, loc, next);
    rewriter.replaceOp(fold, loop.getResults());
    return;
  }
  Value newMax = arith::MaxNumFOp::create(rewriter, loc, max, rowReduce("max", score));
  Value empty = arith::CmpFOp::create(rewriter, loc, arith::CmpFPredicate::OEQ, newMax, none);
  Value base = arith::SelectOp::create(rewriter, loc, empty, zero, newMax); // -inf - -inf would be NaN
  Value shift = arith::NegFOp::create(rewriter, loc, arith::MulFOp::create(rewriter, loc, base, rowExponent));
  Value weights = math::Exp2Op::create(
      rewriter, loc, math::FmaOp::create(rewriter, loc, score, tileExponent, acrossRows(shift, scoreType)));
  Value difference = arith::SubFOp::create(rewriter, loc, max, base);
  Value decay = math::Exp2Op::create(rewriter, loc, arith::MulFOp::create(rewriter, loc, difference, rowExponent));
  SmallVector<Value> next{newMax, math::FmaOp::create(rewriter, loc, sum, decay, rowReduce("add", weights))};
  accumulate(next, weights, decay);
  scf::YieldOp::create(rewriter, loc, next);
  rewriter.replaceOp(fold, loop.getResults());
}

struct ExpandFold : fovea::tile::impl::TileExpandFoldPassBase<ExpandFold> {
  using TileExpandFoldPassBase::TileExpandFoldPassBase;

  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    SmallVector<FoldOp> folds;
    getOperation().walk([&](FoldOp fold) { folds.push_back(fold); });
    // Products with f32 values are multiplied as the program's choices say.
    auto choices = getOperation().getChoicesAttr();
    auto precision = choices ? choices.getAs<StringAttr>("precision") : StringAttr();
    for (FoldOp fold : folds)
      expand(fold, precision ? precision.getValue() : "fma", rewriter);
    if (precision)
      getOperation().walk([&](DotOp dot) {
        if (tensorType(dot.getA()).getElementType().isF32() && !dot.getPrecision())
          dot.setPrecisionAttr(precision);
      });
  }
};

} // namespace
