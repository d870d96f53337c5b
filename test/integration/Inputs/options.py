# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""options.py SPEC...: checks every choice of every option of the files, the others at their defaults."""
import re
import subprocess
import sys

bad = 0
for spec in sys.argv[1:]:
    with open(spec) as file:
        text = file.read()
    for names, choices in re.findall(r"^  option ([\w, ]+) = ([\w |]+)", text, re.MULTILINE):
        for name in names.split(", "):
            for choice in choices.split(" | "):
                setting = f"{name}={choice}"
                done = subprocess.run(["fovea", "check", spec, "--at", "ptx", "--quiet", "--cases", "5", "--set", setting],
                                      capture_output=True, text=True, check=False)
                print(f"{setting}: {done.stdout.strip()} {done.stderr.strip()}")
                bad += done.returncode != 0
sys.exit(bad != 0)
