// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Axes, tensors, workspaces; loads and stores with their bounds.
#include "reference/tile/Machine.h"
#include "runtime/abi/Expr.h"
#include "llvm/ADT/Twine.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

// One array may not be larger: 2 GiB of doubles.
static constexpr int64_t maximumElements = int64_t(1) << 28;

namespace {
/// Sizes that follow from those of other axes, as in `ceildiv(S, 64)`.
struct AxisSizes : fovea::runtime::ExprScope {
  using Number = fovea::Result<int64_t>;
  explicit AxisSizes(const std::map<std::string, int64_t> &axes) : axes(axes) {}
  Number axis(std::string_view name) const override {
    auto found = axes.find(std::string(name));
    if (found == axes.end())
      return none("no size is given for the axis '" + std::string(name) + "'");
    return found->second;
  }
  Number stride(std::string_view, std::string_view) const override { return none("a size has no stride"); }
  Number align(std::string_view) const override { return none("a size has no alignment"); }
  Number present(std::string_view) const override { return none("a size does not depend on what is given"); }
  Number deviceSms() const override { return none("a size does not depend on the device"); }

private:
  static fovea::Error none(std::string message) { return {fovea::ErrorCode::InvalidArgument, std::move(message)}; }
  const std::map<std::string, int64_t> &axes;
};
} // namespace

/// The size of a factor that is no name; may be 0, as that of windows that do not fit once.
static llvm::Expected<int64_t> evaluateExpression(StringRef text, const std::map<std::string, int64_t> &axes) {
  auto parsed = fovea::runtime::Expr::parse(text.str());
  if (!parsed)
    return llvm::createStringError("the size '" + text.str() + "' cannot be read: " + parsed.error().message);
  auto value = parsed->evaluate(AxisSizes(axes));
  if (!value)
    return llvm::createStringError(value.error().message);
  if (*value < 0)
    return llvm::createStringError("the size '" + text.str() + "' is " + std::to_string(*value));
  return *value;
}

llvm::Expected<int64_t> fovea::tile::evaluateDim(StringRef dim, const std::map<std::string, int64_t> &axes) {
  int64_t product = 1;
  SmallVector<StringRef> factors;
  dim.split(factors, '*');
  for (StringRef factor : factors) {
    factor = factor.trim();
    int64_t size = 0;
    if (factor.contains('(')) {
      auto computed = evaluateExpression(factor, axes);
      if (!computed)
        return computed.takeError();
      if (__builtin_mul_overflow(product, *computed, &product))
        return llvm::createStringError("the size '" + dim.str() + "' overflows 64 bits");
      continue;
    }
    if (factor.getAsInteger(10, size)) {
      auto axis = axes.find(factor.str());
      if (axis == axes.end())
        return llvm::createStringError("no size is given for the axis '" + factor.str() + "'");
      size = axis->second;
    }
    if (size < 1)
      return llvm::createStringError("the axis '" + factor.str() + "' has the size " + std::to_string(size) +
                                     "; expected at least 1");
    if (__builtin_mul_overflow(product, size, &product))
      return llvm::createStringError("the size '" + dim.str() + "' overflows 64 bits");
  }
  return product;
}

Step machine::runAxis(Thread &thread, const Instr &instr) {
  auto size = evaluateDim(cast<AxisOp>(instr.op).getName(), *thread.machine.axes);
  if (!size)
    return thread.fail(instr, "cannot be evaluated: " + llvm::toString(size.takeError()));
  thread.setInteger(instr.out[0], *size);
  return Step::Next;
}

llvm::Expected<std::vector<int64_t>> fovea::tile::evaluateShape(ArrayAttr dims, ViewType type,
                                                                const std::map<std::string, int64_t> &axes) {
  std::vector<int64_t> shape;
  int64_t elements = 1;
  for (auto [dim, size] : llvm::zip(dims.getAsValueRange<StringAttr>(), type.getShape())) {
    auto named = evaluateDim(dim, axes);
    if (!named) {
      if (ShapedType::isDynamic(size))
        return named.takeError();
      llvm::consumeError(named.takeError());
    } else if (!ShapedType::isDynamic(size) && *named != size) {
      return llvm::createStringError("the dimension '" + dim.str() + "' has the size " + std::to_string(*named) +
                                     ", but the program is made for " + std::to_string(size));
    }
    shape.push_back(named ? *named : size);
    if (__builtin_mul_overflow(elements, shape.back(), &elements) || elements > maximumElements)
      return llvm::createStringError("a tensor of more than 2^28 elements is too large for the interpreter");
  }
  return shape;
}

static Step addArray(Thread &thread, const Instr &instr, std::unique_ptr<Array> array) {
  array->strides.resize(array->shape.size());
  int64_t stride = 1;
  for (size_t d = array->shape.size(); d-- > 0; stride *= array->shape[d])
    array->strides[d] = stride;
  if (!array->isInput) {
    if (!array->isCarry)
      array->own.assign(stride, std::numeric_limits<double>::quiet_NaN());
    array->data = array->own.data();
    array->writer.assign(stride, 0);
  }
  thread.setInteger(instr.out[0], int64_t(thread.machine.arrays.size()));
  thread.machine.arrays.push_back(std::move(array));
  return Step::Next;
}

Step machine::runComputedAxis(Thread &thread, const Instr &instr) {
  Machine &machine = thread.machine;
  std::string name = cast<ComputedAxisOp>(instr.op).getName().str();
  int64_t size = thread.integer(instr, 0);
  if (size < 1)
    return thread.fail(instr, "computes the size " + llvm::Twine(size) + " for '" + name + "'; expected at least 1");
  if (machine.axes->count(name))
    return thread.fail(instr, "has the name of an axis: '" + name + "'");
  machine.computedAxes = *machine.axes;
  machine.computedAxes[name] = size;
  machine.axes = &machine.computedAxes;
  thread.setInteger(instr.out[0], size);
  return Step::Next;
}

Step machine::runDeviceSms(Thread &thread, const Instr &instr) {
  thread.setInteger(instr.out[0], std::max<int64_t>(1, thread.machine.options.sms));
  return Step::Next;
}

/// Another view of the same elements.
static std::unique_ptr<Array> viewOf(Array &from) {
  auto array = std::make_unique<Array>();
  array->name = from.name;
  array->elementType = from.elementType;
  array->shape = from.shape;
  array->strides = from.strides;
  array->data = from.data;
  array->isInput = from.isInput;
  array->isCarry = from.isCarry;
  array->memory = from.memory ? from.memory : &from;
  array->origin = from.origin;
  array->merged = from.merged;
  array->merged.resize(from.shape.size());
  return array;
}

/// Views of a launch are made once for each work item, one in place of that of the item before.
static Step addView(Thread &thread, const Instr &instr, std::unique_ptr<Array> array) {
  Machine &machine = thread.machine;
  if (machine.inLaunch) {
    auto [known, isNew] = machine.launchViews.try_emplace(instr.op, int64_t(machine.arrays.size()));
    if (!isNew) {
      machine.arrays[known->second] = std::move(array);
      thread.setInteger(instr.out[0], known->second);
      return Step::Next;
    }
  }
  thread.setInteger(instr.out[0], int64_t(machine.arrays.size()));
  machine.arrays.push_back(std::move(array));
  return Step::Next;
}

Step machine::runMergeDims(Thread &thread, const Instr &instr) {
  auto op = cast<MergeDimsOp>(instr.op);
  Array &from = *thread.machine.arrays[thread.integer(instr, 0)];
  int64_t outer = thread.integer(instr, 1), inner = thread.integer(instr, 2), size;
  // Those of a sequence may be none.
  if (outer < (thread.machine.inLaunch ? 0 : 1) || inner < 1 || __builtin_mul_overflow(outer, inner, &size))
    return thread.fail(instr, "merges " + llvm::Twine(outer) + " by " + llvm::Twine(inner) + " elements");
  std::unique_ptr<Array> array = viewOf(from);
  auto strideOf = [&](int64_t d, int64_t extent) -> std::optional<int64_t> {
    if (d < 0)
      return 0;
    // Of a sequence without tokens nothing is read.
    if (from.isMerged(d) || (extent > from.shape[d] && !(thread.machine.inLaunch && from.shape[d] == 0)))
      return std::nullopt;
    return from.strides[d];
  };
  std::optional<int64_t> outerStride = strideOf(op.getDims()[0], outer), innerStride = strideOf(op.getDims()[1], inner);
  if (!outerStride || !innerStride)
    return thread.fail(instr, "merges more elements than '" + from.name + "' has, or a dimension that is merged");
  array->shape.insert(array->shape.begin() + op.getPlace(), size);
  array->strides.insert(array->strides.begin() + op.getPlace(), 0);
  array->merged.insert(array->merged.begin() + op.getPlace(), Array::Merged{inner, *outerStride, *innerStride});
  return addView(thread, instr, std::move(array));
}

Step machine::runNarrow(Thread &thread, const Instr &instr) {
  auto op = cast<NarrowOp>(instr.op);
  Array &from = *thread.machine.arrays[thread.integer(instr, 0)];
  int64_t d = int64_t(op.getDim()), start = thread.integer(instr, 1), size = thread.integer(instr, 2);
  if (from.isMerged(d))
    return thread.fail(instr, "narrows a merged dimension of '" + from.name + "'");
  if (start < 0 || size < 0 || start > from.shape[d] || size > from.shape[d] - start)
    return thread.fail(instr, "takes elements " + llvm::Twine(start) + " to " + llvm::Twine(start + size) +
                                  " of dimension " + llvm::Twine(d) + " of '" + from.name + "', whose size is " +
                                  llvm::Twine(from.shape[d]));
  std::unique_ptr<Array> array = viewOf(from);
  array->shape[d] = size;
  array->data += start * from.strides[d];
  array->origin += start * from.strides[d];
  return addView(thread, instr, std::move(array));
}

Step machine::runSequence(Thread &thread, const Instr &instr) {
  const Array &offsets = *thread.machine.arrays[thread.integer(instr, 0)];
  int64_t index = thread.integer(instr, 1), total = thread.integer(instr, 2), most = thread.integer(instr, 3);
  if (index < 0 || index + 1 >= offsets.shape[0])
    return thread.fail(instr, "asks for sequence " + llvm::Twine(index) + " of " + llvm::Twine(offsets.shape[0] - 1));
  int64_t begin = int64_t(offsets.data[index * offsets.strides[0]]),
          end = int64_t(offsets.data[(index + 1) * offsets.strides[0]]);
  begin = std::clamp<int64_t>(begin, 0, total);
  end = std::min(end, total);
  thread.setInteger(instr.out[0], std::min(begin, total - 1));
  thread.setInteger(instr.out[1], std::min(std::max<int64_t>(end - begin, 0), most));
  return Step::Next;
}

static std::string text(ArrayRef<int64_t> shape) {
  std::string s = "[";
  for (size_t k = 0; k < shape.size(); ++k)
    s += (k ? ", " : "") + std::to_string(shape[k]);
  return s + "]";
}

Step machine::runTensor(Thread &thread, const Instr &instr) {
  auto op = cast<TensorOp>(instr.op);
  auto array = std::make_unique<Array>();
  array->name = op.getName().str();
  array->elementType = op.getView().getType().getElementType();
  auto shape = evaluateShape(op.getDims(), op.getView().getType(), *thread.machine.axes);
  if (!shape)
    return thread.fail(instr, "cannot be made: " + llvm::toString(shape.takeError()));
  array->shape = std::move(*shape);
  array->isCarry = op.getRole() == "carry";
  array->isInput = op.getRole() != "output" && !array->isCarry;
  if (array->isInput || array->isCarry) {
    auto found = thread.machine.tensors->find(array->name);
    if (found == thread.machine.tensors->end())
      return thread.fail(instr, "is an input that is not given: '" + array->name + "'");
    Tensor &given = found->second;
    int64_t elements = 1;
    for (int64_t size : array->shape)
      elements *= size;
    if (given.shape != array->shape || int64_t(given.data.size()) != elements)
      return thread.fail(instr, "has the shape " + text(array->shape) + ", but '" + array->name + "' is given with " +
                                    text(given.shape) + " and " + llvm::Twine(given.data.size()) + " elements");
    if (array->isInput)
      array->data = given.data.data();
    else
      array->own = given.data;
  }
  return addArray(thread, instr, std::move(array));
}

Step machine::runWorkspace(Thread &thread, const Instr &instr) {
  auto op = cast<WorkspaceOp>(instr.op);
  auto array = std::make_unique<Array>();
  array->name = op.getName().str();
  array->elementType = op.getView().getType().getElementType();
  auto shape = evaluateShape(op.getDims(), op.getView().getType(), *thread.machine.axes);
  if (!shape)
    return thread.fail(instr, "cannot be made: " + llvm::toString(shape.takeError()));
  array->shape = std::move(*shape);
  return addArray(thread, instr, std::move(array));
}

Claim machine::claimOf(Thread &thread, const Instr &instr, int view, int firstIndex, unsigned count) {
  Claim claim;
  claim.array = thread.integer(instr, view);
  for (unsigned k = 0; k < count; ++k)
    claim.indices.push_back(thread.integer(instr, firstIndex + k));
  claim.dims.append(instr.dims.begin(), instr.dims.end());
  return claim;
}

namespace {
/// The rows of a box: contiguous runs along the last tiled dimension.
struct Rows {
  const Array &array;
  const Claim &box;
  ArrayRef<int64_t> shape;
  int64_t limit;
  int64_t count = 1, columns = 1;
  bool single = false; // rows are single elements, since the last tiled dimension is merged

  Rows(const Array &array, const Claim &box, ArrayRef<int64_t> shape, int64_t limit)
      : array(array), box(box), shape(shape), limit(limit) {
    single = shape.empty() || array.isMerged(box.dims.back());
    for (int64_t size : shape.drop_back(single ? 0 : 1))
      count *= size;
    columns = single ? 1 : shape.back();
  }

  /// Of row r: its elements [begin, end) lie in the array from `offset` on, `stride` apart. False: none do.
  bool at(int64_t r, int64_t &offset, int64_t &stride, int64_t &begin, int64_t &end) const {
    SmallVector<int64_t, 4> where(box.indices.begin(), box.indices.end());
    for (size_t k = shape.size() - (single ? 0 : 1); k-- > 0;) {
      where[box.dims[k]] += r % shape[k];
      r /= shape[k];
    }
    begin = 0, end = columns, stride = 0, offset = 0;
    int64_t last = single ? -1 : box.dims.back();
    for (size_t d = 0; d < where.size(); ++d) {
      int64_t bound = array.shape[d];
      if (!box.dims.empty() && int64_t(d) == box.dims.front())
        bound = std::min(bound, limit);
      if (int64_t(d) == last) {
        begin = std::max<int64_t>(0, -where[d]);
        end = std::min(columns, bound - where[d]);
        stride = array.strides[d];
        where[d] += begin;
      } else if (where[d] < 0 || where[d] >= bound) {
        return false;
      }
    }
    if (begin >= end)
      return false;
    for (size_t d = 0; d < where.size(); ++d)
      offset += array.distance(d, where[d]);
    return true;
  }
};

/// Indices beyond this would make the arithmetic of boxes overflow.
bool sane(const Claim &box) {
  return llvm::all_of(box.indices, [](int64_t i) { return i > -(int64_t(1) << 40) && i < (int64_t(1) << 40); });
}

const char *mayRead(const Machine &machine, const Array &array, int64_t offset) {
  uint32_t writer = array.writerOf(offset);
  if (writer == 0 && array.isCarry)
    return nullptr;
  if (writer == 0)
    return "reads an element that was never written, of '";
  if (machine.inLaunch && writer >= machine.firstItemOfLaunch && writer != machine.itemNumber)
    return "reads an element that another work item of this launch writes, of '";
  return nullptr;
}
} // namespace

bool machine::readBox(Thread &thread, const Instr &instr, const Claim &box, ArrayRef<int64_t> shape, int64_t limit,
                      Cell pad, Cell *out) {
  const Array &array = *thread.machine.arrays[box.array];
  if (!sane(box)) {
    thread.fail(instr, "has an index beyond 2^40");
    return false;
  }
  bool isFloat = kindOf(array.elementType).isFloat;
  Rows rows(array, box, shape, limit);
  for (int64_t r = 0; r < rows.count; ++r, out += rows.columns) {
    int64_t offset, stride, begin, end;
    if (!rows.at(r, offset, stride, begin, end)) {
      std::fill(out, out + rows.columns, pad);
      continue;
    }
    std::fill(out, out + begin, pad);
    std::fill(out + end, out + rows.columns, pad);
    if (!array.isInput)
      for (int64_t c = begin; c < end; ++c)
        if (const char *message = mayRead(thread.machine, array, offset + (c - begin) * stride)) {
          thread.fail(instr, message + array.name + "'");
          return false;
        }
    const double *data = array.data + offset;
    if (isFloat)
      for (int64_t c = begin; c < end; ++c)
        out[c].f = data[(c - begin) * stride];
    else
      for (int64_t c = begin; c < end; ++c)
        out[c].n = int64_t(data[(c - begin) * stride]);
  }
  return true;
}

Step machine::runLoad(Thread &thread, const Instr &instr) {
  Claim box = claimOf(thread, instr, 0, instr.first, instr.second - instr.first);
  int64_t limit =
      instr.third > instr.second ? thread.integer(instr, instr.second) : std::numeric_limits<int64_t>::max();
  return readBox(thread, instr, box, instr.shape, limit, instr.pad, thread.result(instr)) ? Step::Next : Step::Failed;
}

Step machine::runLoadScalar(Thread &thread, const Instr &instr) {
  Claim box = claimOf(thread, instr, 0, 1, instr.in.size() - 1);
  const Array &array = *thread.machine.arrays[box.array];
  for (size_t d = 0; d < array.shape.size(); ++d)
    if (box.indices[d] < 0 || box.indices[d] >= array.shape[d])
      return thread.fail(instr, "has the index " + llvm::Twine(box.indices[d]) + " in dimension " + llvm::Twine(d) +
                                    " of '" + array.name + "', whose size is " + llvm::Twine(array.shape[d]));
  return readBox(thread, instr, box, {}, std::numeric_limits<int64_t>::max(), instr.pad, thread.result(instr))
             ? Step::Next
             : Step::Failed;
}

Step machine::runStore(Thread &thread, const Instr &instr) {
  Machine &machine = thread.machine;
  Claim box = claimOf(thread, instr, 1, 2, instr.in.size() - 2);
  Array &array = *machine.arrays[box.array];
  if (array.isInput)
    return thread.fail(instr, "writes into the input '" + array.name + "'");
  if (!sane(box))
    return thread.fail(instr, "has an index beyond 2^40");
  bool isFloat = kindOf(array.elementType).isFloat;
  const Cell *in = thread.get(instr, 0);
  Rows rows(array, box, instr.shape, std::numeric_limits<int64_t>::max());
  for (int64_t r = 0; r < rows.count; ++r, in += rows.columns) {
    int64_t offset, stride, begin, end;
    if (!rows.at(r, offset, stride, begin, end))
      continue;
    for (int64_t c = begin; c < end; ++c, offset += stride) {
      double value = isFloat ? in[c].f : double(in[c].n);
      uint32_t &writer = array.writerOf(offset);
      double &place = array.data[offset];
      // Two work items may write one element only if the order does not matter.
      if (writer >= machine.firstItemOfLaunch && writer != machine.itemNumber && place != value &&
          !(place != place && value != value))
        return thread.fail(instr, "writes an element of '" + array.name +
                                      "' that another work item of this launch has written differently");
      place = value;
      writer = machine.itemNumber;
    }
  }
  return Step::Next;
}

Step machine::runStoreScalar(Thread &thread, const Instr &instr) {
  Claim box = claimOf(thread, instr, 1, 2, instr.in.size() - 2);
  const Array &array = *thread.machine.arrays[box.array];
  for (size_t d = 0; d < array.shape.size(); ++d)
    if (box.indices[d] < 0 || box.indices[d] >= array.shape[d])
      return thread.fail(instr, "has the index " + llvm::Twine(box.indices[d]) + " in dimension " + llvm::Twine(d) +
                                    " of '" + array.name + "', whose size is " + llvm::Twine(array.shape[d]));
  return runStore(thread, instr); // a box of no dimension
}
