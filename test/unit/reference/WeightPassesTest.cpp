// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes that rewrite weights leave all outputs what they were, in doubles.
#include "test/unit/reference/Spec.h"

#include "passes/attn/Passes.h"

#include "mlir/Pass/PassManager.h"

using namespace fovea;
using namespace fovea::reference;
using namespace fovea::reference::test;

namespace {

// log log(1 + e^x) is x alone only where doubles do not tell them apart.
TEST(WeightPasses, MassesOfAnySizeBecomeScores) {
  const std::string text = R"(attn.attention @a none axes [T, S keys T, j walk S from T] {
    %s = attn.input "s" [T, S] : real [T, S]
    %b = attn.input "b" [S] : real [S]
    %sj = attn.rename %s S to j : real [T, S]
    %bj = attn.rename %b S to j : real [S]
    %i = attn.query_position T over S
    %n = attn.index j
    %own = attn.eq %i, %n : int [T], int [j]
    %m = attn.softplus %bj : real [j]
    %p = attn.weights over j from T score %sj : real [T, j] where %own : bool [T, j] mass %m : real [j]
    %l = attn.stat lse %p : [T] over j from T
    attn.output "l" %l [T] : real [T]
  })";
  Tensors in;
  Tensor &masses = in["b"];
  for (double x = -90; x < 20; x += 0.5)
    masses.data.push_back(x);
  const auto size = static_cast<int64_t>(masses.data.size());
  masses.shape = {size};
  in["s"] = random({size, size}, 1);

  Spec before(text), after(text);
  mlir::PassManager pm(&after.context);
  pm.nest<attn::AttentionOp>().addPass(attn::createAttnMassToScorePass());
  ASSERT_TRUE(mlir::succeeded(pm.run(*after.module)));
  for (attn::WeightsOp weights : after.attention().getBody().getOps<attn::WeightsOp>())
    EXPECT_FALSE(weights.getMass());
  expectNear(after.run(in)["l"], before.run(in)["l"], 1e-15);
}

} // namespace
