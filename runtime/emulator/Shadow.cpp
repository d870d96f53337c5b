// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The race checker's rules. An asynchronous copy occupies its bytes in shared memory from issue to wait; afterwards
// they count as written by the thread that waited.
#include "runtime/emulator/Shadow.h"
#include "runtime/emulator/Machine.h"

#include <algorithm>

namespace fovea::emulator {

namespace {

const char *verb(AccessKind kind) {
  return kind == AccessKind::Load ? "reads" : kind == AccessKind::Store ? "writes" : "updates";
}

std::string laneText(uint32_t lane) {
  return lane == collectiveLane ? "all lanes together"
         : lane == severalLanes ? "several lanes"
                                : "lane " + std::to_string(lane);
}

/// "that warp 3 wrote (line 7) with no barrier between", or of lanes of the same warp.
std::string partner(const Warp &w, uint32_t other, Stamp s, const char *did, uint32_t line) {
  const std::string where = std::string(" ") + did + " (line " + std::to_string(line) + ") with no ";
  if (other == w.id)
    return laneText(laneOf(s)) + " of the same warp" + where + "bar.warp.sync between";
  return "warp " + std::to_string(other) + where + "barrier between";
}

const char *order(AccessKind later, bool earlierWrote) {
  return later == AccessKind::Load ? "read after write" : earlierWrote ? "write after write" : "write after read";
}

} // namespace

// --- shared memory ---

void SharedShadow::reset(uint32_t bytes, uint32_t warps, bool initialisation, bool races) {
  init_.assign(initialisation ? bytes + sharedBase : 0, 0);
  warps_ = warps;
  const uint32_t regions = races ? (bytes + sharedBase + regionBytes - 1) / regionBytes : 0;
  regions_.resize(regions);
  for (uint32_t n = 0; n < regions; ++n)
    regions_[n] = {n * (regionBytes / 16), 4};
  cells_.assign(size_t(regions) * (regionBytes / 16), {});
  reads_.assign(cells_.size() * warps, 0);
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

/// Each granule becomes several that know what it knew.
void SharedShadow::refine(Region &region, uint32_t shift) {
  const uint32_t old = regionBytes >> region.shift, factor = 1u << (region.shift - shift);
  const size_t first = cells_.size();
  cells_.resize(first + size_t(old) * factor);
  reads_.resize(cells_.size() * warps_);
  for (uint32_t n = 0; n < old * factor; ++n) {
    cells_[first + n] = cells_[region.first + n / factor];
    std::copy_n(&reads_[(region.first + n / factor) * size_t(warps_)], warps_, &reads_[(first + n) * warps_]);
  }
  region = {uint32_t(first), shift};
}

template <typename F> void SharedShadow::eachCell(uint32_t address, uint32_t bytes, F &&f) {
  const uint32_t end = address + bytes;
  const uint32_t ends = address | end;
  const uint32_t wanted = ends % 16 == 0 ? 4 : ends % 4 == 0 ? 2 : 0;
  for (uint32_t at = address; at < end;) {
    Region &region = regions_[at / regionBytes];
    if (region.shift > wanted)
      refine(region, wanted);
    const uint32_t stop = std::min(end, (at / regionBytes + 1) * regionBytes);
    const uint32_t first = region.first, shift = region.shift;
    for (; at < stop; at += 1u << shift)
      f(size_t{first} + ((at % regionBytes) >> shift), at);
  }
}

void SharedShadow::touch(Warp &w, const Inst &i, uint32_t lane, uint32_t address, size_t index, AccessKind kind) {
  Cell &cell = cells_[index];
  Stamp *reads = &reads_[index * warps_];
  const auto &mine = w.cta->clocks[w.id];
  const uint32_t now = mine[w.id];
  auto report = [&](FindingKind finding, const std::string &what) {
    if (!w.launch->wants(i, finding))
      return;
    w.launch->add(w, i, finding, lane == collectiveLane ? 0 : lane, address,
                  objectAt(*w.launch, Space::Shared, address), what);
  };
  auto inMemory = [&] { return std::string(verb(kind)) + " shared memory at " + hex(address) + " that "; };
  if (cell.pendingLine) {
    report(FindingKind::AsyncHazard, inMemory() + "an asynchronous copy of warp " + std::to_string(cell.pendingWarp) +
                                         ", lane " + std::to_string(cell.pendingLane) + " (line " +
                                         std::to_string(cell.pendingLine) + ") may still be writing");
    return;
  }
  if (kind == AccessKind::Load) {
    if (cell.writer == w.id ? unordered(cell.write, now, lane) : clockOf(cell.write) > mine[cell.writer])
      report(FindingKind::Race,
             "read after write: " + inMemory() + partner(w, cell.writer, cell.write, "wrote", cell.writeLine));
    reads[w.id] = joined(reads[w.id], now, lane);
    cell.readLine = i.line;
    return;
  }
  const bool atomic = kind == AccessKind::Atomic;
  // Lanes of one instruction may store the same value to one place; the store looks at the values.
  const bool together = cell.writer == w.id && cell.writeTick == uint32_t(w.executed);
  if (!(atomic && cell.atomic) && !together &&
      (cell.writer == w.id ? unordered(cell.write, now, lane) : clockOf(cell.write) > mine[cell.writer]))
    report(FindingKind::Race,
           "write after write: " + inMemory() + partner(w, cell.writer, cell.write, "wrote", cell.writeLine));
  for (uint32_t u = 0; u < warps_; ++u)
    if (u == w.id ? unordered(reads[u], now, lane) : clockOf(reads[u]) > mine[u]) {
      report(FindingKind::Race, "write after read: " + inMemory() + partner(w, u, reads[u], "read", cell.readLine));
      break;
    }
  cell.write = cell.writer == w.id ? joined(cell.write, now, lane) : stamp(now, lane);
  cell.writer = uint8_t(w.id);
  cell.writeTick = uint32_t(w.executed);
  cell.writeLine = i.line;
  cell.atomic = atomic;
}

void SharedShadow::access(Warp &w, const Inst &i, uint32_t lane, uint32_t address, uint32_t bytes, AccessKind kind) {
  eachCell(address, bytes, [&](size_t cell, uint32_t at) { touch(w, i, lane, at, cell, kind); });
}

void SharedShadow::beginCopy(Warp &w, const Inst &i, uint32_t lane, uint32_t address, uint32_t bytes) {
  eachCell(address, bytes, [&](size_t cell, uint32_t at) {
    touch(w, i, lane, at, cell, AccessKind::Store);
    cells_[cell].pendingLine = i.line;
    cells_[cell].pendingWarp = uint8_t(w.id);
    cells_[cell].pendingLane = uint8_t(lane);
  });
}

void SharedShadow::endCopy(Warp &w, uint32_t lane, uint32_t address, uint32_t bytes, uint32_t line) {
  const Stamp now = stamp(w.cta->clocks[w.id][w.id], lane);
  eachCell(address, bytes, [&](size_t cell, uint32_t) {
    Cell &c = cells_[cell];
    c.pendingLine = 0;
    c.writer = uint8_t(w.id);
    c.write = now;
    c.writeLine = line;
    c.atomic = false;
  });
}

// --- global memory ---

void GlobalShadow::reset(size_t buffers) {
  pages_.clear();
  pages_.resize(buffers);
  readers_.clear();
}

GlobalShadow::Page &GlobalShadow::page(Buffer &buffer, uint64_t number) {
  Pages &pages = pages_[buffer.index];
  std::unique_ptr<Page> *slot;
  if (buffer.host) {
    if (pages.dense.empty())
      pages.dense.resize((buffer.size >> pageShift) + 1);
    slot = &pages.dense[number];
  } else {
    slot = &pages.sparse[number];
  }
  if (!*slot) {
    *slot = std::make_unique<Page>();
    (*slot)->cells.resize(size_t(1) << (pageShift - 4));
  }
  return **slot;
}

const GlobalShadow::Page *GlobalShadow::find(size_t buffer, uint64_t number) const {
  const Pages &pages = pages_[buffer];
  if (number < pages.dense.size())
    return pages.dense[number].get();
  auto it = pages.sparse.find(number);
  return it == pages.sparse.end() ? nullptr : it->second.get();
}

void GlobalShadow::refine(Page &page, uint32_t shift) {
  const uint32_t factor = 1u << (page.shift - shift);
  std::vector<Cell> cells(page.cells.size() * factor);
  for (size_t n = 0; n < cells.size(); ++n)
    cells[n] = page.cells[n / factor];
  page.cells = std::move(cells);
  page.shift = shift;
}

void GlobalShadow::touch(Warp &w, const Inst &i, uint32_t lane, Buffer &buffer, uint64_t address, Cell &cell,
                         AccessKind kind) {
  const auto &mine = w.cta->clocks[w.id];
  const uint32_t now = mine[w.id];
  const Kind which = kind == AccessKind::Load ? Read : kind == AccessKind::Store ? Write : Atomic;
  GlobalAccess *first = cell.first[which];
  if (first[0].cta != cta_ && !first[1].cta)
    first[first[0].cta != 0] = {cta_, uint32_t(&i - w.launch->kernel->code.data()) * 1024 + w.id * 32 + lane};
  if (cell.cta != cta_) {
    cell.cta = cta_;
    cell.write = cell.read = 0;
    cell.readers = 0;
  }
  auto report = [&](bool earlierWrote, uint32_t other, Stamp s, uint32_t line) {
    if (w.launch->wants(i, FindingKind::Race))
      w.launch->add(w, i, FindingKind::Race, lane, address, buffer.name,
                    std::string(order(kind, earlierWrote)) + ": " + verb(kind) + " '" + buffer.name + "' at offset " +
                        std::to_string(address - buffer.base) + " that " +
                        partner(w, other, s, earlierWrote ? "wrote" : "read", line));
  };
  const bool bothAtomic = kind == AccessKind::Atomic && cell.atomic;
  const bool together = kind == AccessKind::Store && cell.writer == w.id && cell.writeTick == uint32_t(w.executed);
  if (cell.write && !bothAtomic && !together &&
      (cell.writer == w.id ? unordered(cell.write, now, lane) : clockOf(cell.write) > mine[cell.writer]))
    report(true, cell.writer, cell.write, cell.writeLine);
  if (kind == AccessKind::Load) {
    if (cell.readers) {
      Stamp &own = readers_[cell.readers - 1][w.id];
      own = joined(own, now, lane);
    } else if (!cell.read || cell.reader == w.id) {
      cell.read = cell.read ? joined(cell.read, now, lane) : stamp(now, lane);
      cell.reader = uint8_t(w.id);
    } else {
      // Readers are kept for the CTA that runs only.
      if (readersOf_ != cta_) {
        readers_.clear();
        readersOf_ = cta_;
      }
      readers_.push_back({});
      readers_.back()[cell.reader] = cell.read;
      readers_.back()[w.id] = stamp(now, lane);
      cell.readers = uint32_t(readers_.size());
    }
    cell.readLine = i.line;
    return;
  }
  if (cell.readers) {
    const auto &readers = readers_[cell.readers - 1];
    for (uint32_t u = 0; u < w.cta->warpCount; ++u)
      if (u == w.id ? unordered(readers[u], now, lane) : clockOf(readers[u]) > mine[u]) {
        report(false, u, readers[u], cell.readLine);
        break;
      }
  } else if (cell.read &&
             (cell.reader == w.id ? unordered(cell.read, now, lane) : clockOf(cell.read) > mine[cell.reader])) {
    report(false, cell.reader, cell.read, cell.readLine);
  }
  cell.write = cell.write && cell.writer == w.id ? joined(cell.write, now, lane) : stamp(now, lane);
  cell.writer = uint8_t(w.id);
  cell.writeTick = uint32_t(w.executed);
  cell.writeLine = i.line;
  cell.atomic = kind == AccessKind::Atomic;
}

void GlobalShadow::access(Warp &w, const Inst &i, uint32_t lane, Buffer &buffer, uint64_t address, uint32_t bytes,
                          AccessKind kind) {
  const uint64_t begin = address - buffer.base, end = begin + bytes;
  const uint64_t ends = begin | end;
  const uint32_t wanted = ends % 16 == 0 ? 4 : ends % 4 == 0 ? 2 : ends % 2 == 0 ? 1 : 0;
  // An aligned access lies in one page.
  Page &p = page(buffer, begin >> pageShift);
  if (p.shift > wanted)
    refine(p, wanted);
  p.written |= kind != AccessKind::Load;
  for (uint64_t at = begin; at < end; at += 1u << p.shift)
    touch(w, i, lane, buffer, buffer.base + at, p.cells[(at & ((1u << pageShift) - 1)) >> p.shift], kind);
}

void GlobalShadow::compare(const std::vector<Launch *> &workers, const std::vector<Buffer *> &buffers) {
  Launch &into = *workers[0];
  // The first two CTAs of a kind over all workers, by number.
  auto merge = [&](const std::vector<const Cell *> &cells, Kind kind, GlobalAccess *out) {
    out[0] = out[1] = {};
    for (const Cell *c : cells)
      for (const GlobalAccess &a : c->first[kind]) {
        if (!a.cta)
          continue;
        if (!out[0].cta || a.cta < out[0].cta) {
          out[1] = out[0];
          out[0] = a;
        } else if (!out[1].cta || a.cta < out[1].cta) {
          out[1] = a;
        }
      }
  };
  auto report = [&](const Buffer &b, uint64_t offset, GlobalAccess x, Kind xKind, GlobalAccess y, Kind yKind) {
    if (x.cta > y.cta) {
      std::swap(x, y);
      std::swap(xKind, yKind);
    }
    static constexpr const char *past[] = {"reads", "writes", "updates"};
    const Inst &i = into.kernel->code[y.at / 1024], &other = into.kernel->code[x.at / 1024];
    if (!into.wants(i, FindingKind::Race))
      return;
    Finding f;
    f.kind = FindingKind::Race;
    f.line = i.line;
    f.text = into.module->line(i.line);
    f.cta = ctaOf(into, y.cta - 1);
    f.thread = threadOf(into, y.at % 1024);
    f.address = b.base + offset;
    f.object = b.name;
    const Dim3 c = ctaOf(into, x.cta - 1);
    f.message = std::string(past[yKind]) + " '" + b.name + "' at offset " + std::to_string(offset) + ", which CTA (" +
                std::to_string(c.x) + "," + std::to_string(c.y) + "," + std::to_string(c.z) + ") " + past[xKind] +
                " too (line " + std::to_string(other.line) + "): nothing orders the CTAs of a launch";
    into.report.findings.push_back(std::move(f));
  };
  for (size_t b = 0; b < buffers.size(); ++b) {
    // Numbers of the pages that somebody wrote.
    std::vector<uint64_t> numbers;
    for (const Launch *w : workers) {
      const Pages &pages = w->globalShadow.pages_[b];
      for (size_t n = 0; n < pages.dense.size(); ++n)
        if (pages.dense[n] && pages.dense[n]->written)
          numbers.push_back(n);
      for (const auto &[n, p] : pages.sparse)
        if (p->written)
          numbers.push_back(n);
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    for (uint64_t number : numbers) {
      std::vector<const Page *> pages;
      uint32_t shift = 4;
      for (const Launch *w : workers)
        if (const Page *p = w->globalShadow.find(b, number)) {
          pages.push_back(p);
          shift = std::min(shift, p->shift);
        }
      std::vector<const Cell *> cells(pages.size());
      for (uint32_t at = 0; at < 1u << pageShift; at += 1u << shift) {
        bool touched = false;
        for (size_t n = 0; n < pages.size(); ++n) {
          cells[n] = &pages[n]->cells[at >> pages[n]->shift];
          touched |= cells[n]->first[Write][0].cta || cells[n]->first[Atomic][0].cta;
        }
        if (!touched)
          continue;
        GlobalAccess first[3][2];
        for (Kind k : {Read, Write, Atomic})
          merge(cells, k, first[k]);
        const uint64_t offset = (number << pageShift) + at;
        auto pair = [&](Kind x, Kind y) {
          for (const GlobalAccess &p : first[x])
            for (const GlobalAccess &q : first[y])
              if (p.cta && q.cta && p.cta != q.cta) {
                report(*buffers[b], offset, p, x, q, y);
                return true;
              }
          return false;
        };
        (void)(pair(Write, Write) || pair(Write, Read) || pair(Write, Atomic) || pair(Atomic, Read));
      }
    }
  }
}

} // namespace fovea::emulator
