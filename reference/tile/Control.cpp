// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stack machine: blocks, loops, launches, roles.
#include "reference/tile/Machine.h"

using namespace mlir;
using namespace fovea::tile;
using namespace fovea::tile::machine;

std::string machine::placeOf(Operation *op) {
  std::string place;
  llvm::raw_string_ostream stream(place);
  if (auto file = op->getLoc()->findInstanceOf<FileLineColLoc>())
    stream << file.getFilename().getValue() << ':' << file.getLine() << ':' << file.getColumn();
  else
    op->getLoc().print(stream);
  return place;
}

Step Thread::fail(const Instr &instr, const llvm::Twine &message) {
  llvm::raw_string_ostream stream(machine.error);
  stream << placeOf(instr.op) << ": " << instr.op->getName() << ' ' << message;
  if (machine.inLaunch) {
    stream << " (launch '" << machine.launch << "', work item [";
    llvm::interleaveComma(machine.item, stream);
    stream << ']';
    if (!role.empty())
      stream << ", role " << role;
    stream << ')';
  }
  return Step::Failed;
}

void Thread::dump(const Instr &instr) {
  for (auto [k, result] : llvm::enumerate(instr.op->getResults())) {
    Type type = getElementTypeOrSelf(result.getType());
    if (!type.isIntOrIndexOrFloat())
      continue;
    std::vector<int64_t> shape;
    if (auto tensor = dyn_cast<RankedTensorType>(result.getType()))
      shape = tensor.getShape().vec();
    std::vector<double> values;
    for (Cell cell : cells(instr.out[k]))
      values.push_back(isa<FloatType>(type) ? cell.f : double(cell.n));
    machine.options.dump({instr.op, unsigned(k), machine.launch, machine.item, role, shape, values});
  }
}

Thread::State Thread::run() {
  while (!frames.empty()) {
    size_t depth = frames.size() - 1;
    const machine::Block *block = frames[depth].block;
    if (frames[depth].pc == block->instrs.size()) {
      const Instr *owner = frames[depth].owner;
      Step step = owner ? owner->finish(*this, frames[depth]) : Step::Next;
      if (step == Step::Failed)
        return State::Failed;
      if (step == Step::Entered)
        continue;
      frames.pop_back();
      if (owner && machine.options.dump)
        dump(*owner);
      continue;
    }
    const Instr &instr = block->instrs[frames[depth].pc];
    for (int slot : instr.in)
      if (slots[slot]->released) {
        fail(instr, "uses a tile whose stage has been released");
        return State::Failed;
      }
    switch (instr.run(*this, instr)) {
    case Step::Next:
      if (machine.options.dump)
        dump(instr);
      [[fallthrough]];
    case Step::Entered:
      ++frames[depth].pc;
      ++steps;
      break;
    case Step::Blocked:
      return State::Blocked;
    case Step::Failed:
      return State::Failed;
    }
  }
  return State::Done;
}

//===--- loops and branches ---===//

/// The values that the current block yields, as `to`: all are read before any is written.
static void passOn(Thread &thread, const machine::Block &block, ArrayRef<int> to) {
  SmallVector<BufferRef, 8> values;
  for (int slot : block.yields)
    values.push_back(thread.slots[slot]);
  for (auto [slot, value] : llvm::zip(to, values))
    thread.slots[slot] = value;
}

Step machine::runFor(Thread &thread, const Instr &instr) {
  int64_t lower = thread.integer(instr, 0), upper = thread.integer(instr, 1), step = thread.integer(instr, 2);
  if (step <= 0)
    return thread.fail(instr, "has a step of " + llvm::Twine(step) + "; expected at least 1");
  const machine::Block &body = instr.blocks[0];
  bool runs = lower < upper;
  for (size_t k = 3; k < instr.in.size(); ++k)
    thread.slots[runs ? body.args[k - 2] : instr.out[k - 3]] = thread.slots[instr.in[k]];
  if (!runs)
    return Step::Next;
  thread.setInteger(body.args[0], lower);
  thread.enter(body, &instr);
  Frame &frame = thread.frames.back();
  frame.index = lower;
  frame.bound = upper;
  frame.step = step;
  return Step::Entered;
}

Step machine::finishFor(Thread &thread, Frame &frame) {
  const machine::Block &body = *frame.block;
  if (__builtin_add_overflow(frame.index, frame.step, &frame.index) || frame.index >= frame.bound) {
    passOn(thread, body, frame.owner->out);
    return Step::Next;
  }
  passOn(thread, body, ArrayRef(body.args).drop_front());
  thread.setInteger(body.args[0], frame.index);
  frame.pc = 0;
  return Step::Entered;
}

// Operands: the first token, the end, the states. The frame counts chunks.
Step machine::runRecurrence(Thread &thread, const Instr &instr) {
  auto op = cast<RecurrenceOp>(instr.op);
  int64_t lo = thread.integer(instr, 0), hi = thread.integer(instr, 1), step = int64_t(op.getStep());
  const machine::Block &body = instr.blocks[0];
  int64_t count = lo < hi ? (hi - lo - 1) / step + 1 : 0;
  for (size_t k = 2; k < instr.in.size(); ++k)
    thread.slots[count ? body.args[k - 1] : instr.out[k - 2]] = thread.slots[instr.in[k]];
  if (!count)
    return Step::Next;
  thread.enter(body, &instr);
  Frame &frame = thread.frames.back();
  frame.step = op.getReverse() ? -step : step;
  frame.index = op.getReverse() ? lo + (count - 1) * step : lo;
  frame.bound = count;
  thread.setInteger(body.args[0], frame.index);
  return Step::Entered;
}

Step machine::finishRecurrence(Thread &thread, Frame &frame) {
  const machine::Block &body = *frame.block;
  if (--frame.bound == 0) {
    passOn(thread, body, frame.owner->out);
    return Step::Next;
  }
  passOn(thread, body, ArrayRef(body.args).drop_front());
  frame.index += frame.step;
  thread.setInteger(body.args[0], frame.index);
  frame.pc = 0;
  return Step::Entered;
}

Step machine::runIf(Thread &thread, const Instr &instr) {
  thread.enter(instr.blocks[thread.integer(instr, 0) ? 0 : 1], &instr);
  return Step::Entered;
}

Step machine::finishIf(Thread &thread, Frame &frame) {
  passOn(thread, *frame.block, frame.owner->out);
  return Step::Next;
}

//===--- launches and roles ---===//

Step machine::runLaunch(Thread &thread, const Instr &instr) {
  Machine &machine = thread.machine;
  size_t rank = instr.in.size();
  int64_t items = 1;
  std::vector<int64_t> extents;
  for (size_t k = 0; k < rank; ++k) {
    extents.push_back(thread.integer(instr, k));
    if (extents.back() < 0)
      return thread.fail(instr, "has the extent " + llvm::Twine(extents.back()));
    if (__builtin_mul_overflow(items, extents.back(), &items) || items > (int64_t(1) << 30))
      return thread.fail(instr, "has more than 2^30 work items: too many for the interpreter");
  }
  machine.inLaunch = true;
  machine.launch = cast<LaunchOp>(instr.op).getName().str();
  machine.firstItemOfLaunch = machine.itemNumber + 1;
  machine.item.assign(rank, 0);
  machine.launchViews.clear();
  Thread worker(machine, thread.slots);
  const machine::Block &body = instr.blocks[0];
  for (int64_t i = 0; i < items; ++i) {
    for (size_t k = 0; k < rank; ++k)
      worker.setInteger(body.args[k], machine.item[k]);
    ++machine.itemNumber;
    worker.rings.clear();
    worker.openGroup.clear();
    worker.groups.clear();
    machine.channels.clear();
    machine.orders.clear();
    worker.enter(body, nullptr);
    // Outside roles nothing blocks: every such operation fails instead.
    if (worker.run() != Thread::State::Done)
      return Step::Failed;
    for (size_t k = rank; k-- > 0;) {
      if (++machine.item[k] < extents[k])
        break;
      machine.item[k] = 0;
    }
  }
  machine.inLaunch = false;
  machine.item.clear();
  machine.launch.clear();
  return Step::Next;
}

Step machine::runEndIf(Thread &thread, const Instr &instr) {
  Frame &frame = thread.frames.back(); // of the launch's body
  if (thread.integer(instr, 0))
    frame.pc = frame.block->instrs.size() - 1;
  return Step::Next;
}

Step machine::runRoles(Thread &thread, const Instr &instr) {
  Machine &machine = thread.machine;
  std::vector<std::unique_ptr<Thread>> threads;
  for (const machine::Block &block : instr.blocks) {
    auto role = cast<RoleOp>(block.op);
    for (int64_t id = 0; id < int64_t(role.getCount()); ++id) {
      if (threads.size() == 32)
        return thread.fail(instr, "has more than 32 role instances: a block has at most 32 warps");
      threads.push_back(std::make_unique<Thread>(machine, thread.slots));
      Thread &worker = *threads.back();
      worker.role = role.getName().str() + (role.getCount() > 1 ? "#" + std::to_string(id) : "");
      if (!block.args.empty())
        worker.setInteger(block.args[0], id);
      worker.enter(block, nullptr);
    }
  }
  if (machine.options.lazyRoles)
    std::reverse(threads.begin(), threads.end());
  while (!threads.empty()) {
    bool moved = false;
    for (auto it = threads.begin(); it != threads.end();) {
      uint64_t before = (*it)->steps;
      Thread::State state = (*it)->run();
      if (state == Thread::State::Failed)
        return Step::Failed;
      moved |= state == Thread::State::Done || (*it)->steps != before;
      it = state == Thread::State::Done ? threads.erase(it) : it + 1;
    }
    if (!moved) {
      std::string waits;
      for (const auto &worker : threads)
        waits += (waits.empty() ? "" : "; ") + worker->role + " waits " + worker->reason;
      return thread.fail(instr, "never ends: " + waits);
    }
  }
  for (const Channel &channel : machine.channels) {
    int64_t put = channel.firstItem + int64_t(channel.items.size());
    bool all = int64_t(channel.readerOf.size()) == channel.readers || put == 0;
    for (const auto &[number, reader] : channel.readerOf)
      all &= reader.taken == put;
    if (!all)
      return thread.fail(instr, "ends although a reader has not taken all " + llvm::Twine(put) +
                                    " tiles that were put into the channel of " + placeOf(channel.op));
  }
  return Step::Next;
}
