// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The attn dialect: what an attention variant computes, over named axes. Enumerations, types and attributes stand here too.
#ifndef FOVEA_DIALECT_ATTN_ATTNBASE_TD
#define FOVEA_DIALECT_ATTN_ATTNBASE_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Attn_Dialect : Dialect {
  let name = "attn";
  let summary = "An attention variant as a dataflow of fields over named axes.";
  let description = [{
    A *field* is a total function from named axes to values of one kind: `real`, `int` or `bool`. Every operation is a
    function of fields and broadcasts by axis name: the axes of a pointwise result are the ordered union of those of its
    operands. There are no regions inside an attention, no memory and no order of evaluation.

    `weights` introduces a *walk axis*: the key axis renamed. A *pair expression* is a field that has both the query axis
    and a walk axis. `q[i]` is `q` itself; `k[j]` is `rename` of the key axis to the walk axis.

    Factor axes are expanded in types: with `H = Hk * G`, a tensor declared `[B, T, H, D]` is a field on
    `[B, T, Hk, G, D]`, row-major, so that index h of H is hk * |G| + g. A tensor on Hk lacks G and so broadcasts over it.
    A concatenation `E = R + P` stands in types itself; `slice` gives the view of a part.

    The meaning is real arithmetic. Integers are exact.
  }];
  let cppNamespace = "::fovea::attn";
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let extraClassDeclaration = [{
    /// Adds the types and attributes, whose storage only one file sees.
    void registerMembers();
  }];
}

//===----------------------------------------------------------------------===//
// Enumerations
//===----------------------------------------------------------------------===//

class Attn_Enum<string name, string summary, list<I32EnumAttrCase> cases> : I32EnumAttr<name, summary, cases> {
  let cppNamespace = "::fovea::attn";
  let genSpecializedAttr = 0;
}
class Attn_EnumAttr<EnumAttrInfo info, string mnemonic> : EnumAttr<Attn_Dialect, info, mnemonic> {
  let assemblyFormat = "$value";
}

def Attn_Kind : Attn_Enum<"Kind", "The kind of the values of a field.", [
  I32EnumAttrCase<"Real", 0, "real">, I32EnumAttrCase<"Int", 1, "int">, I32EnumAttrCase<"Bool", 2, "bool">]>;

def Attn_Relation : Attn_Enum<"Relation", "How the size of an axis follows from other axes.", [
  I32EnumAttrCase<"Plain", 0, "plain">, I32EnumAttrCase<"Factor", 1, "factor">, I32EnumAttrCase<"Keys", 2, "keys">,
  I32EnumAttrCase<"Walk", 3, "walk">, I32EnumAttrCase<"Blocks", 4, "blocks">, I32EnumAttrCase<"Windows", 5, "windows">,
  I32EnumAttrCase<"Concat", 6, "concat">, I32EnumAttrCase<"Share", 7, "share">,
  I32EnumAttrCase<"Outer", 8, "outer">]>;

def Attn_Claim : Attn_Enum<"Claim", "What an attention claims about the order of tokens.", [
  I32EnumAttrCase<"Causal", 0, "causal">, I32EnumAttrCase<"Set", 1, "set">, I32EnumAttrCase<"None", 2, "none">]>;
def Attn_ClaimAttr : Attn_EnumAttr<Attn_Claim, "claim">;

def Attn_Role : Attn_Enum<"Role", "When an input is bound: per call, once, or carried from call to call.", [
  I32EnumAttrCase<"Input", 0, "input">, I32EnumAttrCase<"Param", 1, "param">, I32EnumAttrCase<"Carry", 2, "carry">]>;
def Attn_RoleAttr : Attn_EnumAttr<Attn_Role, "role">;

def Attn_Storage : Attn_Enum<"Storage", "The element type of an array at the interface.", [
  I32EnumAttrCase<"BF16", 0, "bf16">, I32EnumAttrCase<"F16", 1, "f16">, I32EnumAttrCase<"F32", 2, "f32">,
  I32EnumAttrCase<"I32", 3, "i32">]>;
def Attn_StorageAttr : Attn_EnumAttr<Attn_Storage, "storage">;

def Attn_ReduceKind : Attn_Enum<"ReduceKind", "What a reduction over axes computes.", [
  I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">, I32EnumAttrCase<"Max", 2, "max">,
  I32EnumAttrCase<"Min", 3, "min">, I32EnumAttrCase<"LogSumExp", 4, "logsumexp">]>;
def Attn_ReduceKindAttr : Attn_EnumAttr<Attn_ReduceKind, "reduce_kind">;

def Attn_StatKind : Attn_Enum<"StatKind", "A statistic of the rows of weights.", [
  I32EnumAttrCase<"Lse", 0, "lse">, I32EnumAttrCase<"Max", 1, "max">, I32EnumAttrCase<"Mass", 2, "mass">]>;
def Attn_StatKindAttr : Attn_EnumAttr<Attn_StatKind, "stat_kind">;

def Attn_WeightFunction : Attn_Enum<"WeightFunction", "What gives the weight of a key, and whether rows are divided.", [
  I32EnumAttrCase<"Exp", 0, "exp">, I32EnumAttrCase<"Free", 1, "free">]>;
def Attn_WeightFunctionAttr : Attn_EnumAttr<Attn_WeightFunction, "weight_function">;

def Attn_ReadPoint : Attn_Enum<"ReadPoint", "Where in a step a state is read.", [
  I32EnumAttrCase<"After", 0, "after">, I32EnumAttrCase<"Decayed", 1, "decayed">, I32EnumAttrCase<"Prev", 2, "prev">]>;
def Attn_ReadPointAttr : Attn_EnumAttr<Attn_ReadPoint, "read_point">;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

class Attn_Type<string name, string typeMnemonic> : TypeDef<Attn_Dialect, name> {
  let mnemonic = typeMnemonic;
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Attn_FieldType : Attn_Type<"Field", "field"> {
  let summary = "A total function from named axes to values of one kind.";
  let description = [{
    ```mlir
    !attn.field<real [B, T, Hk, G, D]>
    !attn.field<bool [T, j]>
    !attn.field<int []>
    ```
    The order of the axes is that of storage, outermost first, wherever a field is stored.
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr", "Distinct axis names, outermost first.">:$axes,
                        EnumParameter<Attn_Kind>:$kind);
  let builders = [
    TypeBuilder<(ins "::llvm::ArrayRef<::llvm::StringRef>":$axes, CArg<"Kind", "Kind::Real">:$kind)>];
  let extraClassDeclaration = [{
    bool hasAxis(::mlir::StringAttr axis) const { return ::llvm::is_contained(getAxes(), axis); }
    bool hasAxis(::llvm::StringRef axis) const;
    bool isReal() const { return getKind() == Kind::Real; }
    bool isInt() const { return getKind() == Kind::Int; }
    bool isBool() const { return getKind() == Kind::Bool; }
  }];
}

def Attn_WeightsType : Attn_Type<"Weights", "weights"> {
  let summary = "A distribution over the keys of a walk, one per row; never an array.";
  let description = [{
    ```mlir
    !attn.weights<[B, T, Hk, G] over j from T>
    ```
    The rows are the points of the row axes, the keys those of the walk axis `j`, and `T`, one of the row axes, is the
    query axis. Of a walk over a factor axis the query axis is that factor axis, and its parts are the row axes.
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr", "Row axes, outermost first.">:$rows,
                        "::mlir::StringAttr":$walk, "::mlir::StringAttr":$query);
}

def Attn_StateType : Attn_Type<"State", "state"> {
  let summary = "A recurrence along an axis of tokens; never an array.";
  let description = [{
    ```mlir
    !attn.state<[B, Hk, G] K x V along T>
    !attn.state<[B, Hk, G] K x 1 along T>
    ```
    At each point of the batch axes and at each token a matrix: rows on the key axis, columns on the value axis. Without
    a value axis it has one column.
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::StringAttr", "Batch axes, outermost first.">:$batch,
                        "::mlir::StringAttr":$key, "::mlir::StringAttr":$value, "::mlir::StringAttr":$token);
  let extraClassDeclaration = [{
    bool hasValueAxis() const { return getValue() != nullptr; }
    /// The batch axes, then the key axis, then the value axis if there is one: those of the state at one token.
    ::llvm::SmallVector<::mlir::StringAttr> getAxes() const;
  }];
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

class Attn_Attr<string name, string attrMnemonic> : AttrDef<Attn_Dialect, name> {
  let mnemonic = attrMnemonic;
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Attn_AxisAttr : Attn_Attr<"Axis", "axis"> {
  let summary = "One line of the axis table: a name, a relation to other axes, a static size where there is one.";
  let description = [{
    | spelling | meaning |
    |---|---|
    | `B` | an axis whose size the caller chooses |
    | `D : 64` | of static size |
    | `H = Hk * G` | the pair (Hk, G), Hk outermost; never in a type, which names the parts |
    | `S keys T` | key positions for queries on T, aligned at the end |
    | `j walk S from T` | S renamed inside a walk of queries on T; `j walk P from P` over a factor axis P |
    | `Sb = S / 64` | the blocks of 64 of S; the last may have fewer |
    | `Sc = windows S of 32 step 16` | the windows of 32 of S from index * 16, complete ones only; none where S is shorter |
    | `E = R + P` | R, then P behind it; one axis may stand twice |
    | `F = D share 2` | an axis of half the size of D, which 2 divides |
    | `P = D outer E` | all pairs of elements of two axes, or twice of one, D outermost; one axis in types |

    Sizes of relations follow from the axes that they name. Only plain axes, keys and walks have a size of their own.
  }];
  let parameters = (ins "::mlir::StringAttr":$name, EnumParameter<Attn_Relation>:$relation,
                        OptionalArrayRefParameter<"::mlir::StringAttr", "The axes that the relation names.">:$of,
                        DefaultValuedParameter<"int64_t", "0", "The static size, 0 for one known at run time.">:$size,
                        DefaultValuedParameter<"int64_t", "0", "Of blocks and windows: elements of each.">:$extent,
                        DefaultValuedParameter<"int64_t", "0", "Of blocks and windows: from one's begin to the next.">:$step,
                        DefaultValuedParameter<"int64_t", "0", "Of a share: the size of `of` over that of this.">:$divisor);
  let builders = [
    AttrBuilder<(ins "::llvm::StringRef":$name, CArg<"int64_t", "0">:$size)>,
    AttrBuilder<(ins "::llvm::StringRef":$name, "Relation":$relation, "::llvm::ArrayRef<::llvm::StringRef>":$of,
                     CArg<"int64_t", "0">:$size)>];
  let extraClassDeclaration = [{
    bool isStatic() const { return getSize() != 0; }
    bool isFactor() const { return getRelation() == Relation::Factor; }
    bool isWalk() const { return getRelation() == Relation::Walk; }
    bool isKeys() const { return getRelation() == Relation::Keys; }
    /// Blocks or windows: pieces of another axis, from index * step, of `extent` elements as far as that axis goes.
    bool isPieces() const { return getRelation() == Relation::Blocks || getRelation() == Relation::Windows; }
    bool isConcat() const { return getRelation() == Relation::Concat; }
    bool isShare() const { return getRelation() == Relation::Share; }
    bool isOuter() const { return getRelation() == Relation::Outer; }
    /// Of blocks and windows: how many there are of an axis of this size.
    int64_t countPieces(int64_t size) const;
    /// Of a walk: the key axis that it renames, and the axis of its queries. Of blocks, windows and shares: their axis.
    ::mlir::StringAttr getRaw() const { return getOf()[0]; }
    ::mlir::StringAttr getQuery() const { return getOf()[isWalk() ? 1 : 0]; }
  }];
}

def Attn_AxisTableAttr : Attn_Attr<"AxisTable", "axes"> {
  let summary = "All axes of an attention, each after the axes it refers to or before them.";
  let parameters = (ins OptionalArrayRefParameter<"AxisAttr", "Axes of distinct names.">:$axes);
  let extraClassDeclaration = [{
    /// The line of this name, or null.
    AxisAttr lookup(::llvm::StringRef name) const;
    AxisAttr lookup(::mlir::StringAttr name) const { return lookup(name.getValue()); }
    /// Replaces each factor axis by its parts, in order.
    ::llvm::SmallVector<::mlir::StringAttr> expand(::llvm::ArrayRef<::mlir::StringAttr> declared) const;
    /// The static size, from those of other axes where a relation gives it. Nothing where unknown.
    ::std::optional<int64_t> getStaticSize(::mlir::StringAttr name) const;
  }];
}

def Attn_IntervalAttr : Attn_Attr<"Interval", "interval"> {
  let summary = "The values that a contract allows on the elements of an input.";
  let description = [{
    ```mlir
    #attn.interval<from 0.0 below 1.0>
    #attn.interval<to 0.0>
    ```
    `from` and `to` include the bound, `above` and `below` exclude it; a missing bound is infinite. NaN is never inside.
  }];
  let parameters = (ins OptionalParameter<"::mlir::FloatAttr", "The lower bound, as f64.">:$lower,
                        DefaultValuedParameter<"bool", "false", "The lower bound is excluded.">:$lowerOpen,
                        OptionalParameter<"::mlir::FloatAttr", "The upper bound, as f64.">:$upper,
                        DefaultValuedParameter<"bool", "false", "The upper bound is excluded.">:$upperOpen);
  let extraClassDeclaration = [{
    /// True where the interval holds the value.
    bool contains(double value) const;
  }];
}

// An ordered list of axis names, printed as [B, T, H].
def Attn_AxisListAttr : TypedArrayAttrBase<StrAttr, "list of axis names">;
// One axis name, printed bare.
def Attn_AxisNameAttr : StringBasedAttr<CPred<"::llvm::isa<::mlir::StringAttr>($_self)">, "axis name">;

#endif
