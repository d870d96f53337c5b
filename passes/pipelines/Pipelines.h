// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The pipelines: the only place where passes meet. Each is a function and, registered, a name for fovea-opt.
#pragma once

#include "mlir/Pass/PassManager.h"

namespace fovea {

/// On a module of attn.attention: exact rewrites (sinks become gates), canonical form.
void buildAttnPipeline(mlir::OpPassManager &pm);

/// On a module of tile.program as derived: folds become loops, functions become what the hardware has, canonical form.
void buildProgramPipeline(mlir::OpPassManager &pm);

/// On a module of tile.program whose launches carry a schedule record: scheduled level, canonical form.
void buildSchedulePipeline(mlir::OpPassManager &pm);

/// fovea-attn, fovea-program, fovea-schedule.
void registerPipelines();

} // namespace fovea
