# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Starting the programs without work: loading of libraries and registration."""

TITLE = "process start of fovea and fovea-opt"


def measure(harness):
    for name in ("fovea", "fovea-opt"):
        try:
            program = harness.program(name)
        except harness.Unavailable:
            continue
        harness.record(name, "ms", lambda program=program: harness.seconds_of([program, "--version"]) * 1000)
