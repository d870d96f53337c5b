// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C interface of the compiler, over the driver that the command line uses too.
#include "frontend/api/include/fovea/compiler.h"
#include "frontend/driver/PlanCache.h"
#include "runtime/api/Handles.h"
#include "runtime/cache/Cache.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>

using namespace fovea;

namespace {

struct Message {
  bool isError;
  std::string file, message, expected, suggestion, rendered;
  syntax::Position begin, end;
};

/// What came of a text.
struct Outcome {
  std::vector<Message> messages;
  std::string firstError;
  std::shared_ptr<const driver::KnownPlan> known; // null after an error
  std::vector<driver::SourceText> imports;        // as they were
};

} // namespace

struct fovea_compiler {
  driver::Compiler compiler;
  driver::PlanMemory plans;                             // by meaning
  runtime::Recent<Outcome> outcomes{size_t{128} << 20}; // by text
};

struct fovea_compilation {
  std::shared_ptr<const Outcome> outcome;
  std::vector<Message> warnings; // of the cache, after those of the outcome
  double milliseconds = 0;
};

namespace {

fovea_status fail(const Error &error) {
  return fovea_internal_fail_1(static_cast<fovea_status>(error.code), error.message.c_str());
}
fovea_status invalid(const std::string &message) { return fail(Error{ErrorCode::InvalidArgument, message}); }

/// The caller's structure, perhaps older or newer: what it lacks is 0, what is unknown here must be.
bool read(const fovea_compile_options *from, fovea_compile_options &to, fovea_status &status) {
  to = {};
  if (!from)
    return true;
  constexpr size_t least = offsetof(fovea_compile_options, storage); // of the first version
  if (from->struct_size < least || from->struct_size > 4096) {
    status = invalid("fovea_compile_options: set struct_size to sizeof(fovea_compile_options)");
    return false;
  }
  const auto *bytes = reinterpret_cast<const unsigned char *>(from);
  size_t known = std::min(sizeof to, from->struct_size);
  if (std::any_of(bytes + known, bytes + from->struct_size, [](unsigned char byte) { return byte != 0; })) {
    status = fail(Error{ErrorCode::Unsupported, "fovea_compile_options has fields that this library does not know"});
    return false;
  }
  std::memcpy(static_cast<void *>(&to), from, known);
  return true;
}

Result<driver::CompileOptions> readOptions(const fovea_compile_options &raw) {
  driver::CompileOptions options;
  auto take = [](const char *text, std::string &to) {
    if (text)
      to = text;
  };
  take(raw.attention, options.attention);
  take(raw.target, options.target);
  take(raw.type, options.type);
  take(raw.precision, options.precision);
  take(raw.storage, options.storage);
  options.batchInvariant = raw.batch_invariant != 0;
  if (!Target::find(options.target))
    return Error{ErrorCode::InvalidArgument, "target '" + options.target + "' is unknown; known: " + Target::names()};
  if (options.type != "bf16" && options.type != "f16" && options.type != "f32")
    return Error{ErrorCode::InvalidArgument, "type '" + options.type + "' is none of bf16, f16 and f32"};
  if (options.precision != "tf32" && options.precision != "3xtf32" && options.precision != "fma")
    return Error{ErrorCode::InvalidArgument, "precision '" + options.precision + "' is none of tf32, 3xtf32 and fma"};
  if (raw.schedule) {
    Result<driver::ScheduleOverride> schedule = driver::parseSchedule(raw.schedule);
    if (!schedule)
      return schedule.takeError();
    options.schedule = *schedule;
  }
  if (raw.set_count && !raw.sets)
    return Error{ErrorCode::InvalidArgument, "sets is NULL, but set_count is " + std::to_string(raw.set_count)};
  for (size_t i = 0; i < raw.set_count; ++i) {
    if (!raw.sets[i])
      return Error{ErrorCode::InvalidArgument, "sets[" + std::to_string(i) + "] is NULL"};
    if (Status status = driver::parseSets(raw.sets[i], options.sets); !status)
      return status.error();
  }
  return options;
}

/// Whether the files that a text imported still say what they said.
bool areUnchanged(const std::vector<driver::SourceText> &imports) {
  return std::all_of(imports.begin(), imports.end(), [](const driver::SourceText &import) {
    Result<driver::SourceText> now = driver::readSource(import.name);
    return now && now->text == import.text;
  });
}

std::vector<Message> messagesOf(const syntax::DiagnosticEngine &engine) {
  std::vector<Message> messages;
  for (const syntax::Diagnostic &d : engine.diagnostics()) {
    Message message{
        d.severity == syntax::Severity::Error, "", d.message, d.label, d.suggestion, engine.render(d), {}, {}};
    if (d.span.valid()) {
      message.file = engine.sources.name(d.span.file);
      message.begin = engine.sources.position(d.span);
      message.end = engine.sources.position(d.span.file, d.span.end);
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<std::shared_ptr<const Outcome>> outcomeOf(driver::CachedCompilation cached) {
  driver::Compilation &compilation = *cached.compilation;
  auto outcome = std::make_shared<Outcome>();
  outcome->messages = messagesOf(compilation.diagnostics());
  for (const Message &message : outcome->messages)
    if (message.isError && outcome->firstError.empty())
      outcome->firstError = message.rendered;
  outcome->known = std::move(cached.known);
  if (!outcome->known && compilation.ok() && compilation.plan) {
    Result<std::string> text = runtime::planToText(*compilation.plan);
    if (!text)
      return text.takeError();
    outcome->known =
        std::make_shared<const driver::KnownPlan>(driver::KnownPlan{std::move(*text), std::move(*compilation.plan)});
  }
  const syntax::SourceMap &sources = compilation.diagnostics().sources;
  for (uint32_t file = 0; file < sources.size(); ++file)
    if (file != compilation.analysis.tree.id)
      outcome->imports.push_back({sources.name(file), sources.text(file)});
  return std::shared_ptr<const Outcome>(std::move(outcome));
}

fovea_status compile(fovea_compiler *compiler, const driver::SourceText &source, const fovea_compile_options *raw,
                     fovea_compilation **made) {
  fovea_compile_options known;
  fovea_status status = FOVEA_OK;
  if (!read(raw, known, status))
    return status;
  Result<driver::CompileOptions> options = readOptions(known);
  if (!options)
    return fail(options.error());
  auto begin = std::chrono::steady_clock::now();
  auto result = std::make_unique<fovea_compilation>();
  std::string schedule = known.schedule ? known.schedule : "";
  std::string key = driver::askedText(*options, schedule) + source.name + "\n" + source.text;
  result->outcome = runtime::cacheIsOff() ? nullptr : compiler->outcomes.find(key);
  if (!result->outcome || !areUnchanged(result->outcome->imports)) {
    auto warn = [&](const std::string &text) {
      result->warnings.push_back({false, "", text, "", "", "warning: " + text + "\n", {}, {}});
    };
    driver::CachedCompilation cached =
        driver::compilePlan(compiler->compiler, source, *options, schedule, warn, &compiler->plans);
    bool keep = cached.known != nullptr;
    Result<std::shared_ptr<const Outcome>> outcome = outcomeOf(std::move(cached));
    if (!outcome)
      return fail(outcome.error());
    result->outcome = std::move(*outcome);
    if (keep)
      compiler->outcomes.keep(std::move(key), result->outcome, 2 * result->outcome->known->text.size());
  }
  std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - begin;
  result->milliseconds = passed.count();
  *made = result.release();
  return FOVEA_OK;
}

/// Null behind the last.
const Message *messageAt(const fovea_compilation &compilation, size_t index) {
  const std::vector<Message> &first = compilation.outcome->messages;
  if (index < first.size())
    return &first[index];
  index -= first.size();
  return index < compilation.warnings.size() ? &compilation.warnings[index] : nullptr;
}

} // namespace

extern "C" {

fovea_status fovea_compiler_open(fovea_compiler **compiler) {
  if (!compiler)
    return invalid("compiler is NULL");
  *compiler = new fovea_compiler;
  return FOVEA_OK;
}

void fovea_compiler_close(fovea_compiler *compiler) { delete compiler; }

fovea_status fovea_compile_file(fovea_compiler *compiler, const char *path, const fovea_compile_options *options,
                                fovea_compilation **compilation) {
  if (!compiler || !path || !compilation)
    return invalid("compiler, path and compilation must not be NULL");
  Result<driver::SourceText> source = driver::readSource(path);
  return source ? compile(compiler, *source, options, compilation) : fail(source.error());
}

fovea_status fovea_compile_text(fovea_compiler *compiler, const char *text, size_t size, const char *name,
                                const fovea_compile_options *options, fovea_compilation **compilation) {
  if (!compiler || (!text && size) || !compilation)
    return invalid("compiler, text and compilation must not be NULL");
  return compile(compiler, {name ? name : "text.attn", std::string(text ? text : "", size)}, options, compilation);
}

void fovea_compilation_close(fovea_compilation *compilation) { delete compilation; }

size_t fovea_compilation_diagnostic_count(const fovea_compilation *compilation) {
  return compilation ? compilation->outcome->messages.size() + compilation->warnings.size() : 0;
}

fovea_status fovea_compilation_diagnostic(const fovea_compilation *compilation, size_t index,
                                          fovea_diagnostic *diagnostic) {
  if (!compilation || !diagnostic || diagnostic->struct_size < sizeof(fovea_diagnostic))
    return invalid("fovea_diagnostic: set struct_size to sizeof(fovea_diagnostic)");
  const Message *found = messageAt(*compilation, index);
  if (!found)
    return invalid("there are " + std::to_string(fovea_compilation_diagnostic_count(compilation)) + " diagnostics");
  const Message &m = *found;
  size_t size = diagnostic->struct_size;
  *diagnostic = {size,
                 m.isError,
                 m.file.c_str(),
                 static_cast<int32_t>(m.begin.line),
                 static_cast<int32_t>(m.begin.column),
                 static_cast<int32_t>(m.end.line),
                 static_cast<int32_t>(m.end.column),
                 m.message.c_str(),
                 m.expected.c_str(),
                 m.suggestion.c_str(),
                 m.rendered.c_str()};
  return FOVEA_OK;
}

fovea_status fovea_compilation_plan_text(const fovea_compilation *compilation, const char **text, size_t *size) {
  if (!compilation || !text || !size)
    return invalid("compilation, text and size must not be NULL");
  const std::shared_ptr<const driver::KnownPlan> &known = compilation->outcome->known;
  if (!known)
    return invalid(compilation->outcome->firstError);
  *text = known->text.c_str();
  *size = known->text.size();
  return FOVEA_OK;
}

fovea_status fovea_compilation_plan(const fovea_compilation *compilation, fovea_plan **plan) {
  if (!compilation || !plan)
    return invalid("compilation and plan must not be NULL");
  if (!compilation->outcome->known)
    return invalid(compilation->outcome->firstError);
  return fovea_internal_copy_plan_1(&compilation->outcome->known->plan, plan);
}

double fovea_compilation_milliseconds(const fovea_compilation *compilation) {
  return compilation ? compilation->milliseconds : 0;
}

} // extern "C"
