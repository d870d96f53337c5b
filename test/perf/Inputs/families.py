# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""families.py SOURCE BIN: the front end takes each family of bench/gpu/harness.py with the sizes of its smallest row."""
import importlib.util
import subprocess
import sys

source, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("harness", f"{source}/bench/gpu/harness.py")
harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(harness)
for family, (name, sizes, flops, _) in harness.FAMILIES.items():
    shape = harness.TABLES["tiny"][family][0]
    sets = ",".join(f"{k}={v}" for k, v in sizes(shape).items())
    command = [f"{folder}/fovea", "compile", f"{source}/examples/{name}", "--emit=attn", "--set", sets, "-o", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{family}: {done.stderr}")
    if flops and not flops({**shape, "S": shape["T"]}) > 0:
        sys.exit(f"{family}: no arithmetic")
print(len(harness.FAMILIES), "families")
