// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea: the command line of the compiler.
#include "runtime/include/fovea/fovea.h"
#include "frontend/syntax/Parser.h"
#include "frontend/tools/fovea/Tool.h"
#include "runtime/abi/Plan.h"

#include "FoveaVersion.h"
#include "llvm/Config/llvm-config.h"

#include <cstdio>

/// Each thing that changes for a reason of its own; docs/versions.md says what is promised of it.
static std::string versions() {
  const std::string plan = std::to_string(fovea::runtime::kPlanVersion);
  return "fovea " FOVEA_RELEASE "\nlanguage " + std::string(fovea::syntax::kEdition) + "\nplan format " + plan +
         ", reads 1 to " + plan + "\nlibrary interface " + std::to_string(FOVEA_API_VERSION) +
         ", libfovea-runtime.so.0\nLLVM " LLVM_VERSION_STRING;
}

int main(int argc, char **argv) {
  CLI::App app("fovea: compiles attention variants, written as .attn files, to PTX");
  app.set_version_flag("--version", versions());
  app.require_subcommand(1);
  app.get_formatter()->column_width(30);
  int status = 0;
  fovea::tool::addCompile(app, status);
  fovea::tool::addRun(app, status);
  fovea::tool::addCheck(app, status);
  fovea::tool::addExplain(app, status);
  fovea::tool::addBench(app, status);
  fovea::tool::addDoctor(app, status);
  fovea::tool::addFmt(app, status);
  fovea::tool::addCache(app, status);
  fovea::tool::addList(app, status);
  // A misspelt subcommand reads as an argument too many, which says nothing of what was meant.
  if (argc > 1 && argv[1][0] != '-') {
    std::vector<std::string> names;
    bool known = false;
    for (CLI::App *command : app.get_subcommands({})) {
      names.push_back(command->get_name());
      known |= command->get_name() == argv[1];
    }
    if (!known) {
      std::string list, close = fovea::syntax::closest(argv[1], names);
      for (const std::string &name : names)
        list += (list.empty() ? "" : ", ") + name;
      return fovea::tool::fail("there is no subcommand '" + std::string(argv[1]) + "'" +
                               (close.empty() ? "" : "; did you mean '" + close + "'?") + "\nknown: " + list +
                               "; `fovea --help` says more");
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    std::string message = error.what();
    for (CLI::App *command : app.get_subcommands())
      message += "\n`fovea " + command->get_name() + " --help` lists the options, with an example";
    return fovea::tool::fail(message);
  }
  return status;
}
