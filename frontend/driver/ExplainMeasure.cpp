// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a small run in the emulator counts, line by line.
#include "frontend/driver/Check.h"
#include "frontend/driver/Explain.h"
#include "frontend/driver/Packing.h"

#include "reference/attn/Reference.h"
#include "runtime/emulator_device/EmulatorDevice.h"

#include <cstdio>
#include <tuple>

namespace fovea::driver {

static constexpr size_t kLines = 24;

static std::vector<std::string_view> splitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

static std::string trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  std::string out;
  if (begin != std::string_view::npos)
    for (char c : text.substr(begin, end - begin + 1))
      out += c == '\t' ? ' ' : c;
  return out;
}

Measurement measure(Compilation &compilation) {
  Measurement result;
  const sema::Attention &attention = *compilation.attention;
  runtime::AxisSizes sizes = smallSizes(attention, 256, 256);
  result.sizes = sizes;
  Result<Arrays> inputs = drawInputs(attention, compilation.dense, sizes, Pattern::Normal, 0);
  std::optional<Sequences> sequences;
  if (inputs && compilation.layout) {
    sequences = Sequences::whole(attention, *compilation.layout, sizes);
    inputs = sequences->pack(compilation.interface, *inputs);
  }
  if (!inputs) {
    result.problem = inputs.error().message;
    return result;
  }
  runtime::EmulatorDeviceOptions options;
  options.emulator.checks = emulator::Checks::none();
  options.emulator.policy = emulator::AsyncPolicy::Eager;
  options.emulator.counters = true;
  Result<std::unique_ptr<runtime::EmulatorDevice>> device = runtime::EmulatorDevice::create(options);
  if (!device) {
    result.problem = device.error().message;
    return result;
  }
  // The program that serves every call, not one that such a small grid is better served by.
  PlanRun run;
  std::vector<Compilation *> programs = compilation.entries();
  run.entry = static_cast<size_t>(std::find(programs.begin(), programs.end(), &compilation) - programs.begin());
  // Of the axes of the plan, also those whose size follows from others.
  runtime::AxisSizes all = sizes;
  if (auto inferred = reference::inferSizes(compilation.attn(), {}, {sizes.begin(), sizes.end()})) {
    for (const auto &[axis, size] : *inferred)
      if (compilation.plan->findAxis(axis))
        all[axis] = size;
    if (sequences)
      for (const auto &[axis, size] : sequences->sizes())
        all[axis] = size;
  } else {
    llvm::consumeError(inferred.takeError());
  }
  Result<Arrays> outputs = runPlan(*compilation.plan, **device, *inputs, all, &run);
  if (!outputs) {
    result.problem = outputs.error().message;
    return result;
  }
  // The device numbers its allocations: tensors in their order, then workspaces.
  std::vector<std::string> names;
  for (const runtime::PlanTensor &tensor : compilation.plan->tensors)
    if (tensor.role == runtime::TensorRole::Output || inputs->count(tensor.name))
      names.push_back(tensor.name);
  size_t entry = static_cast<size_t>(run.entry.value_or(0));
  if (entry < compilation.plan->entries.size())
    for (const runtime::PlanWorkspace &workspace : compilation.plan->entries[entry].workspaces)
      names.push_back(workspace.name);
  auto nameOf = [&](const std::string &buffer) {
    size_t number = 0;
    if (std::sscanf(buffer.c_str(), "buffer %zu", &number) == 1 && number >= 1 && number <= names.size())
      return names[number - 1];
    return buffer;
  };
  std::vector<std::string_view> text = splitLines(compilation.ptx);
  for (const runtime::EmulatorDevice::Report &report : (*device)->reports()) {
    const emulator::Counters &counters = report.report.counters;
    KernelCost cost;
    cost.kernel = report.kernel;
    cost.workItems = uint64_t(report.shape.grid[0]) * report.shape.grid[1] * report.shape.grid[2];
    cost.warpInstructions = counters.warpInstructions;
    cost.tensorOps = counters.tensorOps;
    cost.wavefronts = counters.sharedWavefronts;
    cost.idealWavefronts = counters.sharedIdealWavefronts;
    cost.sectors = counters.globalSectorsRequested;
    cost.uniqueSectors = counters.globalSectorsUnique;
    for (const auto &[line, each] : counters.lines) {
      if (!each.wavefronts && !each.sectors)
        continue;
      LineCost row{line, {}, each.executed, each.wavefronts, each.idealWavefronts, each.worstDegree, each.sectors};
      if (line >= 1 && line <= text.size())
        row.text = trimmed(text[line - 1]);
      cost.lines.push_back(std::move(row));
    }
    auto key = [](const LineCost &line) {
      return std::tuple(line.wavefronts - line.idealWavefronts, line.sectors, line.wavefronts);
    };
    // Half of the lines for what shared memory does, half for global memory.
    std::vector<LineCost> lines = std::move(cost.lines);
    std::stable_sort(lines.begin(), lines.end(), [&](auto &a, auto &b) { return key(a) > key(b); });
    cost.lines.clear();
    size_t global = 0, shared = 0;
    for (LineCost &line : lines)
      if (line.sectors ? global++ < kLines / 2 : shared++ < kLines / 2)
        cost.lines.push_back(std::move(line));
    for (const emulator::BufferCounters &buffer : counters.buffers)
      cost.buffers.push_back({nameOf(buffer.name), buffer.loadBytes, buffer.storeBytes, buffer.loadSectors,
                              buffer.storeSectors, buffer.uniqueSectors});
    result.kernels.push_back(std::move(cost));
  }
  return result;
}

} // namespace fovea::driver
