// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The record of `fovea explain`: what the levels of a compilation say, and the work by the facts of the target.
#include "frontend/driver/Explain.h"

#include "passes/analysis/DecayRange.h"
#include "passes/analysis/KeyRange.h"

#include "reference/attn/Reference.h"

#include "llvm/Support/raw_ostream.h"

namespace fovea::driver {

/// Whether queries or keys are the points of a grid with this side.
static bool isGridSide(const sema::Attention &attention, sema::AxisId axis) {
  for (const sema::Axis &walk : attention.axes) {
    if (walk.relation != sema::AxisRelation::Walk)
      continue;
    for (sema::AxisId id : {walk.query, walk.raw}) {
      const sema::Axis &entry = attention.axes[id];
      if (entry.relation == sema::AxisRelation::Factor &&
          std::find(entry.factors.begin(), entry.factors.end(), axis) != entry.factors.end())
        return true;
    }
  }
  return false;
}

runtime::AxisSizes usualSizes(const sema::Attention &attention, std::string &assumed) {
  runtime::AxisSizes sizes;
  bool first = true;
  for (sema::AxisId id = 0; id < attention.axes.size(); ++id) {
    const sema::Axis &axis = attention.axes[id];
    if (axis.relation != sema::AxisRelation::Plain && axis.relation != sema::AxisRelation::Keys)
      continue; // follows from others
    AxisUse use = useOf(attention, id);
    if (axis.size) {
      sizes[axis.name] = *axis.size;
    } else {
      bool tokens = use == AxisUse::Queries || use == AxisUse::Keys;
      int64_t size = tokens ? (isGridSide(attention, id) ? 16 : 4096) : first ? 1 : 16;
      sizes[axis.name] = size;
      assumed += (assumed.empty() ? "" : ",") + axis.name + "=" + std::to_string(size);
    }
    if (use == AxisUse::Batch)
      first = false;
  }
  return sizes;
}

runtime::AxisSizes smallSizes(const sema::Attention &attention, int64_t tokens, int64_t assumed) {
  std::string names;
  runtime::AxisSizes sizes = usualSizes(attention, names);
  for (sema::AxisId id = 0; id < attention.axes.size(); ++id) {
    const sema::Axis &axis = attention.axes[id];
    auto found = sizes.find(axis.name);
    if (found == sizes.end() || (axis.size && (axis.isStatic || axis.needsSize)))
      continue;
    AxisUse use = useOf(attention, id);
    bool isToken = use == AxisUse::Queries || use == AxisUse::Keys;
    found->second = std::min(found->second, !isToken ? 2 : axis.size ? tokens : std::min(tokens, assumed));
  }
  return sizes;
}

static int64_t sizeOf(const runtime::AxisSizes &sizes, llvm::StringRef axis) {
  auto found = sizes.find(std::string_view(axis.data(), axis.size()));
  return found == sizes.end() ? 1 : found->second;
}

static analysis::KeyWalk walkOf(attn::WeightsOp weights) {
  auto attention = weights->getParentOfType<attn::AttentionOp>();
  attn::AxisTableAttr table = attention.getAxes();
  analysis::KeyWalk walk;
  walk.walk = weights.getOverAttr();
  walk.query = weights.getQueryAttr();
  walk.keys = table.lookup(walk.walk).getRaw();
  walk.staticSize = [table](mlir::StringAttr axis) { return table.getStaticSize(axis); };
  walk.isBatch = [=](mlir::StringAttr axis) { return axis != walk.walk && axis != walk.query && axis != walk.keys; };
  return walk;
}

const char *Work::bound() const {
  return longest() == computeMs ? "products" : longest() == exponentialMs ? "exponentials" : "memory";
}

Work workOf(Compilation &compilation, const runtime::AxisSizes &given) {
  Work work;
  runtime::AxisSizes sizes = given;
  if (auto all = reference::inferSizes(compilation.attn(), {}, {given.begin(), given.end()})) {
    for (const auto &[axis, size] : *all)
      sizes[axis] = size;
  } else {
    llvm::consumeError(all.takeError());
  }
  const tile::Candidate &chosen = compilation.chosen;
  attn::AttentionOp attention = compilation.canonical();
  attn::AxisTableAttr table = attention.getAxes();
  auto staticSize = [&](mlir::StringAttr axis) { return table.getStaticSize(axis).value_or(1); };
  attention.walk([&](attn::WeightsOp weights) {
    analysis::KeyWalk walk = walkOf(weights);
    int64_t queries = sizeOf(sizes, walk.query.getValue()), keys = sizeOf(sizes, walk.keys.getValue());
    double rows = 1;
    for (mlir::StringAttr axis : weights.getWeightsType().getRows())
      if (axis != walk.query)
        rows *= static_cast<double>(sizeOf(sizes, axis.getValue()));
    llvm::SmallVector<analysis::KeyRange> ranges = analysis::deriveKeyRanges(weights.getWhere(), walk);
    double tiles = 0, steps = 0;
    int64_t allSteps = (keys + chosen.keyTile - 1) / chosen.keyTile;
    for (int64_t begin = 0; begin < queries; begin += chosen.queryTile) {
      int64_t firstQuery = begin + keys - queries;
      int64_t lastQuery = std::min(begin + chosen.queryTile, queries) - 1 + keys - queries;
      auto leaf = [&](const analysis::BoundExpr &bound) -> int64_t {
        switch (bound.kind) {
        case analysis::BoundExpr::Kind::AxisSize:
          return sizeOf(sizes, bound.axis.getValue());
        case analysis::BoundExpr::Kind::FirstQuery:
          return firstQuery;
        case analysis::BoundExpr::Kind::LastQuery:
          return lastQuery;
        default:
          work.assumedScalars = true;
          return 0;
        }
      };
      std::vector<std::pair<int64_t, int64_t>> visited;
      for (const analysis::KeyRange &range : ranges) {
        bool none = false;
        for (const analysis::Bound &never : range.never)
          none |= analysis::evaluate(never, leaf) > 0;
        int64_t lo = std::max<int64_t>(0, analysis::evaluate(range.lo, leaf));
        int64_t hi = std::min(keys, analysis::evaluate(range.hi, leaf));
        if (!none && lo < hi)
          visited.push_back({lo / chosen.keyTile, (hi + chosen.keyTile - 1) / chosen.keyTile});
      }
      llvm::sort(visited);
      int64_t end = 0;
      for (auto [from, to] : visited) {
        steps += static_cast<double>(std::max<int64_t>(0, to - std::max(from, end)));
        end = std::max(end, to);
      }
      ++tiles;
    }
    double tilePairs = static_cast<double>(chosen.queryTile) * static_cast<double>(chosen.keyTile);
    double pairs = steps * tilePairs * rows;
    work.pairs += pairs;
    work.allPairs += tiles * static_cast<double>(allSteps) * tilePairs * rows;
    work.exponentials += pairs;
    double depth = 0, keyWidth = 0;
    attention.walk([&](attn::DotOp dot) {
      auto field = llvm::cast<attn::FieldType>(dot.getResult().getType());
      if (!field.hasAxis(walk.walk) || !field.hasAxis(walk.query))
        return;
      double size = 1;
      for (mlir::StringAttr axis : attn::toAxes(dot.getAxes()))
        size *= static_cast<double>(staticSize(axis));
      depth += size;
    });
    llvm::SmallPtrSet<void *, 8> values;
    for (mlir::Operation *user : weights.getResult().getUsers())
      if (auto expect = llvm::dyn_cast<attn::ExpectOp>(user)) {
        double size = 1;
        for (mlir::StringAttr axis : llvm::cast<attn::FieldType>(expect.getValue().getType()).getAxes())
          if (axis != walk.walk && !llvm::is_contained(weights.getWeightsType().getRows(), axis))
            size *= static_cast<double>(staticSize(axis));
        depth += size > 1 ? size : 0;
        if (size > 1 && values.insert(expect.getValue().getAsOpaquePointer()).second)
          keyWidth += size;
      }
    for (int64_t d : compilation.problem.scoreDims)
      keyWidth += static_cast<double>(d);
    work.flops += 2 * pairs * depth;
    work.keyBytes += steps * static_cast<double>(chosen.keyTile) * keyWidth * rows * 2;
  });
  for (const runtime::PlanTensor &tensor : compilation.interface.tensors) {
    double elements = 1;
    for (const runtime::PlanDim &dim : tensor.dims)
      for (const std::string &factor : dim.factors)
        elements *= static_cast<double>(sizeOf(sizes, factor));
    work.bytes += elements * static_cast<double>(runtime::byteSize(tensor.type));
  }
  const Target &target = *compilation.target;
  double cycles =
      target.clockGhz * 1e6 * static_cast<double>(target.typicalSms); // per millisecond, all multiprocessors
  work.computeMs = work.flops / (2 * target.halfProductsPerSmPerCycle * cycles);
  work.exponentialMs = work.exponentials / (target.exponentialsPerSmPerCycle * cycles);
  work.memoryMs = work.bytes / (target.bandwidthGBs * 1e6);
  return work;
}

static std::string rangeText(const analysis::KeyRange &range) {
  std::string text = "keys [" + analysis::toString(range.lo) + ", " + analysis::toString(range.hi) + ")";
  for (const analysis::Bound &never : range.never)
    text += ", none where " + analysis::toString(never) + " > 0";
  if (range.partial)
    return text + ", every tile masked";
  text += ", unmasked in [" + analysis::toString(range.fullLo) + ", " + analysis::toString(range.fullHi) + ")";
  for (const analysis::Bound &notFull : range.notFull)
    text += " unless " + analysis::toString(notFull) + " > 0";
  return text;
}

static std::vector<std::string> toStrings(mlir::ArrayAttr names) {
  std::vector<std::string> list;
  for (auto name : names.getAsRange<mlir::StringAttr>())
    list.push_back(name.getValue().str());
  return list;
}

/// How many work items a multiprocessor holds at once, and what keeps it from holding one more.
static void setOccupancy(Resources &kernel, const Target &target) {
  int64_t warps = (kernel.threads + 31) / 32;
  // Registers are given to warps in units of 256; each block takes 1 KiB of shared memory besides its own.
  int64_t perWarp = (kernel.assembled->registers * 32 + 255) / 256 * 256;
  const std::pair<int64_t, const char *> limits[] = {
      {perWarp ? target.registersPerSm / perWarp / std::max<int64_t>(warps, 1) : target.maxBlocksPerSm, "registers"},
      {target.sharedPerSm / (kernel.sharedBytes + kernel.assembled->staticShared + 1024), "shared memory"},
      {target.maxThreadsPerSm / std::max<int64_t>(kernel.threads, 1), "threads"},
      {target.maxBlocksPerSm, "blocks"}};
  kernel.resident = limits[0].first;
  kernel.limit = limits[0].second;
  for (const auto &[count, what] : limits)
    if (count < kernel.resident) {
      kernel.resident = count;
      kernel.limit = what;
    }
  kernel.occupancy =
      static_cast<double>(kernel.resident * kernel.threads) / static_cast<double>(target.maxThreadsPerSm);
}

static std::string argText(const runtime::PlanArg &arg) {
  switch (arg.kind) {
  case runtime::PlanArg::Kind::Pointer:
    return arg.name;
  case runtime::PlanArg::Kind::I64:
  case runtime::PlanArg::Kind::I32:
    return arg.expr.text();
  case runtime::PlanArg::Kind::F32:
    return std::to_string(arg.number);
  }
  return {};
}

static void readPlan(const runtime::Plan &plan, Explanation &out) {
  for (const runtime::PlanEntry &from : plan.entries) {
    Explanation::Entry entry;
    entry.guard = from.guard.text();
    entry.prefer = from.prefer.text() == "1" ? "" : from.prefer.text();
    entry.reason = from.reason;
    for (const runtime::PlanWorkspace &workspace : from.workspaces)
      entry.workspaces.push_back({workspace.name, workspace.bytes.text()});
    for (const runtime::PlanLaunch &launch : from.launches) {
      Explanation::PlanLaunchText text;
      text.kernel = launch.kernel;
      text.grid = launch.grid[0].text();
      for (size_t d = 1; d < 3; ++d)
        if (launch.grid[d].text() != "1")
          text.grid += " x " + launch.grid[d].text();
      text.block.assign(launch.block.begin(), launch.block.end());
      text.sharedBytes = launch.sharedBytes;
      for (const runtime::PlanArg &arg : launch.args)
        text.args.push_back(argText(arg));
      entry.launches.push_back(std::move(text));
    }
    out.entries.push_back(std::move(entry));
  }
}

static void readProgram(Compilation &compilation, Explanation &out) {
  tile::ProgramOp program = compilation.program();
  Explanation::Program &entry = out.programs.emplace_back();
  entry.name = compilation.name;
  for (auto workspace : program.getBody().getOps<tile::WorkspaceOp>()) {
    std::string type;
    llvm::raw_string_ostream(type) << workspace.getView().getType().getElementType();
    entry.workspaces.push_back({workspace.getName().str(), type, toStrings(workspace.getDims())});
  }
  for (auto from : program.getBody().getOps<tile::LaunchOp>()) {
    Explanation::Launch launch{from.getName().str(), toStrings(from.getAxes()), {}};
    from.walk([&](tile::FoldOp fold) {
      auto yield = llvm::cast<tile::FoldYieldOp>(fold.getBody().front().getTerminator());
      auto scores = llvm::cast<mlir::RankedTensorType>(yield.getScore().getType());
      launch.folds.push_back(
          {scores.getDimSize(0), scores.getDimSize(1), static_cast<int64_t>(fold.getAccumulators().size())});
    });
    entry.launches.push_back(std::move(launch));
  }
  // Programs that differ in accesses only look alike here.
  auto sameAs = [](const Timeline &a, const Timeline &b) {
    auto same = [](const TimelineItem &x, const TimelineItem &y) {
      return x.unit == y.unit && x.phase == y.phase && x.start == y.start && x.cycles == y.cycles;
    };
    return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same);
  };
  for (Timeline &timeline : timelinesOf(compilation.scheduled(), *compilation.target))
    if (llvm::none_of(out.timelines, [&](const Timeline &each) { return sameAs(each, timeline); }))
      out.timelines.push_back(std::move(timeline));
  for (const codegen::Kernel &kernel : compilation.kernels) {
    Resources resources;
    resources.kernel = kernel.name;
    resources.grid = kernel.grid;
    resources.threads = kernel.threads;
    resources.sharedBytes = kernel.sharedBytes;
    out.kernels.push_back(std::move(resources));
  }
}

namespace {

/// Sizes that explanations are for, on the target's largest common product.
class SizesScope : public runtime::ExprScope {
public:
  SizesScope(const runtime::AxisSizes &sizes, int64_t sms) : sizes_(sizes), sms_(sms) {}
  Result<int64_t> axis(std::string_view name) const override {
    auto found = sizes_.find(name);
    return found == sizes_.end() ? unknown() : Result<int64_t>(found->second);
  }
  Result<int64_t> stride(std::string_view, std::string_view) const override { return unknown(); }
  Result<int64_t> align(std::string_view) const override { return unknown(); }
  Result<int64_t> present(std::string_view) const override { return unknown(); }
  Result<int64_t> deviceSms() const override { return sms_; }

private:
  static Error unknown() { return {ErrorCode::Internal, "not known before a call"}; }
  const runtime::AxisSizes &sizes_;
  int64_t sms_;
};

} // namespace

/// How the triangular inverses of the plan's programs are multiplied; empty where there are none.
static std::string inversePrecision(const Compilation &compilation) {
  std::string precision;
  auto read = [&](tile::ProgramOp program) {
    program.walk([&](tile::UnitTrilInverseOp op) { precision = op.getPrecision().value_or("f32").str(); });
  };
  read(compilation.scheduled());
  for (const std::unique_ptr<Compilation> &alternative : compilation.alternatives)
    read(alternative->scheduled());
  return precision;
}

/// The workspaces of the program that a candidate would give; nothing where there is none.
static std::optional<std::string> workspacesOf(Compilation &compilation, const tile::Candidate &candidate) {
  mlir::OwningOpRef<mlir::Operation *> module(compilation.canonical()->getParentOp()->clone());
  mlir::ScopedDiagnosticHandler silent(module->getContext(), [](mlir::Diagnostic &) { return mlir::success(); });
  TileChoices choices;
  choices.queryTile = compilation.chosen.queryTile;
  choices.keyTile = compilation.chosen.keyTile;
  choices.state = candidate.kind;
  if (candidate.kind != "step")
    choices.chunk = candidate.chunk;
  choices.stateTile = candidate.values;
  choices.elementType = compilation.options.type;
  choices.precision = compilation.options.precision;
  attn::AttentionOp attention;
  module->walk([&](attn::AttentionOp op) { attention = op; });
  mlir::FailureOr<tile::ProgramOp> program = deriveTileProgram(attention, choices);
  if (mlir::failed(program))
    return std::nullopt;
  std::string sum;
  for (auto workspace : program->getBody().getOps<tile::WorkspaceOp>()) {
    std::string bytes = std::to_string(workspace.getView().getType().getElementType().getIntOrFloatBitWidth() / 8);
    for (const std::string &dim : toStrings(workspace.getDims()))
      bytes += " * " + dim;
    sum += (sum.empty() ? "" : " + ") + bytes;
  }
  return sum.empty() ? "0" : sum;
}

/// All ways to run the recurrences: which calls take them, and what they keep in memory.
static void readRecurrents(Compilation &compilation, Explanation &out) {
  if (!compilation.recurrence)
    return;
  std::vector<tile::Candidate> candidates = tile::enumerateSchedules(*compilation.recurrence, *compilation.target);
  std::vector<Compilation *> entries = compilation.entries();
  for (const char *kind : {"step", "fused", "chunk", "split"}) {
    Explanation::Recurrent each;
    each.kind = kind;
    const tile::Candidate *best = nullptr;
    for (const tile::Candidate &candidate : candidates)
      if (candidate.kind == kind && (!best || (!best->rejected.empty() && candidate.rejected.empty())))
        best = &candidate;
    if (!best) {
      each.problem = compilation.recurrence->erases && each.kind == "split"
                         ? "what is erased changes the state before a segment by a matrix of all keys"
                         : "its operands, its blocks or its form do not allow chunks";
    } else if (!best->rejected.empty()) {
      each.problem = best->rejected;
    } else {
      each.chosen = best->str();
    }
    for (size_t n = 0; n < entries.size() && n < out.entries.size(); ++n) {
      const Compilation &entry = *entries[n];
      if (entry.recurrent.kind != kind || entry.last || !entry.absent.empty())
        continue;
      each.chosen = entry.recurrent.str();
      each.problem.clear();
      each.when = out.entries[n].prefer.empty() ? "always" : out.entries[n].prefer;
      if (auto reason = entries[n]->program().getChoicesAttr().getAs<mlir::StringAttr>("reason"))
        each.reason = reason.str();
      for (const auto &[name, bytes] : out.entries[n].workspaces)
        each.bytes += (each.bytes.empty() ? "" : " + ") + bytes;
      if (each.bytes.empty())
        each.bytes = "0";
    }
    for (const Compilation::LeftOut &other : compilation.leftOut)
      if (other.kind == kind && each.when.empty())
        (other.refused ? each.problem : each.reason) = other.why;
    if (each.problem.empty() && each.bytes.empty()) {
      std::optional<std::string> bytes = workspacesOf(compilation, *best);
      each.bytes = bytes.value_or("");
      if (!bytes)
        each.problem = "this attention cannot be derived so";
    }
    if (Result<runtime::Expr> expr = runtime::Expr::parse(each.bytes))
      if (Result<int64_t> bytes = expr->evaluate(SizesScope(out.sizes, compilation.target->typicalSms)))
        each.bytesHere = *bytes;
    out.recurrents.push_back(std::move(each));
  }
}

Explanation explain(Compilation &compilation) {
  Explanation out;
  out.name = compilation.attention->name;
  out.target = compilation.target->name;
  out.type = compilation.options.type;
  out.sets = compilation.options.sets;
  out.facts = compilation.target;
  const syntax::SourceMap &sources = compilation.diagnostics().sources;
  out.file = sources.name(0);
  out.spec = sources.text(0);
  auto text = [&](Stage stage) {
    Result<std::string> level = compilation.text(stage);
    return level ? *level : std::string();
  };
  out.attn = text(Stage::Attn);
  out.tile = text(Stage::Tile);
  out.schedule = text(Stage::Schedule);

  readProgram(compilation, out);
  for (const std::unique_ptr<Compilation> &alternative : compilation.alternatives)
    readProgram(*alternative, out);
  for (const std::unique_ptr<Compilation> &alternative : compilation.alternatives)
    out.alternatives.push_back({alternative->name, alternative->chosen.str(), {}});
  for (const Compilation::LeftOut &each : compilation.leftOut)
    out.alternatives.push_back({each.name, {}, each.why});
  compilation.canonical().walk([&](attn::WeightsOp weights) {
    analysis::KeyWalk walk = walkOf(weights);
    Explanation::Walk entry{walk.keys.str(), {}};
    for (const analysis::KeyRange &range : analysis::deriveKeyRanges(weights.getWhere(), walk))
      entry.ranges.push_back(rangeText(range));
    out.walks.push_back(std::move(entry));
  });
  std::string inverse = inversePrecision(compilation);
  compilation.canonical().walk([&](attn::StateOp state) {
    attn::StateType type = state.getStateType();
    std::string decay = "none";
    if (state.getDecay()) {
      auto field = llvm::cast<attn::FieldType>(state.getDecay().getType());
      decay = field.hasAxis(type.getKey()) ? "per channel" : field.hasAxis(type.getToken()) ? "per token" : "constant";
    }
    analysis::FieldRange range = analysis::decayRange(state);
    out.states.push_back({type.getToken().str(), type.getKey().str(),
                          type.hasValueAxis() ? type.getValue().str() : std::string(), decay, analysis::toString(range),
                          state.getErase() ? inverse : "",
                          analysis::mayAnchorInMiddle(range, 16) && out.type != "f16"});
  });
  if (!compilation.candidates.empty())
    out.masks = maskMaps(compilation);

  out.candidates = compilation.candidates;
  out.chosen = compilation.chosen;
  out.overridden = !compilation.options.schedule.empty();

  out.sizes = usualSizes(*compilation.attention, out.assumed);
  out.work = workOf(compilation, out.sizes);
  const Target &target = *compilation.target;
  if (!out.candidates.empty())
    out.modelMs =
        out.work.pairs / 4096 * out.chosen.cost / (target.clockGhz * 1e6 * static_cast<double>(target.typicalSms));

  std::optional<codegen::Assembled> assembled;
  if (codegen::findPtxas()) {
    llvm::Expected<codegen::Assembled> result = codegen::assemble(compilation.ptx, target);
    if (result)
      assembled = std::move(*result);
    else
      out.assemblerProblem = llvm::toString(result.takeError());
  } else {
    out.assemblerProblem = "ptxas not found, so registers and spills are not known";
  }
  if (assembled)
    for (Resources &kernel : out.kernels)
      for (const codegen::KernelResources &each : assembled->kernels)
        if (each.kernel == kernel.kernel) {
          kernel.assembled = each;
          setOccupancy(kernel, target);
        }
  out.measured = measure(compilation);
  readPlan(*compilation.plan, out);
  readRecurrents(compilation, out);

  if (auto sizes = reference::inferSizes(compilation.attn(), {}, {out.sizes.begin(), out.sizes.end()})) {
    Tolerance tolerance = toleranceFor(compilation.attn(), compilation.arithmetic(), *sizes);
    for (const auto &[name, each] : tolerance.outputs)
      out.tolerances.push_back({name, each});
  } else {
    llvm::consumeError(sizes.takeError());
  }
  return out;
}

} // namespace fovea::driver
