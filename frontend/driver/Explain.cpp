// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Text of `fovea explain`.
#include "frontend/driver/Explain.h"

#include "passes/analysis/KeyRange.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>

namespace fovea::driver {

runtime::AxisSizes usualSizes(const sema::Attention &attention, std::string &assumed) {
  runtime::AxisSizes sizes;
  bool first = true;
  for (sema::AxisId id = 0; id < attention.axes.size(); ++id) {
    const sema::Axis &axis = attention.axes[id];
    if (axis.relation == sema::AxisRelation::Factor || axis.relation == sema::AxisRelation::Walk)
      continue;
    AxisUse use = useOf(attention, id);
    if (axis.size) {
      sizes[axis.name] = *axis.size;
    } else {
      int64_t size = use == AxisUse::Queries || use == AxisUse::Keys ? 4096 : first ? 1 : 16;
      sizes[axis.name] = size;
      assumed += (assumed.empty() ? "" : ",") + axis.name + "=" + std::to_string(size);
    }
    if (use == AxisUse::Batch)
      first = false;
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

Work workOf(Compilation &compilation, const runtime::AxisSizes &sizes) {
  Work work;
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

static std::string join(mlir::ArrayAttr names) {
  std::string text;
  for (auto name : names.getAsRange<mlir::StringAttr>())
    text += (text.empty() ? "" : ", ") + name.getValue().str();
  return text;
}

std::string explain(Compilation &compilation) {
  std::string text;
  llvm::raw_string_ostream out(text);
  const Target &target = *compilation.target;
  attn::AttentionOp attention = compilation.canonical();
  std::string assumed;
  runtime::AxisSizes sizes = usualSizes(*compilation.attention, assumed);
  out << compilation.attention->name << " for " << target.name << ", " << compilation.options.type << "\n";

  out << "\nAlgorithm\n";
  tile::ProgramOp program = compilation.program();
  const tile::Candidate &chosen = compilation.chosen;
  for (auto workspace : program.getBody().getOps<tile::WorkspaceOp>())
    out << "  prepared operand " << workspace.getName() << " [" << join(workspace.getDims()) << "] in "
        << workspace.getView().getType().getElementType() << ": computed once per key, read by every query tile\n";
  for (auto launch : program.getBody().getOps<tile::LaunchOp>()) {
    out << "  launch " << launch.getName() << " over " << join(launch.getAxes()) << "\n";
    launch.walk([&](tile::FoldOp fold) {
      auto yield = llvm::cast<tile::FoldYieldOp>(fold.getBody().front().getTerminator());
      auto scores = llvm::cast<mlir::RankedTensorType>(yield.getScore().getType());
      out << "    fold over keys, " << scores.getDimSize(0) << " queries x " << scores.getDimSize(1) << " keys a step, "
          << fold.getAccumulators().size() << (fold.getAccumulators().size() == 1 ? " accumulator" : " accumulators")
          << "\n";
    });
  }
  attention.walk([&](attn::WeightsOp weights) {
    analysis::KeyWalk walk = walkOf(weights);
    out << "  weights over " << walk.keys.getValue() << ", with first and last the positions of a tile's queries:\n";
    llvm::SmallVector<analysis::KeyRange> ranges = analysis::deriveKeyRanges(weights.getWhere(), walk);
    for (const analysis::KeyRange &range : ranges)
      out << "    " << rangeText(range) << "\n";
    if (ranges.empty())
      out << "    no key is seen by any query\n";
  });

  if (!compilation.candidates.empty()) {
    out << "\nSchedule\n  chosen: " << chosen.str() << "; " << chosen.sharedBytes << " bytes of shared memory, about "
        << chosen.registers << " registers a thread, " << chosen.workItemsPerSm
        << " work items at once on a multiprocessor\n";
    if (!compilation.options.schedule.empty())
      out << "  (asked for; the cost model's choice is " << compilation.candidates.front().str() << ")\n";
    size_t usable = 0, rejected = 0;
    for (const tile::Candidate &candidate : compilation.candidates)
      ++(candidate.rejected.empty() ? usable : rejected);
    out << "  usable candidates: " << usable << ", by cycles of one multiprocessor per 64 x 64 pairs\n";
    size_t shown = 0;
    for (const tile::Candidate &candidate : compilation.candidates)
      if (candidate.rejected.empty() && shown++ < 8)
        out << llvm::format("    %7.1f  ", candidate.cost) << candidate.str() << "\n";
    if (usable > 8)
      out << "    and " << usable - 8 << " more\n";
    if (rejected)
      out << "  rejected: " << rejected << "\n";
    for (const tile::Candidate &candidate : compilation.candidates)
      if (!candidate.rejected.empty())
        out << "    " << candidate.str() << ": " << candidate.rejected << "\n";
  }

  Work work = workOf(compilation, sizes);
  out << "\nWork at ";
  bool first = true;
  for (const auto &[axis, size] : sizes) {
    out << (first ? "" : " ") << axis << "=" << size;
    first = false;
  }
  if (!assumed.empty())
    out << " (assumed: " << assumed << "; --set gives others)";
  out << "\n";
  if (work.assumedScalars)
    out << "  the key ranges depend on data, taken as 0 here\n";
  out << llvm::format("  pairs        %.4g in visited tiles, %.1f%% of all\n", work.pairs,
                      work.allPairs > 0 ? 100 * work.pairs / work.allPairs : 0);
  out << llvm::format("  products     %.4g FLOP on tensor cores\n", work.flops);
  out << llvm::format("  exponentials %.4g\n", work.exponentials);
  out << llvm::format("  memory       %.4g bytes, every tensor once; keys and values once per visited tile: %.4g\n",
                      work.bytes, work.keyBytes);
  out << llvm::format("  intensity    %.4g FLOP per byte\n", work.bytes > 0 ? work.flops / work.bytes : 0);

  out << "\nKernels\n";
  std::optional<codegen::Assembled> assembled;
  std::string problem;
  if (codegen::findPtxas()) {
    llvm::Expected<codegen::Assembled> result = codegen::assemble(compilation.ptx, target);
    if (result)
      assembled = std::move(*result);
    else
      problem = llvm::toString(result.takeError());
  } else {
    problem = "ptxas not found, so registers and spills are not known";
  }
  for (const codegen::Kernel &kernel : compilation.kernels) {
    out << "  " << kernel.name << ": " << kernel.threads << " threads, " << kernel.sharedBytes
        << " bytes of shared memory";
    if (assembled)
      for (const codegen::KernelResources &resources : assembled->kernels)
        if (resources.kernel == kernel.name)
          out << ", " << resources.registers << " registers, spills " << resources.spillStores << " bytes stored "
              << resources.spillLoads << " loaded";
    out << ", grid " << kernel.grid << "\n";
  }
  if (!problem.empty())
    out << "  " << problem << "\n";

  double longest = std::max({work.computeMs, work.exponentialMs, work.memoryMs});
  out << "\nExpected bound: "
      << (longest == work.computeMs       ? "products"
          : longest == work.exponentialMs ? "exponentials"
                                          : "memory")
      << llvm::format("\n  at the peak rates of %d multiprocessors at %.2f GHz and %.0f GB/s: products %.4g ms, "
                      "exponentials %.4g ms, memory %.4g ms\n",
                      static_cast<int>(target.typicalSms), target.clockGhz, target.bandwidthGBs, work.computeMs,
                      work.exponentialMs, work.memoryMs);
  return text;
}

} // namespace fovea::driver
