// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A whole tensor-core attention kernel, compiled by nvcc from kernels/FlashAttention.cu, against a float64 reference:
// right numbers and no finding under every policy of asynchronous copies; and the bugs that are put into it are found.
#include "Testing.h"

#include <cmath>
#include <cstdlib>

using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

constexpr int D = 64;

struct Attention {
  int heads, length;
  bool causal;
  std::vector<uint16_t> q, k, v, o;
  std::vector<float> lse;
  float scale = 0.125f;

  Attention(int heads, int length, bool causal) : heads(heads), length(length), causal(causal) {
    const size_t n = size_t(heads) * length * D;
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (auto *x : {&q, &k, &v}) {
      x->resize(n);
      for (auto &e : *x)
        e = toBf16(normal(random));
    }
    o.resize(n);
    lse.resize(size_t(heads) * length);
  }

  RunResult run(const std::string &text, Options options = {}) {
    Memory memory;
    BufferOptions in, out;
    in.readOnly = true;
    out.initialised = false;
    auto add = [&](auto &x, BufferOptions b, const char *name) {
      b.name = name;
      auto address = memory.addBuffer(x.data(), x.size() * sizeof(x[0]), b);
      return address ? *address : 0;
    };
    Params p;
    p.add(add(q, in, "q")).add(add(k, in, "k")).add(add(v, in, "v")).add(add(o, out, "o")).add(add(lse, out, "lse"));
    p.add(int32_t(length)).add(float(scale * 1.4426950408889634)).add(int32_t(causal));
    return test::run(text, memory, p, {uint32_t((length + 63) / 64), uint32_t(heads), 1}, {128, 1, 1}, options, 0,
                     "flashAttention");
  }

  /// Relative 2-norm error of o, and the largest error of lse.
  std::pair<double, double> error() const {
    double difference = 0, norm = 0, worst = 0;
    std::vector<double> p(length);
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < length; ++i) {
        const size_t base = size_t(h) * length * D;
        const int end = causal ? i + 1 : length;
        double best = -1e300, sum = 0;
        for (int j = 0; j < end; ++j) {
          double s = 0;
          for (int d = 0; d < D; ++d)
            s += double(bf16(q[base + size_t(i) * D + d])) * bf16(k[base + size_t(j) * D + d]);
          p[j] = s * scale;
          best = std::max(best, p[j]);
        }
        for (int j = 0; j < end; ++j)
          sum += p[j] = std::exp(p[j] - best);
        for (int d = 0; d < D; ++d) {
          double r = 0;
          for (int j = 0; j < end; ++j)
            r += p[j] * bf16(v[base + size_t(j) * D + d]);
          r /= sum;
          const double e = bf16(o[base + size_t(i) * D + d]) - r;
          difference += e * e;
          norm += r * r;
        }
        worst = std::max(worst, std::abs(lse[size_t(h) * length + i] - (best + std::log(sum))));
      }
    return {std::sqrt(difference / norm), worst};
  }
};

const std::string &text() {
  static const std::string t = readFile(std::string(FOVEA_KERNELS) + "/FlashAttention.ptx");
  return t;
}

/// The text with the n-th (from 0) line that contains `what` replaced.
std::string mutate(const std::string &what, int n, const std::string &with) {
  std::istringstream in(text());
  std::string out, line;
  int seen = 0;
  while (std::getline(in, line)) {
    if (line.find(what) != std::string::npos && seen++ == n)
      line = with;
    out += line + "\n";
  }
  EXPECT_GT(seen, n) << what;
  return out;
}

TEST(FlashAttention, MatchesTheReferenceUnderEveryPolicy) {
  for (auto [length, causal] : {std::pair{256, false}, {256, true}, {200, true}, {77, false}, {1, true}}) {
    std::vector<uint16_t> first;
    for (AsyncPolicy policy : {AsyncPolicy::Eager, AsyncPolicy::Lazy, AsyncPolicy::Random}) {
      Attention a(2, length, causal);
      Options options;
      options.policy = policy;
      options.counters = true;
      RunResult r = a.run(text(), options);
      ASSERT_TRUE(r.ok) << r.error;
      EXPECT_TRUE(r.report.clean()) << describe(r);
      auto [o, lse] = a.error();
      EXPECT_LT(o, 5e-3);
      EXPECT_LT(lse, 1e-3);
      if (first.empty())
        first = a.o;
      EXPECT_EQ(first, a.o) << "the policy changed the bits";
      EXPECT_EQ(r.report.counters.sharedWavefronts, r.report.counters.sharedIdealWavefronts);
    }
  }
}

TEST(FlashAttention, ExactAccumulationAgreesToOutputRounding) {
  Attention a(1, 128, true);
  Options options;
  options.accumulate = Accumulate::Exact;
  RunResult r = a.run(text(), options);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  auto [o, lse] = a.error();
  EXPECT_LT(o, 5e-3);
  EXPECT_LT(lse, 1e-3);
}

TEST(FlashAttention, MissingBarrierBeforeUseIsReported) {
  Attention a(1, 256, false);
  RunResult r = a.run(mutate("bar.sync", 0, ""));
  ASSERT_TRUE(r.ok) << r.error;
  EXPECT_GT(r.report.findingCount, 0u);
}

TEST(FlashAttention, MissingBarrierAtTheLoopsEndIsReportedUnderEveryPolicy) {
  for (AsyncPolicy policy : {AsyncPolicy::Eager, AsyncPolicy::Lazy, AsyncPolicy::Random}) {
    Attention a(1, 256, false);
    Options options;
    options.policy = policy;
    RunResult r = a.run(mutate("bar.sync", 1, ""), options);
    ASSERT_TRUE(r.ok) << r.error;
    EXPECT_TRUE(found(r.report, FindingKind::Race, "cp.async") || found(r.report, FindingKind::AsyncHazard, "ldmatrix"))
        << describe(r);
  }
}

TEST(FlashAttention, WrongWaitIsReported) {
  Attention a(1, 256, false);
  RunResult r = a.run(mutate("cp.async.wait_group", 0, "cp.async.wait_group 2;"));
  ASSERT_TRUE(r.ok) << r.error;
  EXPECT_TRUE(found(r.report, FindingKind::AsyncHazard, "ldmatrix")) << describe(r);
}

TEST(FlashAttention, StoreBehindTheBufferIsReported) {
  Attention a(1, 77, false);
  a.o.resize(a.o.size() - 8);
  RunResult r = a.run(text());
  ASSERT_TRUE(r.ok) << r.error;
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "st.global")) << describe(r);
}

// Correctness of timed runs is asserted; the times themselves are printed for the reader.
TEST(FlashAttention, TimesAreReported) {
  for (auto [length, checks] : {std::pair{256, false}, {256, true}, {2048, false}}) {
    Options options;
    options.checks = checks ? Checks::all() : Checks::none();
    std::vector<double> seconds;
    for (int n = 0; n < (length > 1000 ? 1 : 5); ++n) {
      Attention a(2, length, false);
      RunResult r = a.run(text(), options);
      ASSERT_TRUE(r.ok && r.report.clean());
      seconds.push_back(r.report.seconds);
      if (n == 0)
        printf("length %d checks %d: %.1f M lane instructions\n", length, checks,
               double(r.report.counters.laneInstructions) * 1e-6);
    }
    std::sort(seconds.begin(), seconds.end());
    printf("length %d checks %d: %.1f ms\n", length, checks, seconds[seconds.size() / 2] * 1e3);
  }
}

} // namespace
