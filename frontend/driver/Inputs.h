// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Inputs drawn from a seed: ordinary ones, and such as provoke faults of online softmax and of recurrences.
#pragma once

#include "frontend/driver/Spec.h"
#include "reference/attn/Reference.h"
#include "runtime/host/Array.h"
#include "runtime/host/Execute.h"

#include <map>
#include <string>
#include <vector>

namespace fovea::driver {

enum class Pattern {
  Normal,      // unit variance
  Constant,    // one value everywhere: all logits are equal
  LargeLogits, // normal times 30: an exponential without its maximum overflows
  Early,       // the first token 25 times as large: the running maximum stands from the start
  Late,        // the last token 25 times as large: all that was summed is scaled away at the end
  Rising,      // grows with the token: the running maximum changes in each tile
  Alternating, // cancellation in products
  Tiny,        // around the smallest normal number
  Zeros,
  // Of states only; inputs that are not meant are as in Normal.
  Decays,          // 0, -1e-4, -5, -20 and -1e4 per step, mixed
  DecayNeighbours, // -20 in one channel beside 0 in its neighbour
  EqualKeys,       // one key at all tokens, now and then 0: the triangular inverse of the delta rule is at its worst
  Strengths,       // erase strengths 0, 1 and 2: nothing, a projection, a reflection
};
inline constexpr Pattern kAdversarial[] = {Pattern::Constant, Pattern::LargeLogits, Pattern::Early, Pattern::Late,
                                           Pattern::Rising,   Pattern::Alternating, Pattern::Tiny,  Pattern::Zeros};
const char *patternName(Pattern pattern);

/// kAdversarial, and the patterns of states for whose operands the attention has an input.
std::vector<Pattern> adversarialPatterns(const sema::Attention &attention);

using Arrays = std::map<std::string, runtime::Array, std::less<>>;

/// One input or param, rounded to its type and within its contract. Params of reals are around 1 in every pattern, as
/// learned scales are. Whole numbers depend on what they are for:
///   indices of a gather   over the whole axis, and a little beyond both ends where no contract forbids it
///   of tokens             numbers of documents: a few dozen tokens of each in order; by pattern also one document, all
///                         of their own, alternating, in no order
///   without any weights   40 to 100: arguments of a map
///   others                lengths and window sizes: up to the number of tokens; a default by Constant
/// Reals that are only erase strengths, and have no contract, are within (0, 1): the recurrence then contracts. Initial
/// values of a normaliser are positive.
/// Errors: an unknown axis, a shape too large.
Result<runtime::Array> drawInput(const sema::Attention &attention, const runtime::Plan &interface,
                                 const std::string &name, const runtime::AxisSizes &sizes, Pattern pattern,
                                 uint64_t seed);

/// All inputs and params but those that are `absent`.
Result<Arrays> drawInputs(const sema::Attention &attention, const runtime::Plan &interface,
                          const runtime::AxisSizes &sizes, Pattern pattern, uint64_t seed,
                          const std::vector<std::string> &absent = {});

/// The default of a param, where it has one that is known now.
std::optional<double> defaultOf(const sema::Attention &attention, std::string_view name);

/// What the reference takes and gives, as values.
reference::Tensors toTensors(const Arrays &arrays);

} // namespace fovea::driver
