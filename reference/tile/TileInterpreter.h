// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The interpreter of the tile dialect: runs a program, scheduled or not, on the CPU. A judge, not an engine: it follows
// each operation's definition literally, and answers an error where real hardware would read rubbish.
#pragma once

#include "dialect/tile/TileDialect.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace fovea::tile {

/// A dense array, last dimension innermost. Integers are held as the doubles of the same value.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> data;
};

enum class Precision {
  Exact,   ///< every float is a double; nothing is rounded, not even by truncf
  F32,     ///< the result of every float operation is rounded to f32; truncf keeps its operand
  Rounded, ///< as F32, and truncf rounds to its type, to nearest even: what PTX is compared with
};

/// One result of one operation, as it is computed.
struct DumpEvent {
  mlir::Operation *op;               ///< for its name and location
  unsigned result;                   ///< which result
  const std::string &launch;         ///< the launch that runs; empty outside launches
  const std::vector<int64_t> &item;  ///< the indices of the work item
  const std::string &role;           ///< the role and its number, as in `consumer#1`; empty outside roles
  std::vector<int64_t> shape;        ///< empty for a scalar
  const std::vector<double> &values; ///< last dimension innermost
};

struct RunOptions {
  Precision precision = Precision::Exact;
  /// Roles run one at a time, until they block. False: in their order, which fills channels as early as possible; true:
  /// last role first, which leaves them empty as long as possible. Results must not depend on it.
  bool lazyRoles = false;
  /// What `tile.device_sms` gives.
  int64_t sms = 108;
  /// Called for each scalar and each tile that an operation computes, where set.
  std::function<void(const DumpEvent &)> dump;
};

/// Runs `program`. `axes` gives the size of each axis that the program names, at least 1; `tensors` holds the inputs
/// and params by name, with values already rounded to their storage type, and receives the outputs (existing entries of
/// their names are replaced; an element that no launch wrote is NaN).
///
/// Work items run one after another, in order of their axes. An error names a place in the program where one exists:
/// missing axes or tensors, wrong shapes, an operation that is not known here, and misuse that a device would not
/// report: reading what was not written, two work items that write one element differently, shared memory read before
/// its copy has landed or overwritten while it is still read, a stage that does not hold what its reader claims, roles
/// that wait for each other.
llvm::Error runTileProgram(ProgramOp program, const std::map<std::string, int64_t> &axes,
                           std::map<std::string, Tensor> &tensors, const RunOptions &options = {});

/// `value` rounded to a storage type (bf16, f16, f32 to nearest even; integers and i1 unchanged).
double roundToStorage(double value, mlir::Type type);

/// The product of axis names (or literal numbers) that a dimension is, as in `Hk*G`; an error if one is unknown, below
/// 1 or the product overflows.
llvm::Expected<int64_t> evaluateDim(llvm::StringRef dim, const std::map<std::string, int64_t> &axes);

/// The sizes of a tensor or workspace from the names of its dimensions and its type. A size that the type fixes needs
/// no axis, but must agree with one that is given. At most 2^28 elements.
llvm::Expected<std::vector<int64_t>> evaluateShape(mlir::ArrayAttr dims, ViewType type,
                                                   const std::map<std::string, int64_t> &axes);

} // namespace fovea::tile
