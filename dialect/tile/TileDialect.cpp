// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Types and attributes of the tile dialect, and their assembly.
#include "dialect/tile/TileDialect.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::tile;

#include "dialect/tile/TileDialect.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialect/tile/TileTypes.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialect/tile/TileAttrs.cpp.inc"

namespace {
/// Constants stay in the launch that uses them: tiles of a launch have layouts of its own.
struct FoldInterface : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(Region *region) const final { return isa<LaunchOp>(region->getParentOp()); }
};
} // namespace

void TileDialect::initialize() {
  addInterfaces<FoldInterface>();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialect/tile/TileTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/tile/TileAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/tile/TileOps.cpp.inc"
      >();
}

//===--- types ---===//

static void printShape(AsmPrinter &printer, ArrayRef<int64_t> shape, Type element) {
  for (int64_t size : shape) {
    if (ShapedType::isDynamic(size))
      printer << '?';
    else
      printer << size;
    printer << 'x';
  }
  printer << element;
}

Type ViewType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  auto where = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape) || parser.parseType(element) || parser.parseGreater())
    return {};
  return parser.getChecked<ViewType>(where, parser.getContext(), shape, element);
}

void ViewType::print(AsmPrinter &printer) const {
  printer << '<';
  printShape(printer, getShape(), getElementType());
  printer << '>';
}

static LogicalResult verifyElement(function_ref<InFlightDiagnostic()> emitError, Type element) {
  if (!element.isBF16() && !element.isF16() && !element.isF32() && !element.isInteger(32) && !element.isInteger(1))
    return emitError() << "expected elements of type bf16, f16, f32, i32 or i1, not " << element;
  return success();
}

LogicalResult ViewType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape, Type element) {
  for (int64_t size : shape)
    if (!ShapedType::isDynamic(size) && size < 1)
      return emitError() << "expected sizes of at least 1, not " << size;
  return verifyElement(emitError, element);
}

static LogicalResult verifyRing(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape, Type element,
                                int64_t swizzle) {
  if (shape.size() != 3)
    return emitError() << "expected stages x rows x columns";
  int64_t elements = 1;
  for (int64_t size : shape)
    // No multiprocessor has as much; below it, no number of bytes overflows.
    if (size < 1 || __builtin_mul_overflow(elements, size, &elements) || elements > (int64_t(1) << 24))
      return emitError() << "expected sizes of at least 1 and at most 2^24 elements";
  if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128)
    return emitError() << "expected a swizzle span of 0, 32, 64 or 128 bytes, not " << swizzle;
  return verifyElement(emitError, element);
}

LogicalResult SmemType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape, Type element,
                               int64_t swizzle) {
  return verifyRing(emitError, shape, element, swizzle);
}

LogicalResult ChannelType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<int64_t> shape, Type element,
                                  int64_t swizzle) {
  return verifyRing(emitError, shape, element, swizzle);
}

template <typename RingType> static Type parseRing(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type element;
  int64_t swizzle = 0;
  auto where = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseDimensionList(shape, /*allowDynamic=*/false) || parser.parseType(element) ||
      parser.parseComma() || parser.parseInteger(swizzle) || parser.parseGreater())
    return {};
  return parser.getChecked<RingType>(where, parser.getContext(), shape, element, swizzle);
}

Type SmemType::parse(AsmParser &parser) { return parseRing<SmemType>(parser); }
Type ChannelType::parse(AsmParser &parser) { return parseRing<ChannelType>(parser); }

void SmemType::print(AsmPrinter &printer) const {
  printer << '<';
  printShape(printer, getShape(), getElementType());
  printer << ", " << getSwizzle() << '>';
}

void ChannelType::print(AsmPrinter &printer) const {
  printer << '<';
  printShape(printer, getShape(), getElementType());
  printer << ", " << getSwizzle() << '>';
}

int64_t SmemType::getStageBytes() const {
  return getRows() * getColumns() * ((getElementType().getIntOrFloatBitWidth() + 7) / 8);
}

int64_t ChannelType::getStageBytes() const {
  return getRows() * getColumns() * ((getElementType().getIntOrFloatBitWidth() + 7) / 8);
}

//===--- layout ---===//

static ParseResult parseVector(AsmParser &parser, Layout::Vector &v) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&]() -> ParseResult {
    int64_t x;
    if (parser.parseInteger(x))
      return failure();
    v.push_back(x);
    return success();
  });
}

static ParseResult parseBases(AsmParser &parser, StringRef keyword, std::vector<Layout::Vector> &bases) {
  if (parser.parseKeyword(keyword) || parser.parseEqual())
    return failure();
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                        [&]() -> ParseResult { return parseVector(parser, bases.emplace_back()); });
}

Attribute LayoutAttr::parse(AsmParser &parser, Type) {
  Layout layout;
  auto where = parser.getCurrentLocation();
  if (parser.parseLess() || parseBases(parser, "reg", layout.reg) || parser.parseComma() ||
      parseBases(parser, "lane", layout.lane) || parser.parseComma() || parseBases(parser, "warp", layout.warp) ||
      parser.parseComma() || parser.parseKeyword("rep") || parser.parseEqual() ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                     [&]() -> ParseResult {
                                       Layout::Repeat repeat;
                                       if (parser.parseInteger(repeat.count) || parser.parseKeyword("x") ||
                                           parseVector(parser, repeat.step))
                                         return failure();
                                       layout.rep.push_back(repeat);
                                       return success();
                                     }) ||
      parser.parseGreater())
    return {};
  auto sameRank = [&](const Layout::Vector &v) { return v.size() == layout.rank(); };
  for (auto *bases : {&layout.reg, &layout.lane, &layout.warp})
    if (!llvm::all_of(*bases, sameRank)) {
      parser.emitError(where, "all vectors of a layout have one rank");
      return {};
    }
  for (const Layout::Repeat &repeat : layout.rep)
    if (!sameRank(repeat.step) || repeat.count < 1) {
      parser.emitError(where, "a repetition has a positive count and a step of the layout's rank");
      return {};
    }
  if (layout.reg.size() > 16 || layout.lane.size() > 5 || layout.warp.size() > 5) {
    parser.emitError(where, "a layout has at most 16 register, 5 lane and 5 warp vectors");
    return {};
  }
  return LayoutAttr::get(parser.getContext(), layout);
}

void LayoutAttr::print(AsmPrinter &printer) const { printer << '<' << getLayout().str() << '>'; }
