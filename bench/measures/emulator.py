# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Speed of the emulator on our own kernel."""

import json
import subprocess

TITLE = "emulator, one core: full attention, D = 64, B = 1, H = 2"


def measure(harness):
    program = harness.program("fovea-measure")
    for tokens, checks in ((256, "none"), (256, "all"), (2048, "none")):
        sizes = ["B=1", "H=2", f"T={tokens}", f"S={tokens}", "D=64", "V=64"]
        command = [program, "emulate", str(harness.root / "examples/full.attn"), *sizes, "--checks", checks]

        def once(command=command):
            return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["ms"]

        harness.record(f"T={tokens}, checks {checks}", "ms", once)
