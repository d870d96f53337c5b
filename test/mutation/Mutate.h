// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Mutation tests of kernels and of the emulator's checks: each mutant of a kernel's PTX lacks one barrier, wait, guard
// or constant, or has it in the wrong place. A mutant whose bits depend on when copies land must be reported by a
// check.
#pragma once

#include "runtime/abi/Plan.h"
#include "runtime/emulator/Emulator.h"
#include "runtime/host/Execute.h"

#include <string>
#include <string_view>
#include <vector>

namespace fovea::mutation {

enum class Class {
  Barrier,  // bar.sync, bar.warp.sync: deleted, moved over the memory instruction before or after it
  Wait,     // cp.async.wait_group: deleted, waits for one group less, moved
  Commit,   // cp.async.commit_group: deleted, doubled, moved
  Fence,    // fence, membar: deleted
  Guard,    // @p, @!p: dropped, negated; a branch never and always taken
  Bound,    // setp: < for <= and so on, which guards, masks and tail handling rest on
  Swizzle,  // xor: dropped, its constant another one
  Offset,   // the constant in a shared-memory address: 16 bytes further, none
  CopySize, // the source size of cp.async: always whole
};
const char *name(Class kind);
/// Faults of these classes are faults of order: other bits are not enough, a check must name them.
bool isOrder(Class kind);

struct Mutant {
  Class kind = Class::Barrier;
  uint32_t line = 0; // of the PTX text, from 1
  std::string what;  // "deleted", "moved before line 17"
  std::string original;
  std::string text;  // of the whole module
  std::string probe; // the original that traps where the mutant's line does something else; empty: no such probe
  std::string why;   // what it means if the probe never traps
  bool entersProduct = true; // offsets of matrix loads: is what they load an operand of an mma?
  uint32_t next = 0;         // barriers: line of the next barrier that comes before any access; 0: none
};

/// All mutants of the named kernels of a module. Knows PTX with one statement per line, as LLVM prints it.
std::vector<Mutant> mutants(std::string_view ptx, const std::vector<std::string> &kernels);

enum class Verdict {
  Reported,  // by a check
  Different, // the same wrong bits under every policy: comparing with the reference finds it
  Missed,    // wrong bits that depend on the policy, or a fault of order with wrong bits, and no report
  Survives,  // the original's bits and no report under any policy
  Stillborn, // no PTX
};
const char *name(Verdict verdict);

struct Judgement {
  Verdict verdict = Verdict::Survives;
  std::string report; // the first finding; the error of a stillborn one
};

struct Trial {
  runtime::AxisSizes sizes;
  uint32_t randomPolicies = 3; // beside lazy and eager
  /// Every third number of the last row along each tensor's second dimension is infinite; of the last tensor, usually
  /// the values, of the row before too, whose key has a finite score.
  bool nonfinite = false;
  emulator::Checks checks; // of the mutants; the original runs with all
};

/// Runs the plans of one specification and judges its mutants.
class Judge {
public:
  /// Draws inputs and runs the original under lazy, eager and `policies` random completions: it must be clean and give
  /// the same bits each time.
  static Result<Judge> create(const runtime::Plan &plan, std::vector<Trial> trials, uint32_t policies = 20);

  /// Kernels that ran, with the module of each.
  const std::vector<std::pair<uint32_t, std::string>> &kernels() const { return kernels_; }
  /// Of each line of a module: how often warps executed it in the original, over all trials.
  uint64_t executed(uint32_t module, uint32_t line) const;
  uint64_t laneInstructions() const { return laneInstructions_; }
  /// Several threads may judge at a time.
  Judgement judge(uint32_t module, const Mutant &mutant) const;
  /// Why a survivor may be one, from what its line does in the original; empty if nothing explains it.
  std::string reason(uint32_t module, const Mutant &mutant) const;

private:
  struct Prepared {
    Trial trial;
    std::vector<std::pair<std::string, runtime::Array>> inputs;
    std::vector<std::string> bits; // of the outputs
    uint64_t instructions = 0;     // warp instructions of the largest launch
  };
  struct Run {
    bool stillborn = false, completed = false;
    std::string report; // empty: clean
    std::vector<std::string> bits;
    uint64_t instructions = 0, laneInstructions = 0;
    std::vector<std::pair<std::string, emulator::Counters>> counters; // by kernel
    std::vector<std::pair<uint32_t, std::string>> kernels;
  };
  static Run run(const runtime::Plan &plan, const Prepared &prepared, emulator::Checks checks,
                 emulator::AsyncPolicy policy, uint64_t seed, uint64_t budget, bool counters);

  const runtime::Plan *plan_ = nullptr;
  std::vector<Prepared> prepared_;
  std::vector<std::pair<uint32_t, std::string>> kernels_;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> executed_;
  uint64_t laneInstructions_ = 0;
};

} // namespace fovea::mutation
