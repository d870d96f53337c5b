// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The typed program that semantic analysis makes of a syntax tree: per attention a table of named axes, the
// declarations of its interface, and a graph of fields in topological order. It includes nothing of MLIR; lowering
// to the `attn` dialect goes node by node.
#pragma once

#include "frontend/syntax/Diagnostic.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::sema {

using AxisId = uint32_t; // index into Attention::axes
using NodeId = uint32_t; // index into Attention::nodes
using DeclId = uint32_t; // index into Attention::declarations

/// What a field holds at each index. Nodes of kind Weights and State are no fields: they are the handles that Expect
/// and Stat, and Read, Last and Every take.
enum class Kind : uint8_t { Real, Int, Bool, Weights, State };

/// Factor axes stand only in Declaration::declaredAxes: in the types of nodes they are expanded to their factors.
enum class AxisRelation : uint8_t {
  Plain,
  Factor, // size = product of `factors`, the first varies slowest
  Keys,   // key positions for queries on `query`, aligned at the end
  /// The keys of one `weights`: the axis `raw` renamed; `query` is its query axis. Has the size of `raw`. `raw` may be
  /// a Blocks or Windows axis: then the walk is over its blocks, and the query's position is that on the blocked axis.
  /// Or a Factor axis, which is `query` too: keys and queries are on its factors.
  Walk,
  Blocks,  // `extent` = `step` elements of `raw` each, the last may have fewer; size = ceil(size(raw) / extent)
  Windows, // `extent` elements of `raw` each, from index * step, complete ones only: size = max(0, (size(raw) - extent)
           // div step + 1), 0 where size(raw) < extent
  Concat,  // `parts` one behind the other; size = their sum. Unlike a Factor axis it stands in the types of nodes.
  Share,   // size(raw) / divisor, which must be exact; made by functions such as rope, not by declarations
  Outer,   // all pairs of the two `parts`, the first varies slowest; a part of a Concat axis or made by `outer`. It
           // stands in the types of nodes.
};

struct Axis {
  std::string name; // unique in the attention; walks are j, j_2, .. or the name given by `as`
  AxisRelation relation = AxisRelation::Plain;
  std::vector<AxisId> factors;  // Factor only; two or more, none of them a Factor axis itself
  std::vector<AxisId> parts;    // Concat: two or more; Outer: two. One axis may stand twice
  AxisId raw = 0;               // Walk, Blocks, Windows and Share only
  AxisId query = 0;             // Walk and Keys only
  int64_t extent = 0, step = 0; // Blocks and Windows only; 1 to 2^31 - 1
  int64_t divisor = 0;          // Share only
  /// 1 to 2^31 - 1 (Windows: from 0). Known from the file, from Options::sets, or derived from a relation.
  std::optional<int64_t> size;
  bool isStatic = false;  // the kernel is specialised to it: declared `static`, or of a fixed size in the file
  bool needsSize = false; // contracted, or a feature axis of a value: a compilation needs its size
  syntax::Span span;      // its declaration
  syntax::Span needSpan;  // where needsSize comes from; valid only if needsSize
};

/// The type of a declaration's elements in memory. Default: that of the command line (--type).
enum class StorageType : uint8_t { Default, BF16, F16, F32, I32 };

/// Const: a compile-time number that has no value yet (see missing()). One that has a value is a Constant node.
/// Carry: memory that is input and output in one: the initial value of one state, overwritten by its last one.
enum class Role : uint8_t { Input, Param, Const, Output, Carry };

/// One end of a contract's interval.
struct Bound {
  NodeId node = 0;             // scalar: constants, sizes and scalar params
  std::optional<double> value; // where it is known now
  bool open = false;           // the bound itself is outside
};

/// lower <= element <= upper, on valid elements after rounding to the storage type; NaN violates.
struct Contract {
  std::optional<Bound> lower, upper;
  syntax::Span span;
};

struct Declaration {
  std::string name;
  Role role = Role::Input;
  std::vector<AxisId> declaredAxes; // as written: the shape of the array that the caller passes
  std::vector<AxisId> axes;         // the same with factor axes expanded
  StorageType type = StorageType::Default;
  Kind kind = Kind::Real;           // Int for i32, else Real
  std::optional<Contract> contract; // Input and Param
  bool optional = false;            // Input, Carry: an absent one reads as 0 everywhere, a Carry is then not written
  /// Param: the value that holds when none is given; `defaultNode` is a scalar of constants and sizes,
  /// `defaultValue` its number where all sizes in it are known.
  std::optional<NodeId> defaultNode;
  std::optional<double> defaultValue;
  NodeId node = 0;                 // its Input or Output node; of a Carry the Input node
  std::optional<NodeId> finalNode; // Carry: the Output node that writes it, on its axes
  syntax::Span span;
};

/// Operands and attributes of each operation; x, a, b are operands, axes are in Node::attrAxes.
enum class Op : uint8_t {
  Input,         // Node::declaration; role Input, Param, Const or Carry
  Constant,      // Node::real (kind Real) or Node::integer (Int; Bool 0 or 1)
  Size,          // {axis}; Int, no axes
  Index,         // {axis}; Int on [axis], from 0. On a walk axis: the key's position j.
  Position,      // {axis}; Int on [axis]: the position in the sequence
  QueryPosition, // {Q, R}; Int on [Q]: index[Q] + size(R) - size(Q), the query's position i. Q is no Factor axis.
  // Pointwise, one operand. Neg, Abs, Sign and Relu keep Int; the others have Real operands; Not is Bool.
  // Floor and Round are Int: saturated at 32 bits, NaN gives 0.
  Neg,
  Abs,
  Sign,
  Exp,
  Exp2,
  Expm1,
  Log,
  Log2,
  Log1p,
  Sqrt,
  Rsqrt,
  Sin,
  Cos,
  Tanh,
  Sigmoid,
  Silu,
  Softplus,
  LogSigmoid,
  Relu,
  Elu,
  Gelu,
  Floor,
  Round,
  Not,
  ToReal, // Int to Real
  // Pointwise, two operands of one kind. Add, Sub, Mul, Min, Max: Int or Real. Div, Pow, LogAddExp: Real.
  // FloorDiv, Mod: Int (towards minus infinity). And, Or: Bool. Comparisons: Int or Real operands, Bool result.
  Add,
  Sub,
  Mul,
  Div,
  FloorDiv,
  Mod,
  Pow,
  Min,
  Max,
  LogAddExp,
  And,
  Or,
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,
  Select, // condition (Bool), value if true, value if false (one kind)
  Reduce, // x; reduced axes; Node::reduce
  Dot,    // a, b; contracted axes, each an axis of both: sum of a * b over them
  Rename, // x; {from, to}
  RowAt,  // x; {R, Q}: the row of x (on R, not on Q) at the query position i; 0 outside [0, size(R))
  /// x; {E, part, parts before it..}: elements offset .. offset + size(part) - 1 of axis E, where offset is the sum of
  /// the sizes of the parts before. `part` stands in E's place. E is a Concat axis, or the raw axis of Share axes.
  Slice,
  /// One operand per part, in order; {E, part of operand 0, part of operand 1, ..}: operand n has part n, which E
  /// replaces. Operands are united by broadcasting: axes of operand 0 with E in its part's place, then the others'.
  Concat,
  /// x, index (Int); {A}: x at the index on axis A; 0 (false) where it is not in [0, size(A)). Axes of x without A,
  /// then those of the index that are not among them. The index may be on row and walk axes together.
  Gather,
  Scan, // x; {A}: the sum of x at 0 .. index[A]
  /// x; {A, Ab}: A's elements of each block or window Ab reduced, Ab stands in A's place; Node::reduce. A is the raw
  /// axis of Ab, or a walk over it.
  BlockReduce,
  /// x; {factors of P.., j}: x has all the factors of P, in any order; they become the walk axis j over P, at the place
  /// of the first one of them.
  Flatten,
  /// Node::weight Exp: score, where (if hasWhere, Bool), mass (if hasMass, Real), then one operand per sink.
  ///   w_ij = mass_ij * exp(score_ij) where `where` holds, else 0; Z_i = sum_j w_ij + sum over sinks of exp(sink_i).
  /// Node::weight Free: weight, where (if hasWhere). w_ij = weight_ij where `where` holds, else 0; Z_i = 1.
  /// attrAxes {walk axis, query axis}. Node::axes = row axes: the union of the operands' axes without the walk axis, in
  /// order; the query axis (its factors) is appended if no operand has it. Kind Weights.
  Weights,
  /// p, value, coefficient (if it has three operands): sum_j (w_ij / Z_i) * coefficient * value; 0 where Z_i is 0. The
  /// value has no query axis; it is the constant 1 where the coefficient is all there is. attrAxes {walk axis, query
  /// axis}.
  /// Node::axes = row axes of p, then the value's others, without the walk axis.
  Expect,
  Stat, // p; Node::stat; row axes; Real
  /// A recurrence along T, one state [K, V] per point of the batch axes. For t = 0, 1, .. (Node::reverse: from the last
  /// token to the first), with S_{t-1} the state of the token visited before:
  ///   D_t = exp(decay_t) . S_{t-1} (its rows K scaled);  S_t = D_t + key_t (value_t - D_t^T erase_t)^T
  /// and S_t = D_t = S_{t-1} where `where` is false. With `commit` (on Tb, blocks of T): at the end of each block S
  /// becomes commit ? S : exp(sum of the block's decay) . S at the block's start. Before the first token S is
  /// `initial`, else 0.
  /// Operands: key, value, then where the flag is set and in this order: decay (hasDecay), erase (hasErase), where
  /// (hasWhere, Bool), commit (hasCommit, Bool), initial (hasInitial). All but where and commit are Real.
  /// attrAxes {T, K} or {T, K, V}, then Tb if hasCommit. Without V the value is one number per token and state.
  /// key has K and not V; decay and erase have no V, value no K; initial has K and V (if there is one) and not T.
  /// Node::axes = batch axes: the union of the operands' axes in order, without T, K, V and Tb. Kind State.
  State,
  /// S, q; Node::read: sum over K of q_t times S_t (After), D_t (Decayed) or S_{t-1} (Prev). q has K and not V.
  /// Node::axes = q's without K, then the batch axes of S that are not among them, then T likewise, then V.
  Read,
  Last,  // S: the state after all tokens, in the direction of S. Node::axes = batch axes, K, V. Real
  Every, // S (not reverse, no commit); {Tb}, blocks of T: S after the last token of each block; batch axes, Tb, K, V
  /// x, w; {A.., W..}: one or two axes of x, then as many tap axes of w. w may have T, V.. of x too (other taps at each
  /// point). y[t] = sum over u of w[u] x[t + u - c], x = 0 outside; c = size(W) - 1 (causal), or (size(W) - 1) div 2
  /// where Node::same. Node::axes = x's, then w's others without the taps.
  Conv,
  /// x; Node::declaration. Node::axes = the declaration's axes: a permutation of x's, or more (broadcast). An axis of
  /// keys may stand beside the query axis: x is then a pair field, its walk axis renamed or reduced to blocks.
  Output,
};

enum class ReduceKind : uint8_t { Sum, Mean, Max, Min, LogSumExp };
/// Of Exp: Lse: log of the sum of mass * exp(score), without sinks, base e; Max: the greatest score; Mass: the sum of
/// mass * exp(score - Max), without sinks. Of Free: only Mass, the sum of the weights.
enum class StatKind : uint8_t { Lse, Max, Mass };
enum class WeightKind : uint8_t { Exp, Free };
/// Where a state is read: after the write, between decay and write, before both.
enum class ReadPoint : uint8_t { After, Decayed, Prev };

struct Node {
  Op op = Op::Constant;
  Kind kind = Kind::Real;
  std::vector<NodeId> operands; // all smaller than the node's own number
  std::vector<AxisId> axes;     // type of the result, in order; no Factor axes
  std::vector<AxisId> attrAxes;
  double real = 0;
  int64_t integer = 0;
  DeclId declaration = 0;
  ReduceKind reduce = ReduceKind::Sum;
  StatKind stat = StatKind::Lse;
  WeightKind weight = WeightKind::Exp;
  ReadPoint read = ReadPoint::After;
  bool hasWhere = false;                                                          // Weights and State
  bool hasMass = false;                                                           // Weights of kind Exp
  bool hasDecay = false, hasErase = false, hasCommit = false, hasInitial = false; // State
  bool reverse = false;                                                           // State
  bool same = false;                                                              // Conv
  std::string name;  // the name that the text gives it, or empty; for readable dumps, not unique
  syntax::Span span; // where the text asks for it (in a map: in the map's body)
};

/// Sequences of different lengths, one behind the other: element t of sequence b is row offsets[b] + t of `total`. An
/// array on `batch` and `token` has the axis `total` in the token's place, and no axis for the batch.
struct Ragged {
  /// Blocks of the tokens that arrays of the caller are on: block n of batch b is row offsets[b] / size + b + n, rows
  /// that lie between are of none.
  struct Blocks {
    AxisId axis = 0;
    std::string total; // a name for the rows: total / size of the tokens, and one for each batch
  };
  AxisId batch = 0, token = 0;
  AxisId most = 0;     // its size bounds the length of every sequence
  std::string offsets; // an input of the storage, i32 [count]; entries of one batch may share it
  std::string count;   // a name for the batches and one
  std::string total;   // a name for the rows of all sequences
  std::vector<Blocks> blocks;
  syntax::Span span;
};

/// Where arrays lie; the meaning knows nothing of it.
struct Storage {
  std::string name;
  std::vector<Ragged> ragged; // of different tokens, at least one
  syntax::Span span;
};

enum class Claim : uint8_t { None, Causal, Set };

struct Attention {
  std::string name;
  Claim claim = Claim::None;
  std::vector<Axis> axes;
  /// Inputs, params, carries and open consts as declared, then outputs as declared.
  std::vector<Declaration> declarations;
  std::vector<Storage> storages; // of different names
  std::vector<Node> nodes; // topological; every node reaches an Output, or is an Input, a default or a contract's bound
  syntax::Span span;
};

struct Program {
  std::vector<Attention> attentions;
};

/// Something that a compilation needs and that neither the file nor Options::sets gives.
struct Missing {
  std::string name;    // for --set
  syntax::Span span;   // where it is needed
  std::string message; // a sentence
};

/// Axes that are static, contracted or features and have no size, and consts without a value.
std::vector<Missing> missing(const Attention &attention);

/// "real", "add", "weights": as in the assembly of the attn dialect.
std::string_view toString(Kind kind);
std::string_view toString(Op op);
std::string_view toString(ReduceKind kind);
std::string_view toString(StatKind kind);
std::string_view toString(ReadPoint point);
std::string_view toString(StorageType type); // "" for Default
std::string_view toString(Claim claim);      // "" for None

/// One line per axis, declaration and node: for tests and for reading.
std::string print(const Attention &attention);

} // namespace fovea::sema
