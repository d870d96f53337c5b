// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// arith and math operations on scalars and tiles: one loop per operation over equal numbers of elements.
#include "reference/tile/Machine.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/bit.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

namespace {

int64_t wrap(int64_t x, int width) {
  if (width == 1)
    return x & 1;
  return width >= 64 ? x : int64_t(uint64_t(x) << (64 - width)) >> (64 - width);
}
uint64_t bits(int64_t x, int width) { return width >= 64 ? uint64_t(x) : uint64_t(x) & ((uint64_t(1) << width) - 1); }
/// i1 is held as 0 or 1, but as a signed number true is -1.
int64_t asSigned(int64_t x, int width) { return width == 1 ? -x : x; }

template <double (*F)(double)> const char *unary(const Cell *const *in, Cell *out, int64_t n, const Instr &) {
  const Cell *a = in[0];
  for (int64_t i = 0; i < n; ++i)
    out[i].f = F(a[i].f);
  return nullptr;
}

template <double (*F)(double, double)> const char *binary(const Cell *const *in, Cell *out, int64_t n, const Instr &) {
  const Cell *a = in[0], *b = in[1];
  for (int64_t i = 0; i < n; ++i)
    out[i].f = F(a[i].f, b[i].f);
  return nullptr;
}

/// F(a, b, width) on sign-extended operands; the result is wrapped to the width.
template <int64_t (*F)(int64_t, int64_t, int)>
const char *integer(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  const Cell *a = in[0], *b = in[1];
  int width = instr.to.width;
  for (int64_t i = 0; i < n; ++i)
    out[i].n = wrap(F(a[i].n, b[i].n, width), width);
  return nullptr;
}

template <int64_t (*F)(int64_t, int64_t, int)>
const char *division(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  const Cell *a = in[0], *b = in[1];
  int width = instr.to.width;
  for (int64_t i = 0; i < n; ++i) {
    if (b[i].n == 0)
      return "divides by zero";
    if (b[i].n == -1 && a[i].n == std::numeric_limits<int64_t>::min())
      return "divides with overflow";
    out[i].n = wrap(F(a[i].n, b[i].n, width), width);
  }
  return nullptr;
}

template <int64_t (*F)(int64_t, int64_t, int)>
const char *shift(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  const Cell *a = in[0], *b = in[1];
  int width = instr.to.width;
  for (int64_t i = 0; i < n; ++i) {
    if (bits(b[i].n, width) >= uint64_t(width))
      return "shifts by at least the width of its type";
    out[i].n = wrap(F(a[i].n, b[i].n, width), width);
  }
  return nullptr;
}

//===--- floats ---===//

double add(double a, double b) { return a + b; }
double sub(double a, double b) { return a - b; }
double mul(double a, double b) { return a * b; }
double div(double a, double b) { return a / b; }
double neg(double a) { return -a; }
double absolute(double a) { return std::fabs(a); }
double maximum(double a, double b) { return a != a || b != b ? std::nan("") : (a > b ? a : b); }
double minimum(double a, double b) { return a != a || b != b ? std::nan("") : (a < b ? a : b); }
// A NaN operand gives way to the other.
double maxnum(double a, double b) { return a > b || b != b ? a : b; }
double minnum(double a, double b) { return a < b || b != b ? a : b; }
double remainder(double a, double b) { return std::fmod(a, b); }
double power(double a, double b) { return std::pow(a, b); }
double copySign(double a, double b) { return std::copysign(a, b); }
double arcTangent2(double a, double b) { return std::atan2(a, b); }
double exponential(double a) { return std::exp(a); }
double exponential2(double a) { return std::exp2(a); }
double exponentialMinus1(double a) { return std::expm1(a); }
double logarithm(double a) { return std::log(a); }
double logarithm2(double a) { return std::log2(a); }
double logarithm10(double a) { return std::log10(a); }
double logarithm1Plus(double a) { return std::log1p(a); }
double squareRoot(double a) { return std::sqrt(a); }
double reciprocalRoot(double a) { return 1.0 / std::sqrt(a); }
double sine(double a) { return std::sin(a); }
double cosine(double a) { return std::cos(a); }
double tangent(double a) { return std::tan(a); }
double hyperbolicTangent(double a) { return std::tanh(a); }
double errorFunction(double a) { return std::erf(a); }
double complementaryError(double a) { return std::erfc(a); }
double roundDown(double a) { return std::floor(a); }
double roundUp(double a) { return std::ceil(a); }
double roundHalfAway(double a) { return std::round(a); }
double roundHalfEven(double a) { return std::nearbyint(a); }
double truncate(double a) { return std::trunc(a); }

const char *fma(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  // A product of two f32 is exact in double, and fmaf rounds once where double and then f32 would round twice.
  if (instr.roundsToF32)
    for (int64_t i = 0; i < n; ++i)
      out[i].f = std::fmaf(float(in[0][i].f), float(in[1][i].f), float(in[2][i].f));
  else
    for (int64_t i = 0; i < n; ++i)
      out[i].f = std::fma(in[0][i].f, in[1][i].f, in[2][i].f);
  return nullptr;
}

const char *copy(const Cell *const *in, Cell *out, int64_t n, const Instr &) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = in[0][i];
  return nullptr;
}

const char *truncateFloat(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  Type type = getElementTypeOrSelf(instr.op->getResult(0).getType());
  if (type.isBF16()) {
    // The common case, by its bits: round to nearest even, keeping NaN a NaN.
    for (int64_t i = 0; i < n; ++i) {
      float f = float(in[0][i].f);
      uint32_t b = llvm::bit_cast<uint32_t>(f);
      b = f != f ? 0x7fc00000u : (b + 0x7fffu + (b >> 16 & 1)) & 0xffff0000u;
      out[i].f = llvm::bit_cast<float>(b);
    }
    return nullptr;
  }
  for (int64_t i = 0; i < n; ++i)
    out[i].f = roundToStorage(in[0][i].f, type);
  return nullptr;
}

//===--- integers ---===//

int64_t addi(int64_t a, int64_t b, int) { return int64_t(uint64_t(a) + uint64_t(b)); }
int64_t subi(int64_t a, int64_t b, int) { return int64_t(uint64_t(a) - uint64_t(b)); }
int64_t muli(int64_t a, int64_t b, int) { return int64_t(uint64_t(a) * uint64_t(b)); }
int64_t andi(int64_t a, int64_t b, int) { return a & b; }
int64_t ori(int64_t a, int64_t b, int) { return a | b; }
int64_t xori(int64_t a, int64_t b, int) { return a ^ b; }
int64_t maxsi(int64_t a, int64_t b, int w) { return asSigned(a, w) > asSigned(b, w) ? a : b; }
int64_t minsi(int64_t a, int64_t b, int w) { return asSigned(a, w) < asSigned(b, w) ? a : b; }
int64_t maxui(int64_t a, int64_t b, int w) { return bits(a, w) > bits(b, w) ? a : b; }
int64_t minui(int64_t a, int64_t b, int w) { return bits(a, w) < bits(b, w) ? a : b; }
int64_t divsi(int64_t a, int64_t b, int w) { return asSigned(a, w) / asSigned(b, w); }
int64_t remsi(int64_t a, int64_t b, int w) { return asSigned(a, w) % asSigned(b, w); }
int64_t divui(int64_t a, int64_t b, int w) { return int64_t(bits(a, w) / bits(b, w)); }
int64_t remui(int64_t a, int64_t b, int w) { return int64_t(bits(a, w) % bits(b, w)); }
int64_t floordivsi(int64_t a, int64_t b, int w) {
  a = asSigned(a, w), b = asSigned(b, w);
  return a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
}
int64_t ceildivsi(int64_t a, int64_t b, int w) {
  a = asSigned(a, w), b = asSigned(b, w);
  return a / b + ((a % b != 0) && ((a < 0) == (b < 0)));
}
int64_t ceildivui(int64_t a, int64_t b, int w) {
  uint64_t x = bits(a, w), y = bits(b, w);
  return int64_t(x / y + (x % y != 0));
}
int64_t shli(int64_t a, int64_t b, int) { return int64_t(uint64_t(a) << b); }
int64_t shrsi(int64_t a, int64_t b, int w) { return asSigned(a, w) >> b; }
int64_t shrui(int64_t a, int64_t b, int w) { return int64_t(bits(a, w) >> b); }

/// Signed widening and narrowing: i1 true becomes -1.
const char *resizeSigned(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  for (int64_t i = 0; i < n; ++i)
    out[i].n = wrap(asSigned(in[0][i].n, instr.from.width), instr.to.width);
  return nullptr;
}
const char *resizeUnsigned(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  for (int64_t i = 0; i < n; ++i)
    out[i].n = wrap(int64_t(bits(in[0][i].n, instr.from.width)), instr.to.width);
  return nullptr;
}
const char *signedToFloat(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  for (int64_t i = 0; i < n; ++i)
    out[i].f = double(asSigned(in[0][i].n, instr.from.width));
  return nullptr;
}
const char *unsignedToFloat(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  for (int64_t i = 0; i < n; ++i)
    out[i].f = double(bits(in[0][i].n, instr.from.width));
  return nullptr;
}
template <bool isSigned> const char *floatToInteger(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  double high = std::ldexp(1.0, std::min(instr.to.width, 63) - (isSigned && instr.to.width < 64));
  double low = isSigned ? -high : 0.0;
  for (int64_t i = 0; i < n; ++i) {
    double x = std::trunc(in[0][i].f);
    if (!(x >= low && x < high))
      return "converts a float that its integer type cannot hold";
    out[i].n = wrap(int64_t(x), instr.to.width);
  }
  return nullptr;
}
const char *absoluteInteger(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  for (int64_t i = 0; i < n; ++i)
    out[i].n = wrap(in[0][i].n < 0 ? int64_t(-uint64_t(in[0][i].n)) : in[0][i].n, instr.to.width);
  return nullptr;
}

/// The bits of a float as an integer and the reverse; both 32 or both 16 bits wide, or the same type.
const char *reinterpret(const Cell *const *in, Cell *out, int64_t n, const Instr &instr) {
  if (instr.from.isFloat == instr.to.isFloat)
    return copy(in, out, n, instr);
  for (int64_t i = 0; i < n; ++i) {
    if (instr.from.isFloat)
      out[i].n = int32_t(llvm::bit_cast<uint32_t>(float(in[0][i].f)));
    else
      out[i].f = llvm::bit_cast<float>(uint32_t(in[0][i].n));
  }
  return nullptr;
}

const char *select(const Cell *const *in, Cell *out, int64_t n, const Instr &) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = in[0][i].n ? in[1][i] : in[2][i];
  return nullptr;
}

/// A kernel that applies a predicate without state.
template <typename F> Kernel compareFloats(F) {
  return [](const Cell *const *in, Cell *out, int64_t n, const Instr &instr) -> const char * {
    for (int64_t i = 0; i < n; ++i)
      out[i].n = F()(in[0][i].f, in[1][i].f);
    return nullptr;
  };
}
bool unordered(double a, double b) { return a != a || b != b; }

Kernel floatComparison(arith::CmpFPredicate predicate) {
  using P = arith::CmpFPredicate;
  switch (predicate) {
  case P::AlwaysFalse:
    return compareFloats([](double, double) { return false; });
  case P::OEQ:
    return compareFloats([](double a, double b) { return a == b; });
  case P::OGT:
    return compareFloats([](double a, double b) { return a > b; });
  case P::OGE:
    return compareFloats([](double a, double b) { return a >= b; });
  case P::OLT:
    return compareFloats([](double a, double b) { return a < b; });
  case P::OLE:
    return compareFloats([](double a, double b) { return a <= b; });
  case P::ONE:
    return compareFloats([](double a, double b) { return a < b || a > b; });
  case P::ORD:
    return compareFloats([](double a, double b) { return !unordered(a, b); });
  case P::UEQ:
    return compareFloats([](double a, double b) { return a == b || unordered(a, b); });
  case P::UGT:
    return compareFloats([](double a, double b) { return !(a <= b); });
  case P::UGE:
    return compareFloats([](double a, double b) { return !(a < b); });
  case P::ULT:
    return compareFloats([](double a, double b) { return !(a >= b); });
  case P::ULE:
    return compareFloats([](double a, double b) { return !(a > b); });
  case P::UNE:
    return compareFloats([](double a, double b) { return a != b; });
  case P::UNO:
    return compareFloats([](double a, double b) { return unordered(a, b); });
  case P::AlwaysTrue:
    return compareFloats([](double, double) { return true; });
  }
  return nullptr;
}

/// A kernel that applies a predicate without state.
template <typename F> Kernel compareSigned(F) {
  return [](const Cell *const *in, Cell *out, int64_t n, const Instr &instr) -> const char * {
    for (int64_t i = 0; i < n; ++i)
      out[i].n = F()(asSigned(in[0][i].n, instr.from.width), asSigned(in[1][i].n, instr.from.width));
    return nullptr;
  };
}
/// A kernel that applies a predicate without state.
template <typename F> Kernel compareUnsigned(F) {
  return [](const Cell *const *in, Cell *out, int64_t n, const Instr &instr) -> const char * {
    for (int64_t i = 0; i < n; ++i)
      out[i].n = F()(bits(in[0][i].n, instr.from.width), bits(in[1][i].n, instr.from.width));
    return nullptr;
  };
}

Kernel integerComparison(arith::CmpIPredicate predicate) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq:
    return compareSigned([](int64_t a, int64_t b) { return a == b; });
  case P::ne:
    return compareSigned([](int64_t a, int64_t b) { return a != b; });
  case P::slt:
    return compareSigned([](int64_t a, int64_t b) { return a < b; });
  case P::sle:
    return compareSigned([](int64_t a, int64_t b) { return a <= b; });
  case P::sgt:
    return compareSigned([](int64_t a, int64_t b) { return a > b; });
  case P::sge:
    return compareSigned([](int64_t a, int64_t b) { return a >= b; });
  case P::ult:
    return compareUnsigned([](uint64_t a, uint64_t b) { return a < b; });
  case P::ule:
    return compareUnsigned([](uint64_t a, uint64_t b) { return a <= b; });
  case P::ugt:
    return compareUnsigned([](uint64_t a, uint64_t b) { return a > b; });
  case P::uge:
    return compareUnsigned([](uint64_t a, uint64_t b) { return a >= b; });
  }
  return nullptr;
}

const llvm::StringMap<Kernel> &table() {
  static const llvm::StringMap<Kernel> kernels = {
      {"arith.addf", binary<add>},
      {"arith.subf", binary<sub>},
      {"arith.mulf", binary<mul>},
      {"arith.divf", binary<div>},
      {"arith.remf", binary<remainder>},
      {"arith.maximumf", binary<maximum>},
      {"arith.minimumf", binary<minimum>},
      {"arith.maxnumf", binary<maxnum>},
      {"arith.minnumf", binary<minnum>},
      {"arith.negf", unary<neg>},
      {"arith.extf", copy},
      {"arith.addi", integer<addi>},
      {"arith.subi", integer<subi>},
      {"arith.muli", integer<muli>},
      {"arith.andi", integer<andi>},
      {"arith.ori", integer<ori>},
      {"arith.xori", integer<xori>},
      {"arith.maxsi", integer<maxsi>},
      {"arith.minsi", integer<minsi>},
      {"arith.maxui", integer<maxui>},
      {"arith.minui", integer<minui>},
      {"arith.divsi", division<divsi>},
      {"arith.divui", division<divui>},
      {"arith.remsi", division<remsi>},
      {"arith.remui", division<remui>},
      {"arith.floordivsi", division<floordivsi>},
      {"arith.ceildivsi", division<ceildivsi>},
      {"arith.ceildivui", division<ceildivui>},
      {"arith.shli", shift<shli>},
      {"arith.shrsi", shift<shrsi>},
      {"arith.shrui", shift<shrui>},
      {"arith.extsi", resizeSigned},
      {"arith.extui", resizeUnsigned},
      {"arith.trunci", resizeUnsigned},
      {"arith.index_cast", resizeSigned},
      {"arith.index_castui", resizeUnsigned},
      {"arith.sitofp", signedToFloat},
      {"arith.uitofp", unsignedToFloat},
      {"arith.fptosi", floatToInteger<true>},
      {"arith.fptoui", floatToInteger<false>},
      {"arith.select", select},
      {"math.absf", unary<absolute>},
      {"math.absi", absoluteInteger},
      {"math.exp", unary<exponential>},
      {"math.exp2", unary<exponential2>},
      {"math.expm1", unary<exponentialMinus1>},
      {"math.log", unary<logarithm>},
      {"math.log2", unary<logarithm2>},
      {"math.log10", unary<logarithm10>},
      {"math.log1p", unary<logarithm1Plus>},
      {"math.sqrt", unary<squareRoot>},
      {"math.rsqrt", unary<reciprocalRoot>},
      {"math.sin", unary<sine>},
      {"math.cos", unary<cosine>},
      {"math.tan", unary<tangent>},
      {"math.tanh", unary<hyperbolicTangent>},
      {"math.erf", unary<errorFunction>},
      {"math.erfc", unary<complementaryError>},
      {"math.floor", unary<roundDown>},
      {"math.ceil", unary<roundUp>},
      {"math.round", unary<roundHalfAway>},
      {"math.roundeven", unary<roundHalfEven>},
      {"math.trunc", unary<truncate>},
      {"math.powf", binary<power>},
      {"math.atan2", binary<arcTangent2>},
      {"math.copysign", binary<copySign>},
      {"math.fma", fma},
      {"tile.splat", copy},
      {"tile.convert_layout", copy},
  };
  return kernels;
}

} // namespace

double fovea::tile::roundToStorage(double value, Type type) {
  if (!isa<FloatType>(type) || type.isF64() || value != value || std::isinf(value))
    return value;
  if (type.isF32())
    return float(value);
  if (!type.isBF16() && !type.isF16())
    return value;
  int mantissa = type.isBF16() ? 7 : 10, lowest = type.isBF16() ? -126 : -14;
  if (value == 0)
    return value;
  int exponent = std::max(std::ilogb(value), lowest);
  // nearbyint rounds to even in the default mode, which nothing here changes.
  double result = std::ldexp(std::nearbyint(std::ldexp(value, mantissa - exponent)), exponent - mantissa);
  double limit = type.isBF16() ? std::ldexp(2.0 - std::ldexp(1.0, -7), 127) : 65504.0;
  return std::fabs(result) > limit ? std::copysign(std::numeric_limits<double>::infinity(), value) : result;
}

bool machine::decodeElementwise(Operation *op, const RunOptions &options, Instr &instr) {
  if (op->getNumResults() != 1 || op->getNumOperands() == 0)
    return false;
  bool rounds = options.precision != Precision::Exact;
  instr.roundsToF32 = rounds && getElementTypeOrSelf(op->getResult(0).getType()).isF32();
  if (auto compare = dyn_cast<arith::CmpFOp>(op)) {
    instr.kernel = floatComparison(compare.getPredicate());
  } else if (auto compare = dyn_cast<arith::CmpIOp>(op)) {
    instr.kernel = integerComparison(compare.getPredicate());
  } else if (isa<arith::TruncFOp>(op)) {
    instr.kernel = options.precision == Precision::Rounded ? truncateFloat : copy;
  } else if (isa<arith::BitcastOp>(op)) {
    if (instr.from.isFloat != instr.to.isFloat && (instr.from.width != 32 || instr.to.width != 32))
      return false;
    instr.kernel = reinterpret;
  } else if (auto found = table().find(op->getName().getStringRef()); found != table().end()) {
    instr.kernel = found->second;
    if (instr.kernel == copy)
      instr.roundsToF32 = false;
  } else {
    return false;
  }
  instr.run = runElementwise;
  return instr.kernel != nullptr;
}

Step machine::runElementwise(Thread &thread, const Instr &instr) {
  const Cell *in[4];
  std::vector<Cell> spread;
  for (unsigned k = 0; k < instr.in.size(); ++k) {
    in[k] = thread.get(instr, k);
    if (instr.spread >> k & 1) {
      spread.assign(instr.elements, in[k][0]);
      in[k] = spread.data();
    }
  }
  Cell *out = thread.result(instr);
  if (const char *message = instr.kernel(in, out, instr.elements, instr))
    return thread.fail(instr, message);
  if (instr.roundsToF32)
    for (int64_t i = 0; i < instr.elements; ++i)
      out[i].f = float(out[i].f);
  return Step::Next;
}
