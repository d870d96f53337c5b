// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of 16-bit types on tensor cores: mma.sync m16n8k16 over the fragments that the layouts name.
#include "codegen/tile-to-nvvm/Emitter.h"

#include <set>

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

Value Emitter::multiplyHalves(Type element, ArrayRef<Value> left, ArrayRef<Value> right, ArrayRef<Value> sums) {
  Type single = b.getF32Type();
  auto resultType = LLVM::LLVMStructType::getLiteral(b.getContext(), {single, single, single, single});
  auto ptxType = element.isBF16() ? NVVM::MMATypes::bf16 : NVVM::MMATypes::f16;
  std::array<NVVM::MMATypes, 2> types{ptxType, ptxType};
  std::array<NVVM::MMALayout, 2> layouts{NVVM::MMALayout::row, NVVM::MMALayout::col};
  return NVVM::MmaOp::create(b, loc, resultType, left, right, sums, ArrayRef<int64_t>{16, 8, 16}, std::nullopt,
                             std::nullopt, types, layouts);
}

LogicalResult Emitter::emitDot(tile::DotOp op) {
  auto a = tensorType(op.getA()), c = tensorType(op.getTile());
  Type element = a.getElementType();
  if (op.getContract()[0] != 1)
    return op.emitOpError(
        "contracts the first dimension of its left operand, which no schedule of this version asks for");
  if (element.isF32())
    return op.getPrecision().value_or("fma") == "fma" ? emitFmaDot(op) : emitTf32Dot(op);
  if (!element.isBF16() && !element.isF16())
    return op.emitOpError("multiplies ") << element << ", which tensor cores of this version do not";
  bool rightRows = op.getContract()[1] == 1; // b is [n, k]
  int64_t rows = c.getDimSize(0), columns = c.getDimSize(1), depth = a.getDimSize(1);
  auto left = Layout::mmaLeft(rows, depth, warps), accumulator = Layout::mmaAccumulator(rows, columns, warps);
  auto right = Layout::mmaRight(columns, depth, warps);
  // Where warps have some of the columns each, all numbers below count this warp's.
  if (auto dealt = Layout::mmaAccumulator(rows, columns, warps, /*deal=*/true);
      dealt && layout(op.getTile()) && *layout(op.getTile()) == *dealt) {
    accumulator = dealt;
    right = Layout::mmaRight(columns, depth, warps, rows);
  }
  auto is = [&](Value value, const std::optional<Layout> &expected) {
    return layout(value) && expected && *layout(value) == *expected;
  };
  if (right && !rightRows)
    right = right->transposed();
  if (!is(op.getA(), left) || !is(op.getB(), right) || !is(op.getTile(), accumulator))
    return op.emitOpError("has operands that are not in the layouts of mma.m16n8k16");

  std::map<Layout::Vector, int64_t> aAt, bAt, cAt;
  auto index = [](const Layout &layout, std::map<Layout::Vector, int64_t> &at) {
    for (int64_t r = 0; r < layout.registers(); ++r)
      at[layout.registerOffset(r)] = r;
  };
  index(*left, aAt);
  index(*right, bAt);
  index(*accumulator, cAt);
  std::set<int64_t> columnsHere; // of each eight the first
  for (auto &[place, r] : cAt)
    columnsHere.insert(place[1] / 8 * 8);
  SmallVector<Value> aPairs = pairs(op.getA()), sums = elements(op.getAcc());
  auto within = op.getB().getDefiningOp<tile::SmemReadOp>();
  bool isWithin = within && isReadWithin(within);
  SmallVector<Value> bPairs = isWithin ? SmallVector<Value>() : pairs(op.getB());

  // bf16 fragments are i32, f16 fragments vector<2xf16>, in NVVM.
  Type fragment = element.isBF16() ? Type(b.getI32Type()) : Type(VectorType::get(2, element));
  auto leftAt = [&](int64_t m, int64_t k) {
    SmallVector<Value> registers;
    for (auto [r, q] : {std::pair<int64_t, int64_t>{0, 0}, {8, 0}, {0, 8}, {8, 8}})
      registers.push_back(bitcast(aPairs[aAt[{m + r, k + q}] / 2], fragment));
    return registers;
  };
  auto rightAt = [&](int64_t n, int64_t k) {
    SmallVector<Value> registers;
    for (int64_t q : {0, 8})
      registers.push_back(
          bitcast(bPairs[bAt[rightRows ? Layout::Vector{n, k + q} : Layout::Vector{k + q, n}] / 2], fragment));
    return registers;
  };
  auto placesOf = [&](int64_t m, int64_t n) {
    SmallVector<int64_t> places;
    for (int64_t r : {0, 8})
      for (int64_t q : {0, 1})
        places.push_back(cAt[{m + r, n + q}]);
    return places;
  };
  auto multiply = [&](ArrayRef<Value> av, ArrayRef<Value> bv, ArrayRef<Value> cv) -> Value {
    return multiplyHalves(element, av, bv, cv);
  };
  // With hides: eight columns at a time, each a branch of its own, so that the rare path keeps few registers.
  using Fragments = SmallVector<SmallVector<Value>>;
  auto columnsAt = [&](int64_t n, const Fragments &bv) {
    Value some = someNonfinite(element, bv);
    for (int64_t m = 0; m < rows; m += 16 * warps) {
      Fragments av;
      for (int64_t k = 0; k < depth; k += 16)
        av.push_back(leftAt(m, k));
      SmallVector<Value> before;
      for (int64_t place : placesOf(m, n))
        before.push_back(sums[place]);
      auto hiding = [&] {
        SmallVector<Value> block(before);
        emitHidingDot(element, multiply, av, bv, block);
        return block;
      };
      auto plain = [&] {
        SmallVector<Value> block(before);
        for (auto [left, right] : llvm::zip(av, bv)) {
          Value d = multiply(left, right, block);
          for (size_t i = 0; i < block.size(); ++i)
            block[i] = LLVM::ExtractValueOp::create(b, loc, d, i);
        }
        return block;
      };
      SmallVector<Value> after = branch(some, hiding, plain);
      for (auto [place, value] : llvm::zip(placesOf(m, n), after))
        sums[place] = value;
    }
  };
  if (op.getHides() && isWithin) {
    std::map<Layout::Vector, Value> columnsRead;
    LogicalResult read = readFragments(within, /*columnsFirst=*/true, [&](const Layout::Vector &place, Value value) {
      columnsRead[place] = value;
      // The last of two columns of fragments.
      if (int64_t(columnsRead.size()) != depth / 8 * 2)
        return;
      int64_t first = columnsRead.begin()->first[1];
      for (int64_t n : {first, first + 8}) {
        Fragments bv;
        for (int64_t k = 0; k < depth; k += 16)
          bv.push_back({bitcast(columnsRead[{k, n}], fragment), bitcast(columnsRead[{k + 8, n}], fragment)});
        columnsAt(n, bv);
      }
      columnsRead.clear();
    });
    if (failed(read))
      return op.emitOpError("has an operand in a layout that shared memory does not give at once");
  } else if (op.getHides()) {
    for (int64_t n : columnsHere) {
      Fragments bv;
      for (int64_t k = 0; k < depth; k += 16)
        bv.push_back(rightAt(n, k));
      columnsAt(n, bv);
    }
  }
  for (int64_t k = 0; !op.getHides() && k < depth; k += 16)
    for (int64_t m = 0; m < rows; m += 16 * warps)
      for (int64_t n : columnsHere) {
        SmallVector<int64_t> places = placesOf(m, n);
        SmallVector<Value> cv;
        for (int64_t place : places)
          cv.push_back(sums[place]);
        Value d = multiply(leftAt(m, k), rightAt(n, k), cv);
        for (auto [i, place] : llvm::enumerate(places))
          sums[place] = LLVM::ExtractValueOp::create(b, loc, d, i);
      }
  tiles[op.getTile()] = {sums, false};
  return success();
}
