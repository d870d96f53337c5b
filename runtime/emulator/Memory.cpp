// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Registration of buffers and host access to them.
#include "runtime/emulator/Memory.h"
#include "runtime/emulator/Program.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace fovea::emulator {

static std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

Page *Buffer::page(uint64_t number, bool create) {
  std::lock_guard<std::mutex> guard(*lock);
  auto it = pages.find(number);
  if (it == pages.end()) {
    if (!create)
      return nullptr;
    it = pages.emplace(number, std::make_unique<Page>()).first;
  }
  return it->second.get();
}

uint8_t *Buffer::at(uint64_t address, bool create) {
  const uint64_t offset = address - base;
  if (host)
    return host + offset;
  static Page zero;
  Page *found = page(offset / pageBytes, create);
  return (found ? found : &zero)->data + offset % pageBytes;
}

// CTAs on other threads may set neighbouring bits of a word.
bool Buffer::isInit(uint64_t address, uint32_t bytes) const {
  const uint64_t offset = address - base;
  uint64_t *bits;
  uint64_t at = offset;
  if (host) {
    bits = const_cast<uint64_t *>(init.data());
  } else {
    Page *found = const_cast<Buffer *>(this)->page(offset / pageBytes, false);
    if (!found)
      return false;
    bits = found->init;
    at = offset % pageBytes;
  }
  for (uint32_t done = 0; done < bytes;) {
    const uint64_t bit = (at + done) % 64;
    const uint32_t part = std::min<uint64_t>(bytes - done, 64 - bit);
    const uint64_t mask = (part == 64 ? ~0ull : (1ull << part) - 1) << bit;
    if ((std::atomic_ref(bits[(at + done) / 64]).load(std::memory_order_relaxed) & mask) != mask)
      return false;
    done += part;
  }
  return true;
}

void Buffer::setInit(uint64_t address, uint64_t bytes, bool value) {
  uint64_t offset = address - base;
  while (bytes > 0) {
    uint64_t *bits = init.data();
    uint64_t at = offset;
    if (!host) {
      bits = page(offset / pageBytes, true)->init;
      at = offset % pageBytes;
    }
    const uint64_t bit = at % 64;
    const uint64_t part = std::min<uint64_t>(bytes, 64 - bit);
    const uint64_t mask = (part == 64 ? ~0ull : (1ull << part) - 1) << bit;
    std::atomic_ref word(bits[at / 64]);
    if ((word.load(std::memory_order_relaxed) & mask) != (value ? mask : 0)) {
      if (value)
        word.fetch_or(mask, std::memory_order_relaxed);
      else
        word.fetch_and(~mask, std::memory_order_relaxed);
    }
    offset += part;
    bytes -= part;
  }
}

void Buffer::touchSector(uint64_t sector) {
  if (!host) {
    std::lock_guard<std::mutex> guard(*lock);
    touchedSparse.insert(sector);
    return;
  }
  std::atomic_ref word(touched[sector / 64]);
  const uint64_t bit = 1ull << (sector % 64);
  if (!(word.load(std::memory_order_relaxed) & bit))
    word.fetch_or(bit, std::memory_order_relaxed);
}

Buffer *MemoryImpl::find(uint64_t address) const {
  auto it = std::upper_bound(buffers.begin(), buffers.end(), address,
                             [](uint64_t a, const std::unique_ptr<Buffer> &b) { return a < b->base; });
  if (it == buffers.begin())
    return nullptr;
  Buffer *b = std::prev(it)->get();
  return address - b->base < b->size ? b : nullptr;
}

Result<uint64_t> MemoryImpl::add(std::unique_ptr<Buffer> buffer, const BufferOptions &options) {
  if (options.align == 0 || options.align > 65536 || (options.align & (options.align - 1)))
    return Error{ErrorCode::InvalidArgument,
                 "alignment of buffer '" + options.name + "' must be a power of two up to 65536"};
  if (next == 0)
    next = bufferWindow;
  // The gap lies on both sides; the start is aligned to no more than was asked for, so that kernels that rely on more
  // fail.
  uint64_t base = (next + 2 * 65536 - 1) / 65536 * 65536 + (options.align < 65536 ? options.align : 0);
  if (buffer->size > bufferWindowEnd - bufferWindow || base + buffer->size > bufferWindowEnd)
    return Error{ErrorCode::OutOfMemory, "no room in the address space for buffer '" + options.name + "' of " +
                                             std::to_string(buffer->size) + " bytes"};
  buffer->base = base;
  buffer->name = options.name;
  buffer->readOnly = options.readOnly;
  buffer->tracked = !options.initialised;
  if (buffer->tracked && buffer->host)
    buffer->init.assign((buffer->size + 63) / 64, 0);
  next = base + buffer->size;
  buffers.push_back(std::move(buffer));
  return base;
}

Status MemoryImpl::range(uint64_t address, uint64_t bytes, Buffer *&out) const {
  out = find(address);
  if (!out || !out->contains(address, bytes))
    return Error{ErrorCode::InvalidArgument,
                 "no buffer holds " + std::to_string(bytes) + " bytes at device address " + hex(address)};
  return Status::success();
}

Memory::Memory() : impl_(std::make_unique<MemoryImpl>()) {}
Memory::~Memory() = default;
Memory::Memory(Memory &&) noexcept = default;
Memory &Memory::operator=(Memory &&) noexcept = default;

Result<uint64_t> Memory::addBuffer(void *host, uint64_t bytes, const BufferOptions &options) {
  auto buffer = std::make_unique<Buffer>();
  static uint8_t none;
  buffer->host = host ? static_cast<uint8_t *>(host) : &none;
  buffer->size = host ? bytes : 0;
  if (!host && bytes)
    return Error{ErrorCode::InvalidArgument, "buffer '" + options.name + "' has no memory"};
  return impl_->add(std::move(buffer), options);
}

Result<uint64_t> Memory::allocate(uint64_t bytes, const BufferOptions &options) {
  auto buffer = std::make_unique<Buffer>();
  if (bytes > (1ull << 46))
    return Error{ErrorCode::OutOfMemory, "buffer '" + options.name + "' of " + std::to_string(bytes) + " bytes"};
  buffer->owned.reset(static_cast<uint8_t *>(std::calloc(bytes ? bytes : 1, 1)));
  if (!buffer->owned)
    return Error{ErrorCode::OutOfMemory,
                 "cannot allocate " + std::to_string(bytes) + " bytes for buffer '" + options.name + "'"};
  buffer->host = buffer->owned.get();
  buffer->size = bytes;
  return impl_->add(std::move(buffer), options);
}

Result<uint64_t> Memory::addSparse(uint64_t bytes, const BufferOptions &options) {
  if (bytes > (1ull << 42))
    return Error{ErrorCode::OutOfMemory, "sparse buffer '" + options.name + "' of more than 2^42 bytes"};
  auto buffer = std::make_unique<Buffer>();
  buffer->size = bytes;
  return impl_->add(std::move(buffer), options);
}

Status Memory::remove(uint64_t address) {
  for (size_t i = 0; i < impl_->buffers.size(); ++i)
    if (impl_->buffers[i]->base == address) {
      impl_->buffers.erase(impl_->buffers.begin() + i);
      return Status::success();
    }
  return Error{ErrorCode::NotFound, "no buffer begins at device address " + hex(address)};
}

Status Memory::write(uint64_t address, const void *from, uint64_t bytes) {
  Buffer *b;
  if (Status s = impl_->range(address, bytes, b); !s)
    return s;
  for (uint64_t done = 0; done < bytes;) {
    uint64_t part = b->host ? bytes : std::min(bytes - done, pageBytes - (address - b->base + done) % pageBytes);
    std::memcpy(b->at(address + done, true), static_cast<const uint8_t *>(from) + done, part);
    done += part;
  }
  if (b->tracked)
    b->setInit(address, bytes);
  return Status::success();
}

Status Memory::read(uint64_t address, void *to, uint64_t bytes) const {
  Buffer *b;
  if (Status s = impl_->range(address, bytes, b); !s)
    return s;
  for (uint64_t done = 0; done < bytes;) {
    uint64_t part = b->host ? bytes : std::min(bytes - done, pageBytes - (address - b->base + done) % pageBytes);
    std::memcpy(static_cast<uint8_t *>(to) + done, b->at(address + done, false), part);
    done += part;
  }
  return Status::success();
}

Status Memory::fill(uint64_t address, uint8_t value, uint64_t bytes) {
  Buffer *b;
  if (Status s = impl_->range(address, bytes, b); !s)
    return s;
  for (uint64_t done = 0; done < bytes;) {
    uint64_t part = b->host ? bytes : std::min(bytes - done, pageBytes - (address - b->base + done) % pageBytes);
    std::memset(b->at(address + done, true), value, part);
    done += part;
  }
  if (b->tracked)
    b->setInit(address, bytes);
  return Status::success();
}

Status Memory::markUninitialised(uint64_t address) {
  Buffer *b = impl_->find(address);
  if (!b || b->base != address)
    return Error{ErrorCode::NotFound, "no buffer begins at device address " + hex(address)};
  b->tracked = true;
  if (b->host)
    b->init.assign((b->size + 63) / 64, 0);
  else
    for (auto &[index, page] : b->pages)
      std::memset(page->init, 0, sizeof page->init);
  return Status::success();
}

} // namespace fovea::emulator
