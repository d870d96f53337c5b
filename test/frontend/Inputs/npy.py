# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes a .npy file: npy.py FILE SHAPE [--type f4] [--fortran] [--cut BYTES] [--nan], SHAPE as 1,64,2,32."""
import argparse
import math
import struct

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("shape")
parser.add_argument("--type", default="<f4")
parser.add_argument("--fortran", action="store_true")
parser.add_argument("--cut", type=int, default=0)
parser.add_argument("--print", action="store_true", help="print the header of an existing file instead")
options = parser.parse_args()
if options.print:
    content = open(options.file, "rb").read()
    length = struct.unpack("<H", content[8:10])[0]
    print(content[10 : 10 + length].decode().strip())
    raise SystemExit
shape = tuple(int(n) for n in options.shape.split(",") if n)
count = math.prod(shape)
code = {"f4": "f", "f8": "d", "i4": "i", "f2": "e"}[options.type[1:]]
values = [((i * 2654435761) % 1000) / 500 - 1 if code != "i" else i % 5 for i in range(count)]
data = struct.pack(f"{options.type[0]}{count}{code}", *values)
header = f"{{'descr': '{options.type}', 'fortran_order': {options.fortran}, 'shape': {shape}, }}"
header += " " * ((64 - (10 + len(header) + 1) % 64) % 64) + "\n"
content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
open(options.file, "wb").write(content[: len(content) - options.cut])
