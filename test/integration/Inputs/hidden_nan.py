# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Keys and values of a causal attention of 128 tokens with NaN and infinities in some rows; then checks the output.

hidden_nan.py write FOLDER makes k.npy and v.npy; hidden_nan.py check o.npy [SIGN] reads an output in f16 or f32; SIGN of the weights."""
import math
import struct
import sys

S, D = 128, 64
NAN, INF = float("nan"), float("inf")
BAD = [(100, 3, NAN), (70, 8, INF), (90, 8, INF), (80, 9, -INF), (75, 20, INF), (76, 20, -INF)]


def write(path, values):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, %d, 1, %d), }" % (S, D)
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        file.write(struct.pack("<%df" % len(values), *values))


def expected(row, feature):
    """What a row sees of the values that are not finite: nothing of keys behind it."""
    if row >= 110:
        return NAN  # a key that is NaN
    seen = [x for s, d, x in BAD if d == feature and s <= row]
    if not seen:
        return 0
    return seen[0] if all(x == seen[0] for x in seen) else NAN


if sys.argv[1] == "write":
    v = [((n * 2654435761) % 1000) / 500 - 1 for n in range(S * D)]
    k = [((n * 40503 + 17) % 1000) / 500 - 1 for n in range(S * D)]
    for s, d, x in BAD:
        v[s * D + d] = x
    for d in range(D):
        k[110 * D + d] = NAN
    write(sys.argv[2] + "/v.npy", v)
    write(sys.argv[2] + "/k.npy", k)
else:
    with open(sys.argv[2], "rb") as file:
        data = file.read()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    sign = float(sys.argv[3]) if len(sys.argv) > 3 else 1
    code = "f" if b"'<f4'" in data[:start] else "e"
    o = struct.unpack("<%d%s" % (S * D, code), data[start:])
    for row in range(S):
        for feature in range(D):
            x, want = o[row * D + feature], sign * expected(row, feature)
            good = math.isfinite(x) if want == 0 else math.isnan(x) if math.isnan(want) else x == want
            assert good, "o[%d, %d] is %g; expected %s" % (row, feature, x, "a number" if want == 0 else want)
    print("hidden values have no influence")
