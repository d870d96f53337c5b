// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Enumeration and cost model of Candidates.h.
#include "passes/schedule/Candidates.h"

#include "dialect/common/Target.h"

#include <algorithm>
#include <numeric>

using namespace fovea;
using namespace fovea::tile;

std::string Candidate::str() const {
  return std::to_string(queryTile) + "x" + std::to_string(keyTile) + ", " + std::to_string(warps) + " warps, " +
         std::to_string(stages) + (stages == 1 ? " stage" : " stages") + ", query in " +
         (query == "shared" ? "shared memory" : "registers");
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
            Candidate c{queryTile, keyTile, warps, stages, query, 0, 0, 0, 0, {}};
            evaluate(c, problem, target);
            all.push_back(std::move(c));
          }
  std::stable_sort(all.begin(), all.end(), [](const Candidate &x, const Candidate &y) {
    if (x.rejected.empty() != y.rejected.empty())
      return x.rejected.empty();
    return x.rejected.empty() && x.cost < y.cost;
  });
  return all;
}
