// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C interface over the runtime: checks of what a C caller can get wrong, handles, and the path of a launch.
#include "runtime/api/Handles.h"
#include "runtime/api/Support.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/host/NullDevice.h"
#include "runtime/host/Promises.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace fovea;
using namespace fovea::runtime;
using namespace fovea::runtime::api;

namespace {

/// What a function of this thread said last.
struct ThreadText {
  std::string error, reason, nearest;
};

ThreadText &threadText() {
  thread_local ThreadText text;
  return text;
}

struct Log {
  std::mutex mutex;
  fovea_log_function function = nullptr;
  void *user = nullptr;
};

Log &theLog() {
  static Log *log = new Log; // outlives the destructors of other statics
  return *log;
}

void say(fovea_log_level level, const std::string &text) {
  Log &log = theLog();
  fovea_log_function function;
  void *user;
  {
    std::lock_guard lock(log.mutex);
    function = log.function;
    user = log.user;
  }
  if (function)
    function(level, text.c_str(), user);
}

fovea_status fail(const Error &error) {
  threadText().error = error.message;
  return static_cast<fovea_status>(error.code);
}

fovea_status invalid(const std::string &message) { return fail({ErrorCode::InvalidArgument, message}); }

/// A structure of the caller, perhaps older or newer than ours: fields that it lacks are 0, fields that are unknown
/// here must be. `least` is its size in the first version.
template <typename T> bool readOptions(const T *from, T &to, size_t least, const char *what, fovea_status &status) {
  to = {};
  to.struct_size = sizeof(T);
  if (!from)
    return true;
  if (from->struct_size < least) {
    status = invalid(std::string(what) + ": struct_size is " + std::to_string(from->struct_size) +
                     "; set it to sizeof(" + what + ")");
    return false;
  }
  const auto *bytes = reinterpret_cast<const unsigned char *>(from);
  if (from->struct_size > sizeof(T)) {
    if (from->struct_size > 4096 ||
        std::any_of(bytes + sizeof(T), bytes + from->struct_size, [](unsigned char byte) { return byte != 0; })) {
      status = fail({ErrorCode::Unsupported, std::string(what) +
                                                 " has fields that this library does not know; it is of API version " +
                                                 std::to_string(FOVEA_API_VERSION)});
      return false;
    }
  }
  std::memcpy(static_cast<void *>(&to), from, std::min(from->struct_size, sizeof(T)));
  return true;
}

/// Gives the caller as much of the answer as its structure has.
template <typename T> fovea_status writeAnswer(T &from, T *to, size_t least, const char *what) {
  if (!to || to->struct_size < least)
    return invalid(std::string(what) + ": set struct_size to sizeof(" + what + ")");
  from.struct_size = to->struct_size;
  std::memcpy(static_cast<void *>(to), &from, std::min(to->struct_size, sizeof(T)));
  return FOVEA_OK;
}

constexpr std::optional<StorageType> storageType(int32_t type) {
  switch (type) {
  case FOVEA_F32:
    return StorageType::F32;
  case FOVEA_F16:
    return StorageType::F16;
  case FOVEA_BF16:
    return StorageType::BF16;
  case FOVEA_I32:
    return StorageType::I32;
  default:
    return std::nullopt;
  }
}

constexpr fovea_type apiType(StorageType type) {
  switch (type) {
  case StorageType::F32:
    return FOVEA_F32;
  case StorageType::F16:
    return FOVEA_F16;
  case StorageType::BF16:
    return FOVEA_BF16;
  case StorageType::I32:
    return FOVEA_I32;
  }
  return FOVEA_ABSENT;
}

DeviceAddress addressOf(const void *data) { return reinterpret_cast<DeviceAddress>(data); }
void *pointerOf(DeviceAddress address) { return reinterpret_cast<void *>(address); }

/// The tensors of a call in the order of the plan, with strides for those that have none. Lives on the stack.
struct Arguments {
  std::array<CallTensor, CallChoice::kMaxTensors> tensors;
  std::array<int64_t, CallChoice::kMaxTensors * FOVEA_MAX_RANK> strides;

  /// False: `tensor` says nothing that a check could read.
  bool set(size_t index, const fovea_tensor &from) {
    CallTensor &to = tensors[index];
    to = {};
    if (from.type == FOVEA_ABSENT)
      return true;
    std::optional<StorageType> type = storageType(from.type);
    if (!type || from.rank < 0 || from.rank > FOVEA_MAX_RANK || (from.rank > 0 && !from.shape))
      return false;
    to.present = true;
    to.type = *type;
    to.rank = static_cast<uint32_t>(from.rank);
    to.shape = from.shape;
    to.strides = from.strides;
    to.address = addressOf(from.data);
    if (from.strides)
      return true;
    int64_t *made = strides.data() + index * FOVEA_MAX_RANK;
    int64_t stride = 1;
    for (int32_t d = from.rank; d-- > 0;) {
      made[d] = stride;
      if (__builtin_mul_overflow(stride, std::max<int64_t>(from.shape[d], 1), &stride))
        return false;
    }
    to.strides = made;
    return true;
  }
};

fovea_status badTensor(const Plan &plan, size_t index, const fovea_tensor &tensor) {
  std::string name = "`" + plan.tensors[index].name + "`: ";
  if (!storageType(tensor.type))
    return invalid(name + "type " + std::to_string(tensor.type) + " is no fovea_type");
  if (tensor.rank < 0 || tensor.rank > FOVEA_MAX_RANK)
    return invalid(name + "rank " + std::to_string(tensor.rank) + "; it must be 0 to " +
                   std::to_string(FOVEA_MAX_RANK));
  if (!tensor.shape)
    return invalid(name + "its shape is NULL");
  return invalid(name + "its shape is larger than an address space");
}

TensorView viewOf(const CallTensor &tensor) {
  TensorView view;
  view.type = tensor.type;
  view.present = tensor.present;
  view.address = tensor.address;
  if (tensor.present) {
    view.shape.assign(tensor.shape, tensor.shape + tensor.rank);
    view.strides.assign(tensor.strides, tensor.strides + tensor.rank);
  }
  return view;
}

/// Number of each name among the tensors of the plan; every tensor but optional ones must be named, each once.
Result<std::vector<uint32_t>> slotsOf(const Plan &plan, const char *const *names, size_t count) {
  auto bad = [](const std::string &message) { return Error{ErrorCode::InvalidArgument, message}; };
  std::string known;
  for (const PlanTensor &tensor : plan.tensors)
    known += (known.empty() ? "" : ", ") + tensor.name;
  if (count > 0 && !names)
    return bad("names is NULL");
  std::vector<uint32_t> slots;
  std::vector<bool> named(plan.tensors.size());
  for (size_t i = 0; i < count; ++i) {
    if (!names[i])
      return bad("names[" + std::to_string(i) + "] is NULL");
    auto it = std::find_if(plan.tensors.begin(), plan.tensors.end(),
                           [&](const PlanTensor &tensor) { return tensor.name == names[i]; });
    if (it == plan.tensors.end())
      return Error{ErrorCode::NotFound,
                   plan.spec + " has no tensor `" + std::string(names[i]).substr(0, 128) + "`; there are: " + known};
    auto index = static_cast<uint32_t>(it - plan.tensors.begin());
    if (named[index])
      return bad("`" + it->name + "` is named twice");
    named[index] = true;
    slots.push_back(index);
  }
  for (size_t i = 0; i < named.size(); ++i)
    if (!named[i] && !plan.tensors[i].optional)
      return bad("`" + plan.tensors[i].name + "` of " + plan.spec + " is not named and not optional");
  return slots;
}

/// The tensors of a call, checked as far as that needs no plan.
fovea_status readTensors(const Plan &plan, const std::vector<uint32_t> &slots, const fovea_tensor *tensors,
                         size_t count, Arguments &arguments) {
  if (count != slots.size())
    return invalid(std::to_string(count) + " tensors for " + std::to_string(slots.size()) + " names");
  if (count > 0 && !tensors)
    return invalid("tensors is NULL");
  for (size_t i = 0; i < plan.tensors.size(); ++i)
    arguments.tensors[i].present = false;
  for (size_t i = 0; i < count; ++i)
    if (!arguments.set(slots[i], tensors[i]))
      return badTensor(plan, slots[i], tensors[i]);
  return FOVEA_OK;
}

/// Why a call was refused, by the functions that explain.
fovea_status explain(const fovea_call &call, const Arguments &arguments) {
  const Plan &plan = *call.kernel->plan;
  std::vector<TensorView> views;
  std::vector<CallTensor> tensors(arguments.tensors.begin(),
                                  arguments.tensors.begin() + static_cast<std::ptrdiff_t>(plan.tensors.size()));
  views.reserve(tensors.size());
  for (const CallTensor &tensor : tensors)
    views.push_back(viewOf(tensor));
  Result<ResolvedCall> resolved = resolveCall(plan, views, call.kernel->device->device->facts(), call.given);
  if (!resolved)
    return fail(resolved.error());
  if (Status status = checkOverlaps(plan, tensors); !status)
    return fail(status.error());
  return fail({ErrorCode::Internal, "a launch of " + plan.spec + " was refused for no reason; please report this"});
}

} // namespace

KernelState::~KernelState() {
  DeviceLock lock(*device);
  loaded.reset();
}

extern "C" {

int32_t fovea_api_version(void) { return FOVEA_API_VERSION; }

const char *fovea_status_name(fovea_status status) {
  static constexpr const char *kNames[] = {"FOVEA_OK",        "FOVEA_INVALID_ARGUMENT", "FOVEA_NOT_FOUND",
                                           "FOVEA_IO",        "FOVEA_CORRUPT",          "FOVEA_UNSUPPORTED",
                                           "FOVEA_NO_DEVICE", "FOVEA_OUT_OF_MEMORY",    "FOVEA_LAUNCH_FAILED",
                                           "FOVEA_INTERNAL",  "FOVEA_SELF_TEST_FAILED"};
  auto index = static_cast<unsigned>(status);
  return index < std::size(kNames) ? kNames[index] : "?";
}

const char *fovea_last_error(void) { return threadText().error.c_str(); }

void fovea_set_log(fovea_log_function function, void *user) {
  Log &log = theLog();
  std::lock_guard lock(log.mutex);
  log.function = function;
  log.user = user;
}

fovea_status fovea_internal_fail_1(fovea_status status, const char *text) {
  threadText().error = text;
  return status;
}

// --- Plans ---

static fovea_status givePlan(Result<Plan> read, fovea_plan **plan) {
  if (!read)
    return fail(read.error());
  std::string signature = planSignature(*read);
  *plan = new fovea_plan{std::make_shared<const Plan>(std::move(*read)), std::move(signature)};
  return FOVEA_OK;
}

fovea_status fovea_plan_load(const char *path, fovea_plan **plan) {
  if (!path || !plan)
    return invalid("fovea_plan_load: an argument is NULL");
  return givePlan(readPlan(path), plan);
}

fovea_status fovea_plan_parse(const char *json, size_t size, fovea_plan **plan) {
  if (!json || !plan)
    return invalid("fovea_plan_parse: an argument is NULL");
  return givePlan(parsePlan({json, size}, nullptr), plan);
}

void fovea_plan_close(fovea_plan *plan) { delete plan; }

const char *fovea_plan_name(const fovea_plan *plan) { return plan ? plan->plan->spec.c_str() : ""; }
const char *fovea_plan_target(const fovea_plan *plan) { return plan ? plan->plan->target.c_str() : ""; }
const char *fovea_plan_signature(const fovea_plan *plan) { return plan ? plan->signature.c_str() : ""; }
size_t fovea_plan_tensor_count(const fovea_plan *plan) { return plan ? plan->plan->tensors.size() : 0; }

fovea_status fovea_plan_tensor_info(const fovea_plan *plan, size_t index, fovea_tensor_info *info) {
  if (!plan)
    return invalid("fovea_plan_tensor_info: the plan is NULL");
  if (index >= plan->plan->tensors.size())
    return invalid("tensor " + std::to_string(index) + " of " + std::to_string(plan->plan->tensors.size()));
  const PlanTensor &tensor = plan->plan->tensors[index];
  fovea_tensor_info answer = {};
  answer.name = tensor.name.c_str();
  answer.role = static_cast<fovea_role>(tensor.role);
  answer.type = apiType(tensor.type);
  answer.rank = static_cast<int32_t>(tensor.dims.size());
  answer.optional = tensor.optional;
  for (size_t d = 0; d < tensor.dims.size(); ++d) {
    answer.dims[d] = tensor.dims[d].display.c_str();
    int64_t size = 1;
    for (const std::string &factor : tensor.dims[d].factors) {
      const PlanAxis *axis = plan->plan->findAxis(factor);
      if (!axis->staticSize || __builtin_mul_overflow(size, *axis->staticSize, &size)) {
        size = 0;
        break;
      }
    }
    answer.static_sizes[d] = size;
  }
  return writeAnswer(answer, info, sizeof answer, "fovea_tensor_info");
}

// --- Devices ---

static fovea_status giveDevice(std::unique_ptr<Device> device, bool isCuda, int ordinal, fovea_device **handle) {
  auto state = std::make_shared<DeviceState>();
  state->safe = device->launchesFromThreads();
  state->device = std::move(device);
  state->isCuda = isCuda;
  state->ordinal = ordinal;
  const DeviceFacts &facts = state->device->facts();
  say(FOVEA_LOG_INFO,
      "device opened: " + facts.name + (facts.smVersion ? ", sm_" + std::to_string(facts.smVersion) : std::string()));
  *handle = new fovea_device{std::move(state)};
  return FOVEA_OK;
}

fovea_status fovea_internal_adopt_device_1(Device *device, fovea_device **handle) {
  return giveDevice(std::unique_ptr<Device>(device), false, 0, handle);
}

fovea_status fovea_device_open(const fovea_device_options *options, fovea_device **device) {
  fovea_device_options read;
  fovea_status status;
  if (!device)
    return invalid("fovea_device_open: an argument is NULL");
  if (!readOptions(options, read, sizeof read, "fovea_device_options", status))
    return status;
  if (read.kind == FOVEA_DEVICE_NULL) {
    if (read.sm_version < 0 || read.multiprocessors < 0)
      return invalid("fovea_device_options: a negative number");
    return giveDevice(std::make_unique<NullDevice>(read.sm_version, read.multiprocessors ? read.multiprocessors : 108),
                      false, 0, device);
  }
  if (read.kind != FOVEA_DEVICE_CUDA)
    return invalid("fovea_device_options: kind " + std::to_string(static_cast<int>(read.kind)) +
                   " is no fovea_device_kind");
  CudaOptions cuda;
  cuda.index = read.ordinal;
  cuda.context = read.context;
  if (read.library)
    cuda.library = read.library;
  Result<std::unique_ptr<Device>> opened = openCudaDevice(cuda);
  if (!opened)
    return fail(opened.error());
  return giveDevice(std::move(*opened), true, read.ordinal, device);
}

void fovea_device_close(fovea_device *device) { delete device; }

fovea_status fovea_device_get_info(const fovea_device *device, fovea_device_info *info) {
  if (!device)
    return invalid("fovea_device_get_info: the device is NULL");
  const DeviceFacts &facts = device->state->device->facts();
  fovea_device_info answer = {};
  answer.name = facts.name.c_str();
  answer.emulated = facts.emulated;
  answer.sm_version = facts.smVersion;
  answer.multiprocessors = facts.sms;
  answer.driver_version = facts.driverVersion;
  answer.shared_bytes = facts.maxSharedBytesPerBlock;
  answer.memory_bytes = facts.totalMemoryBytes;
  return writeAnswer(answer, info, sizeof answer, "fovea_device_info");
}

fovea_status fovea_device_allocate(fovea_device *device, size_t bytes, void **data) {
  if (!device || !data)
    return invalid("fovea_device_allocate: an argument is NULL");
  DeviceLock lock(*device->state);
  Result<DeviceAddress> address = device->state->device->allocate(bytes);
  if (!address)
    return fail(address.error());
  *data = pointerOf(*address);
  return FOVEA_OK;
}

fovea_status fovea_device_free(fovea_device *device, void *data) {
  if (!device)
    return invalid("fovea_device_free: the device is NULL");
  if (!data)
    return FOVEA_OK;
  DeviceLock lock(*device->state);
  Status status = device->state->device->free(addressOf(data));
  return status ? FOVEA_OK : fail(status.error());
}

fovea_status fovea_device_upload(fovea_device *device, void *to, const void *from, size_t bytes) {
  if (!device || (bytes > 0 && (!to || !from)))
    return invalid("fovea_device_upload: an argument is NULL");
  DeviceLock lock(*device->state);
  // Work of other queues than the default one may still read what is overwritten.
  if (Status status = device->state->device->synchronize(); !status)
    return fail(status.error());
  Status status = device->state->device->upload(addressOf(to), from, bytes);
  return status ? FOVEA_OK : fail(status.error());
}

fovea_status fovea_device_download(fovea_device *device, void *to, const void *from, size_t bytes) {
  if (!device || (bytes > 0 && (!to || !from)))
    return invalid("fovea_device_download: an argument is NULL");
  DeviceLock lock(*device->state);
  Status status = device->state->device->download(to, addressOf(from), bytes);
  return status ? FOVEA_OK : fail(status.error());
}

fovea_status fovea_device_synchronize(fovea_device *device) {
  if (!device)
    return invalid("fovea_device_synchronize: the device is NULL");
  DeviceLock lock(*device->state, /*always=*/false);
  Status status = device->state->device->synchronize();
  return status ? FOVEA_OK : fail(status.error());
}

// --- Tensors ---

namespace {

/// DLTensor of DLPack, whose layout is the same in all versions.
struct DlTensor {
  void *data;
  int32_t deviceType, deviceId;
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byteOffset;
};
static_assert(sizeof(DlTensor) == 48 && offsetof(DlTensor, shape) == 24);

constexpr int32_t kDlCuda = 2, kDlExtDev = 12, kDlCudaManaged = 13;

/// Dynamic shared memory of a block by compute capability.
int64_t sharedBytesOf(int smVersion) {
  switch (smVersion) {
  case 80:
  case 87:
    return 163 << 10;
  case 86:
  case 89:
  case 120:
  case 121:
    return 99 << 10;
  default:
    return 227 << 10;
  }
}

} // namespace

fovea_status fovea_tensor_from_dlpack(const fovea_device *device, const void *dlTensor, fovea_tensor *tensor) {
  if (!device || !dlTensor || !tensor)
    return invalid("fovea_tensor_from_dlpack: an argument is NULL");
  const DlTensor &from = *static_cast<const DlTensor *>(dlTensor);
  const DeviceState &state = *device->state;
  bool here = state.isCuda
                  ? (from.deviceType == kDlCuda && from.deviceId == state.ordinal) || from.deviceType == kDlCudaManaged
                  : from.deviceType == kDlExtDev;
  if (!here)
    return invalid("the DLPack tensor lies on device " + std::to_string(from.deviceId) + " of type " +
                   std::to_string(from.deviceType) + ", not on " + state.device->facts().name +
                   (state.isCuda ? " (type 2, device " + std::to_string(state.ordinal) + ")" : " (type 12)") +
                   "; copy it there");
  fovea_type type = FOVEA_ABSENT;
  if (from.lanes == 1 && from.code == 0 && from.bits == 32)
    type = FOVEA_I32;
  else if (from.lanes == 1 && from.code == 2 && (from.bits == 16 || from.bits == 32))
    type = from.bits == 16 ? FOVEA_F16 : FOVEA_F32;
  else if (from.lanes == 1 && from.code == 4 && from.bits == 16)
    type = FOVEA_BF16;
  if (type == FOVEA_ABSENT)
    return invalid("the DLPack tensor has elements of code " + std::to_string(from.code) + ", " +
                   std::to_string(from.bits) + " bits, " + std::to_string(from.lanes) +
                   " lanes; there are f32, f16, bf16 and i32");
  if (from.rank < 0 || from.rank > FOVEA_MAX_RANK || (from.rank > 0 && !from.shape))
    return invalid("the DLPack tensor has " + std::to_string(from.rank) + " dimensions; at most " +
                   std::to_string(FOVEA_MAX_RANK) + ", and a shape");
  *tensor = {static_cast<char *>(from.data) + from.byteOffset, type, from.rank, from.shape, from.strides};
  return FOVEA_OK;
}

// --- Questions ---

fovea_status fovea_supports(const fovea_plan *handle, const char *const *names, const fovea_tensor *tensors,
                            size_t count, const fovea_target *target, fovea_support *answer) {
  fovea_target wanted;
  fovea_status status;
  if (!handle || !answer)
    return invalid("fovea_supports: an argument is NULL");
  if (!readOptions(target, wanted, sizeof wanted, "fovea_target", status))
    return status;
  const Plan &plan = *handle->plan;
  Result<std::vector<uint32_t>> slots = slotsOf(plan, names, count);
  if (!slots)
    return fail(slots.error());
  auto arguments = std::make_unique<Arguments>();
  if (status = readTensors(plan, *slots, tensors, count, *arguments); status != FOVEA_OK)
    return status;
  std::vector<TensorView> views;
  std::vector<CallTensor> placed;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    views.push_back(viewOf(arguments->tensors[i]));
    placed.push_back(arguments->tensors[i]);
    placed.back().present &= placed.back().address != 0;
  }
  DeviceFacts facts;
  facts.name = "the target";
  facts.smVersion = wanted.sm_version;
  facts.sms = wanted.multiprocessors > 0 ? wanted.multiprocessors : 108;
  facts.maxSharedBytesPerBlock = wanted.shared_bytes > 0 ? wanted.shared_bytes : sharedBytesOf(wanted.sm_version);
  Support support = supports(plan, views, facts);
  if (support.entry) // sizes are right, so that extents can be compared
    if (Status overlap = checkOverlaps(plan, placed); !overlap)
      support = {std::nullopt, overlap.error().message, ""};
  ThreadText &text = threadText();
  text.reason = std::move(support.reason);
  text.nearest = std::move(support.nearest);
  fovea_support result = {};
  result.supported = support.entry.has_value();
  result.entry = support.entry ? static_cast<int32_t>(*support.entry) : -1;
  result.reason = text.reason.c_str();
  result.nearest = text.nearest.c_str();
  return writeAnswer(result, answer, sizeof result, "fovea_support");
}

// --- Launches ---

namespace {

/// A switch of the caller, or what the environment says.
bool readSwitch(fovea_switch value, bool asSet, const char *name, bool &on, fovea_status &status) {
  if (value != FOVEA_AS_SET && value != FOVEA_ON && value != FOVEA_OFF) {
    status = invalid(std::string("fovea_prepare_options: ") + name + " is " + std::to_string(static_cast<int>(value)) +
                     ", which is no fovea_switch");
    return false;
  }
  on = value == FOVEA_AS_SET ? asSet : value == FOVEA_ON;
  return true;
}

bool readPrepareOptions(const fovea_prepare_options *options, LoadOptions &load, fovea_status &status) {
  fovea_prepare_options read;
  if (!readOptions(options, read, offsetof(fovea_prepare_options, checked), "fovea_prepare_options", status))
    return false;
  load = LoadOptions::fromEnvironment([](const std::string &text) { say(FOVEA_LOG_WARNING, text); });
  load.inform = [](const std::string &text) { say(FOVEA_LOG_INFO, text); };
  bool cache = false;
  if (!readSwitch(read.self_test, load.selfTest, "self_test", load.selfTest, status) ||
      !readSwitch(read.checked, load.checked, "checked", load.checked, status) ||
      !readSwitch(read.cache, load.cache.has_value(), "cache", cache, status))
    return false;
  if (!cache) {
    load.cache.reset();
  } else if (read.cache_folder) {
    CacheOptions how;
    how.folder = read.cache_folder;
    how.warn = load.warn;
    load.cache.emplace(std::move(how));
  } else if (!load.cache) {
    status =
        invalid("fovea_prepare_options: the cache is on, but its folder is not known: FOVEA_CACHE is off, or there "
                "is no home; set cache_folder");
    return false;
  }
  return true;
}

} // namespace

fovea_status fovea_prepare(const fovea_plan *plan, fovea_device *device, fovea_kernel **kernel) {
  return fovea_prepare_with(plan, device, nullptr, kernel);
}

fovea_status fovea_prepare_with(const fovea_plan *plan, fovea_device *device, const fovea_prepare_options *options,
                                fovea_kernel **kernel) {
  if (!plan || !device || !kernel)
    return invalid("fovea_prepare: an argument is NULL");
  LoadOptions load;
  fovea_status status;
  if (!readPrepareOptions(options, load, status))
    return status;
  std::shared_ptr<KernelState> state;
  {
    DeviceLock lock(*device->state);
    Result<LoadedPlan> loaded = LoadedPlan::load(*plan->plan, *device->state->device, load);
    if (!loaded)
      return fail(loaded.error());
    Result<BoundCall> bound = BoundCall::bind(*plan->plan, device->state->device->facts());
    if (!bound)
      return fail(bound.error());
    Result<std::vector<KernelHandle>> kernels = bound->prepare(*loaded);
    if (!kernels)
      return fail(kernels.error());
    state = std::make_shared<KernelState>(plan->plan, device->state, std::move(*loaded));
    state->kernels = std::move(*kernels);
    state->checked = load.checked;
  }
  say(FOVEA_LOG_INFO, "prepared " + plan->plan->spec + " for " + device->state->device->facts().name);
  *kernel = new fovea_kernel{std::move(state)};
  return FOVEA_OK;
}

void fovea_kernel_close(fovea_kernel *kernel) { delete kernel; }

fovea_status fovea_bind(const fovea_kernel *kernel, const char *const *names, size_t count, fovea_call **call) {
  if (!kernel || !call)
    return invalid("fovea_bind: an argument is NULL");
  const KernelState &state = *kernel->state;
  Result<std::vector<uint32_t>> slots = slotsOf(*state.plan, names, count);
  if (!slots)
    return fail(slots.error());
  Result<BoundCall> bound = BoundCall::bind(*state.plan, state.device->device->facts());
  if (!bound)
    return fail(bound.error());
  *call = new fovea_call{kernel->state, std::move(*slots), {}, std::move(*bound)};
  return FOVEA_OK;
}

void fovea_call_close(fovea_call *call) {
  if (call)
    (void)fovea_call_reserve(call, 0);
  delete call;
}

fovea_status fovea_call_set_axis(fovea_call *call, const char *axis, int64_t size) {
  if (!call || !axis)
    return invalid("fovea_call_set_axis: an argument is NULL");
  AxisSizes given = call->given;
  given[axis] = size;
  Result<BoundCall> bound = BoundCall::bind(*call->kernel->plan, call->kernel->device->device->facts(), given);
  if (!bound)
    return fail(bound.error());
  call->bound = std::move(*bound);
  call->given = std::move(given);
  return FOVEA_OK;
}

fovea_status fovea_workspace_size(const fovea_call *call, const fovea_tensor *most, const fovea_tensor *least,
                                  size_t count, size_t *bytes) {
  if (!call || !bytes)
    return invalid("fovea_workspace_size: an argument is NULL");
  const Plan &plan = *call->kernel->plan;
  auto arguments = std::make_unique<Arguments>();
  std::array<AxisSizes, 2> sizes;
  std::vector<bool> present(plan.tensors.size());
  for (size_t which = 0; which < (least ? 2 : 1); ++which) {
    if (fovea_status status = readTensors(plan, call->slots, which == 0 ? most : least, count, *arguments);
        status != FOVEA_OK)
      return status;
    std::map<std::string, std::vector<int64_t>, std::less<>> shapes;
    for (size_t i = 0; i < plan.tensors.size(); ++i) {
      const CallTensor &tensor = arguments->tensors[i];
      if (tensor.present)
        shapes[plan.tensors[i].name].assign(tensor.shape, tensor.shape + tensor.rank);
      else if (!plan.tensors[i].optional)
        return invalid("`" + plan.tensors[i].name + "` of " + plan.spec + " is not given and not optional");
      if (which == 1 && present[i] != tensor.present)
        return invalid("`" + plan.tensors[i].name + "` is given in one of the two calls only");
      present[i] = tensor.present;
    }
    Result<AxisSizes> inferred = inferAxes(plan, shapes, call->given);
    if (!inferred)
      return fail(inferred.error());
    for (size_t i = 0; i < plan.tensors.size(); ++i)
      if (present[i])
        if (Result<std::vector<int64_t>> shape = tensorShape(plan, plan.tensors[i], *inferred); !shape)
          return fail(shape.error());
    sizes[which] = std::move(*inferred);
  }
  std::vector<ExprRange> axes;
  for (const PlanAxis &axis : plan.axes) {
    auto upper = sizes[0].find(axis.name), lower = sizes[1].find(axis.name);
    ExprRange range{-1, -1}; // not known, and then not asked for
    if (upper != sizes[0].end())
      range = {lower != sizes[1].end() ? lower->second : 1, upper->second};
    if (range.least > range.most && !axis.derived)
      return invalid("axis " + axis.name + " is " + std::to_string(range.least) + " in the smallest call, but " +
                     std::to_string(range.most) + " in the largest");
    axes.push_back(range);
  }
  Result<int64_t> bound = call->bound.workspaceBound(axes, present);
  if (!bound)
    return fail(bound.error());
  *bytes = static_cast<size_t>(*bound);
  return FOVEA_OK;
}

fovea_status fovea_call_reserve(fovea_call *call, size_t bytes) {
  if (!call)
    return invalid("fovea_call_reserve: the call is NULL");
  DeviceState &state = *call->kernel->device;
  DeviceLock lock(state);
  DeviceAddress address = 0;
  if (bytes > 0) {
    Result<DeviceAddress> made = state.device->allocate(bytes);
    if (!made)
      return fail(made.error());
    address = *made;
  }
  if (call->reserve)
    if (Status status = state.device->free(call->reserve); !status)
      say(FOVEA_LOG_WARNING, "a workspace was not freed: " + status.error().message);
  call->reserve = address;
  call->reserveBytes = bytes;
  return FOVEA_OK;
}

fovea_status fovea_launch(const fovea_call *call, void *stream, const fovea_tensor *tensors, size_t count,
                          void *workspace, size_t workspaceBytes) {
  if (!call)
    return invalid("fovea_launch: the call is NULL");
  KernelState &kernel = *call->kernel;
  Arguments arguments;
  if (fovea_status status = readTensors(*kernel.plan, call->slots, tensors, count, arguments); status != FOVEA_OK)
    return status;
  CallChoice choice;
  if (!call->bound.resolve(arguments.tensors.data(), choice))
    return explain(*call, arguments);

  DeviceAddress memory = addressOf(workspace);
  if (!workspace && workspaceBytes == 0 && call->reserve) {
    memory = call->reserve;
    workspaceBytes = call->reserveBytes;
  }
  if (choice.workspaceBytes > 0) {
    if (memory == 0 || workspaceBytes < static_cast<size_t>(choice.workspaceBytes))
      return invalid(kernel.plan->spec + " needs a workspace of " + std::to_string(choice.workspaceBytes) +
                     " bytes for these shapes, " + std::to_string(workspaceBytes) +
                     " are given; fovea_workspace_size tells how many serve");
    if (memory % kWorkspaceAlignment != 0)
      return invalid("the workspace must start at a multiple of " + std::to_string(kWorkspaceAlignment) + " bytes");
    for (size_t i = 0; i < kernel.plan->tensors.size(); ++i) {
      const CallTensor &tensor = arguments.tensors[i];
      auto length = tensor.present ? static_cast<uint64_t>(spanBytes(tensor)) : 0;
      if (length > 0 && tensor.address < memory + static_cast<uint64_t>(choice.workspaceBytes) &&
          memory < tensor.address + length)
        return invalid("the workspace shares memory with `" + kernel.plan->tensors[i].name + "`");
    }
  }
  bool refused = false;
  DeviceLock lock(*kernel.device, /*always=*/kernel.checked);
  if (kernel.checked)
    if (Status kept = checkPromises(*kernel.plan, arguments.tensors.data(), choice.axes, *kernel.device->device); !kept)
      return fail(kept.error());
  Status status = call->bound.launch(*kernel.device->device, stream, kernel.kernels, arguments.tensors.data(), choice,
                                     memory, refused);
  if (refused)
    return explain(*call, arguments);
  return status ? FOVEA_OK : fail(status.error());
}

} // extern "C"
