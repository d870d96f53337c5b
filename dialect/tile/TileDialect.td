// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The tile dialect: its types, its layout attribute and the base classes of its operations.
#ifndef FOVEA_TILE_DIALECT_TD
#define FOVEA_TILE_DIALECT_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::fovea::tile";
  let summary = "attention as ordered launches over tiles, before and after scheduling";
  let description = [{
    One dialect, two levels. A *program* is an ordered list of launches over parallel axes; inside a launch, SSA values are
    builtin ranked tensors ("tiles") and scalars, combined by `arith`, `math`, `scf` and the operations below. Nothing says
    where a tile lives. A *scheduled* program adds layouts (tensor encodings), shared-memory buffers, asynchronous copies and
    products, channels between warp roles. `strip-schedule` removes all of that and gives back the program.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

class Tile_Type<string name, string typeMnemonic> : TypeDef<Tile_Dialect, name> { let mnemonic = typeMnemonic; }

def Tile_ViewType : Tile_Type<"View", "view"> {
  let summary = "a strided array in device memory";
  let description = [{
    Dimensions in order of declaration; `?` is a size known at run time. Each dimension has a run-time stride in elements; the
    innermost stride is 1. Accesses outside the sizes of the view never happen: loads give the pad value, stores do nothing.
    Example: `!tile.view<?x?x?x64xbf16>`.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType);
  let genVerifyDecl = 1;
  let hasCustomAssemblyFormat = 1;
}

def Tile_SmemType : Tile_Type<"Smem", "smem"> {
  let summary = "a ring of tiles in shared memory";
  let description = [{
    `!tile.smem<2x64x64xbf16, 128>`: two stages of a 64 by 64 tile; the last number is the swizzle span in bytes (0, 32, 64 or
    128): within each row, 16-byte chunks are permuted by exclusive or with the row number, as the tensor memory accelerator and
    wgmma do (PTX ISA, "Swizzling modes"). A row longer than the span is cut into column blocks of that span, each
    a contiguous [rows, span] array.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType, "int64_t":$swizzle);
  let genVerifyDecl = 1;
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    int64_t getStages() const { return getShape().front(); }
    int64_t getRows() const { return getShape()[1]; }
    int64_t getColumns() const { return getShape()[2]; }
    /// Bytes of one stage and of the whole ring.
    int64_t getStageBytes() const;
    int64_t getBytes() const { return getStageBytes() * getStages(); }
  }];
}

def Tile_DomainType : Tile_Type<"Domain", "domain"> {
  let summary = "the key tiles that a query tile visits, as a value";
}

def Tile_TokenType : Tile_Type<"Token", "token"> {
  let summary = "an asynchronous product in flight";
}

def Tile_ChannelType : Tile_Type<"Channel", "channel"> {
  let summary = "a ring of shared-memory tiles with full and empty barriers: the only thing that crosses between warp roles";
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType, "int64_t":$swizzle);
  let genVerifyDecl = 1;
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    int64_t getStages() const { return getShape().front(); }
    int64_t getRows() const { return getShape()[1]; }
    int64_t getColumns() const { return getShape()[2]; }
    /// Bytes of one stage and of the whole ring, without its barriers.
    int64_t getStageBytes() const;
    int64_t getBytes() const { return getStageBytes() * getStages(); }
  }];
}

def Tile_OrderType : Tile_Type<"Order", "order"> {
  let summary = "the turns of the instances of a role, as named barriers";
}

def Tile_LayoutParameter : AttrParameter<"::fovea::Layout", "the map"> {
  let cppAccessorType = "const ::fovea::Layout &";
}

def Tile_LayoutAttr : AttrDef<Tile_Dialect, "Layout"> {
  let mnemonic = "layout";
  let summary = "which thread holds which element of a tile, in which register";
  let description = [{
    A linear map over bits for the atom, times a mixed-radix repetition (see dialect/common/Layout.h). Each basis vector is the
    step in the tile's coordinates that one bit of the register, lane or warp number makes; repetitions are the outer register
    numbers, fastest first, each `count x [step]`. A zero lane or warp vector means that the element is replicated.

    Example, the accumulator of `mma.m16n8k16` for four warps over a 64 by 64 tile:
    `#tile.layout<reg = [[0, 1], [8, 0]], lane = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]], warp = [[16, 0], [32, 0]], rep = [8 x [0, 8]]>`
  }];
  let parameters = (ins Tile_LayoutParameter:$layout);
  let hasCustomAssemblyFormat = 1;
  // Printed once per module, as #layout, #layout1, ...
  let genMnemonicAlias = 1;
}

// Every operand, attribute and result of the dialect has a sentence.
class Tile_Arg<Constraint constraint, string sentence> : Arg<constraint, sentence>;
class Tile_AttrArg<Attr constraint, string sentence> : Arg<constraint, sentence>;
class Tile_Res<Constraint constraint, string sentence> : Res<constraint, sentence>;

class Tile_Op<string opMnemonic, list<Trait> traits = []> : Op<Tile_Dialect, opMnemonic, traits>;

#endif
