// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the caller of a kernel promises and no kernel looks at: contracts of inputs, and decays that are at most 0.
#pragma once

#include "dialect/attn/Attn.h"
#include "frontend/driver/Spec.h"
#include "reference/attn/Reference.h"
#include "runtime/abi/Plan.h"
#include "runtime/abi/Result.h"

namespace fovea::driver {

/// Looks at every element of the inputs that are given, after their rounding, and at every decay of a recurrence, as
/// the reference computes it, of the tokens that take part. `sizes` of all axes, as inferSizes gives them.
/// Errors: the first element outside its contract, or the first positive decay, with its place and value.
Status checkPromises(const sema::Attention &attention, attn::AttentionOp op, const reference::AxisSizes &sizes,
                     const reference::Tensors &inputs);

/// What a plan can say of this: offsets of a storage, contracts whose bounds are known at compile time, and inputs that
/// are decays as they stand. `interface` as the caller sees it.
std::vector<runtime::PlanPromise> promisesOf(const sema::Attention &attention, const sema::Storage *layout,
                                             const runtime::Plan &interface);

} // namespace fovea::driver
