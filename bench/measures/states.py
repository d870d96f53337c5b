# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Recurrences, counted by the emulator: independent of the machine, for comparison from version to version."""

import json
import subprocess

TITLE = "recurrences: instructions, tensor-core share, sectors, spills and launches of ten systems"

T = 512
# Specification, and the names of its sizes where they are not B, T, H, K, V.
SYSTEMS = {
    "lightning": {}, "retnet": {}, "gla": {}, "hgrn2": {}, "mamba2": {"B": 1, "T": T, "P": 128, "N": 128, "Q": 1, "M": 1},
    "rwkv6": {}, "deltanet": {}, "gated_deltanet": {"B": 1, "T": T, "Hk": 1, "G": 1, "K": 128, "V": 128},
    "kda": {"B": 1, "T": T, "Hk": 1, "G": 1, "K": 128, "V": 128}, "gated_deltanet2": {},
}


def axes_of(harness, spec):
    out = subprocess.run([harness.program("fovea"), "list", spec], capture_output=True, text=True, check=True).stdout
    line = next(line for line in out.splitlines() if line.split()[:1] == ["axes"])
    return [axis.split()[0] for axis in line.split(None, 1)[1].split(", ") if " = " not in axis]


def measure(harness):
    for target in ("sm_80", "sm_90"):
        for name, sizes in SYSTEMS.items():
            spec = harness.root / "examples" / f"{name}.attn"
            if not spec.exists():
                continue
            sizes = sizes or {"B": 1, "T": T, "H": 1, "K": 128, "V": 128, "D": 128, "Hk": 1, "G": 1}
            known = axes_of(harness, spec)
            given = [f"{k}={v}" for k, v in sizes.items() if k in known]
            command = [harness.program("fovea-measure"), "counters", str(spec), *given, "--target", target]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                harness.note(f"{name} {target}", "text", "refused: " + done.stderr.strip()[-200:])
                continue
            out = json.loads(done.stdout)
            launches = out["launches"]

            def total(what):
                return sum(launch[what] for launch in launches)

            label = f"{name} K=V=128 T={T} {target}"
            harness.note(f"{label}: schedule", "text", out["schedule"])
            harness.note(f"{label}: launches", "launches", len(launches))
            harness.note(f"{label}: instructions per token and head", "warp instructions",
                         round(total("warp_instructions") / T, 1))
            harness.note(f"{label}: tensor instructions", "share",
                         round(total("tensor_instructions") / total("warp_instructions"), 4))
            harness.note(f"{label}: sectors requested / unique", "ratio",
                         round(total("sectors_requested") / total("sectors_unique"), 3))
            harness.note(f"{label}: bank conflicts", "wavefronts",
                         total("shared_wavefronts") - total("shared_wavefronts_without_conflicts"))
            run = {launch["kernel"] for launch in launches}
            harness.note(f"{label}: spills", "bytes",
                         sum(k["spill_bytes"] for symbol, k in out.get("kernels", {}).items() if symbol in run))
