// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The shared-memory shadow. Happens-before is kept as one vector clock per warp, joined at barriers; a cell remembers
// the last write and each warp's last read, so a conflict without an order between its two sides is found whatever the
// schedule was. Lanes of one warp count as ordered. An asynchronous copy occupies its bytes from issue to wait.
#include "runtime/emulator/Machine.h"

namespace fovea::emulator {

void SharedShadow::reset(uint32_t bytes, uint32_t warps, bool initialisation, bool races) {
  init_.assign(initialisation ? bytes + sharedBase : 0, 0);
  warps_ = warps;
  cells_.assign(races ? (bytes + sharedBase + 3) / 4 : 0, {});
  reads_.assign(cells_.size() * warps, 0);
  clocks_.assign(warps, {});
  for (uint32_t w = 0; w < warps; ++w)
    clocks_[w][w] = 1;
}

bool SharedShadow::initialised(uint32_t address, uint32_t bytes) const {
  const uint8_t *p = &init_[address];
  if (bytes == 16 || bytes == 8) {
    constexpr uint64_t all = 0x0101010101010101ull;
    uint64_t v[2] = {0, all};
    std::memcpy(v, p, bytes);
    return v[0] == all && v[1] == all;
  }
  for (uint32_t n = 0; n < bytes; ++n)
    if (!p[n])
      return false;
  return true;
}

/// Calls f with each cell that the range covers; splits a word into byte cells when only a part of it is touched.
template <typename F> void SharedShadow::eachCell(uint32_t address, uint32_t bytes, F &&f) {
  const uint32_t end = address + bytes;
  for (uint32_t at = address; at < end;) {
    const uint32_t word = at / 4, stop = std::min(end, word * 4 + 4);
    if (stop - at == 4 && cells_[word].bytes < 0) {
      f(size_t(word), at);
    } else {
      if (cells_[word].bytes < 0) {
        const int32_t first = int32_t(cells_.size());
        cells_[word].bytes = first;
        const Cell whole = cells_[word];
        for (int n = 0; n < 4; ++n) {
          cells_.push_back(whole);
          for (uint32_t w = 0; w < warps_; ++w)
            reads_.push_back(reads_[size_t(word) * warps_ + w]);
        }
      }
      const size_t first = size_t(cells_[word].bytes);
      for (uint32_t b = at; b < stop; ++b)
        f(first + b % 4, b);
    }
    at = stop;
  }
}

void SharedShadow::touch(Warp &w, const Inst &i, uint32_t lane, uint32_t address, size_t index, Access kind) {
  Cell &cell = cells_[index];
  uint32_t *reads = &reads_[index * warps_];
  const auto &mine = clocks_[w.id];
  auto report = [&](FindingKind finding, const std::string &what) {
    if (!w.launch->wants(i, finding))
      return;
    std::string object;
    for (const PlacedVariable &v : w.launch->kernel->shared)
      if (address >= v.address && address < v.address + v.bytes)
        object = v.name;
    w.launch->add(w, i, finding, lane, address, object, what);
  };
  const char *verb = kind == Access::Read ? "reads" : kind == Access::Write ? "writes" : "updates";
  if (cell.pendingLine) {
    report(FindingKind::AsyncHazard, std::string(verb) + " shared memory at " + hex(address) +
                                         " that an asynchronous copy of warp " + std::to_string(cell.pendingWarp) +
                                         " (line " + std::to_string(cell.pendingLine) + ") may still be writing");
    return;
  }
  const bool bothAtomic = kind == Access::Atomic && cell.atomic;
  if (cell.writer != w.id && cell.writeClock > mine[cell.writer] && !bothAtomic) {
    report(FindingKind::Race, std::string(kind == Access::Read ? "read after write" : "write after write") + ": " +
                                  verb + " shared memory at " + hex(address) + " that warp " +
                                  std::to_string(cell.writer) + " wrote (line " + std::to_string(cell.writeLine) +
                                  ") with no barrier between");
  }
  if (kind == Access::Read) {
    reads[w.id] = mine[w.id];
    cell.readLine = i.line;
    return;
  }
  for (uint32_t u = 0; u < warps_; ++u)
    if (u != w.id && reads[u] > mine[u]) {
      report(FindingKind::Race, "write after read: " + std::string(verb) + " shared memory at " + hex(address) +
                                    " that warp " + std::to_string(u) + " reads (line " +
                                    std::to_string(cell.readLine) + ") with no barrier between");
      break;
    }
  cell.writer = uint8_t(w.id);
  cell.writeClock = mine[w.id];
  cell.writeLine = i.line;
  cell.atomic = kind == Access::Atomic;
}

void SharedShadow::access(Warp &w, const Inst &i, uint32_t lane, uint32_t address, uint32_t bytes, Access kind) {
  eachCell(address, bytes, [&](size_t cell, uint32_t at) { touch(w, i, lane, at, cell, kind); });
}

void SharedShadow::beginCopy(Warp &w, const Inst &i, uint32_t lane, uint32_t address, uint32_t bytes) {
  eachCell(address, bytes, [&](size_t cell, uint32_t at) {
    touch(w, i, lane, at, cell, Access::Write);
    cells_[cell].pendingLine = i.line;
    cells_[cell].pendingWarp = uint8_t(w.id);
  });
}

void SharedShadow::endCopy(Warp &w, const Inst &, uint32_t address, uint32_t bytes, uint32_t line) {
  eachCell(address, bytes, [&](size_t cell, uint32_t) {
    Cell &c = cells_[cell];
    c.pendingLine = 0;
    c.writer = uint8_t(w.id);
    c.writeClock = clocks_[w.id][w.id];
    c.writeLine = line;
    c.atomic = false;
  });
}

} // namespace fovea::emulator
