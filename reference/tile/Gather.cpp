// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Elements of views by tiles of indices.
#include "reference/tile/Machine.h"

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

Step machine::runGather(Thread &thread, const Instr &instr) {
  auto op = cast<GatherOp>(instr.op);
  auto type = cast<RankedTensorType>(op.getTile().getType());
  Claim base = claimOf(thread, instr, 0, 1, op.getIndices().size());
  ArrayRef<int64_t> by = op.getBy(), dims = op.getDims();
  std::vector<Cell> out(instr.elements);
  int64_t indexColumns = 1;
  if (auto index = cast<RankedTensorType>(op.getWhich().front().getType()); index.getRank() == 2)
    indexColumns = index.getDimSize(1);
  Cell zero = {0.0};
  if (!kindOf(type).isFloat)
    zero.n = 0;
  for (int64_t i = 0; i < instr.elements; ++i) {
    Claim place = base;
    SmallVector<int64_t, 2> coordinates(type.getRank()), index;
    for (int64_t d = type.getRank(), rest = i; d-- > 0; rest /= type.getDimSize(d))
      coordinates[d] = rest % type.getDimSize(d);
    for (auto [d, dim] : llvm::enumerate(dims))
      if (dim < 0)
        index.push_back(coordinates[d]);
      else
        place.indices[dim] += coordinates[d];
    int64_t element = index.empty() ? 0 : index.size() == 1 ? index[0] : index[0] * indexColumns + index[1];
    for (auto [n, dim] : llvm::enumerate(by))
      place.indices[dim] += thread.get(instr, instr.first + n)[element].n;
    place.dims.clear();
    // One element is a box of no dimensions; outside the view it is 0.
    const Array &array = *thread.machine.arrays[place.array];
    bool inside = true;
    for (auto [d, where] : llvm::enumerate(place.indices))
      inside &= where >= 0 && where < array.shape[d];
    if (!inside)
      out[i] = zero;
    else if (!readBox(thread, instr, place, {}, std::numeric_limits<int64_t>::max(), zero, &out[i]))
      return Step::Failed;
  }
  std::copy(out.begin(), out.end(), thread.result(instr));
  return Step::Next;
}
