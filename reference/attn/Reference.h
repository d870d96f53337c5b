// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The judge: what an attention means, computed in float64 from the attn dialect. Whole rows at a time and no tiles;
// pair expressions exist for a few query rows only.
#pragma once

#include "dialect/attn/Attn.h"

#include "llvm/Support/Error.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fovea::reference {

/// An array, row-major over the declared axes of its input or output. Ints are exact up to 2^53.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> data; // as many as the product of the shape; a scalar has the shape {} and one element
};

using Tensors = std::map<std::string, Tensor>; // by the name of the input or output
using AxisSizes = std::map<std::string, int64_t>;
using Shapes = std::map<std::string, std::vector<int64_t>>;

/// The size of every axis that the attention uses, factor and walk axes included, from static sizes, the `given` ones
/// and the shapes of arrays (by declared axes). An axis of tokens may be given as empty, of size 0. Errors: any other
/// size below 1 (of windows, below 0) or above 2^31 - 1, two sources that disagree, a shape of wrong rank, an unknown
/// name, an axis whose size nothing gives.
llvm::Expected<AxisSizes> inferSizes(attn::AttentionOp attention, const Shapes &shapes, const AxisSizes &given = {});

/// The shape of an array of these declared axes. The sizes are those of inferSizes.
std::vector<int64_t> shapeOf(mlir::ArrayAttr declared, const AxisSizes &sizes);

/// All outputs. `sizes` need not be complete: what they lack is inferred from the inputs. An input that is not passed
/// takes its fallback, an optional one is 0 everywhere. Carried memory has its final value under its name, unless it
/// was not passed. Errors: those of inferSizes, a missing or unknown input, data that does not fill its shape, a field
/// too large to hold.
llvm::Expected<Tensors> evaluate(attn::AttentionOp attention, const AxisSizes &sizes, const Tensors &inputs);

} // namespace fovea::reference
