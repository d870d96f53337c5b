// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Patterns over named axes; the draws themselves are those of runtime/host/Random.h.
#include "frontend/driver/Inputs.h"

#include "runtime/host/Random.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace fovea::driver {

const char *patternName(Pattern pattern) {
  switch (pattern) {
  case Pattern::Normal:
    return "normal";
  case Pattern::Constant:
    return "constant";
  case Pattern::LargeLogits:
    return "large-logits";
  case Pattern::Early:
    return "early";
  case Pattern::Late:
    return "late";
  case Pattern::Rising:
    return "rising";
  case Pattern::Alternating:
    return "alternating";
  case Pattern::Tiny:
    return "tiny";
  case Pattern::Zeros:
    return "zeros";
  case Pattern::Decays:
    return "decays";
  case Pattern::DecayNeighbours:
    return "decay-neighbours";
  case Pattern::EqualKeys:
    return "equal-keys";
  case Pattern::Strengths:
    return "strengths";
  }
  return "?";
}

static const sema::Declaration *find(const sema::Attention &attention, std::string_view name) {
  for (const sema::Declaration &declaration : attention.declarations)
    if (declaration.name == name && declaration.role != sema::Role::Const)
      return &declaration;
  return nullptr;
}

std::optional<double> defaultOf(const sema::Attention &attention, std::string_view name) {
  const sema::Declaration *declaration = find(attention, name);
  return declaration && declaration->defaultNode ? declaration->defaultValue : std::nullopt;
}

/// The first dimension that is a token axis, keys and queries alike; -1 if none.
static int tokenDim(const sema::Attention &attention, const sema::Declaration &declaration) {
  for (size_t i = 0; i < declaration.declaredAxes.size(); ++i) {
    AxisUse use = useOf(attention, declaration.declaredAxes[i]);
    if (use == AxisUse::Queries || use == AxisUse::Keys)
      return static_cast<int>(i);
  }
  return -1;
}

namespace {

/// A contract whose bounds are numbers.
struct Range {
  std::optional<double> lower, upper;
  bool lowerOpen = false, upperOpen = false;
};

} // namespace

static Range rangeOf(const sema::Attention &attention, const sema::Declaration &declaration,
                     const runtime::AxisSizes &sizes) {
  Range range;
  if (!declaration.contract)
    return range;
  auto value = [&](const std::optional<sema::Bound> &bound) -> std::optional<double> {
    if (!bound)
      return std::nullopt;
    return bound->value ? bound->value : valueOf(attention, bound->node, sizes);
  };
  range.lower = value(declaration.contract->lower);
  range.upper = value(declaration.contract->upper);
  range.lowerOpen = range.lower && declaration.contract->lower->open;
  range.upperOpen = range.upper && declaration.contract->upper->open;
  return range;
}

/// Moves values into the contract: by their distance to the one bound, or by a fold into the interval.
static double keepRange(double x, const Range &range) {
  if (range.lower && range.upper) {
    double width = *range.upper - *range.lower;
    // Away from the ends, so that rounding to a storage type does not reach an open one.
    return *range.lower + width * (0.02 + 0.96 / (1 + std::exp(-x)));
  }
  if (range.lower)
    return *range.lower + std::abs(x) + (range.lowerOpen ? 0.01 : 0);
  if (range.upper)
    return *range.upper - std::abs(x) - (range.upperOpen ? 0.01 : 0);
  return x;
}

static double clampRange(double x, const Range &range) {
  // Away from an open end, so that rounding does not reach it.
  if (range.lower && (x < *range.lower || (range.lowerOpen && x == *range.lower)))
    x = *range.lower + (range.lowerOpen ? 0.01 : 0);
  if (range.upper && (x > *range.upper || (range.upperOpen && x == *range.upper)))
    x = *range.upper - (range.upperOpen ? 0.01 : 0);
  return x;
}

namespace {

/// What an input is to the states that it reaches.
struct StateUse {
  bool decay = false, key = false;
  bool strength = false;    // of erase vectors, and not part of a key
  bool squashed = false;    // on its way to decay or erase it goes through a bounded or one-sided function
  bool exponential = false; // one of these is an exponential
  bool byChannel = false;   // the decay differs along the key axis, the input's last one
  bool normaliser = false;  // the initial value of a state of one column
};

} // namespace

/// Decays and strengths are reached point by point, keys in any way.
static StateUse stateUse(const sema::Attention &attention, const sema::Declaration &declaration) {
  enum : unsigned { Pointwise = 1, Squashed = 2, Exponential = 4, Any = 8 };
  std::vector<unsigned> follows(attention.nodes.size());
  follows[declaration.node] = Pointwise | Any;
  StateUse use;
  bool erases = false;
  for (sema::NodeId id = 0; id < attention.nodes.size(); ++id) {
    const sema::Node &node = attention.nodes[id];
    if (node.op == sema::Op::State) {
      unsigned key = follows[node.operands[0]];
      use.key |= (key & Any) != 0;
      size_t next = 2;
      auto take = [&](bool has) { return has ? follows[node.operands[next++]] : 0u; };
      sema::NodeId decayNode = node.operands[std::min<size_t>(2, node.operands.size() - 1)];
      unsigned decay = take(node.hasDecay), erase = take(node.hasErase);
      if (decay & Pointwise) {
        use.decay = true;
        use.squashed |= (decay & Squashed) != 0;
        use.exponential |= (decay & Exponential) != 0;
        const std::vector<sema::AxisId> &axes = attention.nodes[decayNode].axes;
        sema::AxisId keyAxis = node.attrAxes[1];
        use.byChannel |= std::find(axes.begin(), axes.end(), keyAxis) != axes.end() && !declaration.axes.empty() &&
                         declaration.axes.back() == keyAxis;
      }
      if ((erase & Pointwise) && !(key & Any)) {
        erases = true;
        use.squashed |= (erase & Squashed) != 0;
      }
      if (node.hasInitial && follows[node.operands.back()] && node.attrAxes.size() == (node.hasCommit ? 3u : 2u))
        use.normaliser = true;
      continue;
    }
    if (node.kind == sema::Kind::Weights)
      continue;
    unsigned all = 0;
    for (sema::NodeId operand : node.operands)
      all |= follows[operand];
    switch (node.op) {
    case sema::Op::Input:
    case sema::Op::Read:
    case sema::Op::Last:
    case sema::Op::Every:
    case sema::Op::Expect:
    case sema::Op::Stat:
      continue;
    case sema::Op::Dot:
    case sema::Op::Conv:
    case sema::Op::Reduce:
    case sema::Op::BlockReduce:
    case sema::Op::Scan:
    case sema::Op::Gather:
      all &= Any;
      break;
    case sema::Op::Exp:
    case sema::Op::Exp2:
      all |= all & Pointwise ? Exponential : 0u;
      [[fallthrough]];
    case sema::Op::Sigmoid:
    case sema::Op::Softplus:
    case sema::Op::LogSigmoid:
    case sema::Op::Tanh:
    case sema::Op::Log:
      all |= all & Pointwise ? Squashed : 0u;
      break;
    default:
      break;
    }
    follows[id] |= all;
  }
  use.strength = erases && !use.key && !use.decay;
  return use;
}

std::vector<Pattern> adversarialPatterns(const sema::Attention &attention) {
  std::vector<Pattern> patterns(std::begin(kAdversarial), std::end(kAdversarial));
  bool decay = false, byChannel = false, key = false, strength = false;
  for (const sema::Declaration &declaration : attention.declarations) {
    if (declaration.role == sema::Role::Output || declaration.role == sema::Role::Const ||
        declaration.kind != sema::Kind::Real)
      continue;
    StateUse use = stateUse(attention, declaration);
    bool isInput = declaration.role == sema::Role::Input;
    decay |= isInput && use.decay;
    byChannel |= isInput && use.byChannel;
    key |= isInput && use.key;
    strength |= isInput && use.strength;
  }
  if (decay)
    patterns.push_back(Pattern::Decays);
  if (byChannel)
    patterns.push_back(Pattern::DecayNeighbours);
  if (key)
    patterns.push_back(Pattern::EqualKeys);
  if (strength)
    patterns.push_back(Pattern::Strengths);
  return patterns;
}

/// The axis that the input indexes, by itself or with something added, in a gather.
static std::optional<sema::AxisId> gatheredAxis(const sema::Attention &attention,
                                                const sema::Declaration &declaration) {
  std::vector<bool> follows(attention.nodes.size());
  follows[declaration.node] = true;
  for (sema::NodeId id = 0; id < attention.nodes.size(); ++id) {
    const sema::Node &node = attention.nodes[id];
    if (node.op == sema::Op::Gather && follows[node.operands[1]])
      return node.attrAxes[0];
    if (node.kind == sema::Kind::Int)
      for (sema::NodeId operand : node.operands)
        if (follows[operand])
          follows[id] = true;
  }
  return std::nullopt;
}

/// Whole numbers: see Inputs.h.
class Whole {
public:
  Whole(const sema::Attention &attention, const sema::Declaration &declaration, const runtime::AxisSizes &sizes,
        Pattern pattern, runtime::RandomStream &stream, int64_t tokens, int64_t inner)
      : pattern(pattern), stream(stream), tokens(tokens), inner(inner) {
    Range range = rangeOf(attention, declaration, sizes);
    constexpr double kLeast = -2147483648.0, kMost = 2147483647.0;
    auto clamp = [&](double x) { return std::clamp(x, kLeast, kMost); };
    if (range.lower)
      least = static_cast<int64_t>(clamp(range.lowerOpen ? std::floor(*range.lower) + 1 : std::ceil(*range.lower)));
    if (range.upper)
      most = static_cast<int64_t>(clamp(range.upperOpen ? std::ceil(*range.upper) - 1 : std::floor(*range.upper)));
    if (std::optional<sema::AxisId> axis = gatheredAxis(attention, declaration)) {
      gathered = true;
      int64_t size = sizeOf(attention, *axis, sizes).value_or(1);
      first = -2;
      last = size + 1;
    }
    for (sema::AxisId id = 0; id < attention.axes.size(); ++id)
      if (AxisUse use = useOf(attention, id); use == AxisUse::Queries || use == AxisUse::Keys)
        longest = std::max(longest, sizeOf(attention, id, sizes).value_or(1));
    isMap = std::none_of(attention.axes.begin(), attention.axes.end(),
                         [](const sema::Axis &axis) { return axis.relation == sema::AxisRelation::Walk; });
    standard = declaration.defaultNode ? declaration.defaultValue : std::nullopt;
  }

  double at(int64_t i) {
    // Without weights nothing says what a number means.
    int64_t x = gathered ? index(i) : isMap ? draw(i, 40, 100) : tokens > 1 ? document(i) : length(i);
    return static_cast<double>(std::max(least, std::min(x, most)));
  }

private:
  int64_t draw(int64_t i, int64_t from, int64_t to) {
    from = std::max(from, least);
    return stream.integer(static_cast<uint64_t>(i), from, std::max(from, std::min(to, most)));
  }

  int64_t index(int64_t i) {
    switch (pattern) {
    case Pattern::Zeros:
      return 0;
    case Pattern::Constant:
      return last / 2;
    case Pattern::Rising:
      return i / inner % (last + 1);
    case Pattern::LargeLogits: // far outside
      return draw(i, -2147483648LL, 2147483647);
    default:
      return draw(i, first, last);
    }
  }

  int64_t document(int64_t i) {
    int64_t token = i / inner % tokens;
    switch (pattern) {
    case Pattern::Zeros:
    case Pattern::Constant:
      return 0;
    case Pattern::LargeLogits: // in no order
      return draw(i, 0, 3);
    case Pattern::Early:
      return token == 0 ? 0 : 1;
    case Pattern::Late:
      return token == tokens - 1 ? 1 : 0;
    case Pattern::Rising:
      return token;
    case Pattern::Alternating:
      return token % 2;
    case Pattern::Tiny: // an order that goes down
      return (tokens - token) / 8;
    case Pattern::Decays:
    case Pattern::DecayNeighbours:
    case Pattern::EqualKeys:
    case Pattern::Strengths:
    case Pattern::Normal: {
      // From the token before to this one the number rises with one chance in 24.
      int64_t step = stream.integer(static_cast<uint64_t>(i), 0, 23) == 0 ? 1 : 0;
      before.resize(static_cast<size_t>(inner));
      int64_t &number = before[static_cast<size_t>(i % inner)];
      return number = token == 0 ? 0 : number + step;
    }
    }
    return 0;
  }

  int64_t length(int64_t i) {
    switch (pattern) {
    case Pattern::Zeros:
      return 0;
    case Pattern::Constant:
      return standard ? static_cast<int64_t>(*standard) : longest;
    default:
      return draw(i, 0, std::max<int64_t>(7, longest + 1));
    }
  }

  Pattern pattern;
  runtime::RandomStream &stream;
  int64_t tokens, inner, longest = 1, first = 0, last = 0, least = INT32_MIN, most = INT32_MAX;
  bool gathered = false, isMap = false;
  std::optional<double> standard;
  std::vector<int64_t> before; // of each column the number of the last token
};

Result<runtime::Array> drawInput(const sema::Attention &attention, const runtime::Plan &interface,
                                 const std::string &name, const runtime::AxisSizes &sizes, Pattern pattern,
                                 uint64_t seed) {
  const sema::Declaration *declaration = find(attention, name);
  const runtime::PlanTensor *tensor = interface.findTensor(name);
  if (!declaration || !tensor)
    return Error{ErrorCode::NotFound, "there is no input '" + name + "'"};
  Result<std::vector<int64_t>> shape = runtime::tensorShape(interface, *tensor, sizes);
  if (!shape)
    return shape.takeError();
  Result<runtime::Array> array = runtime::Array::create(tensor->type, *shape);
  if (!array)
    return array;
  runtime::RandomStream stream(seed, name);
  bool isParam = tensor->role == runtime::TensorRole::Param, isInt = tensor->type == runtime::StorageType::I32;
  if (isParam && !isInt)
    pattern = Pattern::Normal;

  int64_t inner = 1; // elements below the token dimension
  int dim = tokenDim(attention, *declaration);
  int64_t tokens = dim < 0 ? 1 : (*shape)[static_cast<size_t>(dim)];
  for (size_t i = static_cast<size_t>(dim + 1); i < shape->size(); ++i)
    inner *= (*shape)[i];
  Whole whole(attention, *declaration, sizes, pattern, stream, tokens, inner);
  Range range = rangeOf(attention, *declaration, sizes);
  double smallest = tensor->type == runtime::StorageType::F16 ? 0x1p-14 : 0x1p-126;
  int64_t last = shape->empty() ? 1 : shape->back();
  StateUse use = isInt ? StateUse() : stateUse(attention, *declaration);
  // Through a function that is bounded at one end either sign may be the strong one; 6e4 is within all types.
  auto decay = [&](int64_t i) {
    constexpr std::array kSteps = {0.0, -1e-4, -5.0, -20.0, -1e4};
    constexpr std::array kArguments = {0.0, -9.2, 9.2, -5.0, 5.0, -20.0, 20.0, -6e4, 6e4};
    constexpr std::array kExponents = {-100.0, -9.2, 1.6, 3.0, 9.2};
    auto pick = [&](const auto &values) {
      return values[static_cast<size_t>(stream.integer(static_cast<uint64_t>(i), 0, int64_t(values.size()) - 1))];
    };
    return !use.squashed || range.upper ? pick(kSteps) : use.exponential ? pick(kExponents) : pick(kArguments);
  };
  for (int64_t i = 0; i < array->elements(); ++i) {
    if (isInt) {
      array->setValue(i, whole.at(i));
      continue;
    }
    int64_t token = dim < 0 ? 0 : i / inner % tokens;
    double x = stream.normal(static_cast<uint64_t>(i));
    switch (pattern) {
    case Pattern::Normal:
      // Learned scales stay near 1.
      if (isParam)
        x = 1 + 0.25 * x;
      break;
    case Pattern::Constant:
      x = 0.5;
      break;
    case Pattern::LargeLogits:
      x *= 30;
      break;
    case Pattern::Early:
      x *= token == 0 ? 25 : 1;
      break;
    case Pattern::Late:
      x *= token == tokens - 1 ? 25 : 1;
      break;
    case Pattern::Rising:
      x = (1 + 0.1 * x) * (0.25 + 4.0 * static_cast<double>(token) / static_cast<double>(tokens));
      break;
    case Pattern::Alternating:
      x = (i % last % 2 ? -1 : 1) * (1 + 0.01 * x);
      break;
    case Pattern::Tiny:
      x *= 2 * smallest;
      break;
    case Pattern::Zeros:
      x = 0;
      break;
    case Pattern::Decays:
    case Pattern::DecayNeighbours:
      if (pattern == Pattern::Decays ? !use.decay : !use.byChannel)
        break;
      // Without a contract and a function before it the sign is not known: a positive one would grow without bound.
      if (!use.squashed && !range.upper)
        x = -std::abs(x);
      else if (pattern == Pattern::Decays)
        x = decay(i);
      else
        x = !use.squashed || range.upper ? (i % 2 ? -20 : 0)
            : use.exponential            ? (i % 2 ? 3 : -100)
                                         : (i % 2 ? -20 : 20);
      array->setValue(i, clampRange(x, range));
      continue;
    case Pattern::EqualKeys:
      if (use.key && !use.decay && dim >= 0)
        x = token % 7 == 6 ? 0 : stream.normal(static_cast<uint64_t>(i - token * inner));
      break;
    case Pattern::Strengths:
      if (!use.strength)
        break;
      x = static_cast<double>(stream.integer(static_cast<uint64_t>(i), 0, 2));
      array->setValue(i, clampRange(use.squashed ? 40 * (x - 1) : x, range));
      continue;
    }
    if (use.strength && !use.squashed && !range.lower && !range.upper)
      x = 1 / (1 + std::exp(-x));
    if (use.normaliser)
      x = std::abs(x);
    array->setValue(i, keepRange(x, range));
  }
  return array;
}

Result<Arrays> drawInputs(const sema::Attention &attention, const runtime::Plan &interface,
                          const runtime::AxisSizes &sizes, Pattern pattern, uint64_t seed,
                          const std::vector<std::string> &absent) {
  Arrays arrays;
  for (const runtime::PlanTensor &tensor : interface.tensors) {
    if (tensor.role == runtime::TensorRole::Output ||
        std::find(absent.begin(), absent.end(), tensor.name) != absent.end())
      continue;
    Result<runtime::Array> array = drawInput(attention, interface, tensor.name, sizes, pattern, seed);
    if (!array)
      return array.takeError();
    arrays.emplace(tensor.name, std::move(*array));
  }
  return arrays;
}

reference::Tensors toTensors(const Arrays &arrays) {
  reference::Tensors tensors;
  for (const auto &[name, array] : arrays)
    tensors[name] = {array.shape(), array.toDoubles()};
  return tensors;
}

} // namespace fovea::driver
