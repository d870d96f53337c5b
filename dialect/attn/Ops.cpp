// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operations of the attn dialect: type inference, verifiers, builders and the directives of their assembly.
#include "dialect/attn/Detail.h"
#include "dialect/attn/Pointwise.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;
using namespace fovea::attn;

//===----------------------------------------------------------------------===//
// Directives of the assembly formats
//===----------------------------------------------------------------------===//

static ParseResult parseField(OpAsmParser &parser, Type &type) { return parseFieldType(parser, type); }
static void printField(OpAsmPrinter &printer, Operation *, Type type) {
  printFieldType(printer, cast<FieldType>(type));
}

static ParseResult parseFields(OpAsmParser &parser, SmallVectorImpl<Type> &types) {
  return parser.parseCommaSeparatedList([&] { return parseFieldType(parser, types.emplace_back()); });
}
static void printFields(OpAsmPrinter &printer, Operation *, TypeRange types) {
  llvm::interleaveComma(types, printer, [&](Type type) { printFieldType(printer, cast<FieldType>(type)); });
}

static ParseResult parseWeights(OpAsmParser &parser, Type &type) { return parseWeightsType(parser, type); }
static void printWeights(OpAsmPrinter &printer, Operation *, Type type) {
  printWeightsType(printer, cast<WeightsType>(type));
}

static ParseResult parseState(OpAsmParser &parser, Type &type) { return parseStateType(parser, type); }
static void printState(OpAsmPrinter &printer, Operation *, Type type) {
  printStateType(printer, cast<StateType>(type));
}

static ParseResult parseAxisTable(OpAsmParser &parser, AxisTableAttr &table) { return parseTable(parser, table); }
static void printAxisTable(OpAsmPrinter &printer, Operation *, AxisTableAttr table) { printTable(printer, table); }

static ParseResult parseAxis(OpAsmParser &parser, StringAttr &axis) { return parseAxisName(parser, axis); }
static void printAxis(OpAsmPrinter &printer, Operation *, StringAttr axis) {
  printer.printKeywordOrString(axis.getValue());
}

static ParseResult parseAxes(OpAsmParser &parser, ArrayAttr &axes) {
  SmallVector<StringAttr> names;
  if (parseAxisNames(parser, names))
    return failure();
  axes = ArrayAttr::get(parser.getContext(), SmallVector<Attribute>(names.begin(), names.end()));
  return success();
}
static void printAxes(OpAsmPrinter &printer, Operation *, ArrayAttr axes) { printAxisNames(printer, toAxes(axes)); }

// Enumerations, as their bare word.
template <typename EnumAttr, typename Enum>
static ParseResult parseWordOf(OpAsmParser &parser, EnumAttr &attribute, std::optional<Enum> (*symbolize)(StringRef)) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef word;
  if (parser.parseKeyword(&word))
    return failure();
  std::optional<Enum> value = symbolize(word);
  if (!value)
    return parser.emitError(loc, "unknown word '") << word << "'";
  attribute = EnumAttr::get(parser.getContext(), *value);
  return success();
}
static ParseResult parseWord(OpAsmParser &parser, ClaimAttr &claim) {
  return parseWordOf(parser, claim, symbolizeClaim);
}
static ParseResult parseWord(OpAsmParser &parser, ReduceKindAttr &kind) {
  return parseWordOf(parser, kind, symbolizeReduceKind);
}
static ParseResult parseWord(OpAsmParser &parser, StatKindAttr &kind) {
  return parseWordOf(parser, kind, symbolizeStatKind);
}
static ParseResult parseWord(OpAsmParser &parser, ReadPointAttr &point) {
  return parseWordOf(parser, point, symbolizeReadPoint);
}
static void printWord(OpAsmPrinter &printer, Operation *, ReadPointAttr point) {
  printer << stringifyReadPoint(point.getValue());
}
static void printWord(OpAsmPrinter &printer, Operation *, ClaimAttr claim) {
  printer << stringifyClaim(claim.getValue());
}
static void printWord(OpAsmPrinter &printer, Operation *, ReduceKindAttr kind) {
  printer << stringifyReduceKind(kind.getValue());
}
static void printWord(OpAsmPrinter &printer, Operation *, StatKindAttr kind) {
  printer << stringifyStatKind(kind.getValue());
}

// score, or weight for free weights
static ParseResult parseScoreOrWeight(OpAsmParser &parser, WeightFunctionAttr &weight) {
  StringRef word;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return failure();
  if (word != "score" && word != "weight")
    return parser.emitError(loc, "expected 'score' or 'weight', not '") << word << "'";
  weight = WeightFunctionAttr::get(parser.getContext(), word == "score" ? WeightFunction::Exp : WeightFunction::Free);
  return success();
}
static void printScoreOrWeight(OpAsmPrinter &printer, Operation *, WeightFunctionAttr weight) {
  printer << (weight.getValue() == WeightFunction::Exp ? "score" : "weight");
}

// An array at the interface: param f32 [B, T]. Role and storage are left out where they are the default.
static ParseResult parseOutputArray(OpAsmParser &parser, StorageAttr &storage, ArrayAttr &axes) {
  StringRef word;
  if (succeeded(parser.parseOptionalKeyword(&word, {"bf16", "f16", "f32", "i32"})))
    storage = StorageAttr::get(parser.getContext(), *symbolizeStorage(word));
  return parseAxes(parser, axes);
}
static void printOutputArray(OpAsmPrinter &printer, Operation *op, StorageAttr storage, ArrayAttr axes) {
  if (storage)
    printer << stringifyStorage(storage.getValue()) << ' ';
  printAxes(printer, op, axes);
}
static ParseResult parseInputArray(OpAsmParser &parser, RoleAttr &role, StorageAttr &storage, ArrayAttr &axes) {
  StringRef word;
  bool stated = succeeded(parser.parseOptionalKeyword(&word, {"param", "carry"}));
  role = RoleAttr::get(parser.getContext(), stated ? *symbolizeRole(word) : Role::Input);
  return parseOutputArray(parser, storage, axes);
}
static void printInputArray(OpAsmPrinter &printer, Operation *op, RoleAttr role, StorageAttr storage, ArrayAttr axes) {
  if (role.getValue() != Role::Input)
    printer << stringifyRole(role.getValue()) << ' ';
  printOutputArray(printer, op, storage, axes);
}

static ParseResult parseScalar(OpAsmParser &parser, Attribute &value) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef word;
  if (parser.parseKeyword(&word))
    return failure();
  Builder &builder = parser.getBuilder();
  std::optional<Kind> kind = symbolizeKind(word);
  if (!kind)
    return parser.emitError(loc, "a constant is real, int or bool, not '") << word << "'";
  switch (*kind) {
  case Kind::Real:
    return parser.parseAttribute(value, builder.getF64Type());
  case Kind::Int:
    return parser.parseAttribute(value, builder.getI64Type());
  case Kind::Bool:
    return parser.parseAttribute(value, builder.getI1Type());
  }
  return failure();
}
static void printScalar(OpAsmPrinter &printer, Operation *, Attribute value) {
  if (isa<FloatAttr>(value))
    printer << "real ";
  else
    printer << (isa<BoolAttr>(value) ? "bool " : "int ");
  printer.printAttributeWithoutType(value);
}

#include "dialect/attn/AttnInterfaces.cpp.inc"
#define GET_OP_CLASSES
#include "dialect/attn/AttnOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Type inference
//===----------------------------------------------------------------------===//

namespace {
/// Collects a message at the operation's place, if it is known.
LogicalResult refuse(std::optional<Location> location, StringRef name, const Twine &message) {
  return emitOptionalError(location, "'", name, "': ", message);
}

FieldType fieldOf(Value value) { return cast<FieldType>(value.getType()); }

bool isNumber(Kind kind) { return kind != Kind::Bool; }
} // namespace

LogicalResult fovea::attn::inferPointwise(MLIRContext *context, std::optional<Location> location, StringRef name,
                                          KindRule rule, ValueRange operands, SmallVectorImpl<Type> &types) {
  SmallVector<StringAttr> axes;
  for (Value operand : operands)
    uniteAxes(axes, fieldOf(operand).getAxes());
  auto kindAt = [&](unsigned i) { return fieldOf(operands[i]).getKind(); };
  auto wants = [&](const char *wanted) {
    std::string got;
    for (unsigned i = 0; i < operands.size(); ++i)
      got += (i ? " and " : "") + stringifyKind(kindAt(i)).str();
    return refuse(location, name, Twine("takes ") + wanted + ", not " + got);
  };
  auto all = [&](Kind kind) {
    return llvm::all_of(operands, [&](Value operand) { return fieldOf(operand).getKind() == kind; });
  };

  Kind result = Kind::Real;
  switch (rule) {
  case KindRule::Real:
    if (!all(Kind::Real))
      return wants("reals");
    break;
  case KindRule::Int:
    if (!all(Kind::Int))
      return wants("ints");
    result = Kind::Int;
    break;
  case KindRule::Number:
    if (!all(Kind::Real) && !all(Kind::Int))
      return wants("numbers of one kind");
    result = kindAt(0);
    break;
  case KindRule::Bool:
    if (!all(Kind::Bool))
      return wants("bools");
    result = Kind::Bool;
    break;
  case KindRule::Compare:
    if (!all(Kind::Real) && !all(Kind::Int))
      return wants("two numbers of one kind");
    result = Kind::Bool;
    break;
  case KindRule::Equal:
    if (kindAt(0) != kindAt(1))
      return wants("two values of one kind");
    result = Kind::Bool;
    break;
  case KindRule::ToReal:
    if (kindAt(0) == Kind::Real)
      return wants("an int or a bool");
    break;
  case KindRule::RealToInt:
    if (!all(Kind::Real))
      return wants("reals");
    result = Kind::Int;
    break;
  case KindRule::Select:
    if (kindAt(0) != Kind::Bool || kindAt(1) != kindAt(2))
      return wants("a bool and two values of one kind");
    result = kindAt(1);
    break;
  }
  types.push_back(FieldType::get(context, axes, result));
  return success();
}

LogicalResult ConstantOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor adaptor,
                                           SmallVectorImpl<Type> &types) {
  Attribute value = adaptor.getValue();
  Kind kind = isa<FloatAttr>(value) ? Kind::Real : isa<BoolAttr>(value) ? Kind::Bool : Kind::Int;
  types.push_back(FieldType::get(context, ArrayRef<StringAttr>(), kind));
  return success();
}

LogicalResult SizeOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor,
                                       SmallVectorImpl<Type> &types) {
  types.push_back(FieldType::get(context, ArrayRef<StringAttr>(), Kind::Int));
  return success();
}

LogicalResult IndexOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  types.push_back(FieldType::get(context, ArrayRef<StringAttr>(adaptor.getAxisAttr()), Kind::Int));
  return success();
}

LogicalResult PositionOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor adaptor,
                                           SmallVectorImpl<Type> &types) {
  types.push_back(FieldType::get(context, ArrayRef<StringAttr>(adaptor.getAxisAttr()), Kind::Int));
  return success();
}

LogicalResult QueryPositionOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor adaptor,
                                                SmallVectorImpl<Type> &types) {
  types.push_back(FieldType::get(context, ArrayRef<StringAttr>(adaptor.getQueryAttr()), Kind::Int));
  return success();
}

/// The axes of `type` without those of `removed`, each of which it must have, once.
static FailureOr<SmallVector<StringAttr>> removeAxes(std::optional<Location> location, StringRef name,
                                                     ArrayRef<FieldType> operands, ArrayRef<StringAttr> removed) {
  if (removed.empty())
    return refuse(location, name, "names no axis");
  SmallVector<StringAttr> axes;
  for (FieldType operand : operands)
    uniteAxes(axes, operand.getAxes());
  for (auto [n, axis] : llvm::enumerate(removed)) {
    if (llvm::is_contained(removed.take_front(n), axis))
      return refuse(location, name, "names axis " + axis.getValue() + " twice");
    for (FieldType operand : operands)
      if (!operand.hasAxis(axis))
        return refuse(location, name, "an operand lacks axis " + axis.getValue());
    llvm::erase(axes, axis);
  }
  return axes;
}

static LogicalResult checkReduceKind(std::optional<Location> location, StringRef name, ReduceKind kind, Kind of) {
  bool needsReal = kind == ReduceKind::Mean || kind == ReduceKind::LogSumExp;
  if (!isNumber(of) || (needsReal && of != Kind::Real))
    return refuse(location, name, "cannot take the " + stringifyReduceKind(kind) + " of " + stringifyKind(of) + "s");
  return success();
}

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand());
  auto axes = removeAxes(location, getOperationName(), {field}, toAxes(adaptor.getAxes()));
  if (failed(axes) || failed(checkReduceKind(location, getOperationName(), adaptor.getKind(), field.getKind())))
    return failure();
  types.push_back(FieldType::get(context, *axes, field.getKind()));
  return success();
}

LogicalResult DotOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                      SmallVectorImpl<Type> &types) {
  FieldType lhs = fieldOf(adaptor.getLhs()), rhs = fieldOf(adaptor.getRhs());
  auto axes = removeAxes(location, getOperationName(), {lhs, rhs}, toAxes(adaptor.getAxes()));
  if (failed(axes))
    return failure();
  if (!lhs.isReal() || !rhs.isReal())
    return refuse(location, getOperationName(), "takes reals");
  types.push_back(FieldType::get(context, *axes, Kind::Real));
  return success();
}

/// `field` with one axis replaced in its place.
static LogicalResult replaceAxis(std::optional<Location> location, StringRef name, FieldType field, StringAttr from,
                                 StringAttr to, SmallVectorImpl<Type> &types) {
  if (!field.hasAxis(from))
    return refuse(location, name, "the operand lacks axis " + from.getValue());
  if (field.hasAxis(to))
    return refuse(location, name, "the operand already has axis " + to.getValue());
  SmallVector<StringAttr> axes(field.getAxes());
  llvm::replace(axes, from, to);
  types.push_back(FieldType::get(field.getContext(), axes, field.getKind()));
  return success();
}

LogicalResult RenameOp::inferReturnTypes(MLIRContext *, std::optional<Location> location, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  return replaceAxis(location, getOperationName(), fieldOf(adaptor.getOperand()), adaptor.getFromAttr(),
                     adaptor.getToAttr(), types);
}

LogicalResult RowAtOp::inferReturnTypes(MLIRContext *, std::optional<Location> location, Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  return replaceAxis(location, getOperationName(), fieldOf(adaptor.getOperand()), adaptor.getKeysAttr(),
                     adaptor.getQueryAttr(), types);
}

LogicalResult SliceOp::inferReturnTypes(MLIRContext *, std::optional<Location> location, Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  return replaceAxis(location, getOperationName(), fieldOf(adaptor.getOperand()), adaptor.getFromAttr(),
                     adaptor.getToAttr(), types);
}

LogicalResult ConcatOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  StringRef name = getOperationName();
  SmallVector<StringAttr> parts = toAxes(adaptor.getParts()), axes;
  StringAttr along = adaptor.getAlongAttr();
  if (parts.empty() || parts.size() != adaptor.getOperands().size())
    return refuse(location, name,
                  "has " + Twine(adaptor.getOperands().size()) + " operands for " + Twine(parts.size()) + " parts");
  Kind kind = fieldOf(adaptor.getOperands().front()).getKind();
  for (auto [operand, part] : llvm::zip(adaptor.getOperands(), parts)) {
    FieldType field = fieldOf(operand);
    if (field.getKind() != kind)
      return refuse(location, name,
                    "takes values of one kind, not " + stringifyKind(kind) + " and " + stringifyKind(field.getKind()));
    if (!field.hasAxis(part))
      return refuse(location, name, "an operand lacks the axis " + part.getValue() + " of its part");
    if (field.hasAxis(along))
      return refuse(location, name, "an operand already has axis " + along.getValue());
    for (StringAttr other : parts)
      if (other != part && field.hasAxis(other))
        return refuse(location, name,
                      "the operand of part " + part.getValue() + " has the axis " + other.getValue() + " of another");
    SmallVector<StringAttr> own(field.getAxes());
    llvm::replace(own, part, along);
    uniteAxes(axes, own);
  }
  types.push_back(FieldType::get(context, axes, kind));
  return success();
}

LogicalResult GatherOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand()), index = fieldOf(adaptor.getIndex());
  if (!index.isInt())
    return refuse(location, getOperationName(),
                  "the index is " + stringifyKind(index.getKind()) + "; it should be int");
  if (!field.hasAxis(adaptor.getAxisAttr()))
    return refuse(location, getOperationName(), "the operand lacks axis " + adaptor.getAxis());
  SmallVector<StringAttr> axes(field.getAxes());
  llvm::erase(axes, adaptor.getAxisAttr());
  uniteAxes(axes, index.getAxes());
  types.push_back(FieldType::get(context, axes, field.getKind()));
  return success();
}

LogicalResult ScanOp::inferReturnTypes(MLIRContext *, std::optional<Location> location, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand());
  if (!isNumber(field.getKind()))
    return refuse(location, getOperationName(), "takes numbers, not bools");
  if (!field.hasAxis(adaptor.getAxisAttr()))
    return refuse(location, getOperationName(), "the operand lacks axis " + adaptor.getAxis());
  types.push_back(field);
  return success();
}

LogicalResult BlockReduceOp::inferReturnTypes(MLIRContext *, std::optional<Location> location, Adaptor adaptor,
                                              SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand());
  if (failed(checkReduceKind(location, getOperationName(), adaptor.getKind(), field.getKind())))
    return failure();
  return replaceAxis(location, getOperationName(), field, adaptor.getFromAttr(), adaptor.getToAttr(), types);
}

LogicalResult FlattenOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand());
  SmallVector<StringAttr> parts = toAxes(adaptor.getFrom()), axes;
  StringAttr to = adaptor.getToAttr();
  if (failed(removeAxes(location, getOperationName(), {field}, parts)))
    return failure();
  if (field.hasAxis(to))
    return refuse(location, getOperationName(), "the operand already has axis " + to.getValue());
  for (StringAttr axis : field.getAxes()) {
    if (!llvm::is_contained(parts, axis))
      axes.push_back(axis);
    else if (!llvm::is_contained(axes, to))
      axes.push_back(to);
  }
  types.push_back(FieldType::get(context, axes, field.getKind()));
  return success();
}

LogicalResult WeightsOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  StringAttr walk = adaptor.getOverAttr(), query = adaptor.getQueryAttr();
  StringRef name = getOperationName();
  if (walk == query)
    return refuse(location, name, "the walk axis and the query axis are both " + walk.getValue());
  SmallVector<StringAttr> rows;
  auto take = [&](Value value, const char *what, Kind kind) {
    FieldType field = fieldOf(value);
    if (field.getKind() != kind)
      return refuse(location, name,
                    Twine(what) + " is " + stringifyKind(field.getKind()) + "; it should be " + stringifyKind(kind));
    uniteAxes(rows, field.getAxes());
    return success();
  };
  bool free = adaptor.getWeight() == WeightFunction::Free;
  if (failed(take(adaptor.getScore(), free ? "the weight" : "the score", Kind::Real)) ||
      (adaptor.getWhere() && failed(take(adaptor.getWhere(), "the predicate", Kind::Bool))) ||
      (adaptor.getMass() && failed(take(adaptor.getMass(), "the mass", Kind::Real))))
    return failure();
  for (Value sink : adaptor.getSinks()) {
    if (fieldOf(sink).hasAxis(walk))
      return refuse(location, name, "a sink has the walk axis " + walk.getValue());
    if (failed(take(sink, "a sink", Kind::Real)))
      return failure();
  }
  llvm::erase(rows, walk);
  if (std::optional<ArrayAttr> parts = adaptor.getQueryParts())
    uniteAxes(rows, toAxes(*parts));
  else
    uniteAxes(rows, {query});
  types.push_back(WeightsType::get(context, rows, walk, query));
  return success();
}

LogicalResult ExpectOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  auto weights = cast<WeightsType>(adaptor.getWeights().getType());
  FieldType value = fieldOf(adaptor.getValue());
  StringRef name = getOperationName();
  if (!value.isReal())
    return refuse(location, name, "the value is " + stringifyKind(value.getKind()) + "; it should be real");
  if (value.hasAxis(weights.getQuery()))
    return refuse(location, name, "the value has the query axis " + weights.getQuery().getValue());
  if (Value coefficient = adaptor.getCoefficient()) {
    FieldType field = fieldOf(coefficient);
    if (!field.isReal())
      return refuse(location, name, "the coefficient is " + stringifyKind(field.getKind()) + "; it should be real");
    for (StringAttr axis : field.getAxes())
      if (axis != weights.getWalk() && !llvm::is_contained(weights.getRows(), axis))
        return refuse(location, name,
                      "the coefficient has axis " + axis.getValue() +
                          ", which is neither a row axis nor the walk axis");
  }
  SmallVector<StringAttr> axes(weights.getRows());
  uniteAxes(axes, value.getAxes());
  llvm::erase(axes, weights.getWalk());
  types.push_back(FieldType::get(context, axes, Kind::Real));
  return success();
}

LogicalResult StatOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  types.push_back(FieldType::get(context, cast<WeightsType>(adaptor.getWeights().getType()).getRows(), Kind::Real));
  return success();
}

LogicalResult ConvOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand()), weights = fieldOf(adaptor.getWeights());
  SmallVector<StringAttr> along = toAxes(adaptor.getAlong()), taps = toAxes(adaptor.getTaps());
  StringRef name = getOperationName();
  if (!field.isReal() || !weights.isReal())
    return refuse(location, name, "takes reals");
  if (along.size() != taps.size() || along.size() > 2)
    return refuse(location, name,
                  "is along " + Twine(along.size()) + " axes with " + Twine(taps.size()) +
                      " axes of taps; it should be one or two of each");
  auto others = removeAxes(location, name, {weights}, taps);
  if (failed(others) || failed(removeAxes(location, name, {field}, along)))
    return failure();
  for (StringAttr axis : taps)
    if (field.hasAxis(axis))
      return refuse(location, name, "the operand has the axis " + axis.getValue() + " of the taps");
  SmallVector<StringAttr> axes(field.getAxes());
  uniteAxes(axes, *others);
  types.push_back(FieldType::get(context, axes, Kind::Real));
  return success();
}

LogicalResult StateOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  StringAttr token = adaptor.getTokenAttr(), key = adaptor.getKeyAxisAttr(), value = adaptor.getValueAxisAttr(),
             blocks = adaptor.getBlocksAttr();
  StringRef name = getOperationName();
  SmallVector<StringAttr> own{token, key};
  if (value)
    own.push_back(value);
  if (blocks)
    own.push_back(blocks);
  for (auto [n, axis] : llvm::enumerate(own))
    if (llvm::is_contained(ArrayRef(own).take_front(n), axis))
      return refuse(location, name, "names axis " + axis.getValue() + " twice");

  SmallVector<StringAttr> batch;
  auto take = [&](Value operand, const Twine &what, Kind kind, ArrayRef<StringAttr> with,
                  ArrayRef<StringAttr> without) -> LogicalResult {
    if (!operand)
      return success();
    FieldType field = fieldOf(operand);
    if (field.getKind() != kind)
      return refuse(location, name,
                    what + " is " + stringifyKind(field.getKind()) + "; it should be " + stringifyKind(kind));
    for (StringAttr axis : with)
      if (axis && !field.hasAxis(axis))
        return refuse(location, name, what + " lacks axis " + axis.getValue());
    for (StringAttr axis : without)
      if (axis && field.hasAxis(axis))
        return refuse(location, name, what + " has axis " + axis.getValue());
    uniteAxes(batch, field.getAxes());
    return success();
  };
  if (failed(take(adaptor.getKey(), "the key", Kind::Real, {key}, {value, blocks})) ||
      failed(take(adaptor.getValue(), "the value", Kind::Real, {value}, {key, blocks})) ||
      failed(take(adaptor.getDecay(), "the decay", Kind::Real, {}, {value, blocks})) ||
      failed(take(adaptor.getErase(), "the erase vector", Kind::Real, {}, {value, blocks})) ||
      failed(take(adaptor.getWhere(), "the predicate", Kind::Bool, {}, {key, value, blocks})) ||
      failed(take(adaptor.getCommit(), "the commit", Kind::Bool, {}, {token, key, value})) ||
      failed(take(adaptor.getInitial(), "the initial state", Kind::Real, {key, value}, {token, blocks})))
    return failure();
  for (StringAttr axis : own)
    llvm::erase(batch, axis);
  types.push_back(StateType::get(context, batch, key, value, token));
  return success();
}

LogicalResult ReadOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  auto state = cast<StateType>(adaptor.getState().getType());
  FieldType query = fieldOf(adaptor.getQuery());
  StringRef name = getOperationName();
  if (!query.isReal())
    return refuse(location, name, "the query is " + stringifyKind(query.getKind()) + "; it should be real");
  if (!query.hasAxis(state.getKey()))
    return refuse(location, name, "the query lacks the key axis " + state.getKey().getValue());
  if (state.hasValueAxis() && query.hasAxis(state.getValue()))
    return refuse(location, name, "the query has the value axis " + state.getValue().getValue());
  SmallVector<StringAttr> axes(query.getAxes());
  llvm::erase(axes, state.getKey());
  uniteAxes(axes, state.getBatch());
  uniteAxes(axes, {state.getToken()});
  if (state.hasValueAxis())
    axes.push_back(state.getValue());
  types.push_back(FieldType::get(context, axes, Kind::Real));
  return success();
}

LogicalResult LastOp::inferReturnTypes(MLIRContext *context, std::optional<Location>, Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  types.push_back(FieldType::get(context, cast<StateType>(adaptor.getState().getType()).getAxes(), Kind::Real));
  return success();
}

LogicalResult EveryOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                        SmallVectorImpl<Type> &types) {
  auto state = cast<StateType>(adaptor.getState().getType());
  StringAttr blocks = adaptor.getBlocksAttr();
  SmallVector<StringAttr> axes = state.getAxes();
  if (llvm::is_contained(axes, blocks) || blocks == state.getToken())
    return refuse(location, getOperationName(), "axis " + blocks.getValue() + " is one of the state itself");
  axes.insert(axes.begin() + state.getBatch().size(), blocks);
  types.push_back(FieldType::get(context, axes, Kind::Real));
  return success();
}

//===----------------------------------------------------------------------===//
// Builders
//===----------------------------------------------------------------------===//

static ArrayAttr toAxisList(OpBuilder &builder, ArrayRef<StringRef> axes) { return builder.getStrArrayAttr(axes); }

static StorageAttr toStorage(OpBuilder &builder, std::optional<Storage> storage) {
  return storage ? StorageAttr::get(builder.getContext(), *storage) : StorageAttr();
}

void AttentionOp::build(OpBuilder &builder, OperationState &state, StringRef name, Claim claim, AxisTableAttr axes) {
  Properties &properties = state.getOrAddProperties<Properties>();
  properties.sym_name = builder.getStringAttr(name);
  properties.claim = ClaimAttr::get(builder.getContext(), claim);
  properties.axes = axes;
  state.addRegion()->emplaceBlock();
}

void InputOp::build(OpBuilder &builder, OperationState &state, AxisTableAttr table, StringRef name,
                    ArrayRef<StringRef> declared, Role role, std::optional<Storage> storage, IntervalAttr contract,
                    Value fallback, bool optional) {
  ArrayAttr axes = toAxisList(builder, declared);
  Kind kind = storage == Storage::I32 ? Kind::Int : Kind::Real;
  auto type = FieldType::get(builder.getContext(), table.expand(toAxes(axes)), kind);
  build(builder, state, type, builder.getStringAttr(name), optional ? builder.getUnitAttr() : UnitAttr(),
        RoleAttr::get(builder.getContext(), role), toStorage(builder, storage), axes, contract, fallback);
}

void OutputOp::build(OpBuilder &builder, OperationState &state, StringRef name, Value value,
                     ArrayRef<StringRef> declared, std::optional<Storage> storage, bool carry) {
  build(builder, state, builder.getStringAttr(name), value, toStorage(builder, storage), toAxisList(builder, declared),
        carry ? builder.getUnitAttr() : UnitAttr());
}

void ConstantOp::build(OpBuilder &builder, OperationState &state, double value) {
  build(builder, state, builder.getF64FloatAttr(value));
}
void ConstantOp::build(OpBuilder &builder, OperationState &state, int64_t value) {
  build(builder, state, builder.getI64IntegerAttr(value));
}
void ConstantOp::build(OpBuilder &builder, OperationState &state, bool value) {
  build(builder, state, builder.getBoolAttr(value));
}

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

template <typename OpTy> static std::vector<OpTy> opsOf(Region &body) {
  auto ops = body.getOps<OpTy>();
  return std::vector<OpTy>(ops.begin(), ops.end());
}
std::vector<InputOp> AttentionOp::getInputs() { return opsOf<InputOp>(getBody()); }
std::vector<OutputOp> AttentionOp::getOutputs() { return opsOf<OutputOp>(getBody()); }

LogicalResult InputOp::verify() {
  bool isInt = getStorage() == Storage::I32;
  if (getField().getKind() != (isInt ? Kind::Int : Kind::Real))
    return emitOpError("'") << getName() << "' is " << stringifyKind(getField().getKind()) << "; stored as "
                            << (isInt ? "i32 it is int" : "a float type it is real");
  if (Value fallback = getFallback()) {
    if (getOptional())
      return emitOpError("'") << getName() << "' is optional, that is 0 where absent, and has a fallback";
    if (getRole() == Role::Carry)
      return emitOpError("'") << getName() << "' is carried, and has a fallback";
    FieldType type = cast<FieldType>(fallback.getType());
    if (type.getKind() != getField().getKind())
      return emitOpError("'") << getName() << "' is " << stringifyKind(getField().getKind()) << " but its fallback is "
                              << stringifyKind(type.getKind());
    for (StringAttr axis : type.getAxes())
      if (!getField().hasAxis(axis))
        return emitOpError("'") << getName() << "' lacks axis " << axis.getValue() << " of its fallback";
  }
  return success();
}

SmallVector<StringAttr> WeightsOp::getQueryAxes() {
  return getQueryParts() ? toAxes(*getQueryParts()) : SmallVector<StringAttr>{getQueryAttr()};
}

LogicalResult WeightsOp::verify() {
  if (isFree() && getMass())
    return emitOpError("free weights have no mass: multiply the weight by it");
  if (isFree() && !getSinks().empty())
    return emitOpError("free weights have no sinks: nothing is divided");
  return success();
}

LogicalResult StateOp::verify() {
  if (getCommit() && !getBlocks())
    return emitOpError("has a commit without an axis of blocks");
  if (!getCommit() && getBlocks())
    return emitOpError("has an axis of blocks without a commit");
  return success();
}

LogicalResult OutputOp::verify() {
  FieldType type = cast<FieldType>(getValue().getType());
  if (type.isBool())
    return emitOpError("'") << getName() << "' is a bool; an array holds numbers";
  return success();
}

namespace {
/// Checks one operation of a body against the axis table. Types are known to be inferred ones.
struct BodyVerifier {
  AxisTableAttr table;

  /// The entry of an axis that a type or attribute may name, that is of any but a factor axis.
  AxisAttr check(Operation *op, StringAttr name) {
    AxisAttr axis = table.lookup(name);
    if (!axis) {
      op->emitOpError("axis ") << name.getValue() << " is not in the axis table";
      return {};
    }
    if (axis.isFactor()) {
      op->emitOpError("factor axis ") << name.getValue() << " should be expanded to its parts";
      return {};
    }
    return axis;
  }

  /// Declared axes against the expanded axes of a type; `exact`: as a list, else as a set that may be larger.
  LogicalResult checkDeclared(Operation *op, StringRef name, ArrayAttr list, FieldType type, bool exact) {
    SmallVector<StringAttr> declared = toAxes(list);
    for (StringAttr axis : declared)
      if (!table.lookup(axis))
        return op->emitOpError("axis ") << axis.getValue() << " is not in the axis table";
    SmallVector<StringAttr> expanded = table.expand(declared);
    for (auto [n, axis] : llvm::enumerate(expanded)) {
      if (llvm::is_contained(ArrayRef(expanded).take_front(n), axis))
        return op->emitOpError("'") << name << "' is declared twice on axis " << axis.getValue();
      if (table.lookup(axis).isWalk())
        return op->emitOpError("'") << name << "' is declared on the walk axis " << axis.getValue();
    }
    if (exact && ArrayRef(expanded) != type.getAxes())
      return op->emitOpError("'") << name << "' is declared on other axes than those of its type";
    for (StringAttr axis : type.getAxes())
      if (!llvm::is_contained(expanded, axis))
        return op->emitOpError("'") << name << "' is declared without axis " << axis.getValue() << " of its value";
    return success();
  }

  LogicalResult checkOp(Operation *op) {
    for (Type type : op->getResultTypes()) {
      SmallVector<StringAttr> axes;
      if (auto field = dyn_cast<FieldType>(type)) {
        axes.assign(field.getAxes().begin(), field.getAxes().end());
      } else if (auto state = dyn_cast<StateType>(type)) {
        axes = state.getAxes();
        axes.push_back(state.getToken());
      } else {
        ArrayRef<StringAttr> rows = cast<WeightsType>(type).getRows();
        axes.assign(rows.begin(), rows.end());
      }
      for (StringAttr axis : axes)
        if (!check(op, axis))
          return failure();
    }
    if (auto input = dyn_cast<InputOp>(op))
      return checkDeclared(op, input.getName(), input.getDeclared(), input.getField(), /*exact=*/true);
    if (auto output = dyn_cast<OutputOp>(op))
      return checkDeclared(op, output.getName(), output.getDeclared(), cast<FieldType>(output.getValue().getType()),
                           /*exact=*/false);
    if (auto size = dyn_cast<SizeOp>(op))
      return table.lookup(size.getAxis()) ? success()
                                          : op->emitOpError("axis ") << size.getAxis() << " is not in the axis table";
    if (auto position = dyn_cast<QueryPositionOp>(op))
      return success(check(op, position.getKeysAttr()) != nullptr);
    if (auto rename = dyn_cast<RenameOp>(op)) {
      AxisAttr from = check(op, rename.getFromAttr()), to = check(op, rename.getToAttr());
      if (!from || !to)
        return failure();
      // A walk may take the keys of another walk of the same axis.
      StringAttr raw = from.isWalk() ? from.getRaw() : from.getName();
      if (to.isWalk() && to.getRaw() != raw)
        return op->emitOpError("walk axis ")
               << to.getName().getValue() << " renames " << to.getRaw().getValue() << ", not " << raw.getValue();
      if (from.isWalk() && !to.isWalk() && to.getName() != raw)
        return op->emitOpError("walk axis ") << from.getName().getValue() << " is the axis " << raw.getValue()
                                             << " outside its walk, not " << to.getName().getValue();
      std::optional<int64_t> fromSize = table.getStaticSize(from.getName()), toSize = table.getStaticSize(to.getName());
      if (fromSize && toSize && *fromSize != *toSize)
        return op->emitOpError("axis ") << from.getName().getValue() << " has size " << *fromSize << ", axis "
                                        << to.getName().getValue() << " size " << *toSize;
      return success();
    }
    if (auto weights = dyn_cast<WeightsOp>(op))
      return checkWeights(weights);
    if (auto slice = dyn_cast<SliceOp>(op)) {
      SmallVector<StringAttr> parts = toAxes(slice.getAfter());
      parts.push_back(slice.getToAttr());
      return checkParts(op, slice.getFromAttr(), parts, /*whole=*/false);
    }
    if (auto concat = dyn_cast<ConcatOp>(op))
      return checkParts(op, concat.getAlongAttr(), toAxes(concat.getParts()), /*whole=*/true);
    if (auto reduce = dyn_cast<BlockReduceOp>(op)) {
      AxisAttr from = check(op, reduce.getFromAttr()), to = check(op, reduce.getToAttr());
      if (!from || !to)
        return failure();
      if (!to.isPieces())
        return op->emitOpError("axis ") << to.getName().getValue() << " is neither of blocks nor of windows";
      StringAttr raw = from.isWalk() ? from.getRaw() : from.getName();
      if (to.getRaw() != raw)
        return op->emitOpError("axis ") << to.getName().getValue() << " has the " << stringifyRelation(to.getRelation())
                                        << " of " << to.getRaw().getValue() << ", not of " << raw.getValue();
    }
    if (auto conv = dyn_cast<ConvOp>(op))
      for (StringAttr axis : toAxes(conv.getTaps()))
        if (!check(op, axis))
          return failure();
    if (auto state = dyn_cast<StateOp>(op)) {
      if (table.lookup(state.getTokenAttr()).isWalk())
        return op->emitOpError("axis ") << state.getToken() << " of the tokens is a walk axis";
      if (StringAttr blocks = state.getBlocksAttr())
        return checkBlocks(op, blocks, state.getTokenAttr());
    }
    if (auto every = dyn_cast<EveryOp>(op))
      return checkBlocks(op, every.getBlocksAttr(), cast<StateType>(every.getState().getType()).getToken());
    if (auto flatten = dyn_cast<FlattenOp>(op)) {
      AxisAttr to = check(op, flatten.getToAttr());
      AxisAttr raw = to && to.isWalk() ? table.lookup(to.getRaw()) : AxisAttr();
      if (!to)
        return failure();
      if (to.isOuter()) {
        SmallVector<StringAttr> from = toAxes(flatten.getFrom());
        for (StringAttr &axis : from)
          if (AxisAttr entry = table.lookup(axis); entry && entry.isShare() && entry.getDivisor() == 1)
            axis = entry.getRaw();
        if (ArrayRef(from) != to.getOf())
          return op->emitOpError("axis ") << to.getName().getValue() << " is not of the pairs of these axes";
        return success();
      }
      if (!raw || !raw.isFactor() || ArrayRef(toAxes(flatten.getFrom())) != raw.getOf())
        return op->emitOpError("axis ") << to.getName().getValue() << " is no walk over the product of these axes";
    }
    if (auto expect = dyn_cast<ExpectOp>(op)) {
      // Of a factor axis only the table knows the parts.
      AxisAttr query = table.lookup(cast<WeightsType>(expect.getWeights().getType()).getQuery());
      for (StringAttr axis : query ? table.expand({query.getName()}) : SmallVector<StringAttr>())
        if (cast<FieldType>(expect.getValue().getType()).hasAxis(axis))
          return op->emitOpError("the value has the query axis ") << axis.getValue();
    }
    if (auto stat = dyn_cast<StatOp>(op)) {
      auto weights = stat.getWeights().getDefiningOp<WeightsOp>();
      if (weights && weights.isFree() && stat.getKind() != StatKind::Mass)
        return op->emitOpError("free weights have no ") << stringifyStatKind(stat.getKind()) << ", only a mass";
    }
    return success();
  }

  LogicalResult checkBlocks(Operation *op, StringAttr name, StringAttr token) {
    AxisAttr blocks = check(op, name);
    if (!blocks)
      return failure();
    if (blocks.getRelation() != Relation::Blocks || blocks.getRaw() != token)
      return op->emitOpError("axis ") << name.getValue() << " has no blocks of the tokens " << token.getValue();
    return success();
  }

  LogicalResult checkWeights(WeightsOp op) {
    AxisAttr walk = check(op, op.getOverAttr());
    if (!walk)
      return failure();
    if (!walk.isWalk())
      return op.emitOpError("axis ") << walk.getName().getValue() << " is not a walk axis";
    if (walk.getQuery() != op.getQueryAttr())
      return op.emitOpError("walk axis ") << walk.getName().getValue() << " has the queries of "
                                          << walk.getQuery().getValue() << ", not of " << op.getQuery();
    AxisAttr query = table.lookup(op.getQueryAttr());
    SmallVector<StringAttr> parts;
    if (query.isFactor())
      parts.assign(query.getOf().begin(), query.getOf().end());
    if (op.getQueryParts().has_value() != query.isFactor() || (query.isFactor() && op.getQueryAxes() != parts))
      return op.emitOpError("query axis ") << op.getQuery()
                                           << (query.isFactor() ? " is a factor axis: its parts should follow 'as'"
                                                                : " is no factor axis: nothing should follow 'as'");
    return success();
  }

  /// Parts from the begin of an axis on, or all of it.
  LogicalResult checkParts(Operation *op, StringAttr whole, ArrayRef<StringAttr> parts, bool all) {
    AxisAttr axis = check(op, whole);
    if (!axis)
      return failure();
    std::optional<int64_t> size = table.getStaticSize(whole), sum = 0;
    for (StringAttr part : parts) {
      if (!check(op, part))
        return failure();
      std::optional<int64_t> partSize = table.getStaticSize(part);
      sum = sum && partSize ? std::optional(*sum + *partSize) : std::nullopt;
    }
    if (axis.isConcat()) {
      bool same = parts.size() <= axis.getOf().size() && parts == axis.getOf().take_front(parts.size()) &&
                  (!all || parts.size() == axis.getOf().size());
      if (!same)
        return op->emitOpError("axis ") << whole.getValue() << " does not consist of these parts in this order";
    }
    if (size && sum && (all ? *sum != *size : *sum > *size))
      return op->emitOpError("axis ") << whole.getValue() << " has size " << *size << ", its parts " << *sum;
    return success();
  }
};
} // namespace

LogicalResult AttentionOp::verifyRegions() {
  BodyVerifier verifier{getAxes()};
  llvm::StringMap<Operation *> names;
  llvm::StringMap<OutputOp> finals; // of carried memory
  bool hasOutput = false;
  for (Operation &op : getBody().front()) {
    if (op.getDialect() != (*this)->getDialect())
      return op.emitOpError("is not an operation of an attention");
    if (failed(verifier.checkOp(&op)))
      return failure();
    auto input = dyn_cast<InputOp>(op);
    auto output = dyn_cast<OutputOp>(op);
    if (!input && !output)
      continue;
    hasOutput |= output != nullptr;
    StringRef name = input ? input.getName() : output.getName();
    if (output && output.getCarry()) {
      if (!finals.try_emplace(name, output).second)
        return op.emitOpError("'") << name << "' is written twice";
      continue;
    }
    auto [first, isNew] = names.try_emplace(name, &op);
    if (!isNew) {
      InFlightDiagnostic diagnostic = op.emitOpError("'") << name << "' is the name of another array";
      diagnostic.attachNote(first->second->getLoc()) << "the other array";
      return diagnostic;
    }
  }
  for (auto &[name, output] : finals) {
    Operation *other = names.lookup(name);
    auto input = dyn_cast_or_null<InputOp>(other);
    if (!input || input.getRole() != Role::Carry)
      return output.emitOpError("'") << name << "' is the name of no carried input";
    if (input.getDeclaredAttr() != output.getDeclaredAttr() || input.getStorageAttr() != output.getStorageAttr())
      return output.emitOpError("'") << name << "' is another array than the carried input of this name";
  }
  if (!hasOutput)
    return emitOpError("has no output");
  return success();
}
