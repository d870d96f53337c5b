// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Decisions of a call without names, text or allocation. Each step has its counterpart in Execute.cpp; a refusal here
// is only `false`.
#include "runtime/host/BoundCall.h"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <cstring>
#include <limits>
#include <queue>

namespace fovea::runtime {

namespace {

constexpr int64_t kMaxGridX = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxGridYZ = 65535;
constexpr uint64_t kMaxAlignment = 1024;
constexpr int64_t kMaxTensorBytes = int64_t{1} << 47; // the width of device addresses
constexpr size_t kMaxDims = 16;                       // of a tensor
constexpr size_t kMaxTensorDims = CallChoice::kMaxTensors * kMaxDims;
constexpr size_t kStackArgs = 8192;
constexpr size_t kStackLaunches = 32;

int64_t roundUp(int64_t bytes) { return (bytes + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment; }

template <typename T> std::optional<uint32_t> numberOf(const std::vector<T> &list, const std::string &name) {
  auto it = std::find_if(list.begin(), list.end(), [&](const T &item) { return item.name == name; });
  return it == list.end() ? std::nullopt : std::optional(static_cast<uint32_t>(it - list.begin()));
}

/// Strides and sizes of the dimensions with more than one element, by stride.
size_t sortedDims(const CallTensor &tensor, std::array<std::pair<int64_t, int64_t>, kMaxDims> &dims) {
  size_t count = 0;
  for (uint32_t d = 0; d < tensor.rank; ++d)
    if (tensor.shape[d] > 1)
      dims[count++] = {tensor.strides[d], tensor.shape[d]};
  std::sort(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

bool overlapsItself(const CallTensor &tensor) {
  std::array<std::pair<int64_t, int64_t>, kMaxDims> dims;
  size_t count = sortedDims(tensor, dims);
  int64_t extent = 1;
  for (size_t d = 0; d < count; ++d) {
    if (dims[d].first < extent)
      return true;
    extent += dims[d].first * (dims[d].second - 1);
  }
  return false;
}

bool isEmpty(const CallTensor &tensor) {
  return std::any_of(tensor.shape, tensor.shape + tensor.rank, [](int64_t size) { return size == 0; });
}

} // namespace

int64_t spanBytes(const CallTensor &tensor) {
  if (isEmpty(tensor))
    return 0;
  int64_t last = 0;
  for (uint32_t d = 0; d < tensor.rank; ++d)
    last += tensor.strides[d] * (tensor.shape[d] - 1);
  return (last + 1) * byteSize(tensor.type);
}

bool mayOverlap(const CallTensor &a, const CallTensor &b) {
  auto lengthA = static_cast<uint64_t>(spanBytes(a)), lengthB = static_cast<uint64_t>(spanBytes(b));
  if (lengthA == 0 || lengthB == 0 || a.address + lengthA <= b.address || b.address + lengthB <= a.address)
    return false;
  // Slices of one buffer: with a period that divides all larger strides of both, each occupies a window of it.
  std::array<std::pair<int64_t, int64_t>, kMaxDims> dimsA, dimsB;
  size_t countA = sortedDims(a, dimsA), countB = sortedDims(b, dimsB);
  int64_t sizeA = byteSize(a.type), sizeB = byteSize(b.type);
  auto window = [](const auto &dims, size_t count, int64_t size, int64_t period, int64_t &length) {
    length = size;
    for (size_t d = 0; d < count; ++d) {
      int64_t stride = dims[d].first * size;
      if (stride % period == 0)
        continue;
      if (stride > period)
        return false;
      length += stride * (dims[d].second - 1);
    }
    return length <= period;
  };
  for (size_t i = 0; i < countA + countB; ++i) {
    int64_t period = i < countA ? dimsA[i].first * sizeA : dimsB[i - countA].first * sizeB;
    int64_t windowA, windowB;
    if (period == 0 || !window(dimsA, countA, sizeA, period, windowA) || !window(dimsB, countB, sizeB, period, windowB))
      continue;
    auto offset = static_cast<int64_t>((b.address - a.address) % static_cast<uint64_t>(period));
    if (b.address < a.address)
      offset = (period - static_cast<int64_t>((a.address - b.address) % static_cast<uint64_t>(period))) % period;
    if (offset >= windowA && offset + windowB <= period)
      return false;
  }
  return true;
}

Status checkOverlaps(const Plan &plan, const std::vector<CallTensor> &tensors) {
  for (size_t i = 0; i < tensors.size(); ++i)
    for (size_t j = 0; j < tensors.size(); ++j)
      if (i != j && isWritten(plan.tensors[i].role) && tensors[i].present && tensors[j].present &&
          mayOverlap(tensors[i], tensors[j])) {
        bool both = isWritten(plan.tensors[j].role);
        return Error{ErrorCode::InvalidArgument,
                     "`" + plan.tensors[i].name + "` is written, but shares memory with " +
                         (both ? "`" : "the input `") + plan.tensors[j].name +
                         "`; give it memory of its own (only a carry is read and written at one place)"};
      }
  return Status::success();
}

Result<BoundCall> BoundCall::bind(const Plan &plan, const DeviceFacts &facts, const AxisSizes &given) {
  if (Status status = validatePlan(plan); !status)
    return status.error();
  BoundCall call;
  call.plan_ = &plan;
  call.facts_ = facts;
  call.runsHere_ = checkTarget(plan, facts).ok();
  for (const auto &[name, size] : given) {
    const PlanAxis *axis = plan.findAxis(name);
    if (!axis || axis->derived || size < 1)
      return Error{ErrorCode::InvalidArgument, "`" + name + "` = " + std::to_string(size) + ": " +
                                                   (!axis           ? "there is no such axis in " + plan.spec
                                                    : axis->derived ? "its size follows from other axes"
                                                                    : "a size is at least 1")};
    if (axis->staticSize && *axis->staticSize != size)
      return Error{ErrorCode::InvalidArgument, "axis " + name + " is " + std::to_string(*axis->staticSize) +
                                                   " by the plan, which was compiled for it, but " +
                                                   std::to_string(size) + " by the caller"};
  }
  ExprProgram::Names names;
  names.axis = [&](const std::string &name) { return numberOf(plan.axes, name); };
  names.tensor = [&](const std::string &name) { return numberOf(plan.tensors, name); };
  names.dim = [&](uint32_t tensor, const std::string &name) -> std::optional<uint32_t> {
    const std::vector<PlanDim> &dims = plan.tensors[tensor].dims;
    auto it = std::find_if(dims.begin(), dims.end(), [&](const PlanDim &dim) { return dim.display == name; });
    return it == dims.end() ? std::nullopt : std::optional(static_cast<uint32_t>(it - dims.begin()));
  };
  Status failed;
  auto compile = [&](const Expr &expr) {
    Result<ExprProgram> program = ExprProgram::compile(expr, names);
    if (!program && failed)
      failed = program.error();
    return program ? std::move(*program) : ExprProgram();
  };

  for (uint32_t a = 0; a < plan.axes.size(); ++a) {
    const PlanAxis &axis = plan.axes[a];
    auto it = given.find(axis.name);
    call.fixed_.push_back(axis.staticSize ? *axis.staticSize : it != given.end() ? it->second : -1);
    if (!axis.derived)
      continue;
    Derived derived{a, {}, compile(*axis.derived)};
    for (const std::string &name : axis.derived->axes())
      derived.needs.push_back(*numberOf(plan.axes, name));
    call.derived_.push_back(std::move(derived));
  }
  for (uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const PlanTensor &tensor = plan.tensors[t];
    if (isWritten(tensor.role))
      call.written_.push_back(t);
    for (uint32_t d = 0; d < tensor.dims.size(); ++d) {
      Dim dim{t, d, {}, false};
      for (const std::string &factor : tensor.dims[d].factors) {
        dim.factors.push_back(*numberOf(plan.axes, factor));
        dim.mayBeEmpty |= plan.axes[dim.factors.back()].derived.has_value();
      }
      call.dims_.push_back(std::move(dim));
    }
  }
  std::stable_sort(call.dims_.begin(), call.dims_.end(),
                   [](const Dim &a, const Dim &b) { return a.factors.size() < b.factors.size(); });
  uint32_t kernel = 0;
  for (const PlanEntry &from : plan.entries) {
    Entry entry{compile(from.guard), compile(from.prefer), {}, {}, kernel, 0};
    for (const PlanWorkspace &workspace : from.workspaces)
      entry.bytes.push_back(compile(workspace.bytes));
    for (const PlanLaunch &launch : from.launches) {
      Launch made;
      made.shape.block = launch.block;
      made.shape.cluster = launch.cluster;
      made.shape.sharedBytes = launch.sharedBytes;
      made.fits = launch.sharedBytes <= facts.maxSharedBytesPerBlock &&
                  int64_t{launch.block[0]} * launch.block[1] * launch.block[2] <= facts.maxThreadsPerBlock;
      for (size_t d = 0; d < 3; ++d)
        made.grid[d] = compile(launch.grid[d]);
      for (const PlanArg &arg : launch.args) {
        Argument argument;
        argument.kind = arg.kind;
        argument.number = arg.number;
        argument.value = compile(arg.expr);
        if (arg.kind == PlanArg::Kind::Pointer) {
          std::optional<uint32_t> tensor = numberOf(plan.tensors, arg.name);
          argument.workspace = !tensor;
          argument.index = tensor ? *tensor : *numberOf(from.workspaces, arg.name);
        }
        uint32_t size = arg.kind == PlanArg::Kind::Pointer || arg.kind == PlanArg::Kind::I64 ? 8 : 4;
        argument.offset = (made.argBytes + size - 1) / size * size;
        made.argBytes = argument.offset + size;
        made.args.push_back(std::move(argument));
      }
      entry.argBytes += (made.argBytes + 7) / 8 * 8;
      entry.launches.push_back(std::move(made));
      ++kernel;
    }
    call.mostLaunches_ = std::max(call.mostLaunches_, entry.launches.size());
    call.entries_.push_back(std::move(entry));
  }
  if (!failed)
    return failed.error();
  return call;
}

bool BoundCall::inferAxes(const CallTensor *tensors, CallChoice &choice) const {
  std::array<int64_t, CallChoice::kMaxAxes> &sizes = choice.axes;
  std::copy(fixed_.begin(), fixed_.end(), sizes.begin());
  std::bitset<kMaxTensorDims> done;
  ExprValues values;
  values.axes = sizes.data();
  auto known = [&](uint32_t axis) { return sizes[axis] >= 0; };
  for (bool progress = true; progress;) {
    progress = false;
    for (const Derived &derived : derived_) {
      if (known(derived.axis) || !std::all_of(derived.needs.begin(), derived.needs.end(), known))
        continue;
      int64_t size;
      if (!derived.size.evaluate(values, size) || size < 0)
        return false;
      sizes[derived.axis] = size;
      progress = true;
    }
    for (size_t i = 0; i < dims_.size(); ++i) {
      const Dim &dim = dims_[i];
      if (done[i])
        continue;
      if (!tensors[dim.tensor].present) {
        done[i] = true;
        continue;
      }
      int64_t size = tensors[dim.tensor].shape[dim.dim], product = 1;
      if (size < (dim.mayBeEmpty ? 0 : 1))
        return false;
      uint32_t unknown = 0, unknowns = 0;
      for (uint32_t factor : dim.factors) {
        if (!known(factor)) {
          unknown = factor;
          ++unknowns;
        } else if (__builtin_mul_overflow(product, sizes[factor], &product)) {
          return false;
        }
      }
      if (unknowns == 0) {
        if (product != size)
          return false;
        done[i] = true;
        continue;
      }
      if (unknowns == 1 && plan_->axes[unknown].derived)
        continue;
      if (unknowns > 1 && size != 1)
        continue;
      if (product == 0 || size % product != 0 || size / product < 1)
        return false;
      if (unknowns == 1) {
        sizes[unknown] = size / product;
      } else {
        for (uint32_t factor : dim.factors) {
          if (known(factor) && sizes[factor] != 1)
            return false;
          sizes[factor] = 1;
        }
      }
      done[i] = progress = true;
    }
  }
  // What is not done has an axis of unknown size.
  for (size_t i = 0; i < dims_.size(); ++i)
    if (!done[i])
      return false;
  return true;
}

bool BoundCall::checkTensor(size_t index, const CallTensor &tensor, const CallChoice &choice) const {
  const PlanTensor &declared = plan_->tensors[index];
  if (tensor.type != declared.type || tensor.address % static_cast<uint64_t>(byteSize(tensor.type)) != 0)
    return false;
  int64_t bytes = byteSize(tensor.type), last = 0, extent;
  for (uint32_t d = 0; d < tensor.rank; ++d) {
    if (__builtin_mul_overflow(bytes, tensor.shape[d], &bytes) || bytes > kMaxTensorBytes)
      return false;
    if (tensor.strides[d] < 0 || __builtin_mul_overflow(tensor.strides[d], tensor.shape[d] - 1, &extent) ||
        __builtin_add_overflow(last, extent, &last) || last >= kMaxTensorBytes / byteSize(tensor.type))
      return false;
  }
  return !isWritten(declared.role) || !overlapsItself(tensor);
}

bool BoundCall::resolve(const CallTensor *tensors, CallChoice &choice) const {
  if (!runsHere_)
    return false;
  size_t count = plan_->tensors.size();
  for (size_t i = 0; i < count; ++i)
    if (tensors[i].present ? tensors[i].rank != plan_->tensors[i].dims.size() : !plan_->tensors[i].optional)
      return false;
  if (!inferAxes(tensors, choice))
    return false;
  for (size_t i = 0; i < count; ++i) {
    const CallTensor &tensor = tensors[i];
    choice.strides[i] = nullptr;
    if (!tensor.present)
      continue;
    if (!checkTensor(i, tensor, choice))
      return false;
    static constexpr int64_t kNone = 0; // a tensor of one element has no strides, but is there
    choice.strides[i] = tensor.rank > 0 ? tensor.strides : &kNone;
    uint64_t bits = tensor.address | kMaxAlignment;
    for (uint32_t d = 0; d + 1 < tensor.rank; ++d)
      if (tensor.shape[d] > 1)
        bits |= static_cast<uint64_t>(tensor.strides[d]) * static_cast<uint64_t>(byteSize(tensor.type));
    choice.aligns[i] = static_cast<int64_t>(bits & (~bits + 1));
  }
  for (uint32_t written : written_)
    for (size_t i = 0; tensors[written].present && i < count; ++i)
      if (i != written && tensors[i].present && mayOverlap(tensors[written], tensors[i]))
        return false;

  ExprValues values{choice.axes.data(), choice.strides.data(), choice.aligns.data(), std::max(facts_.sms, 1)};
  bool found = false, wanted = false;
  for (uint32_t e = 0; e < entries_.size() && !wanted; ++e) {
    int64_t good, best;
    if (!entries_[e].guard.evaluate(values, good))
      return false;
    if (good == 0)
      continue;
    if (!entries_[e].prefer.evaluate(values, best))
      return false;
    wanted = best != 0;
    if (wanted || !found)
      choice.entry = e;
    found = true;
  }
  if (!found)
    return false;
  const Entry &entry = entries_[choice.entry];
  choice.workspaceBytes = 0;
  for (size_t w = 0; w < entry.bytes.size(); ++w) {
    int64_t bytes;
    if (!entry.bytes[w].evaluate(values, bytes) || bytes < 0 || bytes > kMaxTensorBytes)
      return false;
    choice.bytes[w] = bytes;
    choice.offsets[w] = choice.workspaceBytes;
    choice.workspaceBytes += roundUp(bytes);
  }
  return true;
}

Result<std::vector<KernelHandle>> BoundCall::prepare(const LoadedPlan &loaded) const {
  std::vector<KernelHandle> kernels;
  for (size_t e = 0; e < entries_.size(); ++e)
    for (size_t l = 0; l < entries_[e].launches.size(); ++l) {
      const PlanLaunch &launch = plan_->entries[e].launches[l];
      Result<KernelHandle> kernel = loaded.kernel(launch.module, launch.kernel);
      if (!kernel)
        return kernel.takeError();
      if (entries_[e].launches[l].fits)
        if (Status status = loaded.device().prepareKernel(*kernel, entries_[e].launches[l].shape); !status)
          return status.error();
      kernels.push_back(*kernel);
    }
  return kernels;
}

bool BoundCall::setUp(const CallTensor *tensors, const CallChoice &choice, const Entry &entry, DeviceAddress workspace,
                      std::array<uint32_t, 3> *grids, std::byte *args) const {
  ExprValues values{choice.axes.data(), choice.strides.data(), choice.aligns.data(), std::max(facts_.sms, 1)};
  for (size_t l = 0; l < entry.launches.size(); ++l) {
    const Launch &launch = entry.launches[l];
    if (!launch.fits)
      return false;
    for (size_t d = 0; d < 3; ++d) {
      int64_t size;
      if (!launch.grid[d].evaluate(values, size))
        return false;
      if (size == 0 && d == 0) {
        grids[l] = {0, 0, 0};
        break;
      }
      if (size < 1 || size > (d == 0 ? kMaxGridX : kMaxGridYZ) || size % launch.shape.cluster[d] != 0)
        return false;
      grids[l][d] = static_cast<uint32_t>(size);
    }
    for (const Argument &argument : launch.args) {
      std::byte *to = args + argument.offset;
      int64_t value = 0;
      switch (argument.kind) {
      case PlanArg::Kind::Pointer: {
        if (!argument.workspace && !tensors[argument.index].present)
          return false;
        DeviceAddress address = argument.workspace ? workspace + static_cast<uint64_t>(choice.offsets[argument.index])
                                                   : tensors[argument.index].address;
        std::memcpy(to, &address, sizeof address);
        break;
      }
      case PlanArg::Kind::I64:
        if (!argument.value.evaluate(values, value))
          return false;
        std::memcpy(to, &value, sizeof value);
        break;
      case PlanArg::Kind::I32: {
        if (!argument.value.evaluate(values, value) || value != static_cast<int32_t>(value))
          return false;
        auto narrow = static_cast<int32_t>(value);
        std::memcpy(to, &narrow, sizeof narrow);
        break;
      }
      case PlanArg::Kind::F32:
        std::memcpy(to, &argument.number, sizeof argument.number);
        break;
      }
    }
    args += (launch.argBytes + 7) / 8 * 8;
  }
  return true;
}

Status BoundCall::launch(Device &device, DeviceStream stream, const std::vector<KernelHandle> &kernels,
                         const CallTensor *tensors, const CallChoice &choice, DeviceAddress workspace,
                         bool &refused) const {
  const Entry &entry = entries_[choice.entry];
  const PlanEntry &declared = plan_->entries[choice.entry];
  std::array<std::array<uint32_t, 3>, kStackLaunches> gridsHere;
  alignas(8) std::array<std::byte, kStackArgs> argsHere;
  // Entries that are larger than any that a compiler writes use memory that the thread keeps.
  thread_local std::vector<std::array<uint32_t, 3>> gridsKept;
  thread_local std::vector<std::byte> argsKept;
  std::array<uint32_t, 3> *grids = gridsHere.data();
  std::byte *args = argsHere.data();
  if (entry.launches.size() > kStackLaunches || entry.argBytes > kStackArgs) {
    gridsKept.resize(entry.launches.size());
    argsKept.resize(entry.argBytes);
    grids = gridsKept.data();
    args = argsKept.data();
  }
  std::memset(args, 0, entry.argBytes); // gaps between arguments
  refused = !setUp(tensors, choice, entry, workspace, grids, args);
  if (refused)
    return Status::success();
  for (size_t w = 0; w < entry.bytes.size(); ++w)
    if (declared.workspaces[w].init == WorkspaceInit::Zero && choice.bytes[w] > 0)
      if (Status status = device.fillZeroOn(stream, workspace + static_cast<uint64_t>(choice.offsets[w]),
                                            static_cast<size_t>(choice.bytes[w]));
          !status)
        return status;
  for (size_t l = 0; l < entry.launches.size(); ++l) {
    const Launch &launch = entry.launches[l];
    LaunchShape shape = launch.shape;
    shape.grid = grids[l];
    if (shape.grid[0] != 0)
      if (Status status =
              device.launchOn(stream, kernels[entry.firstKernel + l], shape, std::span(args, launch.argBytes));
          !status)
        return status;
    args += (launch.argBytes + 7) / 8 * 8;
  }
  return Status::success();
}

Result<int64_t> BoundCall::workspaceBound(const std::vector<ExprRange> &axes, const std::vector<bool> &present) const {
  std::array<bool, CallChoice::kMaxTensors> given;
  std::copy(present.begin(), present.end(), given.begin());
  struct Box {
    std::vector<ExprRange> axes;
    int64_t bytes = 0;
    bool operator<(const Box &other) const { return bytes < other.bytes; }
  };
  // The most that an entry which may run takes for sizes in the box; false on overflow.
  auto bound = [&](Box &box) {
    ExprRanges ranges{box.axes.data(), given.data(), std::max(facts_.sms, 1)};
    for (const Derived &derived : derived_) {
      ExprRange &range = box.axes[derived.axis];
      if (!derived.size.range(ranges, range) || range.most < 0)
        return false;
      range.least = std::max<int64_t>(range.least, 0);
    }
    auto truth = [&](const ExprProgram &program, bool &never, bool &always) {
      ExprRange range;
      bool known = program.range(ranges, range);
      never = known && range.least == 0 && range.most == 0;
      always = known && (range.least > 0 || range.most < 0);
    };
    bool somePreferred = false;
    for (const Entry &entry : entries_) {
      bool never, guard, prefer;
      truth(entry.guard, never, guard);
      truth(entry.prefer, never, prefer);
      somePreferred |= guard && prefer;
    }
    box.bytes = 0;
    bool surelyBefore = false; // an entry before this one can run
    for (const Entry &entry : entries_) {
      bool guardNever, guard, preferNever, prefer;
      truth(entry.guard, guardNever, guard);
      truth(entry.prefer, preferNever, prefer);
      bool runs = !guardNever && !(preferNever && (somePreferred || surelyBefore));
      surelyBefore |= guard;
      int64_t total = 0;
      for (size_t w = 0; runs && w < entry.bytes.size(); ++w) {
        ExprRange bytes;
        if (!entry.bytes[w].range(ranges, bytes) || bytes.most > kMaxTensorBytes)
          return false;
        total += roundUp(std::max<int64_t>(bytes.most, 0));
      }
      box.bytes = std::max(box.bytes, total);
      if (guard && prefer)
        break; // none of those behind it runs
    }
    return true;
  };
  Box whole{axes, 0};
  for (size_t a = 0; a < axes.size(); ++a)
    if (fixed_[a] >= 0)
      whole.axes[a] = {fixed_[a], fixed_[a]};
  // Ranges of a whole box are too wide; halves of the widest range, the largest bound first, close in on the truth.
  constexpr int kMostBoxes = 4096;
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  int64_t reached = 0; // some sizes need so much
  std::priority_queue<Box> boxes;
  auto push = [&](Box box) {
    if (!bound(box))
      box.bytes = kHuge;
    Box corner = box;
    for (ExprRange &range : corner.axes)
      range.least = range.most;
    if (bound(corner))
      reached = std::max(reached, corner.bytes);
    boxes.push(std::move(box));
  };
  push(std::move(whole));
  for (int made = 1; made < kMostBoxes; made += 2) {
    const Box &top = boxes.top();
    if (top.bytes - top.bytes / 32 <= reached)
      break;
    size_t widest = axes.size();
    double most = 1;
    for (size_t a = 0; a < axes.size(); ++a) {
      double ratio =
          static_cast<double>(top.axes[a].most) / static_cast<double>(std::max<int64_t>(top.axes[a].least, 1));
      if (!plan_->axes[a].derived && ratio > most) {
        most = ratio;
        widest = a;
      }
    }
    if (widest == axes.size())
      break;
    Box low = top, high = top;
    boxes.pop();
    // At the geometric mean: sizes enter as factors and divisors.
    const ExprRange range = low.axes[widest];
    auto middle = static_cast<int64_t>(
        std::sqrt(static_cast<double>(std::max<int64_t>(range.least, 1)) * static_cast<double>(range.most)));
    middle = std::clamp(middle, range.least, range.most - 1);
    low.axes[widest].most = middle;
    high.axes[widest].least = middle + 1;
    push(std::move(low));
    push(std::move(high));
  }
  if (boxes.top().bytes == kHuge)
    return Error{ErrorCode::InvalidArgument,
                 "the workspace of " + plan_->spec +
                     " has no bound for such sizes: its bytes overflow or depend on strides"};
  return boxes.top().bytes;
}

} // namespace fovea::runtime
