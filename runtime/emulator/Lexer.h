// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens of PTX text. A modifier such as `.rn` or `.L2::128B` is one token, so that an opcode is a name and its
// suffixes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::emulator {

enum class Tok : uint8_t {
  End,
  Error, // Lexer::error() says why
  Ident, // name, %name, $name, _
  Dot,   // `.name`, text without the dot
  Int,   // value in Token::bits
  F32,   // 0fXXXXXXXX, its bits in Token::bits
  F64,   // 0dXXXXXXXXXXXXXXXX or a decimal fraction, its bits in Token::bits
  String,
  Punct, // one character
};

struct Token {
  Tok kind = Tok::End;
  std::string_view text;
  uint32_t line = 0;
  uint64_t bits = 0;
  bool is(char c) const { return kind == Tok::Punct && text[0] == c; }
};

class Lexer {
public:
  explicit Lexer(std::string_view text) : text_(text) {}
  Token next();
  const std::string &error() const { return error_; }

private:
  Token number(size_t start);
  Token fail(std::string message);
  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  std::string error_;
};

/// The text of one line (from 1), trimmed and cut to a length fit for a message.
std::string lineText(std::string_view text, uint32_t line);

} // namespace fovea::emulator
