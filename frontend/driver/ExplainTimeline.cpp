// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The timeline of a work item: a walk over its scheduled launch that books each operation on a unit of the
// multiprocessor. It is a picture of what may overlap, and no model of a GPU: one work item, every unit at its peak.
#include "frontend/driver/Explain.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <deque>

namespace fovea::driver {

namespace {

enum Unit { Copies, TensorCores, Exponentials, Arithmetic, Shared, Stores, Waits };
const char *const kUnits[] = {"copies",        "tensor cores", "exponentials", "arithmetic",
                              "shared memory", "stores",       "waits"};

constexpr double kLatency = 600;      // cycles of a copy from device memory besides its bytes
constexpr double kBytesPerCycle = 64; // from the second-level cache, a multiprocessor
constexpr double kSharedBytes = 128;  // a cycle
constexpr double kLanes = 128;        // of f32 arithmetic, a cycle
constexpr double kBarrier = 20;
constexpr int kSteps = 3; // of a loop that are shown: the first, one in the middle, the last

class Simulation {
public:
  Simulation(tile::LaunchOp launch, const Target &target) : launch(launch), target(target) {
    timeline.launch = launch.getName().str();
    for (const char *unit : kUnits)
      timeline.units.push_back(unit);
  }

  Timeline run() {
    int loops = 0;
    launch.getBody().front().walk([&](mlir::scf::ForOp loop) { loops += isMain(loop); });
    several = loops > 1;
    enter("prologue");
    block(launch.getBody().front());
    for (const TimelineItem &item : timeline.items)
      timeline.cycles = std::max(timeline.cycles, item.start + item.cycles);
    return std::move(timeline);
  }

private:
  bool isMain(mlir::scf::ForOp loop) const {
    bool found = false;
    loop->walk([&](mlir::Operation *op) {
      found |= llvm::isa<tile::DotOp, tile::DotStartOp, tile::DomainTileOp>(op) ||
               llvm::isa<tile::CopyStartOp, tile::SmemReadOp, tile::LoadOp>(op);
    });
    return found;
  }

  void enter(std::string phase) {
    current = std::move(phase);
    if (timeline.phases.empty() || timeline.phases.back() != current)
      timeline.phases.push_back(current);
  }

  double ready(mlir::Operation *op) const {
    double time = 0;
    for (mlir::Value operand : op->getOperands())
      if (auto found = when.find(operand); found != when.end())
        time = std::max(time, found->second);
    return time;
  }
  void finish(mlir::Operation *op, double time) {
    for (mlir::Value result : op->getResults())
      when[result] = time;
    last = std::max(last, time);
  }
  void book(mlir::Operation *op, Unit unit, double cycles, std::string label) {
    double start = std::max({issue, ready(op), free[unit]});
    issue = start;
    free[unit] = start + cycles;
    finish(op, start + cycles);
    item(unit, start, cycles, std::move(label));
  }
  void item(Unit unit, double start, double cycles, std::string label) {
    if (cycles <= 0)
      return;
    // Neighbours of one kind are one bar.
    if (unit == Arithmetic || unit == Exponentials)
      for (auto each = timeline.items.rbegin(); each != timeline.items.rend() && each - timeline.items.rbegin() < 4;
           ++each)
        if (each->unit == kUnits[unit] && each->phase == current && each->start + each->cycles == start) {
          each->cycles += cycles;
          if (("; " + each->label + ";").find("; " + label + ";") == std::string::npos)
            each->label += "; " + label;
          return;
        }
    timeline.items.push_back({kUnits[unit], current, std::move(label), start, cycles});
  }

  static std::string nameOf(mlir::Value view) {
    while (view) {
      mlir::Operation *op = view.getDefiningOp();
      if (auto tensor = llvm::dyn_cast_or_null<tile::TensorOp>(op))
        return tensor.getName().str();
      if (auto workspace = llvm::dyn_cast_or_null<tile::WorkspaceOp>(op))
        return workspace.getName().str();
      // A view made from another one.
      view = op && op->getNumOperands() && llvm::isa<tile::ViewType>(op->getOperand(0).getType()) ? op->getOperand(0)
                                                                                                  : mlir::Value();
    }
    return "a view";
  }
  static mlir::RankedTensorType typeOf(mlir::Value value) {
    return llvm::dyn_cast<mlir::RankedTensorType>(value.getType());
  }
  static double elementsOf(mlir::Type type) {
    auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
    return tensor ? static_cast<double>(tensor.getNumElements()) : 0;
  }
  static double bytesOf(mlir::Type type) {
    auto tensor = llvm::dyn_cast<mlir::RankedTensorType>(type);
    return tensor ? elementsOf(type) * std::max(1u, tensor.getElementTypeBitWidth() / 8) : 0;
  }
  /// How many threads hold each element.
  static double copiesOf(mlir::RankedTensorType type) {
    auto layout = llvm::dyn_cast_or_null<tile::LayoutAttr>(type.getEncoding());
    if (!layout || !type.getNumElements())
      return 1;
    const Layout &map = layout.getLayout();
    return std::max(1.0, static_cast<double>(map.registers() * map.lanes() * map.warps()) /
                             static_cast<double>(type.getNumElements()));
  }
  static std::string shapeOf(mlir::RankedTensorType type) {
    std::string text;
    for (int64_t size : type.getShape())
      text += (text.empty() ? "" : "x") + std::to_string(size);
    return text;
  }

  void block(mlir::Block &body) {
    for (mlir::Operation &op : body)
      operation(&op);
  }

  /// Elements of a view to registers.
  void load(mlir::Operation *op, mlir::Value view) {
    auto type = typeOf(op->getResult(0));
    double start = std::max(issue, ready(op));
    double moved = std::max(start + kLatency, free[Copies]) + bytesOf(op->getResult(0).getType()) / kBytesPerCycle;
    free[Copies] = moved;
    finish(op, moved);
    item(Copies, start, moved - start, "load " + nameOf(view) + (type ? " " + shapeOf(type) : std::string()));
  }

  void product(mlir::Operation *op, mlir::Value a, mlir::Value acc) {
    double depth = elementsOf(a.getType()) / std::max<double>(1, static_cast<double>(typeOf(acc).getDimSize(0)));
    double rate = target.halfProductsPerSmPerCycle;
    std::string precision;
    if (auto how = op->getAttrOfType<mlir::StringAttr>("precision"))
      precision = how.getValue().str();
    double times = 1;
    Unit unit = TensorCores;
    if (typeOf(a).getElementTypeBitWidth() == 32) {
      times = precision == "3xtf32" ? 6 : 2;
      if (precision != "tf32" && precision != "3xtf32") {
        rate = kLanes;
        times = 1;
        unit = Arithmetic;
      }
    }
    book(op, unit, elementsOf(acc.getType()) * depth * times / rate,
         "product " + shapeOf(typeOf(acc)) + " over " + std::to_string(static_cast<int64_t>(depth)));
  }

  void operation(mlir::Operation *op) {
    if (auto loop = llvm::dyn_cast<mlir::scf::ForOp>(op))
      return forLoop(loop);
    if (auto branch = llvm::dyn_cast<mlir::scf::IfOp>(op))
      return ifBranch(branch);
    if (auto copy = llvm::dyn_cast<tile::CopyStartOp>(op)) {
      if (lastStep && copy.getPredicate())
        return; // of a step that does not come
      double bytes = static_cast<double>(copy.getSmem().getType().getStageBytes());
      double start = std::max(issue, ready(op));
      double moved = std::max(start + kLatency, free[Copies]) + bytes / kBytesPerCycle;
      issue = start + bytes / 16 / kLanes; // the threads issue 16 bytes each
      free[Copies] = moved;
      group = std::max(group, moved);
      item(Copies, start, moved - start,
           "copy " + nameOf(copy.getView()) + ", " + std::to_string(static_cast<int64_t>(bytes)) + " bytes");
      return;
    }
    if (llvm::isa<tile::CopyCommitOp>(op)) {
      groups.push_back(group);
      group = 0;
      return;
    }
    if (llvm::isa<tile::CopyWaitOp>(op)) {
      int64_t pending = 0;
      for (mlir::NamedAttribute attr : op->getAttrs())
        if (auto number = llvm::dyn_cast<mlir::IntegerAttr>(attr.getValue()))
          pending = number.getInt();
      double until = issue;
      while (static_cast<int64_t>(groups.size()) > pending) {
        until = std::max(until, groups.front());
        groups.pop_front();
      }
      item(Waits, issue, until - issue, "wait for copies");
      issue = until;
      return;
    }
    if (llvm::isa<tile::BarrierOp>(op)) {
      double until = std::max(issue, last);
      item(Waits, until, kBarrier, "barrier");
      issue = until + kBarrier;
      return;
    }
    if (auto read = llvm::dyn_cast<tile::SmemReadOp>(op)) {
      auto type = typeOf(read.getTile());
      return book(op, Shared, bytesOf(type) * copiesOf(type) / kSharedBytes,
                  "read " + (read.getView() ? nameOf(read.getView()) : std::string("a staged tile")) + " " +
                      shapeOf(type));
    }
    if (auto write = llvm::dyn_cast<tile::SmemWriteOp>(op))
      return book(op, Shared, bytesOf(write.getTile().getType()) / kSharedBytes,
                  "write " + shapeOf(typeOf(write.getTile())));
    if (auto store = llvm::dyn_cast<tile::StoreOp>(op))
      return book(op, Stores, bytesOf(store.getTile().getType()) / kBytesPerCycle,
                  "store " + nameOf(store.getView()) + " " + shapeOf(typeOf(store.getTile())));
    if (auto dot = llvm::dyn_cast<tile::DotOp>(op))
      return product(op, dot.getA(), dot.getAcc());
    if (auto dot = llvm::dyn_cast<tile::DotStartOp>(op))
      return product(op, dot.getA(), dot.getAcc());
    if (auto reduce = llvm::dyn_cast<tile::ReduceOp>(op))
      return book(op, Arithmetic, elementsOf(reduce.getSource().getType()) / kLanes,
                  reduce.getKind().str() + " of rows");
    if (op->getNumResults() && !op->getNumRegions())
      for (mlir::Value operand : op->getOperands())
        if (llvm::isa<tile::ViewType>(operand.getType()) && !llvm::isa<tile::ViewType>(op->getResult(0).getType()))
          return load(op, operand);
    // What only says where elements are costs nothing.
    if (llvm::isa<tile::BroadcastOp, tile::SplatOp, tile::ConvertLayoutOp>(op) ||
        op->hasTrait<mlir::OpTrait::ConstantLike>() || op->hasTrait<mlir::OpTrait::IsTerminator>())
      return finish(op, ready(op));
    if (op->getNumRegions()) {
      for (mlir::Region &region : op->getRegions())
        for (mlir::Block &inner : region)
          block(inner);
      return;
    }
    double elements = 0;
    for (mlir::Type type : op->getResultTypes())
      elements = std::max(elements, elementsOf(type));
    if (elements == 0)
      return finish(op, ready(op));
    std::string name = op->getName().stripDialect().str();
    bool special =
        llvm::isa<mlir::math::ExpOp, mlir::math::Exp2Op, mlir::math::LogOp, mlir::math::Log2Op, mlir::math::SinOp,
                  mlir::math::CosOp, mlir::math::TanhOp, mlir::math::SqrtOp, mlir::math::RsqrtOp, mlir::arith::DivFOp>(
            op);
    if (special)
      return book(op, Exponentials, elements / target.exponentialsPerSmPerCycle, name);
    book(op, Arithmetic, elements / kLanes, name);
  }

  void forLoop(mlir::scf::ForOp loop) {
    for (auto [argument, init] : llvm::zip(loop.getRegionIterArgs(), loop.getInitArgs()))
      if (auto found = when.find(init); found != when.end())
        when[argument] = found->second;
    bool main = isMain(loop) && !inLoop;
    if (main)
      ++loopNumber;
    int steps = main ? kSteps : 1;
    std::string prefix = several ? "loop " + std::to_string(loopNumber) + " " : "";
    for (int step = 0; step < steps; ++step) {
      if (main) {
        enter(prefix + (step == 0 ? "first step" : step + 1 < steps ? "a step between" : "last step"));
        inLoop = true;
        lastStep = step + 1 == steps;
      }
      block(*loop.getBody());
      auto yield = llvm::cast<mlir::scf::YieldOp>(loop.getBody()->getTerminator());
      for (auto [argument, value, result] :
           llvm::zip(loop.getRegionIterArgs(), yield.getResults(), loop.getResults())) {
        auto found = when.find(value);
        double time = found == when.end() ? 0 : found->second;
        when[argument] = time;
        when[result] = time;
      }
    }
    if (main) {
      inLoop = lastStep = false;
      enter(several ? prefix + "after" : "epilogue");
    }
  }

  /// Tiles are full but the last; of other conditions the longer side is taken.
  void ifBranch(mlir::scf::IfOp branch) {
    mlir::Block *body = branch.thenBlock();
    if (mlir::Block *other = branch.elseBlock()) {
      bool isFull = llvm::isa_and_nonnull<tile::DomainTileOp>(branch.getCondition().getDefiningOp());
      bool longer = other->getOperations().size() > body->getOperations().size();
      if (isFull ? lastStep : longer)
        body = other;
    }
    if (!body)
      return;
    block(*body);
    if (auto yield = llvm::dyn_cast<mlir::scf::YieldOp>(body->getTerminator()))
      for (auto [value, result] : llvm::zip(yield.getResults(), branch.getResults()))
        if (auto found = when.find(value); found != when.end())
          when[result] = found->second;
  }

  tile::LaunchOp launch;
  const Target &target;
  Timeline timeline;
  std::string current;
  llvm::DenseMap<mlir::Value, double> when; // a value is ready; absent: from the start
  double issue = 0, last = 0, group = 0;
  double free[7] = {};
  std::deque<double> groups;
  bool several = false, inLoop = false, lastStep = false;
  int loopNumber = 0;
};

} // namespace

std::vector<Timeline> timelinesOf(tile::ProgramOp scheduled, const Target &target) {
  std::vector<Timeline> timelines;
  scheduled.walk([&](tile::LaunchOp launch) { timelines.push_back(Simulation(launch, target).run()); });
  return timelines;
}

} // namespace fovea::driver
