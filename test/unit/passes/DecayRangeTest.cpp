// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ranges of fields: the gates of published recurrences, rules one by one, and, for random expressions on random
// numbers, that no element is outside.
#include "passes/analysis/DecayRange.h"

#include "dialect/attn/Pointwise.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

#include <cmath>
#include <functional>
#include <random>

using namespace mlir;
using namespace fovea;
using namespace fovea::attn;
using namespace fovea::analysis;

namespace {

/// The range of %g in a body with the inputs x, a : [T], gate : [T] <= 0, share : [T] in [0, 1).
std::string rangeOf(const std::string &body, const std::string &axes = "T, K : 4, N") {
  MLIRContext context;
  context.loadDialect<AttnDialect>();
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>("attn.attention @a none axes [" + axes + R"(] {
    %x = attn.input "x" [T] : real [T]
    %a = attn.input "a" [T] : real [T]
    %gate = attn.input "gate" [T] within <to 0.0> : real [T]
    %share = attn.input "share" [T] within <from 0.0 below 1.0> : real [T]
    %c16 = attn.constant real 0.0625
    %m5 = attn.constant real -5.0
    %one = attn.constant real 1.0
)" + body + "\nattn.output \"g\" %g [T] : real [T]\n}",
                                                             &context);
  EXPECT_TRUE(module) << body;
  if (!module)
    return "";
  AttentionOp attention = *module->getOps<AttentionOp>().begin();
  return toString(deriveRange(attention.getOutputs().front().getValue()));
}

TEST(DecayRange, GatesOfPublishedRecurrences) {
  // Gated linear attention: log_sigmoid(x) / 16
  EXPECT_EQ(rangeOf(R"(%l = attn.log_sigmoid %x : real [T]
    %g = attn.mul %l, %c16 : real [T], real [])"),
            "(-inf, 0)");
  // Mamba-2, gated DeltaNet: -exp(a) softplus(x)
  EXPECT_EQ(rangeOf(R"(%s = attn.softplus %x : real [T]
    %e = attn.exp %a : real [T]
    %n = attn.neg %e : real [T]
    %g = attn.mul %n, %s : real [T], real [T])"),
            "(-inf, 0)");
  // Bounded: gmin sigmoid(x)
  EXPECT_EQ(rangeOf(R"(%s = attn.sigmoid %x : real [T]
    %g = attn.mul %s, %m5 : real [T], real [])"),
            "(-5, 0)");
  // RWKV-6: -exp(x)
  EXPECT_EQ(rangeOf(R"(%e = attn.exp %x : real [T]
    %g = attn.neg %e : real [T])"),
            "(-inf, 0)");
  // HGRN: log(lower + (1 - lower) sigmoid(x)) with lower in [0, 1)
  EXPECT_EQ(rangeOf(R"(%s = attn.sigmoid %x : real [T]
    %r = attn.sub %one, %share : real [], real [T]
    %p = attn.mul %r, %s : real [T], real [T]
    %f = attn.add %share, %p : real [T], real [T]
    %g = attn.log %f : real [T])"),
            "(-inf, 0.693147)"); // the two occurrences of the bound are not known to be one
  // Contracts
  EXPECT_EQ(rangeOf("%g = attn.add %gate, %gate : real [T], real [T]"), "(-inf, 0]");
  EXPECT_EQ(rangeOf("%g = attn.neg %share : real [T]"), "(-1, 0]");
}

TEST(DecayRange, RulesOfOperations) {
  EXPECT_EQ(rangeOf("%g = attn.mul %x, %x : real [T], real [T]"), "[0, inf)");
  EXPECT_EQ(rangeOf("%g = attn.mul %x, %a : real [T], real [T]"), "(-inf, inf)");
  EXPECT_EQ(rangeOf("%g = attn.sin %x : real [T]"), "[-1, 1]");
  EXPECT_EQ(rangeOf("%g = attn.max %x, %m5 : real [T], real []"), "[-5, inf)");
  EXPECT_EQ(rangeOf("%g = attn.min %gate, %m5 : real [T], real []"), "(-inf, -5]");
  EXPECT_EQ(rangeOf("%g = attn.scan %gate along T : real [T]"), "(-inf, 0]");
  EXPECT_EQ(rangeOf(R"(%i = attn.index K
    %r = attn.to_real %i : int [K]
    %k = attn.reduce max %r over [K] : real [K]
    %g = attn.mul %gate, %k : real [T], real [])"),
            "(-inf, 0]");
  // A table without positive entries, at an index that may be outside.
  EXPECT_EQ(rangeOf(R"(%t = attn.input "t" [K] within <from -3.0 to -1.0> : real [K]
    %i = attn.index T
    %g = attn.gather %t K at %i : real [K], int [T])"),
            "[-3, 0]");
  EXPECT_EQ(rangeOf(R"(%t = attn.input "t" [K] within <from -3.0 to -1.0> : real [K]
    %two = attn.constant int 2
    %i = attn.constant int 3
    %e = attn.gather %t K at %i : real [K], int []
    %z = attn.index T
    %g = attn.add %e, %gate : real [], real [T])"),
            "(-inf, -1]");
  EXPECT_EQ(rangeOf(R"(%t = attn.input "t" optional [T] within <from -3.0 to -1.0> : real [T]
    %g = attn.neg %t : real [T])"),
            "[0, 3]");
  EXPECT_EQ(rangeOf(R"(%w = attn.input "w" param [T] fallback %m5 : real [] : real [T]
    %g = attn.neg %w : real [T])"),
            "(-inf, inf)");
  EXPECT_EQ(rangeOf(R"(%y = attn.input "y" [T, N] : real [T, N]
    %e = attn.exp %y : real [T, N]
    %g = attn.reduce sum %e over [N] : real [T, N])"),
            "(0, inf)");
  // There may be no windows.
  EXPECT_EQ(rangeOf(R"(%y = attn.input "y" [T, N] : real [T, N]
    %e = attn.exp %y : real [T, N]
    %g = attn.reduce sum %e over [N] : real [T, N])",
                    "T, K : 4, M, N = windows M of 4 step 2"),
            "[0, inf)");
}

TEST(DecayRange, NormalisersOfPositiveFeaturesArePositive) {
  const std::string state = R"(
    %y = attn.input "y" [T, K] : real [T, K]
    %k = attn.exp %y : real [T, K]
    %S = attn.state along T key %k over K : real [T, K] value %one : real [] decay %gate : real [T]
    %g = attn.read POINT %S, %k : [] K x 1 along T, real [T, K])";
  auto at = [&](const char *point) {
    std::string text = state;
    return rangeOf(text.replace(text.find("POINT"), 5, point));
  };
  EXPECT_EQ(at("after"), "(0, inf)");
  EXPECT_EQ(at("prev"), "[0, inf)"); // nothing is written before the first token
}

TEST(DecayRange, DecaysOfStates) {
  MLIRContext context;
  context.loadDialect<AttnDialect>();
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(R"(attn.attention @a none axes [T, K, V] {
    %k = attn.input "k" [T, K] : real [T, K]
    %v = attn.input "v" [T, V] : real [T, V]
    %g = attn.input "g" [T] within <from -2.0 to 0.0> : real [T]
    %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
    %D = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V] decay %g : real [T]
    %o = attn.read after %S, %k : [] K x V along T, real [T, K]
    %d = attn.read after %D, %k : [] K x V along T, real [T, K]
    attn.output "o" %o [T, V] : real [T, V]
    attn.output "d" %d [T, V] : real [T, V]
  })",
                                                             &context);
  ASSERT_TRUE(module);
  auto states = (*module->getOps<AttentionOp>().begin()).getBody().getOps<StateOp>();
  EXPECT_EQ(toString(decayRange(*states.begin())), "[0, 0]");
  EXPECT_EQ(toString(decayRange(*std::next(states.begin()))), "[-2, 0]");
}

TEST(DecayRange, AnchorsInTheMiddle) {
  FieldRange bounded{-5, 0, false, false}, open, growing{-1, 1, false, false};
  EXPECT_TRUE(mayAnchorInMiddle(bounded, 16)); // 8 rows of 5 nats
  EXPECT_FALSE(mayAnchorInMiddle(bounded, 17));
  EXPECT_FALSE(mayAnchorInMiddle(bounded, 64));
  EXPECT_FALSE(mayAnchorInMiddle(open, 16));
  EXPECT_FALSE(mayAnchorInMiddle(growing, 16));
  EXPECT_TRUE(mayAnchorInMiddle({0, 0, false, false}, 1 << 20));
}

/// A random expression of two scalars, and its value.
struct Random {
  std::mt19937 engine;
  OpBuilder &builder;
  Location loc;
  using Function = std::function<double(double, double)>;

  std::pair<Value, Function> make(unsigned depth, Value x, Value y) {
    auto pick = [&](int n) { return static_cast<int>(engine() % n); };
    if (depth == 0)
      switch (pick(3)) {
      case 0:
        return {x, [](double a, double) { return a; }};
      case 1:
        return {y, [](double, double b) { return b; }};
      default:
        double c = std::array{-2.0, -0.5, 0.0, 1.0, 3.0}[pick(5)];
        return {ConstantOp::create(builder, loc, c), [c](double, double) { return c; }};
      }
    auto first = make(depth - 1, x, y);
    Value lhs = first.first;
    Function f = first.second;
    auto one = [&](auto op, double (*function)(double)) -> std::pair<Value, Function> {
      return {decltype(op)::create(builder, loc, lhs), [f, function](double a, double b) { return function(f(a, b)); }};
    };
    if (int n = pick(20); n < 12) {
      namespace p = pointwise;
      switch (n) {
      case 0:
        return one(NegOp(), p::neg_);
      case 1:
        return one(AbsOp(), p::abs_);
      case 2:
        return one(ExpOp(), p::exp_);
      case 3:
        return one(SigmoidOp(), p::sigmoid_);
      case 4:
        return one(SoftplusOp(), p::softplus_);
      case 5:
        return one(LogSigmoidOp(), p::log_sigmoid_);
      case 6:
        return one(ReluOp(), p::relu_);
      case 7:
        return one(SiluOp(), p::silu_);
      case 8:
        return one(GeluOp(), p::gelu_);
      case 9:
        return one(LogOp(), p::log_);
      case 10:
        return one(RsqrtOp(), p::rsqrt_);
      default:
        return one(EluOp(), p::elu_);
      }
    }
    auto second = make(depth - 1, x, y);
    Value rhs = second.first;
    Function g = second.second;
    auto two = [&](auto op, double (*function)(double, double)) -> std::pair<Value, Function> {
      return {decltype(op)::create(builder, loc, lhs, rhs),
              [f, g, function](double a, double b) { return function(f(a, b), g(a, b)); }};
    };
    namespace p = pointwise;
    switch (pick(8)) {
    case 0:
      return two(AddOp(), p::add_);
    case 1:
      return two(SubOp(), p::sub_);
    case 2:
      return two(MulOp(), p::mul_);
    case 3:
      return two(DivOp(), p::div_);
    case 4:
      return two(MinOp(), p::min_);
    case 5:
      return two(MaxOp(), p::max_);
    case 6:
      return two(PowOp(), p::pow_);
    default:
      return two(LogAddExpOp(), p::logaddexp_);
    }
  }
};

TEST(DecayRange, NoElementIsOutside) {
  MLIRContext context;
  context.loadDialect<AttnDialect>();
  std::mt19937 engine(7);
  std::uniform_real_distribution<double> share(-1, 2), any(-6, 6);
  int narrow = 0;
  for (int round = 0; round < 2000; ++round) {
    OpBuilder builder(&context);
    Location loc = builder.getUnknownLoc();
    OwningOpRef<ModuleOp> module = ModuleOp::create(builder, loc);
    builder.setInsertionPointToEnd(module->getBody());
    auto op = AttentionOp::create(builder, loc, "a", Claim::None, AxisTableAttr::get(&context, ArrayRef<AxisAttr>()));
    builder.setInsertionPointToEnd(&op.getBody().front());
    auto bound = [&](double value) { return builder.getF64FloatAttr(value); };
    Value x = InputOp::create(builder, loc, op.getAxes(), "x", {}, Role::Input, Storage::F32,
                              IntervalAttr::get(&context, bound(-1), false, bound(2), false));
    Value y = InputOp::create(builder, loc, op.getAxes(), "y", {}, Role::Input, Storage::F32);
    Random random{std::mt19937(round), builder, loc};
    auto [value, f] = random.make(1 + round % 5, x, y);
    FieldRange range = deriveRange(value);
    narrow += std::isfinite(range.lower) || std::isfinite(range.upper);
    std::string text = toString(range) + " of ";
    llvm::raw_string_ostream(text) << *module;
    for (int n = 0; n < 40; ++n) {
      double element = f(share(engine), any(engine)), slack = std::isinf(element) ? 0 : 1e-9 * (1 + std::fabs(element));
      if (std::isnan(element))
        continue;
      EXPECT_GE(element, range.lower - slack) << round << " " << text;
      EXPECT_LE(element, range.upper + slack) << round << " " << text;
    }
  }
  EXPECT_GT(narrow, 1000);
}

} // namespace
