# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""versions.py SOURCE: what `fovea --version` prints is what the sources say, and docs/versions.md shows it."""
import re
import subprocess
import sys
from pathlib import Path

source = Path(sys.argv[1])


def number(path, pattern):
    return re.search(pattern, (source / path).read_text()).group(1)


api = number("runtime/include/fovea/fovea.h", r"FOVEA_API_VERSION (\d+)")
plan = number("runtime/abi/Plan.h", r"kPlanVersion = (\d+);")
expected = [
    "fovea " + number("CMakeLists.txt", r"project\(fovea VERSION ([0-9.]+)"),
    "language " + number("frontend/syntax/Parser.h", r'kEdition = "(\d+)"'),
    f"plan format {plan}, reads 1 to {plan}",
    f"library interface {api}, libfovea-runtime.so.0",
]
printed = subprocess.run(["fovea", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()
if printed[:4] != expected:
    sys.exit(f"printed {printed[:4]}\nexpected {expected}")
page = (source / "docs/versions.md").read_text()
missing = [line for line in expected if line not in page.splitlines()]
if missing or f'`"fovea_plan": {plan}`' not in page:
    sys.exit(f"docs/versions.md does not say {missing or plan}")
