// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Facts about GPU targets, in one table. Passes and code generation ask it; nothing compares architecture numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

/// One GPU architecture. Sources: CUDA C++ Programming Guide, "Compute Capabilities"; PTX ISA, "Release Notes".
struct Target {
  std::string_view name;              ///< as ptxas and LLVM call it, "sm_80"
  std::string_view ptxFeature;        ///< LLVM feature of the lowest PTX ISA version that selects all we emit, "+ptx70"
  std::string_view ptxVersion;        ///< the same as text, "7.0"
  std::string_view minimumDriver;     ///< first driver that reads it
  int64_t sharedPerBlock;             ///< bytes that one block may opt in to
  int64_t sharedPerSm;                ///< bytes per multiprocessor
  int64_t registersPerSm;             ///< 32-bit registers
  int64_t maxRegistersPerThread;      ///< 255
  int64_t maxThreadsPerSm;            ///< resident threads
  int64_t maxBlocksPerSm;             ///< resident blocks
  int64_t typicalSms;                 ///< of the largest common product; cost model only
  double halfProductsPerSmPerCycle;   ///< dense 16-bit multiply-adds with f32 accumulation, per SM and cycle
  double singleProductsPerSmPerCycle; ///< f32 multiply-adds, per SM and cycle; products in tf32 take twice as long as
                                      ///< 16-bit ones
  double exponentialsPerSmPerCycle;   ///< ex2.approx per SM and cycle
  double clockGhz;                    ///< boost clock of that product
  double bandwidthGBs;                ///< device-memory bandwidth of that product
  bool asyncCopy;                     ///< cp.async
  bool bf16;                          ///< bf16 tensor cores

  /// The table, in order of architecture.
  static const std::vector<Target> &all();
  /// Null if unknown.
  static const Target *find(std::string_view name);
  /// "sm_80, sm_86, ..." for messages.
  static std::string names();
};

} // namespace fovea
