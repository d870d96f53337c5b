// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-weights-to-state: see Passes.td. Predicates are sets of distances i - j, as intervals.
#include "passes/attn/Passes.h"
#include "passes/attn/Retype.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"

#include <algorithm>

namespace fovea::attn {
#define GEN_PASS_DEF_ATTNWEIGHTSTOSTATEPASS
#include "passes/attn/Passes.h.inc"
} // namespace fovea::attn

using namespace mlir;
using namespace fovea::attn;

namespace {

FieldType fieldOf(Value value) { return cast<FieldType>(value.getType()); }

//===--- predicates ---===//

/// Sums of positions stay far below it.
constexpr int64_t kFar = int64_t(1) << 60, kLargest = int64_t(1) << 40;

/// Distances, as disjoint closed intervals in order.
using Distances = SmallVector<std::pair<int64_t, int64_t>>;

Distances complement(const Distances &set) {
  Distances result;
  int64_t next = -kFar;
  for (auto [lo, hi] : set) {
    if (next < lo)
      result.push_back({next, lo - 1});
    next = hi + 1;
  }
  if (next <= kFar)
    result.push_back({next, kFar});
  return result;
}
Distances unite(Distances a, const Distances &b) {
  a.append(b.begin(), b.end());
  llvm::sort(a);
  Distances result;
  for (auto [lo, hi] : a)
    if (!result.empty() && lo <= result.back().second + 1)
      result.back().second = std::max(result.back().second, hi);
    else
      result.push_back({lo, hi});
  return result;
}

/// query * i + key * j + rest
struct Linear {
  int64_t query = 0, key = 0, rest = 0;
};

struct Predicate {
  StringAttr walk, query;
  unsigned steps = 0; // a graph that shares nodes has exponentially many paths

  std::optional<Linear> linear(Value value) {
    if (++steps > 1000)
      return std::nullopt;
    Operation *op = value.getDefiningOp();
    Linear result;
    if (auto index = dyn_cast<IndexOp>(op)) {
      (index.getAxisAttr() == walk ? result.key : result.query) = 1;
      return index.getAxisAttr() == walk || index.getAxisAttr() == query ? std::optional(result) : std::nullopt;
    }
    if (auto position = dyn_cast<PositionOp>(op)) {
      result.query = 1;
      return position.getAxisAttr() == query ? std::optional(result) : std::nullopt;
    }
    if (auto position = dyn_cast<QueryPositionOp>(op)) { // keys and queries are one axis
      result.query = 1;
      return position.getQueryAttr() == query && position.getKeysAttr() == query ? std::optional(result) : std::nullopt;
    }
    if (auto constant = dyn_cast<ConstantOp>(op)) {
      auto number = dyn_cast<IntegerAttr>(constant.getValue());
      if (!number || isa<BoolAttr>(constant.getValue()) || std::abs(number.getInt()) > kLargest)
        return std::nullopt;
      result.rest = number.getInt();
      return result;
    }
    if (!isa<AddOp, SubOp, NegOp>(op))
      return std::nullopt;
    std::optional<Linear> a = linear(op->getOperand(0)), b = Linear();
    if (op->getNumOperands() == 2)
      b = linear(op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    if (isa<NegOp>(op))
      std::swap(a, b);
    int64_t sign = isa<AddOp>(op) ? 1 : -1;
    result = {a->query + sign * b->query, a->key + sign * b->key, a->rest + sign * b->rest};
    if (std::max({std::abs(result.query), std::abs(result.key), std::abs(result.rest)}) > kLargest)
      return std::nullopt;
    return result;
  }

  std::optional<Distances> distances(Value value) {
    if (++steps > 1000)
      return std::nullopt;
    Operation *op = value.getDefiningOp();
    if (auto constant = dyn_cast<ConstantOp>(op))
      return cast<BoolAttr>(constant.getValue()).getValue() ? Distances{{-kFar, kFar}} : Distances();
    if (isa<NotOp>(op)) {
      std::optional<Distances> inner = distances(op->getOperand(0));
      return inner ? std::optional(complement(*inner)) : std::nullopt;
    }
    if (isa<AndOp, OrOp>(op)) {
      std::optional<Distances> a = distances(op->getOperand(0)), b = distances(op->getOperand(1));
      if (!a || !b)
        return std::nullopt;
      return isa<OrOp>(op) ? unite(*a, *b) : complement(unite(complement(*a), complement(*b)));
    }
    if (!isa<EqOp, NeOp, LtOp, LeOp, GtOp, GeOp>(op) || !fieldOf(op->getOperand(0)).isInt())
      return std::nullopt;
    std::optional<Linear> a = linear(op->getOperand(0)), b = linear(op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    // factor * (i - j) + rest against 0
    int64_t factor = a->query - b->query, rest = a->rest - b->rest;
    if (factor != -(a->key - b->key) || std::abs(factor) != 1)
      return std::nullopt;
    int64_t zero = -factor * rest; // the distance at which both sides are equal
    Distances below{{-kFar, zero - 1}}, equal{{zero, zero}}, above{{zero + 1, kFar}};
    if (factor < 0)
      std::swap(below, above);
    if (isa<EqOp>(op))
      return equal;
    if (isa<NeOp>(op))
      return complement(equal);
    if (isa<LtOp>(op))
      return below;
    if (isa<LeOp>(op))
      return unite(below, equal);
    return isa<GtOp>(op) ? above : unite(above, equal);
  }

  /// The n of a predicate j <= i - n.
  std::optional<int64_t> lag(Value value) {
    std::optional<Distances> set = value ? distances(value) : std::nullopt;
    if (!set || set->size() != 1 || set->front().second != kFar || set->front().first < 0 ||
        set->front().first > INT32_MAX)
      return std::nullopt;
    return set->front().first;
  }
};

//===--- weights ---===//

/// A product of fields of the query, fields of the key, and at most one dot of both.
struct Factors {
  StringAttr walk, query;
  SmallVector<Value> ofQuery, ofKey;
  DotOp dot;
  Value dotQuery, dotKey;

  bool collect(Value value, bool mayDot) {
    if (!fieldOf(value).hasAxis(walk)) {
      ofQuery.push_back(value);
      return true;
    }
    if (!fieldOf(value).hasAxis(query)) {
      ofKey.push_back(value);
      return true;
    }
    if (auto product = value.getDefiningOp<MulOp>())
      return collect(product.getLhs(), mayDot) && collect(product.getRhs(), mayDot);
    auto pair = value.getDefiningOp<DotOp>();
    if (!pair || !mayDot || dot || pair.getAxes().size() != 1)
      return false;
    dot = pair;
    bool keysLeft = fieldOf(pair.getLhs()).hasAxis(walk);
    dotKey = keysLeft ? pair.getLhs() : pair.getRhs();
    dotQuery = keysLeft ? pair.getRhs() : pair.getLhs();
    return !fieldOf(dotKey).hasAxis(query) && !fieldOf(dotQuery).hasAxis(walk);
  }
};

class Rewriter {
public:
  explicit Rewriter(WeightsOp weights)
      : attention(weights->getParentOfType<AttentionOp>()), weights(weights), walk(weights.getOverAttr()),
        token(weights.getQueryAttr()) {}

  bool run() {
    AxisAttr entry = attention.getAxes().lookup(walk);
    if (!weights.isFree() || entry.getRaw() != token || weights.getQueryParts() || weights->use_empty())
      return false;
    std::optional<int64_t> found = Predicate{walk, token}.lag(weights.getWhere());
    Factors factors{walk, token, {}, {}, {}, {}, {}};
    if (!found || !factors.collect(weights.getScore(), /*mayDot=*/true) || !factors.dot)
      return false;
    lag = *found;
    key = cast<StringAttr>(factors.dot.getAxes()[0]);
    if (llvm::is_contained(weights.getWeightsType().getRows(), key))
      return false;
    SmallVector<Plan> plans;
    for (Operation *user : weights->getUsers()) {
      Plan plan{user, factors.ofQuery, factors.ofKey, {}};
      if (auto expect = dyn_cast<ExpectOp>(user)) {
        Factors more{walk, token, {}, {}, {}, {}, {}};
        if (expect.getCoefficient() && !more.collect(expect.getCoefficient(), /*mayDot=*/false))
          return false;
        plan.ofQuery.append(more.ofQuery);
        plan.ofKey.append(more.ofKey);
        plan.ofKey.push_back(expect.getValue());
      }
      // Axes of the values that are no rows: the last one is that of columns, others are batch axes.
      for (Value value : plan.ofKey)
        for (StringAttr axis : fieldOf(value).getAxes())
          if (axis != walk && !llvm::is_contained(weights.getWeightsType().getRows(), axis)) {
            plan.column = axis;
            if (axis == key && !attention.getAxes().getStaticSize(key))
              return false; // it needs an axis of another name and of the same size
          }
      plans.push_back(plan);
    }
    for (Plan &plan : plans)
      rewrite(plan, factors);
    weights.erase();
    return true;
  }

private:
  struct Plan {
    Operation *user;
    SmallVector<Value> ofQuery, ofKey;
    StringAttr column;
  };

  AttentionOp attention;
  WeightsOp weights;
  StringAttr walk, token, key, renamedKey;
  int64_t lag = 0;
  llvm::DenseMap<Value, Value> renamed; // for the user that is rewritten

  /// A field of the key as one of the token: made again where it was made for the walk.
  Value atToken(OpBuilder &builder, Location loc, Value value) {
    if (!fieldOf(value).hasAxis(walk))
      return value;
    if (Value known = renamed.lookup(value))
      return known;
    Operation *op = value.getDefiningOp();
    Value result;
    if (auto rename = dyn_cast<RenameOp>(op); rename && rename.getToAttr() == walk && rename.getFromAttr() == token)
      result = rename.getOperand();
    else if (auto index = dyn_cast<IndexOp>(op); index && index.getAxisAttr() == walk)
      result = IndexOp::create(builder, loc, token);
    else if (isa<PointwiseOpInterface>(op) || namesOthers(op))
      result = again(builder, loc, op);
    else
      result = RenameOp::create(builder, loc, value, walk, token);
    return renamed[value] = result;
  }

  /// An operation that reduces axes other than the walk, of fields that are none of the query.
  bool namesOthers(Operation *op) const {
    SmallVector<StringAttr> axes;
    if (auto reduce = dyn_cast<ReduceOp>(op))
      axes = toAxes(reduce.getAxes());
    else if (auto product = dyn_cast<DotOp>(op))
      axes = toAxes(product.getAxes());
    else
      return false;
    return llvm::none_of(op->getOperands(), [&](Value operand) { return fieldOf(operand).hasAxis(token); });
  }

  Value again(OpBuilder &builder, Location loc, Operation *op) {
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(atToken(builder, loc, operand));
    IRMapping mapping;
    mapping.map(op->getOperands(), operands);
    Operation *copy = builder.clone(*op, mapping);
    SmallVector<StringAttr> axes(fieldOf(op->getResult(0)).getAxes());
    llvm::replace(axes, walk, token);
    copy->getResult(0).setType(FieldType::get(op->getContext(), axes, fieldOf(op->getResult(0)).getKind()));
    return copy->getResult(0);
  }

  /// A field of the token as one of the token that is written at a step.
  Value late(OpBuilder &builder, Location loc, Value value) {
    if (lag < 2 || !fieldOf(value).hasAxis(token))
      return value;
    Value index = IndexOp::create(builder, loc, token);
    Value shifted = SubOp::create(builder, loc, index, ConstantOp::create(builder, loc, lag));
    return GatherOp::create(builder, loc, value, token, shifted);
  }

  /// An axis like that of the key, under a name that no other has.
  StringAttr makeKeyAxis() {
    if (renamedKey)
      return renamedKey;
    AxisTableAttr table = attention.getAxes();
    std::string name;
    for (unsigned n = 2; name.empty() || table.lookup(name); ++n)
      name = (key.getValue() + "_" + Twine(n)).str();
    SmallVector<AxisAttr> axes(table.getAxes());
    axes.push_back(AxisAttr::get(attention.getContext(), name, *table.getStaticSize(key)));
    attention.setAxesAttr(AxisTableAttr::get(attention.getContext(), axes));
    return renamedKey = StringAttr::get(attention.getContext(), name);
  }

  void rewrite(Plan &plan, const Factors &factors) {
    OpBuilder builder(plan.user);
    renamed.clear();
    Location loc = plan.user->getLoc();
    Value keys = atToken(builder, loc, factors.dotKey), queries = factors.dotQuery, value;
    for (Value factor : plan.ofKey) {
      factor = atToken(builder, loc, factor);
      value = value ? MulOp::create(builder, loc, value, factor).getResult() : factor;
    }
    if (!value)
      value = ConstantOp::create(builder, loc, 1.0);
    StringAttr keyAxis = key;
    if (fieldOf(value).hasAxis(key)) {
      keyAxis = makeKeyAxis();
      keys = RenameOp::create(builder, loc, keys, key, keyAxis);
      queries = RenameOp::create(builder, loc, queries, key, keyAxis);
    }
    bool isShifted = fieldOf(keys).hasAxis(token) || fieldOf(value).hasAxis(token);
    keys = late(builder, loc, keys);
    value = late(builder, loc, value);
    Value where;
    if (lag > 1 && !isShifted) // nothing that is 0 before the first key
      where = GeOp::create(builder, loc, IndexOp::create(builder, loc, token).getResult(),
                           ConstantOp::create(builder, loc, lag).getResult());
    Value state = StateOp::create(builder, loc, token, UnitAttr(), keys, keyAxis, value, plan.column, Value(), Value(),
                                  where, Value(), StringAttr(), Value());
    auto point = ReadPointAttr::get(builder.getContext(), lag == 1 ? ReadPoint::Prev : ReadPoint::After);
    Value result = ReadOp::create(builder, loc, point, state, queries);
    for (Value factor : plan.ofQuery)
      result = MulOp::create(builder, loc, result, factor);
    // The axes may come in another order: types are inferred again at the end.
    plan.user->getResult(0).replaceAllUsesWith(result);
    plan.user->erase();
  }
};

struct WeightsToStatePass : fovea::attn::impl::AttnWeightsToStatePassBase<WeightsToStatePass> {
  using AttnWeightsToStatePassBase::AttnWeightsToStatePassBase;

  void runOnOperation() override {
    bool changed = false;
    SmallVector<WeightsOp> all(getOperation().getBody().getOps<WeightsOp>());
    for (WeightsOp weights : all)
      changed |= Rewriter(weights).run();
    if (changed && failed(inferTypesAgain(getOperation())))
      signalPassFailure();
  }
};

} // namespace
