// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Running sums along tokens, as launches before the one that needs them: sums within tiles, a scan of the tiles'
// totals, and their addition. Work is spread over tiles even where there is one sequence; all orders of summation are
// fixed.
#include "passes/attn-to-tile/Derivation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

namespace {

/// The pieces of one scan that its three launches share.
struct Scan {
  Location loc;
  int64_t rows = 0;           // of a tile
  int64_t features = 0;       // of a tile, padded; 0: none
  size_t rank = 0, token = 0; // of the views, and which of their dimensions runs along tokens

  Type tile(OpBuilder &b) const {
    return features ? RankedTensorType::get({rows, features}, b.getF32Type())
                    : RankedTensorType::get({rows}, b.getF32Type());
  }
  Type total(OpBuilder &b) const {
    return features ? Type(RankedTensorType::get({features}, b.getF32Type())) : Type(b.getF32Type());
  }
  SmallVector<int64_t> dims() const {
    SmallVector<int64_t> result{int64_t(token)};
    if (features)
      result.push_back(rank - 1);
    return result;
  }
  /// The place of the rows from `row` on.
  SmallVector<Value> at(ValueRange batch, Value row, Value zero) const {
    SmallVector<Value> result(batch);
    result.push_back(row);
    if (features)
      result.push_back(zero);
    return result;
  }
  Value load(OpBuilder &b, Value view, ArrayRef<Value> indices) const {
    return tile::LoadOp::create(b, loc, tile(b), view, indices, Value(), dims(), b.getF32FloatAttr(0));
  }
  Value plus(OpBuilder &b, Value sums, Value before) const {
    Value wide = features ? Value(tile::BroadcastOp::create(b, loc, tile(b), before, ArrayRef<int64_t>{1}))
                          : Value(tile::SplatOp::create(b, loc, tile(b), before));
    return arith::AddFOp::create(b, loc, sums, wide);
  }
};

} // namespace

FailureOr<Prepared> Derivation::scan(attn::ScanOp op) {
  auto key = std::make_tuple(op.getResult().getAsOpaquePointer(), static_cast<const void *>(nullptr),
                             static_cast<const void *>(nullptr));
  if (auto found = prepared.find(key); found != prepared.end())
    return found->second;
  if (open.size() > 16)
    return op.emitError("sums along tokens are nested too deeply; at most 16 launches may wait for one another");
  auto type = cast<FieldType>(op.getResult().getType());
  if (!type.isReal())
    return op.emitError("sums integers along '") << op.getAxis() << "'; in this version tiles sum reals";
  if (AxisAttr axis = table.lookup(op.getAxisAttr()); axis && axis.isWalk())
    return op.emitError("sums along the walk '") << op.getAxis() << "'; sum along the key axis instead";
  if (isFeature(op.getAxisAttr()))
    return op.emitError("sums along '") << op.getAxis()
                                        << "', an axis inside tiles; in this version sums run along tokens";

  FailureOr<Prepared> made = layOut(op.getResult(), op.getAxisAttr(), Float32Type::get(context), op);
  if (failed(made))
    return failure();
  Prepared result = *made;
  Scan scan{op.getLoc()};
  scan.rank = result.axes.size();
  SmallVector<StringAttr> batch;
  for (StringAttr axis : result.axes)
    if (axis != op.getAxisAttr() && !isFeature(axis))
      batch.push_back(axis);
  scan.token = batch.size();
  if (batch.size() + 1 < result.axes.size()) {
    FailureOr<int64_t> size = featureSize(result.axes.back(), op);
    if (failed(size))
      return failure();
    scan.features = feature(result.axes.back(), *size)->extent;
  }
  // One warp holds a tile: 64 registers of a thread at most, 128 where there are more features.
  scan.rows = !scan.features ? 128 : scan.features <= 64 ? 32 : 16;

  // Sums within tiles, the total of each tile, and the sum of the totals before each tile.
  std::string name = workspaceName(op.getOperand());
  SmallVector<std::string> dims;
  Type full = viewType(result.axes, Float32Type::get(context), dims);
  dims[scan.token] = "ceildiv(" + rawOf(op.getAxisAttr()).str() + ", " + std::to_string(scan.rows) + ")";
  SmallVector<int64_t> shape(cast<tile::ViewType>(full).getShape());
  shape[scan.token] = ShapedType::kDynamic;
  if (std::optional<int64_t> tokens = staticSize(op.getAxisAttr())) {
    shape[scan.token] = (*tokens + scan.rows - 1) / scan.rows;
    dims[scan.token] = std::to_string(shape[scan.token]);
  }
  Type perTile = tile::ViewType::get(context, shape, Float32Type::get(context));
  auto workspace = [&](StringRef suffix, Type viewOfType, ArrayRef<std::string> names) -> Value {
    SmallVector<Attribute> attrs;
    for (const std::string &dim : names)
      attrs.push_back(StringAttr::get(context, dim));
    OpBuilder b = head();
    return tile::WorkspaceOp::create(b, op.getLoc(), viewOfType, b.getStringAttr(uniqueName(name + suffix.str())),
                                     b.getArrayAttr(attrs));
  };
  SmallVector<std::string> fullDims;
  (void)viewType(result.axes, Float32Type::get(context), fullDims);
  Value within = workspace("_within", full, fullDims), totals = workspace("_totals", perTile, dims),
        before = workspace("_before", perTile, dims);

  Operation *place = open.back();
  Store store{op.getOperand(), within, result.axes, Float32Type::get(context), op};
  store.totals = totals;
  if (failed(emitLaunch(kernelName(uniqueName("scan_" + name)), op.getAxisAttr(), batch, scan.rows, store, place)))
    return failure();

  // The other two need no fields.
  Value size = sizeOf(op.getAxisAttr()), rows = indexConstant(scan.rows), zero = indexConstant(0);
  OpBuilder atHead = head();
  Value tiles = arith::CeilDivUIOp::create(atHead, scan.loc, size, rows);
  Value steps = arith::CeilDivUIOp::create(atHead, scan.loc, tiles, rows), one = indexConstant(1);
  auto launch = [&](StringRef prefix, bool perTile) {
    SmallVector<Value> extents;
    SmallVector<Attribute> axes;
    for (StringAttr axis : batch) {
      extents.push_back(sizeOf(axis));
      axes.push_back(axis);
    }
    if (perTile) {
      extents.push_back(tiles);
      axes.push_back(rawOf(op.getAxisAttr()));
    }
    OpBuilder b(place);
    auto result = tile::LaunchOp::create(b, scan.loc, b.getStringAttr(kernelName(uniqueName((prefix + name).str()))),
                                         b.getArrayAttr(axes), extents, DictionaryAttr());
    Block *block = new Block;
    result.getBody().push_back(block);
    for (size_t n = 0; n < extents.size(); ++n)
      block->addArgument(b.getIndexType(), scan.loc);
    return block;
  };

  // Rows of totals are read one place early: what comes before row 0 lies outside the view and is 0.
  Block *body = launch("scan_totals_", false);
  OpBuilder b = OpBuilder::atBlockEnd(body);
  Value carry = emitConstant(b, scan.loc, scan.total(b), 0);
  auto loop = scf::ForOp::create(b, scan.loc, zero, steps, one, carry);
  b.setInsertionPointToStart(loop.getBody());
  Value first = arith::MulIOp::create(b, scan.loc, loop.getInductionVar(), rows);
  Value early = arith::SubIOp::create(b, scan.loc, first, one);
  Value source = scan.load(b, totals, scan.at(body->getArguments(), early, zero));
  auto sums = tile::ScanOp::create(b, scan.loc, scan.tile(b), scan.total(b), source, 0);
  tile::StoreOp::create(b, scan.loc, scan.plus(b, sums.getTile(), loop.getRegionIterArg(0)), before,
                        scan.at(body->getArguments(), first, zero), scan.dims());
  Value next = arith::AddFOp::create(b, scan.loc, loop.getRegionIterArg(0), sums.getTotal());
  scf::YieldOp::create(b, scan.loc, next);

  body = launch("scan_add_", true);
  b = OpBuilder::atBlockEnd(body);
  auto batchIndices = body->getArguments().drop_back();
  Value number = body->getArguments().back();
  SmallVector<Value> here = scan.at(batchIndices, arith::MulIOp::create(b, scan.loc, number, rows), zero);
  Value offset;
  if (scan.features)
    offset = tile::LoadOp::create(b, scan.loc, cast<RankedTensorType>(scan.total(b)), before,
                                  scan.at(batchIndices, number, zero), Value(),
                                  ArrayRef<int64_t>{int64_t(scan.rank) - 1}, b.getF32FloatAttr(0));
  else
    offset = tile::LoadScalarOp::create(b, scan.loc, b.getF32Type(), before, scan.at(batchIndices, number, zero));
  Value sum = scan.plus(b, scan.load(b, within, here), offset);
  tile::StoreOp::create(b, scan.loc, sum, result.view, here, scan.dims());
  return prepared[key] = result;
}

LogicalResult LaunchEmitter::storeScanned(const Store &store, Value tile, ArrayRef<Value> indices,
                                          ArrayRef<int64_t> dims) {
  Location loc = store.at->getLoc();
  OpBuilder builder = builderFor({});
  auto type = cast<RankedTensorType>(tile.getType());
  Type total = type.getRank() == 1 ? Type(builder.getF32Type())
                                   : Type(RankedTensorType::get({type.getDimSize(1)}, builder.getF32Type()));
  auto scan = tile::ScanOp::create(builder, loc, type, total, tile, 0);
  tile::StoreOp::create(builder, loc, scan.getTile(), store.view, indices, dims);
  SmallVector<Value> place(indices);
  place[dims[0]] = launch.getBody().front().getArguments().back(); // the number of the tile
  if (type.getRank() == 1)
    tile::StoreScalarOp::create(builder, loc, scan.getTotal(), store.totals, place);
  else
    tile::StoreOp::create(builder, loc, scan.getTotal(), store.totals, place, dims.drop_front());
  return success();
}

FailureOr<TileValue> LaunchEmitter::loadScan(attn::ScanOp op, const Environment &env) {
  FailureOr<Prepared> workspace = derivation.scan(op);
  if (failed(workspace))
    return failure();
  return load(op.getLoc(), op, workspace->view, workspace->axes, env);
}
