// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stages in order. Each runs under a handler that turns diagnostics of passes into those of the specification.
#include "frontend/driver/Compiler.h"

#include "codegen/artifact/Artifact.h"
#include "dialect/tile/Scratch.h"
#include "frontend/driver/Packing.h"
#include "frontend/driver/Promises.h"
#include "frontend/lowering/Lowering.h"
#include "frontend/registration/Registration.h"
#include "frontend/syntax/Tree.h"
#include "passes/attn-to-tile/Passes.h"
#include "passes/attn/Passes.h"
#include "passes/pipelines/Pipelines.h"
#include "passes/schedule/Passes.h"
#include "passes/tile/PackSequences.h"

#include "FoveaVersion.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <mutex>
#include <numeric>

namespace fovea::driver {

static const char *const kStageNames[] = {"tree", "attn", "tile", "schedule", "nvvm", "llvm", "ptx", "cubin", "plan"};

const char *stageName(Stage stage) { return kStageNames[static_cast<int>(stage)]; }

std::optional<Stage> parseStage(std::string_view name) {
  for (Stage stage : kAllStages)
    if (name == stageName(stage))
      return stage;
  return std::nullopt;
}

std::string stageNames() {
  std::string result;
  for (Stage stage : kAllStages)
    result += (result.empty() ? "" : ", ") + std::string(stageName(stage));
  return result;
}

Result<ScheduleOverride> parseSchedule(std::string_view text) {
  ScheduleOverride result;
  Sets parts;
  Status status = parseSets(text, parts);
  auto wrong = [&](const std::string &what) {
    return Error{ErrorCode::InvalidArgument,
                 "--schedule: " + what +
                     "; expected any of query_tile=64,key_tile=64,warps=4,stages=2,query=registers (or shared), for "
                     "recurrences of kind=fused (or step, chunk, split),chunk=64,values=64,warps=4,stages=2,"
                     "inverse=f32 (or tf32)"};
  };
  if (!status)
    return wrong("'" + std::string(text) + "' is no list of NAME=VALUE");
  static const std::vector<std::string> known = {"query_tile", "key_tile", "warps",  "stages", "query",
                                                 "kind",       "chunk",    "values", "inverse"};
  for (const auto &[name, value] : parts) {
    if (name == "query") {
      if (value != "registers" && value != "shared")
        return wrong("query is 'registers' or 'shared', not '" + value + "'");
      result.query = value;
      continue;
    }
    if (name == "kind") {
      if (value != "fused" && value != "step" && value != "chunk" && value != "split")
        return wrong("kind is 'fused', 'step', 'chunk' or 'split', not '" + value + "'");
      result.kind = value;
      continue;
    }
    if (name == "inverse") {
      if (value != "f32" && value != "tf32")
        return wrong("inverse is 'f32' or 'tf32', not '" + value + "'");
      result.inverse = value;
      continue;
    }
    int64_t number = 0;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string close = syntax::closest(name, known);
      return wrong("unknown name '" + name + "'" + (close.empty() ? "" : ", did you mean '" + close + "'?"));
    }
    if (llvm::StringRef(value).getAsInteger(10, number) || number < 1 || number > 1024)
      return wrong("'" + value + "' is no number from 1 to 1024");
    (name == "query_tile" ? result.queryTile
     : name == "key_tile" ? result.keyTile
     : name == "warps"    ? result.warps
     : name == "chunk"    ? result.chunk
     : name == "values"   ? result.values
                          : result.stages) = number;
  }
  return result;
}

//===--- contexts ---===//

class ContextPool {
public:
  std::unique_ptr<mlir::MLIRContext> take() {
    {
      std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<mlir::MLIRContext> context = std::move(free_.back());
        free_.pop_back();
        return context;
      }
    }
    mlir::DialectRegistry registry;
    registerAllDialects(registry);
    // One compilation is one thread's work.
    auto context = std::make_unique<mlir::MLIRContext>(registry, mlir::MLIRContext::Threading::DISABLED);
    context->loadAllAvailableDialects();
    return context;
  }
  void give(std::unique_ptr<mlir::MLIRContext> context) {
    std::lock_guard lock(mutex_);
    int &uses = uses_[context.get()];
    if (++uses < kUses && free_.size() < kKept)
      free_.push_back(std::move(context));
    else
      uses_.erase(context.get());
  }

private:
  static constexpr int kUses = 64;
  static constexpr size_t kKept = 8;
  std::mutex mutex_;
  std::vector<std::unique_ptr<mlir::MLIRContext>> free_;
  std::map<mlir::MLIRContext *, int> uses_;
};

//===--- diagnostics of passes ---===//

namespace {

/// The first place in a file that a location holds, its callee or operand before its caller.
mlir::FileLineColLoc findPlace(mlir::Location location) {
  mlir::FileLineColLoc found;
  location->walk([&](mlir::Location inner) {
    if (auto place = llvm::dyn_cast<mlir::FileLineColLoc>(inner)) {
      found = place;
      return mlir::WalkResult::interrupt();
    }
    return mlir::WalkResult::advance();
  });
  return found;
}

/// The word, number or single character at the place; no span where the file is none of the specification's.
syntax::Span spanOf(mlir::Location location, const syntax::SourceMap &sources) {
  mlir::FileLineColLoc place = findPlace(location);
  if (!place)
    return {};
  for (uint32_t file = 0; file < sources.size(); ++file) {
    if (place.getFilename().getValue() != sources.name(file))
      continue;
    const std::string &text = sources.text(file);
    std::string_view line = sources.line(file, place.getLine());
    if (line.data() == nullptr)
      return {};
    size_t begin = static_cast<size_t>(line.data() - text.data());
    // Columns count characters.
    size_t offset = 0;
    for (unsigned column = 1; column < place.getColumn() && offset < line.size(); ++column) {
      ++offset;
      while (offset < line.size() && (static_cast<unsigned char>(line[offset]) & 0xc0) == 0x80)
        ++offset;
    }
    auto isWord = [](unsigned char c) { return c == '_' || c >= 0x80 || std::isalnum(c); };
    size_t end = offset;
    while (end < line.size() && isWord(static_cast<unsigned char>(line[end])))
      ++end;
    if (end == offset && end < line.size())
      ++end;
    return {file, static_cast<uint32_t>(begin + offset), static_cast<uint32_t>(begin + end)};
  }
  return {};
}

} // namespace

class Stages {
public:
  Stages(Compilation &result, mlir::MLIRContext &context)
      : result(result), diagnostics(result.analysis.diagnostics), handler(&context, [this](mlir::Diagnostic &d) {
          collect(d);
          return mlir::success();
        }) {}

  /// Runs one stage and takes its time. A failure that said nothing becomes an error of its own.
  template <typename Function> bool run(const char *name, Function stage) {
    auto begin = std::chrono::steady_clock::now();
    bool ok = stage();
    std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
    result.times.push_back({name, spent.count()});
    if (!ok && !diagnostics.hasErrors())
      error(std::string("internal error: the stage '") + name + "' failed without a message");
    diagnostics.sort();
    return ok && !diagnostics.hasErrors();
  }
  void error(std::string message) { diagnostics.error({}, std::move(message)); }
  bool fail(llvm::Error failure) {
    error(llvm::toString(std::move(failure)));
    return false;
  }

private:
  void collect(mlir::Diagnostic &d) {
    if (d.getSeverity() == mlir::DiagnosticSeverity::Remark || d.getSeverity() == mlir::DiagnosticSeverity::Note)
      return;
    syntax::Diagnostic out;
    out.severity =
        d.getSeverity() == mlir::DiagnosticSeverity::Error ? syntax::Severity::Error : syntax::Severity::Warning;
    out.span = spanOf(d.getLocation(), diagnostics.sources);
    out.message = d.str();
    for (mlir::Diagnostic &note : d.getNotes()) {
      // MLIR adds the operation as a note to errors of verifiers: a line of IR helps only who works on the compiler.
      std::string text = note.str();
      if (llvm::StringRef(text).starts_with("see current operation"))
        continue;
      out.notes.push_back({spanOf(note.getLocation(), diagnostics.sources), std::move(text)});
    }
    diagnostics.report(std::move(out));
  }

  Compilation &result;
  syntax::DiagnosticEngine &diagnostics;
  mlir::ScopedDiagnosticHandler handler;
};

namespace {

template <typename Op> Op firstOf(const mlir::OwningOpRef<mlir::ModuleOp> &module) {
  if (!module)
    return {};
  auto ops = const_cast<mlir::OwningOpRef<mlir::ModuleOp> &>(module)->getOps<Op>();
  return ops.empty() ? Op() : *ops.begin();
}

std::string print(mlir::Operation *op, bool names) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  if (names)
    flags.printNameLocAsPrefix();
  op->print(stream, flags);
  if (!text.empty() && text.back() != '\n')
    text += '\n';
  return text;
}

} // namespace

//===--- the compilation ---===//

Compilation::~Compilation() {
  lowered_.reset();
  alternatives.clear();
  for (auto *module : {&attnModule_, &canonicalModule_, &programModule_, &expandedModule_, &scheduledModule_})
    *module = nullptr;
  if (pool_ && context_)
    pool_->give(std::move(context_));
}

attn::AttentionOp Compilation::attn() const { return firstOf<attn::AttentionOp>(attnModule_); }
attn::AttentionOp Compilation::canonical() const { return firstOf<attn::AttentionOp>(canonicalModule_); }
tile::ProgramOp Compilation::program() const { return firstOf<tile::ProgramOp>(programModule_); }
tile::ProgramOp Compilation::expanded() const { return firstOf<tile::ProgramOp>(expandedModule_); }
tile::ProgramOp Compilation::scheduled() const { return firstOf<tile::ProgramOp>(scheduledModule_); }

std::vector<Compilation *> Compilation::entries() {
  std::vector<Compilation *> all;
  for (const std::unique_ptr<Compilation> &alternative : alternatives)
    if (!alternative->last)
      all.push_back(alternative.get());
  all.push_back(this);
  for (const std::unique_ptr<Compilation> &alternative : alternatives)
    if (alternative->last)
      all.push_back(alternative.get());
  return all;
}

double Compilation::milliseconds() const {
  double sum = 0;
  for (const StageTime &time : times)
    sum += time.milliseconds;
  return sum;
}

Result<std::string> Compilation::text(Stage stage) {
  auto missing = [&] {
    return Error{ErrorCode::InvalidArgument, std::string("the level '") + stageName(stage) + "' was not made"};
  };
  auto module = [&](mlir::OwningOpRef<mlir::ModuleOp> &m, bool names) -> Result<std::string> {
    if (!m)
      return missing();
    return print(m.get(), names);
  };
  switch (stage) {
  case Stage::Tree:
    return syntax::dump(analysis.tree);
  case Stage::Attn:
    return module(canonicalModule_, true);
  case Stage::Tile:
    return module(programModule_, false);
  case Stage::Schedule:
    return module(scheduledModule_, false);
  case Stage::Nvvm:
    if (!lowered_)
      return missing();
    return module(lowered_->module, false);
  case Stage::Llvm:
    if (!lowered_)
      return missing();
    if (llvm.empty()) {
      llvm::Expected<std::string> text = codegen::translateToLlvm(*lowered_->module, *target);
      if (!text)
        return Error{ErrorCode::Internal, llvm::toString(text.takeError())};
      llvm = std::move(*text);
    }
    return llvm;
  case Stage::Ptx:
    if (ptx.empty())
      return missing();
    return ptx;
  case Stage::Cubin:
    if (!assembled)
      return missing();
    return assembled->cubin;
  case Stage::Plan:
    if (!plan)
      return missing();
    return runtime::planToText(*plan);
  }
  return missing();
}

//===--- the problem that a schedule solves ---===//

tile::Problem problemOf(attn::AttentionOp attention, runtime::StorageType type) {
  tile::Problem problem;
  llvm::DenseSet<mlir::StringAttr> features; // inside operands of products
  attn::AxisTableAttr table = attention.getAxes();
  auto size = [&](mlir::StringAttr axis) { return table.getStaticSize(axis).value_or(1); };
  auto has = [](mlir::Value value, mlir::StringAttr axis) {
    auto field = llvm::dyn_cast<attn::FieldType>(value.getType());
    return field && field.hasAxis(axis);
  };
  llvm::SmallPtrSet<mlir::Operation *, 8> coefficients;
  attention.walk([&](attn::WeightsOp weights) {
    mlir::StringAttr walk = weights.getOverAttr(), query = weights.getQueryAttr();
    problem.hides |= weights.getWhere() && has(weights.getWhere(), query);
    attention.walk([&](attn::DotOp dot) {
      if (!has(dot.getResult(), walk) || !has(dot.getResult(), query))
        return;
      int64_t depth = 1;
      for (mlir::StringAttr axis : attn::toAxes(dot.getAxes()))
        depth *= size(axis);
      features.insert_range(attn::toAxes(dot.getAxes()));
      problem.scoreDims.push_back(depth);
    });
    for (mlir::Operation *user : weights.getResult().getUsers()) {
      auto expect = llvm::dyn_cast<attn::ExpectOp>(user);
      if (!expect)
        continue;
      int64_t width = 1;
      for (mlir::StringAttr axis : llvm::cast<attn::FieldType>(expect.getValue().getType()).getAxes())
        if (axis != walk && !llvm::is_contained(weights.getWeightsType().getRows(), axis)) {
          width *= size(axis);
          features.insert(axis);
        }
      if (width > 1)
        problem.accumulatorDims.push_back(width);
      else
        ++problem.rowAccumulators;
      if (expect.getCoefficient())
        coefficients.insert(expect.getCoefficient().getDefiningOp());
    }
  });
  problem.coefficients = static_cast<int64_t>(coefficients.size());
  // One f32 operand makes the other side of its product f32.
  bool isF32 = type == runtime::StorageType::F32;
  for (attn::InputOp input : attention.getInputs())
    if (input.getStorage() == attn::Storage::F32)
      for (mlir::StringAttr axis : attn::toAxes(input.getDeclared()))
        isF32 |= features.contains(axis);
  if (isF32)
    problem.elementBytes = 4;
  if (type == runtime::StorageType::F32)
    problem.epilogueBytes = 0;
  return problem;
}

std::optional<tile::Recurrence> recurrenceOf(attn::AttentionOp attention, runtime::StorageType type) {
  std::optional<tile::Recurrence> result;
  attn::AxisTableAttr table = attention.getAxes();
  auto endsAt = [&](mlir::StringAttr blocks) {
    result->blocks = std::gcd(result->blocks, table.lookup(blocks).getStep());
  };
  attention.walk([&](attn::StateOp state) {
    if (state->use_empty())
      return;
    if (!result)
      result.emplace().keys = 0;
    result->keys = std::max(result->keys, table.getStaticSize(state.getKeyAxisAttr()).value_or(1));
    if (mlir::StringAttr value = state.getValueAxisAttr())
      result->values = std::max(result->values, table.getStaticSize(value).value_or(1));
    else
      result->normalises = true;
    result->erases |= bool(state.getErase());
    result->commits |= bool(state.getCommit());
    mlir::Operation *key = state.getKey().getDefiningOp();
    while (auto rename = llvm::dyn_cast_or_null<attn::RenameOp>(key))
      key = rename.getOperand().getDefiningOp();
    result->computes |= !llvm::isa_and_nonnull<attn::InputOp>(key);
    result->decays |= bool(state.getDecay());
    bool channels =
        state.getDecay() && llvm::cast<attn::FieldType>(state.getDecay().getType()).hasAxis(state.getKeyAxisAttr());
    result->channels |= channels;
    attn::AxisAttr entry = table.lookup(state.getKeyAxisAttr());
    auto isOuter = [&](mlir::StringAttr axis) { return table.lookup(axis).isOuter(); };
    bool products = isOuter(state.getKeyAxisAttr()) || (entry.isConcat() && llvm::any_of(entry.getOf(), isOuter));
    result->products |= products;
    if (state.getErase() && !state.getValueAxisAttr())
      result->chunks = false;
    if (products && (state.getErase() || channels))
      result->chunks = false;
    if (state.getCommit())
      endsAt(state.getBlocksAttr());
    for (mlir::Operation *user : state->getUsers())
      if (auto every = llvm::dyn_cast<attn::EveryOp>(user))
        endsAt(every.getBlocksAttr());
  });
  if (result && type == runtime::StorageType::F32) {
    result->elementBytes = 4;
    result->chunks = false;
  }
  if (result && result->blocks % 16)
    result->chunks = false;
  return result;
}

static bool agrees(const tile::Candidate &candidate, const ScheduleOverride &asked) {
  if (!candidate.kind.empty())
    return asked.kind.value_or(candidate.kind) == candidate.kind &&
           asked.chunk.value_or(candidate.chunk) == candidate.chunk &&
           asked.values.value_or(candidate.values) == candidate.values &&
           asked.warps.value_or(candidate.warps) == candidate.warps &&
           asked.stages.value_or(candidate.stages) == candidate.stages;
  return asked.queryTile.value_or(candidate.queryTile) == candidate.queryTile &&
         asked.keyTile.value_or(candidate.keyTile) == candidate.keyTile &&
         asked.warps.value_or(candidate.warps) == candidate.warps &&
         asked.stages.value_or(candidate.stages) == candidate.stages &&
         asked.query.value_or(candidate.query) == candidate.query;
}

/// The greatest head dim, below the greatest of the problem, with which a candidate fits; 0 if none does.
static int64_t nearestFit(const Compilation &result) {
  tile::Problem problem = result.problem;
  int64_t greatest = 0;
  for (auto *dims : {&problem.scoreDims, &problem.accumulatorDims})
    for (int64_t d : *dims)
      greatest = std::max(greatest, d);
  for (int64_t size = (greatest - 1) / 16 * 16; size >= 16; size -= 16) {
    for (auto *dims : {&problem.scoreDims, &problem.accumulatorDims})
      for (int64_t &d : *dims)
        d = std::min(d, size);
    std::vector<tile::Candidate> candidates = tile::enumerateSchedules(problem, *result.target);
    if (!candidates.empty() && candidates.front().rejected.empty())
      return size;
  }
  return 0;
}

/// The best candidate that agrees with what was asked, or with the kind of an alternative; says why there is none.
static bool choose(Compilation &result, Stages &stages, const Alternative *alternative) {
  const ScheduleOverride &asked = result.options.schedule;
  const tile::Candidate *rejected = nullptr;
  for (const tile::Candidate &candidate : result.candidates) {
    if (!agrees(candidate, asked))
      continue;
    if (candidate.rejected.empty()) {
      result.chosen = candidate;
      return true;
    }
    if (!rejected)
      rejected = &candidate;
  }
  if (rejected && alternative && !alternative->kind.empty()) {
    result.refused = true;
    stages.error("no schedule of kind=" + alternative->kind + " fits " + std::string(result.target->name) +
                 ": the first candidate, " + rejected->str() + ", " + rejected->rejected);
  } else if (rejected && !asked.empty()) {
    stages.error("the schedule asked for cannot be used: " + rejected->str() + " " + rejected->rejected);
  } else if (rejected) {
    result.refused = true;
    std::string message = "no schedule fits " + std::string(result.target->name) + ": the first candidate, " +
                          rejected->str() + ", " + rejected->rejected;
    if (int64_t size = nearestFit(result))
      message += "; head dims of at most " + std::to_string(size) + " fit";
    stages.error(std::move(message));
  } else if (!result.candidates.empty() && !result.candidates.front().kind.empty()) {
    std::string blocks;
    if (result.recurrence && result.recurrence->blocks)
      blocks = " and a part of the blocks of " + std::to_string(result.recurrence->blocks) + " tokens";
    stages.error(
        "no candidate agrees with the schedule asked for; kind is fused, chunk or split (none of f32, split not "
        "where something is erased) or step, chunk 16, 32, 64 or 128" +
        blocks +
        ", values a part of the value axis that is a multiple of 16 * warps, warps 1, 2, 4 or 8, stages 1 or 2");
  } else {
    stages.error("no candidate agrees with the schedule asked for; query_tile is 64 or 128, key_tile 32, 64 or 128 (or "
                 "16 for f32), "
                 "warps 4 or 8 with query_tile a multiple of 16 * warps, stages 1 to 3");
  }
  return false;
}

/// The tensors of the plan in the order of the text, those that no kernel reads included.
static void orderTensors(runtime::Plan &plan, const runtime::Plan &interface) {
  std::vector<runtime::PlanTensor> tensors;
  for (const runtime::PlanTensor &declared : interface.tensors) {
    const runtime::PlanTensor *found = plan.findTensor(declared.name);
    tensors.push_back(found ? *found : declared);
    tensors.back().optional = declared.optional;
  }
  plan.tensors = std::move(tensors);
}

Compiler::Compiler() : pool_(std::make_shared<ContextPool>()) {}
Compiler::~Compiler() = default;

/// Runs passes on a module.
static bool runPasses(mlir::ModuleOp module, llvm::function_ref<void(mlir::PassManager &)> build) {
  mlir::PassManager manager(module.getContext());
  build(manager);
  return mlir::succeeded(manager.run(module));
}

static std::vector<std::string> optionalInputs(const sema::Attention &attention) {
  std::vector<std::string> names;
  for (const sema::Declaration &declaration : attention.declarations)
    if (declaration.optional)
      names.push_back(declaration.name);
  return names;
}

/// Which optional inputs are given and which are not, for the calls that a program serves.
static std::string presenceGuard(const Compilation &result) {
  std::string guard;
  for (const std::string &name : optionalInputs(*result.attention)) {
    bool isAbsent = std::find(result.absent.begin(), result.absent.end(), name) != result.absent.end();
    guard += (guard.empty() ? "" : " && ") + std::string(isAbsent ? "!" : "") + "present(" + name + ")";
  }
  return guard;
}

/// The canonical form for calls without some inputs. One that nothing uses is no input of it any more.
static bool makeAbsent(mlir::ModuleOp module, const std::vector<std::string> &absent) {
  attn::AttentionOp attention = *module.getOps<attn::AttentionOp>().begin();
  llvm::SmallVector<std::string> used;
  for (attn::InputOp input : attention.getInputs())
    if (std::find(absent.begin(), absent.end(), input.getName()) != absent.end())
      used.push_back(input.getName().str());
  return mlir::succeeded(attn::dropAbsent(attention, used)) && runPasses(module, buildAttnPipeline);
}

/// Puts the arrays of a program where the storage has them.
static mlir::LogicalResult packProgram(const Compilation &result, tile::ProgramOp program,
                                       const Alternative *alternative) {
  if (!result.layout)
    return mlir::success();
  const std::vector<sema::Axis> &axes = result.attention->axes;
  llvm::SmallVector<tile::RaggedAxis> ragged;
  for (const sema::Ragged &each : result.layout->ragged) {
    ragged.push_back({axes[each.batch].name, axes[each.token].name, each.offsets, each.count, each.total});
    for (const sema::Ragged::Blocks &blocks : each.blocks)
      ragged.back().blocks.push_back({axes[blocks.axis].name, axes[blocks.axis].extent, blocks.total});
  }
  bool useTable = alternative && alternative->usesTable;
  unsigned tables = 0;
  if (mlir::failed(tile::packSequences(program, ragged, useTable, &tables)))
    return mlir::failure();
  if (useTable && !tables)
    return program.emitError("no launch runs over tiles of sequences");
  return mlir::success();
}

bool Compiler::makeTile(Compilation &result, Stages &stages, const Alternative *alternative) {
  bool scheduled = true;
  int64_t valueTile = 0;
  result.candidates.clear(); // of an attempt before
  result.problem = problemOf(result.canonical(), result.storage);
  result.problem.precision = result.options.precision;
  if (!result.problem.scoreDims.empty() || !result.problem.accumulatorDims.empty()) {
    result.candidates = tile::enumerateSchedules(result.problem, *result.target);
    scheduled = std::any_of(result.candidates.begin(), result.candidates.end(),
                            [&](const tile::Candidate &each) { return each.rejected.empty(); });
    // Wide results that do not fit whole are computed in parts.
    int64_t widest = 0;
    for (int64_t features : result.problem.accumulatorDims)
      widest = std::max(widest, features);
    for (int64_t count = 2, tile = 0; !scheduled && tile != 16 && widest > 16; ++count) {
      // Parts of one size, the last perhaps padded.
      tile = static_cast<int64_t>(llvm::alignTo(llvm::divideCeil(widest, count), 16));
      tile::Problem parts = result.problem;
      for (int64_t &features : parts.accumulatorDims)
        features = std::min(features, tile);
      auto candidates = tile::enumerateSchedules(parts, *result.target);
      scheduled = std::any_of(candidates.begin(), candidates.end(),
                              [&](const tile::Candidate &each) { return each.rejected.empty(); });
      if (scheduled) {
        valueTile = tile;
        result.problem = parts;
        result.candidates = std::move(candidates);
      }
    }
    // Where nothing fits, the derivation may know better why.
    if (scheduled && !choose(result, stages, alternative))
      return false;
  }
  bool hasFolds = !result.candidates.empty();
  result.recurrence = recurrenceOf(result.canonical(), result.storage);
  const ScheduleOverride &asked = result.options.schedule;
  bool inverts = result.recurrence && result.recurrence->erases && result.recurrence->chunks && asked.kind != "step";
  if (asked.inverse && !inverts && !alternative) {
    stages.error("the schedule asks for inverse=" + *asked.inverse +
                 ", but nothing is inverted here; that is of recurrences with 'erase' in chunks, so neither of f32 nor "
                 "of kind=step");
    return false;
  }
  if (result.recurrence) {
    std::vector<tile::Candidate> folds = std::move(result.candidates);
    tile::Candidate chosen = result.chosen;
    result.candidates = tile::enumerateSchedules(*result.recurrence, *result.target);
    for (tile::Candidate &candidate : result.candidates)
      if (auto found = result.tooLarge_.find(candidate.str()); found != result.tooLarge_.end())
        candidate.rejected = found->second;
    std::stable_partition(result.candidates.begin(), result.candidates.end(),
                          [](const tile::Candidate &each) { return each.rejected.empty(); });
    if (!choose(result, stages, alternative))
      return false;
    result.recurrent = result.chosen;
    if (hasFolds) { // whose tiles decide the rest
      result.candidates = std::move(folds);
      result.chosen = chosen;
    }
  }
  result.programModule_ = result.canonicalModule_->clone();
  attn::AttentionOp attention = firstOf<attn::AttentionOp>(result.programModule_);
  TileChoices choices;
  choices.queryTile = result.chosen.queryTile;
  choices.keyTile = result.chosen.keyTile;
  choices.valueTile = valueTile;
  if (result.recurrence) {
    choices.state = result.recurrent.kind;
    if (choices.state != "step")
      choices.chunk = result.recurrent.chunk;
    choices.stateTile = result.recurrent.values;
  }
  choices.elementType = result.options.type;
  choices.precision = result.options.precision;
  if (alternative)
    choices.entry = alternative->name;
  if (alternative && alternative->choose)
    alternative->choose(choices);
  if (alternative && alternative->alone > 0) {
    double saved = alternative->alone - result.recurrent.alone;
    if (result.recurrent.kind == "chunk" && saved < 1) {
      stages.error("a chunk takes as long where only the pass through the states waits");
      return false;
    }
    choices.savedCycles = std::max<int64_t>(1, static_cast<int64_t>(saved));
    choices.spentCycles = static_cast<int64_t>(result.recurrent.busy);
    choices.itemsPerSm = std::max<int64_t>(1, result.recurrent.workItemsPerSm);
  } else if (result.recurrent.kind == "split") {
    choices.itemsPerSm = std::max<int64_t>(1, result.recurrent.workItemsPerSm);
    choices.batchInvariant = result.options.batchInvariant;
  }
  if (std::string presence = presenceGuard(result); !presence.empty())
    choices.guard = choices.guard.empty() ? presence : presence + " && (" + choices.guard + ")";
  if (result.layout)
    for (const sema::Ragged &ragged : result.layout->ragged) {
      std::string sequences = ragged.count + " >= 2";
      if (choices.guard.find(sequences) == std::string::npos)
        choices.guard = choices.guard.empty() ? sequences : sequences + " && (" + choices.guard + ")";
    }
  mlir::FailureOr<tile::ProgramOp> program = deriveTileProgram(attention, choices);
  if (mlir::succeeded(program) && scheduled && mlir::failed(packProgram(result, *program, alternative)))
    program = mlir::failure();
  if (mlir::failed(program)) {
    result.programModule_ = nullptr;
    return false;
  }
  if (!scheduled) {
    result.programModule_ = nullptr;
    return choose(result, stages, alternative);
  }
  if (asked.inverse == "tf32") // of the program itself, so that all levels round alike
    program->walk([](tile::UnitTrilInverseOp op) { op.setPrecision("tf32"); });
  attention.erase();
  result.expandedModule_ = result.programModule_->clone();
  return runPasses(*result.expandedModule_, buildProgramPipeline);
}

bool Compiler::makeSchedule(Compilation &result) {
  result.scheduledModule_ = result.expandedModule_->clone();
  return runPasses(*result.scheduledModule_, [&](mlir::PassManager &manager) {
    tile::SetSchedulePassOptions record;
    record.warps = result.chosen.warps;
    record.stages = result.chosen.stages;
    record.query = result.chosen.query;
    manager.addNestedPass<tile::ProgramOp>(tile::createSetSchedulePass(record));
    buildSchedulePipeline(manager);
  });
}

/// Of a scheduled program: the most that one of its launches needs.
static int64_t sharedBytes(tile::ProgramOp program) {
  int64_t most = 0;
  program.walk([&](tile::LaunchOp launch) {
    int64_t rings = 0;
    launch.walk([&](tile::SmemAllocOp ring) {
      rings = std::max<int64_t>(rings, ring.getOffset().value_or(0) + ring.getSmem().getType().getBytes());
    });
    auto warps = launch.getScheduleAttr().getAs<mlir::IntegerAttr>("warps");
    most = std::max(most, rings + tile::scratchBytes(launch, warps ? warps.getInt() : 1));
  });
  return most;
}

bool Compiler::makeProgram(Compilation &result, Stages &stages, const Alternative *alternative) {
  const char *suffix = alternative ? alternative->name.c_str() : "";
  auto named = [&](const char *stage) { return std::string(stage) + (*suffix ? " " : "") + suffix; };
  while (true) {
    if (!stages.run(named("tile").c_str(), [&] { return makeTile(result, stages, alternative); }))
      return false;
    if (result.options.last == Stage::Tile)
      return true;
    if (!stages.run(named("schedule").c_str(), [&] { return makeSchedule(result); }))
      return false;
    int64_t bytes = sharedBytes(result.scheduled());
    if (bytes <= result.target->sharedPerBlock)
      return true;
    std::string needs = "needs " + std::to_string(bytes) + " bytes of shared memory; a block has " +
                        std::to_string(result.target->sharedPerBlock);
    if (!result.recurrence || !result.tooLarge_.emplace(result.recurrent.str(), needs).second) {
      result.refused = true;
      stages.error("no schedule fits " + std::string(result.target->name) + ": the program " + needs);
      return false;
    }
    for (auto *module : {&result.programModule_, &result.expandedModule_, &result.scheduledModule_})
      *module = nullptr;
  }
}

/// The alternatives that this attention might have, the most special first.
static std::vector<Alternative> alternativesOf(const Compilation &result) {
  std::vector<Alternative> all;
  std::vector<std::string> optional = optionalInputs(*result.attention);
  // Few states and many tokens. Where something is erased, a segment would change states by a matrix.
  auto addShared = [&](const std::string &prefix, const std::vector<std::string> &absent) {
    if (!result.recurrence || result.recurrent.kind != "fused" || result.options.schedule.kind ||
        result.options.batchInvariant)
      return;
    Alternative shared;
    shared.kind = result.recurrence->erases ? "chunk" : "split";
    shared.name = prefix + (shared.kind == "split" ? "segments" : "chunk"); // keys in parts are a split too
    shared.absent = absent;
    shared.alone = result.recurrent.alone;
    all.push_back(std::move(shared));
  };
  if (!optional.empty()) {
    std::string prefix = "without_";
    for (const std::string &name : optional)
      prefix += name + "_";
    addShared(prefix, optional);
  }
  std::vector<std::vector<std::string>> groups = optionalGroups(*result.attention);
  for (size_t set = 1; set < size_t(1) << groups.size(); ++set) {
    Alternative without;
    without.name = "without";
    without.required = true;
    for (size_t i = 0; i < groups.size(); ++i)
      for (const std::string &name : groups[i])
        if (set >> i & 1) {
          without.absent.push_back(name);
          without.name += "_" + name;
        }
    all.push_back(std::move(without));
  }
  if (result.recurrence && result.recurrent.kind == "fused" && !result.options.schedule.kind) {
    std::string token;
    result.canonical().walk([&](attn::StateOp state) { token = state.getToken().str(); });
    Alternative step;
    step.name = "step";
    step.kind = "step";
    step.choose = [token](TileChoices &choices) {
      choices.prefer = token + " <= 16";
      choices.reason = "few tokens, one after the other";
    };
    all.push_back(std::move(step));
  }
  addShared("", {});
  // Few queries: heads share tiles, keys are split, or both.
  int64_t itemsPerSm = std::max<int64_t>(1, result.chosen.workItemsPerSm);
  bool invariant = result.options.batchInvariant;
  bool isFolded = result.candidates.empty() || result.candidates.front().kind.empty();
  for (auto [name, pack, split] :
       {std::tuple("packed_split", true, true), std::tuple("split", false, true), std::tuple("packed", true, false)}) {
    if (!isFolded)
      continue;
    Alternative few;
    few.name = name;
    few.choose = [pack = pack, split = split, itemsPerSm, invariant](TileChoices &choices) {
      choices.pack = pack;
      choices.split = split;
      choices.itemsPerSm = itemsPerSm;
      choices.batchInvariant = invariant;
    };
    all.push_back(std::move(few));
  }
  if (result.layout) {
    Alternative table;
    table.name = "table";
    table.usesTable = true;
    all.push_back(std::move(table));
  }
  Alternative narrow;
  narrow.name = "narrow";
  narrow.last = true;
  narrow.choose = [](TileChoices &choices) {
    choices.alignment = 1;
    choices.reason = "accesses of one element each";
  };
  all.push_back(std::move(narrow));
  return all;
}

bool Compiler::makeAlternatives(Compilation &result, Stages &stages) {
  for (const Alternative &alternative : alternativesOf(result)) {
    std::unique_ptr<Compilation> other(new Compilation());
    other->name = alternative.name;
    other->last = alternative.last;
    other->absent = alternative.absent;
    other->attention = result.attention;
    other->options = result.options;
    if (!alternative.kind.empty()) {
      other->options.schedule = {};
      other->options.schedule.kind = alternative.kind;
      other->options.schedule.inverse = result.options.schedule.inverse;
    }
    other->target = result.target;
    other->storage = result.storage;
    other->interface = result.interface;
    other->dense = result.dense;
    other->layout = result.layout;
    other->attnModule_ = result.attnModule_->clone();
    other->canonicalModule_ = result.canonicalModule_->clone();
    std::string why;
    bool made;
    {
      // What stops an alternative is no error of the specification.
      std::optional<Stages> silent;
      if (!alternative.required)
        silent.emplace(*other, *result.context_);
      Stages &own = silent ? *silent : stages;
      made = (alternative.absent.empty() ||
              own.run(("attn " + alternative.name).c_str(),
                      [&] { return makeAbsent(*other->canonicalModule_, alternative.absent); })) &&
             makeProgram(*other, own, &alternative);
      if (!made && silent && other->diagnostics().hasErrors())
        why = other->diagnostics().diagnostics().front().message;
    }
    llvm::append_range(result.times, other->times);
    if (!made && alternative.required)
      return false;
    if (made)
      result.alternatives.push_back(std::move(other));
    else
      result.leftOut.push_back({alternative.name, alternative.kind, why, other->refused});
  }
  return true;
}

std::unique_ptr<Compilation> Compiler::compile(const SourceText &source, const CompileOptions &options) {
  std::unique_ptr<Compilation> result(new Compilation());
  result->options = options;
  auto begin = std::chrono::steady_clock::now();
  result->analysis = analyzeSource(source, options.sets, options.maps);
  syntax::DiagnosticEngine &diagnostics = result->analysis.diagnostics;
  result->target = Target::find(options.target);
  if (!result->target)
    diagnostics.error({}, "unknown target '" + options.target + "'; known: " + Target::names());
  std::optional<runtime::StorageType> storage = runtime::parseStorageType(options.type);
  if (!storage || *storage == runtime::StorageType::I32)
    diagnostics.error({}, "unknown type '" + options.type + "'; known: bf16, f16, f32");
  else
    result->storage = *storage;
  if (diagnostics.hasErrors() || options.last == Stage::Tree)
    return result;
  result->attention = selectAttention(result->analysis, options.attention);
  if (!result->attention || reportMissing(*result->attention, diagnostics))
    return result;
  if (size_t count = optionalGroups(*result->attention).size(); count > kMaxOptional) {
    diagnostics.error({}, "not in this version: " + std::to_string(count) + " optional inputs; at most " +
                              std::to_string(kMaxOptional) + ", since each set of absent ones is a program of its own");
    return result;
  }
  result->layout = selectStorage(*result->attention, options.storage, diagnostics);
  if (diagnostics.hasErrors())
    return result;
  result->dense = result->interface = interfaceOf(*result->attention, result->storage);
  if (result->layout)
    result->interface = packedInterface(std::move(result->interface), *result->attention, *result->layout);
  std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
  result->times.push_back({"read", spent.count()});

  result->pool_ = pool_;
  begin = std::chrono::steady_clock::now();
  result->context_ = pool_->take();
  spent = std::chrono::steady_clock::now() - begin;
  result->times.push_back({"context", spent.count()});
  mlir::MLIRContext &context = *result->context_;
  Stages stages(*result, context);
  bool ok = stages.run("attn", [&] {
    sema::Program one;
    one.attentions.push_back(*result->attention);
    result->attnModule_ = lower(one, diagnostics.sources, context);
    if (!result->attnModule_)
      return false;
    result->canonicalModule_ = result->attnModule_->clone();
    return runPasses(*result->canonicalModule_, buildAttnPipeline);
  });
  if (!ok || options.last == Stage::Attn)
    return result;

  ok = makeProgram(*result, stages, nullptr);
  if (ok && options.alternatives)
    ok = makeAlternatives(*result, stages);
  if (!ok || options.last == Stage::Tile || options.last == Stage::Schedule)
    return result;

  ok = stages.run("nvvm", [&] {
    // The main program first, where a reader of the PTX looks.
    std::vector<Compilation *> entries = result->entries();
    auto main = std::find(entries.begin(), entries.end(), result.get());
    std::rotate(entries.begin(), main, main + 1);
    llvm::SmallVector<tile::ProgramOp> programs;
    for (Compilation *entry : entries)
      programs.push_back(entry->scheduled());
    mlir::FailureOr<codegen::LoweredProgram> lowered = codegen::lowerToNvvm(programs, *result->target);
    if (mlir::failed(lowered))
      return false;
    result->lowered_ = std::move(*lowered);
    for (const codegen::Kernel &kernel : result->lowered_->kernels)
      entries[kernel.program]->kernels.push_back(kernel);
    return true;
  });
  if (!ok || options.last == Stage::Nvvm || options.last == Stage::Llvm)
    return result;

  ok = stages.run("ptx", [&] {
    llvm::Expected<std::string> text = codegen::translateToPtx(*result->lowered_->module, *result->target);
    if (!text)
      return stages.fail(text.takeError());
    result->ptx = std::move(*text);
    return true;
  });
  if (!ok || options.last == Stage::Ptx)
    return result;

  if (options.last == Stage::Cubin) {
    ok = stages.run("cubin", [&] {
      if (!codegen::findPtxas()) {
        stages.error("ptxas was not found, so there is no cubin; install the CUDA toolkit, or name the program in "
                     "FOVEA_PTXAS. The PTX (--emit=ptx) runs without it");
        return false;
      }
      llvm::Expected<codegen::Assembled> assembled = codegen::assemble(result->ptx, *result->target);
      if (!assembled)
        return stages.fail(assembled.takeError());
      result->assembled = std::move(*assembled);
      return true;
    });
    return result;
  }

  stages.run("plan", [&] {
    codegen::PlanInfo info;
    info.spec = result->attention->name;
    info.producer = "fovea " FOVEA_RELEASE;
    info.axes = result->interface.axes;
    for (const runtime::PlanTensor &tensor : result->interface.tensors)
      for (const runtime::PlanDim &dim : tensor.dims) {
        std::string product;
        for (const std::string &factor : dim.factors)
          product += (product.empty() ? "" : "*") + factor;
        info.display[product] = dim.display;
      }
    llvm::SmallVector<tile::ProgramOp> programs;
    std::vector<codegen::Kernel> kernels;
    for (Compilation *entry : result->entries()) {
      for (codegen::Kernel kernel : entry->kernels) {
        kernel.program = programs.size();
        kernels.push_back(std::move(kernel));
      }
      programs.push_back(entry->scheduled());
    }
    llvm::Expected<runtime::Plan> plan = codegen::makePlan(programs, kernels, result->ptx, {}, *result->target, info);
    if (!plan)
      return stages.fail(plan.takeError());
    orderTensors(*plan, result->interface);
    plan->promises = promisesOf(*result->attention, result->layout, *plan);
    result->plan = std::move(*plan);
    return true;
  });
  return result;
}

} // namespace fovea::driver
