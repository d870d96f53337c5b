// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ptxas as a syntax oracle: what the parser accepted in these tests must assemble. Runs after all tests, one call per
// target.
#include "Testing.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <unistd.h>

using namespace fovea::emulator::test;

namespace {

class PtxasOracle : public ::testing::Environment {
public:
  void TearDown() override {
#ifdef FOVEA_PTXAS
    std::map<std::string, std::string> modules;
    std::set<std::string> seen;
    int number = 0;
    for (std::string text : acceptedTexts()) {
      const size_t at = text.find(".visible .entry k(");
      const size_t header = text.find(".address_size 64\n");
      // Texts with variables of their own would clash in one module.
      if (at == text.npos || header == text.npos || text.substr(header + 17, at - header - 17).find('.') != text.npos)
        continue;
      if (!seen.insert(text).second)
        continue;
      const std::string target =
          text.substr(text.find(".target"), text.find('\n', text.find(".target")) - text.find(".target"));
      std::string &module = modules[target];
      if (module.empty())
        module = ".version 9.0\n" + target + "\n.address_size 64\n";
      text.replace(at, 18, ".visible .entry k" + std::to_string(number++) + "(");
      module += text.substr(at);
    }
    for (const auto &[target, text] : modules) {
      const std::string path =
          std::filesystem::temp_directory_path().string() + "/fovea-oracle-" + std::to_string(getpid()) + ".ptx";
      std::ofstream(path) << text;
      const std::string arch = target.substr(target.find("sm_"));
      const std::string log = path + ".log";
      const int status = std::system(
          (std::string(FOVEA_PTXAS) + " -O0 -arch=" + arch + " " + path + " -o /dev/null > " + log + " 2>&1").c_str());
      EXPECT_EQ(status, 0) << readFile(log).substr(0, 3000) << "\nin " << path;
      if (status == 0)
        std::remove(path.c_str());
      std::remove(log.c_str());
      printf("ptxas assembled the accepted texts of %s\n", arch.c_str());
    }
#endif
  }
};

[[maybe_unused]] const auto *const registered = ::testing::AddGlobalTestEnvironment(new PtxasOracle);

} // namespace
