// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Prints a syntax tree as a .attn text in the one style: `fovea fmt`.
#pragma once

#include "frontend/syntax/Tree.h"

#include <string>

namespace fovea::syntax {

/// The text of `file`, formatted. Keeps comments, at most one blank line between items, and the line breaks that stand
/// after operators and commas. Formatting twice gives the same text; it parses to the same tree. `file` must have no
/// errors, `sources` must hold its text.
std::string format(const File &file, const SourceMap &sources);

/// One expression on one line.
std::string format(const Expr &expr);

} // namespace fovea::syntax
