// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recurrences of a program: which states share a launch, which outputs are computed in it, and what other launches read
// from workspaces. A launch runs over the batch axes and, where values are split, over parts of them; tokens are its
// loop.
#include "passes/attn-to-tile/Derivation.h"
#include "passes/attn-to-tile/Producers.h"

#include <numeric>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

/// The state that a field of it comes from; null for others.
static StateOp stateBehind(Operation *op) {
  if (auto read = dyn_cast_or_null<ReadOp>(op))
    return read.getState().getDefiningOp<StateOp>();
  if (auto last = dyn_cast_or_null<LastOp>(op))
    return last.getState().getDefiningOp<StateOp>();
  if (auto every = dyn_cast_or_null<EveryOp>(op))
    return every.getState().getDefiningOp<StateOp>();
  return {};
}

/// Visits what a field is computed from until `visit` answers false; states are not entered.
static void walkFields(Value from, llvm::function_ref<bool(Operation *)> visit) {
  walkProducers(
      from, [&](Operation *op) { return isa<StateOp>(op) || !visit(op) ? WalkResult::skip() : WalkResult::advance(); });
}

int64_t Derivation::chunkOf(const StateLoop &loop) const {
  int64_t chunk = choices.chunk;
  for (StateOp state : loop.states) {
    SmallVector<StringAttr> blocks;
    if (StringAttr commit = state.getBlocksAttr())
      blocks.push_back(commit);
    for (Operation *user : state->getUsers())
      if (auto every = dyn_cast<EveryOp>(user))
        blocks.push_back(every.getBlocksAttr());
    for (StringAttr axis : blocks)
      chunk = std::gcd(chunk, blockSize(axis));
  }
  return chunk % 16 ? 0 : chunk;
}

//===--- which launch computes what ---===//

/// Whether an output can be computed in the loop of a recurrence, on the rows of its chunks.
bool Derivation::fitsLoop(OutputOp output, const StateLoop &loop) {
  SmallVector<StringAttr> declared = table.expand(toAxes(output.getDeclared()));
  auto has = [&](ArrayRef<StringAttr> axes, StringAttr axis) { return llvm::is_contained(axes, axis); };
  if (!has(declared, loop.token))
    return false;
  for (StringAttr axis : loop.batch)
    if (!has(declared, axis) || isFeature(axis))
      return false;
  auto isOwn = [&](Operation *op) {
    StateOp state = stateBehind(op);
    return state && llvm::is_contained(loop.states, state);
  };
  auto readsOwn = [&](Operation *op) {
    bool found = false;
    for (Value operand : op->getOperands())
      walkFields(operand, [&](Operation *inner) {
        found |= isOwn(inner);
        return !found;
      });
    return found;
  };
  int64_t width = loop.value ? staticSize(loop.value).value_or(0) : 0; // 0: unknown
  bool parts = loop.isStep || (choices.stateTile && width > choices.stateTile);
  if (loop.isParallel && !loop.isSplit)
    parts = width > readTile(loop);
  parts |= width > kWidest; // a row goes part by part
  bool fits = true;
  walkFields(output.getValue(), [&](Operation *op) {
    if (!fits)
      return false;
    if (auto read = dyn_cast<ReadOp>(op); read && !isOwn(op))
      return false; // from a workspace
    if (isa<LastOp, EveryOp>(op)) {
      fits &= !isOwn(op);
      return false;
    }
    auto flatten = dyn_cast<FlattenOp>(op);
    bool walks = flatten && !table.lookup(flatten.getToAttr()).isOuter();
    if (walks || isa<ExpectOp, StatOp, WeightsOp, BlockReduceOp, RowAtOp>(op)) {
      fits = false;
    } else if (auto rename = dyn_cast<RenameOp>(op)) {
      if (readsOwn(op))
        for (StringAttr axis : {rename.getFromAttr(), rename.getToAttr()})
          fits &= axis != loop.token && axis != loop.value && !has(loop.batch, axis);
    } else if (auto reduce = dyn_cast<ReduceOp>(op)) {
      for (StringAttr axis : toAxes(reduce.getAxes()))
        if (has(declared, axis) || axis == loop.token || (!isFeature(axis) && readsOwn(op)) ||
            (parts && axis == loop.value && readsOwn(op)))
          fits = axis == loop.value && !parts ? fits : false;
    } else if (isa<DotOp, ScanOp, SliceOp, ConcatOp, GatherOp, ConvOp, FlattenOp>(op)) {
      fits &= !readsOwn(op);
    }
    return fits;
  });
  return fits;
}

/// Whether a field of a state, which may be null, differs from key to key.
static bool variesAlongKeys(Value field, StateOp state) {
  return field && fieldType(field).hasAxis(state.getKeyAxisAttr());
}

LogicalResult Derivation::planStates() {
  if (!choices.state.empty() && choices.state != "fused" && choices.state != "step" && choices.state != "chunk" &&
      choices.state != "split")
    return attention.emitError("the schedule '")
           << choices.state << "' of recurrences is not one of fused, step, chunk and split";
  if (choices.chunk < 16 || choices.chunk > 256 || choices.chunk % 16)
    return attention.emitError("a chunk of ")
           << choices.chunk << " tokens is not possible; take a multiple of 16 from 16 to 256";
  if (choices.stateTile < 0 || choices.stateTile > 512 || choices.stateTile % 16)
    return attention.emitError("parts of ")
           << choices.stateTile << " values are not possible; take a multiple of 16 up to 512, or 0 for all";
  llvm::DenseMap<Operation *, unsigned> level; // states on the longest way to an operation
  llvm::DenseSet<Operation *> isLive;
  SmallVector<Operation *> todo;
  for (OutputOp output : attention.getOutputs())
    todo.push_back(output);
  while (!todo.empty()) {
    Operation *op = todo.pop_back_val();
    if (op && isLive.insert(op).second)
      for (Value operand : op->getOperands())
        todo.push_back(operand.getDefiningOp());
  }
  for (Operation &op : attention.getBody().front()) {
    unsigned deepest = 0;
    for (Value operand : op.getOperands())
      deepest = std::max(deepest, level.lookup(operand.getDefiningOp()));
    level[&op] = deepest + isa<StateOp>(op);
    auto state = dyn_cast<StateOp>(op);
    if (!state || !isLive.contains(&op))
      continue;
    auto together = [&](const StateLoop &loop) {
      StateOp first = loop.states.front();
      bool values = !loop.value || !state.getValueAxisAttr() || loop.value == state.getValueAxisAttr();
      return values && level[first] == level[&op] && first.getTokenAttr() == state.getTokenAttr() &&
             first.getReverse() == state.getReverse() && first.getKey() == state.getKey() &&
             first.getDecay() == state.getDecay() && first.getErase() == state.getErase() &&
             first.getWhere() == state.getWhere() && first.getCommit() == state.getCommit();
    };
    auto loop = llvm::find_if(loops, together);
    if (loop == loops.end()) {
      StateLoop fresh;
      fresh.token = state.getTokenAttr();
      fresh.isReverse = state.getReverse();
      loops.push_back(std::move(fresh));
      loop = std::prev(loops.end());
    }
    if (!loop->value)
      loop->value = state.getValueAxisAttr();
    loop->states.push_back(state);
    for (StringAttr axis : state.getStateType().getBatch())
      if (!llvm::is_contained(loop->batch, axis))
        loop->batch.push_back(axis);
    loopOf[state] = loop - loops.begin();
  }
  for (StateLoop &loop : loops) {
    bool chunks = chunkOf(loop) && !elementType.isF32();
    for (StateOp state : loop.states)
      chunks &= (state.getValueAxisAttr() || !state.getErase()) &&
                (keyPieces(state).size() == 1 || !(state.getErase() || variesAlongKeys(state.getDecay(), state)));
    if (!choices.state.empty() && choices.state != "step" && !chunks)
      return loop.states.front().emitError("cannot run over chunks of tokens here: ")
             << (elementType.isF32() ? "its operands are f32" : "its blocks, its form or its type do not allow it");
    loop.isStep = choices.state == "step" || !chunks;
    loop.isSplit = choices.state == "split";
    loop.isParallel = loop.isSplit || choices.state == "chunk";
    if (loop.isParallel && keyPieces(loop.states.front()).size() > 1)
      return loop.states.front().emitError("has products of features as keys, whose state is too large to be kept for "
                                           "each chunk or segment; take fused or step");
    for (StateOp state : loop.states)
      if (loop.isSplit && state.getErase())
        return state.emitError("segments of tokens cannot run side by side where something is erased, since a segment "
                               "changes the state before it by a matrix of all keys; take chunk or fused");
  }

  // An output that reads states is computed with the one that comes last, where that is possible.
  llvm::SetVector<Operation *> stored;
  auto collect = [&](Value field, const StateLoop *own) {
    walkFields(field, [&](Operation *op) {
      StateOp state = stateBehind(op);
      if (!state)
        return true;
      bool here = own && isa<ReadOp>(op) && llvm::is_contained(own->states, state);
      if (!here)
        stored.insert(op);
      return here;
    });
  };
  for (OutputOp output : attention.getOutputs()) {
    if (isCarriedAside(output)) {
      collect(output.getValue(), nullptr);
      continue;
    }
    Operation *value = output.getValue().getDefiningOp();
    if (StateOp state = stateBehind(value); state && isa<LastOp, EveryOp>(value)) {
      hosts[output] = loopOf[state];
      continue;
    }
    std::optional<size_t> best;
    walkFields(output.getValue(), [&](Operation *op) {
      auto read = dyn_cast<ReadOp>(op);
      if (!read)
        return !isa<LastOp, EveryOp>(op);
      size_t loop = loopOf[read.getState().getDefiningOp()];
      auto rank = [&](size_t n) { return std::pair(level[loops[n].states.front()], n); };
      if (!best || rank(loop) > rank(*best))
        best = loop;
      return true;
    });
    if (best && fitsLoop(output, loops[*best]))
      hosts[output] = *best;
    collect(output.getValue(), hosts.count(output) ? &loops[*best] : nullptr);
  }
  for (StateLoop &loop : loops)
    for (StateOp state : loop.states)
      for (Value operand : state->getOperands())
        collect(operand, nullptr);

  // What others read stands in workspaces of f32.
  for (Operation *op : stored) {
    Value field = op->getResult(0);
    StateOp state = stateBehind(op);
    StateLoop &loop = loops[loopOf[state]];
    Prepared result;
    result.elementType = Float32Type::get(context);
    StringAttr key = state.getKeyAxisAttr(), value = state.getValueAxisAttr();
    SmallVector<StringAttr> last;
    if (isa<ReadOp>(op))
      last = {loop.token};
    else
      last = {key};
    if (value)
      last.push_back(value);
    for (StringAttr axis : cast<FieldType>(field.getType()).getAxes())
      if (!llvm::is_contained(last, axis))
        result.axes.push_back(axis);
    result.axes.append(last);
    std::string name = uniqueName(workspaceName(state.getKey()) + (isa<ReadOp>(op) ? "_read" : "_state"));
    SmallVector<std::string> dims;
    Type type = viewType(result.axes, result.elementType, dims);
    SmallVector<Attribute> names;
    for (StringAttr axis : result.axes)
      names.push_back(StringAttr::get(context, sizeText(axis)));
    OpBuilder builder = head();
    result.view = tile::WorkspaceOp::create(builder, op->getLoc(), type, builder.getStringAttr(name),
                                            builder.getArrayAttr(names));
    stateFields[field] = result;
    loop.stores.push_back({field, result.view, result.axes, result.elementType, op, {}});
  }
  return success();
}

FailureOr<Prepared> Derivation::ofState(Value field) {
  auto found = stateFields.find(field);
  StateOp state = stateBehind(field.getDefiningOp());
  if (found == stateFields.end())
    return field.getDefiningOp()->emitError("is read where its state is not known; that is not in this version");
  Prepared result = found->second;
  StateLoop &loop = loops[loopOf[state]];
  if (!loop.isEmitted && failed(emitLoop(loop, open.back())))
    return failure();
  return result;
}

//===--- the launch ---===//

LogicalResult Derivation::emitLoops() {
  // Those that compute outputs first: what they read is made before them, where they need it.
  for (bool isMain : {true, false})
    for (StateLoop &loop : loops) {
      bool computes = llvm::any_of(loop.stores, [](const Store &store) { return isa<OutputOp>(store.at); });
      if (computes == isMain && !loop.isEmitted && failed(emitLoop(loop, nullptr)))
        return failure();
    }
  return success();
}

/// How many values of `width` a work item takes.
int64_t Derivation::valueTile(const StateLoop &loop, int64_t width) const {
  int64_t whole = llvm::alignTo(width, 16);
  return std::min<int64_t>(whole, choices.stateTile ? choices.stateTile : loop.isStep ? 64 : whole);
}

int64_t Derivation::readTile(const StateLoop &loop) const {
  std::optional<int64_t> width = loop.value ? staticSize(loop.value) : std::nullopt;
  return width && *width > kWidest ? kWidest / 2 : kWidest;
}

FailureOr<LoopLaunch> Derivation::openLoop(const StateLoop &loop, const std::string &name, ArrayRef<StringAttr> batch,
                                           Items items, Operation *before, int64_t values, const Between *between) {
  StateOp firstState = loop.states.front();
  Location loc = firstState.getLoc();
  SmallVector<Value> extents;
  SmallVector<Attribute> axes;
  for (StringAttr axis : batch) {
    extents.push_back(sizeOf(axis));
    axes.push_back(axis);
  }
  int64_t width = 16, tileWidth = 16;
  bool isSplit = false;
  if (loop.value) {
    FailureOr<int64_t> size = featureSize(loop.value, firstState);
    if (failed(size))
      return failure();
    width = *size;
    tileWidth = values ? std::min<int64_t>(llvm::alignTo(width, 16), values) : valueTile(loop, width);
    isSplit = tileWidth < width || loop.isStep;
    if (isSplit) {
      extents.push_back(indexConstant(llvm::divideCeil(width, tileWidth)));
      axes.push_back(loop.value);
    }
  }
  if (items == Items::Segments) {
    extents.push_back(between->count);
    axes.push_back(StringAttr::get(context, between->segments));
  }
  if (items == Items::Chunks) {
    Value tokens = sizeOf(loop.token), step = indexConstant(chunkOf(loop));
    OpBuilder atHead = head();
    extents.push_back(arith::CeilDivUIOp::create(atHead, loc, tokens, step));
    axes.push_back(rawOf(loop.token));
  }
  if (extents.empty()) { // one work item
    extents.push_back(indexConstant(1));
    axes.push_back(StringAttr::get(context, "one"));
  }

  OpBuilder builder(context);
  if (before)
    builder.setInsertionPoint(before);
  else
    builder.setInsertionPointToEnd(&program.getBody().front());
  LoopLaunch result;
  result.op = tile::LaunchOp::create(builder, loc, builder.getStringAttr(uniqueName(kernelName(name))),
                                     builder.getArrayAttr(axes), extents, DictionaryAttr());
  Block *block = new Block;
  result.op.getBody().push_back(block);
  for (size_t n = 0; n < extents.size(); ++n)
    block->addArgument(builder.getIndexType(), loc);
  for (auto [n, axis] : llvm::enumerate(batch))
    result.env.set(axis, newCoordinate({Coordinate::Kind::Batch, axis, block->getArgument(n)}));

  builder.setInsertionPointToEnd(block);
  Value from;
  if (isSplit)
    from = arith::MulIOp::create(builder, loc, block->getArgument(batch.size()), indexConstant(tileWidth));
  if (items != Items::All)
    result.start = arith::MulIOp::create(builder, loc, block->getArguments().back(),
                                         items == Items::Chunks ? indexConstant(chunkOf(loop)) : between->length);
  if (loop.isStep) {
    // Rows are values.
    result.row = newCoordinate({Coordinate::Kind::Row, loop.value ? loop.value : loop.token, from, tileWidth});
    if (loop.value)
      result.env.set(loop.value, result.row);
  } else {
    result.row = newCoordinate({Coordinate::Kind::Row, loop.token, {}, chunkOf(loop)});
    if (from)
      result.part = newCoordinate({Coordinate::Kind::Feature, loop.value, from, tileWidth});
    if (loop.value)
      result.env.set(loop.value, result.part ? result.part : feature(loop.value, width));
  }
  return result;
}

/// Whether something else than the states of a loop reads what the memory holds before the call.
static bool isReadBeside(AttentionOp attention, StringRef name, ArrayRef<StateOp> states) {
  for (InputOp input : attention.getInputs())
    if (input.getName() == name)
      return llvm::any_of(input->getUsers(), [&](Operation *user) {
        auto state = dyn_cast<StateOp>(user);
        return !state || !llvm::is_contained(states, state);
      });
  return false;
}

/// Whether what is stored replaces memory that other work items, or other launches, begin with: several work items of a
/// loop compute it, since it lacks some of the launch's axes, or the memory is read beside the states.
bool Derivation::isShared(const Store &store, const StateLoop &loop) {
  if (isReadBeside(attention, cast<OutputOp>(store.at).getName(), loop.states))
    return true;
  SmallVector<StringAttr> declared = table.expand(store.declared);
  auto lacks = [&](StringAttr axis) { return !llvm::is_contained(declared, axis); };
  int64_t width = loop.value ? staticSize(loop.value).value_or(0) : 0;
  return llvm::any_of(loop.batch, lacks) || (width && lacks(loop.value) && width > valueTile(loop, width));
}

LogicalResult Derivation::emitLoop(StateLoop &loop, Operation *before) {
  loop.isEmitted = true;
  if (loop.stores.empty())
    return success();
  if (open.size() > 16)
    return attention.emitError("recurrences are nested too deeply; at most 16 launches may wait for one another");
  SmallVector<StringAttr> own = loop.batch;
  // Whatever a store varies along and is not inside a tile or along the loop has one index per work item.
  SmallVector<StringAttr> inside{loop.token};
  for (StateOp state : loop.states)
    inside.push_back(state.getKeyAxisAttr());
  if (loop.value)
    inside.push_back(loop.value);
  for (const Store &store : loop.stores)
    for (StringAttr axis : table.expand(store.declared)) {
      AxisAttr entry = table.lookup(axis);
      bool isBlocks = isa<EveryOp>(store.field.getDefiningOp()) && entry && entry.isPieces();
      bool isOther = isFeature(axis) && !isa<ReadOp, LastOp, EveryOp>(store.field.getDefiningOp());
      if (!isBlocks && !isOther && !llvm::is_contained(inside, axis) && !llvm::is_contained(loop.batch, axis))
        loop.batch.push_back(axis);
    }

  for (Store &store : loop.stores)
    if (auto output = dyn_cast<OutputOp>(store.at);
        output && output.getCarry() && isa<LastOp>(store.field.getDefiningOp()) && isShared(store, loop))
      keepAside(store);

  std::string name = before ? "state_" + workspaceName(loop.states.front().getKey()) : attention.getSymName().str();
  if (loop.isParallel)
    return emitParallel(loop, own, name, before);
  FailureOr<LoopLaunch> launch = openLoop(loop, name, loop.batch, Items::All, before);
  if (failed(launch))
    return failure();
  enter(launch->op);
  LogicalResult result = LaunchEmitter(*this, launch->op, launch->env, launch->row, launch->part).emitStates(loop);
  leave();
  return result;
}
