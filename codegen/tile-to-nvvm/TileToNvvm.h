// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a scheduled tile program to one LLVM-dialect module whose functions are the kernels.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fovea {
struct Target;
namespace tile {
class ProgramOp;
}
} // namespace fovea

namespace fovea::codegen {

/// One kernel parameter, in order.
struct KernelArgument {
  enum class Kind {
    Pointer, ///< address of tensor or workspace `name`, 8 bytes
    Stride,  ///< stride in elements of dimension `dim` of tensor `name`, i64
    Axis,    ///< size of axis `name`, or an expression of sizes and facts of the device, i32
  };
  Kind kind;
  std::string name;
  unsigned dim = 0;
};

struct Kernel {
  std::string name;
  size_t program = 0;      ///< which of the programs that were lowered together
  int64_t threads = 0;     ///< per work item
  int64_t sharedBytes = 0; ///< dynamic shared memory
  std::string grid;        ///< number of work items, an expression over axis names (+ * ceildiv(a, b))
  std::vector<KernelArgument> arguments;
  std::map<std::string, int64_t>
      alignment; ///< bytes to which addresses and outer strides of each tensor must be aligned
};

struct LoweredProgram {
  mlir::OwningOpRef<mlir::ModuleOp> module; ///< LLVM and NVVM dialects only
  std::vector<Kernel> kernels;              ///< in launch order
};

/// What the host computes of axis sizes and facts of the device, as a plan's expression.
mlir::FailureOr<std::string> hostExpression(mlir::Value value);
/// A factor of a workspace's dimension as a plan's expression: an axis is its name, a computed axis its value.
mlir::FailureOr<std::string> factorExpression(tile::ProgramOp program, llvm::StringRef factor);

/// Lowers every launch of scheduled programs, whose launches have different names, into one module. Reads the IR and
/// nothing else; diagnoses what it cannot lower at the operation.
mlir::FailureOr<LoweredProgram> lowerToNvvm(llvm::ArrayRef<tile::ProgramOp> programs, const Target &target);

} // namespace fovea::codegen
