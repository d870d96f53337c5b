// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Matrix products of one mma.sync tile, on plain arrays; the fragment layouts are elsewhere (OpsTensor).
#pragma once

#include <cstdint>

namespace fovea::emulator {

/// d[16][8] = a[16][k] * b[k][8] + d, as a chain of fused multiply-adds in order of k. The columns may be in any order
/// that b and d share. Rows of b and d are 32-byte aligned.
void multiplyFma(const float *a, const float *b, float *d, int k);

/// How tensor cores accumulate ("MMA-Sim", arXiv 2511.10909): per step, all products and the accumulator are aligned to
/// the largest exponent, truncated to `fraction` bits below it, summed exactly, and the sum is truncated to f32.
struct ExactModel {
  int fraction = 24; // 24 on sm_80 to sm_89, 25 from sm_90 on
  int step = 8;      // products summed at once
};
/// `operandFraction`: stored fraction bits of a and b (7 bf16, 10 f16 and tf32, 3 e4m3, 2 e5m2). Ignores the sign of
/// zero sums (they are +0).
void multiplyExact(const float *a, const float *b, float *d, int k, int operandFraction, ExactModel model);
/// The same, element by element, for any values; multiplyExact is tested against it.
void multiplyExactGeneral(const float *a, const float *b, float *d, int k, int operandFraction, ExactModel model);

} // namespace fovea::emulator
