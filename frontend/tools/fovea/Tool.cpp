// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Messages, tables and options of all subcommands.
#include "frontend/tools/fovea/Tool.h"

#include "runtime/cuda/CudaDevice.h"
#include "runtime/emulator_device/EmulatorDevice.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

namespace fovea::tool {

int fail(const std::string &message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  return 1;
}

int fail(const Error &error) { return fail(error.message); }

void warn(const std::string &message) { std::fprintf(stderr, "warning: %s\n", message.c_str()); }

bool isTerminal(bool standardError) {
  const char *term = std::getenv("TERM");
  return ::isatty(standardError ? 2 : 1) && term && std::string_view(term) != "dumb";
}

bool report(const syntax::DiagnosticEngine &diagnostics) {
  bool colour = isTerminal() && !std::getenv("NO_COLOR");
  std::fputs(diagnostics.render(colour).c_str(), stderr);
  return diagnostics.hasErrors();
}

void CommonOptions::add(CLI::App &app, bool withSchedule) {
  app.add_option("--target", target, "architecture: " + Target::names())->capture_default_str();
  app.add_option("--type", type, "element type of arrays that state none: bf16, f16 or f32")->capture_default_str();
  app.add_flag("--batch-invariant", batchInvariant,
               "the bits of a row's result depend neither on the number of batches nor on the device");
  app.add_option("--precision", precision, "of products of f32: tf32, 3xtf32 (split in two, three products) or fma")
      ->capture_default_str();
  app.add_option("--storage", storage,
                 "where arrays lie: the name of a storage of the file; without it they are dense");
  app.add_option("--set", sets, "sizes of axes, consts and options: NAME=VALUE,..")
      ->allow_extra_args(false)
      ->trigger_on_parse(false);
  if (withSchedule)
    app.add_option("--schedule", schedule,
                   "schedule instead of the best one: query_tile=64,key_tile=64,warps=4,stages=2,query=registers");
}

Result<driver::CompileOptions> CommonOptions::read() const {
  driver::CompileOptions options;
  options.target = target;
  options.type = type;
  for (const std::string &part : sets)
    if (Status status = driver::parseSets(part, options.sets); !status)
      return status.error();
  if (!Target::find(target))
    return Error{ErrorCode::InvalidArgument, "unknown target '" + target + "'; known: " + Target::names()};
  options.precision = precision;
  options.storage = storage;
  options.batchInvariant = batchInvariant;
  if (type != "bf16" && type != "f16" && type != "f32")
    return Error{ErrorCode::InvalidArgument, "unknown type '" + type + "'; known: bf16, f16, f32"};
  if (precision != "tf32" && precision != "3xtf32" && precision != "fma")
    return Error{ErrorCode::InvalidArgument, "unknown precision '" + precision + "'; known: tf32, 3xtf32, fma"};
  if (!schedule.empty()) {
    Result<driver::ScheduleOverride> parsed = driver::parseSchedule(schedule);
    if (!parsed)
      return parsed.takeError();
    options.schedule = *parsed;
  }
  return options;
}

void Progress::show(const std::string &text) {
  if (!isTerminal())
    return;
  clear();
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  length_ = text.size();
}

void Progress::clear() {
  if (length_)
    std::fprintf(stderr, "\r%*s\r", static_cast<int>(length_), "");
  length_ = 0;
}

std::string Table::text(const std::string &indent) const {
  std::vector<size_t> widths;
  for (const auto &row : rows_)
    for (size_t i = 0; i < row.size(); ++i) {
      if (i >= widths.size())
        widths.push_back(0);
      widths[i] = std::max(widths[i], row[i].size());
    }
  std::string out;
  for (const auto &row : rows_) {
    std::string line = indent;
    for (size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(i + 1 < row.size() ? widths[i] - row[i].size() + 2 : 0, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string number(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
  return buffer;
}

std::string bytesText(double bytes) {
  const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) {
    bytes /= 1024;
    ++unit;
  }
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return buffer;
}

Result<std::unique_ptr<runtime::Device>> openDevice(const std::string &device, std::string &note) {
  if (device != "emulator") {
    Result<std::unique_ptr<runtime::Device>> gpu = runtime::openCudaDevice();
    if (gpu || device == "gpu")
      return gpu;
    if (gpu.error().code != ErrorCode::NoDevice)
      std::fprintf(stderr, "warning: the GPU cannot be used: %s\n", gpu.error().message.c_str());
    note = gpu.error().message;
  }
  Result<std::unique_ptr<runtime::EmulatorDevice>> emulator = runtime::EmulatorDevice::create();
  if (!emulator)
    return emulator.takeError();
  return std::unique_ptr<runtime::Device>(std::move(*emulator));
}

} // namespace fovea::tool
