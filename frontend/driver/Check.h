// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each level of a compilation run on the same inputs and compared with the one above, so that a wrong number is pinned
// to the step that made it.
#pragma once

#include "frontend/driver/Compiler.h"
#include "frontend/driver/Inputs.h"
#include "frontend/driver/Tolerance.h"
#include "runtime/host/Device.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fovea::driver {

/// How far down a check goes; each level includes those before it.
///   attn      the canonical attention against the one as written, both by the reference
///   tile      level 2 in doubles tightly, then with roundings by the tolerance
///   schedule  level 3 gives exactly what level 2 gives, in doubles and with roundings
///   ptx       the emulator, with all its checks, against level 2 with roundings and against the reference
///   gpu       the CUDA device, likewise
enum class Level { Attn, Tile, Schedule, Ptx, Gpu };
inline constexpr Level kAllLevels[] = {Level::Attn, Level::Tile, Level::Schedule, Level::Ptx, Level::Gpu};
const char *levelName(Level level);
std::optional<Level> parseLevel(std::string_view name);

struct CheckCase {
  Sets sets;                // everything that specialises the kernel
  runtime::AxisSizes sizes; // of all axes but factors and walks
  Pattern pattern = Pattern::Normal;
  bool padded = false;             // ptx and gpu: NaN beyond the extents, in buffers that are larger
  std::vector<std::string> absent; // optional inputs that are not passed
  std::string name() const;        // "B=1 T=64 .. normal"
};

struct CheckOptions {
  CompileOptions compile; // its sets fix sizes in all cases
  Level level = Level::Ptx;
  uint64_t seed = 0;
  std::string dumpFolder; // where failing cases are written; empty: nowhere
  /// For tests: changes the levels of a compilation before they are compared.
  std::function<void(Compilation &)> tamper;
};

/// Every level is checked for each entry of the plan whose guard holds for a case, preferred there or not.
struct CheckReport {
  bool passed = false;
  bool refused = false; // the target cannot hold this case, and the compiler said so: neither passed nor failed
  std::string level;    // the one that failed, with the name of its entry
  std::vector<std::string> entries; // that were checked, down to the last level; the main program's name is "main"
  std::string message;              // what is wrong there; for people
  double seconds = 0;
  double difference = 0; // of a law: relative, in the 2-norm
};

class Checker {
public:
  Checker(Compiler &compiler, SourceText source, CheckOptions options);
  ~Checker();

  /// The cases of an attention whose sizes the caller left open: several head dims, T = 1, lengths that fill no tile,
  /// T below, equal to and above S, several batches, heads and groups, every set of optional inputs, then inputs that
  /// provoke faults. Nothing and an error in `diagnostics` where the specification has one.
  std::vector<CheckCase> makeCases(syntax::DiagnosticEngine &diagnostics, std::string &attention);

  CheckReport run(const CheckCase &each);

  /// Of a law: its two sides by the reference, on inputs of these sizes. They agree where the difference, in the
  /// 2-norm, is at most 1e-9 of them.
  CheckReport runLaw(const CheckCase &each);

private:
  struct Levels;
  CheckReport check(const CheckCase &each, Levels &levels);
  bool checkEntry(const CheckCase &each, Levels &levels, Compilation &entry, size_t index, CheckReport &report);
  void dump(const CheckCase &each, Levels &levels, const CheckReport &report);

  Compiler &compiler_;
  SourceText source_;
  CheckOptions options_;
  Sets compiledSets_;
  std::unique_ptr<Compilation> compilation_;
  std::unique_ptr<runtime::Device> emulator_, gpu_;
};

/// What of a run is chosen, and what is reported beside the outputs.
struct PlanRun {
  int repeats = 1;
  std::optional<size_t> entry;      // forced; afterwards the one that ran
  std::vector<double> milliseconds; // of each repeat
  runtime::LoadOptions load;        // by default no cache and no self-test
  runtime::LoadReport loaded;       // what became of them
};

/// Runs a plan: all inputs given but optional ones, all outputs back.
Result<Arrays> runPlan(const runtime::Plan &plan, runtime::Device &device, const Arrays &inputs,
                       const runtime::AxisSizes &sizes, PlanRun *run = nullptr);

} // namespace fovea::driver
