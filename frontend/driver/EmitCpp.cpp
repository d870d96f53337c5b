// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Plans as C++, and the difference of two interfaces: see EmitCpp.h.
#include "frontend/driver/EmitCpp.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

namespace fovea::driver {

using runtime::Plan;
using runtime::PlanAxis;
using runtime::PlanDim;
using runtime::PlanTensor;
using runtime::StorageType;
using runtime::TensorRole;

namespace {

/// A word that C++ allows, unlike all others in `taken`.
std::string wordOf(const std::string &name, std::set<std::string> &taken) {
  static const std::set<std::string> reserved = {
      "alignas", "alignof",  "and",       "asm",      "auto",      "bool",      "break", "case",     "catch",
      "char",    "class",    "const",     "continue", "default",   "delete",    "do",    "double",   "else",
      "enum",    "explicit", "export",    "extern",   "false",     "float",     "for",   "friend",   "goto",
      "if",      "inline",   "int",       "long",     "mutable",   "namespace", "new",   "not",      "operator",
      "or",      "private",  "protected", "public",   "register",  "return",    "short", "signed",   "sizeof",
      "static",  "struct",   "switch",    "template", "this",      "throw",     "true",  "try",      "typedef",
      "typeid",  "typename", "union",     "unsigned", "using",     "virtual",   "void",  "volatile", "while",
      "xor",     "requires", "concept",   "nullptr",  "constexpr", "noexcept"};
  std::string word;
  for (char c : name)
    word += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (word.empty() || std::isdigit(static_cast<unsigned char>(word[0])))
    word.insert(word.begin(), '_');
  while (reserved.count(word) || !taken.insert(word).second)
    word += '_';
  return word;
}

std::string capitalised(const std::string &name) {
  std::string word;
  bool up = true;
  for (char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) {
      up = true;
      continue;
    }
    word += up ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    up = false;
  }
  if (word.empty() || std::isdigit(static_cast<unsigned char>(word[0])))
    word.insert(0, "Plan");
  return word;
}

const char *cppType(StorageType type) {
  switch (type) {
  case StorageType::F32:
    return "float";
  case StorageType::I32:
    return "std::int32_t";
  case StorageType::F16:
  case StorageType::BF16:
    return "std::uint16_t";
  }
  return "void";
}

const char *apiType(StorageType type) {
  switch (type) {
  case StorageType::F32:
    return "FOVEA_F32";
  case StorageType::I32:
    return "FOVEA_I32";
  case StorageType::F16:
    return "FOVEA_F16";
  case StorageType::BF16:
    return "FOVEA_BF16";
  }
  return "FOVEA_ABSENT";
}

std::string shapeText(const Plan &plan, const PlanTensor &tensor) {
  std::string text;
  for (const PlanDim &dim : tensor.dims) {
    text += (text.empty() ? "" : ", ") + dim.display;
    const PlanAxis *axis = plan.findAxis(dim.display);
    if (axis && axis->staticSize)
      text += " = " + std::to_string(*axis->staticSize);
  }
  return "[" + text + "]";
}

const char *roleText(TensorRole role) {
  switch (role) {
  case TensorRole::Input:
    return "input";
  case TensorRole::Param:
    return "param";
  case TensorRole::Output:
    return "output";
  case TensorRole::Carry:
    return "carry";
  }
  return "?";
}

/// "std::max<std::int64_t>(1, sizes.B_plus_1 - 1)": a size that others give by sums, differences, least and most; empty
/// for any other.
std::string derivedText(const runtime::Expr &size, const std::map<std::string, std::string> &words) {
  const std::string &text = size.text();
  auto isWord = [&](size_t i) {
    return i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_');
  };
  std::string result;
  for (size_t at = 0; at < text.size();) {
    if (!isWord(at)) {
      if (std::string(" +-,()").find(text[at]) == std::string::npos)
        return {};
      result += text[at++];
      continue;
    }
    size_t end = at;
    while (isWord(end))
      ++end;
    std::string word = text.substr(at, end - at);
    at = end;
    if (auto axis = words.find(word); axis != words.end())
      result += "sizes." + axis->second;
    else if (word == "max" || word == "min")
      result += "std::" + word + "<std::int64_t>";
    else if (std::isdigit(static_cast<unsigned char>(word[0])))
      result += word;
    else
      return {};
  }
  return "(" + result + ")";
}

} // namespace

Result<CppFiles> emitCpp(const Plan &plan, const std::string &header) {
  Result<std::string> text = runtime::planToText(plan);
  if (!text)
    return text.takeError();
  std::set<std::string> classWords{"Sizes", "Tensors", "prepare", "launch", "workspaceSize", "tensorsOf"};
  std::string name = wordOf(capitalised(plan.spec), classWords);

  // Axes whose sizes the caller gives: those of the tensors, unless they are static or follow from others.
  std::vector<const PlanAxis *> open;
  for (const PlanAxis &axis : plan.axes)
    if (!axis.staticSize && !axis.derived)
      open.push_back(&axis);
  std::set<std::string> sizeWords, tensorWords;
  std::map<std::string, std::string> axisWord;
  for (const PlanAxis *axis : open)
    axisWord[axis->name] = wordOf(axis->name, sizeWords);
  // Those that no tensor shows bound what is in one: the call is told once.
  std::vector<const PlanAxis *> hidden;
  for (const PlanAxis *axis : open) {
    bool isShown = false;
    for (const PlanTensor &tensor : plan.tensors)
      for (const PlanDim &dim : tensor.dims)
        for (const std::string &factor : dim.factors) {
          const PlanAxis *other = plan.findAxis(factor);
          isShown |= factor == axis->name;
          if (other && other->derived)
            for (const std::string &of : other->derived->axes())
              isShown |= of == axis->name;
        }
    if (!isShown)
      hidden.push_back(axis);
  }
  std::erase_if(open,
                [&](const PlanAxis *axis) { return std::find(hidden.begin(), hidden.end(), axis) != hidden.end(); });
  std::string parameters, settings;
  for (const PlanAxis *axis : hidden) {
    parameters += ", std::int64_t " + axisWord[axis->name];
    settings += "  if (fovea::Outcome outcome = call->setAxis(\"" + axis->name + "\", " + axisWord[axis->name] +
                "); !outcome)\n    return fovea::Failure{outcome.status(), outcome.text()};\n";
  }
  std::vector<std::string> words;
  for (const PlanTensor &tensor : plan.tensors)
    words.push_back(wordOf(tensor.name, tensorWords));

  std::string h = "// Made by Fovea from '" + plan.spec + "' for " + plan.target + "; signature " +
                  runtime::planSignature(plan) +
                  ".\n// This text is yours: no licence of Fovea extends to it. Needs the runtime of Fovea "
                  "(find_package(Fovea)), C++17.\n#pragma once\n\n#include <fovea/fovea.hpp>\n\n#include <cstdint>\n"
                  "\nnamespace fovea_kernels {\n\n/// The kernels of '" +
                  plan.spec + "' on one device. Rules of threads and ownership: fovea/fovea.h.\nclass " + name +
                  " {\npublic:\n  /// Sizes of the axes that are open; at least 1.\n  struct Sizes {\n";
  for (const PlanAxis *axis : open)
    h += "    std::int64_t " + axisWord[axis->name] + " = 1;" +
         (axis->relation.empty() ? "" : " // " + axis->relation) + "\n";
  h += "  };\n\n  /// Addresses in the device's memory, dense, last dimension innermost. bf16 and f16 are their bits.\n"
       "  struct Tensors {\n";
  for (size_t n = 0; n < plan.tensors.size(); ++n) {
    const PlanTensor &tensor = plan.tensors[n];
    bool isConst = tensor.role == TensorRole::Input || tensor.role == TensorRole::Param;
    h += std::string("    ") + (isConst ? "const " : "") + cppType(tensor.type) + " *" + words[n] + " = nullptr; // " +
         roleText(tensor.role) + ", " + runtime::typeName(tensor.type) + " " + shapeText(plan, tensor) +
         (tensor.role == TensorRole::Carry ? ", read as initial and written as final" : "") +
         (tensor.optional ? "; may be null: left out" : "") + "\n";
  }
  h += "  };\n\n  /// Loads the kernels on a device; before a graph is captured.\n" +
       (hidden.empty()
            ? std::string()
            : "  /// What no tensor shows is the most that a call may have, such as tokens of a sequence.\n") +
       "  static fovea::Expected<" + name + "> prepare(const fovea::Device &device" + parameters +
       ");\n"
       "  /// Bytes of workspace for every call with sizes up to these; aligned to FOVEA_WORKSPACE_ALIGNMENT.\n"
       "  fovea::Expected<std::size_t> workspaceSize(const Sizes &most) const;\n"
       "  /// Starts the work in a queue (a CUstream, or null) and returns. Allocates nothing on the device.\n"
       "  fovea::Outcome launch(void *stream, const Sizes &sizes, const Tensors &tensors, fovea::Workspace workspace = "
       "{}) const;\n\nprivate:\n  " +
       name +
       "(fovea::Kernel kernel, fovea::Call call) : kernel(std::move(kernel)), call(std::move(call)) {}\n"
       "  fovea::Kernel kernel;\n  fovea::Call call;\n};\n\n} // namespace fovea_kernels\n";

  std::string s =
      "// Made by Fovea; see the header.\n#include \"" + header +
      "\"\n\n#include <algorithm>\n#include <array>\n#include <string>\n\nnamespace fovea_kernels {\n\nnamespace {\n\n";
  s += "const std::string &planText() {\n  static const std::string text =\n";
  // Pieces that every compiler takes as one literal; the delimiter cannot stand in JSON text.
  constexpr size_t kPiece = 8000;
  for (size_t at = 0; at < text->size(); at += kPiece)
    s += "      std::string(R\"fovea_plan(" + text->substr(at, kPiece) + ")fovea_plan\")" +
         (at + kPiece < text->size() ? " +\n" : ";\n");
  s += "  return text;\n}\n\nusing List = std::array<fovea::Tensor, " + std::to_string(plan.tensors.size()) +
       ">;\n\nList tensorsOf(const " + name + "::Sizes &sizes, const " + name +
       "::Tensors &tensors, bool all) {\n  (void)sizes;\n  (void)all;\n  auto tensor = [](const void *data, fovea_type "
       "type, "
       "std::initializer_list<std::int64_t> shape) {\n    return fovea::Tensor(const_cast<void *>(data), type, "
       "shape);\n  };\n  return {{\n";
  for (size_t n = 0; n < plan.tensors.size(); ++n) {
    const PlanTensor &tensor = plan.tensors[n];
    std::string shape;
    for (const PlanDim &dim : tensor.dims) {
      std::string product;
      for (const std::string &factor : dim.factors) {
        const PlanAxis *axis = plan.findAxis(factor);
        if (std::string text = axis && axis->derived ? derivedText(*axis->derived, axisWord) : ""; !text.empty()) {
          product += (product.empty() ? "" : " * ") + text;
          continue;
        }
        if (!axis || axis->derived)
          return Error{ErrorCode::Unsupported, "'" + tensor.name + "' has the axis '" + factor +
                                                   "', whose size follows from others; not in this version of "
                                                   "--emit=cpp"};
        product += (product.empty() ? "" : " * ") +
                   (axis->staticSize ? std::to_string(*axis->staticSize) : "sizes." + axisWord[factor]);
      }
      shape += (shape.empty() ? "" : ", ") + product;
    }
    std::string made = "tensor(tensors." + words[n] + ", " + apiType(tensor.type) + ", {" + shape + "})";
    s += "      " + (tensor.optional ? "tensors." + words[n] + " || all ? " + made + " : fovea::Tensor()" : made) +
         ",\n";
  }
  s += "  }};\n}\n\n} // namespace\n\n";
  std::string names;
  for (const PlanTensor &tensor : plan.tensors)
    names += (names.empty() ? "\"" : ", \"") + tensor.name + "\"";
  s += "fovea::Expected<" + name + "> " + name + "::prepare(const fovea::Device &device" + parameters +
       ") {\n  fovea::Expected<fovea::Plan> plan = "
       "fovea::Plan::parse(planText());\n  if (!plan)\n    return plan.failure();\n  fovea::Expected<fovea::Kernel> "
       "kernel = plan->prepare(device);\n  if (!kernel)\n    return kernel.failure();\n  fovea::Expected<fovea::Call> "
       "call = kernel->bind({" +
       names + "});\n  if (!call)\n    return call.failure();\n" + settings + "  return " + name +
       "(std::move(*kernel), std::move(*call));\n}\n\nfovea::Expected<std::size_t> " + name +
       "::workspaceSize(const Sizes &most) const {\n  List list = tensorsOf(most, {}, true);\n  return "
       "call.workspaceSize({list.begin(), list.end()});\n}\n\n"
       "fovea::Outcome " +
       name +
       "::launch(void *stream, const Sizes &sizes, const Tensors &tensors,\n                   fovea::Workspace "
       "workspace) const {\n  List list = tensorsOf(sizes, tensors, false);\n  return call.launch(stream, list.data(), "
       "list.size(), workspace);\n}\n\n"
       "} // namespace fovea_kernels\n";
  return CppFiles{h, s};
}

std::vector<InterfaceChange> compareInterfaces(const Plan &before, const Plan &now) {
  std::vector<InterfaceChange> changes;
  auto dims = [](const PlanTensor &tensor) {
    std::string text;
    for (const PlanDim &dim : tensor.dims) {
      std::string product;
      for (const std::string &factor : dim.factors)
        product += (product.empty() ? "" : "*") + factor;
      text += (text.empty() ? "" : ", ") + product;
    }
    return "[" + text + "]";
  };
  auto quoted = [](const std::string &name) { return "'" + name + "'"; };
  std::vector<std::string> common;
  for (const PlanTensor &old : before.tensors) {
    const PlanTensor *tensor = now.findTensor(old.name);
    if (!tensor) {
      changes.push_back({true, std::string(roleText(old.role)) + " " + quoted(old.name) + " is gone"});
      continue;
    }
    common.push_back(old.name);
    if (tensor->role != old.role)
      changes.push_back(
          {true, quoted(old.name) + " was " + roleText(old.role) + " and is " + roleText(tensor->role) + " now"});
    if (tensor->type != old.type)
      changes.push_back({true, quoted(old.name) + " was " + runtime::typeName(old.type) + " and is " +
                                   runtime::typeName(tensor->type) + " now"});
    if (dims(*tensor) != dims(old))
      changes.push_back({true, quoted(old.name) + " was " + dims(old) + " and is " + dims(*tensor) + " now"});
    if (tensor->optional != old.optional)
      changes.push_back(
          {!tensor->optional, quoted(old.name) + (tensor->optional ? " may be left out now" : " must be given now")});
  }
  std::vector<std::string> order;
  for (const PlanTensor &tensor : now.tensors) {
    if (before.findTensor(tensor.name)) {
      order.push_back(tensor.name);
      continue;
    }
    changes.push_back({!tensor.optional, std::string(tensor.optional ? "optional " : "") + roleText(tensor.role) + " " +
                                             quoted(tensor.name) + " is new"});
  }
  if (order != common)
    changes.push_back({true, "the order of the tensors is another one"});
  for (const PlanAxis &axis : now.axes) {
    const PlanAxis *old = before.findAxis(axis.name);
    if (!old || old->staticSize == axis.staticSize)
      continue;
    auto size = [](const PlanAxis &of) { return of.staticSize ? std::to_string(*of.staticSize) : std::string("open"); };
    changes.push_back({axis.staticSize.has_value(),
                       "the size of " + quoted(axis.name) + " was " + size(*old) + " and is " + size(axis) + " now"});
  }
  return changes;
}

} // namespace fovea::driver
