#!/usr/bin/env python3
# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs each fuzz target of a build folder over its kept inputs and then for its share of the time.

New inputs go to BUILD/found/TARGET and what breaks a target to BUILD/broken; nothing is written into test/fuzz/corpus.
The last line is `N passed, N failed`, a target being one case.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def fuzz(target, seconds, seed, build):
    corpus = Path(__file__).resolve().parent / "corpus" / target.name
    found, broken = build / "found" / target.name, build / "broken"
    found.mkdir(parents=True, exist_ok=True)
    broken.mkdir(parents=True, exist_ok=True)
    if not corpus.is_dir() or not any(corpus.iterdir()):
        return target.name, False, f"no kept inputs in test/fuzz/corpus/{target.name}"
    dictionary = corpus.parent / f"{target.name}.dict"
    command = [str(target), str(found), str(corpus), f"-seed={seed}", f"-max_total_time={seconds}", "-timeout=10",
               "-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-max_len=16384", "-print_final_stats=1",
               # Weighing inputs by rare features, and running again what is shorter, took nine tenths of the time.
               "-entropic=0", "-reduce_inputs=0",
               f"-artifact_prefix={broken}/{target.name}-"]
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    environment = {"ASAN_OPTIONS": "malloc_context_size=2:quarantine_size_mb=16"} | os.environ
    log = build / f"{target.name}.log"
    with open(log, "w") as stream:
        try:
            status = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, timeout=seconds + 300, env=environment,
                                    check=False).returncode
        except subprocess.TimeoutExpired:
            status = -1
    text = log.read_text(errors="replace")
    if status == 0:
        runs = [line.split()[-1] for line in text.splitlines() if line.startswith("stat::number_of_executed_units")]
        return target.name, True, f"{runs[-1] if runs else '?'} runs"
    return target.name, False, "\n".join(text.splitlines()[-60:]) + f"\nrepeat: {' '.join(command)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together, on one job")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--summary", type=Path)
    options = parser.parse_args()
    build = options.build.resolve()
    folder = build / "fuzz"
    targets = sorted(p for p in folder.iterdir() if p.is_file() and os.access(p, os.X_OK)) if folder.is_dir() else []
    print(f"seed {options.seed}, {len(targets)} targets, {options.seconds} s")
    rounds = -(-len(targets) // options.jobs)
    seconds = max(1, options.seconds // max(1, rounds))
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, ok, text in pool.map(lambda t: fuzz(t, seconds, options.seed, build), targets):
            failed += not ok
            print(f"{'passed' if ok else 'FAILED'} {name}: {text}")
    if options.summary:
        options.summary.write_text(json.dumps({"passed": len(targets) - failed, "failed": failed, "skipped": 0}))
    print(f"{len(targets) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
