// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `fovea explain` as text, as JSON and as a page.
#include "frontend/driver/Explain.h"

#include "frontend/driver/ExplainPage.inc"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <nlohmann/json.hpp>

namespace fovea::driver {

using Json = nlohmann::ordered_json;

//===--- text ---===//

static std::string join(const std::vector<std::string> &list, const char *between = ", ") {
  std::string text;
  for (const std::string &each : list)
    text += (text.empty() ? "" : between) + each;
  return text;
}

static std::string sizesText(const runtime::AxisSizes &sizes) {
  std::string text;
  for (const auto &[axis, size] : sizes)
    text += (text.empty() ? "" : " ") + axis + "=" + std::to_string(size);
  return text;
}

static std::string atText(const MaskMap &map) {
  std::string text;
  for (const auto &[axis, index] : map.at)
    text += ", " + axis + "=" + std::to_string(index);
  return text;
}

static void maskText(llvm::raw_ostream &out, const MaskMap &map) {
  out << "  " << map.queryAxis << "=" << map.queries << " by " << map.keyAxis << "=" << map.keys << atText(map)
      << ", tiles of " << map.queryTile << " x " << map.keyTile;
  if (!map.seen.empty())
    out << ": " << map.empty() << " empty, " << map.partial() << " partial, " << map.full() << " full\n";
  else
    out << "\n";
  if (!map.visited.empty()) {
    out << "    the kernel skips " << MaskMap::count(map.visited, '.') << ", masks " << MaskMap::count(map.visited, 'm')
        << ", leaves " << MaskMap::count(map.visited, 'f') << " unmasked";
    if (map.lost || map.wrong)
      out << "; WRONG: " << map.lost << " skipped with keys, " << map.wrong << " not masked though partial";
    if (map.needless)
      out << "; " << map.needless << " visited without need";
    if (map.maskedNeedless)
      out << "; " << map.maskedNeedless << " masked without need";
    out << "\n";
  }
  if (!map.problem.empty())
    out << "    " << map.problem << "\n";
  // As many rows and columns as a page of text takes.
  size_t stride = 1;
  while (!map.seen.empty() && (map.seen.size() / stride > 32 || map.seen.front().size() / stride > 96))
    stride *= 2;
  if (stride == 1)
    for (const std::string &row : map.seen)
      out << "    " << row << "\n";
}

constexpr size_t kCandidates = 8; // that are listed of each sort

static void programText(llvm::raw_ostream &out, const Explanation::Program &program) {
  std::string indent = program.name.empty() ? "  " : "    ";
  if (!program.name.empty())
    out << "  program " << program.name << "\n";
  for (const Explanation::Workspace &workspace : program.workspaces)
    out << indent << "prepared operand " << workspace.name << " [" << join(workspace.dims) << "] in " << workspace.type
        << ": computed once, read by every work item that needs it\n";
  for (const Explanation::Launch &launch : program.launches) {
    out << indent << "launch " << launch.name << " over " << join(launch.axes) << "\n";
    for (const auto &fold : launch.folds)
      out << indent << "  fold over keys, " << fold.queries << " queries x " << fold.keys << " keys a step, "
          << fold.accumulators << (fold.accumulators == 1 ? " accumulator" : " accumulators") << "\n";
  }
}

static void timelineText(llvm::raw_ostream &out, const Timeline &timeline) {
  out << "  " << timeline.launch << ", one work item alone, cycles by unit:\n";
  size_t width = 0;
  for (const std::string &phase : timeline.phases)
    width = std::max(width, phase.size());
  for (const std::string &phase : timeline.phases) {
    std::string line;
    for (const std::string &unit : timeline.units) {
      double cycles = 0;
      for (const TimelineItem &item : timeline.items)
        if (item.phase == phase && item.unit == unit)
          cycles += item.cycles;
      if (cycles > 0) {
        llvm::raw_string_ostream number(line);
        number << (line.empty() ? "" : ", ") << unit << llvm::format(" %.0f", cycles);
      }
    }
    if (!line.empty())
      out << "    " << phase << std::string(width - phase.size() + 2, ' ') << line << "\n";
  }
}

/// A way to run the recurrences: what is chosen, the workspace and the calls that take it, or why there is none.
static std::string recurrenceText(const Explanation::Recurrent &each) {
  if (!each.problem.empty())
    return "not possible, " + each.problem;
  std::string workspace = each.bytes == "0"     ? "no workspace"
                          : each.bytesHere >= 0 ? std::to_string(each.bytesHere) + " bytes of workspace"
                                                : "workspace of " + each.bytes + " bytes";
  std::string when = each.when.empty()       ? "only where it is asked for"
                     : each.when == "always" ? "taken where no other is preferred"
                                             : "preferred where " + each.when;
  bool hasReason = !each.reason.empty() && each.when != "always";
  return each.chosen + "; " + workspace + "; " + when + (hasReason ? ": " + each.reason : "");
}

std::string toText(const Explanation &from) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << from.name << " for " << from.target << ", " << from.type << "\n";

  out << "\nAlgorithm\n";
  for (const Explanation::Program &program : from.programs)
    programText(out, program);
  for (const Explanation::State &state : from.states) {
    out << "  state [" << state.keys << (state.values.empty() ? "" : ", " + state.values) << "] over " << state.tokens
        << ", decay " << state.decay;
    if (state.decay != "none")
      out << ", in " << state.range << " nats per token";
    if (state.decay == "per channel")
      out << (state.mayAnchorInMiddle ? "; 16 rows may share an anchor in their middle"
                                      : "; exponents relative to the first row");
    if (!state.inverse.empty())
      out << "; inverse in " << state.inverse;
    out << "\n";
  }
  for (const Explanation::Walk &walk : from.walks) {
    out << "  weights over " << walk.keys << ", with first and last the positions of a tile's queries:\n";
    for (const std::string &range : walk.ranges)
      out << "    " << range << "\n";
    if (walk.ranges.empty())
      out << "    no key is seen by any query\n";
  }

  if (!from.masks.empty()) {
    out << "\nMask (. no pair, / some, # all)\n";
    for (const MaskMap &map : from.masks)
      maskText(out, map);
  }

  if (!from.candidates.empty()) {
    out << "\nSchedule\n  chosen: " << from.chosen.str() << "; " << from.chosen.sharedBytes
        << " bytes of shared memory, about " << from.chosen.registers << " registers a thread, "
        << from.chosen.workItemsPerSm << " work items at once on a multiprocessor\n";
    if (from.overridden)
      out << "  (asked for; the cost model's choice is " << from.candidates.front().str() << ")\n";
    size_t usable = 0, rejected = 0;
    for (const tile::Candidate &candidate : from.candidates)
      ++(candidate.rejected.empty() ? usable : rejected);
    out << "  usable candidates: " << usable << ", by cycles of one multiprocessor per 64 x 64 pairs\n";
    size_t shown = 0;
    for (const tile::Candidate &candidate : from.candidates)
      if (candidate.rejected.empty() && shown++ < kCandidates)
        out << llvm::format("    %7.1f  ", candidate.cost) << candidate.str() << "\n";
    if (usable > kCandidates)
      out << "    and " << usable - kCandidates << " more; --json lists all\n";
    if (rejected)
      out << "  rejected: " << rejected << "\n";
    shown = 0;
    for (const tile::Candidate &candidate : from.candidates)
      if (!candidate.rejected.empty() && shown++ < kCandidates)
        out << "    " << candidate.str() << ": " << candidate.rejected << "\n";
    if (rejected > kCandidates)
      out << "    and " << rejected - kCandidates << " more; --json lists all\n";
  }
  for (const Explanation::Alternative &alternative : from.alternatives)
    out << "  program " << alternative.name << ": "
        << (alternative.leftOut.empty() ? alternative.chosen : "left out: " + alternative.leftOut) << "\n";
  for (const Explanation::Recurrent &each : from.recurrents)
    out << "  recurrence by " << each.kind << ": " << recurrenceText(each) << "\n";
  if (!from.timelines.empty())
    out << "\nTimeline (estimated; --html draws it)\n";
  for (const Timeline &timeline : from.timelines)
    timelineText(out, timeline);

  const Work &work = from.work;
  out << "\nWork at " << sizesText(from.sizes);
  if (!from.assumed.empty())
    out << " (assumed: " << from.assumed << "; --set gives others)";
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
  for (const Resources &kernel : from.kernels) {
    out << "  " << kernel.kernel << ": " << kernel.threads << " threads, " << kernel.sharedBytes
        << " bytes of shared memory";
    if (kernel.assembled)
      out << ", " << kernel.assembled->registers << " registers, spills " << kernel.assembled->spillStores
          << " bytes stored " << kernel.assembled->spillLoads << " loaded";
    out << ", grid " << kernel.grid << "\n";
    if (kernel.assembled)
      out << "    " << kernel.resident << " work items at once on a multiprocessor"
          << llvm::format(", %.0f%% of its threads", 100 * kernel.occupancy) << "; limited by " << kernel.limit << "\n";
  }
  if (!from.assemblerProblem.empty())
    out << "  " << from.assemblerProblem << "\n";

  out << "\nMemory accesses, emulated at " << sizesText(from.measured.sizes) << "\n";
  if (!from.measured.problem.empty())
    out << "  not measured: " << from.measured.problem << "\n";
  for (const KernelCost &kernel : from.measured.kernels) {
    out << "  " << kernel.kernel << ": shared memory " << kernel.wavefronts << " passes, "
        << kernel.wavefronts - kernel.idealWavefronts << " of them bank conflicts; global memory " << kernel.sectors
        << " sectors, " << kernel.uniqueSectors << " of them distinct\n";
    for (const LineCost &line : kernel.lines)
      if (line.wavefronts > line.idealWavefronts)
        out << "    line " << line.line << ": " << line.wavefronts - line.idealWavefronts << " conflicts, up to "
            << line.worstDegree << " passes for one: " << line.text << "\n";
  }

  out << "\nPlan\n";
  for (const Explanation::Entry &entry : from.entries) {
    out << "  where " << entry.guard;
    if (!entry.prefer.empty())
      out << ", preferred where " << entry.prefer;
    out << (entry.reason.empty() ? "" : ": " + entry.reason) << "\n";
    for (const auto &[name, bytes] : entry.workspaces)
      out << "    workspace " << name << " of " << bytes << " bytes\n";
    for (const Explanation::PlanLaunchText &launch : entry.launches)
      out << "    launch " << launch.kernel << ", grid " << launch.grid << "\n";
  }

  out << "\nTolerances on inputs of unit variance\n";
  for (const auto &[name, tolerance] : from.tolerances)
    out << "  " << name << ": " << tolerance.format() << "\n";

  out << "\nExpected bound: " << work.bound()
      << llvm::format("\n  at the peak rates of %d multiprocessors at %.2f GHz and %.0f GB/s: products %.4g ms, "
                      "exponentials %.4g ms, memory %.4g ms\n",
                      static_cast<int>(from.facts->typicalSms), from.facts->clockGhz, from.facts->bandwidthGBs,
                      work.computeMs, work.exponentialMs, work.memoryMs);
  if (from.modelMs > 0)
    out << llvm::format("  by the cost model of the schedule: %.4g ms\n", from.modelMs);
  return text;
}

//===--- data ---===//

static Json sizesJson(const runtime::AxisSizes &sizes) {
  Json json = Json::object();
  for (const auto &[axis, size] : sizes)
    json[axis] = size;
  return json;
}

static Json maskJson(const MaskMap &map) {
  Json at = Json::object();
  for (const auto &[axis, index] : map.at)
    at[axis] = index;
  return {{"query_axis", map.queryAxis},
          {"key_axis", map.keyAxis},
          {"queries", map.queries},
          {"keys", map.keys},
          {"query_tile", map.queryTile},
          {"key_tile", map.keyTile},
          {"at", at},
          {"seen_pairs", map.seenPairs},
          {"seen", map.seen},
          {"visited", map.visited},
          {"tiles", {{"empty", map.empty()}, {"partial", map.partial()}, {"full", map.full()}}},
          {"kernel",
           {{"skipped", MaskMap::count(map.visited, '.')},
            {"masked", MaskMap::count(map.visited, 'm')},
            {"unmasked", MaskMap::count(map.visited, 'f')},
            {"lost", map.lost},
            {"wrong", map.wrong},
            {"needless", map.needless},
            {"masked_needless", map.maskedNeedless}}},
          {"problem", map.problem}};
}

static Json candidateJson(const tile::Candidate &candidate) {
  return {{"name", candidate.str()},
          {"query_tile", candidate.queryTile},
          {"key_tile", candidate.keyTile},
          {"warps", candidate.warps},
          {"stages", candidate.stages},
          {"query", candidate.query},
          {"shared_bytes", candidate.sharedBytes},
          {"registers", candidate.registers},
          {"work_items_per_sm", candidate.workItemsPerSm},
          {"cost", candidate.cost},
          {"kind", candidate.kind.empty() ? "fold" : candidate.kind},
          {"chunk", candidate.chunk},
          {"values", candidate.values},
          {"rejected", candidate.rejected}};
}

static Json timelineJson(const Timeline &timeline) {
  Json items = Json::array();
  for (const TimelineItem &item : timeline.items)
    items.push_back({{"unit", item.unit},
                     {"phase", item.phase},
                     {"label", item.label},
                     {"start", item.start},
                     {"cycles", item.cycles}});
  return {{"launch", timeline.launch},
          {"units", timeline.units},
          {"phases", timeline.phases},
          {"cycles", timeline.cycles},
          {"items", items}};
}

static Json kernelJson(const Resources &kernel) {
  Json json = {{"name", kernel.kernel},
               {"grid", kernel.grid},
               {"threads", kernel.threads},
               {"shared_bytes", kernel.sharedBytes}};
  if (kernel.assembled) {
    json["registers"] = kernel.assembled->registers;
    json["spill_stores"] = kernel.assembled->spillStores;
    json["spill_loads"] = kernel.assembled->spillLoads;
    json["stack_bytes"] = kernel.assembled->stackBytes;
    json["static_shared_bytes"] = kernel.assembled->staticShared;
    json["work_items_per_sm"] = kernel.resident;
    json["occupancy"] = kernel.occupancy;
    json["limited_by"] = kernel.limit;
  }
  return json;
}

static Json costJson(const KernelCost &kernel) {
  Json lines = Json::array(), buffers = Json::array();
  for (const LineCost &line : kernel.lines)
    lines.push_back({{"line", line.line},
                     {"text", line.text},
                     {"executed", line.executed},
                     {"passes", line.wavefronts},
                     {"conflicts", line.wavefronts - line.idealWavefronts},
                     {"worst", line.worstDegree},
                     {"sectors", line.sectors}});
  for (const BufferCost &buffer : kernel.buffers)
    buffers.push_back({{"name", buffer.name},
                       {"load_bytes", buffer.loadBytes},
                       {"store_bytes", buffer.storeBytes},
                       {"load_sectors", buffer.loadSectors},
                       {"store_sectors", buffer.storeSectors},
                       {"distinct_sectors", buffer.uniqueSectors}});
  return {{"kernel", kernel.kernel},
          {"work_items", kernel.workItems},
          {"warp_instructions", kernel.warpInstructions},
          {"tensor_multiply_adds", kernel.tensorOps},
          {"passes", kernel.wavefronts},
          {"conflicts", kernel.wavefronts - kernel.idealWavefronts},
          {"sectors", kernel.sectors},
          {"distinct_sectors", kernel.uniqueSectors},
          {"lines", lines},
          {"buffers", buffers}};
}

static Json toleranceJson(const std::string &name, const OutputTolerance &tolerance) {
  Json terms = Json::array();
  for (const ToleranceTerm &term : tolerance.terms)
    terms.push_back({{"what", term.what}, {"value", term.value}});
  return {{"output", name},           {"statistic", tolerance.isStatistic}, {"relative2", tolerance.relative2},
          {"limit", tolerance.limit}, {"absolute", tolerance.absolute},     {"relative", tolerance.relative},
          {"terms", terms},           {"text", tolerance.format()}};
}

static Json entryJson(const Explanation::Entry &entry) {
  Json workspaces = Json::array(), launches = Json::array();
  for (const auto &[name, bytes] : entry.workspaces)
    workspaces.push_back({{"name", name}, {"bytes", bytes}});
  for (const Explanation::PlanLaunchText &launch : entry.launches)
    launches.push_back({{"kernel", launch.kernel},
                        {"grid", launch.grid},
                        {"block", launch.block},
                        {"shared_bytes", launch.sharedBytes},
                        {"args", launch.args}});
  return {{"guard", entry.guard},
          {"prefer", entry.prefer},
          {"reason", entry.reason},
          {"workspaces", workspaces},
          {"launches", launches}};
}

template <typename List, typename Function> static Json all(const List &list, Function function) {
  Json json = Json::array();
  for (const auto &each : list)
    json.push_back(function(each));
  return json;
}

static std::string dump(const Explanation &from, int indent) {
  Json json;
  json["fovea_explain"] = 1;
  json["variant"] = {{"name", from.name}, {"target", from.target},  {"type", from.type},
                     {"file", from.file}, {"set", Json(from.sets)}, {"spec", from.spec}};
  json["levels"] = {{"attn", from.attn}, {"tile", from.tile}, {"schedule", from.schedule}};
  Json workspaces = Json::array(), launches = Json::array();
  for (const Explanation::Program &program : from.programs) {
    for (const Explanation::Workspace &each : program.workspaces)
      workspaces.push_back({{"program", program.name}, {"name", each.name}, {"dims", each.dims}, {"type", each.type}});
    for (const Explanation::Launch &each : program.launches)
      launches.push_back(
          {{"program", program.name},
           {"name", each.name},
           {"axes", each.axes},
           {"folds", all(each.folds, [](const auto &fold) -> Json {
              return {{"queries", fold.queries}, {"keys", fold.keys}, {"accumulators", fold.accumulators}};
            })}});
  }
  json["algorithm"] = {{"workspaces", workspaces},
                       {"launches", launches},
                       {"states", all(from.states,
                                      [](const auto &state) -> Json {
                                        return {{"tokens", state.tokens},
                                                {"keys", state.keys},
                                                {"values", state.values},
                                                {"decay", state.decay},
                                                {"range", state.range},
                                                {"may_anchor_in_middle", state.mayAnchorInMiddle},
                                                {"inverse", state.inverse.empty() ? Json() : Json(state.inverse)}};
                                      })},
                       {"walks", all(from.walks, [](const auto &walk) -> Json {
                          return {{"keys", walk.keys}, {"ranges", walk.ranges}};
                        })}};
  json["masks"] = all(from.masks, maskJson);
  json["schedule"] = {
      {"chosen", from.candidates.empty() ? Json() : candidateJson(from.chosen)},
      {"asked_for", from.overridden},
      {"candidates", all(from.candidates, candidateJson)},
      {"alternatives", all(from.alternatives,
                           [](const auto &each) -> Json {
                             return {{"name", each.name}, {"chosen", each.chosen}, {"left_out", each.leftOut}};
                           })},
      {"recurrences", all(from.recurrents, [](const auto &each) -> Json {
         return {{"kind", each.kind},
                 {"chosen", each.chosen},
                 {"when", each.when},
                 {"reason", each.reason},
                 {"problem", each.problem},
                 {"workspace", each.bytes},
                 {"workspace_bytes", each.bytesHere < 0 ? Json() : Json(each.bytesHere)}};
       })}};
  json["timelines"] = all(from.timelines, timelineJson);
  const Work &work = from.work;
  const Target &facts = *from.facts;
  json["work"] = {{"sizes", sizesJson(from.sizes)},
                  {"assumed", from.assumed},
                  {"scalars_taken_as_0", work.assumedScalars},
                  {"pairs", work.pairs},
                  {"all_pairs", work.allPairs},
                  {"flops", work.flops},
                  {"exponentials", work.exponentials},
                  {"bytes", work.bytes},
                  {"key_bytes", work.keyBytes},
                  {"products_ms", work.computeMs},
                  {"exponentials_ms", work.exponentialMs},
                  {"memory_ms", work.memoryMs},
                  {"model_ms", from.modelMs},
                  {"bound", work.bound()}};
  json["target"] = {{"name", facts.name},
                    {"multiprocessors", facts.typicalSms},
                    {"clock_ghz", facts.clockGhz},
                    {"bandwidth_gbs", facts.bandwidthGBs},
                    {"multiply_adds_per_cycle", facts.halfProductsPerSmPerCycle},
                    {"exponentials_per_cycle", facts.exponentialsPerSmPerCycle},
                    {"shared_bytes_per_block", facts.sharedPerBlock},
                    {"max_registers", facts.maxRegistersPerThread}};
  json["kernels"] = all(from.kernels, kernelJson);
  json["assembler_problem"] = from.assemblerProblem;
  json["measured"] = {{"sizes", sizesJson(from.measured.sizes)},
                      {"problem", from.measured.problem},
                      {"kernels", all(from.measured.kernels, costJson)}};
  json["entries"] = all(from.entries, entryJson);
  json["tolerances"] = all(from.tolerances, [](const auto &each) { return toleranceJson(each.first, each.second); });
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string toJson(const Explanation &explanation) { return dump(explanation, 1) + "\n"; }

//===--- page ---===//

std::string toHtml(const Explanation &explanation) {
  std::string data;
  // Inside a script element no '<' may begin a tag or a comment; in JSON all of them stand in strings.
  for (char c : dump(explanation, -1))
    data += c == '<' ? std::string("\\u003c") : std::string(1, c);
  std::string name;
  for (char c : explanation.name)
    name += c == '<' || c == '&' ? '_' : c;
  std::string page = kExplainPage;
  auto put = [&](const std::string &mark, const std::string &value) {
    size_t at = page.find(mark);
    if (at != std::string::npos)
      page.replace(at, mark.size(), value);
  };
  put("@TITLE@", name);
  put("@DATA@", data);
  return page;
}

} // namespace fovea::driver
