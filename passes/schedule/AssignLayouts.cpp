// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-assign-layouts: every tile gets the layout of its thread fragments.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"
#include "passes/schedule/ScheduleUtils.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/EquivalenceClasses.h"

namespace fovea::tile {
#define GEN_PASS_DEF_ASSIGNLAYOUTSPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

namespace {

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
    findDealt();
    separateUses();
    findDealt(); // uses have values of their own now
    findTransposed();
    if (failed(assignMatrices()) || failed(assignVectors()))
      return failure();
    loadOnce();
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

  DenseSet<Value> transposed; // tiles that keep the threads of what they are the transposes of
  DenseSet<Value> dealt;      // tiles whose columns go to the warps that their rows leave over

  std::optional<Layout> matrix(Value value) const {
    auto type = cast<RankedTensorType>(value.getType());
    bool deal = dealt.contains(value);
    if (!transposed.contains(value))
      return Layout::mmaAccumulator(type.getDimSize(0), type.getDimSize(1), warps, deal);
    return transposeOf(Layout::mmaAccumulator(type.getDimSize(1), type.getDimSize(0), warps, deal));
  }

  /// True if parts of a tile are in the threads of the whole where columns are dealt: those go round in step.
  bool isInStep(Value whole, Value part, unsigned dim, int64_t place) const {
    auto of = cast<RankedTensorType>(whole.getType()), to = cast<RankedTensorType>(part.getType());
    if (of.getRank() != 2 || dim != 1)
      return false;
    int64_t across = Layout::warpsOfColumns(of.getDimSize(0), of.getDimSize(1), warps);
    return Layout::warpsOfColumns(to.getDimSize(0), to.getDimSize(1), warps) == across && place % (16 * across) == 0;
  }
  bool cutsInStep(Operation *op) const {
    if (auto slice = dyn_cast<SliceOp>(op))
      return isInStep(slice.getSource(), slice.getTile(), slice.getDim(), slice.getOffset());
    auto concat = dyn_cast<ConcatOp>(op);
    int64_t place = 0;
    for (Value source : concat ? concat.getSources() : ValueRange()) {
      if (!isInStep(concat.getTile(), source, concat.getDim(), place))
        return false;
      place += cast<RankedTensorType>(source.getType()).getShape().back();
    }
    return true;
  }

  /// Columns are dealt of all tiles but those that are cut or put together out of step with the dealing, or are
  /// multiplied as f32, and what is computed with such element by element.
  void findDealt() {
    MatrixClasses of = matrixClasses();
    auto unite = [&](Value x, Value y) { of.classes.unionSets(of.number[x], of.number[y]); };
    DenseSet<unsigned> refuses;
    launch.walk([&](Operation *op) {
      if (auto dot = dyn_cast<DotOp>(op)) {
        unite(dot.getAcc(), dot.getTile());
      } else if (auto transpose = dyn_cast<TransposeOp>(op)) {
        unite(transpose.getSource(), transpose.getTile());
      } else if (auto inverse = dyn_cast<UnitTrilInverseOp>(op)) {
        unite(inverse.getSource(), inverse.getTile());
      }
    });
    for (Value value : of.values) {
      Operation *def = value.getDefiningOp();
      auto dot = dyn_cast_or_null<DotOp>(def);
      bool isCut = isa_and_nonnull<GatherOp>(def) || (def && !cutsInStep(def)) ||
                   llvm::any_of(value.getUsers(), [&](Operation *user) { return !cutsInStep(user); });
      if (isCut || (dot && getElementTypeOrSelf(dot.getA().getType()).isF32()))
        refuses.insert(of.leader(value));
    }
    dealt.clear();
    for (Value value : of.values)
      if (!refuses.contains(of.leader(value)))
        dealt.insert(value);
  }
  static std::optional<Layout> transposeOf(const std::optional<Layout> &layout) {
    return layout ? std::optional(layout->transposed()) : std::nullopt;
  }
  static const Layout &layoutOf(Value value) { return tile::layoutOf(value.getType()).getLayout(); }
  Value converted(Value value, const Layout &to, OpBuilder &at) const {
    auto type = cast<RankedTensorType>(value.getType());
    auto wanted = RankedTensorType::get(type.getShape(), type.getElementType(), LayoutAttr::get(b.getContext(), to));
    return ConvertLayoutOp::create(at, value.getLoc(), wanted, value);
  }

  /// True for an operand that a product reads from shared memory: loaded, perhaps widened. (Other uses of the load get
  /// a load of their own.)
  static bool isLoaded(Value operand) {
    if (auto wide = operand.getDefiningOp<arith::ExtFOp>())
      operand = wide.getIn();
    return operand.getDefiningOp<LoadOp>() != nullptr;
  }

  /// Tiles of rank 2 that lie in the same threads.
  struct MatrixClasses {
    SmallVector<Value> values;
    DenseMap<Value, unsigned> number;
    llvm::EquivalenceClasses<unsigned> classes;
    unsigned leader(Value value) { return classes.getLeaderValue(number[value]); }
  };
  MatrixClasses matrixClasses() {
    MatrixClasses result;
    forEachTile([&](Value value) {
      if (isRank(value, 2)) {
        result.number[value] = result.values.size();
        result.values.push_back(value);
      }
    });
    for (unsigned n = 0; n < result.values.size(); ++n)
      result.classes.insert(n);
    forEachEqual([&](Value x, Value y) {
      if (isRank(x, 2) && isRank(y, 2))
        result.classes.unionSets(result.number[x], result.number[y]);
    });
    return result;
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
    int64_t resultRows = dealt.contains(dot.getTile()) ? dot.getTile().getType().getDimSize(0) : 0;
    if (index == 0)
      return !isF32                          ? Layout::mmaLeft(rows, depth, warps)
             : plain && isLoaded(dot.getA()) ? Layout::fmaLeft(rows, depth, warps)
             : !plain && natural             ? Layout::mmaLeftSingle(rows, depth, warps)
                                             : Layout::mmaAccumulator(rows, depth, warps);
    layout = !isF32    ? Layout::mmaRight(rows, depth, warps, resultRows)
             : plain   ? Layout::fmaRight(rows, depth, warps)
             : natural ? Layout::mmaRightSingle(rows, depth, warps)
                       : Layout::mmaRightPaired(rows, depth, warps);
    return layout && across ? std::optional(layout->transposed()) : layout;
  }
  std::optional<Layout> operandLayout(OpOperand *operand) const {
    return operandLayout(cast<DotOp>(operand->getOwner()), operand->getOperandNumber());
  }

  /// In which layout a use of a load, or of its transpose, asks for the tile.
  std::optional<Layout> wanted(OpOperand &use) const {
    auto type = cast<RankedTensorType>(use.get().getType());
    if (OpOperand *operand = productOperandOf(use))
      return operandLayout(operand);
    if (isa<DecayedDotOp>(use.getOwner())) // reads its operands from shared memory as it goes, whatever their layout
      return rowMajor(type);
    if (auto transpose = dyn_cast<TransposeOp>(use.getOwner()); transpose && !transpose.getTile().use_empty())
      return transposeOf(wanted(*transpose.getTile().use_begin()));
    return matrix(use.get());
  }
  std::optional<Layout> rowMajor(RankedTensorType type) const {
    return Layout::rowMajor(type.getDimSize(0), type.getDimSize(1), 128 / type.getElementTypeBitWidth(), warps);
  }

  /// True for a load whose every use has the layout that it asks for: uses that ask for different ones have loads of
  /// their own.
  static bool isSplit(LoadOp load) {
    return isRank(load.getTile(), 2) &&
           (isStagedForChunks(load) || llvm::any_of(load.getTile().getUsers(), [](Operation *user) {
              return isa<TransposeOp, DecayedDotOp>(user);
            }));
  }
  /// Gives each use of a result the clone that belongs to the layout that it asks for; and each that is computed with
  /// element by element one of its own, since that may be transposed or not.
  void split(Operation *op) {
    llvm::MapVector<std::pair<Attribute, Operation *>, SmallVector<OpOperand *>> groups;
    for (OpOperand &use : op->getResult(0).getUses())
      if (std::optional<Layout> layout = wanted(use)) {
        Operation *own = isElementwise(use.getOwner()) && !productOperandOf(use) ? use.getOwner() : nullptr;
        groups[{LayoutAttr::get(b.getContext(), *layout), own}].push_back(&use);
      }
    b.setInsertionPointAfter(op);
    for (auto &[layout, uses] : llvm::drop_begin(groups)) {
      Operation *clone = b.clone(*op);
      for (OpOperand *use : uses)
        use->set(clone->getResult(0));
    }
  }
  void splitTransposed() {
    SmallVector<TransposeOp> transposes;
    launch.walk([&](TransposeOp op) { transposes.push_back(op); });
    for (TransposeOp op : transposes)
      if (op.getSource().getDefiningOp<LoadOp>())
        split(op);
    SmallVector<LoadOp> loads;
    launch.walk([&](LoadOp op) { loads.push_back(op); });
    for (LoadOp op : loads)
      if (isSplit(op))
        split(op);
    if (transposes.empty())
      return;
    // Tiles of one number, or one vector, belong to whatever uses them.
    SmallVector<Operation *> constants;
    launch.walk([&](Operation *op) {
      if (isa<SplatOp, arith::ConstantOp, BroadcastOp>(op) && isRank(op->getResult(0), 2))
        constants.push_back(op);
    });
    for (Operation *op : constants) {
      b.setInsertionPointAfter(op);
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : op->getResult(0).getUses())
        uses.push_back(&use);
      for (OpOperand *use : llvm::drop_begin(uses))
        use->set(b.clone(*op)->getResult(0));
    }
  }

  /// Transposes of computed tiles, and what is computed from them element by element up to their stores: there, threads
  /// keep what they have. Likewise what is computed from copies in shared memory, which come either way, to be
  /// transposed alone.
  void findTransposed() {
    MatrixClasses of = matrixClasses();
    DenseSet<unsigned> asks, refuses;
    auto isTransparent = [](Operation *op) {
      return isElementwise(op) || isa<scf::ForOp, scf::IfOp, scf::YieldOp, StoreOp, TransposeOp>(op);
    };
    auto isEitherWay = [](Operation *op) {
      auto load = dyn_cast<LoadOp>(op);
      return isa<SplatOp, arith::ConstantOp, BroadcastOp>(op) ||
             (load && isStagedForChunks(load) && isOnlyTileOfView(load));
    };
    for (Value value : of.values) {
      unsigned leader = of.leader(value);
      auto type = cast<RankedTensorType>(value.getType());
      Operation *def = value.getDefiningOp();
      if (auto transpose = dyn_cast_or_null<TransposeOp>(def);
          transpose && !transpose.getSource().getDefiningOp<LoadOp>())
        asks.insert(leader);
      else if (def && (isa<TransposeOp>(def) || (!isTransparent(def) && !isEitherWay(def))))
        refuses.insert(leader);
      if (!(def && isa<LoadOp>(def)) &&
          llvm::any_of(value.getUsers(), [](Operation *user) { return isa<TransposeOp>(user); }))
        asks.insert(leader);
      if (!llvm::all_of(value.getUsers(), isTransparent) ||
          !Layout::mmaAccumulator(type.getDimSize(1), type.getDimSize(0), warps))
        refuses.insert(leader);
    }
    for (Value value : of.values)
      if (unsigned leader = of.leader(value); asks.contains(leader) && !refuses.contains(leader))
        transposed.insert(value);
  }

  /// Loads that feed a product and something else are loaded for each; so are cheap vectors with several uses.
  void separateUses() {
    splitTransposed();
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
      if (!vector && (!isa<LoadOp>(op) || isSplit(cast<LoadOp>(op))))
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
      if (auto transpose = value.getDefiningOp<TransposeOp>();
          transpose && transpose.getSource().getDefiningOp<LoadOp>() && !value.use_empty()) {
        if (failed(set(value, wanted(*value.use_begin()))))
          return failure();
        continue;
      }
      if (load && isSplit(load) && !value.use_empty()) {
        if (failed(set(value, wanted(*value.use_begin()))))
          return failure();
        continue;
      }
      if (auto wide = value.getDefiningOp<arith::ExtFOp>())
        load = wide.getIn().getDefiningOp<LoadOp>();
      if (load && feedsProductsOnly(load)) {
        if (failed(set(value, operandLayout(firstProductOperandOf(value)))))
          return failure();
      } else if (failed(set(value, matrix(value)))) {
        return failure();
      }
    }
    // A transpose moves nothing: what it takes already lies where its result is to lie.
    SmallVector<TransposeOp> transposes;
    launch.walk([&](TransposeOp op) { transposes.push_back(op); });
    for (TransposeOp op : transposes)
      if (Layout needed = layoutOf(op.getTile()).transposed(); layoutOf(op.getSource()) != needed) {
        b.setInsertionPoint(op);
        op.getSourceMutable().assign(converted(op.getSource(), needed, b));
      }
    SmallVector<DecayedDotOp> decayed;
    launch.walk([&](DecayedDotOp op) { decayed.push_back(op); });
    for (DecayedDotOp op : decayed)
      for (OpOperand &operand : op->getOpOperands()) {
        std::optional<Layout> needed = rowMajor(cast<RankedTensorType>(operand.get().getType()));
        if (!needed)
          return op.emitOpError("has operands whose rows are no multiple of 16 bytes");
        b.setInsertionPoint(op);
        if (layoutOf(operand.get()) != *needed)
          operand.set(converted(operand.get(), *needed, b));
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
        if (layoutOf(operand) == *needed)
          continue;
        b.setInsertionPoint(dot);
        dot->setOperand(index, converted(operand, *needed, b));
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

  static bool isElementwise(Operation *op) {
    return isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) && op->getNumResults() == 1 &&
           !isa<arith::ConstantOp>(op);
  }

  /// Visits pairs of values that lie in the same threads, because one operation works on both element by element or
  /// passes one on as the other.
  void forEachEqual(function_ref<void(Value, Value)> same) {
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
      } else if (isElementwise(op) || isa<ScanOp, SliceOp, ConcatOp>(op)) {
        for (Value operand : op->getOperands())
          same(operand, op->getResult(0));
      }
    });
  }

  /// The layout of a vector of some size as the rows of matrices, or as the columns of those that have rows for all
  /// warps.
  std::optional<Layout> side(int64_t size, bool column) const {
    std::optional<Layout> layout =
        column ? Layout::mmaAccumulator(16 * warps, size, warps) : Layout::mmaAccumulator(size, 8, warps);
    return layout ? std::optional(layout->slice(column ? 0 : 1)) : std::nullopt;
  }
  /// What an operation gives as a vector, or takes (`use`), lies as one dimension of a matrix does.
  struct Demand {
    Value vector;
    LayoutAttr layout;
    OpOperand *use;
  };
  SmallVector<Demand> demands() {
    SmallVector<Demand> result;
    auto ask = [&](Value vector, Value matrix, unsigned without, OpOperand *use = nullptr) {
      result.push_back({vector, LayoutAttr::get(b.getContext(), layoutOf(matrix).slice(without)), use});
    };
    launch.walk([&](Operation *op) {
      if (auto reduce = dyn_cast<ReduceOp>(op))
        ask(reduce.getTile(), reduce.getSource(), reduce.getDim());
      else if (auto scan = dyn_cast<ScanOp>(op); scan && isRank(scan.getTotal(), 1))
        ask(scan.getTotal(), scan.getSource(), scan.getDim());
      else if (auto gather = dyn_cast<GatherOp>(op);
               gather && isRank(gather.getTile(), 2) && isRank(gather.getWhich().front(), 1))
        for (OpOperand &which : gather.getWhichMutable())
          ask(which.get(), gather.getTile(), gather.getDims()[0] < 0 ? 1 : 0, &which);
      else if (auto broadcast = dyn_cast<BroadcastOp>(op); broadcast && isRank(broadcast.getSource(), 1))
        ask(broadcast.getSource(), broadcast.getTile(), 1 - broadcast.getDims()[0], &broadcast.getSourceMutable());
    });
    return result;
  }

  static bool canRepeat(Value vector) {
    Operation *op = vector.getDefiningOp();
    return op && (isCheap(op) || isElementwise(op));
  }
  /// True if a vector can be computed once more by few operations from at most one that cannot; predicates, which do
  /// not go through shared memory, by many from any.
  static bool isCheapAgain(Value vector) {
    bool isPredicate = getElementTypeOrSelf(vector.getType()).isInteger(1);
    DenseSet<Value> seen, others;
    SmallVector<Value> work{vector};
    while (!work.empty() && seen.size() <= (isPredicate ? 1000 : 12)) {
      Value next = work.pop_back_val();
      if (!canRepeat(next)) {
        others.insert(next);
        continue;
      }
      if (seen.insert(next).second)
        llvm::copy_if(next.getDefiningOp()->getOperands(), std::back_inserter(work),
                      [](Value operand) { return isRank(operand, 1); });
    }
    return canRepeat(vector) && work.empty() && (isPredicate || others.size() <= 1);
  }
  Value again(Value vector, LayoutAttr layout, DenseMap<std::pair<Value, Attribute>, Value> &known) {
    if (Value done = known.lookup({vector, layout}))
      return done;
    Value result;
    if (!canRepeat(vector)) {
      b.setInsertionPointAfterValue(vector);
      result = converted(vector, layout.getLayout(), b);
    } else {
      Operation *op = vector.getDefiningOp();
      IRMapping map;
      for (Value operand : op->getOperands())
        if (isRank(operand, 1))
          map.map(operand, again(operand, layout, known));
      b.setInsertionPointAfter(op);
      result = b.clone(*op, map)->getResult(0);
    }
    known[{vector, layout}] = result;
    return result;
  }

  struct VectorClasses {
    SmallVector<Value> vectors;
    DenseMap<Value, unsigned> number;
    llvm::EquivalenceClasses<unsigned> classes;
    unsigned of(Value vector) { return classes.getLeaderValue(number[vector]); }
  };
  VectorClasses vectorClasses() {
    VectorClasses result;
    forEachTile([&](Value value) {
      if (isRank(value, 1)) {
        result.number[value] = result.vectors.size();
        result.vectors.push_back(value);
      }
    });
    for (unsigned n = 0; n < result.vectors.size(); ++n)
      result.classes.insert(n);
    auto same = [&](Value x, Value y) {
      if (isRank(x, 1) && isRank(y, 1))
        result.classes.unionSets(result.number[x], result.number[y]);
    };
    forEachEqual(same);
    launch.walk([&](GatherOp op) {
      for (Value which : op.getWhich()) {
        same(which, op.getWhich().front());
        same(which, op.getTile());
      }
    });
    return result;
  }
  static int64_t sizeOf(Value vector) { return cast<RankedTensorType>(vector.getType()).getDimSize(0); }
  LayoutAttr sideAttr(int64_t size, bool column) const {
    std::optional<Layout> layout = side(size, column);
    return layout ? LayoutAttr::get(b.getContext(), *layout) : LayoutAttr();
  }
  /// Where classes lie that somebody asks for. Those with vectors of several sizes, which are cut or put together, are
  /// rows, or columns that no warps share.
  struct Homes {
    DenseMap<unsigned, LayoutAttr> whole;
    DenseMap<unsigned, bool> cut; // true: columns
  };
  LayoutAttr home(Homes &homes, VectorClasses &vectors, Value vector) const {
    unsigned of = vectors.of(vector);
    if (auto found = homes.cut.find(of); found != homes.cut.end())
      return sideAttr(sizeOf(vector), found->second);
    return homes.whole.lookup(of);
  }
  /// Such that running sums do not cross warps, then where a class is produced, then where most ask for it.
  Homes homesOf(VectorClasses &vectors, ArrayRef<Demand> asked) {
    DenseMap<unsigned, int64_t> size;
    DenseSet<unsigned> cut;
    for (Value vector : vectors.vectors)
      if (unsigned of = vectors.of(vector); size.try_emplace(of, sizeOf(vector)).first->second != sizeOf(vector))
        cut.insert(of);
    DenseMap<unsigned, llvm::SmallMapVector<LayoutAttr, int64_t, 4>> votes;
    DenseMap<unsigned, int64_t> columns;
    for (const Demand &demand : asked) {
      unsigned of = vectors.of(demand.vector);
      int64_t count = demand.use ? 1 : 1 << 10;
      votes[of][demand.layout] += count;
      columns[of] += demand.layout != sideAttr(sizeOf(demand.vector), false) ? count : -count;
    }
    launch.walk([&](ScanOp op) {
      if (!isRank(op.getSource(), 1))
        return;
      unsigned of = vectors.of(op.getSource());
      LayoutAttr rows = sideAttr(sizeOf(op.getSource()), false), column = sideAttr(sizeOf(op.getSource()), true);
      if (column && llvm::any_of(asked, [&](const Demand &demand) {
            return vectors.of(demand.vector) == of && demand.layout != rows;
          })) {
        votes[of][column] += 1 << 20;
        columns[of] += 1 << 20;
      }
    });
    Homes result;
    for (auto &[of, list] : votes)
      if (cut.contains(of))
        result.cut[of] = columns[of] > 0;
      else
        result.whole[of] =
            std::max_element(list.begin(), list.end(), [](auto &x, auto &y) { return x.second < y.second; })->first;
    return result;
  }

  LogicalResult assignVectors() {
    // Vectors that are wanted along rows and along columns: what is cheap is computed for each, from one that changes
    // threads if need be.
    for (bool changed = true; changed;) {
      changed = false;
      VectorClasses vectors = vectorClasses();
      SmallVector<Demand> asked = demands();
      Homes homes = homesOf(vectors, asked);
      DenseMap<std::pair<Value, Attribute>, Value> known;
      for (const Demand &demand : asked)
        if (demand.use && home(homes, vectors, demand.vector) != demand.layout && isCheapAgain(demand.vector)) {
          demand.use->set(again(demand.vector, demand.layout, known));
          changed = true;
        }
    }
    VectorClasses vectors = vectorClasses();
    SmallVector<Demand> asked = demands();
    Homes homes = homesOf(vectors, asked);
    for (Value vector : vectors.vectors) {
      LayoutAttr found = home(homes, vectors, vector);
      std::optional<Layout> layout = found ? std::optional(found.getLayout()) : side(sizeOf(vector), false);
      if (!layout && !found)
        layout = side(sizeOf(vector), /*column=*/true);
      if (failed(set(vector, layout)))
        return failure();
    }
    // What is not cheap changes its layout.
    for (const Demand &demand : asked) {
      Layout given = layoutOf(demand.vector), asks = demand.layout.getLayout();
      if (demand.use || given == asks)
        continue;
      (void)set(demand.vector, asks);
      b.setInsertionPointAfter(demand.vector.getDefiningOp());
      Value at = converted(demand.vector, given, b), vector = demand.vector;
      vector.replaceAllUsesExcept(at, at.getDefiningOp());
    }
    for (const Demand &demand : asked) {
      Layout asks = demand.layout.getLayout();
      if (!demand.use || layoutOf(demand.use->get()) == asks)
        continue;
      auto produced = demand.use->get().getDefiningOp<ConvertLayoutOp>();
      b.setInsertionPoint(demand.use->getOwner());
      demand.use->set(produced && layoutOf(produced.getSource()) == asks ? produced.getSource()
                                                                         : converted(demand.use->get(), asks, b));
    }
    return success();
  }

  static bool isReadOnly(LoadOp load) {
    Value memory = load.getView();
    while (isa_and_nonnull<MergeDimsOp, NarrowOp>(memory.getDefiningOp()))
      memory = memory.getDefiningOp()->getOperand(0);
    auto tensor = memory.getDefiningOp<TensorOp>();
    return tensor && (tensor.getRole() == "input" || tensor.getRole() == "param");
  }
  /// Vectors that each chunk loads, such as gates: one thread loads an element, at the beginning of the chunk, and the
  /// layouts that they are used in come from there. Each warp would load all of them otherwise, for each layout again.
  void loadOnce() {
    if (warps == 1)
      return;
    SmallVector<SmallVector<LoadOp>> groups;
    launch.walk([&](LoadOp load) {
      auto type = cast<RankedTensorType>(load.getTile().getType());
      unsigned bits = type.getElementTypeBitWidth();
      if (type.getRank() != 1 || !isa<FloatType>(type.getElementType()) || (bits != 16 && bits != 32) ||
          load.getLimit() || !isInChunk(load) || !isReadOnly(load))
        return;
      auto known = llvm::find_if(groups, [&](ArrayRef<LoadOp> group) {
        return group.front()->getBlock() == load->getBlock() && sameTile(group.front(), load);
      });
      (known == groups.end() ? groups.emplace_back() : *known).push_back(load);
    });
    for (ArrayRef<LoadOp> group : groups) {
      LoadOp first = group.front();
      auto type = cast<RankedTensorType>(first.getTile().getType());
      std::optional<Layout> once = Layout::rowMajor(1, type.getDimSize(0), 1, warps);
      if (!once)
        continue;
      b.setInsertionPoint(first->getBlock(), beginOf(*first->getBlock()));
      auto begin = arith::ConstantIndexOp::create(b, first.getLoc(), 0);
      hoistSlice(first.getIndices(), begin);
      hoistSlice(first.getView(), begin);
      b.setInsertionPointAfter(begin);
      auto load = cast<LoadOp>(b.clone(*first));
      (void)set(load.getTile(), once->slice(0));
      for (LoadOp each : group) {
        b.setInsertionPoint(each);
        each.getTile().replaceAllUsesWith(converted(load.getTile(), layoutOf(each.getTile()), b));
        each.erase();
      }
      begin.erase();
    }
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
