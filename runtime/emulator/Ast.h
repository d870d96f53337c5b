// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The syntax tree of a PTX module: names are resolved, types and modifiers are not yet understood (Decode does that).
#pragma once

#include "runtime/abi/Result.h"
#include "runtime/emulator/Emulator.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::emulator {

/// A PTX scalar type. `kind`: 'b' bits, 'u', 's', 'f' (f16, f32, f64, tf32), 'h' (bf16), 'p' predicate.
struct ScalarType {
  char kind = 0;
  uint16_t bits = 0;
  bool packed = false; // f16x2, bf16x2
  bool tf32 = false;
  explicit operator bool() const { return kind != 0; }
  bool operator==(const ScalarType &) const = default;
  uint32_t bytes() const { return bits / 8; }
};
ScalarType scalarType(std::string_view name); // kind 0 if it is none

enum class Space : uint8_t { Generic, Global, Shared, Local, Const, Param };

/// A declared array or scalar in memory.
struct Variable {
  std::string name;
  Space space = Space::Global;
  ScalarType type;
  uint64_t bytes = 0; // 0: extern, sized by the launch
  uint32_t align = 1;
  bool isExtern = false;
  uint32_t line = 0;
  std::vector<uint8_t> init; // shorter than bytes: the rest is zero
};

struct Register {
  ScalarType type;
  std::string_view name;
};

struct Operand {
  enum Kind : uint8_t {
    Reg,         // index: Kernel::registers
    Int,         // bits
    Float32,     // bits
    Float64,     // bits
    Var,         // index: Kernel or Module variable (isModuleVar), plus offset
    KernelParam, // index: parameter, plus offset
    Special,     // name
    Vector,      // first, count
    Pair,        // first (two operands): d|p
    Sink,
    Address, // first: the base operand (Reg, Var, KernelParam or Int), plus offset
    Label,   // index: statement position after resolution
  };
  Kind kind = Int;
  bool negated = false;
  bool moduleVar = false;
  uint32_t index = 0;
  uint32_t first = 0, count = 0;
  int64_t offset = 0;
  uint64_t bits = 0;
  std::string_view name;
};

struct Statement {
  uint32_t line = 0;
  std::string_view opcode;
  uint32_t firstMod = 0, modCount = 0; // AstKernel::mods
  int32_t guard = -1;                  // register
  bool guardNegated = false;
  uint32_t firstOperand = 0, operandCount = 0; // AstKernel::operands
};

struct AstKernel {
  KernelInfo info;
  uint32_t line = 0;
  std::vector<Register> registers;
  std::vector<Variable> variables;
  std::vector<Statement> body;
  std::vector<std::string_view> mods;
  std::vector<Operand> operands; // elements of vectors and bases of addresses too
  std::vector<std::vector<uint32_t>>
      branchTargets; // lists of statement positions, by Operand::index of a target-list label
};

struct AstModule {
  std::string version, target;
  std::vector<Variable> variables;
  std::vector<AstKernel> kernels;
};

/// `text` outlives the result, which points into it.
Result<AstModule> parseModule(std::string_view text);

} // namespace fovea::emulator
