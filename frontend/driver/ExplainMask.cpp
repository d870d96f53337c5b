// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Masks as tile maps. The reference counts, for every query, the keys of each key tile that the predicate leaves: the
// expectation of the tiles' indicators under weights of equal scores. The kernel's side comes from its program, of
// which nothing is left but what computes key domains.
#include "frontend/driver/Explain.h"
#include "frontend/driver/Inputs.h"
#include "frontend/driver/Packing.h"

#include "reference/attn/Reference.h"
#include "reference/tile/TileInterpreter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"

#include <cmath>

namespace fovea::driver {

int64_t MaskMap::count(const std::vector<std::string> &rows, char kind) {
  int64_t n = 0;
  for (const std::string &row : rows)
    n += std::count(row.begin(), row.end(), kind);
  return n;
}

namespace {

constexpr int64_t kUsualTokens = 2048, kMostTokens = 4096, kMaxTiles = 64;

/// A module's operation that goes with its owner.
template <typename Op> struct Owned {
  Op op;
  explicit Owned(Op original) : op(llvm::cast<Op>(original->clone())) {}
  Owned(const Owned &) = delete;
  ~Owned() { op->erase(); }
};

/// Erases what has no use and no effect but to be kept, from the last operation to the first.
void eraseUnused(mlir::Operation *root, llvm::function_ref<bool(mlir::Operation *)> keep) {
  llvm::SmallVector<mlir::Operation *> order;
  root->walk([&](mlir::Operation *op) {
    if (op != root)
      order.push_back(op);
  });
  // Post-order: inner operations come before their parents, so the reverse sees a loop before its body.
  llvm::SmallPtrSet<mlir::Operation *, 32> kept, erased;
  for (mlir::Operation *op : order)
    if (keep(op))
      for (mlir::Operation *each = op; each && each != root; each = each->getParentOp())
        kept.insert(each);
  for (mlir::Operation *op : llvm::reverse(order)) {
    if (erased.contains(op) || kept.contains(op) || !op->use_empty() || op->hasTrait<mlir::OpTrait::IsTerminator>())
      continue;
    op->walk([&](mlir::Operation *inner) { erased.insert(inner); });
    op->erase();
  }
}

mlir::StringAttr rawOf(attn::AttentionOp attention, attn::WeightsOp weights) {
  return attention.getAxes().lookup(weights.getOverAttr()).getRaw();
}

reference::AxisSizes toReference(const runtime::AxisSizes &sizes) { return {sizes.begin(), sizes.end()}; }

/// Axis sizes of a map: the query and key axes as large as they are drawn, the others small.
runtime::AxisSizes mapSizes(Compilation &compilation) {
  // Reference and interpreter go over every pair: about 2^24 of them take a second.
  int64_t tokens = kMaxTiles * std::min(compilation.chosen.queryTile, compilation.chosen.keyTile);
  return smallSizes(*compilation.attention, std::min(tokens, kMostTokens), kUsualTokens);
}

llvm::Error drawFor(Compilation &compilation, const runtime::AxisSizes &sizes, llvm::StringRef name,
                    llvm::function_ref<void(runtime::Array &)> take) {
  Result<runtime::Array> array =
      drawInput(*compilation.attention, compilation.dense, name.str(), sizes, Pattern::Normal, 0);
  if (!array)
    return llvm::createStringError(array.error().message);
  take(*array);
  return llvm::Error::success();
}

/// seen[row of tiles][key tile] for the weights number `index`.
llvm::Error mapSeen(Compilation &compilation, unsigned index, const reference::AxisSizes &sizes,
                    const runtime::AxisSizes &given, MaskMap &map) {
  const std::string indicator = "_key_tile";
  Owned<attn::AttentionOp> copy(compilation.canonical());
  attn::AttentionOp attention = copy.op;
  mlir::MLIRContext *context = attention.getContext();
  llvm::SmallVector<attn::WeightsOp> all;
  attention.walk([&](attn::WeightsOp weights) { all.push_back(weights); });
  attn::WeightsOp original = all[index];
  mlir::StringAttr raw = rawOf(attention, original);

  int64_t keyTiles = (map.keys + map.keyTile - 1) / map.keyTile;
  llvm::SmallVector<attn::AxisAttr> axes(attention.getAxes().getAxes());
  axes.push_back(attn::AxisAttr::get(context, indicator, keyTiles));
  attention.setAxesAttr(attn::AxisTableAttr::get(context, axes));

  mlir::Location loc = attention.getLoc();
  mlir::OpBuilder builder(original);
  bool isFree = original.getWeight() == attn::WeightFunction::Free;
  mlir::Value equal = attn::ConstantOp::create(builder, loc, isFree ? 1.0 : 0.0);
  auto weights = llvm::cast<attn::WeightsOp>(builder.clone(*original));
  weights.getScoreMutable().assign(equal);
  weights.getMassMutable().clear();
  weights.getSinksMutable().clear();
  llvm::SmallVector<mlir::Type> types;
  if (mlir::failed(attn::WeightsOp::inferReturnTypes(context, loc, weights->getOperands(),
                                                     weights->getDiscardableAttrDictionary(),
                                                     weights->getPropertiesStorage(), weights->getRegions(), types)))
    return llvm::createStringError("the predicate stands on axes that no map can show");
  weights.getResult().setType(llvm::cast<attn::WeightsType>(types.front()));
  mlir::Value input = attn::InputOp::create(builder, loc, attention.getAxes(), indicator, {raw.getValue(), indicator});
  mlir::Value value = attn::RenameOp::create(builder, loc, input, raw, weights.getOverAttr());
  mlir::Value counts = attn::ExpectOp::create(builder, loc, weights, value, mlir::Value());
  if (!isFree) {
    mlir::Value number = attn::StatOp::create(builder, loc, attn::StatKind::Mass, weights);
    counts = attn::MulOp::create(builder, loc, counts, number);
  }
  for (attn::OutputOp output : attention.getOutputs())
    output.erase();
  llvm::SmallVector<llvm::StringRef> declared;
  auto field = llvm::cast<attn::FieldType>(counts.getType());
  for (mlir::StringAttr axis : field.getAxes())
    declared.push_back(axis.getValue());
  attn::OutputOp::create(builder, loc, "_counts", counts, declared);
  eraseUnused(attention, [](mlir::Operation *op) { return llvm::isa<attn::OutputOp>(op); });

  reference::AxisSizes all_sizes = sizes;
  all_sizes[indicator] = keyTiles;
  reference::Tensors inputs;
  for (attn::InputOp each : attention.getInputs()) {
    if (each.getName() == indicator)
      continue;
    if (llvm::Error error = drawFor(compilation, given, each.getName(), [&](runtime::Array &array) {
          inputs[each.getName().str()] = {array.shape(), array.toDoubles()};
        }))
      return error;
  }
  reference::Tensor &tiles = inputs[indicator];
  tiles.shape = {map.keys, keyTiles};
  tiles.data.assign(static_cast<size_t>(map.keys * keyTiles), 0);
  for (int64_t j = 0; j < map.keys; ++j)
    tiles.data[static_cast<size_t>(j * keyTiles + j / map.keyTile)] = 1;

  llvm::Expected<reference::Tensors> outputs = reference::evaluate(attention, all_sizes, inputs);
  if (!outputs)
    return outputs.takeError();
  const reference::Tensor &result = (*outputs)["_counts"];
  // Strides of the query axis and of the tiles; index 0 on the others, which the map names.
  int64_t queryStride = 0, tileStride = 0, stride = 1;
  for (size_t d = result.shape.size(); d-- > 0; stride *= result.shape[d]) {
    llvm::StringRef axis = field.getAxes()[d].getValue();
    if (axis == map.queryAxis)
      queryStride = stride;
    else if (axis == indicator)
      tileStride = stride;
    else
      map.at.insert(map.at.begin(), {axis.str(), 0});
  }
  int64_t queryTiles = (map.queries + map.queryTile - 1) / map.queryTile;
  for (int64_t m = 0; m < queryTiles; ++m) {
    std::string row;
    int64_t begin = m * map.queryTile, end = std::min(begin + map.queryTile, map.queries);
    for (int64_t n = 0; n < keyTiles; ++n) {
      double pairs = 0;
      for (int64_t i = begin; i < end; ++i)
        pairs += result.data[static_cast<size_t>(i * queryStride + n * tileStride)];
      pairs = std::round(pairs);
      double keys = static_cast<double>(std::min((n + 1) * map.keyTile, map.keys) - n * map.keyTile);
      row += pairs == 0 ? '.' : pairs == keys * static_cast<double>(end - begin) ? '#' : '/';
      map.seenPairs += pairs;
    }
    map.seen.push_back(std::move(row));
  }
  return llvm::Error::success();
}

bool isWorkspace(mlir::Value value) { return llvm::isa_and_nonnull<tile::WorkspaceOp>(value.getDefiningOp()); }

/// For each fold of the program, the number of its domain among all domains.
std::vector<size_t> domainsOfFolds(tile::ProgramOp program) {
  llvm::DenseMap<mlir::Operation *, size_t> number;
  program.walk([&](tile::DomainOp domain) { number.insert({domain, number.size()}); });
  std::vector<size_t> domains;
  program.walk([&](tile::FoldOp fold) { domains.push_back(number.lookup(fold.getDomain().getDefiningOp())); });
  return domains;
}

/// Leaves of a program what computes its key domains, and a loop that asks for every tile of each: `asked` gives the
/// number of the domain by the operation. `stores`: launches that store workspaces stay too.
void reduceToDomains(tile::ProgramOp program, bool stores, llvm::DenseMap<mlir::Operation *, size_t> &asked) {
  llvm::SmallVector<tile::DomainOp> domains;
  program.walk([&](tile::DomainOp domain) { domains.push_back(domain); });
  for (auto [n, domain] : llvm::enumerate(domains)) {
    mlir::Location loc = domain.getLoc();
    mlir::OpBuilder builder(domain->getContext());
    builder.setInsertionPointAfter(domain);
    mlir::Value zero = mlir::arith::ConstantIndexOp::create(builder, loc, 0);
    mlir::Value one = mlir::arith::ConstantIndexOp::create(builder, loc, 1);
    mlir::Value count = tile::DomainCountOp::create(builder, loc, builder.getIndexType(), domain);
    auto loop = mlir::scf::ForOp::create(builder, loc, zero, count, one);
    builder.setInsertionPointToStart(loop.getBody());
    auto tile = tile::DomainTileOp::create(builder, loc, builder.getIndexType(), builder.getI1Type(), domain,
                                           loop.getInductionVar());
    asked[tile] = n;
  }
  eraseUnused(program, [&](mlir::Operation *op) {
    return asked.contains(op) || (stores && op->getNumResults() == 0 && llvm::any_of(op->getOperands(), isWorkspace));
  });
}

/// visited[row of tiles][key tile] of the folds of the program, which are those of the weights, in order.
llvm::Error mapVisited(Compilation &compilation, const runtime::AxisSizes &sizes, const reference::AxisSizes &all,
                       std::vector<MaskMap> &maps) {
  std::vector<size_t> domains = domainsOfFolds(compilation.program());
  // Others compute weights again for outputs on queries and keys.
  if (domains.size() < maps.size())
    return llvm::createStringError("the program has " + std::to_string(domains.size()) + " folds for " +
                                   std::to_string(maps.size()) + " weights");
  llvm::DenseMap<mlir::Operation *, size_t> asked;
  auto copy = std::make_unique<Owned<tile::ProgramOp>>(compilation.program());
  reduceToDomains(copy->op, false, asked);
  bool reads = false;
  copy->op.walk(
      [&](mlir::Operation *op) { reads |= op->getNumResults() && llvm::any_of(op->getOperands(), isWorkspace); });
  if (reads) {
    // What earlier launches store says which tiles there are.
    asked.clear();
    copy = std::make_unique<Owned<tile::ProgramOp>>(compilation.program());
    reduceToDomains(copy->op, true, asked);
  }
  tile::ProgramOp program = copy->op;

  std::map<std::string, tile::Tensor> tensors;
  std::map<std::string, int64_t> axes(all.begin(), all.end());
  if (compilation.layout) {
    Sequences sequences = Sequences::whole(*compilation.attention, *compilation.layout, sizes);
    for (const auto &[axis, size] : sequences.sizes())
      axes[axis] = size;
    Result<Arrays> dense = drawInputs(*compilation.attention, compilation.dense, sizes, Pattern::Normal, 0);
    Result<Arrays> packed = dense ? sequences.pack(compilation.interface, *dense) : Result<Arrays>(dense.takeError());
    if (!packed)
      return llvm::createStringError(packed.error().message);
    for (const auto &[name, array] : *packed)
      tensors[name] = {array.shape(), array.toDoubles()};
  }
  llvm::Error drawing = llvm::Error::success();
  program.walk([&](tile::TensorOp tensor) {
    if (drawing || compilation.layout || tensor.getRole() == "output")
      return;
    drawing = drawFor(compilation, sizes, tensor.getName(), [&](runtime::Array &array) {
      tensors[tensor.getName().str()] = {array.shape(), array.toDoubles()};
    });
  });
  if (drawing)
    return drawing;

  std::map<std::string, std::vector<std::string>> axesOf;
  program.walk([&](tile::LaunchOp launch) {
    for (auto axis : launch.getAxes().getAsRange<mlir::StringAttr>())
      axesOf[launch.getName().str()].push_back(axis.getValue().str());
  });
  for (MaskMap &map : maps)
    map.visited.assign(map.seen.size(), std::string(map.seen.empty() ? 0 : map.seen.front().size(), '.'));
  std::string problem;
  int64_t start = 0;
  auto visit = [&](MaskMap &map, const tile::DumpEvent &event) {
    const std::vector<std::string> &axes = axesOf[event.launch];
    int64_t row = -1;
    for (size_t i = 0; i < axes.size() && i < event.item.size(); ++i) {
      if (axes[i] == map.queryAxis) {
        row = event.item[i];
        continue;
      }
      if (event.item[i] != 0)
        return;
    }
    if (row < 0 || row >= static_cast<int64_t>(map.visited.size())) {
      problem = "work items are no tiles of the query axis";
      return;
    }
    std::string &tiles = map.visited[static_cast<size_t>(row)];
    size_t column = static_cast<size_t>(std::max<int64_t>(start, 0) / map.keyTile);
    if (column < tiles.size())
      tiles[column] = event.values.front() != 0 ? 'f' : 'm';
  };
  tile::RunOptions run;
  run.dump = [&](const tile::DumpEvent &event) {
    auto found = asked.find(event.op);
    if (found == asked.end())
      return;
    // The first result is the first key of the tile, the second whether it is full.
    if (event.result == 0) {
      start = static_cast<int64_t>(event.values.front());
      return;
    }
    for (size_t n = 0; n < maps.size(); ++n)
      if (domains[n] == found->second)
        visit(maps[n], event);
  };
  if (llvm::Error error = tile::runTileProgram(program, axes, tensors, run))
    return error;
  if (!problem.empty())
    return llvm::createStringError(problem);
  return llvm::Error::success();
}

} // namespace

std::vector<MaskMap> maskMaps(Compilation &compilation) {
  std::vector<MaskMap> maps;
  attn::AttentionOp attention = compilation.canonical();
  runtime::AxisSizes given = mapSizes(compilation);
  llvm::Expected<reference::AxisSizes> sizes = reference::inferSizes(compilation.attn(), {}, toReference(given));
  if (!sizes) {
    llvm::consumeError(sizes.takeError());
    return maps;
  }
  unsigned index = 0;
  attention.walk([&](attn::WeightsOp weights) {
    MaskMap map;
    mlir::StringAttr raw = rawOf(attention, weights);
    map.queryAxis = weights.getQuery().str();
    map.keyAxis = raw.str();
    map.queries = (*sizes)[map.queryAxis];
    map.keys = (*sizes)[map.keyAxis];
    map.queryTile = compilation.chosen.queryTile;
    map.keyTile = compilation.chosen.keyTile;
    if (attention.getAxes().lookup(raw).isFactor())
      map.problem = "keys and queries are points of a grid";
    else if (llvm::Error error = mapSeen(compilation, index, *sizes, given, map))
      map.problem = llvm::toString(std::move(error));
    ++index;
    maps.push_back(std::move(map));
  });
  if (maps.empty() || !compilation.program())
    return maps;
  if (llvm::Error error = mapVisited(compilation, given, *sizes, maps)) {
    std::string problem = llvm::toString(std::move(error));
    for (MaskMap &map : maps) {
      map.visited.clear();
      if (map.problem.empty())
        map.problem = "what the kernel visits is not shown: " + problem;
    }
  }
  for (MaskMap &map : maps)
    for (size_t m = 0; m < map.visited.size(); ++m)
      for (size_t n = 0; n < map.visited[m].size(); ++n) {
        char seen = map.seen[m][n], visited = map.visited[m][n];
        map.lost += seen != '.' && visited == '.';
        map.wrong += seen != '#' && visited == 'f';
        map.needless += seen == '.' && visited != '.';
        map.maskedNeedless += seen == '#' && visited == 'm';
      }
  return maps;
}

} // namespace fovea::driver
