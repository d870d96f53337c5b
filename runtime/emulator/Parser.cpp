// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The parser of PTX modules: directives, declarations, lexical scopes, statements. Recursion is nowhere, so that deep
// nesting in hostile text costs no stack; every list is bounded by the length of the text or by an explicit limit.
#include "runtime/emulator/Ast.h"
#include "runtime/emulator/Lexer.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace fovea::emulator {

namespace {

constexpr size_t maxTextBytes = 64u << 20;
constexpr uint64_t maxVariableBytes = 64u << 20;
constexpr uint32_t maxRegisters = 1u << 17; // used in one kernel
constexpr uint32_t maxScopes = 1u << 16;
constexpr uint32_t maxParamBytes = 32764;

struct Name {
  enum Kind : uint8_t { Reg, Var, ModuleVar, Param, Label, TargetList } kind;
  uint32_t index;
};

/// `.reg .b32 %r<100>`: names %r0 .. %r99, made on first use.
struct RegisterRange {
  std::string_view prefix;
  uint64_t count;
  ScalarType type;
};

struct Scope {
  int32_t parent = -1;
  std::unordered_map<std::string_view, Name> names;
  std::vector<RegisterRange> ranges;
};

struct PendingLabel {
  uint32_t operand; // index into AstKernel::operands, or with `list` into branchTargets[list]
  int32_t list = -1;
  uint32_t scope;
  std::string_view name;
  uint32_t line;
};

class Parser {
public:
  explicit Parser(std::string_view text) : text_(text), lexer_(text) { advance(); }
  Result<AstModule> run();

private:
  bool fail(uint32_t line, const std::string &message, ErrorCode code = ErrorCode::Corrupt) {
    if (failed_)
      return false;
    failed_ = true;
    error_ = {code, "PTX line " + std::to_string(line) + ": " + message};
    std::string quote = lineText(text_, line);
    if (!quote.empty())
      error_.message += ": `" + quote + "`";
    return false;
  }
  bool fail(const std::string &message) { return fail(token_.line, message); }
  bool unsupported(uint32_t line, const std::string &what) {
    return fail(line, "not in this version of the emulator: " + what, ErrorCode::Unsupported);
  }
  void advance() {
    token_ = ahead_.kind == Tok::End && !hasAhead_ ? lexer_.next() : ahead_;
    hasAhead_ = false;
    ahead_ = {};
    if (token_.kind == Tok::Error)
      fail(token_.line, lexer_.error());
  }
  const Token &ahead() {
    if (!hasAhead_) {
      ahead_ = lexer_.next();
      hasAhead_ = true;
    }
    return ahead_;
  }
  bool expect(char c) {
    if (!token_.is(c))
      return fail(std::string("expected '") + c + "'" + found());
    advance();
    return !failed_;
  }
  std::string found() const {
    if (token_.kind == Tok::End)
      return ", found the end of the text";
    return ", found '" + std::string(token_.kind == Tok::Dot ? "." : "") + std::string(token_.text.substr(0, 60)) + "'";
  }
  bool integer(uint64_t &value, bool allowNegative = false) {
    value = 0;
    bool negative = false;
    if (allowNegative && token_.is('-')) {
      negative = true;
      advance();
    }
    if (token_.kind != Tok::Int)
      return fail("expected a whole number" + found());
    value = negative ? 0 - token_.bits : token_.bits;
    advance();
    return !failed_;
  }
  bool identifier(std::string_view &name) {
    if (token_.kind != Tok::Ident)
      return fail("expected a name" + found());
    name = token_.text;
    advance();
    return !failed_;
  }

  bool header();
  bool moduleStatement();
  bool entry(bool isExtern);
  bool function();
  bool skipBraces();
  bool skipToSemicolon();
  bool parameters(AstKernel &kernel);
  bool dim3(Dim3 &dim);
  bool body(AstKernel &kernel);
  bool registers(AstKernel &kernel);
  bool variable(AstKernel *kernel, bool isExtern = false);
  bool initialiser(Variable &variable);
  bool statement(AstKernel &kernel);
  bool operand(AstKernel &kernel, Operand &out, bool nested, const Statement &s);
  bool address(AstKernel &kernel, Operand &out);
  bool nameOperand(AstKernel &kernel, std::string_view name, uint32_t line, Operand &out);
  bool resolveLabels(AstKernel &kernel);
  const Name *lookup(std::string_view name) const;
  bool lookupRegister(AstKernel &kernel, std::string_view name, uint32_t &index);
  bool declare(std::string_view name, Name entry, uint32_t line) {
    if (!scopes_[scope_].names.emplace(name, entry).second)
      return fail(line, "'" + std::string(name) + "' is declared twice in one scope");
    return true;
  }

  std::string_view text_;
  Lexer lexer_;
  Token token_, ahead_;
  bool hasAhead_ = false;
  bool failed_ = false;
  Error error_;
  AstModule module_;
  std::vector<Scope> scopes_;
  int32_t scope_ = 0;
  std::vector<PendingLabel> pending_;
};

const Name *Parser::lookup(std::string_view name) const {
  for (int32_t s = scope_; s >= 0; s = scopes_[s].parent) {
    auto it = scopes_[s].names.find(name);
    if (it != scopes_[s].names.end())
      return &it->second;
  }
  return nullptr;
}

/// Finds a register or makes it from a range; innermost scope first.
bool Parser::lookupRegister(AstKernel &kernel, std::string_view name, uint32_t &index) {
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9')
    --digits;
  uint64_t number = 0;
  bool hasNumber =
      digits < name.size() && name.size() - digits <= 9 && (name[digits] != '0' || name.size() - digits == 1);
  for (size_t i = digits; hasNumber && i < name.size(); ++i)
    number = number * 10 + (name[i] - '0');
  for (int32_t s = scope_; s >= 0; s = scopes_[s].parent) {
    auto it = scopes_[s].names.find(name);
    if (it != scopes_[s].names.end()) {
      index = it->second.index;
      return it->second.kind == Name::Reg;
    }
    if (!hasNumber)
      continue;
    for (const RegisterRange &range : scopes_[s].ranges) {
      if (range.prefix != name.substr(0, digits) || number >= range.count)
        continue;
      if (kernel.registers.size() >= maxRegisters)
        return fail("more than " + std::to_string(maxRegisters) + " registers in use");
      index = kernel.registers.size();
      kernel.registers.push_back({range.type, name});
      scopes_[s].names.emplace(name, Name{Name::Reg, index});
      return true;
    }
  }
  return false;
}

Result<AstModule> Parser::run() {
  if (text_.size() > maxTextBytes)
    return Error{ErrorCode::Unsupported, "PTX text of " + std::to_string(text_.size()) + " bytes; at most " +
                                             std::to_string(maxTextBytes) + " are read"};
  scopes_.emplace_back();
  if (!failed_ && header())
    while (!failed_ && token_.kind != Tok::End)
      moduleStatement();
  if (failed_)
    return error_;
  return std::move(module_);
}

bool Parser::header() {
  if (token_.kind != Tok::Dot || token_.text != "version")
    return fail("expected '.version' at the beginning of the module" + found());
  advance();
  if (token_.kind != Tok::F64)
    return fail("expected a version such as 8.0" + found());
  module_.version = token_.text;
  if (token_.text.size() > 4 || token_.text[0] < '7' || token_.text[1] != '.')
    return unsupported(token_.line, "PTX version " + std::string(token_.text.substr(0, 20)) + " (7.0 to 9.x are)");
  advance();
  if (token_.kind != Tok::Dot || token_.text != "target")
    return fail("expected '.target'" + found());
  advance();
  std::string_view target;
  if (!identifier(target))
    return false;
  if (target.substr(0, 3) != "sm_")
    return fail("unknown target '" + std::string(target) + "'");
  module_.target = target;
  while (token_.is(',')) {
    advance();
    std::string_view option;
    if (!identifier(option))
      return false;
    if (option != "debug" && option != "texmode_independent")
      return fail("unknown target option '" + std::string(option) + "'");
  }
  if (token_.kind != Tok::Dot || token_.text != "address_size")
    return fail("expected '.address_size'" + found());
  advance();
  uint64_t size;
  if (!integer(size))
    return false;
  if (size != 64)
    return unsupported(token_.line, "32-bit addresses");
  return true;
}

bool Parser::skipBraces() {
  uint64_t depth = 0;
  const uint32_t line = token_.line;
  do {
    if (token_.is('{'))
      ++depth;
    else if (token_.is('}'))
      --depth;
    else if (token_.kind == Tok::End)
      return fail(line, "'{' without '}'");
    advance();
  } while (!failed_ && depth > 0);
  return !failed_;
}

bool Parser::skipToSemicolon() {
  while (!failed_ && !token_.is(';')) {
    if (token_.kind == Tok::End)
      return fail("expected ';'" + found());
    advance();
  }
  return expect(';');
}

bool Parser::moduleStatement() {
  bool isExtern = false;
  while (token_.kind == Tok::Dot &&
         (token_.text == "visible" || token_.text == "weak" || token_.text == "extern" || token_.text == "common")) {
    isExtern |= token_.text == "extern";
    advance();
  }
  if (token_.kind != Tok::Dot)
    return fail("expected a directive" + found());
  const std::string_view name = token_.text;
  if (name == "entry") {
    advance();
    return entry(isExtern);
  }
  if (name == "func") {
    advance();
    return function();
  }
  if (name == "global" || name == "const" || name == "shared")
    return variable(nullptr, isExtern);
  if (name == "file") {
    // .file index "name" [, time, size]
    advance();
    while (!failed_ && (token_.kind == Tok::Int || token_.kind == Tok::String || token_.is(',')))
      advance();
    return !failed_;
  }
  if (name == "section") {
    advance();
    if (token_.kind != Tok::Dot && token_.kind != Tok::Ident)
      return fail("expected a section name" + found());
    advance();
    if (!token_.is('{'))
      return fail("expected '{'" + found());
    return skipBraces();
  }
  if (name == "pragma") {
    advance();
    return skipToSemicolon();
  }
  if (name == "tex" || name == "alias" || name == "samplerref" || name == "texref" || name == "surfref")
    return unsupported(token_.line, "directive '." + std::string(name) + "'");
  return fail("unknown directive '." + std::string(name.substr(0, 60)) + "'");
}

/// A device function is read past: calls to it are refused where they stand.
bool Parser::function() {
  while (!failed_ && !token_.is('{') && !token_.is(';')) {
    if (token_.kind == Tok::End)
      return fail("function without a body" + found());
    advance();
  }
  if (token_.is(';')) {
    advance();
    return !failed_;
  }
  return skipBraces();
}

bool Parser::dim3(Dim3 &dim) {
  uint32_t *out[3] = {&dim.x, &dim.y, &dim.z};
  for (int i = 0; i < 3; ++i) {
    uint64_t value;
    if (!integer(value))
      return false;
    if (value == 0 || value > 0x7fffffff)
      return fail("a dimension must lie between 1 and 2147483647");
    *out[i] = value;
    if (!token_.is(','))
      break;
    advance();
  }
  return !failed_;
}

bool Parser::parameters(AstKernel &kernel) {
  if (!token_.is('('))
    return true;
  advance();
  uint64_t offset = 0;
  while (!failed_ && !token_.is(')')) {
    if (token_.kind != Tok::Dot || token_.text != "param")
      return fail("expected '.param'" + found());
    advance();
    ParamInfo info;
    ScalarType type;
    uint64_t align = 0;
    while (!failed_ && token_.kind == Tok::Dot) {
      const std::string_view word = token_.text;
      if (word == "align") {
        advance();
        if (!integer(align))
          return false;
        // Behind .ptr it is the alignment of what is pointed to.
      } else if (word == "ptr") {
        advance();
        if (token_.kind == Tok::Dot &&
            (token_.text == "global" || token_.text == "shared" || token_.text == "const" || token_.text == "local"))
          advance();
        if (token_.kind == Tok::Dot && token_.text == "align") {
          advance();
          uint64_t pointee;
          if (!integer(pointee))
            return false;
        }
      } else if (ScalarType t = scalarType(word); t && !type) {
        type = t;
        info.type = word;
        advance();
      } else {
        return fail("unknown parameter attribute '." + std::string(word.substr(0, 60)) + "'");
      }
    }
    std::string_view name;
    const uint32_t line = token_.line;
    if (!identifier(name))
      return false;
    if (!type || type.kind == 'p')
      return fail(line, "a parameter needs a type");
    uint64_t count = 1;
    if (token_.is('[')) {
      advance();
      if (!integer(count) || !expect(']'))
        return false;
      if (count == 0 || count > maxParamBytes)
        return fail(line, "a parameter array must have between 1 and " + std::to_string(maxParamBytes) + " elements");
    }
    if (align == 0)
      align = type.bytes();
    if (align > 4096 || (align & (align - 1)))
      return fail(line, "alignment must be a power of two up to 4096");
    offset = (offset + align - 1) / align * align;
    if (offset + count * type.bytes() > maxParamBytes)
      return fail(line, "parameters take more than " + std::to_string(maxParamBytes) + " bytes");
    info.name = name;
    info.offset = offset;
    info.size = count * type.bytes();
    info.align = align;
    offset += info.size;
    if (!declare(name, {Name::Param, uint32_t(kernel.info.params.size())}, line))
      return false;
    kernel.info.params.push_back(std::move(info));
    if (token_.is(','))
      advance();
    else if (!token_.is(')'))
      return fail("expected ',' or ')'" + found());
  }
  kernel.info.paramBytes = offset;
  return expect(')');
}

bool Parser::entry(bool isExtern) {
  AstKernel kernel;
  kernel.line = token_.line;
  std::string_view name;
  if (!identifier(name))
    return false;
  kernel.info.name = name;
  for (const AstKernel &other : module_.kernels)
    if (other.info.name == name)
      return fail(kernel.line, "kernel '" + std::string(name) + "' is defined twice");
  // Function scope: parameters and what the body declares outermost.
  scopes_.resize(1);
  scopes_.push_back({0, {}, {}});
  scope_ = 1;
  pending_.clear();
  if (!parameters(kernel))
    return false;
  while (!failed_ && token_.kind == Tok::Dot) {
    const std::string_view word = token_.text;
    const uint32_t line = token_.line;
    advance();
    Dim3 dim;
    uint64_t value;
    if (word == "reqntid") {
      if (!dim3(dim))
        return false;
      kernel.info.reqntid = dim;
    } else if (word == "maxntid") {
      if (!dim3(dim))
        return false;
      kernel.info.maxntid = dim;
    } else if (word == "minnctapersm" || word == "maxnreg" || word == "maxnctapersm") {
      if (!integer(value))
        return false;
    } else if (word == "explicitcluster") {
      return unsupported(line, "clusters");
    } else if (word == "reqnctapercluster" || word == "maxclusterrank") {
      if (!dim3(dim))
        return false;
      if (dim.count() != 1)
        return unsupported(line, "clusters of more than one CTA");
    } else if (word == "pragma") {
      if (!skipToSemicolon())
        return false;
    } else {
      return fail(line, "unknown entry directive '." + std::string(word.substr(0, 60)) + "'");
    }
  }
  if (token_.is(';')) {
    advance();
    return !failed_;
  }
  if (isExtern)
    return fail("an external entry has no body");
  if (!body(kernel))
    return false;
  scope_ = 0;
  kernel.info.instructions = kernel.body.size();
  kernel.info.registers = kernel.registers.size();
  module_.kernels.push_back(std::move(kernel));
  return true;
}

bool Parser::body(AstKernel &kernel) {
  const uint32_t line = token_.line;
  if (!expect('{'))
    return false;
  uint32_t depth = 1;
  while (!failed_) {
    if (token_.is('{')) {
      if (scopes_.size() >= maxScopes)
        return fail("more than " + std::to_string(maxScopes) + " blocks");
      scopes_.push_back({scope_, {}, {}});
      scope_ = scopes_.size() - 1;
      ++depth;
      advance();
    } else if (token_.is('}')) {
      // The module's next token is read before the depth is known to be 0; that is harmless.
      advance();
      if (--depth == 0)
        return !failed_ && resolveLabels(kernel);
      scope_ = scopes_[scope_].parent;
    } else if (token_.kind == Tok::End) {
      return fail(line, "'{' without '}'");
    } else if (!statement(kernel)) {
      return false;
    }
  }
  return false;
}

bool Parser::resolveLabels(AstKernel &kernel) {
  for (const PendingLabel &p : pending_) {
    const Name *found = nullptr;
    for (int32_t s = p.scope; s >= 0 && !found; s = scopes_[s].parent) {
      auto it = scopes_[s].names.find(p.name);
      if (it != scopes_[s].names.end())
        found = &it->second;
    }
    if (!found || (found->kind != Name::Label && found->kind != Name::TargetList))
      return fail(p.line, "unknown name '" + std::string(p.name.substr(0, 80)) + "'");
    if (p.list >= 0) {
      if (found->kind != Name::Label)
        return fail(p.line, "'" + std::string(p.name.substr(0, 80)) + "' is no label");
      kernel.branchTargets[p.list][p.operand] = found->index;
    } else {
      Operand &operand = kernel.operands[p.operand];
      operand.kind = Operand::Label;
      operand.index = found->index;
      operand.moduleVar = found->kind == Name::TargetList;
    }
  }
  return true;
}

bool Parser::registers(AstKernel &kernel) {
  // .reg .type name, name<count>, ...;
  if (token_.kind != Tok::Dot)
    return fail("expected a register type" + found());
  if (token_.text == "v2" || token_.text == "v4")
    return unsupported(token_.line, "vector registers");
  ScalarType type = scalarType(token_.text);
  if (!type || type.bits == 8)
    return fail("unknown register type '." + std::string(token_.text.substr(0, 60)) + "'");
  if (type.bits == 128)
    return unsupported(token_.line, "128-bit registers");
  advance();
  for (;;) {
    std::string_view name;
    const uint32_t line = token_.line;
    if (!identifier(name))
      return false;
    if (token_.is('<')) {
      advance();
      uint64_t count;
      if (!integer(count) || !expect('>'))
        return false;
      scopes_[scope_].ranges.push_back({name, count, type});
    } else {
      if (kernel.registers.size() >= maxRegisters)
        return fail("more than " + std::to_string(maxRegisters) + " registers in use");
      if (!declare(name, {Name::Reg, uint32_t(kernel.registers.size())}, line))
        return false;
      kernel.registers.push_back({type, name});
    }
    if (!token_.is(','))
      return expect(';');
    advance();
  }
}

bool Parser::initialiser(Variable &v) {
  const bool braces = token_.is('{');
  if (braces)
    advance();
  const uint32_t step = v.type.bytes();
  while (!failed_ && !token_.is('}') && !token_.is(';')) {
    uint64_t bits = 0;
    bool negative = false;
    if (token_.is('-')) {
      negative = true;
      advance();
    }
    if (token_.is('{'))
      return unsupported(token_.line, "nested initialisers");
    if (token_.kind == Tok::Ident)
      return unsupported(token_.line, "initialisers with addresses");
    if (token_.kind == Tok::Int) {
      bits = token_.bits;
      if (v.type.kind == 'f')
        return fail("a whole number initialises a floating-point variable");
      if (negative)
        bits = 0 - bits;
    } else if (token_.kind == Tok::F32 || token_.kind == Tok::F64) {
      if (v.type.kind != 'f' || v.type.bits != (token_.kind == Tok::F32 ? 32 : 64))
        return fail("initialiser of another type");
      bits = token_.bits;
      if (negative)
        bits ^= 1ull << (v.type.bits - 1);
    } else {
      return fail("expected a value" + found());
    }
    advance();
    if (v.init.size() + step > v.bytes)
      return fail("more values than elements");
    const size_t at = v.init.size();
    v.init.resize(at + step);
    std::memcpy(v.init.data() + at, &bits, step);
    if (!token_.is(','))
      break;
    if (!braces)
      break;
    advance();
  }
  return braces ? expect('}') : !failed_;
}

/// .shared/.global/.const/.local/.param [.align N] .type name[count] [= init];
bool Parser::variable(AstKernel *kernel, bool isExtern) {
  Variable v;
  v.isExtern = isExtern;
  v.line = token_.line;
  const std::string_view space = token_.text;
  v.space = space == "shared"  ? Space::Shared
            : space == "const" ? Space::Const
            : space == "local" ? Space::Local
                               : Space::Global;
  advance();
  uint64_t align = 0;
  while (!failed_ && token_.kind == Tok::Dot) {
    if (token_.text == "align") {
      advance();
      if (!integer(align))
        return false;
      if (align == 0 || align > 65536 || (align & (align - 1)))
        return fail(v.line, "alignment must be a power of two up to 65536");
    } else if (token_.text == "attribute" || token_.text == "managed") {
      return unsupported(token_.line, "variable attributes");
    } else if (token_.text == "v2" || token_.text == "v4") {
      return unsupported(token_.line, "vector variables");
    } else if (ScalarType t = scalarType(token_.text); t && t.kind != 'p' && !v.type) {
      v.type = t;
      advance();
    } else {
      return fail("unknown variable attribute '." + std::string(token_.text.substr(0, 60)) + "'");
    }
  }
  if (!v.type)
    return fail(v.line, "a variable needs a type");
  for (;;) {
    Variable one = v;
    std::string_view name;
    if (!identifier(name))
      return false;
    one.name = name;
    uint64_t count = 1;
    bool unsized = false;
    while (!failed_ && token_.is('[')) {
      advance();
      if (token_.is(']')) {
        unsized = true;
      } else {
        uint64_t n;
        if (!integer(n))
          return false;
        if (n > maxVariableBytes || (n && count > maxVariableBytes / n))
          return fail(v.line, "an array of more than " + std::to_string(maxVariableBytes) + " bytes");
        count *= n;
      }
      if (!expect(']'))
        return false;
    }
    if (count * one.type.bytes() > maxVariableBytes)
      return fail(v.line, "an array of more than " + std::to_string(maxVariableBytes) + " bytes");
    if (unsized && !(isExtern && one.space == Space::Shared))
      return fail(v.line, "only external shared arrays may leave out their size");
    if (isExtern && one.space != Space::Shared)
      return unsupported(v.line, "external variables");
    one.bytes = unsized || isExtern ? 0 : count * one.type.bytes();
    if (one.bytes == 0 && !isExtern)
      return fail(v.line, "an array without elements");
    one.align = align ? align : one.type.bytes();
    if (token_.is('=')) {
      if (one.space == Space::Shared || one.space == Space::Local)
        return fail("shared and local variables have no initialisers");
      advance();
      if (!initialiser(one))
        return false;
    }
    std::vector<Variable> &list = kernel ? kernel->variables : module_.variables;
    if (!declare(name, {kernel ? Name::Var : Name::ModuleVar, uint32_t(list.size())}, v.line))
      return false;
    list.push_back(std::move(one));
    if (!token_.is(','))
      return expect(';');
    advance();
  }
}

bool Parser::nameOperand(AstKernel &kernel, std::string_view name, uint32_t line, Operand &out) {
  uint32_t index;
  if (lookupRegister(kernel, name, index)) {
    out.kind = Operand::Reg;
    out.index = index;
    return true;
  }
  if (failed_)
    return false;
  if (const Name *found = lookup(name); found && found->kind != Name::Label && found->kind != Name::TargetList) {
    out.kind = found->kind == Name::Param ? Operand::KernelParam : Operand::Var;
    out.moduleVar = found->kind == Name::ModuleVar;
    out.index = found->index;
    return true;
  }
  if (name[0] == '%') {
    // What follows '%' and is no register is a special register, with a component perhaps.
    out.kind = Operand::Special;
    out.name = name;
    if (token_.kind == Tok::Dot && (token_.text == "x" || token_.text == "y" || token_.text == "z")) {
      out.offset = token_.text[0] - 'x' + 1;
      advance();
    }
    return !failed_;
  }
  if (name == "WARP_SZ") {
    out.kind = Operand::Int;
    out.bits = 32;
    return true;
  }
  return fail(line, "unknown name '" + std::string(name.substr(0, 80)) + "'");
}

bool Parser::address(AstKernel &kernel, Operand &out) {
  out.kind = Operand::Address;
  advance(); // [
  Operand base;
  const uint32_t line = token_.line;
  if (token_.kind == Tok::Ident) {
    std::string_view name = token_.text;
    advance();
    if (!nameOperand(kernel, name, line, base))
      return false;
    if (base.kind == Operand::Special)
      return fail(line, "unknown register '" + std::string(name.substr(0, 80)) + "'");
  } else if (token_.kind == Tok::Int || token_.is('-')) {
    base.kind = Operand::Int;
    if (!integer(base.bits, true))
      return false;
  } else {
    return fail("expected an address" + found());
  }
  if (token_.is('+') || token_.is('-')) {
    const bool minus = token_.is('-');
    advance();
    uint64_t offset;
    if (!integer(offset, true))
      return false;
    out.offset = minus ? int64_t(0 - offset) : int64_t(offset);
  }
  if (token_.is(','))
    return unsupported(line, "tensor coordinates in an address");
  out.first = kernel.operands.size();
  out.count = 1;
  kernel.operands.push_back(base);
  return expect(']');
}

bool Parser::operand(AstKernel &kernel, Operand &out, bool nested, const Statement &s) {
  const uint32_t line = token_.line;
  if (token_.is('['))
    return address(kernel, out);
  if (token_.is('{')) {
    if (nested)
      return fail("a vector inside a vector");
    advance();
    std::vector<Operand> elements;
    while (!failed_ && !token_.is('}')) {
      Operand element;
      if (!operand(kernel, element, true, s))
        return false;
      if (elements.size() >= 8)
        return fail(line, "a vector of more than 8 elements");
      elements.push_back(element);
      if (token_.is(','))
        advance();
      else if (!token_.is('}'))
        return fail("expected ',' or '}'" + found());
    }
    if (!expect('}'))
      return false;
    if (elements.empty())
      return fail(line, "an empty vector");
    out.kind = Operand::Vector;
    out.first = kernel.operands.size();
    out.count = elements.size();
    kernel.operands.insert(kernel.operands.end(), elements.begin(), elements.end());
    return true;
  }
  if (token_.is('!')) {
    advance();
    out.negated = true;
    std::string_view name;
    if (!identifier(name))
      return false;
    if (!nameOperand(kernel, name, line, out))
      return false;
    return out.kind == Operand::Reg || fail(line, "'!' stands before predicates only");
  }
  if (token_.is('-') || token_.kind == Tok::Int || token_.kind == Tok::F32 || token_.kind == Tok::F64) {
    bool negative = token_.is('-');
    if (negative)
      advance();
    if (token_.kind == Tok::Int) {
      out.kind = Operand::Int;
      out.bits = negative ? 0 - token_.bits : token_.bits;
    } else if (token_.kind == Tok::F32) {
      out.kind = Operand::Float32;
      out.bits = token_.bits ^ (negative ? 0x80000000u : 0);
    } else if (token_.kind == Tok::F64) {
      out.kind = Operand::Float64;
      out.bits = token_.bits ^ (negative ? 1ull << 63 : 0);
    } else {
      return fail("expected a number" + found());
    }
    advance();
    return !failed_;
  }
  std::string_view name;
  if (!identifier(name))
    return false;
  if (name == "_") {
    out.kind = Operand::Sink;
  } else if ((s.opcode == "bra" || s.opcode == "brx") && name[0] != '%' && !lookupRegister(kernel, name, out.index)) {
    if (failed_)
      return false;
    // Labels may stand later in the text: resolved at the end of the body. The slot is set by the caller.
    out.kind = Operand::Label;
    out.name = name;
    return true;
  } else if (!nameOperand(kernel, name, line, out)) {
    return false;
  }
  if (token_.is('|') && !nested) {
    advance();
    Operand first = out, second;
    if (!operand(kernel, second, true, s))
      return false;
    out = {};
    out.kind = Operand::Pair;
    out.first = kernel.operands.size();
    out.count = 2;
    kernel.operands.push_back(first);
    kernel.operands.push_back(second);
    return true;
  }
  if (token_.is('+') && (out.kind == Operand::Var || out.kind == Operand::KernelParam)) {
    advance();
    uint64_t offset;
    if (!integer(offset, true))
      return false;
    out.offset = int64_t(offset);
  }
  return !failed_;
}

bool Parser::statement(AstKernel &kernel) {
  const uint32_t line = token_.line;
  if (token_.kind == Tok::Dot) {
    const std::string_view word = token_.text;
    if (word == "reg") {
      advance();
      return registers(kernel);
    }
    if (word == "shared" || word == "local" || word == "global" || word == "const")
      return variable(&kernel);
    if (word == "param")
      return unsupported(line, "calls of functions ('.param' in a body)");
    if (word == "pragma") {
      advance();
      return skipToSemicolon();
    }
    if (word == "loc") {
      // .loc file line column [, function_name label, inlined_at file line column]: what follows ends with its line.
      advance();
      for (int n = 0; n < 3; ++n) {
        uint64_t value;
        if (!integer(value))
          return false;
      }
      while (!failed_ && token_.line == line && token_.kind != Tok::End)
        advance();
      return !failed_;
    }
    if (word == "callprototype" || word == "calltargets")
      return unsupported(line, "calls of functions");
    return fail("unknown directive '." + std::string(word.substr(0, 60)) + "'");
  }
  Statement s;
  s.line = line;
  if (token_.is('@')) {
    advance();
    if (token_.is('!')) {
      s.guardNegated = true;
      advance();
    }
    std::string_view name;
    if (!identifier(name))
      return false;
    uint32_t index;
    if (!lookupRegister(kernel, name, index))
      return fail(line, "unknown predicate '" + std::string(name.substr(0, 80)) + "'");
    if (kernel.registers[index].type.kind != 'p')
      return fail(line, "'" + std::string(name.substr(0, 80)) + "' is no predicate");
    s.guard = index;
  }
  if (token_.kind != Tok::Ident)
    return fail("expected an instruction" + found());
  if (s.guard < 0 && ahead().is(':')) {
    const std::string_view name = token_.text;
    advance();
    advance();
    if (token_.kind == Tok::Dot && token_.text == "branchtargets") {
      advance();
      if (!declare(name, {Name::TargetList, uint32_t(kernel.branchTargets.size())}, line))
        return false;
      kernel.branchTargets.emplace_back();
      for (;;) {
        std::string_view target;
        if (!identifier(target))
          return false;
        auto &list = kernel.branchTargets.back();
        pending_.push_back(
            {uint32_t(list.size()), int32_t(kernel.branchTargets.size() - 1), uint32_t(scope_), target, line});
        list.push_back(0);
        if (!token_.is(','))
          return expect(';');
        advance();
      }
    }
    return declare(name, {Name::Label, uint32_t(kernel.body.size())}, line);
  }
  s.line = token_.line;
  s.opcode = token_.text;
  advance();
  s.firstMod = kernel.mods.size();
  while (!failed_ && token_.kind == Tok::Dot) {
    kernel.mods.push_back(token_.text);
    advance();
  }
  s.modCount = kernel.mods.size() - s.firstMod;
  if (s.opcode == "call")
    return unsupported(s.line, "calls of functions");
  static constexpr std::string_view notModelled[] = {"mbarrier",
                                                     "wgmma",
                                                     "tcgen05",
                                                     "multimem",
                                                     "tex",
                                                     "tld4",
                                                     "suld",
                                                     "sust",
                                                     "sured",
                                                     "txq",
                                                     "suq",
                                                     "wmma",
                                                     "mapa",
                                                     "getctarank",
                                                     "istypep",
                                                     "alloca",
                                                     "stacksave",
                                                     "stackrestore",
                                                     "vadd",
                                                     "setmaxnreg",
                                                     "griddepcontrol",
                                                     "clusterlaunchcontrol",
                                                     "tensormap",
                                                     "cp_async",
                                                     "dp2a",
                                                     "vset",
                                                     "vmad"};
  if (std::find(std::begin(notModelled), std::end(notModelled), s.opcode) != std::end(notModelled))
    return unsupported(s.line, "instruction '" + std::string(s.opcode) + "'");
  if (s.opcode == "cp")
    for (uint32_t i = 0; i < s.modCount; ++i)
      if (std::string_view m = kernel.mods[s.firstMod + i]; m == "bulk" || m == "mbarrier")
        return unsupported(s.line, "instruction 'cp.async." + std::string(m) + "'");
  if (s.opcode == "fence")
    for (uint32_t i = 0; i < s.modCount; ++i)
      if (kernel.mods[s.firstMod + i] == "tensormap::generic")
        return unsupported(s.line, "tensor map proxies");
  std::vector<Operand> operands;
  while (!failed_ && !token_.is(';')) {
    Operand o;
    if (token_.is('('))
      return fail("unexpected '('");
    if (!operand(kernel, o, false, s))
      return false;
    if (operands.size() >= 16)
      return fail(line, "more than 16 operands");
    operands.push_back(o);
    if (token_.is(',')) {
      advance();
      if (token_.is(';'))
        return fail("an operand is missing");
    } else if (!token_.is(';')) {
      return fail("expected ',' or ';'" + found());
    }
  }
  if (!expect(';'))
    return false;
  s.firstOperand = kernel.operands.size();
  s.operandCount = operands.size();
  kernel.operands.insert(kernel.operands.end(), operands.begin(), operands.end());
  for (uint32_t i = 0; i < s.operandCount; ++i)
    if (operands[i].kind == Operand::Label)
      pending_.push_back({s.firstOperand + i, -1, uint32_t(scope_), operands[i].name, s.line});
  kernel.body.push_back(s);
  return true;
}

} // namespace

ScalarType scalarType(std::string_view n) {
  static const std::unordered_map<std::string_view, ScalarType> table = {{"pred", {'p', 1}},
                                                                         {"b8", {'b', 8}},
                                                                         {"b16", {'b', 16}},
                                                                         {"b32", {'b', 32}},
                                                                         {"b64", {'b', 64}},
                                                                         {"b128", {'b', 128}},
                                                                         {"u8", {'u', 8}},
                                                                         {"u16", {'u', 16}},
                                                                         {"u32", {'u', 32}},
                                                                         {"u64", {'u', 64}},
                                                                         {"s8", {'s', 8}},
                                                                         {"s16", {'s', 16}},
                                                                         {"s32", {'s', 32}},
                                                                         {"s64", {'s', 64}},
                                                                         {"f16", {'f', 16}},
                                                                         {"f32", {'f', 32}},
                                                                         {"f64", {'f', 64}},
                                                                         {"bf16", {'h', 16}},
                                                                         {"f16x2", {'f', 32, true}},
                                                                         {"bf16x2", {'h', 32, true}},
                                                                         {"tf32", {'f', 32, false, true}}};
  auto it = table.find(n);
  return it == table.end() ? ScalarType{} : it->second;
}

Result<AstModule> parseModule(std::string_view text) { return Parser(text).run(); }

} // namespace fovea::emulator
