// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The small expressions of a plan: guards, grid sizes, byte counts and scalar arguments, over axis sizes, strides,
// alignment, presence of tensors and device facts. Parsed once from text, evaluated in checked 64-bit arithmetic.
// docs/plan.md has the grammar.
#pragma once

#include "runtime/abi/Result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::runtime {

/// What the names of an expression stand for at one launch. Names were checked when the plan was read, so an
/// implementation may rely on them where it serves a checked plan, and answers an error otherwise.
class ExprScope {
public:
  virtual ~ExprScope() = default;
  /// Size of an axis, at least 1.
  virtual Result<int64_t> axis(std::string_view name) const = 0;
  /// Distance in elements between neighbours along the dimension with this display name.
  virtual Result<int64_t> stride(std::string_view tensor, std::string_view dim) const = 0;
  /// Largest power of two, at most 1024, that divides the address in bytes and, in bytes, the stride of every dimension
  /// of more than one element but the last declared one.
  virtual Result<int64_t> align(std::string_view tensor) const = 0;
  /// Whether the caller binds this tensor.
  virtual Result<int64_t> present(std::string_view tensor) const = 0;
  /// Number of multiprocessors.
  virtual Result<int64_t> deviceSms() const = 0;
};

class Expr {
public:
  static constexpr size_t kMaxText = 4096; // characters
  static constexpr int kMaxDepth = 64;     // nesting of parentheses, calls and unary operators
  static constexpr size_t kMaxNodes = 1024;

  /// The constant 0.
  Expr();
  /// Reads the whole text; the error names the column (from 1) and what was expected.
  static Result<Expr> parse(std::string_view text);
  static Expr constant(int64_t value);

  const std::string &text() const { return text_; }

  /// Overflow, division by zero and an unknown name are errors. Comparisons and logic give 0 or 1; `&&` and `||` do not
  /// evaluate their right side when the left one decides.
  Result<int64_t> evaluate(const ExprScope &scope) const;

  /// The value if the text is a single integer.
  bool isConstant(int64_t *value = nullptr) const;

  // Names that occur, each once, for the reader's checks.
  const std::vector<std::string> &axes() const { return axes_; }
  const std::vector<std::pair<std::string, std::string>> &strides() const { return strides_; } // tensor, dimension
  const std::vector<std::string> &alignments() const { return alignments_; }
  const std::vector<std::string> &presences() const { return presences_; }
  bool asksDevice() const;

  bool operator==(const Expr &other) const { return text_ == other.text_; }

private:
  friend class ExprParser;
  friend class ExprProgram;
  enum class Op : uint8_t {
    Constant,
    Axis,
    Stride,
    Align,
    Present,
    Sms,
    Negate,
    Not,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    CeilDiv,
    Min,
    Max,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Or
  };
  struct Node {
    Op op = Op::Constant;
    uint32_t left = 0, right = 0; // nodes, or the index of a name
    int64_t value = 0;
  };
  Result<int64_t> evaluateNode(uint32_t node, const ExprScope &scope) const;

  std::string text_ = "0";
  std::vector<Node> nodes_;
  uint32_t root_ = 0;
  std::vector<std::string> axes_;
  std::vector<std::pair<std::string, std::string>> strides_;
  std::vector<std::string> alignments_, presences_;
};

} // namespace fovea::runtime
