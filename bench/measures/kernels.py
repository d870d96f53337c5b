# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the kernels do, counted: independent of the machine."""

import json
import subprocess

TITLE = "registers, spills, bank conflicts, sectors; causal against full attention"


def counters(harness, spec, sizes, *more):
    command = [harness.program("fovea-measure"), "counters", str(harness.root / "examples" / spec), *sizes, *more]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(harness):
    for target in ("sm_80", "sm_90"):
        for d in (32, 64, 96, 128, 256):
            n = 1024
            out = counters(harness, "full.attn", ["B=1", "H=1", f"T={n}", f"S={n}", f"D={d}", f"V={d}"], "--target", target)
            launch = out["launches"][-1]
            name = f"full D={d} {target}"
            for kernel in out.get("kernels", {}).values():
                harness.note(f"{name}: registers", "32-bit registers", kernel["registers"])
                harness.note(f"{name}: spills", "bytes", kernel["spill_bytes"])
            harness.note(f"{name}: bank conflicts", "wavefronts",
                         launch["shared_wavefronts"] - launch["shared_wavefronts_without_conflicts"])
            # Ideal: queries, results and lse once; keys and values once per query tile.
            tile = int(out["schedule"].split("x")[0])
            ideal = (2 * n * d * 2 + n * 4 + (n // tile) * 2 * n * d * 2) / 32
            harness.note(f"{name}: sectors requested / ideal", "ratio", round(launch["sectors_requested"] / ideal, 4))
            harness.note(f"{name}: schedule", "text", out["schedule"])
    n = 4096
    sizes = ["B=1", "H=1", f"T={n}", f"S={n}", "D=64", "V=64"]
    full = counters(harness, "full.attn", sizes)["launches"][-1]
    causal = counters(harness, "causal.attn", sizes)["launches"][-1]
    harness.note("causal / full at T=4096: warp instructions", "ratio",
                 round(causal["warp_instructions"] / full["warp_instructions"], 4))
    harness.note("causal / full at T=4096: tensor instructions", "ratio",
                 round(causal["tensor_instructions"] / full["tensor_instructions"], 4))
