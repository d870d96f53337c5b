// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// fovea-mutate: judges all mutants of a plan's kernels on the emulator and prints one line for each class and each
// survivor. The exit status is 1 if a mutant was missed or the original is reported.
#include "test/mutation/Mutate.h"

#include <CLI/CLI.hpp>

#include <atomic>
#include <cstdio>
#include <map>
#include <thread>

using namespace fovea;
using namespace fovea::mutation;

namespace {

int fail(const std::string &message) {
  std::fprintf(stderr, "fovea-mutate: %s\n", message.c_str());
  return 2;
}

} // namespace

int main(int argc, char **argv) {
  std::string file;
  std::vector<std::string> sets, classes;
  uint32_t jobs = 0, randomPolicies = 3, policies = 20, every = 1;
  bool all = false, nonfinite = false;
  CLI::App app{"Judges mutants of a plan's kernels: barriers, waits, guards, bounds, swizzles and offsets."};
  app.add_option("plan", file, "a plan")->required();
  app.add_option("--set", sets, "sizes of axes of one trial: NAME=VALUE,..; several trials may be given")->required();
  app.add_option("--class", classes, "only these: barrier wait commit fence guard bound swizzle offset 'copy size'");
  app.add_option("--jobs", jobs, "host threads; 0: one per core");
  app.add_option("--random", randomPolicies, "random completions of each mutant beside lazy and eager");
  app.add_option("--originals", policies, "random completions of the original");
  app.add_option("--every", every, "judge one mutant of so many only, evenly spread")->check(CLI::Range(1u, 1000000u));
  app.add_flag("--nonfinite", nonfinite, "a second trial of each --set, with infinite values in the last rows");
  app.add_flag("--all", all, "print every mutant");
  CLI11_PARSE(app, argc, argv);

  auto plan = runtime::readPlan(file);
  if (!plan)
    return fail(plan.error().message);
  std::vector<Trial> trials;
  for (const std::string &set : sets) {
    Trial t;
    t.randomPolicies = randomPolicies;
    for (size_t at = 0; at < set.size();) {
      const size_t end = std::min(set.find(',', at), set.size()), equal = set.find('=', at);
      if (equal >= end)
        return fail("--set " + set + ": expected NAME=VALUE,..");
      t.sizes[set.substr(at, equal - at)] = std::atoll(set.c_str() + equal + 1);
      at = end + 1;
    }
    trials.push_back(t);
    if (nonfinite) {
      t.nonfinite = true;
      trials.push_back(std::move(t));
    }
  }
  auto judge = Judge::create(*plan, trials, policies);
  if (!judge) {
    std::printf("%s\n", judge.error().message.c_str());
    return 1;
  }
  struct Task {
    uint32_t module;
    Mutant mutant;
    Judgement judgement;
  };
  std::vector<Task> tasks;
  std::map<uint32_t, std::vector<std::string>> kernels;
  for (auto &[module, kernel] : judge->kernels())
    kernels[module].push_back(kernel);
  size_t seen = 0;
  for (auto &[module, names] : kernels)
    for (Mutant &m : mutants(plan->modules[module].ptx, names)) {
      if (!classes.empty() && std::find(classes.begin(), classes.end(), name(m.kind)) == classes.end())
        continue;
      if (isOrder(m.kind) || seen++ % every == 0)
        tasks.push_back({module, std::move(m), {}});
    }
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t n; (n = next++) < tasks.size();)
      tasks[n].judgement = judge->judge(tasks[n].module, tasks[n].mutant);
  };
  std::vector<std::thread> threads;
  for (uint32_t n = 1; n < (jobs ? jobs : std::max(1u, std::thread::hardware_concurrency())); ++n)
    threads.emplace_back(work);
  work();
  for (std::thread &t : threads)
    t.join();

  std::map<Class, std::map<Verdict, int>> table;
  std::map<Verdict, int> total;
  int unexplained = 0;
  for (const Task &t : tasks) {
    ++table[t.mutant.kind][t.judgement.verdict];
    ++total[t.judgement.verdict];
    const bool killed = t.judgement.verdict == Verdict::Reported || t.judgement.verdict == Verdict::Different;
    if (killed && !all)
      continue;
    std::string reason =
        t.judgement.verdict == Verdict::Survives ? judge->reason(t.module, t.mutant) : t.judgement.report;
    if (t.judgement.verdict == Verdict::Survives && reason.empty()) {
      reason = "NO REASON KNOWN";
      ++unexplained;
    }
    std::printf("%s: %s, line %u `%s` %s%s%s\n", name(t.judgement.verdict), name(t.mutant.kind), t.mutant.line,
                t.mutant.original.c_str(), t.mutant.what.c_str(), reason.empty() ? "" : ": ", reason.c_str());
  }
  auto count = [](const std::map<Verdict, int> &m, Verdict v) {
    auto it = m.find(v);
    return it == m.end() ? 0 : it->second;
  };
  std::printf("%-10s %8s %8s %9s %8s %9s\n", "class", "reported", "different", "survives", "missed", "stillborn");
  auto print = [&](const char *title, const std::map<Verdict, int> &m) {
    std::printf("%-10s %8d %8d %9d %8d %9d\n", title, count(m, Verdict::Reported), count(m, Verdict::Different),
                count(m, Verdict::Survives), count(m, Verdict::Missed), count(m, Verdict::Stillborn));
  };
  for (auto &[kind, m] : table)
    print(name(kind), m);
  print("all", total);
  std::printf("survivors without a reason: %d\n", unexplained);
  std::printf("original: clean under lazy, eager and %u random completions, %.2f M lane instructions each\n", policies,
              double(judge->laneInstructions()) * 1e-6);
  return count(total, Verdict::Missed) ? 1 : 0;
}
