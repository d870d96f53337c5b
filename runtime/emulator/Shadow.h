// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the race checker remembers of shared and global memory: who wrote and read each granule last. Order between
// threads is kept as one vector clock per warp, joined at barriers; a conflict without an order between its two sides
// is found whatever the schedule was (Flanagan and Freund, "FastTrack", PLDI 2009). A warp's own clock also advances at
// bar.warp.sync, so two of its lanes are ordered only if their accesses carry different clocks.
#pragma once

#include "runtime/emulator/Memory.h"

#include <array>
#include <cstring>
#include <memory>
#include <vector>

namespace fovea::emulator {

struct Warp;
struct Inst;
struct Launch;

enum class AccessKind : uint8_t { Load, Store, Atomic };

/// Clock of a warp and the lane of an access in 32 bits; 0 is "never".
using Stamp = uint32_t;
constexpr uint32_t collectiveLane = 62; // of the whole warp in one instruction, as ldmatrix
constexpr uint32_t severalLanes = 63;
constexpr uint32_t maxClock = (1u << 26) - 2;
constexpr Stamp stamp(uint32_t clock, uint32_t lane) { return clock << 6 | lane; }
constexpr uint32_t clockOf(Stamp s) { return s >> 6; }
constexpr uint32_t laneOf(Stamp s) { return s & 63; }
/// Two accesses of one warp without an order between them.
constexpr bool unordered(Stamp s, uint32_t clock, uint32_t lane) {
  return clockOf(s) == clock && (laneOf(s) != lane || lane == severalLanes);
}
/// The later of two accesses of one warp, or both if they carry one clock.
constexpr Stamp joined(Stamp s, uint32_t clock, uint32_t lane) {
  return clockOf(s) == clock && laneOf(s) != lane ? stamp(clock, severalLanes) : stamp(clock, lane);
}

/// One vector clock per warp of a CTA; a warp's own entry grows at each release and at each bar.warp.sync.
class Clocks {
public:
  void reset(uint32_t warps) {
    of_.assign(warps, {});
    for (uint32_t w = 0; w < warps; ++w)
      of_[w][w] = 1;
  }
  std::array<uint32_t, 32> &operator[](uint32_t warp) { return of_[warp]; }
  const std::array<uint32_t, 32> &operator[](uint32_t warp) const { return of_[warp]; }
  void advance(uint32_t warp) {
    if (of_[warp][warp] < maxClock)
      ++of_[warp][warp];
  }
  bool exhausted(uint32_t warp) const { return of_[warp][warp] >= maxClock; }

private:
  std::vector<std::array<uint32_t, 32>> of_;
};

/// Shared memory of one CTA: initialised bytes; last write, last read of each warp and copies in flight per granule. A
/// granule has 16 bytes until something smaller is accessed in its region, then 4, then 1.
class SharedShadow {
public:
  void reset(uint32_t bytes, uint32_t warps, bool initialisation, bool races);
  /// One lane's access of `bytes` at shared address `address`, inside bounds.
  void access(Warp &warp, const Inst &inst, uint32_t lane, uint32_t address, uint32_t bytes, AccessKind kind);
  void beginCopy(Warp &warp, const Inst &inst, uint32_t lane, uint32_t address, uint32_t bytes);
  void endCopy(Warp &warp, uint32_t lane, uint32_t address, uint32_t bytes, uint32_t line);
  bool initialised(uint32_t address, uint32_t bytes) const;
  void setInitialised(uint32_t address, uint32_t bytes, bool value) { std::memset(&init_[address], value, bytes); }
  bool tracksInit() const { return !init_.empty(); }
  bool tracksRaces() const { return !regions_.empty(); }

private:
  struct Cell {
    Stamp write = 0;
    uint32_t writeLine = 0, readLine = 0;
    uint32_t writeTick = 0;   // which instruction of the warp
    uint32_t pendingLine = 0; // of the asynchronous copy in flight, 0: none
    uint8_t writer = 0, pendingWarp = 0, pendingLane = 0;
    bool atomic = false;
  };
  struct Region {
    uint32_t first = 0; // cell
    uint32_t shift = 4; // log2 of a granule's bytes
  };
  static constexpr uint32_t regionBytes = 256;

  void touch(Warp &warp, const Inst &inst, uint32_t lane, uint32_t address, size_t cell, AccessKind kind);
  void refine(Region &region, uint32_t shift);
  template <typename F> void eachCell(uint32_t address, uint32_t bytes, F &&f);

  std::vector<uint8_t> init_;
  std::vector<Region> regions_;
  std::vector<Cell> cells_;
  std::vector<Stamp> reads_; // cell * warps + warp
  uint32_t warps_ = 0;
};

/// Where an access came from.
struct GlobalAccess {
  uint32_t cta = 0; // number of the CTA + 1; 0: none
  uint32_t at = 0;  // instruction * 1024 + thread
};

/// Global memory as one worker sees it. Within the CTA that runs, clocks order accesses as in shared memory; nothing
/// orders the CTAs of a launch, so the first two CTAs of each kind of access are kept and compared at the end, over all
/// workers.
class GlobalShadow {
public:
  void reset(size_t buffers);
  void beginCta(uint32_t cta) { cta_ = cta + 1; }
  void access(Warp &warp, const Inst &inst, uint32_t lane, Buffer &buffer, uint64_t address, uint32_t bytes,
              AccessKind kind);

  /// Reports conflicts between CTAs over the shadows of all workers, into the first one's report.
  static void compare(const std::vector<Launch *> &workers, const std::vector<Buffer *> &buffers);

private:
  static constexpr uint32_t pageShift = 12;
  enum Kind : uint8_t { Read, Write, Atomic };
  struct Cell {
    uint32_t cta = 0; // of write, read
    Stamp write = 0, read = 0;
    uint32_t writeLine = 0, readLine = 0;
    uint32_t writeTick = 0; // which instruction of the warp
    uint8_t writer = 0, reader = 0;
    bool atomic = false;
    uint32_t readers = 0;     // 1 + index into readers_ once several warps have read
    GlobalAccess first[3][2]; // by Kind: the first CTA and the first other one
  };
  struct Page {
    uint32_t shift = 4;
    bool written = false;
    std::vector<Cell> cells;
  };
  struct Pages {
    std::vector<std::unique_ptr<Page>> dense;
    std::unordered_map<uint64_t, std::unique_ptr<Page>> sparse;
  };

  Page &page(Buffer &buffer, uint64_t number);
  const Page *find(size_t buffer, uint64_t number) const;
  static void refine(Page &page, uint32_t shift);
  void touch(Warp &warp, const Inst &inst, uint32_t lane, Buffer &buffer, uint64_t address, Cell &cell,
             AccessKind kind);

  std::vector<Pages> pages_;
  std::vector<std::array<Stamp, 32>> readers_;
  uint32_t readersOf_ = 0; // CTA whose readers they are
  uint32_t cta_ = 0;
};

} // namespace fovea::emulator
