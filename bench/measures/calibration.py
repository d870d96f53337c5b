# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How steady this machine is: where max is far above min, times of the same run mean little."""

TITLE = "the calibration loop against itself"


def measure(harness):
    harness.record("loop", "ms", harness.calibration_ms)
