// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A specification as a driver meets it: read from a file, analysed with the values of the command line, one attention
// of it chosen, and its interface as the tensors of a plan. Nothing of MLIR.
#pragma once

#include "frontend/sema/Program.h"
#include "frontend/syntax/Tree.h"
#include "runtime/abi/Plan.h"
#include "runtime/abi/Result.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::driver {

using Sets = std::map<std::string, std::string>; // --set NAME=VALUE

/// "S.attn:name": the file, and the attention in it; `attention` is empty where none is named.
struct SpecName {
  std::string path, attention;
};
SpecName splitSpecName(std::string_view text);

/// "D=64,G=4", or "" for none, added to `sets`. A part without `=` and a name with two values are errors.
Status parseSets(std::string_view text, Sets &sets);

struct SourceText {
  std::string name; // the path: what messages print, and what imports are relative to
  std::string text;
};
Result<SourceText> readSource(const std::string &path);

/// A map of a file, or one of its laws, as people read it.
struct MapName {
  std::string name; // "rms", "gate(form: hard)"
  bool isLaw = false;
  syntax::Span span;
};

/// What the front end makes of a file. Errors and warnings are in `diagnostics`.
struct Analysis {
  syntax::DiagnosticEngine diagnostics;
  syntax::File tree;
  std::optional<sema::Program> program; // nothing after an error
  std::vector<MapName> maps;            // of each attention of the program, where it is made of maps
};
/// With `maps` the program is one attention for each map of the file and each law; their names are words.
Analysis analyzeSource(const SourceText &source, const Sets &sets, bool maps = false);

/// The attention of this name, or the file's only one where the name is empty. An error goes to the diagnostics: an
/// unknown name with a suggestion, several attentions and no name.
const sema::Attention *selectAttention(Analysis &analysis, std::string_view name);

/// Reports every size and const that a compilation lacks, each with the --set that would give it. True if there is one.
bool reportMissing(const sema::Attention &attention, syntax::DiagnosticEngine &diagnostics);

/// Where an axis of sizes of one's choice comes from, for those who invent shapes.
enum class AxisUse {
  Batch,   // neither of the others
  Queries, // tokens that ask; also where the same tokens are the keys, and tokens of sums and blocks without weights
  Keys,    // tokens that are walked, and not asking
  Feature, // the compilation needs its size
};
AxisUse useOf(const sema::Attention &attention, sema::AxisId axis);

/// Axes whose size others give: factor, walk, blocks, windows, concatenations, shares. A caller chooses the others.
bool isDerived(const sema::Axis &axis);

/// The size of an axis from those of the axes that a caller chooses; nothing where one of them is unknown.
std::optional<int64_t> sizeOf(const sema::Attention &attention, sema::AxisId axis,
                              const std::map<std::string, int64_t, std::less<>> &sizes);

/// The value of a scalar of constants, sizes and params; a param has its default. Nothing for any other node.
std::optional<double> valueOf(const sema::Attention &attention, sema::NodeId node,
                              const std::map<std::string, int64_t, std::less<>> &sizes);

/// Axes (factor and walk axes left out) and tensors in order of declaration; `type` is that of what states none.
/// The plan has no entries, so it describes shapes only.
runtime::Plan interfaceOf(const sema::Attention &attention, runtime::StorageType type);

/// Optional inputs by what a caller gives or leaves out together: each input by itself, all carried memory as one.
std::vector<std::vector<std::string>> optionalGroups(const sema::Attention &attention);

/// The sizes, as --set would give them, of the axes that the compilation needs, from `sizes`.
Sets neededSizes(const sema::Attention &attention, const std::map<std::string, int64_t, std::less<>> &sizes);

} // namespace fovea::driver
