// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An expression whose names have become numbers, for calls that are launched many times: evaluation looks nothing up,
// allocates nothing and explains nothing. Expr::evaluate is the one that explains.
#pragma once

#include "runtime/abi/Expr.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace fovea::runtime {

/// What the numbers of a program stand for.
struct ExprValues {
  const int64_t *axes = nullptr;           // size of each axis; below 0: not known
  const int64_t *const *strides = nullptr; // of each tensor, by dimension; null: the tensor is absent
  const int64_t *aligns = nullptr;         // of each tensor
  int64_t sms = 1;
};

/// All values from `least` to `most`.
struct ExprRange {
  int64_t least = 0, most = 0;
};

/// Ranges of axes and the multiprocessors of one device; strides and alignments may be anything.
struct ExprRanges {
  const ExprRange *axes = nullptr;
  const bool *present = nullptr; // of each tensor
  int64_t sms = 1;
};

class ExprProgram {
public:
  /// Numbers of names; nothing where a name is not known, which is an Internal error for checked plans.
  struct Names {
    std::function<std::optional<uint32_t>(const std::string &)> axis, tensor;
    std::function<std::optional<uint32_t>(uint32_t tensor, const std::string &)> dim;
  };
  ExprProgram() = default;
  static Result<ExprProgram> compile(const Expr &expr, const Names &names);

  /// The value that Expr::evaluate gives; false where that is an error.
  bool evaluate(const ExprValues &values, int64_t &result) const;
  /// A range that holds the value for all values of the ranges; false where an evaluation may be an error, or the
  /// expression asks for a stride.
  bool range(const ExprRanges &ranges, ExprRange &result) const;

private:
  using Op = Expr::Op;
  struct Node {
    Op op = Op::Constant;
    uint32_t left = 0, right = 0; // nodes; of Stride: tensor, dimension; of Axis, Align and Present: the number
    int64_t value = 0;
  };
  bool evaluateNode(uint32_t node, const ExprValues &values, int64_t &result) const;
  bool rangeOf(uint32_t node, const ExprRanges &ranges, ExprRange &result) const;

  std::vector<Node> nodes_; // empty: the constant 0
  uint32_t root_ = 0;
};

} // namespace fovea::runtime
