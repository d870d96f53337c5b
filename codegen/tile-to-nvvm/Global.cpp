// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads from and stores to views: addresses in 64 bits, bounds by selection for loads and by branches for stores.
#include "codegen/tile-to-nvvm/Emitter.h"

#include "mlir/IR/Matchers.h"

#include <utility>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

bool codegen::alwaysInside(const ViewValue &view, unsigned d, Value index, int64_t size) {
  APInt constant;
  if (ShapedType::isDynamic(view.staticSizes[d]))
    return false;
  // A multiple of a work item's index, whose extent is known.
  if (auto product = index.getDefiningOp<arith::MulIOp>()) {
    auto argument = dyn_cast<BlockArgument>(product.getLhs());
    auto launch = argument ? dyn_cast<tile::LaunchOp>(argument.getOwner()->getParentOp()) : tile::LaunchOp();
    APInt extent;
    if (launch && matchPattern(product.getRhs(), m_ConstantInt(&constant)) &&
        matchPattern(launch.getExtents()[argument.getArgNumber()], m_ConstantInt(&extent)))
      return constant.sgt(0) && (extent.getSExtValue() - 1) * constant.getSExtValue() + size <= view.staticSizes[d];
    return false;
  }
  if (!matchPattern(index, m_ConstantInt(&constant)))
    return false;
  return constant.getSExtValue() >= 0 && constant.getSExtValue() + size <= view.staticSizes[d];
}

/// How many consecutive registers lie next to each other along the last dimension of the tile: 1, 2, 4 or 8, at most 16
/// bytes and no more than the alignment of the view and of the first index along that dimension.
static int64_t vectorWidth(const Layout &layout, const ViewValue &view, ArrayRef<int64_t> dims, unsigned bits,
                           Value first) {
  if (dims.empty() || dims.back() != int64_t(view.strides.size()) - 1 || view.merged.count(dims.back()))
    return 1;
  int64_t width = 1, size = view.staticSizes.back();
  unsigned last = dims.size() - 1;
  APInt begin;
  bool isKnown = matchPattern(first, m_ConstantInt(&begin));
  for (const Layout::Vector &basis : layout.reg) {
    Layout::Vector expected(dims.size(), 0);
    expected[last] = width;
    if (basis != expected || width * 2 * bits > 8 * view.alignment)
      break;
    // Dense rows of another length begin anywhere.
    if ((isKnown && begin.getSExtValue() % (width * 2)) || (!ShapedType::isDynamic(size) && size % (width * 2)))
      break;
    width *= 2;
  }
  return width;
}

bool codegen::isMultipleOf(Value index, int64_t number) {
  APInt constant;
  if (matchPattern(index, m_ConstantInt(&constant)))
    return constant.getSExtValue() % number == 0;
  if (auto product = index.getDefiningOp<arith::MulIOp>())
    return isMultipleOf(product.getLhs(), number) || isMultipleOf(product.getRhs(), number);
  return false;
}

/// How many of `width` elements next to each other lie within the last dimension, or outside it, together.
static int64_t wholeVectors(const ViewValue &view, Value index, int64_t width) {
  int64_t size = view.staticSizes.back();
  while (width > 1 && (ShapedType::isDynamic(size) || size % width || !isMultipleOf(index, width)))
    width /= 2;
  return width;
}

Value Emitter::distance(const ViewValue &view, unsigned d, Value index) {
  auto found = view.merged.find(d);
  if (found == view.merged.end()) {
    Value distance = toI64(index);
    return view.strides[d] ? mul(distance, view.strides[d]) : distance;
  }
  const MergedDimension &merged = found->second;
  Value sum;
  if (merged.outerStride)
    sum = mul(toI64(LLVM::UDivOp::create(b, loc, index, merged.inner)), merged.outerStride);
  if (merged.innerStride) {
    Value part = mul(toI64(LLVM::URemOp::create(b, loc, index, merged.inner)), merged.innerStride);
    sum = sum ? add(sum, part) : part;
  }
  return sum;
}

Value Emitter::elementOffset(const ViewValue &view, ArrayRef<Value> indices) {
  Value offset;
  for (auto [d, index] : llvm::enumerate(indices)) {
    if (!index)
      continue;
    Value part = distance(view, d, index);
    offset = offset ? add(offset, part) : part;
  }
  return offset ? offset : i64(0);
}

namespace {
/// Where one group of registers of a tile lies.
struct Place {
  Value pointer;
  Value valid; // null: always
};
} // namespace

LogicalResult Emitter::emitLoad(tile::LoadOp op) {
  const Layout *to = layout(op.getTile());
  if (!to)
    return op.emitOpError("works on a tile without layout");
  ViewValue view = views[op.getView()];
  auto type = tensorType(op.getTile());
  Type element = type.getElementType();
  unsigned bits = element.getIntOrFloatBitWidth();
  ArrayRef<int64_t> dims = op.getDims();
  int64_t width = vectorWidth(*to, view, dims, bits, dims.empty() ? Value() : op.getIndices()[dims.back()]);
  unsigned last = dims.size() - 1;
  bool checkLast = !alwaysInside(view, dims[last], op.getIndices()[dims[last]], type.getDimSize(last));
  if (checkLast)
    width = wholeVectors(view, op.getIndices()[dims[last]], width);
  bool packed = bits == 16 && width > 1;
  needAlignment(view, width * bits / 8);

  SmallVector<Value> fixed(op.getIndices().size());
  for (auto [d, index] : llvm::enumerate(op.getIndices()))
    if (!llvm::is_contained(dims, int64_t(d)))
      fixed[d] = scalar(index);
  Value base = gep(view.base, element, elementOffset(view, fixed));

  // Coordinates repeat over registers: compute each once.
  std::map<std::pair<unsigned, int64_t>, std::pair<Value, Value>> known; // (dim, constant) -> offset in elements, valid
  auto coordinate = [&](unsigned k, int64_t constant) {
    auto &entry = known[{k, constant}];
    if (!entry.first) {
      unsigned d = dims[k];
      Value index = addConstant(add(scalar(op.getIndices()[d]), threadOffset(*to, k)), constant);
      bool inside = alwaysInside(view, d, op.getIndices()[d], type.getDimSize(k));
      if (!inside)
        entry.second = icmp(LLVM::ICmpPredicate::ult, index, view.sizes[d]);
      if (k == 0 && op.getLimit()) {
        Value below = icmp(LLVM::ICmpPredicate::slt, index, scalar(op.getLimit()));
        entry.second = entry.second ? LLVM::AndOp::create(b, loc, entry.second, below).getResult() : below;
      }
      if (!inside) {
        // The nearest place that is there: it is of the same tile, so that no one else writes it.
        Value last = addConstant(view.sizes[d], k == dims.size() - 1 ? -width : -1);
        index = LLVM::SMinOp::create(b, loc, index, last);
        index = LLVM::SMaxOp::create(b, loc, index, i32(0));
      }
      entry.first = distance(view, d, index);
    }
    return entry;
  };

  // What goes to shared memory alone is loaded by the threads that write it.
  bool isWritten = llvm::all_of(op.getTile().getUsers(),
                                [](Operation *user) { return isa<tile::SmemWriteOp, tile::SmemReadOp>(user); });
  Block *after = beginWhere(isWritten ? writesOnce(*to) : Value());
  TileValue result;
  result.packed = packed;
  Value padElement = LLVM::ConstantOp::create(b, loc, element, op.getPad());
  Type loaded = packed ? (width == 2 ? Type(b.getI32Type()) : VectorType::get(width / 2, b.getI32Type()))
                       : (width == 1 ? element : Type(VectorType::get(width, element)));
  Value padPair;
  SmallVector<bool> isStraight(dims.size());
  for (unsigned k = 0; k < dims.size(); ++k)
    isStraight[k] = !view.strides[dims[k]] && !view.merged.count(dims[k]) &&
                    alwaysInside(view, dims[k], op.getIndices()[dims[k]], type.getDimSize(k));
  std::map<Layout::Vector, std::pair<Value, Value>> pointers; // and which are valid
  for (int64_t r = 0; r < to->registers(); r += width) {
    // Steps along a dimension of unit stride are offsets of the instruction.
    Layout::Vector rest = to->registerOffset(r);
    int64_t step = 0;
    for (unsigned k = 0; k < dims.size(); ++k)
      if (isStraight[k])
        step += std::exchange(rest[k], 0);
    auto &[first, valid] = pointers[rest];
    if (!first) {
      Value offset;
      for (unsigned k = 0; k < dims.size(); ++k) {
        auto [part, ok] = coordinate(k, rest[k]);
        offset = offset ? add(offset, part) : part;
        if (ok)
          valid = valid ? LLVM::AndOp::create(b, loc, valid, ok).getResult() : ok;
      }
      first = gep(base, element, offset);
    }
    Value pointer = step ? gep(first, element, i64(step)) : first;
    Value value = LLVM::LoadOp::create(b, loc, loaded, pointer, width * bits / 8);
    int64_t parts = packed ? width / 2 : width;
    for (int64_t k = 0; k < parts; ++k) {
      Value one = parts == 1 ? value : LLVM::ExtractElementOp::create(b, loc, value, i32(k)).getResult();
      if (valid && packed) {
        if (!padPair) {
          uint64_t pad = cast<FloatAttr>(op.getPad()).getValue().bitcastToAPInt().getZExtValue();
          padPair = i32(int32_t(pad << 16 | pad));
        }
        one = select(valid, one, padPair);
      } else if (valid) {
        one = select(valid, one, padElement);
      }
      result.registers.push_back(one);
    }
  }
  result.registers = endWhere(after, result.registers);
  tiles[op.getTile()] = result;
  return success();
}

Value Emitter::elementPointer(mlir::Value view, ValueRange indices, Type type) {
  SmallVector<Value> at;
  for (Value index : indices)
    at.push_back(scalar(index));
  return gep(views[view].base, type, elementOffset(views[view], at));
}

LogicalResult Emitter::emitLoadScalar(tile::LoadScalarOp op) {
  Type type = op.getValue().getType();
  Value pointer = elementPointer(op.getView(), op.getIndices(), type);
  scalars[op.getValue()] = LLVM::LoadOp::create(b, loc, type, pointer, type.getIntOrFloatBitWidth() / 8);
  return success();
}

LogicalResult Emitter::emitStore(tile::StoreOp op) {
  const Layout *from = layout(op.getTile());
  if (!from)
    return op.emitOpError("works on a tile without layout");
  ViewValue view = views[op.getView()];
  auto type = tensorType(op.getTile());
  Type element = type.getElementType();
  unsigned bits = element.getIntOrFloatBitWidth();
  ArrayRef<int64_t> dims = op.getDims();
  int64_t width = vectorWidth(*from, view, dims, bits, dims.empty() ? Value() : op.getIndices()[dims.back()]);
  // In place of elements beyond a view loads read the nearest ones. Of memory that is carried, or replaced tile by
  // tile, other threads write these.
  Value memory = op.getView();
  while (isa_and_nonnull<tile::MergeDimsOp, tile::NarrowOp>(memory.getDefiningOp()))
    memory = memory.getDefiningOp()->getOperand(0);
  SmallVector<bool> check(dims.size());
  for (unsigned k = 0; k < dims.size(); ++k)
    check[k] = !alwaysInside(view, dims[k], op.getIndices()[dims[k]], type.getDimSize(k));
  auto tensor = memory.getDefiningOp<tile::TensorOp>();
  auto launch = op->getParentOfType<tile::LaunchOp>();
  bool isReplaced = memory.getDefiningOp<tile::WorkspaceOp>() && llvm::is_contained(check, true) &&
                    llvm::any_of(op.getView().getUsers(), [&](Operation *user) {
                      return isa<tile::LoadOp>(user) && launch->isProperAncestor(user);
                    });
  if (isReplaced || (tensor && tensor.getRole() == "carry"))
    NVVM::Barrier0Op::create(b, loc);
  if (check.back())
    width = wholeVectors(view, op.getIndices()[dims.back()], width);
  needAlignment(view, width * bits / 8);

  SmallVector<Value> fixed(op.getIndices().size());
  for (auto [d, index] : llvm::enumerate(op.getIndices()))
    if (!llvm::is_contained(dims, int64_t(d)))
      fixed[d] = scalar(index);
  Value base = gep(view.base, element, elementOffset(view, fixed));
  SmallVector<Value> registers = bits == 16 && width > 1 ? pairs(op.getTile()) : elements(op.getTile());
  Value once = writesOnce(*from);

  // A tile that is loaded before a loop and stored behind it has the same addresses twice: kept, they would take more
  // registers of the loop than the tile.
  bool afterLoop = false;
  for (Operation *before = op->getPrevNode(); before && !afterLoop; before = before->getPrevNode())
    afterLoop = isa<scf::ForOp>(before);
  SmallVector<Value> threads(dims.size());
  for (unsigned k = 0; k < dims.size(); ++k) {
    threads[k] = threadOffset(*from, k);
    if (afterLoop)
      threads[k] = again(threads[k]);
  }

  // Registers that share their checked coordinates share one branch.
  std::map<Layout::Vector, SmallVector<int64_t>> groups;
  for (int64_t r = 0; r < from->registers(); r += width) {
    Layout::Vector key;
    Layout::Vector constants = from->registerOffset(r);
    for (unsigned k = 0; k < dims.size(); ++k)
      if (check[k])
        key.push_back(constants[k]);
    groups[key].push_back(r);
  }
  for (auto &[key, group] : groups) {
    Value valid = once;
    std::map<std::pair<unsigned, int64_t>, Value> indices;
    auto index = [&](unsigned k, int64_t constant) {
      Value &value = indices[{k, constant}];
      if (!value)
        value = addConstant(add(scalar(op.getIndices()[dims[k]]), threads[k]), constant);
      return value;
    };
    size_t at = 0;
    for (unsigned k = 0; k < dims.size(); ++k)
      if (check[k]) {
        Value ok = icmp(LLVM::ICmpPredicate::ult, index(k, key[at++]), view.sizes[dims[k]]);
        valid = valid ? LLVM::AndOp::create(b, loc, valid, ok).getResult() : ok;
      }
    Block *after = beginWhere(valid);
    // Steps along a dimension of unit stride are offsets of the instruction: addresses of their own, 64 bits each,
    // would be made ahead of the stores and take the registers of the tile again.
    std::map<Layout::Vector, Value> pointers;
    for (int64_t r : group) {
      Layout::Vector constants = from->registerOffset(r), rest = constants;
      int64_t step = 0;
      for (unsigned k = 0; k < dims.size(); ++k)
        if (!view.strides[dims[k]] && !view.merged.count(dims[k])) {
          step += constants[k];
          rest[k] = 0;
        }
      Value &first = pointers[rest];
      if (!first) {
        Value offset;
        for (unsigned k = 0; k < dims.size(); ++k) {
          Value part = distance(view, dims[k], index(k, rest[k]));
          offset = offset ? add(offset, part) : part;
        }
        first = gep(base, element, offset);
      }
      Value pointer = step ? gep(first, element, i64(step)) : first;
      Value value;
      bool packed = bits == 16 && width > 1;
      int64_t parts = packed ? width / 2 : width;
      if (parts == 1) {
        value = registers[packed ? r / 2 : r];
      } else {
        Type part = packed ? Type(b.getI32Type()) : element;
        value = LLVM::UndefOp::create(b, loc, VectorType::get(parts, part));
        for (int64_t k = 0; k < parts; ++k)
          value = LLVM::InsertElementOp::create(b, loc, value, registers[(packed ? r / 2 : r) + k], i32(k));
      }
      LLVM::StoreOp::create(b, loc, value, pointer, width * bits / 8);
    }
    endWhere(after);
  }
  return success();
}
