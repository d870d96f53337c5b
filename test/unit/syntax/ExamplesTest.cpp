// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every example analyzes without a message; the corpus gives errors of its own kind only; fmt keeps the meaning.
#include "frontend/sema/Analyze.h"
#include "frontend/syntax/Parser.h"
#include "frontend/syntax/Printer.h"
#include "test/unit/syntax/TestTexts.h"

#include <gtest/gtest.h>

using namespace fovea;

namespace {

TEST(Examples, AnalyzeWithoutAMessage) {
  std::vector<std::string> paths = test::specs("examples");
  ASSERT_GE(paths.size(), 11u);
  for (std::string &path : test::specs("examples/maps"))
    paths.push_back(path);
  for (const std::string &path : paths) {
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse(path, test::readText(path), diagnostics);
    std::optional<sema::Program> program = sema::analyze(file, test::reading(), diagnostics);
    EXPECT_TRUE(program.has_value()) << path;
    EXPECT_EQ(diagnostics.render(), "") << path;
    if (program) {
      EXPECT_EQ(program->attentions.size(), path.find("/maps/") == std::string::npos ? 1u : 0u) << path;
    }
  }
}

TEST(Examples, SizesMakeThemComplete) {
  for (const std::string &path : test::specs("examples")) {
    sema::Options options = test::reading();
    std::string text = test::readText(path);
    syntax::DiagnosticEngine open;
    std::optional<sema::Program> first = sema::analyze(syntax::parse(path, text, open), options, open);
    ASSERT_TRUE(first.has_value()) << open.render();
    for (const sema::Missing &m : sema::missing(first->attentions[0])) {
      EXPECT_TRUE(m.name != "B" && m.name != "T" && m.name != "S") << path << " asks for " << m.name;
      bool isAxis = m.message.find("axis") == 0;
      options.sets[m.name] = isAxis ? "64" : m.name == "layer" ? "1" : "4";
    }
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse(path, text, diagnostics);
    std::optional<sema::Program> program = sema::analyze(file, options, diagnostics);
    ASSERT_TRUE(program.has_value()) << diagnostics.render();
    EXPECT_TRUE(sema::missing(program->attentions[0]).empty()) << path;
  }
}

TEST(Examples, FormattingKeepsTheProgram) {
  for (const std::string &path : test::allSpecs()) {
    std::string printed[2];
    std::string text = test::readText(path);
    for (std::string &p : printed) {
      syntax::DiagnosticEngine diagnostics;
      syntax::File file = syntax::parse(path, text, diagnostics);
      std::optional<sema::Program> program = sema::analyze(file, test::reading(), diagnostics);
      p = std::to_string(diagnostics.errorCount());
      if (program)
        for (const sema::Attention &a : program->attentions)
          p += print(a);
      text = syntax::format(file, diagnostics.sources);
    }
    EXPECT_EQ(printed[0], printed[1]) << path;
  }
}

/// What parses and does not work yet says so, and errors that follow from it are few.
TEST(Examples, CorpusAnswersNotInThisVersion) {
  for (const char *name : {"lolcats", "nsa", "storage", "mesa", "lla", "sea"}) {
    std::string path = std::string(FOVEA_SOURCE_DIR) + "/test/unit/syntax/corpus/" + name + ".attn";
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse(path, test::readText(path), diagnostics);
    EXPECT_FALSE(sema::analyze(file, test::reading(), diagnostics).has_value()) << name;
    EXPECT_NE(diagnostics.render().find("not in this version: "), std::string::npos) << name;
  }
  for (const char *name : {"based", "parallax", "gpt_oss", "masks", "gates", "mla", "kda", "vig", "mamba2", "hgrn2",
                           "rwkv6", "hedgehog"}) {
    std::string path = std::string(FOVEA_SOURCE_DIR) + "/test/unit/syntax/corpus/" + name + ".attn";
    syntax::DiagnosticEngine diagnostics;
    syntax::File file = syntax::parse(path, test::readText(path), diagnostics);
    EXPECT_TRUE(sema::analyze(file, test::reading(), diagnostics).has_value()) << diagnostics.render();
  }
}

} // namespace
