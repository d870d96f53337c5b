// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The state of a launch while it runs: register files of warps, splits of a diverged warp, CTA, barriers, findings.
#pragma once

#include "runtime/emulator/Memory.h"
#include "runtime/emulator/Program.h"
#include "runtime/emulator/Shadow.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <vector>

namespace fovea::emulator {

constexpr uint32_t fullMask = 0xffffffffu;

struct Launch;
struct Cta;

/// Lanes that run together. A diverged warp has several; each ends at its join.
struct Split {
  uint32_t pc = 0;
  uint32_t mask = 0;
  int32_t join = -1;
  uint32_t parkedFor = 0; // nonzero: waits at pc until these lanes are there too
  bool parked = false;
};

/// Where the lanes of a divergent branch meet again.
struct Join {
  uint32_t pc = 0;
  uint32_t expected = 0, arrived = 0;
  int32_t parent = -1;
  bool live = false;
};

/// One cp.async instruction of a warp, from its issue to the waits of all its lanes.
struct AsyncCopy {
  uint32_t waiting = 0;  // lanes whose wait has not come
  uint32_t inFlight = 0; // lanes whose data has not landed
  uint32_t line = 0;
  uint32_t inst = 0;
  uint8_t size = 0;
  uint32_t group[32];
  uint32_t to[32]; // shared addresses
  const uint8_t *from[32];
  uint8_t bytes[32]; // to read; the rest is zero
};

enum class WarpState : uint8_t { Ready, AtBarrier, Done };

struct Warp {
  std::byte *regs = nullptr;
  uint32_t *predicates = nullptr;
  uint32_t *valid = nullptr; // per 128 bytes of regs: lanes that are defined; null when unchecked
  uint32_t *validPredicates = nullptr;
  Launch *launch = nullptr;
  Cta *cta = nullptr;
  uint32_t id = 0;
  uint32_t live = 0; // lanes that exist and have not exited
  WarpState state = WarpState::Ready;
  uint32_t barrier = 0; // waited for
  uint32_t barrierPc = 0;
  std::vector<Split> splits;
  std::vector<Join> joins;
  uint32_t current = 0; // index into splits
  uint32_t clockTicks = 0;
  std::vector<AsyncCopy> copies; // in order of issue
  size_t firstCopy = 0;          // copies before it are finished
  uint32_t committed[32] = {};   // groups closed, per lane
  uint64_t executed = 0;         // warp instructions

  uint32_t *r32(int32_t offset) const { return reinterpret_cast<uint32_t *>(regs + offset); }
  uint64_t *r64(int32_t offset) const { return reinterpret_cast<uint64_t *>(regs + offset); }
  uint32_t predicate(int32_t operand) const { return predicates[operand >> 1] ^ (operand & 1 ? fullMask : 0); }
  void setPredicate(int32_t operand, uint32_t mask, uint32_t value) const {
    uint32_t &p = predicates[operand >> 1];
    p = (p & ~mask) | (value & mask);
  }
  uint32_t validity(uint32_t dep) const {
    return dep & predicateDep ? validPredicates[dep & ~predicateDep] : valid[dep];
  }
  void setValidity(uint32_t dep, uint32_t mask, uint32_t value) const {
    uint32_t &v = dep & predicateDep ? validPredicates[dep & ~predicateDep] : valid[dep];
    v = (v & ~mask) | (value & mask);
  }
};

struct BarrierState {
  uint32_t arrived = 0;  // threads
  uint32_t expected = 0; // threads; 0: nobody is there
  bool wholeCta = false; // the count was left out
  uint32_t line = 0;     // of the first arrival
  uint32_t popc = 0;
  bool all = true, any = false;
  std::vector<uint32_t> waiting; // warps
  uint32_t arrivedWarps = 0;
  std::array<uint32_t, 32> clocks{}; // joined vector clock
};

struct Cta {
  Dim3 id;
  uint32_t warpCount = 0, threads = 0;
  std::vector<uint8_t> shared; // from shared address 0; [0, sharedBase) is never accessible
  uint32_t sharedEnd = 0;      // first address behind shared memory
  std::vector<uint8_t> local;
  std::vector<uint8_t> localInit;
  std::vector<Warp> warps;
  std::array<BarrierState, 16> barriers;
  SharedShadow shadow;
  Clocks clocks;
  uint64_t liveWarps = 0;
};

struct InstCounters {
  uint64_t executed = 0;
  uint64_t wavefronts = 0, ideal = 0, sectors = 0;
  uint32_t worst = 0;
};

/// What the workers of a launch share.
struct LaunchState {
  Buffer globals;                            // module variables
  std::atomic<uint64_t> next{0};             // CTA
  std::atomic<uint64_t> stopAt{UINT64_MAX};  // the first CTA that could not go on: later ones need not run
  std::atomic<uint64_t> warpInstructions{0}; // so far, for the budget
};

/// One worker of a launch: runs CTAs one after the other.
struct Launch {
  const ModuleImpl *module = nullptr;
  const Kernel *kernel = nullptr;
  MemoryImpl *memory = nullptr;
  LaunchState *state = nullptr;
  Options options;
  Dim3 grid, block;
  uint32_t dynamicShared = 0;
  std::string params;
  Cta cta;
  uint64_t ctaNumber = 0;
  GlobalShadow globalShadow;
  LaunchReport report;
  std::vector<InstCounters> counts;
  std::vector<BufferCounters> buffers; // by Buffer::index
  uint64_t random = 0;
  bool races = false;
  bool stop = false; // a fault after which nothing can go on
  bool counting = false;

  /// Counts a finding; true if its text is wanted (then call add).
  bool wants(const Inst &inst, FindingKind kind);
  void add(const Warp &warp, const Inst &inst, FindingKind kind, uint32_t lane, uint64_t address, std::string object,
           std::string message);
  uint64_t nextRandom() {
    // splitmix64
    uint64_t z = (random += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
};

Dim3 ctaOf(const Launch &launch, uint64_t number);
Dim3 threadOf(const Launch &launch, uint32_t thread);
Dim3 threadOf(const Launch &launch, const Warp &warp, uint32_t lane);
std::string hex(uint64_t value);
/// The variable or buffer that holds an address of this space, empty if none does.
std::string objectAt(const Launch &launch, Space space, uint64_t address);

/// Runs one CTA to its end; `launch.cta` is prepared by it.
void runCta(Launch &launch, uint64_t number);

// --- memory access, for the families ---

void laneAddresses(const Warp &warp, const Inst &inst, uint64_t *out);
/// Resolves a warp access: fills host pointers of the active lanes whose access is legal and returns their mask;
/// reports the rest. `bytes` per lane, a power of two up to 32.
uint32_t resolve(Warp &warp, const Inst &inst, uint32_t mask, Space space, const uint64_t *address, uint32_t bytes,
                 AccessKind kind, uint8_t **at, uint32_t &undefined);
/// Shared address of a lane given a shared or (with `generic`) generic address; checks bounds and alignment.
bool sharedAddress(Warp &warp, const Inst &inst, uint32_t lane, uint64_t address, uint32_t bytes, uint32_t align);
void countShared(Warp &warp, const Inst &inst, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind);
void countPhases(Warp &warp, const Inst &inst, const uint32_t *rows, uint32_t count);

// --- asynchronous copies ---
void waitCopies(Warp &warp, uint32_t mask, int64_t newestAllowed); // -1: all, also uncommitted ones
void landSomeCopies(Warp &warp);
void finishCopies(Warp &warp); // at the end of a warp

// --- full-mask loops ---
template <typename F> inline void forLanes(uint32_t mask, F &&f) {
  for (uint32_t m = mask; m; m &= m - 1)
    f(uint32_t(std::countr_zero(m)));
}

} // namespace fovea::emulator
