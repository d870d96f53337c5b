// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How a tile program is derived. `Derivation` holds what belongs to the program: sizes, tensors, workspaces, the list
// of launches. `LaunchEmitter` computes fields inside one launch: it walks from the outputs to the inputs and turns
// each field into a tile over those of its axes that the tile spans. Of this folder only.
#pragma once

#include "passes/analysis/KeyRange.h"
#include "passes/attn-to-tile/Passes.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SetVector.h"

#include <deque>

namespace fovea::derivation {

/// Where an axis of a field runs inside a launch.
struct Coordinate {
  enum class Kind {
    Batch,   // one index per work item
    Row,     // the rows of the work item: dimension 0 of its tiles
    Key,     // the keys of one step of a fold
    Feature, // inside the tile: the whole axis, or a part that begins at `base`
    Gathered // at the indices of a tile
  };
  Kind kind;
  mlir::StringAttr axis;                   // Batch, Row, Key: the raw axis; Feature: its identity
  mlir::Value base;                        // Batch: the index; Row, Key, part of a Feature: the first index of the tile
  int64_t extent = 1;                      // elements of the tile along it
  int64_t size = 0;                        // of a Feature that the tile pads: how many of them exist; 0: all
  const struct TileValue *index = nullptr; // Gathered: ints, on the dimensions that they vary along
  // Rows or keys that run over two axes: the coordinates of the outer and of the inner one ...
  const Coordinate *shares[2] = {nullptr, nullptr};
  // ... whose whole this is.
  const Coordinate *whole = nullptr;
  bool isInner() const { return whole && whole->shares[1] == this; }
};

/// For each axis name its coordinate. Small: a handful of axes.
class Environment {
public:
  const Coordinate *lookup(mlir::StringAttr axis) const {
    for (auto &[name, coordinate] : entries)
      if (name == axis)
        return coordinate;
    return nullptr;
  }
  Environment with(mlir::StringAttr axis, const Coordinate *coordinate) const {
    Environment copy = *this;
    copy.set(axis, coordinate);
    return copy;
  }
  llvm::ArrayRef<std::pair<mlir::StringAttr, const Coordinate *>> all() const { return entries; }
  void set(mlir::StringAttr axis, const Coordinate *coordinate) {
    for (auto &[name, old] : entries)
      if (name == axis) {
        old = coordinate;
        return;
      }
    entries.emplace_back(axis, coordinate);
  }

private:
  llvm::SmallVector<std::pair<mlir::StringAttr, const Coordinate *>, 6> entries;
};

/// A dimension of a tile. Rows come before keys, keys before features, features in the order of the axis table.
struct Dimension {
  Coordinate::Kind kind;
  mlir::StringAttr feature;
  int64_t extent;
  unsigned order;   // of features
  int64_t size = 0; // of features that are padded: how many exist; 0: all
  bool isPadded() const { return size && size < extent; }
  bool operator==(const Dimension &other) const { return kind == other.kind && feature == other.feature; }
  bool operator<(const Dimension &other) const { return std::pair(kind, order) < std::pair(other.kind, other.order); }
};
using Dimensions = llvm::SmallVector<Dimension, 2>;

/// A field inside a launch: a scalar if it has no dimensions, else a tile with these.
struct TileValue {
  mlir::Value value;
  Dimensions dims;
};

/// A field as a product: `constant` times the factors times `core`, where no factor has the feature axis.
struct Product {
  struct Factor {
    mlir::Value field;
    Environment env;
    bool inverse;
  };
  double constant = 1;
  llvm::SmallVector<Factor> factors;
  mlir::Value core;
  Environment coreEnv;
};

/// What the launch of an output runs over.
struct LaunchAxes {
  mlir::StringAttr row;                      // its tiles are the rows of the work item
  llvm::SmallVector<mlir::StringAttr> batch; // one index per work item
  mlir::StringAttr keys;                     // its tiles are the keys of the work item: of pair fields that are stored
  int64_t tile = 64;                         // of rows
  mlir::StringAttr packed = {};              // heads that are rows too, the inner ones
  bool operator==(const LaunchAxes &) const = default;
};

/// What a launch writes: a field to a view whose dimensions are declared axes.
struct Store {
  mlir::Value field;
  mlir::Value view;
  llvm::SmallVector<mlir::StringAttr> declared;
  mlir::Type elementType;
  mlir::Operation *at; // for messages
  mlir::Value totals =
      {}; // of a scan: the field is summed along its rows within each tile, and this gets the tiles' sums
};

/// A launch whose body is to be made.
struct OpenLaunch {
  tile::LaunchOp op;
  Environment env;
  const Coordinate *row = nullptr, *part = nullptr, *keys = nullptr;
  mlir::Value split;                    // which part of the keys, of launches that split them
  llvm::SmallVector<mlir::Value> items; // the indices of the work item but that of rows
};

/// A workspace that holds a field of a key for each key.
struct Prepared {
  mlir::Value view;
  llvm::SmallVector<mlir::StringAttr> axes;
  mlir::Type elementType;
};

/// States whose recurrences run in one launch: of the same tokens, direction and axis of values.
struct StateLoop {
  mlir::StringAttr token, value; // value: null where no state has such an axis
  bool isReverse = false;
  bool isStep = false;     // one token after the other, else chunks
  bool isParallel = false; // chunks side by side, the states between them in workspaces
  bool isSplit = false;    // likewise segments of several chunks
  llvm::SmallVector<attn::StateOp> states;
  llvm::SmallVector<mlir::StringAttr> batch; // of the launch
  std::vector<Store> stores;
  bool isEmitted = false;
};

/// A sum or maximum over all tokens, as one tile per part of them.
struct Summed {
  mlir::Operation *op = nullptr;                 // a reduce or dot
  llvm::SmallVector<mlir::StringAttr> over;      // one axis of tokens, or two: outer, inner
  llvm::SmallVector<mlir::StringAttr> features;  // of the result, by their order
  bool isProduct = false;                        // of matrices [tokens, feature]
  attn::ReduceKind kind = attn::ReduceKind::Sum; // Min is kept as Max of the negated
  int64_t rows = 0, tokens = 0;                  // of a step, of a part
  int64_t width = 0;                             // features of a work item, where not all
  mlir::Value size, count;                       // all tokens, all parts
  mlir::Value view, second;                      // f32; of logsumexp the maxima, and the sums that go with them
  llvm::SmallVector<mlir::StringAttr> axes;      // of the views: batch, `part`, then features or `one`
  mlir::StringAttr part, one;                    // names that no axis has; `one`: 16 equal elements
};

/// Workspaces between the launches of a recurrence whose chunks, or segments, run side by side.
struct Between {
  /// Per state what a chunk adds to it, [values, keys]; where something is erased what it would write to a state of 0,
  /// [values, tokens].
  llvm::SmallVector<mlir::Value> added;
  llvm::SmallVector<mlir::Value> before; // per state what there is before the chunk; of matrices as operands
  llvm::SmallVector<mlir::Value> rest;   // where something is erased: per state what the chunk writes, [values, tokens]
  mlir::Value erase;    // [tokens, keys]: minus what the chunk erases of the state before it, as an operand
  mlir::Value key;      // [tokens, keys]: with the decay up to the end of the chunk, where the input cannot be taken
  mlir::Value totals;   // logarithms of a chunk's decay; null without decay
  std::string segments; // the name of their number
  mlir::Value count, length; // of segments: how many, tokens of one
};

/// What a launch of a recurrence has of the tokens: all of them, a chunk or a segment.
enum class Items { All, Chunks, Segments };

/// Of a launch that walks through a segment: its first token; whether it sums up what is added, from states of 0, or
/// does the rest.
struct Walk {
  const Between *between = nullptr;
  mlir::Value start;
  bool adds = false;
};

/// A launch of a recurrence.
struct LoopLaunch {
  tile::LaunchOp op;
  Environment env;
  const Coordinate *row = nullptr, *part = nullptr;
  mlir::Value start; // of its chunk, where it has one
};

class Derivation {
public:
  Derivation(attn::AttentionOp attention, const TileChoices &choices)
      : attention(attention), choices(choices), table(attention.getAxes()), context(attention.getContext()) {}

  llvm::FailureOr<tile::ProgramOp> run();

  std::optional<int64_t> staticSize(mlir::StringAttr axis) const;
  /// The size of an axis as an index, made at the head of the program.
  mlir::Value sizeOf(mlir::StringAttr axis);
  /// |keys| - |query|.
  mlir::Value shiftOf(mlir::StringAttr keys, mlir::StringAttr query);
  mlir::Value indexConstant(int64_t value);
  /// The size of an axis that lies whole inside tiles; complains at `op` if it is unknown or no head dim.
  llvm::FailureOr<int64_t> featureSize(mlir::StringAttr axis, mlir::Operation *op);
  bool isFeature(mlir::StringAttr axis) const { return features.contains(axis); }
  bool isToken(mlir::StringAttr axis) const { return tokens.contains(axis); }
  unsigned orderOf(mlir::StringAttr axis) const;
  /// A walk's key axis; any other axis itself.
  mlir::StringAttr rawOf(mlir::StringAttr axis) const;

  mlir::Type storageType(std::optional<attn::Storage> storage) const;
  mlir::Value viewOf(attn::InputOp input);
  /// The whole axis inside a tile, padded to what the fragments of products need.
  const Coordinate *feature(mlir::StringAttr axis, int64_t size);
  /// The key axis of a state as tiles have it: whole, or in pieces where its features are joined from parts of any size
  /// or are products of others. Pieces end where parts do.
  llvm::ArrayRef<const Coordinate *> keyPieces(attn::StateOp op);
  Coordinate *newCoordinate(Coordinate coordinate) { return &coordinates.emplace_back(coordinate); }
  /// Tokens over two axes, element r at r / inner of the one and r % inner of the other.
  Coordinate *newComposite(Coordinate::Kind kind, mlir::StringAttr axis, mlir::Value base, int64_t extent,
                           mlir::StringAttr outer, mlir::StringAttr inner);
  /// Rows or keys of an axis or walk; composite where it is a product of two axes.
  llvm::FailureOr<Coordinate *> newTokens(Coordinate::Kind kind, mlir::StringAttr axis, mlir::Value base,
                                          int64_t extent, mlir::Operation *at);
  /// The product of two sizes as an index.
  mlir::Value productOf(mlir::StringAttr outer, mlir::StringAttr inner);
  mlir::Value mergedView(mlir::Value view, int64_t outerDim, int64_t innerDim, mlir::Value outer, mlir::Value inner);
  Coordinate *newGathered(mlir::StringAttr axis, const TileValue &index) {
    Coordinate coordinate{Coordinate::Kind::Gathered, axis, {}};
    coordinate.index = &indexTiles.emplace_back(index);
    return newCoordinate(coordinate);
  }

  /// The number that a field is everywhere, where that is known now.
  std::optional<double> constantOf(mlir::Value field);
  /// True where a field reduces over an axis on the way from the inputs.
  bool containsReduction(mlir::Value field);

  /// The workspace of a field on `token` (a walk or a raw axis), and the launch that fills it.
  llvm::FailureOr<Prepared> prepare(mlir::Value field, mlir::StringAttr token, mlir::Type elementType,
                                    mlir::Operation *at);
  /// The workspace of a running sum along tokens, in f32, and the launches that fill it.
  llvm::FailureOr<Prepared> scan(attn::ScanOp op);

  /// The workspace of a read, of a last state or of snapshots, and the launch of the recurrence.
  llvm::FailureOr<Prepared> ofState(mlir::Value field);
  /// Tokens of a block of an axis of blocks.
  int64_t blockSize(mlir::StringAttr blocks) const { return table.lookup(blocks).getStep(); }
  /// The tokens of a chunk of this recurrence.
  int64_t chunkOf(const StateLoop &loop) const;

  /// The workspace of a sum over tokens, and the launch that fills it.
  llvm::FailureOr<const Summed *> sum(mlir::Operation *op);
  /// True for what sums over tokens alone.
  bool isTokenSum(mlir::Operation *op) const;
  /// True for what depends on such sums.
  bool containsSum(mlir::Value field);
  /// Its workspace, and the launch without tokens that fills it.
  llvm::FailureOr<Prepared> prepareGlobal(mlir::Value field, mlir::Type elementType, mlir::Operation *at);
  /// True for operands of these features that f16 might not hold: their products are of tf32.
  bool needsRange(mlir::Type type, llvm::ArrayRef<mlir::StringAttr> features) const;
  /// The axis that its rows run along; null where there is none. Orders the features, rows first.
  mlir::StringAttr rowsWithoutTokens(mlir::Value field, llvm::ArrayRef<mlir::StringAttr> others,
                                     llvm::SmallVectorImpl<mlir::StringAttr> &features);
  /// True for rows of such a launch.
  bool isWithoutTokens(mlir::StringAttr rows) const;
  /// True for heads that are reduced together with their features.
  bool isReducedHead(mlir::StringAttr axis) const { return heads.contains(axis); }
  /// The factor axis of these parts; null where there is none.
  mlir::StringAttr factorOf(llvm::ArrayRef<mlir::StringAttr> parts) const;

  /// A workspace of i32 over batch axes, some rows and the tiles of an axis of tokens.
  mlir::Value makeWorkspace(std::string name, mlir::Location loc, llvm::ArrayRef<mlir::StringAttr> batch, int64_t rows,
                            mlir::StringAttr token, int64_t tile);
  mlir::Value countTiles(mlir::StringAttr axis, int64_t tile);
  /// A workspace of f32 for a part of a state: the extents of `launch` but that of rows, all rows, `width` features (0:
  /// none).
  mlir::Value stateOf(tile::LaunchOp launch, const Coordinate *row, int64_t width, llvm::StringRef name);
  void enter(mlir::Operation *launch) { open.push_back(launch); }
  void leave() { open.pop_back(); }
  /// A launch over batch axes and `items` before the one that is being made.
  mlir::LogicalResult emitBefore(std::string name, llvm::ArrayRef<mlir::StringAttr> batch, mlir::StringAttr last,
                                 mlir::Value items,
                                 llvm::function_ref<mlir::LogicalResult(tile::LaunchOp, Environment)> body);
  std::map<std::tuple<void *, const void *, int64_t>, Prepared> extremes;        // by field, axis and tile
  std::map<std::tuple<mlir::Operation *, size_t, int64_t>, Prepared> tileBounds; // by weights, range and rows

  attn::AttentionOp attention;
  TileChoices choices;
  attn::AxisTableAttr table;
  mlir::MLIRContext *context;
  mlir::Type elementType; // of operands of products
  bool isContracted(mlir::StringAttr axis) const { return contracted.contains(axis); }
  /// Whether a field depends on a reduction over this axis.
  bool reducesWide(mlir::Value field, mlir::StringAttr axis);
  /// Features that a tile of a launch has at once where each row needs all of them.
  static constexpr int64_t kWidest = 256;

private:
  mlir::LogicalResult classifyAxes();
  /// Axes that are joined with products of features are never whole in a tile.
  void findPieced();
  void splitReductions();
  void splitValues();
  void classifySums();
  bool isOpen(mlir::StringAttr axis) const;
  mlir::Value countParts(mlir::Value size, int64_t tokens);
  llvm::SmallVector<mlir::StringAttr> sidesOf(mlir::Operation *op) const;
  /// A product over tokens that a field depends on, past no other sum over tokens; null where there is none.
  mlir::Operation *productUnder(mlir::Value field);
  mlir::LogicalResult checkChoices();
  mlir::LogicalResult checkDepth();
  mlir::LogicalResult emitOutputs();
  /// When the program is worth while, as a choice of it.
  mlir::LogicalResult statePreference();
  void prefer(const std::string &expression, const std::string &reason);
  /// Where a recurrence that is shared out along tokens takes less time than one that is not.
  void preferShared();
  /// A workspace for a field of one token axis: batch axes, tokens, features.
  llvm::FailureOr<Prepared> layOut(mlir::Value field, mlir::StringAttr token, mlir::Type elementType,
                                   mlir::Operation *at);
  mlir::StringAttr rowsInside(mlir::Value field, mlir::StringAttr token);
  /// After the first input on the way, which is what a reader looks for.
  std::string workspaceName(mlir::Value field);
  /// True where a field needs no launch of its own before it: no weights, no sums along tokens.
  bool standsAlone(mlir::Value field);
  /// The launches of all prepared fields that stand alone, in front of all others.
  mlir::LogicalResult emitPrepared();
  bool hasF32Products();

  /// Which states share a launch, and which outputs are computed in it.
  mlir::LogicalResult planStates();
  bool fitsLoop(attn::OutputOp output, const StateLoop &loop);
  mlir::LogicalResult emitLoop(StateLoop &loop, mlir::Operation *before);
  int64_t valueTile(const StateLoop &loop, int64_t width) const;
  bool isShared(const Store &store, const StateLoop &loop);
  void keepAside(Store &store);
  mlir::LogicalResult emitKept();
  mlir::LogicalResult emitLoops();
  /// Carried memory that is no state, which launches at the end write.
  static bool isCarriedAside(attn::OutputOp output);
  mlir::LogicalResult emitCarried();
  llvm::FailureOr<LoopLaunch> openLoop(const StateLoop &loop, const std::string &name,
                                       llvm::ArrayRef<mlir::StringAttr> batch, Items items, mlir::Operation *before,
                                       int64_t values = 0, const Between *between = nullptr);
  /// Values of a work item that reads, of chunks side by side.
  int64_t readTile(const StateLoop &loop) const;
  int64_t segmentUnit(const StateLoop &loop) const;
  int64_t leastSegment(const StateLoop &loop) const;
  void countSegments(const StateLoop &loop, Between &between);
  void makeBetween(const StateLoop &loop, llvm::ArrayRef<mlir::StringAttr> own, const std::string &name,
                   Between &between);
  /// Three launches: what each chunk or segment adds, the pass through the states, the reads.
  mlir::LogicalResult emitParallel(StateLoop &loop, llvm::ArrayRef<mlir::StringAttr> own, const std::string &name,
                                   mlir::Operation *before);
  Store storeOf(attn::OutputOp output);
  /// A launch before `before`, or the last one.
  /// The feature axis of the results that `valueTile` splits; null where none or several are longer.
  mlir::StringAttr splitAxis(llvm::ArrayRef<Store> stores);
  mlir::LogicalResult emitLaunch(llvm::StringRef name, mlir::StringAttr row, llvm::ArrayRef<mlir::StringAttr> batch,
                                 int64_t tile, llvm::ArrayRef<Store> stores, mlir::Operation *before,
                                 mlir::StringAttr keys = {}, mlir::StringAttr packed = {});
  llvm::FailureOr<OpenLaunch> openLaunch(llvm::StringRef name, mlir::StringAttr row,
                                         llvm::ArrayRef<mlir::StringAttr> batch, int64_t tile,
                                         llvm::ArrayRef<Store> stores, mlir::Operation *before, mlir::StringAttr keys,
                                         mlir::StringAttr packed, mlir::Value splits = {});
  /// Two launches: one folds parts of the keys, one merges their states and does the rest.
  mlir::LogicalResult emitSplit(const LaunchAxes &axes, llvm::ArrayRef<Store> stores);
  /// The batch axis that can be rows too, since keys and values do not vary along it; null if there is none.
  mlir::StringAttr packedAxis(const LaunchAxes &axes);
  mlir::FailureOr<LaunchAxes> axesOf(attn::OutputOp output);
  /// As a dimension of a workspace: the name of an axis, or an expression where its size follows from others.
  std::string sizeText(mlir::StringAttr axis);
  mlir::Value computedSize(attn::AxisAttr axis);
  /// Rows of a work item that prepares a field of the axis.
  int64_t rowTile(mlir::StringAttr axis) const;
  mlir::Value tensor(llvm::StringRef name, llvm::StringRef role, llvm::ArrayRef<mlir::StringAttr> declared,
                     mlir::Type element);
  tile::ViewType viewType(llvm::ArrayRef<mlir::StringAttr> declared, mlir::Type element,
                          llvm::SmallVectorImpl<std::string> &dims);
  mlir::OpBuilder head();
  std::string uniqueName(std::string name);
  /// With the name of the alternative.
  std::string kernelName(const llvm::Twine &name) const;

  tile::ProgramOp program;
  std::string splitsName;                               // of the computed axis
  std::pair<mlir::StringAttr, mlir::StringAttr> packed; // the tokens and the heads that are rows together
  llvm::SetVector<mlir::StringAttr> features, tokens;
  llvm::DenseSet<mlir::StringAttr> contracted; // axes that something sums over
  llvm::DenseMap<mlir::StringAttr, mlir::Value> sizes;
  llvm::DenseMap<mlir::Operation *, mlir::Value> inputs;
  llvm::DenseMap<mlir::StringAttr, const Coordinate *> featureCoordinates;
  llvm::DenseSet<mlir::StringAttr> pieced; // axes that are joined with products of others, and their parts
  llvm::MapVector<mlir::Operation *, llvm::SmallVector<const Coordinate *>> pieces; // of keys, by state
  std::deque<Coordinate> coordinates;
  std::deque<TileValue> indexTiles;
  llvm::DenseSet<mlir::StringAttr> heads;  // that are reduced together with features
  llvm::SetVector<mlir::StringAttr> grids; // factor axes whose parts are summed over together
  std::map<mlir::Operation *, Summed> sums;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, mlir::Value> parts; // how many, by size and tokens of a part
  llvm::DenseMap<mlir::Value, bool> sumsInside;
  std::map<std::tuple<void *, int64_t, int64_t, void *, void *>, mlir::Value> mergedViews;
  llvm::DenseMap<mlir::Value, std::optional<double>> constants;
  llvm::DenseMap<mlir::Value, bool> reductions;
  std::map<std::tuple<void *, const void *, const void *>, Prepared> prepared;
  struct Together { // fields of the same tokens and batch: one launch writes them
    mlir::StringAttr token;
    llvm::SmallVector<mlir::StringAttr> batch;
    std::string name;
    std::vector<Store> stores;
  };
  std::vector<Together> together;
  std::vector<StateLoop> loops;
  llvm::DenseMap<mlir::Operation *, size_t> loopOf;   // by state
  llvm::DenseMap<mlir::Operation *, size_t> hosts;    // by output: the loop that computes it
  llvm::MapVector<mlir::Value, Prepared> stateFields; // reads and states that stand in workspaces
  std::vector<std::pair<mlir::Value, Store>> kept;    // workspaces that are copied to carried memory at the end
  llvm::DenseMap<mlir::Value, bool> alone;
  llvm::SmallVector<mlir::Operation *> open; // launches whose body is being made
  std::set<std::string> names;
};

class LaunchEmitter {
public:
  /// `part`: of the feature axis that the launch splits, if it does. `keys`: the keys of the work item, if it has one
  /// tile of them.
  LaunchEmitter(Derivation &derivation, tile::LaunchOp launch, Environment env, const Coordinate *row,
                const Coordinate *part, const Coordinate *keys = nullptr)
      : derivation(derivation), launch(launch), env(env), row(row), part(part), keys(keys),
        keyBlock(keys ? &launch.getBody().front() : nullptr) {}
  LaunchEmitter(Derivation &derivation, const OpenLaunch &open)
      : LaunchEmitter(derivation, open.op, open.env, open.row, open.part, open.keys) {
    items = open.items;
    split = open.split;
  }
  /// Keys are folded in `splits` parts, of which the work item has one.
  void foldPart(mlir::Value number, llvm::ArrayRef<Store> stores) {
    splits = number;
    for (const Store &each : stores)
      collectLive(each.field);
  }
  /// States come from the parts that another launch folds.
  void mergeParts(LaunchEmitter &from, mlir::Value number) {
    partial = &from;
    partCount = number;
  }
  bool hasFolds() const { return !folds.empty(); }
  /// The launch of a sum over tokens.
  mlir::LogicalResult emitSum(const Summed &sum);

  mlir::LogicalResult emit(llvm::ArrayRef<Store> stores);
  /// The body of the launch of a recurrence. One token after the other the rows of tiles are values, over chunks
  /// tokens.
  mlir::LogicalResult emitStates(const StateLoop &loop, const Walk &walk = {});
  /// Of a recurrence whose chunks run side by side: what each adds, the pass, the reads.
  mlir::LogicalResult emitAdded(const StateLoop &loop, const Between &between, mlir::Value start);
  mlir::LogicalResult emitWritten(const StateLoop &loop, const Between &between, mlir::Value start);
  mlir::LogicalResult emitPass(const StateLoop &loop, const Between &between);
  mlir::LogicalResult emitReads(const StateLoop &loop, const Between &between, mlir::Value start);

private:
  using Key = std::pair<void *, llvm::SmallVector<const Coordinate *, 6>>;
  struct Fold;

  // Fields.
  llvm::FailureOr<TileValue> evaluate(mlir::Value field, const Environment &env);
  llvm::FailureOr<TileValue> compute(mlir::Value field, const Environment &env);
  llvm::FailureOr<TileValue> pointwise(mlir::Operation *op, const Environment &env);
  llvm::FailureOr<TileValue> position(mlir::Operation *op, mlir::StringAttr axis, mlir::Value shift,
                                      const Environment &env);
  llvm::FailureOr<TileValue> toReal(attn::ToRealOp op, const Environment &env);
  llvm::FailureOr<TileValue> rowAt(attn::RowAtOp op, const Environment &env);
  llvm::FailureOr<TileValue> rowAtShare(attn::RowAtOp op, const Environment &env);
  /// Where the operand is read; nothing where the walk's place is no tile of tokens.
  std::optional<Environment> flattened(attn::FlattenOp op, const Environment &env);
  mlir::Value scaledBy(mlir::Value index, mlir::StringAttr axis, mlir::Operation *at);
  llvm::FailureOr<TileValue> rowAtIndex(attn::RowAtOp op, const Environment &env);
  llvm::FailureOr<TileValue> reduce(attn::ReduceOp op, const Environment &env);
  llvm::FailureOr<TileValue> reduceAt(attn::ReduceOp op, const Environment &env, const Coordinate *feature,
                                      int64_t size);
  /// A wide axis part by part.
  llvm::SmallVector<const Coordinate *> partsOf(mlir::StringAttr axis, int64_t size);
  llvm::FailureOr<TileValue> dot(attn::DotOp op, const Environment &env);
  /// A dot without its constant factor.
  llvm::FailureOr<std::pair<TileValue, double>> dotWithoutConstant(attn::DotOp op, const Environment &env);
  llvm::FailureOr<TileValue> product(attn::DotOp op, const Product &rowSide, const Product &keySide,
                                     mlir::StringAttr axis);
  /// Contracts and adds to `acc`, where it is given.
  llvm::FailureOr<TileValue> contract(mlir::Operation *op, const TileValue &a, const TileValue &b,
                                      mlir::StringAttr axis, mlir::Value acc = {});
  static mlir::Type operandType(std::optional<mlir::Type> first, std::optional<mlir::Type> second,
                                mlir::Type otherwise);
  llvm::FailureOr<TileValue> projection(attn::DotOp op, const Environment &env, mlir::StringAttr axis);
  llvm::FailureOr<TileValue> expect(attn::ExpectOp op, const Environment &env);
  llvm::FailureOr<TileValue> stat(attn::StatOp op, const Environment &env);

  // Weights.
  llvm::FailureOr<Fold *> fold(attn::WeightsOp op, const Environment &env);
  llvm::FailureOr<mlir::Value> domain(attn::WeightsOp op, const Environment &env);
  llvm::FailureOr<Fold *> mergeFold(attn::WeightsOp op);
  mlir::Value sliceOf(mlir::Value domain, mlir::Location loc);
  /// Where the same axes run here.
  llvm::FailureOr<Environment> translate(const Environment &env, mlir::Operation *at);
  llvm::FailureOr<mlir::Value> boundValue(const analysis::Bound &bound, const Environment &env);

  // Recurrences.
  struct States;
  struct Chunk;
  /// Where a tile has the keys of a state: of its piece that is being made.
  const Coordinate *keyOf(attn::StateOp op);
  size_t piecesOf(attn::StateOp op) { return derivation.keyPieces(op).size(); }
  /// What `make` answers for each piece, summed up.
  llvm::FailureOr<mlir::Value> sumPieces(attn::StateOp op, llvm::function_ref<llvm::FailureOr<mlir::Value>()> make);
  /// A field over [rows, features at a coordinate], with 0 where the tile pads them.
  llvm::FailureOr<mlir::Value> alongFeature(mlir::Value field, mlir::StringAttr axis, const Coordinate *place,
                                            const Environment &env, mlir::Operation *at);
  /// Sums over features of what queries and keys of a chunk have in common, [tokens, tokens] in f32: parts of a
  /// concatenation one by one, of products of features as product of such sums. Features are not made.
  struct Side {
    mlir::Value field;
    Environment env;
    mlir::StringAttr axis; // of the features
  };
  llvm::FailureOr<mlir::Value> featureProduct(Side query, Side key, attn::StateOp op);
  llvm::FailureOr<mlir::Value> productAt(const Side &query, const Side &key, const Coordinate *place, attn::StateOp op);
  llvm::FailureOr<mlir::Value> scalarProduct(const Side &query, const Side &key, attn::StateOp op);
  /// Whether it is all products of two fields of one feature axis each; gives both.
  bool splitPairs(const Side &side, Side &outer, Side &inner);
  /// The axis that this one is another name of; itself if it is none.
  mlir::StringAttr sameAxis(mlir::StringAttr axis) const;
  /// Removes new names and constant factors, which it answers.
  double peel(Side &side);
  /// Queries or keys of a chunk as operand of a product: as they are stored, or masked and rounded.
  llvm::FailureOr<mlir::Value> featureOperand(const Side &side, const Coordinate *place, attn::StateOp op,
                                              mlir::Value rows);
  mlir::LogicalResult storePieces(const StateLoop &loop, attn::StateOp op, mlir::ValueRange all,
                                  llvm::function_ref<mlir::LogicalResult(mlir::Value)> store);
  llvm::FailureOr<mlir::Value> chunkKey(attn::StateOp op, Chunk &chunk);
  /// The view of a piece alone, and the piece as a whole of it.
  const Coordinate *viewPiece(mlir::Value &view, llvm::ArrayRef<mlir::StringAttr> declared, mlir::StringAttr axis,
                              const Coordinate *place);
  /// A read in the loop of its state, or from a workspace.
  llvm::FailureOr<TileValue> stateField(mlir::Operation *op, const Environment &env);
  llvm::FailureOr<TileValue> conv(attn::ConvOp op, const Environment &env);
  llvm::FailureOr<mlir::Value> matrix(mlir::Value field, attn::StateOp op);
  mlir::LogicalResult storeState(const Store &store, mlir::Value state, mlir::Value block, mlir::Value condition);
  mlir::LogicalResult repeatRows(mlir::Operation *at, mlir::Value &view, llvm::SmallVectorImpl<mlir::Value> &indices,
                                 llvm::SmallVectorImpl<int64_t> &dims, Dimensions &spanned);
  mlir::Value onlyFirst(const Store &store, mlir::Value condition);
  void enterChunk(const StateLoop &loop, mlir::Value start);
  /// The place of a chunk or segment in the workspaces between launches.
  void placeBetween(const StateLoop &loop, mlir::Value item, llvm::SmallVectorImpl<mlir::Value> &indices);
  mlir::Value loadBetween(const StateLoop &loop, mlir::Value view, mlir::Value item, llvm::ArrayRef<int64_t> shape,
                          mlir::StringAttr values);
  void storeBetween(const StateLoop &loop, mlir::Value tile, mlir::Value view, mlir::Value item,
                    mlir::StringAttr values, mlir::Value condition);
  mlir::Value isFirstPart(const StateLoop &loop);
  mlir::LogicalResult firstStates(const StateLoop &loop, const Walk &walk, llvm::SmallVectorImpl<mlir::Value> &init);
  llvm::FailureOr<mlir::Value> commitBlock(attn::StateOp op, mlir::Value next,
                                           llvm::SmallVectorImpl<mlir::Value> &asides);
  mlir::Value blockAt(mlir::StringAttr blocks);
  mlir::LogicalResult storeEvery(const StateLoop &loop, mlir::ValueRange next);
  mlir::LogicalResult storeLast(const StateLoop &loop, mlir::ValueRange last);
  mlir::Value endsBlock(const StateLoop &loop, mlir::StringAttr blocks, mlir::Value start);
  mlir::OpBuilder onlyWhere(mlir::Value condition, mlir::Location loc);
  void hoistInvariants(mlir::Operation *loop);
  llvm::FailureOr<mlir::Value> perKey(mlir::Value field, attn::StateOp op, const Environment &env);
  llvm::FailureOr<mlir::Value> perRow(mlir::Value field, attn::StateOp op);
  llvm::FailureOr<mlir::Value> decayOnly(attn::StateOp op, mlir::Value state);
  llvm::FailureOr<mlir::Value> nextState(attn::StateOp op);
  llvm::FailureOr<mlir::Value> decayedStep(attn::StateOp op);
  llvm::FailureOr<mlir::Value> nextStep(attn::StateOp op);
  llvm::FailureOr<mlir::Value> nextChunk(attn::StateOp op);
  llvm::FailureOr<TileValue> readStep(attn::ReadOp op, const Environment &env);
  llvm::FailureOr<TileValue> readChunk(attn::ReadOp op, const Environment &env);
  mlir::Value takingPart(mlir::Value tile, mlir::Value rows);
  llvm::FailureOr<mlir::Value> chunkOperand(mlir::Value field, attn::StateOp op, const Environment &env,
                                            mlir::Value rows);
  llvm::FailureOr<Chunk *> chunkOf(attn::StateOp op);
  llvm::FailureOr<mlir::Value> wideKey(attn::StateOp op, Chunk &chunk);
  mlir::Value decayBetween(Chunk &chunk, bool exclusive, mlir::Type square);
  llvm::FailureOr<mlir::Value> chunkWeights(attn::ReadOp op, Chunk &chunk, mlir::Value query, const Environment &env);
  llvm::FailureOr<std::pair<mlir::Value, mlir::Value>> chunkRest(attn::StateOp op, Chunk &chunk, bool needsWide);
  llvm::FailureOr<mlir::Value> keyToEnd(attn::StateOp op, Chunk &chunk);
  mlir::LogicalResult prepareChunk(attn::StateOp op, Chunk &chunk);
  mlir::LogicalResult makeInverse(attn::StateOp op, Chunk &chunk);
  llvm::FailureOr<mlir::Value> chunkValue(attn::StateOp op, Chunk &chunk);
  llvm::FailureOr<mlir::Value> chunkErase(attn::StateOp op, Chunk &chunk);
  llvm::FailureOr<mlir::Value> eraseFromStart(attn::StateOp op, Chunk &chunk);
  mlir::Value narrowState(attn::StateOp op);

  // Memory.
  llvm::FailureOr<TileValue> load(mlir::Location loc, mlir::Operation *at, mlir::Value view,
                                  llvm::ArrayRef<mlir::StringAttr> declared, const Environment &env);
  llvm::FailureOr<TileValue> loadInput(attn::InputOp op, const Environment &env);
  llvm::FailureOr<TileValue> loadPrepared(mlir::Value field, const Environment &env, mlir::Type elementType,
                                          mlir::Operation *at);
  /// What a launch before has left, once for each place.
  llvm::FailureOr<TileValue> loadWorkspace(const Prepared &workspace, const Environment &env, mlir::Operation *at);
  /// A field as an operand of a product: as it is stored, or rounded, or prepared.
  llvm::FailureOr<TileValue> operand(mlir::Value field, const Environment &env, mlir::Type elementType,
                                     mlir::Operation *at);
  mlir::LogicalResult store(const Store &store);
  mlir::LogicalResult storeAt(const Store &store, const Environment &env);
  llvm::FailureOr<llvm::SmallVector<mlir::Value>>
  indicesOf(mlir::Operation *at, llvm::ArrayRef<mlir::StringAttr> declared, const Environment &env,
            llvm::SmallVectorImpl<int64_t> &dims, Dimensions &spanned, mlir::Value &view,
            llvm::SmallVectorImpl<std::pair<int64_t, const Coordinate *>> *gathered = nullptr);
  /// Tokens that run along a part of a declared dimension, or along two.
  struct TokenShare {
    size_t declared;
    const Coordinate *coordinate;
  };
  /// Gives the view a dimension for these tokens.
  mlir::LogicalResult mergeTokens(mlir::Operation *at, llvm::ArrayRef<TokenShare> shares,
                                  llvm::ArrayRef<mlir::StringAttr> declared, mlir::Value &view,
                                  llvm::SmallVectorImpl<mlir::Value> &indices, llvm::SmallVectorImpl<int64_t> &dims,
                                  Dimensions &spanned);
  /// Of indices of two axes together those of one.
  mlir::Value shareOf(mlir::OpBuilder &builder, mlir::Location loc, const Coordinate *share, mlir::Value index);

  // Gathers, blocks and windows, bounds from data.
  llvm::FailureOr<TileValue> gather(attn::GatherOp op, const Environment &env);
  /// An array some places on from the rows, as a tile of its own; nothing for other indices and fields.
  std::optional<llvm::FailureOr<TileValue>> movedRows(attn::GatherOp op, const Environment &env);
  /// A sum whose one part is 0 for all rows from some place on, as what a convolution reads of the call before: that
  /// part is made for the tiles that begin before. Nothing for other sums.
  std::optional<llvm::FailureOr<TileValue>> addPast(attn::AddOp op, const Environment &env);
  llvm::FailureOr<TileValue> gatherTile(mlir::Location loc, mlir::Operation *at, mlir::Value view,
                                        llvm::SmallVector<mlir::Value> indices, llvm::ArrayRef<int64_t> dims,
                                        const Dimensions &spanned,
                                        llvm::ArrayRef<std::pair<int64_t, const Coordinate *>> gathered);
  /// A field with one of its axes at computed indices.
  llvm::FailureOr<TileValue> atIndex(mlir::Value field, mlir::StringAttr axis, const TileValue &index,
                                     const Environment &env, mlir::Operation *at);
  /// The value where the index lies within the axis, 0 elsewhere.
  llvm::FailureOr<TileValue> whereInside(const TileValue &value, const TileValue &index, mlir::StringAttr axis,
                                         mlir::Operation *at);
  llvm::FailureOr<TileValue> blockReduce(attn::BlockReduceOp op, const Environment &env);
  llvm::FailureOr<TileValue> reducePairs(attn::BlockReduceOp op, const Environment &env);
  llvm::FailureOr<TileValue> reduceRows(attn::BlockReduceOp op, const Environment &env);
  /// Rows that are pieces of an axis: row r has the elements from (first + r) * step, `extent` of them.
  struct Piece {
    mlir::StringAttr axis; // the name of the axis in the field
    const Coordinate *rows;
    int64_t extent, step;
    attn::ReduceKind kind;
  };
  llvm::FailureOr<TileValue> reduceGathered(const Piece &piece, mlir::Value field, const Environment &env,
                                            mlir::Operation *at);
  bool isRecomputed(mlir::Value field, const Environment &env);
  struct Intervals;
  bool isBoundedLeaf(mlir::Value field, const Environment &env);
  bool isBoundedInt(mlir::Value field, const Environment &env, unsigned &sums);
  bool isBounded(mlir::Value predicate, Environment env);
  llvm::FailureOr<Prepared> tileExtremes(mlir::Value field, mlir::StringAttr token, int64_t size,
                                         const Environment &env, mlir::Operation *at);
  /// From data: the keys of the work item's rows from and to which any is seen, and all are.
  llvm::FailureOr<llvm::SmallVector<mlir::Value>> dataBounds(attn::WeightsOp op, const analysis::KeyRange &range,
                                                             size_t number, const Environment &env);

  // Sums over all tokens, reductions over heads.
  bool isGlobal(mlir::Value field, const Environment &env);
  bool hasTokens() const { return !row || !derivation.isWithoutTokens(row->axis); }
  llvm::FailureOr<TileValue> loadGlobal(mlir::Value field, const Environment &env, mlir::Type elementType,
                                        mlir::Operation *at);
  llvm::FailureOr<TileValue> loadSum(mlir::Operation *op, const Environment &env);
  llvm::FailureOr<TileValue> reduceHeads(attn::ReduceOp op, const Environment &env);
  /// With `none` where there is no token.
  llvm::FailureOr<TileValue> summand(const Summed &sum, TileValue tile, mlir::Value exists, double none,
                                     mlir::Operation *at);
  /// The sum of factor * exp(x - max) over pairs of x and factor, or 1.
  static mlir::Value addExponentials(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value max,
                                     llvm::ArrayRef<std::pair<mlir::Value, mlir::Value>> terms);

  // Slices and concatenations of features, sums along tokens.
  llvm::FailureOr<TileValue> slice(attn::SliceOp op, const Environment &env);
  llvm::FailureOr<TileValue> concat(attn::ConcatOp op, const Environment &env);
  /// Some of all pairs of two axes of features.
  llvm::FailureOr<TileValue> pairs(attn::FlattenOp op, const Environment &env);
  /// A dot with a concatenation of stored keys, part by part: nothing is prepared for it. None where it is not one.
  llvm::FailureOr<std::optional<std::pair<TileValue, double>>>
  dotOfParts(attn::DotOp op, mlir::Value rowSide, mlir::Value keySide, mlir::StringAttr axis, const Environment &env);
  /// The sum of a tile and a product, in the product's accumulator; null where that is not possible.
  static mlir::Value sumInto(mlir::Operation *op, mlir::Value x, mlir::Value y);
  llvm::FailureOr<TileValue> expectPart(attn::ExpectOp op, const Environment &env);
  llvm::FailureOr<TileValue> cut(const TileValue &tile, mlir::StringAttr whole, const Coordinate *part,
                                 mlir::Operation *at);
  /// Where the operand of a slice is read.
  llvm::FailureOr<Environment> sliced(attn::SliceOp op, const Environment &env);
  /// True where a slice, loaded in the width of fragments, would bring its neighbours along.
  static bool isPaddedSlice(attn::SliceOp op, const Environment &env);
  const Coordinate *partOf(const Coordinate *whole, mlir::StringAttr identity, int64_t offset, int64_t extent,
                           int64_t size);
  llvm::FailureOr<TileValue> loadScan(attn::ScanOp op, const Environment &env);
  mlir::LogicalResult storeScanned(const Store &store, mlir::Value tile, llvm::ArrayRef<mlir::Value> indices,
                                   llvm::ArrayRef<int64_t> dims);

  // Parts.
  void strip(mlir::Value &field, Environment &env);
  Product decompose(mlir::Value field, Environment env, mlir::StringAttr axis);
  std::optional<mlir::Type> plainType(mlir::Value field, Environment env);
  /// The product of factors as a tile over what they vary with; none if there is no factor.
  llvm::FailureOr<std::optional<TileValue>> multiply(llvm::ArrayRef<Product::Factor> factors, mlir::Operation *at);
  /// The same tile with `identity` in place of features that do not exist. Loads have 0 there; other tiles have
  /// anything.
  TileValue maskPadding(const TileValue &tile, double identity, mlir::Location loc);
  /// A tile of 16-bit numbers in f32: exact.
  TileValue widen(const TileValue &tile, mlir::Location loc);
  llvm::FailureOr<TileValue> binary(llvm::StringRef name, TileValue a, TileValue b, mlir::Operation *at);
  TileValue times(TileValue a, double constant, mlir::Location loc);

  /// Where values over these dimensions are computed: as far out as they can.
  mlir::OpBuilder builderFor(const Dimensions &dims);
  mlir::RankedTensorType typeOf(const Dimensions &dims, mlir::Type elementType);
  mlir::Value spread(mlir::OpBuilder &builder, mlir::Location loc, const TileValue &value, const Dimensions &dims);
  llvm::FailureOr<Dimensions> unite(llvm::ArrayRef<TileValue> values, mlir::Operation *at);
  Dimension dimensionOf(const Coordinate *coordinate) const;
  mlir::Value zeroIndex() { return derivation.indexConstant(0); }
  Key keyOf(mlir::Value field, const Environment &env);
  bool runsAlong(mlir::Value field, const Environment &env, Coordinate::Kind kind);
  mlir::Value queryBound(const Environment &env, mlir::StringAttr keys, mlir::StringAttr query, bool last);
  void collectLive(mlir::Value field);

  Derivation &derivation;
  tile::LaunchOp launch;
  Environment env;
  const Coordinate *row;
  const Coordinate *part;
  const Coordinate *keys;
  llvm::SmallVector<mlir::Value> items;
  mlir::Value split, splits;        // the part of the keys, and how many there are, where the launch folds parts
  LaunchEmitter *partial = nullptr; // the launch that folds parts, where this one merges them
  mlir::Value partCount;            // how many it makes
  mlir::Block *keyBlock;            // where values per key are made: the region of the fold that is being made
  mlir::Block *innermost = nullptr; // the body of a loop over rows that is being made: all values are made there
  std::map<Key, TileValue> values, raw;
  std::map<Key, std::pair<TileValue, double>> dots;
  std::map<mlir::Operation *, std::shared_ptr<Fold>> folds; // shared: Fold is complete in one file only
  std::map<std::tuple<const Coordinate *, const void *, const void *>, Coordinate *> shifted;
  std::map<std::pair<const void *, const void *>, const Coordinate *> places; // of indices, by axis
  std::map<std::pair<const Coordinate *, int64_t>, Coordinate *> moves;       // by a number of places
  std::map<std::tuple<const Coordinate *, const void *, int64_t, int64_t>, const Coordinate *> parts;
  std::map<std::pair<const void *, const Coordinate *>, std::pair<mlir::Value, const Coordinate *>> pieceViews;
  std::map<std::pair<const void *, int64_t>, const Coordinate *> pairRows; // of products of features: the outer one's
  std::map<const analysis::BoundExpr *, mlir::Value> bounds;
  llvm::DenseSet<mlir::Operation *> live;
  llvm::SmallVector<mlir::Operation *> folding; // weights whose fold is being made
  std::shared_ptr<States> states;               // of a recurrence; shared: complete in one file only
};

inline attn::FieldType fieldType(mlir::Value field) { return mlir::cast<attn::FieldType>(field.getType()); }

/// The function of a pointwise operation on scalars or on tiles of one shape; reals are f32, ints i32, bools i1.
mlir::Value emitPointwise(mlir::OpBuilder &builder, mlir::Location loc, mlir::Operation *op,
                          llvm::ArrayRef<mlir::Value> x);

/// A constant of a scalar or tile type.
mlir::Value emitConstant(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, double value);

} // namespace fovea::derivation
