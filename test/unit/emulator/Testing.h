// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Helpers of the emulator's tests: a kernel from a few lines of PTX, its parameters, one run.
#pragma once

#include "runtime/emulator/Emulator.h"

#include <gtest/gtest.h>

#include <array>
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
inline std::string kernelText(const std::string &body, const std::string &target = "sm_80",
                              const std::string &version = "8.0", const std::string &moduleText = "") {
  return ".version " + version + "\n.target " + target + "\n.address_size 64\n" + moduleText +
         "\n.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c)\n{\n"
         ".reg .pred %p<64>; .reg .b16 %rs<64>; .reg .b32 %r<128>; .reg .f32 %f<64>; .reg .b64 %rd<64>; .reg .f64 "
         "%fd<32>;\n"
         "ld.param.u64 %rd60, [a]; ld.param.u64 %rd61, [b]; ld.param.u64 %rd62, [c];\n"
         "mov.u32 %r127, %tid.x; mul.wide.u32 %rd63, %r127, 4;\n" +
         body + "\nret;\n}\n";
}

struct RunResult {
  bool ok = false;
  std::string error;
  LaunchReport report;
};

/// Every text that parsed: ptxas sees them all at the end, where it is there (Ptxas.cpp).
inline std::vector<std::string> &acceptedTexts() {
  static std::vector<std::string> texts;
  return texts;
}

inline RunResult run(const std::string &text, Memory &memory, const Params &params, Dim3 grid = {},
                     Dim3 block = {32, 1, 1}, Options options = {}, uint32_t dynamicShared = 0,
                     const std::string &kernel = "k") {
  RunResult result;
  auto module = parse(text);
  if (!module) {
    result.error = module.error().message;
    return result;
  }
  acceptedTexts().push_back(text);
  auto report = launch(*module, kernel, grid, block, dynamicShared, params.bytes(), memory, options);
  if (!report) {
    result.error = report.error().message;
    return result;
  }
  result.ok = true;
  result.report = std::move(*report);
  return result;
}

inline std::string describe(const LaunchReport &report) {
  std::string out;
  for (const Finding &f : report.findings)
    out += f.format() + "\n";
  return out;
}
inline std::string describe(const RunResult &r) { return r.error + describe(r.report); }

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

/// Runs one instruction on rows of inputs: sources %r1..%r3 / %f1..%f3 / %rd1..%rd3 / %fd1..%fd3 / %rs1..%rs3 by the
/// kind (r, f, d for %rd, F for %fd, h for %rs), result in the register 0 of kind `to`. Runs with full warps and again
/// with every other lane switched off, where the old value must stay.
inline std::vector<uint64_t> evaluate(const std::string &instruction, char from, char to,
                                      const std::vector<std::array<uint64_t, 3>> &inputs,
                                      const std::string &target = "sm_80", const std::string &version = "8.0",
                                      Options options = {}) {
  auto name = [](char kind) {
    return std::string(kind == 'r' ? "%r" : kind == 'f' ? "%f" : kind == 'd' ? "%rd" : kind == 'F' ? "%fd" : "%rs");
  };
  auto type = [](char kind) {
    return std::string(kind == 'r' ? "b32" : kind == 'f' ? "f32" : kind == 'd' ? "b64" : kind == 'F' ? "f64" : "b16");
  };
  const size_t rows = (inputs.size() + 31) / 32 * 32;
  std::vector<uint64_t> in(rows * 3), out(rows), result;
  for (size_t n = 0; n < inputs.size(); ++n)
    std::copy(inputs[n].begin(), inputs[n].end(), in.begin() + n * 3);
  for (bool masked : {false, true}) {
    std::string body = "mov.u32 %r100, %ctaid.x; mad.lo.u32 %r101, %r100, 32, %r127; mul.wide.u32 %rd50, %r101, 24; "
                       "add.u64 %rd50, %rd50, %rd60;\n"
                       "mul.wide.u32 %rd51, %r101, 8; add.u64 %rd51, %rd51, %rd61; mov.b64 %rd52, 0;\n";
    for (int n = 1; n <= 3; ++n)
      body += "ld.global." + type(from) + " " + name(from) + std::to_string(n) + ", [%rd50+" +
              std::to_string(n * 8 - 8) + "];\n";
    body += "and.b32 %r102, %r127, 1; setp.eq.u32 %p63, %r102, 1; st.global.b64 [%rd51], %rd52;\n";
    body += to == 'f'   ? "mov.f32 %f0, 0f40490FDB;\n"
            : to == 'F' ? "mov.f64 %fd0, 0d0000000012345678;\n"
                        : "mov." + type(to) + " " + name(to) + "0, 4660;\n";
    body += (masked ? "@%p63 " : "") + instruction + "\nst.global." + type(to) + " [%rd51], " + name(to) + "0;";
    Memory memory;
    std::fill(out.begin(), out.end(), ~0ull);
    Params p;
    p.add(*memory.addBuffer(in.data(), in.size() * 8))
        .add(*memory.addBuffer(out.data(), out.size() * 8))
        .add(uint64_t(0));
    RunResult r = run(kernelText(body, target, version), memory, p, {uint32_t(rows / 32), 1, 1}, {32, 1, 1}, options);
    EXPECT_TRUE(r.ok && r.report.clean()) << instruction << "\n" << describe(r);
    if (!masked) {
      result = out;
      continue;
    }
    const uint64_t kept = to == 'f' ? 0x40490fdb : to == 'F' ? 0x12345678 : 4660;
    for (size_t n = 0; n < inputs.size(); ++n)
      EXPECT_EQ(out[n], n & 1 ? result[n] : kept) << instruction << " masked, lane " << n;
  }
  result.resize(inputs.size());
  return result;
}

} // namespace fovea::emulator::test
