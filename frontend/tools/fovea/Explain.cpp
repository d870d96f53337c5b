// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea explain.
#include "frontend/driver/Explain.h"
#include "frontend/tools/fovea/Tool.h"

#include <cstdio>

namespace fovea::tool {

namespace {
struct ExplainCommand {
  std::string spec;
  CommonOptions common;

  int run() {
    Result<driver::CompileOptions> options = common.read();
    if (!options)
      return fail(options.error());
    driver::SpecName name = driver::splitSpecName(spec);
    Result<driver::SourceText> source = driver::readSource(name.path);
    if (!source)
      return fail(source.error());
    options->attention = name.attention;
    driver::Compiler compiler;
    std::unique_ptr<driver::Compilation> result = compiler.compile(*source, *options);
    if (report(result->diagnostics()))
      return 1;
    std::fputs(driver::explain(*result).c_str(), stdout);
    return 0;
  }
};
} // namespace

void addExplain(CLI::App &app, int &status) {
  auto command = std::make_shared<ExplainCommand>();
  CLI::App *sub =
      app.add_subcommand("explain", "Say which algorithm and schedule were derived, why, and what they cost");
  sub->add_option("spec", command->spec, "S.attn, or S.attn:name")->required();
  command->common.add(*sub);
  sub->footer("Example:\n  fovea explain examples/causal.attn --set D=64,V=64,T=8192,S=8192 --target sm_80");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
