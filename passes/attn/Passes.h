// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes inside the attn dialect, and their registration.
#pragma once

#include "dialect/attn/Attn.h"

#include "mlir/Pass/Pass.h"

namespace fovea::attn {

#define GEN_PASS_DECL
#include "passes/attn/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/attn/Passes.h.inc"

/// Replaces optional inputs by 0, as attn-drop-absent. Fails, with an error, for a name that no optional input has.
llvm::LogicalResult dropAbsent(AttentionOp attention, llvm::ArrayRef<std::string> names);

} // namespace fovea::attn
