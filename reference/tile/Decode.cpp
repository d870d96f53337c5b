// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From operations to instructions: every choice that does not depend on values is made here, once.
#include "reference/tile/Machine.h"

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

Kind machine::kindOf(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (auto number = dyn_cast<FloatType>(element))
    return {true, int(number.getWidth())};
  if (auto number = dyn_cast<IntegerType>(element))
    return {false, int(number.getWidth())};
  return {};
}

namespace {

// A larger tile could not be held by any work item.
constexpr int64_t maximumTile = int64_t(1) << 24;

llvm::Error failure(Operation *op, const Twine &message) {
  return llvm::createStringError(placeOf(op) + ": " + op->getName().getStringRef() + " " + message);
}

class Decoder {
public:
  explicit Decoder(const RunOptions &options) : options(options) {}

  llvm::Error block(mlir::Block &from, machine::Block &to, Operation *owner) {
    to.op = owner;
    for (BlockArgument argument : from.getArguments())
      to.args.push_back(slotOf(argument));
    for (Operation &op : from) {
      if (op.hasTrait<OpTrait::IsTerminator>()) {
        if (!isa<scf::YieldOp, FoldYieldOp, MaskYieldOp, RecurrenceYieldOp>(op))
          return failure(&op, "is not known to the tile interpreter");
        for (Value operand : op.getOperands())
          to.yields.push_back(slotOf(operand));
        continue;
      }
      Instr instr;
      if (llvm::Error error = decode(&op, instr))
        return error;
      to.instrs.push_back(std::move(instr));
    }
    return llvm::Error::success();
  }

  size_t slots() const { return slotNumbers.size(); }

private:
  int slotOf(Value value) { return slotNumbers.try_emplace(value, int(slotNumbers.size())).first->second; }

  llvm::Error regions(Operation *op, Instr &instr) {
    for (Region &region : op->getRegions()) {
      machine::Block block;
      if (region.hasOneBlock()) {
        if (llvm::Error error = this->block(region.front(), block, op))
          return error;
      } else if (!region.empty()) {
        return failure(op, "has a region of several blocks");
      }
      instr.blocks.push_back(std::move(block));
    }
    return llvm::Error::success();
  }

  static Cell cellOf(Attribute value) {
    Cell cell{0.0};
    if (auto number = dyn_cast<FloatAttr>(value)) {
      cell.f = toDouble(number.getValue());
    } else if (auto number = dyn_cast<IntegerAttr>(value)) {
      cell.n = toInteger(number.getValue());
    }
    return cell;
  }
  static double toDouble(APFloat value) {
    bool lossy;
    value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
    return value.convertToDouble();
  }
  static int64_t toInteger(const APInt &value) {
    return value.getBitWidth() == 1 ? int64_t(value.getZExtValue()) : value.getSExtValue();
  }

  llvm::Error constant(arith::ConstantOp op, Instr &instr) {
    instr.constant = std::make_shared<Buffer>();
    std::vector<Cell> &cells = instr.constant->cells;
    if (auto dense = dyn_cast<DenseElementsAttr>(op.getValue())) {
      cells.reserve(instr.elements);
      if (instr.to.isFloat)
        for (const APFloat &value : dense.getValues<APFloat>())
          cells.push_back(Cell{toDouble(value)});
      else
        for (const APInt &value : dense.getValues<APInt>()) {
          Cell cell;
          cell.n = toInteger(value);
          cells.push_back(cell);
        }
    } else if (isa<FloatAttr, IntegerAttr>(op.getValue())) {
      cells.push_back(cellOf(op.getValue()));
    } else {
      return failure(op, "has a value of a kind that the tile interpreter does not know");
    }
    instr.run = [](Thread &thread, const Instr &instr) {
      thread.slots[instr.out[0]] = instr.constant;
      return Step::Next;
    };
    return llvm::Error::success();
  }

  llvm::Error decode(Operation *op, Instr &instr) {
    instr.op = op;
    for (Type type :
         llvm::concat<const Type>(SmallVector<Type>(op->getOperandTypes()), SmallVector<Type>(op->getResultTypes()))) {
      if (auto tensor = dyn_cast<ShapedType>(type))
        if (!isa<RankedTensorType>(type) || !tensor.hasStaticShape() || tensor.getNumElements() > maximumTile)
          return failure(op, "has a value that is no tile of static shape and at most 2^24 elements");
      if (kindOf(type).width > 64)
        return failure(op, "has a value of more than 64 bits");
    }
    for (Value operand : op->getOperands())
      instr.in.push_back(slotOf(operand));
    for (Value result : op->getResults())
      instr.out.push_back(slotOf(result));
    if (op->getNumOperands())
      instr.from = kindOf(op->getOperand(0).getType());
    if (op->getNumResults()) {
      instr.to = kindOf(op->getResult(0).getType());
      if (auto tensor = dyn_cast<RankedTensorType>(op->getResult(0).getType())) {
        instr.elements = tensor.getNumElements();
        instr.shape.assign(tensor.getShape().begin(), tensor.getShape().end());
        for (auto [k, type] : llvm::enumerate(op->getOperandTypes()))
          if (k < 32 && !isa<RankedTensorType>(type))
            instr.spread |= 1u << k;
      }
    }
    if (auto dims = op->getAttrOfType<DenseI64ArrayAttr>("dims"))
      instr.dims.assign(dims.asArrayRef().begin(), dims.asArrayRef().end());
    if (llvm::Error error = regions(op, instr))
      return error;

    auto handler = [&](Handler run) -> llvm::Error {
      instr.run = run;
      return llvm::Error::success();
    };
    auto stages = [&](auto type) { instr.shape = {type.getRows(), type.getColumns()}; };
    return llvm::TypeSwitch<Operation *, llvm::Error>(op)
        .Case([&](arith::ConstantOp op) { return constant(op, instr); })
        .Case([&](scf::ForOp op) -> llvm::Error {
          if (op.getUnsignedCmp())
            return failure(op, "counts unsigned, which the tile interpreter does not know");
          instr.finish = finishFor;
          return handler(runFor);
        })
        .Case([&](RecurrenceOp) {
          instr.finish = finishRecurrence;
          return handler(runRecurrence);
        })
        .Case([&](scf::IfOp) {
          instr.finish = finishIf;
          return handler(runIf);
        })
        .Case([&](AxisOp) { return handler(runAxis); })
        .Case([&](ComputedAxisOp) { return handler(runComputedAxis); })
        .Case([&](DeviceSmsOp) { return handler(runDeviceSms); })
        .Case([&](MergeDimsOp) { return handler(runMergeDims); })
        .Case([&](SequenceOp) { return handler(runSequence); })
        .Case([&](NarrowOp) { return handler(runNarrow); })
        .Case([&](EndIfOp) { return handler(runEndIf); })
        .Case([&](TensorOp) { return handler(runTensor); })
        .Case([&](WorkspaceOp) { return handler(runWorkspace); })
        .Case([&](LaunchOp) { return handler(runLaunch); })
        .Case([&](LoadOp op) {
          instr.first = 1;
          instr.second = 1 + op.getIndices().size();
          instr.third = instr.second + (op.getLimit() ? 1 : 0);
          instr.pad = cellOf(op.getPad());
          return handler(runLoad);
        })
        .Case([&](LoadScalarOp) { return handler(runLoadScalar); })
        .Case([&](GatherOp op) {
          instr.first = 1 + op.getIndices().size();
          return handler(runGather);
        })
        .Case([&](StoreOp op) {
          auto shape = cast<RankedTensorType>(op.getTile().getType()).getShape();
          instr.shape.assign(shape.begin(), shape.end());
          return handler(runStore);
        })
        .Case([&](StoreScalarOp) { return handler(runStoreScalar); })
        .Case([&](BroadcastOp) { return handler(runBroadcast); })
        .Case([&](IotaOp) { return handler(runIota); })
        .Case([&](DotOp op) {
          instr.dims.assign(op.getContract().begin(), op.getContract().end());
          instr.immediate = op.getPrecision() == "tf32";
          return handler(runDot);
        })
        .Case([&](ReduceOp op) {
          instr.immediate = op.getKind() == "max";
          return handler(runReduce);
        })
        .Case([&](ScanOp op) {
          instr.immediate = op.getDim();
          return handler(runScan);
        })
        .Case([&](TransposeOp) { return handler(runTranspose); })
        .Case([&](UnitTrilInverseOp) { return handler(runUnitTrilInverse); })
        .Case([&](DecayedDotOp) { return handler(runDecayedDot); })
        .Case([&](SliceOp op) {
          instr.immediate = op.getDim();
          return handler(runSlice);
        })
        .Case([&](ConcatOp op) {
          instr.immediate = op.getDim();
          return handler(runConcat);
        })
        .Case([&](DomainOp op) {
          instr.immediate = op.getStep();
          return handler(runDomain);
        })
        .Case([&](DomainSliceOp) { return handler(runDomainSlice); })
        .Case([&](DomainCountOp) { return handler(runDomainCount); })
        .Case([&](DomainTileOp) { return handler(runDomainTile); })
        .Case([&](FoldOp) {
          instr.finish = finishFold;
          return handler(runFold);
        })
        .Case([&](SmemAllocOp) { return handler(runSmemAlloc); })
        .Case([&](CopyStartOp op) {
          instr.second = 1 + op.getIndices().size();
          instr.third = op.getPredicate() ? instr.second + 2 : 0;
          stages(op.getSmem().getType());
          return handler(runCopyStart);
        })
        .Case([&](CopyCommitOp) { return handler(runCopyCommit); })
        .Case([&](CopyWaitOp op) {
          instr.immediate = op.getPending();
          return handler(runCopyWait);
        })
        .Case([&](BarrierOp) { return handler(runBarrier); })
        .Case([&](SmemReadOp op) {
          instr.second = op.getWritten() ? 2 : 0;
          instr.immediate = op.getRow();
          return handler(runSmemRead);
        })
        .Case([&](SmemWriteOp) { return handler(runSmemWrite); })
        .Case([&](RolesOp op) -> llvm::Error {
          // One block per role, in order; the block of tile.roles itself only holds them.
          instr.blocks.clear();
          for (RoleOp role : op.getBody().getOps<RoleOp>()) {
            machine::Block block;
            if (llvm::Error error = this->block(role.getBody().front(), block, role))
              return error;
            instr.blocks.push_back(std::move(block));
          }
          return handler(runRoles);
        })
        .Case([&](RoleOp) -> llvm::Error { return llvm::Error::success(); })
        .Case([&](ChannelOp) { return handler(runChannel); })
        .Case([&](PutOp op) {
          stages(op.getChannel().getType());
          return handler(runPut);
        })
        .Case([&](TakeOp) { return handler(runTake); })
        .Case([&](ReleaseOp) { return handler(runRelease); })
        .Case([&](OrderOp) { return handler(runOrder); })
        .Case([&](OrderWaitOp) { return handler(runOrderWait); })
        .Case([&](OrderSignalOp) { return handler(runOrderSignal); })
        .Case([&](DotStartOp op) {
          instr.dims.assign(op.getContract().begin(), op.getContract().end());
          auto shape = cast<RankedTensorType>(op.getAcc().getType()).getShape();
          instr.shape.assign(shape.begin(), shape.end());
          return handler(runDotStart);
        })
        .Case([&](DotWaitOp) { return handler(runDotWait); })
        .Default([&](Operation *op) -> llvm::Error {
          if (decodeElementwise(op, options, instr))
            return llvm::Error::success();
          return failure(op, "is not known to the tile interpreter");
        });
  }

  const RunOptions &options;
  llvm::DenseMap<Value, int> slotNumbers;
};

} // namespace

llvm::Error machine::decode(ProgramOp program, const RunOptions &options, Block &block, size_t &slots) {
  Decoder decoder(options);
  if (llvm::Error error = decoder.block(program.getBody().front(), block, program))
    return error;
  slots = decoder.slots();
  return llvm::Error::success();
}
