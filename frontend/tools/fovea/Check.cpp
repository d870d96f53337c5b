// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea check.
#include "frontend/driver/Check.h"
#include "frontend/tools/fovea/Tool.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

namespace fovea::tool {

namespace {
struct CheckCommand {
  std::vector<std::string> specs;
  std::string at = "ptx", dumpFolder;
  CommonOptions common;
  uint64_t seed = 0;
  bool quiet = false;
  size_t most = 0; // cases of each attention; 0: all
  // What was found so far.
  size_t passed = 0, failed = 0, refused = 0;
  bool broken = false; // something that is no case of a check was wrong

  void print(const driver::CheckReport &report, const std::string &name, const driver::CheckCase &each) {
    ++(report.passed ? passed : report.refused ? refused : failed);
    if ((report.passed || report.refused) && quiet)
      return;
    std::printf("%s %s  %s  (%.2f s)\n",
                report.passed    ? "ok     "
                : report.refused ? "refused"
                                 : "FAILED ",
                name.c_str(), each.name().c_str(), report.seconds);
    if (!report.passed)
      std::printf("       at %s: %s\n", report.level.c_str(), report.message.c_str());
    std::fflush(stdout);
  }

  /// All cases, by `run`; their number, 0 where there is none for a reason that was reported.
  template <typename Run> size_t forEachCase(driver::Checker &checker, const std::string &display, Run run) {
    syntax::DiagnosticEngine diagnostics;
    std::string chosen;
    std::vector<driver::CheckCase> cases = checker.makeCases(diagnostics, chosen);
    if (cases.empty()) {
      report(diagnostics);
      broken = true;
    }
    if (most && cases.size() > most) {
      // The first, which is ordinary, and others by the seed.
      std::mt19937_64 engine(seed);
      std::shuffle(cases.begin() + 1, cases.end(), engine);
      cases.erase(cases.begin() + static_cast<ptrdiff_t>(most), cases.end());
    }
    Progress progress;
    const std::string &name = display.empty() ? chosen : display;
    for (size_t i = 0; i < cases.size(); ++i) {
      progress.show(name + " " + std::to_string(i + 1) + "/" + std::to_string(cases.size()) + " " + cases[i].name());
      driver::CheckReport report = run(cases[i]);
      progress.clear();
      print(report, name, cases[i]);
    }
    return cases.size();
  }

  driver::Checker makeChecker(driver::Compiler &compiler, const driver::SourceText &source,
                              const driver::CompileOptions &compile, driver::Level level) {
    driver::CheckOptions check;
    check.compile = compile;
    check.level = level;
    check.seed = seed;
    check.dumpFolder = dumpFolder;
    return driver::Checker(compiler, source, check);
  }

  void checkAttention(driver::Compiler &compiler, const driver::SourceText &source,
                      const driver::CompileOptions &compile, driver::Level level, const std::string &display = {}) {
    driver::Checker checker = makeChecker(compiler, source, compile, level);
    forEachCase(checker, display, [&](const driver::CheckCase &each) { return checker.run(each); });
  }

  /// Each map of a file as an attention of its own, down to the level, and its laws by the reference; then a table.
  void checkMaps(driver::Compiler &compiler, const driver::SourceText &source, driver::CompileOptions compile,
                 driver::Level level) {
    compile.maps = true;
    driver::Analysis analysis = driver::analyzeSource(source, compile.sets, true);
    if (report(analysis.diagnostics) || !analysis.program || analysis.maps.empty()) {
      if (analysis.maps.empty() && !analysis.diagnostics.hasErrors())
        fail("'" + source.name + "' holds neither an attention nor a map");
      broken = true;
      return;
    }
    std::vector<std::array<std::string, 3>> rows{{"map", "cases", "result"}};
    for (size_t i = 0; i < analysis.maps.size(); ++i) {
      const driver::MapName &map = analysis.maps[i];
      compile.attention = analysis.program->attentions[i].name;
      size_t before = failed, refusedBefore = refused, cases = 0;
      std::string name = map.name, result;
      if (map.isLaw) {
        name = "  law, line " + std::to_string(analysis.diagnostics.sources.position(map.span).line);
        driver::Checker checker = makeChecker(compiler, source, compile, driver::Level::Attn);
        double worst = 0;
        cases = forEachCase(checker, map.name + name.substr(1), [&](const driver::CheckCase &each) {
          driver::CheckReport report = checker.runLaw(each);
          worst = std::max(worst, report.difference);
          return report;
        });
        char buffer[64];
        std::snprintf(buffer, sizeof buffer, "holds, difference at most %.1e", worst);
        result = buffer;
      } else {
        driver::Checker checker = makeChecker(compiler, source, compile, level);
        cases = forEachCase(checker, map.name, [&](const driver::CheckCase &each) { return checker.run(each); });
        result = std::string("agrees down to level ") + driver::levelName(level);
      }
      if (refused != refusedBefore)
        result = "is not compiled on its own: " + std::to_string(refused - refusedBefore) + " refused";
      if (failed != before)
        result = std::to_string(failed - before) + " FAILED";
      rows.push_back({name, std::to_string(cases), cases ? result : "could not be checked"});
    }
    size_t width = 0;
    for (const auto &row : rows)
      width = std::max(width, row[0].size());
    for (const auto &row : rows)
      std::printf("%-*s  %5s  %s\n", static_cast<int>(width), row[0].c_str(), row[1].c_str(), row[2].c_str());
  }

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
        if (attentions.empty()) {
          checkMaps(compiler, *source, *options, *level);
          continue;
        }
      }
      for (const std::string &attention : attentions) {
        driver::CompileOptions compile = *options;
        compile.attention = attention;
        checkAttention(compiler, *source, compile, *level);
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
  sub->add_option("--cases", command->most, "at most so many cases of each attention: the first, others by the seed");
  sub->add_flag("--quiet", command->quiet, "print failing cases and the summary only");
  sub->footer("Sizes that --set leaves open are varied: several head dims, T = 1, tails, T below and above S.\n"
              "Of a file of maps each is checked on its own, and its laws.\n"
              "Example:\n  fovea check examples/causal.attn --at ptx\n"
              "  fovea check examples/*.attn --set D=128,V=128 --at tile");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
