// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A fixed amount of work, timed: times of different machines and days are compared by their ratio to it. One third each
// of dependent integer arithmetic, of loads at random places in 16 MiB, and of small allocations with string hashing,
// which is what a compiler and an emulator spend their time on. Prints milliseconds; about 50 to 100 on a machine of
// 2022.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

uint64_t next(uint64_t &state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

uint64_t arithmetic(uint64_t state) {
  uint64_t sum = 0;
  for (int i = 0; i < 3'000'000; ++i)
    sum += next(state) & 0xFF;
  return sum;
}

uint64_t loads(uint64_t state, const std::vector<uint32_t> &table) {
  uint64_t at = next(state) % table.size();
  for (int i = 0; i < 200'000; ++i)
    at = (table[at] + next(state)) % table.size();
  return at;
}

uint64_t allocations(uint64_t state) {
  std::unordered_map<std::string, uint64_t> names;
  for (int i = 0; i < 20'000; ++i)
    names["value_number_" + std::to_string(next(state) % 20'000)] += i;
  return names.size();
}

} // namespace

int main() {
  std::vector<uint32_t> table(size_t(4) << 20);
  uint64_t state = 88172645463325252u;
  for (uint32_t &entry : table)
    entry = uint32_t(next(state));
  auto begin = std::chrono::steady_clock::now();
  uint64_t sum = arithmetic(state) + loads(state, table) + allocations(state);
  std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - begin;
  // The sum keeps the work from being removed.
  std::printf("%.3f\n", sum == 0 ? 0.0 : passed.count());
  return 0;
}
