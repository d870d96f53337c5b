// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluates an attention. Fields that are no pair expressions are computed once and kept whole. The users of weights
// are computed together, a few query rows at a time, and the pair expressions that they read exist for these rows only.
// The users of a state are computed together in one pass over the tokens, which keeps the state at one token.
#include "reference/attn/Field.h"
#include "reference/attn/Reference.h"

#include "dialect/attn/Pointwise.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::reference;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Query rows per step: a row of scores of 4096 keys then stays in the second-level cache.
constexpr int64_t kRows = 16;
/// Elements of a pair expression per step where its rows have no cost of their own: half of a second-level cache.
constexpr int64_t kStepElements = int64_t(1) << 16;
/// Elements of one field, 4 GiB: beyond it the answer is an error and not an exhausted machine.
constexpr int64_t kMaxElements = int64_t(1) << 29;

template <typename... Args> llvm::Error error(const char *format, Args &&...args) {
  return llvm::createStringError(llvm::formatv(format, std::forward<Args>(args)...).str());
}

struct Evaluator {
  attn::AttentionOp attention;
  attn::AxisTableAttr table;
  const AxisSizes &sizes;
  const Tensors &inputs;
  Tensors outputs;

  Evaluator(attn::AttentionOp attention, const AxisSizes &sizes, const Tensors &inputs)
      : attention(attention), table(attention.getAxes()), sizes(sizes), inputs(inputs) {}

  llvm::Error run();

private:
  using Memo = llvm::DenseMap<Value, Field>;
  using Caches = llvm::DenseMap<Operation *, Packed>;

  int64_t sizeOf(StringAttr axis) const { return sizes.at(axis.str()); }
  SmallVector<Dim, 5> dimsOf(ArrayRef<StringAttr> axes) const {
    SmallVector<Dim, 5> dims;
    for (StringAttr axis : axes)
      dims.push_back({axis, sizeOf(axis), 0});
    return dims;
  }

  SmallVector<StringAttr> queryAxesOf(Value value) const;
  bool isPair(Value value) const { return !queryAxesOf(value).empty(); }
  llvm::Error findWhole();
  llvm::Error checkExtent(Operation *op) const;
  Field view(attn::InputOp input, const Memo &memo) const;
  Field compute(Operation *op, llvm::function_ref<Field(Value)> get, Packed *cache) const;
  SmallVector<Operation *> findProgram(ArrayRef<Value> roots) const;
  void evaluateUsers(attn::WeightsOp weights, Operation *at);
  void evaluateUsers(attn::StateOp state, Operation *at);
  void evaluateByRows(Operation *op);
  void store(attn::OutputOp output);

  Memo whole;                       // fields kept whole
  llvm::DenseSet<Value> needsWhole; // pair expressions that must be
};

/// One user of weights while it is computed.
struct User {
  Operation *op;
  Field result; // dense; its data is written through `out`
  double *out;
  Field value;                  // expect: restricted to the current row axes
  Packed packed;                // expect: the values, keys by features
  std::vector<int64_t> columns; // expect: where each feature stands in the result
};

} // namespace

/// A pair expression has a walk axis and the query axis of that walk, or a part of it where that is a factor axis: all
/// those, none for a field that is no pair expression.
SmallVector<StringAttr> Evaluator::queryAxesOf(Value value) const {
  SmallVector<StringAttr> result;
  auto field = dyn_cast<attn::FieldType>(value.getType());
  if (!field)
    return result;
  for (StringAttr axis : field.getAxes()) {
    attn::AxisAttr entry = table.lookup(axis);
    if (!entry.isWalk())
      continue;
    for (StringAttr query : table.expand({entry.getQuery()}))
      if (field.hasAxis(query) && !llvm::is_contained(result, query))
        result.push_back(query);
  }
  return result;
}

/// The axes along which an operation reads other elements than the one it computes.
static SmallVector<StringAttr> touchedAxes(Operation *op) {
  return llvm::TypeSwitch<Operation *, SmallVector<StringAttr>>(op)
      .Case<attn::ReduceOp, attn::DotOp>([](auto op) { return attn::toAxes(op.getAxes()); })
      .Case<attn::RenameOp, attn::BlockReduceOp>([](auto op) {
        return SmallVector<StringAttr>{op.getFromAttr(), op.getToAttr()};
      })
      .Case([](attn::ConvOp op) { return attn::toAxes(op.getAlong()); })
      .Case<attn::GatherOp, attn::ScanOp>([](auto op) { return SmallVector<StringAttr>{op.getAxisAttr()}; })
      .Case([](attn::RowAtOp op) {
        return SmallVector<StringAttr>{op.getKeysAttr(), op.getQueryAttr()};
      })
      .Case([](attn::SliceOp op) {
        return SmallVector<StringAttr>{op.getFromAttr(), op.getToAttr()};
      })
      .Case([](attn::ConcatOp op) {
        SmallVector<StringAttr> axes = attn::toAxes(op.getParts());
        axes.push_back(op.getAlongAttr());
        return axes;
      })
      .Case([](attn::FlattenOp op) {
        SmallVector<StringAttr> axes = attn::toAxes(op.getFrom());
        axes.push_back(op.getToAttr());
        return axes;
      })
      .Default([](Operation *) { return SmallVector<StringAttr>(); });
}

/// Pair expressions may exist a few rows at a time where only scores, predicates, masses, coefficients, and operations
/// that keep to a row read them.
llvm::Error Evaluator::findWhole() {
  llvm::DenseSet<StringAttr> rowAxes;
  for (auto weights : attention.getBody().getOps<attn::WeightsOp>()) {
    ArrayRef<StringAttr> rows = weights.getWeightsType().getRows();
    rowAxes.insert(rows.begin(), rows.end());
  }
  for (Operation &op : llvm::reverse(attention.getBody().front())) {
    SmallVector<StringAttr> touched = touchedAxes(&op);
    bool ofState = isa<attn::StateOp, attn::ReadOp, attn::LastOp, attn::EveryOp>(op);
    if (ofState && op.getNumResults() == 1 && isPair(op.getResult(0)))
      needsWhole.insert(op.getResult(0));
    // Users of weights compute one index of each row axis at a time.
    if (op.getNumResults() == 1 && isPair(op.getResult(0)) &&
        llvm::any_of(touched, [&](StringAttr axis) { return rowAxes.contains(axis); }))
      needsWhole.insert(op.getResult(0));
    for (OpOperand &operand : op.getOpOperands()) {
      Value value = operand.get();
      SmallVector<StringAttr> queries = queryAxesOf(value);
      if (queries.empty())
        continue;
      bool byRows = false;
      if (auto weights = dyn_cast<attn::WeightsOp>(op))
        byRows = !llvm::is_contained(weights.getSinks(), value);
      else if (auto expect = dyn_cast<attn::ExpectOp>(op))
        byRows = value == expect.getCoefficient() && value != expect.getValue();
      else if (op.getNumResults() == 1 && !ofState)
        byRows = llvm::none_of(touched, [&](StringAttr axis) { return llvm::is_contained(queries, axis); });
      if (!byRows)
        needsWhole.insert(value);
    }
  }
  for (Operation &op : attention.getBody().front())
    if (llvm::Error e = checkExtent(&op))
      return e;
  return llvm::Error::success();
}

/// Every field that will be held, as a product that does not overflow.
llvm::Error Evaluator::checkExtent(Operation *op) const {
  for (Value value : op->getResults()) {
    auto field = dyn_cast<attn::FieldType>(value.getType());
    if (auto state = dyn_cast<attn::StateType>(value.getType()))
      if (state.hasValueAxis() && sizeOf(state.getKey()) * sizeOf(state.getValue()) > kMaxElements) // 31 bits each
        return error("'{0}' has a state of more than {1} elements, too large for the reference",
                     op->getName().getStringRef(), kMaxElements);
    if (!field)
      continue;
    bool byRows = isPair(value) && !needsWhole.contains(value);
    int64_t extent = 1;
    for (StringAttr axis : field.getAxes()) {
      int64_t size = sizeOf(axis);
      for (StringAttr other : field.getAxes()) {
        attn::AxisAttr entry = table.lookup(other);
        if (byRows && entry.isWalk() && table.expand({entry.getQuery()}).back() == axis)
          size = std::min(size, kRows);
      }
      if (__builtin_mul_overflow(extent, size, &extent) || extent > kMaxElements)
        return error("'{0}' computes a field of more than {1} elements, too large for the reference",
                     op->getName().getStringRef(), kMaxElements);
    }
  }
  return llvm::Error::success();
}

Field Evaluator::view(attn::InputOp input, const Memo &memo) const {
  SmallVector<Dim, 5> dims = dimsOf(input.getField().getAxes());
  auto found = inputs.find(input.getName().str());
  if (found == inputs.end()) {
    if (input.getOptional()) { // every element is the one 0
      Field zero = scalar(0);
      zero.dims = dims;
      return zero;
    }
    Field fallback = memo.lookup(input.getFallback());
    for (Dim &dim : dims) // axes that the fallback lacks are broadcasts
      dim.stride = fallback.stride(dim.axis);
    fallback.dims = dims;
    return fallback;
  }
  Field field;
  int64_t stride = 1;
  for (Dim &dim : llvm::reverse(dims)) {
    dim.stride = stride;
    stride *= dim.size;
  }
  field.dims = dims;
  field.data = found->second.data.data();
  return field;
}

/// The plain function of an operation that neither makes nor reads weights.
Field Evaluator::compute(Operation *op, llvm::function_ref<Field(Value)> get, Packed *cache) const {
  if (Row1 row = findRow1(op))
    return pointwise1(row, get(op->getOperand(0)));
  if (Row2 row = findRow2(op))
    return pointwise2(row, get(op->getOperand(0)), get(op->getOperand(1)));
  return llvm::TypeSwitch<Operation *, Field>(op)
      .Case([&](attn::ConstantOp op) {
        if (auto number = dyn_cast<FloatAttr>(op.getValue()))
          return scalar(number.getValueAsDouble());
        if (auto truth = dyn_cast<BoolAttr>(op.getValue()))
          return scalar(truth.getValue());
        return scalar(static_cast<double>(cast<IntegerAttr>(op.getValue()).getInt()));
      })
      .Case([&](attn::SizeOp op) { return scalar(static_cast<double>(sizeOf(op.getAxisAttr()))); })
      .Case([&](attn::IndexOp op) { return iota(op.getAxisAttr(), sizeOf(op.getAxisAttr()), 0); })
      .Case([&](attn::PositionOp op) { return iota(op.getAxisAttr(), sizeOf(op.getAxisAttr()), 0); })
      .Case([&](attn::QueryPositionOp op) {
        int64_t queries = sizeOf(op.getQueryAttr());
        return iota(op.getQueryAttr(), queries, sizeOf(op.getKeysAttr()) - queries);
      })
      .Case([&](attn::SelectOp op) { return select(get(op.getCondition()), get(op.getLhs()), get(op.getRhs())); })
      .Case([&](attn::ReduceOp op) { return reduce(op.getKind(), get(op.getOperand()), attn::toAxes(op.getAxes())); })
      .Case([&](attn::DotOp op) { return dot(get(op.getLhs()), get(op.getRhs()), attn::toAxes(op.getAxes()), cache); })
      .Case([&](attn::RenameOp op) { return rename(get(op.getOperand()), op.getFromAttr(), op.getToAttr()); })
      .Case([&](attn::RowAtOp op) {
        return rowAt(get(op.getOperand()), op.getKeysAttr(), op.getQueryAttr(), sizeOf(op.getQueryAttr()));
      })
      .Case([&](attn::SliceOp op) {
        int64_t offset = 0;
        for (StringAttr part : attn::toAxes(op.getAfter()))
          offset += sizeOf(part);
        return slicePart(get(op.getOperand()), op.getFromAttr(), op.getToAttr(), offset, sizeOf(op.getToAttr()));
      })
      .Case([&](attn::ConcatOp op) {
        SmallVector<Field> fields;
        for (Value operand : op.getOperands())
          fields.push_back(get(operand));
        return concat(fields, attn::toAxes(op.getParts()), op.getAlongAttr());
      })
      .Case([&](attn::GatherOp op) { return gather(get(op.getOperand()), op.getAxisAttr(), get(op.getIndex())); })
      .Case([&](attn::ScanOp op) { return scan(get(op.getOperand()), op.getAxisAttr()); })
      .Case([&](attn::BlockReduceOp op) {
        attn::AxisAttr to = table.lookup(op.getToAttr());
        return blockReduce(op.getKind(), get(op.getOperand()), op.getFromAttr(), op.getToAttr(), sizeOf(to.getName()),
                           to.getExtent(), to.getStep());
      })
      .Case([&](attn::ConvOp op) {
        return conv(get(op.getOperand()), get(op.getWeights()), attn::toAxes(op.getAlong()), attn::toAxes(op.getTaps()),
                    op.getSame());
      })
      .Case(
          [&](attn::FlattenOp op) { return flatten(get(op.getOperand()), attn::toAxes(op.getFrom()), op.getToAttr()); })
      .DefaultUnreachable("every operation without weights has a function above");
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

namespace {

/// The rows of weights of one step: `count` rows of `keys` keys.
struct Rows {
  int64_t count, keys;
  std::vector<double> weight; // mass * exp(score - max), or a free weight; 0 where the row does not see the key
  std::vector<char> seen;
  std::vector<double> max, sum, divisor;
  int64_t begin, end; // keys outside are seen by no row

  Rows(int64_t keys)
      : count(0), keys(keys), weight(kRows * keys), seen(kRows * keys), max(kRows), sum(kRows), divisor(kRows),
        begin(0), end(0) {}
};

/// Scores to weights, row by row: max, exponentials, sum. Free weights are what they are, with max 0.
void weigh(Rows &rows, bool isFree, const Field &score, const Field *where, const Field *mass, StringAttr query,
           StringAttr walk) {
  int64_t keyStride = score.stride(walk);
  rows.begin = rows.keys;
  rows.end = 0;
  for (int64_t r = 0; r < rows.count; ++r) {
    const double *s = score.data + r * score.stride(query);
    const double *seenIn = where ? where->data + r * where->stride(query) : nullptr;
    const double *massIn = mass ? mass->data + r * mass->stride(query) : nullptr;
    int64_t seenStride = where ? where->stride(walk) : 0, massStride = mass ? mass->stride(walk) : 0;
    double *w = rows.weight.data() + r * rows.keys;
    char *seen = rows.seen.data() + r * rows.keys;
    double max = isFree ? 0 : -kInfinity, sum = 0;
    int64_t first = rows.keys, last = -1;
    for (int64_t j = 0; j < rows.keys; ++j) {
      seen[j] = !seenIn || seenIn[j * seenStride] != 0;
      if (!seen[j])
        continue;
      if (!isFree)
        max = attn::pointwise::max_(max, s[j * keyStride]);
      first = std::min(first, j);
      last = j;
    }
    for (int64_t j = 0; j < rows.keys; ++j) {
      // A row of scores that are all -inf has weights 0, as one without keys.
      if (!seen[j] || max == -kInfinity)
        w[j] = 0;
      else if (isFree)
        w[j] = s[j * keyStride];
      else
        w[j] = std::exp(s[j * keyStride] - max) * (massIn ? massIn[j * massStride] : 1);
      sum += w[j];
    }
    rows.max[r] = max;
    rows.sum[r] = sum;
    rows.begin = std::min(rows.begin, first);
    rows.end = std::max(rows.end, last + 1);
  }
  rows.begin = std::min(rows.begin, rows.end);
}

double statistic(attn::StatKind kind, const Rows &rows, int64_t r) {
  switch (kind) {
  case attn::StatKind::Lse:
    return rows.max[r] == -kInfinity ? -kInfinity : rows.max[r] + std::log(rows.sum[r]);
  case attn::StatKind::Max:
    return rows.max[r];
  case attn::StatKind::Mass:
    return rows.sum[r];
  }
  return 0;
}

/// sum_j w_j c_j y_j / Z for each row and feature. A key that a row does not see is not multiplied by: its value may be
/// NaN.
void expectRows(const Rows &rows, const Field *coefficient, StringAttr query, StringAttr walk, const Packed &values,
                double *out) {
  std::vector<double> scaled;
  const double *weights = rows.weight.data();
  if (coefficient) {
    scaled.resize(rows.count * rows.keys);
    for (int64_t r = 0; r < rows.count; ++r) {
      const double *c = coefficient->data + r * coefficient->stride(query);
      for (int64_t j = 0, stride = coefficient->stride(walk); j < rows.keys; ++j) {
        int64_t n = r * rows.keys + j;
        scaled[n] = rows.seen[n] ? weights[n] * c[j * stride] : 0;
      }
    }
    weights = scaled.data();
  }
  int64_t features = values.columns;
  if (values.finite) {
    product(weights, rows.keys, rows.count, rows.begin, rows.end, values, out, features);
  } else {
    // Keys that are not seen are left out one by one.
    for (int64_t r = 0; r < rows.count; ++r)
      for (int64_t f = 0; f < features; ++f) {
        const double *column = values.data.data() + (f / 4) * 4 * values.rows + f % 4;
        double sum = 0;
        for (int64_t j = rows.begin; j < rows.end; ++j)
          if (rows.seen[r * rows.keys + j])
            sum += weights[r * rows.keys + j] * column[4 * j];
        out[r * features + f] = sum;
      }
  }
  for (int64_t r = 0; r < rows.count; ++r)
    for (int64_t f = 0; f < features; ++f) {
      double &element = out[r * features + f];
      element = rows.max[r] == -kInfinity || rows.divisor[r] == 0 ? 0 : element / rows.divisor[r];
    }
}

} // namespace

/// The pair expressions without a field of their own that these are or read, in program order.
SmallVector<Operation *> Evaluator::findProgram(ArrayRef<Value> roots) const {
  llvm::DenseSet<Operation *> reached;
  SmallVector<Operation *> program, pending;
  auto reach = [&](Value value) {
    if (!whole.contains(value) && reached.insert(value.getDefiningOp()).second)
      pending.push_back(value.getDefiningOp());
  };
  llvm::for_each(roots, reach);
  while (!pending.empty()) {
    program.push_back(pending.pop_back_val());
    llvm::for_each(program.back()->getOperands(), reach);
  }
  llvm::sort(program, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return program;
}

/// Computes a field from pair expressions, as many query rows at a time as fit a cache.
void Evaluator::evaluateByRows(Operation *op) {
  SmallVector<Operation *> program = findProgram(SmallVector<Value>(op->getOperands()));
  StringAttr query;
  for (Value operand : op->getOperands())
    if (SmallVector<StringAttr> queries = queryAxesOf(operand); !whole.contains(operand) && !queries.empty())
      query = queries.back();
  int64_t perRow = 1;
  for (Operation *each : program) {
    int64_t extent = 1;
    for (StringAttr axis : cast<attn::FieldType>(each->getResult(0).getType()).getAxes())
      if (axis != query)
        extent *= sizeOf(axis);
    perRow = std::max(perRow, extent);
  }
  int64_t queries = sizeOf(query), step = std::clamp<int64_t>(kStepElements / perRow, 1, queries);
  NewField result(dimsOf(cast<attn::FieldType>(op->getResult(0).getType()).getAxes()));
  for (int64_t begin = 0; begin < queries; begin += step) {
    int64_t count = std::min(step, queries - begin);
    Memo memo;
    auto get = [&](Value value) {
      auto found = memo.find(value);
      return found != memo.end() ? found->second : whole.at(value).slice(query, begin, count);
    };
    for (Operation *each : program)
      memo[each->getResult(0)] = compute(each, get, nullptr);
    Field target = result.slice(query, begin, count);
    copyTo(compute(op, get, nullptr), target, result.out() + (target.data - result.data));
  }
  whole[op->getResult(0)] = result;
}

/// Computes all users of `weights` whose other operands are known before the operation `at`, which is one of them.
void Evaluator::evaluateUsers(attn::WeightsOp weights, Operation *at) {
  attn::WeightsType type = weights.getWeightsType();
  // Of a factor axis all parts but the last are like other row axes.
  StringAttr walk = type.getWalk(), query = weights.getQueryAxes().back();

  auto isBefore = [&](Value value) { return value.getDefiningOp()->isBeforeInBlock(at); };
  std::vector<User> users;
  SmallVector<Value> roots{weights.getScore()};
  if (weights.getWhere())
    roots.push_back(weights.getWhere());
  if (weights.getMass())
    roots.push_back(weights.getMass());
  for (Operation *op : weights->getUsers()) {
    if (whole.contains(op->getResult(0)) || !llvm::all_of(op->getOperands(), isBefore))
      continue;
    NewField result(dimsOf(cast<attn::FieldType>(op->getResult(0).getType()).getAxes()));
    double *out = result.out();
    users.push_back({op, result, out, {}, {}, {}});
    if (auto expect = dyn_cast<attn::ExpectOp>(op)) {
      if (expect.getCoefficient())
        roots.push_back(expect.getCoefficient());
      SmallVector<Dim, 5> features;
      for (const Dim &dim : result.dims)
        if (!llvm::is_contained(type.getRows(), dim.axis))
          features.push_back(dim);
      users.back().columns = offsetsOf(features);
    }
  }

  SmallVector<Operation *> program = findProgram(roots);

  // Row axes but the query axis, one index of each at a time.
  SmallVector<Dim, 5> others;
  for (const Dim &dim : dimsOf(type.getRows()))
    if (dim.axis != query)
      others.push_back(dim);
  int64_t queries = sizeOf(query), keys = sizeOf(walk);
  Rows rows(keys);
  std::vector<double> buffer;
  SmallVector<int64_t> index(others.size(), 0);
  auto fix = [&](Field field) {
    for (auto [dim, i] : llvm::zip(others, index))
      field = field.at(dim.axis, i);
    return field;
  };

  bool isEmpty = llvm::any_of(others, [](const Dim &dim) { return dim.size == 0; });
  while (!isEmpty) {
    for (User &user : users)
      if (auto expect = dyn_cast<attn::ExpectOp>(user.op)) {
        Field value = fix(whole.at(expect.getValue()));
        SmallVector<Dim, 5> features;
        for (const Dim &dim : user.result.dims)
          if (!llvm::is_contained(type.getRows(), dim.axis))
            features.push_back(*value.find(dim.axis));
        std::vector<int64_t> keyOffsets(keys);
        for (int64_t j = 0; j < keys; ++j)
          keyOffsets[j] = j * value.stride(walk);
        user.packed = pack(value.data, keyOffsets, offsetsOf(features));
      }

    Caches caches; // of operands that all query rows share
    for (int64_t begin = 0; begin < queries; begin += kRows) {
      rows.count = std::min(kRows, queries - begin);
      Memo memo;
      auto get = [&](Value value) {
        auto found = memo.find(value);
        return found != memo.end() ? found->second : fix(whole.at(value)).slice(query, begin, rows.count);
      };
      for (Operation *op : program) {
        Packed *cache = nullptr;
        if (auto dot = dyn_cast<attn::DotOp>(op);
            dot && whole.contains(dot.getRhs()) && !cast<attn::FieldType>(dot.getRhs().getType()).hasAxis(query))
          cache = &caches[op];
        memo[op->getResult(0)] = compute(op, get, cache);
      }

      Field score = get(weights.getScore()), where, mass;
      if (weights.getWhere())
        where = get(weights.getWhere());
      if (weights.getMass())
        mass = get(weights.getMass());
      weigh(rows, weights.isFree(), score, weights.getWhere() ? &where : nullptr, weights.getMass() ? &mass : nullptr,
            query, walk);
      for (int64_t r = 0; r < rows.count; ++r) {
        rows.divisor[r] = weights.isFree() ? 1 : rows.sum[r];
        for (Value sink : weights.getSinks()) {
          Field field = get(sink);
          rows.divisor[r] += std::exp(field.data[r * field.stride(query)] - rows.max[r]);
        }
      }

      for (User &user : users) {
        double *out = user.out + (fix(user.result).data - user.result.data) + begin * user.result.stride(query);
        int64_t rowStride = user.result.stride(query);
        if (auto stat = dyn_cast<attn::StatOp>(user.op)) {
          for (int64_t r = 0; r < rows.count; ++r)
            out[r * rowStride] = statistic(stat.getKind(), rows, r);
          continue;
        }
        auto expect = cast<attn::ExpectOp>(user.op);
        Field coefficient;
        if (expect.getCoefficient())
          coefficient = get(expect.getCoefficient());
        int64_t features = user.packed.columns;
        buffer.resize(rows.count * features);
        expectRows(rows, expect.getCoefficient() ? &coefficient : nullptr, query, walk, user.packed, buffer.data());
        for (int64_t r = 0; r < rows.count; ++r)
          for (int64_t f = 0; f < features; ++f)
            out[r * rowStride + user.columns[f]] = buffer[r * features + f];
      }
    }

    int64_t d = static_cast<int64_t>(others.size()) - 1;
    for (; d >= 0; --d) {
      if (++index[d] < others[d].size)
        break;
      index[d] = 0;
    }
    if (d < 0)
      break;
  }
  for (User &user : users)
    whole[user.op->getResult(0)] = user.result;
}

//===----------------------------------------------------------------------===//
// States
//===----------------------------------------------------------------------===//

namespace {

/// An operand of a recurrence at one point of the batch axes: its strides along tokens, keys and values.
struct Operand {
  const double *data = nullptr;
  int64_t token = 0, key = 0, value = 0;

  explicit operator bool() const { return data != nullptr; }
};

/// One user of a state.
struct StateUser {
  Operation *op;
  Field result; // dense; its data is written through `out`
  double *out;
  std::vector<int64_t> rowsIn, rowsOut; // read: the points of the query's other axes
};

/// The state of one point of the batch axes at one token: `keys` rows of `values` columns.
struct Recurrence {
  int64_t keys, values;
  std::vector<double> state, erased;

  Recurrence(int64_t keys, int64_t values) : keys(keys), values(values), state(keys * values), erased(values) {}

  void decay(const Operand &log, int64_t t) {
    double all = std::exp(log.data[t * log.token]);
    for (int64_t k = 0; k < keys; ++k) {
      double factor = log.key == 0 ? all : std::exp(log.data[t * log.token + k * log.key]);
      for (int64_t v = 0; v < values; ++v)
        state[k * values + v] *= factor;
    }
  }

  /// out[v] = sum over keys of x times the state
  void read(const double *x, int64_t stride, double *out) const {
    std::fill_n(out, values, 0.0);
    for (int64_t k = 0; k < keys; ++k)
      for (int64_t v = 0; v < values; ++v)
        out[v] += x[k * stride] * state[k * values + v];
  }

  void write(const Operand &key, const Operand &value, const Operand &erase, int64_t t) {
    std::fill(erased.begin(), erased.end(), 0.0);
    if (erase)
      read(erase.data + t * erase.token, erase.key, erased.data());
    for (int64_t v = 0; v < values; ++v)
      erased[v] = value.data[t * value.token + v * value.value] - erased[v];
    for (int64_t k = 0; k < keys; ++k)
      for (int64_t v = 0; v < values; ++v)
        state[k * values + v] += key.data[t * key.token + k * key.key] * erased[v];
  }
};

} // namespace

/// Computes all users of `state` whose other operands are known before the operation `at`, which is one of them.
void Evaluator::evaluateUsers(attn::StateOp op, Operation *at) {
  attn::StateType type = op.getStateType();
  StringAttr tokenAxis = type.getToken(), keyAxis = type.getKey(), valueAxis = type.getValue();
  int64_t tokens = sizeOf(tokenAxis), keys = sizeOf(keyAxis), values = valueAxis ? sizeOf(valueAxis) : 1;
  SmallVector<Dim, 5> batch = dimsOf(type.getBatch());

  auto isRow = [&](const Dim &dim) {
    return dim.axis != tokenAxis && dim.axis != keyAxis && dim.axis != valueAxis &&
           !llvm::is_contained(type.getBatch(), dim.axis);
  };
  auto isBefore = [&](Value value) { return value.getDefiningOp()->isBeforeInBlock(at); };
  std::vector<StateUser> users;
  for (Operation *user : op->getUsers()) {
    if (whole.contains(user->getResult(0)) || !llvm::all_of(user->getOperands(), isBefore))
      continue;
    NewField result(dimsOf(cast<attn::FieldType>(user->getResult(0).getType()).getAxes()));
    double *out = result.out();
    users.push_back({user, result, out, {}, {}});
    if (auto read = dyn_cast<attn::ReadOp>(user)) {
      SmallVector<Dim, 5> rowsIn, rowsOut;
      for (const Dim &dim : whole.at(read.getQuery()).dims)
        if (isRow(dim)) {
          rowsIn.push_back(dim);
          rowsOut.push_back(*result.find(dim.axis));
        }
      users.back().rowsIn = offsetsOf(rowsIn);
      users.back().rowsOut = offsetsOf(rowsOut);
    }
  }

  SmallVector<int64_t> index(batch.size(), 0);
  auto fix = [&](Field field) {
    for (auto [dim, i] : llvm::zip(batch, index))
      field = field.at(dim.axis, i);
    return field;
  };
  auto operandOf = [&](Value value, StringAttr tokenAxis) {
    Operand operand;
    if (value) {
      Field field = fix(whole.at(value));
      operand = {field.data, field.stride(tokenAxis), field.stride(keyAxis), valueAxis ? field.stride(valueAxis) : 0};
    }
    return operand;
  };
  StringAttr blocks = op.getBlocksAttr();
  int64_t extent = blocks ? table.lookup(blocks).getExtent() : 0;
  std::vector<double> buffer(values), before, decays(keys);
  bool isReverse = op.getReverse();

  bool isEmpty = llvm::any_of(batch, [](const Dim &dim) { return dim.size == 0; });
  while (!isEmpty) {
    Operand key = operandOf(op.getKey(), tokenAxis), value = operandOf(op.getValue(), tokenAxis),
            decay = operandOf(op.getDecay(), tokenAxis), erase = operandOf(op.getErase(), tokenAxis),
            where = operandOf(op.getWhere(), tokenAxis), commit = operandOf(op.getCommit(), blocks),
            initial = operandOf(op.getInitial(), tokenAxis);
    Recurrence recurrence(keys, values);
    if (initial)
      for (int64_t k = 0; k < keys; ++k)
        for (int64_t v = 0; v < values; ++v)
          recurrence.state[k * values + v] = initial.data[k * initial.key + v * initial.value];

    // The state as it is, to where a user has it at this point of the batch axes.
    auto copy = [&](StateUser &user, Field target) {
      double *out = user.out + (target.data - user.result.data);
      int64_t keyStride = target.stride(keyAxis), valueStride = valueAxis ? target.stride(valueAxis) : 0;
      for (int64_t k = 0; k < keys; ++k)
        for (int64_t v = 0; v < values; ++v)
          out[k * keyStride + v * valueStride] = recurrence.state[k * values + v];
    };
    auto readAt = [&](attn::ReadPoint point, int64_t t) {
      for (StateUser &user : users) {
        auto read = dyn_cast<attn::ReadOp>(user.op);
        if (!read || read.getPoint() != point)
          continue;
        Field query = fix(whole.at(read.getQuery())).at(tokenAxis, t);
        Field target = fix(user.result).at(tokenAxis, t);
        int64_t valueStride = valueAxis ? target.stride(valueAxis) : 0;
        double *out = user.out + (target.data - user.result.data);
        for (auto [in, offset] : llvm::zip(user.rowsIn, user.rowsOut)) {
          recurrence.read(query.data + in, query.stride(keyAxis), buffer.data());
          for (int64_t v = 0; v < values; ++v)
            out[offset + v * valueStride] = buffer[v];
        }
      }
    };

    for (int64_t n = 0; n < tokens; ++n) {
      int64_t t = isReverse ? tokens - 1 - n : n;
      if (commit && (n == 0 || t / extent != (isReverse ? t + 1 : t - 1) / extent)) {
        before = recurrence.state;
        std::fill(decays.begin(), decays.end(), 0.0);
      }
      bool takesPart = !where || where.data[t * where.token] != 0;
      readAt(attn::ReadPoint::Prev, t);
      if (takesPart && decay) {
        recurrence.decay(decay, t);
        for (int64_t k = 0; k < keys; ++k)
          decays[k] += decay.data[t * decay.token + k * decay.key];
      }
      readAt(attn::ReadPoint::Decayed, t);
      if (takesPart)
        recurrence.write(key, value, erase, t);
      readAt(attn::ReadPoint::After, t);
      bool isLast = n == tokens - 1;
      if (commit && (isLast || t / extent != (isReverse ? t - 1 : t + 1) / extent) &&
          commit.data[t / extent * commit.token] == 0)
        for (int64_t k = 0; k < keys; ++k)
          for (int64_t v = 0; v < values; ++v)
            recurrence.state[k * values + v] = before[k * values + v] * std::exp(decays[k]);
      for (StateUser &user : users)
        if (auto every = dyn_cast<attn::EveryOp>(user.op)) {
          int64_t each = table.lookup(every.getBlocksAttr()).getExtent();
          if (isLast || (isReverse ? t : t + 1) % each == 0)
            copy(user, fix(user.result).at(every.getBlocksAttr(), t / each));
        }
    }
    for (StateUser &user : users)
      if (isa<attn::LastOp>(user.op))
        copy(user, fix(user.result));

    int64_t d = static_cast<int64_t>(batch.size()) - 1;
    for (; d >= 0; --d) {
      if (++index[d] < batch[d].size)
        break;
      index[d] = 0;
    }
    if (d < 0)
      break;
  }
  for (StateUser &user : users)
    whole[user.op->getResult(0)] = user.result;
}

//===----------------------------------------------------------------------===//
// The attention
//===----------------------------------------------------------------------===//

void Evaluator::store(attn::OutputOp output) {
  Field value = whole.at(output.getValue());
  SmallVector<StringAttr> axes = table.expand(attn::toAxes(output.getDeclared()));
  SmallVector<Dim, 5> dims;
  for (StringAttr axis : axes)
    dims.push_back({axis, sizeOf(axis), value.stride(axis)});
  Tensor &tensor = outputs[output.getName().str()];
  tensor.shape = shapeOf(output.getDeclared(), sizes);
  for (int64_t offset : offsetsOf(dims))
    tensor.data.push_back(value.data[offset]);
}

llvm::Error Evaluator::run() {
  if (llvm::Error e = findWhole())
    return e;
  auto get = [&](Value value) { return whole.at(value); };
  for (Operation &op : attention.getBody().front()) {
    if (auto output = dyn_cast<attn::OutputOp>(op)) {
      // Memory that is not passed is not written.
      if (output.getCarry() && !inputs.count(output.getName().str()))
        continue;
      int64_t extent = 1;
      for (int64_t size : shapeOf(output.getDeclared(), sizes))
        if (__builtin_mul_overflow(extent, size, &extent) || extent > kMaxElements)
          return error("output '{0}' has more than {1} elements, too large for the reference", output.getName(),
                       kMaxElements);
      store(output);
      continue;
    }
    Value result = op.getResult(0);
    if (isa<attn::WeightsOp, attn::StateOp>(op) || whole.contains(result) ||
        (isPair(result) && !needsWhole.contains(result)))
      continue;
    if (auto input = dyn_cast<attn::InputOp>(op))
      whole[result] = view(input, whole);
    else if (isa<attn::ExpectOp, attn::StatOp>(op))
      evaluateUsers(op.getOperand(0).getDefiningOp<attn::WeightsOp>(), &op);
    else if (isa<attn::ReadOp, attn::LastOp, attn::EveryOp>(op))
      evaluateUsers(op.getOperand(0).getDefiningOp<attn::StateOp>(), &op);
    else if (llvm::all_of(op.getOperands(), [&](Value operand) { return whole.contains(operand); }))
      whole[result] = compute(&op, get, nullptr);
    else
      evaluateByRows(&op);
  }
  return llvm::Error::success();
}

llvm::Expected<Tensors> reference::evaluate(attn::AttentionOp attention, const AxisSizes &given,
                                            const Tensors &inputs) {
  Shapes shapes;
  for (const auto &[name, tensor] : inputs)
    shapes[name] = tensor.shape;
  llvm::Expected<AxisSizes> sizes = inferSizes(attention, shapes, given);
  if (!sizes)
    return sizes.takeError();
  for (const auto &[name, tensor] : inputs) {
    int64_t extent = 1;
    for (int64_t size : tensor.shape)
      if (__builtin_mul_overflow(extent, size, &extent))
        return error("the size of array '{0}' overflows", name);
    if (static_cast<size_t>(extent) != tensor.data.size())
      return error("array '{0}' holds {1} elements; its shape has {2}", name, tensor.data.size(), extent);
  }
  for (attn::InputOp input : attention.getInputs())
    if (!input.getFallback() && !input.getOptional() && !inputs.contains(input.getName().str()))
      return error("input '{0}' is missing", input.getName());

  Evaluator evaluator(attention, *sizes, inputs);
  if (llvm::Error e = evaluator.run())
    return e;
  return std::move(evaluator.outputs);
}
