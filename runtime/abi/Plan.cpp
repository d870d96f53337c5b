// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Checks, signature and lookup of plans; the JSON form is in PlanJson.cpp.
#include "runtime/abi/Plan.h"

#include "runtime/abi/Hash.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace fovea::runtime {

namespace {

// Far above what any variant needs; they bound the work that a hostile plan can cause.
constexpr size_t kMaxName = 128;
constexpr size_t kMaxFreeText = 4096;
constexpr size_t kMaxAxes = 64;
constexpr size_t kMaxTensors = 128;
constexpr size_t kMaxDims = 16;
constexpr size_t kMaxFactors = 8;
constexpr size_t kMaxEntries = 256;
constexpr size_t kMaxWorkspaces = 64;
constexpr size_t kMaxLaunches = 256;
constexpr size_t kMaxModules = 64;
constexpr int64_t kMaxAxisSize = int64_t{1} << 40;
constexpr size_t kMaxParameterBytes = 4096; // of a kernel, before PTX 8.1
constexpr uint32_t kMaxSharedBytes = 1 << 20;
constexpr size_t kMaxCubins = 32;
constexpr size_t kMaxCodeBytes = size_t{256} << 20; // of all modules together, as in PlanJson.cpp
constexpr int64_t kMaxTestSize = 65536;
constexpr size_t kMaxTestValues = 65536; // of all tensors of a self-test

bool isLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool isDigit(char c) { return c >= '0' && c <= '9'; }

/// A letter or `_` (or one of `extra`), then also digits and `more`.
bool isName(std::string_view text, std::string_view first = "", std::string_view more = "") {
  if (text.empty() || text.size() > kMaxName)
    return false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool good = isLetter(c) || (i == 0 ? first : more).find(c) != std::string_view::npos || (i > 0 && isDigit(c));
    if (!good)
      return false;
  }
  return true;
}

bool isModuleName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) { return isLetter(c) || isDigit(c) || c == '-'; });
}

bool isTarget(std::string_view text) {
  if (!text.starts_with("sm_"))
    return false;
  text.remove_prefix(3);
  if (!text.empty() && (text.back() == 'a' || text.back() == 'f'))
    text.remove_suffix(1);
  return (text.size() == 2 || text.size() == 3) && std::all_of(text.begin(), text.end(), isDigit) && text[0] != '0';
}

bool isPtxVersion(std::string_view text) {
  size_t dot = text.find('.');
  if (dot == std::string_view::npos)
    return false;
  auto number = [](std::string_view part) {
    return (part.size() == 1 || part.size() == 2) && std::all_of(part.begin(), part.end(), isDigit);
  };
  return number(text.substr(0, dot)) && number(text.substr(dot + 1));
}

/// What a name looks like in a message: a hostile one is cut.
std::string quote(std::string_view text) {
  std::string quoted = "`";
  for (char c : text.substr(0, 40))
    quoted += c >= ' ' && c < 0x7f ? c : '?';
  return quoted + (text.size() > 40 ? "...`" : "`");
}

class Validator {
public:
  explicit Validator(const Plan &plan) : plan_(plan) {}

  Status run() {
    header();
    modules();
    axes();
    tensors();
    entries();
    if (plan_.selfTest && !failed())
      selfTest(*plan_.selfTest);
    promises();
    if (!message_.empty())
      return Error{ErrorCode::Corrupt, "plan: " + message_};
    return Status::success();
  }

private:
  void fail(const std::string &message) {
    if (message_.empty())
      message_ = message;
  }
  bool check(bool good, const std::string &message) {
    if (!good)
      fail(message);
    return good;
  }
  bool failed() const { return !message_.empty(); }

  void count(const char *what, size_t size, size_t least, size_t most) {
    check(size >= least && size <= most, std::to_string(size) + " " + what + "; there must be " +
                                             std::to_string(least) + " to " + std::to_string(most));
  }

  void freeText(const char *what, std::string_view text) {
    check(text.size() <= kMaxFreeText && text.find('\0') == std::string_view::npos,
          std::string(what) + " is longer than " + std::to_string(kMaxFreeText) + " bytes or holds a null byte");
  }

  void header() {
    freeText("the producer", plan_.producer);
    check(isName(plan_.spec, "", ".-"), "spec " + quote(plan_.spec) + " is no name");
    check(isTarget(plan_.target), "target " + quote(plan_.target) + " is not of the form sm_80");
    check(isPtxVersion(plan_.ptxVersion), "PTX version " + quote(plan_.ptxVersion) + " is not of the form 7.0");
  }

  void modules() {
    count("modules", plan_.modules.size(), 1, kMaxModules);
    std::set<std::string_view> seen;
    size_t bytes = 0;
    for (const PlanModule &module : plan_.modules) {
      bytes += module.ptx.size();
      for (const PlanCubin &cubin : module.cubins)
        bytes += cubin.bytes.size();
      check(bytes <= kMaxCodeBytes, "its modules hold more than " + std::to_string(kMaxCodeBytes >> 20) + " MiB");
      if (failed())
        return;
      check(isModuleName(module.name),
            "module " + quote(module.name) + ": a name has letters, digits, `_` and `-` only");
      check(seen.insert(module.name).second, "module " + quote(module.name) + " occurs twice");
      check(!module.ptx.empty() || !module.cubins.empty(),
            "module " + quote(module.name) + " has neither PTX nor machine code");
      count(("cubins of module " + quote(module.name)).c_str(), module.cubins.size(), 0, kMaxCubins);
      std::set<std::string_view> archs;
      for (const PlanCubin &cubin : module.cubins) {
        std::string which = "module " + quote(module.name) + ": machine code for " + quote(cubin.arch);
        check(isTarget(cubin.arch), which + ": the architecture is not of the form sm_80");
        check(archs.insert(cubin.arch).second, which + " occurs twice");
        check(!cubin.bytes.empty(), which + " is empty");
      }
      check(std::all_of(module.ptx.begin(), module.ptx.end(),
                        [](char c) { return (c >= ' ' && c < 0x7f) || c == '\n' || c == '\t' || c == '\r'; }),
            "module " + quote(module.name) + ": PTX is plain text, this has other bytes");
    }
  }

  void axes() {
    count("axes", plan_.axes.size(), 0, kMaxAxes);
    std::set<std::string_view> seen;
    for (const PlanAxis &axis : plan_.axes) {
      if (failed())
        return;
      check(isName(axis.name), "axis " + quote(axis.name) + " is no name");
      check(seen.insert(axis.name).second, "axis " + quote(axis.name) + " occurs twice");
      freeText("the relation of an axis", axis.relation);
      if (axis.staticSize)
        check(*axis.staticSize >= 1 && *axis.staticSize <= kMaxAxisSize,
              "axis " + quote(axis.name) + " has size " + std::to_string(*axis.staticSize));
      if (!axis.derived)
        continue;
      const Expr &size = *axis.derived;
      std::string where = "axis " + quote(axis.name) + ": size";
      expression(where, size);
      check(!axis.staticSize, "axis " + quote(axis.name) + " has a size of its own and a derived one");
      check(size.strides().empty() && size.alignments().empty() && size.presences().empty() && !size.asksDevice(),
            where + " `" + size.text() + "` asks for more than axes");
      for (const std::string &name : size.axes())
        if (const PlanAxis *other = plan_.findAxis(name))
          check(!other->derived, where + " `" + size.text() + "`: " + quote(name) + " is derived itself");
    }
  }

  void tensors() {
    count("tensors", plan_.tensors.size(), 1, kMaxTensors);
    std::set<std::string_view> seen;
    for (const PlanTensor &tensor : plan_.tensors) {
      if (failed())
        return;
      std::string where = "tensor " + quote(tensor.name);
      check(isName(tensor.name, "", "."), where + " is no name");
      check(seen.insert(tensor.name).second, where + " occurs twice");
      count(("dimensions of " + where).c_str(), tensor.dims.size(), 0, kMaxDims);
      if (failed())
        return;
      std::set<std::string_view> displays;
      for (const PlanDim &dim : tensor.dims) {
        check(isName(dim.display), where + ": dimension " + quote(dim.display) + " is no name");
        check(displays.insert(dim.display).second, where + ": dimension " + quote(dim.display) + " occurs twice");
        count(("factors of a dimension of " + where).c_str(), dim.factors.size(), 1, kMaxFactors);
        std::set<std::string_view> factors;
        for (const std::string &factor : dim.factors) {
          check(plan_.findAxis(factor) != nullptr, where + ": " + quote(factor) + " is no axis of the plan");
          check(factors.insert(factor).second, where + ": axis " + quote(factor) + " occurs twice in one dimension");
        }
      }
      check(!tensor.optional || tensor.role != TensorRole::Output, where + " is an output and cannot be optional");
    }
  }

  void expression(const std::string &where, const Expr &expr) {
    for (const std::string &axis : expr.axes())
      check(plan_.findAxis(axis) != nullptr, where + " `" + expr.text() + "`: " + quote(axis) + " is no axis");
    for (const auto &[name, dim] : expr.strides()) {
      const PlanTensor *tensor = plan_.findTensor(name);
      if (!check(tensor != nullptr, where + " `" + expr.text() + "`: " + quote(name) + " is no tensor"))
        return;
      check(std::any_of(tensor->dims.begin(), tensor->dims.end(),
                        [&, &wanted = dim](const PlanDim &d) { return d.display == wanted; }),
            where + " `" + expr.text() + "`: tensor " + quote(name) + " has no dimension " + quote(dim));
    }
    for (const auto *names : {&expr.alignments(), &expr.presences()})
      for (const std::string &name : *names)
        check(plan_.findTensor(name) != nullptr, where + " `" + expr.text() + "`: " + quote(name) + " is no tensor");
  }

  void launch(const std::string &where, const PlanEntry &entry, const PlanLaunch &launch) {
    check(launch.module < plan_.modules.size(), where + ": module " + std::to_string(launch.module) + " of " +
                                                    std::to_string(plan_.modules.size()) + " does not exist");
    check(isName(launch.kernel, "$", "$"), where + ": kernel " + quote(launch.kernel) + " is no name");
    for (const Expr &size : launch.grid)
      expression(where + ": grid", size);
    uint64_t threads = 1, blocks = 1;
    for (int d = 0; d < 3; ++d) {
      check(launch.block[d] >= 1 && launch.block[d] <= (d == 2 ? 64u : 1024u),
            where + ": a block of " + std::to_string(launch.block[d]) + " threads along " + "xyz"[d]);
      check(launch.cluster[d] >= 1 && launch.cluster[d] <= 16,
            where + ": a cluster of " + std::to_string(launch.cluster[d]) + " blocks along " + "xyz"[d]);
      threads *= launch.block[d];
      blocks *= launch.cluster[d];
    }
    if (failed())
      return;
    check(threads <= 1024, where + ": " + std::to_string(threads) + " threads per block; at most 1024");
    check(blocks <= 16, where + ": " + std::to_string(blocks) + " blocks per cluster; at most 16");
    check(launch.sharedBytes <= kMaxSharedBytes,
          where + ": " + std::to_string(launch.sharedBytes) + " bytes of shared memory");
    check(launch.args.size() * 4 <= kMaxParameterBytes, where + ": more than 4096 bytes of parameters");
    size_t bytes = 0;
    for (const PlanArg &arg : launch.args) {
      if (failed())
        return;
      size_t size = arg.kind == PlanArg::Kind::Pointer || arg.kind == PlanArg::Kind::I64 ? 8 : 4;
      bytes = (bytes + size - 1) / size * size + size;
      switch (arg.kind) {
      case PlanArg::Kind::Pointer: {
        bool known = plan_.findTensor(arg.name) != nullptr ||
                     std::any_of(entry.workspaces.begin(), entry.workspaces.end(),
                                 [&](const PlanWorkspace &workspace) { return workspace.name == arg.name; });
        check(known, where + ": " + quote(arg.name) + " is neither a tensor nor a workspace of the entry");
        break;
      }
      case PlanArg::Kind::I64:
      case PlanArg::Kind::I32:
        expression(where + ": argument", arg.expr);
        break;
      case PlanArg::Kind::F32:
        check(!std::isnan(arg.number), where + ": an argument is not a number");
        break;
      }
    }
    check(bytes <= kMaxParameterBytes, where + ": more than 4096 bytes of parameters");
  }

  void entries() {
    count("entries", plan_.entries.size(), 1, kMaxEntries);
    for (size_t e = 0; e < plan_.entries.size() && !failed(); ++e) {
      const PlanEntry &entry = plan_.entries[e];
      std::string where = "entry " + std::to_string(e);
      expression(where + ": guard", entry.guard);
      expression(where + ": preference", entry.prefer);
      freeText("the reason of an entry", entry.reason);
      count(("workspaces of " + where).c_str(), entry.workspaces.size(), 0, kMaxWorkspaces);
      count(("launches of " + where).c_str(), entry.launches.size(), 1, kMaxLaunches);
      if (failed())
        return;
      std::set<std::string_view> seen;
      for (const PlanWorkspace &workspace : entry.workspaces) {
        check(isName(workspace.name, "", "."), where + ": workspace " + quote(workspace.name) + " is no name");
        check(seen.insert(workspace.name).second, where + ": workspace " + quote(workspace.name) + " occurs twice");
        check(plan_.findTensor(workspace.name) == nullptr,
              where + ": workspace " + quote(workspace.name) + " has the name of a tensor");
        expression(where + ": bytes", workspace.bytes);
      }
      for (size_t l = 0; l < entry.launches.size() && !failed(); ++l)
        launch(where + ", launch " + std::to_string(l), entry, entry.launches[l]);
    }
  }

  /// An input or output of the self-test: a tensor of the plan, named once.
  const PlanTensor *testTensor(const std::string &name, const char *what, bool fits(TensorRole),
                               std::set<std::string_view> &seen) {
    const PlanTensor *tensor = plan_.findTensor(name);
    std::string where = std::string("self-test: ") + what + " " + quote(name);
    if (!check(tensor && fits(tensor->role), where + " is no " + what + " of the plan"))
      return nullptr;
    check(seen.insert(tensor->name).second, where + " occurs twice");
    return tensor;
  }

  void selfTest(const PlanSelfTest &test) {
    check(test.seed < uint64_t{1} << 53, "self-test: the seed is not below 2^53");
    std::set<std::string_view> axes, given, expected;
    for (const auto &[name, size] : test.axes) {
      const PlanAxis *axis = plan_.findAxis(name);
      std::string where = "self-test: axis " + quote(name);
      check(axis && !axis->staticSize && !axis->derived, where + " is no axis of the plan whose size a caller chooses");
      check(size >= 1 && size <= kMaxTestSize, where + " has size " + std::to_string(size));
      check(axes.insert(name).second, where + " occurs twice");
    }
    size_t values = 0;
    for (const PlanTestInput &input : test.inputs) {
      if (!testTensor(input.tensor, "input", isRead, given))
        return;
      values += input.values.size();
      check(std::all_of(input.values.begin(), input.values.end(), [](double value) { return std::isfinite(value); }),
            "self-test: input " + quote(input.tensor) + " has a value that is not finite");
    }
    for (const PlanTensor &tensor : plan_.tensors)
      check(tensor.optional || isWritten(tensor.role) || given.count(tensor.name),
            "self-test: input " + quote(tensor.name) + " is not given");
    count("outputs of the self-test", test.outputs.size(), 1, kMaxTensors);
    for (const PlanTestOutput &output : test.outputs) {
      if (!testTensor(output.tensor, "output", isWritten, expected))
        return;
      values += output.values.size();
      check(!output.values.empty(), "self-test: output " + quote(output.tensor) + " has no values");
      std::string where = "self-test: output " + quote(output.tensor);
      check(std::none_of(output.values.begin(), output.values.end(), [](double value) { return std::isnan(value); }),
            where + " has a value that is not a number");
      // A test that nothing fails would say that all is well.
      auto bounded = [](double value) { return value >= 0 && value <= 1; };
      check(output.relative2 < 0 ? bounded(output.absolute) && bounded(output.relative) : bounded(output.relative2),
            where + ": a tolerance must be 0 to 1");
    }
    check(values <= kMaxTestValues, "self-test: more than " + std::to_string(kMaxTestValues) + " values");
  }

  void promises() {
    count("promises", plan_.promises.size(), 0, kMaxTensors);
    for (const PlanPromise &promise : plan_.promises) {
      if (failed())
        return;
      const PlanTensor *tensor = plan_.findTensor(promise.tensor);
      const std::string where = "promise of " + quote(promise.tensor);
      if (!check(tensor && isRead(tensor->role), where + ": no input of the plan"))
        return;
      if (promise.rows.empty()) {
        check(promise.least || promise.most, where + ": neither a range nor offsets");
        check(promise.longest.empty(), where + ": lengths without rows");
        for (const std::optional<double> &bound : {promise.least, promise.most})
          check(!bound || std::isfinite(*bound), where + ": a bound is not finite");
        continue;
      }
      check(!promise.least && !promise.most, where + ": a range and offsets");
      check(tensor->type == StorageType::I32 && tensor->dims.size() == 1, where + ": offsets are i32 of one dimension");
      for (const std::string &axis : {promise.rows, promise.longest})
        check(plan_.findAxis(axis) != nullptr, where + ": " + quote(axis) + " is no axis of the plan");
    }
  }

  const Plan &plan_;
  std::string message_;
};

} // namespace

const PlanAxis *Plan::findAxis(std::string_view name) const {
  auto it = std::find_if(axes.begin(), axes.end(), [&](const PlanAxis &axis) { return axis.name == name; });
  return it == axes.end() ? nullptr : &*it;
}

const PlanTensor *Plan::findTensor(std::string_view name) const {
  auto it = std::find_if(tensors.begin(), tensors.end(), [&](const PlanTensor &tensor) { return tensor.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

int archNumber(std::string_view arch) {
  if (!isTarget(arch))
    return 0;
  int number = 0;
  for (char c : arch.substr(3))
    if (isDigit(c))
      number = number * 10 + (c - '0');
  return number;
}

bool cubinRunsOn(std::string_view arch, int smVersion) {
  int number = archNumber(arch);
  if (number == 0)
    return false;
  bool exact = arch.ends_with('a');
  return exact ? number == smVersion : number / 10 == smVersion / 10 && number <= smVersion;
}

std::string planSignature(const Plan &plan) {
  static constexpr const char *kRoles[] = {"input", "param", "output", "carry"};
  std::string text;
  for (const PlanTensor &tensor : plan.tensors) {
    text += tensor.name + " " + kRoles[static_cast<int>(tensor.role)] + " " + typeName(tensor.type) + " [";
    for (const PlanDim &dim : tensor.dims) {
      text += dim.display + "=";
      for (const std::string &factor : dim.factors)
        text += factor + "*";
      text += ",";
    }
    text += tensor.optional ? "] optional\n" : "]\n";
  }
  for (const PlanAxis &axis : plan.axes) {
    if (axis.staticSize)
      text += axis.name + "=" + std::to_string(*axis.staticSize) + "\n";
    if (axis.derived)
      text += axis.name + ":=" + axis.derived->text() + "\n";
  }
  return hashText(text);
}

int planVersion(const Plan &plan) {
  auto asksPresence = [](const Expr &expr) { return !expr.presences().empty(); };
  bool second =
      std::any_of(plan.tensors.begin(), plan.tensors.end(), [](const PlanTensor &tensor) { return tensor.optional; });
  for (const PlanAxis &axis : plan.axes)
    second |= axis.derived.has_value();
  for (const PlanEntry &entry : plan.entries) {
    int64_t prefer = 0;
    second |= !entry.prefer.isConstant(&prefer) || prefer != 1 || asksPresence(entry.guard);
    for (const PlanWorkspace &workspace : entry.workspaces)
      second |= asksPresence(workspace.bytes);
    for (const PlanLaunch &launch : entry.launches) {
      for (const Expr &size : launch.grid)
        second |= asksPresence(size);
      for (const PlanArg &arg : launch.args)
        second |= asksPresence(arg.expr);
    }
  }
  bool third = std::any_of(plan.tensors.begin(), plan.tensors.end(),
                           [](const PlanTensor &tensor) { return tensor.role == TensorRole::Carry; });
  bool fourth = plan.selfTest.has_value();
  for (const PlanModule &module : plan.modules)
    fourth |= module.ptx.empty() || module.cubins.size() > 1 ||
              (module.cubins.size() == 1 && module.cubins[0].arch != plan.target);
  return !plan.promises.empty() ? 5 : fourth ? 4 : third ? 3 : second ? 2 : 1;
}

Status validatePlan(const Plan &plan) { return Validator(plan).run(); }

} // namespace fovea::runtime
