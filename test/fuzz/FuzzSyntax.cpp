// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Fuzz target of parser, formatter and semantic analysis: what parses must format to a text of the same tree, and
// formatting that text again must change nothing.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"

#include <cstdio>
#include <cstdlib>

using namespace fovea;

namespace {

void require(bool holds, const char *what, const std::string &text) {
  if (holds)
    return;
  std::fprintf(stderr, "%s\n----\n%s\n----\n", what, text.c_str());
  std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  syntax::DiagnosticEngine diagnostics;
  syntax::File file = syntax::parse("fuzz.attn", text, diagnostics);
  require(file.hasErrors == diagnostics.hasErrors(), "errors and tree disagree", text);
  if (!file.hasErrors) {
    std::string once = syntax::format(file, diagnostics.sources);
    syntax::DiagnosticEngine second;
    syntax::File again = syntax::parse("fuzz.attn", once, second);
    require(!again.hasErrors, "the formatted text does not parse", once);
    require(syntax::dump(file) == syntax::dump(again), "formatting changed the tree", once);
    require(file.comments.size() == again.comments.size(), "formatting lost a comment", once);
    require(once == syntax::format(again, second.sources), "formatting is not stable", once);
  }
  sema::Options options;
  options.sets = {{"D", "64"}, {"G", "4"}};
  // A text may import itself, by a few names: more of them cost time and find nothing.
  int reads = 0;
  options.readFile = [&](std::string path) -> Result<std::string> {
    if (path.find("self") != std::string::npos && ++reads <= 3)
      return text;
    return Error{ErrorCode::NotFound, path};
  };
  std::optional<sema::Program> program = sema::analyze(file, options, diagnostics);
  require(program.has_value() == !diagnostics.hasErrors(), "errors and program disagree", text);
  (void)diagnostics.render(true);
  reads = 0;
  syntax::DiagnosticEngine ofMaps;
  syntax::File maps = syntax::parse("fuzz.attn", text, ofMaps);
  for (const sema::MapAttention &map : sema::mapAttentions(maps, options, ofMaps))
    (void)sema::print(map.attention);
  if (program)
    for (const sema::Attention &attention : program->attentions) {
      for (size_t k = 0; k < attention.nodes.size(); ++k)
        for (sema::NodeId operand : attention.nodes[k].operands)
          require(operand < k, "nodes are not in order", text);
      (void)sema::print(attention);
      (void)sema::missing(attention);
    }
  return 0;
}
