// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Axis inference, resolution of guards and arguments, and the run.
#include "runtime/host/Execute.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace fovea::runtime {

namespace {

constexpr int64_t kMaxGridX = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxGridYZ = 65535;
constexpr int64_t kMaxAlignment = 1024;
constexpr int64_t kMaxTensorBytes = int64_t{1} << 47; // the width of device addresses

Error invalid(const std::string &message) { return {ErrorCode::InvalidArgument, message}; }

std::string productText(const PlanDim &dim) {
  std::string text;
  for (const std::string &factor : dim.factors)
    text += (text.empty() ? "" : "*") + factor;
  return text;
}

/// One dimension of one tensor: the product of `factors` is `size`.
struct Equation {
  const PlanTensor *tensor;
  const PlanDim *dim;
  int64_t size;
  std::string place() const { return "dimension " + dim->display + " of `" + tensor->name + "`"; }
};

/// Axis sizes alone, for derived axes.
class AxisScope : public ExprScope {
public:
  explicit AxisScope(const AxisSizes &sizes) : sizes_(sizes) {}
  Result<int64_t> axis(std::string_view name) const override {
    auto it = sizes_.find(name);
    if (it == sizes_.end())
      return invalid("the size of axis " + std::string(name) + " is not known");
    return it->second;
  }
  Result<int64_t> stride(std::string_view, std::string_view) const override { return other(); }
  Result<int64_t> align(std::string_view) const override { return other(); }
  Result<int64_t> present(std::string_view) const override { return other(); }
  Result<int64_t> deviceSms() const override { return other(); }

private:
  static Error other() { return invalid("a derived axis depends on axes alone"); }
  const AxisSizes &sizes_;
};

class Inference {
public:
  explicit Inference(const Plan &plan) : plan_(plan) {}

  bool isDerived(const std::string &axis) const {
    const PlanAxis *found = plan_.findAxis(axis);
    return found && found->derived;
  }

  /// The derived axes whose own axes are all known by now.
  Status derive(bool &progress) {
    for (const PlanAxis &axis : plan_.axes) {
      if (!axis.derived || sizes_.count(axis.name))
        continue;
      const std::vector<std::string> &needed = axis.derived->axes();
      if (!std::all_of(needed.begin(), needed.end(), [&](const std::string &name) { return sizes_.count(name) > 0; }))
        continue;
      Result<int64_t> size = axis.derived->evaluate(AxisScope(sizes_));
      if (!size)
        return size.error();
      if (*size < 0)
        return invalid("axis " + axis.name + " is " + std::to_string(*size) + " by `" + axis.derived->text() + "`");
      sizes_.emplace(axis.name, *size);
      sources_[axis.name] = "`" + axis.derived->text() + "`";
      progress = true;
    }
    return Status::success();
  }

  Status set(const std::string &axis, int64_t size, const std::string &source) {
    if (size < 1)
      return invalid("axis " + axis + " is " + std::to_string(size) + " by " + source + "; it must be at least 1");
    auto [it, fresh] = sizes_.emplace(axis, size);
    if (fresh)
      sources_[axis] = source;
    else if (it->second != size)
      return invalid("axis " + axis + " is " + std::to_string(it->second) + " by " + sources_[axis] + ", but " +
                     std::to_string(size) + " by " + source);
    return Status::success();
  }

  /// Uses one dimension as far as its factors are known; `done` when nothing more can follow from it.
  Status use(const Equation &equation, bool &progress, bool &done) {
    const std::string *unknown = nullptr;
    size_t unknowns = 0;
    int64_t known = 1;
    for (const std::string &factor : equation.dim->factors) {
      auto it = sizes_.find(factor);
      if (it == sizes_.end()) {
        unknown = &factor;
        ++unknowns;
      } else if (__builtin_mul_overflow(known, it->second, &known)) {
        return invalid("the size of " + equation.place() + " overflows 64 bits");
      }
    }
    done = true;
    if (unknowns == 1 && isDerived(*unknown)) { // it follows from its own axes alone
      done = false;
      return Status::success();
    }
    if (unknowns == 0) {
      if (known == equation.size)
        return Status::success();
      if (equation.dim->factors.size() == 1 && !isDerived(equation.dim->factors[0]))
        return set(equation.dim->factors[0], equation.size, equation.place());
      return invalid(equation.place() + " has size " + std::to_string(equation.size) + ", but " +
                     productText(*equation.dim) + " is " + std::to_string(known) + explain(*equation.dim));
    }
    if (unknowns > 1 && equation.size != 1) {
      done = false;
      return Status::success();
    }
    progress = true;
    if (known == 0 || equation.size % known != 0)
      return invalid(equation.place() + " has size " + std::to_string(equation.size) + ", which is no multiple of " +
                     std::to_string(known) + explain(*equation.dim));
    if (unknowns == 1)
      return set(*unknown, equation.size / known, equation.place());
    for (const std::string &factor : equation.dim->factors) // a product of 1
      if (Status status = set(factor, 1, equation.place()); !status)
        return status;
    return Status::success();
  }

  AxisSizes take() { return std::move(sizes_); }

private:
  /// " (Hk = 2 by dimension H of `k`)"
  std::string explain(const PlanDim &dim) const {
    std::string text;
    for (const std::string &factor : dim.factors)
      if (auto it = sizes_.find(factor); it != sizes_.end())
        text += (text.empty() ? " (" : ", ") + factor + " = " + std::to_string(it->second) + " by " +
                sources_.find(factor)->second;
    return text.empty() ? text : text + ")";
  }

  const Plan &plan_;
  AxisSizes sizes_;
  std::map<std::string, std::string> sources_;
};

/// Names of an expression, looked up in the tensors of one call.
class CallScope : public ExprScope {
public:
  CallScope(const Plan &plan, const std::vector<TensorView> &tensors, const AxisSizes &axes, const DeviceFacts &facts)
      : plan_(plan), tensors_(tensors), axes_(axes), facts_(facts) {}

  Result<int64_t> axis(std::string_view name) const override {
    auto it = axes_.find(name);
    if (it == axes_.end())
      return invalid("the size of axis " + std::string(name) + " is not known");
    return it->second;
  }

  Result<int64_t> stride(std::string_view tensor, std::string_view dim) const override {
    size_t index = find(tensor);
    if (index < plan_.tensors.size() && !tensors_[index].present)
      return absent(tensor);
    if (index < plan_.tensors.size()) {
      const std::vector<PlanDim> &dims = plan_.tensors[index].dims;
      for (size_t d = 0; d < dims.size(); ++d)
        if (dims[d].display == dim)
          return tensors_[index].strides[d];
    }
    return invalid("no stride " + std::string(tensor) + ", " + std::string(dim));
  }

  Result<int64_t> align(std::string_view tensor) const override {
    size_t index = find(tensor);
    if (index == plan_.tensors.size())
      return invalid("no tensor " + std::string(tensor));
    if (!tensors_[index].present)
      return absent(tensor);
    const TensorView &view = tensors_[index];
    uint64_t bits = view.address | static_cast<uint64_t>(kMaxAlignment);
    for (size_t d = 0; d + 1 < view.shape.size(); ++d)
      if (view.shape[d] > 1)
        bits |= static_cast<uint64_t>(view.strides[d]) * static_cast<uint64_t>(byteSize(view.type));
    return static_cast<int64_t>(bits & (~bits + 1));
  }

  bool isPresent(size_t tensor) const { return tensors_[tensor].present; }

  Result<int64_t> present(std::string_view tensor) const override {
    size_t index = find(tensor);
    if (index == plan_.tensors.size())
      return invalid("no tensor " + std::string(tensor));
    return int64_t{tensors_[index].present};
  }

  Result<int64_t> deviceSms() const override { return int64_t{std::max(facts_.sms, 1)}; }

private:
  static Error absent(std::string_view tensor) {
    return invalid("`" + std::string(tensor) + "` is not given, so it has no strides and no alignment");
  }
  size_t find(std::string_view tensor) const {
    return static_cast<size_t>(std::find_if(plan_.tensors.begin(), plan_.tensors.end(),
                                            [&](const PlanTensor &t) { return t.name == tensor; }) -
                               plan_.tensors.begin());
  }
  const Plan &plan_;
  const std::vector<TensorView> &tensors_;
  const AxisSizes &axes_;
  const DeviceFacts &facts_;
};

/// Whether two elements may lie at one place.
bool overlapsItself(const TensorView &view) {
  std::vector<std::pair<int64_t, int64_t>> dims; // stride, size
  for (size_t d = 0; d < view.shape.size(); ++d)
    if (view.shape[d] > 1)
      dims.emplace_back(view.strides[d], view.shape[d]);
  std::sort(dims.begin(), dims.end());
  int64_t extent = 1;
  for (auto [stride, size] : dims) {
    if (stride < extent)
      return true;
    extent = stride * (size - 1) + extent;
  }
  return false;
}

Status checkView(const PlanTensor &tensor, const TensorView &view, const std::vector<int64_t> &shape) {
  std::string name = "`" + tensor.name + "`";
  if (view.type != tensor.type)
    return invalid(name + " has type " + typeName(view.type) + ", the plan takes " + typeName(tensor.type));
  if (view.shape != shape)
    return invalid(name + " has shape " + shapeText(view.shape) + ", the plan needs " + shapeText(shape));
  if (view.strides.size() != shape.size())
    return invalid(name + " has " + std::to_string(view.strides.size()) + " strides for " +
                   std::to_string(shape.size()) + " dimensions");
  int64_t last = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    int64_t extent;
    if (view.strides[d] < 0)
      return invalid(name + ": dimension " + tensor.dims[d].display + " has the negative stride " +
                     std::to_string(view.strides[d]));
    if (__builtin_mul_overflow(view.strides[d], shape[d] - 1, &extent) || __builtin_add_overflow(last, extent, &last) ||
        last >= kMaxTensorBytes / byteSize(view.type))
      return invalid(name + " of shape " + shapeText(shape) + " and strides " + shapeText(view.strides) +
                     " is larger than an address space");
  }
  if (view.address % static_cast<uint64_t>(byteSize(view.type)) != 0)
    return invalid(name + ": its address is no multiple of the " + std::to_string(byteSize(view.type)) +
                   " bytes of an element");
  if (isWritten(tensor.role) && overlapsItself(view))
    return invalid(name + " is written, but strides " + shapeText(view.strides) + " of shape " + shapeText(shape) +
                   " put several elements at one place");
  return Status::success();
}

class ArgumentPacker {
public:
  template <typename T> uint32_t add(T value) {
    bytes.resize((bytes.size() + sizeof(T) - 1) / sizeof(T) * sizeof(T));
    uint32_t offset = static_cast<uint32_t>(bytes.size());
    bytes.resize(bytes.size() + sizeof(T));
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    return offset;
  }
  std::vector<std::byte> bytes;
};

Result<ResolvedLaunch> resolveLaunch(const Plan &plan, const PlanEntry &entry, const PlanLaunch &launch,
                                     const CallScope &scope, const DeviceFacts &facts) {
  std::string where = "kernel " + launch.kernel;
  ResolvedLaunch resolved;
  resolved.module = launch.module;
  resolved.kernel = launch.kernel;
  resolved.shape.block = launch.block;
  resolved.shape.cluster = launch.cluster;
  resolved.shape.sharedBytes = launch.sharedBytes;
  if (launch.sharedBytes > facts.maxSharedBytesPerBlock)
    return Error{ErrorCode::Unsupported, where + " needs " + std::to_string(launch.sharedBytes) +
                                             " bytes of shared memory; " + facts.name + " has " +
                                             std::to_string(facts.maxSharedBytesPerBlock) + " for a block"};
  int64_t threads = int64_t{launch.block[0]} * launch.block[1] * launch.block[2];
  if (threads > facts.maxThreadsPerBlock)
    return Error{ErrorCode::Unsupported, where + " needs " + std::to_string(threads) + " threads per block; " +
                                             facts.name + " has " + std::to_string(facts.maxThreadsPerBlock)};
  for (size_t d = 0; d < 3; ++d) {
    Result<int64_t> size = launch.grid[d].evaluate(scope);
    if (!size)
      return size.takeError();
    int64_t most = d == 0 ? kMaxGridX : kMaxGridYZ;
    if (*size == 0 && d == 0) { // no work: nothing to launch
      resolved.shape.grid = {0, 0, 0};
      break;
    }
    if (*size < 1 || *size > most)
      return invalid(where + ": the grid has " + std::to_string(*size) + " blocks along " + "xyz"[d] + " (`" +
                     launch.grid[d].text() + "`); it must have 1 to " + std::to_string(most));
    if (*size % launch.cluster[d] != 0)
      return invalid(where + ": " + std::to_string(*size) + " blocks along " + "xyz"[d] +
                     " are no multiple of the cluster's " + std::to_string(launch.cluster[d]));
    resolved.shape.grid[d] = static_cast<uint32_t>(*size);
  }

  ArgumentPacker packer;
  for (const PlanArg &arg : launch.args) {
    if (arg.kind == PlanArg::Kind::Pointer) {
      ResolvedLaunch::Pointer pointer;
      pointer.offset = packer.add(uint64_t{0});
      auto tensor = std::find_if(plan.tensors.begin(), plan.tensors.end(),
                                 [&](const PlanTensor &t) { return t.name == arg.name; });
      if (tensor != plan.tensors.end()) {
        if (!scope.isPresent(static_cast<size_t>(tensor - plan.tensors.begin())))
          return invalid(where + " takes `" + arg.name +
                         "`, which is not given; the guard of its entry must ask for it");
        pointer.index = static_cast<uint32_t>(tensor - plan.tensors.begin());
      } else {
        auto workspace = std::find_if(entry.workspaces.begin(), entry.workspaces.end(),
                                      [&](const PlanWorkspace &w) { return w.name == arg.name; });
        if (workspace == entry.workspaces.end())
          return invalid(where + ": `" + arg.name + "` is neither a tensor nor a workspace");
        pointer.workspace = true;
        pointer.index = static_cast<uint32_t>(workspace - entry.workspaces.begin());
      }
      resolved.pointers.push_back(pointer);
      continue;
    }
    if (arg.kind == PlanArg::Kind::F32) {
      packer.add(arg.number);
      continue;
    }
    Result<int64_t> value = arg.expr.evaluate(scope);
    if (!value)
      return Error{value.error().code, where + ": " + value.error().message};
    if (arg.kind == PlanArg::Kind::I64) {
      packer.add(*value);
    } else {
      if (*value != static_cast<int32_t>(*value))
        return invalid(where + ": `" + arg.expr.text() + "` is " + std::to_string(*value) +
                       ", which does not fit the 32 bits that this kernel uses");
      packer.add(static_cast<int32_t>(*value));
    }
  }
  resolved.args = std::move(packer.bytes);
  return resolved;
}

} // namespace

Result<AxisSizes> inferAxes(const Plan &plan, const std::map<std::string, std::vector<int64_t>, std::less<>> &shapes,
                            const AxisSizes &given) {
  Inference inference(plan);
  for (const PlanAxis &axis : plan.axes)
    if (axis.staticSize)
      if (Status status = inference.set(axis.name, *axis.staticSize, "the plan, which was compiled for it"); !status)
        return status.error();
  for (const auto &[name, size] : given) {
    if (!plan.findAxis(name))
      return invalid("`" + name + "` is no axis of " + plan.spec);
    if (inference.isDerived(name)) // checked below
      continue;
    if (Status status = inference.set(name, size, "the caller"); !status)
      return status.error();
  }
  std::vector<Equation> equations;
  for (const auto &[name, shape] : shapes) {
    const PlanTensor *tensor = plan.findTensor(name);
    if (!tensor)
      return invalid("`" + name + "` is no tensor of " + plan.spec);
    if (tensor->dims.size() != shape.size()) {
      std::string names;
      for (const PlanDim &dim : tensor->dims)
        names += (names.empty() ? "" : ", ") + dim.display;
      return invalid("`" + name + "` has shape " + shapeText(shape) + ", but " + std::to_string(tensor->dims.size()) +
                     " dimensions: [" + names + "]");
    }
    for (size_t d = 0; d < shape.size(); ++d) {
      Equation equation{tensor, &tensor->dims[d], shape[d]};
      bool mayBeEmpty = std::any_of(tensor->dims[d].factors.begin(), tensor->dims[d].factors.end(),
                                    [&](const std::string &factor) { return inference.isDerived(factor); });
      if (shape[d] < (mayBeEmpty ? 0 : 1))
        return invalid(equation.place() + " has size " + std::to_string(shape[d]) + "; it must be at least 1");
      equations.push_back(equation);
    }
  }
  // In the plan's order, so that messages do not depend on the order of names.
  std::stable_sort(equations.begin(), equations.end(),
                   [](const Equation &a, const Equation &b) { return a.tensor < b.tensor; });
  // Single axes first: then a conflict is named by them and not by a product.
  std::stable_sort(equations.begin(), equations.end(),
                   [](const Equation &a, const Equation &b) { return a.dim->factors.size() < b.dim->factors.size(); });
  for (bool progress = true; progress;) {
    progress = false;
    if (Status status = inference.derive(progress); !status)
      return status.error();
    std::vector<Equation> rest;
    for (const Equation &equation : equations) {
      bool done = false;
      if (Status status = inference.use(equation, progress, done); !status)
        return status.error();
      if (!done)
        rest.push_back(equation);
    }
    equations = std::move(rest);
  }
  AxisSizes sizes = inference.take();
  for (const auto &[name, size] : given)
    if (auto it = sizes.find(name); it != sizes.end() && it->second != size)
      return invalid("axis " + name + " is " + std::to_string(it->second) + " by `" +
                     plan.findAxis(name)->derived->text() + "`, but " + std::to_string(size) + " by the caller");
  return sizes;
}

Result<std::vector<int64_t>> tensorShape(const Plan &plan, const PlanTensor &tensor, const AxisSizes &axes) {
  std::vector<int64_t> shape;
  int64_t bytes = byteSize(tensor.type);
  for (const PlanDim &dim : tensor.dims) {
    int64_t size = 1;
    for (const std::string &factor : dim.factors) {
      auto it = axes.find(factor);
      if (it == axes.end()) {
        std::string where;
        for (const PlanTensor &other : plan.tensors)
          for (const PlanDim &candidate : other.dims)
            if (candidate.factors == std::vector<std::string>{factor})
              where += (where.empty() ? "" : ", ") + other.name;
        return invalid("the size of axis " + factor + " is not known; it follows from " +
                       (where.empty() ? "no tensor alone: set it" : "the shape of " + where + ", or can be set"));
      }
      if (__builtin_mul_overflow(size, it->second, &size))
        return invalid("dimension " + dim.display + " of `" + tensor.name + "` overflows 64 bits");
    }
    shape.push_back(size);
    if (__builtin_mul_overflow(bytes, size, &bytes) || bytes > kMaxTensorBytes)
      return invalid("`" + tensor.name + "` of shape " + shapeText(shape) + "... is larger than an address space");
  }
  return shape;
}

bool targetFits(const Plan &plan, const DeviceFacts &facts) {
  char suffix = plan.target.empty() ? ' ' : plan.target.back();
  int needed = archNumber(plan.target);
  return facts.smVersion == 0 || // takes whatever the module says
         (suffix == 'a'   ? facts.smVersion == needed
          : suffix == 'f' ? facts.smVersion / 10 == needed / 10 && facts.smVersion >= needed
                          : facts.smVersion >= needed);
}

Status checkTarget(const Plan &plan, const DeviceFacts &facts) {
  if (!targetFits(plan, facts))
    return Error{ErrorCode::Unsupported, "the plan of " + plan.spec + " is for " + plan.target + "; " + facts.name +
                                             " is sm_" + std::to_string(facts.smVersion)};
  if (facts.smVersion == 0)
    return Status::success();
  for (const PlanModule &module : plan.modules) {
    if (!module.ptx.empty())
      continue;
    std::string archs;
    bool runs = false;
    for (const PlanCubin &cubin : module.cubins) {
      archs += (archs.empty() ? "" : ", ") + cubin.arch;
      runs |= cubinRunsOn(cubin.arch, facts.smVersion);
    }
    if (!runs)
      return Error{ErrorCode::Unsupported,
                   "the plan of " + plan.spec + " has machine code for " + archs + " and no PTX; " + facts.name +
                       " is sm_" + std::to_string(facts.smVersion) + ", which needs code of its own or the PTX"};
  }
  return Status::success();
}

namespace {

/// Axis sizes of a call whose tensors fit the plan.
Result<AxisSizes> checkTensors(const Plan &plan, const std::vector<TensorView> &tensors, const DeviceFacts &facts,
                               const AxisSizes &given) {
  if (Status status = checkTarget(plan, facts); !status)
    return status.error();
  if (tensors.size() != plan.tensors.size())
    return invalid(std::to_string(tensors.size()) + " tensors for a plan with " + std::to_string(plan.tensors.size()));
  std::map<std::string, std::vector<int64_t>, std::less<>> shapes;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].present)
      shapes[plan.tensors[i].name] = tensors[i].shape;
    else if (!plan.tensors[i].optional)
      return invalid("`" + plan.tensors[i].name + "` of " + plan.spec + " is not given and not optional");
  }
  Result<AxisSizes> axes = inferAxes(plan, shapes, given);
  if (!axes)
    return axes;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].present)
      continue;
    Result<std::vector<int64_t>> shape = tensorShape(plan, plan.tensors[i], *axes);
    if (!shape)
      return shape.takeError();
    if (Status status = checkView(plan.tensors[i], tensors[i], *shape); !status)
      return status.error();
  }
  return axes;
}

Result<bool> holds(const Plan &plan, size_t entry, const CallScope &scope, bool preferred) {
  const Expr &expr = preferred ? plan.entries[entry].prefer : plan.entries[entry].guard;
  Result<int64_t> value = expr.evaluate(scope);
  if (!value)
    return Error{value.error().code, (preferred ? "preference of entry " : "guard of entry ") + std::to_string(entry) +
                                         ": " + value.error().message};
  return *value != 0;
}

} // namespace

Result<ResolvedCall> resolveCall(const Plan &plan, const std::vector<TensorView> &tensors, const DeviceFacts &facts,
                                 const AxisSizes &given, std::optional<size_t> forced) {
  Result<AxisSizes> axes = checkTensors(plan, tensors, facts, given);
  if (!axes)
    return axes.takeError();

  ResolvedCall call;
  CallScope scope(plan, tensors, *axes, facts);
  if (forced) {
    if (*forced >= plan.entries.size())
      return invalid("there is no entry " + std::to_string(*forced) + "; the plan has " +
                     std::to_string(plan.entries.size()) + ", counted from 0");
    Result<bool> good = holds(plan, *forced, scope, /*preferred=*/false);
    if (!good)
      return good.takeError();
    if (!*good)
      return Error{ErrorCode::Unsupported, "entry " + std::to_string(*forced) + " cannot run here: its guard `" +
                                               plan.entries[*forced].guard.text() + "` does not hold"};
    call.entry = *forced;
  } else {
    bool found = false, wanted = false;
    std::string guards;
    for (size_t e = 0; e < plan.entries.size() && !wanted; ++e) {
      Result<bool> good = holds(plan, e, scope, /*preferred=*/false);
      if (!good)
        return good.takeError();
      if (guards.size() < 2000)
        guards += "\n  `" + plan.entries[e].guard.text() + "`: " + plan.entries[e].reason;
      if (!*good)
        continue;
      Result<bool> best = holds(plan, e, scope, /*preferred=*/true);
      if (!best)
        return best.takeError();
      wanted = *best;
      if (wanted || !found)
        call.entry = e;
      found = true;
    }
    if (!found)
      return Error{ErrorCode::Unsupported,
                   plan.spec + " was not compiled for these shapes, strides and addresses; it needs one of" + guards};
  }

  const PlanEntry &entry = plan.entries[call.entry];
  for (const PlanWorkspace &workspace : entry.workspaces) {
    Result<int64_t> bytes = workspace.bytes.evaluate(scope);
    if (!bytes)
      return Error{bytes.error().code, "workspace `" + workspace.name + "`: " + bytes.error().message};
    if (*bytes < 0 || *bytes > kMaxTensorBytes)
      return invalid("workspace `" + workspace.name + "` has " + std::to_string(*bytes) + " bytes");
    call.workspaces.push_back({workspace.name, *bytes, workspace.init});
  }
  for (const PlanLaunch &launch : entry.launches) {
    Result<ResolvedLaunch> resolved = resolveLaunch(plan, entry, launch, scope, facts);
    if (!resolved)
      return resolved.takeError();
    call.launches.push_back(std::move(*resolved));
  }
  call.axes = std::move(*axes);
  return call;
}

Status LoadedPlan::launch(const ResolvedCall &call, const std::vector<DeviceAddress> &tensors,
                          const std::vector<DeviceAddress> &workspaces) {
  if (tensors.size() != plan_->tensors.size() || workspaces.size() != call.workspaces.size())
    return invalid("the number of addresses does not fit the call");
  for (size_t i = 0; i < workspaces.size(); ++i)
    if (call.workspaces[i].init == WorkspaceInit::Zero && call.workspaces[i].bytes > 0)
      if (Status status = device_->fillZero(workspaces[i], static_cast<size_t>(call.workspaces[i].bytes)); !status)
        return status;
  for (const ResolvedLaunch &launch : call.launches) {
    auto kernel = kernels_.find({launch.module, launch.kernel});
    if (kernel == kernels_.end())
      return invalid("kernel " + launch.kernel + " is not part of this plan");
    std::vector<std::byte> args = launch.args;
    for (const ResolvedLaunch::Pointer &pointer : launch.pointers) {
      DeviceAddress address = pointer.workspace ? workspaces[pointer.index] : tensors[pointer.index];
      std::memcpy(args.data() + pointer.offset, &address, sizeof address);
    }
    if (launch.shape.grid[0] == 0)
      continue;
    if (Status status = device_->launch(kernel->second, launch.shape, args); !status)
      return status;
  }
  return Status::success();
}

namespace {

/// Events of one device, destroyed at the end.
class EventPair {
public:
  explicit EventPair(Device &device) : device_(device) {}
  ~EventPair() {
    for (EventHandle event : events_)
      if (event != EventHandle{})
        (void)device_.destroyEvent(event);
  }
  Status create() {
    for (EventHandle &event : events_) {
      Result<EventHandle> made = device_.createEvent();
      if (!made)
        return made.takeError();
      event = *made;
    }
    return Status::success();
  }
  Status begin() { return device_.recordEvent(events_[0]); }
  Status end() { return device_.recordEvent(events_[1]); }
  Result<double> milliseconds() { return device_.elapsedMilliseconds(events_[0], events_[1]); }

private:
  Device &device_;
  EventHandle events_[2] = {};
};

/// Bytes of a written tensor before the run: gaps as they are; the elements of an output all ones, those of a carry its
/// values.
std::vector<std::byte> bytesBefore(const Array &array, TensorRole role) {
  std::vector<std::byte> bytes(array.bytes().begin(), array.bytes().end());
  if (role == TensorRole::Carry)
    return bytes;
  size_t element = static_cast<size_t>(byteSize(array.type()));
  if (array.contiguous())
    std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  else
    for (int64_t i = 0; i < array.elements(); ++i)
      std::fill_n(bytes.begin() + array.position(i) * byteSize(array.type()), element, std::byte{0xff});
  return bytes;
}

/// Copies the elements of a run's result; a gap that changed is an error.
Status takeWritten(const std::string &name, Array &array, const std::vector<std::byte> &bytes) {
  size_t element = static_cast<size_t>(byteSize(array.type()));
  if (!array.contiguous()) {
    std::vector<std::byte> expected(array.bytes().begin(), array.bytes().end());
    for (int64_t i = 0; i < array.elements(); ++i) {
      size_t at = static_cast<size_t>(array.position(i)) * element;
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), element,
                  expected.begin() + static_cast<std::ptrdiff_t>(at));
    }
    auto [wrong, ignored] = std::mismatch(bytes.begin(), bytes.end(), expected.begin());
    if (wrong != bytes.end())
      return Error{ErrorCode::LaunchFailed, "the kernels wrote between the elements of `" + name + "`, at byte " +
                                                std::to_string(wrong - bytes.begin())};
  }
  std::copy(bytes.begin(), bytes.end(), array.bytes().begin());
  return Status::success();
}

} // namespace

namespace {

/// Host side of every tensor of a request, in the plan's order.
struct BoundTensors {
  std::vector<const Array *> arrays; // null: absent
  std::vector<Array *> writable;     // of outputs and carries, else null
  std::vector<TensorView> views;     // at places that stand for device addresses
  std::vector<int64_t> offsets;      // bytes
};

/// Outputs and carries that the request does not bring to be written are made in `outputs`.
Result<BoundTensors> bindTensors(const Plan &plan, const ExecuteRequest &request,
                                 std::map<std::string, Array, std::less<>> &outputs) {
  std::map<std::string, std::vector<int64_t>, std::less<>> shapes;
  for (const auto &[name, array] : request.inputs) {
    const PlanTensor *tensor = plan.findTensor(name);
    if (!tensor || !isRead(tensor->role))
      return invalid("`" + name + "` is no input of " + plan.spec);
    shapes[name] = array->shape();
  }
  for (const auto &[name, array] : request.outputs) {
    const PlanTensor *tensor = plan.findTensor(name);
    if (!tensor || !isWritten(tensor->role))
      return invalid("`" + name + "` is no output of " + plan.spec);
    if (shapes.count(name))
      return invalid("carry `" + name + "` of " + plan.spec +
                     " is given twice: either as an input, whose end is a new array, or to be changed in place");
    shapes[name] = array->shape();
  }
  for (const auto &[name, offset] : request.addressOffsets)
    if (!plan.findTensor(name) || offset < 0 || offset > 1 << 20)
      return invalid("an address offset of " + std::to_string(offset) + " for `" + name + "`");
  Result<AxisSizes> axes = inferAxes(plan, shapes, request.axes);
  if (!axes)
    return axes.takeError();

  BoundTensors bound;
  bound.writable.resize(plan.tensors.size());
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const PlanTensor &tensor = plan.tensors[i];
    auto offset = request.addressOffsets.find(tensor.name);
    bound.offsets.push_back(offset == request.addressOffsets.end() ? 0 : offset->second);
    auto input = request.inputs.find(tensor.name);
    auto it = request.outputs.find(tensor.name);
    bool given = input != request.inputs.end();
    if (!isWritten(tensor.role)) {
      if (!given && !tensor.optional)
        return invalid("input `" + tensor.name + "` of " + plan.spec + " is not given");
      bound.arrays.push_back(given ? input->second : nullptr);
      continue;
    }
    if (it != request.outputs.end()) {
      bound.writable[i] = it->second;
    } else if (given) {
      bound.writable[i] = &(outputs[tensor.name] = *input->second);
    } else if (tensor.optional) {
      bound.arrays.push_back(nullptr);
      continue;
    } else { // an output, or a carry that starts at zero
      Result<std::vector<int64_t>> shape = tensorShape(plan, tensor, *axes);
      if (!shape)
        return shape.takeError();
      Result<Array> made = Array::create(tensor.type, std::move(*shape));
      if (!made)
        return made.takeError();
      bound.writable[i] = &(outputs[tensor.name] = std::move(*made));
    }
    bound.arrays.push_back(bound.writable[i]);
  }
  for (size_t i = 0; i < bound.arrays.size(); ++i) {
    if (const Array *array = bound.arrays[i])
      bound.views.push_back({array->type(), array->shape(), array->strides(),
                             static_cast<DeviceAddress>((int64_t{1} << 20) + bound.offsets[i]), true});
    else
      bound.views.push_back({plan.tensors[i].type, {}, {}, 0, false});
  }
  return bound;
}

} // namespace

Result<std::vector<size_t>> reachableEntries(const Plan &plan, const DeviceFacts &facts,
                                             const ExecuteRequest &request) {
  std::map<std::string, Array, std::less<>> outputs;
  Result<BoundTensors> bound = bindTensors(plan, request, outputs);
  if (!bound)
    return bound.takeError();
  Result<AxisSizes> axes = checkTensors(plan, bound->views, facts, request.axes);
  if (!axes)
    return axes.takeError();
  CallScope scope(plan, bound->views, *axes, facts);
  std::vector<size_t> entries;
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    Result<bool> good = holds(plan, e, scope, /*preferred=*/false);
    if (!good)
      return good.takeError();
    if (*good)
      entries.push_back(e);
  }
  return entries;
}

Result<ExecuteResult> execute(LoadedPlan &loaded, const ExecuteRequest &request) {
  const Plan &plan = loaded.plan();
  Device &device = loaded.device();
  ExecuteResult result;
  Result<BoundTensors> bound = bindTensors(plan, request, result.outputs);
  if (!bound)
    return bound.takeError();
  const std::vector<const Array *> &arrays = bound->arrays;
  const std::vector<Array *> &writable = bound->writable;
  std::vector<TensorView> &views = bound->views;

  // Everything that can be refused without the device, before memory is taken from it.
  if (Result<ResolvedCall> dry = resolveCall(plan, views, device.facts(), request.axes, request.entry); !dry)
    return dry.takeError();

  std::vector<DeviceBuffer> buffers;
  std::vector<DeviceAddress> addresses, workspaces;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (!arrays[i]) {
      addresses.push_back(0);
      continue;
    }
    size_t offset = static_cast<size_t>(bound->offsets[i]);
    Result<DeviceBuffer> buffer = DeviceBuffer::allocate(device, arrays[i]->bytes().size() + offset);
    if (!buffer)
      return Error{buffer.error().code, "`" + plan.tensors[i].name + "`: " + buffer.error().message};
    addresses.push_back(buffer->address() + offset);
    views[i].address = addresses.back();
    buffers.push_back(std::move(*buffer));
    Status status;
    if (writable[i]) {
      std::vector<std::byte> bytes = bytesBefore(*writable[i], plan.tensors[i].role);
      status = device.upload(addresses[i], bytes.data(), bytes.size());
    } else {
      status = device.upload(addresses[i], arrays[i]->bytes().data(), arrays[i]->bytes().size());
    }
    if (!status)
      return status.error();
  }
  Result<ResolvedCall> call = resolveCall(plan, views, device.facts(), request.axes, request.entry);
  if (!call)
    return call.takeError();
  for (const ResolvedWorkspace &workspace : call->workspaces) {
    Result<DeviceBuffer> buffer = DeviceBuffer::allocate(device, static_cast<size_t>(workspace.bytes));
    if (!buffer)
      return Error{buffer.error().code, "workspace `" + workspace.name + "`: " + buffer.error().message};
    workspaces.push_back(buffer->address());
    buffers.push_back(std::move(*buffer));
    result.workspaceBytes += workspace.bytes;
  }

  EventPair events(device);
  if (Status status = events.create(); !status)
    return status.error();
  for (int repeat = 0; repeat < std::max(request.repeats, 1); ++repeat) {
    for (size_t i = 0; repeat > 0 && i < arrays.size(); ++i) // each run starts where the first did
      if (writable[i] && plan.tensors[i].role == TensorRole::Carry)
        if (Status status = device.upload(addresses[i], writable[i]->bytes().data(), writable[i]->bytes().size());
            !status)
          return status.error();
    if (Status status = events.begin(); !status)
      return status.error();
    if (Status status = loaded.launch(*call, addresses, workspaces); !status)
      return status.error();
    if (Status status = events.end(); !status)
      return status.error();
    if (Status status = device.synchronize(); !status)
      return status.error();
    Result<double> milliseconds = events.milliseconds();
    if (!milliseconds)
      return milliseconds.takeError();
    result.milliseconds.push_back(*milliseconds);
  }

  for (size_t i = 0; i < arrays.size(); ++i) {
    if (!writable[i])
      continue;
    std::vector<std::byte> bytes(writable[i]->bytes().size());
    if (Status status = device.download(bytes.data(), addresses[i], bytes.size()); !status)
      return status.error();
    if (Status status = takeWritten(plan.tensors[i].name, *writable[i], bytes); !status)
      return status.error();
  }
  result.reason = plan.entries[call->entry].reason;
  result.call = std::move(*call);
  return result;
}

Result<ExecuteResult> execute(const Plan &plan, Device &device, const ExecuteRequest &request,
                              const LoadOptions &options, LoadReport *report) {
  Result<LoadedPlan> loaded = LoadedPlan::load(plan, device, options, report);
  if (!loaded)
    return loaded.takeError();
  return execute(*loaded, request);
}

} // namespace fovea::runtime
