// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Running a plan, in three steps that can be used apart: axis sizes from shapes, launches from a plan and described
// tensors (no device needed), and the run itself on a device with tensors from host memory.
#pragma once

#include "runtime/abi/Plan.h"
#include "runtime/cache/Cache.h"
#include "runtime/host/Array.h"
#include "runtime/host/Device.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fovea::runtime {

using AxisSizes = std::map<std::string, int64_t, std::less<>>;

/// Sizes of all axes that follow from the shapes of some tensors, from static sizes and from `given`. A product such as
/// Hk*G is divided by the factors that are known elsewhere. Conflicts, unknown names, sizes below 1 and wrong ranks are
/// errors that name the tensors; axes that stay unknown are left out.
Result<AxisSizes> inferAxes(const Plan &plan, const std::map<std::string, std::vector<int64_t>, std::less<>> &shapes,
                            const AxisSizes &given = {});

/// Shape of a tensor; an unknown axis is an error that says what would tell its size. Sizes whose bytes overflow are
/// refused.
Result<std::vector<int64_t>> tensorShape(const Plan &plan, const PlanTensor &tensor, const AxisSizes &axes);

/// A tensor as a launch sees it.
struct TensorView {
  StorageType type = StorageType::F32;
  std::vector<int64_t> shape, strides; // elements
  DeviceAddress address = 0;           // for align(); a multiple of the element size
  bool present = true;                 // false: an optional tensor that is not bound; the rest says nothing then
};

struct ResolvedWorkspace {
  std::string name;
  int64_t bytes = 0;
  WorkspaceInit init = WorkspaceInit::None;
};

struct ResolvedLaunch {
  uint32_t module = 0;
  std::string kernel;
  LaunchShape shape;
  std::vector<std::byte> args; // packed; pointers still 0
  struct Pointer {
    uint32_t offset = 0;    // in args
    bool workspace = false; // else a tensor
    uint32_t index = 0;     // into Plan::tensors, or into ResolvedCall::workspaces
  };
  std::vector<Pointer> pointers;
};

/// Everything that a plan says for these tensors on this device.
struct ResolvedCall {
  size_t entry = 0; // index into Plan::entries
  AxisSizes axes;
  std::vector<ResolvedWorkspace> workspaces;
  std::vector<ResolvedLaunch> launches;
};

/// Whether the plan's kernels run on the device, by its target ("sm_80", "sm_90a") and, where it has no text, by the
/// architectures of its machine code; else what is missing.
Status checkTarget(const Plan &plan, const DeviceFacts &facts);

/// The first half of it: whether text for the plan's target runs there.
bool targetFits(const Plan &plan, const DeviceFacts &facts);

/// `tensors` in the order of Plan::tensors. Checks types, shapes, strides (what is written must not overlap itself),
/// element alignment and grid limits; picks the first entry whose guard and preference hold, else the first whose guard
/// holds. When none does, the error lists the guards. `entry` takes that one instead, if its guard holds.
Result<ResolvedCall> resolveCall(const Plan &plan, const std::vector<TensorView> &tensors, const DeviceFacts &facts,
                                 const AxisSizes &given = {}, std::optional<size_t> entry = std::nullopt);

/// What is asked beside the modules themselves.
struct LoadOptions {
  std::optional<Cache> cache; // of machine code that the driver made, and of self-tests that passed
  bool selfTest = false;      // where the plan has one
  bool checked = false;       // calls of the library look at the plan's promises before they launch
  /// May be empty. What went another way than it should; what was done.
  std::function<void(const std::string &)> warn, inform;

  /// The cache where cacheFolder() says; a self-test and checked calls where FOVEA_SELF_TEST and FOVEA_CHECKED are set,
  /// but to off or 0.
  static LoadOptions fromEnvironment(std::function<void(const std::string &)> warn);
};

struct LoadReport {
  /// Where the code of a module came from.
  enum class Source { PlanCode, CachedCode, AssembledAndKept, Text };
  struct Module {
    std::string name;
    Source source = Source::Text;
    std::string arch;        // of PlanCode
    double milliseconds = 0; // from here to a loaded module
  };
  enum class SelfTest { NotAsked, NoneInPlan, Remembered, Passed };
  std::vector<Module> modules;
  SelfTest selfTest = SelfTest::NotAsked;
  double selfTestMilliseconds = 0;

  /// "machine code for sm_90 of the plan", "machine code of the cache", ...
  static std::string describe(const Module &module);
};

/// A plan whose modules are loaded on a device. Plan and device must outlive it.
class LoadedPlan {
public:
  /// Machine code of the plan that fits the device, else what the cache has, else the text, which the driver
  /// assembles and the cache keeps. Code that the driver refuses, or that fails the self-test, is made again from the
  /// text. An error of code SelfTestFailed: the driver's code for the text gives wrong numbers too.
  static Result<LoadedPlan> load(const Plan &plan, Device &device, const LoadOptions &options = {},
                                 LoadReport *report = nullptr);
  LoadedPlan(LoadedPlan &&other) noexcept;
  LoadedPlan &operator=(LoadedPlan &&other) noexcept;
  ~LoadedPlan();

  const Plan &plan() const { return *plan_; }
  Device &device() const { return *device_; }
  Result<KernelHandle> kernel(uint32_t module, const std::string &name) const;
  /// Starts the launches of a call. Addresses of all tensors, in order, and of the call's workspaces, which this call
  /// zeroes where the plan asks for it. Allocates nothing on the device.
  Status launch(const ResolvedCall &call, const std::vector<DeviceAddress> &tensors,
                const std::vector<DeviceAddress> &workspaces);

private:
  friend class Loader;
  LoadedPlan() = default;
  const Plan *plan_ = nullptr;
  Device *device_ = nullptr;
  std::vector<ModuleHandle> modules_;
  std::map<std::pair<uint32_t, std::string>, KernelHandle> kernels_;
};

struct ExecuteRequest {
  /// Every input and param but optional ones, of the plan's types, and the values with which carries begin. A carry
  /// that is neither here nor in `outputs` begins at zero; an optional one is then absent.
  std::map<std::string, const Array *, std::less<>> inputs;
  /// Written in place where given, of any strides; others are made. A carry here begins with the array's values.
  std::map<std::string, Array *, std::less<>> outputs;
  AxisSizes axes;  // for axes that no input shows
  int repeats = 1; // timed runs; all but the last are thrown away
  /// Bytes by which a tensor's address is moved from a multiple of 256; a multiple of its element size, for tests.
  std::map<std::string, int64_t, std::less<>> addressOffsets;
  std::optional<size_t> entry; // runs this one, whatever is preferred; an error where its guard does not hold
};

struct ExecuteResult {
  ResolvedCall call;                                 // call.entry ran
  std::string reason;                                // of the entry that ran
  std::map<std::string, Array, std::less<>> outputs; // and carries, those that the request did not bring to be written
  std::vector<double> milliseconds;                  // of each repeat, by the device's events
  int64_t workspaceBytes = 0;
};

/// The entries whose guards hold for a request, in order: those that can be forced. Arrays need no contents.
Result<std::vector<size_t>> reachableEntries(const Plan &plan, const DeviceFacts &facts, const ExecuteRequest &request);

/// Uploads, runs and downloads. Outputs are filled with NaN (i32: -1) beforehand, so that what no kernel wrote shows; a
/// change of the gaps between an output's elements is an error of code LaunchFailed.
Result<ExecuteResult> execute(LoadedPlan &loaded, const ExecuteRequest &request);
/// The same, loading the plan first.
Result<ExecuteResult> execute(const Plan &plan, Device &device, const ExecuteRequest &request,
                              const LoadOptions &options = {}, LoadReport *report = nullptr);

} // namespace fovea::runtime
