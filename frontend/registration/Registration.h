// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one list of dialects, passes and pipelines: every tool registers through it.
#pragma once

#include "mlir/IR/DialectRegistry.h"

namespace fovea {

/// Dialects, and the interfaces that passes find through the registry.
void registerAllDialects(mlir::DialectRegistry &registry);

/// Passes and named pipelines, so that command lines know them. Once per process.
void registerAllPasses();

} // namespace fovea
