// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// XXH3 from its header alone, so that there is no library to ship.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/abi/Hash.h"

namespace fovea::runtime {

std::string hashText(std::string_view text) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(text.data(), text.size()));
  std::string digits;
  for (unsigned char byte : canonical.digest) {
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 15];
  }
  return digits;
}

} // namespace fovea::runtime
