// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The pass from the attn dialect to a tile program.
#ifndef FOVEA_PASSES_ATTN_TO_TILE_PASSES_TD
#define FOVEA_PASSES_ATTN_TO_TILE_PASSES_TD

include "mlir/Pass/PassBase.td"

def AttnToTilePass : Pass<"attn-to-tile", "::mlir::ModuleOp"> {
  let summary = "Derives a tile program from each attention";
  let description = [{
    Each attention becomes a `tile.program` of its name: launches over its batch axes and tiles of one token axis. All outputs
    on the same batch axes share a launch, and all expectations under the same weights share a `tile.fold`. A field that
    varies only with the key and is not an input as it stands (a map of the key, a norm) is computed by a launch before, once
    per key, and kept in a workspace: in the storage type where it is an operand of a product, in f32 otherwise.
    The keys to visit are read off the predicate by interval arithmetic. Sinks must have become gates before
    (`attn-sink-to-gate`).
  }];
  let options = [
    Option<"queryTile", "query-tile", "int64_t", "64", "queries per tile, a multiple of 16">,
    Option<"keyTile", "key-tile", "int64_t", "64", "keys per tile, a multiple of 16">,
    Option<"valueTile", "value-tile", "int64_t", "0", "features of a result per work item, a multiple of 16; 0: all">,
    Option<"state", "state", "std::string", "", "of recurrences: fused, step, chunk or split; empty: what fits">,
    Option<"chunk", "chunk", "int64_t", "64", "tokens of a chunk of a recurrence, a multiple of 16">,
    Option<"stateTile", "state-tile", "int64_t", "0", "values of a recurrence per work item, a multiple of 16; 0: all">,
    Option<"precision", "precision", "std::string", "\"3xtf32\"", "of products of f32: tf32, 3xtf32 or fma">,
    Option<"alignment", "alignment", "int64_t", "16", "bytes of alignment that tensors may be assumed to have; 1: that of an element">,
    Option<"type", "type", "std::string", "\"bf16\"", "element type of arrays that state none: bf16, f16 or f32">,
    Option<"pack", "pack", "bool", "false", "rows are tokens times heads that share their keys">,
    Option<"split", "split", "bool", "false", "keys in parts, and a launch that merges them">,
    Option<"batchInvariant", "batch-invariant", "bool", "false", "the number of parts follows from lengths alone">,
    Option<"sizes", "sizes", "std::string", "", "sizes of axes, as in D=64,G=4">];
  let dependentDialects = ["::fovea::tile::TileDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

#endif
