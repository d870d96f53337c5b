// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `storage NAME { B, T : ragged(offsets: i32 [B + 1], max: T) }`: where arrays lie, which changes no meaning.
#include "frontend/sema/Analyzer.h"

#include <algorithm>

namespace fovea::sema::internal {

std::optional<AxisId> Analyzer::storageAxis(const Identifier &name) {
  if (!name)
    return std::nullopt;
  std::vector<std::string> known;
  for (AxisId a = 0; a < attention_.axes.size(); ++a) {
    const Axis &axis = attention_.axes[a];
    if (axis.relation == AxisRelation::Walk || axis.relation == AxisRelation::Share)
      continue;
    if (axis.name == name.text)
      return a;
    known.push_back(axis.name);
  }
  error(name.span, "no axis is named " + quoted(name.text) + " in attention " + quoted(attention_.name), {},
        syntax::closest(name.text, known));
  return std::nullopt;
}

/// `i32 [B + 1]`, of this batch.
static bool isOffsetsType(const Expr &e, const std::string &batch) {
  if (e.kind != ExprKind::Subscript || e.children.size() != 2 || e.children[0]->kind != ExprKind::Name ||
      e.children[0]->text != "i32")
    return false;
  const Expr &size = *e.children[1];
  return size.kind == ExprKind::Binary && size.text == "+" && size.children[0]->kind == ExprKind::Name &&
         size.children[0]->text == batch && size.children[1]->kind == ExprKind::Number && size.children[1]->text == "1";
}

void Analyzer::raggedEntry(const Field &field, const Expr &call, Storage &storage) {
  Ragged ragged;
  ragged.span = field.span;
  if (field.targets.size() != 1 || field.on || field.per)
    return error(field.span, "a ragged entry names the axis of the batches and that of their tokens",
                 "expected 'B, T : ragged(..)'");
  std::optional<AxisId> batch = storageAxis(field.name), token = storageAxis(field.targets[0]);
  if (!batch || !token)
    return;
  ragged.batch = *batch;
  ragged.token = *token;
  const Axis &b = attention_.axes[*batch], &t = attention_.axes[*token];
  Span tokenSpan = field.targets[0].span;
  if (b.relation != AxisRelation::Plain || b.isStatic || batch == token)
    return error(field.name.span, quoted(b.name) + " cannot number sequences",
                 "expected an axis of its own, without a relation and not static");
  if (t.relation != AxisRelation::Plain && t.relation != AxisRelation::Keys)
    return error(tokenSpan, "not in this version: tokens whose number follows from other axes",
                 quoted(t.name) + " is made of others");
  if (t.isStatic)
    return error(tokenSpan, "the length of " + quoted(t.name) + " differs from sequence to sequence",
                 "it cannot be static");
  for (const Ragged &other : storage.ragged)
    if (other.token == *token)
      return errorWithNote(tokenSpan, quoted(t.name) + " has two entries", {}, other.span, "the first is here");

  std::optional<AxisId> most;
  const Expr *offsets = nullptr;
  bool isShared = false;
  for (size_t k = 1; k < call.children.size(); ++k) {
    const Expr &argument = *call.children[k];
    auto isError = [](const ExprPtr &part) { return part->kind == ExprKind::Error; };
    if (argument.kind == ExprKind::Error || std::any_of(argument.children.begin(), argument.children.end(), isError))
      return; // the parser has said so
    bool named = argument.kind == ExprKind::Labelled && argument.children[0]->kind == ExprKind::Name;
    if (named && argument.children[0]->text == "max" && !most) {
      const Expr &value = *argument.children[1];
      if (value.kind != ExprKind::Name)
        return error(value.span, "the most tokens of a sequence is the size of an axis",
                     "expected 'max: " + t.name + "'");
      if (!(most = storageAxis({value.text, value.span})))
        return;
      continue;
    }
    if (named && !offsets && isOffsetsType(*argument.children[1], b.name)) {
      offsets = argument.children[0].get();
      continue;
    }
    if (argument.kind == ExprKind::Name && !offsets) {
      offsets = &argument;
      isShared = true;
      continue;
    }
    return error(argument.span, "this is no argument of 'ragged'",
                 "expected 'offsets: i32 [" + b.name + " + 1]', or the name of offsets above, and 'max: " + t.name +
                     "'");
  }
  if (!offsets || !most)
    return error(call.span, std::string("'ragged' lacks its ") + (offsets ? "bound" : "offsets"),
                 "expected 'ragged(offsets: i32 [" + b.name + " + 1], max: " + t.name + ")'");
  ragged.offsets = offsets->text;
  ragged.most = *most;
  const Ragged *shared = nullptr;
  for (const Ragged &other : storage.ragged)
    if (other.offsets == ragged.offsets && other.batch == ragged.batch)
      shared = &other;
  if (isShared && !shared)
    return error(offsets->span, "no entry above has offsets " + quoted(ragged.offsets) + " of " + quoted(b.name),
                 "state their type: '" + ragged.offsets + ": i32 [" + b.name + " + 1]'");
  if (!isShared && shared)
    return errorWithNote(offsets->span, quoted(ragged.offsets) + " is declared twice",
                         "without a type the offsets are those above", shared->span, "it is declared here");
  if (ragged.most != ragged.token && !(shared && shared->most == ragged.most))
    return error(call.span, "the bound of " + quoted(t.name) + " is the size of " + quoted(t.name),
                 "expected 'max: " + t.name + "', or the bound of the entry whose offsets it shares");
  ragged.count = b.name + "_plus_1";
  ragged.total = shared ? shared->total : storage.ragged.empty() ? "total" : "total_" + t.name;
  if (!isShared)
    for (const std::string &name : {ragged.offsets, ragged.count, ragged.total}) {
      bool taken = name == ragged.offsets && std::any_of(attention_.declarations.begin(), attention_.declarations.end(),
                                                         [&](const Declaration &d) { return d.name == name; });
      for (const Axis &axis : attention_.axes)
        taken |= axis.name == name;
      if (taken)
        return error(offsets->span, "the storage needs the name " + quoted(name) + ", which the attention uses");
    }
  storage.ragged.push_back(std::move(ragged));
}

/// Blocks of the tokens, which lie one behind the other too.
bool Analyzer::addBlocks(Ragged &ragged, AxisId axis) {
  const Axis &blocks = attention_.axes[axis];
  if (blocks.relation != AxisRelation::Blocks || blocks.raw != ragged.token || blocks.extent != blocks.step)
    return false;
  const std::string total = ragged.total + "_" + blocks.name;
  if (std::any_of(ragged.blocks.begin(), ragged.blocks.end(), [&](const auto &each) { return each.axis == axis; }))
    return true;
  if (std::any_of(attention_.axes.begin(), attention_.axes.end(), [&](const Axis &a) { return a.name == total; }))
    error(ragged.span, "the storage needs the name " + quoted(total) + ", which the attention uses");
  ragged.blocks.push_back({axis, total});
  return true;
}

void Analyzer::checkRagged(Storage &storage) {
  std::vector<bool> isUsed(storage.ragged.size());
  // What an axis of a declaration is made of.
  auto dependsOn = [&](AxisId axis, AxisId token) {
    std::vector<AxisId> open{axis};
    while (!open.empty()) {
      AxisId at = open.back();
      open.pop_back();
      if (at == token)
        return true;
      const Axis &a = attention_.axes[at];
      open.insert(open.end(), a.factors.begin(), a.factors.end());
      open.insert(open.end(), a.parts.begin(), a.parts.end());
      if (a.relation == AxisRelation::Blocks || a.relation == AxisRelation::Windows ||
          a.relation == AxisRelation::Share)
        open.push_back(a.raw);
    }
    return false;
  };
  for (const Declaration &d : attention_.declarations) {
    const Ragged *first = nullptr;
    for (size_t k = 0; k < storage.ragged.size(); ++k) {
      Ragged &ragged = storage.ragged[k];
      bool batch = std::find(d.declaredAxes.begin(), d.declaredAxes.end(), ragged.batch) != d.declaredAxes.end();
      bool token = std::find(d.declaredAxes.begin(), d.declaredAxes.end(), ragged.token) != d.declaredAxes.end();
      const std::string &name = attention_.axes[ragged.token].name;
      if (batch && !token) {
        std::vector<AxisId> own;
        std::copy_if(d.declaredAxes.begin(), d.declaredAxes.end(), std::back_inserter(own),
                     [&](AxisId axis) { return dependsOn(axis, ragged.token); });
        if (own.empty())
          continue;
        if (own.size() > 1 || first || !addBlocks(ragged, own.front()))
          return error(ragged.span,
                       "not in this version: " + quoted(d.name) + " on " + quoted(attention_.axes[own.front()].name) +
                           " of sequences of different lengths",
                       quoted(attention_.axes[own.front()].name) + " is made of " + quoted(name) +
                           "; works now: one axis of an array, " + quoted(name) +
                           " itself or blocks of it, or the array without " +
                           quoted(attention_.axes[ragged.batch].name));
        first = &ragged;
        continue;
      }
      if (!batch || !token)
        continue;
      isUsed[k] = true;
      if (first)
        return error(ragged.span, "not in this version: " + quoted(d.name) + " has two ragged axes, " +
                                      quoted(attention_.axes[first->token].name) + " and " + quoted(name));
      first = &ragged;
    }
  }
  for (size_t k = 0; k < storage.ragged.size(); ++k)
    if (!isUsed[k])
      error(storage.ragged[k].span, "no array of " + quoted(attention_.name) + " has both " +
                                        quoted(attention_.axes[storage.ragged[k].batch].name) + " and " +
                                        quoted(attention_.axes[storage.ragged[k].token].name));
}

void Analyzer::storageItem(const Item &item) {
  if (item.names.empty() || !item.names[0])
    return;
  Storage storage;
  storage.name = item.names[0].text;
  storage.span = item.names[0].span;
  for (const Storage &other : attention_.storages)
    if (other.name == storage.name)
      return errorWithNote(storage.span, "storage " + quoted(storage.name) + " is declared twice", {}, other.span,
                           "it is declared here");
  size_t before = session_.diagnostics.errorCount();
  for (const Field &field : item.fields) {
    const Expr *call = field.values.empty() ? nullptr : field.values[0].get();
    if (!call || call->kind == ExprKind::Error)
      return;
    std::string kind = call->kind == ExprKind::Call && call->children[0]->kind == ExprKind::Name
                           ? call->children[0]->text
                           : std::string();
    if (kind == "pages" || kind == "slots" || kind == "order" || kind == "alias")
      error(call->span, "not in this version: storage by " + kind, "works now: ragged(..)");
    else if (kind != "ragged" || field.values.size() != 1)
      error(call->span, "this is no storage", "expected 'ragged(offsets: i32 [B + 1], max: T)'");
    else
      raggedEntry(field, *call, storage);
  }
  if (session_.diagnostics.errorCount() != before)
    return;
  if (storage.ragged.empty())
    return error(storage.span, "storage " + quoted(storage.name) + " says nothing",
                 "expected 'B, T : ragged(offsets: i32 [B + 1], max: T)'");
  checkRagged(storage);
  attention_.storages.push_back(std::move(storage));
}

void Analyzer::checkStorageSizes() {
  for (const Storage &storage : attention_.storages)
    for (const Ragged &ragged : storage.ragged)
      for (AxisId id : {ragged.token, ragged.batch})
        if (const Axis &axis = attention_.axes[id]; axis.needsSize)
          error(ragged.span, "a compilation needs the size of " + quoted(axis.name) + ", so it cannot be ragged", {},
                {});
}

void Analyzer::storages(const Item &item) {
  for (const Item &part : item.body)
    if (part.kind == ItemKind::Storage)
      storageItem(part);
  // Those beside the attentions are meant for the ones that have their axes.
  const File &file = *unit_.file;
  auto count = std::count_if(file.items.begin(), file.items.end(),
                             [](const Item &other) { return other.kind == ItemKind::Attention; });
  auto has = [&](const Identifier &name) {
    return std::any_of(attention_.axes.begin(), attention_.axes.end(),
                       [&](const Axis &axis) { return axis.name == name.text; });
  };
  for (const Item &part : file.items) {
    if (part.kind != ItemKind::Storage)
      continue;
    bool hasAll = true;
    for (const Field &field : part.fields) {
      hasAll &= has(field.name);
      for (const Identifier &target : field.targets)
        hasAll &= has(target);
    }
    if (hasAll || count == 1)
      storageItem(part);
  }
}

} // namespace fovea::sema::internal
