// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea fmt.
#include "frontend/tools/fovea/Tool.h"

#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"
#include "runtime/abi/Files.h"

#include <cstdio>
#include <iostream>
#include <iterator>

namespace fovea::tool {

namespace {
struct FmtCommand {
  std::vector<std::string> files;
  bool check = false;

  /// The formatted text, or nothing after an error.
  static std::optional<std::string> format(const driver::SourceText &source) {
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse(source.name, source.text, diagnostics);
    if (report(diagnostics) || file.hasErrors)
      return std::nullopt;
    return syntax::format(file, diagnostics.sources);
  }

  int run() {
    if (files.empty())
      files.push_back("-");
    int status = 0;
    for (const std::string &path : files) {
      bool isStandard = path == "-";
      Result<driver::SourceText> source = isStandard ? readStandard() : driver::readSource(path);
      if (!source) {
        status = fail(source.error());
        continue;
      }
      std::optional<std::string> text = format(*source);
      if (!text) {
        status = 1;
        continue;
      }
      if (check) {
        if (*text != source->text) {
          std::fprintf(stderr, "%s: not formatted; `fovea fmt %s` would change it\n", source->name.c_str(),
                       path.c_str());
          status = 1;
        }
      } else if (isStandard) {
        std::fputs(text->c_str(), stdout);
      } else if (*text != source->text) {
        if (Status written = runtime::writeFileAtomically(path, *text); !written)
          status = fail(written.error());
        else
          std::printf("%s\n", path.c_str());
      }
    }
    return status;
  }

  static Result<driver::SourceText> readStandard() {
    std::string text;
    char buffer[1 << 16];
    while (size_t got = std::fread(buffer, 1, sizeof buffer, stdin)) {
      text.append(buffer, got);
      if (text.size() > syntax::kMaxFileSize)
        return Error{ErrorCode::InvalidArgument,
                     "standard input: at most " + std::to_string(syntax::kMaxFileSize) + " bytes are read"};
    }
    return driver::SourceText{"<stdin>", std::move(text)};
  }
};
} // namespace

void addFmt(CLI::App &app, int &status) {
  auto command = std::make_shared<FmtCommand>();
  CLI::App *sub = app.add_subcommand("fmt", "Format specifications in place, or standard input to standard output");
  sub->add_option("files", command->files, ".attn files; `-` or none: standard input");
  sub->add_flag("--check", command->check, "change nothing; exit status 1 and a line for each file not formatted");
  sub->footer("Example:\n  fovea fmt examples/causal.attn\n  fovea fmt --check examples/*.attn");
  sub->callback([command, &status] { status = command->run(); });
}

} // namespace fovea::tool
