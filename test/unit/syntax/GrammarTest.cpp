// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// docs/grammar.ebnf and the parser know the same productions and terminals.
#include "frontend/syntax/Parser.h"
#include "test/unit/syntax/TestTexts.h"

#include <gtest/gtest.h>

#include <cctype>

using namespace fovea;

namespace {

struct Grammar {
  std::set<std::string> defined, used, terminals;
};

/// Reads names and quoted terminals of the EBNF; comments are (* *).
Grammar readGrammar() {
  Grammar g;
  std::string text = test::readText(std::string(FOVEA_SOURCE_DIR) + "/docs/grammar.ebnf");
  for (size_t at = 0; at < text.size();) {
    if (text.compare(at, 2, "(*") == 0) {
      at = text.find("*)", at);
      if (at == std::string::npos)
        break;
      at += 2;
    } else if (text[at] == '"') {
      size_t end = text.find('"', at + 1);
      g.terminals.insert(text.substr(at + 1, end - at - 1));
      at = end + 1;
    } else if (std::isalpha(static_cast<unsigned char>(text[at]))) {
      size_t end = at;
      while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_'))
        ++end;
      std::string name = text.substr(at, end - at);
      size_t next = text.find_first_not_of(" \n", end);
      if (std::islower(static_cast<unsigned char>(name[0])))
        (next != std::string::npos && text[next] == '=' ? g.defined : g.used).insert(name);
      at = end;
    } else {
      ++at;
    }
  }
  return g;
}

TEST(Grammar, DefinesWhatItUses) {
  Grammar g = readGrammar();
  ASSERT_GT(g.defined.size(), 40u);
  for (const std::string &name : g.used)
    EXPECT_TRUE(g.defined.count(name)) << name;
}

TEST(Grammar, MatchesTheParser) {
  Grammar g = readGrammar();
  syntax::ParseTrace trace;
  for (const std::string &path : test::allSpecs()) {
    syntax::DiagnosticEngine diagnostics;
    syntax::parse(path, test::readText(path), diagnostics, &trace);
    EXPECT_FALSE(diagnostics.hasErrors()) << diagnostics.render();
  }
  EXPECT_EQ(g.defined, trace.productions);
  std::set<std::string> terminals = trace.terminals;
  terminals.insert(";"); // the EBNF names it in prose, as one form of END
  std::set<std::string> written = g.terminals;
  written.insert(";");
  EXPECT_EQ(written, terminals);
}

} // namespace
