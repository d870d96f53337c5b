// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How far recurrences may be from float64, as numbers rather than as a tolerance that follows from the specification:
// all examples with a state, ordinary inputs, states that are not 0 in the beginning, lengths around a chunk and 4,096
// tokens; and a thousand calls of one token each from what a prefill left behind.
#include "frontend/driver/Compiler.h"
#include "frontend/driver/Inputs.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Compare.h"
#include "runtime/host/Execute.h"

#include "gtest/gtest.h"

#include <chrono>
#include <cstdlib>

using namespace fovea;
using namespace fovea::driver;
using runtime::Array;

namespace {

struct System {
  const char *name, *sets; // the example; sizes that a compilation needs, options
  bool erases = false;
  uint64_t seed = 1; // one whose terms do not cancel in a row, which a norm behind would show in full
};

std::ostream &operator<<(std::ostream &out, const System &system) { return out << system.name << " " << system.sets; }

constexpr const char *kKeys = "K=32,V=32", *kGroups = "K=32,V=32,G=2", *kDims = "D=32,V=32", *kHeads = "K=32,V=32,H=2";
const System kSystems[] = {
    {"deltanet", kKeys, true},
    {"ela", kDims},
    {"ela", "D=32,V=32,kernel=sum"},
    {"gated_deltanet", kGroups, true},
    {"gated_deltanet2", kGroups, true},
    {"gla", kKeys},
    {"hedgehog", kDims},
    {"hgrn", "D=32"},
    {"hgrn2", kKeys},
    {"hydra_attn", kDims},
    {"kda", kGroups, true},
    {"kda", "K=32,V=32,G=1,gate=bounded", true},
    {"lawcat", "D=32,E=16,V=32,G=2"},
    {"liger", "D=32,V=32,G=2"},
    {"lightning", kKeys},
    {"lizard", "D=32,V=32,M=16"},
    {"lolcats", kDims},
    {"low_rank_gate", kKeys},
    {"mamba2", "N=32,P=32,M=2", false, 2},
    {"mlstm", kKeys},
    {"nats_l", kKeys, true},
    {"retnet", kKeys},
    {"rwkv6", kKeys},
    {"tnl", kHeads},
    {"transnormer", kHeads},
    {"vig", kKeys},
};

/// An example, compiled, with a device to run it on.
class Runner {
public:
  Runner(const System &system, const std::string &type) {
    CompileOptions options;
    options.type = type;
    EXPECT_TRUE(parseSets(system.sets, options.sets).ok());
    Result<SourceText> source = readSource(std::string(FOVEA_SOURCE_DIR "/examples/") + system.name + ".attn");
    EXPECT_TRUE(source.ok());
    static Compiler compiler;
    compilation = compiler.compile(*source, options);
    EXPECT_TRUE(compilation->ok()) << compilation->diagnostics().render();
    device = std::move(*runtime::EmulatorDevice::create());
    loaded.emplace(std::move(*runtime::LoadedPlan::load(*compilation->plan, *device)));
  }
  const sema::Attention &attention() const { return *compilation->attention; }
  const runtime::Plan &plan() const { return *compilation->plan; }

  /// Of one batch and so many tokens.
  runtime::AxisSizes sizesOf(int64_t tokens) const {
    runtime::AxisSizes sizes, derived;
    for (sema::AxisId id = 0; id < attention().axes.size(); ++id) {
      const sema::Axis &axis = attention().axes[id];
      if (!isDerived(axis))
        sizes[axis.name] = axis.size                                    ? *axis.size
                           : useOf(attention(), id) == AxisUse::Queries ? tokens
                           : axis.relation == sema::AxisRelation::Keys  ? tokens
                                                                        : 1;
    }
    for (sema::AxisId id = 0; id < attention().axes.size(); ++id) // sums and blocks of others
      if (const sema::Axis &axis = attention().axes[id]; isDerived(axis))
        if (std::optional<int64_t> size = sizeOf(attention(), id, sizes))
          derived[axis.name] = *size;
    for (const runtime::PlanAxis &axis : compilation->interface.axes)
      if (!sizes.count(axis.name) && derived.count(axis.name))
        sizes[axis.name] = derived[axis.name];
    return sizes;
  }

  Arrays draw(int64_t tokens, uint64_t seed) const {
    Result<Arrays> inputs = drawInputs(attention(), compilation->interface, sizesOf(tokens), Pattern::Normal, seed);
    EXPECT_TRUE(inputs.ok()) << inputs.error().message;
    return std::move(*inputs);
  }

  /// All that a call writes.
  Arrays run(const Arrays &inputs, int64_t tokens) {
    runtime::ExecuteRequest request;
    for (const auto &[name, array] : inputs)
      request.inputs[name] = &array;
    request.axes = sizesOf(tokens);
    for (const runtime::PlanAxis &axis : plan().axes)
      if (axis.derived || axis.staticSize)
        request.axes.erase(axis.name);
    Result<runtime::ExecuteResult> result = runtime::execute(*loaded, request);
    EXPECT_TRUE(result.ok()) << result.error().message;
    return result ? std::move(result->outputs) : Arrays();
  }

  reference::Tensors reference(const Arrays &inputs, int64_t tokens) const {
    runtime::AxisSizes given = sizesOf(tokens);
    auto sizes = reference::inferSizes(compilation->attn(), {}, {given.begin(), given.end()});
    EXPECT_TRUE(bool(sizes));
    auto result = reference::evaluate(compilation->attn(), *sizes, toTensors(inputs));
    EXPECT_TRUE(bool(result));
    return std::move(*result);
  }

  std::unique_ptr<Compilation> compilation;
  std::unique_ptr<runtime::EmulatorDevice> device;
  std::optional<runtime::LoadedPlan> loaded;
};

double distance(const std::vector<double> &got, const std::vector<double> &want) {
  Result<runtime::Comparison> comparison = runtime::compare(got, want, {});
  EXPECT_TRUE(comparison.ok());
  EXPECT_EQ(comparison->nanCount + comparison->referenceNanCount + comparison->infinityMismatches, 0);
  return comparison->relative2;
}

double limitOf(const System &system, const std::string &type, runtime::TensorRole role) {
  if (type == "f32")
    return 1e-5;
  return system.erases && role == runtime::TensorRole::Output ? 7e-3 : 5e-3;
}

class States : public testing::TestWithParam<System> {
protected:
  /// What FOVEA_SECONDS leaves no time for is skipped.
  void SetUp() override {
    static const auto begin = std::chrono::steady_clock::now();
    const char *seconds = std::getenv("FOVEA_SECONDS");
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    if (seconds && passed.count() > std::atof(seconds))
      GTEST_SKIP() << "no time left";
  }
};

TEST_P(States, AreNearFloat64) {
  constexpr int64_t kChunk = 64;
  for (const char *type : {"bf16", "f32"}) {
    Runner runner(GetParam(), type);
    for (int64_t tokens : {int64_t{1}, kChunk - 1, kChunk, kChunk + 1, 3 * kChunk + 7, int64_t{4096}}) {
      const Arrays inputs = runner.draw(tokens, GetParam().seed);
      const Arrays got = runner.run(inputs, tokens);
      const reference::Tensors want = runner.reference(inputs, tokens);
      for (const runtime::PlanTensor &tensor : runner.plan().tensors) {
        if (!runtime::isWritten(tensor.role))
          continue;
        const double error = distance(got.at(tensor.name).toDoubles(), want.at(tensor.name).data);
        EXPECT_LE(error, limitOf(GetParam(), type, tensor.role)) << tensor.name << " " << type << " T=" << tokens;
        if (std::getenv("FOVEA_VERBOSE"))
          std::printf("%s %s T=%ld %s %.2e\n", GetParam().name, type, long(tokens), tensor.name.c_str(), error);
      }
    }
  }
}

/// What of an array belongs to some tokens.
Array slice(const Array &whole, int64_t dim, int64_t begin, int64_t count) {
  std::vector<int64_t> shape = whole.shape();
  int64_t inner = 1, length = shape[dim];
  for (size_t d = dim + 1; d < shape.size(); ++d)
    inner *= shape[d];
  shape[dim] = count;
  Array part = *Array::create(whole.type(), shape);
  for (int64_t i = 0; i < part.elements(); ++i) {
    const int64_t outer = i / (count * inner), rest = i % (count * inner);
    part.setValue(i, whole.value((outer * length + begin) * inner + rest));
  }
  return part;
}

TEST_P(States, AreContinuedByCallsOfOneToken) {
  constexpr int64_t kPrefill = 77, kSteps = 1000;
  for (const char *type : {"bf16", "f32"}) {
    Runner runner(GetParam(), type);
    bool carries = false;
    for (const runtime::PlanTensor &tensor : runner.plan().tensors)
      carries |= tensor.role == runtime::TensorRole::Carry;
    if (!carries)
      GTEST_SKIP() << "carries nothing from one call to the next";
    const Arrays inputs = runner.draw(kPrefill + kSteps, 2);
    const reference::Tensors want = runner.reference(inputs, kPrefill + kSteps);
    std::map<std::string, int64_t> tokenOf; // the dimension
    for (const runtime::PlanTensor &tensor : runner.plan().tensors)
      for (size_t d = 0; d < tensor.dims.size(); ++d)
        if (tensor.dims[d].display == "T")
          tokenOf[tensor.name] = int64_t(d);
    Arrays own = inputs; // carries go from call to call
    std::map<std::string, std::vector<double>> got;
    for (int64_t at = 0; at < kPrefill + kSteps;) {
      const int64_t count = at == 0 ? kPrefill : 1;
      for (const auto &[name, dim] : tokenOf)
        if (inputs.count(name))
          own.insert_or_assign(name, slice(inputs.at(name), dim, at, count));
      if (own.count("start")) // the position of the first token of a call
        own.at("start").setValue(0, double(at) + inputs.at("start").value(0));
      Arrays results = runner.run(own, count);
      ASSERT_FALSE(testing::Test::HasFailure());
      for (auto &[name, array] : results)
        if (runner.plan().findTensor(name)->role == runtime::TensorRole::Carry) {
          own.insert_or_assign(name, std::move(array));
        } else {
          ASSERT_EQ(tokenOf.at(name), 1); // of one batch: the tokens one behind the other
          std::vector<double> values = array.toDoubles();
          got[name].insert(got[name].end(), values.begin(), values.end());
        }
      at += count;
    }
    for (const runtime::PlanTensor &tensor : runner.plan().tensors) {
      if (!runtime::isWritten(tensor.role))
        continue;
      bool isCarry = tensor.role == runtime::TensorRole::Carry;
      const double error =
          distance(isCarry ? own.at(tensor.name).toDoubles() : got.at(tensor.name), want.at(tensor.name).data);
      EXPECT_LE(error, limitOf(GetParam(), type, tensor.role)) << tensor.name << " " << type;
      if (std::getenv("FOVEA_VERBOSE"))
        std::printf("%s %s decode %s %.2e\n", GetParam().name, type, tensor.name.c_str(), error);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Examples, States, testing::ValuesIn(kSystems), [](const auto &info) {
  return std::string(info.param.name) + "_" + std::to_string(info.index);
});

} // namespace
