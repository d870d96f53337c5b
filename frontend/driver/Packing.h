// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arrays of sequences that lie one behind the other: their interface, their lengths, and the way from a batch of one
// length, and from one sequence, to them and back.
#pragma once

#include "frontend/driver/Inputs.h"
#include "frontend/driver/Spec.h"
#include "reference/attn/Reference.h"

#include "llvm/ADT/STLFunctionalExtras.h"

namespace fovea::driver {

/// The storage of this name; nothing for an empty name. An error, with what there is, goes to the diagnostics.
const sema::Storage *selectStorage(const sema::Attention &attention, const std::string &name,
                                   syntax::DiagnosticEngine &diagnostics);

/// The interface with the arrays where the storage puts them: its offsets come behind the inputs. Sizes of bounds,
/// which no array shows, are the caller's to give.
runtime::Plan packedInterface(runtime::Plan interface, const sema::Attention &attention, const sema::Storage &storage);

/// The sequences of one call.
class Sequences {
public:
  /// By name of offsets; all of one batch have as many. Errors name the offsets and the first place where they do not
  /// begin at 0, fall, exceed the bound or do not end at the last row. `sizes` of bounds and totals.
  static Result<Sequences> fromOffsets(const sema::Attention &attention, const sema::Storage &storage,
                                       const Arrays &arrays, const runtime::AxisSizes &sizes);
  /// Lengths from a seed, up to the sizes of the bounds: none and all, one, those beside multiples of 16.
  static Sequences draw(const sema::Attention &attention, const sema::Storage &storage, const runtime::AxisSizes &sizes,
                        uint64_t seed);

  /// One sequence of the greatest length, the others without tokens: what a batch of one is.
  static Sequences whole(const sema::Attention &attention, const sema::Storage &storage,
                         const runtime::AxisSizes &sizes);

  /// The most that one batch has, over all storage entries.
  int64_t count() const { return count_; }
  /// Sizes that offsets and totals have, to be added to those of a call.
  runtime::AxisSizes sizes() const;
  /// Sizes of the axes that blocks of tokens get, which follow from others for who runs a plan.
  runtime::AxisSizes blockRows() const;
  /// The offsets as inputs.
  Result<Arrays> offsets() const;

  /// `given` of a batch of one length, as sequence `number` has them; of axes that a caller chooses alone.
  reference::AxisSizes sizesOf(int64_t number, const runtime::AxisSizes &given) const;
  /// "offsets 0, 64, 65": for messages.
  std::string text() const;
  /// Whether the sequence has no token on some axis.
  bool isEmpty(int64_t number) const;

  /// An array of a batch of one length, without what lies beyond the sequences. Arrays without tokens stay.
  Result<runtime::Array> pack(const runtime::PlanTensor &packed, const runtime::Array &dense) const;
  /// All of them, and the offsets.
  Result<Arrays> pack(const runtime::Plan &interface, const Arrays &dense) const;
  /// The array of one sequence: a batch of 1.
  reference::Tensor take(const std::string &name, const reference::Tensor &packed, int64_t number) const;
  /// Puts the array of one sequence in its place.
  void place(const std::string &name, const reference::Tensor &one, int64_t number, reference::Tensor &packed) const;

  /// Between the blocks of two sequences there may be rows that no kernel writes: where they are not a number, as
  /// before the call, they are made 0, which `evaluate` has there too.
  void skipGaps(const std::string &name, const std::vector<int64_t> &shape, std::vector<double> &values) const;

  using Evaluate =
      llvm::function_ref<llvm::Expected<reference::Tensors>(const reference::AxisSizes &, const reference::Tensors &)>;
  /// What the reference makes of each sequence of these arrays, put together as the packed interface has it. `sizes` of
  /// all axes of the interface.
  llvm::Expected<reference::Tensors> evaluate(attn::AttentionOp attention, const runtime::Plan &interface,
                                              const runtime::AxisSizes &sizes, const reference::Tensors &values,
                                              Evaluate one) const;
  /// Sizes and arrays of each sequence that has tokens.
  llvm::Error
  forEach(attn::AttentionOp attention, const runtime::AxisSizes &sizes, const reference::Tensors &values,
          llvm::function_ref<llvm::Error(const reference::AxisSizes &, const reference::Tensors &)> visit) const;

private:
  reference::Tensors take(const reference::Tensors &values, int64_t number) const;
  struct Group {
    const sema::Ragged *ragged;
    std::vector<int64_t> offsets;
  };
  Sequences(const sema::Attention &attention, const sema::Storage &storage)
      : attention_(&attention), storage_(&storage) {}
  /// Rows of one sequence on an axis of tokens or of their blocks; nothing for other axes.
  struct Rows {
    const Group *group;
    int64_t begin, length, total; // total: of all sequences, with what lies between
    std::string name;             // of the axis of the interface
  };
  std::optional<Rows> rowsOf(sema::AxisId axis, int64_t number) const;
  const sema::Declaration *find(const std::string &name) const;
  /// Calls with the place of each element in the array of one sequence and in the packed one.
  void walk(const sema::Declaration &declaration, const std::vector<int64_t> &packedShape, int64_t number,
            std::vector<int64_t> &oneShape, llvm::function_ref<void(int64_t, int64_t)> visit) const;
  const sema::Attention *attention_;
  const sema::Storage *storage_;
  std::vector<Group> groups_;
  int64_t count_ = 0;
};

} // namespace fovea::driver
