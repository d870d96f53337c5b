// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The plain functions on fields. Inner loops are written so that the compiler vectorises them; this file is built -O3.
#include "reference/attn/Field.h"

#include "dialect/attn/Pointwise.h"

#include "llvm/ADT/StringMap.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::reference;
namespace pointwise = fovea::attn::pointwise;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// Fields
//===----------------------------------------------------------------------===//

const Dim *Field::find(StringAttr axis) const {
  for (const Dim &dim : dims)
    if (dim.axis == axis)
      return &dim;
  return nullptr;
}

int64_t Field::size() const {
  int64_t size = 1;
  for (const Dim &dim : dims)
    size *= dim.size;
  return size;
}

int64_t Field::stride(StringAttr axis) const {
  const Dim *dim = find(axis);
  return dim ? dim->stride : 0;
}

Field Field::at(StringAttr axis, int64_t index) const {
  Field result = *this;
  for (auto it = result.dims.begin(); it != result.dims.end(); ++it)
    if (it->axis == axis) {
      result.data += index * it->stride;
      result.dims.erase(it);
      break;
    }
  return result;
}

Field Field::slice(StringAttr axis, int64_t begin, int64_t count) const {
  Field result = *this;
  for (Dim &dim : result.dims)
    if (dim.axis == axis) {
      result.data += begin * dim.stride;
      dim.size = count;
    }
  return result;
}

NewField::NewField(ArrayRef<Dim> axes) {
  int64_t size = 1;
  dims.assign(axes.begin(), axes.end());
  for (Dim &dim : llvm::reverse(dims)) {
    dim.stride = size;
    size *= dim.size;
  }
  owner = std::shared_ptr<double[]>(new double[size]);
  data = owner.get();
}

SmallVector<Dim, 5> reference::uniteDims(ArrayRef<const Field *> fields) {
  SmallVector<Dim, 5> dims;
  for (const Field *field : fields)
    for (const Dim &dim : field->dims)
      if (llvm::none_of(dims, [&](const Dim &own) { return own.axis == dim.axis; }))
        dims.push_back(dim);
  return dims;
}

std::vector<int64_t> reference::offsetsOf(ArrayRef<Dim> dims) {
  std::vector<int64_t> offsets{0};
  for (const Dim &dim : dims) {
    std::vector<int64_t> next;
    next.reserve(offsets.size() * dim.size);
    for (int64_t offset : offsets)
      for (int64_t i = 0; i < dim.size; ++i)
        next.push_back(offset + i * dim.stride);
    offsets = std::move(next);
  }
  return offsets;
}

/// Calls row(count, offsets, strides) for each run along the last axis of `dims`, with the offset and the stride of
/// each field there.
template <size_t N, typename Row>
static void forEachRow(ArrayRef<Dim> dims, const std::array<const Field *, N> &fields, Row row) {
  SmallVector<std::array<int64_t, N>> strides;
  for (const Dim &dim : dims)
    for (size_t f = 0; f < N; ++f) {
      if (f == 0)
        strides.emplace_back();
      strides.back()[f] = fields[f]->stride(dim.axis);
    }
  std::array<int64_t, N> offsets{}, inner{};
  if (llvm::any_of(dims, [](const Dim &dim) { return dim.size == 0; })) // no windows
    return;
  if (dims.empty())
    return row(int64_t(1), offsets, inner);
  inner = strides.back();
  SmallVector<int64_t> index(dims.size(), 0);
  while (true) {
    row(dims.back().size, offsets, inner);
    int64_t d = static_cast<int64_t>(dims.size()) - 2;
    for (; d >= 0; --d) {
      for (size_t f = 0; f < N; ++f)
        offsets[f] += strides[d][f];
      if (++index[d] < dims[d].size)
        break;
      for (size_t f = 0; f < N; ++f)
        offsets[f] -= dims[d].size * strides[d][f];
      index[d] = 0;
    }
    if (d < 0)
      return;
  }
}

//===----------------------------------------------------------------------===//
// Pointwise
//===----------------------------------------------------------------------===//

template <double (*f)(double)> static void row1(const double *x, int64_t sx, double *out, int64_t n) {
  if (sx == 1)
    for (int64_t i = 0; i < n; ++i)
      out[i] = f(x[i]);
  else
    for (int64_t i = 0; i < n; ++i)
      out[i] = f(x[i * sx]);
}

template <double (*f)(double, double)>
static void row2(const double *a, int64_t sa, const double *b, int64_t sb, double *out, int64_t n) {
  if (sa == 1 && sb == 1)
    for (int64_t i = 0; i < n; ++i)
      out[i] = f(a[i], b[i]);
  else if (sa == 1 && sb == 0)
    for (int64_t i = 0; i < n; ++i)
      out[i] = f(a[i], *b);
  else if (sa == 0 && sb == 1)
    for (int64_t i = 0; i < n; ++i)
      out[i] = f(*a, b[i]);
  else
    for (int64_t i = 0; i < n; ++i)
      out[i] = f(a[i * sa], b[i * sb]);
}

Row1 reference::findRow1(Operation *op) {
#define ROW(name)                                                                                                      \
  { "attn." #name, &row1<pointwise::name##_> }
  static const llvm::StringMap<Row1> rows = {ROW(neg),   ROW(abs),      ROW(sign),        ROW(exp),   ROW(exp2),
                                             ROW(expm1), ROW(log),      ROW(log2),        ROW(log1p), ROW(sqrt),
                                             ROW(rsqrt), ROW(sin),      ROW(cos),         ROW(tanh),  ROW(sigmoid),
                                             ROW(silu),  ROW(softplus), ROW(log_sigmoid), ROW(relu),  ROW(elu),
                                             ROW(gelu),  ROW(floor),    ROW(round),       ROW(not ),  ROW(to_real)};
#undef ROW
  return rows.lookup(op->getName().getStringRef());
}

Row2 reference::findRow2(Operation *op) {
#define ROW(name)                                                                                                      \
  { "attn." #name, &row2<pointwise::name##_> }
  static const llvm::StringMap<Row2> rows = {ROW(add), ROW(sub), ROW(mul), ROW(div),       ROW(floordiv), ROW(mod),
                                             ROW(pow), ROW(min), ROW(max), ROW(logaddexp), ROW(and),      ROW(or),
                                             ROW(eq),  ROW(ne),  ROW(lt),  ROW(le),        ROW(gt),       ROW(ge)};
#undef ROW
  return rows.lookup(op->getName().getStringRef());
}

Field reference::pointwise1(Row1 row, const Field &x) {
  NewField result(x.dims);
  double *out = result.out();
  forEachRow<1>(result.dims, {&x}, [&](int64_t n, auto offsets, auto strides) {
    row(x.data + offsets[0], strides[0], out, n);
    out += n;
  });
  return result;
}

Field reference::pointwise2(Row2 row, const Field &a, const Field &b) {
  NewField result(uniteDims({&a, &b}));
  double *out = result.out();
  forEachRow<2>(result.dims, {&a, &b}, [&](int64_t n, auto offsets, auto strides) {
    row(a.data + offsets[0], strides[0], b.data + offsets[1], strides[1], out, n);
    out += n;
  });
  return result;
}

Field reference::select(const Field &condition, const Field &a, const Field &b) {
  NewField result(uniteDims({&condition, &a, &b}));
  double *out = result.out();
  forEachRow<3>(result.dims, {&condition, &a, &b}, [&](int64_t n, auto offsets, auto strides) {
    const double *pc = condition.data + offsets[0], *pa = a.data + offsets[1], *pb = b.data + offsets[2];
    for (int64_t i = 0; i < n; ++i)
      *out++ = pointwise::select_(pc[i * strides[0]], pa[i * strides[1]], pb[i * strides[2]]);
  });
  return result;
}

//===----------------------------------------------------------------------===//
// Axes
//===----------------------------------------------------------------------===//

static double logSumExp(const double *x, ArrayRef<int64_t> offsets) {
  double m = -kInfinity, sum = 0;
  for (int64_t offset : offsets)
    m = pointwise::max_(m, x[offset]);
  if (std::isinf(m)) // a sum of zeros, or one infinite term
    return m;
  for (int64_t offset : offsets)
    sum += std::exp(x[offset] - m);
  return m + std::log(sum);
}

static double reduceRow(attn::ReduceKind kind, const double *x, ArrayRef<int64_t> offsets) {
  double value = 0;
  switch (kind) {
  case attn::ReduceKind::Sum:
  case attn::ReduceKind::Mean:
    for (int64_t offset : offsets)
      value += x[offset];
    return kind == attn::ReduceKind::Sum ? value : value / static_cast<double>(offsets.size());
  case attn::ReduceKind::Max:
    value = -kInfinity;
    for (int64_t offset : offsets)
      value = pointwise::max_(value, x[offset]);
    return value;
  case attn::ReduceKind::Min:
    value = kInfinity;
    for (int64_t offset : offsets)
      value = pointwise::min_(value, x[offset]);
    return value;
  case attn::ReduceKind::LogSumExp:
    return logSumExp(x, offsets);
  }
  return value;
}

/// The dims of x whose axes are (not) among `axes`.
static SmallVector<Dim, 5> pickDims(const Field &x, ArrayRef<StringAttr> axes, bool among) {
  SmallVector<Dim, 5> dims;
  for (const Dim &dim : x.dims)
    if (llvm::is_contained(axes, dim.axis) == among)
      dims.push_back(dim);
  return dims;
}

Field reference::reduce(attn::ReduceKind kind, const Field &x, ArrayRef<StringAttr> axes) {
  SmallVector<Dim, 5> kept = pickDims(x, axes, false), removed = pickDims(x, axes, true);
  std::vector<int64_t> offsets = offsetsOf(removed);
  NewField result(kept);
  double *out = result.out();
  forEachRow<1>(kept, {&x}, [&](int64_t n, auto rowOffsets, auto strides) {
    for (int64_t i = 0; i < n; ++i)
      *out++ = reduceRow(kind, x.data + rowOffsets[0] + i * strides[0], offsets);
  });
  return result;
}

Field reference::rename(Field x, StringAttr from, StringAttr to) {
  for (Dim &dim : x.dims)
    if (dim.axis == from)
      dim.axis = to;
  return x;
}

Field reference::rowAt(const Field &x, StringAttr keys, StringAttr query, int64_t querySize) {
  SmallVector<Dim, 5> dims(x.dims);
  size_t place = 0;
  for (size_t d = 0; d < dims.size(); ++d)
    if (dims[d].axis == keys)
      place = d;
  int64_t keySize = dims[place].size, keyStride = dims[place].stride;
  dims[place].axis = query;
  dims[place].size = querySize;
  NewField result(dims);
  for (int64_t q = 0; q < querySize; ++q) {
    int64_t row = q + keySize - querySize;
    bool inside = row >= 0 && row < keySize;
    double *out = result.out() + q * result.dims[place].stride;
    const double *in = x.data + (inside ? row * keyStride : 0);
    Field rest = x.at(keys, 0), target = result.at(query, 0);
    forEachRow<2>(rest.dims, {&rest, &target}, [&](int64_t n, auto offsets, auto strides) {
      for (int64_t i = 0; i < n; ++i)
        out[offsets[1] + i * strides[1]] = inside ? in[offsets[0] + i * strides[0]] : 0;
    });
  }
  return result;
}

Field reference::slicePart(Field x, StringAttr from, StringAttr to, int64_t offset, int64_t count) {
  return rename(x.slice(from, offset, count), from, to);
}

void reference::copyTo(const Field &from, const Field &to, double *data) {
  forEachRow<2>(to.dims, {&from, &to}, [&](int64_t n, auto offsets, auto strides) {
    for (int64_t i = 0; i < n; ++i)
      data[offsets[1] + i * strides[1]] = from.data[offsets[0] + i * strides[0]];
  });
}

Field reference::concat(ArrayRef<Field> fields, ArrayRef<StringAttr> parts, StringAttr along) {
  SmallVector<Field> renamed;
  SmallVector<const Field *> all;
  int64_t size = 0;
  for (auto [field, part] : llvm::zip(fields, parts)) {
    size += field.find(part)->size;
    renamed.push_back(rename(field, part, along));
  }
  for (const Field &field : renamed)
    all.push_back(&field);
  SmallVector<Dim, 5> dims = uniteDims(all);
  for (Dim &dim : dims)
    if (dim.axis == along)
      dim.size = size;
  NewField result(dims);
  int64_t offset = 0;
  for (const Field &field : renamed) {
    int64_t count = field.find(along)->size;
    Field target = result.slice(along, offset, count);
    copyTo(field, target, result.out() + (target.data - result.data));
    offset += count;
  }
  return result;
}

Field reference::gather(const Field &x, StringAttr axis, const Field &index) {
  const Dim source = *x.find(axis);
  Field rest = source.size ? x.at(axis, 0) : x;
  llvm::erase_if(rest.dims, [&](const Dim &dim) { return dim.axis == axis; });
  NewField result(uniteDims({&rest, &index}));
  double *out = result.out();
  forEachRow<2>(result.dims, {&rest, &index}, [&](int64_t n, auto offsets, auto strides) {
    for (int64_t i = 0; i < n; ++i) {
      double at = index.data[offsets[1] + i * strides[1]];
      bool inside = at >= 0 && at < static_cast<double>(source.size);
      *out++ = inside ? x.data[offsets[0] + i * strides[0] + static_cast<int64_t>(at) * source.stride] : 0;
    }
  });
  return result;
}

Field reference::scan(const Field &x, StringAttr axis) {
  NewField result(x.dims);
  const Dim from = *x.find(axis), to = *result.find(axis);
  if (from.size == 0)
    return result;
  Field source = x.at(axis, 0), target = result.at(axis, 0);
  forEachRow<2>(target.dims, {&source, &target}, [&](int64_t n, auto offsets, auto strides) {
    for (int64_t i = 0; i < n; ++i) {
      const double *in = x.data + offsets[0] + i * strides[0];
      double *out = result.out() + offsets[1] + i * strides[1], sum = 0;
      for (int64_t k = 0; k < from.size; ++k)
        out[k * to.stride] = sum += in[k * from.stride];
    }
  });
  return result;
}

Field reference::blockReduce(attn::ReduceKind kind, const Field &x, StringAttr from, StringAttr to, int64_t count,
                             int64_t extent, int64_t step) {
  const Dim source = *x.find(from);
  SmallVector<Dim, 5> dims(x.dims);
  for (Dim &dim : dims)
    if (dim.axis == from)
      dim = {to, count, 0};
  NewField result(dims);
  if (count == 0)
    return result;
  std::vector<int64_t> elements = offsetsOf(Dim{from, std::min(extent, source.size), source.stride});
  int64_t stride = result.stride(to);
  Field rest = x.at(from, 0), target = result.at(to, 0);
  forEachRow<2>(target.dims, {&rest, &target}, [&](int64_t n, auto offsets, auto strides) {
    for (int64_t i = 0; i < n; ++i)
      for (int64_t block = 0; block < count; ++block) {
        int64_t begin = block * step, size = std::min(extent, source.size - begin);
        result.out()[offsets[1] + i * strides[1] + block * stride] = reduceRow(
            kind, x.data + offsets[0] + i * strides[0] + begin * source.stride, ArrayRef(elements).take_front(size));
      }
  });
  return result;
}

Field reference::conv(const Field &x, const Field &w, ArrayRef<StringAttr> along, ArrayRef<StringAttr> taps,
                      bool same) {
  SmallVector<Dim, 5> dims = uniteDims({&x, &w});
  llvm::erase_if(dims, [&](const Dim &dim) { return llvm::is_contained(taps, dim.axis); });
  NewField result(dims);
  std::fill_n(result.out(), result.size(), 0.0);
  SmallVector<int64_t, 2> counts, tap(along.size(), 0);
  for (StringAttr axis : taps)
    counts.push_back(w.find(axis)->size);
  while (true) {
    // One tap of each axis: a product of shifted fields.
    Field source = x, weight = w, target = result;
    bool isEmpty = false;
    for (size_t n = 0; n < along.size(); ++n) {
      int64_t size = x.find(along[n])->size, shift = tap[n] - (same ? (counts[n] - 1) / 2 : counts[n] - 1);
      int64_t begin = std::max<int64_t>(0, -shift), end = std::min(size, size - shift);
      isEmpty |= begin >= end;
      weight = weight.at(taps[n], tap[n]);
      if (isEmpty)
        break;
      source = source.slice(along[n], begin + shift, end - begin);
      weight = weight.slice(along[n], begin, end - begin);
      target = target.slice(along[n], begin, end - begin);
    }
    if (!isEmpty) {
      double *out = result.out() + (target.data - result.data);
      forEachRow<3>(target.dims, {&source, &weight, &target}, [&](int64_t count, auto offsets, auto strides) {
        for (int64_t i = 0; i < count; ++i)
          out[offsets[2] + i * strides[2]] +=
              source.data[offsets[0] + i * strides[0]] * weight.data[offsets[1] + i * strides[1]];
      });
    }
    size_t n = along.size();
    while (n > 0 && ++tap[n - 1] == counts[n - 1])
      tap[--n] = 0;
    if (n == 0)
      return result;
  }
}

Field reference::flatten(const Field &x, ArrayRef<StringAttr> from, StringAttr to) {
  int64_t size = 1, stride = x.find(from.back())->stride, next = stride;
  bool isView = true;
  for (StringAttr axis : llvm::reverse(from)) {
    const Dim &dim = *x.find(axis);
    isView &= dim.stride == next;
    next = dim.stride * dim.size;
    size *= dim.size;
  }
  SmallVector<Dim, 5> dims;
  bool placed = false;
  for (const Dim &dim : x.dims) {
    if (!llvm::is_contained(from, dim.axis))
      dims.push_back(dim);
    else if (!std::exchange(placed, true))
      dims.push_back({to, size, stride});
  }
  if (isView) {
    Field result = x;
    result.dims = dims;
    return result;
  }
  NewField result(dims);
  // The same elements under the old names.
  Field target = result;
  int64_t inner = target.stride(to);
  llvm::erase_if(target.dims, [&](const Dim &dim) { return dim.axis == to; });
  for (StringAttr axis : llvm::reverse(from)) {
    target.dims.push_back({axis, x.find(axis)->size, inner});
    inner *= x.find(axis)->size;
  }
  copyTo(x, target, result.out());
  return result;
}

Field reference::iota(StringAttr axis, int64_t size, int64_t first) {
  NewField result(Dim{axis, size, 1});
  for (int64_t i = 0; i < size; ++i)
    result.out()[i] = static_cast<double>(first + i);
  return result;
}

Field reference::scalar(double value) {
  NewField result({});
  *result.out() = value;
  return result;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static constexpr int64_t kGroup = 4; // columns of one packed group

Packed reference::pack(const double *x, ArrayRef<int64_t> rowOffsets, ArrayRef<int64_t> columnOffsets) {
  Packed result;
  result.rows = static_cast<int64_t>(rowOffsets.size());
  result.columns = static_cast<int64_t>(columnOffsets.size());
  int64_t groups = (result.columns + kGroup - 1) / kGroup;
  result.data.assign(groups * kGroup * result.rows, 0.0);
  double *out = result.data.data(), check = 0;
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t k = 0; k < result.rows; ++k, out += kGroup)
      for (int64_t n = 0; n < std::min(kGroup, result.columns - g * kGroup); ++n) {
        out[n] = x[rowOffsets[k] + columnOffsets[g * kGroup + n]];
        check += out[n] * 0; // NaN once any element is not finite
      }
  result.finite = check == 0;
  return result;
}

/// `rows` rows of the product with one group of columns.
template <int rows>
static void productTile(const double *a, int64_t lda, int64_t begin, int64_t end, const double *b,
                        double out[4][kGroup]) {
  double sum[rows][kGroup] = {};
  for (int64_t k = begin; k < end; ++k)
    for (int r = 0; r < rows; ++r) {
      double x = a[r * lda + k];
      for (int n = 0; n < kGroup; ++n)
        sum[r][n] += x * b[k * kGroup + n];
    }
  for (int r = 0; r < rows; ++r)
    for (int n = 0; n < kGroup; ++n)
      out[r][n] = sum[r][n];
}

void reference::product(const double *a, int64_t lda, int64_t m, int64_t begin, int64_t end, const Packed &b, double *c,
                        int64_t ldc) {
  for (int64_t n = 0; n < b.columns; n += kGroup) {
    const double *group = b.data.data() + n * b.rows;
    int64_t columns = std::min(kGroup, b.columns - n);
    for (int64_t i = 0; i < m; i += 4) {
      double tile[4][kGroup];
      int64_t rows = std::min<int64_t>(4, m - i);
      if (rows == 4)
        productTile<4>(a + i * lda, lda, begin, end, group, tile);
      else
        for (int64_t r = 0; r < rows; ++r)
          productTile<1>(a + (i + r) * lda, lda, begin, end, group, tile + r);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t column = 0; column < columns; ++column)
          c[(i + r) * ldc + n + column] = tile[r][column];
    }
  }
}

Field reference::dot(const Field &a, const Field &b, ArrayRef<StringAttr> axes, Packed *cache) {
  SmallVector<Dim, 5> all = uniteDims({&a, &b});
  llvm::erase_if(all, [&](const Dim &dim) { return llvm::is_contained(axes, dim.axis); });
  NewField result(all);

  // Axes of both factors are a batch; the others are the rows and the columns of a matrix product.
  SmallVector<Dim, 5> batch, rows, columns, rowsOut, columnsOut, contractedA, contractedB;
  for (const Dim &dim : result.dims) {
    const Dim *inA = a.find(dim.axis), *inB = b.find(dim.axis);
    if (inA && inB) {
      batch.push_back(dim);
    } else if (inA) {
      rows.push_back(*inA);
      rowsOut.push_back(dim);
    } else {
      columns.push_back(*inB);
      columnsOut.push_back(dim);
    }
  }
  for (StringAttr axis : axes) {
    contractedA.push_back(*a.find(axis));
    contractedB.push_back(*b.find(axis));
  }
  std::vector<int64_t> offsetsA = offsetsOf(contractedA), offsetsB = offsetsOf(contractedB);
  std::vector<int64_t> m = offsetsOf(rows), n = offsetsOf(columns), mOut = offsetsOf(rowsOut),
                       nOut = offsetsOf(columnsOut);
  int64_t k = static_cast<int64_t>(offsetsA.size());
  std::vector<double> left(m.size() * k), c(m.size() * n.size());
  Packed own;
  bool single = batch.empty(); // a cache holds one operand
  Field resultView = result;
  forEachRow<3>(batch, {&a, &b, &resultView}, [&](int64_t count, auto offsets, auto strides) {
    for (int64_t i = 0; i < count; ++i) {
      const double *pa = a.data + offsets[0] + i * strides[0], *pb = b.data + offsets[1] + i * strides[1];
      double *out = result.out() + offsets[2] + i * strides[2];
      if (m.size() == 1 && n.size() == 1) {
        double sum = 0;
        for (int64_t x = 0; x < k; ++x)
          sum += pa[offsetsA[x]] * pb[offsetsB[x]];
        *out = sum;
        continue;
      }
      bool cached = single && cache && cache->rows != 0;
      if (!cached)
        own = pack(pb, offsetsB, n);
      if (single && cache && !cached)
        *cache = std::move(own);
      const Packed &right = single && cache ? *cache : own;
      for (size_t r = 0; r < m.size(); ++r)
        for (int64_t x = 0; x < k; ++x)
          left[r * k + x] = pa[m[r] + offsetsA[x]];
      product(left.data(), k, static_cast<int64_t>(m.size()), 0, k, right, c.data(), static_cast<int64_t>(n.size()));
      for (size_t r = 0; r < m.size(); ++r)
        for (size_t x = 0; x < n.size(); ++x)
          out[mOut[r] + nOut[x]] = c[r * n.size() + x];
    }
  });
  return result;
}
