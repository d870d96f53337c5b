// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The PTX parser: the text forms of three compilers, and an error naming the line for all that is unknown.
#include "Testing.h"

using namespace fovea;
using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

/// The message for a kernel with this line in its body; the line's number in the text is 10.
std::string errorOf(const std::string &line, const std::string &target = "sm_80") {
  const std::string text = kernelText(line, target);
  auto module = parse(text);
  return module ? "accepted" : module.error().message;
}

TEST(Parser, ErrorsNameTheLineAndQuoteIt) {
  const std::pair<const char *, const char *> table[] = {
      {"frobnicate.s32 %r1, %r2;", "unknown instruction 'frobnicate'"},
      {"add.foo.s32 %r1, %r2, %r3;", "unknown modifier or type '.foo' of 'add'"},
      {"add.s32.rn %r1, %r2, %r3;", "unknown modifier"},
      {"add.rn.s32 %r1, %r2, %r3;", "unknown modifier or type '.rn' of 'add'"},
      {"add.s32 %r1, %r2;", "'add' takes 3 operands, not 2"},
      {"add.s32 %r1, %r2, %r3, %r4;", "'add' takes 3 operands, not 4"},
      {"add.s32 %r1, %r2, %rd3;", "register '%rd3' of type .b64 where .s32 is expected"},
      {"add.s32 %r1, %r2, %f3;", "register '%f3' of type .f32 where .s32 is expected"},
      {"add.f32 %f1, %f2, 1;", "a whole number where .f32 is expected"},
      {"add.s32 %r1, %r2, 0f3F800000;", "a 32-bit floating-point number where .s32 is expected"},
      {"add.s32 %r1, %r2, %r999;", "unknown register '%r999'"},
      {"add.s32 %r1, %r2, nosuch;", "unknown name 'nosuch'"},
      {"add.s32 5, %r2, %r3;", "the destination must be a register"},
      {"add.s32 %r1, %r2, ;", "an operand is missing"},
      {"mov.u32 %r1, 0x1FFFFFFFFF;", "the number does not fit .u32"},
      {"mov.u32 %r1, 99999999999999999999999;", "malformed number"},
      {"mov.f32 %f1, 0f12345;", "malformed number"},
      {"mov.u32 %r1, %nosuch.x;", "unknown register '%nosuch.x'"},
      {"@%r1 bra L; L:", "'%r1' is no predicate"},
      {"@%p99 bra L; L:", "unknown predicate '%p99'"},
      {"bra NOWHERE;", "unknown name 'NOWHERE'"},
      {"L: L: ret;", "'L' is declared twice"},
      {"ld.global.u32 %r1, %rd1;", "an address in brackets is expected"},
      {"ld.global.u32 %r1, [%r2];", "an address of this space has 64 bits"},
      {"ld.global.v3.u32 %r1, [%rd1];", "unknown modifier or type '.v3'"},
      {"ld.global.v2.u32 {%r1,%r2,%r3}, [%rd1];", "a vector of 2 registers is expected"},
      {"ld.global.v4.u64 {%rd1,%rd2,%rd3,%rd4}, [%rd5];", "a vector access of more than 16 bytes"},
      {"ld.global.u64 %r1, [%rd1];", "register '%r1' of type .b32 where .u64 or wider is expected"},
      {"ld.param.u64 %rd1, [a+4];", "reads outside parameter 'a'"},
      {"ld.shared.nc.u32 %r1, [%r2];", "'.nc' needs '.global'"},
      {"st.const.u32 [%rd1], %r1;", "constant memory"},
      {"atom.global.add.b32 %r1, [%rd1], %r2;", "unknown modifier or type '.b32'"},
      {"atom.global.frob.u32 %r1, [%rd1], %r2;", "unknown atomic operation"},
      {"cvt.s32.f32 %r1, %f1;", "needs .rni, .rzi, .rmi or .rpi"},
      {"cvt.f32.s32 %f1, %r1;", "needs .rn, .rz, .rm or .rp"},
      {"cvt.rn.f16.s64.s32 %rs1, %r1;", "unknown modifier"},
      {"setp.xy.s32 %p1, %r1, %r2;", "unknown comparison"},
      {"setp.ltu.s32 %p1, %r1, %r2;", "needs floating-point operands"},
      {"setp.lt.b32 %p1, %r1, %r2;", "bits compare with .eq and .ne only"},
      {"selp.b32 %r1, %r2, %r3, %r4;", "a predicate is expected"},
      {"fma.f32 %f1, %f2, %f3, %f4;", "needs a rounding mode"},
      {"add.bf16x2 %r1, %r2, %r3;", "needs sm_90"},
      {"bar.sync 16;", "there are 16 barriers"},
      {"bar.sync 0, 48;", "multiple of 32"},
      {"shfl.bfly.b32 %r1, %r2, 1, 31;", "'shfl' needs .sync"},
      {"cp.async.cg.shared.global [%r1], [%rd1], 8;", "'cp.async.cg' copies 16 bytes"},
      {"cp.async.ca.shared.global [%r1], [%rd1], 12;", "copies 4, 8 or 16 bytes"},
      {"ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r1}, [%r2];", "a vector of 2 registers"},
      {"stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r2], {%r1};", "needs sm_90"},
      {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
       "{%r1,%r2,%r3,%r4},{%r5,%r6,%r7},{%r8,%r9},{%r1,%r2,%r3,%r4};",
       "operand 2 of 'mma' has 4 registers, not 3"},
      {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.f16.f32 "
       "{%r1,%r2,%r3,%r4},{%r5,%r6,%r7,%r8},{%r8,%r9},{%r1,%r2,%r3,%r4};",
       "no form of this shape and types"},
      {"lop3.b32 %r1, %r2, %r3, %r4, 256;", "8 bits"},
      {".reg .b32 %r<5>; .nosuch 5;", "unknown directive '.nosuch'"},
      {".reg .b99 %x;", "unknown register type"},
      {".shared .align 3 .b8 x[4];", "power of two"},
      {".shared .b8 x[100000000];", "an array of more than"},
      {".shared .b8 x[300000]; mov.u32 %r1, x;", "shared memory of more than"},
      {"not.pred %p1, !%r2;", "a predicate is expected"},
      {"add.s32 %r1, !%p1, %r2;", "'!' stands before predicates only"},
      {"mov.b64 {%r1,%r2,%r3}, %rd1;", "packs or unpacks two or four"},
      {"mov.u32 %r1, {%r2;", "expected ',' or '}'"},
      {"mov.u32 %r1, #;", "unexpected character '#'"},
      {"}}}", "expected a directive"},
  };
  for (auto [line, message] : table) {
    const std::string error = errorOf(line);
    EXPECT_NE(error.find(message), std::string::npos) << line << "\n  gave: " << error;
    EXPECT_NE(error.find("PTX line 10: "), std::string::npos) << line << "\n  gave: " << error;
    const std::string quoted = std::string("`") + line;
    EXPECT_NE(error.find(quoted.substr(0, 40)), std::string::npos) << error;
  }
}

TEST(Parser, AMissingSemicolonIsNoticedAtTheNextWord) {
  const std::string error = errorOf("add.s32 %r1, %r2, %r3");
  EXPECT_NE(error.find("PTX line 11: expected ',' or ';', found 'ret'"), std::string::npos) << error;
}

TEST(Parser, WhatIsNotModelledIsRefusedByName) {
  const std::pair<const char *, const char *> table[] = {
      {"mbarrier.init.shared.b64 [%r1], 1;", "instruction 'mbarrier'"},
      {"cp.async.bulk.commit_group;", "instruction 'cp.async.bulk'"},
      {"cp.async.mbarrier.arrive.shared.b64 [%r1];", "instruction 'cp.async.mbarrier'"},
      {"wgmma.fence.sync.aligned;", "instruction 'wgmma'"},
      {"tcgen05.wait::ld.sync.aligned;", "instruction 'tcgen05'"},
      {"call.uni f, (%r1);", "calls of functions"},
      {"{ .param .b32 x; }", "calls of functions"},
      {"prefetch.tensormap [%rd1];", "'prefetch.tensormap'"},
      {"mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%fd1,%fd2},{%fd3},{%fd4},{%fd1,%fd2};", "this shape of 'mma'"},
      {"barrier.cluster.arrive.aligned;", "'barrier.cluster'"},
  };
  for (auto [line, message] : table) {
    auto module = parse(kernelText(line, "sm_90a"));
    ASSERT_FALSE(module) << line;
    EXPECT_EQ(module.error().code, ErrorCode::Unsupported) << module.error().message;
    EXPECT_NE(module.error().message.find(message), std::string::npos) << module.error().message;
    EXPECT_NE(module.error().message.find("PTX line 10: not in this version of the emulator"), std::string::npos)
        << module.error().message;
  }
}

TEST(Parser, ModuleErrors) {
  const std::pair<const char *, const char *> table[] = {
      {"", "expected '.version'"},
      {".version 8.0\n.target sm_80\n", "expected '.address_size'"},
      {".version 6.5\n.target sm_80\n.address_size 64", "PTX version 6.5"},
      {".version 8.0\n.target gfx90a\n.address_size 64", "unknown target 'gfx90a'"},
      {".version 8.0\n.target sm_20\n.address_size 64", "target 'sm_20'"},
      {".version 8.0\n.target sm_80\n.address_size 32", "32-bit addresses"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() {", "'{' without '}'"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() { ret; }\n.visible .entry k() { ret; }",
       "defined twice"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u64 a) { ret; }",
       "declared twice"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .b8 a[99999]) { ret; }",
       "parameter array"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() .reqnctapercluster 2 { ret; }",
       "clusters of more than one"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.const .b8 t[2] = {1,2,3};", "more values than elements"},
      {".version 8.0\n.target sm_80\n.address_size 64\n/* open", "comment without an end"},
      {".version 8.0\n.target sm_80\n.address_size 64\n.global .b8 x[4611686018427387904][8];",
       "an array of more than"},
  };
  for (auto [text, message] : table) {
    auto module = parse(text);
    ASSERT_FALSE(module) << text;
    EXPECT_NE(module.error().message.find(message), std::string::npos)
        << text << "\n  gave: " << module.error().message;
  }
}

TEST(Parser, TextFormsOfCompilers) {
  const std::string text = R"(//
// Generated by LLVM NVPTX Back-End
//
.version 7.0
.target sm_80, debug
.address_size 64
	.file	1 "a.cu"
	// .globl	k
.extern .func  (.param .b32 func_retval0) vprintf
(
	.param .b64 vprintf_param_0,
	.param .b64 vprintf_param_1
)
;
.func  (.param .b32 r) helper(.param .b32 x) { .reg .b32 %r<2>; ret; }
.extern .shared .align 1024 .b8 dyn[];
.visible .entry k(
	.param .u64 .ptr .global .align 16 k_param_0,
	.param .align 64 .b8 k_param_1[128]
)
.maxntid 128, 1, 1
.minnctapersm 1
.pragma "nounroll";
{
	// demoted variable
	.shared .align 128 .b8 smem[512];
	.reg .pred 	%p<3>;
	.reg .b16 	%rs<5>;
	.reg .b32 	%r<20>;
	.reg .b64 	%rd<10>;
// %bb.0:
	.loc	1 3 5
	.loc	1 3 5, function_name $L__info_string0, inlined_at 1 2 3
	ld.param.b64 	%rd1, [k_param_0];
	mov.b64 %rd2, k_param_1;
	cvta.param.u64 %rd3, %rd2;
	ld.b32 %r9, [%rd3+124];
	mov.u32 %r1, %tid.x;
	mov.b64 %rd4, smem;
	add.s64 %rd5, %rd4, 16;
	{
	.reg .pred p;
	.reg .b32 %r1, t;
	mov.b32 %r1, 7;
	setp.ne.b32 p, 1, 0;
	LAB_WAIT: @p bra.uni DONE;
	bra.uni LAB_WAIT;
	DONE: mov.b32 t, %r1;
	}
	{ .reg .pred p; setp.ne.b32 p, 1, 0; LAB_WAIT: @!p bra LAB_WAIT; DONE: }
	st.shared.b32 [%rd5+-8], %r1;
	ld.shared.b32 %r2, [smem+
		8];
	mul.wide.u32 %rd6, %r1, 4; add.s64 %rd7, %rd1, %rd6;
	cvt.s64.s32 %rd8, %r2;
	st.global.b32 [%rd7], %rd8;
	.pragma "nounroll";
$L__BB0_1:
	@!%p1 bra $L__BB0_2;
	bra.uni	$L__BB0_2;
$L__BB0_2:
	ret;
                                        // -- End function
}
	.section	.debug_str { .b8 0 $L__info_string0: .b8 95,90 }
)";
  auto module = parse(text);
  ASSERT_TRUE(module) << module.error().message;
  const KernelInfo *k = module->find("k");
  ASSERT_NE(k, nullptr);
  EXPECT_EQ(k->params.size(), 2u);
  EXPECT_EQ(k->params[1].offset, 64u);
  EXPECT_EQ(k->paramBytes, 192u);
  EXPECT_EQ(k->maxntid->x, 128u);
  EXPECT_EQ(k->staticShared, 512u);
  Memory memory;
  uint32_t out = 9;
  std::string params(192, '\0');
  const uint64_t address = *memory.addBuffer(&out, 4);
  std::memcpy(params.data(), &address, 8);
  Options o;
  o.checks.uninitialised = false; // %p1 is read undefined on purpose
  auto r = launch(*module, "k", {}, {1, 1, 1}, 0, params, memory, o);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(r->clean());
  EXPECT_EQ(out, 0u); // thread 0; the inner %r1 did not touch the outer one
}

TEST(Parser, RegistersOfTheDeclaredRangeOnly) {
  EXPECT_EQ(errorOf("add.s32 %r127, %r126, %r0;"), "accepted");
  EXPECT_NE(errorOf("add.s32 %r128, %r126, %r0;").find("%r128"), std::string::npos);
  EXPECT_NE(errorOf("add.s32 %r01, %r126, %r0;").find("%r01"), std::string::npos);
  // Huge ranges cost nothing until used.
  EXPECT_EQ(errorOf(".reg .b64 %huge<4000000000>; mov.u64 %huge3999999999, 1;").find("accepted"),
            std::string::npos + 0);
}

TEST(Parser, DeepNestingIsNoRecursion) {
  EXPECT_EQ(errorOf(std::string(20000, '{') + std::string(20000, '}')), "accepted");
  EXPECT_NE(errorOf(std::string(70000, '{')).find("blocks"), std::string::npos);
}

} // namespace
