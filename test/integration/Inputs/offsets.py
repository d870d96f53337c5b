# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Offsets of sequences as .npy files: offsets.py FOLDER writes one file for each way to be right or wrong, and q of 48 rows.
import os
import struct
import sys


def write(path, values, kind="i4", shape=None):
    shape = shape or (len(values),)
    header = "{'descr': '<%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(struct.pack("<%d%s" % (len(values), kind[0]), *values))


os.makedirs(sys.argv[1], exist_ok=True)
for name, values in {
    "good": [0, 20, 20, 48],
    "first": [1, 20, 20, 48],
    "falls": [0, 30, 20, 48],
    "past": [0, 20, 20, 49],
    "long": [0, 41, 41, 48],
    "short": [0, 20, 20, 47],
}.items():
    write(os.path.join(sys.argv[1], name + ".npy"), values)
write(os.path.join(sys.argv[1], "q.npy"), [0.5] * (48 * 2 * 32), "f4", (48, 2, 32))
