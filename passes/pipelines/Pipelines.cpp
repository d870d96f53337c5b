// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Order of passes, and the reasons for it.
#include "passes/pipelines/Pipelines.h"

#include "dialect/attn/Attn.h"
#include "dialect/tile/TileDialect.h"
#include "passes/attn/Passes.h"
#include "passes/schedule/Passes.h"
#include "passes/tile/Passes.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace fovea;

void fovea::buildAttnPipeline(OpPassManager &pm) {
  OpPassManager &attention = pm.nest<attn::AttentionOp>();
  // Before scales are hoisted: a norm is recognised by the row that it divides.
  attention.addPass(attn::createAttnSimplifyStatesPass());
  // Sinks early: as gates they are ordinary expressions, which canonicalisation then folds.
  attention.addPass(attn::createAttnSinkToGatePass());
  attention.addPass(attn::createAttnMassToScorePass());
  // Before canonicalisation: it looks through renames, past which only scalars are hoisted.
  attention.addPass(attn::createAttnFoldKeyScalePass());
  attention.addPass(createCanonicalizerPass());
  attention.addPass(createCSEPass());
  // On the canonical form, in which factors of a weight stand apart.
  attention.addPass(attn::createAttnWeightsToStatePass());
  attention.addPass(createCanonicalizerPass());
  attention.addPass(createCSEPass());
}

void fovea::buildProgramPipeline(OpPassManager &pm) {
  OpPassManager &program = pm.nest<tile::ProgramOp>();
  // Folds before functions: the loop that a fold becomes uses exponentials and logarithms itself.
  program.addPass(tile::createTileExpandFoldPass());
  program.addPass(tile::createTileExpandRecurrencePass());
  program.addPass(tile::createTileExpandMathPass());
  program.addPass(createCanonicalizerPass());
  program.addPass(createCSEPass());
}

void fovea::buildSchedulePipeline(OpPassManager &pm) {
  OpPassManager &program = pm.nest<tile::ProgramOp>();
  // Before the domain is cut up by what follows.
  program.addPass(tile::createOrderWorkPass());
  // Layouts first: whether an operand is staged, and in which shape it is read, follows from them.
  program.addPass(tile::createAssignLayoutsPass());
  program.addPass(tile::createStageOperandsPass());
  // Pipelining expects the copies exactly as staging wrote them.
  program.addPass(tile::createPipelineCopiesPass());
  program.addPass(tile::createStageOutputPass());
  // Behind staging and pipelining, whose barriers serve exchanges too.
  program.addPass(tile::createExchangeLayoutsPass());
  // Places last: only now are all rings there, with their final number of stages.
  program.addPass(tile::createAllocateSmemPass());
  program.addPass(createCanonicalizerPass());
  program.addPass(createCSEPass());
}

void fovea::registerPipelines() {
  PassPipelineRegistration<>("fovea-attn", "exact rewrites and canonical form of attn.attention", buildAttnPipeline);
  PassPipelineRegistration<>("fovea-program", "derived tile programs: folds to loops, functions to hardware's",
                             buildProgramPipeline);
  PassPipelineRegistration<>("fovea-schedule", "tile programs with schedule records to scheduled level",
                             buildSchedulePipeline);
}
