// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parses a .attn text. The grammar is docs/grammar.ebnf.
#pragma once

#include "frontend/syntax/Tree.h"

#include <set>
#include <string>
#include <string_view>

namespace fovea::syntax {

/// Names of the productions entered and the terminals accepted, as docs/grammar.ebnf spells them.
struct ParseTrace {
  std::set<std::string> productions, terminals;
};

/// The edition of the language that this version reads, as the first line of a file says it.
inline constexpr std::string_view kEdition = "1";

/// Largest text that is read, in bytes.
inline constexpr size_t kMaxFileSize = 4u << 20;

/// Adds the text to `diagnostics.sources` under `name` and parses it. Errors are reported; the tree then holds what
/// could be read, and `hasErrors` is set.
File parse(std::string name, std::string text, DiagnosticEngine &diagnostics, ParseTrace *trace = nullptr);

/// The words that begin a declaration inside an attention.
const std::vector<std::string> &declarationWords();

} // namespace fovea::syntax
