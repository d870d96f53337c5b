// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-drop-absent: see Passes.td. Operations are made again from their new operands, which may lack axes that the old
// ones had; where an operation needs such an axis the operand is broadcast.
#include "passes/attn/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"

namespace fovea::attn {
#define GEN_PASS_DEF_ATTNDROPABSENTPASS
#include "passes/attn/Passes.h.inc"
} // namespace fovea::attn

using namespace mlir;
using namespace fovea::attn;

namespace {

FieldType fieldOf(Value value) { return cast<FieldType>(value.getType()); }

bool isZero(Value value) {
  auto constant = value.getDefiningOp<ConstantOp>();
  if (!constant)
    return false;
  if (auto number = dyn_cast<FloatAttr>(constant.getValue()))
    return number.getValueAsDouble() == 0;
  auto number = dyn_cast<IntegerAttr>(constant.getValue());
  return number && number.getValue().isZero();
}

class Rebuilder {
public:
  explicit Rebuilder(Operation *op) : builder(op), loc(op->getLoc()) {}

  Value zero(Kind kind) {
    if (kind == Kind::Real)
      return ConstantOp::create(builder, loc, 0.0);
    return kind == Kind::Int ? ConstantOp::create(builder, loc, int64_t(0)) : ConstantOp::create(builder, loc, false);
  }

  /// `value`, with the axis.
  Value broadcast(Value value, StringAttr axis) {
    FieldType field = fieldOf(value);
    if (field.hasAxis(axis))
      return value;
    Value index = IndexOp::create(builder, loc, axis);
    if (field.isBool()) {
      Value start = ConstantOp::create(builder, loc, int64_t(0));
      Value all = GeOp::create(builder, loc, index, start);
      return AndOp::create(builder, loc, value, all);
    }
    Value nothing = MulOp::create(builder, loc, index, ConstantOp::create(builder, loc, int64_t(0)));
    if (field.isReal())
      nothing = ToRealOp::create(builder, loc, nothing);
    return AddOp::create(builder, loc, value, nothing);
  }

  /// The operation on new operands.
  Value again(Operation *op, ArrayRef<Value> operands) {
    OperationState state(op->getLoc(), op->getName());
    state.addOperands(operands);
    state.addAttributes(op->getAttrs());
    state.propertiesAttr = op->getPropertiesAsAttribute();
    SmallVector<Type> types;
    auto infer = op->getName().getInterface<InferTypeOpInterface>();
    if (failed(infer->inferReturnTypes(op->getContext(), op->getLoc(), operands, op->getAttrDictionary(),
                                       op->getPropertiesStorage(), op->getRegions(), types)))
      return {};
    state.addTypes(types);
    return builder.create(state)->getResult(0);
  }

  Value reduce(ReduceOp op, Value x) {
    SmallVector<Attribute> axes;
    SmallVector<StringAttr> missing;
    for (StringAttr axis : toAxes(op.getAxes()))
      fieldOf(x).hasAxis(axis) ? axes.push_back(axis) : missing.push_back(axis);
    if (!axes.empty())
      x = ReduceOp::create(builder, loc, op.getKind(), x, builder.getArrayAttr(axes));
    for (StringAttr axis : missing) {
      // A sum of equal terms is a product, their logsumexp a sum; their mean and extremes are each of them.
      Value size = SizeOp::create(builder, loc, axis);
      if (op.getKind() == ReduceKind::LogSumExp || fieldOf(x).isReal())
        size = ToRealOp::create(builder, loc, size);
      if (op.getKind() == ReduceKind::Sum)
        x = MulOp::create(builder, loc, x, size);
      else if (op.getKind() == ReduceKind::LogSumExp)
        x = AddOp::create(builder, loc, x, LogOp::create(builder, loc, size));
    }
    return x;
  }

  Value dot(DotOp op, Value a, Value b) {
    if (isZero(a) || isZero(b))
      return zero(Kind::Real);
    SmallVector<Attribute> both, left, right;
    SmallVector<StringAttr> none;
    for (StringAttr axis : toAxes(op.getAxes())) {
      bool inA = fieldOf(a).hasAxis(axis), inB = fieldOf(b).hasAxis(axis);
      if (!inA && !inB)
        none.push_back(axis);
      else
        (inA && inB ? both : inA ? left : right).push_back(axis);
    }
    if (!left.empty())
      a = ReduceOp::create(builder, loc, ReduceKind::Sum, a, builder.getArrayAttr(left));
    if (!right.empty())
      b = ReduceOp::create(builder, loc, ReduceKind::Sum, b, builder.getArrayAttr(right));
    Value value = both.empty() ? Value(MulOp::create(builder, loc, a, b))
                               : Value(DotOp::create(builder, loc, a, b, builder.getArrayAttr(both)));
    for (StringAttr axis : none) {
      Value size = SizeOp::create(builder, loc, axis);
      value = MulOp::create(builder, loc, value, ToRealOp::create(builder, loc, size));
    }
    return value;
  }

  /// Coefficients may have row axes only, so weights keep those that a coefficient reads.
  Value weights(WeightsOp op, SmallVector<Value> operands) {
    for (Operation *user : op->getUsers())
      if (auto expect = dyn_cast<ExpectOp>(user); expect && expect.getCoefficient())
        for (StringAttr axis : fieldOf(expect.getCoefficient()).getAxes())
          if (axis != op.getOverAttr() && !llvm::is_contained(op.getQueryAxes(), axis) &&
              llvm::none_of(operands, [&](Value operand) { return fieldOf(operand).hasAxis(axis); }))
            operands.front() = broadcast(operands.front(), axis);
    return again(op, operands);
  }

  /// Operands that have no effect go; the others keep the axes that the recurrence names.
  Value state(StateOp op, llvm::function_ref<Value(Value)> get) {
    auto take = [&](Value operand) {
      Value value = operand ? get(operand) : Value();
      return value && isZero(value) && !fieldOf(value).isBool() ? Value() : value;
    };
    StringAttr key = op.getKeyAxisAttr(), value = op.getValueAxisAttr();
    Value newKey = broadcast(get(op.getKey()), key), newValue = get(op.getValue()), initial = take(op.getInitial());
    if (initial)
      initial = broadcast(initial, key);
    if (value) {
      newValue = broadcast(newValue, value);
      if (initial)
        initial = broadcast(initial, value);
    }
    return StateOp::create(builder, loc, op.getTokenAttr(), op.getReverseAttr(), newKey, key, newValue, value,
                           take(op.getDecay()), take(op.getErase()), op.getWhere() ? get(op.getWhere()) : Value(),
                           op.getCommit() ? get(op.getCommit()) : Value(), op.getBlocksAttr(), initial);
  }

  Value conv(ConvOp op, SmallVector<Value> x) {
    if (isZero(x[0]) || isZero(x[1]))
      return zero(Kind::Real);
    for (StringAttr axis : toAxes(op.getAlong()))
      x[0] = broadcast(x[0], axis);
    for (StringAttr axis : toAxes(op.getTaps()))
      x[1] = broadcast(x[1], axis);
    return again(op, x);
  }

  Value rebuild(Operation *op, SmallVector<Value> x) {
    Kind kind = Kind::Real;
    if (auto field = dyn_cast<FieldType>(op->getResult(0).getType()))
      kind = field.getKind();
    // Linear in the one field, or the field at other places.
    bool keepsZero = isa<RenameOp, RowAtOp, SliceOp, GatherOp, ScanOp, FlattenOp>(op);
    if (auto reduce = dyn_cast<BlockReduceOp>(op))
      keepsZero = reduce.getKind() != ReduceKind::LogSumExp;
    if (auto reduce = dyn_cast<ReduceOp>(op))
      keepsZero = reduce.getKind() != ReduceKind::LogSumExp;
    if ((keepsZero && isZero(x[0])) || (isa<MulOp>(op) && (isZero(x[0]) || isZero(x[1]))))
      return zero(kind);
    return llvm::TypeSwitch<Operation *, Value>(op)
        .Case([&](ReduceOp op) { return reduce(op, x[0]); })
        .Case([&](DotOp op) { return dot(op, x[0], x[1]); })
        .Case([&](WeightsOp op) { return weights(op, x); })
        .Case([&](StateOp op) {
          return state(op,
                       [&](Value operand) { return x[llvm::find(op->getOperands(), operand) - op->operand_begin()]; });
        })
        .Case([&](ReadOp op) {
          return again(op, {x[0], broadcast(x[1], cast<StateType>(x[0].getType()).getKey())});
        })
        .Case([&](ConvOp op) { return conv(op, x); })
        .Case<RenameOp, SliceOp>([&](auto op) { return fieldOf(x[0]).hasAxis(op.getFromAttr()) ? again(op, x) : x[0]; })
        .Case([&](BlockReduceOp op) { return again(op, broadcast(x[0], op.getFromAttr())); })
        .Case([&](RowAtOp op) { return again(op, broadcast(x[0], op.getKeysAttr())); })
        .Case([&](ScanOp op) { return again(op, broadcast(x[0], op.getAxisAttr())); })
        .Case([&](GatherOp op) {
          return again(op, {broadcast(x[0], op.getAxisAttr()), x[1]});
        })
        .Case([&](FlattenOp op) {
          for (StringAttr axis : toAxes(op.getFrom()))
            x[0] = broadcast(x[0], axis);
          return again(op, x);
        })
        .Case([&](ConcatOp op) {
          for (auto [operand, part] : llvm::zip(x, toAxes(op.getParts())))
            operand = broadcast(operand, part);
          return again(op, x);
        })
        .Default([&](Operation *op) { return again(op, x); });
  }

private:
  OpBuilder builder;
  Location loc;
};

} // namespace

LogicalResult fovea::attn::dropAbsent(AttentionOp attention, ArrayRef<std::string> names) {
  IRMapping mapping;
  llvm::StringSet<> absent;
  for (const std::string &name : names)
    absent.insert(name);
  SmallVector<Operation *> replaced;
  for (Operation &op : llvm::make_early_inc_range(attention.getBody().front())) {
    if (auto input = dyn_cast<InputOp>(op); input && absent.erase(input.getName())) {
      if (!input.getOptional())
        return input.emitOpError("'") << input.getName() << "' is not optional";
      mapping.map(input.getResult(), Rebuilder(&op).zero(input.getField().getKind()));
      replaced.push_back(&op);
      continue;
    }
    // Memory that is not passed is not written.
    if (auto output = dyn_cast<OutputOp>(op);
        output && output.getCarry() && llvm::is_contained(names, output.getName())) {
      op.erase();
      continue;
    }
    if (llvm::none_of(op.getOperands(), [&](Value operand) { return mapping.contains(operand); }))
      continue;
    if (op.getNumResults() == 0 || isa<InputOp>(op)) { // an output is broadcast to its axes
      for (OpOperand &operand : op.getOpOperands())
        operand.set(mapping.lookupOrDefault(operand.get()));
      continue;
    }
    SmallVector<Value> operands;
    for (Value operand : op.getOperands())
      operands.push_back(mapping.lookupOrDefault(operand));
    Value value = Rebuilder(&op).rebuild(&op, operands);
    if (!value)
      return failure();
    mapping.map(op.getResult(0), value);
    replaced.push_back(&op);
  }
  for (Operation *op : llvm::reverse(replaced))
    op->erase();
  if (!absent.empty())
    return attention.emitOpError("has no input '") << absent.begin()->first() << "'";
  return success();
}

namespace {

struct DropAbsentPass : fovea::attn::impl::AttnDropAbsentPassBase<DropAbsentPass> {
  using AttnDropAbsentPassBase::AttnDropAbsentPassBase;

  void runOnOperation() override {
    if (failed(dropAbsent(getOperation(), SmallVector<std::string>(inputs.begin(), inputs.end()))))
      signalPassFailure();
  }
};

} // namespace
