// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// After a rewrite that leaves the axes of a value in another order. Of this folder only.
#pragma once

#include "dialect/attn/Attn.h"

namespace fovea::attn {

/// Infers the types of a body again, in its order. The set of axes of each value is expected to be what it was, but for
/// axes that it no longer varies along.
llvm::LogicalResult inferTypesAgain(AttentionOp attention);

} // namespace fovea::attn
