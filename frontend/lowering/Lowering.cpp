// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One operation per node. Result types are taken from the nodes, and the verifier then compares them with what the
// dialect infers: a disagreement is an error and never a wrong program.
#include "frontend/lowering/Lowering.h"

#include "dialect/attn/Attn.h"

#include "mlir/IR/Verifier.h"

#include <limits>

using namespace mlir;
using namespace fovea;

namespace {

/// Enumerations of both sides list the same words.
template <typename To, typename From> To translate(From value, std::optional<To> (*parse)(StringRef)) {
  std::optional<To> result = parse(StringRef(sema::toString(value)));
  assert(result && "an enumerator of the typed program is unknown to the dialect");
  return *result;
}

struct AttentionLowering {
  const sema::Attention &source;
  const syntax::SourceMap &sources;
  MLIRContext *context;
  OpBuilder &builder;
  SmallVector<Value> values; // by node

  AttentionLowering(const sema::Attention &source, const syntax::SourceMap &sources, OpBuilder &builder)
      : source(source), sources(sources), context(builder.getContext()), builder(builder), values(source.nodes.size()) {
  }

  LogicalResult lower();

private:
  Location at(syntax::Span span, StringRef name = {}) const;
  StringAttr axis(sema::AxisId id) const { return StringAttr::get(context, source.axes[id].name); }
  SmallVector<StringAttr> axes(ArrayRef<sema::AxisId> ids) const;
  ArrayAttr axisList(ArrayRef<sema::AxisId> ids) const;
  FailureOr<attn::AxisTableAttr> table() const;
  std::vector<bool> findUsed() const;
  attn::StorageAttr storage(sema::StorageType type) const;
  attn::IntervalAttr contract(const sema::Declaration &declaration) const;
  Attribute constant(const sema::Node &node) const;
  StringAttr valueAxis(const sema::Node &state) const;
  LogicalResult lowerNode(sema::NodeId id);
};

} // namespace

Location AttentionLowering::at(syntax::Span span, StringRef name) const {
  Location location = UnknownLoc::get(context);
  if (span.valid()) {
    syntax::Position position = sources.position(span);
    location = FileLineColLoc::get(context, sources.name(span.file), position.line, position.column);
  }
  return name.empty() ? location : Location(NameLoc::get(StringAttr::get(context, name), location));
}

SmallVector<StringAttr> AttentionLowering::axes(ArrayRef<sema::AxisId> ids) const {
  return llvm::map_to_vector(ids, [&](sema::AxisId id) { return axis(id); });
}

ArrayAttr AttentionLowering::axisList(ArrayRef<sema::AxisId> ids) const {
  SmallVector<Attribute> names;
  for (sema::AxisId id : ids)
    names.push_back(axis(id));
  return ArrayAttr::get(context, names);
}

FailureOr<attn::AxisTableAttr> AttentionLowering::table() const {
  SmallVector<attn::AxisAttr> entries;
  for (const sema::Axis &entry : source.axes) {
    attn::Relation relation = attn::Relation::Plain;
    SmallVector<StringAttr> of;
    // Other axes have the size that their relation gives.
    int64_t size = 0;
    switch (entry.relation) {
    case sema::AxisRelation::Keys:
      relation = attn::Relation::Keys;
      of = {axis(entry.query)};
      [[fallthrough]];
    case sema::AxisRelation::Plain:
      size = entry.size && (entry.isStatic || entry.needsSize) ? *entry.size : 0;
      break;
    case sema::AxisRelation::Factor:
      relation = attn::Relation::Factor;
      of = axes(entry.factors);
      break;
    case sema::AxisRelation::Concat:
      relation = attn::Relation::Concat;
      of = axes(entry.parts);
      break;
    case sema::AxisRelation::Outer:
      relation = attn::Relation::Outer;
      of = axes(entry.parts);
      break;
    case sema::AxisRelation::Walk:
      relation = attn::Relation::Walk;
      of = {axis(entry.raw), axis(entry.query)};
      break;
    case sema::AxisRelation::Blocks:
    case sema::AxisRelation::Windows:
    case sema::AxisRelation::Share:
      relation = entry.relation == sema::AxisRelation::Blocks    ? attn::Relation::Blocks
                 : entry.relation == sema::AxisRelation::Windows ? attn::Relation::Windows
                                                                 : attn::Relation::Share;
      of = {axis(entry.raw)};
      break;
    }
    auto attribute = attn::AxisAttr::getChecked(
        [&] { return emitError(at(entry.span)); }, context, StringAttr::get(context, entry.name), relation,
        ArrayRef<StringAttr>(of), size, entry.extent, entry.step, entry.divisor);
    if (!attribute)
      return failure();
    entries.push_back(attribute);
  }
  auto result = attn::AxisTableAttr::getChecked([&] { return emitError(at(source.span)); }, context,
                                                ArrayRef<attn::AxisAttr>(entries));
  if (!result)
    return failure();
  return result;
}

/// Nodes that an input's default or an output reads, and all inputs. Bounds of contracts are attributes.
std::vector<bool> AttentionLowering::findUsed() const {
  std::vector<bool> used(source.nodes.size());
  for (size_t id = source.nodes.size(); id-- > 0;) {
    const sema::Node &node = source.nodes[id];
    if (node.op == sema::Op::Input || node.op == sema::Op::Output)
      used[id] = true;
    if (!used[id])
      continue;
    for (sema::NodeId operand : node.operands)
      used[operand] = true;
  }
  return used;
}

attn::StorageAttr AttentionLowering::storage(sema::StorageType type) const {
  if (type == sema::StorageType::Default)
    return {};
  return attn::StorageAttr::get(context, translate<attn::Storage>(type, attn::symbolizeStorage));
}

attn::IntervalAttr AttentionLowering::contract(const sema::Declaration &declaration) const {
  if (!declaration.contract)
    return {};
  const sema::Contract &contract = *declaration.contract;
  FloatAttr bounds[2];
  bool open[2] = {false, false};
  for (const auto &[n, bound] : llvm::enumerate(std::array{contract.lower, contract.upper})) {
    if (!bound)
      continue;
    if (!bound->value) {
      emitWarning(at(contract.span)) << "not in this version: a bound that is known only at run time; the contract of '"
                                     << declaration.name << "' is kept without it";
      continue;
    }
    // An infinite bound excludes nothing but NaN.
    if (*bound->value == (n == 0 ? -1 : 1) * std::numeric_limits<double>::infinity())
      continue;
    bounds[n] = builder.getF64FloatAttr(*bound->value);
    open[n] = bound->open;
  }
  if (!bounds[0] && !bounds[1])
    return {};
  return attn::IntervalAttr::getChecked([&] { return emitError(at(contract.span)); }, context, bounds[0], open[0],
                                        bounds[1], open[1]);
}

Attribute AttentionLowering::constant(const sema::Node &node) const {
  if (node.kind == sema::Kind::Real)
    return builder.getF64FloatAttr(node.real);
  if (node.kind == sema::Kind::Bool)
    return builder.getBoolAttr(node.integer != 0);
  return builder.getI64IntegerAttr(node.integer);
}

/// Null where the state has one column.
StringAttr AttentionLowering::valueAxis(const sema::Node &state) const {
  return state.attrAxes.size() > (state.hasCommit ? 3u : 2u) ? axis(state.attrAxes[2]) : StringAttr();
}

LogicalResult AttentionLowering::lowerNode(sema::NodeId id) {
  const sema::Node &node = source.nodes[id];
  Location loc = at(node.span, node.name);
  SmallVector<Value> operands;
  for (sema::NodeId operand : node.operands)
    operands.push_back(values[operand]);

  // The type that the node has.
  Type type;
  SmallVector<StringAttr> rows = axes(node.axes);
  if (node.kind == sema::Kind::Weights)
    type = attn::WeightsType::getChecked([&] { return emitError(loc); }, context, ArrayRef<StringAttr>(rows),
                                         axis(node.attrAxes[0]), axis(node.attrAxes[1]));
  else if (node.kind == sema::Kind::State)
    type = attn::StateType::getChecked([&] { return emitError(loc); }, context, ArrayRef<StringAttr>(rows),
                                       axis(node.attrAxes[1]), valueAxis(node), axis(node.attrAxes[0]));
  else
    type = attn::FieldType::getChecked([&] { return emitError(loc); }, context, ArrayRef<StringAttr>(rows),
                                       translate<attn::Kind>(node.kind, attn::symbolizeKind));
  if (!type)
    return failure();

  OperationState state(loc, "attn." + std::string(sema::toString(node.op)));
  auto set = [&](StringRef name, Attribute value) { state.addAttribute(name, value); };
  auto attrAxis = [&](unsigned n) { return axis(node.attrAxes[n]); };
  switch (node.op) {
  case sema::Op::Input: {
    const sema::Declaration &declaration = source.declarations[node.declaration];
    if (declaration.role == sema::Role::Const)
      return emitError(at(declaration.span)) << "const '" << declaration.name << "' has no value";
    Value fallback = declaration.defaultNode ? values[*declaration.defaultNode] : Value();
    auto role = declaration.role == sema::Role::Param   ? attn::Role::Param
                : declaration.role == sema::Role::Carry ? attn::Role::Carry
                                                        : attn::Role::Input;
    values[id] = attn::InputOp::create(builder, loc, type, StringAttr::get(context, declaration.name),
                                       declaration.optional ? builder.getUnitAttr() : UnitAttr(),
                                       attn::RoleAttr::get(context, role), storage(declaration.type),
                                       axisList(declaration.declaredAxes), contract(declaration), fallback);
    return success();
  }
  case sema::Op::Output: {
    const sema::Declaration &declaration = source.declarations[node.declaration];
    attn::OutputOp::create(builder, loc, StringAttr::get(context, declaration.name), operands[0],
                           storage(declaration.type), axisList(declaration.declaredAxes),
                           declaration.role == sema::Role::Carry ? builder.getUnitAttr() : UnitAttr());
    return success();
  }
  case sema::Op::Weights: {
    ArrayRef<Value> rest = ArrayRef(operands).drop_front();
    auto take = [&](bool has) {
      Value value = has ? rest.front() : Value();
      rest = rest.drop_front(has);
      return value;
    };
    Value where = take(node.hasWhere), mass = take(node.hasMass);
    const sema::Axis &query = source.axes[node.attrAxes[1]];
    ArrayAttr parts = query.relation == sema::AxisRelation::Factor ? axisList(query.factors) : ArrayAttr();
    auto weight = node.weight == sema::WeightKind::Free ? attn::WeightFunction::Free : attn::WeightFunction::Exp;
    values[id] = attn::WeightsOp::create(builder, loc, type, attrAxis(0), attrAxis(1), parts, operands[0], where, mass,
                                         rest, attn::WeightFunctionAttr::get(context, weight));
    return success();
  }
  case sema::Op::State: {
    ArrayRef<Value> rest = ArrayRef(operands).drop_front(2);
    auto take = [&](bool has) {
      Value value = has ? rest.front() : Value();
      rest = rest.drop_front(has);
      return value;
    };
    Value decay = take(node.hasDecay), erase = take(node.hasErase), where = take(node.hasWhere),
          commit = take(node.hasCommit), initial = take(node.hasInitial);
    values[id] =
        attn::StateOp::create(builder, loc, type, attrAxis(0), node.reverse ? builder.getUnitAttr() : UnitAttr(),
                              operands[0], attrAxis(1), operands[1], valueAxis(node), decay, erase, where, commit,
                              node.hasCommit ? axis(node.attrAxes.back()) : StringAttr(), initial);
    return success();
  }
  case sema::Op::Read:
    set("point", attn::ReadPointAttr::get(context, translate<attn::ReadPoint>(node.read, attn::symbolizeReadPoint)));
    break;
  case sema::Op::Every:
    set("blocks", attrAxis(0));
    break;
  case sema::Op::Conv: {
    size_t n = node.attrAxes.size() / 2;
    set("along", axisList(ArrayRef(node.attrAxes).take_front(n)));
    set("taps", axisList(ArrayRef(node.attrAxes).drop_front(n)));
    if (node.same)
      set("same", builder.getUnitAttr());
    break;
  }
  case sema::Op::Constant:
    set("value", constant(node));
    break;
  case sema::Op::Size:
  case sema::Op::Index:
  case sema::Op::Position:
    set("axis", attrAxis(0));
    break;
  case sema::Op::QueryPosition:
    set("query", attrAxis(0));
    set("keys", attrAxis(1));
    break;
  case sema::Op::Reduce:
    set("kind",
        attn::ReduceKindAttr::get(context, translate<attn::ReduceKind>(node.reduce, attn::symbolizeReduceKind)));
    set("axes", axisList(node.attrAxes));
    break;
  case sema::Op::Dot:
    set("axes", axisList(node.attrAxes));
    break;
  case sema::Op::Rename:
    set("from", attrAxis(0));
    set("to", attrAxis(1));
    break;
  case sema::Op::RowAt:
    set("keys", attrAxis(0));
    set("query", attrAxis(1));
    break;
  case sema::Op::Slice:
    set("from", attrAxis(0));
    set("to", attrAxis(1));
    set("after", axisList(ArrayRef(node.attrAxes).drop_front(2)));
    break;
  case sema::Op::Concat:
    set("along", attrAxis(0));
    set("parts", axisList(ArrayRef(node.attrAxes).drop_front()));
    break;
  case sema::Op::Gather:
  case sema::Op::Scan:
    set("axis", attrAxis(0));
    break;
  case sema::Op::BlockReduce:
    set("kind",
        attn::ReduceKindAttr::get(context, translate<attn::ReduceKind>(node.reduce, attn::symbolizeReduceKind)));
    set("from", attrAxis(0));
    set("to", attrAxis(1));
    break;
  case sema::Op::Flatten:
    set("from", axisList(ArrayRef(node.attrAxes).drop_back()));
    set("to", axis(node.attrAxes.back()));
    break;
  case sema::Op::Stat:
    set("kind", attn::StatKindAttr::get(context, translate<attn::StatKind>(node.stat, attn::symbolizeStatKind)));
    break;
  default: // pointwise, expect, last: operands only
    break;
  }
  state.addOperands(operands);
  state.addTypes(type);
  values[id] = builder.create(state)->getResult(0);
  return success();
}

LogicalResult AttentionLowering::lower() {
  FailureOr<attn::AxisTableAttr> axisTable = table();
  if (failed(axisTable))
    return failure();
  attn::Claim claim = source.claim == sema::Claim::Causal ? attn::Claim::Causal
                      : source.claim == sema::Claim::Set  ? attn::Claim::Set
                                                          : attn::Claim::None;
  auto attention = attn::AttentionOp::create(builder, at(source.span), source.name, claim, *axisTable);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&attention.getBody().front());

  // A default may be numbered after its input: what defaults read comes first.
  std::vector<bool> used = findUsed(), first(source.nodes.size());
  for (const sema::Declaration &declaration : source.declarations)
    if (declaration.defaultNode && declaration.role != sema::Role::Output)
      first[*declaration.defaultNode] = true;
  for (size_t id = source.nodes.size(); id-- > 0;)
    if (first[id])
      for (sema::NodeId operand : source.nodes[id].operands)
        first[operand] = true;
  for (bool early : {true, false})
    for (sema::NodeId id = 0; id < source.nodes.size(); ++id)
      if ((early ? first[id] : (used[id] && !first[id])) && failed(lowerNode(id)))
        return failure(); // later nodes read this one
  return success();
}

OwningOpRef<ModuleOp> fovea::lower(const sema::Program &program, const syntax::SourceMap &sources,
                                   MLIRContext &context) {
  context.loadDialect<attn::AttnDialect>();
  OpBuilder builder(&context);
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder, builder.getUnknownLoc());
  builder.setInsertionPointToStart(module->getBody());
  bool ok = true;
  for (const sema::Attention &attention : program.attentions)
    ok &= succeeded(AttentionLowering(attention, sources, builder).lower());
  if (!ok || failed(verify(*module)))
    return nullptr;
  return module;
}
