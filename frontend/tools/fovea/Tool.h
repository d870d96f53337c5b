// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the subcommands of `fovea` share: their registration, options that several have, messages, progress.
#pragma once

#include "frontend/driver/Compiler.h"
#include "runtime/host/Device.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fovea::tool {

/// Each adds its subcommand, whose callback leaves the exit status in `status`.
void addBench(CLI::App &app, int &status);
void addCache(CLI::App &app, int &status);
void addCompile(CLI::App &app, int &status);
void addRun(CLI::App &app, int &status);
void addCheck(CLI::App &app, int &status);
void addDoctor(CLI::App &app, int &status);
void addExplain(CLI::App &app, int &status);
void addFmt(CLI::App &app, int &status);
void addList(CLI::App &app, int &status);

/// "error: ..." on standard error; returns 1.
int fail(const std::string &message);
int fail(const Error &error);
/// "warning: ..." on standard error.
void warn(const std::string &message);

/// True where standard error (output) is a terminal that takes colours.
bool isTerminal(bool standardError = true);

/// Prints all diagnostics of a compilation; true if there is an error.
bool report(const syntax::DiagnosticEngine &diagnostics);

/// "auto" (a GPU where there is one), "gpu" or "emulator". `note` gets the reason why there is no GPU; one that is
/// there and cannot be used is warned about.
Result<std::unique_ptr<runtime::Device>> openDevice(const std::string &device, std::string &note);

/// --target, --type, --storage, --set and --schedule.
struct CommonOptions {
  std::string target = "sm_80", type = "bf16", precision = "3xtf32", schedule, storage;
  bool batchInvariant = false;
  std::vector<std::string> sets;
  void add(CLI::App &app, bool withSchedule = true);
  /// Says what is wrong with --set, --schedule, --type or --target.
  Result<driver::CompileOptions> read() const;
};

/// One line on a terminal that is written over; nothing in a pipe.
class Progress {
public:
  ~Progress() { clear(); }
  void show(const std::string &text);
  void clear();

private:
  size_t length_ = 0;
};

/// Rows with aligned columns, two blanks between them.
class Table {
public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text(const std::string &indent = "") const;

private:
  std::vector<std::vector<std::string>> rows_;
};

/// `count` with thousands apart by a blank; bytes as B, KiB, MiB.
std::string bytesText(double bytes);
std::string number(double value, int digits = 3);

} // namespace fovea::tool
