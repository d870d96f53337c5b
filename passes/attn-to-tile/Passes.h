// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From an attention to a tile program: the derivation as a function, and as a pass.
#pragma once

#include "dialect/attn/Attn.h"
#include "dialect/tile/TileDialect.h"

#include "mlir/Pass/Pass.h"

#include <map>
#include <string>

namespace fovea {

/// What the derivation is free to choose, or must be told.
struct TileChoices {
  int64_t queryTile = 64; // rows of a work item; a multiple of 16 from 16 to 256
  int64_t keyTile = 64;   // keys of a step; a multiple of 16 from 16 to 256
  int64_t valueTile = 0;  // features of a result per work item; 0: all. Scores are computed again for each part
  /// Of recurrences: "fused" (chunks of tokens), "step" (one token after the other), "chunk" (chunks side by side),
  /// "split" (segments of chunks side by side); empty: fused or step, as fits.
  std::string state;
  int64_t chunk = 64;    // tokens of a chunk of a recurrence; a multiple of 16 from 16 to 256
  int64_t stateTile = 0; // values of a recurrence per work item, a multiple of 16; 0: all, or 64 of one that steps
  std::string elementType = "bf16";     // bf16, f16 or f32: of arrays that state no type, and of operands of products
  std::string precision = "3xtf32";     // of products of f32: tf32, 3xtf32 or fma
  int64_t alignment = 16;               // bytes of alignment that tensors may be assumed to have; 1: that of an element
  std::map<std::string, int64_t> sizes; // sizes of axes that the attention leaves open, at least 1

  // Of one alternative among several of a plan. Kernels of alternatives have different names: `entry` is part of them.
  std::string entry;           // a name; empty for the one that serves where no other is better
  bool split = false;          // keys in parts, each a work item's, and a launch that merges them
  int64_t itemsPerSm = 1;      // work items that a multiprocessor holds at once; decides the number of parts
  bool batchInvariant = false; // nothing depends on the device or on more than the lengths of queries and keys
  /// Of a recurrence that is shared out along tokens: it is preferred where that pays. Cycles for 64 tokens: those that
  /// a work item waits less than without, and those of one multiprocessor for each state; 0 and 0: not weighed.
  int64_t savedCycles = 0, spentCycles = 0;
  bool pack = false;                 // rows are tokens times heads that share their keys; fails where none do
  std::string guard, prefer, reason; // plan expressions and a sentence, kept in the program's choices
};

/// Builds the program behind the attention, which stays as it is; the two have one name, so the caller erases or
/// renames one. What is not supported is reported at its operation, and nothing is left behind.
llvm::FailureOr<tile::ProgramOp> deriveTileProgram(attn::AttentionOp attention, const TileChoices &choices);

/// "D=64,G=4" as sizes; says in `message` what is wrong.
llvm::FailureOr<std::map<std::string, int64_t>> parseSizes(llvm::StringRef text, std::string &message);

#define GEN_PASS_DECL
#include "passes/attn-to-tile/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/attn-to-tile/Passes.h.inc"

} // namespace fovea
