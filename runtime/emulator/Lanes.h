// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops over the 32 lanes of a warp. With all lanes active they are plain loops that the compiler vectorises; otherwise
// all lanes are computed and the active ones kept, so operations must be harmless on any bits.
#pragma once

#include "runtime/emulator/Machine.h"

#include <bit>
#include <type_traits>

#if defined(__clang__)
#define FOVEA_LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define FOVEA_LANES _Pragma("GCC ivdep")
#endif

namespace fovea::emulator {

/// How a value of type T lies in a register slot.
template <typename T> using SlotOf = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <typename T> inline T unpack(SlotOf<T> s) {
  if constexpr (sizeof(T) == sizeof(SlotOf<T>))
    return std::bit_cast<T>(s);
  else
    return T(s);
}
template <typename T> inline SlotOf<T> pack(T v) {
  if constexpr (sizeof(T) == sizeof(SlotOf<T>))
    return std::bit_cast<SlotOf<T>>(v);
  else
    return SlotOf<T>(std::make_unsigned_t<T>(v));
}

template <typename S> inline S *slots(const Warp &w, int32_t offset) { return reinterpret_cast<S *>(w.regs + offset); }

template <typename S, typename F> inline void storeLanes(S *d, uint32_t mask, F &&f) {
  if (mask == fullMask) {
    FOVEA_LANES
    for (int l = 0; l < 32; ++l)
      d[l] = f(l);
  } else {
    FOVEA_LANES
    for (int l = 0; l < 32; ++l) {
      const S v = f(l);
      d[l] = (mask >> l) & 1 ? v : d[l];
    }
  }
}

/// A predicate from a lane-wise condition.
template <typename F> inline uint32_t collect(F &&f) {
  uint32_t out = 0;
  for (int l = 0; l < 32; ++l)
    out |= uint32_t(f(l) ? 1u : 0u) << l;
  return out;
}

template <typename T, auto Op> void unaryHandler(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return pack<T>(Op(unpack<T>(a[l]))); });
}
template <typename T, auto Op> void binaryHandler(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b);
  storeLanes(slots<S>(w, i.d), mask, [&](int l) { return pack<T>(Op(unpack<T>(a[l]), unpack<T>(b[l]))); });
}
template <typename T, auto Op> void ternaryHandler(Warp &w, const Inst &i, uint32_t mask) {
  using S = SlotOf<T>;
  const S *a = slots<S>(w, i.a), *b = slots<S>(w, i.b), *c = slots<S>(w, i.c);
  storeLanes(slots<S>(w, i.d), mask,
             [&](int l) { return pack<T>(Op(unpack<T>(a[l]), unpack<T>(b[l]), unpack<T>(c[l]))); });
}

} // namespace fovea::emulator
