// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Buffers of device memory behind fake addresses: lookup, initialisation bits, sparse pages, touched sectors.
#pragma once

#include "runtime/emulator/Emulator.h"

#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace fovea::emulator {

constexpr uint64_t pageBytes = 65536;

struct Page {
  uint8_t data[pageBytes] = {};
  uint64_t init[pageBytes / 64] = {};
};

struct FreeDeleter {
  void operator()(uint8_t *p) const { std::free(p); }
};

struct Buffer {
  std::string name;
  uint32_t index = 0; // within a launch
  uint64_t base = 0, size = 0;
  uint8_t *host = nullptr; // null: sparse
  std::unique_ptr<uint8_t, FreeDeleter> owned;
  bool readOnly = false;
  bool tracked = false;       // initialisation is checked
  std::vector<uint64_t> init; // a bit per byte; dense tracked buffers only
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages;
  std::unique_ptr<std::mutex> lock = std::make_unique<std::mutex>(); // of pages and touchedSparse
  // Counting, reset by each launch that counts.
  std::vector<uint64_t> touched; // two bits per 32-byte sector, loaded and stored; dense only
  std::unordered_set<uint64_t> touchedSparse;

  bool contains(uint64_t address, uint64_t bytes) const {
    return address >= base && address - base < size && bytes <= size - (address - base);
  }
  /// Host pointer for an access that does not cross a page; for a sparse buffer `create` makes a missing page.
  uint8_t *at(uint64_t address, bool create);
  /// Are all bytes (at most 16, not across a multiple of 16 unless byte-wise) written?
  bool isInit(uint64_t address, uint32_t bytes) const;
  void setInit(uint64_t address, uint64_t bytes, bool value = true);
  void touchSector(uint64_t sector);

private:
  Page *page(uint64_t number, bool create);
};

class MemoryImpl {
public:
  std::vector<std::unique_ptr<Buffer>> buffers; // by address
  uint64_t next = 0;

  Buffer *find(uint64_t address) const;
  Result<uint64_t> add(std::unique_ptr<Buffer> buffer, const BufferOptions &options);
  Status range(uint64_t address, uint64_t bytes, Buffer *&out) const;
};

} // namespace fovea::emulator
