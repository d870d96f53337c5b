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
    if (const Coordinate *at = env.lookup(axis); at->kind == Where::Feature || at->kind == Where::Gathered || at->whole)
      return op.emitError("convolves along '")
             << axis.getValue()
             << "', which lies inside tiles as features or with another axis; that is not in this "
                "version";
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

  Value source = op.getOperand();
  std::optional<TileValue> sum;
  for (int64_t n = 0; n < count; ++n) {
    Environment at = env, tap = env;
    SmallVector<TileValue> conditions;
    int64_t rest = n;
    for (int64_t d = int64_t(along.size()) - 1; d >= 0; --d) {
      int64_t u = rest % sizes[d];
      rest /= sizes[d];
      auto [moved, inside] = place(along[d], u - (op.getSame() ? (sizes[d] - 1) / 2 : sizes[d] - 1));
      at.set(along[d], moved);
      if (inside)
        conditions.push_back(*inside);
      tap.set(taps[d], derivation.newCoordinate({Where::Batch, taps[d], derivation.indexConstant(u)}));
    }
    FailureOr<TileValue> x = evaluate(source, at), w = evaluate(op.getWeights(), tap);
    if (failed(x) || failed(w))
      return failure();
    // Rows outside an array are loaded as 0; what is computed from such rows may be anything.
    Environment inner = at;
    Value stripped = source;
    strip(stripped, inner);
    bool isArray = bool(stripped.getDefiningOp<InputOp>());
    for (const TileValue &condition : conditions) {
      if (isArray && !condition.dims.empty())
        continue;
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
