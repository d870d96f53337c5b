# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Decoding continues a prefill: decode.py SPEC FOLDER TYPE PREFILL STEPS runs PREFILL tokens at once and STEPS more one by one,
# from the end of what came before, and compares with all of them at once: the relative 2-norm of the difference.
import os
import random
import struct
import subprocess
import sys

spec, folder, kind, prefill, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
HEADS, SIZES, CARRIED = 2, {"q": 16, "k": 16, "v": 32}, ["h", "n"]
TOLERANCE = {"bf16": 5e-3, "f16": 1e-3, "f32": 1e-5}[kind]


def path(name):
    return os.path.join(folder, name + ".npy")


def write(name, rows):
    shape = (1, len(rows), HEADS, SIZES[name])
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)
    header += " " * (63 - (len(header) + 10) % 64) + "\n"
    with open(path(name), "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        for row in rows:
            file.write(struct.pack("<%df" % len(row), *row))


def read(name):
    with open(path(name), "rb") as file:
        data = file.read()
    begin = 10 + struct.unpack("<H", data[8:10])[0]
    header, data = data[10:begin].decode(), data[begin:]
    if "'<f4'" in header:
        return struct.unpack("<%df" % (len(data) // 4), data)
    if "'<f2'" in header:
        return struct.unpack("<%de" % (len(data) // 2), data)
    words = struct.unpack("<%dH" % (len(data) // 2), data)  # bf16
    return struct.unpack("<%df" % len(words), struct.pack("<%dI" % len(words), *[word << 16 for word in words]))


def run(first, last, continues):
    """The outputs of some tokens; leaves the ends of what is carried in the folder."""
    command = ["fovea", "run", spec, "--device", "emulator", "--no-check", "--type", kind, "--out", "o=" + path("o")]
    for name, rows in inputs.items():
        write(name, rows[first:last])
        command += ["--in", name + "=" + path(name)]
    for name in CARRIED:
        command += ["--out", name + "=" + path(name)]
        if continues:
            os.replace(path(name), path(name + "0"))
            command += ["--in", name + "=" + path(name + "0")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return list(read("o"))


os.makedirs(folder, exist_ok=True)
draw = random.Random(7)
inputs = {name: [[draw.gauss(0, 1) for _ in range(HEADS * size)] for _ in range(prefill + steps)]
          for name, size in SIZES.items()}
wanted = {"o": run(0, prefill + steps, False)}
wanted.update((name, read(name)) for name in CARRIED)
got = {"o": run(0, prefill, False)}
for token in range(prefill, prefill + steps):
    got["o"] += run(token, token + 1, True)
got.update((name, read(name)) for name in CARRIED)
for name, values in wanted.items():
    difference = sum((a - b) ** 2 for a, b in zip(got[name], values)) ** 0.5 / sum(b * b for b in values) ** 0.5
    print("%s: %.2e" % (name, difference))
    if len(got[name]) != len(values) or not difference <= TOLERANCE:
        sys.exit("%s differs by %.2e; expected at most %.2e" % (name, difference, TOLERANCE))
