// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Floating-point arithmetic: f32, f64, f16, bf16 and their packed pairs. NaN results are canonical; approximate
// instructions give correctly rounded results, moved inside their documented bound when Options::perturb asks.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Exp2.h"
#include "runtime/emulator/Half.h"
#include "runtime/emulator/Lanes.h"

#include <cmath>

namespace fovea::emulator {

namespace {

template <typename T> T canonical(T v);
template <> inline float canonical(float v) { return v != v ? std::bit_cast<float>(canonicalNan) : v; }
template <> inline double canonical(double v) { return v != v ? std::bit_cast<double>(0x7fffffffffffffffull) : v; }

inline float flush(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  return std::bit_cast<float>((bits & 0x7f800000) == 0 ? bits & 0x80000000u : bits);
}
inline float saturate(float v) { return v > 0 ? (v < 1 ? v : 1.0f) : 0.0f; } // NaN: 0
inline double saturate(double v) { return v > 0 ? (v < 1 ? v : 1.0) : 0.0; }

struct FAdd {
  template <typename T> static T f(T a, T b) { return canonical<T>(a + b); }
};
struct FSub {
  template <typename T> static T f(T a, T b) { return canonical<T>(a - b); }
};
struct FMul {
  template <typename T> static T f(T a, T b) { return canonical<T>(a * b); }
};
struct FDiv {
  template <typename T> static T f(T a, T b) { return canonical<T>(a / b); }
};
struct FFma {
  template <typename T> static T f(T a, T b, T c) { return canonical<T>(std::fma(a, b, c)); }
};
template <typename T> using BitsOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
/// Equal operands may be zeros of both signs: +0 is the larger.
template <bool isMax> struct FMinMax {
  template <typename T> static T f(T a, T b) {
    using B = BitsOf<T>;
    const T same = std::bit_cast<T>(isMax ? B(std::bit_cast<B>(a) & std::bit_cast<B>(b))
                                          : B(std::bit_cast<B>(a) | std::bit_cast<B>(b)));
    const bool first = (isMax ? a > b : a < b) || b != b;
    return canonical<T>(a == b ? same : first ? a : b);
  }
};
template <bool isMax> struct FMinMaxNan {
  template <typename T> static T f(T a, T b) {
    const T r = FMinMax<isMax>::template f<T>(a, b);
    return canonical<T>(a != a ? a : b != b ? b : r);
  }
};
struct FRcp {
  template <typename T> static T f(T a) { return canonical<T>(T(1) / a); }
};
struct FSqrt {
  template <typename T> static T f(T a) { return canonical<T>(std::sqrt(a)); }
};
struct FNeg {
  template <typename T> static T f(T a) {
    return std::bit_cast<T>(BitsOf<T>(std::bit_cast<BitsOf<T>>(a) ^ (BitsOf<T>(1) << (8 * sizeof(T) - 1))));
  }
};
struct FAbs {
  template <typename T> static T f(T a) {
    return std::bit_cast<T>(BitsOf<T>(std::bit_cast<BitsOf<T>>(a) & ~(BitsOf<T>(1) << (8 * sizeof(T) - 1))));
  }
};

template <typename T, bool ftz> inline T in(SlotOf<T> s) {
  T v = std::bit_cast<T>(s);
  if constexpr (ftz)
    v = flush(v);
  return v;
}
template <typename T, bool ftz, bool sat> inline SlotOf<T> out(T v) {
  if constexpr (ftz)
    v = flush(v);
  if constexpr (sat)
    v = saturate(v);
  return std::bit_cast<SlotOf<T>>(v);
}
template <typename T, typename Op, int n, bool ftz, bool sat> void apply(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, n > 1 ? i.b : i.a), *c = slots<S>(w, n > 2 ? i.c : i.a);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) {
    if constexpr (n == 1)
      return out<T, ftz, sat>(Op::template f<T>(in<T, ftz>(a[l])));
    else if constexpr (n == 2)
      return out<T, ftz, sat>(Op::template f<T>(in<T, ftz>(a[l]), in<T, ftz>(b[l])));
    else
      return out<T, ftz, sat>(Op::template f<T>(in<T, ftz>(a[l]), in<T, ftz>(b[l]), in<T, ftz>(c[l])));
  });
}
template <typename Op, int n> Handler handler(ScalarType t, bool ftz, bool sat) {
  if (t.bits == 64)
    return apply<double, Op, n, false, false>;
  if (ftz)
    return sat ? apply<float, Op, n, true, true> : apply<float, Op, n, true, false>;
  return sat ? apply<float, Op, n, false, true> : apply<float, Op, n, false, false>;
}

/// Directed roundings of f32. extra: Round; size: 0 add, 1 sub, 2 mul, 3 fma, 4 div, 5 rcp, 6 sqrt; flag: ftz;
/// isSigned: sat.
void directed(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b >= 0 ? i.b : i.a), *c = w.r32(i.c >= 0 ? i.c : i.a);
  uint32_t *d = w.r32(i.d);
  forLanes(mask, [&](uint32_t l) {
    float x = std::bit_cast<float>(a[l]), y = std::bit_cast<float>(b[l]), z = std::bit_cast<float>(c[l]);
    if (i.flag) {
      x = flush(x);
      y = flush(y);
      z = flush(z);
    }
    double v = 0;
    const Round mode = Round(i.extra);
    // Sums of opposite numbers are -0 only when rounding down.
    auto sum = [&](double p, double q, double r) {
      double s = fmaToOdd(p, q, r);
      if (s == 0 && (p * q != 0 || std::signbit(p * q) != std::signbit(r)))
        s = mode == Round::Down ? -0.0 : 0.0;
      return s;
    };
    // A quotient or root in double is off by less than its last place; the remainder's sign makes it odd.
    auto sticky = [&](double q, double remainder) {
      if (remainder == 0 || !std::isfinite(q) || q == 0)
        return q;
      uint64_t bits = std::bit_cast<uint64_t>(q);
      const bool larger = (remainder > 0) == (q > 0); // the true value is larger in magnitude
      if (!larger)
        --bits;
      return std::bit_cast<double>(bits | 1);
    };
    switch (i.size) {
    case 0:
      v = sum(x, 1.0, y);
      break;
    case 1:
      v = sum(x, 1.0, -double(y));
      break;
    case 2:
      v = double(x) * double(y);
      break;
    case 3:
      v = sum(x, y, z);
      break;
    case 4:
    case 5: {
      const double num = i.size == 4 ? x : 1.0, den = i.size == 4 ? y : x;
      const double q = num / den;
      const double rest = std::fma(-q, den, num);
      v = sticky(q, den > 0 ? rest : -rest);
      break;
    }
    default: {
      const double q = std::sqrt(double(x));
      v = sticky(q, std::fma(-q, q, double(x)));
    }
    }
    float r = std::bit_cast<float>(doubleToF32(v, mode));
    if (i.flag)
      r = flush(r);
    if (i.isSigned)
      r = saturate(r);
    d[l] = std::bit_cast<uint32_t>(r);
  });
}

/// max/min of three operands. flag: ftz; extra bit 0: max, bit 1: NaN.
void minMax3(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c);
  auto run = [&](auto op) {
    storeLanes(w.r32(i.d), mask, [&](int l) {
      float x = std::bit_cast<float>(a[l]), y = std::bit_cast<float>(b[l]), z = std::bit_cast<float>(c[l]);
      x = i.flag ? flush(x) : x;
      y = i.flag ? flush(y) : y;
      z = i.flag ? flush(z) : z;
      return std::bit_cast<uint32_t>(op(op(x, y), z));
    });
  };
  if (i.extra & 1)
    i.extra & 2 ? run([](float x, float y) { return FMinMaxNan<true>::f(x, y); })
                : run([](float x, float y) { return FMinMax<true>::f(x, y); });
  else
    i.extra & 2 ? run([](float x, float y) { return FMinMaxNan<false>::f(x, y); })
                : run([](float x, float y) { return FMinMax<false>::f(x, y); });
}

// --- approximations ---

/// Noise in [-1, 1] for Options::perturb.
double noise(Warp &w) { return double(int64_t(w.launch->nextRandom() >> 11)) * 0x1p-52 - 1.0; }

enum class Fn { Ex2, Lg2, Rcp, Rsqrt, Sqrt, Sin, Cos, Tanh, Div };
/// The documented error bound, relative (absolute for sine and cosine in the primary range); the final rounding to f32
/// takes 2^-24 of it.
constexpr double bound(Fn f) {
  switch (f) {
  case Fn::Ex2:
  case Fn::Lg2:
    return 0x1p-22;
  case Fn::Rcp:
  case Fn::Sqrt:
    return 0x1p-23;
  case Fn::Rsqrt:
    return 0x1p-22;
  case Fn::Sin:
  case Fn::Cos:
    return 0x1p-20;
  case Fn::Tanh:
    return 0x1p-11;
  case Fn::Div:
    return 0x1p-22;
  }
  return 0;
}

template <Fn fn> double exactly(float x, float y) {
  switch (fn) {
  case Fn::Ex2:
    return exp2Double(x);
  case Fn::Lg2:
    return std::log2(double(x));
  case Fn::Rcp:
    return 1.0 / double(x);
  case Fn::Rsqrt:
    return 1.0 / std::sqrt(double(x));
  case Fn::Sqrt:
    return std::sqrt(double(x));
  case Fn::Sin:
    return std::sin(double(x));
  case Fn::Cos:
    return std::cos(double(x));
  case Fn::Tanh:
    return std::tanh(double(x));
  case Fn::Div:
    return double(x) / double(y);
  }
  return 0;
}

template <Fn fn, bool ftz> void approximate(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(fn == Fn::Div ? i.b : i.a);
  uint32_t *d = w.r32(i.d);
  if (fn == Fn::Ex2 && !w.launch->options.perturb) {
    // The hot one: vectorised.
    storeLanes(d, mask, [&](int l) {
      const float x = std::bit_cast<float>(a[l]);
      float r = float(exp2Double(x)); // flushing the input changes nothing: 2^tiny = 1
      if (ftz)
        r = flush(r);
      return x != x ? canonicalNan : std::bit_cast<uint32_t>(r);
    });
    return;
  }
  forLanes(mask, [&](uint32_t l) {
    float x = std::bit_cast<float>(a[l]), y = std::bit_cast<float>(b[l]);
    if (ftz) {
      x = flush(x);
      y = flush(y);
    }
    if (x != x || y != y) {
      d[l] = canonicalNan;
      return;
    }
    double v = exactly<fn>(x, y);
    if (w.launch->options.perturb && std::isfinite(v) && v != 0)
      v += (fn == Fn::Sin || fn == Fn::Cos ? 1.0 : v) * noise(w) * (bound(fn) - 0x1p-24);
    float r = canonical(float(v));
    if (ftz)
      r = flush(r);
    d[l] = std::bit_cast<uint32_t>(r);
  });
}
template <Fn fn> Handler approximation(bool ftz) { return ftz ? approximate<fn, true> : approximate<fn, false>; }

struct Rsqrt64 {
  template <typename T> static T f(T a) { return canonical<T>(T(1) / std::sqrt(a)); }
};

// --- 16-bit types, scalar and packed ---

template <bool bf> double widen(uint16_t h) { return bf ? bf16ToFloat(h) : f16ToFloat(h); }
template <bool bf> uint16_t shrink(double v) { return bf ? floatToBf16(oddFloat(v)) : floatToF16(oddFloat(v)); }
inline uint16_t flush16(uint16_t h, bool bf) {
  const uint16_t exponent = bf ? 0x7f80 : 0x7c00;
  return (h & exponent) == 0 ? h & 0x8000 : h;
}

enum class HalfOp : uint8_t { Add, Sub, Mul, Fma, Min, Max, MinNan, MaxNan, Neg, Abs, Ex2, Tanh };

template <bool bf, HalfOp op> uint16_t halfOp(uint16_t a, uint16_t b, uint16_t c) {
  if constexpr (op == HalfOp::Neg)
    return a ^ 0x8000;
  else if constexpr (op == HalfOp::Abs)
    return a & 0x7fff;
  const double x = widen<bf>(a), y = widen<bf>(b), z = widen<bf>(c);
  if constexpr (op == HalfOp::Add)
    return shrink<bf>(x + y);
  else if constexpr (op == HalfOp::Sub)
    return shrink<bf>(x - y);
  else if constexpr (op == HalfOp::Mul)
    return shrink<bf>(x * y);
  else if constexpr (op == HalfOp::Fma)
    return shrink<bf>(x * y + z); // the product is exact, and the sum's double rounding cannot meet a midpoint
  else if constexpr (op == HalfOp::Min)
    return shrink<bf>(FMinMax<false>::f(x, y));
  else if constexpr (op == HalfOp::Max)
    return shrink<bf>(FMinMax<true>::f(x, y));
  else if constexpr (op == HalfOp::MinNan)
    return shrink<bf>(FMinMaxNan<false>::f(x, y));
  else if constexpr (op == HalfOp::MaxNan)
    return shrink<bf>(FMinMaxNan<true>::f(x, y));
  else if constexpr (op == HalfOp::Ex2)
    return x != x ? canonicalNan16 : shrink<bf>(exp2Double(x));
  else
    return shrink<bf>(std::tanh(x));
}

/// An approximation moved inside its error bound: for ex2 2^-9.9 in f16 and 2^-7 in bf16, relative; for tanh 2^-10.987
/// and 2^-8.
template <bool bf, HalfOp op> uint16_t perturbedHalf(Warp &w, uint16_t a, bool ftz) {
  const double x = widen<bf>(a);
  if (x != x)
    return canonicalNan16;
  const double v = op == HalfOp::Ex2 ? exp2Double(x) : std::tanh(x);
  // The last rounding takes its part of the bound.
  const double all = op == HalfOp::Ex2 ? (bf ? 0x1p-7 : 0x1.12p-10) : (bf ? 0x1p-8 : 0x1.02p-11);
  const double room = std::max(0.0, all - (bf ? 0x1p-8 : 0x1p-11));
  const uint16_t r = shrink<bf>(std::isfinite(v) ? v + v * noise(w) * room : v);
  return ftz ? flush16(r, bf) : r;
}

/// flag: ftz; extra: 1 sat, 2 relu; count: elements.
template <bool bf, HalfOp op> void half(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b >= 0 ? i.b : i.a), *c = w.r32(i.c >= 0 ? i.c : i.a);
  const bool two = i.count == 2, ftz = i.flag;
  const uint8_t after = i.extra;
  auto one = [&](uint32_t x, uint32_t y, uint32_t z) -> uint32_t {
    uint16_t p = uint16_t(x), q = uint16_t(y), r = uint16_t(z);
    if constexpr (op == HalfOp::Ex2 || op == HalfOp::Tanh)
      if (w.launch->options.perturb)
        return perturbedHalf<bf, op>(w, ftz ? flush16(p, bf) : p, ftz);
    if (ftz) {
      p = flush16(p, bf);
      q = flush16(q, bf);
      r = flush16(r, bf);
    }
    uint16_t v = halfOp<bf, op>(p, q, r);
    if (ftz)
      v = flush16(v, bf);
    if (after) {
      const double value = widen<bf>(v);
      if (after == 1)
        v = shrink<bf>(saturate(value));
      else
        v = value != value ? canonicalNan16 : value > 0 ? v : 0;
    }
    return v;
  };
  storeLanes(w.r32(i.d), mask, [&](int l) {
    uint32_t v = one(a[l], b[l], c[l]);
    if (two)
      v |= one(a[l] >> 16, b[l] >> 16, c[l] >> 16) << 16;
    return v;
  });
}

template <HalfOp op> Handler halfHandler(ScalarType t) { return t.kind == 'h' ? half<true, op> : half<false, op>; }

bool isHalf(ScalarType t) { return t.kind == 'h' || t.packed || (t.kind == 'f' && t.bits == 16); }

bool sources(Decoder &d, ScalarType t, uint32_t count) {
  if (!d.arity(count + 1))
    return false;
  int32_t *in[] = {&d.inst.a, &d.inst.b, &d.inst.c};
  for (uint32_t n = 0; n < count; ++n)
    *in[n] = d.source(n + 1, t);
  d.inst.d = d.destination(0u, t);
  return !d.failed();
}

constexpr std::string_view anyFloat = "f16 f16x2 bf16 bf16x2 f32 f64";

bool decodeHalf(Decoder &d, std::string_view op, ScalarType t, bool ftz, bool sat, bool relu, bool nan) {
  if (t.kind == 'h' && (ftz || sat))
    return d.fail("bf16 has neither '.ftz' nor '.sat'");
  if (sat && relu)
    return d.fail("'.sat' and '.relu' exclude each other");
  d.inst.flag = ftz;
  d.inst.extra = sat ? 1 : relu ? 2 : 0;
  d.inst.count = t.packed ? 2 : 1;
  if (t.kind == 'h' && d.sm() < 90 && (op == "add" || op == "sub" || op == "mul"))
    return d.fail("'" + std::string(op) + "' of bf16 needs sm_90");
  if (op == "add")
    d.inst.fn = halfHandler<HalfOp::Add>(t);
  else if (op == "sub")
    d.inst.fn = halfHandler<HalfOp::Sub>(t);
  else if (op == "mul")
    d.inst.fn = halfHandler<HalfOp::Mul>(t);
  else if (op == "fma")
    d.inst.fn = halfHandler<HalfOp::Fma>(t);
  else if (op == "min")
    d.inst.fn = nan ? halfHandler<HalfOp::MinNan>(t) : halfHandler<HalfOp::Min>(t);
  else if (op == "max")
    d.inst.fn = nan ? halfHandler<HalfOp::MaxNan>(t) : halfHandler<HalfOp::Max>(t);
  else if (op == "neg")
    d.inst.fn = halfHandler<HalfOp::Neg>(t);
  else if (op == "abs")
    d.inst.fn = halfHandler<HalfOp::Abs>(t);
  else
    return d.unsupported("'" + std::string(op) + "' of a 16-bit type");
  return sources(d, t, op == "fma" ? 3 : op == "neg" || op == "abs" ? 1 : 2);
}

bool round(Decoder &d, Round &mode, bool &given) {
  const std::string_view r = d.takeAny({"rn", "rz", "rm", "rp"});
  given = !r.empty();
  mode = r == "rz" ? Round::Zero : r == "rm" ? Round::Down : r == "rp" ? Round::Up : Round::Nearest;
  return true;
}

bool decodeDirected(Decoder &d, ScalarType t, Round mode, uint8_t operation, uint32_t count, bool ftz, bool sat) {
  if (t.bits == 64)
    return d.unsupported("f64 with another rounding than .rn");
  d.inst.extra = uint8_t(mode);
  d.inst.size = operation;
  d.inst.flag = ftz;
  d.inst.isSigned = sat;
  d.inst.fn = directed;
  return sources(d, t, count);
}

/// Two f32 in one 64-bit register. flag: ftz.
template <typename Op, int n> void packedFloat(Warp &w, const Inst &i, uint32_t mask) {
  const uint64_t *a = w.r64(i.a), *b = w.r64(i.b), *c = w.r64(n > 2 ? i.c : i.a);
  const bool ftz = i.flag;
  auto one = [&](uint64_t x, uint64_t y, uint64_t z) -> uint64_t {
    float p = std::bit_cast<float>(uint32_t(x)), q = std::bit_cast<float>(uint32_t(y)),
          r = std::bit_cast<float>(uint32_t(z));
    if (ftz) {
      p = flush(p);
      q = flush(q);
      r = flush(r);
    }
    float v;
    if constexpr (n == 2)
      v = Op::template f<float>(p, q);
    else
      v = Op::template f<float>(p, q, r);
    return std::bit_cast<uint32_t>(ftz ? flush(v) : v);
  };
  storeLanes(w.r64(i.d), mask,
             [&](int l) { return one(a[l], b[l], c[l]) | one(a[l] >> 32, b[l] >> 32, c[l] >> 32) << 32; });
}

bool decodePackedFloat(Decoder &d, std::string_view op, Round mode, bool given) {
  d.inst.flag = d.take("ftz");
  if (!d.take("f32x2"))
    return d.fail("unknown modifier of '" + std::string(op) + "'");
  if (d.sm() < 100)
    return d.fail("'.f32x2' needs sm_100");
  if (mode != Round::Nearest)
    return d.unsupported("'.f32x2' with another rounding than .rn");
  const bool isFma = op == "fma";
  if (op == "mad" || (isFma && !given))
    return d.fail("'" + std::string(op) + "' has no such form");
  d.inst.fn = op == "add"   ? packedFloat<FAdd, 2>
              : op == "sub" ? packedFloat<FSub, 2>
              : op == "mul" ? packedFloat<FMul, 2>
                            : packedFloat<FFma, 3>;
  return sources(d, {'b', 64}, isFma ? 3 : 2);
}

/// f32 arithmetic on 16-bit factors or a 16-bit first term. extra bit 0: bf16; isSigned: sat; size: 0 add, 1 sub, 2
/// fma.
void mixed(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c >= 0 ? i.c : i.b);
  auto wide = [&](uint32_t v) { return i.extra ? bf16ToFloat(uint16_t(v)) : f16ToFloat(uint16_t(v)); };
  storeLanes(w.r32(i.d), mask, [&](int l) {
    const float y = std::bit_cast<float>(b[l]);
    const float v = i.size == 0   ? FAdd::f(wide(a[l]), y)
                    : i.size == 1 ? FSub::f(wide(a[l]), y)
                                  : FFma::f(wide(a[l]), wide(b[l]), std::bit_cast<float>(c[l]));
    return std::bit_cast<uint32_t>(i.isSigned ? saturate(v) : v);
  });
}

bool decodeMixed(Decoder &d, std::string_view op, Round mode, bool given, bool sat) {
  const ScalarType t = d.type("f16 bf16");
  if (d.failed())
    return false;
  if (d.sm() < 100)
    return d.fail("'" + std::string(op) + "' of mixed types needs sm_100");
  if (mode != Round::Nearest)
    return d.unsupported("mixed types with another rounding than .rn");
  const bool isFma = op == "fma";
  if ((op != "add" && op != "sub" && !isFma) || (isFma && !given))
    return d.fail("'" + std::string(op) + "' has no such form");
  if (!d.arity(isFma ? 4 : 3))
    return false;
  const ScalarType f32{'f', 32};
  d.inst.extra = t.kind == 'h';
  d.inst.isSigned = sat;
  d.inst.size = isFma ? 2 : op == "sub";
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, isFma ? t : f32);
  if (isFma)
    d.inst.c = d.source(3u, f32);
  d.inst.d = d.destination(0u, f32);
  d.inst.fn = mixed;
  return !d.failed();
}

bool decodeArithmetic(Decoder &d, std::string_view op) {
  Round mode;
  bool given;
  round(d, mode, given);
  if (d.lastModifier() == "f32x2")
    return decodePackedFloat(d, op, mode, given);
  const bool ftz = d.take("ftz"), sat = d.take("sat"), relu = op == "fma" && d.take("relu");
  ScalarType t = d.type(anyFloat);
  if (d.failed())
    return false;
  if (t.bits == 32 && !t.packed && !ftz && !relu && (d.lastModifier() == "f16" || d.lastModifier() == "bf16"))
    return decodeMixed(d, op, mode, given, sat);
  const bool isFma = op == "fma" || op == "mad";
  if (isFma && !given)
    return d.fail("'" + std::string(op) + "' needs a rounding mode");
  if (isHalf(t)) {
    if (mode != Round::Nearest || op == "mad")
      return d.fail("16-bit arithmetic rounds to nearest only");
    return decodeHalf(d, op, t, ftz, sat, relu, false);
  }
  if (relu)
    return d.fail("'.relu' needs a 16-bit type");
  if (t.bits == 64 && (ftz || sat))
    return d.fail("f64 has neither '.ftz' nor '.sat'");
  if (mode != Round::Nearest)
    return decodeDirected(d, t, mode, op == "add" ? 0 : op == "sub" ? 1 : op == "mul" ? 2 : 3, isFma ? 3 : 2, ftz, sat);
  d.inst.fn = op == "add"   ? handler<FAdd, 2>(t, ftz, sat)
              : op == "sub" ? handler<FSub, 2>(t, ftz, sat)
              : op == "mul" ? handler<FMul, 2>(t, ftz, sat)
                            : handler<FFma, 3>(t, ftz, sat);
  return sources(d, t, isFma ? 3 : 2);
}

bool decodeMinMax(Decoder &d, std::string_view op) {
  const bool ftz = d.take("ftz"), nan = d.take("NaN");
  if (d.take("xorsign"))
    return d.unsupported("'.xorsign.abs'");
  ScalarType t = d.type(anyFloat);
  if (d.failed())
    return false;
  if (isHalf(t))
    return decodeHalf(d, op, t, ftz, false, false, nan);
  if (t.bits == 64 && (ftz || nan))
    return d.fail("f64 has neither '.ftz' nor '.NaN'");
  const bool isMax = op == "max";
  if (d.operandCount() == 4 && t.bits == 32 && d.sm() >= 100) {
    d.inst.flag = ftz;
    d.inst.extra = uint8_t(isMax) | (nan ? 2 : 0);
    d.inst.fn = minMax3;
    return sources(d, t, 3);
  }
  if (nan)
    d.inst.fn = isMax ? handler<FMinMaxNan<true>, 2>(t, ftz, false) : handler<FMinMaxNan<false>, 2>(t, ftz, false);
  else
    d.inst.fn = isMax ? handler<FMinMax<true>, 2>(t, ftz, false) : handler<FMinMax<false>, 2>(t, ftz, false);
  return sources(d, t, 2);
}

bool decodeNegAbs(Decoder &d, std::string_view op) {
  const bool ftz = d.take("ftz");
  ScalarType t = d.type(anyFloat);
  if (d.failed())
    return false;
  if (isHalf(t))
    return decodeHalf(d, op, t, ftz, false, false, false);
  if (t.bits == 64 && ftz)
    return d.fail("f64 has no '.ftz'");
  d.inst.fn = op == "neg" ? handler<FNeg, 1>(t, ftz, false) : handler<FAbs, 1>(t, ftz, false);
  return sources(d, t, 1);
}

bool decodeDivision(Decoder &d) {
  Round mode = Round::Nearest;
  bool given = false;
  const std::string_view kind = d.takeAny({"approx", "full"});
  if (kind.empty())
    round(d, mode, given);
  if (kind.empty() && !given)
    return d.fail("'div' needs .approx, .full or a rounding mode");
  const bool ftz = d.take("ftz");
  ScalarType t = d.type("f32 f64");
  if (d.failed())
    return false;
  if (t.bits == 64 && (ftz || !kind.empty()))
    return d.fail("f64 division is '.rn' without '.ftz'");
  if (mode != Round::Nearest)
    return decodeDirected(d, t, mode, 4, 2, ftz, false);
  d.inst.fn = kind.empty() ? handler<FDiv, 2>(t, ftz, false) : approximation<Fn::Div>(ftz);
  return sources(d, t, 2);
}

bool decodeReciprocal(Decoder &d) {
  const std::string_view op = d.statement->opcode; // rcp, sqrt
  Round mode = Round::Nearest;
  bool given = false;
  const bool approx = d.take("approx");
  if (!approx)
    round(d, mode, given);
  if (!approx && !given)
    return d.fail("'" + std::string(op) + "' needs .approx or a rounding mode");
  const bool ftz = d.take("ftz");
  ScalarType t = d.type("f32 f64");
  if (d.failed())
    return false;
  if (t.bits == 64 && approx)
    return d.unsupported("approximate f64 arithmetic");
  if (t.bits == 64 && ftz)
    return d.fail("f64 has no '.ftz'");
  if (mode != Round::Nearest)
    return decodeDirected(d, t, mode, op == "rcp" ? 5 : 6, 1, ftz, false);
  if (approx)
    d.inst.fn = op == "rcp" ? approximation<Fn::Rcp>(ftz) : approximation<Fn::Sqrt>(ftz);
  else
    d.inst.fn = op == "rcp" ? handler<FRcp, 1>(t, ftz, false) : handler<FSqrt, 1>(t, ftz, false);
  return sources(d, t, 1);
}

bool decodeApproximate(Decoder &d) {
  const std::string_view op = d.statement->opcode; // ex2 lg2 rsqrt sin cos tanh
  if (!d.take("approx"))
    return d.fail("'" + std::string(op) + "' needs .approx");
  const bool ftz = d.take("ftz");
  ScalarType t = d.type(op == "ex2" || op == "tanh" ? "f32 f16 f16x2 bf16 bf16x2" : op == "rsqrt" ? "f32 f64" : "f32");
  if (d.failed())
    return false;
  if (isHalf(t)) {
    if (t.kind == 'h' && d.sm() < 90)
      return d.fail("'" + std::string(op) + "' of bf16 needs sm_90");
    if (ftz && (t.kind != 'h' || op == "tanh"))
      return d.fail("unknown modifier '.ftz'");
    d.inst.count = t.packed ? 2 : 1;
    d.inst.flag = ftz;
    d.inst.fn = op == "ex2" ? halfHandler<HalfOp::Ex2>(t) : halfHandler<HalfOp::Tanh>(t);
    return sources(d, t, 1);
  }
  if (t.bits == 64) {
    d.inst.fn = handler<Rsqrt64, 1>(t, false, false);
    return sources(d, t, 1);
  }
  if (op == "tanh" && ftz)
    return d.fail("'tanh' has no '.ftz'");
  d.inst.fn = op == "ex2"     ? approximation<Fn::Ex2>(ftz)
              : op == "lg2"   ? approximation<Fn::Lg2>(ftz)
              : op == "rsqrt" ? approximation<Fn::Rsqrt>(ftz)
              : op == "sin"   ? approximation<Fn::Sin>(ftz)
              : op == "cos"   ? approximation<Fn::Cos>(ftz)
                              : approximation<Fn::Tanh>(ftz);
  return sources(d, t, 1);
}

bool decodeFma(Decoder &d) { return decodeArithmetic(d, "fma"); }

template <typename T> void copysignLanes(Warp &w, const Inst &i, uint32_t mask) {
  constexpr T sign = T(1) << (8 * sizeof(T) - 1);
  const T *a = slots<T>(w, i.a), *b = slots<T>(w, i.b);
  storeLanes(slots<T>(w, i.d), mask, [&](int l) { return T((b[l] & ~sign) | (a[l] & sign)); });
}
bool decodeCopysign(Decoder &d) {
  ScalarType t = d.type("f32 f64");
  d.inst.fn = t.bits == 64 ? copysignLanes<uint64_t> : copysignLanes<uint32_t>;
  return sources(d, t, 2);
}

/// extra: class.
template <typename T> void testpLanes(Warp &w, const Inst &i, uint32_t mask) {
  const SlotOf<T> *a = slots<SlotOf<T>>(w, i.a);
  w.setPredicate(i.d, mask, collect([&](int l) {
                   const T v = std::bit_cast<T>(a[l]);
                   switch (i.extra) {
                   case 0:
                     return bool(std::isfinite(v));
                   case 1:
                     return bool(std::isinf(v));
                   case 2:
                     return !std::isnan(v);
                   case 3:
                     return bool(std::isnan(v));
                   case 4:
                     return bool(std::isnormal(v));
                   default:
                     return std::fpclassify(v) == FP_SUBNORMAL;
                   }
                 }));
}
bool decodeTestp(Decoder &d) {
  static constexpr std::string_view classes[] = {"finite", "infinite", "number", "notanumber", "normal", "subnormal"};
  int found = -1;
  for (int n = 0; n < 6 && found < 0; ++n)
    if (d.take(classes[n]))
      found = n;
  if (found < 0)
    return d.fail("unknown class of 'testp'");
  ScalarType t = d.type("f32 f64");
  if (d.failed() || !d.arity(2))
    return false;
  d.inst.extra = uint8_t(found);
  d.inst.a = d.source(1u, t);
  d.inst.d = d.predicateDestination(d.operand(0));
  d.inst.fn = t.bits == 64 ? testpLanes<double> : testpLanes<float>;
  return !d.failed();
}

bool compareFloats(uint8_t comparison, float x, float y) {
  const bool nan = x != x || y != y;
  switch (comparison) {
  case 0:
    return x == y;
  case 1:
    return !nan && x != y;
  case 2:
    return x < y;
  case 3:
    return x <= y;
  case 4:
    return x > y;
  case 5:
    return x >= y;
  case 6:
    return nan || x == y;
  case 7:
    return x != y;
  case 8:
    return nan || x < y;
  case 9:
    return nan || x <= y;
  case 10:
    return nan || x > y;
  case 11:
    return nan || x >= y;
  case 12:
    return !nan;
  default:
    return nan;
  }
}

/// Comparison of flushed or 16-bit values. size: comparison; flag: ftz; dataBits 16 f16, 17 bf16, 32; extra:
/// combination.
void setpWide(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b);
  uint32_t p = collect([&](int l) {
    float x, y;
    if (i.dataBits == 32) {
      x = flush(std::bit_cast<float>(a[l]));
      y = flush(std::bit_cast<float>(b[l]));
    } else if (i.dataBits == 17) {
      x = bf16ToFloat(uint16_t(a[l]));
      y = bf16ToFloat(uint16_t(b[l]));
    } else {
      x = f16ToFloat(i.flag ? flush16(uint16_t(a[l]), false) : uint16_t(a[l]));
      y = f16ToFloat(i.flag ? flush16(uint16_t(b[l]), false) : uint16_t(b[l]));
    }
    return compareFloats(i.size, x, y);
  });
  uint32_t q = ~p;
  if (i.extra) {
    const uint32_t c = w.predicate(i.c);
    p = i.extra == 1 ? p & c : i.extra == 2 ? p | c : p ^ c;
    q = i.extra == 1 ? q & c : i.extra == 2 ? q | c : q ^ c;
  }
  w.setPredicate(i.d, mask, p);
  if (i.d2 >= 0)
    w.setPredicate(i.d2, mask, q);
}

/// Comparison of pairs: one predicate for the low halves, one for the high halves. Fields as setpWide.
void setpPacked(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b);
  auto wide = [&](uint32_t v) {
    const uint16_t h = uint16_t(v);
    return i.dataBits == 17 ? bf16ToFloat(h) : f16ToFloat(i.flag ? flush16(h, false) : h);
  };
  uint32_t p = collect([&](int l) { return compareFloats(i.size, wide(a[l]), wide(b[l])); });
  uint32_t q = collect([&](int l) { return compareFloats(i.size, wide(a[l] >> 16), wide(b[l] >> 16)); });
  if (i.extra) {
    const uint32_t c = w.predicate(i.c);
    p = i.extra == 1 ? p & c : i.extra == 2 ? p | c : p ^ c;
    q = i.extra == 1 ? q & c : i.extra == 2 ? q | c : q ^ c;
  }
  w.setPredicate(i.d, mask, p);
  w.setPredicate(i.d2, mask, q);
}

/// The modifiers are consumed already: the integer family found .ftz or a 16-bit type and hands over.
bool decodeSetpWide(Decoder &d, bool ftz) {
  if (d.statement->opcode != "setp")
    return d.unsupported("'set' of this type");
  static constexpr std::string_view names[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                               "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};
  const std::string_view comparison = d.ast().mods[d.statement->firstMod];
  int found = -1;
  for (int n = 0; n < 14; ++n)
    if (names[n] == comparison)
      found = n;
  if (found < 0)
    return d.fail("comparison '." + std::string(comparison) + "' needs integer operands");
  const ScalarType t = d.lastType();
  if (t.packed) {
    if (t.kind == 'h' && (d.inst.flag || d.sm() < 90))
      return d.fail(d.inst.flag ? "this type has no '.ftz'" : "comparisons of bf16x2 need sm_90");
    if (!d.arity(d.inst.extra ? 4 : 3))
      return false;
    if (d.operand(0).kind != Operand::Pair)
      return d.fail("'setp' of a pair has two results, p|q");
    d.inst.size = uint8_t(found);
    d.inst.dataBits = t.kind == 'h' ? 17 : 16;
    d.inst.a = d.source(1u, t);
    d.inst.b = d.source(2u, t);
    if (d.inst.extra)
      d.inst.c = d.predicate(d.operand(3));
    d.inst.d = d.predicateDestination(d.element(d.operand(0), 0));
    d.inst.d2 = d.predicateDestination(d.element(d.operand(0), 1));
    d.inst.fn = setpPacked;
    return !d.failed();
  }
  if (t.bits == 64 || (ftz && t.kind == 'h'))
    return d.fail("this type has no '.ftz'");
  if (!d.arity(d.inst.extra ? 4 : 3))
    return false;
  d.inst.size = uint8_t(found);
  d.inst.flag = ftz || (t.bits == 16 && d.statement->modCount > 2 &&
                        d.ast().mods[d.statement->firstMod + d.statement->modCount - 2] == "ftz");
  d.inst.dataBits = t.bits == 32 ? 32 : t.kind == 'h' ? 17 : 16;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, t);
  if (d.inst.extra)
    d.inst.c = d.predicate(d.operand(3));
  if (d.operand(0).kind == Operand::Pair) {
    if (t.bits == 16)
      return d.fail("'setp' of a 16-bit float has one result");
    d.inst.d = d.predicateDestination(d.element(d.operand(0), 0));
    d.inst.d2 = d.predicateDestination(d.element(d.operand(0), 1));
  } else {
    d.inst.d = d.predicateDestination(d.operand(0));
  }
  d.inst.fn = setpWide;
  return !d.failed();
}

const OpcodeEntry table[] = {
    {"fma", decodeFma},          {"rcp", decodeReciprocal},    {"sqrt", decodeReciprocal}, {"ex2", decodeApproximate},
    {"lg2", decodeApproximate},  {"rsqrt", decodeApproximate}, {"sin", decodeApproximate}, {"cos", decodeApproximate},
    {"tanh", decodeApproximate}, {"copysign", decodeCopysign}, {"testp", decodeTestp},
};

} // namespace

bool decodeFloat(Decoder &d, std::string_view op) {
  if (op == "setp.ftz" || op == "setp.half" || op == "setp.packed")
    return decodeSetpWide(d, op == "setp.ftz");
  if (op == "add" || op == "sub" || op == "mul" || op == "mad")
    return decodeArithmetic(d, op);
  if (op == "min" || op == "max")
    return decodeMinMax(d, op);
  if (op == "neg" || op == "abs")
    return decodeNegAbs(d, op);
  if (op == "div")
    return decodeDivision(d);
  return d.fail("'" + std::string(op) + "' has no floating-point form");
}

OpcodeTable floatOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
