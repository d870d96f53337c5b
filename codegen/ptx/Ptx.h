// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a module of LLVM and NVVM operations to PTX text, in process; and from PTX to a cubin by ptxas where there is
// one.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>

namespace fovea {
struct Target;
}

namespace fovea::codegen {

/// LLVM IR as text, before and after the few passes that run on it: what `--emit=llvm` prints.
llvm::Expected<std::string> translateToLlvm(mlir::ModuleOp module, const Target &target);

/// PTX for the target at the lowest ISA version that its table entry names.
llvm::Expected<std::string> translateToPtx(mlir::ModuleOp module, const Target &target);

/// What ptxas says of one kernel.
struct KernelResources {
  std::string kernel;
  int64_t registers = 0, spillStores = 0, spillLoads = 0, stackBytes = 0, staticShared = 0;
};

struct Assembled {
  std::string cubin;
  std::vector<KernelResources> kernels;
  std::string log;
};

/// Path of ptxas: the environment's FOVEA_PTXAS, PATH, or the CUDA toolkit's usual place; none if absent.
std::optional<std::string> findPtxas();

/// Assembles PTX. An error holds ptxas's own words.
llvm::Expected<Assembled> assemble(llvm::StringRef ptx, const Target &target);

} // namespace fovea::codegen
