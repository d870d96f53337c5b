// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The JSON form of a plan: writer and strict reader. Unknown, missing and repeated keys are errors, so that what was
// read is all that the file says.
#include "runtime/abi/Files.h"
#include "runtime/abi/Hash.h"
#include "runtime/abi/Plan.h"
#include "runtime/abi/StrictJson.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace fovea::runtime {

namespace {

using Json = nlohmann::json;            // read, and hashed: sorted keys
using Ordered = nlohmann::ordered_json; // written: keys in the order that a person expects

constexpr size_t kMaxPlanBytes = size_t{16} << 20;
constexpr size_t kMaxModuleBytes = size_t{64} << 20;
constexpr size_t kMaxCodeBytes = size_t{256} << 20; // of all files together, as in Plan.cpp
constexpr int kMaxJsonDepth = 16;
constexpr int64_t kMaxTestValues = 65536;

constexpr const char *kRoles[] = {"input", "param", "output", "carry"};
constexpr const char *kInits[] = {"none", "zero"};
constexpr const char *kInfinities[] = {"-inf", "inf"}; // JSON has none

/// Hash of everything but itself, on sorted keys; the module files enter by their hashes.
std::string contentHash(Json body) {
  body.erase("content_hash");
  return hashText(body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// --- Writing ---

std::string toHex(std::string_view bytes) {
  std::string digits;
  digits.reserve(bytes.size() * 2);
  for (unsigned char byte : bytes) {
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 15];
  }
  return digits;
}

Ordered argToJson(const PlanArg &arg) {
  switch (arg.kind) {
  case PlanArg::Kind::Pointer:
    return {{"pointer", arg.name}};
  case PlanArg::Kind::I64:
    return {{"i64", arg.expr.text()}};
  case PlanArg::Kind::I32:
    return {{"i32", arg.expr.text()}};
  case PlanArg::Kind::F32:
    if (std::isinf(arg.number))
      return {{"f32", kInfinities[arg.number > 0]}};
    return {{"f32", static_cast<double>(arg.number)}};
  }
  return {};
}

Ordered launchToJson(const PlanLaunch &launch) {
  Ordered args = Ordered::array();
  for (const PlanArg &arg : launch.args)
    args.push_back(argToJson(arg));
  Ordered grid = Ordered::array();
  for (const Expr &size : launch.grid)
    grid.push_back(size.text());
  return {{"module", launch.module},
          {"kernel", launch.kernel},
          {"grid", std::move(grid)},
          {"block", launch.block},
          {"shared_bytes", launch.sharedBytes},
          {"cluster", launch.cluster},
          {"args", std::move(args)}};
}

Ordered numbersToJson(const std::vector<double> &values) {
  Ordered list = Ordered::array();
  for (double value : values) {
    if (std::isinf(value))
      list.push_back(kInfinities[value > 0]);
    else
      list.push_back(value);
  }
  return list;
}

Ordered selfTestToJson(const PlanSelfTest &test) {
  Ordered axes = Ordered::array(), inputs = Ordered::array(), outputs = Ordered::array();
  for (const auto &[name, size] : test.axes)
    axes.push_back({{"name", name}, {"size", size}});
  for (const PlanTestInput &input : test.inputs) {
    Ordered item{{"tensor", input.tensor}};
    if (!input.values.empty())
      item["values"] = numbersToJson(input.values);
    inputs.push_back(std::move(item));
  }
  for (const PlanTestOutput &output : test.outputs) {
    Ordered item{{"tensor", output.tensor}};
    if (output.relative2 >= 0) {
      item["relative_2norm"] = output.relative2;
    } else {
      item["absolute"] = output.absolute;
      item["relative"] = output.relative;
    }
    item["values"] = numbersToJson(output.values);
    outputs.push_back(std::move(item));
  }
  return {
      {"seed", test.seed}, {"axes", std::move(axes)}, {"inputs", std::move(inputs)}, {"outputs", std::move(outputs)}};
}

Ordered promiseToJson(const PlanPromise &promise) {
  Ordered item{{"tensor", promise.tensor}};
  if (!promise.rows.empty()) {
    item["rows"] = promise.rows;
    item["longest"] = promise.longest;
  }
  if (promise.least)
    item[promise.above ? "above" : "least"] = *promise.least;
  if (promise.most)
    item[promise.below ? "below" : "most"] = *promise.most;
  return item;
}

/// The document but its modules and content hash.
Ordered bodyToJson(const Plan &plan) {
  Ordered root;
  root["fovea_plan"] = planVersion(plan);
  root["content_hash"] = "";
  root["producer"] = plan.producer;
  root["spec"] = plan.spec;
  root["target"] = plan.target;
  root["ptx_version"] = plan.ptxVersion;
  root["signature"] = planSignature(plan);
  root["axes"] = Ordered::array();
  for (const PlanAxis &axis : plan.axes) {
    Ordered item{{"name", axis.name}};
    if (axis.staticSize)
      item["size"] = *axis.staticSize;
    if (axis.derived)
      item["derived"] = axis.derived->text();
    if (!axis.relation.empty())
      item["relation"] = axis.relation;
    root["axes"].push_back(std::move(item));
  }
  root["tensors"] = Ordered::array();
  for (const PlanTensor &tensor : plan.tensors) {
    Ordered dims = Ordered::array(), shape = Ordered::array();
    for (const PlanDim &dim : tensor.dims) {
      dims.push_back(dim.display);
      shape.push_back(dim.factors);
    }
    Ordered item{{"name", tensor.name},
                 {"role", kRoles[static_cast<int>(tensor.role)]},
                 {"type", typeName(tensor.type)},
                 {"dims", std::move(dims)},
                 {"shape", std::move(shape)}};
    if (tensor.optional)
      item["optional"] = true;
    root["tensors"].push_back(std::move(item));
  }
  root["entries"] = Ordered::array();
  for (const PlanEntry &entry : plan.entries) {
    Ordered workspaces = Ordered::array(), launches = Ordered::array();
    for (const PlanWorkspace &workspace : entry.workspaces)
      workspaces.push_back({{"name", workspace.name},
                            {"bytes", workspace.bytes.text()},
                            {"init", kInits[static_cast<int>(workspace.init)]}});
    for (const PlanLaunch &launch : entry.launches)
      launches.push_back(launchToJson(launch));
    Ordered item{{"guard", entry.guard.text()}};
    if (int64_t prefer = 0; !entry.prefer.isConstant(&prefer) || prefer != 1)
      item["prefer"] = entry.prefer.text();
    item["reason"] = entry.reason;
    item["workspaces"] = std::move(workspaces);
    item["launches"] = std::move(launches);
    root["entries"].push_back(std::move(item));
  }
  if (plan.selfTest)
    root["self_test"] = selfTestToJson(*plan.selfTest);
  for (const PlanPromise &promise : plan.promises)
    root["promises"].push_back(promiseToJson(promise));
  root["modules"] = Ordered::array();
  return root;
}

/// Whether a module is said as in version 1: with machine code for the target alone.
bool isPlainModule(const Plan &plan, const PlanModule &module) {
  return !module.ptx.empty() &&
         (module.cubins.empty() || (module.cubins.size() == 1 && module.cubins[0].arch == plan.target));
}

std::string finish(Ordered &root) {
  root["content_hash"] = contentHash(Json(root));
  return root.dump(1, ' ', false, Ordered::error_handler_t::replace) + "\n";
}

// --- Reading ---

class Reader {
public:
  Reader(const Json &root, const PlanFileReader &readFile) : root_(root), readFile_(readFile) {}

  Result<Plan> run() {
    document();
    if (!message_.empty())
      return Error{code_, message_};
    if (Status status = validatePlan(plan_); !status)
      return status.error();
    // Each plan has one text: what a version added is not said in an older one, and nothing needless in a newer one.
    if (version_ != planVersion(plan_))
      return Error{ErrorCode::Corrupt, "plan: it says version " + std::to_string(version_) +
                                           ", but is one of version " + std::to_string(planVersion(plan_))};
    if (signature_ != planSignature(plan_))
      return Error{ErrorCode::Corrupt, "plan: the signature does not belong to these tensors"};
    return std::move(plan_);
  }

private:
  bool fail(const std::string &message, ErrorCode code = ErrorCode::Corrupt) {
    if (message_.empty()) {
      message_ = "plan: " + message;
      code_ = code;
    }
    return false;
  }
  bool failed() const { return !message_.empty(); }

  /// Checks that `json` is an object with all of `required`, perhaps some of `optional`, and nothing else.
  bool object(const Json &json, const std::string &where, std::initializer_list<const char *> required,
              std::initializer_list<const char *> optional = {}) {
    if (!json.is_object())
      return fail(where + ": expected an object");
    for (const char *key : required)
      if (!json.contains(key))
        return fail(where + ": no `" + key + "`");
    for (auto it = json.begin(); it != json.end(); ++it) {
      auto same = [&](const char *key) { return it.key() == key; };
      if (!std::any_of(required.begin(), required.end(), same) && !std::any_of(optional.begin(), optional.end(), same))
        return fail(where + ": unknown key `" + it.key().substr(0, 40) + "`");
    }
    return true;
  }

  bool array(const Json &json, const std::string &where, size_t most) {
    if (!json.is_array())
      return fail(where + ": expected a list");
    if (json.size() > most)
      return fail(where + ": " + std::to_string(json.size()) + " items; at most " + std::to_string(most));
    return true;
  }

  std::string string(const Json &json, const std::string &where) {
    if (const auto *text = json.get_ptr<const std::string *>())
      return *text;
    fail(where + ": expected a string");
    return {};
  }

  int64_t integer(const Json &json, const std::string &where, int64_t least, int64_t most) {
    int64_t value = 0;
    bool good = false;
    if (json.is_number_unsigned()) {
      uint64_t wide = *json.get_ptr<const uint64_t *>();
      good = wide <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
      value = static_cast<int64_t>(wide);
    } else if (json.is_number_integer()) {
      good = true;
      value = *json.get_ptr<const int64_t *>();
    }
    if (!good || value < least || value > most) {
      fail(where + ": expected a whole number from " + std::to_string(least) + " to " + std::to_string(most));
      return least;
    }
    return value;
  }

  Expr expression(const Json &json, const std::string &where) {
    std::string text = string(json, where);
    if (failed())
      return {};
    Result<Expr> expr = Expr::parse(text);
    if (!expr) {
      fail(where + ": " + expr.error().message);
      return {};
    }
    return std::move(*expr);
  }

  template <size_t N> int choice(const Json &json, const std::string &where, const char *const (&names)[N]) {
    std::string text = string(json, where);
    for (size_t i = 0; i < N; ++i)
      if (text == names[i])
        return static_cast<int>(i);
    fail(where + ": `" + text.substr(0, 40) + "` is not known");
    return 0;
  }

  void document() {
    if (!root_.is_object() || !root_.contains("fovea_plan")) {
      fail("this is JSON, but no Fovea plan: it has no `fovea_plan`");
      return;
    }
    const Json &version = root_.find("fovea_plan").value();
    if (!version.is_number_integer() || version < 1 || version > kPlanVersion) {
      fail("its format is version " + version.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 20) +
               "; this library reads versions 1 to " + std::to_string(kPlanVersion),
           ErrorCode::Unsupported);
      return;
    }
    version_ = version.get<int>();
    if (!object(root_, "document",
                {"fovea_plan", "content_hash", "producer", "spec", "target", "ptx_version", "signature", "axes",
                 "tensors", "entries", "modules"},
                {"self_test", "promises"}))
      return;
    if (string(at(root_, "content_hash"), "content_hash") != contentHash(root_)) {
      fail("its content hash does not match: the file was edited or damaged");
      return;
    }
    plan_.producer = string(at(root_, "producer"), "producer");
    plan_.spec = string(at(root_, "spec"), "spec");
    plan_.target = string(at(root_, "target"), "target");
    plan_.ptxVersion = string(at(root_, "ptx_version"), "ptx_version");
    signature_ = string(at(root_, "signature"), "signature");
    each("axes", 64, [&](const Json &json, const std::string &where) { axis(json, where); });
    each("tensors", 128, [&](const Json &json, const std::string &where) { tensor(json, where); });
    each("entries", 256, [&](const Json &json, const std::string &where) { entry(json, where); });
    each("modules", 64, [&](const Json &json, const std::string &where) { module(json, where); });
    if (root_.contains("self_test") && !failed())
      selfTest(at(root_, "self_test"), "self_test");
    if (root_.contains("promises") && !failed())
      each("promises", 128, [&](const Json &json, const std::string &where) { promise(json, where); });
  }

  static const Json &at(const Json &object, const char *key) { return object.find(key).value(); }

  template <typename F> void each(const char *key, size_t most, F body) { each(at(root_, key), key, most, body); }
  template <typename F> void each(const Json &list, const std::string &where, size_t most, F body) {
    if (failed() || !array(list, where, most))
      return;
    for (size_t i = 0; i < list.size() && !failed(); ++i)
      body(list[i], where + "[" + std::to_string(i) + "]");
  }

  void axis(const Json &json, const std::string &where) {
    if (!object(json, where, {"name"}, {"size", "relation", "derived"}))
      return;
    PlanAxis axis;
    axis.name = string(at(json, "name"), where + ".name");
    if (json.contains("size"))
      axis.staticSize = integer(at(json, "size"), where + ".size", 1, std::numeric_limits<int64_t>::max());
    if (json.contains("relation"))
      axis.relation = string(at(json, "relation"), where + ".relation");
    if (json.contains("derived"))
      axis.derived = expression(at(json, "derived"), where + ".derived");
    plan_.axes.push_back(std::move(axis));
  }

  void tensor(const Json &json, const std::string &where) {
    if (!object(json, where, {"name", "role", "type", "dims", "shape"}, {"optional"}))
      return;
    PlanTensor tensor;
    if (json.contains("optional")) {
      const Json &optional = at(json, "optional");
      if (optional.is_boolean() && optional.get<bool>())
        tensor.optional = true;
      else
        fail(where + ".optional: expected true, or no such key");
    }
    tensor.name = string(at(json, "name"), where + ".name");
    tensor.role = static_cast<TensorRole>(choice(at(json, "role"), where + ".role", kRoles));
    std::string type = string(at(json, "type"), where + ".type");
    if (std::optional<StorageType> known = parseStorageType(type))
      tensor.type = *known;
    else
      fail(where + ".type: `" + type.substr(0, 40) + "` is not one of f32, f16, bf16, i32");
    each(at(json, "dims"), where + ".dims", 16, [&](const Json &dim, const std::string &place) {
      tensor.dims.push_back({string(dim, place), {}});
    });
    const Json &shape = at(json, "shape");
    if (!failed() && (!shape.is_array() || shape.size() != tensor.dims.size()))
      fail(where + ".shape: expected a list with one item for each of `dims`");
    size_t next = 0;
    each(shape, where + ".shape", 16, [&](const Json &product, const std::string &place) {
      PlanDim &dim = tensor.dims[next++];
      each(product, place, 8,
           [&](const Json &factor, const std::string &inner) { dim.factors.push_back(string(factor, inner)); });
    });
    plan_.tensors.push_back(std::move(tensor));
  }

  void entry(const Json &json, const std::string &where) {
    if (!object(json, where, {"guard", "reason", "workspaces", "launches"}, {"prefer"}))
      return;
    PlanEntry entry;
    entry.guard = expression(at(json, "guard"), where + ".guard");
    if (json.contains("prefer"))
      entry.prefer = expression(at(json, "prefer"), where + ".prefer");
    entry.reason = string(at(json, "reason"), where + ".reason");
    each(at(json, "workspaces"), where + ".workspaces", 64, [&](const Json &item, const std::string &place) {
      if (!object(item, place, {"name", "bytes", "init"}))
        return;
      PlanWorkspace workspace;
      workspace.name = string(at(item, "name"), place + ".name");
      workspace.bytes = expression(at(item, "bytes"), place + ".bytes");
      workspace.init = static_cast<WorkspaceInit>(choice(at(item, "init"), place + ".init", kInits));
      entry.workspaces.push_back(std::move(workspace));
    });
    each(at(json, "launches"), where + ".launches", 256,
         [&](const Json &item, const std::string &place) { launch(entry, item, place); });
    plan_.entries.push_back(std::move(entry));
  }

  void threeNumbers(const Json &json, const std::string &where, std::array<uint32_t, 3> &out) {
    if (!json.is_array() || json.size() != 3) {
      fail(where + ": expected three numbers");
      return;
    }
    for (size_t d = 0; d < 3; ++d)
      out[d] = static_cast<uint32_t>(integer(json[d], where, 1, 1024));
  }

  void launch(PlanEntry &entry, const Json &json, const std::string &where) {
    if (!object(json, where, {"module", "kernel", "grid", "block", "shared_bytes", "cluster", "args"}))
      return;
    PlanLaunch launch;
    launch.module = static_cast<uint32_t>(integer(at(json, "module"), where + ".module", 0, 1 << 20));
    launch.kernel = string(at(json, "kernel"), where + ".kernel");
    const Json &grid = at(json, "grid");
    if (!grid.is_array() || grid.size() != 3)
      fail(where + ".grid: expected three expressions");
    else
      for (size_t d = 0; d < 3; ++d)
        launch.grid[d] = expression(grid[d], where + ".grid");
    threeNumbers(at(json, "block"), where + ".block", launch.block);
    launch.sharedBytes = static_cast<uint32_t>(integer(at(json, "shared_bytes"), where + ".shared_bytes", 0, 1 << 20));
    threeNumbers(at(json, "cluster"), where + ".cluster", launch.cluster);
    each(at(json, "args"), where + ".args", 1024,
         [&](const Json &item, const std::string &place) { launch.args.push_back(arg(item, place)); });
    entry.launches.push_back(std::move(launch));
  }

  PlanArg arg(const Json &json, const std::string &where) {
    if (!object(json, where, {}, {"pointer", "i64", "i32", "f32"}))
      return {};
    if (json.size() != 1) {
      fail(where + ": expected one of pointer, i64, i32, f32");
      return {};
    }
    const std::string &kind = json.begin().key();
    const Json &value = json.begin().value();
    if (kind == "pointer")
      return PlanArg::pointer(string(value, where + ".pointer"));
    if (kind == "i64")
      return PlanArg::i64(expression(value, where + ".i64"));
    if (kind == "i32")
      return PlanArg::i32(expression(value, where + ".i32"));
    return PlanArg::f32(static_cast<float>(number(value, where + ".f32")));
  }

  /// One that f32 can say, or an infinity.
  double number(const Json &json, const std::string &where) {
    for (int positive : {0, 1})
      if (json == kInfinities[positive])
        return positive ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
    double value = 0;
    if (json.is_number())
      value = json.get<double>();
    else
      fail(where + ": expected a number, \"inf\" or \"-inf\"");
    if (std::abs(value) > std::numeric_limits<float>::max()) {
      fail(where + ": does not fit 32 bits");
      return 0;
    }
    return value;
  }

  void numbers(const Json &json, const std::string &where, std::vector<double> &out) {
    each(json, where, kMaxTestValues,
         [&](const Json &item, const std::string &place) { out.push_back(number(item, place)); });
  }

  void selfTest(const Json &json, const std::string &where) {
    if (!object(json, where, {"seed", "axes", "inputs", "outputs"}))
      return;
    PlanSelfTest test;
    test.seed = static_cast<uint64_t>(integer(at(json, "seed"), where + ".seed", 0, (int64_t{1} << 53) - 1));
    each(at(json, "axes"), where + ".axes", 64, [&](const Json &item, const std::string &place) {
      if (!object(item, place, {"name", "size"}))
        return;
      test.axes.emplace_back(string(at(item, "name"), place + ".name"),
                             integer(at(item, "size"), place + ".size", 1, kMaxTestValues));
    });
    each(at(json, "inputs"), where + ".inputs", 128, [&](const Json &item, const std::string &place) {
      if (!object(item, place, {"tensor"}, {"values"}))
        return;
      PlanTestInput input;
      input.tensor = string(at(item, "tensor"), place + ".tensor");
      if (item.contains("values")) {
        numbers(at(item, "values"), place + ".values", input.values);
        if (input.values.empty()) // without the key they are drawn
          fail(place + ".values: an empty list");
      }
      test.inputs.push_back(std::move(input));
    });
    each(at(json, "outputs"), where + ".outputs", 128, [&](const Json &item, const std::string &place) {
      if (!object(item, place, {"tensor", "values"}, {"relative_2norm", "absolute", "relative"}))
        return;
      bool whole = item.contains("relative_2norm");
      if (item.contains("absolute") == whole || item.contains("relative") == whole) {
        fail(place + ": expected `relative_2norm`, or `absolute` and `relative`");
        return;
      }
      PlanTestOutput output;
      output.tensor = string(at(item, "tensor"), place + ".tensor");
      auto tolerance = [&](const char *key) {
        double value = number(at(item, key), place + "." + key);
        if (value < 0 || value > 1)
          fail(place + "." + key + ": expected 0 to 1");
        return value;
      };
      if (whole) {
        output.relative2 = tolerance("relative_2norm");
      } else {
        output.absolute = tolerance("absolute");
        output.relative = tolerance("relative");
      }
      numbers(at(item, "values"), place + ".values", output.values);
      if (output.values.empty())
        fail(place + ".values: an empty list");
      test.outputs.push_back(std::move(output));
    });
    plan_.selfTest = std::move(test);
  }

  void promise(const Json &json, const std::string &where) {
    if (!object(json, where, {"tensor"}, {"rows", "longest", "least", "above", "most", "below"}))
      return;
    if (json.contains("rows") != json.contains("longest") || (json.contains("least") && json.contains("above")) ||
        (json.contains("most") && json.contains("below"))) {
      fail(where + ": expected `rows` and `longest`, or one of `least` and `above`, of `most` and `below`");
      return;
    }
    PlanPromise promise;
    promise.tensor = string(at(json, "tensor"), where + ".tensor");
    auto bound = [&](const char *key, std::optional<double> &value) {
      if (json.contains(key))
        value = number(at(json, key), where + "." + key);
      return json.contains(key);
    };
    if (json.contains("rows")) {
      promise.rows = string(at(json, "rows"), where + ".rows");
      promise.longest = string(at(json, "longest"), where + ".longest");
    }
    bound("least", promise.least);
    promise.above = bound("above", promise.least);
    bound("most", promise.most);
    promise.below = bound("below", promise.most);
    plan_.promises.push_back(std::move(promise));
  }

  std::string fileBeside(const Json &json, const std::string &where, const char *fileKey, const char *hashKey) {
    std::string name = string(at(json, fileKey), where + "." + fileKey);
    std::string hash = string(at(json, hashKey), where + "." + hashKey);
    if (failed())
      return {};
    if (name.empty() || name.size() > 200 || name[0] == '.' || name.find('/') != std::string::npos ||
        name.find('\\') != std::string::npos || name.find('\0') != std::string::npos) {
      fail(where + "." + fileKey + ": expected a plain file name, without folders");
      return {};
    }
    if (!readFile_) {
      fail(where + "." + fileKey + ": this plan was read from text, so it has no files beside it");
      return {};
    }
    Result<std::string> content = readFile_(name);
    if (!content) {
      fail("module file: " + content.error().message, content.error().code);
      return {};
    }
    // One file can be named many times.
    filesBytes_ += content->size();
    if (filesBytes_ > kMaxCodeBytes) {
      fail(where + ": the files beside this plan hold more than " + std::to_string(kMaxCodeBytes >> 20) + " MiB");
      return {};
    }
    if (hashText(*content) != hash) {
      fail(name + " is not the file that was written with this plan: its hash differs");
      return {};
    }
    return std::move(*content);
  }

  void module(const Json &json, const std::string &where) {
    if (!object(json, where, {"name"},
                {"ptx", "ptx_file", "ptx_hash", "cubin_hex", "cubin_file", "cubin_hash", "cubins"}))
      return;
    PlanModule module;
    module.name = string(at(json, "name"), where + ".name");
    bool list = json.contains("cubins"), text = json.contains("ptx"), file = json.contains("ptx_file");
    if ((text && file) || (!text && !file && !list) || file != json.contains("ptx_hash") ||
        (json.contains("cubin_hex") && json.contains("cubin_file")) ||
        json.contains("cubin_file") != json.contains("cubin_hash") ||
        (list && (json.contains("cubin_hex") || json.contains("cubin_file")))) {
      fail(where + ": expected `ptx`, or `ptx_file` and `ptx_hash`; and perhaps `cubin_hex`, or `cubin_file` and "
                   "`cubin_hash`, or `cubins`");
      return;
    }
    if (text)
      module.ptx = string(at(json, "ptx"), where + ".ptx");
    else if (file)
      module.ptx = fileBeside(json, where, "ptx_file", "ptx_hash");
    if (!failed() && json.contains("cubin_file"))
      module.cubins.push_back({plan_.target, fileBeside(json, where, "cubin_file", "cubin_hash")});
    if (!failed() && json.contains("cubin_hex"))
      module.cubins.push_back({plan_.target, fromHex(string(at(json, "cubin_hex"), where + ".cubin_hex"), where)});
    if (list)
      each(at(json, "cubins"), where + ".cubins", 32, [&](const Json &item, const std::string &place) {
        if (!object(item, place, {"arch"}, {"hex", "file", "hash"}))
          return;
        if (item.contains("hex") == item.contains("file") || item.contains("file") != item.contains("hash")) {
          fail(place + ": expected `hex`, or `file` and `hash`");
          return;
        }
        PlanCubin cubin;
        cubin.arch = string(at(item, "arch"), place + ".arch");
        cubin.bytes = item.contains("hex") ? fromHex(string(at(item, "hex"), place + ".hex"), place)
                                           : fileBeside(item, place, "file", "hash");
        module.cubins.push_back(std::move(cubin));
      });
    // Each module has one text, as each plan.
    if (!failed() && list == isPlainModule(plan_, module))
      fail(where + (list ? ": `cubins` of the target alone is said by `cubin_hex` or `cubin_file`"
                         : ": it has neither PTX nor `cubins`"));
    plan_.modules.push_back(std::move(module));
  }

  std::string fromHex(const std::string &digits, const std::string &where) {
    auto value = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
    std::string bytes;
    for (size_t i = 0; i + 1 < digits.size(); i += 2) {
      if (value(digits[i]) < 0 || value(digits[i + 1]) < 0)
        break;
      bytes += static_cast<char>(value(digits[i]) * 16 + value(digits[i + 1]));
    }
    if (bytes.size() * 2 != digits.size())
      fail(where + ": machine code: expected pairs of digits 0-9 and a-f");
    return bytes;
  }

  const Json &root_;
  const PlanFileReader &readFile_;
  Plan plan_;
  std::string signature_;
  int version_ = 0;
  size_t filesBytes_ = 0;
  std::string message_;
  ErrorCode code_ = ErrorCode::Corrupt;
};

} // namespace

Result<std::string> planToText(const Plan &plan) {
  if (Status status = validatePlan(plan); !status)
    return status.error();
  Ordered root = bodyToJson(plan);
  for (const PlanModule &module : plan.modules) {
    Ordered item{{"name", module.name}};
    if (!module.ptx.empty())
      item["ptx"] = module.ptx;
    if (isPlainModule(plan, module)) {
      if (!module.cubins.empty())
        item["cubin_hex"] = toHex(module.cubins[0].bytes);
    } else {
      item["cubins"] = Ordered::array();
      for (const PlanCubin &cubin : module.cubins)
        item["cubins"].push_back({{"arch", cubin.arch}, {"hex", toHex(cubin.bytes)}});
    }
    root["modules"].push_back(std::move(item));
  }
  return finish(root);
}

Status writePlan(const Plan &plan, const std::string &prefix) {
  if (Status status = validatePlan(plan); !status)
    return status;
  size_t slash = prefix.find_last_of('/');
  std::string folder = slash == std::string::npos ? "" : prefix.substr(0, slash + 1);
  std::string base = prefix.substr(folder.size());
  if (base.empty() || base[0] == '.')
    return Error{ErrorCode::InvalidArgument, prefix + ": a plan needs a file name, which does not begin with a dot"};

  Ordered root = bodyToJson(plan);
  std::vector<PendingFile> pending;
  auto place = [&](const std::string &name, std::string_view content) -> Status {
    Result<PendingFile> file = PendingFile::write(folder + name, content);
    if (!file)
      return file.takeError();
    pending.push_back(std::move(*file));
    return Status::success();
  };
  for (const PlanModule &module : plan.modules) {
    std::string stem = plan.modules.size() == 1 ? base : base + "." + module.name;
    Ordered item{{"name", module.name}};
    if (!module.ptx.empty()) {
      item["ptx_file"] = stem + ".ptx";
      item["ptx_hash"] = hashText(module.ptx);
      if (Status status = place(stem + ".ptx", module.ptx); !status)
        return status;
    }
    bool plain = isPlainModule(plan, module);
    if (!plain)
      item["cubins"] = Ordered::array();
    for (const PlanCubin &cubin : module.cubins) {
      std::string file = stem + (plain ? "" : "." + cubin.arch) + ".cubin";
      if (Status status = place(file, cubin.bytes); !status)
        return status;
      if (plain) {
        item["cubin_file"] = file;
        item["cubin_hash"] = hashText(cubin.bytes);
      } else {
        item["cubins"].push_back({{"arch", cubin.arch}, {"file", file}, {"hash", hashText(cubin.bytes)}});
      }
    }
    root["modules"].push_back(std::move(item));
  }
  if (Status status = place(base + ".json", finish(root)); !status)
    return status;
  // A crash between two renames leaves files whose hashes disagree, which the reader refuses.
  for (PendingFile &file : pending)
    if (Status status = file.commit(); !status)
      return status;
  return Status::success();
}

Result<Plan> parsePlan(std::string_view text, const PlanFileReader &readFile) {
  if (text.size() > kMaxPlanBytes)
    return Error{ErrorCode::InvalidArgument,
                 "plan: longer than " + std::to_string(kMaxPlanBytes >> 20) + " MiB of JSON"};
  Result<Json> root = parseStrictJson(text, kMaxJsonDepth);
  if (!root)
    return Error{root.error().code, "plan: " + root.error().message};
  return Reader(*root, readFile).run();
}

Result<Plan> readPlan(const std::string &path) {
  Result<std::string> text = readFile(path, kMaxPlanBytes);
  if (!text)
    return text.takeError();
  size_t slash = path.find_last_of('/');
  std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  Result<Plan> plan =
      parsePlan(*text, [&](const std::string &name) { return readFile(folder + name, kMaxModuleBytes); });
  if (!plan)
    return Error{plan.error().code, path + ": " + plan.error().message};
  return plan;
}

} // namespace fovea::runtime
