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

def OrderByUsePass : Pass<"tile-order-by-use", "fovea::tile::ProgramOp"> {
  let summary = "put each operation without effects right before its first use";
  let description = [{
    Two programs that differ only in the order of pure operations, and of loads from views that their launch does not write, become
    the same text. Operations with effects and loops keep their order. Unused pure operations go.
  }];
}

def TilePackSequencesPass : Pass<"tile-pack-sequences", "::fovea::tile::ProgramOp"> {
  let summary = "Sequences of different lengths, one behind the other, in place of a batch of one length";
  let description = [{
    A view with dimensions [B, T, ..] becomes one of [total, ..]. A launch over B reads the rows of its sequence from the offsets
    (`tile.sequence`), narrows each view to them, uses their number for the size of T, and ends where its tile begins beyond them.
    Nothing in it depends on what the program computes.
  }];
  let options = [
    Option<"ragged", "ragged", "std::string", "", "BATCH,TOKEN,OFFSETS,COUNT,TOTAL; .. : names of axes and of the input of offsets">,
    Option<"table", "table", "bool", "false", "work items from a table of the tiles that exist">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect"];
}

def TileExpandFoldPass : Pass<"tile-expand-fold", "::fovea::tile::ProgramOp"> {
  let summary = "Turns each fold into a loop of online softmax in base 2";
  let description = [{
    The row state of Milakov and Gimelshein (arXiv 1805.02867) as loop-carried tiles. With c = scale * log2(e), each tile of
    scores s, at masked places -inf, gives

        m' = max(m, rowmax s)        b = m' where that is finite, else 0
        p  = exp2(fma(s, c, -b c))   a = exp2((m - b) c)
        l' = l a + rowsum p          u' = u a + round(p * coefficient) value

    Weights are rounded to the type of the value, their sum is not. The mask is a branch on the tile's `full` flag, so that
    full tiles compute none of it. Coefficients are masked with the scores, since they may be NaN where no key is.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def TileExpandRecurrencePass : Pass<"tile-expand-recurrence", "::fovea::tile::ProgramOp"> {
  let summary = "Turns each recurrence into a loop over its chunks";
  let description = [{
    The loop counts chunks from 0 by 1, forwards also where the recurrence is reversed: then the first token of chunk n is that of the n-th
    chunk from the end. Vectors that each chunk of several tokens would load again, and matrices that products alone take, are loaded
    in front of it.
  }];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::arith::ArithDialect"];
}

def TileExpandMathPass : Pass<"tile-expand-math"> {
  let summary = "Takes functions apart into those that a GPU has";
  let description = [{
    On scalars and tiles of f32, in terms of exp2, log2, fma, division and selection. Errors of the expansion in exact exp2 and
    log2, relative unless said; u is 2^-24:

    | function | error | range |
    |---|---|---|
    | exp | (2 + 1.25 abs(x)) u | all |
    | expm1 | (8 + 1.25 abs(x)) u | all |
    | log | 4 u (1 + 1 / abs(log x)) | positive |
    | log1p | 8 u | from -1 |
    | tanh | 4 u absolute | all |
    | erf | 8 u absolute (Abramowitz and Stegun 7.1.26: 1.5e-7) | all |
    | powf | (4 + abs(b log2 a)) u; 2.5 u where a is constant and the tile has at most one dimension | real results |
    | sin, cos | 2 u absolute; abs(x) u more beyond; from 10^7 on only bounded by 1.1 | to 10^6 |

    `minimumf` becomes `maximumf` of the negatives; `floordivsi` a division that rounds to zero, corrected.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

#endif
