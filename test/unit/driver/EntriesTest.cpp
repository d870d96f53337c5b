// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Alternatives of a compilation as entries of its plan: which there are, which of them runs, and that results which
// shall not depend on the number of batches do not.
#include "frontend/driver/Check.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Execute.h"
#include "runtime/host/Random.h"
#include "test/unit/driver/Spec.h"

#include "gtest/gtest.h"

using namespace fovea;
using namespace fovea::driver;
using runtime::Array;

namespace {

SourceText grouped() {
  return {"grouped.attn", "fovea 1\n"
                          "attention grouped causal {\n"
                          "  axis B, T, D\n"
                          "  axis H = Hk * G\n"
                          "  axis S keys T\n"
                          "  static D, G\n"
                          "  input q : [B, T, H, D]\n"
                          "  input k, v : [B, S, Hk, D]\n"
                          "  let p = weights over S {\n"
                          "    score: dot[D](q[i], k[j]) * D^-0.5\n"
                          "    where: j <= i\n"
                          "  }\n"
                          "  output o = p(v)\n"
                          "  output lse = p.lse\n"
                          "}\n"};
}

CompileOptions options() {
  CompileOptions options;
  options.sets = {{"D", "32"}, {"G", "4"}};
  return options;
}

std::vector<std::string> names(Compilation &compilation) {
  std::vector<std::string> names;
  for (Compilation *entry : compilation.entries())
    names.push_back(entry->name);
  return names;
}

struct Runner {
  explicit Runner(const runtime::Plan &plan) : plan(plan) { device = std::move(*runtime::EmulatorDevice::create()); }

  /// q, k and v of `sizes`; batches beyond the first have values of their own.
  static Array draw(const std::string &name, std::vector<int64_t> shape) {
    Array array = *Array::create(runtime::StorageType::BF16, shape);
    int64_t each = array.elements() / shape[0];
    for (int64_t b = 0; b < shape[0]; ++b) {
      Array part = *Array::create(runtime::StorageType::BF16, {each});
      runtime::fillPattern(part, runtime::InputPattern::Normal, runtime::RandomStream(7, name + std::to_string(b)));
      for (int64_t i = 0; i < each; ++i)
        array.setValue(b * each + i, part.value(i));
    }
    return array;
  }

  runtime::ExecuteResult run(int64_t batches, int64_t queries, int64_t keys, std::optional<size_t> entry = {}) {
    Array q = draw("q", {batches, queries, 4, 32}), k = draw("k", {batches, keys, 1, 32}),
          v = draw("v", {batches, keys, 1, 32});
    runtime::ExecuteRequest request;
    request.inputs = {{"q", &q}, {"k", &k}, {"v", &v}};
    request.entry = entry;
    Result<runtime::ExecuteResult> result = runtime::execute(plan, *device, request);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result ? std::move(*result) : runtime::ExecuteResult();
  }

  const runtime::Plan &plan;
  std::unique_ptr<runtime::EmulatorDevice> device;
};

TEST(Entries, AreMadeWhereTheyApply) {
  Compiler compiler;
  auto both = compiler.compile(grouped(), options());
  ASSERT_TRUE(both->ok()) << both->diagnostics().render();
  EXPECT_EQ(names(*both), (std::vector<std::string>{"packed_split", "split", "packed", "", "narrow"}));
  EXPECT_TRUE(both->leftOut.empty());
  ASSERT_EQ(both->plan->entries.size(), 5u);
  EXPECT_EQ(both->plan->entries[0].launches.size(), 2u);
  EXPECT_EQ(both->plan->entries[3].launches[0].kernel, "grouped");
  EXPECT_EQ(both->plan->entries[2].launches[0].kernel, "grouped_packed");
  EXPECT_EQ(runtime::planVersion(*both->plan), 2);

  // Each head has keys of its own: nothing to pack.
  auto plain = compiler.compile(test::causal(), test::sized());
  ASSERT_TRUE(plain->ok()) << plain->diagnostics().render();
  EXPECT_EQ(names(*plain), (std::vector<std::string>{"split", "", "narrow"}));
  ASSERT_EQ(plain->leftOut.size(), 2u);
  EXPECT_EQ(plain->leftOut[1].name, "packed");
  EXPECT_EQ(plain->leftOut[1].why, "has no heads that share their keys");
  EXPECT_FALSE(plain->leftOut[1].refused);

  CompileOptions one = options();
  one.alternatives = false;
  EXPECT_EQ(names(*compiler.compile(grouped(), one)), std::vector<std::string>{""});
}

TEST(Entries, TheShapeChoosesAmongThem) {
  Compiler compiler;
  auto compilation = compiler.compile(grouped(), options());
  ASSERT_TRUE(compilation->ok());
  Runner runner(*compilation->plan);
  EXPECT_EQ(runner.run(1, 1, 1000).call.entry, 0u);  // one token, many keys
  EXPECT_EQ(runner.run(1, 1, 100).call.entry, 2u);   // too few keys for two parts
  EXPECT_EQ(runner.run(1, 128, 128).call.entry, 3u); // whole tiles without packing
  // The results agree up to the order of sums.
  runtime::ExecuteResult first = runner.run(2, 9, 700, 3);
  for (size_t entry : {0u, 1u, 2u, 4u}) {
    runtime::ExecuteResult other = runner.run(2, 9, 700, entry);
    EXPECT_EQ(other.call.entry, entry);
    std::vector<double> a = first.outputs.at("o").toDoubles(), b = other.outputs.at("o").toDoubles();
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], 0.01) << "entry " << entry << ", element " << i;
  }
  // A split over device-sized parts keeps to its bound: the work items of the device at once.
  EXPECT_LE(runner.run(1, 1, 20000, 1).workspaceBytes,
            int64_t{108} * compilation->chosen.workItemsPerSm * compilation->chosen.queryTile * (32 + 2) * 4);
}

TEST(Entries, TheLastDimensionHasNeighbours) {
  Compiler compiler;
  auto compilation = compiler.compile(grouped(), options());
  ASSERT_TRUE(compilation->ok());
  const runtime::Plan &plan = *compilation->plan;
  runtime::DeviceFacts facts;
  facts.smVersion = 80;
  facts.sms = 4;
  facts.maxSharedBytesPerBlock = 163 << 10;
  auto resolve = [&](int64_t heads, const std::string &name, size_t dim, int64_t stride) {
    std::vector<runtime::TensorView> views;
    for (const runtime::PlanTensor &tensor : plan.tensors) {
      runtime::AxisSizes axes = {{"B", 1}, {"T", 70}, {"S", 70}, {"Hk", heads}, {"G", 4}, {"D", 32}};
      std::vector<int64_t> shape = *runtime::tensorShape(plan, tensor, axes),
                           strides = runtime::contiguousStrides(shape);
      for (int64_t &each : strides) // room for any of them
        each *= tensor.name == name && &each != &strides.back() ? 4 : 1;
      if (tensor.name == name)
        strides[dim] = stride;
      views.push_back({tensor.type, shape, strides, 4096});
    }
    Result<runtime::ResolvedCall> call = runtime::resolveCall(plan, views, facts);
    return call ? "runs" : call.error().message;
  };
  for (const char *name : {"q", "k", "v", "o"}) {
    EXPECT_EQ(resolve(2, name, 3, 1), "runs");
    EXPECT_NE(resolve(2, name, 3, 2).find("was not compiled for these shapes, strides and addresses"),
              std::string::npos)
        << name << ": " << resolve(2, name, 3, 2);
  }
  EXPECT_NE(resolve(2, "lse", 2, 2).find("was not compiled for these"), std::string::npos) << resolve(2, "lse", 2, 2);
}

TEST(Entries, BatchInvariantResultsHaveTheSameBitsForEveryNumberOfBatches) {
  Compiler compiler;
  CompileOptions invariant = options();
  invariant.batchInvariant = true;
  auto compilation = compiler.compile(grouped(), invariant);
  ASSERT_TRUE(compilation->ok());
  for (const runtime::PlanEntry &entry : compilation->plan->entries) {
    std::vector<runtime::Expr> choice{entry.guard, entry.prefer};
    for (const runtime::Expr &expr : choice) {
      EXPECT_FALSE(expr.asksDevice()) << expr.text();
      EXPECT_EQ(std::count(expr.axes().begin(), expr.axes().end(), "B"), 0) << expr.text();
    }
    for (const runtime::PlanLaunch &launch : entry.launches)
      EXPECT_FALSE(launch.grid[0].asksDevice()) << launch.grid[0].text();
  }
  Runner runner(*compilation->plan);
  auto bits = [&](int64_t batches, int64_t queries, int64_t keys, size_t expected) {
    runtime::ExecuteResult result = runner.run(batches, queries, keys);
    EXPECT_EQ(result.call.entry, expected);
    std::vector<double> all = result.outputs.at("lse").toDoubles(), o = result.outputs.at("o").toDoubles();
    all.resize(static_cast<size_t>(queries * 4));
    all.insert(all.end(), o.begin(), o.begin() + queries * 4 * 32);
    return all;
  };
  EXPECT_EQ(bits(1, 1, 1500, 0), bits(3, 1, 1500, 0));
  EXPECT_EQ(bits(1, 5, 100, 2), bits(2, 5, 100, 2));
  EXPECT_EQ(bits(1, 128, 140, 3), bits(2, 128, 140, 3));

  // What may depend on the device does: the number of parts follows from the work items.
  auto free = compiler.compile(grouped(), options());
  ASSERT_TRUE(free->ok());
  EXPECT_TRUE(free->plan->entries[0].prefer.asksDevice());
}

} // namespace
