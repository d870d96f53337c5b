// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea explain.
#include "frontend/driver/Explain.h"
#include "frontend/tools/fovea/Tool.h"

#include "runtime/abi/Files.h"

#include <cstdio>

namespace fovea::tool {

namespace {
struct ExplainCommand {
  std::string spec, page;
  bool json = false;
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
    Progress progress;
    progress.show("running parts of the levels");
    driver::Explanation explanation = driver::explain(*result);
    progress.clear();
    if (!page.empty()) {
      if (Status status = runtime::writeFileAtomically(page, driver::toHtml(explanation)); !status)
        return fail(status.error());
      if (!json)
        return 0;
    }
    std::fputs((json ? driver::toJson(explanation) : driver::toText(explanation)).c_str(), stdout);
    return 0;
  }
};
} // namespace

void addExplain(CLI::App &app, int &status) {
  auto command = std::make_shared<ExplainCommand>();
  CLI::App *sub =
      app.add_subcommand("explain", "Say which algorithm and schedule were derived, why, and what they cost");
  sub->add_option("spec", command->spec, "S.attn, or S.attn:name")->required();
  sub->add_option("--html", command->page, "write a page that draws it: mask, timeline, roofline, memory accesses");
  sub->add_flag("--json", command->json, "print it as data");
  command->common.add(*sub);
  sub->footer("Example:\n  fovea explain examples/causal.attn --set D=64,V=64,T=8192,S=8192 --target sm_80\n"
              "  fovea explain examples/window.attn --set D=64,V=64 --html window.html");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
