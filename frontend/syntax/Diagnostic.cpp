// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Positions, collection and rendering of diagnostics.
#include "frontend/syntax/Diagnostic.h"

#include <algorithm>

namespace fovea::syntax {
namespace {

bool isContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !isContinuation(c); }));
}

struct Palette {
  const char *error, *warning, *place, *bold, *help, *end;
};
constexpr Palette kPlain{"", "", "", "", "", ""};
constexpr Palette kColour{"\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[1;36m", "\x1b[0m"};

/// Long lines are shown around the place only.
constexpr size_t kMaxShown = 160;

void excerpt(std::string &out, const SourceMap &sources, Span span, const std::string &label, const Palette &p,
             const char *mark) {
  Position begin = sources.position(span);
  std::string number = std::to_string(begin.line);
  std::string pad(number.size(), ' ');
  std::string_view line = sources.line(span.file, begin.line);
  std::string shown;
  size_t before = 0, width = 0, at = 0;
  size_t lineBegin = span.begin;
  for (size_t column = begin.column; column > 1 && lineBegin > 0;) {
    --lineBegin;
    if (!isContinuation(sources.text(span.file)[lineBegin]))
      --column;
  }
  size_t offset = std::min<size_t>(span.begin - lineBegin, line.size());
  size_t first = 0, last = line.size();
  if (line.size() > kMaxShown) {
    first = offset > 60 ? offset - 60 : 0;
    while (first < line.size() && isContinuation(line[first]))
      ++first;
    last = std::min(line.size(), first + kMaxShown);
    while (last > first && last < line.size() && isContinuation(line[last]))
      --last;
  }
  for (at = first; at < last; ++at) {
    unsigned char c = static_cast<unsigned char>(line[at]);
    shown += c == '\t' || c < 0x20 || c == 0x7F ? ' ' : line[at];
  }
  before = characters(line.substr(first, offset - first));
  size_t end = std::min<size_t>(offset + (span.end > span.begin ? span.end - span.begin : 0), last);
  width = end > offset ? characters(line.substr(offset, end - offset)) : 0;
  width = std::max<size_t>(width, 1);
  const char *lead = first > 0 ? "..." : "";
  std::string bar = std::string(p.place) + pad + " |" + p.end;
  out += std::string(p.place) + pad + "--> " + p.end + sources.name(span.file) + ":" + number + ":" +
         std::to_string(begin.column) + "\n";
  out += bar + "\n";
  out += std::string(p.place) + number + " |" + p.end + " " + lead + shown + (last < line.size() ? "..." : "") + "\n";
  out += bar + " " + std::string(before + (first > 0 ? 3 : 0), ' ') + mark + std::string(width, '^');
  if (!label.empty())
    out += " " + label;
  out += std::string(p.end) + "\n";
}

} // namespace

uint32_t SourceMap::add(std::string name, std::string text) {
  Entry entry{std::move(name), std::move(text), {0}};
  for (size_t i = 0; i < entry.text.size(); ++i)
    if (entry.text[i] == '\n')
      entry.lineStarts.push_back(static_cast<uint32_t>(i + 1));
  files_.push_back(std::move(entry));
  return static_cast<uint32_t>(files_.size() - 1);
}

Position SourceMap::position(uint32_t file, uint32_t offset) const {
  if (file >= files_.size())
    return {};
  const Entry &entry = files_[file];
  offset = std::min<uint32_t>(offset, static_cast<uint32_t>(entry.text.size()));
  auto it = std::upper_bound(entry.lineStarts.begin(), entry.lineStarts.end(), offset);
  uint32_t index = static_cast<uint32_t>(it - entry.lineStarts.begin()) - 1;
  uint32_t start = entry.lineStarts[index];
  std::string_view lead = std::string_view(entry.text).substr(start, offset - start);
  return {index + 1, static_cast<uint32_t>(characters(lead)) + 1};
}

std::string_view SourceMap::line(uint32_t file, uint32_t line) const {
  if (file >= files_.size() || line == 0 || line > files_[file].lineStarts.size())
    return {};
  const Entry &entry = files_[file];
  size_t begin = entry.lineStarts[line - 1];
  size_t end = line < entry.lineStarts.size() ? entry.lineStarts[line] - 1 : entry.text.size();
  if (end > begin && entry.text[end - 1] == '\r')
    --end;
  return std::string_view(entry.text).substr(begin, end - begin);
}

void DiagnosticEngine::report(Diagnostic diagnostic) {
  if (!seen_.emplace(diagnostic.span.file, diagnostic.span.begin, diagnostic.span.end, diagnostic.message).second)
    return;
  bool isError = diagnostic.severity == Severity::Error;
  ++(isError ? errors_ : warnings_);
  if ((isError ? errors_ : warnings_) > maxErrors_) {
    ++dropped_;
    return;
  }
  diagnostics_.push_back(std::move(diagnostic));
}

void DiagnosticEngine::error(Span span, std::string message, std::string label, std::string suggestion) {
  report({Severity::Error, span, std::move(message), std::move(label), {}, std::move(suggestion)});
}

void DiagnosticEngine::warning(Span span, std::string message, std::string label, std::string suggestion) {
  report({Severity::Warning, span, std::move(message), std::move(label), {}, std::move(suggestion)});
}

void DiagnosticEngine::sort() {
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(), [](const Diagnostic &a, const Diagnostic &b) {
    return std::tie(a.span.file, a.span.begin) < std::tie(b.span.file, b.span.begin);
  });
}

std::string DiagnosticEngine::render(const Diagnostic &d, bool colour) const {
  const Palette &p = colour ? kColour : kPlain;
  bool isError = d.severity == Severity::Error;
  std::string out = std::string(isError ? p.error : p.warning) + (isError ? "error" : "warning") + p.end + p.bold +
                    ": " + d.message + p.end + "\n";
  if (d.span.valid())
    excerpt(out, sources, d.span, d.label, p, isError ? p.error : p.warning);
  else if (!d.label.empty())
    out += "  " + d.label + "\n";
  if (!d.suggestion.empty())
    out += std::string("  ") + p.help + "help" + p.end + ": did you mean '" + d.suggestion + "'?\n";
  for (const Note &note : d.notes) {
    out += std::string("  ") + p.help + "note" + p.end + ": " + note.message + "\n";
    if (note.span.valid())
      excerpt(out, sources, note.span, "", p, p.place);
  }
  return out;
}

std::string DiagnosticEngine::render(bool colour) const {
  std::string out;
  for (const Diagnostic &d : diagnostics_)
    out += render(d, colour) + "\n";
  if (dropped_)
    out += "... and " + std::to_string(dropped_) + " more\n";
  return out;
}

std::string closest(std::string_view word, const std::vector<std::string> &candidates) {
  if (word.empty() || word.size() > 64)
    return {};
  // One or two letters are more often another name than a misspelt one.
  size_t limit = word.size() <= 2 ? 0 : word.size() <= 4 ? 1 : word.size() <= 8 ? 2 : 3;
  std::string best;
  size_t bestDistance = limit + 1;
  for (const std::string &candidate : candidates) {
    if (candidate.size() > 64 || candidate == word)
      continue;
    size_t n = word.size(), m = candidate.size();
    if ((n > m ? n - m : m - n) >= bestDistance)
      continue;
    std::vector<std::vector<size_t>> d(n + 1, std::vector<size_t>(m + 1));
    for (size_t i = 0; i <= n; ++i)
      for (size_t j = 0; j <= m; ++j) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        bool same = word[i - 1] == candidate[j - 1];
        d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0 : 1)});
        if (i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1])
          d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    if (d[n][m] < bestDistance) {
      bestDistance = d[n][m];
      best = candidate;
    }
  }
  if (best.empty())
    for (const std::string &candidate : candidates)
      if (candidate.size() == word.size() && word.size() > 1 &&
          std::equal(word.begin(), word.end(), candidate.begin(),
                     [](char a, char b) { return (a | 0x20) == (b | 0x20); }) &&
          candidate != word)
        return candidate;
  return best;
}

} // namespace fovea::syntax
