// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shared memory that code generation uses for itself: exchanges between warps inside one operation.
#pragma once

#include "dialect/tile/TileDialect.h"

#include <cstdint>

namespace fovea::tile {

/// Bytes of shared memory, beyond those of its rings, that a launch needs on this many warps for running sums and
/// reductions along rows that warps share, for triangular inverses and for decayed products whose features warps share.
/// The operations take turns: it is the most that one needs. Layouts need not be assigned yet: then tiles have their
/// rows over warps.
int64_t scratchBytes(LaunchOp launch, int64_t warps);

/// Words from one row to the next of a triangular inverse's matrix: pairs of neighbouring columns in eight rows lie in
/// different banks.
inline int64_t inversePitch(int64_t size) { return size + 8; }

} // namespace fovea::tile
