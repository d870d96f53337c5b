// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tolerances: see Tolerance.h for the formulas.
#include "frontend/driver/ErrorFields.h"

#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <cstdio>

using namespace mlir;

namespace fovea::driver {

double unitRoundoff(runtime::StorageType type) {
  switch (type) {
  case runtime::StorageType::BF16:
    return 0x1p-8;
  case runtime::StorageType::F16:
    return 0x1p-11;
  case runtime::StorageType::F32:
    return 0x1p-24;
  case runtime::StorageType::I32:
    return 0;
  }
  return 0;
}

//===--- ordinary inputs ---===//

std::string OutputTolerance::format() const {
  char buffer[96];
  if (isStatistic) {
    std::snprintf(buffer, sizeof buffer, "|a - r| <= %.3g + %.3g |r|", absolute, relative);
    return buffer;
  }
  std::snprintf(buffer, sizeof buffer, "%.3g", relative2);
  std::string text = buffer;
  text += " = ";
  if (relative2 == limit)
    text += "limit, below ";
  text += "sqrt of the sum of squares of:";
  for (const ToleranceTerm &term : terms) {
    std::snprintf(buffer, sizeof buffer, " %.2g ", term.value);
    text += (&term == &terms.front() ? "" : ",") + std::string(buffer) + term.what;
  }
  return text;
}

/// True for a number that the compilation knows, of constants and sizes alone.
static bool isFixed(Value x) {
  Operation *op = x.getDefiningOp();
  return !llvm::isa<attn::InputOp, attn::IndexOp, attn::PositionOp, attn::QueryPositionOp>(op) &&
         llvm::isa<attn::FieldType>(x.getType()) && llvm::cast<attn::FieldType>(x.getType()).getAxes().empty() &&
         llvm::all_of(op->getOperands(), isFixed);
}

/// True for what the hardware approximates.
static bool isApproximate(Operation *op) {
  return llvm::isa<attn::ExpOp, attn::Exp2Op, attn::Expm1Op, attn::LogOp, attn::Log2Op, attn::Log1pOp, attn::SqrtOp,
                   attn::RsqrtOp, attn::SinOp, attn::CosOp, attn::TanhOp, attn::SigmoidOp, attn::SiluOp,
                   attn::SoftplusOp, attn::LogSigmoidOp, attn::EluOp, attn::GeluOp, attn::PowOp, attn::LogAddExpOp>(
             op) &&
         !isFixed(op->getResult(0));
}

/// Two runs of a recurrence that differ by d now and then round an operand to different sides: of n elements n d / u,
/// each by u / sqrt(n) of the whole, so that after a chunk they differ by sqrt(d u), and in the end by their roundings.
static double apartAfter(int64_t tokens, double roundoff) {
  constexpr int64_t kLeastChunk = 16;
  double apart = 0x1p-22;
  for (int64_t at = kLeastChunk; at < tokens && apart < 0.99 * roundoff; at += kLeastChunk)
    apart = std::sqrt(apart * roundoff);
  return 2 * apart;
}

Tolerance toleranceFor(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes) {
  Tolerance result;
  runtime::StorageType type = arithmetic.type;
  double coarsestOfAll = 0, least = 1e-6;
  for (attn::OutputOp output : attention.getOutputs()) {
    OutputTolerance &entry = result.outputs[output.getName().str()];
    runtime::StorageType stored = storageOf(output.getStorage(), type);
    if (llvm::isa_and_nonnull<attn::StatOp>(output.getValue().getDefiningOp())) {
      entry.isStatistic = true;
      entry.absolute = 1e-3;
      // In f32 the statistic has two ulps; in a type of 16 bits its own rounding dominates.
      entry.relative = std::max(0x1p-22, stored == runtime::StorageType::F32 ? 0 : 2 * unitRoundoff(stored));
      continue;
    }
    // Every operation that the output depends on, once.
    llvm::SetVector<Operation *> slice;
    llvm::SmallVector<Value> work{output.getValue()};
    while (!work.empty()) {
      Operation *op = work.pop_back_val().getDefiningOp();
      if (op && slice.insert(op))
        llvm::append_range(work, op->getOperands());
    }
    int64_t longest = 1;
    llvm::MapVector<Value, double> rounded;
    llvm::DenseSet<Value> values;
    double weights = 0, states = 0;
    int64_t running = 0;
    bool isState = false, erases = false;
    auto round = [&](Value operand, double u) {
      if (u > 0)
        rounded[operand] = std::max(rounded[operand], u);
    };
    for (Operation *op : slice) {
      if (auto expect = llvm::dyn_cast<attn::ExpectOp>(op)) {
        auto size = sizes.find(expect.getWeights().getType().getWalk().getValue().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
        weights = std::max(weights, weightRoundoff(expect.getValue(), arithmetic));
        values.insert(expect.getValue());
        if (!llvm::isa_and_nonnull<attn::ConstantOp>(expect.getValue().getDefiningOp()))
          round(expect.getValue(), valueRoundoff(expect.getValue(), arithmetic));
      } else if (auto scan = llvm::dyn_cast<attn::ScanOp>(op)) {
        auto size = sizes.find(scan.getAxis().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
        running = std::max(running, longest);
      } else if (auto stat = llvm::dyn_cast<attn::StatOp>(op)) {
        auto size = sizes.find(stat.getWeights().getType().getWalk().getValue().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
      } else if (auto state = llvm::dyn_cast<attn::StateOp>(op)) {
        // Weights of pairs of tokens, the state, and each operand once, with its decay or computed.
        isState = true;
        erases |= bool(state.getErase());
        auto size = sizes.find(state.getTokenAttr().getValue().str());
        longest = std::max(longest, size == sizes.end() ? 1 : size->second);
        if (type != runtime::StorageType::F32) {
          states = unitRoundoff(type) * (erases ? std::sqrt(5.0) : std::sqrt(3.0));
          entry.carriedApart = apartAfter(longest, unitRoundoff(type));
        }
      } else if (auto dot = llvm::dyn_cast<attn::DotOp>(op)) {
        round(dot.getLhs(), operandRoundoff(dot.getLhs(), dot.getRhs(), arithmetic));
        round(dot.getRhs(), operandRoundoff(dot.getRhs(), dot.getLhs(), arithmetic));
      }
    }
    double coarsest = std::max({type == runtime::StorageType::F32 ? 0 : unitRoundoff(type), weights,
                                stored == runtime::StorageType::F32 ? 0 : unitRoundoff(stored)});
    if (weights > 0)
      entry.terms.push_back({"weights", weights / std::sqrt(3.0)});
    if (states > 0)
      entry.terms.push_back({"state and weights of tokens", states / std::sqrt(3.0)});
    double roundings = 0, ofProducts = 0;
    for (auto [operand, u] : rounded) {
      roundings += u * u / 3;
      ofProducts += values.contains(operand) ? 0 : u * u / 3;
      coarsest = std::max(coarsest, u);
    }
    entry.ofProducts = std::sqrt(ofProducts);
    if (!rounded.empty())
      entry.terms.push_back({"operands rounded (" + std::to_string(rounded.size()) + ")", std::sqrt(roundings)});
    if (unitRoundoff(stored) > 0)
      entry.terms.push_back({"result", unitRoundoff(stored) / std::sqrt(3.0)});
    entry.terms.push_back(
        {"sums of " + std::to_string(longest), 0x1p-22 * (1 + std::sqrt(static_cast<double>(longest)))});
    // Differences of running sums have the errors of the sums, which are as large as they are long.
    double functions =
        0x1p-18 * static_cast<double>(llvm::count_if(slice, isApproximate)) + 0x1p-23 * static_cast<double>(running);
    if (functions > 0)
      entry.terms.push_back({running ? "functions and running sums" : "functions", functions});
    double squares = 0;
    for (const ToleranceTerm &term : entry.terms)
      squares += term.value * term.value;
    least = std::max(least, 1e-6 + functions);
    // Errors of a state are carried along, and erasing feeds them back.
    entry.limit = std::max((isState ? 1e-5 : 1e-6) + functions,
                           (erases ? 7e-3 : 5e-3) * coarsest / unitRoundoff(runtime::StorageType::BF16));
    entry.carriedApart = std::min(entry.carriedApart, entry.limit);
    coarsestOfAll = std::max(coarsestOfAll, coarsest);
    entry.relative2 = std::min(std::sqrt(squares), entry.limit);
  }
  // Where nothing is rounded to fewer bits than f32 has, both sides differ by the last bits of functions and sums
  // alone.
  if (type == runtime::StorageType::F32)
    result.sameRoundings = std::max(least, std::min(1.0, coarsestOfAll / 0x1p-8) * result.sameRoundings);
  return result;
}
//===--- weights ---===//

namespace {

/// Adds, to a copy of an attention, the sum of squares of the terms of each output.
struct MagnitudeBuilder {
  OpBuilder builder;
  Location loc;

  Value squares(Value x) {
    Operation *op = x.getDefiningOp();
    auto of = [&](unsigned i) { return squares(op->getOperand(i)); };
    if (llvm::isa<attn::AddOp, attn::SubOp>(op))
      return attn::AddOp::create(builder, loc, of(0), of(1));
    if (llvm::isa<attn::MulOp>(op))
      return attn::MulOp::create(builder, loc, of(0), of(1));
    if (llvm::isa<attn::NegOp>(op))
      return of(0);
    // A quotient by a norm, or by a sum of weights, keeps the condition of what is divided.
    if (llvm::isa<attn::DivOp>(op)) {
      Value divisor = op->getOperand(1);
      return attn::DivOp::create(builder, loc, of(0), attn::MulOp::create(builder, loc, divisor, divisor).getResult());
    }
    if (auto select = llvm::dyn_cast<attn::SelectOp>(op))
      return attn::SelectOp::create(builder, loc, select.getCondition(), squares(select.getLhs()),
                                    squares(select.getRhs()));
    Value own = attn::MulOp::create(builder, loc, x, x);
    auto read = llvm::dyn_cast<attn::ReadOp>(op);
    if (!read || read.getPoint() != attn::ReadPoint::After)
      return own;
    // What the token itself writes is read through a product of its query and its key, whose terms may cancel.
    auto state = read.getState().getDefiningOp<attn::StateOp>();
    auto square = [&](Value y) -> Value { return attn::MulOp::create(builder, loc, y, y); };
    Value product = attn::DotOp::create(builder, loc, square(read.getQuery()), square(state.getKey()),
                                        builder.getArrayAttr(state.getKeyAxisAttr()));
    return attn::AddOp::create(builder, loc, own,
                               attn::MulOp::create(builder, loc, product, square(state.getValue())).getResult());
  }
};

} // namespace

llvm::Expected<reference::Tensors> magnitudes(attn::AttentionOp attention, const reference::AxisSizes &sizes,
                                              const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  for (attn::OutputOp output : copy->getOutputs()) {
    MagnitudeBuilder magnitude{OpBuilder(output), output.getLoc()};
    if (isRealField(output.getValue()))
      output.getValueMutable().assign(
          attn::SqrtOp::create(magnitude.builder, output.getLoc(), magnitude.squares(output.getValue())));
    output.removeStorageAttr();
  }
  return reference::evaluate(*copy, sizes, inputs);
}

namespace {

/// Adds outputs with the greatest magnitudes of what the products of a state take: its operands, the weights of pairs
/// of tokens, and what it may grow to without decay.
struct GreatestBuilder {
  OpBuilder builder;
  Location loc;
  attn::StateOp state;
  int64_t tokens;
  size_t count = 0;

  void run(llvm::StringRef prefix) {
    Value key = state.getKey(), value = state.getValue();
    for (Value x : std::array<Value, 4>{key, value, state.getErase(), state.getInitial()})
      if (x)
        add(prefix, greatest(x));
    Value grown = attn::MulOp::create(builder, loc, greatest(key), greatest(value));
    grown = attn::MulOp::create(builder, loc, grown, constant(static_cast<double>(tokens)));
    add(prefix, state.getInitial() ? attn::AddOp::create(builder, loc, grown, greatest(state.getInitial())) : grown);
    // Of each feature the greatest key.
    Value features = attn::AbsOp::create(builder, loc, key);
    llvm::SmallVector<Attribute> others;
    for (StringAttr axis : llvm::cast<attn::FieldType>(key.getType()).getAxes())
      if (axis != state.getKeyAxisAttr())
        others.push_back(axis);
    if (!others.empty())
      features = attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, features, builder.getArrayAttr(others));
    for (Operation *user : state->getUsers())
      if (auto read = llvm::dyn_cast<attn::ReadOp>(user)) {
        Value query = attn::AbsOp::create(builder, loc, read.getQuery());
        add(prefix, greatest(query));
        add(prefix,
            greatest(attn::DotOp::create(builder, loc, query, features, builder.getArrayAttr(state.getKeyAxisAttr()))));
      }
  }

private:
  Value constant(double x) { return attn::ConstantOp::create(builder, loc, x); }
  Value greatest(Value x) {
    Value size = attn::AbsOp::create(builder, loc, x);
    llvm::ArrayRef<StringAttr> axes = llvm::cast<attn::FieldType>(x.getType()).getAxes();
    llvm::SmallVector<Attribute> all(axes.begin(), axes.end());
    return all.empty()
               ? size
               : Value(attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, size, builder.getArrayAttr(all)));
  }
  void add(llvm::StringRef prefix, Value x) {
    attn::OutputOp::create(builder, loc, (prefix + std::to_string(count++)).str(), x, {});
  }
};

} // namespace

llvm::Expected<bool> weightsOverflow(attn::AttentionOp attention, const Arithmetic &arithmetic,
                                     const reference::AxisSizes &sizes, const reference::Tensors &inputs) {
  OwningOpRef<attn::AttentionOp> copy = llvm::cast<attn::AttentionOp>(attention->clone());
  OpBuilder builder(copy->getContext());
  Location loc = copy->getLoc();
  llvm::SmallVector<attn::ExpectOp> wide;
  for (auto expect : copy->getBody().getOps<attn::ExpectOp>()) {
    auto weights = expect.getWeights().getDefiningOp<attn::WeightsOp>();
    runtime::StorageType type = storedAs(expect.getValue(), arithmetic.type).value_or(arithmetic.type);
    if (weights.isFree() && type == runtime::StorageType::F16)
      wide.push_back(expect);
  }
  llvm::SmallVector<attn::StateOp> states;
  if (arithmetic.type == runtime::StorageType::F16)
    llvm::append_range(states, copy->getBody().getOps<attn::StateOp>());
  if (wide.empty() && states.empty())
    return false;
  for (attn::OutputOp output : copy->getOutputs())
    output.erase();
  for (auto [n, state] : llvm::enumerate(states)) {
    auto tokens = sizes.find(state.getTokenAttr().getValue().str());
    builder.setInsertionPointToEnd(state->getBlock());
    GreatestBuilder{builder, loc, state, tokens == sizes.end() ? 1 : tokens->second}.run("state" + std::to_string(n) +
                                                                                         "_");
  }
  for (auto [n, expect] : llvm::enumerate(wide)) {
    // The greatest magnitude among the keys that a row sees is a statistic of weights with these scores.
    auto weights = expect.getWeights().getDefiningOp<attn::WeightsOp>();
    builder.setInsertionPointAfter(expect);
    Value size = attn::AbsOp::create(builder, loc, weights.getScore());
    if (expect.getCoefficient())
      size = attn::MulOp::create(builder, loc, size, attn::AbsOp::create(builder, loc, expect.getCoefficient()));
    auto scored =
        attn::WeightsOp::create(builder, loc, weights.getOverAttr(), weights.getQueryAttr(),
                                weights.getQueryPartsAttr(), size, weights.getWhere(), Value(), ValueRange(),
                                attn::WeightFunctionAttr::get(builder.getContext(), attn::WeightFunction::Exp));
    Value most = attn::StatOp::create(builder, loc, attn::StatKind::Max, scored);
    llvm::SmallVector<Attribute> rows(scored.getWeightsType().getRows().begin(),
                                      scored.getWeightsType().getRows().end());
    most = attn::ReduceOp::create(builder, loc, attn::ReduceKind::Max, most, builder.getArrayAttr(rows));
    attn::OutputOp::create(builder, loc, "most" + std::to_string(n), most, {});
  }
  llvm::Expected<reference::Tensors> results = reference::evaluate(*copy, sizes, inputs);
  if (!results)
    return results.takeError();
  for (const auto &[name, tensor] : *results)
    for (double x : tensor.data)
      if (!(x < 65504))
        return true;
  return false;
}

double conditionOf(const std::vector<double> &magnitudes, const std::vector<double> &reference) {
  double m = 0, r = 0;
  for (size_t i = 0; i < magnitudes.size() && i < reference.size(); ++i)
    if (std::isfinite(magnitudes[i]) && std::isfinite(reference[i])) {
      m += magnitudes[i] * magnitudes[i];
      r += reference[i] * reference[i];
    }
  return r > 0 ? std::max(1.0, std::sqrt(m / r)) : 1;
}

} // namespace fovea::driver
