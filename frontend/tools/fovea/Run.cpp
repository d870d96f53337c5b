// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea run: a specification or a plan on the best device, with arrays from files or drawn from a seed.
#include "frontend/driver/Check.h"
#include "frontend/driver/Packing.h"
#include "frontend/driver/PlanCache.h"
#include "frontend/driver/Promises.h"
#include "frontend/tools/fovea/Tool.h"

#include "runtime/host/Compare.h"
#include "runtime/host/Npy.h"
#include "runtime/host/Random.h"
#include "runtime/host/Safetensors.h"
#include "runtime/npz/Npz.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace fovea::tool {

namespace {

using runtime::Array;
using runtime::Plan;
using runtime::PlanTensor;
using runtime::TensorRole;

/// Files that hold several arrays.
constexpr std::string_view kContainers[] = {".safetensors", ".npz"};

/// NAME=FILE, or NAME=FILE:TENSOR for files that hold several.
struct Binding {
  std::string name, path, tensor;
};

Result<std::vector<Binding>> parseBindings(const std::vector<std::string> &texts, const char *option) {
  std::vector<Binding> bindings;
  for (const std::string &text : texts) {
    size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      return Error{ErrorCode::InvalidArgument, std::string(option) + ": '" + text +
                                                   "' binds nothing; expected NAME=FILE, as in " + option + " q=q.npy"};
    Binding binding{text.substr(0, equals), text.substr(equals + 1), {}};
    for (std::string_view ending : kContainers) {
      size_t mark = binding.path.rfind(std::string(ending) + ":");
      if (mark == std::string::npos)
        continue;
      binding.tensor = binding.path.substr(mark + ending.size() + 1);
      binding.path.resize(mark + ending.size());
    }
    for (const Binding &other : bindings)
      if (other.name == binding.name)
        return Error{ErrorCode::InvalidArgument, std::string(option) + ": '" + binding.name + "' is bound twice"};
    bindings.push_back(std::move(binding));
  }
  return bindings;
}

std::string shapeText(const PlanTensor &tensor) {
  std::string text;
  for (const runtime::PlanDim &dim : tensor.dims)
    text += (text.empty() ? "" : ", ") + dim.display;
  return "[" + text + "]";
}

struct RunCommand {
  std::string spec, device = "auto";
  std::vector<std::string> ins, outs;
  CommonOptions common;
  uint64_t seed = 0;
  int repeats = 1;
  std::optional<size_t> entry;
  bool check = false, noCheck = false;

  // Of the run.
  std::unique_ptr<runtime::Device> opened;
  driver::Arrays inputs;
  runtime::AxisSizes sizes;
  std::vector<std::string> drawn;
  std::optional<driver::Sequences> sequences; // of packed arrays
  std::map<std::string, runtime::Safetensors, std::less<>> safetensors;
  std::map<std::string, runtime::Npz, std::less<>> archives;

  int run() {
    Result<driver::CompileOptions> options = common.read();
    if (!options)
      return fail(options.error());
    Result<std::vector<Binding>> from = parseBindings(ins, "--in"), to = parseBindings(outs, "--out");
    if (!from)
      return fail(from.error());
    if (!to)
      return fail(to.error());
    if (repeats < 1 || repeats > 100000)
      return fail("--repeats: expected a number from 1 to 100000");
    if (spec.ends_with(".json"))
      return runPlanFile(*options, *from, *to);
    return runSpec(*options, *from, *to);
  }

  //===--- a specification ---===//

  int runSpec(driver::CompileOptions options, const std::vector<Binding> &from, const std::vector<Binding> &to) {
    driver::SpecName name = driver::splitSpecName(spec);
    Result<driver::SourceText> source = driver::readSource(name.path);
    if (!source)
      return fail(source.error());
    options.attention = name.attention;
    driver::Analysis analysis = driver::analyzeSource(*source, options.sets);
    const sema::Attention *attention = driver::selectAttention(analysis, options.attention);
    if (!attention) {
      report(analysis.diagnostics);
      return 1;
    }
    const sema::Storage *storage = driver::selectStorage(*attention, options.storage, analysis.diagnostics);
    if (analysis.diagnostics.hasErrors()) {
      report(analysis.diagnostics);
      return 1;
    }
    Plan interface = driver::interfaceOf(*attention, *runtime::parseStorageType(options.type));
    if (storage)
      interface = driver::packedInterface(std::move(interface), *attention, *storage);
    runtime::AxisSizes given;
    for (const sema::Axis &axis : attention->axes)
      if (axis.size && axis.relation != sema::AxisRelation::Factor && axis.relation != sema::AxisRelation::Walk)
        given[axis.name] = *axis.size;
    if (storage)
      for (const sema::Ragged &ragged : storage->ragged)
        if (auto batches = given.find(attention->axes[ragged.batch].name); batches != given.end())
          given[ragged.count] = batches->second + 1;
    if (Status status = readInputs(interface, from, given); !status)
      return fail(status.error());
    if (Status status = checkOutputs(interface, to); !status)
      return fail(status.error());
    safetensors.clear();
    archives.clear();
    if (storage)
      if (Status status = findSequences(*attention, *storage); !status)
        return fail(status.error());

    for (const auto &[axis, value] : driver::neededSizes(*attention, sizes))
      options.sets[axis] = value;
    Progress progress;
    progress.show("compiling");
    driver::Compiler compiler;
    driver::CachedCompilation compiled = driver::compilePlan(compiler, *source, options, common.schedule, warn);
    std::unique_ptr<driver::Compilation> result = std::move(compiled.compilation);
    found = compiled.found;
    progress.clear();
    if (report(result->diagnostics()))
      return 1;
    if (Status status =
            drawMissing(result->interface, to,
                        [&](const PlanTensor &tensor) -> Result<Array> {
                          if (std::optional<double> value = driver::defaultOf(*result->attention, tensor.name)) {
                            Result<std::vector<int64_t>> shape = runtime::tensorShape(result->interface, tensor, sizes);
                            if (!shape)
                              return shape.takeError();
                            Result<Array> array = Array::create(tensor.type, *shape);
                            for (int64_t i = 0; array && i < array->elements(); ++i)
                              array->setValue(i, *value);
                            defaults.push_back(tensor.name);
                            return array;
                          }
                          drawn.push_back(tensor.name);
                          if (sequences) { // those of a batch of one length, without what no sequence has
                            Result<Array> whole = driver::drawInput(*result->attention, result->dense, tensor.name,
                                                                    sizes, driver::Pattern::Normal, seed);
                            return whole ? sequences->pack(tensor, *whole) : std::move(whole);
                          }
                          return driver::drawInput(*result->attention, result->interface, tensor.name, sizes,
                                                   driver::Pattern::Normal, seed);
                        });
        !status)
      return fail(status.error());
    driver::PlanRun ran;
    Result<driver::Arrays> outputs = execute(*result->plan, ran);
    if (!outputs)
      return fail(outputs.error());
    if (Status status = writeOutputs(*outputs, to); !status)
      return fail(status.error());
    return printSpec(*result, *outputs, ran);
  }

  //===--- the reference, of packed arrays sequence by sequence ---===//

  /// The sequences by the offsets that are given, or drawn.
  Status findSequences(const sema::Attention &attention, const sema::Storage &storage) {
    bool isGiven = false;
    for (const sema::Ragged &ragged : storage.ragged)
      isGiven |= inputs.count(ragged.offsets) != 0;
    if (isGiven) {
      Result<driver::Sequences> read = driver::Sequences::fromOffsets(attention, storage, inputs, sizes);
      if (!read)
        return read.error();
      sequences = std::move(*read);
    } else {
      for (const sema::Ragged &ragged : storage.ragged) {
        for (sema::AxisId id : {ragged.batch, ragged.most})
          if (!sizes.count(attention.axes[id].name))
            return Error{ErrorCode::InvalidArgument, "'" + ragged.offsets +
                                                         "' is not given and cannot be drawn: the size of '" +
                                                         attention.axes[id].name + "' is not known; --set gives it"};
        if (sizes.count(ragged.total))
          return Error{ErrorCode::InvalidArgument, "'" + ragged.offsets + "' is not given, but arrays of its rows are"};
      }
      sequences = driver::Sequences::draw(attention, storage, sizes, seed);
      Result<driver::Arrays> offsets = sequences->offsets();
      if (!offsets)
        return offsets.error();
      for (auto &[name, array] : *offsets) {
        drawn.push_back(name);
        inputs.insert_or_assign(name, std::move(array));
      }
    }
    for (const auto &[axis, size] : sequences->sizes())
      sizes[axis] = size;
    return Status::success();
  }

  llvm::Expected<reference::Tensors> evaluateEach(driver::Compilation &compilation,
                                                  driver::Sequences::Evaluate evaluate) {
    reference::Tensors values = valuesOf(compilation);
    if (sequences)
      return sequences->evaluate(compilation.attn(), compilation.interface, sizes, values, evaluate);
    reference::Shapes shapes;
    for (const auto &[name, tensor] : values)
      shapes[name] = tensor.shape;
    auto all = reference::inferSizes(compilation.attn(), shapes, {sizes.begin(), sizes.end()});
    if (!all)
      return all.takeError();
    return evaluate(*all, values);
  }

  /// The inputs of the attention.
  reference::Tensors valuesOf(driver::Compilation &compilation) const {
    reference::Tensors values = driver::toTensors(inputs);
    for (const auto &[name, array] : inputs)
      if (!compilation.dense.findTensor(name))
        values.erase(name);
    return values;
  }

  struct Judges {
    reference::Tensors expected;
    driver::Tolerance tolerance;
  };
  llvm::Error judge(driver::Compilation &compilation, Judges &judges) {
    bool isFirst = true;
    auto add = [&](const reference::AxisSizes &own, const reference::Tensors &values) -> llvm::Error {
      driver::Tolerance one = driver::toleranceFor(compilation.attn(), compilation.arithmetic(), own);
      if (llvm::Error error = driver::addProductErrors(one, compilation.attn(), compilation.arithmetic(), own, values))
        return error;
      if (isFirst)
        judges.tolerance = one;
      else // that of the sequence that allows most; squares of absolute errors add
        for (auto &[name, entry] : judges.tolerance.outputs) {
          double errors = entry.fromProducts, other = one.outputs[name].fromProducts;
          if (one.outputs[name].limit > entry.limit)
            entry = one.outputs[name];
          entry.fromProducts = entry.isStatistic ? std::max(errors, other) : std::hypot(errors, other);
        }
      isFirst = false;
      return llvm::Error::success();
    };
    auto expected =
        evaluateEach(compilation, [&](const auto &own, const auto &values) -> llvm::Expected<reference::Tensors> {
          // What breaks a promise has no right result.
          if (Status status = driver::checkPromises(*compilation.attention, compilation.attn(), own, values); !status)
            return llvm::createStringError("%s", status.error().message.c_str());
          return reference::evaluate(compilation.attn(), own, values);
        });
    if (!expected)
      return expected.takeError();
    judges.expected = std::move(*expected);
    if (sequences)
      return sequences->forEach(compilation.attn(), sizes, valuesOf(compilation), add);
    reference::Tensors values = valuesOf(compilation);
    reference::Shapes shapes;
    for (const auto &[name, tensor] : values)
      shapes[name] = tensor.shape;
    auto all = reference::inferSizes(compilation.attn(), shapes, {sizes.begin(), sizes.end()});
    return all ? add(*all, values) : all.takeError();
  }

  /// A check costs one reference, which does about 10^9 multiply-adds a second.
  static constexpr double kCheckLimit = 1e10;

  int printSpec(driver::Compilation &compilation, const driver::Arrays &outputs, const driver::PlanRun &ran) {
    printHead(*compilation.plan, ran);
    std::printf("%s in %s ms for %s\n", found ? "read and found in the cache" : "compiled",
                number(compilation.milliseconds()).c_str(), std::string(compilation.target->name).c_str());
    double pairs = 1, width = 0;
    for (sema::AxisId id = 0; id < compilation.attention->axes.size(); ++id) {
      const sema::Axis &axis = compilation.attention->axes[id];
      auto found = sizes.find(axis.name);
      if (found == sizes.end())
        continue;
      if (driver::useOf(*compilation.attention, id) == driver::AxisUse::Feature)
        width += static_cast<double>(found->second);
      else
        pairs *= static_cast<double>(found->second);
      bool self = false;
      for (const sema::Axis &walk : compilation.attention->axes)
        self |= walk.relation == sema::AxisRelation::Walk && walk.query == id && walk.raw == id;
      if (self)
        pairs *= static_cast<double>(found->second);
    }
    bool compare = check || (!noCheck && pairs * width <= kCheckLimit);
    Table table;
    bool passed = true;
    if (!compare) {
      table.row({"output", "type", "shape"});
      for (const auto &[name, array] : outputs)
        table.row({name, runtime::typeName(array.type()), runtime::shapeText(array.shape())});
      std::fputs(table.text().c_str(), stdout);
      std::printf("not compared with the reference%s\n", noCheck ? "" : ": too large to do unasked; --check does it");
      return 0;
    }
    Progress progress;
    progress.show("computing the float64 reference");
    Judges judges;
    llvm::Error wrong = judge(compilation, judges);
    progress.clear();
    if (wrong)
      return fail("reference: " + llvm::toString(std::move(wrong)));
    driver::Tolerance &tolerance = judges.tolerance;
    reference::Tensors *expected = &judges.expected;
    table.row({"output", "type", "shape", "error against float64", "tolerance", ""});
    std::string terms;
    for (const PlanTensor &tensor : compilation.interface.tensors) {
      auto found = outputs.find(tensor.name);
      if (!runtime::isWritten(tensor.role) || found == outputs.end() || !expected->count(tensor.name))
        continue; // a carry that is absent has no end
      const Array &array = found->second;
      const driver::OutputTolerance &allowed = tolerance.outputs[tensor.name];
      runtime::CompareOptions how;
      if (allowed.isStatistic) {
        how.absolute = std::hypot(allowed.absolute, allowed.fromProducts);
        how.relative = allowed.relative;
      } else {
        how.relative2 = allowed.limit;
      }
      std::vector<double> result = array.toDoubles();
      if (sequences)
        sequences->skipGaps(tensor.name, array.shape(), result);
      auto comparison = runtime::compare(result, (*expected)[tensor.name].data, how);
      if (!comparison)
        return fail(comparison.error());
      double limit = allowed.limit;
      if (!comparison->passed && !allowed.isStatistic) {
        // Terms that cancel are rounded at their own scale, operands of scores at theirs.
        auto scale = evaluateEach(compilation, [&](const auto &own, const auto &values) {
          return driver::magnitudes(compilation.attn(), own, values);
        });
        if (!scale)
          return fail("reference: " + llvm::toString(scale.takeError()));
        limit = allowed.allowed((*scale)[tensor.name].data, (*expected)[tensor.name].data);
        how.relative2 = limit;
        comparison = runtime::compare(result, (*expected)[tensor.name].data, how);
        if (!comparison)
          return fail(comparison.error());
      }
      passed &= comparison->passed;
      std::string error =
          allowed.isStatistic ? "max " + number(comparison->maxAbsolute) : "2-norm " + number(comparison->relative2);
      if (comparison->nanCount)
        error += ", " + std::to_string(comparison->nanCount) + " NaN";
      if (comparison->infinityMismatches)
        error += ", " + std::to_string(comparison->infinityMismatches) + " wrong infinities";
      table.row({tensor.name, runtime::typeName(array.type()), runtime::shapeText(array.shape()), error,
                 allowed.isStatistic ? number(how.absolute) + " + " + number(allowed.relative) + " |r|" : number(limit),
                 comparison->passed ? "ok" : "FAILED"});
      terms += "  " + tensor.name + ": expected on inputs of unit variance " + allowed.format() + "\n";
    }
    std::fputs(table.text().c_str(), stdout);
    std::fputs(terms.c_str(), stdout);
    return passed ? 0
                  : fail("an output is off its reference by more than the tolerance; `fovea check` finds the level");
  }

  //===--- a plan ---===//

  int runPlanFile(const driver::CompileOptions &options, const std::vector<Binding> &from,
                  const std::vector<Binding> &to) {
    if (check)
      return fail("--check: a plan has no reference; run the specification to compare");
    Result<Plan> plan = runtime::readPlan(spec);
    if (!plan)
      return fail(plan.error());
    runtime::AxisSizes given;
    for (const auto &[name, value] : options.sets) {
      int64_t size = 0;
      if (!plan->findAxis(name) || llvm::StringRef(value).getAsInteger(10, size) || size < 1)
        return fail("--set: '" + name + "=" + value + "' is no size of an axis of the plan");
      given[name] = size;
    }
    if (Status status = readInputs(*plan, from, given); !status)
      return fail(status.error());
    if (Status status = checkOutputs(*plan, to); !status)
      return fail(status.error());
    if (Status status = drawMissing(*plan, to,
                                    [&](const PlanTensor &tensor) -> Result<Array> {
                                      Result<std::vector<int64_t>> shape = runtime::tensorShape(*plan, tensor, sizes);
                                      if (!shape)
                                        return shape.takeError();
                                      Result<Array> array = Array::create(tensor.type, *shape);
                                      if (array)
                                        runtime::fillPattern(*array, runtime::InputPattern::Normal,
                                                             runtime::RandomStream(seed, tensor.name));
                                      drawn.push_back(tensor.name);
                                      return array;
                                    });
        !status)
      return fail(status.error());
    driver::PlanRun ran;
    Result<driver::Arrays> outputs = execute(*plan, ran);
    if (!outputs)
      return fail(outputs.error());
    if (Status status = writeOutputs(*outputs, to); !status)
      return fail(status.error());
    printHead(*plan, ran);
    Table table;
    table.row({"output", "type", "shape"});
    for (const auto &[name, array] : *outputs)
      table.row({name, runtime::typeName(array.type()), runtime::shapeText(array.shape())});
    std::fputs(table.text().c_str(), stdout);
    std::printf("not compared: a plan has no reference\n");
    return 0;
  }

  //===--- arrays ---===//

  /// Whether `--out` (else `--in`) can name the tensor; a carry can be named by both.
  static bool isNamedBy(const PlanTensor &tensor, bool output) {
    return output ? runtime::isWritten(tensor.role) : runtime::isRead(tensor.role);
  }

  static std::string namesOf(const Plan &plan, bool outputs) {
    std::string list;
    for (const PlanTensor &tensor : plan.tensors)
      if (isNamedBy(tensor, outputs))
        list += (list.empty() ? "" : ", ") + tensor.name;
    return list;
  }

  static Result<const PlanTensor *> find(const Plan &plan, const std::string &name, bool output, const char *option) {
    std::vector<std::string> names;
    for (const PlanTensor &tensor : plan.tensors) {
      if (!isNamedBy(tensor, output))
        continue;
      if (tensor.name == name)
        return &tensor;
      names.push_back(tensor.name);
    }
    std::string close = syntax::closest(name, names);
    return Error{ErrorCode::NotFound, std::string(option) + ": there is no " + (output ? "output" : "input") + " '" +
                                          name + "'; there are: " + namesOf(plan, output) +
                                          (close.empty() ? "" : "; did you mean '" + close + "'?")};
  }

  Status readInputs(const Plan &plan, const std::vector<Binding> &from, const runtime::AxisSizes &given) {
    std::map<std::string, std::vector<int64_t>, std::less<>> shapes;
    for (const Binding &binding : from) {
      Result<const PlanTensor *> tensor = find(plan, binding.name, /*output=*/false, "--in");
      if (!tensor)
        return tensor.error();
      Result<Array> array = read(binding, (*tensor)->type);
      if (!array)
        return Error{array.error().code, "--in " + binding.name + ": " + array.error().message};
      if (array->shape().size() != (*tensor)->dims.size())
        return Error{ErrorCode::InvalidArgument, "--in " + binding.name + ": the array has the shape " +
                                                     runtime::shapeText(array->shape()) + ", but '" + binding.name +
                                                     "' is " + shapeText(**tensor) + ": " +
                                                     std::to_string((*tensor)->dims.size()) + " dimensions"};
      shapes[binding.name] = array->shape();
      inputs.emplace(binding.name, std::move(*array));
    }
    Result<runtime::AxisSizes> inferred = runtime::inferAxes(plan, shapes, given);
    if (!inferred)
      return inferred.error();
    sizes = std::move(*inferred);
    return Status::success();
  }

  /// The file once, however many arrays are taken from it.
  template <typename File>
  static Result<Array> readFrom(std::map<std::string, File, std::less<>> &opened, const Binding &binding,
                                runtime::StorageType type) {
    auto found = opened.find(binding.path);
    if (found == opened.end()) {
      Result<File> file = File::open(binding.path);
      if (!file)
        return file.takeError();
      found = opened.emplace(binding.path, std::move(*file)).first;
    }
    Result<Array> array = found->second.get(binding.tensor.empty() ? binding.name : binding.tensor, type);
    return array ? std::move(array) : Error{array.error().code, binding.path + ": " + array.error().message};
  }

  Result<Array> read(const Binding &binding, runtime::StorageType type) {
    if (binding.path.ends_with(".safetensors"))
      return readFrom(safetensors, binding, type);
    if (binding.path.ends_with(".npz"))
      return readFrom(archives, binding, type);
    return runtime::readNpy(binding.path, type);
  }

  Status checkOutputs(const Plan &plan, const std::vector<Binding> &to) {
    for (const Binding &binding : to) {
      Result<const PlanTensor *> tensor = find(plan, binding.name, /*output=*/true, "--out");
      if (!tensor)
        return tensor.error();
    }
    return Status::success();
  }

  Result<Array> zeros(const Plan &plan, const PlanTensor &tensor) {
    Result<std::vector<int64_t>> shape = runtime::tensorShape(plan, tensor, sizes);
    if (!shape)
      return shape.takeError();
    return Array::create(tensor.type, std::move(*shape));
  }

  /// A carry begins at zero. Optional ones are given together: where none is given or asked for, all stay absent.
  template <typename Make> Status drawMissing(const Plan &plan, const std::vector<Binding> &to, Make make) {
    bool continues = std::any_of(plan.tensors.begin(), plan.tensors.end(), [&](const PlanTensor &tensor) {
      bool asked =
          std::any_of(to.begin(), to.end(), [&](const Binding &binding) { return binding.name == tensor.name; });
      return tensor.role == TensorRole::Carry && tensor.optional && (asked || inputs.count(tensor.name));
    });
    for (const PlanTensor &tensor : plan.tensors) {
      if (tensor.role == TensorRole::Output || inputs.count(tensor.name))
        continue;
      bool carry = tensor.role == TensorRole::Carry;
      if (carry && tensor.optional && !continues)
        continue;
      Result<Array> array = carry ? zeros(plan, tensor) : make(tensor);
      if (!array)
        return Error{array.error().code, "'" + tensor.name + "' " + shapeText(tensor) +
                                             " is not given and cannot be drawn: " + array.error().message +
                                             "; give it by --in, or its axes by --set"};
      inputs.emplace(tensor.name, std::move(*array));
    }
    return Status::success();
  }

  Status writeOutputs(const driver::Arrays &outputs, const std::vector<Binding> &to) {
    std::map<std::string, std::vector<std::pair<std::string, const Array *>>> together;
    auto holdsSeveral = [](const std::string &path) {
      return std::any_of(std::begin(kContainers), std::end(kContainers),
                         [&](std::string_view ending) { return path.ends_with(ending); });
    };
    for (const Binding &binding : to) {
      const Array &array = outputs.find(binding.name)->second;
      if (holdsSeveral(binding.path)) {
        together[binding.path].push_back({binding.tensor.empty() ? binding.name : binding.tensor, &array});
        continue;
      }
      if (Status status = runtime::writeNpy(binding.path, array); !status)
        return status;
    }
    for (const auto &[path, tensors] : together) {
      Status status =
          path.ends_with(".npz") ? runtime::writeNpz(path, tensors) : runtime::writeSafetensors(path, tensors);
      if (!status)
        return status;
    }
    return Status::success();
  }

  //===--- device ---===//

  Status open() {
    Result<std::unique_ptr<runtime::Device>> device = openDevice(this->device, note);
    if (!device)
      return device.error();
    opened = std::move(*device);
    return Status::success();
  }

  Result<driver::Arrays> execute(const Plan &plan, driver::PlanRun &run) {
    if (Status status = open(); !status)
      return status.error();
    Progress progress;
    progress.show("running on " + opened->facts().name);
    run.repeats = repeats;
    run.entry = entry;
    run.load = runtime::LoadOptions::fromEnvironment(warn);
    return driver::runPlan(plan, *opened, inputs, sizes, &run);
  }

  void printHead(const Plan &plan, const driver::PlanRun &ran) const {
    std::vector<double> milliseconds = ran.milliseconds;
    std::string axes;
    for (const auto &[axis, size] : sizes)
      axes += (axes.empty() ? "" : " ") + axis + "=" + std::to_string(size);
    std::printf("%s  %s\n", plan.spec.c_str(), axes.c_str());
    const runtime::DeviceFacts &facts = opened->facts();
    std::printf("device: %s%s\n", facts.name.c_str(), note.empty() ? "" : (" (" + note + ")").c_str());
    auto list = [](const std::vector<std::string> &names) {
      std::string text;
      for (const std::string &name : names)
        text += (text.empty() ? "" : ", ") + name;
      return text;
    };
    if (!facts.emulated)
      for (const runtime::LoadReport::Module &module : ran.loaded.modules)
        std::printf("module %s: %s\n", module.name.c_str(), runtime::LoadReport::describe(module).c_str());
    if (ran.loaded.selfTest == runtime::LoadReport::SelfTest::Passed)
      std::printf("the self-test of the plan passed in %s ms\n", number(ran.loaded.selfTestMilliseconds).c_str());
    if (plan.entries.size() > 1 && ran.entry)
      std::printf("entry %zu of %zu%s: %s\n", *ran.entry, plan.entries.size(), entry ? " (asked for)" : "",
                  plan.entries[*ran.entry].reason.c_str());
    if (!drawn.empty())
      std::printf("drawn from seed %llu, unit variance: %s\n", static_cast<unsigned long long>(seed),
                  list(drawn).c_str());
    if (!defaults.empty())
      std::printf("by default: %s\n", list(defaults).c_str());
    if (!milliseconds.empty()) {
      std::sort(milliseconds.begin(), milliseconds.end());
      std::printf("time: %s ms%s%s\n", number(milliseconds[milliseconds.size() / 2]).c_str(),
                  milliseconds.size() > 1 ? " (median)" : "",
                  facts.emulated ? ", of the emulator: says nothing of a GPU" : "");
    }
  }

  std::string note;
  std::vector<std::string> defaults;
  bool found = false; // the plan came from the cache
};

} // namespace

void addRun(CLI::App &app, int &status) {
  auto command = std::make_shared<RunCommand>();
  CLI::App *sub = app.add_subcommand("run", "Run a specification, or a plan, on a GPU or on the emulator");
  sub->add_option("spec", command->spec, "S.attn, S.attn:name, or a plan P.json")->required();
  sub->add_option("--in", command->ins,
                  "NAME=FILE: .npy, or .npz or .safetensors (FILE:TENSOR where it has another name); f32 is rounded to "
                  "the type; "
                  "a carry begins at zero without")
      ->allow_extra_args(false);
  sub->add_option("--out", command->outs,
                  "NAME=FILE: where to write an output, or the end of a carry (.npy, .npz or .safetensors; several "
                  "may go into one file)")
      ->allow_extra_args(false);
  sub->add_option("--device", command->device, "auto (a GPU where there is one), gpu or emulator")
      ->check(CLI::IsMember({"auto", "gpu", "emulator"}))
      ->capture_default_str();
  sub->add_option("--seed", command->seed, "seed of inputs that are not given")->capture_default_str();
  sub->add_option("--entry", command->entry, "run this entry of the plan, counted from 0, where its guard holds");
  sub->add_option("--repeats", command->repeats, "timed runs")->capture_default_str();
  sub->add_flag("--check", command->check, "compare with the float64 reference (default where that is quick)");
  sub->add_flag("--no-check", command->noCheck, "do not")->excludes("--check");
  command->common.add(*sub);
  sub->footer("Sizes come from the inputs; --set gives those that none shows.\n"
              "Example:\n  fovea run examples/full.attn --in q=q.npy --in k=k.npy --in v=v.npy --out o=o.npy\n"
              "  fovea run examples/causal.attn --set B=1,T=128,S=128,H=2,D=64,V=64 --seed 7");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
