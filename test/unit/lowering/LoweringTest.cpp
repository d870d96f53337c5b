// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lowering of typed programs: those that analysis makes of a text, and those that only a program can hold.
#include "frontend/lowering/Lowering.h"

#include "dialect/attn/Attn.h"
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"
#include "reference/attn/Reference.h"

#include "mlir/IR/Diagnostics.h"
#include "gtest/gtest.h"

#include <cmath>

using namespace fovea;

namespace {

/// A text through parser, analysis and lowering.
struct Lowered {
  syntax::DiagnosticEngine diagnostics;
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string messages; // of MLIR

  explicit Lowered(const std::string &text, std::map<std::string, std::string> sets = {}) {
    syntax::File file = syntax::parse("spec.attn", text, diagnostics);
    sema::Options options;
    options.sets = std::move(sets);
    std::optional<sema::Program> program;
    if (!diagnostics.hasErrors())
      program = sema::analyze(file, options, diagnostics);
    EXPECT_TRUE(program.has_value()) << diagnostics.render();
    if (program)
      run(*program);
  }
  explicit Lowered(const sema::Program &program) {
    diagnostics.sources.add("program.attn", "first line\nsecond line\n");
    run(program);
  }

  void run(const sema::Program &program) {
    mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diagnostic) {
      messages += diagnostic.str() + "\n";
      return mlir::success();
    });
    module = lower(program, diagnostics.sources, context);
  }

  std::string print(bool locations = false) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    mlir::OpPrintingFlags flags;
    if (locations)
      flags.enableDebugInfo(true, false);
    if (module)
      module->print(stream, flags);
    return text;
  }
};

/// One axis T and one input x on it; tests add to it.
sema::Program oneInput() {
  sema::Attention attention;
  attention.name = "a";
  attention.axes.resize(1);
  attention.axes[0].name = "T";
  sema::Declaration x, o;
  x.name = "x";
  x.declaredAxes = x.axes = {0};
  o = x;
  o.name = "o";
  o.role = sema::Role::Output;
  o.node = 1;
  attention.declarations = {x, o};
  sema::Node input, output;
  input.op = sema::Op::Input;
  input.axes = {0};
  input.name = "x";
  input.span = {0, 11, 17};
  output.op = sema::Op::Output;
  output.axes = {0};
  output.operands = {0};
  output.declaration = 1;
  attention.nodes = {input, output};
  sema::Program program;
  program.attentions.push_back(attention);
  return program;
}

TEST(Lowering, CausalAttentionOfGroupedHeads) {
  Lowered lowered(R"(fovea 1
attention gqa causal {
  axis B, T, D
  axis H = Hk * G
  axis S keys T
  input q : [B, T, H, D]
  input k, v : [B, S, Hk, D]
  let p = weights over S {
    score: dot[D](q[i], k[j]) * D^-0.5
    where: j <= i
  }
  output o = p(v)
  output lse = p.lse
}
)",
                  {{"D", "64"}});
  ASSERT_TRUE(lowered.module) << lowered.messages;
  std::string text = lowered.print();
  for (const char *expected :
       {"attn.attention @gqa causal axes [B, T, D : 64, ", "H = Hk * G", "S keys T", "j walk S from T",
        "attn.input \"q\" [B, T, H, D] : real [B, T, Hk, G, D]", "attn.input \"k\" [B, S, Hk, D] : real [B, S, Hk, D]",
        " S to j : real [B, S, Hk, D]", "attn.query_position T over S", "attn.index j", "attn.weights over j from T",
        "attn.stat lse ", "attn.output \"o\"", "attn.output \"lse\""})
    EXPECT_NE(text.find(expected), std::string::npos) << "missing: " << expected << "\n" << text;
  EXPECT_NE(lowered.print(true).find("spec.attn\":8:"), std::string::npos); // the weights
}

// A text, evaluated: constant scores give the mean.
TEST(Lowering, TextIsEvaluated) {
  Lowered lowered(R"(fovea 1
attention mean {
  axis T, D
  input x : [T, D]
  param s : f32 []
  let p = weights over T { score: s * dot[D](x[i], x[j]) }
  output o = p(x)
}
)",
                  {{"D", "1"}});
  ASSERT_TRUE(lowered.module) << lowered.diagnostics.render() << lowered.messages;
  auto attention = *lowered.module->getOps<attn::AttentionOp>().begin();
  auto outputs = reference::evaluate(attention, {}, {{"x", {{2, 1}, {1, 3}}}, {"s", {{}, {0}}}});
  ASSERT_TRUE(bool(outputs)) << llvm::toString(outputs.takeError());
  EXPECT_EQ(outputs->at("o").data, (std::vector<double>{2, 2}));
}

TEST(Lowering, StatesReadsAndCarriedMemory) {
  Lowered lowered(R"(fovea 1
attention delta causal {
  axis B, T, K, V
  axis H = Hk * G
  input q, k : [B, T, Hk, K]
  input v : [B, T, H, V]
  input g : f32 [B, T, H, K] <= 0
  input beta : f32 [B, T, H]
  carry h0 : f32 [B, H, K, V] optional
  state S[K, V] = recur over T { key: k; value: beta * v; decay: g; erase: beta * k; initial: h0 }
  output o = read(S, q)
  output d = read(decayed(S), q)
  output p = read(prev(S), q)
}
)",
                  {{"K", "64"}, {"V", "32"}});
  ASSERT_TRUE(lowered.module) << lowered.diagnostics.render() << lowered.messages;
  std::string text = lowered.print();
  for (const char *expected :
       {"attn.input \"h0\" optional carry f32 [B, H, K, V] : real [B, Hk, G, K, V]", "attn.state along T key ",
        " over K : real [B, T, Hk, K] value ", " decay ", " erase ", " initial ", "attn.read after ",
        "attn.read decayed ", "attn.read prev ", " K x V along T", "attn.last ", "attn.output \"h0\" carry "})
    EXPECT_NE(text.find(expected), std::string::npos) << "missing: " << expected << "\n" << text;
}

// One token of everything: S = exp(g) h0 + k (beta v - beta (exp(g) h0)^T k)^T
TEST(Lowering, TextWithAStateIsEvaluated) {
  Lowered lowered(R"(fovea 1
attention delta {
  axis T, K, V, Tb = T / 2
  input q, k : [T, K]
  input v : [T, V]
  input g : f32 [T] <= 0
  input w : [K, W]
  axis W
  carry h0 : f32 [K, V]
  carry n0 : f32 [K] optional
  state S[K, V] = recur over T reverse { key: conv[T](k, w); value: v; decay: g; initial: h0, n0; divide: sum + 1 }
  output o = read(S, q)
}
)",
                  {{"K", "1"}, {"V", "1"}, {"W", "2"}});
  ASSERT_TRUE(lowered.module) << lowered.diagnostics.render() << lowered.messages;
  auto attention = *lowered.module->getOps<attn::AttentionOp>().begin();
  reference::Tensors in = {{"q", {{2, 1}, {1, 1}}},          {"k", {{2, 1}, {1, 2}}}, {"v", {{2, 1}, {3, 5}}},
                           {"g", {{2}, {std::log(0.5), 0}}}, {"w", {{1, 2}, {1, 1}}}, {"h0", {{1, 1}, {4}}}};
  auto outputs = reference::evaluate(attention, {}, in);
  ASSERT_TRUE(bool(outputs)) << llvm::toString(outputs.takeError());
  // Keys after the convolution: 1, 3. From token 1 on: S = 4 + 3 5 = 19, n = 3; then S = 9.5 + 3, n = 1.5 + 1.
  EXPECT_NEAR(outputs->at("o").data[1], 19.0 / 4, 1e-12);
  EXPECT_NEAR(outputs->at("o").data[0], 12.5 / 3.5, 1e-12);
  EXPECT_NEAR(outputs->at("h0").data[0], 12.5, 1e-12);
}

TEST(Lowering, LocationsAreThoseOfTheText) {
  Lowered lowered(oneInput());
  ASSERT_TRUE(lowered.module) << lowered.messages;
  EXPECT_NE(lowered.print(true).find("\"program.attn\":2:1"), std::string::npos) << lowered.print(true);
}

TEST(Lowering, DefaultsComeBeforeTheirInputs) {
  sema::Program program = oneInput();
  sema::Attention &attention = program.attentions[0];
  sema::Node constant;
  constant.real = 0.5;
  attention.nodes.push_back(constant);
  attention.declarations[0].role = sema::Role::Param;
  attention.declarations[0].defaultNode = 2;
  Lowered lowered(program);
  ASSERT_TRUE(lowered.module) << lowered.messages;
  EXPECT_NE(lowered.print().find("attn.input \"x\" param [T] fallback %0 : real [] : real [T]"), std::string::npos)
      << lowered.print();
}

TEST(Lowering, ContractsKeepTheirKnownBounds) {
  sema::Program program = oneInput();
  sema::Contract contract;
  contract.lower = sema::Bound{0, 0.0, true};
  contract.upper = sema::Bound{0, std::nullopt, false};
  program.attentions[0].declarations[0].contract = contract;
  Lowered lowered(program);
  ASSERT_TRUE(lowered.module);
  EXPECT_NE(lowered.print().find("within <above 0.000000e+00>"), std::string::npos) << lowered.print();
  EXPECT_EQ(lowered.messages, "not in this version: a bound that is known only at run time; the contract of 'x' is "
                              "kept without it\n");
}

TEST(Lowering, StaticAndNeededSizesEnterTheTable) {
  sema::Program program = oneInput();
  sema::Attention &attention = program.attentions[0];
  attention.axes[0].size = 4096; // given, but the kernel is not specialised to it
  attention.axes.resize(3);
  attention.axes[1].name = "D";
  attention.axes[1].size = 64;
  attention.axes[1].needsSize = true;
  attention.axes[2].name = "G";
  attention.axes[2].size = 2;
  attention.axes[2].isStatic = true;
  Lowered lowered(program);
  EXPECT_NE(lowered.print().find("axes [T, D : 64, G : 2]"), std::string::npos) << lowered.print();
}

TEST(Lowering, ErrorsOfPrograms) {
  sema::Program program = oneInput();
  program.attentions[0].declarations[0].role = sema::Role::Const;
  Lowered open(program);
  EXPECT_FALSE(open.module);
  EXPECT_EQ(open.messages, "const 'x' has no value\n");

  program = oneInput();
  program.attentions[0].axes[0].size = -1;
  program.attentions[0].axes[0].isStatic = true;
  Lowered negative(program);
  EXPECT_FALSE(negative.module);
  EXPECT_EQ(negative.messages, "axis T has the size -1; a size is at least 1\n");

  // A node whose type is not what the operation gives is refused.
  program = oneInput();
  sema::Node exp;
  exp.op = sema::Op::Exp;
  exp.operands = {0};
  program.attentions[0].nodes.insert(program.attentions[0].nodes.begin() + 1, exp);
  program.attentions[0].nodes[2].operands = {1};
  program.attentions[0].declarations[1].node = 2;
  Lowered wrong(program);
  EXPECT_FALSE(wrong.module);
  EXPECT_NE(wrong.messages.find("'attn.exp' op inferred type(s) '!attn.field<real [T]>' are incompatible"),
            std::string::npos)
      << wrong.messages;
}

// Every pointwise operation has the same word on both sides.
TEST(Lowering, WordsOfBothSidesAgree) {
  mlir::MLIRContext context;
  context.loadDialect<attn::AttnDialect>();
  for (int op = 0; op <= static_cast<int>(sema::Op::Output); ++op) {
    std::string name = "attn." + std::string(sema::toString(static_cast<sema::Op>(op)));
    EXPECT_TRUE(mlir::RegisteredOperationName::lookup(name, &context).has_value()) << name;
  }
  for (sema::ReduceKind kind : {sema::ReduceKind::Sum, sema::ReduceKind::Mean, sema::ReduceKind::Max,
                                sema::ReduceKind::Min, sema::ReduceKind::LogSumExp})
    EXPECT_TRUE(attn::symbolizeReduceKind(llvm::StringRef(sema::toString(kind))).has_value());
  for (sema::StatKind kind : {sema::StatKind::Lse, sema::StatKind::Max, sema::StatKind::Mass})
    EXPECT_TRUE(attn::symbolizeStatKind(llvm::StringRef(sema::toString(kind))).has_value());
  for (sema::ReadPoint point : {sema::ReadPoint::After, sema::ReadPoint::Decayed, sema::ReadPoint::Prev})
    EXPECT_TRUE(attn::symbolizeReadPoint(llvm::StringRef(sema::toString(point))).has_value());
  for (sema::StorageType type :
       {sema::StorageType::BF16, sema::StorageType::F16, sema::StorageType::F32, sema::StorageType::I32})
    EXPECT_TRUE(attn::symbolizeStorage(llvm::StringRef(sema::toString(type))).has_value());
}

} // namespace
