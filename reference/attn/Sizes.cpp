// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sizes of axes from what is static, given, or seen in the shapes of arrays.
#include "reference/attn/Reference.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::reference;

namespace {

template <typename... Args> llvm::Error error(const char *format, Args &&...args) {
  return llvm::createStringError(llvm::formatv(format, std::forward<Args>(args)...).str());
}

/// Sizes found so far, each with its source for messages.
class Solver {
public:
  explicit Solver(attn::AxisTableAttr table) : table(table) {}
  AxisSizes sizes;
  bool allowsNone = false; // some axis is given as empty, and with it what follows from it

  llvm::Error set(StringRef axis, int64_t size, const std::string &source) {
    if (size < (allowsNone || mayBeEmpty(axis) ? 0 : 1) || size > INT32_MAX)
      return error("axis {0} has size {1} by {2}; a size is from 1 to 2147483647", axis, size, source);
    auto [entry, isNew] = sizes.try_emplace(axis.str(), size);
    if (isNew) {
      sources[axis.str()] = source;
      changed = true;
      return llvm::Error::success();
    }
    if (entry->second != size)
      return error("axis {0} is {1} by {2} and {3} by {4}", axis, entry->second, sources[axis.str()], size, source);
    return llvm::Error::success();
  }

  std::optional<int64_t> get(StringRef axis) const {
    auto found = sizes.find(axis.str());
    return found == sizes.end() ? std::nullopt : std::optional(found->second);
  }

  /// Two axes of one size.
  llvm::Error equate(StringRef a, StringRef b) {
    std::optional<int64_t> sizeA = get(a), sizeB = get(b);
    if (sizeA)
      return set(b, *sizeA, "axis " + a.str());
    return sizeB ? set(a, *sizeB, "axis " + b.str()) : llvm::Error::success();
  }

  /// size(axis) = product of the parts: gives the one that is unknown.
  llvm::Error factor(attn::AxisAttr axis) {
    StringRef name = axis.getName().getValue();
    int64_t product = 1;
    StringRef unknown;
    unsigned unknowns = 0;
    for (StringAttr part : axis.getOf()) {
      std::optional<int64_t> size = get(part);
      if (!size) {
        unknown = part.getValue();
        ++unknowns;
      } else if (__builtin_mul_overflow(product, *size, &product)) {
        return error("the size of axis {0} overflows", name);
      }
    }
    if (unknowns == 0)
      return set(name, product, "its factors");
    std::optional<int64_t> whole = get(name);
    if (unknowns > 1 || !whole)
      return llvm::Error::success();
    if (*whole % product != 0)
      return error("axis {0} has size {1} by {2}, which its other factors, {3} in all, do not divide", name, *whole,
                   sources[name.str()], product);
    return set(unknown, *whole / product, "factor axis " + name.str());
  }

  /// size(axis) = how many pieces there are of another axis.
  llvm::Error pieces(attn::AxisAttr axis) {
    std::optional<int64_t> size = get(axis.getRaw());
    return size ? set(axis.getName(), axis.countPieces(*size), "axis " + axis.getRaw().str()) : llvm::Error::success();
  }

  /// size(axis) = sum of the parts: gives the one that is unknown.
  llvm::Error concat(attn::AxisAttr axis) {
    StringRef name = axis.getName().getValue();
    int64_t sum = 0, unknowns = 0;
    StringAttr unknown;
    for (StringAttr part : axis.getOf()) {
      std::optional<int64_t> size = get(part);
      if (size) {
        sum += *size;
        continue;
      }
      if (unknown && part != unknown)
        return llvm::Error::success();
      unknown = part;
      ++unknowns;
    }
    if (!unknown)
      return set(name, sum, "its parts");
    std::optional<int64_t> whole = get(name);
    if (!whole)
      return llvm::Error::success();
    if ((*whole - sum) % unknowns != 0)
      return error("axis {0} has size {1} by {2}, of which {3} remain for axis {4}, {5} times", name, *whole,
                   sources[name.str()], *whole - sum, unknown.getValue(), unknowns);
    return set(unknown, (*whole - sum) / unknowns, "axis " + name.str());
  }

  /// size(axis) = size(raw) / divisor
  llvm::Error share(attn::AxisAttr axis) {
    int64_t divisor = axis.getDivisor();
    if (std::optional<int64_t> size = get(axis.getRaw())) {
      if (*size % divisor != 0)
        return error("axis {0} has size {1} by {2}, which {3} does not divide; axis {4} is that share of it",
                     axis.getRaw().getValue(), *size, sources[axis.getRaw().str()], divisor, axis.getName().getValue());
      return set(axis.getName(), *size / divisor, "axis " + axis.getRaw().str());
    }
    std::optional<int64_t> size = get(axis.getName());
    return size ? set(axis.getRaw(), *size * divisor, "axis " + axis.getName().str()) : llvm::Error::success();
  }

  bool takeChanged() { return std::exchange(changed, false); }

private:
  bool mayBeEmpty(StringRef name) const {
    attn::AxisAttr axis = table.lookup(name);
    if (axis && axis.isWalk())
      axis = table.lookup(axis.getRaw());
    return axis && axis.getRelation() == attn::Relation::Windows;
  }

  attn::AxisTableAttr table;
  std::map<std::string, std::string> sources;
  bool changed = false;
};

} // namespace

llvm::Expected<AxisSizes> reference::inferSizes(attn::AttentionOp attention, const Shapes &shapes,
                                                const AxisSizes &given) {
  attn::AxisTableAttr table = attention.getAxes();
  Solver solver(table);
  for (const auto &[name, size] : given)
    solver.allowsNone |= size == 0;
  for (attn::AxisAttr axis : table.getAxes())
    if (axis.isStatic())
      if (llvm::Error e = solver.set(axis.getName(), axis.getSize(), "the specification"))
        return e;
  for (const auto &[name, size] : given) {
    if (!table.lookup(name))
      return error("there is no axis {0}", name);
    if (llvm::Error e = solver.set(name, size, "the sizes given"))
      return e;
  }

  llvm::StringMap<attn::InputOp> inputs;
  for (attn::InputOp input : attention.getInputs())
    inputs[input.getName()] = input;
  for (const auto &[name, shape] : shapes) {
    attn::InputOp input = inputs.lookup(name);
    if (!input)
      return error("there is no input '{0}'", name);
    SmallVector<StringAttr> axes = attn::toAxes(input.getDeclared());
    if (shape.size() != axes.size())
      return error("array '{0}' has {1} dimensions; it is declared with {2}", name, shape.size(), axes.size());
    for (auto [axis, size] : llvm::zip(axes, shape))
      if (llvm::Error e = solver.set(axis, size, "array '" + name + "'"))
        return e;
  }

  // Relations run in every direction, so to a fixed point; each round finds at least one size.
  do {
    for (attn::AxisAttr axis : table.getAxes()) {
      if (axis.isFactor() || axis.isOuter())
        if (llvm::Error e = solver.factor(axis))
          return e;
      if (axis.isWalk())
        if (llvm::Error e = solver.equate(axis.getRaw(), axis.getName()))
          return e;
      if (axis.isPieces())
        if (llvm::Error e = solver.pieces(axis))
          return e;
      if (axis.isConcat())
        if (llvm::Error e = solver.concat(axis))
          return e;
      if (axis.isShare())
        if (llvm::Error e = solver.share(axis))
          return e;
    }
    for (auto rename : attention.getBody().getOps<attn::RenameOp>())
      if (llvm::Error e = solver.equate(rename.getFrom(), rename.getTo()))
        return e;
  } while (solver.takeChanged());

  // Only axes that something uses need a size.
  llvm::SetVector<StringAttr> used;
  for (Operation &op : attention.getBody().front()) {
    for (Type type : op.getResultTypes())
      if (auto field = dyn_cast<attn::FieldType>(type))
        used.insert(field.getAxes().begin(), field.getAxes().end());
    if (auto size = dyn_cast<attn::SizeOp>(op))
      used.insert(size.getAxisAttr());
    if (auto position = dyn_cast<attn::QueryPositionOp>(op))
      used.insert(position.getKeysAttr());
    if (auto weights = dyn_cast<attn::WeightsOp>(op)) {
      used.insert(weights.getOverAttr());
      used.insert(weights.getQueryAttr());
    }
    if (auto slice = dyn_cast<attn::SliceOp>(op))
      for (StringAttr axis : attn::toAxes(slice.getAfter()))
        used.insert(axis);
    if (auto output = dyn_cast<attn::OutputOp>(op))
      for (StringAttr axis : attn::toAxes(output.getDeclared()))
        used.insert(axis);
  }
  for (StringAttr axis : used)
    if (!solver.get(axis))
      return error("the size of axis {0} is unknown: no array that was passed has it, and it was not given",
                   axis.getValue());
  // Parts that the table does not relate to their whole.
  auto check = [&](StringAttr whole, ArrayRef<StringAttr> parts, bool all) -> llvm::Error {
    int64_t size = *solver.get(whole), sum = 0;
    for (StringAttr part : parts)
      sum += *solver.get(part);
    if (all ? sum != size : sum > size)
      return error("axis {0} has size {1}, its parts {2}", whole.getValue(), size, sum);
    return llvm::Error::success();
  };
  for (Operation &op : attention.getBody().front()) {
    if (auto slice = dyn_cast<attn::SliceOp>(op)) {
      SmallVector<StringAttr> parts = attn::toAxes(slice.getAfter());
      parts.push_back(slice.getToAttr());
      if (llvm::Error e = check(slice.getFromAttr(), parts, false))
        return e;
    }
    if (auto concat = dyn_cast<attn::ConcatOp>(op))
      if (llvm::Error e = check(concat.getAlongAttr(), attn::toAxes(concat.getParts()), true))
        return e;
  }
  return solver.sizes;
}

std::vector<int64_t> reference::shapeOf(ArrayAttr declared, const AxisSizes &sizes) {
  std::vector<int64_t> shape;
  for (StringAttr axis : attn::toAxes(declared))
    shape.push_back(sizes.at(axis.str()));
  return shape;
}
