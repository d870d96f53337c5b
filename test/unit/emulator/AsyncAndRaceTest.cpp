// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Asynchronous copies and the shared-memory race checker: seeded bugs are reported under every policy, clean kernels
// are not.
#include "Testing.h"

#include <numeric>

using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

constexpr AsyncPolicy policies[] = {AsyncPolicy::Eager, AsyncPolicy::Lazy, AsyncPolicy::Random};

struct CopyRun {
  RunResult result;
  std::vector<uint32_t> out;
};

/// 64 threads; s is 1 KiB of shared memory; %r1 = s + 16*tid, %rd1 = a + 16*tid, %rd2 = b + 16*tid.
CopyRun copyRun(const std::string &body, AsyncPolicy policy, bool races = true) {
  CopyRun c;
  std::vector<uint32_t> in(256);
  std::iota(in.begin(), in.end(), 1000u);
  c.out.resize(256);
  Memory memory;
  Params p;
  p.add(*memory.addBuffer(in.data(), 1024)).add(*memory.addBuffer(c.out.data(), 1024)).add(uint64_t(0));
  Options o;
  o.policy = policy;
  o.checks.races = races;
  c.result =
      run(kernelText(".shared .align 16 .b8 s[1024]; mov.u32 %r1, s; shl.b32 %r2, %r127, 4; add.u32 %r1, %r1, %r2; "
                     "mul.wide.u32 %rd4, %r127, 16; add.u64 %rd1, %rd60, %rd4; add.u64 %rd2, %rd61, %rd4;\n" +
                     body),
          memory, p, {}, {64, 1, 1}, o);
  return c;
}
const std::string readOwn =
    "ld.shared.v4.u32 {%r10,%r11,%r12,%r13}, [%r1];\nst.global.v4.u32 [%rd2], {%r10,%r11,%r12,%r13};";
// The chunk of the other warp.
const std::string readOther = "mov.u32 %r3, s; xor.b32 %r4, %r2, 512; add.u32 %r3, %r3, %r4;\nld.shared.v4.u32 "
                              "{%r10,%r11,%r12,%r13}, [%r3];\nst.global.v4.u32 [%rd2], {%r10,%r11,%r12,%r13};";
const std::string issue = "cp.async.cg.shared.global [%r1], [%rd1], 16;\n";

TEST(AsyncCopy, LandsByItsWait) {
  for (AsyncPolicy policy : policies) {
    CopyRun c = copyRun(issue + "cp.async.commit_group; cp.async.wait_group 0; " + readOwn, policy);
    ASSERT_TRUE(c.result.ok && c.result.report.clean()) << describe(c.result);
    EXPECT_EQ(c.out[77], 1077u);
    c = copyRun(issue + "cp.async.wait_all; bar.sync 0; " + readOther, policy);
    ASSERT_TRUE(c.result.ok && c.result.report.clean()) << describe(c.result);
    EXPECT_EQ(c.out[0], 1128u);
  }
}

TEST(AsyncCopy, SizesAndZeroFill) {
  for (AsyncPolicy policy : policies) {
    CopyRun c =
        copyRun("mov.u32 %r5, 6; cp.async.ca.shared.global [%r1], [%rd1], 4; cp.async.ca.shared.global [%r1+8], "
                "[%rd1+8], 8, %r5; cp.async.ca.shared.global.L2::128B [%r1+4], [%rd1+4], 4, 0; cp.async.wait_all; " +
                    readOwn,
                policy);
    ASSERT_TRUE(c.result.ok && c.result.report.clean()) << describe(c.result);
    EXPECT_EQ(std::vector<uint32_t>(c.out.begin() + 4, c.out.begin() + 8),
              (std::vector<uint32_t>{1004, 0, 1006, 1007}));
    // Nothing is read with size 0, so the address may be anything; with a predicate to ignore the source too.
    c = copyRun("mov.u64 %rd9, 16; cp.async.cg.shared.global [%r1], [%rd9], 16, 0; cp.async.wait_all; " + readOwn,
                policy);
    ASSERT_TRUE(c.result.ok && c.result.report.clean()) << describe(c.result);
    EXPECT_EQ(c.out[4], 0u);
  }
}

TEST(AsyncCopy, GroupsCountFromTheNewest) {
  for (AsyncPolicy policy : policies) {
    const std::string two =
        "cp.async.cg.shared.global [%r1], [%rd1], 16; cp.async.commit_group; cp.async.commit_group;\n";
    CopyRun c = copyRun(two + "cp.async.wait_group 1; " + readOwn, policy); // the empty group is the newest
    EXPECT_TRUE(c.result.ok && c.result.report.clean()) << describe(c.result);
    c = copyRun(two + "cp.async.wait_group 2; " + readOwn, policy);
    EXPECT_TRUE(found(c.result.report, FindingKind::AsyncHazard, "ld.shared")) << describe(c.result);
  }
}

TEST(AsyncCopy, SeededBugsAreReportedUnderEveryPolicy) {
  struct Bug {
    const char *name;
    std::string body;
    FindingKind kind;
    const char *line;
  };
  const Bug bugs[] = {
      {"no wait", issue + "cp.async.commit_group; " + readOwn, FindingKind::AsyncHazard, "ld.shared"},
      {"wait for an earlier group", issue + "cp.async.commit_group; cp.async.wait_group 1; " + readOwn,
       FindingKind::AsyncHazard, "ld.shared"},
      {"not committed", issue + "cp.async.wait_group 0; " + readOwn, FindingKind::AsyncHazard, "ld.shared"},
      {"no barrier", issue + "cp.async.wait_all;\n" + readOther, FindingKind::Race, "ld.shared"},
      {"barrier before the wait", issue + "bar.sync 0; cp.async.wait_all;\n" + readOther, FindingKind::Race,
       "ld.shared"},
      {"overwritten in flight", issue + "st.shared.u32 [%r1+4], 5;\ncp.async.wait_all;", FindingKind::AsyncHazard,
       "st.shared"},
      {"issued over what others read",
       "st.shared.v4.u32 [%r1], {%r127,%r127,%r127,%r127}; bar.sync 0;\n" + readOther +
           "\ncp.async.cg.shared.global [%r1], [%rd1], 16; cp.async.wait_all;",
       FindingKind::Race, "cp.async.cg"},
      {"source behind the buffer", "cp.async.cg.shared.global [%r1], [%rd1+16], 16; cp.async.wait_all;",
       FindingKind::OutOfBounds, "cp.async"},
      {"destination behind shared memory", "cp.async.cg.shared.global [%r1+16], [%rd1], 16; cp.async.wait_all;",
       FindingKind::OutOfBounds, "cp.async"},
      {"misaligned", "cp.async.cg.shared.global [%r1], [%rd1+8], 16; cp.async.wait_all;", FindingKind::Misaligned,
       "cp.async"},
  };
  for (const Bug &bug : bugs)
    for (AsyncPolicy policy : policies) {
      CopyRun c = copyRun(bug.body, policy);
      ASSERT_TRUE(c.result.ok) << bug.name << c.result.error;
      // Of two conflicting instructions either may be the one that is caught.
      bool any = found(c.result.report, bug.kind, bug.line);
      if (bug.kind == FindingKind::Race)
        for (const Finding &f : c.result.report.findings)
          any |= f.kind == FindingKind::Race || f.kind == FindingKind::AsyncHazard;
      EXPECT_TRUE(any) << bug.name << "\n" << describe(c.result);
    }
}

TEST(AsyncCopy, LazyPoisonMakesEarlyReadsVisible) {
  CopyRun c = copyRun(issue + readOwn + " cp.async.wait_all;", AsyncPolicy::Lazy, false);
  ASSERT_TRUE(c.result.ok) << c.result.error;
  EXPECT_EQ(c.out[9], 0xffffffffu);
  c = copyRun(issue + readOwn + " cp.async.wait_all;", AsyncPolicy::Eager, false);
  EXPECT_EQ(c.out[9], 1009u);
}

// --- plain races ---

LaunchReport races(const std::string &body, uint32_t threads = 64) {
  Memory memory;
  std::vector<uint32_t> out(1024);
  Params p;
  p.add(*memory.addBuffer(out.data(), 4096)).add(uint64_t(0)).add(uint64_t(0));
  RunResult r = run(
      kernelText(
          ".shared .align 16 .b8 s[1024]; mov.u32 %r1, s; shl.b32 %r2, %r127, 2; add.u32 %r1, %r1, %r2; mov.u32 %r5, "
          "s; xor.b32 %r6, %r2, 128; add.u32 %r5, %r5, %r6; setp.lt.u32 %p1, %r127, 32; setp.eq.u32 %p2, %r127, 0;\n" +
          body),
      memory, p, {}, {threads, 1, 1});
  EXPECT_TRUE(r.ok) << r.error;
  return r.report;
}

TEST(Races, BetweenWarps) {
  EXPECT_TRUE(races("st.shared.u32 [%r1], 1; bar.sync 0; ld.shared.u32 %r3, [%r5];").clean());
  EXPECT_TRUE(found(races("st.shared.u32 [%r1], 1;\nld.shared.u32 %r3, [%r5];"), FindingKind::Race, "ld.shared"));
  // Write after read: the second warp's write comes after the first one's read here, by luck of the schedule.
  LaunchReport war = races("st.shared.u32 [%r1], 1; bar.sync 0;\nld.shared.u32 %r3, [%r5];\nst.shared.u32 [%r1], 2;");
  ASSERT_TRUE(found(war, FindingKind::Race, "st.shared.u32 [%r1], 2"));
  bool named = false;
  for (const Finding &f : war.findings)
    named |= f.message.find("write after read") != std::string::npos && f.text.find("st.shared.u32 [%r1], 2") == 0;
  EXPECT_TRUE(named);
  EXPECT_TRUE(found(races("st.shared.u32 [s], %r127;"), FindingKind::Race, "st.shared"));
  // A barrier of one warp orders nothing for another.
  EXPECT_TRUE(found(races("st.shared.u32 [%r1], 1; bar.warp.sync -1;\nld.shared.u32 %r3, [%r5];"), FindingKind::Race,
                    "ld.shared"));
  // Within a warp all is in order.
  EXPECT_TRUE(races("st.shared.u32 [%r1], 1; xor.b32 %r7, %r2, 4; mov.u32 %r8, s; add.u32 %r8, %r8, %r7; ld.shared.u32 "
                    "%r3, [%r8];")
                  .clean());
}

TEST(Races, BytesOfOneWordAreApart) {
  EXPECT_TRUE(races("mov.u32 %r7, s; @%p1 st.shared.u16 [%r7], 1; @!%p1 st.shared.u16 [%r7+2], 2; bar.sync 0; "
                    "ld.shared.u32 %r3, [s];")
                  .clean());
  EXPECT_TRUE(found(races("mov.u32 %r7, s; @%p1 st.shared.u16 [%r7], 1; @!%p1 st.shared.u8 [%r7+1], 2;"),
                    FindingKind::Race, "st.shared"));
}

TEST(Races, NamedBarriersOrderOnlyTheirWarps) {
  const std::string producer =
      "@!%p1 bra C; st.shared.u32 [s], 5; bar.arrive 1, 64; bra E;\nC: bar.sync 1, 64; ld.shared.u32 %r3, [s];\nE:";
  EXPECT_TRUE(races(producer).clean());
  // The producer, which only arrived, may not write again: nothing orders the consumer's read before it.
  EXPECT_TRUE(found(races("@!%p1 bra C; st.shared.u32 [s], 5; bar.arrive 1, 64;\nst.shared.u32 [s], 6; bra E;\nC: "
                          "bar.sync 1, 64;\nld.shared.u32 %r3, [s];\nE:"),
                    FindingKind::Race, "shared.u32"));
}

TEST(Races, AtomicsDoNotRaceWithEachOther) {
  EXPECT_TRUE(races("@%p2 st.shared.u32 [s], 0; bar.sync 0; red.shared.add.u32 [s], 1; bar.sync 0; ld.shared.u32 %r3, "
                    "[s]; st.global.u32 [%rd60], %r3;")
                  .clean());
  EXPECT_TRUE(found(races("@%p2 st.shared.u32 [s], 0; bar.sync 0; red.shared.add.u32 [s], 1;\nld.shared.u32 %r3, [s];"),
                    FindingKind::Race, "shared"));
}

} // namespace
