// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A plan made ready for many calls on one device: names are numbers, expressions are programs, and a call allocates
// nothing. It decides as resolveCall does (runtime/host/Execute.h), which stays the one that explains a refusal.
#pragma once

#include "runtime/abi/ExprProgram.h"
#include "runtime/abi/Plan.h"
#include "runtime/host/Execute.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fovea::runtime {

/// A tensor of a call, borrowed: shape and strides (in elements, not null) belong to the caller. Without initialisers,
/// so that a list of as many as a plan can have costs nothing.
struct CallTensor {
  StorageType type;
  bool present;
  uint32_t rank;
  const int64_t *shape, *strides;
  DeviceAddress address;
};

/// What a plan does for the tensors of one call.
struct CallChoice {
  static constexpr size_t kMaxAxes = 64, kMaxTensors = 128, kMaxWorkspaces = 64; // of a valid plan
  uint32_t entry = 0;
  int64_t workspaceBytes = 0; // of all workspaces, each at a multiple of 256
  std::array<int64_t, kMaxAxes> axes;
  std::array<int64_t, kMaxTensors> aligns;
  std::array<const int64_t *, kMaxTensors> strides;
  std::array<int64_t, kMaxWorkspaces> offsets, bytes; // of the entry's workspaces
};

inline constexpr int64_t kWorkspaceAlignment = 256;

class BoundCall {
public:
  /// The plan must be valid and outlive the call. `given` has sizes of axes that no tensor shows.
  static Result<BoundCall> bind(const Plan &plan, const DeviceFacts &facts, const AxisSizes &given = {});

  const Plan &plan() const { return *plan_; }

  /// `tensors` in the order of Plan::tensors. False where resolveCall or checkOverlaps refuses.
  bool resolve(const CallTensor *tensors, CallChoice &choice) const;

  /// Kernels of all launches, of the first entry first, as `launch` takes them, prepared.
  Result<std::vector<KernelHandle>> prepare(const LoadedPlan &loaded) const;

  /// Starts the launches of a resolved call. `refused` says that nothing was started since a grid or an argument is out
  /// of range, which resolveCall explains; an error is one of the device. Safe from several threads where the device
  /// is.
  Status launch(Device &device, DeviceStream stream, const std::vector<KernelHandle> &kernels,
                const CallTensor *tensors, const CallChoice &choice, DeviceAddress workspace, bool &refused) const;

  /// Bytes of workspace that serve every call whose axes have sizes of these ranges (of Plan::axes in order; those of
  /// derived axes are not read), whatever the strides and alignments: never too few, seldom more than a few per cent
  /// too many. An error where the sizes of a workspace overflow.
  Result<int64_t> workspaceBound(const std::vector<ExprRange> &axes, const std::vector<bool> &present) const;

private:
  struct Dim {
    uint32_t tensor = 0, dim = 0;
    std::vector<uint32_t> factors; // axes
    bool mayBeEmpty = false;       // a factor is derived
  };
  struct Derived {
    uint32_t axis = 0;
    std::vector<uint32_t> needs;
    ExprProgram size;
  };
  struct Argument {
    PlanArg::Kind kind = PlanArg::Kind::I64;
    bool workspace = false; // of Pointer
    uint32_t index = 0;     // of Pointer: tensor or workspace
    ExprProgram value;
    float number = 0;
    uint32_t offset = 0; // bytes
  };
  struct Launch {
    std::array<ExprProgram, 3> grid;
    LaunchShape shape; // but its grid
    std::vector<Argument> args;
    uint32_t argBytes = 0;
    bool fits = true; // in the device's limits
  };
  struct Entry {
    ExprProgram guard, prefer;
    std::vector<ExprProgram> bytes;
    std::vector<Launch> launches;
    uint32_t firstKernel = 0;
    size_t argBytes = 0; // of all launches, each at a multiple of 8
  };
  bool inferAxes(const CallTensor *tensors, CallChoice &choice) const;
  bool checkTensor(size_t index, const CallTensor &tensor, const CallChoice &choice) const;
  bool setUp(const CallTensor *tensors, const CallChoice &choice, const Entry &entry, DeviceAddress workspace,
             std::array<uint32_t, 3> *grids, std::byte *args) const;

  const Plan *plan_ = nullptr;
  DeviceFacts facts_;
  bool runsHere_ = false;      // the target fits the device
  std::vector<int64_t> fixed_; // static and given sizes, else -1
  std::vector<Dim> dims_;      // of all tensors, those of one factor first
  std::vector<Derived> derived_;
  std::vector<uint32_t> written_; // tensors
  std::vector<Entry> entries_;
  size_t mostLaunches_ = 0; // of an entry
};

/// Bytes from the address of the first element to behind the last.
int64_t spanBytes(const CallTensor &tensor);

/// Whether two tensors may have a byte in common. Slices of one buffer that lie beside each other do not.
bool mayOverlap(const CallTensor &a, const CallTensor &b);

/// Tensors that are written share no memory with any other: what is read and written at one place is one carry.
Status checkOverlaps(const Plan &plan, const std::vector<CallTensor> &tensors);

} // namespace fovea::runtime
