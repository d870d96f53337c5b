// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// cp.async: copies from global to shared memory that land between their issue and the wait that covers them.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Machine.h"

#include <algorithm>

namespace fovea::emulator {

namespace {

void land(Warp &w, AsyncCopy &copy, uint32_t lanes) {
  forLanes(lanes & copy.inFlight, [&](uint32_t l) {
    uint8_t *to = w.cta->shared.data() + copy.to[l];
    if (copy.bytes[l])
      std::memcpy(to, copy.from[l], copy.bytes[l]);
    std::memset(to + copy.bytes[l], 0, copy.size - copy.bytes[l]);
  });
  copy.inFlight &= ~lanes;
}

/// a: shared address (register or constant, offset imm); b: global address (offset in the pool); c: source size or -1;
/// e: predicate that ignores the source, or -1; size: bytes.
void copyAsync(Warp &w, const Inst &i, uint32_t mask) {
  Launch &launch = *w.launch;
  Cta &cta = *w.cta;
  uint64_t to[32], from[32];
  laneAddresses(w, i, to);
  const uint64_t offset =
      uint64_t(uint32_t(launch.kernel->pool[i.pool])) | uint64_t(uint32_t(launch.kernel->pool[i.pool + 1])) << 32;
  const uint64_t *b = w.r64(i.b);
  uint32_t readers[17] = {}; // by bytes to read
  AsyncCopy copy;
  copy.line = i.line;
  copy.inst = uint32_t(&i - launch.kernel->code.data());
  copy.size = i.size;
  for (int l = 0; l < 32; ++l)
    from[l] = b[l] + offset;
  uint32_t ok = 0;
  const uint32_t ignored = i.e >= 0 ? w.predicate(i.e) : 0;
  forLanes(mask, [&](uint32_t l) {
    if (!sharedAddress(w, i, l, to[l], i.size, i.size))
      return;
    uint32_t bytes = i.size;
    if (i.c >= 0) {
      bytes = w.r32(i.c)[l];
      if (bytes > i.size) {
        if (launch.wants(i, FindingKind::Other))
          launch.add(w, i, FindingKind::Other, l, to[l], objectAt(launch, Space::Shared, to[l]),
                     "source size " + std::to_string(bytes) + " is larger than the copy of " + std::to_string(i.size) +
                         " bytes");
        bytes = i.size;
      }
    }
    if (ignored >> l & 1)
      bytes = 0;
    copy.to[l] = uint32_t(to[l]);
    copy.bytes[l] = uint8_t(bytes);
    copy.from[l] = nullptr;
    readers[bytes] |= 1u << l;
    ok |= 1u << l;
  });
  // Global bytes are checked now; lanes that read nothing need no valid source.
  uint8_t *at[32];
  uint32_t undefined;
  for (uint32_t bytes = 1; bytes <= i.size; ++bytes) {
    if (!readers[bytes])
      continue;
    uint32_t good = 0;
    if ((bytes & (bytes - 1)) == 0) {
      good = resolve(w, i, readers[bytes], Space::Global, from, bytes, AccessKind::Load, at, undefined);
    } else {
      // An odd count: byte by byte for the bounds, the first byte's pointer for the copy.
      good = readers[bytes];
      uint8_t *last[32];
      uint64_t end[32];
      for (int l = 0; l < 32; ++l)
        end[l] = from[l] + bytes - 1;
      good &= resolve(w, i, readers[bytes], Space::Global, from, 1, AccessKind::Load, at, undefined);
      good &= resolve(w, i, readers[bytes], Space::Global, end, 1, AccessKind::Load, last, undefined);
    }
    forLanes(readers[bytes], [&](uint32_t l) {
      if (good >> l & 1)
        copy.from[l] = at[l];
      else
        copy.bytes[l] = 0;
    });
    // The whole source address is aligned to the copy's size even if fewer bytes are read.
    forLanes(good, [&](uint32_t l) {
      if (from[l] % i.size && launch.wants(i, FindingKind::Misaligned))
        launch.add(w, i, FindingKind::Misaligned, l, from[l], objectAt(launch, Space::Global, from[l]),
                   "source address " + hex(from[l]) + " is not a multiple of " + std::to_string(i.size));
    });
  }
  copy.waiting = copy.inFlight = ok;
  if (!ok)
    return;
  if (launch.counting)
    countShared(w, i, ok, to, i.size, AccessKind::Store);
  SharedShadow &shadow = cta.shadow;
  const bool poison = launch.options.checks.poison && launch.options.policy != AsyncPolicy::Eager;
  forLanes(ok, [&](uint32_t l) {
    copy.group[l] = w.committed[l];
    if (shadow.tracksRaces())
      shadow.beginCopy(w, i, l, copy.to[l], i.size);
    if (shadow.tracksInit())
      shadow.setInitialised(copy.to[l], i.size, true);
    if (poison)
      std::memset(cta.shared.data() + copy.to[l], 0xff, i.size);
  });
  w.copies.push_back(copy);
  if (launch.options.policy == AsyncPolicy::Eager)
    land(w, w.copies.back(), ok);
}

void finish(Warp &w, AsyncCopy &copy, uint32_t lanes) {
  land(w, copy, lanes);
  if (w.cta->shadow.tracksRaces())
    forLanes(lanes, [&](uint32_t l) { w.cta->shadow.endCopy(w, l, copy.to[l], copy.size, copy.line); });
  copy.waiting &= ~lanes;
}

void commitGroup(Warp &w, const Inst &, uint32_t mask) {
  forLanes(mask, [&](uint32_t l) { ++w.committed[l]; });
}
void waitGroup(Warp &w, const Inst &i, uint32_t mask) { waitCopies(w, mask, i.imm); }

bool decodeCp(Decoder &d) {
  Inst &i = d.inst;
  if (!d.take("async"))
    return d.fail("unknown form of 'cp'");
  if (d.take("commit_group")) {
    i.fn = commitGroup;
    return d.arity(0);
  }
  if (d.take("wait_all")) {
    i.imm = -1;
    i.fn = waitGroup;
    return d.arity(0);
  }
  if (d.take("wait_group")) {
    i.fn = waitGroup;
    if (!d.arity(1) || !d.immediate(d.operand(0), i.imm))
      return false;
    return i.imm >= 0 || d.fail("'cp.async.wait_group' takes a number of groups");
  }
  const std::string_view level = d.takeAny({"ca", "cg"});
  if (level.empty())
    return d.fail("'cp.async' needs .ca or .cg");
  if (!d.take("shared") && !d.take("shared::cta"))
    return d.fail("'cp.async' writes shared memory");
  if (!d.take("global"))
    return d.fail("'cp.async' reads global memory");
  const bool hint = d.take("L2::cache_hint");
  d.takeAny({"L2::64B", "L2::128B", "L2::256B"});
  if (!d.arity(hint ? 4 : 3, hint ? 5 : 4))
    return false;
  int64_t size;
  if (!d.immediate(d.operand(2), size))
    return false;
  if (size != 16 && (level == "cg" || (size != 4 && size != 8)))
    return d.fail(level == "cg" ? "'cp.async.cg' copies 16 bytes" : "'cp.async.ca' copies 4, 8 or 16 bytes");
  i.size = uint8_t(size);
  // The global address first: address() fills a and imm, which the shared one shall keep.
  if (!d.address(d.operand(1), Space::Global))
    return false;
  const int32_t global = i.a;
  const int64_t offset = i.imm;
  if (!d.address(d.operand(0), Space::Shared))
    return false;
  i.b = global;
  i.pool = d.pool(int32_t(uint32_t(uint64_t(offset))));
  d.pool(int32_t(uint32_t(uint64_t(offset) >> 32)));
  if (d.operandCount() == (hint ? 5u : 4u)) {
    const Operand &o = d.operand(3);
    const bool isPredicate = o.kind == Operand::Reg && d.ast().registers[o.index].type.kind == 'p';
    if (isPredicate)
      i.e = d.predicate(o);
    else
      i.c = d.source(o, {'u', 32});
    i.strict = 255;
  }
  if (hint)
    d.source(d.operandCount() - 1, {'b', 64});
  i.fn = copyAsync;
  return !d.failed();
}

const OpcodeEntry table[] = {{"cp", decodeCp}};

} // namespace

void waitCopies(Warp &w, uint32_t mask, int64_t newestAllowed) {
  for (size_t n = w.firstCopy; n < w.copies.size(); ++n) {
    AsyncCopy &copy = w.copies[n];
    uint32_t done = 0;
    forLanes(copy.waiting & mask, [&](uint32_t l) {
      if (newestAllowed < 0 || int64_t(copy.group[l]) + newestAllowed < int64_t(w.committed[l]))
        done |= 1u << l;
    });
    if (done)
      finish(w, copy, done);
  }
  while (w.firstCopy < w.copies.size() && !w.copies[w.firstCopy].waiting)
    ++w.firstCopy;
  if (w.firstCopy == w.copies.size()) {
    w.copies.clear();
    w.firstCopy = 0;
  } else if (w.firstCopy > 64) {
    w.copies.erase(w.copies.begin(), w.copies.begin() + std::ptrdiff_t(w.firstCopy));
    w.firstCopy = 0;
  }
}

void landSomeCopies(Warp &w) {
  for (size_t n = w.firstCopy; n < w.copies.size(); ++n)
    if (w.copies[n].inFlight && (w.launch->nextRandom() & 3) == 0)
      land(w, w.copies[n], uint32_t(w.launch->nextRandom()));
}

void finishCopies(Warp &w) {
  for (size_t n = w.firstCopy; n < w.copies.size(); ++n) {
    AsyncCopy &copy = w.copies[n];
    if (!copy.waiting)
      continue;
    const Inst &i = w.launch->kernel->code[copy.inst];
    if (w.cta->shadow.tracksRaces() && w.launch->wants(i, FindingKind::AsyncHazard)) {
      const uint32_t lane = uint32_t(std::countr_zero(copy.waiting));
      w.launch->add(w, i, FindingKind::AsyncHazard, lane, copy.to[lane],
                    objectAt(*w.launch, Space::Shared, copy.to[lane]),
                    "the thread ends without a wait for this copy to shared memory at " + hex(copy.to[lane]));
    }
    finish(w, copy, copy.waiting);
  }
  w.copies.clear();
  w.firstCopy = 0;
}

OpcodeTable asyncOpcodes() { return {table, std::size(table)}; }

} // namespace fovea::emulator
