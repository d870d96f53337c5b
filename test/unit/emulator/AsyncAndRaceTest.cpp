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

TEST(AsyncCopy, BelongsToItsThread) {
  for (AsyncPolicy policy : policies) {
    // The wait shows the data to the lane that issued the copy; its neighbour needs a barrier of the warp too.
    const std::string neighbour = "xor.b32 %r3, %r1, 16;\nld.shared.u32 %r10, [%r3];\nst.global.u32 [%rd2], %r10;";
    CopyRun c = copyRun(issue + "cp.async.wait_all;\n" + neighbour, policy);
    EXPECT_TRUE(found(c.result.report, FindingKind::Race, "ld.shared")) << describe(c.result);
    c = copyRun(issue + "cp.async.wait_all; bar.warp.sync -1;\n" + neighbour, policy);
    EXPECT_TRUE(c.result.report.clean()) << describe(c.result);
    // Lanes that do not wait do not have their data.
    c = copyRun(issue + "setp.eq.u32 %p1, %r127, 3; @!%p1 bra X; cp.async.wait_all; X: bar.sync 0;\n" + readOwn +
                    "cp.async.wait_all;",
                policy);
    EXPECT_TRUE(found(c.result.report, FindingKind::AsyncHazard, "ld.shared")) << describe(c.result);
  }
}

TEST(AsyncCopy, NoThreadEndsBeforeItsCopies) {
  for (AsyncPolicy policy : policies) {
    CopyRun c = copyRun(issue + "cp.async.commit_group;", policy);
    EXPECT_TRUE(found(c.result.report, FindingKind::AsyncHazard, "cp.async.cg")) << describe(c.result);
    EXPECT_TRUE(copyRun(issue + "cp.async.commit_group; cp.async.wait_group 0;", policy).result.report.clean());
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

LaunchReport races(const std::string &body, uint32_t threads = 64, Options options = {}, Dim3 grid = {}) {
  Memory memory;
  std::vector<uint32_t> out(1024);
  BufferOptions buffer;
  buffer.name = "out";
  Params p;
  p.add(*memory.addBuffer(out.data(), 4096, buffer)).add(uint64_t(0)).add(uint64_t(0));
  RunResult r = run(
      kernelText(
          ".shared .align 16 .b8 s[1024]; mov.u32 %r1, s; shl.b32 %r2, %r127, 2; add.u32 %r1, %r1, %r2; mov.u32 %r5, "
          "s; xor.b32 %r6, %r2, 128; add.u32 %r5, %r5, %r6; setp.lt.u32 %p1, %r127, 32; setp.eq.u32 %p2, %r127, 0;\n" +
          body),
      memory, p, grid, {threads, 1, 1}, options);
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
}

TEST(Races, WithinAWarp) {
  const std::string write = "st.shared.u32 [%r1], %r127; xor.b32 %r7, %r2, 4; mov.u32 %r8, s; add.u32 %r8, %r8, %r7;\n";
  const std::string read = "ld.shared.u32 %r3, [%r8];\n";
  LaunchReport r = races(write + read);
  ASSERT_TRUE(found(r, FindingKind::Race, "ld.shared"));
  EXPECT_NE(r.findings[0].message.find("lane 1 of the same warp wrote"), std::string::npos) << r.findings[0].message;
  EXPECT_EQ(r.findings[0].object, "s");
  EXPECT_TRUE(races(write + "bar.warp.sync -1;\n" + read).clean());
  EXPECT_TRUE(races(write + "bar.sync 0;\n" + read).clean());
  // The own lane needs nothing.
  EXPECT_TRUE(races(write + "ld.shared.u32 %r3, [%r1]; st.shared.u32 [%r1], 5;").clean());
  // Write after read, by a lane that is not the only reader.
  EXPECT_TRUE(found(races("bar.sync 0; @%p2 st.shared.u32 [s], 7; bar.sync 0; ld.shared.u32 %r3, [s];\n"
                          "@%p2 st.shared.u32 [s], 8;"),
                    FindingKind::Race, "st.shared.u32 [s], 8"));
  EXPECT_FALSE(
      races("@%p2 st.shared.u32 [s], 7; @%p2 ld.shared.u32 %r3, [s]; @%p2 st.shared.u32 [s], 8;").findingCount);
  // The arms of a branch are not ordered either.
  EXPECT_TRUE(found(races("@%p2 bra A; bra B;\nA: st.shared.u32 [s], 1; bra C;\nB: setp.eq.u32 %p3, %r127, 1;\n"
                          "@%p3 st.shared.u32 [s], 2;\nC:"),
                    FindingKind::Race, "st.shared.u32"));
}

TEST(Races, AWarpSynchronousInstructionOrdersLanesOnlyWhenLenient) {
  const std::string body = "st.shared.u32 [%r1], %r127; xor.b32 %r7, %r2, 4; mov.u32 %r8, s; add.u32 %r8, %r8, %r7;\n"
                           "shfl.sync.bfly.b32 %r9, %r127, 1, 31, -1;\nld.shared.u32 %r3, [%r8];\n";
  EXPECT_TRUE(found(races(body), FindingKind::Race, "ld.shared"));
  Options lenient;
  lenient.lenient = true;
  EXPECT_TRUE(races(body, 64, lenient).clean());
}

TEST(Races, OneStoreOfSeveralLanesToOnePlace) {
  EXPECT_TRUE(races("@%p1 st.shared.u32 [s], 7;").clean()); // one value
  EXPECT_TRUE(found(races("@%p1 st.shared.u32 [s], %r127;"), FindingKind::Race, "st.shared"));
  EXPECT_TRUE(found(races("@%p1 st.global.u32 [%rd60], %r127;"), FindingKind::Race, "st.global"));
}

TEST(Races, MatricesAreReadByTheWholeWarp) {
  // Rows of 16 bytes at s + 16 * lane.
  const std::string row = "and.b32 %r20, %r127, 7; shl.b32 %r21, %r20, 4; mov.u32 %r22, s; add.u32 %r22, %r22, %r21;\n";
  const std::string fill = row + "st.shared.v4.u32 [%r22], {%r20,%r20,%r20,%r20};\n";
  const std::string load = "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r23}, [%r22];\n";
  EXPECT_TRUE(found(races(fill + load, 32), FindingKind::Race, "ldmatrix"));
  EXPECT_TRUE(races(fill + "bar.warp.sync -1;\n" + load, 32).clean());
  EXPECT_TRUE(found(races(fill + "bar.warp.sync -1;\n" + load + "st.shared.u32 [%r22], 1;", 32), FindingKind::Race,
                    "st.shared.u32 [%r22], 1"));
}

// --- global memory ---

TEST(GlobalRaces, BetweenWarpsOfACta) {
  const std::string other = "add.u64 %rd2, %rd60, %rd63; xor.b32 %r7, %r2, 128; cvt.u64.u32 %rd3, %r7; add.u64 %rd3, "
                            "%rd3, %rd60;\nst.global.u32 [%rd2], %r127;\n";
  LaunchReport r = races(other + "ld.global.u32 %r3, [%rd3];");
  ASSERT_TRUE(found(r, FindingKind::Race, "ld.global"));
  EXPECT_NE(describe(r).find("read after write: reads 'out' at offset"), std::string::npos) << describe(r);
  EXPECT_EQ(r.findings[0].object, "out");
  EXPECT_TRUE(races(other + "bar.sync 0;\nld.global.u32 %r3, [%rd3];").clean());
  EXPECT_TRUE(found(races(other + "bar.sync 0;\nld.global.u32 %r3, [%rd3];\nst.global.u32 [%rd2], 1;"),
                    FindingKind::Race, "st.global.u32 [%rd2], 1"));
  // Three warps read, then the fourth writes: the one that completes the barrier goes ahead, number 2 comes last.
  r = races("@%p2 st.global.u32 [%rd60+1024], 3; bar.sync 0; shr.u32 %r9, %r127, 5; setp.eq.u32 %p4, %r9, 2;\n"
            "@!%p4 ld.global.u32 %r3, [%rd60+1024];\n@%p4 st.global.u32 [%rd60+1024], 1;",
            128);
  ASSERT_EQ(r.findings.size(), 1u);
  EXPECT_NE(r.findings[0].message.find("write after read"), std::string::npos) << r.findings[0].message;
  EXPECT_TRUE(races("atom.global.add.u32 %r3, [%rd60], 1;").clean());
  EXPECT_TRUE(found(races("atom.global.add.u32 %r3, [%rd60], 1;\n@%p2 ld.global.u32 %r3, [%rd60];"), FindingKind::Race,
                    "ld.global"));
}

TEST(GlobalRaces, BetweenCtas) {
  const std::string index = "mov.u32 %r10, %ctaid.x; mul.wide.u32 %rd10, %r10, 4; add.u64 %rd10, %rd10, %rd60;\n";
  auto many = [&](const std::string &body, uint32_t threads = 1) {
    Options o;
    o.threads = threads;
    return races(index + body, 32, o, {64, 1, 1});
  };
  for (uint32_t threads : {1u, 2u, 5u}) {
    EXPECT_TRUE(many("st.global.u32 [%rd10], %r10;", threads).clean());
    // Halves of one word by two CTAs are apart.
    EXPECT_TRUE(
        many("mul.wide.u32 %rd11, %r10, 2; add.u64 %rd11, %rd11, %rd60; st.global.u16 [%rd11], 1;", threads).clean());
    LaunchReport r = many("st.global.u32 [%rd60+8], 1;", threads);
    ASSERT_TRUE(found(r, FindingKind::Race, "st.global"));
    EXPECT_NE(r.findings[0].message.find("writes 'out' at offset 8, which CTA (0,0,0) writes too"), std::string::npos)
        << r.findings[0].message;
    EXPECT_EQ(r.findings[0].cta.x, 1u);
    // What the neighbour wrote or will write.
    r = many("st.global.u32 [%rd10], 1;\nld.global.u32 %r3, [%rd10+4];", threads);
    EXPECT_TRUE(found(r, FindingKind::Race, "global")) << threads;
    EXPECT_EQ(r.findingCount, 63u);
    // Reads do not conflict.
    EXPECT_TRUE(many("ld.global.u32 %r3, [%rd60];", threads).clean());
    // Atomic updates do not conflict with each other, but with plain reads.
    EXPECT_TRUE(many("red.global.add.u32 [%rd60], 1;", threads).clean());
    EXPECT_TRUE(found(many("red.global.add.u32 [%rd60], 1;\nld.global.u32 %r3, [%rd60];", threads), FindingKind::Race,
                      "global"));
  }
}

TEST(GlobalRaces, LaunchesAreOrdered) {
  Memory memory;
  BufferOptions options;
  options.name = "out";
  auto address = memory.allocate(4096, options);
  Params p;
  p.add(*address).add(uint64_t(0)).add(uint64_t(0));
  const std::string write = kernelText("mov.u32 %r1, %ctaid.x; mul.wide.u32 %rd1, %r1, 4; add.u64 %rd1, %rd1, %rd60; "
                                       "st.global.u32 [%rd1], %r1;");
  const std::string read = kernelText("mov.u32 %r1, %ctaid.x; mul.wide.u32 %rd1, %r1, 4; add.u64 %rd1, %rd1, %rd60; "
                                      "ld.global.u32 %r2, [%rd1+4]; st.global.u32 [%rd1+512], %r2;");
  EXPECT_TRUE(run(write, memory, p, {64, 1, 1}).report.clean());
  EXPECT_TRUE(run(read, memory, p, {63, 1, 1}).report.clean());
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
                    "[s]; @%p2 st.global.u32 [%rd60], %r3;")
                  .clean());
  EXPECT_TRUE(found(races("@%p2 st.shared.u32 [s], 0; bar.sync 0; red.shared.add.u32 [s], 1;\nld.shared.u32 %r3, [s];"),
                    FindingKind::Race, "shared"));
}

} // namespace
