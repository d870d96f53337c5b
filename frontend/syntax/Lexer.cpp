// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tokens of the language.
#include "frontend/syntax/Lexer.h"

#include <array>

namespace fovea::syntax {
namespace {

bool isDigit(char c) { return c >= '0' && c <= '9'; }
bool isWordStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool isWordPart(char c) { return isWordStart(c) || isDigit(c); }

constexpr std::array<std::string_view, 6> kTwo = {"//", "<=", ">=", "==", "!=", "->"};
constexpr std::string_view kOne = "+-*/%^<>=()[]{},:;.|";

} // namespace

Tokens lex(uint32_t file, DiagnosticEngine &diagnostics) {
  std::string_view text = diagnostics.sources.text(file);
  Tokens result;
  size_t at = 0;
  bool newline = true, lineHasToken = false;
  auto span = [&](size_t begin, size_t end) {
    return Span{file, static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
  };
  auto push = [&](TokenKind kind, size_t begin, size_t end, std::string_view shown) {
    result.tokens.push_back({kind, span(begin, end), shown, newline});
    newline = false;
    lineHasToken = true;
  };
  if (text.substr(0, 3) == "\xEF\xBB\xBF") // a byte order mark
    at = 3;
  while (at < text.size()) {
    char c = text[at];
    if (c == '\n') {
      newline = true;
      lineHasToken = false;
      ++at;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at;
    } else if (c == '#') {
      size_t end = std::min(text.find('\n', at), text.size());
      size_t last = end;
      while (last > at && (text[last - 1] == ' ' || text[last - 1] == '\t' || text[last - 1] == '\r'))
        --last;
      result.comments.push_back({span(at, last), !lineHasToken});
      at = end;
    } else if (isWordStart(c)) {
      size_t end = at;
      while (end < text.size() && isWordPart(text[end]))
        ++end;
      push(TokenKind::Word, at, end, text.substr(at, end - at));
      at = end;
    } else if (isDigit(c)) {
      size_t end = at;
      while (end < text.size() && isDigit(text[end]))
        ++end;
      if (end + 1 < text.size() && text[end] == '.' && isDigit(text[end + 1])) {
        ++end;
        while (end < text.size() && isDigit(text[end]))
          ++end;
      }
      if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
        size_t exponent = end + 1;
        if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-'))
          ++exponent;
        if (exponent < text.size() && isDigit(text[exponent])) {
          end = exponent;
          while (end < text.size() && isDigit(text[end]))
            ++end;
        }
      }
      if (end < text.size() && isWordPart(text[end])) {
        size_t last = end;
        while (last < text.size() && isWordPart(text[last]))
          ++last;
        diagnostics.error(span(at, last), "'" + std::string(text.substr(at, last - at)) + "' is no number and no name",
                          "expected a number, or a name that begins with a letter");
        end = last;
        push(TokenKind::Number, at, end, "0");
      } else {
        push(TokenKind::Number, at, end, text.substr(at, end - at));
      }
      at = end;
    } else if (c == '"') {
      size_t end = at + 1;
      while (end < text.size() && text[end] != '"' && text[end] != '\n')
        ++end;
      bool closed = end < text.size() && text[end] == '"';
      if (!closed)
        diagnostics.error(span(at, end), "this string has no end", "expected '\"' on the same line");
      push(TokenKind::String, at, closed ? end + 1 : end, text.substr(at + 1, end - at - 1));
      at = closed ? end + 1 : end;
    } else {
      bool found = false;
      for (std::string_view two : kTwo)
        if (text.substr(at, 2) == two) {
          push(TokenKind::Punctuation, at, at + 2, text.substr(at, 2));
          at += 2;
          found = true;
          break;
        }
      if (found)
        continue;
      if (kOne.find(c) != std::string_view::npos) {
        push(TokenKind::Punctuation, at, at + 1, text.substr(at, 1));
        ++at;
        continue;
      }
      size_t end = at + 1;
      unsigned char lead = static_cast<unsigned char>(c);
      if (lead >= 0x80) // the whole character and its neighbours of the same kind
        while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0x80)
          ++end;
      static constexpr char kHex[] = "0123456789abcdef";
      std::string label = lead >= 0x80 ? "names are of ASCII letters, digits and '_'" : "";
      std::string suggestion;
      std::string_view rest = text.substr(at, 2);
      if (rest == "&&")
        suggestion = "and", end = at + 2;
      else if (rest == "||")
        suggestion = "or", end = at + 2;
      else if (c == '!')
        suggestion = "not";
      std::string shown = lead < 0x20 || lead == 0x7F ? std::string("byte 0x") + kHex[lead >> 4] + kHex[lead & 15]
                                                      : "'" + std::string(text.substr(at, end - at)) + "'";
      diagnostics.error(span(at, end), shown + " is not part of the language", label, suggestion);
      push(TokenKind::Error, at, end, "");
      at = end;
    }
  }
  push(TokenKind::End, text.size(), text.size(), "");
  result.tokens.back().newlineBefore = true;
  return result;
}

} // namespace fovea::syntax
