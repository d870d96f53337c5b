// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Divergence and reconvergence, warp-wide instructions, CTA barriers and deadlocks.
#include "Testing.h"

using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

/// Runs `body`, which leaves its result in %r0; returns it per thread.
std::vector<uint32_t> values(const std::string &body, RunResult &r, Dim3 block = {32, 1, 1}, Options options = {},
                             const std::string &target = "sm_80") {
  Memory memory;
  std::vector<uint32_t> out(block.count());
  Params p;
  p.add(*memory.addBuffer(out.data(), out.size() * 4)).add(uint64_t(0)).add(uint64_t(0));
  r = run(kernelText(body + "\nadd.u64 %rd59, %rd60, %rd63; st.global.u32 [%rd59], %r0;", target), memory, p, {}, block,
          options);
  return out;
}
std::vector<uint32_t> clean(const std::string &body, Dim3 block = {32, 1, 1}, const std::string &target = "sm_80") {
  RunResult r;
  auto out = values(body, r, block, {}, target);
  EXPECT_TRUE(r.ok && r.report.clean()) << body << "\n" << describe(r);
  return out;
}
LaunchReport report(const std::string &body, Dim3 block = {32, 1, 1}, Options options = {}) {
  RunResult r;
  values(body, r, block, options);
  EXPECT_TRUE(r.ok) << r.error;
  return r.report;
}

TEST(Divergence, IfElseReconverges) {
  // The join block stands before both arms in the text.
  auto v = clean("setp.lt.u32 %p1, %r127, 10; bra START;\n"
                 "JOIN: activemask.b32 %r2; xor.b32 %r0, %r1, %r2; bra END;\n"
                 "START: @%p1 bra A; mov.u32 %r1, 1; bra JOIN;\nA: mov.u32 %r1, 2; bra JOIN;\nEND:");
  EXPECT_EQ(v[3], 2u ^ 0xffffffffu);
  EXPECT_EQ(v[20], 1u ^ 0xffffffffu);
}

TEST(Divergence, LoopsOfDifferentLengthAndNesting) {
  auto v = clean(
      "mov.u32 %r0, 0; mov.u32 %r1, 0;\n"
      "OUTER: setp.ge.u32 %p1, %r1, %r127; @%p1 bra DONE;\n"
      "mov.u32 %r2, 0;\nINNER: add.u32 %r0, %r0, 1; add.u32 %r2, %r2, 1; setp.le.u32 %p2, %r2, %r1; @%p2 bra INNER;\n"
      "add.u32 %r1, %r1, 1; bra.uni OUTER;\nDONE: activemask.b32 %r5; setp.ne.u32 %p3, %r5, -1; @%p3 trap;");
  for (uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(v[t], t * (t + 1) / 2);
}

TEST(Divergence, EarlyExitAndGuardedReturn) {
  RunResult r;
  auto v = values("setp.lt.u32 %p1, %r127, 5; mov.u32 %r0, 9; @%p1 ret; setp.eq.u32 %p2, %r127, 7; @%p2 bra OUT; "
                  "mov.u32 %r0, 8;\nOUT: ",
                  r);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(v[4], 0u);
  EXPECT_EQ(v[5], 8u);
  EXPECT_EQ(v[7], 9u);
}

TEST(Divergence, IndexedBranch) {
  auto v = clean("and.b32 %r1, %r127, 3;\nT: .branchtargets A, B, C, A;\nbrx.idx %r1, T;\nA: mov.u32 %r0, 1; bra "
                 "E;\nB: mov.u32 %r0, 2; bra E;\nC: mov.u32 %r0, 3;\nE: activemask.b32 %r2; add.u32 %r0, %r0, %r2;");
  EXPECT_EQ(v[0], 0u);
  EXPECT_EQ(v[1], 1u);
  EXPECT_EQ(v[6], 2u);
  EXPECT_EQ(v[7], 0u);
  LaunchReport bad = report("mov.u32 %r0, 0; add.u32 %r1, %r127, 1;\nT: .branchtargets A, A;\nbrx.idx %r1, T;\nA:");
  EXPECT_TRUE(found(bad, FindingKind::OutOfBounds, "brx.idx"));
}

TEST(Divergence, SpinningLanesDoNotStarveTheOneTheyWaitFor) {
  // Lane 31 sets the flag that the others spin on; which side runs first must not matter.
  for (const char *guard : {"@%p1", "@!%p1"}) {
    const bool direct = guard[1] == '%';
    RunResult r;
    auto v = values(std::string(".shared .align 4 .b8 flag[4]; setp.eq.u32 %p2, %r127, 0; @%p2 st.shared.u32 [flag], "
                                "0; bar.warp.sync -1;\n") +
                        "setp.eq.u32 %p1, %r127, " + (direct ? "31" : "31") + "; mov.u32 %r0, 1;\n" + guard +
                        " bra X;\n" + (direct ? "" : "atom.shared.exch.b32 %r1, [flag], 1; bra END;\n") +
                        (direct ? "SPIN: atom.shared.add.u32 %r2, [flag], 0; setp.eq.u32 %p3, %r2, 0; @%p3 bra SPIN; "
                                  "bra END;\nX: atom.shared.exch.b32 %r1, [flag], 1;\n"
                                : "X: atom.shared.add.u32 %r2, [flag], 0; setp.eq.u32 %p3, %r2, 0; @%p3 bra X;\n") +
                        "END:",
                    r);
    ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
    EXPECT_EQ(v[0], 1u);
  }
}

TEST(Divergence, UniformBranchThatIsNotIsReported) {
  EXPECT_TRUE(found(report("setp.lt.u32 %p1, %r127, 3; mov.u32 %r0, 1;\n@%p1 bra.uni L;\nmov.u32 %r0, 2;\nL:"),
                    FindingKind::Barrier, "bra.uni"));
}

TEST(Divergence, EndlessLoopSpendsItsBudget) {
  Options o;
  o.instructionBudget = 10000;
  LaunchReport r = report("mov.u32 %r0, 0;\nL: bra L;", {32, 1, 1}, o);
  EXPECT_FALSE(r.completed);
  EXPECT_TRUE(found(r, FindingKind::Budget, "bra L"));
}

TEST(WarpWide, Shuffles) {
  auto v = clean("shfl.sync.bfly.b32 %r0, %r127, 5, 31, -1;");
  for (uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(v[t], t ^ 5);
  v = clean("shfl.sync.up.b32 %r1|%p1, %r127, 3, 0, -1; selp.b32 %r2, 100, 0, %p1; add.u32 %r0, %r1, %r2;");
  for (uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(v[t], t < 3 ? t : t - 3 + 100);
  // Segments of 8 lanes: the mask is 0x18 in bits 8..12, the clamp 0x1f.
  v = clean("shfl.sync.down.b32 %r1|%p1, %r127, 2, 6175, -1; selp.b32 %r2, 100, 0, %p1; add.u32 %r0, %r1, %r2;");
  for (uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(v[t], t % 8 < 6 ? t + 2 + 100 : t) << t;
  v = clean("shfl.sync.idx.b32 %r0, %r127, 3, 6175, -1;");
  for (uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(v[t], t / 8 * 8 + 3);
  // Half a warp each, in two arms with their own masks.
  v = clean("setp.lt.u32 %p1, %r127, 16; @%p1 bra A; shfl.sync.bfly.b32 %r0, %r127, 1, 31, 0xffff0000; bra E;\nA: "
            "shfl.sync.bfly.b32 %r0, %r127, 2, 31, 0x0000ffff;\nE:");
  EXPECT_EQ(v[20], 21u);
  EXPECT_EQ(v[4], 6u);
}

TEST(WarpWide, DivergedLanesMeetAtASyncInstruction) {
  // Both arms come to the one shuffle by different ways, without a common branch target before it.
  auto v = clean("setp.lt.u32 %p1, %r127, 16; mov.u32 %r1, 1; @%p1 bra S; mov.u32 %r1, 2; nanosleep.u32 20;\nS: "
                 "add.u32 %r3, %r127, 0; shfl.sync.bfly.b32 %r0, %r1, 16, 31, -1;");
  EXPECT_EQ(v[0], 2u);
  EXPECT_EQ(v[31], 1u);
  // A guard that holds for half of them, and the other half never comes: reported, no hang.
  LaunchReport r =
      report("setp.lt.u32 %p1, %r127, 16; mov.u32 %r0, 0;\n@%p1 shfl.sync.bfly.b32 %r0, %r127, 1, 31, -1;");
  EXPECT_TRUE(found(r, FindingKind::Deadlock, "shfl"));
  r = report("setp.lt.u32 %p1, %r127, 16; mov.u32 %r0, 0;\nshfl.sync.bfly.b32 %r0, %r127, 1, 31, 0xffff;");
  EXPECT_TRUE(found(r, FindingKind::Barrier, "shfl"));
}

TEST(WarpWide, VotesReductionsMatches) {
  EXPECT_EQ(clean("setp.lt.u32 %p1, %r127, 5; vote.sync.ballot.b32 %r0, %p1, -1;")[9], 31u);
  EXPECT_EQ(clean("setp.lt.u32 %p1, %r127, 5; vote.sync.any.pred %p2, !%p1, -1; vote.sync.all.pred %p3, %p1, -1; "
                  "vote.sync.uni.pred %p4, %p1, -1; selp.b32 %r1, 1, 0, %p2; selp.b32 %r2, 2, 0, %p3; selp.b32 %r3, 4, "
                  "0, %p4; add.u32 %r0, %r1, %r2; add.u32 %r0, %r0, %r3;")[0],
            1u);
  EXPECT_EQ(clean("redux.sync.add.s32 %r0, %r127, -1;")[0], 496u);
  EXPECT_EQ(clean("sub.s32 %r1, %r127, 16; redux.sync.min.s32 %r0, %r1, -1;")[0], uint32_t(-16));
  EXPECT_EQ(clean("sub.s32 %r1, %r127, 16; redux.sync.max.u32 %r0, %r1, -1;")[0], 0xffffffffu);
  EXPECT_EQ(clean("shl.b32 %r1, 1, %r127; redux.sync.xor.b32 %r0, %r1, -1;")[5], 0xffffffffu);
  EXPECT_EQ(clean("and.b32 %r1, %r127, 1; match.any.sync.b32 %r0, %r1, -1;")[3], 0xaaaaaaaau);
  EXPECT_EQ(clean("match.all.sync.b32 %r1|%p1, %r127, -1; selp.b32 %r0, 1, 2, %p1;")[3], 2u);
  EXPECT_EQ(clean("elect.sync %r1|%p1, -1; selp.b32 %r0, 1, 0, %p1;", {32, 1, 1}, "sm_90")[0], 1u);
  EXPECT_EQ(clean("elect.sync _|%p1, -1; selp.b32 %r0, 1, 0, %p1;", {32, 1, 1}, "sm_90")[1], 0u);
}

TEST(Barriers, WholeAndNamedAndReductions) {
  const Dim3 two{64, 1, 1};
  auto v =
      clean(".shared .align 4 .b8 s[256]; mov.u32 %r1, s; shl.b32 %r2, %r127, 2; add.u32 %r3, %r1, %r2; st.shared.u32 "
            "[%r3], %r127; bar.sync 0; xor.b32 %r4, %r2, 128; add.u32 %r4, %r4, %r1; ld.shared.u32 %r0, [%r4];",
            two);
  EXPECT_EQ(v[0], 32u);
  EXPECT_EQ(v[40], 8u);
  v = clean(
      "setp.lt.u32 %p1, %r127, 40; bar.red.popc.u32 %r0, 1, %p1; bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, "
      "!%p1; selp.b32 %r1, 100, 0, %p2; selp.b32 %r2, 200, 0, %p3; add.u32 %r0, %r0, %r1; add.u32 %r0, %r0, %r2;",
      two);
  EXPECT_EQ(v[0], 240u);
  // Producer and consumer: warp 0 arrives, warp 1 waits.
  v = clean(
      ".shared .align 4 .b8 s[4]; setp.lt.u32 %p1, %r127, 32; setp.eq.u32 %p2, %r127, 0; mov.u32 %r0, 5; @!%p1 bra C; "
      "@%p2 st.shared.u32 [s], 77; bar.arrive 1, 64; bra E;\nC: bar.sync 1, 64; ld.shared.u32 %r0, [s];\nE:",
      two);
  EXPECT_EQ(v[0], 5u);
  EXPECT_EQ(v[40], 77u);
}

TEST(Barriers, WarpsThatEndedAreNotWaitedFor) {
  RunResult r;
  auto v = values("setp.ge.u32 %p1, %r127, 32; mov.u32 %r0, 3; @%p1 exit; bar.sync 0;", r, {96, 1, 1});
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(v[0], 3u);
}

TEST(Barriers, MisuseIsReported) {
  const Dim3 two{64, 1, 1};
  LaunchReport r = report(
      "mov.u32 %r0, 0; setp.lt.u32 %p1, %r127, 32; @%p1 bra A;\nbar.sync 1, 64;\nbra E;\nA: bar.sync 2, 64;\nE:", two);
  ASSERT_FALSE(r.completed);
  ASSERT_TRUE(found(r, FindingKind::Deadlock, "bar.sync"));
  EXPECT_NE(r.findings[0].message.find("warp 0 waits at barrier 2"), std::string::npos) << r.findings[0].message;
  EXPECT_NE(r.findings[0].message.find("warp 1 waits at barrier 1"), std::string::npos);
  r = report("mov.u32 %r0, 0; setp.lt.u32 %p1, %r127, 7; @%p1 bra E;\nbar.sync 0;\nE:");
  EXPECT_TRUE(found(r, FindingKind::Barrier, "bar.sync"));
  r = report("mov.u32 %r0, 0;\nmov.u32 %r1, 48; bar.sync 0, %r1;", two);
  EXPECT_TRUE(found(r, FindingKind::Barrier, "bar.sync"));
  r = report(
      "mov.u32 %r0, 0; setp.lt.u32 %p1, %r127, 32; @%p1 bra A;\nbar.sync 1, 32; bra E;\nA: bar.arrive 1, 64;\nE:", two);
  EXPECT_TRUE(found(r, FindingKind::Barrier, "bar."));
  r = report("mov.u32 %r0, 0; setp.lt.u32 %p1, %r127, 32; @!%p1 bra E;\nbar.arrive 1, 64;\nE:", two);
  EXPECT_TRUE(found(r, FindingKind::Barrier, "bar.arrive"));
  r = report("mov.u32 %r0, 0;\nbar.sync %r127;", {32, 1, 1});
  EXPECT_TRUE(found(r, FindingKind::Barrier, "bar.sync"));
  r = report("mov.u32 %r0, 0; setp.eq.u32 %p1, %r127, 3;\n@%p1 trap;");
  EXPECT_TRUE(found(r, FindingKind::Trap, "trap"));
}

} // namespace
