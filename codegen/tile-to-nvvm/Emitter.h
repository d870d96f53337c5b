// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The state of lowering one launch: builders, the values that tiles became, and one method per family of operations.
#pragma once

#include "codegen/tile-to-nvvm/TileToNvvm.h"
#include "dialect/common/Target.h"
#include "dialect/tile/TileDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Builders.h"

#include <map>

namespace fovea::codegen {

/// A tile as the registers of one thread, in the order of its layout. 16-bit tiles may be held as pairs (register 2n
/// low, 2n+1 high) in i32: what tensor-core instructions and vector accesses take.
struct TileValue {
  llvm::SmallVector<mlir::Value> registers;
  bool packed = false;
};

/// A dimension that runs over a box of two: index r is r / inner along one and r % inner along the other. A null stride
/// repeats.
struct MergedDimension {
  mlir::Value inner; // i32
  mlir::Value outerStride, innerStride;
};

/// A view: base address (global), stride of each dimension in elements (i64; null for the innermost, 1), size of each
/// (i32).
struct ViewValue {
  mlir::Value base;
  llvm::SmallVector<mlir::Value> strides, sizes;
  llvm::SmallVector<int64_t> staticSizes;
  std::string name;
  int64_t alignment = 16;                     ///< bytes, of the base and of outer strides
  std::map<unsigned, MergedDimension> merged; // by dimension
};

/// The visited tiles, in units of tiles: count, and per range its first tile and how many tiles precede it.
struct DomainValue {
  mlir::Value count;
  llvm::SmallVector<mlir::Value> first, before, fullLo, fullHi;
  mlir::Value skip; ///< tiles of these that a slice leaves out at the beginning; null: none
  int64_t step;
};

/// True if a tile of `size` elements at `index` always lies within dimension `d`.
bool alwaysInside(const ViewValue &view, unsigned d, mlir::Value index, int64_t size);
/// True if an index is known to be a multiple of a number.
bool isMultipleOf(mlir::Value index, int64_t number);

class Emitter {
public:
  Emitter(tile::LaunchOp launch, mlir::ModuleOp module, const Target &target);

  mlir::FailureOr<Kernel> emit();

private:
  using Value = mlir::Value;
  using Type = mlir::Type;

  //===--- control (Emitter.cpp) ---===//
  mlir::LogicalResult emitBlock(mlir::Block &block);
  mlir::LogicalResult emitOp(mlir::Operation *op);
  mlir::LogicalResult emitFor(mlir::scf::ForOp op);
  mlir::LogicalResult emitIf(mlir::scf::IfOp op);
  /// Makes what the launch uses from outside available: kernel parameters, or host arithmetic repeated in the entry
  /// block.
  mlir::LogicalResult capture(mlir::Value value);
  mlir::LogicalResult captureMerged(tile::MergeDimsOp op);
  /// With the operands at hand; instructions go where the builder is.
  void emitMergeDims(tile::MergeDimsOp op);
  void decodeWorkItem();
  Value parameter(KernelArgument::Kind kind, llvm::StringRef name, unsigned dim, Type type);

  //===--- elementwise (Elementwise.cpp) ---===//
  bool isElementwise(mlir::Operation *op);
  mlir::LogicalResult emitElementwise(mlir::Operation *op);
  mlir::FailureOr<Value> emitScalar(mlir::Operation *op, llvm::ArrayRef<Value> operands, Type resultType);
  mlir::LogicalResult emitConstant(mlir::arith::ConstantOp op);
  Value exp2(Value x);
  Value callIntrinsic(llvm::StringRef name, Type result, llvm::ArrayRef<Value> operands);

  //===--- tiles (Tiles.cpp) ---===//
  mlir::LogicalResult emitSplat(tile::SplatOp op);
  mlir::LogicalResult emitBroadcast(tile::BroadcastOp op);
  mlir::LogicalResult emitIota(tile::IotaOp op);
  mlir::LogicalResult emitReduce(tile::ReduceOp op);
  /// Combines what the warps along a dimension have of the `size` elements without it.
  void reduceAcrossWarps(const Layout &from, unsigned dim, int64_t size, llvm::SmallVectorImpl<Value> &registers,
                         llvm::function_ref<Value(Value, Value)> combine);
  mlir::LogicalResult emitConvertLayout(tile::ConvertLayoutOp op);
  mlir::LogicalResult emitTranspose(tile::TransposeOp op);
  mlir::LogicalResult emitDomain(tile::DomainOp op);
  mlir::LogicalResult emitDomainSlice(tile::DomainSliceOp op);
  mlir::LogicalResult emitDomainTile(tile::DomainTileOp op);

  //===--- slices and concatenations (Parts.cpp) ---===//
  struct TilePart {
    Value source;
    int64_t place; // of the source's index 0 in the result
  };
  mlir::LogicalResult emitParts(mlir::Operation *op, llvm::ArrayRef<TilePart> parts, unsigned dim);
  mlir::LogicalResult emitSlice(tile::SliceOp op);
  mlir::LogicalResult emitConcat(tile::ConcatOp op);
  mlir::LogicalResult emitStoreScalar(tile::StoreScalarOp op);

  //===--- running sums (Scan.cpp) ---===//
  mlir::LogicalResult emitScan(tile::ScanOp op);
  /// Adds what the blocks of `block` rows before (or after) its own sum to, where warps have blocks in turn; totals
  /// become those of the whole.
  mlir::LogicalResult scanAcrossWarps(tile::ScanOp op, const Layout &at, int64_t block,
                                      llvm::SmallVectorImpl<Value> &sums, llvm::SmallVectorImpl<Value> &totals);

  //===--- triangular inverses (Inverse.cpp) ---===//
  mlir::LogicalResult emitUnitTrilInverse(tile::UnitTrilInverseOp op);
  /// Inverts the 16 by 16 blocks on the diagonal of the matrix at `base`.
  void invertDiagonal(Value base, int64_t size);
  /// With A and D on the diagonal inverted, `rows` of D below `width` of A, replaces B left of D by -D B A, of `pairs`
  /// such groups that follow each other from `start`.
  void mergeInverses(Value base, int64_t size, int64_t start, int64_t width, int64_t rows, int64_t pairs);
  /// The same on tensor cores, operands rounded to tf32.
  void multiplyInverses(Value base, int64_t size, int64_t start, int64_t width, int64_t rows, int64_t pairs);
  /// One warp's product of [rows, depth] and [depth, columns] at these addresses, in place of the left operand; of the
  /// second product of a merge its negative in place of the right one.
  void multiplyStrip(Value left, Value right, int64_t pitch, int64_t rows, int64_t columns, int64_t depth, bool second);

  //===--- products that decay (DecayedDot.cpp) ---===//
  mlir::LogicalResult emitDecayedDot(tile::DecayedDotOp op);
  /// Adds what warps with the same rows have of the sums, each of other features, and keeps what the layout gives each.
  void addParts(Value rowWarp, Value part, int64_t rowWarps, int64_t parts, const Layout &to,
                llvm::SmallVectorImpl<Value> &sums);
  /// True for a read all of whose uses read the ring themselves.
  static bool isReadByDecayedDot(tile::SmemReadOp op);

  //===--- device memory (Global.cpp) ---===//
  mlir::LogicalResult emitLoad(tile::LoadOp op);
  mlir::LogicalResult emitLoadScalar(tile::LoadScalarOp op);
  /// Rows of sequences (Ragged.cpp).
  mlir::LogicalResult emitSequence(tile::SequenceOp op);
  mlir::LogicalResult emitNarrow(tile::NarrowOp op);
  mlir::LogicalResult emitEndIf(tile::EndIfOp op);
  mlir::LogicalResult emitStore(tile::StoreOp op);
  /// Elements by tiles of indices (Gather.cpp).
  mlir::LogicalResult emitGather(tile::GatherOp op);
  /// Notes that vectors of this many bytes are read from or written to the tensor.
  void needAlignment(const ViewValue &view, int64_t bytes) {
    int64_t &known = kernel.alignment[view.name];
    known = std::max(known, bytes);
  }
  /// Distance in elements (i64) of element `index` of dimension `d` from element 0.
  Value distance(const ViewValue &view, unsigned d, Value index);
  /// Address of the element at `indices`, in elements from the base (i64).
  Value elementOffset(const ViewValue &view, llvm::ArrayRef<Value> indices);

  //===--- shared memory (Shared.cpp) ---===//
  mlir::LogicalResult emitSmemAlloc(tile::SmemAllocOp op);
  mlir::LogicalResult emitCopyStart(tile::CopyStartOp op);
  /// Begins what only the threads that copy run, where the copy is asked for; endWhere ends it.
  mlir::Block *beginCopy(tile::CopyStartOp op, const Layout &threads);
  mlir::LogicalResult emitSmemRead(tile::SmemReadOp op);
  /// Reads fragments of products by ldmatrix, visiting each 32-bit register with the offset of its first element in the
  /// layout; failure for layouts that are none.
  using FragmentVisitor = llvm::function_ref<void(const Layout::Vector &, Value)>;
  mlir::LogicalResult readFragments(tile::SmemReadOp op, bool columnsFirst, FragmentVisitor visit);
  /// True for a read whose one user reads fragment by fragment, so that few are held at once (Hidden.cpp).
  static bool isReadWithin(tile::SmemReadOp op);
  mlir::LogicalResult emitSmemWrite(tile::SmemWriteOp op);
  /// Bytes behind the rings that operations use in turn, each beginning with a barrier.
  Value scratch(int64_t bytes);
  /// First byte of a stage, as an i32 shared-memory address.
  Value stageBase(mlir::Value ring, mlir::Value stage);
  /// Byte offset within a stage of (row, 16-byte chunk): what is known at compile time apart from what is not. `row`
  /// and `chunk` are thread offsets; the constants are multiples of 8 rows where swizzled.
  Value swizzled(tile::SmemType type, Value row, Value chunk, int64_t rowConstant, int64_t chunkConstant,
                 int64_t &byteConstant);
  Value sharedPointer(Value address);
  /// The address with some bits turned over: chunks of a swizzled row, of a stage at a multiple of 128 bytes.
  Value flipBits(Value address, int64_t bits);

  /// A copy into shared memory whose source is not aligned for asynchronous ones: by registers, element by element.
  mlir::LogicalResult emitNarrowCopy(tile::CopyStartOp op);
  /// Registers read one by one (or in pairs), wherever the layout has them.
  mlir::LogicalResult readElements(tile::SmemReadOp op);
  /// Where a tile's elements lie in a stage (Shared.cpp).
  struct ElementPlaces;
  /// Address of the element at (row + rowConstant, column + columnConstant) of a stage.
  Value elementAddress(tile::SmemType type, Value stage, Value row, Value column, int64_t rowConstant,
                       int64_t columnConstant);

  //===--- products (Dot.cpp, SingleDot.cpp) ---===//
  mlir::LogicalResult emitDot(tile::DotOp op);
  /// mma.m16n8k16 of 16-bit fragments: the sums of 16 rows and 8 columns, a struct of four.
  Value multiplyHalves(mlir::Type element, llvm::ArrayRef<Value> left, llvm::ArrayRef<Value> right,
                       llvm::ArrayRef<Value> sums);
  /// One block of a 16-bit product in which zeros of the left operand hide NaN and infinity (Hidden.cpp): fragments per
  /// step along the depth, and the block's sums, which `multiply(left, right, sums)` adds to.
  using MultiplyBlock = llvm::function_ref<Value(llvm::ArrayRef<Value>, llvm::ArrayRef<Value>, llvm::ArrayRef<Value>)>;
  void emitHidingDot(mlir::Type element, MultiplyBlock multiply, llvm::ArrayRef<llvm::SmallVector<Value>> left,
                     llvm::ArrayRef<llvm::SmallVector<Value>> right, llvm::SmallVectorImpl<Value> &sums);
  /// Of one f32.
  Value isNonfinite(Value x);
  /// Of one row's weights that a thread holds: which are not 0, and which are negative, a bit each.
  struct SignBits {
    Value some, negative;
  };
  /// Adds, to the sums of a product of f32 without them, the values in shared memory that are not finite and meet a
  /// weight other than 0. `signs` of each row of the thread.
  mlir::LogicalResult addNonfinite(tile::DotOp op, const Layout &accumulator, llvm::ArrayRef<SignBits> signs,
                                   llvm::SmallVectorImpl<Value> &sums);
  /// True in all threads of a warp where some of its 16-bit fragments holds a NaN or an infinity.
  Value someNonfinite(mlir::Type element, llvm::ArrayRef<llvm::SmallVector<Value>> fragments);
  /// What follows runs where the condition holds, up to endWhere of the result; without a condition everywhere.
  mlir::Block *beginWhere(Value condition);
  void endWhere(mlir::Block *after);
  /// With what was computed there: elsewhere it is anything.
  llvm::SmallVector<Value> endWhere(mlir::Block *after, llvm::ArrayRef<Value> values);
  /// The address of one element of a view.
  Value elementPointer(mlir::Value view, mlir::ValueRange indices, mlir::Type type);
  /// What one of two branches gives.
  llvm::SmallVector<Value> branch(Value condition, llvm::function_ref<llvm::SmallVector<Value>()> yes,
                                  llvm::function_ref<llvm::SmallVector<Value>()> no);
  /// Runs the body for index = 0, step, ... below `count` (at least once), passing values from one run to the next.
  using LoopBody = llvm::function_ref<llvm::SmallVector<Value>(Value index, llvm::ArrayRef<Value> values)>;
  llvm::SmallVector<Value> countedLoop(int64_t count, int64_t step, llvm::ArrayRef<Value> initial, LoopBody body);
  /// Products of f32 by tensor cores, rounded or split.
  mlir::LogicalResult emitTf32Dot(tile::DotOp op);
  /// Products of f32 by multiply-adds.
  mlir::LogicalResult emitFmaDot(tile::DotOp op);
  /// True for a read whose elements the products that take them read themselves, as they go.
  bool isReadByProducts(tile::SmemReadOp op);
  /// What was emitted just before the reads of a product's operands, where nothing between them and it writes; null
  /// otherwise.
  mlir::Operation *firstReadFor(tile::DotOp op);

  //===--- helpers ---===//
  Value i32(int64_t value);
  Value i64(int64_t value);
  Value f32(double value);
  Value add(Value a, Value b);
  Value sub(Value a, Value b);
  Value mul(Value a, Value b);
  Value addConstant(Value a, int64_t b);
  Value mulConstant(Value a, int64_t b);
  Value toI64(Value a);
  Value icmp(mlir::LLVM::ICmpPredicate predicate, Value a, Value b);
  Value select(Value condition, Value a, Value b);
  Value shflXor(Value value, int64_t mask);
  Value gep(Value pointer, Type element, Value index);
  /// Coordinate `dim` of the part that lane and warp contribute; emitted once, in the entry block.
  Value threadOffset(const Layout &layout, unsigned dim);
  /// The number of a warp among those that have rows of their own, of an accumulator with so many (Layout.h).
  Value warpOfRows(int64_t rows) {
    return rows < 16 * warps ? mlir::LLVM::AndOp::create(b, loc, warp, i32(rows / 16 - 1)).getResult() : warp;
  }
  /// True in the one thread that speaks for each replicated element; null where nothing is replicated.
  Value writesOnce(const Layout &layout);
  Type llvmType(Type type);
  Value bitcast(Value value, Type type);
  /// The same 32 bits as a value that nothing is known of: what is computed from it is computed here, not kept from
  /// where it was computed before.
  Value again(Value value);
  /// Registers of a tile one by one, or as pairs.
  llvm::SmallVector<Value> elements(mlir::Value tile);
  llvm::SmallVector<Value> pairs(mlir::Value tile);
  Value scalar(mlir::Value value);
  llvm::SmallVector<Type> flatTypes(mlir::Value value);
  llvm::SmallVector<Value> flatten(mlir::Value value);
  void unflatten(mlir::Value value, llvm::ArrayRef<Value> registers);
  mlir::RankedTensorType tensorType(mlir::Value value) { return mlir::cast<mlir::RankedTensorType>(value.getType()); }
  const Layout *layout(mlir::Value value);
  /// Runs `emit` with the builder in the entry block, before the first instruction of the body.
  template <typename Function> Value inEntry(Function emit) {
    mlir::OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(entryEnd);
    return emit();
  }

  tile::LaunchOp launch;
  mlir::ModuleOp module;
  const Target &target;
  mlir::OpBuilder b;
  mlir::Location loc;
  mlir::LLVM::LLVMFuncOp function;
  mlir::Operation *entryEnd = nullptr;
  Value lane, warp, threadId;
  int64_t warps = 0, sharedBytes = 0, ringBytes = 0;
  Kernel kernel;

  llvm::DenseMap<mlir::Value, Value> scalars;
  llvm::DenseMap<mlir::Value, TileValue> tiles;
  llvm::DenseMap<mlir::Value, ViewValue> views;
  llvm::DenseMap<mlir::Value, DomainValue> domains;
  llvm::DenseMap<mlir::Value, Value> rings;
  llvm::DenseMap<mlir::Operation *, mlir::Operation *> beforeRead; // the last operation emitted before a read's
  std::map<std::tuple<int, std::string, unsigned>, Value> parameters;
  std::map<std::pair<std::string, unsigned>, Value> threadOffsets;
  std::map<std::string, Value> laneOffsets;
};

} // namespace fovea::codegen
