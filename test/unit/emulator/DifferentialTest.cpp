// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The same functions compiled for the host and by nvcc give the same bits; small kernels of nvcc give the right sums.
#include "Testing.h"
#include "kernels/Bodies.h"

#include <numeric>

using namespace fovea::emulator;
using namespace fovea::emulator::test;

namespace {

const std::string &text() {
  static const std::string t = readFile(std::string(FOVEA_KERNELS) + "/Differential.ptx");
  return t;
}

std::vector<uint32_t> randomWords(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> v(n);
  for (auto &x : v)
    x = random() >> (random() % 3 * 8);
  return v;
}

TEST(Differential, BodiesGiveTheSameBits) {
  const int n = 1000; // not a multiple of the CTA's size
  auto a = randomWords(n, 1), b = randomWords(n, 2);
  for (int which = 0; which < 7; ++which) {
    std::vector<uint32_t> out(n);
    Memory memory;
    BufferOptions in, result;
    in.readOnly = true;
    result.initialised = false;
    Params p;
    p.add(*memory.addBuffer(a.data(), n * 4, in))
        .add(*memory.addBuffer(b.data(), n * 4, in))
        .add(*memory.addBuffer(out.data(), n * 4, result))
        .add(int32_t(n));
    RunResult r = run(text(), memory, p, {8, 1, 1}, {128, 1, 1}, {}, 0, "body" + std::to_string(which));
    ASSERT_TRUE(r.ok && r.report.clean()) << which << "\n" << describe(r);
    for (int i = 0; i < n; ++i)
      ASSERT_EQ(out[i], body(which, a[i], b[i])) << "body " << which << " of " << a[i] << ", " << b[i];
  }
}

TEST(Differential, BlockSumAndHistogram) {
  auto in = randomWords(5000, 3);
  uint64_t sum = 0;
  std::vector<uint32_t> bins(64), expected(64);
  Memory memory;
  Params p, q;
  const uint64_t input = *memory.addBuffer(in.data(), in.size() * 4);
  p.add(input).add(*memory.addBuffer(&sum, 8)).add(int32_t(in.size()));
  RunResult r = run(text(), memory, p, {7, 1, 1}, {192, 1, 1}, {}, 0, "blockSum");
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  EXPECT_EQ(sum, std::accumulate(in.begin(), in.end(), uint64_t(0)));
  q.add(input).add(*memory.addBuffer(bins.data(), 256)).add(int32_t(in.size()));
  r = run(text(), memory, q, {}, {96, 1, 1}, {}, 256, "histogram");
  ASSERT_TRUE(r.ok && r.report.clean()) << describe(r);
  for (uint32_t x : in)
    ++expected[x % 64];
  EXPECT_EQ(bins, expected);
  // Too little dynamic shared memory is noticed.
  r = run(text(), memory, q, {}, {96, 1, 1}, {}, 128, "histogram");
  EXPECT_TRUE(found(r.report, FindingKind::OutOfBounds, "shared")) << describe(r);
}

} // namespace
