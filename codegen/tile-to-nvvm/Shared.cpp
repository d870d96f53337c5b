// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shared memory: rings, swizzled addresses, asynchronous copies, staged tiles.
#include "codegen/tile-to-nvvm/Emitter.h"

#include <set>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

LogicalResult Emitter::emitSmemAlloc(tile::SmemAllocOp op) {
  if (!op.getOffset())
    return op.emitOpError("has no place: run tile-allocate-smem first");
  auto type = op.getSmem().getType();
  int64_t rowBytes = type.getColumns() * type.getElementType().getIntOrFloatBitWidth() / 8;
  if (type.getSwizzle() && rowBytes % type.getSwizzle())
    return op.emitOpError("has rows that are no multiple of its swizzle span");
  if (type.getSwizzle() && (*op.getOffset() % 128 || type.getStageBytes() % 128))
    return op.emitOpError("has stages that do not begin at multiples of 128 bytes, as a swizzle needs");
  sharedBytes = std::max<int64_t>(sharedBytes, *op.getOffset() + type.getBytes());
  rings[op.getSmem()] = inEntry([&] {
    auto pointer = LLVM::LLVMPointerType::get(b.getContext(), 3);
    Value base = LLVM::AddressOfOp::create(b, loc, pointer, "fovea_shared");
    return addConstant(LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), base), *op.getOffset());
  });
  return success();
}

Value Emitter::stageBase(Value ring, Value stage) {
  auto type = cast<tile::SmemType>(ring.getType());
  if (type.getStages() == 1)
    return rings[ring];
  return add(rings[ring], mulConstant(scalar(stage), type.getStageBytes()));
}

Value Emitter::flipBits(Value address, int64_t bits) {
  return bits ? LLVM::XOrOp::create(b, loc, address, i32(bits)).getResult() : address;
}

Value Emitter::sharedPointer(Value address) {
  return LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext(), 3), address);
}

// A stage is [columns / span] blocks of [rows, span bytes]; within a block the 16-byte chunk number is exclusive-ored
// with the bits of the row that select its place in 128 bytes of banks. Constants that the exclusive or cannot touch go
// into byteConstant.
Value Emitter::swizzled(tile::SmemType type, Value row, Value chunk, int64_t rowConstant, int64_t chunkConstant,
                        int64_t &byteConstant) {
  int64_t rowBytes = type.getColumns() * type.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t span = type.getSwizzle() ? type.getSwizzle() : rowBytes;
  int64_t chunksPerSpan = span / 16;
  byteConstant = rowConstant * span;
  if (!type.getSwizzle()) {
    byteConstant += chunkConstant * 16;
    return add(mulConstant(row, span), mulConstant(chunk, 16));
  }
  // 128: chunk ^= row % 8; 64: chunk ^= (row / 2) % 4; 32: chunk ^= (row / 4) % 2.
  int64_t shift = span == 128 ? 0 : span == 64 ? 1 : 2, mask = chunksPerSpan - 1;
  Value phase = row;
  if (shift)
    phase = LLVM::LShrOp::create(b, loc, phase, i32(shift));
  phase = LLVM::AndOp::create(b, loc, phase, i32(mask));
  // Whole spans do not take part in the exclusive or.
  int64_t blockConstant = chunkConstant / chunksPerSpan, within = chunkConstant % chunksPerSpan;
  byteConstant += blockConstant * type.getRows() * span;
  Value column = addConstant(chunk, within);
  Value block;
  if (type.getColumns() * type.getElementType().getIntOrFloatBitWidth() / 8 > span) {
    block = LLVM::LShrOp::create(b, loc, column, i32(llvm::Log2_64(chunksPerSpan)));
    column = LLVM::AndOp::create(b, loc, column, i32(mask));
  }
  Value offset = add(mulConstant(row, span), mulConstant(LLVM::XOrOp::create(b, loc, column, phase), 16));
  return block ? add(offset, mulConstant(block, type.getRows() * span)) : offset;
}

/// True if each 16-byte chunk of a row lies within the view, or outside it, as a whole.
static bool isWholeChunks(const ViewValue &view, Value index, int64_t perChunk) {
  return view.staticSizes.back() % perChunk == 0 && isMultipleOf(index, perChunk);
}

Block *Emitter::beginCopy(tile::CopyStartOp op, const Layout &threads) {
  // A tile smaller than a chunk for each thread is dealt to some threads twice; one of them copies.
  Value predicate = writesOnce(threads);
  if (op.getPredicate()) {
    Value asked = scalar(op.getPredicate());
    predicate = predicate ? LLVM::AndOp::create(b, loc, predicate, asked).getResult() : asked;
  }
  return beginWhere(predicate);
}

LogicalResult Emitter::emitCopyStart(tile::CopyStartOp op) {
  auto type = op.getSmem().getType();
  int64_t bytes = type.getElementType().getIntOrFloatBitWidth() / 8, perChunk = 16 / bytes;
  // Rows that are no multiple of eight are dealt as if they were; no thread copies those beyond.
  int64_t dealtRows = type.getRows() > 8 ? llvm::alignTo(type.getRows(), 16) : type.getRows();
  if (type.getRows() % 8 == 0)
    dealtRows = type.getRows();
  auto threads = Layout::rowMajor(dealtRows, type.getColumns(), perChunk, warps);
  if (!threads)
    return op.emitOpError("copies rows that are no multiple of 16 bytes");
  ViewValue view = views[op.getView()];
  ArrayRef<int64_t> dims = op.getDims();
  if (dims[1] != int64_t(view.strides.size()) - 1 || view.merged.count(dims[1]) ||
      ShapedType::isDynamic(view.staticSizes[dims[1]]))
    return op.emitOpError("copies tiles whose rows are not contiguous and of static length");

  if (view.alignment < 16)
    return emitNarrowCopy(op);
  needAlignment(view, 16);

  Block *after = beginCopy(op, *threads);
  SmallVector<Value> fixed(op.getIndices().size());
  for (auto [d, index] : llvm::enumerate(op.getIndices()))
    if (int64_t(d) != dims[0])
      fixed[d] = scalar(index);
  Value base = gep(view.base, type.getElementType(), elementOffset(view, fixed));
  Value stage = stageBase(op.getSmem(), op.getStage());
  Value threadRow = threadOffset(*threads, 0), threadColumn = threadOffset(*threads, 1);
  // A tile wider than the view, or its last part: chunks beyond the row are filled with zeros.
  bool checkColumns = !alwaysInside(view, dims[1], op.getIndices()[dims[1]], type.getColumns());
  if (checkColumns && !isWholeChunks(view, op.getIndices()[dims[1]], perChunk))
    return op.emitOpError("copies rows whose length is no multiple of 16 bytes");
  std::map<int64_t, Value> columnValid;
  Value threadChunk =
      inEntry([&] { return LLVM::LShrOp::create(b, loc, threadColumn, i32(llvm::Log2_64(perChunk))).getResult(); });
  std::map<int64_t, std::pair<Value, Value>> rows; // pointer to the row's first chunk of this thread, bytes to copy
  std::map<std::pair<int64_t, int64_t>, Value> places;
  int64_t phaseRows = type.getSwizzle() ? 8 : 1;
  int64_t rowsOfThreads = 1; // that differ in what threads add
  for (const std::vector<Layout::Vector> *part : {&threads->lane, &threads->warp})
    for (const Layout::Vector &v : *part)
      rowsOfThreads += v[0];
  for (int64_t r = 0; r < threads->registers(); r += perChunk) {
    Layout::Vector constants = threads->registerOffset(r);
    auto &[pointer, size] = rows[constants[0]];
    if (!pointer) {
      Value row = addConstant(add(scalar(op.getIndices()[dims[0]]), threadRow), constants[0]);
      Value valid = icmp(LLVM::ICmpPredicate::ult, row, view.sizes[dims[0]]);
      row = select(valid, row, i32(0));
      pointer = gep(gep(base, type.getElementType(), distance(view, dims[0], row)), type.getElementType(),
                    toI64(threadColumn));
      size = select(valid, i32(16), i32(0)); // a row outside the view is filled with zeros and not read
    }
    int64_t byteConstant = 0;
    // Only multiples of the swizzle's period may leave the exclusive or.
    int64_t rowRest = constants[0] % phaseRows;
    int64_t chunk = constants[1] / perChunk;
    Value &place = places[{rowRest, chunk}];
    int64_t ignored;
    if (!place)
      place = inEntry([&] { return swizzled(type, addConstant(threadRow, rowRest), threadChunk, 0, chunk, ignored); });
    // The constants of this chunk, without emitting its address again.
    int64_t rowBytes = type.getColumns() * bytes, span = type.getSwizzle() ? type.getSwizzle() : rowBytes;
    byteConstant = (constants[0] - rowRest) * span;
    byteConstant += type.getSwizzle() ? chunk / (span / 16) * type.getRows() * span : chunk * 16;
    Value destination = sharedPointer(addConstant(add(stage, place), byteConstant));
    Value source = gep(pointer, type.getElementType(), i64(constants[1])), bytesRead = size;
    if (checkColumns) {
      Value &valid = columnValid[constants[1]];
      if (!valid) {
        Value column = addConstant(add(scalar(op.getIndices()[dims[1]]), threadColumn), constants[1]);
        valid = icmp(LLVM::ICmpPredicate::ult, column, view.sizes[dims[1]]);
      }
      source = select(valid, source, base); // a place that is always there
      bytesRead = select(valid, size, i32(0));
    }
    Block *exists = nullptr;
    if (constants[0] + rowsOfThreads > type.getRows())
      exists = beginWhere(icmp(LLVM::ICmpPredicate::slt, threadRow, i32(type.getRows() - constants[0])));
    NVVM::CpAsyncOp::create(b, loc, destination, source, b.getI32IntegerAttr(16),
                            NVVM::LoadCacheModifierKindAttr::get(b.getContext(), NVVM::LoadCacheModifierKind::CG),
                            bytesRead);
    endWhere(exists);
  }
  endWhere(after);
  return success();
}

LogicalResult Emitter::readFragments(tile::SmemReadOp op, bool columnsFirst, FragmentVisitor visit) {
  const Layout *to = layout(op.getTile());
  auto type = op.getSmem().getType();
  auto tileType = tensorType(op.getTile());
  int64_t rows = tileType.getDimSize(0), columns = tileType.getDimSize(1);
  int64_t bytes = type.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t span = type.getSwizzle() ? type.getSwizzle() : columns * bytes;
  int64_t chunksPerSpan = span / 16;
  auto constantOf = [&](int64_t row, int64_t chunk) {
    return row * span + (type.getSwizzle() ? chunk / chunksPerSpan * type.getRows() * span : chunk * 16);
  };
  // The cases differ in which rows and chunks a lane names and in transposition. A chunk is 8 elements of 16 bits, or 4
  // of 32, which only go untransposed.
  enum class Fragment { None, Left, LeftTransposed, Right, RightTransposed } fragment = Fragment::None;
  int64_t perChunk = 16 / bytes;
  if (bytes == 4) {
    if (auto l = Layout::mmaLeftSingle(rows, columns, warps); l && *l == *to)
      fragment = Fragment::Left;
    else if (auto l = Layout::mmaRightSingle(rows, columns, warps); l && *l == *to && rows % 16 == 0)
      fragment = Fragment::Right;
  } else if (bytes == 2) {
    // Sixteen columns of an accumulator are held as the left operand is.
    auto isLeft = [&](const Layout &at, int64_t rows, int64_t columns) {
      auto l = Layout::mmaLeft(rows, columns, warps);
      if (l && *l == at)
        return true;
      for (bool deal : {false, true})
        if (auto c = Layout::mmaAccumulator(rows, columns, warps, deal); c && *c == at && columns % 16 == 0)
          return true;
      return false;
    };
    // The right operand of a product of all warps, or of one with as many rows as some of them have.
    auto isRight = [&](const Layout &at, int64_t columns, int64_t depth) {
      for (int64_t dealtRows = 0; dealtRows < 16 * warps; dealtRows = dealtRows ? 2 * dealtRows : 16)
        if (auto r = Layout::mmaRight(columns, depth, warps, dealtRows); r && *r == at)
          return true;
      return false;
    };
    Layout across = to->transposed();
    fragment = isLeft(*to, rows, columns)       ? Fragment::Left
               : isRight(*to, rows, columns)    ? Fragment::Right
               : isRight(across, columns, rows) ? Fragment::RightTransposed
               : isLeft(across, columns, rows)  ? Fragment::LeftTransposed
                                                : Fragment::None;
  }
  if (fragment == Fragment::None)
    return failure();
  Value stage = stageBase(op.getSmem(), op.getStage());
  bool transposed = fragment == Fragment::RightTransposed || fragment == Fragment::LeftTransposed;
  // Matrices of one x4 load, in register order, with C elements a chunk: for the left operand (row, k) = (0,0) (8,0)
  // (0,C) (8,C); for the right operand (n, k) = (0,0) (0,C) (8,0) (8,C), read from rows n, or from rows k with
  // transposition.
  bool rowsFirst = fragment != Fragment::Right;
  // Chunks of one row differ by bits that the lane's part of the number does not have: from one place all others follow
  // by an exclusive or, which takes no register while other things are done.
  // What the warps add, which has bits of its own too.
  Layout ofWarps = *to;
  for (Layout::Vector &v : ofWarps.lane)
    v = {0, 0};
  std::string key = std::to_string(int(fragment)) + "/" + std::to_string(span) + "/" + std::to_string(type.getRows()) +
                    "/" + std::to_string(columns) + "/" + std::to_string(int64_t(op.getRow()));
  for (const Layout::Vector &v : to->warp)
    key += "/" + std::to_string(v[0]) + "," + std::to_string(v[1]);
  Value &place = laneOffsets[key];
  if (!place)
    place = inEntry([&] {
      Value low = LLVM::AndOp::create(b, loc, lane, i32(7));
      Value bit3 = LLVM::AndOp::create(b, loc, LLVM::LShrOp::create(b, loc, lane, i32(3)), i32(1));
      Value bit4 = LLVM::LShrOp::create(b, loc, lane, i32(4));
      Value row = add(low, mulConstant(rowsFirst ? bit3 : bit4, 8));
      Value column = rowsFirst ? bit4 : bit3;
      row = addConstant(row, op.getRow());
      if (ofWarps.warpsAlong(0))
        row = add(row, threadOffset(ofWarps, 0));
      if (ofWarps.warpsAlong(1))
        column = add(column,
                     LLVM::LShrOp::create(b, loc, threadOffset(ofWarps, 1), i32(llvm::Log2_64(perChunk))).getResult());
      int64_t ignored;
      return swizzled(type, row, column, 0, 0, ignored);
    });
  Value first = add(stage, place);
  auto load = [&](int64_t row, int64_t chunk) {
    int64_t within = type.getSwizzle() ? chunk % chunksPerSpan : 0;
    Value pointer = sharedPointer(addConstant(flipBits(first, within * 16), constantOf(row, chunk - within)));
    auto i32Type = b.getI32Type();
    auto struct4 = LLVM::LLVMStructType::getLiteral(b.getContext(), {i32Type, i32Type, i32Type, i32Type});
    Value loaded = NVVM::LdMatrixOp::create(
        b, loc, struct4, pointer, b.getI32IntegerAttr(4),
        NVVM::MMALayoutAttr::get(b.getContext(), transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row),
        NVVM::LdStMatrixShapeAttr::get(b.getContext(), 8, 8),
        NVVM::LdStMatrixEltTypeAttr::get(b.getContext(), NVVM::LdStMatrixEltType::B16));
    for (int64_t k = 0; k < 4; ++k) {
      // (low bit, high bit) of the matrix number to (row, column) by the order above.
      int64_t lowBit = k & 1, highBit = k >> 1;
      int64_t r = rowsFirst ? lowBit : highBit, c = rowsFirst ? highBit : lowBit;
      Value register32 = LLVM::ExtractValueOp::create(b, loc, loaded, k);
      visit({row + 8 * r, (chunk + c) * perChunk},
            bytes == 4 ? bitcast(register32, type.getElementType()) : register32);
    }
  };
  // This warp's blocks of 16 rows and two chunks.
  std::set<std::pair<int64_t, int64_t>> blocks;
  for (int64_t r = 0; r < to->registers(); ++r) {
    Layout::Vector offset = to->registerOffset(r);
    int64_t row = offset[0] / 16 * 16, chunk = offset[1] / (2 * perChunk) * 2;
    blocks.insert(columnsFirst ? std::pair(chunk, row) : std::pair(row, chunk));
  }
  for (auto [outer, inner] : blocks)
    load(columnsFirst ? inner : outer, columnsFirst ? outer : inner);
  return success();
}

LogicalResult Emitter::emitSmemRead(tile::SmemReadOp op) {
  const Layout *to = layout(op.getTile());
  if (!to)
    return op.emitOpError("works on a tile without layout");
  auto type = op.getSmem().getType();
  auto tileType = tensorType(op.getTile());
  if (op.getRow() && (isReadByDecayedDot(op) || isReadByProducts(op)))
    return op.emitOpError("begins within a stage, which products that read it themselves do not know");
  if (isReadByDecayedDot(op))
    return success();
  if (tileType.getRank() == 1)
    return readElements(op);
  int64_t rows = tileType.getDimSize(0), columns = tileType.getDimSize(1);
  int64_t bytes = type.getElementType().getIntOrFloatBitWidth() / 8, perChunk = 16 / bytes;
  Value stage = stageBase(op.getSmem(), op.getStage());

  if (isReadByProducts(op) || isReadWithin(op))
    return success();
  if (!b.getInsertionBlock()->empty())
    beforeRead[op] = &b.getInsertionBlock()->back();
  std::map<Layout::Vector, Value> pairAt; // offset of the (pair's first) register -> 32 bits
  if (succeeded(readFragments(op, /*columnsFirst=*/false,
                              [&](const Layout::Vector &place, Value value) { pairAt[place] = value; }))) {
    TileValue result;
    result.packed = bytes == 2;
    for (int64_t r = 0; r < to->registers(); r += bytes == 2 ? 2 : 1) {
      auto found = pairAt.find(to->registerOffset(r));
      if (found == pairAt.end())
        return op.emitOpError("has a fragment layout whose registers do not come in the order of ldmatrix");
      result.registers.push_back(found->second);
    }
    tiles[op.getTile()] = result;
    return success();
  }

  // Rows in vectors of 16 bytes.
  auto rowMajor = Layout::rowMajor(rows, columns, perChunk, warps);
  if (!rowMajor || *rowMajor != *to)
    return readElements(op);
  Value threadRow = threadOffset(*to, 0);
  Value threadChunk = inEntry(
      [&] { return LLVM::LShrOp::create(b, loc, threadOffset(*to, 1), i32(llvm::Log2_64(perChunk))).getResult(); });
  TileValue result;
  result.packed = bytes == 2;
  for (int64_t r = 0; r < to->registers(); r += perChunk) {
    Layout::Vector constants = to->registerOffset(r);
    constants[0] += op.getRow();
    int64_t rest = constants[0] % 8, byteConstant;
    Value place = swizzled(type, addConstant(threadRow, rest), threadChunk, constants[0] - rest,
                           constants[1] / perChunk, byteConstant);
    Value pointer = sharedPointer(addConstant(add(stage, place), byteConstant));
    Type part = bytes == 2 ? Type(b.getI32Type()) : type.getElementType();
    Value vector = LLVM::LoadOp::create(b, loc, VectorType::get(4, part), pointer, 16);
    for (int64_t k = 0; k < 4; ++k)
      result.registers.push_back(LLVM::ExtractElementOp::create(b, loc, vector, i32(k)));
  }
  tiles[op.getTile()] = result;
  return success();
}

Value Emitter::elementAddress(tile::SmemType type, Value stage, Value row, Value column, int64_t rowConstant,
                              int64_t columnConstant) {
  int64_t bytes = type.getElementType().getIntOrFloatBitWidth() / 8, perChunk = 16 / bytes, byteConstant;
  // Only multiples of the swizzle's period and whole chunks may leave the exclusive or.
  int64_t rowRest = rowConstant % 8, columnRest = columnConstant % perChunk;
  column = addConstant(column, columnRest);
  Value chunk = LLVM::LShrOp::create(b, loc, column, i32(llvm::Log2_64(perChunk)));
  Value inChunk = mulConstant(LLVM::AndOp::create(b, loc, column, i32(perChunk - 1)), bytes);
  Value place = swizzled(type, addConstant(row, rowRest), chunk, rowConstant - rowRest,
                         (columnConstant - columnRest) / perChunk, byteConstant);
  return addConstant(add(add(stage, place), inChunk), byteConstant);
}

struct Emitter::ElementPlaces {
  Emitter &e;
  const Layout &layout;
  tile::SmemType type;
  Value stage, row, column;
  int64_t bits, span, perSpan;
  bool paired = false; ///< registers 2n and 2n + 1 are neighbours in a row
  /// Of pairs of 32 bits, the lanes of the upper half of a quad take the second element first. Two rows whose 16-byte
  /// chunks change places by the exclusive or would else ask for the same banks.
  bool split = false;
  Value second;     ///< i1: this lane takes the second element first
  int64_t firstRow; ///< of the stage
  std::map<std::array<int64_t, 3>, Value> places;

  ElementPlaces(Emitter &e, const Layout &layout, Value ring, Value stageNumber, int64_t firstRow = 0)
      : e(e), layout(layout), firstRow(firstRow) {
    type = cast<tile::SmemType>(ring.getType());
    stage = e.stageBase(ring, stageNumber);
    bits = type.getElementType().getIntOrFloatBitWidth();
    span = type.getSwizzle() ? type.getSwizzle() : type.getColumns() * bits / 8;
    perSpan = span * 8 / bits;
    bool matrix = layout.rank() == 2;
    row = matrix ? e.threadOffset(layout, 0) : e.inEntry([&] { return e.i32(0); });
    column = e.threadOffset(layout, matrix ? 1 : 0);
    using V = Layout::Vector;
    paired = !layout.reg.empty() && layout.reg.front() == (matrix ? V{0, 1} : V{1});
    split = paired && matrix && bits == 32 && type.getSwizzle() && layout.lane[0] == V{0, 2} &&
            layout.lane[1] == V{0, 4} && layout.lane[2] == V{1, 0};
    if (split)
      second = e.inEntry([&] {
        Value bit = LLVM::AndOp::create(e.b, e.loc, e.lane, e.i32(2));
        return e.icmp(LLVM::ICmpPredicate::ne, bit, e.i32(0));
      });
  }

  /// Address of the element in register r; of a split pair, of what this lane takes first (`half` 0) or then (1).
  Value at(int64_t r, int64_t half = 0) {
    Layout::Vector constants = layout.registerOffset(r);
    if (constants.size() == 1)
      constants.insert(constants.begin(), 0);
    constants[0] += firstRow;
    int64_t rowRest = constants[0] % 8, columnRest = constants[1] % perSpan;
    int64_t byteConstant = (constants[0] - rowRest) * span, flip = 0;
    byteConstant += (constants[1] - columnRest) / perSpan * (type.getSwizzle() ? type.getRows() * span : span);
    // Bits that no thread's part of the coordinates has go into the exclusive or: all places follow from one. Others
    // are computed each, once.
    if (type.getSwizzle() && !(columnRest & bitsOfThreads(1))) {
      int64_t perChunk = 128 / bits, shift = span == 128 ? 0 : span == 64 ? 1 : 2;
      flip = columnRest / perChunk * 16;
      byteConstant += columnRest % perChunk * bits / 8;
      columnRest = 0;
      if (!(rowRest & bitsOfThreads(0))) {
        flip ^= (rowRest >> shift & (span / 16 - 1)) * 16;
        byteConstant += rowRest * span;
        rowRest = 0;
      }
    }
    Value &place = places[{rowRest, columnRest, half}];
    if (!place)
      place = e.inEntry([&] {
        Value first = e.elementAddress(type, e.i32(0), row, column, rowRest, columnRest);
        if (!split)
          return first;
        Value up = e.add(first, e.i32(4));
        return half ? e.select(second, first, up) : e.select(second, up, first);
      });
    return e.sharedPointer(e.addConstant(e.flipBits(e.add(stage, place), flip), byteConstant));
  }

  /// The bits of a coordinate that differ between threads.
  int64_t bitsOfThreads(unsigned dim) const {
    if (layout.rank() == 1)
      dim = 0;
    int64_t result = 0;
    for (const std::vector<Layout::Vector> *part : {&layout.lane, &layout.warp})
      for (const Layout::Vector &v : *part)
        result |= v[dim];
    return result;
  }
};

LogicalResult Emitter::readElements(tile::SmemReadOp op) {
  const Layout *to = layout(op.getTile());
  Type element = op.getSmem().getType().getElementType();
  unsigned bits = element.getIntOrFloatBitWidth();
  if (bits != 16 && bits != 32)
    return op.emitOpError("reads elements of ") << bits << " bits from shared memory";
  ElementPlaces places(*this, *to, op.getSmem(), op.getStage(), op.getRow());
  TileValue result;
  result.packed = places.paired && bits == 16;
  for (int64_t r = 0; r < to->registers(); r += places.paired ? 2 : 1) {
    if (!places.paired) {
      result.registers.push_back(LLVM::LoadOp::create(b, loc, element, places.at(r), bits / 8));
    } else if (bits == 16) {
      result.registers.push_back(LLVM::LoadOp::create(b, loc, b.getI32Type(), places.at(r), 4));
    } else if (places.split) {
      Value first = LLVM::LoadOp::create(b, loc, element, places.at(r, 0), 4);
      Value then = LLVM::LoadOp::create(b, loc, element, places.at(r, 1), 4);
      result.registers.push_back(select(places.second, then, first));
      result.registers.push_back(select(places.second, first, then));
    } else {
      Value pair = LLVM::LoadOp::create(b, loc, VectorType::get(2, element), places.at(r), 8);
      for (int64_t k : {0, 1})
        result.registers.push_back(LLVM::ExtractElementOp::create(b, loc, pair, i32(k)));
    }
  }
  tiles[op.getTile()] = result;
  return success();
}

LogicalResult Emitter::emitSmemWrite(tile::SmemWriteOp op) {
  const Layout *from = layout(op.getTile());
  if (!from)
    return op.emitOpError("works on a tile without layout");
  Type element = op.getSmem().getType().getElementType();
  unsigned bits = element.getIntOrFloatBitWidth();
  if (bits != 16 && bits != 32)
    return op.emitOpError("writes elements of ") << bits << " bits to shared memory";
  ElementPlaces places(*this, *from, op.getSmem(), op.getStage());
  bool inPairs = places.paired && bits == 16;
  SmallVector<Value> registers = inPairs ? pairs(op.getTile()) : elements(op.getTile());
  Block *after = beginWhere(writesOnce(*from));
  for (int64_t r = 0; r < from->registers(); r += places.paired ? 2 : 1) {
    if (!places.paired) {
      LLVM::StoreOp::create(b, loc, registers[r], places.at(r), bits / 8);
    } else if (inPairs) {
      LLVM::StoreOp::create(b, loc, registers[r / 2], places.at(r), 4);
    } else if (places.split) {
      LLVM::StoreOp::create(b, loc, select(places.second, registers[r + 1], registers[r]), places.at(r, 0), 4);
      LLVM::StoreOp::create(b, loc, select(places.second, registers[r], registers[r + 1]), places.at(r, 1), 4);
    } else {
      Value pair = LLVM::UndefOp::create(b, loc, VectorType::get(2, element));
      for (int64_t k : {0, 1})
        pair = LLVM::InsertElementOp::create(b, loc, pair, registers[r + k], i32(k));
      LLVM::StoreOp::create(b, loc, pair, places.at(r), 8);
    }
  }
  endWhere(after);
  return success();
}

Value Emitter::scratch(int64_t bytes) {
  int64_t begin = llvm::alignTo(ringBytes, 128);
  sharedBytes = std::max(sharedBytes, begin + bytes);
  return inEntry([&] {
    auto pointer = LLVM::LLVMPointerType::get(b.getContext(), 3);
    Value base = LLVM::AddressOfOp::create(b, loc, pointer, "fovea_shared");
    return addConstant(LLVM::PtrToIntOp::create(b, loc, b.getI32Type(), base), begin);
  });
}

LogicalResult Emitter::emitNarrowCopy(tile::CopyStartOp op) {
  // The group that the copy belongs to is empty; the barrier after its wait makes the bytes visible all the same.
  auto type = op.getSmem().getType();
  Type element = type.getElementType();
  int64_t bytes = element.getIntOrFloatBitWidth() / 8, perChunk = 16 / bytes;
  ViewValue view = views[op.getView()];
  ArrayRef<int64_t> dims = op.getDims();
  auto threads = Layout::rowMajor(type.getRows(), type.getColumns(), perChunk, warps);
  if (!threads)
    return op.emitOpError("copies rows that are no multiple of 16 bytes");
  int64_t width = std::max<int64_t>(1, view.alignment / bytes);
  while (view.staticSizes[dims[1]] % width)
    width /= 2;
  needAlignment(view, width * bytes);

  Block *after = beginCopy(op, *threads);
  SmallVector<Value> fixed(op.getIndices().size());
  for (auto [d, index] : llvm::enumerate(op.getIndices()))
    if (int64_t(d) != dims[0] && int64_t(d) != dims[1])
      fixed[d] = scalar(index);
  Value base = gep(view.base, element, elementOffset(view, fixed)), stage = stageBase(op.getSmem(), op.getStage());
  Value threadRow = threadOffset(*threads, 0), threadColumn = threadOffset(*threads, 1);
  Value firstRow = add(scalar(op.getIndices()[dims[0]]), threadRow);
  Value firstColumn = add(scalar(op.getIndices()[dims[1]]), threadColumn);
  bool checkColumns = !alwaysInside(view, dims[1], op.getIndices()[dims[1]], type.getColumns());
  bool wholeChunks = isWholeChunks(view, op.getIndices()[dims[1]], perChunk);
  Type part = width == 1 ? element : Type(VectorType::get(width, element));
  auto words = VectorType::get(4, b.getI32Type());
  // A chunk is read in a block of its own, entered where some of it exists: with all their loads under way at once,
  // chunks would take the registers of the accumulators.
  for (int64_t r = 0; r < threads->registers(); r += perChunk) {
    Layout::Vector constants = threads->registerOffset(r);
    Value row = addConstant(firstRow, constants[0]), firstOfChunk = addConstant(firstColumn, constants[1]);
    auto insideColumns = [&](Value column) { return icmp(LLVM::ICmpPredicate::ult, column, view.sizes[dims[1]]); };
    Value exists = icmp(LLVM::ICmpPredicate::ult, row, view.sizes[dims[0]]);
    if (checkColumns)
      exists = LLVM::AndOp::create(b, loc, exists, insideColumns(firstOfChunk));
    Block *before = b.getInsertionBlock();
    Region &region = function.getBody();
    Block *read = b.createBlock(&region, region.end());
    Block *write = b.createBlock(&region, region.end(), {words}, {loc});
    b.setInsertionPointToEnd(before);
    Value nothing = LLVM::ZeroOp::create(b, loc, words);
    LLVM::CondBrOp::create(b, loc, exists, read, ValueRange{}, write, ValueRange{nothing});
    b.setInsertionPointToEnd(read);
    Value first = gep(gep(base, element, distance(view, dims[0], row)), element, toI64(firstOfChunk));
    Value vector = LLVM::UndefOp::create(b, loc, VectorType::get(perChunk, element));
    for (int64_t k = 0; k < perChunk; k += width) {
      Value pointer = gep(first, element, i64(k)), inside;
      if (checkColumns && !wholeChunks && k) {
        inside = insideColumns(addConstant(firstOfChunk, k));
        pointer = select(inside, pointer, first);
      }
      Value loaded = LLVM::LoadOp::create(b, loc, part, pointer, width * bytes);
      if (inside)
        loaded = select(inside, loaded, LLVM::ZeroOp::create(b, loc, part));
      for (int64_t n = 0; n < width; ++n) {
        Value one = width == 1 ? loaded : LLVM::ExtractElementOp::create(b, loc, loaded, i32(n)).getResult();
        vector = LLVM::InsertElementOp::create(b, loc, vector, one, i32(k + n));
      }
    }
    LLVM::BrOp::create(b, loc, ValueRange{LLVM::BitcastOp::create(b, loc, words, vector)}, write);
    b.setInsertionPointToEnd(write);
    Value address = elementAddress(type, stage, threadRow, threadColumn, constants[0], constants[1]);
    LLVM::StoreOp::create(b, loc, write->getArgument(0), sharedPointer(address), 16);
  }
  endWhere(after);
  return success();
}
