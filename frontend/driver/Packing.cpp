// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sequences one behind the other: see Packing.h.
#include "frontend/driver/Packing.h"

#include "runtime/host/Promises.h"
#include "runtime/host/Random.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace fovea::driver {

const sema::Storage *selectStorage(const sema::Attention &attention, const std::string &name,
                                   syntax::DiagnosticEngine &diagnostics) {
  if (name.empty())
    return nullptr;
  std::vector<std::string> names;
  std::string list;
  for (const sema::Storage &storage : attention.storages) {
    if (storage.name == name)
      return &storage;
    names.push_back(storage.name);
    list += (list.empty() ? "" : ", ") + storage.name;
  }
  diagnostics.error({}, "--storage: '" + attention.name + "' has no storage '" + name + "'",
                    list.empty() ? "the file declares none, as 'storage " + name + " { .. }' would"
                                 : "there are: " + list,
                    syntax::closest(name, names));
  return nullptr;
}

runtime::Plan packedInterface(runtime::Plan interface, const sema::Attention &attention, const sema::Storage &storage) {
  auto axisOf = [&](sema::AxisId id) {
    return std::find_if(interface.axes.begin(), interface.axes.end(),
                        [&](const runtime::PlanAxis &axis) { return axis.name == attention.axes[id].name; });
  };
  auto place = std::find_if(interface.tensors.begin(), interface.tensors.end(), [](const runtime::PlanTensor &tensor) {
    return tensor.role == runtime::TensorRole::Output;
  });
  std::vector<runtime::PlanTensor> added;
  std::set<std::string> known;
  for (const sema::Ragged &ragged : storage.ragged) {
    const std::string &batch = attention.axes[ragged.batch].name, &token = attention.axes[ragged.token].name,
                      &most = attention.axes[ragged.most].name;
    auto pack = [&](const std::string &axis, const std::string &rows) {
      for (runtime::PlanTensor &tensor : interface.tensors) {
        auto dim = [&](const std::string &name) {
          return std::find_if(tensor.dims.begin(), tensor.dims.end(),
                              [&](const runtime::PlanDim &each) { return each.display == name; });
        };
        if (dim(batch) == tensor.dims.end() || dim(axis) == tensor.dims.end())
          continue;
        *dim(axis) = {rows, {rows}};
        tensor.dims.erase(dim(batch));
      }
    };
    pack(token, ragged.total);
    for (const sema::Ragged::Blocks &blocks : ragged.blocks) {
      const sema::Axis &axis = attention.axes[blocks.axis];
      pack(axis.name, blocks.total);
      // Of plain axes: no derived size follows from another.
      runtime::PlanAxis rows{blocks.total, {}, {}};
      if (Result<runtime::Expr> size = runtime::Expr::parse(ragged.total + " / " + std::to_string(axis.extent) +
                                                            " + max(1, " + ragged.count + " - 1)"))
        rows.derived = std::move(*size);
      interface.axes.push_back(std::move(rows));
    }
    if (most != token)
      if (Result<runtime::Expr> size = runtime::Expr::parse(most))
        axisOf(ragged.token)->derived = std::move(*size);
    if (known.insert(ragged.count).second) {
      // No program serves one offset alone; where programs divide by the batches, bounds need them to be some.
      if (Result<runtime::Expr> size = runtime::Expr::parse("max(1, " + ragged.count + " - 1)")) {
        axisOf(ragged.batch)->derived = std::move(*size);
        axisOf(ragged.batch)->staticSize.reset();
      }
      interface.axes.push_back({ragged.count, {}, {}});
    }
    if (known.insert(ragged.total).second)
      interface.axes.push_back({ragged.total, {}, {}});
    if (known.insert(ragged.offsets).second) {
      runtime::PlanTensor offsets;
      offsets.name = ragged.offsets;
      offsets.type = runtime::StorageType::I32;
      offsets.dims = {{ragged.count, {ragged.count}}};
      added.push_back(std::move(offsets));
    }
  }
  interface.tensors.insert(place, added.begin(), added.end());
  return interface;
}

//===--- lengths ---===//

static Error invalid(std::string message) { return {ErrorCode::InvalidArgument, std::move(message)}; }

Result<Sequences> Sequences::fromOffsets(const sema::Attention &attention, const sema::Storage &storage,
                                         const Arrays &arrays, const runtime::AxisSizes &sizes) {
  Sequences result(attention, storage);
  for (const sema::Ragged &ragged : storage.ragged) {
    auto found = arrays.find(ragged.offsets);
    if (found == arrays.end())
      return invalid("the offsets '" + ragged.offsets + "' are not given");
    auto sizeOf = [&](const std::string &axis) {
      auto size = sizes.find(axis);
      return size == sizes.end() ? int64_t{-1} : size->second;
    };
    const std::string &longest = attention.axes[ragged.most].name;
    const runtime::OffsetsRule rule{ragged.offsets, ragged.total, longest, sizeOf(ragged.total), sizeOf(longest)};
    Result<std::vector<int64_t>> offsets =
        runtime::readOffsets(rule, found->second.elements(), [&](int64_t i) { return found->second.value(i); });
    if (!offsets)
      return offsets.takeError();
    Group group{&ragged, std::move(*offsets)};
    result.count_ = std::max(result.count_, static_cast<int64_t>(group.offsets.size()) - 1);
    result.groups_.push_back(std::move(group));
  }
  return result;
}

/// 1 where nobody has said it.
static int64_t sizeOf(const runtime::AxisSizes &sizes, const sema::Axis &axis) {
  auto found = sizes.find(axis.name);
  return found != sizes.end() ? found->second : axis.size.value_or(1);
}

Sequences Sequences::draw(const sema::Attention &attention, const sema::Storage &storage,
                          const runtime::AxisSizes &sizes, uint64_t seed) {
  Sequences result(attention, storage);
  std::map<std::string, std::vector<int64_t>> drawn;
  for (const sema::Ragged &ragged : storage.ragged) {
    int64_t most = sizeOf(sizes, attention.axes[ragged.most]), count = sizeOf(sizes, attention.axes[ragged.batch]);
    std::vector<int64_t> &offsets = drawn[ragged.offsets];
    if (offsets.empty()) {
      std::vector<int64_t> lengths = {0, 1, most - 1, most};
      for (int64_t chunk : {16, 32, 64, 128})
        for (int64_t beside : {-1, 0, 1})
          lengths.push_back(chunk + beside);
      std::erase_if(lengths, [&](int64_t length) { return length < 0 || length > most; });
      runtime::RandomStream random(seed, ragged.offsets);
      auto below = [&](uint64_t place, int64_t bound) {
        return static_cast<int64_t>(random.bits(place) % static_cast<uint64_t>(bound));
      };
      // One of the greatest length, and one without tokens, in any place.
      int64_t whole = below(0, count), none = count > 2 ? (whole + 1 + below(1, count - 1)) % count : -1;
      offsets.push_back(0);
      for (int64_t b = 0; b < count; ++b)
        offsets.push_back(offsets.back() +
                          (b == whole  ? most
                           : b == none ? 0
                                       : lengths[static_cast<size_t>(below(static_cast<uint64_t>(b) + 2,
                                                                           static_cast<int64_t>(lengths.size())))]));
    }
    result.count_ = std::max(result.count_, count);
    result.groups_.push_back({&ragged, offsets});
  }
  return result;
}

Sequences Sequences::whole(const sema::Attention &attention, const sema::Storage &storage,
                           const runtime::AxisSizes &sizes) {
  Sequences result(attention, storage);
  for (const sema::Ragged &ragged : storage.ragged) {
    int64_t most = sizeOf(sizes, attention.axes[ragged.most]), count = sizeOf(sizes, attention.axes[ragged.batch]);
    std::vector<int64_t> offsets(static_cast<size_t>(count) + 1, most);
    offsets[0] = 0;
    result.count_ = std::max(result.count_, count);
    result.groups_.push_back({&ragged, std::move(offsets)});
  }
  return result;
}

runtime::AxisSizes Sequences::sizes() const {
  runtime::AxisSizes sizes;
  for (const Group &group : groups_) {
    sizes[group.ragged->count] = static_cast<int64_t>(group.offsets.size());
    sizes[group.ragged->total] = group.offsets.back();
  }
  return sizes;
}

runtime::AxisSizes Sequences::blockRows() const {
  runtime::AxisSizes rows;
  for (const Group &group : groups_)
    for (const sema::Ragged::Blocks &blocks : group.ragged->blocks)
      rows[blocks.total] = rowsOf(blocks.axis, 0)->total;
  return rows;
}

Result<Arrays> Sequences::offsets() const {
  Arrays arrays;
  for (const Group &group : groups_) {
    std::vector<double> values(group.offsets.begin(), group.offsets.end());
    Result<runtime::Array> array =
        runtime::Array::fromDoubles(runtime::StorageType::I32, {static_cast<int64_t>(values.size())}, values);
    if (!array)
      return array.takeError();
    arrays.insert_or_assign(group.ragged->offsets, std::move(*array));
  }
  return arrays;
}

std::optional<Sequences::Rows> Sequences::rowsOf(sema::AxisId axis, int64_t number) const {
  const auto at = static_cast<size_t>(number);
  for (const Group &group : groups_) {
    const int64_t begin = group.offsets[at], length = group.offsets[at + 1] - begin;
    if (group.ragged->token == axis)
      return Rows{&group, begin, length, group.offsets.back(), group.ragged->total};
    for (const sema::Ragged::Blocks &blocks : group.ragged->blocks) {
      const int64_t size = attention_->axes[axis].extent;
      if (blocks.axis == axis)
        return Rows{&group, begin / size + number, (length + size - 1) / size, group.offsets.back() / size + count_,
                    blocks.total};
    }
  }
  return std::nullopt;
}

reference::AxisSizes Sequences::sizesOf(int64_t number, const runtime::AxisSizes &given) const {
  reference::AxisSizes sizes;
  for (sema::AxisId id = 0; id < attention_->axes.size(); ++id) {
    const sema::Axis &axis = attention_->axes[id];
    auto found = given.find(axis.name);
    if (found != given.end() && !isDerived(axis))
      sizes[axis.name] = found->second;
  }
  for (const Group &group : groups_) {
    auto at = static_cast<size_t>(number);
    sizes[attention_->axes[group.ragged->batch].name] = 1;
    sizes[attention_->axes[group.ragged->token].name] = group.offsets[at + 1] - group.offsets[at];
  }
  return sizes;
}

std::string Sequences::text() const {
  std::string text;
  for (const Group &group : groups_) {
    text += (text.empty() ? "" : "; ") + group.ragged->offsets;
    for (size_t i = 0; i < group.offsets.size(); ++i)
      text += (i ? ", " : " ") + std::to_string(group.offsets[i]);
  }
  return text;
}

bool Sequences::isEmpty(int64_t number) const {
  auto at = static_cast<size_t>(number);
  return std::any_of(groups_.begin(), groups_.end(),
                     [&](const Group &group) { return group.offsets[at] == group.offsets[at + 1]; });
}

//===--- arrays ---===//

const sema::Declaration *Sequences::find(const std::string &name) const {
  for (const sema::Declaration &declaration : attention_->declarations)
    if (declaration.name == name)
      return &declaration;
  return nullptr;
}

void Sequences::walk(const sema::Declaration &declaration, const std::vector<int64_t> &packedShape, int64_t number,
                     std::vector<int64_t> &oneShape, llvm::function_ref<void(int64_t, int64_t)> visit) const {
  const std::vector<sema::AxisId> &axes = declaration.declaredAxes;
  auto isPacked = [&](const Group &group) { // whose batch has no dimension
    return std::any_of(axes.begin(), axes.end(), [&](sema::AxisId axis) {
      std::optional<Rows> rows = rowsOf(axis, number);
      return rows && rows->group == &group;
    });
  };
  std::vector<int64_t> packedStrides = runtime::contiguousStrides(packedShape), strides;
  int64_t begin = 0;
  oneShape.clear();
  size_t place = 0; // in the packed shape
  for (sema::AxisId axis : axes) {
    const Group *batch = nullptr; // whose batch it is
    for (const Group &group : groups_)
      if (group.ragged->batch == axis && (!batch || isPacked(group)))
        batch = &group;
    if (batch && isPacked(*batch)) {
      oneShape.push_back(1);
      strides.push_back(0);
      continue;
    }
    if (batch) {
      begin += number * packedStrides[place];
      oneShape.push_back(1);
    } else if (std::optional<Rows> own = rowsOf(axis, number)) {
      if (std::find(axes.begin(), axes.end(), own->group->ragged->batch) != axes.end())
        begin += own->begin * packedStrides[place];
      oneShape.push_back(own->length);
    } else {
      oneShape.push_back(packedShape[place]);
    }
    strides.push_back(packedStrides[place++]);
  }
  int64_t elements = 1;
  for (int64_t size : oneShape)
    elements *= size;
  for (int64_t i = 0; i < elements; ++i) {
    int64_t rest = i, there = begin;
    for (size_t d = oneShape.size(); d-- > 0;) {
      there += rest % oneShape[d] * strides[d];
      rest /= oneShape[d];
    }
    visit(i, there);
  }
}

Result<runtime::Array> Sequences::pack(const runtime::PlanTensor &packed, const runtime::Array &dense) const {
  const sema::Declaration *declaration = find(packed.name);
  std::vector<int64_t> shape;
  auto rowsFor = [&](sema::AxisId axis, const runtime::PlanDim *dim) {
    std::optional<Rows> rows = rowsOf(axis, 0);
    return rows && dim && dim->display == rows->name ? rows : std::nullopt;
  };
  bool isPacked = false;
  for (const runtime::PlanDim &dim : packed.dims)
    for (size_t d = 0; declaration && d < declaration->declaredAxes.size(); ++d)
      isPacked |= rowsFor(declaration->declaredAxes[d], &dim).has_value();
  if (!declaration || !isPacked)
    return dense;
  // Dimensions but the batch, in order; the rows of all sequences in the token's place.
  std::vector<int64_t> denseStrides = runtime::contiguousStrides(dense.shape());
  size_t next = 0;
  int64_t batchStride = 0;
  for (size_t d = 0; d < declaration->declaredAxes.size(); ++d) {
    sema::AxisId axis = declaration->declaredAxes[d];
    const runtime::PlanDim *dim = next < packed.dims.size() ? &packed.dims[next] : nullptr;
    if (std::optional<Rows> rows = rowsFor(axis, dim)) {
      shape.push_back(rows->total);
      ++next;
    } else if (dim && dim->display == attention_->axes[axis].name) {
      shape.push_back(dense.shape()[d]);
      ++next;
    } else {
      batchStride = denseStrides[d];
    }
  }
  Result<runtime::Array> result = runtime::Array::create(dense.type(), shape);
  if (!result)
    return result;
  for (int64_t number = 0; number < count_; ++number) {
    std::vector<int64_t> one;
    walk(*declaration, shape, number, one, [&](int64_t index, int64_t there) {
      int64_t rest = index, from = number * batchStride;
      for (size_t d = one.size(); d-- > 0;) {
        from += rest % one[d] * denseStrides[d];
        rest /= one[d];
      }
      result->setValue(there, dense.value(from));
    });
  }
  return result;
}

Result<Arrays> Sequences::pack(const runtime::Plan &interface, const Arrays &dense) const {
  Result<Arrays> packed = offsets();
  if (!packed)
    return packed;
  for (const auto &[name, array] : dense) {
    const runtime::PlanTensor *tensor = interface.findTensor(name);
    if (!tensor)
      continue;
    Result<runtime::Array> one = pack(*tensor, array);
    if (!one)
      return one.takeError();
    packed->insert_or_assign(name, std::move(*one));
  }
  return packed;
}

reference::Tensor Sequences::take(const std::string &name, const reference::Tensor &packed, int64_t number) const {
  const sema::Declaration *declaration = find(name);
  if (!declaration)
    return packed;
  reference::Tensor one;
  std::vector<std::pair<int64_t, int64_t>> places;
  walk(*declaration, packed.shape, number, one.shape,
       [&](int64_t index, int64_t there) { places.emplace_back(index, there); });
  one.data.resize(places.size());
  for (auto [index, there] : places)
    one.data[static_cast<size_t>(index)] = packed.data[static_cast<size_t>(there)];
  return one;
}

void Sequences::place(const std::string &name, const reference::Tensor &one, int64_t number,
                      reference::Tensor &packed) const {
  const sema::Declaration *declaration = find(name);
  if (!declaration)
    return;
  std::vector<int64_t> shape;
  walk(*declaration, packed.shape, number, shape, [&](int64_t index, int64_t there) {
    packed.data[static_cast<size_t>(there)] = one.data[static_cast<size_t>(index)];
  });
}

void Sequences::skipGaps(const std::string &name, const std::vector<int64_t> &shape,
                         std::vector<double> &values) const {
  const sema::Declaration *declaration = find(name);
  if (!declaration)
    return;
  std::vector<bool> exists(values.size());
  std::vector<int64_t> one;
  for (int64_t number = 0; number < count_; ++number)
    walk(*declaration, shape, number, one, [&](int64_t, int64_t there) { exists[static_cast<size_t>(there)] = true; });
  for (size_t i = 0; i < values.size(); ++i)
    if (!exists[i] && std::isnan(values[i]))
      values[i] = 0;
}

//===--- the reference ---===//

reference::Tensors Sequences::take(const reference::Tensors &values, int64_t number) const {
  reference::Tensors own;
  for (const auto &[name, tensor] : values)
    own[name] = take(name, tensor, number);
  return own;
}

llvm::Expected<reference::Tensors> Sequences::evaluate(attn::AttentionOp attention, const runtime::Plan &interface,
                                                       const runtime::AxisSizes &sizes,
                                                       const reference::Tensors &values, Evaluate one) const {
  reference::Tensors result;
  runtime::AxisSizes all = sizes;
  all.merge(blockRows());
  for (int64_t number = 0; number < count_; ++number) {
    llvm::Expected<reference::AxisSizes> own = reference::inferSizes(attention, {}, sizesOf(number, sizes));
    if (!own)
      return own.takeError();
    llvm::Expected<reference::Tensors> outputs = one(*own, take(values, number));
    if (!outputs)
      return outputs.takeError();
    for (const auto &[name, tensor] : *outputs) {
      const runtime::PlanTensor *entry = interface.findTensor(name);
      if (!entry)
        continue;
      auto [packed, isNew] = result.try_emplace(name);
      if (isNew) {
        Result<std::vector<int64_t>> shape = runtime::tensorShape(interface, *entry, all);
        if (!shape)
          return llvm::createStringError(shape.error().message);
        packed->second.shape = *shape;
        size_t elements = 1;
        for (int64_t size : *shape)
          elements *= static_cast<size_t>(size);
        packed->second.data.assign(elements, 0);
      }
      place(name, tensor, number, packed->second);
    }
  }
  return result;
}

llvm::Error Sequences::forEach(
    attn::AttentionOp attention, const runtime::AxisSizes &sizes, const reference::Tensors &values,
    llvm::function_ref<llvm::Error(const reference::AxisSizes &, const reference::Tensors &)> visit) const {
  for (int64_t number = 0; number < count_; ++number) {
    if (isEmpty(number))
      continue;
    llvm::Expected<reference::AxisSizes> own = reference::inferSizes(attention, {}, sizesOf(number, sizes));
    if (!own)
      return own.takeError();
    if (llvm::Error error = visit(*own, take(values, number)))
      return error;
  }
  return llvm::Error::success();
}

} // namespace fovea::driver
