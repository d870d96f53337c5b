# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random specifications through `fovea check`: scores, predicates, weights, normalisers, merges, tables, documents, blocks,
optional inputs, dims in steps of 8 and types. From FOVEA_SEED; stops after FOVEA_SECONDS, or FOVEA_SPECS specifications;
FOVEA_JOBS at a time; down to level FOVEA_AT, FOVEA_CASES inputs of each. A refusal must carry a reason; reasons are counted."""
import collections
import concurrent.futures
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

DECLARATIONS = {
    "q": "input q : {type}[B, T, H, D]",
    "k": "input k : {type}[B, S, {key}, D]",
    "g": "input g : [B, T, H, E]",
    "h": "input h : [B, S, {key}, E]",
    "v": "input v : {value}[B, S, {key}, V]",
    "z": "input z : [B, T, H]",
    "w": "input w : [B, T, H, V]",
    "a": "input a : f32 [B, T, H]",
    "beta": "input beta : f32 [B, S, {key}]",
    "n": "input n : i32 [B]",
    "doc": "input doc : i32 [B, S]",
    "bias": "input bias : [{rows}T, S]{optional}",
    "extra": "input extra : f32 [B, T, H] optional",
    "table": "param table : f32 [H, N]",
    "slope": "param slope : f32 [H]",
    "temp": "param temp : f32 = 0.8",
    "window": "param window : i32 = 40",
    "s": "param s : f32 [H]",
    "kw": "param kw : f32 [D]",
}


def score(r):
    term = "dot[D](q[i], k[j]) * D^-0.5"
    if r.random() < 0.1:
        term = "dot[D](q[i], k[j] * kw) * D^-0.5"
    if r.random() < 0.25:
        term = f"{r.choice([5, 20])} * tanh(({term}) / {r.choice([5, 20])})"
    if r.random() < 0.25:
        term = f"({term}) * {r.choice(['temp', '0.5', '2', '(1 + sigmoid(a[i]))'])}"
    for _ in range(r.randrange(3)):
        term += " " + r.choice([
            "- 0.05 * abs(i - j)", "- slope * (i - j)", "+ beta[j]", "- softplus(beta[j])", "+ 0.3 * dot[E](g[i], h[j])",
            "+ a[i] * beta[j]", "+ cos(0.1 * (i - j))", "+ if i - j < 5 then 1 else 0", "- softplus(a[i])", "+ min(beta[j], 0)",
            "+ bias[i, j]", "+ table[N: clamp(i - j, 0, N - 1)]", "+ table[N: abs(i - j) // 4]", "+ extra[i]",
            "+ kept[i] - kept[j]", "+ 0.1 * floor(0.25 * (i - j))", "- 0.1 * (block[Sb](i) - block[Sb](j))"])
    return term


def where(r, causal):
    window = r.choice([1, 7, 64, 100])
    choices = ["j <= i", f"j <= i and i - j < {window}", f"j <= i and (i - j < {window} or j < 4)", "j <= i and (j % 2) == 0",
               f"j <= i - {r.choice([0, 3])}", f"j <= i and i // 16 == j // 16", f"j <= i and not (i - j > {window} and j > 10)",
               "j <= i and doc[i] == doc[j]", "j <= i and i - j <= window", "j <= i and block[Sb](i) == block[Sb](j)",
               "j <= i and block[Sb](i) - block[Sb](j) < 2"]
    if not causal:
        choices += ["", f"abs(i - j) < {window}", "j <= i or j < 20", "j > i", "j < n", "i // 32 == j // 32", "beta[j] > 0",
                    "doc[i] == doc[j]", "doc[i] >= doc[j]", "abs(i - j) <= window", "doc[i] == doc[j] and abs(i - j) < 50"]
    return r.choice(choices)


def weights(r, causal):
    """The body of `weights`, and whether its weights are those of a softmax."""
    lines = [f"score: {score(r)}"]
    kind = r.random()
    predicate = where(r, causal)
    if predicate:
        lines.append(f"where: {predicate}")
    if kind < 0.55:
        if r.random() < 0.2:
            lines.append("mass: " + r.choice(["softplus(beta[j])", "sigmoid(beta[j])", "1 + abs(beta[j])", "sigmoid(a[i]) + 0.5"]))
        if r.random() < 0.3:
            lines.append("sink: s")
        elif r.random() < 0.3:
            lines.append("divide: " + r.choice(["sum", "sum + 1e-3", "max(sum, 1)"]))
        return lines, True
    # Sums of these have no terms of two signs.
    lines.append("weight: " + r.choice(["sigmoid", "relu", "relu(score)^2", "exp(min(score, 2))", "softplus(score)",
                                       "sigmoid(score) * softplus(beta[j])", "1 / (1 + score^2)"]))
    lines.append("divide: " + r.choice(["sum + 1e-2", "max(sum, 1)", "count", "none"]))
    return lines, False


def spec(r):
    causal = r.random() < 0.5
    grouped = r.random() < 0.5
    key = "Hk" if grouped else "H"
    body, softmax = weights(r, causal)
    lets = []
    if softmax and r.random() < 0.1:
        # One softmax over two predicates that exclude each other.
        limit, edge = score(r), r.choice([1, 16, 50])
        lets.append(f"let near = weights over S {{ score: {score(r)}; where: 0 <= i - j < {edge} }}")
        lets.append(f"let far = weights over S {{ score: {limit}; where: i - j >= {edge} }}")
        lets.append("let p = merge(near, far)")
    else:
        lets.append("let p = weights over S {\n    " + "\n    ".join(body) + "\n  }")
    outputs = ["output o = p(v)" + r.choice(["", " * sigmoid(z)", " * silu(w)", " + 0.5 * p(beta[j] * v[j])", " - p(beta)"])]
    if softmax and r.random() < 0.4:
        outputs.append("output lse = p.lse")
    if r.random() < 0.2:
        outputs.append("output m = p(beta)")
    if softmax and "merge" not in lets[-1] and r.random() < 0.1:
        outputs.append(f"output most : f32 [B, T, H, Sb] = {r.choice(['max', 'sum'])}[S in Sb](p)")
    text = "\n  ".join(lets + outputs)
    if "kept" in text:
        text = "let kept = cumsum[S](log_sigmoid(beta))\n  " + text

    types = {"type": "", "value": ""}
    if r.random() < 0.1:
        types = r.choice([{"type": "f32 ", "value": ""}, {"type": "", "value": "f32 "}, {"type": "f32 ", "value": "f32 "}])
    names = re.sub(r"\bi\b|\bj\b|dot\[\w\]", " ", text)
    used = [d.format(key=key, rows=r.choice(["", "H, ", "B, H, "]), optional=r.choice(["", " optional"]), **types)
            for name, d in DECLARATIONS.items() if re.search(rf"\b{name}\b", names)]
    axes = ["B", "T", "D", "V"] + ([] if grouped else ["H"])
    static = ["D", "V"] + (["G"] if grouped else [])
    has = lambda axis: re.search(rf"\b{axis}\b", " ".join(used) + text)
    if has("E"):
        axes.append("E")
        static.append("E")
    if has("N"):
        axes.append("N")
    lines = [f"axis {', '.join(axes)}"] + (["axis H = Hk * G"] if grouped else []) + ["axis S keys T"]
    if has("Sb"):
        lines.append(f"axis Sb = S / {r.choice([8, 32, 64])}")
    lines += [f"static {', '.join(static)}"] + used + [text]
    whole = f"fovea 1\nattention random {'causal ' if causal else ''}{{\n  " + "\n  ".join(lines) + "\n}\n"

    t, s = r.choice([(1, 1), (1, 90), (33, 33), (70, 150), (150, 70), (129, 129), (64, 64), (17, 200)])
    dims = [16, 32, 64, 96, 128] if r.random() < 0.6 else list(range(8, 136, 8))
    sizes = {"B": r.choice([1, 2]), "T": t, "S": s, "D": r.choice(dims), "V": r.choice(dims)}
    sizes |= {"Hk": r.choice([1, 2]), "G": r.choice([1, 2, 3])} if grouped else {"H": r.choice([1, 3])}
    if has("E"):
        sizes["E"] = r.choice([16, 32, 64])
    if has("N"):
        sizes["N"] = r.choice([1, 8, 32])
    return whole, sizes


class Campaign:
    def __init__(self, make, folder, seed, level, cases):
        self.make, self.folder, self.seed, self.level, self.cases = make, folder, seed, level, cases

    def run(self, number):
        r = random.Random(self.seed * 1000003 + number)
        text, sizes = self.make(r)
        path = self.folder / f"random{number}.attn"
        path.write_text(text)
        command = ["fovea", "check", str(path), "--at", self.level, "--quiet", "--cases", self.cases, "--type", r.choice(["bf16", "bf16", "f16", "f16", "f32"]),
                   "--target", r.choice(["sm_80", "sm_86", "sm_90"]), "--seed", str(number),
                   "--set", ",".join(f"{k}={v}" for k, v in sizes.items())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        if done.returncode == 0:
            path.unlink()
            return "passed", ""
        # Every failing case has to be a refusal: one of the compiler, with its reason, or one of the target.
        cases = re.findall(r"^FAILED .*\n +at (\S+): *\n?(.*)$", output, re.M)
        reasons = [re.search(r"error: (.*)", message) for level, message in cases if level == "compile"]
        if done.returncode == 1 and cases and len(reasons) == len(cases) and all(
                reason and ("in this version" in reason[1] or "at most" in reason[1]) for reason in reasons):
            path.unlink()
            return "refused", re.sub(r"'[^']*'|\d+", "..", reasons[0][1])
        if done.returncode == 1 and not cases and "refused" in output:
            path.unlink()
            return "refused", "the target holds no schedule"
        return "wrong", f"seed {self.seed}, number {number}, status {done.returncode}\n{' '.join(command)}\n{text}\n{output}"


def main(make):
    """A campaign of what make(random) gives: the text of a specification and its sizes. The folder is the first argument."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ
    seed, jobs = int(environment.get("FOVEA_SEED", "1")), int(environment.get("FOVEA_JOBS", "2"))
    wanted = int(environment.get("FOVEA_SPECS", "1000000"))
    seconds = float(environment.get("FOVEA_SECONDS", "1e9" if "FOVEA_SPECS" in environment else "30"))
    first = int(environment.get("FOVEA_FIRST", "0"))
    keep = environment.get("FOVEA_KEEP_GOING")
    campaign = Campaign(make, folder, seed, environment.get("FOVEA_AT", "ptx"), environment.get("FOVEA_CASES", "3"))
    begin, counts, reasons, wrong = time.monotonic(), collections.Counter(), collections.Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        pending, number = set(), first
        while True:
            while len(pending) < jobs and number - first < wanted and time.monotonic() - begin < seconds and (keep or not wrong):
                pending.add(pool.submit(campaign.run, number))
                number += 1
            if not pending:
                break
            done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for each in done:
                kind, message = each.result()
                counts[kind] += 1
                if kind == "refused":
                    reasons[message] += 1
                if kind == "wrong":
                    wrong += 1
                    print(message, flush=True)
    minutes = (time.monotonic() - begin) / 60
    total = sum(counts.values())
    print(f"seed {seed}: {counts['passed']} passed, {counts['refused']} refused with a reason, {wrong} wrong; "
          f"{total / max(minutes, 1e-9):.0f} a minute")
    for reason, count in reasons.most_common():
        print(f"  {count:5} {reason}")
    return 0 if counts["passed"] and not wrong else 1


if __name__ == "__main__":
    sys.exit(main(spec))
