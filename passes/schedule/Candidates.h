// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The schedules of a fold over keys: enumerated from the target's facts, rejected with a reason where they do not fit,
// ranked by a cost model. Pure C++: no IR.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fovea {
struct Target;
}

namespace fovea::tile {

/// What of a variant decides its schedule.
struct Problem {
  std::vector<int64_t> scoreDims;       ///< contracted dimension of each product of the score
  std::vector<int64_t> accumulatorDims; ///< features of each accumulator with a value operand
  int64_t rowAccumulators = 0;          ///< accumulators without features
  int64_t coefficients = 0;             ///< pair tiles that live beside the weights
  int64_t elementBytes = 2;             ///< of operands: 2, or 4 for f32
  int64_t epilogueBytes = 2;            ///< of staged results; 0 where nothing is staged
  std::string precision = "3xtf32";     ///< of products of f32: tf32, 3xtf32 or fma
  bool hides = false;                   ///< a predicate hides values from some rows of a tile, NaN included
};

/// What of the recurrences of a variant decides their schedule: the largest of each.
struct Recurrence {
  int64_t keys = 64, values = 0; ///< sizes of the key and the value axis; values 0: one column
  int64_t blocks = 0;            ///< tokens at whose multiples a chunk must end; 0: anywhere
  bool erases = false;           ///< the delta rule: an inverse in each chunk
  bool computes = false;         ///< keys are computed from what is stored, in f32
  bool commits = false;          ///< blocks of tokens may be taken back
  bool channels = false;         ///< the decay differs from key to key
  bool decays = false;
  bool normalises = false;  ///< a state of one column beside it
  bool chunks = true;       ///< false: one token after the other only
  bool products = false;    ///< keys are products of features: made some at a time, and never inside a chunk
  int64_t elementBytes = 2; ///< of operands: 2, or 4 for f32
};

struct Candidate {
  int64_t queryTile = 64, keyTile = 64;
  int64_t warps = 4, stages = 2;
  std::string query = "registers"; ///< "registers" or "shared": where query operands stay during the loop
  int64_t sharedBytes = 0;         ///< per work item
  int64_t registers = 0;           ///< estimate per thread
  int64_t workItemsPerSm = 0;      ///< that fit at once
  double cost = 0;                 ///< cycles of one SM per 64 x 64 pairs (a recurrence: per 64 tokens), estimated
  std::string rejected;            ///< why it cannot be used; empty if it can
  std::string kind = {}; ///< of a recurrence: "fused" (chunks of tokens), "step", "chunk" (side by side) or "split"
                         ///< (segments of chunks side by side); empty: a fold over keys
  int64_t chunk = 0, values = 0; ///< of a recurrence: tokens of a chunk (step: 1), values per work item
  /// Of a recurrence, cycles per 64 tokens, estimated: of what must be done one chunk after the other, by one work item
  /// alone; of one multiprocessor for everything, per state.
  double alone = 0, busy = 0;

  /// "64x64, 4 warps, 2 stages, query in registers", "fused, chunks of 64, 64 values, 4 warps, 2 stages",
  /// "chunk, chunks of 64, 64 values, 4 warps, 1 stage". No two candidates of one list read alike.
  std::string str() const;
};

/// All candidates: usable ones first, cheapest first, then rejected ones in order of enumeration.
std::vector<Candidate> enumerateSchedules(const Problem &problem, const Target &target);
std::vector<Candidate> enumerateSchedules(const Recurrence &problem, const Target &target);

} // namespace fovea::tile
