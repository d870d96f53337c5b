// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tiles wider than their features, since products come in steps of 16; and narrow types in wider ones.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::derivation;

TileValue LaunchEmitter::maskPadding(const TileValue &tile, double identity, Location loc) {
  Value stored = tile.value;
  if (auto wide = stored.getDefiningOp<arith::ExtFOp>())
    stored = wide.getIn();
  // What lies outside the view was loaded as 0; beside a slice lie its neighbours.
  if (auto load = stored.getDefiningOp<tile::LoadOp>(); load && identity == 0) {
    APInt begin;
    ArrayRef<int64_t> shape = cast<tile::ViewType>(load.getView().getType()).getShape();
    bool ends = llvm::all_of(llvm::zip(tile.dims, load.getDims()), [&](auto pair) {
      auto [dimension, d] = pair;
      return !dimension.isPadded() || ShapedType::isDynamic(shape[d]) || shape[d] <= dimension.size;
    });
    if (ends && llvm::all_of(load.getDims(), [&](int64_t d) {
          Value index = load.getIndices()[d];
          return !matchPattern(index, m_ConstantInt(&begin)) || begin.isZero();
        }))
      return tile;
  }
  TileValue result = tile;
  for (const Dimension &d : tile.dims) {
    if (!d.isPadded())
      continue;
    OpBuilder builder = builderFor(tile.dims);
    RankedTensorType indices = typeOf({d}, builder.getI32Type());
    Value index = tile::IotaOp::create(builder, loc, indices, zeroIndex());
    Value exists = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, index,
                                         emitConstant(builder, loc, indices, static_cast<double>(d.size)));
    result.value = arith::SelectOp::create(builder, loc, spread(builder, loc, {exists, {d}}, tile.dims), result.value,
                                           emitConstant(builder, loc, result.value.getType(), identity));
  }
  return result;
}

TileValue LaunchEmitter::widen(const TileValue &tile, Location loc) {
  OpBuilder builder = builderFor(tile.dims);
  Type wide = builder.getF32Type();
  if (!tile.dims.empty())
    wide = typeOf(tile.dims, wide);
  return {arith::ExtFOp::create(builder, loc, wide, tile.value), tile.dims};
}
