// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One hash for contents and signatures: XXH3, 128 bits. It finds accidents and edits, it does not resist an attacker.
#pragma once

#include <string>
#include <string_view>

namespace fovea::runtime {

/// 32 lower-case hexadecimal digits.
std::string hashText(std::string_view text);

} // namespace fovea::runtime
