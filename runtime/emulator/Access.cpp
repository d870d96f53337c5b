// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every memory access of a warp goes through here: which space and buffer, in bounds, aligned, initialised, and how
// many bank passes and sectors it costs.
#include "runtime/emulator/Machine.h"

#include <algorithm>

namespace fovea::emulator {

namespace {

std::string accessName(AccessKind kind) {
  return kind == AccessKind::Load ? "load" : kind == AccessKind::Store ? "store" : "atomic operation";
}

void reportOutOfBounds(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes, AccessKind kind,
                       const char *space) {
  if (!w.launch->wants(i, FindingKind::OutOfBounds))
    return;
  std::string object, nearest;
  // Name the buffer that ends or begins closest.
  uint64_t best = UINT64_MAX;
  if (std::string_view(space) == "global")
    for (const auto &b : w.launch->memory->buffers) {
      const uint64_t end = b->base + b->size;
      const uint64_t distance = address < b->base ? b->base - address : address >= end ? address - end : 0;
      if (distance < best) {
        best = distance;
        object = b->name;
        nearest = address < b->base ? std::to_string(distance) + " bytes before the start of"
                  : address >= end  ? std::to_string(distance) + " bytes behind the end of"
                                    : "across the end of";
        nearest += " '" + b->name + "' (" + std::to_string(b->size) + " bytes at " + hex(b->base) + ")";
      }
    }
  if (best > (1ull << 40)) {
    nearest.clear();
    object.clear();
  }
  if (std::string_view(space) == "shared")
    object = "shared memory",
    nearest = "shared memory of this CTA is [" + hex(sharedBase) + ", " + hex(w.cta->sharedEnd) + ")";
  if (std::string_view(space) == "local")
    object = "local memory", nearest = "local memory of a thread is [" + hex(localBase) + ", " +
                                       hex(localBase + w.launch->kernel->info.localBytes) + ")";
  w.launch->add(w, i, FindingKind::OutOfBounds, lane, address, object,
                std::string(space) + " " + accessName(kind) + " of " + std::to_string(bytes) + " bytes at " +
                    hex(address) + " is out of bounds" + (nearest.empty() ? "" : ": " + nearest));
}

void reportMisaligned(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t align) {
  if (w.launch->wants(i, FindingKind::Misaligned))
    w.launch->add(w, i, FindingKind::Misaligned, lane, address, objectAt(*w.launch, i.space, address),
                  "address " + hex(address) + " is not a multiple of " + std::to_string(align));
}

void countGlobal(Warp &w, const Inst &i, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind,
                 Buffer **buffers) {
  uint64_t sectors[128];
  uint32_t count = 0;
  uint64_t last = UINT64_MAX;
  bool sorted = true;
  forLanes(mask, [&](uint32_t l) {
    for (uint64_t s = address[l] / 32; s <= (address[l] + bytes - 1) / 32; ++s) {
      if (s == last)
        continue;
      sorted &= last == UINT64_MAX || s > last;
      if (count < 128)
        sectors[count++] = s;
      last = s;
    }
    Buffer *b = buffers[l];
    BufferCounters &own = w.launch->buffers[b->index];
    (kind == AccessKind::Load ? own.loadBytes : own.storeBytes) += bytes;
    const uint64_t first = (address[l] - b->base) / 32, end = (address[l] - b->base + bytes - 1) / 32;
    for (uint64_t s = first; s <= end; ++s)
      b->touchSector(2 * s + (kind == AccessKind::Load ? 0 : 1));
  });
  if (!sorted) {
    std::sort(sectors, sectors + count);
    count = uint32_t(std::unique(sectors, sectors + count) - sectors);
  }
  Counters &c = w.launch->report.counters;
  c.globalSectorsRequested += count;
  const uint64_t total = uint64_t(std::popcount(mask)) * bytes;
  (kind == AccessKind::Load ? c.globalLoadBytes : c.globalStoreBytes) += total;
  w.launch->counts[size_t(&i - w.launch->kernel->code.data())].sectors += count;
  // A warp access rarely spans buffers; its sectors go to the first lane's.
  BufferCounters &own = w.launch->buffers[buffers[std::countr_zero(mask)]->index];
  (kind == AccessKind::Load ? own.loadSectors : own.storeSectors) += count;
}

uint32_t resolveGlobal(Warp &w, const Inst &i, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind,
                       uint8_t **at, bool readOnlySpace) {
  Launch &launch = *w.launch;
  Buffer *buffers[32];
  Buffer *current = nullptr;
  uint32_t good = 0;
  const uint32_t align = bytes;
  forLanes(mask, [&](uint32_t l) {
    const uint64_t a = address[l];
    if (!current || !current->contains(a, bytes)) {
      Buffer *found = launch.state->globals.contains(a, 1) ? &launch.state->globals : launch.memory->find(a);
      if (!found || !found->contains(a, bytes)) {
        reportOutOfBounds(w, i, l, a, bytes, kind, "global");
        return;
      }
      current = found;
    }
    if (a & (align - 1)) {
      reportMisaligned(w, i, l, a, align);
      return;
    }
    if (kind != AccessKind::Load && (current->readOnly || readOnlySpace)) {
      if (launch.wants(i, FindingKind::ReadOnlyStore))
        launch.add(w, i, FindingKind::ReadOnlyStore, l, a, current->name,
                   "store to read-only memory '" + current->name + "'");
      return;
    }
    if (current->tracked && launch.options.checks.uninitialised) {
      if (kind != AccessKind::Store && !current->isInit(a, bytes) && launch.wants(i, FindingKind::Uninitialised))
        launch.add(w, i, FindingKind::Uninitialised, l, a, current->name,
                   "reads " + std::to_string(bytes) + " bytes of '" + current->name + "' at offset " +
                       std::to_string(a - current->base) + " that nobody wrote");
      if (kind != AccessKind::Load)
        current->setInit(a, bytes);
    } else if (current->tracked && kind != AccessKind::Load) {
      current->setInit(a, bytes);
    }
    // What no kernel writes cannot race.
    if (launch.races && !current->readOnly && !readOnlySpace)
      launch.globalShadow.access(w, i, l, *current, a, bytes, kind);
    buffers[l] = current;
    at[l] = current->at(a, kind != AccessKind::Load);
    good |= 1u << l;
  });
  if (launch.counting && good)
    countGlobal(w, i, good, address, bytes, kind, buffers);
  return good;
}

uint32_t resolveShared(Warp &w, const Inst &i, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind,
                       uint8_t **at, uint32_t &undefined) {
  Cta &cta = *w.cta;
  uint32_t good = 0;
  const uint64_t limit = cta.sharedEnd;
  if (mask == fullMask) {
    uint64_t wrong = 0;
    for (int l = 0; l < 32; ++l) {
      wrong |= uint64_t(address[l] < sharedBase) | uint64_t(address[l] > limit) | uint64_t(address[l] + bytes > limit) |
               (address[l] & (bytes - 1));
      at[l] = cta.shared.data() + address[l];
    }
    good = wrong ? 0 : fullMask;
  }
  if (!good)
    forLanes(mask, [&](uint32_t l) {
      if (!sharedAddress(w, i, l, address[l], bytes, bytes))
        return;
      at[l] = cta.shared.data() + address[l];
      good |= 1u << l;
    });
  if (w.launch->counting && good)
    countShared(w, i, good, address, bytes, kind);
  SharedShadow &shadow = cta.shadow;
  if (shadow.tracksRaces() || shadow.tracksInit())
    forLanes(good, [&](uint32_t l) {
      const uint32_t a = uint32_t(address[l]);
      if (shadow.tracksInit() && kind != AccessKind::Store && !shadow.initialised(a, bytes))
        undefined |= 1u << l;
      if (shadow.tracksRaces())
        shadow.access(w, i, l, a, bytes, kind);
      if (shadow.tracksInit() && kind != AccessKind::Load)
        shadow.setInitialised(a, bytes, true);
    });
  return good;
}

uint32_t resolveLocal(Warp &w, const Inst &i, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind,
                      uint8_t **at, uint32_t &undefined) {
  Cta &cta = *w.cta;
  const uint32_t size = w.launch->kernel->info.localBytes;
  uint32_t good = 0;
  forLanes(mask, [&](uint32_t l) {
    const uint64_t a = address[l];
    if (a < localBase || a - localBase >= size || bytes > size - (a - localBase)) {
      reportOutOfBounds(w, i, l, a, bytes, kind, "local");
      return;
    }
    if (a & (bytes - 1)) {
      reportMisaligned(w, i, l, a, bytes);
      return;
    }
    const size_t offset = size_t(w.id * 32 + l) * size + (a - localBase);
    at[l] = cta.local.data() + offset;
    if (!cta.localInit.empty()) {
      uint8_t *init = cta.localInit.data() + offset;
      if (kind == AccessKind::Load && !std::all_of(init, init + bytes, [](uint8_t v) { return v; }))
        undefined |= 1u << l;
      if (kind != AccessKind::Load)
        std::memset(init, 1, bytes);
    }
    good |= 1u << l;
  });
  return good;
}

uint32_t resolveParam(Warp &w, const Inst &i, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind,
                      uint8_t **at) {
  std::string &params = w.launch->params;
  uint32_t good = 0;
  forLanes(mask, [&](uint32_t l) {
    const uint64_t a = address[l];
    if (a >= params.size() || bytes > params.size() - a) {
      reportOutOfBounds(w, i, l, a, bytes, kind, "parameter");
      return;
    }
    if (a & (bytes - 1)) {
      reportMisaligned(w, i, l, a, bytes);
      return;
    }
    if (kind != AccessKind::Load) {
      if (w.launch->wants(i, FindingKind::ReadOnlyStore))
        w.launch->add(w, i, FindingKind::ReadOnlyStore, l, a, "", "store to the kernel's parameters");
      return;
    }
    at[l] = reinterpret_cast<uint8_t *>(params.data()) + a;
    good |= 1u << l;
  });
  return good;
}

} // namespace

std::string hex(uint64_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  do {
    out.insert(out.begin(), digits[value & 15]);
    value >>= 4;
  } while (value);
  return "0x" + out;
}

bool sharedAddress(Warp &w, const Inst &i, uint32_t lane, uint64_t address, uint32_t bytes, uint32_t align) {
  const uint64_t limit = w.cta->sharedEnd;
  if (address < sharedBase || address > limit || bytes > limit - address) {
    reportOutOfBounds(w, i, lane, address, bytes, AccessKind::Load, "shared");
    return false;
  }
  if (address & (align - 1)) {
    reportMisaligned(w, i, lane, address, align);
    return false;
  }
  return true;
}

void laneAddresses(const Warp &w, const Inst &i, uint64_t *out) {
  const uint64_t offset = uint64_t(i.imm);
  if (i.wideAddress) {
    const uint64_t *a = w.r64(i.a);
    for (int l = 0; l < 32; ++l)
      out[l] = a[l] + offset;
  } else {
    const uint32_t *a = w.r32(i.a);
    for (int l = 0; l < 32; ++l)
      out[l] = uint32_t(a[l] + uint32_t(offset));
  }
}

uint32_t resolve(Warp &w, const Inst &i, uint32_t mask, Space space, const uint64_t *address, uint32_t bytes,
                 AccessKind kind, uint8_t **at, uint32_t &undefined) {
  undefined = 0;
  uint32_t good = 0;
  switch (space) {
  case Space::Global:
  case Space::Const:
    good = resolveGlobal(w, i, mask, address, bytes, kind, at, space == Space::Const);
    break;
  case Space::Shared:
    good = resolveShared(w, i, mask, address, bytes, kind, at, undefined);
    break;
  case Space::Local:
    good = resolveLocal(w, i, mask, address, bytes, kind, at, undefined);
    break;
  case Space::Param:
    good = resolveParam(w, i, mask, address, bytes, kind, at);
    break;
  case Space::Generic: {
    uint32_t shared = 0, local = 0, param = 0;
    uint64_t inner[32];
    forLanes(mask, [&](uint32_t l) {
      const uint64_t a = address[l];
      inner[l] = a;
      if (a >= sharedWindow && a < sharedWindowEnd) {
        shared |= 1u << l;
        inner[l] = a - sharedWindow;
      } else if (a >= localWindow && a < localWindowEnd) {
        local |= 1u << l;
        inner[l] = a - localWindow;
      } else if (a >= paramWindow && a < paramWindowEnd) {
        param |= 1u << l;
        inner[l] = a - paramWindow;
      }
    });
    const uint32_t global = mask & ~(shared | local | param);
    if (global)
      good |= resolveGlobal(w, i, global, address, bytes, kind, at, false);
    if (shared)
      good |= resolveShared(w, i, shared, inner, bytes, kind, at, undefined);
    if (local)
      good |= resolveLocal(w, i, local, inner, bytes, kind, at, undefined);
    if (param)
      good |= resolveParam(w, i, param, inner, bytes, kind, at);
    break;
  }
  }
  if (undefined && w.launch->wants(i, FindingKind::Uninitialised)) {
    const uint32_t lane = std::countr_zero(undefined);
    w.launch->add(w, i, FindingKind::Uninitialised, lane, address[lane], objectAt(*w.launch, space, address[lane]),
                  "reads " + std::to_string(bytes) + " bytes of " + (space == Space::Local ? "local" : "shared") +
                      " memory of which some were never written (or written with undefined values)");
  }
  return good;
}

/// Passes over the 32 banks of 4 bytes: of a phase's lanes, distinct words that share a bank go one after the other.
void countShared(Warp &w, const Inst &i, uint32_t mask, const uint64_t *address, uint32_t bytes, AccessKind kind) {
  const uint32_t perPhase = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  InstCounters &counts = w.launch->counts[size_t(&i - w.launch->kernel->code.data())];
  Counters &c = w.launch->report.counters;
  for (uint32_t first = 0; first < 32; first += perPhase) {
    const uint32_t lanes = perPhase == 32 ? mask : (mask >> first) & ((1u << perPhase) - 1);
    if (!lanes)
      continue;
    uint32_t words[32][8]; // distinct words per bank, the first few
    uint8_t used[32] = {};
    uint32_t degree = 1;
    forLanes(lanes, [&](uint32_t k) {
      const uint32_t a = uint32_t(address[first + k]);
      for (uint32_t word = a / 4; word <= (a + bytes - 1) / 4; ++word) {
        const uint32_t bank = word % 32;
        bool seen = false;
        for (uint32_t n = 0; n < used[bank] && n < 8; ++n)
          seen |= words[bank][n] == word;
        if (seen)
          continue;
        if (used[bank] < 8)
          words[bank][used[bank]] = word;
        degree = std::max<uint32_t>(degree, ++used[bank]);
      }
    });
    counts.wavefronts += degree;
    counts.ideal += 1;
    counts.worst = std::max(counts.worst, degree);
    c.sharedWavefronts += degree;
    c.sharedIdealWavefronts += 1;
  }
  const uint64_t total = uint64_t(std::popcount(mask)) * bytes;
  (kind == AccessKind::Load ? c.sharedLoadBytes : c.sharedStoreBytes) += total;
}

/// ldmatrix and stmatrix: each phase moves eight rows of 16 bytes.
void countPhases(Warp &w, const Inst &i, const uint32_t *rows, uint32_t count) {
  InstCounters &counts = w.launch->counts[size_t(&i - w.launch->kernel->code.data())];
  Counters &c = w.launch->report.counters;
  for (uint32_t phase = 0; phase < count / 8; ++phase) {
    uint32_t used[8] = {};
    uint32_t degree = 1;
    for (uint32_t k = 0; k < 8; ++k) {
      const uint32_t row = rows[phase * 8 + k] / 16;
      bool seen = false;
      for (uint32_t n = 0; n < k; ++n)
        seen |= rows[phase * 8 + n] / 16 == row;
      if (!seen)
        degree = std::max(degree, ++used[row % 8]);
    }
    counts.wavefronts += degree;
    counts.ideal += 1;
    counts.worst = std::max(counts.worst, degree);
    c.sharedWavefronts += degree;
    c.sharedIdealWavefronts += 1;
  }
}

} // namespace fovea::emulator
