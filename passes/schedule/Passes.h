// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes from program level to scheduled level.
#pragma once

#include "mlir/Pass/Pass.h"

#include <memory>

namespace fovea::tile {
class ProgramOp;

#define GEN_PASS_DECL
#include "passes/schedule/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "passes/schedule/Passes.h.inc"

} // namespace fovea::tile
