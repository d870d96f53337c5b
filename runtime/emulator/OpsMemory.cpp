// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads, stores, atomics, address conversion and cache hints.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Half.h"
#include "runtime/emulator/Lanes.h"

#include <algorithm>

namespace fovea::emulator {

namespace {

// --- ld, st ---

uint64_t extend(uint64_t v, uint8_t size, bool isSigned) {
  if (size == 8)
    return v;
  const int shift = 64 - 8 * size;
  return isSigned ? uint64_t(int64_t(v << shift) >> shift) : v << shift >> shift;
}

template <typename T> void load(Warp &w, const Inst &i, uint32_t mask) {
  uint64_t address[32];
  uint8_t *at[32];
  uint32_t undefined;
  laneAddresses(w, i, address);
  const uint32_t good = resolve(w, i, mask, i.space, address, i.size * i.count, AccessKind::Load, at, undefined);
  for (uint32_t n = 0; n < i.count; ++n) {
    const int32_t to = i.count == 1 ? i.d : w.launch->kernel->pool[i.pool + n];
    const uint32_t offset = n * sizeof(T);
    if (sizeof(T) == 4 && i.dataBits == 32 && good == fullMask) {
      uint32_t *d = w.r32(to);
      for (int l = 0; l < 32; ++l)
        std::memcpy(&d[l], at[l] + offset, 4);
      continue;
    }
    if (good != mask)
      forLanes(mask & ~good, [&](uint32_t l) {
        if (i.dataBits == 64)
          w.r64(to)[l] = 0;
        else
          w.r32(to)[l] = 0;
      });
    forLanes(good, [&](uint32_t l) {
      T raw;
      std::memcpy(&raw, at[l] + offset, sizeof(T));
      const uint64_t v = extend(raw, sizeof(T), i.isSigned);
      if (i.dataBits == 64)
        w.r64(to)[l] = v;
      else
        w.r32(to)[l] = i.dataBits == 16 ? uint32_t(v) & 0xffff : uint32_t(v);
    });
  }
}

/// ld.param with a constant address: one value for all lanes.
template <typename T> void loadUniform(Warp &w, const Inst &i, uint32_t mask) {
  for (uint32_t n = 0; n < i.count; ++n) {
    const int32_t to = i.count == 1 ? i.d : w.launch->kernel->pool[i.pool + n];
    T raw;
    std::memcpy(&raw, w.launch->params.data() + i.imm + n * sizeof(T), sizeof(T));
    const uint64_t v = extend(raw, sizeof(T), i.isSigned);
    if (i.dataBits == 64)
      storeLanes(w.r64(to), mask, [&](int) { return v; });
    else
      storeLanes(w.r32(to), mask, [&](int) { return i.dataBits == 16 ? uint32_t(v) & 0xffff : uint32_t(v); });
  }
}

/// Of lanes of one store that meet at an address, all must have stored what the memory holds now.
template <typename T> void checkMeeting(Warp &w, const Inst &i, uint32_t good, const uint64_t *address, uint8_t **at) {
  for (uint32_t n = 0; n < i.count; ++n) {
    const int32_t from = i.count == 1 ? i.b : w.launch->kernel->pool[i.pool + n];
    if (from < 0)
      continue;
    const uint32_t offset = n * sizeof(T);
    auto value = [&](uint32_t l) { return i.dataBits == 64 ? T(w.r64(from)[l]) : T(w.r32(from)[l]); };
    uint32_t lost = 0;
    forLanes(good, [&](uint32_t l) {
      const T v = value(l);
      if (std::memcmp(at[l] + offset, &v, sizeof(T)) == 0)
        return;
      // Another CTA may have written there meanwhile, which is another finding.
      forLanes(good, [&](uint32_t k) { lost |= uint32_t(at[k] == at[l] && value(k) != v) << l; });
    });
    if (lost && w.launch->wants(i, FindingKind::Race)) {
      const uint32_t lane = uint32_t(std::countr_zero(lost));
      w.launch->add(w, i, FindingKind::Race, lane, address[lane] + offset,
                    objectAt(*w.launch, i.space, address[lane] + offset),
                    "lanes of one store write different values to " + hex(address[lane] + offset));
    }
  }
}

template <typename T> void store(Warp &w, const Inst &i, uint32_t mask) {
  uint64_t address[32];
  uint8_t *at[32];
  uint32_t undefined;
  laneAddresses(w, i, address);
  const uint32_t good = resolve(w, i, mask, i.space, address, i.size * i.count, AccessKind::Store, at, undefined);
  for (uint32_t n = 0; n < i.count; ++n) {
    const int32_t from = i.count == 1 ? i.b : w.launch->kernel->pool[i.pool + n];
    if (from < 0)
      continue;
    const uint32_t offset = n * sizeof(T);
    forLanes(good, [&](uint32_t l) {
      const T v = i.dataBits == 64 ? T(w.r64(from)[l]) : T(w.r32(from)[l]);
      std::memcpy(at[l] + offset, &v, sizeof(T));
    });
    // Undefined values make undefined memory where that is tracked; in global memory they were reported already.
    if (w.valid && (i.space == Space::Shared || i.space == Space::Local)) {
      const uint32_t bad = good & ~w.valid[from / 128];
      if (bad && i.space == Space::Shared && w.cta->shadow.tracksInit())
        forLanes(bad,
                 [&](uint32_t l) { w.cta->shadow.setInitialised(uint32_t(address[l]) + offset, sizeof(T), false); });
      if (bad && i.space == Space::Local && !w.cta->localInit.empty())
        forLanes(bad, [&](uint32_t l) {
          std::memset(w.cta->localInit.data() + (at[l] - w.cta->local.data()) + offset, 0, sizeof(T));
        });
    }
  }
  if (w.launch->races && i.space != Space::Local)
    checkMeeting<T>(w, i, good, address, at);
}

bool semantics(Decoder &d, bool isLoad) {
  const std::string_view sem = d.takeAny({"weak", "volatile", "relaxed", isLoad ? "acquire" : "release", "mmio"});
  if (sem == "mmio" && !d.take("relaxed"))
    return d.fail("'.mmio' needs '.relaxed'");
  if (sem == "relaxed" || sem == "acquire" || sem == "release" || sem == "mmio") {
    if (d.takeAny({"cta", "cluster", "gpu", "sys"}).empty())
      return d.fail("'." + std::string(sem) + "' needs a scope");
  }
  d.inst.uniform = !sem.empty() && sem != "weak";
  return true;
}

Space takeSpace(Decoder &d, bool withParam) {
  if (d.take("global"))
    return Space::Global;
  if (d.take("shared") || d.take("shared::cta") || d.take("shared::cluster"))
    return Space::Shared;
  if (d.take("local"))
    return Space::Local;
  if (d.take("const"))
    return Space::Const;
  if (withParam && (d.take("param") || d.take("param::entry")))
    return Space::Param;
  return Space::Generic;
}

/// Cache hints in the order of the ISA; `hint` is set if one takes an operand.
void cacheHints(Decoder &d, bool &hint) {
  d.takeAny({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate"});
  d.takeAny({"L2::evict_normal", "L2::evict_first", "L2::evict_last"});
  hint = d.take("L2::cache_hint");
  d.takeAny({"L2::64B", "L2::128B", "L2::256B"});
}

bool vectorShape(Decoder &d, ScalarType &t) {
  Inst &i = d.inst;
  i.count = d.take("v2") ? 2 : d.take("v4") ? 4 : d.take("v8") ? 8 : 1;
  t = d.type("b8 b16 b32 b64 u8 u16 u32 u64 s8 s16 s32 s64 f32 f64");
  if (d.failed())
    return false;
  i.size = uint8_t(t.bytes());
  i.isSigned = t.kind == 's';
  const uint32_t total = i.size * i.count;
  if (total > 32 || (total > 16 && (d.sm() < 100 || i.size < 4)) || (i.count == 8 && i.size != 4))
    return d.fail("a vector access of more than 16 bytes");
  return true;
}

template <template <typename> class Pick> Handler bySize(uint8_t size) {
  switch (size) {
  case 1:
    return Pick<uint8_t>::fn();
  case 2:
    return Pick<uint16_t>::fn();
  case 4:
    return Pick<uint32_t>::fn();
  default:
    return Pick<uint64_t>::fn();
  }
}
template <typename T> struct PickLoad {
  static Handler fn() { return load<T>; }
};
template <typename T> struct PickUniform {
  static Handler fn() { return loadUniform<T>; }
};
template <typename T> struct PickStore {
  static Handler fn() { return store<T>; }
};

bool decodeLd(Decoder &d) {
  Inst &i = d.inst;
  if (!semantics(d, true))
    return false;
  const Space space = takeSpace(d, true);
  bool hint = false;
  d.takeAny({"ca", "cg", "cs", "lu", "cv"});
  const bool nc = d.take("nc");
  if (nc && space != Space::Global)
    return d.fail("'.nc' needs '.global'");
  cacheHints(d, hint);
  ScalarType t;
  if (!vectorShape(d, t) || !d.arity(hint ? 3 : 2))
    return false;
  const Operand &to = d.operand(0);
  if (!d.address(d.operand(1), space))
    return false;
  if (i.count == 1) {
    if (to.kind == Operand::Vector)
      return d.fail("a vector where one register is expected");
    i.d = d.destinationWider(to, t, i.dataBits);
  } else {
    if (to.kind != Operand::Vector || to.count != i.count)
      return d.fail("a vector of " + std::to_string(i.count) + " registers is expected");
    int32_t offsets[8];
    uint8_t widths[8];
    i.dataBits = 0;
    for (uint32_t n = 0; n < i.count; ++n) {
      offsets[n] = d.destinationWider(d.element(to, n), t, widths[n]);
      if (d.element(to, n).kind == Operand::Reg) {
        if (i.dataBits && widths[n] != i.dataBits)
          return d.fail("registers of different widths in one vector");
        i.dataBits = widths[n];
      }
    }
    if (!i.dataBits)
      i.dataBits = uint8_t(std::max<int>(16, t.bits));
    for (uint32_t n = 0; n < i.count; ++n) {
      // A sink has the type's own width; give it one that fits the registers beside it.
      int32_t offset = offsets[n];
      if (d.element(to, n).kind == Operand::Sink)
        offset = d.destinationWider(d.element(to, n), {'b', i.dataBits}, widths[n]);
      const uint32_t at = d.pool(offset);
      if (n == 0)
        i.pool = at;
    }
  }
  if (hint)
    d.source(2u, {'b', 64});
  if (d.failed())
    return false;
  i.fn = bySize<PickLoad>(i.size);
  const Operand &base = d.element(d.operand(1), 0);
  if (space == Space::Param && base.kind == Operand::KernelParam) {
    const ParamInfo &p = d.ast().info.params[base.index];
    const int64_t offset = d.operand(1).offset;
    if (offset < 0 || uint64_t(offset) + i.size * i.count > p.size)
      return d.fail("reads outside parameter '" + p.name + "' of " + std::to_string(p.size) + " bytes");
    i.imm = p.offset + offset;
    if (i.imm % (i.size * i.count))
      return d.fail("parameter '" + p.name + "' is not aligned for this access");
    i.fn = bySize<PickUniform>(i.size);
  }
  return true;
}

bool decodeSt(Decoder &d) {
  Inst &i = d.inst;
  if (d.take("async"))
    return d.unsupported("'st.async'");
  if (!semantics(d, false))
    return false;
  const Space space = takeSpace(d, false);
  if (space == Space::Const)
    return d.fail("constant memory cannot be stored to");
  bool hint = false;
  d.takeAny({"wb", "cg", "cs", "wt"});
  cacheHints(d, hint);
  ScalarType t;
  if (!vectorShape(d, t) || !d.arity(hint ? 3 : 2))
    return false;
  if (!d.address(d.operand(0), space))
    return false;
  const Operand &from = d.operand(1);
  if (i.count == 1) {
    if (from.kind == Operand::Vector)
      return d.fail("a vector where one value is expected");
    i.b = d.sourceWider(from, t, i.dataBits);
  } else {
    if (from.kind != Operand::Vector || from.count != i.count)
      return d.fail("a vector of " + std::to_string(i.count) + " values is expected");
    i.dataBits = 0;
    int32_t offsets[8];
    for (uint32_t n = 0; n < i.count; ++n) {
      uint8_t bits;
      offsets[n] = d.sourceWider(d.element(from, n), t, bits);
      if (i.dataBits && (bits == 64) != (i.dataBits == 64))
        return d.fail("values of different widths in one vector");
      i.dataBits = bits;
    }
    for (uint32_t n = 0; n < i.count; ++n) {
      const uint32_t at = d.pool(offsets[n]);
      if (n == 0)
        i.pool = at;
    }
  }
  if (hint)
    d.source(2u, {'b', 64});
  // What reaches global memory must be defined; shared and local memory remember.
  if (space == Space::Global || space == Space::Generic)
    i.strict = 255;
  i.fn = bySize<PickStore>(i.size);
  return !d.failed();
}

// --- atom, red ---

enum class Atomic : uint8_t { And, Or, Xor, Exch, Cas, Add, Inc, Dec, Min, Max };

// Inst: extra = operation, size = bytes, dataBits = type: 0 unsigned and bits, 1 signed, 2 f32, 3 f64, 4 f16, 5 bf16, 6
// f16x2, 7 bf16x2.
uint64_t combine(const Inst &i, uint64_t old, uint64_t b, uint64_t c) {
  auto float32 = [](uint64_t v) { return std::bit_cast<float>(uint32_t(v)); };
  auto halfAdd = [&](uint16_t x, uint16_t y, bool bf) -> uint64_t {
    if (bf)
      return floatToBf16(oddFloat(double(bf16ToFloat(x)) + bf16ToFloat(y)));
    return floatToF16(oddFloat(double(f16ToFloat(x)) + f16ToFloat(y)));
  };
  const bool wide = i.size == 8, isSigned = i.dataBits == 1;
  switch (Atomic(i.extra)) {
  case Atomic::And:
    return old & b;
  case Atomic::Or:
    return old | b;
  case Atomic::Xor:
    return old ^ b;
  case Atomic::Exch:
    return b;
  case Atomic::Cas:
    return old == b ? c : old;
  case Atomic::Inc:
    return uint32_t(old) >= uint32_t(b) ? 0 : old + 1;
  case Atomic::Dec:
    return old == 0 || uint32_t(old) > uint32_t(b) ? b : old - 1;
  case Atomic::Min:
  case Atomic::Max: {
    const bool less = isSigned ? (wide ? int64_t(old) < int64_t(b) : int32_t(old) < int32_t(b)) : old < b;
    return less == (Atomic(i.extra) == Atomic::Min) ? old : b;
  }
  case Atomic::Add:
    break;
  }
  switch (i.dataBits) {
  case 2: {
    const float r = float32(old) + float32(b);
    return r != r ? canonicalNan : std::bit_cast<uint32_t>(r);
  }
  case 3:
    return std::bit_cast<uint64_t>(std::bit_cast<double>(old) + std::bit_cast<double>(b));
  case 4:
  case 5:
    return halfAdd(uint16_t(old), uint16_t(b), i.dataBits == 5);
  case 6:
  case 7:
    return halfAdd(uint16_t(old), uint16_t(b), i.dataBits == 7) |
           halfAdd(uint16_t(old >> 16), uint16_t(b >> 16), i.dataBits == 7) << 16;
  default:
    return old + b;
  }
}

void atomic(Warp &w, const Inst &i, uint32_t mask) {
  uint64_t address[32];
  uint8_t *at[32];
  uint32_t undefined;
  laneAddresses(w, i, address);
  const uint32_t good = resolve(w, i, mask, i.space, address, i.size, AccessKind::Atomic, at, undefined);
  forLanes(good, [&](uint32_t l) {
    uint64_t old = 0;
    std::memcpy(&old, at[l], i.size);
    const uint64_t b = i.size == 8 ? w.r64(i.b)[l] : w.r32(i.b)[l];
    const uint64_t c = i.c < 0 ? 0 : i.size == 8 ? w.r64(i.c)[l] : w.r32(i.c)[l];
    const uint64_t r = combine(i, old, b, c);
    std::memcpy(at[l], &r, i.size);
    if (i.d >= 0) {
      if (i.size == 8)
        w.r64(i.d)[l] = old;
      else
        w.r32(i.d)[l] = uint32_t(old);
    }
  });
}

bool decodeAtomic(Decoder &d) {
  Inst &i = d.inst;
  const bool red = d.statement->opcode == "red";
  if (d.take("async"))
    return d.unsupported("'red.async'");
  const bool sem = !d.takeAny({"relaxed", "acquire", "release", "acq_rel"}).empty();
  (void)sem;
  d.takeAny({"cta", "cluster", "gpu", "sys"});
  const Space space = d.take("global")                                                         ? Space::Global
                      : d.take("shared") || d.take("shared::cta") || d.take("shared::cluster") ? Space::Shared
                                                                                               : Space::Generic;
  static constexpr std::string_view names[] = {"and", "or", "xor", "exch", "cas", "add", "inc", "dec", "min", "max"};
  int op = -1;
  for (int n = 0; n < 10 && op < 0; ++n)
    if ((!red || (n != 3 && n != 4)) && d.take(names[n]))
      op = n;
  if (op < 0)
    return d.fail("unknown atomic operation");
  const bool noftz = d.take("noftz");
  const bool hint = d.take("L2::cache_hint");
  static constexpr std::string_view types[] = {"b32 b64",
                                               "b32 b64",
                                               "b32 b64",
                                               "b32 b64",
                                               "b16 b32 b64",
                                               "u32 s32 u64 f32 f64 f16 f16x2 bf16 bf16x2",
                                               "u32",
                                               "u32",
                                               "u32 s32 u64 s64",
                                               "u32 s32 u64 s64"};
  const ScalarType t = d.type(types[op]);
  if (d.failed())
    return false;
  const bool isHalf = t.kind == 'h' || t.packed || (t.kind == 'f' && t.bits == 16);
  if (isHalf != noftz)
    return d.fail(isHalf ? "atomic additions of 16-bit floats need '.noftz'" : "'.noftz' belongs to 16-bit floats");
  if (t.kind == 'h' && d.sm() < 90)
    return d.fail("atomic additions of bf16 need sm_90");
  const bool cas = Atomic(op) == Atomic::Cas;
  const uint32_t count = (red ? 2u : 3u) + cas + hint;
  if (!d.arity(count))
    return false;
  const uint32_t first = red ? 0 : 1;
  if (!d.address(d.operand(first), space))
    return false;
  i.extra = uint8_t(op);
  i.size = uint8_t(t.bytes());
  i.dataBits = t.kind == 's'              ? 1
               : t.kind == 'f' && !isHalf ? (t.bits == 32 ? 2 : 3)
               : isHalf                   ? (t.packed ? 6 : 4) + (t.kind == 'h')
                                          : 0;
  i.b = d.source(first + 1, t);
  if (cas)
    i.c = d.source(first + 2, t);
  if (hint)
    d.source(count - 1, {'b', 64});
  if (!red && d.operand(0).kind != Operand::Sink)
    i.d = d.destination(0u, t);
  i.strict = 255;
  i.fn = atomic;
  return !d.failed();
}

// --- cvta, isspacep ---

uint64_t windowOf(Space space) {
  return space == Space::Shared  ? sharedWindow
         : space == Space::Local ? localWindow
         : space == Space::Param ? paramWindow
                                 : 0;
}

template <typename S> void cvta(Warp &w, const Inst &i, uint32_t mask) {
  const S *a = slots<S>(w, i.a);
  const S offset = S(i.imm);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return S(a[l] + offset); });
}

bool decodeCvta(Decoder &d) {
  const bool to = d.take("to");
  const Space space = takeSpace(d, true);
  if (space == Space::Generic)
    return d.fail("'cvta' needs a state space");
  ScalarType t = d.type("u32 u64");
  if (d.failed() || !d.arity(2))
    return false;
  if (t.bits == 32)
    return d.fail("addresses have 64 bits");
  d.inst.imm = int64_t(to ? 0 - windowOf(space) : windowOf(space));
  d.inst.a = d.source(1u, t);
  d.inst.d = d.destination(0u, t);
  d.inst.fn = cvta<uint64_t>;
  return !d.failed();
}

void isspacep(Warp &w, const Inst &i, uint32_t mask) {
  const uint64_t *a = w.r64(i.a);
  auto space = [](uint64_t v) {
    return v >= sharedWindow && v < sharedWindowEnd ? Space::Shared
           : v >= localWindow && v < localWindowEnd ? Space::Local
           : v >= paramWindow && v < paramWindowEnd ? Space::Param
                                                    : Space::Global;
  };
  w.setPredicate(i.d, mask, collect([&](int l) { return space(a[l]) == i.space; }));
}

bool decodeIsspacep(Decoder &d) {
  d.inst.space = takeSpace(d, true);
  if (d.inst.space == Space::Generic)
    return d.fail("'isspacep' needs a state space");
  if (!d.arity(2))
    return false;
  d.inst.a = d.source(1u, {'u', 64});
  d.inst.d = d.predicateDestination(d.operand(0));
  d.inst.fn = isspacep;
  return !d.failed();
}

// --- hints ---

void nothing(Warp &, const Inst &, uint32_t) {}

bool decodePrefetch(Decoder &d) {
  const std::string_view op = d.statement->opcode;
  Space space = Space::Generic;
  if (op == "prefetch" && d.take("tensormap"))
    return d.unsupported("'prefetch.tensormap'");
  if (op != "prefetchu")
    space = d.take("global") ? Space::Global : d.take("local") ? Space::Local : Space::Generic;
  const bool known = op == "prefetch"    ? !d.takeAny({"L1", "L2", "L2::evict_last", "L2::evict_normal"}).empty()
                     : op == "prefetchu" ? d.take("L1")
                     : op == "discard"   ? d.take("L2")
                                         : d.take("L2::evict_normal");
  if (!known)
    return d.fail("unknown cache level");
  if (!d.arity(op == "prefetch" || op == "prefetchu" ? 1 : 2))
    return false;
  if (!d.address(d.operand(0), space))
    return false;
  int64_t size;
  if (d.operandCount() == 2 && (!d.immediate(d.operand(1), size) || size != 128))
    return d.fail("the size must be 128");
  if (op == "discard")
    return d.unsupported("'discard'");
  d.inst.fn = nothing;
  return !d.failed();
}

void zero64(Warp &w, const Inst &i, uint32_t mask) {
  storeLanes(w.r64(i.d), mask, [](int) { return uint64_t(0); });
}

bool decodeCreatepolicy(Decoder &d) {
  if (!d.take("fractional"))
    return d.unsupported("this form of 'createpolicy'");
  if (d.takeAny({"L2::evict_last", "L2::evict_normal", "L2::evict_first", "L2::evict_unchanged"}).empty())
    return d.fail("'createpolicy' needs a priority");
  d.takeAny({"L2::evict_first", "L2::evict_unchanged"});
  d.type("b64");
  if (d.failed() || !d.arity(1, 2))
    return false;
  if (d.operandCount() == 2)
    d.source(1u, {'f', 32});
  d.inst.d = d.destination(0u, {'b', 64});
  d.inst.fn = zero64;
  return !d.failed();
}

const OpcodeEntry table[] = {
    {"ld", decodeLd},
    {"st", decodeSt},
    {"atom", decodeAtomic},
    {"red", decodeAtomic},
    {"cvta", decodeCvta},
    {"isspacep", decodeIsspacep},
    {"prefetch", decodePrefetch},
    {"prefetchu", decodePrefetch},
    {"applypriority", decodePrefetch},
    {"discard", decodePrefetch},
    {"createpolicy", decodeCreatepolicy},
};

} // namespace

OpcodeTable memoryOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
