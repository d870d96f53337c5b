// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recurrences shared out along tokens, in three launches with workspaces between them.
//
// Chunks: the first launch computes what each chunk adds to the state, the second goes through the states, the third
// computes the reads. Where something is erased, what a chunk writes depends on the state S before it, R = X value - X
// (erase exp G) S with X = (I + L)^-1 as in StateBody.cpp (Yang et al., arXiv 2412.06464): the first launch makes X
// value and -X (erase exp G), so that two products a chunk are left for the second.
//
// Segments of several chunks: the first launch walks through each segment from a state of 0, the second goes through
// the states at the borders, the third walks through the segments again, with all that reads. A state must only be
// scaled for that: what is erased would need a matrix of all keys.
#include "passes/attn-to-tile/StateBody.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

namespace {
constexpr int64_t kLeastChunks = 4, kLeastSegments = 4, kMostSegments = 64;
// Where the number may depend on lengths alone.
constexpr int64_t kInvariantChunks = 8, kMostInvariantSegments = 16;
constexpr int64_t kLeastTokens = 256; // where it is a matter of choice
constexpr int64_t kLaunchCycles = 4000;
constexpr int64_t kWidest = 128; // values that a tile of the first launch has
constexpr int64_t kAll = std::numeric_limits<int64_t>::max();
} // namespace

//===--- the program ---===//

/// Tokens at whose multiples a segment may end.
int64_t Derivation::segmentUnit(const StateLoop &loop) const {
  int64_t unit = chunkOf(loop);
  for (StateOp state : loop.states) {
    if (StringAttr commit = state.getBlocksAttr())
      unit = std::lcm(unit, blockSize(commit));
    for (Operation *user : state->getUsers())
      if (auto every = dyn_cast<EveryOp>(user))
        unit = std::lcm(unit, blockSize(every.getBlocksAttr()));
  }
  return unit;
}

/// Tokens that a segment has at least, so that to walk twice costs less than to wait.
int64_t Derivation::leastSegment(const StateLoop &loop) const {
  int64_t unit = segmentUnit(loop);
  int64_t chunks = (choices.batchInvariant ? kInvariantChunks : kLeastChunks) * chunkOf(loop);
  return unit * llvm::divideCeil(std::max(chunks, choices.savedCycles ? kLeastTokens : 0), unit);
}

/// How many segments there are, as a size of the program, and the tokens of one.
void Derivation::countSegments(const StateLoop &loop, Between &between) {
  Location loc = attention.getLoc();
  OpBuilder builder = head();
  auto constant = [&](int64_t value) { return indexConstant(value); };
  int64_t unit = segmentUnit(loop);
  Value units = constant(unit), tokens = sizeOf(loop.token);
  Value least = constant(leastSegment(loop));
  SmallVector<Value> sizes;
  for (StringAttr axis : loop.batch)
    sizes.push_back(sizeOf(axis));
  if (loop.value && staticSize(loop.value))
    sizes.push_back(constant(llvm::divideCeil(*staticSize(loop.value), valueTile(loop, *staticSize(loop.value)))));
  Value most = constant(choices.batchInvariant ? kMostInvariantSegments : kMostSegments), one = constant(1);
  Value each = constant(choices.itemsPerSm);
  builder = head();
  Value number = arith::CeilDivUIOp::create(builder, loc, tokens, least);
  number = arith::MinUIOp::create(builder, loc, number, most);
  if (!choices.batchInvariant) {
    Value slots = tile::DeviceSmsOp::create(builder, loc, builder.getIndexType());
    slots = arith::MulIOp::create(builder, loc, slots, each);
    for (Value size : sizes)
      slots = arith::DivUIOp::create(builder, loc, slots, size);
    number = arith::MinUIOp::create(builder, loc, number, slots);
  }
  number = arith::MaxUIOp::create(builder, loc, number, one);
  between.segments = "segments";
  while (table.lookup(StringRef(between.segments)) || names.count(between.segments))
    between.segments += "_";
  names.insert(between.segments);
  between.count = tile::ComputedAxisOp::create(builder, loc, builder.getIndexType(),
                                               builder.getStringAttr(between.segments), number);
  Value chunks = arith::CeilDivUIOp::create(builder, loc, tokens, units);
  chunks = arith::CeilDivUIOp::create(builder, loc, chunks, between.count);
  between.length = arith::MulIOp::create(builder, loc, chunks, units);
}

void Derivation::preferShared() {
  if (!choices.savedCycles || loops.empty())
    return;
  const StateLoop &loop = loops.front();
  auto text = [&](StringAttr axis) {
    if (std::optional<int64_t> size = staticSize(axis))
      return std::to_string(*size);
    SmallVector<StringAttr> factors = table.expand(rawOf(axis));
    return llvm::join(llvm::map_range(factors, [&](StringAttr factor) { return sizeText(factor); }), " * ");
  };
  std::string tokens = text(loop.token), states = "1";
  if (table.expand(rawOf(loop.token)).size() > 1)
    tokens = "(" + tokens + ")";
  for (StringAttr axis : loop.batch)
    states = text(axis) + (states == "1" ? "" : " * " + states);
  if (loop.isSplit) {
    std::optional<int64_t> width = loop.value ? staticSize(loop.value) : std::nullopt;
    int64_t count = width ? llvm::divideCeil(*width, valueTile(loop, *width)) : 1;
    if (count > 1)
      states = std::to_string(count) + " * " + states;
    prefer("min(device.sms * " + std::to_string(choices.itemsPerSm) + " / (" + states + "), ceildiv(" + tokens + ", " +
               std::to_string(leastSegment(loop)) + ")) >= " + std::to_string(kLeastSegments),
           "segments of tokens side by side, since there are too few states for the device otherwise");
  } else if (loop.isParallel) {
    // Two launches more.
    prefer("device.sms * (" + tokens + " * " + std::to_string(choices.savedCycles) + " - " +
               std::to_string(64 * 2 * kLaunchCycles) + ") > " + tokens + " * " + states + " * " +
               std::to_string(choices.spentCycles),
           "chunks of tokens side by side, since there are too few states for the device otherwise");
  }
}

/// Workspaces for what is handed from launch to launch.
void Derivation::makeBetween(const StateLoop &loop, ArrayRef<StringAttr> own, const std::string &name,
                             Between &between) {
  Type f32 = Float32Type::get(context);
  std::string items = between.segments;
  std::optional<int64_t> count;
  if (!loop.isSplit) {
    items = "ceildiv(" + sizeText(loop.token) + ", " + std::to_string(chunkOf(loop)) + ")";
    if (std::optional<int64_t> size = staticSize(loop.token))
      count = llvm::divideCeil(*size, chunkOf(loop));
  }
  auto workspace = [&](StringRef suffix, Type element, ArrayRef<int64_t> inside) -> Value {
    SmallVector<int64_t> shape;
    SmallVector<Attribute> dims;
    auto add = [&](const std::string &text, std::optional<int64_t> size) {
      shape.push_back(size.value_or(ShapedType::kDynamic));
      dims.push_back(StringAttr::get(context, size ? std::to_string(*size) : text));
    };
    for (StringAttr axis : own)
      add(sizeText(axis), staticSize(axis));
    add(items, count);
    for (int64_t size : inside)
      add("", size);
    OpBuilder builder = head();
    return tile::WorkspaceOp::create(builder, attention.getLoc(), tile::ViewType::get(context, shape, element),
                                     builder.getStringAttr(uniqueName(name + suffix.str())),
                                     builder.getArrayAttr(dims));
  };
  StateOp first = loop.states.front();
  int64_t chunk = chunkOf(loop), keys = *staticSize(first.getKeyAxisAttr());
  bool erases = bool(first.getErase()) && !loop.isSplit;
  for (StateOp state : loop.states) {
    StringAttr value = state.getValueAxisAttr();
    int64_t width = value ? *staticSize(value) : 0;
    SmallVector<int64_t> shape{width, keys};
    if (!value)
      shape = {keys};
    between.added.push_back(erases ? workspace("_written", f32, {width, chunk}) : workspace("_added", f32, shape));
    if (loop.isSplit && value)
      between.before.push_back(between.added.back()); // its place is free once it is added
    else
      between.before.push_back(workspace("_before", value && !loop.isSplit ? elementType : f32, shape));
    if (erases)
      between.rest.push_back(workspace("_rest", elementType, {width, chunk}));
  }
  if (erases)
    between.erase = workspace("_erased", elementType, {chunk, keys});
  auto input = first.getKey().getDefiningOp<InputOp>();
  bool isPlain = input && storageType(input.getStorage()) == elementType && !first.getDecay() && !first.getWhere();
  if (erases && !isPlain)
    between.key = workspace("_keys", elementType, {chunk, keys});
  if (first.getDecay()) {
    bool channels = fieldType(first.getDecay()).hasAxis(first.getKeyAxisAttr());
    between.totals = workspace("_totals", f32, channels ? ArrayRef<int64_t>{keys} : ArrayRef<int64_t>());
  }
}

LogicalResult Derivation::emitParallel(StateLoop &loop, ArrayRef<StringAttr> own, const std::string &name,
                                       Operation *before) {
  for (StateOp state : loop.states)
    for (StringAttr axis : {state.getKeyAxisAttr(), state.getValueAxisAttr()})
      if (axis && failed(featureSize(axis, state)))
        return failure();
  Between between;
  if (loop.isSplit)
    countSegments(loop, between);
  makeBetween(loop, own, name, between);
  bool erases = !between.rest.empty();
  Items items = loop.isSplit ? Items::Segments : Items::Chunks;
  auto emit = [&](const std::string &suffix, ArrayRef<StringAttr> batch, Items kind, int64_t values,
                  auto body) -> LogicalResult {
    FailureOr<LoopLaunch> launch = openLoop(loop, name + suffix, batch, kind, before, values, &between);
    if (failed(launch))
      return failure();
    enter(launch->op);
    LaunchEmitter emitter(*this, launch->op, launch->env, launch->row, launch->part);
    LogicalResult result = body(emitter, launch->start);
    leave();
    return result;
  };
  LogicalResult added =
      loop.isSplit ? emit("_segments", own, items, 0,
                          [&](LaunchEmitter &emitter, Value start) {
                            return emitter.emitStates(loop, {&between, start, true});
                          })
      : erases     ? emit("_chunks", own, items, kAll,
                          [&](LaunchEmitter &emitter, Value start) { return emitter.emitWritten(loop, between, start); })
                   : emit("_chunks", own, items, 0,
                          [&](LaunchEmitter &emitter, Value start) { return emitter.emitAdded(loop, between, start); });
  if (failed(added) || failed(emit("_pass", own, Items::All, 0,
                                   [&](LaunchEmitter &emitter, Value) { return emitter.emitPass(loop, between); })))
    return failure();
  auto isOfReads = [&](const Store &store) {
    Operation *from = store.field.getDefiningOp();
    return !isa<LastOp>(from) && (loop.isSplit || !isa<EveryOp>(from));
  };
  if (llvm::none_of(loop.stores, isOfReads))
    return success();
  if (loop.isSplit)
    return emit("", loop.batch, items, 0, [&](LaunchEmitter &emitter, Value start) {
      return emitter.emitStates(loop, {&between, start, false});
    });
  return emit("", loop.batch, items, readTile(loop),
              [&](LaunchEmitter &emitter, Value start) { return emitter.emitReads(loop, between, start); });
}

//===--- the launches ---===//

void LaunchEmitter::placeBetween(const StateLoop &loop, Value item, SmallVectorImpl<Value> &indices) {
  // The workspaces have the axes of the states alone, of which each launch has one index.
  SmallVector<StringAttr> own;
  for (StateOp each : loop.states)
    for (StringAttr axis : each.getStateType().getBatch())
      if (!llvm::is_contained(own, axis))
        own.push_back(axis);
  for (StringAttr axis : own)
    indices.push_back(env.lookup(axis)->base);
  indices.push_back(item);
}

/// A tile of a workspace between the launches; `values`: its rows are values, perhaps a part of them.
Value LaunchEmitter::loadBetween(const StateLoop &loop, Value view, Value item, ArrayRef<int64_t> shape,
                                 StringAttr values) {
  SmallVector<Value> indices;
  SmallVector<int64_t> dims;
  placeBetween(loop, item, indices);
  OpBuilder b = builderFor({});
  Type element = cast<tile::ViewType>(view.getType()).getElementType();
  if (shape.empty())
    return tile::LoadScalarOp::create(b, launch.getLoc(), element, view, indices);
  for (size_t n = 0; n < shape.size(); ++n) {
    dims.push_back(indices.size());
    const Coordinate *at = n == 0 && values ? env.lookup(values) : nullptr;
    indices.push_back(at && at->base ? at->base : zeroIndex());
  }
  return tile::LoadOp::create(b, launch.getLoc(), RankedTensorType::get(shape, element), view, indices, Value(), dims,
                              cast<TypedAttr>(b.getZeroAttr(element)));
}

void LaunchEmitter::storeBetween(const StateLoop &loop, Value tile, Value view, Value item, StringAttr values,
                                 Value condition) {
  SmallVector<Value> indices;
  SmallVector<int64_t> dims;
  placeBetween(loop, item, indices);
  OpBuilder b = onlyWhere(condition, launch.getLoc());
  auto type = dyn_cast<RankedTensorType>(tile.getType());
  if (!type) {
    tile::StoreScalarOp::create(b, launch.getLoc(), tile, view, indices);
    return;
  }
  for (int64_t n = 0; n < type.getRank(); ++n) {
    dims.push_back(indices.size());
    const Coordinate *at = n == 0 && values ? env.lookup(values) : nullptr;
    indices.push_back(at && at->base ? at->base : zeroIndex());
  }
  tile::StoreOp::create(b, launch.getLoc(), tile, view, indices, dims);
}

/// Whether the work item is the first of the parts of the values; null where there are none.
Value LaunchEmitter::isFirstPart(const StateLoop &loop) {
  for (auto [n, axis] : llvm::enumerate(launch.getAxes().getAsRange<StringAttr>()))
    if (loop.value && axis == loop.value) {
      OpBuilder b = builderFor({});
      return arith::CmpIOp::create(b, launch.getLoc(), arith::CmpIPredicate::eq,
                                   launch.getBody().front().getArgument(n), zeroIndex());
    }
  return {};
}

LogicalResult LaunchEmitter::emitAdded(const StateLoop &loop, const Between &between, Value start) {
  enterChunk(loop, start);
  Value chunk = launch.getBody().front().getArguments().back(), isFirst = isFirstPart(loop);
  for (auto [n, each] : llvm::enumerate(loop.states)) {
    StateOp op = each;
    FailureOr<Value> none = matrix({}, op);
    if (failed(none))
      return failure();
    states->carried[states->now(op)] = *none;
    FailureOr<Value> added = nextState(op);
    if (failed(added))
      return failure();
    StringAttr value = op.getValueAxisAttr();
    storeBetween(loop, *added, between.added[n], chunk, value, value ? Value() : isFirst);
  }
  if (between.totals)
    storeBetween(loop, states->chunk->total, between.totals, chunk, {}, isFirst);
  return success();
}

LogicalResult LaunchEmitter::emitWritten(const StateLoop &loop, const Between &between, Value start) {
  enterChunk(loop, start);
  Value item = launch.getBody().front().getArguments().back();
  StateOp first = loop.states.front();
  Location loc = first.getLoc();
  FailureOr<Chunk *> shared = chunkOf(first);
  if (failed(shared))
    return failure();
  Chunk &chunk = **shared;
  Arith a{builderFor({}), loc};
  // What is done with before the inverse is made takes no registers meanwhile.
  if (between.key) {
    FailureOr<Value> wide = wideKey(first, chunk);
    if (failed(wide))
      return failure();
    a.b = builderFor({});
    Value key = *wide;
    if (chunk.decay != Chunk::Decay::None) {
      Value total = a.spread(chunk.total, chunk.sum.getType(), 1);
      key = a.mul(key, a.spread(a.exp2(a.sub(total, chunk.sum)), key.getType(), 0));
    }
    storeBetween(loop, a.narrow(key, states->element), between.key, item, {}, {});
  }
  if (between.totals)
    storeBetween(loop, chunk.total, between.totals, item, {}, {});
  FailureOr<Value> erase = Value();
  if (chunk.decay == Chunk::Decay::Channel)
    erase = eraseFromStart(first, chunk);
  if (failed(erase) || failed(makeInverse(first, chunk)))
    return failure();
  if (!*erase)
    erase = chunk.erase;
  a.b = builderFor({});
  // Negative, so that the pass adds.
  Value inverse = chunk.inverseWide, minus = a.constant(inverse.getType(), -1);
  if (chunk.isScalar())
    minus = a.mul(minus, a.spread(a.exp2(chunk.sum), inverse.getType(), 1));
  inverse = a.narrow(a.mul(inverse, minus), states->element);
  Value none = a.constant(a.with(erase->getType(), a.b.getF32Type()), 0);
  storeBetween(loop, a.narrow(a.dot(inverse, *erase, none, 0), states->element), between.erase, item, {}, {});
  // Values one part after the other.
  int64_t width = *derivation.staticSize(loop.value), count = llvm::divideCeil(width, kWidest);
  const Coordinate *whole = env.lookup(loop.value);
  int64_t extent = count == 1 ? whole->extent : int64_t(llvm::alignTo(llvm::divideCeil(width, count), 16));
  for (int64_t offset = 0; offset < width; offset += extent) {
    if (count > 1) {
      int64_t exist = std::min(width - offset, extent);
      env.set(loop.value, partOf(whole, loop.value, offset, extent, exist < extent ? exist : 0));
    }
    for (auto [n, each] : llvm::enumerate(loop.states)) {
      FailureOr<Value> value = chunkValue(each, chunk);
      if (failed(value))
        return failure();
      a.b = builderFor({});
      Value written = a.dot(a.narrow(*value, states->element), chunk.inverse, a.constantLike(*value, 0), 1);
      storeBetween(loop, written, between.added[n], item, loop.value, {});
    }
  }
  env.set(loop.value, whole);
  return success();
}

LogicalResult LaunchEmitter::emitPass(const StateLoop &loop, const Between &between) {
  Location loc = launch.getLoc();
  enterChunk(loop, {});
  SmallVector<Value> init;
  SmallVector<StateOp> aside;
  for (StateOp op : loop.states) {
    FailureOr<Value> first = matrix(op.getInitial(), op);
    if (failed(first))
      return failure();
    init.push_back(*first);
    if (op.getCommit() && !loop.isSplit)
      aside.push_back(op);
  }
  for (StateOp op : aside)
    init.push_back(init[llvm::find(loop.states, op) - loop.states.begin()]);
  Value isFirst = isFirstPart(loop);
  OpBuilder builder = builderFor({});
  Value end = loop.isSplit ? between.count : derivation.sizeOf(loop.token);
  int64_t chunk = row->extent;
  auto recurrence =
      tile::RecurrenceOp::create(builder, loc, zeroIndex(), end, loop.isSplit ? 1 : chunk, loop.isReverse, init);
  Block *body = new Block;
  recurrence.getBody().push_back(body);
  Value start = body->addArgument(builder.getIndexType(), loc), item = start;
  for (Value state : init)
    body->addArgument(state.getType(), loc);
  innermost = body;
  for (auto [n, op] : llvm::enumerate(loop.states))
    states->carried[states->now(op)] = body->getArgument(1 + n);
  for (auto [n, op] : llvm::enumerate(aside))
    states->aside[states->now(op)] = body->getArgument(1 + loop.states.size() + n);
  if (!loop.isSplit) {
    states->start = start;
    const_cast<Coordinate *>(row)->base = start;
    env.set(loop.token, row);
    OpBuilder b = builderFor({});
    item = arith::DivUIOp::create(b, loc, start, derivation.indexConstant(chunk));
  }
  // What a chunk is known by here.
  auto known = std::make_shared<Chunk>();
  states->chunk = known;
  known->isReverse = loop.isReverse;
  StateOp front = loop.states.front();
  int64_t keys = derivation.feature(front.getKeyAxisAttr(), *derivation.staticSize(front.getKeyAxisAttr()))->extent;
  Value kept;
  if (between.totals) {
    bool channels = fieldType(front.getDecay()).hasAxis(front.getKeyAxisAttr());
    known->decay = channels ? Chunk::Decay::Channel : Chunk::Decay::Token;
    known->total =
        loadBetween(loop, between.totals, item, channels ? ArrayRef<int64_t>{keys} : ArrayRef<int64_t>(), {});
    OpBuilder b = builderFor({});
    kept = math::Exp2Op::create(b, loc, known->total);
  }
  bool erases = !between.rest.empty();
  Value key, erase;
  if (erases) {
    erase = loadBetween(loop, between.erase, item, {chunk, keys}, {});
    if (between.key) {
      key = loadBetween(loop, between.key, item, {chunk, keys}, {});
    } else {
      FailureOr<Value> plain = chunkOperand(front.getKey(), front, env, {});
      if (failed(plain))
        return failure();
      key = *plain;
    }
  }
  SmallVector<Value> yields, asides;
  for (auto [n, each] : llvm::enumerate(loop.states)) {
    StateOp op = each;
    Value state = states->carried[states->now(op)];
    StringAttr value = op.getValueAxisAttr();
    auto type = cast<RankedTensorType>(state.getType());
    SmallVector<int64_t> shape(type.getShape());
    if (erases)
      shape[1] = chunk;
    Value added = loadBetween(loop, between.added[n], item, shape, value);
    Type stored = cast<tile::ViewType>(between.before[n].getType()).getElementType();
    Arith a{builderFor({}), loc};
    Value before = stored.isF32() ? state : narrowState(op);
    storeBetween(loop, before, between.before[n], item, value, value ? Value() : isFirst);
    a.b = builderFor({});
    Value next;
    if (erases) {
      Value rest = a.narrow(a.dot(narrowState(op), erase, added, 1), states->element);
      storeBetween(loop, rest, between.rest[n], item, value, {});
      a.b = builderFor({});
      next = a.dot(rest, key, kept ? a.mul(state, a.spread(kept, type, 1)) : state, 0);
    } else {
      next = kept ? a.fma(state, a.spread(kept, type, type.getRank() - 1), added) : a.add(state, added);
    }
    if (llvm::is_contained(aside, op)) {
      FailureOr<Value> committed = commitBlock(op, next, asides);
      if (failed(committed))
        return failure();
      next = *committed;
    }
    yields.push_back(next);
  }
  if (!loop.isSplit && failed(storeEvery(loop, yields)))
    return failure();
  yields.append(asides);
  OpBuilder b = builderFor({});
  tile::RecurrenceYieldOp::create(b, loc, yields);
  innermost = nullptr;
  return storeLast(loop, recurrence.getStates());
}

LogicalResult LaunchEmitter::emitReads(const StateLoop &loop, const Between &between, Value start) {
  enterChunk(loop, start);
  states->isGiven = true;
  for (const Store &store : loop.stores)
    collectLive(store.field);
  Value item = launch.getBody().front().getArguments().back();
  for (auto [n, each] : llvm::enumerate(loop.states)) {
    StateOp op = each;
    FailureOr<Value> shape = matrix({}, op);
    if (failed(shape))
      return failure();
    SmallVector<int64_t> extents(cast<RankedTensorType>(shape->getType()).getShape());
    StringAttr value = op.getValueAxisAttr();
    Value before = loadBetween(loop, between.before[n], item, extents, value);
    (value ? states->narrow : states->carried)[states->now(op)] = before;
    if (!between.rest.empty())
      states->rest[op] = {{}, loadBetween(loop, between.rest[n], item, {extents[0], row->extent}, value)};
  }
  for (const Store &each : loop.stores)
    if (!isa<LastOp, EveryOp>(each.field.getDefiningOp()) && failed(store(each)))
      return failure();
  return success();
}
