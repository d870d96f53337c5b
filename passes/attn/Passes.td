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

def AttnSimplifyStatesPass : Pass<"attn-simplify-states", "::fovea::attn::AttentionOp"> {
  let summary = "Brings recurrences to their simplest form";
  let description = [{
    Rewrites that hold exactly in real arithmetic:

    * A decay per channel that does not vary along the key axis becomes one per token: its products then need no
      exponentials per channel. So a recurrence with tied gates is that with one gate.
    * Features that occur several times, `cat(x, .., x)` on the side of the keys, become one: the query gets the sum of
      its parts. In dots, and in states without erase and initial value whose decay is the same for all features.
    * A positive factor of a row is dropped before a norm of the row without an epsilon,
      (s x) / sqrt(mean (s x)^2) = x / sqrt(mean x^2): a gate, a normaliser or the scale of a query. That it is positive is
      read off its expression and contracts. With an epsilon, or where something is added first, it can be observed and
      stays.
    * A read between decay and write is the one before both, times the decay, where the decay has no key axis. The factor
      is then applied in f32 behind the product, where a steep one is no operand of 16 bits.

    ```mlir
    %s = attn.sigmoid %z : real [T]
    %x = attn.mul %o, %s : real [T, V], real [T]
    %q = attn.mul %x, %x : real [T, V], real [T, V]
    %m = attn.reduce mean %q over [V] : real [T, V]
    %r = attn.rsqrt %m : real [T]
    %y = attn.mul %x, %r : real [T, V], real [T]
    ```
    becomes
    ```mlir
    %q = attn.mul %o, %o : real [T, V], real [T, V]
    %m = attn.reduce mean %q over [V] : real [T, V]
    %r = attn.rsqrt %m : real [T]
    %y = attn.mul %o, %r : real [T, V], real [T]
    ```
  }];
  let dependentDialects = ["::fovea::attn::AttnDialect"];
}

def AttnWeightsToStatePass : Pass<"attn-weights-to-state", "::fovea::attn::AttentionOp"> {
  let summary = "Causal weights that are a dot product become a recurrence";
  let description = [{
    The sum over j <= i of dot(q_i, k_j) y_j is q_i times the sum of k_j y_j^T, a state that grows by one token per step:
    work and memory grow with the tokens and no longer with their square (Katharopoulos et al., "Transformers are RNNs",
    arXiv:2006.16236). It holds for free weights that are one dot of a field of the query and a field of the key, times
    fields of either, where keys and queries are one axis and the predicate is a lag: j <= i - n for a constant n, and so
    causality, with n = 0, and what a window of n leaves of the past. With n = 1 the state is read before its write; with a
    greater one keys and values come n tokens later, zeros before them. The statistic `mass` is the state of the value 1.

    Other weights stay: of two dots, of a predicate with other distances or of data, or where queries are others than the
    keys.

    ```mlir
    %kj = attn.rename %k T to j : real [T, K]
    %vj = attn.rename %v T to j : real [T, V]
    %w = attn.dot %q, %kj over [K] : real [T, K], real [j, K]
    %i = attn.index T
    %n = attn.index j
    %seen = attn.le %n, %i : int [j], int [T]
    %p = attn.weights over j from T weight %w : real [T, j] where %seen : bool [j, T]
    %o = attn.expect %p, %vj : [T] over j from T, real [j, V]
    ```
    becomes
    ```mlir
    %S = attn.state along T key %k over K : real [T, K] value %v over V : real [T, V]
    %o = attn.read after %S, %q : [] K x V along T, real [T, K]
    ```
  }];
  let dependentDialects = ["::fovea::attn::AttnDialect"];
}

#endif
