// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The scheduler: warps round-robin, splits of a diverged warp, barriers, deadlocks.
#include "runtime/emulator/Machine.h"

#include <algorithm>

namespace fovea::emulator {

namespace {

constexpr uint32_t noPc = UINT32_MAX;

std::string lanesText(uint32_t mask) {
  if (mask == fullMask)
    return "all lanes";
  std::string out = "lanes ";
  for (int l = 0; l < 32;) {
    if (!(mask >> l & 1)) {
      ++l;
      continue;
    }
    int end = l;
    while (end + 1 < 32 && (mask >> (end + 1) & 1))
      ++end;
    if (out.back() != ' ')
      out += ",";
    out += std::to_string(l) + (end > l ? "-" + std::to_string(end) : "");
    l = end + 1;
  }
  return out;
}

// --- splits ---

int32_t newJoin(Warp &w, uint32_t pc, uint32_t expected, int32_t parent) {
  for (size_t n = 0; n < w.joins.size(); ++n)
    if (!w.joins[n].live) {
      w.joins[n] = {pc, expected, 0, parent, true};
      return int32_t(n);
    }
  w.joins.push_back({pc, expected, 0, parent, true});
  return int32_t(w.joins.size() - 1);
}

void removeSplit(Warp &w, size_t index) {
  w.splits.erase(w.splits.begin() + std::ptrdiff_t(index));
  if (w.current >= w.splits.size())
    w.current = 0;
}

/// All expected lanes have come: they go on as one split.
void releaseJoin(Warp &w, int32_t index) {
  Join &j = w.joins[size_t(index)];
  j.live = false;
  if (j.arrived)
    w.splits.push_back({j.pc, j.arrived, j.parent, 0, false});
}

void arriveAtJoin(Warp &w, size_t index) {
  const Split s = w.splits[index];
  removeSplit(w, index);
  Join &j = w.joins[size_t(s.join)];
  j.arrived |= s.mask;
  if (j.arrived == j.expected) {
    releaseJoin(w, s.join);
    w.current = uint32_t(w.splits.size() - 1);
  }
}

void exitLanes(Warp &w, size_t index, uint32_t lanes) {
  w.live &= ~lanes;
  Split &s = w.splits[index];
  int32_t join = s.join;
  s.mask &= ~lanes;
  if (!s.mask)
    removeSplit(w, index);
  while (join >= 0) {
    Join &j = w.joins[size_t(join)];
    const int32_t parent = j.parent;
    j.expected &= ~lanes;
    if (j.expected == j.arrived)
      releaseJoin(w, join);
    join = parent;
  }
}

/// Lanes in `taken` go to `target`, the others of the split to `next`; both meet at `reconverge`.
void diverge(Warp &w, size_t index, uint32_t taken, uint32_t target, uint32_t next, uint32_t reconverge,
             uint32_t codeSize) {
  Split &s = w.splits[index];
  int32_t join = s.join;
  if (reconverge < codeSize && !(join >= 0 && w.joins[size_t(join)].pc == reconverge))
    join = newJoin(w, reconverge, s.mask, s.join);
  const uint32_t rest = s.mask & ~taken;
  s.pc = next;
  s.mask = rest;
  s.join = join;
  w.splits.push_back({target, taken, join, 0, false});
}

// --- barriers ---

uint32_t expectedThreads(Launch &launch, const BarrierState &b) {
  return b.wholeCta ? uint32_t(launch.cta.liveWarps) * 32 : b.expected;
}

void completeBarrier(Launch &launch, uint32_t id) {
  Cta &cta = launch.cta;
  BarrierState &b = cta.barriers[id];
  for (uint32_t n : b.waiting) {
    Warp &w = cta.warps[n];
    const Inst &i = launch.kernel->code[w.barrierPc];
    if (i.barrierOp == BarrierOp::RedPopc)
      std::fill(w.r32(i.d), w.r32(i.d) + 32, b.popc);
    else if (i.barrierOp == BarrierOp::RedAnd)
      w.setPredicate(i.d, fullMask, b.all ? fullMask : 0);
    else if (i.barrierOp == BarrierOp::RedOr)
      w.setPredicate(i.d, fullMask, b.any ? fullMask : 0);
    w.state = WarpState::Ready;
    w.splits[w.current].pc = w.barrierPc + 1;
    if (launch.races) {
      auto &mine = cta.clocks[n];
      for (uint32_t u = 0; u < cta.warpCount; ++u)
        mine[u] = std::max(mine[u], b.clocks[u]);
      cta.clocks.advance(n);
    }
  }
  b = BarrierState{};
}

void checkBarriers(Launch &launch) {
  for (uint32_t id = 0; id < 16; ++id) {
    BarrierState &b = launch.cta.barriers[id];
    if (b.arrived && b.arrived >= expectedThreads(launch, b) && !b.waiting.empty())
      completeBarrier(launch, id);
  }
}

void fault(Launch &launch, const Warp &w, const Inst &i, FindingKind kind, uint32_t lane, std::string message) {
  if (launch.wants(i, kind))
    launch.add(w, i, kind, lane, 0, "", std::move(message));
  launch.stop = true;
}

/// The whole warp is at barrier instruction `pc`.
void arriveAtBarrier(Launch &launch, Warp &w, const Inst &i, uint32_t pc) {
  Cta &cta = launch.cta;
  const uint32_t lane = uint32_t(std::countr_zero(w.live));
  const uint32_t id = w.r32(i.a)[lane];
  bool uniform = true;
  forLanes(w.live,
           [&](uint32_t l) { uniform &= w.r32(i.a)[l] == id && (i.b < 0 || w.r32(i.b)[l] == w.r32(i.b)[lane]); });
  if (!uniform)
    return fault(launch, w, i, FindingKind::Barrier, lane, "lanes of one warp name different barriers or counts");
  if (id > 15)
    return fault(launch, w, i, FindingKind::Barrier, lane,
                 "barrier " + std::to_string(id) + " does not exist; there are 16");
  const bool whole = i.b < 0;
  const uint32_t count = whole ? uint32_t(cta.liveWarps) * 32 : w.r32(i.b)[lane];
  if (!whole && (count == 0 || count % 32 || count > cta.warpCount * 32))
    return fault(launch, w, i, FindingKind::Barrier, lane,
                 "barrier count " + std::to_string(count) + " is no multiple of 32 up to the CTA's " +
                     std::to_string(cta.warpCount * 32) + " threads");
  BarrierState &b = cta.barriers[id];
  if (b.arrived && !(whole && b.wholeCta) && b.expected != count)
    return fault(launch, w, i, FindingKind::Barrier, lane,
                 "barrier " + std::to_string(id) + " is expected by " + std::to_string(count) +
                     " threads here and by " + std::to_string(b.expected) + " at line " + std::to_string(b.line));
  if (!b.arrived) {
    b.line = i.line;
    b.expected = count;
    b.wholeCta = whole;
  }
  if (b.arrivedWarps >> w.id & 1)
    return fault(launch, w, i, FindingKind::Barrier, lane,
                 "warp " + std::to_string(w.id) + " arrives twice at barrier " + std::to_string(id) +
                     " before it completes");
  b.arrivedWarps |= 1u << w.id;
  b.arrived += 32;
  if (launch.races) {
    const auto &mine = cta.clocks[w.id];
    for (uint32_t u = 0; u < cta.warpCount; ++u)
      b.clocks[u] = std::max(b.clocks[u], mine[u]);
    if (cta.clocks.exhausted(w.id))
      return fault(launch, w, i, FindingKind::Budget, lane,
                   "more barriers than the race checker can count; switch it off for this kernel");
    if (i.barrierOp == BarrierOp::Arrive)
      cta.clocks.advance(w.id);
  }
  if (i.c >= 0) {
    const uint32_t p = w.predicate(i.c) & w.live;
    b.popc += uint32_t(std::popcount(p));
    b.all &= p == w.live;
    b.any |= p != 0;
  }
  if (i.barrierOp == BarrierOp::Arrive) {
    w.splits[w.current].pc = pc + 1;
  } else {
    w.state = WarpState::AtBarrier;
    w.barrier = id;
    w.barrierPc = pc;
    b.waiting.push_back(w.id);
  }
  if (b.arrived >= expectedThreads(launch, b)) {
    if (b.waiting.empty())
      return fault(launch, w, i, FindingKind::Barrier, lane,
                   "barrier " + std::to_string(id) + " completes with arrivals only: nobody waits");
    completeBarrier(launch, id);
  }
}

// --- definedness ---

void checkStrict(Launch &launch, Warp &w, const Inst &i, uint32_t mask) {
  const uint32_t *deps = launch.kernel->deps.data() + i.deps;
  for (uint32_t n = 0; n < i.strict; ++n) {
    const uint32_t bad = mask & ~w.validity(deps[n]);
    if (!bad)
      continue;
    w.setValidity(deps[n], bad, fullMask); // once is enough
    if (!launch.wants(i, FindingKind::Uninitialised))
      continue;
    auto it = launch.kernel->names.find(deps[n]);
    launch.add(w, i, FindingKind::Uninitialised, uint32_t(std::countr_zero(bad)), 0,
               it == launch.kernel->names.end() ? "" : it->second,
               "uses register " + (it == launch.kernel->names.end() ? std::string("?") : it->second) +
                   ", whose value is undefined in " + lanesText(bad));
  }
}

inline void propagate(Launch &launch, Warp &w, const Inst &i, uint32_t mask) {
  if (i.validity == Validity::Handler)
    return;
  const uint32_t *deps = launch.kernel->deps.data() + i.deps;
  uint32_t v = mask;
  if (i.validity == Validity::Select) {
    const uint32_t p = w.predicate(i.c);
    v = (p & w.valid[i.a / 128]) | (~p & w.valid[i.b / 128]);
    v &= w.validPredicates[i.c / 2];
  } else {
    for (uint32_t n = 0; n < i.sources; ++n)
      v &= w.validity(deps[n]);
  }
  for (uint32_t n = 0; n < i.destinations; ++n)
    w.setValidity(deps[i.sources + n], mask, v);
}

// --- running ---

template <bool checked> inline void execute(Launch &launch, Warp &w, const Inst &i, uint32_t mask) {
  if (checked) {
    if (i.strict)
      checkStrict(launch, w, i, mask);
    propagate(launch, w, i, mask);
  }
  i.fn(w, i, mask);
}

/// A warp-synchronous instruction with all its lanes.
template <bool checked> inline void executeTogether(Launch &launch, Warp &w, const Inst &i, uint32_t mask) {
  execute<checked>(launch, w, i, mask);
  if (launch.races && launch.options.lenient)
    launch.cta.clocks.advance(w.id);
}

/// Parked splits at one place whose lanes make up what they wait for run the instruction together.
template <bool checked> bool tryParked(Launch &launch, Warp &w) {
  for (size_t n = 0; n < w.splits.size(); ++n) {
    if (!w.splits[n].parked)
      continue;
    const uint32_t pc = w.splits[n].pc;
    uint32_t together = 0;
    for (const Split &s : w.splits)
      if (s.parked && s.pc == pc && s.parkedFor == w.splits[n].parkedFor)
        together |= s.mask;
    const uint32_t wanted = w.splits[n].parkedFor & w.live;
    if ((together & wanted) != wanted)
      continue;
    const uint32_t parkedFor = w.splits[n].parkedFor;
    const Inst &i = launch.kernel->code[pc];
    executeTogether<checked>(launch, w, i, together & parkedFor);
    for (Split &s : w.splits)
      if (s.parked && s.pc == pc && s.parkedFor == parkedFor) {
        s.parked = false;
        ++s.pc;
      }
    return true;
  }
  return false;
}

void reportParked(Launch &launch, Warp &w) {
  for (const Split &s : w.splits) {
    if (!s.parked)
      continue;
    const Inst &i = launch.kernel->code[s.pc];
    return fault(launch, w, i, FindingKind::Deadlock, uint32_t(std::countr_zero(s.mask)),
                 "warp " + std::to_string(w.id) + ": " + lanesText(s.mask) + " wait here for " +
                     lanesText(s.parkedFor & w.live & ~s.mask) + ", which never come");
  }
}

template <bool checked> void runWarp(Launch &launch, Warp &w, uint32_t quantum) {
  const Inst *code = launch.kernel->code.data();
  const uint32_t codeSize = uint32_t(launch.kernel->code.size());
  const bool counting = launch.counting;
  uint64_t executed = 0, laneCount = 0;
  while (quantum && w.state == WarpState::Ready && !launch.stop) {
    if (w.splits.empty()) {
      w.state = WarpState::Done;
      break;
    }
    if (w.splits[w.current].parked) {
      size_t n = 0;
      while (n < w.splits.size() && w.splits[n].parked)
        ++n;
      if (n == w.splits.size()) {
        if (!tryParked<checked>(launch, w))
          reportParked(launch, w);
        continue;
      }
      w.current = uint32_t(n);
    }
    const size_t index = w.current;
    uint32_t pc = w.splits[index].pc;
    const uint32_t mask = w.splits[index].mask;
    const uint32_t joinPc = w.splits[index].join >= 0 ? w.joins[size_t(w.splits[index].join)].pc : noPc;
    const uint32_t lanes = uint32_t(std::popcount(mask));
    bool again = false;
    for (; quantum && !again; --quantum) {
      if (pc == joinPc) {
        w.splits[index].pc = pc;
        arriveAtJoin(w, index);
        again = true;
        break;
      }
      const Inst &i = code[pc];
      ++executed;
      ++w.executed;
      laneCount += lanes;
      if (counting)
        ++launch.counts[pc].executed;
      uint32_t m = mask;
      if (i.guard >= 0) {
        m &= w.predicates[i.guard] ^ i.guardFlip;
        if (checked) {
          const uint32_t bad = mask & ~w.validPredicates[i.guard];
          if (bad) {
            w.validPredicates[i.guard] |= bad;
            if (launch.wants(i, FindingKind::Uninitialised)) {
              auto it = launch.kernel->names.find(uint32_t(i.guard) | predicateDep);
              const std::string name = it == launch.kernel->names.end() ? "?" : it->second;
              launch.add(w, i, FindingKind::Uninitialised, uint32_t(std::countr_zero(bad)), 0, name,
                         "depends on predicate " + name + ", whose value is undefined in " + lanesText(bad));
            }
          }
        }
      }
      if (i.kind == Kind::Plain) {
        if (m)
          execute<checked>(launch, w, i, m);
        ++pc;
        continue;
      }
      switch (i.kind) {
      case Kind::Plain:
        break;
      case Kind::Branch:
        if (m == mask) {
          pc = i.target;
        } else if (!m) {
          ++pc;
        } else {
          if (i.uniform && launch.wants(i, FindingKind::Barrier))
            launch.add(w, i, FindingKind::Barrier, uint32_t(std::countr_zero(m)), 0, "",
                       "a '.uni' branch that " + lanesText(m) + " of " + lanesText(mask) + " take");
          diverge(w, index, m, i.target, pc + 1, i.reconverge, codeSize);
          again = true;
        }
        break;
      case Kind::Indexed: {
        if (checked)
          checkStrict(launch, w, i, m);
        uint32_t left = m;
        uint32_t first = noPc;
        const uint32_t *value = w.r32(i.a);
        if (m != mask) {
          // Lanes without the guard fall through.
          if (m == 0) {
            ++pc;
            break;
          }
          diverge(w, index, m, pc, pc + 1, i.reconverge, codeSize);
          w.current = uint32_t(w.splits.size() - 1);
          again = true;
          break;
        }
        while (left && !launch.stop) {
          const uint32_t v = value[std::countr_zero(left)];
          uint32_t same = 0;
          forLanes(left, [&](uint32_t l) { same |= uint32_t(value[l] == v) << l; });
          if (v >= i.target) {
            fault(launch, w, i, FindingKind::OutOfBounds, uint32_t(std::countr_zero(left)),
                  "branch index " + std::to_string(v) + " is not below " + std::to_string(i.target));
            break;
          }
          const uint32_t target = uint32_t(launch.kernel->pool[i.pool + v]);
          if (same == w.splits[index].mask)
            first = target; // the rest goes one way
          else
            diverge(w, index, same, target, pc, i.reconverge, codeSize);
          left &= ~same;
        }
        if (first != noPc)
          w.splits[index].pc = first;
        again = true;
        break;
      }
      case Kind::Exit:
        w.splits[index].pc = pc + 1;
        if (m) {
          exitLanes(w, index, m);
          again = true;
        } else {
          ++pc;
        }
        break;
      case Kind::Aligned:
        if (!m) {
          ++pc;
          break;
        }
        if (m != fullMask) {
          fault(launch, w, i, FindingKind::Barrier, uint32_t(std::countr_zero(m)),
                "an '.aligned' instruction needs all 32 lanes of the warp; here are " + lanesText(m));
          again = true;
          break;
        }
        executeTogether<checked>(launch, w, i, m);
        ++pc;
        break;
      case Kind::Sync: {
        if (!m) {
          ++pc;
          break;
        }
        uint32_t member = w.r32(i.e)[std::countr_zero(m)];
        bool same = true;
        forLanes(m, [&](uint32_t l) { same &= w.r32(i.e)[l] == member; });
        if (!same || (member & m) != m) {
          fault(launch, w, i, FindingKind::Barrier, uint32_t(std::countr_zero(m)),
                same ? "lanes that the member mask " + hex(member) + " leaves out execute this"
                     : "lanes give different member masks");
          again = true;
          break;
        }
        if (member & ~w.live) {
          if (launch.wants(i, FindingKind::Barrier))
            launch.add(w, i, FindingKind::Barrier, uint32_t(std::countr_zero(m)), 0, "",
                       "the member mask " + hex(member) + " names " + lanesText(member & ~w.live) +
                           ", which ended or do not exist");
          member &= w.live;
        }
        if (member == m) {
          executeTogether<checked>(launch, w, i, m);
          ++pc;
          break;
        }
        if (m != mask) {
          // Lanes without the guard go ahead and meet the others behind it.
          diverge(w, index, m, pc, pc + 1, pc + 1, codeSize);
          w.current = uint32_t(w.splits.size() - 1);
          again = true;
          break;
        }
        Split &s = w.splits[index];
        s.pc = pc;
        s.parked = true;
        s.parkedFor = member;
        tryParked<checked>(launch, w);
        again = true;
        break;
      }
      case Kind::Barrier:
        if (!m) {
          ++pc;
          break;
        }
        if (checked) {
          checkStrict(launch, w, i, m);
          propagate(launch, w, i, m);
        }
        w.splits[index].pc = pc;
        if (m != w.live)
          fault(launch, w, i, FindingKind::Barrier, uint32_t(std::countr_zero(m)),
                "a barrier reached by " + lanesText(m) + " of a warp whose " + lanesText(w.live) + " are alive");
        else
          arriveAtBarrier(launch, w, i, pc);
        again = true;
        break;
      case Kind::Trap:
        if (m)
          fault(launch, w, i, FindingKind::Trap, uint32_t(std::countr_zero(m)), "the kernel traps");
        ++pc;
        again = launch.stop;
        break;
      case Kind::Yield:
        ++pc;
        quantum = 1;
        break;
      }
    }
    if (!again)
      w.splits[index].pc = pc;
  }
  // Another split's turn, so that one that spins does not starve the one it waits for.
  if (w.splits.size() > 1 && w.state == WarpState::Ready)
    w.current = uint32_t((w.current + 1) % w.splits.size());
  if (w.splits.empty())
    w.state = WarpState::Done;
  launch.report.counters.warpInstructions += executed;
  launch.report.counters.laneInstructions += laneCount;
}

void reportDeadlock(Launch &launch) {
  Cta &cta = launch.cta;
  std::string who;
  const Warp *first = nullptr;
  for (const Warp &w : cta.warps) {
    if (w.state != WarpState::AtBarrier)
      continue;
    if (!first)
      first = &w;
    const BarrierState &b = cta.barriers[w.barrier];
    who += (who.empty() ? "" : "; ") + std::string("warp ") + std::to_string(w.id) + " waits at barrier " +
           std::to_string(w.barrier) + " (line " + std::to_string(launch.kernel->code[w.barrierPc].line) + ", " +
           std::to_string(b.arrived) + " of " + std::to_string(expectedThreads(launch, b)) + " threads arrived)";
  }
  if (first)
    fault(launch, *first, launch.kernel->code[first->barrierPc], FindingKind::Deadlock,
          uint32_t(std::countr_zero(first->live)), who);
}

void prepareWarp(Launch &launch, Warp &w, uint32_t id, bool trackRegisters) {
  const Kernel &k = *launch.kernel;
  Cta &cta = launch.cta;
  w.id = id;
  w.launch = &launch;
  w.cta = &cta;
  if (!k.image.empty())
    std::memcpy(w.regs, k.image.data(), k.image.size());
  std::copy(k.predicates.begin(), k.predicates.end(), w.predicates);
  const uint32_t lanes = std::min<uint32_t>(32, cta.threads - id * 32);
  w.live = lanes == 32 ? fullMask : (1u << lanes) - 1;
  if (trackRegisters) {
    std::fill(w.valid, w.valid + k.image.size() / 128, fullMask);
    std::fill(w.validPredicates, w.validPredicates + k.predicates.size(), fullMask);
    for (const auto &[dep, name] : k.names)
      (dep & predicateDep ? w.validPredicates[dep & ~predicateDep] : w.valid[dep]) = 0;
  }
  for (const SpecialSlot &s : k.specials)
    for (uint32_t l = 0; l < 32; ++l) {
      uint64_t v = 0;
      const Dim3 t = threadOf(launch, w, l);
      switch (s.which) {
      case Special::TidX:
        v = t.x;
        break;
      case Special::TidY:
        v = t.y;
        break;
      case Special::TidZ:
        v = t.z;
        break;
      case Special::NtidX:
        v = launch.block.x;
        break;
      case Special::NtidY:
        v = launch.block.y;
        break;
      case Special::NtidZ:
        v = launch.block.z;
        break;
      case Special::CtaidX:
        v = cta.id.x;
        break;
      case Special::CtaidY:
        v = cta.id.y;
        break;
      case Special::CtaidZ:
        v = cta.id.z;
        break;
      case Special::NctaidX:
        v = launch.grid.x;
        break;
      case Special::NctaidY:
        v = launch.grid.y;
        break;
      case Special::NctaidZ:
        v = launch.grid.z;
        break;
      case Special::LaneId:
        v = l;
        break;
      case Special::WarpId:
        v = id;
        break;
      case Special::NwarpId:
        v = cta.warpCount;
        break;
      case Special::SmId:
        v = 0;
        break;
      case Special::NsmId:
        v = 1;
        break;
      case Special::GridId:
        v = 1;
        break;
      case Special::LanemaskEq:
        v = 1u << l;
        break;
      case Special::LanemaskLe:
        v = (2ull << l) - 1;
        break;
      case Special::LanemaskLt:
        v = (1ull << l) - 1;
        break;
      case Special::LanemaskGe:
        v = uint32_t(fullMask << l);
        break;
      case Special::LanemaskGt:
        v = uint32_t((uint64_t(fullMask) << l) << 1);
        break;
      case Special::DynamicSmem:
        v = launch.dynamicShared;
        break;
      case Special::TotalSmem:
        v = cta.sharedEnd - sharedBase;
        break;
      case Special::One:
        v = 1;
        break;
      case Special::Zero:
        v = 0;
        break;
      }
      if (s.wide)
        w.r64(s.offset)[l] = v;
      else
        w.r32(s.offset)[l] = uint32_t(v);
    }
  w.state = WarpState::Ready;
  w.splits.assign(1, Split{0, w.live, -1, 0, false});
  w.joins.clear();
  w.current = 0;
  w.copies.clear();
  w.firstCopy = 0;
  w.executed = 0;
  w.clockTicks = 0;
  std::fill(std::begin(w.committed), std::end(w.committed), 0u);
}

} // namespace

Dim3 ctaOf(const Launch &launch, uint64_t number) {
  return {uint32_t(number % launch.grid.x), uint32_t(number / launch.grid.x % launch.grid.y),
          uint32_t(number / launch.grid.x / launch.grid.y)};
}

Dim3 threadOf(const Launch &launch, uint32_t t) {
  return {t % launch.block.x, t / launch.block.x % launch.block.y, t / launch.block.x / launch.block.y};
}

Dim3 threadOf(const Launch &launch, const Warp &w, uint32_t lane) { return threadOf(launch, w.id * 32 + lane); }

void runCta(Launch &launch, uint64_t number) {
  Cta &cta = launch.cta;
  const Checks &checks = launch.options.checks;
  cta.id = ctaOf(launch, number);
  launch.ctaNumber = number;
  // Each CTA draws from its own sequence, whichever thread runs it.
  launch.random = launch.options.seed ^ number * 0xd1342543de82ef95ull;
  launch.random = launch.nextRandom();
  cta.clocks.reset(cta.warpCount);
  if (launch.races)
    launch.globalShadow.beginCta(uint32_t(number));
  // Contents are not defined at the start: a pattern that is NaN in every type.
  std::fill(cta.shared.begin(), cta.shared.end(), uint8_t(0xff));
  std::fill(cta.local.begin(), cta.local.end(), uint8_t(0xff));
  std::fill(cta.localInit.begin(), cta.localInit.end(), uint8_t(0));
  cta.barriers = {};
  cta.liveWarps = cta.warpCount;
  cta.shadow.reset(cta.sharedEnd - sharedBase, cta.warpCount, checks.uninitialised, checks.races);
  for (uint32_t n = 0; n < cta.warpCount; ++n)
    prepareWarp(launch, cta.warps[n], n, checks.uninitialised);
  const bool random = launch.options.policy == AsyncPolicy::Random;
  uint64_t live = cta.warpCount;
  while (live && !launch.stop) {
    if (launch.state->stopAt.load(std::memory_order_relaxed) < number)
      return;
    bool progress = false;
    const uint32_t first = random ? uint32_t(launch.nextRandom() % cta.warpCount) : 0;
    for (uint32_t n = 0; n < cta.warpCount && !launch.stop; ++n) {
      Warp &w = cta.warps[(n + first) % cta.warpCount];
      if (w.state != WarpState::Ready)
        continue;
      progress = true;
      const uint64_t before = launch.report.counters.warpInstructions;
      const uint32_t quantum = random ? 16 + uint32_t(launch.nextRandom() % 256) : 512;
      if (checks.uninitialised)
        runWarp<true>(launch, w, quantum);
      else
        runWarp<false>(launch, w, quantum);
      if (random)
        landSomeCopies(w);
      if (w.state == WarpState::Done) {
        finishCopies(w);
        --live;
        --cta.liveWarps;
        checkBarriers(launch);
      }
      const uint64_t ran = launch.report.counters.warpInstructions - before;
      if (launch.state->warpInstructions.fetch_add(ran, std::memory_order_relaxed) + ran >
              launch.options.instructionBudget &&
          !launch.stop) {
        std::string where;
        const Inst *inst = nullptr;
        for (const Warp &o : cta.warps) {
          if (o.splits.empty())
            continue;
          const Inst &at = launch.kernel->code[std::min<size_t>(o.splits[0].pc, launch.kernel->code.size() - 1)];
          if (!inst)
            inst = &at;
          if (where.size() < 400)
            where += (where.empty() ? "" : "; ") + std::string("warp ") + std::to_string(o.id) + " at line " +
                     std::to_string(at.line);
        }
        fault(launch, w, inst ? *inst : launch.kernel->code[0], FindingKind::Budget, 0,
              "the budget of " + std::to_string(launch.options.instructionBudget) +
                  " warp instructions is spent (an endless loop?): " + where);
      }
    }
    if (!progress && live && !launch.stop)
      reportDeadlock(launch);
  }
  if (!launch.stop)
    for (uint32_t n = 0; n < 16; ++n)
      if (cta.barriers[n].arrived && !cta.warps.empty()) {
        Inst at;
        at.line = cta.barriers[n].line;
        if (launch.wants(at, FindingKind::Barrier))
          launch.add(cta.warps[0], at, FindingKind::Barrier, 0, 0, "",
                     "barrier " + std::to_string(n) + " has " + std::to_string(cta.barriers[n].arrived) +
                         " threads arrived and nobody completed it at the CTA's end");
      }
}

} // namespace fovea::emulator
