// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Known answers of integer, floating-point and conversion instructions. Expected values come from the definitions in
// the PTX ISA or from independent host arithmetic.
#include "Testing.h"

#include <bit>
#include <cfenv>
#include <cmath>

using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

using Row = std::array<uint64_t, 3>;

struct Known {
  const char *instruction;
  char from, to;
  Row in;
  uint64_t out;
};

uint64_t F(float f) { return bitsOf(f); }
uint64_t Dbl(double d) { return std::bit_cast<uint64_t>(d); }

TEST(Arithmetic, KnownAnswers) {
  const uint64_t nan = 0x7fc00000, inf = 0x7f800000, m1 = 0xffffffff;
  const Known table[] = {
      {"add.s32 %r0, %r1, %r2;", 'r', 'r', {0x7fffffff, 1}, 0x80000000},
      {"add.sat.s32 %r0, %r1, %r2;", 'r', 'r', {0x7fffffff, 1}, 0x7fffffff},
      {"sub.sat.s32 %r0, %r1, %r2;", 'r', 'r', {0x80000000, 1}, 0x80000000},
      {"sub.u16 %rs0, %rs1, %rs2;", 'h', 'h', {1, 2}, 0xffff},
      {"add.s64 %rd0, %rd1, %rd2;", 'd', 'd', {~0ull, 2}, 1},
      {"mul.lo.s32 %r0, %r1, %r2;", 'r', 'r', {0x10001, 0x10001}, 0x20001},
      {"mul.hi.u32 %r0, %r1, %r2;", 'r', 'r', {m1, m1}, 0xfffffffe},
      {"mul.hi.s32 %r0, %r1, %r2;", 'r', 'r', {m1, m1}, 0},
      {"mul.hi.s64 %rd0, %rd1, %rd2;", 'd', 'd', {~0ull, 2}, ~0ull},
      {"mul.hi.u64 %rd0, %rd1, %rd2;", 'd', 'd', {~0ull, ~0ull}, ~1ull},
      {"mul.wide.s16 %r0, %rs1, %rs2;", 'h', 'r', {0xffff, 3}, 0xfffffffd},
      {"mul.wide.u16 %r0, %rs1, %rs2;", 'h', 'r', {0xffff, 3}, 0x2fffd},
      {"mul.wide.s32 %rd0, %r1, %r2;", 'r', 'd', {m1, 5}, uint64_t(-5)},
      {"mul.wide.u32 %rd0, %r1, %r2;", 'r', 'd', {m1, 5}, 0x4fffffffbull},
      {"mad.lo.s32 %r0, %r1, %r2, %r3;", 'r', 'r', {7, m1, 3}, uint32_t(-4)},
      {"mad.hi.u32 %r0, %r1, %r2, %r3;", 'r', 'r', {m1, m1, 5}, 3},
      {"mul24.lo.s32 %r0, %r1, %r2;", 'r', 'r', {0xffffff, 2}, uint32_t(-2)},
      {"sad.s32 %r0, %r1, %r2, %r3;", 'r', 'r', {uint32_t(-3), 4, 10}, 17},
      {"div.s32 %r0, %r1, %r2;", 'r', 'r', {uint32_t(-7), 2}, uint32_t(-3)},
      {"div.u32 %r0, %r1, %r2;", 'r', 'r', {m1, 2}, 0x7fffffff},
      {"rem.s32 %r0, %r1, %r2;", 'r', 'r', {uint32_t(-7), 3}, uint32_t(-1)},
      {"div.s32 %r0, %r1, %r2;", 'r', 'r', {0x80000000, m1}, 0x80000000},
      {"div.s64 %rd0, %rd1, %rd2;", 'd', 'd', {uint64_t(-100), 7}, uint64_t(-14)},
      {"min.s32 %r0, %r1, %r2;", 'r', 'r', {m1, 1}, m1},
      {"min.u32 %r0, %r1, %r2;", 'r', 'r', {m1, 1}, 1},
      {"max.s64 %rd0, %rd1, %rd2;", 'd', 'd', {~0ull, 1}, 1},
      {"abs.s32 %r0, %r1;", 'r', 'r', {uint32_t(-9)}, 9},
      {"neg.s16 %rs0, %rs1;", 'h', 'h', {5}, 0xfffb},
      {"and.b16 %rs0, %rs1, %rs2;", 'h', 'h', {0xff0f, 0x1fff}, 0x1f0f},
      {"or.b64 %rd0, %rd1, %rd2;", 'd', 'd', {1, 1ull << 63}, 0x8000000000000001ull},
      {"xor.b32 %r0, %r1, -1;", 'r', 'r', {0x0f0f0f0f}, 0xf0f0f0f0},
      {"not.b32 %r0, %r1;", 'r', 'r', {0}, m1},
      {"cnot.b32 %r0, %r1;", 'r', 'r', {0}, 1},
      {"shl.b32 %r0, %r1, %r2;", 'r', 'r', {1, 32}, 0},
      {"shl.b32 %r0, %r1, %r2;", 'r', 'r', {1, 31}, 0x80000000},
      {"shr.s32 %r0, %r1, %r2;", 'r', 'r', {0x80000000, 40}, m1},
      {"shr.u32 %r0, %r1, %r2;", 'r', 'r', {0x80000000, 31}, 1},
      {"shr.u32 %r0, %r1, %r2;", 'r', 'r', {0x80000000, 32}, 0},
      {"shr.s64 %rd0, %rd1, 60;", 'd', 'd', {1ull << 63}, uint64_t(-8)},
      {"shr.s16 %rs0, %rs1, 4;", 'h', 'h', {0x8000}, 0xf800},
      {"shl.b16 %rs0, %rs1, 4;", 'h', 'h', {0x8fff}, 0xfff0},
      {"shf.l.wrap.b32 %r0, %r1, %r2, %r3;", 'r', 'r', {0x80000001, 0x12345678, 36}, 0x23456788},
      {"shf.r.wrap.b32 %r0, %r1, %r2, %r3;", 'r', 'r', {0x80000001, 0x12345678, 4}, 0x88000000},
      {"shf.l.clamp.b32 %r0, %r1, %r2, %r3;", 'r', 'r', {0xaaaaaaaa, 0x12345678, 36}, 0xaaaaaaaa},
      {"shf.r.clamp.b32 %r0, %r1, %r2, %r3;", 'r', 'r', {0xaaaaaaaa, 0x12345678, 99}, 0x12345678},
      {"popc.b32 %r0, %r1;", 'r', 'r', {0xf00f0001}, 9},
      {"popc.b64 %r0, %rd1;", 'd', 'r', {~0ull}, 64},
      {"clz.b32 %r0, %r1;", 'r', 'r', {0}, 32},
      {"clz.b64 %r0, %rd1;", 'd', 'r', {1}, 63},
      {"brev.b32 %r0, %r1;", 'r', 'r', {0x00000003}, 0xc0000000},
      {"bfind.u32 %r0, %r1;", 'r', 'r', {0x00010000}, 16},
      {"bfind.s32 %r0, %r1;", 'r', 'r', {m1}, m1},
      {"bfind.s32 %r0, %r1;", 'r', 'r', {0xfffffffe}, 0},
      {"bfind.shiftamt.u32 %r0, %r1;", 'r', 'r', {0x00010000}, 15},
      {"bfe.u32 %r0, %r1, 4, 8;", 'r', 'r', {0xabcdef12}, 0xf1},
      {"bfe.s32 %r0, %r1, 4, 8;", 'r', 'r', {0xabcdef12}, 0xfffffff1},
      {"bfe.s32 %r0, %r1, 28, 8;", 'r', 'r', {0x80000000}, 0xfffffff8},
      {"bfe.u32 %r0, %r1, 40, 8;", 'r', 'r', {m1}, 0},
      {"bfe.s32 %r0, %r1, 40, 8;", 'r', 'r', {0x80000000}, m1},
      {"bfe.u32 %r0, %r1, 0, 0;", 'r', 'r', {m1}, 0},
      {"bfe.s64 %rd0, %rd1, 60, 4;", 'd', 'd', {1ull << 63}, uint64_t(-8)},
      {"bfi.b32 %r0, %r1, %r2, 8, 4;", 'r', 'r', {0xff, 0}, 0xf00},
      {"bfi.b32 %r0, %r1, %r2, 28, 8;", 'r', 'r', {0xff, 1}, 0xf0000001},
      {"prmt.b32 %r0, %r1, %r2, 0x3210;", 'r', 'r', {0x03020100, 0x07060504}, 0x03020100},
      {"prmt.b32 %r0, %r1, %r2, 0x7531;", 'r', 'r', {0x03020100, 0x07060504}, 0x07050301},
      {"prmt.b32 %r0, %r1, %r2, 0x9;", 'r', 'r', {0x00008000, 0}, 0x000000ff},
      {"prmt.b32.rc8 %r0, %r1, %r2, 2;", 'r', 'r', {0x03020100, 0}, 0x02020202},
      {"prmt.b32.f4e %r0, %r1, %r2, 1;", 'r', 'r', {0x03020100, 0x07060504}, 0x04030201},
      {"lop3.b32 %r0, %r1, %r2, %r3, 0xEA;", 'r', 'r', {0xf0f0, 0xff00, 0x000f}, 0xf00f}, // (a & b) | c
      {"lop3.b32 %r0, %r1, %r2, %r3, 0x96;", 'r', 'r', {1, 3, 7}, 5},                     // a ^ b ^ c
      {"dp4a.s32.s32 %r0, %r1, %r2, %r3;", 'r', 'r', {0xff020304, 0x01010101, 10}, 18},
      {"dp4a.u32.u32 %r0, %r1, %r2, %r3;", 'r', 'r', {0xff020304, 0x01010101, 10}, 274},
      {"slct.s32.s32 %r0, %r1, %r2, %r3;", 'r', 'r', {1, 2, m1}, 2},
      {"add.f32 %f0, %f1, %f2;", 'f', 'f', {F(0.1f), F(0.2f)}, F(0.1f + 0.2f)},
      {"add.f32 %f0, %f1, %f2;", 'f', 'f', {inf, 0xff800000}, 0x7fffffff},
      {"add.rn.f32 %f0, %f1, %f2;", 'f', 'f', {nan, F(1)}, 0x7fffffff},
      {"add.rz.f32 %f0, %f1, %f2;", 'f', 'f', {F(1), F(0x1p-24f * 1.5f)}, F(1)},
      {"add.rp.f32 %f0, %f1, %f2;", 'f', 'f', {F(1), F(1e-20f)}, 0x3f800001},
      {"add.rm.f32 %f0, %f1, %f2;", 'f', 'f', {F(-1), F(-1e-20f)}, 0xbf800001},
      {"add.rm.f32 %f0, %f1, %f2;", 'f', 'f', {F(1), F(-1)}, 0x80000000},
      {"mul.rz.f32 %f0, %f1, %f2;", 'f', 'f', {0x3f800001, 0x3fffffff}, 0x40000000},
      {"fma.rz.f32 %f0, %f1, %f2, %f3;", 'f', 'f', {F(1), F(1), F(-1e-20f)}, 0x3f7fffff},
      {"div.rz.f32 %f0, %f1, %f2;", 'f', 'f', {F(2), F(3)}, 0x3f2aaaaa},
      {"div.rp.f32 %f0, %f1, %f2;", 'f', 'f', {F(1), F(3)}, 0x3eaaaaab},
      {"sqrt.rz.f32 %f0, %f1;", 'f', 'f', {F(2)}, 0x3fb504f3},
      {"sqrt.rp.f32 %f0, %f1;", 'f', 'f', {F(2)}, 0x3fb504f4},
      {"rcp.rm.f32 %f0, %f1;", 'f', 'f', {F(3)}, 0x3eaaaaaa},
      {"add.ftz.f32 %f0, %f1, %f2;", 'f', 'f', {0x00000001, 0x80000001}, 0},
      {"mul.ftz.f32 %f0, %f1, %f2;", 'f', 'f', {F(-0x1p-100f), F(0x1p-100f)}, 0x80000000},
      {"mul.f32 %f0, %f1, %f2;", 'f', 'f', {0x00800000, F(0.5f)}, 0x00400000},
      {"add.sat.f32 %f0, %f1, %f2;", 'f', 'f', {F(0.75f), F(0.75f)}, F(1)},
      {"add.sat.f32 %f0, %f1, %f2;", 'f', 'f', {nan, F(0.75f)}, 0},
      {"fma.rn.f32 %f0, %f1, %f2, %f3;",
       'f',
       'f',
       {0x3f800001, 0x3f800001, F(-1)},
       F(std::fma(floatOf(0x3f800001), floatOf(0x3f800001), -1.f))},
      {"min.f32 %f0, %f1, %f2;", 'f', 'f', {nan, F(3)}, F(3)},
      {"max.f32 %f0, %f1, %f2;", 'f', 'f', {F(3), nan}, F(3)},
      {"max.f32 %f0, %f1, %f2;", 'f', 'f', {nan, nan}, 0x7fffffff},
      {"max.f32 %f0, %f1, %f2;", 'f', 'f', {0x80000000, 0}, 0},
      {"min.f32 %f0, %f1, %f2;", 'f', 'f', {0, 0x80000000}, 0x80000000},
      {"max.NaN.f32 %f0, %f1, %f2;", 'f', 'f', {F(3), nan}, 0x7fffffff},
      {"neg.f32 %f0, %f1;", 'f', 'f', {F(1.5f)}, F(-1.5f)},
      {"abs.f32 %f0, %f1;", 'f', 'f', {F(-1.5f)}, F(1.5f)},
      {"div.rn.f32 %f0, %f1, %f2;", 'f', 'f', {F(1), F(3)}, F(1.f / 3.f)},
      {"div.full.f32 %f0, %f1, %f2;", 'f', 'f', {F(1), F(0)}, inf},
      {"rcp.rn.f32 %f0, %f1;", 'f', 'f', {F(3)}, F(1.f / 3.f)},
      {"rcp.approx.ftz.f32 %f0, %f1;", 'f', 'f', {0x00000001}, inf},
      {"sqrt.rn.f32 %f0, %f1;", 'f', 'f', {F(-1)}, 0x7fffffff},
      {"rsqrt.approx.f32 %f0, %f1;", 'f', 'f', {F(4)}, F(0.5f)},
      {"ex2.approx.f32 %f0, %f1;", 'f', 'f', {0xff800000}, 0},
      {"ex2.approx.f32 %f0, %f1;", 'f', 'f', {inf}, inf},
      {"ex2.approx.f32 %f0, %f1;", 'f', 'f', {nan}, 0x7fffffff},
      {"ex2.approx.f32 %f0, %f1;", 'f', 'f', {F(-149)}, 1},
      {"ex2.approx.ftz.f32 %f0, %f1;", 'f', 'f', {F(-149)}, 0},
      {"ex2.approx.f32 %f0, %f1;", 'f', 'f', {F(10)}, F(1024)},
      {"lg2.approx.f32 %f0, %f1;", 'f', 'f', {F(8)}, F(3)},
      {"lg2.approx.f32 %f0, %f1;", 'f', 'f', {0}, 0xff800000},
      {"tanh.approx.f32 %f0, %f1;", 'f', 'f', {F(0)}, 0},
      {"sin.approx.f32 %f0, %f1;", 'f', 'f', {F(0)}, 0},
      {"cos.approx.f32 %f0, %f1;", 'f', 'f', {F(0)}, F(1)},
      {"copysign.f32 %f0, %f1, %f2;", 'f', 'f', {F(-2), F(3)}, F(-3)},
      {"add.f64 %fd0, %fd1, %fd2;", 'F', 'F', {Dbl(0.1), Dbl(0.2)}, Dbl(0.1 + 0.2)},
      {"fma.rn.f64 %fd0, %fd1, %fd2, %fd3;",
       'F',
       'F',
       {Dbl(1.1), Dbl(1.3), Dbl(-1.43)},
       Dbl(std::fma(1.1, 1.3, -1.43))},
      {"div.rn.f64 %fd0, %fd1, %fd2;", 'F', 'F', {Dbl(1), Dbl(3)}, Dbl(1.0 / 3)},
      {"add.f16x2 %r0, %r1, %r2;", 'r', 'r', {0x3c003c00, 0x3c004000}, 0x40004200},
      {"fma.rn.f16x2 %r0, %r1, %r2, %r3;", 'r', 'r', {0x40003c00, 0x40003c00, 0x3c00bc00}, 0x45000000},
      {"fma.rn.bf16x2 %r0, %r1, %r2, %r3;", 'r', 'r', {0x3f803f80, 0x40003f80, 0x3f800000}, 0x40403f80},
      {"fma.rn.relu.bf16x2 %r0, %r1, %r2, %r3;", 'r', 'r', {0x3f803f80, 0xc0003f80, 0}, 0x00003f80},
      {"max.bf16x2 %r0, %r1, %r2;", 'r', 'r', {0x3f80c000, 0x40007fc0}, 0x4000c000},
      {"neg.bf16x2 %r0, %r1;", 'r', 'r', {0x3f80c000}, 0xbf804000},
      {"mul.f16 %rs0, %rs1, %rs2;", 'h', 'h', {0x7bff, 0x4000}, 0x7c00},
      {"add.f16 %rs0, %rs1, %rs2;", 'h', 'h', {0x0001, 0x0001}, 0x0002},
      {"ex2.approx.f16x2 %r0, %r1;", 'r', 'r', {0x40003c00}, 0x44004000},
      // Conversions.
      {"cvt.rn.bf16x2.f32 %r0, %f1, %f2;", 'f', 'r', {F(1), F(2)}, 0x3f804000},
      {"cvt.rn.f16x2.f32 %r0, %f1, %f2;", 'f', 'r', {F(1), F(65520)}, 0x3c007c00},
      {"cvt.rz.f16x2.f32 %r0, %f1, %f2;", 'f', 'r', {F(1), F(65520)}, 0x3c007bff},
      {"cvt.rn.relu.bf16x2.f32 %r0, %f1, %f2;", 'f', 'r', {F(-1), F(2)}, 0x00004000},
      {"cvt.rn.bf16.f32 %rs0, %f1;", 'f', 'h', {nan}, 0x7fff},
      {"cvt.rn.bf16.f32 %rs0, %f1;", 'f', 'h', {0x3f808000}, 0x3f80},
      {"cvt.rn.bf16.f32 %rs0, %f1;", 'f', 'h', {0x3f818000}, 0x3f82},
      {"cvt.f32.bf16 %f0, %rs1;", 'h', 'f', {0x3f80}, F(1)},
      {"cvt.f32.f16 %f0, %rs1;", 'h', 'f', {0x0001}, F(0x1p-24f)},
      {"cvt.rna.tf32.f32 %r0, %f1;", 'f', 'r', {0x3f801000}, 0x3f802000},
      {"cvt.rna.tf32.f32 %r0, %f1;", 'f', 'r', {0xbf800fff}, 0xbf800000},
      {"cvt.s64.s32 %rd0, %r1;", 'r', 'd', {m1}, ~0ull},
      {"cvt.u64.u32 %rd0, %r1;", 'r', 'd', {m1}, 0xffffffffull},
      {"cvt.u32.u64 %r0, %rd1;", 'd', 'r', {0x123456789abcdef0ull}, 0x9abcdef0},
      {"cvt.s64.s32 %rd0, %rd1;",
       'd',
       'd',
       {0x00000001ffffffffull},
       ~0ull}, // a wider source register: its low half counts
      {"cvt.u16.u8 %rs0, %rs1;", 'h', 'h', {0x1ff}, 0xff},
      {"cvt.s32.s8 %r0, %r1;", 'r', 'r', {0x80}, 0xffffff80},
      {"cvt.sat.s8.s32 %r0, %r1;", 'r', 'r', {300}, 127},
      {"cvt.sat.u8.s32 %r0, %r1;", 'r', 'r', {uint32_t(-5)}, 0},
      {"cvt.u32.u16 %r0, %rs1;", 'h', 'r', {0xffff}, 0xffff},
      {"cvt.s32.s16 %r0, %rs1;", 'h', 'r', {0xffff}, m1},
      {"cvt.rzi.s32.f32 %r0, %f1;", 'f', 'r', {F(-2.9f)}, uint32_t(-2)},
      {"cvt.rmi.s32.f32 %r0, %f1;", 'f', 'r', {F(-2.1f)}, uint32_t(-3)},
      {"cvt.rpi.s32.f32 %r0, %f1;", 'f', 'r', {F(2.1f)}, 3},
      {"cvt.rni.s32.f32 %r0, %f1;", 'f', 'r', {F(2.5f)}, 2},
      {"cvt.rzi.s32.f32 %r0, %f1;", 'f', 'r', {F(3e9f)}, 0x7fffffff},
      {"cvt.rzi.u32.f32 %r0, %f1;", 'f', 'r', {F(-3)}, 0},
      {"cvt.rzi.u32.f32 %r0, %f1;", 'f', 'r', {nan}, 0},
      {"cvt.rzi.s64.f32 %rd0, %f1;", 'f', 'd', {nan}, 1ull << 63},
      {"cvt.rni.f32.f32 %f0, %f1;", 'f', 'f', {F(3.5f)}, F(4)},
      {"cvt.rn.f32.s32 %f0, %r1;", 'r', 'f', {16777217}, F(16777216)},
      {"cvt.rp.f32.s32 %f0, %r1;", 'r', 'f', {16777217}, F(16777218)},
      {"cvt.rn.f32.u32 %f0, %r1;", 'r', 'f', {m1}, F(4294967296.f)},
      {"cvt.rz.f32.u64 %f0, %rd1;", 'd', 'f', {~0ull}, F(1.8446742974197924e19f)},
      {"cvt.rn.f64.s64 %fd0, %rd1;", 'd', 'F', {uint64_t(-3)}, Dbl(-3)},
      // More bits than a double holds: once rounded, in each direction.
      {"cvt.rn.f64.s64 %fd0, %rd1;", 'd', 'F', {0x48ad48ad48ad48ad}, 0x43d22b522b522b52},
      {"cvt.rn.f64.u64 %fd0, %rd1;", 'd', 'F', {0xffffffffffffffff}, 0x43f0000000000000},
      {"cvt.rz.f64.u64 %fd0, %rd1;", 'd', 'F', {0xffffffffffffffff}, 0x43efffffffffffff},
      {"cvt.rp.f64.s64 %fd0, %rd1;", 'd', 'F', {0x48ad48ad48ad48ad}, 0x43d22b522b522b53},
      {"cvt.rm.f64.s64 %fd0, %rd1;", 'd', 'F', {uint64_t(-0x48ad48ad48ad48ad)}, 0xc3d22b522b522b53},
      {"cvt.rz.f64.s64 %fd0, %rd1;", 'd', 'F', {uint64_t(-0x48ad48ad48ad48ad)}, 0xc3d22b522b522b52},
      {"cvt.rn.f32.f64 %f0, %fd1;", 'F', 'f', {Dbl(0.1)}, F(0.1f)},
      {"cvt.rm.f32.f64 %f0, %fd1;", 'F', 'f', {Dbl(0.1)}, 0x3dcccccc},
      {"cvt.f64.f32 %fd0, %f1;", 'f', 'F', {F(0.5f)}, Dbl(0.5)},
      {"cvt.sat.f32.f32 %f0, %f1;", 'f', 'f', {F(-0.5f)}, 0},
      {"cvt.rn.f16.u32 %rs0, %r1;", 'r', 'h', {2049}, 0x6800},
      {"mov.b32 %r0, %f1;", 'f', 'r', {F(1)}, 0x3f800000},
      {"mov.b64 %rd0, {%r1, %r2};", 'r', 'd', {1, 2}, 0x200000001ull},
      {"mov.b32 %r0, {%rs1, %rs2};", 'h', 'r', {0x1111, 0x2222}, 0x22221111},
      {"mov.b64 %rd0, {%rs1, %rs2, %rs3, %rs1};", 'h', 'd', {1, 2, 3}, 0x0001000300020001ull},
      {"mov.b64 {_, %r0}, %rd1;", 'd', 'r', {0x0000000500000007ull}, 5},
  };
  for (const Known &k : table)
    EXPECT_EQ(evaluate(k.instruction, k.from, k.to, {k.in, k.in})[0], k.out)
        << k.instruction << std::hex << " expected " << k.out;
}

TEST(Arithmetic, LaterTargets) {
  const Known table[] = {
      {"max.f32 %f0, %f1, %f2, %f3;", 'f', 'f', {F(1), F(2), F(7)}, F(7)},
      {"min.NaN.f32 %f0, %f1, %f2, %f3;", 'f', 'f', {F(1), F(2), 0x7fc00000}, 0x7fffffff},
      {"add.bf16x2 %r0, %r1, %r2;", 'r', 'r', {0x3f803f80, 0x3f804000}, 0x40004040},
      {"ex2.approx.ftz.bf16x2 %r0, %r1;", 'r', 'r', {0x40003f80}, 0x40804000},
      {"cvt.rn.satfinite.e4m3x2.f32 %rs0, %f1, %f2;", 'f', 'h', {F(1), F(1000)}, 0x387e},
      {"cvt.rn.satfinite.e5m2x2.f32 %rs0, %f1, %f2;", 'f', 'h', {F(1), F(-1e9f)}, 0x3cfb},
      {"cvt.rn.f16x2.e4m3x2 %r0, %rs1;", 'h', 'r', {0x387e}, 0x3c005f00},
      {"cvt.rn.tf32.f32 %r0, %f1;", 'f', 'r', {0x3f801000}, 0x3f800000},
      {"add.u16x2 %r0, %r1, %r2;", 'r', 'r', {0xffff0003, 0x00020004}, 0x00010007},
      {"min.s16x2 %r0, %r1, %r2;", 'r', 'r', {0xffff0003, 0x00020004}, 0xffff0003},
      {"min.u16x2 %r0, %r1, %r2;", 'r', 'r', {0xffff0003, 0x00020004}, 0x00020003},
      {"max.s16x2 %r0, %r1, %r2;", 'r', 'r', {0xffff8000, 0xfffe0004}, 0xffff0004},
      {"max.relu.s16x2 %r0, %r1, %r2;", 'r', 'r', {0xffff8000, 0xfffe0004}, 0x00000004},
      {"min.relu.s32 %r0, %r1, %r2;", 'r', 'r', {0xffffffff, 1}, 0},
      {"min.relu.s32 %r0, %r1, %r2;", 'r', 'r', {7, 3}, 3},
      {"max.relu.s32 %r0, %r1, %r2;", 'r', 'r', {0xffffffff, 0xffffffff}, 0},
      {"add.rn.f32x2 %rd0, %rd1, %rd2;", 'd', 'd', {F(1) | F(2) << 32, F(0.5f) | F(-3) << 32}, F(1.5f) | F(-1) << 32},
      {"sub.f32x2 %rd0, %rd1, %rd2;", 'd', 'd', {F(1) | F(2) << 32, F(0.5f) | F(-3) << 32}, F(0.5f) | F(5) << 32},
      {"mul.rn.ftz.f32x2 %rd0, %rd1, %rd2;", 'd', 'd', {1 | F(2) << 32, F(1) | F(-3) << 32}, F(-6) << 32},
      {"fma.rn.f32x2 %rd0, %rd1, %rd2, %rd3;",
       'd',
       'd',
       {F(3) | F(2) << 32, F(0.5f) | F(-3) << 32, F(1) | F(1) << 32},
       F(2.5f) | F(-5) << 32},
  };
  for (const Known &k : table)
    EXPECT_EQ(evaluate(k.instruction, k.from, k.to, {k.in, k.in}, "sm_100", "8.8")[0], k.out) << k.instruction;
  for (const char *instruction : {"add.rn.f32x2 %rd0, %rd1, %rd2;", "add.u16x2 %r0, %r1, %r2;",
                                  "add.rn.f32.f16 %f0, %rs1, %f2;", "setp.lt.bf16x2 %p1|%p2, %r1, %r2;"}) {
    auto module = parse(kernelText(instruction));
    ASSERT_FALSE(module) << instruction;
    EXPECT_NE(module.error().message.find("sm_"), std::string::npos) << module.error().message;
  }
  // Three inputs exist from sm_100 on only.
  auto module = parse(kernelText("max.f32 %f0, %f1, %f2, %f3;"));
  ASSERT_FALSE(module);
  EXPECT_NE(module.error().message.find("takes 3 operands, not 4"), std::string::npos) << module.error().message;
}

TEST(Arithmetic, Comparisons) {
  struct Case {
    const char *comparison;
    char from;
    uint64_t a, b;
    bool yes;
  };
  const uint64_t nan = 0x7fc00000;
  const Case table[] = {
      {"lt.s32", 'r', 0xffffffff, 0, true},  {"lt.u32", 'r', 0xffffffff, 0, false},
      {"lo.u32", 'r', 1, 2, true},           {"hs.u32", 'r', 2, 2, true},
      {"eq.b16", 'h', 7, 7, true},           {"ne.b64", 'd', 7, 7ull << 32, true},
      {"ge.s16", 'h', 0x8000, 0, false},     {"gt.u64", 'd', ~0ull, 0, true},
      {"le.s64", 'd', ~0ull, 0, true},       {"eq.f32", 'f', nan, nan, false},
      {"equ.f32", 'f', nan, nan, true},      {"ne.f32", 'f', nan, F(1), false},
      {"neu.f32", 'f', nan, F(1), true},     {"neu.f32", 'f', F(1), F(1), false},
      {"ltu.f32", 'f', nan, F(1), true},     {"lt.f32", 'f', nan, F(1), false},
      {"num.f32", 'f', F(2), F(1), true},    {"num.f32", 'f', F(2), nan, false},
      {"nan.f32", 'f', F(2), nan, true},     {"eq.f32", 'f', 0x80000000, 0, true},
      {"eq.ftz.f32", 'f', 1, 0, true},       {"gt.f32", 'f', 1, 0, true},
      {"lt.f16", 'h', 0x3c00, 0x4000, true}, {"gtu.bf16", 'h', 0x7fc0, 0, true},
      {"lt.f64", 'F', Dbl(1), Dbl(2), true}, {"geu.f64", 'F', Dbl(1), Dbl(2), false},
  };
  for (const Case &c : table) {
    const std::string r = c.from == 'r'   ? "%r"
                          : c.from == 'f' ? "%f"
                          : c.from == 'd' ? "%rd"
                          : c.from == 'F' ? "%fd"
                                          : "%rs";
    // 16-bit floats have one result only.
    const bool half = std::string(c.comparison).find("f16") != std::string::npos;
    const std::string setp = std::string("{ .reg .pred q, n; setp.") + c.comparison + (half ? " q, " : " q|n, ") + r +
                             "1, " + r + "2;" + (half ? " not.pred n, q;" : "") +
                             " selp.b32 %r10, 1, 0, q; selp.b32 %r11, 2, 0, n; }";
    const bool bf = std::string(c.comparison).find("bf16") != std::string::npos;
    const std::string body = setp + " add.u32 %r0, %r10, %r11;";
    Memory memory;
    std::vector<uint64_t> in = {c.a, c.b};
    uint32_t out = 0;
    Params p;
    p.add(*memory.addBuffer(in.data(), 16)).add(*memory.addBuffer(&out, 4)).add(uint64_t(0));
    const std::string type = c.from == 'r'   ? "b32"
                             : c.from == 'f' ? "f32"
                             : c.from == 'd' ? "b64"
                             : c.from == 'F' ? "f64"
                                             : "b16";
    RunResult result = run(kernelText("ld.global." + type + " " + r + "1, [%rd60]; ld.global." + type + " " + r +
                                          "2, [%rd60+8];" + body + " st.global.u32 [%rd61], %r0;",
                                      bf ? "sm_90" : "sm_80"),
                           memory, p);
    ASSERT_TRUE(result.ok && result.report.clean()) << c.comparison << describe(result);
    EXPECT_EQ(out, c.yes ? 1u : 2u) << c.comparison;
  }
}

TEST(Arithmetic, MixedTypesAndPairs) {
  // 1.5 in f16 and bf16; pairs (1, 2) against (2, 2) and (NaN, 1).
  const std::string body =
      "mov.b16 %rs1, 0x3e00; mov.b16 %rs2, 0x3fc0; mov.f32 %f1, 0f40000000;\n"
      "add.rn.f32.f16 %f2, %rs1, %f1; sub.rn.sat.f32.bf16 %f3, %rs2, %f1; fma.rn.f32.bf16 %f4, %rs2, %rs2, %f1;\n"
      "mov.b32 %r1, 0x40003c00; mov.b32 %r2, 0x40004000; mov.b32 %r3, 0x3c007e00; setp.eq.u32 %p9, %r1, %r1;\n"
      "setp.lt.f16x2 %p1|%p2, %r1, %r2; setp.gtu.and.f16x2 %p3|%p4, %r3, %r1, %p9; setp.eq.bf16x2 %p5|%p6, %r1, %r2;\n"
      "selp.u32 %r11, 1, 0, %p1; selp.u32 %r12, 1, 0, %p2; selp.u32 %r13, 1, 0, %p3; selp.u32 %r14, 1, 0, %p4;\n"
      "selp.u32 %r15, 1, 0, %p5; selp.u32 %r16, 1, 0, %p6;\n"
      "st.global.v2.f32 [%rd60], {%f2,%f3}; st.global.f32 [%rd60+8], %f4; st.global.v4.u32 [%rd60+16], "
      "{%r11,%r12,%r13,%r14}; st.global.v2.u32 [%rd60+32], {%r15,%r16};";
  Memory memory;
  std::vector<uint32_t> out(10);
  Params p;
  p.add(*memory.addBuffer(out.data(), 40)).add(uint64_t(0)).add(uint64_t(0));
  RunResult r = run(kernelText(body, "sm_100", "8.8"), memory, p);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(out, (std::vector<uint32_t>{uint32_t(F(3.5f)), 0, uint32_t(F(4.25f)), 0, 1, 0, 1, 0, 0, 1}));
}

TEST(Arithmetic, CarryChains) {
  // 128-bit addition from 64-bit halves of 32 bits each.
  const std::string body =
      "ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd60]; ld.global.v4.u32 {%r5,%r6,%r7,%r8}, [%rd60+16];\n"
      "add.cc.u32 %r11, %r1, %r5; addc.cc.u32 %r12, %r2, %r6; addc.cc.u32 %r13, %r3, %r7; addc.u32 %r14, %r4, %r8;\n"
      "sub.cc.u32 %r21, %r1, %r5; subc.cc.u32 %r22, %r2, %r6; subc.cc.u32 %r23, %r3, %r7; subc.u32 %r24, %r4, %r8;\n"
      "mad.lo.cc.u32 %r31, %r1, %r5, %r2; madc.hi.u32 %r32, %r1, %r5, 0;\n"
      "st.global.v4.u32 [%rd61], {%r11,%r12,%r13,%r14}; st.global.v4.u32 [%rd61+16], {%r21,%r22,%r23,%r24}; "
      "st.global.v2.u32 [%rd61+32], {%r31,%r32};";
  Memory memory;
  std::vector<uint32_t> in = {0xffffffff, 0xffffffff, 0xffffffff, 1, 1, 0, 0, 5}, out(10);
  Params p;
  p.add(*memory.addBuffer(in.data(), 32)).add(*memory.addBuffer(out.data(), 40)).add(uint64_t(0));
  RunResult r = run(kernelText(body), memory, p);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(out, (std::vector<uint32_t>{0, 0, 0, 7, 0xfffffffe, 0xffffffff, 0xffffffff, uint32_t(-4), 0xfffffffe, 1}));
}

// --- exhaustive ---

TEST(Conversions, EveryF16AndBf16Widens) {
  std::vector<Row> in;
  for (uint32_t n = 0; n < 65536; ++n)
    in.push_back({n, 0, 0});
  const auto f16 = evaluate("cvt.f32.f16 %f0, %rs1;", 'h', 'f', in),
             b16 = evaluate("cvt.f32.bf16 %f0, %rs1;", 'h', 'f', in);
  for (uint32_t n = 0; n < 65536; ++n) {
    const int exponent = n >> 10 & 31, fraction = n & 1023;
    double v = exponent == 31  ? (fraction ? NAN : INFINITY)
               : exponent == 0 ? std::ldexp(fraction, -24)
                               : std::ldexp(1024 + fraction, exponent - 25);
    const float expected = float(n & 0x8000 ? -v : v);
    ASSERT_EQ(f16[n], std::isnan(v) ? 0x7fffffffu : F(expected)) << n;
    ASSERT_EQ(b16[n], std::isnan(bf16(uint16_t(n))) ? 0x7fffffffu : uint64_t(n) << 16) << n;
  }
}

/// Round to nearest even by search among neighbours, independent of the implementation's bit tricks.
uint16_t nearest(float f, bool bf) {
  auto value = [&](uint32_t code) -> double {
    if (bf)
      return bf16(uint16_t(code));
    const int exponent = code >> 10 & 31, fraction = code & 1023;
    return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  };
  const uint16_t sign = std::signbit(f) ? 0x8000 : 0;
  const double x = std::fabs(double(f));
  if (std::isnan(f))
    return 0x7fff;
  const uint32_t infinity = bf ? 0x7f80 : 0x7c00;
  uint32_t low = 0, high = infinity; // value(low) <= x
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (value(middle) <= x ? low : high) = middle;
  }
  const double below = value(low),
               above = high == infinity ? 2 * value(infinity - 1) - value(infinity - 2) : value(high);
  if (std::isinf(x))
    return sign | infinity;
  const double middle = (below + above) / 2;
  return sign | uint16_t(x < middle ? low : x > middle ? high : low & 1 ? high : low);
}

TEST(Conversions, NarrowingRoundsToNearestEven) {
  std::vector<Row> in;
  std::mt19937 random(3);
  for (uint32_t code = 0; code < 65536; code += 1) {
    // Every value of both formats, the midpoint above it, and one step to each side of the midpoint.
    const uint32_t base = code << 16;
    for (uint32_t low : {0u, 0x7fffu, 0x8000u, 0x8001u})
      if (code % 7 == low % 7 || code < 256)
        in.push_back({base | low, 0, 0});
    if ((code & 0x7c00) != 0x7c00) {
      const int exponent = code >> 10 & 31, fraction = code & 1023;
      const double v = exponent == 0 ? std::ldexp(fraction + 0.5, -24) : std::ldexp(1024.5 + fraction, exponent - 25);
      const uint32_t bits = bitsOf(float(code & 0x8000 ? -v : v));
      in.push_back({bits, 0, 0});
      if (code % 5 == 0) {
        in.push_back({bits + 1, 0, 0});
        in.push_back({bits - 1, 0, 0});
      }
    }
  }
  for (int n = 0; n < 20000; ++n)
    in.push_back({random(), 0, 0});
  const auto f16 = evaluate("cvt.rn.f16.f32 %rs0, %f1;", 'f', 'h', in),
             b16 = evaluate("cvt.rn.bf16.f32 %rs0, %f1;", 'f', 'h', in);
  for (size_t n = 0; n < in.size(); ++n) {
    const float f = floatOf(uint32_t(in[n][0]));
    ASSERT_EQ(f16[n], nearest(f, false)) << std::hex << in[n][0];
    ASSERT_EQ(b16[n], nearest(f, true)) << std::hex << in[n][0];
  }
}

TEST(Conversions, F16FusedMultiplyAddRoundsOnce) {
  std::vector<Row> in;
  std::mt19937 random(5);
  for (int n = 0; n < 4096; ++n)
    in.push_back({random() & 0xbfff, random() & 0xbfff, random() & 0xbfff});
  const auto out = evaluate("fma.rn.f16 %rs0, %rs1, %rs2, %rs3;", 'h', 'h', in);
  auto widen = [](uint64_t h) {
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double v = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return h & 0x8000 ? -v : v;
  };
  for (size_t n = 0; n < in.size(); ++n) {
    // long double holds the sum exactly here: 22-bit product, exponents within 2^-48 .. 2^4.
    const long double exact = (long double)(widen(in[n][0])) * widen(in[n][1]) + widen(in[n][2]);
    const uint16_t got = uint16_t(out[n]);
    if (std::fabs(double(exact)) > 65519)
      continue;
    const double step = std::max(std::ldexp(1.0, std::ilogb(double(exact == 0 ? 1 : exact)) - 10), 0x1p-24);
    const long double error = std::fabs((long double)(widen(got)) - exact);
    ASSERT_LE(double(error), step / 2) << n;
    if (double(error) == step / 2) {
      ASSERT_EQ(got & 1, 0) << n;
    }
  }
}

TEST(Approximations, Ex2IsWithinItsBoundAndPerturbationMovesIt) {
  std::vector<Row> in;
  std::mt19937 random(9);
  std::uniform_real_distribution<float> x(-126, 127);
  for (int n = 0; n < 8192; ++n)
    in.push_back({F(n < 4096 ? x(random) : x(random) * 1e-3f), 0, 0});
  const auto plain = evaluate("ex2.approx.ftz.f32 %f0, %f1;", 'f', 'f', in);
  for (size_t n = 0; n < in.size(); ++n) {
    const double exact = std::exp2(double(floatOf(uint32_t(in[n][0]))));
    ASSERT_LE(std::fabs(floatOf(uint32_t(plain[n])) / exact - 1), 0x1p-23) << n;
  }
  Options options;
  options.perturb = true;
  // The masked run draws other noise: evaluate() compares both, so full warps only here.
  Memory memory;
  std::vector<uint32_t> a(32), b(32);
  for (int n = 0; n < 32; ++n)
    a[n] = uint32_t(in[n][0]);
  Params p;
  p.add(*memory.addBuffer(a.data(), 128)).add(*memory.addBuffer(b.data(), 128)).add(uint64_t(0));
  RunResult r = run(kernelText("add.u64 %rd1, %rd60, %rd63; add.u64 %rd2, %rd61, %rd63; ld.global.f32 %f1, [%rd1]; "
                               "ex2.approx.ftz.f32 %f0, %f1; st.global.f32 [%rd2], %f0;"),
                    memory, p, {}, {32, 1, 1}, options);
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  int moved = 0;
  for (int n = 0; n < 32; ++n) {
    moved += b[n] != plain[n];
    EXPECT_LE(std::fabs(floatOf(b[n]) / std::exp2(double(floatOf(a[n]))) - 1), 0x1.1p-22);
  }
  EXPECT_GT(moved, 8);
}

// Every approximation stays within its bound, with and without noise, and the noise shows.
TEST(Approximations, AllStayWithinTheirBounds) {
  struct Form {
    const char *instruction;
    double low, high;
    double (*exact)(double);
    double relative, absolute;
  };
  const Form forms[] = {
      {"ex2.approx.f32 %f0, %f1;", -120, 120, [](double x) { return std::exp2(x); }, 0x1p-22, 0},
      {"lg2.approx.f32 %f0, %f1;", 0.001, 1e6, [](double x) { return std::log2(x); }, 0x1p-22, 0x1p-22},
      {"rcp.approx.f32 %f0, %f1;", 0.001, 1e6, [](double x) { return 1 / x; }, 0x1p-23, 0},
      {"rsqrt.approx.f32 %f0, %f1;", 0.001, 1e6, [](double x) { return 1 / std::sqrt(x); }, 0x1p-22, 0},
      {"sqrt.approx.f32 %f0, %f1;", 0.001, 1e6, [](double x) { return std::sqrt(x); }, 0x1p-23, 0},
      {"sin.approx.f32 %f0, %f1;", -3, 3, [](double x) { return std::sin(x); }, 0, 0x1p-20},
      {"cos.approx.f32 %f0, %f1;", -3, 3, [](double x) { return std::cos(x); }, 0, 0x1p-20},
      {"tanh.approx.f32 %f0, %f1;", -5, 5, [](double x) { return std::tanh(x); }, 0x1p-11, 0},
      {"div.full.f32 %f0, %f1, %f1; div.full.f32 %f0, %f0, %f1;", 0.5, 1e6, [](double x) { return 1 / x; }, 0x1p-21, 0},
      {"cvt.rn.f16.f32 %rs1, %f1; cvt.f32.f16 %f1, %rs1; ex2.approx.f16 %rs2, %rs1; cvt.f32.f16 %f0, %rs2;", -10, 10,
       [](double x) { return std::exp2(x); }, 0x1.12p-10, 0},
      {"cvt.rn.bf16.f32 %rs1, %f1; cvt.f32.bf16 %f1, %rs1; tanh.approx.bf16 %rs2, %rs1; cvt.f32.bf16 %f0, %rs2;", -3, 3,
       [](double x) { return std::tanh(x); }, 0x1p-8, 0},
  };
  for (const Form &form : forms)
    for (bool perturb : {false, true}) {
      constexpr int count = 1024;
      std::mt19937 random(4);
      std::uniform_real_distribution<float> x(float(form.low), float(form.high));
      std::vector<float> a(count), b(count), used(count);
      for (float &v : a)
        v = x(random);
      Memory memory;
      Params p;
      p.add(*memory.addBuffer(a.data(), count * 4))
          .add(*memory.addBuffer(b.data(), count * 4))
          .add(*memory.addBuffer(used.data(), count * 4));
      Options options;
      options.perturb = perturb;
      RunResult r =
          run(kernelText("mov.u32 %r1, %ctaid.x; mul.wide.u32 %rd1, %r1, 128; add.u64 %rd1, %rd1, %rd63; "
                         "add.u64 %rd2, %rd61, %rd1; add.u64 %rd3, %rd62, %rd1; add.u64 %rd1, %rd60, %rd1; "
                         "ld.global.f32 %f1, [%rd1]; " +
                             std::string(form.instruction) + " st.global.f32 [%rd2], %f0; st.global.f32 [%rd3], %f1;",
                         "sm_90"),
              memory, p, {count / 32, 1, 1}, {32, 1, 1}, options);
      ASSERT_TRUE(r.ok && r.report.clean()) << form.instruction << describe(r);
      int exactly = 0;
      for (int n = 0; n < count; ++n) {
        const double v = form.exact(used[n]);
        ASSERT_LE(std::fabs(b[n] - v), std::max(form.relative * std::fabs(v), form.absolute) * 1.0001)
            << form.instruction << " of " << used[n] << (perturb ? ", perturbed" : "");
        exactly += b[n] == float(v);
      }
      if (perturb) {
        EXPECT_LT(exactly, count * 3 / 4) << form.instruction;
      }
    }
}

} // namespace
