// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The entry of the tile interpreter.
#include "reference/tile/Machine.h"

using namespace fovea::tile;
using namespace fovea::tile::machine;

llvm::Error fovea::tile::runTileProgram(ProgramOp program, const std::map<std::string, int64_t> &axes,
                                        std::map<std::string, Tensor> &tensors, const RunOptions &options) {
  Block block;
  size_t slots = 0;
  if (llvm::Error error = decode(program, options, block, slots))
    return error;
  Machine machine(options);
  machine.axes = &axes;
  machine.tensors = &tensors;
  Thread thread(machine, std::vector<BufferRef>(slots));
  thread.enter(block, nullptr);
  if (thread.run() != Thread::State::Done)
    return llvm::createStringError(machine.error);
  for (auto op : program.getBody().getOps<TensorOp>()) {
    if (op.getRole() != "output" && op.getRole() != "carry")
      continue;
    for (const auto &array : machine.arrays)
      if (!array->isInput && !array->memory && array->name == op.getName())
        tensors[array->name] = {array->shape, std::move(array->own)};
  }
  return llvm::Error::success();
}
