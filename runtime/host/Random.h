// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random draws that depend on seed, stream and index alone: the same bits on every platform, in any order.
#pragma once

#include "runtime/host/Array.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace fovea::runtime {

/// One block of the Philox 4x32-10 generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// The quantile of the standard normal distribution, for 0 < p < 1 (Wichura, algorithm AS 241), relative error near
/// 1e-15; no function of the system's mathematical library is used.
double normalQuantile(double p);

/// A sequence of draws, addressed by index. Streams of different names are independent.
class RandomStream {
public:
  RandomStream(uint64_t seed, std::string_view name);
  uint64_t bits(uint64_t index) const;
  /// In the open interval (0, 1).
  double uniform(uint64_t index) const;
  double normal(uint64_t index) const { return normalQuantile(uniform(index)); }
  /// From least to most, both included.
  int64_t integer(uint64_t index, int64_t least, int64_t most) const;

private:
  std::array<uint32_t, 2> key_;
  uint64_t stream_;
};

/// What to fill a tensor with; all but Normal, Uniform and Integers are there to provoke faults.
enum class InputPattern {
  Normal,      // unit variance
  Uniform,     // (-1, 1)
  Zeros,       //
  Constant,    // one value everywhere: all weights equal
  LargeLogits, // normal, times 30: an exponential without its maximum overflows
  Peaked,      // small noise, and one row in eight 20 times as large: weights near 0 and 1
  Rising,      // grows along the second to last dimension: the running maximum changes in each tile
  Alternating, // +1, -1 along the last dimension, times a normal row factor: cancellation
  Tiny,        // around the smallest normal number of the type: denormals
  Integers,    // small whole numbers, exact in every type
};
inline constexpr InputPattern kAllPatterns[] = {InputPattern::Normal,   InputPattern::Uniform,     InputPattern::Zeros,
                                                InputPattern::Constant, InputPattern::LargeLogits, InputPattern::Peaked,
                                                InputPattern::Rising,   InputPattern::Alternating, InputPattern::Tiny,
                                                InputPattern::Integers};
const char *patternName(InputPattern pattern);

/// Fills every element; an i32 array gets 0 or 1 by Zeros and Constant, and 0 to 7 by all others.
void fillPattern(Array &array, InputPattern pattern, const RandomStream &stream);

/// The same values with `pad` more elements after each dimension but the first, filled with NaN (i32: the smallest
/// number): whoever reads beyond an extent shows it. Keeps the inner stride 1.
Result<Array> withNanPadding(const Array &array, int64_t pad);

} // namespace fovea::runtime
