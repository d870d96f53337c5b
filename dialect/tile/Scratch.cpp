// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The sizes of Scratch.h.
#include "dialect/tile/Scratch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

int64_t tile::scratchBytes(LaunchOp launch, int64_t warps) {
  int64_t most = 0;
  launch.walk([&](Operation *op) {
    int64_t words = 0;
    if (auto inverse = dyn_cast<UnitTrilInverseOp>(op)) {
      int64_t size = cast<RankedTensorType>(inverse.getTile().getType()).getDimSize(0);
      words = size * inversePitch(size);
    } else if (auto dot = dyn_cast<DecayedDotOp>(op)) {
      // Warps that have the same rows share the features, and add up.
      int64_t size = cast<RankedTensorType>(dot.getTile().getType()).getDimSize(0);
      words = size < 16 * warps ? 16 * warps * size : 0;
    } else if (auto scan = dyn_cast<ScanOp>(op); scan && scan.getDim() == 0 && warps > 1) {
      // A warp has 16 rows at a time; of each such block the total.
      auto type = cast<RankedTensorType>(scan.getTile().getType());
      words = (type.getDimSize(0) + 15) / 16 * (type.getRank() == 2 ? type.getDimSize(1) : 1);
    } else if (auto reduce = dyn_cast<ReduceOp>(op); reduce && warps > 1) {
      LayoutAttr layout = layoutOf(reduce.getSource().getType());
      if (layout ? layout.getLayout().warpsAlong(reduce.getDim()) : reduce.getDim() == 0)
        words = warps * cast<RankedTensorType>(reduce.getTile().getType()).getDimSize(0);
    }
    most = std::max(most, words * 4);
  });
  return most;
}
