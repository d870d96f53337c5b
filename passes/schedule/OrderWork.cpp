// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// tile-order-work: work items with more keys begin first, so that the last ones to end are short.
#include "dialect/tile/TileDialect.h"
#include "passes/schedule/Passes.h"

#include "mlir/IR/Builders.h"

namespace fovea::tile {
#define GEN_PASS_DEF_ORDERWORKPASS
#include "passes/schedule/Passes.h.inc"
} // namespace fovea::tile

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

namespace {

/// Index arithmetic at one point: all axes have one size, and one index of the launch has a value, the others 0.
class Sample {
public:
  Sample(int64_t axisSize, BlockArgument moved, int64_t value) : axisSize(axisSize), moved(moved), value(value) {}

  /// Nothing for what depends on memory.
  std::optional<int64_t> evaluate(Value x) {
    if (auto argument = dyn_cast<BlockArgument>(x)) {
      if (!isa<LaunchOp>(argument.getOwner()->getParentOp()))
        return std::nullopt;
      return argument == moved ? value : 0;
    }
    if (auto sequence = x.getDefiningOp<SequenceOp>()) // one as long as sequences can be
      return x == sequence.getLength() ? axisSize : 0;
    auto [found, isNew] = known.try_emplace(x, std::nullopt);
    if (!isNew)
      return found->second;
    std::optional<int64_t> result = compute(x.getDefiningOp());
    return known[x] = result;
  }

private:
  std::optional<int64_t> compute(Operation *op) {
    if (isa<AxisOp>(op))
      return axisSize;
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto integer = dyn_cast<IntegerAttr>(constant.getValue());
      return integer ? std::optional(integer.getValue().getSExtValue()) : std::nullopt;
    }
    if (op->getDialect()->getNamespace() != arith::ArithDialect::getDialectNamespace())
      return std::nullopt;
    SmallVector<int64_t> at;
    for (Value operand : op->getOperands()) {
      std::optional<int64_t> one = evaluate(operand);
      if (!one)
        return std::nullopt;
      at.push_back(*one);
    }
    using Result = std::optional<int64_t>;
    auto quotient = [&](bool up) -> Result {
      if (at[1] <= 0)
        return std::nullopt;
      return up ? llvm::divideCeilSigned(at[0], at[1]) : llvm::divideFloorSigned(at[0], at[1]);
    };
    return llvm::TypeSwitch<Operation *, Result>(op)
        .Case<arith::AddIOp>([&](auto) -> Result { return at[0] + at[1]; })
        .Case<arith::SubIOp>([&](auto) -> Result { return at[0] - at[1]; })
        .Case<arith::MulIOp>([&](auto) -> Result { return at[0] * at[1]; })
        .Case<arith::MinSIOp, arith::MinUIOp>([&](auto) -> Result { return std::min(at[0], at[1]); })
        .Case<arith::MaxSIOp, arith::MaxUIOp>([&](auto) -> Result { return std::max(at[0], at[1]); })
        .Case<arith::CeilDivSIOp, arith::CeilDivUIOp>([&](auto) { return quotient(true); })
        .Case<arith::FloorDivSIOp, arith::DivUIOp>([&](auto) { return quotient(false); })
        .Case<arith::IndexCastOp, arith::ExtSIOp>([&](auto) -> Result { return at[0]; })
        .Case<arith::SelectOp>([&](auto) -> Result { return at[0] ? at[1] : at[2]; })
        .Case([&](arith::CmpIOp compare) -> Result {
          Type type = compare.getLhs().getType();
          unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
          return arith::applyCmpPredicate(compare.getPredicate(), APInt(width, at[0], true, true),
                                          APInt(width, at[1], true, true));
        })
        .Default([](Operation *) -> Result { return std::nullopt; });
  }

  int64_t axisSize;
  BlockArgument moved;
  int64_t value;
  llvm::DenseMap<Value, std::optional<int64_t>> known;
};

/// Keys that the work item visits.
std::optional<int64_t> keysOf(LaunchOp launch, Sample sample) {
  int64_t total = 0;
  bool known = true;
  launch.walk([&](DomainOp domain) {
    std::optional<int64_t> limit = sample.evaluate(domain.getLimit());
    for (auto [lo, hi] : llvm::zip(domain.getLo(), domain.getHi())) {
      std::optional<int64_t> from = sample.evaluate(lo), to = sample.evaluate(hi);
      known &= limit && from && to;
      if (known)
        total += std::max<int64_t>(0, std::min(*to, *limit) - std::max<int64_t>(*from, 0));
    }
  });
  return known ? std::optional(total) : std::nullopt;
}

struct OrderWork : tile::impl::OrderWorkPassBase<OrderWork> {
  void runOnOperation() override {
    // Far more than a tile, so that differences show; which size it is does not matter.
    constexpr int64_t kSize = 1 << 14;
    OpBuilder b(&getContext());
    for (auto launch : getOperation().getBody().getOps<LaunchOp>()) {
      if (!launch.getScheduleAttr() || launch.getScheduleAttr().get("descending"))
        continue;
      SmallVector<Attribute> descending;
      for (auto [axis, extent, index] :
           llvm::zip(launch.getAxes(), launch.getExtents(), launch.getBody().getArguments())) {
        std::optional<int64_t> count = Sample(kSize, BlockArgument(), 0).evaluate(extent);
        if (!count || *count < 3)
          continue;
        std::optional<int64_t> first = keysOf(launch, Sample(kSize, index, 0));
        std::optional<int64_t> middle = keysOf(launch, Sample(kSize, index, *count / 2));
        std::optional<int64_t> last = keysOf(launch, Sample(kSize, index, *count - 1));
        if (first && middle && last && *first <= *middle && *middle <= *last && *first < *last)
          descending.push_back(axis);
      }
      if (descending.empty())
        continue;
      NamedAttrList record(launch.getScheduleAttr());
      record.set("descending", b.getArrayAttr(descending));
      launch.setScheduleAttr(record.getDictionary(&getContext()));
    }
  }
};

} // namespace
