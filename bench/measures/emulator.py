# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Speed of the emulator on our own kernel."""

import json
import subprocess

TITLE = "emulator, one core: full attention, D = 64, B = 1, H = 2"


def measure(harness):
    program = harness.program("fovea-measure")
    cases = ((256, "none", "fma", 1), (256, "all", "fma", 1), (2048, "none", "fma", 1), (2048, "all", "fma", 1),
             (2048, "all", "exact", 1), (2048, "all", "fma", 0))
    for tokens, checks, accumulate, threads in cases:
        sizes = ["B=1", "H=2", f"T={tokens}", f"S={tokens}", "D=64", "V=64"]
        command = [program, "emulate", str(harness.root / "examples/full.attn"), *sizes, "--checks", checks,
                   "--accumulate", accumulate, "--threads", str(threads)]
        name = f"T={tokens}, checks {checks}" + (", exact sums" if accumulate == "exact" else "")
        name += "" if threads else ", all cores"
        rate = name + ", rate"

        def once(command=command, name=name, rate=rate):
            figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            return {name: figures["ms"], rate: figures["lane_instructions_per_ns"]}

        # Instructions times their active lanes; the target is 0.1 with all checks, 0.03 with exact sums too.
        harness.record_all({name: "ms", rate: "G lane instructions/s"}, once)
