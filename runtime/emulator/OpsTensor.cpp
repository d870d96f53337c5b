// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor-core instructions: ldmatrix, stmatrix, movmatrix, mma.sync. Lane = 4*g + t; a 16-bit fragment register of a
// warp read in lane order is an 8x8 row-major matrix, which makes most layouts plain copies.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Half.h"
#include "runtime/emulator/Lanes.h"
#include "runtime/emulator/TensorCore.h"

#include <algorithm>

#if defined(__AVX2__) && defined(__F16C__)
#include <immintrin.h>
#endif

namespace fovea::emulator {

namespace {

void transpose8(const uint16_t *in, uint16_t *out) {
  for (int r = 0; r < 8; ++r)
    for (int c = 0; c < 8; ++c)
      out[c * 8 + r] = in[r * 8 + c];
}

/// Row addresses of ldmatrix and stmatrix: the first 8*count lanes', checked. Returns false if one is bad.
bool rowAddresses(Warp &w, const Inst &i, uint32_t *rows) {
  uint64_t address[32];
  laneAddresses(w, i, address);
  const uint32_t lanes = 8u * i.count;
  if (w.valid) {
    const uint32_t needed = lanes == 32 ? fullMask : (1u << lanes) - 1;
    const uint32_t bad = needed & ~w.valid[i.a / 128];
    if (bad && w.launch->wants(i, FindingKind::Uninitialised))
      w.launch->add(w, i, FindingKind::Uninitialised, uint32_t(std::countr_zero(bad)), 0, "",
                    "the address register was never written in this lane");
  }
  for (uint32_t l = 0; l < lanes; ++l) {
    uint64_t a = address[l];
    if (i.space == Space::Generic)
      a -= sharedWindow;
    if (!sharedAddress(w, i, l, a, 16, 16))
      return false;
    rows[l] = uint32_t(a);
  }
  return true;
}

void ldmatrix(Warp &w, const Inst &i, uint32_t) {
  uint32_t rows[32];
  const int32_t *to = &w.launch->kernel->pool[i.pool];
  const bool good = rowAddresses(w, i, rows);
  Cta &cta = *w.cta;
  for (uint32_t q = 0; q < i.count; ++q) {
    if (w.valid)
      w.valid[to[q] / 128] = fullMask;
    if (!good)
      std::memset(w.r32(to[q]), 0, 128);
  }
  if (!good)
    return;
  const uint32_t lanes = 8u * i.count;
  SharedShadow &shadow = cta.shadow;
  if (shadow.tracksInit())
    for (uint32_t l = 0; l < lanes; ++l)
      if (!shadow.initialised(rows[l], 16)) {
        if (w.launch->wants(i, FindingKind::Uninitialised))
          w.launch->add(w, i, FindingKind::Uninitialised, l, rows[l], objectAt(*w.launch, Space::Shared, rows[l]),
                        "reads a row of 16 bytes of shared memory of which some were never written (or written with "
                        "undefined values)");
        break;
      }
  if (shadow.tracksRaces())
    for (uint32_t l = 0; l < lanes; ++l)
      shadow.access(w, i, collectiveLane, rows[l], 16, AccessKind::Load);
  if (w.launch->counting) {
    countPhases(w, i, rows, lanes);
    w.launch->report.counters.sharedLoadBytes += lanes * 16;
  }
  const uint8_t *base = cta.shared.data();
  for (uint32_t q = 0; q < i.count; ++q) {
    alignas(32) uint16_t matrix[64];
    uint16_t *out = i.flag ? matrix : reinterpret_cast<uint16_t *>(w.regs + to[q]);
    for (int r = 0; r < 8; ++r)
      std::memcpy(out + r * 8, base + rows[q * 8 + uint32_t(r)], 16);
    if (i.flag) {
      alignas(32) uint16_t turned[64];
      transpose8(matrix, turned);
      std::memcpy(w.regs + to[q], turned, 128);
    }
  }
}

void stmatrix(Warp &w, const Inst &i, uint32_t) {
  uint32_t rows[32];
  const int32_t *from = &w.launch->kernel->pool[i.pool];
  if (!rowAddresses(w, i, rows))
    return;
  Cta &cta = *w.cta;
  const uint32_t lanes = 8u * i.count;
  SharedShadow &shadow = cta.shadow;
  if (shadow.tracksRaces())
    for (uint32_t l = 0; l < lanes; ++l)
      shadow.access(w, i, collectiveLane, rows[l], 16, AccessKind::Store);
  if (shadow.tracksInit())
    for (uint32_t l = 0; l < lanes; ++l) {
      shadow.setInitialised(rows[l], 16, true);
      if (!w.valid)
        continue;
      // Row r of matrix q comes from lanes 4r..4r+3, transposed from pairs of lanes of column r.
      const uint32_t q = l / 8, r = l % 8, v = w.valid[from[q] / 128];
      for (uint32_t c = 0; c < 8; ++c) {
        const uint32_t lane = i.flag ? c * 4 + r / 2 : r * 4 + c / 2;
        if (!(v >> lane & 1))
          shadow.setInitialised(rows[l] + c * 2, 2, false);
      }
    }
  if (w.launch->counting) {
    countPhases(w, i, rows, lanes);
    w.launch->report.counters.sharedStoreBytes += lanes * 16;
  }
  uint8_t *base = cta.shared.data();
  for (uint32_t q = 0; q < i.count; ++q) {
    alignas(32) uint16_t matrix[64], turned[64];
    std::memcpy(matrix, w.regs + from[q], 128);
    if (i.flag)
      transpose8(matrix, turned);
    const uint16_t *in = i.flag ? turned : matrix;
    for (int r = 0; r < 8; ++r)
      std::memcpy(base + rows[q * 8 + uint32_t(r)], in + r * 8, 16);
  }
}

bool decodeMatrix(Decoder &d) {
  Inst &i = d.inst;
  const bool isLoad = d.statement->opcode == "ldmatrix";
  if (!d.take("sync") || !d.take("aligned"))
    return d.fail("'" + std::string(d.statement->opcode) + "' needs .sync.aligned");
  if (!isLoad && d.sm() < 90)
    return d.fail("'stmatrix' needs sm_90");
  if (!d.take("m8n8"))
    return d.unsupported("this shape of '" + std::string(d.statement->opcode) + "'");
  i.count = d.take("x1") ? 1 : d.take("x2") ? 2 : d.take("x4") ? 4 : 0;
  if (!i.count)
    return d.fail("'.x1', '.x2' or '.x4' is missing");
  i.flag = d.take("trans");
  const bool shared = d.take("shared") || d.take("shared::cta");
  d.type("b16");
  if (d.failed() || !d.arity(2))
    return false;
  const Operand &vector = d.operand(isLoad ? 0 : 1);
  if (!d.address(d.operand(isLoad ? 1 : 0), shared ? Space::Shared : Space::Generic))
    return false;
  i.strict = 0; // only the first lanes' addresses count; the handler looks
  const uint32_t given = vector.kind == Operand::Vector ? vector.count : 1;
  if (given != i.count)
    return d.fail("a vector of " + std::to_string(i.count) + " registers is expected");
  for (uint32_t n = 0; n < i.count; ++n) {
    const Operand &o = vector.kind == Operand::Vector ? d.element(vector, n) : vector;
    const int32_t offset = isLoad ? d.destination(o, {'b', 32}) : d.source(o, {'b', 32});
    const uint32_t at = d.pool(offset);
    if (n == 0)
      i.pool = at;
  }
  i.kind = Kind::Aligned;
  i.validity = Validity::Handler;
  i.fn = isLoad ? ldmatrix : stmatrix;
  return !d.failed();
}

void movmatrix(Warp &w, const Inst &i, uint32_t) {
  alignas(32) uint16_t in[64], out[64];
  std::memcpy(in, w.regs + i.a, 128);
  transpose8(in, out);
  std::memcpy(w.regs + i.d, out, 128);
}

bool decodeMovmatrix(Decoder &d) {
  if (!d.take("sync") || !d.take("aligned") || !d.take("m8n8") || !d.take("trans"))
    return d.fail("'movmatrix' is .sync.aligned.m8n8.trans");
  d.type("b16");
  if (d.failed() || !d.arity(2))
    return false;
  d.inst.a = d.source(1u, {'b', 32});
  d.inst.d = d.destination(0u, {'b', 32});
  d.inst.kind = Kind::Aligned;
  d.inst.fn = movmatrix;
  return !d.failed();
}

// --- mma.sync ---

enum class Multiplicand : uint8_t { Bf16, F16, Tf32, E4m3, E5m2, Int8 };

// Inst: pool = d, a, b, c registers in this order; size = k; count = registers of d and c; dataBits = multiplicand of
// a, extra = of b (fp8 and int8: bit 0 sign for int8); flag: f16 accumulator; isSigned: a signed; uniform: b signed.

/// Fragment registers of 16-bit elements to floats: register h of a warp is 64 elements in order.
inline void widen64(const uint32_t *reg, float *out, bool bf) {
  const uint16_t *h = reinterpret_cast<const uint16_t *>(reg);
  if (bf)
    for (int n = 0; n < 64; ++n)
      out[n] = bf16ToFloat(h[n]);
  else
    for (int n = 0; n < 64; ++n)
      out[n] = f16ToFloat(h[n]);
}

#if defined(__AVX2__) && defined(__F16C__)
inline __m256 widen8(const uint16_t *h, bool bf) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(h));
  return bf ? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)) : _mm256_cvtph_ps(v);
}

/// A register of eight columns of B, 16-bit: its eight rows of eight k become eight rows of columns, even ones first.
inline void widenTransposed(const uint32_t *reg, float *out, bool bf) {
  const uint16_t *h = reinterpret_cast<const uint16_t *>(reg);
  __m256 r[8], t[8];
  for (int n = 0; n < 8; ++n)
    r[n] = widen8(h + 8 * (n < 4 ? 2 * n : 2 * n - 7), bf);
  for (int n = 0; n < 4; ++n) {
    t[2 * n] = _mm256_unpacklo_ps(r[2 * n], r[2 * n + 1]);
    t[2 * n + 1] = _mm256_unpackhi_ps(r[2 * n], r[2 * n + 1]);
  }
  for (int n = 0; n < 2; ++n) {
    r[4 * n] = _mm256_shuffle_ps(t[4 * n], t[4 * n + 2], 0x44);
    r[4 * n + 1] = _mm256_shuffle_ps(t[4 * n], t[4 * n + 2], 0xee);
    r[4 * n + 2] = _mm256_shuffle_ps(t[4 * n + 1], t[4 * n + 3], 0x44);
    r[4 * n + 3] = _mm256_shuffle_ps(t[4 * n + 1], t[4 * n + 3], 0xee);
  }
  for (int n = 0; n < 4; ++n) {
    _mm256_store_ps(out + 8 * n, _mm256_permute2f128_ps(r[n], r[n + 4], 0x20));
    _mm256_store_ps(out + 8 * (n + 4), _mm256_permute2f128_ps(r[n], r[n + 4], 0x31));
  }
}
#endif

/// Column n of an accumulator row lies at (n>>1) + 4*(n&1): even columns first, as registers hold them.
inline int place(int n) { return (n >> 1) + 4 * (n & 1); }

/// A row of A lies in the four lanes of a group and makes that group's results; a column of B lies in a group too and
/// makes the results of lanes t = column / 2 of every group.
void mmaValidity(Warp &w, const Inst &i, const int32_t *regs, int accumulators, int aRegs, int bRegs) {
  uint32_t a = fullMask, b = fullMask, c = fullMask;
  for (int n = 0; n < aRegs; ++n)
    a &= w.valid[regs[accumulators + n] / 128];
  for (int n = 0; n < bRegs; ++n)
    b &= w.valid[regs[accumulators + aRegs + n] / 128];
  for (int n = 0; n < accumulators; ++n)
    c &= w.valid[regs[accumulators + aRegs + bRegs + n] / 128];
  uint32_t result = c;
  if ((a & b) != fullMask)
    for (uint32_t g = 0; g < 8; ++g) {
      if ((a >> (4 * g) & 15) != 15)
        result &= ~(15u << (4 * g));
      if ((b >> (4 * g) & 15) != 15)
        result &= ~(0x11111111u << (g / 2));
    }
  for (int n = 0; n < accumulators; ++n)
    w.valid[regs[n] / 128] = result;
}

void mmaFloat(Warp &w, const Inst &i, uint32_t) {
  const int32_t *regs = &w.launch->kernel->pool[i.pool];
  const int k = i.size, accumulators = i.count;
  const Multiplicand type = Multiplicand(i.dataBits);
  const int elementsPerLane = type == Multiplicand::Tf32                                 ? 1
                              : type == Multiplicand::E4m3 || type == Multiplicand::E5m2 ? 4
                                                                                         : 2;
  const int span = 4 * elementsPerLane; // columns that one register covers
  const int aRegs = 2 * (k / span), bRegs = k / span;
  const int32_t *dRegs = regs, *a = regs + accumulators, *b = a + aRegs, *c = b + bRegs;
  if (w.valid)
    mmaValidity(w, i, regs, accumulators, aRegs, bRegs);
  alignas(32) float A[16 * 32], B[32 * 8], D[16 * 8];
  alignas(32) float lanes[128];
  auto expand = [&](const uint32_t *reg, Multiplicand t) {
    switch (t) {
    case Multiplicand::Bf16:
      widen64(reg, lanes, true);
      break;
    case Multiplicand::F16:
      widen64(reg, lanes, false);
      break;
    case Multiplicand::Tf32:
      for (int l = 0; l < 32; ++l)
        lanes[l] = std::bit_cast<float>(reg[l] & ~0x1fffu);
      break;
    default: {
      const uint8_t *bytes = reinterpret_cast<const uint8_t *>(reg);
      for (int n = 0; n < 128; ++n)
        lanes[n] = float(fp8ToDouble(bytes[n], t == Multiplicand::E5m2));
    }
    }
  };
  bool ready = false;
#if defined(__AVX2__) && defined(__F16C__)
  if (elementsPerLane == 2) {
    const bool bf = type == Multiplicand::Bf16;
    for (int h = 0; h < aRegs; ++h) {
      const uint16_t *in = reinterpret_cast<const uint16_t *>(w.r32(a[h]));
      for (int g = 0; g < 8; ++g)
        _mm256_storeu_ps(&A[(8 * (h & 1) + g) * k + 8 * (h >> 1)], widen8(in + 8 * g, bf));
    }
    for (int h = 0; h < bRegs; ++h)
      widenTransposed(w.r32(b[h]), &B[h * 64], bf);
    ready = true;
  }
#endif
  if (!ready) {
    for (int h = 0; h < aRegs; ++h) {
      expand(w.r32(a[h]), type);
      const int rowBase = 8 * (h & 1), column = span * (h >> 1);
      for (int g = 0; g < 8; ++g)
        std::memcpy(&A[(rowBase + g) * k + column], &lanes[g * span], size_t(span) * 4);
    }
    for (int h = 0; h < bRegs; ++h) {
      expand(w.r32(b[h]), Multiplicand(i.extra));
      for (int g = 0; g < 8; ++g)
        for (int n = 0; n < span; ++n)
          B[(h * span + n) * 8 + place(g)] = lanes[g * span + n];
    }
  }
  if (i.flag) {
    for (int h = 0; h < 2; ++h) {
      const uint16_t *in = reinterpret_cast<const uint16_t *>(w.r32(c[h]));
      for (int g = 0; g < 8; ++g)
        for (int n = 0; n < 8; ++n)
          D[(h * 8 + g) * 8 + place(n)] = f16ToFloat(in[g * 8 + n]);
    }
  } else {
    for (int h = 0; h < 2; ++h)
      for (int g = 0; g < 8; ++g) {
        std::memcpy(&D[(h * 8 + g) * 8], w.r32(c[2 * h]) + 4 * g, 16);
        std::memcpy(&D[(h * 8 + g) * 8 + 4], w.r32(c[2 * h + 1]) + 4 * g, 16);
      }
  }
  if (w.launch->options.accumulate == Accumulate::Exact) {
    static constexpr int fractions[] = {7, 10, 10, 3, 2};
    const bool hopper = w.launch->module->sm >= 90;
    ExactModel model;
    model.fraction = hopper ? 25 : 24;
    model.step = hopper ? k : type == Multiplicand::Tf32 ? 4 : elementsPerLane == 4 ? 16 : 8;
    multiplyExact(A, B, D, k, std::max(fractions[int(type)], fractions[i.extra]), model);
  } else {
    multiplyFma(A, B, D, k);
  }
  if (i.flag) {
    for (int h = 0; h < 2; ++h) {
      uint16_t *out = reinterpret_cast<uint16_t *>(w.r32(dRegs[h]));
      for (int g = 0; g < 8; ++g)
        for (int n = 0; n < 8; ++n)
          out[g * 8 + n] = floatToF16(D[(h * 8 + g) * 8 + place(n)]);
    }
  } else {
    for (int n = 0; n < 128; ++n)
      D[n] = D[n] != D[n] ? std::bit_cast<float>(canonicalNan) : D[n];
    for (int h = 0; h < 2; ++h)
      for (int g = 0; g < 8; ++g) {
        std::memcpy(w.r32(dRegs[2 * h]) + 4 * g, &D[(h * 8 + g) * 8], 16);
        std::memcpy(w.r32(dRegs[2 * h + 1]) + 4 * g, &D[(h * 8 + g) * 8 + 4], 16);
      }
  }
  if (w.launch->counting)
    w.launch->report.counters.tensorOps += uint64_t(16 * 8 * k);
}

void mmaInt8(Warp &w, const Inst &i, uint32_t) {
  const int32_t *regs = &w.launch->kernel->pool[i.pool];
  const int k = i.size, aRegs = k / 8, bRegs = k / 16;
  const int32_t *dRegs = regs, *a = regs + 4, *b = a + aRegs, *c = b + bRegs;
  if (w.valid)
    mmaValidity(w, i, regs, 4, aRegs, bRegs);
  int32_t A[16][32], B[32][8];
  for (int h = 0; h < aRegs; ++h)
    for (int n = 0; n < 128; ++n) {
      const uint8_t v = uint8_t(w.r32(a[h])[n / 4] >> (8 * (n % 4)));
      A[n / 16 + 8 * (h & 1)][n % 16 + 16 * (h >> 1)] = i.isSigned ? int32_t(int8_t(v)) : int32_t(v);
    }
  for (int h = 0; h < bRegs; ++h)
    for (int n = 0; n < 128; ++n) {
      const uint8_t v = uint8_t(w.r32(b[h])[n / 4] >> (8 * (n % 4)));
      B[n % 16 + 16 * h][n / 16] = i.uniform ? int32_t(int8_t(v)) : int32_t(v);
    }
  int32_t out[4][32];
  for (int h = 0; h < 4; ++h)
    for (int l = 0; l < 32; ++l) {
      const int row = l / 4 + 8 * (h >> 1), column = 2 * (l & 3) + (h & 1);
      int64_t sum = int32_t(w.r32(c[h])[l]);
      for (int n = 0; n < k; ++n)
        sum += A[row][n] * B[n][column];
      if (i.flag)
        sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
      out[h][l] = int32_t(uint32_t(uint64_t(sum)));
    }
  for (int h = 0; h < 4; ++h)
    std::memcpy(w.r32(dRegs[h]), out[h], 128);
  if (w.launch->counting)
    w.launch->report.counters.tensorOps += uint64_t(16 * 8 * k);
}

bool fragment(Decoder &d, uint32_t index, uint32_t count, ScalarType t, bool isDestination, uint32_t *first) {
  const Operand &o = d.operand(index);
  const uint32_t given = o.kind == Operand::Vector ? o.count : 1;
  if (given != count)
    return d.fail("operand " + std::to_string(index + 1) + " of 'mma' has " + std::to_string(count) +
                  " registers, not " + std::to_string(given));
  for (uint32_t n = 0; n < count; ++n) {
    const Operand &e = o.kind == Operand::Vector ? d.element(o, n) : o;
    const uint32_t at = d.pool(isDestination ? d.destination(e, t) : d.source(e, t));
    if (first && n == 0)
      *first = at;
  }
  return !d.failed();
}

bool decodeMma(Decoder &d) {
  Inst &i = d.inst;
  if (!d.take("sync") || !d.take("aligned"))
    return d.fail("'mma' needs .sync.aligned");
  const std::string_view shape = d.takeAny({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"});
  if (shape.empty())
    return d.unsupported("this shape of 'mma'");
  const int k = shape == "m16n8k4" ? 4 : shape == "m16n8k8" ? 8 : shape == "m16n8k16" ? 16 : 32;
  if (!d.take("row") || !d.take("col"))
    return d.fail("'mma' is .row.col");
  const bool satfinite = d.take("satfinite");
  const std::string_view dType = d.takeAny({"f32", "f16", "s32"});
  const std::string_view aType = d.takeAny({"bf16", "f16", "tf32", "e4m3", "e5m2", "s8", "u8"});
  const std::string_view bType = d.takeAny({"bf16", "f16", "tf32", "e4m3", "e5m2", "s8", "u8"});
  const std::string_view cType = d.takeAny({"f32", "f16", "s32"});
  if (dType.empty() || aType.empty() || bType.empty() || cType.empty())
    return d.unsupported("these types of 'mma'");
  if (!d.arity(4))
    return false;
  if (dType != cType)
    return d.unsupported("'mma' with different accumulator types");
  auto is8 = [](std::string_view t) { return t == "e4m3" || t == "e5m2"; };
  auto isInt = [](std::string_view t) { return t == "s8" || t == "u8"; };
  const bool fp8 = is8(aType) && is8(bType), int8 = isInt(aType) && isInt(bType);
  const bool legal = int8 ? dType == "s32" && (k == 16 || k == 32)
                          : dType != "s32" && !satfinite &&
                                ((fp8 && (k == 32 || k == 16)) ||
                                 (aType == bType && ((aType == "bf16" && dType == "f32" && (k == 8 || k == 16)) ||
                                                     (aType == "f16" && (k == 8 || k == 16)) ||
                                                     (aType == "tf32" && dType == "f32" && (k == 4 || k == 8)))));
  if (!legal)
    return d.fail("'mma' has no form of this shape and types");
  if (fp8 && d.sm() < 89)
    return d.fail("fp8 needs sm_89");
  if (d.sm() < 80)
    return d.fail("this 'mma' needs sm_80");
  auto code = [](std::string_view t) {
    return t == "bf16"   ? Multiplicand::Bf16
           : t == "f16"  ? Multiplicand::F16
           : t == "tf32" ? Multiplicand::Tf32
           : t == "e4m3" ? Multiplicand::E4m3
                         : Multiplicand::E5m2;
  };
  const uint32_t span = int8 || fp8 ? 16 : aType == "tf32" ? 4 : 8;
  const uint32_t accumulators = dType == "f16" ? 2 : 4;
  const ScalarType accumulator = dType == "f32" ? ScalarType{'f', 32} : ScalarType{'b', 32};
  if (!fragment(d, 0, accumulators, accumulator, true, &i.pool) ||
      !fragment(d, 1, 2 * uint32_t(k) / span, {'b', 32}, false, nullptr) ||
      !fragment(d, 2, uint32_t(k) / span, {'b', 32}, false, nullptr) ||
      !fragment(d, 3, accumulators, accumulator, false, nullptr))
    return false;
  i.size = uint8_t(k);
  i.count = uint8_t(accumulators);
  i.kind = Kind::Aligned;
  i.validity = Validity::Handler;
  if (int8) {
    i.isSigned = aType == "s8";
    i.uniform = bType == "s8";
    i.flag = satfinite;
    i.fn = mmaInt8;
  } else {
    i.dataBits = uint8_t(code(aType));
    i.extra = uint8_t(code(bType));
    i.flag = dType == "f16";
    i.fn = mmaFloat;
  }
  return true;
}

const OpcodeEntry table[] = {
    {"ldmatrix", decodeMatrix}, {"stmatrix", decodeMatrix}, {"movmatrix", decodeMovmatrix}, {"mma", decodeMma}};

} // namespace

OpcodeTable tensorOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
