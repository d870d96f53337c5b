// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-pack-sequences: see PackSequences.h.
#include "passes/tile/PackSequences.h"
#include "passes/tile/Passes.h"

#include "mlir/IR/Matchers.h"

namespace fovea::tile {
#define GEN_PASS_DEF_TILEPACKSEQUENCESPASS
#include "passes/tile/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

namespace {

/// A tensor or workspace of the new program.
struct Packed {
  Value view;
  const RaggedAxis *axis;           // whose rows it has
  const RaggedAxis::Blocks *blocks; // null: rows of tokens
  int64_t batch;                    // dimension of the old view that is gone
  int64_t token;                    // dimension of the new view that has the rows
};

/// A view inside a launch.
struct Local {
  Value view;
  int64_t gone = -1; // the dimension of the old view that it lacks
};

class Packer {
public:
  Packer(ProgramOp program, ArrayRef<RaggedAxis> ragged) : program(program), ragged(ragged) {}

  LogicalResult run(bool useTable);
  unsigned tables = 0;

private:
  Block &body() { return program.getBody().front(); }
  const RaggedAxis *find(StringRef token) const {
    for (const RaggedAxis &axis : ragged)
      if (axis.token == token)
        return &axis;
    return nullptr;
  }
  /// The blocks of this name, and whose they are.
  std::pair<const RaggedAxis *, const RaggedAxis::Blocks *> findBlocks(StringRef name) const {
    for (const RaggedAxis &axis : ragged)
      for (const RaggedAxis::Blocks &blocks : axis.blocks)
        if (blocks.axis == name)
          return {&axis, &blocks};
    return {nullptr, nullptr};
  }
  Value axisSize(StringRef name);
  Value offsetsOf(const RaggedAxis &axis);
  LogicalResult changeViews();
  template <typename Op> LogicalResult changeView(Op op);
  LogicalResult flatten(LaunchOp launch);
  Value tableOf(const RaggedAxis &axis, int64_t tile);

  ProgramOp program;
  ArrayRef<RaggedAxis> ragged;
  std::map<std::string, Value> sizes, offsets;
  std::map<std::pair<std::string, int64_t>, Value> tablesMade;
  llvm::DenseMap<Value, Value> tableItems;
  llvm::DenseMap<Value, Packed> packed;
  friend class LaunchPacker;
};

/// What one launch sees in place of what the program has.
class LaunchPacker {
public:
  LaunchPacker(Packer &packer, LaunchOp launch)
      : packer(packer), launch(launch), b(OpBuilder::atBlockBegin(&launch.getBody().front())), loc(launch.getLoc()) {}
  LogicalResult run(ArrayRef<std::pair<Value, Value>> bounds);
  /// What is made goes where this builder is.
  void beginAfter(const OpBuilder &builder) { b = builder; }

private:
  BlockArgument batchIndex(const RaggedAxis &axis) {
    for (auto [name, index] :
         llvm::zip(launch.getAxes().getAsValueRange<StringAttr>(), launch.getBody().getArguments()))
      if (name == axis.batch)
        return index;
    return {};
  }
  struct Rows {
    Value start, length;
  };
  FailureOr<Rows> rowsOf(const RaggedAxis &axis);
  Rows blocksOf(const RaggedAxis &axis, const RaggedAxis::Blocks &blocks, const Rows &tokens);
  FailureOr<Value> index(Value value);
  FailureOr<Value> sizeOf(StringRef text, Operation *at);
  FailureOr<Local> view(Value value);
  FailureOr<Local> root(Value value, ArrayAttr dims, Operation *at);
  FailureOr<Local> merged(MergeDimsOp op);
  LogicalResult change(Operation *op);
  LogicalResult drop(Operation *op, OperandRange indices, int64_t gone);

  Packer &packer;
  LaunchOp launch;
  OpBuilder b;
  Location loc;
  llvm::DenseMap<Value, Value> indices;
  llvm::DenseMap<Value, Local> views;
  std::map<std::string, Rows> rows;

public:
  llvm::DenseMap<Value, Value> batches; // the index of the work item's sequence, where it is no argument
};

} // namespace

//===--- the program ---===//

Value Packer::axisSize(StringRef name) {
  Value &size = sizes[name.str()];
  if (size)
    return size;
  for (auto axis : body().getOps<AxisOp>())
    if (axis.getName() == name) {
      axis->moveBefore(&body(), body().begin());
      return size = axis.getSize();
    }
  OpBuilder b = OpBuilder::atBlockBegin(&body());
  return size = AxisOp::create(b, program.getLoc(), b.getIndexType(), b.getStringAttr(name));
}

Value Packer::offsetsOf(const RaggedAxis &axis) {
  Value &view = offsets[axis.offsets];
  if (!view) {
    OpBuilder b = OpBuilder::atBlockBegin(&body());
    auto type = ViewType::get(b.getContext(), {ShapedType::kDynamic}, b.getI32Type());
    view = TensorOp::create(b, program.getLoc(), type, b.getStringAttr(axis.offsets), b.getStringAttr("input"),
                            b.getStrArrayAttr({axis.count}), b.getI64IntegerAttr(4));
  }
  return view;
}

template <typename Op> LogicalResult Packer::changeView(Op op) {
  SmallVector<StringRef> dims(op.getDims().template getAsValueRange<StringAttr>());
  const RaggedAxis *axis = nullptr;
  int64_t token = -1, batch = -1;
  const RaggedAxis::Blocks *blocks = nullptr;
  for (auto [d, dim] : llvm::enumerate(dims)) {
    const RaggedAxis::Blocks *own = nullptr;
    const RaggedAxis *found = find(dim);
    if (!found && isa<TensorOp>(op.getOperation()))
      std::tie(found, own) = findBlocks(dim);
    if (!found)
      continue;
    for (auto [e, other] : llvm::enumerate(dims))
      if (other == found->batch) {
        if (axis)
          return op.emitError("not in this version: '")
                 << op.getName() << "' has two axes whose lengths differ between sequences, '" << dims[token]
                 << "' and '" << dim << "'";
        axis = found, blocks = own, token = int64_t(d), batch = int64_t(e);
      }
  }
  if (!axis)
    return success();
  SmallVector<StringRef> names(dims);
  SmallVector<int64_t> shape(op.getView().getType().getShape());
  names[token] = blocks ? blocks->total : axis->total;
  shape[token] = ShapedType::kDynamic;
  names.erase(names.begin() + batch);
  shape.erase(shape.begin() + batch);
  OpBuilder b(op);
  auto type = ViewType::get(b.getContext(), shape, op.getView().getType().getElementType());
  Operation *made = b.clone(*op);
  auto result = cast<Op>(made);
  result.setDimsAttr(b.getStrArrayAttr(names));
  result.getView().setType(type);
  packed[op.getView()] = {result.getView(), axis, blocks, batch, token - (batch < token ? 1 : 0)};
  return success();
}

LogicalResult Packer::changeViews() {
  SmallVector<Operation *> views;
  for (Operation &op : body())
    if (isa<TensorOp, WorkspaceOp>(op))
      views.push_back(&op);
  for (Operation *op : views)
    if (failed(isa<TensorOp>(op) ? changeView(cast<TensorOp>(op)) : changeView(cast<WorkspaceOp>(op))))
      return failure();
  return success();
}

LogicalResult Packer::run(bool useTable) {
  for (const RaggedAxis &axis : ragged) {
    (void)axisSize(axis.token);
    (void)axisSize(axis.total);
    (void)axisSize(axis.batch);
    (void)offsetsOf(axis);
  }
  if (failed(changeViews()))
    return failure();
  SmallVector<LaunchOp> launches(body().getOps<LaunchOp>());
  for (LaunchOp launch : launches) {
    if (useTable) {
      if (failed(flatten(launch)))
        return failure();
      continue;
    }
    SmallVector<std::pair<Value, Value>> bounds;
    for (auto [index, extent] : llvm::zip(launch.getBody().getArguments(), launch.getExtents()))
      bounds.emplace_back(index, extent);
    if (failed(LaunchPacker(*this, launch).run(bounds)))
      return failure();
  }
  // What no launch uses any more.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(body())))
    if (op.use_empty() && (isa<MergeDimsOp>(op) || (op.getNumResults() == 1 && packed.count(op.getResult(0)))))
      op.erase();
  return success();
}

//===--- one launch ---===//

FailureOr<LaunchPacker::Rows> LaunchPacker::rowsOf(const RaggedAxis &axis) {
  // Axes may share their offsets, and then their lengths; but each has its own bound.
  Rows &known = rows[axis.token];
  if (known.length)
    return known;
  Value at = batches.lookup(packer.axisSize(axis.batch));
  if (!at)
    at = batchIndex(axis);
  if (!at)
    return launch.emitError("not in this version: a launch reads '")
           << axis.token << "' of all sequences together, without an index on '" << axis.batch << "'";
  auto op = SequenceOp::create(b, loc, b.getIndexType(), b.getIndexType(), packer.offsetsOf(axis), at,
                               packer.axisSize(axis.total), packer.axisSize(axis.token));
  known = {op.getStart(), op.getLength()};
  return known;
}

/// Those of its blocks: they end before the next sequence's begin, as ceil(n / size) is at most
/// (o + n) / size - o / size + 1, so that no sum over the sequences is needed.
LaunchPacker::Rows LaunchPacker::blocksOf(const RaggedAxis &axis, const RaggedAxis::Blocks &blocks,
                                          const Rows &tokens) {
  Value at = batches.lookup(packer.axisSize(axis.batch)), size = arith::ConstantIndexOp::create(b, loc, blocks.size);
  if (!at)
    at = batchIndex(axis);
  Value before = arith::DivUIOp::create(b, loc, tokens.start, size);
  return {arith::AddIOp::create(b, loc, before, at), arith::CeilDivUIOp::create(b, loc, tokens.length, size)};
}

static bool asksDevice(Value value) {
  Operation *def = value.getDefiningOp();
  return def && (isa<DeviceSmsOp>(def) || llvm::any_of(def->getOperands(), asksDevice));
}

FailureOr<Value> LaunchPacker::index(Value value) {
  Operation *def = value.getDefiningOp();
  if (!def || !isa<ProgramOp>(def->getParentOp()))
    return value;
  if (Value known = indices.lookup(value))
    return known;
  Value result = value;
  if (auto axis = dyn_cast<AxisOp>(def)) {
    const RaggedAxis *found = packer.find(axis.getName());
    // Without a batch the size of tokens is the most of all.
    if (found && (batchIndex(*found) || batches.count(packer.axisSize(found->batch)))) {
      FailureOr<Rows> own = rowsOf(*found);
      if (failed(own))
        return failure();
      result = own->length;
    }
  } else if (auto computed = dyn_cast<ComputedAxisOp>(def)) {
    // What depends on the device is decided once for all sequences.
    if (!asksDevice(computed.getValue())) {
      FailureOr<Value> inner = index(computed.getValue());
      if (failed(inner))
        return failure();
      if (*inner != computed.getValue()) // no more than there is room for
        result = arith::MinUIOp::create(b, loc, *inner, value);
    }
  } else if (!isa<DeviceSmsOp, TensorOp, WorkspaceOp, MergeDimsOp>(def)) {
    SmallVector<Value> operands;
    bool isChanged = false;
    for (Value operand : def->getOperands()) {
      FailureOr<Value> one = index(operand);
      if (failed(one))
        return failure();
      operands.push_back(*one);
      isChanged |= *one != operand;
    }
    if (isChanged) {
      Operation *copy = b.clone(*def);
      copy->setOperands(operands);
      result = copy->getResult(cast<OpResult>(value).getResultNumber());
    }
  }
  return indices[value] = result;
}

namespace {

/// A size as the host computes it, "T*G" or "(max(0, S - 16) / 16)", repeated where lengths are known.
class SizeText {
public:
  using Named = function_ref<FailureOr<Value>(StringRef)>;
  SizeText(StringRef text, OpBuilder &b, Location loc, Named named) : rest(text), b(b), loc(loc), named(named) {}
  /// Null for what is no such size.
  Value parse() {
    Value result = sum();
    return rest.ltrim().empty() ? result : Value();
  }

private:
  bool take(StringRef word) {
    rest = rest.ltrim();
    return rest.consume_front(word);
  }
  Value sum() {
    Value x = product();
    while (x) {
      bool isSum = take("+");
      if (!isSum && !take("-"))
        break;
      Value y = product();
      if (!y)
        return {};
      x = isSum ? arith::AddIOp::create(b, loc, x, y).getResult() : arith::SubIOp::create(b, loc, x, y).getResult();
    }
    return x;
  }
  Value product() {
    Value x = atom();
    while (x) {
      bool isProduct = take("*");
      if (!isProduct && !take("/"))
        break;
      Value y = atom();
      if (!y)
        return {};
      x = isProduct ? arith::MulIOp::create(b, loc, x, y).getResult()
                    : arith::DivUIOp::create(b, loc, x, y).getResult();
    }
    return x;
  }
  Value atom() {
    if (take("(")) {
      Value x = sum();
      return x && take(")") ? x : Value();
    }
    rest = rest.ltrim();
    StringRef word = rest.take_while([](char c) { return llvm::isAlnum(c) || c == '_'; });
    rest = rest.drop_front(word.size());
    int64_t number = 0;
    if (!word.empty() && !word.getAsInteger(10, number))
      return arith::ConstantIndexOp::create(b, loc, number);
    if (!take("(")) {
      FailureOr<Value> size = word.empty() ? FailureOr<Value>(failure()) : named(word);
      return succeeded(size) ? *size : Value();
    }
    Value x = sum();
    if (!x || !take(","))
      return {};
    Value y = sum();
    if (!y || !take(")"))
      return {};
    if (word == "ceildiv")
      return arith::CeilDivUIOp::create(b, loc, x, y);
    if (word == "max")
      return arith::MaxSIOp::create(b, loc, x, y);
    if (word == "min")
      return arith::MinSIOp::create(b, loc, x, y);
    return {};
  }

  StringRef rest;
  OpBuilder &b;
  Location loc;
  Named named;
};

} // namespace

/// Of a size that the host computes from axes: what it is here, where it is another than outside; null where it is the
/// same.
FailureOr<Value> LaunchPacker::sizeOf(StringRef text, Operation *at) {
  auto isWord = [&](size_t i) { return i < text.size() && (llvm::isAlnum(text[i]) || text[i] == '_'); };
  const RaggedAxis *ragged = nullptr;
  for (const RaggedAxis &axis : packer.ragged)
    for (size_t from = text.find(axis.token); from != StringRef::npos; from = text.find(axis.token, from + 1))
      if ((from == 0 || !isWord(from - 1)) && !isWord(from + axis.token.size()))
        ragged = &axis;
  if (!ragged)
    return Value();
  bool isChanged = false;
  auto named = [&](StringRef name) -> FailureOr<Value> {
    for (auto axis : packer.body().getOps<ComputedAxisOp>())
      if (axis.getName() == name)
        return index(axis.getSize());
    Value outside = packer.axisSize(name);
    FailureOr<Value> own = index(outside);
    isChanged |= succeeded(own) && *own != outside;
    return own;
  };
  Value size = SizeText(text, b, loc, named).parse();
  if (!size)
    return at->emitError("not in this version: a size of '")
           << text << "', where '" << ragged->token << "' differs from sequence to sequence";
  return isChanged ? size : Value();
}

FailureOr<Local> LaunchPacker::root(Value value, ArrayAttr dims, Operation *at) {
  Local result{value};
  auto narrow = [&](int64_t dim, Value start, Value size) {
    auto from = cast<ViewType>(result.view.getType());
    SmallVector<int64_t> shape(from.getShape());
    shape[dim] = ShapedType::kDynamic;
    auto type = ViewType::get(b.getContext(), shape, from.getElementType());
    result.view = NarrowOp::create(b, loc, type, result.view, uint64_t(dim), start, size);
  };
  int64_t token = -1;
  if (auto found = packer.packed.find(value); found != packer.packed.end()) {
    const Packed &packed = found->second;
    FailureOr<Rows> own = rowsOf(*packed.axis);
    if (succeeded(own) && packed.blocks)
      own = blocksOf(*packed.axis, *packed.blocks, *own);
    if (failed(own))
      return failure();
    result = {packed.view, packed.batch};
    token = packed.token + (packed.batch <= packed.token ? 1 : 0);
    narrow(packed.token, own->start, own->length);
  }
  for (auto [d, dim] : llvm::enumerate(dims.getAsValueRange<StringAttr>())) {
    if (int64_t(d) == token || int64_t(d) == result.gone)
      continue;
    FailureOr<Value> size = sizeOf(dim, at);
    if (failed(size))
      return failure();
    if (*size)
      narrow(int64_t(d) - (result.gone >= 0 && result.gone < int64_t(d) ? 1 : 0),
             arith::ConstantIndexOp::create(b, loc, 0), *size);
  }
  return result;
}

FailureOr<Local> LaunchPacker::merged(MergeDimsOp op) {
  FailureOr<Local> from = view(op.getView());
  FailureOr<Value> outer = index(op.getOuter()), inner = index(op.getInner());
  if (failed(from) || failed(outer) || failed(inner))
    return failure();
  if (from->view == op.getView() && *outer == op.getOuter() && *inner == op.getInner())
    return Local{op.getMerged()};
  SmallVector<int64_t> dims(op.getDims()), shape(cast<ViewType>(from->view.getType()).getShape());
  int64_t gone = from->gone, place = op.getPlace();
  for (int64_t &d : dims) {
    if (gone >= 0 && d == gone)
      return op.emitError("not in this version: rows that run over several sequences"), failure();
    d -= gone >= 0 && d > gone ? 1 : 0;
  }
  APInt a, c;
  int64_t size = ShapedType::kDynamic;
  if (matchPattern(*outer, m_ConstantInt(&a)) && matchPattern(*inner, m_ConstantInt(&c)))
    size = a.getSExtValue() * c.getSExtValue();
  shape.insert(shape.begin() + std::max(dims[0], dims[1]) + 1, size);
  auto type = ViewType::get(b.getContext(), shape, op.getMerged().getType().getElementType());
  auto result = MergeDimsOp::create(b, loc, type, from->view, b.getDenseI64ArrayAttr(dims), *outer, *inner);
  return Local{result.getMerged(), gone >= 0 && gone >= place ? gone + 1 : gone};
}

FailureOr<Local> LaunchPacker::view(Value value) {
  Operation *def = value.getDefiningOp();
  if (!def || !isa<ProgramOp>(def->getParentOp()))
    return Local{value};
  if (auto known = views.find(value); known != views.end())
    return known->second;
  FailureOr<Local> result = Local{value};
  if (auto tensor = dyn_cast<TensorOp>(def))
    result = root(value, tensor.getDims(), def);
  else if (auto workspace = dyn_cast<WorkspaceOp>(def))
    result = root(value, workspace.getDims(), def);
  else if (auto merge = dyn_cast<MergeDimsOp>(def))
    result = merged(merge);
  if (succeeded(result))
    views[value] = *result;
  return result;
}

/// Takes the index of a dimension that is gone from an access.
LogicalResult LaunchPacker::drop(Operation *op, OperandRange at, int64_t gone) {
  unsigned place = at.getBeginOperandIndex() + unsigned(gone);
  Value dropped = op->getOperand(place);
  bool isOwn = false;
  for (const RaggedAxis &axis : packer.ragged) {
    Value own = batches.lookup(packer.axisSize(axis.batch));
    isOwn |= dropped == (own ? own : Value(batchIndex(axis)));
  }
  if (!isOwn)
    return op->emitError("not in this version: rows of another sequence than that of the work item");
  auto shift = [&](ArrayRef<int64_t> dims) {
    SmallVector<int64_t> result(dims);
    for (int64_t &d : result)
      d -= d > gone ? 1 : 0;
    return result;
  };
  if (llvm::is_contained(op->getAttrOfType<DenseI64ArrayAttr>("dims")
                             ? op->getAttrOfType<DenseI64ArrayAttr>("dims").asArrayRef()
                             : ArrayRef<int64_t>(),
                         gone))
    return op->emitError("not in this version: a tile that spans several sequences");
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<LoadOp, StoreOp>([&](auto access) {
        access.setDims(shift(access.getDims()));
        access.getIndicesMutable().erase(gone);
        return success();
      })
      .Case([&](GatherOp access) {
        access.setDims(shift(access.getDims()));
        access.setBy(shift(access.getBy()));
        access.getIndicesMutable().erase(gone);
        return success();
      })
      .Case<LoadScalarOp, StoreScalarOp>([&](auto access) {
        access.getIndicesMutable().erase(gone);
        return success();
      })
      .Default([&](Operation *other) { return other->emitError("not in this version: of packed sequences"); });
}

LogicalResult LaunchPacker::change(Operation *op) {
  int64_t gone = -1;
  for (OpOperand &operand : op->getOpOperands()) {
    Operation *def = operand.get().getDefiningOp();
    if (!def || !isa<ProgramOp>(def->getParentOp()))
      continue;
    if (isa<ViewType>(operand.get().getType())) {
      FailureOr<Local> local = view(operand.get());
      if (failed(local))
        return failure();
      operand.set(local->view);
      gone = local->gone;
      continue;
    }
    FailureOr<Value> local = index(operand.get());
    if (failed(local))
      return failure();
    operand.set(*local);
  }
  if (gone < 0)
    return success();
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<LoadOp, StoreOp, GatherOp, LoadScalarOp, StoreScalarOp>(
          [&](auto access) { return drop(op, access.getIndices(), gone); })
      .Default([&](Operation *other) { return other->emitError("not in this version: of packed sequences"); });
}

LogicalResult LaunchPacker::run(ArrayRef<std::pair<Value, Value>> bounds) {
  SmallVector<Operation *> ops;
  launch.getBody().walk([&](Operation *op) { ops.push_back(op); });
  for (auto [at, extent] : bounds) {
    FailureOr<Value> own = index(extent);
    if (failed(own))
      return failure();
    if (*own != extent)
      EndIfOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, at, *own));
  }
  for (Operation *op : ops)
    if (failed(change(op)))
      return failure();
  return success();
}

//===--- tables of tiles ---===//

/// Sequence b has its tiles from place offsets[b] / tile + b on, and ends before the next begins: ceil(n / tile) is at
/// most (o + n) / tile - o / tile + 1. No sum over the sequences is needed, and places between them hold -1.
Value Packer::tableOf(const RaggedAxis &axis, int64_t tile) {
  Value &table = tablesMade[{axis.offsets + "," + axis.token, tile}];
  if (table)
    return table;
  Location loc = program.getLoc();
  OpBuilder b(*body().getOps<LaunchOp>().begin());
  auto constant = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, loc, value); };
  Type i32 = b.getI32Type();
  Value total = axisSize(axis.total), count = axisSize(axis.batch), step = constant(tile);
  std::string name = "tiles_" + axis.token + "_" + std::to_string(tile);
  Value items = arith::AddIOp::create(b, loc, arith::CeilDivUIOp::create(b, loc, total, step), count);
  items = ComputedAxisOp::create(b, loc, b.getIndexType(), b.getStringAttr(name), items);
  auto type = ViewType::get(b.getContext(), {ShapedType::kDynamic, 2}, i32);
  table = WorkspaceOp::create(b, loc, type, b.getStringAttr("table_" + axis.token + "_" + std::to_string(tile)),
                              b.getStrArrayAttr({name, "2"}));
  tableItems[table] = items;
  auto launch = LaunchOp::create(b, loc, b.getStringAttr(program.getSymName().str() + "_" + name),
                                 b.getStrArrayAttr({axis.batch}), ValueRange{count}, DictionaryAttr());
  Block *block = new Block;
  launch.getBody().push_back(block);
  Value at = block->addArgument(b.getIndexType(), loc);
  b.setInsertionPointToEnd(block);
  auto rows = [&](Value index) {
    return SequenceOp::create(b, loc, b.getIndexType(), b.getIndexType(), offsetsOf(axis), index, total,
                              axisSize(axis.token));
  };
  auto place = [&](SequenceOp sequence, Value index) -> Value {
    return arith::AddIOp::create(b, loc, arith::DivUIOp::create(b, loc, sequence.getStart(), step), index);
  };
  Value zero = constant(0), one = constant(1);
  Value follower = arith::AddIOp::create(b, loc, at, one);
  Value isLast = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, follower, count);
  auto own = rows(at), next = rows(arith::SelectOp::create(b, loc, isLast, at, follower));
  Value tiles = arith::CeilDivUIOp::create(b, loc, own.getLength(), step);
  Value first = place(own, at), end = arith::SelectOp::create(b, loc, isLast, items, place(next, follower));
  Value isFirst = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, at, zero);
  Value begin = arith::SelectOp::create(b, loc, isFirst, zero, first);
  auto loop = scf::ForOp::create(b, loc, begin, end, one);
  b.setInsertionPointToStart(loop.getBody());
  Value number = arith::SubIOp::create(b, loc, loop.getInductionVar(), first);
  Value exists = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, number, tiles);
  Value none = constant(-1);
  auto store = [&](Value value, Value column) {
    value = arith::SelectOp::create(b, loc, exists, value, none);
    StoreScalarOp::create(b, loc, arith::IndexCastOp::create(b, loc, i32, value), table,
                          ValueRange{loop.getInductionVar(), column});
  };
  store(at, zero);
  store(number, one);
  return table;
}

LogicalResult Packer::flatten(LaunchOp launch) {
  std::vector<StringRef> names(launch.getAxes().getAsValueRange<StringAttr>().begin(),
                               launch.getAxes().getAsValueRange<StringAttr>().end());
  const RaggedAxis *axis = nullptr;
  size_t batch = 0, token = 0;
  int64_t tile = 0;
  for (auto [k, extent] : llvm::enumerate(launch.getExtents())) {
    auto count = extent.getDefiningOp<arith::CeilDivUIOp>();
    auto size = count ? count.getLhs().getDefiningOp<AxisOp>() : AxisOp();
    const RaggedAxis *found = size ? find(size.getName()) : nullptr;
    APInt step;
    if (!found || axis || !matchPattern(count.getRhs(), m_ConstantInt(&step)))
      continue;
    for (auto [other, name] : llvm::enumerate(names))
      if (name == found->batch) {
        axis = found;
        batch = other;
        token = k;
        tile = step.getSExtValue();
      }
  }
  auto boundsOf = [](LaunchOp op) {
    SmallVector<std::pair<Value, Value>> bounds;
    for (auto [index, extent] : llvm::zip(op.getBody().getArguments(), op.getExtents()))
      bounds.emplace_back(index, extent);
    return bounds;
  };
  if (!axis)
    return LaunchPacker(*this, launch).run(boundsOf(launch));

  Location loc = launch.getLoc();
  Value table = tableOf(*axis, tile), count = launch.getExtents()[batch];
  SmallVector<Value> extents(launch.getExtents());
  extents[token] = tableItems[table];
  extents.erase(extents.begin() + batch);
  SmallVector<StringRef> left(names.begin(), names.end());
  left.erase(left.begin() + batch);
  OpBuilder outside(launch);
  auto flat = LaunchOp::create(outside, loc, launch.getNameAttr(), outside.getStrArrayAttr(left), extents,
                               launch.getScheduleAttr());
  SmallVector<std::pair<Value, Value>> bounds = boundsOf(launch);
  flat.getBody().takeBody(launch.getBody());
  Block &block = flat.getBody().front();
  OpBuilder b = OpBuilder::atBlockBegin(&block);
  Value item = block.getArgument(token);
  SmallPtrSet<Operation *, 2> loads;
  auto entry = [&](int64_t column) -> Value {
    Value at = arith::ConstantIndexOp::create(b, loc, column);
    auto load = LoadScalarOp::create(b, loc, b.getI32Type(), table, ValueRange{item, at});
    loads.insert(load);
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), load.getValue());
  };
  Value sequence = entry(0), number = entry(1);
  item.replaceAllUsesExcept(number, loads);
  block.getArgument(batch).replaceAllUsesWith(sequence);
  EndIfOp::create(b, loc, arith::CmpIOp::create(b, loc, arith::CmpIPredicate::uge, sequence, count));
  bounds[token].first = number;
  bounds.erase(bounds.begin() + batch);
  block.eraseArgument(batch);
  launch.erase();
  ++tables;
  // Better than an index on each where fewer work items begin.
  std::string tiles = std::to_string(tile), prefer = "ceildiv(" + axis->total + ", " + tiles + ") + " + axis->batch +
                                                     " < " + axis->batch + " * ceildiv(" + axis->token + ", " + tiles +
                                                     ")";
  NamedAttrList choices(program.getChoicesAttr());
  if (auto before = dyn_cast_or_null<StringAttr>(choices.get("prefer")); before && before.getValue() != prefer)
    prefer = "(" + before.str() + ") && (" + prefer + ")";
  choices.set("prefer", b.getStringAttr(prefer));
  choices.set("reason", b.getStringAttr("sequences of different lengths, a work item for each tile that exists"));
  program.setChoicesAttr(choices.getDictionary(b.getContext()));

  LaunchPacker packer(*this, flat);
  packer.beginAfter(b);
  packer.batches[axisSize(axis->batch)] = sequence;
  return packer.run(bounds);
}

//===--- the pass ---===//

LogicalResult tile::packSequences(ProgramOp program, ArrayRef<RaggedAxis> ragged, bool useTable, unsigned *tables) {
  Packer packer(program, ragged);
  LogicalResult result = packer.run(useTable);
  if (tables)
    *tables = packer.tables;
  return result;
}

namespace {

struct PackSequences : tile::impl::TilePackSequencesPassBase<PackSequences> {
  using TilePackSequencesPassBase::TilePackSequencesPassBase;

  void runOnOperation() override {
    SmallVector<RaggedAxis> axes;
    SmallVector<StringRef> parts;
    StringRef(ragged).split(parts, ';', -1, /*KeepEmpty=*/false);
    for (StringRef part : parts) {
      SmallVector<StringRef> names;
      part.split(names, ',');
      if (names.size() != 5) {
        getOperation().emitError("'" + part + "' is no axis; expected BATCH,TOKEN,OFFSETS,COUNT,TOTAL");
        return signalPassFailure();
      }
      axes.push_back({names[0].str(), names[1].str(), names[2].str(), names[3].str(), names[4].str()});
    }
    if (failed(packSequences(getOperation(), axes, table)))
      signalPassFailure();
  }
};

} // namespace
