# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random softmax variants through `fovea check --at ptx`, for FOVEA_SECONDS from FOVEA_SEED."""
import os
import random
import subprocess
import sys
import time
from pathlib import Path


def score(r):
    term = "dot[D](q[i], k[j]) * D^-0.5"
    if r.random() < 0.3:
        term = f"{r.choice([5, 20])} * tanh(({term}) / {r.choice([5, 20])})"
    if r.random() < 0.3:
        term = f"({term}) * {r.choice(['temp', '0.5', '2', '(1 + sigmoid(a[i]))'])}"
    for _ in range(r.randrange(3)):
        term += " " + r.choice([
            "- 0.05 * abs(i - j)", "- slope * (i - j)", "+ beta[j]", "- softplus(beta[j])", "+ 0.3 * dot[E](g[i], h[j])",
            "+ a[i] * beta[j]", "+ cos(0.1 * (i - j))", "+ if i - j < 5 then 1 else 0", "- softplus(a[i])", "+ min(beta[j], 0)"])
    return term


def where(r, causal):
    window = r.choice([1, 7, 64, 100])
    choices = ["j <= i", f"j <= i and i - j < {window}", f"j <= i and (i - j < {window} or j < 4)", "j <= i and (j % 2) == 0",
               f"j <= i - {r.choice([0, 3])}", f"j <= i and i // 16 == j // 16", f"j <= i and not (i - j > {window} and j > 10)"]
    if not causal:
        choices += ["", f"abs(i - j) < {window}", "j <= i or j < 20", "j > i", "j < n", "i // 32 == j // 32", "beta[j] > 0"]
    return r.choice(choices)


def spec(r):
    causal = r.random() < 0.5
    grouped = r.random() < 0.5
    key = "Hk" if grouped else "H"
    head = "axis H = Hk * G\n  static G" if grouped else "axis H"
    predicate = where(r, causal)
    sink = r.random() < 0.3
    outputs = ["output o = p(v)" + r.choice(["", " * sigmoid(z)", " * silu(w)", " + 0.5 * p(beta[j] * v[j])", " - p(beta)"])]
    if r.random() < 0.5:
        outputs.append("output lse = p.lse")
    if r.random() < 0.2:
        outputs.append("output m = p(beta)")
    body = f"""fovea 1
attention random {"causal " if causal else ""}{{
  axis B, T, D, E, V
  {head}
  axis S keys T
  static D, E, V
  input q : [B, T, H, D]
  input k : [B, S, {key}, D]
  input g : [B, T, H, E]
  input h : [B, S, {key}, E]
  input v : [B, S, {key}, V]
  input z : [B, T, H]
  input w : [B, T, H, V]
  input a : f32 [B, T, H]
  input beta : f32 [B, S, {key}]
  input n : i32 [B]
  param slope : f32 [H]
  param temp : f32 = 0.8
  param s : f32 [H]
  let p = weights over S {{
    score: {score(r)}
{f"    where: {predicate}" if predicate else ""}
{"    sink: s" if sink else ""}
  }}
  {chr(10).join("  " + o for o in outputs).strip()}
}}
"""
    # Declarations that the body does not use would be warnings: leave them out.
    used = body[body.index("let p"):]
    lines = []
    for line in body.splitlines():
        words = line.split()
        if words and words[0] in ("input", "param"):
            name = words[1]
            text = used.replace("dot[D]", "").replace("dot[E]", "")
            import re
            if not re.search(rf"\b{name}\b", re.sub(r"\bi\b|\bj\b", "", text)):
                continue
        if not line.strip():
            continue
        lines.append(line)
    text = "\n".join(lines) + "\n"
    if "E]" not in text.replace("D, E, V", ""):
        text = text.replace("axis B, T, D, E, V", "axis B, T, D, V").replace("static D, E, V", "static D, V")
    t, s = r.choice([(1, 1), (1, 90), (33, 33), (70, 150), (150, 70), (129, 129), (64, 64), (17, 200)])
    sizes = {"B": r.choice([1, 2]), "T": t, "S": s, "D": r.choice([16, 32, 64, 96, 128]), "V": r.choice([16, 32, 64, 96, 128])}
    sizes |= {"Hk": r.choice([1, 2]), "G": r.choice([1, 2, 3])} if grouped else {"H": r.choice([1, 3])}
    if "[E]" in text:
        sizes["E"] = r.choice([16, 32, 64])
    return text, sizes


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seed, seconds = int(os.environ.get("FOVEA_SEED", "1")), float(os.environ.get("FOVEA_SECONDS", "30"))
    begin, counts, number = time.monotonic(), {"passed": 0, "refused": 0}, 0
    while time.monotonic() - begin < seconds:
        r = random.Random(seed * 1000003 + number)
        text, sizes = spec(r)
        path = folder / f"random{number % 4}.attn"
        path.write_text(text)
        command = ["fovea", "check", str(path), "--at", "ptx", "--type", r.choice(["bf16", "f16"]), "--target", r.choice(["sm_80", "sm_86", "sm_90"]),
                   "--seed", str(number), "--set", ",".join(f"{k}={v}" for k, v in sizes.items())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        if done.returncode == 0:
            counts["passed"] += 1
        elif done.returncode == 1 and ("not in this version" in output or "refused" in output) and "FAILED" not in output:
            counts["refused"] += 1
        else:
            print(f"seed {seed}, number {number}, status {done.returncode}\n{' '.join(command)}\n{text}\n{output}")
            return 1
        number += 1
    print(f"seed {seed}: {counts['passed']} passed, {counts['refused']} refused with a reason")
    return 0 if counts["passed"] else 1


sys.exit(main())
