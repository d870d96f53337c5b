// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The compiler of Fovea for C++17, over compiler.h, which has the rules. Throws nothing itself.
//
//   fovea::CompileOptions options;
//   options.sets = {"D=128", "V=128"};
//   auto kernel = fovea::compile_file("causal.attn", options);
//   if (!kernel) return report(kernel.failure().text);
//   auto device = fovea::Device::cuda();
//   auto call = kernel->plan.prepare(*device)->bind({"q", "k", "v", "o", "lse"});
//   call->launch(stream, {q, k, v, o, lse});
#ifndef FOVEA_COMPILER_HPP
#define FOVEA_COMPILER_HPP

#include "fovea/compiler.h"
#include "fovea/fovea.hpp"

namespace fovea {

struct CompileOptions {
  std::string attention, target, type, precision, schedule; // empty: the default of compiler.h
  std::vector<std::string> sets;                            // "D=128"
  bool batchInvariant = false;
  std::string storage; // of the file; empty: dense arrays
};

struct Diagnostic {
  bool isError = true;
  std::string file;
  int32_t line = 0, column = 0, endLine = 0, endColumn = 0;
  std::string message, expected, suggestion, rendered;
};

/// What a compilation gave: a plan, and perhaps warnings.
struct Compiled {
  Plan plan;
  std::vector<Diagnostic> warnings;
  std::string planText; // for a file: run it without a compiler
  double milliseconds = 0;
};

/// Why there is no plan. `text` has all errors as a terminal shows them.
struct CompileFailure : Failure {
  std::vector<Diagnostic> diagnostics;
};

/// A compiled specification, or why there is none. Ask with `if (x)`; `*x` only then, `x.failure()` only else.
class [[nodiscard]] CompileResult {
public:
  CompileResult(Compiled value) : state_(std::in_place_index<0>, std::move(value)) {}
  CompileResult(CompileFailure failure) : state_(std::in_place_index<1>, std::move(failure)) {}
  explicit operator bool() const { return state_.index() == 0; }
  Compiled &operator*() { return *std::get_if<0>(&state_); }
  Compiled *operator->() { return std::get_if<0>(&state_); }
  const CompileFailure &failure() const { return *std::get_if<1>(&state_); }

private:
  std::variant<Compiled, CompileFailure> state_;
};

/// Compiles from any number of threads.
class Compiler {
public:
  static Expected<Compiler> open() {
    fovea_compiler *made = nullptr;
    fovea_status status = fovea_compiler_open(&made);
    return status == FOVEA_OK ? Expected<Compiler>(Compiler(made)) : detail::failure(status);
  }
  CompileResult file(const std::string &path, const CompileOptions &options = {}) const {
    return run(options, [&](const fovea_compile_options &raw, fovea_compilation **made) {
      return fovea_compile_file(handle_.get(), path.c_str(), &raw, made);
    });
  }
  /// `name` stands for the text in messages; imports are relative to it.
  CompileResult text(std::string_view text, const std::string &name = "text.attn",
                     const CompileOptions &options = {}) const {
    return run(options, [&](const fovea_compile_options &raw, fovea_compilation **made) {
      return fovea_compile_text(handle_.get(), text.data(), text.size(), name.c_str(), &raw, made);
    });
  }

private:
  explicit Compiler(fovea_compiler *handle) : handle_(handle) {}

  template <typename Function> static CompileResult run(const CompileOptions &options, Function compile) {
    std::vector<const char *> sets;
    for (const std::string &set : options.sets)
      sets.push_back(set.c_str());
    auto orNull = [](const std::string &text) { return text.empty() ? nullptr : text.c_str(); };
    fovea_compile_options raw{};
    raw.struct_size = sizeof raw;
    raw.attention = orNull(options.attention);
    raw.target = orNull(options.target);
    raw.type = orNull(options.type);
    raw.precision = orNull(options.precision);
    raw.schedule = orNull(options.schedule);
    raw.sets = sets.data();
    raw.set_count = sets.size();
    raw.batch_invariant = options.batchInvariant;
    raw.storage = orNull(options.storage);
    fovea_compilation *made = nullptr;
    CompileFailure failure;
    failure.status = compile(raw, &made);
    if (failure.status != FOVEA_OK) {
      failure.text = fovea_last_error();
      return failure;
    }
    detail::Handle<fovea_compilation, fovea_compilation_close> owner(made);
    for (size_t i = 0; i < fovea_compilation_diagnostic_count(made); ++i) {
      fovea_diagnostic d{};
      d.struct_size = sizeof d;
      (void)fovea_compilation_diagnostic(made, i, &d);
      failure.diagnostics.push_back({d.is_error != 0, d.file, d.line, d.column, d.end_line, d.end_column, d.message,
                                     d.expected, d.suggestion, d.rendered});
      if (d.is_error)
        failure.text += d.rendered;
    }
    fovea_plan *plan = nullptr;
    failure.status = fovea_compilation_plan(made, &plan);
    if (failure.status != FOVEA_OK) {
      if (failure.text.empty())
        failure.text = fovea_last_error();
      return failure;
    }
    const char *text = nullptr;
    size_t size = 0;
    (void)fovea_compilation_plan_text(made, &text, &size);
    return Compiled{Plan(plan), std::move(failure.diagnostics), std::string(text, size),
                    fovea_compilation_milliseconds(made)};
  }

  detail::Handle<fovea_compiler, fovea_compiler_close> handle_;
};

namespace detail {
inline const Expected<Compiler> &sharedCompiler() {
  static const Expected<Compiler> compiler = Compiler::open();
  return compiler;
}
} // namespace detail

/// By a compiler that the process shares.
inline CompileResult compile_file(const std::string &path, const CompileOptions &options = {}) {
  const Expected<Compiler> &compiler = detail::sharedCompiler();
  return compiler ? compiler->file(path, options) : CompileResult(CompileFailure{compiler.failure(), {}});
}
inline CompileResult compile_text(std::string_view text, const std::string &name = "text.attn",
                                  const CompileOptions &options = {}) {
  const Expected<Compiler> &compiler = detail::sharedCompiler();
  return compiler ? compiler->text(text, name, options) : CompileResult(CompileFailure{compiler.failure(), {}});
}

} // namespace fovea

#endif
