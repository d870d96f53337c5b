// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Machine code of the driver in the cache, under every fault that a folder can have, and the self-test: on a driver
// whose assembler can be made to miscompile.
#include "FakeDriver.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Execute.h"
#include "runtime/host/SelfTest.h"
#include "test/unit/common/Processes.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace fovea;
using namespace fovea::runtime;
using namespace fovea::runtime::test;
using fovea::test::spawn;
using fovea::test::wait;
namespace fs = std::filesystem;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

const std::string kElf = "\x7f"
                         "ELF";
using Source = LoadReport::Source;
using SelfTest = LoadReport::SelfTest;

std::string slurp(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Load : public testing::Test {
protected:
  Load() {
    std::string pattern = fs::temp_directory_path() / "fovea-load-XXXXXX";
    root_ = mkdtemp(pattern.data());
    cache_.folder = root_ + "/cache";
    cache_.warn = [this](const std::string &text) { warnings_ += text + "\n"; };
    options_.warn = cache_.warn;
    options_.inform = [this](const std::string &text) { said_ += text + "\n"; };
    counter_ = root_ + "/counter";
    ::setenv("FAKE_CUDA_COUNTER", counter_.c_str(), 1);
  }
  ~Load() override {
    ::unsetenv("FAKE_CUDA_COUNTER");
    ::unsetenv("FAKE_CUDA_SLEEP");
    chmod(cache_.folder.c_str(), 0700);
    fs::remove_all(root_);
  }
  void SetUp() override {
    ASSERT_TRUE(driver_.open(FAKE_CUDA)) << dlerror();
    driver_.reset(1);
    options_.cache.emplace(cache_);
    Result<Plan> plan = readPlan(FOVEA_SOURCE_DIR "/examples/runtime/accumulate.json");
    ASSERT_TRUE(plan.ok());
    plan_ = std::move(*plan);
    PlanSelfTest test;
    test.seed = 3;
    test.axes = {{"N", 6}};
    test.inputs = {{"x", {1, 2, 3, 4, 5, 6}}, {"h", {0, 0, 0, 0, 0, 0}}};
    PlanTestOutput y;
    y.tensor = "y";
    y.values = {1, 2, 3, 4, 5, 6};
    y.relative2 = 1e-6;
    test.outputs = {y};
    plan_.selfTest = test;
    open();
  }
  void open(const char *library = FAKE_CUDA) {
    CudaOptions options;
    options.library = library;
    Result<std::unique_ptr<Device>> device = openCudaDevice(options);
    ASSERT_TRUE(device.ok()) << device.error().message;
    device_ = std::move(*device);
  }

  /// Loads the plan, runs it, and gives where the code came from, or the error.
  std::string load() {
    warnings_.clear();
    said_.clear();
    report_ = {};
    Result<LoadedPlan> loaded = LoadedPlan::load(plan_, *device_, options_, &report_);
    if (!loaded) {
      code_ = loaded.error().code;
      return "error: " + loaded.error().message;
    }
    Array x = *Array::fromDoubles(StorageType::F32, {3}, std::vector<double>{1, 2, 3});
    ExecuteRequest request;
    request.inputs = {{"x", &x}};
    Result<ExecuteResult> ran = execute(*loaded, request);
    if (!ran)
      return "not run: " + ran.error().message;
    if (ran->outputs.at("y").toDoubles() != std::vector<double>{1, 2, 3})
      return "wrong";
    switch (report_.modules.at(0).source) {
    case Source::PlanCode:
      return "plan " + report_.modules[0].arch;
    case Source::CachedCode:
      return "cache";
    case Source::AssembledAndKept:
      return "assembled";
    case Source::Text:
      return "text";
    }
    return "?";
  }
  size_t assembled() const { return slurp(counter_).size(); }
  std::vector<Cache::Entry> entries() const { return *Cache(cache_).list(); }
  std::string file() const { return cache_.folder + "/" + entries().at(0).file; }

  std::string root_, counter_, warnings_, said_;
  CacheOptions cache_;
  LoadOptions options_;
  LoadReport report_;
  FakeDriver driver_;
  Plan plan_;
  std::unique_ptr<Device> device_;
  ErrorCode code_ = ErrorCode::Ok;
};

} // namespace

TEST_F(Load, CodeOfTheDriverIsKeptAndFoundAgain) {
  EXPECT_EQ(load(), "assembled");
  EXPECT_CONTAINS(said_, "module main of accumulate: assembled by the driver and kept in the cache, in ");
  EXPECT_EQ(load(), "cache");
  EXPECT_CONTAINS(said_, "machine code of the cache, loaded in ");
  EXPECT_EQ(assembled(), 1u);
  EXPECT_EQ(warnings_, "");
  ASSERT_EQ(entries().size(), 1u);
  std::string key = entries()[0].key;
  EXPECT_CONTAINS(key, "cubin 1\nname accumulate\nmodule main\ntarget sm_90\nptx ");
  EXPECT_CONTAINS(key, "\ndriver CUDA 12.4, libFakeCuda.so, ");
  for (const auto &each : fs::recursive_directory_iterator(root_))
    EXPECT_TRUE(each.path() == counter_ || each.path().string().starts_with(cache_.folder)) << each.path();
}

TEST_F(Load, AnotherDriverOrPlanIsAnotherEntry) {
  EXPECT_EQ(load(), "assembled");
  driver_.version(12050);
  open();
  EXPECT_EQ(load(), "assembled");
  EXPECT_EQ(load(), "cache");
  driver_.version(12040);
  open();
  EXPECT_EQ(load(), "cache");
  plan_.modules[0].ptx += "// other\n";
  EXPECT_EQ(load(), "assembled");
  EXPECT_EQ(entries().size(), 3u);
  EXPECT_EQ(warnings_, "");
}

TEST_F(Load, WithoutACacheNothingIsWritten) {
  options_.cache.reset();
  EXPECT_EQ(load(), "text");
  EXPECT_EQ(assembled(), 0u);
  EXPECT_FALSE(fs::exists(cache_.folder));
}

TEST_F(Load, ADriverThatGivesNoCodeAway) {
  open(FAKE_CUDA_OLD);
  EXPECT_EQ(load(), "text");
  open();
  driver_.fail("cuLinkComplete", 999);
  EXPECT_EQ(load(), "text");
  EXPECT_EQ(warnings_, "");
  driver_.fail("cuModuleLoadDataEx", 218);
  EXPECT_CONTAINS(load(), "module main cannot be loaded: unknown error (218");
  EXPECT_CONTAINS(load(), "\nptxas: line 3: syntax error");
}

TEST_F(Load, EveryDamageIsAWarningAndMended) {
  EXPECT_EQ(load(), "assembled");
  std::string name = file(), good = slurp(name);
  auto damaged = [&](const std::string &bytes) {
    std::ofstream(name, std::ios::binary) << bytes;
    size_t before = assembled();
    EXPECT_EQ(load(), "assembled");
    EXPECT_EQ(assembled(), before + 1);
    EXPECT_CONTAINS(warnings_, ".entry is not used: it is ");
    EXPECT_EQ(slurp(name), good);
  };
  for (size_t length = 0; length < good.size(); length += 7)
    damaged(good.substr(0, length));
  for (size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    damaged(bad);
  }
  damaged("");
  damaged("something else");
  EXPECT_EQ(load(), "cache");
}

TEST_F(Load, AWholeEntryThatIsNoCodeOrRefused) {
  EXPECT_EQ(load(), "assembled");
  std::string key = entries()[0].key;
  Cache cache(cache_);
  for (const char *content : {"", "no code",
                              "\x7f"
                              "EL",
                              "\x7f"
                              "ELF refused",
                              "\x7f"
                              "ELF of driver 11000\n"}) {
    ASSERT_TRUE(cache.store(key, content));
    size_t before = assembled();
    EXPECT_EQ(load(), "assembled");
    EXPECT_EQ(assembled(), before + 1);
    EXPECT_CONTAINS(warnings_, "cache: machine code of accumulate is not used and is made again: ");
    EXPECT_EQ(load(), "cache");
    EXPECT_EQ(warnings_, "");
  }
}

TEST_F(Load, CodeOfThePlanComesFirst) {
  plan_.modules[0].cubins = {{"sm_80", kElf + " refused"}, {"sm_90", kElf + " of the plan"}};
  EXPECT_EQ(load(), "plan sm_90");
  EXPECT_CONTAINS(said_, "machine code for sm_90 of the plan, loaded in ");
  EXPECT_EQ(assembled(), 0u);
  plan_.modules[0].cubins[1].bytes = kElf + " refused";
  EXPECT_EQ(load(), "assembled");
  EXPECT_CONTAINS(warnings_, "the machine code for sm_90 in the plan of accumulate is not used: module main cannot be");
  plan_.modules[0].cubins.pop_back();
  EXPECT_EQ(load(), "cache") << "code for sm_80 is not tried on sm_90";
  EXPECT_EQ(warnings_, "");
  plan_.modules[0].ptx.clear();
  EXPECT_CONTAINS(load(), "has machine code for sm_80 and no PTX; Fake GPU is sm_90, which needs code of its own");
  EXPECT_EQ(code_, ErrorCode::Unsupported);
  plan_.modules[0].cubins = {{"sm_90", kElf + " refused"}};
  EXPECT_CONTAINS(load(), "module main cannot be loaded: CUDA_ERROR_NO_BINARY_FOR_GPU");
  auto emulator = *EmulatorDevice::create();
  Result<LoadedPlan> emulated = LoadedPlan::load(plan_, *emulator);
  ASSERT_FALSE(emulated.ok());
  EXPECT_CONTAINS(emulated.error().message, "is machine code without PTX, which the emulator cannot run");
}

TEST_F(Load, SixteenProcessesAssembleOnce) {
  ::setenv("FAKE_CUDA_SLEEP", "200", 1);
  std::vector<pid_t> children;
  for (int i = 0; i < 16; ++i)
    children.push_back(spawn([&] {
      std::string from = load();
      return (from == "cache" || from == "assembled") && warnings_.empty() ? 0 : 1;
    }));
  for (pid_t child : children)
    EXPECT_EQ(wait(child), 0);
  EXPECT_EQ(assembled(), 1u);
}

TEST_F(Load, KilledWhileItAssemblesOrWrites) {
  plan_.modules[0].ptx += "//" + std::string(300000, 'x') + "\n";
  int cut = 0;
  for (int i = 0; i < 30; ++i) {
    ::setenv("FAKE_CUDA_SLEEP", i % 2 ? "3" : "0", 1);
    pid_t child = spawn([&] {
      for (;;) {
        fs::remove_all(cache_.folder);
        (void)load();
      }
      return 0;
    });
    ::usleep(4000 + 400 * static_cast<useconds_t>(i));
    kill(child, SIGKILL);
    wait(child);
    std::string from = load();
    EXPECT_TRUE(from == "cache" || from == "assembled") << from;
    EXPECT_EQ(warnings_, "");
    for (const auto &each : fs::directory_iterator(cache_.folder))
      cut += each.path().string().find(".tmp") != std::string::npos;
    EXPECT_EQ(load(), "cache");
  }
  EXPECT_GT(cut, 0) << "no process was killed while it wrote";
}

TEST_F(Load, AFullDisk) {
  EXPECT_EQ(wait(spawn([&] {
              signal(SIGXFSZ, SIG_IGN);
              rlimit limit{20, 20};
              setrlimit(RLIMIT_FSIZE, &limit);
              if (load() != "assembled")
                return 1;
              return warnings_.find("cache: an entry is not kept: ") != std::string::npos ? 0 : 2;
            })),
            0);
  EXPECT_TRUE(entries().empty());
}

TEST_F(Load, ReadOnlyAndForeignFolders) {
  EXPECT_EQ(load(), "assembled");
  plan_.modules[0].ptx += "// other\n";
  std::string kept = plan_.modules[0].ptx;
  if (geteuid() == 0) { // permissions do not bind root
    ASSERT_EQ(chmod(root_.c_str(), 0755), 0);
    for (const std::string &path : {cache_.folder, file()})
      ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  }
  chmod(cache_.folder.c_str(), 0500);
  EXPECT_EQ(wait(spawn([&] {
              ::unsetenv("FAKE_CUDA_COUNTER");
              if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
                return 10;
              if (load() != "assembled" || warnings_.find("cache: an entry is not kept: ") == std::string::npos)
                return 1;
              plan_.modules[0].ptx.resize(kept.size() - 9); // that of the entry
              return load() == "cache" && warnings_.empty() ? 0 : 2;
            })),
            0);
  if (geteuid() == 0) {
    // Entries are programs: those that another user may have put there are not run.
    EXPECT_EQ(load(), "assembled");
    EXPECT_CONTAINS(warnings_, "can be written by other users, so it is not used");
  }
}

TEST_F(Load, AFolderThatCannotBeMade) {
  cache_.folder = "/proc/fovea/cache";
  options_.cache.emplace(cache_);
  EXPECT_EQ(load(), "assembled");
  EXPECT_CONTAINS(warnings_, "cannot be made");
}

TEST_F(Load, CodeAndPlansShareOneCap) {
  cache_.capBytes = 60000;
  options_.cache.emplace(cache_);
  for (int i = 0; i < 8; ++i)
    ASSERT_TRUE(Cache(cache_).store("plan " + std::to_string(i), std::string(9000, 'x')));
  plan_.modules[0].ptx += "//" + std::string(20000, 'x') + "\n";
  EXPECT_EQ(load(), "assembled");
  int64_t total = 0;
  for (const Cache::Entry &entry : entries())
    total += entry.bytes;
  EXPECT_LE(total, 60000);
  EXPECT_EQ(load(), "cache");
}

TEST_F(Load, TheEnvironmentSaysWhatIsUsed) {
  ::setenv("FOVEA_CACHE", "off", 1);
  ::unsetenv("FOVEA_SELF_TEST");
  LoadOptions options = LoadOptions::fromEnvironment({});
  EXPECT_FALSE(options.cache);
  EXPECT_FALSE(options.selfTest);
  ::setenv("FOVEA_CACHE", cache_.folder.c_str(), 1);
  for (const char *value : {"", "0", "off", "1", "on"}) {
    ::setenv("FOVEA_SELF_TEST", value, 1);
    options = LoadOptions::fromEnvironment({});
    EXPECT_EQ(options.selfTest, value[0] == '1' || std::string(value) == "on") << value;
    ASSERT_TRUE(options.cache);
    EXPECT_EQ(options.cache->folder(), cache_.folder);
  }
  ::unsetenv("FOVEA_SELF_TEST");
  ::unsetenv("FOVEA_CACHE");
}

// --- Self-tests ---

TEST_F(Load, TheSelfTestRunsOnceForADriver) {
  EXPECT_EQ(load(), "assembled");
  EXPECT_EQ(report_.selfTest, SelfTest::NotAsked);
  options_.selfTest = true;
  driver_.reset(1);
  EXPECT_EQ(load(), "cache");
  EXPECT_EQ(report_.selfTest, SelfTest::Passed);
  EXPECT_CONTAINS(said_, "the self-test of accumulate passed on Fake GPU");
  EXPECT_EQ(driver_.count("cuLaunchKernel"), 3) << "both entries, and the run of this test";
  EXPECT_EQ(driver_.count("cuMemAlloc_v2"), driver_.count("cuMemFree_v2"));
  driver_.reset(1);
  EXPECT_EQ(load(), "cache");
  EXPECT_EQ(report_.selfTest, SelfTest::Remembered);
  EXPECT_EQ(driver_.count("cuLaunchKernel"), 1);
  driver_.version(12050);
  open();
  EXPECT_EQ(load(), "assembled");
  EXPECT_EQ(report_.selfTest, SelfTest::Passed) << "another driver is another test";
  plan_.selfTest->outputs[0].relative2 = 1e-5;
  EXPECT_EQ(load(), "cache");
  EXPECT_EQ(report_.selfTest, SelfTest::Passed) << "so is another plan";
  options_.cache.reset();
  EXPECT_EQ(load(), "text");
  EXPECT_EQ(report_.selfTest, SelfTest::Passed);
  EXPECT_EQ(load(), "text");
  EXPECT_EQ(report_.selfTest, SelfTest::Passed) << "nowhere to remember it";
  plan_.selfTest.reset();
  EXPECT_EQ(load(), "text");
  EXPECT_EQ(report_.selfTest, SelfTest::NoneInPlan);
  EXPECT_CONTAINS(warnings_, "the plan of accumulate has no self-test; `fovea compile --self-test` gives it one");
}

TEST_F(Load, AMiscompilationByTheDriverIsFound) {
  options_.selfTest = true;
  driver_.assemblesWrong(1);
  std::string error = load();
  EXPECT_EQ(code_, ErrorCode::SelfTestFailed);
  EXPECT_CONTAINS(error, "the self-test of accumulate failed on Fake GPU (driver: CUDA 12.4, libFakeCuda.so, ");
  EXPECT_CONTAINS(error, " in entry 0: wrong numbers in `y`: ");
  EXPECT_CONTAINS(error, "try another driver or ptxas");
  EXPECT_CONTAINS(load(), "the self-test of accumulate failed") << "a failure is not remembered as a success";
  options_.cache.reset();
  EXPECT_CONTAINS(load(), "the self-test of accumulate failed");
  options_.selfTest = false;
  EXPECT_EQ(load(), "wrong") << "the driver does miscompile";
}

TEST_F(Load, WrongCodeOfTheCacheOrThePlanIsMadeAgain) {
  driver_.assemblesWrong(1);
  EXPECT_EQ(load(), "wrong");
  driver_.assemblesWrong(0);
  EXPECT_EQ(load(), "wrong") << "the cache holds it";
  options_.selfTest = true;
  EXPECT_EQ(load(), "assembled");
  EXPECT_CONTAINS(warnings_, "wrong numbers in `y`");
  EXPECT_CONTAINS(warnings_, "; the machine code is made again from the PTX");
  EXPECT_EQ(report_.selfTest, SelfTest::Passed);
  EXPECT_EQ(load(), "cache");
  EXPECT_EQ(report_.selfTest, SelfTest::Remembered);
  EXPECT_EQ(warnings_, "");
  plan_.modules[0].cubins = {{"sm_90", kElf + " wrong"}};
  EXPECT_EQ(load(), "assembled");
  EXPECT_CONTAINS(warnings_, "the machine code is made again from the PTX");
  plan_.modules[0].ptx.clear();
  EXPECT_CONTAINS(load(), "the self-test of accumulate failed");
  EXPECT_EQ(code_, ErrorCode::SelfTestFailed);
  plan_.modules[0].cubins[0].bytes = kElf + " right";
  EXPECT_EQ(load(), "plan sm_90");
}

TEST_F(Load, AFaultInTheSelfTestIsAFailure) {
  options_.selfTest = true;
  driver_.fail("cuCtxSynchronize", 700);
  EXPECT_CONTAINS(load(), "in entry 0: CUDA_ERROR_ILLEGAL_ADDRESS (700");
  EXPECT_EQ(code_, ErrorCode::SelfTestFailed);
  driver_.reset(1);
  driver_.fail("cuMemAlloc_v2", 2);
  (void)load();
  EXPECT_EQ(code_, ErrorCode::OutOfMemory);
  driver_.reset(1);
  EXPECT_EQ(load(), "cache") << "the code itself was right";
  EXPECT_EQ(report_.selfTest, SelfTest::Passed);
}

TEST_F(Load, HostileSelfTestsAreErrors) {
  options_.selfTest = true;
  auto refused = [&](const std::function<void(PlanSelfTest &)> &edit) {
    PlanSelfTest kept = *plan_.selfTest;
    edit(*plan_.selfTest);
    EXPECT_TRUE(validatePlan(plan_).ok()) << "the reader refuses it already";
    std::string error = load();
    EXPECT_EQ(code_, ErrorCode::Corrupt) << error;
    plan_.selfTest = kept;
    return error;
  };
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.inputs[0].values.pop_back(); }), "5 values for `x` of shape [6]");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes[0].second = 65536; }), "6 values for `x` of shape [65536]");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs[0].values.pop_back(); }), "5 values are expected of the 6");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes.clear(); }), "the size of axis N is not known");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) {
                    t.inputs.pop_back();
                    t.outputs[0].tensor = "h";
                  }),
                  "`h` is expected, but not given");
  for (PlanTensor &tensor : plan_.tensors)
    tensor.dims = {{"N", {"N"}}, {"M", {"M"}}};
  plan_.axes.push_back({"M", {}, ""});
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) {
                    t.axes = {{"N", 65536}, {"M", 65536}};
                  }),
                  "of shape [65536, 65536] its tensors have more than 1048576 elements");
}

TEST_F(Load, DrawnInputsFollowTheRuleOfThePlan) {
  plan_.selfTest->inputs[0].values.clear();
  auto inputs = selfTestInputs(plan_);
  ASSERT_TRUE(inputs.ok());
  // Numbers that docs/plan.md gives, so that others can draw them too.
  std::vector<double> x = inputs->at("x").toDoubles();
  EXPECT_EQ(x,
            (std::vector<double>{0.364911318f, -2.08351874f, -1.08304441f, -0.71596086f, -0.570294142f, 1.03641319f}));
  plan_.selfTest->outputs[0].values = x;
  options_.selfTest = true;
  EXPECT_EQ(load(), "assembled");
  plan_.selfTest->seed = 4;
  EXPECT_CONTAINS(load(), "wrong numbers in `y`") << "another seed draws others";
}

TEST_F(Load, TheEmulatorRunsSelfTestsToo) {
  auto emulator = *EmulatorDevice::create();
  options_.selfTest = true;
  Result<LoadedPlan> loaded = LoadedPlan::load(plan_, *emulator, options_, &report_);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(report_.selfTest, SelfTest::Passed);
  plan_.selfTest->outputs[0].values[2] = 7;
  loaded = LoadedPlan::load(plan_, *emulator, options_, &report_);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code, ErrorCode::SelfTestFailed);
}
