// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One figure a run, for bench/measures: fovea-measure compile|emulate|counters SPEC NAME=VALUE... [--target T]
// [--schedule S]
//   compile   ms from spec text to PTX in a process that has compiled before: of the program that serves every call,
//             and each stage; and of all programs of the plan
//   emulate   ms of the launches on the emulator: --checks all|none, --accumulate fma|exact, --threads N
//   counters  instructions, bank conflicts, sectors, tensor-core operations of one run; registers and spills by ptxas
// Prints one JSON object.
#include "frontend/driver/Compiler.h"
#include "frontend/driver/Inputs.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Execute.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <ctime>
#include <string>

using namespace fovea;
using nlohmann::json;

namespace {

int fail(const std::string &message) {
  std::fprintf(stderr, "fovea-measure: %s\n", message.c_str());
  return 1;
}

struct Run {
  runtime::ExecuteResult result;
  double cpuSeconds = 0; // of all threads
  std::vector<runtime::EmulatorDevice::Report> reports;
};

struct Emulate {
  bool checks = true, counters = false, exact = false;
  uint32_t threads = 1;
};

Result<Run> emulate(driver::Compilation &compilation, const driver::Sets &sets, const Emulate &how) {
  runtime::AxisSizes sizes;
  for (const runtime::PlanAxis &axis : compilation.interface.axes)
    if (axis.staticSize) // fixed by the file
      sizes[axis.name] = *axis.staticSize;
  for (auto &[name, value] : sets)
    sizes[name] = std::atoll(value.c_str());
  auto inputs = driver::drawInputs(*compilation.attention, compilation.interface, sizes, driver::Pattern::Normal, 1);
  if (!inputs)
    return inputs.takeError();
  runtime::EmulatorDeviceOptions options;
  options.emulator.counters = how.counters;
  options.emulator.threads = how.threads;
  if (how.exact)
    options.emulator.accumulate = emulator::Accumulate::Exact;
  if (!how.checks)
    options.emulator.checks = emulator::Checks::none();
  auto device = runtime::EmulatorDevice::create(options);
  if (!device)
    return device.takeError();
  runtime::ExecuteRequest request;
  request.axes = sizes;
  for (auto &[name, array] : *inputs)
    request.inputs[name] = &array;
  const std::clock_t begin = std::clock();
  auto result = runtime::execute(*compilation.plan, **device, request);
  const double cpuSeconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
  if (!result)
    return result.takeError();
  return Run{std::move(*result), cpuSeconds, (*device)->reports()};
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3)
    return fail(
        "usage: fovea-measure compile|emulate|counters SPEC NAME=VALUE... [--target T] [--type T] [--precision P] "
        "[--schedule S] [--checks all|none] "
        "[--accumulate fma|exact] [--threads N]");
  std::string what = argv[1];
  driver::CompileOptions options;
  driver::Sets sets;
  Emulate how;
  for (int k = 3; k < argc; ++k) {
    std::string argument = argv[k];
    if (argument == "--target" && k + 1 < argc)
      options.target = argv[++k];
    else if (argument == "--type" && k + 1 < argc)
      options.type = argv[++k];
    else if (argument == "--precision" && k + 1 < argc)
      options.precision = argv[++k];
    else if (argument == "--schedule" && k + 1 < argc) {
      auto schedule = driver::parseSchedule(argv[++k]);
      if (!schedule)
        return fail(schedule.error().message);
      options.schedule = *schedule;
    } else if (argument == "--checks" && k + 1 < argc)
      how.checks = std::string(argv[++k]) == "all";
    else if (argument == "--accumulate" && k + 1 < argc)
      how.exact = std::string(argv[++k]) == "exact";
    else if (argument == "--threads" && k + 1 < argc)
      how.threads = uint32_t(std::atoi(argv[++k]));
    else if (auto status = driver::parseSets(argument, sets); !status)
      return fail(status.error().message);
  }
  options.sets = sets;
  auto source = driver::readSource(argv[2]);
  if (!source)
    return fail(source.error().message);
  driver::Compiler compiler;
  // The first compilation of a process initialises LLVM; one program does.
  options.alternatives = what != "compile";
  options.last = what == "counters" ? driver::Stage::Cubin : driver::Stage::Plan;
  if (what == "counters" && !codegen::findPtxas())
    options.last = driver::Stage::Plan;
  auto compilation = compiler.compile(*source, options);
  if (!compilation->ok())
    return fail("the specification does not compile; fovea compile says why");
  json out;
  if (what == "compile") {
    options.last = driver::Stage::Ptx;
    options.alternatives = true;
    out["ms_all_programs"] = compiler.compile(*source, options)->milliseconds();
    options.alternatives = false;
    compilation = compiler.compile(*source, options);
    out["ms"] = compilation->milliseconds();
    for (const driver::StageTime &time : compilation->times)
      out["stages"][time.name] = time.milliseconds;
  } else if (what == "emulate" || what == "counters") {
    if (what == "counters" && options.last == driver::Stage::Cubin) {
      for (const codegen::KernelResources &kernel : compilation->assembled->kernels)
        out["kernels"][kernel.kernel] = {{"registers", kernel.registers},
                                         {"spill_bytes", kernel.spillStores + kernel.spillLoads}};
      options.last = driver::Stage::Plan;
    }
    if (what == "counters") { // of the program that serves every call, not of what a small grid is better served by
      options.alternatives = false;
      compilation = compiler.compile(*source, options);
    }
    how.counters = what == "counters";
    auto run = emulate(*compilation, sets, how);
    if (!run)
      return fail(run.error().message);
    double seconds = 0, laneInstructions = 0;
    json launches = json::array();
    for (auto &report : run->reports) {
      seconds += report.report.seconds;
      const emulator::Counters &c = report.report.counters;
      laneInstructions += double(c.laneInstructions);
      uint64_t tensorInstructions = 0;
      for (auto &[opcode, count] : c.opcodes)
        if (opcode.rfind("mma.", 0) == 0)
          tensorInstructions += count;
      json buffers = json::object();
      for (const emulator::BufferCounters &buffer : c.buffers)
        buffers[buffer.name] = {{"load_sectors", buffer.loadSectors},
                                {"store_sectors", buffer.storeSectors},
                                {"sectors_unique", buffer.uniqueSectors}};
      launches.push_back({{"kernel", report.kernel},
                          {"buffers", buffers},
                          {"warp_instructions", c.warpInstructions},
                          {"tensor_instructions", tensorInstructions},
                          {"shared_wavefronts", c.sharedWavefronts},
                          {"shared_wavefronts_without_conflicts", c.sharedIdealWavefronts},
                          {"sectors_requested", c.globalSectorsRequested},
                          {"sectors_unique", c.globalSectorsUnique}});
    }
    out["ms"] = seconds * 1000;
    // Of the processor's time, with parsing and copying: other work on the machine does not show.
    out["lane_instructions_per_ns"] = laneInstructions / run->cpuSeconds * 1e-9;
    if (what == "counters")
      out["launches"] = launches;
    out["schedule"] = compilation->chosen.str();
  } else {
    return fail("'" + what + "' is no measurement");
  }
  std::printf("%s\n", out.dump().c_str());
  return 0;
}
