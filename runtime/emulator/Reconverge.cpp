// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reconvergence points: immediate post-dominators on the control-flow graph, by the iterative algorithm of Cooper,
// Harvey and Kennedy ("A simple, fast dominance algorithm") on the reversed graph.
#include "runtime/emulator/Decode.h"

#include <algorithm>

namespace fovea::emulator {

void computeReconvergence(Kernel &kernel) {
  const uint32_t n = kernel.code.size();
  // Basic blocks.
  std::vector<char> leader(n + 1, 0);
  leader[0] = 1;
  auto targets = [&](const Inst &i, auto &&each) {
    if (i.kind == Kind::Branch)
      each(i.target);
    else if (i.kind == Kind::Indexed)
      for (uint32_t t = 0; t < i.target; ++t)
        each(uint32_t(kernel.pool[i.pool + t]));
  };
  for (uint32_t pc = 0; pc < n; ++pc) {
    const Inst &i = kernel.code[pc];
    if (i.kind == Kind::Branch || i.kind == Kind::Indexed || i.kind == Kind::Exit) {
      leader[pc + 1] = 1;
      targets(i, [&](uint32_t t) { leader[t] = 1; });
    }
  }
  std::vector<uint32_t> blockOf(n), start;
  for (uint32_t pc = 0; pc < n; ++pc) {
    if (leader[pc])
      start.push_back(pc);
    blockOf[pc] = start.size() - 1;
  }
  const uint32_t blocks = start.size(), exitBlock = blocks;
  std::vector<std::vector<uint32_t>> successors(blocks + 1), predecessors(blocks + 1);
  auto edge = [&](uint32_t from, uint32_t to) { successors[from].push_back(to); };
  for (uint32_t b = 0; b < blocks; ++b) {
    const uint32_t end = b + 1 < blocks ? start[b + 1] : n;
    const Inst &last = kernel.code[end - 1];
    targets(last, [&](uint32_t t) { edge(b, blockOf[t]); });
    const bool always =
        last.guard < 0 && (last.kind == Kind::Branch || last.kind == Kind::Indexed || last.kind == Kind::Exit);
    if (last.kind == Kind::Exit)
      edge(b, exitBlock);
    if (!always)
      edge(b, b + 1 < blocks ? b + 1 : exitBlock);
  }
  for (uint32_t b = 0; b < blocks; ++b) {
    std::vector<uint32_t> &list = successors[b];
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    for (uint32_t to : list)
      predecessors[to].push_back(b);
  }
  // Post order of the reversed graph from the exit; explicit stack.
  std::vector<uint32_t> order, number(blocks + 1, UINT32_MAX);
  std::vector<std::pair<uint32_t, uint32_t>> stack;
  std::vector<char> seen(blocks + 1, 0);
  stack.push_back({exitBlock, 0});
  seen[exitBlock] = 1;
  while (!stack.empty()) {
    auto &[b, next] = stack.back();
    if (next < predecessors[b].size()) {
      const uint32_t p = predecessors[b][next++];
      if (!seen[p]) {
        seen[p] = 1;
        stack.push_back({p, 0});
      }
    } else {
      number[b] = order.size();
      order.push_back(b);
      stack.pop_back();
    }
  }
  std::vector<uint32_t> idom(blocks + 1, UINT32_MAX);
  idom[exitBlock] = exitBlock;
  auto intersect = [&](uint32_t a, uint32_t b) {
    while (a != b) {
      while (number[a] < number[b])
        a = idom[a];
      while (number[b] < number[a])
        b = idom[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = order.size(); i-- > 0;) {
      const uint32_t b = order[i];
      if (b == exitBlock)
        continue;
      uint32_t best = UINT32_MAX;
      for (uint32_t s : successors[b])
        if (idom[s] != UINT32_MAX)
          best = best == UINT32_MAX ? s : intersect(best, s);
      if (best != idom[b]) {
        idom[b] = best;
        changed = true;
      }
    }
  }
  // Blocks from which no exit can be reached (endless loops) have no post-dominator: they never reconverge.
  for (uint32_t pc = 0; pc < n; ++pc) {
    Inst &i = kernel.code[pc];
    if (i.kind != Kind::Branch && i.kind != Kind::Indexed)
      continue;
    const uint32_t d = idom[blockOf[pc]];
    i.reconverge = d == UINT32_MAX || d == exitBlock ? n : start[d];
  }
}

} // namespace fovea::emulator
