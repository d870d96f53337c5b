// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The PTX emulator: parses PTX text, runs kernels on the host and reports what a GPU would leave undefined
// (out-of-bounds and uninitialised accesses, races, barrier faults). It is no model of time; its counters count.
#pragma once

#include "runtime/abi/Result.h"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::emulator {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
};

/// One kernel parameter; `offset` is where its bytes lie in the parameter block given to launch().
struct ParamInfo {
  std::string name;
  std::string type; // as in PTX without the dot: "u64", "f32", "b8"
  uint32_t offset = 0, size = 0, align = 1;
};

struct KernelInfo {
  std::string name;
  std::vector<ParamInfo> params;
  uint32_t paramBytes = 0;
  std::optional<Dim3> reqntid, maxntid;
  uint32_t staticShared = 0;  // bytes of shared memory declared with a size
  bool dynamicShared = false; // an `.extern .shared` array is used
  uint32_t localBytes = 0;    // bytes of local memory of one thread
  uint32_t registers = 0;     // virtual registers used in the text
  uint32_t instructions = 0;  // static instructions
};

struct ModuleImpl;

/// A parsed and decoded PTX module; immutable and cheap to copy.
class Module {
public:
  explicit Module(std::shared_ptr<const ModuleImpl> impl) : impl_(std::move(impl)) {}
  const std::string &version() const; // "8.0"
  const std::string &target() const;  // "sm_80"
  const std::vector<KernelInfo> &kernels() const;
  const KernelInfo *find(std::string_view kernel) const; // nullptr if there is none
  const ModuleImpl &impl() const { return *impl_; }

private:
  std::shared_ptr<const ModuleImpl> impl_;
};

/// Parses and decodes a whole module. What the emulator does not know is an error (ErrorCode::Unsupported for legal PTX
/// outside the model, Corrupt for text that is no PTX) that names the line and quotes it; nothing is ignored silently.
Result<Module> parse(std::string_view text);

struct BufferOptions {
  std::string name = "buffer";
  bool initialised = true; // false: reading a byte before the kernel (or Memory::write) wrote it is reported
  bool readOnly = false;   // true: a store is reported and dropped
  uint32_t align = 256;    // of the device address; a power of two up to 64 KiB
};

class MemoryImpl;

/// Device memory: buffers at fake 47-bit addresses with guard gaps between them. It lives across launches.
class Memory {
public:
  Memory();
  ~Memory();
  Memory(Memory &&) noexcept;
  Memory &operator=(Memory &&) noexcept;

  /// Registers memory owned by the caller, who keeps it alive. Returns the device address.
  Result<uint64_t> addBuffer(void *host, uint64_t bytes, const BufferOptions &options = {});
  /// Memory owned by this object, zero filled.
  Result<uint64_t> allocate(uint64_t bytes, const BufferOptions &options = {});
  /// A virtual range of up to 2^42 bytes of which only touched pages exist (64 KiB each, zero filled): for testing
  /// 64-bit offsets.
  Result<uint64_t> addSparse(uint64_t bytes, const BufferOptions &options = {});
  /// Forgets a buffer by its start address; later accesses there are out of bounds.
  Status remove(uint64_t address);
  /// Copies between host and device memory; the range must lie in one buffer.
  Status write(uint64_t address, const void *from, uint64_t bytes);
  Status read(uint64_t address, void *to, uint64_t bytes) const;
  Status fill(uint64_t address, uint8_t value, uint64_t bytes);
  /// Marks a buffer's bytes as never written again (for instance between two launches).
  Status markUninitialised(uint64_t address);
  MemoryImpl &impl() const { return *impl_; }

private:
  std::unique_ptr<MemoryImpl> impl_;
};

/// When an asynchronous copy lands. Every policy is legal on hardware; a correct kernel gives the same bits under each.
enum class AsyncPolicy {
  Eager, // at issue
  Lazy,  // at the last legal moment: the wait that covers it
  Random // anywhere between, by the seed
};

/// Bounds and barrier faults are always reported, since execution cannot go on meaningfully past them.
struct Checks {
  bool uninitialised = true; // registers, shared, local and output memory
  bool races = true;         // shared and global memory, between threads and against asynchronous copies in flight
  bool poison = true;        // under Lazy and Random: the destination holds NaN bits until the copy lands
  static Checks all() { return {}; }
  static Checks none() { return {false, false, false}; }
};

enum class Accumulate {
  Fma,  // a chain of f32 fused multiply-adds in order of k: fast
  Exact // truncating alignment to the largest exponent as measured on tensor cores (arXiv 2511.10909)
};

struct Options {
  Checks checks;
  AsyncPolicy policy = AsyncPolicy::Lazy;
  uint64_t seed = 1; // of AsyncPolicy::Random and of the warp order
  bool counters = false;
  Accumulate accumulate = Accumulate::Fma;
  /// Host threads that run CTAs; 0: one per core. Results, findings and counters do not depend on it. Kernels whose
  /// CTAs may talk to each other (atomic or ordered accesses to global memory) run on one thread, CTA after CTA.
  uint32_t threads = 0;
  /// Races: any warp-synchronous instruction orders its warp's lanes, not only bar.warp.sync and CTA barriers.
  bool lenient = false;
  bool perturb = false;      // moves results of approximate instructions inside their error bounds, by the seed
  uint32_t maxFindings = 20; // findings kept; all are counted
  uint64_t instructionBudget = 1ull << 36; // warp instructions of the whole launch, against hangs
  uint64_t memoryLimit = 1ull << 30; // bytes for registers, shared and local memory of the CTAs that run at a time
};

enum class FindingKind {
  OutOfBounds,
  Misaligned,
  ReadOnlyStore,
  Uninitialised,
  Race,
  AsyncHazard, // access to bytes that an asynchronous copy in flight writes
  Barrier,     // misuse of a barrier or of a warp-synchronous instruction
  Deadlock,
  Budget, // the instruction budget ran out
  Trap,
  Other,
};
std::string_view toString(FindingKind kind);

struct Finding {
  FindingKind kind = FindingKind::Other;
  uint32_t line = 0; // of the PTX text, from 1
  std::string text;  // the PTX line
  Dim3 cta, thread;  // of the first lane concerned
  uint64_t address = 0;
  std::string object; // buffer or symbol, empty if none
  std::string message;
  uint64_t count = 1; // how often the same line gave the same kind
  std::string format() const;
};

/// Per PTX line; only lines with shared-memory accesses have nonzero wavefronts.
struct LineCounters {
  uint64_t executed = 0;        // warp instructions
  uint64_t wavefronts = 0;      // shared-memory passes taken
  uint64_t idealWavefronts = 0; // passes without any bank conflict
  uint32_t worstDegree = 0;     // largest number of passes where one would do
  uint64_t sectors = 0;         // global 32-byte sectors requested, summed over warp accesses
};

struct BufferCounters {
  std::string name;
  uint64_t loadBytes = 0, storeBytes = 0;     // by active lanes
  uint64_t loadSectors = 0, storeSectors = 0; // requested: distinct sectors of each warp access, summed
  uint64_t uniqueSectors = 0;                 // distinct over the launch, of loads and of stores
};

struct Counters {
  uint64_t warpInstructions = 0, laneInstructions = 0;
  uint64_t tensorOps = 0; // multiply-adds in mma instructions
  uint64_t sharedLoadBytes = 0, sharedStoreBytes = 0;
  uint64_t sharedWavefronts = 0, sharedIdealWavefronts = 0; // the difference is the excess of bank conflicts
  uint64_t globalLoadBytes = 0, globalStoreBytes = 0;
  uint64_t globalSectorsRequested = 0, globalSectorsUnique = 0;
  std::map<std::string, uint64_t> opcodes; // warp instructions by full opcode
  std::map<uint32_t, LineCounters> lines;  // by PTX line
  std::vector<BufferCounters> buffers;
};

struct LaunchReport {
  bool completed = false; // all threads reached their end; false after a deadlock, a trap or a spent budget
  std::vector<Finding> findings;
  uint64_t findingCount = 0;
  Counters counters; // warpInstructions and laneInstructions always; the rest with Options::counters
  double seconds = 0;
  bool clean() const { return completed && findingCount == 0; }
  std::string toJson() const;
};

/// Runs one kernel over the grid. Errors are misuse (no such kernel, wrong block, wrong parameter size, a size that
/// cannot be allocated); faults of the kernel itself are findings of the report. `paramBytes` must be
/// KernelInfo::paramBytes long. Launches are ordered: each begins after all before it have ended.
Result<LaunchReport> launch(const Module &module, std::string_view kernel, Dim3 grid, Dim3 block,
                            uint32_t dynamicShared, std::string_view paramBytes, Memory &memory,
                            const Options &options = {});

/// Fails with a sentence if this build needs instructions that this processor lacks; parse() and launch() call it.
Status checkHost();

} // namespace fovea::emulator
