// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-fold-key-scale: see Passes.td.
#include "passes/attn/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace fovea::attn {
#define GEN_PASS_DEF_ATTNFOLDKEYSCALEPASS
#include "passes/attn/Passes.h.inc"
} // namespace fovea::attn

using namespace mlir;
using namespace fovea::attn;

namespace {

ArrayRef<StringAttr> axesOf(Value value) { return cast<FieldType>(value.getType()).getAxes(); }

/// The factors of a product of fields, seen through renames: what does not have the renamed axis is the same outside.
struct Factors {
  llvm::function_ref<bool(Value)> moves;
  SmallVector<Value> moved;

  /// The axes of `value` without the factors that move, in the order that the remaining product has; nothing where no
  /// factor remains.
  std::optional<SmallVector<StringAttr>> split(Value value) {
    if (auto product = value.getDefiningOp<MulOp>()) {
      auto lhs = split(product.getLhs()), rhs = split(product.getRhs());
      if (lhs && rhs)
        uniteAxes(*lhs, *rhs);
      return lhs ? lhs : rhs;
    }
    if (auto rename = value.getDefiningOp<RenameOp>())
      if (rename.getOperand().getDefiningOp<MulOp>()) {
        auto inner = split(rename.getOperand());
        if (inner)
          llvm::replace(*inner, rename.getFromAttr(), rename.getToAttr());
        return inner;
      }
    if (!moves(value))
      return SmallVector<StringAttr>(axesOf(value));
    moved.push_back(value);
    return std::nullopt;
  }

  /// The product of the factors that stay.
  Value rebuild(OpBuilder &builder, Value value) const {
    if (llvm::is_contained(moved, value))
      return {};
    if (auto product = value.getDefiningOp<MulOp>()) {
      Value lhs = rebuild(builder, product.getLhs()), rhs = rebuild(builder, product.getRhs());
      if (lhs == product.getLhs() && rhs == product.getRhs())
        return value;
      return lhs && rhs ? MulOp::create(builder, product.getLoc(), lhs, rhs) : lhs ? lhs : rhs;
    }
    if (auto rename = value.getDefiningOp<RenameOp>()) {
      Value inner = rebuild(builder, rename.getOperand());
      if (!inner || inner == rename.getOperand())
        return inner ? value : Value();
      return RenameOp::create(builder, rename.getLoc(), inner, rename.getFromAttr(), rename.getToAttr());
    }
    return value;
  }
};

struct FoldKeyScale : OpRewritePattern<DotOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(DotOp op, PatternRewriter &rewriter) const override {
    AxisTableAttr table = op->getParentOfType<AttentionOp>().getAxes();
    auto walks = [&](Value value) {
      return llvm::any_of(axesOf(value), [&](StringAttr axis) { return table.lookup(axis).isWalk(); });
    };
    bool keysLeft = walks(op.getLhs());
    if (keysLeft == walks(op.getRhs()))
      return rewriter.notifyMatchFailure(op, "not a product of queries and keys");
    Value keys = keysLeft ? op.getLhs() : op.getRhs(), queries = keysLeft ? op.getRhs() : op.getLhs();
    SmallVector<StringAttr> contracted = toAxes(op.getAxes());

    // Tokens of keys: the axes that walks rename, or that are pieces of such.
    auto hasTokens = [&](StringAttr axis) {
      AxisAttr entry = table.lookup(axis);
      return entry.isWalk() || entry.isKeys() || entry.isPieces() || llvm::any_of(table.getAxes(), [&](AxisAttr walk) {
               return walk.isWalk() && llvm::is_contained(table.expand({walk.getRaw()}), axis);
             });
    };
    auto moves = [&](Value factor) {
      ArrayRef<StringAttr> axes = axesOf(factor);
      // The queries have all axes of it, so that the product with it has theirs.
      return llvm::any_of(axes, [&](StringAttr axis) { return llvm::is_contained(contracted, axis); }) &&
             llvm::none_of(axes, hasTokens) &&
             llvm::all_of(axes, [&](StringAttr axis) { return llvm::is_contained(axesOf(queries), axis); });
    };
    Factors factors{moves, {}};
    std::optional<SmallVector<StringAttr>> rest = factors.split(keys);
    if (factors.moved.empty() || !rest)
      return rewriter.notifyMatchFailure(op, "no factor of the keys lacks their tokens");
    if (!llvm::all_of(contracted, [&](StringAttr axis) { return llvm::is_contained(*rest, axis); }))
      return rewriter.notifyMatchFailure(op, "the keys would lack a contracted axis");
    SmallVector<StringAttr> axes(keysLeft ? *rest : SmallVector<StringAttr>(axesOf(queries)));
    uniteAxes(axes, keysLeft ? axesOf(queries) : ArrayRef<StringAttr>(*rest));
    llvm::erase_if(axes, [&](StringAttr axis) { return llvm::is_contained(contracted, axis); });
    if (ArrayRef(axes) != axesOf(op.getResult()))
      return rewriter.notifyMatchFailure(op, "the axes would come in another order");

    Value scaled = queries;
    for (Value factor : factors.moved)
      scaled = MulOp::create(rewriter, op.getLoc(), scaled, factor);
    Value plain = factors.rebuild(rewriter, keys);
    rewriter.replaceOpWithNewOp<DotOp>(op, keysLeft ? plain : scaled, keysLeft ? scaled : plain, op.getAxesAttr());
    return success();
  }
};

struct FoldKeyScalePass : fovea::attn::impl::AttnFoldKeyScalePassBase<FoldKeyScalePass> {
  using AttnFoldKeyScalePassBase::AttnFoldKeyScalePassBase;

  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldKeyScale>(&getContext());
    GreedyRewriteConfig config;
    config.enableFolding(false).enableConstantCSE(false);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      signalPassFailure();
  }
};

} // namespace
