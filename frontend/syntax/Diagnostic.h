// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Source texts, spans in them, and the diagnostics of the parser and of the semantic analysis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace fovea::syntax {

/// A half-open range of bytes of one source text. `file` indexes SourceMap; kNoFile means "no place in a text"
/// (a command line value, for instance).
struct Span {
  static constexpr uint32_t kNoFile = ~0u;
  uint32_t file = kNoFile;
  uint32_t begin = 0;
  uint32_t end = 0;
  bool valid() const { return file != kNoFile; }
  /// The smallest span that holds both; both must be of one file.
  Span to(Span other) const {
    return {file, begin < other.begin ? begin : other.begin, end > other.end ? end : other.end};
  }
  bool operator==(const Span &) const = default;
};

/// Line and column, both from 1; columns count characters (Unicode code points), a tab is one.
struct Position {
  uint32_t line = 0;
  uint32_t column = 0;
  bool operator==(const Position &) const = default;
};

/// The texts of one analysis: the file given and those that it imports.
class SourceMap {
public:
  /// Adds a text and returns its number. `name` is what messages print.
  uint32_t add(std::string name, std::string text);
  uint32_t size() const { return static_cast<uint32_t>(files_.size()); }
  const std::string &name(uint32_t file) const { return files_[file].name; }
  const std::string &text(uint32_t file) const { return files_[file].text; }
  Position position(uint32_t file, uint32_t offset) const;
  Position position(Span span) const { return position(span.file, span.begin); }
  /// Line `line` (from 1) without its end of line; empty where there is no such line.
  std::string_view line(uint32_t file, uint32_t line) const;

private:
  struct Entry {
    std::string name, text;
    std::vector<uint32_t> lineStarts;
  };
  std::vector<Entry> files_;
};

enum class Severity { Error, Warning };

struct Note {
  Span span; // may be invalid: a sentence without a place
  std::string message;
};

/// One message. `message` says what is wrong; `label` stands under the text and says what was expected;
/// `suggestion` is a text that would be right in place of the underlined one.
struct Diagnostic {
  Severity severity = Severity::Error;
  Span span;
  std::string message;
  std::string label;
  std::vector<Note> notes;
  std::string suggestion;
};

/// Collects diagnostics. The same message at the same place is kept once; from `maxErrors` errors on, further
/// ones are only counted.
class DiagnosticEngine {
public:
  explicit DiagnosticEngine(size_t maxErrors = 50) : maxErrors_(maxErrors) {}

  SourceMap sources;

  void report(Diagnostic diagnostic);
  void error(Span span, std::string message, std::string label = {}, std::string suggestion = {});
  void warning(Span span, std::string message, std::string label = {}, std::string suggestion = {});

  /// In order of file and position once `sort` was called, else in order of discovery.
  const std::vector<Diagnostic> &diagnostics() const { return diagnostics_; }
  void sort();
  size_t errorCount() const { return errors_; }
  size_t warningCount() const { return warnings_; }
  bool hasErrors() const { return errors_ != 0; }

  /// All diagnostics as text for a terminal: position, source line, underline, what was expected, suggestion.
  std::string render(bool colour = false) const;
  std::string render(const Diagnostic &diagnostic, bool colour = false) const;

private:
  size_t maxErrors_;
  size_t errors_ = 0, warnings_ = 0, dropped_ = 0;
  std::vector<Diagnostic> diagnostics_;
  std::set<std::tuple<uint32_t, uint32_t, uint32_t, std::string>> seen_;
};

/// The candidate closest to `word` in edit distance (a swap of neighbours counts one), or empty if none is close
/// enough to be a likely misspelling.
std::string closest(std::string_view word, const std::vector<std::string> &candidates);

} // namespace fovea::syntax
