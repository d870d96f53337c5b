// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea compile.
#include "frontend/driver/AheadOfTime.h"
#include "frontend/driver/EmitCpp.h"
#include "frontend/driver/PlanCache.h"
#include "frontend/tools/fovea/Tool.h"

#include "runtime/abi/Files.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace fovea::tool {

namespace {

/// Who spends the time of a stage.
const char *partOf(const std::string &stage) {
  return stage == "ptx" ? "LLVM" : stage == "cubin" || stage.starts_with("ptxas") ? "ptxas" : "ours";
}

struct CompileCommand {
  std::string spec, emit = "ptx", output, ptxas;
  CommonOptions common;
  std::vector<std::string> cubins; // architectures
  bool times = false, noPtx = false, selfTest = false;

  int run() {
    bool asCpp = emit == "cpp";
    std::optional<driver::Stage> stage = asCpp ? driver::Stage::Plan : driver::parseStage(emit);
    if (!stage) {
      std::vector<std::string> names;
      for (driver::Stage each : driver::kAllStages)
        names.push_back(driver::stageName(each));
      std::string close = syntax::closest(emit, names);
      return fail("--emit: there is no level '" + emit + "'; known: " + driver::stageNames() + ", cpp" +
                  (close.empty() ? "" : "; did you mean '" + close + "'?"));
    }
    if (asCpp && output.empty())
      return fail("--emit=cpp writes two files: -o P gives P.hpp and P.cpp");
    if (*stage != driver::Stage::Plan && (!cubins.empty() || noPtx || selfTest))
      return fail("--cubin, --no-ptx and --self-test are for --emit=plan and --emit=cpp");
    if (noPtx && cubins.empty())
      return fail("--no-ptx leaves nothing to run: name architectures by --cubin sm_80,sm_90");
    if (!ptxas.empty())
      (void)::setenv("FOVEA_PTXAS", ptxas.c_str(), 1);
    Result<driver::CompileOptions> options = common.read();
    if (!options)
      return fail(options.error());
    driver::SpecName name = driver::splitSpecName(spec);
    Result<driver::SourceText> source = driver::readSource(name.path);
    if (!source)
      return fail(source.error());
    options->attention = name.attention;
    options->last = *stage;
    driver::Compiler compiler;
    // Times are those of a compilation.
    bool asCubin = *stage == driver::Stage::Cubin;
    bool cached = !times && (*stage == driver::Stage::Plan || *stage == driver::Stage::Ptx || asCubin);
    std::unique_ptr<driver::Compilation> result =
        cached ? driver::compilePlan(compiler, *source, *options, common.schedule, warn).compilation
               : compiler.compile(*source, *options);
    if (report(result->diagnostics()))
      return 1;
    if (Status status = complete(*result, cached && asCubin ? std::vector{options->target} : cubins); !status)
      return fail(status.error());
    if (times)
      printTimes(*result);
    if (asCpp)
      return writeCpp(*result->plan);
    if (*stage == driver::Stage::Plan && !output.empty()) {
      std::string prefix = output;
      if (prefix.size() > 5 && prefix.ends_with(".json"))
        prefix.resize(prefix.size() - 5);
      Status status = runtime::writePlan(*result->plan, prefix);
      return status ? 0 : fail(status.error());
    }
    Result<std::string> text =
        cached && asCubin ? result->plan->modules.front().cubins.front().bytes : result->text(*stage);
    if (!text)
      return fail(text.error());
    if (output.empty() || output == "-") {
      if (*stage == driver::Stage::Cubin && isTerminal(false))
        return fail("a cubin is no text: name a file by -o");
      if (std::fwrite(text->data(), 1, text->size(), stdout) != text->size() || std::fflush(stdout) != 0)
        return fail("cannot write to standard output");
      return 0;
    }
    Status status = runtime::writeFileAtomically(output, *text);
    return status ? 0 : fail(status.error());
  }

  /// Adds to the plan what was asked for.
  Status complete(driver::Compilation &result, const std::vector<std::string> &archs) {
    if (selfTest) {
      auto begin = std::chrono::steady_clock::now();
      Result<runtime::PlanSelfTest> test = driver::makeSelfTest(result, *result.plan);
      if (!test)
        return test.error();
      result.plan->selfTest = std::move(*test);
      std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
      result.times.push_back({"self-test", spent.count()});
    }
    if (!archs.empty())
      if (Status status = driver::addCubins(*result.plan, archs, warn, times ? &result.times : nullptr); !status)
        return status;
    for (size_t m = 0; noPtx && m < result.plan->modules.size(); ++m)
      result.plan->modules[m].ptx.clear();
    return Status::success();
  }

  static void printTimes(const driver::Compilation &result) {
    Table table;
    std::map<std::string, double> parts;
    for (const driver::StageTime &time : result.times) {
      table.row({time.name, number(time.milliseconds) + " ms"});
      parts[partOf(time.name)] += time.milliseconds;
    }
    std::string sum;
    for (const char *part : {"ours", "LLVM", "ptxas"})
      if (auto found = parts.find(part); found != parts.end())
        sum += (sum.empty() ? "" : ", ") + found->first + " " + number(found->second) + " ms";
    table.row({"all", number(result.milliseconds()) + " ms: " + sum});
    std::fputs(table.text().c_str(), stderr);
    for (const driver::Compilation::LeftOut &each : result.leftOut)
      std::fprintf(stderr, "no entry '%s': %s\n", each.name.c_str(), each.why.c_str());
  }

  int writeCpp(const runtime::Plan &plan) {
    std::string prefix = output;
    for (const char *ending : {".hpp", ".cpp"})
      if (prefix.size() > 4 && prefix.ends_with(ending))
        prefix.resize(prefix.size() - 4);
    Result<driver::CppFiles> files = driver::emitCpp(plan, prefix.substr(prefix.rfind('/') + 1) + ".hpp");
    if (!files)
      return fail(files.error());
    for (const auto &[name, content] : {std::pair(prefix + ".hpp", &files->header), {prefix + ".cpp", &files->source}})
      if (Status status = runtime::writeFileAtomically(name, *content); !status)
        return fail(status.error());
    return 0;
  }
};
} // namespace

void addCompile(CLI::App &app, int &status) {
  auto command = std::make_shared<CompileCommand>();
  CLI::App *sub = app.add_subcommand("compile", "Compile a specification to PTX or to a level on the way");
  sub->add_option("spec", command->spec, "S.attn, or S.attn:name where the file has several attentions")->required();
  command->common.add(*sub);
  sub->add_option("--emit", command->emit, "level: " + driver::stageNames() + "; or cpp: the plan as a C++ class")
      ->capture_default_str();
  sub->add_option("-o", command->output,
                  "file to write (plan: P.json, with P.ptx beside it; cpp: P.hpp and P.cpp); else standard output");
  sub->add_option("--cubin", command->cubins,
                  "architectures for which the plan gets machine code too, by ptxas: sm_80,sm_90")
      ->delimiter(',')
      ->allow_extra_args(false);
  sub->add_flag("--no-ptx", command->noPtx, "machine code alone: the plan runs on those architectures only");
  sub->add_flag("--self-test", command->selfTest,
                "give the plan a small call with its results, which FOVEA_SELF_TEST=1 checks when it is loaded");
  sub->add_option("--ptxas", command->ptxas, "the assembler; else FOVEA_PTXAS, PATH or the CUDA toolkit's place");
  sub->add_flag("--times", command->times,
                "print the time of each stage to standard error, and what of all is ours, LLVM's and ptxas's");
  sub->footer("Example:\n  fovea compile examples/causal.attn --target sm_80 --set D=64,V=64 -o causal.ptx\n"
              "  fovea compile examples/causal.attn --set D=64,V=64 --emit=plan -o causal.json\n"
              "  fovea compile examples/causal.attn --set D=64,V=64 --emit=plan --cubin sm_80,sm_90 --self-test -o "
              "causal.json");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
