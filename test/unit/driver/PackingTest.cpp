// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sequences one behind the other: their offsets, the way to packed arrays and back, and what wrong offsets do.
#include "frontend/driver/Packing.h"
#include "frontend/driver/Check.h"
#include "runtime/emulator_device/EmulatorDevice.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "gtest/gtest.h"

using namespace fovea;
using namespace fovea::driver;

namespace {

SourceText linear() {
  return {"linear.attn", "fovea 1\n"
                         "attention linear causal {\n"
                         "  axis B, T, H, K, V\n"
                         "  static K, V\n"
                         "  input q, k : [B, T, H, K]\n"
                         "  input v : [B, T, H, V]\n"
                         "  carry h : f32 [B, H, K, V]\n"
                         "  state S[K, V] = recur over T { key: k; value: v; initial: h }\n"
                         "  output o = read(S, q)\n"
                         "}\n"
                         "storage packed { B, T : ragged(offsets: i32 [B + 1], max: T) }\n"};
}

SourceText weights() {
  return {"weights.attn", "fovea 1\n"
                          "attention weights causal {\n"
                          "  axis B, T, H, D\n"
                          "  static D\n"
                          "  input q : [B, T, H, D]\n"
                          "  input k, v : [B, H, T, D]\n"
                          "  input g : f32 [H, T]\n"
                          "  let p = weights over T { score: dot[D](q[i], k[j]) + g[j]; where: j <= i }\n"
                          "  output o = p(v)\n"
                          "}\n"
                          "storage packed { B, T : ragged(offsets: i32 [B + 1], max: T) }\n"};
}

CompileOptions packed(const char *feature, Stage last) {
  CompileOptions options;
  options.sets = {{feature, "16"}};
  options.storage = "packed";
  options.last = last;
  return options;
}

runtime::Array offsetsOf(const std::vector<double> &values) {
  return *runtime::Array::fromDoubles(runtime::StorageType::I32, {static_cast<int64_t>(values.size())}, values);
}

TEST(Packing, TheInterfaceHasRowsOfAllSequences) {
  Compiler compiler;
  auto compiled = compiler.compile(weights(), packed("D", Stage::Attn));
  ASSERT_TRUE(compiled->ok()) << compiled->diagnostics().render();
  std::string text;
  for (const runtime::PlanTensor &tensor : compiled->interface.tensors) {
    text += tensor.name + ":";
    for (const runtime::PlanDim &dim : tensor.dims)
      text += " " + dim.display;
    text += "; ";
  }
  EXPECT_EQ(text, "q: total H D; k: H total D; v: H total D; g: H T; offsets: B_plus_1; o: total H D; ");
  Result<runtime::AxisSizes> sizes =
      runtime::inferAxes(compiled->interface, {{"q", {9, 2, 16}}, {"offsets", {4}}}, {{"T", 7}});
  ASSERT_TRUE(sizes.ok());
  EXPECT_EQ(sizes->at("B"), 3);
  EXPECT_EQ(sizes->at("total"), 9);
}

TEST(Packing, AnUnknownStorageIsAnswered) {
  Compiler compiler;
  CompileOptions options = packed("D", Stage::Attn);
  options.storage = "pakced";
  auto compiled = compiler.compile(weights(), options);
  EXPECT_FALSE(compiled->ok());
  EXPECT_NE(compiled->diagnostics().render().find("--storage: 'weights' has no storage 'pakced'\n  there are: packed"),
            std::string::npos)
      << compiled->diagnostics().render();
}

TEST(Packing, TheFirstWrongOffsetIsNamed) {
  Compiler compiler;
  auto compiled = compiler.compile(weights(), packed("D", Stage::Attn));
  ASSERT_TRUE(compiled->ok());
  auto message = [&](const std::vector<double> &values) {
    Arrays arrays;
    arrays.emplace("offsets", offsetsOf(values));
    auto result = Sequences::fromOffsets(*compiled->attention, *compiled->layout, arrays, {{"T", 7}, {"total", 12}});
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(message({0, 5, 5, 12}), "");
  EXPECT_EQ(message({1, 5, 12}), "'offsets'[0] is 1; the first sequence begins at 0");
  EXPECT_EQ(message({-1, 5, 12}), "'offsets'[0] is -1; the first sequence begins at 0");
  EXPECT_EQ(message({0, 7, 5, 12}), "'offsets'[2] is 5, before 'offsets'[1], which is 7: offsets never fall");
  EXPECT_EQ(message({0, 6, 13}), "'offsets'[2] is 13, past the end: there are 12 rows on 'total'");
  EXPECT_EQ(message({0, 4, 12}), "'offsets'[2] is 12: sequence 1 has 8 tokens; 'T' allows 7");
  EXPECT_EQ(message({0, 5, 11}), "'offsets' ends at 11; there are 12 rows on 'total'");
  EXPECT_EQ(message({0}), "'offsets' has 1 offsets; one sequence has two");
  auto none = Sequences::fromOffsets(*compiled->attention, *compiled->layout, {}, {});
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().message, "the offsets 'offsets' are not given");
}

TEST(Packing, ToPackedArraysAndBack) {
  Compiler compiler;
  auto compiled = compiler.compile(weights(), packed("D", Stage::Attn));
  ASSERT_TRUE(compiled->ok());
  Arrays arrays;
  arrays.emplace("offsets", offsetsOf({0, 2, 2, 5}));
  auto sequences = Sequences::fromOffsets(*compiled->attention, *compiled->layout, arrays, {{"T", 3}, {"total", 5}});
  ASSERT_TRUE(sequences.ok());
  EXPECT_TRUE(sequences->isEmpty(1));
  EXPECT_FALSE(sequences->isEmpty(2));
  // k : [B, H, T, D], element b h t d is bhtd in decimal.
  std::vector<double> values;
  for (int b = 0; b < 3; ++b)
    for (int h = 0; h < 2; ++h)
      for (int t = 0; t < 3; ++t)
        for (int d = 0; d < 2; ++d)
          values.push_back(1000 * b + 100 * h + 10 * t + d);
  auto dense = runtime::Array::fromDoubles(runtime::StorageType::F32, {3, 2, 3, 2}, values);
  ASSERT_TRUE(dense.ok());
  auto rows = sequences->pack(*compiled->interface.findTensor("k"), *dense);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->shape(), (std::vector<int64_t>{2, 5, 2}));
  EXPECT_EQ(rows->toDoubles(), (std::vector<double>{0,   1,   10,  11,  2000, 2001, 2010, 2011, 2020, 2021,
                                                    100, 101, 110, 111, 2100, 2101, 2110, 2111, 2120, 2121}));
  reference::Tensor whole{rows->shape(), rows->toDoubles()};
  reference::Tensor last = sequences->take("k", whole, 2);
  EXPECT_EQ(last.shape, (std::vector<int64_t>{1, 2, 3, 2}));
  EXPECT_EQ(last.data, (std::vector<double>{2000, 2001, 2010, 2011, 2020, 2021, 2100, 2101, 2110, 2111, 2120, 2121}));
  EXPECT_TRUE(sequences->take("k", whole, 1).data.empty());
  reference::Tensor again{whole.shape, std::vector<double>(whole.data.size(), -1)};
  for (int64_t b = 0; b < 3; ++b)
    sequences->place("k", sequences->take("k", whole, b), b, again);
  EXPECT_EQ(again.data, whole.data);
  // Without a batch: what the sequence has of it.
  EXPECT_EQ(sequences->take("g", {{2, 3}, {1, 2, 3, 4, 5, 6}}, 0).data, (std::vector<double>{1, 2, 4, 5}));
}

TEST(Packing, DrawnSequencesAreOfEveryKind) {
  Compiler compiler;
  auto compiled = compiler.compile(weights(), packed("D", Stage::Attn));
  ASSERT_TRUE(compiled->ok());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Sequences sequences = Sequences::draw(*compiled->attention, *compiled->layout, {{"B", 5}, {"T", 70}}, seed);
    EXPECT_EQ(sequences.count(), 5);
    auto offsets = sequences.offsets();
    ASSERT_TRUE(offsets.ok());
    std::vector<double> values = offsets->at("offsets").toDoubles();
    bool none = false, all = false;
    for (size_t b = 0; b + 1 < values.size(); ++b) {
      none |= values[b + 1] == values[b];
      all |= values[b + 1] - values[b] == 70;
    }
    EXPECT_TRUE(none && all) << seed;
    EXPECT_EQ(sequences.sizes()["total"], values.back());
  }
}

/// Wrong offsets give wrong numbers, and no access outside the arrays, whatever they are.
TEST(Packing, WrongOffsetsStayInside) {
  Compiler compiler;
  auto compiled = compiler.compile(weights(), packed("D", Stage::Plan));
  ASSERT_TRUE(compiled->ok()) << compiled->diagnostics().render();
  runtime::EmulatorDeviceOptions options;
  options.emulator.checks = emulator::Checks::all();
  auto device = runtime::EmulatorDevice::create(options);
  ASSERT_TRUE(device.ok());
  Arrays inputs;
  for (const char *name : {"q", "k", "v"})
    inputs.emplace(name, *runtime::Array::create(runtime::StorageType::BF16, name[0] == 'q'
                                                                                 ? std::vector<int64_t>{90, 1, 16}
                                                                                 : std::vector<int64_t>{1, 90, 16}));
  inputs.emplace("g", *runtime::Array::create(runtime::StorageType::F32, {1, 70}));
  for (const std::vector<double> &offsets :
       {std::vector<double>{0, 70, 90}, {-40, 20, 90}, {0, 20, 1e6}, {80, 20, 10}, {2e9, 2e9, -2e9}, {90, 90, 90}}) {
    inputs.insert_or_assign("offsets", offsetsOf(offsets));
    for (size_t entry = 0; entry < compiled->plan->entries.size(); ++entry) {
      PlanRun run;
      run.entry = entry;
      auto outputs = runPlan(*compiled->plan, **device, inputs, {{"T", 70}}, &run);
      // Entries that do not serve these sizes are refused; none reads or writes beyond its arrays.
      std::string message = outputs ? std::string() : outputs.error().message;
      EXPECT_TRUE(message.empty() || message.find("guard") != std::string::npos) << message;
    }
  }
}

TEST(Packing, AStateBeginsWithEachSequence) {
  Compiler compiler;
  CheckOptions options;
  options.compile = packed("K", Stage::Plan);
  options.compile.sets["V"] = "16";
  options.level = Level::Tile;
  Checker checker(compiler, linear(), options);
  CheckCase each;
  each.sets = options.compile.sets;
  each.sizes = {{"B", 4}, {"T", 40}, {"H", 1}, {"K", 16}, {"V", 16}};
  CheckReport report = checker.run(each);
  EXPECT_TRUE(report.passed) << report.level << ": " << report.message;

  // Half of the rows only.
  options.tamper = [](Compilation &compilation) {
    for (Compilation *entry : compilation.entries())
      entry->expanded().walk([&](tile::SequenceOp op) {
        mlir::OpBuilder b(op);
        op.getTotalMutable().assign(mlir::arith::ShRUIOp::create(
            b, op.getLoc(), op.getTotal(), mlir::arith::ConstantIndexOp::create(b, op.getLoc(), 1)));
      });
  };
  Checker wrong(compiler, linear(), options);
  report = wrong.run(each);
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.level.substr(0, 4), "tile");
  EXPECT_NE(report.message.find("; offsets 0, "), std::string::npos) << report.message;
}

} // namespace
