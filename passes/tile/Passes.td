// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes inside the tile dialect.
#ifndef FOVEA_TILE_PASSES_TD
#define FOVEA_TILE_PASSES_TD

include "mlir/Pass/PassBase.td"

def StripSchedulePass : Pass<"tile-strip-schedule", "fovea::tile::ProgramOp"> {
  let summary = "take everything that a schedule added out of a program";
  let description = [{
    Reads of shared memory and takes from channels become what they claim to be, with 0 outside the view; products in flight become
    products; a role that stores becomes a loop over its instances, any other goes, and so do rings, copies, barriers, channels,
    layouts and the `schedule` of each launch. After `canonicalize` and `cse` the program is the one that was scheduled.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

#endif
