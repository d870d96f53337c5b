// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Helpers that several schedule passes share.
#pragma once

#include "mlir/IR/Operation.h"

namespace fovea::tile {

/// Moves what `values` are computed from, as far as it stands in the block of `before` and after it, in front of
/// `before`. The slice is index arithmetic: pure.
void hoistSlice(mlir::ValueRange values, mlir::Operation *before);

/// True if shared memory is read in front of `before`, in its block, with no barrier since.
bool readsWithoutBarrier(mlir::Operation *before);

/// The widest swizzle span in bytes (128, 64, 32) that divides a row; 0 if none does.
int64_t swizzleSpan(int64_t rowBytes);

} // namespace fovea::tile
