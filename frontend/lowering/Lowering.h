// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From the typed program to the attn dialect, one operation per node.
#pragma once

#include "frontend/sema/Program.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace fovea {

/// A module with one attn.attention per attention of the program, in order; loads the dialect. Every operation has the
/// file, line and column that its node has in `sources`, under the node's name where it has one. Sizes of axes enter
/// the table where the kernel is specialised to them. Null after an error, which goes to the context's diagnostics: a
/// const without a value (see sema::missing), or what the dialect cannot say in this version.
mlir::OwningOpRef<mlir::ModuleOp> lower(const sema::Program &program, const syntax::SourceMap &sources,
                                        mlir::MLIRContext &context);

} // namespace fovea
