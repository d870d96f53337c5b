// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rewrites across operations that bring scalar factors together, for example the scale of a score, and that drop what
// has no effect on a state. Exact in real arithmetic; a *scalar* here is a field on no axis, constant or not.
#include "dialect/attn/Attn.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/PatternMatch.h"

#include <cmath>

using namespace mlir;
using namespace fovea::attn;

namespace {

bool isScalar(Value value) { return cast<FieldType>(value.getType()).getAxes().empty(); }

std::optional<double> getReal(Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  auto number = constant ? dyn_cast<FloatAttr>(constant.getValue()) : FloatAttr();
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

/// value = field * scalar, the field on at least one axis.
struct Scaled {
  Value field, scalar;
};
std::optional<Scaled> getScaled(Value value) {
  auto product = value.getDefiningOp<MulOp>();
  if (!product)
    return std::nullopt;
  if (isScalar(product.getRhs()) && !isScalar(product.getLhs()))
    return Scaled{product.getLhs(), product.getRhs()};
  if (isScalar(product.getLhs()) && !isScalar(product.getRhs()))
    return Scaled{product.getRhs(), product.getLhs()};
  return std::nullopt;
}

/// (x * s) * t = x * (s * t), so that all scalar factors of a field meet in one.
struct MergeScalars : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op, PatternRewriter &rewriter) const override {
    std::optional<Scaled> outer = getScaled(op.getResult());
    std::optional<Scaled> inner = outer ? getScaled(outer->field) : std::nullopt;
    if (!inner)
      return rewriter.notifyMatchFailure(op, "not a product of a field and two scalars");
    Value scalar = MulOp::create(rewriter, op.getLoc(), inner->scalar, outer->scalar);
    rewriter.replaceOpWithNewOp<MulOp>(op, inner->field, scalar);
    return success();
  }
};

/// (x * s) * y = (x * y) * s for two fields x and y: the scalar moves outwards.
struct HoistScalarOfProduct : OpRewritePattern<MulOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MulOp op, PatternRewriter &rewriter) const override {
    if (isScalar(op.getLhs()) || isScalar(op.getRhs()))
      return rewriter.notifyMatchFailure(op, "a factor is a scalar");
    if (std::optional<Scaled> lhs = getScaled(op.getLhs())) {
      Value product = MulOp::create(rewriter, op.getLoc(), lhs->field, op.getRhs());
      rewriter.replaceOpWithNewOp<MulOp>(op, product, lhs->scalar);
      return success();
    }
    if (std::optional<Scaled> rhs = getScaled(op.getRhs())) {
      Value product = MulOp::create(rewriter, op.getLoc(), op.getLhs(), rhs->field);
      rewriter.replaceOpWithNewOp<MulOp>(op, product, rhs->scalar);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no factor is scaled");
  }
};

/// dot(x * s, y) = dot(x, y) * s: the scale of q or k becomes that of the score.
struct HoistScalarOfDot : OpRewritePattern<DotOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DotOp op, PatternRewriter &rewriter) const override {
    std::optional<Scaled> lhs = getScaled(op.getLhs()), rhs = lhs ? std::nullopt : getScaled(op.getRhs());
    if (!lhs && !rhs)
      return rewriter.notifyMatchFailure(op, "no factor is scaled");
    Value dot = DotOp::create(rewriter, op.getLoc(), lhs ? lhs->field : op.getLhs(), rhs ? rhs->field : op.getRhs(),
                              op.getAxesAttr());
    rewriter.replaceOpWithNewOp<MulOp>(op, dot, lhs ? lhs->scalar : rhs->scalar);
    return success();
  }
};

/// rename(x * s) = rename(x) * s
struct HoistScalarOfRename : OpRewritePattern<RenameOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RenameOp op, PatternRewriter &rewriter) const override {
    std::optional<Scaled> scaled = getScaled(op.getOperand());
    if (!scaled)
      return rewriter.notifyMatchFailure(op, "the operand is not scaled");
    Value renamed = RenameOp::create(rewriter, op.getLoc(), scaled->field, op.getFromAttr(), op.getToAttr());
    rewriter.replaceOpWithNewOp<MulOp>(op, renamed, scaled->scalar);
    return success();
  }
};

/// sum(x * s) = sum(x) * s, and mean
struct HoistScalarOfReduce : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != ReduceKind::Sum && op.getKind() != ReduceKind::Mean)
      return rewriter.notifyMatchFailure(op, "not linear");
    std::optional<Scaled> scaled = getScaled(op.getOperand());
    if (!scaled)
      return rewriter.notifyMatchFailure(op, "the operand is not scaled");
    Value reduced = ReduceOp::create(rewriter, op.getLoc(), op.getKindAttr(), scaled->field, op.getAxesAttr());
    rewriter.replaceOpWithNewOp<MulOp>(op, reduced, scaled->scalar);
    return success();
  }
};

/// sum(x * y) = dot(x, y) where each factor has axes that the other lacks: nothing is made that has all of them.
/// Further factors go with one that has all their axes, else with the second.
struct SumOfProduct : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    if (op.getKind() != ReduceKind::Sum && op.getKind() != ReduceKind::Mean)
      return rewriter.notifyMatchFailure(op, "not linear");
    if (!cast<FieldType>(op.getResult().getType()).isReal())
      return rewriter.notifyMatchFailure(op, "not of reals");
    SmallVector<Value> factors, todo{op.getOperand()};
    while (!todo.empty()) {
      Value factor = todo.pop_back_val();
      if (auto product = factor.getDefiningOp<MulOp>()) {
        todo.push_back(product.getRhs());
        todo.push_back(product.getLhs());
      } else {
        factors.push_back(factor);
      }
    }
    auto within = [](Value x, ArrayRef<Value> others) {
      return llvm::all_of(cast<FieldType>(x.getType()).getAxes(), [&](StringAttr axis) {
        return llvm::any_of(others, [&](Value other) { return cast<FieldType>(other.getType()).hasAxis(axis); });
      });
    };
    Value widest;
    for (Value factor : factors)
      if (!widest ||
          cast<FieldType>(factor.getType()).getAxes().size() > cast<FieldType>(widest.getType()).getAxes().size())
        widest = factor;
    SmallVector<Value> sides[2];
    for (Value factor : factors)
      sides[factor != widest && !within(factor, widest)].push_back(factor);
    auto reduced = toAxes(op.getAxes());
    auto isWhole = [&](ArrayRef<Value> side) {
      return llvm::all_of(reduced, [&](StringAttr axis) {
        return llvm::any_of(side, [&](Value x) { return cast<FieldType>(x.getType()).hasAxis(axis); });
      });
    };
    if (sides[1].empty() || llvm::all_of(sides[0], [&](Value x) { return within(x, sides[1]); }) ||
        !isWhole(sides[0]) || !isWhole(sides[1]))
      return rewriter.notifyMatchFailure(op, "not a product of two fields of different axes");
    // The factor that stands first in the text is the first operand.
    if (llvm::is_contained(sides[1], factors.front()))
      std::swap(sides[0], sides[1]);
    SmallVector<StringAttr> axes;
    for (auto &side : sides)
      for (Value factor : side)
        uniteAxes(axes, cast<FieldType>(factor.getType()).getAxes());
    llvm::erase_if(axes, [&](StringAttr axis) { return llvm::is_contained(reduced, axis); });
    if (ArrayRef(axes) != cast<FieldType>(op.getResult().getType()).getAxes())
      return rewriter.notifyMatchFailure(op, "its axes would stand in another order");
    auto product = [&](ArrayRef<Value> side) {
      Value result = side.front();
      for (Value factor : side.drop_front())
        result = MulOp::create(rewriter, op.getLoc(), result, factor);
      return result;
    };
    Value left = product(sides[0]), right = product(sides[1]);
    Value sum = DotOp::create(rewriter, op.getLoc(), left, right, op.getAxesAttr());
    if (op.getKind() == ReduceKind::Mean)
      for (StringAttr axis : reduced) {
        Value size = ToRealOp::create(rewriter, op.getLoc(), SizeOp::create(rewriter, op.getLoc(), axis));
        sum = DivOp::create(rewriter, op.getLoc(), sum, size);
      }
    rewriter.replaceOp(op, sum);
    return success();
  }
};

/// f(x * s) = f(x) * s for other linear functions of one field. The field of a product has its axes in the same order.
template <typename OpTy> struct HoistScalarOfLinear : OpRewritePattern<OpTy> {
  using OpRewritePattern<OpTy>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpTy op, PatternRewriter &rewriter) const override {
    if constexpr (std::is_same_v<OpTy, BlockReduceOp>)
      if (op.getKind() != ReduceKind::Sum && op.getKind() != ReduceKind::Mean)
        return rewriter.notifyMatchFailure(op, "not linear");
    std::optional<Scaled> scaled = getScaled(op.getOperand());
    if (!scaled)
      return rewriter.notifyMatchFailure(op, "the operand is not scaled");
    IRMapping mapping;
    mapping.map(op.getOperand(), scaled->field);
    Operation *inner = rewriter.clone(*op, mapping);
    rewriter.replaceOpWithNewOp<MulOp>(op, inner->getResult(0), scaled->scalar);
    return success();
  }
};

/// rename(rename(x, a to b), b to c) = rename(x, a to c), and x where c is a.
struct MergeRenames : OpRewritePattern<RenameOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(RenameOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getOperand().getDefiningOp<RenameOp>();
    if (!inner || inner.getToAttr() != op.getFromAttr())
      return rewriter.notifyMatchFailure(op, "not two renames of one axis");
    if (inner.getFromAttr() == op.getToAttr())
      rewriter.replaceOp(op, inner.getOperand());
    else
      rewriter.replaceOpWithNewOp<RenameOp>(op, inner.getOperand(), inner.getFromAttr(), op.getToAttr());
    return success();
  }
};

/// x / c = x * (1 / c) for a constant whose reciprocal is finite and not 0
struct DivideByConstant : OpRewritePattern<DivOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(DivOp op, PatternRewriter &rewriter) const override {
    std::optional<double> divisor = getReal(op.getRhs());
    if (!divisor || !std::isnormal(*divisor) || !std::isnormal(1 / *divisor))
      return rewriter.notifyMatchFailure(op, "the divisor is no constant that has a reciprocal");
    Value factor = ConstantOp::create(rewriter, op.getLoc(), 1 / *divisor);
    rewriter.replaceOpWithNewOp<MulOp>(op, op.getLhs(), factor);
    return success();
  }
};

/// x - c = x + (-c) for a real constant
struct SubtractConstant : OpRewritePattern<SubOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SubOp op, PatternRewriter &rewriter) const override {
    std::optional<double> constant = getReal(op.getRhs());
    if (!constant)
      return rewriter.notifyMatchFailure(op, "no real constant is subtracted");
    Value negated = ConstantOp::create(rewriter, op.getLoc(), -*constant);
    rewriter.replaceOpWithNewOp<AddOp>(op, op.getLhs(), negated);
    return success();
  }
};

/// -(x * s) = x * (-s)
struct NegateScaled : OpRewritePattern<NegOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(NegOp op, PatternRewriter &rewriter) const override {
    std::optional<Scaled> scaled = getScaled(op.getOperand());
    if (!scaled)
      return rewriter.notifyMatchFailure(op, "the operand is not scaled");
    Value negated = NegOp::create(rewriter, op.getLoc(), scaled->scalar);
    rewriter.replaceOpWithNewOp<MulOp>(op, scaled->field, negated);
    return success();
  }
};

/// 2^x has a function of its own, and x^2 is a product.
struct SimplifyPower : OpRewritePattern<PowOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PowOp op, PatternRewriter &rewriter) const override {
    if (getReal(op.getLhs()) == 2.0)
      rewriter.replaceOpWithNewOp<Exp2Op>(op, op.getRhs());
    else if (getReal(op.getRhs()) == 2.0)
      rewriter.replaceOpWithNewOp<MulOp>(op, op.getLhs(), op.getLhs());
    else
      return rewriter.notifyMatchFailure(op, "neither base nor exponent is 2");
    return success();
  }
};

/// A predicate that is always true is none.
struct DropTruePredicate : OpRewritePattern<WeightsOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WeightsOp op, PatternRewriter &rewriter) const override {
    auto constant = op.getWhere() ? op.getWhere().getDefiningOp<ConstantOp>() : ConstantOp();
    if (!constant || !cast<BoolAttr>(constant.getValue()).getValue())
      return rewriter.notifyMatchFailure(op, "the predicate is not the constant true");
    rewriter.modifyOpInPlace(op, [&] { op.getWhereMutable().clear(); });
    return success();
  }
};

/// A mass that is 1 everywhere is none.
struct DropUnitMass : OpRewritePattern<WeightsOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WeightsOp op, PatternRewriter &rewriter) const override {
    if (!op.getMass() || getReal(op.getMass()) != 1.0)
      return rewriter.notifyMatchFailure(op, "the mass is not the constant 1");
    rewriter.modifyOpInPlace(op, [&] { op.getMassMutable().clear(); });
    return success();
  }
};

/// p(s * c * y) = p(c * y) * s for a scalar s in the coefficient or the value; a coefficient that is all scalar goes.
struct HoistScalarOfExpect : OpRewritePattern<ExpectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ExpectOp op, PatternRewriter &rewriter) const override {
    Value coefficient = op.getCoefficient(), value = op.getValue(), scalar;
    if (coefficient && isScalar(coefficient)) {
      scalar = coefficient;
      coefficient = {};
    } else if (auto scaled = coefficient ? getScaled(coefficient) : std::nullopt) {
      scalar = scaled->scalar;
      coefficient = scaled->field;
    } else if (auto scaled = getScaled(value)) {
      scalar = scaled->scalar;
      value = scaled->field;
    } else {
      return rewriter.notifyMatchFailure(op, "no scalar factor");
    }
    Value expectation = ExpectOp::create(rewriter, op.getLoc(), op.getWeights(), value, coefficient);
    rewriter.replaceOpWithNewOp<MulOp>(op, expectation, scalar);
    return success();
  }
};

/// read(S, q * s) = read(S, q) * s
struct HoistScalarOfRead : OpRewritePattern<ReadOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReadOp op, PatternRewriter &rewriter) const override {
    std::optional<Scaled> scaled = getScaled(op.getQuery());
    if (!scaled)
      return rewriter.notifyMatchFailure(op, "the query is not scaled");
    Value read = ReadOp::create(rewriter, op.getLoc(), op.getPointAttr(), op.getState(), scaled->field);
    rewriter.replaceOpWithNewOp<MulOp>(op, read, scaled->scalar);
    return success();
  }
};

/// A decay or an erase vector of 0 and a predicate that always holds are none. With an erase vector of 0 the delta rule
/// is the additive update.
struct DropNeutralOperands : OpRewritePattern<StateOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(StateOp op, PatternRewriter &rewriter) const override {
    auto isZero = [](Value value) { return value && getReal(value) == 0.0; };
    auto isTrue = [](Value value) {
      auto constant = value ? value.getDefiningOp<ConstantOp>() : ConstantOp();
      return constant && cast<BoolAttr>(constant.getValue()).getValue();
    };
    bool decay = isZero(op.getDecay()), erase = isZero(op.getErase()), where = isTrue(op.getWhere()),
         commit = isTrue(op.getCommit());
    if (!decay && !erase && !where && !commit)
      return rewriter.notifyMatchFailure(op, "no operand is neutral");
    rewriter.modifyOpInPlace(op, [&] {
      if (decay)
        op.getDecayMutable().clear();
      if (erase)
        op.getEraseMutable().clear();
      if (where)
        op.getWhereMutable().clear();
      if (commit) {
        op.getCommitMutable().clear();
        op.removeBlocksAttr();
      }
    });
    return success();
  }
};

} // namespace

void MulOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<MergeScalars, HoistScalarOfProduct>(context);
}
void DotOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfDot>(context);
}
void RenameOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfRename, MergeRenames>(context);
}
void GatherOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfLinear<GatherOp>>(context);
}
void ScanOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfLinear<ScanOp>>(context);
}
void BlockReduceOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfLinear<BlockReduceOp>>(context);
}
void FlattenOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfLinear<FlattenOp>>(context);
}
void ReduceOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfReduce, SumOfProduct>(context);
}
void DivOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<DivideByConstant>(context);
}
void SubOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<SubtractConstant>(context);
}
void NegOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<NegateScaled>(context);
}
void PowOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<SimplifyPower>(context);
}
void WeightsOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<DropTruePredicate, DropUnitMass>(context);
}
void ExpectOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfExpect>(context);
}
void StateOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<DropNeutralOperands>(context);
}
void ReadOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<HoistScalarOfRead>(context);
}
