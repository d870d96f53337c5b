# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""all.py FOLDER: compares every recorded file of the folder with the emulator."""
import pathlib
import subprocess
import sys

files = sorted(pathlib.Path(sys.argv[1]).glob("*.safetensors"))
bad = [file.name for file in files if subprocess.run(["fovea-golden", "compare", str(file)]).returncode]
print(f"{len(files)} files, {len(bad)} differ: {bad}")
sys.exit(1 if bad or not files else 0)
