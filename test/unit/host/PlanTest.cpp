// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The plan file: round trips, and refusal of everything that is not exactly a plan.
#include "runtime/abi/Plan.h"
#include "TestPlan.h"
#include "runtime/abi/Files.h"
#include "runtime/abi/Hash.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace fovea;
using namespace fovea::runtime;
using namespace fovea::runtime::test;
using Json = nlohmann::json;

namespace {

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

class Folder {
public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "fovea-plan-XXXXXX";
    path = mkdtemp(pattern.data());
  }
  ~Folder() {
    chmod(path.c_str(), 0700);
    std::filesystem::remove_all(path);
  }
  std::string operator/(const std::string &name) const { return path + "/" + name; }
  std::string path;
};

std::string slurp(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const std::string &path, const std::string &content) { std::ofstream(path, std::ios::binary) << content; }

/// Edits the JSON of the small plan and mends its content hash, so that the check under test is reached.
std::string edited(const std::function<void(Json &)> &edit) {
  Json json = Json::parse(*planToText(smallPlan()));
  edit(json);
  Json body = json;
  body.erase("content_hash");
  json["content_hash"] = hashText(body.dump());
  return json.dump();
}

/// With machine code of two architectures, and a self-test.
Plan richPlan() {
  Plan plan = smallPlan();
  plan.modules[0].cubins = {{"sm_80", "code of 80"}, {"sm_90", "code of 90"}};
  PlanSelfTest test;
  test.seed = 7;
  test.axes = {{"B", 1}, {"T", 2}, {"S", 3}, {"Hk", 1}, {"G", 1}};
  test.inputs = {{"q", {}}, {"k", {}}, {"w", {1, 2, 3, 4, 5, 6, 7, 0.5}}};
  PlanTestOutput o;
  o.tensor = "o";
  o.values.assign(16, 0.25);
  o.values[3] = -std::numeric_limits<double>::infinity();
  o.relative2 = 0.01;
  test.outputs = {o};
  plan.selfTest = test;
  return plan;
}

std::string readError(const std::string &text) {
  Result<Plan> plan = parsePlan(text, nullptr);
  return plan ? "no error" : plan.error().message;
}

std::string validateError(const std::function<void(Plan &)> &edit) {
  Plan plan = smallPlan();
  edit(plan);
  Status status = validatePlan(plan);
  // Whatever the validator refuses is not written either.
  EXPECT_EQ(planToText(plan).ok(), status.ok());
  return status ? "no error" : status.error().message;
}

} // namespace

TEST(Plan, RoundTripThroughText) {
  Plan plan = smallPlan();
  plan.modules[0].cubins = {{"sm_80", std::string("\x7f"
                                                  "ELF\0\xff",
                                                  6)}};
  plan.entries[0].launches[0].args.push_back(PlanArg::f32(-std::numeric_limits<float>::infinity()));
  plan.entries[0].launches[0].args.push_back(PlanArg::f32(0.1f));
  Result<std::string> text = planToText(plan);
  ASSERT_TRUE(text.ok()) << text.error().message;
  Result<Plan> again = parsePlan(*text, nullptr);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(*planToText(*again), *text);
  ASSERT_EQ(again->modules[0].cubins.size(), 1u);
  EXPECT_EQ(again->modules[0].cubins[0].bytes, plan.modules[0].cubins[0].bytes);
  EXPECT_EQ(again->axes[5].staticSize, 8);
  EXPECT_EQ(again->axes[2].relation, "S keys T");
  EXPECT_EQ(again->tensors[0].dims[2].factors, (std::vector<std::string>{"Hk", "G"}));
  EXPECT_EQ(again->tensors[2].role, TensorRole::Param);
  EXPECT_EQ(again->entries[0].workspaces[0].init, WorkspaceInit::Zero);
  EXPECT_EQ(again->entries[0].launches[0].args.back().number, 0.1f);
  EXPECT_TRUE(std::isinf(again->entries[0].launches[0].args[11].number));
  EXPECT_EQ(again->entries[1].guard.text(), "stride(q, D) == 1");
}

TEST(Plan, EachPlanHasTheOldestVersionThatCanSayIt) {
  auto versionOf = [](const std::function<void(Plan &)> &edit) {
    Plan plan = smallPlan();
    edit(plan);
    Result<std::string> text = planToText(plan);
    EXPECT_TRUE(text.ok()) << text.error().message;
    Result<Plan> again = parsePlan(*text, nullptr);
    EXPECT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(*planToText(*again), *text);
    int version = Json::parse(*text)["fovea_plan"].get<int>();
    EXPECT_EQ(version, planVersion(plan));
    return version;
  };
  EXPECT_EQ(versionOf([](Plan &) {}), 1);
  EXPECT_EQ(versionOf([](Plan &p) { p.tensors[2].optional = true; }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.axes[4].derived = expr("T"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.entries[1].prefer = expr("T < 64"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.entries[1].prefer = expr("0"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.entries[1].guard = expr("present(q)"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.entries[1].workspaces[0].bytes = expr("4 * present(q)"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.entries[1].launches[0].grid[0] = expr("1 + present(q)"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.entries[1].launches[0].args[2].expr = expr("present(q)"); }), 2);
  EXPECT_EQ(versionOf([](Plan &p) { p.tensors[2].role = TensorRole::Carry; }), 3);
  EXPECT_EQ(versionOf([](Plan &p) {
              p.tensors[2].role = TensorRole::Carry;
              p.tensors[2].optional = true;
            }),
            3);
  EXPECT_EQ(versionOf([](Plan &p) { p.modules[0].cubins = {{"sm_80", "x"}}; }), 1);
  EXPECT_EQ(versionOf([](Plan &p) { p.modules[0].cubins = {{"sm_90", "x"}}; }), 4);
  EXPECT_EQ(versionOf([](Plan &p) { p.modules[0].cubins = {{"sm_80", "x"}, {"sm_90", "y"}}; }), 4);
  EXPECT_EQ(versionOf([](Plan &p) {
              p.modules[0].cubins = {{"sm_80", "x"}};
              p.modules[0].ptx.clear();
            }),
            4);
  EXPECT_EQ(versionOf([](Plan &p) { p.selfTest = richPlan().selfTest; }), 4);
  EXPECT_EQ(versionOf([](Plan &p) { p.promises = {{"q", "", "", -1.5, 2, true, false}}; }), 5);
  Plan plan = smallPlan();
  plan.tensors[2].optional = true;
  plan.entries[0].prefer = expr("T < 64");
  Result<Plan> again = parsePlan(*planToText(plan), nullptr);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->tensors[2].optional);
  EXPECT_FALSE(again->tensors[0].optional);
  EXPECT_EQ(again->entries[0].prefer.text(), "T < 64");
  EXPECT_EQ(again->entries[1].prefer.text(), "1");
}

TEST(Plan, WritesPtxBesideItAsText) {
  Folder folder;
  Plan plan = smallPlan();
  ASSERT_TRUE(writePlan(plan, folder / "p").ok());
  EXPECT_EQ(slurp(folder / "p.ptx"), plan.modules[0].ptx);
  Result<Plan> again = readPlan(folder / "p.json");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(*planToText(*again), *planToText(plan));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path), {}), 2) << "temporary files are left";

  plan.modules.push_back({"second", "// other\n", {{"sm_80", "binary"}}});
  ASSERT_TRUE(writePlan(plan, folder / "r").ok());
  EXPECT_EQ(slurp(folder / "r.second.ptx"), "// other\n");
  EXPECT_EQ(slurp(folder / "r.second.cubin"), "binary");
  ASSERT_TRUE(readPlan(folder / "r.json").ok());
}

TEST(Plan, MachineCodeOfSeveralArchitectures) {
  Folder folder;
  Plan plan = richPlan();
  ASSERT_TRUE(writePlan(plan, folder / "p").ok());
  EXPECT_EQ(slurp(folder / "p.sm_80.cubin"), "code of 80");
  EXPECT_EQ(slurp(folder / "p.sm_90.cubin"), "code of 90");
  Result<Plan> again = readPlan(folder / "p.json");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(*planToText(*again), *planToText(plan));
  plan.modules[0].ptx.clear();
  ASSERT_TRUE(writePlan(plan, folder / "r").ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "r.ptx"));
  again = readPlan(folder / "r.json");
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->modules[0].ptx, "");
  EXPECT_EQ(again->modules[0].cubins[1].arch, "sm_90");
  EXPECT_EQ(*planToText(*again), *planToText(plan));
  put(folder / "p.sm_90.cubin", "code of 91");
  again = readPlan(folder / "p.json");
  ASSERT_FALSE(again.ok());
  EXPECT_CONTAINS(again.error().message, "p.sm_90.cubin is not the file that was written with this plan");

  for (auto [arch, sm, runs] : {std::tuple("sm_80", 80, true),
                                {"sm_80", 86, true},
                                {"sm_86", 80, false},
                                {"sm_80", 90, false},
                                {"sm_90", 80, false},
                                {"sm_90a", 90, true},
                                {"sm_100a", 103, false},
                                {"sm_100f", 103, true},
                                {"sm_100", 100, true},
                                {"sm_120", 121, true},
                                {"x", 80, false}})
    EXPECT_EQ(cubinRunsOn(arch, sm), runs) << arch << " " << sm;
}

TEST(Plan, AFileThatIsNamedManyTimesIsNotReadForEver) {
  std::string code(size_t{60} << 20, 'x');
  Json json = Json::parse(*planToText(richPlan()));
  json["modules"][0]["cubins"] = Json::array();
  for (int arch = 80; arch < 100; ++arch)
    json["modules"][0]["cubins"].push_back(
        {{"arch", "sm_" + std::to_string(arch)}, {"file", "large"}, {"hash", hashText(code)}});
  json.erase("content_hash");
  json["content_hash"] = hashText(json.dump());
  int reads = 0;
  Result<Plan> plan = parsePlan(json.dump(), [&](const std::string &) -> Result<std::string> {
    ++reads;
    return code;
  });
  ASSERT_FALSE(plan.ok());
  EXPECT_CONTAINS(plan.error().message, "the files beside this plan hold more than 256 MiB");
  EXPECT_EQ(reads, 5);
}

TEST(Plan, Promises) {
  auto refused = [](const PlanPromise &promise) {
    return validateError([&](Plan &p) {
      p.tensors.push_back({"starts", TensorRole::Input, StorageType::I32, {{"S", {"S"}}}});
      p.promises = {promise};
    });
  };
  EXPECT_EQ(refused({"starts", "S", "T", {}, {}}), "no error");
  EXPECT_EQ(refused({"q", "", "", 0, {}}), "no error");
  EXPECT_CONTAINS(refused({"z", "", "", 0, {}}), "promise of `z`: no input of the plan");
  EXPECT_CONTAINS(refused({"o", "", "", 0, {}}), "promise of `o`: no input of the plan");
  EXPECT_CONTAINS(refused({"q", "", "", {}, {}}), "neither a range nor offsets");
  EXPECT_CONTAINS(refused({"q", "", "T", 0, {}}), "lengths without rows");
  EXPECT_CONTAINS(refused({"q", "", "", std::nan(""), {}}), "a bound is not finite");
  EXPECT_CONTAINS(refused({"starts", "S", "T", 0, {}}), "a range and offsets");
  EXPECT_CONTAINS(refused({"q", "S", "T", {}, {}}), "offsets are i32 of one dimension");
  EXPECT_CONTAINS(refused({"starts", "Z", "T", {}, {}}), "`Z` is no axis");

  auto unread = [](const char *promise) {
    Json json = Json::parse(*planToText(smallPlan()));
    json["fovea_plan"] = 5;
    json["promises"] = Json::array({Json::parse(promise)});
    json.erase("content_hash");
    json["content_hash"] = hashText(json.dump(-1, ' ', false, Json::error_handler_t::replace));
    Result<Plan> plan = parsePlan(json.dump(), nullptr);
    return plan ? std::string("no error") : plan.error().message;
  };
  EXPECT_EQ(unread(R"({"tensor": "q", "above": 0, "most": 2})"), "no error");
  EXPECT_CONTAINS(unread(R"({"tensor": "q", "above": 0, "least": 2})"), "one of `least` and `above`");
  EXPECT_CONTAINS(unread(R"({"tensor": "q", "rows": "S"})"), "expected `rows` and `longest`");
  EXPECT_CONTAINS(unread(R"({"tensor": "q", "most": true})"), "promises[0].most");
  EXPECT_CONTAINS(unread(R"({"tensor": "q", "max": 1})"), "unknown key `max`");
}

TEST(Plan, SelfTests) {
  Plan plan = richPlan();
  std::string text = *planToText(plan);
  Result<Plan> again = parsePlan(text, nullptr);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(*planToText(*again), text);
  ASSERT_TRUE(again->selfTest);
  EXPECT_EQ(again->selfTest->seed, 7u);
  EXPECT_EQ(again->selfTest->axes[1].second, 2);
  EXPECT_TRUE(again->selfTest->inputs[0].values.empty());
  EXPECT_EQ(again->selfTest->inputs[2].values[7], 0.5);
  EXPECT_TRUE(std::isinf(again->selfTest->outputs[0].values[3]));
  EXPECT_EQ(again->selfTest->outputs[0].relative2, 0.01);

  auto refused = [](const std::function<void(PlanSelfTest &)> &edit) {
    return validateError([&](Plan &p) {
      p.selfTest = richPlan().selfTest;
      edit(*p.selfTest);
    });
  };
  EXPECT_EQ(refused([](PlanSelfTest &) {}), "no error");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.seed = ~uint64_t{0}; }), "the seed is not below 2^53");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes[0].first = "Z"; }), "axis `Z` is no axis of the plan");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes[0].first = "D"; }),
                  "axis `D` is no axis of the plan whose size");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes[0].first = "T"; }), "axis `T` occurs twice");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes[0].second = int64_t{1} << 40; }), "axis `B` has size 1099");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.axes[0].second = 0; }), "axis `B` has size 0");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.inputs[0].tensor = "o"; }), "input `o` is no input of the plan");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.inputs[0].tensor = "k"; }), "input `k` occurs twice");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.inputs.pop_back(); }), "input `w` is not given");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.inputs[2].values[0] = std::nan(""); }), "value that is not finite");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.inputs[2].values.resize(70000); }), "more than 65536 values");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs.clear(); }), "0 outputs of the self-test");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs[0].tensor = "q"; }), "output `q` is no output of the plan");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs.push_back(t.outputs[0]); }), "output `o` occurs twice");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs[0].values.clear(); }), "output `o` has no values");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs[0].values[0] = std::nan(""); }), "that is not a number");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) { t.outputs[0].relative2 = 2; }), "a tolerance must be 0 to 1");
  EXPECT_CONTAINS(refused([](PlanSelfTest &t) {
                    t.outputs[0].relative2 = -1;
                    t.outputs[0].absolute = std::numeric_limits<double>::infinity();
                  }),
                  "a tolerance must be 0 to 1");
  EXPECT_CONTAINS(validateError([](Plan &p) { p.modules[0].cubins = {{"sm_9x", "y"}}; }), "not of the form sm_80");
  EXPECT_CONTAINS(validateError([](Plan &p) { p.modules[0].cubins = {{"sm_90", ""}}; }), "`sm_90` is empty");
  EXPECT_CONTAINS(validateError([](Plan &p) {
                    p.modules[0].cubins.resize(2, {"sm_90", "y"});
                  }),
                  "`sm_90` occurs twice");
  EXPECT_CONTAINS(validateError([](Plan &p) {
                    p.modules[0].cubins.resize(40, {"sm_90", "y"});
                  }),
                  "40 cubins of module");

  auto unread = [](const std::function<void(Json &)> &edit) {
    Json json = Json::parse(*planToText(richPlan()));
    edit(json);
    Json body = json;
    body.erase("content_hash");
    json["content_hash"] = hashText(body.dump());
    return readError(json.dump());
  };
  auto output = [](Json &j) -> Json & { return j["self_test"]["outputs"][0]; };
  EXPECT_EQ(unread([](Json &) {}), "no error");
  EXPECT_CONTAINS(unread([](Json &j) { j.erase("self_test"), j["modules"][0].erase("cubins"); }),
                  "says version 4, but is one of version 1");
  EXPECT_CONTAINS(unread([](Json &j) { j["fovea_plan"] = 3; }), "says version 3, but is one of version 4");
  EXPECT_CONTAINS(unread([](Json &j) { j["self_test"]["seed"] = -1; }), "self_test.seed: expected a whole number");
  EXPECT_CONTAINS(unread([](Json &j) { j["self_test"].erase("axes"); }), "self_test: no `axes`");
  EXPECT_CONTAINS(unread([](Json &j) { j["self_test"]["axes"][0]["x"] = 1; }), "unknown key `x`");
  EXPECT_CONTAINS(unread([](Json &j) { j["self_test"]["axes"][0]["size"] = 1e9; }), "size: expected a whole number");
  EXPECT_CONTAINS(unread([](Json &j) { j["self_test"]["inputs"][0]["values"] = Json::array(); }), "an empty list");
  EXPECT_CONTAINS(unread([](Json &j) { j["self_test"]["inputs"][0]["rule"] = "x"; }), "unknown key `rule`");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j)["values"] = Json::array(); }), "an empty list");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j)["values"][0] = "nan"; }), "values[0]: expected a number");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j)["values"][0] = 1e300; }), "values[0]: does not fit 32 bits");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j)["absolute"] = 0; }), "expected `relative_2norm`, or `absolute` and");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j).erase("relative_2norm"); }), "expected `relative_2norm`, or");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j)["relative_2norm"] = "inf"; }), "relative_2norm: expected 0 to 1");
  EXPECT_CONTAINS(unread([&](Json &j) { output(j)["relative_2norm"] = -0.5; }), "relative_2norm: expected 0 to 1");
  auto module = [](Json &j) -> Json & { return j["modules"][0]; };
  EXPECT_CONTAINS(unread([&](Json &j) { module(j)["cubin_hex"] = "00"; }), "or `cubins`");
  EXPECT_CONTAINS(unread([&](Json &j) { module(j)["cubins"].erase(1); }), "`cubins` of the target alone is said by");
  EXPECT_CONTAINS(unread([&](Json &j) { module(j)["cubins"][0].erase("hex"); }),
                  "expected `hex`, or `file` and `hash`");
  EXPECT_CONTAINS(unread([&](Json &j) { module(j)["cubins"][0]["hex"] = "0"; }), "expected pairs of digits");
  EXPECT_CONTAINS(unread([&](Json &j) {
                    module(j)["cubins"][0] = {{"arch", "sm_80"}, {"file", "../x"}, {"hash", "y"}};
                  }),
                  "cubins[0].file: expected a plain file name");
  EXPECT_CONTAINS(unread([&](Json &j) { module(j).erase("ptx"), module(j).erase("cubins"); }), "expected `ptx`, or");
}

TEST(Plan, DamageToFilesIsFound) {
  Folder folder;
  ASSERT_TRUE(writePlan(smallPlan(), folder / "p").ok());
  put(folder / "p.ptx", slurp(folder / "p.ptx") + " ");
  Result<Plan> plan = readPlan(folder / "p.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_CONTAINS(plan.error().message, "p.ptx is not the file that was written with this plan");
  EXPECT_EQ(plan.error().code, ErrorCode::Corrupt);
  std::filesystem::remove(folder / "p.ptx");
  plan = readPlan(folder / "p.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::NotFound);
  plan = readPlan(folder / "absent.json");
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::NotFound);
  EXPECT_CONTAINS(plan.error().message, "absent.json");
  plan = readPlan(folder.path);
  ASSERT_FALSE(plan.ok());
  EXPECT_CONTAINS(plan.error().message, "not a regular file");
}

TEST(Plan, UnwritableOutputLeavesTheOldFiles) {
  Folder folder;
  Plan plan = smallPlan();
  ASSERT_TRUE(writePlan(plan, folder / "p").ok());
  std::string json = slurp(folder / "p.json"), ptx = slurp(folder / "p.ptx");
  plan.modules[0].ptx += "// newer\n";
  // A folder in the place of the last file makes its rename fail; this holds for every user, root too.
  Status status = writePlan(plan, folder / "absent/p");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::NotFound);
  plan.modules[0].ptx = "\x01";
  EXPECT_FALSE(writePlan(plan, folder / "p").ok());
  EXPECT_EQ(slurp(folder / "p.json"), json);
  EXPECT_EQ(slurp(folder / "p.ptx"), ptx);
  std::filesystem::create_directory(folder / "d.json");
  EXPECT_FALSE(writePlan(smallPlan(), folder / "d").ok());
  EXPECT_TRUE(std::filesystem::is_directory(folder / "d.json"));
  for (const auto &entry : std::filesystem::directory_iterator(folder.path))
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
  EXPECT_FALSE(writePlan(smallPlan(), folder / "").ok());
  EXPECT_FALSE(writePlan(smallPlan(), folder / ".hidden").ok());
}

TEST(Plan, EveryTruncationIsRefused) {
  std::string text = *planToText(smallPlan());
  // The last character is a line feed, which may be missing.
  for (size_t length = 0; length + 1 < text.size(); ++length)
    ASSERT_FALSE(parsePlan(text.substr(0, length), nullptr).ok()) << length;
}

TEST(Plan, EveryEditedDigitIsFound) {
  std::string text = *planToText(smallPlan());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9')
      continue;
    std::string other = text;
    other[i] = other[i] == '9' ? '8' : static_cast<char>(other[i] + 1);
    ASSERT_FALSE(parsePlan(other, nullptr).ok()) << text.substr(i > 20 ? i - 20 : 0, 40);
  }
}

TEST(Plan, ForeignDocuments) {
  EXPECT_CONTAINS(readError("hello"), "not JSON");
  EXPECT_CONTAINS(readError("{}"), "no Fovea plan");
  EXPECT_CONTAINS(readError("[1]"), "no Fovea plan");
  EXPECT_CONTAINS(readError("null"), "no Fovea plan");
  EXPECT_CONTAINS(readError("{\"fovea_plan\": 6}"), "version 6; this library reads versions 1 to 5");
  EXPECT_CONTAINS(readError("{\"fovea_plan\": 0}"), "version 0; this library reads versions 1 to 5");
  EXPECT_EQ(parsePlan("{\"fovea_plan\": 6}", nullptr).error().code, ErrorCode::Unsupported);
  EXPECT_CONTAINS(readError("{\"fovea_plan\": \"1\"}"), "this library reads versions 1 to 5");
  EXPECT_CONTAINS(readError("{\"fovea_plan\": 1}"), "no `content_hash`");
  EXPECT_CONTAINS(readError("{\"a\": 1, \"a\": 2}"), "`a` occurs twice");
  EXPECT_CONTAINS(readError(std::string(100000, '[')), "nested");
  EXPECT_CONTAINS(readError(std::string((16 << 20) + 1, ' ')), "longer than 16 MiB");
  EXPECT_CONTAINS(readError("{\"fovea_plan\": \"\xff\"}"), "not JSON");
  std::string text = *planToText(smallPlan());
  text.replace(text.find("16-byte"), 7, "17-byte");
  EXPECT_CONTAINS(readError(text), "content hash does not match");
}

TEST(Plan, MessagesOfTheReader) {
  auto error = [](const std::function<void(Json &)> &edit) { return readError(edited(edit)); };
  EXPECT_EQ(error([](Json &) {}), "no error");
  EXPECT_CONTAINS(error([](Json &j) { j["extra"] = 1; }), "unknown key `extra`");
  EXPECT_CONTAINS(error([](Json &j) { j["spec"] = 1; }), "spec: expected a string");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"] = 1; }), "axes: expected a list");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"] = Json::array({Json::array()}); }), "axes[0]: expected an object");
  EXPECT_CONTAINS(error([](Json &j) {
                    for (int i = 0; i < 70; ++i)
                      j["axes"].push_back({{"name", "x"}});
                  }),
                  "76 items; at most 64");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"][0].erase("name"); }), "axes[0]: no `name`");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"][0]["size"] = 0; }), "axes[0].size: expected a whole number from 1");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"][0]["size"] = 1.5; }), "expected a whole number");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"][0]["size"] = 18446744073709551615u; }), "expected a whole number");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][0]["type"] = "f64"; }), "`f64` is not one of f32, f16, bf16, i32");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][0]["role"] = "carried"; }),
                  "tensors[0].role: `carried` is not known");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][0]["shape"].erase(0); }), "one item for each of `dims`");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][0]["shape"][0] = "B"; }), "tensors[0].shape[0]: expected a list");
  EXPECT_CONTAINS(error([](Json &j) { j["entries"][0]["guard"] = "1 +"; }), "entries[0].guard: in `1 +`, column 4");
  EXPECT_CONTAINS(error([](Json &j) { j["entries"][0]["guard"] = 1; }), "entries[0].guard: expected a string");
  EXPECT_CONTAINS(error([](Json &j) { j["entries"][0]["workspaces"][0]["init"] = "ones"; }), "`ones` is not known");
  auto launch = [](Json &j) -> Json & { return j["entries"][0]["launches"][0]; };
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["grid"].erase(0); }), "grid: expected three expressions");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["grid"][0] = 1; }), "grid: expected a string");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["block"].erase(0); }), "block: expected three numbers");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["block"][0] = -1; }), "block: expected a whole number from 1 to 1024");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["shared_bytes"] = 1 << 30; }),
                  "shared_bytes: expected a whole number");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["module"] = -1; }), "module: expected a whole number");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["args"][0] = Json::object(); }),
                  "expected one of pointer, i64, i32, f32");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["args"][0] = {{"i32", "1"}, {"i64", "1"}}; }), "expected one of");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["args"][0] = {{"u8", "1"}}; }), "unknown key `u8`");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["args"][0] = {{"f32", "nan"}}; }), "expected a number");
  EXPECT_CONTAINS(error([&](Json &j) { launch(j)["args"][0] = {{"f32", 1e300}}; }), "does not fit 32 bits");
  EXPECT_CONTAINS(error([](Json &j) { j["signature"] = "0"; }), "the signature does not belong to these tensors");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][2]["optional"] = true; }),
                  "says version 1, but is one of version 2");
  EXPECT_CONTAINS(error([](Json &j) { j["fovea_plan"] = 2; }), "says version 2, but is one of version 1");
  EXPECT_CONTAINS(error([](Json &j) { j["fovea_plan"] = 3; }), "says version 3, but is one of version 1");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][2]["role"] = "carry"; }), "says version 1, but is one of version 3");
  EXPECT_CONTAINS(error([](Json &j) {
                    j["fovea_plan"] = 3;
                    j["tensors"][2]["role"] = "carry";
                  }),
                  "the signature does not belong to these tensors");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][2]["optional"] = false; }), "tensors[2].optional: expected true");
  EXPECT_CONTAINS(error([](Json &j) { j["tensors"][2]["optional"] = 1; }), "tensors[2].optional: expected true");
  EXPECT_CONTAINS(error([](Json &j) { j["axes"][4]["derived"] = "1 +"; }), "axes[4].derived: in `1 +`, column 4");
  EXPECT_CONTAINS(error([](Json &j) { j["entries"][0]["prefer"] = "1 +"; }), "entries[0].prefer: in `1 +`, column 4");
  auto module = [](Json &j) -> Json & { return j["modules"][0]; };
  EXPECT_CONTAINS(error([&](Json &j) { module(j).erase("ptx"); }), "expected `ptx`, or `ptx_file` and `ptx_hash`");
  EXPECT_CONTAINS(error([&](Json &j) { module(j)["ptx_file"] = "x"; }), "expected `ptx`, or");
  EXPECT_CONTAINS(error([&](Json &j) { module(j)["cubin_hash"] = "x"; }), "expected `ptx`, or");
  EXPECT_CONTAINS(error([&](Json &j) { module(j)["cubin_hex"] = "0"; }), "expected pairs of digits");
  EXPECT_CONTAINS(error([&](Json &j) { module(j)["cubin_hex"] = "zz"; }), "expected pairs of digits");
  EXPECT_CONTAINS(error([&](Json &j) {
                    module(j) = {{"name", "m"}, {"ptx_file", "x"}, {"ptx_hash", "y"}};
                  }),
                  "has no files beside it");
  for (const char *name : {"", "../x", "/etc/passwd", ".", "a\\b", ".hidden"})
    EXPECT_CONTAINS(error([&](Json &j) {
                      module(j) = {{"name", "m"}, {"ptx_file", name}, {"ptx_hash", "y"}};
                    }),
                    "expected a plain file name");
}

TEST(Plan, MessagesOfTheValidator) {
  auto error = validateError;
  EXPECT_EQ(error([](Plan &) {}), "no error");
  EXPECT_CONTAINS(error([](Plan &p) { p.producer = std::string(5000, 'x'); }), "the producer is longer");
  EXPECT_CONTAINS(error([](Plan &p) { p.spec = "a b"; }), "spec `a b` is no name");
  for (const char *target : {"", "sm_", "sm_8", "sm_1000", "compute_80", "sm_80x", "sm_08", "sm_a"})
    EXPECT_CONTAINS(error([&](Plan &p) { p.target = target; }), "is not of the form sm_80");
  for (const char *target : {"sm_90a", "sm_100f", "sm_86"})
    EXPECT_EQ(error([&](Plan &p) { p.target = target; }), "no error");
  for (const char *version : {"", "7", "7.", ".0", "7.0.1", "777.0", "x.y"})
    EXPECT_CONTAINS(error([&](Plan &p) { p.ptxVersion = version; }), "is not of the form 7.0");
  EXPECT_CONTAINS(error([](Plan &p) { p.modules.clear(); }), "0 modules; there must be 1 to 64");
  EXPECT_CONTAINS(error([](Plan &p) { p.modules[0].name = "a/b"; }), "module `a/b`: a name has");
  EXPECT_CONTAINS(error([](Plan &p) { p.modules.push_back(p.modules[0]); }), "module `main` occurs twice");
  EXPECT_CONTAINS(error([](Plan &p) { p.modules[0].ptx.clear(); }), "module `main` has neither PTX nor machine code");
  EXPECT_CONTAINS(error([](Plan &p) { p.modules[0].ptx += '\0'; }), "PTX is plain text");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[0].name = "1"; }), "axis `1` is no name");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[0].name = std::string(200, 'x'); }), "...` is no name");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[0].name = "T"; }), "axis `T` occurs twice");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[0].staticSize = 0; }), "axis `B` has size 0");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[0].staticSize = int64_t{1} << 50; }), "axis `B` has size");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[0].relation = std::string(5000, 'x'); }), "the relation of an axis");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[5].derived = expr("T"); }), "`D` has a size of its own and a derived one");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[4].derived = expr("Z"); }), "axis `G`: size `Z`: `Z` is no axis");
  for (const char *text : {"device.sms", "align(q)", "stride(q, D)", "T + present(q)"})
    EXPECT_CONTAINS(error([&](Plan &p) { p.axes[4].derived = expr(text); }), "asks for more than axes");
  EXPECT_CONTAINS(error([](Plan &p) {
                    p.axes[4].derived = expr("T");
                    p.axes[2].derived = expr("G + 1");
                  }),
                  "axis `S`: size `G + 1`: `G` is derived itself");
  EXPECT_CONTAINS(error([](Plan &p) { p.axes[4].derived = expr("G"); }), "`G` is derived itself");
  EXPECT_EQ(error([](Plan &p) { p.axes[4].derived = expr("ceildiv(T, 4)"); }), "no error");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors.clear(); }), "0 tensors");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].name = "q/"; }), "tensor `q/` is no name");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].name = "k"; }), "tensor `k` occurs twice");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].dims.resize(20, p.tensors[0].dims[0]); }),
                  "20 dimensions of tensor `q`");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].dims[0].display = ""; }), "dimension `` is no name");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].dims[0].display = "T"; }), "dimension `T` occurs twice");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].dims[0].factors.clear(); }), "0 factors of a dimension");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].dims[0].factors = {"Z"}; }), "`Z` is no axis of the plan");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[0].dims[0].factors = {"B", "B"}; }), "axis `B` occurs twice");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries.clear(); }), "0 entries");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].guard = expr("Z > 1"); }), "entry 0: guard `Z > 1`: `Z` is no axis");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].guard = expr("stride(z, D)"); }), "`z` is no tensor");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].guard = expr("stride(tmp, D)"); }), "`tmp` is no tensor");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].guard = expr("stride(q, Z)"); }), "tensor `q` has no dimension `Z`");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].guard = expr("align(z)"); }), "`z` is no tensor");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].guard = expr("present(z)"); }), "`z` is no tensor");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].prefer = expr("Z"); }), "entry 0: preference `Z`: `Z` is no axis");
  EXPECT_CONTAINS(error([](Plan &p) { p.tensors[3].optional = true; }), "is an output and cannot be optional");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].reason += '\0'; }), "the reason of an entry");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].launches.clear(); }), "0 launches of entry 0");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].workspaces[0].name = "*"; }), "workspace `*` is no name");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].workspaces.push_back(p.entries[0].workspaces[0]); }),
                  "workspace `tmp` occurs twice");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].workspaces[0].name = "q"; }), "has the name of a tensor");
  EXPECT_CONTAINS(error([](Plan &p) { p.entries[0].workspaces[0].bytes = expr("Z"); }), "bytes `Z`: `Z` is no axis");
  auto launch = [](Plan &p) -> PlanLaunch & { return p.entries[0].launches[0]; };
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).module = 1; }), "module 1 of 1 does not exist");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).kernel = "a-b"; }), "kernel `a-b` is no name");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).grid[1] = expr("Z"); }), "grid `Z`: `Z` is no axis");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).block[0] = 0; }), "a block of 0 threads along x");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).block[2] = 65; }), "a block of 65 threads along z");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).block = {64, 64, 1}; }), "4096 threads per block; at most 1024");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).cluster[0] = 17; }), "a cluster of 17 blocks along x");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).cluster = {8, 4, 1}; }), "32 blocks per cluster; at most 16");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).sharedBytes = 2 << 20; }), "bytes of shared memory");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).args.resize(600, PlanArg::i64(expr("1"))); }),
                  "more than 4096 bytes of parameters");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).args[0].name = "z"; }), "`z` is neither a tensor nor a workspace");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).args[2].expr = expr("Z"); }), "argument `Z`: `Z` is no axis");
  EXPECT_CONTAINS(error([&](Plan &p) { launch(p).args[4].number = std::nanf(""); }), "an argument is not a number");
}

TEST(Plan, SignatureFollowsWhatACallerSees) {
  Plan plan = smallPlan();
  std::string signature = planSignature(plan);
  EXPECT_EQ(signature.size(), 32u);
  Plan other = plan;
  other.entries.pop_back();
  other.modules[0].ptx += "\n";
  EXPECT_EQ(planSignature(other), signature);
  other = plan;
  other.axes[4].derived = expr("T");
  EXPECT_NE(planSignature(other), signature);
  other = plan;
  other.tensors[2].optional = true;
  EXPECT_NE(planSignature(other), signature);
  other = plan;
  other.tensors[2].role = TensorRole::Carry;
  EXPECT_NE(planSignature(other), signature);
  other = plan;
  other.tensors[0].type = StorageType::F16;
  EXPECT_NE(planSignature(other), signature);
  other = plan;
  std::swap(other.tensors[0], other.tensors[1]);
  EXPECT_NE(planSignature(other), signature);
  other = plan;
  other.axes[5].staticSize = 16;
  EXPECT_NE(planSignature(other), signature);
}

// --- The schema file ---

namespace {

/// The patterns of the schema are POSIX ones too; std::regex draws warnings under sanitizers.
bool matches(const std::string &pattern, const std::string &text) {
  regex_t compiled;
  EXPECT_EQ(regcomp(&compiled, pattern.c_str(), REG_EXTENDED | REG_NOSUB), 0) << pattern;
  bool found = regexec(&compiled, text.c_str(), 0, nullptr, 0) == 0;
  regfree(&compiled);
  return found;
}

/// The keywords of JSON Schema that docs/plan.schema.json uses; another keyword is a failure of the test.
class SchemaChecker {
public:
  explicit SchemaChecker(const Json &root) : root_(root) {}

  std::string check(const Json &schema, const Json &value, const std::string &where) {
    for (auto it = schema.begin(); it != schema.end(); ++it) {
      const std::string &key = it.key();
      const Json &rule = it.value();
      std::string bad;
      if (key == "$ref") {
        bad = check(root_["$defs"][rule.get<std::string>().substr(8)], value, where);
      } else if (key == "type") {
        bool fits = rule == "object"    ? value.is_object()
                    : rule == "array"   ? value.is_array()
                    : rule == "string"  ? value.is_string()
                    : rule == "integer" ? value.is_number_integer()
                    : rule == "number"  ? value.is_number()
                                        : false;
        bad = fits ? "" : where + ": not of type " + rule.dump();
      } else if (key == "const") {
        bad = value == rule ? "" : where + ": not " + rule.dump();
      } else if (key == "enum") {
        bad = std::find(rule.begin(), rule.end(), value) != rule.end() ? "" : where + ": not one of " + rule.dump();
      } else if (key == "pattern") {
        bool fits = !value.is_string() || matches(rule.get<std::string>(), value.get<std::string>());
        bad = fits ? "" : where + ": does not match";
      } else if (key == "minimum") {
        bad = value >= rule ? "" : where + ": too small";
      } else if (key == "maximum") {
        bad = value <= rule ? "" : where + ": too large";
      } else if (key == "minItems") {
        bad = value.size() >= rule.get<size_t>() ? "" : where + ": too few items";
      } else if (key == "maxItems") {
        bad = value.size() <= rule.get<size_t>() ? "" : where + ": too many items";
      } else if (key == "maxLength") {
        bad = value.get<std::string>().size() <= rule.get<size_t>() ? "" : where + ": too long";
      } else if (key == "required") {
        for (const Json &name : rule)
          if (!value.contains(name.get<std::string>()))
            bad = where + ": no " + name.dump();
      } else if (key == "properties") {
        for (auto item = value.begin(); value.is_object() && item != value.end() && bad.empty(); ++item)
          if (rule.contains(item.key()))
            bad = check(rule[item.key()], item.value(), where + "." + item.key());
      } else if (key == "additionalProperties") {
        EXPECT_EQ(rule, false);
        for (auto item = value.begin(); value.is_object() && item != value.end(); ++item)
          if (!schema["properties"].contains(item.key()))
            bad = where + ": unknown " + item.key();
      } else if (key == "items") {
        for (size_t i = 0; value.is_array() && i < value.size() && bad.empty(); ++i)
          bad = check(rule, value[i], where + "[" + std::to_string(i) + "]");
      } else if (key == "oneOf") {
        int fitting = 0;
        for (const Json &choice : rule)
          fitting += check(choice, value, where).empty();
        bad = fitting == 1 ? "" : where + ": fits " + std::to_string(fitting) + " of the choices";
      } else if (key != "$schema" && key != "$defs" && key != "title" && key != "description") {
        ADD_FAILURE() << "the schema uses " << key;
      }
      if (!bad.empty())
        return bad;
    }
    return {};
  }

private:
  const Json &root_;
};

} // namespace

TEST(PlanSchema, AgreesWithTheReader) {
  Json schema = Json::parse(slurp(FOVEA_SOURCE_DIR "/docs/plan.schema.json"), nullptr, false);
  ASSERT_FALSE(schema.is_discarded());
  SchemaChecker checker(schema);
  Plan plan = smallPlan();
  Json inlined = Json::parse(*planToText(plan));
  EXPECT_EQ(checker.check(schema, inlined, "plan"), "");
  Folder folder;
  plan.modules.push_back({"second", "//\n", {{"sm_80", "cubin"}}});
  plan.tensors[2].role = TensorRole::Carry;
  plan.entries[0].launches[0].args.push_back(PlanArg::f32(std::numeric_limits<float>::infinity()));
  ASSERT_TRUE(writePlan(plan, folder / "p").ok());
  EXPECT_EQ(checker.check(schema, Json::parse(slurp(folder / "p.json")), "plan"), "");

  Json rich = Json::parse(*planToText(richPlan()));
  EXPECT_EQ(checker.check(schema, rich, "plan"), "");
  Plan promising = smallPlan();
  promising.tensors[2].type = StorageType::I32;
  promising.promises = {{"q", "", "", -1, 2, true, true}, {"w", "S", "T", {}, {}}};
  EXPECT_EQ(checker.check(schema, Json::parse(*planToText(promising)), "plan"), "");
  ASSERT_TRUE(writePlan(richPlan(), folder / "r").ok());
  EXPECT_EQ(checker.check(schema, Json::parse(slurp(folder / "r.json")), "plan"), "");
  for (const char *key : {"seed", "axes", "inputs", "outputs"}) {
    Json bad = rich;
    bad["self_test"].erase(key);
    EXPECT_NE(checker.check(schema, bad, "plan"), "") << key;
  }

  // What the schema refuses, the reader refuses; every key that the reader requires, the schema requires.
  std::vector<std::function<void(Json &)>> faults;
  for (auto it = inlined.begin(); it != inlined.end(); ++it)
    if (it.key() != "content_hash") // which edited() puts back
      faults.push_back([key = it.key()](Json &j) { j.erase(key); });
  for (const char *key : {"guard", "reason", "workspaces", "launches"})
    faults.push_back([key](Json &j) { j["entries"][0].erase(key); });
  for (const char *key : {"module", "kernel", "grid", "block", "shared_bytes", "cluster", "args"})
    faults.push_back([key](Json &j) { j["entries"][0]["launches"][0].erase(key); });
  for (const char *key : {"name", "role", "type", "dims", "shape"})
    faults.push_back([key](Json &j) { j["tensors"][0].erase(key); });
  for (const char *key : {"name", "bytes", "init"})
    faults.push_back([key](Json &j) { j["entries"][0]["workspaces"][0].erase(key); });
  for (const char *place :
       {"/x", "/axes/0/x", "/tensors/0/x", "/entries/0/x", "/entries/0/launches/0/x", "/modules/0/x"})
    faults.push_back([place](Json &j) { j[Json::json_pointer(place)] = 1; });
  faults.push_back([](Json &j) { j["fovea_plan"] = 6; });
  faults.push_back([](Json &j) { j["tensors"][0]["role"] = "carries"; });
  faults.push_back([](Json &j) { j["target"] = "sm80"; });
  faults.push_back([](Json &j) { j["tensors"][0]["type"] = "f8"; });
  faults.push_back([](Json &j) { j["modules"] = Json::array(); });
  faults.push_back([](Json &j) { j["entries"][0]["launches"][0]["block"] = {1, 1}; });
  for (size_t i = 0; i < faults.size(); ++i) {
    Json bad = inlined;
    faults[i](bad);
    EXPECT_NE(checker.check(schema, bad, "plan"), "") << "fault " << i << " passes the schema";
    EXPECT_NE(readError(edited(faults[i])), "no error") << "fault " << i << " passes the reader";
  }
}

TEST(PlanSchema, TheDocumentedExampleIsRead) {
  // docs/plan.md shows a plan between two fences; it must be one.
  std::string page = slurp(FOVEA_SOURCE_DIR "/docs/plan.md");
  size_t begin = page.find("```json\n"), end = page.find("```", begin + 8);
  ASSERT_NE(begin, std::string::npos);
  std::string text = page.substr(begin + 8, end - begin - 8);
  EXPECT_EQ(readError(text), "no error");
}
