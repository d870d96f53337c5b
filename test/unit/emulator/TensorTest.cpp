// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor-core instructions with index-coded operands, so that a wrong place shows as a wrong number; and the
// accumulation model against a reference in wide integers.
#include "Testing.h"
#include "runtime/emulator/Half.h"
#include "runtime/emulator/TensorCore.h"

#include <cmath>
#include <functional>
#include <numeric>

using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

RunResult onBuffers(const std::string &body, void *a, uint64_t aBytes, void *b, uint64_t bBytes, void *c,
                    uint64_t cBytes, Options options = {}, const std::string &target = "sm_80") {
  Memory memory;
  Params p;
  p.add(*memory.addBuffer(a, aBytes)).add(*memory.addBuffer(b, bBytes)).add(*memory.addBuffer(c, cBytes));
  return run(kernelText(body, target, "8.4"), memory, p, {}, {32, 1, 1}, options);
}

std::string list(const std::string &prefix, int first, int count) {
  std::string out = "{";
  for (int n = 0; n < count; ++n)
    out += (n ? "," : "") + prefix + std::to_string(first + n);
  return out + "}";
}

/// Loads `count` 32-bit registers of each lane from base + 4*count*lane.
std::string loads(const char *base, int first, int count) {
  std::string out = "mul.wide.u32 %rd1, %r127, " + std::to_string(4 * count) + "; add.u64 %rd1, %rd1, " + base + ";\n";
  for (int n = 0; n < count; ++n)
    out += "ld.global.b32 %r" + std::to_string(first + n) + ", [%rd1+" + std::to_string(4 * n) + "];\n";
  return out;
}

/// One mma of shape m16n8k on matrices A[16][k], B[k][8], C[16][8] given by value; layouts written out from the ISA.
struct Mma {
  int k, bits; // bits of a multiplicand
  std::string shapeAndTypes;
  bool halfAccumulator = false;
  std::string target = "sm_80";

  std::vector<uint32_t> operator()(const std::vector<uint32_t> &A, const std::vector<uint32_t> &B,
                                   const std::vector<uint32_t> &C, Options options = {}) const {
    const int per = 32 / bits, aRegs = 16 * k * bits / 1024, bRegs = 8 * k * bits / 1024,
              cRegs = halfAccumulator ? 2 : 4;
    std::vector<uint32_t> a(32 * aRegs), bc(32 * (bRegs + cRegs)), d(32 * cRegs);
    const uint64_t mask = bits == 32 ? ~0u : (1u << bits) - 1;
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane >> 2, t = lane & 3;
      for (int h = 0; h < aRegs; ++h)
        for (int e = 0; e < per; ++e) {
          const int row = g + 8 * (h & 1), column = per * t + 4 * per * (h >> 1) + e;
          a[lane * aRegs + h] |= uint32_t(A[row * k + column] & mask) << (e * bits);
        }
      for (int h = 0; h < bRegs; ++h)
        for (int e = 0; e < per; ++e)
          bc[lane * bRegs + h] |= uint32_t(B[(per * t + 4 * per * h + e) * 8 + g] & mask) << (e * bits);
      for (int h = 0; h < cRegs; ++h) {
        uint32_t &reg = bc[32 * bRegs + lane * cRegs + h];
        if (halfAccumulator)
          reg = C[(g + 8 * h) * 8 + 2 * t] | C[(g + 8 * h) * 8 + 2 * t + 1] << 16;
        else
          reg = C[(g + 8 * (h >> 1)) * 8 + 2 * t + (h & 1)];
      }
    }
    const std::string cBase = "add.u64 %rd10, %rd61, " + std::to_string(128 * bRegs) + ";\n";
    std::string body = loads("%rd60", 10, aRegs) + loads("%rd61", 20, bRegs) + cBase + loads("%rd10", 30, cRegs) +
                       "mma.sync.aligned." + shapeAndTypes + "\n" + list("%r", 40, cRegs) + ",\n" +
                       list("%r", 10, aRegs) + ",\n" + list("%r", 20, bRegs) + ",\n" + list("%r", 30, cRegs) + ";\n" +
                       "mul.wide.u32 %rd1, %r127, " + std::to_string(4 * cRegs) + "; add.u64 %rd1, %rd1, %rd62;\n";
    for (int n = 0; n < cRegs; ++n)
      body += "st.global.b32 [%rd1+" + std::to_string(4 * n) + "], %r" + std::to_string(40 + n) + ";\n";
    RunResult r =
        onBuffers(body, a.data(), a.size() * 4, bc.data(), bc.size() * 4, d.data(), d.size() * 4, options, target);
    EXPECT_TRUE(r.ok && r.report.clean()) << shapeAndTypes << "\n" << describe(r);
    std::vector<uint32_t> D(128);
    for (int lane = 0; lane < 32; ++lane)
      for (int h = 0; h < cRegs; ++h) {
        const int g = lane >> 2, t = lane & 3;
        if (halfAccumulator) {
          D[(g + 8 * h) * 8 + 2 * t] = d[lane * cRegs + h] & 0xffff;
          D[(g + 8 * h) * 8 + 2 * t + 1] = d[lane * cRegs + h] >> 16;
        } else {
          D[(g + 8 * (h >> 1)) * 8 + 2 * t + (h & 1)] = d[lane * cRegs + h];
        }
      }
    return D;
  }
};

/// Small integers, exact in every type, chosen so that each output is different.
struct Integers {
  std::vector<int> A, B, C;
  Integers(int k, bool positive = false) : A(16 * k), B(k * 8), C(128) {
    std::mt19937 random(k);
    for (auto &x : A)
      x = int(random() % 7) - (positive ? 0 : 3);
    for (auto &x : B)
      x = int(random() % 7) - (positive ? 0 : 3);
    for (int n = 0; n < 128; ++n)
      C[n] = n - 64;
  }
  int out(int k, int row, int column) const {
    int sum = C[row * 8 + column];
    for (int n = 0; n < k; ++n)
      sum += A[row * k + n] * B[n * 8 + column];
    return sum;
  }
};

template <typename F> std::vector<uint32_t> encode(const std::vector<int> &v, F &&f) {
  std::vector<uint32_t> out;
  for (int x : v)
    out.push_back(f(x));
  return out;
}

TEST(TensorCore, FragmentLayoutsOfEveryShape) {
  auto f32 = [](int v) { return bitsOf(float(v)); };
  auto b16 = [](int v) { return uint32_t(toBf16(float(v))); };
  auto f16 = [](int v) { return uint32_t(floatToF16(float(v))); };
  auto e4m3 = [](int v) { return uint32_t(doubleToFp8(v, false)); };
  auto e5m2 = [](int v) { return uint32_t(doubleToFp8(v, true)); };
  auto integer = [](int v) { return uint32_t(v); };
  struct Case {
    Mma mma;
    std::function<uint32_t(int)> ab, c;
  };
  const Case table[] = {
      {{16, 16, "m16n8k16.row.col.f32.bf16.bf16.f32"}, b16, f32},
      {{8, 16, "m16n8k8.row.col.f32.bf16.bf16.f32"}, b16, f32},
      {{16, 16, "m16n8k16.row.col.f32.f16.f16.f32"}, f16, f32},
      {{8, 16, "m16n8k8.row.col.f32.f16.f16.f32"}, f16, f32},
      {{16, 16, "m16n8k16.row.col.f16.f16.f16.f16", true}, f16, f16},
      {{8, 16, "m16n8k8.row.col.f16.f16.f16.f16", true}, f16, f16},
      {{8, 32, "m16n8k8.row.col.f32.tf32.tf32.f32"}, f32, f32},
      {{4, 32, "m16n8k4.row.col.f32.tf32.tf32.f32"}, f32, f32},
      {{32, 8, "m16n8k32.row.col.s32.s8.s8.s32"}, integer, integer},
      {{16, 8, "m16n8k16.row.col.satfinite.s32.s8.s8.s32"}, integer, integer},
      {{32, 8, "m16n8k32.row.col.f32.e4m3.e4m3.f32", false, "sm_89"}, e4m3, f32},
      {{32, 8, "m16n8k32.row.col.f32.e5m2.e5m2.f32", false, "sm_89"}, e5m2, f32},
  };
  for (const Case &t : table)
    for (Accumulate model : {Accumulate::Fma, Accumulate::Exact}) {
      const Integers m(t.mma.k);
      Options o;
      o.accumulate = model;
      const auto D = t.mma(encode(m.A, t.ab), encode(m.B, t.ab), encode(m.C, t.c), o);
      for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 8; ++column)
          ASSERT_EQ(D[row * 8 + column], t.c(m.out(t.mma.k, row, column)))
              << t.mma.shapeAndTypes << " " << row << "," << column;
    }
  // u8 differs from s8 in the top bit; satfinite from wrapping.
  const Integers m(32, true);
  auto A = encode(m.A, integer);
  for (auto &x : A)
    x += 200;
  const auto D = Mma{32, 8, "m16n8k32.row.col.s32.u8.s8.s32"}(A, encode(m.B, integer), encode(m.C, integer));
  int expected = m.C[0];
  for (int n = 0; n < 32; ++n)
    expected += (m.A[n] + 200) * m.B[n * 8];
  EXPECT_EQ(int(D[0]), expected);
}

TEST(TensorCore, Tf32IgnoresTheLowBits) {
  std::vector<uint32_t> A(16 * 8), B(64), C(128);
  A[0] = 0x3f801fff;
  B[0] = bitsOf(1);
  EXPECT_EQ((Mma{8, 32, "m16n8k8.row.col.f32.tf32.tf32.f32"}(A, B, C)[0]), bitsOf(1));
}

/// The model in wide integers: terms as value * 2^400, no shortcuts.
float modelReference(const std::vector<float> &a, const std::vector<float> &b, float c, int step, int fraction) {
  for (size_t first = 0; first < a.size(); first += step) {
    std::vector<long double> terms = {c};
    std::vector<int> exponents;
    if (c != 0)
      exponents.push_back(std::max(std::ilogb(c), -126));
    for (int n = 0; n < step; ++n) {
      const float x = a[first + n], y = b[first + n];
      terms.push_back((long double)x * y);
      if (x != 0 && y != 0)
        exponents.push_back(std::ilogb(x) + std::ilogb(y));
    }
    if (exponents.empty()) {
      c = 0;
      continue;
    }
    const int highest = *std::max_element(exponents.begin(), exponents.end());
    const long double unit = std::ldexp(1.0L, highest - fraction);
    long double sum = 0; // of whole numbers below 2^40: exact
    for (long double t : terms)
      sum += std::trunc(t / unit);
    // Toward zero to 24 bits.
    if (sum == 0) {
      c = 0;
      continue;
    }
    const long double last = std::ldexp(1.0L, std::ilogb(sum) - 23);
    c = float(std::trunc(sum / last) * last * unit);
  }
  return c;
}

TEST(TensorCore, ExactAccumulationFollowsTheModel) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<uint32_t> A(256), B(128), C(128);
    const int spread = trial % 3 == 0 ? 0 : 12;
    auto draw = [&] { return std::ldexp(normal(random), spread ? int(random() % spread) - spread / 2 : 0); };
    for (auto &x : A)
      x = toBf16(draw());
    for (auto &x : B)
      x = toBf16(draw());
    for (auto &x : C)
      x = bitsOf(draw());
    for (bool hopper : {false, true}) {
      Options o;
      o.accumulate = Accumulate::Exact;
      const auto D = Mma{16, 16, "m16n8k16.row.col.f32.bf16.bf16.f32", false, hopper ? "sm_90" : "sm_80"}(A, B, C, o);
      for (int n = 0; n < 128; ++n) {
        std::vector<float> a, b;
        for (int k = 0; k < 16; ++k) {
          a.push_back(bf16(uint16_t(A[n / 8 * 16 + k])));
          b.push_back(bf16(uint16_t(B[k * 8 + n % 8])));
        }
        ASSERT_EQ(D[n], bitsOf(modelReference(a, b, floatOf(C[n]), hopper ? 16 : 8, hopper ? 25 : 24)))
            << trial << " " << n;
      }
    }
  }
}

/// The vector form against the form for one element: all operand types and models, wide ranges of exponents, zeros,
/// subnormals, overflows, infinities and NaN.
TEST(TensorCore, ExactAccumulationOfAWholeTile) {
  std::mt19937 random(12);
  std::normal_distribution<float> normal;
  struct Form {
    int k, fraction;
  };
  for (const Form &form : {Form{16, 7}, {8, 7}, {16, 10}, {8, 10}, {4, 10}, {32, 3}, {32, 2}, {16, 3}})
    for (const ExactModel &model : {ExactModel{24, 8}, ExactModel{25, 32}, ExactModel{24, 4}, ExactModel{24, 16}})
      for (int trial = 0; trial < 200; ++trial) {
        alignas(32) float a[16 * 32], b[32 * 8], d[128], e[128];
        const int spread = trial % 4 == 0 ? 1 : trial % 4 == 1 ? 12 : trial % 4 == 2 ? 60 : 120;
        auto draw = [&](int fraction) {
          float v = std::ldexp(normal(random), int(random() % uint32_t(spread)) - spread / 2);
          if (random() % 16 == 0)
            v = 0;
          if (trial % 50 == 49 && random() % 97 == 0)
            v = random() % 2 ? INFINITY : NAN;
          uint32_t bits = bitsOf(v);
          bits &= ~((1u << (23 - fraction)) - 1);
          return floatOf(bits);
        };
        for (int n = 0; n < 16 * form.k; ++n)
          a[n] = draw(form.fraction);
        for (int n = 0; n < 8 * form.k; ++n)
          b[n] = draw(form.fraction);
        for (int n = 0; n < 128; ++n)
          d[n] = e[n] = trial % 7 == 6 ? draw(23) * 0x1p-60f : draw(23);
        multiplyExact(a, b, d, form.k, form.fraction, model);
        multiplyExactGeneral(a, b, e, form.k, form.fraction, model);
        for (int n = 0; n < 128; ++n)
          ASSERT_TRUE(bitsOf(d[n]) == bitsOf(e[n]) || (d[n] == 0 && e[n] == 0))
              << form.k << " " << form.fraction << " " << trial << " " << n << ": " << d[n] << " " << e[n];
      }
}

TEST(TensorCore, ExactAccumulationTruncates) {
  // 1 + 2^-24 + ... is lost bit by bit where a chain of additions would round; infinities and NaN follow the usual
  // rules.
  std::vector<uint32_t> A(256), B(128), C(128);
  for (int k = 0; k < 16; ++k) {
    A[k] = toBf16(0x1p-13f);
    B[k * 8] = toBf16(0x1p-13f);
  }
  C[0] = bitsOf(1);
  A[16] = 0x7f80;
  B[1] = toBf16(1);
  Options o;
  o.accumulate = Accumulate::Exact;
  const auto D = Mma{16, 16, "m16n8k16.row.col.f32.bf16.bf16.f32"}(A, B, C, o);
  EXPECT_EQ(D[0], bitsOf(1));
  EXPECT_EQ(D[9], bitsOf(INFINITY));
  EXPECT_EQ(D[10], 0x7fffffffu); // infinity times zero
}

TEST(Matrices, LoadPlainAndTransposed) {
  std::vector<uint16_t> in(256);
  std::iota(in.begin(), in.end(), uint16_t(0));
  for (bool trans : {false, true})
    for (int count : {1, 2, 4}) {
      std::vector<uint32_t> out(32 * count), unused(1);
      // Row r of all matrices lies at 16*r; lane l gives the address of row l.
      std::string body =
          ".shared .align 16 .b8 s[512]; mov.u32 %r1, s; shl.b32 %r2, %r127, 4; add.u32 %r1, %r1, %r2; mul.wide.u32 "
          "%rd2, %r127, 16; add.u64 %rd2, %rd2, %rd60;\n"
          "ld.global.v4.b32 {%r3,%r4,%r5,%r6}, [%rd2]; st.shared.v4.b32 [%r1], {%r3,%r4,%r5,%r6}; bar.sync 0;\n"
          "ldmatrix.sync.aligned.m8n8.x" +
          std::to_string(count) + (trans ? ".trans" : "") + ".shared.b16 " + list("%r", 10, count) +
          ", [%r1];\n"
          "mul.wide.u32 %rd1, %r127, " +
          std::to_string(4 * count) + "; add.u64 %rd1, %rd1, %rd61;\n";
      for (int n = 0; n < count; ++n)
        body += "st.global.b32 [%rd1+" + std::to_string(4 * n) + "], %r" + std::to_string(10 + n) + ";\n";
      RunResult r = onBuffers(body, in.data(), 512, out.data(), out.size() * 4, unused.data(), 4);
      ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
      for (uint32_t lane = 0; lane < 32; ++lane)
        for (int q = 0; q < count; ++q) {
          const uint32_t g = lane >> 2, t = lane & 3, base = uint32_t(q) * 64;
          const uint32_t low = trans ? base + 2 * t * 8 + g : base + g * 8 + 2 * t, high = trans ? low + 8 : low + 1;
          ASSERT_EQ(out[lane * count + q], low | high << 16) << trans << count << " " << lane;
        }
    }
}

TEST(Matrices, StoreIsTheInverseOfLoad) {
  std::vector<uint32_t> in(128), out(128), unused(1);
  std::iota(in.begin(), in.end(), 1u);
  for (const char *trans : {"", ".trans"}) {
    const std::string body =
        std::string(".shared .align 16 .b8 s[512]; mov.u32 %r1, s; shl.b32 %r2, %r127, 4; add.u32 %r1, %r1, %r2; "
                    "mul.wide.u32 %rd1, %r127, 16; add.u64 %rd2, %rd1, %rd60; add.u64 %rd3, %rd1, %rd61;\n"
                    "ld.global.v4.b32 {%r3,%r4,%r5,%r6}, [%rd2];\n stmatrix.sync.aligned.m8n8.x4") +
        trans + ".shared.b16 [%r1], {%r3,%r4,%r5,%r6}; bar.sync 0;\nldmatrix.sync.aligned.m8n8.x4" + trans +
        ".shared.b16 {%r13,%r14,%r15,%r16}, [%r1]; st.global.v4.b32 [%rd3], {%r13,%r14,%r15,%r16};";
    RunResult r = onBuffers(body, in.data(), 512, out.data(), 512, unused.data(), 4, {}, "sm_90");
    ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
    EXPECT_EQ(in, out);
  }
}

TEST(Matrices, MovmatrixTransposes) {
  std::vector<uint16_t> in(64), out(64);
  std::iota(in.begin(), in.end(), uint16_t(0));
  uint32_t unused = 0;
  RunResult r = onBuffers("add.u64 %rd1, %rd60, %rd63; add.u64 %rd2, %rd61, %rd63; ld.global.b32 %r1, [%rd1]; "
                          "movmatrix.sync.aligned.m8n8.trans.b16 %r2, %r1; st.global.b32 [%rd2], %r2;",
                          in.data(), 128, out.data(), 128, &unused, 4);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 8; ++column)
      EXPECT_EQ(out[row * 8 + column], column * 8 + row);
}

TEST(Matrices, FaultsAreReported) {
  uint32_t unused[4] = {};
  auto report = [&](const std::string &body) {
    RunResult r = onBuffers(
        ".shared .align 16 .b8 s[512]; mov.u32 %r1, s; shl.b32 %r2, %r127, 4; add.u32 %r1, %r1, %r2;\n" + body, unused,
        16, unused, 16, unused, 16);
    EXPECT_TRUE(r.ok) << r.error;
    return r.report;
  };
  EXPECT_TRUE(found(report("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r3,%r4,%r5,%r6}, [%r1];"),
                    FindingKind::Uninitialised, "ldmatrix"));
  EXPECT_TRUE(found(report("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r3,%r4,%r5,%r6}, [%r1+16];"),
                    FindingKind::OutOfBounds, "ldmatrix"));
  EXPECT_TRUE(found(report("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r3,%r4}, [%r1+8];"), FindingKind::Misaligned,
                    "ldmatrix"));
  EXPECT_TRUE(found(report("setp.lt.u32 %p1, %r127, 16;\n@%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r3}, [%r1];"),
                    FindingKind::Barrier, "ldmatrix"));
}

} // namespace
