# Part of Fovea, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small scheduled tile programs with layouts, compiled and run by the emulator, against their meaning in double precision.

usage: tiles.py FOLDER CASE...      or  tiles.py --list
"""

import json
import math
import random
import re
import struct
import subprocess
import sys
from pathlib import Path

# ---- layouts, as in dialect/common/Layout.h


def bits(count, step):
    return [[x << k for x in step] for k in range(count.bit_length() - 1)]


def repeat(*pairs):
    return [(count, step) for count, step in pairs if count > 1]


class Layout:
    def __init__(self, reg, lane, warp, rep):
        self.reg, self.lane, self.warp, self.rep = reg, lane, warp, rep

    def __str__(self):
        rep = ", ".join(f"{n} x {s}" for n, s in self.rep)
        return f"#tile.layout<reg = {self.reg}, lane = {self.lane}, warp = {self.warp}, rep = [{rep}]>"

    def map(self, change):
        each = [[change(v) for v in part] for part in (self.reg, self.lane, self.warp)]
        return Layout(*each, [(n, change(s)) for n, s in self.rep])

    def transposed(self):
        return self.map(lambda v: v[::-1])

    def slice(self, dim):
        r = self.map(lambda v: [v[1 - dim]])
        return Layout([v for v in r.reg if v != [0]], r.lane, r.warp, [(n, s) for n, s in r.rep if s != [0]])


def row_warps(rows, warps):
    """Warps along rows; where there are more than rows, the others have the same rows again."""
    count = min(warps, rows // 16)
    return bits(count, [16, 0]) + bits(warps // count, [0, 0]), (rows // (16 * count), [16 * count, 0])


QUAD = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]]


def accumulator(rows, columns, warps):
    warp, rest = row_warps(rows, warps)
    return Layout([[0, 1], [8, 0]], QUAD, warp, repeat((columns // 8, [0, 8]), rest))


def left(rows, depth, warps):
    warp, rest = row_warps(rows, warps)
    return Layout([[0, 1], [8, 0], [0, 8]], QUAD, warp, repeat((depth // 16, [0, 16]), rest))


def right(columns, depth, warps):
    return Layout([[0, 1], [0, 8]], QUAD, bits(warps, [0, 0]), repeat((depth // 16, [0, 16]), (columns // 8, [8, 0])))


def right_paired(columns, depth, warps):
    return Layout([[0, 1]], QUAD, bits(warps, [0, 0]), repeat((depth // 8, [0, 8]), (columns // 8, [8, 0])))


def row_vector(size, warps):
    return accumulator(size, 8, warps).slice(1)


def column_vector(size, warps):
    return accumulator(16 * warps, size, warps).slice(0)


# ---- programs


def swizzle(row_bytes):
    return next((s for s in (128, 64, 32) if row_bytes % s == 0), 0)


class Program:
    """Text of a launch over one work item; tensors are [rows, columns] or [size]."""

    def __init__(self, warps, target="sm_80"):
        self.warps, self.target, self.inputs, self.outputs = warps, target, {}, {}
        self.tensors, self.body, self.count, self.offset = [], [], 0, 0

    def name(self):
        self.count += 1
        return f"%v{self.count}"

    def shape(self, shape):
        return "x".join(map(str, shape))

    def tensor(self, name, role, shape, type):
        dims = ", ".join(f'"{n}"' for n in shape)
        self.tensors.append(f'  %{name} = tile.tensor "{name}" "{role}" [{dims}] : !tile.view<{self.shape(shape)}x{type}>')

    def type(self, shape, type, layout):
        return f"tensor<{self.shape(shape)}x{type}, {layout}>"

    def input(self, name, shape, type, values):
        self.tensor(name, "input", shape, type)
        self.inputs[name] = (shape, type, [rounded(x, type) for x in values])
        return self.inputs[name][2]

    def load(self, name, layout):
        shape, type, _ = self.inputs[name]
        v, where = self.name(), ", ".join(["%c0"] * len(shape))
        self.body.append(f"%{v[1:]} = tile.load %{name}[{where}] dims {list(range(len(shape)))} pad 0.0 : {type} : "
                         f"!tile.view<{self.shape(shape)}x{type}> -> {self.type(shape, type, layout)}")
        return v, shape, type, layout

    def store(self, value, name):
        v, shape, type, layout = value
        self.tensor(name, "output", shape, type)
        self.outputs[name] = (shape, type)
        where = ", ".join(["%c0"] * len(shape))
        self.body.append(f"tile.store {v}, %{name}[{where}] dims {list(range(len(shape)))} : {self.type(shape, type, layout)}, "
                         f"!tile.view<{self.shape(shape)}x{type}>")

    def ring(self, shape, type):
        """A ring of one stage, behind those that are there."""
        rows, columns = shape if len(shape) == 2 else (1, shape[0])
        size = 2 if type != "f32" else 4
        ring = self.name()
        text = f"!tile.smem<1x{rows}x{columns}x{type}, {swizzle(columns * size) if len(shape) == 2 else 0}>"
        self.body.insert(0, f"{ring} = tile.smem_alloc at {self.offset} : {text}")
        self.offset += -(-rows * columns * size // 1024) * 1024
        return ring, text

    def through(self, value, *layouts):
        """The tile as shared memory gives it back in other layouts."""
        v, shape, type, layout = value
        ring, text = self.ring(shape, type)
        self.body += [f"tile.smem_write {v} to {ring}[%c0] : {self.type(shape, type, layout)} -> {text}", "tile.barrier"]
        result = []
        for to in layouts:
            r = self.name()
            self.body.append(f"{r} = tile.smem_read {ring}[%c0] of tile {v} : {self.type(shape, type, layout)} : {text} -> "
                             f"{self.type(shape, type, to)}")
            result.append((r, shape, type, to))
        return result if len(result) > 1 else result[0]

    def copied(self, name, *layouts):
        """The tile as shared memory gives it back after an asynchronous copy."""
        shape, type, _ = self.inputs[name]
        ring, text = self.ring(shape, type)
        view = f"!tile.view<{self.shape(shape)}x{type}>"
        self.body += [f"tile.copy_start %{name}[%c0, %c0] dims [0, 1] to {ring}[%c0] : {view} -> {text}", "tile.copy_commit",
                      "tile.copy_wait 0", "tile.barrier"]
        result = []
        for to in layouts:
            r = self.name()
            self.body.append(f"{r} = tile.smem_read {ring}[%c0] of view %{name}[%c0, %c0] dims [0, 1] : {view} : {text} -> "
                             f"{self.type(shape, type, to)}")
            result.append((r, shape, type, to))
        return result if len(result) > 1 else result[0]

    def op(self, text, operands, shape, type, layout):
        """One operation, `{0}` standing for the first operand, and the types as `types` lists them."""
        r = self.name()
        types = ", ".join(self.type(*o[1:]) for o in operands)
        self.body.append(f"{r} = " + text.format(*(o[0] for o in operands), types=types, result=self.type(shape, type, layout)))
        return r, shape, type, layout

    def text(self):
        return "\n".join(["tile.program @p {", "  %c0 = arith.constant 0 : index", "  %c1 = arith.constant 1 : index", *self.tensors,
                          f'  tile.launch "k" ["one"] (%i = %c1) schedule {{warps = {self.warps}}} {{',
                          *("    " + line for line in self.body), "  }", "}", ""])

    def run(self, folder, conflicts=False):
        """The outputs, after a run without findings; without bank conflicts, unless they are allowed."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        (path / "p.mlir").write_text(self.text())
        done = subprocess.run(["fovea-translate", path / "p.mlir", "--kernels", "--target", self.target], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError("not compiled: " + done.stderr)
        (path / "p.ptx").write_text(done.stdout)
        kernel = re.search(r"// kernel k threads (\d+) shared (\d+)", done.stdout)
        arguments = []
        for kind, name, dim in re.findall(r"//   (pointer|stride|axis) (\S+) (\d+)", done.stdout):
            shape, type = (self.inputs.get(name) or self.outputs[name])[:2]
            if kind == "stride":
                arguments.append(f"u64:{math.prod(shape[int(dim) + 1:])}")
            elif name in self.inputs:
                save(path / f"{name}.npy", shape, self.inputs[name][2])
                arguments.append(f"in:{path / name}.npy:{type}")
            else:
                arguments.append(f"out:{path / name}.npy:{type}:{self.shape(shape)}")
        command = ["fovea-emu", path / "p.ptx", "--kernel", "k", "--grid", "1", "--block", kernel[1], "--shared", kernel[2],
                   "--counters", "json", "--threads", "1"]
        for argument in arguments:
            command += ["--arg", argument]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError("findings: " + done.stdout[-2000:] + done.stderr)
        self.counters = json.loads(done.stdout[done.stdout.index("{"):])["counters"]
        more = self.counters["sharedWavefronts"] - self.counters["sharedIdealWavefronts"]
        if more and not conflicts:
            raise AssertionError(f"{more} of {self.counters['sharedWavefronts']} accesses to shared memory wait for a bank")
        return {name: read(path / f"{name}.npy") for name in self.outputs}


def rounded(x, type):
    if type == "f16":
        return struct.unpack("<e", struct.pack("<e", x))[0]
    n = struct.unpack("<I", struct.pack("<f", x))[0]
    if type == "bf16":
        n = (n + 0x7FFF + (n >> 16 & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", n))[0]


def save(path, shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({', '.join(map(str, shape))},), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}f", *values))


def read(path):
    data = path.read_bytes()
    begin = 10 + struct.unpack("<H", data[8:10])[0]
    kind = re.search(rb"'descr': '(<..)'", data)[1].decode()
    code = {"<f4": "f", "<f2": "e", "<i4": "i"}[kind]
    return list(struct.unpack(f"<{(len(data) - begin) // struct.calcsize(code)}{code}", data[begin:]))


def close(got, expected, tolerance):
    if not all(math.isfinite(x) for x in got):
        raise AssertionError("a result is not finite")
    norm = math.sqrt(sum(x * x for x in expected)) or 1.0
    error = math.sqrt(sum((x - y) ** 2 for x, y in zip(got, expected))) / norm
    if not error <= tolerance or len(got) != len(expected):
        raise AssertionError(f"relative error {error:.3g}, expected at most {tolerance:.3g}")


def normal(count, seed=1):
    source = random.Random(seed)
    return [source.gauss(0, 1) for _ in range(count)]


# ---- cases

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def transpose(values, rows, columns):
    return [values[i * columns + j] for j in range(columns) for i in range(rows)]


@case
def exchange(folder):
    """Every layout from shared memory; written from accumulators, their transposes and vectors."""
    for type, warps in (("bf16", 4), ("f32", 4), ("f16", 2), ("bf16", 1), ("bf16", 8), ("f32", 16)):
        rows, columns = 64, 128
        p = Program(warps)
        x = p.input("x", [rows, columns], type, normal(rows * columns))
        at = p.load("x", accumulator(rows, columns, warps))
        layouts = {"a": accumulator(rows, columns, warps), "t": accumulator(columns, rows, warps).transposed(),
                   "l": left(rows, columns, warps), "lt": left(columns, rows, warps).transposed()}
        if type != "f32":
            layouts |= {"r": right(rows, columns, warps), "rt": right(columns, rows, warps).transposed()}
        else:
            layouts |= {"p": right_paired(rows, columns, warps), "pt": right_paired(columns, rows, warps).transposed()}
        for name, value in zip(layouts, p.through(at, *layouts.values())):
            p.store(value, name)
        for name, values in p.run(f"{folder}/{type}{warps}", conflicts=type == "f32").items():
            close(values, x, 0)
    for columns in (40, 48):  # rows of 80 and 96 bytes: no swizzle, a short one
        p = Program(2)
        x = p.input("x", [32, columns], "bf16", normal(32 * columns))
        a = accumulator(32, columns, 2)
        p.store(p.through(p.load("x", a), a), "y")
        if columns == 48:
            p.store(p.through(p.load("x", a), left(32, columns, 2)), "z")
            p.store(p.through(p.load("x", a), right(columns, 32, 2).transposed()), "w")
        for values in p.run(f"{folder}/{columns}", conflicts=True).values():
            close(values, x, 0)


@case
def exchange_transposed(folder):
    """A transposed accumulator goes to shared memory as it is, or its source is read in transposed fragments."""
    rows, columns, warps = 128, 64, 4
    for type in ("bf16", "f32"):
        p = Program(warps)
        x = p.input("x", [rows, columns], type, normal(rows * columns))
        at = accumulator(rows, columns, warps)
        loaded = p.load("x", at)
        across = p.op("tile.transpose {0} : {types} -> {result}", [loaded], [columns, rows], type, at.transposed())
        p.store(p.through(across, accumulator(columns, rows, warps)), "written")
        read_ = p.through(loaded, accumulator(columns, rows, warps).transposed())
        p.store(p.op("tile.transpose {0} : {types} -> {result}", [read_], [columns, rows], type, accumulator(columns, rows, warps)),
                "read")
        for values in p.run(f"{folder}/{type}", conflicts=type == "f32").values():
            close(values, transpose(x, rows, columns), 0)


@case
def exchange_vectors(folder):
    for warps in (1, 4):
        p = Program(warps)
        x = p.input("x", [128], "f32", normal(128))
        p.store(p.through(p.load("x", row_vector(128, warps)), column_vector(128, warps)), "columns")
        p.store(p.through(p.load("x", column_vector(128, warps)), row_vector(128, warps)), "rows")
        for values in p.run(f"{folder}/{warps}").values():
            close(values, x, 0)


@case
def scans(folder):
    """Running sums along rows that warps share, and of vectors on either side."""
    for warps, rows, columns in ((4, 64, 128), (4, 128, 24), (2, 64, 64), (1, 32, 16), (8, 64, 32)):
        for reverse in ("", "reverse"):
            p = Program(warps)
            at = accumulator(rows, columns, warps)
            x = p.input("x", [rows, columns], "f32", normal(rows * columns))
            v = p.input("v", [rows], "f32", normal(rows, 2))
            s = p.load("x", at)
            p.body.append(f"%s, %t = tile.scan {s[0]} dim 0 {reverse} : {p.type([rows, columns], 'f32', at)} -> "
                          f"{p.type([rows, columns], 'f32', at)}, {p.type([columns], 'f32', at.slice(0))}")
            p.store(("%s", [rows, columns], "f32", at), "sums")
            p.store(("%t", [columns], "f32", at.slice(0)), "total")
            for side, layout in (("r", row_vector(rows, warps)), ("c", column_vector(rows, warps))):
                s = p.load("v", layout)
                p.body.append(f"%s{side}, %t{side} = tile.scan {s[0]} dim 0 {reverse} : {p.type([rows], 'f32', layout)} -> "
                              f"{p.type([rows], 'f32', layout)}, f32")
                p.body.append(f"%u{side} = tile.splat %t{side} : f32 -> {p.type([rows], 'f32', layout)}")
                p.store((f"%s{side}", [rows], "f32", layout), f"sums_{side}")
                p.store((f"%u{side}", [rows], "f32", layout), f"total_{side}")
            got = p.run(f"{folder}/{warps}{rows}{columns}{reverse}")
            order = range(rows - 1, -1, -1) if reverse else range(rows)

            def running(values, width):
                sums, result = [0.0] * width, [0.0] * (rows * width)
                for i in order:
                    for j in range(width):
                        sums[j] += values[i * width + j]
                        result[i * width + j] = sums[j]
                return result, sums

            sums, total = running(x, columns)
            close(got["sums"], sums, 1e-6)
            close(got["total"], total, 1e-6)
            sums, total = running(v, 1)
            for side in "rc":
                close(got[f"sums_{side}"], sums, 1e-6)
                close(got[f"total_{side}"], total * rows, 1e-6)


@case
def reductions(folder):
    """Along rows that warps share, and along columns that they share in a transposed tile."""
    for warps, rows, columns in ((4, 64, 24), (8, 64, 40), (2, 128, 8)):
        for kind, whole in (("add", sum), ("max", max)):
            p = Program(warps)
            at = accumulator(rows, columns, warps)
            x = p.input("x", [rows, columns], "f32", normal(rows * columns))
            s = p.load("x", at)
            p.store(p.op(f'tile.reduce "{kind}" {{0}} dim 0 : {{types}} -> {{result}}', [s], [columns], "f32", at.slice(0)), "y")
            t = p.op("tile.transpose {0} : {types} -> {result}", [s], [columns, rows], "f32", at.transposed())
            p.store(p.op(f'tile.reduce "{kind}" {{0}} dim 1 : {{types}} -> {{result}}', [t], [columns], "f32", at.transposed().slice(1)), "z")
            expected = [whole(x[i * columns + j] for i in range(rows)) for j in range(columns)]
            for values in p.run(f"{folder}/{warps}{kind}").values():
                close(values, expected, 1e-6)


def inverse_of(l, size, reverse):
    """Columns of (I + L)^-1 by substitution in doubles."""
    x = [[0.0] * size for _ in range(size)]
    order = range(size - 1, -1, -1) if reverse else range(size)
    for j in range(size):
        for i in order:
            inside = range(i + 1, size) if reverse else range(i)
            x[i][j] = (1.0 if i == j else 0.0) - sum(l[i * size + m] * x[m][j] for m in inside)
    return [v for row in x for v in row]


@case
def inverses(folder):
    for size, warps in ((16, 1), (32, 1), (32, 2), (32, 4), (48, 1), (64, 4), (64, 2), (80, 1), (96, 2), (128, 4), (112, 1)):
        for reverse in ("", "reverse"):
            if reverse and size not in (32, 48, 64):
                continue
            p = Program(warps)
            at = accumulator(size, size, warps)
            raw = [0.3 * x for x in normal(size * size)]
            for i in range(size):  # what is not read may be anything
                for j in range(size):
                    if (j <= i) if reverse else (j >= i):
                        raw[i * size + j] = math.nan if (i + j) % 3 else 7.0
            l = p.input("l", [size, size], "f32", raw)
            p.store(p.op("tile.unit_tril_inverse {0} " + reverse + " : {result}", [p.load("l", at)], [size, size], "f32", at), "x")
            got = p.run(f"{folder}/{size}{warps}{reverse}", conflicts=bool(reverse))["x"]
            expected = inverse_of(l, size, reverse)
            close(got, expected, 2e-6 if size <= 64 else 1e-4)
            for i in range(size):
                for j in range(size):
                    if (j < i) if reverse else (j > i):
                        assert got[i * size + j] == 0, "the other triangle is not zero"
    # Rows that are all alike with factors of 2: entries of alternating sign that do not decay.
    p = Program(4)
    at = accumulator(64, 64, 4)
    l = p.input("l", [64, 64], "f32", [2.0] * 4096)
    p.store(p.op("tile.unit_tril_inverse {0} : {result}", [p.load("l", at)], [64, 64], "f32", at), "x")
    close(p.run(f"{folder}/alike")["x"], inverse_of(l, 64, False), 1e-6)


@case
def inverses_tf32(folder):
    """Merges on tensor cores, one block's or several, the last of them smaller: never two lanes at one bank."""
    for size, warps in ((16, 1), (32, 1), (32, 8), (48, 1), (64, 4), (64, 2), (64, 8), (80, 1), (96, 2), (128, 4), (112, 1)):
        for reverse in ("", "reverse"):
            if reverse and size not in (32, 48, 64):
                continue
            p = Program(warps)
            at = accumulator(size, size, warps)
            raw = [0.3 / size ** 0.5 * x for x in normal(size * size)]
            l = p.input("l", [size, size], "f32", raw)
            p.store(p.op("tile.unit_tril_inverse {0} " + reverse + ' precision "tf32" : {result}', [p.load("l", at)], [size, size], "f32", at), "x")
            got = p.run(f"{folder}/{size}{warps}{reverse}", conflicts=bool(reverse))["x"]
            expected = inverse_of(l, size, reverse)
            # Blocks off the diagonal err by the rounding of operands; those on it not at all.
            close(got, expected, 2e-4)
            on = [i * size + j for i in range(size) for j in range(size) if (size - 1 - i if reverse else i) // 16 == (size - 1 - j if reverse else j) // 16]
            close([got[k] for k in on], [expected[k] for k in on], 1e-6)
            for i in range(size):
                for j in range(size):
                    if (j < i) if reverse else (j > i):
                        assert got[i * size + j] == 0, "the other triangle is not zero"
            if size == 64 and warps == 4 and not reverse:
                off = [k for k in range(size * size) if k not in set(on)]
                error = max(abs(got[k] - expected[k]) for k in off)
                assert error > 1e-7, "no operand was rounded"
    # Small whole numbers lose nothing in tf32.
    p = Program(4)
    at = accumulator(64, 64, 4)
    l = p.input("l", [64, 64], "f32", [2.0] * 4096)
    p.store(p.op('tile.unit_tril_inverse {0} precision "tf32" : {result}', [p.load("l", at)], [64, 64], "f32", at), "x")
    close(p.run(f"{folder}/alike")["x"], inverse_of(l, 64, False), 1e-6)


def decayed(a, b, g, size, depth, strict, exclusive, reverse):
    result = [0.0] * (size * size)
    for i in range(size):
        for j in range(size):
            inside = (j > i if strict or exclusive else j >= i) if reverse else (j < i if strict or exclusive else j <= i)
            if inside:
                own = (i + 1 if reverse else i - 1) if exclusive else i
                result[i * size + j] = sum(a[i * depth + d] * b[j * depth + d] * 2.0 ** (g[own * depth + d] - g[j * depth + d])
                                           for d in range(depth))
    return result


def run_decayed(folder, size, depth, warps, type, steps, flags="", tolerance=None, same_rows=False, scale=1.0):
    p = Program(warps)
    values = [[scale * x for x in normal(size * depth, seed)] for seed in (1, 2)]
    if same_rows:
        values = [v[:depth] * size for v in values]
    a, b = (p.input(n, [size, depth], type, v) for n, v in zip("ab", values))
    g, total = [0.0] * (size * depth), [0.0] * depth
    for i in range(size - 1, -1, -1) if "reverse" in flags else range(size):
        for d in range(depth):
            total[d] = rounded(total[d] + max(steps(i, d) * math.log2(math.e), -127.0), "f32")
            g[i * depth + d] = total[d]
    g = p.input("g", [size, depth], "f32", g)
    at = accumulator(size, depth, warps)
    rings = [p.copied(n, at) for n in "abg"]
    # The reads stand together, behind the last barrier.
    reads = [line for line in p.body if "smem_read" in line]
    p.body = [line for line in p.body if "smem_read" not in line] + reads
    out = accumulator(size, size, warps)
    p.store(p.op("tile.decayed_dot {0}, {1}, {2} " + flags + " : {types} -> {result}", rings, [size, size], "f32", out), "r")
    # Rows of less than 128 bytes share banks with their neighbours.
    got = p.run(folder, conflicts=type == "f32" or depth < 64)["r"]
    expected = decayed(a, b, g, size, depth, "strict" in flags, "exclusive" in flags, "reverse" in flags)
    close(got, expected, tolerance or {"bf16": 5e-3, "f16": 7e-4, "f32": 3e-6}[type])
    for x, y in zip(got, expected):
        assert y or not x, "an element beyond the diagonal is not zero"
    return p


SOURCE = random.Random(5)
DECAYS = {"none": lambda i, d: 0.0, "slow": lambda i, d: -1e-4, "fast": lambda i, d: -5.0, "faster": lambda i, d: -20.0,
          "all": lambda i, d: -1e4, "beside": lambda i, d: -20.0 if d % 2 else 0.0,
          "random": lambda i, d: -SOURCE.expovariate(1) ** 3}


@case
def decayed_dots(folder):
    for name, steps in DECAYS.items():
        run_decayed(f"{folder}/{name}", 32, 32, 2, "bf16", steps)
    run_decayed(f"{folder}/chunk", 64, 128, 4, "bf16", DECAYS["random"])
    run_decayed(f"{folder}/rows", 64, 16, 2, "f16", DECAYS["random"], same_rows=True)
    # Warps with the same rows share the features, as far as each has 16.
    run_decayed(f"{folder}/shared", 32, 128, 8, "bf16", DECAYS["random"], "reverse")
    run_decayed(f"{folder}/few", 32, 32, 8, "bf16", DECAYS["random"], "exclusive")
    run_decayed(f"{folder}/one", 48, 16, 1, "bf16", DECAYS["random"])


@case
def decayed_dots_flags(folder):
    for flags in ("strict", "reverse", "strict reverse", "exclusive", "exclusive reverse"):
        for steps in ("random", "beside"):
            run_decayed(f"{folder}/{flags.replace(' ', '')}{steps}", 64, 32, 2, "bf16", DECAYS[steps], flags)
    for flags in ("strict reverse", "exclusive", "exclusive reverse"):  # two features a lane
        run_decayed(f"{folder}/{flags.replace(' ', '')}wide", 32, 64, 2, "f16", DECAYS["random"], flags)


# At most 5 nats a step, all at the bound, and beside steps that decay little or not at all, by feature, by row and by both.
BOUNDED = {"none": DECAYS["none"], "slow": DECAYS["slow"], "bound": DECAYS["fast"],
           "beside": lambda i, d: -5.0 if d % 2 else 0.0, "rows": lambda i, d: -5.0 if i % 16 >= 8 else 0.0,
           "both": lambda i, d: (0.0, -5.0, -1e-3)[(i * i + d) % 3], "random": lambda i, d: -5.0 * SOURCE.random() ** 2}


@case
def decayed_dots_bounded(folder):
    """One product for all of a block, anchored in its middle."""
    for name, steps in BOUNDED.items():
        run_decayed(f"{folder}/{name}", 32, 32, 2, "bf16", steps, "bounded")
    for flags in ("strict", "reverse", "strict reverse", "exclusive", "exclusive reverse"):
        for steps in ("bound", "both", "random"):
            run_decayed(f"{folder}/{flags.replace(' ', '')}{steps}", 64, 32, 2, "bf16", BOUNDED[steps], flags + " bounded")
    # Beyond the diagonal the products overflow.
    for flags in ("", "strict reverse", "exclusive"):
        run_decayed(f"{folder}/{flags.replace(' ', '')}large", 32, 32, 2, "bf16", BOUNDED["bound"], flags + " bounded", scale=2.0**20)
    run_decayed(f"{folder}/chunk", 64, 128, 4, "bf16", BOUNDED["random"], "bounded")
    run_decayed(f"{folder}/shared", 32, 128, 8, "bf16", BOUNDED["random"], "reverse bounded")
    run_decayed(f"{folder}/few", 32, 32, 8, "bf16", BOUNDED["random"], "exclusive bounded")
    run_decayed(f"{folder}/one", 48, 16, 1, "bf16", BOUNDED["random"], "bounded")
    run_decayed(f"{folder}/single", 32, 32, 2, "f32", BOUNDED["both"], "bounded")


@case
def decayed_dots_single(folder):
    for name, steps in DECAYS.items():
        run_decayed(f"{folder}/{name}", 32, 32, 2, "f32", steps)
    for flags in ("strict reverse", "exclusive", "exclusive reverse"):
        run_decayed(f"{folder}/{flags.replace(' ', '')}", 64, 16, 2, "f32", DECAYS["random"], flags)


@case
def computed_operands(folder):
    """Right operands that were computed come through shared memory, in both orientations."""
    for type, m, warps in (("bf16", 128, 4), ("f32", 128, 4), ("bf16", 32, 4), ("f32", 32, 4)):
        n, k = 64, 64
        p = Program(warps)
        a = p.input("a", [m, k], type, normal(m * k))
        b = p.input("b", [n, k], type, normal(n * k, 2))
        left_ = p.load("a", left(m, k, warps) if type != "f32" else accumulator(m, k, warps))
        whole = right if type != "f32" else right_paired
        rows = p.through(p.load("b", accumulator(n, k, warps)), whole(n, k, warps))
        columns = p.through(p.load("b", accumulator(n, k, warps)), whole(k, n, warps).transposed())
        precision = "" if type != "f32" else '{precision = "3xtf32"}'
        for name, value, contract in (("x", rows, "[1, 1]"), ("y", columns, "[1, 0]")):
            out = accumulator(m, n if contract == "[1, 1]" else k, warps)
            shape = [m, n if contract == "[1, 1]" else k]
            p.body.append(f"%zero_{name} = arith.constant dense<0.0> : {p.type(shape, 'f32', out)}")
            l = left_
            zero = (f"%zero_{name}", shape, "f32", out)
            r = p.name()
            p.body.append(f"{r} = tile.dot {l[0]}, {value[0]}, {zero[0]} contract {contract} {precision} : {p.type(*l[1:])}, {p.type(*value[1:])} -> "
                          f"{p.type(shape, 'f32', out)}")
            p.store((r, shape, "f32", out), name)
        got = p.run(f"{folder}/{type}{m}")
        close(got["x"], [sum(a[i * k + d] * b[j * k + d] for d in range(k)) for i in range(m) for j in range(n)], 1e-6)
        close(got["y"], [sum(a[i * k + d] * b[d * k + j] for d in range(k)) for i in range(m) for j in range(k)], 1e-6)


def main(arguments):
    if arguments[:1] == ["--list"]:
        print("\n".join(CASES))
        return 0
    folder, *names = arguments
    status = 0
    for name in names:
        try:
            CASES[name](f"{folder}/{name}")
            print(f"{name}: ok")
        except AssertionError as error:
            print(f"{name}: {error}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
