// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// attn-to-tile: see Passes.td.
#include "passes/attn-to-tile/Passes.h"

namespace fovea {
#define GEN_PASS_DEF_ATTNTOTILEPASS
#include "passes/attn-to-tile/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

FailureOr<std::map<std::string, int64_t>> fovea::parseSizes(StringRef text, std::string &message) {
  std::map<std::string, int64_t> sizes;
  SmallVector<StringRef> parts;
  text.split(parts, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  for (StringRef part : parts) {
    auto [name, number] = part.split('=');
    int64_t size = 0;
    if (name.trim().empty() || number.trim().getAsInteger(10, size) || size < 1 || size > 0x7fffffff) {
      message = ("'" + part + "' is no size; expected NAME=SIZE with a size from 1 to 2147483647, as in D=64").str();
      return failure();
    }
    if (!sizes.emplace(name.trim().str(), size).second) {
      message = ("the axis '" + name.trim() + "' has two sizes").str();
      return failure();
    }
  }
  return sizes;
}

namespace {

struct AttnToTile : fovea::impl::AttnToTilePassBase<AttnToTile> {
  using AttnToTilePassBase::AttnToTilePassBase;

  void runOnOperation() override {
    TileChoices choices;
    choices.queryTile = queryTile;
    choices.keyTile = keyTile;
    choices.valueTile = valueTile;
    choices.state = state;
    choices.chunk = chunk;
    choices.stateTile = stateTile;
    choices.elementType = type;
    choices.pack = pack;
    choices.split = split;
    choices.batchInvariant = batchInvariant;
    choices.precision = precision;
    choices.alignment = alignment;
    std::string message;
    auto parsed = parseSizes(sizes, message);
    if (failed(parsed)) {
      getOperation().emitError(message);
      return signalPassFailure();
    }
    choices.sizes = *parsed;
    SmallVector<attn::AttentionOp> attentions(getOperation().getOps<attn::AttentionOp>());
    for (attn::AttentionOp attention : attentions) {
      if (failed(deriveTileProgram(attention, choices)))
        return signalPassFailure();
      attention.erase();
    }
  }
};

} // namespace
