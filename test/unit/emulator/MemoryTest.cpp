// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads, stores, atomics, address spaces; what is out of bounds, misaligned or uninitialised is reported at its line.
#include "Testing.h"

#include <numeric>

using namespace fovea;
using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

std::vector<uint32_t> iota(size_t n) {
  std::vector<uint32_t> v(n);
  std::iota(v.begin(), v.end(), 100u);
  return v;
}

/// Runs `body` with a and b as buffers of 32-bit words; b is returned.
RunResult runOn(const std::string &body, std::vector<uint32_t> &a, std::vector<uint32_t> &b, Options options = {},
                Dim3 block = {32, 1, 1}, BufferOptions outOptions = {}, Dim3 grid = {},
                const std::string &moduleText = "") {
  Memory memory;
  Params p;
  BufferOptions in;
  in.name = "a";
  outOptions.name = "b";
  p.add(*memory.addBuffer(a.data(), a.size() * 4, in))
      .add(*memory.addBuffer(b.data(), b.size() * 4, outOptions))
      .add(uint64_t(0));
  return run(kernelText(body, "sm_80", "8.0", moduleText), memory, p, grid, block, options);
}

TEST(MemoryAccess, VectorsAndNarrowTypes) {
  auto a = iota(64);
  a[0] = 0x8180ff7f;
  std::vector<uint32_t> b(64);
  RunResult r = runOn(
      "ld.global.v4.u8 {%rs1,%rs2,%rs3,%rs4}, [%rd60]; ld.global.s8 %r5, [%rd60+2]; ld.global.b8 %rd6, [%rd60+3];\n"
      "ld.global.nc.v2.b16 {%rs7,%rs8}, [%rd60]; ld.global.L1::no_allocate.L2::128B.v2.u64 {%rd9,%rd10}, [%rd60+16];\n"
      "ld.global.s16 %r11, [%rd60+2]; ld.volatile.global.u32 %r12, [%rd60+4]; ld.relaxed.gpu.global.u32 %r13, "
      "[%rd60+8];\n"
      "cvt.u32.u16 %r1, %rs1; cvt.u32.u16 %r2, %rs2; cvt.u32.u16 %r3, %rs3; cvt.u32.u16 %r4, %rs4; cvt.u32.u16 %r7, "
      "%rs7;\n"
      "st.global.v4.b32 [%rd61], {%r1,%r2,%r3,%r4}; st.global.v2.u32 [%rd61+16], {%r5,%r7}; st.global.b32 [%rd61+24], "
      "%rd6;\n"
      "st.global.v2.b64 [%rd61+32], {%rd9,%rd10}; st.global.b8 [%rd61+48], %r2; st.global.v2.b16 [%rd61+52], "
      "{%rs8,%rs1};\n"
      "st.global.u32 [%rd61+56], %r11; st.global.u32 [%rd61+60], %r12; st.global.u32 [%rd61+64], 7; "
      "st.release.gpu.global.u32 [%rd61+68], %r13;",
      a, b);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(std::vector<uint32_t>(b.begin(), b.begin() + 18),
            (std::vector<uint32_t>{0x7f, 0xff, 0x80, 0x81, 0xffffff80, 0xff7f, 0x81, 0, 104, 105, 106, 107, 0xff,
                                   0x007f8180, 0xffff8180, 101, 7, 102}));
}

TEST(MemoryAccess, OffsetsBeyondFourGibibytes) {
  Memory memory;
  BufferOptions o;
  o.name = "huge";
  auto base = memory.addSparse(1ull << 40, o);
  ASSERT_TRUE(base) << base.error().message;
  const uint64_t far = (1ull << 39) + 4096;
  uint32_t value = 42, out = 0;
  ASSERT_TRUE(memory.write(*base + far, &value, 4));
  Params p;
  p.add(*base).add(*memory.addBuffer(&out, 4)).add(far);
  RunResult r =
      run(kernelText("add.u64 %rd1, %rd60, %rd62; ld.global.u32 %r1, [%rd1]; ld.global.u32 %r2, [%rd1+8589934592]; "
                     "add.u32 %r1, %r1, %r2; st.global.u32 [%rd61], %r1; st.global.u32 [%rd1+64], %r1;"),
          memory, p);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(out, 42u);
  ASSERT_TRUE(memory.read(*base + far + 64, &value, 4));
  EXPECT_EQ(value, 42u);
  // The same offset cut to 32 bits lands elsewhere: zero, not 42. Behind the end it is reported.
  Params beyond;
  beyond.add(*base).add(*memory.addBuffer(&out, 4)).add(uint64_t(1) << 40);
  r = run(kernelText("add.u64 %rd1, %rd60, %rd62; ld.global.u32 %r1, [%rd1];"), memory, beyond);
  ASSERT_TRUE(r.ok);
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "ld.global.u32 %r1")) << describe(r);
  EXPECT_NE(r.report.findings[0].message.find("behind the end of 'huge'"), std::string::npos);
}

TEST(MemoryAccess, SparseBuffersTrackInitialisation) {
  Memory memory;
  BufferOptions o;
  o.initialised = false;
  auto base = memory.addSparse(1ull << 36, o);
  ASSERT_TRUE(base);
  Params p;
  p.add(*base + (1ull << 35)).add(*base).add(uint64_t(0));
  RunResult r = run(kernelText("add.u64 %rd1, %rd60, %rd63; st.global.u32 [%rd1], %r127; ld.global.u32 %r1, "
                               "[%rd1];\nld.global.u32 %r2, [%rd1+256];"),
                    memory, p);
  ASSERT_TRUE(r.ok);
  EXPECT_EQ(r.report.findings.size(), 1u) << describe(r);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "[%rd1+256]"));
}

TEST(MemoryAccess, FaultsAreReportedWithLineThreadAndBuffer) {
  auto a = iota(32);
  std::vector<uint32_t> b(32);
  RunResult r =
      runOn("add.u64 %rd1, %rd60, %rd63;\nld.global.u32 %r1, [%rd1+4];\nst.global.u32 [%rd61+128], %r1;", a, b);
  ASSERT_TRUE(r.ok);
  ASSERT_EQ(r.report.findings.size(), 2u) << describe(r);
  const Finding &f = r.report.findings[0];
  EXPECT_EQ(f.kind, FindingKind::OutOfBounds);
  EXPECT_EQ(f.text, "ld.global.u32 %r1, [%rd1+4];");
  EXPECT_EQ(f.thread.x, 31u);
  EXPECT_EQ(f.object, "a");
  EXPECT_NE(f.message.find("0 bytes behind the end of 'a' (128 bytes"), std::string::npos) << f.message;
  EXPECT_EQ(r.report.findings[1].count, 32u);
  EXPECT_EQ(r.report.findingCount, 33u);

  r = runOn("ld.global.u32 %r1, [%rd60+2];", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Misaligned, "ld.global.u32")) << describe(r);
  r = runOn("ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd60+8];", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Misaligned, "ld.global.v4")) << describe(r);
  r = runOn("mov.u64 %rd1, 0; ld.global.u32 %r1, [%rd1];", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "ld.global.u32")) << describe(r);
  BufferOptions readOnly;
  readOnly.readOnly = true;
  r = runOn("st.global.u32 [%rd61], 1;", a, b, {}, {32, 1, 1}, readOnly);
  EXPECT_TRUE(found(r.report, FindingKind::ReadOnlyStore, "st.global.u32")) << describe(r);
  EXPECT_EQ(b[0], 0u);
}

TEST(MemoryAccess, SharedMemoryBoundsAndInitialisation) {
  auto a = iota(32);
  std::vector<uint32_t> b(32);
  const std::string declare = ".shared .align 16 .b8 s[128];\n";
  RunResult r =
      runOn(declare + "mov.u32 %r1, s; shl.b32 %r2, %r127, 2; add.u32 %r1, %r1, %r2;\nst.shared.u32 [%r1], "
                      "%r127;\nld.shared.u32 %r3, [%r1];\nadd.u64 %rd1, %rd61, %rd63; st.global.u32 [%rd1], %r3;",
            a, b);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(b[31], 31u);
  r = runOn(declare + "mov.u32 %r1, s;\nst.shared.u32 [%r1+128], %r127;", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "st.shared")) << describe(r);
  r = runOn(declare + "ld.shared.u32 %r1, [s+4];\n", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "ld.shared")) << describe(r);
  // A null pointer is not shared memory.
  r = runOn(declare + "mov.u32 %r1, 0; st.shared.u32 [%r1], %r127;", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "st.shared")) << describe(r);
}

TEST(MemoryAccess, UndefinedRegistersAreReportedWhereTheyMatter) {
  auto a = iota(32);
  std::vector<uint32_t> b(32);
  // Moving and adding is silent; the store reports.
  RunResult r = runOn("mov.u32 %r1, %r2; add.u32 %r3, %r1, 1;\nst.global.u32 [%rd61], %r3;", a, b);
  ASSERT_TRUE(r.ok);
  ASSERT_EQ(r.report.findings.size(), 1u) << describe(r);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "st.global.u32")) << describe(r);
  r = runOn("@%p1 bra L;\nL: mov.u32 %r1, 1;", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "@%p1 bra")) << describe(r);
  r = runOn("ld.global.u32 %r1, [%rd5];", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "ld.global")) << describe(r);
  // The operand that is not selected may be undefined.
  r = runOn("setp.eq.u32 %p1, 1, 1; selp.b32 %r1, 7, %r2, %p1; st.global.u32 [%rd61], %r1;", a, b);
  EXPECT_TRUE(r.ok && r.report.clean()) << describe(r);
  // Only odd lanes wrote it.
  r = runOn("and.b32 %r2, %r127, 1; setp.eq.u32 %p1, %r2, 1; @%p1 mov.u32 %r1, 3;\nadd.u64 %rd1, %rd61, %rd63; @%p1 "
            "st.global.u32 [%rd1], %r1;",
            a, b);
  EXPECT_TRUE(r.ok && r.report.clean()) << describe(r);
  r = runOn("and.b32 %r2, %r127, 1; setp.eq.u32 %p1, %r2, 1; @%p1 mov.u32 %r1, 3;\nadd.u64 %rd1, %rd61, %rd63; @!%p1 "
            "st.global.u32 [%rd1], %r1;",
            a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "@!%p1 st.global")) << describe(r);
  // Through shared memory.
  r = runOn(".shared .align 4 .b8 s[4]; setp.eq.u32 %p1, %r127, 0; @%p1 st.shared.u32 [s], %r9;\n@%p1 ld.shared.u32 "
            "%r1, [s];",
            a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "ld.shared")) << describe(r);
  Options off;
  off.checks = Checks::none();
  r = runOn("mov.u32 %r1, %r2; st.global.u32 [%rd61], %r1;", a, b, off);
  EXPECT_TRUE(r.ok && r.report.clean()) << describe(r);
}

TEST(MemoryAccess, OutputBuffersAreUninitialisedUntilWritten) {
  auto a = iota(32);
  std::vector<uint32_t> b(32);
  BufferOptions out;
  out.initialised = false;
  RunResult r = runOn("add.u64 %rd1, %rd61, %rd63; st.global.u32 [%rd1], %r127;\nld.global.u32 %r1, [%rd1];", a, b, {},
                      {32, 1, 1}, out);
  EXPECT_TRUE(r.ok && r.report.clean()) << describe(r);
  r = runOn("add.u64 %rd1, %rd61, %rd63; st.global.u16 [%rd1], 1;\nld.global.u32 %r1, [%rd1];", a, b, {}, {32, 1, 1},
            out);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "ld.global.u32")) << describe(r);
}

TEST(MemoryAccess, LocalConstParamAndGenericSpaces) {
  auto a = iota(64);
  std::vector<uint32_t> b(64);
  const std::string module =
      ".const .align 4 .b8 table[16] = {1, 0, 0, 0, 2};\n.global .align 8 .u32 counter[2] = {5, 6};\n";
  RunResult r =
      runOn(".local .align 16 .b8 l[32]; .shared .align 8 .b8 s[128];\n"
            "mov.u64 %rd1, l; cvta.local.u64 %rd2, %rd1; st.u32 [%rd2+4], %r127; ld.local.u32 %r1, [%rd1+4];\n"
            "ld.const.u32 %r2, [table+4]; mov.u64 %rd3, table; cvta.const.u64 %rd4, %rd3; ld.u32 %r3, [%rd4];\n"
            "mov.u64 %rd5, s; cvta.shared.u64 %rd6, %rd5; add.u64 %rd6, %rd6, %rd63; st.u32 [%rd6], %r127; "
            "cvta.to.shared.u64 %rd7, %rd6; ld.shared.u32 %r4, [%rd7];\n"
            "mov.b64 %rd8, a; cvta.param.u64 %rd9, %rd8; ld.u64 %rd10, [%rd9+8]; sub.u64 %rd11, %rd10, %rd61; "
            "cvt.u32.u64 %r5, %rd11;\n"
            "atom.global.add.u32 %r6, [counter+4], 0; ld.global.u32 %r7, [counter]; isspacep.shared %p1, %rd6; "
            "selp.b32 %r8, 1, 0, %p1; isspacep.global %p2, %rd60; selp.b32 %r9, 1, 0, %p2;\n"
            "setp.eq.u32 %p3, %r127, 9; @%p3 st.global.v4.u32 [%rd61], {%r1,%r2,%r3,%r4}; @%p3 st.global.v4.u32 "
            "[%rd61+16], {%r5,%r6,%r7,%r8}; @%p3 st.global.u32 [%rd61+32], %r9;",
            a, b, {}, {32, 1, 1}, {}, {}, module);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(std::vector<uint32_t>(b.begin(), b.begin() + 9), (std::vector<uint32_t>{9, 2, 1, 9, 0, 6, 5, 1, 1}));
  r = runOn(".local .align 4 .b8 l[8]; mov.u64 %rd1, l;\nst.local.u32 [%rd1+8], 1;", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "st.local")) << describe(r);
  r = runOn(".local .align 4 .b8 l[8]; mov.u64 %rd1, l;\nld.local.u32 %r1, [%rd1];", a, b);
  EXPECT_TRUE(found(r.report, FindingKind::Uninitialised, "ld.local")) << describe(r);
}

TEST(MemoryAccess, Atomics) {
  struct Case {
    const char *instruction;
    uint32_t start, end;
  };
  const Case table[] = {
      {"red.global.add.u32 [%rd61], 2;", 1, 65},
      {"red.global.add.f32 [%rd61], 0f3F000000;", 0x3f800000, bitsOf(17)},
      {"red.global.max.s32 [%rd61], %r127;", 0xfffffff0, 31},
      {"red.global.min.u32 [%rd61], %r127;", 50, 0},
      {"red.global.or.b32 [%rd61], %r1;", 0, 0xffffffff},
      {"red.global.and.b32 [%rd61], %r2;", 0xffffffff, 0},
      {"red.global.xor.b32 [%rd61], %r1;", 0x0f, 0xfffffff0},
      {"red.global.inc.u32 [%rd61], 9;", 0, 2},
      {"red.global.dec.u32 [%rd61], 9;", 5, 3},
      {"atom.global.exch.b32 %r3, [%rd61], %r127;", 7, 31},
      {"atom.acq_rel.gpu.global.cas.b32 %r3, [%rd61], %r127, %r4;", 0, 32},
      {"mov.b32 %r5, 0x3c003c00; red.global.add.noftz.f16x2 [%rd61], %r5;", 0, 0x50005000},
  };
  for (const Case &c : table) {
    std::vector<uint32_t> a(1), b = {c.start};
    RunResult r =
        runOn(std::string("shl.b32 %r1, 1, %r127; not.b32 %r2, %r1; add.u32 %r4, %r127, 1;\n") + c.instruction, a, b);
    ASSERT_TRUE(r.ok && r.report.clean()) << c.instruction << describe(r);
    EXPECT_EQ(b[0], c.end) << c.instruction;
  }
  // 64 bits, and across CTAs.
  std::vector<uint32_t> a(1), b(2);
  RunResult r =
      runOn("mov.u64 %rd1, 4294967295; atom.global.add.u64 %rd2, [%rd61], %rd1;", a, b, {}, {64, 1, 1}, {}, {3, 1, 1});
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(uint64_t(b[1]) << 32 | b[0], 192ull * 4294967295ull);
}

TEST(MemoryAccess, CountersOfSectorsAndBanks) {
  std::vector<uint32_t> a(32 * 33), b(32 * 33);
  Options o;
  o.counters = true;
  // Coalesced load, strided store; a column of 32-word rows conflicts 32 ways, of 33-word rows not at all.
  RunResult r =
      runOn(".shared .align 16 .b8 s[8448];\n"
            "add.u64 %rd1, %rd60, %rd63; ld.global.u32 %r1, [%rd1];\n"
            "mul.wide.u32 %rd2, %r127, 128; add.u64 %rd2, %rd2, %rd61; st.global.u32 [%rd2], %r1;\n"
            "mul.lo.u32 %r2, %r127, 128; mov.u32 %r3, s; add.u32 %r2, %r2, %r3;\nst.shared.u32 [%r2], %r1;\n"
            "mul.lo.u32 %r4, %r127, 132; add.u32 %r4, %r4, %r3; bar.warp.sync -1;\nst.shared.u32 [%r4+4096], %r1;\n"
            "shl.b32 %r5, %r127, 4; add.u32 %r5, %r5, %r3; bar.warp.sync -1;\nst.shared.v4.u32 [%r5], "
            "{%r1,%r1,%r1,%r1}; bar.warp.sync -1;\nld.shared.u32 %r6, [s];",
            a, b, o);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  const Counters &c = r.report.counters;
  EXPECT_EQ(c.globalLoadBytes, 128u);
  EXPECT_EQ(c.globalSectorsRequested, 4u + 32u);
  EXPECT_EQ(c.globalSectorsUnique, 4u + 32u);
  std::vector<std::pair<uint64_t, uint64_t>> waves;
  for (auto &[line, n] : c.lines)
    if (n.wavefronts)
      waves.push_back({n.wavefronts, n.idealWavefronts});
  ASSERT_EQ(waves.size(), 4u);
  EXPECT_EQ(waves[0], (std::pair<uint64_t, uint64_t>(32, 1)));
  EXPECT_EQ(waves[1], (std::pair<uint64_t, uint64_t>(1, 1)));
  // The 128-bit store and the broadcast load stand on lines of their own: four phases; one.
  EXPECT_EQ(waves[2], (std::pair<uint64_t, uint64_t>(4, 4)));
  EXPECT_EQ(waves[3], (std::pair<uint64_t, uint64_t>(1, 1)));
  EXPECT_EQ(c.opcodes.at("st.shared.u32"), 2u);
  EXPECT_NE(r.report.toJson().find("\"globalSectorsUnique\": 36"), std::string::npos);
}

// What is loaded and then stored moves twice, however often it is loaded.
TEST(MemoryAccess, SectorsInPlace) {
  std::vector<uint32_t> a(32), b(32);
  Options o;
  o.counters = true;
  RunResult r = runOn("add.u64 %rd1, %rd60, %rd63; ld.global.u32 %r1, [%rd1]; ld.global.u32 %r2, [%rd1];\n"
                      "add.u32 %r1, %r1, %r2; st.global.u32 [%rd1], %r1;",
                      a, b, o);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(r.report.counters.globalSectorsRequested, 12u);
  EXPECT_EQ(r.report.counters.globalSectorsUnique, 8u);
}

// Results, findings and counters of one thread and of several are the same.
TEST(Launch, HostThreadsDoNotShow) {
  const std::string text =
      kernelText(".shared .align 4 .b8 s[128];\nmov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y; mov.u32 %r3, %nctaid.x; "
                 "mad.lo.u32 %r4, %r2, %r3, %r1; mad.lo.u32 %r5, %r4, 32, %r127; mul.wide.u32 %rd1, %r5, 4;\n"
                 "add.u64 %rd2, %rd60, %rd1; add.u64 %rd3, %rd61, %rd1; cvt.rn.f32.u32 %f1, %r5; ex2.approx.f32 %f2, "
                 "%f1; sin.approx.f32 %f2, %f1; st.global.f32 [%rd2], %f2;\n"
                 "rem.u32 %r6, %r4, 7; setp.eq.u32 %p1, %r6, 5;\n@%p1 ld.global.u32 %r7, [%rd3+65536];\n"
                 "@%p1 ld.shared.u32 %r8, [s];");
  auto once = [&](uint32_t threads, std::vector<float> &out) {
    std::vector<uint32_t> in(96 * 32);
    out.assign(96 * 32, 0);
    BufferOptions a, b;
    a.name = "a";
    a.initialised = false;
    b.name = "b";
    Memory memory;
    Params p;
    p.add(*memory.addBuffer(out.data(), out.size() * 4, a))
        .add(*memory.addBuffer(in.data(), in.size() * 4, b))
        .add(uint64_t(0));
    Options o;
    o.threads = threads;
    o.perturb = true;
    o.counters = true;
    o.policy = AsyncPolicy::Random;
    RunResult r = run(text, memory, p, {12, 8, 1}, {32, 1, 1}, o);
    EXPECT_TRUE(r.ok) << r.error;
    EXPECT_TRUE(r.report.completed);
    r.report.seconds = 0;
    return r.report.toJson();
  };
  std::vector<float> one, other;
  const std::string report = once(1, one);
  EXPECT_NE(report.find("out of bounds"), std::string::npos);
  for (uint32_t threads : {2u, 3u, 8u, 200u, 0u}) {
    EXPECT_EQ(once(threads, other), report);
    EXPECT_EQ(std::memcmp(one.data(), other.data(), one.size() * 4), 0);
  }
}

// A kernel that cannot go on stops at the same place for any number of threads.
TEST(Launch, TheFirstTrapCounts) {
  const std::string text = kernelText("mov.u32 %r1, %ctaid.x; setp.ge.u32 %p1, %r1, 17;\n@%p1 trap;");
  for (uint32_t threads : {1u, 4u}) {
    Memory memory;
    Params p;
    p.add(uint64_t(0)).add(uint64_t(0)).add(uint64_t(0));
    Options o;
    o.threads = threads;
    RunResult r = run(text, memory, p, {64, 1, 1}, {32, 1, 1}, o);
    ASSERT_TRUE(r.ok && !r.report.completed);
    ASSERT_EQ(r.report.findings.size(), 1u);
    EXPECT_EQ(r.report.findings[0].cta.x, 17u);
  }
}

TEST(Launch, CtasThatTalkRunInOrder) {
  // The ticket of each CTA is its number: those before it have finished.
  const std::string text = kernelText("mov.u32 %r1, %ctaid.x; setp.eq.u32 %p1, %r127, 0; @!%p1 bra E; "
                                      "atom.global.add.u32 %r2, [%rd60], 1; mul.wide.u32 %rd1, %r1, 4; add.u64 %rd1, "
                                      "%rd1, %rd61; st.global.u32 [%rd1], %r2; E:");
  std::vector<uint32_t> tickets(100);
  uint32_t counter = 0;
  Memory memory;
  Params p;
  p.add(*memory.addBuffer(&counter, 4)).add(*memory.addBuffer(tickets.data(), 400)).add(uint64_t(0));
  Options o;
  o.threads = 8;
  RunResult r = run(text, memory, p, {100, 1, 1}, {32, 1, 1}, o);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  for (uint32_t n = 0; n < 100; ++n)
    EXPECT_EQ(tickets[n], n);
}

TEST(Launch, WrongCallsAreErrors) {
  Memory memory;
  auto module = parse(kernelText("") + ".visible .entry fixed() .reqntid 64 { ret; }");
  ASSERT_TRUE(module) << module.error().message;
  const std::string params(24, '\0');
  EXPECT_EQ(launch(*module, "none", {}, {}, 0, params, memory).error().code, ErrorCode::NotFound);
  EXPECT_FALSE(launch(*module, "k", {}, {}, 0, "", memory));
  EXPECT_FALSE(launch(*module, "k", {}, {2048, 1, 1}, 0, params, memory));
  EXPECT_FALSE(launch(*module, "k", {0, 1, 1}, {}, 0, params, memory));
  EXPECT_FALSE(launch(*module, "k", {}, {}, 1u << 30, params, memory));
  EXPECT_FALSE(launch(*module, "fixed", {}, {32, 1, 1}, 0, "", memory));
  EXPECT_TRUE(launch(*module, "fixed", {}, {64, 1, 1}, 0, "", memory));
  EXPECT_FALSE(memory.allocate(UINT64_MAX));
  EXPECT_FALSE(memory.addSparse(1ull << 60));
  EXPECT_FALSE(memory.write(123, params.data(), 1));
  EXPECT_FALSE(memory.remove(5));
}

TEST(Launch, DynamicSharedMemoryAndSpecialRegisters) {
  Memory memory;
  std::vector<uint32_t> out(8 * 64);
  Params p;
  p.add(*memory.addBuffer(out.data(), out.size() * 4)).add(uint64_t(0)).add(uint64_t(0));
  const std::string dynamic = ".extern .shared .align 128 .b8 dyn[];\n";
  const std::string body =
      ".shared .align 4 .b8 fix[4];\n"
      "mov.u32 %r1, dyn; mov.u32 %r2, fix; mov.u32 %r3, %dynamic_smem_size; mov.u32 %r4, %ctaid.y; mov.u32 %r5, "
      "%nctaid.x; mov.u32 %r6, %tid.y; mov.u32 %r7, %ntid.y; mov.u32 %r8, %warpid; mov.u32 %r9, %laneid; mov.u32 %r10, "
      "%lanemask_lt;\n"
      "mad.lo.u32 %r11, %r6, 8, %r127; mul.wide.u32 %rd1, %r11, 32; add.u64 %rd1, %rd1, %rd60; and.b32 %r12, %r1, "
      "127;\n"
      "st.shared.u32 [dyn+252], %r3;\n"
      "st.global.v4.u32 [%rd1], {%r3,%r4,%r5,%r6}; st.global.v4.u32 [%rd1+16], {%r7,%r8,%r9,%r12};";
  Options inOrder; // all CTAs write to the same places: the last one is to be seen
  inOrder.threads = 1;
  RunResult r = run(kernelText(body, "sm_80", "8.0", dynamic), memory, p, {3, 2, 1}, {8, 8, 1}, inOrder, 256);
  ASSERT_TRUE(r.ok) << r.error;
  // Every thread of the two warps stores to one place: that race is right to be reported, and nothing else is.
  for (const Finding &f : r.report.findings)
    EXPECT_EQ(f.kind, FindingKind::Race) << f.format();
  EXPECT_EQ(std::vector<uint32_t>(out.begin() + 40 * 8, out.begin() + 41 * 8),
            (std::vector<uint32_t>{256, 1, 3, 5, 8, 1, 8, 0}));
  r = run(kernelText(body, "sm_80", "8.0", dynamic), memory, p, {1, 1, 1}, {8, 1, 1}, {}, 248);
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "st.shared")) << describe(r);
}

} // namespace
