// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recurrences inside one launch. A state is held transposed, [values, keys] in f32. One token after the other it is
// updated as it is defined, with values as rows. Over chunks of tokens, whose rows are tokens, products of tiles do the
// same: with G the running sums of the decay within the chunk, L[r, s] = <erase_r, key_s> exp(G_r - G_s) below the
// diagonal and R = (I + L)^-1 (value - (erase exp G) S), the reads are (query exp G) S + A R with A[r, s] = <query_r,
// key_s> exp(G_r - G_s) up to the diagonal, and the state after the chunk exp(G_C) S + (key exp(G_C - G))^T R (Yang et
// al., arXiv 2412.06464). No exponent is positive.
#include "passes/attn-to-tile/StateBody.h"

#include "passes/analysis/DecayRange.h"

#include <numbers>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

namespace {

// The hardware's exponential of anything below is 0.
constexpr double kLeastStep = -127;

} // namespace

//===--- the loop ---===//

/// Whether the work item is the one that stores what lacks some of the launch's axes, and the condition holds, if there
/// is one; null where all store.
Value LaunchEmitter::onlyFirst(const Store &store, Value condition) {
  SmallVector<StringAttr> declared = derivation.table.expand(store.declared);
  Value result = condition;
  OpBuilder builder = builderFor({});
  auto require = [&](Value index) {
    Value zero = arith::CmpIOp::create(builder, store.at->getLoc(), arith::CmpIPredicate::eq, index, zeroIndex());
    result = result ? arith::AndIOp::create(builder, store.at->getLoc(), result, zero).getResult() : zero;
  };
  for (StringAttr axis : states->loop->batch)
    if (!llvm::is_contained(declared, axis) && env.lookup(axis))
      require(env.lookup(axis)->base);
  StringAttr value = states->loop->value;
  if (value && !llvm::is_contained(declared, value))
    for (auto [n, axis] : llvm::enumerate(launch.getAxes().getAsRange<StringAttr>()))
      if (axis == value)
        require(launch.getBody().front().getArgument(n));
  return result;
}

/// [values, keys], or what a state without values is: [keys] over chunks, else [rows, keys] with equal rows.
FailureOr<Value> LaunchEmitter::matrix(Value field, StateOp op) {
  if (failed(derivation.featureSize(op.getKeyAxisAttr(), op)))
    return failure();
  const Coordinate *key = keyOf(op);
  Environment inner = env.with(op.getKeyAxisAttr(), key);
  Dimensions wanted;
  if (op.getValueAxisAttr())
    wanted.push_back(dimensionOf(env.lookup(op.getValueAxisAttr())));
  else if (states->loop->isStep)
    wanted.push_back(dimensionOf(row));
  wanted.push_back(dimensionOf(key));
  OpBuilder builder = builderFor({});
  Type type = typeOf(wanted, builder.getF32Type());
  if (!field)
    return emitConstant(builder, op.getLoc(), type, 0);
  strip(field, inner);
  FailureOr<TileValue> value = failure();
  if (auto input = field.getDefiningOp<InputOp>()) {
    SmallVector<StringAttr> declared = toAxes(input.getDeclared());
    Value view = derivation.viewOf(input);
    // The axis may have another name there.
    StringAttr axis;
    for (auto [name, coordinate] : inner.all())
      if (coordinate == key && llvm::is_contained(declared, name))
        axis = name;
    if (const Coordinate *part = axis ? viewPiece(view, declared, axis, key) : key; part != key)
      value = load(op.getLoc(), input, view, declared, inner.with(axis, part));
    else
      value = loadInput(input, inner);
    if (succeeded(value) && !getElementTypeOrSelf(value->value).isF32())
      value = widen(*value, op.getLoc());
  } else {
    value = evaluate(field, inner);
  }
  if (failed(value))
    return failure();
  Arith a{builderFor({}), op.getLoc()};
  if (value->dims.size() == 2 && wanted.size() == 2 && value->dims[0] == wanted[1])
    return a.transpose(value->value);
  return spread(a.b, op.getLoc(), *value, wanted);
}

/// Rows that are all equal, of which the first is stored: the view gets a dimension of one element behind one of the
/// work item's own, and the other rows lie beyond it.
LogicalResult LaunchEmitter::repeatRows(Operation *at, Value &view, SmallVectorImpl<Value> &indices,
                                        SmallVectorImpl<int64_t> &dims, Dimensions &spanned) {
  int64_t place = dims.empty() ? int64_t(indices.size()) - 1 : dims.front() - 1;
  if (place < 0)
    return at->emitError("not in this version: an array of a state without values whose first axis lies in tiles");
  view = derivation.mergedView(view, place, -1, derivation.indexConstant(1), derivation.indexConstant(1));
  indices.insert(indices.begin() + place + 1, zeroIndex());
  for (int64_t &d : dims)
    ++d;
  dims.insert(dims.begin(), place + 1);
  spanned.insert(spanned.begin(), dimensionOf(row));
  return success();
}

LogicalResult LaunchEmitter::storeState(const Store &store, Value state, Value block, Value condition) {
  Location loc = store.at->getLoc();
  Environment inner = env;
  Operation *from = store.field.getDefiningOp();
  auto op = from->getOperand(0).getDefiningOp<StateOp>();
  Value view = store.view;
  const Coordinate *key = viewPiece(view, store.declared, op.getKeyAxisAttr(), keyOf(op));
  inner.set(op.getKeyAxisAttr(), key);
  if (auto every = dyn_cast<EveryOp>(from))
    inner.set(every.getBlocksAttr(), derivation.newCoordinate({Where::Batch, every.getBlocksAttr(), block}));
  SmallVector<int64_t> dims;
  Dimensions spanned;
  FailureOr<SmallVector<Value>> indices = indicesOf(store.at, store.declared, inner, dims, spanned, view);
  if (failed(indices))
    return failure();
  Arith a{builderFor({}), loc};
  if (spanned.size() == 2 && spanned[0] == dimensionOf(key))
    state = a.transpose(state);
  else if (spanned.size() == 1 && cast<RankedTensorType>(state.getType()).getRank() == 2 &&
           failed(repeatRows(store.at, view, *indices, dims, spanned)))
    return failure();
  if (!store.elementType.isF32())
    state = a.narrow(state, store.elementType);
  OpBuilder builder = onlyWhere(onlyFirst(store, condition), loc);
  tile::StoreOp::create(builder, loc, state, view, *indices, dims);
  return success();
}

OpBuilder LaunchEmitter::onlyWhere(Value condition, Location loc) {
  OpBuilder builder = builderFor({});
  if (condition) {
    auto branch = scf::IfOp::create(builder, loc, condition);
    builder.setInsertionPointToStart(branch.thenBlock());
  }
  return builder;
}

/// Whether a block of tokens ends with the chunk, or the token, at `start`.
Value LaunchEmitter::endsBlock(const StateLoop &loop, StringAttr blocks, Value start) {
  OpBuilder b = builderFor({});
  Location loc = launch.getLoc();
  Value length = derivation.indexConstant(derivation.blockSize(blocks));
  Value at = start;
  if (!loop.isReverse)
    at = arith::AddIOp::create(b, loc, start, derivation.indexConstant(loop.isStep ? 1 : row->extent));
  Value rest = arith::RemUIOp::create(b, loc, at, length);
  Value whole = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, rest, zeroIndex());
  if (loop.isReverse)
    return whole;
  Value last = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, at, derivation.sizeOf(loop.token));
  return arith::OrIOp::create(b, loc, whole, last);
}

void LaunchEmitter::enterChunk(const StateLoop &loop, Value start) {
  states = std::make_shared<States>();
  states->loop = &loop;
  states->element = derivation.elementType;
  states->start = start;
  states->token = row;
  if (!start)
    return;
  const_cast<Coordinate *>(row)->base = start;
  env.set(loop.token, row);
}

/// The state after a chunk, or a token: where a block ends that is not committed, what there was before it, decayed.
FailureOr<Value> LaunchEmitter::commitBlock(StateOp op, Value next, SmallVectorImpl<Value> &asides) {
  FailureOr<Value> kept = decayOnly(op, states->aside[states->now(op)]);
  if (failed(kept))
    return failure();
  Arith a{builderFor({}), op.getLoc()};
  Environment inner = env;
  inner.set(op.getBlocksAttr(),
            derivation.newCoordinate({Where::Batch, op.getBlocksAttr(), blockAt(op.getBlocksAttr())}));
  FailureOr<TileValue> commits = evaluate(op.getCommit(), inner);
  if (failed(commits))
    return failure();
  a.b = builderFor({});
  Value ends = endsBlock(*states->loop, op.getBlocksAttr(), states->start), taken = commits->value;
  Type type = next.getType();
  Value back = a.select(a.spread(taken, type, 0), next, *kept);
  Value isEnd = a.spread(ends, type, 0);
  asides.push_back(a.select(isEnd, back, *kept));
  return a.select(isEnd, back, next);
}

/// The block that the chunk, or the token, lies in.
Value LaunchEmitter::blockAt(StringAttr blocks) {
  OpBuilder b = builderFor({});
  return arith::DivUIOp::create(b, launch.getLoc(), states->start,
                                derivation.indexConstant(derivation.blockSize(blocks)));
}

/// Of the pieces of all states of a loop those of one.
LogicalResult LaunchEmitter::storePieces(const StateLoop &loop, StateOp op, ValueRange all,
                                         llvm::function_ref<LogicalResult(Value)> store) {
  size_t first = 0;
  for (StateOp each : loop.states) {
    if (each == op)
      break;
    first += piecesOf(each);
  }
  for (states->piece = 0; states->piece < piecesOf(op); ++states->piece)
    if (failed(store(all[first + states->piece])))
      return failure();
  states->piece = 0;
  return success();
}

LogicalResult LaunchEmitter::storeEvery(const StateLoop &loop, ValueRange next) {
  for (const Store &each : loop.stores)
    if (auto every = dyn_cast<EveryOp>(each.field.getDefiningOp())) {
      StringAttr blocks = every.getBlocksAttr();
      Value block = blockAt(blocks), ends = endsBlock(loop, blocks, states->start);
      if (failed(storePieces(loop, every.getState().getDefiningOp<StateOp>(), next,
                             [&](Value state) { return storeState(each, state, block, ends); })))
        return failure();
    }
  return success();
}

LogicalResult LaunchEmitter::storeLast(const StateLoop &loop, ValueRange last) {
  for (const Store &each : loop.stores)
    if (auto op = dyn_cast<LastOp>(each.field.getDefiningOp())) {
      if (failed(storePieces(loop, op.getState().getDefiningOp<StateOp>(), last,
                             [&](Value state) { return storeState(each, state, {}, {}); })))
        return failure();
    }
  return success();
}

/// The states that the tokens of a launch begin with.
LogicalResult LaunchEmitter::firstStates(const StateLoop &loop, const Walk &walk, SmallVectorImpl<Value> &init) {
  for (auto [n, each] : llvm::enumerate(loop.states)) {
    StateOp op = each;
    for (states->piece = 0; states->piece < piecesOf(op); ++states->piece) {
      FailureOr<Value> first = matrix(walk.between ? Value() : op.getInitial(), op);
      if (failed(first))
        return failure();
      if (walk.between && !walk.adds)
        first = loadBetween(loop, walk.between->before[n], launch.getBody().front().getArguments().back(),
                            cast<RankedTensorType>(first->getType()).getShape(), op.getValueAxisAttr());
      init.push_back(*first);
    }
  }
  states->piece = 0;
  return success();
}

LogicalResult LaunchEmitter::emitStates(const StateLoop &loop, const Walk &walk) {
  Location loc = launch.getLoc();
  states = std::make_shared<States>();
  states->loop = &loop;
  states->element = derivation.elementType;
  if (!walk.adds)
    for (const Store &store : loop.stores)
      collectLive(store.field);
  SmallVector<Value> init;
  SmallVector<States::Piece> all, aside; // with the state that a block which is not committed goes back to
  if (failed(firstStates(loop, walk, init)))
    return failure();
  for (StateOp op : loop.states)
    for (unsigned n = 0; n < piecesOf(op); ++n)
      all.emplace_back(op, n);
  for (States::Piece each : all)
    if (cast<StateOp>(each.first).getCommit())
      aside.push_back(each);
  for (States::Piece each : aside)
    init.push_back(init[llvm::find(all, each) - all.begin()]);
  OpBuilder builder = builderFor({});
  bool sums = walk.adds && walk.between->totals;
  if (sums) { // of the decay
    auto view = cast<tile::ViewType>(walk.between->totals.getType());
    Type type = builder.getF32Type();
    StateOp front = loop.states.front();
    StringAttr key = front.getKeyAxisAttr();
    if (fieldType(front.getDecay()).hasAxis(key))
      type = RankedTensorType::get({derivation.feature(key, view.getShape().back())->extent}, type);
    init.push_back(emitConstant(builder, loc, type, 0));
  }

  Value size = derivation.sizeOf(loop.token), lo = zeroIndex(), hi = size;
  if (walk.between) {
    lo = arith::MinUIOp::create(builder, loc, walk.start, size);
    hi = arith::AddIOp::create(builder, loc, lo, walk.between->length);
    hi = arith::MinUIOp::create(builder, loc, hi, size);
  }
  int64_t step = loop.isStep ? 1 : row->extent;
  auto recurrence = tile::RecurrenceOp::create(builder, loc, lo, hi, step, loop.isReverse, init);
  Block *body = new Block;
  recurrence.getBody().push_back(body);
  Value start = states->start = body->addArgument(builder.getIndexType(), loc);
  for (Value state : init)
    body->addArgument(state.getType(), loc);
  for (auto [n, each] : llvm::enumerate(all))
    states->carried[each] = body->getArgument(1 + n);
  for (auto [n, each] : llvm::enumerate(aside))
    states->aside[each] = body->getArgument(1 + all.size() + n);
  const Coordinate *token = row;
  if (loop.isStep)
    token = derivation.newCoordinate({Where::Batch, loop.token, start});
  else
    const_cast<Coordinate *>(row)->base = start;
  states->token = token;
  env.set(loop.token, token);
  innermost = body;

  for (const Store &each : loop.stores)
    if (!walk.adds && !isa<LastOp, EveryOp>(each.field.getDefiningOp()) && failed(store(each)))
      return failure();
  SmallVector<Value> yields, asides;
  for (auto [op, piece] : all) {
    states->piece = piece;
    FailureOr<Value> next = nextState(cast<StateOp>(op));
    if (succeeded(next) && cast<StateOp>(op).getCommit())
      next = commitBlock(cast<StateOp>(op), *next, asides);
    if (failed(next))
      return failure();
    yields.push_back(*next);
  }
  states->piece = 0;
  if (!walk.adds && failed(storeEvery(loop, yields)))
    return failure();
  yields.append(asides);
  Arith a{builderFor({}), loc};
  if (sums)
    yields.push_back(a.add(body->getArguments().back(), states->chunk->total));
  tile::RecurrenceYieldOp::create(a.b, loc, yields);
  innermost = nullptr;
  if (walk.adds) {
    Value item = launch.getBody().front().getArguments().back(), isFirst = isFirstPart(loop);
    for (auto [n, op] : llvm::enumerate(loop.states)) {
      StringAttr value = StateOp(op).getValueAxisAttr();
      storeBetween(loop, recurrence.getStates()[n], walk.between->added[n], item, value, value ? Value() : isFirst);
    }
    if (sums)
      storeBetween(loop, recurrence.getStates().back(), walk.between->totals, item, {}, isFirst);
  } else if (!walk.between && failed(storeLast(loop, recurrence.getStates()))) {
    return failure();
  }
  hoistInvariants(recurrence);
  states.reset();
  return success();
}

/// Scalars that no token changes are made before the loop. Vectors would fill registers there.
void LaunchEmitter::hoistInvariants(Operation *loop) {
  auto fromOutside = [&](Operation &op) {
    return llvm::all_of(op.getOperands(),
                        [&](Value x) { return !loop->isAncestor(x.getParentBlock()->getParentOp()); });
  };
  for (Operation &op : llvm::make_early_inc_range(loop->getRegion(0).front().without_terminator())) {
    if (op.getNumRegions() || op.getNumResults() != 1 || isa<RankedTensorType>(op.getResult(0).getType()) ||
        !fromOutside(op))
      continue;
    auto load = dyn_cast<tile::LoadScalarOp>(op);
    auto tensor = load ? load.getView().getDefiningOp<tile::TensorOp>() : tile::TensorOp();
    if (isMemoryEffectFree(&op) || (tensor && (tensor.getRole() == "input" || tensor.getRole() == "param")))
      op.moveBefore(loop);
  }
}

//===--- reads ---===//

FailureOr<TileValue> LaunchEmitter::stateField(Operation *op, const Environment &at) {
  if (auto read = dyn_cast<ReadOp>(op); read && states) {
    auto state = read.getState().getDefiningOp<StateOp>();
    bool isHere = llvm::is_contained(states->loop->states, state) && at.lookup(states->loop->token) == states->token;
    for (StringAttr axis : state.getStateType().getBatch())
      isHere &= at.lookup(axis) == env.lookup(axis);
    if (StringAttr value = state.getValueAxisAttr())
      isHere &= at.lookup(value) == env.lookup(value);
    if (isHere)
      return states->loop->isStep ? readStep(read, at) : readChunk(read, at);
  }
  FailureOr<Prepared> stored = derivation.ofState(op->getResult(0));
  if (failed(stored))
    return failure();
  Environment inner = at;
  return load(op->getLoc(), op, stored->view, stored->axes, inner);
}

//===--- one token after the other ---===//

/// A field over [rows, keys] with 0 where the tile pads keys.
FailureOr<Value> LaunchEmitter::perKey(Value field, StateOp op, const Environment &at) {
  return alongFeature(field, op.getKeyAxisAttr(), keyOf(op), at, op);
}

FailureOr<Value> LaunchEmitter::alongFeature(Value field, StringAttr axis, const Coordinate *key, const Environment &at,
                                             Operation *op) {
  FailureOr<TileValue> value = evaluate(field, at.with(axis, key));
  if (failed(value))
    return failure();
  TileValue masked = maskPadding(*value, 0, op->getLoc());
  Dimensions dims{dimensionOf(row), dimensionOf(key)};
  for (const Dimension &d : masked.dims)
    if (!llvm::is_contained(dims, d))
      return field.getDefiningOp()->emitError("of a state varies along an axis that lies inside tiles and is not the "
                                              "state's key; that is not in this version");
  OpBuilder builder = builderFor({});
  return spread(builder, op->getLoc(), masked, dims);
}

/// A field of rows alone: of values one after the other, of tokens over chunks.
FailureOr<Value> LaunchEmitter::perRow(Value field, StateOp op) {
  FailureOr<TileValue> value = evaluate(field, env);
  if (failed(value))
    return failure();
  Dimensions dims{dimensionOf(row)};
  for (const Dimension &d : value->dims)
    if (d != dims[0])
      return field.getDefiningOp()->emitError("of a state varies along an axis that lies inside tiles and is not the "
                                              "state's value; that is not in this version");
  OpBuilder builder = builderFor({});
  return spread(builder, op.getLoc(), *value, dims);
}

/// What a step, or a chunk, leaves of a state that nothing is written to.
FailureOr<Value> LaunchEmitter::decayOnly(StateOp op, Value state) {
  if (!op.getDecay())
    return state;
  Arith a{builderFor({}), op.getLoc()};
  if (!states->loop->isStep) {
    FailureOr<Chunk *> chunk = chunkOf(op);
    if (failed(chunk))
      return failure();
    a.b = builderFor({});
    Value kept = a.exp2((*chunk)->total);
    return a.mul(state, a.spread(kept, state.getType(), cast<RankedTensorType>(state.getType()).getRank() - 1));
  }
  FailureOr<Value> g = perKey(op.getDecay(), op, env);
  if (failed(g))
    return failure();
  a.b = builderFor({});
  Value power = a.mul(*g, a.constantLike(*g, std::numbers::log2e));
  if (op.getWhere()) {
    FailureOr<TileValue> where = evaluate(op.getWhere(), env);
    if (failed(where))
      return failure();
    a.b = builderFor({});
    power = a.select(a.spread(where->value, power.getType(), 0), power, a.constantLike(power, 0));
  }
  return a.mul(state, a.exp2(power));
}

FailureOr<Value> LaunchEmitter::nextState(StateOp op) {
  if (Value known = states->next.lookup(states->now(op)))
    return known;
  FailureOr<Value> next = states->loop->isStep ? nextStep(op) : nextChunk(op);
  if (succeeded(next))
    states->next[states->now(op)] = *next;
  return next;
}

FailureOr<Value> LaunchEmitter::decayedStep(StateOp op) {
  Value &known = states->decayed[states->now(op)];
  if (!known) {
    FailureOr<Value> made = decayOnly(op, states->carried[states->now(op)]);
    if (failed(made))
      return failure();
    states->decayed[states->now(op)] = *made;
    return *made;
  }
  return known;
}

FailureOr<Value> LaunchEmitter::nextStep(StateOp op) {
  FailureOr<Value> decayed = decayedStep(op), key = perKey(op.getKey(), op, env);
  if (failed(decayed) || failed(key))
    return failure();
  FailureOr<Value> value = perRow(op.getValue(), op);
  if (failed(value))
    return failure();
  Value written = *value;
  if (op.getErase()) {
    FailureOr<Value> held = sumPieces(op, [&]() -> FailureOr<Value> {
      FailureOr<Value> before = decayedStep(op), erase = perKey(op.getErase(), op, env);
      if (failed(before) || failed(erase))
        return failure();
      Arith a{builderFor({}), op.getLoc()};
      return a.reduce(a.mul(*before, *erase), 1);
    });
    if (failed(held))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    written = a.sub(written, *held);
  }
  Arith a{builderFor({}), op.getLoc()};
  Value next = a.fma(*key, a.spread(written, key->getType(), 0), *decayed);
  if (op.getWhere()) {
    FailureOr<TileValue> where = evaluate(op.getWhere(), env);
    if (failed(where))
      return failure();
    a.b = builderFor({});
    next = a.select(a.spread(where->value, next.getType(), 0), next, states->carried[states->now(op)]);
  }
  return next;
}

FailureOr<TileValue> LaunchEmitter::readStep(ReadOp op, const Environment &at) {
  auto state = op.getState().getDefiningOp<StateOp>();
  FailureOr<Value> sum = sumPieces(state, [&]() -> FailureOr<Value> {
    FailureOr<Value> from = op.getPoint() == ReadPoint::After ? nextState(state)
                            : op.getPoint() == ReadPoint::Decayed
                                ? decayedStep(state)
                                : FailureOr<Value>(states->carried[states->now(state)]);
    FailureOr<Value> query = perKey(op.getQuery(), state, at);
    if (failed(from) || failed(query))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    return a.reduce(a.mul(*from, *query), 1);
  });
  if (failed(sum))
    return failure();
  return TileValue{*sum, {dimensionOf(row)}};
}

//===--- chunks of tokens ---===//

/// With 0 in the rows of tokens that take no part.
Value LaunchEmitter::takingPart(Value tile, Value rows) {
  if (!rows)
    return tile;
  Arith a{builderFor({}), launch.getLoc()};
  return a.select(a.spread(rows, tile.getType(), 0), tile, a.constantLike(tile, 0));
}

/// A field of a token's key axis as operand of a product: as it is stored, or masked and rounded.
FailureOr<Value> LaunchEmitter::chunkOperand(Value field, StateOp op, const Environment &outer, Value rows) {
  return featureOperand({field, outer, op.getKeyAxisAttr()}, keyOf(op), op, rows);
}

FailureOr<Value> LaunchEmitter::featureOperand(const Side &side, const Coordinate *place, StateOp op, Value rows) {
  Value field = side.field;
  Environment at = side.env.with(side.axis, place);
  Value stripped = field;
  strip(stripped, at);
  // Rows beyond the array are loaded as 0. Products that decay read operands from shared memory, where no loop copies
  // them there ahead they are written.
  bool isCopied = !states->loop->isParallel || !op.getDecay() || !fieldType(op.getDecay()).hasAxis(op.getKeyAxisAttr());
  if (auto input = stripped.getDefiningOp<InputOp>();
      input && isCopied && !op.getWhere() && place->extent == place->size &&
      derivation.storageType(input.getStorage()) == states->element && runsAlong(stripped, at, Where::Row) &&
      runsAlong(stripped, at, Where::Feature)) {
    FailureOr<TileValue> tile = loadInput(input, at);
    if (failed(tile))
      return failure();
    if (tile->dims.size() == 2 && llvm::is_sorted(tile->dims))
      return tile->value;
  }
  FailureOr<Value> wide = alongFeature(field, side.axis, place, side.env, op);
  if (failed(wide))
    return failure();
  Value masked = takingPart(*wide, rows);
  Arith a{builderFor({}), op.getLoc()};
  return a.narrow(masked, states->element);
}

FailureOr<LaunchEmitter::Chunk *> LaunchEmitter::chunkOf(StateOp op) {
  if (states->chunk)
    return states->chunk.get();
  auto chunk = std::make_shared<Chunk>();
  states->chunk = chunk;
  Location loc = op.getLoc();
  Arith a{builderFor({}), loc};
  Type f32 = a.b.getF32Type(), i32 = a.b.getI32Type();
  auto vector = [&](Type element) { return RankedTensorType::get({row->extent}, element); };
  chunk->isReverse = op.getReverse();
  auto toInt = [&](Value index) -> Value { return arith::IndexCastOp::create(a.b, loc, i32, index); };

  Value size = derivation.sizeOf(states->loop->token);
  Value index = tile::IotaOp::create(a.b, loc, vector(i32), states->start);
  chunk->all =
      arith::CmpIOp::create(a.b, loc, arith::CmpIPredicate::slt, index, a.spread(toInt(size), index.getType(), 0));
  chunk->exists = chunk->all;
  if (op.getWhere()) {
    FailureOr<TileValue> where = evaluate(op.getWhere(), env);
    if (failed(where))
      return failure();
    a.b = builderFor({});
    chunk->exists = arith::AndIOp::create(a.b, loc, chunk->all, a.spread(where->value, chunk->all.getType(), 0));
  }

  if (op.getDecay()) {
    const Coordinate *key = keyOf(op);
    FailureOr<TileValue> decay = evaluate(op.getDecay(), env.with(op.getKeyAxisAttr(), key));
    if (failed(decay))
      return failure();
    a.b = builderFor({});
    bool channels = llvm::any_of(decay->dims, [](const Dimension &d) { return d.kind == Where::Feature; });
    bool rows = llvm::any_of(decay->dims, [](const Dimension &d) { return d.kind == Where::Row; });
    TileValue g = channels ? maskPadding(*decay, 0, loc) : *decay;
    a.b = builderFor({});
    auto clamped = [&](Value x) -> Value {
      Value power = a.mul(x, a.constantLike(x, std::numbers::log2e));
      return arith::MaximumFOp::create(a.b, loc, power, a.constantLike(power, kLeastStep));
    };
    if (channels || rows || op.getWhere()) {
      Dimensions dims{dimensionOf(row)};
      if (channels)
        dims.push_back(dimensionOf(key));
      chunk->decay = channels ? Chunk::Decay::Channel : Chunk::Decay::Token;
      // Of 40 nats a factor has 58 powers of two, beyond f16.
      chunk->isBounded =
          channels && !states->element.isF16() && analysis::mayAnchorInMiddle(analysis::decayRange(op), 16);
      chunk->step = takingPart(clamped(spread(a.b, loc, g, dims)), chunk->exists);
      a.b = builderFor({});
      Type total = channels ? Type(typeOf({dimensionOf(key)}, f32)) : f32;
      auto scan = tile::ScanOp::create(a.b, loc, chunk->step.getType(), total, chunk->step, 0, chunk->isReverse);
      chunk->sum = scan.getTile();
      chunk->total = scan.getTotal();
      chunk->exclusive = a.sub(chunk->sum, chunk->step);
    } else {
      // Of a constant the sums are multiples, and differences of sums are exact ones.
      chunk->decay = Chunk::Decay::Constant;
      chunk->step = clamped(g.value);
      Value rest = arith::SubIOp::create(a.b, loc, size, states->start);
      Value count = arith::MinSIOp::create(a.b, loc, rest, derivation.indexConstant(row->extent));
      Value number = arith::SIToFPOp::create(a.b, loc, f32, toInt(count));
      chunk->total = a.mul(number, chunk->step);
      auto multiple = [&](int64_t first) -> Value { // of the steps up to a row
        Value place =
            tile::IotaOp::create(a.b, loc, vector(i32), derivation.indexConstant(chunk->isReverse ? 0 : first));
        Value counts = a.spread(toInt(count), place.getType(), 0);
        Value zero = a.constant(place.getType(), 0);
        if (chunk->isReverse) {
          Value after = arith::SubIOp::create(a.b, loc, counts, place);
          if (first == 0)
            after = arith::SubIOp::create(a.b, loc, after, a.constant(place.getType(), 1));
          place = arith::MaxSIOp::create(a.b, loc, after, zero);
        } else {
          place = arith::MinSIOp::create(a.b, loc, place, counts);
        }
        Value real = arith::SIToFPOp::create(a.b, loc, vector(f32), place);
        return a.mul(real, a.spread(chunk->step, real.getType(), 0));
      };
      chunk->sum = multiple(1);
      chunk->exclusive = multiple(0);
    }
  }
  if (piecesOf(op) == 1 && failed(chunkKey(op, *chunk)))
    return failure();
  return chunk.get();
}

FailureOr<Value> LaunchEmitter::chunkKey(StateOp op, Chunk &chunk) {
  Value &known = chunk.key[states->piece];
  if (!known) {
    FailureOr<Value> key = chunkOperand(op.getKey(), op, env, chunk.exists);
    if (failed(key))
      return failure();
    known = *key;
  }
  return known;
}

FailureOr<Value> LaunchEmitter::wideKey(StateOp op, Chunk &chunk) {
  Value &known = chunk.keyWide[states->piece];
  if (!known) {
    FailureOr<Value> wide = perKey(op.getKey(), op, env);
    if (failed(wide))
      return failure();
    known = takingPart(*wide, chunk.exists);
  }
  return known;
}

/// Whether row r of the chunk sees row s of it, [tokens, tokens].
static Value sees(Arith &a, int64_t size, bool isReverse, bool isStrict, Value zero) {
  auto vector = RankedTensorType::get({size}, a.b.getI32Type());
  Type square = RankedTensorType::get({size, size}, a.b.getI32Type());
  Value index = tile::IotaOp::create(a.b, a.loc, vector, zero);
  Value other = tile::IotaOp::create(a.b, a.loc, vector, zero);
  using P = arith::CmpIPredicate;
  P predicate = isReverse ? (isStrict ? P::slt : P::sle) : (isStrict ? P::sgt : P::sge);
  return arith::CmpIOp::create(a.b, a.loc, predicate, a.spread(index, square, 0), a.spread(other, square, 1));
}

/// exp2 of the decay between rows, where one sees the other; elsewhere anything finite. `exclusive`: without the step
/// of the row that reads.
Value LaunchEmitter::decayBetween(Chunk &chunk, bool exclusive, Type square) {
  Arith a{builderFor({}), launch.getLoc()};
  Value zero = a.constant(square, 0);
  if (chunk.decay == Chunk::Decay::Token) {
    Value difference =
        a.sub(a.spread(exclusive ? chunk.exclusive : chunk.sum, square, 0), a.spread(chunk.sum, square, 1));
    return a.exp2(arith::MinimumFOp::create(a.b, a.loc, difference, zero));
  }
  auto integers = RankedTensorType::get({row->extent}, a.b.getI32Type());
  Type wide = a.with(square, a.b.getI32Type());
  Value rows = tile::IotaOp::create(a.b, a.loc, integers, zeroIndex());
  Value columns = tile::IotaOp::create(a.b, a.loc, integers, exclusive ? derivation.indexConstant(1) : zeroIndex());
  if (chunk.isReverse) {
    rows = tile::IotaOp::create(a.b, a.loc, integers, exclusive ? derivation.indexConstant(1) : zeroIndex());
    columns = tile::IotaOp::create(a.b, a.loc, integers, zeroIndex());
  }
  rows = a.spread(rows, wide, 0);
  columns = a.spread(columns, wide, 1);
  Value steps = arith::SubIOp::create(a.b, a.loc, chunk.isReverse ? columns : rows, chunk.isReverse ? rows : columns);
  steps = arith::MaxSIOp::create(a.b, a.loc, steps, a.constant(wide, 0));
  Value real = arith::SIToFPOp::create(a.b, a.loc, square, steps);
  return a.exp2(a.mul(real, a.spread(chunk.step, square, 0)));
}

/// A of a read: what its query has in common with the chunk's keys, decayed, f32.
FailureOr<Value> LaunchEmitter::chunkWeights(ReadOp op, Chunk &chunk, Value query, const Environment &at) {
  Value &known = chunk.weights[{op.getQuery().getAsOpaquePointer(), int(op.getPoint())}];
  if (known)
    return known;
  bool isStrict = op.getPoint() != ReadPoint::After, exclusive = op.getPoint() == ReadPoint::Prev;
  Arith a{builderFor({}), op.getLoc()};
  Type square = RankedTensorType::get({row->extent, row->extent}, a.b.getF32Type());
  if (chunk.decay == Chunk::Decay::Channel)
    return known = tile::DecayedDotOp::create(a.b, op.getLoc(), square, query, chunk.key[0], chunk.sum,
                                              isStrict && !exclusive, exclusive, chunk.isReverse, chunk.isBounded)
                       .getTile();
  auto state = op.getState().getDefiningOp<StateOp>();
  Value weights;
  if (piecesOf(state) > 1) {
    StringAttr axis = state.getKeyAxisAttr();
    FailureOr<Value> made = featureProduct({op.getQuery(), at, axis}, {state.getKey(), env, axis}, state);
    if (failed(made))
      return failure();
    a.b = builderFor({});
    // Features that take no part may have products all the same.
    weights = a.select(a.spread(chunk.exists, square, 1), *made, a.constant(square, 0));
  } else {
    weights = a.dot(query, chunk.key[0], a.constant(square, 0), 1);
  }
  if (chunk.isScalar()) {
    Value between = decayBetween(chunk, exclusive, square);
    a.b = builderFor({});
    weights = a.mul(weights, between);
  }
  Value mask = sees(a, row->extent, chunk.isReverse, isStrict, zeroIndex());
  return known = a.select(mask, weights, a.constant(square, 0));
}

/// What the chunk writes: R transposed, [values, tokens], as operand; in f32 too where that was made.
FailureOr<std::pair<Value, Value>> LaunchEmitter::chunkRest(StateOp op, Chunk &chunk, bool needsWide) {
  auto &known = states->rest[op];
  if (known.second && (known.first || !needsWide))
    return known;
  Arith a{builderFor({}), op.getLoc()};
  Environment at = env;
  Value stripped = op.getValue();
  strip(stripped, at);
  const Coordinate *values = env.lookup(op.getValueAxisAttr());
  Dimensions dims{dimensionOf(row), dimensionOf(values)};
  auto input = stripped.getDefiningOp<InputOp>();
  if (input && !op.getErase() && !op.getWhere() && derivation.storageType(input.getStorage()) == states->element) {
    FailureOr<TileValue> tile = loadInput(input, at);
    if (failed(tile))
      return failure();
    if (tile->dims == dims) {
      a.b = builderFor({});
      if (!known.second)
        known.second = a.transpose(tile->value);
      if (needsWide) {
        Value wide = widen(*tile, op.getLoc()).value;
        a.b = builderFor({});
        known.first = a.transpose(wide);
      }
      return known;
    }
  }
  FailureOr<Value> value = chunkValue(op, chunk);
  if (failed(value))
    return failure();
  Value wide = *value;
  if (op.getErase()) {
    if (failed(makeInverse(op, chunk)))
      return failure();
    FailureOr<Value> right = eraseFromStart(op, chunk);
    if (failed(right))
      return failure();
    a.b = builderFor({});
    Value held = a.dot(narrowState(op), *right, a.constantLike(wide, 0), 1);
    a.b = builderFor({});
    if (chunk.isScalar())
      held = a.mul(held, a.spread(a.exp2(chunk.sum), held.getType(), 1));
    Value rest = a.narrow(a.sub(wide, held), states->element);
    wide = a.dot(rest, chunk.inverse, a.constantLike(wide, 0), 1);
  }
  a.b = builderFor({});
  known = {wide, a.narrow(wide, states->element)};
  return known;
}

/// The values of a chunk, [values, tokens] in f32.
FailureOr<Value> LaunchEmitter::chunkValue(StateOp op, Chunk &chunk) {
  const Coordinate *values = env.lookup(op.getValueAxisAttr());
  Dimensions dims{dimensionOf(row), dimensionOf(values)};
  FailureOr<TileValue> value = evaluate(op.getValue(), env);
  if (failed(value))
    return failure();
  for (const Dimension &d : value->dims)
    if (!llvm::is_contained(dims, d))
      return op.emitError("has a value with another axis inside tiles than '")
             << values->axis.getValue() << "'; that is not in this version";
  Arith a{builderFor({}), op.getLoc()};
  Value wide = takingPart(spread(a.b, op.getLoc(), *value, dims), chunk.exists);
  a.b = builderFor({});
  return a.transpose(wide);
}

/// What erases as an operand.
FailureOr<Value> LaunchEmitter::chunkErase(StateOp op, Chunk &chunk) {
  if (!chunk.erase) {
    FailureOr<Value> made = chunkOperand(op.getErase(), op, env, chunk.exists);
    if (failed(made))
      return failure();
    chunk.erase = *made;
  }
  return chunk.erase;
}

/// What erases as an operand, with the decay since the chunk began where that differs from key to key.
FailureOr<Value> LaunchEmitter::eraseFromStart(StateOp op, Chunk &chunk) {
  if (chunk.decay != Chunk::Decay::Channel)
    return chunkErase(op, chunk);
  if (!chunk.eraseFromStart) {
    FailureOr<Value> erase = perKey(op.getErase(), op, env);
    if (failed(erase))
      return failure();
    Value masked = takingPart(*erase, chunk.exists);
    Arith a{builderFor({}), op.getLoc()};
    chunk.eraseFromStart = a.narrow(a.mul(masked, a.exp2(chunk.sum)), states->element);
  }
  return chunk.eraseFromStart;
}

/// The key as an operand, with the decay up to the end of the chunk, which differs from key to key.
FailureOr<Value> LaunchEmitter::keyToEnd(StateOp op, Chunk &chunk) {
  if (!chunk.keyToEnd) {
    FailureOr<Value> wide = wideKey(op, chunk);
    if (failed(wide))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    Value later = a.exp2(a.sub(a.spread(chunk.total, wide->getType(), 1), chunk.sum));
    chunk.keyToEnd = a.narrow(a.mul(*wide, later), states->element);
  }
  return chunk.keyToEnd;
}

/// All operands that are computed from keys, before the products and the inverse: what they are computed from takes no
/// registers meanwhile.
LogicalResult LaunchEmitter::prepareChunk(StateOp op, Chunk &chunk) {
  if (states->isGiven)
    return success();
  if (op.getErase() && (failed(chunkErase(op, chunk)) || failed(eraseFromStart(op, chunk))))
    return failure();
  return success(chunk.decay != Chunk::Decay::Channel || succeeded(keyToEnd(op, chunk)));
}

LogicalResult LaunchEmitter::makeInverse(StateOp op, Chunk &chunk) {
  if (chunk.inverse)
    return success();
  if (failed(chunkErase(op, chunk)))
    return failure();
  Arith a{builderFor({}), op.getLoc()};
  Type square = RankedTensorType::get({row->extent, row->extent}, a.b.getF32Type());
  Value lower;
  if (chunk.decay == Chunk::Decay::Channel) {
    lower = tile::DecayedDotOp::create(a.b, op.getLoc(), square, chunk.erase, chunk.key[0], chunk.sum, true, false,
                                       chunk.isReverse, chunk.isBounded)
                .getTile();
  } else {
    lower = a.dot(chunk.erase, chunk.key[0], a.constant(square, 0), 1);
    if (chunk.isScalar()) {
      Value between = decayBetween(chunk, false, square);
      a.b = builderFor({});
      lower = a.mul(lower, between);
    }
  }
  chunk.inverseWide =
      tile::UnitTrilInverseOp::create(a.b, op.getLoc(), square, lower, chunk.isReverse, StringAttr()).getTile();
  chunk.inverse = a.narrow(chunk.inverseWide, states->element);
  return success();
}

/// The state before the chunk as operand.
Value LaunchEmitter::narrowState(StateOp op) {
  Value &known = states->narrow[states->now(op)];
  if (!known) {
    Arith a{builderFor({}), op.getLoc()};
    known = a.narrow(states->carried[states->now(op)], states->element);
  }
  return known;
}

FailureOr<TileValue> LaunchEmitter::readChunk(ReadOp op, const Environment &at) {
  auto state = op.getState().getDefiningOp<StateOp>();
  FailureOr<Chunk *> shared = chunkOf(state);
  if (failed(shared))
    return failure();
  Chunk &chunk = **shared;
  if (failed(prepareChunk(state, chunk)))
    return failure();
  auto queryOperand = [&]() -> FailureOr<Value> {
    Value &query = chunk.queries[{op.getQuery().getAsOpaquePointer(), states->piece}];
    if (!query) {
      FailureOr<Value> made = chunkOperand(op.getQuery(), state, at, states->loop->isParallel ? chunk.all : Value());
      if (failed(made))
        return failure();
      query = *made;
    }
    return query;
  };
  size_t pieces = piecesOf(state);
  Value query;
  if (pieces == 1) {
    FailureOr<Value> made = queryOperand();
    if (failed(made))
      return failure();
    query = *made;
  }
  Value sum = op.getPoint() == ReadPoint::Prev ? chunk.exclusive : chunk.sum;
  bool channels = chunk.decay == Chunk::Decay::Channel, isMatrix = bool(state.getValueAxisAttr());
  Value wide, decayed;
  if (channels || (!isMatrix && pieces == 1)) {
    FailureOr<Value> made = perKey(op.getQuery(), state, at);
    if (failed(made))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    wide = channels ? a.mul(*made, a.exp2(sum)) : *made;
    if (channels && isMatrix)
      decayed = a.narrow(wide, states->element);
  }
  FailureOr<Value> weights = chunkWeights(op, chunk, query, at);
  if (failed(weights))
    return failure();
  if (!isMatrix) {
    FailureOr<Value> written = perRow(state.getValue(), state);
    if (failed(written))
      return failure();
    Value masked = takingPart(*written, chunk.exists);
    Arith a{builderFor({}), op.getLoc()};
    FailureOr<Value> held = sumPieces(state, [&]() -> FailureOr<Value> {
      Value queries = wide;
      if (!queries) {
        FailureOr<Value> made = perKey(op.getQuery(), state, at);
        if (failed(made))
          return failure();
        queries = *made;
      }
      Arith a{builderFor({}), op.getLoc()};
      return a.reduce(a.mul(queries, a.spread(states->carried[states->now(state)], queries.getType(), 1)), 1);
    });
    if (failed(held))
      return failure();
    a.b = builderFor({});
    Value before = *held;
    if (chunk.isScalar())
      before = a.mul(before, a.exp2(sum));
    // Keys that take no part are 0, and so are their weights: a constant needs no mask.
    std::optional<double> one = derivation.constantOf(state.getValue());
    Value within = *weights;
    if (one != 1.0)
      within = a.mul(within, a.spread(masked, within.getType(), 1));
    return TileValue{a.add(before, a.reduce(within, 1)), {dimensionOf(row)}};
  }
  FailureOr<std::pair<Value, Value>> rest = chunkRest(state, chunk, chunk.isScalar() && !states->isGiven);
  if (failed(rest))
    return failure();
  const Coordinate *values = env.lookup(state.getValueAxisAttr());
  Value result;
  for (states->piece = 0; states->piece < pieces; ++states->piece) {
    FailureOr<Value> right = decayed ? FailureOr<Value>(decayed) : queryOperand();
    if (failed(right))
      return failure();
    Value held = narrowState(state);
    Arith a{builderFor({}), op.getLoc()};
    Type type = RankedTensorType::get({values->extent, row->extent}, a.b.getF32Type());
    result = a.dot(held, *right, result ? result : a.constant(type, 0), 1);
  }
  states->piece = 0;
  Arith a{builderFor({}), op.getLoc()};
  Type type = result.getType();
  if (chunk.isScalar())
    result = a.mul(result, a.spread(a.exp2(sum), type, 1));
  result = a.dot(rest->second, a.narrow(*weights, states->element), result, 1);
  return TileValue{a.transpose(result), {dimensionOf(row), dimensionOf(values)}};
}

FailureOr<Value> LaunchEmitter::nextChunk(StateOp op) {
  FailureOr<Chunk *> shared = chunkOf(op);
  if (failed(shared))
    return failure();
  Chunk &chunk = **shared;
  Value state = states->carried[states->now(op)];
  bool channels = chunk.decay == Chunk::Decay::Channel;
  if (!op.getValueAxisAttr()) {
    FailureOr<Value> key = wideKey(op, chunk), written = perRow(op.getValue(), op);
    if (failed(key) || failed(written))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    Value product = *key;
    std::optional<double> one = derivation.constantOf(op.getValue());
    if (one != 1.0)
      product = a.mul(product, a.spread(*written, product.getType(), 0));
    if (channels)
      product = a.mul(product, a.exp2(a.sub(a.spread(chunk.total, product.getType(), 1), chunk.sum)));
    else if (chunk.isScalar())
      product = a.mul(product, a.spread(a.exp2(a.sub(a.spread(chunk.total, chunk.sum.getType(), 0), chunk.sum)),
                                        product.getType(), 0));
    Value added = tile::ScanOp::create(a.b, op.getLoc(), product.getType(), state.getType(), product, 0).getTotal();
    if (chunk.decay == Chunk::Decay::None)
      return a.add(state, added);
    return a.fma(state, a.spread(a.exp2(chunk.total), state.getType(), 0), added);
  }
  FailureOr<std::pair<Value, Value>> rest = chunkRest(op, chunk, chunk.isScalar());
  FailureOr<Value> key = channels ? keyToEnd(op, chunk) : chunkKey(op, chunk);
  if (failed(rest) || failed(key))
    return failure();
  Value left = rest->second;
  Arith a{builderFor({}), op.getLoc()};
  if (chunk.isScalar()) {
    Value later = a.exp2(a.sub(a.spread(chunk.total, chunk.sum.getType(), 0), chunk.sum));
    left = a.narrow(a.mul(rest->first, a.spread(later, rest->first.getType(), 1)), states->element);
  }
  if (chunk.decay != Chunk::Decay::None)
    state = a.mul(state, a.spread(a.exp2(chunk.total), state.getType(), 1));
  return a.dot(left, *key, state, 0);
}
