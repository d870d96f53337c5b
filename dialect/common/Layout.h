// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Layout: which thread holds which element of a tile, in which register. Pure C++, no IR.
//
// A tile of rank R is spread over warps, lanes and registers. The element that warp w, lane l holds in register r has
// the coordinates
//
//     coords(r, l, w) = sum of reg[b] over set bits b of (r mod 2^|reg|)
//                     + sum of rep[k].step * digit k of (r / 2^|reg|)         (mixed radix, rep[0] fastest)
//                     + sum of lane[b] over set bits b of l + sum of warp[b] over set bits b of w
//
// where reg, lane and warp are lists of basis vectors with R components. The atoms (fragments of tensor-core
// instructions) are linear over bits; the repetition is mixed radix because tile widths such as 72, 96 and 192 are no
// powers of two. All sums are without carries: distinct digits move to distinct places.
//
// A worked table, accumulator of mma.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"), g = lane / 4, t = lane %
// 4:
//
//     register   row      column        reg  = [[0, 1], [8, 0]]
//     0          g        2 t           lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]]
//     1          g        2 t + 1
//     2          g + 8    2 t
//     3          g + 8    2 t + 1
//
// Repeating it eight times along columns is rep = [8 x [0, 8]]. The A operand of the same instruction has
// reg = [[0, 1], [8, 0], [0, 8]] and repeats by 16 columns: register for register the same elements, which is why the
// weights of attention go from accumulator to operand without moving.
//
// A zero lane or warp vector means replication: all those threads hold the element. Registers never replicate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

class Layout {
public:
  using Vector = std::vector<int64_t>;
  struct Repeat {
    int64_t count;
    Vector step;
    bool operator==(const Repeat &) const = default;
  };

  std::vector<Vector> reg, lane, warp;
  std::vector<Repeat> rep;

  bool operator==(const Layout &) const = default;

  /// Number of components of a coordinate vector; 0 for an empty layout.
  unsigned rank() const;
  /// Registers per thread, lanes (a power of two), warps (a power of two).
  int64_t registers() const;
  int64_t lanes() const { return int64_t(1) << lane.size(); }
  int64_t warps() const { return int64_t(1) << warp.size(); }

  /// The part of the coordinates that register r contributes; 0 <= r < registers().
  Vector registerOffset(int64_t r) const;
  Vector laneOffset(int64_t l) const;
  Vector warpOffset(int64_t w) const;
  Vector coords(int64_t r, int64_t l, int64_t w) const;

  /// The register whose offset is `offset`; none if no register has it.
  std::optional<int64_t> registerAt(const Vector &offset) const;

  /// The layout of the tile without dimension `dim` when each thread keeps the elements whose coordinates it had: the
  /// layout of a row statistic. Registers that differ only along `dim` become one.
  Layout slice(unsigned dim) const;

  /// For each register of `to`, the register of this layout that holds the same element in the same thread; none if
  /// some element would have to cross threads.
  std::optional<std::vector<int64_t>> permutationTo(const Layout &to) const;

  /// Lane (warp) bits along which the element's coordinate `dim` changes: those that a reduction along `dim` crosses.
  std::vector<unsigned> laneBitsAlong(unsigned dim) const;
  bool warpsAlong(unsigned dim) const;

  /// True if every element of a tile of this shape is held by some thread and no element lies outside it.
  bool covers(const std::vector<int64_t> &shape) const;

  /// `reg = [...], lane = [...], warp = [...], rep = [...]`.
  std::string str() const;

  //===--- the layouts of mma.sync (PTX ISA, "Matrix Fragments for mma.m16n8k16") ---===//

  /// Accumulator of m16n8, [rows, columns]; `warps` along rows, each repeating by 16 * warps rows. Where there are
  /// fewer rows, 16 times a power of two, warps beyond them have the same rows again; with `deal`, other columns of
  /// them, 16 in turn, as far as there are columns for all. Null if the shape does not fit.
  static std::optional<Layout> mmaAccumulator(int64_t rows, int64_t columns, int64_t warps, bool deal = false);
  /// To how many warps columns are dealt then: 1, or a power of two.
  static int64_t warpsOfColumns(int64_t rows, int64_t columns, int64_t warps);
  /// Left operand of m16n8k16 in 16-bit types, [rows, depth].
  static std::optional<Layout> mmaLeft(int64_t rows, int64_t depth, int64_t warps);
  /// Right operand of m16n8k16 in 16-bit types, as [columns, depth]; the same in every warp. `dealtRows`: for a result
  /// of so many rows whose columns are dealt; each warp has those of its own.
  static std::optional<Layout> mmaRight(int64_t columns, int64_t depth, int64_t warps, int64_t dealtRows = 0);
  //===--- products of f32 ("Matrix Fragments for mma.m16n8k8", .tf32) ---===//

  /// Left operand of m16n8k8 in tf32, [rows, depth]: one 32-bit register an element, as ldmatrix gives them.
  static std::optional<Layout> mmaLeftSingle(int64_t rows, int64_t depth, int64_t warps);
  /// Right operand of m16n8k8 in tf32, as [columns, depth], as ldmatrix gives them.
  static std::optional<Layout> mmaRightSingle(int64_t columns, int64_t depth, int64_t warps);
  /// The right operand for a left one in the accumulator's layout. A sum may be taken in any order: of each eight
  /// elements of the depth, lane t holds 2t and 2t + 1 where the instruction means t and t + 4.
  static std::optional<Layout> mmaRightPaired(int64_t columns, int64_t depth, int64_t warps);
  /// Operands of products without tensor cores whose result has the accumulator's layout: each thread has the whole
  /// rows [rows, depth], and columns, as [columns, depth], of its elements. Threads replicate.
  static std::optional<Layout> fmaLeft(int64_t rows, int64_t depth, int64_t warps);
  static std::optional<Layout> fmaRight(int64_t columns, int64_t depth, int64_t warps);

  /// Rows of `columns` elements dealt to threads in vectors of `vector` elements: what coalesced copies use.
  static std::optional<Layout> rowMajor(int64_t rows, int64_t columns, int64_t vector, int64_t warps);
  /// The same layout with its dimensions exchanged.
  Layout transposed() const;
};

} // namespace fovea
