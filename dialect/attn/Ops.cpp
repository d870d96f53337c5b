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
static void printWord(OpAsmPrinter &printer, Operation *, ClaimAttr claim) {
  printer << stringifyClaim(claim.getValue());
}
static void printWord(OpAsmPrinter &printer, Operation *, ReduceKindAttr kind) {
  printer << stringifyReduceKind(kind.getValue());
}
static void printWord(OpAsmPrinter &printer, Operation *, StatKindAttr kind) {
  printer << stringifyStatKind(kind.getValue());
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
  bool param = succeeded(parser.parseOptionalKeyword("param"));
  role = RoleAttr::get(parser.getContext(), param ? Role::Param : Role::Input);
  return parseOutputArray(parser, storage, axes);
}
static void printInputArray(OpAsmPrinter &printer, Operation *op, RoleAttr role, StorageAttr storage, ArrayAttr axes) {
  if (role.getValue() == Role::Param)
    printer << "param ";
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

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                         SmallVectorImpl<Type> &types) {
  FieldType field = fieldOf(adaptor.getOperand());
  auto axes = removeAxes(location, getOperationName(), {field}, toAxes(adaptor.getAxes()));
  if (failed(axes))
    return failure();
  ReduceKind kind = adaptor.getKind();
  bool needsReal = kind == ReduceKind::Mean || kind == ReduceKind::LogSumExp;
  if (!isNumber(field.getKind()) || (needsReal && !field.isReal()))
    return refuse(location, getOperationName(),
                  "cannot take the " + stringifyReduceKind(kind) + " of " + stringifyKind(field.getKind()) + "s");
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

LogicalResult WeightsOp::inferReturnTypes(MLIRContext *context, std::optional<Location> location, Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  StringAttr walk = adaptor.getOverAttr(), query = adaptor.getQueryAttr();
  StringRef name = getOperationName();
  if (walk == query)
    return refuse(location, name, "the walk axis and the query axis are both " + walk.getValue());
  SmallVector<StringAttr> rows;
  FieldType score = fieldOf(adaptor.getScore());
  if (!score.isReal())
    return refuse(location, name, "the score is " + stringifyKind(score.getKind()) + "; it should be real");
  uniteAxes(rows, score.getAxes());
  if (Value where = adaptor.getWhere()) {
    if (!fieldOf(where).isBool())
      return refuse(location, name,
                    "the predicate is " + stringifyKind(fieldOf(where).getKind()) + "; it should be bool");
    uniteAxes(rows, fieldOf(where).getAxes());
  }
  for (Value sink : adaptor.getSinks()) {
    if (!fieldOf(sink).isReal())
      return refuse(location, name, "a sink is " + stringifyKind(fieldOf(sink).getKind()) + "; it should be real");
    if (fieldOf(sink).hasAxis(walk))
      return refuse(location, name, "a sink has the walk axis " + walk.getValue());
    uniteAxes(rows, fieldOf(sink).getAxes());
  }
  llvm::erase(rows, walk);
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
                    Value fallback) {
  ArrayAttr axes = toAxisList(builder, declared);
  Kind kind = storage == Storage::I32 ? Kind::Int : Kind::Real;
  auto type = FieldType::get(builder.getContext(), table.expand(toAxes(axes)), kind);
  build(builder, state, type, builder.getStringAttr(name), RoleAttr::get(builder.getContext(), role),
        toStorage(builder, storage), axes, contract, fallback);
}

void OutputOp::build(OpBuilder &builder, OperationState &state, StringRef name, Value value,
                     ArrayRef<StringRef> declared, std::optional<Storage> storage) {
  build(builder, state, builder.getStringAttr(name), value, toStorage(builder, storage), toAxisList(builder, declared));
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
      ArrayRef<StringAttr> axes =
          isa<FieldType>(type) ? cast<FieldType>(type).getAxes() : cast<WeightsType>(type).getRows();
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
      if (to.isWalk() && to.getRaw() != from.getName())
        return op->emitOpError("walk axis ") << to.getName().getValue() << " renames " << to.getRaw().getValue()
                                             << ", not " << from.getName().getValue();
      std::optional<int64_t> fromSize = table.getStaticSize(from.getName()), toSize = table.getStaticSize(to.getName());
      if (fromSize && toSize && *fromSize != *toSize)
        return op->emitOpError("axis ") << from.getName().getValue() << " has size " << *fromSize << ", axis "
                                        << to.getName().getValue() << " size " << *toSize;
      return success();
    }
    if (auto weights = dyn_cast<WeightsOp>(op)) {
      AxisAttr walk = check(op, weights.getOverAttr());
      if (!walk)
        return failure();
      if (!walk.isWalk())
        return op->emitOpError("axis ") << walk.getName().getValue() << " is not a walk axis";
      if (walk.getQuery() != weights.getQueryAttr())
        return op->emitOpError("walk axis ") << walk.getName().getValue() << " has the queries of "
                                             << walk.getQuery().getValue() << ", not of " << weights.getQuery();
    }
    return success();
  }
};
} // namespace

LogicalResult AttentionOp::verifyRegions() {
  BodyVerifier verifier{getAxes()};
  llvm::StringMap<Operation *> names;
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
    auto [first, isNew] = names.try_emplace(name, &op);
    if (!isNew) {
      InFlightDiagnostic diagnostic = op.emitOpError("'") << name << "' is the name of another array";
      diagnostic.attachNote(first->second->getLoc()) << "the other array";
      return diagnostic;
    }
  }
  if (!hasOutput)
    return emitOpError("has no output");
  return success();
}
