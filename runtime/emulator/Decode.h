// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Strict decoding of one statement: a cursor over the modifiers and typed access to the operands. Each family of
// instructions (Ops*.cpp) brings its decoders; what they leave unread is an error.
#pragma once

#include "runtime/emulator/Program.h"

#include <initializer_list>
#include <string_view>

namespace fovea::emulator {

class Decoder {
public:
  Decoder(const AstModule &ast, const AstKernel &source, ModuleImpl &module, Kernel &kernel);

  /// Decodes the whole body.
  Status run();

  // --- for the families ---
  Inst inst;
  const Statement *statement = nullptr;
  uint32_t sm() const { return module_.sm; }

  /// True and consumed if the next modifier is `name`.
  bool take(std::string_view name);
  /// The next modifier if it is one of `names` (consumed), else empty.
  std::string_view takeAny(std::initializer_list<std::string_view> names);
  /// The next modifier as one of these types (separated by blanks); kind 0 and an error if it is none.
  ScalarType type(std::string_view allowed);
  /// The last modifier as a type (most opcodes end with theirs); kind 0 if it is none.
  ScalarType lastType() const;
  /// The last modifier; empty if there is none.
  std::string_view lastModifier() const;
  /// No modifier may be left.
  bool finish();
  bool arity(uint32_t least, uint32_t most);
  bool arity(uint32_t count) { return arity(count, count); }
  uint32_t operandCount() const { return statement->operandCount; }
  const Operand &operand(uint32_t i) const { return source_.operands[statement->firstOperand + i]; }
  const Operand &element(const Operand &o, uint32_t i) const { return source_.operands[o.first + i]; }

  bool fail(const std::string &message, ErrorCode code = ErrorCode::Corrupt);
  bool unsupported(const std::string &what) {
    return fail("not in this version of the emulator: " + what, ErrorCode::Unsupported);
  }
  bool failed() const { return failed_; }

  /// Register-file offset of a source of exactly this type's width: register, immediate, symbol or special register.
  int32_t source(const Operand &o, ScalarType type);
  int32_t source(uint32_t i, ScalarType type) { return source(operand(i), type); }
  /// The same, but the register may be wider than the type; `bits` receives its width.
  int32_t sourceWider(const Operand &o, ScalarType type, uint8_t &bits);
  int32_t destination(const Operand &o, ScalarType type);
  int32_t destination(uint32_t i, ScalarType type) { return destination(operand(i), type); }
  int32_t destinationWider(const Operand &o, ScalarType type, uint8_t &bits);
  /// Predicate operands: index*2 + negated.
  int32_t predicate(const Operand &o);
  int32_t predicateDestination(const Operand &o);
  /// An address operand: sets inst.a, inst.imm and inst.wideAddress, and counts it as strict.
  bool address(const Operand &o, Space space);
  bool immediate(const Operand &o, int64_t &value);
  int32_t constant(uint64_t bits, bool wide);
  int32_t truePredicate();
  /// The hidden predicate CC.CF of extended-precision arithmetic.
  int32_t carryPredicate(bool read, bool write);
  uint32_t pool(int32_t value);
  Kernel &kernel() { return kernel_; }
  const AstKernel &ast() const { return source_; }

private:
  struct Slot {
    int32_t offset = -1; // predicates: index
  };
  int32_t registerSlot(uint32_t index);
  int32_t newSlot(bool wide);
  int32_t specialSlot(const Operand &o, uint32_t bits);
  bool variableAddress(const Operand &o, uint64_t &value);
  void sourceDep(uint32_t dep);
  void destinationDep(uint32_t dep);
  bool decodeStatement(const Statement &s);

  const AstModule &ast_;
  const AstKernel &source_;
  ModuleImpl &module_;
  Kernel &kernel_;
  std::vector<Slot> slots_;
  std::unordered_map<uint64_t, int32_t> constants32_, constants64_;
  std::unordered_map<uint32_t, int32_t> specials_;
  std::unordered_map<std::string, uint16_t> opcodeIds_;
  std::vector<int64_t> moduleVarAddress_, kernelVarAddress_; // -1: not placed
  std::vector<uint32_t> sourceDeps_, destinationDeps_;
  struct DynamicSlot {
    int32_t slot;
    int64_t offset;
    bool wide;
  };
  std::vector<DynamicSlot> dynamicSlots_; // hold addresses in `.extern .shared` arrays
  int32_t truePredicate_ = -1;
  int32_t sink32_ = -1, sink64_ = -1, sinkPredicate_ = -1, carry_ = -1;
  uint32_t cursor_ = 0;
  bool failed_ = false;
  Error error_;
};

using DecodeFunction = bool (*)(Decoder &);
struct OpcodeEntry {
  std::string_view name;
  DecodeFunction decode;
};
/// One table per family.
struct OpcodeTable {
  const OpcodeEntry *entries;
  size_t count;
};
OpcodeTable integerOpcodes();
OpcodeTable floatOpcodes();
OpcodeTable convertOpcodes();
OpcodeTable memoryOpcodes();
OpcodeTable asyncOpcodes();
OpcodeTable warpOpcodes();
OpcodeTable tensorOpcodes();
OpcodeTable controlOpcodes();

/// Instructions that both integers and floating-point numbers have: the integer family decodes them and asks here.
bool decodeFloat(Decoder &d, std::string_view opcode);

/// Immediate post-dominators of the code, as positions; code.size() stands for "no common point".
void computeReconvergence(Kernel &kernel);

} // namespace fovea::emulator
