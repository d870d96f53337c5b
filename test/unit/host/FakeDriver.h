// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The strings by which a test pulls the driver of FakeCuda.cpp.
#pragma once

#include <dlfcn.h>
#include <string>

namespace fovea::runtime::test {

struct FakeDriver {
  const char *(*log)() = nullptr;
  void (*reset)(int devices) = nullptr;
  void (*fail)(const char *name, int code) = nullptr;
  void (*version)(int version) = nullptr;
  void (*assemblesWrong)(int wrong) = nullptr;
  void (*keepCalls)(int keep) = nullptr;
  void (*capture)(void *stream) = nullptr;
  int (*replay)() = nullptr;

  /// False: the library cannot be opened.
  bool open(const char *library) {
    void *handle = ::dlopen(library, RTLD_NOW);
    if (!handle)
      return false;
    auto find = [&](auto &function, const char *name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, name));
      return function != nullptr;
    };
    return find(log, "fakeCudaLog") && find(reset, "fakeCudaReset") && find(fail, "fakeCudaFail") &&
           find(version, "fakeCudaVersion") && find(assemblesWrong, "fakeCudaAssemblesWrong") &&
           find(keepCalls, "fakeCudaKeepCalls") && find(capture, "fakeCudaCapture") && find(replay, "fakeCudaReplay");
  }

  /// How often the log has this.
  int count(const std::string &line) const {
    std::string text = log();
    int found = 0;
    for (size_t at = text.find(line); at != std::string::npos; at = text.find(line, at + 1))
      ++found;
    return found;
  }
};

} // namespace fovea::runtime::test
