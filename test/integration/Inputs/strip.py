# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""strip-schedule of the scheduled program gives back the program, for every example given, as text."""
import re
import subprocess
import sys
from pathlib import Path


def opt(path, pipeline):
    return subprocess.run(["fovea-opt", str(path), f"--pass-pipeline=builtin.module({pipeline})"], capture_output=True, text=True, check=True).stdout


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    bad = 0
    for spec in map(Path, sys.argv[2:]):
        text = spec.read_text()
        static = re.search(r"^  static (.*)$", text, re.MULTILINE)
        names = static[1].split(", ") if static else []
        sets = [f"{name}={2 if name == 'G' else 64}" for name in names]
        attn = folder / (spec.stem + ".attn.mlir")
        subprocess.run(["fovea", "compile", str(spec), "--set", ",".join(sets), "--emit=attn", "-o", str(attn)], check=True)
        program = folder / (spec.stem + ".program.mlir")
        program.write_text(opt(attn, "fovea-attn,attn-to-tile{type=bf16},fovea-program"))
        scheduled = folder / (spec.stem + ".scheduled.mlir")
        scheduled.write_text(opt(program, "tile.program(tile-set-schedule{warps=4 stages=2}),fovea-schedule"))
        if "tile.smem_alloc" not in scheduled.read_text():
            print(f"{spec.stem}: not scheduled")
            bad += 1
        same = opt(program, "tile.program(canonicalize,cse,tile-order-by-use)") == opt(
            scheduled, "tile.program(tile-strip-schedule,canonicalize,cse,tile-order-by-use)")
        print(f"{spec.stem}: {'same' if same else 'DIFFERS'}")
        bad += not same
    print(f"{len(sys.argv) - 2} programs, {bad} problems")
    return bad != 0


sys.exit(main())
