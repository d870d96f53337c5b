// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes inside the tile dialect.
#pragma once

#include "dialect/tile/TileDialect.h"
#include "mlir/Pass/Pass.h"

#include <memory>

namespace fovea::tile {

#define GEN_PASS_DECL
#include "passes/tile/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "passes/tile/Passes.h.inc"

} // namespace fovea::tile
