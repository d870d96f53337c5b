// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Integer and bit instructions, comparisons, selection and moves.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Lanes.h"

#include <algorithm>
#include <cstdint>

namespace fovea::emulator {

namespace {

using u128 = unsigned __int128;
using s128 = __int128;

// Operations are functors over a type; unsigned arithmetic inside, so that overflow wraps.
template <typename T> using U = std::make_unsigned_t<T>;

struct Add {
  template <typename T> static T f(T a, T b) { return T(U<T>(a) + U<T>(b)); }
};
struct Sub {
  template <typename T> static T f(T a, T b) { return T(U<T>(a) - U<T>(b)); }
};
struct MulLo {
  template <typename T> static T f(T a, T b) { return T(uint64_t(a) * uint64_t(b)); }
};
struct MulHi {
  template <typename T> static T f(T a, T b) {
    if constexpr (sizeof(T) == 8) {
      if constexpr (std::is_signed_v<T>)
        return T((s128(a) * s128(b)) >> 64);
      else
        return T((u128(a) * u128(b)) >> 64);
    } else if constexpr (std::is_signed_v<T>) {
      return T((int64_t(a) * int64_t(b)) >> (8 * sizeof(T)));
    } else {
      return T((uint64_t(a) * uint64_t(b)) >> (8 * sizeof(T)));
    }
  }
};
struct MadLo {
  template <typename T> static T f(T a, T b, T c) { return Add::f<T>(MulLo::f<T>(a, b), c); }
};
struct MadHi {
  template <typename T> static T f(T a, T b, T c) { return Add::f<T>(MulHi::f<T>(a, b), c); }
};
struct MadHiSat {
  template <typename T> static T f(T a, T b, T c) {
    return T(std::clamp<int64_t>(int64_t(MulHi::f<T>(a, b)) + int64_t(c), INT32_MIN, INT32_MAX));
  }
};
struct AddSat {
  template <typename T> static T f(T a, T b) {
    return T(std::clamp<int64_t>(int64_t(a) + int64_t(b), INT32_MIN, INT32_MAX));
  }
};
struct SubSat {
  template <typename T> static T f(T a, T b) {
    return T(std::clamp<int64_t>(int64_t(a) - int64_t(b), INT32_MIN, INT32_MAX));
  }
};
// Division by zero is unspecified on hardware; all ones is what it gives in practice.
struct Div {
  template <typename T> static T f(T a, T b) {
    if (b == 0)
      return T(~U<T>(0));
    if constexpr (std::is_signed_v<T>)
      if (b == T(-1))
        return T(U<T>(0) - U<T>(a));
    return T(a / b);
  }
};
struct Rem {
  template <typename T> static T f(T a, T b) {
    if (b == 0)
      return a;
    if constexpr (std::is_signed_v<T>)
      if (b == T(-1))
        return 0;
    return T(a % b);
  }
};
struct Min {
  template <typename T> static T f(T a, T b) { return a < b ? a : b; }
};
struct Max {
  template <typename T> static T f(T a, T b) { return a > b ? a : b; }
};
/// With .relu: 0 in place of what is negative.
struct MinRelu {
  template <typename T> static T f(T a, T b) { return Max::f(Min::f(a, b), T(0)); }
};
struct MaxRelu {
  template <typename T> static T f(T a, T b) { return Max::f(Max::f(a, b), T(0)); }
};
struct Abs {
  template <typename T> static T f(T a) { return a < 0 ? T(U<T>(0) - U<T>(a)) : a; }
};
struct Neg {
  template <typename T> static T f(T a) { return T(U<T>(0) - U<T>(a)); }
};
struct And {
  template <typename T> static T f(T a, T b) { return a & b; }
};
struct Or {
  template <typename T> static T f(T a, T b) { return a | b; }
};
struct Xor {
  template <typename T> static T f(T a, T b) { return a ^ b; }
};
struct Not {
  template <typename T> static T f(T a) { return T(~a); }
};
struct Cnot {
  template <typename T> static T f(T a) { return a == 0; }
};
struct Sad {
  template <typename T> static T f(T a, T b, T c) { return Add::f<T>(c, a < b ? Sub::f<T>(b, a) : Sub::f<T>(a, b)); }
};
struct Mul24Lo {
  template <typename T> static T f(T a, T b) {
    if constexpr (std::is_signed_v<T>)
      return T(uint32_t((int64_t(a << 8) >> 8) * (int64_t(b << 8) >> 8)));
    else
      return T(uint64_t(a & 0xffffff) * (b & 0xffffff));
  }
};

template <typename T, typename Op> void unary(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return pack<T>(Op::template f<T>(unpack<T>(a[l]))); });
}
template <typename T, typename Op> void binary(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b);
  storeLanes(slots<S>(w, i.d), mask,
             [&](int l) { return pack<T>(Op::template f<T>(unpack<T>(a[l]), unpack<T>(b[l]))); });
}
template <typename T, typename Op> void ternary(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b), *c = slots<S>(w, i.c);
  storeLanes(slots<S>(w, i.d), mask,
             [&](int l) { return pack<T>(Op::template f<T>(unpack<T>(a[l]), unpack<T>(b[l]), unpack<T>(c[l]))); });
}

enum Shape { Unary, Binary, Ternary };
template <Shape shape, typename Op, typename T> Handler shaped() {
  if constexpr (shape == Unary)
    return unary<T, Op>;
  else if constexpr (shape == Binary)
    return binary<T, Op>;
  else
    return ternary<T, Op>;
}
template <Shape shape, typename Op> Handler typed(ScalarType t) {
  const bool s = t.kind == 's';
  switch (t.bits) {
  case 16:
    return s ? shaped<shape, Op, int16_t>() : shaped<shape, Op, uint16_t>();
  case 32:
    return s ? shaped<shape, Op, int32_t>() : shaped<shape, Op, uint32_t>();
  default:
    return s ? shaped<shape, Op, int64_t>() : shaped<shape, Op, uint64_t>();
  }
}

bool operands(Decoder &d, ScalarType t, uint32_t sources) {
  if (!d.arity(sources + 1))
    return false;
  Inst &i = d.inst;
  int32_t *in[] = {&i.a, &i.b, &i.c};
  for (uint32_t n = 0; n < sources; ++n)
    *in[n] = d.source(n + 1, t);
  i.d = d.destination(0u, t);
  return !d.failed();
}

constexpr std::string_view intTypes = "u16 u32 u64 s16 s32 s64";

bool isFloat(ScalarType t) { return t.kind == 'f' || t.kind == 'h'; }
bool isFloat(Decoder &d) { return isFloat(d.lastType()) || d.lastModifier() == "f32x2"; }

/// Two 16-bit integers in one register.
template <typename Op, typename T, bool relu> void packedLanes(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b);
  auto one = [](uint32_t x, uint32_t y) {
    const T r = Op::template f<T>(T(x), T(y));
    return uint32_t(uint16_t(relu && std::is_signed_v<T> && r < 0 ? T(0) : r));
  };
  storeLanes(w.r32(i.d), mask, [&](int l) { return one(a[l], b[l]) | one(a[l] >> 16, b[l] >> 16) << 16; });
}
bool isPacked(Decoder &d) { return d.lastModifier() == "u16x2" || d.lastModifier() == "s16x2"; }
template <typename Op> bool decodePacked(Decoder &d, bool mayRelu) {
  const bool relu = mayRelu && d.take("relu");
  const bool isSigned = d.take("s16x2");
  if (!isSigned && !d.take("u16x2"))
    return d.fail("unknown modifier of '" + std::string(d.statement->opcode) + "'");
  if (relu && !isSigned)
    return d.fail("'.relu' needs .s16x2");
  if (d.sm() < 90)
    return d.fail("packed 16-bit integers need sm_90");
  if (!d.arity(3))
    return false;
  d.inst.a = d.source(1u, {'b', 32});
  d.inst.b = d.source(2u, {'b', 32});
  d.inst.d = d.destination(0u, {'b', 32});
  d.inst.fn = relu       ? packedLanes<Op, int16_t, true>
              : isSigned ? packedLanes<Op, int16_t, false>
                         : packedLanes<Op, uint16_t, false>;
  return !d.failed();
}

// --- carries: a hidden predicate holds CC.CF ---

struct Carry {
  template <typename T> static T add(T a, T b, bool in, bool &out) {
    const u128 sum = u128(a) + b + in;
    out = sum >> (8 * sizeof(T)) & 1;
    return T(sum);
  }
  template <typename T> static T sub(T a, T b, bool in, bool &out) {
    const u128 difference = u128(a) - b - in;
    out = difference >> (8 * sizeof(T)) & 1;
    return T(difference);
  }
};

/// e: predicate of the carry; flag: carry in; extra bit 0: carry out, bit 1: subtract, bits 2-3: multiply lo/hi first.
template <typename T> void carryArithmetic(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b), *c = i.c >= 0 ? slots<S>(w, i.c) : nullptr;
  S *d = slots<S>(w, i.d);
  const uint32_t in = i.flag ? w.predicate(i.e) : 0;
  uint32_t out = 0;
  forLanes(mask, [&](uint32_t l) {
    T x = T(a[l]), y = T(b[l]);
    if (i.extra & 12) {
      x = i.extra & 4 ? MulLo::f<T>(x, y) : (i.isSigned ? T(MulHi::f<std::make_signed_t<T>>(x, y)) : MulHi::f<T>(x, y));
      y = T(c[l]);
    }
    bool carry;
    d[l] = i.extra & 2 ? Carry::sub<T>(x, y, in >> l & 1, carry) : Carry::add<T>(x, y, in >> l & 1, carry);
    out |= uint32_t(carry) << l;
  });
  if (i.extra & 1)
    w.setPredicate(i.e, mask, out);
}

bool decodeCarry(Decoder &d, ScalarType t, bool in, bool out, uint8_t operation, uint32_t sources) {
  if (t.bits == 16)
    return d.fail("carries need 32 or 64 bits");
  if (!operands(d, t, sources))
    return false;
  d.inst.e = d.carryPredicate(in, out);
  d.inst.flag = in;
  d.inst.isSigned = t.kind == 's';
  d.inst.extra = operation | uint8_t(out);
  d.inst.fn = t.bits == 64 ? carryArithmetic<uint64_t> : carryArithmetic<uint32_t>;
  return true;
}

bool decodeAddSub(Decoder &d) {
  const bool subtract = d.statement->opcode[0] == 's';
  if (isFloat(d))
    return decodeFloat(d, d.statement->opcode);
  if (d.statement->opcode == "add" && isPacked(d))
    return decodePacked<Add>(d, false);
  const bool carryIn = d.statement->opcode.back() == 'c';
  const bool sat = !carryIn && d.take("sat"), cc = d.take("cc");
  ScalarType t = d.type(intTypes);
  if (d.failed())
    return false;
  if (carryIn || cc)
    return decodeCarry(d, t, carryIn, cc, subtract ? 2 : 0, 2);
  if (sat && (t.kind != 's' || t.bits != 32))
    return d.fail("'.sat' needs .s32");
  if (sat)
    d.inst.fn = subtract ? binary<int32_t, SubSat> : binary<int32_t, AddSat>;
  else
    d.inst.fn = subtract ? typed<Binary, Sub>(t) : typed<Binary, Add>(t);
  return operands(d, t, 2);
}

template <typename N, typename W> void mulWide(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b);
  storeLanes(slots<SlotOf<W>>(w, i.d), mask, [&](int l) { return pack<W>(W(U<W>(W(N(a[l]))) * U<W>(W(N(b[l]))))); });
}
template <typename N, typename W> void madWide(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<W>;
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b);
  const S *c = slots<S>(w, i.c);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return S(S(W(N(a[l]))) * S(W(N(b[l]))) + c[l]); });
}

bool decodeMul(Decoder &d) {
  const bool mad = d.statement->opcode[0] == 'm' && d.statement->opcode[1] == 'a';
  if (isFloat(d))
    return decodeFloat(d, d.statement->opcode);
  const bool carryIn = d.statement->opcode == "madc";
  const std::string_view part = d.takeAny({"lo", "hi", "wide"});
  if (part.empty())
    return d.fail("'.lo', '.hi' or '.wide' is missing");
  const bool sat = mad && part == "hi" && d.take("sat"), cc = mad && part != "wide" && d.take("cc");
  ScalarType t = d.type(intTypes);
  if (d.failed())
    return false;
  if (carryIn || cc)
    return part == "wide" ? d.fail("unknown modifier '.wide' of 'madc'")
                          : decodeCarry(d, t, carryIn, cc, part == "lo" ? 4 : 8, 3);
  if (sat) {
    if (t.kind != 's' || t.bits != 32)
      return d.fail("'.sat' needs .s32");
    d.inst.fn = ternary<int32_t, MadHiSat>;
    return operands(d, t, 3);
  }
  if (part == "wide") {
    if (t.bits == 64)
      return d.fail("'.wide' needs 16 or 32 bits");
    if (!d.arity(mad ? 4 : 3))
      return false;
    const ScalarType wide{t.kind, uint16_t(t.bits * 2)};
    d.inst.a = d.source(1u, t);
    d.inst.b = d.source(2u, t);
    if (mad)
      d.inst.c = d.source(3u, wide);
    d.inst.d = d.destination(0u, wide);
    if (t.kind == 's')
      d.inst.fn = t.bits == 16 ? (mad ? madWide<int16_t, int32_t> : mulWide<int16_t, int32_t>)
                               : (mad ? madWide<int32_t, int64_t> : mulWide<int32_t, int64_t>);
    else
      d.inst.fn = t.bits == 16 ? (mad ? madWide<uint16_t, uint32_t> : mulWide<uint16_t, uint32_t>)
                               : (mad ? madWide<uint32_t, uint64_t> : mulWide<uint32_t, uint64_t>);
    return !d.failed();
  }
  if (mad)
    d.inst.fn = part == "lo" ? typed<Ternary, MadLo>(t) : typed<Ternary, MadHi>(t);
  else
    d.inst.fn = part == "lo" ? typed<Binary, MulLo>(t) : typed<Binary, MulHi>(t);
  return operands(d, t, mad ? 3 : 2);
}

bool decodeMul24(Decoder &d) {
  if (!d.take("lo"))
    return d.unsupported("'mul24.hi'");
  ScalarType t = d.type("u32 s32");
  d.inst.fn = t.kind == 's' ? binary<int32_t, Mul24Lo> : binary<uint32_t, Mul24Lo>;
  return operands(d, t, 2);
}

bool decodeSad(Decoder &d) {
  ScalarType t = d.type(intTypes);
  d.inst.fn = typed<Ternary, Sad>(t);
  return operands(d, t, 3);
}

bool decodeDivRem(Decoder &d) {
  if (isFloat(d.lastType()))
    return decodeFloat(d, d.statement->opcode);
  ScalarType t = d.type(intTypes);
  d.inst.fn = d.statement->opcode == "div" ? typed<Binary, Div>(t) : typed<Binary, Rem>(t);
  return operands(d, t, 2);
}

bool decodeMinMax(Decoder &d) {
  if (isFloat(d.lastType()))
    return decodeFloat(d, d.statement->opcode);
  if (isPacked(d))
    return d.statement->opcode == "min" ? decodePacked<Min>(d, true) : decodePacked<Max>(d, true);
  if (d.take("relu")) {
    ScalarType t = d.type("s32");
    d.inst.fn = d.statement->opcode == "min" ? binary<int32_t, MinRelu> : binary<int32_t, MaxRelu>;
    return operands(d, t, 2);
  }
  ScalarType t = d.type(intTypes);
  d.inst.fn = d.statement->opcode == "min" ? typed<Binary, Min>(t) : typed<Binary, Max>(t);
  return operands(d, t, 2);
}

bool decodeAbsNeg(Decoder &d) {
  if (isFloat(d.lastType()))
    return decodeFloat(d, d.statement->opcode);
  ScalarType t = d.type("s16 s32 s64");
  d.inst.fn = d.statement->opcode == "abs" ? typed<Unary, Abs>(t) : typed<Unary, Neg>(t);
  return operands(d, t, 1);
}

// --- logic ---

template <typename Op> void predicateLogic(Warp &w, const Inst &i, uint32_t mask) {
  w.setPredicate(i.d, mask, Op::template f<uint32_t>(w.predicate(i.a), w.predicate(i.b)));
}
void predicateNot(Warp &w, const Inst &i, uint32_t mask) { w.setPredicate(i.d, mask, ~w.predicate(i.a)); }

bool decodeLogic(Decoder &d) {
  const std::string_view op = d.statement->opcode;
  ScalarType t = d.type("pred b16 b32 b64");
  if (d.failed())
    return false;
  const uint32_t sources = op == "not" || op == "cnot" ? 1 : 2;
  if (t.kind == 'p') {
    if (op == "cnot")
      return d.fail("'cnot' has no predicate form");
    if (!d.arity(sources + 1))
      return false;
    d.inst.a = d.predicate(d.operand(1));
    if (sources == 2)
      d.inst.b = d.predicate(d.operand(2));
    d.inst.d = d.predicateDestination(d.operand(0));
    d.inst.fn = op == "and"   ? predicateLogic<And>
                : op == "or"  ? predicateLogic<Or>
                : op == "xor" ? predicateLogic<Xor>
                              : predicateNot;
    return !d.failed();
  }
  d.inst.fn = op == "and"   ? typed<Binary, And>(t)
              : op == "or"  ? typed<Binary, Or>(t)
              : op == "xor" ? typed<Binary, Xor>(t)
              : op == "not" ? typed<Unary, Not>(t)
                            : typed<Unary, Cnot>(t);
  return operands(d, t, sources);
}

// --- shifts: the amount has 32 bits and is clamped to the width ---

template <typename T, bool left> void shift(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  constexpr uint32_t bits = 8 * sizeof(T);
  const S *a = slots<S>(w, i.a);
  const uint32_t *b = w.r32(i.b);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) {
    const T v = unpack<T>(a[l]);
    const uint32_t n = b[l];
    if constexpr (left)
      return n < bits ? pack<T>(T(S(v) << (n & (bits - 1)))) : S(0);
    else if constexpr (std::is_signed_v<T>)
      return pack<T>(T(v >> (n < bits ? n : bits - 1)));
    else
      return n < bits ? pack<T>(T(v >> (n & (bits - 1)))) : S(0);
  });
}

bool decodeShift(Decoder &d) {
  const bool left = d.statement->opcode == "shl";
  ScalarType t = d.type(left ? "b16 b32 b64" : "b16 b32 b64 u16 u32 u64 s16 s32 s64");
  if (d.failed() || !d.arity(3))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, {'b', 32});
  d.inst.d = d.destination(0u, t);
  const bool s = t.kind == 's';
  switch (t.bits) {
  case 16:
    d.inst.fn = left ? shift<uint16_t, true> : s ? shift<int16_t, false> : shift<uint16_t, false>;
    break;
  case 32:
    d.inst.fn = left ? shift<uint32_t, true> : s ? shift<int32_t, false> : shift<uint32_t, false>;
    break;
  default:
    d.inst.fn = left ? shift<uint64_t, true> : s ? shift<int64_t, false> : shift<uint64_t, false>;
  }
  return !d.failed();
}

/// flag: left; extra: 1 wraps the amount, 0 clamps it.
void funnel(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c);
  storeLanes(w.r32(i.d), mask, [&](int l) {
    const uint64_t pair = uint64_t(b[l]) << 32 | a[l];
    const uint32_t n = i.extra ? c[l] & 31 : (c[l] < 32 ? c[l] : 32);
    return i.flag ? uint32_t((pair << n) >> 32) : uint32_t(pair >> n);
  });
}

bool decodeFunnel(Decoder &d) {
  const std::string_view direction = d.takeAny({"l", "r"}), mode = d.takeAny({"wrap", "clamp"});
  if (direction.empty() || mode.empty())
    return d.fail("'shf' needs .l or .r, then .wrap or .clamp");
  ScalarType t = d.type("b32");
  d.inst.flag = direction == "l";
  d.inst.extra = mode == "wrap";
  d.inst.fn = funnel;
  return operands(d, t, 3);
}

// --- bits ---

template <typename T> void popc(Warp &w, const Inst &i, uint32_t mask) {
  const auto *a = slots<SlotOf<T>>(w, i.a);
  storeLanes(w.r32(i.d), mask, [&](int l) { return uint32_t(std::popcount(T(a[l]))); });
}
template <typename T> void clz(Warp &w, const Inst &i, uint32_t mask) {
  const auto *a = slots<SlotOf<T>>(w, i.a);
  storeLanes(w.r32(i.d), mask, [&](int l) { return uint32_t(std::countl_zero(T(a[l]))); });
}
/// extra: 1 for .shiftamt
template <typename T> void bfind(Warp &w, const Inst &i, uint32_t mask) {
  using V = std::make_unsigned_t<T>;
  const auto *a = slots<SlotOf<T>>(w, i.a);
  storeLanes(w.r32(i.d), mask, [&](int l) {
    V v = V(a[l]);
    if (std::is_signed_v<T> && T(v) < 0)
      v = ~v;
    const uint32_t zeros = std::countl_zero(v);
    return v == 0 ? fullMask : i.extra ? zeros : uint32_t(8 * sizeof(T)) - 1 - zeros;
  });
}
struct Brev {
  template <typename T> static T f(T v) {
    T r = 0;
    for (size_t n = 0; n < 8 * sizeof(T); ++n)
      r |= T((v >> n) & 1) << (8 * sizeof(T) - 1 - n);
    return r;
  }
};

bool decodeCount(Decoder &d) {
  const std::string_view op = d.statement->opcode;
  if (op == "bfind")
    d.inst.extra = d.take("shiftamt");
  ScalarType t = d.type(op == "bfind" ? "u32 u64 s32 s64" : "b32 b64");
  if (d.failed() || !d.arity(2))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.d = d.destination(0u, op == "brev" ? t : ScalarType{'b', 32});
  const bool wide = t.bits == 64, s = t.kind == 's';
  if (op == "popc")
    d.inst.fn = wide ? popc<uint64_t> : popc<uint32_t>;
  else if (op == "clz")
    d.inst.fn = wide ? clz<uint64_t> : clz<uint32_t>;
  else if (op == "bfind")
    d.inst.fn = wide ? (s ? bfind<int64_t> : bfind<uint64_t>) : (s ? bfind<int32_t> : bfind<uint32_t>);
  else
    d.inst.fn = wide ? unary<uint64_t, Brev> : unary<uint32_t, Brev>;
  return !d.failed();
}

template <typename T> void bfe(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  constexpr int32_t msb = 8 * sizeof(T) - 1;
  const S *a = slots<S>(w, i.a);
  const uint32_t *b = w.r32(i.b), *c = w.r32(i.c);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) {
    const int32_t pos = b[l] & 0xff, len = c[l] & 0xff;
    S sign = 0;
    if (std::is_signed_v<T> && len != 0)
      sign = (a[l] >> (pos + len - 1 < msb ? pos + len - 1 : msb)) & 1;
    S field = pos > msb ? 0 : a[l] >> (pos & msb);
    const S keep = len > msb ? ~S(0) : (S(1) << (len & msb)) - 1;
    // Bits beyond the source are the sign too.
    S have = pos > msb ? 0 : ~S(0) >> (pos & msb);
    field = (field & have) | (sign ? ~have : 0);
    return S((field & keep) | (sign ? ~keep : 0));
  });
}

bool decodeBfe(Decoder &d) {
  ScalarType t = d.type("u32 u64 s32 s64");
  if (d.failed() || !d.arity(4))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, {'b', 32});
  d.inst.c = d.source(3u, {'b', 32});
  d.inst.d = d.destination(0u, t);
  d.inst.fn =
      t.bits == 64 ? (t.kind == 's' ? bfe<int64_t> : bfe<uint64_t>) : (t.kind == 's' ? bfe<int32_t> : bfe<uint32_t>);
  return !d.failed();
}

template <typename T> void bfi(Warp &w, const Inst &i, uint32_t mask) {
  constexpr uint32_t bits = 8 * sizeof(T);
  const T *a = slots<T>(w, i.a), *b = slots<T>(w, i.b);
  const uint32_t *c = w.r32(i.c), *e = w.r32(i.e);
  storeLanes(slots<T>(w, i.d), mask, [&](int l) {
    const uint32_t pos = c[l] & 0xff, len = e[l] & 0xff;
    const T ones = len >= bits ? ~T(0) : (T(1) << (len & (bits - 1))) - 1;
    const T field = pos >= bits ? 0 : ones << (pos & (bits - 1));
    const T value = pos >= bits ? 0 : a[l] << (pos & (bits - 1));
    return T((b[l] & ~field) | (value & field));
  });
}

bool decodeBfi(Decoder &d) {
  ScalarType t = d.type("b32 b64");
  if (d.failed() || !d.arity(5))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, t);
  d.inst.c = d.source(3u, {'b', 32});
  d.inst.e = d.source(4u, {'b', 32});
  d.inst.d = d.destination(0u, t);
  d.inst.fn = t.bits == 64 ? bfi<uint64_t> : bfi<uint32_t>;
  return !d.failed();
}

/// extra: 0 generic, else 1 + index of f4e b4e rc8 ecl ecr rc16.
void prmt(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c);
  static constexpr uint16_t selectors[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
                                               {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
                                               {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
  storeLanes(w.r32(i.d), mask, [&](int l) {
    const uint64_t pair = uint64_t(b[l]) << 32 | a[l];
    const uint32_t s = i.extra ? selectors[i.extra - 1][c[l] & 3] : c[l];
    uint32_t r = 0;
    for (int n = 0; n < 4; ++n) {
      const uint32_t pick = s >> (4 * n);
      uint32_t byte = uint32_t(pair >> (8 * (pick & 7))) & 0xff;
      byte = pick & 8 ? (byte & 0x80 ? 0xffu : 0u) : byte;
      r |= byte << (8 * n);
    }
    return r;
  });
}

bool decodePrmt(Decoder &d) {
  ScalarType t = d.type("b32");
  static constexpr std::string_view modes[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  for (uint8_t n = 0; n < 6; ++n)
    if (d.take(modes[n]))
      d.inst.extra = n + 1;
  d.inst.fn = prmt;
  return operands(d, t, 3);
}

void lop3(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c);
  const uint32_t t = uint32_t(i.imm);
  storeLanes(w.r32(i.d), mask, [&](int l) {
    uint32_t r = 0;
    for (uint32_t n = 0; n < 8; ++n) {
      const uint32_t hit = (n & 4 ? a[l] : ~a[l]) & (n & 2 ? b[l] : ~b[l]) & (n & 1 ? c[l] : ~c[l]);
      r |= (t >> n) & 1 ? hit : 0;
    }
    return r;
  });
}

bool decodeLop3(Decoder &d) {
  ScalarType t = d.type("b32");
  if (d.failed() || !d.arity(5))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, t);
  d.inst.c = d.source(3u, t);
  if (!d.immediate(d.operand(4), d.inst.imm))
    return false;
  if (d.inst.imm < 0 || d.inst.imm > 255)
    return d.fail("the table of 'lop3' has 8 bits");
  d.inst.d = d.destination(0u, t);
  d.inst.fn = lop3;
  return !d.failed();
}

/// extra bit 0: a signed, bit 1: b signed.
void dp4a(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c);
  storeLanes(w.r32(i.d), mask, [&](int l) {
    uint32_t sum = c[l];
    for (int n = 0; n < 4; ++n) {
      const uint32_t x = a[l] >> (8 * n) & 0xff, y = b[l] >> (8 * n) & 0xff;
      sum +=
          uint32_t((i.extra & 1 ? int32_t(int8_t(x)) : int32_t(x)) * (i.extra & 2 ? int32_t(int8_t(y)) : int32_t(y)));
    }
    return sum;
  });
}

bool decodeDp4a(Decoder &d) {
  ScalarType a = d.type("u32 s32"), b = d.type("u32 s32");
  d.inst.extra = (a.kind == 's' ? 1 : 0) | (b.kind == 's' ? 2 : 0);
  d.inst.fn = dp4a;
  return operands(d, {'b', 32}, 3);
}

// --- comparison ---

enum Compare { Eq, Ne, Lt, Le, Gt, Ge };
template <typename T, Compare c> bool compare(T a, T b) {
  if constexpr (c == Eq)
    return a == b;
  else if constexpr (c == Ne)
    return a != b;
  else if constexpr (c == Lt)
    return a < b;
  else if constexpr (c == Le)
    return a <= b;
  else if constexpr (c == Gt)
    return a > b;
  else
    return a >= b;
}

/// Of floats: ordered, or with `unordered` true if an operand is NaN.
template <typename T, Compare c, bool unordered> uint32_t compareLanes(Warp &w, const Inst &i) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b);
  return collect([&](int l) {
    const T x = unpack<T>(a[l]), y = unpack<T>(b[l]);
    if constexpr (std::is_floating_point_v<T>) {
      const bool nan = x != x || y != y;
      return unordered ? bool(nan | compare<T, c>(x, y)) : bool(!nan & compare<T, c>(x, y));
    } else {
      return compare<T, c>(x, y);
    }
  });
}
template <typename T, bool number> uint32_t nanLanes(Warp &w, const Inst &i) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b);
  return collect([&](int l) {
    const T x = unpack<T>(a[l]), y = unpack<T>(b[l]);
    return (x == x && y == y) == number;
  });
}
using Comparer = uint32_t (*)(Warp &, const Inst &);

/// d, d2: predicates; c: predicate to combine with; extra: 0 none, 1 and, 2 or, 3 xor. The comparer is a template
/// argument, so that one indirect call is enough.
template <Comparer comparer> void setp(Warp &w, const Inst &i, uint32_t mask) {
  uint32_t p = comparer(w, i), q = ~p;
  if (i.extra) {
    const uint32_t c = w.predicate(i.c);
    p = i.extra == 1 ? p & c : i.extra == 2 ? p | c : p ^ c;
    q = i.extra == 1 ? q & c : i.extra == 2 ? q | c : q ^ c;
  }
  w.setPredicate(i.d, mask, p);
  if (i.d2 >= 0)
    w.setPredicate(i.d2, mask, q);
}
/// set: all ones or 1.0 into a 32-bit register (flag: 1.0).
template <Comparer comparer> void set(Warp &w, const Inst &i, uint32_t mask) {
  uint32_t p = comparer(w, i);
  if (i.extra) {
    const uint32_t c = w.predicate(i.c);
    p = i.extra == 1 ? p & c : i.extra == 2 ? p | c : p ^ c;
  }
  const uint32_t yes = i.flag ? 0x3f800000u : fullMask;
  storeLanes(w.r32(i.d), mask, [&](int l) { return (p >> l) & 1 ? yes : 0; });
}

template <Comparer comparer> Handler pick(bool isSet) { return isSet ? set<comparer> : setp<comparer>; }

template <typename T, bool unordered> Handler compareHandler(std::string_view op, bool isSet) {
  if (op == "eq")
    return pick<compareLanes<T, Eq, unordered>>(isSet);
  if (op == "ne")
    return pick<compareLanes<T, Ne, unordered>>(isSet);
  if (op == "lt")
    return pick<compareLanes<T, Lt, unordered>>(isSet);
  if (op == "le")
    return pick<compareLanes<T, Le, unordered>>(isSet);
  if (op == "gt")
    return pick<compareLanes<T, Gt, unordered>>(isSet);
  return pick<compareLanes<T, Ge, unordered>>(isSet);
}

bool decodeSetp(Decoder &d) {
  const bool isSet = d.statement->opcode == "set";
  std::string_view op = d.takeAny({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu",
                                   "leu", "gtu", "geu", "num", "nan"});
  if (op.empty())
    return d.fail("unknown comparison");
  const std::string_view combine = d.takeAny({"and", "or", "xor"});
  d.inst.extra = combine == "and" ? 1 : combine == "or" ? 2 : combine == "xor" ? 3 : 0;
  const bool ftz = d.take("ftz");
  ScalarType result;
  if (isSet) {
    result = d.type("u32 s32 f32");
    d.inst.flag = result.kind == 'f';
  }
  ScalarType t = d.type(isSet ? "b16 b32 b64 u16 u32 u64 s16 s32 s64 f16 bf16 f32 f64"
                              : "b16 b32 b64 u16 u32 u64 s16 s32 s64 f16 bf16 f32 f64 f16x2 bf16x2");
  if (d.failed())
    return false;
  if (t.packed) {
    d.inst.flag = ftz;
    return decodeFloat(d, "setp.packed");
  }
  if (ftz && t.kind != 'f')
    return d.fail("'.ftz' needs a floating-point type");
  if (ftz)
    return decodeFloat(d, "setp.ftz");
  if (t.bits == 16 && isFloat(t))
    return decodeFloat(d, "setp.half");
  const bool dotU = op.size() == 3 && op[2] == 'u', isNan = op == "num" || op == "nan";
  if (t.kind != 'f' && (dotU || isNan))
    return d.fail("comparison '." + std::string(op) + "' needs floating-point operands");
  if (t.kind == 'b' && op != "eq" && op != "ne")
    return d.fail("bits compare with .eq and .ne only");
  if ((op == "lo" || op == "ls" || op == "hi" || op == "hs") && t.kind != 'u')
    return d.fail("comparison '." + std::string(op) + "' needs unsigned operands");
  if (!d.arity(d.inst.extra ? 4 : 3))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, t);
  if (d.inst.extra)
    d.inst.c = d.predicate(d.operand(3));
  if (isSet) {
    d.inst.d = d.destination(0u, result);
  } else if (d.operand(0).kind == Operand::Pair) {
    d.inst.d = d.predicateDestination(d.element(d.operand(0), 0));
    d.inst.d2 = d.predicateDestination(d.element(d.operand(0), 1));
  } else {
    d.inst.d = d.predicateDestination(d.operand(0));
  }
  if (op == "lo" || op == "hi")
    op = op == "lo" ? "lt" : "gt";
  else if (op == "ls" || op == "hs")
    op = op == "ls" ? "le" : "ge";
  if (t.kind == 'f') {
    if (isNan && t.bits == 32)
      d.inst.fn = op == "num" ? pick<nanLanes<float, true>>(isSet) : pick<nanLanes<float, false>>(isSet);
    else if (isNan)
      d.inst.fn = op == "num" ? pick<nanLanes<double, true>>(isSet) : pick<nanLanes<double, false>>(isSet);
    else if (t.bits == 32)
      d.inst.fn = dotU ? compareHandler<float, true>(op.substr(0, 2), isSet) : compareHandler<float, false>(op, isSet);
    else
      d.inst.fn =
          dotU ? compareHandler<double, true>(op.substr(0, 2), isSet) : compareHandler<double, false>(op, isSet);
    return !d.failed();
  }
  const bool s = t.kind == 's';
  if (t.bits == 16)
    d.inst.fn = s ? compareHandler<int16_t, false>(op, isSet) : compareHandler<uint16_t, false>(op, isSet);
  else if (t.bits == 32)
    d.inst.fn = s ? compareHandler<int32_t, false>(op, isSet) : compareHandler<uint32_t, false>(op, isSet);
  else
    d.inst.fn = s ? compareHandler<int64_t, false>(op, isSet) : compareHandler<uint64_t, false>(op, isSet);
  return !d.failed();
}

// --- selection and moves ---

template <typename S> void selp(Warp &w, const Inst &i, uint32_t mask) {
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b);
  const uint32_t p = w.predicate(i.c);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return (p >> l) & 1 ? a[l] : b[l]; });
}

bool decodeSelp(Decoder &d) {
  ScalarType t = d.type("b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64");
  if (d.failed() || !d.arity(4))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, t);
  d.inst.c = d.predicate(d.operand(3));
  d.inst.d = d.destination(0u, t);
  d.inst.fn = t.bits == 64 ? selp<uint64_t> : selp<uint32_t>;
  // Lanes take the validity of the operand they choose; needs both to be registers for the generic rule to be too
  // strict.
  d.inst.validity = Validity::Select;
  return !d.failed();
}

template <typename S, bool isFloat> void slct(Warp &w, const Inst &i, uint32_t mask) {
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b);
  const uint32_t *c = w.r32(i.c);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) {
    const bool yes = isFloat ? std::bit_cast<float>(c[l]) >= 0 : int32_t(c[l]) >= 0;
    return yes ? a[l] : b[l];
  });
}

bool decodeSlct(Decoder &d) {
  d.take("ftz");
  ScalarType t = d.type("b32 b64 u32 u64 s32 s64 f32 f64"), c = d.type("s32 f32");
  if (d.failed() || !d.arity(4))
    return false;
  d.inst.a = d.source(1u, t);
  d.inst.b = d.source(2u, t);
  d.inst.c = d.source(3u, c);
  d.inst.d = d.destination(0u, t);
  d.inst.fn = t.bits == 64 ? (c.kind == 'f' ? slct<uint64_t, true> : slct<uint64_t, false>)
                           : (c.kind == 'f' ? slct<uint32_t, true> : slct<uint32_t, false>);
  return !d.failed();
}

template <typename S> void move(Warp &w, const Inst &i, uint32_t mask) {
  const S *a = slots<S>(w, i.a);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return a[l]; });
}
void movePredicate(Warp &w, const Inst &i, uint32_t mask) { w.setPredicate(i.d, mask, w.predicate(i.a)); }
/// pool: offsets of the parts, low first; size: bits of a part.
void packParts(Warp &w, const Inst &i, uint32_t mask) {
  const int32_t *parts = &w.launch->kernel->pool[i.pool];
  if (i.wideData) {
    uint64_t *d = w.r64(i.d);
    uint64_t out[32] = {};
    for (uint32_t n = 0; n < i.count; ++n) {
      const uint32_t *p = w.r32(parts[n]);
      for (int l = 0; l < 32; ++l)
        out[l] |= uint64_t(i.size == 16 ? p[l] & 0xffff : p[l]) << (n * i.size);
    }
    storeLanes(d, mask, [&](int l) { return out[l]; });
  } else {
    const uint32_t *lo = w.r32(parts[0]), *hi = w.r32(parts[1]);
    storeLanes(w.r32(i.d), mask, [&](int l) { return (lo[l] & 0xffff) | hi[l] << 16; });
  }
}
void unpackParts(Warp &w, const Inst &i, uint32_t mask) {
  const int32_t *parts = &w.launch->kernel->pool[i.pool];
  uint64_t in[32];
  if (i.wideData)
    std::memcpy(in, w.r64(i.a), sizeof in);
  else
    for (int l = 0; l < 32; ++l)
      in[l] = w.r32(i.a)[l];
  for (uint32_t n = 0; n < i.count; ++n)
    storeLanes(w.r32(parts[n]), mask, [&](int l) {
      const uint32_t v = uint32_t(in[l] >> (n * i.size));
      return i.size == 16 ? v & 0xffff : v;
    });
}

/// extra: 0 clock, 1 clock_hi, 2 clock64 and globaltimer, 3 globaltimer_lo...: all count instructions of the warp.
template <typename S> void readClock(Warp &w, const Inst &i, uint32_t mask) {
  const uint64_t now = w.executed + ++w.clockTicks;
  const S value = i.extra == 1 ? S(now >> 32) : S(now);
  storeLanes(slots<S>(w, i.d), mask, [&](int) { return value; });
}

bool decodeMov(Decoder &d) {
  ScalarType t = d.type("pred b16 b32 b64 u16 u32 u64 s16 s32 s64 f16 bf16 f16x2 bf16x2 f32 f64");
  if (d.failed() || !d.arity(2))
    return false;
  Inst &i = d.inst;
  const Operand &to = d.operand(0), &from = d.operand(1);
  if (t.kind == 'p') {
    i.a = d.predicate(from);
    i.d = d.predicateDestination(to);
    i.fn = movePredicate;
    return !d.failed();
  }
  if (to.kind == Operand::Vector || from.kind == Operand::Vector) {
    const Operand &vector = to.kind == Operand::Vector ? to : from;
    if (to.kind == from.kind || t.kind != 'b' || t.bits == 16 || (vector.count != 2 && vector.count != 4) ||
        t.bits / vector.count < 16)
      return d.fail("'mov' packs or unpacks two or four parts of 16 or 32 bits");
    const ScalarType part{'b', uint16_t(t.bits / vector.count)};
    i.size = part.bits;
    i.count = vector.count;
    i.wideData = t.bits == 64;
    int32_t offsets[4];
    if (to.kind == Operand::Vector) {
      i.a = d.source(from, t);
      for (uint32_t n = 0; n < vector.count; ++n)
        offsets[n] = d.destination(d.element(vector, n), part);
      i.fn = unpackParts;
    } else {
      for (uint32_t n = 0; n < vector.count; ++n)
        offsets[n] = d.source(d.element(vector, n), part);
      i.d = d.destination(to, t);
      i.fn = packParts;
    }
    for (uint32_t n = 0; n < vector.count; ++n) {
      const uint32_t at = d.pool(offsets[n]);
      if (n == 0)
        i.pool = at;
    }
    return !d.failed();
  }
  if (from.kind == Operand::Special && !from.offset) {
    const std::string_view name = from.name;
    const bool wide = name == "%clock64" || name == "%globaltimer";
    if (wide || name == "%clock" || name == "%clock_hi" || name == "%globaltimer_lo" || name == "%globaltimer_hi") {
      if (t.bits != (wide ? 64 : 32))
        return d.fail("this special register has another width");
      i.extra = name.back() == 'i' ? 1 : 0;
      i.d = d.destination(to, t);
      i.fn = wide ? readClock<uint64_t> : readClock<uint32_t>;
      return !d.failed();
    }
  }
  // Addresses and bits move into registers of any type of this width.
  const ScalarType bits{t.kind == 'f' || t.kind == 'h' ? t.kind : 'b', t.bits};
  i.a = d.source(from, from.kind == Operand::Int ? t : bits);
  i.d = d.destination(to, bits);
  i.fn = t.bits == 64 ? move<uint64_t> : move<uint32_t>;
  return !d.failed();
}

const OpcodeEntry table[] = {
    {"add", decodeAddSub}, {"sub", decodeAddSub},  {"addc", decodeAddSub}, {"subc", decodeAddSub},
    {"mul", decodeMul},    {"mad", decodeMul},     {"madc", decodeMul},    {"mul24", decodeMul24},
    {"sad", decodeSad},    {"div", decodeDivRem},  {"rem", decodeDivRem},  {"min", decodeMinMax},
    {"max", decodeMinMax}, {"abs", decodeAbsNeg},  {"neg", decodeAbsNeg},  {"and", decodeLogic},
    {"or", decodeLogic},   {"xor", decodeLogic},   {"not", decodeLogic},   {"cnot", decodeLogic},
    {"shl", decodeShift},  {"shr", decodeShift},   {"shf", decodeFunnel},  {"popc", decodeCount},
    {"clz", decodeCount},  {"bfind", decodeCount}, {"brev", decodeCount},  {"bfe", decodeBfe},
    {"bfi", decodeBfi},    {"prmt", decodePrmt},   {"lop3", decodeLop3},   {"dp4a", decodeDp4a},
    {"setp", decodeSetp},  {"set", decodeSetp},    {"selp", decodeSelp},   {"slct", decodeSlct},
    {"mov", decodeMov},
};

} // namespace

OpcodeTable integerOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
