// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The compiler as a library: from C++ expressions or text to a plan that runs in the same process, diagnostics as data,
// several threads at once.
#include "fovea/builder.hpp"
#include "fovea/compiler.hpp"
#include "fovea/emulator.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

namespace {

// Tests neither find what others kept nor leave anything behind.
[[maybe_unused]] const int kCacheOff = setenv("FOVEA_CACHE", "off", 1);

std::string gatedText() {
  using namespace fovea::spec;
  Attention a("gated", Claim::Causal);
  a.axes({"B", "T", "H", "D", "V"}).axis("S keys T").statics({"D", "V"});
  Expr q = a.input("q", {"B", "T", "H", "D"}, "f32"), k = a.input("k", {"B", "S", "H", "D"}, "f32");
  Expr v = a.input("v", {"B", "S", "H", "V"}, "f32"), z = a.input("z", {"B", "T", "H"}, "f32");
  Expr i = a.row(), j = a.key();
  Expr p =
      a.weights("p", "S", {{"score", dot({"D"}, q[i], k[j]) * pow(size("D"), -0.5)}, {"where", j <= i && i - j < 3}});
  a.output("o : f32 [B, T, H, V]", p(v) * sigmoid(z));
  return a.text();
}

fovea::CompileOptions sized() {
  fovea::CompileOptions options;
  options.sets = {"D=16", "V=16"};
  options.type = "f32";
  options.precision = "fma";
  return options;
}

fovea::Device emulator() {
  fovea_device *device = nullptr;
  EXPECT_EQ(fovea_emulator_open(nullptr, &device), FOVEA_OK) << fovea_last_error();
  return fovea::Device(device);
}

TEST(CompilerApi, RunsWhatItCompiled) {
  auto compiled = fovea::compile_text(gatedText(), "gated.attn", sized());
  ASSERT_TRUE(compiled) << compiled.failure().text;
  EXPECT_TRUE(compiled->warnings.empty());
  EXPECT_STREQ(compiled->plan.name(), "gated");
  EXPECT_GT(compiled->milliseconds, 0);

  fovea::Device device = emulator();
  auto kernel = compiled->plan.prepare(device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  auto call = kernel->bind({"q", "k", "v", "z", "o"});
  ASSERT_TRUE(call) << call.failure().text;

  constexpr int T = 5, D = 16;
  std::vector<float> q(T * D), k(T * D), v(T * D), z(T), o(T * D, NAN);
  for (int n = 0; n < T * D; ++n) {
    q[n] = std::sin(0.7f * n);
    k[n] = std::cos(0.3f * n);
    v[n] = std::sin(1.1f * n + 1);
  }
  for (int t = 0; t < T; ++t)
    z[t] = 0.5f * t - 1;
  auto give = [&](std::vector<float> &host) {
    auto memory = device.allocate(host.size() * 4);
    EXPECT_TRUE(memory);
    EXPECT_TRUE(device.upload(*memory, host.data(), host.size() * 4));
    return *memory;
  };
  void *dq = give(q), *dk = give(k), *dv = give(v), *dz = give(z), *dest = give(o);
  std::vector<fovea::Tensor> tensors{{dq, FOVEA_F32, {1, T, 1, D}},
                                     {dk, FOVEA_F32, {1, T, 1, D}},
                                     {dv, FOVEA_F32, {1, T, 1, D}},
                                     {dz, FOVEA_F32, {1, T, 1}},
                                     {dest, FOVEA_F32, {1, T, 1, D}}};
  auto bytes = call->workspaceSize(tensors);
  ASSERT_TRUE(bytes) << bytes.failure().text;
  ASSERT_TRUE(call->reserve(*bytes));
  auto launched = call->launch(nullptr, tensors);
  ASSERT_TRUE(launched) << launched.text();
  ASSERT_TRUE(device.download(o.data(), dest, o.size() * 4));
  for (int i = 0; i < T; ++i) {
    double weights[T], sum = 0;
    for (int j = std::max(0, i - 2); j <= i; ++j) {
      double score = 0;
      for (int d = 0; d < D; ++d)
        score += double(q[i * D + d]) * k[j * D + d];
      sum += weights[j] = std::exp(score / 4);
    }
    for (int d = 0; d < D; ++d) {
      double expected = 0;
      for (int j = std::max(0, i - 2); j <= i; ++j)
        expected += weights[j] / sum * v[j * D + d];
      EXPECT_NEAR(o[i * D + d], expected / (1 + std::exp(-z[i])), 1e-5);
    }
  }

  // The text of the plan is the same plan.
  auto again = fovea::Plan::parse(compiled->planText);
  ASSERT_TRUE(again) << again.failure().text;
  EXPECT_STREQ(again->signature(), compiled->plan.signature());
}

// A recurrence without text: key features that fade, and memory that is carried from call to call.
TEST(CompilerApi, BuildsARecurrence) {
  using namespace fovea::spec;
  Attention a("decayed", Claim::Causal);
  a.axes({"B", "T", "H", "K", "V"}).statics({"K", "V"});
  Expr q = a.input("q", {"B", "T", "H", "K"}, "f32"), k = a.input("k", {"B", "T", "H", "K"}, "f32");
  Expr v = a.input("v", {"B", "T", "H", "V"}, "f32"), f = a.input("f", {"B", "T", "H", "K"}, "f32");
  Expr h = a.carry("h", {"B", "H", "K", "V"});
  Expr s = a.state("S", "K", "V", "T", {{"key", k}, {"value", v}, {"decay", log_sigmoid(f)}, {"initial", h}});
  a.output("o : f32 [B, T, H, V]", read(s, q));
  fovea::CompileOptions options = sized();
  options.sets = {"K=16", "V=16"};
  auto compiled = fovea::compile_text(a.text(), "decayed.attn", options);
  ASSERT_TRUE(compiled) << compiled.failure().text;

  fovea::Device device = emulator();
  auto kernel = compiled->plan.prepare(device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  auto call = kernel->bind({"q", "k", "v", "f", "h", "o"});
  ASSERT_TRUE(call) << call.failure().text;
  constexpr int T = 6, D = 16;
  std::vector<std::vector<float>> host(4, std::vector<float>(T * D));
  for (size_t n = 0; n < host.size(); ++n)
    for (int x = 0; x < T * D; ++x)
      host[n][static_cast<size_t>(x)] = std::sin(0.3f * static_cast<float>(x * static_cast<int>(n + 2) + 1));
  std::vector<float> memory(D * D, 0.f), output(T * D, NAN);
  auto give = [&](const std::vector<float> &from) {
    auto at = device.allocate(from.size() * 4);
    EXPECT_TRUE(at);
    EXPECT_TRUE(device.upload(*at, from.data(), from.size() * 4));
    return *at;
  };
  std::vector<fovea::Tensor> tensors;
  for (const std::vector<float> &each : host)
    tensors.push_back({give(each), FOVEA_F32, {1, T, 1, D}});
  tensors.push_back({give(memory), FOVEA_F32, {1, 1, D, D}});
  tensors.push_back({give(output), FOVEA_F32, {1, T, 1, D}});
  auto bytes = call->workspaceSize(tensors);
  ASSERT_TRUE(bytes) << bytes.failure().text;
  ASSERT_TRUE(call->reserve(*bytes));
  double state[D][D] = {};
  for (int round = 0; round < 2; ++round) { // the second finds what the first left
    auto launched = call->launch(nullptr, tensors);
    ASSERT_TRUE(launched) << launched.text();
    ASSERT_TRUE(device.download(output.data(), tensors[5].data, output.size() * 4));
    for (int t = 0; t < T; ++t) {
      auto at = [&](size_t which, int d) { return double(host[which][static_cast<size_t>(t * D + d)]); };
      double expected[D] = {};
      for (int i = 0; i < D; ++i)
        for (int j = 0; j < D; ++j) {
          state[i][j] = state[i][j] / (1 + std::exp(-at(3, i))) + at(1, i) * at(2, j);
          expected[j] += at(0, i) * state[i][j];
        }
      for (int j = 0; j < D; ++j)
        ASSERT_NEAR(output[static_cast<size_t>(t * D + j)], expected[j], 2e-4) << round << " " << t << " " << j;
    }
  }
}

TEST(CompilerApi, DiagnosticsAreData) {
  std::string text = gatedText();
  text.replace(text.find("sigmoid"), 7, "sigmoit");
  auto compiled = fovea::compile_text(text, "gated.attn", sized());
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.failure().status, FOVEA_INVALID_ARGUMENT);
  ASSERT_EQ(compiled.failure().diagnostics.size(), 1u);
  const fovea::Diagnostic &d = compiled.failure().diagnostics[0];
  EXPECT_TRUE(d.isError);
  EXPECT_EQ(d.file, "gated.attn");
  EXPECT_EQ(text.substr(text.find("sigmoit"), 7), "sigmoit");
  EXPECT_GT(d.line, 10);
  EXPECT_EQ(d.endColumn - d.column, 7);
  EXPECT_EQ(d.suggestion, "sigmoid");
  EXPECT_NE(compiled.failure().text.find("sigmoit"), std::string::npos);
}

TEST(CompilerApi, SizesThatAreMissing) {
  auto compiled = fovea::compile_text(gatedText());
  ASSERT_FALSE(compiled);
  EXPECT_NE(compiled.failure().text.find("--set D="), std::string::npos) << compiled.failure().text;
}

TEST(CompilerApi, StorageOfAFile) {
  std::string text = gatedText() + "storage packed { B, T : ragged(offsets: i32 [B + 1], max: T) }\n";
  fovea::CompileOptions options = sized();
  options.storage = "packed";
  auto compiled = fovea::compile_text(text, "gated.attn", options);
  ASSERT_TRUE(compiled) << compiled.failure().text;
  EXPECT_NE(compiled->planText.find("\"offsets\""), std::string::npos);
  EXPECT_NE(compiled->planText.find("\"total\""), std::string::npos);
  options.storage = "paged";
  auto wrong = fovea::compile_text(text, "gated.attn", options);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.failure().text.find("'gated' has no storage 'paged'"), std::string::npos) << wrong.failure().text;

  // Callers of the first version know nothing of it.
  fovea_compiler *compiler = nullptr;
  ASSERT_EQ(fovea_compiler_open(&compiler), FOVEA_OK);
  fovea_compile_options older{};
  older.struct_size = offsetof(fovea_compile_options, storage);
  older.storage = "not read";
  const char *sets[] = {"D=16", "V=16"};
  older.sets = sets;
  older.set_count = 2;
  fovea_compilation *made = nullptr;
  ASSERT_EQ(fovea_compile_text(compiler, text.data(), text.size(), "gated.attn", &older, &made), FOVEA_OK);
  fovea_plan *plan = nullptr;
  EXPECT_EQ(fovea_compilation_plan(made, &plan), FOVEA_OK) << fovea_last_error();
  fovea_plan_close(plan);
  fovea_compilation_close(made);
  fovea_compiler_close(compiler);
}

TEST(CompilerApi, Misuse) {
  auto with = [](auto change) {
    fovea::CompileOptions options = sized();
    change(options);
    auto compiled = fovea::compile_text(gatedText(), "gated.attn", options);
    EXPECT_FALSE(compiled);
    return compiled ? std::string() : compiled.failure().text;
  };
  EXPECT_NE(with([](auto &o) { o.target = "sm_12"; }).find("target 'sm_12' is unknown"), std::string::npos);
  EXPECT_NE(with([](auto &o) { o.type = "int8"; }).find("type 'int8'"), std::string::npos);
  EXPECT_NE(with([](auto &o) { o.precision = "best"; }).find("precision 'best'"), std::string::npos);
  EXPECT_NE(with([](auto &o) { o.schedule = "fast"; }).find("fast"), std::string::npos);
  EXPECT_NE(with([](auto &o) { o.sets = {"D"}; }).find("D"), std::string::npos);
  EXPECT_NE(with([](auto &o) { o.attention = "other"; }).find("other"), std::string::npos);
  auto missing = fovea::compile_file("/nonexistent/x.attn");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.failure().status, FOVEA_NOT_FOUND);

  fovea_compiler *compiler = nullptr;
  EXPECT_EQ(fovea_compiler_open(nullptr), FOVEA_INVALID_ARGUMENT);
  ASSERT_EQ(fovea_compiler_open(&compiler), FOVEA_OK);
  fovea_compilation *made = nullptr;
  EXPECT_EQ(fovea_compile_text(compiler, nullptr, 3, "x", nullptr, &made), FOVEA_INVALID_ARGUMENT);
  fovea_compile_options options{};
  options.struct_size = 8;
  EXPECT_EQ(fovea_compile_text(compiler, "", 0, "x", &options, &made), FOVEA_INVALID_ARGUMENT);
  struct Newer {
    fovea_compile_options known;
    int64_t unknown;
  } newer{};
  newer.known.struct_size = sizeof newer;
  newer.unknown = 1;
  EXPECT_EQ(fovea_compile_text(compiler, "", 0, "x", &newer.known, &made), FOVEA_UNSUPPORTED);
  newer.unknown = 0;
  ASSERT_EQ(fovea_compile_text(compiler, "", 0, "x", &newer.known, &made), FOVEA_OK);
  fovea_plan *plan = nullptr;
  EXPECT_EQ(fovea_compilation_plan(made, &plan), FOVEA_INVALID_ARGUMENT);
  fovea_diagnostic diagnostic{};
  EXPECT_EQ(fovea_compilation_diagnostic(made, 0, &diagnostic), FOVEA_INVALID_ARGUMENT);
  diagnostic.struct_size = sizeof diagnostic;
  EXPECT_EQ(fovea_compilation_diagnostic(made, 99, &diagnostic), FOVEA_INVALID_ARGUMENT);
  EXPECT_EQ(fovea_compilation_diagnostic(made, 0, &diagnostic), FOVEA_OK);
  fovea_compilation_close(made);
  fovea_compiler_close(compiler);
  fovea_compilation_close(nullptr);
  fovea_compiler_close(nullptr);
}

TEST(CompilerApi, FindsPlansAgain) {
  std::string folder = ::testing::TempDir() + "fovea-compiler-api-" + std::to_string(::getpid());
  ASSERT_EQ(setenv("FOVEA_CACHE", folder.c_str(), 1), 0);
  auto first = fovea::compile_text(gatedText(), "gated.attn", sized());
  ASSERT_TRUE(first) << first.failure().text;
  // Another spelling of the same meaning.
  auto second = fovea::compile_text(gatedText() + "\n# the same\n", "gated.attn", sized());
  ASSERT_TRUE(second) << second.failure().text;
  EXPECT_EQ(first->planText, second->planText);
  EXPECT_LT(second->milliseconds, first->milliseconds / 2);
  auto other = sized();
  other.target = "sm_90";
  auto third = fovea::compile_text(gatedText(), "gated.attn", other);
  ASSERT_TRUE(third) << third.failure().text;
  EXPECT_STREQ(third->plan.target(), "sm_90");
  std::printf("cold %.1f ms, warm %.1f ms\n", first->milliseconds, second->milliseconds);
  ASSERT_EQ(setenv("FOVEA_CACHE", "off", 1), 0);
  std::filesystem::remove_all(folder);
}

// What a compiler has compiled it knows by the text, and by the meaning; it looks at imported files again.
TEST(CompilerApi, KnowsWhatItCompiled) {
  std::string folder = ::testing::TempDir() + "fovea-compiler-knows-" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  ASSERT_EQ(setenv("FOVEA_CACHE", (folder + "/cache").c_str(), 1), 0);
  auto write = [&](const std::string &name, const std::string &text) { std::ofstream(folder + "/" + name) << text; };
  write("gate.attn", "fovea 1\nmap half(x : real) -> real {\n  x * 0.5\n}\n");
  std::string text = gatedText();
  text.replace(text.find("fovea 1\n"), 8, "fovea 1\nimport \"gate\" (half)\n");
  text.replace(text.find("sigmoid(z)"), 10, "half(z)");
  text.insert(text.find("  input z"), "  input unused : f32 [B, T, H]\n"); // a warning
  auto compiler = fovea::Compiler::open();
  auto compile = [&](const std::string &text) {
    auto compiled = compiler->text(text, folder + "/gated.attn", sized());
    EXPECT_TRUE(compiled) << compiled.failure().text;
    return compiled;
  };
  auto first = compile(text), second = compile(text);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->planText, second->planText);
  EXPECT_STREQ(first->plan.signature(), second->plan.signature());
  EXPECT_LT(second->milliseconds, 5);
  ASSERT_EQ(first->warnings.size(), 1u);
  ASSERT_EQ(second->warnings.size(), 1u) << "the same is said again";
  EXPECT_EQ(first->warnings[0].rendered, second->warnings[0].rendered);
  // In memory alone.
  std::filesystem::remove_all(folder + "/cache");
  auto third = compile(text + "\n# the same\n");
  ASSERT_TRUE(third);
  EXPECT_EQ(third->planText, first->planText);
  EXPECT_FALSE(std::filesystem::exists(folder + "/cache")) << "nothing was compiled, so nothing was kept";
  // Another meaning by an imported file.
  write("gate.attn", "fovea 1\nmap half(x : real) -> real {\n  x * 0.25\n}\n");
  auto changed = compile(text);
  ASSERT_TRUE(changed);
  EXPECT_NE(changed->planText, first->planText);
  std::filesystem::remove(folder + "/gate.attn");
  auto missing = compiler->text(text, folder + "/gated.attn", sized());
  EXPECT_FALSE(missing);
  // Options are part of what is asked for.
  write("gate.attn", "fovea 1\nmap half(x : real) -> real {\n  x * 0.25\n}\n");
  auto other = sized();
  other.target = "sm_90";
  auto newer = compiler->text(text, folder + "/gated.attn", other);
  ASSERT_TRUE(newer);
  EXPECT_STREQ(newer->plan.target(), "sm_90");
  // Off is off.
  ASSERT_EQ(setenv("FOVEA_CACHE", "off", 1), 0);
  auto again = compile(text);
  ASSERT_TRUE(again);
  EXPECT_GT(again->milliseconds, 5) << "compiled anew";
  std::filesystem::remove_all(folder);
}

TEST(CompilerApi, ThreadsShareACompiler) {
  auto compiler = fovea::Compiler::open();
  ASSERT_TRUE(compiler);
  std::vector<std::thread> threads;
  std::vector<std::string> plans(4);
  for (size_t n = 0; n < plans.size(); ++n)
    threads.emplace_back([&, n] {
      auto compiled = compiler->text(gatedText(), "gated.attn", sized());
      if (compiled)
        plans[n] = compiled->planText;
    });
  for (std::thread &thread : threads)
    thread.join();
  for (const std::string &plan : plans) {
    EXPECT_FALSE(plan.empty());
    EXPECT_EQ(plan, plans[0]);
  }
}

} // namespace
