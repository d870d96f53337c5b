// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The operations of the attn dialect. Each operand, attribute and result has a sentence (Arg, Res), which is its
// documentation; the axes of results are inferred, so that builders and texts name no result types.
#ifndef FOVEA_DIALECT_ATTN_ATTNOPS_TD
#define FOVEA_DIALECT_ATTN_ATTNOPS_TD

include "dialect/attn/AttnBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

//===----------------------------------------------------------------------===//
// The attention
//===----------------------------------------------------------------------===//

def Attn_AttentionOp : Op<Attn_Dialect, "attention", [IsolatedFromAbove, Symbol, NoRegionArguments, NoTerminator,
                                                      SingleBlock]> {
  let summary = "One attention variant: a table of axes and a dataflow from inputs to outputs.";
  let description = [{
    ```mlir
    attn.attention @plain causal axes [B, T, Hk, G, D : 64, H = Hk * G, S keys T, j walk S from T] {
      %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
      %k = attn.input "k" [B, S, Hk, D] : real [B, S, Hk, D]
      %v = attn.input "v" [B, S, Hk, D] : real [B, S, Hk, D]
      %kj = attn.rename %k S to j : real [B, S, Hk, D]
      %vj = attn.rename %v S to j : real [B, S, Hk, D]
      %score = attn.dot %q, %kj over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
      %i = attn.query_position T over S
      %n = attn.index j
      %seen = attn.le %n, %i : int [j], int [T]
      %p = attn.weights over j from T score %score : real [B, T, Hk, G, j] where %seen : bool [j, T]
      %o = attn.expect %p, %vj : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
      attn.output "o" %o [B, T, H, D] : real [B, T, Hk, G, D]
    }
    ```
    The claim `causal` says that no value at a token depends on a later token; the front end has proved it.
  }];
  let arguments = (ins
    Arg<SymbolNameAttr, "The name of the attention.">:$sym_name,
    Arg<Attn_ClaimAttr, "What the attention claims about the order of tokens.">:$claim,
    Arg<Attn_AxisTableAttr, "Every axis that the body uses.">:$axes);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name custom<Word>($claim) `axes` custom<AxisTable>($axes) $body attr-dict";
  let hasRegionVerifier = 1;
  let skipDefaultBuilders = 1;
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "Claim":$claim, "AxisTableAttr":$axes)>];
  let extraClassDeclaration = [{
    /// Inputs and params, in the order of the text.
    ::std::vector<InputOp> getInputs();
    /// Outputs, in the order of the text.
    ::std::vector<OutputOp> getOutputs();
  }];
}

// What all operations of the body share.
class Attn_Op<string mnemonic, list<Trait> traits = []>
    : Op<Attn_Dialect, mnemonic, !listconcat([HasParent<"AttentionOp">], traits)>;
// A function of fields whose result type follows from its operands and attributes.
class Attn_PureOp<string mnemonic, list<Trait> traits = []>
    : Attn_Op<mnemonic, !listconcat([Pure, InferTypeOpAdaptor], traits)>;

//===----------------------------------------------------------------------===//
// The interface of an attention
//===----------------------------------------------------------------------===//

def Attn_InputOp : Attn_Op<"input", [Pure]> {
  let summary = "An array that the caller passes, as a field.";
  let description = [{
    ```mlir
    %q = attn.input "q" [B, T, H, D] : real [B, T, Hk, G, D]
    %s = attn.input "s" param f32 [H] within <from 0.0 below 1.0> : real [Hk, G]
    %c = attn.input "c" param [] fallback %d : real [] : real []
    %b = attn.input "b" optional [T, S] : real [T, S]
    %h = attn.input "h0" optional carry f32 [B, H, K, V] : real [B, H, K, V]
    ```
    The array is row-major over the declared axes unless a storage says otherwise. Without an element type the command
    line's is meant. Of type `i32` the field is of kind `int`, else `real`. An `optional` array that is not passed reads as
    0 everywhere. A `carry` is memory that the caller keeps between calls: the `output` of the same name overwrites it,
    unless it is optional and not passed.
  }];
  let arguments = (ins
    Arg<StrAttr, "The name of the array.">:$name,
    Arg<UnitAttr, "The caller may leave it out: then it is 0.">:$optional,
    Arg<DefaultValuedAttr<Attn_RoleAttr, "::fovea::attn::Role::Input">, "Whether it is bound per call, once, or carried.">:$role,
    Arg<OptionalAttr<Attn_StorageAttr>, "The element type, where the text states it.">:$storage,
    Arg<Attn_AxisListAttr, "The axes as declared, factor axes unexpanded: the shape of the array.">:$declared,
    Arg<OptionalAttr<Attn_IntervalAttr>, "A contract that each element keeps.">:$contract,
    Arg<Optional<Attn_FieldType>, "The value where the caller passes none; its axes are among those of the input.">:$fallback);
  let results = (outs Res<Attn_FieldType, "The array on its expanded axes.">:$result);
  let assemblyFormat = [{
    $name (`optional` $optional^)? custom<InputArray>($role, $storage, $declared) (`within` $contract^)?
    (`fallback` $fallback^ `:` custom<Field>(type($fallback)))? `:` custom<Field>(type($result)) attr-dict
  }];
  let hasVerifier = 1;
  let builders = [
    // The result type is that of the declared axes, expanded by the table.
    OpBuilder<(ins "AxisTableAttr":$table, "::llvm::StringRef":$name, "::llvm::ArrayRef<::llvm::StringRef>":$declared,
                   CArg<"Role", "Role::Input">:$role, CArg<"::std::optional<Storage>", "{}">:$storage,
                   CArg<"IntervalAttr", "{}">:$contract, CArg<"::mlir::Value", "{}">:$fallback,
                   CArg<"bool", "false">:$optional)>];
  let extraClassDeclaration = [{
    FieldType getField() { return ::llvm::cast<FieldType>(getResult().getType()); }
  }];
}

def Attn_OutputOp : Attn_Op<"output"> {
  let summary = "An array that the caller receives.";
  let description = [{
    ```mlir
    attn.output "o" %o [B, T, H, D] : real [B, T, Hk, G, D]
    attn.output "lse" %lse f32 [B, T, H] : real [B, T, Hk, G]
    attn.output "h0" carry %h f32 [B, H, K, V] : real [B, H, K, V]
    ```
    The declared axes, expanded, hold those of the field in any order: they give the shape of the array and its order. The
    field is broadcast over those that it lacks. A pair expression is an output once its walk axis is renamed back to the
    key axis, or reduced to blocks. With `carry` it overwrites the carried input of its name, whose array it has.
  }];
  let arguments = (ins
    Arg<StrAttr, "The name of the array.">:$name,
    Arg<Attn_FieldType, "Its value.">:$value,
    Arg<OptionalAttr<Attn_StorageAttr>, "The element type; absent: that of the command line.">:$storage,
    Arg<Attn_AxisListAttr, "The axes of the array, factor axes unexpanded, outermost first.">:$declared,
    Arg<UnitAttr, "It is the final value of the carried input of the same name.">:$carry);
  let assemblyFormat = [{
    $name (`carry` $carry^)? $value custom<OutputArray>($storage, $declared) `:` custom<Field>(type($value)) attr-dict
  }];
  let hasVerifier = 1;
  let builders = [
    OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::Value":$value, "::llvm::ArrayRef<::llvm::StringRef>":$declared,
                   CArg<"::std::optional<Storage>", "{}">:$storage, CArg<"bool", "false">:$carry)>];
}

//===----------------------------------------------------------------------===//
// Values that need no operand
//===----------------------------------------------------------------------===//

def Attn_ConstantOp : Attn_PureOp<"constant", [ConstantLike]> {
  let summary = "A number or a truth value.";
  let description = [{
    ```mlir
    %c = attn.constant real 0.125
    %n = attn.constant int 4096
    %t = attn.constant bool true
    ```
  }];
  let arguments = (ins
    Arg<AnyAttrOf<[F64Attr, I64Attr, BoolAttr]>, "The value: f64 is a real, i64 an int, i1 a bool.">:$value);
  let results = (outs Res<Attn_FieldType, "The value, on no axis.">:$result);
  let assemblyFormat = "custom<Scalar>($value) attr-dict";
  let hasFolder = 1;
  let builders = [OpBuilder<(ins "double":$value)>, OpBuilder<(ins "int64_t":$value)>, OpBuilder<(ins "bool":$value)>];
}

def Attn_SizeOp : Attn_PureOp<"size"> {
  let summary = "The size of an axis.";
  let description = [{
    ```mlir
    %d = attn.size D
    ```
  }];
  let arguments = (ins Arg<Attn_AxisNameAttr, "The axis.">:$axis);
  let results = (outs Res<Attn_FieldType, "The size: an int on no axis.">:$result);
  let assemblyFormat = "custom<Axis>($axis) attr-dict";
  let hasFolder = 1;
}

def Attn_IndexOp : Attn_PureOp<"index"> {
  let summary = "The index along an axis, from 0.";
  let description = [{
    ```mlir
    %h = attn.index Hk
    ```
  }];
  let arguments = (ins Arg<Attn_AxisNameAttr, "The axis; not a factor axis.">:$axis);
  let results = (outs Res<Attn_FieldType, "An int on the axis.">:$result);
  let assemblyFormat = "custom<Axis>($axis) attr-dict";
}

def Attn_PositionOp : Attn_PureOp<"position"> {
  let summary = "The position in the sequence of the tokens of an axis.";
  let description = [{
    ```mlir
    %t = attn.position T
    ```
    The index, when a whole sequence is computed at once.
  }];
  let arguments = (ins Arg<Attn_AxisNameAttr, "The axis of tokens.">:$axis);
  let results = (outs Res<Attn_FieldType, "An int on the axis.">:$result);
  let assemblyFormat = "custom<Axis>($axis) attr-dict";
}

def Attn_QueryPositionOp : Attn_PureOp<"query_position"> {
  let summary = "The position of each query among the keys, aligned at the end.";
  let description = [{
    ```mlir
    %i = attn.query_position T over S
    ```
    index[T] + |S| - |T|: the number `i` of a walk. It is negative where there are more queries than keys.
  }];
  let arguments = (ins
    Arg<Attn_AxisNameAttr, "The query axis.">:$query,
    Arg<Attn_AxisNameAttr, "The raw key axis.">:$keys);
  let results = (outs Res<Attn_FieldType, "An int on the query axis.">:$result);
  let assemblyFormat = "custom<Axis>($query) `over` custom<Axis>($keys) attr-dict";
}

//===----------------------------------------------------------------------===//
// Pointwise operations
//===----------------------------------------------------------------------===//

def Attn_PointwiseOpInterface : OpInterface<"PointwiseOpInterface"> {
  let description = [{
    An operation whose value at a point is a function of the values of its operands at that point. The axes of its
    result are the ordered union of those of its operands.
  }];
  let cppNamespace = "::fovea::attn";
  let methods = [
    StaticInterfaceMethod<"Applies the function to one value per operand; ints are exact up to 2^53, bools are 0 and 1.",
                          "double", "evaluateAt", (ins "::llvm::ArrayRef<double>":$operands)>];
}

// `rule` names how kinds of operands give the kind of the result; `scalar` is the function of pointwise:: at one point.
class Attn_PointwiseOp<string mnemonic, string rule, string scalarCall, list<Trait> traits>
    : Attn_PureOp<mnemonic, !listconcat([DeclareOpInterfaceMethods<Attn_PointwiseOpInterface>], traits)> {
  let results = (outs Res<Attn_FieldType, "The value at each point of the union of the operands' axes.">:$result);
  let hasFolder = 1;
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::inferReturnTypes(::mlir::MLIRContext *context,
                                                      ::std::optional<::mlir::Location> location, Adaptor adaptor,
                                                      ::llvm::SmallVectorImpl<::mlir::Type> &types) {
      return ::fovea::attn::inferPointwise(context, location, getOperationName(), KindRule::}] # rule # [{,
                                           adaptor.getOperands(), types);
    }
    double $cppClass::evaluateAt(::llvm::ArrayRef<double> x) { return pointwise::}] # scalarCall # [{; }
    ::mlir::OpFoldResult $cppClass::fold(FoldAdaptor adaptor) {
      return ::fovea::attn::foldPointwise(getOperation(), adaptor.getOperands(), &$cppClass::evaluateAt);
    }
  }];
}

class Attn_UnaryOp<string mnemonic, string rule, string formula, list<Trait> traits = []>
    : Attn_PointwiseOp<mnemonic, rule, mnemonic # "_(x[0])", traits> {
  let summary = formula # ", at each point.";
  let arguments = (ins Arg<Attn_FieldType, "x.">:$operand);
  let assemblyFormat = "$operand `:` custom<Field>(type($operand)) attr-dict";
}

class Attn_BinaryOp<string mnemonic, string rule, string formula, list<Trait> traits = []>
    : Attn_PointwiseOp<mnemonic, rule, mnemonic # "_(x[0], x[1])", traits> {
  let summary = formula # ", at each point.";
  let arguments = (ins Arg<Attn_FieldType, "a.">:$lhs, Arg<Attn_FieldType, "b.">:$rhs);
  let assemblyFormat = "$lhs `,` $rhs `:` custom<Field>(type($lhs)) `,` custom<Field>(type($rhs)) attr-dict";
}

// Of one number.
def Attn_NegOp : Attn_UnaryOp<"neg", "Number", "-x"> { let hasCanonicalizer = 1; }
def Attn_AbsOp : Attn_UnaryOp<"abs", "Number", "|x|">;
def Attn_SignOp : Attn_UnaryOp<"sign", "Number", "-1, 0 or 1 by the sign of x">;
def Attn_ExpOp : Attn_UnaryOp<"exp", "Real", "e^x">;
def Attn_Exp2Op : Attn_UnaryOp<"exp2", "Real", "2^x">;
def Attn_Expm1Op : Attn_UnaryOp<"expm1", "Real", "e^x - 1, accurate near 0">;
def Attn_LogOp : Attn_UnaryOp<"log", "Real", "The natural logarithm of x">;
def Attn_Log2Op : Attn_UnaryOp<"log2", "Real", "The logarithm of x to base 2">;
def Attn_Log1pOp : Attn_UnaryOp<"log1p", "Real", "log(1 + x), accurate near 0">;
def Attn_SqrtOp : Attn_UnaryOp<"sqrt", "Real", "The square root of x">;
def Attn_RsqrtOp : Attn_UnaryOp<"rsqrt", "Real", "1 / sqrt(x)">;
def Attn_SinOp : Attn_UnaryOp<"sin", "Real", "The sine of x in radians">;
def Attn_CosOp : Attn_UnaryOp<"cos", "Real", "The cosine of x in radians">;
def Attn_TanhOp : Attn_UnaryOp<"tanh", "Real", "The hyperbolic tangent of x">;
def Attn_SigmoidOp : Attn_UnaryOp<"sigmoid", "Real", "1 / (1 + e^-x)">;
def Attn_SiluOp : Attn_UnaryOp<"silu", "Real", "x * sigmoid(x)">;
def Attn_SoftplusOp : Attn_UnaryOp<"softplus", "Real", "log(1 + e^x)">;
def Attn_LogSigmoidOp : Attn_UnaryOp<"log_sigmoid", "Real", "log(sigmoid(x))">;
def Attn_ReluOp : Attn_UnaryOp<"relu", "Number", "max(x, 0)">;
def Attn_EluOp : Attn_UnaryOp<"elu", "Real", "x where x > 0, else e^x - 1">;
def Attn_GeluOp : Attn_UnaryOp<"gelu", "Real", "x * (1 + erf(x / sqrt(2))) / 2">;
// To an int of 32 bits: saturated, NaN gives 0, as cvt.rmi.s32.f32 and cvt.rni.s32.f32.
def Attn_FloorOp : Attn_UnaryOp<"floor", "RealToInt", "The greatest integer not above x, saturated at 32 bits, 0 for NaN">;
def Attn_RoundOp : Attn_UnaryOp<"round", "RealToInt", "The integer nearest to x, half to even, saturated at 32 bits, 0 for NaN">;
// Of one bool, or into another kind.
def Attn_NotOp : Attn_UnaryOp<"not", "Bool", "not x">;
def Attn_ToRealOp : Attn_UnaryOp<"to_real", "ToReal", "The int or bool x as a real, true being 1">;

// Of two numbers of one kind.
def Attn_AddOp : Attn_BinaryOp<"add", "Number", "a + b", [Commutative]>;
def Attn_SubOp : Attn_BinaryOp<"sub", "Number", "a - b"> { let hasCanonicalizer = 1; }
def Attn_MulOp : Attn_BinaryOp<"mul", "Number", "a * b", [Commutative]> { let hasCanonicalizer = 1; }
def Attn_DivOp : Attn_BinaryOp<"div", "Real", "a / b"> { let hasCanonicalizer = 1; }
def Attn_FloorDivOp : Attn_BinaryOp<"floordiv", "Int", "The greatest integer not above a / b">;
def Attn_ModOp : Attn_BinaryOp<"mod", "Int", "a - b * floordiv(a, b)">;
def Attn_PowOp : Attn_BinaryOp<"pow", "Real", "a^b"> { let hasCanonicalizer = 1; }
def Attn_MinOp : Attn_BinaryOp<"min", "Number", "The smaller of a and b, NaN if either is", [Commutative]>;
def Attn_MaxOp : Attn_BinaryOp<"max", "Number", "The greater of a and b, NaN if either is", [Commutative]>;
def Attn_LogAddExpOp : Attn_BinaryOp<"logaddexp", "Real", "log(e^a + e^b)", [Commutative]>;
def Attn_AndOp : Attn_BinaryOp<"and", "Bool", "a and b", [Commutative]>;
def Attn_OrOp : Attn_BinaryOp<"or", "Bool", "a or b", [Commutative]>;
def Attn_EqOp : Attn_BinaryOp<"eq", "Equal", "a = b", [Commutative]>;
def Attn_NeOp : Attn_BinaryOp<"ne", "Equal", "Not a = b", [Commutative]>;
def Attn_LtOp : Attn_BinaryOp<"lt", "Compare", "a < b">;
def Attn_LeOp : Attn_BinaryOp<"le", "Compare", "a <= b">;
def Attn_GtOp : Attn_BinaryOp<"gt", "Compare", "a > b">;
def Attn_GeOp : Attn_BinaryOp<"ge", "Compare", "a >= b">;

def Attn_SelectOp : Attn_PointwiseOp<"select", "Select", "select_(x[0], x[1], x[2])", []> {
  let summary = "a where the condition holds, else b, at each point.";
  let description = [{
    ```mlir
    %x = attn.select %c, %a, %b : bool [T], real [T, j], real []
    ```
    The branch that is not taken does not matter, NaN included.
  }];
  let arguments = (ins Arg<Attn_FieldType, "The condition, a bool.">:$condition,
                       Arg<Attn_FieldType, "The value where it is true.">:$lhs,
                       Arg<Attn_FieldType, "The value where it is false.">:$rhs);
  let assemblyFormat = [{
    $condition `,` $lhs `,` $rhs `:` custom<Field>(type($condition)) `,` custom<Field>(type($lhs)) `,`
    custom<Field>(type($rhs)) attr-dict
  }];
}

//===----------------------------------------------------------------------===//
// Operations on axes
//===----------------------------------------------------------------------===//

def Attn_ReduceOp : Attn_PureOp<"reduce"> {
  let summary = "A sum, mean, maximum, minimum or logsumexp over axes.";
  let description = [{
    ```mlir
    %s = attn.reduce sum %x over [G, D] : real [B, T, Hk, G, D]
    ```
  }];
  let arguments = (ins
    Arg<Attn_ReduceKindAttr, "What is computed; mean and logsumexp of reals only.">:$kind,
    Arg<Attn_FieldType, "The field.">:$operand,
    Arg<Attn_AxisListAttr, "The axes to remove; at least one.">:$axes);
  let results = (outs Res<Attn_FieldType, "The field without the axes.">:$result);
  let assemblyFormat = "custom<Word>($kind) $operand `over` custom<Axes>($axes) `:` custom<Field>(type($operand)) attr-dict";
  let hasCanonicalizer = 1;
}

def Attn_DotOp : Attn_PureOp<"dot"> {
  let summary = "The sum over axes of a product.";
  let description = [{
    ```mlir
    %s = attn.dot %q, %k over [D] : real [B, T, Hk, G, D], real [B, j, Hk, D]
    ```
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The left factor, a real.">:$lhs,
    Arg<Attn_FieldType, "The right factor, a real.">:$rhs,
    Arg<Attn_AxisListAttr, "The contracted axes; at least one, each on both factors.">:$axes);
  let results = (outs Res<Attn_FieldType, "A field on the union of the factors' axes, without the contracted ones.">:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs `over` custom<Axes>($axes) `:` custom<Field>(type($lhs)) `,` custom<Field>(type($rhs)) attr-dict
  }];
  let hasCanonicalizer = 1;
}

def Attn_RenameOp : Attn_PureOp<"rename"> {
  let summary = "The same field with an axis under another name.";
  let description = [{
    ```mlir
    %kj = attn.rename %k S to j : real [B, S, Hk, D]
    ```
    The two axes have one size. `k[j]` of a walk is the rename of the key axis to the walk axis.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field; it has the old axis and lacks the new one.">:$operand,
    Arg<Attn_AxisNameAttr, "The old name.">:$from,
    Arg<Attn_AxisNameAttr, "The new name.">:$to);
  let results = (outs Res<Attn_FieldType, "The field, the axis in its old place.">:$result);
  let assemblyFormat = [{
    $operand custom<Axis>($from) `to` custom<Axis>($to) `:` custom<Field>(type($operand)) attr-dict
  }];
  let hasCanonicalizer = 1;
}

def Attn_RowAtOp : Attn_PureOp<"row_at"> {
  let summary = "The row of a key-side field at each query's position.";
  let description = [{
    ```mlir
    %x = attn.row_at %v S at T : real [B, S, D]
    ```
    At query t the row with index t + |S| - |T|, zero (false) where that is outside the field: `x[i]` of a tensor on S.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field; it has the raw key axis and lacks the query axis.">:$operand,
    Arg<Attn_AxisNameAttr, "The raw key axis.">:$keys,
    Arg<Attn_AxisNameAttr, "The query axis.">:$query);
  let results = (outs Res<Attn_FieldType, "The field, the query axis in place of the key axis.">:$result);
  let assemblyFormat = [{
    $operand custom<Axis>($keys) `at` custom<Axis>($query) `:` custom<Field>(type($operand)) attr-dict
  }];
}

def Attn_SliceOp : Attn_PureOp<"slice"> {
  let summary = "A part of an axis.";
  let description = [{
    ```mlir
    %r = attn.slice %x E to R after [] : real [B, T, E]
    %p = attn.slice %x E to P after [R] : real [B, T, E]
    ```
    The elements of the axis from the sum of the sizes of the axes named by `after`, as many as `to` has.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field; it has the whole axis and lacks the part.">:$operand,
    Arg<Attn_AxisNameAttr, "The whole axis, for example a concatenation.">:$from,
    Arg<Attn_AxisNameAttr, "The axis of the part.">:$to,
    Arg<Attn_AxisListAttr, "The parts before it; one may stand twice.">:$after);
  let results = (outs Res<Attn_FieldType, "The field, the part in the place of the whole axis.">:$result);
  let assemblyFormat = [{
    $operand custom<Axis>($from) `to` custom<Axis>($to) `after` custom<Axes>($after) `:` custom<Field>(type($operand))
    attr-dict
  }];
  let hasFolder = 1;
}

def Attn_ConcatOp : Attn_PureOp<"concat"> {
  let summary = "Fields one behind the other along an axis.";
  let description = [{
    ```mlir
    %x = attn.concat %r, %p along E from [R, P] : real [B, T, R], real [B, P]
    ```
    Operand n has the n-th of the parts, whose sizes sum up to that of the whole axis. Other axes are united by broadcast.
  }];
  let arguments = (ins
    Arg<Variadic<Attn_FieldType>, "The fields, of one kind; at least one.">:$operands,
    Arg<Attn_AxisNameAttr, "The whole axis.">:$along,
    Arg<Attn_AxisListAttr, "The axis of each operand's part; one may stand twice.">:$parts);
  let results = (outs Res<Attn_FieldType, "The axes of the first operand, the whole axis in its part's place, then those "
                                          "of the others without their parts.">:$result);
  let assemblyFormat = [{
    $operands `along` custom<Axis>($along) `from` custom<Axes>($parts) `:` custom<Fields>(type($operands)) attr-dict
  }];
}

def Attn_GatherOp : Attn_PureOp<"gather"> {
  let summary = "A field at indices that are computed.";
  let description = [{
    ```mlir
    %b = attn.gather %table N at %bucket : real [H, N], int [T, j]
    ```
    The element of the axis at the index, 0 (false) where the index is not from 0 to the size less 1.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field, of any kind.">:$operand,
    Arg<Attn_AxisNameAttr, "An axis of the field.">:$axis,
    Arg<Attn_FieldType, "The index, an int on any axes.">:$index);
  let results = (outs Res<Attn_FieldType, "The axes of the field without the axis, then those of the index that are not "
                                          "among them.">:$result);
  let assemblyFormat = [{
    $operand custom<Axis>($axis) `at` $index `:` custom<Field>(type($operand)) `,` custom<Field>(type($index)) attr-dict
  }];
  let hasCanonicalizer = 1;
}

def Attn_ScanOp : Attn_PureOp<"scan"> {
  let summary = "The sums of all elements up to each one.";
  let description = [{
    ```mlir
    %c = attn.scan %x along T : real [B, T]
    ```
    At index n of the axis the sum over 0 to n, the n-th included.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field, numbers.">:$operand,
    Arg<Attn_AxisNameAttr, "The axis.">:$axis);
  let results = (outs Res<Attn_FieldType, "The sums, on the same axes.">:$result);
  let assemblyFormat = "$operand `along` custom<Axis>($axis) `:` custom<Field>(type($operand)) attr-dict";
  let hasCanonicalizer = 1;
}

def Attn_BlockReduceOp : Attn_PureOp<"block_reduce"> {
  let summary = "A sum, mean, maximum, minimum or logsumexp over each block or window of an axis.";
  let description = [{
    ```mlir
    %m = attn.block_reduce max %x over S to Sb : real [B, S]
    %n = attn.block_reduce sum %p over j to Sb : real [B, T, j]
    ```
    Over the elements that exist: a last block may have fewer.
  }];
  let arguments = (ins
    Arg<Attn_ReduceKindAttr, "What is computed; mean and logsumexp of reals only.">:$kind,
    Arg<Attn_FieldType, "The field.">:$operand,
    Arg<Attn_AxisNameAttr, "The axis that has the blocks, or a walk over it.">:$from,
    Arg<Attn_AxisNameAttr, "The axis of the blocks or windows.">:$to);
  let results = (outs Res<Attn_FieldType, "The field, the blocks in the place of their axis.">:$result);
  let assemblyFormat = [{
    custom<Word>($kind) $operand `over` custom<Axis>($from) `to` custom<Axis>($to) `:` custom<Field>(type($operand))
    attr-dict
  }];
  let hasCanonicalizer = 1;
}

def Attn_FlattenOp : Attn_PureOp<"flatten"> {
  let summary = "The parts of a factor axis as one walk axis, or two axes as the one of their pairs.";
  let description = [{
    ```mlir
    %kj = attn.flatten %k [M, N] to j : real [B, M, N, D]
    ```
    With P = M * N and j a walk over P: at j the element at m = j floordiv |N|, n = j mod |N|. Or j is P = M outer N
    itself, or M outer M with N another name of M.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field; it has all the parts, in any order.">:$operand,
    Arg<Attn_AxisListAttr, "The parts, outermost first.">:$from,
    Arg<Attn_AxisNameAttr, "The walk over the factor axis, or the axis of pairs.">:$to);
  let results = (outs Res<Attn_FieldType, "The field, the walk axis in the place of the first of the parts.">:$result);
  let assemblyFormat = "$operand custom<Axes>($from) `to` custom<Axis>($to) `:` custom<Field>(type($operand)) attr-dict";
  let hasCanonicalizer = 1;
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

def Attn_WeightsOp : Attn_PureOp<"weights", [AttrSizedOperandSegments]> {
  let summary = "Weights of the keys of a walk, for each row.";
  let description = [{
    ```mlir
    %p = attn.weights over j from T score %s : real [B, T, Hk, G, j] where %m : bool [T, j] mass %c : real [j]
                                    sinks(%a, %b : real [Hk, G], real [])
    %f = attn.weights over j from T weight %w : real [B, T, Hk, G, j] where %m : bool [T, j]
    %g = attn.weights over j from P as [M, N] score %s : real [M, N, j]
    ```
    With a `score`: w_ij = mass_ij * exp(score_ij) where the predicate holds, else 0, and
    Z_i = sum_j w_ij + sum over the sinks of exp(sink_i).
    With a `weight`: w_ij = weight_ij where the predicate holds, else 0, and Z_i = 1: nothing is divided.
    Row axes are the ordered union of the axes of score, predicate, mass and sinks without the walk axis, and the query
    axis last where none of them has it. Of a walk over a factor axis the query axis is that axis; its parts, which
    follow `as`, stand for it among the row axes. Nothing at a key where the predicate is false has any influence, NaN
    included.
  }];
  let arguments = (ins
    Arg<Attn_AxisNameAttr, "The walk axis.">:$over,
    Arg<Attn_AxisNameAttr, "The query axis.">:$query,
    Arg<OptionalAttr<Attn_AxisListAttr>, "The parts of the query axis, where it is a factor axis.">:$queryParts,
    Arg<Attn_FieldType, "The score, or the weight itself; a real, usually a pair expression.">:$score,
    Arg<Optional<Attn_FieldType>, "The predicate, a bool: which keys the row sees; absent: all.">:$where,
    Arg<Optional<Attn_FieldType>, "A real factor of the weight of a score; absent: 1.">:$mass,
    Arg<Variadic<Attn_FieldType>, "Further logits, reals without the walk axis, whose value is 0.">:$sinks,
    Arg<DefaultValuedAttr<Attn_WeightFunctionAttr, "::fovea::attn::WeightFunction::Exp">,
        "Whether `score` is a score, or free weights.">:$weight);
  let results = (outs Res<Attn_WeightsType, "The weights, which only expect and stat can use.">:$result);
  let assemblyFormat = [{
    `over` custom<Axis>($over) `from` custom<Axis>($query) (`as` custom<Axes>($queryParts)^)?
    custom<ScoreOrWeight>($weight) $score `:` custom<Field>(type($score))
    (`where` $where^ `:` custom<Field>(type($where)))?
    (`mass` $mass^ `:` custom<Field>(type($mass)))?
    (`sinks` `(` $sinks^ `:` custom<Fields>(type($sinks)) `)`)? attr-dict
  }];
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    WeightsType getWeightsType() { return ::llvm::cast<WeightsType>(getResult().getType()); }
    bool isFree() { return getWeight() == WeightFunction::Free; }
    /// The query axis, or its parts where it is a factor axis: row axes all of them.
    ::llvm::SmallVector<::mlir::StringAttr> getQueryAxes();
  }];
}

def Attn_ExpectOp : Attn_PureOp<"expect"> {
  let summary = "The weighted sum of a value, divided where the weights are those of a score.";
  let description = [{
    ```mlir
    %o = attn.expect %p, %v : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
    %o = attn.expect %p, %v coefficient %t : real [T, j] : [B, T, Hk, G] over j from T, real [B, j, Hk, D]
    ```
    sum_j (w_ij / Z_i) * coefficient_ij * value_j over the keys that the row sees; 0 where Z_i is 0. A value without the
    walk axis is the same at every key. Of free weights Z_i is 1.
  }];
  let arguments = (ins
    Arg<Attn_WeightsType, "The distribution.">:$weights,
    Arg<Attn_FieldType, "The value at each key, a real without the query axis.">:$value,
    Arg<Optional<Attn_FieldType>, "A real on row axes and the walk axis; absent: 1.">:$coefficient);
  let results = (outs Res<Attn_FieldType, "A real on the row axes and those of the value, without the walk axis.">:$result);
  let assemblyFormat = [{
    $weights `,` $value (`coefficient` $coefficient^ `:` custom<Field>(type($coefficient)))? `:`
    custom<Weights>(type($weights)) `,` custom<Field>(type($value)) attr-dict
  }];
  let hasCanonicalizer = 1;
}

def Attn_StatOp : Attn_PureOp<"stat"> {
  let summary = "A statistic of each row of weights.";
  let description = [{
    ```mlir
    %lse = attn.stat lse %p : [B, T, Hk, G] over j from T
    ```
    Over the keys that the row sees, sinks left out: `lse` is log sum_j w_ij to base e, `max` the greatest score, `mass`
    the sum of mass * exp(score - max). A row without keys has lse and max -inf, mass 0. Free weights have only `mass`,
    the sum of the weights.
  }];
  let arguments = (ins
    Arg<Attn_StatKindAttr, "Which statistic.">:$kind,
    Arg<Attn_WeightsType, "The distribution.">:$weights);
  let results = (outs Res<Attn_FieldType, "A real on the row axes.">:$result);
  let assemblyFormat = "custom<Word>($kind) $weights `:` custom<Weights>(type($weights)) attr-dict";
}

def Attn_ConvOp : Attn_PureOp<"conv"> {
  let summary = "A depthwise convolution along one or two axes.";
  let description = [{
    ```mlir
    %y = attn.conv %x, %w along [T] taps [W] : real [B, T, D], real [D, W]
    %z = attn.conv %x, %w along [Y, X] taps [U, W] same : real [B, Y, X, D], real [D, U, W]
    ```
    y[t] = sum_u w[u] x[t + u - c], with x = 0 outside its axis: c = |W| - 1, so that no later element is read, or with
    `same` c = (|W| - 1) div 2. All axes but the taps are like those of a product: `w` may differ from channel to
    channel, and from point to point.
  }];
  let arguments = (ins
    Arg<Attn_FieldType, "The field, a real.">:$operand,
    Arg<Attn_FieldType, "The taps, a real.">:$weights,
    Arg<Attn_AxisListAttr, "The axes of the field that are convolved: one or two.">:$along,
    Arg<Attn_AxisListAttr, "The axis of the taps along each of them.">:$taps,
    Arg<UnitAttr, "The taps are centred; else the last one is at the element itself.">:$same);
  let results = (outs Res<Attn_FieldType, "A real on the axes of the field, then those of the taps but their own.">:$result);
  let assemblyFormat = [{
    $operand `,` $weights `along` custom<Axes>($along) `taps` custom<Axes>($taps) (`same` $same^)? `:`
    custom<Field>(type($operand)) `,` custom<Field>(type($weights)) attr-dict
  }];
}

//===----------------------------------------------------------------------===//
// States
//===----------------------------------------------------------------------===//

def Attn_StateOp : Attn_PureOp<"state", [AttrSizedOperandSegments]> {
  let summary = "A matrix-valued recurrence along the tokens.";
  let description = [{
    ```mlir
    %S = attn.state along T key %k over K : real [B, T, H, K] value %v over V : real [B, T, H, V]
    %S = attn.state along T reverse key %k over K : real [B, T, H, K] value %z over V : real [B, T, H, V]
             decay %g : real [B, T, H, K] erase %e : real [B, T, H, K] where %w : bool [B, T]
             commit %c per Tb : bool [B, Tb, H] initial %h : real [B, H, K, V]
    %n = attn.state along T key %k over K : real [B, T, H, K] value %one : real []
    ```
    With one matrix S per point of the batch axes, for t = 0, 1, .. (`reverse`: from the last token to the first):

        D_t = exp(decay_t) . S_{t-1}                        (the rows, on the key axis, are scaled)
        S_t = D_t + key_t (value_t - D_t^T erase_t)^T

    Without `decay` D_t is S_{t-1}; without `erase` the term with it is absent. Where `where` is false S_t = D_t = S_{t-1}.
    With `commit`, at the end of each block b of the tokens S becomes commit_b ? S : exp(sum of the block's decay) . S at
    the block's start, the tokens where `where` is false left out of the sum; reads inside the block are not touched by it. Before the first token S is `initial`, else 0.

    Without an axis of values the state is one column, and `value` one number per token: with the constant 1 the
    normaliser of linear attention. Batch axes are the ordered union of those of the operands, without the axes of
    tokens, key, value and blocks.

    Additive: Katharopoulos et al., "Transformers are RNNs", arXiv:2006.16236. Decay per channel: Yang et al., "Gated
    linear attention", arXiv:2312.06635. Erase with erase = beta key, value = beta v: Yang et al., "Parallelizing linear
    transformers with the delta rule", arXiv:2406.06484; with decay: Yang et al., "Gated delta networks",
    arXiv:2412.06464.
  }];
  let arguments = (ins
    Arg<Attn_AxisNameAttr, "The axis of tokens.">:$token,
    Arg<UnitAttr, "From the last token to the first.">:$reverse,
    Arg<Attn_FieldType, "The key: a real with the key axis and not the value axis.">:$key,
    Arg<Attn_AxisNameAttr, "The key axis.">:$keyAxis,
    Arg<Attn_FieldType, "The value: a real without the key axis.">:$value,
    Arg<OptionalAttr<Attn_AxisNameAttr>, "The value axis, which the value has; absent: one column.">:$valueAxis,
    Arg<Optional<Attn_FieldType>, "The natural logarithm of the decay: a real without the value axis; at most 0.">:$decay,
    Arg<Optional<Attn_FieldType>, "The erase vector: a real without the value axis.">:$erase,
    Arg<Optional<Attn_FieldType>, "Which tokens take part: a bool without key and value axis.">:$where,
    Arg<Optional<Attn_FieldType>, "Which blocks take effect: a bool without token, key and value axis.">:$commit,
    Arg<OptionalAttr<Attn_AxisNameAttr>, "Of a commit: the axis of blocks of the tokens.">:$blocks,
    Arg<Optional<Attn_FieldType>, "The state before the first token: a real with key and value axis, without tokens.">:$initial);
  let results = (outs Res<Attn_StateType, "The states, which only read, last and every can use.">:$result);
  let assemblyFormat = [{
    `along` custom<Axis>($token) (`reverse` $reverse^)? `key` $key `over` custom<Axis>($keyAxis) `:`
    custom<Field>(type($key)) `value` $value (`over` custom<Axis>($valueAxis)^)? `:` custom<Field>(type($value))
    (`decay` $decay^ `:` custom<Field>(type($decay)))?
    (`erase` $erase^ `:` custom<Field>(type($erase)))?
    (`where` $where^ `:` custom<Field>(type($where)))?
    (`commit` $commit^ `per` custom<Axis>($blocks) `:` custom<Field>(type($commit)))?
    (`initial` $initial^ `:` custom<Field>(type($initial)))? attr-dict
  }];
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    StateType getStateType() { return ::llvm::cast<StateType>(getResult().getType()); }
  }];
}

def Attn_ReadOp : Attn_PureOp<"read"> {
  let summary = "A state multiplied by a vector at each token.";
  let description = [{
    ```mlir
    %o = attn.read after %S, %q : [B, H] K x V along T, real [B, T, H, K]
    ```
    sum over the key axis of q_t times the state: `after` the write S_t, `decayed`, between decay and write, D_t, or
    `prev`, before both, S_{t-1}, in the direction of the state.
  }];
  let arguments = (ins
    Arg<Attn_ReadPointAttr, "Where in a step it is read.">:$point,
    Arg<Attn_StateType, "The state.">:$state,
    Arg<Attn_FieldType, "The vector: a real with the key axis and not the value axis.">:$query);
  let results = (outs Res<Attn_FieldType, "A real on the axes of the vector without the key axis, then the batch axes "
                                          "and the token axis that are not among them, then the value axis.">:$result);
  let assemblyFormat = [{
    custom<Word>($point) $state `,` $query `:` custom<State>(type($state)) `,` custom<Field>(type($query)) attr-dict
  }];
  let hasCanonicalizer = 1;
}

def Attn_LastOp : Attn_PureOp<"last"> {
  let summary = "A state after all tokens.";
  let description = [{
    ```mlir
    %h = attn.last %S : [B, H] K x V along T
    ```
    In the direction of the state: of a reverse one that after the token 0.
  }];
  let arguments = (ins Arg<Attn_StateType, "The state.">:$state);
  let results = (outs Res<Attn_FieldType, "A real on batch axes, key axis and value axis.">:$result);
  let assemblyFormat = "$state `:` custom<State>(type($state)) attr-dict";
}

def Attn_EveryOp : Attn_PureOp<"every"> {
  let summary = "A state at the end of each block of tokens.";
  let description = [{
    ```mlir
    %h = attn.every %S at Tb : [B, H] K x V along T
    ```
    After the last token of each block, of the last one the last token that exists; of a reverse state after the first
    token of each. Where a block of `commit` ends with the same token, after it was committed or taken back.
  }];
  let arguments = (ins Arg<Attn_StateType, "The state.">:$state,
                       Arg<Attn_AxisNameAttr, "An axis of blocks of the tokens.">:$blocks);
  let results = (outs Res<Attn_FieldType, "A real on batch axes, the blocks, key axis and value axis.">:$result);
  let assemblyFormat = "$state `at` custom<Axis>($blocks) `:` custom<State>(type($state)) attr-dict";
}

#endif
