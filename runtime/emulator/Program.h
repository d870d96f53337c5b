// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A decoded kernel: instructions whose operands are offsets into a warp's register file.
#pragma once

#include "runtime/emulator/Ast.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace fovea::emulator {

struct Warp;
struct Inst;
/// Executes one instruction for the lanes in `mask`, which is never empty.
using Handler = void (*)(Warp &warp, const Inst &inst, uint32_t mask);

enum class Kind : uint8_t {
  Plain,   // calls fn
  Branch,  // target, reconvergence
  Indexed, // brx.idx: targets in Kernel::pool
  Exit,    // ret, exit
  Sync,    // calls fn when the lanes of the member mask (operand e) are together
  Aligned, // calls fn with all live lanes of the warp, together
  Barrier, // CTA barrier
  Trap,
  Yield, // lets another split or warp run
};

enum class BarrierOp : uint8_t { Sync, Arrive, RedPopc, RedAnd, RedOr };

/// How defined-ness flows from sources to destinations.
enum class Validity : uint8_t { Propagate, Select, Handler };

struct Inst {
  Handler fn = nullptr;
  int64_t imm = 0;
  int32_t d = -1, d2 = -1, a = -1, b = -1, c = -1,
          e = -1;         // byte offsets into the register file; predicates: index*2 + negated
  int32_t guard = -1;     // predicate index
  uint32_t guardFlip = 0; // ~0 for @!p
  uint32_t line = 0;
  uint32_t target = 0, reconverge = 0; // statement positions
  uint32_t pool = 0;                   // first entry in Kernel::pool
  uint32_t deps = 0;                   // first entry in Kernel::deps: sources, then destinations
  uint16_t opcode = 0;                 // index into Kernel::opcodes
  uint8_t sources = 0, destinations = 0;
  uint8_t strict = 0; // so many first sources must be defined
  Kind kind = Kind::Plain;
  BarrierOp barrierOp = BarrierOp::Sync;
  Validity validity = Validity::Propagate;
  Space space = Space::Generic;
  uint8_t size = 0;         // bytes of an element
  uint8_t count = 1;        // elements of a vector, matrices of ldmatrix
  bool wideAddress = false; // the address register has 64 bits
  bool wideData = false;    // the data register has 64 bits
  bool isSigned = false;
  bool uniform = false; // bra.uni
  bool flag = false;    // by instruction: trans, noinc, bypass...
  uint8_t dataBits = 0; // width of the data register: 16, 32, 64
  uint8_t extra = 0;    // by instruction
};

/// Special registers whose value is constant while a warp runs; set when a CTA starts.
enum class Special : uint8_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  LaneId,
  WarpId,
  NwarpId,
  SmId,
  NsmId,
  GridId,
  LanemaskEq,
  LanemaskLe,
  LanemaskLt,
  LanemaskGe,
  LanemaskGt,
  DynamicSmem,
  TotalSmem,
  One,
  Zero // clusters of one CTA
};

struct SpecialSlot {
  Special which;
  int32_t offset;
  bool wide;
};

// Windows of the address space. Shared memory begins at 1 KiB as on hardware that reserves the first part, so that a
// null pointer is found there too.
constexpr uint64_t sharedBase = 1024;
constexpr uint64_t sharedWindow = 0x010000000000ull; // generic address of shared address 0
constexpr uint64_t sharedWindowEnd = sharedWindow + 0x1000000;
constexpr uint64_t localBase = 1024;
constexpr uint64_t localWindow = 0x020000000000ull;
constexpr uint64_t localWindowEnd = localWindow + 0x100000000ull;
constexpr uint64_t paramWindow = 0x030000000000ull;
constexpr uint64_t paramWindowEnd = paramWindow + 0x10000;
constexpr uint64_t moduleWindow = 0x6f0000000000ull; // .global and .const variables
constexpr uint64_t bufferWindow = 0x700000000000ull; // buffers of Memory
constexpr uint64_t bufferWindowEnd = 0x7ff000000000ull;

struct PlacedVariable {
  std::string name;
  uint64_t address, bytes;
};

struct Kernel {
  KernelInfo info;
  std::vector<Inst> code; // ends with an Exit
  std::vector<int32_t> pool;
  std::vector<uint32_t> deps; // register: offset/128; predicate: index | predicateDep
  std::vector<std::string> opcodes;
  std::unordered_map<uint32_t, std::string> names; // of registers, by dep
  std::vector<std::byte> image;                    // initial register file: constants in place
  std::vector<uint32_t> predicates;                // initial predicates
  std::vector<SpecialSlot> specials;
  std::vector<PlacedVariable> shared, local; // for reports
  uint32_t sharedBytes = 0;                  // static, from sharedBase on
  uint32_t dynamicAlign = 16;
  int32_t dynamicOffset = -1; // of `.extern .shared` from sharedBase on, -1: none
};
constexpr uint32_t predicateDep = 0x80000000u;

struct ModuleImpl {
  std::string text;
  std::string version, target;
  uint32_t sm = 80;
  std::vector<KernelInfo> infos;
  std::vector<Kernel> kernels;
  std::vector<PlacedVariable> globals; // addresses in the module window
  std::vector<uint8_t> globalImage;    // from moduleWindow on
  std::vector<uint32_t> lineStarts;
  std::string line(uint32_t number) const;
};

/// Decodes all kernels and computes reconvergence points.
Status decodeModule(const AstModule &ast, ModuleImpl &module);

} // namespace fovea::emulator
