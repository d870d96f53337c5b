// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea compile.
#include "frontend/driver/EmitCpp.h"
#include "frontend/driver/PlanCache.h"
#include "frontend/tools/fovea/Tool.h"

#include "runtime/abi/Files.h"

#include <cstdio>

namespace fovea::tool {

namespace {
struct CompileCommand {
  std::string spec, emit = "ptx", output;
  CommonOptions common;
  bool times = false;

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
    bool cached = !times && (*stage == driver::Stage::Plan || *stage == driver::Stage::Ptx);
    std::unique_ptr<driver::Compilation> result =
        cached ? driver::compilePlan(compiler, *source, *options, common.schedule, warn).compilation
               : compiler.compile(*source, *options);
    if (report(result->diagnostics()))
      return 1;
    if (times) {
      Table table;
      for (const driver::StageTime &time : result->times)
        table.row({time.name, number(time.milliseconds) + " ms"});
      table.row({"all", number(result->milliseconds()) + " ms"});
      std::fputs(table.text().c_str(), stderr);
      for (const auto &[entry, reason] : result->leftOut)
        std::fprintf(stderr, "no entry '%s': %s\n", entry.c_str(), reason.c_str());
    }
    if (asCpp)
      return writeCpp(*result->plan);
    if (*stage == driver::Stage::Plan && !output.empty()) {
      std::string prefix = output;
      if (prefix.size() > 5 && prefix.ends_with(".json"))
        prefix.resize(prefix.size() - 5);
      Status status = runtime::writePlan(*result->plan, prefix);
      return status ? 0 : fail(status.error());
    }
    Result<std::string> text = result->text(*stage);
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
  sub->add_flag("--times", command->times, "print the time of each stage to standard error");
  sub->footer("Example:\n  fovea compile examples/causal.attn --target sm_80 --set D=64,V=64 -o causal.ptx\n"
              "  fovea compile examples/causal.attn --set D=64,V=64 --emit=plan -o causal.json");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
