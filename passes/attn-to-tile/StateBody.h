// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the files that emit recurrences share: arithmetic on tiles, and what is known of a chunk. Of this folder only.
#pragma once

#include "passes/attn-to-tile/Derivation.h"

namespace fovea::derivation {

/// Arithmetic on tiles and scalars of one type.
struct Arith {
  mlir::OpBuilder b;
  mlir::Location loc;

  mlir::Value mul(mlir::Value x, mlir::Value y) { return mlir::arith::MulFOp::create(b, loc, x, y); }
  mlir::Value add(mlir::Value x, mlir::Value y) { return mlir::arith::AddFOp::create(b, loc, x, y); }
  mlir::Value sub(mlir::Value x, mlir::Value y) { return mlir::arith::SubFOp::create(b, loc, x, y); }
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z) { return mlir::math::FmaOp::create(b, loc, x, y, z); }
  mlir::Value exp2(mlir::Value x) { return mlir::math::Exp2Op::create(b, loc, x); }
  mlir::Value select(mlir::Value c, mlir::Value x, mlir::Value y) {
    return mlir::arith::SelectOp::create(b, loc, c, x, y);
  }
  mlir::Value constant(mlir::Type type, double value) { return emitConstant(b, loc, type, value); }
  mlir::Value constantLike(mlir::Value x, double value) { return constant(x.getType(), value); }
  static mlir::Type with(mlir::Type type, mlir::Type element) {
    if (auto tensor = mlir::dyn_cast<mlir::RankedTensorType>(type))
      return tensor.clone(element);
    return element;
  }
  mlir::Value narrow(mlir::Value x, mlir::Type element) {
    return mlir::arith::TruncFOp::create(b, loc, with(x.getType(), element), x);
  }
  /// A scalar or a vector along dimension `dim` as a tile.
  mlir::Value spread(mlir::Value x, mlir::Type type, int64_t dim) {
    mlir::Type full = with(type, mlir::getElementTypeOrSelf(x));
    if (x.getType() == full)
      return x;
    if (!mlir::isa<mlir::RankedTensorType>(x.getType())) {
      mlir::Attribute constant;
      if (mlir::matchPattern(x, mlir::m_Constant(&constant)))
        return mlir::arith::ConstantOp::create(
            b, loc, mlir::DenseElementsAttr::get(mlir::cast<mlir::ShapedType>(full), constant));
      return tile::SplatOp::create(b, loc, full, x);
    }
    return tile::BroadcastOp::create(b, loc, full, x, llvm::ArrayRef<int64_t>{dim});
  }
  mlir::Value transpose(mlir::Value x) {
    auto type = mlir::cast<mlir::RankedTensorType>(x.getType());
    return tile::TransposeOp::create(
        b, loc, mlir::RankedTensorType::get({type.getDimSize(1), type.getDimSize(0)}, type.getElementType()), x);
  }
  mlir::Value reduce(mlir::Value x, int64_t dim) {
    auto type = mlir::cast<mlir::RankedTensorType>(x.getType());
    return tile::ReduceOp::create(b, loc,
                                  mlir::RankedTensorType::get({type.getDimSize(1 - dim)}, type.getElementType()),
                                  b.getStringAttr("add"), x, b.getI64IntegerAttr(dim));
  }
  mlir::Value dot(mlir::Value x, mlir::Value y, mlir::Value acc, int64_t right) {
    return tile::DotOp::create(b, loc, acc.getType(), x, y, acc, llvm::ArrayRef<int64_t>{1, right}).getTile();
  }
};

/// What the states of a loop share in a chunk.
struct LaunchEmitter::Chunk {
  enum class Decay { None, Constant, Token, Channel };
  Decay decay = Decay::None;
  bool isReverse = false;
  bool isBounded = false;                                     // Channel: 16 rows may share an anchor in their middle
  mlir::Value exists;                                         // rows of tokens that take part
  mlir::Value all;                                            // rows of tokens that exist
  mlir::Value count;                                          // Constant: how many tokens exist, f32
  mlir::Value step;                                           // log2 of the decay: a scalar, per row, per row and key
  mlir::Value sum, exclusive;                                 // running sums, the own step included and not
  mlir::Value total;                                          // of the chunk: a scalar, per key
  std::map<unsigned, mlir::Value> key, keyWide;               // operand, and f32, by piece
  mlir::Value keyToEnd;                                       // operand, decayed to the end of the chunk
  mlir::Value erase, eraseFromStart;                          // operands; Channel: decayed since the chunk began
  mlir::Value inverse, inverseWide;                           // operand, and f32
  std::map<std::pair<void *, int>, mlir::Value> weights;      // by query and read point: A in f32
  std::map<std::pair<void *, unsigned>, mlir::Value> queries; // operands, by piece
  std::map<std::tuple<void *, void *, const Coordinate *>, mlir::Value> products; // of features, by where they are
  bool isScalar() const { return decay == Decay::Constant || decay == Decay::Token; }
};

struct LaunchEmitter::States {
  const StateLoop *loop;
  mlir::Value start;
  const Coordinate *token;
  using Piece = std::pair<mlir::Operation *, unsigned>;
  llvm::DenseMap<Piece, mlir::Value> carried, next, decayed, narrow, aside; // by state and piece of its keys
  unsigned piece = 0;                                                       // that is being made
  Piece now(attn::StateOp op) const { return {op, piece}; }
  llvm::DenseMap<mlir::Operation *, std::pair<mlir::Value, mlir::Value>>
      rest; // R transposed: f32 if it was made, operand
  std::shared_ptr<Chunk> chunk;
  mlir::Type element;   // of operands
  bool isGiven = false; // what stood before the chunk, and what it writes, come from workspaces
};

} // namespace fovea::derivation
