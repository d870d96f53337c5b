// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Files and their top-level names, imports, and one Analyzer per attention and map.
#include "frontend/sema/Analyzer.h"

namespace fovea::sema {
namespace internal {

Session::Unit *Session::import(const std::string &from, const Item &item) {
  if (item.path.empty()) {
    diagnostics.error(item.pathSpan, "an import needs the name of a file");
    return nullptr;
  }
  if (!options.readFile) {
    diagnostics.error(item.pathSpan, "files cannot be imported here");
    return nullptr;
  }
  size_t slash = from.rfind('/');
  std::string folder = slash == std::string::npos ? "" : from.substr(0, slash + 1);
  std::string name = item.path;
  if (name.size() < 5 || name.substr(name.size() - 5) != ".attn")
    name += ".attn";
  std::vector<std::string> candidates;
  if (name[0] == '/')
    candidates = {name};
  else
    candidates = {folder + name, folder + "maps/" + name};
  if (name[0] != '/' && !folder.empty())
    candidates.push_back("maps/" + name);
  std::string tried;
  for (const std::string &path : candidates) {
    if (auto it = units.find(path); it != units.end())
      return it->second.get();
    if (units.size() > kMaxImports) {
      diagnostics.error(item.pathSpan, "more than " + std::to_string(kMaxImports) + " files are imported");
      return nullptr;
    }
    Result<std::string> text = options.readFile(path);
    if (!text) {
      tried += (tried.empty() ? "" : ", ") + path;
      continue;
    }
    files.push_back(std::make_unique<File>(syntax::parse(path, std::move(*text), diagnostics)));
    poisoned |= files.back()->lostNames;
    return load(*files.back(), path);
  }
  diagnostics.error(item.pathSpan, "file '" + item.path + "' cannot be read", "tried " + tried);
  return nullptr;
}

Session::Unit *Session::load(const File &file, const std::string &path) {
  auto &slot = units[path];
  slot = std::make_unique<Unit>();
  Unit &unit = *slot;
  unit.file = &file;
  auto declare = [&](const Identifier &name, Symbol s) {
    if (!name)
      return;
    s.name = name.text;
    s.span = name.span;
    auto [it, inserted] = unit.scope.symbols.emplace(name.text, s);
    if (!inserted)
      diagnostics.report({Severity::Error,
                          name.span,
                          quoted(name.text) + " is declared twice",
                          "",
                          {{it->second.span, "it is declared here"}},
                          {}});
  };
  // Own names first: files may import each other.
  for (const Item &item : file.items) {
    if ((item.kind != ItemKind::Map && item.kind != ItemKind::Attention) || item.names.empty())
      continue;
    Symbol s;
    s.kind = item.kind == ItemKind::Map ? Symbol::Kind::Map : Symbol::Kind::Import;
    s.what = item.kind == ItemKind::Map ? "map" : "attention";
    s.item = &item;
    s.scope = &unit.scope;
    s.used = true;
    declare(item.names[0], std::move(s));
  }
  for (const Item &item : file.items) {
    if (item.kind == ItemKind::Schedule)
      diagnostics.error(item.keyword, "not in this version: schedule");
    if (item.kind != ItemKind::Import || item.path.empty())
      continue;
    Unit *other = import(path, item);
    auto poison = [&]() {
      for (const Identifier &name : item.list) {
        Symbol s;
        s.used = true;
        s.what = "import";
        declare(name, std::move(s));
      }
      if (item.list.empty())
        poisoned = true;
    };
    if (!other) {
      poison();
      continue;
    }
    auto take = [&](const Symbol &found, const Identifier &name) {
      Symbol s = found;
      s.used = item.list.empty();
      s.imported = true;
      if (found.what == "attention") {
        unit.importedAttentions.push_back(found.item);
        s.used = true;
      }
      declare(name, std::move(s));
    };
    if (item.list.empty())
      for (const auto &[name, found] : other->scope.symbols) {
        if (found.item && !found.imported)
          take(found, {name, item.pathSpan});
      }
    for (const Identifier &name : item.list) {
      Symbol *found = other->scope.own(name.text);
      if (!found || found->imported) {
        std::vector<std::string> names;
        for (const auto &[n, s] : other->scope.symbols)
          names.push_back(n);
        if (!other->file->lostNames)
          diagnostics.error(name.span, "'" + item.path + "' has no " + quoted(name.text), "",
                            syntax::closest(name.text, names));
        Symbol s;
        s.used = true;
        s.what = "import";
        declare(name, std::move(s));
        continue;
      }
      take(*found, name);
    }
  }
  return &unit;
}

} // namespace internal

using namespace internal;

std::optional<Program> analyze(const File &file, const Options &options, DiagnosticEngine &diagnostics) {
  Session session{options, diagnostics, {}, {}, {}, {}, false, 0, false};
  session.poisoned = file.lostNames;
  size_t before = diagnostics.errorCount();
  std::string path = file.id < diagnostics.sources.size() ? diagnostics.sources.name(file.id) : "";
  Session::Unit *unit = session.load(file, path);
  Program program;
  std::set<std::string> names;
  bool any = false, whole = true;
  auto add = [&](const Item &item, Session::Unit &from) {
    any = true;
    Analyzer analyzer(session, from);
    std::optional<Attention> attention = analyzer.run(item);
    if (attention)
      program.attentions.push_back(std::move(*attention));
    else
      whole = false;
  };
  for (const Item &item : file.items)
    if (item.kind == ItemKind::Attention)
      add(item, *unit);
  for (const Item *item : unit->importedAttentions)
    for (auto &[key, other] : session.units)
      if (other->file->id == item->span.file)
        add(*item, *other);
  for (const Item &item : file.items)
    if (item.kind == ItemKind::Map && !item.names.empty() && item.names[0]) {
      any = true;
      size_t errors = diagnostics.errorCount();
      Analyzer(session, *unit).checkMap(item);
      for (const Item &part : item.body)
        if (part.kind == ItemKind::Law && part.values.size() == 2 && diagnostics.errorCount() == errors)
          Analyzer(session, *unit).mapAttention(item, &part, {});
      whole &= diagnostics.errorCount() == errors;
    }
  for (const auto &[name, symbol] : unit->scope.symbols)
    if (!symbol.used && !diagnostics.hasErrors())
      diagnostics.warning(symbol.span, "import " + quoted(name) + " is never used");
  if (!any && !file.hasErrors)
    diagnostics.error({file.id, file.edition.begin, file.edition.end}, "the file has neither an attention nor a map");
  for (const auto &[name, value] : options.sets)
    if (!session.knownSets.count(name) && !file.hasErrors && any) {
      auto other = session.otherNames.find(name);
      if (other != session.otherNames.end()) {
        diagnostics.error({}, "--set " + name + "=" + value + ": " + quoted(name) + " is " +
                                  (other->second == "input" ? "an input" : "a param") + ", which is given at run time");
        continue;
      }
      std::vector<std::string> known;
      for (const Item &item : file.items)
        for (const Item &part : item.body) {
          for (const syntax::AxisSpec &a : part.axes)
            known.push_back(a.name.text);
          if (part.kind == ItemKind::Const || part.kind == ItemKind::Option)
            for (const Identifier &n : part.names)
              known.push_back(n.text);
        }
      diagnostics.error({}, "--set " + name + "=" + value + ": no axis, const or option is named " + quoted(name), "",
                        syntax::closest(name, known));
    }
  diagnostics.sort();
  if (!whole || file.hasErrors || diagnostics.errorCount() != before)
    return std::nullopt;
  return program;
}

std::vector<MapAttention> mapAttentions(const File &file, const Options &options, DiagnosticEngine &diagnostics) {
  constexpr size_t kMaxChoices = 64; // of all options of a map together
  Session session{options, diagnostics, {}, {}, {}, {}, false, 0, false};
  session.poisoned = file.lostNames;
  std::string path = file.id < diagnostics.sources.size() ? diagnostics.sources.name(file.id) : "";
  Session::Unit *unit = session.load(file, path);
  std::vector<MapAttention> result;
  for (const Item &item : file.items) {
    if (item.kind != ItemKind::Map || item.names.empty() || !item.names[0])
      continue;
    std::vector<std::map<std::string, std::string>> choices{{}};
    for (const syntax::MapParam &p : item.params) {
      if (!p.isOption || choices.size() * p.alternatives.size() > kMaxChoices)
        continue;
      std::vector<std::map<std::string, std::string>> more;
      for (const auto &choice : choices)
        for (const Identifier &alternative : p.alternatives) {
          more.push_back(choice);
          more.back()[p.name.text] = alternative.text;
        }
      choices = std::move(more);
    }
    auto add = [&](const Item *law, const std::map<std::string, std::string> &choice) {
      std::string name = item.names[0].text;
      std::string chosen;
      for (const auto &[option, value] : choice)
        chosen += (chosen.empty() ? "(" : ", ") + option + ": " + value;
      if (!chosen.empty())
        name += chosen + ")";
      if (std::optional<Attention> a = Analyzer(session, *unit).mapAttention(item, law, choice))
        result.push_back({std::move(name), law != nullptr, std::move(*a), law ? law->span : item.span});
    };
    for (const auto &choice : choices)
      add(nullptr, choice);
    for (const Item &part : item.body)
      if (part.kind == ItemKind::Law && part.values.size() == 2)
        add(&part, {});
  }
  diagnostics.sort();
  return result;
}

} // namespace fovea::sema
