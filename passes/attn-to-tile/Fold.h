// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a launch knows of weights whose keys it has folded: the row state, and how each expectation follows from it.
#pragma once

#include "passes/attn-to-tile/Derivation.h"

namespace fovea::derivation {

struct LaunchEmitter::Fold {
  /// An expectation: accumulator / Z (free weights: accumulator) times what does not vary with the key. Accumulator -1:
  /// the sum of the weights itself.
  struct Term {
    int64_t accumulator = -1;
    double constant = 1;
    llvm::SmallVector<Product::Factor> factors;
  };
  mlir::Value max, sum; // m and l
  llvm::SmallVector<mlir::Value> accumulators;
  double scale = 1;
  bool isFree = false;
  int64_t mass = -1;   // the accumulator that is Z where weights have a mass; else Z is l
  Dimensions rows;     // of m and l
  mlir::Value inverse; // 1 / Z, 0 where Z is 0; made on demand

  mlir::Value normaliser() const { return mass < 0 ? sum : accumulators[mass]; }
  llvm::DenseMap<mlir::Operation *, Term> terms;
};

} // namespace fovea::derivation
