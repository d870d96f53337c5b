// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How far a result may be from its judge. One function says it for ordinary inputs, from the variant, its types and its
// lengths; another bounds each element of a result for inputs of any kind.
#pragma once

#include "dialect/attn/Attn.h"
#include "reference/attn/Reference.h"
#include "runtime/abi/StorageType.h"

#include "llvm/Support/Error.h"

#include <map>
#include <string>
#include <vector>

namespace fovea::driver {

/// One source of error, relative.
struct ToleranceTerm {
  std::string what;
  double value = 0;
};

struct OutputTolerance {
  bool isStatistic = false; // in f32, judged element by element
  /// Values: |a - r|_2 <= limit |m|_2 against float64 on the rounded inputs of unit variance, where m is r, or greater
  /// where the terms of r cancel: see magnitudes. `relative2` is what is expected, `limit` what is allowed.
  double relative2 = 0;
  /// Statistics: |a - r| <= absolute + relative |r|.
  double absolute = 0, relative = 0;
  std::vector<ToleranceTerm> terms; // whose root of the sum of squares, bounded by `limit`, relative2 is
  double limit = 0;
  /// What the roundings of operands of products are expected to do: relative, one of `terms`; and, where inputs have
  /// said it (addProductErrors), in absolute numbers: the 2-norm, or that of an element of a statistic.
  double ofProducts = 0, fromProducts = 0;
  /// What two runs with the same roundings may differ by where a state carries it along, relative; 0 without a state.
  double carriedApart = 0;
  /// `limit` for these magnitudes; more where the operands of products, of scores above all, weigh more than their
  /// own roundings.
  double allowed(const std::vector<double> &magnitudes, const std::vector<double> &reference) const;
  std::string format() const;
};

struct Tolerance {
  std::map<std::string, OutputTolerance> outputs; // by name
  /// PTX against level 2 with the same roundings: only the order of sums and the last bits of functions differ.
  double sameRoundings = 1e-3;
  /// Level 2 in doubles against the reference: constants are the only f32 in it.
  double exact = 1e-9;
};

/// The rounding of one value to nearest: half an ulp, relative.
double unitRoundoff(runtime::StorageType type);

/// What numbers a compilation computes with.
struct Arithmetic {
  runtime::StorageType type;        ///< of arrays that state none
  std::string precision = "3xtf32"; ///< of products of f32: tf32, 3xtf32 or fma
  Arithmetic(runtime::StorageType type, std::string precision = "3xtf32")
      : type(type), precision(std::move(precision)) {}
};

/// For inputs of unit variance. Roundings of different elements are independent, so the relative 2-norm of each source
/// is that of one rounding, u / sqrt(3), and sources add in squares: the weights before their product, each operand
/// that is computed and not read, and the result. Operands of products in tf32 are rounded to 11 bits even where they
/// are read, in 3xtf32 they lose 2^-22. Bounded by 5e-3 for bf16, by the same number of ulps for f16 and tf32, by 1e-6
/// where all is f32, and 2^-18 more for each function that the hardware approximates, n 2^-23 for
/// running sums over n. States: 1e-5 where all is f32, 7e-3 for bf16 where they erase. Statistics: 1e-3 + |r| 2^-22.
/// `sizes` of all axes, as inferSizes gives them.
Tolerance toleranceFor(attn::AttentionOp attention, const Arithmetic &arithmetic, const reference::AxisSizes &sizes);

/// Measures, for these inputs, what the rounding of operands of products does to each output. The error of a rounding
/// has a variance of at most u^2 x^2 / 3; variances are propagated to first order, V(f(x)) = f'(x)^2 V(x), so that an
/// error of a score counts by the slope of the score and by the weight of its key: for weights w that are divided
/// V(o) = sum_j w_j^2 (v_j - o)^2 V(s_j), for others sum_j v_j^2 V(w_j). The squared 2-norm X of an output's error is a
/// quadratic form of the roundings, which as evenly distributed numbers are sub-Gaussian by their variance:
///   P(X > a1 + 2 sqrt(a2 t) + 2 t a) <= e^-t,    a1, a2 the sum and the sum of squares of its coefficients, a the
///                                                greatest
/// (Hsu, Kakade, Zhang, "A tail inequality for quadratic forms of subgaussian random vectors", 2012). t = 7; the
/// coefficients are the variances of rows, whose elements share the errors of their scores, and no more of them than
/// elements were rounded. One row of one key is thereby allowed 4.5 standard deviations, many rows little more than 1.
llvm::Error addProductErrors(Tolerance &tolerance, attn::AttentionOp attention, const Arithmetic &arithmetic,
                             const reference::AxisSizes &sizes, const reference::Tensors &inputs);

/// For each element of each output a bound on |result - reference|, to first order in the roundings but exact in the
/// exponential, for inputs of any size (a running error analysis; Higham, "Accuracy and Stability of Numerical
/// Algorithms", 2nd ed., section 3.3). With u the roundoff of an operand, e = 2^-24 that of f32 and E(x) the bound of
/// x:
///   inputs                  0
///   a + b                   E(a) + E(b) + 2e |a + b|
///   a b                     |a| E(b) + |b| E(a) + 2e |a b|
///   f(x)                    L(x) E(x) + 2^-18 |f(x)|, L the slope, or its bound
///   dot(a, b) over n        dot(|a|, E'(b)) + dot(E'(a), |b|) + (n/8 + 4) e dot(|a|, |b|); E'(x) = E(x) + u |x| for a
///                           factor that is no input as stored, since it is rounded before the product
///   sum of a b              as a dot, where each factor has an axis that the other lacks
///   weights of score s      d = max over the keys of E(s) + 2^-21 |s|: every weight is right to a factor e^(2d)
///   expectation of c v      <|c v|> (2u + 2 (e^2d - 1) + (n/8 + 64) e) + <|c| E'(v)> + <E(c) |v|>
///                           and for f16, whose weights underflow, 2^-25 n max |c v|
///   lse                     d + (n/8 + 64) e + 4e |lse|
///   free weights w          sum of E(w) |c v| + |w| (|c| E'(v) + E(c) |v| + (2u + (n/8 + 64) e) |c v|)
///   masses m                as factors of weights: E(m) / |m| more, times the sum of |m| over that of m
///   running sums over n     those of E(x), and of (n/8 + 64) e |x|
///   floor, round            the ints from x - E(x) to x + E(x); a field gathered there may be any of its elements
///   output                  E(x) + u_out |x| + half of the smallest number of the output's type
/// Evaluated by the reference, as an attention of its own.
llvm::Expected<reference::Tensors> boundErrors(attn::AttentionOp attention, const Arithmetic &arithmetic,
                                               const reference::AxisSizes &sizes, const reference::Tensors &inputs);

/// True where free weights, times their coefficient, lie beyond f16 while their values are in it: their product is then
/// infinite or no number, and only a computation in doubles is comparable. The same for what the products of states
/// take: operands, weights of pairs of tokens, and states, their decay left out.
llvm::Expected<bool> weightsOverflow(attn::AttentionOp attention, const Arithmetic &arithmetic,
                                     const reference::AxisSizes &sizes, const reference::Tensors &inputs);

/// For each element of each output the root of the sum of squares of the terms that it is the sum of, back to
/// expectations and inputs: |m| is the scale of what was rounded. |x| where an output is no sum.
llvm::Expected<reference::Tensors> magnitudes(attn::AttentionOp attention, const reference::AxisSizes &sizes,
                                              const reference::Tensors &inputs);

/// |m|_2 / |r|_2 over finite elements, at least 1: what the limit of an output is multiplied by.
double conditionOf(const std::vector<double> &magnitudes, const std::vector<double> &reference);

} // namespace fovea::driver
