// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Warp-wide instructions: shuffles, votes, reductions, matches.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Lanes.h"

#include <algorithm>

namespace fovea::emulator {

namespace {

// --- shfl: extra 0 up, 1 down, 2 bfly, 3 idx; d2 predicate or -1 ---

void shfl(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a), *b = w.r32(i.b), *c = w.r32(i.c);
  uint32_t in[32], out[32], valid = fullMask, inValid = fullMask;
  std::memcpy(in, a, sizeof in);
  if (w.valid)
    inValid = w.valid[i.a / 128];
  uint32_t p = 0, outside = 0, first = 0;
  forLanes(mask, [&](uint32_t lane) {
    const int32_t bval = int32_t(b[lane] & 31), cval = int32_t(c[lane] & 31), segment = int32_t((c[lane] >> 8) & 31);
    const int32_t maxLane = (int32_t(lane) & segment) | (cval & ~segment), minLane = int32_t(lane) & segment;
    int32_t j = 0;
    bool inRange = false;
    switch (i.extra) {
    case 0:
      j = int32_t(lane) - bval;
      inRange = j >= maxLane;
      break;
    case 1:
      j = int32_t(lane) + bval;
      inRange = j <= maxLane;
      break;
    case 2:
      j = int32_t(lane) ^ bval;
      inRange = j <= maxLane;
      break;
    default:
      j = minLane | (bval & ~segment);
      inRange = j <= maxLane;
    }
    if (!inRange)
      j = int32_t(lane);
    if (!(mask >> j & 1)) {
      if (!outside)
        first = lane;
      outside |= 1u << lane;
    }
    out[lane] = in[j];
    p |= uint32_t(inRange) << lane;
    if (!(inValid >> j & 1))
      valid &= ~(1u << lane);
  });
  if (outside && w.launch->wants(i, FindingKind::Barrier))
    w.launch->add(w, i, FindingKind::Barrier, first, 0, "", "shuffle reads a lane that does not take part");
  storeLanes(w.r32(i.d), mask, [&](int l) { return out[l]; });
  if (i.d2 >= 0)
    w.setPredicate(i.d2, mask, p);
  if (w.valid) {
    w.valid[i.d / 128] = (w.valid[i.d / 128] & ~mask) | (valid & mask);
    if (i.d2 >= 0)
      w.setValidity(uint32_t(i.d2 / 2) | predicateDep, mask, fullMask);
  }
}

bool decodeShfl(Decoder &d) {
  Inst &i = d.inst;
  if (!d.take("sync"))
    return d.fail("'shfl' needs .sync");
  static constexpr std::string_view modes[] = {"up", "down", "bfly", "idx"};
  int mode = -1;
  for (int n = 0; n < 4 && mode < 0; ++n)
    if (d.take(modes[n]))
      mode = n;
  if (mode < 0)
    return d.fail("unknown mode of 'shfl'");
  const ScalarType t = d.type("b32");
  if (d.failed() || !d.arity(5))
    return false;
  i.extra = uint8_t(mode);
  i.b = d.source(2u, t);
  i.c = d.source(3u, t);
  i.e = d.source(4u, t);
  i.strict = 255;
  i.a = d.source(1u, t);
  const Operand &to = d.operand(0);
  if (to.kind == Operand::Pair) {
    i.d = d.destination(d.element(to, 0), t);
    i.d2 = d.predicateDestination(d.element(to, 1));
  } else {
    i.d = d.destination(to, t);
  }
  i.kind = Kind::Sync;
  i.validity = Validity::Handler;
  i.fn = shfl;
  // The value may be undefined where nobody reads it: only the three controls are strict.
  i.strict = 0;
  return !d.failed();
}

// --- vote: extra 0 all, 1 any, 2 uni, 3 ballot ---

void vote(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t p = w.predicate(i.a) & mask;
  switch (i.extra) {
  case 0:
    w.setPredicate(i.d, mask, p == mask ? fullMask : 0);
    break;
  case 1:
    w.setPredicate(i.d, mask, p ? fullMask : 0);
    break;
  case 2:
    w.setPredicate(i.d, mask, p == mask || p == 0 ? fullMask : 0);
    break;
  default:
    storeLanes(w.r32(i.d), mask, [&](int) { return p; });
  }
}

bool decodeVote(Decoder &d) {
  Inst &i = d.inst;
  if (!d.take("sync"))
    return d.fail("'vote' needs .sync");
  static constexpr std::string_view modes[] = {"all", "any", "uni", "ballot"};
  int mode = -1;
  for (int n = 0; n < 4 && mode < 0; ++n)
    if (d.take(modes[n]))
      mode = n;
  if (mode < 0)
    return d.fail("unknown mode of 'vote'");
  const ScalarType t = d.type(mode == 3 ? "b32" : "pred");
  if (d.failed() || !d.arity(3))
    return false;
  i.extra = uint8_t(mode);
  i.a = d.predicate(d.operand(1));
  i.e = d.source(2u, {'b', 32});
  i.d = mode == 3 ? d.destination(0u, t) : d.predicateDestination(d.operand(0));
  i.kind = Kind::Sync;
  i.strict = 255;
  i.fn = vote;
  return !d.failed();
}

// --- redux: extra 0 add, 1 min, 2 max, 3 and, 4 or, 5 xor ---

void redux(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *a = w.r32(i.a);
  uint32_t r = a[std::countr_zero(mask)];
  forLanes(mask & (mask - 1), [&](uint32_t l) {
    const uint32_t v = a[l];
    switch (i.extra) {
    case 0:
      r += v;
      break;
    case 1:
      r = i.isSigned ? uint32_t(std::min(int32_t(r), int32_t(v))) : std::min(r, v);
      break;
    case 2:
      r = i.isSigned ? uint32_t(std::max(int32_t(r), int32_t(v))) : std::max(r, v);
      break;
    case 3:
      r &= v;
      break;
    case 4:
      r |= v;
      break;
    default:
      r ^= v;
    }
  });
  storeLanes(w.r32(i.d), mask, [&](int) { return r; });
}

bool decodeRedux(Decoder &d) {
  Inst &i = d.inst;
  if (!d.take("sync"))
    return d.fail("'redux' needs .sync");
  static constexpr std::string_view ops[] = {"add", "min", "max", "and", "or", "xor"};
  int op = -1;
  for (int n = 0; n < 6 && op < 0; ++n)
    if (d.take(ops[n]))
      op = n;
  if (op < 0)
    return d.fail("unknown operation of 'redux'");
  const ScalarType t = d.type(op < 3 ? "u32 s32" : "b32");
  if (d.failed() || !d.arity(3))
    return false;
  i.extra = uint8_t(op);
  i.isSigned = t.kind == 's';
  i.e = d.source(2u, {'b', 32});
  i.a = d.source(1u, t);
  i.d = d.destination(0u, t);
  i.kind = Kind::Sync;
  i.strict = 255;
  i.fn = redux;
  return !d.failed();
}

// --- match, activemask, elect ---

/// flag: all (d2: predicate); wideData: 64-bit values.
void match(Warp &w, const Inst &i, uint32_t mask) {
  auto value = [&](uint32_t l) { return i.wideData ? w.r64(i.a)[l] : w.r32(i.a)[l]; };
  uint32_t out[32] = {};
  bool same = true;
  const uint64_t head = value(std::countr_zero(mask));
  forLanes(mask, [&](uint32_t l) {
    same &= value(l) == head;
    if (!i.flag)
      forLanes(mask, [&](uint32_t k) { out[l] |= uint32_t(value(k) == value(l)) << k; });
  });
  storeLanes(w.r32(i.d), mask, [&](int l) { return i.flag ? (same ? mask : 0) : out[l]; });
  if (i.flag && i.d2 >= 0)
    w.setPredicate(i.d2, mask, same ? fullMask : 0);
}

bool decodeMatch(Decoder &d) {
  Inst &i = d.inst;
  const std::string_view mode = d.takeAny({"any", "all"});
  if (mode.empty() || !d.take("sync"))
    return d.fail("'match' needs .any or .all, then .sync");
  const ScalarType t = d.type("b32 b64");
  if (d.failed() || !d.arity(3))
    return false;
  i.flag = mode == "all";
  i.wideData = t.bits == 64;
  i.e = d.source(2u, {'b', 32});
  i.a = d.source(1u, t);
  const Operand &to = d.operand(0);
  if (to.kind == Operand::Pair) {
    if (!i.flag)
      return d.fail("'match.any' has no predicate");
    i.d = d.destination(d.element(to, 0), {'b', 32});
    i.d2 = d.predicateDestination(d.element(to, 1));
  } else {
    i.d = d.destination(to, {'b', 32});
  }
  i.kind = Kind::Sync;
  i.strict = 255;
  i.fn = match;
  return !d.failed();
}

void activemask(Warp &w, const Inst &i, uint32_t mask) {
  storeLanes(w.r32(i.d), mask, [&](int) { return mask; });
}
bool decodeActivemask(Decoder &d) {
  const ScalarType t = d.type("b32");
  if (d.failed() || !d.arity(1))
    return false;
  d.inst.d = d.destination(0u, t);
  d.inst.fn = activemask;
  return !d.failed();
}

void elect(Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t leader = uint32_t(std::countr_zero(mask));
  storeLanes(w.r32(i.d), mask, [&](int) { return leader; });
  w.setPredicate(i.d2, mask, 1u << leader);
}
bool decodeElect(Decoder &d) {
  Inst &i = d.inst;
  if (!d.take("sync"))
    return d.fail("'elect' needs .sync");
  if (!d.arity(2))
    return false;
  if (d.sm() < 90)
    return d.fail("'elect' needs sm_90");
  const Operand &to = d.operand(0);
  if (to.kind != Operand::Pair)
    return d.fail("'elect' writes register|predicate");
  i.e = d.source(1u, {'b', 32});
  i.d = d.destination(d.element(to, 0), {'b', 32});
  i.d2 = d.predicateDestination(d.element(to, 1));
  i.kind = Kind::Sync;
  i.strict = 255;
  i.fn = elect;
  return !d.failed();
}

const OpcodeEntry table[] = {
    {"shfl", decodeShfl},
    {"vote", decodeVote},
    {"redux", decodeRedux},
    {"match", decodeMatch},
    {"activemask", decodeActivemask},
    {"elect", decodeElect},
};

} // namespace

OpcodeTable warpOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
