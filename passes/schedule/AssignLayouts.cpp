// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-assign-layouts: every tile gets the layout of its thread fragments.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/EquivalenceClasses.h"

namespace fovea::tile {
#define GEN_PASS_DEF_ASSIGNLAYOUTSPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

namespace {

enum class Side { Unknown, Row, Column, Both };

bool isRank(Value value, int64_t rank) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.getRank() == rank;
}

/// Cheap to compute twice, so that each use can have its own layout.
bool isCheap(Operation *op) { return isa_and_nonnull<IotaOp, SplatOp, arith::ConstantOp, LoadOp>(op); }

class LayoutAssigner {
public:
  LayoutAssigner(LaunchOp launch, int64_t warps) : launch(launch), warps(warps), b(launch.getContext()) {}

  LogicalResult run() {
    separateUses();
    if (failed(assignMatrices()) || failed(assignVectors()))
      return failure();
    return fixConstants();
  }

private:
  LaunchOp launch;
  int64_t warps;
  OpBuilder b;

  LogicalResult set(Value value, std::optional<Layout> layout) {
    auto type = cast<RankedTensorType>(value.getType());
    if (!layout)
      return emitError(value.getLoc()) << "a tile of type " << type << " does not fit " << warps
                                       << " warps of tensor-core fragments: rows must be a multiple of " << 16 * warps
                                       << " and columns of 8";
    value.setType(
        RankedTensorType::get(type.getShape(), type.getElementType(), LayoutAttr::get(b.getContext(), *layout)));
    return success();
  }

  std::optional<Layout> matrix(RankedTensorType type) const {
    return Layout::mmaAccumulator(type.getDimSize(0), type.getDimSize(1), warps);
  }

  /// The layout that operand number `index` of a product needs.
  std::optional<Layout> operandLayout(DotOp dot, unsigned index) const {
    auto type = cast<RankedTensorType>(dot->getOperand(index).getType());
    if (index == 0)
      return Layout::mmaLeft(type.getDimSize(0), type.getDimSize(1), warps);
    if (dot.getContract()[1] == 1)
      return Layout::mmaRight(type.getDimSize(0), type.getDimSize(1), warps);
    auto layout = Layout::mmaRight(type.getDimSize(1), type.getDimSize(0), warps);
    if (layout)
      layout = layout->transposed();
    return layout;
  }

  /// Loads that feed a product and something else are loaded for each; so are cheap vectors with several uses.
  void separateUses() {
    SmallVector<Operation *> cheap;
    launch.walk([&](Operation *op) {
      if (isCheap(op) && op->getNumResults() == 1 && isa<RankedTensorType>(op->getResult(0).getType()))
        cheap.push_back(op);
    });
    for (Operation *op : cheap) {
      bool vector = isRank(op->getResult(0), 1);
      auto isOperand = [](OpOperand &use) { return isa<DotOp>(use.getOwner()) && use.getOperandNumber() < 2; };
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : op->getResult(0).getUses())
        uses.push_back(&use);
      if (!vector && !isa<LoadOp>(op))
        continue;
      for (OpOperand *use : llvm::drop_begin(uses)) {
        if (!vector && !isOperand(*use) && !isOperand(*uses.front()))
          continue;
        if (!vector && isOperand(*use) && isOperand(*uses.front()) &&
            operandLayout(cast<DotOp>(use->getOwner()), use->getOperandNumber()) ==
                operandLayout(cast<DotOp>(uses.front()->getOwner()), uses.front()->getOperandNumber()))
          continue;
        b.setInsertionPointAfter(op);
        use->set(b.clone(*op)->getResult(0));
      }
    }
  }

  LogicalResult assignMatrices() {
    SmallVector<Value> values;
    forEachTile([&](Value value) {
      if (isRank(value, 2))
        values.push_back(value);
    });
    for (Value value : values) {
      auto load = value.getDefiningOp<LoadOp>();
      bool operandOnly = load && !value.use_empty() && llvm::all_of(value.getUses(), [](OpOperand &use) {
                           return isa<DotOp>(use.getOwner()) && use.getOperandNumber() < 2;
                         });
      if (operandOnly) {
        OpOperand &use = *value.getUses().begin();
        if (failed(set(value, operandLayout(cast<DotOp>(use.getOwner()), use.getOperandNumber()))))
          return failure();
      } else if (failed(set(value, matrix(cast<RankedTensorType>(value.getType()))))) {
        return failure();
      }
    }
    // Operands that are computed move from accumulator to operand layout where a product reads them.
    SmallVector<DotOp> dots;
    launch.walk([&](DotOp dot) { dots.push_back(dot); });
    for (DotOp dot : dots)
      for (unsigned index : {0u, 1u}) {
        Value operand = dot->getOperand(index);
        std::optional<Layout> needed = operandLayout(dot, index);
        if (!needed)
          return dot.emitOpError("has an operand that does not fit tensor-core fragments: ") << operand.getType();
        auto type = cast<RankedTensorType>(operand.getType());
        auto wanted = LayoutAttr::get(b.getContext(), *needed);
        if (type.getEncoding() == wanted)
          continue;
        b.setInsertionPoint(dot);
        auto to = RankedTensorType::get(type.getShape(), type.getElementType(), wanted);
        dot->setOperand(index, ConvertLayoutOp::create(b, dot.getLoc(), to, operand));
      }
    return success();
  }

  void forEachTile(function_ref<void(Value)> visit) {
    auto tile = [&](Value value) {
      if (isa<RankedTensorType>(value.getType()))
        visit(value);
    };
    launch.walk([&](Operation *op) {
      for (Value result : op->getResults())
        tile(result);
      for (Region &region : op->getRegions())
        for (Block &block : region)
          for (Value argument : block.getArguments())
            tile(argument);
    });
  }

  LogicalResult assignVectors() {
    SmallVector<Value> vectors;
    DenseMap<Value, unsigned> number;
    forEachTile([&](Value value) {
      if (isRank(value, 1)) {
        number[value] = vectors.size();
        vectors.push_back(value);
      }
    });
    llvm::EquivalenceClasses<unsigned> classes;
    for (unsigned n = 0; n < vectors.size(); ++n)
      classes.insert(n);
    auto same = [&](Value x, Value y) {
      if (isRank(x, 1) && isRank(y, 1))
        classes.unionSets(number[x], number[y]);
    };
    launch.walk([&](Operation *op) {
      if (auto loop = dyn_cast<scf::ForOp>(op)) {
        for (auto [init, argument, yielded, result] :
             llvm::zip(loop.getInitArgs(), loop.getRegionIterArgs(), loop.getYieldedValues(), loop.getResults())) {
          same(init, argument);
          same(argument, yielded);
          same(argument, result);
        }
      } else if (auto branch = dyn_cast<scf::IfOp>(op)) {
        for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()})
          if (!region->empty())
            for (auto [yielded, result] :
                 llvm::zip(region->front().getTerminator()->getOperands(), branch.getResults()))
              same(yielded, result);
      } else if (isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) && op->getNumResults() == 1) {
        for (Value operand : op->getOperands())
          same(operand, op->getResult(0));
      }
    });
    DenseMap<unsigned, Side> sides;
    DenseMap<unsigned, Operation *> reason;
    auto ask = [&](Value value, Side side, Operation *op) {
      Side &known = sides[classes.getLeaderValue(number[value])];
      known = known == Side::Unknown || known == side ? side : Side::Both;
      reason[classes.getLeaderValue(number[value])] = op;
    };
    launch.walk([&](Operation *op) {
      if (auto reduce = dyn_cast<ReduceOp>(op))
        ask(reduce.getTile(), reduce.getDim() == 1 ? Side::Row : Side::Column, op);
      else if (auto broadcast = dyn_cast<BroadcastOp>(op); broadcast && isRank(broadcast.getSource(), 1))
        ask(broadcast.getSource(), broadcast.getDims()[0] == 0 ? Side::Row : Side::Column, op);
    });
    for (unsigned n = 0; n < vectors.size(); ++n) {
      Side side = sides.lookup(classes.getLeaderValue(n));
      int64_t size = cast<RankedTensorType>(vectors[n].getType()).getDimSize(0);
      if (side == Side::Both)
        return reason[classes.getLeaderValue(n)]->emitOpError(
            "uses one vector along both queries and keys, which needs an exchange between threads "
            "that no schedule of this version makes");
      std::optional<Layout> layout = side == Side::Column ? Layout::mmaAccumulator(16 * warps, size, warps)
                                                          : Layout::mmaAccumulator(size, 8, warps);
      if (layout)
        layout = layout->slice(side == Side::Column ? 0 : 1);
      if (failed(set(vectors[n], layout)))
        return failure();
    }
    return success();
  }

  /// A constant's type stands in its value too.
  LogicalResult fixConstants() {
    launch.walk([&](arith::ConstantOp op) {
      auto type = dyn_cast<RankedTensorType>(op.getType());
      if (auto splat = dyn_cast<SplatElementsAttr>(op.getValue()); type && splat)
        op.setValueAttr(splat.resizeSplat(type));
    });
    return success();
  }
};

struct AssignLayouts : tile::impl::AssignLayoutsPassBase<AssignLayouts> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      auto warps = launch.getScheduleAttr() ? launch.getScheduleAttr().getAs<IntegerAttr>("warps") : IntegerAttr();
      if (!warps) {
        launch.emitOpError("has no schedule record");
        return signalPassFailure();
      }
      if (failed(LayoutAssigner(launch, warps.getInt()).run()))
        return signalPassFailure();
    }
  }
};

} // namespace
