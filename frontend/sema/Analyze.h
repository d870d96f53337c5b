// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Semantic analysis: names, axes, types, constants, imports and maps, checks, and the program of core operations.
#pragma once

#include "frontend/sema/Program.h"
#include "frontend/syntax/Tree.h"
#include "runtime/abi/Result.h"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace fovea::sema {

struct Options {
  /// Axis sizes, consts and options by name, as in --set D=64,layer=3,gate=bounded. A name that no attention of
  /// the file knows is an error.
  std::map<std::string, std::string> sets;
  /// Reads an imported file. `import "norm"` of dir/x.attn asks for dir/norm.attn, dir/maps/norm.attn,
  /// maps/norm.attn, in this order, and takes the first that can be read. Absent: imports are errors.
  std::function<Result<std::string>(std::string path)> readFile;
};

/// The program of all attentions of `file`, and of those it imports by name, or nothing where an error was reported.
/// Sizes may stay unknown: see missing(). Reports all errors it finds, and warnings, to `diagnostics`.
std::optional<Program> analyze(const syntax::File &file, const Options &options, syntax::DiagnosticEngine &diagnostics);

} // namespace fovea::sema
