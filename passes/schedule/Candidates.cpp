// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Enumeration and cost model of Candidates.h.
#include "passes/schedule/Candidates.h"

#include "dialect/common/Layout.h"
#include "dialect/common/Target.h"

#include <algorithm>
#include <numeric>

using namespace fovea;
using namespace fovea::tile;

std::string Candidate::str() const {
  if (!kind.empty())
    return kind + (kind != "step" ? ", chunks of " + std::to_string(chunk) : "") +
           (values ? ", " + std::to_string(values) + " values" : "") + ", " + std::to_string(warps) +
           (warps == 1 ? " warp" : " warps") +
           (kind != "step" ? ", " + std::to_string(stages) + (stages == 1 ? " stage" : " stages") : "");
  return std::to_string(queryTile) + "x" + std::to_string(keyTile) + ", " + std::to_string(warps) + " warps, " +
         std::to_string(stages) + (stages == 1 ? " stage" : " stages") + ", query in " +
         (query == "shared" ? "shared memory" : "registers");
}

static void sortByCost(std::vector<Candidate> &all) {
  std::stable_sort(all.begin(), all.end(), [](const Candidate &x, const Candidate &y) {
    if (x.rejected.empty() != y.rejected.empty())
      return x.rejected.empty();
    return x.rejected.empty() && x.cost < y.cost;
  });
}

static int64_t sum(const std::vector<int64_t> &values) {
  return std::accumulate(values.begin(), values.end(), int64_t(0));
}
static int64_t roundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

static void evaluate(Candidate &c, const Problem &exact, const Target &target) {
  int64_t threads = 32 * c.warps;
  Problem problem = exact; // as tiles are: padded
  for (auto *dims : {&problem.scoreDims, &problem.accumulatorDims})
    for (int64_t &d : *dims)
      d = roundUp(d, 16);
  int64_t scoreDepth = sum(problem.scoreDims), valueWidth = sum(problem.accumulatorDims);
  bool isF32 = problem.elementBytes == 4, plain = isF32 && problem.precision == "fma";
  if (plain && c.query == "registers") {
    c.rejected = "keeps queries in registers, which products by multiply-adds read from shared memory";
    return;
  }
  for (int64_t v : problem.accumulatorDims)
    if (v > 256) {
      c.rejected = "accumulates " + std::to_string(v) + " features at once; the most is 256";
      return;
    }

  // Shared memory: query operands and staged results share bytes with nothing that lives in the loop, but with each
  // other.
  int64_t query = 0, ring = 0, staged = 0;
  for (int64_t d : problem.scoreDims) {
    query += roundUp(c.queryTile * d * problem.elementBytes, 1024);
    ring += roundUp(c.keyTile * d * problem.elementBytes, 1024);
  }
  for (int64_t v : problem.accumulatorDims) {
    ring += roundUp(c.keyTile * v * problem.elementBytes, 1024);
    staged = std::max(staged, roundUp(c.queryTile * v * problem.epilogueBytes, 1024));
  }
  c.sharedBytes = std::max(query + ring * c.stages, staged);
  if (c.sharedBytes > target.sharedPerBlock) {
    c.rejected = "needs " + std::to_string(c.sharedBytes) + " bytes of shared memory; " + std::string(target.name) +
                 " gives a block " + std::to_string(target.sharedPerBlock);
    return;
  }

  // Registers: scores, weights as operands, accumulators, query operands, fragments under way, addresses and
  // statistics. Weights in f32 are where the scores were, but come in two parts for products in three.
  int64_t pairs = c.queryTile * c.keyTile / threads;
  int64_t registers = pairs + pairs / 2 + problem.coefficients * pairs + c.queryTile * valueWidth / threads +
                      8 * c.queryTile / (16 * c.warps) + 52;
  if (c.query == "registers")
    registers += c.queryTile * scoreDepth * problem.elementBytes / 4 / threads;
  // With three products an element ptxas keeps many fragments under way; fitted to what it uses, on the safe side.
  bool thrice = isF32 && problem.precision == "3xtf32";
  if (thrice)
    registers += valueWidth + 2 * pairs;
  // Products that hide NaN stand in branches, around which ptxas moves less freely; fitted likewise.
  if (problem.hides && !isF32)
    registers += 24;
  c.registers = registers;
  if (registers > target.maxRegistersPerThread - 16) { // the estimate errs by about that much
    c.rejected = "needs about " + std::to_string(registers) + " registers a thread; there are " +
                 std::to_string(target.maxRegistersPerThread);
    return;
  }

  int64_t byShared = target.sharedPerSm / (c.sharedBytes + 1024);
  int64_t byRegisters = target.registersPerSm / (roundUp(registers, 8) * threads);
  int64_t byThreads = target.maxThreadsPerSm / threads;
  c.workItemsPerSm = std::min({byShared, byRegisters, byThreads, target.maxBlocksPerSm});
  if (c.workItemsPerSm < 1) {
    c.rejected = "does not fit one multiprocessor";
    return;
  }

  // Cycles of one SM for one tile of one work item, scaled to 64 x 64 pairs.
  double elements = double(c.queryTile) * c.keyTile;
  // Products in tf32 take twice as long as in 16 bits; split ones three times that, and each operand is split by every
  // warp that reads it.
  double rate = !isF32                          ? target.halfProductsPerSmPerCycle
                : plain                         ? target.singleProductsPerSmPerCycle
                : problem.precision == "3xtf32" ? target.halfProductsPerSmPerCycle / 6
                                                : target.halfProductsPerSmPerCycle / 2;
  double tensor = elements * (scoreDepth + valueWidth) / rate;
  double exponentials = elements / target.exponentialsPerSmPerCycle;
  // About ten instructions per pair besides (scale, maximum, sum, conversion), on four schedulers of 32 lanes.
  double scalar = elements * (10 + 2 * problem.coefficients) / 128;
  if (isF32 && !plain)
    scalar += c.warps * double(c.keyTile) * (scoreDepth + valueWidth) * (problem.precision == "3xtf32" ? 3 : 1) / 128;
  // Each warp reads every key and value fragment of the tile from shared memory, 128 bytes a cycle.
  double shared = c.warps * double(c.keyTile) * (scoreDepth + valueWidth) * problem.elementBytes / 128;
  if (c.query == "shared")
    shared += double(c.queryTile) * scoreDepth * problem.elementBytes / 128;
  // Tiles come from the second-level cache at about 64 bytes a cycle and SM.
  double copies = double(c.keyTile) * (scoreDepth + valueWidth) * problem.elementBytes / 64;
  double residentWarps = double(c.warps) * c.workItemsPerSm;
  // With few warps the pipes wait for each other; with eight or more they overlap.
  double overlap = std::min(1.0, residentWarps / 8);
  double longest = std::max({tensor, exponentials + scalar, shared, copies});
  double total = tensor + exponentials + scalar + shared + (c.stages > 1 ? 0.25 : 1.0) * copies;
  double cycles = overlap * longest + (1 - overlap) * total + 0.15 * total;
  cycles += 60.0 / c.workItemsPerSm; // barrier and loop
  c.cost = cycles * 4096 / elements;
}

std::vector<Candidate> fovea::tile::enumerateSchedules(const Problem &problem, const Target &target) {
  std::vector<Candidate> all;
  for (int64_t queryTile : {64, 128})
    for (int64_t keyTile : {16, 32, 64, 128})
      for (int64_t warps : {4, 8})
        for (int64_t stages : {1, 2, 3})
          for (const char *query : {"registers", "shared"}) {
            if (queryTile % (16 * warps) || (keyTile == 16 && problem.elementBytes < 4)) // 16: for wide heads of f32
              continue;
            Candidate c{queryTile, keyTile, warps, stages, query, 0, 0, 0, 0, {}, {}, 0, 0};
            evaluate(c, problem, target);
            all.push_back(std::move(c));
          }
  sortByCost(all);
  return all;
}

//===--- recurrences ---===//

/// Of keys that are products of features so many are made at once.
constexpr int64_t kPiece = 64;

/// Whether it fits the target, and how many work items at once.
static bool fits(Candidate &c, const Target &target) {
  if (c.sharedBytes > target.sharedPerBlock) {
    c.rejected = "needs " + std::to_string(c.sharedBytes) + " bytes of shared memory; " + std::string(target.name) +
                 " gives a block " + std::to_string(target.sharedPerBlock);
    return false;
  }
  // What is a little too much lives in memory for a while.
  if (c.registers > 2 * target.maxRegistersPerThread) {
    c.rejected = "needs about " + std::to_string(c.registers) + " registers a thread; there are " +
                 std::to_string(target.maxRegistersPerThread);
    return false;
  }
  int64_t threads = 32 * c.warps, used = std::min<int64_t>(c.registers, target.maxRegistersPerThread);
  c.workItemsPerSm =
      std::min({target.sharedPerSm / (c.sharedBytes + 1024), target.registersPerSm / (roundUp(used, 8) * threads),
                target.maxThreadsPerSm / threads, target.maxBlocksPerSm});
  if (c.workItemsPerSm < 1)
    c.rejected = "does not fit one multiprocessor";
  return c.rejected.empty();
}

/// How much longer it takes where registers do not suffice.
static double spilling(const Candidate &c, const Target &target) {
  return 1 + 0.03 * double(std::max<int64_t>(0, c.registers - target.maxRegistersPerThread + 8));
}

/// The most cycles that work items on one multiprocessor hide from one another.
static int64_t overlapping(const Candidate &c) { return std::min<int64_t>(c.workItemsPerSm, 4); }

static void evaluateFused(Candidate &c, const Recurrence &problem, const Target &target) {
  int64_t threads = 32 * c.warps, keys = roundUp(problem.keys, 16), bytes = problem.elementBytes;
  int64_t made = problem.products ? std::min(keys, kPiece) : keys; // at once
  // Warps beyond the rows have other columns, as far as there are such.
  auto each = [&](int64_t rows, int64_t columns) {
    int64_t across = Layout::warpsOfColumns(std::max<int64_t>(rows, 16), columns, c.warps);
    return std::max(rows, 16 * c.warps / across) * columns / threads;
  };
  // State and what is read; weights as operands; what is written, f32 where it decays.
  // What is left over is fitted to what ptxas uses.
  int64_t registers = each(c.values, keys) + each(c.values, c.chunk) + each(c.chunk, c.chunk) / 2 +
                      each(c.values, c.chunk) / 2 + made / 2 + 30;
  if (problem.products && problem.normalises) // vectors of which a quarter is in each thread
    registers += keys / 4;
  if (problem.decays)
    registers += each(c.values, c.chunk) / 2;
  if (problem.erases) // what is replaced, besides what is read
    registers += each(c.values, c.chunk);
  if (problem.channels)
    registers += each(c.chunk, keys);
  if (problem.computes)
    registers += each(c.chunk, made);
  c.registers = registers;
  int64_t ring = 2 * roundUp(c.chunk * made * bytes, 1024) + roundUp(c.chunk * c.values * bytes, 1024);
  int64_t shared = ring * c.stages + roundUp(c.chunk * c.values * 2, 1024);
  if (problem.erases) // erase, and the inverse
    shared += roundUp(c.chunk * keys * bytes, 1024) + roundUp(c.chunk * c.chunk * bytes, 1024) + 8192;
  if (problem.channels) // sums, keys and queries that decayed
    shared += roundUp(c.chunk * keys * 4, 1024) + 2 * roundUp(c.chunk * keys * bytes, 1024);
  c.sharedBytes = shared;
  if (!fits(c, target))
    return;

  double tokens = double(c.chunk), width = double(c.values), depth = double(keys);
  double products = tokens * tokens * (depth + width) + 2 * tokens * depth * width;
  if (problem.erases)
    products += tokens * tokens * (depth + width + tokens / 3) + tokens * depth * width;
  double elements = 6 * tokens * tokens + 4 * tokens * width + (problem.decays ? 2 : 0) * depth * width;
  if (problem.channels)
    elements += 12 * tokens * depth + 4 * tokens * depth * 16;
  if (problem.normalises)
    elements += 6 * tokens * depth;
  if (problem.products) // made of a few features, and given to other warps piece by piece
    elements += 8 * tokens * depth;
  double copies = (2 * tokens * double(problem.products ? 32 : keys) + tokens * width) * double(bytes) / 64;
  double latency = 900 + 200 * double(keys / made - 1) +
                   (problem.erases ? 1500 : 0); // barriers and products that wait for one another
  double cycles = products / target.halfProductsPerSmPerCycle + elements / 128 + (c.stages > 1 ? 0.25 : 1) * copies;
  cycles = std::max(cycles, copies) + latency / double(overlapping(c));
  double parts = problem.values ? double((problem.values + c.values - 1) / c.values) : 1;
  c.cost = c.busy = cycles * 64 / tokens * parts * spilling(c, target);
  double share = std::min(1.0, double(c.warps) / 4); // of the tensor cores, one for each fourth warp
  double single =
      products / target.halfProductsPerSmPerCycle / share + elements / (32 * std::min(4.0, double(c.warps)));
  c.alone = (single + (c.stages > 1 ? 0.25 : 1) * copies + latency) * 64 / tokens * spilling(c, target);
}

/// Chunks side by side: what each adds or writes, the pass through the states, the reads.
static void evaluateChunks(Candidate &c, const Recurrence &problem, const Target &target) {
  int64_t keys = roundUp(problem.keys, 16), bytes = problem.elementBytes;
  int64_t all = std::max<int64_t>(16, roundUp(problem.values, 16)),
          read = all > 256 ? 128 : all; // of a work item that reads
  int64_t passWarps = std::min(c.warps, c.values / 16);
  auto each = [](int64_t rows, int64_t columns, int64_t warps) {
    int64_t across = Layout::warpsOfColumns(std::max<int64_t>(rows, 16), columns, warps);
    return std::max(rows, 16 * warps / across) * columns / (32 * warps);
  };
  int64_t pass = each(c.values, keys, passWarps) + 60;
  int64_t reads = each(read, c.chunk, c.warps) + each(c.chunk, c.chunk, c.warps) * 3 / 2 + 60;
  int64_t first = each(c.values, keys, c.warps) + 60;
  if (problem.erases) {
    pass += each(c.values, c.chunk, passWarps) * 3 / 2;
    first = 2 * each(c.chunk, c.chunk, c.warps) + each(c.chunk, keys, c.warps) + 60;
  } else {
    pass += each(c.values, keys, passWarps);
  }
  if (problem.computes)
    first += each(c.chunk, keys, c.warps);
  if (problem.channels) {
    first += each(c.chunk, keys, c.warps);
    reads += each(c.chunk, keys, c.warps);
  }
  c.registers = std::max({pass, reads, first});
  int64_t rings = problem.erases ? 2 * roundUp(c.chunk * keys * bytes, 1024) * c.stages : 0;
  int64_t shared = roundUp(c.chunk * read * 2, 1024) + 2 * roundUp(c.chunk * keys * bytes, 1024);
  if (problem.erases)
    shared += roundUp(c.chunk * keys * bytes, 1024) + roundUp(c.chunk * c.chunk * bytes, 1024) + 8192;
  if (problem.channels)
    shared += roundUp(c.chunk * keys * 4, 1024);
  c.sharedBytes = std::max(rings, shared);
  if (!fits(c, target))
    return;

  double tokens = double(c.chunk), width = double(all), part = double(c.values), depth = double(keys);
  double rate = target.halfProductsPerSmPerCycle;
  double products = tokens * tokens * (depth + width) + 2 * tokens * depth * width; // of the first and the last launch
  double elements = 6 * tokens * tokens + 4 * tokens * (depth + width);
  double between = depth * width * 6 / 64; // states through memory
  double latency = 700, inPass = 0;
  double passElements = 4 * depth * part + 2 * tokens * part;
  double copies = depth * part * 4 / 64; // of what is added
  if (problem.erases) {
    products += tokens * tokens * (depth + width + tokens / 3);
    inPass = 2 * tokens * depth * part;
    between += (tokens * depth * 4 + tokens * width * 6) / 64;
    latency = 900;
    copies = (c.stages > 1 ? 0.25 : 1) * tokens * depth * 4 / 64 + tokens * part * 4 / 64;
  }
  if (problem.channels)
    elements += 24 * tokens * depth + 8 * tokens * depth * 16;
  double share = std::min(1.0, double(passWarps) / 4);
  double parts = problem.values ? double((problem.values + c.values - 1) / c.values) : 1;
  c.alone =
      (inPass / rate / share + passElements / (32 * std::min(4.0, double(passWarps))) + copies + latency) * 64 / tokens;
  c.busy = (products / rate + elements / 128 + between + 2000 / double(overlapping(c)) + inPass * parts / rate) * 64 /
           tokens * spilling(c, target);
  c.cost = c.alone + c.busy;
}

static void evaluateStep(Candidate &c, const Recurrence &problem, const Target &target) {
  int64_t threads = 32 * c.warps, keys = roundUp(problem.keys, 16);
  int64_t made = problem.products ? std::min(keys, kPiece) : keys; // at once
  // The state, what it is multiplied by, and vectors of keys, a quarter of which each thread has.
  c.registers =
      (problem.normalises ? 2 : 1) * c.values * keys / threads + c.values * made / threads / 2 + made / 2 + 40;
  if (!fits(c, target))
    return;
  double elements = double(c.values) * double(keys) * (problem.erases ? 7 : 4) * (problem.normalises ? 2 : 1);
  double cycles = elements / 128 + 1500 / double(std::min<int64_t>(c.workItemsPerSm, 8)); // a load from memory
  double parts = problem.values ? double((problem.values + c.values - 1) / c.values) : 1;
  c.cost = c.busy = cycles * 64 * parts * spilling(c, target);
  c.alone = (elements / (32 * std::min(4.0, double(c.warps))) + 1500) * 64;
}

std::vector<Candidate> fovea::tile::enumerateSchedules(const Recurrence &problem, const Target &target) {
  std::vector<Candidate> all;
  int64_t widest = roundUp(std::max<int64_t>(problem.values, 16), 16);
  auto add = [&](const char *kind, int64_t chunk, int64_t values, int64_t warps, int64_t stages) {
    Candidate c;
    c.kind = kind;
    c.chunk = chunk;
    c.values = values;
    c.warps = warps;
    c.stages = stages;
    c.query = "shared";
    if (c.kind == "step")
      evaluateStep(c, problem, target);
    else if (c.kind == "chunk")
      evaluateChunks(c, problem, target);
    else
      evaluateFused(c, problem, target);
    if (c.kind == "split" && c.rejected.empty()) { // keys and values are read twice, and added up
      c.busy *= 1.6;
      c.alone *= 1.6;
      c.cost *= 1.6;
    }
    all.push_back(std::move(c));
  };
  // Parts of one size, the last one perhaps padded.
  std::vector<int64_t> parts;
  for (int64_t count = 1; count * 16 <= widest; ++count)
    if (widest % (16 * count) == 0)
      parts.push_back(widest / count);
  if (problem.chunks && problem.elementBytes == 2)
    for (int64_t chunk : {16, 32, 64, 128})
      for (int64_t warps : {1, 2, 4, 8})
        for (int64_t part : parts)
          for (int64_t stages : {1, 2})
            // A state of many features is dealt to as many warps as there are tokens for.
            if ((part % (16 * warps) == 0 ||
                 (problem.products && 16 * warps <= chunk && 4 * part % (16 * warps) == 0)) &&
                (!problem.blocks || problem.blocks % chunk == 0))
              add("fused", chunk, part, warps, stages);
  bool chunks = problem.chunks && problem.elementBytes == 2 && !problem.products;
  for (int64_t chunk : {16, 32, 64, 128})
    for (int64_t warps : {1, 2, 4, 8})
      for (int64_t part : parts) {
        if (!chunks || (problem.blocks && problem.blocks % chunk != 0))
          continue;
        for (int64_t stages : {1, 2}) {
          if (part % (16 * warps) == 0 && !problem.erases)
            add("split", chunk, part, warps, stages);
          // Tokens are the rows of two of three launches; twice as many warps have half of their columns each.
          if (8 * warps <= std::max(chunk, part) && part >= 16 && (stages == 1 || problem.erases))
            add("chunk", chunk, part, warps, stages);
        }
      }
  for (int64_t warps : {1, 2, 4})
    for (int64_t part : parts)
      if (part % (16 * warps) == 0 && (part <= 64 || part == parts.back()))
        add("step", 1, part, warps, 1);
  // Three launches are for calls whose work items would leave the device idle, or where nothing else fits.
  double dearest = 0;
  for (const Candidate &c : all)
    if (c.rejected.empty() && c.kind == "fused")
      dearest = std::max(dearest, c.cost);
  for (Candidate &c : all)
    if (c.kind == "chunk" || c.kind == "split")
      c.cost += dearest;
  sortByCost(all);
  return all;
}
