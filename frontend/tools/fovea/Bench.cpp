// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea bench: times of the entries of a specification or a plan. Inputs lie in several copies that take turns, so that
// no cache holds them from one run to the next; each run lies between two events of the device.
#include "frontend/driver/Check.h"
#include "frontend/tools/fovea/Tool.h"

#include "runtime/host/Execute.h"
#include "runtime/host/Random.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>

namespace fovea::tool {

namespace {

using runtime::Array;
using runtime::DeviceBuffer;
using runtime::Plan;
using runtime::PlanTensor;
using runtime::TensorRole;

struct BenchCommand {
  std::string spec, device = "auto";
  CommonOptions common;
  uint64_t seed = 0;
  int repeats = 50, warmUp = 5, copies = 4;
  std::optional<size_t> entry;
  bool allEntries = false, json = false;

  std::unique_ptr<runtime::Device> opened;
  Plan plan;
  runtime::AxisSizes sizes;
  std::vector<Array> inputs;           // in the order of the plan; outputs are empty
  std::optional<double> compiled = {}; // milliseconds
  std::optional<double> byLlvm = {};   // of these
  runtime::LoadReport loadReport;

  struct Timing {
    size_t entry = 0;
    std::string reason;
    size_t launches = 0;
    int64_t workspaceBytes = 0;
    std::vector<double> milliseconds; // ascending
    double at(double share) const { return milliseconds[size_t(double(milliseconds.size() - 1) * share + 0.5)]; }
  };

  int run() {
    Result<driver::CompileOptions> options = common.read();
    if (!options)
      return fail(options.error());
    if (repeats < 1 || repeats > 100000 || warmUp < 0 || warmUp > 100000)
      return fail("--repeats and --warm-up: expected numbers up to 100000, at least one repeat");
    if (copies < 1 || copies > 64)
      return fail("--copies: expected a number from 1 to 64");
    if (Status status = spec.ends_with(".json") ? readPlanFile(*options) : compileSpec(*options); !status)
      return status.error().message.empty() ? 1 : fail(status.error());
    if (Status status = open(); !status)
      return fail(status.error());
    Result<std::vector<Timing>> timings = measure();
    if (!timings)
      return fail(timings.error());
    json ? printJson(*timings) : printTable(*timings);
    return 0;
  }

  //===--- what is run ---===//

  Status compileSpec(driver::CompileOptions options) {
    driver::SpecName name = driver::splitSpecName(spec);
    Result<driver::SourceText> source = driver::readSource(name.path);
    if (!source)
      return source.error();
    options.attention = name.attention;
    driver::Compiler compiler;
    std::unique_ptr<driver::Compilation> result = compiler.compile(*source, options);
    if (report(result->diagnostics()))
      return Error{ErrorCode::InvalidArgument, ""};
    compiled = result->milliseconds();
    byLlvm = 0;
    for (const driver::StageTime &time : result->times)
      if (time.name == "ptx")
        *byLlvm += time.milliseconds;
    plan = *result->plan;
    if (Status status = infer(options.sets); !status)
      return status;
    return draw([&](const PlanTensor &tensor) -> Result<Array> {
      return driver::drawInput(*result->attention, result->interface, tensor.name, sizes, driver::Pattern::Normal,
                               seed);
    });
  }

  Status readPlanFile(const driver::CompileOptions &options) {
    Result<Plan> read = runtime::readPlan(spec);
    if (!read)
      return read.error();
    plan = std::move(*read);
    if (Status status = infer(options.sets); !status)
      return status;
    return draw([&](const PlanTensor &tensor) -> Result<Array> {
      Result<std::vector<int64_t>> shape = runtime::tensorShape(plan, tensor, sizes);
      if (!shape)
        return shape.takeError();
      Result<Array> array = Array::create(tensor.type, *shape);
      if (array)
        runtime::fillPattern(*array, runtime::InputPattern::Normal, runtime::RandomStream(seed, tensor.name));
      return array;
    });
  }

  Status infer(const driver::Sets &sets) {
    runtime::AxisSizes given;
    for (const auto &[name, value] : sets) {
      int64_t size = 0;
      if (!plan.findAxis(name) || plan.findAxis(name)->derived)
        continue; // a const or an option of the specification
      if (llvm::StringRef(value).getAsInteger(10, size) || size < 1)
        return Error{ErrorCode::InvalidArgument, "--set: '" + name + "=" + value + "' is no size of an axis"};
      given[name] = size;
    }
    Result<runtime::AxisSizes> inferred = runtime::inferAxes(plan, {}, given);
    if (!inferred)
      return inferred.error();
    sizes = std::move(*inferred);
    return Status::success();
  }

  template <typename Make> Status draw(Make make) {
    for (const PlanTensor &tensor : plan.tensors) {
      Result<Array> array = Error{ErrorCode::InvalidArgument, ""};
      if (tensor.role == TensorRole::Output) {
        Result<std::vector<int64_t>> shape = runtime::tensorShape(plan, tensor, sizes);
        array = shape ? Array::create(tensor.type, *shape) : Result<Array>(shape.takeError());
      } else {
        array = make(tensor);
      }
      if (!array)
        return Error{ErrorCode::InvalidArgument,
                     "'" + tensor.name + "': " + array.error().message + "; --set gives sizes"};
      inputs.push_back(std::move(*array));
    }
    return Status::success();
  }

  Status open() {
    std::string why;
    Result<std::unique_ptr<runtime::Device>> device = openDevice(this->device, why);
    if (!device)
      return device.error();
    opened = std::move(*device);
    return Status::success();
  }

  //===--- measuring ---===//

  Result<std::vector<Timing>> measure() {
    Result<runtime::LoadedPlan> loaded =
        runtime::LoadedPlan::load(plan, *opened, runtime::LoadOptions::fromEnvironment(warn), &loadReport);
    if (!loaded)
      return loaded.takeError();
    // Every copy has all tensors.
    std::vector<DeviceBuffer> buffers;
    std::vector<std::vector<runtime::DeviceAddress>> tensors(copies);
    std::vector<runtime::TensorView> views;
    for (int copy = 0; copy < copies; ++copy)
      for (size_t n = 0; n < inputs.size(); ++n) {
        const Array &array = inputs[n];
        Result<DeviceBuffer> buffer = DeviceBuffer::allocate(*opened, array.bytes().size());
        if (!buffer)
          return buffer.takeError();
        if (Status status = opened->upload(buffer->address(), array.bytes().data(), array.bytes().size()); !status)
          return status.error();
        tensors[copy].push_back(buffer->address());
        if (copy == 0)
          views.push_back({array.type(), array.shape(), array.strides(), buffer->address()});
        buffers.push_back(std::move(*buffer));
      }

    std::vector<size_t> wanted;
    for (size_t index = 0; allEntries && index < plan.entries.size(); ++index)
      if (runtime::resolveCall(plan, views, opened->facts(), sizes, index)) // else its guard does not hold
        wanted.push_back(index);
    std::vector<Timing> timings;
    if (!allEntries) {
      Result<Timing> timing = measureEntry(*loaded, views, tensors, entry);
      if (!timing)
        return timing.takeError();
      timings.push_back(std::move(*timing));
    }
    for (size_t index : wanted) {
      Result<Timing> timing = measureEntry(*loaded, views, tensors, index);
      if (!timing)
        return timing.takeError();
      timings.push_back(std::move(*timing));
    }
    return timings;
  }

  Result<Timing> measureEntry(runtime::LoadedPlan &loaded, const std::vector<runtime::TensorView> &views,
                              const std::vector<std::vector<runtime::DeviceAddress>> &tensors,
                              std::optional<size_t> asked) {
    Result<runtime::ResolvedCall> call = runtime::resolveCall(plan, views, opened->facts(), sizes, asked);
    if (!call)
      return call.takeError();
    Timing timing;
    timing.entry = call->entry;
    timing.reason = plan.entries[call->entry].reason;
    timing.launches = call->launches.size();
    std::vector<DeviceBuffer> workspaces;
    std::vector<runtime::DeviceAddress> addresses;
    for (const runtime::ResolvedWorkspace &workspace : call->workspaces) {
      Result<DeviceBuffer> buffer = DeviceBuffer::allocate(*opened, size_t(workspace.bytes));
      if (!buffer)
        return buffer.takeError();
      timing.workspaceBytes += workspace.bytes;
      addresses.push_back(buffer->address());
      workspaces.push_back(std::move(*buffer));
    }
    std::vector<std::pair<runtime::EventHandle, runtime::EventHandle>> events;
    struct Destroy {
      runtime::Device &device;
      std::vector<std::pair<runtime::EventHandle, runtime::EventHandle>> &events;
      ~Destroy() {
        for (auto [from, to] : events) {
          (void)device.destroyEvent(from);
          (void)device.destroyEvent(to);
        }
      }
    } destroy{*opened, events};
    for (int n = 0; n < repeats; ++n) {
      Result<runtime::EventHandle> from = opened->createEvent(), to = opened->createEvent();
      if (!from || !to)
        return from ? to.takeError() : from.takeError();
      events.push_back({*from, *to});
    }
    for (int n = -warmUp; n < repeats; ++n) {
      Status status = n < 0 ? Status::success() : opened->recordEvent(events[n].first);
      if (status)
        status = loaded.launch(*call, tensors[size_t(n + warmUp) % tensors.size()], addresses);
      if (status && n >= 0)
        status = opened->recordEvent(events[n].second);
      if (!status)
        return status.error();
    }
    if (Status status = opened->synchronize(); !status)
      return status.error();
    for (auto [from, to] : events) {
      Result<double> passed = opened->elapsedMilliseconds(from, to);
      if (!passed)
        return passed.takeError();
      timing.milliseconds.push_back(*passed);
    }
    std::sort(timing.milliseconds.begin(), timing.milliseconds.end());
    return timing;
  }

  //===--- what is said ---===//

  /// Every tensor moved once: the least that any kernel moves.
  double tensorBytes() const {
    double bytes = 0;
    for (const Array &array : inputs)
      bytes += double(array.bytes().size());
    return bytes;
  }

  void printTable(const std::vector<Timing> &timings) const {
    std::string axes;
    for (const auto &[axis, size] : sizes)
      axes += (axes.empty() ? "" : " ") + axis + "=" + std::to_string(size);
    std::printf("%s  %s\n", plan.spec.c_str(), axes.c_str());
    std::printf("device: %s%s\n", opened->facts().name.c_str(),
                opened->facts().emulated ? ", whose times say nothing of a GPU" : "");
    // From a specification to a loaded function.
    double loading = 0;
    for (const runtime::LoadReport::Module &module : loadReport.modules)
      loading += module.milliseconds;
    if (compiled)
      std::printf("compiled in %s ms (ours %s, LLVM %s), loaded in %s ms", number(*compiled).c_str(),
                  number(*compiled - byLlvm.value_or(0)).c_str(), number(byLlvm.value_or(0)).c_str(),
                  number(loading).c_str());
    else
      std::printf("loaded in %s ms", number(loading).c_str());
    for (const runtime::LoadReport::Module &module : loadReport.modules)
      std::printf("%s%s", &module == loadReport.modules.data() ? ": " : ", ",
                  opened->facts().emulated ? "PTX by the emulator" : runtime::LoadReport::describe(module).c_str());
    std::printf("\n");
    std::printf("tensors: %s, in %d copies that take turns; %d runs after %d that do not count\n",
                bytesText(tensorBytes()).c_str(), copies, repeats, warmUp);
    Table table;
    table.row({"entry", "median ms", "least", "90 %", "GB/s of tensors", "launches", "workspace", ""});
    for (const Timing &timing : timings)
      table.row({std::to_string(timing.entry), number(timing.at(0.5), 4), number(timing.at(0), 4),
                 number(timing.at(0.9), 4), number(tensorBytes() / timing.at(0.5) * 1e-6),
                 std::to_string(timing.launches), bytesText(double(timing.workspaceBytes)), timing.reason});
    std::fputs(table.text().c_str(), stdout);
  }

  void printJson(const std::vector<Timing> &timings) const {
    nlohmann::ordered_json out;
    out["spec"] = plan.spec;
    for (const auto &[axis, size] : sizes)
      out["sizes"][axis] = size;
    out["target"] = plan.target;
    const runtime::DeviceFacts &facts = opened->facts();
    out["device"] = {{"name", facts.name},
                     {"emulated", facts.emulated},
                     {"sm", facts.smVersion},
                     {"multiprocessors", facts.sms},
                     {"driver", facts.driverVersion}};
    if (compiled)
      out["compile_ms"] = *compiled;
    if (byLlvm)
      out["compile_llvm_ms"] = *byLlvm;
    for (const runtime::LoadReport::Module &module : loadReport.modules)
      out["modules"].push_back(
          {{"name", module.name}, {"code", runtime::LoadReport::describe(module)}, {"load_ms", module.milliseconds}});
    out["tensor_bytes"] = tensorBytes();
    out["copies"] = copies;
    out["repeats"] = repeats;
    for (const Timing &timing : timings)
      out["entries"].push_back({{"entry", timing.entry},
                                {"reason", timing.reason},
                                {"launches", timing.launches},
                                {"workspace_bytes", timing.workspaceBytes},
                                {"median_ms", timing.at(0.5)},
                                {"least_ms", timing.at(0)},
                                {"p90_ms", timing.at(0.9)}});
    std::printf("%s\n", out.dump(2).c_str());
  }
};

} // namespace

void addBench(CLI::App &app, int &status) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App *sub = app.add_subcommand("bench", "Time a specification, or a plan, on a GPU");
  sub->add_option("spec", command->spec, "S.attn, S.attn:name, or a plan P.json")->required();
  sub->add_option("--device", command->device, "auto (a GPU where there is one), gpu or emulator")
      ->check(CLI::IsMember({"auto", "gpu", "emulator"}))
      ->capture_default_str();
  sub->add_option("--repeats", command->repeats, "timed runs")->capture_default_str();
  sub->add_option("--warm-up", command->warmUp, "runs before them")->capture_default_str();
  sub->add_option("--copies", command->copies, "of all tensors; they take turns, so that no cache holds them")
      ->capture_default_str();
  sub->add_option("--entry", command->entry, "this entry of the plan, counted from 0, in place of the preferred one");
  sub->add_flag("--all-entries", command->allEntries, "each entry whose guard holds")->excludes("--entry");
  sub->add_option("--seed", command->seed, "seed of the inputs")->capture_default_str();
  sub->add_flag("--json", command->json, "one JSON object in place of the table");
  command->common.add(*sub);
  sub->footer("Sizes are given by --set, all of them.\n"
              "Example:\n  fovea bench examples/causal.attn --target sm_90 --set B=4,H=16,T=4096,S=4096,D=128,V=128");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
