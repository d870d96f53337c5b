// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-assign-layouts: every tile gets the layout of its thread fragments.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"
#include "passes/schedule/ScheduleUtils.h"

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

  /// True for an operand that a product reads from shared memory: loaded, perhaps widened. (Other uses of the load get
  /// a load of their own.)
  static bool isLoaded(Value operand) {
    if (auto wide = operand.getDefiningOp<arith::ExtFOp>())
      operand = wide.getIn();
    return operand.getDefiningOp<LoadOp>() != nullptr;
  }

  /// The layout that operand number `index` of a product needs.
  std::optional<Layout> operandLayout(DotOp dot, unsigned index) const {
    auto type = cast<RankedTensorType>(dot->getOperand(index).getType());
    bool across = index == 1 && dot.getContract()[1] == 0;
    int64_t rows = type.getDimSize(across), depth = type.getDimSize(!across);
    bool isF32 = type.getElementType().isF32(), plain = multipliesPlainly(dot);
    // Fragments as ldmatrix gives them, where both sides come from shared memory in rows along the depth; else such as
    // meet a left side that was computed.
    bool natural = dot.getContract()[1] == 1 && isLoaded(dot.getA()) && isLoaded(dot.getB());
    std::optional<Layout> layout;
    if (index == 0)
      return !isF32                          ? Layout::mmaLeft(rows, depth, warps)
             : plain && isLoaded(dot.getA()) ? Layout::fmaLeft(rows, depth, warps)
             : !plain && natural             ? Layout::mmaLeftSingle(rows, depth, warps)
                                             : Layout::mmaAccumulator(rows, depth, warps);
    layout = !isF32    ? Layout::mmaRight(rows, depth, warps)
             : plain   ? Layout::fmaRight(rows, depth, warps)
             : natural ? Layout::mmaRightSingle(rows, depth, warps)
                       : Layout::mmaRightPaired(rows, depth, warps);
    return layout && across ? std::optional(layout->transposed()) : layout;
  }
  std::optional<Layout> operandLayout(OpOperand *operand) const {
    return operandLayout(cast<DotOp>(operand->getOwner()), operand->getOperandNumber());
  }

  /// Loads that feed a product and something else are loaded for each; so are cheap vectors with several uses.
  void separateUses() {
    // A widened load belongs to one product: the conversion costs nothing more where it is made again.
    SmallVector<arith::ExtFOp> widened;
    launch.walk([&](arith::ExtFOp op) {
      if (isRank(op.getResult(), 2) && op.getIn().getDefiningOp<LoadOp>())
        widened.push_back(op);
    });
    for (arith::ExtFOp op : widened) {
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : op->getUses())
        uses.push_back(&use);
      b.setInsertionPointAfter(op);
      for (OpOperand *use : uses)
        if (use != uses.front() && (productOperandOf(*use) || productOperandOf(*uses.front())))
          use->set(b.clone(*op)->getResult(0));
    }
    SmallVector<Operation *> cheap;
    launch.walk([&](Operation *op) {
      if (isCheap(op) && op->getNumResults() == 1 && isa<RankedTensorType>(op->getResult(0).getType()))
        cheap.push_back(op);
    });
    for (Operation *op : cheap) {
      bool vector = isRank(op->getResult(0), 1);
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : op->getResult(0).getUses())
        uses.push_back(&use);
      if (!vector && !isa<LoadOp>(op))
        continue;
      for (OpOperand *use : llvm::drop_begin(uses)) {
        OpOperand *operand = productOperandOf(*use), *first = productOperandOf(*uses.front());
        if (!vector && !operand && !first)
          continue;
        if (!vector && operand && first && operandLayout(operand) == operandLayout(first))
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
      if (auto wide = value.getDefiningOp<arith::ExtFOp>())
        load = wide.getIn().getDefiningOp<LoadOp>();
      if (load && feedsProductsOnly(load)) {
        if (failed(set(value, operandLayout(firstProductOperandOf(value)))))
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
      } else if (isa<ScanOp, SliceOp, ConcatOp>(op) ||
                 (isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) && op->getNumResults() == 1)) {
        for (Value operand : op->getOperands())
          same(operand, op->getResult(0));
      }
    });
    launch.walk([&](GatherOp op) {
      for (Value which : op.getWhich()) {
        same(which, op.getWhich().front());
        same(which, op.getTile());
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
      else if (auto scan = dyn_cast<ScanOp>(op); scan && isRank(scan.getTotal(), 1))
        ask(scan.getTotal(), scan.getDim() == 1 ? Side::Row : Side::Column, op);
      else if (auto gather = dyn_cast<GatherOp>(op);
               gather && isRank(gather.getTile(), 2) && isRank(gather.getWhich().front(), 1))
        ask(gather.getWhich().front(), gather.getDims()[0] < 0 ? Side::Row : Side::Column, op);
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
