// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// States whose features are joined from parts of any size, or are products of other features: of outer products there
// are too many for one tile, and between chunks they are made and used piece by piece. Inside a chunk they are not
// made: the sum over all pairs (i, j) of a_i b_j c_i d_j is that of a_i c_i times that of b_j d_j.
#include "passes/attn-to-tile/StateBody.h"

#include <set>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::derivation;

using Where = Coordinate::Kind;

namespace {

// Features of a piece, where parts do not say otherwise.
constexpr int64_t kPiece = 64;

} // namespace

//===--- pieces ---===//

void Derivation::findPieced() {
  for (AxisAttr axis : table.getAxes()) {
    bool joins = axis.isConcat() && llvm::any_of(axis.getOf(), [&](StringAttr part) {
                   AxisAttr entry = table.lookup(part);
                   return entry && entry.isOuter();
                 });
    if (!joins && !axis.isOuter())
      continue;
    pieced.insert(axis.getName());
    for (StringAttr part : axis.getOf())
      if (joins && staticSize(part) == 1)
        pieced.insert(part);
  }
}

/// Where parts of a field begin along an axis, and which of them are products of others: first element, elements of the
/// inner factor.
static void findParts(const Derivation &derivation, Value field, StringAttr axis, int64_t offset,
                      std::set<int64_t> &cuts, std::map<int64_t, int64_t> &pairs) {
  if (!fieldType(field).hasAxis(axis))
    return;
  Operation *op = field.getDefiningOp();
  if (auto rename = dyn_cast<RenameOp>(op))
    return findParts(derivation, rename.getOperand(), rename.getToAttr() == axis ? rename.getFromAttr() : axis, offset,
                     cuts, pairs);
  if (auto concat = dyn_cast<ConcatOp>(op); concat && concat.getAlongAttr() == axis) {
    for (auto [operand, part] : llvm::zip(concat.getOperands(), toAxes(concat.getParts()))) {
      cuts.insert(offset);
      findParts(derivation, operand, part, offset, cuts, pairs);
      offset += derivation.staticSize(part).value_or(1);
    }
    return;
  }
  if (auto flatten = dyn_cast<FlattenOp>(op); flatten && flatten.getToAttr() == axis) {
    pairs[offset] = derivation.staticSize(toAxes(flatten.getFrom()).back()).value_or(1);
    return;
  }
  if (isa<PointwiseOpInterface>(op))
    for (Value operand : op->getOperands())
      findParts(derivation, operand, axis, offset, cuts, pairs);
}

/// The pieces between cuts, first element and size: whole parts, but of products as many rows as a piece holds.
static SmallVector<std::pair<int64_t, int64_t>> piecesBetween(const std::set<int64_t> &cuts,
                                                              const std::map<int64_t, int64_t> &pairs) {
  SmallVector<std::pair<int64_t, int64_t>> result;
  for (auto cut = cuts.begin(); std::next(cut) != cuts.end(); ++cut) {
    int64_t end = *std::next(cut), width = end - *cut;
    if (auto found = pairs.find(*cut); found != pairs.end())
      width = std::max(found->second, kPiece / found->second * found->second);
    for (int64_t first = *cut; first < end; first += width)
      result.emplace_back(first, std::min(width, end - first));
  }
  return result;
}

ArrayRef<const Coordinate *> Derivation::keyPieces(StateOp op) {
  SmallVector<const Coordinate *> &known = pieces[op];
  if (!known.empty())
    return known;
  StringAttr axis = op.getKeyAxisAttr();
  int64_t size = *staticSize(axis);
  std::set<int64_t> cuts{0, size};
  std::map<int64_t, int64_t> pairs;
  findParts(*this, op.getKey(), axis, 0, cuts, pairs);
  for (Operation *user : op->getUsers())
    if (auto read = dyn_cast<ReadOp>(user))
      findParts(*this, read.getQuery(), axis, 0, cuts, pairs);
  if (pairs.empty()) {
    known.push_back(feature(axis, size));
    return known;
  }
  for (auto [first, exist] : piecesBetween(cuts, pairs))
    known.push_back(newCoordinate({Where::Feature, axis, first ? indexConstant(first) : Value(),
                                   static_cast<int64_t>(llvm::alignTo(exist, 16)), exist}));
  return known;
}

const Coordinate *LaunchEmitter::keyOf(StateOp op) {
  ArrayRef<const Coordinate *> pieces = derivation.keyPieces(op);
  return pieces[states ? states->piece : 0];
}

FailureOr<Value> LaunchEmitter::sumPieces(StateOp op, llvm::function_ref<FailureOr<Value>()> make) {
  unsigned before = states->piece;
  Value sum;
  for (states->piece = 0; states->piece < piecesOf(op); ++states->piece) {
    FailureOr<Value> made = make();
    if (failed(made))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    sum = sum ? a.add(sum, *made) : *made;
  }
  states->piece = before;
  return sum;
}

const Coordinate *LaunchEmitter::viewPiece(Value &view, ArrayRef<StringAttr> declared, StringAttr axis,
                                           const Coordinate *place) {
  const auto *found = llvm::find(declared, axis);
  if (found == declared.end() || place->size == place->extent || place->size == derivation.staticSize(axis))
    return place;
  auto &[narrow, whole] = pieceViews[{view.getAsOpaquePointer(), place}];
  if (!narrow) {
    int64_t dim = found - declared.begin();
    auto type = cast<tile::ViewType>(view.getType());
    SmallVector<int64_t> shape(type.getShape());
    shape[dim] = ShapedType::kDynamic;
    Value first = place->base ? place->base : zeroIndex(), size = derivation.indexConstant(place->size);
    OpBuilder builder(derivation.context);
    builder.setInsertionPointToStart(&launch.getBody().front());
    narrow = tile::NarrowOp::create(builder, launch.getLoc(),
                                    tile::ViewType::get(derivation.context, shape, type.getElementType()), view,
                                    uint64_t(dim), first, size);
    Coordinate own = *place;
    own.base = {};
    whole = derivation.newCoordinate(own);
  }
  view = narrow;
  return whole;
}

//===--- products of features ---===//

FailureOr<TileValue> LaunchEmitter::pairs(FlattenOp op, const Environment &env) {
  const Coordinate *whole = env.lookup(op.getToAttr());
  SmallVector<StringAttr> from = toAxes(op.getFrom());
  AxisAttr entry = derivation.table.lookup(op.getToAttr());
  APInt begin(64, 0);
  bool isKnown = !whole->base || matchPattern(whole->base, m_ConstantInt(&begin));
  if (whole->kind != Where::Feature || !entry || !entry.isOuter() || !isKnown)
    return op.emitError("is read at another place than the tokens of a walk; that is not in this version");
  FailureOr<int64_t> inner = derivation.featureSize(from[1], op);
  if (failed(inner))
    return failure();
  int64_t first = begin.getSExtValue(), count = whole->size ? whole->size : whole->extent;
  if (first % *inner || count % *inner)
    return op.emitError("products of features are taken from element ")
           << first << " to " << first + count << "; in this version all of '" << from[1].getValue()
           << "' together, which are " << *inner;
  StringAttr axis = op.getToAttr(); // whose name the result's dimension has
  const Coordinate *columns = partOf(derivation.feature(sameAxis(from[1]), *inner), sameAxis(from[1]), 0, *inner, 0);
  Dimension joined = dimensionOf(whole);
  SmallVector<Value> tiles;
  Dimensions dims;
  for (int64_t n = first / *inner; n < (first + count) / *inner; ++n) {
    const Coordinate *&row = pairRows[{from[0].getAsOpaquePointer(), n}];
    if (!row)
      row = derivation.newCoordinate({Where::Batch, from[0], derivation.indexConstant(n)});
    FailureOr<TileValue> tile = evaluate(op.getOperand(), env.with(from[0], row).with(from[1], columns));
    if (failed(tile))
      return failure();
    dims = tile->dims;
    auto place = llvm::find(dims, dimensionOf(columns));
    if (dims.empty() || place != std::prev(dims.end()))
      return op.emitError("products of features that do not vary with '")
             << axis.getValue() << "' and the tokens alone are not in this version";
    tiles.push_back(tile->value);
  }
  dims.back() = joined;
  Type element = getElementTypeOrSelf(tiles.front());
  OpBuilder builder = builderFor(dims);
  if (count < joined.extent) {
    Dimensions padding = dims;
    padding.back().extent = joined.extent - count;
    tiles.push_back(emitConstant(builder, op.getLoc(), typeOf(padding, element), 0));
  }
  if (tiles.size() == 1)
    return TileValue{tiles.front(), dims};
  return TileValue{tile::ConcatOp::create(builder, op.getLoc(), typeOf(dims, element), tiles, dims.size() - 1), dims};
}

StringAttr LaunchEmitter::sameAxis(StringAttr axis) const {
  AxisAttr entry = derivation.table.lookup(axis);
  return entry && entry.isShare() && entry.getDivisor() == 1 ? entry.getRaw() : axis;
}

double LaunchEmitter::peel(Side &side) {
  double scale = 1;
  for (;;) {
    Operation *op = side.field.getDefiningOp();
    auto number = [&](Value x) {
      return fieldType(x).getAxes().empty() ? derivation.constantOf(x) : std::optional<double>();
    };
    if (auto rename = dyn_cast<RenameOp>(op)) {
      if (rename.getToAttr() == side.axis)
        side.axis = rename.getFromAttr();
      else
        side.env.set(rename.getFromAttr(), side.env.lookup(rename.getToAttr()));
      side.field = rename.getOperand();
    } else if (auto mul = dyn_cast<MulOp>(op); mul && (number(mul.getLhs()) || number(mul.getRhs()))) {
      bool left = number(mul.getLhs()).has_value();
      scale *= left ? *number(mul.getLhs()) : *number(mul.getRhs());
      side.field = left ? mul.getRhs() : mul.getLhs();
    } else if (auto div = dyn_cast<DivOp>(op); div && number(div.getRhs())) {
      scale /= *number(div.getRhs());
      side.field = div.getLhs();
    } else {
      return scale;
    }
  }
}

bool LaunchEmitter::splitPairs(const Side &side, Side &outer, Side &inner) {
  auto flatten = side.field.getDefiningOp<FlattenOp>();
  if (!flatten || flatten.getToAttr() != side.axis || flatten.getFrom().size() != 2)
    return false;
  SmallVector<StringAttr> from = toAxes(flatten.getFrom());
  auto product = flatten.getOperand().getDefiningOp<MulOp>();
  if (!product)
    return false;
  Value first = product.getLhs(), second = product.getRhs();
  auto has = [&](Value x, StringAttr axis) { return fieldType(x).hasAxis(axis); };
  if (has(first, from[1]))
    std::swap(first, second);
  if (has(first, from[1]) || has(second, from[0]))
    return false;
  outer = {first, side.env, from[0]};
  inner = {second, side.env, from[1]};
  return true;
}

FailureOr<Value> LaunchEmitter::featureProduct(Side query, Side key, StateOp op) {
  double scale = peel(query) * peel(key);
  auto scaled = [&](FailureOr<Value> product) -> FailureOr<Value> {
    if (failed(product) || scale == 1)
      return product;
    Arith a{builderFor({}), op.getLoc()};
    return a.mul(*product, a.constantLike(*product, scale));
  };
  std::optional<int64_t> size = derivation.staticSize(query.axis);
  if (size == 1)
    return scaled(scalarProduct(query, key, op));
  auto queries = query.field.getDefiningOp<ConcatOp>(), keys = key.field.getDefiningOp<ConcatOp>();
  auto sizesOf = [&](ConcatOp concat) {
    return llvm::map_to_vector(toAxes(concat.getParts()), [&](StringAttr part) { return derivation.staticSize(part); });
  };
  if (queries && keys && queries.getAlongAttr() == query.axis && keys.getAlongAttr() == key.axis &&
      sizesOf(queries) == sizesOf(keys)) {
    Value sum;
    for (auto [n, q, k] : llvm::enumerate(toAxes(queries.getParts()), toAxes(keys.getParts()))) {
      FailureOr<Value> part =
          featureProduct({queries.getOperands()[n], query.env, q}, {keys.getOperands()[n], key.env, k}, op);
      if (failed(part))
        return failure();
      Arith a{builderFor({}), op.getLoc()};
      sum = sum ? a.add(sum, *part) : *part;
    }
    return scaled(sum);
  }
  Side queryOuter, queryInner, keyOuter, keyInner;
  if (splitPairs(query, queryOuter, queryInner) && splitPairs(key, keyOuter, keyInner) &&
      derivation.staticSize(queryInner.axis) == derivation.staticSize(keyInner.axis)) {
    FailureOr<Value> outer = featureProduct(queryOuter, keyOuter, op), inner = featureProduct(queryInner, keyInner, op);
    if (failed(outer) || failed(inner))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    return scaled(a.mul(*outer, *inner));
  }
  // Anything else is made, piece by piece.
  std::set<int64_t> cuts{0, *size};
  std::map<int64_t, int64_t> pairs;
  for (const Side &side : {query, key})
    findParts(derivation, side.field, side.axis, 0, cuts, pairs);
  Value sum;
  StringAttr axis = sameAxis(query.axis);
  const Coordinate *whole = derivation.feature(axis, *size);
  for (auto [first, exist] : piecesBetween(cuts, pairs)) {
    bool isAll = exist == *size;
    const Coordinate *place = isAll ? whole : partOf(whole, axis, first, llvm::alignTo(exist, 16), exist);
    FailureOr<Value> part = productAt(query, key, place, op);
    if (failed(part))
      return failure();
    Arith a{builderFor({}), op.getLoc()};
    sum = sum ? a.add(sum, *part) : *part;
  }
  return scaled(sum);
}

FailureOr<Value> LaunchEmitter::productAt(const Side &query, const Side &key, const Coordinate *place, StateOp op) {
  Side sides[2] = {query, key};
  for (Side &side : sides) {
    side.env.set(side.axis, place);
    strip(side.field, side.env);
  }
  Value &known =
      states->chunk->products[{sides[0].field.getAsOpaquePointer(), sides[1].field.getAsOpaquePointer(), place}];
  if (known)
    return known;
  FailureOr<Value> a = featureOperand(query, place, op, {}), b = featureOperand(key, place, op, {});
  if (failed(a) || failed(b))
    return failure();
  Arith arith{builderFor({}), op.getLoc()};
  Type square = RankedTensorType::get({row->extent, row->extent}, arith.b.getF32Type());
  return known = arith.dot(*a, *b, arith.constant(square, 0), 1);
}

/// Of one feature.
FailureOr<Value> LaunchEmitter::scalarProduct(const Side &query, const Side &key, StateOp op) {
  const Coordinate *only = derivation.newCoordinate({Where::Batch, query.axis, zeroIndex()});
  Arith a{builderFor({}), op.getLoc()};
  Type square = RankedTensorType::get({row->extent, row->extent}, a.b.getF32Type());
  SmallVector<TileValue> sides;
  for (const Side *side : {&query, &key}) {
    FailureOr<TileValue> value = evaluate(side->field, side->env.with(side->axis, only));
    if (failed(value))
      return failure();
    if (value->dims.size() > 1 || (value->dims.size() == 1 && value->dims[0].kind != Where::Row))
      return op.emitError("has a feature that varies along an axis inside tiles; that is not in this version");
    sides.push_back(*value);
  }
  a.b = builderFor({});
  if (sides[0].dims.empty() && sides[1].dims.empty())
    return a.spread(a.mul(sides[0].value, sides[1].value), square, 0);
  Value rows = a.spread(sides[0].value, square, 0), columns = a.spread(sides[1].value, square, 1);
  return a.mul(rows, columns);
}
