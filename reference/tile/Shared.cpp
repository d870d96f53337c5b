// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a schedule adds: rings in shared memory, copies and products in flight, channels, turns. One thread stands for
// all threads of a work item (of a role instance); what several threads need a barrier for is an error without it.
#include "reference/tile/Machine.h"
#include <limits>

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

static constexpr int64_t noLimit = std::numeric_limits<int64_t>::max();

static std::string text(const Machine &machine, const Claim &claim) {
  std::string s = machine.arrays[claim.array]->name + "[";
  for (size_t k = 0; k < claim.indices.size(); ++k)
    s += (k ? ", " : "") + std::to_string(claim.indices[k]);
  return s + "]";
}

//===--- rings ---===//

Step machine::runSmemAlloc(Thread &thread, const Instr &instr) {
  auto op = cast<SmemAllocOp>(instr.op);
  SmemType type = op.getSmem().getType();
  Ring ring;
  ring.offset = op.getOffset() ? int64_t(*op.getOffset()) : -1;
  ring.stageBytes = type.getStageBytes();
  ring.stages.resize(type.getStages());
  if (ring.offset >= 0)
    for (const Channel &channel : thread.machine.channels)
      if (channel.offset >= 0 && channel.offset < ring.offset + type.getBytes() &&
          ring.offset < channel.offset + channel.bytes)
        return thread.fail(instr, "shares bytes with the channel of " + placeOf(channel.op));
  if (thread.rings.size() > 4096)
    return thread.fail(instr, "is executed too often in one work item");
  thread.setInteger(instr.out[0], int64_t(thread.rings.size()));
  thread.rings.push_back(std::move(ring));
  return Step::Next;
}

static Stage *stageOf(Thread &thread, const Instr &instr, unsigned smem, unsigned stage) {
  Ring &ring = thread.rings[thread.integer(instr, smem)];
  int64_t n = thread.integer(instr, stage);
  if (n < 0 || n >= int64_t(ring.stages.size())) {
    thread.fail(instr, "names stage " + Twine(n) + " of a ring of " + Twine(ring.stages.size()));
    return nullptr;
  }
  return &ring.stages[n];
}

/// Prepares to overwrite a stage: its bytes, and those of others that it shares, must be free.
static bool claimBytes(Thread &thread, const Instr &instr, int64_t ringNumber, int64_t stageNumber) {
  const Ring &ring = thread.rings[ringNumber];
  int64_t begin = ring.offset + stageNumber * ring.stageBytes, end = begin + ring.stageBytes;
  for (auto [r, other] : llvm::enumerate(thread.rings)) {
    bool mayShare = ring.offset >= 0 && other.offset >= 0;
    for (auto [s, stage] : llvm::enumerate(other.stages)) {
      bool same = int64_t(r) == ringNumber && int64_t(s) == stageNumber;
      int64_t first = other.offset + int64_t(s) * other.stageBytes;
      if (!same && !(mayShare && first < end && begin < first + other.stageBytes))
        continue;
      const char *message = nullptr;
      if (stage.state == Stage::InFlight)
        message = "overwrites a stage while a copy into it is under way, begun at ";
      else if (stage.state == Stage::Landed)
        message = "overwrites a stage without a barrier since it was written at ";
      else if (stage.readSinceBarrier)
        message = "overwrites a stage without a barrier since it was read, and written at ";
      if (message) {
        thread.fail(instr, message + placeOf(stage.by));
        return false;
      }
      if (stage.state != Stage::Undefined) {
        stage.state = Stage::Overwritten;
        stage.by = instr.op;
      }
    }
  }
  return true;
}

// Operands: view, indices, ring, stage, predicate.
Step machine::runCopyStart(Thread &thread, const Instr &instr) {
  if (instr.third && !thread.integer(instr, instr.third))
    return Step::Next;
  Stage *stage = stageOf(thread, instr, instr.second, instr.second + 1);
  if (!stage)
    return Step::Failed;
  int64_t ring = thread.integer(instr, instr.second), number = thread.integer(instr, instr.second + 1);
  if (!claimBytes(thread, instr, ring, number))
    return Step::Failed;
  stage->state = Stage::InFlight;
  stage->fromView = true;
  stage->claim = claimOf(thread, instr, 0, 1, instr.second - 1);
  stage->by = instr.op;
  // The data is fetched here, and is out of reach until the copy has landed.
  stage->data.resize(instr.shape[0] * instr.shape[1]);
  if (!readBox(thread, instr, stage->claim, instr.shape, noLimit, instr.pad, stage->data.data()))
    return Step::Failed;
  thread.openGroup.push_back({ring, number});
  return Step::Next;
}

Step machine::runCopyCommit(Thread &thread, const Instr &instr) {
  thread.groups.push_back(std::move(thread.openGroup));
  thread.openGroup.clear();
  return Step::Next;
}

Step machine::runCopyWait(Thread &thread, const Instr &instr) {
  while (int64_t(thread.groups.size()) > std::max<int64_t>(0, instr.immediate)) {
    for (PendingCopy copy : thread.groups.front())
      thread.rings[copy.ring].stages[copy.stage].state = Stage::Landed;
    thread.groups.pop_front();
  }
  return Step::Next;
}

Step machine::runBarrier(Thread &thread, const Instr &instr) {
  for (Ring &ring : thread.rings)
    for (Stage &stage : ring.stages) {
      if (stage.state == Stage::Landed)
        stage.state = Stage::Ready;
      stage.readSinceBarrier = false;
    }
  return Step::Next;
}

static bool sameCells(const std::vector<Cell> &a, const std::vector<Cell> &b) {
  // Bit by bit: NaN equals itself, and a zero keeps its sign.
  return a.size() == b.size() &&
         llvm::all_of(llvm::zip(a, b), [](auto pair) { return std::get<0>(pair).n == std::get<1>(pair).n; });
}

// Operands: ring, stage, and either view and indices or the tile that was written.
Step machine::runSmemRead(Thread &thread, const Instr &instr) {
  Stage *stage = stageOf(thread, instr, 0, 1);
  if (!stage)
    return Step::Failed;
  switch (stage->state) {
  case Stage::Undefined:
    return thread.fail(instr, "reads a stage that was never written");
  case Stage::InFlight:
    return thread.fail(instr, "reads a stage before its copy has landed: no copy_wait covers the copy begun at " +
                                  placeOf(stage->by));
  case Stage::Landed:
    return thread.fail(instr, "reads a stage without a barrier since it was written at " + placeOf(stage->by));
  case Stage::Overwritten:
    return thread.fail(instr, "reads a stage whose bytes were overwritten at " + placeOf(stage->by));
  case Stage::Ready:
    break;
  }
  if (instr.second) {
    if (stage->fromView)
      return thread.fail(instr,
                         "claims a tile that was written, but the stage holds " + text(thread.machine, stage->claim));
    if (!sameCells(stage->data, thread.cells(instr.in[instr.second])))
      return thread.fail(instr, "claims a tile other than the one that was written at " + placeOf(stage->by));
  } else {
    Claim claim = claimOf(thread, instr, 2, 3, instr.in.size() - 3);
    if (!stage->fromView)
      return thread.fail(instr, "claims " + text(thread.machine, claim) + ", but the stage holds a tile written at " +
                                    placeOf(stage->by));
    Claim copied = claim; // begins some rows before
    if (instr.immediate)
      copied.indices[claim.dims[0]] -= instr.immediate;
    if (!(stage->claim == copied))
      return thread.fail(instr, "claims " + text(thread.machine, claim) + ", but the stage holds " +
                                    text(thread.machine, stage->claim));
    std::vector<Cell> now(instr.elements);
    if (!readBox(thread, instr, claim, instr.shape, noLimit, instr.pad, now.data()))
      return Step::Failed;
    int64_t first = instr.shape.size() == 2 ? instr.immediate * instr.shape[1] : 0;
    std::vector<Cell> held(stage->data.begin() + first, stage->data.begin() + first + instr.elements);
    if (!sameCells(held, now))
      return thread.fail(instr, "claims " + text(thread.machine, claim) + ", which has changed since it was copied");
    stage->readSinceBarrier = true;
    llvm::copy(held, thread.result(instr));
    return Step::Next;
  }
  stage->readSinceBarrier = true;
  std::copy(stage->data.begin(), stage->data.end(), thread.result(instr));
  return Step::Next;
}

// Operands: tile, ring, stage.
Step machine::runSmemWrite(Thread &thread, const Instr &instr) {
  Stage *stage = stageOf(thread, instr, 1, 2);
  if (!stage || !claimBytes(thread, instr, thread.integer(instr, 1), thread.integer(instr, 2)))
    return Step::Failed;
  stage->state = Stage::Landed;
  stage->fromView = false;
  stage->data = thread.cells(instr.in[0]);
  stage->by = instr.op;
  return Step::Next;
}

//===--- channels ---===//

Step machine::runChannel(Thread &thread, const Instr &instr) {
  auto op = cast<ChannelOp>(instr.op);
  Channel channel;
  channel.offset = op.getOffset() ? int64_t(*op.getOffset()) : -1;
  channel.bytes = op.getChannel().getType().getBytes();
  channel.stages = op.getChannel().getType().getStages();
  channel.readers = op.getReaders();
  channel.op = op;
  if (channel.offset >= 0) {
    int64_t begin = channel.offset, end = begin + channel.bytes;
    for (const Channel &other : thread.machine.channels)
      if (other.offset >= 0 && other.offset < end && begin < other.offset + other.bytes)
        return thread.fail(instr, "shares bytes with the channel of " + placeOf(other.op));
    for (const Ring &ring : thread.rings)
      if (ring.offset >= 0 && ring.offset < end && begin < ring.offset + ring.stageBytes * int64_t(ring.stages.size()))
        return thread.fail(instr, "shares bytes with a ring");
  }
  thread.setInteger(instr.out[0], int64_t(thread.machine.channels.size()));
  thread.machine.channels.push_back(std::move(channel));
  return Step::Next;
}

// Operands: view, indices, channel.
Step machine::runPut(Thread &thread, const Instr &instr) {
  Channel &channel = thread.machine.channels[thread.integer(instr, instr.in.size() - 1)];
  if (thread.role.empty())
    return thread.fail(instr, "puts outside a role");
  if (channel.writer >= 0 && channel.writer != thread.number)
    return thread.fail(instr, "puts into a channel that another role instance puts into");
  channel.writer = thread.number;
  if (int64_t(channel.items.size()) == channel.stages)
    return thread.block("for a free stage of the channel of " + placeOf(channel.op) + " (at " + placeOf(instr.op) +
                        ")");
  Channel::Item item;
  item.claim = claimOf(thread, instr, 0, 1, instr.in.size() - 2);
  item.by = instr.op;
  channel.items.push_back(std::move(item));
  return Step::Next;
}

// Operands: channel, view, indices.
Step machine::runTake(Thread &thread, const Instr &instr) {
  Channel &channel = thread.machine.channels[thread.integer(instr, 0)];
  if (thread.role.empty())
    return thread.fail(instr, "takes outside a role");
  Channel::Reader &reader = channel.readerOf[thread.number];
  if (int64_t(channel.readerOf.size()) > channel.readers)
    return thread.fail(instr, "takes from a channel that has " + Twine(channel.readers) + " readers already");
  int64_t index = reader.taken - channel.firstItem;
  if (index >= int64_t(channel.items.size()))
    return thread.block("for tile " + Twine(reader.taken) + " of the channel of " + placeOf(channel.op) + " (at " +
                        placeOf(instr.op) + ")");
  Claim claim = claimOf(thread, instr, 1, 2, instr.in.size() - 2);
  const Channel::Item &item = channel.items[index];
  if (!(item.claim == claim))
    return thread.fail(instr, "claims " + text(thread.machine, claim) + ", but the stage holds " +
                                  text(thread.machine, item.claim) + ", put at " + placeOf(item.by));
  if (!readBox(thread, instr, claim, instr.shape, noLimit, instr.pad, thread.result(instr)))
    return Step::Failed;
  ++reader.taken;
  reader.held.push_back(thread.slots[instr.out[0]]);
  return Step::Next;
}

Step machine::runRelease(Thread &thread, const Instr &instr) {
  Channel &channel = thread.machine.channels[thread.integer(instr, 0)];
  auto found = channel.readerOf.find(thread.number);
  if (found == channel.readerOf.end() || found->second.held.empty())
    return thread.fail(instr, "releases a stage that this role does not hold");
  Channel::Reader &reader = found->second;
  reader.held.front()->released = true;
  reader.held.pop_front();
  ++channel.items[reader.released - channel.firstItem].released;
  ++reader.released;
  while (!channel.items.empty() && channel.items.front().released == channel.readers) {
    channel.items.pop_front();
    ++channel.firstItem;
  }
  return Step::Next;
}

//===--- turns ---===//

Step machine::runOrder(Thread &thread, const Instr &instr) {
  thread.setInteger(instr.out[0], int64_t(thread.machine.orders.size()));
  thread.machine.orders.push_back({int64_t(cast<OrderOp>(instr.op).getCount()), 0, instr.op});
  return Step::Next;
}

static Order *orderOf(Thread &thread, const Instr &instr) {
  Order &order = thread.machine.orders[thread.integer(instr, 0)];
  int64_t id = thread.integer(instr, 1);
  if (id < 0 || id >= order.count) {
    thread.fail(instr, "names instance " + Twine(id) + " of an order of " + Twine(order.count));
    return nullptr;
  }
  return &order;
}

Step machine::runOrderWait(Thread &thread, const Instr &instr) {
  Order *order = orderOf(thread, instr);
  if (!order)
    return Step::Failed;
  if (order->turn == thread.integer(instr, 1))
    return Step::Next;
  if (thread.role.empty())
    return thread.fail(instr, "waits outside a role");
  return thread.block("for its turn in the order of " + placeOf(order->op) + " (at " + placeOf(instr.op) +
                      "), which instance " + Twine(order->turn) + " has");
}

Step machine::runOrderSignal(Thread &thread, const Instr &instr) {
  Order *order = orderOf(thread, instr);
  if (!order)
    return Step::Failed;
  if (order->turn != thread.integer(instr, 1))
    return thread.fail(instr, "ends the turn of instance " + Twine(thread.integer(instr, 1)) + ", but instance " +
                                  Twine(order->turn) + " has it");
  order->turn = (order->turn + 1) % order->count;
  return Step::Next;
}

//===--- products in flight ---===//

Step machine::runDotStart(Thread &thread, const Instr &instr) {
  PendingDot dot{thread.slots[instr.in[0]], thread.slots[instr.in[1]], thread.slots[instr.in[2]], &instr};
  thread.setInteger(instr.out[0], thread.nextDot);
  thread.dots.emplace(thread.nextDot++, std::move(dot));
  return Step::Next;
}

Step machine::runDotWait(Thread &thread, const Instr &instr) {
  auto found = thread.dots.find(thread.integer(instr, 0));
  if (found == thread.dots.end())
    return thread.fail(instr, "waits for a product that is not under way");
  PendingDot dot = std::move(found->second);
  thread.dots.erase(found);
  if (dot.a->released || dot.b->released || dot.acc->released)
    return thread.fail(instr, "waits for a product that reads a stage which has been released meanwhile");
  computeDot(dot.a->cells.data(), dot.b->cells.data(), dot.acc->cells.data(), thread.result(instr), *dot.start,
             thread.machine.rounds());
  return Step::Next;
}
