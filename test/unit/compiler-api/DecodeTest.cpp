// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Decoding: a thousand calls of one token each, from the memory that a prefill left, give what one call over all tokens
// gives.
#include "fovea/compiler.hpp"
#include "fovea/emulator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

namespace {

constexpr int64_t kHeads = 2, kKeys = 16, kValues = 16, kPrefill = 77, kSteps = 1000, kTokens = kPrefill + kSteps;

uint16_t bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
float wide(uint16_t value) {
  uint32_t bits = uint32_t(value) << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

struct Memory {
  fovea::Device &device;
  std::vector<unsigned char> host; // the elements, all tokens
  int64_t perToken;                // bytes
  void *data;
  /// A tensor that begins at a token.
  fovea::Tensor at(fovea_type type, int64_t token, int64_t count, int64_t width) const {
    void *from = static_cast<unsigned char *>(data) + token * perToken;
    return width ? fovea::Tensor(from, type, {1, count, kHeads, width}) : fovea::Tensor(from, type, {1, count, kHeads});
  }
};

TEST(Decode, ContinuesAPrefill) {
  const char *text = R"(fovea 1
attention gated_delta causal {
  axis B, T, H, K, V
  static K, V
  input q, k : [B, T, H, K]
  input v : [B, T, H, V]
  input g : f32 [B, T, H] <= 0
  input beta : f32 [B, T, H] in [0, 1]
  carry h : f32 [B, H, K, V] optional
  let kn = l2norm[K](k)
  state S[K, V] = recur over T { key: kn; value: beta * v; decay: g; erase: beta * kn; initial: h }
  output o : f32 [B, T, H, V] = read(S, l2norm[K](q))
}
)";
  fovea::CompileOptions options;
  options.sets = {"K=16", "V=16"};
  auto compiled = fovea::compile_text(text, "gated_delta.attn", options);
  ASSERT_TRUE(compiled) << compiled.failure().text;
  fovea_device *raw = nullptr;
  ASSERT_EQ(fovea_emulator_open(nullptr, &raw), FOVEA_OK) << fovea_last_error();
  fovea::Device device(raw);
  auto kernel = compiled->plan.prepare(device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  auto call = kernel->bind({"q", "k", "v", "g", "beta", "h", "o"});
  ASSERT_TRUE(call) << call.failure().text;

  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  auto make = [&](int64_t perToken, size_t size, auto draw) {
    Memory memory{device, std::vector<unsigned char>(kTokens * perToken * size), perToken * int64_t(size), nullptr};
    for (int64_t n = 0; n < kTokens * perToken; ++n)
      draw(memory.host.data() + n * int64_t(size));
    auto data = device.allocate(memory.host.size());
    EXPECT_TRUE(data);
    memory.data = *data;
    EXPECT_TRUE(device.upload(memory.data, memory.host.data(), memory.host.size()));
    return memory;
  };
  auto half = [&](unsigned char *to) {
    uint16_t value = bf16(normal(random));
    std::memcpy(to, &value, 2);
  };
  auto single = [&](auto function) {
    return [&random, &normal, function](unsigned char *to) {
      float value = function(normal(random));
      std::memcpy(to, &value, 4);
    };
  };
  Memory q = make(kHeads * kKeys, 2, half), k = make(kHeads * kKeys, 2, half), v = make(kHeads * kValues, 2, half);
  Memory g = make(kHeads, 4, single([](float x) { return -std::log1p(std::exp(x)) / 16; }));
  Memory beta = make(kHeads, 4, single([](float x) { return 1 / (1 + std::exp(-x)); }));
  Memory o = make(kHeads * kValues, 4, single([](float) { return NAN; }));

  constexpr size_t kStateBytes = kHeads * kKeys * kValues * 4;
  auto state = device.allocate(kStateBytes);
  ASSERT_TRUE(state);
  auto run = [&](int64_t token, int64_t count) {
    fovea::Tensor carried(*state, FOVEA_F32, {1, kHeads, kKeys, kValues});
    std::vector<fovea::Tensor> tensors{q.at(FOVEA_BF16, token, count, kKeys),   k.at(FOVEA_BF16, token, count, kKeys),
                                       v.at(FOVEA_BF16, token, count, kValues), g.at(FOVEA_F32, token, count, 0),
                                       beta.at(FOVEA_F32, token, count, 0),     carried,
                                       o.at(FOVEA_F32, token, count, kValues)};
    auto bytes = call->workspaceSize(tensors);
    ASSERT_TRUE(bytes) << bytes.failure().text;
    ASSERT_TRUE(call->reserve(*bytes));
    auto launched = call->launch(nullptr, tensors);
    ASSERT_TRUE(launched) << launched.text();
  };
  auto start = [&] {
    std::vector<float> zero(kStateBytes / 4);
    ASSERT_TRUE(device.upload(*state, zero.data(), kStateBytes));
  };
  auto results = [&] {
    std::vector<float> values(o.host.size() / 4);
    EXPECT_TRUE(device.download(values.data(), o.data, o.host.size()));
    return values;
  };

  // The judge, in doubles.
  std::vector<double> expected(kTokens * kHeads * kValues);
  auto element = [&](const Memory &memory, int64_t index) {
    uint16_t value;
    std::memcpy(&value, memory.host.data() + index * 2, 2);
    return double(wide(value));
  };
  auto scalar = [&](const Memory &memory, int64_t index) {
    float value;
    std::memcpy(&value, memory.host.data() + index * 4, 4);
    return double(value);
  };
  for (int64_t h = 0; h < kHeads; ++h) {
    double s[kKeys][kValues] = {};
    for (int64_t t = 0; t < kTokens; ++t) {
      int64_t row = t * kHeads + h;
      double kk = 1e-6, qq = 1e-6, key[kKeys], query[kKeys];
      for (int64_t d = 0; d < kKeys; ++d) {
        key[d] = element(k, row * kKeys + d);
        query[d] = element(q, row * kKeys + d);
        kk += key[d] * key[d];
        qq += query[d] * query[d];
      }
      double decay = std::exp(scalar(g, row)), strength = scalar(beta, row);
      for (int64_t n = 0; n < kValues; ++n) {
        double held = 0, read = 0;
        for (int64_t d = 0; d < kKeys; ++d)
          held += (s[d][n] *= decay) * key[d] / std::sqrt(kk);
        double write = strength * (element(v, row * kValues + n) - held);
        for (int64_t d = 0; d < kKeys; ++d)
          read += (s[d][n] += key[d] / std::sqrt(kk) * write) * query[d] / std::sqrt(qq);
        expected[row * kValues + n] = read;
      }
    }
  }
  auto difference = [&](const std::vector<float> &values) {
    double off = 0, size = 0;
    for (size_t n = 0; n < values.size(); ++n) {
      off += (values[n] - expected[n]) * (values[n] - expected[n]);
      size += expected[n] * expected[n];
    }
    return std::sqrt(off / size);
  };

  start();
  run(0, kTokens);
  EXPECT_LE(difference(results()), 7e-3);
  start();
  run(0, kPrefill);
  for (int64_t t = kPrefill; t < kTokens; ++t)
    run(t, 1);
  EXPECT_LE(difference(results()), 7e-3);
}

/// Arrays of one type in the device's memory, all tokens of one sequence behind each other.
struct Array {
  fovea_type type;
  int64_t width; // elements of a head
  std::vector<unsigned char> host;
  void *data = nullptr;
  Array(fovea::Device &device, fovea_type type, int64_t rows, int64_t width)
      : type(type), width(width), host(rows * width * (type == FOVEA_F32 ? 4 : 2)) {
    auto allocated = device.allocate(host.size());
    EXPECT_TRUE(allocated);
    data = *allocated;
  }
  template <class Draw> void fill(fovea::Device &device, Draw draw) {
    for (size_t n = 0; n < host.size(); n += type == FOVEA_F32 ? 4 : 2) {
      float value = draw();
      uint16_t half = bf16(value);
      if (type == FOVEA_F32)
        std::memcpy(host.data() + n, &value, 4);
      else
        std::memcpy(host.data() + n, &half, 2);
    }
    EXPECT_TRUE(device.upload(data, host.data(), host.size()));
  }
  fovea::Tensor from(int64_t token, int64_t count) const {
    size_t size = type == FOVEA_F32 ? 4 : 2;
    return {static_cast<unsigned char *>(data) + token * kHeads * width * size, type, {1, count, kHeads, width}};
  }
};

// What convolutions and running sums read of the tokens before a call is carried from the call before, whatever the
// lengths of both are.
TEST(Decode, ContinuesConvolutionsAndSums) {
  const char *text = R"(fovea 1
attention tails causal {
  axis B, T, H, K, V
  axis P = 3
  static K, V
  input q, k : [B, T, H, K]
  input v : [B, T, H, V]
  param wq, wk : [H, K, 4]
  param start : i32 = 0
  carry h : f32 [B, H, K, V] optional
  carry qt, kt : [B, P, H, K] optional
  carry mass : f32 [B, H] optional
  let a = silu(conv[T](q, wq, qt))
  let b = rope(l2norm[K](silu(conv[T](k, wk, kt))), pos[T] + start)
  state S[K, V] = recur over T { key: b; value: v; decay: -0.1; initial: h }
  output o : f32 [B, T, H, V] = read(S, rope(a, pos[T] + start)) + cumsum[T](mean[V](v), mass) / (pos[T] + start + 1)
}
)";
  fovea::CompileOptions options;
  options.sets = {"K=16", "V=16"};
  auto compiled = fovea::compile_text(text, "tails.attn", options);
  ASSERT_TRUE(compiled) << compiled.failure().text;
  fovea_device *raw = nullptr;
  ASSERT_EQ(fovea_emulator_open(nullptr, &raw), FOVEA_OK) << fovea_last_error();
  fovea::Device device(raw);
  auto kernel = compiled->plan.prepare(device);
  ASSERT_TRUE(kernel) << kernel.failure().text;
  auto call = kernel->bind({"q", "k", "v", "wq", "wk", "start", "h", "qt", "kt", "mass", "o"});
  ASSERT_TRUE(call) << call.failure().text;

  constexpr int64_t kAll = 150;
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  auto draw = [&] { return normal(random); };
  Array q(device, FOVEA_BF16, kAll * kHeads, kKeys), k(device, FOVEA_BF16, kAll * kHeads, kKeys);
  Array v(device, FOVEA_BF16, kAll * kHeads, kValues), o(device, FOVEA_F32, kAll * kHeads, kValues);
  Array wq(device, FOVEA_BF16, kHeads * kKeys, 4), wk(device, FOVEA_BF16, kHeads * kKeys, 4);
  Array h(device, FOVEA_F32, kHeads * kKeys, kValues), qt(device, FOVEA_BF16, 3 * kHeads, kKeys);
  Array kt(device, FOVEA_BF16, 3 * kHeads, kKeys), mass(device, FOVEA_F32, kHeads, 1);
  for (Array *each : {&q, &k, &v, &wq, &wk})
    each->fill(device, draw);
  auto allocated = device.allocate(4);
  ASSERT_TRUE(allocated);
  void *start = *allocated;
  auto run = [&](int64_t token, int64_t count) {
    const auto first = static_cast<int32_t>(token);
    ASSERT_TRUE(device.upload(start, &first, 4));
    std::vector<fovea::Tensor> tensors{q.from(token, count),
                                       k.from(token, count),
                                       v.from(token, count),
                                       {wq.data, FOVEA_BF16, {kHeads, kKeys, 4}},
                                       {wk.data, FOVEA_BF16, {kHeads, kKeys, 4}},
                                       {start, FOVEA_I32, {}},
                                       {h.data, FOVEA_F32, {1, kHeads, kKeys, kValues}},
                                       {qt.data, FOVEA_BF16, {1, 3, kHeads, kKeys}},
                                       {kt.data, FOVEA_BF16, {1, 3, kHeads, kKeys}},
                                       {mass.data, FOVEA_F32, {1, kHeads}},
                                       o.from(token, count)};
    auto bytes = call->workspaceSize(tensors);
    ASSERT_TRUE(bytes) << bytes.failure().text;
    ASSERT_TRUE(call->reserve(*bytes));
    auto launched = call->launch(nullptr, tensors);
    ASSERT_TRUE(launched) << launched.text();
  };
  // Calls of these lengths, one after the other.
  auto results = [&](const std::vector<int64_t> &lengths) {
    for (Array *each : {&h, &qt, &kt, &mass})
      each->fill(device, [] { return 0.0f; });
    o.fill(device, [] { return NAN; });
    int64_t token = 0;
    for (int64_t length : lengths) {
      run(token, length);
      token += length;
    }
    std::vector<float> values(kAll * kHeads * kValues);
    EXPECT_TRUE(device.download(values.data(), o.data, o.host.size()));
    return values;
  };
  std::vector<float> whole = results({kAll});
  std::vector<int64_t> steps{100}, few{1, 2, 60, 3, 2, 17, 65};
  steps.insert(steps.end(), 50, 1);
  for (const std::vector<int64_t> &lengths : {steps, few}) {
    std::vector<float> parts = results(lengths);
    double off = 0, size = 0;
    for (size_t n = 0; n < whole.size(); ++n) {
      off += (parts[n] - whole[n]) * (parts[n] - whole[n]);
      size += whole[n] * whole[n];
    }
    EXPECT_LE(std::sqrt(off / size), 5e-3);
    EXPECT_GT(size, 0);
  }
}

} // namespace
