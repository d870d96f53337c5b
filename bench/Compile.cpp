// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a compilation takes in a process that holds the compiler: fovea-bench-compile SPEC [NAME=VALUE..] [--count N]
// Prints one JSON object with milliseconds of one call, each from the text to a plan that can be prepared:
//   cold       nothing is known; the median of --count in a cache of their own
//   disk       a compiler that is new finds the plan on disk
//   warm       the same compiler, the same text
//   respelled  the same compiler, a text of the same meaning that it has not seen
// and `warm_user_ms`, processor time of a warm call. The cache lies in a folder of its own, which is removed.
#include "fovea/compiler.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace {

int fail(const std::string &message) {
  std::fprintf(stderr, "fovea-bench-compile: %s\n", message.c_str());
  return 1;
}

struct Cost {
  double wall = 0, processor = 0; // ms
};

/// Medians of `count` calls; negative where one fails.
Cost measure(int count, const std::function<bool()> &before, const std::function<bool()> &call) {
  std::vector<double> wall, processor;
  for (int n = 0; n < count; ++n) {
    if (before && !before())
      return {-1, -1};
    auto begin = std::chrono::steady_clock::now();
    std::clock_t used = std::clock();
    if (!call())
      return {-1, -1};
    processor.push_back(1e3 * static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
    wall.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(wall.begin(), wall.end());
  std::sort(processor.begin(), processor.end());
  return {wall[wall.size() / 2], processor[processor.size() / 2]};
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2)
    return fail("usage: fovea-bench-compile SPEC [NAME=VALUE..] [--count N]");
  std::string path = argv[1];
  fovea::CompileOptions options;
  int count = 20;
  for (int k = 2; k < argc; ++k)
    if (std::strcmp(argv[k], "--count") == 0 && k + 1 < argc)
      count = std::max(1, std::atoi(argv[++k]));
    else
      options.sets.emplace_back(argv[k]);
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  std::string text = content.str(), folder = std::filesystem::temp_directory_path() / "fovea-bench-XXXXXX";
  if (!mkdtemp(folder.data()))
    return fail("no temporary folder");
  setenv("FOVEA_CACHE", folder.c_str(), 1);

  auto compiler = fovea::Compiler::open();
  std::string problem;
  auto compile = [&](const std::string &spelling) {
    auto compiled = compiler->text(spelling, path, options);
    if (!compiled)
      problem = compiled.failure().text;
    return static_cast<bool>(compiled);
  };
  auto renew = [&] {
    compiler = fovea::Compiler::open();
    return static_cast<bool>(compiler);
  };
  auto same = [&] { return compile(text); };
  std::string spelling = text;
  auto respell = [&] {
    spelling += "\n# again";
    return true;
  };
  auto forget = [&] {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    return renew();
  };
  bool works = same(); // the first compilation of a process initialises LLVM
  Cost cold = measure(std::min(count, 5), forget, same);
  Cost disk = measure(count, renew, same);
  Cost warm = measure(count, nullptr, same);
  Cost respelled = measure(count, respell, [&] { return compile(spelling); });
  std::filesystem::remove_all(folder);
  if (!works || warm.wall < 0 || respelled.wall < 0)
    return fail(problem.empty() ? "no compiler" : problem);
  std::printf("{\"cold\": %.3f, \"disk\": %.3f, \"warm\": %.4f, \"respelled\": %.3f, \"warm_user_ms\": %.4f}\n",
              cold.wall, disk.wall, warm.wall, respelled.wall, warm.processor);
  return 0;
}
