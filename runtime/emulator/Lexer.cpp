// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The hand-written scanner of PTX text.
#include "runtime/emulator/Lexer.h"

#include <bit>
#include <charconv>

namespace fovea::emulator {

static bool isAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool isDigit(char c) { return c >= '0' && c <= '9'; }
static bool isFollow(char c) { return isAlpha(c) || isDigit(c) || c == '_' || c == '$'; }
static int hexValue(char c) {
  if (isDigit(c))
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

Token Lexer::fail(std::string message) {
  error_ = std::move(message);
  at_ = text_.size();
  return {Tok::Error, {}, line_, 0};
}

Token Lexer::next() {
  for (;;) {
    if (at_ >= text_.size())
      return {error_.empty() ? Tok::End : Tok::Error, {}, line_, 0};
    char c = text_[at_];
    if (c == '\n') {
      ++line_;
      ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      size_t end = text_.find('\n', at_);
      at_ = end == text_.npos ? text_.size() : end;
    } else if (text_.substr(at_, 2) == "/*") {
      size_t end = text_.find("*/", at_ + 2);
      if (end == text_.npos)
        return fail("comment without an end");
      for (size_t i = at_; i < end; ++i)
        line_ += text_[i] == '\n';
      at_ = end + 2;
    } else {
      break;
    }
  }
  const size_t start = at_;
  const char c = text_[at_];
  auto take = [&](Tok kind, size_t from) { return Token{kind, text_.substr(from, at_ - from), line_, 0}; };
  if (isAlpha(c) || c == '_' || c == '$' || c == '%') {
    ++at_;
    while (at_ < text_.size() && isFollow(text_[at_]))
      ++at_;
    if (c == '%' && at_ == start + 1)
      return fail("a name is missing after '%'");
    return take(Tok::Ident, start);
  }
  if (c == '.') {
    ++at_;
    while (at_ < text_.size() && (isFollow(text_[at_]) || (text_.substr(at_, 2) == "::" && ++at_)))
      ++at_;
    if (at_ == start + 1)
      return fail("a name is missing after '.'");
    return take(Tok::Dot, start + 1);
  }
  if (isDigit(c))
    return number(start);
  if (c == '"') {
    size_t end = text_.find_first_of("\"\n", at_ + 1);
    if (end == text_.npos || text_[end] == '\n')
      return fail("string without an end");
    at_ = end + 1;
    return Token{Tok::String, text_.substr(start + 1, end - start - 1), line_, 0};
  }
  if (std::string_view(";,:{}[]()<>@!+-|=*").find(c) == std::string_view::npos)
    return fail(c > 32 && c < 127 ? std::string("unexpected character '") + c + "'" : "unexpected byte");
  ++at_;
  return take(Tok::Punct, start);
}

Token Lexer::number(size_t start) {
  auto peek = [&](size_t i) { return at_ + i < text_.size() ? text_[at_ + i] : '\0'; };
  Token token{Tok::Int, {}, line_, 0};
  const char second = peek(1);
  auto digits = [&](int base, int fixed) -> bool {
    uint64_t value = 0;
    int count = 0;
    bool overflow = false;
    for (;; ++at_, ++count) {
      int d = hexValue(peek(0));
      if (d < 0 || d >= base)
        break;
      if (value > (UINT64_MAX - d) / base)
        overflow = true;
      value = value * base + d;
    }
    token.bits = value;
    return count > 0 && (fixed == 0 || count == fixed) && (fixed != 0 || !overflow);
  };
  bool good = true;
  if (peek(0) == '0' && (second == 'f' || second == 'F' || second == 'd' || second == 'D')) {
    const bool single = second == 'f' || second == 'F';
    at_ += 2;
    token.kind = single ? Tok::F32 : Tok::F64;
    good = digits(16, single ? 8 : 16);
  } else if (peek(0) == '0' && (second == 'x' || second == 'X')) {
    at_ += 2;
    good = digits(16, 0);
    if (peek(0) == 'U')
      ++at_;
  } else if (peek(0) == '0' && (second == 'b' || second == 'B')) {
    at_ += 2;
    good = digits(2, 0);
    if (peek(0) == 'U')
      ++at_;
  } else {
    size_t end = at_;
    while (end < text_.size() && isDigit(text_[end]))
      ++end;
    const bool fraction = end + 1 < text_.size() && text_[end] == '.' && isDigit(text_[end + 1]);
    const bool exponent = end < text_.size() && (text_[end] == 'e' || text_[end] == 'E');
    if (fraction || exponent) {
      double value = 0;
      auto [rest, code] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
      good = code == std::errc();
      at_ = rest - text_.data();
      token.kind = Tok::F64;
      token.bits = std::bit_cast<uint64_t>(value);
    } else {
      good = digits(peek(0) == '0' && isDigit(second) ? 8 : 10, 0);
      if (peek(0) == 'U')
        ++at_;
    }
  }
  if (!good || isFollow(peek(0)))
    return fail("malformed number '" + std::string(text_.substr(start, std::min<size_t>(at_ - start + 1, 40))) + "'");
  token.text = text_.substr(start, at_ - start);
  return token;
}

std::string lineText(std::string_view text, uint32_t line) {
  size_t start = 0;
  for (uint32_t i = 1; i < line; ++i) {
    size_t end = text.find('\n', start);
    if (end == text.npos)
      return {};
    start = end + 1;
  }
  std::string_view s = text.substr(start, text.substr(start).find('\n'));
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t'))
    s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r'))
    s.remove_suffix(1);
  std::string out;
  for (char c : s.substr(0, 160))
    out += c == '\t' ? ' ' : (c < 32 || c > 126 ? '?' : c);
  return s.size() > 160 ? out + "..." : out;
}

} // namespace fovea::emulator
