// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Strided fields and the plain function of each operation of the attn dialect on them. Of this folder only.
#pragma once

#include "dialect/attn/Attn.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace fovea::reference {

struct Dim {
  mlir::StringAttr axis;
  int64_t size, stride;
};

/// A view of doubles over named axes. Copies share the data.
struct Field {
  llvm::SmallVector<Dim, 5> dims;
  std::shared_ptr<double[]> owner; // absent where the data belongs to the caller
  const double *data = nullptr;    // the element at index 0 of every axis

  const Dim *find(mlir::StringAttr axis) const;
  int64_t size() const;
  /// The stride of an axis; 0, a broadcast, where the field lacks it.
  int64_t stride(mlir::StringAttr axis) const;
  /// The field at one index of an axis, or at `count` of them from `begin`. The same field where it lacks the axis.
  Field at(mlir::StringAttr axis, int64_t index) const;
  Field slice(mlir::StringAttr axis, int64_t begin, int64_t count) const;
};

/// A dense row-major field whose elements are all to be written.
struct NewField : Field {
  explicit NewField(llvm::ArrayRef<Dim> axes); // strides are ignored
  double *out() { return owner.get(); }
};

/// The ordered union of axes with their sizes; strides are those of no field.
llvm::SmallVector<Dim, 5> uniteDims(llvm::ArrayRef<const Field *> fields);

Field pointwise1(void (*row)(const double *, int64_t, double *, int64_t), const Field &x);
Field pointwise2(void (*row)(const double *, int64_t, const double *, int64_t, double *, int64_t), const Field &a,
                 const Field &b);
Field select(const Field &condition, const Field &a, const Field &b);
Field reduce(attn::ReduceKind kind, const Field &x, llvm::ArrayRef<mlir::StringAttr> axes);
Field rename(Field x, mlir::StringAttr from, mlir::StringAttr to);
/// Rows of x at index q + |keys| - |query|, 0 outside.
Field rowAt(const Field &x, mlir::StringAttr keys, mlir::StringAttr query, int64_t querySize);
/// Elements offset .. of an axis, as many as `to` has: a view.
Field slicePart(Field x, mlir::StringAttr from, mlir::StringAttr to, int64_t offset, int64_t count);
/// Fields one behind the other along an axis; field n has its part under the name of parts[n].
Field concat(llvm::ArrayRef<Field> fields, llvm::ArrayRef<mlir::StringAttr> parts, mlir::StringAttr along);
/// x at the index along an axis, 0 outside. The index may have that axis itself.
Field gather(const Field &x, mlir::StringAttr axis, const Field &index);
/// Sums over 0 .. n.
Field scan(const Field &x, mlir::StringAttr axis);
/// Reductions over the `count` pieces of `from`, of `extent` elements from n * step as far as there are any.
Field blockReduce(attn::ReduceKind kind, const Field &x, mlir::StringAttr from, mlir::StringAttr to, int64_t count,
                  int64_t extent, int64_t step);
/// y[t] = sum over u of w[u] x[t + u - c], x = 0 outside; c = |taps| - 1, or (|taps| - 1) div 2 where `same`. One or
/// two axes.
Field conv(const Field &x, const Field &w, llvm::ArrayRef<mlir::StringAttr> along,
           llvm::ArrayRef<mlir::StringAttr> taps, bool same);
/// Axes as one, the first varies slowest; a view where the strides allow it. It stands where the first of them stood.
Field flatten(const Field &x, llvm::ArrayRef<mlir::StringAttr> from, mlir::StringAttr to);
/// Writes the elements of `from` to those of `to`, which has the same axes and sizes in any order; `data` is where the
/// data of `to` may be written.
void copyTo(const Field &from, const Field &to, double *data);
/// first, first + 1, ...
Field iota(mlir::StringAttr axis, int64_t size, int64_t first);
Field scalar(double value);

/// A right operand in the order in which a product reads it: columns in groups of four, zero-padded, each group
/// contiguous along the rows.
struct Packed {
  int64_t rows = 0, columns = 0;
  std::vector<double> data;
  bool finite = true; // no element is NaN or infinite
};
Packed pack(const double *x, llvm::ArrayRef<int64_t> rowOffsets, llvm::ArrayRef<int64_t> columnOffsets);
/// c[m][n] = sum over k in [begin, end) of a[m][k] * b[k][n], each sum in the order of k.
void product(const double *a, int64_t lda, int64_t m, int64_t begin, int64_t end, const Packed &b, double *c,
             int64_t ldc);

/// `cache`, where not null, keeps the packed right operand from one call to the next with the same b.
Field dot(const Field &a, const Field &b, llvm::ArrayRef<mlir::StringAttr> axes, Packed *cache);

/// The offset of each point of the axes, row-major.
std::vector<int64_t> offsetsOf(llvm::ArrayRef<Dim> dims);

/// The row functions of a pointwise operation by name; null where it has not this many operands.
using Row1 = void (*)(const double *, int64_t, double *, int64_t);
using Row2 = void (*)(const double *, int64_t, const double *, int64_t, double *, int64_t);
Row1 findRow1(mlir::Operation *op);
Row2 findRow2(mlir::Operation *op);

} // namespace fovea::reference
