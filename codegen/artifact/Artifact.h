// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a compiled program is for whoever runs it: the plan (runtime/abi/Plan.h), made from the program's tensors and
// workspaces and from the kernels' parameters.
#pragma once

#include "codegen/tile-to-nvvm/TileToNvvm.h"
#include "runtime/abi/Plan.h"
#include "llvm/Support/Error.h"

#include <map>
#include <string>
#include <vector>

namespace fovea::codegen {

/// What the tile program does not know of the specification.
struct PlanInfo {
  std::string spec;                           ///< name of the variant
  std::string producer;                       ///< program and version
  std::vector<runtime::PlanAxis> axes;        ///< all axes of the tensors, factors expanded
  std::map<std::string, std::string> display; ///< product of axes, "Hk*G", to the name that people use, "H"
};

/// The plan with one entry for each program, in order. An entry's guard states the alignment that its kernels' accesses
/// need, and what the program's choices say: `guard` and `prefer` (expressions), `reason` (a sentence) and `entry` (its
/// name). `kernels` of all programs, Kernel::program counting as `programs` does. `cubin` may be empty.
llvm::Expected<runtime::Plan> makePlan(llvm::ArrayRef<tile::ProgramOp> programs, const std::vector<Kernel> &kernels,
                                       std::string ptx, std::string cubin, const Target &target, const PlanInfo &info);

} // namespace fovea::codegen
