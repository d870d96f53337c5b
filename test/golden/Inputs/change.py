# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""change.py FROM TO NAME: flips one bit of element 40 of the tensor NAME of a safetensors file."""
import json
import struct
import sys

data = bytearray(open(sys.argv[1], "rb").read())
length = struct.unpack("<Q", data[:8])[0]
begin = json.loads(data[8 : 8 + length])[sys.argv[3]]["data_offsets"][0]
data[8 + length + begin + 4 * 40] ^= 1
open(sys.argv[2], "wb").write(data)
