// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An operator new that counts. A file of its own, so that the compiler does not see through it.
#include <atomic>
#include <cstdlib>
#include <new>

std::atomic<long> allocations{0};

// The address sanitizer has an operator new of its own.
#ifndef __SANITIZE_ADDRESS__

void *operator new(std::size_t size) {
  ++allocations;
  if (void *memory = std::malloc(size ? size : 1))
    return memory;
  std::abort();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
#endif
