#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""clang-tidy over the parts without MLIR, warnings being errors. A file that passed is not read again until it, a
header it reads or .clang-tidy changes: the key of each pass is a hash of the preprocessed text, comments included."""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("runtime/", "frontend/syntax/", "frontend/sema/")


def preprocessed(entry):
    command = shlex.split(entry["command"])
    if "-o" in command:
        at = command.index("-o")
        del command[at:at + 2]
    return subprocess.run([*command, "-E", "-C", "-P"], cwd=entry["directory"], capture_output=True, check=False).stdout


def main():
    parser = argparse.ArgumentParser(description="clang-tidy over the parts without MLIR")
    parser.add_argument("build", type=Path, help="a configured build folder")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    subprocess.run(["ninja", "-C", str(options.build), "build.ninja"], stdout=subprocess.DEVNULL, check=False)
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False).stdout.split("\n")
    entries = {}
    for entry in json.loads((options.build / "compile_commands.json").read_text()):
        path = Path(entry["file"])
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
        if name.startswith(FOLDERS) and (name in tracked or tracked == [""]):
            entries[name] = entry
    seen = options.build / "tidy-passed"
    seen.mkdir(exist_ok=True)
    config = (ROOT / ".clang-tidy").read_bytes()

    def check(item):
        name, entry = item
        text = preprocessed(entry)
        mark = seen / hashlib.sha256(config + entry["command"].encode() + text).hexdigest()
        if text and mark.exists():
            return name, 0, ""
        # The command lines are those of g++, whose warnings clang does not all know.
        done = subprocess.run(["clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option", "-p", str(options.build),
                               str(ROOT / name)], capture_output=True, text=True, check=False)
        if done.returncode == 0 and text:
            mark.touch()
        return name, done.returncode, done.stdout or done.stderr

    bad = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, status, output in pool.map(check, sorted(entries.items())):
            if status != 0:
                bad += 1
                print(output.strip())
    print(f"clang-tidy: {len(entries)} files, {bad} with findings")
    sys.exit(1 if bad or not entries else 0)


if __name__ == "__main__":
    main()
