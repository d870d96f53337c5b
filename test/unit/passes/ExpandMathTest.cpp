// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The functions that tile-expand-math takes apart, computed in f32 as the expansion says and held against float64.
#include "passes/tile/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/TypeSwitch.h"
#include "gtest/gtest.h"

#include <bit>
#include <cmath>
#include <limits>

using namespace mlir;

namespace {

constexpr double u = 0x1p-24;
const float infinity = std::numeric_limits<float>::infinity();
const float nan = std::numeric_limits<float>::quiet_NaN();

/// A function of f32 (or i32, held exactly) after the pass.
class Expanded {
public:
  explicit Expanded(const std::string &body, const std::string &type = "f32") {
    context.loadDialect<arith::ArithDialect, math::MathDialect, func::FuncDialect>();
    std::string text =
        "func.func @f(%x: " + type + ", %y: " + type + ") -> " + type + " {\n" + body + "\nreturn %r : " + type + "\n}";
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    PassManager manager(&context);
    manager.addPass(fovea::tile::createTileExpandMathPass());
    EXPECT_TRUE(succeeded(manager.run(*module)));
  }

  double operator()(double x, double y = 0) {
    auto function = *module->getOps<func::FuncOp>().begin();
    Block &block = function.getBody().front();
    DenseMap<Value, double> values;
    values[block.getArgument(0)] = x;
    values[block.getArgument(1)] = y;
    for (Operation &op : block) {
      auto in = [&](unsigned n) { return values[op.getOperand(n)]; };
      if (isa<func::ReturnOp>(op))
        return in(0);
      std::optional<double> result =
          llvm::TypeSwitch<Operation *, std::optional<double>>(&op)
              .Case<arith::ConstantOp>([&](arith::ConstantOp c) -> double {
                if (auto number = dyn_cast<FloatAttr>(c.getValue()))
                  return number.getValueAsDouble();
                return double(cast<IntegerAttr>(c.getValue()).getValue().getSExtValue());
              })
              .Case<arith::AddFOp>([&](auto) { return float(in(0)) + float(in(1)); })
              .Case<arith::SubFOp>([&](auto) { return float(in(0)) - float(in(1)); })
              .Case<arith::MulFOp>([&](auto) { return float(in(0)) * float(in(1)); })
              .Case<arith::DivFOp>([&](auto) { return float(in(0)) / float(in(1)); })
              .Case<arith::NegFOp>([&](auto) { return -in(0); })
              .Case<arith::MaximumFOp>(
                  [&](auto) { return std::isnan(in(0)) || std::isnan(in(1)) ? double(nan) : std::max(in(0), in(1)); })
              .Case<math::AbsFOp>([&](auto) { return std::fabs(in(0)); })
              .Case<math::FloorOp>([&](auto) { return std::floor(in(0)); })
              .Case<math::RoundEvenOp>([&](auto) { return std::nearbyint(in(0)); })
              .Case<math::FmaOp>([&](auto) { return std::fma(float(in(0)), float(in(1)), float(in(2))); })
              .Case<math::Exp2Op>([&](auto) { return float(std::exp2(in(0))); })
              .Case<math::Log2Op>([&](auto) { return float(std::log2(in(0))); })
              .Case<arith::AndIOp>([&](auto) { return double(int64_t(in(0)) & int64_t(in(1))); })
              .Case<arith::XOrIOp>([&](auto) { return double(int64_t(in(0)) ^ int64_t(in(1))); })
              .Case<arith::FPToSIOp>([&](auto) { return std::isnan(in(0)) ? 0. : std::trunc(in(0)); })
              .Case<arith::AddIOp>([&](auto) { return in(0) + in(1); })
              .Case<arith::ShLIOp>([&](auto) { return double(int32_t(uint32_t(int64_t(in(0))) << int64_t(in(1)))); })
              .Case<arith::BitcastOp>([&](auto) { return double(std::bit_cast<float>(int32_t(in(0)))); })
              .Case<arith::SubIOp>([&](auto) { return in(0) - in(1); })
              .Case<arith::DivSIOp>([&](auto) { return double(int64_t(in(0)) / int64_t(in(1))); })
              .Case<arith::RemSIOp>([&](auto) { return double(int64_t(in(0)) % int64_t(in(1))); })
              .Case<arith::SelectOp>([&](auto) { return in(0) != 0 ? in(1) : in(2); })
              .Case<arith::CmpFOp>([&](arith::CmpFOp c) {
                return arith::applyCmpPredicate(c.getPredicate(), APFloat(float(in(0))), APFloat(float(in(1)))) ? 1.
                                                                                                                : 0.;
              })
              .Case<arith::CmpIOp>([&](arith::CmpIOp c) {
                return arith::applyCmpPredicate(c.getPredicate(), APInt(64, uint64_t(int64_t(in(0)))),
                                                APInt(64, uint64_t(int64_t(in(1)))))
                           ? 1.
                           : 0.;
              })
              .Default([](Operation *) { return std::nullopt; });
      if (!result) {
        ADD_FAILURE() << op.getName().getStringRef().str() << " is left over";
        return 0;
      }
      values[op.getResult(0)] = *result;
    }
    return 0;
  }

private:
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

template <typename Exact, typename Allowed>
void sweep(Expanded &f, double from, double to, Exact exact, Allowed allowed) {
  for (int n = 0; n <= 20000; ++n) {
    double x = float(from + (to - from) * n / 20000);
    double error = std::fabs(f(x) - exact(x));
    ASSERT_LE(error, allowed(x)) << "at " << x << ": " << f(x) << ", expected " << exact(x);
  }
}
/// Small arguments of both signs.
template <typename Exact, typename Allowed> void sweepSmall(Expanded &f, Exact exact, Allowed allowed) {
  for (int e = -60; e < -1; ++e)
    for (double sign : {-1.0, 1.0})
      for (double m : {1.0, 1.3, 1.7}) {
        double x = float(sign * std::ldexp(m, e));
        ASSERT_LE(std::fabs(f(x) - exact(x)), allowed(x)) << "at " << x;
      }
}

TEST(ExpandMath, Exp) {
  Expanded f("%r = math.exp %x : f32");
  auto exact = [](double x) { return std::exp(x); };
  auto allowed = [](double x) { return (2 + 1.25 * std::fabs(x)) * u * std::exp(x); };
  sweep(f, -80, 80, exact, allowed);
  EXPECT_EQ(f(-infinity), 0);
  EXPECT_EQ(f(infinity), infinity);
  EXPECT_TRUE(std::isnan(f(nan)));
}

TEST(ExpandMath, Expm1) {
  Expanded f("%r = math.expm1 %x : f32");
  auto exact = [](double x) { return std::expm1(x); };
  auto allowed = [](double x) { return (8 + 1.25 * std::fabs(x)) * u * std::fabs(std::expm1(x)); };
  sweep(f, -20, 60, exact, allowed);
  sweepSmall(f, exact, allowed);
  EXPECT_EQ(f(-infinity), -1);
  EXPECT_EQ(f(infinity), infinity);
  EXPECT_EQ(f(0), 0);
  EXPECT_TRUE(std::isnan(f(nan)));
}

TEST(ExpandMath, Log) {
  Expanded f("%r = math.log %x : f32");
  auto exact = [](double x) { return std::log(x); };
  auto allowed = [](double x) { return 4 * u * (1 + std::fabs(std::log(x))); };
  sweep(f, 1e-6, 4, exact, allowed);
  sweep(f, 1, 1e30, exact, allowed);
  EXPECT_EQ(f(0), -infinity);
  EXPECT_EQ(f(infinity), infinity);
  EXPECT_TRUE(std::isnan(f(-1)));
}

TEST(ExpandMath, Log1p) {
  Expanded f("%r = math.log1p %x : f32");
  auto exact = [](double x) { return std::log1p(x); };
  auto allowed = [](double x) { return 8 * u * std::fabs(std::log1p(x)); };
  sweep(f, -0.999, 3, exact, allowed);
  sweep(f, 3, 1e20, exact, allowed);
  sweepSmall(f, exact, allowed);
  EXPECT_EQ(f(-1), -infinity);
  EXPECT_EQ(f(infinity), infinity);
  EXPECT_EQ(f(0), 0);
  EXPECT_TRUE(std::isnan(f(nan)));
}

TEST(ExpandMath, Tanh) {
  Expanded f("%r = math.tanh %x : f32");
  sweep(
      f, -30, 30, [](double x) { return std::tanh(x); }, [](double) { return 4 * u; });
  EXPECT_EQ(f(infinity), 1);
  EXPECT_EQ(f(-infinity), -1);
  EXPECT_TRUE(std::isnan(f(nan)));
}

TEST(ExpandMath, Erf) {
  Expanded f("%r = math.erf %x : f32");
  sweep(
      f, -6, 6, [](double x) { return std::erf(x); }, [](double) { return 8 * u; });
  EXPECT_EQ(f(infinity), 1);
  EXPECT_EQ(f(-infinity), -1);
  EXPECT_TRUE(std::isnan(f(nan)));
}

TEST(ExpandMath, Pow) {
  Expanded f("%r = math.powf %x, %y : f32");
  for (double y : {-3.0, -2.5, -1.0, -0.3, 0.3, 1.0, 1.7, 2.0, 5.0})
    for (int n = 1; n <= 2000; ++n) {
      double x = float(n * 0.01);
      double exact = std::pow(x, double(float(y)));
      double allowed = (4 + std::fabs(y * std::log2(x))) * u * exact;
      ASSERT_LE(std::fabs(f(x, float(y)) - exact), allowed) << x << "^" << y;
    }
  for (double y : {-3.0, -2.0, -1.0, 1.0, 2.0, 3.0})
    EXPECT_NEAR(f(-1.5, y), std::pow(-1.5, y), 8 * u * std::fabs(std::pow(-1.5, y)));
  EXPECT_TRUE(std::isnan(f(-1.5, 0.5)));
  EXPECT_EQ(f(0, 0), 1);
  EXPECT_EQ(f(0, 2), 0);
  EXPECT_EQ(f(0, -1), infinity);
  EXPECT_EQ(f(1, infinity), 1);
  EXPECT_EQ(f(7, 0), 1);
}

TEST(ExpandMath, PowOfAConstantBase) {
  for (double base : {10000.0, 500000.0, 10.0, 2.0, 0.5, 0.97, 1e-3}) {
    Expanded f("%b = arith.constant " + std::to_string(base) + " : f32\n%r = math.powf %b, %x : f32");
    double b = float(base), above = 120 / std::fabs(std::log2(b));
    for (int n = -4000; n <= 4000; ++n) {
      double y = float(above * n / 4000), exact = std::pow(b, y);
      ASSERT_LE(std::fabs(f(y) - exact), 2.5 * u * exact) << b << "^" << y;
    }
    bool grows = b > 1;
    EXPECT_EQ(f(infinity), grows ? infinity : 0);
    EXPECT_EQ(f(-infinity), grows ? 0 : infinity);
    EXPECT_EQ(f(1e30), grows ? infinity : 0);
    EXPECT_EQ(f(-1e30), grows ? 0 : infinity);
    EXPECT_EQ(f(0), 1);
    EXPECT_TRUE(std::isnan(f(nan)));
  }
  Expanded one("%b = arith.constant 1.0 : f32\n%r = math.powf %b, %x : f32");
  EXPECT_EQ(one(-7), 1);
  EXPECT_EQ(one(infinity), 1);
}

TEST(ExpandMath, SinCos) {
  for (bool cosine : {false, true}) {
    Expanded f(cosine ? "%r = math.cos %x : f32" : "%r = math.sin %x : f32");
    auto exact = [&](double x) { return cosine ? std::cos(x) : std::sin(x); };
    sweep(f, -8, 8, exact, [](double) { return 2 * u; });
    for (double most : {1e3, 1e5, 1e6})
      sweep(f, -most, most, exact, [](double) { return 2 * u; });
    // Positions, as they come.
    for (int n = 0; n <= 1000000; n += 37)
      ASSERT_LE(std::fabs(f(n) - exact(n)), 2 * u) << n;
    // Beyond, accuracy fades but values stay bounded.
    sweep(f, 1e6, 6e6, exact, [](double x) { return x * 0x1p-23; });
    for (double x : {1e7, 1e9, 1e20, 3e38})
      EXPECT_LE(std::fabs(f(x)), 1.1) << x;
    if (!cosine)
      sweepSmall(f, exact, [&](double x) { return u * std::fabs(x); });
    EXPECT_EQ(f(0), cosine ? 1 : 0);
    EXPECT_TRUE(std::isnan(f(infinity)));
    EXPECT_TRUE(std::isnan(f(-infinity)));
    EXPECT_TRUE(std::isnan(f(nan)));
  }
}

TEST(ExpandMath, SinCosOfAProduct) {
  Expanded sine("%p = arith.mulf %x, %y : f32\n%r = math.sin %p : f32"),
      cosine("%p = arith.mulf %x, %y : f32\n%r = math.cos %p : f32");
  for (int position : {1, 77, 4095, 32767})
    for (int f = 0; f < 32; ++f) {
      double frequency = float(std::pow(1e4, -f / 32.)), angle = position * frequency;
      EXPECT_NEAR(sine(position, frequency), std::sin(angle), 3 * u) << position << " " << frequency;
      EXPECT_NEAR(cosine(position, frequency), std::cos(angle), 3 * u) << position << " " << frequency;
    }
}

TEST(ExpandMath, Minimum) {
  Expanded f("%r = arith.minimumf %x, %y : f32");
  EXPECT_EQ(f(1, 2), 1);
  EXPECT_EQ(f(2, -3), -3);
  EXPECT_EQ(f(-infinity, 0), -infinity);
  EXPECT_TRUE(std::isnan(f(nan, 1)));
  EXPECT_TRUE(std::isnan(f(1, nan)));
}

TEST(ExpandMath, FloorDivision) {
  Expanded f("%r = arith.floordivsi %x, %y : i32", "i32");
  Expanded byFour("%c = arith.constant 4 : i32\n%r = arith.floordivsi %x, %c : i32", "i32");
  for (int x = -40; x <= 40; ++x) {
    EXPECT_EQ(byFour(x), std::floor(x / 4.0)) << x;
    for (int y = -7; y <= 7; ++y)
      if (y) {
        EXPECT_EQ(f(x, y), std::floor(double(x) / y)) << x << " // " << y;
      }
  }
}

} // namespace
