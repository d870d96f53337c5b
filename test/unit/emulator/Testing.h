// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Helpers of the emulator's tests: a kernel from a few lines of PTX, its parameters, one run.
#pragma once

#include "runtime/emulator/Emulator.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace fovea::emulator::test {

/// Parameter bytes: values in order, each at its natural alignment.
class Params {
public:
  template <typename T> Params &add(T value) {
    bytes_.resize((bytes_.size() + sizeof(T) - 1) / sizeof(T) * sizeof(T));
    bytes_.append(reinterpret_cast<const char *>(&value), sizeof(T));
    return *this;
  }
  const std::string &bytes() const { return bytes_; }

private:
  std::string bytes_;
};

/// A module with one kernel `k(.param .u64 a, .param .u64 b, .param .u64 c)` round `body`. Registers: %p<64>, %rs<64>,
/// %r<128>, %f<64>, %rd<64>, %fd<32>. %rd60, %rd61, %rd62 hold the parameters; %r127 is tid.x, %rd63 is 4*tid.x.
inline std::string kernelText(const std::string &body, const std::string &target = "sm_80", const std::string &version = "8.0",
                              const std::string &moduleText = "") {
  return ".version " + version + "\n.target " + target + "\n.address_size 64\n" + moduleText +
         "\n.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c)\n{\n"
         ".reg .pred %p<64>; .reg .b16 %rs<64>; .reg .b32 %r<128>; .reg .f32 %f<64>; .reg .b64 %rd<64>; .reg .f64 %fd<32>;\n"
         "ld.param.u64 %rd60, [a]; ld.param.u64 %rd61, [b]; ld.param.u64 %rd62, [c];\n"
         "mov.u32 %r127, %tid.x; mul.wide.u32 %rd63, %r127, 4;\n" +
         body + "\nret;\n}\n";
}

struct RunResult {
  bool ok = false;
  std::string error;
  LaunchReport report;
};

inline RunResult run(const std::string &text, Memory &memory, const Params &params, Dim3 grid = {}, Dim3 block = {32, 1, 1},
                     Options options = {}, uint32_t dynamicShared = 0, const std::string &kernel = "k") {
  RunResult result;
  auto module = parse(text);
  if (!module) {
    result.error = module.error().message;
    return result;
  }
  auto report = launch(*module, kernel, grid, block, dynamicShared, params.bytes(), memory, options);
  if (!report) {
    result.error = report.error().message;
    return result;
  }
  result.ok = true;
  result.report = std::move(*report);
  return result;
}

inline std::string describe(const RunResult &r) {
  std::string out = r.error;
  for (const Finding &f : r.report.findings)
    out += f.format() + "\n";
  return out;
}

/// Does a finding of this kind stand on the PTX line that contains `text`?
inline bool found(const LaunchReport &report, FindingKind kind, const std::string &text) {
  for (const Finding &f : report.findings)
    if (f.kind == kind && f.text.find(text) != std::string::npos)
      return true;
  return false;
}

inline std::string readFile(const std::string &path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline float bf16(uint16_t h) {
  const uint32_t bits = uint32_t(h) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
inline uint16_t toBf16(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline uint32_t bitsOf(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return bits;
}
inline float floatOf(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

} // namespace fovea::emulator::test
