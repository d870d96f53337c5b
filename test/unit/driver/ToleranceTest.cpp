// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tolerances grow with what is rounded, and bounds hold what a rounded computation may differ by.
#include "frontend/driver/Tolerance.h"
#include "frontend/driver/Inputs.h"
#include "test/unit/driver/Spec.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace fovea;
using namespace fovea::driver;

namespace {

struct Compiled {
  Compiler compiler;
  std::unique_ptr<Compilation> result;
  explicit Compiled(const std::string &output = "p(v)", const std::string &type = "bf16") {
    CompileOptions options = test::sized(Stage::Attn);
    options.type = type;
    result = compiler.compile(test::causal(output), options);
    EXPECT_TRUE(result->ok()) << result->diagnostics().render();
  }
};

const reference::AxisSizes kSizes = {{"B", 1}, {"T", 8}, {"S", 8}, {"H", 1}, {"D", 32}, {"j", 8}};

TEST(Tolerance, IsWithinItsLimitAndTighterForF16) {
  Compiled bf16, f16("p(v)", "f16");
  OutputTolerance wide = toleranceFor(bf16.result->attn(), runtime::StorageType::BF16, kSizes).outputs["o"];
  OutputTolerance tight = toleranceFor(f16.result->attn(), runtime::StorageType::F16, kSizes).outputs["o"];
  EXPECT_DOUBLE_EQ(wide.limit, 5e-3);
  EXPECT_DOUBLE_EQ(tight.limit, 5e-3 / 8);
  EXPECT_LE(wide.relative2, wide.limit);
  EXPECT_LT(tight.relative2, wide.relative2 / 4);
  EXPECT_NE(wide.format().find("weights"), std::string::npos);
}

TEST(Tolerance, NamesWhatIsRounded) {
  Compiled squared("p(v[j] * v[j])");
  OutputTolerance tolerance = toleranceFor(squared.result->attn(), runtime::StorageType::BF16, kSizes).outputs["o"];
  EXPECT_NE(tolerance.format().find("operands rounded (1)"), std::string::npos) << tolerance.format();
}

TEST(Tolerance, OfF32IsThatOfItsProducts) {
  Compiled compiled("p(v)", "f32");
  auto of = [&](const char *precision) {
    return toleranceFor(compiled.result->attn(), {runtime::StorageType::F32, precision}, kSizes);
  };
  EXPECT_DOUBLE_EQ(of("fma").outputs["o"].limit, 1e-6);
  EXPECT_DOUBLE_EQ(of("3xtf32").outputs["o"].limit, 1e-6);
  EXPECT_DOUBLE_EQ(of("tf32").outputs["o"].limit, 5e-3 / 8);
  EXPECT_DOUBLE_EQ(of("3xtf32").sameRoundings, 1e-6);
  EXPECT_GT(of("tf32").sameRoundings, 1e-5);
  EXPECT_EQ(of("fma").outputs["o"].format().find("operands rounded"), std::string::npos);
  EXPECT_NE(of("tf32").outputs["o"].format().find("operands rounded (3)"), std::string::npos);
}

TEST(Tolerance, StatesCarryAlongWhatIsRoundedToTheOtherSide) {
  auto apart = [](int64_t tokens) {
    Compiler compiler;
    CompileOptions options = test::sized(Stage::Attn);
    options.sets = {{"K", "32"}, {"V", "32"}};
    std::unique_ptr<Compilation> result = compiler.compile(SourceText{"a.attn", R"(fovea 1
attention a causal {
  axis B, T, H, K, V
  static K, V
  input q, k : [B, T, H, K]
  input v : [B, T, H, V]
  state S[K, V] = recur over T { key: k; value: v; erase: k }
  output o = read(S, q)
}
)"},
                                                           options);
    reference::AxisSizes sizes{{"B", 1}, {"T", tokens}, {"H", 1}, {"K", 32}, {"V", 32}};
    return toleranceFor(result->attn(), runtime::StorageType::BF16, sizes).outputs["o"];
  };
  EXPECT_LT(apart(16).carriedApart, 1e-6); // of the products of one chunk alone
  EXPECT_LT(apart(40).carriedApart, 1e-3);
  EXPECT_GT(apart(300).carriedApart, 5e-3); // as much as they round
  EXPECT_LE(apart(100000).carriedApart, apart(100000).limit);
  EXPECT_EQ(toleranceFor(Compiled().result->attn(), runtime::StorageType::BF16, kSizes).outputs["o"].carriedApart, 0);
}

TEST(Tolerance, StatisticsAreJudgedByElement) {
  Compiled compiled;
  OutputTolerance tolerance = toleranceFor(compiled.result->attn(), runtime::StorageType::BF16, kSizes).outputs["lse"];
  EXPECT_TRUE(tolerance.isStatistic);
  EXPECT_DOUBLE_EQ(tolerance.absolute, 1e-3);
  EXPECT_DOUBLE_EQ(tolerance.relative, 0x1p-22);
}

/// Scores of computed keys, and their errors.
struct Scaled {
  Compiler compiler;
  std::unique_ptr<Compilation> result;
  reference::AxisSizes sizes;
  reference::Tensors inputs;
  Tolerance tolerance;

  Scaled(const std::string &scale, const std::string &lines, int64_t tokens) {
    CompileOptions options = test::sized(Stage::Attn);
    options.type = "bf16";
    result = compiler.compile(test::scaledKeys(scale, lines), options);
    EXPECT_TRUE(result->ok()) << result->diagnostics().render();
    sizes = {{"B", 2}, {"T", tokens}, {"S", tokens}, {"H", 2}, {"D", 32}, {"j", tokens}};
    auto drawn = drawInputs(*result->attention, result->interface, {sizes.begin(), sizes.end()}, Pattern::Normal, 1);
    EXPECT_TRUE(drawn);
    inputs = toTensors(*drawn);
    tolerance = toleranceFor(result->attn(), result->arithmetic(), sizes);
    llvm::Error error = addProductErrors(tolerance, result->attn(), result->arithmetic(), sizes, inputs);
    EXPECT_FALSE(bool(error));
  }
  std::vector<double> evaluate(const reference::Tensors &of) {
    auto outputs = reference::evaluate(result->attn(), sizes, of);
    EXPECT_TRUE(bool(outputs));
    return (*outputs)["o"].data;
  }
  std::vector<double> output() { return evaluate(inputs); }
  /// Allowed, relative; outputs are no sums.
  double allowed() {
    std::vector<double> o = output();
    return tolerance.outputs["o"].allowed(o, o);
  }
  /// The expected 2-norm of the error, from random roundings of the keys.
  double measured() {
    std::vector<double> exact = output();
    uint64_t state = 88172645463325252u;
    auto uniform = [&] {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      return static_cast<double>(state >> 11) * 0x1p-53 * 2 - 1;
    };
    double total = 0;
    constexpr int kDraws = 40;
    for (int n = 0; n < kDraws; ++n) {
      reference::Tensors rounded = inputs;
      for (double &x : rounded["e"].data)
        x *= 1 + 0x1p-8 * uniform();
      std::vector<double> o = evaluate(rounded);
      for (size_t i = 0; i < o.size(); ++i)
        total += (o[i] - exact[i]) * (o[i] - exact[i]) / kDraws;
    }
    return std::sqrt(total);
  }
  double fromProducts() { return tolerance.outputs["o"].fromProducts; }
};

const char *const kUndivided = "    weight: exp(min(score, 2))\n    divide: none\n";

TEST(Tolerance, OfProductsHoldsWhatRoundingsDo) {
  for (const char *lines : {"", kUndivided, "    weight: sigmoid\n    divide: none\n", "    divide: max(sum, 1)\n"})
    for (const char *scale : {"D^-0.5", "D^-0.5 * 4"}) {
      Scaled scaled(scale, lines, 24);
      double ratio = scaled.fromProducts() / scaled.measured();
      EXPECT_GT(ratio, 1.0) << lines << scale;
      EXPECT_LT(ratio, 2.5) << lines << scale; // few rows are most of some
    }
}

TEST(Tolerance, GrowsWithTheSlopeOfTheScore) {
  Scaled flat("D^-0.5", "", 24), steep("D^-0.5 * 8", "", 24);
  EXPECT_DOUBLE_EQ(flat.allowed(), flat.tolerance.outputs["o"].limit); // within what is allowed anyway
  EXPECT_GT(steep.fromProducts(), 3 * flat.fromProducts());
  EXPECT_GT(steep.allowed(), 1.5 * flat.allowed());
}

TEST(Tolerance, OfOneKeyDoesNotAverage) {
  // Divided, the weight of one key is 1.
  Scaled divided("D^-0.5", "", 1), undivided("D^-0.5", kUndivided, 1);
  EXPECT_NEAR(divided.fromProducts(), 0, 1e-9);
  EXPECT_GT(undivided.allowed(), 1.5 * undivided.tolerance.outputs["o"].limit);
  EXPECT_GT(undivided.fromProducts(), 2.5 * undivided.measured());
}

TEST(Tolerance, OfStoredOperandsIsUnchanged) {
  Compiled compiled;
  auto inputs = drawInputs(*compiled.result->attention, compiled.result->interface,
                           {{"B", 1}, {"T", 8}, {"S", 8}, {"H", 1}, {"D", 32}}, Pattern::Normal, 0);
  ASSERT_TRUE(inputs);
  Tolerance tolerance = toleranceFor(compiled.result->attn(), runtime::StorageType::BF16, kSizes);
  llvm::Error error =
      addProductErrors(tolerance, compiled.result->attn(), runtime::StorageType::BF16, kSizes, toTensors(*inputs));
  ASSERT_FALSE(bool(error));
  EXPECT_EQ(tolerance.outputs["o"].fromProducts, 0);
  EXPECT_EQ(tolerance.outputs["lse"].fromProducts, 0);
  EXPECT_DOUBLE_EQ(tolerance.outputs["o"].allowed({3, 4}, {3, 4}), 5e-3);
  EXPECT_DOUBLE_EQ(tolerance.outputs["o"].allowed({6, 8}, {3, 4}), 1e-2);
}

/// A scale of scores that is wrong by one part in a hundred is still off by more than is allowed.
TEST(Tolerance, TellsAScaleThatIsWrong) {
  for (const char *lines : {"", kUndivided, "    divide: max(sum, 1)\n"}) {
    Scaled scaled("D^-0.5 * 2", lines, 24), wrong("D^-0.5 * 2.02", lines, 24);
    std::vector<double> o = scaled.output(), other = wrong.evaluate(scaled.inputs);
    double difference = 0, size = 0;
    for (size_t i = 0; i < o.size(); ++i) {
      difference += (o[i] - other[i]) * (o[i] - other[i]);
      size += o[i] * o[i];
    }
    EXPECT_GT(std::sqrt(difference / size), 1.2 * scaled.allowed()) << lines;
  }
}

/// Bounds for constant inputs, where they are known: all weights equal, v = 0.5, so o = 0.5.
TEST(Bounds, AreAFewUlpsWhereNothingIsHard) {
  Compiled compiled;
  auto inputs = drawInputs(*compiled.result->attention, compiled.result->interface,
                           {{"B", 1}, {"T", 8}, {"S", 8}, {"H", 1}, {"D", 32}}, Pattern::Constant, 0);
  ASSERT_TRUE(inputs) << inputs.error().message;
  auto bounds = boundErrors(compiled.result->attn(), runtime::StorageType::BF16, kSizes, toTensors(*inputs));
  ASSERT_TRUE(bool(bounds)) << llvm::toString(bounds.takeError());
  for (double e : (*bounds)["o"].data) {
    EXPECT_GT(e, 0.5 * 0x1p-8);
    EXPECT_LT(e, 0.5 * 5 * 0x1p-8);
  }
  for (double e : (*bounds)["lse"].data)
    EXPECT_LT(e, 1e-4);
}

TEST(Bounds, GrowWithTheLogits) {
  Compiled compiled;
  double before = 0;
  for (Pattern pattern : {Pattern::Zeros, Pattern::Normal, Pattern::LargeLogits}) {
    auto inputs = drawInputs(*compiled.result->attention, compiled.result->interface,
                             {{"B", 1}, {"T", 8}, {"S", 8}, {"H", 1}, {"D", 32}}, pattern, 0);
    ASSERT_TRUE(inputs);
    auto bounds = boundErrors(compiled.result->attn(), runtime::StorageType::BF16, kSizes, toTensors(*inputs));
    ASSERT_TRUE(bool(bounds)) << llvm::toString(bounds.takeError());
    double sum = 0;
    for (double e : (*bounds)["lse"].data)
      sum += e;
    EXPECT_GT(sum, before);
    before = sum;
  }
}

TEST(Magnitudes, AreThoseOfTheTermsThatCancel) {
  Compiled plain, cancelling("p(v) - p(v) * 1.0 + p(v)");
  auto inputs = drawInputs(*plain.result->attention, plain.result->interface,
                           {{"B", 1}, {"T", 8}, {"S", 8}, {"H", 1}, {"D", 32}}, Pattern::Normal, 0);
  ASSERT_TRUE(inputs);
  reference::Tensors values = toTensors(*inputs);
  auto of = [&](Compiled &compiled) {
    auto result = magnitudes(compiled.result->attn(), kSizes, values);
    EXPECT_TRUE(bool(result));
    return (*result)["o"].data;
  };
  auto value = reference::evaluate(plain.result->attn(), kSizes, values);
  ASSERT_TRUE(bool(value));
  std::vector<double> one = of(plain), three = of(cancelling);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(one[i], std::abs((*value)["o"].data[i]), 1e-12);
    EXPECT_NEAR(three[i], std::sqrt(3.0) * one[i], 1e-9);
  }
}

TEST(Inputs, KeepTheirContract) {
  Compiler compiler;
  SourceText source{"gate.attn", "fovea 1\n"
                                 "attention gate {\n"
                                 "  axis B, T, D\n"
                                 "  static D\n"
                                 "  input q, k, v : [B, T, D]\n"
                                 "  input a : f32 [B, T] in [0, 1)\n"
                                 "  input b : f32 [B, T] <= 0\n"
                                 "  input n : i32 [B] >= 2\n"
                                 "  let p = weights over T {\n"
                                 "    score: dot[D](q[i], k[j])\n"
                                 "    where: j < n\n"
                                 "  }\n"
                                 "  output o = p(v) * a + b\n"
                                 "}\n"};
  auto result = compiler.compile(source, test::sized(Stage::Attn));
  ASSERT_TRUE(result->ok()) << result->diagnostics().render();
  for (Pattern pattern : kAdversarial) {
    auto inputs = drawInputs(*result->attention, result->interface, {{"B", 40}, {"T", 8}, {"D", 32}}, pattern, 3);
    ASSERT_TRUE(inputs) << inputs.error().message;
    for (double a : inputs->find("a")->second.toDoubles())
      EXPECT_TRUE(a >= 0 && a < 1) << patternName(pattern) << ' ' << a;
    for (double b : inputs->find("b")->second.toDoubles())
      EXPECT_LE(b, 0);
    for (double n : inputs->find("n")->second.toDoubles())
      EXPECT_TRUE(n >= 2 && n == std::floor(n));
  }
}

} // namespace
