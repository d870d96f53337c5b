// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Inputs of recurrences: which patterns an attention gets, and what its decays, keys, strengths and memory hold.
#include "frontend/driver/Inputs.h"
#include "frontend/driver/Compiler.h"
#include "test/unit/driver/Spec.h"

#include "gtest/gtest.h"

#include <cmath>
#include <set>

using namespace fovea;
using namespace fovea::driver;

namespace {

/// q, k : [T, K], v : [T, V] and what the recurrence needs; `state` are its fields.
struct Drawn {
  Compiler compiler;
  std::unique_ptr<Compilation> result;

  Drawn(const std::string &declarations, const std::string &state) {
    CompileOptions options;
    options.sets = {{"K", "4"}, {"V", "4"}};
    options.last = Stage::Attn;
    result = compiler.compile({"state.attn", "fovea 1\n"
                                             "attention a causal {\n"
                                             "  axis T, K, V\n"
                                             "  input q, k : [T, K]\n"
                                             "  input v : [T, V]\n" +
                                                 declarations + "  state S[K, V] = recur over T { " + state +
                                                 " }\n"
                                                 "  output o = read(S, q)\n"
                                                 "}\n"},
                              options);
    EXPECT_TRUE(result->ok()) << result->diagnostics().render();
  }

  std::string patterns() {
    std::string text;
    for (Pattern pattern : adversarialPatterns(*result->attention))
      if (std::find(std::begin(kAdversarial), std::end(kAdversarial), pattern) == std::end(kAdversarial))
        text += std::string(text.empty() ? "" : " ") + patternName(pattern);
    return text;
  }

  std::vector<double> draw(const std::string &name, Pattern pattern) {
    auto array = drawInput(*result->attention, result->interface, name, {{"T", 40}, {"K", 4}, {"V", 4}}, pattern, 1);
    EXPECT_TRUE(array);
    return array ? array->toDoubles() : std::vector<double>();
  }
};

TEST(Inputs, PatternsFollowTheOperandsOfStates) {
  EXPECT_EQ(Drawn("", "key: k; value: v").patterns(), "equal-keys");
  EXPECT_EQ(Drawn("input g : f32 [T] <= 0\n", "key: k; value: v; decay: g").patterns(), "decays equal-keys");
  EXPECT_EQ(Drawn("input g : f32 [T, K] <= 0\n", "key: k; value: v; decay: g").patterns(),
            "decays decay-neighbours equal-keys");
  EXPECT_EQ(Drawn("input b : f32 [T]\n", "key: k; value: b * v; erase: b * k").patterns(), "equal-keys strengths");
  // A decay that products make of an input is not that input.
  EXPECT_EQ(Drawn("param w : f32 [K]\n", "key: k; value: v; decay: -exp(dot[K](k, w))").patterns(), "equal-keys");
  Compiler compiler;
  auto softmax = compiler.compile(driver::test::causal(), driver::test::sized(Stage::Attn));
  ASSERT_TRUE(softmax->ok());
  EXPECT_EQ(adversarialPatterns(*softmax->attention).size(), std::size(kAdversarial));
}

TEST(Inputs, DecaysOfAContract) {
  Drawn drawn("input g : f32 [T, K] <= 0\n", "key: k; value: v; decay: g");
  std::vector<double> values = drawn.draw("g", Pattern::Decays);
  std::set<double> seen(values.begin(), values.end());
  EXPECT_EQ(seen, (std::set<double>{0, static_cast<double>(-1e-4f), -5, -20, -1e4}));
  values = drawn.draw("g", Pattern::DecayNeighbours);
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(values[i], i % 2 ? -20 : 0);
  for (double x : drawn.draw("g", Pattern::LargeLogits))
    EXPECT_LE(x, 0);
  EXPECT_EQ(drawn.draw("q", Pattern::Decays), drawn.draw("q", Pattern::Normal));
}

TEST(Inputs, DecaysWithinNarrowerContracts) {
  Drawn drawn("input g : f32 [T] in [-8, 0]\n", "key: k; value: v; decay: g");
  for (double x : drawn.draw("g", Pattern::Decays)) {
    EXPECT_GE(x, -8);
    EXPECT_LE(x, 0);
  }
}

TEST(Inputs, LogitsOfDecays) {
  auto count = [](Drawn drawn) {
    std::vector<double> values = drawn.draw("g", Pattern::Decays);
    return std::set<double>(values.begin(), values.end()).size();
  };
  EXPECT_EQ(count(Drawn("input g : f32 [T, K]\n", "key: k; value: v; decay: log_sigmoid(g) / 16")), 9u);
  EXPECT_EQ(count(Drawn("input g : f32 [T, K]\n", "key: k; value: v; decay: -exp(g)")), 5u);
}

// The sign is not known to be that of a decay: an upper bound is kept by force.
TEST(Inputs, DecaysWithoutAContractDoNotGrow) {
  Drawn drawn("input g : f32 [T]\n", "key: k; value: v; decay: min(g, 0)");
  for (double x : drawn.draw("g", Pattern::Decays))
    EXPECT_LE(x, 0);
}

TEST(Inputs, EqualKeys) {
  Drawn drawn("", "key: k; value: v");
  std::vector<double> keys = drawn.draw("k", Pattern::EqualKeys), values = drawn.draw("v", Pattern::EqualKeys);
  for (int t = 1; t < 40; ++t)
    for (int d = 0; d < 4; ++d)
      EXPECT_EQ(keys[t * 4 + d], t % 7 == 6 ? 0 : keys[d]);
  EXPECT_NE(values[4], values[0]);
}

TEST(Inputs, Strengths) {
  Drawn plain("input b : f32 [T]\n", "key: k; value: b * v; erase: b * k");
  std::vector<double> values = plain.draw("b", Pattern::Strengths);
  EXPECT_EQ(std::set<double>(values.begin(), values.end()), (std::set<double>{0, 1, 2}));
  for (Pattern pattern : {Pattern::Normal, Pattern::LargeLogits}) // contractive
    for (double x : plain.draw("b", pattern)) {
      EXPECT_GE(x, 0);
      EXPECT_LE(x, 1);
    }
  Drawn logits("input b : f32 [T]\n", "key: k; value: sigmoid(b) * v; erase: sigmoid(b) * k");
  values = logits.draw("b", Pattern::Strengths);
  EXPECT_EQ(std::set<double>(values.begin(), values.end()), (std::set<double>{-40, 0, 40}));
}

TEST(Inputs, CarriedMemoryOfNormalisersIsPositive) {
  Drawn drawn("carry h : f32 [K, V]\n  carry n : f32 [K]\n", "key: exp(k); value: v; initial: h, n; divide: sum");
  bool negative = false;
  for (double x : drawn.draw("h", Pattern::Normal))
    negative |= x < 0;
  EXPECT_TRUE(negative);
  for (double x : drawn.draw("n", Pattern::Normal))
    EXPECT_GT(x, 0);
}

} // namespace
