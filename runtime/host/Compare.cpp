// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One pass over both sequences.
#include "runtime/host/Compare.h"

#include "runtime/host/Array.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace fovea::runtime {

namespace {

/// Sum of squares that neither overflows nor underflows.
class ScaledNorm {
public:
  void add(double x) {
    x = std::abs(x);
    if (x == 0)
      return;
    if (x > scale_) {
      sum_ = 1 + sum_ * (scale_ / x) * (scale_ / x);
      scale_ = x;
    } else {
      sum_ += (x / scale_) * (x / scale_);
    }
  }
  double norm() const { return scale_ * std::sqrt(sum_); }

private:
  double scale_ = 0, sum_ = 0;
};

} // namespace

Result<Comparison> compare(std::span<const double> result, std::span<const double> reference,
                           const CompareOptions &options) {
  bool conditioned = !options.condition.empty();
  if (result.size() != reference.size() || (conditioned && options.condition.size() != reference.size()))
    return Error{ErrorCode::InvalidArgument,
                 "comparison of " + std::to_string(result.size()) + " elements with " +
                     std::to_string(reference.size()) +
                     (conditioned ? ", conditioned by " + std::to_string(options.condition.size()) : "")};
  Comparison c;
  c.elements = static_cast<int64_t>(result.size());
  bool elementwise = options.absolute > 0 || options.relative > 0 || options.conditioned > 0 || !options.relative2;
  ScaledNorm errors, references;
  for (size_t i = 0; i < result.size(); ++i) {
    double a = result[i], r = reference[i];
    bool good = true;
    if (std::isnan(a) || std::isnan(r)) {
      c.nanCount += std::isnan(a);
      c.referenceNanCount += std::isnan(r);
      good = false;
    } else if (std::isinf(a) || std::isinf(r)) {
      good = a == r;
      c.infinityMismatches += !good;
    } else {
      double error = std::abs(a - r);
      errors.add(error);
      references.add(r);
      if (error > c.maxAbsolute || c.maxIndex < 0) {
        c.maxAbsolute = error;
        c.maxIndex = static_cast<int64_t>(i);
      }
      double bound = options.absolute + options.relative * std::abs(r);
      if (conditioned) {
        double condition = options.condition[i];
        if (!std::isnan(condition)) // a magnitude that could not be told allows nothing
          bound += options.conditioned * condition;
        if (error > 0)
          c.maxConditioned =
              std::max(c.maxConditioned, condition > 0 ? error / condition : std::numeric_limits<double>::infinity());
      }
      good = !elementwise || error <= bound;
    }
    if (!good) {
      if (c.offending++ == 0) {
        c.firstOffending = static_cast<int64_t>(i);
        c.firstValue = a;
        c.firstReference = r;
      }
    }
  }
  double norm = references.norm();
  c.relative2 = norm > 0 ? errors.norm() / norm : errors.norm();
  c.passed = c.offending == 0 && (!options.relative2 || c.relative2 <= *options.relative2);
  return c;
}

std::vector<int64_t> coordinates(int64_t index, std::span<const int64_t> shape) {
  std::vector<int64_t> place(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    int64_t size = std::max<int64_t>(shape[d], 1);
    place[d] = index % size;
    index /= size;
  }
  return place;
}

std::string Comparison::format(std::span<const int64_t> shape) const {
  auto place = [&](int64_t index) {
    return shape.empty() ? "[" + std::to_string(index) + "]" : shapeText(coordinates(index, shape));
  };
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, "relative 2-norm %.3e, greatest error %.3e", relative2, maxAbsolute);
  std::string text = buffer;
  if (maxIndex >= 0)
    text += " at " + place(maxIndex);
  if (nanCount)
    text += ", " + std::to_string(nanCount) + " NaN";
  if (referenceNanCount)
    text += ", " + std::to_string(referenceNanCount) + " NaN in the reference";
  if (infinityMismatches)
    text += ", " + std::to_string(infinityMismatches) + " infinities that do not agree";
  if (!passed && offending) {
    std::snprintf(buffer, sizeof buffer, ": %.9g instead of %.9g", firstValue, firstReference);
    text += "; " + std::to_string(offending) + " of " + std::to_string(elements) + " out of tolerance, first at " +
            place(firstOffending) + buffer;
  }
  return text;
}

} // namespace fovea::runtime
