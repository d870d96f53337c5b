// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The table of Target.h.
#include "dialect/common/Target.h"

namespace fovea {

const std::vector<Target> &Target::all() {
  static const std::vector<Target> table = {
      {"sm_80", "+ptx70", "7.0", "450.80", 166912, 167936, 65536, 255, 2048, 32, 108, 1024, 64, 16, 1.41, 1555, true,
       true},
      {"sm_86", "+ptx71", "7.1", "455.23", 101376, 102400, 65536, 255, 1536, 16, 84, 512, 128, 16, 1.70, 936, true,
       true},
      {"sm_89", "+ptx78", "7.8", "520.61", 101376, 102400, 65536, 255, 1536, 24, 128, 512, 128, 16, 2.52, 1008, true,
       true},
      {"sm_90", "+ptx78", "7.8", "520.61", 232448, 233472, 65536, 255, 2048, 32, 132, 1024, 128, 16, 1.83, 3350, true,
       true},
      {"sm_120", "+ptx87", "8.7", "570.86", 101376, 102400, 65536, 255, 1536, 24, 188, 512, 128, 16, 2.62, 1792, true,
       true},
  };
  return table;
}

const Target *Target::find(std::string_view name) {
  for (const Target &target : all())
    if (target.name == name)
      return &target;
  return nullptr;
}

std::string Target::names() {
  std::string result;
  for (const Target &target : all())
    result += (result.empty() ? "" : ", ") + std::string(target.name);
  return result;
}

} // namespace fovea
