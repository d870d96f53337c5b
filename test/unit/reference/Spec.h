// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Attentions as text, random arrays and comparisons for the tests of the reference.
#pragma once

#include "reference/attn/Reference.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

#include <cmath>
#include <random>

namespace fovea::reference::test {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A module of one attention.
class Spec {
public:
  explicit Spec(const std::string &text) {
    context.loadDialect<attn::AttnDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text;
  }
  attn::AttentionOp attention() { return *module->getOps<attn::AttentionOp>().begin(); }

  Tensors run(const Tensors &inputs, const AxisSizes &sizes = {}) {
    llvm::Expected<Tensors> outputs = evaluate(attention(), sizes, inputs);
    if (!outputs) {
      ADD_FAILURE() << llvm::toString(outputs.takeError());
      return {};
    }
    return std::move(*outputs);
  }

  std::string error(const Tensors &inputs, const AxisSizes &sizes = {}) {
    llvm::Expected<Tensors> outputs = evaluate(attention(), sizes, inputs);
    return outputs ? "" : llvm::toString(outputs.takeError());
  }

  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

inline Tensor random(std::vector<int64_t> shape, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  int64_t size = 1;
  for (int64_t extent : shape)
    size *= extent;
  Tensor tensor{std::move(shape), std::vector<double>(size)};
  for (double &x : tensor.data)
    x = normal(engine);
  return tensor;
}

inline void expectNear(const Tensor &a, const Tensor &b, double tolerance = 1e-12) {
  ASSERT_EQ(a.shape, b.shape);
  ASSERT_EQ(a.data.size(), b.data.size());
  for (size_t i = 0; i < a.data.size(); ++i) {
    if (std::isinf(b.data[i])) {
      EXPECT_EQ(a.data[i], b.data[i]) << "element " << i;
      continue;
    }
    EXPECT_NEAR(a.data[i], b.data[i], tolerance * (1 + std::fabs(b.data[i]))) << "element " << i;
  }
}

/// The body of a walk over S from T with q, k : [T, D], [S, D], v : [S, E]; `%q`, `%kj`, `%vj`, `%s` the dot, `%i`,
/// `%n` the positions. `rest` ends with outputs.
inline std::string walk(const std::string &rest, const std::string &claim = "none", const std::string &axes = "") {
  return "attn.attention @a " + claim + " axes [T, S keys T, D, E, j walk S from T" + axes + R"(] {
    %q = attn.input "q" [T, D] : real [T, D]
    %k = attn.input "k" [S, D] : real [S, D]
    %v = attn.input "v" [S, E] : real [S, E]
    %kj = attn.rename %k S to j : real [S, D]
    %vj = attn.rename %v S to j : real [S, E]
    %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
    %i = attn.query_position T over S
    %n = attn.index j
    %causal = attn.le %n, %i : int [j], int [T]
    )" + rest +
         "}";
}

} // namespace fovea::reference::test
