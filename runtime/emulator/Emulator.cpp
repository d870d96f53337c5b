// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The public interface: parse, launch, findings.
#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Machine.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <tuple>

namespace fovea::emulator {

const std::string &Module::version() const { return impl_->version; }
const std::string &Module::target() const { return impl_->target; }
const std::vector<KernelInfo> &Module::kernels() const { return impl_->infos; }
const KernelInfo *Module::find(std::string_view kernel) const {
  for (const KernelInfo &k : impl_->infos)
    if (k.name == kernel)
      return &k;
  return nullptr;
}

Status checkHost() {
#if defined(__AVX2__) && defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
    return Error{ErrorCode::Unsupported,
                 "the emulator was built for processors with AVX2, FMA and BMI2, which this one lacks; "
                 "configure with -DFOVEA_EMULATOR_V3=OFF"};
#endif
  return Status::success();
}

Result<Module> parse(std::string_view text) {
  if (Status s = checkHost(); !s)
    return s.error();
  auto impl = std::make_shared<ModuleImpl>();
  impl->text = text;
  Result<AstModule> ast = parseModule(impl->text);
  if (!ast)
    return ast.takeError();
  if (Status s = decodeModule(*ast, *impl); !s)
    return s.error();
  return Module(std::move(impl));
}

std::string_view toString(FindingKind kind) {
  switch (kind) {
  case FindingKind::OutOfBounds:
    return "out of bounds";
  case FindingKind::Misaligned:
    return "misaligned";
  case FindingKind::ReadOnlyStore:
    return "read-only store";
  case FindingKind::Uninitialised:
    return "uninitialised";
  case FindingKind::Race:
    return "race";
  case FindingKind::AsyncHazard:
    return "asynchronous hazard";
  case FindingKind::Barrier:
    return "barrier";
  case FindingKind::Deadlock:
    return "deadlock";
  case FindingKind::Budget:
    return "instruction budget";
  case FindingKind::Trap:
    return "trap";
  case FindingKind::Other:
    break;
  }
  return "fault";
}

static std::string triple(const Dim3 &d) {
  return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
}

std::string Finding::format() const {
  std::string out = "PTX line " + std::to_string(line) + ": " + std::string(toString(kind)) + ": " + message +
                    "\n    `" + text + "`\n    CTA " + triple(cta) + ", thread " + triple(thread);
  if (address)
    out += ", address " + hex(address);
  if (!object.empty())
    out += ", '" + object + "'";
  if (count > 1)
    out += "; " + std::to_string(count) + " times on this line";
  return out;
}

std::string objectAt(const Launch &launch, Space space, uint64_t address) {
  if (space == Space::Generic && address >= sharedWindow && address < sharedWindowEnd) {
    space = Space::Shared;
    address -= sharedWindow;
  }
  if (space == Space::Shared || space == Space::Local) {
    for (const PlacedVariable &v : space == Space::Shared ? launch.kernel->shared : launch.kernel->local)
      if (address >= v.address && (address < v.address + v.bytes))
        return v.name;
    return space == Space::Shared ? "shared memory" : "local memory";
  }
  if (launch.state->globals.contains(address, 1)) {
    for (const PlacedVariable &v : launch.module->globals)
      if (address >= v.address && address < v.address + v.bytes)
        return v.name;
    return launch.state->globals.name;
  }
  const Buffer *b = launch.memory->find(address);
  return b ? b->name : "";
}

bool Launch::wants(const Inst &inst, FindingKind kind) {
  ++report.findingCount;
  for (Finding &f : report.findings)
    if (f.line == inst.line && f.kind == kind) {
      ++f.count;
      return false;
    }
  return report.findings.size() < options.maxFindings;
}

void Launch::add(const Warp &warp, const Inst &inst, FindingKind kind, uint32_t lane, uint64_t address,
                 std::string object, std::string message) {
  Finding f;
  f.kind = kind;
  f.line = inst.line;
  f.text = module->line(inst.line);
  f.cta = cta.id;
  f.thread = threadOf(*this, warp, lane);
  f.address = address;
  f.object = std::move(object);
  f.message = std::move(message);
  report.findings.push_back(std::move(f));
}

namespace {

struct AlignedFree {
  void operator()(std::byte *p) const { std::free(p); }
};

/// One thread's Launch and the memory behind its CTA's registers.
struct Worker {
  Launch launch;
  std::unique_ptr<std::byte, AlignedFree> registers;
  std::vector<uint32_t> predicates, valid, validPredicates;

  Status prepare(uint32_t sharedBytes);
  void run();
};

Status Worker::prepare(uint32_t sharedBytes) {
  Cta &cta = launch.cta;
  const Kernel &kernel = *launch.kernel;
  cta.threads = uint32_t(launch.block.count());
  cta.warpCount = (cta.threads + 31) / 32;
  cta.sharedEnd = uint32_t(sharedBase + sharedBytes);
  cta.shared.resize(sharedBase + sharedBytes);
  cta.local.resize(size_t(kernel.info.localBytes) * cta.warpCount * 32);
  const bool checked = launch.options.checks.uninitialised;
  if (checked)
    cta.localInit.resize(cta.local.size());
  cta.warps.resize(cta.warpCount);
  const size_t stride = (kernel.image.size() + 127) / 128 * 128 + 128; // odd multiples keep warps apart in the caches
  registers.reset(static_cast<std::byte *>(std::aligned_alloc(128, stride * cta.warpCount)));
  if (!registers)
    return Error{ErrorCode::OutOfMemory, "no memory for registers"};
  predicates.resize(kernel.predicates.size() * cta.warpCount + 1);
  if (checked) {
    valid.resize(kernel.image.size() / 128 * cta.warpCount + 1);
    validPredicates.resize(predicates.size());
  }
  for (uint32_t n = 0; n < cta.warpCount; ++n) {
    Warp &w = cta.warps[n];
    w.regs = registers.get() + stride * n;
    w.predicates = predicates.data() + kernel.predicates.size() * n;
    if (checked) {
      w.valid = valid.data() + kernel.image.size() / 128 * n;
      w.validPredicates = validPredicates.data() + kernel.predicates.size() * n;
    }
  }
  if (launch.counting)
    launch.counts.assign(kernel.code.size(), {});
  return Status::success();
}

/// Takes CTAs in order until none is left or an earlier one could not go on.
void Worker::run() {
  LaunchState &state = *launch.state;
  const uint64_t count = launch.grid.count();
  for (;;) {
    const uint64_t number = state.next.fetch_add(1, std::memory_order_relaxed);
    if (number >= count || number >= state.stopAt.load(std::memory_order_relaxed))
      return;
    runCta(launch, number);
    if (!launch.stop)
      continue;
    uint64_t at = state.stopAt.load();
    while (number < at && !state.stopAt.compare_exchange_weak(at, number)) {
    }
    return;
  }
}

void *runWorker(void *worker) {
  static_cast<Worker *>(worker)->run();
  return nullptr;
}

/// Do CTAs talk to each other? Then their order is part of the result.
bool communicates(const Kernel &kernel) {
  for (const std::string &opcode : kernel.opcodes) {
    auto has = [&](std::string_view part) { return opcode.find(part) != std::string::npos; };
    if (has(".shared"))
      continue;
    if (opcode.starts_with("atom") || opcode.starts_with("red."))
      return true;
    if ((opcode.starts_with("ld.") || opcode.starts_with("st.")) &&
        (has(".volatile") || has(".relaxed") || has(".acquire") || has(".release") || has(".mmio")))
      return true;
  }
  return false;
}

uint32_t hostCores() {
  static const uint32_t cores = std::max(1u, std::thread::hardware_concurrency());
  return cores;
}

/// Findings of all workers in the order in which one worker alone would have met them.
void mergeFindings(std::vector<std::unique_ptr<Worker>> &workers) {
  Launch &into = workers[0]->launch;
  const uint64_t stopAt = into.state->stopAt;
  struct Found {
    uint64_t cta;
    size_t order;
    Finding finding;
  };
  std::vector<Found> all;
  uint64_t total = 0;
  for (auto &w : workers) {
    total += w->launch.report.findingCount;
    for (size_t n = 0; n < w->launch.report.findings.size(); ++n) {
      Finding &f = w->launch.report.findings[n];
      const uint64_t cta = f.cta.x + uint64_t(into.grid.x) * (f.cta.y + uint64_t(into.grid.y) * f.cta.z);
      if (cta <= stopAt)
        all.push_back({cta, n, std::move(f)});
    }
  }
  std::sort(all.begin(), all.end(),
            [](const Found &a, const Found &b) { return std::tie(a.cta, a.order) < std::tie(b.cta, b.order); });
  std::vector<Finding> merged;
  for (Found &each : all) {
    auto same = std::find_if(merged.begin(), merged.end(), [&](const Finding &f) {
      return f.line == each.finding.line && f.kind == each.finding.kind;
    });
    if (same != merged.end())
      same->count += each.finding.count;
    else if (merged.size() < into.options.maxFindings)
      merged.push_back(std::move(each.finding));
  }
  into.report.findings = std::move(merged);
  into.report.findingCount = total;
}

void mergeCounters(std::vector<std::unique_ptr<Worker>> &workers) {
  Launch &into = workers[0]->launch;
  Counters &c = into.report.counters;
  for (size_t n = 1; n < workers.size(); ++n) {
    const Launch &from = workers[n]->launch;
    const Counters &o = from.report.counters;
    for (uint64_t Counters::*field :
         {&Counters::warpInstructions, &Counters::laneInstructions, &Counters::tensorOps, &Counters::sharedLoadBytes,
          &Counters::sharedStoreBytes, &Counters::sharedWavefronts, &Counters::sharedIdealWavefronts,
          &Counters::globalLoadBytes, &Counters::globalStoreBytes, &Counters::globalSectorsRequested})
      c.*field += o.*field;
    for (size_t pc = 0; pc < into.counts.size(); ++pc) {
      InstCounters &a = into.counts[pc];
      const InstCounters &b = from.counts[pc];
      a.executed += b.executed;
      a.wavefronts += b.wavefronts;
      a.ideal += b.ideal;
      a.sectors += b.sectors;
      a.worst = std::max(a.worst, b.worst);
    }
    for (size_t k = 0; k < into.buffers.size(); ++k) {
      BufferCounters &a = into.buffers[k];
      const BufferCounters &b = from.buffers[k];
      a.loadBytes += b.loadBytes;
      a.storeBytes += b.storeBytes;
      a.loadSectors += b.loadSectors;
      a.storeSectors += b.storeSectors;
    }
  }
}

void collectCounters(Launch &launch, const std::vector<Buffer *> &buffers) {
  Counters &c = launch.report.counters;
  const Kernel &k = *launch.kernel;
  for (size_t pc = 0; pc < k.code.size(); ++pc) {
    const InstCounters &n = launch.counts[pc];
    if (!n.executed)
      continue;
    c.opcodes[k.opcodes[k.code[pc].opcode]] += n.executed;
    LineCounters &line = c.lines[k.code[pc].line];
    line.executed += n.executed;
    line.wavefronts += n.wavefronts;
    line.idealWavefronts += n.ideal;
    line.worstDegree = std::max(line.worstDegree, n.worst);
    line.sectors += n.sectors;
  }
  for (const Buffer *b : buffers) {
    BufferCounters n = launch.buffers[b->index];
    if (!n.loadBytes && !n.storeBytes)
      continue;
    n.name = b->name;
    n.uniqueSectors = b->touchedSparse.size();
    for (uint64_t word : b->touched)
      n.uniqueSectors += uint64_t(std::popcount(word));
    c.globalSectorsUnique += n.uniqueSectors;
    c.buffers.push_back(std::move(n));
  }
}

} // namespace

Result<LaunchReport> launch(const Module &module, std::string_view kernelName, Dim3 grid, Dim3 block,
                            uint32_t dynamicShared, std::string_view paramBytes, Memory &memory,
                            const Options &options) {
  if (Status s = checkHost(); !s)
    return s.error();
  const Kernel *kernel = nullptr;
  for (const Kernel &k : module.impl().kernels)
    if (k.info.name == kernelName)
      kernel = &k;
  auto invalid = [&](const std::string &message) {
    return Error{ErrorCode::InvalidArgument, "kernel '" + std::string(kernelName) + "': " + message};
  };
  if (!kernel)
    return Error{ErrorCode::NotFound, "no kernel '" + std::string(kernelName) + "' in the PTX module"};
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return invalid("a grid has 1 to 2147483647 x 65535 x 65535 CTAs");
  if (!block.x || !block.y || !block.z || block.x > 1024 || block.y > 1024 || block.z > 64 || block.count() > 1024)
    return invalid("a CTA has 1 to 1024 threads, at most 1024 x 1024 x 64");
  if (kernel->info.reqntid &&
      (kernel->info.reqntid->x != block.x || kernel->info.reqntid->y != block.y || kernel->info.reqntid->z != block.z))
    return invalid("the kernel requires CTAs of " + std::to_string(kernel->info.reqntid->x) + " x " +
                   std::to_string(kernel->info.reqntid->y) + " x " + std::to_string(kernel->info.reqntid->z) +
                   " threads");
  if (kernel->info.maxntid && block.count() > kernel->info.maxntid->count())
    return invalid("the kernel allows at most " + std::to_string(kernel->info.maxntid->count()) + " threads");
  if (paramBytes.size() != kernel->info.paramBytes)
    return invalid("parameters take " + std::to_string(kernel->info.paramBytes) + " bytes, not " +
                   std::to_string(paramBytes.size()));
  const uint64_t sharedBytes =
      (kernel->dynamicOffset >= 0 ? uint64_t(kernel->dynamicOffset) : kernel->sharedBytes) + dynamicShared;
  if (sharedBytes > 227 * 1024)
    return invalid("shared memory of " + std::to_string(sharedBytes) + " bytes; at most 232448 exist");

  LaunchState state;
  // Module variables start from their initialisers at each launch.
  std::vector<uint8_t> globals = module.impl().globalImage;
  state.globals.name = "module variables";
  state.globals.base = moduleWindow;
  state.globals.size = globals.size();
  state.globals.host = globals.data();
  std::vector<Buffer *> buffers;
  for (auto &b : memory.impl().buffers)
    buffers.push_back(b.get());
  buffers.push_back(&state.globals);
  for (size_t n = 0; n < buffers.size(); ++n) {
    Buffer &b = *buffers[n];
    b.index = uint32_t(n);
    b.touched.assign(options.counters && b.host ? (b.size / 16 + 64) / 64 + 1 : 0, 0);
    b.touchedSparse.clear();
  }

  const uint32_t warps = uint32_t((block.count() + 31) / 32);
  const uint64_t perWarp = kernel->image.size() + kernel->predicates.size() * 4;
  const uint64_t need = perWarp * warps + uint64_t(kernel->info.localBytes) * warps * 32 + sharedBytes;
  if (need > options.memoryLimit)
    return Error{ErrorCode::OutOfMemory, "kernel '" + std::string(kernelName) + "': a CTA needs " +
                                             std::to_string(need) +
                                             " bytes for registers, local and shared memory; the limit is " +
                                             std::to_string(options.memoryLimit)};
  uint64_t threads = options.threads ? options.threads : hostCores();
  threads = std::min({threads, grid.count(), options.memoryLimit / std::max<uint64_t>(need, 1), uint64_t(256)});
  if (communicates(*kernel))
    threads = 1;

  std::vector<std::unique_ptr<Worker>> workers;
  for (uint64_t n = 0; n < threads; ++n) {
    auto worker = std::make_unique<Worker>();
    Launch &run = worker->launch;
    run.module = &module.impl();
    run.kernel = kernel;
    run.memory = &memory.impl();
    run.state = &state;
    run.options = options;
    run.grid = grid;
    run.block = block;
    run.dynamicShared = dynamicShared;
    run.params = paramBytes;
    run.counting = options.counters;
    run.races = options.checks.races;
    run.buffers.resize(buffers.size());
    if (run.races)
      run.globalShadow.reset(buffers.size());
    if (Status s = worker->prepare(uint32_t(sharedBytes)); !s)
      return s.error();
    workers.push_back(std::move(worker));
  }
  const auto start = std::chrono::steady_clock::now();
  // A thread that the system does not give leaves its CTAs to the others.
  std::vector<pthread_t> running;
  for (size_t n = 1; n < workers.size(); ++n) {
    pthread_t id;
    if (pthread_create(&id, nullptr, runWorker, workers[n].get()) == 0)
      running.push_back(id);
  }
  workers[0]->run();
  for (pthread_t id : running)
    pthread_join(id, nullptr);

  Launch &run = workers[0]->launch;
  if (workers.size() > 1) {
    mergeFindings(workers);
    mergeCounters(workers);
  }
  if (run.races && grid.count() > 1) {
    std::vector<Launch *> launches;
    launches.reserve(workers.size());
    for (auto &w : workers)
      launches.push_back(&w->launch);
    GlobalShadow::compare(launches, buffers);
  }
  run.report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.report.completed = state.stopAt == UINT64_MAX;
  if (options.counters)
    collectCounters(run, buffers);
  return std::move(run.report);
}

} // namespace fovea::emulator
