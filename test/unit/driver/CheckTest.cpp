// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A check passes on what the compiler made, and pins a fault to the level where it was put.
#include "frontend/driver/Check.h"
#include "test/unit/driver/Spec.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "gtest/gtest.h"

#include <bit>
#include <cmath>

using namespace fovea;
using namespace fovea::driver;

namespace {

CheckCase small(Pattern pattern = Pattern::Normal) {
  CheckCase each;
  each.sets = {{"D", "32"}};
  each.sizes = {{"B", 1}, {"T", 40}, {"S", 90}, {"H", 2}, {"D", 32}};
  each.pattern = pattern;
  return each;
}

CheckReport check(std::function<void(Compilation &)> tamper, Pattern pattern = Pattern::Normal) {
  Compiler compiler;
  CheckOptions options;
  options.tamper = std::move(tamper);
  Checker checker(compiler, test::causal(), options);
  return checker.run(small(pattern));
}

/// Multiplies the first f32 scalar or splat constant in (0.01, 0.9) by 1.05: a scale that is slightly wrong.
void spoilScale(mlir::Operation *root) {
  bool done = false;
  root->walk([&](mlir::arith::ConstantOp op) {
    if (done)
      return;
    auto spoil = [&](mlir::APFloat value) {
      double x = value.convertToDouble();
      done = x > 0.01 && x < 0.9;
      return x * 1.05;
    };
    mlir::Builder b(op.getContext());
    if (auto number = llvm::dyn_cast<mlir::FloatAttr>(op.getValue())) {
      double wrong = spoil(number.getValue());
      if (done)
        op.setValueAttr(b.getFloatAttr(number.getType(), wrong));
    } else if (auto splat = llvm::dyn_cast<mlir::SplatElementsAttr>(op.getValue());
               splat && splat.getElementType().isF32()) {
      double wrong = spoil(splat.getSplatValue<mlir::APFloat>());
      if (done)
        op.setValueAttr(mlir::DenseElementsAttr::get(splat.getType(), static_cast<float>(wrong)));
    }
  });
  EXPECT_TRUE(done);
}

TEST(Check, PassesOnWhatWasCompiled) {
  for (Pattern pattern : {Pattern::Normal, Pattern::LargeLogits, Pattern::Early, Pattern::Rising}) {
    CheckReport report = check({}, pattern);
    EXPECT_TRUE(report.passed) << report.level << ": " << report.message;
  }
}

TEST(Check, FindsAFaultOfTheCanonicalAttention) {
  CheckReport report = check([](Compilation &c) {
    c.canonical().walk([](attn::ConstantOp op) {
      if (auto number = llvm::dyn_cast<mlir::FloatAttr>(op.getValue()))
        op.setValueAttr(mlir::FloatAttr::get(number.getType(), number.getValueAsDouble() * (1 + 1e-6)));
    });
  });
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level, "attn");
}

TEST(Check, FindsAFaultOfTheProgram) {
  CheckReport report = check([](Compilation &c) { spoilScale(c.expanded()); });
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level, "tile");
}

TEST(Check, FindsAFaultOfTheSchedule) {
  CheckReport report = check([](Compilation &c) { spoilScale(c.scheduled()); });
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level, "schedule");
}

TEST(Check, FindsAFaultOfTheText) {
  // Another function in place of the exponential.
  CheckReport report = check([](Compilation &c) {
    std::string &ptx = c.plan->modules.front().ptx;
    size_t at = ptx.find("ex2.approx.ftz.f32");
    ASSERT_NE(at, std::string::npos);
    ptx.replace(at, 18, "lg2.approx.ftz.f32");
  });
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level, "ptx");
}

TEST(Check, FindsAScaleOfTheTextThatIsOffByOnePartInAHundred) {
  Compiler compiler;
  CheckOptions options;
  options.tamper = [](Compilation &c) {
    std::string &ptx = c.plan->modules.front().ptx;
    // D^-0.5 log2(e) as f32.
    float scale = static_cast<float>(1.4426950408889634 / std::sqrt(32.0)), wrong = scale * 1.01f;
    auto text = [](float x) {
      char buffer[16];
      std::snprintf(buffer, sizeof buffer, "0f%08X", std::bit_cast<uint32_t>(x));
      return std::string(buffer);
    };
    size_t at = ptx.find(text(scale));
    ASSERT_NE(at, std::string::npos);
    for (; at != std::string::npos; at = ptx.find(text(scale)))
      ptx.replace(at, 10, text(wrong));
  };
  Checker checker(compiler, test::scaledKeys(), options);
  CheckReport report = checker.run(small());
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level, "ptx");
  EXPECT_NE(report.message.find("2-norm"), std::string::npos) << report.message;
}

TEST(Check, FindsARace) {
  CheckReport report = check([](Compilation &c) {
    std::string &ptx = c.plan->modules.front().ptx;
    for (size_t at = ptx.find("bar.sync"); at != std::string::npos; at = ptx.find("bar.sync", at)) {
      size_t end = ptx.find(';', at);
      ptx.replace(at, end - at, std::string());
    }
  });
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level, "ptx");
}

TEST(Check, MakesCasesForOpenSizes) {
  Compiler compiler;
  CheckOptions options;
  Checker checker(compiler, test::causal(), options);
  syntax::DiagnosticEngine diagnostics;
  std::string name;
  std::vector<CheckCase> cases = checker.makeCases(diagnostics, name);
  EXPECT_EQ(name, "causal");
  bool one = false, less = false, more = false, equal = false, padded = false, many = false;
  std::set<int64_t> dims;
  for (const CheckCase &each : cases) {
    int64_t t = each.sizes.find("T")->second, s = each.sizes.find("S")->second;
    one |= t == 1;
    less |= t < s;
    more |= t > s;
    equal |= t == s;
    padded |= each.padded;
    many |= each.sizes.find("B")->second > 1 && each.sizes.find("H")->second > 1;
    dims.insert(each.sizes.find("D")->second);
  }
  EXPECT_TRUE(one && less && more && equal && padded && many);
  EXPECT_GE(dims.size(), 3u);
}

TEST(Check, RefusalIsNoFailure) {
  Compiler compiler;
  CheckOptions options;
  options.compile.type = "bf16";
  // More accumulators than registers, even in the smallest parts.
  std::string sum = "p(v)";
  for (int power = 2; power <= 24; ++power)
    sum += " + p(v[j]^" + std::to_string(power) + ")";
  SourceText source = test::causal(sum);
  Checker checker(compiler, source, options);
  CheckCase each = small();
  each.sets = {{"D", "256"}};
  each.sizes.find("D")->second = 256;
  CheckReport report = checker.run(each);
  EXPECT_FALSE(report.passed);
  EXPECT_TRUE(report.refused) << report.message;
  EXPECT_NE(report.message.find("no schedule fits sm_80"), std::string::npos) << report.message;
}

} // namespace
