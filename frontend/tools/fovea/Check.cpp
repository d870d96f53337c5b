// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea check.
#include "frontend/driver/Check.h"
#include "frontend/tools/fovea/Tool.h"

#include <cstdio>

namespace fovea::tool {

namespace {
struct CheckCommand {
  std::vector<std::string> specs;
  std::string at = "ptx", dumpFolder;
  CommonOptions common;
  uint64_t seed = 0;
  bool quiet = false;

  int run() {
    std::optional<driver::Level> level = driver::parseLevel(at);
    if (!level) {
      std::string list;
      std::vector<std::string> names;
      for (driver::Level each : driver::kAllLevels) {
        names.push_back(driver::levelName(each));
        list += (list.empty() ? "" : ", ") + names.back();
      }
      std::string close = syntax::closest(at, names);
      return fail("--at: there is no level '" + at + "'; known: " + list +
                  (close.empty() ? "" : "; did you mean '" + close + "'?"));
    }
    Result<driver::CompileOptions> options = common.read();
    if (!options)
      return fail(options.error());
    driver::Compiler compiler;
    size_t passed = 0, failed = 0, refused = 0;
    bool broken = false;
    for (const std::string &spec : specs) {
      driver::SpecName name = driver::splitSpecName(spec);
      Result<driver::SourceText> source = driver::readSource(name.path);
      if (!source) {
        fail(source.error());
        broken = true;
        continue;
      }
      std::vector<std::string> attentions{name.attention};
      if (name.attention.empty()) {
        // Every attention of the file.
        driver::Analysis analysis = driver::analyzeSource(*source, options->sets);
        if (report(analysis.diagnostics) || !analysis.program) {
          broken = true;
          continue;
        }
        attentions.clear();
        for (const sema::Attention &attention : analysis.program->attentions)
          attentions.push_back(attention.name);
      }
      for (const std::string &attention : attentions) {
        driver::CheckOptions check;
        check.compile = *options;
        check.compile.attention = attention;
        check.level = *level;
        check.seed = seed;
        check.dumpFolder = dumpFolder;
        driver::Checker checker(compiler, *source, check);
        syntax::DiagnosticEngine diagnostics;
        std::string chosen;
        std::vector<driver::CheckCase> cases = checker.makeCases(diagnostics, chosen);
        if (cases.empty()) {
          report(diagnostics);
          broken = true;
          continue;
        }
        Progress progress;
        for (size_t i = 0; i < cases.size(); ++i) {
          progress.show(chosen + " " + std::to_string(i + 1) + "/" + std::to_string(cases.size()) + " " +
                        cases[i].name());
          driver::CheckReport report = checker.run(cases[i]);
          progress.clear();
          ++(report.passed ? passed : report.refused ? refused : failed);
          if ((report.passed || report.refused) && quiet)
            continue;
          std::printf("%s %s  %s  (%.2f s)\n",
                      report.passed    ? "ok     "
                      : report.refused ? "refused"
                                       : "FAILED ",
                      chosen.c_str(), cases[i].name().c_str(), report.seconds);
          if (!report.passed)
            std::printf("       at %s: %s\n", report.level.c_str(), report.message.c_str());
          std::fflush(stdout);
        }
      }
    }
    std::printf("%zu passed, %zu failed", passed, failed);
    if (refused)
      std::printf(", %zu refused since the target cannot hold them", refused);
    std::printf(", down to level %s\n", driver::levelName(*level));
    // Nothing that was run proves nothing.
    broken |= passed == 0;
    if (failed && !dumpFolder.empty())
      std::printf("levels and values of failing cases are in %s\n", dumpFolder.c_str());
    else if (failed)
      std::printf("--dump-dir DIR writes all levels and the values of a failing tile\n");
    return failed || broken ? 1 : 0;
  }
};
} // namespace

void addCheck(CLI::App &app, int &status) {
  auto command = std::make_shared<CheckCommand>();
  CLI::App *sub = app.add_subcommand("check", "Compare each level of a compilation with the float64 reference");
  sub->add_option("specs", command->specs, "S.attn, or S.attn:name")->required();
  sub->add_option("--at", command->at, "last level: attn, tile, schedule, ptx (emulator) or gpu")
      ->capture_default_str();
  command->common.add(*sub);
  sub->add_option("--seed", command->seed, "seed of the inputs")->capture_default_str();
  sub->add_option("--dump-dir", command->dumpFolder, "folder for all levels and values of failing cases");
  sub->add_flag("--quiet", command->quiet, "print failing cases and the summary only");
  sub->footer("Sizes that --set leaves open are varied: several head dims, T = 1, tails, T below and above S.\n"
              "Example:\n  fovea check examples/causal.attn --at ptx\n"
              "  fovea check examples/*.attn --set D=128,V=128 --at tile");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
