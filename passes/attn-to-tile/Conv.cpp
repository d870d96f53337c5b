// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Depthwise convolutions: a sum over taps of the field at shifted places, 0 outside.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

FailureOr<TileValue> LaunchEmitter::conv(ConvOp op, const Environment &env) {
  constexpr int64_t maxTaps = 32;
  SmallVector<StringAttr> along = toAxes(op.getAlong()), taps = toAxes(op.getTaps());
  SmallVector<int64_t> sizes;
  int64_t count = 1;
  for (StringAttr axis : taps) {
    std::optional<int64_t> size = derivation.staticSize(axis);
    if (!size)
      return op.emitError("the number of taps '") << axis.getValue() << "' must be known here";
    sizes.push_back(*size);
    count = *size > maxTaps ? *size : count * *size;
  }
  if (count > maxTaps)
    return op.emitError("has more than ") << maxTaps << " taps; that is not in this version";
  for (StringAttr axis : along)
    if (const Coordinate *at = env.lookup(axis); at->kind == Where::Feature || at->kind == Where::Gathered)
      return op.emitError("convolves along '")
             << axis.getValue() << "', which lies inside tiles as features; that is not in this version";
  Location loc = op.getLoc();

  // Where element t of an axis reads, `by` places on, and which of these places exist.
  auto place = [&](StringAttr axis, int64_t by) -> std::pair<const Coordinate *, std::optional<TileValue>> {
    const Coordinate *at = env.lookup(axis);
    if (!by)
      return {at, std::nullopt};
    Coordinate *&moved = moves[{at, by}];
    OpBuilder builder = builderFor({});
    Value size = derivation.sizeOf(axis);
    if (at->kind == Where::Batch) {
      Value index = arith::AddIOp::create(builder, loc, at->base, derivation.indexConstant(by));
      Value low = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, index, zeroIndex());
      Value high = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index, size);
      Value inside = arith::AndIOp::create(builder, loc, low, high);
      if (!moved)
        moved = derivation.newCoordinate(
            {Where::Batch, at->axis, arith::SelectOp::create(builder, loc, inside, index, at->base)});
      return {moved, TileValue{inside, {}}};
    }
    if (!moved) {
      Value base = arith::AddIOp::create(builder, loc, at->base, derivation.indexConstant(by));
      moved = derivation.newCoordinate({at->kind, at->axis, base, at->extent});
    }
    Dimensions dims{dimensionOf(moved)};
    builder = builderFor(dims);
    Type indices = typeOf(dims, builder.getI32Type());
    Value index = tile::IotaOp::create(builder, loc, indices, moved->base);
    Value limit = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), size);
    Value low =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, index, emitConstant(builder, loc, indices, 0));
    Value high = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index,
                                       tile::SplatOp::create(builder, loc, indices, limit));
    return {moved, TileValue{arith::AndIOp::create(builder, loc, low, high), dims}};
  };

  // Tokens of two axes move together: `by` places on one of them are so many on the whole, where both exist.
  auto inside = [&](StringAttr axis, int64_t by) -> FailureOr<TileValue> {
    FailureOr<TileValue> index = position(op, axis, {}, env);
    if (failed(index))
      return failure();
    OpBuilder builder = builderFor(index->dims);
    Type type = index->value.getType();
    Value moved = arith::AddIOp::create(builder, loc, index->value, emitConstant(builder, loc, type, double(by)));
    Value limit = arith::IndexCastOp::create(builder, loc, builder.getI32Type(), derivation.sizeOf(axis));
    limit = tile::SplatOp::create(builder, loc, type, limit);
    Value low =
        arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, moved, emitConstant(builder, loc, type, 0));
    Value high = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, moved, limit);
    return TileValue{arith::AndIOp::create(builder, loc, low, high), index->dims};
  };
  auto moveWhole = [&](const Coordinate *whole, Value by) {
    OpBuilder builder = builderFor({});
    Value base = arith::AddIOp::create(builder, loc, whole->base, by);
    return derivation.newComposite(whole->kind, whole->axis, base, whole->extent, whole->shares[0]->axis,
                                   whole->shares[1]->axis);
  };

  Value source = op.getOperand();
  std::optional<TileValue> sum;
  for (int64_t n = 0; n < count; ++n) {
    Environment at = env, tap = env;
    SmallVector<TileValue> conditions, always; // `always`: what an array holds there is another element
    const Coordinate *whole = nullptr;
    Value far;
    int64_t rest = n;
    for (int64_t d = int64_t(along.size()) - 1; d >= 0; --d) {
      int64_t u = rest % sizes[d];
      rest /= sizes[d];
      int64_t by = u - (op.getSame() ? (sizes[d] - 1) / 2 : sizes[d] - 1);
      if (const Coordinate *share = env.lookup(along[d]); share->whole) {
        if (whole && whole != share->whole)
          return op.emitError("convolves along two axes of tokens; that is not in this version");
        whole = share->whole;
        if (by) {
          FailureOr<TileValue> exists = inside(along[d], by);
          if (failed(exists))
            return failure();
          always.push_back(*exists);
          Value step = derivation.indexConstant(by);
          OpBuilder builder = builderFor({});
          if (!share->isInner())
            step = arith::MulIOp::create(builder, loc, step, derivation.sizeOf(whole->shares[1]->axis));
          far = far ? arith::AddIOp::create(builder, loc, far, step).getResult() : step;
        }
      } else {
        auto [moved, exists] = place(along[d], by);
        at.set(along[d], moved);
        if (exists)
          conditions.push_back(*exists);
      }
      tap.set(taps[d], derivation.newCoordinate({Where::Batch, taps[d], derivation.indexConstant(u)}));
    }
    if (far) {
      const Coordinate *moved = moveWhole(whole, far);
      for (auto [axis, coordinate] : env.all())
        for (int n : {0, 1})
          if (coordinate == whole->shares[n])
            at.set(axis, moved->shares[n]);
          else if (coordinate == whole)
            at.set(axis, moved);
    }
    FailureOr<TileValue> x = evaluate(source, at), w = evaluate(op.getWeights(), tap);
    if (failed(x) || failed(w))
      return failure();
    // Rows outside an array are loaded as 0; what is computed from such rows may be anything.
    Environment inner = at;
    Value stripped = source;
    strip(stripped, inner);
    bool isArray = bool(stripped.getDefiningOp<InputOp>());
    if (isArray)
      llvm::erase_if(conditions, [](const TileValue &condition) { return !condition.dims.empty(); });
    conditions.append(always);
    for (const TileValue &condition : conditions) {
      FailureOr<Dimensions> dims = unite({*x, condition}, op);
      if (failed(dims))
        return failure();
      OpBuilder builder = builderFor(*dims);
      Value value = spread(builder, loc, *x, *dims), where = spread(builder, loc, condition, *dims);
      x = TileValue{arith::SelectOp::create(builder, loc, where, value, emitConstant(builder, loc, value.getType(), 0)),
                    *dims};
    }
    FailureOr<Dimensions> dims = unite(sum ? ArrayRef<TileValue>{*x, *w, *sum} : ArrayRef<TileValue>{*x, *w}, op);
    if (failed(dims))
      return failure();
    OpBuilder builder = builderFor(*dims);
    Value a = spread(builder, loc, *x, *dims), b = spread(builder, loc, *w, *dims);
    Value term = sum ? math::FmaOp::create(builder, loc, a, b, spread(builder, loc, *sum, *dims)).getResult()
                     : arith::MulFOp::create(builder, loc, a, b).getResult();
    sum = TileValue{term, *dims};
  }
  return *sum;
}
