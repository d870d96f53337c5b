// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The operations of the tile dialect: program level first, then what a schedule adds.
#ifndef FOVEA_TILE_OPS_TD
#define FOVEA_TILE_OPS_TD

include "dialect/tile/TileDialect.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Tile_ElementType : AnyTypeOf<[BF16, F16, F32, I32, I1], "bf16, f16, f32, i32 or i1">;
def Tile_Tensor : RankedTensorOf<[BF16, F16, F32, I32, I1], [HasStaticShapePred], "a tile of static shape">;
def Tile_FloatTensor : RankedTensorOf<[BF16, F16, F32], [HasStaticShapePred], "a tile of static shape">;
def Tile_Scalar : AnyTypeOf<[BF16, F16, F32, I32, I1], "a scalar">;

//===----------------------------------------------------------------------===//
// Programs and launches
//===----------------------------------------------------------------------===//

def Tile_ProgramOp : Tile_Op<"program", [IsolatedFromAbove, Symbol, SingleBlock, NoTerminator, NoRegionArguments]> {
  let summary = "an ordered list of launches, with the tensors and sizes that they use";
  let arguments = (ins Tile_AttrArg<SymbolNameAttr, "the name of the program">:$sym_name,
                       Tile_AttrArg<OptionalAttr<DictionaryAttr>, "choices that shaped the algorithm: tile sizes and the kind of schedule">:$choices);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name (`choices` $choices^)? attr-dict-with-keyword $body";
}

def Tile_AxisOp : Tile_Op<"axis", [Pure]> {
  let summary = "the run-time size of an axis";
  let arguments = (ins Tile_AttrArg<StrAttr, "the name of the axis in the specification">:$name);
  let results = (outs Tile_Res<Index, "its size, at least 1">:$size);
  let assemblyFormat = "$name attr-dict";
}

def Tile_TensorOp : Tile_Op<"tensor", [Pure]> {
  let summary = "a tensor that the caller passes";
  let arguments = (ins Tile_AttrArg<StrAttr, "the name of the tensor in the specification">:$name,
                       Tile_AttrArg<StrAttr, "`input`, `param`, `output`, or `carry`: read and written in place">:$role,
                       Tile_AttrArg<StrArrayAttr, "per dimension, the axes whose product is its size, as in `Hk*G`">:$dims,
                       Tile_AttrArg<OptionalAttr<I64Attr>, "bytes to which its address and outer strides may be assumed to be aligned: a power of two up to 16, at least an element; absent: 16">:$alignment);
  let results = (outs Tile_Res<Tile_ViewType, "the memory of the tensor">:$view);
  let assemblyFormat = "$name $role $dims attr-dict `:` type($view)";
  let hasVerifier = 1;
}

def Tile_WorkspaceOp : Tile_Op<"workspace", []> {
  let summary = "memory that lives between the launches of one execution";
  let arguments = (ins Tile_AttrArg<StrAttr, "a name, unique in the program">:$name,
                       Tile_AttrArg<StrArrayAttr, "per dimension, the axes whose product is its size">:$dims);
  let results = (outs Tile_Res<Tile_ViewType, "the memory, dense, last dimension innermost, contents undefined at first">:$view);
  let assemblyFormat = "$name $dims attr-dict `:` type($view)";
  let hasVerifier = 1;
}

def Tile_ComputedAxisOp : Tile_Op<"computed_axis", [Pure, HasParent<"ProgramOp">]> {
  let summary = "names a size that the program computes";
  let description = [{
    Workspaces may have it as a dimension, as `[B, splits, T]`. The name is that of no axis. The value is arithmetic on axes and
    facts of the device, which the host repeats.
  }];
  let arguments = (ins Tile_AttrArg<StrAttr, "a name, unique in the program">:$name,
                       Tile_Arg<Index, "the size, at least 1">:$value);
  let results = (outs Tile_Res<Index, "the size">:$size);
  let assemblyFormat = "$name `=` $value attr-dict";
}

def Tile_DeviceSmsOp : Tile_Op<"device_sms", [Pure, HasParent<"ProgramOp">]> {
  let summary = "the number of multiprocessors";
  let results = (outs Tile_Res<Index, "at least 1">:$count);
  let assemblyFormat = "attr-dict";
}

def Tile_MergeDimsOp : Tile_Op<"merge_dims", [Pure, ParentOneOf<["ProgramOp", "LaunchOp"]>]> {
  let summary = "a view with one more dimension, which runs over a box of two others";
  let description = [{
    The new dimension stands behind both, has `outer * inner` elements, and element r of it, read at indices i and j of dimensions
    a and b, is element i + r / inner of a and j + r % inner of b: rows of (T, G) where H = Hk * G, or of a window of a grid. -1 in
    place of a or b repeats: the other index of the pair does not move. The box lies within the view.
  }];
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory">:$view,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions a (outer) and b (inner), at most one of them -1">:$dims,
                       Tile_Arg<Index, "elements along a">:$outer, Tile_Arg<Index, "elements along b">:$inner);
  let results = (outs Tile_Res<Tile_ViewType, "the view with its new dimension">:$merged);
  let assemblyFormat = "$view `dims` $dims `sizes` `(` $outer `,` $inner `)` attr-dict `:` qualified(type($view)) `->` qualified(type($merged))";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Where the new dimension stands.
    unsigned getPlace() { return unsigned(std::max(getDims()[0], getDims()[1])) + 1; }
  }];
}

def Tile_LaunchOp : Tile_Op<"launch", [SingleBlock, NoTerminator]> {
  let summary = "one kernel over named parallel axes";
  let description = [{
    Each point of the parallel axes is one work item; work items are independent. Launches run in order.
    The region's arguments are the indices of the work item.
  }];
  let arguments = (ins Tile_AttrArg<StrAttr, "the name of the kernel, unique in the program">:$name,
                       Tile_AttrArg<StrArrayAttr, "the names of the parallel axes, slowest first">:$axes,
                       Variadic<Index>:$extents,
                       Tile_AttrArg<OptionalAttr<DictionaryAttr>, "the schedule chosen for this launch: warps, stages and what else level 3 decides">:$schedule);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Sequences that lie one behind the other
//===----------------------------------------------------------------------===//

def Tile_SequenceOp : Tile_Op<"sequence", [MemoryEffects<[MemRead]>, ParentOneOf<["LaunchOp"]>]> {
  let summary = "which rows belong to a sequence";
  let description = [{
    Rows `offsets[index]` to before `offsets[index + 1]` of `total`, at most `most` of them. Whatever the offsets are, the rows lie within
    the total: offsets are clamped to it, a sequence that ends before it begins is empty, and `start` is the number of a row even then.
  }];
  let arguments = (ins Tile_Arg<Tile_ViewType, "the offsets, one more than there are sequences, i32">:$offsets,
                       Tile_Arg<Index, "which sequence">:$index, Tile_Arg<Index, "rows of all sequences, at least 1">:$total,
                       Tile_Arg<Index, "the most that a sequence has">:$most);
  let results = (outs Tile_Res<Index, "its first row">:$start, Tile_Res<Index, "how many it has, from 0">:$length);
  let assemblyFormat = "$offsets `[` $index `]` `of` $total `most` $most attr-dict `:` qualified(type($offsets))";
  let hasVerifier = 1;
}

def Tile_NarrowOp : Tile_Op<"narrow", [Pure, ParentOneOf<["LaunchOp"]>]> {
  let summary = "a view of consecutive elements along one dimension";
  let description = [{
    Element i along `dim` is element `start + i` of the view; there are `size`. They lie within the view. What lies beyond them is
    outside: loads give `pad` there, stores write nothing.
  }];
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory">:$view, Tile_AttrArg<I64Attr, "the dimension, not a merged one">:$dim,
                       Tile_Arg<Index, "the first element">:$start, Tile_Arg<Index, "how many, from 0">:$size);
  let results = (outs Tile_Res<Tile_ViewType, "the part of it">:$part);
  let assemblyFormat = "$view `dim` $dim `from` $start `size` $size attr-dict `:` qualified(type($view)) `->` qualified(type($part))";
  let hasVerifier = 1;
}

def Tile_EndIfOp : Tile_Op<"end_if", [MemoryEffects<[MemRead, MemWrite]>, HasParent<"LaunchOp">]> {
  let summary = "ends the work item where a condition holds";
  let description = [{ The condition is the same in all threads. Of tiles beyond the end of a sequence, say. }];
  let arguments = (ins Tile_Arg<I1, "where it is true nothing that follows is done">:$condition);
  let assemblyFormat = "$condition attr-dict";
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

def Tile_LoadOp : Tile_Op<"load", [AttrSizedOperandSegments, MemoryEffects<[MemRead]>]> {
  let summary = "a tile of a view";
  let description = [{
    Reads the box at `indices` that spans the result's shape over the dimensions `dims` (ascending), one element in every other
    dimension. Elements outside the view are `pad`. A rank-0 read is `load_scalar`.
    `limit`, where given, bounds the first tiled dimension further: rows at or beyond it are `pad` (ragged tails).
  }];
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory that is read">:$view,
                       Variadic<Index>:$indices,
                       Optional<Index>:$limit,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions of the view that the tile spans, ascending">:$dims,
                       Tile_AttrArg<TypedAttrInterface, "the value of elements outside the view">:$pad);
  let results = (outs Tile_Res<Tile_Tensor, "the tile">:$tile);
  let assemblyFormat = "$view `[` $indices `]` `dims` $dims (`limit` $limit^)? `pad` $pad attr-dict `:` qualified(type($view)) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_GatherOp : Tile_Op<"gather", [AttrSizedOperandSegments, MemoryEffects<[MemRead]>]> {
  let summary = "elements or rows of a view by tiles of indices; outside the view 0";
  let description = [{
    `by` names the dimensions of the view that the tiles of indices run along, one tile for each, all of one shape. `dims` says what
    each dimension of the result is: a dimension of the view that the result spans, as in `load`, or -1 for the next dimension of
    the tiles of indices. To an index of `by`, that of `indices` is added.

    ```mlir
    %x = tile.gather %table[%h, %c0] by [1] (%bucket : tensor<64x64xi32>) dims [-1, -1] : !tile.view<?x32xf32> -> tensor<64x64xf32>
    %r = tile.gather %q[%b, %c0, %c0] by [1] (%n : tensor<64xi32>) dims [-1, 2] : !tile.view<?x?x64xbf16> -> tensor<64x64xbf16>
    ```
  }];
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory that is read">:$view, Variadic<Index>:$indices,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions of the view that the tiles of indices run along">:$by,
                       Variadic<Tile_Tensor>:$which,
                       Tile_AttrArg<DenseI64ArrayAttr, "for each dimension of the result, that of the view, or -1">:$dims);
  let results = (outs Tile_Res<Tile_Tensor, "the tile">:$tile);
  let assemblyFormat = "$view `[` $indices `]` `by` $by `(` $which `:` type($which) `)` `dims` $dims attr-dict `:` qualified(type($view)) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_LoadScalarOp : Tile_Op<"load_scalar", [MemoryEffects<[MemRead]>]> {
  let summary = "one element of a view; the indices are in range";
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory that is read">:$view, Variadic<Index>:$indices);
  let results = (outs Tile_Res<Tile_Scalar, "the element">:$value);
  let assemblyFormat = "$view `[` $indices `]` attr-dict `:` qualified(type($view)) `->` type($value)";
  let hasVerifier = 1;
}

def Tile_StoreOp : Tile_Op<"store", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes a tile into a view; elements outside the view are dropped";
  let arguments = (ins Tile_Arg<Tile_Tensor, "the tile, of the view's element type">:$tile,
                       Tile_Arg<Tile_ViewType, "the memory that is written">:$view, Variadic<Index>:$indices,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions of the view that the tile spans, ascending">:$dims);
  let assemblyFormat = "$tile `,` $view `[` $indices `]` `dims` $dims attr-dict `:` type($tile) `,` qualified(type($view))";
  let hasVerifier = 1;
}

def Tile_StoreScalarOp : Tile_Op<"store_scalar", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes one element of a view; the indices are in range";
  let arguments = (ins Tile_Arg<Tile_Scalar, "the value, of the view's element type and the same in all threads">:$value,
                       Tile_Arg<Tile_ViewType, "the memory that is written">:$view, Variadic<Index>:$indices);
  let assemblyFormat = "$value `,` $view `[` $indices `]` attr-dict `:` type($value) `,` qualified(type($view))";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

def Tile_SplatOp : Tile_Op<"splat", [Pure]> {
  let summary = "a tile whose elements all are one scalar";
  let arguments = (ins Tile_Arg<Tile_Scalar, "the value">:$value);
  let results = (outs Tile_Res<Tile_Tensor, "the tile">:$tile);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_BroadcastOp : Tile_Op<"broadcast", [Pure]> {
  let summary = "repeats a tile along new dimensions";
  let arguments = (ins Tile_Arg<Tile_Tensor, "the tile">:$source,
                       Tile_AttrArg<DenseI64ArrayAttr, "for each dimension of the source, its place in the result, ascending">:$dims);
  let results = (outs Tile_Res<Tile_Tensor, "the repeated tile">:$tile);
  let assemblyFormat = "$source `dims` $dims attr-dict `:` type($source) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_IotaOp : Tile_Op<"iota", [Pure]> {
  let summary = "start, start + 1, ... as a rank-1 tile of i32";
  let arguments = (ins Tile_Arg<Index, "the first value">:$start);
  let results = (outs Tile_Res<Tile_Tensor, "the values">:$tile);
  let assemblyFormat = "$start attr-dict `:` type($tile)";
  let hasVerifier = 1;
}

def Tile_DotOp : Tile_Op<"dot", [Pure, AllTypesMatch<["acc", "tile"]>]> {
  let summary = "acc + a contracted with b over one dimension of each, accumulated in f32";
  let description = [{
    `dot %a, %b, %c contract [1, 1]` is `c[m, n] + sum_k a[m, k] b[n, k]`; `[1, 0]` reads b as `b[k, n]`. Products of 16-bit
    operands are exact; the order of summation is the schedule's.

    For f32 operands `precision` says how they are multiplied (absent: `fma`): `tf32` rounds both to 11 significant bits; `3xtf32` splits each into a
    rounded part and a rest and leaves out the product of the rests (Ootomo and Yokota, arXiv 2203.03341): relative error about 2^-22;
    `fma` multiplies f32 as it is.

    With `hides`, an element of a that is exactly 0 adds nothing whatever the element of b is: weights of masked keys, whose
    values nobody may see.
  }];
  let arguments = (ins Tile_Arg<Tile_FloatTensor, "left operand">:$a, Tile_Arg<Tile_FloatTensor, "right operand, of the same element type">:$b,
                       Tile_Arg<Tile_FloatTensor, "what is added, f32">:$acc,
                       Tile_AttrArg<DenseI64ArrayAttr, "the contracted dimension of a and of b">:$contract,
                       Tile_AttrArg<OptionalAttr<StrAttr>, "of f32 operands: `tf32`, `3xtf32` or `fma`">:$precision,
                       Tile_AttrArg<UnitAttr, "an element of a that is exactly 0 hides what it meets, NaN and infinity too">:$hides);
  let results = (outs Tile_Res<Tile_FloatTensor, "the sum, f32">:$tile);
  let builders = [OpBuilder<(ins "::mlir::Type":$tile, "::mlir::Value":$a, "::mlir::Value":$b, "::mlir::Value":$acc,
                                 "::llvm::ArrayRef<int64_t>":$contract), [{
    build($_builder, $_state, tile, a, b, acc, contract, ::mlir::StringAttr());
  }]>];
  let assemblyFormat = "$a `,` $b `,` $acc `contract` $contract (`precision` $precision^)? attr-dict `:` type($a) `,` type($b) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_ReduceOp : Tile_Op<"reduce", [Pure]> {
  let summary = "sum or maximum along one dimension, f32";
  let arguments = (ins Tile_AttrArg<StrAttr, "`add` or `max`">:$kind, Tile_Arg<Tile_Tensor, "a rank-2 tile of f32">:$source,
                       Tile_AttrArg<I64Attr, "the dimension that disappears">:$dim);
  let results = (outs Tile_Res<Tile_Tensor, "the rank-1 result">:$tile);
  let assemblyFormat = "$kind $source `dim` $dim attr-dict `:` type($source) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_ScanOp : Tile_Op<"scan", [Pure]> {
  let summary = "running sums along one dimension, f32, and their last";
  let description = [{
    `y[r] = x[0] + ... + x[r]` along `dim`, the first element included; with `reverse`, `y[r] = x[r] + x[r + 1] + ...` up to the last.
    `total` is the sum of all, with which the next tile of a longer scan begins: a scalar of a rank-1 tile, else a tile without
    the dimension. The order of summation is the schedule's and depends on the shape alone.
  }];
  let arguments = (ins Tile_Arg<Tile_Tensor, "a tile of f32, rank 1 or 2">:$source,
                       Tile_AttrArg<I64Attr, "the dimension along which sums run">:$dim,
                       Tile_AttrArg<UnitAttr, "sums run from the last element to the first">:$reverse);
  let results = (outs Tile_Res<Tile_Tensor, "the sums, of the type of the source">:$tile,
                      Tile_Res<AnyType, "the sum along the dimension">:$total);
  let assemblyFormat = "$source `dim` $dim (`reverse` $reverse^)? attr-dict `:` type($source) `->` type($tile) `,` type($total)";
  let hasVerifier = 1;
}

def Tile_SliceOp : Tile_Op<"slice", [Pure]> {
  let summary = "a run of indices of one dimension of a tile";
  let arguments = (ins Tile_Arg<Tile_Tensor, "the tile">:$source, Tile_AttrArg<I64Attr, "the dimension that is cut">:$dim,
                       Tile_AttrArg<I64Attr, "the first index that is kept">:$offset);
  let results = (outs Tile_Res<Tile_Tensor, "the part">:$tile);
  let assemblyFormat = "$source `dim` $dim `offset` $offset attr-dict `:` type($source) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_ConcatOp : Tile_Op<"concat", [Pure]> {
  let summary = "tiles one after the other along one dimension";
  let arguments = (ins Variadic<Tile_Tensor>:$sources, Tile_AttrArg<I64Attr, "the dimension along which they follow each other">:$dim);
  let results = (outs Tile_Res<Tile_Tensor, "the tiles together">:$tile);
  let assemblyFormat = "$sources `dim` $dim attr-dict `:` type($sources) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_TransposeOp : Tile_Op<"transpose", [Pure]> {
  let summary = "a tile with its two dimensions exchanged";
  let description = [{
    `y[j, i] = x[i, j]`. Threads keep their elements where the layout of the result is that of the source with its dimensions exchanged: then
    the operation moves nothing.
  }];
  let arguments = (ins Tile_Arg<Tile_Tensor, "a rank-2 tile, [rows, columns]">:$source);
  let results = (outs Tile_Res<Tile_Tensor, "[columns, rows]">:$tile);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_UnitTrilInverseOp : Tile_Op<"unit_tril_inverse", [Pure, AllTypesMatch<["source", "tile"]>]> {
  let summary = "the inverse of a unit triangular matrix, f32";
  let description = [{
    `(I + L)^-1` of the strictly lower part L of the source, [C, C]: ones on the diagonal, 0 above it. With `reverse` L is the strictly upper
    part. The rest of the source is not read: it may be anything, NaN too.

    Blocks of 16 rows on the diagonal are inverted by substitution in f32. `precision` says how the inverses A^-1 and D^-1 of neighbours are
    multiplied to that of both, -D^-1 B A^-1 beside them: `f32` (or absent) by multiply-adds; `tf32` on tensor cores, each operand of both
    products rounded to 11 significant bits, sums in f32.

    A product of C Householder-like factors `I - b_r k_r k_r^T` is `I - K^T T W` with a triangular T of this form: the compact WY
    representation of Bischof and Van Loan (SIAM J. Sci. Stat. Comput. 8, 1987), in the form of the UT transform that Yang et al.
    (arXiv 2406.06484) use for chunks of linear attention with the delta rule.
  }];
  let arguments = (ins Tile_Arg<Tile_FloatTensor, "a square tile of f32">:$source,
                       Tile_AttrArg<UnitAttr, "the strictly upper part instead of the lower one">:$reverse,
                       Tile_AttrArg<OptionalAttr<StrAttr>, "of the products of blocks: `f32` or `tf32`">:$precision);
  let results = (outs Tile_Res<Tile_FloatTensor, "the inverse, f32">:$tile);
  let assemblyFormat = "$source (`reverse` $reverse^)? (`precision` $precision^)? attr-dict `:` type($tile)";
  let hasVerifier = 1;
}

def Tile_DecayedDotOp : Tile_Op<"decayed_dot", [Pure]> {
  let summary = "products of rows whose features decay between the two, f32";
  let description = [{
    `r[i, j] = sum_d a[i, d] b[j, d] 2^(g[i, d] - g[j, d])` for j <= i and 0 elsewhere; with `strict` for j < i; with `reverse` for j >= i (j > i).
    g holds running sums along rows of steps that are at most 0, the own row's included, in base-2 logarithms; with `reverse` they run from the
    last row to the first. So no exponent that is evaluated is positive, and without `bounded` no schedule may evaluate a positive one: 2^(-g[j, d])
    alone may be infinite. With `exclusive` the left row is without its own step: 2^(g[i - 1, d] - g[j, d]) for j < i, so that the first
    row is 0; with `reverse` it is g[i + 1, d], j > i and the last row. Yang et al. (arXiv 2312.06635, "gated linear attention") compute it by sub-blocks for that reason.

    `bounded` promises that rows at most eight apart differ by at most 60 in g, and permits exponents up to that: 16 rows may share an
    anchor m in their middle, as 2^(g[i, d] - g[m, d]) and 2^(g[m, d] - g[j, d]). Each factor is between 2^-60 and 2^60, which in bf16 and f32
    is exact to the type's precision and, with an element below 2^67, finite; f16 holds neither, and has no such products. Factors of rows that
    do not see each other may overflow in their product, which is not used. The result is the same up to rounding.
  }];
  let arguments = (ins Tile_Arg<Tile_FloatTensor, "left rows, [C, K], bf16, f16 or f32">:$a,
                       Tile_Arg<Tile_FloatTensor, "right rows, of the same shape and element type">:$b,
                       Tile_Arg<Tile_FloatTensor, "running sums of base-2 logarithms, [C, K], f32">:$g,
                       Tile_AttrArg<UnitAttr, "the diagonal is 0">:$strict,
                       Tile_AttrArg<UnitAttr, "the left row is without its own step, and the diagonal is 0">:$exclusive,
                       Tile_AttrArg<UnitAttr, "rows follow each other from the last to the first">:$reverse,
                       Tile_AttrArg<UnitAttr, "rows at most eight apart differ by at most 60 in g; not with f16">:$bounded);
  let results = (outs Tile_Res<Tile_FloatTensor, "[C, C], f32">:$tile);
  let assemblyFormat = "$a `,` $b `,` $g (`strict` $strict^)? (`exclusive` $exclusive^)? (`reverse` $reverse^)? (`bounded` $bounded^)? attr-dict `:` type($a) `,` type($b) `,` type($g) `->` type($tile)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Recurrences
//===----------------------------------------------------------------------===//

def Tile_RecurrenceOp : Tile_Op<"recurrence", [RecursiveMemoryEffects, SingleBlock, DeclareOpInterfaceMethods<InferTypeOpInterface>]> {
  let summary = "a loop over chunks of tokens, in order, with states";
  let description = [{
    Runs the body for the chunks that begin at lo, lo + step, ... below hi; with `reverse` for the same chunks from the last to the first. The
    body's arguments are the first token of the chunk and the states, at first `init`; what it yields are the states for the next chunk,
    and after the last chunk the results. Without chunks the results are `init`. The body may load and store. The last chunk may reach
    beyond hi: its body masks.

    ```mlir
    %s = tile.recurrence from %c0 to %T step 64 init (%s0 : tensor<64x64xf32>) {
    ^bb0(%start: index, %state: tensor<64x64xf32>):
      ...
      tile.recurrence_yield %next : tensor<64x64xf32>
    }
    ```
  }];
  let arguments = (ins Tile_Arg<Index, "the first token">:$lo, Tile_Arg<Index, "the end of the tokens">:$hi,
                       Tile_AttrArg<I64Attr, "tokens per chunk, at least 1">:$step,
                       Tile_AttrArg<UnitAttr, "from the last chunk to the first">:$reverse,
                       Variadic<AnyTypeOf<[Tile_Tensor, Tile_Scalar]>>:$init);
  let regions = (region SizedRegion<1>:$body);
  let results = (outs Variadic<AnyTypeOf<[Tile_Tensor, Tile_Scalar]>>:$states);
  let assemblyFormat = "`from` $lo `to` $hi `step` $step (`reverse` $reverse^)? (`init` `(` $init^ `:` type($init) `)`)? attr-dict-with-keyword $body";
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Tile_RecurrenceYieldOp : Tile_Op<"recurrence_yield", [Terminator, Pure, ParentOneOf<["RecurrenceOp"]>]> {
  let summary = "the states after a chunk";
  let arguments = (ins Variadic<AnyTypeOf<[Tile_Tensor, Tile_Scalar]>>:$states);
  let assemblyFormat = "($states^ `:` type($states))? attr-dict";
}

//===----------------------------------------------------------------------===//
// Domains and folds
//===----------------------------------------------------------------------===//

def Tile_DomainOp : Tile_Op<"domain", [Pure, AttrSizedOperandSegments]> {
  let summary = "a union of ranges of keys, cut into tiles";
  let description = [{
    Keys [lo, hi) of each range (empty where hi <= lo; clipped to [0, limit)), widened to whole tiles of `step` keys; a tile that two ranges share is
    visited once. A tile all of whose keys lie in [full_lo, full_hi) of one range needs no mask for any query of the work item.
  }];
  let arguments = (ins Variadic<Index>:$lo, Variadic<Index>:$hi, Variadic<Index>:$full_lo, Variadic<Index>:$full_hi,
                       Tile_Arg<Index, "the number of keys">:$limit,
                       Tile_AttrArg<I64Attr, "keys per tile">:$step);
  let results = (outs Tile_Res<Tile_DomainType, "the tiles to visit">:$domain);
  let assemblyFormat = "`ranges` `(` $lo `to` $hi `)` `full` `(` $full_lo `to` $full_hi `)` `limit` $limit `step` $step attr-dict";
  let hasVerifier = 1;
}

def Tile_DomainSliceOp : Tile_Op<"domain_slice", [Pure]> {
  let summary = "some tiles of a domain, in its order";
  let arguments = (ins Tile_Arg<Tile_DomainType, "the domain">:$domain,
                       Tile_Arg<Index, "its first tile that belongs to the slice, at least 0">:$first,
                       Tile_Arg<Index, "how many, where the domain has them; at least 0">:$count);
  let results = (outs Tile_Res<Tile_DomainType, "tiles first to first + count - 1">:$slice);
  let assemblyFormat = "$domain `from` $first `count` $count attr-dict";
}

def Tile_DomainCountOp : Tile_Op<"domain_count", [Pure]> {
  let summary = "the number of tiles in a domain";
  let arguments = (ins Tile_Arg<Tile_DomainType, "the domain">:$domain);
  let results = (outs Tile_Res<Index, "how many tiles are visited">:$count);
  let assemblyFormat = "$domain attr-dict";
}

def Tile_DomainTileOp : Tile_Op<"domain_tile", [Pure]> {
  let summary = "the n-th tile of a domain";
  let description = [{ Beyond the last tile, as a copy that begins ahead may ask, the start lies beyond every key and nothing is full. }];
  let description = [{ For n outside [0, count) the results are unspecified: a copy that begins ahead of its use may ask, and is not made. }];
  let arguments = (ins Tile_Arg<Tile_DomainType, "the domain">:$domain, Tile_Arg<Index, "which tile, from 0">:$n);
  let results = (outs Tile_Res<Index, "its first key">:$start, Tile_Res<I1, "true where the tile needs no mask">:$full);
  let assemblyFormat = "$domain `[` $n `]` attr-dict";
}

def Tile_FoldOp : Tile_Op<"fold", [RecursiveMemoryEffects, SingleBlock]> {
  let summary = "softmax over the keys of a domain, with several weighted sums, before division";
  let description = [{
    The row state of online softmax (Milakov and Gimelshein, arXiv 1805.02867): with s = score[i, j] over all visited keys j whose mask holds,

        m_i = max_j s ;  l_i = sum_j exp(scale (s - m_i)) ;  u_i^t = sum_j exp(scale (s - m_i)) c^t_ij y^t_j

    for each term t of `fold_yield`. Rows without keys give m = -inf, l = 0, u = 0. `body` computes a tile of scores and terms
    from its first key; `mask` computes which elements count and is read only for tiles that the domain does not call full.
    Merging two states: m = max, each l and u scaled by exp(scale (m_x - m)).

    With `additive` the weights are the scores themselves: l_i = sum_j s, u_i^t = sum_j s c^t_ij y^t_j, and m is 0, so that states merge by
    the same rule. The scale is 1 then.
  }];
  let arguments = (ins Tile_Arg<Tile_DomainType, "the keys">:$domain, Tile_Arg<F32, "multiplies the scores; positive">:$scale,
                       Tile_AttrArg<UnitAttr, "weights are the scores themselves, not their exponentials">:$additive);
  let regions = (region SizedRegion<1>:$body, SizedRegion<1>:$mask);
  let results = (outs Tile_Res<Tile_Tensor, "m, rank 1">:$max, Tile_Res<Tile_Tensor, "l, rank 1">:$sum,
                      Variadic<Tile_Tensor>:$accumulators);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Tile_FoldYieldOp : Tile_Op<"fold_yield", [Terminator, Pure, AttrSizedOperandSegments, ParentOneOf<["FoldOp"]>]> {
  let summary = "one tile of scores, and of the terms that they weigh";
  let description = [{
    Term t is `coefficients[coefficient_of[t]]` times `values[value_of[t]]`, -1 meaning absent (1): a coefficient is [queries, keys], a value
    is [keys, features]. Without a value the accumulator is rank 1. `value_type` is the type to which weights are rounded
    before the product with the value.
  }];
  let arguments = (ins Tile_Arg<Tile_Tensor, "scores, [queries, keys], f32">:$score,
                       Variadic<Tile_Tensor>:$coefficients, Variadic<Tile_Tensor>:$values,
                       Tile_AttrArg<DenseI64ArrayAttr, "for each term, its coefficient or -1">:$coefficient_of,
                       Tile_AttrArg<DenseI64ArrayAttr, "for each term, its value or -1">:$value_of);
  let assemblyFormat = "$score (`coefficients` `(` $coefficients^ `:` type($coefficients) `)`)? (`values` `(` $values^ `:` type($values) `)`)? `terms` $coefficient_of `*` $value_of attr-dict `:` type($score)";
  let hasVerifier = 1;
}

def Tile_MaskYieldOp : Tile_Op<"mask_yield", [Terminator, Pure, ParentOneOf<["FoldOp"]>]> {
  let summary = "which elements of a tile of scores count";
  let arguments = (ins Tile_Arg<Tile_Tensor, "[queries, keys], i1">:$mask);
  let assemblyFormat = "$mask attr-dict `:` type($mask)";
}

//===----------------------------------------------------------------------===//
// What a schedule adds
//===----------------------------------------------------------------------===//

def Tile_ConvertLayoutOp : Tile_Op<"convert_layout", [Pure]> {
  let summary = "the same tile in another layout";
  let arguments = (ins Tile_Arg<Tile_Tensor, "the tile">:$source);
  let results = (outs Tile_Res<Tile_Tensor, "the tile in the layout of the result type">:$tile);
  let assemblyFormat = "$source attr-dict `:` type($source) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_SmemAllocOp : Tile_Op<"smem_alloc", [MemoryEffects<[MemAlloc]>]> {
  let summary = "shared memory of the work item";
  let description = [{ `offset` is its place in bytes, set by `tile-allocate-smem`; rings whose lives do not meet may share bytes. }];
  let arguments = (ins Tile_AttrArg<OptionalAttr<I64Attr>, "first byte in the shared memory of the work item">:$offset);
  let results = (outs Tile_Res<Tile_SmemType, "the ring">:$smem);
  let assemblyFormat = "(`at` $offset^)? attr-dict `:` qualified(type($smem))";
}

def Tile_CopyStartOp : Tile_Op<"copy_start", [AttrSizedOperandSegments, MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "begins an asynchronous copy of a tile into one stage of a ring; elements outside the view become 0";
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory that is read">:$view, Variadic<Index>:$indices,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions of the view that the tile spans, ascending">:$dims,
                       Tile_Arg<Tile_SmemType, "where the tile goes">:$smem, Tile_Arg<Index, "which stage">:$stage,
                       Optional<I1>:$predicate);
  let assemblyFormat = "$view `[` $indices `]` `dims` $dims `to` $smem `[` $stage `]` (`if` $predicate^)? attr-dict `:` qualified(type($view)) `->` qualified(type($smem))";
  let hasVerifier = 1;
}

def Tile_CopyCommitOp : Tile_Op<"copy_commit", [MemoryEffects<[MemWrite]>]> {
  let summary = "closes a group of the copies begun since the last group, possibly none";
  let assemblyFormat = "attr-dict";
}

def Tile_CopyWaitOp : Tile_Op<"copy_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits until at most `pending` groups of this thread are under way; other threads see the data after a barrier";
  let arguments = (ins Tile_AttrArg<I64Attr, "how many of the newest groups may still be under way">:$pending);
  let assemblyFormat = "$pending attr-dict";
}

def Tile_BarrierOp : Tile_Op<"barrier", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "all threads of the work item (or of the role) arrive before any goes on";
  let assemblyFormat = "attr-dict";
}

def Tile_SmemReadOp : Tile_Op<"smem_read", [AttrSizedOperandSegments, MemoryEffects<[MemRead]>]> {
  let summary = "a tile from one stage of a ring";
  let description = [{
    The `of` clause says what the stage holds: a tile of a view, or a tile that was written there. It is a claim: the interpreter checks
    it, `strip-schedule` puts it in place of the read. A tile of a view may be some of the stage's rows, those from `row` on: several
    that overlap, as the taps of a convolution do, share one copy.
  }];
  let arguments = (ins Tile_Arg<Tile_SmemType, "the ring">:$smem, Tile_Arg<Index, "which stage">:$stage,
                       Optional<Tile_ViewType>:$view, Variadic<Index>:$indices, Optional<Tile_Tensor>:$written,
                       Tile_AttrArg<OptionalAttr<DenseI64ArrayAttr>, "the dimensions of the view that the tile spans">:$dims,
                       Tile_AttrArg<DefaultValuedAttr<I64Attr, "0">, "the stage's row that is the tile's first">:$row);
  let results = (outs Tile_Res<Tile_Tensor, "the tile">:$tile);
  let assemblyFormat = "$smem `[` $stage `]` `of` (`view` $view^ `[` $indices `]` `dims` $dims `:` qualified(type($view)))? (`tile` $written^ `:` type($written))? attr-dict `:` qualified(type($smem)) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_SmemWriteOp : Tile_Op<"smem_write", [MemoryEffects<[MemWrite]>]> {
  let summary = "writes a tile into one stage of a ring; a vector into a stage of one row";
  let arguments = (ins Tile_Arg<Tile_Tensor, "the tile">:$tile, Tile_Arg<Tile_SmemType, "the ring">:$smem, Tile_Arg<Index, "which stage">:$stage);
  let assemblyFormat = "$tile `to` $smem `[` $stage `]` attr-dict `:` type($tile) `->` qualified(type($smem))";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Warp roles
//===----------------------------------------------------------------------===//

def Tile_RolesOp : Tile_Op<"roles", [SingleBlock, NoTerminator, NoRegionArguments, RecursiveMemoryEffects, ParentOneOf<["LaunchOp"]>]> {
  let summary = "the warps of a work item split into roles that run side by side";
  let description = [{
    The region holds `tile.role` operations alone. They start together, and the operation ends when all have ended. Only channels and
    orders made before it cross between them.

    ```mlir
    tile.roles {
      tile.role "producer" warps 4 registers 24 { ... }
      tile.role "consumer" count 2 warps 4 registers 240 (%id) { ... }
    }
    ```
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
}

def Tile_RoleOp : Tile_Op<"role", [SingleBlock, NoTerminator, RecursiveMemoryEffects, ParentOneOf<["RolesOp"]>]> {
  let summary = "what one group of warps does";
  let description = [{
    `count` instances run the region, each on `warps` warps of its own, with at most `registers` registers per thread. With a count, the
    region's argument is the number of the instance, from 0.
  }];
  let arguments = (ins Tile_AttrArg<StrAttr, "its name, unique among the roles">:$name,
                       Tile_AttrArg<DefaultValuedAttr<I64Attr, "1">, "how many instances">:$count,
                       Tile_AttrArg<I64Attr, "warps per instance">:$warps,
                       Tile_AttrArg<I64Attr, "registers per thread: a multiple of 8 from 24 to 240, as setmaxnreg wants">:$registers);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

def Tile_ChannelOp : Tile_Op<"channel", [MemoryEffects<[MemAlloc]>]> {
  let summary = "a ring of tiles from one role to the readers of another";
  let description = [{
    One role puts; `readers` role instances take, each of them every tile, in order. A stage is free again when all readers have released it.
  }];
  let arguments = (ins Tile_AttrArg<I64Attr, "how many role instances take from it">:$readers,
                       Tile_AttrArg<OptionalAttr<I64Attr>, "first byte in the shared memory of the work item">:$offset);
  let results = (outs Tile_Res<Tile_ChannelType, "the channel, empty">:$channel);
  let assemblyFormat = "`readers` $readers (`at` $offset^)? attr-dict `:` qualified(type($channel))";
  let hasVerifier = 1;
}

def Tile_PutOp : Tile_Op<"put", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits for a free stage of a channel and begins to copy a tile into it; elements outside the view become 0";
  let arguments = (ins Tile_Arg<Tile_ViewType, "the memory that is read">:$view, Variadic<Index>:$indices,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions of the view that the tile spans, ascending">:$dims,
                       Tile_Arg<Tile_ChannelType, "where the tile goes">:$channel);
  let assemblyFormat = "$view `[` $indices `]` `dims` $dims `to` $channel attr-dict `:` qualified(type($view)) `->` qualified(type($channel))";
  let hasVerifier = 1;
}

def Tile_TakeOp : Tile_Op<"take", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits for the next tile of a channel";
  let description = [{
    The tile stays in its stage: it may be used until this role releases the stage, and products that were started with it must be
    waited for before that. The `of` clause says which tile of a view it is: a claim that the interpreter checks and that
    `strip-schedule` puts in place of the operation.
  }];
  let arguments = (ins Tile_Arg<Tile_ChannelType, "the channel">:$channel,
                       Tile_Arg<Tile_ViewType, "the view that the tile was put from">:$view, Variadic<Index>:$indices,
                       Tile_AttrArg<DenseI64ArrayAttr, "the dimensions of the view that the tile spans, ascending">:$dims);
  let results = (outs Tile_Res<Tile_Tensor, "the tile">:$tile);
  let assemblyFormat = "$channel `of` `view` $view `[` $indices `]` `dims` $dims attr-dict `:` qualified(type($channel)) `,` qualified(type($view)) `->` type($tile)";
  let hasVerifier = 1;
}

def Tile_ReleaseOp : Tile_Op<"release", [MemoryEffects<[MemWrite]>]> {
  let summary = "gives the oldest stage that this role instance holds back to the channel";
  let arguments = (ins Tile_Arg<Tile_ChannelType, "the channel">:$channel);
  let assemblyFormat = "$channel attr-dict `:` qualified(type($channel))";
}

def Tile_OrderOp : Tile_Op<"order", [MemoryEffects<[MemAlloc]>]> {
  let summary = "turns among `count` role instances, the first to 0; between its turns the others compute (ping-pong)";
  let arguments = (ins Tile_AttrArg<I64Attr, "how many instances take turns">:$count);
  let results = (outs Tile_Res<Tile_OrderType, "the turns">:$order);
  let assemblyFormat = "$count attr-dict";
  let hasVerifier = 1;
}

def Tile_OrderWaitOp : Tile_Op<"order_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits for the turn of an instance";
  let arguments = (ins Tile_Arg<Tile_OrderType, "the turns">:$order, Tile_Arg<Index, "the number of the instance">:$id);
  let assemblyFormat = "$order `[` $id `]` attr-dict";
}

def Tile_OrderSignalOp : Tile_Op<"order_signal", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "ends the turn of an instance: the next one, cyclically, has it";
  let arguments = (ins Tile_Arg<Tile_OrderType, "the turns">:$order, Tile_Arg<Index, "the number of the instance that has the turn">:$id);
  let assemblyFormat = "$order `[` $id `]` attr-dict";
}

def Tile_DotStartOp : Tile_Op<"dot_start", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "begins acc + a contracted with b, as tile.dot does";
  let description = [{
    The accumulator exists only as the result of `dot_wait`, so it cannot be read too early. The token is waited for once, in the
    block of the start: an accumulator in flight that crosses a block boundary or a back edge makes ptxas insert waits.
  }];
  let arguments = (ins Tile_Arg<Tile_FloatTensor, "left operand">:$a, Tile_Arg<Tile_FloatTensor, "right operand, of the same element type">:$b,
                       Tile_Arg<Tile_FloatTensor, "what is added, f32">:$acc,
                       Tile_AttrArg<DenseI64ArrayAttr, "the contracted dimension of a and of b">:$contract);
  let results = (outs Tile_Res<Tile_TokenType, "the product in flight">:$token);
  let assemblyFormat = "$a `,` $b `,` $acc `contract` $contract attr-dict `:` type($a) `,` type($b) `->` type($acc)";
  let hasVerifier = 1;
}

def Tile_DotWaitOp : Tile_Op<"dot_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "waits until a product and all that were started before it have ended";
  let arguments = (ins Tile_Arg<Tile_TokenType, "the product in flight">:$token);
  let results = (outs Tile_Res<Tile_FloatTensor, "the sum, in the type of the accumulator that was given to dot_start">:$tile);
  let assemblyFormat = "$token attr-dict `:` type($tile)";
}

#endif
