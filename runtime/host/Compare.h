// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Comparison of a result with its reference: one number for the whole, the worst place, and what is no number at all.
#pragma once

#include "runtime/abi/Result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace fovea::runtime {

struct CompareOptions {
  /// An element is in order when |a - r| <= absolute + relative |r| + conditioned * condition. All 0: exact
  /// equality, or no check of single elements but for NaN and infinities where `relative2` is set.
  double absolute = 0, relative = 0, conditioned = 0;
  /// For each element, the sum of magnitudes that it was computed from (e.g. sum_j p_j |v_j|); empty: none. A NaN
  /// counts as 0.
  std::span<const double> condition;
  /// The whole is in order when relative2 is at most this.
  std::optional<double> relative2;
};

struct Comparison {
  int64_t elements = 0;
  double relative2 = 0;      // |a - r|_2 / |r|_2 over elements that are finite in both; |r|_2 = 0: |a - r|_2
  double maxAbsolute = 0;    // greatest |a - r| over the same elements
  int64_t maxIndex = -1;     // where
  double maxConditioned = 0; // greatest |a - r| / condition; infinity where condition is 0 and the error is not
  int64_t nanCount = 0;      // in the result
  int64_t referenceNanCount = 0;
  int64_t infinityMismatches = 0; // infinite in one alone, or of different sign; equal infinities agree
  int64_t offending = 0;          // elements out of order; every NaN on either side is
  int64_t firstOffending = -1;    // in row-major order
  double firstValue = 0, firstReference = 0;
  bool passed = true;

  /// One line; `shape` turns indices into coordinates.
  std::string format(std::span<const int64_t> shape = {}) const;
};

/// Lengths that differ are an error.
Result<Comparison> compare(std::span<const double> result, std::span<const double> reference,
                           const CompareOptions &options = {});

/// Row-major coordinates of an index.
std::vector<int64_t> coordinates(int64_t index, std::span<const int64_t> shape);

} // namespace fovea::runtime
