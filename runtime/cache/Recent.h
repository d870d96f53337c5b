// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a process made lately, by key: a bounded number of bytes, the least recently used go first.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace fovea::runtime {

/// May be used by several threads at once. What was found stays valid when it is dropped here.
template <typename Value> class Recent {
public:
  explicit Recent(size_t capBytes) : cap_(capBytes) {}

  /// Null where there is none.
  std::shared_ptr<const Value> find(std::string_view key) {
    std::lock_guard lock(mutex_);
    auto found = places_.find(key);
    if (found == places_.end())
      return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->value;
  }

  /// In place of what was there; `bytes` is what the value takes. One that is larger than all is not kept.
  void keep(std::string key, std::shared_ptr<const Value> value, size_t bytes) {
    std::lock_guard lock(mutex_);
    if (auto found = places_.find(key); found != places_.end())
      drop(found->second);
    bytes += key.size();
    if (bytes > cap_)
      return;
    order_.push_front({std::move(key), std::move(value), bytes});
    places_.emplace(order_.front().key, order_.begin());
    for (bytes_ += bytes; bytes_ > cap_;)
      drop(std::prev(order_.end()));
  }

private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Value> value;
    size_t bytes = 0;
  };
  using Place = typename std::list<Entry>::iterator;

  void drop(Place place) {
    bytes_ -= place->bytes;
    places_.erase(place->key);
    order_.erase(place);
  }

  const size_t cap_;
  std::mutex mutex_;
  size_t bytes_ = 0;
  std::list<Entry> order_;                             // the most recently used first
  std::unordered_map<std::string_view, Place> places_; // keys lie in order_
};

} // namespace fovea::runtime
