// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-stage-operands and tile-stage-output: tiles through shared memory.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"
#include "passes/schedule/ScheduleUtils.h"

#include "mlir/IR/Builders.h"

namespace fovea::tile {
#define GEN_PASS_DEF_SETSCHEDULEPASS
#define GEN_PASS_DEF_STAGEOPERANDSPASS
#define GEN_PASS_DEF_STAGEOUTPUTPASS
#define GEN_PASS_DEF_ALLOCATESMEMPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

void tile::hoistSlice(ValueRange values, Operation *before) {
  for (Value value : values) {
    Operation *def = value.getDefiningOp();
    if (!def || def->getBlock() != before->getBlock() || def->isBeforeInBlock(before))
      continue;
    hoistSlice(def->getOperands(), before);
    def->moveBefore(before);
  }
}

Block::iterator tile::beginOf(Block &block) {
  auto ends = llvm::find_if(llvm::reverse(block), [](Operation &op) { return isa<EndIfOp>(op); });
  return ends == block.rend() ? block.begin() : std::next(ends->getIterator());
}

bool tile::readsWithoutBarrier(Operation *before) {
  for (Operation *op = before->getPrevNode(); op; op = op->getPrevNode()) {
    if (isa<BarrierOp>(op))
      return false;
    if (op->walk([](SmemReadOp) { return WalkResult::interrupt(); }).wasInterrupted())
      return true;
  }
  return false;
}

int64_t tile::swizzleSpan(int64_t rowBytes) {
  for (int64_t span : {128, 64, 32})
    if (rowBytes % span == 0)
      return span;
  return 0;
}

OpOperand *tile::productOperandOf(OpOperand &use) {
  if (isa<DotOp>(use.getOwner()))
    return use.getOperandNumber() < 2 ? &use : nullptr;
  auto wide = dyn_cast<arith::ExtFOp>(use.getOwner());
  return wide && wide->hasOneUse() ? productOperandOf(*wide->use_begin()) : nullptr;
}

bool tile::feedsProductsOnly(LoadOp load) {
  auto type = cast<RankedTensorType>(load.getTile().getType());
  return type.getRank() == 2 && !load.getTile().use_empty() &&
         llvm::all_of(load.getTile().getUses(), [](OpOperand &use) { return productOperandOf(use) != nullptr; });
}

bool tile::sameTile(LoadOp x, LoadOp y) {
  return x->getOperands() == y->getOperands() && x.getDims() == y.getDims() &&
         cast<RankedTensorType>(x.getTile().getType()).getShape() ==
             cast<RankedTensorType>(y.getTile().getType()).getShape();
}

std::optional<int64_t> tile::rowsBetween(LoadOp x, LoadOp y) {
  auto shapeOf = [](LoadOp load) { return cast<RankedTensorType>(load.getTile().getType()).getShape(); };
  if (x.getView() != y.getView() || x.getDims() != y.getDims() || shapeOf(x) != shapeOf(y) || shapeOf(x).size() != 2)
    return std::nullopt;
  auto parts = [](Value index) {
    APInt constant;
    auto sum = index.getDefiningOp<arith::AddIOp>();
    return sum && matchPattern(sum.getRhs(), m_ConstantInt(&constant))
               ? std::pair(sum.getLhs(), constant.getSExtValue())
               : std::pair(index, int64_t(0));
  };
  int64_t rows = 0;
  for (auto [d, pair] : llvm::enumerate(llvm::zip(x.getIndices(), y.getIndices()))) {
    auto [from, to] = pair;
    if (int64_t(d) != x.getDims()[0]) {
      if (from != to)
        return std::nullopt;
      continue;
    }
    auto [fromBase, fromRows] = parts(from);
    auto [toBase, toRows] = parts(to);
    if (fromBase != toBase || std::abs(toRows - fromRows) > 16)
      return std::nullopt;
    rows = toRows - fromRows;
  }
  return rows;
}

/// True for tiles of the same rows that have no column in common, as the halves of rotated features.
static bool areApart(LoadOp x, LoadOp y) {
  if (x.getDims() != y.getDims() || x.getDims().size() != 2)
    return false;
  APInt from, to;
  for (auto [d, pair] : llvm::enumerate(llvm::zip(x.getIndices(), y.getIndices()))) {
    auto [first, second] = pair;
    if (int64_t(d) != x.getDims()[1] && first != second)
      return false;
    if (int64_t(d) == x.getDims()[1] &&
        (!matchPattern(first, m_ConstantInt(&from)) || !matchPattern(second, m_ConstantInt(&to))))
      return false;
  }
  int64_t begin = from.getSExtValue(), other = to.getSExtValue();
  return begin < other ? begin + cast<RankedTensorType>(x.getTile().getType()).getDimSize(1) <= other
                       : other + cast<RankedTensorType>(y.getTile().getType()).getDimSize(1) <= begin;
}

bool tile::isOnlyTileOfView(LoadOp load) {
  return llvm::all_of(load->getBlock()->getOps<LoadOp>(), [&](LoadOp other) {
    return other.getView() != load.getView() || rowsBetween(other, load) || areApart(other, load);
  });
}

scf::ForOp tile::chunkLoopOf(Operation *op) {
  auto loop = dyn_cast<scf::ForOp>(op->getParentOp());
  auto isMatrix = [](Value value) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    return type && type.getRank() == 2;
  };
  return loop && llvm::any_of(loop.getRegionIterArgs(), isMatrix) && loop.getBody()->getOps<DomainTileOp>().empty()
             ? loop
             : scf::ForOp();
}

static bool isOneChunk(LaunchOp launch) {
  // A single warp loads what it needs as it needs it: copies of all would only fill shared memory.
  if (auto schedule = launch.getScheduleAttr(); schedule && schedule.getAs<IntegerAttr>("warps").getInt() == 1)
    return false;
  bool multiplies = false;
  for (Operation &op : launch.getBody().front()) {
    auto dot = dyn_cast<DotOp>(op);
    if (isa<scf::ForOp>(op) || (dot && getElementTypeOrSelf(dot.getA().getType()).isF32()))
      return false;
    multiplies |= bool(dot);
  }
  return multiplies;
}

static bool isStoredIn(LaunchOp launch, Value view) {
  return llvm::any_of(view.getUsers(), [&](Operation *user) {
    return isa<MergeDimsOp, NarrowOp>(user) ? isStoredIn(launch, user->getResult(0))
                                            : isa<StoreOp, StoreScalarOp>(user) && launch->isProperAncestor(user);
  });
}

bool tile::isInChunk(Operation *op) {
  auto launch = dyn_cast<LaunchOp>(op->getParentOp());
  return launch ? isOneChunk(launch) : bool(chunkLoopOf(op));
}

bool tile::isStagedForChunks(LoadOp load) {
  auto type = cast<RankedTensorType>(load.getTile().getType());
  if (type.getRank() != 2 || type.getElementTypeBitWidth() != 16 || load.getLimit() || load.getTile().use_empty())
    return false;
  ArrayRef<int64_t> shape = load.getView().getType().getShape();
  // Copies of a chunk begin in front of all that a launch without loops stores.
  if (auto launch = dyn_cast<LaunchOp>(load->getParentOp())) {
    Value memory = load.getView();
    while (isa_and_nonnull<MergeDimsOp, NarrowOp>(memory.getDefiningOp()))
      memory = memory.getDefiningOp()->getOperand(0);
    if (isStoredIn(launch, memory))
      return false;
  }
  auto pad = dyn_cast<FloatAttr>(load.getPad());
  int64_t rows = shape[load.getDims()[0]];
  if (!ShapedType::isDynamic(rows) && rows < type.getDimSize(0)) // most of it would be empty
    return false;
  return load.getDims()[1] == int64_t(shape.size()) - 1 && !ShapedType::isDynamic(shape.back()) &&
         type.getDimSize(1) % 8 == 0 && pad && pad.getValue().isPosZero() && isInChunk(load);
}

SmemAllocOp tile::makeRing(LaunchOp launch, Location loc, RankedTensorType tile, int64_t moreRows) {
  OpBuilder b = OpBuilder::atBlockBegin(&launch.getBody().front());
  int64_t rows = tile.getRank() == 2 ? tile.getDimSize(0) : 1, columns = tile.getShape().back();
  int64_t rowBytes = columns * tile.getElementTypeBitWidth() / 8;
  int64_t span = tile.getRank() == 2 ? swizzleSpan(rowBytes) : 0;
  rows += moreRows;
  while (moreRows && rows * rowBytes % 128) // stages of swizzled rows begin at multiples of that
    ++rows;
  auto type = SmemType::get(b.getContext(), {1, rows, columns}, tile.getElementType(), span);
  return SmemAllocOp::create(b, loc, type, IntegerAttr());
}

/// True if shared memory (one ring, where it is given) is read within an operation.
static bool reads(Operation *op, Value ring) {
  return op
      ->walk([&](SmemReadOp read) {
        return !ring || read.getSmem() == ring ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

bool tile::needsBarrierToWrite(Operation *at, Value ring) {
  bool inLoop = at->getParentOfType<scf::ForOp>() != nullptr;
  for (;;) {
    for (Operation *op = at->getPrevNode(); op; op = op->getPrevNode()) {
      if (isa<BarrierOp>(op))
        return false;
      if (reads(op, inLoop ? ring : Value()))
        return true;
    }
    Operation *parent = at->getParentOp();
    if (isa<LaunchOp, RoleOp>(parent))
      return false;
    if (isa<scf::ForOp>(parent)) {
      for (Operation &op : llvm::reverse(*at->getBlock())) {
        if (isa<BarrierOp>(op))
          break;
        // Where it stands in a branch, that of the iteration before read it behind.
        if ((&op != at || isa<scf::IfOp>(op)) && reads(&op, ring))
          return true;
        if (&op == at)
          break;
      }
      inLoop = parent->getParentOfType<scf::ForOp>() != nullptr;
    }
    at = parent;
  }
}

OpOperand *tile::firstProductOperandOf(Value value) {
  for (OpOperand &use : value.getUses())
    if (OpOperand *operand = productOperandOf(use))
      return operand;
  return nullptr;
}

namespace {

/// True for a launch that neither loops nor multiplies, and works on whole tiles.
bool isPointwise(LaunchOp launch) {
  return !launch
              .walk([](Operation *op) {
                return isa<scf::ForOp, DotOp, DecayedDotOp, GatherOp, SliceOp, ConcatOp>(op) ? WalkResult::interrupt()
                                                                                             : WalkResult::advance();
              })
              .wasInterrupted();
}

/// The most warps that the launch's tiles can be dealt to: each takes 16 rows at a time.
int64_t warpsFor(LaunchOp launch, int64_t wanted) {
  auto has = [&](auto isSuch) {
    return launch.walk([&](Operation *op) { return isSuch(op) ? WalkResult::interrupt() : WalkResult::advance(); })
        .wasInterrupted();
  };
  // Where there are vectors alone, they are rows.
  bool hasMatrices = has([](Operation *op) {
    return llvm::any_of(op->getResultTypes(), [](Type type) {
      auto tile = dyn_cast<RankedTensorType>(type);
      return tile && tile.getRank() == 2;
    });
  });
  int64_t rank = hasMatrices ? 2 : 1;
  // In loops over chunks tokens may be fewer than the rows of the state, which all warps share: then warps take columns
  // of them, or repeat them. So they do where a launch is one chunk.
  bool overChunks = has([](Operation *op) {
    auto loop = dyn_cast<scf::ForOp>(op);
    return loop && chunkLoopOf(loop.getBody()->getTerminator());
  });
  bool isChunk = overChunks || isOneChunk(launch), isAlone = isPointwise(launch);
  // What only follows, or prepares, has warps of its own: a thread has at most 32 elements of a tile.
  if (isAlone)
    launch.walk([&](Operation *op) {
      for (Type type : op->getResultTypes())
        if (auto tile = dyn_cast<RankedTensorType>(type); tile && tile.getRank() == 2)
          while (wanted < 8 && tile.getNumElements() > 1024 * wanted)
            wanted *= 2;
    });
  int64_t most = 0;
  auto fits = [&](RankedTensorType tile) {
    int64_t rows = tile.getDimSize(0);
    bool shares = isChunk || (isAlone && tile.getNumElements() > 64 * rows);
    return rows % (16 * wanted) == 0 || (shares && rows % 16 == 0 && rows < 16 * wanted && llvm::isPowerOf2_64(rows));
  };
  launch.walk([&](Operation *op) {
    if (auto load = dyn_cast<LoadOp>(op); load && feedsProductsOnly(load))
      return;
    // What is loaded to be transposed lies as its transpose does.
    if (auto load = dyn_cast<LoadOp>(op);
        load && isStagedForChunks(load) && llvm::all_of(load.getTile().getUses(), [](OpOperand &use) {
          return isa<TransposeOp, DecayedDotOp>(use.getOwner()) || productOperandOf(use);
        }))
      return;
    for (Value result : op->getResults())
      if (auto type = dyn_cast<RankedTensorType>(result.getType()); type && type.getRank() == rank) {
        most = std::max(most, type.getDimSize(0));
        while (wanted > 1 && !fits(type))
          wanted /= 2;
      }
  });
  while (overChunks && wanted > 1 && most < 16 * wanted)
    wanted /= 2;
  return wanted;
}

struct SetSchedule : tile::impl::SetSchedulePassBase<SetSchedule> {
  using SetSchedulePassBase<SetSchedule>::SetSchedulePassBase;
  void runOnOperation() override {
    OpBuilder b(&getContext());
    if (query != "registers" && query != "shared") {
      getOperation().emitError("query must be registers or shared");
      return signalPassFailure();
    }
    for (auto launch : getOperation().getBody().getOps<LaunchOp>())
      if (!launch.getScheduleAttr())
        launch.setScheduleAttr(b.getDictionaryAttr(
            {b.getNamedAttr("query", b.getStringAttr(query)), b.getNamedAttr("stages", b.getI64IntegerAttr(stages)),
             b.getNamedAttr("warps", b.getI64IntegerAttr(warpsFor(launch, warps)))}));
  }
};

struct StageOperands : tile::impl::StageOperandsPassBase<StageOperands> {
  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>())
      if (failed(stage(launch)))
        return signalPassFailure();
  }

  /// What goes to neither product nor transpose comes straight to registers where there would be several rings for one
  /// view.
  static void keepDirect(SmallVectorImpl<LoadOp> &loads) {
    auto hasToBeShared = [](LoadOp load) {
      auto layout = layoutOf(load.getTile().getType());
      auto type = cast<RankedTensorType>(load.getTile().getType());
      int64_t warps = layout ? layout.getLayout().warps() : 1;
      return !layout || llvm::none_of(llvm::ArrayRef({false, true}), [&](bool deal) {
        return Layout::mmaAccumulator(type.getDimSize(0), type.getDimSize(1), warps, deal) == layout.getLayout();
      });
    };
    SmallVector<LoadOp> tiles;
    auto count = [&](LoadOp load) {
      if (llvm::none_of(tiles, [&](LoadOp known) { return sameTile(known, load); }))
        tiles.push_back(load);
    };
    for (LoadOp load : loads)
      if (hasToBeShared(load))
        count(load);
    SmallVector<LoadOp> kept;
    for (LoadOp load : loads) {
      bool isThere = llvm::any_of(tiles, [&](LoadOp known) { return sameTile(known, load); });
      if (!hasToBeShared(load) && !isThere && !isOnlyTileOfView(load))
        continue;
      count(load);
      kept.push_back(load);
    }
    loads = kept;
  }

  /// Loads that one ring serves: of one place, or some rows off. (Products that decay know no such rows.)
  static std::optional<int64_t> rowsInRing(LoadOp first, LoadOp load) {
    auto decays = [](LoadOp load) {
      return llvm::any_of(load.getTile().getUsers(), [](Operation *user) { return isa<DecayedDotOp>(user); });
    };
    std::optional<int64_t> rows = rowsBetween(first, load);
    return rows && *rows && (decays(first) || decays(load)) ? std::nullopt : rows;
  }

  /// All copies of a chunk begin together, at the beginning of the body; loads of one place share a ring.
  LogicalResult stageChunks(LaunchOp launch, Block &block, MutableArrayRef<LoadOp> loads) {
    if (loads.empty())
      return success();
    Location loc = loads.front().getLoc();
    OpBuilder b(&block, beginOf(block));
    Value zero = arith::ConstantIndexOp::create(b, loc, 0);
    for (LoadOp load : loads) {
      hoistSlice(load.getIndices(), zero.getDefiningOp());
      hoistSlice(load.getView(), zero.getDefiningOp());
    }
    b.setInsertionPointAfter(zero.getDefiningOp());
    BarrierOp::create(b, loc); // the bytes may still be read by slower warps
    SmallVector<std::pair<LoadOp, SmemAllocOp>> rings;
    SmallVector<SmemAllocOp> ringOf;
    SmallVector<int64_t> rowOf;
    for (LoadOp load : loads) {
      if (load.getLimit())
        return load.emitOpError("has a limit, which asynchronous copies do not know");
      auto known = llvm::find_if(rings, [&](auto &pair) { return rowsInRing(pair.first, load).has_value(); });
      if (known != rings.end()) {
        ringOf.push_back(known->second);
        rowOf.push_back(*rowsInRing(known->first, load));
        continue;
      }
      // From the first row to the last of all.
      LoadOp first = load;
      for (LoadOp other : loads)
        if (rowsInRing(load, other) && rowsInRing(first, other).value_or(0) < 0)
          first = other;
      int64_t more = 0;
      for (LoadOp other : loads)
        if (rowsInRing(load, other))
          more = std::max(more, rowsInRing(first, other).value_or(0));
      SmemAllocOp ring = makeRing(launch, load.getLoc(), cast<RankedTensorType>(load.getTile().getType()), more);
      CopyStartOp::create(b, load.getLoc(), load.getView(), first.getIndices(), load.getDims(), ring, zero, Value());
      rings.push_back({first, ring});
      ringOf.push_back(ring);
      rowOf.push_back(*rowsInRing(first, load));
    }
    CopyCommitOp::create(b, loc);
    CopyWaitOp::create(b, loc, 0);
    BarrierOp::create(b, loc);
    for (auto &&[load, ring, row] : llvm::zip(loads, ringOf, rowOf)) {
      // Each product reads its own fragments, next to it; all else shares one read in front of the first use.
      auto read = [load = load, ring = ring, row = row](Operation *before) mutable -> Value {
        OpBuilder at(before);
        Value stage = arith::ConstantIndexOp::create(at, load.getLoc(), 0);
        return SmemReadOp::create(at, load.getLoc(), load.getTile().getType(), ring, stage, load.getView(),
                                  load.getIndices(), Value(), load.getDimsAttr(), row);
      };
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : load.getTile().getUses())
        uses.push_back(&use);
      Operation *first = nullptr;
      for (OpOperand *use : uses) {
        Operation *owner = use->getOwner();
        if (isa<DecayedDotOp>(owner) || productOperandOf(*use)) {
          if (OpOperand *operand = productOperandOf(*use); operand && operand != use)
            owner->moveBefore(operand->getOwner());
          use->set(read(owner));
          continue;
        }
        if (auto transpose = dyn_cast<TransposeOp>(owner)) {
          SmallVector<OpOperand *> products;
          for (OpOperand &next : transpose.getTile().getUses())
            if (productOperandOf(next))
              products.push_back(&next);
          for (OpOperand *product : products) {
            OpBuilder at(product->getOwner());
            Operation *own = at.clone(*transpose);
            own->setOperand(0, read(own));
            product->set(own->getResult(0));
          }
          if (transpose.getTile().use_empty()) {
            transpose.erase();
            continue;
          }
          moveToFirstUse(transpose);
        }
        Operation *here = block.findAncestorOpInBlock(*owner);
        if (!first || here->isBeforeInBlock(first))
          first = here;
      }
      if (first)
        load.getTile().replaceAllUsesWith(read(first));
      load.erase();
    }
    return success();
  }
  static void moveToFirstUse(TransposeOp op) {
    Operation *first = nullptr;
    for (Operation *user : op->getUsers()) {
      Operation *here = op->getBlock()->findAncestorOpInBlock(*user);
      if (!first || here->isBeforeInBlock(first))
        first = here;
    }
    if (first)
      op->moveBefore(first);
  }

  /// The loop over chunks that an operation runs in, perhaps within branches.
  static scf::ForOp chunkLoopAround(Operation *op) {
    while (isa<scf::IfOp>(op->getParentOp()))
      op = op->getParentOp();
    return chunkLoopOf(op);
  }

  /// Vectors that are loaded in front of a loop over chunks and used in it wait in shared memory.
  static void keepVectors(LaunchOp launch) {
    SmallVector<LoadOp> loads;
    launch.walk([&](LoadOp load) {
      auto type = cast<RankedTensorType>(load.getTile().getType());
      unsigned bits = type.getElementTypeBitWidth();
      if (type.getRank() == 1 && isa<FloatType>(type.getElementType()) && (bits == 16 || bits == 32) &&
          !load->getParentOfType<scf::ForOp>())
        loads.push_back(load);
    });
    DenseSet<Operation *> loops;
    for (LoadOp load : loads) {
      SmallVector<OpOperand *> uses;
      for (OpOperand &use : load.getTile().getUses())
        if (chunkLoopAround(use.getOwner()))
          uses.push_back(&use);
      if (uses.empty())
        continue;
      OpBuilder b(load);
      b.setInsertionPointAfter(load);
      auto type = cast<RankedTensorType>(load.getTile().getType());
      SmemAllocOp ring = makeRing(launch, load.getLoc(), type);
      Value zero = arith::ConstantIndexOp::create(b, load.getLoc(), 0);
      auto write = SmemWriteOp::create(b, load.getLoc(), load.getTile(), ring, zero);
      for (OpOperand *use : uses) {
        OpBuilder at(use->getOwner());
        if (scf::ForOp loop = chunkLoopAround(use->getOwner()); loops.insert(loop).second) {
          b.setInsertionPoint(loop);
          BarrierOp::create(b, load.getLoc());
        }
        use->set(SmemReadOp::create(at, load.getLoc(), type, ring, zero, Value(), ValueRange(), load.getTile(),
                                    DenseI64ArrayAttr()));
      }
      // On the way to shared memory alone, each element is loaded by one thread.
      LayoutAttr layout = layoutOf(type);
      std::optional<Layout> once =
          layout ? Layout::rowMajor(1, type.getDimSize(0), 1, layout.getLayout().warps()) : std::nullopt;
      bool isAlone =
          llvm::all_of(load.getTile().getUsers(), [](Operation *user) { return isa<SmemWriteOp, SmemReadOp>(user); });
      if (once && isAlone)
        load.getTile().setType(RankedTensorType::get(type.getShape(), type.getElementType(),
                                                     LayoutAttr::get(b.getContext(), once->slice(0))));
      if (needsBarrierToWrite(write, ring)) {
        b.setInsertionPoint(write);
        BarrierOp::create(b, load.getLoc());
      }
    }
  }

  LogicalResult stage(LaunchOp launch) {
    keepVectors(launch);
    llvm::MapVector<Block *, SmallVector<LoadOp>> groups;
    launch.walk([&](LoadOp load) {
      if (feedsProductsOnly(load) || isStagedForChunks(load))
        groups[load->getBlock()].push_back(load);
    });
    auto query = launch.getScheduleAttr() ? launch.getScheduleAttr().getAs<StringAttr>("query") : StringAttr();
    bool reload = query && query.getValue() == "shared";
    for (auto &[block, loads] : groups) {
      if (llvm::any_of(loads, isStagedForChunks)) {
        keepDirect(loads);
        if (failed(stageChunks(launch, *block, loads)))
          return failure();
        continue;
      }
      LoadOp first = loads.front();
      bool inLoop = isa<scf::ForOp>(block->getParentOp());
      OpBuilder b(first);
      Location loc = first.getLoc();
      if (inLoop || readsWithoutBarrier(first)) // the bytes may still be read by slower warps
        BarrierOp::create(b, loc);
      SmallVector<std::pair<LoadOp, SmemAllocOp>> staged;
      Value zero = arith::ConstantIndexOp::create(b, loc, 0);
      for (LoadOp load : loads) {
        auto type = cast<RankedTensorType>(load.getTile().getType());
        if (load.getLimit())
          return load.emitOpError("has a limit, which asynchronous copies do not know");
        hoistSlice(load.getIndices(), zero.getDefiningOp());
        hoistSlice(load.getView(), zero.getDefiningOp());
        auto known = llvm::find_if(staged, [&](auto &pair) { return sameTile(pair.first, load); });
        if (known != staged.end()) {
          staged.push_back({load, known->second});
          continue;
        }
        SmemAllocOp ring = makeRing(launch, load.getLoc(), type);
        CopyStartOp::create(b, load.getLoc(), load.getView(), load.getIndices(), load.getDims(), ring, zero, Value());
        staged.push_back({load, ring});
      }
      CopyCommitOp::create(b, loc);
      CopyWaitOp::create(b, loc, 0);
      BarrierOp::create(b, loc);
      for (auto [load, ring] : staged) {
        // Fragments are read next to the product that takes them: between the two they would only fill registers.
        // Operands loaded before a loop are read before it and stay, unless the schedule says that they are read again
        // each time.
        auto read = [&](Operation *before) {
          OpBuilder at(before);
          Value stage = arith::ConstantIndexOp::create(at, load.getLoc(), 0);
          return SmemReadOp::create(at, load.getLoc(), load.getTile().getType(), ring, stage, load.getView(),
                                    load.getIndices(), Value(), load.getDimsAttr());
        };
        SmallVector<OpOperand *> uses;
        bool plain = false; // multiply-adds read their operands as they go, which no register could hold
        for (OpOperand &use : load.getTile().getUses()) {
          uses.push_back(&use);
          if (OpOperand *operand = productOperandOf(use))
            plain |= tile::multipliesPlainly(cast<DotOp>(operand->getOwner()));
        }
        if (inLoop || reload || plain) {
          for (OpOperand *use : uses) {
            if (auto wide = dyn_cast<arith::ExtFOp>(use->getOwner()))
              wide->moveBefore(productOperandOf(*use)->getOwner());
            use->set(read(use->getOwner()).getTile());
          }
        } else {
          load.getTile().replaceAllUsesWith(read(load).getTile());
        }
        load.erase();
      }
    }
    return success();
  }
};

struct StageOutput : tile::impl::StageOutputPassBase<StageOutput> {
  /// Copies that begin behind `read` may go to the bytes that it reads: slower warps are waited for.
  static void waitBeforeCopies(SmemReadOp read) {
    for (Operation *op = read->getNextNode(); op; op = op->getNextNode()) {
      bool meets = false, copies = false;
      op->walk<WalkOrder::PreOrder>([&](Operation *inner) {
        meets |= isa<BarrierOp>(inner);
        copies |= isa<CopyStartOp>(inner);
        return meets || copies ? WalkResult::interrupt() : WalkResult::advance();
      });
      if (copies) {
        OpBuilder b(op);
        BarrierOp::create(b, op->getLoc());
      }
      if (copies || isa<BarrierOp>(op)) // a loop may run no iteration
        return;
    }
  }

  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      int64_t warps = launch.getScheduleAttr().getAs<IntegerAttr>("warps").getInt();
      SmallVector<StoreOp> stores;
      launch.walk([&](StoreOp store) { stores.push_back(store); });
      for (StoreOp store : stores) {
        auto type = cast<RankedTensorType>(store.getTile().getType());
        if (type.getRank() != 2 || type.getElementTypeBitWidth() != 16 || type.getDimSize(1) % 8)
          continue;
        // Rows must be contiguous for whole vectors, and always inside.
        auto view = store.getView().getType();
        if (store.getDims()[1] != int64_t(view.getShape().size()) - 1 || ShapedType::isDynamic(view.getShape().back()))
          continue;
        auto layout = Layout::rowMajor(type.getDimSize(0), type.getDimSize(1), 8, warps);
        if (!layout)
          continue;
        OpBuilder b(store);
        Location loc = store.getLoc();
        SmemAllocOp ring = makeRing(launch, loc, type);
        Value zero = arith::ConstantIndexOp::create(b, loc, 0);
        auto write = SmemWriteOp::create(b, loc, store.getTile(), ring, zero);
        BarrierOp::create(b, loc);
        auto rows =
            RankedTensorType::get(type.getShape(), type.getElementType(), LayoutAttr::get(b.getContext(), *layout));
        auto read =
            SmemReadOp::create(b, loc, rows, ring, zero, Value(), ValueRange(), store.getTile(), DenseI64ArrayAttr());
        store.getTileMutable().assign(read);
        waitBeforeCopies(read);
        // Whatever else uses these bytes has been read.
        if (!store->getParentOfType<scf::ForOp>() || needsBarrierToWrite(write, ring)) {
          b.setInsertionPoint(write);
          BarrierOp::create(b, loc);
        }
      }
    }
  }
};

struct AllocateSmem : tile::impl::AllocateSmemPassBase<AllocateSmem> {
  struct Ring {
    SmemAllocOp op;
    int64_t from, to; // operations of the launch's block
    // A ring that each iteration of a loop fills anew: the loop's body, and its life there.
    Block *body = nullptr;
    Operation *first = nullptr, *last = nullptr;
    int64_t offset = 0;
    int64_t bytes() { return op.getSmem().getType().getBytes(); }
    // Swizzles need places at multiples of their period; copies and fragments whole rows of banks.
    int64_t alignment() { return op.getSmem().getType().getSwizzle() ? 1024 : 128; }
  };

  static void findLifeInLoop(Ring &ring) {
    Block *body = nullptr;
    for (Operation *user : ring.op->getUsers()) {
      if (body && user->getBlock() != body)
        return;
      body = user->getBlock();
      if (!ring.first || user->isBeforeInBlock(ring.first))
        ring.first = user;
      if (!ring.last || ring.last->isBeforeInBlock(user))
        ring.last = user;
    }
    if (body && isa<scf::ForOp>(body->getParentOp()) && isa<SmemWriteOp>(ring.first) &&
        ring.op.getSmem().getType().getStages() == 1)
      ring.body = body;
  }

  /// True if all threads meet behind `from` and in front of `to`, where the body begins anew if `to` does not follow.
  static bool meetBetween(Operation *from, Operation *to) {
    for (Operation *op = from->getNextNode(); op != to;) {
      if (!op)
        op = &from->getBlock()->front();
      else if (isa<BarrierOp>(op))
        return true;
      else
        op = op->getNextNode();
    }
    return false;
  }

  static bool meet(const Ring &x, const Ring &y) {
    if (x.body && x.body == y.body && (x.last->isBeforeInBlock(y.first) || y.last->isBeforeInBlock(x.first)))
      return !meetBetween(x.last, y.first) || !meetBetween(y.last, x.first);
    return x.from <= y.to && y.from <= x.to;
  }

  void runOnOperation() override {
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      Block &block = launch.getBody().front();
      DenseMap<Operation *, int64_t> place;
      int64_t count = 0;
      for (Operation &op : block)
        place[&op] = count++;
      SmallVector<Ring> rings;
      launch.walk([&](SmemAllocOp op) {
        Ring ring{op, count, -1};
        for (Operation *user : op->getUsers()) {
          int64_t at = place[block.findAncestorOpInBlock(*user)];
          ring.from = std::min(ring.from, at);
          ring.to = std::max(ring.to, at);
        }
        findLifeInLoop(ring);
        rings.push_back(ring);
      });
      // First fit in order of size.
      llvm::stable_sort(rings, [&](Ring x, Ring y) { return x.bytes() > y.bytes(); });
      for (size_t n = 0; n < rings.size(); ++n) {
        Ring &ring = rings[n];
        for (bool moved = true; moved;) {
          moved = false;
          for (Ring &other : MutableArrayRef(rings).take_front(n)) {
            int64_t end = other.offset + other.bytes();
            if (meet(other, ring) && ring.offset < end && other.offset < ring.offset + ring.bytes()) {
              ring.offset = llvm::alignTo(end, ring.alignment());
              moved = true;
            }
          }
        }
        ring.op.setOffset(ring.offset);
      }
    }
  }
};

} // namespace
