// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cases and comparisons: see Check.h.
#include "frontend/driver/Check.h"

#include "frontend/driver/Packing.h"
#include "reference/tile/TileInterpreter.h"
#include "runtime/abi/Files.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Compare.h"
#include "runtime/host/Random.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>
#include <cmath>
#include <numeric>

namespace fovea::driver {

static const char *const kLevelNames[] = {"attn", "tile", "schedule", "ptx", "gpu"};
const char *levelName(Level level) { return kLevelNames[static_cast<int>(level)]; }
std::optional<Level> parseLevel(std::string_view name) {
  for (Level level : kAllLevels)
    if (name == levelName(level))
      return level;
  return std::nullopt;
}

std::string CheckCase::name() const {
  std::string text;
  for (const auto &[axis, size] : sizes)
    text += axis + "=" + std::to_string(size) + " ";
  text += patternName(pattern) + std::string(padded ? " padded" : "");
  for (const std::string &input : absent)
    text += " without " + input;
  return text;
}

//===--- cases ---===//

Checker::Checker(Compiler &compiler, SourceText source, CheckOptions options)
    : compiler_(compiler), source_(std::move(source)), options_(std::move(options)) {}
Checker::~Checker() = default;

std::vector<CheckCase> Checker::makeCases(syntax::DiagnosticEngine &diagnostics, std::string &name) {
  Analysis analysis = analyzeSource(source_, options_.compile.sets, options_.compile.maps);
  const sema::Attention *attention = selectAttention(analysis, options_.compile.attention);
  if (!attention) {
    diagnostics = std::move(analysis.diagnostics);
    return {};
  }
  name = attention->name;
  // A const without a value has no size to choose.
  bool open = false;
  for (const sema::Missing &missing : sema::missing(*attention)) {
    bool isAxis = false;
    for (const sema::Axis &axis : attention->axes)
      isAxis |= axis.name == missing.name;
    if (!isAxis) {
      analysis.diagnostics.report({syntax::Severity::Error,
                                   missing.span,
                                   missing.message,
                                   {},
                                   {{{}, "give it by --set " + missing.name + "=.."}},
                                   {}});
      open = true;
    }
  }
  if (open) {
    diagnostics = std::move(analysis.diagnostics);
    return {};
  }

  std::vector<sema::AxisId> batch, queries, keys, features, groups;
  // Heads that a norm takes together are static, but each has a state of its own.
  auto isHead = [&](sema::AxisId id) {
    return std::any_of(attention->nodes.begin(), attention->nodes.end(), [&](const sema::Node &node) {
      return node.op == sema::Op::State && std::find(node.axes.begin(), node.axes.end(), id) != node.axes.end();
    });
  };
  // The tokens of a grid are its product.
  std::map<sema::AxisId, bool> grid; // true for the last part
  for (const sema::Axis &walk : attention->axes)
    if (walk.relation == sema::AxisRelation::Walk)
      for (sema::AxisId part : attention->axes[walk.raw].factors)
        grid[part] = part == attention->axes[walk.raw].factors.back();
  runtime::AxisSizes fixed;
  Sets sets = options_.compile.sets;
  for (sema::AxisId id = 0; id < attention->axes.size(); ++id) {
    const sema::Axis &axis = attention->axes[id];
    if (isDerived(axis))
      continue;
    if (axis.size) {
      fixed[axis.name] = *axis.size;
      continue;
    }
    switch (useOf(*attention, id)) {
    case AxisUse::Batch:
      batch.push_back(id);
      break;
    case AxisUse::Queries:
      queries.push_back(id);
      break;
    case AxisUse::Keys:
      keys.push_back(id);
      break;
    case AxisUse::Feature:
      (axis.needsSize && !isHead(id) ? features : groups).push_back(id);
      break;
    }
  }

  // A map has no weights; its axes in front are batch and tokens.
  if (options_.compile.maps && batch.size() > 1) {
    queries.push_back(batch[1]);
    batch.erase(batch.begin() + 1);
  }
  // Axes that something else decides. Parts of a concatenation: the first is as wide as a feature axis, the others half
  // of that. Tables: large enough for an index to be inside and outside.
  std::set<sema::AxisId> lateParts, tables;
  for (const sema::Axis &axis : attention->axes)
    for (size_t i = 1; i < axis.parts.size(); ++i)
      if (axis.parts[i] != axis.parts[0])
        lateParts.insert(axis.parts[i]);
  // Taps of convolutions are few.
  std::map<sema::AxisId, int64_t> taps;
  for (const sema::Node &node : attention->nodes)
    if (node.op == sema::Op::Conv)
      for (size_t i = node.attrAxes.size() / 2; i < node.attrAxes.size(); ++i)
        taps[node.attrAxes[i]] = node.attrAxes.size() > 2 ? 3 : 4;
  features.erase(std::remove_if(features.begin(), features.end(), [&](sema::AxisId id) { return taps.count(id) != 0; }),
                 features.end());
  std::set<sema::AxisId> parts = lateParts;
  for (const sema::Axis &axis : attention->axes)
    parts.insert(axis.parts.begin(), axis.parts.end());
  for (const sema::Node &node : attention->nodes)
    if (node.op == sema::Op::Gather)
      tables.insert(node.attrAxes[0]);

  std::set<sema::AxisId> sequences; // batches of packed arrays
  std::map<sema::AxisId, sema::AxisId> bounds;
  const sema::Storage *storage = selectStorage(*attention, options_.compile.storage, analysis.diagnostics);
  if (analysis.diagnostics.hasErrors()) {
    diagnostics = std::move(analysis.diagnostics);
    return {};
  }
  if (storage)
    for (const sema::Ragged &ragged : storage->ragged) {
      sequences.insert(ragged.batch);
      bounds[ragged.token] = ragged.most;
    }

  // first: the first feature axis, usually that of queries and keys, and parts; second: all others.
  auto make = [&](int64_t first, int64_t second, int64_t t, int64_t s, bool many, Pattern pattern, bool padded) {
    CheckCase each;
    each.sizes = fixed;
    each.sets = sets;
    each.pattern = pattern;
    each.padded = padded;
    auto set = [&](sema::AxisId id, int64_t size) {
      const sema::Axis &axis = attention->axes[id];
      each.sizes[axis.name] = size;
      if (axis.isStatic || axis.needsSize)
        each.sets[axis.name] = std::to_string(size);
    };
    for (size_t i = 0; i < features.size(); ++i) {
      bool isFirst = parts.empty() ? i == 0 : parts.count(features[i]) != 0;
      set(features[i], lateParts.count(features[i]) ? first / 2 : isFirst ? first : second);
    }
    for (auto [id, count] : taps)
      if (!attention->axes[id].size)
        set(id, count);
    for (sema::AxisId id : groups)
      set(id, 2);
    for (size_t i = 0; i < batch.size(); ++i)
      set(batch[i], tables.count(batch[i])      ? 32
                    : sequences.count(batch[i]) ? (many ? 7 : 4)
                    : many                      ? 2 + static_cast<int64_t>(i % 2)
                                                : 1);
    auto tokens = [&](sema::AxisId id, int64_t count) {
      auto part = grid.find(id);
      if (part != grid.end()) {
        int64_t side = static_cast<int64_t>(std::sqrt(static_cast<double>(count)));
        count = part->second ? side : (count + side - 1) / side;
      }
      set(id, count);
    };
    // Of several axes of queries that are no grid one is long.
    size_t place = 0, lines = 0;
    for (sema::AxisId id : queries)
      lines += grid.count(id) == 0;
    for (sema::AxisId id : queries) {
      bool isLong = grid.count(id) || lines <= 1 || place++ == (many ? lines - 1 : 0);
      tokens(id, isLong ? t : std::min<int64_t>(t, 5));
    }
    for (sema::AxisId id : keys)
      tokens(id, s);
    for (auto [token, most] : bounds)
      each.sizes[attention->axes[token].name] = each.sizes[attention->axes[most].name];
    for (sema::AxisId id = 0; id < attention->axes.size(); ++id) {
      const sema::Axis &axis = attention->axes[id];
      bool isNamed = axis.relation != sema::AxisRelation::Factor && axis.relation != sema::AxisRelation::Walk;
      if (isDerived(axis) && isNamed)
        if (std::optional<int64_t> size = sizeOf(*attention, id, each.sizes))
          each.sizes[axis.name] = *size;
    }
    return each;
  };
  std::vector<CheckCase> cases;
  std::set<std::string> seen;
  auto add = [&](int64_t first, int64_t second, int64_t t, int64_t s, bool many, Pattern pattern = Pattern::Normal,
                 bool padded = false) {
    CheckCase each = make(first, second, t, s, many, pattern, padded);
    if (seen.insert(each.name()).second)
      cases.push_back(std::move(each));
  };
  add(64, 64, 64, 64, false);
  add(64, 64, 1, 1, true);
  add(64, 64, 1, 77, false);
  add(64, 64, 3, 777, true); // keys in several parts
  add(64, 64, 77, 77, true);
  add(64, 64, 33, 200, false);
  add(64, 64, 130, 77, false); // more queries than keys: the first see none in a causal attention
  add(64, 64, 100, 130, false, Pattern::Normal, /*padded=*/true);
  // Every set of optional inputs but the full one, which all other cases have.
  std::vector<std::vector<std::string>> optional = optionalGroups(*attention);
  for (size_t set = 1; set < size_t(1) << std::min(optional.size(), kMaxOptional); ++set)
    for (auto [t, s] : {std::pair<int64_t, int64_t>{77, 77}, {33, 200}}) {
      CheckCase each = make(64, 64, t, s, true, Pattern::Normal, false);
      for (size_t i = 0; i < optional.size(); ++i)
        if (set >> i & 1)
          each.absent.insert(each.absent.end(), optional[i].begin(), optional[i].end());
      if (seen.insert(each.name()).second)
        cases.push_back(std::move(each));
    }
  for (Pattern pattern : adversarialPatterns(*attention))
    add(64, 64, 70, 150, false, pattern);
  add(64, 64, 150, 70, false, Pattern::LargeLogits);
  for (auto [first, second] : {std::pair<int64_t, int64_t>{128, 128}, {32, 96}, {96, 32}, {128, 256}}) {
    add(first, second, 100, 100, false);
    add(first, second, 17, 150, false);
  }
  return cases;
}

//===--- one case ---===//

Result<Arrays> runPlan(const runtime::Plan &plan, runtime::Device &device, const Arrays &inputs,
                       const runtime::AxisSizes &sizes, PlanRun *run) {
  runtime::ExecuteRequest request;
  for (const auto &[name, array] : inputs)
    request.inputs[name] = &array;
  request.axes = sizes;
  if (run) {
    request.repeats = run->repeats;
    request.entry = run->entry;
  }
  Result<runtime::ExecuteResult> result =
      run ? runtime::execute(plan, device, request, run->load, &run->loaded) : runtime::execute(plan, device, request);
  if (!result)
    return result.takeError();
  if (run) {
    run->milliseconds = result->milliseconds;
    run->entry = result->call.entry;
  }
  return std::move(result->outputs);
}

namespace {

/// Of the guards that a program states itself: sizes and which inputs are given.
class CaseScope : public runtime::ExprScope {
public:
  CaseScope(const reference::AxisSizes &sizes, const Arrays &inputs) : sizes_(sizes), inputs_(inputs) {}
  Result<int64_t> axis(std::string_view name) const override {
    auto found = sizes_.find(std::string(name));
    return found == sizes_.end() ? unknown() : Result<int64_t>(found->second);
  }
  Result<int64_t> present(std::string_view tensor) const override {
    return int64_t{inputs_.find(std::string(tensor)) != inputs_.end()};
  }
  Result<int64_t> stride(std::string_view, std::string_view) const override { return unknown(); }
  Result<int64_t> align(std::string_view) const override { return unknown(); }
  Result<int64_t> deviceSms() const override { return unknown(); }

private:
  static Error unknown() { return {ErrorCode::Internal, "the guard of a program asks what no case says"}; }
  const reference::AxisSizes &sizes_;
  const Arrays &inputs_;
};

} // namespace

/// Whether the program is right for this case, by the guard that it states itself; alignment is the plan's.
static Result<bool> servesCase(tile::ProgramOp program, const runtime::ExprScope &scope) {
  mlir::DictionaryAttr choices = program.getChoicesAttr();
  auto guard = choices ? choices.getAs<mlir::StringAttr>("guard") : mlir::StringAttr();
  if (!guard)
    return true;
  Result<runtime::Expr> expr = runtime::Expr::parse(guard.getValue());
  if (!expr)
    return expr.takeError();
  Result<int64_t> value = expr->evaluate(scope);
  if (!value)
    return value.takeError();
  return *value != 0;
}

static std::map<std::string, tile::Tensor> toTile(const Arrays &inputs) {
  std::map<std::string, tile::Tensor> tensors;
  for (const auto &[name, array] : inputs)
    tensors[name] = {array.shape(), array.toDoubles()};
  return tensors;
}

namespace {

/// What is compared, and how closely.
struct Judgement {
  runtime::Comparison comparison;
  bool passed = true;
  std::string message;
};

} // namespace

struct Checker::Levels {
  Arrays inputs;
  reference::AxisSizes sizes;
  reference::Tensors reference, representable, bounds, magnitudes;
  bool overflow = false; // see weightsOverflow: only levels in doubles are compared
  std::map<std::string, tile::Tensor> exact, rounded;
  Tolerance tolerance;
  std::map<std::string, int64_t> axes;
  std::optional<Sequences> sequences; // of packed arrays
  const CheckCase *each = nullptr;
  // Where the first difference lies, by declared axis, and of which entry.
  std::map<std::string, int64_t> worst;
  Compilation *failing = nullptr;

  using Values = llvm::function_ref<std::vector<double>(const std::string &)>;
  using Judge = llvm::function_ref<Judgement(const std::string &, const std::vector<int64_t> &,
                                             const std::vector<double> &, const std::vector<double> &)>;
  /// Compares all outputs of a level. The first difference; empty for none.
  std::string difference(attn::AttentionOp attention, const std::string &against, Values got, Values want, Judge how);
  /// What the reference makes of these arrays; of packed ones sequence by sequence, put together.
  llvm::Expected<reference::Tensors> bySequence(const Compilation &compilation, attn::AttentionOp attention,
                                                const reference::Tensors &values, Sequences::Evaluate evaluate);
  /// Calls with the sizes and arrays of each sequence that has tokens; of dense arrays with all.
  llvm::Error forEach(attn::AttentionOp attention, const reference::Tensors &values,
                      llvm::function_ref<llvm::Error(const reference::AxisSizes &, const reference::Tensors &)> visit);
  /// Compares a canonical form with the attention as written.
  std::string differenceOfCanonical(const Compilation &compilation, attn::AttentionOp canonical);

  /// Makes packed inputs of those of a batch of one length.
  Status pack(const Compilation &compilation, const CheckCase &each, uint64_t seed);
  /// See driver::addProductErrors. Squares of the errors of sequences add.
  llvm::Error addProductErrors(const Compilation &compilation, const reference::Tensors &values);
};

llvm::Error Checker::Levels::forEach(
    attn::AttentionOp attention, const reference::Tensors &values,
    llvm::function_ref<llvm::Error(const reference::AxisSizes &, const reference::Tensors &)> visit) {
  return sequences ? sequences->forEach(attention, each->sizes, values, visit) : visit(sizes, values);
}

Status Checker::Levels::pack(const Compilation &compilation, const CheckCase &each, uint64_t seed) {
  sequences = Sequences::draw(*compilation.attention, *compilation.layout, each.sizes, seed);
  for (const runtime::AxisSizes &own : {sequences->sizes(), sequences->blockRows()})
    for (const auto &[name, size] : own)
      axes[name] = size;
  Result<Arrays> packed = sequences->pack(compilation.interface, inputs);
  if (!packed)
    return packed.error();
  inputs = std::move(*packed);
  return Status::success();
}

llvm::Error Checker::Levels::addProductErrors(const Compilation &compilation, const reference::Tensors &values) {
  Tolerance base = tolerance;
  return forEach(compilation.attn(), values, [&](const auto &own, const auto &arrays) -> llvm::Error {
    Tolerance one = base;
    if (llvm::Error error = driver::addProductErrors(one, compilation.attn(), compilation.arithmetic(), own, arrays))
      return error;
    for (auto &[name, entry] : tolerance.outputs) {
      double errors = one.outputs[name].fromProducts;
      entry.fromProducts =
          entry.isStatistic ? std::max(entry.fromProducts, errors) : std::hypot(entry.fromProducts, errors);
    }
    return llvm::Error::success();
  });
}

llvm::Expected<reference::Tensors> Checker::Levels::bySequence(const Compilation &compilation,
                                                               attn::AttentionOp attention,
                                                               const reference::Tensors &values,
                                                               Sequences::Evaluate evaluate) {
  if (!sequences)
    return evaluate(sizes, values);
  return sequences->evaluate(attention, compilation.interface, {axes.begin(), axes.end()}, values, evaluate);
}

/// Passes where the relative 2-norm is within `relative2`, or, with a bound, where every element is within `factor`
/// times its bound.
static Judgement judge(const std::string &name, const std::vector<int64_t> &shape, const std::vector<double> &result,
                       const std::vector<double> &reference, std::optional<double> relative2,
                       const std::vector<double> *bound, double factor, bool both) {
  Judgement judgement;
  runtime::CompareOptions norm;
  norm.relative2 = relative2.value_or(HUGE_VAL);
  Result<runtime::Comparison> byNorm = runtime::compare(result, reference, norm);
  if (!byNorm) {
    judgement.passed = false;
    judgement.message = "'" + name + "': " + byNorm.error().message;
    return judgement;
  }
  judgement.comparison = *byNorm;
  bool passed = relative2 && byNorm->passed;
  std::string how;
  char buffer[64];
  if (relative2) {
    std::snprintf(buffer, sizeof buffer, "relative 2-norm at most %.3g", *relative2);
    how = buffer;
  }
  if (bound && (both || !passed)) {
    runtime::CompareOptions elements;
    elements.conditioned = factor;
    elements.condition = *bound;
    elements.absolute = 0x1p-100;
    Result<runtime::Comparison> byElement = runtime::compare(result, reference, elements);
    if (!byElement) {
      judgement.passed = false;
      judgement.message = "'" + name + "': " + byElement.error().message;
      return judgement;
    }
    passed = both && relative2 ? passed && byElement->passed : byElement->passed;
    if (!byElement->passed)
      judgement.comparison = *byElement;
    how += (how.empty() ? "" : both ? " and " : " or ") + std::string("each element within its error bound");
  }
  judgement.passed = passed;
  if (!passed)
    judgement.message = "'" + name + "': " + judgement.comparison.format(shape) + "; expected " + how;
  return judgement;
}

static std::map<std::string, int64_t> placeOf(attn::AttentionOp attention, const reference::AxisSizes &sizes,
                                              const std::string &output, const std::vector<int64_t> &shape,
                                              int64_t index) {
  std::map<std::string, int64_t> place;
  if (index < 0)
    return place;
  std::vector<int64_t> at = runtime::coordinates(index, shape);
  attn::AxisTableAttr table = attention.getAxes();
  for (attn::OutputOp op : attention.getOutputs()) {
    if (op.getName() != output)
      continue;
    for (auto [axis, coordinate] : llvm::zip(attn::toAxes(op.getDeclared()), at)) {
      llvm::SmallVector<mlir::StringAttr> parts = table.expand({axis});
      int64_t rest = coordinate;
      for (mlir::StringAttr part : llvm::reverse(parts)) {
        auto size = sizes.find(part.getValue().str());
        int64_t extent = size == sizes.end() ? 1 : size->second;
        place[part.getValue().str()] = rest % extent;
        rest /= extent;
      }
    }
  }
  return place;
}

std::string Checker::Levels::difference(attn::AttentionOp attention, const std::string &against, Values got,
                                        Values want, Judge how) {
  for (const auto &[name, tensor] : reference) {
    std::vector<double> result = got(name), expected = want(name);
    if (sequences)
      for (std::vector<double> *values : {&result, &expected})
        sequences->skipGaps(name, tensor.shape, *values);
    Judgement judgement = how(name, tensor.shape, result, expected);
    if (judgement.passed)
      continue;
    worst = sequences ? std::map<std::string, int64_t>()
                      : placeOf(attention, sizes, name, tensor.shape,
                                judgement.comparison.firstOffending >= 0 ? judgement.comparison.firstOffending
                                                                         : judgement.comparison.maxIndex);
    return "against " + against + ": " + judgement.message;
  }
  return {};
}

std::string Checker::Levels::differenceOfCanonical(const Compilation &compilation, attn::AttentionOp canonical) {
  // An input that nothing uses is part of the interface, but the canonical form has lost it.
  reference::Tensors used;
  for (attn::InputOp input : canonical.getInputs())
    if (auto found = inputs.find(input.getName().str()); found != inputs.end())
      used[input.getName().str()] = {found->second.shape(), found->second.toDoubles()};
  llvm::Expected<reference::Tensors> results =
      bySequence(compilation, compilation.attn(), used,
                 [&](const auto &own, const auto &values) { return reference::evaluate(canonical, own, values); });
  if (!results)
    return llvm::toString(results.takeError());
  return difference(
      compilation.attn(), "the attention as written", [&](const std::string &name) { return (*results)[name].data; },
      [&](const std::string &name) { return reference[name].data; },
      [&](auto &name, auto &shape, const auto &got, const auto &want) {
        // A norm of what cancels to 0 makes the last bits great, and no more.
        const std::vector<double> ones(got.size(), 1);
        return judge(name, shape, got, want, 1e-10, &ones, 1e-10, false);
      });
}

CheckReport Checker::run(const CheckCase &each) {
  auto begin = std::chrono::steady_clock::now();
  Levels levels;
  CheckReport report = check(each, levels);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!report.passed && !report.refused && levels.sequences)
    report.message += "; " + levels.sequences->text();
  if (!report.passed && !report.refused && !options_.dumpFolder.empty())
    dump(each, levels, report);
  return report;
}

CheckReport Checker::runLaw(const CheckCase &each) {
  auto begin = std::chrono::steady_clock::now();
  CheckReport report;
  auto fail = [&](std::string level, std::string message) {
    report.level = std::move(level);
    report.message = std::move(message);
    return report;
  };
  CompileOptions compile = options_.compile;
  compile.sets = each.sets;
  compile.last = Stage::Attn;
  std::unique_ptr<Compilation> compilation = compiler_.compile(source_, compile);
  if (!compilation->ok())
    return fail("compile", "\n" + compilation->diagnostics().render());
  Result<Arrays> inputs =
      drawInputs(*compilation->attention, compilation->interface, each.sizes, each.pattern, options_.seed);
  if (!inputs)
    return fail("inputs", inputs.error().message);
  std::map<std::string, int64_t> sizes(each.sizes.begin(), each.sizes.end());
  llvm::Expected<reference::Tensors> outputs = reference::evaluate(compilation->attn(), sizes, toTensors(*inputs));
  if (!outputs)
    return fail("reference", llvm::toString(outputs.takeError()));
  const reference::Tensor &left = (*outputs)["left"], &right = (*outputs)["right"];
  runtime::CompareOptions norm;
  norm.relative2 = 1e-9;
  Result<runtime::Comparison> comparison = runtime::compare(left.data, right.data, norm);
  if (!comparison)
    return fail("law", comparison.error().message);
  report.passed = comparison->passed;
  report.difference = comparison->relative2;
  if (!report.passed)
    fail("law", "the left side against the right: " + comparison->format(left.shape) + "; expected equality");
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

CheckReport Checker::check(const CheckCase &each, Levels &levels) {
  CheckReport report;
  auto fail = [&](const std::string &level, std::string message) {
    report.level = level;
    report.message = std::move(message);
    return report;
  };
  auto failError = [&](const std::string &level, llvm::Error error) {
    return fail(level, llvm::toString(std::move(error)));
  };

  if (!compilation_ || compiledSets_ != each.sets) {
    CompileOptions compile = options_.compile;
    compile.sets = each.sets;
    const Stage last[] = {Stage::Attn, Stage::Tile, Stage::Schedule, Stage::Plan, Stage::Plan};
    compile.last = last[static_cast<int>(options_.level)];
    compilation_ = compiler_.compile(source_, compile);
    compiledSets_ = each.sets;
    if (options_.tamper && compilation_->ok())
      options_.tamper(*compilation_);
  }
  Compilation &compilation = *compilation_;
  if (!compilation.ok()) {
    // Of a map on its own the levels below may not be defined; it is not meant to be compiled so.
    report.refused = compilation.refused || (options_.compile.maps && compilation.canonical());
    return fail("compile", report.refused ? compilation.diagnostics().diagnostics().front().message
                                          : "\n" + compilation.diagnostics().render());
  }

  levels.each = &each;
  Result<Arrays> inputs =
      drawInputs(*compilation.attention, compilation.dense, each.sizes, each.pattern, options_.seed, each.absent);
  if (!inputs)
    return fail("inputs", inputs.error().message);
  for (const auto &[name, size] : each.sizes)
    levels.axes[name] = size;
  reference::Shapes shapes;
  for (const auto &[name, array] : *inputs)
    shapes[name] = array.shape();
  llvm::Expected<reference::AxisSizes> sizes = reference::inferSizes(compilation.attn(), shapes, levels.axes);
  if (!sizes)
    return failError("reference", sizes.takeError());
  levels.sizes = std::move(*sizes);
  levels.inputs = std::move(*inputs);
  if (compilation.layout)
    if (Status status = levels.pack(compilation, each, options_.seed); !status)
      return fail("inputs", status.error().message);
  reference::Tensors values = toTensors(levels.inputs);
  auto evaluate = [&](const reference::AxisSizes &own, const reference::Tensors &arrays) {
    return reference::evaluate(compilation.attn(), own, arrays);
  };
  for (const auto &[name, array] : levels.inputs) // no input of the attention
    if (!compilation.dense.findTensor(name))
      values.erase(name);
  llvm::Expected<reference::Tensors> expected = levels.bySequence(compilation, compilation.attn(), values, evaluate);
  if (!expected)
    return failError("reference", expected.takeError());
  levels.reference = std::move(*expected);
  levels.tolerance = toleranceFor(compilation.attn(), compilation.arithmetic(), levels.sizes);

  //--- attn
  if (std::string message = levels.differenceOfCanonical(compilation, compilation.canonical()); !message.empty())
    return fail("attn", message);
  if (options_.level == Level::Attn) {
    report.passed = true;
    return report;
  }

  // What lies beyond f16 becomes infinite in it; where results are rounded, the reference is given the same range.
  levels.representable = levels.reference;
  for (const runtime::PlanTensor &tensor : compilation.interface.tensors)
    if (tensor.role == runtime::TensorRole::Output && tensor.type == runtime::StorageType::F16)
      for (double &x : levels.representable[tensor.name].data)
        if (std::abs(x) >= 65520)
          x = std::copysign(HUGE_VAL, x);
  auto boundsOf = [&](const reference::AxisSizes &own, const reference::Tensors &arrays) {
    return boundErrors(compilation.attn(), compilation.arithmetic(), own, arrays);
  };
  llvm::Expected<reference::Tensors> bounds = levels.bySequence(compilation, compilation.attn(), values, boundsOf);
  if (!bounds)
    return failError("reference", bounds.takeError());
  levels.bounds = std::move(*bounds);
  auto magnitudesOf = [&](const reference::AxisSizes &own, const reference::Tensors &arrays) {
    return driver::magnitudes(compilation.attn(), own, arrays);
  };
  llvm::Expected<reference::Tensors> magnitudes =
      levels.bySequence(compilation, compilation.attn(), values, magnitudesOf);
  if (!magnitudes)
    return failError("reference", magnitudes.takeError());
  levels.magnitudes = std::move(*magnitudes);
  if (each.pattern == Pattern::Normal)
    if (llvm::Error error = levels.addProductErrors(compilation, values))
      return failError("reference", std::move(error));
  if (llvm::Error error =
          levels.forEach(compilation.attn(), values, [&](const auto &own, const auto &arrays) -> llvm::Error {
            llvm::Expected<bool> overflow = weightsOverflow(compilation.attn(), compilation.arithmetic(), own, arrays);
            if (!overflow)
              return overflow.takeError();
            levels.overflow |= *overflow;
            return llvm::Error::success();
          }))
    return failError("reference", std::move(error));
  reference::AxisSizes known = levels.sizes;
  known.insert(levels.axes.begin(), levels.axes.end());
  CaseScope scope(known, levels.inputs);
  std::vector<Compilation *> entries = compilation.entries();
  // The main program first: a fault of all is best read there.
  std::vector<size_t> order(entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](size_t e) { return entries[e] == &compilation; });
  for (size_t e : order) {
    Result<bool> serves = servesCase(entries[e]->program(), scope);
    if (!serves)
      return fail("tile", serves.error().message);
    if (*serves && !checkEntry(each, levels, *entries[e], e, report))
      return report;
  }
  if (report.entries.empty())
    return fail("tile", "no entry of the plan serves this case");
  report.passed = true;
  return report;
}

bool Checker::checkEntry(const CheckCase &each, Levels &levels, Compilation &entry, size_t index, CheckReport &report) {
  Compilation &compilation = *compilation_;
  bool isNormal = each.pattern == Pattern::Normal;
  std::string name = entry.name.empty() ? "main" : entry.name;
  levels.failing = &entry;
  auto fail = [&](const std::string &level, std::string message) {
    report.level = entry.name.empty() ? level : level + " (entry " + entry.name + ")";
    report.message = std::move(message);
    return false;
  };
  auto failError = [&](const std::string &level, llvm::Error error) {
    return fail(level, llvm::toString(std::move(error)));
  };
  auto compareAll = [&](const std::string &level, const std::string &against, Levels::Values got, Levels::Values want,
                        Levels::Judge how) {
    std::string message = levels.difference(compilation.attn(), against, got, want, how);
    return message.empty() || fail(level, message);
  };
  auto ofReference = [&](const std::string &name) { return levels.reference[name].data; };
  auto ofRepresentable = [&](const std::string &name) { return levels.representable[name].data; };
  // Against float64: ordinary inputs by the tolerance and the bound, others by the bound.
  auto byTolerance = [&](auto &name, auto &shape, const auto &got, const auto &want) {
    const OutputTolerance &tolerance = levels.tolerance.outputs[name];
    std::optional<double> relative2;
    if (isNormal && !tolerance.isStatistic)
      relative2 = tolerance.allowed(levels.magnitudes[name].data, levels.reference[name].data);
    const std::vector<double> &bound = levels.bounds[name].data, &reference = levels.reference[name].data;
    // Where the bound crosses the border of f16, 65520, either side is right.
    std::vector<double> settled = want;
    const runtime::PlanTensor *tensor = compilation.interface.findTensor(name);
    if (tensor && tensor->type == runtime::StorageType::F16)
      for (size_t i = 0; i < got.size() && i < settled.size(); ++i)
        if (std::isinf(got[i]) != std::isinf(settled[i]) && std::signbit(got[i]) == std::signbit(settled[i]) &&
            std::abs(std::abs(reference[i]) - 65520) <= bound[i])
          settled[i] = got[i];
    return judge(name, shape, got, settled, relative2, &bound, 1, true);
  };

  //--- attn, of the inputs that are absent
  if (!entry.absent.empty()) {
    if (std::string message = levels.differenceOfCanonical(compilation, entry.canonical()); !message.empty())
      return fail("attn", message);
  }

  //--- tile
  auto runTile = [&](tile::ProgramOp program, tile::Precision precision, std::map<std::string, tile::Tensor> &out) {
    out = toTile(levels.inputs);
    tile::RunOptions run;
    run.precision = precision;
    run.sms = runtime::EmulatorDeviceOptions().sms; // as many parts of keys as on the emulator
    return tile::runTileProgram(program, levels.axes, out, run);
  };
  if (llvm::Error error = runTile(entry.expanded(), tile::Precision::Exact, levels.exact))
    return failError("tile", std::move(error));
  auto ofExact = [&](const std::string &name) { return levels.exact[name].data; };
  bool erases = llvm::any_of(compilation.attn().getBody().getOps<attn::StateOp>(),
                             [](attn::StateOp state) { return bool(state.getErase()); });
  if (!compareAll("tile", "the reference, in doubles", ofExact, ofReference,
                  [&](auto &name, auto &shape, const auto &got, const auto &want) {
                    // Constants of the program are f32. Their rounding, 2^-24, is a quarter of the relative part of the
                    // narrowest bound, that of lse (2^-22).
                    // Of what is erased no bound is known: that of constants in exponents, and what is as good as 0;
                    // patterns that provoke cancellation have none.
                    const std::vector<double> &bound = levels.bounds[name].data, none(bound.size());
                    bool isKnown = !erases || (!isNormal && each.pattern < Pattern::Decays) ||
                                   llvm::all_of(bound, [](double e) { return e < 1e29; });
                    return judge(name, shape, got, want, isKnown ? levels.tolerance.exact : 1e-6,
                                 isKnown ? &bound : &none, 0x1p-2, false);
                  }))
    return false;
  if (llvm::Error error = runTile(entry.expanded(), tile::Precision::Rounded, levels.rounded))
    return failError("tile", std::move(error));
  auto ofRounded = [&](const std::string &name) { return levels.rounded[name].data; };
  if (!levels.overflow && !compareAll("tile", "the reference, with roundings", ofRounded, ofRepresentable, byTolerance))
    return false;
  if (options_.level == Level::Tile) {
    report.entries.push_back(name);
    return true;
  }

  //--- schedule
  auto equal = [&](auto &name, auto &shape, const auto &got, const auto &want) {
    Judgement judgement;
    Result<runtime::Comparison> comparison = runtime::compare(got, want);
    judgement.passed = comparison.ok() && comparison->passed;
    if (comparison.ok())
      judgement.comparison = *comparison;
    if (!judgement.passed)
      judgement.message = "'" + std::string(name) +
                          "': " + (comparison.ok() ? comparison->format(shape) : comparison.error().message) +
                          "; expected equality";
    return judgement;
  };
  for (tile::Precision precision : {tile::Precision::Exact, tile::Precision::Rounded}) {
    if (levels.overflow && precision == tile::Precision::Rounded)
      continue;
    std::map<std::string, tile::Tensor> scheduled;
    if (llvm::Error error = runTile(entry.scheduled(), precision, scheduled))
      return failError("schedule", std::move(error));
    bool exact = precision == tile::Precision::Exact;
    if (!compareAll(
            "schedule", exact ? "level 2, in doubles" : "level 2, with roundings",
            [&](const std::string &name) { return scheduled[name].data; },
            [&](const std::string &name) { return exact ? ofExact(name) : ofRounded(name); }, equal))
      return false;
  }
  if (options_.level == Level::Schedule) {
    report.entries.push_back(name);
    return true;
  }

  if (levels.overflow) {
    report.entries.push_back(name);
    return true;
  }

  //--- ptx, gpu
  Arrays padded;
  const Arrays *bound = &levels.inputs;
  if (each.padded) {
    for (const auto &[name, array] : levels.inputs) {
      Result<runtime::Array> larger = runtime::withNanPadding(array, 8);
      if (!larger)
        return fail("inputs", larger.error().message);
      padded.emplace(name, std::move(*larger));
    }
    bound = &padded;
  }
  auto onDevice = [&](const std::string &level, runtime::Device &device) {
    PlanRun run;
    run.entry = index;
    // A caller chooses no size that follows from others.
    runtime::AxisSizes chosen;
    for (const auto &[axis, size] : each.sizes)
      if (const runtime::PlanAxis *entry = compilation.plan->findAxis(axis); entry && !entry->derived)
        chosen[axis] = size;
    Result<Arrays> outputs = runPlan(*compilation.plan, device, *bound, chosen, &run);
    if (!outputs) {
      return fail(level, outputs.error().message);
    }
    auto ofDevice = [&](const std::string &name) { return outputs->find(name)->second.toDoubles(); };
    return compareAll(level, "level 2, with roundings", ofDevice, ofRounded,
                      [&](auto &name, auto &shape, const auto &got, const auto &want) {
                        const OutputTolerance &tolerance = levels.tolerance.outputs[name];
                        std::optional<double> relative2;
                        if (!tolerance.isStatistic)
                          relative2 = std::max(levels.tolerance.sameRoundings, tolerance.carriedApart) *
                                      conditionOf(levels.magnitudes[name].data, levels.reference[name].data);
                        // Both may be off the reference by the bound, in opposite directions.
                        const std::vector<double> *bound =
                            isNormal && !tolerance.isStatistic ? nullptr : &levels.bounds[name].data;
                        return judge(name, shape, got, want, relative2, bound, 2, false);
                      }) &&
           compareAll(level, "the reference", ofDevice, ofRepresentable, byTolerance);
  };
  if (!emulator_) {
    runtime::EmulatorDeviceOptions emulator;
    emulator.emulator.checks = emulator::Checks::all();
    emulator.emulator.policy = emulator::AsyncPolicy::Lazy;
    Result<std::unique_ptr<runtime::EmulatorDevice>> device = runtime::EmulatorDevice::create(emulator);
    if (!device)
      return fail("ptx", device.error().message);
    emulator_ = std::move(*device);
  }
  if (!onDevice("ptx", *emulator_))
    return false;
  if (options_.level == Level::Gpu) {
    if (!gpu_) {
      Result<std::unique_ptr<runtime::Device>> device = runtime::openCudaDevice();
      if (!device)
        return fail("gpu", device.error().message);
      gpu_ = std::move(*device);
    }
    if (!onDevice("gpu", *gpu_))
      return false;
  }
  report.entries.push_back(name);
  return true;
}

//===--- what a failing case leaves behind ---===//

void Checker::dump(const CheckCase &each, Levels &levels, const CheckReport &report) {
  std::string folder =
      options_.dumpFolder + "/" +
      (compilation_ && compilation_->attention ? compilation_->attention->name : std::string("attention"));
  for (char c : each.name())
    folder += c == ' ' ? std::string("-") : c == '=' ? std::string() : std::string(1, c);
  if (llvm::sys::fs::create_directories(folder))
    return;
  auto write = [&](const std::string &name, const std::string &text) {
    (void)runtime::writeFileAtomically(folder + "/" + name, text);
  };
  write("report.txt", each.name() + "\nlevel " + report.level + "\n" + report.message + "\n");
  if (!compilation_)
    return;
  Compilation &entry = levels.failing ? *levels.failing : *compilation_;
  const std::pair<Stage, const char *> files[] = {{Stage::Tree, "tree.txt"},  {Stage::Attn, "attn.mlir"},
                                                  {Stage::Tile, "tile.mlir"}, {Stage::Schedule, "schedule.mlir"},
                                                  {Stage::Nvvm, "nvvm.mlir"}, {Stage::Llvm, "llvm.ll"},
                                                  {Stage::Ptx, "kernel.ptx"}};
  for (auto [stage, name] : files)
    if (Result<std::string> text =
            (stage == Stage::Tile || stage == Stage::Schedule ? entry : *compilation_).text(stage))
      write(name, *text);

  // The values of the work item that computes the first element out of order.
  auto values = [&](const char *name, tile::ProgramOp program) {
    if (!program)
      return;
    std::string text;
    llvm::raw_string_ostream stream(text);
    std::map<std::string, std::vector<std::string>> axesOf;
    program.walk([&](tile::LaunchOp launch) {
      for (auto axis : launch.getAxes().getAsRange<mlir::StringAttr>())
        axesOf[launch.getName().str()].push_back(axis.getValue().str());
    });
    auto isWanted = [&](const tile::DumpEvent &event) {
      const std::vector<std::string> &axes = axesOf[event.launch];
      if (event.launch.empty() || axes.size() != event.item.size())
        return false;
      for (size_t i = 0; i < axes.size(); ++i) {
        auto found = levels.worst.find(axes[i]);
        if (found == levels.worst.end())
          continue;
        int64_t here = event.item[i];
        if (here != found->second && here != found->second / entry.chosen.queryTile)
          return false;
      }
      return true;
    };
    tile::RunOptions run;
    run.precision = tile::Precision::Rounded;
    size_t limit = size_t(16) << 20;
    run.dump = [&](const tile::DumpEvent &event) {
      if (!isWanted(event) || text.size() > limit)
        return;
      stream << event.launch << " [";
      llvm::interleaveComma(event.item, stream);
      stream << "] " << event.role << ' ' << event.op->getName().getStringRef() << '#' << event.result << ' ';
      event.op->getLoc().print(stream);
      stream << " [";
      llvm::interleaveComma(event.shape, stream);
      stream << "]\n ";
      int64_t row = event.shape.empty() ? 1 : event.shape.back();
      for (size_t i = 0; i < event.values.size(); ++i)
        stream << (i && i % static_cast<size_t>(row) == 0 ? "\n  " : " ") << llvm::format("%.9g", event.values[i]);
      stream << '\n';
    };
    std::map<std::string, tile::Tensor> tensors = toTile(levels.inputs);
    if (llvm::Error error = tile::runTileProgram(program, levels.axes, tensors, run))
      stream << "error: " << llvm::toString(std::move(error)) << '\n';
    write(name, text);
  };
  values("tile-values.txt", entry.expanded());
  values("schedule-values.txt", entry.scheduled());
}

} // namespace fovea::driver
