// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The machine inside the tile interpreter. Operations are decoded once into instructions over numbered slots; a thread
// keeps its own stack of blocks, so that a role can stop in the middle of nested loops and go on later.
#pragma once

#include "reference/tile/TileInterpreter.h"
#include "llvm/ADT/SmallVector.h"
#include <deque>
#include <memory>

namespace fovea::tile::machine {

/// One element: floats as double, integers as the sign-extended value (i1: 0 or 1).
union Cell {
  double f;
  int64_t n;
};

/// What an SSA value holds: the elements of a tile, one element of a scalar, the tiles of a domain (start and full flag
/// in turn), or the number of a view, ring, channel, order or token.
struct Buffer {
  std::vector<Cell> cells;
  bool released = false; ///< a tile in a channel's stage that was given back
};
using BufferRef = std::shared_ptr<Buffer>;

/// How a scalar or an element is represented.
struct Kind {
  bool isFloat = false;
  int width = 64; ///< bits; 64 for index
};
Kind kindOf(mlir::Type elementOrTensor);

/// n cells at each pointer; a message if the values are not in the operation's domain.
using Kernel = const char *(*)(const Cell *const *in, Cell *out, int64_t n, const struct Instr &);

class Thread;
struct Block;

struct Frame;

enum class Step {
  Next,    ///< done, or for the end of a block: leave it
  Entered, ///< a block was entered, or for the end of a block: run the frame's block again
  Blocked, ///< nothing has happened; try again when another role has moved
  Failed
};
using Handler = Step (*)(Thread &, const Instr &);
using Finisher = Step (*)(Thread &, Frame &);

struct Instr {
  Handler run = nullptr;
  Finisher finish = nullptr; ///< at the end of one of its blocks
  Kernel kernel = nullptr;
  mlir::Operation *op = nullptr;
  llvm::SmallVector<int, 4> in, out;
  int64_t elements = 1;     ///< of the first result
  Kind from, to;            ///< of the first operand and the first result
  bool roundsToF32 = false; ///< the result is rounded after the kernel
  uint32_t spread = 0;      ///< bit k: operand k is one cell that serves all elements
  int64_t immediate = 0;    ///< a predicate, a number from an attribute
  llvm::SmallVector<int64_t, 4> dims, shape;
  Cell pad = {0.0};
  BufferRef constant;
  std::vector<Block> blocks;
  // Where operand groups begin in `in`.
  int first = 0, second = 0, third = 0;
};

struct Block {
  std::vector<Instr> instrs;
  std::vector<int> args, yields;
  mlir::Operation *op = nullptr; ///< the operation whose region it is
};

/// Device memory.
struct Array {
  std::string name;
  mlir::Type elementType;
  std::vector<int64_t> shape, strides;
  double *data = nullptr;
  std::vector<double> own;
  bool isInput = false;
  bool isCarry = false; ///< read before it is written
  /// Of a merged dimension: index r moves the outer dimension by r / inner and the inner one by r % inner.
  struct Merged {
    int64_t inner = 0; ///< 0: an ordinary dimension
    int64_t outerStride = 0, innerStride = 0;
  };
  llvm::SmallVector<Merged, 4> merged; ///< by dimension; empty: none
  Array *memory = nullptr;             ///< whose elements these are, if not its own
  int64_t origin = 0;                  ///< of its first element there
  uint32_t &writerOf(int64_t offset) { return (memory ? memory->writer : writer)[origin + offset]; }
  uint32_t writerOf(int64_t offset) const { return (memory ? memory->writer : writer)[origin + offset]; }
  bool isMerged(int64_t d) const { return !merged.empty() && d >= 0 && merged[d].inner > 0; }
  /// Distance of element `index` of dimension `d` from element 0.
  int64_t distance(size_t d, int64_t index) const {
    if (!isMerged(d))
      return index * strides[d];
    return index / merged[d].inner * merged[d].outerStride + index % merged[d].inner * merged[d].innerStride;
  }
  std::vector<uint32_t> writer; ///< per element the number of the work item that wrote it, 0 if none; empty for inputs
};

/// A tile of a view, by its coordinates.
struct Claim {
  int64_t array = -1;
  llvm::SmallVector<int64_t, 4> indices, dims;
  bool operator==(const Claim &other) const {
    return array == other.array && indices == other.indices && dims == other.dims;
  }
};

/// One stage of a ring.
struct Stage {
  enum { Undefined, InFlight, Landed, Ready, Overwritten } state = Undefined;
  bool fromView = false;
  Claim claim;
  std::vector<Cell> data;
  bool readSinceBarrier = false;
  mlir::Operation *by = nullptr; ///< who filled it, or destroyed it
};

struct Ring {
  int64_t offset = -1; ///< first byte; -1: bytes of its own
  int64_t stageBytes = 0;
  std::vector<Stage> stages;
};

struct PendingCopy {
  int64_t ring, stage;
};

struct PendingDot {
  BufferRef a, b, acc;
  const Instr *start = nullptr;
};

struct Channel {
  int64_t offset = -1, bytes = 0, stages = 0, readers = 1;
  struct Item {
    Claim claim;
    int64_t released = 0;
    mlir::Operation *by = nullptr;
  };
  std::deque<Item> items; ///< put and not yet released by all readers
  int64_t firstItem = 0;  ///< the number of items.front()
  int64_t writer = -1;    ///< the thread that puts
  mlir::Operation *op = nullptr;
  struct Reader {
    int64_t taken = 0, released = 0;
    std::deque<BufferRef> held;
  };
  std::map<int64_t, Reader> readerOf; ///< by thread
};

struct Order {
  int64_t count = 0, turn = 0;
  mlir::Operation *op = nullptr;
};

struct FoldState {
  const Buffer *domain = nullptr;
  BufferRef domainRef;
  size_t next = 0; ///< which tile
  double scale = 0;
  std::vector<double> max, sum;
  std::vector<std::vector<double>> accumulators;
  bool inMask = false;
};

struct Frame {
  const Block *block = nullptr;
  size_t pc = 0;
  const Instr *owner = nullptr; ///< the instruction that entered the block
  int64_t index = 0, bound = 0, step = 0;
  std::unique_ptr<FoldState> fold;
};

/// What all threads of a run share.
struct Machine {
  const RunOptions &options;
  std::vector<std::unique_ptr<Array>> arrays;
  const std::map<std::string, int64_t> *axes = nullptr;
  std::map<std::string, int64_t> computedAxes; ///< those given and those computed, once one is
  std::map<std::string, Tensor> *tensors = nullptr;
  // Of the current launch and work item.
  std::string launch;
  std::vector<int64_t> item;
  llvm::DenseMap<mlir::Operation *, int64_t> launchViews; ///< the place in `arrays` of a view that work items make
  uint32_t itemNumber = 0, firstItemOfLaunch = 1;
  bool inLaunch = false;
  std::vector<Channel> channels;
  std::vector<Order> orders;
  int64_t threads = 0; ///< made so far, to number them
  std::string error;

  explicit Machine(const RunOptions &options) : options(options) {}
  bool rounds() const { return options.precision != Precision::Exact; }
};

class Thread {
public:
  enum class State { Done, Blocked, Failed };

  Thread(Machine &machine, std::vector<BufferRef> slots)
      : machine(machine), slots(std::move(slots)), number(machine.threads++) {}

  /// Runs until the outermost block ends, an operation blocks or an error is set.
  State run();
  void enter(const Block &block, const Instr *owner) {
    frames.emplace_back();
    frames.back().block = &block;
    frames.back().owner = owner;
  }

  const std::vector<Cell> &cells(int slot) const { return slots[slot]->cells; }
  const Cell *get(const Instr &instr, unsigned k) const { return slots[instr.in[k]]->cells.data(); }
  int64_t integer(const Instr &instr, unsigned k) const { return get(instr, k)->n; }
  /// Room for a result; never the buffer of another value.
  Cell *put(int slot, int64_t n) {
    BufferRef &ref = slots[slot];
    if (!ref || ref.use_count() != 1 || ref->released)
      ref = std::make_shared<Buffer>();
    ref->cells.resize(n);
    return ref->cells.data();
  }
  Cell *result(const Instr &instr, unsigned k = 0) { return put(instr.out[k], k == 0 ? instr.elements : 1); }
  void setInteger(int slot, int64_t value) { put(slot, 1)->n = value; }

  Step fail(const Instr &instr, const llvm::Twine &message);
  Step block(const llvm::Twine &why) {
    reason = why.str();
    return Step::Blocked;
  }

  Machine &machine;
  std::vector<BufferRef> slots;
  std::vector<Frame> frames;
  int64_t number;
  uint64_t steps = 0; ///< operations done, to see whether a role moves
  std::string role;   ///< as in `consumer#1`
  std::string reason; ///< what it waits for
  // Shared memory of the thread's own, and its products and copies in flight.
  std::vector<Ring> rings;
  std::vector<PendingCopy> openGroup;
  std::deque<std::vector<PendingCopy>> groups;
  std::map<int64_t, PendingDot> dots;
  int64_t nextDot = 0;

private:
  void dump(const Instr &instr);
};

/// Decodes the body of a program over `slots` slots. On failure the error names the operation.
llvm::Error decode(ProgramOp program, const RunOptions &options, Block &block, size_t &slots);

/// `file:line:column`, or MLIR's form of a location without a file.
std::string placeOf(mlir::Operation *op);

/// The kernel of an elementwise operation; false if it is not known. Sets kernel, immediate and roundsToF32.
bool decodeElementwise(mlir::Operation *op, const RunOptions &options, Instr &instr);
Step runElementwise(Thread &thread, const Instr &instr);

// Memory.cpp
Step runAxis(Thread &, const Instr &);
Step runComputedAxis(Thread &, const Instr &);
Step runDeviceSms(Thread &, const Instr &);
Step runSequence(Thread &, const Instr &);
Step runNarrow(Thread &, const Instr &);
Step runEndIf(Thread &, const Instr &);
Step runMergeDims(Thread &, const Instr &);
Step runTensor(Thread &, const Instr &);
Step runWorkspace(Thread &, const Instr &);
Step runLoad(Thread &, const Instr &);
Step runLoadScalar(Thread &, const Instr &);
Step runGather(Thread &, const Instr &);
Step runStore(Thread &, const Instr &);
Step runStoreScalar(Thread &, const Instr &);
/// Fills `out` with the box at `indices`; outside the view, and from row `limit` on, with `pad`.
bool readBox(Thread &thread, const Instr &instr, const Claim &box, llvm::ArrayRef<int64_t> shape, int64_t limit,
             Cell pad, Cell *out);
Claim claimOf(Thread &thread, const Instr &instr, int view, int firstIndex, unsigned count);

// Tiles.cpp
Step runBroadcast(Thread &, const Instr &);
Step runIota(Thread &, const Instr &);
Step runDot(Thread &, const Instr &);
Step runReduce(Thread &, const Instr &);
Step runScan(Thread &, const Instr &);
Step runSlice(Thread &, const Instr &);
Step runConcat(Thread &, const Instr &);
Step runDomain(Thread &, const Instr &);
Step runDomainSlice(Thread &, const Instr &);
Step runDomainCount(Thread &, const Instr &);
Step runDomainTile(Thread &, const Instr &);
Step runFold(Thread &, const Instr &);
/// The next step of a fold whose body or mask has just been run; Entered while tiles remain.
Step finishFold(Thread &thread, Frame &frame);
/// To nearest in 11 significant bits, ties away from zero, as cvt.rna.tf32.f32.
double toTf32(double x);
void computeDot(const Cell *a, const Cell *b, const Cell *acc, Cell *out, const Instr &instr, bool roundToF32);

// Chunks.cpp
Step runTranspose(Thread &, const Instr &);
Step runUnitTrilInverse(Thread &, const Instr &);
Step runDecayedDot(Thread &, const Instr &);

// Control.cpp
Step runLaunch(Thread &, const Instr &);
Step runRecurrence(Thread &, const Instr &);
Step finishRecurrence(Thread &, Frame &);
Step runFor(Thread &, const Instr &);
Step finishFor(Thread &, Frame &);
Step runIf(Thread &, const Instr &);
Step finishIf(Thread &, Frame &);
Step runRoles(Thread &, const Instr &);

// Shared.cpp
Step runSmemAlloc(Thread &, const Instr &);
Step runCopyStart(Thread &, const Instr &);
Step runCopyCommit(Thread &, const Instr &);
Step runCopyWait(Thread &, const Instr &);
Step runBarrier(Thread &, const Instr &);
Step runSmemRead(Thread &, const Instr &);
Step runSmemWrite(Thread &, const Instr &);
Step runChannel(Thread &, const Instr &);
Step runPut(Thread &, const Instr &);
Step runTake(Thread &, const Instr &);
Step runRelease(Thread &, const Instr &);
Step runOrder(Thread &, const Instr &);
Step runOrderWait(Thread &, const Instr &);
Step runOrderSignal(Thread &, const Instr &);
Step runDotStart(Thread &, const Instr &);
Step runDotWait(Thread &, const Instr &);

} // namespace fovea::tile::machine
