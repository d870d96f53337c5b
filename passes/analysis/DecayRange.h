// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The values that a field can have whatever the arrays hold, by interval arithmetic on its expression and the contracts
// of inputs: above all the decays of states. Nothing here changes a value.
#pragma once

#include "dialect/attn/Attn.h"

#include <limits>
#include <string>

namespace fovea::analysis {

/// Every element that is not NaN is between the ends, in real arithmetic, inputs being finite.
struct FieldRange {
  double lower = -std::numeric_limits<double>::infinity(), upper = std::numeric_limits<double>::infinity();
  bool lowerOpen = false, upperOpen = false; // the end itself is never reached

  bool isPositive() const { return lower > 0 || (lower == 0 && lowerOpen); }
  bool isNonNegative() const { return lower >= 0; }
  bool isNonPositive() const { return upper <= 0; }
};

/// The range of a field, of any kind; a bool is 0 or 1.
FieldRange deriveRange(mlir::Value field);

/// The range of the decay of a state, in nats per token: [0, 0] without one.
FieldRange decayRange(attn::StateOp state);

/// Decays between two rows of a block of `rows` are products of one factor of each row, both relative to an anchor row.
/// With the anchor in the middle an exponent is at most half of the rows times the strongest decay: true if that is
/// within 40 nats, which leaves each factor and each product of two a normal number of 32 bits. Otherwise the anchor
/// should be the first row, and the block that holds the diagonal be computed element by element.
bool mayAnchorInMiddle(const FieldRange &decay, int64_t rows);

/// "[-5, 0)", "(-inf, 0]".
std::string toString(const FieldRange &range);

} // namespace fovea::analysis
