// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea-emu: runs one kernel of a PTX file on the host, with checks, and prints what it found and counted.
#include "runtime/abi/Files.h"
#include "runtime/emulator/Emulator.h"
#include "runtime/host/Npy.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace {

using namespace fovea;
using emulator::AsyncPolicy;
using runtime::StorageType;

constexpr size_t maxFileBytes = size_t(4) << 30;

const char *const argumentHelp =
    "Arguments, one --arg per kernel parameter, in order:\n"
    "  u32:7  s64:-1  f32:0.125     a number: u8 u16 u32 u64 s8 s16 s32 s64 f32 f64\n"
    "  in:FILE[:TYPE]               address of a read-only buffer: a .npy file (rounded to TYPE bf16 f16 f32 i32), "
    "else raw bytes\n"
    "  out:FILE.npy:TYPE:AxBxC      address of a buffer nobody wrote yet, saved after the run (bf16 is saved as f32)\n"
    "  out:FILE:BYTES               the same, saved as raw bytes\n"
    "  buf:BYTES                    address of a zeroed buffer\n"
    "  sparse:BYTES                 address of a huge zeroed range of which only touched pages exist\n"
    "\n"
    "Example:\n"
    "  fovea-emu add.ptx --kernel add --grid 4 --block 128 --arg in:a.npy --arg out:o.npy:f32:512 --arg u32:512 "
    "--check all\n"
    "\n"
    "The exit status is 0 if the kernel ran to its end without a finding, 1 after findings, 2 on a wrong call.";

struct Failure {
  std::string message;
};

[[noreturn]] void fail(std::string message) { throw Failure{std::move(message)}; }

template <typename T> T take(Result<T> r) {
  if (!r)
    fail(r.error().message);
  return std::move(*r);
}
void take(const Status &s) {
  if (!s)
    fail(s.error().message);
}

std::vector<std::string> splitText(const std::string &text, char at) {
  std::vector<std::string> out(1);
  for (char c : text)
    if (c == at)
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

template <typename T> T number(const std::string &text, const std::string &where) {
  T value{};
  const char *begin = text.data(), *end = begin + text.size();
  std::from_chars_result r;
  if constexpr (std::is_integral_v<T>)
    r = text.rfind("0x", 0) == 0 ? std::from_chars(begin + 2, end, value, 16) : std::from_chars(begin, end, value);
  else
    r = std::from_chars(begin, end, value);
  if (r.ec != std::errc() || r.ptr != end)
    fail(where + ": '" + text + "' is not a number of this type");
  return value;
}

emulator::Dim3 dimensions(const std::string &text, const std::string &where) {
  const auto parts = splitText(text, ',');
  if (parts.size() > 3)
    fail(where + ": at most three dimensions");
  emulator::Dim3 d;
  uint32_t *out[] = {&d.x, &d.y, &d.z};
  for (size_t n = 0; n < parts.size(); ++n)
    *out[n] = number<uint32_t>(parts[n], where);
  return d;
}

bool isNpy(const std::string &path) { return path.size() > 4 && path.substr(path.size() - 4) == ".npy"; }

StorageType storage(const std::string &name, const std::string &where) {
  if (name == "bf16")
    return StorageType::BF16;
  if (name == "f16")
    return StorageType::F16;
  if (name == "f32")
    return StorageType::F32;
  if (name == "i32")
    return StorageType::I32;
  fail(where + ": unknown type '" + name + "' (bf16, f16, f32 or i32)");
}

struct Output {
  uint64_t address;
  std::string path;
  bool npy;
  runtime::Array array;
  uint64_t bytes;
};

struct Run {
  emulator::Memory memory;
  std::string params;
  std::vector<Output> outputs;

  template <typename T> void append(T value, const emulator::ParamInfo &p) {
    if (sizeof value != p.size)
      fail("parameter '" + p.name + "' has " + std::to_string(p.size) + " bytes, the argument " +
           std::to_string(sizeof value));
    std::memcpy(params.data() + p.offset, &value, sizeof value);
  }

  void argument(const std::string &text, const emulator::ParamInfo &p) {
    const std::string where = "--arg " + text;
    const auto parts = splitText(text, ':');
    if (parts.size() < 2)
      fail(where + ": expected KIND:VALUE");
    const std::string &kind = parts[0];
    emulator::BufferOptions options;
    options.name = p.name;
    if (kind == "u8")
      return append(uint8_t(number<uint8_t>(parts[1], where)), p);
    if (kind == "u16")
      return append(number<uint16_t>(parts[1], where), p);
    if (kind == "u32")
      return append(number<uint32_t>(parts[1], where), p);
    if (kind == "u64")
      return append(number<uint64_t>(parts[1], where), p);
    if (kind == "s8")
      return append(number<int8_t>(parts[1], where), p);
    if (kind == "s16")
      return append(number<int16_t>(parts[1], where), p);
    if (kind == "s32")
      return append(number<int32_t>(parts[1], where), p);
    if (kind == "s64")
      return append(number<int64_t>(parts[1], where), p);
    if (kind == "f32")
      return append(number<float>(parts[1], where), p);
    if (kind == "f64")
      return append(number<double>(parts[1], where), p);
    if (kind == "buf")
      return append(take(memory.allocate(number<uint64_t>(parts[1], where), options)), p);
    if (kind == "sparse")
      return append(take(memory.addSparse(number<uint64_t>(parts[1], where), options)), p);
    if (kind == "in" && parts.size() <= 3) {
      options.readOnly = true;
      uint64_t address = 0;
      if (isNpy(parts[1])) {
        std::optional<StorageType> type;
        if (parts.size() == 3)
          type = storage(parts[2], where);
        const runtime::Array array = take(runtime::readNpy(parts[1], type));
        address = take(memory.allocate(array.bytes().size(), options));
        take(memory.write(address, array.bytes().data(), array.bytes().size()));
      } else {
        if (parts.size() == 3)
          fail(where + ": raw bytes have no type");
        const std::string bytes = take(runtime::readFile(parts[1], maxFileBytes));
        address = take(memory.allocate(bytes.size(), options));
        take(memory.write(address, bytes.data(), bytes.size()));
      }
      return append(address, p);
    }
    if (kind == "out") {
      options.initialised = false;
      Output out;
      out.path = parts[1];
      out.npy = isNpy(out.path);
      if (parts.size() != (out.npy ? 4u : 3u))
        fail(where + ": expected out:FILE.npy:TYPE:SHAPE or out:FILE:BYTES");
      if (out.npy) {
        std::vector<int64_t> shape;
        for (const std::string &size : splitText(parts[3], 'x'))
          shape.push_back(number<int64_t>(size, where));
        out.array = take(runtime::Array::create(storage(parts[2], where), shape));
        out.bytes = out.array.bytes().size();
      } else {
        out.bytes = number<uint64_t>(parts[2], where);
      }
      out.address = take(memory.allocate(out.bytes, options));
      append(out.address, p);
      outputs.push_back(std::move(out));
      return;
    }
    fail(where + ": unknown kind '" + kind + "'; see --help");
  }
};

int run(int argc, char **argv) {
  std::string file, kernelName, grid = "1", block = "32", check = "all", policy = "lazy", counters, accumulate = "fma";
  uint32_t shared = 0, repeat = 1, maxFindings = 20, threads = 0;
  uint64_t seed = 1, budget = 0;
  bool list = false, perturb = false, lenient = false;
  std::vector<std::string> arguments;
  CLI::App app{
      "Runs a kernel of a PTX file in the emulator and reports faults: accesses out of bounds, uninitialised reads, "
      "races, barrier faults."};
  app.footer(argumentHelp);
  app.add_option("ptx", file, "PTX text")->required();
  app.add_option("--kernel", kernelName, "kernel; may be left out if there is one");
  app.add_option("--grid", grid, "CTAs: x[,y[,z]]");
  app.add_option("--block", block, "threads: x[,y[,z]]");
  app.add_option("--shared", shared, "dynamic shared memory, bytes");
  app.add_option("--arg", arguments, "a kernel parameter; see below")->expected(1, 1 << 20)->allow_extra_args(false);
  app.add_option("--check", check, "all, none, or a list of uninitialised,races,poison");
  app.add_option("--policy", policy, "when asynchronous copies land: eager, lazy or random")
      ->check(CLI::IsMember({"eager", "lazy", "random"}));
  app.add_option("--seed", seed, "of --policy random and --perturb");
  app.add_option("--counters", counters, "print counters: json")->check(CLI::IsMember({"json"}));
  app.add_option("--accumulate", accumulate, "tensor-core sums: fma or exact")->check(CLI::IsMember({"fma", "exact"}));
  app.add_option("--threads", threads, "host threads that run CTAs; 0: one per core");
  app.add_flag("--lenient", lenient, "races: any warp-synchronous instruction orders its warp's lanes");
  app.add_flag("--perturb", perturb, "move approximate results inside their error bounds");
  app.add_option("--budget", budget, "warp instructions after which a launch counts as hanging");
  app.add_option("--max-findings", maxFindings, "findings printed");
  app.add_option("--repeat", repeat, "launches; the time printed is the median")->check(CLI::Range(1, 1000));
  app.add_flag("--list", list, "print the kernels and their parameters");
  CLI11_PARSE(app, argc, argv);

  const emulator::Module module = take(emulator::parse(take(runtime::readFile(file, size_t(64) << 20))));
  if (list) {
    for (const auto &k : module.kernels()) {
      std::printf("%s  shared %u%s, local %u, registers %u, instructions %u\n", k.name.c_str(), k.staticShared,
                  k.dynamicShared ? " + dynamic" : "", k.localBytes, k.registers, k.instructions);
      for (const auto &p : k.params)
        std::printf("  %4u  .%s  %u bytes  %s\n", p.offset, p.type.c_str(), p.size, p.name.c_str());
    }
    return 0;
  }
  if (kernelName.empty()) {
    if (module.kernels().size() != 1)
      fail("the module has " + std::to_string(module.kernels().size()) +
           " kernels; name one with --kernel (see --list)");
    kernelName = module.kernels()[0].name;
  }
  const emulator::KernelInfo *kernel = module.find(kernelName);
  if (!kernel)
    fail("no kernel '" + kernelName + "' in " + file + " (see --list)");
  if (arguments.size() != kernel->params.size())
    fail("kernel '" + kernelName + "' has " + std::to_string(kernel->params.size()) + " parameters; " +
         std::to_string(arguments.size()) + " --arg given");

  emulator::Options options;
  if (check == "none") {
    options.checks = emulator::Checks::none();
  } else if (check != "all") {
    options.checks = emulator::Checks::none();
    for (const std::string &name : splitText(check, ','))
      if (name == "uninitialised")
        options.checks.uninitialised = true;
      else if (name == "races")
        options.checks.races = true;
      else if (name == "poison")
        options.checks.poison = true;
      else
        fail("--check: unknown check '" + name + "' (uninitialised, races, poison)");
  }
  options.policy = policy == "eager" ? AsyncPolicy::Eager : policy == "lazy" ? AsyncPolicy::Lazy : AsyncPolicy::Random;
  options.seed = seed;
  options.counters = !counters.empty();
  options.accumulate = accumulate == "exact" ? emulator::Accumulate::Exact : emulator::Accumulate::Fma;
  options.perturb = perturb;
  options.threads = threads;
  options.lenient = lenient;
  options.maxFindings = maxFindings;
  if (budget)
    options.instructionBudget = budget;

  Run state;
  state.params.resize(kernel->paramBytes);
  for (size_t n = 0; n < arguments.size(); ++n)
    state.argument(arguments[n], kernel->params[n]);

  std::vector<double> times;
  emulator::LaunchReport report;
  for (uint32_t n = 0; n < repeat; ++n) {
    report = take(emulator::launch(module, kernelName, dimensions(grid, "--grid"), dimensions(block, "--block"), shared,
                                   state.params, state.memory, options));
    times.push_back(report.seconds);
    if (!report.clean())
      break;
  }
  std::sort(times.begin(), times.end());
  report.seconds = times[times.size() / 2];
  for (const auto &f : report.findings)
    std::fprintf(stderr, "%s\n", f.format().c_str());
  if (report.findingCount > 0)
    std::fprintf(stderr, "%llu findings\n", static_cast<unsigned long long>(report.findingCount));
  for (Output &out : state.outputs) {
    if (out.npy) {
      take(state.memory.read(out.address, out.array.bytes().data(), out.bytes));
      take(runtime::writeNpy(out.path, out.array));
    } else {
      std::string bytes(out.bytes, '\0');
      take(state.memory.read(out.address, bytes.data(), out.bytes));
      take(runtime::writeFileAtomically(out.path, bytes));
    }
  }
  if (!counters.empty())
    std::printf("%s\n", report.toJson().c_str());
  else
    std::printf("%s: %s, %.3f ms, %llu warp instructions, %llu lane instructions\n", kernelName.c_str(),
                report.clean()     ? "clean"
                : report.completed ? "findings"
                                   : "stopped",
                report.seconds * 1e3, static_cast<unsigned long long>(report.counters.warpInstructions),
                static_cast<unsigned long long>(report.counters.laneInstructions));
  return report.clean() ? 0 : 1;
}

} // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const Failure &f) {
    std::fprintf(stderr, "fovea-emu: %s\n", f.message.c_str());
    return 2;
  }
}
