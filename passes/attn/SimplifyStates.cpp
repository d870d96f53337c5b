// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-simplify-states: see Passes.td.
#include "passes/analysis/DecayRange.h"
#include "passes/attn/Passes.h"
#include "passes/attn/Retype.h"

#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/DenseMap.h"

namespace fovea::attn {
#define GEN_PASS_DEF_ATTNSIMPLIFYSTATESPASS
#include "passes/attn/Passes.h.inc"
} // namespace fovea::attn

using namespace mlir;
using namespace fovea::attn;

namespace {

bool hasAxis(Value value, StringAttr axis) { return cast<FieldType>(value.getType()).hasAxis(axis); }

bool isConstant(Value value, double number) {
  auto constant = value.getDefiningOp<ConstantOp>();
  if (!constant)
    return false;
  if (auto real = dyn_cast<FloatAttr>(constant.getValue()))
    return real.getValueAsDouble() == number;
  auto integer = dyn_cast<IntegerAttr>(constant.getValue());
  return integer && static_cast<double>(integer.getInt()) == number;
}

//===--- decays that do not vary along the key axis ---===//

/// Makes fields again without an axis along which they do not vary.
class WithoutAxis {
public:
  WithoutAxis(OpBuilder &builder, StringAttr axis) : builder(builder), axis(axis) {}

  bool isPossible(Value value) {
    auto [known, isNew] = possible.try_emplace(value, false);
    if (!isNew)
      return known->second;
    bool result = check(value);
    return possible[value] = result;
  }

  Value make(Value value) {
    if (!hasAxis(value, axis))
      return value;
    if (Value known = made.lookup(value))
      return known;
    Operation *op = value.getDefiningOp();
    Value result;
    if (isZeroProduct(op)) {
      result = ConstantOp::create(builder, op->getLoc(), int64_t(0));
    } else {
      SmallVector<Value> operands;
      for (Value operand : op->getOperands())
        operands.push_back(make(operand));
      OperationState state(op->getLoc(), op->getName());
      state.addOperands(operands);
      state.propertiesAttr = op->getPropertiesAsAttribute();
      SmallVector<Type> types;
      if (failed(cast<InferTypeOpInterface>(op).inferReturnTypes(op->getContext(), op->getLoc(), operands,
                                                                 op->getAttrDictionary(), op->getPropertiesStorage(),
                                                                 op->getRegions(), types)))
        return {};
      state.addTypes(types);
      result = builder.create(state)->getResult(0);
    }
    return made[value] = result;
  }

private:
  /// Only of ints: a real 0 times NaN is none.
  static bool isZeroProduct(Operation *op) {
    auto product = dyn_cast<MulOp>(op);
    return product && cast<FieldType>(product.getResult().getType()).isInt() &&
           (isConstant(product.getLhs(), 0) || isConstant(product.getRhs(), 0));
  }

  bool check(Value value) {
    if (!hasAxis(value, axis))
      return true;
    Operation *op = value.getDefiningOp();
    bool passes = isa<PointwiseOpInterface>(op);
    if (auto rename = dyn_cast<RenameOp>(op))
      passes = rename.getFromAttr() != axis && rename.getToAttr() != axis;
    return isZeroProduct(op) ||
           (passes && llvm::all_of(op->getOperands(), [&](Value operand) { return isPossible(operand); }));
  }

  OpBuilder &builder;
  StringAttr axis;
  llvm::DenseMap<Value, bool> possible;
  llvm::DenseMap<Value, Value> made;
};

bool decayPerToken(StateOp op) {
  Value decay = op.getDecay();
  if (!decay || !hasAxis(decay, op.getKeyAxisAttr()))
    return false;
  OpBuilder builder(op);
  WithoutAxis without(builder, op.getKeyAxisAttr());
  if (!without.isPossible(decay))
    return false;
  op.getDecayMutable().assign(without.make(decay));
  return true;
}

//===--- equal features ---===//

/// The parts of a concatenation along `axis`, all of one field; null where it is none.
ConcatOp getRepeated(Value value, StringAttr axis) {
  auto concat = value.getDefiningOp<ConcatOp>();
  if (!concat || concat.getAlongAttr() != axis || concat.getOperands().size() < 2 ||
      !llvm::all_equal(concat.getOperands()) || !llvm::all_equal(concat.getParts()))
    return {};
  return concat;
}

/// The sum of the parts of a field that is a concatenation of parts of the same axis; null where it is none.
Value sumOfParts(OpBuilder &builder, Value value, ConcatOp like) {
  auto concat = value.getDefiningOp<ConcatOp>();
  if (!concat || concat.getAlongAttr() != like.getAlongAttr() || concat.getParts() != like.getParts())
    return {};
  Value sum = concat.getOperands().front();
  for (Value next : concat.getOperands().drop_front())
    sum = AddOp::create(builder, concat.getLoc(), sum, next);
  return sum;
}

bool fuseEqualFeatures(StateOp op) {
  ConcatOp key = getRepeated(op.getKey(), op.getKeyAxisAttr());
  if (!key || op.getErase() || op.getInitial() || op->use_empty() ||
      (op.getDecay() && hasAxis(op.getDecay(), op.getKeyAxisAttr())))
    return false;
  auto part = cast<StringAttr>(key.getParts()[0]);
  for (Value other : {op.getValue(), op.getDecay(), op.getWhere(), op.getCommit()})
    if (other && hasAxis(other, part))
      return false;
  for (Operation *user : op->getUsers()) {
    auto read = dyn_cast<ReadOp>(user);
    auto query = read ? read.getQuery().getDefiningOp<ConcatOp>() : ConcatOp();
    if (!query || query.getAlongAttr() != key.getAlongAttr() || query.getParts() != key.getParts())
      return false;
  }
  OpBuilder builder(op);
  auto fused = StateOp::create(builder, op.getLoc(), op.getTokenAttr(), op.getReverseAttr(), key.getOperands().front(),
                               part, op.getValue(), op.getValueAxisAttr(), op.getDecay(), Value(), op.getWhere(),
                               op.getCommit(), op.getBlocksAttr(), Value());
  for (Operation *user : llvm::make_early_inc_range(op->getUsers())) {
    auto read = cast<ReadOp>(user);
    builder.setInsertionPoint(read);
    Value query = sumOfParts(builder, read.getQuery(), key);
    Value value = ReadOp::create(builder, read.getLoc(), read.getPointAttr(), fused, query);
    read.getResult().replaceAllUsesWith(value);
    read.erase();
  }
  op.erase();
  return true;
}

bool fuseEqualFeatures(DotOp op) {
  SmallVector<StringAttr> axes = toAxes(op.getAxes());
  if (axes.size() != 1)
    return false;
  for (bool left : {false, true}) {
    Value repeated = left ? op.getLhs() : op.getRhs(), other = left ? op.getRhs() : op.getLhs();
    ConcatOp concat = getRepeated(repeated, axes.front());
    auto otherConcat = other.getDefiningOp<ConcatOp>();
    if (!concat || !otherConcat || otherConcat.getAlongAttr() != concat.getAlongAttr() ||
        otherConcat.getParts() != concat.getParts())
      continue;
    OpBuilder builder(op);
    Value sum = sumOfParts(builder, other, concat), part = concat.getOperands().front();
    op.getResult().replaceAllUsesWith(DotOp::create(builder, op.getLoc(), left ? part : sum, left ? sum : part,
                                                    builder.getArrayAttr(concat.getParts()[0])));
    op.erase();
    return true;
  }
  return false;
}

//===--- row scales before a norm ---===//

/// A field without its positive factors that do not vary along `axes`. The result has all the axes of the field.
Value stripScale(OpBuilder &builder, Value value, ArrayRef<StringAttr> axes) {
  auto isScale = [&](Value scale, Value rest) {
    ArrayRef<StringAttr> own = cast<FieldType>(scale.getType()).getAxes();
    return llvm::all_of(own, [&](StringAttr axis) { return hasAxis(rest, axis) && !llvm::is_contained(axes, axis); }) &&
           fovea::analysis::deriveRange(scale).isPositive();
  };
  if (auto product = value.getDefiningOp<MulOp>()) {
    if (isScale(product.getRhs(), product.getLhs()))
      return stripScale(builder, product.getLhs(), axes);
    if (isScale(product.getLhs(), product.getRhs()))
      return stripScale(builder, product.getRhs(), axes);
  }
  if (auto quotient = value.getDefiningOp<DivOp>())
    if (isScale(quotient.getRhs(), quotient.getLhs()))
      return stripScale(builder, quotient.getLhs(), axes);
  if (auto read = value.getDefiningOp<ReadOp>()) {
    SmallVector<StringAttr> inside(axes);
    inside.push_back(cast<StateType>(read.getState().getType()).getKey());
    Value query = stripScale(builder, read.getQuery(), inside);
    if (query != read.getQuery())
      return ReadOp::create(builder, read.getLoc(), read.getPointAttr(), read.getState(), query);
  }
  return value;
}

/// x * rsqrt(sum of x * x over axes), the sum possibly a mean or times a constant, and nothing added to it.
bool dropRowScale(MulOp op) {
  for (bool left : {false, true}) {
    Value x = left ? op.getRhs() : op.getLhs();
    auto root = (left ? op.getLhs() : op.getRhs()).getDefiningOp<RsqrtOp>();
    if (!root)
      continue;
    Value inside = root.getOperand(), factor;
    while (true) {
      if (auto sum = inside.getDefiningOp<AddOp>(); sum && isConstant(sum.getRhs(), 0))
        inside = sum.getLhs();
      else if (auto product = inside.getDefiningOp<MulOp>();
               !factor && product && product.getRhs().getDefiningOp<ConstantOp>()) {
        inside = product.getLhs();
        factor = product.getRhs();
      } else {
        break;
      }
    }
    auto reduce = inside.getDefiningOp<ReduceOp>();
    auto dot = inside.getDefiningOp<DotOp>();
    auto square = reduce ? reduce.getOperand().getDefiningOp<MulOp>() : MulOp();
    bool isNorm = dot ? dot.getLhs() == x && dot.getRhs() == x
                      : square && square.getLhs() == x && square.getRhs() == x &&
                            (reduce.getKind() == ReduceKind::Sum || reduce.getKind() == ReduceKind::Mean);
    if (!isNorm)
      continue;
    OpBuilder builder(op);
    Location loc = op.getLoc();
    Value plain = stripScale(builder, x, toAxes(dot ? dot.getAxes() : reduce.getAxes()));
    if (plain == x)
      continue;
    Value sum;
    if (dot)
      sum = DotOp::create(builder, loc, plain, plain, dot.getAxesAttr());
    else
      sum = ReduceOp::create(builder, loc, reduce.getKindAttr(), MulOp::create(builder, loc, plain, plain),
                             reduce.getAxesAttr());
    if (factor)
      sum = MulOp::create(builder, loc, sum, factor);
    Value norm = RsqrtOp::create(builder, loc, sum);
    op.getResult().replaceAllUsesWith(
        MulOp::create(builder, loc, left ? norm : plain, left ? plain : norm).getResult());
    op.erase();
    return true;
  }
  return false;
}

/// A read between decay and write is one before both, decayed, where all keys decay alike: scaled after the product, in
/// f32, so that a steep decay is no operand of 16 bits.
bool decayAfterRead(ReadOp read) {
  auto state = read.getState().getDefiningOp<StateOp>();
  if (read.getPoint() != ReadPoint::Decayed || !state)
    return false;
  OpBuilder builder(read);
  Location loc = read.getLoc();
  Value decay = state.getDecay();
  if (decay && hasAxis(decay, state.getKeyAxisAttr()))
    return false;
  Value result = ReadOp::create(builder, loc, ReadPointAttr::get(builder.getContext(), ReadPoint::Prev),
                                read.getState(), read.getQuery());
  if (decay) {
    if (Value takesPart = state.getWhere())
      decay = SelectOp::create(builder, loc, takesPart, decay, ConstantOp::create(builder, loc, 0.0));
    result = MulOp::create(builder, loc, result, ExpOp::create(builder, loc, decay));
  }
  read.getResult().replaceAllUsesWith(result);
  read.erase();
  return true;
}

struct SimplifyStatesPass : fovea::attn::impl::AttnSimplifyStatesPassBase<SimplifyStatesPass> {
  using AttnSimplifyStatesPassBase::AttnSimplifyStatesPassBase;

  void runOnOperation() override {
    bool changed = false;
    // Those that a rewrite of another one may erase are of other kinds.
    SmallVector<Operation *> program;
    for (Operation &op : getOperation().getBody().front())
      if (isa<StateOp, DotOp, MulOp>(op))
        program.push_back(&op);
    for (Operation *op : program) {
      if (auto state = dyn_cast<StateOp>(op)) {
        changed |= decayPerToken(state);
        changed |= fuseEqualFeatures(state);
      } else if (auto dot = dyn_cast<DotOp>(op)) {
        changed |= fuseEqualFeatures(dot);
      } else if (auto product = dyn_cast<MulOp>(op)) {
        changed |= dropRowScale(product);
      }
    }
    SmallVector<ReadOp> reads(getOperation().getBody().front().getOps<ReadOp>());
    for (ReadOp read : reads)
      changed |= decayAfterRead(read);
    if (changed && failed(inferTypesAgain(getOperation())))
      signalPassFailure();
  }
};

} // namespace
