# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a developer waits for after changing one source: ccache is off, as the text is new each time."""

import os

TITLE = "change one source, compile and link fovea-opt again (at most 60 s)"


def measure(harness):
    harness.program("fovea-opt")
    for name, source in (("dialect", "dialect/tile/TileOps.cpp"), ("codegen", "codegen/ptx/Ptx.cpp"), ("runtime", "runtime/abi/Plan.cpp")):
        path = harness.root / source
        if not path.exists():
            continue

        def once():
            os.utime(path)
            return harness.seconds_of(["ninja", "-C", str(harness.build), "fovea-opt"], env={**os.environ, "CCACHE_DISABLE": "1"})

        harness.record(name, "s", once, repeats=3, warm_up=0)
