// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Conversions: every pair of integer and floating-point types, packed halves, fp8, tf32.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Half.h"
#include "runtime/emulator/Lanes.h"

#include <algorithm>
#include <cmath>

namespace fovea::emulator {

namespace {

// Inst fields: size = source type code, count = destination type code, extra = rounding (Mode), flag = ftz,
// isSigned = sat, uniform = relu, dataBits = width of the destination register, wideData = source register has 64 bits.
enum Code : uint8_t { U8, U16, U32, U64, S8, S16, S32, S64, F16, Bf16, F32, F64, None };
enum Mode : uint8_t { Rn, Rz, Rm, Rp, Rni, Rzi, Rmi, Rpi };

Code code(ScalarType t) {
  const int size = t.bits == 8 ? 0 : t.bits == 16 ? 1 : t.bits == 32 ? 2 : 3;
  if (t.kind == 'u' || t.kind == 'b')
    return Code(U8 + size);
  if (t.kind == 's')
    return Code(S8 + size);
  if (t.kind == 'h')
    return Bf16;
  return t.bits == 16 ? F16 : t.bits == 32 ? F32 : F64;
}
bool isInt(Code c) { return c <= S64; }

Round roundOf(uint8_t mode) {
  static constexpr Round modes[] = {Round::Nearest, Round::Zero, Round::Down, Round::Up};
  return modes[mode & 3];
}

/// Reads a lane as a sign- or zero-extended integer.
int64_t readInt(Code c, uint64_t v) {
  switch (c) {
  case U8:
    return uint8_t(v);
  case U16:
    return uint16_t(v);
  case U32:
    return uint32_t(v);
  case S8:
    return int8_t(v);
  case S16:
    return int16_t(v);
  case S32:
    return int32_t(v);
  default:
    return int64_t(v);
  }
}
double readFloat(Code c, uint64_t v, bool ftz) {
  switch (c) {
  case F16:
    return f16ToFloat(uint16_t(v));
  case Bf16:
    return bf16ToFloat(uint16_t(v));
  case F32:
    if (ftz && (v & 0x7f800000) == 0)
      v &= 0x80000000u;
    return std::bit_cast<float>(uint32_t(v));
  default:
    return std::bit_cast<double>(v);
  }
}
double roundInt(double v, uint8_t mode) {
  switch (mode) {
  case Rni:
    return std::nearbyint(v);
  case Rzi:
    return std::trunc(v);
  case Rmi:
    return std::floor(v);
  default:
    return std::ceil(v);
  }
}
int bitsOf(Code c) { return 8 << (c & 3); }

uint64_t floatToInt(double v, Code from, Code to, uint8_t mode) {
  const int bits = bitsOf(to);
  if (v != v)
    return from == F64 || bits == 64 ? 1ull << (bits - 1) : 0;
  v = roundInt(v, mode);
  if (to >= S8) {
    const double low = -std::ldexp(1.0, bits - 1), high = std::ldexp(1.0, bits - 1);
    if (v < low)
      return uint64_t(INT64_MIN >> (64 - bits));
    if (v >= high)
      return ~(~0ull << (bits - 1));
    return uint64_t(int64_t(v));
  }
  if (v < 0)
    return 0;
  if (v >= std::ldexp(1.0, bits))
    return bits == 64 ? ~0ull : (1ull << bits) - 1;
  return uint64_t(v);
}

/// An integer as a double rounded to odd (53 bits are enough for what follows).
double intToOdd(uint64_t v, bool isUnsigned) {
  using s128 = __int128;
  const s128 exact = isUnsigned ? s128(v) : s128(int64_t(v));
  const double d = isUnsigned ? double(v) : double(int64_t(v));
  const s128 back = s128(d);
  uint64_t bits = std::bit_cast<uint64_t>(d);
  if (back == exact || (bits & 1))
    return d;
  const bool up = (exact < 0 ? -exact : exact) > (back < 0 ? -back : back);
  return std::bit_cast<double>(up ? bits + 1 : bits - 1);
}

/// An integer as a double in one rounding.
double intToDouble(uint64_t v, bool isUnsigned, Round mode) {
  using s128 = __int128;
  const s128 exact = isUnsigned ? s128(v) : s128(int64_t(v));
  const double d = isUnsigned ? double(v) : double(int64_t(v));
  const s128 back = s128(d);
  const bool low = back<exact, high = back> exact;
  const bool up = low && (mode == Round::Up || (mode == Round::Zero && exact < 0));
  const bool down = high && (mode == Round::Down || (mode == Round::Zero && exact > 0));
  return up ? std::nextafter(d, INFINITY) : down ? std::nextafter(d, -INFINITY) : d;
}

uint64_t writeFloat(double v, Code to, const Inst &i) {
  if (i.uniform) // relu: NaN stays
    v = v != v || v > 0 ? v : 0.0;
  if (i.isSigned)
    v = v > 0 ? std::min(v, 1.0) : 0.0;
  const Round mode = roundOf(i.extra < Rni ? i.extra : 0);
  switch (to) {
  case F16:
    return doubleToF16(v, mode);
  case Bf16:
    return doubleToBf16(v, mode);
  case F32: {
    uint32_t r = doubleToF32(v, mode);
    if (i.flag && (r & 0x7f800000) == 0)
      r &= 0x80000000u;
    return r;
  }
  default:
    return v != v ? 0x7fffffffffffffffull : std::bit_cast<uint64_t>(v);
  }
}

uint64_t clampInt(int64_t v, Code from, Code to) {
  const int bits = bitsOf(to);
  if (to >= S8) {
    if (from == U64 && v < 0)
      return ~(~0ull << (bits - 1));
    const int64_t high = bits == 64 ? INT64_MAX : (1ll << (bits - 1)) - 1;
    return uint64_t(std::clamp(v, -high - 1, high));
  }
  if (from >= S8 && v < 0)
    return 0;
  const uint64_t high = bits == 64 ? ~0ull : (1ull << bits) - 1;
  return std::min(uint64_t(v), high);
}

uint64_t convertOne(const Inst &i, uint64_t in) {
  const Code from = Code(i.size), to = Code(i.count);
  if (isInt(from) && isInt(to)) {
    const int64_t v = readInt(from, in);
    return uint64_t(readInt(to, i.isSigned ? clampInt(v, from, to) : uint64_t(v)));
  }
  if (isInt(from) && to == F64)
    return writeFloat(intToDouble(uint64_t(readInt(from, in)), from == U64, roundOf(i.extra < Rni ? i.extra : 0)), to,
                      i);
  if (isInt(from))
    return writeFloat(intToOdd(uint64_t(readInt(from, in)), from == U64), to, i);
  const double v = readFloat(from, in, i.flag);
  if (isInt(to))
    return uint64_t(readInt(to, floatToInt(v, from, to, i.extra)));
  return writeFloat(i.extra >= Rni ? roundInt(v, i.extra) : v, to, i);
}

void convert(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a32 = w.r32(i.a);
  const uint64_t *a64 = w.r64(i.a);
  const uint32_t keep = i.dataBits == 16 ? 0xffff : fullMask;
  forLanes(mask, [&](uint32_t l) {
    const uint64_t r = convertOne(i, i.wideData ? a64[l] : a32[l]);
    if (i.dataBits == 64)
      w.r64(i.d)[l] = r;
    else
      w.r32(i.d)[l] = uint32_t(r) & keep;
  });
}

// The common ones, vectorised.
template <typename From, typename To> void convertInt(Warp &w, const Inst &i, uint32_t mask) {
  const SlotOf<From> *a = slots<SlotOf<From>>(w, i.a);
  storeLanes(slots<SlotOf<To>>(w, i.d), mask, [&](int l) { return pack<To>(To(unpack<From>(a[l]))); });
}
/// The source register has 64 bits, of which the low ones count.
template <typename From, typename To> void convertIntWide(Warp &w, const Inst &i, uint32_t mask) {
  const uint64_t *a = w.r64(i.a);
  storeLanes(slots<SlotOf<To>>(w, i.d), mask, [&](int l) { return pack<To>(To(From(a[l]))); });
}
void convertS32F32(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a);
  storeLanes(w.r32(i.d), mask, [&](int l) { return std::bit_cast<uint32_t>(float(int32_t(a[l]))); });
}
template <bool bf> void narrowPair(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b);
  auto one = [](uint32_t bits) -> uint32_t {
    const float f = std::bit_cast<float>(bits);
    return bf ? floatToBf16(f) : floatToF16(f);
  };
  storeLanes(w.r32(i.d), mask, [&](int l) { return one(a[l]) << 16 | one(b[l]); });
}
template <bool bf> void narrowOne(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a);
  storeLanes(w.r32(i.d), mask, [&](int l) -> uint32_t {
    const float f = std::bit_cast<float>(a[l]);
    return bf ? floatToBf16(f) : floatToF16(f);
  });
}
template <bool bf> void widenOne(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a);
  storeLanes(w.r32(i.d), mask, [&](int l) {
    const float f = bf ? bf16ToFloat(uint16_t(a[l])) : f16ToFloat(uint16_t(a[l]));
    return f != f ? canonicalNan : std::bit_cast<uint32_t>(f);
  });
}

/// Packed narrowing with relu, satfinite or another rounding. count: F16 or Bf16; flag: satfinite.
void narrowPairSlow(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b >= 0 ? i.b : i.a);
  const bool bf = i.count == Bf16;
  auto one = [&](uint32_t bits) -> uint32_t {
    double v = std::bit_cast<float>(bits);
    if (i.uniform)
      v = v != v || v > 0 ? v : 0.0;
    uint32_t r = bf ? doubleToBf16(v, roundOf(i.extra)) : doubleToF16(v, roundOf(i.extra));
    const uint32_t infinity = bf ? 0x7f80 : 0x7c00;
    if (i.flag && (r & 0x7fff) == infinity)
      r -= 1;
    return r;
  };
  forLanes(mask, [&](uint32_t l) { w.r32(i.d)[l] = i.b >= 0 ? one(a[l]) << 16 | one(b[l]) : one(a[l]); });
}

/// extra: Round; uniform: relu; flag: satfinite.
void toTf32(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a);
  forLanes(mask, [&](uint32_t l) {
    uint32_t v = a[l];
    if ((v & 0x7fffffff) > 0x7f800000) {
      w.r32(i.d)[l] = canonicalNan;
      return;
    }
    if (i.uniform && v >> 31)
      v = 0;
    const bool isInf = (v & 0x7fffffff) == 0x7f800000;
    if (!isInf) {
      if (Round(i.extra) == Round::NearestAway)
        v += 0x1000;
      else if (Round(i.extra) == Round::Nearest)
        v += 0xfff + ((v >> 13) & 1);
    }
    v &= ~0x1fffu;
    if (i.flag && (v & 0x7fffffff) == 0x7f800000)
      v -= 0x2000;
    w.r32(i.d)[l] = v;
  });
}

/// flag: e5m2; uniform: relu; size: 0 two f32, 1 f16x2, 2 fp8 pair to f16x2.
void convertFp8(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b >= 0 ? i.b : i.a);
  auto relu = [&](double v) { return i.uniform && !(v != v || v > 0) ? 0.0 : v; };
  forLanes(mask, [&](uint32_t l) {
    uint32_t r;
    if (i.size == 0)
      r = uint32_t(doubleToFp8(relu(std::bit_cast<float>(a[l])), i.flag)) << 8 |
          doubleToFp8(relu(std::bit_cast<float>(b[l])), i.flag);
    else if (i.size == 1)
      r = uint32_t(doubleToFp8(relu(f16ToFloat(uint16_t(a[l] >> 16))), i.flag)) << 8 |
          doubleToFp8(relu(f16ToFloat(uint16_t(a[l]))), i.flag);
    else
      r = uint32_t(doubleToF16(relu(fp8ToDouble(uint8_t(a[l] >> 8), i.flag)), Round::Nearest)) << 16 |
          doubleToF16(relu(fp8ToDouble(uint8_t(a[l]), i.flag)), Round::Nearest);
    w.r32(i.d)[l] = r;
  });
}

bool decodeCvt(Decoder &d) {
  Inst &i = d.inst;
  static constexpr std::string_view modes[] = {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi"};
  int mode = -1;
  for (int n = 0; n < 8 && mode < 0; ++n)
    if (d.take(modes[n]))
      mode = n;
  const bool rna = mode < 0 && d.take("rna");
  const bool ftz = d.take("ftz");
  const bool satfinite = d.take("satfinite");
  const bool relu = d.take("relu");
  const bool satfiniteLate = !satfinite && d.take("satfinite");
  const bool sat = d.take("sat");
  i.extra = uint8_t(mode < 0 ? 0 : mode);
  i.flag = ftz;
  i.isSigned = sat;
  i.uniform = relu;
  const bool saturating = satfinite || satfiniteLate;
  // fp8
  for (std::string_view name : {"e4m3x2", "e5m2x2"})
    if (d.take(name)) {
      ScalarType from = d.type("f32 f16x2");
      if (d.failed())
        return false;
      if (mode != Rn || !saturating || ftz || sat)
        return d.fail("conversion to fp8 is '.rn.satfinite'");
      if (d.sm() < 89)
        return d.fail("fp8 needs sm_89");
      const bool two = !from.packed;
      if (!d.arity(two ? 3 : 2))
        return false;
      i.flag = name == "e5m2x2";
      i.size = two ? 0 : 1;
      i.a = d.source(1u, from);
      if (two)
        i.b = d.source(2u, from);
      i.d = d.destination(0u, {'b', 16});
      i.fn = convertFp8;
      return !d.failed();
    }
  ScalarType to = d.type("u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64 f16x2 bf16x2 tf32");
  if (d.failed())
    return false;
  if (to.packed) {
    for (std::string_view name : {"e4m3x2", "e5m2x2"})
      if (to.kind == 'f' && d.take(name)) {
        if (mode != Rn || saturating || ftz || sat)
          return d.fail("conversion from fp8 is '.rn'");
        if (d.sm() < 89)
          return d.fail("fp8 needs sm_89");
        if (!d.arity(2))
          return false;
        i.flag = name == "e5m2x2";
        i.size = 2;
        i.a = d.source(1u, {'b', 16});
        i.d = d.destination(0u, to);
        i.fn = convertFp8;
        return !d.failed();
      }
    d.type("f32");
    if (d.failed() || !d.arity(3))
      return false;
    if ((mode != Rn && mode != Rz) || ftz || sat)
      return d.fail("conversion to a packed pair is '.rn' or '.rz'");
    i.a = d.source(1u, {'f', 32});
    i.b = d.source(2u, {'f', 32});
    i.d = d.destination(0u, to);
    i.count = to.kind == 'h' ? Bf16 : F16;
    i.flag = saturating;
    if (mode == Rn && !relu && !saturating)
      i.fn = to.kind == 'h' ? narrowPair<true> : narrowPair<false>;
    else
      i.fn = narrowPairSlow;
    return !d.failed();
  }
  if (to.tf32) {
    d.type("f32");
    if (d.failed() || !d.arity(2))
      return false;
    if ((!rna && mode != Rn && mode != Rz) || ftz || sat)
      return d.fail("conversion to tf32 is '.rna', '.rn' or '.rz'");
    if (!rna && d.sm() < 90)
      return d.fail("this rounding to tf32 needs sm_90");
    i.extra = uint8_t(rna ? Round::NearestAway : roundOf(mode));
    i.flag = saturating;
    i.a = d.source(1u, {'f', 32});
    i.d = d.destination(0u, {'b', 32});
    i.fn = toTf32;
    return !d.failed();
  }
  if (rna)
    return d.fail("'.rna' converts to tf32 only");
  ScalarType from = d.type("u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64");
  if (d.failed() || !d.arity(2))
    return false;
  const Code f = code(from), t = code(to);
  const bool fromFloat = !isInt(f), toFloat = !isInt(t);
  if (ftz && f != F32 && t != F32)
    return d.fail("'.ftz' needs .f32");
  if (mode >= Rni && !fromFloat)
    return d.fail("rounding to an integer needs a floating-point source");
  if (fromFloat && !toFloat && mode < Rni)
    return d.fail("conversion to an integer needs .rni, .rzi, .rmi or .rpi");
  if (!fromFloat && toFloat && (mode < 0 || mode >= Rni))
    return d.fail("conversion of an integer needs .rn, .rz, .rm or .rp");
  if (!fromFloat && !toFloat && mode >= 0)
    return d.fail("conversions of integers do not round");
  if (fromFloat && toFloat) {
    auto rank = [](Code c) { return c == F64 ? 3 : c == F32 ? 2 : 1; };
    const bool narrowing = rank(t) < rank(f);
    if (narrowing && (mode < 0 || mode >= Rni))
      return d.fail("a narrowing conversion needs .rn, .rz, .rm or .rp");
    if (!narrowing && mode >= 0 && mode < Rni && f != t && !(f == Bf16 || t == Bf16))
      return d.fail("a widening conversion does not round");
  }
  if ((relu || saturating) && !(f == F32 && (t == F16 || t == Bf16)))
    return d.fail("'.relu' and '.satfinite' narrow f32 to a 16-bit type only");
  i.size = f;
  i.count = t;
  uint8_t bits = 0;
  i.a = d.sourceWider(d.operand(1), from, bits);
  i.wideData = bits == 64;
  if (fromFloat && bits != from.bits)
    return d.fail("a floating-point source must have its own width");
  i.d = d.destinationWider(d.operand(0), to, bits);
  if (toFloat && bits != to.bits)
    return d.fail("a floating-point destination must have its own width");
  i.dataBits = bits;
  if (saturating) {
    i.flag = true;
    i.fn = narrowPairSlow;
    return !d.failed();
  }
  i.fn = convert;
  if (!sat && !ftz && !relu) {
    const bool wide = i.dataBits == 64;
    if (f == S32 && wide && t == S64)
      i.fn = i.wideData ? convertIntWide<int32_t, int64_t> : convertInt<int32_t, int64_t>;
    else if (f == U32 && wide && (t == U64 || t == S64))
      i.fn = i.wideData ? convertIntWide<uint32_t, uint64_t> : convertInt<uint32_t, uint64_t>;
    else if ((f == U64 || f == S64) && (t == U32 || t == S32) && !wide)
      i.fn = convertInt<uint64_t, uint32_t>;
    else if (f == S32 && t == F32 && mode == Rn && !i.wideData)
      i.fn = convertS32F32;
    else if (f == F32 && t == Bf16 && mode == Rn)
      i.fn = narrowOne<true>;
    else if (f == F32 && t == F16 && mode == Rn)
      i.fn = narrowOne<false>;
    else if (f == Bf16 && t == F32 && mode < Rni)
      i.fn = widenOne<true>;
    else if (f == F16 && t == F32 && mode < Rni)
      i.fn = widenOne<false>;
  }
  return !d.failed();
}

const OpcodeEntry table[] = {{"cvt", decodeCvt}};

} // namespace

OpcodeTable convertOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
