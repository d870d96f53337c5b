// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The float64 reference: closed forms, identities, and a second computation by plain loops.
#include "test/unit/reference/Spec.h"

#include "passes/attn/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include <chrono>

using namespace fovea;
using namespace fovea::reference;
using namespace fovea::reference::test;

namespace {

const char *const kPlainOutputs = R"(
    %p = attn.weights over j from T score %s : real [T, j]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %lse = attn.stat lse %p : [T] over j from T
    %max = attn.stat max %p : [T] over j from T
    %mass = attn.stat mass %p : [T] over j from T
    %one = attn.constant real 1.0
    %free = attn.weights over j from T weight %one : real []
    %count = attn.stat mass %free : [T] over j from T
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T]
    attn.output "max" %max [T] : real [T]
    attn.output "mass" %mass [T] : real [T]
    attn.output "count" %count [T] : real [T]
)";

const char *const kCausalOutputs = R"(
    %p = attn.weights over j from T score %s : real [T, j] where %causal : bool [j, T]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %lse = attn.stat lse %p : [T] over j from T
    %one = attn.constant real 1.0
    %free = attn.weights over j from T weight %one : real [] where %causal : bool [j, T]
    %count = attn.stat mass %free : [T] over j from T
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T]
    attn.output "count" %count [T] : real [T]
)";

Tensors randomWalk(int64_t t, int64_t s, int64_t d, int64_t e) {
  return {{"q", random({t, d}, 1)}, {"k", random({s, d}, 2)}, {"v", random({s, e}, 3)}};
}

TEST(Reference, ConstantLogitsGiveTheMean) {
  Tensors in = randomWalk(3, 5, 4, 2);
  in["q"].data.assign(12, 0.0);
  Tensors out = Spec(walk(kPlainOutputs)).run(in);
  for (int e = 0; e < 2; ++e) {
    double mean = 0;
    for (int s = 0; s < 5; ++s)
      mean += in["v"].data[s * 2 + e] / 5;
    for (int t = 0; t < 3; ++t)
      EXPECT_NEAR(out["o"].data[t * 2 + e], mean, 1e-14);
  }
  for (int t = 0; t < 3; ++t) {
    EXPECT_NEAR(out["lse"].data[t], std::log(5.0), 1e-14);
    EXPECT_EQ(out["max"].data[t], 0);
    EXPECT_EQ(out["mass"].data[t], 5);
    EXPECT_EQ(out["count"].data[t], 5);
  }
}

TEST(Reference, OneKeyFarAboveTheOthersTakesAll) {
  Tensors in = randomWalk(4, 4, 4, 3);
  for (int i = 0; i < 16; ++i) // 10000 times the unit matrix: the other weights underflow
    in["q"].data[i] = i % 5 == 0 ? 100 : 0, in["k"].data[i] = i % 5 == 0 ? 100 : 0;
  Tensors out = Spec(walk(kPlainOutputs)).run(in);
  EXPECT_EQ(out["o"].data, in["v"].data);
  EXPECT_EQ(out["lse"].data, std::vector<double>(4, 10000.0));
}

TEST(Reference, OneQueryAndOneKeyGiveTheValue) {
  Tensors in = randomWalk(1, 1, 8, 5);
  Tensors out = Spec(walk(kCausalOutputs)).run(in);
  EXPECT_EQ(out["o"].data, in["v"].data);
}

TEST(Reference, RowsWithoutKeysAreZeroWithLseMinusInfinity) {
  // Five queries on two keys, aligned at the end: the first three have the positions -3, -2, -1.
  Tensors in = randomWalk(5, 2, 4, 3);
  Tensors out = Spec(walk(kCausalOutputs)).run(in);
  for (int t = 0; t < 3; ++t) {
    for (int e = 0; e < 3; ++e)
      EXPECT_EQ(out["o"].data[t * 3 + e], 0);
    EXPECT_EQ(out["lse"].data[t], -kInf);
  }
  EXPECT_EQ(out["count"].data, (std::vector<double>{0, 0, 0, 1, 2}));
  for (int e = 0; e < 3; ++e)
    EXPECT_EQ(out["o"].data[9 + e], in["v"].data[e]);
}

TEST(Reference, MaskedKeysNeverLeak) {
  Tensors in = randomWalk(6, 6, 4, 3);
  Spec spec(walk(kCausalOutputs));
  Tensors clean = spec.run(in);
  for (int d = 0; d < 4; ++d)
    in["k"].data[20 + d] = d % 2 ? kNaN : kInf; // the last key, which only the last row sees
  for (int e = 0; e < 3; ++e)
    in["v"].data[15 + e] = e % 2 ? kNaN : -kInf;
  Tensors out = spec.run(in);
  for (int n = 0; n < 15; ++n)
    EXPECT_EQ(out["o"].data[n], clean["o"].data[n]);
  for (int t = 0; t < 5; ++t)
    EXPECT_EQ(out["lse"].data[t], clean["lse"].data[t]);
  for (int e = 0; e < 3; ++e)
    EXPECT_TRUE(std::isnan(out["o"].data[15 + e])); // and where it is seen, nothing hides it
}

TEST(Reference, ScoresOfMinusInfinityHaveNoWeight) {
  Tensors out = Spec(walk(R"(
    %none = attn.constant real 0xFFF0000000000000
    %x = attn.select %causal, %s, %none : bool [j, T], real [T, j], real []
    %p = attn.weights over j from T score %x : real [j, T]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    attn.output "o" %o [T, E] : real [T, E]
  )"))
                    .run(randomWalk(5, 3, 4, 2));
  expectNear(out["o"], Spec(walk(kCausalOutputs)).run(randomWalk(5, 3, 4, 2))["o"]);
}

// Grouped heads, T != S, batch, causal with a window, against plain loops.
TEST(Reference, GroupedCausalWindowAgreesWithPlainLoops) {
  Spec spec(R"(
attn.attention @gqa causal axes [B, T, Hk, G, D, E, H = Hk * G, S keys T, j walk S from T] {
  %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
  %k = attn.input "k" [B, S, Hk, D] : real [B, S, Hk, D]
  %v = attn.input "v" [B, S, Hk, E] : real [B, S, Hk, E]
  %kj = attn.rename %k S to j : real [B, S, Hk, D]
  %vj = attn.rename %v S to j : real [B, S, Hk, E]
  %scale = attn.constant real 0.3
  %dot = attn.dot %q, %kj over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
  %s = attn.mul %dot, %scale : real [B, T, Hk, G, j], real []
  %i = attn.query_position T over S
  %n = attn.index j
  %lag = attn.sub %i, %n : int [T], int [j]
  %seven = attn.constant int 7
  %zero = attn.constant int 0
  %past = attn.ge %lag, %zero : int [T, j], int []
  %near = attn.lt %lag, %seven : int [T, j], int []
  %m = attn.and %past, %near : bool [T, j], bool [T, j]
  %p = attn.weights over j from T score %s : real [B, T, Hk, G, j] where %m : bool [T, j]
  %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, E]
  %lse = attn.stat lse %p : [B, T, Hk, G] over j from T
  attn.output "o" %o [B, T, H, E] : real [B, T, Hk, G, E]
  attn.output "lse" %lse [B, H, T] : real [B, T, Hk, G]
})");
  const int b = 2, t = 37, s = 41, hk = 2, g = 3, h = hk * g, d = 5, e = 6;
  Tensors in{{"q", random({b, t, h, d}, 4)}, {"k", random({b, s, hk, d}, 5)}, {"v", random({b, s, hk, e}, 6)}};
  Tensor o{{b, t, h, e}, std::vector<double>(b * t * h * e)}, lse{{b, h, t}, std::vector<double>(b * h * t)};
  for (int ib = 0; ib < b; ++ib)
    for (int it = 0; it < t; ++it)
      for (int ih = 0; ih < h; ++ih) {
        double z = 0;
        std::vector<double> acc(e, 0.0);
        for (int is = 0; is < s; ++is) {
          int lag = it + s - t - is;
          if (lag < 0 || lag >= 7)
            continue;
          double x = 0;
          for (int id = 0; id < d; ++id)
            x += in["q"].data[((ib * t + it) * h + ih) * d + id] * in["k"].data[((ib * s + is) * hk + ih / g) * d + id];
          double w = std::exp(0.3 * x);
          z += w;
          for (int ie = 0; ie < e; ++ie)
            acc[ie] += w * in["v"].data[((ib * s + is) * hk + ih / g) * e + ie];
        }
        for (int ie = 0; ie < e; ++ie)
          o.data[((ib * t + it) * h + ih) * e + ie] = acc[ie] / z;
        lse.data[(ib * h + ih) * t + it] = std::log(z);
      }
  Tensors out = spec.run(in);
  expectNear(out["o"], o);
  expectNear(out["lse"], lse);
}

//===----------------------------------------------------------------------===//
// Identities
//===----------------------------------------------------------------------===//

const char *const kSinks = R"(
    %a = attn.input "a" param [T] : real [T]
    %b = attn.constant real -0.5
    %p = attn.weights over j from T score %s : real [T, j] where %causal : bool [j, T] sinks(%a, %b : real [T], real [])
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %t = attn.expect %p, %vj coefficient %s : real [T, j] : [T] over j from T, real [j, E]
    %lse = attn.stat lse %p : [T] over j from T
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "t" %t [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T]
)";

TEST(Reference, SinkIsASigmoidGate) {
  Tensors in = randomWalk(20, 18, 4, 3); // two rows without keys
  in["a"] = random({20}, 7);
  in["a"].data[0] = -kInf;
  in["a"].data[4] = -kInf;
  in["a"].data[5] = 800; // exp overflows: the row is all sink
  Tensors out = Spec(walk(kSinks)).run(in);
  Tensors plain = Spec(walk(kCausalOutputs)).run({{"q", in["q"]}, {"k", in["k"]}, {"v", in["v"]}});
  expectNear(out["lse"], plain["lse"]); // the sink is not in lse
  for (int t = 0; t < 20; ++t)
    for (int e = 0; e < 3; ++e) {
      double lse = plain["lse"].data[t], a = in["a"].data[t];
      double gate = t < 2 ? 0 : 1 / (1 + std::exp(a - lse) + std::exp(-0.5 - lse));
      EXPECT_NEAR(out["o"].data[t * 3 + e], plain["o"].data[t * 3 + e] * gate, 1e-13);
    }
}

TEST(Reference, SinkToGatePassChangesNoValue) {
  Tensors in = randomWalk(20, 18, 4, 3);
  in["a"] = random({20}, 7);
  in["a"].data[0] = -kInf;
  in["a"].data[4] = -kInf;
  in["a"].data[5] = 800;
  Spec spec(walk(kSinks));
  Tensors before = spec.run(in);
  mlir::PassManager passes(&spec.context);
  passes.addNestedPass<attn::AttentionOp>(attn::createAttnSinkToGatePass());
  passes.addPass(mlir::createCanonicalizerPass());
  ASSERT_TRUE(mlir::succeeded(passes.run(*spec.module)));
  for (auto weights : spec.attention().getBody().getOps<attn::WeightsOp>())
    EXPECT_TRUE(weights.getSinks().empty());
  Tensors after = spec.run(in);
  for (const char *name : {"o", "t", "lse"})
    expectNear(after[name], before[name]);
}

TEST(Reference, DisjointPredicatesMergeByLse) {
  Tensors in = randomWalk(9, 11, 4, 3);
  Tensors out = Spec(walk(R"(
    %four = attn.constant int 4
    %lag = attn.sub %i, %n : int [T], int [j]
    %near = attn.lt %lag, %four : int [T, j], int []
    %isfar = attn.not %near : bool [T, j]
    %m1 = attn.and %near, %causal : bool [T, j], bool [j, T]
    %m2 = attn.and %isfar, %causal : bool [T, j], bool [j, T]
    %p1 = attn.weights over j from T score %s : real [T, j] where %m1 : bool [T, j]
    %p2 = attn.weights over j from T score %s : real [T, j] where %m2 : bool [T, j]
    %o1 = attn.expect %p1, %vj : [T] over j from T, real [j, E]
    %o2 = attn.expect %p2, %vj : [T] over j from T, real [j, E]
    %l1 = attn.stat lse %p1 : [T] over j from T
    %l2 = attn.stat lse %p2 : [T] over j from T
    %lse = attn.logaddexp %l1, %l2 : real [T], real [T]
    %d1 = attn.sub %l1, %lse : real [T], real [T]
    %d2 = attn.sub %l2, %lse : real [T], real [T]
    %w1 = attn.exp %d1 : real [T]
    %w2 = attn.exp %d2 : real [T]
    %x1 = attn.mul %o1, %w1 : real [T, E], real [T]
    %x2 = attn.mul %o2, %w2 : real [T, E], real [T]
    %o = attn.add %x1, %x2 : real [T, E], real [T, E]
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T]
  )"))
                    .run(in);
  Tensors plain = Spec(walk(kCausalOutputs)).run(in);
  expectNear(out["o"], plain["o"]);
  expectNear(out["lse"], plain["lse"]);
}

TEST(Reference, DuplicatedKeysShiftLseByLn2) {
  Tensors in = randomWalk(6, 7, 4, 3);
  Spec spec(walk(kPlainOutputs));
  Tensors once = spec.run(in);
  for (const char *name : {"k", "v"}) {
    Tensor &x = in[name];
    std::vector<double> copy = x.data;
    x.data.insert(x.data.end(), copy.begin(), copy.end());
    x.shape[0] *= 2;
  }
  Tensors twice = spec.run(in);
  expectNear(twice["o"], once["o"]);
  for (int t = 0; t < 6; ++t)
    EXPECT_NEAR(twice["lse"].data[t], once["lse"].data[t] + std::log(2.0), 1e-13);
}

TEST(Reference, AConstantInEveryLogitShiftsLseOnly) {
  Tensors in = randomWalk(6, 7, 4, 3);
  Tensors shifted = Spec(walk(R"(
    %c = attn.constant real 700.0
    %x = attn.add %s, %c : real [T, j], real []
    %p = attn.weights over j from T score %x : real [T, j]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %lse = attn.stat lse %p : [T] over j from T
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T]
  )"))
                        .run(in);
  Tensors plain = Spec(walk(kPlainOutputs)).run(in);
  expectNear(shifted["o"], plain["o"], 1e-11); // scores near 700 are rounded to 1e-13
  for (int t = 0; t < 6; ++t)
    EXPECT_NEAR(shifted["lse"].data[t], plain["lse"].data[t] + 700, 1e-11);
}

TEST(Reference, OrderOfKeysDoesNotMatter) {
  Tensors in = randomWalk(6, 7, 4, 3), permuted = in;
  const int order[7] = {3, 0, 6, 1, 5, 2, 4};
  for (int s = 0; s < 7; ++s) {
    std::copy_n(in["k"].data.begin() + 4 * order[s], 4, permuted["k"].data.begin() + 4 * s);
    std::copy_n(in["v"].data.begin() + 3 * order[s], 3, permuted["v"].data.begin() + 3 * s);
  }
  Spec spec(walk(kPlainOutputs));
  Tensors a = spec.run(in), b = spec.run(permuted);
  expectNear(a["o"], b["o"]);
  expectNear(a["lse"], b["lse"]);
}

// Parallax: p(v) - (p(t v) - p(t) p(v)) with t(i, j) = dot(r[i], k[j]): a mean minus a covariance.
TEST(Reference, CovarianceByCoefficientsIsThatOfCentredValues) {
  Tensors in = randomWalk(8, 8, 4, 3);
  in["r"] = random({8, 4}, 8);
  Tensors out = Spec(walk(R"(
    %r = attn.input "r" [T, D] : real [T, D]
    %t = attn.dot %r, %kj over [D] : real [T, D], real [j, D]
    %p = attn.weights over j from T score %s : real [T, j] where %causal : bool [j, T]
    %one = attn.constant real 1.0
    %v0 = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %tv = attn.expect %p, %vj coefficient %t : real [T, j] : [T] over j from T, real [j, E]
    %t0 = attn.expect %p, %one coefficient %t : real [T, j] : [T] over j from T, real []
    %tv0 = attn.mul %t0, %v0 : real [T], real [T, E]
    %cov = attn.sub %tv, %tv0 : real [T, E], real [T, E]
    %o = attn.sub %v0, %cov : real [T, E], real [T, E]
    %centred = attn.sub %t, %t0 : real [T, j], real [T]
    %direct = attn.expect %p, %vj coefficient %centred : real [T, j] : [T] over j from T, real [j, E]
    %o2 = attn.sub %v0, %direct : real [T, E], real [T, E]
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "o2" %o2 [T, E] : real [T, E]
  )"))
                    .run(in);
  expectNear(out["o"], out["o2"]);
  // The first row sees one key: its covariance is 0.
  for (int e = 0; e < 3; ++e)
    EXPECT_NEAR(out["o"].data[e], in["v"].data[e], 1e-14);
}

TEST(Reference, CanonicalisationChangesNoValue) {
  Spec spec(walk(R"(
    %c = attn.constant real 0.25
    %d = attn.constant real 8.0
    %scale = attn.input "scale" param [] : real []
    %qs = attn.mul %q, %c : real [T, D], real []
    %ks = attn.mul %scale, %kj : real [], real [j, D]
    %x = attn.dot %qs, %ks over [D] : real [T, D], real [j, D]
    %y = attn.div %x, %d : real [T, j], real []
    %z = attn.neg %y : real [T, j]
    %p = attn.weights over j from T score %z : real [T, j] where %causal : bool [j, T]
    %vs = attn.mul %vj, %scale : real [j, E], real []
    %o = attn.expect %p, %vs coefficient %y : real [T, j] : [T] over j from T, real [j, E]
    attn.output "o" %o [T, E] : real [T, E]
  )"));
  Tensors in = randomWalk(9, 9, 4, 3);
  in["scale"] = {{}, {1.75}};
  Tensors before = spec.run(in);
  mlir::PassManager passes(&spec.context);
  passes.addPass(mlir::createCanonicalizerPass());
  ASSERT_TRUE(mlir::succeeded(passes.run(*spec.module)));
  expectNear(spec.run(in)["o"], before["o"]);
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

/// The value of one operation on scalars: `text` uses %x and %y.
double scalarOf(const std::string &text, double x, double y = 0, const std::string &kind = "real") {
  std::string type = kind + " []", storage = kind == "int" ? "i32 " : "";
  Spec spec("attn.attention @a none axes [T] {\n %x = attn.input \"x\" " + storage + "[] : " + type +
            "\n %y = attn.input \"y\" " + storage + "[] : " + type + "\n %o = attn." + text +
            "\n attn.output \"o\" %o [] : " + type + "\n}");
  return spec.run({{"x", {{}, {x}}}, {"y", {{}, {y}}}})["o"].data.at(0);
}
double real1(const std::string &op, double x) { return scalarOf(op + " %x : real []", x); }
double real2(const std::string &op, double x, double y) { return scalarOf(op + " %x, %y : real [], real []", x, y); }
double int2(const std::string &op, double x, double y) {
  return scalarOf(op + " %x, %y : int [], int []", x, y, "int");
}

TEST(Reference, UnaryFunctions) {
  EXPECT_EQ(real1("neg", 1.5), -1.5);
  EXPECT_EQ(real1("abs", -1.5), 1.5);
  EXPECT_EQ(real1("sign", -1.5), -1);
  EXPECT_EQ(real1("sign", 0), 0);
  EXPECT_DOUBLE_EQ(real1("exp", 1), 2.718281828459045);
  EXPECT_EQ(real1("exp2", 3), 8);
  EXPECT_DOUBLE_EQ(real1("expm1", 1e-12), 1.0000000000005e-12);
  EXPECT_DOUBLE_EQ(real1("log", 10), 2.302585092994046);
  EXPECT_EQ(real1("log", 0), -kInf);
  EXPECT_EQ(real1("log2", 8), 3);
  EXPECT_DOUBLE_EQ(real1("log1p", 1e-12), 9.999999999995e-13);
  EXPECT_EQ(real1("sqrt", 9), 3);
  EXPECT_EQ(real1("rsqrt", 16), 0.25);
  EXPECT_DOUBLE_EQ(real1("sin", 1), 0.8414709848078965);
  EXPECT_DOUBLE_EQ(real1("cos", 1), 0.5403023058681398);
  EXPECT_DOUBLE_EQ(real1("tanh", 0.5), 0.46211715726000973);
  EXPECT_DOUBLE_EQ(real1("sigmoid", 2), 0.8807970779778823);
  EXPECT_EQ(real1("sigmoid", -1000), 0);
  EXPECT_EQ(real1("sigmoid", 1000), 1);
  EXPECT_DOUBLE_EQ(real1("silu", 2), 1.7615941559557646);
  EXPECT_EQ(real1("silu", -kInf), 0);
  EXPECT_DOUBLE_EQ(real1("softplus", 2), 2.1269280110429727);
  EXPECT_EQ(real1("softplus", 1000), 1000);
  EXPECT_DOUBLE_EQ(real1("log_sigmoid", -3), -3.048587351573742);
  EXPECT_EQ(real1("relu", -1), 0);
  EXPECT_TRUE(std::isnan(real1("relu", kNaN)));
  EXPECT_DOUBLE_EQ(real1("elu", -1), -0.6321205588285577);
  EXPECT_EQ(real1("elu", 2), 2);
  EXPECT_DOUBLE_EQ(real1("gelu", 1), 0.8413447460685429);
}

TEST(Reference, RoundingGivesIntsOf32Bits) {
  auto of = [](const std::string &op, double x) {
    Spec spec("attn.attention @a none axes [T] {\n %x = attn.input \"x\" [] : real []\n %o = attn." + op +
              " %x : real []\n attn.output \"o\" %o [] : int []\n}");
    return spec.run({{"x", {{}, {x}}}})["o"].data.at(0);
  };
  EXPECT_EQ(of("floor", -1.5), -2);
  EXPECT_EQ(of("floor", 1.9), 1);
  EXPECT_EQ(of("round", 2.5), 2);
  EXPECT_EQ(of("round", 3.5), 4);
  for (const char *op : {"floor", "round"}) {
    EXPECT_EQ(of(op, 1e300), 2147483647);
    EXPECT_EQ(of(op, kInf), 2147483647);
    EXPECT_EQ(of(op, -kInf), -2147483648.0);
    EXPECT_EQ(of(op, kNaN), 0);
  }
}

TEST(Reference, BinaryFunctions) {
  EXPECT_EQ(real2("add", 1, 2), 3);
  EXPECT_EQ(real2("sub", 1, 2), -1);
  EXPECT_EQ(real2("mul", 3, 2), 6);
  EXPECT_EQ(real2("div", 1, 4), 0.25);
  EXPECT_EQ(real2("pow", 4, -0.5), 0.5);
  EXPECT_EQ(real2("min", 1, 2), 1);
  EXPECT_EQ(real2("max", 1, 2), 2);
  EXPECT_TRUE(std::isnan(real2("max", 1, kNaN)));
  EXPECT_TRUE(std::isnan(real2("min", kNaN, 1)));
  EXPECT_DOUBLE_EQ(real2("logaddexp", 1000, 1000), 1000 + std::log(2.0));
  EXPECT_EQ(real2("logaddexp", -kInf, -kInf), -kInf);
  EXPECT_EQ(real2("logaddexp", -kInf, 3), 3);
  EXPECT_EQ(int2("floordiv", -7, 2), -4);
  EXPECT_EQ(int2("mod", -7, 2), 1);
  EXPECT_EQ(int2("mod", 7, -3), -2);
  EXPECT_EQ(int2("floordiv", 7, 0), 0);
}

TEST(Reference, ComparisonsAndLogic) {
  // Each row: x, y and the eight results as bits.
  auto bits = [](double x, double y) {
    Spec spec(R"(attn.attention @a none axes [T] {
      %x = attn.input "x" [] : real []
      %y = attn.input "y" [] : real []
      %one = attn.constant real 1.0
      %none = attn.constant real 0.0
      %eq = attn.eq %x, %y : real [], real []
      %ne = attn.ne %x, %y : real [], real []
      %lt = attn.lt %x, %y : real [], real []
      %le = attn.le %x, %y : real [], real []
      %gt = attn.gt %x, %y : real [], real []
      %ge = attn.ge %x, %y : real [], real []
      %or = attn.or %eq, %lt : bool [], bool []
      %and = attn.and %or, %ne : bool [], bool []
      %not = attn.not %eq : bool []
      %r0 = attn.to_real %eq : bool []
      %r1 = attn.to_real %ne : bool []
      %r2 = attn.to_real %lt : bool []
      %r3 = attn.to_real %le : bool []
      %r4 = attn.to_real %gt : bool []
      %r5 = attn.to_real %ge : bool []
      %r6 = attn.to_real %or : bool []
      %r7 = attn.to_real %and : bool []
      %r8 = attn.select %not, %one, %none : bool [], real [], real []
      attn.output "0" %r0 [] : real []
      attn.output "1" %r1 [] : real []
      attn.output "2" %r2 [] : real []
      attn.output "3" %r3 [] : real []
      attn.output "4" %r4 [] : real []
      attn.output "5" %r5 [] : real []
      attn.output "6" %r6 [] : real []
      attn.output "7" %r7 [] : real []
      attn.output "8" %r8 [] : real []
    })");
    Tensors out = spec.run({{"x", {{}, {x}}}, {"y", {{}, {y}}}});
    std::string result;
    for (const char *name : {"0", "1", "2", "3", "4", "5", "6", "7", "8"})
      result += out[name].data.at(0) == 1 ? '1' : '0';
    return result;
  };
  EXPECT_EQ(bits(1, 2), "011100111");
  EXPECT_EQ(bits(2, 2), "100101100");
  EXPECT_EQ(bits(3, 2), "010011001");
  EXPECT_EQ(bits(kNaN, 2), "010000001");
}

TEST(Reference, ReductionsOverSeveralAxes) {
  Spec spec(R"(attn.attention @a none axes [A, C, E] {
    %x = attn.input "x" [A, C, E] : real [A, C, E]
    %sum = attn.reduce sum %x over [E, A] : real [A, C, E]
    %mean = attn.reduce mean %x over [C] : real [A, C, E]
    %max = attn.reduce max %x over [A, C, E] : real [A, C, E]
    %min = attn.reduce min %x over [E] : real [A, C, E]
    %lse = attn.reduce logsumexp %x over [A, E] : real [A, C, E]
    attn.output "sum" %sum [C] : real [C]
    attn.output "mean" %mean [E, A] : real [A, E]
    attn.output "max" %max [] : real []
    attn.output "min" %min [A, C] : real [A, C]
    attn.output "lse" %lse [C] : real [C]
  })");
  Tensor x{{2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}};
  Tensors out = spec.run({{"x", x}});
  EXPECT_EQ(out["sum"].data, (std::vector<double>{0 + 1 + 2 + 6 + 7 + 8, 3 + 4 + 5 + 9 + 10 + 11}));
  EXPECT_EQ(out["mean"].data, (std::vector<double>{1.5, 7.5, 2.5, 8.5, 3.5, 9.5}));
  EXPECT_EQ(out["max"].data, (std::vector<double>{11}));
  EXPECT_EQ(out["min"].data, (std::vector<double>{0, 3, 6, 9}));
  EXPECT_NEAR(out["lse"].data[0],
              std::log(1 + std::exp(1.0) + std::exp(2.0) + std::exp(6.0) + std::exp(7.0) + std::exp(8.0)), 1e-14);
  x.data.assign(12, -kInf);
  EXPECT_EQ(spec.run({{"x", x}})["lse"].data[0], -kInf);
}

TEST(Reference, RowsAtTheQueryPosition) {
  Spec spec(R"(attn.attention @a none axes [T, S keys T, D, H = A * C, A, C] {
    %x = attn.input "x" [D, S] : real [D, S]
    %at = attn.row_at %x S at T : real [D, S]
    %i = attn.query_position T over S
    %a = attn.index A
    %size = attn.size H
    %position = attn.position T
    %sum = attn.add %i, %position : int [T], int [T]
    %prod = attn.mul %a, %size : int [A], int []
    attn.output "at" %at [T, D] : real [D, T]
    attn.output "sum" %sum [T] : int [T]
    attn.output "prod" %prod [A] : int [A]
  })");
  Tensors out = spec.run({{"x", {{2, 3}, {1, 2, 3, 4, 5, 6}}}}, {{"T", 4}, {"H", 6}, {"A", 3}});
  EXPECT_EQ(out["at"].data, (std::vector<double>{0, 0, 1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(out["sum"].data, (std::vector<double>{-1, 1, 3, 5}));
  EXPECT_EQ(out["prod"].data, (std::vector<double>{0, 6, 12}));
}

TEST(Reference, FallbackStandsForAMissingInputAndIsBroadcast) {
  Spec spec(R"(attn.attention @a none axes [T] {
    %c = attn.constant real 0.5
    %x = attn.input "x" param [T] fallback %c : real [] : real [T]
    attn.output "o" %x [T] : real [T]
  })");
  EXPECT_EQ(spec.run({}, {{"T", 3}})["o"].data, (std::vector<double>{0.5, 0.5, 0.5}));
  EXPECT_EQ(spec.run({{"x", {{2}, {1, 2}}}})["o"].data, (std::vector<double>{1, 2}));
}

TEST(Reference, OutputIsBroadcastOverAxesThatTheValueLacks) {
  Spec spec(R"(attn.attention @a none axes [T, D, H = T * D] {
    %x = attn.input "x" [T] : real [T]
    attn.output "o" %x [D, T] : real [T]
    attn.output "h" %x [H] : real [T]
  })");
  Tensors out = spec.run({{"x", {{2}, {1, 2}}}}, {{"D", 2}});
  EXPECT_EQ(out["o"].data, (std::vector<double>{1, 2, 1, 2}));
  EXPECT_EQ(out["h"].data, (std::vector<double>{1, 1, 2, 2}));
  EXPECT_EQ(out["h"].shape, (std::vector<int64_t>{4}));
}

// A pair expression that is read outside the walk is kept whole; features before a contraction work too.
TEST(Reference, PairExpressionsOutsideTheWalk) {
  Tensors in = randomWalk(20, 20, 3, 2);
  Tensors out = Spec(walk(R"(
    %prod = attn.mul %q, %kj : real [T, D], real [j, D]
    %x = attn.reduce sum %prod over [D] : real [T, D, j]
    %lse = attn.reduce logsumexp %x over [j] : real [T, j]
    %p = attn.weights over j from T score %x : real [T, j]
    %lse2 = attn.stat lse %p : [T] over j from T
    attn.output "lse" %lse [T] : real [T]
    attn.output "lse2" %lse2 [T] : real [T]
  )"))
                    .run(in);
  expectNear(out["lse"], out["lse2"]);
  expectNear(out["lse"], Spec(walk(kPlainOutputs)).run(in)["lse"]);
}

// Statistics of one distribution feed the score and the values of the next.
TEST(Reference, WeightsOfWeights) {
  Tensors in = randomWalk(18, 18, 3, 2);
  Tensors out = Spec(walk(R"(
    %p = attn.weights over j from T score %s : real [T, j]
    %lse = attn.stat lse %p : [T] over j from T
    %x = attn.sub %s, %lse : real [T, j], real [T]
    %p2 = attn.weights over j from T score %x : real [T, j]
    %lse2 = attn.stat lse %p2 : [T] over j from T
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %o2 = attn.expect %p2, %vj : [T] over j from T, real [j, E]
    attn.output "lse2" %lse2 [T] : real [T]
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "o2" %o2 [T, E] : real [T, E]
  )"))
                    .run(in);
  expectNear(out["lse2"], {{18}, std::vector<double>(18, 0.0)});
  expectNear(out["o2"], out["o"]);
}

//===----------------------------------------------------------------------===//
// Operations on axes
//===----------------------------------------------------------------------===//

TEST(Reference, PartsOfAConcatenation) {
  Spec spec(R"(attn.attention @a none axes [T, A, C, E = A + C + A] {
    %x = attn.input "x" [T, E] : real [T, E]
    %y = attn.input "y" [C] : real [C]
    %first = attn.slice %x E to A after [] : real [T, E]
    %middle = attn.slice %x E to C after [A] : real [T, E]
    %last = attn.slice %x E to A after [A, C] : real [T, E]
    %turned = attn.concat %last, %y, %first along E from [A, C, A] : real [T, A], real [C], real [T, A]
    attn.output "first" %first [T, A] : real [T, A]
    attn.output "middle" %middle [C, T] : real [T, C]
    attn.output "turned" %turned [E, T] : real [T, E]
  })");
  Tensors out = spec.run({{"x", {{2, 7}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}}, {"y", {{3}, {-1, -2, -3}}}});
  EXPECT_EQ(out["first"].data, (std::vector<double>{0, 1, 7, 8}));
  EXPECT_EQ(out["middle"].data, (std::vector<double>{2, 9, 3, 10, 4, 11}));
  EXPECT_EQ(out["turned"].data, (std::vector<double>{5, 12, 6, 13, -1, -1, -2, -2, -3, -3, 0, 7, 1, 8}));
  // A = (E - C) / 2 follows; so would C from A.
  EXPECT_EQ(spec.error({{"x", {{1, 6}, std::vector<double>(6)}}, {"y", {{3}, {1, 2, 3}}}}),
            "axis E has size 6 by array 'x', of which 3 remain for axis A, 2 times");
  EXPECT_EQ(spec.error({{"x", {{1, 6}, std::vector<double>(6)}}, {"y", {{2}, {1, 2}}}}, {{"A", 3}}),
            "axis E is 6 by array 'x' and 8 by its parts");
}

TEST(Reference, SharesOfAnAxis) {
  Spec spec(R"(attn.attention @a none axes [D, F = D share 2] {
    %x = attn.input "x" [D] : real [D]
    %a = attn.slice %x D to F after [] : real [D]
    %b = attn.slice %x D to F after [F] : real [D]
    %n = attn.neg %b : real [F]
    %turned = attn.concat %n, %a along D from [F, F] : real [F], real [F]
    attn.output "o" %turned [D] : real [D]
  })");
  EXPECT_EQ(spec.run({{"x", {{4}, {1, 2, 3, 4}}}})["o"].data, (std::vector<double>{-3, -4, 1, 2}));
  EXPECT_EQ(spec.error({{"x", {{3}, {1, 2, 3}}}}),
            "axis D has size 3 by array 'x', which 2 does not divide; axis F is that share of it");
}

// Two axes that the table does not relate are compared when their sizes are known.
TEST(Reference, PartsHaveTheSizeOfTheWhole) {
  Spec spec(R"(attn.attention @a none axes [D, A] {
    %x = attn.input "x" [D] : real [D]
    %y = attn.input "y" [A] : real [A]
    %part = attn.slice %x D to A after [A] : real [D]
    %whole = attn.concat %y, %part along D from [A, A] : real [A], real [A]
    attn.output "o" %whole [D] : real [D]
  })");
  EXPECT_EQ(spec.run({{"x", {{4}, {1, 2, 3, 4}}}, {"y", {{2}, {7, 8}}}})["o"].data, (std::vector<double>{7, 8, 3, 4}));
  EXPECT_EQ(spec.error({{"x", {{3}, {1, 2, 3}}}, {"y", {{2}, {7, 8}}}}), "axis D has size 3, its parts 4");
  EXPECT_EQ(spec.error({{"x", {{5}, std::vector<double>(5)}}, {"y", {{2}, {7, 8}}}}), "axis D has size 5, its parts 4");
}

TEST(Reference, GatherIsZeroOutside) {
  Spec spec(R"(attn.attention @a none axes [H, N, T] {
    %x = attn.input "x" [H, N] : real [H, N]
    %i = attn.input "i" i32 [T, H] : int [T, H]
    %g = attn.gather %x N at %i : real [H, N], int [T, H]
    %n = attn.index N
    %one = attn.constant int 1
    %next = attn.add %n, %one : int [N], int []
    %shifted = attn.gather %x N at %next : real [H, N], int [N]
    %zero = attn.constant real 2.5
    %big = attn.gt %x, %zero : real [H, N], real []
    %b = attn.gather %big N at %i : bool [H, N], int [T, H]
    %r = attn.to_real %b : bool [H, T]
    attn.output "g" %g [H, T] : real [H, T]
    attn.output "shifted" %shifted [H, N] : real [H, N]
    attn.output "r" %r [H, T] : real [H, T]
  })");
  Tensors out = spec.run({{"x", {{2, 3}, {1, 2, 3, 4, 5, 6}}}, {"i", {{4, 2}, {0, 2, -1, 3, 2, 0, -2147483648.0, 1}}}});
  EXPECT_EQ(out["g"].data, (std::vector<double>{1, 0, 3, 0, 6, 0, 4, 5}));
  EXPECT_EQ(out["shifted"].data, (std::vector<double>{2, 3, 0, 5, 6, 0}));
  EXPECT_EQ(out["r"].data, (std::vector<double>{0, 0, 1, 0, 1, 0, 1, 1}));
}

TEST(Reference, ScanSumsUpToEach) {
  Spec spec(R"(attn.attention @a none axes [T, D] {
    %x = attn.input "x" [T, D] : real [T, D]
    %t = attn.scan %x along T : real [T, D]
    %d = attn.scan %x along D : real [T, D]
    attn.output "t" %t [T, D] : real [T, D]
    attn.output "d" %d [T, D] : real [T, D]
  })");
  Tensors out = spec.run({{"x", {{3, 2}, {1, 2, 3, 4, 5, 6}}}});
  EXPECT_EQ(out["t"].data, (std::vector<double>{1, 2, 4, 6, 9, 12}));
  EXPECT_EQ(out["d"].data, (std::vector<double>{1, 3, 3, 7, 5, 11}));
}

TEST(Reference, BlocksAndWindows) {
  Spec spec(R"(attn.attention @a none axes [T, D, Tb = T / 3, Tc = windows T of 3 step 2] {
    %x = attn.input "x" [T, D] : real [T, D]
    %max = attn.block_reduce max %x over T to Tb : real [T, D]
    %sum = attn.block_reduce sum %x over T to Tb : real [T, D]
    %mean = attn.block_reduce mean %x over T to Tc : real [T, D]
    %n = attn.size Tc
    attn.output "max" %max [Tb, D] : real [Tb, D]
    attn.output "sum" %sum [D, Tb] : real [Tb, D]
    attn.output "mean" %mean [Tc, D] : real [Tc, D]
    attn.output "n" %n [] : int []
  })");
  Tensors out = spec.run({{"x", {{4, 2}, {1, 8, 2, 7, 3, 6, 4, 5}}}});
  EXPECT_EQ(out["max"].data, (std::vector<double>{3, 8, 4, 5}));
  EXPECT_EQ(out["sum"].data, (std::vector<double>{6, 4, 21, 5}));
  EXPECT_EQ(out["mean"].data, (std::vector<double>{2, 7}));
  EXPECT_EQ(out["n"].data[0], 1);
  EXPECT_EQ(spec.run({{"x", {{5, 1}, {1, 2, 3, 4, 5}}}})["mean"].data, (std::vector<double>{2, 4}));
  // Shorter than a window: there is none.
  out = spec.run({{"x", {{2, 1}, {1, 2}}}});
  EXPECT_TRUE(out["mean"].data.empty());
  EXPECT_EQ(out["mean"].shape, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(out["n"].data[0], 0);
  EXPECT_EQ(out["max"].data, (std::vector<double>{2}));
}

// A walk over windows of which there may be none: rows without keys.
TEST(Reference, WalkOverWindows) {
  Spec spec(R"(attn.attention @a none axes [T, S keys T, D, Sc = windows S of 4 step 2, j walk Sc from T] {
    %q = attn.input "q" [T, D] : real [T, D]
    %k = attn.input "k" [S, D] : real [S, D]
    %c = attn.block_reduce mean %k over S to Sc : real [S, D]
    %cj = attn.rename %c Sc to j : real [Sc, D]
    %s = attn.dot %q, %cj over [D] : real [T, D], real [j, D]
    %i = attn.query_position T over S
    %n = attn.index j
    %two = attn.constant int 2
    %three = attn.constant int 3
    %begin = attn.mul %n, %two : int [j], int []
    %last = attn.add %begin, %three : int [j], int []
    %m = attn.le %last, %i : int [j], int [T]
    %p = attn.weights over j from T score %s : real [T, j] where %m : bool [j, T]
    %o = attn.expect %p, %cj : [T] over j from T, real [j, D]
    %lse = attn.stat lse %p : [T] over j from T
    attn.output "o" %o [T, D] : real [T, D]
    attn.output "lse" %lse [T] : real [T]
  })");
  Tensors out = spec.run({{"q", {{2, 1}, {1, 1}}}, {"k", {{7, 1}, {1, 3, 1, 3, 5, 7, 9}}}}); // means 2, 4; i = 5, 6
  double z = std::exp(2) + std::exp(4);
  for (int t = 0; t < 2; ++t) {
    EXPECT_NEAR(out["o"].data[t], (2 * std::exp(2) + 4 * std::exp(4)) / z, 1e-14);
    EXPECT_NEAR(out["lse"].data[t], std::log(z), 1e-14);
  }
  out = spec.run({{"q", {{2, 1}, {1, 1}}}, {"k", {{3, 1}, {1, 2, 3}}}});
  EXPECT_EQ(out["o"].data, (std::vector<double>{0, 0}));
  EXPECT_EQ(out["lse"].data, (std::vector<double>{-kInf, -kInf}));
}

// A grid walked as one axis is the same attention on the axis of the products.
TEST(Reference, WalkOverAGrid) {
  const char *grid = R"(attn.attention @a none axes [B, M, N, D, P = M * N, j walk P from P] {
    %q = attn.input "q" [B, P, D] : real [B, M, N, D]
    %k = attn.input "k" [B, P, D] : real [B, M, N, D]
    %kj = attn.flatten %k [M, N] to j : real [B, M, N, D]
    %s = attn.dot %q, %kj over [D] : real [B, M, N, D], real [B, j, D]
    %m = attn.index M
    %n = attn.index N
    %size = attn.size N
    %row = attn.mul %m, %size : int [M], int []
    %i = attn.add %row, %n : int [M], int [N]
    %x = attn.index j
    %seen = attn.le %x, %i : int [j], int [M, N]
    %p = attn.weights over j from P as [M, N] score %s : real [B, M, N, j] where %seen : bool [j, M, N]
    %o = attn.expect %p, %kj : [B, M, N] over j from P, real [B, j, D]
    %lse = attn.stat lse %p : [B, M, N] over j from P
    attn.output "o" %o [B, P, D] : real [B, M, N, D]
    attn.output "lse" %lse [B, P] : real [B, M, N]
  })";
  const char *line = R"(attn.attention @a none axes [B, P, D, j walk P from P] {
    %q = attn.input "q" [B, P, D] : real [B, P, D]
    %k = attn.input "k" [B, P, D] : real [B, P, D]
    %kj = attn.rename %k P to j : real [B, P, D]
    %s = attn.dot %q, %kj over [D] : real [B, P, D], real [B, j, D]
    %i = attn.index P
    %x = attn.index j
    %seen = attn.le %x, %i : int [j], int [P]
    %p = attn.weights over j from P score %s : real [B, P, j] where %seen : bool [j, P]
    %o = attn.expect %p, %kj : [B, P] over j from P, real [B, j, D]
    %lse = attn.stat lse %p : [B, P] over j from P
    attn.output "o" %o [B, P, D] : real [B, P, D]
    attn.output "lse" %lse [B, P] : real [B, P]
  })";
  Tensors in{{"q", random({2, 5 * 19, 3}, 1)}, {"k", random({2, 5 * 19, 3}, 2)}};
  Tensors a = Spec(grid).run(in, {{"M", 5}}), b = Spec(line).run(in);
  expectNear(a["o"], b["o"]);
  expectNear(a["lse"], b["lse"]);
}

// The parts may lie in another order in memory: then a copy, not a view.
TEST(Reference, FlattenOfAnotherOrder) {
  Spec spec(R"(attn.attention @a none axes [M, N, P = M * N, j walk P from P] {
    %x = attn.input "x" [N, M] : real [N, M]
    %xj = attn.flatten %x [M, N] to j : real [N, M]
    %n = attn.index j
    %r = attn.to_real %n : int [j]
    %w = attn.weights over j from P as [M, N] weight %xj : real [j]
    %o = attn.expect %w, %r : [M, N] over j from P, real [j]
    attn.output "o" %o [M, N] : real [M, N]
  })");
  // At m = 1, n = 0 the element is x[0][1] = 2, and its number is 1 * 2 + 0 ... of sizes M = 3, N = 2.
  Tensors out = spec.run({{"x", {{2, 3}, {1, 2, 3, 4, 5, 6}}}});
  double sum = 0 * 1 + 1 * 4 + 2 * 2 + 3 * 5 + 4 * 3 + 5 * 6;
  EXPECT_EQ(out["o"].data, std::vector<double>(6, sum));
}

//===----------------------------------------------------------------------===//
// Weights of other kinds
//===----------------------------------------------------------------------===//

TEST(Reference, FreeWeightsAreNotDivided) {
  Tensors in = randomWalk(20, 22, 3, 2);
  Tensors out = Spec(walk(R"(
    %w = attn.relu %s : real [T, j]
    %p = attn.weights over j from T weight %w : real [T, j] where %causal : bool [j, T]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %mass = attn.stat mass %p : [T] over j from T
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "mass" %mass [T] : real [T]
  )"))
                    .run(in);
  for (int t = 0; t < 20; ++t) {
    double mass = 0, o[2] = {0, 0};
    for (int s = 0; s <= t + 2; ++s) {
      double x = 0;
      for (int d = 0; d < 3; ++d)
        x += in["q"].data[t * 3 + d] * in["k"].data[s * 3 + d];
      x = std::max(x, 0.0);
      mass += x;
      for (int e = 0; e < 2; ++e)
        o[e] += x * in["v"].data[s * 2 + e];
    }
    EXPECT_NEAR(out["mass"].data[t], mass, 1e-12);
    for (int e = 0; e < 2; ++e)
      EXPECT_NEAR(out["o"].data[t * 2 + e], o[e], 1e-12);
  }
}

// mass * exp(score) = exp(score + log(mass)) for a mass above 0; the sinks are no part of it.
TEST(Reference, MassIsALogit) {
  const std::string rest = R"(
    %a = attn.input "a" [S] : real [S]
    %aj = attn.rename %a S to j : real [S]
    %b = attn.constant real 0.25
    %log = attn.log %aj : real [j]
    %x = attn.add %s, %log : real [T, j], real [j]
    %p = attn.weights over j from T )";
  const std::string outputs = R"( where %causal : bool [j, T] @ sinks(%b : real [])
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %lse = attn.stat lse %p : [T] over j from T
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T])";
  std::string withMass = rest + "score %s : real [T, j]" + outputs, withLog = rest + "score %x : real [T, j]" + outputs;
  withMass.replace(withMass.find('@'), 1, "mass %aj : real [j]");
  withLog.replace(withLog.find('@'), 1, "");
  Tensors in = randomWalk(7, 6, 3, 2); // the first row has no key
  in["a"] = {{6}, {0.5, 1, 2, 3, 0.1, 7}};
  Tensors a = Spec(walk(withMass)).run(in), b = Spec(walk(withLog)).run(in);
  expectNear(a["o"], b["o"]);
  expectNear(a["lse"], b["lse"]);
  EXPECT_EQ(a["lse"].data[0], -kInf);

  // Mass of the statistic is relative to the greatest score; a row whose masses are 0 has none, and the lse -inf.
  Spec statistics(walk(R"(
    %a = attn.input "a" [S] : real [S]
    %aj = attn.rename %a S to j : real [S]
    %p = attn.weights over j from T score %s : real [T, j] mass %aj : real [j]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    %lse = attn.stat lse %p : [T] over j from T
    %max = attn.stat max %p : [T] over j from T
    %mass = attn.stat mass %p : [T] over j from T
    %log = attn.log %mass : real [T]
    %sum = attn.add %max, %log : real [T], real [T]
    attn.output "o" %o [T, E] : real [T, E]
    attn.output "lse" %lse [T] : real [T]
    attn.output "sum" %sum [T] : real [T])"));
  Tensors c = statistics.run(in);
  expectNear(c["lse"], c["sum"]);
  in["a"].data.assign(6, 0.0);
  c = statistics.run(in);
  EXPECT_EQ(c["o"].data, std::vector<double>(14, 0.0));
  EXPECT_EQ(c["lse"].data, std::vector<double>(7, -kInf));
}

TEST(Reference, SinkToGatePassKeepsAMass) {
  Spec spec(walk(R"(
    %a = attn.input "a" [S] : real [S]
    %aj = attn.rename %a S to j : real [S]
    %b = attn.constant real 0.25
    %p = attn.weights over j from T score %s : real [T, j] where %causal : bool [j, T] mass %aj : real [j] sinks(%b : real [])
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    attn.output "o" %o [T, E] : real [T, E])"));
  Tensors in = randomWalk(7, 6, 3, 2);
  in["a"] = {{6}, {0, 1, 2, 0, 0.1, 7}};
  Tensors before = spec.run(in);
  mlir::PassManager passes(&spec.context);
  passes.addNestedPass<attn::AttentionOp>(attn::createAttnSinkToGatePass());
  ASSERT_TRUE(mlir::succeeded(passes.run(*spec.module)));
  for (auto weights : spec.attention().getBody().getOps<attn::WeightsOp>())
    EXPECT_TRUE(weights.getSinks().empty() && weights.getMass());
  expectNear(spec.run(in)["o"], before["o"]);
}

TEST(Reference, OptionalInputsAreZeroWhereAbsent) {
  Spec spec(walk(R"(
    %b = attn.input "b" optional [T, S] : real [T, S]
    %bj = attn.rename %b S to j : real [T, S]
    %x = attn.add %s, %bj : real [T, j], real [T, j]
    %p = attn.weights over j from T score %x : real [T, j]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, E]
    attn.output "o" %o [T, E] : real [T, E])"));
  Tensors in = randomWalk(4, 5, 3, 2), with = in;
  with["b"] = {{4, 5}, std::vector<double>(20)};
  expectNear(spec.run(in)["o"], Spec(walk(kPlainOutputs)).run(in)["o"]);
  expectNear(spec.run(in)["o"], spec.run(with)["o"]);
  with["b"] = random({4, 5}, 9);
  EXPECT_GT(std::fabs(spec.run(in)["o"].data[0] - spec.run(with)["o"].data[0]), 1e-3);
}

// Rows of weights and their sums over blocks are arrays on queries and keys.
TEST(Reference, PairOutputs) {
  Tensors in = randomWalk(40, 45, 3, 2);
  Tensors out = Spec(walk(R"(
    %p = attn.weights over j from T score %s : real [T, j] where %causal : bool [j, T]
    %lse = attn.stat lse %p : [T] over j from T
    %d = attn.sub %s, %lse : real [T, j], real [T]
    %e = attn.exp %d : real [T, j]
    %zero = attn.constant real 0.0
    %w = attn.select %causal, %e, %zero : bool [j, T], real [T, j], real []
    %pair = attn.rename %w j to S : real [j, T]
    %blocks = attn.block_reduce sum %w over j to Sb : real [j, T]
    %total = attn.reduce sum %blocks over [Sb] : real [Sb, T]
    %column = attn.reduce sum %pair over [T] : real [S, T]
    %direct = attn.reduce sum %w over [T] : real [j, T]
    %directS = attn.rename %direct j to S : real [j]
    attn.output "pair" %pair [T, S] : real [S, T]
    attn.output "blocks" %blocks [T, Sb] : real [Sb, T]
    attn.output "total" %total [T] : real [T]
    attn.output "column" %column [S] : real [S]
    attn.output "direct" %directS [S] : real [S]
  )",
                          "none", ", Sb = S / 8"))
                    .run(in);
  EXPECT_EQ(out["blocks"].shape, (std::vector<int64_t>{40, 6}));
  expectNear(out["total"], {{40}, std::vector<double>(40, 1.0)});
  expectNear(out["column"], out["direct"]);
  for (int t = 0; t < 40; ++t)
    for (int b = 0; b < 6; ++b) {
      double sum = 0;
      for (int s = 8 * b; s < std::min(8 * b + 8, 45); ++s)
        sum += out["pair"].data[t * 45 + s];
      EXPECT_NEAR(out["blocks"].data[t * 6 + b], sum, 1e-14);
    }
}

// A score that mixes heads reads other rows than its own: kept whole, although a predicate brings the heads back.
TEST(Reference, ScoresThatMixRows) {
  Tensors in{{"q", random({20, 3, 4}, 1)}, {"k", random({21, 3, 4}, 2)}, {"m", {{3}, {0.5, -1, 2}}}};
  const char *text = R"(attn.attention @a none axes [T, S keys T, H, D, j walk S from T] {
    %q = attn.input "q" [T, H, D] : real [T, H, D]
    %k = attn.input "k" [S, H, D] : real [S, H, D]
    %m = attn.input "m" [H] : real [H]
    %kj = attn.rename %k S to j : real [S, H, D]
    %s = attn.dot %q, %kj over [D] : real [T, H, D], real [j, H, D]
    %mixed = attn.dot %s, %m over [H] : real [T, H, j], real [H]
    %x = attn.mul %mixed, %m : real [T, j], real [H]
    %p = attn.weights over j from T score %x : real [T, j, H]
    %lse = attn.stat lse %p : [T, H] over j from T
    attn.output "lse" %lse [T, H] : real [T, H]
  })";
  Tensors out = Spec(text).run(in);
  for (int t = 0; t < 20; ++t)
    for (int h = 0; h < 3; ++h) {
      double z = 0;
      for (int s = 0; s < 21; ++s) {
        double x = 0;
        for (int g = 0; g < 3; ++g)
          for (int d = 0; d < 4; ++d)
            x += in["m"].data[g] * in["q"].data[(t * 3 + g) * 4 + d] * in["k"].data[(s * 3 + g) * 4 + d];
        z += std::exp(x * in["m"].data[h]);
      }
      EXPECT_NEAR(out["lse"].data[t * 3 + h], std::log(z), 1e-11 * (1 + std::fabs(std::log(z))));
    }
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

TEST(Reference, ErrorsOfInputs) {
  Spec spec(walk(kPlainOutputs));
  Tensors in = randomWalk(3, 5, 4, 2);
  EXPECT_EQ(spec.error(in), "");
  Tensors bad = in;
  bad.erase("v");
  EXPECT_EQ(spec.error(bad, {{"E", 2}}), "input 'v' is missing");
  EXPECT_EQ(spec.error(bad), "the size of axis E is unknown: no array that was passed has it, and it was not given");
  bad = in;
  bad["z"] = {{}, {1}};
  EXPECT_EQ(spec.error(bad), "there is no input 'z'");
  bad = in;
  bad["q"].shape = {12};
  EXPECT_EQ(spec.error(bad), "array 'q' has 1 dimensions; it is declared with 2");
  bad = in;
  bad["q"].shape = {4, 3};
  EXPECT_EQ(spec.error(bad), "axis D is 4 by array 'k' and 3 by array 'q'");
  bad = in;
  bad["q"].data.pop_back();
  EXPECT_EQ(spec.error(bad), "array 'q' holds 11 elements; its shape has 12");
  bad = in;
  bad["q"].shape = {0, 4};
  EXPECT_EQ(spec.error(bad), "axis T has size 0 by array 'q'; a size is from 1 to 2147483647");
  EXPECT_EQ(spec.error(in, {{"Q", 4}}), "there is no axis Q");
  EXPECT_EQ(spec.error(in, {{"D", 5}}), "axis D is 5 by the sizes given and 4 by array 'k'");
}

TEST(Reference, ErrorsOfSizes) {
  Spec spec(R"(attn.attention @a none axes [Hk, G, H = Hk * G, A, C, E = A * C] {
    %x = attn.input "x" [H] : real [Hk, G]
    %a = attn.index A
    %c = attn.index C
    %p = attn.add %a, %c : int [A], int [C]
    attn.output "o" %x [H] : real [Hk, G]
    attn.output "p" %p [E] : int [A, C]
  })");
  Tensors in{{"x", {{6}, std::vector<double>(6)}}};
  EXPECT_EQ(spec.error(in, {{"A", 1}, {"C", 1}, {"G", 4}}),
            "axis H has size 6 by array 'x', which its other factors, 4 in all, do not divide");
  EXPECT_EQ(spec.error(in, {{"A", 1}, {"C", 1}, {"G", 2}, {"Hk", 2}}), "axis H is 6 by array 'x' and 4 by its factors");
  EXPECT_EQ(spec.error(in, {{"A", 2000000000}, {"C", 2000000000}, {"G", 2}}),
            "axis E has size 4000000000000000000 by its factors; a size is from 1 to 2147483647");
  EXPECT_EQ(spec.error(in, {{"A", 40000}, {"C", 40000}, {"G", 2}}),
            "'attn.add' computes a field of more than 536870912 elements, too large for the reference");
  auto sizes = inferSizes(spec.attention(), {{"x", {6}}}, {{"A", 1}, {"C", 1}, {"G", 2}});
  ASSERT_TRUE(bool(sizes));
  EXPECT_EQ(sizes->at("Hk"), 3);
}

TEST(Reference, RenamedAxesHaveOneSize) {
  Spec spec(R"(attn.attention @a none axes [T, S, j walk S from T, K, K2] {
    %x = attn.input "x" [K] : real [K]
    %y = attn.input "y" [K2] : real [K2]
    %x2 = attn.rename %x K to K2 : real [K]
    %z = attn.mul %x2, %y : real [K2], real [K2]
    attn.output "z" %z [K2] : real [K2]
  })");
  EXPECT_EQ(spec.run({{"x", {{2}, {1, 2}}}, {"y", {{2}, {3, 4}}}})["z"].data, (std::vector<double>{3, 8}));
  EXPECT_EQ(spec.error({{"x", {{2}, {1, 2}}}, {"y", {{1}, {3}}}}), "axis K2 is 1 by array 'y' and 2 by axis K");
}

//===----------------------------------------------------------------------===//
// Speed
//===----------------------------------------------------------------------===//

// One causal head of 4096 tokens and 128 features, in units of a plain loop of as many multiplications.
TEST(Reference, LongCausalHeadIsNoSlowerThanPlainLoops) {
  using Clock = std::chrono::steady_clock;
  auto seconds = [](Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); };
  const int64_t t = 4096, d = 128;
  Tensors in = randomWalk(t, t, d, d);
  for (double &x : in["q"].data)
    x *= 0.0883883476483184;
  Spec spec(walk(kCausalOutputs));
  Clock::time_point start = Clock::now();
  Tensors out = spec.run(in);
  double reference = seconds(start);

  // A sixteenth of one of the two products, and the last rows of the answer on the way.
  start = Clock::now();
  std::vector<double> scores(t);
  const double *q = in["q"].data.data(), *k = in["k"].data.data(), *v = in["v"].data.data();
  double worst = 0;
  for (int64_t row = t - t / 16; row < t; ++row) {
    double z = 0;
    for (int64_t j = 0; j < t; ++j) {
      double sum = 0;
      for (int64_t n = 0; n < d; ++n)
        sum += q[row * d + n] * k[j * d + n];
      scores[j] = j <= row ? std::exp(sum) : 0;
      z += scores[j];
    }
    if (row % 100 == 0) {
      double o = 0;
      for (int64_t j = 0; j < t; ++j)
        o += scores[j] * v[j * d] / z;
      worst = std::max(worst, std::fabs(o - out["o"].data[row * d]));
    }
  }
  double loops = 32 * seconds(start);
  EXPECT_LT(worst, 1e-12);
  std::printf("reference %.2f s, plain loops %.2f s\n", reference, loops);
  EXPECT_LT(reference, loops);
}

} // namespace
