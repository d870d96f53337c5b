// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Programs over batches of one length become programs over sequences that lie one behind the other.
#pragma once

#include "dialect/tile/TileDialect.h"

#include <string>
#include <vector>

namespace fovea::tile {

/// An axis of tokens whose length differs from one batch to the next: element t of batch b is row offsets[b] + t.
struct RaggedAxis {
  std::string batch, token; // names of axes; that of the token is from now on the most that a sequence has
  std::string offsets;      // the input, [count], i32
  std::string count, total; // names of axes: one more than there are batches, the rows of all of them
  /// Axes of blocks of the tokens, in tensors: block n of batch b is row offsets[b] / size + b + n of `total`.
  struct Blocks {
    std::string axis;
    int64_t size = 1; // tokens
    std::string total;
  };
  std::vector<Blocks> blocks = {};
};

/// Tensors and workspaces on a batch and its token get the axis `total` in place of the token and lose that of the
/// batch, and so do tensors on a batch and blocks. In launches over the batch the size of the token is the length of
/// the sequence, and work items beyond its end end at once. What cannot be done is reported at its operation, and the
/// program is then half changed.
///
/// `useTable`: work items are (sequence, tile) pairs of a table that a launch before makes, ceildiv(total, tile) +
/// batches of them in place of batches * ceildiv(most, tile). `tables` counts the launches that were changed so; the
/// program then prefers to run where that is less.
llvm::LogicalResult packSequences(ProgramOp program, llvm::ArrayRef<RaggedAxis> ragged, bool useTable = false,
                                  unsigned *tables = nullptr);

} // namespace fovea::tile
