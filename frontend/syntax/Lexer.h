// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Splits a .attn text into tokens. Newlines are marks on tokens, comments a list of their own.
#pragma once

#include "frontend/syntax/Tree.h"

#include <vector>

namespace fovea::syntax {

/// Error: a character that was reported; the parser stays silent about it.
enum class TokenKind : uint8_t { End, Word, Number, String, Punctuation, Error };

struct Token {
  TokenKind kind = TokenKind::End;
  Span span;
  std::string_view text; // of the source; a string without its quotes
  bool newlineBefore = false;
};

struct Tokens {
  std::vector<Token> tokens; // ends with End
  std::vector<Comment> comments;
};

/// Characters that no token can have are reported and skipped. The text must have been added to `diagnostics.sources`.
Tokens lex(uint32_t file, DiagnosticEngine &diagnostics);

} // namespace fovea::syntax
