// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The plan: what a compiled variant is for whoever runs it. An ordered list of guarded launches over named axes, the
// tensors that they take, and the modules that hold the kernels. Data only, the same for the compiler that writes it
// and the runtime that reads it; docs/plan.md documents the file, docs/plan.schema.json is its schema.
#pragma once

#include "runtime/abi/Expr.h"
#include "runtime/abi/Result.h"
#include "runtime/abi/StorageType.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::runtime {

/// Newest version of the file format. This library reads all versions up to it, and writes each plan in the oldest that
/// can say it (`planVersion`): version 2 added optional tensors, `present(..)`, `prefer` and derived axes; version 3
/// tensors of role carry; version 4 machine code for several architectures, modules without text, and self-tests;
/// version 5 promises.
inline constexpr int kPlanVersion = 5;

/// A named axis, a letter or `_` then letters, digits, `_`. Products (H = Hk * G) are no axes of a plan: a dimension is
/// a product of axes.
struct PlanAxis {
  std::string name;
  std::optional<int64_t> staticSize; // set: the kernels were compiled for this size alone
  std::string relation;              // for people, e.g. "T keys S"; may be empty
  /// Set: the size follows from those of other axes by this expression of axes alone, none of them derived, as that of
  /// blocks, `ceildiv(S, 64)`. It may be 0, and is never read off a tensor.
  std::optional<Expr> derived = std::nullopt;
};

/// One dimension of a tensor: the product of its factors, outermost first, under the name that `stride(q, H)` uses.
struct PlanDim {
  std::string display;              // unique within the tensor
  std::vector<std::string> factors; // names of axes, at least one
};

/// Carry: memory that a call reads and writes in place, so that the next call continues where it ended.
enum class TensorRole : uint8_t { Input, Param, Output, Carry };

/// Whether the launches write it, so that no two of its elements may lie at one place.
inline constexpr bool isWritten(TensorRole role) { return role == TensorRole::Output || role == TensorRole::Carry; }

/// Whether its contents matter before the call.
inline constexpr bool isRead(TensorRole role) { return role != TensorRole::Output; }

/// A tensor that the caller binds by name. Names may contain dots after the first character.
struct PlanTensor {
  std::string name;
  TensorRole role = TensorRole::Input;
  StorageType type = StorageType::F32;
  std::vector<PlanDim> dims; // outermost first; none: one element
  /// The caller may leave it out; guards ask `present(name)`. Not for outputs. A carry that is left out starts at zero
  /// and its end is not kept.
  bool optional = false;
};

enum class WorkspaceInit : uint8_t { None, Zero };

/// Device memory that lives from before the first launch of its entry to after the last; aligned to 256 bytes.
struct PlanWorkspace {
  std::string name;
  Expr bytes;
  WorkspaceInit init = WorkspaceInit::None;
};

/// One kernel parameter. Parameters are packed in order at their natural alignment: pointers and i64 in 8 bytes, i32
/// and f32 in 4.
struct PlanArg {
  enum class Kind : uint8_t { Pointer, I64, I32, F32 };
  Kind kind = Kind::I64;
  std::string name; // Pointer: a tensor, or a workspace of the same entry
  Expr expr;        // I64, I32
  float number = 0; // F32, finite or an infinity
  static PlanArg pointer(std::string name) { return {Kind::Pointer, std::move(name), {}, 0}; }
  static PlanArg i64(Expr expr) { return {Kind::I64, {}, std::move(expr), 0}; }
  static PlanArg i32(Expr expr) { return {Kind::I32, {}, std::move(expr), 0}; }
  static PlanArg f32(float number) { return {Kind::F32, {}, {}, number}; }
};

struct PlanLaunch {
  uint32_t module = 0; // index into Plan::modules
  std::string kernel;
  std::array<Expr, 3> grid = {Expr::constant(1), Expr::constant(1), Expr::constant(1)};
  std::array<uint32_t, 3> block = {1, 1, 1}; // at most 1024 threads together
  uint32_t sharedBytes = 0;                  // dynamic shared memory
  std::array<uint32_t, 3> cluster = {1, 1, 1};
  std::vector<PlanArg> args;
};

/// The first entry whose guard and preference are both not 0 runs; where there is none, the first whose guard is not 0.
struct PlanEntry {
  Expr guard = Expr::constant(1);  // the entry gives right results
  Expr prefer = Expr::constant(1); // it is worth while before those that follow
  std::string reason;              // a sentence: when and why this entry is chosen
  std::vector<PlanWorkspace> workspaces;
  std::vector<PlanLaunch> launches;
};

/// Machine code of one architecture, which runs on it and on later ones of the same generation (sm_80 on sm_86); with
/// suffix `a` on it alone.
struct PlanCubin {
  std::string arch;  // "sm_90"; of each module at most one for an architecture
  std::string bytes; // an ELF file
};

struct PlanModule {
  std::string name;              // also part of the name of its file when there are several
  std::string ptx;               // the text; may be empty where there is machine code
  std::vector<PlanCubin> cubins; // may be empty where there is text
};

/// An input of a self-test.
struct PlanTestInput {
  std::string tensor;
  /// All elements in row-major order. Empty: element i is the normal number i of the stream of the test's seed and the
  /// tensor's name (runtime/host/Random.h), rounded to the tensor's type.
  std::vector<double> values;
};

/// What a self-test expects.
struct PlanTestOutput {
  std::string tensor;         // an output, or a carry after the call
  std::vector<double> values; // all elements in row-major order; infinities, but no NaN
  /// Either the whole is right where |a - r|_2 <= relative2 |r|_2, or, where that is negative, each element where
  /// |a - r| <= absolute + relative |r|. At most 1.
  double relative2 = -1, absolute = 0, relative = 0;
};

/// A small call with its results, to find a miscompilation by the driver or the assembler. All entries whose guards
/// hold must give them. Tensors that it does not name are absent, carries begin at zero.
struct PlanSelfTest {
  uint64_t seed = 0;                                 // below 2^53
  std::vector<std::pair<std::string, int64_t>> axes; // sizes, at most 65536, of axes that have no other
  std::vector<PlanTestInput> inputs;
  std::vector<PlanTestOutput> outputs;
};

/// What a caller promises of the elements of a tensor that the launches read; only a checked call looks at them. Either
/// offsets of packed sequences, i32 of one dimension, which begin at 0, never fall, and end at the size of `rows`, no
/// sequence longer than the size of `longest`; or the range of each element, where NaN is outside.
struct PlanPromise {
  std::string tensor;
  std::string rows, longest; // axes; empty of a range
  std::optional<double> least, most;
  bool above = false, below = false; // the bound itself is outside
};

struct Plan {
  std::string producer;   // program and version
  std::string spec;       // name of the variant
  std::string target;     // "sm_80", "sm_90a"
  std::string ptxVersion; // "7.0"
  std::vector<PlanAxis> axes;
  std::vector<PlanTensor> tensors; // in order of declaration
  std::vector<PlanEntry> entries;
  std::vector<PlanModule> modules;
  std::optional<PlanSelfTest> selfTest = std::nullopt;
  std::vector<PlanPromise> promises = {};

  const PlanAxis *findAxis(std::string_view name) const;
  const PlanTensor *findTensor(std::string_view name) const;
};

/// Hash, 32 hexadecimal digits, of what a caller sees: names, roles, types and shapes in order of declaration, and
/// static sizes. Equal signatures can replace one another.
std::string planSignature(const Plan &plan);

/// Whether machine code of architecture `arch` runs on compute capability `smVersion` (ten times it).
bool cubinRunsOn(std::string_view arch, int smVersion);

/// The number in a name of an architecture: 90 of "sm_90a"; 0 of anything else.
int archNumber(std::string_view arch);

/// The oldest version of the format that can say this plan.
int planVersion(const Plan &plan);

/// Checks every name, size, index and expression; the error says which and why. Reading and writing both do this.
Status validatePlan(const Plan &plan);

/// The plan as one JSON document with the module texts inline.
Result<std::string> planToText(const Plan &plan);

/// Writes PREFIX.json and, beside it as text, PREFIX.ptx (PREFIX.NAME.ptx when there are several modules; .cubin
/// likewise, or .sm_90.cubin where there is one of another architecture than the plan's target). Every file is written
/// under a temporary name first and renamed last, the JSON after the others: when something cannot be written, an
/// existing plan stays as it was.
Status writePlan(const Plan &plan, const std::string &prefix);

/// Gives the content of a file named in the plan; the name is a plain file name, never a path.
using PlanFileReader = std::function<Result<std::string>(const std::string &name)>;

/// Reads a plan from text. The text is untrusted: whatever it holds, the answer is a valid plan or an error.
Result<Plan> parsePlan(std::string_view json, const PlanFileReader &readFile);

/// Reads the JSON file at `path` and the files beside it.
Result<Plan> readPlan(const std::string &path);

} // namespace fovea::runtime
