// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes inside the attn dialect. One pass, one job, one test file; each says what it rewrites, before and after.
#ifndef FOVEA_PASSES_ATTN_PASSES_TD
#define FOVEA_PASSES_ATTN_PASSES_TD

include "mlir/Pass/PassBase.td"

def AttnSinkToGatePass : Pass<"attn-sink-to-gate", "::fovea::attn::AttentionOp"> {
  let summary = "Turns the sinks of weights into a gate on their expectations";
  let description = [{
    With s = logsumexp of the sinks and l the log of the sum of the weights without them,
    sum_j w_j y_j / (sum_j w_j + e^s) = sigmoid(l - s) * (sum_j w_j y_j / sum_j w_j). The sink leaves the loop over the
    keys and becomes an epilogue. A row without keys has l = -inf and stays 0, whatever s is.

    ```mlir
    %p = attn.weights over j from T score %x : real [T, j] sinks(%s : real [])
    %o = attn.expect %p, %v : [T] over j from T, real [j, D]
    ```
    becomes
    ```mlir
    %p = attn.weights over j from T score %x : real [T, j]
    %l = attn.stat lse %p : [T] over j from T
    %none = attn.constant real -inf
    %empty = attn.eq %l, %none : real [T], real []
    %d = attn.sub %l, %s : real [T], real []
    %g = attn.sigmoid %d : real [T]
    %zero = attn.constant real 0.0
    %gate = attn.select %empty, %zero, %g : bool [T], real [], real [T]
    %e = attn.expect %p, %v : [T] over j from T, real [j, D]
    %o = attn.mul %gate, %e : real [T], real [T, D]
    ```
    Weights are left alone where a sink brings in a row axis and a statistic is read: its axes would change.
  }];
  let dependentDialects = ["::fovea::attn::AttnDialect"];
}

def AttnMassToScorePass : Pass<"attn-mass-to-score", "::fovea::attn::AttentionOp"> {
  let summary = "A mass that is at least 0 becomes part of the score";
  let description = [{
    m exp(s) = exp(s + log m). In the exponent a mass shares the maximum of its row, so that no weight leaves the range
    of its type where another of its row does not; and there is one accumulator less. That the mass is at least 0 is read
    off the operations that make it, and off contracts. Weights of which `max` or `mass` are read keep theirs: these
    statistics are of scores without it.

    ```mlir
    %p = attn.weights over j from T score %s : real [T, j] mass %m : real [j]
    ```
    becomes
    ```mlir
    %l = attn.log %m : real [j]
    %t = attn.add %s, %l : real [T, j], real [j]
    %p = attn.weights over j from T score %t : real [T, j]
    ```
    Products of such a mass and an exponential that a reduction over blocks of keys reads are treated alike.
  }];
  let dependentDialects = ["::fovea::attn::AttnDialect"];
}

def AttnFoldKeyScalePass : Pass<"attn-fold-key-scale", "::fovea::attn::AttentionOp"> {
  let summary = "Moves factors of keys that are the same for all keys to the queries";
  let description = [{
    dot(q, k w) = dot(q w, k) for a w that lacks the tokens of the keys and has axes of the queries only. Queries are
    loaded once and scaled in registers; scaled keys would have to be computed and stored before. Factors are found in
    products and behind renames to the walk axis.

    ```mlir
    %w = attn.input "w" [D] : real [D]
    %n = attn.mul %k, %w : real [S, D], real [D]
    %kj = attn.rename %n S to j : real [S, D]
    %s = attn.dot %q, %kj over [D] : real [T, D], real [j, D]
    ```
    becomes
    ```mlir
    %kj = attn.rename %k S to j : real [S, D]
    %qw = attn.mul %q, %w : real [T, D], real [D]
    %s = attn.dot %qw, %kj over [D] : real [T, D], real [j, D]
    ```
  }];
  let dependentDialects = ["::fovea::attn::AttnDialect"];
}

def AttnDropAbsentPass : Pass<"attn-drop-absent", "::fovea::attn::AttentionOp"> {
  let summary = "Computes an attention for calls that leave optional inputs out";
  let description = [{
    The named inputs are replaced by 0, and what follows by what that makes of it: products with it vanish, operations
    are made again on operands that have fewer axes. Canonicalisation then drops the sums with it.
    Carried memory that is absent is no longer written: its output goes too.

    ```mlir
    %b = attn.input "b" optional [T, S] : real [T, S]
    %bj = attn.rename %b S to j : real [T, S]
    %x = attn.add %s, %bj : real [T, j], real [T, j]
    ```
    becomes
    ```mlir
    %zero = attn.constant real 0.0
    %x = attn.add %s, %zero : real [T, j], real []
    ```
  }];
  let dependentDialects = ["::fovea::attn::AttnDialect"];
  let options = [ListOption<"inputs", "inputs", "std::string", "Names of the optional inputs that are absent.">];
}

#endif
