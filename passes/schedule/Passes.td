// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From program level to scheduled level, one decision a pass. All of them read the launch's `schedule` record.
#ifndef FOVEA_SCHEDULE_PASSES_TD
#define FOVEA_SCHEDULE_PASSES_TD

include "mlir/Pass/PassBase.td"

def SetSchedulePass : Pass<"tile-set-schedule", "fovea::tile::ProgramOp"> {
  let summary = "write the schedule record onto launches that have none";
  let description = [{
    The record is a dictionary on each launch: `warps`, `stages` (copies under way, plus one, per ring in a loop) and `query`,
    "registers" (operands loaded before a loop stay in registers) or "shared" (they are read again in each iteration). A launch whose
    tiles have too few rows for that many warps gets as many as fit, in loops over chunks as many as fit the tile with most rows.
  }];
  let options = [Option<"warps", "warps", "int64_t", "4", "warps per work item, a power of two">,
                 Option<"stages", "stages", "int64_t", "2", "stages of each ring that a loop fills">,
                 Option<"query", "query", "std::string", "\"registers\"", "registers or shared">];
}

def OrderWorkPass : Pass<"tile-order-work", "fovea::tile::ProgramOp"> {
  let summary = "begin with the work items that have most keys";
  let description = [{
    Adds `descending` to a launch's schedule record: the axes along which work items run from the last to the first. These are the axes
    along which the number of keys grows, as for the queries of a causal attention; it is found by evaluating the domain at the
    first, the middle and the last index. Other axes keep their order, so that work items side by side still read the same keys.
  }];
}

def AssignLayoutsPass : Pass<"tile-assign-layouts", "fovea::tile::ProgramOp"> {
  let summary = "give every tile the layout of its thread fragments";
  let description = [{
    Rank-2 tiles take the accumulator layout of mma.m16n8k16 over the launch's warps, with other columns for warps that the rows leave over; operands of products take operand layouts:
    directly where they are loaded for products alone, by `convert_layout` elsewhere. Rank-1 tiles are rows or columns of such a
    tile, whichever their uses ask for; cheap ones that are asked for both are computed twice, others change by `convert_layout`.

    A transpose moves nothing: what is loaded to be transposed is read where its transpose lies; a computed tile is converted before, unless its
    transpose goes to stores alone, element by element, and keeps its threads up to there.
  }];
}

def StageOperandsPass : Pass<"tile-stage-operands", "fovea::tile::ProgramOp"> {
  let summary = "bring operands of products through shared memory by asynchronous copies";
  let description = [{
    Each load that feeds products alone becomes copy_start, copy_commit, copy_wait 0, barrier and a swizzled smem_read, which for a loop starts with a
    barrier. In a loop over chunks so does each load of a 16-bit tile, whatever it feeds; its copies begin together at the
    beginning of the body. Tiles a few rows apart, as the taps of a convolution are, share one copy with some more
    rows; vectors that are loaded in front of such a loop wait in shared memory.
  }];
}

def PipelineCopiesPass : Pass<"tile-pipeline-copies", "fovea::tile::ProgramOp"> {
  let summary = "begin the copies of a loop some iterations ahead";
  let description = [{
    With S stages, iteration n waits for its own tiles, meets at one barrier, begins the copies of iteration n + S - 1 and then computes.
    The first S - 1 groups are begun before the loop. Copies beyond the last iteration are not begun; their groups are empty.
  }];
}

def StageOutputPass : Pass<"tile-stage-output", "fovea::tile::ProgramOp"> {
  let summary = "store 16-bit results through shared memory so that whole sectors are written";
}

def ExchangeLayoutsPass : Pass<"tile-exchange-layouts", "fovea::tile::ProgramOp"> {
  let summary = "change layouts between threads through shared memory";
  let description = [{
    A convert_layout that no permutation of registers does becomes a write to a ring of its own, right behind what computes the tile, a barrier
    and a read where it stood. One write serves all that read the tile; a barrier that stands between the two already, and the
    barrier at the beginning of a loop between an iteration's reads and the next one's write, are not repeated.
  }];
}

def AllocateSmemPass : Pass<"tile-allocate-smem", "fovea::tile::ProgramOp"> {
  let summary = "give rings their places; rings whose lives do not meet share bytes";
  let description = [{
    Lives are counted in operations of the launch's body. Rings that each iteration of one loop fills anew live within the iteration: two of
    them share bytes where a barrier stands between the last read of the one and the write of the other, both ways round.
  }];
}

#endif
