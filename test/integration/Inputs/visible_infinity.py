# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes values of which two are infinite, and looks whether all that is not finite in a result follows from them."""
import sys

import numpy

SHAPE = (1, 64, 1, 64)
kind, path = sys.argv[1:]
if kind == "write":
    v = numpy.random.default_rng(1).standard_normal(SHAPE).astype(numpy.float32)
    v[0, 5, 0, 3] = numpy.inf
    v[0, 40, 0, 17] = -numpy.inf
    numpy.save(path, v)
else:
    o = numpy.load(path).astype(numpy.float64)
    wanted = numpy.zeros(SHAPE[3])
    wanted[3], wanted[17] = numpy.inf, -numpy.inf
    right = all(((o[0, i, 0] == wanted) | (numpy.isfinite(o[0, i, 0]) & (wanted == 0))).all() for i in range(SHAPE[1]))
    print("infinite values arrive as they are" if right else f"wrong: {o[0, 0, 0]}")
