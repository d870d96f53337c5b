# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Recurrences of the examples at lengths around one chunk and at 4,096 tokens, from initial states that are not 0, with
ordinary inputs and with those that provoke faults. state_lengths.py EXAMPLES"""
import subprocess
import sys
from pathlib import Path

KEYS = {"B": 1, "H": 1, "K": 16, "V": 16}
GROUPS = {"B": 1, "Hk": 1, "G": 1, "K": 16, "V": 16}
SYSTEMS = {"retnet": KEYS, "lightning": KEYS, "gla": KEYS, "hgrn2": KEYS, "rwkv6": KEYS, "deltanet": KEYS, "gated_deltanet": GROUPS,
           "kda": GROUPS, "mamba2": {"B": 1, "Q": 1, "M": 1, "N": 16, "P": 16}}
CHUNK = 64
LENGTHS = [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 4096]

wrong = 0
for name, sizes in SYSTEMS.items():
    for length in LENGTHS:
        for type_ in ("bf16", "f32"):
            sets = ",".join(f"{axis}={size}" for axis, size in (sizes | {"T": length}).items())
            path = str(Path(sys.argv[1]) / f"{name}.attn")
            common = [path, "--type", type_, "--set", sets]
            # A rounding that falls otherwise stays for thousands of tokens where nothing decays, so the long ones are
            # compared with the reference alone: at level 2 from an initial state, and on the emulator.
            commands = [["check", *common, "--quiet", "--cases", "12"]] if length < 1000 else [
                ["check", *common, "--quiet", "--cases", "2", "--at", "tile"],
                ["run", *common, "--device", "emulator", "--check"]]
            for command in commands:
                done = subprocess.run(["fovea", *command], capture_output=True, text=True, check=False)
                if done.returncode:
                    wrong += 1
                    print("fovea", *command, done.stdout, done.stderr, sep="\n", flush=True)
print(f"{wrong} wrong")
sys.exit(1 if wrong else 0)
