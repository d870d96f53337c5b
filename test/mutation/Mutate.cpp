// Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Mutants from the text of PTX, and their runs.
#include "test/mutation/Mutate.h"

#include "runtime/emulator_device/EmulatorDevice.h"
#include "runtime/host/Random.h"

#include <algorithm>
#include <limits>

namespace fovea::mutation {

using emulator::AsyncPolicy;

const char *name(Class kind) {
  static constexpr const char *names[] = {"barrier", "wait",    "commit", "fence",    "guard",
                                          "bound",   "swizzle", "offset", "copy size"};
  return names[int(kind)];
}
const char *name(Verdict verdict) {
  static constexpr const char *names[] = {"reported", "different", "MISSED", "survives", "stillborn"};
  return names[int(verdict)];
}
bool isOrder(Class kind) {
  return kind == Class::Barrier || kind == Class::Wait || kind == Class::Commit || kind == Class::Fence;
}

// --- text ---

namespace {

struct Line {
  std::string indent, guard, opcode, rest; // rest: operands with the semicolon
  bool isStatement() const { return !opcode.empty(); }
};

Line split(const std::string &text) {
  Line l;
  size_t at = text.find_first_not_of(" \t");
  if (at == std::string::npos || text.back() != ';' || text.find(';') != text.size() - 1)
    return l;
  l.indent = text.substr(0, at);
  if (text[at] == '@') {
    const size_t end = text.find_first_of(" \t", at);
    if (end == std::string::npos)
      return l;
    l.guard = text.substr(at, end - at);
    at = text.find_first_not_of(" \t", end);
  }
  if (at == std::string::npos || !std::islower(static_cast<unsigned char>(text[at])))
    return l;
  const size_t end = text.find_first_of(" \t;", at);
  l.opcode = text.substr(at, end - at);
  l.rest = text.substr(end);
  return l;
}

std::string join(const Line &l) { return l.indent + (l.guard.empty() ? "" : l.guard + " ") + l.opcode + l.rest; }

bool startsWith(const std::string &text, std::string_view prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}
bool contains(const std::string &text, std::string_view part) { return text.find(part) != std::string::npos; }

bool isShared(const std::string &opcode) {
  return contains(opcode, ".shared") || startsWith(opcode, "ldmatrix") || startsWith(opcode, "stmatrix");
}
/// What it makes a difference to be before or after.
bool isOrdered(const std::string &opcode) {
  return isShared(opcode) || startsWith(opcode, "ld.global") || startsWith(opcode, "st.global") ||
         startsWith(opcode, "cp.async") || startsWith(opcode, "bar") || startsWith(opcode, "atom") ||
         startsWith(opcode, "red.");
}
bool isControl(const std::string &opcode) {
  return startsWith(opcode, "bra") || startsWith(opcode, "brx") || opcode == "ret" || opcode == "exit";
}

class Maker {
public:
  explicit Maker(std::string_view ptx) {
    for (size_t at = 0; at < ptx.size();) {
      const size_t end = std::min(ptx.find('\n', at), ptx.size());
      lines_.emplace_back(ptx.substr(at, end - at));
      at = end + 1;
    }
    for (const std::string &l : lines_)
      parsed_.push_back(split(l));
  }

  std::vector<Mutant> make(const std::vector<std::string> &kernels) {
    bool inside = false;
    for (size_t n = 0; n < lines_.size(); ++n) {
      const std::string &text = lines_[n];
      if (contains(text, ".entry "))
        inside = std::any_of(kernels.begin(), kernels.end(), [&](const std::string &kernel) {
          return contains(text, ".entry " + kernel + "(") || text.ends_with(".entry " + kernel);
        });
      if (text == "}")
        inside = false;
      if (inside && parsed_[n].isStatement())
        statement(n);
    }
    return std::move(out_);
  }

private:
  std::string module(size_t at, const std::vector<std::string> &with, size_t erased = SIZE_MAX) const {
    std::string out;
    for (size_t n = 0; n < lines_.size(); ++n) {
      if (n == at)
        for (const std::string &l : with)
          out += l + "\n";
      if (n != at && n != erased)
        out += lines_[n] + "\n";
    }
    return out;
  }
  void add(Class kind, size_t at, std::string what, std::string text) {
    Mutant m;
    m.kind = kind;
    m.line = uint32_t(at + 1);
    m.what = std::move(what);
    m.original = lines_[at].substr(parsed_[at].indent.size());
    m.text = std::move(text);
    m.next = nextBarrier(at);
    out_.push_back(std::move(m));
  }
  /// The last mutant is the same as the original unless the guard `condition` holds, after the statements `before`.
  void probe(size_t at, const std::string &before, const std::string &condition, std::string why) {
    out_.back().probe = module(at, {"{ " + before + " " + condition + " trap; }", lines_[at]});
    out_.back().why = std::move(why);
  }
  /// Operands of an mma stand on lines of their own.
  bool entersProduct(size_t at) const {
    const std::string &rest = parsed_[at].rest;
    const size_t open = rest.find('{'), close = rest.find('}');
    if (open == std::string::npos || close == std::string::npos)
      return true;
    for (size_t begin = open + 1; begin < close;) {
      const size_t end = rest.find_first_of(",}", begin);
      const size_t first = rest.find_first_not_of(" \t", begin);
      const std::string name = rest.substr(first, end - first);
      for (const std::string &l : lines_) {
        const size_t start = l.find_first_not_of(" \t");
        if (start != std::string::npos && l[start] == '{' && (contains(l, name + ",") || contains(l, name + "}")))
          return true;
      }
      begin = end + 1;
    }
    return false;
  }
  /// Of a barrier that follows before any access to memory that others touch; 0: none.
  uint32_t nextBarrier(size_t at) const {
    for (size_t n = at + 1; n < lines_.size() && lines_[n] != "}" && !isControl(parsed_[n].opcode); ++n) {
      if (startsWith(parsed_[n].opcode, "bar.sync"))
        return uint32_t(n + 1);
      if (isOrdered(parsed_[n].opcode) && !startsWith(parsed_[n].opcode, "cp.async.commit") &&
          !startsWith(parsed_[n].opcode, "cp.async.wait"))
        return 0;
    }
    return 0;
  }
  void replace(Class kind, size_t at, const Line &with) {
    add(kind, at, "becomes `" + join(with).substr(with.indent.size()) + "`", module(at, {join(with)}));
  }
  void erase(Class kind, size_t at) { add(kind, at, "deleted", module(at, {})); }

  /// To the other side of the nearest instruction that it orders, in straight-line code.
  void move(Class kind, size_t at) {
    for (size_t n = at; n-- > 0;) {
      if (!parsed_[n].isStatement() || isControl(parsed_[n].opcode))
        break;
      if (isOrdered(parsed_[n].opcode)) {
        add(kind, at, "moved before line " + std::to_string(n + 1), module(n, {lines_[at], lines_[n]}, at));
        break;
      }
    }
    for (size_t n = at + 1; n < lines_.size(); ++n) {
      if (!parsed_[n].isStatement() || isControl(parsed_[n].opcode))
        break;
      if (isOrdered(parsed_[n].opcode)) {
        add(kind, at, "moved behind line " + std::to_string(n + 1), module(n, {lines_[n], lines_[at]}, at));
        break;
      }
    }
  }

  void statement(size_t at) {
    const Line &l = parsed_[at];
    const std::string &op = l.opcode;
    if (startsWith(op, "bar.") || startsWith(op, "barrier.")) {
      erase(Class::Barrier, at);
      move(Class::Barrier, at);
    } else if (op == "cp.async.wait_group" || op == "cp.async.wait_all") {
      erase(Class::Wait, at);
      move(Class::Wait, at);
      Line weaker = l;
      const int groups = op == "cp.async.wait_all" ? -1 : std::atoi(l.rest.c_str());
      weaker.opcode = "cp.async.wait_group";
      weaker.rest = " \t" + std::to_string(groups + 1) + ";";
      replace(Class::Wait, at, weaker);
    } else if (op == "cp.async.commit_group") {
      erase(Class::Commit, at);
      move(Class::Commit, at);
      add(Class::Commit, at, "doubled", module(at, {lines_[at], lines_[at]}));
    } else if (startsWith(op, "fence") || startsWith(op, "membar")) {
      erase(Class::Fence, at);
    }
    if (!l.guard.empty()) {
      Line other = l;
      const std::string opposite = l.guard[1] == '!' ? "@" + l.guard.substr(2) : "@!" + l.guard.substr(1);
      if (op == "bra" || op == "bra.uni") {
        erase(Class::Guard, at);
        probe(at, "", l.guard, "its predicate never holds in these shapes");
      }
      other.guard.clear();
      replace(Class::Guard, at, other);
      probe(at, "", opposite, "its predicate always holds in these shapes");
      other.guard = opposite;
      replace(Class::Guard, at, other);
    }
    if (startsWith(op, "setp.")) {
      static constexpr std::pair<const char *, const char *> swaps[] = {
          {".lt.", ".le."}, {".le.", ".lt."}, {".gt.", ".ge."}, {".ge.", ".gt."}, {".eq.", ".ne."}, {".ne.", ".eq."}};
      for (auto [from, to] : swaps)
        if (contains(op, from)) {
          Line other = l;
          other.opcode.replace(op.find(from), 4, to);
          replace(Class::Bound, at, other);
          // %p, %a, %b
          const size_t first = l.rest.find(',');
          std::string equal = op;
          equal.replace(op.find(from), 4, ".eq.");
          if (from != std::string_view(".eq.") && from != std::string_view(".ne.") && first != std::string::npos &&
              !contains(l.rest, "|"))
            probe(at, ".reg .pred fovea_equal; " + equal + " fovea_equal" + l.rest.substr(first), "@fovea_equal",
                  "its two sides are never equal in these shapes");
          break;
        }
    }
    if (startsWith(op, "xor.b32")) {
      Line other = l;
      const size_t comma = l.rest.find_last_of(',');
      other.rest = l.rest.substr(0, comma) + ", 0;";
      replace(Class::Swizzle, at, other);
      const std::string last = l.rest.substr(l.rest.find_first_not_of(" \t", comma + 1));
      if (std::isdigit(static_cast<unsigned char>(last[0]))) {
        other.rest =
            l.rest.substr(0, comma) + ", " + std::to_string(std::atoll(last.c_str()) ^ (last == "1;" ? 2 : 1)) + ";";
        replace(Class::Swizzle, at, other);
      }
    }
    if (isShared(op) && !startsWith(op, "cvta")) {
      const size_t open = l.rest.find('['), close = l.rest.find(']');
      if (open != std::string::npos && close != std::string::npos) {
        const std::string address = l.rest.substr(open + 1, close - open - 1);
        const size_t plus = address.find('+');
        const std::string base = address.substr(0, plus);
        const int64_t offset = plus == std::string::npos ? 0 : std::atoll(address.c_str() + plus + 1);
        auto with = [&](int64_t o) {
          Line other = l;
          other.rest = l.rest.substr(0, open + 1) + base + (o ? "+" + std::to_string(o) : "") + l.rest.substr(close);
          replace(Class::Offset, at, other);
          out_.back().entersProduct = !startsWith(op, "ldmatrix") || entersProduct(at);
        };
        with(offset + 16);
        if (offset)
          with(0);
      }
    }
    if (startsWith(op, "cp.async.c")) {
      const size_t close = l.rest.find_last_of(']');
      const std::string tail = l.rest.substr(close + 1); // ", 16, %r192;"
      const size_t second = tail.find(',', 1);
      if (second != std::string::npos) {
        Line other = l;
        other.rest = l.rest.substr(0, close + 1) + tail.substr(0, second) + ";";
        replace(Class::CopySize, at, other);
        const std::string size = tail.substr(second + 1, tail.size() - second - 2);
        probe(at, ".reg .pred fovea_part; setp.ne.u32 fovea_part, " + size + "," + tail.substr(1, second - 1) + ";",
              "@fovea_part", "the source is always whole in these shapes");
      }
    }
  }

  std::vector<std::string> lines_;
  std::vector<Line> parsed_;
  std::vector<Mutant> out_;
};

} // namespace

std::vector<Mutant> mutants(std::string_view ptx, const std::vector<std::string> &kernels) {
  return Maker(ptx).make(kernels);
}

// --- runs ---

Judge::Run Judge::run(const runtime::Plan &plan, const Prepared &prepared, emulator::Checks checks, AsyncPolicy policy,
                      uint64_t seed, uint64_t budget, bool counters) {

  Run out;
  runtime::EmulatorDeviceOptions options;
  options.emulator.checks = checks;
  options.emulator.policy = policy;
  options.emulator.seed = seed;
  options.emulator.threads = 1;
  options.emulator.counters = counters;
  if (budget)
    options.emulator.instructionBudget = budget;
  options.failOnFindings = false;
  auto device = runtime::EmulatorDevice::create(options);
  if (!device) {
    out.stillborn = true;
    out.report = device.error().message;
    return out;
  }
  auto loaded = runtime::LoadedPlan::load(plan, **device);
  if (!loaded) {
    out.stillborn = true;
    out.report = loaded.error().message;
    return out;
  }
  runtime::ExecuteRequest request;
  for (auto &[name, array] : prepared.inputs)
    request.inputs[name] = &array;
  request.axes = prepared.trial.sizes;
  auto result = runtime::execute(*loaded, request);
  for (const auto &launch : (*device)->reports()) {
    const emulator::LaunchReport &r = launch.report;
    out.instructions = std::max(out.instructions, r.counters.warpInstructions);
    out.laneInstructions += r.counters.laneInstructions;
    if (counters)
      out.counters.push_back({launch.kernel, r.counters});
    if (r.findingCount && out.report.empty())
      out.report = r.findings.empty() ? "findings" : r.findings[0].format();
  }
  if (!result) {
    if (out.report.empty())
      out.report = result.error().message;
    return out;
  }
  out.completed = true;
  for (const auto &launch : result->call.launches)
    out.kernels.push_back({launch.module, launch.kernel});
  for (const auto &[name, array] : result->outputs)
    out.bits.emplace_back(reinterpret_cast<const char *>(array.bytes().data()), array.bytes().size());
  return out;
}

Result<Judge> Judge::create(const runtime::Plan &plan, std::vector<Trial> trials, uint32_t policies) {
  Judge judge;
  judge.plan_ = &plan;
  for (Trial &trial : trials) {
    Prepared p;
    auto axes = runtime::inferAxes(plan, {}, trial.sizes);
    if (!axes)
      return axes.takeError();
    p.trial = trial;
    p.trial.sizes = *axes;
    const runtime::PlanTensor *last = nullptr;
    for (const runtime::PlanTensor &t : plan.tensors)
      if (t.role != runtime::TensorRole::Output)
        last = &t;
    for (const runtime::PlanTensor &t : plan.tensors) {
      if (t.role == runtime::TensorRole::Output)
        continue;
      auto shape = runtime::tensorShape(plan, t, *axes);
      if (!shape)
        return shape.takeError();
      auto array = runtime::Array::create(t.type, *shape);
      if (!array)
        return array.takeError();
      runtime::fillPattern(*array, runtime::InputPattern::Normal, runtime::RandomStream(1, t.name));
      if (trial.nonfinite && array->type() != runtime::StorageType::I32 && shape->size() >= 2) {
        int64_t inner = 1, rows = (*shape)[1];
        for (size_t d = 2; d < shape->size(); ++d)
          inner *= (*shape)[d];
        // Not all of a row, so that it matters which element is met.
        for (int64_t n = 0; n < array->elements(); n += 3)
          if (int64_t row = n / inner % rows; row == rows - 1 || (&t == last && row == rows - 2))
            array->setValue(n, std::numeric_limits<double>::infinity());
      }
      p.inputs.push_back({t.name, std::move(*array)});
    }
    for (uint32_t n = 0; n < policies + 2; ++n) {
      const AsyncPolicy policy = n == 0 ? AsyncPolicy::Lazy : n == 1 ? AsyncPolicy::Eager : AsyncPolicy::Random;
      Run r = run(plan, p, emulator::Checks::all(), policy, n, 0, n == 0);
      const std::string where = n == 0   ? "under lazy completion"
                                : n == 1 ? "under eager completion"
                                         : "under random completion, seed " + std::to_string(n);
      if (!r.report.empty())
        return Error{ErrorCode::LaunchFailed, "the original is reported " + where + ": " + r.report};
      if (n == 0) {
        p.bits = r.bits;
        p.instructions = r.instructions;
        judge.laneInstructions_ += r.laneInstructions;
        for (auto &k : r.kernels) {
          if (std::find(judge.kernels_.begin(), judge.kernels_.end(), k) == judge.kernels_.end())
            judge.kernels_.push_back(k);
          for (auto &[kernel, counters] : r.counters)
            if (kernel == k.second)
              for (auto &[line, c] : counters.lines)
                judge.executed_[{k.first, line}] += c.executed;
        }
      } else if (r.bits != p.bits) {
        return Error{ErrorCode::LaunchFailed, "the original's bits change " + where};
      }
    }
    judge.prepared_.push_back(std::move(p));
  }
  return judge;
}

uint64_t Judge::executed(uint32_t module, uint32_t line) const {
  auto it = executed_.find({module, line});
  return it == executed_.end() ? 0 : it->second;
}

Judgement Judge::judge(uint32_t module, const Mutant &mutant) const {
  runtime::Plan plan = *plan_;
  plan.modules[module].ptx = mutant.text;
  plan.modules[module].cubins.clear();
  bool differs = false, depends = false;
  for (const Prepared &p : prepared_) {
    std::vector<std::string> first;
    for (uint32_t n = 0; n < p.trial.randomPolicies + 2; ++n) {
      const AsyncPolicy policy = n == 0 ? AsyncPolicy::Eager : n == 1 ? AsyncPolicy::Lazy : AsyncPolicy::Random;
      Run r = run(plan, p, p.trial.checks, policy, n, 4 * p.instructions + 10000, false);
      if (r.stillborn)
        return {Verdict::Stillborn, r.report};
      if (!r.report.empty())
        return {Verdict::Reported, r.report};
      differs |= r.bits != p.bits;
      if (n == 0)
        first = std::move(r.bits);
      else
        depends |= r.bits != first;
    }
  }
  if (!differs)
    return {Verdict::Survives, ""};
  return {depends || isOrder(mutant.kind) ? Verdict::Missed : Verdict::Different, ""};
}

std::string Judge::reason(uint32_t module, const Mutant &mutant) const {
  if (!executed(module, mutant.line))
    return "the line is not executed in these shapes";
  if (!mutant.probe.empty()) {
    Mutant probe;
    probe.kind = mutant.kind;
    probe.text = mutant.probe;
    const Judgement j = judge(module, probe);
    if (j.verdict == Verdict::Survives)
      return mutant.why;
    if (j.verdict == Verdict::Stillborn)
      return "the probe does not parse: " + j.report;
  }
  if (mutant.kind == Class::CopySize)
    return "what a copy reads in place of the zeros is a row of the same tensor, and nothing that is kept depends on "
           "it";
  if (mutant.kind == Class::Barrier && mutant.next)
    return "redundant: the barrier at line " + std::to_string(mutant.next) + " comes before any access to memory";
  if (isOrder(mutant.kind))
    return "redundant: without it the checks still find an order between every two accesses that conflict";
  if (!mutant.entersProduct)
    return "what it loads enters no product: it only decides which way the products take, here the same";
  if (mutant.kind == Class::Bound)
    return "where the two sides are equal, another condition decides, or nothing that is kept depends on it";
  if (mutant.kind == Class::Guard)
    return "what it guards changes nothing that is kept: repeated, or without effect where the guard decides";
  return "";
}

} // namespace fovea::mutation
