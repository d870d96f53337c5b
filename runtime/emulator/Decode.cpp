// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operand typing, slot assignment and variable placement; the driver that decodes a module.
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Lexer.h"

#include <algorithm>
#include <cstring>

namespace fovea::emulator {

namespace {

constexpr uint64_t maxSharedBytes = 227 * 1024;
constexpr uint64_t maxLocalBytes = 512 * 1024;
constexpr uint64_t maxGlobalBytes = 256u << 20;
constexpr size_t maxPool = 1u << 24;
constexpr size_t maxInstructions = 1u << 18;  // of one kernel
constexpr uint64_t maxImageBytes = 64u << 20; // register file of one warp

const std::unordered_map<std::string_view, DecodeFunction> &opcodeTable() {
  static const auto table = [] {
    std::unordered_map<std::string_view, DecodeFunction> map;
    for (OpcodeTable t : {integerOpcodes(), floatOpcodes(), convertOpcodes(), memoryOpcodes(), asyncOpcodes(),
                          warpOpcodes(), tensorOpcodes(), controlOpcodes()})
      for (size_t i = 0; i < t.count; ++i)
        map.emplace(t.entries[i].name, t.entries[i].decode);
    return map;
  }();
  return table;
}

/// Bits go with everything of the same width; signedness is free; floats, bf16 and integers do not mix.
bool compatible(ScalarType instruction, ScalarType reg) {
  auto group = [](ScalarType t) { return t.kind == 'u' || t.kind == 's' ? 'i' : t.kind; };
  return instruction.kind == 'b' || reg.kind == 'b' || group(instruction) == group(reg);
}

std::string typeName(ScalarType t) {
  if (t.kind == 'p')
    return ".pred";
  if (t.tf32)
    return ".tf32";
  if (t.packed)
    return t.kind == 'h' ? ".bf16x2" : ".f16x2";
  return std::string(t.kind == 'h' ? ".bf" : std::string(".") + t.kind) + std::to_string(t.bits);
}

uint64_t alignUp(uint64_t value, uint64_t align) { return (value + align - 1) / align * align; }

} // namespace

Decoder::Decoder(const AstModule &ast, const AstKernel &source, ModuleImpl &module, Kernel &kernel)
    : ast_(ast), source_(source), module_(module), kernel_(kernel), slots_(source.registers.size()),
      moduleVarAddress_(ast.variables.size(), -1), kernelVarAddress_(source.variables.size(), -1) {}

bool Decoder::fail(const std::string &message, ErrorCode code) {
  if (failed_)
    return false;
  failed_ = true;
  const uint32_t line = statement ? statement->line : source_.line;
  error_ = {code, "PTX line " + std::to_string(line) + ": " + message + ": `" + lineText(module_.text, line) + "`"};
  return false;
}

bool Decoder::take(std::string_view name) {
  if (cursor_ < statement->modCount && source_.mods[statement->firstMod + cursor_] == name) {
    ++cursor_;
    return true;
  }
  return false;
}

std::string_view Decoder::takeAny(std::initializer_list<std::string_view> names) {
  for (std::string_view name : names)
    if (take(name))
      return name;
  return {};
}

ScalarType Decoder::lastType() const {
  return statement->modCount ? scalarType(source_.mods[statement->firstMod + statement->modCount - 1]) : ScalarType{};
}

std::string_view Decoder::lastModifier() const {
  return statement->modCount ? source_.mods[statement->firstMod + statement->modCount - 1] : std::string_view();
}

ScalarType Decoder::type(std::string_view allowed) {
  if (cursor_ >= statement->modCount) {
    fail("'" + std::string(statement->opcode) + "' lacks a type");
    return {};
  }
  std::string_view mod = source_.mods[statement->firstMod + cursor_];
  for (size_t at = 0; at < allowed.size();) {
    size_t end = std::min(allowed.find(' ', at), allowed.size());
    if (allowed.substr(at, end - at) == mod) {
      ++cursor_;
      return scalarType(mod);
    }
    at = end + 1;
  }
  fail("unknown modifier or type '." + std::string(mod.substr(0, 60)) + "' of '" + std::string(statement->opcode) +
       "'");
  return {};
}

bool Decoder::finish() {
  if (failed_)
    return false;
  if (cursor_ < statement->modCount)
    return fail("unknown modifier '." + std::string(source_.mods[statement->firstMod + cursor_].substr(0, 60)) +
                "' of '" + std::string(statement->opcode) + "'");
  return true;
}

bool Decoder::arity(uint32_t least, uint32_t most) {
  if (!finish())
    return false;
  if (statement->operandCount < least || statement->operandCount > most)
    return fail("'" + std::string(statement->opcode) + "' takes " + std::to_string(least) +
                (most != least ? " to " + std::to_string(most) : "") + " operands, not " +
                std::to_string(statement->operandCount));
  return true;
}

int32_t Decoder::newSlot(bool wide) {
  const size_t at = kernel_.image.size(), bytes = wide ? 256 : 128;
  if (at + bytes > maxImageBytes) {
    fail("the kernel uses too many registers", ErrorCode::Unsupported);
    return 0;
  }
  kernel_.image.resize(at + bytes);
  return int32_t(at);
}

int32_t Decoder::registerSlot(uint32_t index) {
  Slot &slot = slots_[index];
  if (slot.offset >= 0)
    return slot.offset;
  const Register &reg = source_.registers[index];
  if (reg.type.kind == 'p') {
    slot.offset = kernel_.predicates.size();
    kernel_.predicates.push_back(0);
    kernel_.names[uint32_t(slot.offset) | predicateDep] = reg.name;
  } else {
    slot.offset = newSlot(reg.type.bits == 64);
    kernel_.names[uint32_t(slot.offset) / 128] = reg.name;
  }
  return slot.offset;
}

int32_t Decoder::constant(uint64_t bits, bool wide) {
  auto &map = wide ? constants64_ : constants32_;
  if (!wide)
    bits &= 0xffffffffu;
  auto it = map.find(bits);
  if (it != map.end())
    return it->second;
  const int32_t offset = newSlot(wide);
  if (failed_)
    return 0;
  for (int lane = 0; lane < 32; ++lane)
    if (wide)
      std::memcpy(kernel_.image.data() + offset + lane * 8, &bits, 8);
    else
      std::memcpy(kernel_.image.data() + offset + lane * 4, &bits, 4);
  map.emplace(bits, offset);
  return offset;
}

int32_t Decoder::truePredicate() {
  if (truePredicate_ < 0) {
    truePredicate_ = kernel_.predicates.size();
    kernel_.predicates.push_back(~0u);
  }
  return truePredicate_ * 2;
}

int32_t Decoder::carryPredicate(bool read, bool write) {
  if (carry_ < 0) {
    carry_ = kernel_.predicates.size();
    kernel_.predicates.push_back(0);
    kernel_.names[uint32_t(carry_) | predicateDep] = "CC.CF";
  }
  if (read)
    sourceDep(uint32_t(carry_) | predicateDep);
  if (write)
    destinationDep(uint32_t(carry_) | predicateDep);
  return carry_ * 2;
}

uint32_t Decoder::pool(int32_t value) {
  if (kernel_.pool.size() >= maxPool) {
    fail("the kernel's vectors and branch tables are too large", ErrorCode::Unsupported);
    return 0;
  }
  kernel_.pool.push_back(value);
  return kernel_.pool.size() - 1;
}

void Decoder::sourceDep(uint32_t dep) { sourceDeps_.push_back(dep); }
void Decoder::destinationDep(uint32_t dep) { destinationDeps_.push_back(dep); }

/// Places a variable on first use and gives its address in its own space.
bool Decoder::variableAddress(const Operand &o, uint64_t &value) {
  if (o.kind == Operand::KernelParam) {
    value = source_.info.params[o.index].offset + o.offset;
    return true;
  }
  const Variable &v = o.moduleVar ? ast_.variables[o.index] : source_.variables[o.index];
  int64_t &address = (o.moduleVar ? moduleVarAddress_ : kernelVarAddress_)[o.index];
  if (address < 0) {
    if (v.space == Space::Shared && v.bytes == 0) {
      address = -2; // behind all sized arrays: known at the end
    } else if (v.space == Space::Shared) {
      const uint64_t at = alignUp(kernel_.sharedBytes, v.align);
      if (at + v.bytes > maxSharedBytes)
        return fail("shared memory of more than " + std::to_string(maxSharedBytes) + " bytes");
      address = sharedBase + at;
      kernel_.sharedBytes = at + v.bytes;
      kernel_.shared.push_back({v.name, uint64_t(address), v.bytes});
    } else if (v.space == Space::Local) {
      const uint64_t at = alignUp(kernel_.info.localBytes, v.align);
      if (at + v.bytes > maxLocalBytes)
        return fail("local memory of more than " + std::to_string(maxLocalBytes) + " bytes per thread");
      address = localBase + at;
      kernel_.info.localBytes = at + v.bytes;
      kernel_.local.push_back({v.name, uint64_t(address), v.bytes});
    } else {
      // Module variables are one object for all kernels of the module, so their place depends on the declaration alone.
      for (const PlacedVariable &placed : module_.globals)
        if (o.moduleVar && placed.name == v.name)
          address = placed.address;
      if (address < 0)
        return fail("variables of this space inside a function are not supported", ErrorCode::Unsupported);
    }
  }
  value = uint64_t(address) + o.offset;
  return true;
}

int32_t Decoder::specialSlot(const Operand &o, uint32_t bits) {
  struct Entry {
    std::string_view name;
    Special which;
  };
  static constexpr Entry vectors[] = {
      {"%tid", Special::TidX}, {"%ntid", Special::NtidX}, {"%ctaid", Special::CtaidX}, {"%nctaid", Special::NctaidX}};
  static constexpr Entry scalars[] = {{"%laneid", Special::LaneId},
                                      {"%warpid", Special::WarpId},
                                      {"%nwarpid", Special::NwarpId},
                                      {"%smid", Special::SmId},
                                      {"%nsmid", Special::NsmId},
                                      {"%gridid", Special::GridId},
                                      {"%lanemask_eq", Special::LanemaskEq},
                                      {"%lanemask_le", Special::LanemaskLe},
                                      {"%lanemask_lt", Special::LanemaskLt},
                                      {"%lanemask_ge", Special::LanemaskGe},
                                      {"%lanemask_gt", Special::LanemaskGt},
                                      {"%dynamic_smem_size", Special::DynamicSmem},
                                      {"%total_smem_size", Special::TotalSmem},
                                      {"%cluster_nctarank", Special::One},
                                      {"%cluster_ctarank", Special::Zero}};
  static constexpr Entry clusters[] = {{"%cluster_ctaid", Special::Zero}, {"%cluster_nctaid", Special::One}};
  int which = -1;
  for (const Entry &e : vectors)
    if (e.name == o.name && o.offset)
      which = int(e.which) + int(o.offset) - 1;
  for (const Entry &e : clusters)
    if (e.name == o.name && o.offset)
      which = int(e.which);
  for (const Entry &e : scalars)
    if (e.name == o.name && !o.offset)
      which = int(e.which);
  if (o.name == "%clusterid" && o.offset)
    which = int(Special::CtaidX) + int(o.offset) - 1;
  if (o.name == "%nclusterid" && o.offset)
    which = int(Special::NctaidX) + int(o.offset) - 1;
  if (which < 0) {
    fail("unknown register '" + std::string(o.name.substr(0, 60)) +
         (o.offset ? std::string(".") + char('w' + o.offset) : "") + "'");
    return 0;
  }
  const bool wide = bits == 64;
  const uint32_t key = which * 2 + wide;
  auto it = specials_.find(key);
  if (it != specials_.end())
    return it->second;
  const int32_t offset = newSlot(wide);
  kernel_.specials.push_back({Special(which), offset, wide});
  specials_.emplace(key, offset);
  return offset;
}

int32_t Decoder::sourceWider(const Operand &o, ScalarType type, uint8_t &bits) {
  bits = type.bits == 8 ? 16 : type.bits;
  if (failed_)
    return 0;
  if (o.negated) {
    fail("'!' stands before predicates only");
    return 0;
  }
  switch (o.kind) {
  case Operand::Reg: {
    const Register &reg = source_.registers[o.index];
    if (reg.type.kind == 'p' || reg.type.bits < type.bits || (type.bits == 8 && reg.type.bits < 16)) {
      fail("register '" + std::string(reg.name) + "' of type " + typeName(reg.type) + " where " + typeName(type) +
           " or wider is expected");
      return 0;
    }
    bits = reg.type.bits;
    const int32_t slot = registerSlot(o.index);
    sourceDep(uint32_t(slot) / 128);
    return slot;
  }
  default:
    return source(o, type.bits == 8 ? ScalarType{type.kind, 16} : type);
  }
}

int32_t Decoder::source(const Operand &o, ScalarType type) {
  if (failed_)
    return 0;
  if (o.negated) {
    fail("'!' stands before predicates only");
    return 0;
  }
  const bool wide = type.bits == 64;
  switch (o.kind) {
  case Operand::Reg: {
    const Register &reg = source_.registers[o.index];
    if (reg.type.bits != type.bits || (reg.type.kind == 'p') != (type.kind == 'p') || !compatible(type, reg.type)) {
      fail("register '" + std::string(reg.name) + "' of type " + typeName(reg.type) + " where " + typeName(type) +
           " is expected");
      return 0;
    }
    const int32_t slot = registerSlot(o.index);
    sourceDep(uint32_t(slot) / 128);
    return slot;
  }
  case Operand::Int: {
    if (type.kind == 'f' || type.kind == 'h') {
      fail("a whole number where " + typeName(type) + " is expected");
      return 0;
    }
    const int64_t value = int64_t(o.bits);
    if (type.bits < 64 && (value >= (1ll << type.bits) || value < -(1ll << (type.bits - 1)))) {
      // ptxas truncates 32-bit immediates; a 64-bit one in a narrower place is a mistake worth naming.
      if (type.bits < 32 ? (value > 0xffff || value < -0x8000) : (value > 0xffffffffll || value < -0x80000000ll)) {
        fail("the number does not fit " + typeName(type));
        return 0;
      }
    }
    return constant(type.bits == 16 ? o.bits & 0xffff : o.bits, wide);
  }
  case Operand::Float32:
    if (type.bits != 32 || type.packed || (type.kind != 'f' && type.kind != 'b')) {
      fail("a 32-bit floating-point number where " + typeName(type) + " is expected");
      return 0;
    }
    return constant(o.bits, false);
  case Operand::Float64:
    if (type.kind == 'f' && type.bits == 32 && !type.packed) {
      double d;
      std::memcpy(&d, &o.bits, 8);
      const float f = float(d);
      uint32_t bits;
      std::memcpy(&bits, &f, 4);
      return constant(bits, false);
    }
    if (type.bits != 64 || (type.kind != 'f' && type.kind != 'b')) {
      fail("a 64-bit floating-point number where " + typeName(type) + " is expected");
      return 0;
    }
    return constant(o.bits, true);
  case Operand::Var:
  case Operand::KernelParam: {
    uint64_t value;
    if (type.bits < 32 || type.kind == 'f' || type.kind == 'h') {
      fail("an address where " + typeName(type) + " is expected");
      return 0;
    }
    if (!variableAddress(o, value))
      return 0;
    if (o.kind == Operand::Var && int64_t(value) - o.offset == -2) {
      // The dynamic array's start is patched into the image once all sized arrays are placed.
      const int32_t slot = newSlot(wide);
      dynamicSlots_.push_back({slot, o.offset, wide});
      const Variable &v = o.moduleVar ? ast_.variables[o.index] : source_.variables[o.index];
      kernel_.dynamicAlign = std::max(kernel_.dynamicAlign, v.align);
      kernel_.info.dynamicShared = true;
      return slot;
    }
    return constant(value, wide);
  }
  case Operand::Special:
    if (type.bits < 16 || type.kind == 'f' || type.kind == 'h') {
      fail("a special register where " + typeName(type) + " is expected");
      return 0;
    }
    return specialSlot(o, type.bits);
  default:
    fail("an operand of this form is not allowed here");
    return 0;
  }
}

int32_t Decoder::destinationWider(const Operand &o, ScalarType type, uint8_t &bits) {
  bits = type.bits == 8 ? 16 : type.bits;
  if (failed_)
    return 0;
  if (o.kind == Operand::Sink) {
    int32_t &sink = type.bits == 64 ? sink64_ : sink32_;
    if (sink < 0)
      sink = newSlot(type.bits == 64);
    return sink;
  }
  if (o.kind != Operand::Reg || o.negated) {
    fail("the destination must be a register");
    return 0;
  }
  const Register &reg = source_.registers[o.index];
  if (reg.type.kind == 'p' || reg.type.bits < type.bits || (type.bits == 8 && reg.type.bits < 16)) {
    fail("register '" + std::string(reg.name) + "' of type " + typeName(reg.type) + " where " + typeName(type) +
         " or wider is expected");
    return 0;
  }
  bits = reg.type.bits;
  const int32_t slot = registerSlot(o.index);
  destinationDep(uint32_t(slot) / 128);
  return slot;
}

int32_t Decoder::destination(const Operand &o, ScalarType type) {
  if (!failed_ && o.kind == Operand::Reg) {
    const Register &reg = source_.registers[o.index];
    if (reg.type.bits != type.bits || reg.type.kind == 'p' || !compatible(type, reg.type)) {
      fail("register '" + std::string(reg.name) + "' of type " + typeName(reg.type) + " where " + typeName(type) +
           " is expected");
      return 0;
    }
  }
  uint8_t bits;
  return destinationWider(o, type, bits);
}

int32_t Decoder::predicate(const Operand &o) {
  if (failed_)
    return 0;
  if (o.kind == Operand::Int && !o.negated)
    return truePredicate() | (o.bits == 0);
  if (o.kind != Operand::Reg || source_.registers[o.index].type.kind != 'p') {
    fail("a predicate is expected");
    return 0;
  }
  const int32_t slot = registerSlot(o.index);
  sourceDep(uint32_t(slot) | predicateDep);
  return slot * 2 + o.negated;
}

int32_t Decoder::predicateDestination(const Operand &o) {
  if (failed_)
    return 0;
  if (o.kind == Operand::Sink) {
    if (sinkPredicate_ < 0) {
      sinkPredicate_ = kernel_.predicates.size();
      kernel_.predicates.push_back(0);
    }
    return sinkPredicate_ * 2;
  }
  if (o.kind != Operand::Reg || o.negated || source_.registers[o.index].type.kind != 'p') {
    fail("the destination must be a predicate");
    return 0;
  }
  const int32_t slot = registerSlot(o.index);
  destinationDep(uint32_t(slot) | predicateDep);
  return slot * 2;
}

bool Decoder::address(const Operand &o, Space space) {
  if (failed_)
    return false;
  if (o.kind != Operand::Address)
    return fail("an address in brackets is expected");
  const Operand &base = source_.operands[o.first];
  inst.imm = o.offset;
  inst.space = space;
  inst.wideAddress = true;
  if (base.kind == Operand::Reg) {
    const Register &reg = source_.registers[base.index];
    if (reg.type.bits != 64 && reg.type.bits != 32)
      return fail("an address register has 32 or 64 bits");
    if (reg.type.bits == 32 && space != Space::Shared && space != Space::Local && space != Space::Const &&
        space != Space::Param)
      return fail("an address of this space has 64 bits");
    if (reg.type.kind == 'f' || reg.type.kind == 'h')
      return fail("an address register of a floating-point type");
    inst.wideAddress = reg.type.bits == 64;
    inst.a = source(base, {'b', reg.type.bits});
    inst.strict = sourceDeps_.size();
  } else if (base.kind == Operand::Int) {
    inst.a = constant(base.bits, true);
  } else {
    if (base.kind == Operand::Var) {
      const Variable &v = base.moduleVar ? ast_.variables[base.index] : source_.variables[base.index];
      if (space == Space::Generic && (v.space == Space::Shared || v.space == Space::Local))
        return fail("the address of a " + std::string(v.space == Space::Shared ? "shared" : "local") +
                    " variable is not a generic address");
      if (space != Space::Generic && v.space != space)
        return fail("the variable lies in another space");
    } else if (space != Space::Param) {
      return fail("the address of a parameter is one of the parameter space only");
    }
    inst.a = source(base, {'b', 64});
  }
  return !failed_;
}

bool Decoder::immediate(const Operand &o, int64_t &value) {
  if (o.kind != Operand::Int || o.negated)
    return fail("a whole number is expected");
  value = int64_t(o.bits);
  return true;
}

bool Decoder::decodeStatement(const Statement &s) {
  statement = &s;
  cursor_ = 0;
  inst = {};
  inst.line = s.line;
  sourceDeps_.clear();
  destinationDeps_.clear();
  auto it = opcodeTable().find(s.opcode);
  if (it == opcodeTable().end())
    return fail("unknown instruction '" + std::string(s.opcode.substr(0, 60)) + "'");
  std::string full(s.opcode);
  for (uint32_t i = 0; i < s.modCount; ++i)
    full += "." + std::string(source_.mods[s.firstMod + i]);
  if (s.guard >= 0) {
    inst.guard = registerSlot(s.guard);
    inst.guardFlip = s.guardNegated ? ~0u : 0;
  }
  if (!it->second(*this) || !finish())
    return fail("malformed instruction"); // keeps the first message
  auto [opcode, fresh] = opcodeIds_.emplace(full, uint16_t(kernel_.opcodes.size()));
  if (fresh) {
    if (kernel_.opcodes.size() >= 65535)
      return fail("too many different opcodes");
    kernel_.opcodes.push_back(full);
  }
  inst.opcode = opcode->second;
  inst.deps = kernel_.deps.size();
  inst.sources = sourceDeps_.size();
  inst.destinations = destinationDeps_.size();
  inst.strict = std::min(inst.strict, inst.sources);
  kernel_.deps.insert(kernel_.deps.end(), sourceDeps_.begin(), sourceDeps_.end());
  kernel_.deps.insert(kernel_.deps.end(), destinationDeps_.begin(), destinationDeps_.end());
  kernel_.code.push_back(inst);
  return !failed_;
}

Status Decoder::run() {
  kernel_.info = source_.info;
  if (source_.body.size() > maxInstructions) {
    fail("a kernel of more than " + std::to_string(maxInstructions) + " instructions", ErrorCode::Unsupported);
    return error_;
  }
  kernel_.code.reserve(source_.body.size() + 1);
  kernel_.pool.push_back(0);
  for (const Statement &s : source_.body)
    if (!decodeStatement(s))
      return error_;
  // Falling off the end is a return.
  statement = nullptr;
  Inst end;
  end.kind = Kind::Exit;
  end.line = source_.body.empty() ? source_.line : source_.body.back().line;
  end.opcode = kernel_.opcodes.size();
  kernel_.opcodes.push_back("(end)");
  kernel_.code.push_back(end);
  // Variables that no instruction names still take room on hardware; they cannot be accessed, so none is given here.
  if (kernel_.info.dynamicShared) {
    kernel_.dynamicOffset = alignUp(kernel_.sharedBytes, kernel_.dynamicAlign);
    for (const DynamicSlot &slot : dynamicSlots_) {
      const uint64_t value = sharedBase + kernel_.dynamicOffset + slot.offset;
      for (int lane = 0; lane < 32; ++lane)
        std::memcpy(kernel_.image.data() + slot.slot + lane * (slot.wide ? 8 : 4), &value, slot.wide ? 8 : 4);
    }
  }
  kernel_.info.staticShared = kernel_.sharedBytes;
  computeReconvergence(kernel_);
  return Status::success();
}

std::string ModuleImpl::line(uint32_t number) const {
  if (number == 0 || number > lineStarts.size())
    return {};
  return lineText(std::string_view(text).substr(lineStarts[number - 1]), 1);
}

Status decodeModule(const AstModule &ast, ModuleImpl &module) {
  module.version = ast.version;
  module.target = ast.target;
  module.sm = 0;
  for (char c : std::string_view(ast.target).substr(3)) {
    if (c < '0' || c > '9' || module.sm > 1000)
      break;
    module.sm = module.sm * 10 + (c - '0');
  }
  if (module.sm < 70 || module.sm > 1000)
    return Error{ErrorCode::Unsupported,
                 "target '" + ast.target + "' is not known to the emulator (sm_70 and later are)"};
  module.lineStarts.push_back(0);
  for (size_t i = 0; i < module.text.size(); ++i)
    if (module.text[i] == '\n')
      module.lineStarts.push_back(i + 1);
  uint64_t at = 0;
  for (const Variable &v : ast.variables) {
    if (v.space != Space::Global && v.space != Space::Const)
      continue;
    at = alignUp(at, std::max<uint32_t>(v.align, 16));
    if (at + v.bytes > maxGlobalBytes)
      return Error{ErrorCode::Unsupported, "PTX line " + std::to_string(v.line) + ": module variables take more than " +
                                               std::to_string(maxGlobalBytes) + " bytes"};
    module.globals.push_back({v.name, moduleWindow + at, v.bytes});
    module.globalImage.resize(at + v.bytes);
    if (!v.init.empty())
      std::memcpy(module.globalImage.data() + at, v.init.data(), v.init.size());
    at += v.bytes + 256;
  }
  for (const AstKernel &source : ast.kernels) {
    Kernel kernel;
    Decoder decoder(ast, source, module, kernel);
    if (Status s = decoder.run(); !s)
      return s;
    module.infos.push_back(kernel.info);
    module.kernels.push_back(std::move(kernel));
  }
  return Status::success();
}

} // namespace fovea::emulator
