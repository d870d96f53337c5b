// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One line per dialect, per pass library and per pipeline.
#include "frontend/registration/Registration.h"

#include "dialect/attn/Attn.h"
#include "dialect/tile/TileDialect.h"
#include "passes/attn-to-tile/Passes.h"
#include "passes/attn/Passes.h"
#include "passes/pipelines/Pipelines.h"
#include "passes/schedule/Passes.h"
#include "passes/tile/Passes.h"

#include "mlir/Transforms/Passes.h"

void fovea::registerAllDialects(mlir::DialectRegistry &registry) {
  registry.insert<attn::AttnDialect>();
  registry.insert<tile::TileDialect>();
  // Files may begin with operations of these, before one of a dialect that depends on them.
  registry.insert<mlir::arith::ArithDialect, mlir::math::MathDialect, mlir::scf::SCFDialect>();
}

void fovea::registerAllPasses() {
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  attn::registerFoveaAttnPasses();
  tile::registerFoveaSchedulePasses();
  tile::registerFoveaTilePasses();
  registerFoveaAttnToTilePasses();
  registerPipelines();
}
