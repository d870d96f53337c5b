// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A variant that is compiled when the program runs: just_in_time [--emulator]. A window of three tokens with a penalty
// by distance, checked against a loop. Links the compiler.
#include <fovea/compiler.hpp>
#include <fovea/emulator.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr const char *kText = R"(fovea 1

attention window_of_three {
  axis B, T, H, D, V
  axis S keys T
  static D, V

  input q : [B, T, H, D]
  input k : [B, S, H, D]
  input v : [B, S, H, V]

  let p = weights over S {
    score: dot[D](q[i], k[j]) * D^-0.5 - 0.25 * (i - j)
    where: j <= i and i - j < 3
  }
  output o = p(v)
}
)";

constexpr int kTokens = 40, kWidth = 16;
constexpr std::size_t kElements = kTokens * kWidth, kBytes = kElements * sizeof(float);

int complain(const char *what, const std::string &why) {
  std::fprintf(stderr, "%s: %s\n", what, why.c_str());
  return 1;
}

/// What the text says, as a loop.
std::vector<float> expected(const std::vector<float> &q, const std::vector<float> &k, const std::vector<float> &v) {
  std::vector<float> o(kElements);
  for (int i = 0; i < kTokens; ++i) {
    double sum = 0, values[kWidth] = {};
    for (int j = i < 2 ? 0 : i - 2; j <= i; ++j) {
      double score = -0.25 * (i - j);
      for (int d = 0; d < kWidth; ++d)
        score += q[i * kWidth + d] * k[j * kWidth + d] / std::sqrt(kWidth);
      double weight = std::exp(score);
      sum += weight;
      for (int d = 0; d < kWidth; ++d)
        values[d] += weight * v[j * kWidth + d];
    }
    for (int d = 0; d < kWidth; ++d)
      o[i * kWidth + d] = static_cast<float>(values[d] / sum);
  }
  return o;
}

} // namespace

int main(int argc, char **argv) {
  fovea::CompileOptions options;
  options.type = "f32";
  options.sets = {"D=16", "V=16"};
  auto compiled = fovea::compile_text(kText, "window_of_three.attn", options);
  if (!compiled)
    return complain("compile", compiled.failure().text); // file, line, column and remedy
  fovea_device *raw = nullptr;
  bool emulator = argc > 1 && std::strcmp(argv[1], "--emulator") == 0;
  if ((emulator ? fovea_emulator_open(nullptr, &raw) : fovea_device_open(nullptr, &raw)) != FOVEA_OK)
    return complain("device", fovea_last_error());
  fovea::Device device(raw);
  auto kernel = compiled->plan.prepare(device);
  if (!kernel)
    return complain("prepare", kernel.failure().text);
  auto call = kernel->bind({"q", "k", "v", "o"});
  if (!call)
    return complain("bind", call.failure().text);

  std::vector<float> host[3];
  std::vector<fovea::Tensor> tensors;
  for (int t = 0; t < 4; ++t) {
    auto memory = device.allocate(kBytes);
    if (!memory)
      return complain("memory", memory.failure().text);
    tensors.push_back({*memory, FOVEA_F32, {1, kTokens, 1, kWidth}});
    if (t == 3)
      break;
    for (std::size_t i = 0; i < kElements; ++i)
      host[t].push_back(static_cast<float>(std::sin(static_cast<double>(i) * (0.3 + 0.4 * t) + t)));
    if (!device.upload(*memory, host[t].data(), kBytes))
      return complain("upload", fovea_last_error());
  }
  auto bytes = call->workspaceSize(tensors);
  if (!bytes || !call->reserve(*bytes))
    return complain("workspace", fovea_last_error());
  if (!call->launch(nullptr, tensors))
    return complain("launch", fovea_last_error());
  std::vector<float> got(kElements), want = expected(host[0], host[1], host[2]);
  if (!device.download(got.data(), tensors[3].data, kBytes))
    return complain("download", fovea_last_error());
  for (std::size_t i = 0; i < kElements; ++i)
    if (!(std::abs(got[i] - want[i]) <= 1e-4f))
      return complain("result",
                      "o[" + std::to_string(i) + "] is " + std::to_string(got[i]) + ", not " + std::to_string(want[i]));
  for (const fovea::Tensor &tensor : tensors)
    (void)device.free(tensor.data);
  std::printf("compiled in %.0f ms and checked: good\n", compiled->milliseconds);
  return 0;
}
