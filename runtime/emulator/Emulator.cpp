// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The public interface: parse, launch, findings.
#include "runtime/emulator/Emulator.h"
#include "runtime/emulator/Decode.h"
#include "runtime/emulator/Machine.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

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
  if (count > 1)
    out += "; " + std::to_string(count) + " times on this line";
  return out;
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

void resetCounters(Launch &launch) {
  auto reset = [&](Buffer &b) {
    b.counters = {};
    b.counters.name = b.name;
    b.touched.assign(launch.counting && b.host ? (b.size / 32 + 64) / 64 + 1 : 0, 0);
    b.touchedSparse.clear();
  };
  for (auto &b : launch.memory->buffers)
    reset(*b);
  reset(launch.globals);
}

void collectCounters(Launch &launch) {
  Counters &c = launch.report.counters;
  if (!launch.counting)
    return;
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
  auto add = [&](Buffer &b) {
    BufferCounters n = b.counters;
    if (!n.loadBytes && !n.storeBytes)
      return;
    n.uniqueSectors = b.touchedSparse.size();
    for (uint64_t word : b.touched)
      n.uniqueSectors += uint64_t(std::popcount(word));
    c.globalSectorsUnique += n.uniqueSectors;
    c.buffers.push_back(std::move(n));
  };
  for (auto &b : launch.memory->buffers)
    add(*b);
  add(launch.globals);
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

  Launch run;
  run.module = &module.impl();
  run.kernel = kernel;
  run.memory = &memory.impl();
  run.options = options;
  run.grid = grid;
  run.block = block;
  run.dynamicShared = dynamicShared;
  run.params = paramBytes;
  run.random = options.seed;
  run.counting = options.counters;
  // Module variables start from their initialisers at each launch.
  std::vector<uint8_t> globals = module.impl().globalImage;
  run.globals.name = "module variables";
  run.globals.base = moduleWindow;
  run.globals.size = globals.size();
  run.globals.host = globals.data();
  if (options.counters)
    run.counts.assign(kernel->code.size(), {});

  Cta &cta = run.cta;
  cta.threads = uint32_t(block.count());
  cta.warpCount = (cta.threads + 31) / 32;
  cta.sharedEnd = uint32_t(sharedBase + sharedBytes);
  const uint64_t perWarp = kernel->image.size() + kernel->predicates.size() * 4;
  const uint64_t need = perWarp * cta.warpCount + uint64_t(kernel->info.localBytes) * cta.warpCount * 32 + sharedBytes;
  if (need > options.memoryLimit)
    return Error{ErrorCode::OutOfMemory, "kernel '" + std::string(kernelName) + "': a CTA needs " +
                                             std::to_string(need) +
                                             " bytes for registers, local and shared memory; the limit is " +
                                             std::to_string(options.memoryLimit)};
  resetCounters(run);
  cta.shared.resize(sharedBase + sharedBytes);
  cta.local.resize(size_t(kernel->info.localBytes) * cta.warpCount * 32);
  if (options.checks.uninitialised)
    cta.localInit.resize(cta.local.size());
  cta.warps.resize(cta.warpCount);
  const size_t stride = (kernel->image.size() + 127) / 128 * 128 + 128; // odd multiples keep warps apart in the caches
  std::unique_ptr<std::byte, AlignedFree> registers(
      static_cast<std::byte *>(std::aligned_alloc(128, stride * cta.warpCount)));
  if (!registers)
    return Error{ErrorCode::OutOfMemory, "no memory for registers"};
  std::vector<uint32_t> predicates(kernel->predicates.size() * cta.warpCount + 1), valid, validPredicates;
  if (options.checks.uninitialised) {
    valid.resize(kernel->image.size() / 128 * cta.warpCount + 1);
    validPredicates.resize(predicates.size());
  }
  for (uint32_t n = 0; n < cta.warpCount; ++n) {
    Warp &w = cta.warps[n];
    w.regs = registers.get() + stride * n;
    w.predicates = predicates.data() + kernel->predicates.size() * n;
    if (options.checks.uninitialised) {
      w.valid = valid.data() + kernel->image.size() / 128 * n;
      w.validPredicates = validPredicates.data() + kernel->predicates.size() * n;
    }
  }
  const auto start = std::chrono::steady_clock::now();
  for (uint32_t z = 0; z < grid.z && !run.stop; ++z)
    for (uint32_t y = 0; y < grid.y && !run.stop; ++y)
      for (uint32_t x = 0; x < grid.x && !run.stop; ++x)
        runCta(run, {x, y, z});
  run.report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.report.completed = !run.stop;
  collectCounters(run);
  return std::move(run.report);
}

} // namespace fovea::emulator
