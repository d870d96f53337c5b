// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A tile program from text, run in a test.
#pragma once

#include "reference/tile/TileInterpreter.h"

#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

namespace fovea::tile {

class Program {
public:
  explicit Program(const std::string &text) : context(registry()) {
    module = mlir::parseSourceString<mlir::ModuleOp>(text, mlir::ParserConfig(&context));
    EXPECT_TRUE(module) << text;
  }
  /// The error's text, empty on success.
  std::string run(const std::map<std::string, int64_t> &axes, std::map<std::string, Tensor> &tensors,
                  const RunOptions &options = {}) {
    if (!module)
      return "no module";
    ProgramOp program = *module->getOps<ProgramOp>().begin();
    return llvm::toString(runTileProgram(program, axes, tensors, options));
  }

private:
  static mlir::DialectRegistry registry() {
    mlir::DialectRegistry registry;
    registry.insert<TileDialect, mlir::arith::ArithDialect, mlir::math::MathDialect, mlir::scf::SCFDialect>();
    return registry;
  }
  mlir::MLIRContext context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace fovea::tile
