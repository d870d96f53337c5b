// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recursive descent over docs/grammar.ebnf: one function per production. A newline ends an item outside ( ) and [ ].
#include "frontend/syntax/Parser.h"

#include "frontend/syntax/Lexer.h"

#include <algorithm>
#include <initializer_list>

namespace fovea::syntax {

const std::vector<std::string> &declarationWords() {
  static const std::vector<std::string> words = {"axis",   "static",    "input",    "param",  "const", "option",
                                                 "carry",  "let",       "state",    "output", "map",   "law",
                                                 "import", "attention", "schedule", "storage"};
  return words;
}

namespace {

bool isReserved(std::string_view word) {
  return word == "if" || word == "then" || word == "else" || word == "match" || word == "and" || word == "or" ||
         word == "not" || word == "in" || word == "let";
}

class Parser {
public:
  Parser(DiagnosticEngine &diagnostics, ParseTrace *trace) : diagnostics_(diagnostics), trace_(trace) {}

  File run(std::string name, std::string text);

private:
  // Tokens.
  const Token &peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool atEnd() const { return peek().kind == TokenKind::End; }
  /// A newline before the next token ends the item, unless within ( ) or [ ].
  bool ended() const { return atEnd() || (peek().newlineBefore && brackets_ == 0); }
  bool is(std::string_view text, size_t ahead = 0) const {
    const Token &token = peek(ahead);
    return (token.kind == TokenKind::Word || token.kind == TokenKind::Punctuation) && token.text == text;
  }
  bool isWord(size_t ahead = 0) const { return peek(ahead).kind == TokenKind::Word && !isReserved(peek(ahead).text); }
  const Token &take() {
    const Token &token = peek();
    if (at_ + 1 < tokens_.size())
      ++at_;
    last_ = token.span;
    return token;
  }
  bool accept(std::string_view text) {
    if (!is(text))
      return false;
    if (trace_)
      trace_->terminals.insert(std::string(text));
    take();
    return true;
  }
  /// Like accept, but not across the end of an item.
  bool acceptHere(std::string_view text) { return !ended() && accept(text); }
  void production(const char *name) {
    if (trace_)
      trace_->productions.insert(name);
  }

  // Errors: the first of an item is reported, then the item is left.
  bool failed_ = false;
  std::string shown(const Token &token) const {
    if (token.kind == TokenKind::End)
      return "the end of the file";
    if (token.kind == TokenKind::String)
      return "a string";
    return "'" + std::string(token.text) + "'";
  }
  void fail(Span span, std::string message, std::string label = {}, std::string suggestion = {}) {
    file_.hasErrors = true;
    if (failed_)
      return;
    failed_ = true;
    if (!tokens_.empty() && peek().kind == TokenKind::Error)
      return;
    diagnostics_.error(span, std::move(message), std::move(label), std::move(suggestion));
  }
  void expected(const std::string &what, std::string suggestion = {}) {
    const Token &token = peek();
    // What is missing at the end of a line is shown there, not at the next line.
    if (token.newlineBefore && last_.valid() && at_ > 0) {
      Span end{last_.file, last_.end, last_.end};
      fail(end, "the line ends too early", "expected " + what, std::move(suggestion));
      return;
    }
    fail(token.span, "unexpected " + shown(token), "expected " + what, std::move(suggestion));
  }
  bool expect(std::string_view text, const char *why = nullptr) {
    if (failed_)
      return false;
    if (accept(text))
      return true;
    std::string what = "'" + std::string(text) + "'";
    if (why)
      what += std::string(" ") + why;
    std::string suggestion;
    if (peek().kind == TokenKind::Word && text.size() > 1 && !closest(peek().text, {std::string(text)}).empty())
      suggestion = std::string(text);
    expected(what, std::move(suggestion));
    return false;
  }
  Identifier word(const char *what) {
    if (failed_)
      return {};
    const Token &token = peek();
    if (token.kind == TokenKind::Word && !isReserved(token.text) && !ended()) {
      take();
      return {std::string(token.text), token.span};
    }
    if (token.kind == TokenKind::Word && isReserved(token.text) && !ended())
      fail(token.span, "'" + std::string(token.text) + "' is a word of the language and cannot be a name",
           std::string("expected ") + what);
    else
      expected(what);
    return {};
  }

  // Expressions.
  struct Guard;
  ExprPtr make(ExprKind kind, Span span) {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->span = span;
    return e;
  }
  ExprPtr error() { return make(ExprKind::Error, peek().span); }
  void add(Expr &parent, ExprPtr child);
  bool tooDeep(const Expr &e);
  ExprPtr expression();
  ExprPtr letIn();
  ExprPtr conditional();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr product();
  ExprPtr unary();
  ExprPtr power();
  ExprPtr postfix();
  ExprPtr primary();
  ExprPtr match();
  ExprPtr core();
  ExprPtr argument(bool subscript);
  ExprPtr binary(ExprPtr left, std::string op, Span opSpan, bool broke, ExprPtr right);
  void list(Expr &into, std::string_view close, bool subscript);
  std::vector<Field> fields(bool equation);
  Field field();
  ExprPtr relation();
  Type type();
  bool atCore() const;

  // Items.
  void items(std::vector<Item> &into, ItemKind within);
  bool item(Item &item, ItemKind within, ItemKind previous, bool afterSemicolon);
  void axisItem(Item &);
  void staticItem(Item &);
  void tensorItem(Item &);
  void constItem(Item &);
  void optionItem(Item &);
  void letItem(Item &);
  void stateItem(Item &);
  void outputItem(Item &);
  void contract(Item &);
  void importItem(Item &);
  void attentionItem(Item &);
  void mapItem(Item &);
  void lawItem(Item &);
  void scheduleItem(Item &);
  void storageItem(Item &);
  void recover(size_t begin);
  void names(std::vector<Identifier> &into, const char *what);

  DiagnosticEngine &diagnostics_;
  ParseTrace *trace_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  Span last_;
  unsigned brackets_ = 0, depth_ = 0;
  bool inLetValue_ = false; // in the value of `let x = value in ..`
  File file_;
};

/// Counts nesting of the parser's own recursion.
struct Parser::Guard {
  explicit Guard(Parser &parser) : parser_(parser) {
    if (++parser_.depth_ > kMaxNesting)
      parser_.fail(parser_.peek().span, "nested too deeply",
                   "at most " + std::to_string(kMaxNesting) + " levels; name a part with 'let'");
  }
  ~Guard() { --parser_.depth_; }
  Parser &parser_;
};

void Parser::add(Expr &parent, ExprPtr child) {
  parent.height = std::max(parent.height, child->height + 1);
  if (child->span.valid())
    parent.span = parent.span.to(child->span);
  parent.children.push_back(std::move(child));
  tooDeep(parent);
}

bool Parser::tooDeep(const Expr &e) {
  if (e.height <= kMaxNesting)
    return false;
  fail(e.span, "nested too deeply",
       "at most " + std::to_string(kMaxNesting) + " levels or operators in a row; name a part with 'let'");
  return true;
}

ExprPtr Parser::binary(ExprPtr left, std::string op, Span opSpan, bool broke, ExprPtr right) {
  ExprPtr e = make(ExprKind::Binary, left->span);
  e->text = std::move(op);
  e->nameSpan = opSpan;
  e->breaks = {broke};
  add(*e, std::move(left));
  add(*e, std::move(right));
  return e;
}

ExprPtr Parser::expression() {
  production("expression");
  Guard guard(*this);
  if (failed_)
    return error();
  if (is("if"))
    return conditional();
  if (is("let"))
    return letIn();
  return disjunction();
}

ExprPtr Parser::letIn() {
  production("let_in");
  ExprPtr e = make(ExprKind::LetIn, peek().span);
  accept("let");
  Identifier name = word("a name");
  e->text = name.text;
  e->nameSpan = name.span;
  expect("=");
  bool saved = inLetValue_;
  inLetValue_ = true;
  add(*e, expression());
  inLetValue_ = saved;
  expect("in", "and the expression that uses the name");
  add(*e, expression());
  return e;
}

ExprPtr Parser::conditional() {
  production("conditional");
  ExprPtr e = make(ExprKind::If, peek().span);
  accept("if");
  add(*e, expression());
  expect("then", "after the condition");
  add(*e, expression());
  expect("else", "and the value where the condition is false");
  add(*e, expression());
  return e;
}

ExprPtr Parser::disjunction() {
  production("disjunction");
  ExprPtr left = conjunction();
  while (!failed_ && !ended() && is("or")) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    Span span = peek().span;
    accept("or");
    left = binary(std::move(left), "or", span, broke, conjunction());
  }
  return left;
}

ExprPtr Parser::conjunction() {
  production("conjunction");
  ExprPtr left = negation();
  while (!failed_ && !ended() && is("and")) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    Span span = peek().span;
    accept("and");
    left = binary(std::move(left), "and", span, broke, negation());
  }
  return left;
}

ExprPtr Parser::negation() {
  production("negation");
  if (!is("not"))
    return comparison();
  Guard guard(*this);
  ExprPtr e = make(ExprKind::Unary, peek().span);
  e->text = "not";
  e->nameSpan = peek().span;
  accept("not");
  add(*e, failed_ ? error() : negation());
  return e;
}

ExprPtr Parser::comparison() {
  production("comparison");
  ExprPtr left = sum();
  auto operatorHere = [&]() -> std::string_view {
    for (std::string_view op : {"<", "<=", ">", ">=", "==", "!="})
      if (is(op))
        return op;
    return {};
  };
  if (failed_ || ended())
    return left;
  if (is("in")) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    Span span = peek().span;
    // `let x = a in b`: the `in` of the let, which ends the value.
    if (inLetValue_)
      return left;
    accept("in");
    return binary(std::move(left), "in", span, broke, sum());
  }
  if (operatorHere().empty())
    return left;
  ExprPtr e = make(ExprKind::Compare, left->span);
  add(*e, std::move(left));
  while (!failed_ && !ended()) {
    std::string_view op = operatorHere();
    if (op.empty())
      break;
    e->ops.emplace_back(op);
    e->opSpans.push_back(peek().span);
    e->breaks.push_back(peek().newlineBefore || peek(1).newlineBefore);
    accept(op);
    add(*e, sum());
  }
  return e;
}

ExprPtr Parser::sum() {
  production("sum");
  ExprPtr left = product();
  while (!failed_ && !ended() && (is("+") || is("-"))) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    std::string op(peek().text);
    Span span = peek().span;
    accept(op);
    left = binary(std::move(left), op, span, broke, product());
  }
  return left;
}

ExprPtr Parser::product() {
  production("product");
  ExprPtr left = unary();
  while (!failed_ && !ended() && (is("*") || is("/") || is("//") || is("%"))) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    std::string op(peek().text);
    Span span = peek().span;
    accept(op);
    left = binary(std::move(left), op, span, broke, unary());
  }
  return left;
}

ExprPtr Parser::unary() {
  production("unary");
  if (!is("-"))
    return power();
  Guard guard(*this);
  ExprPtr e = make(ExprKind::Unary, peek().span);
  e->text = "-";
  e->nameSpan = peek().span;
  accept("-");
  add(*e, failed_ ? error() : unary());
  return e;
}

ExprPtr Parser::power() {
  production("power");
  ExprPtr base = postfix();
  if (failed_ || ended() || !is("^"))
    return base;
  bool broke = peek().newlineBefore || peek(1).newlineBefore;
  Span span = peek().span;
  accept("^");
  Guard guard(*this);
  if (failed_)
    return base;
  return binary(std::move(base), "^", span, broke, unary());
}

void Parser::list(Expr &into, std::string_view close, bool subscript) {
  unsigned saved = brackets_;
  ++brackets_;
  if (!is(close)) {
    do {
      if (is(close))
        break; // a comma before the closing bracket
      into.breaks.resize(into.children.size() + 1);
      into.breaks[into.children.size()] = peek().newlineBefore;
      add(into, argument(subscript));
    } while (!failed_ && accept(","));
  }
  brackets_ = saved;
  // The closing bracket may stand on a line of its own.
  if (!failed_) {
    if (!accept(close)) {
      std::string what = "',' or '" + std::string(close) + "'";
      fail(peek().span, "unexpected " + shown(peek()), "expected " + what);
    } else {
      into.span = into.span.to(last_);
    }
  }
}

ExprPtr Parser::argument(bool subscript) {
  production("argument");
  for (std::string_view op : {"<", "<=", ">", ">="})
    if (is(op)) {
      ExprPtr e = make(ExprKind::Unary, peek().span);
      e->text = op;
      e->nameSpan = peek().span;
      accept(op);
      add(*e, sum());
      return e;
    }
  bool saved = inLetValue_;
  inLetValue_ = false;
  ExprPtr e = expression();
  if (!failed_ && (is("of") || is("overlap"))) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    std::string op(peek().text);
    Span span = peek().span;
    accept(op);
    e = binary(std::move(e), op, span, broke, expression());
  }
  if (!failed_ && is("=") && subscript) { // `F = E + E` in the result of a map
    bool broke = peek(1).newlineBefore;
    Span span = peek().span;
    accept("=");
    e = binary(std::move(e), "=", span, broke, relation());
  }
  if (!failed_ && accept(":")) {
    ExprPtr labelled = make(ExprKind::Labelled, e->span);
    labelled->breaks = {peek().newlineBefore};
    add(*labelled, std::move(e));
    add(*labelled, expression());
    e = std::move(labelled);
  }
  inLetValue_ = saved;
  return e;
}

ExprPtr Parser::postfix() {
  production("postfix");
  ExprPtr e = primary();
  while (!failed_ && !ended()) {
    if (is("[")) {
      production("subscript");
      ExprPtr s = make(ExprKind::Subscript, e->span);
      add(*s, std::move(e));
      accept("[");
      list(*s, "]", true);
      e = std::move(s);
    } else if (is("(")) {
      production("call");
      ExprPtr c = make(ExprKind::Call, e->span);
      add(*c, std::move(e));
      accept("(");
      list(*c, ")", false);
      e = std::move(c);
    } else if (is(".")) {
      production("member");
      ExprPtr m = make(ExprKind::Member, e->span);
      add(*m, std::move(e));
      accept(".");
      Identifier name = word("the name of a part, such as 'lse'");
      m->text = name.text;
      m->nameSpan = name.span;
      if (name)
        m->span = m->span.to(name.span);
      e = std::move(m);
    } else if (is("as") && is("[", 1)) {
      production("renaming");
      ExprPtr a = make(ExprKind::As, e->span);
      add(*a, std::move(e));
      accept("as");
      accept("[");
      list(*a, "]", true);
      e = std::move(a);
    } else {
      break;
    }
  }
  return e;
}

bool Parser::atCore() const {
  if (peek().kind != TokenKind::Word)
    return false;
  std::string_view text = peek().text;
  bool named = peek(1).kind == TokenKind::Word;
  if (text == "weights")
    return named && peek(1).text == "over";
  if (text == "attend" || text == "recur")
    return (named && peek(1).text == "over") || is("(", 1);
  if (text == "solve")
    return named && is(":", 2);
  return false;
}

ExprPtr Parser::primary() {
  production("primary");
  if (failed_)
    return error();
  const Token &token = peek();
  if (token.kind == TokenKind::Number) {
    production("number");
    ExprPtr e = make(ExprKind::Number, token.span);
    e->text = std::string(token.text);
    e->nameSpan = token.span;
    take();
    return e;
  }
  if (is("(")) {
    production("group");
    Guard guard(*this);
    ExprPtr e = make(ExprKind::Tuple, token.span);
    accept("(");
    list(*e, ")", false);
    if (failed_)
      return e;
    if (e->children.size() == 1 && e->children[0]->kind != ExprKind::Labelled)
      e->kind = ExprKind::Paren;
    if (e->children.empty())
      fail(e->span, "nothing between the parentheses", "expected an expression");
    return e;
  }
  if (is("[") || is("{")) {
    bool isSet = is("{");
    production(isSet ? "set" : "list");
    Guard guard(*this);
    ExprPtr e = make(isSet ? ExprKind::Set : ExprKind::List, token.span);
    accept(token.text);
    list(*e, isSet ? "}" : "]", true);
    return e;
  }
  if (is("match"))
    return match();
  if (is("if"))
    return conditional();
  if (atCore())
    return core();
  if (token.kind == TokenKind::Word && !isReserved(token.text)) {
    // `weigths over S {`
    if (peek(1).kind == TokenKind::Word && peek(1).text == "over" && peek(2).kind == TokenKind::Word) {
      std::string near = closest(token.text, {"weights", "attend", "recur"});
      fail(token.span, "'" + std::string(token.text) + "' cannot walk over an axis",
           "expected 'weights', 'attend' or 'recur'", near);
      return error();
    }
    ExprPtr e = make(ExprKind::Name, token.span);
    e->text = std::string(token.text);
    e->nameSpan = token.span;
    take();
    return e;
  }
  expected("an expression");
  return error();
}

ExprPtr Parser::match() {
  production("match");
  Guard guard(*this);
  ExprPtr e = make(ExprKind::Match, peek().span);
  accept("match");
  Identifier name = word("the name of an option");
  e->text = name.text;
  e->nameSpan = name.span;
  if (!expect("{"))
    return e;
  e->braces = last_;
  unsigned saved = brackets_;
  brackets_ = 0;
  e->breaks = {peek().newlineBefore};
  while (!failed_) {
    while (accept(";") || accept(",")) {
    }
    if (is("}") || atEnd())
      break;
    production("arm");
    // The first word of a line within braces is not "ended".
    if (!isWord()) {
      expected("a choice of the option, then ':'");
      break;
    }
    ExprPtr arm = make(ExprKind::Labelled, peek().span);
    ExprPtr label = make(ExprKind::Name, peek().span);
    label->text = std::string(peek().text);
    label->nameSpan = peek().span;
    take();
    add(*arm, std::move(label));
    if (!expect(":"))
      break;
    arm->breaks = {peek().newlineBefore};
    add(*arm, expression());
    add(*e, std::move(arm));
    if (!failed_ && !is("}") && !is(";") && !is(",") && !peek().newlineBefore)
      expected("';', a new line or '}'");
  }
  brackets_ = saved;
  expect("}");
  e->braces = e->braces.to(last_);
  e->span = e->span.to(last_);
  return e;
}

Field Parser::field() {
  production("field");
  Field f;
  f.span = peek().span;
  if (!isWord()) {
    expected("the name of a field, then ':'");
    return f;
  }
  const Token &name = take();
  f.name = {std::string(name.text), name.span};
  while (acceptHere(","))
    f.targets.push_back(word("a name"));
  if (!ended() && is("on") && peek(1).kind == TokenKind::Word) {
    accept("on");
    f.on = word("an axis");
  }
  if (!expect(":"))
    return f;
  do {
    f.values.push_back(expression());
    // `, name: ..` begins the next part of a storage entry.
    if (!ended() && is(",") && isWord(1) && is(":", 2))
      break;
  } while (!failed_ && acceptHere(","));
  if (!failed_ && !ended() && is("per")) {
    accept("per");
    f.per = word("an axis");
  }
  f.span = f.span.to(last_);
  return f;
}

std::vector<Field> Parser::fields(bool equation) {
  production("fields");
  std::vector<Field> result;
  Guard guard(*this);
  unsigned saved = brackets_;
  brackets_ = 0;
  while (!failed_) {
    while (accept(";") || accept(",")) {
    }
    if (is("}") || atEnd())
      break;
    if (equation) {
      production("equation");
      Field f;
      f.span = peek().span;
      ExprPtr left = expression();
      Span opSpan = peek().span;
      if (!expect("=", "between the two sides of the equation"))
        break;
      bool broke = peek().newlineBefore;
      f.values.push_back(binary(std::move(left), "=", opSpan, broke, expression()));
      f.span = f.span.to(last_);
      result.push_back(std::move(f));
    } else {
      result.push_back(field());
    }
    if (!failed_ && !is("}") && !is(";") && !is(",") && !peek().newlineBefore)
      expected("';', a new line or '}'");
  }
  brackets_ = saved;
  expect("}");
  return result;
}

ExprPtr Parser::core() {
  production("core");
  Guard guard(*this);
  ExprPtr e = make(ExprKind::Core, peek().span);
  e->core = std::make_unique<Core>();
  Core &c = *e->core;
  std::string text(peek().text);
  c.keyword = {text, peek().span};
  accept(text);
  if (text == "solve") {
    production("solve");
    c.unknown = word("the name of the unknown");
    expect(":");
    c.type = type();
  } else if (accept("over")) {
    c.over = word("the axis to walk");
    if (!ended() && accept("reverse"))
      c.reverse = true;
    if (!ended() && is("as") && peek(1).kind == TokenKind::Word) {
      accept("as");
      c.as = word("the name of the index");
    }
  }
  if (!failed_ && text != "solve" && text != "weights" && !ended() && is("(")) {
    production("core_arguments");
    Expr holder;
    holder.span = e->span;
    accept("(");
    list(holder, ")", false);
    c.hasArguments = true;
    c.arguments = std::move(holder.children);
    e->breaks = holder.breaks;
    e->height = holder.height;
  }
  e->breaks.resize(c.arguments.size() + 1);
  bool needsFields = text == "weights" || text == "solve" || (text == "recur" && !c.hasArguments);
  if (!failed_ && (needsFields || (!ended() && is("{")))) {
    if (expect("{")) {
      c.hasFields = true;
      e->braces = last_;
      e->breaks[c.arguments.size()] = peek().newlineBefore;
      c.fields = fields(text == "solve");
      e->braces = e->braces.to(last_);
    }
  }
  if (!failed_ && text == "solve" && !ended() && accept("by"))
    c.by = postfix();
  for (const Field &f : c.fields)
    for (const ExprPtr &v : f.values)
      e->height = std::max(e->height, v->height + 1);
  e->span = e->span.to(last_);
  tooDeep(*e);
  return e;
}

Type Parser::type() {
  production("type");
  Type t;
  t.span = peek().span;
  if (isWord() && !ended()) {
    const Token &name = take();
    t.element = {std::string(name.text), name.span};
  }
  if (!failed_ && !ended() && is("[")) {
    Expr holder;
    holder.span = peek().span;
    accept("[");
    list(holder, "]", true);
    t.hasAxes = true;
    t.axes = std::move(holder.children);
  }
  if (!t.element && !t.hasAxes)
    expected("a type, such as 'f32 [B, T]'");
  t.span = t.span.to(last_);
  return t;
}

ExprPtr Parser::relation() {
  production("relation");
  auto part = [&]() -> ExprPtr {
    production("part");
    if (isWord() && is(":", 1)) {
      ExprPtr labelled = make(ExprKind::Labelled, peek().span);
      labelled->breaks = {false};
      ExprPtr label = make(ExprKind::Name, peek().span);
      label->text = std::string(peek().text);
      label->nameSpan = peek().span;
      take();
      accept(":");
      add(*labelled, std::move(label));
      add(*labelled, product());
      return labelled;
    }
    return product();
  };
  ExprPtr left = part();
  while (!failed_ && !ended() && is("+")) {
    bool broke = peek().newlineBefore || peek(1).newlineBefore;
    Span span = peek().span;
    accept("+");
    left = binary(std::move(left), "+", span, broke, part());
  }
  return left;
}

void Parser::names(std::vector<Identifier> &into, const char *what) {
  do
    into.push_back(word(what));
  while (!failed_ && acceptHere(","));
}

void Parser::axisItem(Item &item) {
  production("axis");
  do {
    AxisSpec spec;
    spec.name = word("the name of an axis");
    if (acceptHere("=")) {
      spec.relation = relation();
    } else if (!ended() && is("keys")) {
      accept("keys");
      spec.keys = word("the axis of the queries");
      if (!ended() && accept("align"))
        spec.alignment = word("'start'");
    }
    item.axes.push_back(std::move(spec));
  } while (!failed_ && acceptHere(","));
}

void Parser::staticItem(Item &item) {
  production("static");
  names(item.names, "the name of an axis");
}

void Parser::contract(Item &item) {
  production("contract");
  if (accept("in")) {
    bool openLow = is("(");
    Span span = peek().span;
    if (!accept("[") && !expect("(", "or '[', and two bounds"))
      return;
    ++brackets_;
    ExprPtr low = sum();
    expect(",", "and the upper bound");
    ExprPtr high = sum();
    --brackets_;
    if (failed_)
      return;
    bool openHigh = is(")");
    if (!accept(")") && !expect("]", "or ')'"))
      return;
    item.contract.push_back({openLow ? ">" : ">=", std::move(low), span.to(last_), true});
    item.contract.push_back({openHigh ? "<" : "<=", std::move(high), span.to(last_), true});
    return;
  }
  for (std::string_view op : {"<=", "<", ">=", ">"})
    if (is(op)) {
      Span span = peek().span;
      accept(op);
      ExprPtr value = sum();
      item.contract.push_back({std::string(op), std::move(value), span.to(last_), false});
      return;
    }
}

void Parser::tensorItem(Item &item) {
  production("tensor");
  names(item.names, "a name");
  if (!expect(":", "and a type"))
    return;
  item.hasType = true;
  item.type = type();
  while (!failed_ && !ended() && (is("in") || is("<") || is("<=") || is(">") || is(">=")))
    contract(item);
  if (!failed_ && acceptHere("="))
    item.values.push_back(expression());
  if (!failed_ && acceptHere("optional"))
    item.isOptional = true;
}

void Parser::constItem(Item &item) {
  production("const");
  names(item.names, "the name of a constant");
  if (!failed_ && acceptHere(":")) {
    item.hasType = true;
    item.type = type();
  }
  if (!failed_ && acceptHere("="))
    do
      item.values.push_back(expression());
    while (!failed_ && acceptHere(","));
}

void Parser::optionItem(Item &item) {
  production("option");
  names(item.names, "the name of an option");
  if (!expect("=", "and the choices, such as 'code | paper'"))
    return;
  do
    item.list.push_back(word("the name of a choice"));
  while (!failed_ && acceptHere("|"));
}

void Parser::letItem(Item &item) {
  production("let");
  item.names.push_back(word("a name"));
  if (!failed_ && !ended() && is("(")) {
    production("pair_function");
    accept("(");
    ++brackets_;
    names(item.list, "the name of an index");
    --brackets_;
    expect(")");
  }
  if (expect("=", "and an expression"))
    item.values.push_back(expression());
}

void Parser::stateItem(Item &item) {
  production("state");
  item.names.push_back(word("the name of the state"));
  if (!failed_ && !ended() && is("[")) {
    accept("[");
    ++brackets_;
    names(item.list, "an axis");
    --brackets_;
    expect("]");
  }
  if (expect("=", "and 'recur over ..'"))
    item.values.push_back(expression());
}

void Parser::outputItem(Item &item) {
  production("output");
  names(item.names, "the name of an output");
  if (!failed_ && acceptHere(":")) {
    item.hasType = true;
    item.type = type();
  }
  if (expect("=", "and an expression"))
    item.values.push_back(expression());
}

void Parser::importItem(Item &item) {
  production("import");
  if (peek().kind != TokenKind::String || ended()) {
    expected("a file's name in quotes");
    return;
  }
  item.pathSpan = peek().span;
  item.path = std::string(take().text);
  if (acceptHere("(")) {
    ++brackets_;
    names(item.list, "a name of that file");
    --brackets_;
    expect(")");
  }
}

void Parser::attentionItem(Item &item) {
  production("attention");
  item.names.push_back(word("the name of the attention"));
  if (!failed_ && !ended() && isWord()) {
    if (is("causal") || is("set")) {
      Span span = peek().span;
      std::string text(peek().text);
      accept(text);
      item.claim = {text, span};
    } else {
      fail(peek().span, "unknown claim " + shown(peek()), "expected 'causal', 'set' or '{'",
           closest(peek().text, {"causal", "set"}));
    }
  }
  if (!expect("{"))
    return;
  item.braces = last_;
  items(item.body, ItemKind::Attention);
  expect("}", "at the end of the attention");
  item.braces = item.braces.to(last_);
}

void Parser::mapItem(Item &item) {
  production("map");
  item.names.push_back(word("the name of the map"));
  if (!expect("("))
    return;
  ++brackets_;
  while (!failed_ && !is(")")) {
    production("map_parameter");
    MapParam p;
    if (is("option") && isWord(1)) {
      accept("option");
      p.isOption = true;
      p.name = word("the name of an option");
      if (expect("="))
        do
          p.alternatives.push_back(word("the name of a choice"));
        while (!failed_ && accept("|"));
    } else {
      p.name = word("a parameter");
      if (expect(":", "and a type, such as '[D]'"))
        p.type = type();
      if (!failed_ && accept("="))
        p.defaultValue = expression();
    }
    item.params.push_back(std::move(p));
    if (failed_ || !accept(","))
      break;
  }
  --brackets_;
  expect(")");
  if (!failed_ && acceptHere("->")) {
    item.hasType = true;
    item.type = type();
  }
  if (!expect("{"))
    return;
  item.braces = last_;
  items(item.body, ItemKind::Map);
  expect("}", "at the end of the map");
  item.braces = item.braces.to(last_);
}

void Parser::lawItem(Item &item) {
  production("law");
  item.values.push_back(expression());
  if (expect("=", "between the two sides of the law"))
    item.values.push_back(expression());
}

void Parser::scheduleItem(Item &item) {
  production("schedule");
  item.names.push_back(word("the name of a weights, state or output"));
  if (!ended() && accept("on"))
    item.on = word("a target, such as 'sm_90'");
  if (expect("{")) {
    item.braces = last_;
    item.fields = fields(false);
    item.braces = item.braces.to(last_);
  }
}

void Parser::storageItem(Item &item) {
  production("storage");
  item.names.push_back(word("the name of the storage"));
  if (expect("{")) {
    item.braces = last_;
    item.fields = fields(false);
    item.braces = item.braces.to(last_);
  }
}

/// One item at the next token. False: there was nothing of the kind, and an error was reported.
bool Parser::item(Item &item, ItemKind within, ItemKind previous, bool afterSemicolon) {
  production("item");
  struct Entry {
    std::string_view word;
    ItemKind kind;
    void (Parser::*parse)(Item &);
    bool file, attention, map;
  };
  static constexpr Entry kEntries[] = {
      {"import", ItemKind::Import, &Parser::importItem, true, false, false},
      {"attention", ItemKind::Attention, &Parser::attentionItem, true, false, false},
      {"map", ItemKind::Map, &Parser::mapItem, true, true, false},
      {"schedule", ItemKind::Schedule, &Parser::scheduleItem, true, true, false},
      {"storage", ItemKind::Storage, &Parser::storageItem, true, true, false},
      {"axis", ItemKind::Axis, &Parser::axisItem, false, true, false},
      {"static", ItemKind::Static, &Parser::staticItem, false, true, false},
      {"input", ItemKind::Input, &Parser::tensorItem, false, true, false},
      {"param", ItemKind::Param, &Parser::tensorItem, false, true, false},
      {"carry", ItemKind::Carry, &Parser::tensorItem, false, true, false},
      {"const", ItemKind::Const, &Parser::constItem, false, true, true},
      {"option", ItemKind::Option, &Parser::optionItem, false, true, false},
      {"let", ItemKind::Let, &Parser::letItem, false, true, true},
      {"state", ItemKind::State, &Parser::stateItem, false, true, false},
      {"output", ItemKind::Output, &Parser::outputItem, false, true, false},
      {"law", ItemKind::Law, &Parser::lawItem, false, false, true},
  };
  item.span = peek().span;
  item.keyword = peek().span;
  auto allowed = [&](const Entry &e) {
    return within == ItemKind::Attention ? e.attention : within == ItemKind::Map ? e.map : e.file;
  };
  // A word of the language begins an item only before a name: `map = ..` is none.
  bool wordNext =
      (peek(1).kind == TokenKind::Word || peek(1).kind == TokenKind::String || peek(1).kind == TokenKind::Error) &&
      !peek(1).newlineBefore;
  // Only after `;`, or as the value of a map, can an item begin with a name.
  bool mayBeName = within == ItemKind::Map || (afterSemicolon && (is(":", 1) || is("=", 1) || is(",", 1)));
  if (peek().kind == TokenKind::Word && (peek().text == "law" || wordNext || !mayBeName))
    for (const Entry &e : kEntries) {
      if (!is(e.word))
        continue;
      if (e.word == "law" && within != ItemKind::Map)
        continue;
      if (!allowed(e)) {
        if (within == ItemKind::Map && e.kind != ItemKind::Import)
          fail(peek().span, "'" + std::string(e.word) + "' cannot stand in a map",
               "a map holds 'let', 'const', 'law' and the expression of its value");
        else if (within == ItemKind::Attention)
          fail(peek().span, "'" + std::string(e.word) + "' cannot stand in an attention",
               "it stands at the level of the file; is a '}' missing above?");
        else
          fail(peek().span, "'" + std::string(e.word) + "' cannot stand outside an attention",
               "expected 'import', 'attention', 'map', 'schedule' or 'storage'");
        return false;
      }
      // `let x = a in b` as the value of a map.
      if (e.kind == ItemKind::Let && within == ItemKind::Map) {
        size_t saved = at_;
        accept("let");
        item.kind = ItemKind::Let;
        inLetValue_ = true;
        letItem(item);
        inLetValue_ = false;
        if (!failed_ && !ended() && is("in")) {
          at_ = saved;
          item = Item();
          item.span = item.keyword = peek().span;
          break;
        }
        return !failed_;
      }
      accept(e.word);
      item.kind = e.kind;
      (this->*e.parse)(item);
      return !failed_;
    }
  // `input q : [..]; k : [..]`: the keyword goes on.
  bool declares = isWord() && (is(":", 1) || is("=", 1) || is(",", 1) || is("[", 1) || is("(", 1) || (is("keys", 1)) ||
                               is(";", 1) || is("}", 1) || peek(1).newlineBefore);
  if (afterSemicolon && declares && within != ItemKind::File)
    for (const Entry &e : kEntries) {
      bool continues = e.kind == previous && e.kind != ItemKind::Map && e.kind != ItemKind::Schedule &&
                       e.kind != ItemKind::Storage && e.kind != ItemKind::Law && e.kind != ItemKind::Import &&
                       e.kind != ItemKind::Attention;
      if (!continues || (within == ItemKind::Map && !is("=", 1)))
        continue;
      production("continued");
      item.kind = e.kind;
      item.continued = true;
      (this->*e.parse)(item);
      return !failed_;
    }
  bool isOperator = peek().kind == TokenKind::Punctuation && peek().newlineBefore &&
                    (is("+") || is("*") || is("/") || is("//") || is("%") || is("^") || is("<") || is("<=") ||
                     is(">") || is(">=") || is("==") || is("!="));
  isOperator |= peek().newlineBefore && (is("and") || is("or"));
  bool startsItem = within == ItemKind::Map && !isOperator;
  if (startsItem) {
    production("result");
    item.kind = ItemKind::Result;
    item.values.push_back(expression());
    return !failed_;
  }
  std::vector<std::string> words;
  for (const Entry &e : kEntries)
    if (allowed(e))
      words.emplace_back(e.word);
  std::string near = peek().kind == TokenKind::Word ? closest(peek().text, words) : std::string();
  std::string label = within == ItemKind::Attention
                          ? "expected a declaration: axis, static, input, param, const, option, let, output .."
                          : "expected 'import', 'attention', 'map', 'schedule' or 'storage'";
  if (isOperator && near.empty())
    label = "the line above has ended; put the operator at its end, or the expression in parentheses";
  fail(peek().span, "unexpected " + shown(peek()), label, near);
  // What was meant to be declared is unknown from here on.
  file_.lostNames = true;
  return false;
}

/// After an error: to the end of the item that began at token `begin`.
void Parser::recover(size_t begin) {
  brackets_ = 0;
  int depth = 0;
  // Braces opened inside the item so far.
  for (size_t k = begin; k < at_; ++k) {
    if (tokens_[k].text == "{" && tokens_[k].kind == TokenKind::Punctuation)
      ++depth;
    if (tokens_[k].text == "}" && tokens_[k].kind == TokenKind::Punctuation)
      --depth;
  }
  depth = std::max(depth, 0);
  bool first = at_ == begin;
  while (!atEnd()) {
    const Token &token = peek();
    bool isKeyword =
        token.kind == TokenKind::Word && token.newlineBefore && token.text != "map" &&
        std::find(declarationWords().begin(), declarationWords().end(), token.text) != declarationWords().end() &&
        peek(1).kind == TokenKind::Word;
    if (!first) {
      if (isKeyword && depth <= 1)
        return;
      if (depth == 0 && (token.newlineBefore || is(";") || is("}")))
        return;
    }
    first = false;
    if (is("{"))
      ++depth;
    if (is("}")) {
      if (depth == 0)
        return;
      --depth;
    }
    take();
  }
}

void Parser::items(std::vector<Item> &into, ItemKind within) {
  Guard guard(*this);
  unsigned saved = brackets_;
  brackets_ = 0;
  ItemKind previous = ItemKind::Error;
  bool outerFailed = failed_;
  while (!outerFailed) {
    bool semicolon = false;
    while (accept(";"))
      semicolon = true;
    if (atEnd() || (within != ItemKind::File && is("}")))
      break;
    size_t begin = at_;
    Item next;
    // `;` at the end of a line is no continuation.
    bool good = item(next, within, previous, semicolon && !peek().newlineBefore);
    if (good && !ended() && !is(";") && !is("}")) {
      // Two items on a line, or an expression that does not go on.
      expected(within == ItemKind::File ? "a new line" : "';', a new line or '}'");
      good = false;
    }
    next.span = next.span.to(last_);
    if (next.span.end < next.span.begin)
      next.span = peek().span;
    if (!good) {
      if (next.kind == ItemKind::Error || (next.names.empty() && next.axes.empty()))
        file_.lostNames = true;
      for (const Identifier &name : next.names)
        if (!name)
          file_.lostNames = true;
      for (const AxisSpec &spec : next.axes)
        if (!spec.name)
          file_.lostNames = true;
      if (next.values.empty() && (next.kind == ItemKind::Let || next.kind == ItemKind::Output))
        next.values.push_back(error());
      if (!next.values.empty() && !next.values[0])
        next.values.clear();
      // What was read half stands for an unknown value.
      for (ExprPtr &value : next.values)
        value = error();
      failed_ = false;
      recover(begin);
      if (at_ == begin)
        take();
    }
    previous = next.kind;
    into.push_back(std::move(next));
    if (!good)
      previous = into.back().kind;
    if (within == ItemKind::File && is("}")) {
      fail(peek().span, "unexpected '}'", "no '{' is open here");
      failed_ = false;
      take();
    }
  }
  brackets_ = saved;
}

File Parser::run(std::string name, std::string text) {
  production("file");
  bool tooLarge = text.size() > kMaxFileSize;
  if (tooLarge)
    text.clear();
  file_.id = diagnostics_.sources.add(std::move(name), std::move(text));
  if (tooLarge) {
    fail({file_.id, 0, 0}, "the file is larger than " + std::to_string(kMaxFileSize >> 20) + " MiB");
    return std::move(file_);
  }
  size_t before = diagnostics_.errorCount();
  Tokens tokens = lex(file_.id, diagnostics_);
  if (diagnostics_.errorCount() != before)
    file_.hasErrors = true;
  tokens_ = std::move(tokens.tokens);
  file_.comments = std::move(tokens.comments);
  production("edition");
  file_.edition = peek().span;
  if (is("fovea")) {
    accept("fovea");
    if (peek().kind != TokenKind::Number || peek().newlineBefore) {
      expected("the edition of the language: 'fovea 1'");
    } else if (peek().text != kEdition) {
      fail(peek().span, "edition " + std::string(peek().text) + " of the language is not known here",
           "this version reads 'fovea 1'");
      take();
    } else {
      take();
    }
  } else if (peek().kind == TokenKind::Word && !closest(peek().text, {"fovea"}).empty()) {
    fail(peek().span, "unexpected " + shown(peek()), "the first line must be 'fovea 1'", "fovea");
    take();
    if (peek().kind == TokenKind::Number)
      take();
  } else {
    fail(peek().span, "the edition of the language is missing", "the first line must be 'fovea 1'");
  }
  if (!failed_ && !ended() && !is(";"))
    expected("a new line");
  if (at_ > 0)
    file_.edition = file_.edition.to(last_);
  failed_ = false;
  items(file_.items, ItemKind::File);
  return std::move(file_);
}

} // namespace

File parse(std::string name, std::string text, DiagnosticEngine &diagnostics, ParseTrace *trace) {
  Parser parser(diagnostics, trace);
  return parser.run(std::move(name), std::move(text));
}

} // namespace fovea::syntax
