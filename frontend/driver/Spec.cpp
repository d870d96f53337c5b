// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reading and choosing: see Spec.h.
#include "frontend/driver/Spec.h"

#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"
#include "runtime/abi/Files.h"

#include <algorithm>
#include <cmath>

namespace fovea::driver {

SpecName splitSpecName(std::string_view text) {
  // A name follows the last colon if it looks like one: paths may hold colons too.
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return {std::string(text), {}};
  std::string_view name = text.substr(colon + 1);
  bool word = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
  });
  if (!word)
    return {std::string(text), {}};
  return {std::string(text.substr(0, colon)), std::string(name)};
}

static std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

Status parseSets(std::string_view text, Sets &sets) {
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view part = trim(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    size_t equals = part.find('=');
    std::string name(trim(part.substr(0, equals)));
    std::string value(equals == std::string_view::npos ? std::string_view() : trim(part.substr(equals + 1)));
    if (name.empty() || value.empty())
      return Error{ErrorCode::InvalidArgument,
                   "--set: '" + std::string(part) + "' gives no value; expected NAME=VALUE, as in --set D=64,G=4"};
    auto [entry, isNew] = sets.emplace(name, value);
    if (!isNew && entry->second != value)
      return Error{ErrorCode::InvalidArgument,
                   "--set: '" + name + "' has two values, " + entry->second + " and " + value};
  }
  return Status::success();
}

Result<SourceText> readSource(const std::string &path) {
  Result<std::string> text = runtime::readFile(path, syntax::kMaxFileSize);
  if (!text)
    return text.takeError();
  return SourceText{path, std::move(*text)};
}

/// A word that no other of `names` is.
static std::string uniqueWord(std::string_view name, std::vector<std::string> &names) {
  std::string word;
  for (char c : name) {
    bool isWord = c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (isWord || (!word.empty() && word.back() != '_'))
      word += isWord ? c : '_';
  }
  while (!word.empty() && word.back() == '_')
    word.pop_back();
  std::string result = word;
  for (int n = 2; std::find(names.begin(), names.end(), result) != names.end(); ++n)
    result = word + "_" + std::to_string(n);
  names.push_back(result);
  return result;
}

Analysis analyzeSource(const SourceText &source, const Sets &sets, bool maps) {
  Analysis result;
  result.tree = syntax::parse(source.name, source.text, result.diagnostics);
  if (!result.tree.hasErrors) {
    sema::Options options;
    options.sets = sets;
    options.readFile = [](std::string path) { return runtime::readFile(path, syntax::kMaxFileSize); };
    if (maps) {
      result.program.emplace();
      std::vector<std::string> names;
      for (sema::MapAttention &map : sema::mapAttentions(result.tree, options, result.diagnostics)) {
        map.attention.name = uniqueWord(map.name + (map.isLaw ? " law" : ""), names);
        result.program->attentions.push_back(std::move(map.attention));
        result.maps.push_back({map.name, map.isLaw, map.span});
      }
    } else {
      result.program = sema::analyze(result.tree, options, result.diagnostics);
    }
  }
  result.diagnostics.sort();
  if (result.diagnostics.hasErrors())
    result.program.reset();
  return result;
}

const sema::Attention *selectAttention(Analysis &analysis, std::string_view name) {
  if (!analysis.program)
    return nullptr;
  const std::vector<sema::Attention> &all = analysis.program->attentions;
  std::vector<std::string> names;
  std::string list;
  for (const sema::Attention &attention : all) {
    if (!name.empty() && attention.name == name)
      return &attention;
    names.push_back(attention.name);
    list += (list.empty() ? "" : ", ") + attention.name;
  }
  const std::string &file = analysis.diagnostics.sources.name(analysis.tree.id);
  if (all.empty()) {
    analysis.diagnostics.error({}, "'" + file + "' holds no attention",
                               "a file of maps is for import; `fovea check` checks each of its maps");
    return nullptr;
  }
  if (!name.empty()) {
    analysis.diagnostics.error({}, "'" + file + "' has no attention '" + std::string(name) + "'; it has: " + list, {},
                               syntax::closest(name, names));
    return nullptr;
  }
  if (all.size() > 1) {
    analysis.diagnostics.error({}, "'" + file + "' has several attentions: " + list,
                               "name one of them, as in " + file + ":" + names.front());
    return nullptr;
  }
  return &all.front();
}

bool reportMissing(const sema::Attention &attention, syntax::DiagnosticEngine &diagnostics) {
  std::vector<sema::Missing> missing = sema::missing(attention);
  if (missing.empty())
    return false;
  std::string together;
  for (const sema::Missing &entry : missing)
    together += (together.empty() ? "--set " : ",") + entry.name + "=..";
  for (const sema::Missing &entry : missing)
    diagnostics.report({syntax::Severity::Error, entry.span, entry.message, {}, {{{}, "give it by " + together}}, {}});
  diagnostics.sort();
  return true;
}

AxisUse useOf(const sema::Attention &attention, sema::AxisId axis) {
  bool query = false, keys = false;
  auto isOf = [&](sema::AxisId id) {
    const sema::Axis &entry = attention.axes[id];
    bool pieces = entry.relation == sema::AxisRelation::Blocks || entry.relation == sema::AxisRelation::Windows;
    return id == axis || (pieces && entry.raw == axis) ||
           (entry.relation == sema::AxisRelation::Factor &&
            std::find(entry.factors.begin(), entry.factors.end(), axis) != entry.factors.end());
  };
  for (const sema::Axis &walk : attention.axes)
    if (walk.relation == sema::AxisRelation::Walk) {
      query |= isOf(walk.query);
      keys |= isOf(walk.raw);
    }
  if (query)
    return AxisUse::Queries;
  if (keys)
    return AxisUse::Keys;
  for (const sema::Axis &pieces : attention.axes)
    if ((pieces.relation == sema::AxisRelation::Blocks || pieces.relation == sema::AxisRelation::Windows) &&
        pieces.raw == axis)
      return AxisUse::Queries;
  for (const sema::Node &node : attention.nodes)
    if ((node.op == sema::Op::Scan || node.op == sema::Op::State ||
         (node.op == sema::Op::Conv && node.attrAxes.size() == 2)) &&
        node.attrAxes[0] == axis)
      return AxisUse::Queries;
  const sema::Axis &entry = attention.axes[axis];
  if (entry.needsSize || entry.isStatic)
    return AxisUse::Feature;
  // Tokens of a set are summed over by themselves, heads together with features.
  auto isOpen = [&](sema::AxisId id) { return !attention.axes[id].needsSize && !attention.axes[id].isStatic; };
  for (const sema::Node &node : attention.nodes)
    if ((node.op == sema::Op::Reduce || node.op == sema::Op::Dot) &&
        std::find(node.attrAxes.begin(), node.attrAxes.end(), axis) != node.attrAxes.end() &&
        std::all_of(node.attrAxes.begin(), node.attrAxes.end(), isOpen))
      return AxisUse::Queries;
  return AxisUse::Batch;
}

bool isDerived(const sema::Axis &axis) {
  return axis.relation != sema::AxisRelation::Plain && axis.relation != sema::AxisRelation::Keys;
}

std::optional<int64_t> sizeOf(const sema::Attention &attention, sema::AxisId id,
                              const std::map<std::string, int64_t, std::less<>> &sizes) {
  const sema::Axis &axis = attention.axes[id];
  auto of = [&](sema::AxisId other) { return sizeOf(attention, other, sizes); };
  if (axis.size)
    return axis.size;
  switch (axis.relation) {
  case sema::AxisRelation::Plain:
  case sema::AxisRelation::Keys: {
    auto found = sizes.find(axis.name);
    return found == sizes.end() ? std::nullopt : std::optional(found->second);
  }
  case sema::AxisRelation::Walk:
    return of(axis.raw);
  case sema::AxisRelation::Blocks:
  case sema::AxisRelation::Windows: {
    std::optional<int64_t> raw = of(axis.raw);
    if (!raw)
      return raw;
    if (axis.relation == sema::AxisRelation::Blocks)
      return (*raw + axis.step - 1) / axis.step;
    return *raw < axis.extent ? 0 : (*raw - axis.extent) / axis.step + 1;
  }
  case sema::AxisRelation::Share: {
    std::optional<int64_t> raw = of(axis.raw);
    return raw ? std::optional(*raw / axis.divisor) : raw;
  }
  case sema::AxisRelation::Factor:
  case sema::AxisRelation::Outer:
  case sema::AxisRelation::Concat: {
    bool factor = axis.relation != sema::AxisRelation::Concat;
    int64_t total = factor ? 1 : 0;
    for (sema::AxisId part : axis.relation == sema::AxisRelation::Factor ? axis.factors : axis.parts) {
      std::optional<int64_t> size = of(part);
      if (!size ||
          (factor ? __builtin_mul_overflow(total, *size, &total) : __builtin_add_overflow(total, *size, &total)))
        return std::nullopt;
    }
    return total;
  }
  }
  return std::nullopt;
}

std::optional<double> valueOf(const sema::Attention &attention, sema::NodeId id,
                              const std::map<std::string, int64_t, std::less<>> &sizes) {
  const sema::Node &node = attention.nodes[id];
  std::vector<double> x;
  for (sema::NodeId operand : node.operands) {
    std::optional<double> value = valueOf(attention, operand, sizes);
    if (!value)
      return value;
    x.push_back(*value);
  }
  switch (node.op) {
  case sema::Op::Constant:
    return node.kind == sema::Kind::Real ? node.real : static_cast<double>(node.integer);
  case sema::Op::Size: {
    std::optional<int64_t> size = sizeOf(attention, node.attrAxes[0], sizes);
    return size ? std::optional(static_cast<double>(*size)) : std::nullopt;
  }
  case sema::Op::Input: {
    const sema::Declaration &declaration = attention.declarations[node.declaration];
    if (!node.axes.empty() || !declaration.defaultNode)
      return std::nullopt;
    return declaration.defaultValue ? declaration.defaultValue : valueOf(attention, *declaration.defaultNode, sizes);
  }
  case sema::Op::Neg:
    return -x[0];
  case sema::Op::ToReal:
    return x[0];
  case sema::Op::Add:
    return x[0] + x[1];
  case sema::Op::Sub:
    return x[0] - x[1];
  case sema::Op::Mul:
    return x[0] * x[1];
  case sema::Op::Div:
    return x[0] / x[1];
  case sema::Op::FloorDiv:
    return x[1] == 0 ? 0 : std::floor(x[0] / x[1]);
  case sema::Op::Min:
    return std::min(x[0], x[1]);
  case sema::Op::Max:
    return std::max(x[0], x[1]);
  default:
    return std::nullopt;
  }
}

static runtime::StorageType storageOf(sema::StorageType type, runtime::StorageType standard) {
  switch (type) {
  case sema::StorageType::Default:
    return standard;
  case sema::StorageType::BF16:
    return runtime::StorageType::BF16;
  case sema::StorageType::F16:
    return runtime::StorageType::F16;
  case sema::StorageType::F32:
    return runtime::StorageType::F32;
  case sema::StorageType::I32:
    return runtime::StorageType::I32;
  }
  return standard;
}

runtime::Plan interfaceOf(const sema::Attention &attention, runtime::StorageType type) {
  runtime::Plan plan;
  plan.spec = attention.name;
  for (const sema::Axis &axis : attention.axes) {
    if (axis.relation == sema::AxisRelation::Factor || axis.relation == sema::AxisRelation::Walk)
      continue;
    runtime::PlanAxis entry{axis.name, {}, {}};
    if (axis.size && (axis.isStatic || axis.needsSize))
      entry.staticSize = *axis.size;
    if (axis.relation == sema::AxisRelation::Keys)
      entry.relation = axis.name + " keys " + attention.axes[axis.query].name;
    bool blocks = axis.relation == sema::AxisRelation::Blocks;
    if (!entry.staticSize && (blocks || axis.relation == sema::AxisRelation::Windows)) {
      const std::string &raw = attention.axes[axis.raw].name;
      std::string step = std::to_string(axis.step), over = std::to_string(axis.step - axis.extent);
      Result<runtime::Expr> size = runtime::Expr::parse(blocks ? "ceildiv(" + raw + ", " + step + ")"
                                                               : "max(0, (" + raw + " + " + over + ") / " + step + ")");
      if (size)
        entry.derived = std::move(*size);
    }
    plan.axes.push_back(std::move(entry));
  }
  for (const sema::Declaration &declaration : attention.declarations) {
    if (declaration.role == sema::Role::Const)
      continue;
    runtime::PlanTensor tensor;
    tensor.name = declaration.name;
    tensor.role = declaration.role == sema::Role::Output  ? runtime::TensorRole::Output
                  : declaration.role == sema::Role::Param ? runtime::TensorRole::Param
                  : declaration.role == sema::Role::Carry ? runtime::TensorRole::Carry
                                                          : runtime::TensorRole::Input;
    tensor.type = storageOf(declaration.type, type);
    tensor.optional = declaration.optional;
    for (sema::AxisId id : declaration.declaredAxes) {
      const sema::Axis &axis = attention.axes[id];
      runtime::PlanDim dim{axis.name, {}};
      if (axis.relation == sema::AxisRelation::Factor)
        for (sema::AxisId factor : axis.factors)
          dim.factors.push_back(attention.axes[factor].name);
      else
        dim.factors.push_back(axis.name);
      tensor.dims.push_back(std::move(dim));
    }
    plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

std::vector<std::vector<std::string>> optionalGroups(const sema::Attention &attention) {
  std::vector<std::vector<std::string>> groups;
  std::optional<size_t> carries;
  for (const sema::Declaration &declaration : attention.declarations) {
    if (!declaration.optional)
      continue;
    bool isCarry = declaration.role == sema::Role::Carry;
    if (isCarry && carries) {
      groups[*carries].push_back(declaration.name);
      continue;
    }
    if (isCarry)
      carries = groups.size();
    groups.push_back({declaration.name});
  }
  return groups;
}

Sets neededSizes(const sema::Attention &attention, const std::map<std::string, int64_t, std::less<>> &sizes) {
  Sets sets;
  for (const sema::Axis &axis : attention.axes) {
    if (axis.size || !(axis.isStatic || axis.needsSize) || axis.relation == sema::AxisRelation::Walk)
      continue;
    auto found = sizes.find(axis.name);
    if (found != sizes.end())
      sets[axis.name] = std::to_string(found->second);
  }
  return sets;
}

} // namespace fovea::driver
