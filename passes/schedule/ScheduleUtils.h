// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Helpers that several schedule passes share.
#pragma once

#include "dialect/tile/TileDialect.h"

#include "mlir/IR/Operation.h"

namespace fovea::tile {

/// Moves what `values` are computed from, as far as it stands in the block of `before` and after it, in front of
/// `before`. The slice is index arithmetic: pure.
void hoistSlice(mlir::ValueRange values, mlir::Operation *before);

/// Where the work of a block begins: behind what ends work items that have none.
mlir::Block::iterator beginOf(mlir::Block &block);

/// True if shared memory is read in front of `before`, in its block, with no barrier since.
bool readsWithoutBarrier(mlir::Operation *before);

/// The product's operand that a use is, by itself or through a conversion to f32 that has no other use; null otherwise.
mlir::OpOperand *productOperandOf(mlir::OpOperand &use);

/// The first of a value's uses that is a product's operand; null where none is.
mlir::OpOperand *firstProductOperandOf(mlir::Value value);

/// True for a product of f32 by multiply-adds, without tensor cores.
inline bool multipliesPlainly(DotOp dot) {
  return mlir::cast<mlir::RankedTensorType>(dot.getA().getType()).getElementType().isF32() &&
         dot.getPrecision().value_or("fma") == "fma";
}

/// True for a rank-2 tile that is loaded for products (and the question whether it holds NaN) alone: it goes through
/// shared memory.
bool feedsProductsOnly(LoadOp load);

/// The loop over chunks in whose body an operation stands: a loop with matrices as states that is none over the keys of
/// a domain; null where it stands elsewhere.
mlir::scf::ForOp chunkLoopOf(mlir::Operation *op);

/// True where an operation works on one chunk: in the body of a loop over chunks, or of a launch without loops that
/// multiplies 16-bit tiles.
bool isInChunk(mlir::Operation *op);

/// True for a load of a chunk whose tile can be copied to shared memory, while earlier chunks are computed where there
/// are such: 16 bit, rank 2, rows contiguous, 0 outside.
bool isStagedForChunks(LoadOp load);

/// True for loads of the same elements.
bool sameTile(LoadOp x, LoadOp y);
/// By how many rows `y` lies behind `x`, of the same view otherwise; none where it is no constant of a few.
std::optional<int64_t> rowsBetween(LoadOp x, LoadOp y);
/// True if the block loads no other tile of the view but such as lie some rows off, as the taps of a convolution do, or
/// have other columns.
bool isOnlyTileOfView(LoadOp load);

/// A ring of one stage for tiles of a type, with some more rows, at the beginning of the launch; a vector is one row.
SmemAllocOp makeRing(LaunchOp launch, mlir::Location loc, mlir::RankedTensorType tile, int64_t moreRows = 0);

/// True if a tile written in front of `at` into `ring`, which nothing but that write fills, could overwrite what slower
/// threads still read: this ring in the iteration before, or another one in front of the loops that `at` stands in.
bool needsBarrierToWrite(mlir::Operation *at, mlir::Value ring);

/// The widest swizzle span in bytes (128, 64, 32) that divides a row; 0 if none does.
int64_t swizzleSpan(int64_t rowBytes);

} // namespace fovea::tile
