// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the compiler decided for a specification and why, and what the result costs by the facts of the target and by a
// small run in the emulator. One record holds it; text, JSON and a page are three ways to show it.
#pragma once

#include "frontend/driver/Compiler.h"
#include "frontend/driver/Tolerance.h"
#include "runtime/host/Execute.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fovea::driver {

/// The size of every axis: those that the compilation knows, and for the others a usual one (4096 tokens, or 16 along
/// each side of a grid of tokens, 1 batch, 16 heads or what else). `assumed` lists the latter, as NAME=VALUE.
runtime::AxisSizes usualSizes(const sema::Attention &attention, std::string &assumed);

/// The same for runs that are to be short: axes of queries and keys at most `tokens`, or `assumed` where the
/// compilation knows no size, one bound for both, so that queries and keys of one length stay so; others at most 2.
/// Sizes that are compiled in stay.
runtime::AxisSizes smallSizes(const sema::Attention &attention, int64_t tokens, int64_t assumed);

/// Work of one execution. Counts are exact for the key ranges that were derived, with scalars of data taken as 0.
struct Work {
  double pairs = 0;    // of a query and a key, in the tiles visited
  double allPairs = 0; // without skipping any
  double flops = 0;    // of products, two per multiply-add
  double exponentials = 0;
  double bytes = 0;    // of all tensors once
  double keyBytes = 0; // of keys and values once per visited tile
  bool assumedScalars = false;
  // Milliseconds at the target's peak rates.
  double computeMs = 0, exponentialMs = 0, memoryMs = 0;
  double longest() const { return std::max({computeMs, exponentialMs, memoryMs}); }
  /// "products", "exponentials" or "memory".
  const char *bound() const;
};
Work workOf(Compilation &compilation, const runtime::AxisSizes &sizes);

/// One `weights` as tiles of queries (rows) and keys: which pairs its predicate leaves, by the reference, and what the
/// kernel does about them, by running the part of its program that computes key domains.
struct MaskMap {
  std::string queryAxis, keyAxis;
  int64_t queries = 0, keys = 0, queryTile = 0, keyTile = 0;
  std::vector<std::pair<std::string, int64_t>> at; // the index on each further axis of the predicate
  double seenPairs = 0;                            // of queries * keys
  std::vector<std::string> seen;                   // '.' no pair, '/' some, '#' all
  std::vector<std::string> visited;                // '.' not visited, 'm' visited and masked, 'f' visited unmasked
  std::string problem;                             // why `visited` (or, where it is empty too, `seen`) is missing
  // Tiles. The first two are 0 in a correct kernel, the others cost time.
  int64_t lost = 0;           // with a pair, not visited
  int64_t wrong = 0;          // without some pair, not masked
  int64_t needless = 0;       // without a pair, visited
  int64_t maskedNeedless = 0; // with all pairs, masked
  int64_t empty() const { return count(seen, '.'); }
  int64_t partial() const { return count(seen, '/'); }
  int64_t full() const { return count(seen, '#'); }
  static int64_t count(const std::vector<std::string> &rows, char kind);
};

/// One thing that a work item does, on one unit of the multiprocessor.
struct TimelineItem {
  std::string unit;  // one of Timeline::units
  std::string phase; // one of Timeline::phases
  std::string label;
  double start = 0, cycles = 0;
};

/// One work item alone on a multiprocessor, from the scheduled program: operations start in their order as soon as
/// operands and unit are free, and take what they take at the unit's peak rate. Loops show a few steps.
struct Timeline {
  std::string launch;
  std::vector<std::string> units, phases;
  std::vector<TimelineItem> items;
  double cycles = 0;
};

struct Resources {
  std::string kernel, grid;
  int64_t threads = 0, sharedBytes = 0;
  std::optional<codegen::KernelResources> assembled; // absent without ptxas
  // Where assembled: work items at once on a multiprocessor, the share of its threads that they are, what limits them.
  int64_t resident = 0;
  double occupancy = 0;
  std::string limit;
};

/// A line of PTX and what it moved.
struct LineCost {
  int64_t line = 0;
  std::string text;
  uint64_t executed = 0, wavefronts = 0, idealWavefronts = 0, worstDegree = 0, sectors = 0;
};
struct BufferCost {
  std::string name;
  uint64_t loadBytes = 0, storeBytes = 0, loadSectors = 0, storeSectors = 0, uniqueSectors = 0;
};
struct KernelCost {
  std::string kernel;
  uint64_t workItems = 0, warpInstructions = 0, tensorOps = 0;
  uint64_t wavefronts = 0, idealWavefronts = 0, sectors = 0, uniqueSectors = 0;
  std::vector<LineCost> lines; // those with most bank conflicts, then most passes, then most sectors
  std::vector<BufferCost> buffers;
};
/// A small run in the emulator.
struct Measurement {
  runtime::AxisSizes sizes;
  std::vector<KernelCost> kernels;
  std::string problem; // why there is none
};

struct Explanation {
  std::string name, target, type;
  Sets sets;
  std::string file, spec, attn, tile, schedule; // texts of the levels
  // Algorithm.
  struct Launch {
    std::string name;
    std::vector<std::string> axes;
    struct Fold {
      int64_t queries = 0, keys = 0, accumulators = 0;
    };
    std::vector<Fold> folds;
  };
  struct Workspace {
    std::string name, type;
    std::vector<std::string> dims;
  };
  struct Walk {
    std::string keys;
    std::vector<std::string> ranges;
  };
  /// A recurrence, and what its expression and the contracts say about its decay.
  struct State {
    std::string tokens, keys, values; // axes; no values: one column
    std::string decay;                // "none", "constant", "per token", "per channel"
    std::string range;                // of the decay, nats per token
    std::string inverse; // precision of products inside the inverses of chunks, f32 or tf32; empty: none is made
    bool mayAnchorInMiddle = false; // of blocks of 16 rows: products of decays then need no anchor at the first row
  };
  struct Program {
    std::string name; // of an alternative: what its entries end in
    std::vector<Launch> launches;
    std::vector<Workspace> workspaces;
  };
  std::vector<Program> programs;
  std::vector<Walk> walks;
  std::vector<State> states;
  std::vector<MaskMap> masks;
  // Schedule; without candidates where the program has no fold.
  std::vector<tile::Candidate> candidates;
  tile::Candidate chosen;
  bool overridden = false;
  struct Alternative {
    std::string name, chosen, leftOut; // its schedule, or why there is none
  };
  std::vector<Alternative> alternatives; // other programs of the same attention
  /// A way to run the recurrences.
  struct Recurrent {
    std::string kind, chosen; // "fused", and its best candidate
    std::string when, reason; // of calls that take it: `when` is an expression, "always", or empty where none does
    std::string problem;      // why it cannot be taken
    std::string bytes;        // of its workspaces together, an expression; "0" without any
    int64_t bytesHere = -1;   // at `sizes`; -1 where that is not known
  };
  std::vector<Recurrent> recurrents;
  std::vector<Timeline> timelines;
  // Work.
  runtime::AxisSizes sizes;
  std::string assumed;
  Work work;
  double modelMs = 0; // by the cost model of the schedule; 0 without one
  const Target *facts = nullptr;
  std::vector<Resources> kernels;
  std::string assemblerProblem;
  Measurement measured;
  // The plan.
  struct PlanLaunchText {
    std::string kernel, grid;
    std::vector<int64_t> block;
    int64_t sharedBytes = 0;
    std::vector<std::string> args;
  };
  struct Entry {
    std::string guard, prefer, reason;                           // expressions of the plan; `prefer` empty where always
    std::vector<std::pair<std::string, std::string>> workspaces; // name, bytes
    std::vector<PlanLaunchText> launches;
  };
  std::vector<Entry> entries;
  std::vector<std::pair<std::string, OutputTolerance>> tolerances; // by output, at `sizes`
};

/// `compilation` went as far as Plan.
Explanation explain(Compilation &compilation);

/// The maps of all weights. Token axes that the compilation leaves open have 2048 tokens.
std::vector<MaskMap> maskMaps(Compilation &compilation);
std::vector<Timeline> timelinesOf(tile::ProgramOp scheduled, const Target &target);
Measurement measure(Compilation &compilation);

std::string toText(const Explanation &explanation);
/// The same as data; docs/explain.md names the fields.
std::string toJson(const Explanation &explanation);
/// One page that needs nothing else: the data of toJson, and a script that draws them.
std::string toHtml(const Explanation &explanation);

} // namespace fovea::driver
