// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels, parameters, control flow and the helpers that every family of operations uses.
#include "codegen/tile-to-nvvm/Emitter.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;

Emitter::Emitter(tile::LaunchOp launch, ModuleOp module, const Target &target)
    : launch(launch), module(module), target(target), b(launch.getContext()), loc(launch.getLoc()) {}

//===--- helpers ---===//

Value Emitter::i32(int64_t value) {
  return LLVM::ConstantOp::create(b, loc, b.getI32Type(), b.getI32IntegerAttr(value));
}
Value Emitter::i64(int64_t value) {
  return LLVM::ConstantOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(value));
}
Value Emitter::f32(double value) { return LLVM::ConstantOp::create(b, loc, b.getF32Type(), b.getF32FloatAttr(value)); }
Value Emitter::add(Value x, Value y) { return LLVM::AddOp::create(b, loc, x, y); }
Value Emitter::sub(Value x, Value y) { return LLVM::SubOp::create(b, loc, x, y); }
Value Emitter::mul(Value x, Value y) { return LLVM::MulOp::create(b, loc, x, y); }

Value Emitter::addConstant(Value x, int64_t y) {
  if (y == 0)
    return x;
  return add(x, x.getType().isInteger(64) ? i64(y) : i32(y));
}

Value Emitter::mulConstant(Value x, int64_t y) {
  if (y == 1)
    return x;
  return mul(x, x.getType().isInteger(64) ? i64(y) : i32(y));
}

Value Emitter::toI64(Value x) {
  return x.getType().isInteger(64) ? x : LLVM::SExtOp::create(b, loc, b.getI64Type(), x).getResult();
}
Value Emitter::icmp(LLVM::ICmpPredicate predicate, Value x, Value y) {
  return LLVM::ICmpOp::create(b, loc, predicate, x, y);
}
Value Emitter::select(Value condition, Value x, Value y) { return LLVM::SelectOp::create(b, loc, condition, x, y); }

Value Emitter::shflXor(Value value, int64_t mask) {
  return NVVM::ShflOp::create(b, loc, value.getType(), i32(-1), value, i32(mask), i32(31), NVVM::ShflKind::bfly,
                              UnitAttr());
}

Value Emitter::gep(Value pointer, Type element, Value index) {
  return LLVM::GEPOp::create(b, loc, pointer.getType(), element, pointer, ValueRange{index});
}

Type Emitter::llvmType(Type type) { return type.isIndex() ? b.getI32Type() : type; }

Value Emitter::bitcast(Value value, Type type) {
  return value.getType() == type ? value : LLVM::BitcastOp::create(b, loc, type, value).getResult();
}

Value Emitter::again(Value value) {
  return LLVM::InlineAsmOp::create(b, loc, value.getType(), value, "mov.b32 $0, $1;", "=r,r",
                                   /*has_side_effects=*/true, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      .getResult(0);
}

// The thread's share of a coordinate: runs of bits whose steps double become one shift, mask and multiplication.
static Value bitsTimesSteps(OpBuilder &b, Location loc, Value number, unsigned bits,
                            function_ref<int64_t(unsigned)> step) {
  auto constant = [&](int64_t v) {
    return LLVM::ConstantOp::create(b, loc, b.getI32Type(), b.getI32IntegerAttr(v)).getResult();
  };
  Value sum;
  for (unsigned low = 0; low < bits;) {
    if (step(low) == 0) {
      ++low;
      continue;
    }
    unsigned high = low + 1;
    while (high < bits && step(high) == step(high - 1) * 2)
      ++high;
    Value part = number;
    if (low)
      part = LLVM::LShrOp::create(b, loc, part, constant(low));
    if (high < bits || high < 5)
      part = LLVM::AndOp::create(b, loc, part, constant((int64_t(1) << (high - low)) - 1));
    if (step(low) != 1)
      part = LLVM::MulOp::create(b, loc, part, constant(step(low)));
    sum = sum ? LLVM::AddOp::create(b, loc, sum, part).getResult() : part;
    low = high;
  }
  return sum;
}

Value Emitter::threadOffset(const Layout &layout, unsigned dim) {
  Value &cached = threadOffsets[{layout.str(), dim}];
  if (!cached)
    cached = inEntry([&] {
      Value ofLane = bitsTimesSteps(b, loc, lane, layout.lane.size(), [&](unsigned k) { return layout.lane[k][dim]; });
      Value ofWarp = bitsTimesSteps(b, loc, warp, layout.warp.size(), [&](unsigned k) { return layout.warp[k][dim]; });
      if (ofLane && ofWarp)
        return add(ofLane, ofWarp);
      return ofLane ? ofLane : ofWarp ? ofWarp : i32(0);
    });
  return cached;
}

Value Emitter::writesOnce(const Layout &layout) {
  int64_t mask = 0;
  auto isZero = [](const Layout::Vector &v) { return llvm::all_of(v, [](int64_t x) { return x == 0; }); };
  for (auto [k, v] : llvm::enumerate(layout.lane))
    if (isZero(v))
      mask |= int64_t(1) << k;
  for (auto [k, v] : llvm::enumerate(layout.warp))
    if (isZero(v))
      mask |= int64_t(32) << k;
  if (!mask)
    return {};
  return icmp(LLVM::ICmpPredicate::eq, LLVM::AndOp::create(b, loc, threadId, i32(mask)), i32(0));
}

const Layout *Emitter::layout(Value value) {
  if (auto attr = tile::layoutOf(value.getType()))
    return &attr.getLayout();
  return nullptr;
}

SmallVector<Value> Emitter::elements(Value tile) {
  TileValue &value = tiles[tile];
  if (!value.packed)
    return value.registers;
  Type element = tensorType(tile).getElementType();
  SmallVector<Value> result;
  for (Value pair : value.registers) {
    Value vector = bitcast(pair, VectorType::get(2, element));
    for (int64_t half : {0, 1})
      result.push_back(LLVM::ExtractElementOp::create(b, loc, vector, i32(half)));
  }
  return result;
}

SmallVector<Value> Emitter::pairs(Value tile) {
  TileValue &value = tiles[tile];
  if (value.packed)
    return value.registers;
  Type element = tensorType(tile).getElementType();
  SmallVector<Value> result;
  for (size_t r = 0; r + 1 < value.registers.size(); r += 2) {
    Value vector = LLVM::UndefOp::create(b, loc, VectorType::get(2, element));
    vector = LLVM::InsertElementOp::create(b, loc, vector, value.registers[r], i32(0));
    vector = LLVM::InsertElementOp::create(b, loc, vector, value.registers[r + 1], i32(1));
    result.push_back(bitcast(vector, b.getI32Type()));
  }
  return result;
}

Value Emitter::scalar(Value value) { return scalars.lookup(value); }

static bool is16Bit(Type type) { return type.isBF16() || type.isF16(); }

// What a value is when it crosses a block boundary: 16-bit tiles go in pairs.
SmallVector<Type> Emitter::flatTypes(Value value) {
  auto tensor = dyn_cast<RankedTensorType>(value.getType());
  if (!tensor)
    return {llvmType(value.getType())};
  int64_t count = layout(value)->registers();
  if (is16Bit(tensor.getElementType()) && count % 2 == 0)
    return SmallVector<Type>(count / 2, b.getI32Type());
  return SmallVector<Type>(count, tensor.getElementType());
}

SmallVector<Value> Emitter::flatten(Value value) {
  auto tensor = dyn_cast<RankedTensorType>(value.getType());
  if (!tensor)
    return {scalar(value)};
  return is16Bit(tensor.getElementType()) && layout(value)->registers() % 2 == 0 ? pairs(value) : elements(value);
}

void Emitter::unflatten(Value value, ArrayRef<Value> registers) {
  auto tensor = dyn_cast<RankedTensorType>(value.getType());
  if (!tensor) {
    scalars[value] = registers.front();
    return;
  }
  bool packed = is16Bit(tensor.getElementType()) && layout(value)->registers() % 2 == 0;
  tiles[value] = {SmallVector<Value>(registers), packed};
}

//===--- what the host computes ---===//

FailureOr<std::string> codegen::hostExpression(Value value) {
  Operation *def = value.getDefiningOp();
  if (!def)
    return emitError(value.getLoc(), "a size is no expression of axis sizes"), failure();
  if (auto axis = dyn_cast<tile::AxisOp>(def))
    return axis.getName().str();
  if (auto axis = dyn_cast<tile::ComputedAxisOp>(def))
    return hostExpression(axis.getValue());
  if (isa<tile::DeviceSmsOp>(def))
    return std::string("device.sms");
  if (auto constant = dyn_cast<arith::ConstantOp>(def))
    if (auto integer = dyn_cast<IntegerAttr>(constant.getValue()))
      return std::to_string(integer.getInt());
  SmallVector<std::string> operands;
  for (Value operand : def->getOperands()) {
    FailureOr<std::string> text = hostExpression(operand);
    if (failed(text))
      return failure();
    operands.push_back(*text);
  }
  auto infix = [&](const char *sign) { return "(" + operands[0] + " " + sign + " " + operands[1] + ")"; };
  auto call = [&](const char *name) { return std::string(name) + "(" + operands[0] + ", " + operands[1] + ")"; };
  if (isa<arith::AddIOp>(def))
    return infix("+");
  if (isa<arith::SubIOp>(def))
    return infix("-");
  if (isa<arith::MulIOp>(def))
    return infix("*");
  if (isa<arith::FloorDivSIOp, arith::DivUIOp, arith::DivSIOp>(def))
    return infix("/");
  if (isa<arith::CeilDivUIOp, arith::CeilDivSIOp>(def))
    return call("ceildiv");
  if (isa<arith::MaxSIOp, arith::MaxUIOp>(def))
    return call("max");
  if (isa<arith::MinSIOp, arith::MinUIOp>(def))
    return call("min");
  return def->emitOpError("cannot be computed by the host"), failure();
}

FailureOr<std::string> codegen::factorExpression(tile::ProgramOp program, StringRef factor) {
  for (auto axis : program.getBody().getOps<tile::ComputedAxisOp>())
    if (axis.getName() == factor)
      return hostExpression(axis.getValue());
  return factor.str();
}

//===--- kernels ---===//

Value Emitter::parameter(KernelArgument::Kind kind, StringRef name, unsigned dim, Type type) {
  Value &value = parameters[{int(kind), name.str(), dim}];
  if (value)
    return value;
  kernel.arguments.push_back({kind, name.str(), dim});
  Block &entry = function.getBody().front();
  value = entry.addArgument(type, loc);
  return value;
}

static void splitProduct(StringRef product, SmallVectorImpl<StringRef> &factors) { product.split(factors, '*'); }

LogicalResult Emitter::capture(Value value) {
  if (scalars.count(value) || views.count(value))
    return success();
  Operation *def = value.getDefiningOp();
  if (!def)
    return launch.emitOpError("uses a value that no kernel parameter can carry");
  if (auto axis = dyn_cast<tile::AxisOp>(def)) {
    scalars[value] = parameter(KernelArgument::Kind::Axis, axis.getName(), 0, b.getI32Type());
    return success();
  }
  if (isa<tile::ComputedAxisOp, tile::DeviceSmsOp>(def)) { // computed once, by the host
    FailureOr<std::string> text = hostExpression(value);
    if (failed(text))
      return failure();
    scalars[value] = parameter(KernelArgument::Kind::Axis, *text, 0, b.getI32Type());
    return success();
  }
  if (auto merge = dyn_cast<tile::MergeDimsOp>(def))
    return captureMerged(merge);
  auto makeView = [&](StringRef name, tile::ViewType type, ArrayAttr dims, bool dense) {
    ViewValue view;
    view.name = name.str();
    auto global = LLVM::LLVMPointerType::get(b.getContext(), 1);
    view.base = parameter(KernelArgument::Kind::Pointer, name, 0, global);
    size_t rank = dims.size();
    view.staticSizes.assign(type.getShape().begin(), type.getShape().end());
    view.strides.resize(rank);
    view.sizes.resize(rank);
    for (size_t d = 0; d < rank; ++d) {
      int64_t size = type.getShape()[d];
      if (!ShapedType::isDynamic(size)) {
        view.sizes[d] = inEntry([&] { return i32(size); });
        continue;
      }
      SmallVector<StringRef> factors;
      splitProduct(cast<StringAttr>(dims[d]).getValue(), factors);
      for (StringRef factor : factors) {
        int64_t number;
        FailureOr<std::string> text = factorExpression(launch->getParentOfType<tile::ProgramOp>(), factor);
        Value one = factor.getAsInteger(10, number)
                        ? parameter(KernelArgument::Kind::Axis, succeeded(text) ? *text : "0", 0, b.getI32Type())
                        : inEntry([&] { return i32(number); });
        view.sizes[d] = view.sizes[d] ? inEntry([&] { return mul(view.sizes[d], one); }) : one;
      }
    }
    for (size_t d = rank; d-- > 0;) {
      if (d + 1 == rank)
        continue;
      if (dense)
        view.strides[d] = inEntry([&] {
          Value size = toI64(view.sizes[d + 1]);
          return view.strides[d + 1] ? mul(view.strides[d + 1], size) : size;
        });
      else
        view.strides[d] = parameter(KernelArgument::Kind::Stride, name, d, b.getI64Type());
    }
    views[value] = view;
  };
  if (auto tensor = dyn_cast<tile::TensorOp>(def)) {
    makeView(tensor.getName(), tensor.getView().getType(), tensor.getDims(), /*dense=*/false);
    views[value].alignment = tensor.getAlignment().value_or(16);
    return success();
  }
  if (auto workspace = dyn_cast<tile::WorkspaceOp>(def)) {
    makeView(workspace.getName(), workspace.getView().getType(), workspace.getDims(), /*dense=*/true);
    return success();
  }
  for (Value operand : def->getOperands())
    if (failed(capture(operand)))
      return failure();
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(entryEnd);
  return emitOp(def);
}

LogicalResult Emitter::captureMerged(tile::MergeDimsOp op) {
  for (Value operand : op->getOperands())
    if (failed(capture(operand)))
      return failure();
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(entryEnd);
  emitMergeDims(op);
  return success();
}

void Emitter::emitMergeDims(tile::MergeDimsOp op) {
  const ViewValue from = views[op.getView()];
  ViewValue view = from;
  unsigned place = op.getPlace();
  auto strideOf = [&](int64_t d) -> Value {
    if (d < 0)
      return {};
    return from.strides[d] ? from.strides[d] : i64(1);
  };
  view.merged.clear();
  for (auto &[d, merged] : from.merged)
    view.merged[d >= place ? d + 1 : d] = merged;
  view.merged[place] = {scalar(op.getInner()), strideOf(op.getDims()[0]), strideOf(op.getDims()[1])};
  Value size = mul(scalar(op.getOuter()), scalar(op.getInner()));
  view.sizes.insert(view.sizes.begin() + place, size);
  view.strides.insert(view.strides.begin() + place, Value());
  view.staticSizes.insert(view.staticSizes.begin() + place, op.getMerged().getType().getShape()[place]);
  views[op.getMerged()] = view;
}

void Emitter::decodeWorkItem() {
  // The last axis varies fastest. Extents are positive, so unsigned division is exact and cheaper.
  Value rest = NVVM::BlockIdXOp::create(b, loc, b.getI32Type());
  auto indices = launch.getBody().getArguments();
  for (size_t k = indices.size(); k-- > 0;) {
    if (k == 0) {
      scalars[indices[k]] = rest;
      break;
    }
    Value extent = scalar(launch.getExtents()[k]);
    scalars[indices[k]] = LLVM::URemOp::create(b, loc, rest, extent);
    rest = LLVM::UDivOp::create(b, loc, rest, extent);
  }
  if (auto descending = launch.getScheduleAttr().getAs<ArrayAttr>("descending"))
    for (auto [axis, index, extent] : llvm::zip(launch.getAxes(), indices, launch.getExtents()))
      if (llvm::is_contained(descending, axis))
        scalars[index] = sub(addConstant(scalar(extent), -1), scalars[index]);
}

FailureOr<Kernel> Emitter::emit() {
  auto schedule = launch.getScheduleAttr();
  auto warpsAttr = schedule ? schedule.getAs<IntegerAttr>("warps") : IntegerAttr();
  if (!warpsAttr)
    return launch.emitOpError("has no schedule: no number of warps"), failure();
  warps = warpsAttr.getInt();
  kernel.name = launch.getName().str();
  kernel.threads = warps * 32;
  kernel.grid = "1";
  for (auto [k, extent] : llvm::enumerate(launch.getExtents())) {
    FailureOr<std::string> text = hostExpression(extent);
    if (failed(text))
      return failure();
    kernel.grid = k ? kernel.grid + " * " + *text : *text;
  }

  b.setInsertionPointToEnd(module.getBody());
  auto voidType = LLVM::LLVMVoidType::get(b.getContext());
  function = LLVM::LLVMFuncOp::create(b, loc, kernel.name, LLVM::LLVMFunctionType::get(voidType, {}));
  function->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  function->setAttr(NVVM::NVVMDialect::getReqntidAttrName(), b.getDenseI32ArrayAttr({int32_t(kernel.threads), 1, 1}));
  // Without this ptxas may spill a little to fit one more block on a multiprocessor.
  function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(1));
  Block *entry = function.addEntryBlock(b);
  Block *body = b.createBlock(&function.getBody());
  b.setInsertionPointToEnd(entry);
  threadId = NVVM::ThreadIdXOp::create(b, loc, b.getI32Type(),
                                       LLVM::ConstantRangeAttr::get(b.getContext(), 32, 0, kernel.threads));
  entryEnd = LLVM::BrOp::create(b, loc, ValueRange{}, body);
  b.setInsertionPoint(entryEnd);
  lane = LLVM::AndOp::create(b, loc, threadId, i32(31));
  warp = LLVM::LShrOp::create(b, loc, threadId, i32(5));
  for (Value extent : launch.getExtents())
    if (failed(capture(extent)))
      return failure();
  decodeWorkItem();

  launch.walk([&](tile::SmemAllocOp ring) {
    if (ring.getOffset())
      ringBytes = std::max<int64_t>(ringBytes, *ring.getOffset() + ring.getSmem().getType().getBytes());
  });
  b.setInsertionPointToEnd(body);
  if (failed(emitBlock(launch.getBody().front())))
    return failure();
  LLVM::ReturnOp::create(b, loc, ValueRange{});

  SmallVector<Type> types(entry->getArgumentTypes());
  function.setFunctionType(LLVM::LLVMFunctionType::get(voidType, types));
  kernel.sharedBytes = sharedBytes;
  return kernel;
}

LogicalResult Emitter::emitBlock(Block &block) {
  // A launch has no terminator; its last operation is one like the others.
  for (Operation &op : block)
    if (!op.hasTrait<OpTrait::IsTerminator>() && failed(emitOp(&op)))
      return failure();
  return success();
}

LogicalResult Emitter::emitOp(Operation *op) {
  loc = op->getLoc();
  for (Value operand : op->getOperands()) {
    Operation *def = operand.getDefiningOp();
    bool outside = def ? isa<tile::ProgramOp>(def->getParentOp()) : false;
    if (outside && failed(capture(operand)))
      return failure();
  }
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case<scf::ForOp>([&](auto o) { return emitFor(o); })
      .Case<scf::IfOp>([&](auto o) { return emitIf(o); })
      .Case<arith::ConstantOp>([&](auto o) { return emitConstant(o); })
      .Case<tile::SplatOp>([&](auto o) { return emitSplat(o); })
      .Case<tile::BroadcastOp>([&](auto o) { return emitBroadcast(o); })
      .Case<tile::IotaOp>([&](auto o) { return emitIota(o); })
      .Case<tile::ReduceOp>([&](auto o) { return emitReduce(o); })
      .Case<tile::ScanOp>([&](auto o) { return emitScan(o); })
      .Case<tile::SliceOp>([&](auto o) { return emitSlice(o); })
      .Case<tile::ConcatOp>([&](auto o) { return emitConcat(o); })
      .Case<tile::StoreScalarOp>([&](auto o) { return emitStoreScalar(o); })
      .Case<tile::ConvertLayoutOp>([&](auto o) { return emitConvertLayout(o); })
      .Case<tile::TransposeOp>([&](auto o) { return emitTranspose(o); })
      .Case<tile::UnitTrilInverseOp>([&](auto o) { return emitUnitTrilInverse(o); })
      .Case<tile::DecayedDotOp>([&](auto o) { return emitDecayedDot(o); })
      .Case<tile::MergeDimsOp>([&](auto o) {
        emitMergeDims(o);
        return success();
      })
      .Case<tile::SequenceOp>([&](auto o) { return emitSequence(o); })
      .Case<tile::NarrowOp>([&](auto o) { return emitNarrow(o); })
      .Case<tile::EndIfOp>([&](auto o) { return emitEndIf(o); })
      .Case<tile::DomainOp>([&](auto o) { return emitDomain(o); })
      .Case<tile::DomainCountOp>([&](tile::DomainCountOp o) {
        scalars[o.getCount()] = domains[o.getDomain()].count;
        return success();
      })
      .Case<tile::DomainSliceOp>([&](auto o) { return emitDomainSlice(o); })
      .Case<tile::DomainTileOp>([&](auto o) { return emitDomainTile(o); })
      .Case<tile::LoadOp>([&](auto o) { return emitLoad(o); })
      .Case<tile::GatherOp>([&](auto o) { return emitGather(o); })
      .Case<tile::LoadScalarOp>([&](auto o) { return emitLoadScalar(o); })
      .Case<tile::StoreOp>([&](auto o) { return emitStore(o); })
      .Case<tile::SmemAllocOp>([&](auto o) { return emitSmemAlloc(o); })
      .Case<tile::CopyStartOp>([&](auto o) { return emitCopyStart(o); })
      .Case<tile::CopyCommitOp>([&](auto) {
        NVVM::CpAsyncCommitGroupOp::create(b, loc);
        return success();
      })
      .Case<tile::CopyWaitOp>([&](tile::CopyWaitOp o) {
        NVVM::CpAsyncWaitGroupOp::create(b, loc, b.getI32IntegerAttr(o.getPending()));
        return success();
      })
      .Case<tile::BarrierOp>([&](auto) {
        NVVM::Barrier0Op::create(b, loc);
        return success();
      })
      .Case<tile::SmemReadOp>([&](auto o) { return emitSmemRead(o); })
      .Case<tile::SmemWriteOp>([&](auto o) { return emitSmemWrite(o); })
      .Case<tile::DotOp>([&](auto o) { return emitDot(o); })
      .Default([&](Operation *o) -> LogicalResult {
        if (isElementwise(o))
          return emitElementwise(o);
        return o->emitOpError("cannot be lowered to PTX in this version");
      });
}

LogicalResult Emitter::emitFor(scf::ForOp op) {
  // Tests at the bottom, after one test in front: the loop body is one straight block for the scheduler.
  Value lower = scalar(op.getLowerBound()), upper = scalar(op.getUpperBound()), step = scalar(op.getStep());
  SmallVector<Value> initial;
  SmallVector<Type> types{lower.getType()};
  for (Value init : op.getInitArgs()) {
    llvm::append_range(initial, flatten(init));
    llvm::append_range(types, flatTypes(init));
  }
  Region &region = function.getBody();
  Block *before = b.getInsertionBlock();
  SmallVector<Location> locations(types.size(), loc);
  SmallVector<Type> resultTypes(types.begin() + 1, types.end());
  SmallVector<Location> resultLocations(resultTypes.size(), loc);
  Block *body = b.createBlock(&region, region.end(), types, locations);
  Block *after = b.createBlock(&region, region.end(), resultTypes, resultLocations);

  b.setInsertionPointToEnd(before);
  SmallVector<Value> enter{lower};
  llvm::append_range(enter, initial);
  LLVM::CondBrOp::create(b, loc, icmp(LLVM::ICmpPredicate::slt, lower, upper), body, enter, after, initial);

  b.setInsertionPointToEnd(body);
  scalars[op.getInductionVar()] = body->getArgument(0);
  size_t at = 1;
  for (Value argument : op.getRegionIterArgs()) {
    size_t count = flatTypes(argument).size();
    SmallVector<Value> registers(body->getArguments().slice(at, count));
    unflatten(argument, registers);
    at += count;
  }
  if (failed(emitBlock(*op.getBody())))
    return failure();
  loc = op.getLoc();
  SmallVector<Value> yielded;
  for (Value value : op.getBody()->getTerminator()->getOperands())
    llvm::append_range(yielded, flatten(value));
  Value next = add(body->getArgument(0), step);
  SmallVector<Value> again{next};
  llvm::append_range(again, yielded);
  LLVM::CondBrOp::create(b, loc, icmp(LLVM::ICmpPredicate::slt, next, upper), body, again, after, yielded);

  b.setInsertionPointToEnd(after);
  at = 0;
  for (Value result : op.getResults()) {
    size_t count = flatTypes(result).size();
    SmallVector<Value> registers(after->getArguments().slice(at, count));
    unflatten(result, registers);
    at += count;
  }
  return success();
}

LogicalResult Emitter::emitIf(scf::IfOp op) {
  Region &region = function.getBody();
  SmallVector<Type> types;
  for (Value result : op.getResults())
    llvm::append_range(types, flatTypes(result));
  SmallVector<Location> locations(types.size(), loc);
  Block *before = b.getInsertionBlock();
  Block *thenBlock = b.createBlock(&region, region.end());
  Block *elseBlock = b.createBlock(&region, region.end());
  Block *after = b.createBlock(&region, region.end(), types, locations);
  b.setInsertionPointToEnd(before);
  LLVM::CondBrOp::create(b, loc, scalar(op.getCondition()), thenBlock, ValueRange{}, elseBlock, ValueRange{});
  auto arm = [&](Block *to, Region &from) -> LogicalResult {
    b.setInsertionPointToEnd(to);
    SmallVector<Value> yielded;
    if (!from.empty()) {
      if (failed(emitBlock(from.front())))
        return failure();
      for (Value value : from.front().getTerminator()->getOperands())
        llvm::append_range(yielded, flatten(value));
    }
    LLVM::BrOp::create(b, op.getLoc(), yielded, after);
    return success();
  };
  if (failed(arm(thenBlock, op.getThenRegion())) || failed(arm(elseBlock, op.getElseRegion())))
    return failure();
  b.setInsertionPointToEnd(after);
  size_t at = 0;
  for (Value result : op.getResults()) {
    size_t count = flatTypes(result).size();
    SmallVector<Value> registers(after->getArguments().slice(at, count));
    unflatten(result, registers);
    at += count;
  }
  return success();
}

Block *Emitter::beginWhere(Value condition) {
  if (!condition)
    return nullptr;
  Region &region = function.getBody();
  Block *before = b.getInsertionBlock();
  Block *inside = b.createBlock(&region, region.end());
  Block *after = b.createBlock(&region, region.end());
  b.setInsertionPointToEnd(before);
  LLVM::CondBrOp::create(b, loc, condition, inside, ValueRange{}, after, ValueRange{});
  b.setInsertionPointToEnd(inside);
  return after;
}

void Emitter::endWhere(Block *after) {
  if (!after)
    return;
  LLVM::BrOp::create(b, loc, ValueRange{}, after);
  b.setInsertionPointToEnd(after);
}
SmallVector<Value> Emitter::endWhere(Block *after, ArrayRef<Value> values) {
  if (!after)
    return SmallVector<Value>(values);
  auto around = cast<LLVM::CondBrOp>((*after->pred_begin())->getTerminator());
  LLVM::BrOp::create(b, loc, values, after);
  SmallVector<Value> result;
  b.setInsertionPoint(around);
  for (Value value : values) {
    around.getFalseDestOperandsMutable().append(LLVM::UndefOp::create(b, loc, value.getType()).getResult());
    result.push_back(after->addArgument(value.getType(), loc));
  }
  b.setInsertionPointToEnd(after);
  return result;
}

SmallVector<Value> Emitter::branch(Value condition, function_ref<SmallVector<Value>()> yes,
                                   function_ref<SmallVector<Value>()> no) {
  Region &region = function.getBody();
  Block *before = b.getInsertionBlock();
  Block *blocks[] = {b.createBlock(&region, region.end()), b.createBlock(&region, region.end())};
  Block *after = b.createBlock(&region, region.end());
  b.setInsertionPointToEnd(before);
  LLVM::CondBrOp::create(b, loc, condition, blocks[0], ValueRange{}, blocks[1], ValueRange{});
  for (auto [n, block] : llvm::enumerate(blocks)) {
    b.setInsertionPointToEnd(block);
    SmallVector<Value> values = n == 0 ? yes() : no();
    if (n == 0)
      for (Value value : values)
        after->addArgument(value.getType(), loc);
    LLVM::BrOp::create(b, loc, values, after);
  }
  b.setInsertionPointToEnd(after);
  return SmallVector<Value>(after->getArguments());
}

SmallVector<Value> Emitter::countedLoop(int64_t count, int64_t step, ArrayRef<Value> initial, LoopBody emitBody) {
  Region &region = function.getBody();
  Block *before = b.getInsertionBlock();
  Block *body = b.createBlock(&region, region.end(), {b.getI32Type()}, {loc});
  Block *after = b.createBlock(&region, region.end());
  SmallVector<Value> enter;
  b.setInsertionPointToEnd(before);
  enter.push_back(i32(0));
  llvm::append_range(enter, initial);
  for (Value value : initial) {
    body->addArgument(value.getType(), loc);
    after->addArgument(value.getType(), loc);
  }
  LLVM::BrOp::create(b, loc, enter, body);
  b.setInsertionPointToEnd(body);
  SmallVector<Value> values(body->getArguments().drop_front());
  values = emitBody(body->getArgument(0), values);
  Value next = add(body->getArgument(0), i32(step));
  SmallVector<Value> again{next};
  llvm::append_range(again, values);
  LLVM::CondBrOp::create(b, loc, icmp(LLVM::ICmpPredicate::slt, next, i32(count)), body, again, after, values);
  b.setInsertionPointToEnd(after);
  return SmallVector<Value>(after->getArguments());
}

FailureOr<LoweredProgram> codegen::lowerToNvvm(ArrayRef<tile::ProgramOp> programs, const Target &target) {
  tile::ProgramOp program = programs.front();
  program.getContext()->loadDialect<LLVM::LLVMDialect, NVVM::NVVMDialect>();
  LoweredProgram result;
  result.module = ModuleOp::create(program.getLoc(), program.getSymName());
  OpBuilder b = OpBuilder::atBlockEnd(result.module->getBody());
  // All shared memory is dynamic: the launch says how much.
  auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
  LLVM::GlobalOp::create(b, program.getLoc(), bytes, /*isConstant=*/false, LLVM::Linkage::External, "fovea_shared",
                         Attribute(),
                         /*alignment=*/1024, /*addrSpace=*/3);
  for (auto [index, each] : llvm::enumerate(programs)) {
    tile::ProgramOp own = each;
    for (auto launch : own.getBody().getOps<tile::LaunchOp>()) {
      if (result.module->lookupSymbol(launch.getName()))
        return launch.emitOpError("has the name of another kernel"), failure();
      FailureOr<Kernel> kernel = Emitter(launch, *result.module, target).emit();
      if (failed(kernel))
        return failure();
      kernel->program = index;
      result.kernels.push_back(*kernel);
    }
  }
  return result;
}
