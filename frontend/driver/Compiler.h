// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a specification to PTX and a plan, in process, with every level on the way kept and timed.
#pragma once

#include "codegen/ptx/Ptx.h"
#include "codegen/tile-to-nvvm/TileToNvvm.h"
#include "dialect/attn/Attn.h"
#include "dialect/common/Target.h"
#include "dialect/tile/TileDialect.h"
#include "frontend/driver/Spec.h"
#include "frontend/driver/Tolerance.h"
#include "passes/attn-to-tile/Passes.h"
#include "passes/schedule/Candidates.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace fovea::driver {

/// The levels, each made from the one before. Plan needs no Cubin.
enum class Stage { Tree, Attn, Tile, Schedule, Nvvm, Llvm, Ptx, Cubin, Plan };
inline constexpr Stage kAllStages[] = {Stage::Tree, Stage::Attn, Stage::Tile,  Stage::Schedule, Stage::Nvvm,
                                       Stage::Llvm, Stage::Ptx,  Stage::Cubin, Stage::Plan};
/// "tree", "attn", ...
const char *stageName(Stage stage);
std::optional<Stage> parseStage(std::string_view name);
/// "tree, attn, ..."
std::string stageNames();

/// What is chosen by hand; the rest is the best candidate that agrees with it.
struct ScheduleOverride {
  std::optional<int64_t> queryTile, keyTile, warps, stages;
  std::optional<int64_t> chunk, values; // of recurrences
  std::optional<std::string> query;     // registers or shared
  std::optional<std::string> kind;      // of recurrences: fused, step, chunk or split
  std::optional<std::string> inverse;   // of recurrences that erase: products inside the inverses in f32 or tf32
  bool empty() const {
    return !queryTile && !keyTile && !warps && !stages && !query && !kind && !chunk && !values && !inverse;
  }
};
/// "query_tile=64,key_tile=64,warps=4,stages=2,query=registers", for recurrences
/// "kind=fused,chunk=64,values=64,warps=4,stages=2,inverse=tf32"; any part of it.
Result<ScheduleOverride> parseSchedule(std::string_view text);

struct CompileOptions {
  std::string attention; // empty: the only one of the file
  bool maps = false;     // `attention` is a map or a law of the file, see analyzeSource
  std::string target = "sm_80";
  std::string type = "bf16";        // of arrays that state none: bf16, f16 or f32
  std::string precision = "3xtf32"; // of products of f32: tf32, 3xtf32 or fma
  std::string storage;              // the name of one of the file's; empty: dense arrays
  Sets sets;
  ScheduleOverride schedule;
  Stage last = Stage::Plan; // how far to go; Plan leaves the cubin out
  /// False: the program that serves every call, and no alternative.
  bool alternatives = true;
  /// The bits of a row's result do not depend on the number of batches, nor on the device.
  bool batchInvariant = false;
};

/// Optional inputs of one attention: each set of absent ones is a program of its own.
inline constexpr size_t kMaxOptional = 3;

struct StageTime {
  std::string name;
  double milliseconds = 0;
};

class ContextPool;
class Stages;

/// A way to compute an attention that some calls are better served by. It becomes an entry of the plan, before those
/// that follow and before the main program, or behind it.
struct Alternative {
  std::string name;                // as in "packed"; part of the names of its kernels
  bool required = false;           // a failure is an error of the compilation; else the alternative is left out
  bool last = false;               // behind the main program: for calls that its guard excludes
  std::vector<std::string> absent; // optional inputs that its calls leave out; the others they give
  std::string kind;                // of recurrences: of all candidates those of this kind
  bool usesTable = false;          // of packed sequences: work items from a table of tiles
  double alone = 0;                // cycles that one of these must save to be preferred; 0: not weighed
  /// Changes what the derivation is told: tiles are chosen, the rest is as for the main program.
  std::function<void(TileChoices &)> choose;
};

/// What a compilation made: all levels up to the one asked for, or up to the error.
class Compilation {
public:
  Compilation(Compilation &&) = delete;
  ~Compilation();
  Compilation(const Compilation &) = delete;

  bool ok() const { return !analysis.diagnostics.hasErrors(); }
  /// Errors and warnings of all stages, each at its place in the specification where it has one.
  const syntax::DiagnosticEngine &diagnostics() const { return analysis.diagnostics; }

  /// The text of a level that was made. Cubin is the bytes. An error says that the level was not asked for.
  Result<std::string> text(Stage stage);

  Analysis analysis;
  const sema::Attention *attention = nullptr; // the one chosen, in analysis.program
  CompileOptions options;
  const Target *target = nullptr;
  runtime::StorageType storage = runtime::StorageType::BF16;
  const sema::Storage *layout = nullptr; // the storage asked for, in analysis.program
  runtime::Plan interface;               // of the arrays that a caller passes, see interfaceOf and packedInterface
  runtime::Plan dense;                   // the same without a storage

  // Null before their stage.
  attn::AttentionOp attn() const;      // as written
  attn::AttentionOp canonical() const; // after the passes on the attn dialect
  tile::ProgramOp program() const;     // level 2 with its folds
  tile::ProgramOp expanded() const;    // level 2 with loops
  tile::ProgramOp scheduled() const;   // level 3

  std::vector<tile::Candidate> candidates; // best first; empty where the program has neither fold nor recurrence
  tile::Candidate chosen;
  tile::Problem problem;
  std::optional<tile::Recurrence> recurrence; // what its recurrences are, if it has any
  tile::Candidate recurrent;                  // chosen for them
  bool refused = false;                       // legal, but no candidate fits the target: an error says so too
  std::vector<codegen::Kernel> kernels;
  std::string llvm, ptx;
  std::optional<codegen::Assembled> assembled;
  std::optional<runtime::Plan> plan;
  std::vector<StageTime> times;
  double milliseconds() const;
  Arithmetic arithmetic() const { return {storage, options.precision}; }

  /// Other programs of the same attention, the most special first. Each has its own levels from Tile to Schedule, its
  /// own candidates and kernels; PTX and plan are those of the whole.
  std::vector<std::unique_ptr<Compilation>> alternatives;
  std::string name;                // of an alternative; empty for the main program
  bool last = false;               // behind the main program
  std::vector<std::string> absent; // optional inputs that are 0 in its canonical form
  /// Alternatives that were tried and left out, with the reason.
  struct LeftOut {
    std::string name, kind, why; // kind: of its recurrences; empty where that is not what it differs in
    bool refused = false;        // no candidate fits the target; else it was not worth while, or not to be derived
  };
  std::vector<LeftOut> leftOut;
  /// Alternatives and the main program in order: entry n of the plan is number n here.
  std::vector<Compilation *> entries();

private:
  friend class Compiler;
  Compilation() = default;
  std::shared_ptr<ContextPool> pool_;
  std::unique_ptr<mlir::MLIRContext> context_;
  // Modules go before the context.
  mlir::OwningOpRef<mlir::ModuleOp> attnModule_, canonicalModule_, programModule_, expandedModule_, scheduledModule_;
  std::optional<codegen::LoweredProgram> lowered_;
  std::map<std::string, std::string> tooLarge_; // candidates of a recurrence, with what they turned out to need
};

/// May be used by several threads at once. Contexts are used again, and replaced after some compilations, since they
/// keep every constant for ever.
class Compiler {
public:
  Compiler();
  ~Compiler();
  /// Never null; errors are in its diagnostics.
  std::unique_ptr<Compilation> compile(const SourceText &source, const CompileOptions &options);

private:
  bool makeTile(Compilation &result, Stages &stages, const Alternative *alternative);
  bool makeSchedule(Compilation &result);
  /// Both, with the next candidate of a recurrence as long as one needs more shared memory than the target has.
  bool makeProgram(Compilation &result, Stages &stages, const Alternative *alternative);
  bool makeAlternatives(Compilation &result, Stages &stages);
  std::shared_ptr<ContextPool> pool_;
};

/// What of an attention decides its schedule. `type` is that of arrays that state none.
tile::Problem problemOf(attn::AttentionOp attention, runtime::StorageType type);
/// The same of its recurrences; nothing where it has none.
std::optional<tile::Recurrence> recurrenceOf(attn::AttentionOp attention, runtime::StorageType type);

} // namespace fovea::driver
