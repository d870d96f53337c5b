# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compilation in a warm process, per kernel."""

import json
import subprocess

TITLE = "spec text to PTX in process: D = 64, 128, 256"


def measure(harness):
    program = harness.program("fovea-measure")
    for d in (64, 128, 256):
        command = [program, "compile", str(harness.root / "examples/causal.attn"), f"D={d}", f"V={d}"]

        def once(figure, command=command):
            return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[figure]

        harness.record(f"causal D={d}", "ms", lambda: once("ms"))
        harness.record(f"causal D={d}, all programs of the plan", "ms", lambda: once("ms_all_programs"))
