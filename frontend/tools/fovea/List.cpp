// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea list.
#include "frontend/driver/EmitCpp.h"
#include "frontend/driver/Packing.h"
#include "frontend/tools/fovea/Tool.h"

#include <cstdio>

namespace fovea::tool {

namespace {

std::string axisText(const sema::Attention &attention, const sema::Axis &axis) {
  std::string text = axis.name;
  switch (axis.relation) {
  case sema::AxisRelation::Factor:
    for (size_t i = 0; i < axis.factors.size(); ++i)
      text += (i == 0 ? " = " : " * ") + attention.axes[axis.factors[i]].name;
    break;
  case sema::AxisRelation::Keys:
    text += " keys " + attention.axes[axis.query].name;
    break;
  case sema::AxisRelation::Concat:
    for (size_t i = 0; i < axis.parts.size(); ++i)
      text += (i == 0 ? " = " : " + ") + attention.axes[axis.parts[i]].name;
    break;
  case sema::AxisRelation::Blocks:
    text += " = " + attention.axes[axis.raw].name + " / " + std::to_string(axis.extent);
    break;
  case sema::AxisRelation::Windows:
    text += " = windows(" + attention.axes[axis.raw].name + ", " + std::to_string(axis.extent) +
            ", step: " + std::to_string(axis.step) + ")";
    break;
  case sema::AxisRelation::Outer:
    text += " = " + attention.axes[axis.parts[0]].name + " * " + attention.axes[axis.parts[1]].name;
    break;
  case sema::AxisRelation::Plain:
  case sema::AxisRelation::Walk:
  case sema::AxisRelation::Share:
    break;
  }
  if (axis.size && axis.relation != sema::AxisRelation::Factor)
    text += " (" + std::to_string(*axis.size) + ")";
  else if (axis.isStatic || axis.needsSize)
    text += " (static)";
  return text;
}

std::string boundText(const sema::Declaration &declaration) {
  if (!declaration.contract)
    return {};
  std::string text;
  auto add = [&](const std::optional<sema::Bound> &bound, const char *closed, const char *open) {
    if (bound && bound->value)
      text += std::string(text.empty() ? "" : ", ") + (bound->open ? open : closed) + " " + number(*bound->value, 6);
  };
  add(declaration.contract->lower, ">=", ">");
  add(declaration.contract->upper, "<=", "<");
  return text;
}

/// "B, T : ragged(offsets, max: T)"
std::string storageText(const sema::Attention &attention, const sema::Storage &storage) {
  std::string text;
  for (const sema::Ragged &ragged : storage.ragged)
    text += (text.empty() ? "" : "; ") + attention.axes[ragged.batch].name + ", " + attention.axes[ragged.token].name +
            " : ragged(" + ragged.offsets + ", max: " + attention.axes[ragged.most].name + ")";
  return text;
}

struct ListCommand {
  std::vector<std::string> specs;
  CommonOptions common;
  bool signature = false;
  std::string against; // a plan
  std::optional<runtime::Plan> older;
  const sema::Storage *layout = nullptr; // of the attention that is listed

  int run() {
    Result<driver::CompileOptions> options = common.read();
    if (!options)
      return fail(options.error());
    if (!against.empty()) {
      Result<runtime::Plan> plan = runtime::readPlan(against);
      if (!plan)
        return fail(plan.error());
      older = std::move(*plan);
    }
    int status = 0;
    for (const std::string &spec : specs)
      status |= list(spec, *options);
    return status;
  }

  int list(const std::string &spec, const driver::CompileOptions &options) {
    driver::SpecName name = driver::splitSpecName(spec);
    Result<driver::SourceText> source = driver::readSource(name.path);
    if (!source)
      return fail(source.error());
    driver::Analysis analysis = driver::analyzeSource(*source, options.sets);
    if (analysis.program && !name.attention.empty() && !driver::selectAttention(analysis, name.attention)) {
      report(analysis.diagnostics);
      return 1;
    }
    if (report(analysis.diagnostics))
      return 1;
    int status = 0;
    for (const sema::Attention &attention : analysis.program->attentions)
      if (name.attention.empty() || attention.name == name.attention) {
        layout = driver::selectStorage(attention, options.storage, analysis.diagnostics);
        if (analysis.diagnostics.hasErrors()) {
          report(analysis.diagnostics);
          return 1;
        }
        print(source->name, attention, options);
        status |= older && attention.name == older->spec ? compare(attention, options) : 0;
      }
    return status;
  }

  runtime::Plan interfaceOf(const sema::Attention &attention, const driver::CompileOptions &options) const {
    runtime::Plan interface = driver::interfaceOf(attention, *runtime::parseStorageType(options.type));
    return layout ? driver::packedInterface(std::move(interface), attention, *layout) : interface;
  }

  /// 1 where callers of the older plan must change.
  int compare(const sema::Attention &attention, const driver::CompileOptions &options) const {
    runtime::Plan interface = interfaceOf(attention, options);
    std::vector<driver::InterfaceChange> changes = driver::compareInterfaces(*older, interface);
    bool breaking = false;
    for (const driver::InterfaceChange &change : changes)
      breaking |= change.breaking;
    std::printf("  against %s: %s\n", against.c_str(),
                changes.empty() ? "the same interface"
                : breaking      ? "breaking"
                                : "compatible");
    for (const driver::InterfaceChange &change : changes)
      std::printf("    %s%s\n", change.breaking ? "breaking: " : "", change.text.c_str());
    return breaking;
  }

  void print(const std::string &file, const sema::Attention &attention, const driver::CompileOptions &options) const {
    std::string claim(sema::toString(attention.claim));
    std::printf("%s:%s%s%s\n", file.c_str(), attention.name.c_str(), claim.empty() ? "" : "  ", claim.c_str());
    std::string axes;
    for (const sema::Axis &axis : attention.axes)
      if (axis.relation != sema::AxisRelation::Walk && axis.relation != sema::AxisRelation::Share)
        axes += (axes.empty() ? "" : ", ") + axisText(attention, axis);
    std::printf("  axes    %s\n", axes.c_str());
    for (const sema::Storage &storage : attention.storages)
      std::printf("  storage %s%s  %s\n", storage.name.c_str(), &storage == layout ? " (chosen)" : "",
                  storageText(attention, storage).c_str());
    runtime::Plan interface = interfaceOf(attention, options);
    Table table;
    auto shapeOf = [](const runtime::PlanTensor &tensor) {
      std::string shape;
      for (const runtime::PlanDim &dim : tensor.dims)
        shape += (shape.empty() ? "" : ", ") + dim.display;
      return "[" + shape + "]";
    };
    for (const sema::Declaration &declaration : attention.declarations) {
      if (declaration.role == sema::Role::Const) {
        table.row({"const", declaration.name, declaration.kind == sema::Kind::Int ? "int" : "real"});
        continue;
      }
      const runtime::PlanTensor &tensor = *interface.findTensor(declaration.name);
      const char *roles[] = {"input", "param", "output", "carry"};
      std::string notes = boundText(declaration);
      if (declaration.optional)
        notes += std::string(notes.empty() ? "" : ", ") + "optional";
      if (declaration.defaultNode)
        notes += std::string(notes.empty() ? "" : ", ") + "default " +
                 (declaration.defaultValue ? number(*declaration.defaultValue, 6) : "by sizes");
      table.row(
          {roles[static_cast<int>(tensor.role)], tensor.name, runtime::typeName(tensor.type), shapeOf(tensor), notes});
    }
    for (const runtime::PlanTensor &tensor : interface.tensors)
      if (std::none_of(attention.declarations.begin(), attention.declarations.end(),
                       [&](const sema::Declaration &declaration) { return declaration.name == tensor.name; }))
        table.row(
            {"input", tensor.name, runtime::typeName(tensor.type), shapeOf(tensor), "of storage " + layout->name});
    std::fputs(table.text("  ").c_str(), stdout);
    if (signature)
      std::printf("  signature %s\n", runtime::planSignature(interface).c_str());
  }
};
} // namespace

void addList(CLI::App &app, int &status) {
  auto command = std::make_shared<ListCommand>();
  CLI::App *sub = app.add_subcommand("list", "List the attentions of files: inputs, outputs and axes");
  sub->add_option("specs", command->specs, "S.attn, or S.attn:name")->required();
  command->common.add(*sub, /*withSchedule=*/false);
  sub->add_flag("--signature", command->signature,
                "the hash of order, names, types and shapes: equal ones can replace one another");
  sub->add_option("--against", command->against,
                  "an older plan P.json: says what has changed for its callers; status 1 where that breaks them");
  sub->footer("Example:\n  fovea list examples/grouped.attn --set D=64,V=64,G=4 --signature");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
