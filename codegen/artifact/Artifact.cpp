// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Programs and kernels to plans.
#include "codegen/artifact/Artifact.h"

#include "dialect/common/Target.h"
#include "dialect/tile/TileDialect.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::codegen;
namespace rt = fovea::runtime;

static llvm::Expected<rt::StorageType> storageOf(Type type) {
  if (type.isBF16())
    return rt::StorageType::BF16;
  if (type.isF16())
    return rt::StorageType::F16;
  if (type.isF32())
    return rt::StorageType::F32;
  if (type.isInteger(32))
    return rt::StorageType::I32;
  return llvm::createStringError("a tensor has an element type that plans do not have");
}

static llvm::Expected<rt::Expr> expression(const std::string &text) {
  auto parsed = rt::Expr::parse(text);
  if (!parsed)
    return llvm::createStringError("the expression '%s' cannot be part of a plan: %s", text.c_str(),
                                   parsed.error().message.c_str());
  return *parsed;
}

static std::vector<std::string> factorsOf(StringRef product) {
  SmallVector<StringRef> parts;
  product.split(parts, '*');
  std::vector<std::string> result;
  for (StringRef part : parts)
    result.push_back(part.str());
  return result;
}

static llvm::Expected<rt::PlanEntry> makeEntry(const rt::Plan &plan, tile::ProgramOp program,
                                               llvm::ArrayRef<const Kernel *> kernels);

/// The text of a program's choice; empty if there is none.
static std::string choiceOf(tile::ProgramOp program, StringRef name) {
  DictionaryAttr choices = program.getChoicesAttr();
  auto text = choices ? choices.getAs<StringAttr>(name) : StringAttr();
  return text ? text.str() : std::string();
}

llvm::Expected<rt::Plan> codegen::makePlan(llvm::ArrayRef<tile::ProgramOp> programs, const std::vector<Kernel> &kernels,
                                           std::string ptx, std::string cubin, const Target &target,
                                           const PlanInfo &info) {
  rt::Plan plan;
  plan.producer = info.producer;
  plan.spec = info.spec;
  plan.target = target.name;
  plan.ptxVersion = target.ptxVersion;
  plan.axes = info.axes;
  plan.modules.push_back({info.spec, std::move(ptx), {}});
  if (!cubin.empty())
    plan.modules.back().cubins.push_back({plan.target, std::move(cubin)});

  auto displayOf = [&](const std::string &product) {
    auto found = info.display.find(product);
    if (found != info.display.end())
      return found->second;
    std::string name = product;
    llvm::replace(name, '*', '_');
    return name;
  };
  for (tile::ProgramOp program : programs)
    for (auto tensor : program.getBody().getOps<tile::TensorOp>()) {
      if (plan.findTensor(tensor.getName()))
        continue;
      rt::PlanTensor entry;
      entry.name = tensor.getName().str();
      entry.role = tensor.getRole() == "input"   ? rt::TensorRole::Input
                   : tensor.getRole() == "param" ? rt::TensorRole::Param
                   : tensor.getRole() == "carry" ? rt::TensorRole::Carry
                                                 : rt::TensorRole::Output;
      auto type = storageOf(tensor.getView().getType().getElementType());
      if (!type)
        return type.takeError();
      entry.type = *type;
      for (auto dim : tensor.getDims().getAsRange<StringAttr>())
        entry.dims.push_back({displayOf(dim.str()), factorsOf(dim)});
      plan.tensors.push_back(std::move(entry));
    }

  for (auto [index, program] : llvm::enumerate(programs)) {
    std::vector<const Kernel *> own;
    for (const Kernel &kernel : kernels)
      if (kernel.program == index)
        own.push_back(&kernel);
    auto entry = makeEntry(plan, program, own);
    if (!entry)
      return entry.takeError();
    plan.entries.push_back(std::move(*entry));
  }
  if (auto status = rt::validatePlan(plan); !status)
    return llvm::createStringError("the plan would not be valid: %s", status.error().message.c_str());
  return plan;
}

/// Kernels take the strides of all dimensions but the last, whose elements they read as neighbours. Of one element
/// there are no neighbours, and frameworks give it any stride.
static std::string innermostStrides(const rt::Plan &plan, const rt::PlanEntry &entry) {
  std::string guard;
  for (const rt::PlanTensor &tensor : plan.tensors) {
    bool used = false;
    for (const rt::PlanLaunch &launch : entry.launches)
      used |= llvm::any_of(launch.args, [&](const rt::PlanArg &arg) {
        return arg.kind == rt::PlanArg::Kind::Pointer && arg.name == tensor.name;
      });
    if (!used || tensor.dims.empty())
      continue;
    const rt::PlanDim &last = tensor.dims.back();
    std::string test = "stride(" + tensor.name + ", " + last.display + ") == 1", size;
    int64_t known = 1;
    for (const std::string &factor : last.factors) {
      const rt::PlanAxis *axis = plan.findAxis(factor);
      if (axis && axis->staticSize)
        known *= *axis->staticSize;
      else
        size += (size.empty() ? "" : " * ") + factor;
    }
    if (known == 1 && size.empty())
      continue;
    if (known == 1)
      test = "(" + test + " || " + size + " == 1)";
    guard += (guard.empty() ? "" : " && ") + test;
  }
  return guard;
}

static llvm::Expected<rt::PlanEntry> makeEntry(const rt::Plan &plan, tile::ProgramOp program,
                                               llvm::ArrayRef<const Kernel *> kernels) {
  rt::PlanEntry entry;
  for (auto workspace : program.getBody().getOps<tile::WorkspaceOp>()) {
    std::string bytes = std::to_string(workspace.getView().getType().getElementType().getIntOrFloatBitWidth() / 8);
    for (auto [dim, size] :
         llvm::zip(workspace.getDims().getAsRange<StringAttr>(), workspace.getView().getType().getShape()))
      if (ShapedType::isDynamic(size)) {
        for (const std::string &factor : factorsOf(dim)) {
          auto text = factorExpression(program, factor);
          if (failed(text))
            return llvm::createStringError("a workspace has a size that the host cannot compute");
          bytes += " * " + *text;
        }
      } else {
        bytes += " * " + std::to_string(size);
      }
    auto expr = expression(bytes);
    if (!expr)
      return expr.takeError();
    entry.workspaces.push_back({workspace.getName().str(), *expr, rt::WorkspaceInit::None});
  }

  std::map<std::string, int64_t> alignment;
  for (const Kernel *each : kernels) {
    const Kernel &kernel = *each;
    rt::PlanLaunch launch;
    launch.kernel = kernel.name;
    auto grid = expression(kernel.grid);
    if (!grid)
      return grid.takeError();
    launch.grid[0] = *grid;
    launch.block = {uint32_t(kernel.threads), 1, 1};
    launch.sharedBytes = kernel.sharedBytes;
    for (const KernelArgument &argument : kernel.arguments) {
      switch (argument.kind) {
      case KernelArgument::Kind::Pointer:
        launch.args.push_back(rt::PlanArg::pointer(argument.name));
        break;
      case KernelArgument::Kind::Axis: {
        auto expr = expression(argument.name);
        if (!expr)
          return expr.takeError();
        launch.args.push_back(rt::PlanArg::i32(*expr));
        break;
      }
      case KernelArgument::Kind::Stride: {
        const rt::PlanTensor *tensor = plan.findTensor(argument.name);
        if (!tensor || argument.dim >= tensor->dims.size())
          return llvm::createStringError("a kernel takes a stride of a tensor that the plan lacks");
        auto expr = expression("stride(" + argument.name + ", " + tensor->dims[argument.dim].display + ")");
        if (!expr)
          return expr.takeError();
        launch.args.push_back(rt::PlanArg::i64(*expr));
        break;
      }
      }
    }
    for (auto &[name, bytes] : kernel.alignment)
      alignment[name] = std::max(alignment[name], bytes);
    entry.launches.push_back(std::move(launch));
  }

  // One element's own alignment needs no guard; workspaces are aligned by whoever allocates them.
  std::string guard;
  for (auto &[name, bytes] : alignment)
    if (const rt::PlanTensor *tensor = plan.findTensor(name); tensor && bytes > rt::byteSize(tensor->type))
      guard += (guard.empty() ? "" : " && ") + ("align(" + name + ") >= " + std::to_string(bytes));
  bool vectors = !guard.empty();
  if (std::string inner = innermostStrides(plan, entry); !inner.empty())
    guard += (guard.empty() ? "" : " && ") + inner;
  if (std::string more = choiceOf(program, "guard"); !more.empty())
    guard = guard.empty() ? more : "(" + more + ") && " + guard;
  if (!guard.empty()) {
    auto expr = expression(guard);
    if (!expr)
      return expr.takeError();
    entry.guard = *expr;
  }
  if (std::string prefer = choiceOf(program, "prefer"); !prefer.empty()) {
    auto expr = expression(prefer);
    if (!expr)
      return expr.takeError();
    entry.prefer = *expr;
  }
  std::string access = vectors ? "vector access: addresses and outer strides aligned as the guard says"
                               : "any outer strides and alignment";
  std::string name = choiceOf(program, "entry"), reason = choiceOf(program, "reason");
  entry.reason = (name.empty() ? "" : name + ": ") + (reason.empty() ? "" : reason + "; ") + access;
  return entry;
}
