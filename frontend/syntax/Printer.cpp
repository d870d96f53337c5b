// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The formatter, and the dump of a tree.
#include "frontend/syntax/Printer.h"

namespace fovea::syntax {
namespace {

class Printer {
public:
  Printer(const File *file, const SourceMap *sources) : file_(file), sources_(sources) {
    if (file_)
      done_.assign(file_->comments.size(), false);
  }
  std::string run();
  void expr(const Expr &e);
  std::string out;

private:
  // Comments are taken in order of position; each is printed once.
  uint32_t lineOf(uint32_t offset) const { return sources_->position(file_->id, offset).line; }
  void newline(unsigned indent) {
    while (!out.empty() && out.back() == ' ')
      out.pop_back();
    out += '\n';
    out.append(indent, ' ');
  }
  /// A fresh line for something that stood at source line `line`; keeps one blank line.
  void fresh(uint32_t line) {
    if (!atStart_) {
      if (line > lastLine_ + 1 && !afterBrace_)
        out += '\n';
      newline(indent_);
    }
    atStart_ = false;
    afterBrace_ = false;
  }
  std::string_view comment(size_t k) const {
    Span span = file_->comments[k].span;
    return std::string_view(sources_->text(file_->id)).substr(span.begin, span.end - span.begin);
  }
  void putComment(size_t k, uint32_t line) {
    fresh(line);
    out += comment(k);
    done_[k] = true;
    lastLine_ = line;
    wroteComment_ = true;
  }
  /// Comments that stand before `offset`, each on a line of its own.
  void commentsBefore(uint32_t offset) {
    for (; next_ < done_.size() && file_->comments[next_].span.begin < offset; ++next_)
      if (!done_[next_])
        putComment(next_, lineOf(file_->comments[next_].span.begin));
  }
  bool hasComment(Span span) const {
    if (!file_)
      return false;
    for (size_t k = next_; k < done_.size() && file_->comments[k].span.begin < span.end; ++k)
      if (!done_[k] && file_->comments[k].span.begin >= span.begin)
        return true;
    return false;
  }
  static void blocks(const Expr &e, std::vector<Span> &into) {
    if (e.braces.valid()) {
      into.push_back(e.braces);
    } else {
      for (const ExprPtr &c : e.children)
        blocks(*c, into);
    }
    if (e.core)
      for (const ExprPtr &c : e.core->arguments)
        blocks(*c, into);
  }
  /// Comments within `span`, but in none of its blocks, cannot stay inside the expression: they go before it.
  void hoist(Span span, const std::vector<Span> &keep) {
    uint32_t line = lineOf(span.begin);
    for (size_t k = next_; k < done_.size() && file_->comments[k].span.begin < span.end; ++k) {
      uint32_t at = file_->comments[k].span.begin;
      bool inside = false;
      for (Span s : keep)
        inside |= at >= s.begin && at < s.end;
      if (!done_[k] && !inside)
        putComment(k, line);
    }
  }
  /// A comment behind what ended at `offset`, on the same source line.
  bool trailing(uint32_t offset) {
    size_t k = next_;
    while (k < done_.size() && (done_[k] || file_->comments[k].span.begin < offset))
      ++k;
    if (k >= done_.size() || file_->comments[k].ownLine)
      return false;
    std::string_view between =
        std::string_view(sources_->text(file_->id)).substr(offset, file_->comments[k].span.begin - offset);
    if (between.find_first_not_of(" \t\r;,") != std::string_view::npos)
      return false;
    out += "  ";
    out += comment(k);
    done_[k] = true;
    wroteComment_ = true;
    return true;
  }

  void exprs(const std::vector<ExprPtr> &list, const std::vector<bool> &breaks, size_t from);
  void coreExpr(const Expr &e);
  void matchExpr(const Expr &e);
  void field(const Field &f);
  void fieldBlock(const std::vector<Field> &list, Span braces, bool broken);
  void type(const Type &t);
  void header(const Item &item);
  void items(const std::vector<Item> &list);
  void identifiers(const std::vector<Identifier> &list, const char *separator = ", ") {
    for (size_t k = 0; k < list.size(); ++k)
      out += (k ? separator : "") + list[k].text;
  }
  void openBlock() {
    out += " {";
    indent_ += 2;
  }
  void closeBlock(Span braces) {
    commentsBefore(braces.end);
    indent_ -= 2;
    newline(indent_);
    out += "}";
    afterBrace_ = false;
    lastLine_ = lineOf(braces.end);
  }
  void breakLine() { newline(indent_ + 4); }
  /// Without a file everything goes on one line.
  bool broken(const std::vector<bool> &bits, size_t k) const { return file_ && k < bits.size() && bits[k]; }

  const File *file_;
  const SourceMap *sources_;
  std::vector<bool> done_;
  size_t next_ = 0;
  unsigned indent_ = 0;
  uint32_t lastLine_ = 0;
  bool atStart_ = true, afterBrace_ = false, wroteComment_ = false;
};

void Printer::exprs(const std::vector<ExprPtr> &list, const std::vector<bool> &breaks, size_t from) {
  for (size_t k = from; k < list.size(); ++k) {
    if (k > from)
      out += ",";
    if (broken(breaks, k))
      breakLine();
    else if (k > from)
      out += " ";
    expr(*list[k]);
  }
}

void Printer::expr(const Expr &e) {
  switch (e.kind) {
  case ExprKind::Error:
    out += "<error>";
    break;
  case ExprKind::Number:
  case ExprKind::Name:
    out += e.text;
    break;
  case ExprKind::Paren:
  case ExprKind::Tuple:
    out += "(";
    exprs(e.children, e.breaks, 0);
    out += ")";
    break;
  case ExprKind::List:
    out += "[";
    exprs(e.children, e.breaks, 0);
    out += "]";
    break;
  case ExprKind::Set:
    out += "{";
    exprs(e.children, e.breaks, 0);
    out += "}";
    break;
  case ExprKind::Unary:
    out += e.text;
    if (e.text != "-")
      out += " ";
    expr(*e.children[0]);
    break;
  case ExprKind::Binary: {
    expr(*e.children[0]);
    bool tight = e.text == "^";
    out += tight ? e.text : " " + e.text;
    if (broken(e.breaks, 0))
      breakLine();
    else if (!tight)
      out += " ";
    expr(*e.children[1]);
    break;
  }
  case ExprKind::Compare:
    expr(*e.children[0]);
    for (size_t k = 0; k < e.ops.size(); ++k) {
      out += " " + e.ops[k];
      if (broken(e.breaks, k))
        breakLine();
      else
        out += " ";
      expr(*e.children[k + 1]);
    }
    break;
  case ExprKind::If:
    out += "if ";
    expr(*e.children[0]);
    out += " then ";
    expr(*e.children[1]);
    out += " else ";
    expr(*e.children[2]);
    break;
  case ExprKind::LetIn:
    out += "let " + e.text + " = ";
    expr(*e.children[0]);
    out += " in ";
    expr(*e.children[1]);
    break;
  case ExprKind::Subscript:
  case ExprKind::Call:
  case ExprKind::As: {
    expr(*e.children[0]);
    out += e.kind == ExprKind::Call ? "(" : e.kind == ExprKind::As ? " as [" : "[";
    exprs(e.children, e.breaks, 1);
    out += e.kind == ExprKind::Call ? ")" : "]";
    break;
  }
  case ExprKind::Member:
    expr(*e.children[0]);
    out += "." + e.text;
    break;
  case ExprKind::Labelled:
    expr(*e.children[0]);
    out += ":";
    if (broken(e.breaks, 0))
      breakLine();
    else
      out += " ";
    expr(*e.children[1]);
    break;
  case ExprKind::Match:
    matchExpr(e);
    break;
  case ExprKind::Core:
    coreExpr(e);
    break;
  }
}

void Printer::matchExpr(const Expr &e) {
  out += "match " + e.text;
  if (!broken(e.breaks, 0) && !hasComment(e.braces)) {
    out += " { ";
    for (size_t k = 0; k < e.children.size(); ++k) {
      if (k)
        out += "; ";
      expr(*e.children[k]);
    }
    out += " }";
    return;
  }
  openBlock();
  trailing(e.braces.begin + 1);
  afterBrace_ = true;
  for (const ExprPtr &arm : e.children) {
    commentsBefore(arm->span.begin);
    std::vector<Span> keep;
    blocks(*arm, keep);
    hoist(arm->span, keep);
    fresh(lineOf(arm->span.begin));
    expr(*arm);
    lastLine_ = lineOf(arm->span.end);
    trailing(arm->span.end);
  }
  closeBlock(e.braces);
}

void Printer::field(const Field &f) {
  if (f.name) {
    out += f.name.text;
    for (const Identifier &t : f.targets)
      out += ", " + t.text;
    if (f.on)
      out += " on " + f.on.text;
    out += ": ";
  }
  for (size_t k = 0; k < f.values.size(); ++k) {
    if (k)
      out += ", ";
    expr(*f.values[k]);
  }
  if (f.per)
    out += " per " + f.per.text;
}

void Printer::fieldBlock(const std::vector<Field> &list, Span braces, bool broken) {
  if (list.empty() && !hasComment(braces)) {
    out += " {}";
    return;
  }
  if (!broken && !hasComment(braces)) {
    out += " { ";
    for (size_t k = 0; k < list.size(); ++k) {
      if (k)
        out += "; ";
      field(list[k]);
    }
    out += " }";
    return;
  }
  openBlock();
  trailing(braces.begin + 1);
  afterBrace_ = true;
  const Field *previous = nullptr;
  for (const Field &f : list) {
    commentsBefore(f.span.begin);
    std::vector<Span> keep;
    for (const ExprPtr &v : f.values)
      blocks(*v, keep);
    bool wrote = wroteComment_;
    wroteComment_ = false;
    hoist(f.span, keep);
    if (previous && !wrote && !wroteComment_ && lineOf(f.span.begin) == lineOf(previous->span.end))
      out += "; ";
    else
      fresh(lineOf(f.span.begin));
    wroteComment_ = false;
    field(f);
    lastLine_ = lineOf(f.span.end);
    wroteComment_ = trailing(f.span.end);
    previous = &f;
  }
  wroteComment_ = false;
  closeBlock(braces);
}

void Printer::coreExpr(const Expr &e) {
  const Core &c = *e.core;
  out += c.keyword.text;
  if (c.unknown) {
    out += " " + c.unknown.text + " : ";
    type(c.type);
  }
  if (c.over)
    out += " over " + c.over.text;
  if (c.reverse)
    out += " reverse";
  if (c.as)
    out += " as " + c.as.text;
  if (c.hasArguments) {
    out += c.over ? " (" : "(";
    exprs(c.arguments, e.breaks, 0);
    out += ")";
  }
  if (c.hasFields)
    fieldBlock(c.fields, e.braces, broken(e.breaks, c.arguments.size()));
  if (c.by) {
    out += " by ";
    expr(*c.by);
  }
}

void Printer::type(const Type &t) {
  out += t.element.text;
  if (!t.hasAxes)
    return;
  if (t.element)
    out += " ";
  out += "[";
  exprs(t.axes, {}, 0);
  out += "]";
}

const char *keywordOf(ItemKind kind) {
  switch (kind) {
  case ItemKind::Import:
    return "import";
  case ItemKind::Attention:
    return "attention";
  case ItemKind::Map:
    return "map";
  case ItemKind::Schedule:
    return "schedule";
  case ItemKind::Storage:
    return "storage";
  case ItemKind::Axis:
    return "axis";
  case ItemKind::Static:
    return "static";
  case ItemKind::Input:
    return "input";
  case ItemKind::Param:
    return "param";
  case ItemKind::Const:
    return "const";
  case ItemKind::Option:
    return "option";
  case ItemKind::Carry:
    return "carry";
  case ItemKind::Let:
    return "let";
  case ItemKind::State:
    return "state";
  case ItemKind::Output:
    return "output";
  case ItemKind::Law:
    return "law";
  case ItemKind::File:
  case ItemKind::Result:
  case ItemKind::Error:
    break;
  }
  return "";
}

/// Everything of an item behind its keyword.
void Printer::header(const Item &item) {
  auto values = [&](const char *lead) {
    for (size_t k = 0; k < item.values.size(); ++k) {
      out += k ? ", " : lead;
      expr(*item.values[k]);
    }
  };
  switch (item.kind) {
  case ItemKind::Import:
    out += "\"" + item.path + "\"";
    if (!item.list.empty()) {
      out += " (";
      identifiers(item.list);
      out += ")";
    }
    break;
  case ItemKind::Attention:
    out += item.names[0].text;
    if (item.claim)
      out += " " + item.claim.text;
    break;
  case ItemKind::Map:
    out += item.names[0].text + "(";
    for (size_t k = 0; k < item.params.size(); ++k) {
      const MapParam &p = item.params[k];
      if (k)
        out += ", ";
      if (p.isOption) {
        out += "option " + p.name.text + " = ";
        identifiers(p.alternatives, " | ");
        continue;
      }
      out += p.name.text + " : ";
      type(p.type);
      if (p.defaultValue) {
        out += " = ";
        expr(*p.defaultValue);
      }
    }
    out += ")";
    if (item.hasType) {
      out += " -> ";
      type(item.type);
    }
    break;
  case ItemKind::Schedule:
  case ItemKind::Storage:
    out += item.names[0].text;
    if (item.on)
      out += " on " + item.on.text;
    break;
  case ItemKind::Axis:
    for (size_t k = 0; k < item.axes.size(); ++k) {
      const AxisSpec &a = item.axes[k];
      out += (k ? ", " : "") + a.name.text;
      if (a.relation) {
        out += " = ";
        expr(*a.relation);
      }
      if (a.keys)
        out += " keys " + a.keys.text;
      if (a.alignment)
        out += " align " + a.alignment.text;
    }
    break;
  case ItemKind::Static:
    identifiers(item.names);
    break;
  case ItemKind::Input:
  case ItemKind::Param:
  case ItemKind::Carry:
  case ItemKind::Const:
  case ItemKind::Output:
    identifiers(item.names);
    if (item.hasType) {
      out += " : ";
      type(item.type);
    }
    for (size_t k = 0; k < item.contract.size(); ++k) {
      const ContractBound &b = item.contract[k];
      if (b.interval) {
        out += b.op == ">" ? " in (" : " in [";
        expr(*b.value);
        out += ", ";
        expr(*item.contract[++k].value);
        out += item.contract[k].op == "<" ? ")" : "]";
        continue;
      }
      out += " " + b.op + " ";
      expr(*b.value);
    }
    values(" = ");
    if (item.isOptional)
      out += " optional";
    break;
  case ItemKind::Option:
    identifiers(item.names);
    out += " = ";
    identifiers(item.list, " | ");
    break;
  case ItemKind::Let:
    identifiers(item.names);
    if (!item.list.empty()) {
      out += "(";
      identifiers(item.list);
      out += ")";
    }
    values(" = ");
    break;
  case ItemKind::State:
    identifiers(item.names);
    if (!item.list.empty()) {
      out += "[";
      identifiers(item.list);
      out += "]";
    }
    values(" = ");
    break;
  case ItemKind::Law:
    expr(*item.values[0]);
    out += " = ";
    expr(*item.values[1]);
    break;
  case ItemKind::Result:
    expr(*item.values[0]);
    break;
  case ItemKind::File:
  case ItemKind::Error:
    break;
  }
}

void Printer::items(const std::vector<Item> &list) {
  const Item *previous = nullptr;
  wroteComment_ = false;
  for (const Item &item : list) {
    if (item.kind == ItemKind::Error)
      continue;
    commentsBefore(item.span.begin);
    std::vector<Span> keep;
    if (item.braces.valid())
      keep.push_back(item.braces);
    for (const ExprPtr &v : item.values)
      blocks(*v, keep);
    hoist(item.span, keep);
    bool joined = previous && !wroteComment_ && lineOf(item.span.begin) == lineOf(previous->span.end);
    if (joined)
      out += "; ";
    else
      fresh(lineOf(item.span.begin));
    wroteComment_ = false;
    if (item.kind != ItemKind::Result && !(item.continued && joined))
      out += std::string(keywordOf(item.kind)) + " ";
    header(item);
    if (item.kind == ItemKind::Attention || item.kind == ItemKind::Map) {
      openBlock();
      trailing(item.braces.begin + 1);
      afterBrace_ = true;
      items(item.body);
      closeBlock(item.braces);
    } else if (item.kind == ItemKind::Schedule || item.kind == ItemKind::Storage) {
      fieldBlock(item.fields, item.braces, lineOf(item.braces.begin) != lineOf(item.braces.end));
    }
    lastLine_ = lineOf(item.span.end);
    wroteComment_ = trailing(item.span.end);
    previous = &item;
  }
  wroteComment_ = false;
}

std::string Printer::run() {
  commentsBefore(file_->edition.begin);
  fresh(lineOf(file_->edition.begin));
  out += "fovea 1";
  lastLine_ = lineOf(file_->edition.end);
  trailing(file_->edition.end);
  items(file_->items);
  commentsBefore(~0u);
  out += '\n';
  return std::move(out);
}

} // namespace

std::string format(const File &file, const SourceMap &sources) { return Printer(&file, &sources).run(); }

std::string format(const Expr &e) {
  Printer printer(nullptr, nullptr);
  printer.expr(e);
  return std::move(printer.out);
}

namespace {

void dumpExpr(std::string &out, const Expr &e);

void dumpType(std::string &out, const Type &t) {
  out += "(type " + (t.element ? t.element.text : std::string("_"));
  for (const ExprPtr &a : t.axes) {
    out += " ";
    dumpExpr(out, *a);
  }
  out += t.hasAxes ? ")" : " scalar)";
}

void dumpField(std::string &out, const Field &f) {
  out += "(" + (f.name ? f.name.text : std::string("equation"));
  for (const Identifier &t : f.targets)
    out += " , " + t.text;
  if (f.on)
    out += " on " + f.on.text;
  for (const ExprPtr &v : f.values) {
    out += " ";
    dumpExpr(out, *v);
  }
  if (f.per)
    out += " per " + f.per.text;
  out += ")";
}

void dumpExpr(std::string &out, const Expr &e) {
  static constexpr const char *kNames[] = {"error",  "",      "",      "paren",    "",    "",          "compare",
                                           "if",     "match", "tuple", "list",     "set", "subscript", "call",
                                           "member", "as",    "let",   "labelled", ""};
  if (e.kind == ExprKind::Number || e.kind == ExprKind::Name) {
    out += e.text;
    return;
  }
  out += "(";
  out += kNames[static_cast<size_t>(e.kind)];
  if (!e.text.empty()) {
    if (out.back() != '(')
      out += " ";
    out += e.text;
  }
  for (const std::string &op : e.ops)
    out += " " + op;
  if (e.core) {
    const Core &c = *e.core;
    out += c.keyword.text;
    if (c.unknown) {
      out += " " + c.unknown.text + " ";
      dumpType(out, c.type);
    }
    if (c.over)
      out += " over " + c.over.text;
    if (c.reverse)
      out += " reverse";
    if (c.as)
      out += " as " + c.as.text;
    if (c.hasArguments)
      out += " arguments";
    for (const ExprPtr &a : c.arguments) {
      out += " ";
      dumpExpr(out, *a);
    }
    if (c.hasFields)
      out += " fields";
    for (const Field &f : c.fields) {
      out += " ";
      dumpField(out, f);
    }
    if (c.by) {
      out += " by ";
      dumpExpr(out, *c.by);
    }
  }
  for (const ExprPtr &c : e.children) {
    out += " ";
    dumpExpr(out, *c);
  }
  out += ")";
}

void dumpItem(std::string &out, const Item &item, unsigned indent) {
  out.append(indent, ' ');
  out += "(" + std::string(item.kind == ItemKind::Result  ? "result"
                           : item.kind == ItemKind::Error ? "error"
                                                          : keywordOf(item.kind));
  if (!item.path.empty())
    out += " \"" + item.path + "\"";
  for (const Identifier &n : item.names)
    out += " " + n.text;
  if (item.claim)
    out += " " + item.claim.text;
  if (item.on)
    out += " on " + item.on.text;
  if (!item.list.empty()) {
    out += " [";
    for (const Identifier &n : item.list)
      out += " " + n.text;
    out += " ]";
  }
  for (const AxisSpec &a : item.axes) {
    out += " (" + a.name.text;
    if (a.relation) {
      out += " = ";
      dumpExpr(out, *a.relation);
    }
    if (a.keys)
      out += " keys " + a.keys.text;
    if (a.alignment)
      out += " align " + a.alignment.text;
    out += ")";
  }
  for (const MapParam &p : item.params) {
    out += p.isOption ? " (option " : " (parameter ";
    out += p.name.text;
    for (const Identifier &n : p.alternatives)
      out += " " + n.text;
    if (!p.isOption) {
      out += " ";
      dumpType(out, p.type);
    }
    if (p.defaultValue) {
      out += " = ";
      dumpExpr(out, *p.defaultValue);
    }
    out += ")";
  }
  if (item.hasType) {
    out += " ";
    dumpType(out, item.type);
  }
  for (const ContractBound &b : item.contract) {
    out += " (contract " + b.op + " ";
    dumpExpr(out, *b.value);
    out += ")";
  }
  for (const ExprPtr &v : item.values) {
    out += " ";
    dumpExpr(out, *v);
  }
  for (const Field &f : item.fields) {
    out += " ";
    dumpField(out, f);
  }
  if (item.isOptional)
    out += " optional";
  for (const Item &child : item.body) {
    out += "\n";
    dumpItem(out, child, indent + 2);
  }
  out += ")";
}

} // namespace

std::string dump(const File &file) {
  std::string out = "(fovea 1)\n";
  for (const Item &item : file.items) {
    dumpItem(out, item, 0);
    out += "\n";
  }
  return out;
}

} // namespace fovea::syntax
