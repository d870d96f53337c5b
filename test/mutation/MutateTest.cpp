// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The mutation tool on a kernel small enough to know every verdict: a ring of copies through shared memory, whose
// chunks are swizzled and read by the other warp.
#include "test/mutation/Mutate.h"

#include <gtest/gtest.h>

#include <algorithm>

using namespace fovea;
using namespace fovea::mutation;

namespace {

// 64 threads; out[n] = in[n ^ 128] for blocks of 256 f32, 16 bytes a thread, only the first N blocks.
const std::string ptx = R"(.version 7.0
.target sm_80
.address_size 64
.visible .entry ring(
	.param .u64 .ptr .align 1 ring_param_0,
	.param .u64 .ptr .align 1 ring_param_1,
	.param .u32 ring_param_2
)
{
	.reg .pred 	%p<4>;
	.reg .b32 	%r<20>;
	.reg .b64 	%rd<8>;
	.shared .align 16 .b8 s[1024];
	ld.param.b64 	%rd1, [ring_param_0];
	ld.param.b64 	%rd2, [ring_param_1];
	ld.param.b32 	%r1, [ring_param_2];
	mov.u32 	%r2, %tid.x;
	shl.b32 	%r3, %r2, 4;
	mov.b32 	%r4, s;
	shr.u32 	%r5, %r2, 3;
	and.b32 	%r6, %r5, 7;
	xor.b32 	%r7, %r2, %r6;
	shl.b32 	%r8, %r7, 4;
	add.s32 	%r9, %r4, %r8;
	xor.b32 	%r10, %r8, 512;
	xor.b32 	%r18, %r10, 64;
	add.s32 	%r11, %r4, %r18;
	cvt.u64.u32 	%rd3, %r3;
	add.s64 	%rd4, %rd1, %rd3;
	add.s64 	%rd5, %rd2, %rd3;
	mov.b32 	%r12, 0;
$L_loop:
	setp.ge.s32 	%p1, %r12, %r1;
	@%p1 bra 	$L_end;
	cp.async.cg.shared.global 	[%r9], [%rd4], 16;
	cp.async.commit_group;
	cp.async.wait_group 	0;
	bar.sync 	0;
	ld.shared.v4.b32 	{%r13, %r14, %r15, %r16}, [%r11];
	bar.sync 	0;
	bar.sync 	0;
	st.global.v4.b32 	[%rd5], {%r13, %r14, %r15, %r16};
	add.s64 	%rd4, %rd4, 1024;
	add.s64 	%rd5, %rd5, 1024;
	add.s32 	%r12, %r12, 1;
	setp.lt.s32 	%p2, %r12, 100;
	@%p2 bra 	$L_loop;
$L_end:
	ret;
}
)";

runtime::Plan plan() {
  runtime::Plan p;
  p.producer = "test";
  p.spec = "ring";
  p.target = "sm_80";
  p.ptxVersion = "7.0";
  p.axes = {{"N", {}, ""}, {"E", 256, ""}};
  p.tensors = {{"x", runtime::TensorRole::Input, runtime::StorageType::F32, {{"N", {"N"}}, {"E", {"E"}}}},
               {"y", runtime::TensorRole::Output, runtime::StorageType::F32, {{"N", {"N"}}, {"E", {"E"}}}}};
  runtime::PlanLaunch launch;
  launch.kernel = "ring";
  launch.block = {64, 1, 1};
  launch.args = {runtime::PlanArg::pointer("x"), runtime::PlanArg::pointer("y"),
                 runtime::PlanArg::i32(*runtime::Expr::parse("N"))};
  runtime::PlanEntry entry;
  entry.reason = "always";
  entry.launches = {launch};
  p.entries = {entry};
  p.modules = {{"ring", ptx, {}}};
  return p;
}

Judgement judgeOf(const Judge &judge, const std::vector<Mutant> &all, Class kind, const std::string &original,
                  const std::string &what, int nth = 0) {
  for (const Mutant &m : all)
    if (m.kind == kind && m.original.find(original) == 0 && m.what.find(what) != std::string::npos && nth-- == 0)
      return judge.judge(0, m);
  ADD_FAILURE() << "no mutant " << name(kind) << " of " << original << ": " << what;
  return {};
}

TEST(Mutation, EachVerdict) {
  const runtime::Plan p = plan();
  Trial trial;
  trial.sizes = {{"N", 5}};
  auto judge = Judge::create(p, {trial});
  ASSERT_TRUE(judge) << judge.error().message;
  ASSERT_EQ(judge->kernels().size(), 1u);
  const std::vector<Mutant> all = mutants(ptx, {"ring"});
  auto verdict = [&](Class kind, const std::string &original, const std::string &what, int nth = 0) {
    return judgeOf(*judge, all, kind, original, what, nth).verdict;
  };
  EXPECT_EQ(verdict(Class::Barrier, "bar.sync", "deleted"), Verdict::Reported);
  EXPECT_EQ(verdict(Class::Barrier, "bar.sync", "moved before"), Verdict::Reported); // the wait
  EXPECT_EQ(verdict(Class::Barrier, "bar.sync", "moved behind"), Verdict::Reported); // the load
  EXPECT_EQ(verdict(Class::Wait, "cp.async.wait_group", "deleted"), Verdict::Reported);
  EXPECT_EQ(verdict(Class::Wait, "cp.async.wait_group", "wait_group 	1"), Verdict::Reported);
  EXPECT_EQ(verdict(Class::Wait, "cp.async.wait_group", "moved behind"), Verdict::Reported);
  EXPECT_EQ(verdict(Class::Commit, "cp.async.commit_group", "deleted"), Verdict::Reported);
  EXPECT_EQ(verdict(Class::Commit, "cp.async.commit_group", "doubled"), Verdict::Survives);
  EXPECT_EQ(verdict(Class::Offset, "ld.shared", "+16"), Verdict::Reported); // beyond the array
  EXPECT_EQ(verdict(Class::Swizzle, "xor.b32 	%r7", ", 0;"), Verdict::Different);
  EXPECT_EQ(verdict(Class::Swizzle, "xor.b32 	%r10", "513"), Verdict::Reported); // alignment
  EXPECT_EQ(verdict(Class::Guard, "@%p1", "deleted"), Verdict::Reported);
  EXPECT_EQ(verdict(Class::Guard, "@%p1", "becomes `bra"), Verdict::Different);
  EXPECT_EQ(verdict(Class::Bound, "setp.ge.s32", "gt"), Verdict::Reported);
  // One of the two barriers at the end of the loop is enough.
  const auto second = std::find_if(all.begin(), all.end(), [n = 0](const Mutant &m) mutable {
    return m.kind == Class::Barrier && m.what == "deleted" && n++ == 1;
  });
  ASSERT_NE(second, all.end());
  EXPECT_EQ(judge->judge(0, *second).verdict, Verdict::Survives);
  EXPECT_NE(judge->reason(0, *second).find("the barrier at line"), std::string::npos) << judge->reason(0, *second);
  const auto bound = std::find_if(all.begin(), all.end(), [](const Mutant &m) {
    return m.kind == Class::Bound && m.original.find("setp.lt.s32") == 0;
  });
  ASSERT_NE(bound, all.end());
  EXPECT_EQ(judge->judge(0, *bound).verdict, Verdict::Survives);
  EXPECT_EQ(judge->reason(0, *bound), "its two sides are never equal in these shapes");
}

TEST(Mutation, WithoutChecksAFaultOfOrderIsMissed) {
  const runtime::Plan p = plan();
  Trial trial;
  trial.sizes = {{"N", 5}};
  trial.checks = emulator::Checks::none();
  auto judge = Judge::create(p, {trial});
  ASSERT_TRUE(judge) << judge.error().message;
  EXPECT_EQ(judgeOf(*judge, mutants(ptx, {"ring"}), Class::Wait, "cp.async.wait_group", "deleted").verdict,
            Verdict::Missed);
}

TEST(Mutation, TheOriginalMustBeClean) {
  runtime::Plan p = plan();
  std::string &text = p.modules[0].ptx;
  text.erase(text.find("\tbar.sync"), 11);
  Trial trial;
  trial.sizes = {{"N", 2}};
  auto judge = Judge::create(p, {trial});
  ASSERT_FALSE(judge);
  EXPECT_NE(judge.error().message.find("the original is reported under lazy completion"), std::string::npos)
      << judge.error().message;
}

TEST(Mutation, OnlyTheNamedKernels) { EXPECT_TRUE(mutants(ptx, {"other"}).empty()); }

} // namespace
