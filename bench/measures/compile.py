# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compilation in a warm process, per kernel."""

import json
import subprocess

TITLE = "spec text to PTX in process: softmax at D = 64, 128, 256, recurrences at K = V = 128"
KEYS = ("K=128", "V=128")
STATES = {"retnet": KEYS, "gla": KEYS, "rwkv6": KEYS, "gated_deltanet": (*KEYS, "G=1"), "kda": (*KEYS, "G=1"),
          "mamba2": ("N=128", "P=128", "M=1")}


def measure(harness):
    program = harness.program("fovea-measure")
    systems = [(f"causal D={d}", "causal", (f"D={d}", f"V={d}")) for d in (64, 128, 256)]
    systems += [(name, name, sizes) for name, sizes in STATES.items()]
    for name, example, sizes in systems:
        command = [program, "compile", str(harness.root / f"examples/{example}.attn"), *sizes]

        both = f"{name}, all programs of the plan"

        def once(command=command, name=name, both=both):
            figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            return {name: figures["ms"], both: figures["ms_all_programs"]}

        # Each process warms itself up, and compiles all programs once, which takes seconds.
        harness.record_all({name: "ms", both: "ms"}, once, repeats=min(3, harness.repeats), warm_up=0)
