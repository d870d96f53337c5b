# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compilations whose plan is known: in the process, on disk, and by the command line."""

import json
import os
import resource
import subprocess
import tempfile

TITLE = "compilations whose plan is known, in process and by the command line"


def measure(harness):
    spec = str(harness.root / "examples/causal.attn")
    program = harness.program("fovea-bench-compile")

    kinds = ("warm", "respelled", "disk")

    def once():
        done = subprocess.run([program, spec, "D=64", "V=64", "--count", "20"], capture_output=True, text=True, check=True)
        return {f"in process, {kind}": json.loads(done.stdout)[kind] for kind in kinds}

    harness.record_all({f"in process, {kind}": "ms" for kind in kinds}, once)
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, FOVEA_CACHE=folder)
        command = [harness.program("fovea"), "compile", spec, "--set", "D=64,V=64", "--emit=plan", "-o", folder + "/p.json"]

        def processor():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            harness.seconds_of(command, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

        harness.record("fovea compile", "ms", lambda: harness.seconds_of(command, env=environment) * 1000)
        harness.record("fovea compile, processor time", "ms", processor)
