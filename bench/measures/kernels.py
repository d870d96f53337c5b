# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the kernels do, counted: independent of the machine."""

import json
import subprocess

TITLE = "registers, spills, bank conflicts, sectors; causal against full attention"


def counters(harness, spec, sizes, *more):
    command = [harness.program("fovea-measure"), "counters", str(harness.root / "examples" / spec), *sizes, *more]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# Query and key dim, value dim, element type, precision of f32 products.
SHAPES = [(d, d, "bf16", None) for d in (32, 64, 96, 128, 192, 256)]
SHAPES += [(192, 128, "bf16", None), (64, 512, "bf16", None), (72, 72, "bf16", None)]
SHAPES += [(d, d, "f32", p) for d in (64, 128, 256) for p in ("tf32", "3xtf32", "fma")]


def measure(harness):
    for target in ("sm_80", "sm_86", "sm_89", "sm_90", "sm_120"):
        for d, v, kind, precision in SHAPES:
            n = 1024 if kind == "bf16" else 256
            out = counters(harness, "full.attn", ["B=1", "H=1", f"T={n}", f"S={n}", f"D={d}", f"V={v}"],
                           "--target", target, "--type", kind, *(["--precision", precision] if precision else []))
            launch = out["launches"][-1]
            name = f"full D={d}" + (f" V={v}" if v != d else "") + (f" {precision}" if precision else "") + f" {target}"
            for symbol, kernel in out.get("kernels", {}).items():
                if symbol != "full":  # of another entry of the plan
                    harness.note(f"{name}: spills of {symbol}", "bytes", kernel["spill_bytes"])
                    continue
                harness.note(f"{name}: registers", "32-bit registers", kernel["registers"])
                harness.note(f"{name}: spills", "bytes", kernel["spill_bytes"])
            harness.note(f"{name}: bank conflicts", "wavefronts",
                         launch["shared_wavefronts"] - launch["shared_wavefronts_without_conflicts"])
            # Ideal: queries, results and lse once; keys and values once per query tile.
            tile = int(out["schedule"].split("x")[0])
            size, parts = (2 if kind == "bf16" else 4), -(-v // 256)
            ideal = (n * (d + v) * size + n * 4 + (n // tile) * n * (parts * d + v) * size) / 32
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
