// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes that make or simplify recurrences leave all outputs what they were.
#include "test/unit/reference/Spec.h"

#include "passes/attn/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace fovea;
using namespace fovea::reference;
using namespace fovea::reference::test;

namespace {

/// Runs the passes and compares; returns how many states there are then.
int expectSame(const std::string &text, const Tensors &in, double tolerance = 1e-11) {
  Spec before(text), after(text);
  mlir::PassManager pm(&after.context);
  mlir::OpPassManager &attention = pm.nest<attn::AttentionOp>();
  attention.addPass(attn::createAttnSimplifyStatesPass());
  attention.addPass(mlir::createCanonicalizerPass());
  attention.addPass(attn::createAttnWeightsToStatePass());
  attention.addPass(mlir::createCanonicalizerPass());
  attention.addPass(mlir::createCSEPass());
  EXPECT_TRUE(mlir::succeeded(pm.run(*after.module)));
  Tensors used; // an input that nothing reads any more is gone
  for (attn::InputOp input : after.attention().getInputs())
    used[input.getName().str()] = in.at(input.getName().str());
  Tensors expected = before.run(in), out = after.run(used);
  EXPECT_EQ(out.size(), expected.size());
  for (const auto &[name, tensor] : expected) {
    SCOPED_TRACE(name);
    expectNear(out[name], tensor, tolerance);
  }
  auto states = after.attention().getBody().getOps<attn::StateOp>();
  return static_cast<int>(std::distance(states.begin(), states.end()));
}

/// Linear weights with a predicate on %d = i - j, over queries and keys of one axis; values share an axis with the
/// keys.
std::string linear(const std::string &predicate) {
  return R"(attn.attention @a none axes [B, T, Hk, G, K : 3, V, U, H = Hk * G, j walk T from T] {
    %q = attn.input "q" [B, T, H, K] : real [B, T, Hk, G, K]
    %k = attn.input "k" [B, T, Hk, K] : real [B, T, Hk, K]
    %v = attn.input "v" [U, T, V] : real [U, T, V]
    %a = attn.input "a" [T] : real [T]
    %kj = attn.rename %k T to j : real [B, T, Hk, K]
    %vj = attn.rename %v T to j : real [U, T, V]
    %aj = attn.rename %a T to j : real [T]
    %s = attn.dot %kj, %q over [K] : real [B, j, Hk, K], real [B, T, Hk, G, K]
    %sa = attn.mul %aj, %s : real [j], real [B, j, Hk, T, G]
    %w = attn.mul %sa, %a : real [j, B, Hk, T, G], real [T]
    %i = attn.index T
    %n = attn.index j
    %d = attn.sub %i, %n : int [T], int [j]
    %c0 = attn.constant int 0
    %c1 = attn.constant int 1
    %c4 = attn.constant int 4
    %causal = attn.ge %d, %c0 : int [T, j], int []
)" + predicate +
         R"(
    %p = attn.weights over j from T weight %w : real [j, B, Hk, T, G] where %seen : bool [T, j]
    %o = attn.expect %p, %vj : [B, Hk, T, G] over j from T, real [U, j, V]
    %x = attn.expect %p, %kj coefficient %a : real [T] : [B, Hk, T, G] over j from T, real [B, j, Hk, K]
    %c = attn.constant real 2.0
    %z = attn.expect %p, %c : [B, Hk, T, G] over j from T, real []
    %m = attn.stat mass %p : [B, Hk, T, G] over j from T
    %r = attn.mul %o, %m : real [B, Hk, T, G, U, V], real [B, Hk, T, G]
    attn.output "o" %r [B, T, H, U, V] : real [B, Hk, T, G, U, V]
    attn.output "x" %x [B, T, H, K] : real [B, Hk, T, G, K]
    attn.output "z" %z [B, T, H] : real [B, Hk, T, G]
    attn.output "m" %m [B, T, H] : real [B, Hk, T, G]
  })";
}

TEST(StatePasses, LinearWeightsAreRecurrences) {
  Tensors in = {{"q", random({2, 9, 4, 3}, 1)},
                {"k", random({2, 9, 2, 3}, 2)},
                {"v", random({2, 9, 2}, 3)},
                {"a", random({9}, 4)}};
  for (const char *predicate :
       {"%seen = attn.ge %d, %c0 : int [T, j], int []", "%seen = attn.lt %c0, %d : int [], int [T, j]",
        "%seen = attn.ge %d, %c4 : int [T, j], int []",
        // what a window leaves of the past
        R"(%close = attn.lt %d, %c4 : int [T, j], int []
           %window = attn.and %causal, %close : bool [T, j], bool [T, j]
           %far = attn.not %window : bool [T, j]
           %seen = attn.and %causal, %far : bool [T, j], bool [T, j])",
        // j <= i, put otherwise
        R"(%later = attn.gt %n, %i : int [j], int [T]
           %x1 = attn.ne %d, %c1 : int [T, j], int []
           %x2 = attn.eq %d, %c1 : int [T, j], int []
           %all = attn.or %x2, %x1 : bool [T, j], bool [T, j]
           %no = attn.not %later : bool [j, T]
           %seen = attn.and %all, %no : bool [T, j], bool [j, T])"}) {
    SCOPED_TRACE(predicate);
    EXPECT_EQ(expectSame(linear(predicate), in), 4);
  }
  // These stay as they are.
  for (const char *predicate :
       {"%seen = attn.lt %d, %c4 : int [T, j], int []", "%seen = attn.ne %d, %c1 : int [T, j], int []",
        R"(%close = attn.lt %d, %c4 : int [T, j], int []
           %seen = attn.and %causal, %close : bool [T, j], bool [T, j])"}) {
    SCOPED_TRACE(predicate);
    EXPECT_EQ(expectSame(linear(predicate), in), 0);
  }
}

// A key of no token, and a lag: nothing is written before it.
TEST(StatePasses, KeysThatDoNotVaryWaitForTheLag) {
  EXPECT_EQ(expectSame(R"(attn.attention @a none axes [T, K, V, j walk T from T] {
    %q = attn.input "q" [T, K] : real [T, K]
    %k = attn.input "k" [K] : real [K]
    %n = attn.index j
    %i = attn.index T
    %r = attn.to_real %n : int [j]
    %zero = attn.constant int 0
    %nz = attn.mul %n, %zero : int [j], int []
    %one = attn.to_real %nz : int [j]
    %kj = attn.add %k, %one : real [K], real [j]
    %s = attn.dot %q, %kj over [K] : real [T, K], real [K, j]
    %c = attn.constant int 3
    %d = attn.sub %i, %n : int [T], int [j]
    %seen = attn.ge %d, %c : int [T, j], int []
    %p = attn.weights over j from T weight %s : real [T, j] where %seen : bool [T, j]
    %m = attn.stat mass %p : [T] over j from T
    attn.output "m" %m [T] : real [T]
  })",
                       {{"q", random({8, 2}, 1)}, {"k", random({2}, 2)}}),
            1);
}

TEST(StatePasses, SimplifiedRecurrencesAreTheSame) {
  Tensors in = {{"q", random({2, 7, 4}, 1)}, {"k", random({2, 7, 4}, 2)}, {"v", random({2, 7, 3}, 3)},
                {"g", random({2, 7}, 4)},    {"z", random({2, 7}, 5)},    {"n", random({7}, 6)}};
  for (double &x : in["g"].data)
    x = -std::fabs(x);
  for (double &x : in["n"].data)
    x = 0.1 + std::fabs(x);
  EXPECT_EQ(expectSame(R"(attn.attention @a causal axes [B, T, E : 4, V, F = E + E] {
    %q = attn.input "q" [B, T, E] : real [B, T, E]
    %k = attn.input "k" [B, T, E] : real [B, T, E]
    %v = attn.input "v" [B, T, V] : real [B, T, V]
    %g = attn.input "g" [B, T] : real [B, T]
    %z = attn.input "z" [B, T] : real [B, T]
    %n = attn.input "n" [T] within <above 0.0> : real [T]
    %nq = attn.neg %q : real [B, T, E]
    %eq = attn.exp %nq : real [B, T, E]
    %i = attn.index E
    %zero = attn.constant int 0
    %none = attn.constant real 0.0
    %iz = attn.mul %i, %zero : int [E], int []
    %ir = attn.to_real %iz : int [E]
    %gc = attn.add %ir, %g : real [E], real [B, T]
    %kk = attn.concat %k, %k along F from [E, E] : real [B, T, E], real [B, T, E]
    %qq = attn.concat %eq, %q along F from [E, E] : real [B, T, E], real [B, T, E]
    %S = attn.state along T key %kk over F : real [B, T, F] value %v over V : real [B, T, V] decay %g : real [B, T]
    %x = attn.read after %S, %qq : [B] F x V along T, real [B, T, F]
    %y = attn.read prev %S, %kk : [B] F x V along T, real [B, T, F]
    %U = attn.state along T key %k over E : real [B, T, E] value %v over V : real [B, T, V] decay %gc : real [E, B, T] erase %none : real []
    %u = attn.read decayed %U, %q : [B] E x V along T, real [B, T, E]
    %gate = attn.sigmoid %z : real [B, T]
    %w = attn.mul %gate, %x : real [B, T], real [B, T, V]
    %d = attn.div %w, %n : real [B, T, V], real [T]
    %ss = attn.dot %d, %d over [V] : real [B, T, V], real [B, T, V]
    %r = attn.rsqrt %ss : real [B, T]
    %norm = attn.mul %r, %d : real [B, T], real [B, T, V]
    attn.output "norm" %norm [B, T, V] : real [B, T, V]
    attn.output "x" %x [B, T, V] : real [B, T, V]
    attn.output "y" %y [B, T, V] : real [B, T, V]
    attn.output "u" %u [B, T, V] : real [B, T, V]
  })",
                       in),
            1); // both recurrences are the same then
}

/// Gated DeltaNet-2 and what it is with tied gates: erase b k, write w v, decay g per channel.
std::string gated(const std::string &erase, const std::string &write, const std::string &decay) {
  return R"(attn.attention @a causal axes [T, K, V] {
    %q = attn.input "q" [T, K] : real [T, K]
    %k = attn.input "k" [T, K] : real [T, K]
    %v = attn.input "v" [T, V] : real [T, V]
    %beta = attn.input "beta" [T] : real [T]
    %g = attn.input "g" [T] : real [T]
    %zero = attn.constant int 0
    %none = attn.constant real 0.0
    %i = attn.index K
    %iz = attn.mul %i, %zero : int [K], int []
    %ir = attn.to_real %iz : int [K]
    %channels = attn.add %g, %ir : real [T], real [K]
    %undecayed = attn.add %none, %ir : real [], real [K]
    %e = )" +
         erase + "\n%z = " + write + R"(
    %S = attn.state along T key %k over K : real [T, K] value %z over V : real [T, V] )" +
         decay + R"( erase %e : real [T, K]
    %o = attn.read after %S, %q : [] K x V along T, real [T, K]
    attn.output "o" %o [T, V] : real [T, V]
  })";
}

/// The canonical text.
std::string canonical(const std::string &text) {
  Spec spec(text);
  mlir::PassManager pm(&spec.context);
  mlir::OpPassManager &attention = pm.nest<attn::AttentionOp>();
  attention.addPass(attn::createAttnSimplifyStatesPass());
  attention.addPass(mlir::createCanonicalizerPass());
  attention.addPass(mlir::createCSEPass());
  EXPECT_TRUE(mlir::succeeded(pm.run(*spec.module)));
  std::string result;
  llvm::raw_string_ostream(result) << *spec.module;
  return result;
}

TEST(StatePasses, TiedGatesAreTheSimplerRecurrence) {
  const std::string erase = "attn.mul %k, %beta : real [T, K], real [T]",
                    write = "attn.mul %v, %beta : real [T, V], real [T]";
  // KDA with one decay for all channels is gated DeltaNet.
  std::string gatedDeltaNet = canonical(gated(erase, write, "decay %g : real [T]"));
  EXPECT_EQ(canonical(gated(erase, write, "decay %channels : real [T, K]")), gatedDeltaNet);
  // Without decay it is DeltaNet.
  std::string deltaNet = canonical(gated(erase, write, ""));
  EXPECT_EQ(canonical(gated(erase, write, "decay %none : real []")), deltaNet);
  EXPECT_EQ(canonical(gated(erase, write, "decay %undecayed : real [K]")), deltaNet);
  EXPECT_NE(deltaNet, gatedDeltaNet);
}

} // namespace
