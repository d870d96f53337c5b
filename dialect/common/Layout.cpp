// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The layout algebra of Layout.h.
#include "dialect/common/Layout.h"

#include <map>
#include <set>

namespace fovea {

namespace {

void add(Layout::Vector &sum, const Layout::Vector &step, int64_t times = 1) {
  if (sum.size() < step.size())
    sum.resize(step.size());
  for (size_t d = 0; d < step.size(); ++d)
    sum[d] += times * step[d];
}

bool isZero(const Layout::Vector &v) {
  for (int64_t x : v)
    if (x)
      return false;
  return true;
}

Layout::Vector without(const Layout::Vector &v, unsigned dim) {
  Layout::Vector result = v;
  result.erase(result.begin() + dim);
  return result;
}

Layout::Vector sumOfBits(const std::vector<Layout::Vector> &bases, int64_t bits, unsigned rank) {
  Layout::Vector result(rank, 0);
  for (size_t b = 0; b < bases.size(); ++b)
    if (bits >> b & 1)
      add(result, bases[b]);
  return result;
}

bool isPowerOfTwo(int64_t x) { return x > 0 && (x & (x - 1)) == 0; }

/// Basis vectors of a power-of-two count of steps along one dimension.
void appendBits(std::vector<Layout::Vector> &bases, int64_t count, const Layout::Vector &step) {
  for (int64_t scale = 1; scale < count; scale *= 2) {
    Layout::Vector v = step;
    for (int64_t &x : v)
      x *= scale;
    bases.push_back(v);
  }
}

/// How many warps have rows of their own where each takes 16 at a time: all, or as many as there are rows for, and then
/// the others have the same rows again. None if the rows cannot be dealt like that.
int64_t warpsOfRows(int64_t rows, int64_t warps) {
  int64_t count = std::min(warps, rows / 16);
  return isPowerOfTwo(warps) && isPowerOfTwo(count) && rows % (16 * count) == 0 ? count : 0;
}

/// 16 rows for each warp, and the rows beyond those of all warps.
void appendRows(Layout &layout, int64_t rows, int64_t warps) {
  int64_t count = warpsOfRows(rows, warps);
  appendBits(layout.warp, count, {16, 0});
  for (; count < warps; count *= 2)
    layout.warp.push_back({0, 0});
}
void repeatRows(Layout &layout, int64_t rows, int64_t warps) {
  if (int64_t count = rows / (16 * warpsOfRows(rows, warps)); count > 1)
    layout.rep.push_back({count, {rows / count, 0}});
}

} // namespace

unsigned Layout::rank() const {
  if (!lane.empty())
    return lane.front().size();
  if (!reg.empty())
    return reg.front().size();
  if (!rep.empty())
    return rep.front().step.size();
  return warp.empty() ? 0 : warp.front().size();
}

int64_t Layout::registers() const {
  int64_t count = int64_t(1) << reg.size();
  for (const Repeat &r : rep)
    count *= r.count;
  return count;
}

Layout::Vector Layout::registerOffset(int64_t r) const {
  Vector result = sumOfBits(reg, r & ((int64_t(1) << reg.size()) - 1), rank());
  r >>= reg.size();
  for (const Repeat &repeat : rep) {
    add(result, repeat.step, r % repeat.count);
    r /= repeat.count;
  }
  return result;
}

Layout::Vector Layout::laneOffset(int64_t l) const { return sumOfBits(lane, l, rank()); }
Layout::Vector Layout::warpOffset(int64_t w) const { return sumOfBits(warp, w, rank()); }

Layout::Vector Layout::coords(int64_t r, int64_t l, int64_t w) const {
  Vector result = registerOffset(r);
  add(result, laneOffset(l));
  add(result, warpOffset(w));
  return result;
}

std::optional<int64_t> Layout::registerAt(const Vector &offset) const {
  for (int64_t r = 0, n = registers(); r < n; ++r)
    if (registerOffset(r) == offset)
      return r;
  return std::nullopt;
}

Layout Layout::slice(unsigned dim) const {
  Layout result;
  for (const Vector &v : reg)
    if (Vector kept = without(v, dim); !isZero(kept))
      result.reg.push_back(kept);
  for (const Vector &v : lane)
    result.lane.push_back(without(v, dim));
  for (const Vector &v : warp)
    result.warp.push_back(without(v, dim));
  for (const Repeat &r : rep)
    if (Vector kept = without(r.step, dim); !isZero(kept))
      result.rep.push_back({r.count, kept});
  return result;
}

std::optional<std::vector<int64_t>> Layout::permutationTo(const Layout &to) const {
  if (lane.size() != to.lane.size() || warp.size() != to.warp.size() || lane != to.lane || warp != to.warp)
    return std::nullopt;
  std::map<Vector, int64_t> registerOf;
  for (int64_t r = 0, n = registers(); r < n; ++r)
    registerOf.emplace(registerOffset(r), r);
  std::vector<int64_t> result;
  for (int64_t r = 0, n = to.registers(); r < n; ++r) {
    auto found = registerOf.find(to.registerOffset(r));
    if (found == registerOf.end())
      return std::nullopt;
    result.push_back(found->second);
  }
  return result;
}

std::vector<unsigned> Layout::laneBitsAlong(unsigned dim) const {
  std::vector<unsigned> result;
  for (unsigned b = 0; b < lane.size(); ++b)
    if (lane[b][dim])
      result.push_back(b);
  return result;
}

bool Layout::warpsAlong(unsigned dim) const {
  for (const Vector &v : warp)
    if (v[dim])
      return true;
  return false;
}

bool Layout::covers(const std::vector<int64_t> &shape) const {
  if (rank() != shape.size())
    return false;
  int64_t elements = 1;
  for (int64_t s : shape)
    elements *= s;
  std::set<Vector> seen;
  for (int64_t w = 0; w < warps(); ++w)
    for (int64_t l = 0; l < lanes(); ++l)
      for (int64_t r = 0, n = registers(); r < n; ++r) {
        Vector c = coords(r, l, w);
        for (size_t d = 0; d < shape.size(); ++d)
          if (c[d] < 0 || c[d] >= shape[d])
            return false;
        seen.insert(c);
      }
  return int64_t(seen.size()) == elements;
}

std::string Layout::str() const {
  auto vector = [](const Vector &v) {
    std::string s = "[";
    for (size_t d = 0; d < v.size(); ++d)
      s += (d ? ", " : "") + std::to_string(v[d]);
    return s + "]";
  };
  auto list = [&](const std::vector<Vector> &bases) {
    std::string s = "[";
    for (size_t b = 0; b < bases.size(); ++b)
      s += (b ? ", " : "") + vector(bases[b]);
    return s + "]";
  };
  std::string s = "reg = " + list(reg) + ", lane = " + list(lane) + ", warp = " + list(warp) + ", rep = [";
  for (size_t k = 0; k < rep.size(); ++k)
    s += (k ? ", " : "") + std::to_string(rep[k].count) + " x " + vector(rep[k].step);
  return s + "]";
}

int64_t Layout::warpsOfColumns(int64_t rows, int64_t columns, int64_t warps) {
  int64_t down = warpsOfRows(rows, warps), across = down ? warps / down : 1;
  while (across > 1 && columns % (16 * across))
    across /= 2;
  return across;
}

/// The warps' rows, or their columns along `dim`, where columns are dealt.
static void dealColumns(Layout &layout, int64_t columns, int64_t across, int64_t warps, unsigned dim) {
  Layout::Vector eight(2, 0), sixteen(2, 0), all(2, 0);
  eight[dim] = 8, sixteen[dim] = 16, all[dim] = 16 * across;
  appendBits(layout.warp, across, sixteen);
  while (layout.warps() < warps)
    layout.warp.push_back({0, 0});
  layout.rep.push_back({2, eight});
  if (columns > 16 * across)
    layout.rep.push_back({columns / (16 * across), all});
}

std::optional<Layout> Layout::mmaAccumulator(int64_t rows, int64_t columns, int64_t warps, bool deal) {
  if (!warpsOfRows(rows, warps) || columns % 8 || columns <= 0)
    return std::nullopt;
  Layout result;
  result.reg = {{0, 1}, {8, 0}};
  result.lane = {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}};
  if (int64_t across = warpsOfColumns(rows, columns, warps); deal && across > 1) {
    appendBits(result.warp, warpsOfRows(rows, warps), {16, 0});
    dealColumns(result, columns, across, warps, 1);
    return result;
  }
  appendRows(result, rows, warps);
  if (columns > 8)
    result.rep.push_back({columns / 8, {0, 8}});
  repeatRows(result, rows, warps);
  return result;
}

std::optional<Layout> Layout::mmaLeft(int64_t rows, int64_t depth, int64_t warps) {
  if (!warpsOfRows(rows, warps) || depth % 16 || depth <= 0)
    return std::nullopt;
  Layout result;
  result.reg = {{0, 1}, {8, 0}, {0, 8}};
  result.lane = {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}};
  appendRows(result, rows, warps);
  if (depth > 16)
    result.rep.push_back({depth / 16, {0, 16}});
  repeatRows(result, rows, warps);
  return result;
}

std::optional<Layout> Layout::mmaRight(int64_t columns, int64_t depth, int64_t warps, int64_t dealtRows) {
  if (!isPowerOfTwo(warps) || columns % 8 || depth % 16 || columns <= 0 || depth <= 0)
    return std::nullopt;
  Layout result;
  result.reg = {{0, 1}, {0, 8}};
  result.lane = {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}};
  int64_t across = dealtRows ? warpsOfColumns(dealtRows, columns, warps) : 1;
  appendBits(result.warp, across > 1 ? warpsOfRows(dealtRows, warps) : warps, {0, 0});
  if (depth > 16)
    result.rep.push_back({depth / 16, {0, 16}});
  if (across > 1) {
    dealColumns(result, columns, across, warps, 0);
    return result;
  }
  if (columns > 8)
    result.rep.push_back({columns / 8, {8, 0}});
  return result;
}

//===--- products of f32 ---===//

static bool fitsLeft(int64_t rows, int64_t depth, int64_t warps) {
  return warpsOfRows(rows, warps) && depth > 0 && depth % 8 == 0;
}
static bool fitsRight(int64_t columns, int64_t depth, int64_t warps) {
  return isPowerOfTwo(warps) && columns > 0 && depth > 0 && columns % 8 == 0 && depth % 8 == 0;
}

/// `count` steps; nothing where there is one.
static void repeat(Layout &layout, int64_t count, const Layout::Vector &step) {
  if (count > 1)
    layout.rep.push_back({count, step});
}

std::optional<Layout> Layout::mmaLeftSingle(int64_t rows, int64_t depth, int64_t warps) {
  if (!fitsLeft(rows, depth, warps))
    return std::nullopt;
  Layout result;
  result.reg = {{8, 0}, {0, 4}};
  result.lane = {{0, 1}, {0, 2}, {1, 0}, {2, 0}, {4, 0}};
  appendRows(result, rows, warps);
  repeat(result, depth / 8, {0, 8});
  repeatRows(result, rows, warps);
  return result;
}

std::optional<Layout> Layout::mmaRightSingle(int64_t columns, int64_t depth, int64_t warps) {
  if (!fitsRight(columns, depth, warps))
    return std::nullopt;
  Layout result;
  result.reg = {{0, 4}};
  result.lane = {{0, 1}, {0, 2}, {1, 0}, {2, 0}, {4, 0}};
  appendBits(result.warp, warps, {0, 0});
  repeat(result, depth / 8, {0, 8});
  repeat(result, columns / 8, {8, 0});
  return result;
}

std::optional<Layout> Layout::mmaRightPaired(int64_t columns, int64_t depth, int64_t warps) {
  if (!fitsRight(columns, depth, warps))
    return std::nullopt;
  Layout result;
  result.reg = {{0, 1}};
  result.lane = {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}};
  appendBits(result.warp, warps, {0, 0});
  repeat(result, depth / 8, {0, 8});
  repeat(result, columns / 8, {8, 0});
  return result;
}

std::optional<Layout> Layout::fmaLeft(int64_t rows, int64_t depth, int64_t warps) {
  if (!fitsLeft(rows, depth, warps))
    return std::nullopt;
  Layout result;
  result.reg = {{8, 0}};
  result.lane = {{0, 0}, {0, 0}, {1, 0}, {2, 0}, {4, 0}};
  appendRows(result, rows, warps);
  repeat(result, depth, {0, 1});
  repeatRows(result, rows, warps);
  return result;
}

std::optional<Layout> Layout::fmaRight(int64_t columns, int64_t depth, int64_t warps) {
  if (!fitsRight(columns, depth, warps))
    return std::nullopt;
  Layout result;
  result.reg = {{1, 0}};
  result.lane = {{2, 0}, {4, 0}, {0, 0}, {0, 0}, {0, 0}};
  appendBits(result.warp, warps, {0, 0});
  repeat(result, depth, {0, 1});
  repeat(result, columns / 8, {8, 0});
  return result;
}

std::optional<Layout> Layout::rowMajor(int64_t rows, int64_t columns, int64_t vector, int64_t warps) {
  if (!isPowerOfTwo(warps) || !isPowerOfTwo(vector) || columns % vector || rows <= 0 || columns <= 0)
    return std::nullopt;
  int64_t threads = 32 * warps, chunks = columns / vector;
  // The power-of-two part of the chunks of a row goes to threads, the rest is repeated by each thread.
  int64_t across = 1;
  while (across < threads && chunks % (across * 2) == 0)
    across *= 2;
  int64_t down = threads / across;
  Layout result;
  appendBits(result.reg, vector, {0, 1});
  std::vector<Vector> thread;
  appendBits(thread, across, {0, vector});
  // Where there are fewer rows than threads for them, the surplus threads replicate.
  int64_t rowsOfThreads = 1;
  while (rowsOfThreads < down && rows % (rowsOfThreads * 2) == 0)
    rowsOfThreads *= 2;
  appendBits(thread, rowsOfThreads, {1, 0});
  for (int64_t extra = rowsOfThreads; extra < down; extra *= 2)
    thread.push_back({0, 0});
  result.lane.assign(thread.begin(), thread.begin() + 5);
  result.warp.assign(thread.begin() + 5, thread.end());
  if (chunks > across)
    result.rep.push_back({chunks / across, {0, across * vector}});
  if (rows > rowsOfThreads)
    result.rep.push_back({rows / rowsOfThreads, {rowsOfThreads, 0}});
  return result;
}

Layout Layout::transposed() const {
  Layout result = *this;
  auto swap = [](Vector &v) { std::swap(v[0], v[1]); };
  for (Vector &v : result.reg)
    swap(v);
  for (Vector &v : result.lane)
    swap(v);
  for (Vector &v : result.warp)
    swap(v);
  for (Repeat &r : result.rep)
    swap(r.step);
  return result;
}

} // namespace fovea
