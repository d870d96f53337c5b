// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Types and attributes of the attn dialect: invariants, look-ups and their assembly.
#include "dialect/attn/Detail.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea::attn;

#include "dialect/attn/AttnEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialect/attn/AttnAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialect/attn/AttnTypes.cpp.inc"

void AttnDialect::registerMembers() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialect/attn/AttnTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/attn/AttnAttrs.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Axes
//===----------------------------------------------------------------------===//

void fovea::attn::uniteAxes(SmallVectorImpl<StringAttr> &axes, ArrayRef<StringAttr> more) {
  for (StringAttr axis : more)
    if (!llvm::is_contained(axes, axis))
      axes.push_back(axis);
}

SmallVector<StringAttr> fovea::attn::toAxes(ArrayAttr axes) {
  auto range = axes.getAsRange<StringAttr>();
  return SmallVector<StringAttr>(range.begin(), range.end());
}

static LogicalResult verifyDistinct(function_ref<InFlightDiagnostic()> emitError, ArrayRef<StringAttr> axes) {
  llvm::SmallPtrSet<void *, 8> seen;
  for (StringAttr axis : axes) {
    if (axis.getValue().empty())
      return emitError() << "an axis has an empty name";
    if (!seen.insert(const_cast<void *>(axis.getAsOpaquePointer())).second)
      return emitError() << "axis " << axis.getValue() << " occurs twice";
  }
  return success();
}

ParseResult fovea::attn::parseAxisNames(AsmParser &parser, SmallVectorImpl<StringAttr> &axes) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                        [&] { return parseAxisName(parser, axes.emplace_back()); });
}

void fovea::attn::printAxisNames(AsmPrinter &printer, ArrayRef<StringAttr> axes) {
  printer << '[';
  llvm::interleaveComma(axes, printer, [&](StringAttr axis) { printer.printKeywordOrString(axis.getValue()); });
  printer << ']';
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

FieldType FieldType::get(MLIRContext *context, ArrayRef<StringRef> axes, Kind kind) {
  SmallVector<StringAttr> names;
  for (StringRef axis : axes)
    names.push_back(StringAttr::get(context, axis));
  return get(context, names, kind);
}

bool FieldType::hasAxis(StringRef axis) const {
  return llvm::any_of(getAxes(), [&](StringAttr own) { return own.getValue() == axis; });
}

LogicalResult FieldType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<StringAttr> axes, Kind) {
  return verifyDistinct(emitError, axes);
}

ParseResult fovea::attn::parseFieldType(AsmParser &parser, Type &type) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef word;
  SmallVector<StringAttr> axes;
  if (parser.parseKeyword(&word))
    return failure();
  std::optional<Kind> kind = symbolizeKind(word);
  if (!kind)
    return parser.emitError(loc, "a field is real, int or bool, not '") << word << "'";
  if (parseAxisNames(parser, axes))
    return failure();
  type = FieldType::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), axes, *kind);
  return success(type != nullptr);
}

void fovea::attn::printFieldType(AsmPrinter &printer, FieldType type) {
  printer << stringifyKind(type.getKind()) << ' ';
  printAxisNames(printer, type.getAxes());
}

Type FieldType::parse(AsmParser &parser) {
  Type type;
  if (parser.parseLess() || parseFieldType(parser, type) || parser.parseGreater())
    return {};
  return type;
}

void FieldType::print(AsmPrinter &printer) const {
  printer << '<';
  printFieldType(printer, *this);
  printer << '>';
}

LogicalResult WeightsType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<StringAttr> rows,
                                  StringAttr walk, StringAttr query) {
  if (failed(verifyDistinct(emitError, rows)))
    return failure();
  if (llvm::is_contained(rows, walk))
    return emitError() << "the walk axis " << walk.getValue() << " is among the row axes";
  if (query.getValue().empty()) // a factor axis is not among the rows, its parts are
    return emitError() << "the query axis has an empty name";
  return success();
}

ParseResult fovea::attn::parseWeightsType(AsmParser &parser, Type &type) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<StringAttr> rows;
  StringAttr walk, query;
  if (parseAxisNames(parser, rows) || parser.parseKeyword("over") || parseAxisName(parser, walk) ||
      parser.parseKeyword("from") || parseAxisName(parser, query))
    return failure();
  type = WeightsType::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), rows, walk, query);
  return success(type != nullptr);
}

void fovea::attn::printWeightsType(AsmPrinter &printer, WeightsType type) {
  printAxisNames(printer, type.getRows());
  printer << " over ";
  printer.printKeywordOrString(type.getWalk().getValue());
  printer << " from ";
  printer.printKeywordOrString(type.getQuery().getValue());
}

Type WeightsType::parse(AsmParser &parser) {
  Type type;
  if (parser.parseLess() || parseWeightsType(parser, type) || parser.parseGreater())
    return {};
  return type;
}

void WeightsType::print(AsmPrinter &printer) const {
  printer << '<';
  printWeightsType(printer, *this);
  printer << '>';
}

SmallVector<StringAttr> StateType::getAxes() const {
  SmallVector<StringAttr> axes(getBatch());
  axes.push_back(getKey());
  if (hasValueAxis())
    axes.push_back(getValue());
  return axes;
}

LogicalResult StateType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<StringAttr> batch,
                                StringAttr key, StringAttr value, StringAttr token) {
  SmallVector<StringAttr> axes(batch);
  axes.append({token, key});
  if (value)
    axes.push_back(value);
  return verifyDistinct(emitError, axes);
}

ParseResult fovea::attn::parseStateType(AsmParser &parser, Type &type) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<StringAttr> batch;
  StringAttr key, value, token;
  if (parseAxisNames(parser, batch) || parseAxisName(parser, key) || parser.parseKeyword("x"))
    return failure();
  SMLoc columnsLoc = parser.getCurrentLocation();
  int64_t columns = 0;
  if (OptionalParseResult number = parser.parseOptionalInteger(columns); number.has_value()) {
    if (failed(*number))
      return failure();
    if (columns != 1)
      return parser.emitError(columnsLoc, "expected a value axis, or 1 where there is none");
  } else if (parseAxisName(parser, value)) {
    return failure();
  }
  if (parser.parseKeyword("along") || parseAxisName(parser, token))
    return failure();
  type = StateType::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), batch, key, value, token);
  return success(type != nullptr);
}

void fovea::attn::printStateType(AsmPrinter &printer, StateType type) {
  printAxisNames(printer, type.getBatch());
  printer << ' ';
  printer.printKeywordOrString(type.getKey().getValue());
  printer << " x ";
  if (type.hasValueAxis())
    printer.printKeywordOrString(type.getValue().getValue());
  else
    printer << '1';
  printer << " along ";
  printer.printKeywordOrString(type.getToken().getValue());
}

Type StateType::parse(AsmParser &parser) {
  Type type;
  if (parser.parseLess() || parseStateType(parser, type) || parser.parseGreater())
    return {};
  return type;
}

void StateType::print(AsmPrinter &printer) const {
  printer << '<';
  printStateType(printer, *this);
  printer << '>';
}

//===----------------------------------------------------------------------===//
// The axis table
//===----------------------------------------------------------------------===//

AxisAttr AxisAttr::get(MLIRContext *context, StringRef name, int64_t size) {
  return get(context, name, Relation::Plain, ArrayRef<StringRef>(), size);
}

AxisAttr AxisAttr::get(MLIRContext *context, StringRef name, Relation relation, ArrayRef<StringRef> of, int64_t size) {
  SmallVector<StringAttr> names;
  for (StringRef axis : of)
    names.push_back(StringAttr::get(context, axis));
  return get(context, StringAttr::get(context, name), relation, names, size, 0, 0, 0);
}

int64_t AxisAttr::countPieces(int64_t size) const {
  if (getRelation() == Relation::Blocks)
    return (size + getStep() - 1) / getStep();
  return size < getExtent() ? 0 : (size - getExtent()) / getStep() + 1;
}

LogicalResult AxisAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringAttr name, Relation relation,
                               ArrayRef<StringAttr> of, int64_t size, int64_t extent, int64_t step, int64_t divisor) {
  if (name.getValue().empty())
    return emitError() << "an axis has an empty name";
  if (size < 0)
    return emitError() << "axis " << name.getValue() << " has the size " << size << "; a size is at least 1";
  bool derived = relation != Relation::Plain && relation != Relation::Keys && relation != Relation::Walk;
  if (size != 0 && derived) {
    bool parts = relation == Relation::Factor || relation == Relation::Concat || relation == Relation::Outer;
    return emitError() << stringifyRelation(relation) << " axis " << name.getValue() << " has a size of its own; "
                       << (parts ? StringRef("its parts give it") : StringRef("its axis gives it"));
  }
  bool many = relation == Relation::Factor || relation == Relation::Concat;
  bool two = many || relation == Relation::Walk || relation == Relation::Outer;
  size_t wanted = relation == Relation::Plain ? 0 : two ? 2 : 1;
  if (many ? of.size() < wanted : of.size() != wanted)
    return emitError() << "axis " << name.getValue() << ", a " << stringifyRelation(relation) << " axis, refers to "
                       << of.size() << " axes; it should be " << wanted << (many ? " or more" : "");
  auto isSize = [](int64_t value) { return value >= 1 && value <= INT32_MAX; };
  bool pieces = relation == Relation::Blocks || relation == Relation::Windows;
  if (pieces ? !isSize(extent) || !isSize(step) : extent != 0 || step != 0)
    return emitError() << "axis " << name.getValue() << " has extent " << extent << " and step " << step
                       << (pieces ? "; both are from 1 to 2147483647" : "; only blocks and windows have them");
  if (relation == Relation::Blocks && extent != step)
    return emitError() << "axis " << name.getValue() << " has blocks of extent " << extent << " at a step of " << step
                       << "; they should be equal";
  if (relation == Relation::Share ? !isSize(divisor) : divisor != 0)
    return emitError() << "axis " << name.getValue() << " has the divisor " << divisor
                       << (relation == Relation::Share ? "; it is from 1 to 2147483647" : "; only shares have one");
  return success();
}

// B | D : 64 | H = Hk * G | S keys T | j walk S from T | Sb = S / 64 | Sc = windows S of 32 step 16 | E = R + P |
// F = D share 2 | P = D outer D
static ParseResult parseAxis(AsmParser &parser, AxisAttr &axis) {
  SMLoc loc = parser.getCurrentLocation();
  StringAttr name;
  SmallVector<StringAttr> of;
  Relation relation = Relation::Plain;
  int64_t size = 0, extent = 0, step = 0, divisor = 0;
  if (parseAxisName(parser, name))
    return failure();
  if (succeeded(parser.parseOptionalEqual())) {
    if (succeeded(parser.parseOptionalKeyword("windows"))) {
      relation = Relation::Windows;
      if (parseAxisName(parser, of.emplace_back()) || parser.parseKeyword("of") || parser.parseInteger(extent) ||
          parser.parseKeyword("step") || parser.parseInteger(step))
        return failure();
    } else if (parseAxisName(parser, of.emplace_back())) {
      return failure();
    } else if (succeeded(parser.parseOptionalSlash())) {
      relation = Relation::Blocks;
      if (parser.parseInteger(extent))
        return failure();
      step = extent;
    } else if (succeeded(parser.parseOptionalKeyword("share"))) {
      relation = Relation::Share;
      if (parser.parseInteger(divisor))
        return failure();
    } else if (succeeded(parser.parseOptionalKeyword("outer"))) {
      relation = Relation::Outer;
      if (parseAxisName(parser, of.emplace_back()))
        return failure();
    } else {
      bool sum = succeeded(parser.parseOptionalPlus());
      relation = sum ? Relation::Concat : Relation::Factor;
      auto next = [&] { return succeeded(sum ? parser.parseOptionalPlus() : parser.parseOptionalStar()); };
      if (sum || next())
        do {
          if (parseAxisName(parser, of.emplace_back()))
            return failure();
        } while (next());
    }
  } else if (succeeded(parser.parseOptionalKeyword("keys"))) {
    relation = Relation::Keys;
    if (parseAxisName(parser, of.emplace_back()))
      return failure();
  } else if (succeeded(parser.parseOptionalKeyword("walk"))) {
    relation = Relation::Walk;
    if (parseAxisName(parser, of.emplace_back()) || parser.parseKeyword("from") ||
        parseAxisName(parser, of.emplace_back()))
      return failure();
  }
  if (succeeded(parser.parseOptionalColon())) {
    SMLoc sizeLoc = parser.getCurrentLocation();
    if (parser.parseInteger(size))
      return failure();
    if (size < 1)
      return parser.emitError(sizeLoc, "a size is at least 1");
  }
  axis = AxisAttr::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), name, relation, of, size,
                              extent, step, divisor);
  return success(axis != nullptr);
}

static void printAxis(AsmPrinter &printer, AxisAttr axis) {
  auto name = [&](StringAttr of) {
    // After `=` the word begins a relation.
    if (of.getValue() == "windows" && axis.getName() != of)
      printer << "\"windows\"";
    else
      printer.printKeywordOrString(of.getValue());
  };
  name(axis.getName());
  switch (axis.getRelation()) {
  case Relation::Plain:
    break;
  case Relation::Factor:
    printer << " = ";
    llvm::interleave(axis.getOf(), printer, name, " * ");
    break;
  case Relation::Keys:
    printer << " keys ";
    name(axis.getQuery());
    break;
  case Relation::Walk:
    printer << " walk ";
    name(axis.getRaw());
    printer << " from ";
    name(axis.getQuery());
    break;
  case Relation::Blocks:
    printer << " = ";
    name(axis.getRaw());
    printer << " / " << axis.getExtent();
    break;
  case Relation::Windows:
    printer << " = windows ";
    name(axis.getRaw());
    printer << " of " << axis.getExtent() << " step " << axis.getStep();
    break;
  case Relation::Concat:
    printer << " = ";
    llvm::interleave(axis.getOf(), printer, name, " + ");
    break;
  case Relation::Share:
    printer << " = ";
    name(axis.getRaw());
    printer << " share " << axis.getDivisor();
    break;
  case Relation::Outer:
    printer << " = ";
    name(axis.getOf()[0]);
    printer << " outer ";
    name(axis.getOf()[1]);
    break;
  }
  if (axis.isStatic())
    printer << " : " << axis.getSize();
}

Attribute AxisAttr::parse(AsmParser &parser, Type) {
  AxisAttr axis;
  if (parser.parseLess() || parseAxis(parser, axis) || parser.parseGreater())
    return {};
  return axis;
}

void AxisAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printAxis(printer, *this);
  printer << '>';
}

namespace {
/// Static sizes of a table without cycles, each computed once.
struct StaticSizes {
  explicit StaticSizes(ArrayRef<AxisAttr> axes) : axes(axes) {}

  std::optional<int64_t> of(StringAttr name) {
    if (auto found = known.find(name); found != known.end())
      return found->second;
    std::optional<int64_t> size;
    for (AxisAttr axis : axes)
      if (axis.getName() == name)
        size = compute(axis);
    known[name] = size;
    return size;
  }

private:
  ArrayRef<AxisAttr> axes;
  llvm::DenseMap<StringAttr, std::optional<int64_t>> known;

  std::optional<int64_t> compute(AxisAttr axis) {
    if (axis.isStatic())
      return axis.getSize();
    switch (axis.getRelation()) {
    case Relation::Plain:
    case Relation::Keys:
      return std::nullopt;
    case Relation::Walk:
      return of(axis.getRaw());
    case Relation::Blocks:
    case Relation::Windows: {
      std::optional<int64_t> size = of(axis.getRaw());
      return size ? std::optional(axis.countPieces(*size)) : std::nullopt;
    }
    case Relation::Share: {
      std::optional<int64_t> size = of(axis.getRaw());
      return size ? std::optional(*size / axis.getDivisor()) : std::nullopt;
    }
    case Relation::Factor:
    case Relation::Outer:
    case Relation::Concat: {
      bool sum = axis.isConcat();
      int64_t total = sum ? 0 : 1;
      for (StringAttr part : axis.getOf()) {
        std::optional<int64_t> size = of(part);
        if (!size ||
            (sum ? __builtin_add_overflow(total, *size, &total) : __builtin_mul_overflow(total, *size, &total)))
          return std::nullopt;
      }
      return total;
    }
    }
    return std::nullopt;
  }
};
} // namespace

LogicalResult AxisTableAttr::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<AxisAttr> axes) {
  llvm::DenseMap<StringAttr, AxisAttr> table;
  for (AxisAttr axis : axes)
    if (!table.try_emplace(axis.getName(), axis).second)
      return emitError() << "axis " << axis.getName().getValue() << " is declared twice";
  for (AxisAttr axis : axes) {
    for (StringAttr of : axis.getOf()) {
      AxisAttr other = table.lookup(of);
      if (!other)
        return emitError() << "axis " << axis.getName().getValue() << " refers to " << of.getValue()
                           << ", which is not declared";
      // A factor axis stands in no type: only a walk may be over one.
      if (other.isWalk() || (other.isFactor() && !axis.isWalk()))
        return emitError() << "axis " << axis.getName().getValue() << " refers to the "
                           << stringifyRelation(other.getRelation()) << " axis " << of.getValue();
      if (axis.isKeys() && other.isKeys())
        return emitError() << "axis " << axis.getName().getValue() << " has keys for " << of.getValue()
                           << ", itself an axis of keys";
    }
    if (axis.isFactor() && failed(verifyDistinct(emitError, axis.getOf())))
      return failure();
    if (axis.isWalk() && axis.getRaw() != axis.getQuery())
      for (StringAttr of : axis.getOf())
        if (table.lookup(of).isFactor())
          return emitError() << "axis " << axis.getName().getValue() << " walks " << axis.getRaw().getValue()
                             << " from " << axis.getQuery().getValue() << "; keys and queries of the factor axis "
                             << of.getValue() << " should be the same";
  }
  // Sizes follow from other axes, so no axis may reach itself.
  llvm::DenseMap<StringAttr, bool> closed; // false while its axes are being visited
  std::function<StringAttr(AxisAttr)> findCycle = [&](AxisAttr axis) -> StringAttr {
    auto [state, isNew] = closed.try_emplace(axis.getName(), false);
    if (!isNew)
      return state->second ? StringAttr() : axis.getName();
    for (StringAttr of : axis.getOf())
      if (StringAttr cycle = findCycle(table.lookup(of)))
        return cycle;
    closed[axis.getName()] = true;
    return {};
  };
  for (AxisAttr axis : axes)
    if (StringAttr cycle = findCycle(axis))
      return emitError() << "the size of axis " << cycle.getValue() << " follows from itself";
  StaticSizes sizes(axes);
  for (AxisAttr axis : axes)
    if (axis.isShare())
      if (std::optional<int64_t> size = sizes.of(axis.getRaw()); size && *size % axis.getDivisor() != 0)
        return emitError() << "axis " << axis.getRaw().getValue() << " has size " << *size << ", which "
                           << axis.getDivisor() << " does not divide; axis " << axis.getName().getValue()
                           << " is that share of it";
  return success();
}

AxisAttr AxisTableAttr::lookup(StringRef name) const {
  for (AxisAttr axis : getAxes())
    if (axis.getName().getValue() == name)
      return axis;
  return {};
}

SmallVector<StringAttr> AxisTableAttr::expand(ArrayRef<StringAttr> declared) const {
  SmallVector<StringAttr> axes;
  for (StringAttr name : declared) {
    AxisAttr axis = lookup(name);
    if (axis && axis.isFactor())
      llvm::append_range(axes, axis.getOf());
    else
      axes.push_back(name);
  }
  return axes;
}

std::optional<int64_t> AxisTableAttr::getStaticSize(StringAttr name) const { return StaticSizes(getAxes()).of(name); }

ParseResult fovea::attn::parseTable(AsmParser &parser, AxisTableAttr &table) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<AxisAttr> axes;
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                     [&] { return parseAxis(parser, axes.emplace_back()); }))
    return failure();
  table = AxisTableAttr::getChecked([&] { return parser.emitError(loc); }, parser.getContext(), axes);
  return success(table != nullptr);
}

void fovea::attn::printTable(AsmPrinter &printer, AxisTableAttr table) {
  printer << '[';
  llvm::interleaveComma(table.getAxes(), printer, [&](AxisAttr axis) { printAxis(printer, axis); });
  printer << ']';
}

Attribute AxisTableAttr::parse(AsmParser &parser, Type) {
  AxisTableAttr table;
  if (parser.parseLess() || parseTable(parser, table) || parser.parseGreater())
    return {};
  return table;
}

void AxisTableAttr::print(AsmPrinter &printer) const {
  printer << '<';
  printTable(printer, *this);
  printer << '>';
}

//===----------------------------------------------------------------------===//
// Intervals
//===----------------------------------------------------------------------===//

bool IntervalAttr::contains(double value) const {
  if (value != value)
    return false;
  if (FloatAttr lower = getLower()) {
    double bound = lower.getValueAsDouble();
    if (getLowerOpen() ? value <= bound : value < bound)
      return false;
  }
  if (FloatAttr upper = getUpper()) {
    double bound = upper.getValueAsDouble();
    if (getUpperOpen() ? value >= bound : value > bound)
      return false;
  }
  return true;
}

LogicalResult IntervalAttr::verify(function_ref<InFlightDiagnostic()> emitError, FloatAttr lower, bool lowerOpen,
                                   FloatAttr upper, bool upperOpen) {
  if (!lower && !upper)
    return emitError() << "an interval has a bound";
  for (FloatAttr bound : {lower, upper})
    if (bound && (!bound.getType().isF64() || bound.getValue().isNaN()))
      return emitError() << "a bound of an interval is a number of type f64";
  if (lower && upper) {
    double a = lower.getValueAsDouble(), b = upper.getValueAsDouble();
    if (a > b || (a == b && (lowerOpen || upperOpen)))
      return emitError() << "the interval is empty";
  }
  return success();
}

static void printBound(AsmPrinter &printer, FloatAttr bound) { printer.printAttributeWithoutType(bound); }

static ParseResult parseBound(AsmParser &parser, FloatAttr &bound) {
  return parser.parseAttribute(bound, Float64Type::get(parser.getContext()));
}

Attribute IntervalAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  FloatAttr lower, upper;
  bool lowerOpen = false, upperOpen = false;
  if (parser.parseLess())
    return {};
  if (succeeded(parser.parseOptionalKeyword("from")) || (lowerOpen = succeeded(parser.parseOptionalKeyword("above"))))
    if (parseBound(parser, lower))
      return {};
  if (succeeded(parser.parseOptionalKeyword("to")) || (upperOpen = succeeded(parser.parseOptionalKeyword("below"))))
    if (parseBound(parser, upper))
      return {};
  if (parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(loc); }, parser.getContext(), lower, lowerOpen, upper, upperOpen);
}

void IntervalAttr::print(AsmPrinter &printer) const {
  printer << '<';
  if (getLower()) {
    printer << (getLowerOpen() ? "above " : "from ");
    printBound(printer, getLower());
  }
  if (getUpper()) {
    printer << (getLower() ? " " : "") << (getUpperOpen() ? "below " : "to ");
    printBound(printer, getUpper());
  }
  printer << '>';
}
