// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Helpers of the syntax and sema tests: files of the repository, analysis of a text.
#pragma once

#include "frontend/sema/Analyze.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace fovea::test {

inline std::string readText(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The .attn files of a folder of the repository, sorted.
inline std::vector<std::string> specs(const std::string &folder) {
  std::vector<std::string> paths;
  for (const auto &entry : std::filesystem::directory_iterator(std::string(FOVEA_SOURCE_DIR) + "/" + folder))
    if (entry.path().extension() == ".attn")
      paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

inline std::vector<std::string> allSpecs() {
  std::vector<std::string> paths;
  for (const char *folder : {"test/unit/syntax/corpus", "examples", "examples/maps"})
    for (std::string &path : specs(folder))
      paths.push_back(std::move(path));
  return paths;
}

/// Options of an analysis that reads imported files.
inline sema::Options reading() {
  sema::Options options;
  options.readFile = [](std::string path) -> Result<std::string> {
    if (!std::filesystem::is_regular_file(path))
      return Error{ErrorCode::NotFound, path};
    return readText(path);
  };
  return options;
}

} // namespace fovea::test
