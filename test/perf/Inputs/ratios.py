# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Least of five times over the least of the calibrations between them, against a limit each."""
import json
import subprocess
import sys

LIMITS = [  # what, spec, sizes, more, ratio allowed
    ("compile", "causal", ["D=64", "V=64"], [], 16),
    ("compile", "causal", ["D=128", "V=128"], [], 20),
    ("compile", "causal", ["D=256", "V=256"], [], 40),
    ("emulate", "full", ["B=1", "H=2", "T=256", "S=256", "D=64", "V=64"], ["--checks", "none"], 2),
    ("emulate", "full", ["B=1", "H=2", "T=256", "S=256", "D=64", "V=64"], ["--checks", "all"], 4),
    ("emulate", "full", ["B=1", "H=2", "T=2048", "S=2048", "D=64", "V=64"], ["--checks", "none"], 80),
]


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    bad = 0
    for what, spec, sizes, more, limit in LIMITS:
        times, calibrations = [], []
        for _ in range(5):
            calibrations.append(float(output(["fovea-calibrate"])))
            times.append(json.loads(output(["fovea-measure", what, f"{sys.argv[1]}/examples/{spec}.attn", *sizes, *more]))["ms"])
        ratio = min(times) / min(calibrations)
        verdict = "ok" if ratio <= limit else "TOO SLOW"
        print(f"{what} {spec} {' '.join(sizes + more)}: {min(times):.1f} ms, {ratio:.2f} of the calibration loop, at most {limit}: {verdict}")
        bad += ratio > limit
    return bad != 0


sys.exit(main())
