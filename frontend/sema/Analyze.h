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
#include <vector>

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

/// A map of a file, or one of its laws, as an attention of its own.
struct MapAttention {
  std::string name; // "hedgehog", or "hedgehog(softmax: joint)" for each choice of its options
  bool isLaw = false;
  /// Its parameters without a default, in order, are inputs with the axes B and T (B_, T_ where the map has such axes)
  /// in front of their own; `int` is i32. Of a map, output `value` is the map's value. Of a law, further names are
  /// inputs like the first parameter, unread inputs are left out, and the outputs `left` and `right` shall be equal.
  Attention attention;
  syntax::Span span; // of the map, or of the law
};

/// All maps that `file` itself declares, and after each its laws. Sizes given by options.sets apply to axes of these
/// names. Reports errors; a map with errors is left out. Names of options.sets that no map knows are ignored.
std::vector<MapAttention> mapAttentions(const syntax::File &file, const Options &options,
                                        syntax::DiagnosticEngine &diagnostics);

} // namespace fovea::sema
