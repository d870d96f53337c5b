// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea cache: what was compiled before, checked and removed.
#include "frontend/tools/fovea/Tool.h"

#include "runtime/abi/Plan.h"
#include "runtime/cache/Cache.h"

#include <cstdio>
#include <ctime>

namespace fovea::tool {

namespace {

Result<runtime::Cache> open() {
  std::optional<std::string> folder = runtime::cacheFolder();
  if (!folder)
    return Error{ErrorCode::NotFound, "there is no cache: FOVEA_CACHE is off, or no home folder is known"};
  runtime::CacheOptions options;
  options.folder = *folder;
  return runtime::Cache(options);
}

/// The line of a key that begins with `word`, without it.
std::string field(const std::string &key, const std::string &word) {
  size_t at = ("\n" + key).find("\n" + word + " ");
  if (at == std::string::npos)
    return {};
  at += word.size() + 1;
  return key.substr(at, key.find('\n', at) - at);
}

/// "plan", "cubin" or "self-test".
std::string kindOf(const std::string &key) { return key.substr(0, key.find(' ')); }

/// Name of the attention: a line of its own, or in the attn program that ends the key of a plan.
std::string attentionOf(const std::string &key) {
  size_t at = key.find("attn.attention @");
  if (at == std::string::npos)
    return field(key, "name").empty() ? "?" : field(key, "name");
  at += 16;
  return key.substr(at, key.find_first_of(" ({\n", at) - at);
}

/// What is wrong with the content of an entry that is whole; empty: nothing.
std::string problemOf(const std::string &key, std::string_view content) {
  if (kindOf(key) == "plan") {
    Result<runtime::Plan> plan = runtime::parsePlan(content, nullptr);
    return plan ? "" : plan.error().message;
  }
  if (kindOf(key) == "cubin" && !content.starts_with("\x7f"
                                                     "ELF"))
    return "it is no machine code";
  return "";
}

int list(bool verify) {
  Result<runtime::Cache> cache = open();
  if (!cache)
    return fail(cache.error());
  Result<std::vector<runtime::Cache::Entry>> entries = cache->list(verify ? problemOf : runtime::Cache::Inspect());
  if (!entries)
    return fail(entries.error());
  Table table;
  int64_t bytes = 0;
  size_t bad = 0;
  for (const runtime::Cache::Entry &entry : *entries) {
    bytes += entry.bytes;
    bad += !entry.problem.empty();
    if (verify) {
      if (!entry.problem.empty())
        table.row({entry.file, entry.problem});
      continue;
    }
    char when[32] = "?";
    time_t used = entry.used;
    if (tm parts; localtime_r(&used, &parts))
      std::strftime(when, sizeof when, "%Y-%m-%d %H:%M", &parts);
    // What decides it: the type of a plan, the assembler of machine code.
    std::string by = field(entry.key, "type");
    for (const char *word : {"driver", "ptxas"})
      if (std::string value = field(entry.key, word); !value.empty())
        by = std::string(word) + " " + value;
    table.row({entry.problem.empty() ? attentionOf(entry.key) : "(" + entry.problem + ")", kindOf(entry.key),
               field(entry.key, "target"), by, bytesText(static_cast<double>(entry.bytes)), when, entry.file});
  }
  std::fputs(table.text().c_str(), stdout);
  std::printf("%s: %zu entries, %s", cache->folder().c_str(), entries->size(),
              bytesText(static_cast<double>(bytes)).c_str());
  if (verify)
    std::printf(", %zu bad", bad);
  std::printf("\n");
  if (verify && bad > 0)
    return fail("bad entries are compiled again when they are needed; `fovea cache clear` removes all");
  return 0;
}

int clear() {
  Result<runtime::Cache> cache = open();
  if (!cache)
    return fail(cache.error());
  Result<size_t> removed = cache->clear();
  if (!removed)
    return fail(removed.error());
  std::printf("%s: %zu entries removed\n", cache->folder().c_str(), *removed);
  return 0;
}

} // namespace

void addCache(CLI::App &app, int &status) {
  CLI::App *sub = app.add_subcommand("cache", "List, verify or clear what was compiled before");
  sub->require_subcommand(1);
  sub->add_subcommand("list", "entries, the most recently used first")->callback([&status] { status = list(false); });
  sub->add_subcommand("verify", "read every entry and name those that are damaged")->callback([&status] {
    status = list(true);
  });
  sub->add_subcommand("clear", "remove all entries")->callback([&status] { status = clear(); });
  sub->footer("The cache lies in $XDG_CACHE_HOME/fovea or ~/.cache/fovea. FOVEA_CACHE=PATH puts it elsewhere,\n"
              "FOVEA_CACHE=off turns it off.");
}

} // namespace fovea::tool
